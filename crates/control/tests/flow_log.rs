//! Flow logs through the API (spec 12.1).

mod common;
mod things;

use common::*;
use control::plan::vpc_slice;
use control::tick::{next, tick};
use model::*;
use things::*;

const S3: &str = "TrafficType=ALL&LogDestinationType=s3&LogDestination=arn:aws:s3:::logs";
const GROUP: &str = "TrafficType=REJECT&LogGroupName=g&DeliverLogsPermissionArn=arn:aws:iam::111111111111:role/r";

fn create(kind: &str, ids: &[&str], rest: &str) -> String {
    let ids: Vec<String> = ids.iter().enumerate().map(|(n, id)| format!("ResourceId.{}={id}", n + 1)).collect();
    format!("Action=CreateFlowLogs&ResourceType={kind}&{}&{rest}", ids.join("&"))
}

fn of_vpc(id: &str, rest: &str) -> String {
    create("VPC", &[id], rest)
}

fn describe(filter: &str, value: &str) -> String {
    format!("Action=DescribeFlowLogs&Filter.1.Name={filter}&Filter.1.Value.1={value}")
}

#[test]
fn made_shown_and_deleted() {
    let mut cloud = Harness::new();
    let id = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let tagged = "&TagSpecification.1.ResourceType=vpc-flow-log&TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=x";
    let made = cloud.ok(ALICE, &of_vpc(&id, &format!("{S3}{tagged}")));
    let log = texts(&made, "item").into_iter().next().expect("an id");
    assert!(log.starts_with("fl-") && !made.contains("<error>"), "{made}");
    let shown = cloud.ok(ALICE, &format!("Action=DescribeFlowLogs&FlowLogId.1={log}"));
    for (name, value) in [
        ("flowLogId", log.as_str()),
        ("flowLogStatus", "ACTIVE"),
        ("resourceId", &id),
        ("trafficType", "ALL"),
        ("logDestinationType", "s3"),
        ("logDestination", "arn:aws:s3:::logs"),
        ("deliverLogsStatus", "SUCCESS"),
        ("maxAggregationInterval", "600"),
        ("fileFormat", "plain-text"),
        ("hiveCompatiblePartitions", "false"),
        ("creationTime", "2026-01-15T12:00:00.000Z"),
        ("value", "x"),
        (
            "logFormat",
            "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} ${bytes} ${start} ${end} ${action} ${log-status}",
        ),
    ] {
        assert_eq!(text(&shown, name), value, "{name}");
    }
    assert!(!shown.contains("logGroupName") && !shown.contains("deliverLogsPermissionArn"));
    assert_eq!(texts(&cloud.ok(BOB, "Action=DescribeFlowLogs"), "flowLogId"), [""; 0]);
    let delete = format!("Action=DeleteFlowLogs&FlowLogId.1={log}");
    assert_eq!(cloud.code(BOB, &delete), "InvalidFlowLogId.NotFound");
    cloud.ok(ALICE, &delete);
    assert_eq!(
        cloud.error(ALICE, &delete).message,
        format!("These flow log ids in the input list are not found: [TotalCount: 1] {log}")
    );
    assert_eq!(cloud.code(ALICE, &format!("Action=DescribeFlowLogs&FlowLogId.1={log}")), "InvalidFlowLogId.NotFound");
    assert_eq!(cloud.code(ALICE, "Action=DeleteFlowLogs&FlowLogId.1=fl-x"), "InvalidFlowLogId.Malformed");
    assert_eq!(cloud.code(ALICE, "Action=DeleteFlowLogs"), "MissingParameter");
}

#[test]
fn several_resources_some_of_which_are_not_there() {
    let mut cloud = Harness::new();
    let (one, two) = (vpc(&mut cloud, ALICE, "10.0.0.0/16"), vpc(&mut cloud, ALICE, "10.1.0.0/16"));
    let foreign = vpc(&mut cloud, BOB, "10.0.0.0/16");
    let unknown = "vpc-0123456789abcdef0";
    let made = cloud.ok(ALICE, &create("VPC", &[&one, &foreign, unknown, &two], S3));
    assert_eq!(texts(&made, "resourceId"), [foreign.as_str(), unknown]);
    assert_eq!(texts(&made, "code"), ["InvalidVpcID.NotFound"; 2]);
    assert_eq!(texts(&made, "message")[1], format!("The vpc ID '{unknown}' does not exist"));
    let shown = cloud.ok(ALICE, "Action=DescribeFlowLogs");
    let mut covered = texts(&shown, "resourceId");
    covered.sort();
    let mut expected = [one.clone(), two];
    expected.sort();
    assert_eq!(covered, expected);
    // An id of another kind, or none at all, fails the call.
    assert_eq!(cloud.code(ALICE, &create("Subnet", &[&one], S3)), "InvalidSubnetID.Malformed");
    assert_eq!(cloud.code(ALICE, &create("VPC", &[], S3)), "MissingParameter");
    let many: Vec<&str> = vec![unknown; 1001];
    assert_eq!(cloud.code(ALICE, &create("VPC", &many, S3)), "InvalidParameterValue");
}

#[test]
fn filters() {
    let mut cloud = Harness::new();
    let id = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    cloud.ok(ALICE, &of_vpc(&id, S3));
    cloud.ok(ALICE, &of_vpc(&id, GROUP));
    for (filter, value, kind) in [
        ("traffic-type", "REJECT", "cloud-watch-logs"),
        ("traffic-type", "ALL", "s3"),
        ("log-group-name", "g", "cloud-watch-logs"),
        ("log-destination-type", "s3", "s3"),
    ] {
        let shown = cloud.ok(ALICE, &describe(filter, value));
        assert_eq!(texts(&shown, "logDestinationType"), [kind], "{filter}");
    }
    for (filter, value) in [("resource-id", id.as_str()), ("deliver-log-status", "SUCCESS"), ("flow-log-id", "fl-*")] {
        assert_eq!(texts(&cloud.ok(ALICE, &describe(filter, value)), "flowLogId").len(), 2, "{filter}");
    }
    assert_eq!(cloud.code(ALICE, &describe("vpc-id", &id)), "InvalidParameterValue");
    assert_eq!(cloud.code(ALICE, "Action=DescribeFlowLogs&MaxResults=4"), "InvalidParameterValue");
}

#[test]
fn what_cannot_be_logged_is_refused_with_aws_words() {
    let mut cloud = Harness::new();
    let id = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let s3 = "LogDestinationType=s3&LogDestination=arn:aws:s3:::logs";
    let parameter = "InvalidParameter";
    let value = "InvalidParameterValue";
    for (rest, code, message) in [
        (s3.to_owned(), "MissingParameter", "The request must contain the parameter TrafficType"),
        (format!("{s3}&TrafficType=Accept"), value, ""),
        (format!("{S3}&MaxAggregationInterval=10"), parameter, "Invalid Flow Log Max Aggregation Interval"),
        (
            "TrafficType=ALL&LogDestinationType=s3".into(),
            parameter,
            "LogDestination can't be empty if LogGroupName is not provided.",
        ),
        (
            "TrafficType=ALL&LogDestinationType=s3&LogGroupName=g".into(),
            parameter,
            "LogDestination type must be cloud-watch-logs if LogGroupName is provided.",
        ),
        (format!("{S3}&LogGroupName=g"), parameter, "Please only provide LogGroupName or only provide LogDestination."),
        (
            "TrafficType=ALL&LogGroupName=g".into(),
            parameter,
            "DeliverLogsPermissionArn can't be empty if LogDestinationType is cloud-watch-logs.",
        ),
        (
            format!("{S3}&DeliverLogsPermissionArn=arn:aws:iam::1:role/r"),
            parameter,
            "DeliverLogsPermissionArn is not applicable for s3 delivery",
        ),
        (format!("{GROUP}&DestinationOptions.PerHourPartition=true"), parameter, ""),
        (format!("{S3}&DestinationOptions.FileFormat=csv"), value, ""),
        ("TrafficType=ALL&LogDestinationType=file&LogDestination=arn:aws:s3:::x".into(), value, ""),
        ("TrafficType=ALL&LogDestinationType=s3&LogDestination=logs".into(), parameter, ""),
        ("TrafficType=ALL&LogDestinationType=s3&LogDestination=arn:aws:sqs:::logs".into(), parameter, ""),
        (
            format!("{S3}&LogFormat=%24{{version}}%20"),
            value,
            "1 validation error detected: Value '${version} ' at 'logFormat' has an invalid format: `` is not `${field}`; put one space between two fields",
        ),
        (format!("{S3}&LogFormat=%24{{bits}}"), value, ""),
        (format!("{S3}&LogFormat={}", "x".repeat(5000)), value, ""),
    ] {
        let error = cloud.error(ALICE, &of_vpc(&id, &rest));
        assert_eq!(error.code, code, "{rest}");
        assert!(message.is_empty() || error.message == message, "{rest}: {}", error.message);
        assert!(error.message.len() < 4500, "{rest}");
    }
    assert_eq!(cloud.code(ALICE, &create("TransitGateway", &["tgw-0123456789abcdef0"], S3)), "UnsupportedOperation");
    assert_eq!(cloud.code(ALICE, &create("Host", &[&id], S3)), value);
}

#[test]
fn every_destination_is_recorded() {
    let mut cloud = Harness::new();
    let id = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    cloud.config.quotas.flow_logs_per_resource = 10;
    let arn = "arn:aws:logs:us-east-1:111111111111:log-group:mine:*";
    let firehose = "arn:aws:firehose:us-east-1:111111111111:deliverystream/d";
    cloud.ok(
        ALICE,
        &of_vpc(&id, &format!("TrafficType=ALL&LogDestination={arn}&DeliverLogsPermissionArn=arn:aws:iam::1:role/r")),
    );
    cloud.ok(ALICE, &of_vpc(&id, &format!("TrafficType=ALL&LogDestinationType=kinesis-data-firehose&LogDestination={firehose}&DeliverCrossAccountRole=arn:aws:iam::2:role/r")));
    cloud.ok(ALICE, &of_vpc(&id, &format!("{S3}/prefix/&DestinationOptions.FileFormat=parquet&DestinationOptions.HiveCompatiblePartitions=true&DestinationOptions.PerHourPartition=true&MaxAggregationInterval=60&LogFormat=%24{{srcaddr}}%20%24{{peerway-reason}}")));
    let group = cloud.ok(ALICE, &describe("log-group-name", "mine"));
    assert_eq!(
        (text(&group, "logDestination"), text(&group, "deliverLogsPermissionArn")),
        (arn.into(), "arn:aws:iam::1:role/r".into())
    );
    let stream = cloud.ok(ALICE, &describe("log-destination-type", "kinesis*"));
    assert_eq!(
        (text(&stream, "logDestination"), text(&stream, "deliverCrossAccountRole")),
        (firehose.into(), "arn:aws:iam::2:role/r".into())
    );
    let s3 = cloud.ok(ALICE, &describe("log-destination-type", "s3"));
    let told = ["fileFormat", "hiveCompatiblePartitions", "perHourPartition", "maxAggregationInterval", "logFormat"]
        .map(|name| text(&s3, name));
    assert_eq!(told, ["parquet", "true", "true", "60", "${srcaddr} ${peerway-reason}"]);
}

#[test]
fn the_same_twice_and_more_than_two() {
    let mut cloud = Harness::new();
    let id = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    cloud.ok(ALICE, &of_vpc(&id, S3));
    let error = cloud.error(ALICE, &of_vpc(&id, S3));
    assert_eq!(
        (error.code.as_ref(), error.message.as_str()),
        (
            "FlowLogAlreadyExists",
            "Error. There is an existing Flow Log with the same configuration and log destination."
        )
    );
    assert_eq!(cloud.code(ALICE, &create("VPC", &[&id, &id], GROUP)), "FlowLogAlreadyExists", "in one request too");
    cloud.ok(ALICE, &of_vpc(&id, &S3.replace("ALL", "REJECT")));
    assert_eq!(cloud.code(ALICE, &of_vpc(&id, GROUP)), "FlowLogsLimitExceeded");
    let other = vpc(&mut cloud, ALICE, "10.1.0.0/16");
    cloud.ok(ALICE, &of_vpc(&other, S3));
}

#[test]
fn a_repeated_token_makes_nothing_new() {
    let mut cloud = Harness::new();
    let (one, two) = (vpc(&mut cloud, ALICE, "10.0.0.0/16"), vpc(&mut cloud, ALICE, "10.1.0.0/16"));
    let query = format!("{}&ClientToken=t", create("VPC", &[&one, &two], S3));
    let first = cloud.ok(ALICE, &query);
    assert_eq!(text(&first, "clientToken"), "t");
    let sorted = |document: &str| {
        let mut ids: Vec<String> = texts(document, "item").into_iter().filter(|id| id.starts_with("fl-")).collect();
        ids.sort();
        ids
    };
    assert_eq!(sorted(&cloud.ok(ALICE, &query)), sorted(&first));
    assert_eq!(cloud.world.flow_logs.size(), 2);
    assert_eq!(cloud.code(ALICE, &query.replace("ALL", "ACCEPT")), "IdempotentParameterMismatch");
}

#[test]
fn hosts_hear_of_it_and_it_goes_with_its_resource() {
    let mut cloud = Harness::new();
    let (id, other) = (vpc(&mut cloud, ALICE, "10.0.0.0/16"), vpc(&mut cloud, ALICE, "10.1.0.0/16"));
    let subnet = text(&cloud.ok(ALICE, &format!("Action=CreateSubnet&VpcId={id}&CidrBlock=10.0.1.0/24")), "subnetId");
    let interface =
        text(&cloud.ok(ALICE, &format!("Action=CreateNetworkInterface&SubnetId={subnet}")), "networkInterfaceId");
    cloud.ok(ALICE, &of_vpc(&id, S3));
    cloud.ok(ALICE, &create("Subnet", &[&subnet], S3));
    cloud.ok(ALICE, &create("NetworkInterface", &[&interface], S3));
    let logs = |cloud: &Harness, vpc: &str| {
        let slice = vpc_slice(cloud.config.region, &cloud.world, vpc.parse().unwrap()).expect("it is there");
        slice.flow_logs.len()
    };
    assert_eq!((logs(&cloud, &id), logs(&cloud, &other)), (3, 0));
    let due = |cloud: &Harness| {
        let changes = tick(&cloud.world, &cloud.config, cloud.now);
        assert_eq!(!changes.is_empty(), next(&cloud.world, &cloud.config).is_some_and(|at| at <= cloud.now));
        changes
    };
    assert_eq!(due(&cloud), []);
    let mut left = 3;
    for delete in [
        format!("DeleteNetworkInterface&NetworkInterfaceId={interface}"),
        format!("DeleteSubnet&SubnetId={subnet}"),
        format!("DeleteVpc&VpcId={id}"),
    ] {
        cloud.ok(ALICE, &format!("Action={delete}"));
        let changes = due(&cloud);
        assert!(matches!(changes[..], [Change::Delete(Key::FlowLog(_))]), "{delete}: {changes:?}");
        cloud.world = cloud.world.apply(&changes);
        left -= 1;
        assert_eq!(cloud.world.flow_logs.size(), left);
    }
}

#[test]
fn tags_of_a_flow_log() {
    let mut cloud = Harness::new();
    let id = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let log = texts(&cloud.ok(ALICE, &of_vpc(&id, S3)), "item").remove(0);
    cloud.ok(ALICE, &format!("Action=CreateTags&ResourceId.1={log}&Tag.1.Key=a&Tag.1.Value=b"));
    let shown = cloud.ok(ALICE, "Action=DescribeTags&Filter.1.Name=resource-type&Filter.1.Value.1=vpc-flow-log");
    assert_eq!((text(&shown, "resourceId"), text(&shown, "key")), (log, "a".into()));
}
