//! The harness that the fuzz target `esp`, the property test and the replay of the corpus share, and the seeds of the corpus.
//!
//! Two hosts and the keys for both directions of what they may say to each other ([`Pair`]). An input is a row of records, each a kind, a
//! length (2, big-endian) and that many bytes; what is over is one more record.
//!
//! ```text
//!   kind % 4   0 one receive as it comes: the length of a datagram (2), then datagrams
//!              1 sealed by the other host as IPv4, 2 as IPv6, 3 as what the first byte says
//!   kind & 4   in the domain inside VPC A, else in that of the peering
//!   kind & 8   as it is; else the header checksum of an IPv4 packet is put right, or hardly any would get further
//!   kind & 16  once more at the end, when it is a replay
//! ```

use std::net::IpAddr;

use tunnel::Outbound;
use wire::esp::{self, HEADER_LEN, next_header};
use wire::tcp::Fields;
use wire::{Addresses, Packet, TcpFlags, build, checksum};

use super::cloud::{A, A1, A2, A3, B, B1, Cloud, GUESTS, Guest};
use super::pair::{Datagrams, Delivery, Pair, place};
use super::{link, to_router};

const RECORDS_MAX: usize = 64;
/// An IP packet.
const INNER_MAX: usize = 65_535;

/// What host 2 gets: raw datagrams, and whatever the holder of honest keys seals. Returns how many frames its guests got.
///
/// # Panics
/// If a law is broken: that is what fuzzing looks for.
pub(crate) fn esp(input: &[u8]) -> usize {
    let mut pair = Pair::new(Cloud::open());
    let (mut batch, mut again, mut rest) = (Vec::new(), Vec::new(), input);
    for _ in 0..RECORDS_MAX {
        let Some((kind, record, behind)) = split(rest) else { break };
        rest = behind;
        let sa = &pair.outbound[0][usize::from(kind >> 2 & 1)];
        let Some(datagrams) = datagrams_of(kind, record, sa) else { continue };
        if kind & 16 != 0 {
            again.push(datagrams.clone());
        }
        batch.push(datagrams);
    }
    let opened = |pair: &Pair| pair.inbound[1].iter().map(|sa| sa.packets()).sum::<u64>();
    let delivered = pair.give(1, &batch);
    delivered.iter().for_each(check);
    let before = opened(&pair);
    assert!(delivered.is_empty() || before > 0, "delivered what nobody opened");
    assert_eq!(pair.give(1, &again), [], "delivered twice");
    assert_eq!(opened(&pair), before, "opened twice");
    delivered.len()
}

fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let (len, rest) = rest.split_first_chunk::<2>()?;
    let (record, rest) = rest.split_at(usize::from(u16::from_be_bytes(*len)).min(rest.len()));
    Some((*kind, record, rest))
}

fn datagrams_of(kind: u8, record: &[u8], sa: &Outbound) -> Option<Datagrams> {
    let (next_header, inner) = match kind & 3 {
        0 => {
            let (segment, bytes) = record.split_first_chunk::<2>()?;
            return Some((bytes.to_vec(), u16::from_be_bytes(*segment)));
        }
        1 => (next_header::IPV4, record),
        2 => (next_header::IPV6, record),
        _ => record.split_first().map(|(next_header, inner)| (*next_header, inner))?,
    };
    let mut inner = inner.get(..INNER_MAX).unwrap_or(inner).to_vec();
    if kind & 8 == 0 {
        put_checksum_right(&mut inner);
    }
    Some(sealed(sa, &inner, next_header))
}

fn sealed(sa: &Outbound, inner: &[u8], next_header: u8) -> Datagrams {
    let mut datagram = vec![0; esp::sealed_len(inner.len())];
    datagram[HEADER_LEN..][..inner.len()].copy_from_slice(inner);
    let sequence = sa.reserve(1, inner.len() as u64).unwrap();
    let len = sa.seal(sequence, &mut datagram, inner.len(), next_header);
    assert_eq!(len, datagram.len());
    let segment = u16::try_from(len).unwrap_or(u16::MAX);
    (datagram, segment)
}

fn put_checksum_right(inner: &mut [u8]) {
    let len = inner.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
    if len >= 20 && inner[0] >> 4 == 4 && len <= inner.len() {
        inner[10..12].fill(0);
        let sum = checksum::of(&inner[..len]);
        inner[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}

/// A host speaks for its own guests only, and to those of the other host that its keys reach.
fn check((to, _, frame): &Delivery) {
    let packet = Packet::parse(frame).unwrap();
    let ip = packet.ip().expect("hosts send each other ip");
    let is = |guest: &Guest, address: IpAddr| guest.address(address.is_ipv6()) == address;
    let from = GUESTS.iter().find(|guest| is(guest, ip.src)).expect("a source that somebody has");
    assert_eq!((place(*from), from.vpc), (0, A), "a source of the sending host");
    assert_eq!(place(*to), 1);
    assert!(is(to, ip.dst), "for {to:?}: {ip:?}");
}

/// Named inputs: what hosts say, and what they must not.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let pair = Pair::new(Cloud::open());
    let [there, inside] = [0, 1].map(|at| &pair.outbound[0][at]);
    let socket = |guest: Guest, v6, port| (guest.address(v6), port).into();
    let udp = |from, to, v6, len| {
        let frame = build::udp(to_router(from), socket(from, v6, 40_000), socket(to, v6, 53), &vec![7; len]);
        frame[14..].to_vec()
    };
    let ping = |v6| {
        let (from, to) = (A1.address(v6), B1.address(v6));
        build::icmp_echo(link(A1, B1), from, to, true, 7, 1, b"ping")[14..].to_vec()
    };
    let tcp = |seq| {
        let fields = Fields { src_port: 40_000, dst_port: 443, seq, ack: 1, flags: TcpFlags::ACK, window: 500 };
        let addresses = Addresses::of(A1.v4().into(), B1.v4().into());
        build::tcp_segment(to_router(A1), addresses, fields, &[7; 100])[14..].to_vec()
    };
    let big = build::udp(to_router(A1), socket(A1, false, 9), socket(B1, false, 53), &[7; 2000]);
    let pieces: Vec<Vec<u8>> = build::fragments(&big, 7, 1000).iter().map(|piece| piece[14..].to_vec()).collect();
    let reversed: Vec<Vec<u8>> = pieces.iter().rev().cloned().collect();
    let row =
        |kind: u8, packets: &[Vec<u8>]| packets.iter().flat_map(|packet| record(kind, packet)).collect::<Vec<u8>>();
    let raw = |segment: u16, bytes: &[u8]| record(0, &[&segment.to_be_bytes()[..], bytes].concat());
    let (one, other) = (sealed(there, &udp(A1, B1, false, 8), 4).0, sealed(there, &udp(A1, B1, false, 8), 4).0);
    let within = sealed(inside, &udp(A1, A3, false, 8), 4).0;
    let changed = |at: usize| {
        let mut bytes = one.clone();
        bytes[at] ^= 1;
        raw(one.len() as u16, &bytes)
    };
    let mut wrong_checksum = udp(A1, B1, false, 8);
    wrong_checksum[10] ^= 1;
    let hidden = [udp(A1, B1, false, 8), vec![0; 40]].concat();
    let (own, foreign, unowned) = (udp(A2, A3, false, 8), udp(A3, B1, false, 8), Guest { number: 99, ..A1 });
    let of_b = udp(Guest { vpc: B, subnet: 2, number: 10 }, B1, false, 8);
    vec![
        ("empty", Vec::new()),
        ("keepalive", raw(1, &[0xff])),
        ("ike", raw(4, &[0; 40])),
        ("short", raw(35, &[9; 35])),
        ("unknown-spi", raw(36, &[9; 36])),
        ("segment-zero", raw(0, &one)),
        ("one-receive", raw(one.len() as u16, &[one.clone(), other, within].concat())),
        ("cut", raw(one.len() as u16, &one[..one.len() - 4])),
        ("changed-number", changed(7)),
        ("changed-body", changed(20)),
        ("changed-icv", changed(one.len() - 1)),
        ("v4-udp", row(1, &[udp(A1, B1, false, 8)])),
        ("v6-udp", row(2, &[udp(A1, B1, true, 8)])),
        ("v4-ping", row(1, &[ping(false)])),
        ("v6-ping", row(2, &[ping(true)])),
        ("within-vpc", row(5, std::slice::from_ref(&own))),
        ("replayed", row(17, &[udp(A1, B1, false, 8), udp(A1, B1, false, 9)])),
        ("tcp-stream", row(1, &[tcp(1), tcp(101), tcp(201)])),
        ("tcp-stream-out-of-order", row(1, &[tcp(201), tcp(1), tcp(101)])),
        ("fragments", row(1, &pieces)),
        ("fragments-last-first", row(1, &reversed)),
        ("dummy", record(3, &[&[next_header::DUMMY][..], &[0; 16]].concat())),
        ("next-header", record(3, &[&[6][..], &tcp(1)].concat())),
        ("version", row(2, &[udp(A1, B1, false, 8)])),
        ("nothing-inside", row(1, &[Vec::new()])),
        ("hidden-length", row(1, &[hidden])),
        ("wrong-checksum", row(9, &[wrong_checksum])),
        ("lie-other-host", row(1, &[foreign])),
        ("lie-other-vpc", row(1, &[of_b])),
        ("lie-unowned", row(1, &[udp(unowned, B1, false, 8)])),
        ("lie-domain", [row(1, &[own]), row(5, &[udp(A1, B1, false, 8)])].concat()),
    ]
}

fn record(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[kind][..], &len, bytes].concat()
}
