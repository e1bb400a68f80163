//! VPCs (spec ch. 2): making, showing and deleting them. Their blocks are in `vpc_block`, their switches in `vpc_attribute`.

use std::collections::BTreeMap;

use ec2::Error;
use ec2::page::Page;
use ec2::shapes::vpc::*;
use ec2::shapes::{Done, TagSpecification};
use model::vpc::{CidrAssociation, RouteTableAssociation};
use model::*;

use super::{Handle, dhcp, group_vpc, vpc_block};
use crate::Cloud;
use crate::describe::{Describe, Place, Query};
use crate::rules::texts;
use crate::rules::vpc_deletion;
use crate::timing::Wait;

impl Handle for CreateVpc {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<CreateVpcResponse, Error> {
        let cidr = self.cidr_block.ok_or_else(|| Error::missing_parameter("CidrBlock"))?;
        let tags = TagSpecification::tags(&self.tag_specifications, &["vpc"], "vpc")?;
        let tenancy = tenancy(self.instance_tenancy)?;
        vpc_block::refuse_pools(
            self.ipv6_pool,
            [self.ipv4_ipam_pool_id, self.ipv6_ipam_pool_id],
            self.ipv6_cidr_block,
        )?;
        vpc_block::check_size(cidr)?;
        check_quota(cloud)?;
        let id = create(cloud, cidr, tags, tenancy);
        if self.amazon_provided_ipv6_cidr_block == Some(true) {
            let block = vpc_block::draw_ipv6(cloud)?;
            let block = vpc_block::add(cloud, id, block.into())?;
            cloud.takes_time(block, Phase::Associating, Wait::VpcBlock);
        }
        cloud.takes_time(id, Phase::Pending, Wait::Vpc);
        let vpc = cloud.owned::<Vpc>(id)?;
        Ok(CreateVpcResponse { vpc: VpcItem { state: "pending", ..item(cloud, &vpc) } })
    }
}

pub(super) fn check_quota(cloud: &Cloud<'_>) -> Result<(), Error> {
    if cloud.own_count::<Vpc>() >= cloud.config.quotas.vpcs {
        return Err(Error::new("VpcLimitExceeded", "The maximum number of VPCs has been reached."));
    }
    Ok(())
}

fn tenancy(text: Option<String>) -> Result<String, Error> {
    match text {
        None => Ok("default".into()),
        Some(text) if ["default", "dedicated"].contains(&text.as_str()) => Ok(text),
        Some(text) => Err(Error::invalid_parameter("InstanceTenancy", text, "Use default or dedicated.")),
    }
}

/// The VPC and what comes with it: main route table, default security group, default network ACL (spec 2.2.3).
pub(super) fn create(cloud: &mut Cloud<'_>, cidr: Ipv4Cidr, tags: Tags, instance_tenancy: String) -> VpcId {
    let owner = cloud.caller.account;
    let dhcp_options = dhcp::default_set(cloud);
    let vpc = Vpc {
        id: cloud.draw.id(),
        owner,
        cidrs: vec![CidrAssociation { id: cloud.draw.id(), cidr }],
        ipv6_cidrs: Vec::new(),
        main: RouteTableAssociation { id: cloud.draw.id(), route_table: cloud.draw.id() },
        default_group: cloud.draw.id(),
        default_acl: cloud.draw.id(),
        dhcp_options: Some(dhcp_options),
        is_default: false,
        instance_tenancy,
        enable_dns_support: true,
        enable_dns_hostnames: false,
        enable_network_address_usage_metrics: false,
        tags,
    };
    cloud.put(RouteTable { id: vpc.main.route_table, vpc: vpc.id, owner, routes: Vec::new(), tags: Tags::new() });
    let group = default_group(cloud, &vpc);
    cloud.put(group);
    cloud.put(default_acl(&vpc));
    let id = vpc.id;
    cloud.put(vpc);
    id
}

fn default_group(cloud: &mut Cloud<'_>, vpc: &Vpc) -> SecurityGroup {
    let own = RulePeer::Group { group: vpc.default_group, owner: vpc.owner, vpc: vpc.id, peering: None };
    let peers = [(Direction::Ingress, own), (Direction::Egress, RulePeer::Cidr(Cidr::V4(Ipv4Cidr::ALL)))];
    let rules = peers.into_iter().map(|(direction, peer)| {
        let id = cloud.draw.id();
        let rule = SecurityGroupRule {
            id,
            direction,
            protocol: IpProtocol::All,
            ports: Ports::Any,
            peer,
            description: None,
            tags: Tags::new(),
        };
        (id, rule)
    });
    SecurityGroup {
        id: vpc.default_group,
        vpc: vpc.id,
        owner: vpc.owner,
        name: group::DEFAULT_GROUP_NAME.into(),
        description: "default VPC security group".into(),
        rules: rules.collect(),
        tags: Tags::new(),
    }
}

/// The rule that a default network ACL begins with.
pub(super) fn allow_all(cidr: Cidr) -> NetworkAclEntry {
    NetworkAclEntry { protocol: IpProtocol::All, action: AclAction::Allow, cidr, ports: Ports::Any }
}

fn default_acl(vpc: &Vpc) -> NetworkAcl {
    let allow = allow_all(Cidr::V4(Ipv4Cidr::ALL));
    NetworkAcl {
        id: vpc.default_acl,
        vpc: vpc.id,
        owner: vpc.owner,
        is_default: true,
        ingress: BTreeMap::from([(100, allow.clone())]),
        egress: BTreeMap::from([(100, allow)]),
        tags: Tags::new(),
    }
}

impl Handle for DeleteVpc {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let vpc = cloud.owned::<Vpc>(self.vpc_id)?;
        if is_in_use(cloud.world(), &vpc) {
            return Err(Error::has_dependencies("vpc", vpc.id));
        }
        vpc_deletion(cloud, vpc.id)?;
        cloud.delete::<RouteTable>(vpc.main.route_table);
        cloud.delete::<SecurityGroup>(vpc.default_group);
        cloud.delete::<NetworkAcl>(vpc.default_acl);
        cloud.delete::<Vpc>(vpc.id);
        Ok(Done::TRUE)
    }
}

/// Something is in the VPC that did not come with it (spec 2.7.1).
fn is_in_use(world: &World, vpc: &Vpc) -> bool {
    let by = By::id(vpc.id);
    world.count_by::<Subnet>(by) > 0
        || world.count_by::<NetworkInterface>(by) > 0
        || world.by::<SecurityGroup>(by).any(|group| group.vpc == vpc.id && group.id != vpc.default_group)
        || world.by::<RouteTable>(by).any(|table| table.id != vpc.main.route_table)
        || world.by::<NetworkAcl>(by).any(|acl| acl.id != vpc.default_acl)
        || world.count_by::<InternetGateway>(by) > 0
        || world.count_by::<VpnGateway>(by) > 0
        || group_vpc::borrows(world, vpc.id)
        || world.count_by::<EgressOnlyInternetGateway>(by) > 0
}

impl Handle for DescribeVpcs {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeVpcsResponse, Error> {
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let query = Query { ids: &self.vpc_ids, filters: &self.filters, page };
        let (vpcs, next_token) = cloud.select::<Vpc>(query, 5..=1000)?;
        Ok(DescribeVpcsResponse { vpcs: vpcs.iter().map(|vpc| item(cloud, vpc)).collect(), next_token })
    }
}

impl Describe for Vpc {
    const FILTERS: &'static [&'static str] = &[
        "cidr",
        "cidr-block",
        "cidrBlock",
        "cidr-block-association.association-id",
        "cidr-block-association.cidr-block",
        "cidr-block-association.state",
        "dhcp-options-id",
        "dhcpOptionsId",
        "ipv6-cidr-block-association.association-id",
        "ipv6-cidr-block-association.ipv6-cidr-block",
        "ipv6-cidr-block-association.ipv6-pool",
        "ipv6-cidr-block-association.state",
        "is-default",
        "isDefault",
        "owner-id",
        "state",
        "vpc-id",
    ];

    fn is_visible(&self, cloud: &Cloud<'_>) -> bool {
        self.owner == cloud.caller.account
    }

    fn tags<'t>(&'t self, _: &Cloud<'_>) -> &'t Tags {
        &self.tags
    }

    fn values(&self, cloud: &Cloud<'_>, filter: &str) -> Vec<String> {
        match filter {
            "cidr" | "cidr-block" | "cidrBlock" => texts([self.primary_cidr()]),
            "cidr-block-association.association-id" => texts(self.cidrs.iter().map(|block| block.id)),
            "cidr-block-association.cidr-block" => texts(self.cidrs.iter().map(|block| block.cidr)),
            "cidr-block-association.state" => texts(self.cidrs.iter().map(|block| cloud.word(block.id, "associated"))),
            "dhcp-options-id" | "dhcpOptionsId" => vec![dhcp_options_id(self)],
            "ipv6-cidr-block-association.association-id" => texts(self.ipv6_cidrs.iter().map(|block| block.id)),
            "ipv6-cidr-block-association.ipv6-cidr-block" => texts(self.ipv6_cidrs.iter().map(|block| block.cidr)),
            "ipv6-cidr-block-association.ipv6-pool" => texts(self.ipv6_cidrs.iter().map(|_| IPV6_POOL)),
            "ipv6-cidr-block-association.state" => {
                texts(self.ipv6_cidrs.iter().map(|block| cloud.word(block.id, "associated")))
            }
            "is-default" | "isDefault" => texts([self.is_default]),
            "owner-id" => texts([self.owner]),
            "state" => texts([cloud.word(self.id, "available")]),
            "vpc-id" => texts([self.id]),
            _ => Vec::new(),
        }
    }

    fn place(_: &Cloud<'_>, filter: &str, value: &str) -> Option<Place<Self::Id>> {
        match filter {
            "vpc-id" => Place::of_id(value),
            "dhcp-options-id" | "dhcpOptionsId" => Place::naming::<DhcpOptionsId>(value),
            "cidr-block-association.association-id" | "ipv6-cidr-block-association.association-id" => {
                Place::naming::<VpcCidrAssociationId>(value)
            }
            "cidr" | "cidr-block" | "cidrBlock" | "cidr-block-association.cidr-block" => Place::of_block(value),
            "ipv6-cidr-block-association.ipv6-cidr-block" => Place::of_block(value),
            "is-default" | "isDefault" if value == "true" => Some(Place::Under(By::is_default())),
            _ => None,
        }
    }
}

const IPV6_POOL: &str = "Amazon";

fn dhcp_options_id(vpc: &Vpc) -> String {
    vpc.dhcp_options.map_or_else(|| "default".into(), |id| id.to_string())
}

/// A VPC as the API shows it.
pub(super) fn item(cloud: &Cloud<'_>, vpc: &Vpc) -> VpcItem {
    VpcItem {
        vpc_id: vpc.id,
        owner_id: vpc.owner,
        state: cloud.word(vpc.id, "available"),
        cidr_block: vpc.primary_cidr(),
        cidr_block_association_set: vpc
            .cidrs
            .iter()
            .map(|block| cidr_item(block, cloud.word(block.id, "associated")))
            .collect(),
        ipv6_cidr_block_association_set: vpc
            .ipv6_cidrs
            .iter()
            .map(|block| ipv6_item(cloud, block, cloud.word(block.id, "associated")))
            .collect(),
        dhcp_options_id: dhcp_options_id(vpc),
        instance_tenancy: vpc.instance_tenancy.clone(),
        is_default: vpc.is_default,
        tag_set: vpc.tags.clone(),
    }
}

pub(super) fn cidr_item(block: &CidrAssociation<Ipv4Cidr>, state: &'static str) -> VpcCidrItem {
    VpcCidrItem { association_id: block.id, cidr_block: block.cidr, cidr_block_state: CidrStateItem { state } }
}

pub(super) fn ipv6_item(cloud: &Cloud<'_>, block: &CidrAssociation<Ipv6Cidr>, state: &'static str) -> VpcIpv6CidrItem {
    VpcIpv6CidrItem {
        association_id: block.id,
        ipv6_cidr_block: block.cidr,
        ipv6_cidr_block_state: CidrStateItem { state },
        network_border_group: cloud.config.region.to_string(),
        ipv6_pool: IPV6_POOL,
    }
}
