//! Replays the corpus of the fuzz target `dns`, and sends random bytes through the same harness.

#![expect(clippy::disallowed_methods, reason = "a test reads its corpus from disk")]

#[path = "../../../../fuzz/replay.rs"]
#[expect(dead_code, reason = "this corpus has no seeds")]
mod replay;

use proptest::prelude::*;

use crate::world::Cloud;
use dns::fuzz;

fn run(bytes: &[u8]) {
    thread_local!(static HARNESS: (dns::Resolver, model::VpcId) = {
        let cloud = Cloud::for_fuzzing();
        (cloud.resolver(), cloud.own)
    });
    HARNESS.with(|(resolver, vpc)| fuzz::dns(resolver, *vpc, bytes));
}

#[test]
fn every_file_of_the_corpus_passes_the_harness() {
    replay::Corpus::of("dns").replay(8..=200, run);
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
