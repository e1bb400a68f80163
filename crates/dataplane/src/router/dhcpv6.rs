//! DHCP for IPv6: the addresses that are the interface's own (RFC 8415; spec 3.5, 9.1; users' case 20).
//!
//! As with IPv4 there is nothing to allocate, so the server keeps no state.

use std::net::{IpAddr, Ipv6Addr};

use policy::Denied;
use wire::dhcpv6::{ALL_SERVERS, CLIENT_PORT, IaAddress, IaNa, Message, MessageType, SERVER_PORT, Status, status};
use wire::ethernet::Link;
use wire::{Addresses, Ip, Transport, emit, udp};

use super::no_room;
use crate::port::{Port, ROUTER_LINK_LOCAL};

/// How long an address is preferred, in seconds, where the VPC's options say nothing; it stays valid twice as long.
pub const PREFERRED_SECS: u32 = 3600;

const HOP_LIMIT: u8 = 64;
/// RFC 4075 4.
const SNTP_SERVERS: u16 = 31;

/// A client's message for the servers of this link.
pub(crate) fn is_question(ip: &Ip) -> bool {
    ip.dst == IpAddr::V6(ALL_SERVERS) && matches!(ip.transport, Transport::Udp { dst_port: SERVER_PORT, .. })
}

/// Only servers send from this port to that one.
pub(crate) fn is_server(ip: &Ip) -> bool {
    matches!(ip.transport, Transport::Udp { src_port: SERVER_PORT, dst_port: CLIENT_PORT })
}

/// Answers a client's message, or says why not.
pub(crate) fn answer(port: &Port, ip: &Ip, frame: &mut [u8]) -> Result<usize, Denied> {
    let client = match ip.src {
        IpAddr::V6(src) if src.is_unicast_link_local() && src != ROUTER_LINK_LOCAL => src,
        address => return Err(Denied::SourceCheckEgress { interface: port.interface, address }),
    };
    let question = Message::parse(ip.payload_bytes(frame)).map_err(|_| Denied::Malformed)?;
    if question.kind.is_reply() {
        return Err(Denied::RogueServer);
    }
    let answer = answer_to(port, &question).ok_or(Denied::NotUnicast { address: ip.dst })?;
    let link = Link { src: port.router_mac, dst: port.mac };
    let addresses = Addresses::V6 { src: ROUTER_LINK_LOCAL, dst: client };
    let ports = udp::Ports { src: SERVER_PORT, dst: CLIENT_PORT };
    emit::udp(frame, link, addresses, HOP_LIMIT, ports, |body: &mut [u8]| answer.emit(body)).map_err(no_room)
}

/// `None`: for another server, or without a client's name where one is needed (RFC 8415 16).
fn answer_to(port: &Port, question: &Message) -> Option<Message> {
    let server_id = server_id(port);
    let must_name_server = matches!(
        question.kind,
        MessageType::Request | MessageType::Renew | MessageType::Release | MessageType::Decline
    );
    let names_this = question.server_id == server_id;
    let is_nameless = question.client_id.is_empty() && question.kind != MessageType::InformationRequest;
    if is_nameless || (must_name_server && !names_this) || (!question.server_id.is_empty() && !names_this) {
        return None;
    }
    let kind = match question.kind {
        MessageType::Solicit if !question.rapid_commit => MessageType::Advertise,
        _ => MessageType::Reply,
    };
    let mut answer = Message {
        client_id: question.client_id.clone(),
        server_id,
        dns: port.dhcp.dns_servers_v6.clone(),
        domain_search: port.dhcp.search_domains(),
        others: sntp_servers(port).into_iter().collect(),
        rapid_commit: question.rapid_commit && question.kind == MessageType::Solicit,
        ..Message::new(kind, question.transaction)
    };
    match question.kind {
        MessageType::Solicit | MessageType::Request | MessageType::Renew | MessageType::Rebind => {
            let associations = question.ia_na.iter().enumerate();
            answer.ia_na = associations.map(|(at, asked)| association(port, asked, at == 0)).collect();
        }
        MessageType::Confirm => {
            let mut addresses = question.ia_na.iter().flat_map(|association| &association.addresses);
            let are_ours = addresses.all(|asked| port.owns(asked.address.into()));
            answer.status = Some(says(if are_ours { status::SUCCESS } else { status::NOT_ON_LINK }));
        }
        MessageType::Release | MessageType::Decline => answer.status = Some(says(status::SUCCESS)),
        _ => {}
    }
    Some(answer)
}

/// All of the interface's addresses in the first association; what the client holds beyond them is taken away.
fn association(port: &Port, asked: &IaNa, is_first: bool) -> IaNa {
    let preferred_secs = port.dhcp.ipv6_preferred_secs;
    let valid_secs = preferred_secs.saturating_mul(2);
    let given = |address: Ipv6Addr| IaAddress { address, preferred_secs, valid_secs, status: None };
    let own: Vec<IaAddress> = port.ipv6_addresses().filter(|_| is_first).map(given).collect();
    let withdrawn = asked.addresses.iter().filter(|held| !own.iter().any(|given| given.address == held.address));
    let withdrawn: Vec<IaAddress> = withdrawn
        .map(|held| IaAddress { address: held.address, preferred_secs: 0, valid_secs: 0, status: None })
        .collect();
    let has_none = own.is_empty();
    IaNa {
        iaid: asked.iaid,
        t1_secs: preferred_secs / 2,
        t2_secs: preferred_secs / 5 * 4,
        addresses: own.into_iter().chain(withdrawn).collect(),
        status: has_none.then(|| says(status::NO_ADDRESSES)),
    }
}

/// RFC 4075: time servers that speak IPv6.
fn sntp_servers(port: &Port) -> Option<(u16, Vec<u8>)> {
    let servers = &port.dhcp.ntp_servers_v6;
    (!servers.is_empty()).then(|| (SNTP_SERVERS, servers.iter().flat_map(Ipv6Addr::octets).collect()))
}

fn says(code: u16) -> Status {
    Status { code, message: Vec::new() }
}

/// A DUID made of the router's MAC (RFC 8415 11.4): the same on every host.
fn server_id(port: &Port) -> Vec<u8> {
    const DUID_LL_ETHERNET: [u8; 4] = [0, 3, 0, 1];
    DUID_LL_ETHERNET.into_iter().chain(port.router_mac.octets()).collect()
}
