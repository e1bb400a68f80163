//! DHCP for both families: captured shapes by hand, round trips, and what is refused.

use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};
use wire::dhcpv4::{self, Route};
use wire::dhcpv6::{self, IaAddress, IaNa, Status};
use wire::{EmitError, MacAddr, fuzz};

/// A DISCOVER as small clients send it: fixed part, cookie, type 53, parameter list 55, end; nothing padded.
fn discover_by_hand() -> Vec<u8> {
    let mut bytes = vec![1, 1, 6, 0, 0x39, 0x03, 0xf3, 0x26, 0, 5, 0x80, 0];
    bytes.resize(28, 0);
    bytes.extend([2, 0, 0, 0, 0, 9]);
    bytes.resize(236, 0);
    bytes.extend([99, 130, 83, 99, 53, 1, 1, 55, 3, 1, 3, 6, 255]);
    bytes
}

fn with_options(options: &[u8]) -> Vec<u8> {
    let mut bytes = discover_by_hand();
    bytes.truncate(240);
    bytes.extend(options);
    bytes
}

#[test]
fn a_discover_by_hand() {
    let message = dhcpv4::Message::parse(&discover_by_hand()).unwrap();
    assert_eq!(message.kind, dhcpv4::MessageType::Discover);
    assert_eq!((message.xid, message.secs, message.broadcast), (0x3903_f326, 5, true));
    assert_eq!(message.chaddr, MacAddr([2, 0, 0, 0, 0, 9]));
    assert_eq!(message.options.parameter_list, [1, 3, 6]);
    let mut buffer = [0; 400];
    assert_eq!(message.emit(&mut buffer), Ok(300), "padded to bootp's length");
    assert_eq!(buffer[..249], discover_by_hand());
}

#[test]
fn an_ack_reads_as_it_was_written() {
    let ack = fuzz::dhcpv4_ack();
    let mut buffer = [0; 1024];
    let len = ack.emit(&mut buffer).unwrap();
    assert_eq!(dhcpv4::Message::parse(&buffer[..len]), Ok(ack.clone()));
    assert_eq!(buffer[0], 2, "bootp reply");
    let holds = |option: &[u8]| buffer[240..len].windows(option.len()).any(|window| window == option);
    assert!(holds(&[1, 4, 255, 255, 255, 0]) && holds(&[3, 4, 10, 16, 1, 1]) && holds(&[6, 4, 10, 16, 0, 2]));
    assert!(holds(&[26, 2, 0x23, 0x29]) && holds(&[28, 4, 10, 16, 1, 255]) && holds(&[51, 4, 0, 0, 0x0e, 0x10]));
    assert!(holds(&[54, 4, 10, 16, 1, 1]) && holds(&[58, 4, 0, 0, 7, 8]) && holds(&[59, 4, 0, 0, 0x0c, 0x4e]));
    assert!(holds(b"\x0f\x0cec2.internal") && holds(b"\x77\x0e\x03ec2\x08internal\0"));
    assert!(holds(&[121, 12, 0, 10, 16, 1, 1, 16, 169, 254, 10, 16, 1, 1]), "rfc 3442: significant octets only");
    assert_eq!(ack.emit(&mut buffer[..200]), Err(EmitError::NoRoom { need: 240, have: 200 }));
}

#[test]
fn all_client_messages_and_a_nak() {
    use dhcpv4::MessageType::{Ack, Decline, Discover, Inform, Nak, Offer, Release, Request};
    for kind in [Discover, Offer, Request, Decline, Ack, Nak, Release, Inform] {
        let message = dhcpv4::Message { kind, ..fuzz::dhcpv4_discover() };
        let mut buffer = [0; 1024];
        let len = message.emit(&mut buffer).unwrap();
        assert_eq!(dhcpv4::Message::parse(&buffer[..len]), Ok(message));
    }
}

#[test]
fn what_is_not_dhcp_is_refused() {
    use dhcpv4::DhcpError;
    let refused = |bytes: &[u8], why| assert_eq!(dhcpv4::Message::parse(bytes), Err(why));
    let good = discover_by_hand();
    refused(&good[..239], DhcpError::Short);
    let changed = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        bytes
    };
    refused(&changed(236, 0), DhcpError::NotDhcp);
    refused(&changed(1, 6), DhcpError::Hardware(6, 6));
    refused(&changed(2, 16), DhcpError::Hardware(1, 16));
    refused(&changed(0, 2), DhcpError::Direction);
    refused(&changed(242, 5), DhcpError::Direction);
    refused(&changed(242, 9), DhcpError::Option(53));
    refused(&with_options(&[]), DhcpError::NotDhcp);
    refused(&with_options(&[255, 53, 1, 1]), DhcpError::NotDhcp);
    for bad in
        [&[50, 3, 1, 2, 3][..], &[50, 4, 1], &[50], &[51, 2, 0, 0], &[3, 0], &[6, 5, 1, 2, 3, 4, 5], &[121, 2, 33, 0]]
    {
        refused(&with_options(&[&[53, 1, 1], bad].concat()), DhcpError::Option(bad[0]));
    }
    refused(&with_options(&[[53, 1, 1], [60, 1, 1]].concat().repeat(40)), DhcpError::TooManyOptions);
}

#[test]
fn options_may_go_on_in_file_and_sname() {
    let mut bytes = with_options(&[53, 1, 1, 52, 1, 3, 255]);
    bytes[108..115].copy_from_slice(&[50, 4, 10, 16, 1, 9, 255]);
    bytes[44..52].copy_from_slice(&[12, 5, b'g', b'u', b'e', b's', b't', 255]);
    let message = dhcpv4::Message::parse(&bytes).unwrap();
    assert_eq!(message.options.requested_ip, Some(Ipv4Addr::new(10, 16, 1, 9)));
    assert_eq!(message.options.hostname, b"guest");
}

#[test]
fn of_an_option_that_stands_twice_the_first_counts() {
    let message = dhcpv4::Message::parse(&with_options(&[53, 1, 1, 53, 1, 3, 12, 1, b'a', 12, 1, b'b'])).unwrap();
    assert_eq!((message.kind, &message.options.hostname[..]), (dhcpv4::MessageType::Discover, &b"a"[..]));
}

#[test]
fn an_option_beyond_255_bytes_is_not_written() {
    let mut message = fuzz::dhcpv4_ack();
    message.options.dns = vec![Ipv4Addr::LOCALHOST; 64];
    let refused = message.emit(&mut [0; 2000]);
    assert_eq!(refused, Err(EmitError::TooLong { what: "dhcp address list", length: 256, limit: 255 }));
}

#[test]
fn a_solicit_by_hand() {
    let bytes = [
        1, 0xaa, 0xbb, 0xcc, // solicit, transaction
        0, 1, 0, 10, 0, 3, 0, 1, 2, 0, 0, 0, 0, 9, // client id: duid-ll
        0, 6, 0, 4, 0, 23, 0, 24, // option request
        0, 8, 0, 2, 0, 0, // elapsed
        0, 14, 0, 0, // rapid commit
        0, 3, 0, 12, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, // ia_na
    ];
    let message = dhcpv6::Message::parse(&bytes).unwrap();
    assert_eq!((message.kind, message.transaction), (dhcpv6::MessageType::Solicit, [0xaa, 0xbb, 0xcc]));
    assert_eq!(message.client_id, [0, 3, 0, 1, 2, 0, 0, 0, 0, 9]);
    assert_eq!((message.option_request, message.elapsed, message.rapid_commit), (vec![23, 24], Some(0), true));
    assert_eq!(message.ia_na, [IaNa { iaid: 7, ..IaNa::default() }]);
}

#[test]
fn a_reply_by_hand() {
    let address: Ipv6Addr = "2001:db8::10".parse().unwrap();
    let status = Some(Status { code: dhcpv6::status::SUCCESS, message: b"ok".to_vec() });
    let leased = IaAddress { address, preferred_secs: 1, valid_secs: 2, status: None };
    let message = dhcpv6::Message {
        client_id: vec![0, 3, 0],
        ia_na: vec![IaNa { iaid: 7, t1_secs: 3, t2_secs: 4, addresses: vec![leased], status }],
        dns: vec![address],
        rapid_commit: true,
        ..dhcpv6::Message::new(dhcpv6::MessageType::Reply, [1, 2, 3])
    };
    let mut expected = vec![7, 1, 2, 3, 0, 1, 0, 3, 0, 3, 0];
    expected.extend([0, 3, 0, 48, 0, 0, 0, 7, 0, 0, 0, 3, 0, 0, 0, 4, 0, 5, 0, 24]);
    expected.extend(address.octets());
    expected.extend([0, 0, 0, 1, 0, 0, 0, 2, 0, 13, 0, 4, 0, 0, b'o', b'k', 0, 14, 0, 0, 0, 23, 0, 16]);
    expected.extend(address.octets());
    let mut buffer = [0; 200];
    let len = message.emit(&mut buffer).unwrap();
    assert_eq!(buffer[..len], expected);
    assert_eq!(dhcpv6::Message::parse(&expected), Ok(message));
}

#[test]
fn what_is_not_dhcpv6_is_refused() {
    use dhcpv6::DhcpError;
    let refused = |bytes: &[u8], why| assert_eq!(dhcpv6::Message::parse(bytes), Err(why));
    refused(&[1, 2, 3], DhcpError::Short);
    for kind in [0, 10, 12, 13, 14, 255] {
        refused(&[kind, 0, 0, 0], DhcpError::MessageType(kind));
    }
    let with = |option: &[u8]| [&[1, 0, 0, 0], option].concat();
    refused(&with(&[0]), DhcpError::Short);
    refused(&with(&[0, 1, 0]), DhcpError::Option(1));
    refused(&with(&[0, 1, 0, 5, 0]), DhcpError::Option(1));
    refused(&with(&[0, 1, 0, 2, 0, 3]), DhcpError::Option(1));
    refused(&with(&[0, 3, 0, 4, 0, 0, 0, 0]), DhcpError::Option(3));
    refused(&with(&[0, 14, 0, 1, 0]), DhcpError::Option(14));
    refused(&with(&[0, 6, 0, 1, 0]), DhcpError::Option(6));
    refused(&with(&[0, 99, 0, 0].repeat(33)), DhcpError::TooManyOptions);
    let long = [&[0, 1, 0, 131][..], &[0; 131]].concat();
    refused(&with(&long), DhcpError::Option(1));
}

fn ipv4() -> impl Strategy<Value = Ipv4Addr> {
    any::<u32>().prop_map(Ipv4Addr::from)
}

fn ipv6() -> impl Strategy<Value = Ipv6Addr> {
    any::<u128>().prop_map(Ipv6Addr::from)
}

/// Of a destination only the octets travel that its prefix length touches.
fn route() -> impl Strategy<Value = Route> {
    (any::<u32>(), 0u8..=32, ipv4()).prop_map(|(destination, prefix_len, router)| {
        let mask = (u64::MAX << (32 - u32::from(prefix_len))) as u32;
        Route { destination: Ipv4Addr::from(destination & mask), prefix_len, router }
    })
}

fn status() -> impl Strategy<Value = Option<Status>> {
    proptest::option::of(
        (any::<u16>(), any::<[u8; 5]>()).prop_map(|(code, text)| Status { code, message: text.to_vec() }),
    )
}

fn association() -> impl Strategy<Value = IaNa> {
    let address =
        (ipv6(), any::<(u32, u32)>(), status()).prop_map(|(address, (preferred_secs, valid_secs), status)| IaAddress {
            address,
            preferred_secs,
            valid_secs,
            status,
        });
    (any::<(u32, u32, u32)>(), proptest::collection::vec(address, 0..4), status())
        .prop_map(|((iaid, t1_secs, t2_secs), addresses, status)| IaNa { iaid, t1_secs, t2_secs, addresses, status })
}

proptest! {
    #[test]
    fn dhcpv4_round_trips(
        lists in proptest::collection::vec(proptest::collection::vec(ipv4(), 0..5), 3),
        one in proptest::option::of(ipv4()),
        secs in proptest::option::of(any::<u32>()),
        mtu in proptest::option::of(any::<u16>()),
        text in proptest::collection::vec(any::<u8>(), 0..60),
        names in proptest::collection::vec("[a-z]{1,20}(\\.[a-z0-9-]{1,20}){0,2}", 0..3),
        classless_routes in proptest::collection::vec(route(), 0..6),
    ) {
        let options = dhcpv4::Options {
            routers: lists[0].clone(), dns: lists[1].clone(), ntp: lists[2].clone(),
            subnet_mask: one, broadcast: one, requested_ip: one, server_id: one,
            lease_secs: secs, renewal_secs: secs, rebinding_secs: secs, mtu, max_message_size: mtu,
            hostname: text.clone(), domain_name: text.clone(), client_id: text.clone(), message: text,
            domain_search: names, classless_routes, ..dhcpv4::Options::default()
        };
        let message = dhcpv4::Message { options, ..fuzz::dhcpv4_ack() };
        let mut buffer = [0; 2000];
        let len = message.emit(&mut buffer).unwrap();
        prop_assert_eq!(dhcpv4::Message::parse(&buffer[..len]), Ok(message));
    }

    #[test]
    fn dhcpv6_round_trips(
        ia_na in proptest::collection::vec(association(), 0..4),
        status in status(),
        dns in proptest::collection::vec(ipv6(), 0..4),
        duid in proptest::collection::vec(any::<u8>(), 3..130),
        option_request in proptest::collection::vec(any::<u16>(), 0..10),
        rapid_commit in any::<bool>(),
    ) {
        let message = dhcpv6::Message {
            ia_na, status, dns, option_request, rapid_commit, server_id: duid.clone(), client_id: duid,
            ..dhcpv6::Message::new(dhcpv6::MessageType::Reply, [7, 8, 9])
        };
        let mut buffer = [0; 4000];
        let len = message.emit(&mut buffer).unwrap();
        prop_assert_eq!(dhcpv6::Message::parse(&buffer[..len]), Ok(message));
    }

    #[test]
    fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = dhcpv6::Message::parse(&bytes);
        let _ = dhcpv4::Message::parse(&bytes);
        let _ = dhcpv4::Message::parse(&with_options(&bytes));
    }
}
