//! Files of one JSON object a line; empty lines and those that begin with `#` or `//` say nothing.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

/// A line that says something.
pub struct Line {
    /// Counted from 1.
    pub number: usize,
    pub text: String,
}

/// The longest file, in bytes: what fits into a request.
const LEN_MAX: u64 = 512 << 10;

/// # Errors
/// A file that cannot be read, is too long, or says nothing; a line that is no JSON object.
pub fn read(path: &Path) -> anyhow::Result<Vec<Line>> {
    let name = path.display();
    let len = fs::metadata(path).with_context(|| format!("cannot read {name}"))?.len();
    if len > LEN_MAX {
        bail!("{name} has {len} bytes; at most {LEN_MAX} are read, split it");
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    let mut lines = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let (number, text) = (at + 1, line.trim());
        if text.is_empty() || text.starts_with('#') || text.starts_with("//") {
            continue;
        }
        serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text)
            .with_context(|| format!("{name} line {number} is no JSON object"))?;
        lines.push(Line { number, text: text.into() });
    }
    if lines.is_empty() {
        bail!("{name} holds no JSON object");
    }
    Ok(lines)
}
