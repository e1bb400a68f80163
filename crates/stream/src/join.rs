//! Who a host is: its name in a certificate, and the token with which it gets the first one.
//!
//! A certificate names its host by one URI (SPIFFE, X.509-SVID): `spiffe://peerway/host/<id>`. The trust domain is the same in
//! every installation, because trust is in the root and not in the name: a certificate of another installation does not chain to
//! this one's root, whatever it says.

use std::fmt;
use std::str::FromStr;

use model::{HostId, KeyFingerprint};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize, Zeroizing};

/// The name of the server in its certificate: no host has it, so none can stand in for the server.
pub const SERVER_URI: &str = "spiffe://peerway/server";
const HOST_URI: &str = "spiffe://peerway/host/";
const TOKEN: &str = "peerway-join";

/// The name of a host in its certificate (subject alternative name, URI).
pub fn host_uri(host: HostId) -> String {
    format!("{HOST_URI}{host}")
}

/// The host of such a name; `None` for every other text.
pub fn host_of(uri: &str) -> Option<HostId> {
    uri.strip_prefix(HOST_URI)?.parse().ok()
}

/// The fingerprint of a public key, given as SubjectPublicKeyInfo in DER.
pub fn fingerprint(spki: &[u8]) -> KeyFingerprint {
    KeyFingerprint(Sha256::digest(spki).into())
}

/// The secret half of a join token: 256 random bits. `Debug` hides them; they are erased when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinSecret([u8; 32]);

impl JoinSecret {
    pub fn new(random: [u8; 32]) -> JoinSecret {
        JoinSecret(random)
    }

    /// SHA-256, which is all that the server keeps. Two secrets are only ever compared by it: how long that takes says nothing
    /// about either.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }
}

impl Drop for JoinSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for JoinSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for JoinSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(hex(self.0)))
    }
}

impl<'de> Deserialize<'de> for JoinSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        secret(&text).ok_or_else(|| de::Error::custom("a join secret has 64 hexadecimal digits"))
    }
}

/// What lets a host join, once: a secret that the server knows by its digest, and the key of the authority whose certificates the
/// host may believe. Its text is `peerway-join-<secret>-<fingerprint>`, both of 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinToken {
    pub secret: JoinSecret,
    /// Of the public key of the authority's root.
    pub root: KeyFingerprint,
}

impl JoinToken {
    /// The text to hand to whoever starts the host; it holds the secret.
    pub fn reveal(&self) -> String {
        format!("{TOKEN}-{}-{}", hex(self.secret.0), self.root)
    }
}

/// Why a text is not a join token; the text itself is a secret and not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a join token has the form `peerway-join-<64 hexadecimal digits>-<64 hexadecimal digits>`; ask for a new one")]
pub struct JoinTokenError;

impl FromStr for JoinToken {
    type Err = JoinTokenError;

    fn from_str(text: &str) -> Result<Self, JoinTokenError> {
        let parts =
            text.strip_prefix(TOKEN).and_then(|rest| rest.strip_prefix('-')).and_then(|rest| rest.split_once('-'));
        let (first, root) = parts.ok_or(JoinTokenError)?;
        let secret = secret(first).ok_or(JoinTokenError)?;
        Ok(JoinToken { secret, root: root.parse().map_err(|_| JoinTokenError)? })
    }
}

/// Secrets and fingerprints have the same text: 32 bytes in hexadecimal.
fn hex(bytes: [u8; 32]) -> String {
    KeyFingerprint(bytes).to_string()
}

fn secret(text: &str) -> Option<JoinSecret> {
    text.parse().ok().map(|KeyFingerprint(bytes)| JoinSecret(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_reads_back_and_a_changed_one_is_another_or_none(random: [u8; 32], root: [u8; 32], at in 0_usize..142, with in "[ -~]") {
            let token = JoinToken { secret: JoinSecret::new(random), root: KeyFingerprint(root) };
            let text = token.reveal();
            prop_assert_eq!(text.parse::<JoinToken>(), Ok(token.clone()));
            let mut changed = text.clone();
            changed.replace_range(at..=at, &with);
            prop_assert_eq!(changed.parse() == Ok(token), changed.eq_ignore_ascii_case(&text) && changed[..13] == text[..13]);
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<JoinToken>();
            let _ = host_of(&text);
        }
    }

    #[test]
    fn hosts_are_named_by_one_uri_and_nothing_else_is_one() {
        let host = "host-1".parse().unwrap();
        assert_eq!(host_uri(host), "spiffe://peerway/host/host-1");
        assert_eq!(host_of("spiffe://peerway/host/host-1"), Some(host));
        for wrong in [
            "",
            "spiffe://peerway/host/",
            "spiffe://peerway/host/a/b",
            SERVER_URI,
            "spiffe://peerway/host/A",
            "spiffe://peerway/host/a?b",
            "spiffe://other/host/host-1",
            "SPIFFE://peerway/host/host-1",
            "spiffe://peerway/host/host-1 ",
            "https://peerway/host/host-1",
        ] {
            assert_eq!(host_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_not_printed_and_errors_do_not_repeat_it() {
        let token = JoinToken { secret: JoinSecret::new([0xab; 32]), root: KeyFingerprint([1; 32]) };
        assert!(!format!("{token:?}").contains("abab"));
        let error = serde_json::from_str::<JoinSecret>("\"abab\"").unwrap_err().to_string();
        assert!(!error.contains("abab"), "{error}");
        assert!(!"peerway-join-abab-cd".parse::<JoinToken>().unwrap_err().to_string().contains("abab"));
    }
}
