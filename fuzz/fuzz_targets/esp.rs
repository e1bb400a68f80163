//! Does anything from the underlay, sealed or not, break a host or get past it? The harness is the tests' own world of two hosts; the property test and the corpus replay run the same.
#![no_main]

#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../../crates/dataplane/tests/it/world/mod.rs"]
mod world;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    world::fuzz::esp(input);
});
