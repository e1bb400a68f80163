//! DHCP for IPv6 (RFC 8415; DNS options RFC 3646): one message type, read and written by both ends. Relays and prefix
//! delegation are not spoken; their options are kept as they stand.

use crate::bytes::{EmitError, Reader, Writer, fit16};
use crate::names;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv6Addr;
use thiserror::Error;

/// The port of servers.
pub const SERVER_PORT: u16 = 547;
/// The port of clients.
pub const CLIENT_PORT: u16 = 546;
/// All servers and relays of the link.
pub const ALL_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
/// The longest DUID in bytes, type included (RFC 8415 11.1).
pub const DUID_LEN_MAX: usize = 130;
/// The most options in one message, and in one identity association.
pub const OPTIONS_MAX: usize = 32;

/// Option codes (IANA "DHCPv6 Option Codes").
pub mod option {
    /// Client identifier.
    pub const CLIENT_ID: u16 = 1;
    /// Server identifier.
    pub const SERVER_ID: u16 = 2;
    /// Identity association for non-temporary addresses.
    pub const IA_NA: u16 = 3;
    /// An address of an identity association.
    pub const IA_ADDRESS: u16 = 5;
    /// Which options the client wants.
    pub const OPTION_REQUEST: u16 = 6;
    /// Hundredths of a second since the client began.
    pub const ELAPSED_TIME: u16 = 8;
    /// Status.
    pub const STATUS: u16 = 13;
    /// Two messages instead of four.
    pub const RAPID_COMMIT: u16 = 14;
    /// Resolvers.
    pub const DNS: u16 = 23;
    /// Domain search list.
    pub const DOMAIN_SEARCH: u16 = 24;
}

/// Status codes (IANA "DHCPv6 Status Codes").
pub mod status {
    /// All is well.
    pub const SUCCESS: u16 = 0;
    /// The server has no address to give.
    pub const NO_ADDRESSES: u16 = 2;
    /// The server does not know the binding.
    pub const NO_BINDING: u16 = 3;
    /// The address does not belong to this link.
    pub const NOT_ON_LINK: u16 = 4;
}

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MessageType {
    /// Is there a server?
    Solicit = 1,
    /// A server's offer.
    Advertise = 2,
    /// The client takes an offer.
    Request = 3,
    /// Are my addresses still right for this link?
    Confirm = 4,
    /// Extends a lease, to its server.
    Renew = 5,
    /// Extends a lease, to any server.
    Rebind = 6,
    /// The answer.
    Reply = 7,
    /// The client gives addresses back.
    Release = 8,
    /// The client found an address taken.
    Decline = 9,
    /// The client has addresses and wants the rest.
    InformationRequest = 11,
}

impl MessageType {
    /// Whether servers, not clients, send it.
    #[must_use]
    pub fn is_reply(self) -> bool {
        matches!(self, MessageType::Advertise | MessageType::Reply)
    }

    fn of(octet: u8) -> Option<MessageType> {
        use MessageType::{
            Advertise, Confirm, Decline, InformationRequest, Rebind, Release, Renew, Reply, Request, Solicit,
        };
        [Solicit, Advertise, Request, Confirm, Renew, Rebind, Reply, Release, Decline, InformationRequest]
            .into_iter()
            .find(|kind| *kind as u8 == octet)
    }
}

/// A message. An empty list or `None` is an option that is not there; of one that may stand once only, the first counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is for.
    pub kind: MessageType,
    /// Transaction, chosen by the client.
    pub transaction: [u8; 3],
    /// The client's DUID.
    pub client_id: Vec<u8>,
    /// The server's DUID.
    pub server_id: Vec<u8>,
    /// Identity associations.
    pub ia_na: Vec<IaNa>,
    /// Which options the client wants.
    pub option_request: Vec<u16>,
    /// Hundredths of a second since the client began.
    pub elapsed: Option<u16>,
    /// Two messages instead of four.
    pub rapid_commit: bool,
    /// Status of the whole.
    pub status: Option<Status>,
    /// Resolvers.
    pub dns: Vec<Ipv6Addr>,
    /// Domain search list.
    pub domain_search: Vec<String>,
    /// All others, as they stand.
    pub others: Vec<(u16, Vec<u8>)>,
}

/// An identity association: one interface's bundle of addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IaNa {
    /// Which one, chosen by the client.
    pub iaid: u32,
    /// When to renew, in seconds; 0 leaves it to the client.
    pub t1_secs: u32,
    /// When to rebind, in seconds; 0 leaves it to the client.
    pub t2_secs: u32,
    /// The addresses.
    pub addresses: Vec<IaAddress>,
    /// Status of this association.
    pub status: Option<Status>,
}

/// An address of an identity association.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IaAddress {
    /// The address.
    pub address: Ipv6Addr,
    /// Preferred for so many seconds.
    pub preferred_secs: u32,
    /// Valid for so many seconds; 0 takes it away.
    pub valid_secs: u32,
    /// Status of this address.
    pub status: Option<Status>,
}

/// A status code and a text for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// See [`status`].
    pub code: u16,
    /// UTF-8, by the standard; bytes, by caution.
    pub message: Vec<u8>,
}

/// Why a message was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum DhcpError {
    /// Shorter than type and transaction.
    #[error("shorter than the 4 bytes of type and transaction")]
    Short,
    /// A relay's message or an unknown type.
    #[error("message type `{0}` is not spoken")]
    MessageType(u8),
    /// An option whose length or contents are not what its code says.
    #[error("option `{0}` has a wrong length or contents")]
    Option(u16),
    /// More options than anybody needs.
    #[error("more than 32 options in one message or association")]
    TooManyOptions,
}

impl Message {
    /// A message without options.
    #[must_use]
    pub fn new(kind: MessageType, transaction: [u8; 3]) -> Message {
        Message {
            kind,
            transaction,
            client_id: Vec::new(),
            server_id: Vec::new(),
            ia_na: Vec::new(),
            option_request: Vec::new(),
            elapsed: None,
            rapid_commit: false,
            status: None,
            dns: Vec::new(),
            domain_search: Vec::new(),
            others: Vec::new(),
        }
    }

    /// Reads what a UDP datagram carries.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn parse(datagram: &[u8]) -> Result<Message, DhcpError> {
        let mut reader = Reader::new(datagram);
        let [kind, transaction @ ..] = reader.array::<4>().ok_or(DhcpError::Short)?;
        let kind = MessageType::of(kind).ok_or(DhcpError::MessageType(kind))?;
        let mut message = Message::new(kind, transaction);
        let mut seen = Vec::new();
        for_each_option(reader, |code, body| {
            let repeats = seen.contains(&code);
            seen.push(code);
            if repeats && code != option::IA_NA { Ok(()) } else { message.take(code, body) }
        })?;
        Ok(message)
    }

    fn take(&mut self, code: u16, body: &[u8]) -> Result<(), DhcpError> {
        let wrong = DhcpError::Option(code);
        match code {
            option::CLIENT_ID => self.client_id = duid(body).ok_or(wrong)?,
            option::SERVER_ID => self.server_id = duid(body).ok_or(wrong)?,
            option::IA_NA => self.ia_na.push(IaNa::parse(body)?),
            option::OPTION_REQUEST => {
                let (codes, rest) = body.as_chunks::<2>();
                if !rest.is_empty() {
                    return Err(wrong);
                }
                self.option_request = codes.iter().map(|code| u16::from_be_bytes(*code)).collect();
            }
            option::ELAPSED_TIME => {
                self.elapsed = Some(u16::from_be_bytes(body.try_into().map_err(|_| wrong)?));
            }
            option::RAPID_COMMIT if !body.is_empty() => return Err(wrong),
            option::RAPID_COMMIT => self.rapid_commit = true,
            option::STATUS => self.status = Some(Status::parse(body).ok_or(wrong)?),
            option::DNS => self.dns = addresses(body).ok_or(wrong)?,
            option::DOMAIN_SEARCH => self.domain_search = names::parse_list(body).ok_or(wrong)?,
            _ => self.others.push((code, body.to_vec())),
        }
        Ok(())
    }

    /// Writes what a UDP datagram carries; returns its length.
    ///
    /// # Errors
    /// [`EmitError::NoRoom`]; [`EmitError::TooLong`] for a DUID beyond [`DUID_LEN_MAX`] or an option beyond 65535 bytes;
    /// [`EmitError::BadName`].
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, EmitError> {
        let mut writer = Writer::new(buffer);
        writer.u8(self.kind as u8)?;
        writer.bytes(&self.transaction)?;
        for (code, duid) in [(option::CLIENT_ID, &self.client_id), (option::SERVER_ID, &self.server_id)] {
            if duid.len() > DUID_LEN_MAX {
                return Err(EmitError::TooLong { what: "duid", length: duid.len(), limit: DUID_LEN_MAX });
            }
            if !duid.is_empty() {
                emit_option(&mut writer, code, |w| w.bytes(duid))?;
            }
        }
        for association in &self.ia_na {
            emit_option(&mut writer, option::IA_NA, |w| association.emit(w))?;
        }
        if !self.option_request.is_empty() {
            emit_option(&mut writer, option::OPTION_REQUEST, |w| {
                self.option_request.iter().try_for_each(|code| w.be16(*code))
            })?;
        }
        if let Some(elapsed) = self.elapsed {
            emit_option(&mut writer, option::ELAPSED_TIME, |w| w.be16(elapsed))?;
        }
        if self.rapid_commit {
            emit_option(&mut writer, option::RAPID_COMMIT, |_| Ok(()))?;
        }
        emit_status(&mut writer, self.status.as_ref())?;
        if !self.dns.is_empty() {
            emit_option(&mut writer, option::DNS, |w| self.dns.iter().try_for_each(|one| w.bytes(&one.octets())))?;
        }
        if !self.domain_search.is_empty() {
            emit_option(&mut writer, option::DOMAIN_SEARCH, |w| {
                self.domain_search.iter().try_for_each(|name| names::emit(w, name))
            })?;
        }
        for (code, body) in &self.others {
            emit_option(&mut writer, *code, |w| w.bytes(body))?;
        }
        fit16("dhcpv6 message", writer.len())?;
        Ok(writer.len())
    }
}

impl IaNa {
    fn parse(body: &[u8]) -> Result<IaNa, DhcpError> {
        let mut reader = Reader::new(body);
        let mut three = || Some((reader.be32()?, reader.be32()?, reader.be32()?));
        let (iaid, t1_secs, t2_secs) = three().ok_or(DhcpError::Option(option::IA_NA))?;
        let mut association = IaNa { iaid, t1_secs, t2_secs, ..IaNa::default() };
        for_each_option(reader, |code, body| {
            match code {
                option::IA_ADDRESS => association.addresses.push(IaAddress::parse(body)?),
                option::STATUS if association.status.is_none() => {
                    association.status = Some(Status::parse(body).ok_or(DhcpError::Option(code))?);
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(association)
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), EmitError> {
        writer.be32(self.iaid)?;
        writer.be32(self.t1_secs)?;
        writer.be32(self.t2_secs)?;
        for address in &self.addresses {
            emit_option(writer, option::IA_ADDRESS, |w| address.emit(w))?;
        }
        emit_status(writer, self.status.as_ref())
    }
}

impl IaAddress {
    fn parse(body: &[u8]) -> Result<IaAddress, DhcpError> {
        let mut reader = Reader::new(body);
        let mut three = || Some((reader.ipv6()?, reader.be32()?, reader.be32()?));
        let (address, preferred_secs, valid_secs) = three().ok_or(DhcpError::Option(option::IA_ADDRESS))?;
        let mut status = None;
        for_each_option(reader, |code, body| {
            if code == option::STATUS && status.is_none() {
                status = Some(Status::parse(body).ok_or(DhcpError::Option(code))?);
            }
            Ok(())
        })?;
        Ok(IaAddress { address, preferred_secs, valid_secs, status })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), EmitError> {
        writer.bytes(&self.address.octets())?;
        writer.be32(self.preferred_secs)?;
        writer.be32(self.valid_secs)?;
        emit_status(writer, self.status.as_ref())
    }
}

impl Status {
    fn parse(body: &[u8]) -> Option<Status> {
        let mut reader = Reader::new(body);
        Some(Status { code: reader.be16()?, message: reader.rest().to_vec() })
    }
}

fn emit_option(
    writer: &mut Writer<'_>,
    code: u16,
    body: impl FnOnce(&mut Writer<'_>) -> Result<(), EmitError>,
) -> Result<(), EmitError> {
    writer.be16(code)?;
    writer.with_length_be16("dhcpv6 option", body)
}

fn emit_status(writer: &mut Writer<'_>, status: Option<&Status>) -> Result<(), EmitError> {
    let Some(status) = status else { return Ok(()) };
    emit_option(writer, option::STATUS, |w| {
        w.be16(status.code)?;
        w.bytes(&status.message)
    })
}

fn for_each_option(
    mut reader: Reader<'_>,
    mut each: impl FnMut(u16, &[u8]) -> Result<(), DhcpError>,
) -> Result<(), DhcpError> {
    let mut count = 0;
    while !reader.is_empty() {
        let code = reader.be16().ok_or(DhcpError::Short)?;
        let length = reader.be16().ok_or(DhcpError::Option(code))?;
        let body = reader.take(length.into()).ok_or(DhcpError::Option(code))?;
        count += 1;
        if count > OPTIONS_MAX {
            return Err(DhcpError::TooManyOptions);
        }
        each(code, body)?;
    }
    Ok(())
}

fn duid(body: &[u8]) -> Option<Vec<u8>> {
    (3..=DUID_LEN_MAX).contains(&body.len()).then(|| body.to_vec())
}

fn addresses(body: &[u8]) -> Option<Vec<Ipv6Addr>> {
    let (chunks, rest) = body.as_chunks::<16>();
    let list: Vec<Ipv6Addr> = chunks.iter().map(|octets| Ipv6Addr::from(*octets)).collect();
    (rest.is_empty() && !list.is_empty()).then_some(list)
}
