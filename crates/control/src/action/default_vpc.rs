//! The default VPC (spec 2.5): every account has one in every region from its first use on, and may have another one made after it was
//! deleted. What a launch does not say is taken from it.

use ec2::shapes::default_vpc::*;
use ec2::shapes::instance::RunInstances;
use ec2::{Caller, Error};
use model::vpc::{HostnameType, NetworkAclAssociation};
use model::*;

use super::{Handle, group, subnet, vpc};
use crate::{Cloud, Config, Seed};

/// The block that every default VPC has; two of them can never be peered.
const BLOCK: [u8; 4] = [172, 31, 0, 0];
const BLOCK_PREFIX_LEN: u8 = 16;
const SUBNET_PREFIX_LEN: u8 = 20;
/// As many subnets as fit the block.
const SUBNETS_MAX: u8 = 16;

/// Nobody has acted for this account here yet.
pub fn is_first_use(world: &World, config: &Config, account: AccountId) -> bool {
    config.default_vpc && world.find::<AccountRegion>(&account).is_none_or(|own| own.default_vpc_made.is_none())
}

/// What an account's first use of a region changes: nothing at any later one. Reads change nothing, so the shell sees to this first.
pub fn first_use(world: &World, caller: &Caller, config: &Config, seed: Seed, machine: Time) -> Vec<Change> {
    let mut cloud = Cloud::new(world, caller, config, seed, machine, 0);
    at_first_use(&mut cloud);
    cloud.into_changes()
}

pub(crate) fn at_first_use(cloud: &mut Cloud<'_>) {
    let account = cloud.caller.account;
    if !is_first_use(cloud.world(), cloud.config, account) {
        return;
    }
    if cloud.default_vpc().is_none() {
        create(cloud);
    }
    let own = cloud.world().find::<AccountRegion>(&account);
    let own = own.map_or_else(|| AccountRegion::new(account), |own| AccountRegion::clone(own));
    let default_vpc_made = Some(cloud.now);
    cloud.put(AccountRegion { default_vpc_made, ..own });
}

fn create(cloud: &mut Cloud<'_>) -> VpcId {
    let (owner, created) = (cloud.caller.account, cloud.now);
    let block = Ipv4Cidr::new(BLOCK.into(), BLOCK_PREFIX_LEN).unwrap_or(Ipv4Cidr::ALL);
    let id = vpc::create(cloud, block, Tags::new(), "default".into());
    let Some(made) = cloud.world().find::<Vpc>(&id) else { return id };
    let made = Vpc { is_default: true, enable_dns_hostnames: true, ..Vpc::clone(made) };
    cloud.put(made.clone());
    for (index, zone) in (0..SUBNETS_MAX).zip(Zone::all(cloud.config.region)) {
        if let Some(block) = subnet_block(index) {
            create_subnet(cloud, &made, zone, block);
        }
    }
    let gateway = cloud.draw.id();
    cloud.put(InternetGateway { id: gateway, owner, vpc: Some(id), route_table: None, created, tags: Tags::new() });
    if let Some(table) = cloud.world().find::<RouteTable>(&made.main.route_table) {
        let mut table = RouteTable::clone(table);
        table.routes.push(Route {
            destination: Destination::Cidr(Cidr::V4(Ipv4Cidr::ALL)),
            target: RouteTarget::InternetGateway(gateway),
            origin: RouteOrigin::CreateRoute,
        });
        cloud.put(table);
    }
    id
}

/// The nth of the block's parts.
fn subnet_block(index: u8) -> Option<Ipv4Cidr> {
    let [a, b, ..] = BLOCK;
    Ipv4Cidr::new([a, b, index.checked_mul(SUBNETS_MAX)?, 0].into(), SUBNET_PREFIX_LEN)
}

fn create_subnet(cloud: &mut Cloud<'_>, vpc: &Vpc, zone: Zone, cidr: Ipv4Cidr) -> Subnet {
    let made = Subnet {
        id: cloud.draw.id(),
        vpc: vpc.id,
        owner: vpc.owner,
        zone,
        cidr,
        ipv6: None,
        route_table: None,
        network_acl: NetworkAclAssociation { id: cloud.draw.id(), network_acl: vpc.default_acl },
        is_default_for_zone: true,
        map_public_ip_on_launch: true,
        assign_ipv6_address_on_creation: false,
        enable_dns64: false,
        private_dns_hostname_type: HostnameType::IpName,
        enable_resource_name_dns_a_record: false,
        enable_resource_name_dns_aaaa_record: false,
        tags: Tags::new(),
    };
    cloud.put(made.clone());
    made
}

impl Handle for CreateDefaultVpc {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<CreateDefaultVpcResponse, Error> {
        if cloud.default_vpc().is_some() {
            let message = "A Default VPC already exists for this account in this region.";
            return Err(Error::new("DefaultVpcAlreadyExists", message));
        }
        vpc::check_quota(cloud)?;
        let id = create(cloud);
        let made = cloud.owned::<Vpc>(id)?;
        Ok(CreateDefaultVpcResponse { vpc: vpc::item(cloud, &made) })
    }
}

impl Handle for CreateDefaultSubnet {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<CreateDefaultSubnetResponse, Error> {
        if self.availability_zone.is_none() && self.availability_zone_id.is_none() {
            return Err(Error::missing_parameter("AvailabilityZone"));
        }
        let zone =
            subnet::zone(cloud.config.region, self.availability_zone.as_deref(), self.availability_zone_id.as_deref())?;
        if self.ipv6_native == Some(true) {
            let message = "IPv6-only subnets are not offered here. Leave Ipv6Native out.";
            return Err(Error::new("UnsupportedOperation", message));
        }
        let vpc = cloud.default_vpc().cloned().ok_or_else(|| {
            let message = "No default VPC exists for this account in this region; make one with CreateDefaultVpc.";
            Error::new("DefaultVpcDoesNotExist", message)
        })?;
        if let Some(other) = cloud.subnets_of(vpc.id).find(|other| other.is_default_for_zone && other.zone == zone) {
            let message = format!("'{}' is already the default subnet in {zone}.", other.id);
            return Err(Error::new("DefaultSubnetAlreadyExistsInAvailabilityZone", message));
        }
        if cloud.subnets_of(vpc.id).count() >= cloud.config.quotas.subnets_per_vpc {
            return Err(Error::new("SubnetLimitExceeded", "The maximum number of subnets has been reached."));
        }
        let free = (0..SUBNETS_MAX)
            .filter_map(subnet_block)
            .find(|block| !cloud.subnets_of(vpc.id).any(|other| other.cidr.overlaps(block)));
        let block = free.ok_or_else(|| {
            let message = format!("The default VPC '{}' has no free /{SUBNET_PREFIX_LEN} for another subnet", vpc.id);
            Error::new("InsufficientFreeAddressesInSubnet", message)
        })?;
        let made = create_subnet(cloud, &vpc, zone, block);
        Ok(CreateDefaultSubnetResponse { subnet: subnet::item(cloud, &made) })
    }
}

/// Puts into a launch what it leaves to the default VPC: subnets, and groups by name.
pub(super) fn fill_in(asked: &mut RunInstances, cloud: &Cloud<'_>) -> Result<(), Error> {
    if !asked.security_groups.is_empty() {
        if asked.subnet_id.is_some() || !asked.network_interfaces.is_empty() {
            let message =
                "The parameter groupName cannot be used with the parameter subnet; name groups with SecurityGroupId";
            return Err(Error::invalid_combination(message));
        }
        let vpc = cloud.default_vpc().ok_or_else(no_default_vpc)?.id;
        for name in &asked.security_groups {
            let found = group::named(cloud, vpc, name).map(|group| group.id);
            let missing = || {
                let message = format!("The security group '{name}' does not exist in default VPC '{vpc}'");
                Error::new("InvalidGroup.NotFound", message)
            };
            asked.security_group_ids.push(found.ok_or_else(missing)?);
        }
    }
    let zone = asked.placement.as_ref().and_then(|placement| placement.availability_zone.as_deref());
    if asked.network_interfaces.is_empty() {
        if asked.subnet_id.is_none() {
            asked.subnet_id = Some(default_subnet(cloud, zone)?);
        }
        return Ok(());
    }
    for interface in &mut asked.network_interfaces {
        if interface.subnet_id.is_none() && interface.network_interface_id.is_none() && asked.subnet_id.is_none() {
            interface.subnet_id = Some(default_subnet(cloud, zone)?);
        }
    }
    Ok(())
}

/// The default VPC's subnet in that zone, or its first one.
fn default_subnet(cloud: &Cloud<'_>, zone: Option<&str>) -> Result<SubnetId, Error> {
    let vpc = cloud.default_vpc().ok_or_else(no_default_vpc)?.id;
    let zone = zone.map(|name| subnet::zone(cloud.config.region, Some(name), None)).transpose()?;
    let fits = |subnet: &Subnet| subnet.is_default_for_zone && zone.is_none_or(|zone| subnet.zone == zone);
    let first = cloud.subnets_of(vpc).filter(|subnet| fits(subnet)).min_by_key(|subnet| (subnet.zone, subnet.id));
    first.map(|subnet| subnet.id).ok_or_else(|| {
        let message = format!("No subnets found for the default VPC '{vpc}'. Please specify a subnet.");
        Error::new("MissingInput", message)
    })
}

fn no_default_vpc() -> Error {
    Error::new("VPCIdNotSpecified", "No default VPC for this user. Name a subnet with SubnetId.")
}
