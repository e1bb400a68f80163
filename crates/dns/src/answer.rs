//! From a question to its answer: the names that it leads through, one after the other.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{CNAME, HINFO};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use model::VpcId;

use crate::key::key_of;
use crate::message::{Asked, Read, Transport, read};
use crate::resolver::Resolver;
use crate::upstream::Learned;
use crate::zone::{Found, TTL};

/// Aliases that one question follows.
const ALIASES_MAX: usize = 8;

/// What becomes of a question.
#[derive(Debug)]
pub enum Answer {
    /// These bytes.
    Now(Vec<u8>),
    /// Somebody else must be asked; then see [`Resolver::complete`] and [`Ask::fail`].
    Ask(Box<Ask>),
    /// Nothing is said.
    Silence,
}

/// A question that nothing here can answer, as far as it was followed.
#[derive(Clone, Debug)]
pub struct Ask {
    pub vpc: VpcId,
    asked: Asked,
    /// Aliases that led here.
    chain: Vec<Record>,
    /// What is to be asked.
    pub(crate) name: Name,
    pub(crate) key: String,
}

impl Ask {
    /// What is asked: the name in lower case without its last dot, and the type's number. Two questions of one VPC that are the same in
    /// this have one answer.
    pub fn question(&self) -> (&str, u16) {
        (&self.key, u16::from(self.asked.kind))
    }

    pub(crate) fn kind(&self) -> RecordType {
        self.asked.kind
    }

    /// The answer when nobody helps.
    pub fn fail(&self) -> Vec<u8> {
        self.asked.say(ResponseCode::ServFail, &[], None)
    }
}

impl Resolver {
    /// What the resolver of a VPC says to a message. `has_upstream`: there is somebody to ask about names that are not this cloud's.
    pub fn answer(&self, vpc: VpcId, bytes: &[u8], transport: Transport, has_upstream: bool) -> Answer {
        if !self.is_on(vpc) {
            return Answer::Silence;
        }
        let asked = match read(bytes, transport) {
            Read::Asked(asked) => *asked,
            Read::Refused(bytes) if bytes.is_empty() => return Answer::Silence,
            Read::Refused(bytes) => return Answer::Now(bytes),
            Read::Noise => return Answer::Silence,
        };
        let may_ask = has_upstream && asked.wants_recursion;
        match self.follow(vpc, asked.name.clone(), asked.key.clone(), asked.kind, Vec::new()) {
            Followed::Here { code, records, soa } => now(asked.say(code, &records, soa.as_deref())),
            Followed::Elsewhere { name, key, chain } if may_ask => {
                Answer::Ask(Box::new(Ask { vpc, asked, chain, name, key }))
            }
            Followed::Elsewhere { chain, .. } => {
                // Half an answer would be remembered as a whole one.
                let code = if chain.is_empty() { ResponseCode::Refused } else { ResponseCode::ServFail };
                now(asked.say(code, &[], None))
            }
        }
    }

    /// The answer to a question about which something was learned elsewhere.
    ///
    /// An alias that leads back to names of this cloud is followed here: nobody else has a say about those. Empty: nothing is said, for
    /// the VPC's resolver was switched off meanwhile.
    pub fn complete(&self, ask: &Ask, learned: &Learned) -> Vec<u8> {
        if !self.is_on(ask.vpc) {
            return Vec::new();
        }
        let mut records = ask.chain.clone();
        let aliases = learned.answers.iter().take_while(|record| record.record_type() == RecordType::CNAME);
        for (at, alias) in aliases.enumerate() {
            let RData::CNAME(CNAME(target)) = &alias.data else { break };
            let key = key_of(target);
            if matches!(self.find(ask.vpc, &key, ask.kind()), Some(Found::Elsewhere) | None) {
                continue;
            }
            records.extend(learned.answers[..=at].iter().cloned());
            return match self.follow(ask.vpc, target.clone(), key, ask.kind(), records) {
                Followed::Here { code, records, soa } => ask.asked.say(code, &records, soa.as_deref()),
                Followed::Elsewhere { .. } => ask.fail(),
            };
        }
        records.extend(learned.answers.iter().cloned());
        ask.asked.say(learned.code, &records, learned.soa.as_ref())
    }

    /// Follows a name through aliases, as far as it is known here.
    fn follow(&self, vpc: VpcId, name: Name, key: String, kind: RecordType, chain: Vec<Record>) -> Followed {
        let (mut name, mut key, mut records) = (name, key, chain);
        for _ in 0..=ALIASES_MAX {
            let here = |code, records, soa| Followed::Here { code, records, soa };
            match self.find(vpc, &key, kind).unwrap_or(Found::Elsewhere) {
                Found::Records(ttl, data) => {
                    records.extend(data.into_iter().map(|data| Record::from_rdata(name.clone(), ttl, data)));
                    return here(ResponseCode::NoError, records, None);
                }
                // "Everything" is answered with next to nothing (RFC 8482 4.2).
                Found::NoData(_) if kind == RecordType::ANY => {
                    let nothing = RData::HINFO(HINFO::new("RFC8482".into(), String::new()));
                    records.push(Record::from_rdata(name, TTL, nothing));
                    return here(ResponseCode::NoError, records, None);
                }
                Found::NoData(soa) => return here(ResponseCode::NoError, records, soa),
                Found::NoName(soa) => return here(ResponseCode::NXDomain, records, soa),
                Found::Elsewhere => return Followed::Elsewhere { name, key, chain: records },
                Found::Alias(ttl, target) => {
                    records.push(Record::from_rdata(name, ttl, RData::CNAME(CNAME(target.clone()))));
                    key = key_of(&target);
                    name = target;
                }
            }
        }
        Followed::Here { code: ResponseCode::ServFail, records: Vec::new(), soa: None }
    }
}

/// Where a name led.
enum Followed {
    Here { code: ResponseCode, records: Vec<Record>, soa: Option<Box<Record>> },
    Elsewhere { name: Name, key: String, chain: Vec<Record> },
}

fn now(bytes: Vec<u8>) -> Answer {
    if bytes.is_empty() { Answer::Silence } else { Answer::Now(bytes) }
}
