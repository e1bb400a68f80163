//! The way between hosts: what is cut is whole and right, what is joined can be cut again, what is sealed comes out as it went in.

use crate::checksum::TransportSum;
use crate::coalesce::{Fit, HEADERS_LEN_MAX, Run};
use crate::esp::{self, Inner};
use crate::ethernet::HEADER_LEN;
use crate::ip::protocol;
use crate::segment::{SEGMENTS_MAX, Segments};
use crate::vnet::VnetHeader;
use crate::{Ip, Transport, checksum};
use alloc::vec;
use alloc::vec::Vec;

/// Any bytes as an ESP datagram, and as what was sealed.
pub(super) fn check_esp(bytes: &[u8]) {
    if let Ok(esp::Datagram::Esp(header)) = esp::Datagram::parse(bytes) {
        assert_eq!(bytes[..esp::HEADER_LEN], header.to_bytes(), "an esp header survives its own bytes");
    }
    if let Ok(Inner::Packet(packet)) = Inner::parse(bytes) {
        assert!(bytes.starts_with(packet) && packet.len() + esp::TRAILER_LEN_MIN <= bytes.len());
    }
}

/// An IP packet behind its own trailer.
pub(super) fn check_sealed(packet: &[u8]) {
    let Some(next_header) = esp::next_header_of(packet, TransportSum::Whole) else { return };
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + esp::TRAILER_LEN_MAX, 0);
    let len = esp::put_trailer(&mut buffer, packet.len(), next_header).expect("room enough");
    assert_eq!(len + esp::HEADER_LEN + esp::ICV_LEN, esp::sealed_len(packet.len()));
    assert_eq!(Inner::parse(&buffer[..len]), Ok(Inner::Packet(packet)));
}

/// A frame for paths of several widths.
pub(super) fn check_cut(vnet: &VnetHeader, frame: &[u8], ip: &Ip) {
    for mtu in [576, 1280, 1438, 9001, u16::MAX] {
        let Ok(segments) = Segments::new(vnet, ip, frame, mtu) else { continue };
        assert!((1..=SEGMENTS_MAX).contains(&segments.count()));
        let pieces = cut(&segments);
        let payload = ip.payload - ip.l3;
        let mut joined = Vec::new();
        for piece in &pieces {
            assert!(piece.len() <= mtu.into());
            let found = Ip::parse(piece).expect("a piece is well-formed");
            assert_eq!((found.addresses(), found.protocol, found.fragment), (ip.addresses(), ip.protocol, ip.fragment));
            assert_eq!((found.end(), found.payload), (piece.len() + HEADER_LEN, ip.payload));
            if vnet.is_super_frame() && matches!(found.transport, Transport::Tcp { .. } | Transport::Udp { .. }) {
                let l4 = &piece[found.l4 - HEADER_LEN..];
                let sum = checksum::pseudo_header(found.addresses(), found.protocol, l4.len()).plus(l4);
                assert_eq!(sum.partial(), 0xffff, "each piece has a right checksum");
            }
            joined.extend_from_slice(&piece[payload..]);
        }
        if vnet.is_super_frame() || !vnet.needs_csum {
            assert_eq!(joined, frame[ip.payload..ip.end()], "no data is lost");
        }
        check_joined(&pieces.iter().map(Vec::as_slice).collect::<Vec<_>>(), TransportSum::Whole);
        check_partial(segments.with_partial_sums(), &pieces);
    }
}

/// The pieces with their sums left unfinished: the same but for the checksum field, and they join as the others do.
fn check_partial(segments: Segments<'_>, whole: &[Vec<u8>]) {
    let pieces = cut(&segments);
    if segments.sums() == TransportSum::Whole {
        assert_eq!(pieces, whole);
        return;
    }
    for (piece, whole) in pieces.iter().zip(whole) {
        let found = Ip::parse(piece).expect("a piece is well-formed");
        let is_udp = found.protocol == protocol::UDP;
        let place = found.l4 - HEADER_LEN + usize::from(VnetHeader::partial_sum(is_udp, 0).csum_offset);
        let without = |bytes: &[u8]| [&bytes[..place], &bytes[place + 2..]].concat();
        assert_eq!(without(piece), without(whole));
    }
    check_joined(&pieces.iter().map(Vec::as_slice).collect::<Vec<_>>(), TransportSum::Partial);
}

/// Joins packets as they come, cuts the runs again, and finds the packets again: all but ids that mean nothing (DF, RFC 6864 4.1).
pub(super) fn check_joined(packets: &[&[u8]], sums: TransportSum) {
    let mut again = Vec::new();
    for (vnet, super_packet) in join(packets, sums) {
        if !vnet.is_super_frame() {
            again.push(super_packet);
            continue;
        }
        let ip = Ip::parse(&super_packet).expect("a run is well-formed");
        let frame = [&[0; HEADER_LEN][..], &super_packet].concat();
        let segments = Segments::new(&vnet, &ip, &frame, u16::MAX).expect("a run can be cut");
        let segments = if sums == TransportSum::Partial { segments.with_partial_sums() } else { segments };
        assert_eq!(segments.payload_size(), usize::from(vnet.gso_size));
        again.extend(cut(&segments));
    }
    assert_eq!(again.len(), packets.len());
    for (again, packet) in again.iter().zip(packets) {
        assert_eq!(without_free_id(again), without_free_id(packet));
    }
}

fn cut(segments: &Segments<'_>) -> Vec<Vec<u8>> {
    let piece = |index| {
        let mut out = vec![0xee; segments.len_of(index)];
        assert_eq!(segments.write(index, &mut out), Ok(out.len()));
        out
    };
    (0..segments.count()).map(piece).collect()
}

/// The fast path as its module describes it: every packet is laid over the end of the run.
fn join(packets: &[&[u8]], sums: TransportSum) -> Vec<(VnetHeader, Vec<u8>)> {
    let (mut out, mut current) = (Vec::new(), None::<(Run, Vec<u8>)>);
    for packet in packets {
        if let Some((run, buffer)) = &mut current {
            let at = buffer.len() - run.header_len();
            let saved = buffer.split_off(at);
            assert!(saved.len() <= HEADERS_LEN_MAX);
            buffer.extend_from_slice(packet);
            let fit = run.fit(&buffer[at..], sums);
            if let Fit::Joins(piece) = fit {
                assert_eq!(piece.payload(), run.header_len()..packet.len());
                buffer[at..at + saved.len()].copy_from_slice(&saved);
                run.append(piece);
                assert_eq!(run.len(), buffer.len());
                continue;
            }
            buffer.truncate(at);
            buffer.extend_from_slice(&saved);
        }
        out.extend(current.take().map(finish));
        match Run::start(packet, sums) {
            Some(run) => current = Some((run, packet.to_vec())),
            None => out.push((VnetHeader::default(), packet.to_vec())),
        }
    }
    out.extend(current.map(finish));
    out
}

fn finish((run, mut buffer): (Run, Vec<u8>)) -> (VnetHeader, Vec<u8>) {
    let vnet = run.finish(&mut buffer, HEADER_LEN as u16).expect("the run is all there");
    assert_eq!(vnet.is_super_frame(), run.count() > 1);
    (vnet, buffer)
}

/// The packet with id and header checksum zeroed, if it is IPv4 under DF.
fn without_free_id(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    if packet.len() >= 20 && packet[0] >> 4 == 4 && packet[6] & 0x40 != 0 {
        packet[4..6].fill(0);
        packet[10..12].fill(0);
    }
    packet
}
