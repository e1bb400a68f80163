//! The units of docs/operating/systemd, held against systemd's own checks.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Exposure beyond which a unit has lost some of its hardening, in tenths, as `systemd-analyze security` counts it.
const UNITS: [(&str, u32); 2] = [("peerway-server.service", 15), ("peerway-agent.service", 60)];

/// A copy that starts the program under test.
fn unit(directory: &Path, name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operating/systemd").join(name);
    let text = std::fs::read_to_string(path).expect("the unit is there");
    assert!(text.contains("\nExecStart=/usr/bin/peerway "), "{text}");
    let copy = directory.join(name);
    std::fs::write(&copy, text.replace("/usr/bin/peerway", env!("CARGO_BIN_EXE_peerway"))).expect("written");
    copy
}

fn analyze(arguments: &[&str], unit: &Path) -> Output {
    let mut command = Command::new("systemd-analyze");
    command.arg("--no-pager").args(arguments).arg(unit).env("SYSTEMD_LOG_LEVEL", "info");
    command.output().unwrap_or_else(|error| panic!("systemd-analyze is needed (apt-get install systemd): {error}"))
}

#[test]
fn systemd_takes_the_units_and_finds_them_hardened() {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, exposure_max) in UNITS {
        let unit = unit(directory.path(), name);
        let verified = analyze(&["verify", "--man=no", "--recursive-errors=no"], &unit);
        assert!(verified.status.success() && verified.stderr.is_empty(), "{verified:?}");
        let secure = analyze(&["security", "--offline=true", &format!("--threshold={exposure_max}")], &unit);
        assert!(secure.status.success(), "{}", String::from_utf8_lossy(&secure.stdout));
    }
}

#[test]
fn the_words_of_the_units_are_options_of_the_program() {
    for (name, _) in UNITS {
        let directory = tempfile::tempdir().expect("a directory");
        let text = std::fs::read_to_string(unit(directory.path(), name)).expect("read");
        let start = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("it starts something");
        let mut words = start.split(' ');
        let program = words.next().expect("a program");
        let help =
            Command::new(program).args([words.next().expect("a command"), "--help"]).output().expect("it starts");
        let help = String::from_utf8_lossy(&help.stdout);
        for option in words.filter(|word| word.starts_with("--")) {
            assert!(help.contains(&format!("{option} ")), "{name}: {option}");
        }
    }
}
