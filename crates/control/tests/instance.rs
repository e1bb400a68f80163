//! Interfaces and instances through the API, and what hosts say of them (spec ch. 8).

mod common;

use common::*;
use model::*;
use stream::{Condition, Report};

/// A cloud with a VPC 10.0.0.0/16 and a subnet 10.0.1.0/28 of Alice's.
fn cloud() -> (Harness, String, String) {
    let mut cloud = Harness::new();
    let vpc = text(&cloud.ok(ALICE, "Action=CreateVpc&CidrBlock=10.0.0.0/16"), "vpcId");
    let subnet = text(&cloud.ok(ALICE, &format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock=10.0.1.0/28")), "subnetId");
    (cloud, vpc, subnet)
}

fn with_host() -> (Harness, String, HostId) {
    let (mut cloud, _, subnet) = cloud();
    let host: HostId = "host-1".parse().unwrap();
    cloud.config.hosts = vec![host];
    (cloud, subnet, host)
}

fn run(cloud: &mut Harness, subnet: &str, more: &str) -> String {
    let document = cloud.ok(
        ALICE,
        &format!("Action=RunInstances&ImageId=ami-0123456789abcdef0&MinCount=1&MaxCount=1&SubnetId={subnet}{more}"),
    );
    text(&document, "instanceId")
}

fn state(cloud: &mut Harness, id: &str) -> String {
    let document = cloud.ok(ALICE, &format!("Action=DescribeInstances&InstanceId.1={id}"));
    let parsed = roxmltree::Document::parse(&document).unwrap();
    let state = parsed
        .descendants()
        .find(|node| node.has_tag_name("instanceState") || node.tag_name().name() == "instanceState")
        .unwrap();
    state.children().find(|node| node.tag_name().name() == "name").unwrap().text().unwrap().to_owned()
}

fn tell(cloud: &mut Harness, host: HostId, id: &str, starts: u32, condition: Condition) {
    let report = Report { instance: id.parse().unwrap(), starts, condition };
    let changes = control::report::receive(&cloud.world, host, &report, cloud.now);
    cloud.world = cloud.world.apply(&changes);
}

#[test]
fn without_hosts_instances_are_records_that_run_at_once() {
    let (mut cloud, _, subnet) = cloud();
    let id = run(&mut cloud, &subnet, "");
    assert_eq!(state(&mut cloud, &id), "running");
    cloud.ok(ALICE, &format!("Action=StopInstances&InstanceId.1={id}"));
    assert_eq!(state(&mut cloud, &id), "stopped");
    cloud.ok(ALICE, &format!("Action=StartInstances&InstanceId.1={id}"));
    assert_eq!(state(&mut cloud, &id), "running");
    cloud.ok(ALICE, &format!("Action=TerminateInstances&InstanceId.1={id}"));
    assert_eq!(state(&mut cloud, &id), "terminated");
    assert_eq!(cloud.world.network_interfaces.size(), 0);
}

#[test]
fn where_hosts_join_there_is_no_instance_before_one_has() {
    let (mut cloud, _, subnet) = cloud();
    cloud.config.needs_host = true;
    let query = format!("Action=RunInstances&ImageId=ami-0123456789abcdef0&MinCount=1&MaxCount=1&SubnetId={subnet}");
    assert_eq!(cloud.code(ALICE, &query), "InsufficientInstanceCapacity");
    assert_eq!(cloud.world.instances.size(), 0);
    cloud.config.hosts = vec!["host-1".parse().unwrap()];
    run(&mut cloud, &subnet, "");
}

#[test]
fn instances_spread_over_hosts_whatever_ran_without_one_before() {
    let (mut cloud, _, subnet) = cloud();
    run(&mut cloud, &subnet, "");
    cloud.config.hosts = ["host-1", "host-2"].map(|name| name.parse().unwrap()).into();
    for _ in 0..4 {
        run(&mut cloud, &subnet, "");
    }
    let mut hosts: Vec<_> = cloud.world.instances.values().map(|i| i.host.map(|host| host.to_string())).collect();
    hosts.sort();
    let one = |name: &str| Some(name.to_string());
    assert_eq!(hosts, [None, one("host-1"), one("host-1"), one("host-2"), one("host-2")]);
}

#[test]
fn with_a_host_states_follow_what_it_reports() {
    let (mut cloud, subnet, host) = with_host();
    let id = run(&mut cloud, &subnet, "");
    assert_eq!(state(&mut cloud, &id), "pending");
    tell(&mut cloud, "other".parse().unwrap(), &id, 1, Condition::Running);
    assert_eq!(state(&mut cloud, &id), "pending", "another host's word");
    tell(&mut cloud, host, &id, 1, Condition::Running);
    assert_eq!(state(&mut cloud, &id), "running");
    cloud.ok(ALICE, &format!("Action=StopInstances&InstanceId.1={id}"));
    assert_eq!(state(&mut cloud, &id), "stopping");
    tell(&mut cloud, host, &id, 1, Condition::Stopped);
    assert_eq!(state(&mut cloud, &id), "stopped");
    cloud.ok(ALICE, &format!("Action=StartInstances&InstanceId.1={id}"));
    tell(&mut cloud, host, &id, 1, Condition::Failed("late".into()));
    assert_eq!(state(&mut cloud, &id), "pending", "a report about an earlier start");
    tell(&mut cloud, host, &id, 2, Condition::Failed("no tun device".into()));
    assert_eq!(state(&mut cloud, &id), "stopped");
    let document = cloud.ok(ALICE, &format!("Action=DescribeInstances&InstanceId.1={id}"));
    assert!(document.contains("Server.InternalError: no tun device"));
    cloud.ok(ALICE, &format!("Action=TerminateInstances&InstanceId.1={id}"));
    tell(&mut cloud, host, &id, 2, Condition::Terminated);
    assert_eq!(state(&mut cloud, &id), "terminated");
}

#[test]
fn an_instance_that_shuts_itself_down_stops_or_is_terminated() {
    let (mut cloud, subnet, host) = with_host();
    let id = run(&mut cloud, &subnet, "");
    tell(&mut cloud, host, &id, 1, Condition::Running);
    tell(&mut cloud, host, &id, 2, Condition::Ended);
    assert_eq!(state(&mut cloud, &id), "running", "a report about another start");
    tell(&mut cloud, host, &id, 1, Condition::Ended);
    assert_eq!(state(&mut cloud, &id), "stopped");
    let shown = |cloud: &mut Harness| {
        let document = cloud.ok(ALICE, &format!("Action=DescribeInstances&InstanceId.1={id}"));
        let reason = document.contains("<stateReason><code>Client.InstanceInitiatedShutdown</code>");
        assert_eq!(
            reason,
            document.contains("<message>Client.InstanceInitiatedShutdown: Instance initiated shutdown</message>")
        );
        (reason, text(&document, "reason"))
    };
    assert_eq!(shown(&mut cloud), (true, "User initiated".to_owned()));
    for filter in ["state-reason-code", "reason"] {
        let value = if filter == "reason" { "User*" } else { "Client.InstanceInitiatedShutdown" };
        let query = format!("Action=DescribeInstances&Filter.1.Name={filter}&Filter.1.Value.1={value}");
        assert_eq!(texts(&cloud.ok(ALICE, &query), "instanceId").len(), 1, "{filter}");
    }

    cloud.ok(ALICE, &format!("Action=StartInstances&InstanceId.1={id}"));
    assert_eq!(shown(&mut cloud), (false, String::new()));
    // What the user protects from the API is not protected from itself, as on AWS.
    for attribute in ["InstanceInitiatedShutdownBehavior.Value=terminate", "DisableApiTermination.Value=true"] {
        cloud.ok(ALICE, &format!("Action=ModifyInstanceAttribute&InstanceId={id}&{attribute}"));
    }
    tell(&mut cloud, host, &id, 2, Condition::Ended);
    assert_eq!((state(&mut cloud, &id), shown(&mut cloud).0), ("shutting-down".to_owned(), true));
    tell(&mut cloud, host, &id, 2, Condition::Ended);
    assert_eq!(state(&mut cloud, &id), "shutting-down", "its host has not said that its files are gone");
    tell(&mut cloud, host, &id, 2, Condition::Terminated);
    assert_eq!((state(&mut cloud, &id), shown(&mut cloud).0), ("terminated".to_owned(), true));
    assert_eq!(cloud.world.network_interfaces.size(), 0);
}

#[test]
fn addresses_are_inside_free_and_not_reserved() {
    let (mut cloud, _, subnet) = cloud();
    let create = |address: &str| format!("Action=CreateNetworkInterface&SubnetId={subnet}&PrivateIpAddress={address}");
    assert_eq!(text(&cloud.ok(ALICE, &create("10.0.1.5")), "privateIpAddress"), "10.0.1.5");
    assert_eq!(cloud.code(ALICE, &create("10.0.1.5")), "InvalidIPAddress.InUse");
    for outside in ["10.0.1.0", "10.0.1.1", "10.0.1.2", "10.0.1.3", "10.0.1.15", "10.0.1.16", "10.0.2.5"] {
        assert_eq!(cloud.code(ALICE, &create(outside)), "InvalidParameterValue", "{outside}");
    }
    for _ in 0..10 {
        cloud.ok(ALICE, &format!("Action=CreateNetworkInterface&SubnetId={subnet}"));
    }
    assert_eq!(
        cloud.code(ALICE, &format!("Action=CreateNetworkInterface&SubnetId={subnet}")),
        "InsufficientFreeAddressesInSubnet"
    );
    let distinct: std::collections::BTreeSet<_> =
        cloud.world.network_interfaces.values().map(|i| i.primary_ip()).collect();
    assert_eq!(distinct.len(), 11);
}

#[test]
fn the_primary_address_comes_first_whatever_the_order() {
    let (mut cloud, _, subnet) = cloud();
    let document = cloud.ok(ALICE, &format!("Action=CreateNetworkInterface&SubnetId={subnet}&PrivateIpAddresses.1.PrivateIpAddress=10.0.1.6&PrivateIpAddresses.2.PrivateIpAddress=10.0.1.7&PrivateIpAddresses.2.Primary=true"));
    assert_eq!(text(&document, "privateIpAddress"), "10.0.1.7");
    let id = text(&document, "networkInterfaceId");
    let two = format!(
        "Action=CreateNetworkInterface&SubnetId={subnet}&PrivateIpAddress=10.0.1.8&PrivateIpAddresses.1.PrivateIpAddress=10.0.1.9&PrivateIpAddresses.1.Primary=true"
    );
    assert_eq!(cloud.code(ALICE, &two), "InvalidParameterCombination");
    assert_eq!(
        cloud.code(
            ALICE,
            &format!("Action=UnassignPrivateIpAddresses&NetworkInterfaceId={id}&PrivateIpAddress.1=10.0.1.7")
        ),
        "InvalidParameterValue"
    );
    cloud.ok(ALICE, &format!("Action=UnassignPrivateIpAddresses&NetworkInterfaceId={id}&PrivateIpAddress.1=10.0.1.6"));
    cloud.ok(
        ALICE,
        &format!("Action=AssignPrivateIpAddresses&NetworkInterfaceId={id}&SecondaryPrivateIpAddressCount=2"),
    );
    assert_eq!(cloud.world.network_interfaces.values().next().unwrap().private_ips.len(), 3);
}

#[test]
fn groups_of_other_vpcs_and_accounts_are_refused() {
    let (mut cloud, _, subnet) = cloud();
    let other = text(&cloud.ok(ALICE, "Action=CreateVpc&CidrBlock=10.1.0.0/16"), "vpcId");
    cloud.ok(BOB, "Action=CreateVpc&CidrBlock=10.2.0.0/16");
    let group = |cloud: &Harness, owner: &str, vpc: Option<&str>| {
        let groups = cloud.world.security_groups.values();
        groups
            .filter(|g| g.owner.to_string() == owner)
            .find(|g| vpc.is_none_or(|vpc| g.vpc.to_string() == vpc))
            .unwrap()
            .id
    };
    let theirs = group(&cloud, BOB, None);
    let elsewhere = group(&cloud, ALICE, Some(&other));
    let create =
        |group: SecurityGroupId| format!("Action=CreateNetworkInterface&SubnetId={subnet}&SecurityGroupId.1={group}");
    assert_eq!(cloud.code(ALICE, &create(theirs)), "InvalidGroup.NotFound");
    assert_eq!(cloud.code(ALICE, &create(elsewhere)), "InvalidParameter");
}

#[test]
fn attachment_rules() {
    let (mut cloud, vpc, subnet) = cloud();
    let zone_b = text(
        &cloud.ok(ALICE, &format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock=10.0.2.0/28&AvailabilityZone=us-east-1b")),
        "subnetId",
    );
    let id = run(&mut cloud, &subnet, "");
    let interface = |cloud: &mut Harness, subnet: &str| {
        text(&cloud.ok(ALICE, &format!("Action=CreateNetworkInterface&SubnetId={subnet}")), "networkInterfaceId")
    };
    let (here, there) = (interface(&mut cloud, &subnet), interface(&mut cloud, &zone_b));
    let attach = |interface: &str, index: i32| {
        format!("Action=AttachNetworkInterface&InstanceId={id}&NetworkInterfaceId={interface}&DeviceIndex={index}")
    };
    assert_eq!(cloud.code(ALICE, &attach(&here, 0)), "InvalidParameterValue", "index 0 is taken");
    assert_eq!(cloud.code(ALICE, &attach(&here, 99)), "InvalidParameterValue");
    assert_eq!(cloud.code(ALICE, &attach(&there, 1)), "InvalidParameterValue", "another zone");
    assert_eq!(cloud.code(BOB, &attach(&here, 1)), "InvalidInstanceID.NotFound");
    let attachment = text(&cloud.ok(ALICE, &attach(&here, 1)), "attachmentId");
    assert_eq!(cloud.code(ALICE, &attach(&here, 2)), "InvalidNetworkInterface.InUse");
    assert_eq!(
        cloud.code(ALICE, &format!("Action=DeleteNetworkInterface&NetworkInterfaceId={here}")),
        "InvalidParameterValue"
    );
    let primary = cloud
        .world
        .network_interfaces
        .values()
        .find_map(|i| i.attachment.as_ref().filter(|a| a.device_index == 0))
        .unwrap()
        .id;
    assert_eq!(
        cloud.code(ALICE, &format!("Action=DetachNetworkInterface&AttachmentId={primary}")),
        "OperationNotPermitted"
    );
    cloud.ok(ALICE, &format!("Action=DetachNetworkInterface&AttachmentId={attachment}"));
    cloud.ok(ALICE, &format!("Action=DeleteNetworkInterface&NetworkInterfaceId={here}"));
    assert_eq!(
        cloud.code(ALICE, &format!("Action=DeleteNetworkInterface&NetworkInterfaceId={here}")),
        "InvalidNetworkInterfaceID.NotFound"
    );
}

#[test]
fn a_client_token_runs_once() {
    let (mut cloud, _, subnet) = cloud();
    let first = run(&mut cloud, &subnet, "&ClientToken=once");
    assert_eq!(run(&mut cloud, &subnet, "&ClientToken=once"), first);
    assert_eq!(cloud.world.instances.size(), 1);
    let other = format!(
        "Action=RunInstances&ImageId=ami-0123456789abcdef1&MinCount=1&MaxCount=1&SubnetId={subnet}&ClientToken=once"
    );
    assert_eq!(cloud.code(ALICE, &other), "IdempotentParameterMismatch");
}

#[test]
fn bad_launches_are_refused_by_name() {
    let (mut cloud, _, subnet) = cloud();
    let big = "A".repeat(21_852);
    for (query, code) in [
        ("ImageId=ami-0123456789abcdef0&MinCount=1&MaxCount=1".to_owned(), "VPCIdNotSpecified"),
        (format!("ImageId=ami-1&MinCount=1&MaxCount=1&SubnetId={subnet}"), "InvalidAMIID.Malformed"),
        (format!("MinCount=1&MaxCount=1&SubnetId={subnet}"), "MissingParameter"),
        (format!("ImageId=ami-0123456789abcdef0&MinCount=0&MaxCount=1&SubnetId={subnet}"), "InvalidParameterValue"),
        (format!("ImageId=ami-0123456789abcdef0&MinCount=2&MaxCount=1&SubnetId={subnet}"), "InvalidParameterValue"),
        (format!("ImageId=ami-0123456789abcdef0&MinCount=100&MaxCount=100&SubnetId={subnet}"), "InstanceLimitExceeded"),
        (
            format!("ImageId=ami-0123456789abcdef0&MinCount=2&MaxCount=2&SubnetId={subnet}&PrivateIpAddress=10.0.1.5"),
            "InvalidParameterCombination",
        ),
        (
            format!("ImageId=ami-0123456789abcdef0&MinCount=12&MaxCount=12&SubnetId={subnet}"),
            "InsufficientFreeAddressesInSubnet",
        ),
        (
            format!("ImageId=ami-0123456789abcdef0&MinCount=1&MaxCount=1&SubnetId={subnet}&UserData=%21"),
            "InvalidParameterValue",
        ),
        (
            format!("ImageId=ami-0123456789abcdef0&MinCount=1&MaxCount=1&SubnetId={subnet}&UserData={big}"),
            "InvalidParameterValue",
        ),
        (
            format!(
                "ImageId=ami-0123456789abcdef0&MinCount=1&MaxCount=1&SubnetId={subnet}&NetworkInterface.1.DeviceIndex=0&NetworkInterface.1.SubnetId={subnet}"
            ),
            "InvalidParameterCombination",
        ),
        (
            format!(
                "ImageId=ami-0123456789abcdef0&MinCount=1&MaxCount=1&NetworkInterface.1.DeviceIndex=1&NetworkInterface.1.SubnetId={subnet}"
            ),
            "InvalidParameterValue",
        ),
    ] {
        assert_eq!(cloud.code(ALICE, &format!("Action=RunInstances&{query}")), code, "{query}");
    }
    assert_eq!(
        cloud.code(
            BOB,
            &format!("Action=RunInstances&ImageId=ami-0123456789abcdef0&MinCount=1&MaxCount=1&SubnetId={subnet}")
        ),
        "InvalidSubnetID.NotFound"
    );
}

#[test]
fn protected_instances_stay() {
    let (mut cloud, _, subnet) = cloud();
    let id = run(&mut cloud, &subnet, "&DisableApiTermination=true&DisableApiStop=true");
    assert_eq!(cloud.code(ALICE, &format!("Action=TerminateInstances&InstanceId.1={id}")), "OperationNotPermitted");
    assert_eq!(cloud.code(ALICE, &format!("Action=StopInstances&InstanceId.1={id}")), "OperationNotPermitted");
    cloud.ok(ALICE, &format!("Action=ModifyInstanceAttribute&InstanceId={id}&DisableApiTermination.Value=false"));
    cloud.ok(ALICE, &format!("Action=TerminateInstances&InstanceId.1={id}"));
    assert_eq!(cloud.code(ALICE, &format!("Action=StartInstances&InstanceId.1={id}")), "IncorrectInstanceState");
}

#[test]
fn filters_reach_into_interfaces() {
    let (mut cloud, _, subnet) = cloud();
    let id = run(
        &mut cloud,
        &subnet,
        "&PrivateIpAddress=10.0.1.9&TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=web-1",
    );
    run(&mut cloud, &subnet, "");
    for filter in [
        "network-interface.addresses.private-ip-address&Filter.1.Value.1=10.0.1.9",
        "private-ip-address&Filter.1.Value.1=10.0.1.9",
        "tag:Name&Filter.1.Value.1=web-*",
    ] {
        let document = cloud.ok(ALICE, &format!("Action=DescribeInstances&Filter.1.Name={filter}"));
        assert_eq!(texts(&document, "instanceId"), [id.as_str()], "{filter}");
    }
    assert_eq!(
        cloud.code(ALICE, "Action=DescribeInstances&Filter.1.Name=nope&Filter.1.Value.1=x"),
        "InvalidParameterValue"
    );
}

/// Every filter finds what answers show under its name, and nothing else.
#[test]
fn instances_are_found_by_what_they_have() {
    let (mut cloud, vpc, subnet) = cloud();
    let tags = "TagSpecification.1.ResourceType=network-interface&TagSpecification.1.Tag.1.Key=nic&TagSpecification.1.Tag.1.Value=a";
    let id = run(
        &mut cloud,
        &subnet,
        &format!("&{tags}&PrivateDnsNameOptions.HostnameType=resource-name&EbsOptimized=true"),
    );
    run(&mut cloud, &subnet, "");
    let found = |cloud: &mut Harness, name: &str, value: &str| {
        let query = format!("Action=DescribeInstances&Filter.1.Name={name}&Filter.1.Value.1={value}");
        texts(&cloud.ok(ALICE, &query), "instanceId")
    };
    for (name, value) in [
        ("ebs-optimized", "true"),
        ("private-dns-name-options.hostname-type", "resource-name"),
        ("network-interface.tag-key", "nic"),
        ("network-interface.tag-value", "a"),
    ] {
        assert_eq!(found(&mut cloud, name, value), std::slice::from_ref(&id), "{name}");
    }
    for (name, value) in [
        ("block-device-mapping.status", "attached"),
        ("enclave-options.enabled", "false"),
        ("ena-support", "true"),
        ("hibernation-options.configured", "false"),
        ("maintenance-options.auto-recovery", "default"),
        ("metadata-options.state", "applied"),
        ("network-interface.attachment.instance-id", "i-*"),
        ("network-interface.attachment.network-card-index", "0"),
        ("network-interface.operator.managed", "false"),
        ("operator.managed", "false"),
        ("platform-details", "Linux*"),
        ("subnet-id", &subnet),
        ("vpc-id", &vpc),
    ] {
        assert_eq!(found(&mut cloud, name, value).len(), 2, "{name}");
    }
    for name in ["instance-lifecycle", "spot-instance-request-id", "iam-instance-profile.arn"] {
        assert!(found(&mut cloud, name, "*").is_empty(), "{name}");
    }
    // What ended is in no subnet any more, as its answer says.
    cloud.ok(ALICE, &format!("Action=TerminateInstances&InstanceId.1={id}"));
    assert_eq!(found(&mut cloud, "instance-id", &id), std::slice::from_ref(&id));
    assert_eq!((found(&mut cloud, "subnet-id", &subnet).len(), found(&mut cloud, "vpc-id", &vpc).len()), (1, 1));
}

/// Pages are of what is shown, and the filters are the action's own.
#[test]
fn the_status_of_instances() {
    let (mut cloud, _, subnet) = cloud();
    let ids: Vec<String> = (0..8).map(|_| run(&mut cloud, &subnet, "")).collect();
    let mut sorted = ids.clone();
    sorted.sort();
    sorted[..6].iter().for_each(|id| drop(cloud.ok(ALICE, &format!("Action=StopInstances&InstanceId.1={id}"))));
    let status = |cloud: &mut Harness, more: &str| cloud.ok(ALICE, &format!("Action=DescribeInstanceStatus{more}"));
    let first = status(&mut cloud, "&MaxResults=5");
    assert_eq!(texts(&first, "instanceId"), sorted[6..]);
    assert!(texts(&first, "nextToken").is_empty());
    let all = "&IncludeAllInstances=true";
    assert_eq!(texts(&status(&mut cloud, all), "instanceId"), sorted);
    for (name, value, count) in [
        ("instance-status.status", "ok", 2),
        ("system-status.status", "not-applicable", 6),
        ("instance-status.reachability", "passed", 2),
        ("instance-state-name", "stopped", 6),
        ("availability-zone", "us-east-1a", 8),
        ("event.code", "*", 0),
    ] {
        let shown = status(&mut cloud, &format!("{all}&Filter.1.Name={name}&Filter.1.Value.1={value}"));
        assert_eq!(texts(&shown, "instanceId").len(), count, "{name}");
    }
    let foreign = format!("Action=DescribeInstanceStatus&InstanceId.1={}", ids[0]);
    assert_eq!(cloud.code(BOB, &foreign), "InvalidInstanceID.NotFound");
    let wrong = "Action=DescribeInstanceStatus&Filter.1.Name=instance-type&Filter.1.Value.1=x";
    assert_eq!(cloud.code(ALICE, wrong), "InvalidParameterValue");
}

/// What a filter keeps comes once over all pages, however little of it lies on each; and no page looks at everything.
#[test]
fn pages_of_statuses_that_pass_a_filter_hold_each_once() {
    const MANY: usize = 4100;
    let (mut cloud, _, subnet) = cloud();
    let made = run(&mut cloud, &subnet, "");
    let made = Instance::clone(cloud.world.find(&made.parse::<InstanceId>().unwrap()).unwrap());
    let numbered = |n: usize| Instance {
        id: format!("i-{n:017x}").parse().unwrap(),
        state: if n % 450 == 7 { InstanceState::Running } else { InstanceState::Stopped },
        ..made.clone()
    };
    let mut changes: Vec<Change> = (0..MANY).map(|n| Change::Put(Resource::Instance(numbered(n).into()))).collect();
    changes.push(Change::Delete(Instance::key(made.id)));
    cloud.world = cloud.world.apply(&changes);
    let running: Vec<String> = (0..MANY).filter(|n| n % 450 == 7).map(|n| numbered(n).id.to_string()).collect();
    let ok = "Filter.1.Name=instance-status.status&Filter.1.Value.1=ok";
    let stopped = "IncludeAllInstances=true&Filter.1.Name=instance-state-name&Filter.1.Value.1=stopped";
    for (asked, wanted, pages_max) in
        [(ok, running.len(), 3), (stopped, MANY - running.len(), 5), ("", running.len(), 3)]
    {
        let (mut seen, mut token, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let size = if asked == stopped { 1000 } else { 5 };
            let page = format!("Action=DescribeInstanceStatus&{asked}&MaxResults={size}{token}");
            let page = cloud.ok(ALICE, &page);
            seen.extend(texts(&page, "instanceId"));
            pages += 1;
            match texts(&page, "nextToken").pop() {
                Some(next) => token = format!("&NextToken={next}"),
                None => break,
            }
        }
        assert!(seen.is_sorted_by(|a, b| a < b) && seen.len() == wanted, "{asked}: {} of {wanted}", seen.len());
        assert!(pages <= pages_max, "{asked}: {pages} pages");
        if asked != stopped {
            assert_eq!(seen, running);
        }
    }
    let nothing = "Action=DescribeInstanceStatus&Filter.1.Name=event.code&Filter.1.Value.1=x&MaxResults=5";
    let first = cloud.ok(ALICE, nothing);
    assert!(texts(&first, "instanceId").is_empty(), "{first}");
    let token = text(&first, "nextToken");
    let last = cloud.ok(ALICE, &format!("{nothing}&NextToken={token}"));
    assert!(texts(&last, "instanceId").is_empty() && texts(&last, "nextToken").is_empty(), "{last}");
}

/// A token goes on with the list that it came from.
#[test]
fn a_token_of_another_action_is_none() {
    let (mut cloud, _, subnet) = cloud();
    (0..8).for_each(|_| drop(run(&mut cloud, &subnet, "")));
    let token = text(&cloud.ok(ALICE, "Action=DescribeInstances&MaxResults=5"), "nextToken");
    let rest = |action: &str| format!("Action={action}&NextToken={token}");
    assert_eq!(texts(&cloud.ok(ALICE, &rest("DescribeInstances")), "reservationId").len(), 3);
    for action in [
        "DescribeVpcs",
        "DescribeNetworkInterfaces",
        "DescribeSecurityGroupRules",
        "DescribeSubnets",
        "DescribeVpcPeeringConnections",
    ] {
        assert_eq!(cloud.code(ALICE, &rest(action)), "InvalidNextToken", "{action}");
    }
}
