//! Requests that a client might send, sensible or not, for every action of the table.
//!
//! Two ways. A *recipe* is a call as people make it, with blanks to fill in. Everything else is made from what the action's shape says
//! it reads ([`ec2::action::reads`]), so a new action is asked for from the day it is in the table; a recipe makes that it succeeds more
//! often. Ids come from earlier answers: of things that are there, that are gone, and that are somebody else's.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ec2::action::{NAMES, reads};
use ec2::{Member, Members};

use crate::dice::Dice;

/// Ids of one kind that are remembered.
const IDS_MAX: usize = 60;
/// How deep structures are filled in.
const DEPTH_MAX: usize = 4;

/// Calls as people make them: how often, and the query. A word in braces is the prefix of an own id, behind `*` of anybody's, or a name
/// of [`Asker::blank`].
const RECIPES: &[(usize, &str)] = &[
    (8, "Action=CreateVpc&CidrBlock={block}"),
    (1, "Action=CreateVpc&CidrBlock={block}&AmazonProvidedIpv6CidrBlock=true"),
    (4, "Action=AssociateVpcCidrBlock&VpcId={vpc}&CidrBlock={block}"),
    (1, "Action=AssociateVpcCidrBlock&VpcId={vpc}&AmazonProvidedIpv6CidrBlock=true"),
    (3, "Action=DisassociateVpcCidrBlock&AssociationId={vpc-cidr-assoc}"),
    (2, "Action=DeleteVpc&VpcId={vpc}"),
    (1, "Action=ModifyVpcAttribute&VpcId={vpc}&EnableDnsHostnames.Value={bool}"),
    (14, "Action=CreateSubnet&VpcId={vpc}&CidrBlock={part}"),
    (2, "Action=CreateSubnet&VpcId={vpc}&CidrBlock={part}&Ipv6CidrBlock={part6}"),
    (2, "Action=AssociateSubnetCidrBlock&SubnetId={subnet}&Ipv6CidrBlock={part6}"),
    (1, "Action=DisassociateSubnetCidrBlock&AssociationId={subnet-cidr-assoc}"),
    (2, "Action=DeleteSubnet&SubnetId={subnet}"),
    (3, "Action=CreateRouteTable&VpcId={vpc}"),
    (3, "Action=AssociateRouteTable&RouteTableId={rtb}&SubnetId={subnet}"),
    (1, "Action=AssociateRouteTable&RouteTableId={rtb}&GatewayId={igw}"),
    (2, "Action=ReplaceRouteTableAssociation&AssociationId={rtbassoc}&RouteTableId={rtb}"),
    (2, "Action=DisassociateRouteTable&AssociationId={rtbassoc}"),
    (1, "Action=DeleteRouteTable&RouteTableId={rtb}"),
    (12, "Action=CreateRoute&RouteTableId={rtb}&DestinationCidrBlock={block}&VpcPeeringConnectionId={pcx}"),
    (3, "Action=CreateRoute&RouteTableId={rtb}&DestinationCidrBlock={any4}&GatewayId={igw}"),
    (3, "Action=CreateRoute&RouteTableId={rtb}&DestinationCidrBlock={any4}&NetworkInterfaceId={eni}"),
    (1, "Action=CreateRoute&RouteTableId={rtb}&DestinationCidrBlock={any4}&InstanceId={i}"),
    (2, "Action=CreateRoute&RouteTableId={rtb}&DestinationPrefixListId={pl}&VpcPeeringConnectionId={pcx}"),
    (2, "Action=ReplaceRoute&RouteTableId={rtb}&DestinationCidrBlock={block}&NetworkInterfaceId={eni}"),
    (3, "Action=DeleteRoute&RouteTableId={rtb}&DestinationCidrBlock={block}"),
    (2, "Action=CreateInternetGateway"),
    (3, "Action=AttachInternetGateway&InternetGatewayId={igw}&VpcId={vpc}"),
    (1, "Action=DetachInternetGateway&InternetGatewayId={igw}&VpcId={vpc}"),
    (1, "Action=DeleteInternetGateway&InternetGatewayId={igw}"),
    (1, "Action=CreateDhcpOptions&DhcpConfiguration.1.Key=domain-name&DhcpConfiguration.1.Value.1=corp.example"),
    (1, "Action=AssociateDhcpOptions&DhcpOptionsId={dopt}&VpcId={vpc}"),
    (1, "Action=DeleteDhcpOptions&DhcpOptionsId={dopt}"),
    (10, "Action=CreateVpcPeeringConnection&VpcId={vpc}&PeerVpcId={*vpc}&PeerOwnerId={account}&PeerRegion={region}"),
    (12, "Action=AcceptVpcPeeringConnection&VpcPeeringConnectionId={*pcx}"),
    (1, "Action=RejectVpcPeeringConnection&VpcPeeringConnectionId={pcx}"),
    (3, "Action=DeleteVpcPeeringConnection&VpcPeeringConnectionId={pcx}"),
    (
        2,
        "Action=ModifyVpcPeeringConnectionOptions&VpcPeeringConnectionId={pcx}&RequesterPeeringConnectionOptions.AllowDnsResolutionFromRemoteVpc={bool}",
    ),
    (5, "Action=CreateSecurityGroup&VpcId={vpc}&GroupName={word}&GroupDescription=d"),
    (2, "Action=DeleteSecurityGroup&GroupId={sg}"),
    (
        6,
        "Action=AuthorizeSecurityGroupIngress&GroupId={sg}&IpPermissions.1.IpProtocol={protocol}&IpPermissions.1.FromPort={port}&IpPermissions.1.ToPort=65535&IpPermissions.1.IpRanges.1.CidrIp={any4}",
    ),
    (
        4,
        "Action=AuthorizeSecurityGroupIngress&GroupId={sg}&IpPermissions.1.IpProtocol=-1&IpPermissions.1.Groups.1.GroupId={*sg}&IpPermissions.1.Groups.1.UserId={account}",
    ),
    (
        2,
        "Action=AuthorizeSecurityGroupEgress&GroupId={sg}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort={port}&IpPermissions.1.ToPort=65535&IpPermissions.1.PrefixListIds.1.PrefixListId={pl}",
    ),
    (2, "Action=RevokeSecurityGroupIngress&GroupId={sg}&SecurityGroupRuleId.1={sgr}"),
    (1, "Action=RevokeSecurityGroupEgress&GroupId={sg}&SecurityGroupRuleId.1={sgr}"),
    (2, "Action=CreateNetworkAcl&VpcId={vpc}"),
    (
        3,
        "Action=CreateNetworkAclEntry&NetworkAclId={acl}&RuleNumber={number}&Protocol=-1&RuleAction=allow&Egress={bool}&CidrBlock={any4}",
    ),
    (1, "Action=DeleteNetworkAclEntry&NetworkAclId={acl}&RuleNumber={number}&Egress={bool}"),
    (2, "Action=ReplaceNetworkAclAssociation&AssociationId={aclassoc}&NetworkAclId={acl}"),
    (1, "Action=DeleteNetworkAcl&NetworkAclId={acl}"),
    (6, "Action=CreateNetworkInterface&SubnetId={subnet}"),
    (2, "Action=CreateNetworkInterface&SubnetId={subnet}&PrivateIpAddress={address}&SecurityGroupId.1={sg}"),
    (2, "Action=DeleteNetworkInterface&NetworkInterfaceId={eni}"),
    (2, "Action=ModifyNetworkInterfaceAttribute&NetworkInterfaceId={eni}&SourceDestCheck.Value={bool}"),
    (2, "Action=ModifyNetworkInterfaceAttribute&NetworkInterfaceId={eni}&SecurityGroupId.1={sg}"),
    (2, "Action=AttachNetworkInterface&NetworkInterfaceId={eni}&InstanceId={i}&DeviceIndex={index}"),
    (1, "Action=DetachNetworkInterface&AttachmentId={eni-attach}"),
    (2, "Action=AssignPrivateIpAddresses&NetworkInterfaceId={eni}&SecondaryPrivateIpAddressCount=1"),
    (1, "Action=AssignPrivateIpAddresses&NetworkInterfaceId={eni}&PrivateIpAddress.1={address}"),
    (1, "Action=UnassignPrivateIpAddresses&NetworkInterfaceId={eni}&PrivateIpAddress.1={address}"),
    (10, "Action=RunInstances&ImageId=ami-0123456789abcdef0&MinCount=1&MaxCount={index}&SubnetId={subnet}"),
    (
        2,
        "Action=RunInstances&ImageId=ami-0123456789abcdef0&MinCount=1&MaxCount=1&SubnetId={subnet}&SecurityGroupId.1={sg}&ClientToken={word}",
    ),
    (2, "Action=StopInstances&InstanceId.1={i}"),
    (2, "Action=StartInstances&InstanceId.1={i}"),
    (2, "Action=TerminateInstances&InstanceId.1={i}"),
    (1, "Action=CreateTags&ResourceId.1={vpc}&Tag.1.Key={word}&Tag.1.Value={word}"),
    (1, "Action=DeleteTags&ResourceId.1={vpc}&Tag.1.Key={word}"),
    (
        2,
        "Action=CreateManagedPrefixList&PrefixListName={word}&AddressFamily=IPv4&MaxEntries={index}&Entry.1.Cidr={block}",
    ),
    (1, "Action=ModifyManagedPrefixList&PrefixListId={pl}&CurrentVersion={index}&AddEntry.1.Cidr={block}"),
    (1, "Action=DeleteManagedPrefixList&PrefixListId={pl}"),
    (
        1,
        "Action=CreateFlowLogs&ResourceType=VPC&ResourceId.1={vpc}&TrafficType=ALL&LogDestinationType=s3&LogDestination=arn:aws:s3:::logs",
    ),
    (1, "Action=DeleteFlowLogs&FlowLogId.1={fl}"),
    (
        1,
        "Action=CreateNetworkInsightsPath&Source={eni}&Destination={eni}&Protocol=tcp&DestinationPort={port}&ClientToken={word}",
    ),
    (1, "Action=StartNetworkInsightsAnalysis&NetworkInsightsPathId={nip}&ClientToken={word}"),
    (1, "Action=DeleteNetworkInsightsPath&NetworkInsightsPathId={nip}"),
    (
        1,
        "Action=CreateNetworkInsightsAccessScope&MatchPath.1.Source.ResourceStatement.Resource.1={vpc}&ClientToken={word}",
    ),
    (1, "Action=StartNetworkInsightsAccessScopeAnalysis&NetworkInsightsAccessScopeId={nis}&ClientToken={word}"),
    (1, "Action=DeleteNetworkInsightsAccessScope&NetworkInsightsAccessScopeId={nis}"),
    (1, "Action=DescribeNetworkInterfaces&Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}"),
    (6, "Action=DescribeRouteTables"),
    (3, "Action=DescribeSecurityGroups"),
    (3, "Action=DescribeNetworkAcls"),
    (1, "Action=DescribeInstances"),
    (1, "Action=DescribeInstanceAttribute&InstanceId={i}&Attribute=userData"),
    (1, "Action=RebootInstances&InstanceId.1={i}"),
    (1, "Action=ModifyInstanceAttribute&InstanceId={i}&DisableApiTermination.Value={bool}"),
    (1, "Action=DescribeNetworkInterfaceAttribute&NetworkInterfaceId={eni}&Attribute=description"),
    (1, "Action=DescribeVpcAttribute&VpcId={vpc}&Attribute=enableDnsSupport"),
    (1, "Action=ModifySubnetAttribute&SubnetId={subnet}&MapPublicIpOnLaunch.Value={bool}"),
    (
        1,
        "Action=ModifySecurityGroupRules&GroupId={sg}&SecurityGroupRule.1.SecurityGroupRuleId={sgr}&SecurityGroupRule.1.SecurityGroupRule.IpProtocol=tcp&SecurityGroupRule.1.SecurityGroupRule.FromPort=1&SecurityGroupRule.1.SecurityGroupRule.ToPort=2&SecurityGroupRule.1.SecurityGroupRule.CidrIpv4={any4}",
    ),
    (1, "Action=DescribeRouteTables&RouteTableId.1={rtb}"),
    (1, "Action=DescribeVpcPeeringConnections"),
    (3, "Action=DescribeSecurityGroupRules"),
];

/// Who asks, and where: indices.
pub type Who = (usize, usize);

/// What answers have shown.
#[derive(Clone, Debug, Default)]
pub struct Asker {
    /// By who was answered and by prefix; the newest last.
    own: BTreeMap<Who, BTreeMap<String, Vec<String>>>,
    anybodys: BTreeMap<String, Vec<String>>,
    blocks6: Vec<String>,
    pub accounts: Vec<String>,
    pub regions: Vec<String>,
}

impl Asker {
    pub fn new(accounts: &[&str], regions: &[&str]) -> Asker {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Asker { accounts: owned(accounts), regions: owned(regions), ..Asker::default() }
    }

    /// Takes the ids out of an answer.
    pub fn learn(&mut self, who: Who, document: &str) {
        for word in document.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')) {
            let Some((prefix, digits)) = word.rsplit_once('-') else { continue };
            let is_known = model::PREFIXES.iter().any(|(known, _)| *known == prefix);
            if is_known && digits.len() == 17 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                keep(self.own.entry(who).or_default().entry(prefix.to_owned()).or_default(), word);
                keep(self.anybodys.entry(prefix.to_owned()).or_default(), word);
            }
        }
        for part in document.split("<ipv6CidrBlock>").skip(1) {
            if let Some((block, _)) = part.split_once('<') {
                keep(&mut self.blocks6, block);
            }
        }
    }

    /// The next request, as a query string.
    pub fn next(&self, dice: &mut Dice, who: Who) -> String {
        let asking = Asking { asker: self, ids: self.own.get(&who).unwrap_or(&self.anybodys) };
        asking.next(dice)
    }
}

/// One who asks.
struct Asking<'a> {
    asker: &'a Asker,
    ids: &'a BTreeMap<String, Vec<String>>,
}

impl Asking<'_> {
    fn next(&self, dice: &mut Dice) -> String {
        let mut query = if dice.chance(80) {
            let recipe = dice.weighted(RECIPES);
            self.fill_in(dice, recipe)
        } else {
            self.by_shape(dice)
        };
        if dice.chance(1) {
            query += "&DryRun=true";
        }
        query
    }

    fn fill_in(&self, dice: &mut Dice, recipe: &str) -> String {
        let mut query = String::new();
        let mut rest = recipe;
        while let Some((before, after)) = rest.split_once('{') {
            let (blank, after) = after.split_once('}').unwrap_or((after, ""));
            query += before;
            query += &encode(&self.blank(dice, blank));
            rest = after;
        }
        query + rest
    }

    /// Any action, with any of its parameters.
    fn by_shape(&self, dice: &mut Dice) -> String {
        let action = dice.pick(NAMES).copied().unwrap_or_default();
        let mut query = format!("Action={action}");
        // Some requests have little, some much.
        let percent = dice.one([5, 20, 60]);
        if let Some(Members::Structure(members)) = reads(action) {
            self.members(dice, &mut query, "", &members, percent, 0);
        }
        query
    }

    fn members(
        &self,
        dice: &mut Dice,
        query: &mut String,
        above: &str,
        members: &[Member],
        percent: usize,
        depth: usize,
    ) {
        for member in members {
            if !dice.chance(if member.is_required { 97 } else { percent }) || member.name == "NextToken" {
                continue;
            }
            let name = if above.is_empty() { member.name.to_owned() } else { format!("{above}.{}", member.name) };
            self.parameter(dice, query, &name, (member.members)(), percent, depth);
        }
    }

    fn parameter(
        &self,
        dice: &mut Dice,
        query: &mut String,
        name: &str,
        members: Members,
        percent: usize,
        depth: usize,
    ) {
        match members {
            Members::Whole(kind) => {
                let value = encode(&self.value(dice, name, kind));
                // A String takes whatever is written.
                let _: std::fmt::Result = write!(query, "&{name}={value}");
            }
            Members::List(item) => {
                for index in 1..=dice.weighted(&[(8, 1), (2, 2), (1, 3)]) {
                    self.parameter(dice, query, &format!("{name}.{index}"), item(), percent, depth);
                }
            }
            Members::Structure(below) if depth < DEPTH_MAX => {
                self.members(dice, query, name, &below, percent.max(50), depth + 1);
            }
            Members::Structure(_) => {}
        }
    }

    /// A value of a type, by its name in Rust; of text, by what the parameter is called.
    fn value(&self, dice: &mut Dice, name: &str, kind: &str) -> String {
        let kind = kind.rsplit("::").next().unwrap_or(kind);
        if let Some((prefix, _)) = model::PREFIXES.iter().find(|(_, id)| *id == kind) {
            return self.id(dice, prefix);
        }
        match kind {
            "bool" => self.blank(dice, "bool"),
            "i32" => self.blank(dice, if name.contains("Port") { "port" } else { "number" }),
            "Ipv4Cidr" | "Cidr" => self.blank(dice, "any4"),
            "Ipv6Cidr" => self.blank(dice, "part6"),
            "Ipv4Addr" | "IpAddr" => self.blank(dice, "address"),
            "Ipv6Addr" => "2001:db8::5".into(),
            "AccountId" => self.blank(dice, "account"),
            "Region" => self.blank(dice, "region"),
            "IpProtocol" => self.blank(dice, "protocol"),
            "AclAction" => dice.one(["allow", "deny"]).into(),
            "AddressFamily" => dice.one(["IPv4", "IPv6"]).into(),
            "Base64" => "aGVsbG8=".into(),
            "Time" => "2026-01-15T12:00:00Z".into(),
            "PeerVpcId" => self.id(dice, "vpc"),
            "DhcpOptionsChoice" => self.id(dice, "dopt"),
            _ => self.text(dice, name),
        }
    }

    fn text(&self, dice: &mut Dice, name: &str) -> String {
        let last = name.split('.').rfind(|part| part.parse::<u8>().is_err()).unwrap_or(name);
        match last {
            "ResourceId" | "Source" | "Destination" | "GatewayId" | "Value" if dice.chance(70) => self.any_id(dice),
            "ResourceType" => dice.one(RESOURCE_TYPES).into(),
            "Name" => dice.one(["vpc-id", "state", "tag:a", "tag-key", "owner-id", "nonsense"]).into(),
            "Attribute" => dice.one(["enableDnsSupport", "description", "userData", "groupSet", "nonsense"]).into(),
            "InstanceType" => dice.one(["t3.micro", "m5.large", "x9.nano"]).into(),
            "AvailabilityZone" => format!("{}{}", self.blank(dice, "region"), dice.one(["a", "b", "z"])),
            "TrafficType" => dice.one(["ALL", "ACCEPT", "REJECT"]).into(),
            "LogDestinationType" => dice.one(["s3", "cloud-watch-logs", "nonsense"]).into(),
            "InstanceTenancy" => dice.one(["default", "dedicated", "host"]).into(),
            "CidrIp" | "CidrBlock" => self.blank(dice, "any4"),
            _ => self.blank(dice, "word"),
        }
    }

    /// What a blank of a recipe may be filled with.
    fn blank(&self, dice: &mut Dice, blank: &str) -> String {
        match blank {
            "account" => dice.pick(&self.asker.accounts).cloned().unwrap_or_default(),
            "region" => dice.pick(&self.asker.regions).cloned().unwrap_or_default(),
            "bool" => dice.one(["true", "false"]).into(),
            "word" => dice.one(["a", "b", "web", "default", "a b", "<é&\">", "", "x-1_2"]).into(),
            "number" => dice.one(["0", "1", "2", "5", "100", "200", "32766", "-1", "70000", "5"]).into(),
            "index" => dice.one(["1", "1", "2", "3"]).into(),
            "port" => dice.one(["0", "22", "443", "-1", "65535", "70000"]).into(),
            "protocol" => dice.one(["tcp", "udp", "6", "17", "47"]).into(),
            "block" => format!("10.{}.0.0/16", dice.below(8)),
            "part" => format!("10.{}.{}.0/24", dice.below(8), dice.below(4)),
            "part6" => match dice.pick(&self.asker.blocks6) {
                Some(block) => block.replace("/56", "/64"),
                None => "2001:db8:0:1::/64".into(),
            },
            "address" => format!("10.{}.{}.{}", dice.below(8), dice.below(4), dice.below(12)),
            "any4" => match dice.below(5) {
                0 => "0.0.0.0/0".into(),
                1 => format!("10.{}.{}.{}/32", dice.below(8), dice.below(4), dice.below(12)),
                2 => format!("10.{}.0.0/14", dice.one([0, 4])),
                3 => self.blank(dice, "part"),
                _ => self.blank(dice, "block"),
            },
            prefix => match prefix.strip_prefix('*') {
                Some(prefix) => pick_id(dice, &self.asker.anybodys, prefix),
                None => self.id(dice, prefix),
            },
        }
    }

    /// Mostly an own one; now and then somebody else's, one of another kind, one that never was, or that is none.
    fn id(&self, dice: &mut Dice, prefix: &str) -> String {
        match dice.below(100) {
            0 => never(prefix),
            1 => format!("{prefix}-nonsense"),
            2 => self.any_id(dice),
            3..8 => pick_id(dice, &self.asker.anybodys, prefix),
            _ => pick_id(dice, self.ids, prefix),
        }
    }

    fn any_id(&self, dice: &mut Dice) -> String {
        let kinds: Vec<&Vec<String>> = self.ids.values().collect();
        let id = dice.pick(&kinds).and_then(|ids| dice.pick(ids.as_slice()));
        id.cloned().unwrap_or_else(|| never("vpc"))
    }
}

/// As often of the newest as of all.
fn pick_id(dice: &mut Dice, ids: &BTreeMap<String, Vec<String>>, prefix: &str) -> String {
    let known = ids.get(prefix).map(Vec::as_slice).unwrap_or_default();
    let newest = if dice.chance(50) { known.len().saturating_sub(6) } else { 0 };
    dice.pick(&known[newest..]).cloned().unwrap_or_else(|| never(prefix))
}

/// An id that nothing has.
fn never(prefix: &str) -> String {
    format!("{prefix}-0123456789abcdef0")
}

const RESOURCE_TYPES: [&str; 8] =
    ["vpc", "subnet", "route-table", "security-group", "network-interface", "instance", "VPC", "nonsense"];

fn keep(all: &mut Vec<String>, text: &str) {
    if !all.iter().any(|known| known == text) {
        if all.len() >= IDS_MAX {
            all.remove(0);
        }
        all.push(text.to_owned());
    }
}

/// Percent-encodes what is not a letter, a digit or one of `-_.:/`.
fn encode(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
    let encoded = |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encoded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_learned_from_answers_and_asked_for() {
        let mut asker = Asker::new(&["111111111111"], &["us-east-1"]);
        asker.learn(
            (0, 0),
            "<vpcId>vpc-0123456789abcdef1</vpcId><a>rtbassoc-0123456789abcdef2</a><b>x-0123456789abcdef3</b>",
        );
        assert_eq!(asker.anybodys.keys().collect::<Vec<_>>(), ["rtbassoc", "vpc"]);
        let mut dice = Dice::new(1);
        let asked: Vec<String> = (0..500).map(|_| asker.next(&mut dice, (0, 0))).collect();
        assert!(asked.iter().any(|query| query.contains("VpcId=vpc-0123456789abcdef1")));
        assert!(asked.iter().all(|query| query.starts_with("Action=") && !query.contains(['{', '}', ' '])));
    }

    #[test]
    fn every_recipe_is_of_an_action_and_its_blanks_are_known() {
        for (_, recipe) in RECIPES {
            let action = recipe.split(['=', '&']).nth(1).unwrap();
            assert!(NAMES.contains(&action), "{action} is not in the table");
            for blank in recipe.split('{').skip(1).filter_map(|part| part.split('}').next()) {
                let is_prefix = model::PREFIXES.iter().any(|(prefix, _)| *prefix == blank.trim_start_matches('*'));
                let is_known = ["account", "region", "bool", "word", "number", "index", "port", "protocol", "block"];
                let is_known = is_known.contains(&blank) || ["part", "part6", "address", "any4"].contains(&blank);
                assert!(is_prefix || is_known, "{blank} in {recipe}");
            }
        }
    }
}
