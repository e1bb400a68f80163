//! The port against honest hosts, strangers and liars.

mod rotation;
mod versions;

use std::net::SocketAddr;

use model::{Change, Host};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use stream::{Bytes, Digests, JoinSecret, NoCertificate, ToAgent, ToServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as ClientStream;

use super::*;
use crate::authority::Authority;
use crate::region::{Answer, Work};
use crate::{Carriers, Options, Server};

/// Who the server is, is the agent's to check.
#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
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
        Err(Error::General("TLS 1.2".into()))
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

/// A host's key, and what certifies it.
struct Keys(KeyPair, Vec<u8>);

impl Keys {
    fn new() -> Keys {
        Keys(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(), Vec::new())
    }

    fn csr(&self) -> Vec<u8> {
        CertificateParams::default().serialize_request(&self.0).unwrap().der().to_vec()
    }

    fn certified(mut self, by: &Authority, name: &str) -> Keys {
        self.1 = by.issue(host(name), &self.csr(), machine_time()).unwrap().chain.remove(0);
        self
    }
}

struct Client(ClientStream<TcpStream>);

impl Client {
    async fn connect(to: SocketAddr, keys: Option<&Keys>, alpn: &[u8]) -> io::Result<Client> {
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Trusting));
        let mut config = match keys {
            Some(Keys(key, certificate)) => {
                let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
                config.with_client_auth_cert(vec![certificate.clone().into()], key).unwrap()
            }
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        let connection = TcpStream::connect(to).await?;
        TlsConnector::from(Arc::new(config))
            .connect(ServerName::IpAddress(to.ip().into()), connection)
            .await
            .map(Client)
    }

    async fn say(&mut self, message: &ToServer) {
        let _ = self.0.write_all(&stream::encode(message).unwrap()).await;
        let _ = self.0.flush().await;
    }

    /// `None`: the server has ended the connection.
    async fn hear(&mut self) -> Option<ToAgent> {
        let heard = async {
            let mut header = [0; 4];
            self.0.read_exact(&mut header).await.ok()?;
            let mut json = vec![0; stream::length(header).unwrap()];
            self.0.read_exact(&mut json).await.ok()?;
            Some(stream::decode(&json).unwrap())
        };
        tokio::time::timeout(Duration::from_secs(20), heard).await.expect("an answer or an end")
    }
}

/// What it says but for intents, which it repeats to a host that does not say what it has in force.
async fn verdict(client: &mut Client) -> Option<ToAgent> {
    loop {
        match client.hear().await {
            Some(ToAgent::Update(_)) => {}
            said => return said,
        }
    }
}

fn host(name: &str) -> HostId {
    name.parse().unwrap()
}

fn at(n: u8) -> SocketAddr {
    ([198, 18, 0, n], 4500).into()
}

fn hello(name: &str, place: Option<Host>) -> ToServer {
    ToServer::Hello { host: host(name), has: Digests::default(), place, knows: [].into() }
}

fn certify(name: &str, keys: &Keys, token: Option<JoinSecret>, n: u8) -> ToServer {
    ToServer::Certify { host: host(name), csr: Bytes(keys.csr()), token, underlay: Some(at(n)) }
}

async fn server() -> (Server, SocketAddr) {
    let socket = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let options = Options {
        data: None,
        regions: vec!["us-east-1".parse().unwrap()],
        carriers: Carriers::Joined,
        strict_auth: false,
        api: crate::ApiOptions::default(),
        allow_clock: false,
        strict: false,
        default_vpc: false,
        timing: None,
        quotas: control::Quotas::default(),
        account_quotas: std::collections::BTreeMap::new(),
        public_pools: Vec::new(),
        name_suffixes: None,
        wait: Duration::ZERO,
    };
    let mut server = Server::start(socket(), options).await.unwrap();
    let address = server.listen_for_hosts(socket()).unwrap();
    (server, address)
}

/// Joins and comes back as a host that is known.
async fn join(server: &Server, to: SocketAddr, name: &str, n: u8) -> Keys {
    let token = server.cloud.trust.token(None, model::Duration::hours(1), machine_time()).unwrap();
    let mut keys = Keys::new();
    let mut stranger = Client::connect(to, None, stream::ALPN).await.unwrap();
    stranger.say(&certify(name, &keys, Some(token.secret), n)).await;
    let Some(ToAgent::Certificate { mut chain, .. }) = stranger.hear().await else { panic!("no certificate") };
    assert_eq!(stranger.hear().await, None, "a stranger stays one");
    keys.1 = chain.remove(0).0;
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_joins_is_told_its_intent_and_is_cut_off_when_revoked() {
    let (server, to) = server().await;
    let keys = join(&server, to, "a", 1).await;
    let mut first = Client::connect(to, Some(&keys), stream::ALPN).await.unwrap();
    first.say(&hello("a", None)).await;
    assert!(matches!(first.hear().await, Some(ToAgent::Update(_))));
    // It renews on its own connection, with its own key only.
    first.say(&certify("a", &keys, None, 1)).await;
    assert!(matches!(verdict(&mut first).await, Some(ToAgent::Certificate { .. })));
    first.say(&certify("a", &Keys::new(), None, 1)).await;
    assert!(matches!(verdict(&mut first).await, Some(ToAgent::NoCertificate(NoCertificate::Request(_)))));
    // A newer connection takes the place of one whose end nobody noticed.
    let mut second = Client::connect(to, Some(&keys), stream::ALPN).await.unwrap();
    second.say(&hello("a", None)).await;
    assert!(matches!(second.hear().await, Some(ToAgent::Update(_))));
    assert_eq!(verdict(&mut first).await, None);
    let gone: Work = Box::new(|_, _| {
        use model::Entity as _;
        Ok((Answer::Nothing, vec![Change::Delete(Host::key(host("a")))]))
    });
    server.cloud.home().write(gone).await.unwrap();
    assert_eq!(verdict(&mut second).await, Some(ToAgent::NoCertificate(NoCertificate::Revoked)));
    assert_eq!(verdict(&mut second).await, None);
    let mut third = Client::connect(to, Some(&keys), stream::ALPN).await.unwrap();
    let place = Host { id: host("a"), underlay: at(1), key: stream::fingerprint(&spki(&keys)) };
    third.say(&hello("a", Some(place))).await;
    assert_eq!(third.hear().await, Some(ToAgent::NoCertificate(NoCertificate::Revoked)));
    assert!(server.cloud.home().world().hosts.is_empty(), "it does not write itself down again");
    server.stop().await;
}

fn spki(keys: &Keys) -> Vec<u8> {
    use rcgen::PublicKeyData as _;
    keys.0.subject_public_key_info()
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_liars_get_nowhere() {
    let (server, to) = server().await;
    let keys = join(&server, to, "a", 1).await;
    let refused = NoCertificate::Stranger;
    let mut stranger = Client::connect(to, None, stream::ALPN).await.unwrap();
    stranger.say(&certify("a", &keys, None, 1)).await;
    assert_eq!(stranger.hear().await, Some(ToAgent::NoCertificate(refused)));
    // Without a certificate no host is believed, whatever it says.
    let mut stranger = Client::connect(to, None, stream::ALPN).await.unwrap();
    stranger.say(&hello("a", None)).await;
    assert_eq!(stranger.hear().await, None);
    // A host is itself only.
    let mut liar = Client::connect(to, Some(&keys), stream::ALPN).await.unwrap();
    liar.say(&hello("b", None)).await;
    assert_eq!(liar.hear().await, None);
    // A stranger announces more than a request can be.
    let mut greedy = Client::connect(to, None, stream::ALPN).await.unwrap();
    greedy.0.write_all(&(stream::FRAME_MAX as u32).to_be_bytes()).await.unwrap();
    assert_eq!(greedy.hear().await, None);
    // Another authority's certificate, the right key and name in it.
    let other = Authority::open(None, machine_time()).unwrap();
    let forged = Keys(KeyPair::try_from(keys.0.serialize_der()).unwrap(), Vec::new()).certified(&other, "a");
    if let Ok(mut forger) = Client::connect(to, Some(&forged), stream::ALPN).await {
        forger.say(&hello("a", None)).await;
        assert_eq!(forger.hear().await, None);
    }
    // The authority's certificate for that name, with another key than the record's.
    let stale = Keys::new().certified(&server.cloud.trust.ring.now().signer, "a");
    let mut revoked = Client::connect(to, Some(&stale), stream::ALPN).await.unwrap();
    revoked.say(&hello("a", None)).await;
    assert_eq!(revoked.hear().await, Some(ToAgent::NoCertificate(NoCertificate::Revoked)));
    assert!(Client::connect(to, Some(&keys), b"peerway-keys/1").await.is_err(), "another protocol");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_addresses_are_not_taken_from_others() {
    let (server, to) = server().await;
    join(&server, to, "a", 1).await;
    let trust = &server.cloud.trust;
    let any = trust.token(None, model::Duration::hours(1), machine_time()).unwrap();
    let mut thief = Client::connect(to, None, stream::ALPN).await.unwrap();
    thief.say(&certify("a", &Keys::new(), Some(any.secret.clone()), 2)).await;
    assert_eq!(thief.hear().await, Some(ToAgent::NoCertificate(NoCertificate::Taken(host("a")))));
    let mut thief = Client::connect(to, None, stream::ALPN).await.unwrap();
    thief.say(&certify("b", &Keys::new(), Some(any.secret), 1)).await;
    assert!(matches!(thief.hear().await, Some(ToAgent::NoCertificate(NoCertificate::Request(_)))));
    assert_eq!(server.cloud.home().world().hosts.size(), 1);
    // A token made for the name replaces its key.
    let named = trust.token(Some(host("a")), model::Duration::hours(1), machine_time()).unwrap();
    let mut heir = Client::connect(to, None, stream::ALPN).await.unwrap();
    let keys = Keys::new();
    heir.say(&certify("a", &keys, Some(named.secret), 1)).await;
    assert!(matches!(heir.hear().await, Some(ToAgent::Certificate { .. })));
    let key = stream::fingerprint(&spki(&keys));
    assert!(server.cloud.home().world().hosts.values().all(|record| record.key == key));
    server.stop().await;
}
