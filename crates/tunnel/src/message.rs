//! What two hosts say to each other on a key session: JSON, a message in each frame.
//!
//! ```text
//!   sender of packets, client of the session                     receiver of packets, server of the session
//!     │ Want {request, domain, shard}                              │
//!     │───────────────────────────────────────────────────────────▶│   may that host send to me in that domain?
//!     │ Grant {request, spi, epoch}   or   Refuse {request, reason} │
//!     │◀───────────────────────────────────────────────────────────│   opens under that SPI from here on
//!     │ Retire {spi, at_once}                                      │
//!     │───────────────────────────────────────────────────────────▶│   forgets the SPI in 30 s, or at once
//!     │ Revoke {spi}                                               │
//!     │◀───────────────────────────────────────────────────────────│   must not be used any more
//! ```
//!
//! No key is ever said: both ends take it from the session ([`crate::Exporter`]).

use model::Domain;
use serde::{Deserialize, Serialize};

/// The longest frame's JSON, in bytes. The longest message is far shorter.
pub const FRAME_MAX: usize = 64 << 10;

/// The application protocol of the TLS session (ALPN). Another version of these messages is another name.
pub const ALPN: &[u8] = b"peerway-keys/1";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// The sender asks for an association.
    Want { request: u64, domain: Domain, shard: u16 },
    /// There is one.
    Grant {
        request: u64,
        spi: u32,
        epoch: u64,
        /// It takes packets whose transport checksum is partial; one that does not know the word does not.
        #[serde(default)]
        partial_sums: bool,
    },
    /// There is none.
    Refuse { request: u64, reason: Reason },
    /// The sender seals no more under this SPI of the receiver. Late packets count for 30 s more, or, `at_once`, not at all: the domain is
    /// no longer permitted.
    Retire {
        spi: u32,
        #[serde(default)]
        at_once: bool,
    },
    /// The receiver opens no more under this SPI of its own.
    Revoke { spi: u32 },
}

/// Why there is no association.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// The asking host may not send to this one in this domain, as far as is known here.
    NotEntitled,
    /// There are too many already, or they were asked for too fast.
    TooMany,
    /// The number of the sending thread is over the limit.
    Shard,
    /// The session gives no more keys: ask on a new one.
    Session,
}

/// Why bytes are not a message.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("a frame of {0} bytes is over the limit of {FRAME_MAX}")]
    TooLong(usize),
    #[error("a frame is not a message of this protocol")]
    Json(#[source] serde_json::Error),
}

/// A message's JSON: what one frame of a key session carries.
pub fn encode(message: &Message) -> Vec<u8> {
    serde_json::to_vec(message).expect("a message has neither maps with odd keys nor failing parts")
}

/// The message of a frame's JSON.
///
/// # Errors
/// `TooLong`, `Json`.
pub fn decode(json: &[u8]) -> Result<Message, FrameError> {
    if json.len() > FRAME_MAX {
        return Err(FrameError::TooLong(json.len()));
    }
    serde_json::from_slice(json).map_err(FrameError::Json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Scope;
    use proptest::prelude::*;

    fn messages() -> Vec<Message> {
        let (from, to) = ("vpc-0123456789abcdef0".parse().unwrap(), "vpc-0123456789abcdef1".parse().unwrap());
        let scope = Scope::Peering("pcx-0123456789abcdef2".parse().unwrap());
        vec![
            Message::Want { request: u64::MAX, domain: Domain { from, to, scope }, shard: 65535 },
            Message::Grant { request: 1, spi: u32::MAX, epoch: u64::MAX, partial_sums: true },
            Message::Refuse { request: 1, reason: Reason::NotEntitled },
            Message::Retire { spi: 256, at_once: true },
            Message::Revoke { spi: 256 },
        ]
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, which in 0_usize..5, cut in 0_usize..200, at in 0_usize..200, byte: u8) {
            let _ = decode(&bytes);
            let mut frame = encode(&messages()[which]);
            let len = frame.len();
            frame[at % len] = byte;
            let _ = decode(&frame[..cut.min(len)]);
            let _ = decode(&frame);
        }
    }

    #[test]
    fn messages_read_back() {
        for message in messages() {
            let frame = encode(&message);
            assert_eq!(decode(&frame).unwrap(), message);
        }
    }

    #[test]
    fn the_json_is_as_documented() {
        let json = |message: &Message| String::from_utf8(encode(message)).unwrap();
        assert_eq!(
            messages().iter().map(json).collect::<Vec<_>>(),
            [
                r#"{"Want":{"request":18446744073709551615,"domain":{"from":"vpc-0123456789abcdef0","to":"vpc-0123456789abcdef1","scope":{"Peering":"pcx-0123456789abcdef2"}},"shard":65535}}"#,
                r#"{"Grant":{"request":1,"spi":4294967295,"epoch":18446744073709551615,"partial_sums":true}}"#,
                r#"{"Refuse":{"request":1,"reason":"NotEntitled"}}"#,
                r#"{"Retire":{"spi":256,"at_once":true}}"#,
                r#"{"Revoke":{"spi":256}}"#,
            ]
        );
        let short = decode(br#"{"Grant":{"request":1,"spi":256,"epoch":1}}"#).unwrap();
        assert_eq!(short, Message::Grant { request: 1, spi: 256, epoch: 1, partial_sums: false });
        let short = decode(br#"{"Retire":{"spi":7}}"#).unwrap();
        assert_eq!(short, Message::Retire { spi: 7, at_once: false });
    }

    #[test]
    fn too_long_is_refused_before_it_is_read() {
        assert!(matches!(decode(&vec![b' '; FRAME_MAX + 1]), Err(FrameError::TooLong(_))));
        assert!(matches!(decode(&vec![b'['; FRAME_MAX]), Err(FrameError::Json(_))), "deep nesting does not overflow");
    }
}
