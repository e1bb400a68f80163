//! What is answered from memory is what would be answered without one.

use std::sync::Arc;

use dns::{Answer, Recent, Resolver, Transport};
use hickory_proto::rr::RecordType;
use model::{RecordType as Kind, VpcId};
use proptest::prelude::*;

use crate::world::{Cloud, query};

const NAMES: [(&str, RecordType); 6] = [
    ("ec2-203-0-113-25.compute-1.amazonaws.com.", RecordType::A),
    ("EC2-203-0-113-25.compute-1.amazonaws.com.", RecordType::A),
    ("ip-10-0-0-5.ec2.internal.", RecordType::A),
    ("ip-10-0-0-5.ec2.internal.", RecordType::AAAA),
    ("big.corp.example.", RecordType::TXT),
    ("www.example.com.", RecordType::A),
];

/// Two that differ in what the peer allows, and who asks.
fn resolvers() -> ([Arc<Resolver>; 2], [VpcId; 3]) {
    let mut cloud = Cloud::new(true);
    let stranger = cloud.stranger();
    let texts: Vec<String> = (0..3).map(|n| format!("\"{n:0>180}\"")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    cloud.zone("corp.example.", &[("big.corp.example.", Kind::Txt, &texts)]);
    let before = Arc::new(cloud.resolver());
    cloud.allow(cloud.peer, true);
    ([before, Arc::new(cloud.resolver())], [cloud.own, cloud.peer, stranger])
}

fn shown(answer: &Answer) -> String {
    match answer {
        Answer::Ask(ask) => format!("ask {:?}", ask.question()),
        other => format!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn nothing_is_said_that_would_not_be_said_without_it(
        questions in prop::collection::vec((0..2_usize, 0..3_usize, 0..NAMES.len(), any::<bool>(), 0..3_u16), 1..200),
        is_damaged: bool,
        slots in 1..30_usize,
    ) {
        let (resolvers, vpcs) = resolvers();
        let mut recent = Recent::of_size(slots);
        for (resolver, vpc, name, over_tcp, id) in questions {
            let (resolver, vpc, (name, kind)) = (&resolvers[resolver], vpcs[vpc], NAMES[name]);
            let transport = if over_tcp { Transport::Tcp } else { Transport::Udp };
            let mut bytes = query(name, kind).to_vec().unwrap();
            bytes[..2].copy_from_slice(&id.to_be_bytes());
            if is_damaged && id == 0 {
                bytes.truncate(bytes.len() - 1);
            }
            let said = recent.answer(resolver, vpc, &bytes, transport, true);
            prop_assert_eq!(shown(&said), shown(&resolver.answer(vpc, &bytes, transport, true)));
        }
    }

    #[test]
    fn no_bytes_break_it(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..20)) {
        let ([resolver, _], [own, ..]) = resolvers();
        let mut recent = Recent::default();
        for bytes in messages.iter().chain(&messages) {
            let said = recent.answer(&resolver, own, bytes, Transport::Udp, false);
            prop_assert_eq!(shown(&said), shown(&resolver.answer(own, bytes, Transport::Udp, false)));
        }
    }
}
