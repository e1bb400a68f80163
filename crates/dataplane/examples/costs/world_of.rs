//! Worlds of a size, by the law's own test builder: VPCs in a ring of peerings, interfaces that bear five groups each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::intent::VpcSlice;
use model::{Direction, IpProtocol, NetworkInterfaceId, Ports, RulePeer, SecurityGroupId, VpcId};
use policy::testing::Lab;

/// Groups of a VPC; each of its interfaces bears five that follow one another.
const GROUPS: usize = 10;
const BORNE: usize = 5;

#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub vpcs: usize,
    /// In each VPC.
    pub interfaces: usize,
    /// In each group.
    pub rules: u16,
}

pub struct World {
    pub slices: BTreeMap<VpcId, Arc<VpcSlice>>,
    /// A group of the first VPC.
    pub group: SecurityGroupId,
    pub first: VpcId,
}

impl World {
    pub fn new(size: Size) -> World {
        let mut lab = Lab::default();
        let vpcs: Vec<VpcId> = (0..size.vpcs).map(|n| lab.vpc(&[&format!("10.{n}.0.0/16")])).collect();
        let mut groups = Vec::new();
        for (n, vpc) in vpcs.iter().enumerate() {
            let subnet = lab.subnet(*vpc, &[&format!("10.{n}.0.0/16")]);
            let of_vpc: Vec<SecurityGroupId> = (0..GROUPS).map(|_| lab.group(*vpc)).collect();
            of_vpc.iter().for_each(|group| fill(&mut lab, *group, size.rules));
            for at in 0..size.interfaces {
                lab.interface(subnet, &[&format!("10.{n}.{}.{}", at / 250, at % 250 + 4)]);
                let borne: BTreeSet<_> = (0..BORNE).map(|k| of_vpc[(at + k) % GROUPS]).collect();
                if let Some(endpoint) = lab.slice(*vpc).endpoints.last_mut() {
                    Arc::make_mut(&mut endpoint.interface).groups = borne;
                }
            }
            groups.extend(of_vpc);
        }
        for n in 0..vpcs.len() {
            let next = (n + 1) % vpcs.len();
            if next != n && (n, next) != (1, 0) {
                lab.peering(vpcs[n], vpcs[next]);
            }
        }
        let slices = lab.complete().into_iter().map(|(id, slice)| (id, Arc::new(slice))).collect();
        World { slices, group: groups[0], first: vpcs[0] }
    }

    /// The same with one rule less in a group, as an agent gets it: that VPC's slice new from the wire, the others as they were.
    pub fn with_a_rule_less(&self) -> BTreeMap<VpcId, Arc<VpcSlice>> {
        let mut slices = self.slices.clone();
        let mut slice = anew(&slices[&self.first]);
        for group in slice.security_groups.iter_mut().filter(|group| group.id == self.group) {
            Arc::make_mut(group).rules.pop_first();
        }
        slices.insert(self.first, Arc::new(slice));
        slices
    }

    pub fn interfaces(&self) -> impl Iterator<Item = NetworkInterfaceId> {
        self.slices.values().flat_map(|slice| slice.endpoints.iter().map(|endpoint| endpoint.interface.id))
    }
}

/// Rules that admit TCP from blocks of 256 addresses that are nobody's here, each on one port.
fn fill(lab: &mut Lab, group: SecurityGroupId, rules: u16) {
    for n in 0..rules {
        let ports = Ports::Range { from: 20_000 + n, to: 20_000 + n };
        let block = format!("172.{}.{}.0/24", 16 + n / 256, n % 256);
        lab.allow(group, Direction::Ingress, IpProtocol::TCP, ports, of_block(&block));
    }
    lab.allow_all(group, Direction::Egress);
}

fn of_block(text: &str) -> RulePeer {
    RulePeer::Cidr(policy::testing::p(text))
}

/// Nothing of it is shared with the old one: what is read from the wire.
fn anew(slice: &VpcSlice) -> VpcSlice {
    fn each<T: Clone>(list: &mut [Arc<T>]) {
        list.iter_mut().for_each(|item| *item = Arc::new(T::clone(item)));
    }
    let mut slice = slice.clone();
    slice.vpc = Arc::new(model::Vpc::clone(&slice.vpc));
    each(&mut slice.subnets);
    each(&mut slice.route_tables);
    each(&mut slice.security_groups);
    each(&mut slice.network_acls);
    each(&mut slice.peerings);
    for endpoint in &mut slice.endpoints {
        endpoint.interface = Arc::new(model::NetworkInterface::clone(&endpoint.interface));
    }
    slice
}
