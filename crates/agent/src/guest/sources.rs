//! By which device a guest's packets leave that has several (decision 0038): by the one whose address is their source.
//!
//! The main table alone would send them by destination, and what leaves by one interface with another's address is dropped
//! (D03). So each device has a table of its own, with its subnet and the default route by its router, and rules lead there:
//!
//! ```text
//!   10001: from <an address of eth1> lookup 10001                       eth2 and the others likewise
//!   10000: from <an address of eth0> to <eth1's subnet> lookup 10000    all else of eth0's: the main table, and what the guest put there
//! ```
//!
//! With one device there is neither rule nor table. Rules of these priorities are ours; all others are the guest's own.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;

use linux::netlink::{Netlink, Route, Rule};
use model::{NetworkInterface, Subnet};

use super::{DeviceError, carries_ipv6, default_route, find};

/// The table of device 0, and the priority of the rules that lead there; device 1 has the next one.
const TABLE_FIRST: u32 = 10_000;
/// Above the highest device index.
const TABLES: u32 = 64;

/// First address and prefix length.
type Block = (IpAddr, u8);

/// A device that is plugged in.
#[derive(Clone, Copy)]
pub(crate) struct Plugged<'a> {
    pub(crate) device_index: u32,
    pub(crate) interface: &'a NetworkInterface,
    pub(crate) subnet: &'a Subnet,
}

/// What the rules are made of.
struct Sources {
    table: u32,
    addresses: Vec<IpAddr>,
    /// On its link.
    blocks: Vec<Block>,
}

impl Sources {
    fn of(device: &Plugged<'_>) -> Sources {
        let Plugged { device_index, interface, subnet } = device;
        let v4 = (IpAddr::V4(subnet.cidr.network()), subnet.cidr.prefix_len());
        let v6 = subnet.ipv6.map(|v6| (IpAddr::V6(v6.cidr.network()), v6.cidr.prefix_len()));
        Sources {
            table: TABLE_FIRST + device_index,
            addresses: interface.addresses().collect(),
            blocks: std::iter::once(v4).chain(v6).collect(),
        }
    }
}

/// Makes the rules and tables those that these devices, which are all that the guest has, want.
pub(crate) fn settle(netns: BorrowedFd<'_>, devices: &[Plugged<'_>]) -> Result<(), DeviceError> {
    let sources: Vec<Sources> = devices.iter().map(Sources::of).collect();
    let wanted = rules(&sources);
    let work = || -> Result<(), DeviceError> {
        let mut netlink = Netlink::open()?;
        let is_ours =
            |rule: &Rule| (TABLE_FIRST..TABLE_FIRST + TABLES).contains(&rule.priority) && rule.table == rule.priority;
        let there: BTreeSet<Rule> = netlink.rules()?.into_iter().filter(is_ours).collect();
        for rule in there.difference(&wanted) {
            netlink.delete_rule(rule)?;
        }
        if devices.len() > 1 {
            for (device, sources) in devices.iter().zip(&sources) {
                fill_table(&mut netlink, device, sources)?;
            }
        }
        Ok(wanted.difference(&there).try_for_each(|rule| netlink.add_rule(rule))?)
    };
    linux::namespace::in_netns(netns, work).map_err(DeviceError::Namespace)?
}

/// The rules of a guest with these devices.
fn rules(devices: &[Sources]) -> BTreeSet<Rule> {
    let mut rules = BTreeSet::new();
    let Some(first) = devices.iter().map(|device| device.table).min().filter(|_| devices.len() > 1) else {
        return rules;
    };
    for Sources { table, addresses, .. } in devices {
        for address in addresses {
            let from = (*address, if address.is_ipv4() { 32 } else { 128 });
            let rule = |to: Option<Block>| Rule { priority: *table, from, to, table: *table };
            if *table != first {
                rules.insert(rule(None));
                continue;
            }
            let others = devices.iter().filter(|other| other.table != first).flat_map(|other| &other.blocks);
            rules.extend(others.filter(|block| block.0.is_ipv4() == address.is_ipv4()).map(|block| rule(Some(*block))));
        }
    }
    rules
}

fn fill_table(netlink: &mut Netlink, device: &Plugged<'_>, sources: &Sources) -> Result<(), DeviceError> {
    let Some(link) = find(netlink, device.interface, device.device_index)? else { return Ok(()) };
    let mut add = |route: Route| netlink.add_route_to(sources.table, 0, &route);
    let has_ipv6 = !device.interface.ipv6_addresses.is_empty() && carries_ipv6(&link);
    for destination in sources.blocks.iter().copied().filter(|(block, _)| block.is_ipv4() || has_ipv6) {
        add(Route { destination, gateway: None, device: link.name.clone(), onlink: false })?;
    }
    add(default_route(&link.name, Ipv4Addr::UNSPECIFIED.into(), device.subnet.router().into()))?;
    if has_ipv6 {
        add(default_route(&link.name, Ipv6Addr::UNSPECIFIED.into(), dataplane::ROUTER_LINK_LOCAL.into()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str) -> Block {
        let (address, len) = text.split_once('/').unwrap();
        (address.parse().unwrap(), len.parse().unwrap())
    }

    fn device(index: u32, addresses: &[&str], blocks: &[&str]) -> Sources {
        Sources {
            table: TABLE_FIRST + index,
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            blocks: blocks.iter().map(|text| block(text)).collect(),
        }
    }

    fn words(devices: &[Sources]) -> Vec<String> {
        let word = |Rule { priority, from, to, table }| {
            assert_eq!(priority, table);
            let to = to.map(|(to, len)| format!(" to {to}/{len}")).unwrap_or_default();
            format!("{table} from {}/{}{to}", from.0, from.1)
        };
        rules(devices).into_iter().map(word).collect()
    }

    #[test]
    fn each_source_leaves_by_its_own_device_and_the_guests_own_routes_hold_for_the_first() {
        let (left, right) = (["10.0.1.0/24", "2001:db8:0:1::/64"], ["10.0.2.0/24"]);
        let zero = || device(0, &["10.0.1.5", "2001:db8:0:1::5"], &left);
        let one = || device(1, &["10.0.2.5", "10.0.2.6"], &right);
        assert_eq!(words(&[]), Vec::<String>::new());
        assert_eq!(words(&[zero()]), Vec::<String>::new());
        assert_eq!(
            words(&[zero(), one()]),
            ["10000 from 10.0.1.5/32 to 10.0.2.0/24", "10001 from 10.0.2.5/32", "10001 from 10.0.2.6/32"]
        );
        let three = device(3, &["10.0.1.7"], &left);
        assert_eq!(
            words(&[three, one(), zero()]),
            [
                "10000 from 10.0.1.5/32 to 10.0.1.0/24",
                "10000 from 10.0.1.5/32 to 10.0.2.0/24",
                "10000 from 2001:db8:0:1::5/128 to 2001:db8:0:1::/64",
                "10001 from 10.0.2.5/32",
                "10001 from 10.0.2.6/32",
                "10003 from 10.0.1.7/32",
            ]
        );
    }
}
