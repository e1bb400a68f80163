//! Domain names as lists of labels (RFC 1035 3.1), without compression: as DHCPv4 option 119 and DHCPv6 option 24 carry them.

use crate::bytes::{EmitError, Reader, Writer};
use alloc::string::String;
use alloc::vec::Vec;

/// The longest name in bytes of text.
const NAME_LEN_MAX: usize = 253;
const LABEL_LEN_MAX: u8 = 63;
/// The most names in one option.
const NAMES_MAX: usize = 32;

/// Writes `name`, with or without a dot at its end.
pub(crate) fn emit(writer: &mut Writer<'_>, name: &str) -> Result<(), EmitError> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.len() > NAME_LEN_MAX {
        return Err(EmitError::BadName);
    }
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=LABEL_LEN_MAX).contains(length));
        writer.u8(length.ok_or(EmitError::BadName)?)?;
        writer.bytes(label.as_bytes())?;
    }
    writer.u8(0)
}

/// How many bytes [`emit`] writes for `name`.
pub(crate) fn len(name: &str) -> usize {
    name.strip_suffix('.').unwrap_or(name).len() + 2
}

/// Reads at least one name, and the zeros behind the names that fill an option up (RFC 8106 5.2); `None` as for [`parse_list`].
pub(crate) fn parse_padded(bytes: &[u8]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut reader = Reader::new(bytes);
    while reader.rest().iter().any(|byte| *byte != 0) {
        if names.len() == NAMES_MAX {
            return None;
        }
        names.push(parse(&mut reader)?);
    }
    (!names.is_empty()).then_some(names)
}

/// Reads names up to the end of `bytes`; `None` if one is not a name, is compressed, or is not text without dots.
pub(crate) fn parse_list(bytes: &[u8]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        if names.len() == NAMES_MAX {
            return None;
        }
        names.push(parse(&mut reader)?);
    }
    Some(names)
}

fn parse(reader: &mut Reader<'_>) -> Option<String> {
    let mut name = String::new();
    loop {
        let length = reader.u8()?;
        if length == 0 {
            return (!name.is_empty()).then_some(name);
        }
        if length > LABEL_LEN_MAX {
            return None;
        }
        let label = core::str::from_utf8(reader.take(length.into())?).ok()?;
        if label.contains('.') {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(label);
        if name.len() > NAME_LEN_MAX {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn names_round_trip() {
        let mut buffer = [0; 64];
        let mut writer = Writer::new(&mut buffer);
        emit(&mut writer, "ec2.internal").unwrap();
        emit(&mut writer, "example.").unwrap();
        let len = writer.len();
        assert_eq!(buffer[..len], *b"\x03ec2\x08internal\0\x07example\0");
        assert_eq!(parse_list(&buffer[..len]), Some(vec!["ec2.internal".into(), "example".into()]));
    }

    #[test]
    fn names_may_be_filled_up_with_zeros() {
        let padded = b"\x03ec2\x08internal\0\0\0";
        assert_eq!(parse_padded(padded), Some(vec!["ec2.internal".into()]));
        assert_eq!(parse_list(padded), None);
        assert_eq!(len("ec2.internal"), padded.len() - 2);
        for bytes in [&b""[..], b"\0\0\0", b"\0\x01a\0", b"\x03ec2"] {
            assert_eq!(parse_padded(bytes), None, "{bytes:?}");
        }
        assert_eq!(parse_padded(&b"\x01a\0".repeat(33)), None, "too many");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bytes in [&b"\0"[..], b"\x03ec2", b"\x03ec", b"\xc0\x00", b"\x03a.b\0", b"\x01\xff\0"] {
            assert_eq!(parse_list(bytes), None, "{bytes:?}");
        }
        assert_eq!(parse_list(&b"\x01a\0".repeat(33)), None, "too many");
        let mut buffer = [0; 300];
        for name in ["", ".", "a..b", &"a".repeat(64), &"a.".repeat(128)] {
            assert_eq!(emit(&mut Writer::new(&mut buffer), name), Err(EmitError::BadName), "{name}");
        }
    }
}
