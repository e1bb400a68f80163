//! The authority is rotated, with hosts that do their part, do not, or are away.

use std::collections::BTreeSet;

use super::versions::hello_of;
use super::*;
use crate::authority::ring::Phase;

const KNOWS: [&str; 3] = ["Update", "Authority", "Unsupported"];

fn key_of(root: &[u8]) -> KeyFingerprint {
    let certificate = CertificateDer::from(root);
    stream::fingerprint(&webpki::EndEntityCert::try_from(&certificate).unwrap().subject_public_key_info())
}

/// The keys of the roots that the host is told next.
async fn told(client: &mut Client) -> Vec<KeyFingerprint> {
    match verdict(client).await {
        Some(ToAgent::Authority { roots }) => roots.iter().map(|root| key_of(&root.0)).collect(),
        other => panic!("not told of an authority: {other:?}"),
    }
}

async fn believes(client: &mut Client, roots: &[KeyFingerprint], by: KeyFingerprint) {
    let roots: BTreeSet<_> = roots.iter().copied().collect();
    client.say(&ToServer::Believes { roots, by: Some(by) }).await;
}

async fn come_back(to: SocketAddr, keys: &Keys, name: &str) -> Client {
    let mut client = Client::connect(to, Some(keys), stream::ALPN).await.unwrap();
    client.say(&hello_of(name, &KNOWS)).await;
    client
}

fn phase_of(authorities: &Authorities) -> &'static str {
    match authorities.phase {
        Phase::Steady => "steady",
        Phase::Announced(_) => "announced",
        Phase::Renewing(_) => "renewing",
    }
}

fn phase(server: &Server) -> &'static str {
    phase_of(&server.cloud.trust.ring.now())
}

async fn until(server: &Server, phase: &str) {
    let mut authorities = server.cloud.trust.ring.watch();
    let reached = authorities.wait_for(|authorities| phase_of(authorities) == phase);
    tokio::time::timeout(Duration::from_secs(20), reached).await.expect("in time").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_waits_for_every_host() {
    let (server, to) = server().await;
    let old = server.cloud.trust.ring.now().signer.fingerprint();
    let (keys_a, keys_b) = (join(&server, to, "a", 1).await, join(&server, to, "b", 2).await);
    let mut a = come_back(to, &keys_a, "a").await;
    assert_eq!(told(&mut a).await, [old]);
    believes(&mut a, &[old], old).await;

    server.cloud.trust.ring.rotate(machine_time()).unwrap();
    let roots = told(&mut a).await;
    let new = roots[1];
    assert_eq!(roots, [old, new], "the old one certifies");
    believes(&mut a, &roots, old).await;
    // The other host is away: nothing happens, and who asks gets a certificate of the old authority.
    let mut b = come_back(to, &keys_b, "b").await;
    assert_eq!(told(&mut b).await, [old, new]);
    b.say(&certify("b", &keys_b, None, 2)).await;
    let Some(ToAgent::Certificate { root, .. }) = verdict(&mut b).await else { panic!("no certificate") };
    assert_eq!((key_of(&root.0), phase(&server)), (old, "announced"));
    // What it says of another connection, or that it believes nothing new, does not help.
    believes(&mut b, &[old], old).await;
    b.say(&certify("b", &keys_b, None, 2)).await;
    assert!(matches!(verdict(&mut b).await, Some(ToAgent::Certificate { .. })));
    assert_eq!(phase(&server), "announced");

    believes(&mut b, &[old, new], old).await;
    until(&server, "renewing").await;
    assert_eq!(server.cloud.trust.ring.now().signer.fingerprint(), new);
    assert_eq!((told(&mut a).await, told(&mut b).await), (vec![new, old], vec![new, old]));
    let token = server.cloud.trust.token(None, model::Duration::hours(1), machine_time()).unwrap();
    assert_eq!(token.root, new, "new tokens name the new authority");
    // Certificates of both are good at the port, and new ones are of the new authority.
    let mut renewed = Vec::new();
    for (client, keys, name, n) in [(&mut a, &keys_a, "a", 1), (&mut b, &keys_b, "b", 2)] {
        client.say(&certify(name, keys, None, n)).await;
        let Some(ToAgent::Certificate { mut chain, root }) = verdict(client).await else { panic!("no certificate") };
        assert_eq!(key_of(&root.0), new);
        renewed.push(Keys(KeyPair::try_from(keys.0.serialize_der()).unwrap(), chain.remove(0).0));
    }
    believes(&mut a, &[old, new], new).await;
    let mut again = come_back(to, &keys_b, "b").await;
    assert_eq!(told(&mut again).await, [new, old], "with its old certificate");
    assert_eq!(phase(&server), "renewing");
    believes(&mut again, &[old, new], new).await;
    until(&server, "steady").await;
    assert_eq!((told(&mut a).await, told(&mut again).await), (vec![new], vec![new]));
    // The old authority is nobody here any more.
    let late = Client::connect(to, Some(&keys_a), stream::ALPN).await;
    if let Ok(mut late) = late {
        late.say(&hello_of("a", &KNOWS)).await;
        assert_eq!(late.hear().await, None);
    }
    let mut a = come_back(to, &renewed[0], "a").await;
    assert_eq!(told(&mut a).await, [new]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_cannot_is_waited_for_until_it_is_revoked() {
    let (server, to) = server().await;
    let keys = join(&server, to, "a", 1).await;
    let mut older = Client::connect(to, Some(&keys), stream::ALPN).await.unwrap();
    older.say(&hello("a", None)).await;
    assert!(matches!(older.hear().await, Some(ToAgent::Update(_))));
    server.cloud.trust.ring.rotate(machine_time()).unwrap();
    // It is told nothing that it does not know.
    older.say(&certify("a", &keys, None, 1)).await;
    assert!(matches!(verdict(&mut older).await, Some(ToAgent::Certificate { .. })));
    assert_eq!(phase(&server), "announced");
    let gone: Work = Box::new(|_, _| {
        use model::Entity as _;
        Ok((Answer::Nothing, vec![Change::Delete(Host::key(host("a")))]))
    });
    server.cloud.home().write(gone).await.unwrap();
    // With no host at all it is over.
    until(&server, "steady").await;
    server.stop().await;
}
