//! `docs/conformance.md`: of every action, what EC2's model knows and what is there. `cargo xtask conformance` writes it; a page that is
//! out of date fails here.

#![expect(clippy::disallowed_methods, reason = "a test holds a file of the repository against the code")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use ec2::Members;
use ec2::action::{NAMES, writes};
use ec2::parameters::{ACCEPTED, Form, Model, Token, Tree, Values, tree};

const RESPONSES: &str = include_str!("../model/responses.txt");
const ERRORS: &str = include_str!("../model/errors.txt");

const INTRODUCTION: &str = "# Conformance

What of EC2's API is there, action by action. This page is made by `cargo xtask conformance` from EC2's model (botocore), from the shapes
of the code, and from the error codes that the tests of `control` meet; a test fails when it is out of date.

- **How far**: enforced, it does what EC2's does and packets obey; recorded, what it says is kept and shown, and nothing acts on it. What is
  not here is absent: `peerway actions` lists that too.
- **Parameters**: those that have an effect or are recorded, of those that EC2's model knows, counted with everything inside them. A
  parameter that EC2 knows and that is not there is refused with `UnsupportedOperation` and its name. Some are accepted although nothing
  comes of them: see [below](#accepted-without-effect). One that EC2 does not know either is ignored and logged, and with `--strict`
  refused with `UnknownParameter`.
- **Members**: those that an answer may have, of those that EC2's model knows.
- **Errors tested**: codes that a test has met.
";

/// Counts of leaves, and the paths of those that are not there.
#[derive(Default)]
struct Count {
    known: usize,
    there: usize,
    absent: Vec<String>,
}

impl Count {
    fn leaf(&mut self, path: &str, is_there: bool) {
        self.known += 1;
        self.there += usize::from(is_there);
        if !is_there {
            self.absent.push(path.to_owned());
        }
    }

    /// The paths that are not there; what lies below one that is not there at all is not listed.
    fn absent_in_short(&self, there: &[String]) -> Vec<String> {
        let mut short: Vec<String> = Vec::new();
        for path in &self.absent {
            let parts: Vec<&str> = path.split('.').collect();
            let whole = (1..parts.len()).map(|end| parts[..end].join(".")).find(|above| {
                let below = format!("{above}.");
                !there.iter().any(|path| path.starts_with(&below))
            });
            let name = whole.map_or_else(|| path.clone(), |above| format!("{above}.*"));
            if short.last() != Some(&name) && !short.contains(&name) {
                short.push(name);
            }
        }
        short
    }
}

fn count_parameters(above: &str, tree: &Tree, count: &mut Count, there: &mut Vec<String>) {
    for (name, known) in tree.iter().filter(|(_, known)| known.is_ec2s) {
        let path = format!("{above}{name}");
        if known.members.is_empty() {
            count.leaf(&path, known.is_read);
            if known.is_read {
                there.push(path);
            }
        } else {
            count_parameters(&format!("{path}."), &known.members, count, there);
        }
    }
}

fn count_members(
    model: &Model,
    above: &str,
    tokens: &[Token],
    ours: Option<Members>,
    count: &mut Count,
    there: &mut Vec<String>,
) {
    let ours = match ours {
        Some(Members::Structure(members)) => members,
        _ => Vec::new(),
    };
    for token in tokens {
        let path = format!("{above}{}", token.name);
        let own = ours.iter().find(|member| member.name == token.name).map(|member| (member.members)());
        let own = match own {
            Some(Members::List(item)) => Some(item()),
            other => other,
        };
        match token.form {
            Form::Value | Form::Values => {
                count.leaf(&path, own.is_some());
                if own.is_some() {
                    there.push(path);
                }
            }
            Form::Structure(shape) | Form::Structures(shape) => {
                count_members(model, &format!("{path}."), model.shape(shape), own, count, there);
            }
        }
    }
}

/// The error codes of each action.
fn errors() -> BTreeMap<&'static str, Vec<&'static str>> {
    let lines = ERRORS.lines().filter(|line| !line.starts_with('#'));
    let words = lines.map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    words.filter(|words| !words.is_empty()).map(|words| (words[0], words[1..].to_vec())).collect()
}

fn page() -> String {
    let (responses, errors) = (Model::parse(RESPONSES), errors());
    let mut table =
        String::from("| action | how far | parameters | members | errors tested |\n|---|---|---|---|---|\n");
    let mut absent = String::new();
    let mut names: Vec<&str> = NAMES.to_vec();
    names.sort_unstable();
    for name in names {
        let (mut parameters, mut there) = (Count::default(), Vec::new());
        count_parameters("", tree(name).unwrap(), &mut parameters, &mut there);
        let missing = parameters.absent_in_short(&there);
        let (mut members, mut there) = (Count::default(), Vec::new());
        // An action without output in the model answers `return`.
        count_members(&responses, "", responses.action(name), writes(name), &mut members, &mut there);
        let missing_members = members.absent_in_short(&there);
        let codes = errors.get(name).map(|codes| codes.join(", ")).unwrap_or_default();
        let of = |count: &Count| match count.known {
            0 => "-".to_owned(),
            known => format!("{} of {known}", count.there),
        };
        let how_far = ec2::support::Support::of(name).name();
        writeln!(table, "| {name} | {how_far} | {} | {} | {codes} |", of(&parameters), of(&members)).unwrap();
        if !missing.is_empty() || !missing_members.is_empty() {
            let list = |names: &[String]| match names {
                [] => "-".to_owned(),
                names => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
            };
            writeln!(absent, "| {name} | {} | {} |", list(&missing), list(&missing_members)).unwrap();
        }
    }
    let mut accepted = String::from("| action | parameter | values | because |\n|---|---|---|---|\n");
    for one in ACCEPTED {
        let values = match one.values {
            Values::Any => "any".to_owned(),
            Values::Only(values) => values.iter().map(|one| format!("`{one}`")).collect::<Vec<_>>().join(", "),
        };
        let action = if one.action == "*" { "any" } else { one.action };
        writeln!(accepted, "| {action} | `{}` | {values} | {} |", one.parameter, one.because).unwrap();
    }
    format!(
        "{INTRODUCTION}\n{table}\n## Accepted without effect\n\n{accepted}\n## Not there\n\n| action | parameters | members |\n|---|---|---|\n{absent}"
    )
}

#[test]
fn the_page_is_what_the_code_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/conformance.md");
    let page = page();
    if std::env::var_os("PEERWAY_CONFORMANCE").is_some_and(|what| what == "write") {
        std::fs::write(&path, &page).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = there.lines().zip(page.lines()).find(|(there, page)| there != page);
    assert!(there == page, "docs/conformance.md is out of date, run `cargo xtask conformance`; first: {differs:?}");
}

#[test]
fn no_action_is_known_by_a_name_that_ec2_has_not() {
    let codes = errors();
    let strange: Vec<_> = codes.keys().filter(|name| !NAMES.contains(name)).collect();
    // Tests ask for actions that are not there, too; their answer is one.
    assert!(strange.iter().all(|name| codes[**name] == ["InvalidAction"]), "{strange:?}");
}
