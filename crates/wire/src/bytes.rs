//! Typed offsets, a bounded reader and a bounded writer: the only places where bytes are indexed.

use core::net::{Ipv4Addr, Ipv6Addr};
use thiserror::Error;

/// Why a frame or message could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EmitError {
    /// The lent buffer is too small; nothing of it may be used.
    #[error("the lent buffer of `{have}` bytes is too small: lend at least `{need}`")]
    NoRoom {
        /// Bytes that were needed so far.
        need: usize,
        /// Bytes that were lent.
        have: usize,
    },
    /// A value does not fit the length field of its format.
    #[error("`{what}` is `{length}` bytes long; its format carries at most `{limit}`: shorten it")]
    TooLong {
        /// Which value.
        what: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The largest length in bytes.
        limit: usize,
    },
    /// A DNS name has an empty or over-long label, or is over-long as a whole (RFC 1035 2.3.4).
    #[error("a domain name must be labels of 1 to 63 bytes, 253 in all, separated by dots")]
    BadName,
}

/// One octet at offset `AT`.
#[derive(Clone, Copy)]
pub(crate) struct U8<const AT: usize>;
/// A big-endian `u16` at offset `AT`.
#[derive(Clone, Copy)]
pub(crate) struct Be16<const AT: usize>;
/// A big-endian `u32` at offset `AT`.
#[derive(Clone, Copy)]
pub(crate) struct Be32<const AT: usize>;
/// A little-endian `u16` at offset `AT`.
#[derive(Clone, Copy)]
pub(crate) struct Le16<const AT: usize>;
/// `LEN` octets at offset `AT`.
#[derive(Clone, Copy)]
pub(crate) struct Octets<const AT: usize, const LEN: usize>;

impl<const AT: usize> U8<AT> {
    pub(crate) const fn of<const N: usize>(self, header: &[u8; N]) -> u8 {
        const { assert!(AT < N, "field lies outside its header") };
        header[AT]
    }

    pub(crate) const fn put<const N: usize>(self, header: &mut [u8; N], value: u8) {
        const { assert!(AT < N, "field lies outside its header") };
        header[AT] = value;
    }
}

macro_rules! integer_field {
    ($field:ident, $int:ty, $len:literal, $from:ident, $to:ident) => {
        impl<const AT: usize> $field<AT> {
            pub(crate) fn of<const N: usize>(self, header: &[u8; N]) -> $int {
                <$int>::$from(Octets::<AT, $len>.of(header))
            }

            pub(crate) fn put<const N: usize>(self, header: &mut [u8; N], value: $int) {
                Octets::<AT, $len>.put(header, &value.$to());
            }
        }
    };
}
integer_field!(Be16, u16, 2, from_be_bytes, to_be_bytes);
integer_field!(Be32, u32, 4, from_be_bytes, to_be_bytes);
integer_field!(Le16, u16, 2, from_le_bytes, to_le_bytes);

impl<const AT: usize, const LEN: usize> Octets<AT, LEN> {
    pub(crate) fn of<const N: usize>(self, header: &[u8; N]) -> [u8; LEN] {
        const { assert!(AT + LEN <= N, "field lies outside its header") };
        let mut out = [0; LEN];
        out.copy_from_slice(&header[AT..AT + LEN]);
        out
    }

    pub(crate) fn put<const N: usize>(self, header: &mut [u8; N], value: &[u8; LEN]) {
        const { assert!(AT + LEN <= N, "field lies outside its header") };
        header[AT..AT + LEN].copy_from_slice(value);
    }
}

/// Takes values off the front of a slice; `None` once it is too short, and then for ever shorter.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(len)?;
        self.0 = tail;
        Some(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[value]| value)
    }

    pub(crate) fn be16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn be32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn ipv4(&mut self) -> Option<Ipv4Addr> {
        self.array::<4>().map(Ipv4Addr::from)
    }

    pub(crate) fn ipv6(&mut self) -> Option<Ipv6Addr> {
        self.array::<16>().map(Ipv6Addr::from)
    }
}

/// Puts values at the end of what was written so far; [`EmitError::NoRoom`] when the lent buffer is full.
pub(crate) struct Writer<'a> {
    buffer: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(buffer: &'a mut [u8]) -> Writer<'a> {
        Writer { buffer, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The next `N` bytes, zeroed, to be filled by a `field` table.
    pub(crate) fn header<const N: usize>(&mut self) -> Result<&mut [u8; N], EmitError> {
        let (have, need) = (self.buffer.len(), self.len + N);
        let header = self
            .buffer
            .get_mut(self.len..)
            .and_then(|free| free.first_chunk_mut::<N>())
            .ok_or(EmitError::NoRoom { need, have })?;
        *header = [0; N];
        self.len = need;
        Ok(header)
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) -> Result<(), EmitError> {
        let (have, need) = (self.buffer.len(), self.len + value.len());
        let place = self.buffer.get_mut(self.len..need).ok_or(EmitError::NoRoom { need, have })?;
        place.copy_from_slice(value);
        self.len = need;
        Ok(())
    }

    pub(crate) fn u8(&mut self, value: u8) -> Result<(), EmitError> {
        self.bytes(&[value])
    }

    pub(crate) fn be16(&mut self, value: u16) -> Result<(), EmitError> {
        self.bytes(&value.to_be_bytes())
    }

    pub(crate) fn be32(&mut self, value: u32) -> Result<(), EmitError> {
        self.bytes(&value.to_be_bytes())
    }

    /// Writes the bytes of `body` behind a big-endian `u16` of their length.
    pub(crate) fn with_length_be16(
        &mut self,
        what: &'static str,
        body: impl FnOnce(&mut Writer<'_>) -> Result<(), EmitError>,
    ) -> Result<(), EmitError> {
        let at = self.len;
        self.be16(0)?;
        let start = self.len;
        body(self)?;
        let length = fit16(what, self.len - start)?;
        self.patch(at, &length.to_be_bytes());
        Ok(())
    }

    /// Writes the bytes of `body` behind one octet of their length.
    pub(crate) fn with_length_u8(
        &mut self,
        what: &'static str,
        body: impl FnOnce(&mut Writer<'_>) -> Result<(), EmitError>,
    ) -> Result<(), EmitError> {
        let at = self.len;
        self.u8(0)?;
        let start = self.len;
        body(self)?;
        let length = self.len - start;
        let octet = u8::try_from(length).map_err(|_| EmitError::TooLong { what, length, limit: 255 })?;
        self.patch(at, &[octet]);
        Ok(())
    }

    /// Overwrites bytes that were written before.
    fn patch(&mut self, at: usize, value: &[u8]) {
        if let Some(place) = self.buffer.get_mut(at..at + value.len()) {
            place.copy_from_slice(value);
        }
    }
}

/// `length` as a 16-bit length field.
pub(crate) fn fit16(what: &'static str, length: usize) -> Result<u16, EmitError> {
    u16::try_from(length).map_err(|_| EmitError::TooLong { what, length, limit: usize::from(u16::MAX) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_read_what_they_wrote_in_their_own_byte_order() {
        let mut header = [0; 8];
        Be16::<1>.put(&mut header, 0x0102);
        Le16::<3>.put(&mut header, 0x0304);
        U8::<7>.put(&mut header, 9);
        assert_eq!(header, [0, 1, 2, 4, 3, 0, 0, 9]);
        assert_eq!((Be16::<1>.of(&header), Le16::<3>.of(&header), U8::<7>.of(&header)), (0x0102, 0x0304, 9));
        assert_eq!(Be32::<1>.of(&header), 0x0102_0403);
    }

    #[test]
    fn a_short_reader_answers_none_and_stays_where_it_was() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.be32(), None);
        assert_eq!(reader.be16(), Some(0x0102));
        assert_eq!(reader.take(2), None);
        assert_eq!(reader.u8(), Some(3));
        assert!(reader.is_empty());
    }

    #[test]
    fn a_full_writer_says_how_much_was_needed() {
        let mut buffer = [0; 3];
        let mut writer = Writer::new(&mut buffer);
        writer.be16(7).unwrap();
        assert_eq!(writer.be16(7), Err(EmitError::NoRoom { need: 4, have: 3 }));
        assert_eq!(writer.len(), 2);
        assert_eq!(writer.header::<2>().unwrap_err(), EmitError::NoRoom { need: 4, have: 3 });
    }

    #[test]
    fn a_length_that_does_not_fit_its_octet_is_refused() {
        let mut buffer = [0; 400];
        let mut writer = Writer::new(&mut buffer);
        let refused = writer.with_length_u8("option", |w| w.bytes(&[0; 256]));
        assert_eq!(refused, Err(EmitError::TooLong { what: "option", length: 256, limit: 255 }));
    }
}
