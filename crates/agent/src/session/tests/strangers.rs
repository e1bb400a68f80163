//! A client of the tests' own, which may do everything wrong, and a host that must not mind.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, HandshakeKind, SignatureScheme, StreamOwned,
    SupportedProtocolVersion,
};

use super::*;

struct Dial {
    provider: CryptoProvider,
    versions: Vec<&'static SupportedProtocolVersion>,
    alpn: Vec<Vec<u8>>,
    key: Option<CertifiedKey>,
}

impl Default for Dial {
    fn default() -> Dial {
        Dial {
            provider: CryptoProvider::clone(&tls::provider()),
            versions: vec![&TLS13],
            alpn: vec![tls::ALPN.to_vec()],
            key: None,
        }
    }
}

type Client = StreamOwned<ClientConnection, TcpStream>;

impl Dial {
    /// Speaks until the other end has answered or hung up. What it says is the other end's to judge.
    fn to(self, node: &Node) -> Client {
        let builder = ClientConfig::builder_with_provider(Arc::new(self.provider));
        let builder = builder.with_protocol_versions(&self.versions).unwrap();
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone));
        let mut config = match self.key {
            Some(key) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn;
        let name = ServerName::try_from("host").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = TcpStream::connect(node.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = StreamOwned::new(connection, stream);
        let _ = client.flush();
        let _ = client.read(&mut [0; 4]);
        client
    }
}

#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn certified(identity: &Identity) -> CertifiedKey {
    CertifiedKey::clone(&identity.credentials(now()).unwrap().certified)
}

/// Dials as `a`, which `b` permits.
fn as_a(a: &Node) -> Dial {
    Dial { key: Some(certified(&a.identity)), ..Dial::default() }
}

#[test]
fn a_client_that_does_all_right_is_let_in_and_gets_no_ticket() {
    let (_authority, a, b) = pair();
    for _ in 0..2 {
        let client = as_a(&a).to(&b);
        assert_eq!(b.up().host, host("a"));
        assert_eq!(client.conn.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(client.conn.tls13_tickets_received(), 0);
        drop(client);
        assert_eq!(b.down().1, Why::PeerClosed);
    }
}

#[test]
fn what_would_make_a_session_weaker_is_refused_by_name() {
    let (_authority, a, b) = pair();
    let with =
        |groups, suites| CryptoProvider { kx_groups: groups, cipher_suites: suites, ..aws_lc_rs::default_provider() };
    use aws_lc_rs::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256};
    use aws_lc_rs::kx_group::{SECP256R1, SECP256R1MLKEM768, X25519, X25519MLKEM768};
    let best = vec![TLS13_AES_256_GCM_SHA384];
    let weak = vec![TLS13_AES_128_GCM_SHA256, TLS13_CHACHA20_POLY1305_SHA256];
    let cases = [
        (Dial { key: None, ..as_a(&a) }, Why::NoCertificate),
        (Dial { versions: vec![&TLS12], provider: aws_lc_rs::default_provider(), ..as_a(&a) }, Why::Version),
        (Dial { provider: with(vec![X25519], best.clone()), ..as_a(&a) }, Why::NotPostQuantum),
        (Dial { provider: with(vec![SECP256R1, SECP256R1MLKEM768], best), ..as_a(&a) }, Why::NotPostQuantum),
        (Dial { provider: with(vec![X25519MLKEM768], weak), ..as_a(&a) }, Why::CipherSuite),
        (Dial { alpn: vec![b"h2".to_vec(), b"peerway-keys/2".to_vec()], ..as_a(&a) }, Why::Protocol),
        (Dial { alpn: vec![], ..as_a(&a) }, Why::Protocol),
    ];
    for (dial, why) in cases {
        drop(dial.to(&b));
        assert_eq!(b.refused(), why);
    }
    // One that offers both gets the strong one, whatever it likes better.
    let client =
        Dial { provider: with(vec![X25519, X25519MLKEM768], aws_lc_rs::default_provider().cipher_suites), ..as_a(&a) };
    let _client = client.to(&b);
    assert!(b.up().post_quantum);
}

#[test]
fn a_copied_certificate_without_its_key_proves_nothing() {
    let (authority, a, b) = pair();
    let mut key = certified(&authority.host("thief"));
    key.cert = certified(&a.identity).cert;
    Dial { key: Some(key), ..Dial::default() }.to(&b);
    assert_eq!(b.refused(), Why::NoProof);
}

#[test]
fn what_is_no_tls_is_refused() {
    let (_authority, _a, b) = pair();
    let mut stream = TcpStream::connect(b.address()).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: b\r\n\r\n").unwrap();
    assert!(matches!(b.refused(), Why::Tls(_)));
    drop(TcpStream::connect(b.address()).unwrap());
    assert_eq!(b.refused(), Why::PeerClosed);
}

#[test]
fn an_oversize_frame_ends_the_session_before_it_is_read() {
    let (_authority, a, b) = pair();
    for bytes in [FRAME_MAX + 1, u32::MAX as usize] {
        let mut client = as_a(&a).to(&b);
        let session = b.up().session;
        client.write_all(&(bytes as u32).to_be_bytes()).unwrap();
        assert_eq!(b.down(), (session, Why::Oversize { bytes }));
    }
}

#[test]
fn a_crowd_of_strangers_ends_only_others_of_the_crowd() {
    // None of them is gone because of its time.
    let limits = Limits { handshake: 3 * PATIENCE, strangers: 24, strangers_per_source: 16, ..Limits::default() };
    let (_authority, a, b) = pair_with(limits);
    let (at_a, _at_b) = join(&a, &b);
    let crowd: Vec<TcpStream> = (0..400).map(|_| TcpStream::connect(b.address()).unwrap()).collect();
    talk(&a, at_a.session, &b, b"during the flood");
    // From the same source as the crowd, and it gets in all the same.
    let _second = join(&a, &b);
    assert!(b.sessions.table.strangers() <= 16);
    for mut early in &crowd[..380] {
        early.set_read_timeout(Some(PATIENCE)).unwrap();
        let end = early.read(&mut [0]);
        assert!(matches!(&end, Ok(0)) || end.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset));
    }
}

#[test]
fn a_connection_that_never_says_who_it_is_ends() {
    let limits = Limits { handshake: Duration::from_millis(300), ..Limits::default() };
    let (_authority, _a, b) = pair_with(limits);
    let _silent = TcpStream::connect(b.address()).unwrap();
    assert_eq!(b.refused(), Why::HandshakeTimeout);
    assert_eq!(b.sessions.table.strangers(), 0);
}

#[test]
fn a_silent_peer_is_dropped_and_an_idle_one_is_not() {
    let limits =
        Limits { keepalive: Duration::from_millis(200), idle: Duration::from_millis(1500), ..Limits::default() };
    let (_authority, a, b) = pair_with(limits);
    let (at_a, _) = join(&a, &b);
    // Says nothing after its handshake, as a host that lost its power.
    let _silent = as_a(&a).to(&b);
    let silent = b.up().session;
    assert_eq!(b.down(), (silent, Why::Idle));
    talk(&a, at_a.session, &b, b"idle for longer than that, and up");
}

#[test]
fn a_peer_that_reads_nothing_is_cut() {
    let limits = Limits { write: Duration::from_millis(300), queue_bytes: 64 << 20, ..Limits::default() };
    let (_authority, a, b) = pair_with(limits);
    let _deaf = as_a(&a).to(&b);
    let session = b.up().session;
    // More than the buffers of both ends hold.
    for _ in 0..640 {
        b.send(Command::Send { session, frame: vec![1; FRAME_MAX] });
    }
    assert_eq!(b.down(), (session, Why::SlowReader));
}

#[test]
fn what_waits_for_a_peer_is_bounded() {
    let limits = Limits { queue_bytes: 1 << 20, write: 3 * PATIENCE, ..Limits::default() };
    let (_authority, a, b) = pair_with(limits);
    let _deaf = as_a(&a).to(&b);
    let session = b.up().session;
    for _ in 0..640 {
        b.send(Command::Send { session, frame: vec![1; FRAME_MAX] });
    }
    assert_eq!(b.down(), (session, Why::SlowReader));
}

#[test]
fn sessions_of_a_peer_are_bounded_and_the_newest_stay() {
    let limits = Limits { sessions_per_peer: 2, ..Limits::default() };
    let (_authority, a, b) = pair_with(limits);
    let (first, _) = join(&a, &b);
    let (_second, _) = join(&a, &b);
    a.dial(&b);
    assert_eq!(a.failed(), Why::FullForPeer { limit: 2 });
    // One that has forgotten its sessions, as after a restart.
    let _restarted = as_a(&a).to(&b);
    let events = BTreeMap::from([b.next(), b.next()].map(|event| match event {
        Event::Up(up) => ("up", (up.session, None)),
        Event::Down { session, why } => ("down", (session, Some(why))),
        other => panic!("{other:?}"),
    }));
    assert_eq!(events["down"], (1, Some(Why::Replaced)));
    assert_eq!(events["up"], (3, None));
    assert_eq!(a.down(), (first.session, Why::PeerClosed));
}

#[test]
fn all_sessions_together_are_bounded() {
    let limits = Limits { sessions: 1, ..Limits::default() };
    let (_authority, a, b) = pair_with(limits);
    let _first = join(&a, &b);
    a.dial(&b);
    assert_eq!(a.failed(), Why::Full { limit: 1 });
    let _other = as_a(&a).to(&b);
    assert_eq!(b.refused(), Why::Full { limit: 1 });
}

#[test]
fn another_authority_is_refused_by_both_ends_though_it_has_the_same_name() {
    let (_authority, a, b) = pair();
    let stranger = Authority::new();
    let c = Node::start(stranger.host("b"), "127.0.0.1:0", Limits::default());
    // Even one whose key is permitted.
    a.send(Command::SetPeers([(host("b"), c.identity.key())].into()));
    b.send(Command::SetPeers([(host("b"), c.identity.key()), (host("a"), a.identity.key())].into()));
    c.permit(&[&a, &b]);
    a.send(Command::Connect { host: host("b"), address: c.address() });
    assert_eq!(a.failed(), Why::UnknownAuthority);
    assert!(matches!(c.refused(), Why::Alert(_)));
    let dial = Dial { key: Some(certified(&c.identity)), ..Dial::default() };
    dial.to(&b);
    assert_eq!(b.refused(), Why::UnknownAuthority);
}

#[test]
fn certificates_without_one_hosts_name_are_refused() {
    let (authority, _a, b) = pair();
    let identity = authority.host("a");
    let csr = identity.csr().unwrap();
    let uri = stream::host_uri(host("a"));
    let uri = uri.as_str();
    for uris in [&[][..], &[uri, uri], &["spiffe://elsewhere/host/a"], &["https://peerway/host/a"]] {
        let mut key = certified(&identity);
        key.cert = vec![authority.issue(&csr, uris, now()).into()];
        Dial { key: Some(key), ..Dial::default() }.to(&b);
        assert_eq!(b.refused(), Why::NoHostName, "{uris:?}");
    }
}
