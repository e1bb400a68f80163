//! Sealed datagrams on their way out, laid one behind the other so that one send carries many (UDP segmentation offload).
//!
//! A run is datagrams to one host, all of one length but for a shorter last one. Each host has at most one open run; runs leave in the
//! order in which they were begun. Buffers are used again, so that a packet costs no allocation.

use std::collections::VecDeque;
use std::net::SocketAddr;

use wire::esp::sealed_len;

/// Datagrams of one send: what every kernel with the offload takes (Linux `UDP_MAX_SEGMENTS` before 6.9).
const DATAGRAMS_MAX: u16 = 64;
/// Bytes of one send: the largest UDP datagram over IPv4.
const RUN_BYTES_MAX: usize = 65_507;
/// Buffers that are kept; more are made where a frame needs them, and given back.
const SPARE_MAX: usize = 16;

/// What a device's `gso_max_size` must be, in bytes, so that the pieces of one TCP super-frame, of at most `mtu` bytes each, go in one
/// send. A longer one takes two, the second of them short.
pub fn super_frame_max(mtu: u16) -> u32 {
    let pieces = (RUN_BYTES_MAX / sealed_len(mtu.into())).min(DATAGRAMS_MAX.into());
    let data = usize::from(mtu).saturating_sub(HEADERS_USUAL);
    u32::try_from(pieces * data + KERNEL_RESERVE).unwrap_or(u32::MAX)
}

/// IPv4 and TCP with timestamps.
const HEADERS_USUAL: usize = 52;
/// What the kernel leaves for headers of all kinds before it fills a super-frame with data (Linux `MAX_TCP_HEADER`, a little over 300),
/// and some: it fills by whole pieces.
const KERNEL_RESERVE: usize = 400;

/// Datagrams for one send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagrams<'a> {
    pub to: SocketAddr,
    /// The length of each datagram but the last, in bytes.
    pub segment: u16,
    pub bytes: &'a [u8],
}

#[derive(Debug)]
struct Run {
    to: SocketAddr,
    bytes: Box<[u8]>,
    len: usize,
    segment: usize,
    datagrams: u16,
    is_open: bool,
}

/// What one worker is about to send.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    runs: VecDeque<Run>,
    /// Handed out; its buffer is used again at the next call.
    sending: Option<Run>,
    spare: Vec<Box<[u8]>>,
}

impl Outbox {
    /// Room for one datagram of exactly this length; it is on its way once `fill` has written it. `None`: it is too long for UDP.
    pub(crate) fn push(&mut self, to: SocketAddr, len: usize, fill: impl FnOnce(&mut [u8])) -> Option<()> {
        if len > RUN_BYTES_MAX {
            return None;
        }
        let at = match self.runs.iter().position(|run| run.is_open && run.to == to) {
            Some(at) if self.runs[at].has_room(len) => at,
            other => {
                if let Some(at) = other {
                    self.runs[at].is_open = false;
                }
                self.begin(to, len);
                self.runs.len() - 1
            }
        };
        let run = &mut self.runs[at];
        fill(&mut run.bytes[run.len..run.len + len]);
        run.len += len;
        run.datagrams += 1;
        run.is_open = len == run.segment && run.datagrams < DATAGRAMS_MAX;
        Some(())
    }

    /// The next finished run; with `flush` also those that more could be added to.
    pub(crate) fn poll(&mut self, flush: bool) -> Option<Datagrams<'_>> {
        if let Some(sent) = self.sending.take()
            && self.spare.len() < SPARE_MAX
        {
            self.spare.push(sent.bytes);
        }
        if !flush && self.runs.front().is_none_or(|run| run.is_open) {
            return None;
        }
        let run = &*self.sending.insert(self.runs.pop_front()?);
        let segment = u16::try_from(run.segment).unwrap_or(u16::MAX);
        Some(Datagrams { to: run.to, segment, bytes: &run.bytes[..run.len] })
    }

    fn begin(&mut self, to: SocketAddr, segment: usize) {
        let bytes = self.spare.pop().unwrap_or_else(|| vec![0; RUN_BYTES_MAX].into());
        self.runs.push_back(Run { to, bytes, len: 0, segment, datagrams: 0, is_open: true });
    }
}

impl Run {
    fn has_room(&self, len: usize) -> bool {
        len <= self.segment && self.len + len <= RUN_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn host(n: u8) -> SocketAddr {
        ([198, 18, 0, n], 4500).into()
    }

    proptest! {
        /// Cutting every send at its segment length gives back, for each host, what was pushed, in order.
        #[test]
        fn every_datagram_leaves_whole_and_in_order(
            pushes in prop::collection::vec((0_u8..3, prop_oneof![Just(1400_usize), 1_usize..200, 9000_usize..9100]), 0..200),
            drain_every in 1_usize..20,
        ) {
            let (mut outbox, mut sent, mut expected) = (Outbox::default(), vec![Vec::new(); 3], vec![Vec::new(); 3]);
            let drain = |outbox: &mut Outbox, flush: bool, sent: &mut Vec<Vec<Vec<u8>>>| {
                while let Some(run) = outbox.poll(flush) {
                    let pieces: Vec<_> = run.bytes.chunks(usize::from(run.segment)).map(<[u8]>::to_vec).collect();
                    assert!(pieces.len() <= usize::from(DATAGRAMS_MAX) && run.bytes.len() <= RUN_BYTES_MAX);
                    let of = (0..3).find(|n| host(*n) == run.to).unwrap();
                    sent[usize::from(of)].extend(pieces);
                }
            };
            for (n, (to, len)) in pushes.iter().enumerate() {
                outbox.push(host(*to), *len, |room| room.fill(n as u8)).unwrap();
                expected[usize::from(*to)].push(vec![n as u8; *len]);
                if n % drain_every == 0 {
                    drain(&mut outbox, n % 2 == 0, &mut sent);
                }
            }
            drain(&mut outbox, true, &mut sent);
            prop_assert_eq!(sent, expected);
            prop_assert!(outbox.spare.len() <= SPARE_MAX);
        }
    }

    #[test]
    fn a_super_frame_of_the_longest_length_is_one_send() {
        for mtu in [1280_u16, 1438, 1480, 8938, 9001] {
            for reserve in [256, 320, 384] {
                let data = usize::from(mtu) - HEADERS_USUAL;
                let pieces = (super_frame_max(mtu) as usize - reserve) / data;
                let bytes = pieces * sealed_len(mtu.into());
                assert!(bytes <= RUN_BYTES_MAX && pieces <= usize::from(DATAGRAMS_MAX), "{mtu}");
                assert!(bytes + sealed_len(mtu.into()) > RUN_BYTES_MAX, "{mtu}: one more would fit");
            }
        }
    }

    #[test]
    fn a_datagram_that_udp_cannot_carry_is_refused() {
        assert_eq!(Outbox::default().push(host(1), RUN_BYTES_MAX + 1, |_| ()), None);
    }

    #[test]
    fn what_could_still_grow_waits_for_the_flush() {
        let mut outbox = Outbox::default();
        outbox.push(host(1), 100, |room| room.fill(1)).unwrap();
        assert_eq!(outbox.poll(false), None);
        assert_eq!(outbox.poll(true).unwrap().bytes.len(), 100);
    }
}
