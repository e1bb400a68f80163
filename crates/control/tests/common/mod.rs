//! A cloud of one region in memory: requests in as query strings, documents or error codes out.

#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses its own part of this")]

use std::sync::atomic::{AtomicU64, Ordering};

use control::{Config, handle};
use ec2::{Caller, Error, Node, Request};
use model::*;

pub struct Harness {
    pub world: World,
    pub config: Config,
    pub now: Time,
}

pub const ALICE: &str = "111111111111";
pub const BOB: &str = "222222222222";

impl Harness {
    pub fn new() -> Harness {
        Harness::in_region("us-east-1")
    }

    pub fn in_region(region: &str) -> Harness {
        let mut config = Config::new(region.parse().unwrap());
        config.regions = ["us-east-1", "eu-west-1"].iter().map(|r| r.parse().unwrap()).collect();
        Harness { world: World::default(), config, now: Time::parse("2026-01-15T12:00:00Z").unwrap() }
    }

    /// The response document.
    pub fn call(&mut self, account: &str, query: &str) -> Result<String, Error> {
        self.answer(account, query).map(|(document, _)| document)
    }

    /// The response document, and the parameters that nobody knows.
    fn answer(&mut self, account: &str, query: &str) -> Result<(String, Vec<String>), Error> {
        let node = Node::parse(format!("Version=2016-11-15&{query}").as_bytes())?;
        let request = Request::parse(&node)?;
        let unknown = request.unknown.clone();
        let caller = Caller::root(account.parse().unwrap());
        let outcome = handle(&self.world, &caller, request, &self.config, seed(), self.now)?;
        self.world = self.world.apply(&outcome.changes);
        self.world.revision += 1;
        Ok((outcome.reply.render("11111111-2222-3333-4444-555555555555"), unknown))
    }

    /// The response document; the call must succeed.
    pub fn ok(&mut self, account: &str, query: &str) -> String {
        let answer = self.answer(account, query);
        let (document, unknown) = answer.unwrap_or_else(|error| panic!("{query}: {} {}", error.code, error.message));
        // A test whose request is misspelt proves nothing.
        assert_eq!(unknown, Vec::<String>::new(), "{query}");
        document
    }

    /// The error's code; the call must fail and change nothing.
    pub fn code(&mut self, account: &str, query: &str) -> String {
        self.error(account, query).code.into_owned()
    }

    pub fn error(&mut self, account: &str, query: &str) -> Error {
        let before = self.world.clone();
        match self.call(account, query) {
            Ok(document) => panic!("{query} succeeded: {document}"),
            Err(error) => {
                assert_eq!(self.world, before, "{query} failed and changed something");
                note(query, &error);
                error
            }
        }
    }
}

/// For `cargo xtask conformance`: that a test has seen this error of this action.
fn note(query: &str, error: &Error) {
    let Some(folder) = std::env::var_os("PEERWAY_CODES") else { return };
    let action = query.split('&').find_map(|pair| pair.strip_prefix("Action=")).unwrap_or_default();
    let file = std::path::Path::new(&folder).join(std::process::id().to_string());
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
    std::io::Write::write_all(&mut file, format!("{action} {}\n", error.code).as_bytes()).unwrap();
}

/// The text of the first element of that name.
pub fn text(document: &str, name: &str) -> String {
    texts(document, name).into_iter().next().unwrap_or_else(|| panic!("no <{name}> in {document}"))
}

/// The texts of all elements of that name.
pub fn texts(document: &str, name: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(document).unwrap();
    let named = document.descendants().filter(|node| node.tag_name().name() == name);
    named.map(|node| node.text().unwrap_or_default().to_owned()).collect()
}

/// Another seed each time, the same in every run.
pub fn seed() -> [u8; 32] {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    seed
}
