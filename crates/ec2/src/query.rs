//! A form of `a.b.1.c=value` pairs as a tree (spec 1.3.1, 1.3.2).
//!
//! Names are lenient in the case of a segment's first letter; list members are numbered and may have gaps.

use std::collections::BTreeMap;

use crate::Error;

/// Bounds on one request: pairs, and segments in one name.
pub const PAIRS_MAX: usize = 10_000;
pub const DEPTH_MAX: usize = 12;

/// A parameter: its text, if it has one of its own, and what is below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    value: Option<String>,
    members: BTreeMap<String, Node>,
    items: BTreeMap<u64, Node>,
}

impl Node {
    /// Reads `application/x-www-form-urlencoded` text: a body or a query string.
    ///
    /// # Errors
    /// `MalformedQueryString` where a percent escape is broken, a name is too deep, or there are too many pairs.
    pub fn parse(form: &[u8]) -> Result<Node, Error> {
        let mut root = Node::default();
        for (count, pair) in form.split(|b| *b == b'&').filter(|pair| !pair.is_empty()).enumerate() {
            if count >= PAIRS_MAX {
                return Err(malformed(format!("The request has more than {PAIRS_MAX} parameters")));
            }
            let split = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
            let name = decode(&pair[..split])?;
            let value = decode(pair.get(split + 1..).unwrap_or_default())?;
            root.insert(&name, value)?;
        }
        Ok(root)
    }

    fn insert(&mut self, name: &str, value: String) -> Result<(), Error> {
        let mut node = self;
        for (depth, segment) in name.split('.').enumerate() {
            if depth >= DEPTH_MAX {
                return Err(malformed(format!("The parameter {} is nested too deeply", shorten(name))));
            }
            node = match segment.parse::<u64>() {
                Ok(index) => node.items.entry(index).or_default(),
                Err(_) => node.members.entry(capitalised(segment)).or_default(),
            };
        }
        node.value = Some(value);
        Ok(())
    }

    /// A parameter that is this text.
    pub fn of(value: &str) -> Node {
        Node { value: Some(value.into()), ..Node::default() }
    }

    /// The text of this parameter itself.
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }

    /// A structure's member.
    pub fn member(&self, name: &str) -> Option<&Node> {
        self.members.get(name)
    }

    /// The text of a member.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.member(name)?.value()
    }

    /// A list's members with their numbers, in order.
    pub fn items(&self) -> impl Iterator<Item = (u64, &Node)> {
        self.items.iter().map(|(index, node)| (*index, node))
    }

    /// The names of the members, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    /// Every parameter that has a text, by its full name, in order.
    pub fn walk(&self, see: &mut impl FnMut(&str, &str)) {
        self.walk_below("", see);
    }

    fn walk_below(&self, name: &str, see: &mut impl FnMut(&str, &str)) {
        if let Some(value) = self.value() {
            see(name, value);
        }
        for (segment, node) in &self.members {
            node.walk_below(&crate::value::path(name, segment), see);
        }
        for (index, node) in &self.items {
            node.walk_below(&crate::value::path(name, &index.to_string()), see);
        }
    }

    /// A digest of the members that count: are two requests with one client token the same request?
    pub fn digest_where(&self, counts: impl Fn(&str) -> bool) -> u64 {
        let mut digest = Fnv::default();
        for (name, node) in self.members.iter().filter(|(name, _)| counts(name)) {
            digest.add(name.as_bytes());
            node.add_to(&mut digest);
        }
        digest.0
    }

    fn add_to(&self, digest: &mut Fnv) {
        digest.add(self.value.as_deref().unwrap_or("\0").as_bytes());
        for (name, node) in &self.members {
            digest.add(name.as_bytes());
            node.add_to(digest);
        }
        for (index, node) in &self.items {
            digest.add(&index.to_be_bytes());
            node.add_to(digest);
        }
        digest.add(b"\0end");
    }
}

/// FNV-1a, 64 bits: stable over releases, so a stored digest stays comparable.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for byte in (bytes.len() as u64).to_be_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// Percent-decodes, with `+` for a space.
fn decode(text: &[u8]) -> Result<String, Error> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16));
                match (digit(rest.next()), digit(rest.next())) {
                    (Some(high), Some(low)) => (high * 16 + low) as u8,
                    _ => return Err(malformed("The request has a broken percent escape".into())),
                }
            }
            other => *other,
        });
    }
    String::from_utf8(bytes).map_err(|_| malformed("The request is not UTF-8".into()))
}

fn capitalised(segment: &str) -> String {
    let mut letters = segment.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

fn shorten(name: &str) -> String {
    name.chars().take(64).collect()
}

fn malformed(message: String) -> Error {
    Error::new("MalformedQueryString", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_structures_case_and_escapes() {
        let node =
            Node::parse(b"action=X&Filter.2.Name=b&filter.1.Name=vpc-id&Filter.1.Value.1=a%2Bb+c&Empty=").unwrap();
        assert_eq!(node.text("Action"), Some("X"));
        assert_eq!(node.text("Empty"), Some(""));
        let names: Vec<_> = node.member("Filter").unwrap().items().map(|(n, f)| (n, f.text("Name").unwrap())).collect();
        assert_eq!(names, [(1, "vpc-id"), (2, "b")]);
        let first = node.member("Filter").unwrap().items().next().unwrap().1;
        assert_eq!(first.member("Value").unwrap().items().next().unwrap().1.value(), Some("a+b c"));
    }

    #[test]
    fn broken_escapes_and_bombs_are_refused() {
        for wrong in ["a=%", "a=%4", "a=%zz", "a=%ff", &"a.".repeat(50), &"a=1&".repeat(PAIRS_MAX + 1)] {
            assert_eq!(Node::parse(wrong.as_bytes()).unwrap_err().code, "MalformedQueryString");
        }
    }

    #[test]
    fn the_digest_sees_every_difference_but_the_excluded_ones() {
        let digest = |form: &str| Node::parse(form.as_bytes()).unwrap().digest_where(|name| name != "ClientToken");
        assert_eq!(digest("A=1&ClientToken=x"), digest("ClientToken=y&A=1"));
        for other in ["A=2", "A=1&B=1", "A.1=1", "A.B=1", "AA=1", "A="] {
            assert_ne!(digest("A=1"), digest(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = Node::parse(&bytes);
        }
    }
}
