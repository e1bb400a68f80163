//! A host joins: the server's authority, the agent's identity and a session between two such hosts fit together.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use agent::identity::{Identity, Trust};
use agent::session::{Command, Event, Events, KEY_MATERIAL, Limits, Sessions, Up};
use model::Time;
use server::authority::{Application, Authority, Tokens};

fn now() -> Time {
    Time::from_unix_millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64)
}

fn join(authority: &Authority, tokens: &Tokens, name: &str) -> Identity {
    let host = name.parse().unwrap();
    let mut identity = Identity::open(host, None).unwrap();
    let token = tokens.create(authority.fingerprint(), Some(host), model::Duration::hours(1), now()).unwrap();
    let csr = identity.csr().unwrap();
    let application = Application { known: None, host, csr: &csr, token: Some(&token.secret) };
    let certificate = authority.certify(tokens, &application, |_| false, now());
    let (certificate, _) = certificate.unwrap();
    assert_eq!(certificate.key, identity.key());
    identity.accept(certificate.chain, certificate.root, Trust::Pinned(token.root), now()).unwrap();
    assert_eq!(identity.expires(), Some(certificate.not_after));
    identity
}

fn up(events: &Events) -> Up {
    match events.recv(Duration::from_secs(20)).unwrap() {
        Event::Up(up) => up,
        other => panic!("not up: {other:?}"),
    }
}

#[test]
fn two_hosts_that_joined_have_a_session() {
    let data = tempfile::tempdir().unwrap();
    let authority = Authority::open(Some(data.path()), now()).unwrap();
    let tokens = Tokens::open(Some(data.path())).unwrap();
    let hosts = ["a", "b"].map(|name| join(&authority, &tokens, name));
    let peers: std::collections::BTreeMap<_, _> = hosts.iter().map(|host| (host.host(), host.key())).collect();
    let nodes = hosts.map(|host| {
        let address = "127.0.0.1:0".parse().unwrap();
        let (sessions, events) = Sessions::start(address, Limits::default(), || Ok(())).unwrap();
        sessions.send(Command::SetIdentity(host.credentials(now()).unwrap())).unwrap();
        sessions.send(Command::SetPeers(peers.clone())).unwrap();
        (sessions, events)
    });
    let [(a, events_a), (b, events_b)] = &nodes;
    a.send(Command::Connect { host: "b".parse().unwrap(), address: b.address() }).unwrap();
    let keys = [up(events_a), up(events_b)].map(|up| {
        let mut key = [0; KEY_MATERIAL];
        up.exporter.export(b"context", &mut key).unwrap();
        key
    });
    assert_eq!(keys[0], keys[1]);
}
