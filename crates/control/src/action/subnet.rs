//! Subnets (spec ch. 3).

use ec2::Error;
use ec2::page::Page;
use ec2::shapes::subnet::*;
use ec2::shapes::vpc::CidrStateItem;
use ec2::shapes::{Done, TagSpecification};
use ec2::value::Attribute;
use model::vpc::{CidrAssociation, HostnameType, NetworkAclAssociation, SubnetIpv6};
use model::*;

use super::{Handle, reservation};
use crate::Cloud;
use crate::describe::{Describe, Place, Query};
use crate::rules::{available_ip_address_count, texts};
use crate::timing::Wait;

impl Handle for CreateSubnet {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<CreateSubnetResponse, Error> {
        let cidr = ipv4_block(&self)?;
        let zone = zone(cloud.config.region, self.availability_zone.as_deref(), self.availability_zone_id.as_deref())?;
        let tags = TagSpecification::tags(&self.tag_specifications, &["subnet"], "subnet")?;
        let vpc = cloud.owned::<Vpc>(self.vpc_id)?;
        check_ipv4(cloud, &vpc, cidr)?;
        if let Some(block) = self.ipv6_cidr_block {
            check_ipv6(cloud, &vpc, block)?;
        }
        if cloud.subnets_of(vpc.id).count() >= cloud.config.quotas.subnets_per_vpc {
            return Err(Error::new("SubnetLimitExceeded", "The maximum number of subnets has been reached."));
        }
        let subnet = Subnet {
            id: cloud.draw.id(),
            vpc: vpc.id,
            owner: vpc.owner,
            zone,
            cidr,
            ipv6: self.ipv6_cidr_block.map(|cidr| SubnetIpv6 { id: cloud.draw.id(), cidr }),
            route_table: None,
            network_acl: NetworkAclAssociation { id: cloud.draw.id(), network_acl: vpc.default_acl },
            is_default_for_zone: false,
            map_public_ip_on_launch: false,
            assign_ipv6_address_on_creation: false,
            enable_dns64: false,
            private_dns_hostname_type: HostnameType::IpName,
            enable_resource_name_dns_a_record: false,
            enable_resource_name_dns_aaaa_record: false,
            tags,
        };
        cloud.put(subnet.clone());
        cloud.takes_time(subnet.id, Phase::Pending, Wait::Subnet);
        if let Some(ipv6) = subnet.ipv6 {
            cloud.takes_time(ipv6.id, Phase::Associating, Wait::SubnetBlock);
        }
        Ok(CreateSubnetResponse { subnet: item(cloud, &subnet) })
    }
}

/// The subnet's IPv4 block; a subnet without one is not offered.
fn ipv4_block(asked: &CreateSubnet) -> Result<Ipv4Cidr, Error> {
    if asked.ipv6_native == Some(true) {
        if asked.cidr_block.is_some() || asked.ipv4_ipam_pool_id.is_some() {
            let message =
                "When specifying ipv4 parameters, cidrBlock or ipv4IpamPoolId, you cannot set ipv6Native to true.";
            return Err(Error::invalid_combination(message));
        }
        if asked.ipv6_cidr_block.is_none() && asked.ipv6_ipam_pool_id.is_none() {
            return Err(Error::new(
                "MissingParameter",
                "Either 'ipv6CidrBlock' or 'ipv6IpamPoolId' should be provided.",
            ));
        }
        let message = "IPv6-only subnets are not offered here. Leave Ipv6Native out and give a CidrBlock too.";
        return Err(Error::new("UnsupportedOperation", message));
    }
    if let Some(pool) = asked.ipv4_ipam_pool_id.as_ref().or(asked.ipv6_ipam_pool_id.as_ref()) {
        return Err(Error::new("InvalidIpamPoolId.NotFound", format!("The ipam-pool ID '{pool}' does not exist")));
    }
    asked.cidr_block.ok_or_else(|| Error::missing_parameter("CidrBlock"))
}

/// The zone asked for, or the first: two subnets of which no zone is said can share an instance.
pub(super) fn zone(region: Region, name: Option<&str>, id: Option<&str>) -> Result<Zone, Error> {
    let wrong = |parameter: &str, value: &str, all: Vec<String>| {
        let why =
            format!("Subnets can currently only be created in the following availability zones: {}.", all.join(", "));
        Error::invalid_parameter(parameter, value, &why)
    };
    let mut zones = Zone::all(region);
    match (name, id) {
        (Some(_), Some(_)) => Err(Error::invalid_combination(
            "AvailabilityZone cannot be used together with AvailabilityZoneId; leave one of them out",
        )),
        (Some(name), None) => zones
            .find(|zone| zone.to_string() == name)
            .ok_or_else(|| wrong("availabilityZone", name, texts(Zone::all(region)))),
        (None, Some(id)) => zones
            .find(|zone| zone.id() == id)
            .ok_or_else(|| wrong("availabilityZoneId", id, Zone::all(region).map(|zone| zone.id()).collect())),
        (None, None) => zones.next().ok_or_else(|| {
            Error::new("InsufficientInstanceCapacity", format!("The region {region} has no availability zone"))
        }),
    }
}

/// Inside one block of the VPC, beside all other subnets (spec 3.2).
fn check_ipv4(cloud: &Cloud<'_>, vpc: &Vpc, cidr: Ipv4Cidr) -> Result<(), Error> {
    let is_there = |block: &CidrAssociation<Ipv4Cidr>| cloud.world().is_settled(block.id);
    let inside = vpc.cidrs.iter().any(|block| block.cidr.contains_all(&cidr) && is_there(block));
    if !inside || !(16..=28).contains(&cidr.prefix_len()) {
        return Err(out_of_range(cidr));
    }
    if cloud.subnets_of(vpc.id).any(|other| other.cidr.overlaps(&cidr)) {
        return Err(conflict(cidr));
    }
    Ok(())
}

/// A /44 to /64 in steps of four, inside one block of the VPC, beside all other subnets (spec 3.3).
fn check_ipv6(cloud: &Cloud<'_>, vpc: &Vpc, cidr: Ipv6Cidr) -> Result<(), Error> {
    let is_there = |block: &CidrAssociation<Ipv6Cidr>| cloud.world().is_settled(block.id);
    let inside = vpc.ipv6_cidrs.iter().any(|block| block.cidr.contains_all(&cidr) && is_there(block));
    if !inside || !(44..=64).contains(&cidr.prefix_len()) || !cidr.prefix_len().is_multiple_of(4) {
        return Err(out_of_range(cidr));
    }
    if cloud.subnets_of(vpc.id).any(|other| other.ipv6.is_some_and(|ipv6| ipv6.cidr.overlaps(&cidr))) {
        return Err(conflict(cidr));
    }
    Ok(())
}

fn out_of_range(cidr: impl std::fmt::Display) -> Error {
    Error::new("InvalidSubnet.Range", format!("The CIDR '{cidr}' is invalid."))
}

fn conflict(cidr: impl std::fmt::Display) -> Error {
    Error::new("InvalidSubnet.Conflict", format!("The CIDR '{cidr}' conflicts with another subnet"))
}

impl Handle for DeleteSubnet {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let subnet = cloud.owned::<Subnet>(self.subnet_id)?;
        if cloud.world().count_by::<NetworkInterface>(By::id(subnet.id)) > 0 {
            return Err(Error::has_dependencies("subnet", subnet.id));
        }
        let set_aside: Vec<_> = reservation::of_subnet(cloud.world(), subnet.id).map(|found| found.id).collect();
        set_aside.into_iter().for_each(|id| cloud.delete::<SubnetCidrReservation>(id));
        cloud.delete::<Subnet>(subnet.id);
        Ok(Done::TRUE)
    }
}

impl Handle for ModifySubnetAttribute {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let switches = [
            &self.map_public_ip_on_launch,
            &self.assign_ipv6_address_on_creation,
            &self.enable_dns64,
            &self.enable_resource_name_dns_a_record_on_launch,
            &self.enable_resource_name_dns_aaaa_record_on_launch,
        ];
        let kind = self.private_dns_hostname_type_on_launch.as_deref();
        let hostname_type = kind.map(|text| hostname_type("PrivateDnsHostnameTypeOnLaunch", text)).transpose()?;
        if switches.into_iter().flatten().count() + usize::from(hostname_type.is_some()) != 1 {
            let message = "Exactly one attribute of the subnet must be specified; change several one after the other";
            return Err(Error::invalid_combination(message));
        }
        cloud.update::<Subnet, _>(self.subnet_id, |subnet| {
            for (name, attribute) in [
                ("assignIpv6AddressOnCreation", &self.assign_ipv6_address_on_creation),
                ("enableDns64", &self.enable_dns64),
            ] {
                if *attribute == Some(Attribute(true)) && subnet.ipv6.is_none() {
                    let message =
                        format!("Invalid value 'true' for {name}. Subnet must be associated with an IPv6 CIDR block.");
                    return Err(Error::invalid_value(message));
                }
            }
            let change = |switch: &mut bool, attribute: Option<Attribute<bool>>| {
                *switch = attribute.map_or(*switch, |Attribute(value)| value);
            };
            change(&mut subnet.map_public_ip_on_launch, self.map_public_ip_on_launch);
            change(&mut subnet.assign_ipv6_address_on_creation, self.assign_ipv6_address_on_creation);
            change(&mut subnet.enable_dns64, self.enable_dns64);
            change(&mut subnet.enable_resource_name_dns_a_record, self.enable_resource_name_dns_a_record_on_launch);
            change(
                &mut subnet.enable_resource_name_dns_aaaa_record,
                self.enable_resource_name_dns_aaaa_record_on_launch,
            );
            subnet.private_dns_hostname_type = hostname_type.unwrap_or(subnet.private_dns_hostname_type);
            Ok(Done::TRUE)
        })
    }
}

const HOSTNAME_TYPES: [(HostnameType, &str); 2] =
    [(HostnameType::IpName, "ip-name"), (HostnameType::ResourceName, "resource-name")];

pub(super) fn hostname_type(parameter: &str, text: &str) -> Result<HostnameType, Error> {
    let found = HOSTNAME_TYPES.iter().find(|(_, name)| *name == text).map(|(kind, _)| *kind);
    found.ok_or_else(|| Error::invalid_parameter(parameter, text, "Use ip-name or resource-name."))
}

pub(super) fn hostname_type_name(kind: HostnameType) -> &'static str {
    HOSTNAME_TYPES.iter().find(|(other, _)| *other == kind).map_or("ip-name", |(_, name)| name)
}

impl Handle for AssociateSubnetCidrBlock {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<SubnetCidrBlockResponse, Error> {
        let subnet = cloud.owned::<Subnet>(self.subnet_id)?;
        let vpc = cloud.owned::<Vpc>(subnet.vpc)?;
        if let Some(ipv6) = subnet.ipv6 {
            let message =
                format!("The subnet '{}' already has the IPv6 CIDR '{}'; disassociate it first", subnet.id, ipv6.cidr);
            return Err(Error::new("CidrLimitExceeded", message));
        }
        check_ipv6(cloud, &vpc, self.ipv6_cidr_block)?;
        let ipv6 = SubnetIpv6 { id: cloud.draw.id(), cidr: self.ipv6_cidr_block };
        cloud.update::<Subnet, _>(subnet.id, |subnet| {
            subnet.ipv6 = Some(ipv6);
            Ok(())
        })?;
        cloud.takes_time(ipv6.id, Phase::Associating, Wait::SubnetBlock);
        Ok(SubnetCidrBlockResponse {
            subnet_id: subnet.id,
            ipv6_cidr_block_association: ipv6_item(ipv6, "associating"),
        })
    }
}

impl Handle for DisassociateSubnetCidrBlock {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<SubnetCidrBlockResponse, Error> {
        let id = self.association_id;
        let found = cloud
            .own_by::<Subnet>(By::id(id))
            .find_map(|subnet| Some((subnet.id, subnet.ipv6.filter(|ipv6| ipv6.id == id)?)));
        let (subnet, ipv6) = found.ok_or_else(|| Error::not_found(id))?;
        let in_use = cloud
            .world()
            .by::<NetworkInterface>(By::id(subnet))
            .any(|interface| interface.ipv6_addresses.iter().any(|address| ipv6.cidr.contains(*address)));
        if in_use {
            let message = format!(
                "The subnet CIDR block with association ID {id} has network interfaces with addresses in it. Unassign them first."
            );
            return Err(Error::new("DependencyViolation", message));
        }
        if !cloud.ends_later(id, Phase::Disassociating, Wait::SubnetBlock) {
            cloud.update::<Subnet, _>(subnet, |subnet| {
                // Without a block there is nothing that these two could give out.
                subnet.ipv6 = None;
                subnet.assign_ipv6_address_on_creation = false;
                subnet.enable_dns64 = false;
                Ok(())
            })?;
        }
        Ok(SubnetCidrBlockResponse {
            subnet_id: subnet,
            ipv6_cidr_block_association: ipv6_item(ipv6, "disassociating"),
        })
    }
}

impl Handle for DescribeSubnets {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeSubnetsResponse, Error> {
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let query = Query { ids: &self.subnet_ids, filters: &self.filters, page };
        let (subnets, next_token) = cloud.select::<Subnet>(query, 5..=1000)?;
        Ok(DescribeSubnetsResponse { subnets: subnets.iter().map(|subnet| item(cloud, subnet)).collect(), next_token })
    }
}

impl Describe for Subnet {
    const FILTERS: &'static [&'static str] = &[
        "availability-zone",
        "availabilityZone",
        "availability-zone-id",
        "availabilityZoneId",
        "available-ip-address-count",
        "cidr",
        "cidr-block",
        "cidrBlock",
        "customer-owned-ipv4-pool",
        "default-for-az",
        "defaultForAz",
        "enable-dns64",
        "enable-lni-at-device-index",
        "ipv6-cidr-block-association.association-id",
        "ipv6-cidr-block-association.ipv6-cidr-block",
        "ipv6-cidr-block-association.state",
        "ipv6-native",
        "map-customer-owned-ip-on-launch",
        "map-public-ip-on-launch",
        "outpost-arn",
        "owner-id",
        "private-dns-name-options-on-launch.enable-resource-name-dns-a-record",
        "private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record",
        "private-dns-name-options-on-launch.hostname-type",
        "state",
        "subnet-arn",
        "subnet-id",
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
            "availability-zone" | "availabilityZone" => texts([self.zone]),
            "availability-zone-id" | "availabilityZoneId" => vec![self.zone.id()],
            "available-ip-address-count" => texts([available_ip_address_count(cloud.world(), self)]),
            "cidr" | "cidr-block" | "cidrBlock" => texts([self.cidr]),
            "default-for-az" | "defaultForAz" => texts([self.is_default_for_zone]),
            "enable-dns64" => texts([self.enable_dns64]),
            "ipv6-cidr-block-association.association-id" => texts(self.ipv6.map(|ipv6| ipv6.id)),
            "ipv6-cidr-block-association.ipv6-cidr-block" => texts(self.ipv6.map(|ipv6| ipv6.cidr)),
            "ipv6-cidr-block-association.state" => texts(self.ipv6.map(|ipv6| cloud.word(ipv6.id, "associated"))),
            "ipv6-native" | "map-customer-owned-ip-on-launch" => texts([false]),
            "map-public-ip-on-launch" => texts([self.map_public_ip_on_launch]),
            "owner-id" => texts([self.owner]),
            "private-dns-name-options-on-launch.enable-resource-name-dns-a-record" => {
                texts([self.enable_resource_name_dns_a_record])
            }
            "private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record" => {
                texts([self.enable_resource_name_dns_aaaa_record])
            }
            "private-dns-name-options-on-launch.hostname-type" => {
                texts([hostname_type_name(self.private_dns_hostname_type)])
            }
            "state" => texts([cloud.word(self.id, "available")]),
            "subnet-arn" => vec![cloud.arn("subnet", self.id)],
            "subnet-id" => texts([self.id]),
            "vpc-id" => texts([self.vpc]),
            _ => Vec::new(),
        }
    }

    fn place(_: &Cloud<'_>, filter: &str, value: &str) -> Option<Place<Self::Id>> {
        match filter {
            "subnet-id" => Place::of_id(value),
            "vpc-id" => Place::naming::<VpcId>(value),
            "ipv6-cidr-block-association.association-id" => Place::naming::<SubnetCidrAssociationId>(value),
            "cidr" | "cidr-block" | "cidrBlock" => Place::of_block(value),
            "default-for-az" | "defaultForAz" if value == "true" => Some(Place::Under(By::is_default())),
            _ => None,
        }
    }
}

/// A subnet as the API shows it.
pub(super) fn item(cloud: &Cloud<'_>, subnet: &Subnet) -> SubnetItem {
    SubnetItem {
        subnet_id: subnet.id,
        subnet_arn: cloud.arn("subnet", subnet.id),
        vpc_id: subnet.vpc,
        owner_id: subnet.owner,
        state: cloud.word(subnet.id, "available"),
        cidr_block: subnet.cidr,
        ipv6_cidr_block_association_set: subnet
            .ipv6
            .map(|ipv6| ipv6_item(ipv6, cloud.word(ipv6.id, "associated")))
            .into_iter()
            .collect(),
        ipv6_native: false,
        available_ip_address_count: available_ip_address_count(cloud.world(), subnet),
        availability_zone: subnet.zone,
        availability_zone_id: subnet.zone.id(),
        default_for_az: subnet.is_default_for_zone,
        map_public_ip_on_launch: subnet.map_public_ip_on_launch,
        map_customer_owned_ip_on_launch: false,
        assign_ipv6_address_on_creation: subnet.assign_ipv6_address_on_creation,
        enable_dns64: subnet.enable_dns64,
        private_dns_name_options_on_launch: PrivateDnsNameOptionsOnLaunch {
            hostname_type: hostname_type_name(subnet.private_dns_hostname_type),
            enable_resource_name_dns_a_record: subnet.enable_resource_name_dns_a_record,
            enable_resource_name_dns_aaaa_record: subnet.enable_resource_name_dns_aaaa_record,
        },
        tag_set: subnet.tags.clone(),
    }
}

fn ipv6_item(ipv6: SubnetIpv6, state: &'static str) -> SubnetIpv6CidrItem {
    SubnetIpv6CidrItem {
        association_id: ipv6.id,
        ipv6_cidr_block: ipv6.cidr,
        ipv6_cidr_block_state: CidrStateItem { state },
    }
}
