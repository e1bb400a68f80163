//! Replays the corpus of the fuzz target `esp`, holds its seeds against what makes them, and sends random records the same way.

#![expect(clippy::disallowed_methods, reason = "a test reads its corpus from disk")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;

use crate::world::fuzz;

/// What the folder may hold, finds of the fuzzer included, so that a replay stays quick.
const FILES_MAX: usize = 500;

fn corpus() -> BTreeMap<String, Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/esp");
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("the corpus `{}` is missing: {e}", folder.display()));
    let files = entries.map(|entry| {
        let entry = entry.expect("a readable folder");
        let bytes = fs::read(entry.path()).expect("a readable file");
        (entry.file_name().to_string_lossy().into_owned(), bytes)
    });
    files.collect()
}

#[test]
fn every_file_of_the_corpus_passes_the_harness() {
    let corpus = corpus();
    assert!(!corpus.is_empty(), "the corpus is empty: run `cargo run -p dataplane --example corpus_esp`");
    assert!(corpus.len() <= FILES_MAX, "{} files: minimise the corpus with `cargo fuzz cmin esp`", corpus.len());
    for (name, bytes) in &corpus {
        println!("{name}");
        fuzz::esp(bytes);
    }
}

#[test]
fn every_seed_is_in_the_corpus() {
    let corpus = corpus();
    let seeds = fuzz::seeds();
    assert!(seeds.len() >= 30, "only {} seeds", seeds.len());
    for (name, bytes) in seeds {
        let rewrite = "run `cargo run -p dataplane --example corpus_esp`";
        assert_eq!(corpus.get(name), Some(&bytes), "the seed `{name}` is missing or stale: {rewrite}");
    }
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
