//! IPv6 (RFC 8200) and the walk along its extension headers.

use crate::bytes::{Be16, Be32, EmitError, Octets, Reader, U8, Writer, fit16};
use crate::ipv4::check_fragment;
use crate::{Fragment, Malformed};
use core::net::Ipv6Addr;

/// Length of the fixed header in bytes.
pub const HEADER_LEN: usize = 40;
/// Length of a fragment header in bytes.
pub const FRAGMENT_HEADER_LEN: usize = 8;
/// The largest payload of a packet in bytes, extension headers included.
pub const PAYLOAD_LEN_MAX: usize = 65535;
/// The most extension headers that are followed.
pub const EXTENSIONS_MAX: usize = 8;

/// Next-header numbers of extension headers (IANA "IPv6 Extension Header Types").
pub mod extension {
    /// Hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// Routing.
    pub const ROUTING: u8 = 43;
    /// Fragment.
    pub const FRAGMENT: u8 = 44;
    /// Authentication header (RFC 4302).
    pub const AUTHENTICATION: u8 = 51;
    /// Destination options.
    pub const DESTINATION_OPTIONS: u8 = 60;
    /// Mobility (RFC 6275).
    pub const MOBILITY: u8 = 135;
    /// Host Identity Protocol (RFC 7401).
    pub const HIP: u8 = 139;
    /// Shim6 (RFC 5533).
    pub const SHIM6: u8 = 140;
    /// Experiments (RFC 3692).
    pub const EXPERIMENTS: [u8; 2] = [253, 254];
}

pub(crate) mod field {
    use super::{Be16, Be32, Octets, U8};
    pub(crate) const VERSION_CLASS_FLOW: Be32<0> = Be32;
    pub(crate) const PAYLOAD_LENGTH: Be16<4> = Be16;
    pub(crate) const NEXT_HEADER: U8<6> = U8;
    pub(crate) const HOP_LIMIT: U8<7> = U8;
    pub(crate) const SRC: Octets<8, 16> = Octets;
    pub(crate) const DST: Octets<24, 16> = Octets;
}

mod fragment_field {
    use super::{Be16, Be32, U8};
    pub(super) const NEXT_HEADER: U8<0> = U8;
    pub(super) const OFFSET_MORE: Be16<2> = Be16;
    pub(super) const ID: Be32<4> = Be32;
}

/// A view of a fixed IPv6 header.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a>(&'a [u8; HEADER_LEN]);

impl<'a> Header<'a> {
    /// A view of the header at the start of `packet`; checks the version and that the header is all there.
    ///
    /// # Errors
    /// [`Malformed::ShortIpHeader`], [`Malformed::Version`].
    pub fn view(packet: &'a [u8]) -> Result<Header<'a>, Malformed> {
        let header = Header(packet.first_chunk().ok_or(Malformed::ShortIpHeader)?);
        if field::VERSION_CLASS_FLOW.of(header.0) >> 28 != 6 {
            return Err(Malformed::Version);
        }
        Ok(header)
    }

    /// The header of a packet that a guest sent: as [`Header::view`], and the payload must be inside `packet`.
    ///
    /// # Errors
    /// As [`Header::view`], and [`Malformed::TotalLength`].
    pub fn parse(packet: &'a [u8]) -> Result<Header<'a>, Malformed> {
        let header = Header::view(packet)?;
        if HEADER_LEN + header.payload_length() > packet.len() {
            return Err(Malformed::TotalLength);
        }
        Ok(header)
    }

    /// Traffic class: DSCP and ECN.
    #[must_use]
    pub fn traffic_class(self) -> u8 {
        ((field::VERSION_CLASS_FLOW.of(self.0) >> 20) & 0xff) as u8
    }

    /// Flow label.
    #[must_use]
    pub fn flow_label(self) -> u32 {
        field::VERSION_CLASS_FLOW.of(self.0) & 0x000f_ffff
    }

    /// Everything behind this header, in bytes.
    #[must_use]
    pub fn payload_length(self) -> usize {
        field::PAYLOAD_LENGTH.of(self.0).into()
    }

    /// The first next-header number.
    #[must_use]
    pub fn next_header(self) -> u8 {
        field::NEXT_HEADER.of(self.0)
    }

    /// Hop limit.
    #[must_use]
    pub fn hop_limit(self) -> u8 {
        field::HOP_LIMIT.of(self.0)
    }

    /// Source address.
    #[must_use]
    pub fn src(self) -> Ipv6Addr {
        field::SRC.of(self.0).into()
    }

    /// Destination address.
    #[must_use]
    pub fn dst(self) -> Ipv6Addr {
        field::DST.of(self.0).into()
    }
}

/// Where the chain of extension headers ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// The protocol at the end. In a later fragment it is what its fragment header names: the first header of the fragmentable part,
    /// which may itself be an extension header.
    pub protocol: u8,
    /// Bytes of extension headers.
    pub len: usize,
    /// The fragment's place, or `None` for a whole packet and for an atomic fragment.
    pub fragment: Option<Fragment>,
    /// Bytes of extension headers up to the end of the fragment header; 0 without one.
    pub fragment_data: usize,
}

impl Chain {
    /// A fragment's length, of which the last may be any, and its end inside the largest packet. `payload_len` is the length of what
    /// was walked along, in bytes.
    ///
    /// # Errors
    /// [`Malformed::FragmentLength`], [`Malformed::FragmentBeyondDatagram`].
    pub fn check_fragment(self, payload_len: usize) -> Result<(), Malformed> {
        let Some(fragment) = self.fragment else { return Ok(()) };
        // The payload length of the whole packet counts what stands in front of the fragment header too.
        let in_front = self.fragment_data.saturating_sub(FRAGMENT_HEADER_LEN);
        check_fragment(
            fragment,
            payload_len.saturating_sub(self.fragment_data),
            PAYLOAD_LEN_MAX - in_front.min(PAYLOAD_LEN_MAX),
        )
    }
}

/// Follows the chain of extension headers, starting with header `first` at the start of `payload`, which ends where the packet ends.
///
/// # Errors
/// The first rule that is broken. Where a first fragment does not hold the whole chain (RFC 7112), [`Malformed::TinyFragment`].
pub fn walk(first: u8, payload: &[u8]) -> Result<Chain, Malformed> {
    let mut chain = Chain { protocol: first, len: 0, fragment: None, fragment_data: 0 };
    let mut fragment_header_seen = false;
    let mut reader = Reader::new(payload);
    for position in 0..=EXTENSIONS_MAX {
        let beyond = if chain.fragment.is_some() { Malformed::TinyFragment } else { Malformed::ExtensionBeyondPacket };
        chain.len = payload.len() - reader.rest().len();
        match chain.protocol {
            extension::HOP_BY_HOP if position != 0 => return Err(Malformed::HopByHopNotFirst),
            extension::ROUTING => {
                let [_, _, routing_type, _] = reader.array().ok_or(beyond)?;
                return Err(Malformed::RoutingHeader(routing_type));
            }
            extension::MOBILITY | extension::HIP | extension::SHIM6 => {
                return Err(Malformed::UnknownExtension(chain.protocol));
            }
            experiment if extension::EXPERIMENTS.contains(&experiment) => {
                return Err(Malformed::UnknownExtension(experiment));
            }
            extension::HOP_BY_HOP | extension::DESTINATION_OPTIONS if position < EXTENSIONS_MAX => {
                let [next, length] = reader.array().ok_or(beyond)?;
                check_options(reader.take(usize::from(length) * 8 + 6).ok_or(beyond)?)?;
                chain.protocol = next;
            }
            extension::AUTHENTICATION if position < EXTENSIONS_MAX => {
                let [next, length] = reader.array().ok_or(beyond)?;
                // RFC 4302 2.2: in words of 4 bytes, minus 2; the fixed part of 12 bytes is always there.
                if length < 1 {
                    return Err(Malformed::Option);
                }
                reader.take(usize::from(length) * 4 + 6).ok_or(beyond)?;
                chain.protocol = next;
            }
            extension::FRAGMENT if fragment_header_seen => return Err(Malformed::SecondFragmentHeader),
            extension::FRAGMENT if position < EXTENSIONS_MAX => {
                fragment_header_seen = true;
                let header: [u8; FRAGMENT_HEADER_LEN] = reader.array().ok_or(beyond)?;
                chain.protocol = fragment_field::NEXT_HEADER.of(&header);
                chain.fragment = fragment_of(&header);
                chain.fragment_data = chain.len + FRAGMENT_HEADER_LEN;
                if chain.fragment.is_some_and(Fragment::is_later) {
                    return Ok(Chain { len: chain.fragment_data, ..chain });
                }
            }
            extension::HOP_BY_HOP
            | extension::DESTINATION_OPTIONS
            | extension::AUTHENTICATION
            | extension::FRAGMENT => return Err(Malformed::TooManyExtensions),
            _ => return Ok(chain),
        }
    }
    Err(Malformed::TooManyExtensions)
}

fn fragment_of(header: &[u8; FRAGMENT_HEADER_LEN]) -> Option<Fragment> {
    let offset_more = fragment_field::OFFSET_MORE.of(header);
    let fragment = Fragment {
        id: fragment_field::ID.of(header),
        offset: u32::from(offset_more & 0xfff8),
        more: offset_more & 1 != 0,
    };
    (fragment.more || fragment.is_later()).then_some(fragment)
}

/// RFC 8200 4.2 for the form; the two options that change what the packet is are refused.
fn check_options(options: &[u8]) -> Result<(), Malformed> {
    const PAD1: u8 = 0x00;
    const JUMBO_PAYLOAD: u8 = 0xc2;
    const HOME_ADDRESS: u8 = 0xc9;
    let mut reader = Reader::new(options);
    while let Some(kind) = reader.u8() {
        match kind {
            PAD1 => {}
            JUMBO_PAYLOAD => return Err(Malformed::JumboPayload),
            HOME_ADDRESS => return Err(Malformed::HomeAddress),
            _ => {
                let length = usize::from(reader.u8().ok_or(Malformed::Option)?);
                reader.take(length).ok_or(Malformed::Option)?;
            }
        }
    }
    Ok(())
}

/// The fields of a fixed header to be written; traffic class and flow label are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields {
    /// Source address.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
    /// The first next-header number.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
}

impl Fields {
    /// Writes a header in front of `payload_len` bytes that the caller writes.
    pub(crate) fn emit(&self, writer: &mut Writer<'_>, payload_len: usize) -> Result<(), EmitError> {
        let payload_length = fit16("ipv6 payload", payload_len)?;
        let header = writer.header::<HEADER_LEN>()?;
        field::VERSION_CLASS_FLOW.put(header, 6 << 28);
        field::PAYLOAD_LENGTH.put(header, payload_length);
        field::NEXT_HEADER.put(header, self.next_header);
        field::HOP_LIMIT.put(header, self.hop_limit);
        field::SRC.put(header, &self.src.octets());
        field::DST.put(header, &self.dst.octets());
        Ok(())
    }
}

/// A fragment header in front of `next_header`.
pub(crate) fn fragment_header(next_header: u8, fragment: Fragment) -> [u8; FRAGMENT_HEADER_LEN] {
    let mut header = [0; FRAGMENT_HEADER_LEN];
    fragment_field::NEXT_HEADER.put(&mut header, next_header);
    fragment_field::OFFSET_MORE.put(&mut header, (fragment.offset & 0xfff8) as u16 | u16::from(fragment.more));
    fragment_field::ID.put(&mut header, fragment.id);
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip::protocol::{ICMPV6, NO_NEXT_HEADER, TCP, UDP};
    use std::vec;
    use std::vec::Vec;

    /// An options header of 8 bytes, padded (RFC 8200 4.2: PadN with four zeros).
    fn options(next: u8) -> Vec<u8> {
        vec![next, 0, 1, 4, 0, 0, 0, 0]
    }

    fn fragment(next: u8, offset: u32, more: bool) -> Vec<u8> {
        fragment_header(next, Fragment { id: 7, offset, more }).to_vec()
    }

    fn plain(protocol: u8, len: usize) -> Chain {
        Chain { protocol, len, fragment: None, fragment_data: 0 }
    }

    #[test]
    fn the_fixed_header_reads_and_writes() {
        let mut packet = vec![0x6a, 0xbc, 0xde, 0xf0, 0, 4, 17, 255];
        packet.extend("2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend("2001:db8::2".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend([1, 2, 3, 4]);
        let header = Header::parse(&packet).unwrap();
        assert_eq!((header.traffic_class(), header.flow_label()), (0xab, 0xcdef0));
        assert_eq!((header.payload_length(), header.next_header(), header.hop_limit()), (4, 17, 255));
        let fields = Fields { src: header.src(), dst: header.dst(), next_header: 17, hop_limit: 255 };
        let mut buffer = [0; 40];
        fields.emit(&mut Writer::new(&mut buffer), 4).unwrap();
        assert_eq!(buffer[4..], packet[4..40]);
        assert_eq!(buffer[..4], [0x60, 0, 0, 0]);
        assert_eq!(Header::parse(&packet[..43]).err(), Some(Malformed::TotalLength));
        assert_eq!(Header::parse(&packet[..39]).err(), Some(Malformed::ShortIpHeader));
        packet[0] = 0x4a;
        assert_eq!(Header::parse(&packet).err(), Some(Malformed::Version));
    }

    #[test]
    fn a_chain_ends_at_the_transport() {
        assert_eq!(walk(TCP, &[]), Ok(plain(TCP, 0)));
        assert_eq!(walk(NO_NEXT_HEADER, &[]), Ok(plain(NO_NEXT_HEADER, 0)));
        assert_eq!(walk(50, &[0; 8]), Ok(plain(50, 0)), "esp hides what follows and is a protocol of its own");
        let authentication = [UDP, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9];
        let chain = [options(60), options(51), authentication.to_vec(), vec![0; 8]].concat();
        assert_eq!(walk(0, &chain), Ok(plain(UDP, 40)));
    }

    #[test]
    fn a_chain_beyond_the_packet_is_refused() {
        assert_eq!(walk(0, &options(6)[..7]), Err(Malformed::ExtensionBeyondPacket));
        assert_eq!(walk(60, &[]), Err(Malformed::ExtensionBeyondPacket));
        assert_eq!(walk(44, &[17, 0, 0, 0]), Err(Malformed::ExtensionBeyondPacket));
        assert_eq!(walk(51, &[17, 4, 0, 0, 0, 0, 0, 0]), Err(Malformed::ExtensionBeyondPacket));
        assert_eq!(
            walk(51, &[17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            Err(Malformed::Option),
            "shorter than its fixed part"
        );
    }

    #[test]
    fn headers_that_divert_or_hide_are_refused() {
        for routing_type in [0, 2, 3, 4, 250] {
            assert_eq!(walk(43, &[6, 2, routing_type, 1, 0, 0, 0, 0]), Err(Malformed::RoutingHeader(routing_type)));
        }
        let behind = [options(43), vec![6, 0, 4, 0, 0, 0, 0, 0]].concat();
        assert_eq!(walk(60, &behind), Err(Malformed::RoutingHeader(4)));
        for number in [135, 139, 140, 253, 254] {
            assert_eq!(walk(number, &[0; 8]), Err(Malformed::UnknownExtension(number)));
        }
        assert_eq!(walk(60, &[options(0), options(6)].concat()), Err(Malformed::HopByHopNotFirst));
        assert_eq!(walk(0, &[6, 0, 0xc2, 4, 0, 1, 0, 0]), Err(Malformed::JumboPayload));
        let home = [vec![6, 2, 0xc9, 16], vec![0; 20]].concat();
        assert_eq!(walk(60, &home), Err(Malformed::HomeAddress));
        assert_eq!(walk(60, &[6, 0, 5, 5, 0, 0, 0, 0]), Err(Malformed::Option));
        assert_eq!(walk(60, &[6, 0, 1, 3, 0, 0, 0, 5]), Err(Malformed::Option));
    }

    #[test]
    fn eight_extensions_are_the_most() {
        let eight = [options(60).repeat(7), options(17)].concat();
        assert_eq!(walk(60, &eight), Ok(plain(17, 64)));
        let nine = [options(60).repeat(8), options(17)].concat();
        assert_eq!(walk(60, &nine), Err(Malformed::TooManyExtensions));
    }

    /// The chain and the check of its fragment together, as a guest's packet sees them.
    fn strict(payload: &[u8]) -> Result<Chain, Malformed> {
        let chain = walk(extension::FRAGMENT, payload)?;
        chain.check_fragment(payload.len()).map(|()| chain)
    }

    #[test]
    fn fragments() {
        let first = [fragment(60, 0, true), options(17), vec![0; 8]].concat();
        let place = Fragment { id: 7, offset: 0, more: true };
        let chain = Chain { protocol: 17, len: 16, fragment: Some(place), fragment_data: 8 };
        assert_eq!(strict(&first), Ok(chain));
        let hidden = [fragment(60, 0, true), vec![60, 1, 1, 4, 0, 0, 0, 0]].concat();
        assert_eq!(strict(&hidden), Err(Malformed::TinyFragment));
        let later = [fragment(60, 16, false), vec![1; 5]].concat();
        let place = Fragment { id: 7, offset: 16, more: false };
        assert_eq!(strict(&later), Ok(Chain { protocol: 60, len: 8, fragment: Some(place), fragment_data: 8 }));
        let odd = [fragment(17, 16, true), vec![1; 5]].concat();
        assert_eq!(strict(&odd), Err(Malformed::FragmentLength));
        let last = |len| [fragment(17, 65528, false), vec![1; len]].concat();
        assert!(strict(&last(7)).is_ok());
        assert_eq!(strict(&last(8)), Err(Malformed::FragmentBeyondDatagram));
        let atomic = [fragment(ICMPV6, 0, false), vec![0; 8]].concat();
        assert_eq!(strict(&atomic), Ok(Chain { fragment_data: 8, ..plain(ICMPV6, 8) }));
        for second in [fragment(44, 0, true), fragment(44, 0, false)] {
            let twice = [second, fragment(17, 0, true), vec![0; 8]].concat();
            assert_eq!(strict(&twice), Err(Malformed::SecondFragmentHeader));
        }
    }
}
