//! Access scopes through the API: what may be asked, and how it is kept, shown and deleted.

mod common;
mod things;

use common::*;
use control::tick::{next, tick};
use model::Duration;
use things::UNKNOWN;

const TYPES: &str = "ResourceStatement.ResourceType.1";

fn create(token: &str, more: &str) -> String {
    format!("Action=CreateNetworkInsightsAccessScope&ClientToken={token}&{more}")
}

/// A scope that is nothing special.
fn any(cloud: &mut Harness, token: &str) -> String {
    let query = create(token, &format!("MatchPath.1.Source.{TYPES}=AWS::EC2::NetworkInterface"));
    text(&cloud.ok(ALICE, &query), "networkInsightsAccessScopeId")
}

fn start(scope: &str, token: &str) -> String {
    format!("Action=StartNetworkInsightsAccessScopeAnalysis&NetworkInsightsAccessScopeId={scope}&ClientToken={token}")
}

fn delete(id: &str) -> String {
    let noun = if id.starts_with("nisa-") { "Analysis" } else { "" };
    format!("Action=DeleteNetworkInsightsAccessScope{noun}&NetworkInsightsAccessScope{noun}Id={id}")
}

fn content(cloud: &mut Harness, scope: &str) -> String {
    let query = format!("Action=GetNetworkInsightsAccessScopeContent&NetworkInsightsAccessScopeId={scope}");
    inner(&cloud.ok(ALICE, &query), "networkInsightsAccessScopeContent")
}

/// What is between the tags of the first element of that name.
fn inner(document: &str, name: &str) -> String {
    let (_, rest) = document.split_once(&format!("<{name}>")).unwrap();
    rest.split_once(&format!("</{name}>")).unwrap().0.to_owned()
}

#[test]
fn a_scope_is_made_shown_tagged_and_deleted() {
    let mut cloud = Harness::new();
    let made = cloud.ok(
        ALICE,
        &create(
            "a",
            &format!(
                "MatchPath.1.Source.ResourceStatement.Resource.1=vpc-{UNKNOWN}\
                 &MatchPath.1.Source.PacketHeaderStatement.SourceAddress.1=10.0.0.4\
                 &MatchPath.1.Source.PacketHeaderStatement.SourceAddress.2=10.1.0.0/16\
                 &MatchPath.1.Source.PacketHeaderStatement.SourcePort.1=1024-65535\
                 &MatchPath.1.Destination.{TYPES}=AWS::EC2::InternetGateway\
                 &MatchPath.1.Destination.PacketHeaderStatement.DestinationPort.1=22\
                 &MatchPath.1.Destination.PacketHeaderStatement.Protocol.1=tcp\
                 &MatchPath.1.Destination.PacketHeaderStatement.DestinationPrefixList.1=pl-{UNKNOWN}\
                 &MatchPath.2.Source.{TYPES}=AWS::EC2::InternetGateway\
                 &ExcludePath.1.ThroughResource.1.ResourceStatement.ResourceType.1=AWS::EC2::NatGateway\
                 &TagSpecification.1.ResourceType=network-insights-access-scope&TagSpecification.1.Tag.1.Key=k&TagSpecification.1.Tag.1.Value=v"
            ),
        ),
    );
    let id = text(&made, "networkInsightsAccessScopeId");
    assert!(id.starts_with("nis-") && id.len() == 21, "{id}");
    for (name, wanted) in [
        ("networkInsightsAccessScopeArn", format!("arn:aws:ec2:us-east-1:{ALICE}:network-insights-access-scope/{id}")),
        ("createdDate", "2026-01-15T12:00:00.000Z".into()),
        ("updatedDate", "2026-01-15T12:00:00.000Z".into()),
        ("key", "k".into()),
    ] {
        assert_eq!(text(&made, name), wanted, "{name}");
    }
    let kept = format!(
        "<networkInsightsAccessScopeId>{id}</networkInsightsAccessScopeId>\
         <matchPathSet><item><source>\
         <packetHeaderStatement><sourceAddressSet><item>10.0.0.4</item><item>10.1.0.0/16</item></sourceAddressSet>\
         <sourcePortSet><item>1024-65535</item></sourcePortSet></packetHeaderStatement>\
         <resourceStatement><resourceSet><item>vpc-{UNKNOWN}</item></resourceSet></resourceStatement></source>\
         <destination><packetHeaderStatement><destinationPortSet><item>22</item></destinationPortSet>\
         <destinationPrefixListSet><item>pl-{UNKNOWN}</item></destinationPrefixListSet>\
         <protocolSet><item>tcp</item></protocolSet></packetHeaderStatement>\
         <resourceStatement><resourceTypeSet><item>AWS::EC2::InternetGateway</item></resourceTypeSet></resourceStatement>\
         </destination></item><item><source><resourceStatement><resourceTypeSet><item>AWS::EC2::InternetGateway</item>\
         </resourceTypeSet></resourceStatement></source></item></matchPathSet>\
         <excludePathSet><item><throughResourceSet><item><resourceStatement><resourceTypeSet>\
         <item>AWS::EC2::NatGateway</item></resourceTypeSet></resourceStatement></item></throughResourceSet></item>\
         </excludePathSet>"
    );
    assert_eq!(inner(&made, "networkInsightsAccessScopeContent"), kept);
    assert_eq!(content(&mut cloud, &id), kept);
    let other = any(&mut cloud, "b");
    let describe = |more: &str| format!("Action=DescribeNetworkInsightsAccessScopes{more}");
    for (query, wanted) in [
        (describe(&format!("&NetworkInsightsAccessScopeId.1={other}")), &other),
        (describe("&Filter.1.Name=tag:k&Filter.1.Value.1=v"), &id),
    ] {
        assert_eq!(texts(&cloud.ok(ALICE, &query), "networkInsightsAccessScopeId"), vec![wanted.clone()], "{query}");
    }
    let page = cloud.ok(ALICE, &describe("&MaxResults=1"));
    let rest = cloud.ok(ALICE, &describe(&format!("&MaxResults=1&NextToken={}", text(&page, "nextToken"))));
    let mut both = [&page, &rest].map(|page| text(page, "networkInsightsAccessScopeId"));
    both.sort();
    let mut wanted = [id.clone(), other];
    wanted.sort();
    assert_eq!(both, wanted);
    cloud.ok(ALICE, &format!("Action=CreateTags&ResourceId.1={id}&Tag.1.Key=more&Tag.1.Value=x"));
    let tags = cloud.ok(ALICE, &format!("Action=DescribeTags&Filter.1.Name=resource-id&Filter.1.Value.1={id}"));
    assert_eq!(texts(&tags, "resourceType"), ["network-insights-access-scope"; 2]);
    assert_eq!(text(&cloud.ok(ALICE, &delete(&id)), "networkInsightsAccessScopeId"), id);
    let error = cloud.error(ALICE, &delete(&id));
    assert_eq!(error.code, "InvalidNetworkInsightsAccessScopeId.NotFound");
    assert_eq!(error.message, format!("The networkInsightsAccessScope ID '{id}' does not exist"));
}

#[test]
fn what_is_no_scope_is_refused_by_name() {
    let mut cloud = Harness::new();
    let source = "MatchPath.1.Source";
    let resource = |text: &str| format!("{source}.ResourceStatement.Resource.1={text}");
    let header = |text: &str| format!("{source}.PacketHeaderStatement.{text}");
    let through = |text: &str| format!("MatchPath.1.ThroughResource.1.ResourceStatement.{text}");
    let (missing, invalid, both) = ("MissingParameter", "InvalidParameterValue", "InvalidParameterCombination");
    for (query, code, named) in [
        (String::new(), missing, "MatchPath"),
        (format!("ExcludePath.1.Source.{TYPES}=AWS::EC2::VPC"), missing, "MatchPath"),
        ("MatchPath.1.Source=".into(), missing, "MatchPath.1.Source.PacketHeaderStatement"),
        ("MatchPath.1=x".into(), missing, "MatchPath.1.Source"),
        (format!("{source}.ResourceStatement=x"), missing, "MatchPath.1.Source.ResourceStatement"),
        (format!("{source}.PacketHeaderStatement=x"), missing, "MatchPath.1.Source.PacketHeaderStatement"),
        (
            format!("{}&{source}.{TYPES}=AWS::EC2::VPC", resource(&format!("vpc-{UNKNOWN}"))),
            both,
            "MatchPath.1.Source.ResourceStatement",
        ),
        (resource("somewhere"), invalid, "MatchPath.1.Source.ResourceStatement.Resource"),
        (resource(&format!("nat-{UNKNOWN}")), invalid, "nat-"),
        (resource(&format!("rtb-{UNKNOWN}")), invalid, "Resource"),
        (resource("vpc-xyz"), invalid, "vpc-xyz"),
        (resource("arn:aws:s3:::bucket"), invalid, "arn:aws:s3:::bucket"),
        (format!("{source}.{TYPES}=AWS::EC2::RouteTable"), invalid, "AWS::EC2::InternetGateway"),
        (format!("{source}.{TYPES}=AWS::EC2::NatGateway"), invalid, "ResourceType"),
        (through("ResourceType.1=AWS::EC2::InternetGateway"), invalid, "AWS::EC2::NatGateway"),
        (through(&format!("Resource.1=eni-{UNKNOWN}")), invalid, "NAT gateway"),
        ("MatchPath.1.ThroughResource.1=x".into(), missing, "MatchPath.1.ThroughResource.1.ResourceStatement"),
        (
            format!(
                "{}&MatchPath.1.ThroughResource.2.ResourceStatement.ResourceType.1=AWS::EC2::NatGateway",
                through("ResourceType.1=AWS::EC2::NatGateway")
            ),
            invalid,
            "MatchPath.1.ThroughResource",
        ),
        (header("SourceAddress.1=10.0.0.300"), invalid, "10.0.0.300"),
        (header("DestinationAddress.1=2001:db8::1"), invalid, "IPv4"),
        (header("SourcePort.1=65536"), invalid, "65536"),
        (header("DestinationPort.1=90-80"), invalid, "90-80"),
        (header("Protocol.1=icmp"), invalid, "Use tcp or udp."),
        (header("SourcePrefixList.1=vpc-1"), invalid, "vpc-1"),
        // Longer than an ARN.
        (resource(&format!("arn:aws:resource-groups:us-east-1:{ALICE}:group/{}", "x".repeat(1300))), invalid, "xxx"),
        (
            header(&format!("SourcePrefixList.1=arn:aws:ec2:{}:{ALICE}:prefix-list/pl-{UNKNOWN}", "x".repeat(1300))),
            invalid,
            "xxx",
        ),
        (
            format!("{}&{}", header("SourceAddress.1=10.0.0.0/8"), header(&format!("SourcePrefixList.1=pl-{UNKNOWN}"))),
            both,
            "SourcePrefixList",
        ),
        (
            format!(
                "{}&{}",
                header("DestinationAddress.1=10.0.0.0/8"),
                header(&format!("DestinationPrefixList.1=pl-{UNKNOWN}"))
            ),
            both,
            "DestinationPrefixList",
        ),
        (
            format!(
                "{source}.{TYPES}=AWS::EC2::VPC&TagSpecification.1.ResourceType=vpc&TagSpecification.1.Tag.1.Key=k"
            ),
            invalid,
            "vpc",
        ),
    ] {
        let error = cloud.error(ALICE, &create("x", &query));
        assert_eq!(error.code, code, "{query}: {}", error.message);
        assert!(error.message.contains(named), "{query}: {}", error.message);
    }
    let ok = format!("{source}.{TYPES}=AWS::EC2::VPC");
    assert_eq!(cloud.code(ALICE, &format!("Action=CreateNetworkInsightsAccessScope&{ok}")), "MissingParameter");
    assert_eq!(cloud.code(ALICE, &format!("DryRun=true&{}", create("x", &ok))), "DryRunOperation");
    // What there is none of here may be named all the same, as on AWS.
    for resource in [
        format!("tgw-attach-{UNKNOWN}"),
        format!("arn:aws:ec2:us-east-1:{ALICE}:vpc/vpc-{UNKNOWN}"),
        format!("arn:aws:resource-groups:us-east-1:{ALICE}:group/bastions"),
    ] {
        cloud.ok(ALICE, &create(&resource, &format!("{source}.ResourceStatement.Resource.1={resource}")));
    }
}

#[test]
fn a_scope_has_room_for_so_many_values() {
    let mut cloud = Harness::new();
    let ports = |list: &str, count: usize| -> String {
        let port = |n: usize| format!("{list}.1.Destination.PacketHeaderStatement.DestinationPort.{n}={n}");
        (1..=count).map(port).collect::<Vec<_>>().join("&")
    };
    cloud.ok(ALICE, &create("a", &format!("{}&{}", ports("MatchPath", 250), ports("ExcludePath", 250))));
    let error = cloud.error(ALICE, &create("b", &format!("{}&{}", ports("MatchPath", 250), ports("ExcludePath", 251))));
    assert_eq!(error.code, "InvalidParameterValue");
    assert!(error.message.contains("at most 500 values"), "{}", error.message);
    assert!(error.message.contains("ExcludePath.1.Destination"), "{}", error.message);
}

#[test]
fn tokens_quotas_and_pages() {
    let mut cloud = Harness::new();
    cloud.config.quotas.network_insights_access_scopes = 2;
    cloud.config.quotas.network_insights_access_scope_analyses = 1;
    let first = any(&mut cloud, "a");
    assert_eq!(any(&mut cloud, "a"), first);
    let changed = create("a", &format!("MatchPath.1.Source.{TYPES}=AWS::EC2::VPC"));
    assert_eq!(cloud.code(ALICE, &changed), "IdempotentParameterMismatch");
    any(&mut cloud, "b");
    let third = create("c", &format!("MatchPath.1.Source.{TYPES}=AWS::EC2::VPC"));
    assert_eq!(cloud.code(ALICE, &third), "NetworkInsightsAccessScope.LimitExceeded");
    assert_eq!(any(&mut cloud, "a"), first);
    let analysis = text(&cloud.ok(ALICE, &start(&first, "a")), "networkInsightsAccessScopeAnalysisId");
    assert_eq!(text(&cloud.ok(ALICE, &start(&first, "a")), "networkInsightsAccessScopeAnalysisId"), analysis);
    assert_eq!(cloud.code(ALICE, &start(&first, "b")), "NetworkInsightsAccessScopeAnalysis.LimitExceeded");
    let findings = "GetNetworkInsightsAccessScopeAnalysisFindings";
    let findings = format!("{findings}&NetworkInsightsAccessScopeAnalysisId={analysis}");
    for (action, max) in [
        ("DescribeNetworkInsightsAccessScopes", 100),
        ("DescribeNetworkInsightsAccessScopeAnalyses", 100),
        (findings.as_str(), 1000),
    ] {
        for wrong in [0, max + 1] {
            let query = format!("Action={action}&MaxResults={wrong}");
            assert_eq!(cloud.code(ALICE, &query), "InvalidParameterValue", "{query}");
        }
        cloud.ok(ALICE, &format!("Action={action}&MaxResults={max}"));
    }
    for action in ["DescribeNetworkInsightsAccessScopes", "DescribeNetworkInsightsAccessScopeAnalyses"] {
        let query = format!("Action={action}&Filter.1.Name=status&Filter.1.Value.1=x");
        assert_eq!(cloud.code(ALICE, &query), "InvalidParameterValue", "AWS has no filters but tags");
    }
}

#[test]
fn analyses_are_kept_found_and_deleted() {
    let mut cloud = Harness::new();
    let (scope, other) = (any(&mut cloud, "a"), any(&mut cloud, "b"));
    let tag = "&TagSpecification.1.ResourceType=network-insights-access-scope-analysis&TagSpecification.1.Tag.1.Key=k&TagSpecification.1.Tag.1.Value=v";
    let made = cloud.ok(ALICE, &format!("{}{tag}", start(&scope, "a")));
    let id = text(&made, "networkInsightsAccessScopeAnalysisId");
    assert!(id.starts_with("nisa-") && id.len() == 22, "{id}");
    for (name, wanted) in [
        (
            "networkInsightsAccessScopeAnalysisArn",
            format!("arn:aws:ec2:us-east-1:{ALICE}:network-insights-access-scope-analysis/{id}"),
        ),
        ("networkInsightsAccessScopeId", scope.clone()),
        ("status", "running".into()),
        ("startDate", "2026-01-15T12:00:00.000Z".into()),
        ("analyzedEniCount", "0".into()),
        ("key", "k".into()),
    ] {
        assert_eq!(text(&made, name), wanted, "{name}");
    }
    assert_eq!([texts(&made, "endDate").len(), texts(&made, "findingsFound").len()], [0, 0]);
    cloud.now = cloud.now + Duration::seconds(60);
    let second = text(&cloud.ok(ALICE, &start(&other, "b")), "networkInsightsAccessScopeAnalysisId");
    let describe = |more: &str| format!("Action=DescribeNetworkInsightsAccessScopeAnalyses&{more}");
    for (more, wanted) in [
        (format!("NetworkInsightsAccessScopeAnalysisId.1={id}"), vec![&id]),
        (format!("NetworkInsightsAccessScopeId={other}"), vec![&second]),
        ("AnalysisStartTimeBegin=2026-01-15T12:00:30Z".into(), vec![&second]),
        ("AnalysisStartTimeEnd=2026-01-15T12:00:30Z".into(), vec![&id]),
        ("Filter.1.Name=tag:k&Filter.1.Value.1=v".into(), vec![&id]),
        ("Filter.1.Name=tag-key&Filter.1.Value.1=x".into(), vec![]),
    ] {
        let found = texts(&cloud.ok(ALICE, &describe(&more)), "networkInsightsAccessScopeAnalysisId");
        assert_eq!(found.iter().collect::<Vec<_>>(), wanted, "{more}");
    }
    let done = cloud.ok(ALICE, &describe(&format!("NetworkInsightsAccessScopeAnalysisId.1={id}")));
    for (name, wanted) in [("status", "succeeded"), ("endDate", "2026-01-15T12:00:00.000Z"), ("findingsFound", "false")]
    {
        assert_eq!(text(&done, name), wanted, "{name}");
    }
    let page = cloud.ok(ALICE, &describe("MaxResults=1"));
    let rest = cloud.ok(ALICE, &describe(&format!("MaxResults=1&NextToken={}", text(&page, "nextToken"))));
    assert_ne!(
        text(&page, "networkInsightsAccessScopeAnalysisId"),
        text(&rest, "networkInsightsAccessScopeAnalysisId")
    );
    assert_eq!(texts(&rest, "nextToken").len(), 0);
    let findings = |id: &str| {
        format!("Action=GetNetworkInsightsAccessScopeAnalysisFindings&NetworkInsightsAccessScopeAnalysisId={id}")
    };
    let content = |id: &str| format!("Action=GetNetworkInsightsAccessScopeContent&NetworkInsightsAccessScopeId={id}");
    let token = text(&page, "nextToken");
    let (no_scope, no_analysis) =
        ("InvalidNetworkInsightsAccessScopeId.NotFound", "InvalidNetworkInsightsAccessScopeAnalysisId.NotFound");
    let (nis, nisa) = (format!("nis-{UNKNOWN}"), format!("nisa-{UNKNOWN}"));
    for (query, code) in [
        (format!("{}&NextToken={token}", findings(&id)), "InvalidNextToken"),
        (describe(&format!("NetworkInsightsAccessScopeAnalysisId.1={id}&MaxResults=5")), "InvalidParameterCombination"),
        (
            describe("NetworkInsightsAccessScopeAnalysisId.1=nisa-1"),
            "InvalidNetworkInsightsAccessScopeAnalysisId.Malformed",
        ),
        (content("nis-1"), "InvalidNetworkInsightsAccessScopeId.Malformed"),
        (describe(&format!("NetworkInsightsAccessScopeAnalysisId.1={nisa}")), no_analysis),
        (describe(&format!("NetworkInsightsAccessScopeId={nis}")), no_scope),
        (findings(&nisa), no_analysis),
        (delete(&nisa), no_analysis),
        (delete(&nis), no_scope),
        (content(&nis), no_scope),
        (start(&nis, "x"), no_scope),
        (format!("Action=DescribeNetworkInsightsAccessScopes&NetworkInsightsAccessScopeId.1={nis}"), no_scope),
        (start(&scope, "").replace("&ClientToken=", ""), "MissingParameter"),
        (
            format!("{}&TagSpecification.1.ResourceType=vpc&TagSpecification.1.Tag.1.Key=k", start(&scope, "x")),
            "InvalidParameterValue",
        ),
        (format!("DryRun=true&{}", start(&scope, "x")), "DryRunOperation"),
        (delete(&scope), "AnalysisExistsForNetworkInsightsAccessScope"),
    ] {
        assert_eq!(cloud.code(ALICE, &query), code, "{query}");
    }
    // Another account sees none of it.
    for (query, code) in [
        (describe(&format!("NetworkInsightsAccessScopeAnalysisId.1={id}")), no_analysis),
        (describe(&format!("NetworkInsightsAccessScopeId={scope}")), no_scope),
        (format!("Action=DescribeNetworkInsightsAccessScopes&NetworkInsightsAccessScopeId.1={scope}"), no_scope),
        (findings(&id), no_analysis),
        (content(&scope), no_scope),
        (start(&scope, "x"), no_scope),
        (delete(&id), no_analysis),
        (delete(&scope), no_scope),
    ] {
        assert_eq!(cloud.code(BOB, &query), code, "{query}");
    }
    for (action, name) in [
        ("DescribeNetworkInsightsAccessScopes", "networkInsightsAccessScopeId"),
        ("DescribeNetworkInsightsAccessScopeAnalyses", "networkInsightsAccessScopeAnalysisId"),
    ] {
        assert_eq!(texts(&cloud.ok(BOB, &format!("Action={action}")), name).len(), 0, "{action}");
    }
    assert_eq!(text(&cloud.ok(ALICE, &delete(&id)), "networkInsightsAccessScopeAnalysisId"), id);
    cloud.ok(ALICE, &delete(&scope));
}

#[test]
fn an_analysis_goes_after_120_days() {
    let mut cloud = Harness::new();
    let scope = any(&mut cloud, "a");
    cloud.ok(ALICE, &start(&scope, "a"));
    let end = cloud.now + Duration::hours(120 * 24);
    cloud.config.visibility.client_token = Duration::hours(1_000_000);
    assert_eq!(next(&cloud.world, &cloud.config), Some(end));
    let changes = tick(&cloud.world, &cloud.config, end + Duration::millis(-1));
    assert_eq!(changes, []);
    cloud.world = cloud.world.apply(&tick(&cloud.world, &cloud.config, end));
    assert_eq!(cloud.world.network_insights_access_scope_analyses.size(), 0);
    assert_eq!(cloud.world.network_insights_access_scopes.size(), 1);
}
