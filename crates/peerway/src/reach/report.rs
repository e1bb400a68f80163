//! The service's answer: read from its XML, shown as JSON.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What `ExplainReachability` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Every packet that was asked about passes.
    pub reachable: bool,
    pub verdict: String,
    /// Whether it is so without the calls of `--what-if`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reachable_now: Option<bool>,
    pub answers: Vec<Answer>,
    pub assumptions: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub ip_version: u8,
    pub reachable: bool,
    pub verdict: String,
    pub protocol: String,
    pub source_interface: String,
    pub source_address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_interface: Option<String>,
    pub destination_address: String,
    pub cases: Vec<Case>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// Of a set: `10.0.0.4`, or `10.0.0.6-10.0.0.9`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub destinations: Vec<String>,
    /// Nobody has these destinations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vacant: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_ports: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_ports: Option<String>,
    pub reachable: bool,
    pub complete: bool,
    pub forward: Vec<Hop>,
    pub back: Vec<Hop>,
    pub blockers: Vec<Blocker>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    pub stage: String,
    pub passes: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    pub text: String,
    pub vpc: String,
    pub account: String,
    pub region: String,
    pub header_before: String,
    pub header_after: String,
    pub blocker_numbers: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocker {
    pub number: u32,
    pub way: String,
    pub stage: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation_code: Option<String>,
    pub text: String,
    pub vpc: String,
    pub account: String,
    pub region: String,
    pub mends: Vec<Mend>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mend {
    pub account: String,
    pub region: String,
    pub aws_cli: String,
    pub terraform: String,
}

impl Report {
    /// Reads the document of an answer; `None`: it is another document.
    pub fn read(document: &str) -> Option<Report> {
        let document = roxmltree::Document::parse(document).ok()?;
        let result = document.root_element().children().find(|node| node.tag_name().name().ends_with("Result"))?;
        serde_json::from_value(value(result)).ok()
    }
}

/// Members that are lists, empty or not.
const LISTS: [&str; 10] = [
    "Answers",
    "Cases",
    "Sources",
    "Destinations",
    "Forward",
    "Back",
    "Blockers",
    "BlockerNumbers",
    "Mends",
    "Assumptions",
];
/// Members that are numbers.
const NUMBERS: [&str; 2] = ["IpVersion", "Number"];

fn value(node: roxmltree::Node<'_, '_>) -> Value {
    let name = node.tag_name().name();
    let children = || node.children().filter(roxmltree::Node::is_element);
    if LISTS.contains(&name) {
        let number = |text: &str| text.parse::<u32>().map_or_else(|_| text.into(), Value::from);
        return children()
            .map(|item| match name {
                "BlockerNumbers" => number(item.text().unwrap_or_default()),
                // Texts, whatever they look like.
                "Sources" | "Destinations" => item.text().unwrap_or_default().into(),
                _ => value(item),
            })
            .collect();
    }
    if children().next().is_some() {
        let members: Map<String, Value> =
            children().map(|child| (snake(child.tag_name().name()), value(child))).collect();
        return Value::Object(members);
    }
    match node.text().unwrap_or_default() {
        "true" => true.into(),
        "false" => false.into(),
        text if NUMBERS.contains(&name) => text.parse::<u32>().map_or(Value::Null, Value::from),
        text => text.into(),
    }
}

/// `HeaderBefore` becomes `header_before`.
fn snake(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push('_');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}
