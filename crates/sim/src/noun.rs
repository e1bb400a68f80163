//! The nouns with everything that packets do not care about filled in. Ids come from the dice.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::peering::REQUEST_LIFE;
use model::vpc::{CidrAssociation, HostnameType, NetworkAclAssociation, RouteTableAssociation, SubnetIpv6};
use model::{
    AccountId, AclAction, AddressFamily, Attachment, Cidr, Direction, EnaOptions, HostId, Instance, InstanceId,
    InstanceState, IpProtocol, Ipv4Cidr, Ipv6Cidr, MacAddr, MetadataOptions, NetworkAcl, NetworkAclEntry, NetworkAclId,
    NetworkInterface, Peering, PeeringSide, PeeringStatus, Ports, PrefixList, PrefixListEntries, PrefixListId,
    PrefixListState, Region, Route, RouteTable, RouteTableId, RulePeer, SecurityGroup, SecurityGroupId,
    SecurityGroupRule, Subnet, Tags, Time, Vpc, VpcId, Zone,
};

use crate::dice::Dice;

/// When everything was made and each run begins: 2026-01-15T12:00:00Z.
pub const START: Time = Time::from_unix_millis(1_768_478_400_000);

/// A VPC that names a main table, a default group and a default ACL, which are yet to be made. The first IPv4 block is the primary one.
pub fn vpc(dice: &mut Dice, owner: AccountId, blocks: &[Cidr]) -> Vpc {
    let mut vpc = Vpc {
        id: dice.id(),
        owner,
        cidrs: Vec::new(),
        ipv6_cidrs: Vec::new(),
        main: RouteTableAssociation { id: dice.id(), route_table: dice.id() },
        default_group: dice.id(),
        default_acl: dice.id(),
        dhcp_options: None,
        is_default: false,
        instance_tenancy: "default".into(),
        enable_dns_support: true,
        enable_dns_hostnames: false,
        enable_network_address_usage_metrics: false,
        tags: Tags::new(),
    };
    for block in blocks {
        match *block {
            Cidr::V4(cidr) => vpc.cidrs.push(CidrAssociation { id: dice.id(), cidr }),
            Cidr::V6(cidr) => vpc.ipv6_cidrs.push(CidrAssociation { id: dice.id(), cidr }),
        }
    }
    vpc
}

/// A table of the VPC's local routes.
pub fn route_table(id: RouteTableId, vpc: &Vpc) -> RouteTable {
    let routes = vpc.blocks().map(Route::local).collect();
    RouteTable { id, vpc: vpc.id, owner: vpc.owner, routes, tags: Tags::new() }
}

/// A list without entries.
pub fn prefix_list(id: PrefixListId, owner: AccountId, family: AddressFamily) -> PrefixList {
    PrefixList {
        id,
        owner,
        name: id.to_string(),
        family,
        max_entries: 20,
        version: 1,
        entries: PrefixListEntries::new(),
        state: PrefixListState::Created,
        tags: Tags::new(),
    }
}

/// A group without rules.
pub fn group(id: SecurityGroupId, vpc: &Vpc) -> SecurityGroup {
    let name = if id == vpc.default_group { "default".into() } else { id.to_string() };
    let description = "made by the simulator".into();
    SecurityGroup { id, vpc: vpc.id, owner: vpc.owner, name, description, rules: BTreeMap::new(), tags: Tags::new() }
}

/// Puts a rule into a group, unless one like it is there (spec 6.3.5).
pub fn add_rule(
    dice: &mut Dice,
    group: &mut SecurityGroup,
    direction: Direction,
    (protocol, ports): (IpProtocol, Ports),
    peer: RulePeer,
) {
    let id = dice.id();
    let rule = SecurityGroupRule { id, direction, protocol, ports, peer, description: None, tags: Tags::new() };
    if group.rules.values().all(|other| !rule.is_same(other)) {
        group.rules.insert(id, rule);
    }
}

/// An ACL that allows all, as each VPC's first one does.
pub fn open_acl(id: NetworkAclId, vpc: &Vpc) -> NetworkAcl {
    let is_default = id == vpc.default_acl;
    let (ingress, egress) = (allow_all(), allow_all());
    NetworkAcl { id, vpc: vpc.id, owner: vpc.owner, is_default, ingress, egress, tags: Tags::new() }
}

/// The two last rules of an ACL that lets through what no earlier one denies.
pub fn allow_all() -> BTreeMap<u16, NetworkAclEntry> {
    let allow = |cidr| NetworkAclEntry { protocol: IpProtocol::All, action: AclAction::Allow, cidr, ports: Ports::Any };
    BTreeMap::from([(32_000, allow(Ipv4Cidr::ALL.into())), (32_001, allow(Ipv6Cidr::ALL.into()))])
}

/// A subnet with the VPC's main table and default ACL.
pub fn subnet(dice: &mut Dice, vpc: &Vpc, zone: Zone, cidr: Ipv4Cidr, ipv6: Option<Ipv6Cidr>) -> Subnet {
    Subnet {
        id: dice.id(),
        vpc: vpc.id,
        owner: vpc.owner,
        zone,
        cidr,
        ipv6: ipv6.map(|cidr| SubnetIpv6 { id: dice.id(), cidr }),
        route_table: None,
        network_acl: NetworkAclAssociation { id: dice.id(), network_acl: vpc.default_acl },
        is_default_for_zone: false,
        map_public_ip_on_launch: false,
        assign_ipv6_address_on_creation: false,
        enable_dns64: false,
        private_dns_hostname_type: HostnameType::IpName,
        enable_resource_name_dns_a_record: false,
        enable_resource_name_dns_aaaa_record: false,
        tags: Tags::new(),
    }
}

/// An interface that is attached to nothing and bears the groups given. The first IPv4 address is the primary one.
pub fn interface(
    dice: &mut Dice,
    subnet: &Subnet,
    addresses: impl IntoIterator<Item = IpAddr>,
    groups: impl IntoIterator<Item = SecurityGroupId>,
) -> NetworkInterface {
    let mut interface = NetworkInterface {
        id: dice.id(),
        subnet: subnet.id,
        vpc: subnet.vpc,
        owner: subnet.owner,
        zone: subnet.zone,
        mac: MacAddr::from_random(dice.u64()),
        description: String::new(),
        private_ips: Vec::new(),
        ipv6_addresses: Vec::new(),
        has_primary_ipv6: false,
        public: Vec::new(),
        kind: model::InterfaceKind::Interface,
        groups: groups.into_iter().collect(),
        source_dest_check: true,
        connection_tracking: model::ConnectionTracking::default(),
        attachment: None,
        created: START,
        tags: Tags::new(),
    };
    for address in addresses {
        match address {
            IpAddr::V4(v4) => interface.private_ips.push(v4),
            IpAddr::V6(v6) => interface.ipv6_addresses.push(v6),
        }
    }
    interface
}

pub fn attachment(dice: &mut Dice, instance: InstanceId, device_index: u32) -> Attachment {
    Attachment {
        id: dice.id(),
        instance,
        device_index,
        attached: START,
        delete_on_termination: device_index == 0,
        ena: EnaOptions::default(),
        public_at_start: false,
    }
}

pub fn instance(dice: &mut Dice, subnet: &Subnet, host: Option<HostId>, state: InstanceState) -> Instance {
    Instance {
        id: dice.id(),
        owner: subnet.owner,
        reservation: dice.id(),
        launch_index: 0,
        image: dice.id(),
        instance_type: "t3.micro".into(),
        vpc: subnet.vpc,
        subnet: subnet.id,
        zone: subnet.zone,
        host,
        state,
        state_reason: None,
        stop_asked: None,
        launched: START,
        terminated: None,
        user_data: Vec::new(),
        metadata: MetadataOptions::default(),
        key_name: None,
        public_key: None,
        client_token: None,
        disable_api_termination: false,
        disable_api_stop: false,
        shutdown_behavior: "stop".into(),
        private_dns: Default::default(),
        options: model::InstanceOptions::default(),
        volumes: Vec::new(),
        starts: 1,
        tags: Tags::new(),
    }
}

pub fn peering(dice: &mut Dice, requester: PeeringSide, accepter: PeeringSide, status: PeeringStatus) -> Peering {
    Peering {
        id: dice.id(),
        requester,
        accepter,
        status,
        message: String::new(),
        created: START,
        expires: START + REQUEST_LIFE,
        ended: None,
        tags: BTreeMap::new(),
    }
}

/// A rule's peer: the members of a group, as its own VPC names it.
pub fn members(group: SecurityGroupId, owner: AccountId, vpc: VpcId) -> RulePeer {
    RulePeer::Group { group, owner, vpc, peering: None }
}

/// The region's first zone.
pub fn zone(region: Region) -> Option<Zone> {
    Zone::all(region).next()
}
