//! `cargo xtask conformance`: which error codes the tests of `control` meet, action by action; then the page, which a test of `ec2`
//! makes and holds against the one that is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::Context;

use crate::run::{root, run};

const ERRORS: &str = "crates/ec2/model/errors.txt";

/// # Errors
/// When a test fails, or a file cannot be written.
pub fn write() -> anyhow::Result<()> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    let folder = target.join("conformance");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder)?;
    run("cargo", &["test", "--quiet", "--package", "control"], &[("PEERWAY_CODES", &folder.to_string_lossy())])?;
    let mut lines = String::new();
    for entry in std::fs::read_dir(&folder)? {
        lines += &std::fs::read_to_string(entry?.path())?;
    }
    std::fs::write(root().join(ERRORS), errors(&lines))?;
    run("cargo", &["test", "--quiet", "--package", "ec2", "--test", "conformance"], &[("PEERWAY_CONFORMANCE", "write")])
}

/// A line for each action, with its codes in order, from lines `action code`.
fn errors(lines: &str) -> String {
    let mut codes: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (action, code) in lines.lines().filter_map(|line| line.split_once(' ')) {
        codes.entry(action).or_default().insert(code);
    }
    let mut text = String::from("# Error codes that tests meet, by action; made by `cargo xtask conformance`.\n");
    for (action, codes) in codes.iter().filter(|(action, _)| !action.is_empty()) {
        // A String takes whatever is written.
        let _: std::fmt::Result = write!(text, "{action}");
        codes.iter().for_each(|code| text.extend([" ", code]));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_stand_once_and_in_order() {
        let text = errors("B y\nA x\nB x\nB y\n z\nnonsense\n");
        assert_eq!(text.lines().skip(1).collect::<Vec<_>>(), ["A x", "B x y"]);
    }
}
