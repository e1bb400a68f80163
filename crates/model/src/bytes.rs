//! How bytes stand in a record: in base 64 (RFC 4648 chapter 4, with padding), a third longer than they are. A list of numbers, as
//! they were written before, is four times as long; it is read still.

use alloc::vec::Vec;
use core::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserializer, Serializer};

pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    deserializer.deserialize_any(Either)
}

struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes in base 64, or a list of them")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<u8>, E> {
        STANDARD.decode(text).map_err(|_| E::custom("bytes are not base 64 with padding"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<u8>, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = list.next_element()? {
            bytes.push(byte);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(transparent)]
    struct Kept(#[serde(with = "super")] Vec<u8>);

    proptest! {
        #[test]
        fn both_forms_read_back(bytes: Vec<u8>) {
            let text = serde_json::to_string(&Kept(bytes.clone())).unwrap();
            prop_assert!(text.len() <= 4 * bytes.len().div_ceil(3) + 2);
            let old = format!("{bytes:?}");
            for text in [text, old] {
                prop_assert_eq!(serde_json::from_str::<Kept>(&text).unwrap(), Kept(bytes.clone()));
            }
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        for wrong in ["\"*\"", "[256]", "7", "\"QQ\""] {
            assert!(serde_json::from_str::<Kept>(wrong).is_err(), "{wrong}");
        }
    }
}
