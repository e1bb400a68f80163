//! Private hosted zones (spec 9.6).

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use model::RecordType as Kind;

use crate::world::{Cloud, Said, data, query};
use dns::{Answer, Transport};

const SOA: &str = "ns-1.example. hostmaster.example. 1 7200 900 1209600 120";

fn cloud() -> Cloud {
    let mut cloud = Cloud::new(true);
    cloud.zone(
        "corp.example.",
        &[
            ("corp.example.", Kind::Soa, &[SOA]),
            ("corp.example.", Kind::Ns, &["ns-1.example."]),
            ("corp.example.", Kind::Mx, &["10 mail.corp.example."]),
            ("www.corp.example.", Kind::A, &["10.0.0.80", "10.0.0.81"]),
            ("www.corp.example.", Kind::Aaaa, &["2001:db8::80"]),
            ("alias.corp.example.", Kind::Cname, &["www.corp.example."]),
            ("to-cloud.corp.example.", Kind::Cname, &["ip-10-0-0-5.ec2.internal."]),
            ("to-nowhere.corp.example.", Kind::Cname, &["gone.corp.example."]),
            ("out.corp.example.", Kind::Cname, &["www.elsewhere.example."]),
            ("round.corp.example.", Kind::Cname, &["about.corp.example."]),
            ("about.corp.example.", Kind::Cname, &["round.corp.example."]),
            ("_sip._tcp.corp.example.", Kind::Srv, &["10 60 5060 www.corp.example."]),
            ("txt.corp.example.", Kind::Txt, &["\"a text\" \"with \\\"quotes\\\"\""]),
            ("\\052.wild.corp.example.", Kind::A, &["10.0.0.90"]),
            ("a.b.deep.corp.example.", Kind::A, &["10.0.0.91"]),
        ],
    );
    cloud.zone("inner.corp.example.", &[("www.inner.corp.example.", Kind::A, &["10.0.0.99"])]);
    cloud.zone("2.0.192.in-addr.arpa.", &[("7.2.0.192.in-addr.arpa.", Kind::Ptr, &["seven.corp.example."])]);
    cloud
}

#[test]
fn every_type_is_answered() {
    let cloud = cloud();
    for (name, kind, expected) in [
        ("www.corp.example.", RecordType::A, &["10.0.0.80", "10.0.0.81"][..]),
        ("WWW.Corp.Example.", RecordType::AAAA, &["2001:db8::80"]),
        ("corp.example.", RecordType::MX, &["10 mail.corp.example."]),
        ("corp.example.", RecordType::NS, &["ns-1.example."]),
        ("corp.example.", RecordType::SOA, &[SOA]),
        ("_sip._tcp.corp.example.", RecordType::SRV, &["10 60 5060 www.corp.example."]),
        ("7.2.0.192.in-addr.arpa.", RecordType::PTR, &["seven.corp.example."]),
        ("alias.corp.example.", RecordType::CNAME, &["www.corp.example."]),
    ] {
        assert_eq!(cloud.ask(name, kind), data(expected), "{name} {kind}");
    }
    let Said::Data(texts) = cloud.ask("txt.corp.example.", RecordType::TXT) else { panic!("no text") };
    assert!(texts[0].contains("a text") && texts[0].contains("with \"quotes\""), "{texts:?}");
}

#[test]
fn aliases_are_followed_to_their_end() {
    let cloud = cloud();
    assert_eq!(cloud.ask("alias.corp.example.", RecordType::A), data(&["www.corp.example.", "10.0.0.80", "10.0.0.81"]));
    assert_eq!(cloud.ask("to-cloud.corp.example.", RecordType::A), data(&["ip-10-0-0-5.ec2.internal.", "10.0.0.5"]));
    assert_eq!(cloud.ask("to-nowhere.corp.example.", RecordType::A), Said::Code(ResponseCode::NXDomain));
    assert_eq!(cloud.ask("round.corp.example.", RecordType::A), Said::Code(ResponseCode::ServFail), "a circle ends");
    assert_eq!(cloud.ask("out.corp.example.", RecordType::A), Said::Code(ResponseCode::ServFail), "nobody to ask");
}

/// No question costs more than a few look-ups, whatever somebody wrote into his zone.
#[test]
fn a_question_follows_eight_aliases() {
    let mut cloud = Cloud::new(true);
    let names: Vec<String> = (0..10).map(|n| format!("n{n}.corp.example.")).collect();
    let targets: Vec<[&str; 1]> = names.iter().map(|name| [name.as_str()]).collect();
    let alias = |n: usize| (names[n].as_str(), Kind::Cname, &targets[n + 1][..]);
    let mut records: Vec<_> = (0..9).map(alias).collect();
    records.push((names[9].as_str(), Kind::A, &["10.0.0.80"]));
    cloud.zone("corp.example.", &records);
    let Said::Data(whole) = cloud.ask("n1.corp.example.", RecordType::A) else { panic!("eight are too many") };
    assert_eq!((whole.len(), whole.last().map(String::as_str)), (9, Some("10.0.0.80")));
    assert_eq!(cloud.ask("n0.corp.example.", RecordType::A), Said::Code(ResponseCode::ServFail));
}

/// "Most specific zone wins; overlapping namespaces answer NXDOMAIN inside the matching zone (no fall-through to public)".
#[test]
fn the_most_specific_zone_has_the_last_word() {
    let mut cloud = cloud();
    assert_eq!(cloud.ask("www.inner.corp.example.", RecordType::A), data(&["10.0.0.99"]));
    assert_eq!(cloud.ask("alias.inner.corp.example.", RecordType::A), Said::NoName);
    for name in ["gone.corp.example.", "gone.inner.corp.example."] {
        let bytes = query(name, RecordType::A).to_vec().unwrap();
        let said = cloud.resolver().answer(cloud.own, &bytes, Transport::Udp, true);
        let Answer::Now(said) = said else { panic!("{name} is asked elsewhere") };
        let message = Message::from_vec(&said).unwrap();
        assert_eq!(message.metadata.response_code, ResponseCode::NXDomain);
        assert_eq!(message.authorities.len(), 1, "how long it is not there");
    }
    // Of the cloud's own names and a zone the longer domain wins.
    cloud.zone("internal.", &[("ip-10-0-0-5.ec2.internal.", Kind::A, &["10.0.0.66"])]);
    assert_eq!(cloud.ask("ip-10-0-0-5.ec2.internal.", RecordType::A), data(&["10.0.0.5"]));
    cloud.zone("ec2.internal.", &[("ip-10-0-0-5.ec2.internal.", Kind::A, &["10.0.0.66"])]);
    assert_eq!(cloud.ask("ip-10-0-0-5.ec2.internal.", RecordType::A), data(&["10.0.0.66"]));
}

#[test]
fn a_name_between_others_is_there_and_empty() {
    let cloud = cloud();
    for name in ["deep.corp.example.", "b.deep.corp.example.", "wild.corp.example.", "_tcp.corp.example."] {
        assert_eq!(cloud.ask(name, RecordType::A), Said::Nothing, "{name}");
    }
    assert_eq!(cloud.ask("www.corp.example.", RecordType::TXT), Said::Nothing);
}

/// RFC 4592: an asterisk stands for what is not there under its own parent, and for nothing else.
#[test]
fn an_asterisk_stands_for_what_is_not_there() {
    let cloud = cloud();
    for name in ["x.wild.corp.example.", "x.y.wild.corp.example.", "*.wild.corp.example."] {
        assert_eq!(cloud.ask(name, RecordType::A), data(&["10.0.0.90"]), "{name}");
    }
    assert_eq!(cloud.ask("x.wild.corp.example.", RecordType::TXT), Said::Nothing);
    assert_eq!(cloud.ask("x.b.deep.corp.example.", RecordType::A), Said::NoName);
}

/// users.md 7.1, case 46: a zone holds in its own VPCs only, and not over a peering (spec 9.6).
#[test]
fn a_zone_is_not_seen_from_a_peer() {
    let mut cloud = cloud();
    cloud.allow(cloud.own, true);
    let resolver = cloud.resolver();
    let said = crate::world::ask(&resolver, cloud.peer, "www.corp.example.", RecordType::A);
    assert_eq!(said, Said::Code(ResponseCode::Refused));
}

/// 9.3: "Private hosted zones .. need both true".
#[test]
fn zones_need_both_switches() {
    let mut cloud = cloud();
    cloud.switch(cloud.own, true, false);
    assert_eq!(cloud.ask("www.corp.example.", RecordType::A), Said::Code(ResponseCode::Refused));
}

#[test]
fn what_cannot_be_read_is_left_out_alone() {
    let mut cloud = Cloud::new(true);
    cloud.zone(
        "odd.example.",
        &[
            ("good.odd.example.", Kind::A, &["10.0.0.1", "no address"]),
            ("bad.odd.example.", Kind::A, &["no address"]),
            ("a..b.odd.example.", Kind::A, &["10.0.0.2"]),
            ("foreign.example.", Kind::A, &["10.0.0.3"]),
            ("srv.odd.example.", Kind::Srv, &["10 60 99999 www.odd.example."]),
        ],
    );
    assert_eq!(cloud.ask("good.odd.example.", RecordType::A), data(&["10.0.0.1"]));
    assert_eq!(cloud.ask("bad.odd.example.", RecordType::A), Said::NoName);
    assert_eq!(cloud.ask("srv.odd.example.", RecordType::SRV), Said::NoName);
    assert_eq!(cloud.ask("foreign.example.", RecordType::A), Said::Code(ResponseCode::Refused));
}
