//! TCP headers (RFC 9293 3.1).

use crate::bytes::{Be16, Be32, EmitError, U8, Writer};
use crate::{Addresses, Malformed, checksum, ip};
use core::fmt;
use core::ops::BitOr;

/// Length of a header without options, in bytes.
pub const HEADER_LEN: usize = 20;
/// Where the checksum stands in the header, for virtio-net's `csum_offset`.
pub const CHECKSUM_OFFSET: u16 = 16;

pub(crate) mod field {
    use super::{Be16, Be32, U8};
    pub(crate) const SRC_PORT: Be16<0> = Be16;
    pub(crate) const DST_PORT: Be16<2> = Be16;
    pub(crate) const SEQ: Be32<4> = Be32;
    pub(crate) const ACK: Be32<8> = Be32;
    pub(crate) const DATA_OFFSET: U8<12> = U8;
    pub(crate) const FLAGS: U8<13> = U8;
    pub(crate) const WINDOW: Be16<14> = Be16;
    pub(crate) const CHECKSUM: Be16<16> = Be16;
}

/// The control bits.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: TcpFlags = TcpFlags(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: TcpFlags = TcpFlags(0x02);
    /// Reset the connection.
    pub const RST: TcpFlags = TcpFlags(0x04);
    /// Push.
    pub const PSH: TcpFlags = TcpFlags(0x08);
    /// The acknowledgement field counts.
    pub const ACK: TcpFlags = TcpFlags(0x10);
    /// The urgent pointer counts.
    pub const URG: TcpFlags = TcpFlags(0x20);
    /// ECN echo.
    pub const ECE: TcpFlags = TcpFlags(0x40);
    /// Congestion window reduced.
    pub const CWR: TcpFlags = TcpFlags(0x80);

    /// Whether all bits of `others` are set.
    #[must_use]
    pub const fn contains(self, others: TcpFlags) -> bool {
        self.0 & others.0 == others.0
    }

    /// Whether this opens a connection: SYN without ACK.
    #[must_use]
    pub const fn is_opening(self) -> bool {
        self.contains(TcpFlags::SYN) && !self.contains(TcpFlags::ACK)
    }
}

impl BitOr for TcpFlags {
    type Output = TcpFlags;

    fn bitor(self, other: TcpFlags) -> TcpFlags {
        TcpFlags(self.0 | other.0)
    }
}

impl fmt::Debug for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
        let set = (0..8).filter(|bit| self.0 & (1 << bit) != 0).map(|bit| NAMES[bit]);
        f.debug_set().entries(set).finish()
    }
}

/// A view of a TCP header.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a>(&'a [u8; HEADER_LEN]);

impl<'a> Header<'a> {
    /// A view of the header at the start of `segment`, options and all inside it.
    ///
    /// # Errors
    /// [`Malformed::TcpHeader`].
    pub fn parse(segment: &'a [u8]) -> Result<Header<'a>, Malformed> {
        let header = Header(segment.first_chunk().ok_or(Malformed::TcpHeader)?);
        if header.header_len() < HEADER_LEN || header.header_len() > segment.len() {
            return Err(Malformed::TcpHeader);
        }
        Ok(header)
    }

    /// Header and options, in bytes: 20 to 60.
    #[must_use]
    pub fn header_len(self) -> usize {
        usize::from(field::DATA_OFFSET.of(self.0) >> 4) * 4
    }

    /// The fields, checksum and options aside.
    #[must_use]
    pub fn fields(self) -> Fields {
        Fields {
            src_port: field::SRC_PORT.of(self.0),
            dst_port: field::DST_PORT.of(self.0),
            seq: field::SEQ.of(self.0),
            ack: field::ACK.of(self.0),
            flags: TcpFlags(field::FLAGS.of(self.0)),
            window: field::WINDOW.of(self.0),
        }
    }

    /// The checksum field.
    #[must_use]
    pub fn checksum(self) -> u16 {
        field::CHECKSUM.of(self.0)
    }
}

/// The fields of a header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fields {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number; counts with [`TcpFlags::ACK`].
    pub ack: u32,
    /// Control bits.
    pub flags: TcpFlags,
    /// Window, unscaled.
    pub window: u16,
}

impl Fields {
    /// Writes a header without options, its checksum over `payload` included; the caller writes the payload.
    pub(crate) fn emit(&self, writer: &mut Writer<'_>, addresses: Addresses, payload: &[u8]) -> Result<(), EmitError> {
        let header = writer.header::<HEADER_LEN>()?;
        field::SRC_PORT.put(header, self.src_port);
        field::DST_PORT.put(header, self.dst_port);
        field::SEQ.put(header, self.seq);
        field::ACK.put(header, self.ack);
        field::DATA_OFFSET.put(header, 5 << 4);
        field::FLAGS.put(header, self.flags.0);
        field::WINDOW.put(header, self.window);
        let pseudo = checksum::pseudo_header(addresses, ip::protocol::TCP, HEADER_LEN + payload.len());
        field::CHECKSUM.put(header, pseudo.plus(header).plus(payload).finish());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    /// A SYN from 10.16.1.10:40000 to 10.17.1.10:443, checksum by hand.
    const SYN: [u8; 20] = [0x9c, 0x40, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0xfb, 0xb1, 0, 0];

    #[test]
    fn a_syn_by_hand() {
        let header = Header::parse(&SYN).unwrap();
        let fields = Fields { src_port: 40000, dst_port: 443, seq: 1, ack: 0, flags: TcpFlags::SYN, window: 65535 };
        assert_eq!(header.fields(), fields);
        let addresses = Addresses::of("10.16.1.10".parse().unwrap(), "10.17.1.10".parse().unwrap());
        let mut buffer = [0; 20];
        fields.emit(&mut Writer::new(&mut buffer), addresses, &[]).unwrap();
        assert_eq!(buffer, SYN);
    }

    #[test]
    fn a_wrong_data_offset_is_refused() {
        assert_eq!(Header::parse(&SYN[..19]).err(), Some(Malformed::TcpHeader));
        for offset in [0x00, 0x40, 0x60, 0xf0] {
            let mut bytes = SYN;
            bytes[12] = offset;
            assert_eq!(Header::parse(&bytes).err(), Some(Malformed::TcpHeader), "{offset:#x}");
        }
    }

    #[test]
    fn flags_read_like_words() {
        assert!(TcpFlags::SYN.is_opening() && !(TcpFlags::SYN | TcpFlags::ACK).is_opening());
        assert_eq!(format!("{:?}", TcpFlags::SYN | TcpFlags::ACK), r#"{"SYN", "ACK"}"#);
    }
}
