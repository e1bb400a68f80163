//! Replays the corpus of the fuzz target `keys`, holds its seeds against what makes them, and sends random scripts the same way.

#![expect(clippy::disallowed_methods, reason = "a test reads its corpus from disk")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;

/// What the folder may hold, finds of the fuzzer included, so that a replay stays quick.
const FILES_MAX: usize = 500;

fn corpus() -> BTreeMap<String, Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/keys");
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
    assert!(!corpus.is_empty(), "the corpus is empty: run `cargo run -p tunnel --example corpus_keys`");
    assert!(corpus.len() <= FILES_MAX, "{} files: minimise the corpus with `cargo fuzz cmin keys`", corpus.len());
    for (name, bytes) in &corpus {
        println!("{name}");
        tunnel::fuzz::keys(bytes);
    }
}

#[test]
fn every_seed_is_in_the_corpus() {
    let corpus = corpus();
    let seeds = tunnel::fuzz::seeds();
    assert!(seeds.len() >= 30, "only {} seeds", seeds.len());
    for (name, bytes) in seeds {
        let rewrite = "run `cargo run -p tunnel --example corpus_keys`";
        assert_eq!(corpus.get(name), Some(&bytes), "the seed `{name}` is missing or stale: {rewrite}");
    }
}

proptest! {
    /// Lines of the seeds in any order, and lines that nobody wrote.
    #[test]
    fn scripts_of_any_lines(
        picks in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..60),
        odd in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let seeds = tunnel::fuzz::seeds();
        let mut script = Vec::new();
        for (seed, line) in picks {
            let lines: Vec<&[u8]> = seeds[seed.index(seeds.len())].1.split(|byte| *byte == b'\n').collect();
            script.extend_from_slice(lines[line.index(lines.len())]);
            script.push(b'\n');
        }
        script.extend(odd);
        tunnel::fuzz::keys(&script);
    }
}
