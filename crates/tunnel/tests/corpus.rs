//! Replays the corpus of the fuzz target `keys`, holds its seeds against what makes them, and sends random scripts the same way.

#![expect(clippy::disallowed_methods, reason = "a test reads its corpus from disk")]

#[path = "../../../fuzz/replay.rs"]
mod replay;

use proptest::prelude::*;
use replay::Corpus;

#[test]
fn every_file_of_the_corpus_passes_the_harness() {
    Corpus::of("keys").replay(1..=500, tunnel::fuzz::keys);
}

#[test]
fn every_seed_is_in_the_corpus() {
    Corpus::of("keys").holds(tunnel::fuzz::seeds(), "cargo run -p tunnel --example corpus_keys");
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
