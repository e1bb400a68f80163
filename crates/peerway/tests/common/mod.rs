//! What the tests of the binary share: `peerway up` as a child process, and a small client of its API.

#![allow(dead_code, clippy::allow_attributes, reason = "each test program uses its own part of this")]

pub mod api;
pub mod machine;
pub mod running;

use std::time::{Duration, Instant};

/// Polls until it holds; fails after 20 s.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
