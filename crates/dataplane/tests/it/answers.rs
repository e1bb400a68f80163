//! What the VPC router answers, and what it is not fooled by.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dataplane::{ANSWERS_AT_ONCE, ROUTER_LINK_LOCAL};
use model::Duration;
use wire::arp::{Arp, Operation};
use wire::dhcpv4::{Message as Dhcpv4, MessageType as Type4, Options};
use wire::dhcpv6::{IaAddress, IaNa, Message as Dhcpv6, MessageType as Type6};
use wire::ethernet::Link;
use wire::ndp::{self, Dnssl, NeighborAdvertisement, RouterAdvertisement};
use wire::vnet::VnetHeader;
use wire::{Addresses, Kind, MacAddr, Packet, build, icmp};

use crate::world::cloud::*;
use crate::world::{Host, MTU, START, link, router, to_router};

fn arp(packet: &Packet) -> Arp {
    match packet.kind {
        Kind::Arp(arp) => arp,
        Kind::Ip(_) => panic!("not arp"),
    }
}

fn who_has(host: &mut Host, from: Guest, target: &str) -> Result<MacAddr, &'static str> {
    let IpAddr::V4(target) = ip(target) else { panic!() };
    let outcome = host.send(from, &build::arp_request(from.mac(), from.v4(), target));
    if outcome.code() != "answered" {
        return Err(outcome.code());
    }
    let packet = Packet::parse(&outcome.answer()).unwrap();
    let reply = arp(&packet);
    assert_eq!((reply.operation, reply.sender_ip, reply.target_mac), (Operation::Reply, target, from.mac()));
    assert_eq!((packet.dst_mac, packet.src_mac), (from.mac(), reply.sender_mac));
    Ok(reply.sender_mac)
}

#[test]
fn arp_is_answered_for_router_neighbours_and_services_only() {
    let mut host = Host::new(Cloud::open());
    assert_eq!(who_has(&mut host, A1, "10.16.1.1"), Ok(router(A1)));
    assert_eq!(who_has(&mut host, A1, "10.16.1.11"), Ok(A2.mac()));
    assert_eq!(who_has(&mut host, A1, "169.254.169.254"), Ok(router(A1)));
    assert_eq!(who_has(&mut host, A1, "10.16.1.77"), Err("D14"), "nobody");
    assert_eq!(who_has(&mut host, A1, "10.16.2.10"), Err("D14"), "another subnet's");
    assert_eq!(who_has(&mut host, A1, "10.16.2.1"), Err("D14"), "another subnet's router");
    assert_eq!(who_has(&mut host, A1, "10.17.1.10"), Err("D14"), "a peer's");
    assert_eq!(who_has(&mut host, A1, "10.16.0.2"), Err("D14"), "the resolver is in another subnet");
    assert_ne!(router(A1), router(B1));
}

#[test]
fn arp_claims_are_refused() {
    let mut host = Host::new(Cloud::open());
    let base = Arp {
        operation: Operation::Request,
        sender_mac: A1.mac(),
        sender_ip: A1.v4(),
        target_mac: MacAddr::ZERO,
        target_ip: Ipv4Addr::new(10, 16, 1, 1),
    };
    let broadcast = Link { src: A1.mac(), dst: MacAddr::BROADCAST };
    let cases = [
        ("D35", Arp { target_ip: A1.v4(), ..base }),
        ("D35", Arp { sender_ip: base.target_ip, ..base }),
        ("D35", Arp { sender_ip: A2.v4(), target_ip: A2.v4(), ..base }),
        ("D35", Arp { operation: Operation::Reply, target_mac: A2.mac(), target_ip: A2.v4(), ..base }),
        ("D01", Arp { sender_mac: A2.mac(), ..base }),
        ("D04", Arp { sender_ip: Ipv4Addr::UNSPECIFIED, target_ip: A1.v4(), ..base }),
        ("answered", Arp { sender_ip: Ipv4Addr::UNSPECIFIED, target_ip: A2.v4(), ..base }),
    ];
    for (code, packet) in cases {
        assert_eq!(host.send(A1, &build::arp(broadcast, &packet)).code(), code, "{packet:?}");
    }
}

fn link_local(guest: Guest) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, u16::from(guest.number))
}

fn ndp_of(frame: &[u8]) -> (Packet, ndp::Message) {
    let packet = Packet::parse(frame).unwrap();
    let message = ndp::Message::parse(packet.ip().unwrap(), frame).unwrap();
    (packet, message)
}

fn advertised(host: &mut Host, src: Ipv6Addr, target: &str) -> Result<(MacAddr, bool), &'static str> {
    let IpAddr::V6(target) = ip(target) else { panic!() };
    let outcome = host.send(A1, &build::neighbor_solicitation(A1.mac(), src, target));
    if outcome.code() != "answered" {
        return Err(outcome.code());
    }
    let (packet, message) = ndp_of(&outcome.answer());
    let ndp::Message::NeighborAdvertisement(reply) = message else { panic!("{message:?}") };
    assert_eq!((reply.target, reply.solicited), (target, !src.is_unspecified()));
    assert_eq!(Some(packet.src_mac), reply.target_link_layer);
    Ok((packet.src_mac, reply.router))
}

#[test]
fn neighbour_solicitations_are_answered_for_router_neighbours_and_services_only() {
    let mut host = Host::new(Cloud::open());
    for src in [A1.v6(), link_local(A1)] {
        assert_eq!(advertised(&mut host, src, "fe80:ec2::1"), Ok((router(A1), true)));
        assert_eq!(advertised(&mut host, src, "2001:db8:10:1::1"), Ok((router(A1), true)));
        assert_eq!(advertised(&mut host, src, "fd00:ec2::253"), Ok((router(A1), true)));
        assert_eq!(advertised(&mut host, src, &A2.v6().to_string()), Ok((A2.mac(), false)));
        assert_eq!(advertised(&mut host, src, "2001:db8:10:1::77"), Err("D14"));
        assert_eq!(advertised(&mut host, src, &A3.v6().to_string()), Err("D14"));
        assert_eq!(advertised(&mut host, src, "fe80::77"), Err("D04"));
    }
    let none = Ipv6Addr::UNSPECIFIED;
    assert_eq!(advertised(&mut host, none, &A1.v6().to_string()), Err("D04"), "its own address is free to use");
    assert_eq!(advertised(&mut host, none, &link_local(A1).to_string()), Err("D04"));
    assert_eq!(advertised(&mut host, none, &A2.v6().to_string()), Ok((A2.mac(), false)), "taken");
    assert_eq!(advertised(&mut host, A2.v6(), "fe80:ec2::1"), Err("D03"));
    assert_eq!(advertised(&mut host, ROUTER_LINK_LOCAL, "fe80:ec2::1"), Err("D35"));
}

fn ndp_frame(src: Ipv6Addr, dst: Ipv6Addr, fields: icmp::Fields, body: &[u8]) -> Vec<u8> {
    let link = Link { src: A1.mac(), dst: MacAddr::of_multicast_ipv6(dst) };
    let mut frame = vec![0; 512];
    let body = wire::emit::bytes(body);
    let len = wire::emit::icmp(&mut frame, link, Addresses::V6 { src, dst }, ndp::HOP_LIMIT, fields, body).unwrap();
    frame.truncate(len);
    frame
}

#[test]
fn a_guest_is_no_router_and_no_other_neighbour() {
    let mut host = Host::new(Cloud::open());
    let claim = |target, mac| {
        let claim = NeighborAdvertisement {
            target,
            router: false,
            solicited: false,
            r#override: true,
            target_link_layer: Some(mac),
        };
        let mut body = [0; 64];
        let len = claim.emit(&mut body).unwrap();
        ndp_frame(A1.v6(), ndp::ALL_NODES, claim.fields(), &body[..len])
    };
    assert_eq!(host.send(A1, &claim(A2.v6(), A1.mac())).code(), "D35");
    assert_eq!(host.send(A1, &claim(ROUTER_LINK_LOCAL, A1.mac())).code(), "D35");
    assert_eq!(host.send(A1, &claim(A1.v6(), A2.mac())).code(), "D01");
    assert_eq!(host.send(A1, &claim(A1.v6(), A1.mac())).code(), "D04", "its own, but nobody asked");
    let mut body = [0; 64];
    let advertisement = RouterAdvertisement { router_lifetime_secs: 9000, ..RouterAdvertisement::default() };
    let len = advertisement.emit(&mut body).unwrap();
    let frame = ndp_frame(link_local(A1), ndp::ALL_NODES, advertisement.fields(), &body[..len]);
    assert_eq!(host.send(A1, &frame).code(), "D35");
    let redirect = icmp::Fields { kind: ndp::kind::REDIRECT, code: 0, rest: [0; 4] };
    assert_eq!(host.send(A1, &ndp_frame(link_local(A1), A2.v6(), redirect, &[0; 32])).code(), "D35");
    let mut far = build::neighbor_solicitation(A1.mac(), A1.v6(), A2.v6());
    far[14 + 7] = 254;
    assert_eq!(host.send(A1, &far).code(), "D32", "it has crossed a router");
}

fn check_router_advertisement(frame: &[u8], dst: IpAddr) {
    let (packet, message) = ndp_of(frame);
    let ndp::Message::RouterAdvertisement(said) = message else { panic!("{message:?}") };
    let ip = packet.ip().unwrap();
    assert_eq!((ip.src, ip.dst, ip.ttl), (ROUTER_LINK_LOCAL.into(), dst, 255));
    assert_eq!(packet.src_mac, router(A1));
    assert!(said.managed && said.other && said.router_lifetime_secs == 1800);
    assert_eq!((said.source_link_layer, said.mtu), (Some(router(A1)), Some(MTU.into())));
    let [prefix] = said.prefixes[..] else { panic!("{said:?}") };
    assert_eq!((prefix.prefix.to_string().as_str(), prefix.len), ("2001:db8:10:1::", 64));
    assert!(prefix.on_link && !prefix.autonomous);
    assert_eq!(said.rdnss.unwrap().servers, ["fd00:ec2::253".parse::<Ipv6Addr>().unwrap()]);
    assert_eq!(said.dnssl, Some(Dnssl { lifetime_secs: 1800, domains: vec!["ec2.internal".into()] }));
}

#[test]
fn routers_are_advertised_asked_and_unasked() {
    let mut host = Host::new(Cloud::open());
    let answer = host.send(A1, &build::router_solicitation(A1.mac(), link_local(A1))).answer();
    check_router_advertisement(&answer, link_local(A1).into());
    let answer = host.send(A1, &build::router_solicitation(A1.mac(), Ipv6Addr::UNSPECIFIED)).answer();
    check_router_advertisement(&answer, ndp::ALL_NODES.into());

    host.worker.handle_timeout(host.now);
    let unasked = host.transmits();
    assert_eq!(unasked.iter().map(|(to, _)| *to).collect::<Vec<_>>(), GUESTS);
    check_router_advertisement(&unasked[0].1, ndp::ALL_NODES.into());
    host.pass_time(Duration::seconds(449));
    host.worker.handle_timeout(host.now);
    assert!(host.transmits().is_empty());
    host.pass_time(Duration::seconds(1));
    assert!(host.worker.poll_timeout().0 <= host.now);
    host.worker.handle_timeout(host.now);
    assert_eq!(host.transmits().len(), GUESTS.len());
    host.mtu = |_| 8500;
    host.apply();
    host.worker.handle_timeout(host.now);
    assert_eq!(host.transmits().len(), GUESTS.len(), "a changed MTU is told at once");
    host.edit(|cloud| cloud.slice(A).subnets.iter_mut().for_each(|s| std::sync::Arc::make_mut(s).ipv6 = None));
    assert_eq!(host.send(A1, &build::router_solicitation(A1.mac(), link_local(A1))).code(), "D04", "no IPv6 here");
}

fn dhcpv4(kind: Type4, options: Options) -> Dhcpv4 {
    Dhcpv4 {
        kind,
        xid: 0x1234,
        secs: 0,
        broadcast: false,
        ciaddr: Ipv4Addr::UNSPECIFIED,
        yiaddr: Ipv4Addr::UNSPECIFIED,
        siaddr: Ipv4Addr::UNSPECIFIED,
        giaddr: Ipv4Addr::UNSPECIFIED,
        chaddr: A1.mac(),
        options,
    }
}

fn dhcpv4_answer(frame: &[u8]) -> (Packet, Dhcpv4) {
    let packet = Packet::parse(frame).unwrap();
    let ip = packet.ip().unwrap();
    assert_eq!((ip.src, ip.transport.ports()), (IpAddr::V4([10, 16, 1, 1].into()), Some((67, 68))));
    (packet, Dhcpv4::parse(ip.payload_bytes(frame)).unwrap())
}

#[test]
fn dhcpv4_gives_address_mask_router_resolver_name_and_mtu() {
    let mut host = Host::new(Cloud::open());
    let wants = Options { requested_ip: Some(A1.v4()), ..Options::default() };
    for (asks, says) in [(Type4::Discover, Type4::Offer), (Type4::Request, Type4::Ack)] {
        let frame = build::dhcpv4_client(A1.mac(), &dhcpv4(asks, wants.clone()));
        let (packet, answer) = dhcpv4_answer(&host.send(A1, &frame).answer());
        assert_eq!((packet.dst_mac, packet.ip().unwrap().dst), (A1.mac(), A1.v4().into()));
        assert_eq!((answer.kind, answer.xid, answer.yiaddr, answer.chaddr), (says, 0x1234, A1.v4(), A1.mac()));
        let options = answer.options;
        let router = Ipv4Addr::new(10, 16, 1, 1);
        assert_eq!((options.subnet_mask, options.routers), (Some([255, 255, 255, 0].into()), vec![router]));
        assert_eq!((options.dns, options.domain_name), (vec![[10, 16, 0, 2].into()], b"ec2.internal".to_vec()));
        assert_eq!((options.mtu, options.lease_secs, options.server_id), (Some(MTU), Some(3600), Some(router)));
        assert_eq!((options.renewal_secs, options.rebinding_secs), (Some(1800), Some(3150)));
        assert_eq!(options.broadcast, Some([10, 16, 1, 255].into()));
    }
    let wrong = Options { requested_ip: Some(A2.v4()), ..Options::default() };
    let frame = build::dhcpv4_client(A1.mac(), &dhcpv4(Type4::Request, wrong));
    let (packet, answer) = dhcpv4_answer(&host.send(A1, &frame).answer());
    assert_eq!((answer.kind, answer.yiaddr), (Type4::Nak, Ipv4Addr::UNSPECIFIED));
    assert_eq!(packet.dst_mac, MacAddr::BROADCAST);
}

#[test]
fn dhcpv4_renews_informs_and_stays_silent() {
    let mut host = Host::new(Cloud::open());
    let mut renewal = dhcpv4(Type4::Request, Options::default());
    renewal.ciaddr = A1.v4();
    let mut body = [0; 600];
    let len = renewal.emit(&mut body).unwrap();
    let sockets = ("10.16.1.10:68".parse().unwrap(), "10.16.1.1:67".parse().unwrap());
    let unicast = build::udp(to_router(A1), sockets.0, sockets.1, &body[..len]);
    let (header, frame) = build::with_partial_checksum(&unicast);
    let (_, answer) = dhcpv4_answer(&host.send_with(A1, &header, &frame).answer());
    assert_eq!((answer.kind, answer.yiaddr), (Type4::Ack, A1.v4()));

    let inform = Dhcpv4 { kind: Type4::Inform, ..renewal.clone() };
    let (_, answer) = dhcpv4_answer(&host.send(A1, &build::dhcpv4_client(A1.mac(), &inform)).answer());
    assert_eq!((answer.yiaddr, answer.options.lease_secs), (Ipv4Addr::UNSPECIFIED, None));
    assert!(!answer.options.dns.is_empty());

    let other = Options { server_id: Some(A2.v4()), requested_ip: Some(A1.v4()), ..Options::default() };
    let silent = [dhcpv4(Type4::Request, other), dhcpv4(Type4::Release, Options::default())];
    for message in silent {
        assert_eq!(host.send(A1, &build::dhcpv4_client(A1.mac(), &message)).code(), "D04", "{:?}", message.kind);
    }
    let relayed = Dhcpv4 { giaddr: A1.v4(), ..dhcpv4(Type4::Discover, Options::default()) };
    assert_eq!(host.send(A1, &build::dhcpv4_client(A1.mac(), &relayed)).code(), "D04");
    let of_another = Dhcpv4 { chaddr: A2.mac(), ..dhcpv4(Type4::Discover, Options::default()) };
    assert_eq!(host.send(A1, &build::dhcpv4_client(A1.mac(), &of_another)).code(), "D01");
    let from_another = Dhcpv4 { ciaddr: A2.v4(), ..dhcpv4(Type4::Discover, Options::default()) };
    assert_eq!(host.send(A1, &build::dhcpv4_client(A1.mac(), &from_another)).code(), "D03");
    let noise = build::udp(to_router(A1), sockets.0, sockets.1, b"noise");
    assert_eq!(host.send(A1, &noise).code(), "D32");
}

#[test]
fn dhcp_options_of_the_vpc_are_handed_out() {
    let mut cloud = Cloud::open();
    let configuration = [
        ("domain-name", vec!["corp.example"]),
        ("domain-name-servers", vec!["10.16.1.53", "AmazonProvidedDNS"]),
        ("ntp-servers", vec!["10.16.1.123"]),
    ];
    let owned = |(name, values): (&str, Vec<&str>)| (name.into(), values.into_iter().map(Into::into).collect());
    cloud.slice(A).dhcp_options = Some(std::sync::Arc::new(model::DhcpOptions {
        id: id(1),
        owner: "111111111111".parse().unwrap(),
        configuration: configuration.into_iter().map(owned).collect(),
        tags: model::Tags::new(),
    }));
    let mut host = Host::new(cloud);
    let frame = build::dhcpv4_client(A1.mac(), &dhcpv4(Type4::Discover, Options::default()));
    let options = dhcpv4_answer(&host.send(A1, &frame).answer()).1.options;
    assert_eq!(options.dns, [Ipv4Addr::new(10, 16, 1, 53), Ipv4Addr::new(10, 16, 0, 2)]);
    assert_eq!((options.ntp, options.domain_name), (vec![[10, 16, 1, 123].into()], b"corp.example".to_vec()));
}

fn set_of(configuration: &[(&str, &[&str])]) -> Option<std::sync::Arc<model::DhcpOptions>> {
    let owned =
        |(name, values): &(&str, &[&str])| ((*name).into(), values.iter().map(|value| (*value).into()).collect());
    Some(std::sync::Arc::new(model::DhcpOptions {
        id: id(1),
        owner: "111111111111".parse().unwrap(),
        configuration: configuration.iter().map(owned).collect(),
        tags: model::Tags::new(),
    }))
}

fn said_by_router(host: &mut Host) -> RouterAdvertisement {
    let solicitation = build::router_solicitation(A1.mac(), link_local(A1));
    let (_, message) = ndp_of(&host.send(A1, &solicitation).answer());
    let ndp::Message::RouterAdvertisement(advertisement) = message else { panic!("{message:?}") };
    advertisement
}

fn advertised_resolvers(host: &mut Host) -> Option<Vec<Ipv6Addr>> {
    said_by_router(host).rdnss.map(|rdnss| rdnss.servers)
}

/// RFC 8106: who configures himself by advertisements alone searches where DHCP clients do; the longest lists fit all the same.
#[test]
fn search_domains_are_advertised_as_far_as_they_fit() {
    let letters = ["a"; 128].join(" ");
    let long = [&*"x".repeat(63); 3].join(".") + "." + &"y".repeat(61) + " z";
    let servers: &[&str] = &["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4"];
    for (domains, servers, expected) in [
        ("corp.example. b.example", servers, vec!["corp.example".to_owned(), "b.example".into()]),
        (&letters, servers, vec!["a".into(); 16]),
        (&long, servers, long.split(' ').map(Into::into).collect()),
        ("corp.example", &["10.16.1.53"], Vec::new()),
    ] {
        let mut cloud = Cloud::open();
        cloud.slice(A).dhcp_options = set_of(&[("domain-name", &[domains]), ("domain-name-servers", servers)]);
        let mut host = Host::new(cloud);
        let said = said_by_router(&mut host).dnssl.map(|dnssl| dnssl.domains).unwrap_or_default();
        assert_eq!(said, expected, "{domains}");
        // Unasked, too, in the frame that is kept for it.
        host.worker.handle_timeout(host.now);
        assert_eq!(host.transmits().len(), GUESTS.len(), "{domains}");
    }
}

#[test]
fn every_option_reaches_the_guests_of_its_family() {
    let mut cloud = Cloud::open();
    cloud.slice(A).dhcp_options = set_of(&[
        ("domain-name", &["corp.example b.example"]),
        ("domain-name-servers", &["10.16.1.53", "2001:db8::53"]),
        ("ntp-servers", &["10.16.1.123", "2001:db8::123"]),
        ("netbios-name-servers", &["10.16.1.137", "10.16.1.138"]),
        ("netbios-node-type", &["2"]),
        ("ipv6-address-preferred-lease-time", &["140"]),
    ]);
    let mut host = Host::new(cloud);
    let frame = build::dhcpv4_client(A1.mac(), &dhcpv4(Type4::Discover, Options::default()));
    let options = dhcpv4_answer(&host.send(A1, &frame).answer()).1.options;
    assert_eq!((options.dns, options.ntp), (vec![[10, 16, 1, 53].into()], vec![[10, 16, 1, 123].into()]));
    assert_eq!(options.domain_name, b"corp.example b.example");
    assert_eq!(options.domain_search, ["corp.example", "b.example"]);
    assert_eq!(options.others, [(44, vec![10, 16, 1, 137, 10, 16, 1, 138]), (46, vec![2])]);

    let solicit = dhcpv6(Type6::Solicit, IaNa::default());
    let frame = build::dhcpv6_client(A1.mac(), link_local(A1), &solicit);
    let offer = dhcpv6_answer(&host.send(A1, &frame).answer());
    let resolver: Ipv6Addr = "2001:db8::53".parse().unwrap();
    let time: Ipv6Addr = "2001:db8::123".parse().unwrap();
    assert_eq!((&offer.dns, offer.domain_search.len()), (&vec![resolver], 2));
    assert_eq!(offer.others, [(31, time.octets().to_vec())]);
    let [association] = &offer.ia_na[..] else { panic!("{offer:?}") };
    assert_eq!((association.addresses[0].preferred_secs, association.addresses[0].valid_secs), (140, 280));
    assert_eq!(advertised_resolvers(&mut host), Some(vec![resolver]));
}

#[test]
fn a_vpc_without_a_set_names_neither_resolver_nor_domain() {
    let mut host = Host::new(Cloud::open());
    assert_eq!(advertised_resolvers(&mut host), Some(vec!["fd00:ec2::253".parse().unwrap()]));
    host.cloud.slice(A).dhcp_options = None;
    host.apply();
    let frame = build::dhcpv4_client(A1.mac(), &dhcpv4(Type4::Discover, Options::default()));
    let options = dhcpv4_answer(&host.send(A1, &frame).answer()).1.options;
    assert!(options.dns.is_empty() && options.domain_name.is_empty() && !options.routers.is_empty());
    assert_eq!(advertised_resolvers(&mut host), None);
}

#[test]
fn a_guest_is_no_dhcp_server() {
    let mut host = Host::new(Cloud::open());
    let offer = build::udp(link(A1, A2), "10.16.1.10:67".parse().unwrap(), "10.16.1.11:68".parse().unwrap(), b"");
    assert_eq!(host.send(A1, &offer).code(), "D35");
    let to_all = Link { src: A1.mac(), dst: MacAddr::BROADCAST };
    let offer = build::udp(to_all, "10.16.1.10:67".parse().unwrap(), "255.255.255.255:68".parse().unwrap(), b"");
    assert_eq!(host.send(A1, &offer).code(), "D35");
    let reply = format!("[{}]:547", A1.v6());
    let client = format!("[{}]:546", A2.v6());
    let frame = build::udp(link(A1, A2), reply.parse().unwrap(), client.parse().unwrap(), b"");
    assert_eq!(host.send(A1, &frame).code(), "D35");
}

fn dhcpv6(kind: Type6, association: IaNa) -> Dhcpv6 {
    Dhcpv6 { client_id: vec![0, 3, 0, 1, 2, 0, 0, 16, 1, 10], ia_na: vec![association], ..Dhcpv6::new(kind, [1, 2, 3]) }
}

fn dhcpv6_answer(frame: &[u8]) -> Dhcpv6 {
    let packet = Packet::parse(frame).unwrap();
    let ip = packet.ip().unwrap();
    assert_eq!((ip.src, ip.dst), (ROUTER_LINK_LOCAL.into(), link_local(A1).into()));
    assert_eq!((packet.dst_mac, ip.transport.ports()), (A1.mac(), Some((547, 546))));
    Dhcpv6::parse(ip.payload_bytes(frame)).unwrap()
}

#[test]
fn dhcpv6_gives_the_interfaces_own_address() {
    let mut host = Host::new(Cloud::open());
    let asked = IaNa { iaid: 9, ..IaNa::default() };
    let mut ask = |message: &Dhcpv6| host.send(A1, &build::dhcpv6_client(A1.mac(), link_local(A1), message));
    let solicit = dhcpv6(Type6::Solicit, asked.clone());
    let offer = dhcpv6_answer(&ask(&solicit).answer());
    assert_eq!((offer.kind, offer.transaction, &offer.client_id), (Type6::Advertise, [1, 2, 3], &solicit.client_id));
    let [association] = &offer.ia_na[..] else { panic!("{offer:?}") };
    assert_eq!((association.iaid, association.addresses[0].address), (9, A1.v6()));
    assert_eq!((association.addresses[0].preferred_secs, association.addresses[0].valid_secs), (3600, 7200));
    assert_eq!(offer.dns, ["fd00:ec2::253".parse::<Ipv6Addr>().unwrap()]);
    assert_eq!(offer.domain_search, ["ec2.internal"]);

    let request = Dhcpv6 { server_id: offer.server_id.clone(), ..dhcpv6(Type6::Request, asked.clone()) };
    let reply = dhcpv6_answer(&ask(&request).answer());
    assert_eq!((reply.kind, &reply.ia_na), (Type6::Reply, &offer.ia_na));
    let rapid = Dhcpv6 { rapid_commit: true, ..solicit.clone() };
    let reply = dhcpv6_answer(&ask(&rapid).answer());
    assert!(reply.kind == Type6::Reply && reply.rapid_commit);

    let stale = IaAddress { address: A2.v6(), preferred_secs: 1, valid_secs: 1, status: None };
    let renew = Dhcpv6 {
        server_id: offer.server_id.clone(),
        ..dhcpv6(Type6::Renew, IaNa { addresses: vec![stale], ..asked.clone() })
    };
    let addresses = dhcpv6_answer(&ask(&renew).answer()).ia_na.remove(0).addresses;
    let lives: Vec<_> = addresses.iter().map(|one| (one.address, one.valid_secs)).collect();
    assert_eq!(lives, [(A1.v6(), 7200), (A2.v6(), 0)], "what is not its own is taken away");
    let confirm = dhcpv6(Type6::Confirm, IaNa { addresses: vec![addresses[1].clone()], ..asked.clone() });
    assert_eq!(dhcpv6_answer(&ask(&confirm).answer()).status.unwrap().code, wire::dhcpv6::status::NOT_ON_LINK);

    let elsewhere = Dhcpv6 { server_id: vec![0, 3, 0, 1, 9, 9, 9, 9, 9, 9], ..request.clone() };
    assert_eq!(ask(&elsewhere).code(), "D04");
    assert_eq!(ask(&Dhcpv6 { client_id: vec![], ..solicit }).code(), "D04");
    assert_eq!(ask(&Dhcpv6 { kind: Type6::Advertise, ..request }).code(), "D35");
    let from_own = build::dhcpv6_client(A1.mac(), A1.v6(), &dhcpv6(Type6::Solicit, asked));
    assert_eq!(host.send(A1, &from_own).code(), "D03", "clients speak from a link-local address");
}

#[test]
fn no_ping_no_services_no_groups_yet() {
    let mut host = Host::new(Cloud::open());
    let ping = |dst: &str| build::icmp_echo(to_router(A1), A1.address(dst.contains(':')), ip(dst), true, 1, 1, b"x");
    for dst in ["10.16.1.1", "10.16.2.1", "2001:db8:10:1::1", "fe80:ec2::1"] {
        assert_eq!(host.send(A1, &ping(dst)).code(), "D14", "{dst}");
    }
    let to = |dst: &str, port: u16| {
        let src = std::net::SocketAddr::new(A1.address(dst.contains(':')), 40_000);
        build::udp(to_router(A1), src, std::net::SocketAddr::new(ip(dst), port), b"x")
    };
    let services = [
        "10.16.0.2",
        "169.254.169.253",
        "169.254.169.254",
        "169.254.169.123",
        "fd00:ec2::253",
        "fd00:ec2::254",
        "fd00:ec2::123",
    ];
    for dst in services {
        assert_eq!(host.send(A1, &to(dst, 53)).code(), "D04", "{dst}");
    }
    assert_eq!(host.send(A1, &to("10.17.0.2", 53)).code(), "D14", "a peer's resolver is nobody's");
    for dst in ["224.0.0.1", "255.255.255.255", "169.254.1.1", "ff02::fb", "fe80::1234"] {
        assert_eq!(host.send(A1, &to(dst, 53)).code(), "D04", "{dst}");
    }
    let to_all = Link { src: A1.mac(), dst: MacAddr::BROADCAST };
    let frame = build::icmp_echo(to_all, A1.v4().into(), A2.v4().into(), true, 1, 1, b"x");
    assert_eq!(host.send(A1, &frame).code(), "D04", "an address of one, sent to all");
}

#[test]
fn frames_that_are_not_carried_have_their_reason() {
    let mut host = Host::new(Cloud::open());
    let ping = build::icmp_echo(link(A1, A2), A1.v4().into(), A2.v4().into(), true, 1, 1, b"x");
    assert_eq!(host.send(A1, &build::with_vlan(&ping, 5)).code(), "D33");
    let with_type = |kind: [u8; 2]| [&ping[..12], &kind[..], &ping[14..]].concat();
    for kind in [[0x88, 0xa8], [0x88, 0x47], [0x89, 0x4f], [0x00, 0x26], [0x88, 0xcc]] {
        assert_eq!(host.send(A1, &with_type(kind)).code(), "D33", "{kind:?}");
    }
    for cut in [0, 13, 20, 33] {
        assert_eq!(host.send(A1, &ping[..cut]).code(), "D32", "{cut} bytes");
    }
    let v6 = build::icmp_echo(link(A1, A2), A1.v6().into(), A2.v6().into(), true, 1, 1, b"x");
    let routing_header = [0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(host.send(A1, &build::with_extension(&v6, 43, &routing_header)).code(), "D32");
}

#[test]
fn answers_are_rationed_per_port() {
    let mut host = Host::new(Cloud::open());
    let question = build::arp_request(A1.mac(), A1.v4(), Ipv4Addr::new(10, 16, 1, 1));
    let codes: Vec<_> = (0..ANSWERS_AT_ONCE + 10).map(|_| host.send(A1, &question).code()).collect();
    assert_eq!(codes.iter().filter(|code| **code == "answered").count() as i64, ANSWERS_AT_ONCE);
    assert_eq!(codes.last(), Some(&"D36"));
    let solicitation = build::router_solicitation(A1.mac(), link_local(A1));
    assert_eq!(host.send(A1, &solicitation).code(), "D36", "one ration for all kinds");
    assert_eq!(who_has(&mut host, A2, "10.16.1.1"), Ok(router(A2)), "another port has its own");
    let packet = build::icmp_echo(link(A1, A2), A1.v4().into(), A2.v4().into(), true, 1, 1, b"x");
    assert_eq!(host.send(A1, &packet).code(), "ok", "packets are not rationed");
    host.pass_time(Duration::millis(1));
    assert_eq!(host.send(A1, &question).code(), "answered");
    assert_eq!(host.counters(A1).answered.packets as i64, ANSWERS_AT_ONCE + 1);
    assert!(host.now > START);
}

#[test]
fn an_answer_without_room_is_not_given() {
    let mut host = Host::new(Cloud::open());
    let frame = build::dhcpv4_client(A1.mac(), &dhcpv4(Type4::Discover, Options::default()));
    let mut bytes = build::with_vnet(&VnetHeader::default(), &frame);
    let len = bytes.len();
    let action = host.worker.guest_frame(crate::world::port_of(A1), &mut bytes, len, host.now);
    assert_eq!(action, dataplane::Action::Drop(policy::Denied::QueueFull));
}

/// Spec 14.6: an underlay of 1280 leaves 1218, which is too little for IPv6.
#[test]
fn a_link_too_narrow_for_ipv6_has_ipv4_alone() {
    let mut host = Host::new(Cloud::open());
    host.mtu = |_| 1218;
    host.apply();
    let question = build::dhcpv4_client(A1.mac(), &dhcpv4(Type4::Discover, Options::default()));
    let answer = host.send(A1, &question).answer();
    assert_eq!(dhcpv4_answer(&answer).1.options.mtu, Some(1218));
    let socket = |guest: Guest, port| std::net::SocketAddr::new(guest.address(false), port);
    let datagram = |len: usize| build::udp(to_router(A1), socket(A1, 1), socket(B1, 2), &vec![7; len - 28]);
    assert_eq!(host.send(A1, &datagram(1218)).code(), "ok");
    let answer = host.send(A1, &datagram(1219)).answer();
    assert_eq!(answer[40..42], 1218_u16.to_be_bytes());
    host.pass_time(dataplane::ADVERTISEMENT_INTERVAL);
    host.worker.handle_timeout(host.now);
    assert_eq!(host.transmits(), [], "no router of IPv6 advertises itself");
    assert_eq!(host.send(A1, &build::router_solicitation(A1.mac(), link_local(A1))).code(), "D04");
    host.mtu = |_| 1280;
    host.apply();
    host.worker.handle_timeout(host.now);
    assert!(!host.transmits().is_empty());
}

#[test]
fn too_big_is_said_by_the_router() {
    let mut host = Host::new(Cloud::open());
    host.mtu = |guest| if guest == B1 { 1400 } else { MTU };
    host.apply();
    for is_v6 in [false, true] {
        let socket = |guest: Guest, port| std::net::SocketAddr::new(guest.address(is_v6), port);
        let headers = if is_v6 { 48 } else { 28 };
        let datagram = |len: usize| build::udp(to_router(A1), socket(A1, 1), socket(B1, 2), &vec![7; len - headers]);
        assert_eq!(host.send(A1, &datagram(1400)).code(), "ok");
        for _ in 0..2 {
            let sent = datagram(1401);
            let answer = host.send(A1, &sent).answer();
            let packet = Packet::parse(&answer).unwrap();
            let said = packet.ip().unwrap();
            let l4 = said.l4_bytes(&answer);
            let (kind, mtu) = if is_v6 { ([2, 0], &l4[4..8]) } else { ([3, 4], &l4[4..8]) };
            assert_eq!((&l4[..2], mtu), (&kind[..], &1400_u32.to_be_bytes()[..]));
            assert_eq!((said.dst, packet.dst_mac), (A1.address(is_v6), A1.mac()));
            assert_eq!(said.embedded.unwrap().dst, B1.address(is_v6));
            assert!(l4[8..].starts_with(&sent[14..14 + 500]));
        }
        let (header, frame) = build::tcp_super_frame(to_router(A1), socket(A1, 1), socket(B1, 2), &[0; 9000], 1340);
        assert_eq!(host.send_with(A1, &header, &frame).code(), "ok", "its segments fit");
        let (header, frame) = build::tcp_super_frame(to_router(A1), socket(A1, 1), socket(B1, 2), &[0; 9000], 1440);
        assert_eq!(host.send_with(A1, &header, &frame).code(), "answered", "its segments do not");
    }
    let denied = host.counters(A1).denied(&policy::Denied::TooBig { mtu: 0 });
    assert_eq!(denied.packets, 6);
    let mut may_be_cut =
        build::udp(to_router(A1), "10.16.1.10:1".parse().unwrap(), "10.17.1.10:2".parse().unwrap(), &[7; 1450]);
    may_be_cut[20] = 0;
    let header_sum = wire::checksum::update(u16::from_be_bytes([may_be_cut[24], may_be_cut[25]]), 0x4000, 0);
    may_be_cut[24..26].copy_from_slice(&header_sum.to_be_bytes());
    assert_eq!(host.send(A1, &may_be_cut).code(), "ok", "no device here needs it cut");
}
