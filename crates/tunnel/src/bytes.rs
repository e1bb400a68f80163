//! The bytes of ESP around the sealed part (RFC 4303, RFC 4106; spec 14.1): header, additional data, nonce, padding and trailer.

/// Before the sealed part: SPI, low half of the sequence number, and the IV, which is the whole sequence number.
pub(crate) const HEADER: usize = 16;
/// After the sealed part.
pub(crate) const ICV: usize = 16;
/// Length of the padding and next header.
pub(crate) const TRAILER: usize = 2;
/// What is sealed is a multiple of this.
pub(crate) const ALIGNMENT: usize = 4;

pub(crate) struct Header {
    pub(crate) spi: u32,
    pub(crate) sequence: u64,
}

impl Header {
    pub(crate) fn emit(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&self.spi.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.sequence.to_be_bytes()[4..]);
        bytes[8..].copy_from_slice(&self.sequence.to_be_bytes());
        bytes
    }

    /// `None` if there are too few bytes or the two copies of the sequence number's low half differ.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Header> {
        let (spi, rest) = bytes.split_first_chunk::<4>()?;
        let (low, rest) = rest.split_first_chunk::<4>()?;
        let (iv, _) = rest.split_first_chunk::<8>()?;
        (iv[4..] == low[..]).then(|| Header { spi: u32::from_be_bytes(*spi), sequence: u64::from_be_bytes(*iv) })
    }

    /// With a 64-bit sequence number: SPI, high half, low half.
    pub(crate) fn additional_data(&self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&self.spi.to_be_bytes());
        bytes[4..].copy_from_slice(&self.sequence.to_be_bytes());
        bytes
    }

    pub(crate) fn nonce(&self, salt: [u8; 4]) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&salt);
        bytes[4..].copy_from_slice(&self.sequence.to_be_bytes());
        bytes
    }
}

/// Inner packet, padding and trailer.
pub(crate) const fn plain_len(inner_len: usize) -> usize {
    (inner_len + TRAILER).next_multiple_of(ALIGNMENT)
}

/// Writes padding 1, 2, 3.. and trailer behind the inner packet; returns the length of all three.
///
/// # Panics
/// If there is no room.
pub(crate) fn emit_trailer(plain: &mut [u8], inner_len: usize, next_header: u8) -> usize {
    let len = plain_len(inner_len);
    let padding = len - TRAILER - inner_len;
    for (byte, value) in plain[inner_len..len - TRAILER].iter_mut().zip(1..=u8::MAX) {
        *byte = value;
    }
    plain[len - 2] = padding as u8; // at most 3
    plain[len - 1] = next_header;
    len
}

/// Length of what is before the padding, and the next header; `None` if the padding is not 1, 2, 3.. or longer than all.
pub(crate) fn parse_trailer(plain: &[u8]) -> Option<(usize, u8)> {
    let (rest, &[padding, next_header]) = plain.split_last_chunk::<TRAILER>()?;
    let inner_len = rest.len().checked_sub(usize::from(padding))?;
    rest[inner_len..].iter().zip(1..=u8::MAX).all(|(byte, value)| *byte == value).then_some((inner_len, next_header))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_trailer_reads_back(inner_len in 0_usize..70, next_header: u8) {
            let mut plain = [0xee; 80];
            let len = emit_trailer(&mut plain, inner_len, next_header);
            prop_assert_eq!(len % ALIGNMENT, 0);
            prop_assert!(len - inner_len < TRAILER + ALIGNMENT);
            prop_assert_eq!(parse_trailer(&plain[..len]), Some((inner_len, next_header)));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = parse_trailer(&bytes);
            let _ = Header::parse(&bytes);
        }
    }

    #[test]
    fn wrong_padding_is_seen() {
        assert_eq!(parse_trailer(&[9, 9, 1, 2, 2, 4]), Some((2, 4)));
        assert_eq!(parse_trailer(&[9, 9, 1, 3, 2, 4]), None);
        assert_eq!(parse_trailer(&[9, 9, 1, 2, 5, 4]), None, "longer than all");
        assert_eq!(parse_trailer(&[4]), None);
    }

    #[test]
    fn the_header_carries_the_number_twice_and_both_must_agree() {
        let header = Header { spi: 0x1001, sequence: 1 << 32 | 2 };
        let mut bytes = header.emit();
        assert_eq!(bytes, [0, 0, 0x10, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
        assert_eq!(Header::parse(&bytes).map(|h| (h.spi, h.sequence)), Some((0x1001, 1 << 32 | 2)));
        bytes[7] = 3;
        assert!(Header::parse(&bytes).is_none());
    }
}
