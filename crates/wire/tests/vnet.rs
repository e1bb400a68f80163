//! What a guest may ask for in front of its frames, and what not.

use wire::ethernet::Link;
use wire::vnet::{GsoType, LEN, VnetError, VnetHeader};
use wire::{MacAddr, Packet, TcpFlags, build};

const LINK: Link = Link { src: MacAddr([2, 0, 0, 0, 0, 9]), dst: MacAddr([2, 0, 0, 0, 0, 1]) };

fn super_frame(gso_size: u16) -> (VnetHeader, Packet) {
    let (src, dst) = ("10.16.1.10:40000".parse().unwrap(), "10.17.1.10:443".parse().unwrap());
    let (header, frame) = build::tcp_super_frame(LINK, src, dst, &[1; 4000], gso_size);
    (header, Packet::parse(&frame).unwrap())
}

fn udp(payload: usize) -> (VnetHeader, Packet) {
    let (src, dst) = ("10.16.1.10:40000".parse().unwrap(), "10.17.1.10:53".parse().unwrap());
    let (header, frame) = build::with_partial_checksum(&build::udp(LINK, src, dst, &vec![1; payload]));
    (header, Packet::parse(&frame).unwrap())
}

#[test]
fn the_bytes_by_hand() {
    let bytes = [1, 0x81, 66, 0, 0xb4, 0x05, 34, 0, 16, 0, 0xaa];
    let (header, rest) = VnetHeader::split(&bytes).unwrap();
    let expected = VnetHeader {
        needs_csum: true,
        data_valid: false,
        gso_type: GsoType::TcpV4,
        ecn: true,
        hdr_len: 66,
        gso_size: 1460,
        csum_start: 34,
        csum_offset: 16,
    };
    assert_eq!((header, rest), (expected, &[0xaa][..]));
    assert_eq!(header.to_bytes(), bytes[..LEN]);
    assert_eq!(VnetHeader::split(&bytes[..9]), Err(VnetError::Short));
}

#[test]
fn what_was_not_offered_is_refused() {
    for (flags, gso_type) in [(4, 0), (8, 0), (0x80, 0), (0, 2), (0, 6), (0, 0x24), (0, 0x40)] {
        let mut bytes = [0; LEN];
        (bytes[0], bytes[1]) = (flags, gso_type);
        assert_eq!(VnetHeader::split(&bytes), Err(VnetError::NotOffered { flags, gso_type }));
    }
}

#[test]
fn a_good_super_frame_passes_and_each_lie_is_named() {
    let (good, packet) = super_frame(1460);
    assert_eq!(good.check(&packet), Ok(()));
    let lies = [
        (VnetHeader { gso_size: 0, ..good }, VnetError::GsoSize(0)),
        (VnetHeader { gso_size: 7, ..good }, VnetError::GsoSize(7)),
        (VnetHeader { gso_size: 0xffff, ..good }, VnetError::GsoSize(0xffff)),
        (VnetHeader { gso_type: GsoType::TcpV6, ..good }, VnetError::GsoOfOther),
        (VnetHeader { gso_type: GsoType::UdpL4, ..good }, VnetError::GsoOfOther),
        (VnetHeader { needs_csum: false, ..good }, VnetError::GsoWithoutCsum),
        (VnetHeader { csum_start: 38, ..good }, VnetError::CsumOutside),
        (VnetHeader { csum_offset: 6, ..good }, VnetError::CsumOutside),
        (VnetHeader { hdr_len: 5000, ..good }, VnetError::HdrLen(5000)),
    ];
    for (lie, why) in lies {
        assert_eq!(lie.check(&packet), Err(why), "{lie:?}");
    }
}

#[test]
fn a_checksum_to_finish_lies_inside_the_transport() {
    let (good, packet) = udp(100);
    assert_eq!(good.check(&packet), Ok(()));
    let inner = VnetHeader { csum_start: 60, csum_offset: 16, ..good };
    assert_eq!(inner.check(&packet), Ok(()), "a tunnel of the guest's own leaves an inner checksum");
    for (csum_start, csum_offset) in
        [(33, 6), (0, 0), (141, 0), (34, 107), (0xffff, 0xffff), (142, 0), (34, 12), (40, 0)]
    {
        let outside = VnetHeader { csum_start, csum_offset, ..good };
        assert_eq!(outside.check(&packet), Err(VnetError::CsumOutside), "{csum_start}+{csum_offset}");
    }
    let at_the_end = VnetHeader { csum_start: 140, csum_offset: 0, ..good };
    assert_eq!(at_the_end.check(&packet), Ok(()));
}

#[test]
fn udp_is_cut_into_at_most_128() {
    let (header, packet) = udp(1280);
    let cut = |gso_size| VnetHeader { gso_type: GsoType::UdpL4, gso_size, ..header }.check(&packet);
    assert_eq!(cut(10), Ok(()));
    assert_eq!(cut(9), Err(VnetError::GsoSize(9)));
}

#[test]
fn fragments_and_arp_have_nothing_to_finish_or_cut() {
    let whole = build::udp(LINK, "10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap(), &[1; 100]);
    let (good, _) = build::with_partial_checksum(&whole);
    let first = Packet::parse(&build::fragments(&whole, 1, 64)[0]).unwrap();
    let arp = build::arp_request(LINK.src, "10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
    let arp = Packet::parse(&arp).unwrap();
    for packet in [first, arp] {
        assert_eq!(good.check(&packet), Err(VnetError::CsumOfNothing));
        let cut = VnetHeader { gso_type: GsoType::UdpL4, gso_size: 8, ..VnetHeader::default() };
        assert_eq!(cut.check(&packet), Err(VnetError::GsoOfOther));
        assert_eq!(VnetHeader::default().check(&packet), Ok(()));
    }
}

#[test]
fn finishing_leaves_super_frames_alone() {
    let (src, dst) = ("[2001:db8::a]:4".parse().unwrap(), "[2001:db8::b]:5".parse().unwrap());
    let (mut header, mut frame) = build::tcp_super_frame(LINK, src, dst, &[1; 4000], 1440);
    let (before, packet) = ((header, frame.clone()), Packet::parse(&frame).unwrap());
    header.finish_checksum(&mut frame, packet.ip().unwrap());
    assert_eq!((header, frame), before);
    let whole = build::tcp(LINK, src, dst, TcpFlags::ACK, b"data");
    let (mut header, mut frame) = build::with_partial_checksum(&whole);
    let packet = Packet::parse(&frame).unwrap();
    assert_ne!(frame, whole);
    header.finish_checksum(&mut frame, packet.ip().unwrap());
    assert_eq!(frame, whole);
}
