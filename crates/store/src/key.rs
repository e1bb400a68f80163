//! Keys: short UTF-8 strings in byte order, as etcd sorts them.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// The longest key, in bytes of UTF-8.
pub const KEY_BYTES_MAX: usize = 512;

/// A key: 1 to [`KEY_BYTES_MAX`] bytes of UTF-8. Cheap to clone; ordered by bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

/// Why a string is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The empty string.
    #[error("a key is empty; it needs at least one byte")]
    Empty,
    /// More than [`KEY_BYTES_MAX`] bytes.
    #[error("key `{start}..` has {bytes} bytes, over the limit of {max}; shorten it")]
    TooLong {
        /// Its first characters, enough to recognise it.
        start: String,
        /// Its length.
        bytes: usize,
        /// [`KEY_BYTES_MAX`].
        max: usize,
    },
}

impl Key {
    /// # Errors
    /// [`KeyError`] when the length is outside 1 to [`KEY_BYTES_MAX`] bytes.
    pub fn new(key: impl AsRef<str>) -> Result<Self, KeyError> {
        let key = key.as_ref();
        match key.len() {
            0 => Err(KeyError::Empty),
            1..=KEY_BYTES_MAX => Ok(Self(key.into())),
            bytes => Err(KeyError::TooLong { start: key.chars().take(40).collect(), bytes, max: KEY_BYTES_MAX }),
        }
    }

    /// The key as a string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Key {
    type Error = KeyError;

    fn try_from(key: &str) -> Result<Self, KeyError> {
        Self::new(key)
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_counted_in_bytes() {
        assert_eq!(Key::new(""), Err(KeyError::Empty));
        assert!(Key::new("k").is_ok());
        assert!(Key::new("é".repeat(256)).is_ok());
        let error = Key::new("é".repeat(257)).unwrap_err();
        assert!(error.to_string().ends_with("has 514 bytes, over the limit of 512; shorten it"), "{error}");
    }
}
