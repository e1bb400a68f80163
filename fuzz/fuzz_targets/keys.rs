//! Does anything that hosts say on key sessions break the agreement? The harness is `tunnel::fuzz::keys`; the property test and the corpus replay run the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tunnel::fuzz::keys(input));
