//! What is asked of somebody else, and how much of what he says is believed (RFC 5452, RFC 2308)?
//!
//! A message counts if it answers the very question that was asked. Of it are kept the records that lead from the asked name, through
//! aliases, to the asked type, and the SOA of a negative answer. Whatever else it says, it says of names that nobody asked about.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use crate::answer::Ask;
use crate::key::{is_under, key_of};
use crate::message::{UDP_MAX, encode};

/// What is learned is kept no longer than this, in seconds.
pub const TTL_MAX: u32 = 3600;
/// The same for what is not there.
const NEGATIVE_TTL_MAX: u32 = 300;
/// Aliases that are believed in one answer.
const ALIASES_MAX: usize = 12;
/// Records that are believed in one answer.
const RECORDS_MAX: usize = 128;

/// What somebody else knows of a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    pub(crate) code: ResponseCode,
    /// Aliases first.
    pub(crate) answers: Vec<Record>,
    pub(crate) soa: Option<Record>,
    /// How long it may be remembered, in seconds; 0: not at all.
    pub(crate) ttl: u32,
}

/// What a message from elsewhere is.
#[derive(Clone, Debug, PartialEq)]
pub enum Word {
    Learned(Box<Learned>),
    /// The answer does not fit a datagram: ask again over TCP.
    Truncated,
    /// He cannot or will not answer.
    Failure,
    /// Not the answer to this question, whoever sent it: wait on.
    Noise,
}

/// The message that asks somebody else. `id` is to be random.
pub fn request(ask: &Ask, id: u16) -> Vec<u8> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(ask.name.clone(), ask.kind()));
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_MAX as u16);
    message.set_edns(edns);
    encode(&message)
}

/// What of a message answers the question that was asked with this id.
pub fn hear(ask: &Ask, id: u16, bytes: &[u8]) -> Word {
    let Ok(message) = Message::from_vec(bytes) else { return Word::Noise };
    let metadata = &message.metadata;
    let is_it = metadata.id == id
        && metadata.message_type == MessageType::Response
        && metadata.op_code == OpCode::Query
        && matches!(&message.queries[..], [query] if key_of(query.name()) == ask.key
            && query.query_type() == ask.kind() && query.query_class() == DNSClass::IN);
    if !is_it {
        return Word::Noise;
    }
    if metadata.truncation {
        return Word::Truncated;
    }
    let code = metadata.response_code;
    if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
        return Word::Failure;
    }
    match chain(ask, &message.answers) {
        Some((answers, last)) => Word::Learned(Box::new(learned(ask, code, answers, &last, &message.authorities))),
        None => Word::Failure,
    }
}

/// The records that lead from the asked name to the asked type, and the last name; `None`: aliases without end.
fn chain(ask: &Ask, records: &[Record]) -> Option<(Vec<Record>, Name)> {
    let (mut chain, mut name, mut key) = (Vec::new(), ask.name.clone(), ask.key.clone());
    for _ in 0..=ALIASES_MAX {
        let of_name = |record: &&Record| record.dns_class == DNSClass::IN && key_of(&record.name) == key;
        let wanted = records.iter().filter(of_name).filter(|record| record.record_type() == ask.kind());
        let wanted: Vec<Record> = wanted.take(RECORDS_MAX).cloned().collect();
        if !wanted.is_empty() {
            chain.extend(wanted);
            return Some((chain, name));
        }
        let alias = records.iter().filter(of_name).find(|record| record.record_type() == RecordType::CNAME);
        let Some(alias) = alias else { return Some((chain, name)) };
        let RData::CNAME(CNAME(target)) = &alias.data else { return None };
        (name, key) = (target.clone(), key_of(target));
        chain.push(alias.clone());
    }
    None
}

fn learned(ask: &Ask, code: ResponseCode, mut answers: Vec<Record>, last: &Name, authorities: &[Record]) -> Learned {
    let key = key_of(last);
    let is_positive = answers.last().is_some_and(|record| record.record_type() == ask.kind());
    let soa = authorities
        .iter()
        .find(|record| record.record_type() == RecordType::SOA && is_under(&key, &key_of(&record.name)));
    let mut soa = soa.filter(|_| !is_positive).cloned();
    let bound = if is_positive { TTL_MAX } else { NEGATIVE_TTL_MAX };
    answers.iter_mut().chain(&mut soa).for_each(|record| record.ttl = record.ttl.min(bound));
    let negative = soa.as_ref().map(|record| match &record.data {
        RData::SOA(soa) => record.ttl.min(soa.minimum),
        _ => 0,
    });
    let records = answers.iter().map(|record| record.ttl).min();
    let ttl = match is_positive {
        true => records.unwrap_or(0),
        // Without a SOA nobody says how long it is not there (RFC 2308 5).
        false => negative.map_or(0, |negative| records.map_or(negative, |ttl| ttl.min(negative))),
    };
    // A name that leads nowhere is not there, whatever else was said on the way.
    let code = if is_positive { ResponseCode::NoError } else { code };
    Learned { code, answers, soa, ttl }
}
