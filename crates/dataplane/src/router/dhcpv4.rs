//! DHCP for IPv4: the lease that an interface's own address is (RFC 2131; spec 5.8.3, 9.1; users' case 20).
//!
//! There is nothing to allocate: the address is the interface's for life. So the server keeps no state and every answer is the same.

use std::net::Ipv4Addr;

use model::Ipv4Cidr;
use policy::Denied;
use wire::dhcpv4::{CLIENT_PORT, Message, MessageType, Options, SERVER_PORT};
use wire::ethernet::Link;
use wire::{Addresses, Ip, MacAddr, Transport, emit, udp};

use super::no_room;
use crate::port::Port;

/// How long a lease lasts, in seconds.
pub const LEASE_SECS: u32 = 3600;

const TTL: u8 = 64;
/// RFC 2132 8.5.
const NETBIOS_NAME_SERVERS: u8 = 44;
/// RFC 2132 8.7.
const NETBIOS_NODE_TYPE: u8 = 46;

/// A client's message for the server on this link: to everybody, or, renewing, to the router.
pub(crate) fn is_question(port: &Port, ip: &Ip) -> bool {
    let to_server = [Ipv4Addr::BROADCAST, port.router, port.cidr.last()].iter().any(|address| ip.dst == *address);
    to_server && matches!(ip.transport, Transport::Udp { src_port: CLIENT_PORT, dst_port: SERVER_PORT })
}

/// Only servers send from this port to that one.
pub(crate) fn is_server(ip: &Ip) -> bool {
    matches!(ip.transport, Transport::Udp { src_port: SERVER_PORT, dst_port: CLIENT_PORT })
}

/// Answers a client's message, or says why not. The caller has checked the source address.
pub(crate) fn answer(port: &Port, ip: &Ip, frame: &mut [u8]) -> Result<usize, Denied> {
    let question = Message::parse(ip.payload_bytes(frame)).map_err(|_| Denied::Malformed)?;
    if question.kind.is_reply() {
        return Err(Denied::RogueServer);
    }
    if question.chaddr != port.mac {
        return Err(Denied::SpoofedMac);
    }
    let silence = Denied::NotUnicast { address: ip.dst };
    // A relay has no place on a link with one guest.
    let own = port.primary_ip().filter(|_| question.giaddr.is_unspecified()).ok_or(silence)?;
    let kind = kind_of_answer(&question, own, port.router).ok_or(silence)?;
    let answer = message(port, &question, kind, own);
    let (link, addresses) = way_back(port, &answer);
    let ports = udp::Ports { src: SERVER_PORT, dst: CLIENT_PORT };
    emit::udp(frame, link, addresses, TTL, ports, |body: &mut [u8]| answer.emit(body)).map_err(no_room)
}

/// `None`: the message needs no answer, or is for another server.
fn kind_of_answer(question: &Message, own: Ipv4Addr, router: Ipv4Addr) -> Option<MessageType> {
    let wanted = question.options.requested_ip.unwrap_or(question.ciaddr);
    match question.kind {
        _ if question.options.server_id.is_some_and(|server| server != router) => None,
        MessageType::Discover => Some(MessageType::Offer),
        MessageType::Request if wanted == own => Some(MessageType::Ack),
        MessageType::Request => Some(MessageType::Nak),
        MessageType::Inform => Some(MessageType::Ack),
        _ => None,
    }
}

fn message(port: &Port, question: &Message, kind: MessageType, own: Ipv4Addr) -> Message {
    let options = match (kind, question.kind) {
        (MessageType::Nak, _) => Options { server_id: Some(port.router), ..Options::default() },
        // RFC 2131 4.3.5: an answer to INFORM carries settings, no lease.
        (_, MessageType::Inform) => settings(port),
        _ => Options {
            lease_secs: Some(LEASE_SECS),
            renewal_secs: Some(LEASE_SECS / 2),
            rebinding_secs: Some(LEASE_SECS / 8 * 7),
            ..settings(port)
        },
    };
    let gives = kind != MessageType::Nak && question.kind != MessageType::Inform;
    Message {
        kind,
        xid: question.xid,
        secs: 0,
        broadcast: question.broadcast || kind == MessageType::Nak,
        ciaddr: if kind == MessageType::Nak { Ipv4Addr::UNSPECIFIED } else { question.ciaddr },
        yiaddr: if gives { own } else { Ipv4Addr::UNSPECIFIED },
        siaddr: Ipv4Addr::UNSPECIFIED,
        giaddr: Ipv4Addr::UNSPECIFIED,
        chaddr: question.chaddr,
        options,
    }
}

fn settings(port: &Port) -> Options {
    Options {
        subnet_mask: Some(mask(port.cidr)),
        routers: vec![port.router],
        dns: port.dhcp.dns_servers.clone(),
        domain_name: port.dhcp.domain_name.as_bytes().into(),
        mtu: Some(port.mtu),
        broadcast: Some(port.cidr.last()),
        ntp: port.dhcp.ntp_servers.clone(),
        server_id: Some(port.router),
        domain_search: search_list(port),
        others: netbios(port),
        ..Options::default()
    }
}

/// Several names are a list (RFC 3397): a client that knows option 15 alone takes them for one.
fn search_list(port: &Port) -> Vec<String> {
    let domains = port.dhcp.search_domains();
    if domains.len() > 1 { domains } else { Vec::new() }
}

fn netbios(port: &Port) -> Vec<(u8, Vec<u8>)> {
    let servers: Vec<u8> = port.dhcp.netbios_name_servers.iter().flat_map(Ipv4Addr::octets).collect();
    let servers = Some((NETBIOS_NAME_SERVERS, servers)).filter(|(_, servers)| !servers.is_empty());
    let node_type = port.dhcp.netbios_node_type.map(|kind| (NETBIOS_NODE_TYPE, vec![kind]));
    servers.into_iter().chain(node_type).collect()
}

fn mask(cidr: Ipv4Cidr) -> Ipv4Addr {
    Ipv4Addr::from(!(u32::from(cidr.network()) ^ u32::from(cidr.last())))
}

/// RFC 2131 4.1: to the client's address if it has one, to everybody if it wants that, else to the address it is given.
fn way_back(port: &Port, answer: &Message) -> (Link, Addresses) {
    let (dst, dst_mac) = match answer {
        Message { ciaddr, .. } if !ciaddr.is_unspecified() => (*ciaddr, port.mac),
        Message { broadcast: false, yiaddr, .. } if !yiaddr.is_unspecified() => (*yiaddr, port.mac),
        _ => (Ipv4Addr::BROADCAST, MacAddr::BROADCAST),
    };
    (Link { src: port.router_mac, dst: dst_mac }, Addresses::V4 { src: port.router, dst })
}
