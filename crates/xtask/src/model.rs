//! `cargo xtask model`: takes the names of actions and members out of botocore's EC2 model, for the actions of our table. Names and
//! nesting are facts of the protocol; nothing else is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::run::root;

const TABLE: &str = "crates/ec2/src/action.rs";
const FOLDER: &str = "crates/ec2/model";
const MODEL: &str = "data/ec2/2016-11-15/service-2.json.gz";
const DEPTH_MAX: usize = 12;

/// Writes `requests.txt` and `responses.txt`.
///
/// # Errors
/// Without a Python that has botocore, and where the model has no such action.
pub fn write() -> anyhow::Result<()> {
    let (folder, version) = botocore()?;
    let model = read(&folder.join(MODEL))?;
    let actions = actions(&std::fs::read_to_string(root().join(TABLE))?)?;
    for (file, direction) in [("requests.txt", Direction::Input), ("responses.txt", Direction::Output)] {
        let text = document(&model, &actions, direction, &version)?;
        let path = root().join(FOLDER).join(file);
        std::fs::create_dir_all(root().join(FOLDER))?;
        std::fs::write(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}: {} actions, {} bytes", path.display(), actions.len(), text.len());
    }
    Ok(())
}

/// Where botocore is, and its version: of the client tests' environment, else of the machine.
fn botocore() -> anyhow::Result<(PathBuf, String)> {
    const ASK: &str = "import botocore, os; print(os.path.dirname(botocore.__file__)); print(botocore.__version__)";
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    for python in [target.join("clients/venv/bin/python"), "python".into(), "python3".into()] {
        let Ok(answer) = Command::new(&python).args(["-c", ASK]).output() else { continue };
        let text = String::from_utf8_lossy(&answer.stdout).into_owned();
        if let Some((folder, version)) = text.trim().split_once('\n') {
            return Ok((folder.into(), version.into()));
        }
    }
    bail!("no Python has botocore; run tests/clients/run.py once, or `pip install botocore`")
}

fn read(path: &Path) -> anyhow::Result<Value> {
    let answer = Command::new("gzip").arg("-dc").arg(path).output().context("cannot start `gzip`")?;
    if !answer.status.success() {
        bail!("`gzip -dc {}` failed: {}", path.display(), String::from_utf8_lossy(&answer.stderr));
    }
    Ok(serde_json::from_slice(&answer.stdout)?)
}

/// The words of the table of actions.
fn actions(source: &str) -> anyhow::Result<BTreeSet<String>> {
    let table = source.split_once("$callback! {").and_then(|(_, rest)| rest.split_once('}'));
    let (table, _) = table.with_context(|| format!("{TABLE} has no table of actions"))?;
    let words = table.split([',', ';']).filter_map(|word| word.rsplit(':').next()).map(str::trim);
    Ok(words.filter(|word| !word.is_empty()).map(Into::into).collect())
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Input,
    Output,
}

impl Direction {
    fn key(self) -> &'static str {
        match self {
            Direction::Input => "input",
            Direction::Output => "output",
        }
    }

    /// How a member is called on the wire (botocore: EC2QuerySerializer, EC2QueryParser).
    fn wire(self, name: &str, member: &Value) -> String {
        let text = |key: &str| member.get(key).and_then(Value::as_str);
        match (self, text("queryName"), text("locationName")) {
            (Direction::Input, Some(name), _) => name.into(),
            (Direction::Input, None, Some(name)) => capitalised(name),
            (Direction::Output, _, Some(name)) => name.into(),
            (_, _, None) => name.into(),
        }
    }
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

fn document(model: &Value, actions: &BTreeSet<String>, direction: Direction, version: &str) -> anyhow::Result<String> {
    let mut text = format!("# Names of the EC2 API by action, from botocore {version}; made by `cargo xtask model`.\n");
    let mut shapes = BTreeMap::new();
    for action in actions {
        let operation = model.pointer(&format!("/operations/{action}"));
        let operation = operation.with_context(|| format!("EC2's model has no action {action}"))?;
        let shape = operation.pointer(&format!("/{}/shape", direction.key())).and_then(Value::as_str);
        let members = shape.map(|shape| members(model, shape, direction, &mut shapes, 0)).transpose()?;
        writeln!(text, "{action}{}", members.unwrap_or_default())?;
    }
    for (name, members) in shapes {
        writeln!(text, "= {name}{members}")?;
    }
    Ok(text)
}

/// The members of a structure, each behind a space; the structures below them are put among `shapes`.
fn members(
    model: &Value,
    name: &str,
    direction: Direction,
    shapes: &mut BTreeMap<String, String>,
    depth: usize,
) -> anyhow::Result<String> {
    if depth > DEPTH_MAX {
        bail!("the structure {name} is nested more than {DEPTH_MAX} deep");
    }
    let shape = &model["shapes"][name];
    let is_required = |member: &str| {
        let names = shape.get("required").and_then(Value::as_array);
        names.is_some_and(|names| names.iter().any(|name| name == member))
    };
    let mut words = BTreeMap::new();
    for (member, described) in shape.get("members").and_then(Value::as_object).into_iter().flatten() {
        let wire = direction.wire(member, described);
        let below = described["shape"].as_str().with_context(|| format!("{name}.{member} has no shape"))?;
        let (is_list, below) = match model["shapes"][below]["type"].as_str() {
            Some("list") => {
                let item = model["shapes"][below].pointer("/member/shape").and_then(Value::as_str);
                (true, item.with_context(|| format!("the list {below} has no items"))?)
            }
            _ => (false, below),
        };
        let inside = match model["shapes"][below]["type"].as_str() {
            Some("structure") => {
                if !shapes.contains_key(below) {
                    let lines = members(model, below, direction, shapes, depth + 1)?;
                    shapes.insert(below.into(), lines);
                }
                below
            }
            Some("list" | "map") => bail!("{name}.{member} is a list of lists or a map, which EC2's protocol has not"),
            _ => "",
        };
        let form = match (is_list, inside) {
            (true, inside) => format!("[{inside}]"),
            (false, "") => String::new(),
            (false, inside) => format!("{{{inside}}}"),
        };
        let mark = if direction == Direction::Input && is_required(member) { "!" } else { "" };
        words.insert(wire, format!("{form}{mark}"));
    }
    Ok(words.into_iter().map(|(name, form)| format!(" {name}{form}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_by_its_words() {
        let source = "macro { ($callback:ident) => { $callback! {\n vpc: CreateVpc,\n DeleteVpc;\n acl: X; } } }";
        assert_eq!(actions(source).unwrap(), ["CreateVpc", "DeleteVpc", "X"].map(String::from).into());
    }

    #[test]
    fn members_are_called_as_on_the_wire() {
        let model: Value = serde_json::from_str(
            r#"{"operations": {"Do": {"input": {"shape": "In"}}},
                "shapes": {
                    "In": {"type": "structure", "required": ["A"], "members": {
                        "A": {"shape": "String", "locationName": "aName"},
                        "B": {"shape": "Strings", "locationName": "b", "queryName": "BName"},
                        "C": {"shape": "Things"}}},
                    "Strings": {"type": "list", "member": {"shape": "String"}},
                    "Things": {"type": "list", "member": {"shape": "Thing"}},
                    "Thing": {"type": "structure", "members": {"D": {"shape": "String"}}},
                    "String": {"type": "string"}}}"#,
        )
        .unwrap();
        let actions = BTreeSet::from(["Do".to_owned()]);
        let text = document(&model, &actions, Direction::Input, "1").unwrap();
        assert_eq!(text.lines().skip(1).collect::<Vec<_>>(), ["Do AName! BName[] C[Thing]", "= Thing D"]);
        assert!(document(&model, &BTreeSet::from(["Undo".to_owned()]), Direction::Input, "1").is_err());
    }
}
