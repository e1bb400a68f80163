//! Network Insights paths through the API (spec 12.2.1): what a question may be, and how it is kept.

mod common;
mod things;

use common::*;
use things::*;

/// Two interfaces in one VPC of Alice's.
struct Place {
    cloud: Harness,
    from: String,
    to: String,
    instance: String,
    subnet: String,
}

fn place() -> Place {
    let mut cloud = Harness::new();
    let vpc = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let subnet = subnet(&mut cloud, ALICE, &vpc, "10.0.1.0/24");
    let (instance, from) = instance(&mut cloud, &subnet, "10.0.1.10");
    let to = interface(&mut cloud, &subnet, "10.0.1.11", None);
    Place { cloud, from: from.to_string(), to: to.to_string(), instance: instance.to_string(), subnet }
}

fn create(token: &str, more: &str) -> String {
    format!("Action=CreateNetworkInsightsPath&ClientToken={token}&{more}")
}

#[test]
fn a_path_is_made_shown_found_and_deleted() {
    let Place { mut cloud, from, to, .. } = place();
    let made = cloud.ok(
        ALICE,
        &create(
            "a",
            &format!(
                "Source={from}&Destination={to}&Protocol=TCP&DestinationPort=443&SourceIp=10.0.1.10&DestinationIp=10.0.1.11\
                 &TagSpecification.1.ResourceType=network-insights-path&TagSpecification.1.Tag.1.Key=k&TagSpecification.1.Tag.1.Value=v"
            ),
        ),
    );
    let id = text(&made, "networkInsightsPathId");
    let arn = |kind: &str, id: &str| format!("arn:aws:ec2:us-east-1:{ALICE}:{kind}/{id}");
    for (name, wanted) in [
        ("networkInsightsPathArn", arn("network-insights-path", &id)),
        ("createdDate", "2026-01-15T12:00:00.000Z".into()),
        ("source", from.clone()),
        ("sourceArn", arn("network-interface", &from)),
        ("destination", to.clone()),
        ("destinationArn", arn("network-interface", &to)),
        ("sourceIp", "10.0.1.10".into()),
        ("destinationIp", "10.0.1.11".into()),
        ("protocol", "tcp".into()),
        ("destinationPort", "443".into()),
        ("key", "k".into()),
    ] {
        assert_eq!(text(&made, name), wanted, "{name}");
    }
    let other = cloud.ok(ALICE, &create("b", &format!("Source={to}&Destination={from}&Protocol=udp")));
    let other = text(&other, "networkInsightsPathId");
    for (name, value, wanted) in [
        ("source", &from, &id),
        ("destination", &from, &other),
        ("protocol", &"udp".into(), &other),
        ("tag:k", &"v".into(), &id),
    ] {
        let query = format!("Action=DescribeNetworkInsightsPaths&Filter.1.Name={name}&Filter.1.Value.1={value}");
        assert_eq!(texts(&cloud.ok(ALICE, &query), "networkInsightsPathId"), vec![wanted.clone()], "{name}");
    }
    cloud.ok(ALICE, &format!("Action=CreateTags&ResourceId.1={id}&Tag.1.Key=more&Tag.1.Value=x"));
    let tags = cloud.ok(ALICE, &format!("Action=DescribeTags&Filter.1.Name=resource-id&Filter.1.Value.1={id}"));
    assert_eq!(texts(&tags, "resourceType"), ["network-insights-path", "network-insights-path"]);
    let delete = format!("Action=DeleteNetworkInsightsPath&NetworkInsightsPathId={id}");
    assert_eq!(text(&cloud.ok(ALICE, &delete), "networkInsightsPathId"), id);
    let error = cloud.error(ALICE, &delete);
    assert_eq!(error.code, "InvalidNetworkInsightsPathId.NotFound");
    assert_eq!(error.message, format!("The networkInsightsPath ID '{id}' does not exist"));
}

#[test]
fn filters_of_a_path_are_kept_and_searched() {
    let Place { mut cloud, from, .. } = place();
    let filters = "FilterAtSource.SourceAddress=10.0.1.10&FilterAtSource.DestinationAddress=10.0.1.11\
                   &FilterAtSource.DestinationPortRange.FromPort=80&FilterAtSource.DestinationPortRange.ToPort=90\
                   &FilterAtDestination.SourcePortRange.FromPort=1024&FilterAtDestination.SourcePortRange.ToPort=65535";
    let made = cloud.ok(ALICE, &create("a", &format!("Source={from}&Protocol=tcp&{filters}")));
    assert_eq!(texts(&made, "fromPort"), ["80", "1024"]);
    assert_eq!(texts(&made, "toPort"), ["90", "65535"]);
    assert_eq!(
        (text(&made, "sourceAddress"), text(&made, "destinationAddress")),
        ("10.0.1.10".into(), "10.0.1.11".into())
    );
    assert_eq!(texts(&made, "destination"), [] as [String; 0]);
    for (name, value, count) in [
        ("filter-at-source.source-address", "10.0.1.10", 1),
        ("filter-at-source.destination-address", "10.0.1.*", 1),
        ("filter-at-source.destination-port-range", "80-90", 1),
        ("filter-at-source.source-port-range", "*", 0),
        ("filter-at-destination.source-port-range", "1024-65535", 1),
        ("filter-at-destination.source-address", "*", 0),
        ("filter-at-destination.destination-address", "*", 0),
        ("filter-at-destination.destination-port-range", "*", 0),
    ] {
        let query = format!("Action=DescribeNetworkInsightsPaths&Filter.1.Name={name}&Filter.1.Value.1={value}");
        assert_eq!(texts(&cloud.ok(ALICE, &query), "networkInsightsPathId").len(), count, "{name}");
    }
    assert_eq!(
        cloud.code(ALICE, "Action=DescribeNetworkInsightsPaths&Filter.1.Name=nope&Filter.1.Value.1=x"),
        "InvalidParameterValue"
    );
}

#[test]
fn what_is_no_path_is_refused_by_name() {
    let Place { mut cloud, from, to, instance, subnet } = place();
    let foreign = format!("arn:aws:ec2:us-east-1:{BOB}:network-interface/{from}");
    let ends = format!("Source={from}&Destination={to}&");
    let unknown = |prefix: &str| format!("{prefix}-{UNKNOWN}");
    for (query, code) in [
        (format!("Destination={to}&Protocol=tcp"), "MissingParameter"),
        (format!("Source={from}&Protocol=tcp"), "MissingParameter"),
        (format!("Source={from}&Protocol=tcp&DestinationIp=10.0.1.11&DestinationPort=1"), "MissingParameter"),
        (format!("Source={from}&Destination={to}"), "MissingParameter"),
        (format!("{ends}Protocol=icmp"), "InvalidParameterValue"),
        (format!("{ends}Protocol=tcp&DestinationPort=65536"), "InvalidParameterValue"),
        (format!("{ends}Protocol=tcp&DestinationPort=-1"), "InvalidParameterValue"),
        (format!("{ends}Protocol=tcp&SourceIp=10.0.1"), "InvalidParameterValue"),
        (format!("{ends}Protocol=tcp&SourceIp=10.0.1.10&DestinationIp=2001:db8::1"), "InvalidParameterValue"),
        (
            format!("{ends}Protocol=tcp&FilterAtSource.SourceAddress=10.0.1.10&DestinationPort=1"),
            "InvalidParameterCombination",
        ),
        (
            format!("{ends}Protocol=tcp&FilterAtSource.SourceAddress=10.0.1.10&SourceIp=10.0.1.10"),
            "InvalidParameterCombination",
        ),
        (
            format!("{ends}Protocol=tcp&FilterAtDestination.SourceAddress=10.0.1.10&DestinationIp=10.0.1.11"),
            "InvalidParameterCombination",
        ),
        (format!("{ends}Protocol=tcp&FilterAtSource.SourcePortRange.FromPort=5"), "MissingParameter"),
        (
            format!(
                "{ends}Protocol=tcp&FilterAtSource.SourcePortRange.FromPort=5&FilterAtSource.SourcePortRange.ToPort=4"
            ),
            "InvalidParameterValue",
        ),
        (format!("Source={}&Destination={to}&Protocol=tcp", unknown("eni")), "NetworkInsightsSource.NotFound"),
        (format!("Source={}&Destination={to}&Protocol=tcp", unknown("i")), "NetworkInsightsSource.NotFound"),
        (format!("Source={}&Destination={to}&Protocol=tcp", unknown("tgw")), "NetworkInsightsSource.NotFound"),
        (format!("Source={from}&Destination={}&Protocol=tcp", unknown("igw")), "NetworkInsightsDestination.NotFound"),
        (format!("Source={from}&Destination={}&Protocol=tcp", unknown("pcx")), "NetworkInsightsDestination.NotFound"),
        (format!("Source={from}&Destination={}&Protocol=tcp", unknown("vpce")), "NetworkInsightsDestination.NotFound"),
        ("Source=eni-1&Destination=x&Protocol=tcp".into(), "InvalidNetworkInterfaceId.Malformed"),
        (format!("Source={subnet}&Destination={to}&Protocol=tcp"), "InvalidParameterValue"),
        (format!("Source={from}&Destination={from}&Protocol=tcp"), "InvalidParameterValue"),
        (format!("Source={foreign}&Destination={}&Protocol=tcp", foreign.replace(&from, &to)), "InvalidParameterValue"),
        (
            format!("Source={}&Destination={to}&Protocol=tcp", foreign.replace("us-east-1", "eu-west-1")),
            "InvalidParameterValue",
        ),
        (format!("Source={}&Destination={to}&Protocol=tcp", foreign.replace(BOB, "7")), "InvalidParameterValue"),
        (
            format!("Source={}&Destination={to}&Protocol=tcp", foreign.replace("network-interface", "instance")),
            "InvalidParameterValue",
        ),
        ("Source=arn:aws:s3:::bucket&Destination=x&Protocol=tcp".into(), "InvalidParameterValue"),
        (
            format!("{ends}Protocol=tcp&TagSpecification.1.ResourceType=vpc&TagSpecification.1.Tag.1.Key=k"),
            "InvalidParameterValue",
        ),
    ] {
        assert_eq!(cloud.code(ALICE, &create("x", &query)), code, "{query}");
    }
    assert_eq!(cloud.code(ALICE, &format!("Action=CreateNetworkInsightsPath&{ends}Protocol=tcp")), "MissingParameter");
    let error = cloud.error(ALICE, &create("x", &format!("Source={from}&Protocol=tcp&DestinationIp=10.0.1.11")));
    assert_eq!(
        error.message,
        "The request must include either the Destination parameter or the FilterAtSource.DestinationAddress parameter. \
         Add the required parameter and retry the request."
    );
    // What another account has is not told apart from what nobody has.
    assert_eq!(
        cloud.code(BOB, &create("x", &format!("Source={instance}&Destination={to}&Protocol=tcp"))),
        "NetworkInsightsSource.NotFound"
    );
    // By ARN it may be named, whether it is there or not.
    cloud.ok(
        ALICE,
        &create("y", &format!("Source={from}&Destination={}&Protocol=tcp", foreign.replace(&from, &unknown("eni")))),
    );
    assert_eq!(
        cloud.code(ALICE, &format!("DryRun=true&{}", create("z", &format!("{ends}Protocol=tcp")))),
        "DryRunOperation"
    );
}

#[test]
fn a_token_makes_one_path_and_quotas_hold() {
    let Place { mut cloud, from, to, .. } = place();
    cloud.config.quotas.network_insights_paths = 2;
    cloud.config.quotas.network_insights_analyses = 1;
    let query = |token: &str| create(token, &format!("Source={from}&Destination={to}&Protocol=tcp"));
    let first = text(&cloud.ok(ALICE, &query("a")), "networkInsightsPathId");
    assert_eq!(text(&cloud.ok(ALICE, &query("a")), "networkInsightsPathId"), first);
    assert_eq!(cloud.code(ALICE, &format!("{}&DestinationPort=1", query("a"))), "IdempotentParameterMismatch");
    cloud.ok(ALICE, &query("b"));
    assert_eq!(cloud.code(ALICE, &query("c")), "NetworkInsightsPath.LimitExceeded");
    assert_eq!(text(&cloud.ok(ALICE, &query("a")), "networkInsightsPathId"), first);
    let start =
        |token: &str| format!("Action=StartNetworkInsightsAnalysis&NetworkInsightsPathId={first}&ClientToken={token}");
    let analysis = text(&cloud.ok(ALICE, &start("a")), "networkInsightsAnalysisId");
    assert_eq!(text(&cloud.ok(ALICE, &start("a")), "networkInsightsAnalysisId"), analysis);
    assert_eq!(cloud.code(ALICE, &start("b")), "NetworkInsightsAnalysis.LimitExceeded");
    let pages = cloud.ok(ALICE, "Action=DescribeNetworkInsightsPaths&MaxResults=1");
    assert_eq!((texts(&pages, "networkInsightsPathId").len(), texts(&pages, "nextToken").len()), (1, 1));
    for wrong in ["0", "101"] {
        for noun in ["Paths", "Analyses"] {
            let query = format!("Action=DescribeNetworkInsights{noun}&MaxResults={wrong}");
            assert_eq!(cloud.code(ALICE, &query), "InvalidParameterValue");
        }
    }
}
