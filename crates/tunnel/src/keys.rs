//! Keys: 36 bytes agreed, expanded for one of two AES-256-GCM implementations, and overwritten at the end (spec 14.1.3, 14.8 I4).
//!
//! Both compute the same bytes. `ring` needs fewer instructions to set up a packet, `aws-lc-rs` fewer per byte: they cross near 4,000
//! bytes, so the path's MTU decides, once, when a security association is made ([`Cipher::for_underlay`]).

use std::fmt;
use std::hint::black_box;

use aws_lc_rs::aead as aws_lc;
use ring::aead as ring_aead;
use wire::esp::ICV_LEN;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes of key and salt together.
pub const KEY_MATERIAL: usize = KEY + SALT;
const KEY: usize = 32;
const SALT: usize = 4;
const IV: usize = 8;

/// From this underlay MTU on, in bytes, aws-lc is the faster one.
const JUMBO: u16 = 4000;

/// 32 bytes of key and 4 of salt: what the exporter of a session gives for one security association. Zeroised when dropped.
pub struct KeyMaterial(Box<[u8; KEY_MATERIAL]>);

impl KeyMaterial {
    /// Lets `fill` write the bytes where they stay, so that no copy is left elsewhere.
    ///
    /// # Errors
    /// What `fill` returns; the bytes are zeroised then too.
    pub fn fill<E>(fill: impl FnOnce(&mut [u8; KEY_MATERIAL]) -> Result<(), E>) -> Result<KeyMaterial, E> {
        let mut material = KeyMaterial(Box::new([0; KEY_MATERIAL]));
        fill(&mut material.0)?;
        Ok(material)
    }

    pub(crate) fn copy(&self) -> KeyMaterial {
        let mut material = KeyMaterial(Box::new([0; KEY_MATERIAL]));
        material.0.copy_from_slice(&self.0[..]);
        material
    }

    /// Key and salt in one, for a file that the operator has asked for (`--esp-keys`); nothing else may look.
    pub fn reveal(&self) -> &[u8; KEY_MATERIAL] {
        &self.0
    }
}

impl Drop for KeyMaterial {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl ZeroizeOnDrop for KeyMaterial {}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyMaterial(..)")
    }
}

/// Who computes AES-256-GCM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    Ring,
    AwsLc,
}

impl Cipher {
    /// The faster one for packets that fill an underlay of this MTU in bytes.
    pub const fn for_underlay(mtu: u16) -> Cipher {
        if mtu < JUMBO { Cipher::Ring } else { Cipher::AwsLc }
    }
}

/// An expanded key with its salt.
pub(crate) struct Key {
    expanded: Expanded,
    salt: [u8; SALT],
}

enum Expanded {
    Ring(RingKey),
    /// Lives in memory of aws-lc's own allocator, which cleanses every block that it frees.
    AwsLc(aws_lc::LessSafeKey),
}

impl Key {
    pub(crate) fn new(material: &KeyMaterial, cipher: Cipher) -> Key {
        let (key, salt) = material.0.split_at(KEY);
        let expanded = match cipher {
            Cipher::Ring => Expanded::Ring(RingKey::new(key)),
            Cipher::AwsLc => {
                let key = aws_lc::UnboundKey::new(&aws_lc::AES_256_GCM, key).expect("32 bytes are a key of AES-256");
                Expanded::AwsLc(aws_lc::LessSafeKey::new(key))
            }
        };
        let mut key = Key { expanded, salt: [0; SALT] };
        key.salt.copy_from_slice(salt);
        key
    }

    /// The salt, then the IV (RFC 4106 section 4).
    pub(crate) fn nonce(&self, iv: [u8; IV]) -> [u8; SALT + IV] {
        let mut nonce = [0; SALT + IV];
        nonce[..SALT].copy_from_slice(&self.salt);
        nonce[SALT..].copy_from_slice(&iv);
        nonce
    }

    /// Encrypts in place and returns the ICV. A nonce must never come twice.
    ///
    /// # Panics
    /// If there are more than 2^36 - 32 bytes.
    pub(crate) fn seal(&self, nonce: [u8; 12], additional: &[u8], plain: &mut [u8]) -> [u8; ICV_LEN] {
        let mut icv = [0; ICV_LEN];
        match &self.expanded {
            Expanded::Ring(key) => {
                let nonce = ring_aead::Nonce::assume_unique_for_key(nonce);
                let tag = key.0.seal_in_place_separate_tag(nonce, ring_aead::Aad::from(additional), plain);
                icv.copy_from_slice(tag.expect("a packet is shorter than AES-GCM's limit").as_ref());
            }
            Expanded::AwsLc(key) => {
                let nonce = aws_lc::Nonce::assume_unique_for_key(nonce);
                let tag = key.seal_in_place_separate_tag(nonce, aws_lc::Aad::from(additional), plain);
                icv.copy_from_slice(tag.expect("a packet is shorter than AES-GCM's limit").as_ref());
            }
        }
        icv
    }

    /// Opens the ciphertext and ICV that fill `buf` from `sealed` on, to the beginning of `buf`; returns the length there. `None` if it is
    /// not authentic: then the buffer holds nothing of use.
    pub(crate) fn open(&self, nonce: [u8; 12], additional: &[u8], buf: &mut [u8], sealed: usize) -> Option<usize> {
        match &self.expanded {
            Expanded::Ring(key) => {
                let nonce = ring_aead::Nonce::assume_unique_for_key(nonce);
                key.0.open_within(nonce, ring_aead::Aad::from(additional), buf, sealed..).ok().map(|plain| plain.len())
            }
            Expanded::AwsLc(key) => {
                let nonce = aws_lc::Nonce::assume_unique_for_key(nonce);
                key.open_within(nonce, aws_lc::Aad::from(additional), buf, sealed..).ok().map(|plain| plain.len())
            }
        }
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.expanded {
            Expanded::Ring(_) => "Key(ring, ..)",
            Expanded::AwsLc(_) => "Key(aws-lc, ..)",
        })
    }
}

/// `ring` neither overwrites its keys nor lends their bytes, so one of zeroes is written over them.
///
/// Why this works in safe code: the key is plain data without a destructor of its own, at one address, the box's, from its making to its
/// end. The key of zeroes is made by the same function on the same processor, so it has the same variant and fills the same bytes.
/// `black_box` of the box makes the compiler believe that somebody reads them, so the write stays.
struct RingKey(Box<ring_aead::LessSafeKey>);

impl RingKey {
    fn new(key: &[u8]) -> RingKey {
        let made = RingKey(expand(key));
        // What the expansion left on the stack is overwritten by an expansion at the same depth.
        black_box(expand(&[0; KEY]));
        made
    }

    fn wipe(&mut self) {
        *self.0 = *expand(&[0; KEY]);
        black_box(&self.0);
    }
}

impl Drop for RingKey {
    fn drop(&mut self) {
        self.wipe();
    }
}

#[inline(never)]
fn expand(key: &[u8]) -> Box<ring_aead::LessSafeKey> {
    let key = ring_aead::UnboundKey::new(&ring_aead::AES_256_GCM, black_box(key));
    Box::new(ring_aead::LessSafeKey::new(key.expect("32 bytes are a key of AES-256")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn material(seed: u8) -> KeyMaterial {
        KeyMaterial::fill::<()>(|bytes| {
            bytes.iter_mut().zip(seed..).for_each(|(byte, value)| *byte = value);
            Ok(())
        })
        .unwrap()
    }

    #[test]
    fn both_implementations_compute_the_same() {
        let (ring, aws_lc) = (Key::new(&material(7), Cipher::Ring), Key::new(&material(7), Cipher::AwsLc));
        for len in [0, 1, 15, 16, 17, 1500, 9000] {
            let (mut a, mut b) = (vec![3; len], vec![3; len]);
            assert_eq!(ring.seal([1; 12], &[2; 12], &mut a), aws_lc.seal([1; 12], &[2; 12], &mut b));
            assert_eq!(a, b);
        }
    }

    #[test]
    fn a_wiped_key_is_the_key_of_zeroes() {
        let seal = |key: &RingKey| {
            let mut text = [9; 40];
            let nonce = ring_aead::Nonce::assume_unique_for_key([1; 12]);
            let tag = key.0.seal_in_place_separate_tag(nonce, ring_aead::Aad::empty(), &mut text).unwrap();
            (text, tag.as_ref().to_vec())
        };
        let zeroes = RingKey::new(&[0; KEY]);
        let mut key = RingKey::new(&[5; KEY]);
        let address = std::ptr::from_ref(&*key.0);
        assert_ne!(seal(&key), seal(&zeroes));
        key.wipe();
        assert_eq!(seal(&key), seal(&zeroes));
        assert_eq!(address, std::ptr::from_ref(&*key.0), "overwritten where it was, not replaced by another box");
        // What overwrites must fill the place: a key without a destructor, of which nothing lies elsewhere.
        assert!(!std::mem::needs_drop::<ring_aead::LessSafeKey>());
    }

    #[test]
    fn nothing_prints_a_key() {
        let material = material(0x40);
        for cipher in [Cipher::Ring, Cipher::AwsLc] {
            let printed = format!("{material:?} {:?}", Key::new(&material, cipher));
            assert!(!printed.contains("64") && !printed.contains("0x40") && !printed.contains("40"), "{printed}");
        }
    }

    #[test]
    fn the_mtu_chooses() {
        assert_eq!(Cipher::for_underlay(1500), Cipher::Ring);
        assert_eq!(Cipher::for_underlay(9000), Cipher::AwsLc);
    }
}
