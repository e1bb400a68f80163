//! How many connections of the API one source address may hold: whoever takes all that are its own leaves the others theirs.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections that are held, by who holds them. What is in it is bounded by the connections that there can be at all.
pub(crate) struct Seats {
    share: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection's; given back when it is dropped.
pub(crate) struct Seat {
    seats: Arc<Seats>,
    source: IpAddr,
}

impl Seats {
    /// At most so many for one source.
    pub(crate) fn new(share: usize) -> Arc<Seats> {
        Arc::new(Seats { share, taken: Mutex::default() })
    }

    /// `None`: that source has its share.
    pub(crate) fn take(self: &Arc<Seats>, from: IpAddr) -> Option<Seat> {
        let source = source(from);
        let mut taken = self.taken();
        let count = taken.entry(source).or_default();
        if *count >= self.share {
            return None;
        }
        *count += 1;
        Some(Seat { seats: self.clone(), source })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        let left = taken.get(&self.source).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            taken.remove(&self.source);
        } else {
            taken.insert(self.source, left);
        }
    }
}

/// Who counts as one: an IPv4 address, however it is written, or a /64 of IPv6, of which one customer has all addresses.
fn source(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_its_share_and_gets_back_what_it_gives_back() {
        let seats = Seats::new(2);
        let take = |from: &str| seats.take(from.parse().unwrap());
        let (first, _second) = (take("192.0.2.1").unwrap(), take("::ffff:192.0.2.1").unwrap());
        assert!(take("192.0.2.1").is_none());
        assert!(take("192.0.2.2").is_some(), "another one's share is its own");
        drop(first);
        let _again = take("192.0.2.1").unwrap();
        assert!(take("192.0.2.1").is_none());
        let _network = (take("2001:db8:0:1::1").unwrap(), take("2001:db8:0:1:ffff::2").unwrap());
        assert!(take("2001:db8:0:1::3").is_none(), "a /64 is one");
        assert!(take("2001:db8:0:2::1").is_some());
    }

    #[test]
    fn nothing_is_kept_of_who_has_gone() {
        let seats = Seats::new(1);
        for n in 0..100_u8 {
            drop(seats.take(IpAddr::from([192, 0, 2, n])).unwrap());
        }
        assert!(seats.taken().is_empty());
    }
}
