//! Public IPv4 addresses of a region: which are free, who gets one at launch, what becomes of those that are given back (spec 8.7).
//!
//! Whom an address is mapped to stands at its interface alone. One that was given back rests for a while, so that whoever still remembers
//! it reaches nobody instead of somebody else.

use std::net::Ipv4Addr;
use std::sync::Arc;

use ec2::Error;
use model::*;

use crate::{Cloud, Config};

/// How long an address that was given back rests.
pub const QUARANTINE: Duration = Duration::seconds(60);

/// More than this are not looked at: the addresses of a /12.
const POOL_MAX: usize = 1 << 20;

/// The addresses of the region's pools that an interface may get: none that ends in 0 or 255, which some hosts take for a network's own.
pub fn pool(config: &Config) -> impl Iterator<Item = Ipv4Addr> + '_ {
    let of_block = |block: &Ipv4Cidr| {
        let (first, last) = (u32::from(block.network()), u32::from(block.last()));
        (first..=last).map(Ipv4Addr::from)
    };
    let usable = |address: &Ipv4Addr| !matches!(address.octets()[3], 0 | 255);
    config.public_pools.iter().flat_map(of_block).take(POOL_MAX).filter(usable)
}

/// Nobody has the address, mapped or not, and it does not rest.
pub fn is_free(world: &World, public: Ipv4Addr, now: Time) -> bool {
    let is_mapped = |interface: &Arc<NetworkInterface>| interface.public.iter().any(|at| at.public == public);
    let rests = |address: &Arc<RestingAddress>| now < address.released + QUARANTINE;
    world.count_by::<ElasticAddress>(By::address(public)) == 0
        && !world.by::<NetworkInterface>(By::address(public)).any(is_mapped)
        && !world.find::<RestingAddress>(&public).is_some_and(rests)
}

/// A free address, any of them: the first one from a random place on.
///
/// # Errors
/// `InsufficientAddressCapacity`.
pub fn draw(cloud: &mut Cloud<'_>) -> Result<Ipv4Addr, Error> {
    let random = cloud.draw.u64();
    let count = pool(cloud.config).count();
    let start = u64::try_from(count).ok().and_then(|count| random.checked_rem(count));
    let start = start.and_then(|start| usize::try_from(start).ok()).unwrap_or(0);
    let order = pool(cloud.config).skip(start).chain(pool(cloud.config).take(start));
    let chosen = order.into_iter().find(|address| is_free(cloud.world(), *address, cloud.now));
    chosen.ok_or_else(|| {
        let message = format!(
            "Region {} has no free public address left; release some, or start the server with another --public-pool",
            cloud.config.region
        );
        Error::new("InsufficientAddressCapacity", message).with_status(500)
    })
}

/// From here on the interface's primary address has a public one whenever its instance starts, from now on too.
///
/// # Errors
/// `InsufficientAddressCapacity`.
pub fn assign_at_start(cloud: &mut Cloud<'_>, id: NetworkInterfaceId) -> Result<(), Error> {
    cloud.update::<NetworkInterface, _>(id, |interface| {
        if let Some(attachment) = &mut interface.attachment {
            attachment.public_at_start = true;
        }
        Ok(())
    })?;
    assign(cloud, id)
}

/// What an instance that starts again gets (spec 8.6).
///
/// # Errors
/// `InsufficientAddressCapacity`.
pub fn started(cloud: &mut Cloud<'_>, instance: InstanceId) -> Result<(), Error> {
    let wants = |interface: &NetworkInterface| {
        interface.attachment.as_ref().is_some_and(|attachment| attachment.public_at_start)
    };
    let interfaces = cloud.world().by::<NetworkInterface>(By::id(instance)).filter(|interface| wants(interface));
    let ids: Vec<NetworkInterfaceId> = interfaces.map(|interface| interface.id).collect();
    ids.into_iter().try_for_each(|id| assign(cloud, id))
}

/// A public address for the primary one, unless something stands for it already.
fn assign(cloud: &mut Cloud<'_>, id: NetworkInterfaceId) -> Result<(), Error> {
    let interface = cloud.owned::<NetworkInterface>(id)?;
    let private = interface.primary_ip();
    if interface.public.iter().any(|at| at.private == private) {
        return Ok(());
    }
    let public = draw(cloud)?;
    cloud.update::<NetworkInterface, _>(id, |interface| {
        interface.public.push(PublicAssociation { private, public, elastic: None });
        Ok(())
    })
}

/// An instance that stops, or ends, gives back what its interfaces were assigned at its start; Elastic IP addresses stay (spec 8.6).
pub fn stopped(world: &World, instance: InstanceId, now: Time) -> Vec<Change> {
    let interfaces = world.by::<NetworkInterface>(By::id(instance));
    interfaces.flat_map(|interface| without_assigned(interface, now)).collect()
}

/// The interface without what it was assigned; no change if there is nothing.
pub fn without_assigned(interface: &NetworkInterface, now: Time) -> Vec<Change> {
    let mut changes = resting(interface, now);
    if !changes.is_empty() {
        let mut after = interface.clone();
        after.public.retain(|at| at.elastic.is_some());
        changes.push(Change::put(after));
    }
    changes
}

/// What an interface was assigned rests from now on.
pub fn resting(interface: &NetworkInterface, now: Time) -> Vec<Change> {
    let assigned = interface.public.iter().filter(|at| at.elastic.is_none());
    assigned.map(|at| Change::put(RestingAddress { public: at.public, released: now })).collect()
}

/// When an address has rested.
pub fn rested(address: &RestingAddress) -> Time {
    address.released + QUARANTINE
}

/// The name of a public address, where the VPC gives names (spec 9.3).
pub fn name(cloud: &Cloud<'_>, vpc: VpcId, public: Ipv4Addr) -> Option<String> {
    let vpc = cloud.world().find::<Vpc>(&vpc)?;
    let gives = vpc.enable_dns_support && vpc.enable_dns_hostnames;
    gives.then(|| cloud.config.names.public_name(cloud.config.region, public))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_has_no_ends_of_networks_and_is_bounded() {
        let mut config = Config::new("us-east-1".parse().unwrap());
        config.public_pools = vec!["203.0.113.0/29".parse().unwrap(), "198.51.100.252/30".parse().unwrap()];
        let all: Vec<String> = pool(&config).map(|address| address.to_string()).collect();
        assert_eq!(all.len(), 7 + 3);
        assert!(!all.contains(&"203.0.113.0".into()) && !all.contains(&"198.51.100.255".into()), "{all:?}");
        config.public_pools = vec![Ipv4Cidr::ALL];
        assert!(pool(&config).count() < POOL_MAX);
    }

    #[test]
    fn what_was_given_back_rests_for_a_minute() {
        let mut config = Config::new("us-east-1".parse().unwrap());
        config.public_pools = vec!["203.0.113.4/31".parse().unwrap()];
        let [public, other] = ["203.0.113.4", "203.0.113.5"].map(|text| text.parse().unwrap());
        let now = Time::from_unix_millis(1_000_000);
        let world = World::default().apply(&[Change::put(RestingAddress { public, released: now })]);
        let free = |after| pool(&config).filter(|address| is_free(&world, *address, now + after)).collect::<Vec<_>>();
        assert_eq!(free(Duration::seconds(59)), [other]);
        assert_eq!(free(QUARANTINE), [public, other]);
    }
}
