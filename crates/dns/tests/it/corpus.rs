//! Replays the corpus of the fuzz target `dns`, and sends random bytes through the same harness.

#![expect(clippy::disallowed_methods, reason = "a test reads its corpus from disk")]

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use crate::world::Cloud;
use dns::fuzz;

/// What the folder may hold, finds of the fuzzer included, so that a replay stays quick.
const FILES_MAX: usize = 200;

fn run(bytes: &[u8]) {
    thread_local!(static HARNESS: (dns::Resolver, model::VpcId) = {
        let cloud = Cloud::for_fuzzing();
        (cloud.resolver(), cloud.own)
    });
    HARNESS.with(|(resolver, vpc)| fuzz::dns(resolver, *vpc, bytes));
}

#[test]
fn every_file_of_the_corpus_passes_the_harness() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/dns");
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("the corpus `{}` is missing: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    files.sort();
    assert!(
        (8..=FILES_MAX).contains(&files.len()),
        "{} files: minimise the corpus with `cargo fuzz cmin dns`",
        files.len()
    );
    for file in files {
        println!("{}", file.display());
        run(&fs::read(file).expect("a readable file"));
    }
}

proptest! {
    #[test]
    fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        run(&bytes);
    }

    /// A question with one byte changed, or cut short: nearly right is what goes wrong.
    #[test]
    fn nor_do_bytes_that_are_nearly_right(kind in any::<u16>(), at in 0..80_usize, byte: u8, len in 0..90_usize) {
        let mut bytes = crate::world::query("round.corp.example.", kind.into()).to_vec().unwrap();
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        bytes.truncate(len.max(12));
        run(&bytes);
    }
}
