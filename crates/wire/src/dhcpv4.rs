//! DHCP for IPv4 (RFC 2131, options RFC 2132, 3397, 3442): one message type, read and written by both ends.

use crate::MacAddr;
use crate::bytes::{Be16, Be32, EmitError, Octets, Reader, U8, Writer};
use crate::names;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use thiserror::Error;

/// The port of servers.
pub const SERVER_PORT: u16 = 67;
/// The port of clients.
pub const CLIENT_PORT: u16 = 68;
/// The most options in one message.
pub const OPTIONS_MAX: usize = 64;

/// BOOTP fields and magic cookie.
const FIXED_LEN: usize = 240;
/// RFC 1542 2.1: shorter messages are padded, for some readers refuse them.
const MESSAGE_LEN_MIN: usize = 300;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const BROADCAST: u16 = 0x8000;

mod field {
    use super::{Be16, Be32, Octets, U8};
    pub(super) const OP: U8<0> = U8;
    pub(super) const HARDWARE_TYPE: U8<1> = U8;
    pub(super) const HARDWARE_LEN: U8<2> = U8;
    pub(super) const XID: Be32<4> = Be32;
    pub(super) const SECS: Be16<8> = Be16;
    pub(super) const FLAGS: Be16<10> = Be16;
    pub(super) const CIADDR: Octets<12, 4> = Octets;
    pub(super) const YIADDR: Octets<16, 4> = Octets;
    pub(super) const SIADDR: Octets<20, 4> = Octets;
    pub(super) const GIADDR: Octets<24, 4> = Octets;
    pub(super) const CHADDR: Octets<28, 6> = Octets;
    pub(super) const SNAME: Octets<44, 64> = Octets;
    pub(super) const FILE: Octets<108, 128> = Octets;
    pub(super) const COOKIE: Octets<236, 4> = Octets;
}

/// Option codes (IANA "BOOTP Vendor Extensions and DHCP Options").
pub mod option {
    /// Filler.
    pub const PAD: u8 = 0;
    /// Subnet mask.
    pub const SUBNET_MASK: u8 = 1;
    /// Routers.
    pub const ROUTERS: u8 = 3;
    /// Resolvers.
    pub const DNS: u8 = 6;
    /// Host name.
    pub const HOSTNAME: u8 = 12;
    /// Domain name.
    pub const DOMAIN_NAME: u8 = 15;
    /// Interface MTU.
    pub const MTU: u8 = 26;
    /// Broadcast address.
    pub const BROADCAST: u8 = 28;
    /// NTP servers.
    pub const NTP: u8 = 42;
    /// Requested address.
    pub const REQUESTED_IP: u8 = 50;
    /// Lease time.
    pub const LEASE_TIME: u8 = 51;
    /// `file` and `sname` hold options.
    pub const OVERLOAD: u8 = 52;
    /// Message type.
    pub const MESSAGE_TYPE: u8 = 53;
    /// Server identifier.
    pub const SERVER_ID: u8 = 54;
    /// Which options the client wants.
    pub const PARAMETER_LIST: u8 = 55;
    /// A text for people, in refusals.
    pub const MESSAGE: u8 = 56;
    /// The longest message the client takes.
    pub const MAX_MESSAGE_SIZE: u8 = 57;
    /// T1.
    pub const RENEWAL_TIME: u8 = 58;
    /// T2.
    pub const REBINDING_TIME: u8 = 59;
    /// Client identifier.
    pub const CLIENT_ID: u8 = 61;
    /// Domain search list (RFC 3397).
    pub const DOMAIN_SEARCH: u8 = 119;
    /// Classless static routes (RFC 3442).
    pub const CLASSLESS_ROUTES: u8 = 121;
    /// The last one.
    pub const END: u8 = 255;
}

/// What a message is for; 1, 3, 4, 7 and 8 come from clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MessageType {
    /// Is there a server?
    Discover = 1,
    /// A server's offer.
    Offer = 2,
    /// The client takes an offer, or renews.
    Request = 3,
    /// The client found the address taken.
    Decline = 4,
    /// The lease.
    Ack = 5,
    /// The refusal.
    Nak = 6,
    /// The client gives the address back.
    Release = 7,
    /// The client has an address and wants the rest.
    Inform = 8,
}

impl MessageType {
    /// Whether servers, not clients, send it.
    #[must_use]
    pub fn is_reply(self) -> bool {
        matches!(self, MessageType::Offer | MessageType::Ack | MessageType::Nak)
    }

    fn of(octet: u8) -> Option<MessageType> {
        use MessageType::{Ack, Decline, Discover, Inform, Nak, Offer, Release, Request};
        [Discover, Offer, Request, Decline, Ack, Nak, Release, Inform].into_iter().find(|kind| *kind as u8 == octet)
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is for; it also decides BOOTP's request or reply.
    pub kind: MessageType,
    /// Transaction, chosen by the client.
    pub xid: u32,
    /// Seconds since the client began.
    pub secs: u16,
    /// The client cannot take unicast yet.
    pub broadcast: bool,
    /// The client's address, if it has one.
    pub ciaddr: Ipv4Addr,
    /// "Your" address: what the server gives.
    pub yiaddr: Ipv4Addr,
    /// The next server, for booting.
    pub siaddr: Ipv4Addr,
    /// The relay.
    pub giaddr: Ipv4Addr,
    /// The client's MAC.
    pub chaddr: MacAddr,
    /// The options.
    pub options: Options,
}

/// A classless static route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Route {
    /// Destination.
    pub destination: Ipv4Addr,
    /// Its prefix length, 0 to 32.
    pub prefix_len: u8,
    /// Next hop; unspecified: on the link.
    pub router: Ipv4Addr,
}

/// The options of a message. An empty list or `None` is an option that is not there; of one that stands twice, the first counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// 1.
    pub subnet_mask: Option<Ipv4Addr>,
    /// 3.
    pub routers: Vec<Ipv4Addr>,
    /// 6.
    pub dns: Vec<Ipv4Addr>,
    /// 12.
    pub hostname: Vec<u8>,
    /// 15.
    pub domain_name: Vec<u8>,
    /// 26, in bytes.
    pub mtu: Option<u16>,
    /// 28.
    pub broadcast: Option<Ipv4Addr>,
    /// 42.
    pub ntp: Vec<Ipv4Addr>,
    /// 50.
    pub requested_ip: Option<Ipv4Addr>,
    /// 51, in seconds.
    pub lease_secs: Option<u32>,
    /// 54.
    pub server_id: Option<Ipv4Addr>,
    /// 55.
    pub parameter_list: Vec<u8>,
    /// 56.
    pub message: Vec<u8>,
    /// 57, in bytes.
    pub max_message_size: Option<u16>,
    /// 58, in seconds.
    pub renewal_secs: Option<u32>,
    /// 59, in seconds.
    pub rebinding_secs: Option<u32>,
    /// 61.
    pub client_id: Vec<u8>,
    /// 119.
    pub domain_search: Vec<String>,
    /// 121.
    pub classless_routes: Vec<Route>,
    /// All others, as they stand.
    pub others: Vec<(u8, Vec<u8>)>,
}

/// Why a message was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum DhcpError {
    /// Shorter than the fixed part.
    #[error("shorter than the 240 bytes of the fixed part")]
    Short,
    /// BOOTP without DHCP's cookie or message type.
    #[error("not dhcp: no magic cookie or no known message type")]
    NotDhcp,
    /// Not from an Ethernet client.
    #[error("hardware type and length `{0}`/`{1}` are not ethernet's `1`/`6`")]
    Hardware(u8, u8),
    /// A client's message marked as a reply, or the other way round.
    #[error("the message type does not fit its direction")]
    Direction,
    /// An option whose length or contents are not what its code says.
    #[error("option `{0}` has a wrong length or contents")]
    Option(u8),
    /// More options than anybody needs.
    #[error("more than 64 options")]
    TooManyOptions,
}

impl Message {
    /// Reads what a UDP datagram carries.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn parse(datagram: &[u8]) -> Result<Message, DhcpError> {
        let (fixed, rest) = datagram.split_first_chunk::<FIXED_LEN>().ok_or(DhcpError::Short)?;
        if field::COOKIE.of(fixed) != COOKIE {
            return Err(DhcpError::NotDhcp);
        }
        let hardware = (field::HARDWARE_TYPE.of(fixed), field::HARDWARE_LEN.of(fixed));
        if hardware != (1, 6) {
            return Err(DhcpError::Hardware(hardware.0, hardware.1));
        }
        let mut parser = OptionParser::default();
        parser.read(rest)?;
        // RFC 2131 4.1: `file` before `sname`.
        if parser.overload & 1 != 0 {
            parser.read(&field::FILE.of(fixed))?;
        }
        if parser.overload & 2 != 0 {
            parser.read(&field::SNAME.of(fixed))?;
        }
        let kind = parser.kind.ok_or(DhcpError::NotDhcp)?;
        if field::OP.of(fixed) != op(kind) {
            return Err(DhcpError::Direction);
        }
        Ok(Message {
            kind,
            xid: field::XID.of(fixed),
            secs: field::SECS.of(fixed),
            broadcast: field::FLAGS.of(fixed) & BROADCAST != 0,
            ciaddr: field::CIADDR.of(fixed).into(),
            yiaddr: field::YIADDR.of(fixed).into(),
            siaddr: field::SIADDR.of(fixed).into(),
            giaddr: field::GIADDR.of(fixed).into(),
            chaddr: MacAddr(field::CHADDR.of(fixed)),
            options: parser.options,
        })
    }

    /// Writes what a UDP datagram carries, at least 300 bytes; returns its length.
    ///
    /// # Errors
    /// [`EmitError::NoRoom`]; [`EmitError::TooLong`] for an option beyond 255 bytes; [`EmitError::BadName`].
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, EmitError> {
        let mut writer = Writer::new(buffer);
        let fixed = writer.header::<FIXED_LEN>()?;
        field::OP.put(fixed, op(self.kind));
        field::HARDWARE_TYPE.put(fixed, 1);
        field::HARDWARE_LEN.put(fixed, 6);
        field::XID.put(fixed, self.xid);
        field::SECS.put(fixed, self.secs);
        field::FLAGS.put(fixed, if self.broadcast { BROADCAST } else { 0 });
        field::CIADDR.put(fixed, &self.ciaddr.octets());
        field::YIADDR.put(fixed, &self.yiaddr.octets());
        field::SIADDR.put(fixed, &self.siaddr.octets());
        field::GIADDR.put(fixed, &self.giaddr.octets());
        field::CHADDR.put(fixed, &self.chaddr.0);
        field::COOKIE.put(fixed, &COOKIE);
        emit_option(&mut writer, option::MESSAGE_TYPE, &[self.kind as u8])?;
        self.options.emit(&mut writer)?;
        writer.u8(option::END)?;
        while writer.len() < MESSAGE_LEN_MIN {
            writer.u8(option::PAD)?;
        }
        Ok(writer.len())
    }
}

fn op(kind: MessageType) -> u8 {
    if kind.is_reply() { 2 } else { 1 }
}

impl Options {
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), EmitError> {
        let addresses = [
            (option::SUBNET_MASK, self.subnet_mask.as_slice()),
            (option::ROUTERS, &self.routers),
            (option::DNS, &self.dns),
            (option::BROADCAST, self.broadcast.as_slice()),
            (option::NTP, &self.ntp),
            (option::REQUESTED_IP, self.requested_ip.as_slice()),
            (option::SERVER_ID, self.server_id.as_slice()),
        ];
        for (code, list) in addresses.into_iter().filter(|(_, list)| !list.is_empty()) {
            writer.u8(code)?;
            writer.with_length_u8("dhcp address list", |w| list.iter().try_for_each(|one| w.bytes(&one.octets())))?;
        }
        let integers = [
            (option::LEASE_TIME, self.lease_secs),
            (option::RENEWAL_TIME, self.renewal_secs),
            (option::REBINDING_TIME, self.rebinding_secs),
        ];
        for (code, value) in integers {
            value.map_or(Ok(()), |value| emit_option(writer, code, &value.to_be_bytes()))?;
        }
        for (code, value) in [(option::MTU, self.mtu), (option::MAX_MESSAGE_SIZE, self.max_message_size)] {
            value.map_or(Ok(()), |value| emit_option(writer, code, &value.to_be_bytes()))?;
        }
        let texts = [
            (option::HOSTNAME, &self.hostname),
            (option::DOMAIN_NAME, &self.domain_name),
            (option::PARAMETER_LIST, &self.parameter_list),
            (option::MESSAGE, &self.message),
            (option::CLIENT_ID, &self.client_id),
        ];
        for (code, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            emit_option(writer, code, text)?;
        }
        self.emit_lists(writer)
    }

    fn emit_lists(&self, writer: &mut Writer<'_>) -> Result<(), EmitError> {
        if !self.domain_search.is_empty() {
            writer.u8(option::DOMAIN_SEARCH)?;
            writer.with_length_u8("dhcp domain search list", |w| {
                self.domain_search.iter().try_for_each(|name| names::emit(w, name))
            })?;
        }
        if !self.classless_routes.is_empty() {
            writer.u8(option::CLASSLESS_ROUTES)?;
            writer
                .with_length_u8("dhcp routes", |w| self.classless_routes.iter().try_for_each(|route| route.emit(w)))?;
        }
        self.others.iter().try_for_each(|(code, body)| emit_option(writer, *code, body))
    }
}

impl Route {
    /// RFC 3442: the prefix length, its significant octets, the router.
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), EmitError> {
        let prefix_len = self.prefix_len.min(32);
        writer.u8(prefix_len)?;
        let significant = usize::from(prefix_len.div_ceil(8));
        writer.bytes(self.destination.octets().get(..significant).unwrap_or_default())?;
        writer.bytes(&self.router.octets())
    }

    fn parse(reader: &mut Reader<'_>) -> Option<Route> {
        let prefix_len = reader.u8().filter(|len| *len <= 32)?;
        let significant = reader.take(prefix_len.div_ceil(8).into())?;
        let mut destination = [0; 4];
        for (place, octet) in destination.iter_mut().zip(significant) {
            *place = *octet;
        }
        Some(Route { destination: destination.into(), prefix_len, router: reader.ipv4()? })
    }
}

fn emit_option(writer: &mut Writer<'_>, code: u8, body: &[u8]) -> Result<(), EmitError> {
    writer.u8(code)?;
    writer.with_length_u8("dhcp option", |w| w.bytes(body))
}

/// What has been read of the options so far.
#[derive(Default)]
struct OptionParser {
    kind: Option<MessageType>,
    overload: u8,
    count: usize,
    seen: Vec<u8>,
    options: Options,
}

impl OptionParser {
    fn read(&mut self, bytes: &[u8]) -> Result<(), DhcpError> {
        let mut reader = Reader::new(bytes);
        while let Some(code) = reader.u8() {
            match code {
                option::PAD => continue,
                option::END => break,
                _ => {}
            }
            let wrong = DhcpError::Option(code);
            let length = reader.u8().ok_or(wrong)?;
            let body = reader.take(length.into()).ok_or(wrong)?;
            self.count += 1;
            if self.count > OPTIONS_MAX {
                return Err(DhcpError::TooManyOptions);
            }
            if !self.seen.contains(&code) {
                self.seen.push(code);
                self.take(code, body).ok_or(wrong)?;
            }
        }
        Ok(())
    }

    /// `None` if the body does not fit the code.
    fn take(&mut self, code: u8, body: &[u8]) -> Option<()> {
        let options = &mut self.options;
        match code {
            option::MESSAGE_TYPE => self.kind = Some(MessageType::of(*one::<1>(body)?.first()?)?),
            option::OVERLOAD => [self.overload] = one(body)?,
            option::SUBNET_MASK => options.subnet_mask = Some(one(body)?.into()),
            option::BROADCAST => options.broadcast = Some(one(body)?.into()),
            option::REQUESTED_IP => options.requested_ip = Some(one(body)?.into()),
            option::SERVER_ID => options.server_id = Some(one(body)?.into()),
            option::ROUTERS => options.routers = addresses(body)?,
            option::DNS => options.dns = addresses(body)?,
            option::NTP => options.ntp = addresses(body)?,
            option::LEASE_TIME => options.lease_secs = Some(u32::from_be_bytes(one(body)?)),
            option::RENEWAL_TIME => options.renewal_secs = Some(u32::from_be_bytes(one(body)?)),
            option::REBINDING_TIME => options.rebinding_secs = Some(u32::from_be_bytes(one(body)?)),
            option::MTU => options.mtu = Some(u16::from_be_bytes(one(body)?)),
            option::MAX_MESSAGE_SIZE => options.max_message_size = Some(u16::from_be_bytes(one(body)?)),
            option::HOSTNAME => options.hostname = body.to_vec(),
            option::DOMAIN_NAME => options.domain_name = body.to_vec(),
            option::PARAMETER_LIST => options.parameter_list = body.to_vec(),
            option::MESSAGE => options.message = body.to_vec(),
            option::CLIENT_ID => options.client_id = body.to_vec(),
            option::DOMAIN_SEARCH => options.domain_search = names::parse_list(body)?,
            option::CLASSLESS_ROUTES => options.classless_routes = routes(body)?,
            _ => options.others.push((code, body.to_vec())),
        }
        Some(())
    }
}

/// A body of exactly `N` bytes.
fn one<const N: usize>(body: &[u8]) -> Option<[u8; N]> {
    body.try_into().ok()
}

fn addresses(body: &[u8]) -> Option<Vec<Ipv4Addr>> {
    let (chunks, rest) = body.as_chunks::<4>();
    let list: Vec<Ipv4Addr> = chunks.iter().map(|octets| Ipv4Addr::from(*octets)).collect();
    (rest.is_empty() && !list.is_empty()).then_some(list)
}

fn routes(body: &[u8]) -> Option<Vec<Route>> {
    let mut reader = Reader::new(body);
    let mut list = Vec::new();
    while !reader.is_empty() {
        list.push(Route::parse(&mut reader)?);
    }
    Some(list)
}
