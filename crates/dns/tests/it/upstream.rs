//! What is asked elsewhere, what of the answer is believed, and who sees it (RFC 5452; users.md 7.1, case 46).

use std::net::Ipv4Addr;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use model::{Duration, RecordType as Kind, Time, VpcId};

use crate::world::{Cloud, Said, data, query, read};
use dns::{Answer, Ask, Cache, ENTRIES_MAX, Learned, TTL_MAX, Transport, Word, hear, request};

const NAME: &str = "www.example.com.";
const NOW: Time = Time::from_unix_millis(1_000_000);

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn a(owner: &str, last: u8, ttl: u32) -> Record {
    Record::from_rdata(name(owner), ttl, RData::A(A(Ipv4Addr::new(192, 0, 2, last))))
}

fn alias(owner: &str, target: &str) -> Record {
    Record::from_rdata(name(owner), 500, RData::CNAME(CNAME(name(target))))
}

fn soa(owner: &str) -> Record {
    let data = SOA::new(name("ns.example."), name("host.example."), 1, 2, 3, 4, 100);
    Record::from_rdata(name(owner), 200, RData::SOA(data))
}

fn ask_of(cloud: &Cloud, vpc: VpcId, name: &str) -> Ask {
    let bytes = query(name, RecordType::A).to_vec().unwrap();
    match cloud.resolver().answer(vpc, &bytes, Transport::Udp, true) {
        Answer::Ask(ask) => *ask,
        other => panic!("{name} is not asked elsewhere: {other:?}"),
    }
}

/// The same name, asked where there is room for a long answer.
fn over_tcp(cloud: &Cloud) -> Ask {
    let bytes = query(NAME, RecordType::A).to_vec().unwrap();
    match cloud.resolver().answer(cloud.own, &bytes, Transport::Tcp, true) {
        Answer::Ask(ask) => *ask,
        other => panic!("not asked elsewhere: {other:?}"),
    }
}

/// The answer of somebody honest, edited.
fn word(ask: &Ask, edit: impl FnOnce(&mut Message)) -> Word {
    let mut message = Message::from_vec(&request(ask, 7)).unwrap();
    message.metadata.message_type = MessageType::Response;
    edit(&mut message);
    hear(ask, 7, &message.to_vec().unwrap())
}

#[track_caller]
fn learned(word: Word) -> Learned {
    match word {
        Word::Learned(learned) => *learned,
        other => panic!("nothing was learned: {other:?}"),
    }
}

#[test]
fn a_name_of_elsewhere_is_asked_for_and_answered() {
    let cloud = Cloud::new(true);
    let ask = ask_of(&cloud, cloud.own, NAME);
    let asked = Message::from_vec(&request(&ask, 7)).unwrap();
    assert_eq!((asked.metadata.id, asked.metadata.recursion_desired, asked.queries.len()), (7, true, 1));
    let learned = learned(word(&ask, |message| {
        message.answers = vec![alias(NAME, "cdn.example.net."), a("cdn.example.net.", 1, 50)];
    }));
    let said = cloud.resolver().complete(&ask, &learned);
    assert_eq!(read(&said), data(&["cdn.example.net.", "192.0.2.1"]));
    assert_eq!(Message::from_vec(&said).unwrap().metadata.id, 99);
    assert_eq!(read(&ask.fail()), Said::Code(ResponseCode::ServFail));
}

/// Who does not want recursion gets none.
#[test]
fn without_recursion_nobody_else_is_asked() {
    let cloud = Cloud::new(true);
    let mut question = query(NAME, RecordType::A);
    question.metadata.recursion_desired = false;
    let bytes = question.to_vec().unwrap();
    let Answer::Now(said) = cloud.resolver().answer(cloud.own, &bytes, Transport::Udp, true) else { panic!() };
    assert_eq!(read(&said), Said::Code(ResponseCode::Refused));
}

#[test]
fn only_the_answer_to_this_question_counts() {
    let cloud = Cloud::new(true);
    let ask = ask_of(&cloud, cloud.own, NAME);
    let answers = || vec![a(NAME, 66, 50)];
    assert_eq!(hear(&ask, 8, &request(&ask, 7)), Word::Noise, "no answer at all");
    assert_eq!(
        word(&ask, |message| {
            message.metadata.id = 8;
            message.answers = answers();
        }),
        Word::Noise,
        "another id"
    );
    assert_eq!(
        word(&ask, |message| {
            message.queries = query("www.example.org.", RecordType::A).queries;
            message.answers = answers();
        }),
        Word::Noise,
        "another name"
    );
    assert_eq!(
        word(&ask, |message| {
            message.queries = query(NAME, RecordType::AAAA).queries;
            message.answers = answers();
        }),
        Word::Noise,
        "another type"
    );
    assert_eq!(
        word(&ask, |message| {
            message.queries[0].set_query_class(DNSClass::CH);
            message.answers = answers();
        }),
        Word::Noise,
        "another class"
    );
    assert_eq!(
        word(&ask, |message| {
            message.metadata.message_type = MessageType::Query;
            message.answers = answers();
        }),
        Word::Noise,
        "a question"
    );
    assert_eq!(
        word(&ask, |message| {
            message.metadata.op_code = OpCode::Notify;
            message.answers = answers();
        }),
        Word::Noise,
        "an answer to something else"
    );
    assert_eq!(word(&ask, |message| message.metadata.truncation = true), Word::Truncated);
    assert_eq!(word(&ask, |message| message.metadata.response_code = ResponseCode::ServFail), Word::Failure);
    assert_eq!(hear(&ask, 7, b"no message"), Word::Noise);
}

/// Bailiwick: what an answer says of names that nobody asked about is not heard.
#[test]
fn what_was_not_asked_is_not_believed() {
    let cloud = Cloud::new(true);
    let ask = ask_of(&cloud, cloud.own, NAME);
    let learned = learned(word(&ask, |message| {
        message.answers =
            vec![a("www.bank.example.", 66, 9999), a(NAME, 1, 50), a("ip-10-0-0-5.ec2.internal.", 66, 9999)];
        let mut of_another_class = a(NAME, 67, 50);
        of_another_class.dns_class = DNSClass::CH;
        message.answers.push(of_another_class);
        message.authorities = vec![soa("bank.example.")];
        message.additionals = vec![a("ns.bank.example.", 66, 9999)];
    }));
    let said = cloud.resolver().complete(&ask, &learned);
    let said = Message::from_vec(&said).unwrap();
    assert_eq!((said.answers.len(), said.authorities.len(), said.additionals.len()), (1, 0, 0));
    assert_eq!(said.answers[0].data.to_string(), "192.0.2.1");
}

/// An alias to a name of this cloud leads to what this cloud says of it.
#[test]
fn nobody_else_has_a_say_about_this_clouds_names() {
    let mut cloud = Cloud::new(true);
    cloud.zone("corp.example.", &[("www.corp.example.", Kind::A, &["10.0.0.80"])]);
    let ask = ask_of(&cloud, cloud.own, NAME);
    for (target, expected) in [
        ("ip-10-0-0-5.ec2.internal.", data(&["ip-10-0-0-5.ec2.internal.", "10.0.0.5"])),
        ("www.corp.example.", data(&["www.corp.example.", "10.0.0.80"])),
        ("gone.corp.example.", Said::Code(ResponseCode::NXDomain)),
    ] {
        let learned = learned(word(&ask, |message| message.answers = vec![alias(NAME, target), a(target, 66, 50)]));
        assert_eq!(read(&cloud.resolver().complete(&ask, &learned)), expected, "{target}");
    }
}

/// users.md 7.1, case 46: an alias from outside to a name of this cloud shows a VPC what it would see anyhow, and no more.
#[test]
fn an_alias_from_outside_opens_no_view() {
    let mut cloud = Cloud::new(true);
    cloud.allow(cloud.own, true);
    cloud.zone("corp.example.", &[("www.corp.example.", Kind::A, &["10.0.0.80"])]);
    let stranger = cloud.stranger();
    let own = "ip-10-0-0-5.ec2.internal.";
    let public = "ec2-203-0-113-5.compute-1.amazonaws.com.";
    for (vpc, target, expected) in [
        (cloud.own, own, data(&[own, "10.0.0.5"])),
        (cloud.peer, own, data(&[own, "10.0.0.5"])),
        (stranger, own, Said::Code(ResponseCode::NXDomain)),
        (cloud.peer, public, data(&[public, "10.0.0.5"])),
        (stranger, public, data(&[public, "203.0.113.5"])),
    ] {
        let ask = ask_of(&cloud, vpc, NAME);
        let learned = learned(word(&ask, |message| message.answers = vec![alias(NAME, target)]));
        assert_eq!(read(&cloud.resolver().complete(&ask, &learned)), expected, "{vpc} {target}");
    }
    // A zone of another VPC is nobody here: what was said outside of its name is what there is.
    let ask = ask_of(&cloud, stranger, NAME);
    let target = "www.corp.example.";
    let learned = learned(word(&ask, |message| message.answers = vec![alias(NAME, target), a(target, 9, 50)]));
    assert_eq!(read(&cloud.resolver().complete(&ask, &learned)), data(&[target, "192.0.2.9"]));
}

/// 9.1: without `enableDnsSupport` no answer at all, though the question was asked before.
#[test]
fn a_resolver_that_was_switched_off_meanwhile_says_nothing() {
    let mut cloud = Cloud::new(true);
    let ask = ask_of(&cloud, cloud.own, NAME);
    let own = "ip-10-0-0-5.ec2.internal.";
    let learned = learned(word(&ask, |message| message.answers = vec![alias(NAME, own), a(own, 66, 50)]));
    cloud.switch(cloud.own, false, true);
    assert!(cloud.resolver().complete(&ask, &learned).is_empty());
    cloud.slices.remove(&cloud.own);
    assert!(cloud.resolver().complete(&ask, &learned).is_empty(), "nor does one of a VPC that is gone");
}

#[test]
fn aliases_without_end_are_a_failure() {
    let cloud = Cloud::new(true);
    let ask = ask_of(&cloud, cloud.own, NAME);
    let circle = vec![alias(NAME, "b.example."), alias("b.example.", NAME)];
    assert_eq!(word(&ask, |message| message.answers = circle), Word::Failure);
}

#[test]
fn what_was_learned_is_remembered_as_long_as_it_says() {
    let cloud = Cloud::new(true);
    let ask = ask_of(&cloud, cloud.own, NAME);
    let mut cache = Cache::default();
    cache.keep(&ask, &learned(word(&ask, |message| message.answers = vec![a(NAME, 1, 50)])), NOW);
    let later = cache.recall(&ask, NOW + Duration::seconds(20)).expect("remembered");
    let said = Message::from_vec(&cloud.resolver().complete(&ask, &later)).unwrap();
    assert_eq!(said.answers[0].ttl, 30);
    assert_eq!(cache.recall(&ask, NOW + Duration::seconds(50)), None);
    assert!(cache.is_empty(), "what has ended makes room");
    cache.keep(&ask, &learned(word(&ask, |message| message.answers = vec![a(NAME, 1, 0)])), NOW);
    assert!(cache.is_empty(), "not to be remembered");
    cache.keep(&ask, &learned(word(&ask, |message| message.answers = vec![a(NAME, 1, u32::MAX >> 1)])), NOW);
    assert!(cache.recall(&ask, NOW + Duration::seconds((TTL_MAX - 1).into())).is_some());
    assert_eq!(cache.recall(&ask, NOW + Duration::seconds(TTL_MAX.into())), None);
    // A clock that was set back.
    cache.keep(&ask, &learned(word(&ask, |message| message.answers = vec![a(NAME, 1, 50)])), NOW);
    assert_eq!(cache.recall(&ask, Time::EPOCH), None);
}

#[test]
fn what_is_not_there_is_remembered_if_somebody_says_how_long() {
    let cloud = Cloud::new(true);
    let ask = ask_of(&cloud, cloud.own, NAME);
    let mut cache = Cache::default();
    let nothing = |authorities: Vec<Record>| {
        learned(word(&ask, |message| {
            message.metadata.response_code = ResponseCode::NXDomain;
            message.authorities = authorities;
        }))
    };
    cache.keep(&ask, &nothing(vec![soa("com.")]), NOW);
    let recalled = cache.recall(&ask, NOW + Duration::seconds(99)).expect("remembered");
    assert_eq!(read(&cloud.resolver().complete(&ask, &recalled)), Said::NoName);
    assert_eq!(cache.recall(&ask, NOW + Duration::seconds(100)), None);
    for unheard in [Vec::new(), vec![soa("bank.example.")]] {
        cache.keep(&ask, &nothing(unheard), NOW);
        assert!(cache.is_empty());
    }
}

/// What is not there may be there soon: nobody's word is taken for longer than five minutes.
#[test]
fn what_is_not_there_is_remembered_for_five_minutes_at_most() {
    let cloud = Cloud::new(true);
    let ask = ask_of(&cloud, cloud.own, NAME);
    let for_ever = SOA::new(name("ns.example."), name("host.example."), 1, 2, 3, 4, u32::MAX >> 1);
    let nothing = learned(word(&ask, |message| {
        message.metadata.response_code = ResponseCode::NXDomain;
        message.authorities = vec![Record::from_rdata(name("com."), u32::MAX >> 1, RData::SOA(for_ever))];
    }));
    let mut cache = Cache::default();
    cache.keep(&ask, &nothing, NOW);
    assert!(cache.recall(&ask, NOW + Duration::seconds(299)).is_some());
    assert_eq!(cache.recall(&ask, NOW + Duration::seconds(300)), None);
}

/// Who answers "there is no such name" and gives its address all the same is taken at the address.
#[test]
fn an_answer_with_an_address_is_one() {
    let cloud = Cloud::new(true);
    let ask = ask_of(&cloud, cloud.own, NAME);
    let learned = learned(word(&ask, |message| {
        message.metadata.response_code = ResponseCode::NXDomain;
        message.answers = vec![a(NAME, 1, 50)];
    }));
    assert_eq!(read(&cloud.resolver().complete(&ask, &learned)), data(&["192.0.2.1"]));
}

#[test]
fn a_cache_is_bounded() {
    let cloud = Cloud::new(true);
    let mut cache = Cache::default();
    let ask = ask_of(&cloud, cloud.own, NAME);
    let many =
        |count: u8| learned(word(&ask, |message| message.answers = (0..count).map(|n| a(NAME, n, 50)).collect()));
    cache.keep(&ask, &many(33), NOW);
    assert!(cache.is_empty(), "a longer answer is asked for again");
    cache.keep(&ask, &many(32), NOW);
    assert_eq!(cache.len(), 1);
    let said = Message::from_vec(&cloud.resolver().complete(&over_tcp(&cloud), &many(200))).unwrap();
    assert_eq!(said.answers.len(), 128, "so many are believed");
    for n in 0..ENTRIES_MAX + 10 {
        let name = format!("n{n}.example.com.");
        let ask = ask_of(&cloud, cloud.own, &name);
        cache.keep(&ask, &learned(word(&ask, |message| message.answers = vec![a(&name, 1, 50 + n as u32 % 100)])), NOW);
    }
    assert_eq!(cache.len(), ENTRIES_MAX);
}
