//! Every piece is a whole, right packet that fits, and together they are what the guest sent.

use crate::build::{ETHERNET_LEN, Super, has_right_checksums, super_packet};
use proptest::prelude::*;
use wire::ethernet::Link;
use wire::segment::{SEGMENTS_MAX, SegmentError, Segments};
use wire::vnet::{GsoType, VnetError, VnetHeader};
use wire::{EmitError, Ip, MacAddr, Packet, TcpFlags, build};

const LINK: Link = Link { src: MacAddr([2, 0, 0, 0, 0, 9]), dst: MacAddr([2, 0, 0, 0, 0, 1]) };

fn ip_of(frame: &[u8]) -> Ip {
    *Packet::parse(frame).expect("well-formed").ip().expect("ip")
}

fn write(segments: &Segments<'_>) -> Vec<Vec<u8>> {
    let piece = |index| {
        let len = segments.len_of(index);
        let mut short = vec![0xee; len - 1];
        assert_eq!(segments.write(index, &mut short), Err(EmitError::NoRoom { need: len, have: len - 1 }));
        assert!(short.iter().all(|byte| *byte == 0xee), "a buffer too small stays as it was");
        let mut out = vec![0xee; len + 3];
        assert_eq!(segments.write(index, &mut out), Ok(len));
        assert_eq!(out.split_off(len), [0xee; 3], "nothing is written behind the piece");
        out
    };
    (0..segments.count()).map(piece).collect()
}

fn cut(header: &VnetHeader, frame: &[u8], mtu: u16) -> Result<Vec<Vec<u8>>, SegmentError> {
    Segments::new(header, &ip_of(frame), frame, mtu).map(|segments| write(&segments))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_super_frame_is_cut_as_a_card_would(spec in super_packet(false), mtu in 60u16..3000, padding in 0usize..4) {
        let (header, mut frame) = spec.frame();
        frame.resize(frame.len() + padding, 0xee);
        prop_assert_eq!(header.check(&Packet::parse(&frame).unwrap()), Ok(()));
        let asked = spec.header_len() + spec.payload.len().min(spec.gso_size.into());
        let size = if asked <= mtu.into() { spec.gso_size.into() } else { usize::from(mtu).saturating_sub(spec.header_len()) };
        let may_be_cut = asked <= mtu.into()
            || spec.tcp && size > 0 && spec.payload.len().div_ceil(size) <= SEGMENTS_MAX;
        match cut(&header, &frame, mtu) {
            Ok(pieces) => {
                prop_assert!(may_be_cut);
                prop_assert_eq!(&pieces, &spec.cut_to(size));
                for piece in &pieces {
                    prop_assert!(piece.len() <= mtu.into());
                    prop_assert!(has_right_checksums(piece));
                    let framed = [&frame[..ETHERNET_LEN], piece].concat();
                    prop_assert_eq!(Packet::parse(&framed).map(|packet| packet.ip().copied()), Ok(Ip::parse(piece).ok()));
                }
            }
            Err(refused) => {
                prop_assert!(!may_be_cut);
                prop_assert_eq!(refused, SegmentError::TooBig { length: asked, mtu });
            }
        }
    }

    #[test]
    fn lengths_are_known_before(spec in super_packet(false)) {
        let (header, frame) = spec.frame();
        let segments = Segments::new(&header, &ip_of(&frame), &frame, u16::MAX).unwrap();
        let count = segments.count();
        prop_assert_eq!(count, spec.packets().len());
        prop_assert_eq!(segments.payload_size(), usize::from(spec.gso_size));
        let full = spec.header_len() + segments.payload_size();
        prop_assert!((0..count - 1).all(|index| segments.len_of(index) == full), "all but the last have one length");
        prop_assert!(segments.len_of(count - 1) <= full);
        prop_assert_eq!((segments.len_of(count), segments.write(count, &mut [])), (0, Ok(0)));
        prop_assert_eq!(segments.len_of(usize::MAX), 0);
    }

    #[test]
    fn any_header_in_front_of_any_frame_is_taken(
        spec in super_packet(false),
        bytes in any::<[u8; 10]>(),
        changes in proptest::collection::vec((0usize..120, any::<u8>()), 0..4),
        mtu in any::<u16>(),
    ) {
        let (_, mut frame) = spec.frame();
        let ip = ip_of(&frame);
        for (at, value) in changes {
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
        }
        let mut bytes = bytes;
        (bytes[0], bytes[1]) = (bytes[0] & 3, [0, 1, 3, 4, 5][usize::from(bytes[1] % 5)]);
        let (header, _) = VnetHeader::split(&bytes).unwrap();
        frame.truncate(usize::from(mtu).max(ETHERNET_LEN));
        // The frame is not the one that was parsed: no piece need be right, but nothing breaks.
        if let Ok(segments) = Segments::new(&header, &ip, &frame, mtu) {
            let mut out = vec![0; 70000];
            for index in 0..segments.count() {
                prop_assert_eq!(segments.write(index, &mut out), Ok(segments.len_of(index)));
            }
        }
    }
}

fn addresses(port: u16) -> (std::net::SocketAddr, std::net::SocketAddr) {
    ("10.16.1.10:40000".parse().unwrap(), std::net::SocketAddr::new("10.17.1.10".parse().unwrap(), port))
}

#[test]
fn an_ordinary_frame_is_one_piece_with_its_checksum_finished() {
    let (src, dst) = addresses(53);
    let whole = build::udp(LINK, src, dst, &[7; 101]);
    assert_eq!(cut(&VnetHeader::default(), &whole, 129), Ok(vec![whole[14..].to_vec()]));
    let (header, frame) = build::with_partial_checksum(&whole);
    assert_ne!(frame, whole);
    assert_eq!(cut(&header, &frame, 129), Ok(vec![whole[14..].to_vec()]));
    let segments = Segments::new(&header, &ip_of(&frame), &frame, 129).unwrap();
    assert_eq!((segments.count(), segments.payload_size(), segments.len_of(0)), (1, 129, 129));
    let too_big = SegmentError::TooBig { length: 129, mtu: 128 };
    assert_eq!(cut(&header, &frame, 128), Err(too_big));
    let ufo = VnetHeader { gso_type: GsoType::Udp, gso_size: 64, ..header };
    assert_eq!(cut(&ufo, &frame, 129), Ok(vec![whole[14..].to_vec()]), "it fits and needs no fragments");
    assert_eq!(cut(&ufo, &frame, 128), Err(too_big));
}

#[test]
fn a_checksum_of_the_guests_own_tunnel_is_finished_where_it_says() {
    let (src, dst) = addresses(4789);
    let (outer, _) = build::with_partial_checksum(&build::udp(LINK, src, dst, &[7; 101]));
    let frame = build::udp(LINK, src, dst, &[7; 101]);
    let header = VnetHeader { csum_start: 60, csum_offset: 20, ..outer };
    let mut expected = frame.clone();
    header.clone().finish_checksum(&mut expected, &ip_of(&frame));
    assert_ne!(expected, frame);
    assert_eq!(cut(&header, &frame, 1500), Ok(vec![expected[14..].to_vec()]));
}

#[test]
fn fragments_pass_unchanged() {
    let (src, dst) = addresses(53);
    for fragment in build::fragments(&build::udp(LINK, src, dst, &[7; 300]), 9, 104) {
        let plain = VnetHeader::default();
        assert_eq!(cut(&plain, &fragment, 124), Ok(vec![fragment[14..].to_vec()]));
        let asks = VnetHeader { needs_csum: true, csum_start: 34, csum_offset: 6, ..plain };
        assert_eq!(cut(&asks, &fragment, 1500), Err(VnetError::CsumOfNothing.into()));
    }
}

#[test]
fn a_tiny_segment_size_is_refused_and_a_tiny_path_is_too_small() {
    let (src, dst) = addresses(443);
    let (header, frame) = build::tcp_super_frame(LINK, src, dst, &[7; 2048 * 8], 8);
    assert_eq!(cut(&header, &frame, 1500).map(|pieces| pieces.len()), Ok(SEGMENTS_MAX));
    let (header, frame) = build::tcp_super_frame(LINK, src, dst, &[7; 2048 * 8 + 1], 8);
    assert_eq!(cut(&header, &frame, 1500), Err(SegmentError::TooMany(8)));
    let header = VnetHeader { gso_size: 1460, ..header };
    for mtu in [0, 40, 41, 47] {
        assert_eq!(cut(&header, &frame, mtu), Err(SegmentError::TooBig { length: 1500, mtu }));
    }
    assert_eq!(cut(&header, &frame, 49).map(|pieces| pieces.len()), Ok(1821));
    let lie = VnetHeader { csum_start: 38, ..header };
    assert_eq!(cut(&lie, &frame, 1500), Err(VnetError::CsumOutside.into()));
}

#[test]
fn datagrams_are_never_cut_smaller_than_their_sender_asks() {
    let (src, dst) = addresses(53);
    let (header, frame) = build::udp_super_frame(LINK, src, dst, &[7; 3000], 1000);
    assert_eq!(cut(&header, &frame, 1028).map(|pieces| pieces.len()), Ok(3));
    assert_eq!(cut(&header, &frame, 1027), Err(SegmentError::TooBig { length: 1028, mtu: 1027 }));
}

#[test]
fn flags_ids_and_sequence_numbers_by_hand() {
    let flags = TcpFlags::CWR | TcpFlags::ACK | TcpFlags::PSH | TcpFlags::FIN;
    let spec = Super {
        v6: false,
        tcp: true,
        ip_options: 0,
        tcp_options: vec![],
        dont_fragment: true,
        traffic_class: 0,
        ttl: 64,
        flow_label: 0,
        id: 0xffff,
        addresses: ([10; 16], [11; 16]),
        ports: (1, 2),
        seq: 0xffff_fff0,
        ack: 5,
        flags: flags.0,
        window: 100,
        urgent: 0,
        payload: vec![1; 50],
        gso_size: 20,
    };
    let (header, frame) = spec.frame();
    let pieces = cut(&header, &frame, 1500).unwrap();
    let fields: Vec<_> = pieces
        .iter()
        .map(|piece| {
            let tcp = wire::tcp::Header::parse(&piece[20..]).unwrap().fields();
            (wire::ipv4::Header::parse(piece).unwrap().id(), tcp.seq, tcp.flags, piece.len())
        })
        .collect();
    let (first, last) = (TcpFlags::CWR | TcpFlags::ACK, TcpFlags::ACK | TcpFlags::PSH | TcpFlags::FIN);
    assert_eq!(fields, [(0xffff, 0xffff_fff0, first, 60), (0, 4, TcpFlags::ACK, 60), (1, 24, last, 50)]);
}
