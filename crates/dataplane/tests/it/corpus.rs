//! Replays the corpus of the fuzz target `esp`, holds its seeds against what makes them, and sends random records the same way.

#![expect(clippy::disallowed_methods, reason = "a test reads its corpus from disk")]

#[path = "../../../../fuzz/replay.rs"]
mod replay;

use proptest::prelude::*;
use replay::Corpus;

use crate::world::fuzz;

#[test]
fn every_file_of_the_corpus_passes_the_harness() {
    Corpus::of("esp").replay(1..=500, |bytes| {
        fuzz::esp(bytes);
    });
}

#[test]
fn every_seed_is_in_the_corpus() {
    Corpus::of("esp").holds(fuzz::seeds(), "cargo run -p dataplane --example corpus_esp");
}

#[test]
fn seeds_are_delivered_or_not_as_their_names_say() {
    let delivered = |names: &[&str]| {
        let count = |name: &&str| {
            let (_, bytes) = fuzz::seeds().into_iter().find(|(seed, _)| seed == name).unwrap();
            fuzz::esp(&bytes)
        };
        names.iter().map(count).collect::<Vec<_>>()
    };
    assert_eq!(delivered(&["v4-udp", "v6-udp", "v4-ping", "v6-ping", "within-vpc", "hidden-length"]), [1; 6]);
    assert_eq!(
        delivered(&["one-receive", "replayed", "tcp-stream", "fragments", "fragments-last-first"]),
        [2, 2, 1, 3, 3]
    );
    assert_eq!(delivered(&["keepalive", "ike", "short", "unknown-spi", "segment-zero", "cut", "empty"]), [0; 7]);
    assert_eq!(delivered(&["changed-number", "changed-body", "changed-icv", "dummy", "version"]), [0; 5]);
    assert_eq!(delivered(&["next-header", "nothing-inside", "wrong-checksum"]), [0; 3]);
    assert_eq!(delivered(&["lie-other-host", "lie-other-vpc", "lie-unowned", "lie-domain"]), [0; 4]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Seeds one behind the other, with a byte changed, and bytes that nobody wrote.
    #[test]
    fn rows_of_any_records(
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        at in any::<prop::sample::Index>(),
        xor in any::<u8>(),
        odd in prop::collection::vec(any::<u8>(), 1..60),
    ) {
        let seeds = fuzz::seeds();
        let mut row: Vec<u8> = picks.iter().flat_map(|pick| seeds[pick.index(seeds.len())].1.clone()).collect();
        row.extend(odd);
        let at = at.index(row.len());
        row[at] ^= xor;
        fuzz::esp(&row);
    }
}
