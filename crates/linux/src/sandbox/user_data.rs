//! User data: what cloud-init does with it on an ordinary instance, as far as it is a program.
//!
//! A text that begins with `#!` runs as it says, any other text as a script of `/bin/sh`. What only cloud-init
//! understands (cloud-config, MIME archives, includes, gzip) is kept in a file, and the log says so.

use std::path::{Path, PathBuf};

/// Where user data lies in the instance, as cloud-init has it.
pub(super) const FILE: &str = "/var/lib/cloud/instance/user-data.txt";
/// Where it lies as a program.
pub(super) const SCRIPT: &str = "/var/lib/cloud/instance/scripts/part-001";

/// What is to be done with user data.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// There is none.
    Nothing,
    /// Run this command; the script is in [`SCRIPT`].
    Run(Vec<PathBuf>),
    /// Only keep it; it is of this kind.
    Keep(&'static str),
}

/// Decides by the first bytes.
pub(super) fn plan(user_data: &[u8]) -> Plan {
    let kinds: [(&[u8], &str); 9] = [
        (b"#cloud-config", "a cloud-config"),
        (b"#cloud-boothook", "a cloud-boothook"),
        (b"#cloud-config-archive", "a cloud-config archive"),
        (b"#include", "an include list"),
        (b"#part-handler", "a part handler"),
        (b"#upstart-job", "an upstart job"),
        (b"## template: jinja", "a jinja template"),
        (b"Content-Type:", "a MIME archive"),
        (b"\x1f\x8b", "gzip-compressed"),
    ];
    if user_data.is_empty() {
        return Plan::Nothing;
    }
    let lower = user_data[..user_data.len().min(64)].to_ascii_lowercase();
    let starts = |prefix: &[u8]| lower.starts_with(&prefix.to_ascii_lowercase());
    if let Some((_, kind)) = kinds.iter().find(|(prefix, _)| starts(prefix)) {
        return Plan::Keep(kind);
    }
    if starts(b"MIME-Version:") {
        return Plan::Keep("a MIME archive");
    }
    if user_data.starts_with(b"#!") {
        return Plan::Run(vec![PathBuf::from(SCRIPT)]);
    }
    if user_data.contains(&0) {
        return Plan::Keep("binary");
    }
    Plan::Run(["/bin/sh", SCRIPT].map(|word| Path::new(word).to_owned()).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_decide() {
        assert_eq!(plan(b""), Plan::Nothing);
        assert_eq!(plan(b"#!/usr/bin/python3\nprint(1)"), Plan::Run(vec![SCRIPT.into()]));
        assert_eq!(plan(b"echo hello"), Plan::Run(vec!["/bin/sh".into(), SCRIPT.into()]));
        assert_eq!(plan(b"# a comment\necho hello"), Plan::Run(vec!["/bin/sh".into(), SCRIPT.into()]));
        assert_eq!(plan(b"#cloud-config\npackages: [nginx]"), Plan::Keep("a cloud-config"));
        assert_eq!(plan(b"Mime-Version: 1.0\n"), Plan::Keep("a MIME archive"));
        assert_eq!(plan(b"\x1f\x8b\x08"), Plan::Keep("gzip-compressed"));
        assert_eq!(plan(b"\x7fELF\0"), Plan::Keep("binary"));
    }
}
