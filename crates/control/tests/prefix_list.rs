//! Managed prefix lists through the API (spec 4.8), and who names them (spec 4.4, 6.3; decision 0027).

mod common;
mod things;

use std::collections::BTreeSet;

use common::*;
use control::plan;
use model::*;
use things::*;

/// A list of IPv4 blocks with room for that many.
fn create(cloud: &mut Harness, max: u32, entries: &[&str]) -> String {
    text(&cloud.ok(ALICE, &creation("IPv4", max, entries)), "prefixListId")
}

fn creation(family: &str, max: u32, entries: &[&str]) -> String {
    format!(
        "Action=CreateManagedPrefixList&PrefixListName=office&AddressFamily={family}&MaxEntries={max}{}",
        named("Entry", entries)
    )
}

fn named(parameter: &str, entries: &[&str]) -> String {
    (1..).zip(entries).map(|(n, block)| format!("&{parameter}.{n}.Cidr={block}")).collect()
}

fn modify(list: &str, rest: &str) -> String {
    format!("Action=ModifyManagedPrefixList&PrefixListId={list}&{rest}")
}

fn entries(cloud: &mut Harness, list: &str, rest: &str) -> Vec<String> {
    texts(&cloud.ok(ALICE, &format!("Action=GetManagedPrefixListEntries&PrefixListId={list}{rest}")), "cidr")
}

fn shown(cloud: &mut Harness, list: &str) -> String {
    cloud.ok(ALICE, &format!("Action=DescribeManagedPrefixLists&PrefixListId.1={list}"))
}

const MISMATCH: &str = "PrefixListVersionMismatch";
const VALUE: &str = "InvalidParameterValue";
const WRONG: &str = "InvalidPrefixListModification";

#[test]
fn a_list_is_made_shown_and_found() {
    let mut cloud = Harness::new();
    let tags =
        "&TagSpecification.1.ResourceType=prefix-list&TagSpecification.1.Tag.1.Key=k&TagSpecification.1.Tag.1.Value=v";
    let more = "&Entry.2.Description=north&ClientToken=once";
    let query = format!("{}{more}{tags}", creation("IPv4", 5, &["10.9.0.1/16", "10.8.0.0/16"]));
    let made = cloud.ok(ALICE, &query);
    let id = text(&made, "prefixListId");
    for (name, value) in [
        ("addressFamily", "IPv4"),
        ("state", "create-complete"),
        ("prefixListName", "office"),
        ("maxEntries", "5"),
        ("version", "1"),
        ("ownerId", ALICE),
        ("value", "v"),
    ] {
        assert_eq!(text(&made, name), value, "{name}");
    }
    assert_eq!(text(&made, "prefixListArn"), format!("arn:aws:ec2:us-east-1:{ALICE}:prefix-list/{id}"));
    assert_eq!(text(&cloud.ok(ALICE, &query), "prefixListId"), id, "the same token again");
    assert_eq!(cloud.code(ALICE, &query.replace("=5", "=6")), "IdempotentParameterMismatch");
    // In order of block, with what is said of each.
    let got = cloud.ok(ALICE, &format!("Action=GetManagedPrefixListEntries&PrefixListId={id}"));
    assert_eq!(
        (texts(&got, "cidr"), texts(&got, "description")),
        (vec!["10.8.0.0/16".into(), "10.9.0.0/16".into()], vec!["north".into()])
    );
    let other = create(&mut cloud, 1, &[]);
    for (filter, value) in [("prefix-list-id", id.as_str()), ("tag:k", "v")] {
        let query = format!("Action=DescribeManagedPrefixLists&Filter.1.Name={filter}&Filter.1.Value.1={value}");
        assert_eq!(texts(&cloud.ok(ALICE, &query), "prefixListId"), [id.as_str()], "{filter}");
    }
    let by_name = "Action=DescribeManagedPrefixLists&Filter.1.Name=prefix-list-name&Filter.1.Value.1=off*";
    let all: BTreeSet<String> = texts(&cloud.ok(ALICE, by_name), "prefixListId").into_iter().collect();
    assert_eq!(all, BTreeSet::from([id.clone(), other]));
    // Nobody else sees it, or can do anything with it.
    assert!(texts(&cloud.ok(BOB, "Action=DescribeManagedPrefixLists"), "prefixListId").is_empty());
    for query in [
        format!("Action=DescribeManagedPrefixLists&PrefixListId.1={id}"),
        format!("Action=GetManagedPrefixListEntries&PrefixListId={id}"),
        format!("Action=GetManagedPrefixListAssociations&PrefixListId={id}"),
        modify(&id, "PrefixListName=mine"),
        format!("Action=RestoreManagedPrefixListVersion&PrefixListId={id}&PreviousVersion=1&CurrentVersion=1"),
        format!("Action=DeleteManagedPrefixList&PrefixListId={id}"),
        format!("Action=DescribePrefixLists&PrefixListId.1={id}"),
    ] {
        assert_eq!(cloud.code(BOB, &query), "InvalidPrefixListID.NotFound", "{query}");
    }
    cloud.ok(ALICE, &format!("Action=CreateTags&ResourceId.1={id}&Tag.1.Key=k&Tag.1.Value=w"));
    assert_eq!(text(&shown(&mut cloud, &id), "value"), "w");
    assert!(texts(&cloud.ok(ALICE, "Action=DescribePrefixLists"), "prefixListId").is_empty());
}

#[test]
fn what_no_list_can_be() {
    let mut cloud = Harness::new();
    for (query, code) in [
        (creation("IPv5", 1, &[]), VALUE),
        (creation("IPv4", 0, &[]), VALUE),
        (creation("IPv4", 1001, &[]), VALUE),
        (creation("IPv4", 5, &["fd00::/8"]), VALUE),
        (creation("IPv6", 5, &["10.0.0.0/8"]), VALUE),
        (creation("IPv4", 5, &["10.0.0.0"]), VALUE),
        (creation("IPv4", 5, &["10.0.0.0/8", "10.1.0.0/8"]), VALUE),
        (creation("IPv4", 1, &["10.0.0.0/8", "11.0.0.0/8"]), "PrefixListMaxEntriesExceeded"),
        (creation("IPv4", 1, &["10.0.0.0/8"]).replace("office", "com.amazonaws.us-east-1.s3"), VALUE),
        (creation("IPv4", 1, &["10.0.0.0/8"]).replace("PrefixListName=office&", ""), "MissingParameter"),
        (creation("IPv4", 1, &["10.0.0.0/8"]).replace("MaxEntries=1&", ""), "MissingParameter"),
        (creation("IPv4", 1, &["10.0.0.0/8"]) + "&Entry.1.Description=<", VALUE),
    ] {
        assert_eq!(cloud.code(ALICE, &query), code, "{query}");
    }
    let blocks: Vec<String> = (0..101).map(|n| format!("10.{n}.0.0/16")).collect();
    let blocks: Vec<&str> = blocks.iter().map(String::as_str).collect();
    assert_eq!(cloud.code(ALICE, &creation("IPv4", 1000, &blocks)), VALUE);
    cloud.ok(ALICE, &creation("IPv4", 1000, &blocks[..100]));
    cloud.config.quotas.prefix_lists = 1;
    assert_eq!(cloud.code(ALICE, &creation("IPv4", 1, &[])), "PrefixListLimitExceeded");
    cloud.ok(BOB, &creation("IPv4", 1, &[]));
}

#[test]
fn entries_change_with_the_version_and_come_back() {
    let mut cloud = Harness::new();
    let id = create(&mut cloud, 3, &["10.1.0.0/16"]);
    let add =
        |version: u32, block: &str| modify(&id, &format!("CurrentVersion={version}{}", named("AddEntry", &[block])));
    let changed = cloud.ok(ALICE, &add(1, "10.2.0.0/16"));
    assert_eq!((text(&changed, "version"), text(&changed, "state")), ("2".into(), "modify-complete".into()));
    // Whoever knew an older one is refused.
    let error = cloud.error(ALICE, &add(1, "10.3.0.0/16"));
    assert_eq!(
        (error.code.as_ref(), error.message.as_str()),
        (MISMATCH, "The prefix list has the incorrect version number.")
    );
    assert_eq!(cloud.code(ALICE, &add(3, "10.3.0.0/16")), MISMATCH);
    assert_eq!(cloud.code(ALICE, &add(0, "10.3.0.0/16")), VALUE);
    // Away and in again; the version is not needed.
    cloud
        .ok(ALICE, &modify(&id, "RemoveEntry.1.Cidr=10.1.0.0/16&AddEntry.1.Cidr=10.3.0.0/16&AddEntry.1.Description=d"));
    assert_eq!(entries(&mut cloud, &id, ""), ["10.2.0.0/16", "10.3.0.0/16"]);
    assert_eq!(entries(&mut cloud, &id, "&TargetVersion=1"), ["10.1.0.0/16"]);
    assert_eq!(entries(&mut cloud, &id, "&TargetVersion=2"), ["10.1.0.0/16", "10.2.0.0/16"]);
    assert_eq!(entries(&mut cloud, &id, "&TargetVersion=3"), ["10.2.0.0/16", "10.3.0.0/16"]);
    for (rest, code) in [
        ("AddEntry.1.Cidr=10.2.0.0/16", WRONG),
        ("AddEntry.1.Cidr=10.2.0.0/16&AddEntry.1.Description=another", WRONG),
        ("RemoveEntry.1.Cidr=10.9.0.0/16", WRONG),
        ("RemoveEntry.1.Cidr=10.2.0.0/16&AddEntry.1.Cidr=10.2.0.0/16", VALUE),
        ("RemoveEntry.1.Cidr=10.2.0.0/16&RemoveEntry.2.Cidr=10.2.1.0/16", VALUE),
        ("AddEntry.1.Cidr=10.4.0.0/16&AddEntry.2.Cidr=10.5.0.0/16", "PrefixListMaxEntriesExceeded"),
        ("AddEntry.1.Cidr=10.4.0.0/16&MaxEntries=9", "InvalidParameterCombination"),
        ("MaxEntries=1", "PrefixListMaxEntriesExceeded"),
        ("MaxEntries=1001", VALUE),
        ("PrefixListName=com.amazonaws.x", VALUE),
        ("CurrentVersion=3", "MissingParameter"),
    ] {
        assert_eq!(cloud.code(ALICE, &modify(&id, rest)), code, "{rest}");
    }
    let message = cloud.error(ALICE, &modify(&id, "RemoveEntry.1.Cidr=10.9.0.0/16")).message;
    assert_eq!(message, "An entry with the CIDR (10.9.0.0/16) does not exist.");
    let message = cloud.error(ALICE, &modify(&id, "AddEntry.1.Cidr=10.3.0.0/16")).message;
    assert_eq!(message, "An entry with the CIDR (10.3.0.0/16) and description (d) already exists.");
    // A name or a size is no version.
    let changed = cloud.ok(ALICE, &modify(&id, "PrefixListName=branch&MaxEntries=2&CurrentVersion=3"));
    assert_eq!(
        (text(&changed, "version"), text(&changed, "prefixListName"), text(&changed, "maxEntries")),
        ("3".into(), "branch".into(), "2".into())
    );
    // Back to the first, as the fourth.
    let restore = |previous: u32, current: u32| {
        format!(
            "Action=RestoreManagedPrefixListVersion&PrefixListId={id}&PreviousVersion={previous}&CurrentVersion={current}"
        )
    };
    assert_eq!(cloud.code(ALICE, &restore(1, 2)), MISMATCH);
    assert_eq!(cloud.code(ALICE, &restore(7, 3)), VALUE);
    let restored = cloud.ok(ALICE, &restore(1, 3));
    assert_eq!((text(&restored, "version"), text(&restored, "state")), ("4".into(), "restore-complete".into()));
    assert_eq!(entries(&mut cloud, &id, ""), ["10.1.0.0/16"]);
    assert_eq!(entries(&mut cloud, &id, "&TargetVersion=3"), ["10.2.0.0/16", "10.3.0.0/16"]);
    // What has no room any more does not come back.
    cloud.ok(ALICE, &modify(&id, "MaxEntries=1"));
    assert_eq!(cloud.code(ALICE, &restore(2, 4)), "PrefixListMaxEntriesExceeded");
    // Pages.
    let first =
        cloud.ok(ALICE, &format!("Action=GetManagedPrefixListEntries&PrefixListId={id}&TargetVersion=3&MaxResults=1"));
    let token = text(&first, "nextToken");
    assert_eq!(texts(&first, "cidr"), ["10.2.0.0/16"]);
    assert_eq!(entries(&mut cloud, &id, &format!("&TargetVersion=3&MaxResults=1&NextToken={token}")), ["10.3.0.0/16"]);
    // Versions are kept as the quota says, and go with the list.
    cloud.config.quotas.versions_per_prefix_list = 2;
    cloud.ok(ALICE, &modify(&id, "RemoveEntry.1.Cidr=10.1.0.0/16"));
    assert_eq!(entries(&mut cloud, &id, "&TargetVersion=4"), ["10.1.0.0/16"]);
    assert_eq!(
        cloud.code(ALICE, &format!("Action=GetManagedPrefixListEntries&PrefixListId={id}&TargetVersion=3")),
        VALUE
    );
    let gone = cloud.ok(ALICE, &format!("Action=DeleteManagedPrefixList&PrefixListId={id}"));
    assert_eq!(text(&gone, "state"), "delete-complete");
    let query = format!("Action=DescribeManagedPrefixLists&PrefixListId.1={id}");
    assert_eq!(cloud.code(ALICE, &query), "InvalidPrefixListID.NotFound");
    assert_eq!((cloud.world.prefix_lists.size(), cloud.world.prefix_list_histories.size()), (0, 0));
}

/// A VPC with a group, a table and an active peering.
struct Net {
    cloud: Harness,
    vpc: String,
    group: String,
    table: String,
    pcx: PeeringId,
}

impl Net {
    fn new() -> Net {
        let mut cloud = Harness::new();
        let vpc = vpc(&mut cloud, ALICE, "10.0.0.0/16");
        let other = things::vpc(&mut cloud, ALICE, "10.1.0.0/16");
        let made = format!("Action=CreateSecurityGroup&VpcId={vpc}&GroupName=web&GroupDescription=d");
        let group = text(&cloud.ok(ALICE, &made), "groupId");
        let table = table(&mut cloud, ALICE, &vpc);
        let pcx = peering(&mut cloud, &vpc, &other, PeeringStatus::Active);
        Net { cloud, vpc, group, table, pcx }
    }

    fn rule(&self, action: &str, list: &str) -> String {
        format!(
            "Action={action}&GroupId={}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=80&IpPermissions.1.ToPort=80\
             &IpPermissions.1.PrefixListIds.1.PrefixListId={list}",
            self.group
        )
    }

    fn route(&self, action: &str, list: &str) -> String {
        let target =
            if action == "DeleteRoute" { String::new() } else { format!("&VpcPeeringConnectionId={}", self.pcx) };
        format!("Action={action}&RouteTableId={}&DestinationPrefixListId={list}{target}", self.table)
    }

    fn users(&mut self, list: &str) -> Vec<String> {
        let query = format!("Action=GetManagedPrefixListAssociations&PrefixListId={list}");
        texts(&self.cloud.ok(ALICE, &query), "resourceId")
    }

    /// The lists that a host of the VPC is told.
    fn slice(&self) -> Vec<(PrefixListId, Vec<Cidr>)> {
        let vpc = self.vpc.parse().unwrap();
        let slice = plan::vpc_slice(self.cloud.config.region, &self.cloud.world, vpc).unwrap();
        slice.prefix_lists.into_iter().collect()
    }
}

#[test]
fn rules_and_routes_name_lists_and_hosts_are_told() {
    let mut net = Net::new();
    let list = create(&mut net.cloud, 5, &["10.1.0.0/16"]);
    let unused = create(&mut net.cloud, 5, &["10.2.0.0/16"]);
    let id: PrefixListId = list.parse().unwrap();
    assert!(net.slice().is_empty());

    let query = net.rule("AuthorizeSecurityGroupIngress", &list) + "&IpPermissions.1.PrefixListIds.1.Description=d";
    let made = net.cloud.ok(ALICE, &query);
    assert_eq!((text(&made, "prefixListId"), text(&made, "description")), (list.clone(), "d".into()));
    let rule = text(&made, "securityGroupRuleId");
    assert_eq!(net.cloud.code(ALICE, &query), "InvalidPermission.Duplicate");
    let described = net.cloud.ok(ALICE, &format!("Action=DescribeSecurityGroups&GroupId.1={}", net.group));
    assert_eq!(text(&described, "prefixListId"), list);
    assert_eq!(net.slice(), [(id, vec!["10.1.0.0/16".parse().unwrap()])]);

    let query = net.route("CreateRoute", &list);
    net.cloud.ok(ALICE, &query);
    assert_eq!(net.cloud.code(ALICE, &query), "RouteAlreadyExists");
    let routes = net.cloud.ok(ALICE, &format!("Action=DescribeRouteTables&RouteTableId.1={}", net.table));
    assert_eq!(text(&routes, "destinationPrefixListId"), list);
    let filtered =
        format!("Action=DescribeRouteTables&Filter.1.Name=route.destination-prefix-list-id&Filter.1.Value.1={list}");
    assert_eq!(texts(&net.cloud.ok(ALICE, &filtered), "routeSet").len(), 1);
    assert_eq!(net.users(&list), [net.table.clone(), net.group.clone()]);
    assert!(net.users(&unused).is_empty());

    // A change of the list is a change for the host.
    net.cloud.ok(ALICE, &modify(&list, "AddEntry.1.Cidr=10.3.0.0/16&RemoveEntry.1.Cidr=10.1.0.0/16"));
    assert_eq!(net.slice(), [(id, vec!["10.3.0.0/16".parse().unwrap()])]);

    // What is named stays.
    let delete = format!("Action=DeleteManagedPrefixList&PrefixListId={list}");
    let error = net.cloud.error(ALICE, &delete);
    assert_eq!(error.code, "DependencyViolation");
    assert!(error.message.contains(&net.table) && error.message.contains(&net.group), "{}", error.message);
    let revoke = format!("Action=RevokeSecurityGroupIngress&GroupId={}&SecurityGroupRuleId.1={rule}", net.group);
    net.cloud.ok(ALICE, &revoke);
    assert_eq!(net.users(&list), [net.table.clone()]);
    assert_eq!(net.cloud.code(ALICE, &delete), "DependencyViolation");
    let query = net.route("ReplaceRoute", &list);
    net.cloud.ok(ALICE, &query);
    let query = net.route("DeleteRoute", &list);
    net.cloud.ok(ALICE, &query);
    assert_eq!(net.cloud.code(ALICE, &query), "InvalidRoute.NotFound");
    net.cloud.ok(ALICE, &delete);
    assert!(net.slice().is_empty());
}

#[test]
fn a_rule_can_change_to_a_list_and_is_revoked_by_what_it_says() {
    let mut net = Net::new();
    let list = create(&mut net.cloud, 5, &["10.1.0.0/16"]);
    let rule = format!(
        "Action=AuthorizeSecurityGroupIngress&GroupId={}&IpProtocol=tcp&FromPort=80&ToPort=80&CidrIp=10.9.0.0/16",
        net.group
    );
    let id = text(&net.cloud.ok(ALICE, &rule), "securityGroupRuleId");
    let change = |list: &str| {
        format!(
            "Action=ModifySecurityGroupRules&GroupId={}&SecurityGroupRule.1.SecurityGroupRuleId={id}\
             &SecurityGroupRule.1.SecurityGroupRule.IpProtocol=tcp&SecurityGroupRule.1.SecurityGroupRule.FromPort=80\
             &SecurityGroupRule.1.SecurityGroupRule.ToPort=80&SecurityGroupRule.1.SecurityGroupRule.PrefixListId={list}",
            net.group
        )
    };
    let (mine, unknown) = (change(&list), change(&format!("pl-{UNKNOWN}")));
    net.cloud.ok(ALICE, &mine);
    assert_eq!(net.cloud.code(ALICE, &unknown), "InvalidPrefixListID.NotFound");
    let shown = net.cloud.ok(ALICE, &format!("Action=DescribeSecurityGroupRules&SecurityGroupRuleId.1={id}"));
    assert_eq!((text(&shown, "prefixListId"), texts(&shown, "cidrIpv4").len()), (list.clone(), 0));
    let query = net.rule("RevokeSecurityGroupIngress", &list);
    net.cloud.ok(ALICE, &query);
    assert_eq!(net.cloud.code(ALICE, &query), "InvalidPermission.NotFound");
}

#[test]
fn anothers_list_cannot_be_named() {
    let mut net = Net::new();
    let list = text(&net.cloud.ok(BOB, &creation("IPv4", 1, &[])), "prefixListId");
    for query in [
        net.rule("AuthorizeSecurityGroupIngress", &list),
        net.rule("AuthorizeSecurityGroupEgress", &list),
        net.route("CreateRoute", &list),
        net.route("ReplaceRoute", &list),
    ] {
        assert_eq!(net.cloud.code(ALICE, &query), "InvalidPrefixListID.NotFound", "{query}");
    }
}

/// Abuse case 44: what a list counts for is what it may ever hold, and what is over a quota is refused whole.
#[test]
fn a_list_counts_for_all_that_it_may_ever_hold() {
    let mut net = Net::new();
    let rules = "RulesPerSecurityGroupLimitExceeded";
    let (sixty, one) = (create(&mut net.cloud, 60, &[]), create(&mut net.cloud, 1, &[]));
    let large = create(&mut net.cloud, 61, &["10.1.0.0/16"]);
    let (authorize, egress) = ("AuthorizeSecurityGroupIngress", "AuthorizeSecurityGroupEgress");
    let query = net.rule(authorize, &large);
    assert_eq!(net.cloud.code(ALICE, &query), rules);
    let query = net.rule(authorize, &sixty);
    net.cloud.ok(ALICE, &query);
    // Full for IPv4, not for IPv6, and not for the other direction.
    let query = net.rule(authorize, &one);
    assert_eq!(net.cloud.code(ALICE, &query), rules);
    let six = text(&net.cloud.ok(ALICE, &creation("IPv6", 60, &[])), "prefixListId");
    let query = net.rule(authorize, &six);
    net.cloud.ok(ALICE, &query);
    let query = net.rule(egress, &one);
    net.cloud.ok(ALICE, &query);
    // A group that is full keeps its lists as they are: none may grow, shrinking makes room.
    let error = net.cloud.error(ALICE, &modify(&sixty, "MaxEntries=61"));
    assert_eq!(error.code, rules);
    assert!(error.message.contains(&net.group), "{}", error.message);
    assert_eq!(text(&shown(&mut net.cloud, &sixty), "maxEntries"), "60");
    net.cloud.ok(ALICE, &modify(&one, "MaxEntries=59"));
    assert_eq!(net.cloud.code(ALICE, &modify(&one, "MaxEntries=60")), rules, "the first rule of a group is one");
    net.cloud.ok(ALICE, &modify(&sixty, "MaxEntries=59"));

    // Routes: the same.
    let query = net.route("CreateRoute", &large);
    net.cloud.ok(ALICE, &query);
    let (rest, more) = (create(&mut net.cloud, 439, &[]), create(&mut net.cloud, 1, &[]));
    let query = net.route("CreateRoute", &rest);
    net.cloud.ok(ALICE, &query);
    let query = net.route("CreateRoute", &more);
    assert_eq!(net.cloud.code(ALICE, &query), "RouteLimitExceeded");
    let plain = format!(
        "Action=CreateRoute&RouteTableId={}&DestinationCidrBlock=10.1.0.0/16&VpcPeeringConnectionId={}",
        net.table, net.pcx
    );
    assert_eq!(net.cloud.code(ALICE, &plain), "RouteLimitExceeded");
    assert_eq!(net.cloud.code(ALICE, &modify(&large, "MaxEntries=62")), "RouteLimitExceeded");
    let query = net.route("CreateRoute", &six);
    net.cloud.ok(ALICE, &query);
    net.cloud.ok(ALICE, &modify(&large, "MaxEntries=60"));
    net.cloud.ok(ALICE, &plain);
}
