//! Replays the corpus of the fuzz target `frame`, and holds its seeds against the builders that made them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What the folder may hold, finds of the fuzzer included, so that a replay stays quick.
const FILES_MAX: usize = 500;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/frame")
}

fn corpus() -> BTreeMap<String, Vec<u8>> {
    let folder = folder();
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
    assert!(!corpus.is_empty(), "the corpus is empty: run `cargo run -p wire --example corpus`");
    assert!(corpus.len() <= FILES_MAX, "{} files: minimise the corpus with `cargo fuzz cmin frame`", corpus.len());
    for (name, bytes) in &corpus {
        println!("{name}");
        wire::fuzz::frame(bytes);
    }
}

#[test]
fn every_seed_is_in_the_corpus() {
    let corpus = corpus();
    let seeds = wire::fuzz::seeds();
    assert!(seeds.len() >= 30, "only {} seeds", seeds.len());
    for (name, bytes) in seeds {
        let rewrite = "run `cargo run -p wire --example corpus`";
        assert_eq!(corpus.get(name), Some(&bytes), "the seed `{name}` is missing or stale: {rewrite}");
    }
}

#[test]
fn seeds_parse_or_are_refused_as_their_names_say() {
    for (name, bytes) in wire::fuzz::seeds() {
        let (vnet, frame) = wire::vnet::VnetHeader::split(&bytes).expect("a virtio-net header");
        let packet = wire::Packet::parse(frame);
        assert_eq!(packet.is_err(), name.starts_with("refused-"), "{name}: {packet:?}");
        if let Ok(packet) = packet {
            assert_eq!(vnet.check(&packet), Ok(()), "{name}");
        }
    }
}
