//! A corpus of this folder, for the tests of the crate that its target is about. They have this file by its path: a crate for it would be one
//! more arrow from each brain.

use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

/// The files of a target's corpus, by name.
pub struct Corpus {
    target: &'static str,
    files: BTreeMap<String, Vec<u8>>,
}

impl Corpus {
    pub fn of(target: &'static str) -> Corpus {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        let entries = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("the corpus `{}` is missing: {error}", folder.display()));
        let files = entries.map(|entry| {
            let entry = entry.expect("a readable folder");
            let bytes = fs::read(entry.path()).expect("a readable file");
            (entry.file_name().to_string_lossy().into_owned(), bytes)
        });
        Corpus { target, files: files.collect() }
    }

    /// Runs each file; they must be so many, finds of the fuzzer included, so that a replay stays quick.
    pub fn replay(&self, count: RangeInclusive<usize>, run: impl Fn(&[u8])) {
        let (target, files) = (self.target, self.files.len());
        assert!(
            count.contains(&files),
            "{files} files, not {count:?}: minimise the corpus with `cargo fuzz cmin {target}`"
        );
        for (name, bytes) in &self.files {
            println!("{name}");
            run(bytes);
        }
    }

    /// Holds the files against the seeds; `rewrite` is the command that writes them.
    pub fn holds(&self, seeds: Vec<(&str, Vec<u8>)>, rewrite: &str) {
        assert!(seeds.len() >= 30, "only {} seeds", seeds.len());
        for (name, bytes) in seeds {
            assert_eq!(self.files.get(name), Some(&bytes), "the seed `{name}` is missing or stale: run `{rewrite}`");
        }
    }
}
