//! Hosts of other versions.

use model::ResourceId as _;

use super::*;

/// A hello of a host that knows these messages.
pub(super) fn hello_of(name: &str, knows: &[&str]) -> ToServer {
    let knows = knows.iter().map(|name| (*name).to_owned()).collect();
    ToServer::Hello { host: host(name), has: Digests::default(), place: None, knows }
}

impl Client {
    async fn say_anything(&mut self, json: &str) {
        let length = u32::try_from(json.len()).unwrap();
        self.0.write_all(&[&length.to_be_bytes()[..], json.as_bytes()].concat()).await.unwrap();
        self.0.flush().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_message_is_answered_and_a_broken_one_ends_the_connection() {
    let (server, to) = server().await;
    let keys = join(&server, to, "a", 1).await;
    let mut newer = Client::connect(to, Some(&keys), stream::ALPN).await.unwrap();
    // Before the hello as well.
    newer.say_anything(r#"{"Pause":{"until":1}}"#).await;
    newer.say(&hello_of("a", &["Update", "Unsupported"])).await;
    assert!(matches!(newer.hear().await, Some(ToAgent::Update(_))));
    newer.say_anything(r#"{"Pause":{"until":1}}"#).await;
    assert_eq!(verdict(&mut newer).await, Some(ToAgent::Unsupported { message: "Pause".into() }));
    newer.say_anything(r#"{"Applied":{"revisions":7}}"#).await;
    assert_eq!(verdict(&mut newer).await, None, "what is known and broken is no later message");
    // A stranger has nothing to say but who it is.
    let mut stranger = Client::connect(to, None, stream::ALPN).await.unwrap();
    stranger.say_anything("\"Pause\"").await;
    assert_eq!(stranger.hear().await, None);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_not_asked_what_it_does_not_know() {
    let (server, to) = server().await;
    let keys = join(&server, to, "a", 1).await;
    let instance = model::InstanceId::from_random(1);
    let mut older = Client::connect(to, Some(&keys), stream::ALPN).await.unwrap();
    older.say(&hello("a", None)).await;
    assert!(matches!(older.hear().await, Some(ToAgent::Update(_))), "it is told of no authority");
    assert!(server.cloud.hosts.console(host("a"), instance).await.is_none());
    older.say(&certify("a", &keys, None, 1)).await;
    assert!(matches!(verdict(&mut older).await, Some(ToAgent::Certificate { .. })), "it is there, and was not asked");

    let mut host_a = Client::connect(to, Some(&keys), stream::ALPN).await.unwrap();
    host_a.say(&hello_of("a", &["Update", "Console"])).await;
    assert!(matches!(host_a.hear().await, Some(ToAgent::Update(_))));
    let asked = server.cloud.hosts.console(host("a"), instance);
    let answers = async {
        assert_eq!(verdict(&mut host_a).await, Some(ToAgent::Console { instance }));
        let output = Bytes(b"hello".to_vec());
        host_a.say(&ToServer::Console(stream::Console { instance, written: machine_time(), output })).await;
    };
    let (output, ()) = tokio::join!(asked, answers);
    assert_eq!(output.map(|output| output.output), Some(b"hello".to_vec()));
    server.stop().await;
}
