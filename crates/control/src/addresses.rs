//! Which addresses an interface gets (spec 3.5, 8.2): named ones if they are free, else any free ones of the subnet. What was given back
//! a moment ago is given to others last (decision 0039).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ec2::Error;
use ec2::shapes::interface::{Ipv6AddressInput, PrivateIpAddressInput};
use model::{By, Change, Cidr, Duration, NetworkInterface, ReleasedAddresses, Subnet, SubnetId, Time, World};

use crate::Cloud;
use crate::action::reservation;

/// Addresses of each family on one interface.
pub const ADDRESSES_MAX: usize = 50;

/// How long an address that was given back goes only to those who name it, as long as there are others.
pub const QUARANTINE: Duration = Duration::seconds(60);

/// What a request says about addresses.
#[derive(Clone, Copy, Default)]
pub struct Wanted<'q> {
    pub primary: Option<Ipv4Addr>,
    pub listed: &'q [PrivateIpAddressInput],
    pub secondary_count: Option<i32>,
    pub ipv6: &'q [Ipv6AddressInput],
    pub ipv6_count: Option<i32>,
}

impl Wanted<'_> {
    /// The addresses of a new interface, the primary one first.
    ///
    /// # Errors
    /// `InvalidParameterValue`, `InvalidParameterCombination`, `InvalidIPAddress.InUse`, `InsufficientFreeAddressesInSubnet`.
    pub fn allocate(&self, cloud: &mut Cloud<'_>, subnet: &Subnet) -> Result<(Vec<Ipv4Addr>, Vec<Ipv6Addr>), Error> {
        let mut pool = Pool::new(cloud, subnet);
        let mut listed: Vec<&PrivateIpAddressInput> = self.listed.iter().collect();
        let primaries =
            listed.iter().filter(|address| address.primary == Some(true)).count() + usize::from(self.primary.is_some());
        if primaries > 1 {
            return Err(Error::invalid_combination("Only one primary private IP address can be specified"));
        }
        // A stable sort: the primary to the front, the others in the user's order.
        listed.sort_by_key(|address| address.primary != Some(true));
        let named: Vec<Ipv4Addr> =
            self.primary.into_iter().chain(listed.iter().map(|address| address.private_ip_address)).collect();
        let mut ipv4 = Vec::new();
        if primaries == 0 {
            ipv4.push(pool.any_ipv4(cloud)?);
        }
        for address in named {
            ipv4.push(pool.take_ipv4(address)?);
        }
        for _ in 0..count("SecondaryPrivateIpAddressCount", self.secondary_count)? {
            ipv4.push(pool.any_ipv4(cloud)?);
        }
        let ipv6 = self.allocate_ipv6(cloud, subnet, &mut pool)?;
        check_count(ipv4.len().max(ipv6.len()), ADDRESSES_MAX)?;
        Ok((ipv4, ipv6))
    }

    fn allocate_ipv6(
        &self,
        cloud: &mut Cloud<'_>,
        subnet: &Subnet,
        pool: &mut Pool<'_>,
    ) -> Result<Vec<Ipv6Addr>, Error> {
        let automatic =
            i32::from(subnet.ipv6.is_some() && subnet.assign_ipv6_address_on_creation && self.ipv6.is_empty());
        let asked = count("Ipv6AddressCount", self.ipv6_count.or(Some(automatic)))?;
        if asked > 0 && !self.ipv6.is_empty() {
            return Err(Error::invalid_combination("Ipv6Addresses and Ipv6AddressCount cannot be used together"));
        }
        let mut ipv6 = Vec::new();
        for address in self.ipv6 {
            ipv6.push(pool.take_ipv6(address.ipv6_address)?);
        }
        for _ in 0..asked {
            ipv6.push(pool.any_ipv6(cloud)?);
        }
        Ok(ipv6)
    }
}

/// More addresses for an interface: these, or so many.
///
/// # Errors
/// As [`Wanted::allocate`].
pub fn secondary(
    cloud: &mut Cloud<'_>,
    subnet: &Subnet,
    named: &[Ipv4Addr],
    how_many: Option<i32>,
) -> Result<Vec<Ipv4Addr>, Error> {
    let mut pool = Pool::new(cloud, subnet);
    let mut taken = Vec::new();
    for address in named {
        taken.push(pool.take_ipv4(*address)?);
    }
    for _ in 0..count("SecondaryPrivateIpAddressCount", how_many)? {
        taken.push(pool.any_ipv4(cloud)?);
    }
    Ok(taken)
}

/// The same of IPv6.
///
/// # Errors
/// As [`Wanted::allocate`].
pub fn more_ipv6(
    cloud: &mut Cloud<'_>,
    subnet: &Subnet,
    named: &[Ipv6Addr],
    how_many: Option<i32>,
) -> Result<Vec<Ipv6Addr>, Error> {
    let mut pool = Pool::new(cloud, subnet);
    let mut taken = Vec::new();
    for address in named {
        taken.push(pool.take_ipv6(*address)?);
    }
    for _ in 0..count("Ipv6AddressCount", how_many)? {
        taken.push(pool.any_ipv6(cloud)?);
    }
    Ok(taken)
}

/// # Errors
/// `PrivateIpAddressLimitExceeded`.
pub fn check_count(addresses: usize, max: usize) -> Result<(), Error> {
    if addresses <= max {
        return Ok(());
    }
    Err(Error::new(
        "PrivateIpAddressLimitExceeded",
        format!(
            "Number of private addresses will exceed limit: the interface may have {max} of a family, not {addresses}"
        ),
    ))
}

/// Notes that these addresses of a subnet were given back.
pub fn release(cloud: &mut Cloud<'_>, subnet: SubnetId, addresses: impl IntoIterator<Item = IpAddr>) {
    let change = released(cloud.world(), subnet, addresses, cloud.now);
    cloud.change_all(vec![change]);
}

/// The note that these addresses of a subnet were given back.
pub fn released(world: &World, subnet: SubnetId, addresses: impl IntoIterator<Item = IpAddr>, now: Time) -> Change {
    let before = world.find::<ReleasedAddresses>(&subnet);
    let recent = before.into_iter().flat_map(|before| &before.addresses);
    let recent = recent.filter(|(_, since)| **since + QUARANTINE > now).map(|(address, since)| (*address, *since));
    let new = addresses.into_iter().map(|address| (address, now));
    Change::put(ReleasedAddresses { subnet, addresses: recent.chain(new).collect() })
}

/// When a note has nothing to say any more.
pub(crate) fn forgotten(note: &ReleasedAddresses) -> Time {
    note.addresses.values().max().map_or(Time::EPOCH, |last| *last + QUARANTINE)
}

fn count(name: &str, asked: Option<i32>) -> Result<usize, Error> {
    let asked = asked.unwrap_or(0);
    let fits = usize::try_from(asked).ok().filter(|n| *n <= ADDRESSES_MAX);
    fits.ok_or_else(|| Error::invalid_parameter(name, asked, &format!("Expected 0 to {ADDRESSES_MAX}.")))
}

/// A subnet's addresses, less those that are taken.
struct Pool<'s> {
    subnet: &'s Subnet,
    taken: BTreeSet<IpAddr>,
    /// Given back a moment ago, and when.
    recent: BTreeMap<IpAddr, Time>,
    /// Given only to who asks for them.
    set_aside: Vec<Cidr>,
}

impl<'s> Pool<'s> {
    fn new(cloud: &Cloud<'_>, subnet: &'s Subnet) -> Pool<'s> {
        let interfaces = cloud.world().by::<NetworkInterface>(By::id(subnet.id));
        let notes = cloud.world().find::<ReleasedAddresses>(&subnet.id).into_iter().flat_map(|note| &note.addresses);
        let recent = notes.filter(|(_, since)| **since + QUARANTINE > cloud.now);
        let set_aside = reservation::of_subnet(cloud.world(), subnet.id).map(|found| found.cidr).collect();
        Pool {
            subnet,
            taken: interfaces.flat_map(|interface| interface.addresses()).collect(),
            recent: recent.map(|(address, since)| (*address, *since)).collect(),
            set_aside,
        }
    }

    /// May be given to who does not ask for it.
    fn is_free(&self, address: IpAddr) -> bool {
        !self.subnet.is_reserved(address)
            && !self.taken.contains(&address)
            && !self.set_aside.iter().any(|range| range.contains(address))
    }

    fn take(&mut self, address: IpAddr) -> Result<(), Error> {
        if !self.subnet.contains(address) {
            return Err(Error::invalid_value(format!(
                "Address {address} does not fall within the subnet's address range"
            )));
        }
        if self.subnet.is_reserved(address) {
            return Err(Error::invalid_value(format!("Address {address} is in subnet's reserved address range")));
        }
        if !self.taken.insert(address) {
            return Err(Error::new("InvalidIPAddress.InUse", format!("Address {address} is in use.")));
        }
        Ok(())
    }

    fn take_ipv4(&mut self, address: Ipv4Addr) -> Result<Ipv4Addr, Error> {
        self.take(address.into()).map(|()| address)
    }

    fn take_ipv6(&mut self, address: Ipv6Addr) -> Result<Ipv6Addr, Error> {
        self.take(address.into()).map(|()| address)
    }

    /// The first free address from a random one on; where all that are free were given back a moment ago, the one that has been
    /// free the longest.
    fn any_ipv4(&mut self, cloud: &mut Cloud<'_>) -> Result<Ipv4Addr, Error> {
        let size = u64::from(u32::from(self.subnet.cidr.last()) - u32::from(self.subnet.cidr.network())) + 1;
        let start = cloud.draw.u64() % size;
        let candidates = (0..size).filter_map(|step| self.subnet.cidr.nth(u32::try_from((start + step) % size).ok()?));
        let free = candidates.filter(|address| self.is_free(IpAddr::V4(*address)));
        let since = |address: &Ipv4Addr| self.recent.get(&IpAddr::V4(*address));
        let rested = free.clone().find(|address| since(address).is_none());
        let address = rested.or_else(|| free.min_by_key(|address| since(address))).ok_or_else(|| {
            let message =
                format!("There are not enough free addresses in subnet '{}' to satisfy the request.", self.subnet.id);
            Error::new("InsufficientFreeAddressesInSubnet", message)
        })?;
        self.take_ipv4(address)
    }

    fn any_ipv6(&mut self, cloud: &mut Cloud<'_>) -> Result<Ipv6Addr, Error> {
        let Some(ipv6) = self.subnet.ipv6 else {
            return Err(Error::invalid_value(format!(
                "Subnet '{}' has no IPv6 block; associate one first",
                self.subnet.id
            )));
        };
        let host_bits = 128 - u32::from(ipv6.cidr.prefix_len());
        for _ in 0..64 {
            let host = cloud.draw.u128() & (1_u128.checked_shl(host_bits).unwrap_or(0)).wrapping_sub(1);
            let free = ipv6.cidr.nth(host).filter(|address| {
                let address = IpAddr::V6(*address);
                self.is_free(address) && !self.recent.contains_key(&address)
            });
            if let Some(address) = free {
                return self.take_ipv6(address);
            }
        }
        Err(Error::new(
            "InsufficientFreeAddressesInSubnet",
            format!("There are not enough free IPv6 addresses in subnet '{}'.", self.subnet.id),
        ))
    }
}
