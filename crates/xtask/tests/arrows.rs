//! The house stands as ARCHITECTURE.md draws it: arrows between crates, `no_std` walls, lint tables.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{Metadata, MetadataCommand};

/// Crates that cannot name a clock, a socket, a file or a randomised map.
const NO_STD: [&str; 4] = ["model", "wire", "policy", "reach"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn metadata() -> Metadata {
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().expect("cargo metadata works")
}

/// The rows of the table under "## Arrows".
fn allowed(document: &str) -> BTreeMap<String, BTreeSet<String>> {
    let section = document.split("\n## Arrows\n").nth(1).expect("the document has a section Arrows");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        let [krate, uses] = cells[..] else { return None };
        let uses = uses.split(',').map(str::trim).filter(|name| *name != "-").map(String::from).collect();
        Some((krate.to_string(), uses))
    });
    rows.skip(2).collect()
}

#[test]
fn crates_use_only_what_the_table_allows() {
    let document = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    let allowed = allowed(&document);
    assert!(allowed.len() >= 18, "the table was not found: {allowed:?}");
    let metadata = metadata();
    let ours: BTreeSet<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    for package in &metadata.packages {
        let row =
            allowed.get(package.name.as_str()).unwrap_or_else(|| panic!("{} has no row in the table", package.name));
        // Development dependencies too: a test that needs another arrow is a test in the wrong room.
        for dependency in
            package.dependencies.iter().filter(|d| ours.contains(d.name.as_str()) && d.name != package.name.as_str())
        {
            assert!(
                row.contains(&dependency.name),
                "{} uses {}, which ARCHITECTURE.md does not allow",
                package.name,
                dependency.name
            );
        }
    }
}

#[test]
fn a_forbidden_arrow_would_be_seen() {
    let table = "x\n## Arrows\n\n| crate | may use |\n|---|---|\n| a | b, c |\n| b | - |\n\n## Next\n| z | a |\n";
    let allowed = allowed(table);
    assert_eq!(allowed.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert!(allowed["a"].contains("c") && allowed["b"].is_empty());
}

#[test]
fn the_walls_stand() {
    for name in NO_STD {
        let source =
            std::fs::read_to_string(root().join("crates").join(name).join("src/lib.rs")).expect("the crate is there");
        assert!(
            source
                .lines()
                .any(|line| line.starts_with("#![no_std]") || line.starts_with("#![cfg_attr(not(test), no_std)]")),
            "{name} is not no_std"
        );
    }
}

#[test]
fn every_crate_has_the_lint_table_and_only_linux_its_own() {
    for package in metadata().packages {
        let manifest = std::fs::read_to_string(&package.manifest_path).expect("the manifest is there");
        let shared = manifest.contains("[lints]\nworkspace = true");
        if package.name.as_str() == "linux" {
            assert!(
                !shared && manifest.contains("undocumented_unsafe_blocks = \"deny\""),
                "linux has lost its own table"
            );
        } else {
            assert!(shared, "{} does not carry the workspace's lint table", package.name);
        }
    }
}
