//! Messages: what is a question, and what does its answer look like on the wire (RFC 1035 4, RFC 6891, RFC 8482)?

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, Record, RecordType};

use crate::key::key_of;

/// The longest answer over UDP, in bytes: no fragments, and a bound to what a question may cause.
pub const UDP_MAX: usize = 1232;
/// The longest message over TCP that is read or said, in bytes.
pub const MESSAGE_MAX: usize = 16 * 1024;
/// What a client without EDNS takes (RFC 1035 4.2.1).
const UDP_PLAIN: usize = 512;
const HEADER_LEN: usize = 12;

/// How a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
}

/// One question, and how its answer must look.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    id: u16,
    query: Query,
    pub(crate) name: Name,
    pub(crate) key: String,
    pub(crate) kind: RecordType,
    pub(crate) wants_recursion: bool,
    checking_disabled: bool,
    has_edns: bool,
    /// The longest answer that its asker takes, in bytes.
    room: usize,
}

/// What bytes are.
pub(crate) enum Read {
    Asked(Box<Asked>),
    /// A question that gets no other answer than this.
    Refused(Vec<u8>),
    /// No question at all: whatever is said to it could be an answer to an answer.
    Noise,
}

/// Reads a message.
pub(crate) fn read(bytes: &[u8], transport: Transport) -> Read {
    let Some(header) = bytes.first_chunk::<HEADER_LEN>() else { return Read::Noise };
    let (id, is_answer) = (u16::from_be_bytes([header[0], header[1]]), header[2] & 0x80 != 0);
    if is_answer {
        return Read::Noise;
    }
    let opcode = OpCode::from_u8(header[2] >> 3 & 0x0f);
    let bare = |code| Read::Refused(encode(&response(id, opcode, code)));
    if opcode != OpCode::Query {
        return bare(ResponseCode::NotImp);
    }
    let counts = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    // Nobody but an attacker puts answers into a question.
    if counts(4) != 1 || counts(6) != 0 || counts(8) != 0 || counts(10) > 2 || bytes.len() > MESSAGE_MAX {
        return bare(ResponseCode::FormErr);
    }
    let Ok(message) = Message::from_vec(bytes) else { return bare(ResponseCode::FormErr) };
    let [query] = &message.queries[..] else { return bare(ResponseCode::FormErr) };
    let edns = message.edns.as_ref();
    let room = match (transport, edns) {
        (Transport::Tcp, _) => MESSAGE_MAX,
        (Transport::Udp, None) => UDP_PLAIN,
        (Transport::Udp, Some(edns)) => usize::from(edns.max_payload()).clamp(UDP_PLAIN, UDP_MAX),
    };
    let asked = Asked {
        id,
        name: query.name().clone(),
        key: key_of(query.name()),
        kind: query.query_type(),
        query: query.clone(),
        wants_recursion: message.metadata.recursion_desired,
        checking_disabled: message.metadata.checking_disabled,
        has_edns: edns.is_some(),
        room,
    };
    let refusal = match asked.kind {
        _ if edns.is_some_and(|edns| edns.version() != 0) => Some(ResponseCode::BADVERS),
        _ if query.query_class() != DNSClass::IN => Some(ResponseCode::Refused),
        // Whole zones are nobody's business.
        RecordType::AXFR | RecordType::IXFR => Some(ResponseCode::Refused),
        RecordType::OPT => Some(ResponseCode::FormErr),
        _ => None,
    };
    match refusal {
        Some(code) => Read::Refused(asked.say(code, &[], None)),
        None => Read::Asked(Box::new(asked)),
    }
}

impl Asked {
    /// The answer's bytes: whole, or, where they do not fit a datagram, cut short and marked so.
    pub(crate) fn say(&self, code: ResponseCode, answers: &[Record], soa: Option<&Record>) -> Vec<u8> {
        let mut message = response(self.id, OpCode::Query, code);
        message.metadata.recursion_desired = self.wants_recursion;
        message.metadata.checking_disabled = self.checking_disabled;
        message.add_query(self.query.clone());
        if self.has_edns {
            let mut edns = Edns::new();
            edns.set_max_payload(UDP_MAX as u16);
            if code == ResponseCode::BADVERS {
                edns.set_rcode_high(ResponseCode::BADVERS.high());
            }
            message.set_edns(edns);
        }
        let cut = message.clone();
        message.add_answers(answers.iter().cloned());
        message.add_authorities(soa.cloned());
        let whole = encode(&message);
        if !whole.is_empty() && whole.len() <= self.room {
            return whole;
        }
        let mut cut = cut;
        match self.room {
            MESSAGE_MAX => cut.metadata.response_code = ResponseCode::ServFail,
            _ => cut.metadata.truncation = true,
        }
        encode(&cut)
    }
}

fn response(id: u16, opcode: OpCode, code: ResponseCode) -> Message {
    let mut message = Message::new(id, MessageType::Response, opcode);
    message.metadata.recursion_available = true;
    message.metadata.response_code = code;
    message
}

/// Empty if it cannot be written, as for records that are too long for any message.
pub(crate) fn encode(message: &Message) -> Vec<u8> {
    message.to_vec().unwrap_or_default()
}
