//! Random parameters for random actions: no panic, no server's error, no document that is not well-formed, and nothing that a
//! host or the clock could stumble over afterwards.

mod common;

use std::collections::BTreeMap;

use common::{ALICE, BOB, Harness, text};
use ec2::action::NAMES;
use model::*;
use proptest::prelude::*;
use stream::{Condition, Report};

/// Parameters whose absence is always well, beside those that the action itself asks for.
const OPTIONAL: [&str; 48] = [
    "ClientToken",
    "DryRun",
    "MaxResults",
    "NextToken",
    "Filter.1.Name",
    "Filter.1.Value.1",
    "TagSpecification.1.ResourceType",
    "TagSpecification.1.Tag.1.Key",
    "TagSpecification.1.Tag.1.Value",
    "VpcId.1",
    "VpcId",
    "SubnetId",
    "GroupId",
    "GroupId.1",
    "SecurityGroupId.1",
    "InstanceId.1",
    "ResourceId.2",
    "NetworkInterfaceId",
    "VpcPeeringConnectionId.1",
    "VpcPeeringConnectionId",
    "GatewayId",
    "DestinationCidrBlock",
    "DestinationIpv6CidrBlock",
    "CidrBlock",
    "Ipv6CidrBlock",
    "AmazonProvidedIpv6CidrBlock",
    "AssociationId",
    "PeerOwnerId",
    "PeerRegion",
    "IpPermissions.1.IpProtocol",
    "IpPermissions.1.FromPort",
    "IpPermissions.1.ToPort",
    "IpPermissions.1.IpRanges.1.CidrIp",
    "IpPermissions.1.Ipv6Ranges.1.CidrIpv6",
    "IpPermissions.1.Groups.1.GroupId",
    "SecurityGroupRuleId.1",
    "PrivateIpAddress",
    "PrivateIpAddress.1",
    "SecondaryPrivateIpAddressCount",
    "Ipv6AddressCount",
    "NetworkInterface.1.DeviceIndex",
    "NetworkInterface.1.SubnetId",
    "NetworkInterface.1.NetworkInterfaceId",
    "PortRange.From",
    "PortRange.To",
    "Icmp.Type",
    "Icmp.Code",
    "UserData",
];
/// What actions need beside what they ask for by name: by a part of the action's name.
const USUAL: [(&str, &[&str]); 13] = [
    ("RunInstances", &["SubnetId"]),
    ("CreateSecurityGroup", &["VpcId"]),
    ("Route", &["DestinationCidrBlock", "VpcPeeringConnectionId"]),
    ("SecurityGroupIngress", PERMISSION),
    ("SecurityGroupEgress", PERMISSION),
    ("DescriptionsIngress", PERMISSION),
    ("DescriptionsEgress", PERMISSION),
    (
        "ModifySecurityGroupRules",
        &[
            "SecurityGroupRule.1.SecurityGroupRuleId",
            "SecurityGroupRule.1.SecurityGroupRule.IpProtocol",
            "SecurityGroupRule.1.SecurityGroupRule.FromPort",
            "SecurityGroupRule.1.SecurityGroupRule.ToPort",
            "SecurityGroupRule.1.SecurityGroupRule.CidrIpv4",
        ],
    ),
    ("CreateDhcpOptions", &["DhcpConfiguration.1.Key", "DhcpConfiguration.1.Value.1"]),
    ("ModifyVpcAttribute", &["EnableDnsHostnames.Value"]),
    ("ModifySubnetAttribute", &["MapPublicIpOnLaunch.Value"]),
    ("ModifyInstanceAttribute", &["DisableApiStop.Value"]),
    ("ModifyNetworkInterfaceAttribute", &["SourceDestCheck.Value"]),
];
const PERMISSION: &[&str] = &[
    "IpPermissions.1.IpProtocol",
    "IpPermissions.1.FromPort",
    "IpPermissions.1.ToPort",
    "IpPermissions.1.IpRanges.1.CidrIp",
];
/// Values that fit nothing, or nearly.
const WILD: [&str; 20] = [
    "",
    "0",
    "-1",
    "1",
    "5",
    "65535",
    "65536",
    "2147483648",
    "99999999999999999999",
    "true",
    "maybe",
    "10.0.0.0/33",
    "10.0.0.1/16",
    "2001:db8::/56",
    "::ffff:10.0.0.1",
    "vpc-xyz",
    "vpc-00000000000000000",
    "%00%01%F0%9F%90%9F",
    "a*?%5C",
    "tcp",
];
/// How often an action is asked again with what it said was missing.
const ASKED_MAX: usize = 8;

/// xorshift64 (Marsaglia 2003).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }
}

/// The ids of everything there is, by the part before the dash.
fn ids(world: &World) -> BTreeMap<String, Vec<String>> {
    let mut ids: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut documents = String::new();
    for resource in world.resources() {
        documents.push_str(&format!("{resource:?}"));
    }
    // Ids that stand inside of resources too, such as those of associations and rules.
    for word in documents.split(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
        if let Some((kind, digits)) = word.rsplit_once('-')
            && digits.len() == 17
            && digits.bytes().all(|b| b.is_ascii_hexdigit())
        {
            ids.entry(kind.to_owned()).or_default().push(word.to_owned());
        }
    }
    ids
}

/// A value for a parameter of that name, mostly one that fits.
fn value(dice: &mut Dice, ids: &BTreeMap<String, Vec<String>>, name: &str) -> String {
    if dice.below(12) == 0 {
        return (*dice.pick(&WILD).unwrap()).into();
    }
    let last = name.split('.').rfind(|part| part.parse::<u64>().is_err()).unwrap_or(name);
    let kinds: &[&str] = match last {
        "VpcId" | "PeerVpcId" => &["vpc"],
        "SubnetId" => &["subnet"],
        "RouteTableId" => &["rtb"],
        "GroupId" | "SecurityGroupId" | "ReferencedGroupId" => &["sg"],
        "SecurityGroupRuleId" => &["sgr"],
        "NetworkAclId" => &["acl"],
        "NetworkInterfaceId" => &["eni"],
        "InstanceId" => &["i"],
        "AttachmentId" => &["eni-attach"],
        "InternetGatewayId" => &["igw"],
        "GatewayId" => &["igw", "pcx"],
        "VpcPeeringConnectionId" => &["pcx"],
        "DhcpOptionsId" => &["dopt"],
        "AssociationId" => &["rtbassoc", "aclassoc", "vpc-cidr-assoc", "subnet-cidr-assoc"],
        "ResourceId" => &["vpc", "subnet", "rtb", "sg", "pcx", "i", "eni", "igw", "acl"],
        _ => &[],
    };
    if let Some(found) = dice.pick(kinds).and_then(|kind| ids.get(*kind)).and_then(|of_kind| dice.pick(of_kind)) {
        return found.clone();
    }
    let fitting: &[&str] = match last {
        "CidrBlock" => &["10.0.0.0/16", "10.1.0.0/16", "10.0.1.0/24", "10.0.2.0/24", "10.1.1.0/28", "10.2.0.0/16"],
        "DestinationCidrBlock" | "CidrIp" | "CidrIpv4" => &["10.1.0.0/16", "10.1.1.0/24", "0.0.0.0/0", "10.0.0.5/32"],
        "DestinationIpv6CidrBlock" | "CidrIpv6" | "Ipv6CidrBlock" => &["::/0", "2001:db8::/32"],
        "IpProtocol" | "Protocol" => &["tcp", "udp", "icmp", "icmpv6", "-1", "6", "50"],
        "PeerOwnerId" | "UserId" => &[ALICE, BOB],
        "PeerRegion" => &["us-east-1", "eu-west-1"],
        "PrivateIpAddress" => &["10.0.1.5", "10.0.1.6", "10.0.1.0", "10.0.2.9"],
        "RuleAction" => &["allow", "deny"],
        "RuleNumber" => &["1", "100", "32766", "32767"],
        "FromPort" | "ToPort" | "From" | "To" => &["0", "22", "80", "65535"],
        "MinCount" | "MaxCount" => &["1", "2"],
        "DeviceIndex" => &["0", "1"],
        "SecondaryPrivateIpAddressCount" | "Ipv6AddressCount" => &["1", "2"],
        "ImageId" => &["ami-12345678"],
        "UserData" => &["IyEvYmluL3No"],
        "Key" if name.starts_with("Dhcp") => &["domain-name", "domain-name-servers", "ntp-servers"],
        "Value" if name.ends_with("Value") => &["true", "false"],
        "Name" => &["vpc-id", "cidr-block", "tag:Name", "state", "status-code", "group-name"],
        "Key" | "Value" | "GroupName" | "GroupDescription" => &["a", "Name", "b"],
        "ResourceType" => &["vpc", "subnet", "instance", "security-group", "vpc-peering-connection"],
        "MaxResults" => &["5", "1000"],
        "Attribute" => &["enableDnsSupport", "userData", "instanceType", "description", "groupSet"],
        _ => &["true", "false", "a", "1"],
    };
    (*dice.pick(fitting).unwrap()).into()
}

/// One request, asked again with what it lacked.
fn act(harness: &mut Harness, action: &str, dice: &mut Dice) -> Result<(), TestCaseError> {
    let ids = ids(&harness.world);
    let account = if dice.below(4) == 0 { BOB } else { ALICE };
    let count = dice.below(4);
    let usual = USUAL.iter().filter(|(part, _)| action.contains(part)).flat_map(|(_, names)| *names);
    let mut parameters: Vec<(String, String)> = usual.map(|name| ((*name).into(), value(dice, &ids, name))).collect();
    for _ in 0..count {
        let name = *dice.pick(&OPTIONAL).unwrap();
        // Most dry runs and tokens end a request early.
        if ["DryRun", "ClientToken", "NextToken"].contains(&name) && dice.below(4) != 0 {
            continue;
        }
        parameters.push((name.into(), value(dice, &ids, name)));
    }
    for _ in 0..ASKED_MAX {
        let pairs: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let query = format!("Action={action}&{}", pairs.join("&"));
        match harness.call(account, &query) {
            Ok(document) => {
                prop_assert!(roxmltree::Document::parse(&document).is_ok(), "{query}: {document}");
                return Ok(());
            }
            Err(error) => {
                prop_assert!((400..500).contains(&error.status), "{query}: {error:?}");
                let lacks = error
                    .message
                    .strip_prefix("The request must contain the parameter ")
                    .filter(|_| error.code == "MissingParameter");
                let name = lacks.map(|rest| rest.split(' ').next().unwrap_or(rest).trim_end_matches('.'));
                match name {
                    Some(name) if !name.is_empty() => {
                        // Lists are asked for by the name of the list.
                        let indexed = dice.below(2) == 0;
                        let value = value(dice, &ids, name);
                        parameters.push((name.into(), value.clone()));
                        if indexed {
                            parameters.push((format!("{name}.1"), value));
                        }
                    }
                    _ => return Ok(()),
                }
            }
        }
    }
    Ok(())
}

/// A cloud with something of everything.
fn furnished() -> Harness {
    let mut cloud = Harness::new();
    cloud.config.hosts = vec!["h1".parse().unwrap()];
    let vpcs = [(ALICE, "10.0"), (ALICE, "10.1"), (BOB, "10.2")].map(|(account, prefix)| {
        let vpc = text(&cloud.ok(account, &format!("Action=CreateVpc&CidrBlock={prefix}.0.0/16&AmazonProvidedIpv6CidrBlock=true")), "vpcId");
        let subnet = text(&cloud.ok(account, &format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock={prefix}.1.0/24")), "subnetId");
        cloud.ok(account, &format!("Action=RunInstances&ImageId=ami-12345678&MinCount=2&MaxCount=2&SubnetId={subnet}"));
        cloud.ok(account, &format!("Action=CreateNetworkInterface&SubnetId={subnet}"));
        let table = text(&cloud.ok(account, &format!("Action=CreateRouteTable&VpcId={vpc}")), "routeTableId");
        cloud.ok(account, &format!("Action=AssociateRouteTable&RouteTableId={table}&SubnetId={subnet}"));
        let acl = text(&cloud.ok(account, &format!("Action=CreateNetworkAcl&VpcId={vpc}")), "networkAclId");
        cloud.ok(account, &format!("Action=CreateNetworkAclEntry&NetworkAclId={acl}&RuleNumber=100&Protocol=-1&RuleAction=allow&Egress=false&CidrBlock=0.0.0.0/0"));
        let gateway = text(&cloud.ok(account, "Action=CreateInternetGateway"), "internetGatewayId");
        cloud.ok(account, &format!("Action=AttachInternetGateway&InternetGatewayId={gateway}&VpcId={vpc}"));
        let group = text(&cloud.ok(account, &format!("Action=CreateSecurityGroup&GroupName=web&GroupDescription=d&VpcId={vpc}")), "groupId");
        cloud.ok(account, &format!("Action=AuthorizeSecurityGroupIngress&GroupId={group}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=80&IpPermissions.1.ToPort=80&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8"));
        vpc
    });
    let mut request = |from: &str, to: &str, owner: &str| {
        let query = format!("Action=CreateVpcPeeringConnection&VpcId={from}&PeerVpcId={to}&PeerOwnerId={owner}");
        text(&cloud.ok(ALICE, &query), "vpcPeeringConnectionId")
    };
    let peering = request(&vpcs[0], &vpcs[1], ALICE);
    request(&vpcs[0], &vpcs[2], BOB);
    pass(&mut cloud, &mut Dice(1));
    cloud.ok(ALICE, &format!("Action=AcceptVpcPeeringConnection&VpcPeeringConnectionId={peering}"));
    pass(&mut cloud, &mut Dice(1));
    assert!(cloud.world.peerings.values().any(|peering| peering.status == PeeringStatus::Active));
    assert!(cloud.world.instances.values().all(|instance| instance.state == InstanceState::Running));
    cloud
}

/// What hosts, time and the other region do in between.
fn pass(harness: &mut Harness, dice: &mut Dice) {
    let host: HostId = "h1".parse().unwrap();
    let mut changes = Vec::new();
    for instance in harness.world.all::<Instance>() {
        let condition = match instance.state {
            InstanceState::Pending => Condition::Running,
            InstanceState::Running if dice.below(16) == 7 => Condition::Ended,
            InstanceState::Stopping => Condition::Stopped,
            InstanceState::ShuttingDown => Condition::Terminated,
            _ => continue,
        };
        let report = Report { instance: instance.id, starts: instance.starts, condition };
        changes.extend(control::report::receive(&harness.world, host, &report, harness.now));
    }
    harness.world = harness.world.apply(&changes);
    for _ in 0..8 {
        let mut changes = control::federation::deliver_here(&harness.world, &harness.config, harness.now);
        if changes.is_empty() {
            changes = control::tick(&harness.world, &harness.config, harness.now);
        }
        harness.world = harness.world.apply(&changes);
    }
    harness.now = harness.now + Duration::seconds(i64::try_from(dice.below(3600)).unwrap());
    let worlds = BTreeMap::from([(harness.config.region, harness.world.clone())]);
    let intent = control::plan::intent(&worlds, host);
    assert!(intent.instances.len() <= harness.world.instances.size());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn no_request_is_answered_with_a_panic_or_a_servers_error(
        steps in proptest::collection::vec((proptest::sample::select(NAMES), 1_u64..), 20..120)
    ) {
        let mut harness = furnished();
        for (action, seed) in steps {
            let mut dice = Dice(seed);
            act(&mut harness, action, &mut dice)?;
            if dice.below(4) == 0 {
                pass(&mut harness, &mut dice);
            }
        }
    }
}
