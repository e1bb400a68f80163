//! What has passed and what has not, and why? Counters that the shell reads while the workers count, without a lock.
//!
//! Every worker counts in a lane of its own, so that no two cores write one cache line, and so that counting takes no more than writing a
//! number; reading adds the lanes up. Who has none counts in the last lane, which is everybody's. Frames are counted
//! as they are handed over: a super-frame is one packet, and bytes are those of the Ethernet frame.
//!
//! A refusal is counted at the port where it was decided: what `ingress` refuses, at the receiving port. So no guest's counters tell
//! of another's rules.

use std::sync::atomic::{AtomicU64, Ordering};

use policy::Denied;

use crate::limit::Bucket;

/// Packets and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub packets: u64,
    pub bytes: u64,
}

/// What was counted at one port up to now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// From the guest, whatever became of it.
    pub received: Traffic,
    /// To the guest, from other guests.
    pub delivered: Traffic,
    /// To the guest, from the router itself and the VPC's services: ARP, neighbour discovery, DHCP, ICMP errors, DNS, metadata.
    pub answered: Traffic,
    /// Refused here, by [`Denied::index`].
    pub denied: Vec<Traffic>,
    /// Packets of this port that were decided from memory.
    pub cache_hits: u64,
    /// Packets of this port that the law was asked about.
    pub cache_misses: u64,
}

impl Counters {
    /// What was refused for this reason, whatever the evidence.
    pub fn denied(&self, denied: &Denied) -> Traffic {
        self.denied.get(denied.index()).copied().unwrap_or_default()
    }

    /// What was refused, for all reasons together.
    pub fn denied_total(&self) -> Traffic {
        self.denied.iter().fold(Traffic::default(), |sum, one| Traffic {
            packets: sum.packets + one.packets,
            bytes: sum.bytes + one.bytes,
        })
    }
}

/// What a frame is counted as.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Received,
    Delivered,
    Answered,
    Denied(Denied),
}

/// What one port keeps over any change of tables: its counters and its buckets.
#[derive(Debug)]
pub(crate) struct Meter {
    /// One for each worker, and everybody's.
    lanes: Box<[Lane]>,
    pub(crate) bucket: Bucket,
    /// For all services at the VPC's own addresses together (spec 9.1).
    pub(crate) services: Bucket,
}

const RECEIVED: usize = 0;
const DELIVERED: usize = 1;
const ANSWERED: usize = 2;
const DENIED: usize = 3;
const KINDS: usize = DENIED + Denied::COUNT;

/// One worker's counters of one port; two cache lines apart from the next, because processors fetch them in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Lane {
    packets: [AtomicU64; KINDS],
    bytes: [AtomicU64; KINDS],
    cache_hits: AtomicU64,
    cache_misses: AtomicU64,
}

impl Meter {
    pub(crate) fn new(workers: usize) -> Meter {
        let lane = |_| Lane {
            packets: [const { AtomicU64::new(0) }; KINDS],
            bytes: [const { AtomicU64::new(0) }; KINDS],
            cache_hits: AtomicU64::new(0),
            cache_misses: AtomicU64::new(0),
        };
        Meter { lanes: (0..=workers).map(lane).collect(), bucket: Bucket::default(), services: Bucket::default() }
    }

    pub(crate) fn count(&self, lane: usize, event: Event, bytes: usize) {
        let kind = match event {
            Event::Received => RECEIVED,
            Event::Delivered => DELIVERED,
            Event::Answered => ANSWERED,
            Event::Denied(denied) => DENIED + denied.index(),
        };
        let (lane, is_own) = self.lane(lane);
        add(&lane.packets[kind], 1, is_own);
        add(&lane.bytes[kind], bytes as u64, is_own);
    }

    /// Takes over what another one counted for a reason.
    pub(crate) fn inherit(&self, other: &Meter, denied: &Denied) {
        let (Traffic { packets, bytes }, kind) = (other.read().denied(denied), DENIED + denied.index());
        let (everybodys, is_own) = self.lane(usize::MAX);
        add(&everybodys.packets[kind], packets, is_own);
        add(&everybodys.bytes[kind], bytes, is_own);
    }

    pub(crate) fn count_lookup(&self, lane: usize, hit: bool) {
        let (lane, is_own) = self.lane(lane);
        add(if hit { &lane.cache_hits } else { &lane.cache_misses }, 1, is_own);
    }

    pub(crate) fn read(&self) -> Counters {
        let sum = |of: &dyn Fn(&Lane) -> &AtomicU64| {
            self.lanes.iter().fold(0_u64, |sum, lane| sum.wrapping_add(of(lane).load(Ordering::Relaxed)))
        };
        let traffic =
            |kind: usize| Traffic { packets: sum(&|lane| &lane.packets[kind]), bytes: sum(&|lane| &lane.bytes[kind]) };
        Counters {
            received: traffic(RECEIVED),
            delivered: traffic(DELIVERED),
            answered: traffic(ANSWERED),
            denied: (DENIED..KINDS).map(traffic).collect(),
            cache_hits: sum(&|lane| &lane.cache_hits),
            cache_misses: sum(&|lane| &lane.cache_misses),
        }
    }

    /// A worker's lane, and whether nobody else writes there.
    fn lane(&self, lane: usize) -> (&Lane, bool) {
        let everybodys = self.lanes.len() - 1;
        (&self.lanes[lane.min(everybodys)], lane < everybodys)
    }
}

fn add(counter: &AtomicU64, more: u64, is_own: bool) {
    if is_own {
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    } else {
        counter.fetch_add(more, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_add_up_and_reasons_stay_apart() {
        let meter = Meter::new(2);
        meter.count(0, Event::Received, 60);
        meter.count(1, Event::Received, 40);
        meter.count(5, Event::Denied(Denied::RateLimit), 40);
        meter.count_lookup(1, true);
        let counters = meter.read();
        assert_eq!(counters.received, Traffic { packets: 2, bytes: 100 });
        assert_eq!(counters.denied(&Denied::RateLimit), Traffic { packets: 1, bytes: 40 });
        assert_eq!(counters.denied(&Denied::SpoofedMac), Traffic::default());
        assert_eq!((counters.denied_total().packets, counters.cache_hits, counters.cache_misses), (1, 1, 0));
    }

    #[test]
    fn who_has_no_lane_takes_nothing_from_others() {
        const EACH: u64 = 200_000;
        let meter = Meter::new(1);
        std::thread::scope(|threads| {
            for lane in 0..4 {
                let meter = &meter;
                threads.spawn(move || (0..EACH).for_each(|_| meter.count(lane, Event::Received, 1)));
            }
        });
        assert_eq!(meter.read().received, Traffic { packets: 4 * EACH, bytes: 4 * EACH });
    }
}
