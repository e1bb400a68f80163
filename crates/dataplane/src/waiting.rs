//! The first frames of a link wait while its keys are agreed, bounded and never in clear (architecture ch. 8; spec 14.8, I1).
//!
//! Of a datagram in pieces all of them wait, in the same queue and within the same bounds: they go out in the order in which they came, the
//! first fragment before the others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use model::{Domain, Duration, HostId, Time};

use crate::fragment::Key;
use crate::port::PortId;

/// Frames of one worker that wait for keys.
const FRAMES_MAX: usize = 256;
/// Frames of one link.
const FRAMES_PER_LINK: usize = 16;
/// Bytes of one worker.
const BYTES_MAX: usize = 4 << 20;
/// How long a frame waits.
const LIFE: Duration = Duration::seconds(3);
/// Before the same link is asked for again.
const ASK_AGAIN: Duration = Duration::seconds(1);
/// Links that are asked for at one time.
const LINKS_MAX: usize = 1024;

/// A link that has no keys, and packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Want {
    pub domain: Domain,
    pub host: HostId,
    /// The worker that asks: no two share sequence numbers.
    pub shard: u16,
}

#[derive(Debug)]
struct Frame {
    want: Want,
    port: PortId,
    /// The datagram that it is a fragment of.
    datagram: Option<Key>,
    /// Virtio-net header and frame.
    bytes: Box<[u8]>,
    until: Time,
}

/// A frame whose wait is over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Released {
    /// Its link has keys now: judge it anew.
    Ready(PortId, Box<[u8]>),
    /// None came in time.
    Late(PortId, Box<[u8]>),
}

#[derive(Debug, Default)]
pub(crate) struct Waiting {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// When each link was asked for.
    asked: BTreeMap<Want, Time>,
    unasked: VecDeque<Want>,
    /// When to ask again for what waits.
    again: Option<Time>,
}

impl Waiting {
    /// Asks for the link's keys, unless that was done a moment ago.
    pub(crate) fn ask(&mut self, want: Want, now: Time) {
        let is_due = self.asked.get(&want).is_none_or(|asked| now >= *asked + ASK_AGAIN || now < *asked);
        if !is_due {
            return;
        }
        if self.asked.len() >= LINKS_MAX {
            self.asked.retain(|_, asked| now < *asked + ASK_AGAIN && now >= *asked);
        }
        if self.asked.len() < LINKS_MAX {
            self.asked.insert(want, now);
            self.unasked.push_back(want);
        }
    }

    /// Asks again for the links whose frames have waited for a while: the keys of the first time may be gone already, and the question may
    /// have been lost.
    pub(crate) fn ask_again(&mut self, now: Time) {
        // A clock that was set back must not put it off.
        if self.again.is_none_or(|again| now < again && again <= now + ASK_AGAIN) {
            return;
        }
        // For what has waited too long nothing is asked any more.
        let waits = |frame: &&Frame| now < frame.until;
        let wants: BTreeSet<Want> = self.frames.iter().filter(waits).map(|frame| frame.want).collect();
        self.again = (!wants.is_empty()).then(|| now + ASK_AGAIN);
        wants.into_iter().for_each(|want| self.ask(want, now));
    }

    pub(crate) fn poll_want(&mut self) -> Option<Want> {
        self.unasked.pop_front()
    }

    /// The link that a datagram's fragments wait for, if some do.
    pub(crate) fn want_of(&self, datagram: &Key) -> Option<Want> {
        self.frames.iter().find(|frame| frame.datagram.as_ref() == Some(datagram)).map(|frame| frame.want)
    }

    /// Keeps a frame. `false`: there is no room.
    pub(crate) fn hold(&mut self, want: Want, port: PortId, datagram: Option<Key>, bytes: &[u8], now: Time) -> bool {
        let of_link = self.frames.iter().filter(|frame| frame.want == want).count();
        let has_room = self.frames.len() < FRAMES_MAX && of_link < FRAMES_PER_LINK;
        if !has_room || self.bytes + bytes.len() > BYTES_MAX {
            return false;
        }
        self.bytes += bytes.len();
        self.frames.push_back(Frame { want, port, datagram, bytes: bytes.into(), until: now + LIFE });
        self.again.get_or_insert(now + ASK_AGAIN);
        true
    }

    /// The first frame whose link has keys, or that has waited too long.
    pub(crate) fn release(&mut self, now: Time, has_keys: impl Fn(&Want) -> bool) -> Option<Released> {
        // A clock that was set back must not keep a frame for ever.
        let is_late = |frame: &Frame| now >= frame.until || now + LIFE < frame.until;
        let at = self.frames.iter().position(|frame| is_late(frame) || has_keys(&frame.want))?;
        let frame = self.frames.remove(at)?;
        self.bytes -= frame.bytes.len();
        let is_ready = has_keys(&frame.want);
        let Frame { port, bytes, .. } = frame;
        Some(if is_ready { Released::Ready(port, bytes) } else { Released::Late(port, bytes) })
    }

    /// When the next frame has waited too long.
    pub(crate) fn due(&self) -> Option<Time> {
        self.frames.iter().map(|frame| frame.until).min()
    }

    /// When there is something to do: a frame has waited too long, or its link is to be asked for again.
    pub(crate) fn wake(&self) -> Option<Time> {
        self.due().into_iter().chain(self.again).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ResourceId, Scope};

    fn want(n: u128) -> Want {
        let vpc = model::VpcId::from_random(n);
        Want { domain: Domain { from: vpc, to: vpc, scope: Scope::Vpc }, host: "h2".parse().unwrap(), shard: 0 }
    }

    fn port() -> PortId {
        PortId::new(1).unwrap()
    }

    #[test]
    fn frames_leave_in_order_when_their_link_has_keys() {
        let mut waiting = Waiting::default();
        for n in 0..4_u8 {
            assert!(waiting.hold(want(u128::from(n % 2) << 40), port(), None, &[n], Time::EPOCH));
        }
        let mut of_one = Vec::new();
        while let Some(Released::Ready(_, bytes)) = waiting.release(Time::EPOCH, |w| *w == want(1 << 40)) {
            of_one.push(bytes[0]);
        }
        assert_eq!(of_one, [1, 3]);
        assert_eq!(waiting.release(Time::EPOCH + LIFE, |_| false), Some(Released::Late(port(), [0].into())));
    }

    #[test]
    fn bounded_for_a_link_and_for_all() {
        let mut waiting = Waiting::default();
        let held = |waiting: &mut Waiting, n: u128, len: usize| {
            waiting.hold(want(n << 40), port(), None, &vec![0; len], Time::EPOCH)
        };
        assert_eq!((0..100).filter(|_| held(&mut waiting, 1, 10)).count(), FRAMES_PER_LINK);
        assert_eq!((0..1000).filter(|n| held(&mut waiting, 2 + n, 10)).count(), FRAMES_MAX - FRAMES_PER_LINK);
        let mut waiting = Waiting::default();
        assert_eq!((0..1000).filter(|n| held(&mut waiting, *n, 65_000)).count(), BYTES_MAX / 65_000);
    }

    #[test]
    fn a_link_is_asked_for_once_a_second() {
        let mut waiting = Waiting::default();
        let mut asked = |ms: i64| {
            waiting.ask(want(1 << 40), Time::from_unix_millis(ms));
            waiting.poll_want().is_some()
        };
        assert_eq!([0, 1, 999, 1000, 1001].map(&mut asked), [true, false, false, true, false]);
    }

    #[test]
    fn time_alone_asks_again_once_a_second_while_something_waits() {
        let at = Time::from_unix_millis;
        let mut waiting = Waiting::default();
        waiting.ask(want(1 << 40), at(0));
        assert_eq!(waiting.poll_want(), Some(want(1 << 40)));
        assert_eq!(waiting.wake(), None, "nothing waits");
        // Its keys came and went.
        waiting.ask(want(1 << 40), at(400));
        assert!(waiting.hold(want(1 << 40), port(), None, &[1], at(400)));
        assert!(waiting.hold(want(1 << 40), port(), None, &[2], at(500)));
        assert_eq!((waiting.poll_want(), waiting.wake()), (None, Some(at(1400))));
        let mut asked = Vec::new();
        for ms in 400..3400 {
            waiting.ask_again(at(ms));
            asked.extend(waiting.poll_want().map(|_| ms));
            assert!(waiting.wake().is_some_and(|wake| wake > at(ms)), "never due at once again");
        }
        assert_eq!(asked, [1400, 2400]);
        while waiting.release(at(3500), |_| false).is_some() {}
        waiting.ask_again(at(3500));
        assert_eq!((waiting.poll_want(), waiting.wake()), (None, None));
        // A clock that is set back.
        assert!(waiting.hold(want(1 << 40), port(), None, &[3], at(9000)));
        waiting.ask_again(at(100));
        assert_eq!(waiting.poll_want(), Some(want(1 << 40)));
    }
}
