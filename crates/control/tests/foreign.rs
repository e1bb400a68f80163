//! The services that speak JSON: public parameters and log groups.

mod common;

use common::*;
use ec2::service::Service;
use ec2::{Caller, Error};
use serde_json::{Value, json};

fn call(cloud: &mut Harness, service: Service, operation: &str, account: &str, body: &Value) -> Result<Value, Error> {
    let caller = Caller::root(account.parse().unwrap());
    let body = body.to_string();
    let (document, changes) = control::foreign::handle(
        &cloud.world,
        &caller,
        service,
        operation,
        body.as_bytes(),
        &cloud.config,
        seed(),
        cloud.now,
    )?;
    assert!(changes.is_empty() || !control::foreign::is_read(operation), "{operation} only reads");
    cloud.world = cloud.world.apply(&changes);
    Ok(serde_json::from_str(&document).unwrap())
}

fn ssm(operation: &str, body: &Value) -> Result<Value, Error> {
    call(&mut Harness::new(), Service::Ssm, operation, ALICE, body)
}

const AL2023: &str = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64";

#[test]
fn public_parameters_name_images() {
    let one = ssm("GetParameter", &json!({ "Name": AL2023, "WithDecryption": true })).unwrap();
    let image = one["Parameter"]["Value"].as_str().unwrap().to_owned();
    let mut cloud = Harness::new();
    let shown = cloud.ok(ALICE, &format!("Action=DescribeImages&ImageId.1={image}"));
    assert!(text(&shown, "name").starts_with("al2023-ami-2023"));
    let arn = format!("arn:aws:ssm:us-east-1::parameter{AL2023}");
    assert_eq!(ssm("GetParameter", &json!({ "Name": arn })).unwrap()["Parameter"]["Value"], image);
    let many = ssm("GetParameters", &json!({ "Names": [AL2023, "/mine"] })).unwrap();
    assert_eq!(
        (many["Parameters"][0]["Name"].as_str(), many["InvalidParameters"][0].as_str()),
        (Some(AL2023), Some("/mine"))
    );
    let below = ssm("GetParametersByPath", &json!({ "Path": "/aws/service/ami-amazon-linux-latest/" })).unwrap();
    assert!(below["Parameters"].as_array().unwrap().len() > 5);
    for (operation, body, code) in [
        ("GetParameter", json!({ "Name": "/mine" }), "ParameterNotFound"),
        ("GetParameter", json!({}), "InvalidParameterException"),
        ("GetParameter", json!({ "Name": 1 }), "SerializationException"),
        ("GetParameter", json!([]), "SerializationException"),
        ("GetParameters", json!({ "Names": [] }), "ValidationException"),
        ("PutParameter", json!({}), "UnknownOperationException"),
    ] {
        assert_eq!(ssm(operation, &body).unwrap_err().code, code, "{operation} {body}");
    }
}

#[test]
fn log_groups_are_each_accounts_own() {
    let mut cloud = Harness::new();
    let mut logs =
        |operation: &str, account: &str, body: Value| call(&mut cloud, Service::Logs, operation, account, &body);
    let name = json!({ "logGroupName": "/vpc/flows" });
    logs("CreateLogGroup", ALICE, json!({ "logGroupName": "/vpc/flows", "tags": { "team": "x" } })).unwrap();
    assert_eq!(logs("CreateLogGroup", ALICE, name.clone()).unwrap_err().code, "ResourceAlreadyExistsException");
    logs("CreateLogGroup", BOB, name.clone()).unwrap();
    logs("PutRetentionPolicy", ALICE, json!({ "logGroupName": "/vpc/flows", "retentionInDays": 7 })).unwrap();
    let shown = logs("DescribeLogGroups", ALICE, json!({ "logGroupNamePrefix": "/vpc" })).unwrap();
    let groups = shown["logGroups"].as_array().unwrap();
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0]["retentionInDays"], 7);
    assert_eq!(groups[0]["arn"], "arn:aws:logs:us-east-1:111111111111:log-group:/vpc/flows:*");
    let arn = json!({ "resourceArn": "arn:aws:logs:us-east-1:111111111111:log-group:/vpc/flows" });
    assert_eq!(logs("ListTagsForResource", ALICE, arn.clone()).unwrap()["tags"], json!({ "team": "x" }));
    let mut more = arn.clone();
    more["tags"] = json!({ "more": "y" });
    logs("TagResource", ALICE, more).unwrap();
    let mut less = arn.clone();
    less["tagKeys"] = json!(["team"]);
    logs("UntagResource", ALICE, less).unwrap();
    assert_eq!(logs("ListTagsForResource", ALICE, arn).unwrap()["tags"], json!({ "more": "y" }));
    logs("DeleteLogGroup", ALICE, name.clone()).unwrap();
    assert_eq!(logs("DeleteLogGroup", ALICE, name.clone()).unwrap_err().code, "ResourceNotFoundException");
    assert_eq!(logs("DescribeLogGroups", BOB, json!({})).unwrap()["logGroups"].as_array().unwrap().len(), 1);
    for (operation, body, code) in [
        ("CreateLogGroup", json!({ "logGroupName": "a b" }), "InvalidParameterException"),
        ("CreateLogGroup", json!({ "logGroupName": "ab", "tags": { "k": 1 } }), "SerializationException"),
        ("CreateLogGroup", json!({ "logGroupName": "ab", "logGroupClass": "GOLD" }), "InvalidParameterException"),
        (
            "PutRetentionPolicy",
            json!({ "logGroupName": "/vpc/flows", "retentionInDays": 2 }),
            "InvalidParameterException",
        ),
        ("DescribeLogGroups", json!({ "limit": 51 }), "InvalidParameterException"),
        ("PutLogEvents", json!({}), "UnknownOperationException"),
    ] {
        assert_eq!(logs(operation, BOB, body.clone()).unwrap_err().code, code, "{operation} {body}");
    }
}

#[test]
fn log_groups_come_in_pages() {
    let mut cloud = Harness::new();
    for n in 0..7 {
        call(&mut cloud, Service::Logs, "CreateLogGroup", ALICE, &json!({ "logGroupName": format!("g{n}") })).unwrap();
    }
    let (mut seen, mut asked) = (Vec::new(), json!({ "limit": 3 }));
    loop {
        let page = call(&mut cloud, Service::Logs, "DescribeLogGroups", ALICE, &asked).unwrap();
        let names = page["logGroups"].as_array().unwrap().iter();
        seen.extend(names.map(|group| group["logGroupName"].as_str().unwrap().to_owned()));
        match page.get("nextToken") {
            Some(next) => asked["nextToken"] = next.clone(),
            None => break,
        }
    }
    assert_eq!(seen, ["g0", "g1", "g2", "g3", "g4", "g5", "g6"]);
    cloud.config.quotas.log_groups = 7;
    let refused = call(&mut cloud, Service::Logs, "CreateLogGroup", ALICE, &json!({ "logGroupName": "g8" }));
    assert_eq!(refused.unwrap_err().code, "LimitExceededException");
}
