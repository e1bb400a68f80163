//! Two hosts and those that are none, on this machine's loopback addresses.

mod strangers;

use std::collections::BTreeSet;
use std::time::Instant;

use model::Time;

use super::*;
use crate::identity::{Identity, Trust};
use crate::testing::{Authority, before, host, now};

/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(20);

struct Node {
    identity: Identity,
    sessions: Sessions,
    events: Events,
}

impl Node {
    fn start(identity: Identity, at: &str, limits: Limits) -> Node {
        let (sessions, events) = Sessions::start(at.parse().unwrap(), limits, || Ok(())).unwrap();
        let node = Node { identity, sessions, events };
        node.send(Command::SetIdentity(node.identity.credentials(now()).unwrap()));
        node
    }

    fn address(&self) -> SocketAddr {
        self.sessions.address()
    }

    fn send(&self, command: Command) {
        self.sessions.send(command).unwrap();
    }

    fn permit(&self, others: &[&Node]) {
        let peers = others.iter().map(|other| (other.identity.host(), other.identity.key()));
        self.send(Command::SetPeers(peers.collect()));
    }

    fn dial(&self, other: &Node) {
        self.send(Command::Connect { host: other.identity.host(), address: other.address() });
    }

    fn next(&self) -> Event {
        self.events.recv(PATIENCE).unwrap()
    }

    fn up(&self) -> Up {
        match self.next() {
            Event::Up(up) => up,
            other => panic!("not up: {other:?}"),
        }
    }

    fn down(&self) -> (u64, Why) {
        match self.next() {
            Event::Down { session, why } => (session, why),
            other => panic!("not down: {other:?}"),
        }
    }

    fn failed(&self) -> Why {
        match self.next() {
            Event::Failed { why, .. } => why,
            other => panic!("not failed: {other:?}"),
        }
    }

    fn refused(&self) -> Why {
        match self.next() {
            Event::Refused { why, .. } => why,
            other => panic!("not refused: {other:?}"),
        }
    }

    fn message(&self) -> Vec<u8> {
        match self.next() {
            Event::Message { bytes, .. } => bytes,
            other => panic!("no message: {other:?}"),
        }
    }
}

fn pair_with(limits: Limits) -> (Authority, Node, Node) {
    let authority = Authority::new();
    let a = Node::start(authority.host("a"), "127.0.0.1:0", limits);
    let b = Node::start(authority.host("b"), "127.0.0.1:0", limits);
    a.permit(&[&b]);
    b.permit(&[&a]);
    (authority, a, b)
}

fn pair() -> (Authority, Node, Node) {
    pair_with(Limits::default())
}

/// Dials, and gives both ends.
fn join(a: &Node, b: &Node) -> (Up, Up) {
    a.dial(b);
    (a.up(), b.up())
}

fn key(up: &Up, context: &[u8]) -> [u8; KEY_MATERIAL] {
    let mut key = [0; KEY_MATERIAL];
    up.exporter.export(context, &mut key).unwrap();
    key
}

/// What frames still pass between.
fn talk(a: &Node, session: u64, b: &Node, text: &[u8]) {
    a.send(Command::Send { session, frame: text.to_vec() });
    assert_eq!(b.message(), text);
}

#[test]
fn both_ends_have_the_same_keys_and_no_other_session_or_context_has() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let authority = Authority::new();
        let a = Node::start(authority.host("a"), address, Limits::default());
        let b = Node::start(authority.host("b"), address, Limits::default());
        a.permit(&[&b]);
        b.permit(&[&a]);
        let (at_a, at_b) = join(&a, &b);
        assert_eq!((at_a.host, at_a.role, at_a.key), (host("b"), Role::Client, b.identity.key()));
        assert_eq!((at_b.host, at_b.role, at_b.key), (host("a"), Role::Server, a.identity.key()));
        assert!(at_a.post_quantum && at_b.post_quantum);
        assert_eq!(at_a.address, b.address());
        // It dials from where it listens, so that the peer sees the address that it knows.
        assert_eq!(at_b.address.ip(), a.address().ip());
        let (back_b, back_a) = join(&b, &a);
        let (again_a, again_b) = join(&a, &b);
        let mut keys = BTreeSet::new();
        for (one, other) in [(&at_a, &at_b), (&back_a, &back_b), (&again_a, &again_b)] {
            for context in [&b""[..], b"1", b"2", &[7; 1000]] {
                assert_eq!(key(one, context), key(other, context));
                keys.insert(key(one, context));
            }
        }
        assert_eq!(keys.len(), 12);
        talk(&a, at_a.session, &b, b"want");
        talk(&b, at_b.session, &a, b"grant");
        talk(&a, at_a.session, &b, &vec![9; FRAME_MAX]);
    }
}

#[test]
fn an_ended_session_exports_nothing_at_either_end() {
    let (_authority, a, b) = pair();
    let (at_a, at_b) = join(&a, &b);
    a.send(Command::Close { session: at_a.session });
    assert_eq!(a.down(), (at_a.session, Why::Closed));
    assert_eq!(b.down(), (at_b.session, Why::PeerClosed));
    for up in [at_a, at_b] {
        assert_eq!(up.exporter.export(b"", &mut [0; KEY_MATERIAL]), Err(ExportError::Ended));
    }
}

#[test]
fn frames_of_no_length_or_too_much_are_refused_where_they_are_made() {
    let (_authority, a, _b) = pair();
    for length in [0, FRAME_MAX + 1] {
        let command = Command::Send { session: 1, frame: vec![0; length] };
        assert_eq!(a.sessions.send(command), Err(CommandError::Frame(length)));
    }
}

#[test]
fn an_expired_certificate_is_refused_by_both_ends() {
    let (authority, a, b) = pair();
    let mut old = Identity::open(host("old"), None).unwrap();
    authority.certify(&mut old, before(now(), 3));
    let credentials = old.credentials(before(now(), 3)).unwrap();
    let c = Node { identity: old, ..Node::start(authority.host("old"), "127.0.0.1:0", Limits::default()) };
    c.send(Command::SetIdentity(credentials));
    for node in [&a, &b] {
        node.permit(&[&c]);
    }
    c.permit(&[&a, &b]);
    a.dial(&c);
    assert_eq!(a.failed(), Why::Expired);
    c.dial(&b);
    assert_eq!(b.refused(), Why::Expired);
}

#[test]
fn the_host_that_was_dialled_must_answer() {
    let (authority, a, b) = pair();
    let c = Node::start(authority.host("c"), "127.0.0.1:0", Limits::default());
    a.permit(&[&b, &c]);
    c.permit(&[&a]);
    // It takes the address of b.
    a.send(Command::Connect { host: host("b"), address: c.address() });
    assert_eq!(a.failed(), Why::WrongHost { expected: host("b"), actual: host("c") });
    // A certificate with the name of b and a key that is not b's.
    let mut thief = Identity::open(host("b"), None).unwrap();
    authority.certify(&mut thief, now());
    let key = thief.key();
    let thief = Node::start(thief, "127.0.0.1:0", Limits::default());
    thief.permit(&[&a]);
    a.send(Command::Connect { host: host("b"), address: thief.address() });
    assert_eq!(a.failed(), Why::OtherKey { host: host("b"), key });
    thief.dial(&a);
    assert_eq!(a.refused(), Why::OtherKey { host: host("b"), key });
}

#[test]
fn a_host_does_not_speak_to_itself() {
    let (_authority, a, _b) = pair();
    a.permit(&[&a]);
    a.dial(&a);
    let (one, other) = (a.next(), a.next());
    let is_ourselves = |event: &Event| matches!(event, Event::Failed { why: Why::Ourselves, .. });
    assert!(is_ourselves(&one) || is_ourselves(&other), "{one:?} {other:?}");
}

#[test]
fn a_revoked_key_loses_its_sessions_and_gets_no_new_one() {
    let (authority, a, b) = pair();
    let c = Node::start(authority.host("c"), "127.0.0.1:0", Limits::default());
    c.permit(&[&b]);
    b.permit(&[&a, &c]);
    let (_, at_b) = join(&a, &b);
    let (c_at_c, c_at_b) = join(&c, &b);
    b.permit(&[&c]);
    assert_eq!(b.down(), (at_b.session, Why::Revoked { host: host("a") }));
    assert_eq!(a.down().1, Why::PeerClosed);
    assert!(at_b.exporter.export(b"", &mut [0; KEY_MATERIAL]).is_err());
    a.dial(&b);
    assert!(matches!(a.failed(), Why::Alert(_) | Why::PeerClosed));
    assert_eq!(b.refused(), Why::UnknownHost { host: host("a") });
    // The same host with another key: the old one is as good as none.
    b.send(Command::SetPeers([(host("a"), model::KeyFingerprint([0; 32])), (host("c"), c.identity.key())].into()));
    a.dial(&b);
    assert!(matches!(a.failed(), Why::Alert(_) | Why::PeerClosed));
    assert_eq!(b.refused(), Why::OtherKey { host: host("a"), key: a.identity.key() });
    talk(&c, c_at_c.session, &b, b"still here");
    assert_eq!(key(&c_at_b, b""), key(&c_at_c, b""));
}

#[test]
fn without_a_certificate_of_its_own_a_host_neither_dials_nor_answers() {
    let (_authority, a, b) = pair();
    let (sessions, events) = Sessions::start("127.0.0.1:0".parse().unwrap(), Limits::default(), || Ok(())).unwrap();
    let bare = Node { identity: Authority::new().host("bare"), sessions, events };
    bare.permit(&[&a, &b]);
    bare.dial(&b);
    assert_eq!(bare.failed(), Why::NoIdentity);
    a.permit(&[&bare]);
    a.dial(&bare);
    assert!(matches!(a.failed(), Why::PeerClosed | Why::Io(_)));
    assert_eq!(bare.refused(), Why::NoIdentity);
}

#[test]
fn a_namespace_that_cannot_be_entered_and_an_address_that_is_taken_are_errors() {
    let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let failed = Sessions::start(address, Limits::default(), || Err(io::Error::other("no such namespace")));
    assert_eq!(failed.err().unwrap().to_string(), "no such namespace");
    let (first, _events) = Sessions::start(address, Limits::default(), || Ok(())).unwrap();
    let taken = Sessions::start(first.address(), Limits::default(), || Ok(()));
    assert_eq!(taken.err().unwrap().kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn a_session_has_a_longest_time() {
    let limits = Limits { age: Duration::from_millis(300), ..Limits::default() };
    let (_authority, a, b) = pair_with(limits);
    let (at_a, at_b) = join(&a, &b);
    let ends = [(a.down(), at_a.session), (b.down(), at_b.session)];
    for ((down, why), session) in ends.clone() {
        assert_eq!(down, session);
        assert!([Why::TooOld, Why::PeerClosed].contains(&why), "{why}");
    }
    assert!(ends.iter().any(|((_, why), _)| *why == Why::TooOld));
}

#[test]
fn a_peer_that_comes_back_is_reached_again_with_new_keys() {
    let (authority, a, b) = pair();
    let (before, _) = join(&a, &b);
    let old = key(&before, b"");
    let (address, identity) = (b.address(), b.identity);
    drop((b.sessions, b.events));
    assert_eq!(a.down(), (before.session, Why::PeerClosed));
    a.send(Command::Connect { host: host("b"), address });
    assert!(matches!(a.failed(), Why::Unreachable(_)));
    let b = Node::start(identity, &address.to_string(), Limits::default());
    b.permit(&[&a]);
    let (at_a, at_b) = join(&a, &b);
    assert!(at_a.session > before.session);
    assert_eq!(key(&at_a, b""), key(&at_b, b""));
    assert_ne!(key(&at_a, b""), old);
    // With a renewed certificate too: the open session stays, the next one shows it.
    let mut renewed = a.identity;
    authority.certify(&mut renewed, Time::from_unix_millis(now().as_unix_millis() + 1000));
    let a = Node { identity: renewed, ..a };
    a.send(Command::SetIdentity(a.identity.credentials(now()).unwrap()));
    let (next, _) = join(&a, &b);
    talk(&a, at_a.session, &b, b"the old one");
    talk(&a, next.session, &b, b"the new one");
}

#[test]
fn a_root_that_is_not_the_tokens_is_not_believed() {
    let (authority, other) = (Authority::new(), Authority::new());
    let mut identity = Identity::open(host("a"), None).unwrap();
    let pin = verify::key_of(&other.root()[..].into()).unwrap();
    let certificate = authority.issue(&identity.csr().unwrap(), &[&stream::host_uri(host("a"))], now());
    assert!(identity.accept(vec![certificate], authority.root(), Trust::Pinned(pin), now()).is_err());
}

#[test]
fn nobody_who_hears_nothing_stops_the_thread() {
    let (_authority, a, b) = pair();
    let (at_a, _) = join(&a, &b);
    // Fills the queue of b, which nobody empties, and all that is before it.
    for _ in 0..2000 {
        a.send(Command::Send { session: at_a.session, frame: vec![1; 1000] });
    }
    let deadline = Instant::now() + PATIENCE;
    while !b.events.is_full() {
        assert!(Instant::now() < deadline, "the queue does not fill");
        std::thread::sleep(Duration::from_millis(10));
    }
    let start = Instant::now();
    drop(b.sessions);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(std::iter::from_fn(|| b.events.recv(Duration::ZERO).ok()).take(10_000).count() >= 256);
    assert_eq!(b.events.recv(Duration::ZERO).err(), Some(NoEvent::Ended));
}
