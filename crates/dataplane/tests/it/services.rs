//! What is sent to the VPC's own addresses reaches the services, whole and in the name of who sent it, and nothing else does (spec 9.1;
//! users.md 7.1, cases 41 and 46).

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use dataplane::{ANSWERS_AT_ONCE, Asker, DATAGRAM_MAX, Late, Port, Served, Services};
use model::{Duration, Time};
use wire::{Packet, TcpFlags, build};

use crate::world::cloud::*;
use crate::world::{Host, checked, port_of, router, to_router};

/// Answers with the question backwards, or as the question says.
#[derive(Debug, Default)]
struct Echo {
    questions: Mutex<Vec<Asker>>,
    segments: Mutex<Vec<(model::NetworkInterfaceId, Vec<u8>)>>,
}

impl Services for Echo {
    fn question(&self, asker: &Asker, question: &[u8], answer: &mut [u8], _: Time) -> Served {
        self.questions.lock().unwrap().push(*asker);
        match question {
            b"later" => Served::Later,
            b"silence" => Served::Silence,
            b"everything" => {
                answer.fill(b'e');
                Served::Answer(answer.len())
            }
            question => {
                answer[..question.len()].copy_from_slice(question);
                answer[..question.len()].reverse();
                Served::Answer(question.len())
            }
        }
    }

    fn segment(&self, port: &Port, packet: &[u8], _: Time, say: &mut dyn FnMut(&[u8])) -> bool {
        self.segments.lock().unwrap().push((port.interface, packet.to_vec()));
        // Twice what came: more than one packet may be said to one.
        say(packet);
        say(packet);
        true
    }
}

fn serving() -> (Host, Arc<Echo>) {
    let host = Host::new(Cloud::open());
    let echo = Arc::new(Echo::default());
    assert!(host.shared.serve(echo.clone()));
    assert!(!host.shared.serve(Arc::new(Echo::default())), "once");
    (host, echo)
}

fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip(address), port)
}

fn question(from: Guest, dst: SocketAddr, payload: &[u8]) -> Vec<u8> {
    build::udp(to_router(from), (from.address(dst.is_ipv6()), 40_000).into(), dst, payload)
}

#[test]
fn a_question_is_answered_from_where_it_was_asked() {
    let (mut host, echo) = serving();
    for dst in ["10.16.0.2", "169.254.169.253", "fd00:ec2::253"] {
        let answer = host.send(A1, &question(A1, at(dst, 53), b"abc")).answer();
        let packet = Packet::parse(&answer).unwrap();
        let said = packet.ip().unwrap();
        assert_eq!((said.src, said.dst), (ip(dst), A1.address(dst.contains(':'))));
        assert_eq!(said.transport.ports(), Some((53, 40_000)));
        assert_eq!((packet.src_mac, packet.dst_mac), (router(A1), A1.mac()));
        assert_eq!(said.payload_bytes(&answer), b"cba");
        let asker = echo.questions.lock().unwrap().pop().unwrap();
        assert_eq!((asker.interface, asker.vpc, asker.at), (A1.eni(), vpc_id(A), ip(dst)));
        assert_eq!(asker.from, SocketAddr::new(said.dst, 40_000));
    }
    let longest = host.send(A1, &question(A1, at("10.16.0.2", 53), b"everything")).answer();
    let packet = Packet::parse(&longest).unwrap();
    assert_eq!(packet.ip().unwrap().payload_bytes(&longest).len(), DATAGRAM_MAX);
    assert_eq!(host.send(A1, &question(A1, at("10.16.0.2", 53), b"silence")).code(), "D04");
    assert_eq!(host.counters(A1).answered.packets, 4);
}

#[test]
fn nothing_else_reaches_the_services() {
    let (mut host, echo) = serving();
    for (dst, port, code) in [
        ("10.17.0.2", 53, "D14"),
        ("10.16.0.2", 54, "D04"),
        ("169.254.169.254", 53, "D04"),
        ("169.254.169.123", 123, "D04"),
        ("169.254.1.1", 53, "D04"),
        ("10.16.1.1", 53, "D14"),
    ] {
        assert_eq!(host.send(A1, &question(A1, at(dst, port), b"x")).code(), code, "{dst}:{port}");
    }
    let foreign = build::udp(to_router(A1), (A2.v4(), 40_000).into(), at("10.16.0.2", 53), b"x");
    assert_ne!(host.send(A1, &foreign).code(), "answered", "in another's name");
    let long = question(A1, at("10.16.0.2", 53), &[b'x'; 1400]);
    for piece in build::fragments(&long, 7, 600) {
        assert_eq!(host.send(A1, &piece).code(), "D04", "in pieces");
    }
    let tcp = |dst: &str, port| build::tcp(to_router(A1), (A1.v4(), 40_000).into(), at(dst, port), TcpFlags::SYN, b"");
    for (dst, port) in [("10.16.0.2", 80), ("169.254.169.254", 53), ("169.254.169.253", 443)] {
        assert_eq!(host.send(A1, &tcp(dst, port)).code(), "D04", "{dst}:{port}");
    }
    assert!(echo.questions.lock().unwrap().is_empty() && echo.segments.lock().unwrap().is_empty());
}

#[test]
fn a_connection_s_packets_go_both_ways_whole() {
    let (mut host, echo) = serving();
    for (dst, port) in [("10.16.0.2", 53), ("169.254.169.253", 53), ("169.254.169.254", 80)] {
        let frame = build::tcp(to_router(A1), (A1.v4(), 40_000).into(), at(dst, port), TcpFlags::SYN, b"abc");
        assert_eq!(host.send(A1, &frame).code(), "held", "taken");
        let (interface, packet) = echo.segments.lock().unwrap().pop().unwrap();
        assert_eq!((interface, &packet[..]), (A1.eni(), &frame[14..]));
        let said = host.transmits();
        assert_eq!(said.len(), 2);
        for (to, answer) in said {
            assert_eq!((to, &answer[14..]), (A1, &frame[14..]));
            let packet = Packet::parse(&answer).unwrap();
            assert_eq!((packet.src_mac, packet.dst_mac), (router(A1), A1.mac()));
        }
    }
}

/// "1024 packets/s per ENI for all link-local services together; excess is dropped."
#[test]
fn services_have_one_ration_for_each_interface() {
    let (mut host, _) = serving();
    let udp = question(A1, at("10.16.0.2", 53), b"x");
    let tcp = build::tcp(to_router(A1), (A1.v4(), 40_000).into(), at("169.254.169.254", 80), TcpFlags::SYN, b"");
    let mut passed = 0;
    for n in 0..2 * ANSWERS_AT_ONCE {
        let code = host.send(A1, if n % 2 == 0 { &udp } else { &tcp }).code();
        passed += i64::from(code != "D36");
    }
    assert_eq!(passed, ANSWERS_AT_ONCE);
    assert_eq!(host.send(A2, &question(A2, at("10.16.0.2", 53), b"x")).code(), "answered", "nobody else feels it");
    let arp = build::arp_request(A1.mac(), A1.v4(), A2.v4());
    assert_eq!(host.send(A1, &arp).code(), "answered", "nor does the router");
    host.pass_time(Duration::seconds(1));
    assert_eq!(host.send(A1, &udp).code(), "answered");
}

/// users.md 7.1, case 41: what one asked is never said to another, though it has the same port by then.
#[test]
fn what_comes_later_is_for_who_asked_only() {
    let (mut host, echo) = serving();
    assert_eq!(host.send(A1, &question(A1, at("10.16.0.2", 53), b"later")).code(), "held");
    let asker = echo.questions.lock().unwrap().pop().unwrap();
    let late = Late::Answer { asker, message: b"at last".to_vec().into() };
    let transmit = host.worker.late(&late).expect("its guest is there");
    assert_eq!(transmit.port, port_of(A1));
    let frame = checked(&transmit.frame);
    let packet = Packet::parse(&frame).unwrap();
    let said = packet.ip().unwrap();
    assert_eq!(
        (said.src, said.dst, said.payload_bytes(&frame)),
        (ip("10.16.0.2"), IpAddr::V4(A1.v4()), &b"at last"[..])
    );
    let anothers = Asker { interface: A2.eni(), ..asker };
    assert_eq!(host.worker.late(&Late::Answer { asker: anothers, message: b"x".to_vec().into() }), None);
    let packet = Late::Packet { port: port_of(A1), interface: A2.eni(), packet: frame[14..].into() };
    assert_eq!(host.worker.late(&packet), None);
    host.edit(|cloud| cloud.endpoint(A1).is_up = false);
    assert_eq!(host.worker.late(&late), None, "it has ended");
}
