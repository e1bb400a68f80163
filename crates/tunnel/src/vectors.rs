//! The test vectors of spec 14.10: public ones (draft-mcgrew-gcm-test-01) as raw AEAD, our own in tunnel mode through both ends.

use wire::esp::{self, HEADER_LEN, Header, next_header};

use crate::keys::{Cipher, Key, KeyMaterial};
use crate::sa::{Identity, Inbound, Opened, Outbound};

const CIPHERS: [Cipher; 2] = [Cipher::Ring, Cipher::AwsLc];

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn material(key: &str, salt: &str) -> KeyMaterial {
    KeyMaterial::fill::<()>(|bytes| {
        bytes.copy_from_slice(&[hex(key), hex(salt)].concat());
        Ok(())
    })
    .unwrap()
}

/// Seals and opens with both implementations.
fn check(material: &KeyMaterial, iv: &str, additional: &str, plain: &str, sealed: &str, icv: &str) {
    for cipher in CIPHERS {
        let key = Key::new(material, cipher);
        let nonce = key.nonce(hex(iv).try_into().unwrap());
        let mut text = hex(plain);
        assert_eq!(key.seal(nonce, &hex(additional), &mut text).to_vec(), hex(icv), "{cipher:?}");
        assert_eq!(text, hex(sealed), "{cipher:?}");
        text.extend(hex(icv));
        assert_eq!(key.open(nonce, &hex(additional), &mut text, 0), Some(plain.len() / 2), "{cipher:?}");
        assert_eq!(text[..plain.len() / 2], hex(plain), "{cipher:?}");
    }
}

const DRAFT_KEY: &str = "abbccddef00112233445566778899aababbccddef00112233445566778899aab";
const OWN_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const OWN_SALT: &str = "a0a1a2a3";
const INNER: &str = "4500002400014000401123aa0a00010a0a0102149c4000350010a5d270656572696e6721";

#[test]
fn v1_without_esn() {
    check(
        &material(DRAFT_KEY, "11223344"),
        "0102030405060708",
        "4a2cbfe300000002",
        "4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee0000000007002400020bf0000020405b40101040201020201",
        "ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763748a637985771d347f0545659f14e99def842d8e",
        "b335f4eecfdbf831824b4c4915956c96",
    );
}

#[test]
fn v2_with_esn() {
    check(
        &material(DRAFT_KEY, "73616c74"),
        "616e640169766563",
        "17405e67156f3126dd0db99b",
        "45080028732c00004006e9f90a0106120a01038f06b88023dd6bafbecb71260250101f646d540001",
        "f2d69ecdbd5a0d5b8d5ef38bad4da58d1f278fde98ef67549d524a3018d9a57ff4d3a31ce673119e",
        "451626c2415771e3b7eebca614c89b35",
    );
}

#[test]
fn v3_with_the_last_esn() {
    check(
        &material("6c6567616c697a656d6172696a75616e61616e64646f69746265666f72656961", "7475726e"),
        "333021696765746d",
        "796b6963ffffffffffffffff",
        "45000030da3a00008001df3bc0a80005c0a800010800c6cd020007006162636465666768696a6b6c6d6e6f707172737401020201",
        "f97ab2aa356d8edce17644ac8c78e25dd24dedbb29ebf1b64a274b39b49c3a864cd3d78ca4ae68a32b42458fb57dbe821dcc63b9",
        "d0937ba2945f669368661a329fb4c053",
    );
}

#[test]
fn a_without_esn_has_our_header_and_padding_but_shorter_additional_data() {
    let packet = "00001001000000010000000000000001f5afb8aa6c7586b45bcb8ec0716b0c80471b9b49f4201c18a9c5288c5e9b42e182904c3f64b9b8d292316f3bdddf86ceae17f707a03aaa36";
    let plain = format!("{INNER}01020204");
    check(
        &material(OWN_KEY, OWN_SALT),
        "0000000000000001",
        &packet[..16],
        &plain,
        &packet[32..32 + plain.len()],
        &packet[32 + plain.len()..],
    );
    assert_eq!(Header { spi: 0x1001, sequence: 1 }.to_bytes().to_vec(), hex(&packet[..32]));
    // Without the high half in the additional data it is not authentic for us, even though the nonce is the same.
    let mut buf = hex(packet);
    let len = buf.len();
    let opened = inbound(Cipher::Ring).lock().open(&mut buf, 0..len, HEADER_LEN);
    assert_eq!(opened, Err(crate::OpenError::Authentication));
}

#[test]
fn b_with_esn() {
    let packet = "00001001000000020000000100000002e296c5a46b2ba060da29a1f5da4ae9b20c0fcac295f1daebffa49e8e730c30a195787195112cca7a3784f6f1d89b956ce07b53d4e846a73e";
    assert_eq!(through_both_ends(1 << 32 | 2, &hex(INNER), next_header::IPV4), hex(packet));
}

/// The vector is without ESN: only its ICV differs from ours.
#[test]
fn d_a_dummy() {
    let (header, sealed) = ("00001001000000030000000000000003", "2ef2f940b4ceb355c982fa3bed22c5f1db1f489e");
    let plain = format!("{}0102{}", "00".repeat(16), "023b");
    check(
        &material(OWN_KEY, OWN_SALT),
        "0000000000000003",
        &header[..16],
        &plain,
        sealed,
        "d9abc655e026408d1280f5231c850c7e",
    );
    let packet = through_both_ends(3, &[0; 16], next_header::DUMMY);
    assert_eq!(packet[..36], hex(&[header, sealed].concat()));
}

fn identity() -> Identity {
    Identity { spi: 0x1001, ..crate::sa::tests::identity() }
}

fn inbound(cipher: Cipher) -> Inbound {
    Inbound::new(identity(), &material(OWN_KEY, OWN_SALT), cipher)
}

/// The packet, the same from both implementations.
fn through_both_ends(sequence: u64, inner: &[u8], next_header: u8) -> Vec<u8> {
    let packets = CIPHERS.map(|cipher| {
        let outbound = Outbound::new(identity(), &material(OWN_KEY, OWN_SALT), cipher);
        outbound.skip_to(sequence, 0);
        assert_eq!(outbound.reserve(1, inner.len() as u64), Ok(sequence));
        let len = esp::sealed_len(inner.len());
        let mut packet = vec![0xee; len];
        packet[HEADER_LEN..][..inner.len()].copy_from_slice(inner);
        assert_eq!(outbound.seal(sequence, &mut packet, inner.len(), next_header), len);
        let mut buf = packet.clone();
        let opened = inbound(cipher).lock().open(&mut buf, 0..len, HEADER_LEN);
        let len = if next_header == next_header::DUMMY { 0 } else { inner.len() };
        assert_eq!(opened, Ok(Opened { inner: HEADER_LEN..HEADER_LEN + len, next_header }), "{cipher:?}");
        assert_eq!(buf[HEADER_LEN..][..inner.len()], *inner, "{cipher:?}");
        packet
    });
    assert_eq!(packets[0], packets[1]);
    packets[0].clone()
}
