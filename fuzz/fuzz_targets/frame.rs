//! Does any frame of a guest break a parser? The harness is `wire::fuzz::frame`; the property tests and the corpus replay run the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| wire::fuzz::frame(input));
