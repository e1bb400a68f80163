//! Keys out of a session, for whoever holds it, at any time while it lasts.
//!
//! TLS itself derives keys only where the connection is (RFC 8446 7.5), which is on another thread, busy with its own. So one
//! secret is taken from it when the session comes up, and each key is expanded from that:
//!
//! ```text
//!   secret = TLS-Exporter("EXPERIMENTAL-peerway-esp v1", "session", 48)
//!   key    = HKDF-Expand-SHA384(secret, "EXPERIMENTAL-peerway-esp v1" | context, 36)          (RFC 5869 2.3)
//! ```
//!
//! The secret is as long as SHA-384's output and comes from a key schedule of the same hash, so it is a key for HKDF-Expand as it
//! stands. Both ends have the same one; nobody else has; and it says nothing about the keys of TLS or of another session.
//! It is erased when the session ends, whoever still holds the exporter.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::hkdf::{HKDF_SHA384, KeyType, Prk};
use zeroize::Zeroizing;

const LABEL: &[u8] = b"EXPERIMENTAL-peerway-esp v1";
const SECRET: usize = 48;
/// 32 bytes of key and 4 of salt (RFC 4106 8.1).
pub const KEY_MATERIAL: usize = 36;
/// A context names two VPCs, two hosts and a few numbers.
const CONTEXT_MAX: usize = 1024;

/// The exporter of one session. Clones are of the same session.
#[derive(Clone)]
pub struct Exporter(Arc<Mutex<Option<Secret>>>);

/// On the heap from the beginning, so that no copy is left where it was made.
type Secret = Zeroizing<Vec<u8>>;

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    #[error("the session has ended")]
    Ended,
    #[error("a context of {0} bytes is over the limit of {CONTEXT_MAX}")]
    Context(usize),
}

impl Exporter {
    /// Writes the key of this context: the same at both ends, another one for any other context or session.
    ///
    /// # Errors
    /// [`ExportError`]; `key` is as before then.
    pub fn export(&self, context: &[u8], key: &mut [u8; KEY_MATERIAL]) -> Result<(), ExportError> {
        if context.len() > CONTEXT_MAX {
            return Err(ExportError::Context(context.len()));
        }
        let secret = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let secret = secret.as_ref().ok_or(ExportError::Ended)?;
        let prk = Prk::new_less_safe(HKDF_SHA384, secret);
        let info = [LABEL, context];
        // It could fail for more than 255 times the hash's length, or for info of tens of thousands of bytes.
        let expanded = prk.expand(&info, Length).and_then(|okm| okm.fill(key));
        expanded.map_err(|_| ExportError::Context(context.len()))
    }

    /// The exporter of a connection whose handshake is over: `derive(output, label, context)` is its `export_keying_material`.
    pub(super) fn new<E>(derive: impl FnOnce(&mut [u8], &[u8], &[u8]) -> Result<(), E>) -> Result<Exporter, E> {
        let mut secret = Zeroizing::new(vec![0; SECRET]);
        derive(&mut secret, LABEL, b"session")?;
        Ok(Exporter(Arc::new(Mutex::new(Some(secret)))))
    }

    /// Ends all clones.
    pub(super) fn erase(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exporter(..)")
    }
}

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        KEY_MATERIAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exporter() -> Exporter {
        let fill = |output: &mut [u8], _: &[u8], _: &[u8]| {
            output.iter_mut().zip(0..).for_each(|(byte, n)| *byte = n);
            Ok::<_, ()>(())
        };
        Exporter::new(fill).unwrap()
    }

    #[test]
    fn keys_are_those_of_rfc_5869() {
        // Computed without this library: HMAC-SHA384(00..2f, label | context | 01), the first 36 bytes.
        let mut key = [0; KEY_MATERIAL];
        exporter().export(&[0, 1], &mut key).unwrap();
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "26348d903e74ec4b13e662792b47ab82cfa8ee54f8dbc84bddd194d64caad33fcdd41696");
    }

    #[test]
    fn another_context_is_another_key_and_an_ended_session_has_none() {
        let (exporter, mut one, mut other) = (exporter(), [0; KEY_MATERIAL], [0; KEY_MATERIAL]);
        exporter.export(b"", &mut one).unwrap();
        exporter.export(&[0; CONTEXT_MAX], &mut other).unwrap();
        assert_ne!(one, other);
        assert_eq!(exporter.export(&[0; CONTEXT_MAX + 1], &mut one), Err(ExportError::Context(CONTEXT_MAX + 1)));
        let clone = exporter.clone();
        exporter.erase();
        assert_eq!(clone.export(b"", &mut one), Err(ExportError::Ended));
        assert_eq!(format!("{exporter:?}"), "Exporter(..)");
    }
}
