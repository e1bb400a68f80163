//! What a helper process and its maker say to each other: JSON behind a four-byte length, over a Unix stream.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest message in bytes: a specification with the largest user data is far below.
const LEN_MAX: usize = 4 << 20;

/// Sends one message.
pub(crate) fn send(mut stream: &UnixStream, message: &impl Serialize) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let len = u32::try_from(body.len()).ok().filter(|_| body.len() <= LEN_MAX);
    let len = len.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, too_long(body.len())))?;
    // In one write: two processes may speak on one end in turn.
    let mut bytes = Vec::with_capacity(4 + body.len());
    bytes.extend_from_slice(&len.to_ne_bytes());
    bytes.extend_from_slice(&body);
    stream.write_all(&bytes)
}

/// Receives one message; `UnexpectedEof` when the other side is gone.
pub(crate) fn receive<T: DeserializeOwned>(mut stream: &UnixStream) -> io::Result<T> {
    let mut len = [0; 4];
    stream.read_exact(&mut len)?;
    let len = usize::try_from(u32::from_ne_bytes(len)).unwrap_or(usize::MAX);
    if len > LEN_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, too_long(len)));
    }
    let mut body = vec![0; len];
    stream.read_exact(&mut body)?;
    Ok(serde_json::from_slice(&body)?)
}

fn too_long(len: usize) -> String {
    format!("a message of {len} bytes, at most {LEN_MAX} are allowed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_whole_and_in_order() -> io::Result<()> {
        let (ours, theirs) = UnixStream::pair()?;
        send(&ours, &"first")?;
        send(&ours, &vec![1, 2, 3])?;
        assert_eq!(receive::<String>(&theirs)?, "first");
        assert_eq!(receive::<Vec<u8>>(&theirs)?, [1, 2, 3]);
        drop(ours);
        assert_eq!(receive::<String>(&theirs).map_err(|e| e.kind()), Err(io::ErrorKind::UnexpectedEof));
        Ok(())
    }

    #[test]
    fn a_length_out_of_bounds_allocates_nothing() -> io::Result<()> {
        let (mut ours, theirs) = UnixStream::pair()?;
        ours.write_all(&u32::MAX.to_ne_bytes())?;
        assert_eq!(receive::<String>(&theirs).map_err(|e| e.kind()), Err(io::ErrorKind::InvalidData));
        Ok(())
    }
}
