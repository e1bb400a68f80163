//! Does any message break a resolver, or make it say more than it may? The harness is `dns::fuzz::dns` over the tests' own cloud; the property test and the corpus replay run the same.
#![no_main]

#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../../crates/dns/tests/it/world.rs"]
mod world;

thread_local!(static HARNESS: (dns::Resolver, model::VpcId) = {
    let cloud = world::Cloud::for_fuzzing();
    (cloud.resolver(), cloud.own)
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    HARNESS.with(|(resolver, vpc)| dns::fuzz::dns(resolver, *vpc, input));
});
