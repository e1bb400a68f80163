//! Replays the corpus of the fuzz target `query`, and sends random forms through the same harness.

#![expect(clippy::disallowed_methods, reason = "a test reads its corpus from disk")]

#[path = "../../../fuzz/replay.rs"]
#[expect(dead_code, reason = "this corpus has no seeds")]
mod replay;

use proptest::prelude::*;

fn run(input: &[u8]) {
    ec2::fuzz::query(input, |document| {
        roxmltree::Document::parse(document).unwrap_or_else(|error| panic!("{error}: {document}"));
    });
}

#[test]
fn every_file_of_the_corpus_passes_the_harness() {
    replay::Corpus::of("query").replay(20..=200, run);
}

/// Names and values as clients write them, and as they do not.
fn form() -> impl Strategy<Value = String> {
    let segment = prop_oneof![
        4 => proptest::sample::select(&SEGMENTS[..]).prop_map(str::to_owned),
        2 => (0_u64..4).prop_map(|number| number.to_string()),
        1 => "[ -~]{0,6}",
    ];
    let name = proptest::collection::vec(segment, 1..5).prop_map(|segments| segments.join("."));
    let value = prop_oneof![
        3 => proptest::sample::select(&VALUES[..]).prop_map(str::to_owned),
        1 => "\\PC{0,12}",
        1 => "[%&=+.a-f0-9]{0,12}",
    ];
    let pairs = proptest::collection::vec((name, value).prop_map(|(name, value)| format!("{name}={value}")), 0..12);
    let action = proptest::sample::select(ec2::action::NAMES);
    (action, pairs).prop_map(|(action, pairs)| format!("Action={action}&Version=2016-11-15&{}", pairs.join("&")))
}

const SEGMENTS: [&str; 20] = [
    "VpcId",
    "CidrBlock",
    "Filter",
    "Name",
    "Value",
    "Tag",
    "Key",
    "TagSpecification",
    "ResourceType",
    "IpPermissions",
    "IpRanges",
    "CidrIp",
    "GroupId",
    "NetworkInterface",
    "DeviceIndex",
    "SubnetId",
    "MaxResults",
    "DryRun",
    "UserData",
    "InstanceId",
];
const VALUES: [&str; 12] = [
    "vpc-0123456789abcdef0",
    "10.0.0.0/16",
    "10.0.0.1",
    "::/0",
    "true",
    "-1",
    "65536",
    "99999999999999999999",
    "",
    "tag:x",
    "%00",
    "%E2%80%AE",
];

proptest! {
    #[test]
    fn any_form_passes_the_harness(form in form()) {
        run(form.as_bytes());
    }

    #[test]
    fn any_bytes_pass_the_harness(bytes: Vec<u8>) {
        run(&bytes);
    }
}
