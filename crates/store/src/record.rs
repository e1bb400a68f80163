//! Records: what the store's keys and bytes mean to the rest of Peerway.
//!
//! The key of a record is `/<region>/<kind>/<id>`, its value is JSON. What is derived for serialisation is a promise
//! for years: a stored type changes only in ways that old records survive.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::key::{Key, KeyError};

/// Which record a key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordKey<'a> {
    /// The region; not empty, without `/`.
    pub region: &'a str,
    /// The kind; not empty, without `/`.
    pub kind: &'a str,
    /// The id; not empty. It may contain `/`.
    pub id: &'a str,
}

/// Why something is not a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A part of the key would make it ambiguous.
    #[error("the {part} `{value}` of a record's key is empty or contains `/`; use a plain name")]
    Part {
        /// `region`, `kind` or `id`.
        part: &'static str,
        /// Its value.
        value: String,
    },
    /// The parts together are no key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A key that does not name a record.
    #[error("key `{0}` does not have the form `/<region>/<kind>/<id>`")]
    Form(Key),
    /// A value that JSON cannot express.
    #[error("a `{type_name}` cannot be written as a record")]
    Encode {
        /// The Rust type.
        type_name: &'static str,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// Bytes that are no such value.
    #[error("a record cannot be read as a `{type_name}`")]
    Decode {
        /// The Rust type.
        type_name: &'static str,
        /// What is wrong, and where.
        #[source]
        source: serde_json::Error,
    },
}

/// The key of a record.
///
/// # Errors
/// [`RecordError::Part`] or [`RecordError::Key`].
pub fn key(region: &str, kind: &str, id: &str) -> Result<Key, RecordError> {
    let prefix = kind_prefix(region, kind)?;
    if id.is_empty() {
        return Err(RecordError::Part { part: "id", value: String::new() });
    }
    Ok(Key::new(prefix + id)?)
}

/// The record that `key` names; the inverse of [`key`].
///
/// # Errors
/// [`RecordError::Form`].
pub fn parse(key: &Key) -> Result<RecordKey<'_>, RecordError> {
    let parts = || {
        let (region, rest) = key.as_str().strip_prefix('/')?.split_once('/')?;
        let (kind, id) = rest.split_once('/')?;
        let full = !region.is_empty() && !kind.is_empty() && !id.is_empty();
        full.then_some(RecordKey { region, kind, id })
    };
    parts().ok_or_else(|| RecordError::Form(key.clone()))
}

/// What all keys of a region begin with, for snapshots and watches.
///
/// # Errors
/// [`RecordError::Part`].
pub fn region_prefix(region: &str) -> Result<String, RecordError> {
    Ok(format!("/{}/", name("region", region)?))
}

/// What all keys of a region's records of one kind begin with.
///
/// # Errors
/// [`RecordError::Part`].
pub fn kind_prefix(region: &str, kind: &str) -> Result<String, RecordError> {
    Ok(format!("{}{}/", region_prefix(region)?, name("kind", kind)?))
}

/// A value as the bytes of a record.
///
/// # Errors
/// [`RecordError::Encode`] when the type is not expressible in JSON (a map whose keys are not strings, say).
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, RecordError> {
    serde_json::to_vec(value).map_err(|source| RecordError::Encode { type_name: std::any::type_name::<T>(), source })
}

/// The value in the bytes of a record; the inverse of [`encode`].
///
/// # Errors
/// [`RecordError::Decode`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RecordError> {
    serde_json::from_slice(bytes)
        .map_err(|source| RecordError::Decode { type_name: std::any::type_name::<T>(), source })
}

fn name<'a>(part: &'static str, value: &'a str) -> Result<&'a str, RecordError> {
    if value.is_empty() || value.contains('/') {
        return Err(RecordError::Part { part, value: value.to_owned() });
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Vpc {
        cidr: String,
        tags: BTreeMap<String, String>,
    }

    #[test]
    fn a_record_reads_as_it_was_written() {
        let vpc = Vpc { cidr: "10.16.0.0/16".into(), tags: BTreeMap::from([("Name".into(), "a".into())]) };
        let bytes = encode(&vpc).unwrap();
        assert_eq!(String::from_utf8_lossy(&bytes), r#"{"cidr":"10.16.0.0/16","tags":{"Name":"a"}}"#);
        assert_eq!(decode::<Vpc>(&bytes).unwrap(), vpc);
    }

    #[test]
    fn what_is_no_record_is_named() {
        let error = decode::<Vpc>(b"{\"cidr\":1}").unwrap_err();
        assert!(error.to_string().contains("Vpc"), "{error}");
        assert!(decode::<Vpc>(b"").is_err());
        assert!(decode::<u8>(b"1 2").is_err(), "bytes after the value");
        assert!(decode::<serde_json::Value>("[".repeat(100_000).as_bytes()).is_err(), "depth is bounded");
        assert!(encode(&BTreeMap::from([(vec![1], 2)])).is_err(), "a map whose keys are not strings");
    }

    #[test]
    fn ambiguous_keys_are_refused() {
        for (region, kind, id) in
            [("", "vpc", "x"), ("a/b", "vpc", "x"), ("r", "", "x"), ("r", "k/l", "x"), ("r", "k", "")]
        {
            assert!(matches!(key(region, kind, id), Err(RecordError::Part { .. })), "{region} {kind} {id}");
        }
        for text in ["x", "/", "/r", "/r/k", "/r/k/", "//k/i", "/r//i", "r/k/i"] {
            assert!(matches!(parse(&Key::new(text).unwrap()), Err(RecordError::Form(_))), "{text}");
        }
        assert!(matches!(key("r", "k", &"x".repeat(512)), Err(RecordError::Key(_))));
    }

    proptest! {
        #[test]
        fn key_and_parse_are_inverse(region in "[^/]{1,20}", kind in "[^/]{1,20}", id in ".{1,40}") {
            let key = key(&region, &kind, &id).unwrap();
            prop_assert_eq!(parse(&key).unwrap(), RecordKey { region: &region, kind: &kind, id: &id });
            prop_assert!(key.as_str().starts_with(&kind_prefix(&region, &kind).unwrap()));
            prop_assert!(key.as_str().starts_with(&region_prefix(&region).unwrap()));
        }

        #[test]
        fn any_key_parses_or_is_refused(text in ".{1,80}") {
            if let Ok(found) = parse(&Key::new(&text).unwrap()) {
                let back = key(found.region, found.kind, found.id).unwrap();
                prop_assert_eq!(back.as_str(), text);
            }
        }
    }
}
