//! How the two ends stay able to speak when one of them is newer.
//!
//! - Members may be added to messages: who does not know one ignores it, and who does takes its absence for the default.
//! - Messages may be added. Who does not know one says so ([`crate::ToServer::Unsupported`]) and goes on; what cannot be read although its
//!   name is known ends the connection, as what is no message does.
//! - A host says in its hello which messages it knows ([`known`]), so that it need not be asked in vain.

use std::fmt;

use serde::de::value::Error as Unread;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};

use crate::FrameError;

/// The longest name that is repeated to whoever said it, in bytes.
const NAME_MAX: usize = 64;

/// What a frame holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard<T> {
    Known(T),
    /// A message of a later version, by its name.
    Unknown(String),
}

/// The message of a frame's JSON, which may be one of a later version.
///
/// # Errors
/// `Json`.
pub fn hear<T: DeserializeOwned>(json: &[u8]) -> Result<Heard<T>, FrameError> {
    let error = match serde_json::from_slice(json) {
        Ok(message) => return Ok(Heard::Known(message)),
        Err(error) => error,
    };
    match name(json) {
        Some(name) if !known::<T>().contains(&&*name) => Ok(Heard::Unknown(name)),
        _ => Err(FrameError::Json(error)),
    }
}

/// The names of all messages of a set, an enum.
#[must_use]
pub fn known<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // It reads nothing: it only shows what it would read.
    let _ = T::deserialize(Names(&mut names));
    names
}

/// A message without content is its name; one with content is an object with it as the one member. What is inside is passed over.
fn name(json: &[u8]) -> Option<String> {
    let mut read = serde_json::Deserializer::from_slice(json);
    let name = read.deserialize_any(Name).ok()?;
    read.end().ok()?;
    (name.len() <= NAME_MAX).then_some(name)
}

struct Name;

impl<'de> Visitor<'de> for Name {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<String, E> {
        Ok(name.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<String, A::Error> {
        let (name, IgnoredAny) = members.next_entry()?.ok_or_else(|| A::Error::custom("no member"))?;
        match members.next_key::<IgnoredAny>()? {
            None => Ok(name),
            Some(IgnoredAny) => Err(A::Error::custom("several members")),
        }
    }
}

struct Names<'n>(&'n mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = Unread;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Unread> {
        *self.0 = variants;
        Err(Unread::custom("nothing is read"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Unread> {
        Err(Unread::custom("not an enum"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq
        tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ToAgent, ToServer};
    use proptest::prelude::*;

    #[test]
    fn the_messages_are_known_by_name() {
        let names = known::<ToAgent>();
        assert!(
            ["Update", "Certificate", "NoCertificate", "Console", "Authority"].iter().all(|name| names.contains(name))
        );
        assert!(known::<ToServer>().contains(&"Hello"));
        assert_eq!(known::<String>(), &[] as &[&str]);
    }

    #[test]
    fn a_later_message_is_named_and_a_broken_one_is_an_error() {
        let heard = |json: &str| hear::<ToAgent>(json.as_bytes());
        for later in ["\"Pause\"", r#"{"Pause":{"until":[1,{"a":null}]}}"#] {
            assert_eq!(heard(later).unwrap(), Heard::Unknown("Pause".into()), "{later}");
        }
        assert!(matches!(heard(r#"{"Console":{"instance":"i-0a1b2c3d4e5f60718","later":1}}"#), Ok(Heard::Known(_))));
        let long = format!("\"{}\"", "x".repeat(NAME_MAX + 1));
        for broken in
            ["", "{}", "1", "\"Update\"", r#"{"Console":{}}"#, r#"{"A":1,"B":2}"#, r#"{"Pause":"#, long.as_str()]
        {
            assert!(matches!(heard(broken), Err(FrameError::Json(_))), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, text: String) {
            let _ = hear::<ToServer>(&bytes);
            let _ = hear::<ToAgent>(text.as_bytes());
            let _ = hear::<ToAgent>(serde_json::to_string(&text).unwrap().as_bytes());
        }
    }
}
