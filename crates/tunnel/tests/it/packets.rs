//! What is sealed opens once, unaltered, wherever its place is; nothing else opens.

use proptest::prelude::*;
use tunnel::{Cipher, Identity, Inbound, KeyMaterial, OpenError, Opened, Outbound, WINDOW};
use wire::esp::next_header::{DUMMY, IPV4, IPV4_PARTIAL, IPV6, IPV6_PARTIAL};
use wire::esp::{HEADER_LEN, ICV_LEN, TRAILER_LEN_MAX, sealed_len};

use crate::world::{domain, host};

/// What a packet grows by at most.
const OVERHEAD_MAX: usize = HEADER_LEN + TRAILER_LEN_MAX + ICV_LEN;

const CIPHERS: [Cipher; 2] = [Cipher::Ring, Cipher::AwsLc];

fn material(byte: u8) -> KeyMaterial {
    KeyMaterial::fill::<()>(|bytes| {
        bytes.fill(byte);
        Ok(())
    })
    .unwrap()
}

fn identity() -> Identity {
    Identity { spi: 0xcafe, domain: domain(0, 1), host: host(0), shard: 3, partial_sums: true }
}

fn ends(cipher: Cipher) -> (Outbound, Inbound) {
    (Outbound::new(identity(), &material(9), cipher), Inbound::new(identity(), &material(9), cipher))
}

/// Of an IPv4 packet: version and length, then whatever.
fn inner(len: usize) -> Vec<u8> {
    let mut packet: Vec<u8> = (0..len).map(|at| (at * 31 % 251) as u8).collect();
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
    packet
}

/// The same of an IPv6 packet.
fn inner_v6(len: usize) -> Vec<u8> {
    let mut packet = inner(len);
    packet[0] = 0x60;
    packet[4..6].copy_from_slice(&(len as u16 - 40).to_be_bytes());
    packet
}

fn seal(sa: &Outbound, inner: &[u8], next_header: u8) -> Vec<u8> {
    let sequence = sa.reserve(1, inner.len() as u64).unwrap();
    seal_as(sa, sequence, inner, next_header)
}

fn seal_as(sa: &Outbound, sequence: u64, inner: &[u8], next_header: u8) -> Vec<u8> {
    let mut packet = vec![0xdd; HEADER_LEN];
    packet.extend(inner);
    packet.resize(inner.len() + OVERHEAD_MAX, 0xdd);
    let len = sa.seal(sequence, &mut packet, inner.len(), next_header);
    assert_eq!(len, sealed_len(inner.len()));
    packet.truncate(len);
    packet
}

fn open(sa: &Inbound, packet: &[u8]) -> Result<(Vec<u8>, u8), OpenError> {
    let mut buf = packet.to_vec();
    let opened = sa.lock().open(&mut buf, 0..packet.len(), HEADER_LEN)?;
    Ok((buf[opened.inner].to_vec(), opened.next_header))
}

/// Opens the packet at every shift in a buffer that has a mark before and behind.
fn open_shifted(cipher: Cipher, packet: &[u8], start: usize, dest: usize) -> Result<Vec<u8>, OpenError> {
    let (_, inbound) = ends(cipher);
    let mut buf = vec![0xab; start];
    buf.extend(packet);
    buf.extend([0xcd; 40]);
    let end = start + packet.len();
    let Opened { inner, .. } = inbound.lock().open(&mut buf, start..end, dest)?;
    assert_eq!(inner.start, dest);
    assert!(buf[..dest.min(start)].iter().all(|byte| *byte == 0xab), "nothing before the place is touched");
    assert!(buf[end..].iter().all(|byte| *byte == 0xcd), "nothing behind the packet is touched");
    Ok(buf[inner].to_vec())
}

#[test]
fn every_size_opens() {
    for cipher in CIPHERS {
        let (outbound, inbound) = ends(cipher);
        for len in 20..=9000 {
            let is_v6 = len >= 40 && len % 2 == 1;
            let (inner, next_header) = if is_v6 { (inner_v6(len), IPV6) } else { (inner(len), IPV4) };
            let packet = seal(&outbound, &inner, next_header);
            assert_eq!(packet.len() % 4, 0);
            assert!(packet.len() <= len + OVERHEAD_MAX);
            assert_eq!(open(&inbound, &packet), Ok((inner, next_header)), "{len}");
        }
        assert_eq!((outbound.packets(), outbound.bytes()), (inbound.packets(), inbound.bytes()));
    }
}

#[test]
fn every_shift_opens() {
    for cipher in CIPHERS {
        for len in [20, 21, 1399, 1400, 8940] {
            let packet = seal(&ends(cipher).0, &inner(len), IPV4);
            for start in [0, 1, 60, 200] {
                for dest in 0..=start + HEADER_LEN {
                    assert_eq!(open_shifted(cipher, &packet, start, dest).as_deref(), Ok(&inner(len)[..]));
                }
            }
            assert_eq!(open_shifted(cipher, &packet, 60, 60 + HEADER_LEN + 1), Err(OpenError::Malformed));
        }
    }
}

#[test]
fn every_flipped_bit_is_seen_and_marks_nothing() {
    for cipher in CIPHERS {
        let (outbound, inbound) = ends(cipher);
        let packet = seal(&outbound, &inner(61), IPV4);
        for bit in 0..packet.len() * 8 {
            let mut altered = packet.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            let error = open(&inbound, &altered).unwrap_err();
            // SPI, the low half that stands there twice, and numbers from 2^63 on.
            let in_numbers = bit < 64 || (96..128).contains(&bit) || bit == 8 * 8 + 7;
            let expected = if in_numbers { OpenError::Malformed } else { OpenError::Authentication };
            assert_eq!(error, expected, "bit {bit}");
        }
        let failures = inbound.authentication_failures() + inbound.malformed();
        assert_eq!(failures, packet.len() as u64 * 8);
        assert!(open(&inbound, &packet).is_ok(), "the window is unmarked");
    }
}

#[test]
fn a_replay_is_seen_inside_and_outside_the_window() {
    let (outbound, inbound) = ends(Cipher::Ring);
    let packets: Vec<_> = (0..WINDOW + 100).map(|_| seal(&outbound, &inner(40), IPV4)).collect();
    for packet in &packets[100..] {
        assert!(open(&inbound, packet).is_ok());
    }
    assert_eq!(open(&inbound, packets.last().unwrap()), Err(OpenError::Replayed));
    assert_eq!(open(&inbound, &packets[100]), Err(OpenError::Replayed));
    assert_eq!(open(&inbound, &packets[99]), Err(OpenError::TooOld));
    assert_eq!(inbound.replayed(), 3);
}

#[test]
fn an_own_packet_sent_back_does_not_open() {
    // The same SPI in the other direction: another key, by the context.
    let (outbound, _) = ends(Cipher::Ring);
    let other = Inbound::new(identity(), &material(10), Cipher::Ring);
    assert_eq!(open(&other, &seal(&outbound, &inner(40), IPV4)), Err(OpenError::Authentication));
}

#[test]
fn another_spi_zero_and_unknown_contents_are_malformed() {
    let (outbound, inbound) = ends(Cipher::Ring);
    let foreign = Outbound::new(Identity { spi: 0xbeef, ..identity() }, &material(9), Cipher::Ring);
    assert_eq!(open(&inbound, &seal(&foreign, &inner(40), IPV4)), Err(OpenError::Malformed));
    outbound.reserve(5, 0).unwrap();
    assert_eq!(open(&inbound, &seal_as(&outbound, 0, &inner(40), IPV4)), Err(OpenError::Malformed));
    for next_header in [0, 6, 17, 143] {
        assert_eq!(open(&inbound, &seal(&outbound, &inner(40), next_header)), Err(OpenError::Malformed));
    }
}

#[test]
fn a_partial_sum_opens_only_where_it_was_agreed() {
    let (outbound, inbound) = ends(Cipher::Ring);
    for (inner, next_header) in [(inner(40), IPV4_PARTIAL), (inner_v6(60), IPV6_PARTIAL)] {
        assert_eq!(open(&inbound, &seal(&outbound, &inner, next_header)), Ok((inner.clone(), next_header)));
        let strict = Inbound::new(Identity { partial_sums: false, ..identity() }, &material(9), Cipher::Ring);
        assert_eq!(open(&strict, &seal(&outbound, &inner, next_header)), Err(OpenError::Malformed));
    }
    let strict = Inbound::new(Identity { partial_sums: false, ..identity() }, &material(9), Cipher::Ring);
    assert!(open(&strict, &seal(&outbound, &inner(40), IPV4)).is_ok());
}

/// Seals whatever bytes, with nothing of ours.
fn by_hand(sequence: u64, plain: &[u8]) -> Vec<u8> {
    let number = sequence.to_be_bytes();
    let additional = [&0xcafe_u32.to_be_bytes()[..], &number].concat();
    let nonce = [&[9; 4][..], &number].concat().try_into().unwrap();
    let key = ring::aead::UnboundKey::new(&ring::aead::AES_256_GCM, &[9; 32]).unwrap();
    let mut sealed = plain.to_vec();
    ring::aead::LessSafeKey::new(key)
        .seal_in_place_append_tag(
            ring::aead::Nonce::assume_unique_for_key(nonce),
            ring::aead::Aad::from(additional),
            &mut sealed,
        )
        .unwrap();
    [&0xcafe_u32.to_be_bytes()[..], &number[4..], &number, &sealed].concat()
}

#[test]
fn what_another_implementation_seals_opens_with_any_padding() {
    let (_, inbound) = ends(Cipher::Ring);
    for padding in 0..=255_u8 {
        let mut plain = inner_v6(300 - 2 - usize::from(padding));
        plain.extend(1..=padding);
        plain.extend([padding, IPV6]);
        let inner = plain[..298 - usize::from(padding)].to_vec();
        assert_eq!(open(&inbound, &by_hand(1 + u64::from(padding), &plain)), Ok((inner, IPV6)));
    }
}

#[test]
fn bytes_that_hide_the_length_are_left_out() {
    let (_, inbound) = ends(Cipher::Ring);
    let plain = [&inner(40)[..], &[0xff; 26], &[0, IPV4]].concat();
    assert_eq!(open(&inbound, &by_hand(1, &plain)), Ok((inner(40), IPV4)));
    let dummy = [&[0xff; 66][..], &[0, DUMMY]].concat();
    assert_eq!(open(&inbound, &by_hand(2, &dummy)), Ok((vec![], DUMMY)));
    assert_eq!((inbound.packets(), inbound.bytes()), (2, 40));
}

#[test]
fn an_inner_packet_of_another_version_or_length_is_malformed() {
    let (outbound, inbound) = ends(Cipher::Ring);
    let mut long = inner(40);
    long[3] = 41;
    for (inner, next_header) in [(inner(40), IPV6), (inner_v6(40), IPV4), (long, IPV4), (vec![], IPV4), (vec![], IPV6)]
    {
        assert_eq!(open(&inbound, &seal(&outbound, &inner, next_header)), Err(OpenError::Malformed), "{inner:?}");
    }
    assert_eq!((inbound.packets(), inbound.malformed()), (0, 5));
}

#[test]
fn an_authentic_packet_with_a_wrong_trailer_is_malformed_and_counts_as_seen() {
    let (_, inbound) = ends(Cipher::Ring);
    for (sequence, trailer) in (1..).zip([[1, 3, 2, IPV4], [1, 2, 41, IPV4], [1, 2, 255, IPV4], [1, 2, 2, 0]]) {
        let plain = [&inner(36)[..], &trailer].concat();
        assert_eq!(open(&inbound, &by_hand(sequence, &plain)), Err(OpenError::Malformed), "{trailer:?}");
        assert_eq!(open(&inbound, &by_hand(sequence, &plain)), Err(OpenError::Replayed), "{trailer:?}");
    }
    assert_eq!(open(&inbound, &by_hand(9, &[1, 2, 4])), Err(OpenError::Malformed), "not a multiple of four");
}

proptest! {
    #[test]
    fn any_size_at_any_place_opens(len in 20_usize..9000, start in 0_usize..300, back in 0_usize..316, is_aws: bool) {
        let cipher = CIPHERS[usize::from(is_aws)];
        let packet = seal(&ends(cipher).0, &inner(len), IPV4);
        let dest = (start + HEADER_LEN).saturating_sub(back);
        prop_assert_eq!(open_shifted(cipher, &packet, start, dest), Ok(inner(len)));
    }

    #[test]
    fn any_change_of_any_packet_is_seen(
        len in 20_usize..2000, at: prop::sample::Index, xor in 1_u8.., cut: prop::sample::Index, is_cut: bool, is_aws: bool,
    ) {
        let (outbound, inbound) = ends(CIPHERS[usize::from(is_aws)]);
        let packet = seal(&outbound, &inner(len), IPV4);
        let mut altered = packet.clone();
        if is_cut {
            altered.truncate(cut.index(packet.len()));
        } else {
            altered[at.index(packet.len())] ^= xor;
        }
        let error = open(&inbound, &altered).unwrap_err();
        prop_assert!(matches!(error, OpenError::Authentication | OpenError::Malformed), "{error}");
        prop_assert!(open(&inbound, &packet).is_ok());
    }

    #[test]
    fn no_bytes_and_no_ranges_panic(mut bytes: Vec<u8>, start in 0_usize..100, end in 0_usize..100, dest in 0_usize..200) {
        let (_, inbound) = ends(Cipher::Ring);
        if bytes.len() >= 16 {
            bytes[..4].copy_from_slice(&0xcafe_u32.to_be_bytes());
            bytes.copy_within(12..16, 4);
        }
        prop_assert!(inbound.lock().open(&mut bytes, start..end, dest).is_err());
    }

    #[test]
    fn packets_in_any_order_come_once(order in prop::collection::vec(0_usize..64, 0..200)) {
        let (outbound, inbound) = ends(Cipher::Ring);
        let packets: Vec<_> = (0..64).map(|n| seal(&outbound, &inner(40 + n), IPV4)).collect();
        let mut seen = [false; 64];
        for which in order {
            let expected = if seen[which] { Err(OpenError::Replayed) } else { Ok((inner(40 + which), IPV4)) };
            prop_assert_eq!(open(&inbound, &packets[which]), expected);
            seen[which] = true;
        }
    }
}
