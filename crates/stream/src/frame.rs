//! Frames: a length and JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest frame's JSON, in bytes.
pub const FRAME_MAX: usize = 64 << 20;

/// Why bytes are not a message.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("a frame of {0} bytes is over the limit of {FRAME_MAX}")]
    TooLong(usize),
    #[error("a frame is not a message of this protocol")]
    Json(#[source] serde_json::Error),
}

/// Length and JSON of a message.
///
/// # Errors
/// `TooLong`, `Json`.
pub fn encode(message: &impl Serialize) -> Result<Vec<u8>, FrameError> {
    let json = serde_json::to_vec(message).map_err(FrameError::Json)?;
    let length =
        u32::try_from(json.len()).ok().filter(|_| json.len() <= FRAME_MAX).ok_or(FrameError::TooLong(json.len()))?;
    Ok([&length.to_be_bytes()[..], &json].concat())
}

/// How many bytes of JSON follow these four.
///
/// # Errors
/// `TooLong`.
pub fn length(header: [u8; 4]) -> Result<usize, FrameError> {
    let length = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
    if length > FRAME_MAX { Err(FrameError::TooLong(length)) } else { Ok(length) }
}

/// The message of a frame's JSON.
///
/// # Errors
/// `Json`.
pub fn decode<T: DeserializeOwned>(json: &[u8]) -> Result<T, FrameError> {
    serde_json::from_slice(json).map_err(FrameError::Json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ToAgent, ToServer};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, header: [u8; 4]) {
            let _ = decode::<ToServer>(&bytes);
            let _ = decode::<ToAgent>(&bytes);
            let _ = length(header);
        }

        #[test]
        fn certificates_travel_whole_and_secrets_are_not_printed(csr: Vec<u8>, root: Vec<u8>, random: [u8; 32]) {
            let host = "host-1".parse().unwrap();
            let token = Some(crate::JoinSecret::new(random));
            let request = ToServer::Certify { host, csr: crate::Bytes(csr), token, underlay: None };
            prop_assert_eq!(&decode::<ToServer>(&encode(&request).unwrap()[4..]).unwrap(), &request);
            let printed = format!("{request:?}");
            prop_assert!(printed.contains("***"));
            let answer = ToAgent::Certificate { chain: vec![crate::Bytes(root.clone())], root: crate::Bytes(root) };
            prop_assert_eq!(decode::<ToAgent>(&encode(&answer).unwrap()[4..]).unwrap(), answer);
        }
    }

    #[test]
    fn bytes_are_base64_with_padding() {
        let bytes = crate::Bytes(vec![0, 255, 1, 2]);
        assert_eq!(serde_json::to_string(&bytes).unwrap(), "\"AP8BAg==\"");
        for wrong in ["\"AP8BAg\"", "\"AP8BAg=\"", "\"AP8 BAg==\"", "\"-_8BAg==\"", "[0]"] {
            assert!(decode::<crate::Bytes>(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_message_reads_back() {
        let message = ToServer::Hello {
            host: "host-1".parse().unwrap(),
            has: crate::Digests::default(),
            place: None,
            knows: ["Update".to_owned()].into(),
        };
        let frame = encode(&message).unwrap();
        assert_eq!(length(frame[..4].try_into().unwrap()).unwrap(), frame.len() - 4);
        assert_eq!(decode::<ToServer>(&frame[4..]).unwrap(), message);
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_anything_is_read() {
        assert!(matches!(length([0xff; 4]), Err(FrameError::TooLong(_))));
    }
}
