//! SSH keys as files: OpenSSH's and PuTTY's, and their fingerprints as EC2 shows them (decision 0041).
//!
//! Public keys are kept as SSH sends them (RFC 4253, 6.6; RFC 8709). RSA private keys come as PKCS #8 (RFC 5208) around PKCS #1
//! (RFC 8017, A.1.2).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use model::KeyType;
use sha1::Sha1;
use sha2::{Digest, Sha256};

const RSA: &str = "ssh-rsa";
const ED25519: &str = "ssh-ed25519";
/// The longest public key that is read, in bytes: RSA of 16,384 bits in base 64 is below.
const PUBLIC_MAX: usize = 4096;

/// A private key that was just made.
#[derive(Clone, PartialEq, Eq)]
pub enum PrivateKey {
    /// PKCS #8, DER.
    Rsa(Vec<u8>),
    Ed25519 {
        seed: [u8; 32],
        public: [u8; 32],
    },
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({}, ***)", self.kind().name())
    }
}

/// A public key as SSH sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    pub kind: KeyType,
    pub blob: Vec<u8>,
}

/// The numbers of an RSA private key, big-endian, without leading zeros.
struct RsaNumbers {
    modulus: Vec<u8>,
    public_exponent: Vec<u8>,
    private_exponent: Vec<u8>,
    prime1: Vec<u8>,
    prime2: Vec<u8>,
    coefficient: Vec<u8>,
}

impl PrivateKey {
    pub fn kind(&self) -> KeyType {
        match self {
            PrivateKey::Rsa(_) => KeyType::Rsa,
            PrivateKey::Ed25519 { .. } => KeyType::Ed25519,
        }
    }

    /// Its public half; `None`: the DER is no RSA key.
    pub fn public(&self) -> Option<PublicKey> {
        let blob = match self {
            PrivateKey::Rsa(pkcs8) => {
                let numbers = RsaNumbers::read(pkcs1(pkcs8)?)?;
                Blob::default().text(RSA).number(&numbers.public_exponent).number(&numbers.modulus).0
            }
            PrivateKey::Ed25519 { public, .. } => Blob::default().text(ED25519).bytes(public).0,
        };
        Some(PublicKey { kind: self.kind(), blob })
    }

    /// As EC2 shows a key pair that it made: SHA-1 of the private key's DER, or the public key's fingerprint.
    pub fn fingerprint(&self) -> Option<String> {
        match self {
            PrivateKey::Rsa(pkcs8) => Some(colons(&Sha1::digest(pkcs8))),
            PrivateKey::Ed25519 { .. } => self.public()?.fingerprint(),
        }
    }

    /// The file that ssh reads: PKCS #1 in PEM for RSA, OpenSSH's own form for Ed25519. `check` is 32 random bits.
    pub fn pem(&self, comment: &str, check: u32) -> Option<String> {
        match self {
            PrivateKey::Rsa(pkcs8) => Some(armoured("RSA PRIVATE KEY", pkcs1(pkcs8)?)),
            PrivateKey::Ed25519 { seed, public } => {
                let inner = Blob::default()
                    .raw(&check.to_be_bytes())
                    .raw(&check.to_be_bytes())
                    .text(ED25519)
                    .bytes(public)
                    .bytes(&[&seed[..], public].concat())
                    .text(comment);
                let padding: Vec<u8> = (1..=8_u8).take((8 - inner.0.len() % 8) % 8).collect();
                let file = Blob::default()
                    .raw(b"openssh-key-v1\0")
                    .text("none")
                    .text("none")
                    .text("")
                    .raw(&1_u32.to_be_bytes())
                    .bytes(&self.public()?.blob)
                    .bytes(&inner.raw(&padding).0);
                Some(armoured("OPENSSH PRIVATE KEY", &file.0))
            }
        }
    }

    /// The file that PuTTY reads, in its version 2, without a passphrase.
    pub fn ppk(&self, comment: &str) -> Option<String> {
        let public = self.public()?.blob;
        let (algorithm, private) = match self {
            PrivateKey::Rsa(pkcs8) => {
                let numbers = RsaNumbers::read(pkcs1(pkcs8)?)?;
                let private = Blob::default()
                    .number(&numbers.private_exponent)
                    .number(&numbers.prime1)
                    .number(&numbers.prime2)
                    .number(&numbers.coefficient);
                (RSA, private.0)
            }
            PrivateKey::Ed25519 { seed, .. } => {
                // A little-endian number: zeros at its end say nothing.
                let length = seed.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                (ED25519, Blob::default().bytes(&seed[..length]).0)
            }
        };
        let signed = Blob::default().text(algorithm).text("none").text(comment).bytes(&public).bytes(&private).0;
        let key = Sha1::digest(b"putty-private-key-file-mac-key");
        let mac = Hmac::<Sha1>::new_from_slice(&key).ok()?.chain_update(&signed).finalize().into_bytes();
        let (public, private) = (lines(&public), lines(&private));
        Some(format!(
            "PuTTY-User-Key-File-2: {algorithm}\r\nEncryption: none\r\nComment: {comment}\r\n\
             Public-Lines: {}\r\n{}\r\nPrivate-Lines: {}\r\n{}\r\nPrivate-MAC: {}\r\n",
            public.len(),
            public.join("\r\n"),
            private.len(),
            private.join("\r\n"),
            hex(&mac).concat(),
        ))
    }
}

impl PublicKey {
    /// Reads a line of OpenSSH (`ssh-rsa AAAA... comment`), its base 64 alone, or the file of RFC 4716. `None`: it is no public key of
    /// RSA with 1,024 to 16,384 bits or of Ed25519.
    pub fn read(material: &[u8]) -> Option<PublicKey> {
        let text = std::str::from_utf8(material).ok().filter(|text| text.len() <= 2 * PUBLIC_MAX)?.trim();
        let encoded = match text.strip_prefix("---- BEGIN SSH2 PUBLIC KEY ----") {
            Some(rest) => of_rfc_4716(rest)?,
            None => {
                let mut words = text.split_ascii_whitespace();
                match words.next()? {
                    RSA | ED25519 => words.next()?.to_owned(),
                    alone => alone.to_owned(),
                }
            }
        };
        let blob = BASE64.decode(encoded).ok().filter(|blob| blob.len() <= PUBLIC_MAX)?;
        let mut rest = blob.as_slice();
        let kind = match take(&mut rest)? {
            name if name == RSA.as_bytes() => {
                let (exponent, modulus) = (trimmed(take(&mut rest)?), trimmed(take(&mut rest)?));
                let bits = modulus.len() * 8 - modulus.first()?.leading_zeros() as usize;
                ((1024..=16_384).contains(&bits) && !exponent.is_empty()).then_some(KeyType::Rsa)?
            }
            name if name == ED25519.as_bytes() => (take(&mut rest)?.len() == 32).then_some(KeyType::Ed25519)?,
            _ => return None,
        };
        rest.is_empty().then_some(PublicKey { kind, blob })
    }

    /// As EC2 shows a key that was imported: MD5 of the DER (RFC 5280), or SHA-256 of the key as SSH sends it.
    pub fn fingerprint(&self) -> Option<String> {
        match self.kind {
            KeyType::Rsa => Some(colons(&Md5::digest(self.subject_public_key_info()?))),
            KeyType::Ed25519 => Some(BASE64.encode(Sha256::digest(&self.blob))),
        }
    }

    /// A line of `authorized_keys`.
    pub fn line(&self, comment: &str) -> String {
        let algorithm = match self.kind {
            KeyType::Rsa => RSA,
            KeyType::Ed25519 => ED25519,
        };
        format!("{algorithm} {} {comment}", BASE64.encode(&self.blob))
    }

    fn subject_public_key_info(&self) -> Option<Vec<u8>> {
        // rsaEncryption (1.2.840.113549.1.1.1) without parameters.
        const ALGORITHM: &[u8] =
            &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
        let mut rest = self.blob.as_slice();
        take(&mut rest)?;
        let (exponent, modulus) = (take(&mut rest)?, take(&mut rest)?);
        // SSH's numbers are two's complement as DER's are.
        let key = der(SEQUENCE, &[der(INTEGER, modulus), der(INTEGER, exponent)].concat());
        let bits = der(BIT_STRING, &[&[0], key.as_slice()].concat());
        Some(der(SEQUENCE, &[ALGORITHM, &bits].concat()))
    }
}

/// The base 64 of a file of RFC 4716: headers and their continuations left out.
fn of_rfc_4716(rest: &str) -> Option<String> {
    let body = rest.split_once("---- END SSH2 PUBLIC KEY ----")?.0;
    let (mut encoded, mut continues) = (String::new(), false);
    for line in body.lines().map(str::trim) {
        let is_header = continues || line.contains(':');
        continues = is_header && line.ends_with('\\');
        if !is_header {
            encoded.push_str(line);
        }
    }
    Some(encoded)
}

/// What SSH sends: lengths of 32 bits and bytes.
#[derive(Default)]
struct Blob(Vec<u8>);

impl Blob {
    fn raw(mut self, bytes: &[u8]) -> Blob {
        self.0.extend_from_slice(bytes);
        self
    }

    fn bytes(self, bytes: &[u8]) -> Blob {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.raw(&length.to_be_bytes()).raw(bytes)
    }

    fn text(self, text: &str) -> Blob {
        self.bytes(text.as_bytes())
    }

    /// A number that is not negative (RFC 4251, 5).
    fn number(self, magnitude: &[u8]) -> Blob {
        let sign: &[u8] = if magnitude.first().is_some_and(|first| *first >= 0x80) { &[0] } else { &[] };
        self.bytes(&[sign, magnitude].concat())
    }
}

fn take<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (found, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(found)
}

fn trimmed(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// One value of DER (X.690).
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = trimmed(&length);
    let mut value = vec![tag];
    if content.len() < 0x80 {
        value.push(length.first().copied().unwrap_or(0));
    } else {
        value.push(0x80 | u8::try_from(length.len()).unwrap_or(0));
        value.extend_from_slice(length);
    }
    value.extend_from_slice(content);
    value
}

/// The content of the next value, which must have that tag.
fn take_der<'d>(rest: &mut &'d [u8], tag: u8) -> Option<&'d [u8]> {
    let (found, after) = rest.split_first()?;
    let (first, after) = after.split_first().filter(|_| *found == tag)?;
    let (length, after) = match first {
        short @ 0..0x80 => (usize::from(*short), after),
        long => {
            let (digits, after) = after.split_at_checked(usize::from(long & 0x7f)).filter(|(d, _)| d.len() <= 4)?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), after)
        }
    };
    let (content, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(content)
}

/// The key inside of PKCS #8.
fn pkcs1(pkcs8: &[u8]) -> Option<&[u8]> {
    let mut rest = pkcs8;
    let mut inside = take_der(&mut rest, SEQUENCE)?;
    take_der(&mut inside, INTEGER)?;
    take_der(&mut inside, SEQUENCE)?;
    take_der(&mut inside, OCTET_STRING)
}

impl RsaNumbers {
    fn read(pkcs1: &[u8]) -> Option<RsaNumbers> {
        let mut rest = pkcs1;
        let mut inside = take_der(&mut rest, SEQUENCE)?;
        take_der(&mut inside, INTEGER)?;
        let mut number = || take_der(&mut inside, INTEGER).map(|number| trimmed(number).to_vec());
        let (modulus, public_exponent, private_exponent) = (number()?, number()?, number()?);
        let (prime1, prime2) = (number()?, number()?);
        // The two exponents that are known by the primes.
        number().zip(number())?;
        Some(RsaNumbers { modulus, public_exponent, private_exponent, prime1, prime2, coefficient: number()? })
    }
}

fn lines(bytes: &[u8]) -> Vec<String> {
    let text = BASE64.encode(bytes);
    text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect()
}

fn armoured(label: &str, bytes: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines(bytes).join("\n"))
}

fn hex(bytes: &[u8]) -> Vec<String> {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn colons(bytes: &[u8]) -> String {
    hex(bytes).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, text: String) {
            let _ = PublicKey::read(&bytes);
            let _ = PublicKey::read(format!("ssh-rsa {text}").as_bytes());
            let _ = PublicKey::read(format!("ssh-rsa {}", BASE64.encode(&bytes)).as_bytes());
            let key = PrivateKey::Rsa(bytes);
            let _ = (key.public(), key.pem("c", 1), key.ppk("c"));
        }

        #[test]
        fn der_reads_back(content in proptest::collection::vec(any::<u8>(), 0..400), tail: Vec<u8>) {
            let whole = [der(OCTET_STRING, &content), tail.clone()].concat();
            let mut rest = whole.as_slice();
            prop_assert_eq!(take_der(&mut rest, OCTET_STRING), Some(content.as_slice()));
            prop_assert_eq!(rest, tail.as_slice());
        }

        #[test]
        fn an_ed25519_key_reads_back(seed: [u8; 32], public: [u8; 32], comment in "[a-z]{0,9}") {
            let key = PrivateKey::Ed25519 { seed, public };
            let half = key.public().unwrap();
            prop_assert_eq!(PublicKey::read(half.line(&comment).as_bytes()), Some(half.clone()));
            prop_assert_eq!(PublicKey::read(BASE64.encode(&half.blob).as_bytes()), Some(half.clone()));
            let wrapped = format!(
                "---- BEGIN SSH2 PUBLIC KEY ----\nComment: \"a\\\nb\"\n{}\n---- END SSH2 PUBLIC KEY ----\n",
                lines(&half.blob).join("\n")
            );
            prop_assert_eq!(PublicKey::read(wrapped.as_bytes()), Some(half));
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let short = Blob::default().text(RSA).number(&[1, 0, 1]).number(&[0x80; 64]).0;
        let long_tail = Blob::default().text(ED25519).bytes(&[7; 32]).raw(&[0]).0;
        let other = Blob::default().text("ssh-dss").bytes(&[7; 32]).0;
        for blob in [short, long_tail, other, Vec::new()] {
            assert_eq!(PublicKey::read(BASE64.encode(blob).as_bytes()), None);
        }
        for text in ["", "ssh-rsa", "ssh-rsa !!!!", "hello", "---- BEGIN SSH2 PUBLIC KEY ----\nAAAA"] {
            assert_eq!(PublicKey::read(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let key = PrivateKey::Ed25519 { seed: [1; 32], public: [2; 32] };
        assert_eq!(format!("{key:?}"), "PrivateKey(ed25519, ***)");
    }
}
