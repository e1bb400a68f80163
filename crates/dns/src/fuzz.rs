//! What must hold for any bytes: the harness of the fuzz target `dns`, and of the tests that replay its corpus.

use std::sync::Arc;

use hickory_proto::op::{Message, MessageType};
use model::intent::Intent;
use model::{Time, VpcId};

use crate::message::{MESSAGE_MAX, UDP_MAX};
use crate::{Answer, Cache, Resolver, Transport, Word, hear, request};

/// Asks with these bytes over both transports, and answers with them what is asked elsewhere.
///
/// # Panics
/// If what is said breaks a rule: an answer to what is no question, another id, more bytes than a datagram may have.
pub fn dns(resolver: &Resolver, vpc: VpcId, bytes: &[u8]) {
    for (transport, most) in [(Transport::Udp, UDP_MAX), (Transport::Tcp, MESSAGE_MAX)] {
        for has_upstream in [false, true] {
            match resolver.answer(vpc, bytes, transport, has_upstream) {
                Answer::Now(answer) => check(bytes, &answer, most),
                Answer::Ask(ask) => {
                    assert!(has_upstream, "there is nobody to ask");
                    check(bytes, &ask.fail(), most);
                    let asked = request(&ask, 7);
                    assert!(Message::from_vec(&asked).is_ok(), "a question that nobody can read");
                    // What was sent comes back, as from somebody who answers with anything.
                    if let Word::Learned(learned) = hear(&ask, 7, &echo(bytes, 7)) {
                        check(bytes, &resolver.complete(&ask, &learned), most);
                        let mut cache = Cache::default();
                        cache.keep(&ask, &learned, Time::EPOCH);
                        cache.recall(&ask, Time::EPOCH);
                    }
                }
                Answer::Silence => {}
            }
        }
    }
}

/// A resolver of these VPCs, for a harness.
pub fn resolver(intent: Intent) -> Resolver {
    Resolver::default().renew(&Arc::new(intent))
}

fn check(question: &[u8], answer: &[u8], most: usize) {
    assert!(answer.len() <= most, "{} bytes of answer", answer.len());
    assert_eq!(question.get(..2), answer.get(..2), "an answer to somebody else");
    assert!(question.get(2).is_some_and(|flags| flags & 0x80 == 0), "an answer to an answer");
    let message = Message::from_vec(answer).expect("an answer that nobody can read");
    assert_eq!(message.metadata.message_type, MessageType::Response);
}

/// The same bytes as an answer with this id.
fn echo(bytes: &[u8], id: u16) -> Vec<u8> {
    let mut answer = bytes.to_vec();
    if let Some(header) = answer.first_chunk_mut::<3>() {
        let [high, low] = id.to_be_bytes();
        *header = [high, low, header[2] | 0x80];
    }
    answer
}
