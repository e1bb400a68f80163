//! Questions that go elsewhere, to somebody on this machine's loopback who may be honest or not.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use dns::Transport;
use model::VpcId;
use model::intent::Intent;
use policy::testing::Lab;

use super::resolve::{Names, Resolved};
use crate::engine::now;

/// How long an answer may take: two attempts, and a slow machine.
const PATIENCE: Duration = Duration::from_secs(20);
const SERVFAIL: u8 = 2;

/// Two VPCs, and who answers for them.
fn names(upstream: SocketAddr) -> (Names, VpcId, VpcId) {
    let mut lab = Lab::default();
    let (a, b) = (lab.vpc(&["10.0.0.0/16"]), lab.vpc(&["10.1.0.0/16"]));
    let vpcs = lab.complete().into_iter().map(|(id, slice)| (id, Arc::new(slice))).collect::<BTreeMap<_, _>>();
    let names = Names::start(Some(upstream)).unwrap();
    names.follow(&Arc::new(Intent { vpcs, ..Intent::default() }));
    (names, a, b)
}

fn question(name: &str) -> Vec<u8> {
    let mut bytes = vec![0, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}

/// The answer to a request, with one address that ends so.
fn answer(request: &[u8], last: u8) -> Vec<u8> {
    let name_len = request[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let mut answer = request[..12 + name_len + 4].to_vec();
    answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, last]);
    answer
}

enum Said {
    Now(Vec<u8>),
    Later(Receiver<Vec<u8>>),
}

fn ask(names: &Names, vpc: VpcId, name: &str) -> Said {
    let (tell, hear) = channel();
    let later = move |message| {
        let _ = tell.send(message);
    };
    match names.resolve(vpc, &question(name), Transport::Udp, now(), later) {
        Resolved::Now(message) => Said::Now(message),
        Resolved::Later => Said::Later(hear),
        Resolved::Silence => panic!("silence"),
    }
}

#[track_caller]
fn later(said: Said) -> Vec<u8> {
    match said {
        Said::Later(hear) => hear.recv_timeout(PATIENCE).expect("an answer"),
        Said::Now(message) => panic!("at once: {message:?}"),
    }
}

/// Sockets of one port, and what is done with each request over UDP.
fn upstream(mut reply: impl FnMut(&UdpSocket, &[u8], SocketAddr) + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            reply(&socket, &buffer[..len], from);
        }
    });
    address
}

#[test]
fn who_guesses_is_not_heard_and_the_right_answer_still_is() {
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = upstream(move |socket, request, from| {
        let right = answer(request, 7);
        stranger.send_to(&answer(request, 66), from).unwrap();
        let mut other_id = answer(request, 66);
        other_id[1] ^= 1;
        let mut other_name = answer(request, 66);
        other_name[13] ^= 1;
        for guess in [other_id, other_name, b"noise".to_vec(), right] {
            socket.send_to(&guess, from).unwrap();
        }
    });
    let (names, a, _) = names(address);
    let said = later(ask(&names, a, "www.example.com"));
    assert_eq!((said[..2].to_vec(), said.last()), (vec![0, 9], Some(&7)));
    let Said::Now(again) = ask(&names, a, "WWW.example.com") else { panic!("it was not remembered") };
    assert_eq!(again.last(), Some(&7));
    names.stop();
}

#[test]
fn what_is_cut_short_is_asked_for_again_over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let socket = UdpSocket::bind(address).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        let (len, from) = socket.recv_from(&mut buffer).unwrap();
        let mut cut = buffer[..len].to_vec();
        cut[2] = 0x83;
        socket.send_to(&cut, from).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut request = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut request).unwrap();
        let answer = answer(&request, 8);
        stream.write_all(&u16::try_from(answer.len()).unwrap().to_be_bytes()).unwrap();
        stream.write_all(&answer).unwrap();
    });
    let (names, a, _) = names(address);
    assert_eq!(later(ask(&names, a, "big.example.com")).last(), Some(&8));
    names.stop();
}

/// Every VPC has a share of its own of what is outstanding, and the same question is asked once.
#[test]
fn what_is_outstanding_is_bounded_for_each_vpc() {
    let (tell, asked) = channel();
    let address = upstream(move |_, request, _| {
        let _ = tell.send(request.to_vec());
    });
    let (names, a, b) = names(address);
    let many: Vec<Said> = (0..100).map(|n| ask(&names, a, &format!("n{n}.example.com"))).collect();
    let again = ask(&names, a, "n0.example.com");
    let other = ask(&names, b, "n0.example.com");
    // Those beyond the share fail at once, long before anybody's patience ends.
    let mut refused = 0;
    for said in &many {
        if let Said::Later(hear) = said
            && hear.recv_timeout(Duration::from_millis(20)).is_ok_and(|message| message[3] & 0x0f == SERVFAIL)
        {
            refused += 1;
        }
    }
    assert_eq!(refused, 36);
    for said in [again, other] {
        assert_eq!(later(said)[3] & 0x0f, SERVFAIL, "nobody answers");
    }
    let names_asked =
        |vpc_requests: &[Vec<u8>]| vpc_requests.iter().filter(|request| request[13..15] == *b"n0").count();
    let requests: Vec<Vec<u8>> = asked.try_iter().collect();
    assert!(names_asked(&requests) <= 4, "two attempts for each of two VPCs");
    names.stop();
}

/// Users' case 46: of two VPCs that ask the same at the same moment each has a question of its own, so neither notices the other, nor gets
/// what was said to the other.
#[test]
fn two_vpcs_never_share_a_question_or_its_answer() {
    let mut heard: Vec<(Vec<u8>, SocketAddr)> = Vec::new();
    let address = upstream(move |socket, request, from| {
        heard.push((request.to_vec(), from));
        // Nobody is answered before both have asked; each is answered differently.
        if heard.len() >= 2 {
            for ((request, from), last) in heard.iter().zip(1..) {
                socket.send_to(&answer(request, last), *from).unwrap();
            }
        }
    });
    let (names, a, b) = names(address);
    let said = [ask(&names, a, "www.example.com"), ask(&names, b, "www.example.com")].map(later);
    let last = said.map(|message| *message.last().unwrap());
    assert_ne!(last[0], last[1], "one answer for both");
    for (vpc, last) in [(a, last[0]), (b, last[1])] {
        let Said::Now(again) = ask(&names, vpc, "www.example.com") else { panic!("it was not remembered") };
        assert_eq!(again.last(), Some(&last), "each remembers its own");
    }
    names.stop();
}

#[test]
fn a_vpc_that_is_gone_is_forgotten() {
    let address = upstream(|socket, request, from| {
        socket.send_to(&answer(request, 7), from).unwrap();
    });
    let (names, a, b) = names(address);
    later(ask(&names, a, "www.example.com"));
    assert!(matches!(ask(&names, a, "www.example.com"), Said::Now(_)));
    assert!(matches!(ask(&names, b, "www.example.com"), Said::Later(_)), "another's memory");
    let mut lab = Lab::default();
    lab.vpc(&["10.0.0.0/16"]);
    names.follow(&Arc::new(Intent::default()));
    let vpcs = lab.complete().into_iter().map(|(id, slice)| (id, Arc::new(slice))).collect();
    names.follow(&Arc::new(Intent { vpcs, ..Intent::default() }));
    assert!(matches!(ask(&names, a, "www.example.com"), Said::Later(_)));
    names.stop();
}
