//! What happened, for people who watch: the newest events in memory, all of them for a while on disk.
//!
//! A region's writer tells them after the commit, so none of what did not come to be. They are numbered in one sequence for the whole
//! cloud; a restart goes on with it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use control::events::Event;
use ec2::accounts::{DescribeEvents, EventItem, EventsResult};
use ec2::service::PeerwayReply;
use ec2::{Caller, Error};
use model::AccountId;
use serde::{Deserialize, Serialize};

use crate::lines::{self, Bounds, Lines};

/// Events that can be asked for.
const KEPT_MAX: usize = 10_000;
const NAME: &str = "events";
const BOUNDS: Bounds = Bounds { queue: 4096, bytes: 8 << 20, old_files: 3 };
/// What a start reads of the newest file, in bytes.
const READ_MAX: u64 = 8 << 20;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Numbered {
    sequence: u64,
    #[serde(flatten)]
    event: Event,
}

pub(crate) struct Events {
    kept: Mutex<Kept>,
    lines: Option<Lines<Numbered>>,
}

#[derive(Default)]
struct Kept {
    last: u64,
    events: VecDeque<Numbered>,
}

impl Kept {
    fn push(&mut self, numbered: Numbered) {
        self.last = numbered.sequence;
        if self.events.len() >= KEPT_MAX {
            self.events.pop_front();
        }
        self.events.push_back(numbered);
    }
}

impl Events {
    /// # Errors
    /// The kernel's.
    pub(crate) fn open(data: Option<&Path>) -> io::Result<Events> {
        let mut kept = Kept::default();
        for n in [1, 0] {
            let path = data.map(|data| lines::file_path(data, NAME, n));
            path.map_or(Ok(()), |path| read(&path, &mut kept))?;
        }
        let lines = data.map(|data| Lines::open(data, NAME, BOUNDS)).transpose()?;
        Ok(Events { kept: Mutex::new(kept), lines })
    }

    /// What was committed.
    pub(crate) fn tell(&self, events: Vec<Event>) {
        let mut kept = lock(&self.kept);
        for event in events {
            let numbered = Numbered { sequence: kept.last + 1, event };
            self.lines.iter().for_each(|lines| lines.put(numbered.clone()));
            kept.push(numbered);
        }
    }

    /// # Errors
    /// `AccessDenied` for another account's, `InvalidParameterValue` for a wrong number.
    pub(crate) fn describe(&self, caller: &Caller, request: &DescribeEvents) -> Result<PeerwayReply, Error> {
        let is_operator = caller.account == AccountId::OPERATOR;
        if !is_operator && request.account.is_some_and(|account| account != caller.account) {
            let message =
                format!("User: {} may not see another account's events; ask with the operator's key", caller.arn);
            return Err(Error::new("AccessDenied", message).with_status(403));
        }
        let most = match request.max_results.unwrap_or(100) {
            n @ 1..=1000 => usize::try_from(n).unwrap_or(1),
            n => return Err(Error::invalid_parameter("MaxResults", n, "Choose 1 to 1000.")),
        };
        let scope = request.account.or((!is_operator).then_some(caller.account));
        let is_wanted = |numbered: &&Numbered| {
            let event = &numbered.event;
            scope.is_none_or(|account| event.accounts.contains(&account))
                && request.region.is_none_or(|region| event.region == region)
                && request.resource_id.as_ref().is_none_or(|id| event.resource_id == *id)
        };
        let kept = lock(&self.kept);
        let (events, last) = match request.after {
            // On from there; a page that is not full says how far it has looked.
            Some(after) => {
                let start = kept.events.partition_point(|numbered| numbered.sequence <= after.0);
                let page: Vec<_> = kept.events.range(start..).filter(is_wanted).take(most).collect();
                let last =
                    if page.len() < most { kept.last } else { page.last().map_or(kept.last, |one| one.sequence) };
                (page, last)
            }
            None => {
                let mut newest: Vec<_> = kept.events.iter().rev().filter(is_wanted).take(most).collect();
                newest.reverse();
                (newest, kept.last)
            }
        };
        let events = events.into_iter().map(|numbered| item(numbered, scope)).collect();
        Ok(PeerwayReply::DescribeEvents(EventsResult { events, last }))
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lines.as_ref().map_or(0, Lines::lost)
    }

    pub(crate) fn close(&self) {
        self.lines.iter().for_each(Lines::close);
    }
}

/// An account is not told whom else an event concerns, beyond what the event itself says.
fn item(numbered: &Numbered, scope: Option<AccountId>) -> EventItem {
    let event = &numbered.event;
    let accounts = event.accounts.iter().copied();
    EventItem {
        sequence: numbered.sequence,
        time: event.time,
        region: event.region,
        accounts: accounts.filter(|account| scope.is_none_or(|scope| scope == *account)).collect(),
        resource_type: event.resource_type.to_string(),
        resource_id: event.resource_id.clone(),
        from: event.from.as_ref().map(ToString::to_string),
        to: event.to.to_string(),
        detail: event.detail.clone(),
    }
}

/// What an earlier run told; a line that cannot be read is passed over: half of one may be the last before a power cut.
fn read(path: &Path, kept: &mut Kept) -> io::Result<()> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let start = file.metadata()?.len().saturating_sub(READ_MAX);
    file.seek(SeekFrom::Start(start))?;
    for line in BufReader::new(file.take(READ_MAX)).split(b'\n') {
        let numbered = serde_json::from_slice::<Numbered>(&line?).ok();
        if let Some(numbered) = numbered.filter(|numbered| numbered.sequence > kept.last) {
            kept.push(numbered);
        }
    }
    Ok(())
}

/// Nothing panics under this lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ec2::accounts::Sequence;
    use model::Time;

    const ALICE: &str = "111111111111";
    const BOB: &str = "222222222222";

    fn event(accounts: &[&str], n: usize) -> Event {
        Event {
            time: Time::EPOCH,
            region: "us-east-1".parse().unwrap(),
            accounts: accounts.iter().map(|account| account.parse().unwrap()).collect(),
            resource_type: "vpc".into(),
            resource_id: format!("vpc-{n}"),
            from: None,
            to: "available".into(),
            detail: None,
        }
    }

    fn asked(events: &Events, who: &str, request: &DescribeEvents) -> Result<EventsResult, Error> {
        match events.describe(&Caller::root(who.parse().unwrap()), request)? {
            PeerwayReply::DescribeEvents(result) => Ok(result),
            other => panic!("{other:?}"),
        }
    }

    fn all() -> DescribeEvents {
        DescribeEvents { after: None, region: None, account: None, resource_id: None, max_results: None }
    }

    fn numbers(events: &Events, who: &str, request: &DescribeEvents) -> Vec<u64> {
        asked(events, who, request).unwrap().events.iter().map(|event| event.sequence).collect()
    }

    #[test]
    fn each_account_sees_its_own_and_the_operator_all() {
        let events = Events::open(None).unwrap();
        events.tell(vec![event(&[ALICE], 1), event(&[BOB], 2), event(&[ALICE, BOB], 3), event(&["000000000000"], 4)]);
        assert_eq!(numbers(&events, ALICE, &all()), [1, 3]);
        assert_eq!(numbers(&events, BOB, &all()), [2, 3]);
        assert_eq!(numbers(&events, "000000000000", &all()), [1, 2, 3, 4]);
        let of = |account: &str| DescribeEvents { account: Some(account.parse().unwrap()), ..all() };
        assert_eq!(numbers(&events, "000000000000", &of(BOB)), [2, 3]);
        assert_eq!(asked(&events, ALICE, &of(BOB)).unwrap_err().code, "AccessDenied");
        let shared = asked(&events, ALICE, &all()).unwrap().events.remove(1);
        assert_eq!(shared.accounts, [ALICE.parse().unwrap()]);
    }

    #[test]
    fn who_follows_misses_nothing_and_hears_nothing_twice() {
        let events = Events::open(None).unwrap();
        events.tell((1..=250).map(|n| event(&[if n % 2 == 0 { ALICE } else { BOB }], n)).collect());
        let (mut after, mut heard) = (0, Vec::new());
        for _ in 0..10 {
            let page = DescribeEvents { after: Some(Sequence(after)), max_results: Some(20), ..all() };
            let page = asked(&events, ALICE, &page).unwrap();
            heard.extend(page.events.iter().map(|event| event.sequence));
            after = page.last;
        }
        assert_eq!(heard, (1..=125).map(|n| 2 * n).collect::<Vec<u64>>());
        assert_eq!(after, 250);
        assert_eq!(numbers(&events, BOB, &DescribeEvents { max_results: Some(2), ..all() }), [247, 249], "the newest");
        for wrong in [0, -1, 1001] {
            assert!(asked(&events, BOB, &DescribeEvents { max_results: Some(wrong), ..all() }).is_err());
        }
    }

    #[test]
    fn memory_is_bounded_and_a_restart_goes_on() {
        let data = tempfile::tempdir().unwrap();
        let events = Events::open(Some(data.path())).unwrap();
        for n in 1..=KEPT_MAX / 1000 + 1 {
            events.tell((0..1000).map(|m| event(&[ALICE], m)).collect());
            // A queue that is full would lose lines on purpose.
            let start = std::time::Instant::now();
            while !is_written(data.path(), n * 1000) {
                assert!(start.elapsed().as_secs() < 10, "events are not written");
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        assert_eq!(lock(&events.kept).events.len(), KEPT_MAX);
        events.close();
        let last = lock(&events.kept).last;
        assert_eq!(events.lost(), 0);
        let path = lines::file_path(data.path(), NAME, 0);
        let half = std::fs::read_to_string(&path).unwrap() + "{\"sequence\":99999999,\"ti";
        std::fs::write(&path, half).unwrap();
        let again = Events::open(Some(data.path())).unwrap();
        let counts = |events: &Events| {
            let kept = lock(&events.kept);
            (kept.last, kept.events.len())
        };
        assert_eq!(counts(&again), (last, KEPT_MAX));
        again.tell(vec![event(&[ALICE], 1)]);
        assert_eq!(lock(&again.kept).last, last + 1);
        again.close();
    }

    fn is_written(data: &Path, count: usize) -> bool {
        std::fs::read_to_string(lines::file_path(data, NAME, 0)).is_ok_and(|text| text.lines().count() >= count)
    }
}
