//! Does any form or signature break the parser, or an error its document? The harness is `ec2::fuzz::query`; the property test and the corpus replay run the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ec2::fuzz::query(input, |document| {
    roxmltree::Document::parse(document).expect("well-formed");
}));
