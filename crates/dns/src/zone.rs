//! A private hosted zone as a table (spec 9.6), and what any table says about a name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use model::HostedZone;

use crate::key::{escaped, is_under, key_of, name_of, parent};

/// How long the cloud's own names may be remembered, in seconds (spec 9.2).
pub const TTL: u32 = 60;
/// The longest that a negative answer of a zone may be remembered, in seconds (RFC 2308 5).
const NEGATIVE_TTL_MAX: u32 = 900;
/// Bytes of one string of a TXT record (RFC 1035 3.3).
const STRING_MAX: usize = 255;

/// What is known of a name and a type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Found {
    Records(u32, Vec<RData>),
    /// Another name has it.
    Alias(u32, Name),
    /// The name is there, and has nothing of the type; the zone's SOA.
    NoData(Option<Box<Record>>),
    NoName(Option<Box<Record>>),
    /// Nothing here knows.
    Elsewhere,
}

/// A zone's records.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Zone {
    /// Its apex, as a key.
    pub(crate) key: String,
    soa: Record,
    sets: BTreeMap<String, Vec<(RecordType, u32, Vec<RData>)>>,
    /// Names that are there because something is under them (RFC 4592 2.2.2).
    between: BTreeSet<String>,
}

impl Zone {
    /// What of the zone can be read; `None`: not even its name.
    pub(crate) fn of(zone: &HostedZone) -> Option<Zone> {
        let apex = name_of(&zone.name)?;
        let key = key_of(&apex);
        let mut soa = None;
        let (mut sets, mut between): (BTreeMap<String, Vec<_>>, _) = (BTreeMap::new(), BTreeSet::new());
        for ((name, kind), set) in &zone.records {
            let Some(owner) = name_of(name).map(|name| key_of(&name)).filter(|owner| is_under(owner, &key)) else {
                continue;
            };
            let data: Vec<RData> = set.values.iter().filter_map(|value| rdata(*kind, value)).collect();
            let Some(first) = data.first() else { continue };
            if let (RData::SOA(one), true) = (first, owner == key) {
                let ttl = set.ttl.min(one.minimum).min(NEGATIVE_TTL_MAX);
                soa = Some(Record::from_rdata(apex.clone(), ttl, first.clone()));
            }
            let mut above = parent(&owner);
            while let Some(name) = above.filter(|name| is_under(name, &key)) {
                between.insert(name.to_string());
                above = parent(name);
            }
            sets.entry(owner).or_default().push((first.record_type(), set.ttl, data));
        }
        between.insert(key.clone());
        Some(Zone { soa: soa.unwrap_or_else(|| made_up_soa(&apex)), key, sets, between })
    }

    /// What the zone says of a name in it.
    pub(crate) fn find(&self, key: &str, kind: RecordType) -> Found {
        let soa = || Some(Box::new(self.soa.clone()));
        if let Some(sets) = self.sets.get(key) {
            return of_sets(sets, kind).unwrap_or_else(|| Found::NoData(soa()));
        }
        if self.between.contains(key) {
            return Found::NoData(soa());
        }
        // RFC 4592 3.3.1: the asterisk right under the closest name that is there, and no other.
        let mut above = parent(key);
        while let Some(name) = above {
            if self.between.contains(name) || self.sets.contains_key(name) {
                let sets = self.sets.get(&format!("*.{name}"));
                return sets.map_or_else(
                    || Found::NoName(soa()),
                    |sets| of_sets(sets, kind).unwrap_or_else(|| Found::NoData(soa())),
                );
            }
            above = parent(name);
        }
        Found::NoName(soa())
    }
}

fn of_sets(sets: &[(RecordType, u32, Vec<RData>)], kind: RecordType) -> Option<Found> {
    let of = |wanted| sets.iter().find(|(kind, ..)| *kind == wanted);
    if let Some((_, ttl, data)) = of(kind) {
        return Some(Found::Records(*ttl, data.clone()));
    }
    let (_, ttl, data) = of(RecordType::CNAME).filter(|_| kind != RecordType::ANY)?;
    match data.first() {
        Some(RData::CNAME(target)) => Some(Found::Alias(*ttl, target.0.clone())),
        _ => None,
    }
}

/// The SOA of a zone that has none of its own: the cloud's names, and zones whose record cannot be read.
pub(crate) fn made_up_soa(apex: &Name) -> Record {
    let under = |label: &str| Name::from_ascii(label).and_then(|name| name.append_domain(apex));
    let server = under("ns").unwrap_or_else(|_| apex.clone());
    let contact = under("hostmaster").unwrap_or_else(|_| apex.clone());
    Record::from_rdata(apex.clone(), TTL, RData::SOA(SOA::new(server, contact, 1, 7200, 900, 1_209_600, TTL)))
}

/// Reads a value in presentation form (RFC 1035 5.1, with Route 53's octal escapes). `None`: it is none of that type.
pub(crate) fn rdata(kind: model::RecordType, value: &str) -> Option<RData> {
    use model::RecordType as Kind;
    let words: Vec<&str> = value.split_ascii_whitespace().collect();
    let number = |at: usize| words.get(at)?.parse::<u16>().ok();
    let long = |at: usize| words.get(at)?.parse::<u32>().ok();
    let name = |at: usize| name_of(words.get(at)?);
    let has = |count: usize| (words.len() == count).then_some(());
    match kind {
        Kind::A => value.trim().parse::<Ipv4Addr>().ok().map(|address| RData::A(A(address))),
        Kind::Aaaa => value.trim().parse::<Ipv6Addr>().ok().map(|address| RData::AAAA(AAAA(address))),
        Kind::Cname => has(1).and_then(|()| Some(RData::CNAME(CNAME(name(0)?)))),
        Kind::Ns => has(1).and_then(|()| Some(RData::NS(NS(name(0)?)))),
        Kind::Ptr => has(1).and_then(|()| Some(RData::PTR(PTR(name(0)?)))),
        Kind::Mx => has(2).and_then(|()| Some(RData::MX(MX::new(number(0)?, name(1)?)))),
        Kind::Srv => has(4).and_then(|()| Some(RData::SRV(SRV::new(number(0)?, number(1)?, number(2)?, name(3)?)))),
        Kind::Soa => has(7).and_then(|()| {
            let signed = |at: usize| i32::try_from(long(at)?).ok();
            Some(RData::SOA(SOA::new(name(0)?, name(1)?, long(2)?, signed(3)?, signed(4)?, signed(5)?, long(6)?)))
        }),
        Kind::Txt => {
            let strings = strings(value)?;
            Some(RData::TXT(TXT::from_bytes(strings.iter().map(Vec::as_slice).collect())))
        }
    }
}

/// `"a text" "another"`; one word may stand without quotes.
fn strings(value: &str) -> Option<Vec<Vec<u8>>> {
    let mut strings = Vec::new();
    let mut bytes = value.trim().bytes().peekable();
    while let Some(&first) = bytes.peek() {
        if first == b' ' || first == b'\t' {
            bytes.next();
            continue;
        }
        let is_quoted = first == b'"';
        if is_quoted {
            bytes.next();
        }
        let mut string = Vec::new();
        loop {
            match bytes.next() {
                Some(b'"') if is_quoted => break,
                None if !is_quoted => break,
                Some(b' ' | b'\t') if !is_quoted => break,
                Some(b'\\') => string.push(escaped(&mut bytes)?),
                Some(byte) => string.push(byte),
                None => return None,
            }
        }
        if string.len() > STRING_MAX {
            return None;
        }
        strings.push(string);
    }
    (!strings.is_empty()).then_some(strings)
}
