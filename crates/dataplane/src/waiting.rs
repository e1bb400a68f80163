//! The first frames of a link wait while its keys are agreed, bounded and never in clear (architecture ch. 8; spec 14.8, I1).

use std::collections::{BTreeMap, VecDeque};

use model::{Domain, Duration, HostId, Time};

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

    pub(crate) fn poll_want(&mut self) -> Option<Want> {
        self.unasked.pop_front()
    }

    /// Keeps a frame. `false`: there is no room.
    pub(crate) fn hold(&mut self, want: Want, port: PortId, bytes: &[u8], now: Time) -> bool {
        let of_link = self.frames.iter().filter(|frame| frame.want == want).count();
        let has_room = self.frames.len() < FRAMES_MAX && of_link < FRAMES_PER_LINK;
        if !has_room || self.bytes + bytes.len() > BYTES_MAX {
            return false;
        }
        self.bytes += bytes.len();
        self.frames.push_back(Frame { want, port, bytes: bytes.into(), until: now + LIFE });
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
            assert!(waiting.hold(want(u128::from(n % 2) << 40), port(), &[n], Time::EPOCH));
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
            waiting.hold(want(n << 40), port(), &vec![0; len], Time::EPOCH)
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
}
