//! What is no question, what is refused, and how long an answer may be (RFC 1035, RFC 6891, RFC 8482; users.md 7.1, case 46).

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use model::RecordType as Kind;

use crate::world::{Cloud, Said, data, query, read};
use dns::{Answer, MESSAGE_MAX, Transport, UDP_MAX};

const NAME: &str = "ip-10-0-0-5.ec2.internal.";

fn say(cloud: &Cloud, bytes: &[u8], transport: Transport) -> Option<Vec<u8>> {
    match cloud.resolver().answer(cloud.own, bytes, transport, false) {
        Answer::Now(said) => Some(said),
        Answer::Silence => None,
        Answer::Ask(ask) => panic!("asks somebody else: {ask:?}"),
    }
}

fn code(cloud: &Cloud, message: &Message) -> Option<ResponseCode> {
    let said = say(cloud, &message.to_vec().unwrap(), Transport::Udp)?;
    Some(Message::from_vec(&said).unwrap().metadata.response_code)
}

#[test]
fn only_questions_are_answered() {
    let cloud = Cloud::new(true);
    let question = query(NAME, RecordType::A);
    assert_eq!(code(&cloud, &question), Some(ResponseCode::NoError));
    let bytes = question.to_vec().unwrap();
    for len in 0..12 {
        assert_eq!(say(&cloud, &bytes[..len], Transport::Udp), None, "{len} bytes");
    }
    assert_eq!(say(&cloud, &bytes[..bytes.len() - 1], Transport::Udp).map(|said| said[3] & 0x0f), Some(1), "FORMERR");
    let mut answer = question.clone();
    answer.metadata.message_type = MessageType::Response;
    assert_eq!(code(&cloud, &answer), None, "an answer to an answer could go on for ever");
    for opcode in [OpCode::Status, OpCode::Notify, OpCode::Update] {
        let mut other = question.clone();
        other.metadata.op_code = opcode;
        let said = say(&cloud, &other.to_vec().unwrap(), Transport::Udp).unwrap();
        assert_eq!(said[3] & 0x0f, 4, "NOTIMP");
    }
    let mut two = question.clone();
    two.add_query(Query::query(Name::from_ascii(NAME).unwrap(), RecordType::AAAA));
    let none = Message::new(99, MessageType::Query, OpCode::Query);
    for message in [two, none] {
        assert_eq!(code(&cloud, &message), Some(ResponseCode::FormErr));
    }
}

/// users.md 7.1, case 46: what is wrong with a question is said in a header, so that nobody is sent more than he sent.
#[test]
fn a_question_that_is_wrong_is_answered_with_a_header() {
    let cloud = Cloud::new(true);
    let question = |counts: [u8; 8], body: &[u8]| [&[0, 99, 1, 0][..], &counts, body].concat();
    let one = |body: &[u8]| question([0, 1, 0, 0, 0, 0, 0, 0], body);
    let (name, of) = (b"\x0bip-10-0-0-5\x03ec2\x08internal\0", [0, 1, 0, 1]);
    let with = |behind: &[u8]| [&name[..], &of, behind].concat();
    let opt = [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0];
    let record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 66];
    for (bytes, why) in [
        (one(&[&[0xc0, 12][..], &of].concat()), "a name that points to itself"),
        (one(&[&[0xc0, 14, 0xc0, 12][..], &of].concat()), "two that point to each other"),
        (one(&[&[1, b'x', 0xc0, 12][..], &of].concat()), "a label behind which it begins again"),
        (one(&[&[0xc0, 18][..], &of, &name[..]].concat()), "a name that points ahead"),
        (one(&[&[0xff, 0xff][..], &of].concat()), "a name that points behind the end"),
        (one(&[&[0x40, b'x', 0][..], &of].concat()), "a label of no kind"),
        (one(&[&b"\x3f".repeat(5)[..], &[b'x'; 320], &[0], &of].concat()), "a name of more than 255 bytes"),
        (one(&name[..9]), "a name that does not end"),
        (one(&[&name[..], &of[..3]].concat()), "half a class"),
        (question([0, 0, 0, 0, 0, 0, 0, 0], &[]), "no question"),
        (question([0, 2, 0, 0, 0, 0, 0, 0], &with(&with(&[]))), "two questions"),
        (question([0xff, 0xff, 0, 0, 0, 0, 0, 0], &with(&[])), "more questions than there are"),
        (question([0, 1, 0, 1, 0, 0, 0, 0], &with(&record)), "an answer in a question"),
        (question([0, 1, 0, 0, 0, 1, 0, 0], &with(&record)), "an authority in a question"),
        (question([0, 1, 0, 0, 0, 0, 0, 1], &with(&[])), "fewer records than it says"),
        (question([0, 1, 0, 0, 0, 0, 0, 2], &with(&[opt, opt].concat())), "EDNS twice (RFC 6891 6.1.1)"),
        (question([0, 1, 0, 0, 0, 0, 0, 3], &with(&record.repeat(3))), "more records than any question needs"),
        (one(&with(&vec![0; MESSAGE_MAX])), "longer than any message that is read"),
    ] {
        for transport in [Transport::Udp, Transport::Tcp] {
            let said = say(&cloud, &bytes, transport).unwrap_or_else(|| panic!("{why}: silence"));
            assert_eq!(said, [0, 99, 0x80, 0x81, 0, 0, 0, 0, 0, 0, 0, 0], "{why}");
        }
    }
    let good = say(&cloud, &question([0, 1, 0, 0, 0, 0, 0, 1], &with(&opt)), Transport::Udp).unwrap();
    assert_eq!(read(&good), data(&["10.0.0.5"]));
}

#[test]
fn what_this_resolver_has_no_part_in_is_refused() {
    let cloud = Cloud::new(true);
    for class in [DNSClass::CH, DNSClass::HS, DNSClass::NONE, DNSClass::ANY, DNSClass::Unknown(7)] {
        let mut question = query(NAME, RecordType::A);
        question.queries[0].set_query_class(class);
        assert_eq!(code(&cloud, &question), Some(ResponseCode::Refused), "{class}");
    }
    assert_eq!(code(&cloud, &query(NAME, RecordType::OPT)), Some(ResponseCode::FormErr), "no type of any name");
    assert_eq!(code(&cloud, &query(NAME, RecordType::Unknown(65_280))), Some(ResponseCode::NoError));
    let mut chaos = Message::new(99, MessageType::Query, OpCode::Query);
    let mut version = Query::query(Name::from_ascii("version.bind.").unwrap(), RecordType::TXT);
    version.set_query_class(DNSClass::CH);
    chaos.add_query(version);
    assert_eq!(code(&cloud, &chaos), Some(ResponseCode::Refused));
    for kind in [RecordType::AXFR, RecordType::IXFR] {
        assert_eq!(code(&cloud, &query("ec2.internal.", kind)), Some(ResponseCode::Refused));
    }
    assert_eq!(code(&cloud, &query("www.example.com.", RecordType::A)), Some(ResponseCode::Refused));
}

#[test]
fn everything_is_answered_with_next_to_nothing() {
    let cloud = big();
    for name in [NAME, "big.corp.example.", "alias.corp.example."] {
        let Said::Data(said) = cloud.ask(name, RecordType::ANY) else { panic!("{name}") };
        assert!(said.len() == 1 && said[0].contains("RFC8482"), "{said:?}");
    }
    assert_eq!(cloud.ask("ip-10-0-0-6.ec2.internal.", RecordType::ANY), Said::NoName);
}

#[test]
fn edns_has_one_version() {
    let cloud = Cloud::new(true);
    let with = |version: u8| {
        let mut question = query(NAME, RecordType::A);
        let mut edns = Edns::new();
        edns.set_version(version);
        edns.set_max_payload(4096);
        question.set_edns(edns);
        Message::from_vec(&say(&cloud, &question.to_vec().unwrap(), Transport::Udp).unwrap()).unwrap()
    };
    let good = with(0);
    assert_eq!(good.metadata.response_code, ResponseCode::NoError);
    assert_eq!(good.edns.map(|edns| usize::from(edns.max_payload())), Some(UDP_MAX));
    let bad = with(1);
    // BADVERS and BADSIG are one number.
    assert_eq!(u16::from(bad.metadata.response_code), 16);
    assert_eq!((bad.answers.len(), bad.edns.map(|edns| edns.version())), (0, Some(0)));
    let plain = say(&cloud, &query(NAME, RecordType::A).to_vec().unwrap(), Transport::Udp).unwrap();
    assert_eq!(Message::from_vec(&plain).unwrap().edns, None, "who does not speak it does not hear it");
}

/// Sets of about 400, 800, 3,000 and 30,000 bytes, and an alias.
fn big() -> Cloud {
    let mut cloud = Cloud::new(true);
    let texts = |count: usize| (0..count).map(|n| format!("\"{n:0>200}\"")).collect::<Vec<_>>();
    let [small, middle, big, huge] = [2, 4, 14, 140].map(texts);
    let borrowed = |texts: &'static [String]| texts.iter().map(String::as_str).collect::<Vec<_>>().leak() as &[&str];
    cloud.zone(
        "corp.example.",
        &[
            ("small.corp.example.", Kind::Txt, borrowed(small.leak())),
            ("middle.corp.example.", Kind::Txt, borrowed(middle.leak())),
            ("big.corp.example.", Kind::Txt, borrowed(big.leak())),
            ("alias.corp.example.", Kind::Cname, &["big.corp.example."]),
            ("huge.corp.example.", Kind::Txt, borrowed(huge.leak())),
        ],
    );
    cloud
}

/// users.md 7.1, case 46: no amplifier. A datagram is never longer than the asker takes, and never longer than [`UDP_MAX`].
#[test]
fn what_does_not_fit_a_datagram_is_cut_and_comes_whole_over_tcp() {
    let cloud = big();
    for (payload, room) in [(None, 512), (Some(512), 512), (Some(800), 800), (Some(65_000), UDP_MAX)] {
        let mut question = query("big.corp.example.", RecordType::TXT);
        if let Some(payload) = payload {
            let mut edns = Edns::new();
            edns.set_max_payload(payload);
            question.set_edns(edns);
        }
        let said = say(&cloud, &question.to_vec().unwrap(), Transport::Udp).unwrap();
        assert!(said.len() <= room, "{} bytes", said.len());
        let message = Message::from_vec(&said).unwrap();
        assert!(message.metadata.truncation && message.answers.is_empty(), "half a set would be taken for a whole one");
        assert_eq!(message.queries.len(), 1);
    }
    let whole = say(&cloud, &query("big.corp.example.", RecordType::TXT).to_vec().unwrap(), Transport::Tcp).unwrap();
    let whole = Message::from_vec(&whole).unwrap();
    assert_eq!((whole.answers.len(), whole.metadata.truncation), (14, false));
    let huge = say(&cloud, &query("huge.corp.example.", RecordType::TXT).to_vec().unwrap(), Transport::Tcp).unwrap();
    assert!(huge.len() <= MESSAGE_MAX);
    assert_eq!(read(&huge), Said::Code(ResponseCode::ServFail));
}

/// RFC 1035 4.2.1, RFC 6891 6.2.3: 512 bytes without EDNS, as many as it says with it, and never taken to be fewer than 512.
#[test]
fn an_answer_has_the_room_that_its_asker_gives() {
    let cloud = big();
    for (name, payload, is_whole) in [
        ("small.corp.example.", None, true),
        ("small.corp.example.", Some(0), true),
        ("small.corp.example.", Some(511), true),
        ("middle.corp.example.", None, false),
        ("middle.corp.example.", Some(511), false),
        ("middle.corp.example.", Some(1000), true),
        ("middle.corp.example.", Some(u16::MAX), true),
    ] {
        let mut bytes = query(name, RecordType::TXT).to_vec().unwrap();
        if let Some(payload) = payload {
            // By hand: who writes these messages here never says fewer than 512.
            bytes[11] = 1;
            bytes.extend([&[0, 0, 41][..], &u16::to_be_bytes(payload), &[0; 6]].concat());
        }
        let said = Message::from_vec(&say(&cloud, &bytes, Transport::Udp).unwrap()).unwrap();
        let how = (said.metadata.truncation, said.answers.is_empty());
        assert_eq!(how, (!is_whole, !is_whole), "{name} {payload:?}");
    }
}

#[test]
fn an_answer_repeats_what_was_asked() {
    let cloud = Cloud::new(true);
    let mut question = query("IP-10-0-0-5.ec2.Internal.", RecordType::A);
    question.metadata.checking_disabled = true;
    let said = say(&cloud, &question.to_vec().unwrap(), Transport::Udp).unwrap();
    let message = Message::from_vec(&said).unwrap();
    assert_eq!(message.metadata.id, 99);
    assert_eq!(message.queries[0].name().to_ascii(), "IP-10-0-0-5.ec2.Internal.", "letter by letter");
    assert_eq!(message.answers[0].name.to_ascii(), "IP-10-0-0-5.ec2.Internal.");
    assert!(message.metadata.recursion_desired && message.metadata.checking_disabled);
}
