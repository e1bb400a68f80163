//! Worlds as the API could have made them, packets and changes that are likely to hurt; all from one stream of dice.
//!
//! Blocks come from a small pool, so that VPCs overlap, peers of one VPC overlap, and the same address lives in several VPCs. Everything
//! that exists is valid: routes lie outside their own VPC's blocks unless they name one of its subnets, overlapping VPCs have no peering
//! but a failed one, at most one peering of a pair is active, groups are named where they can be.

pub mod change;
mod lists;
mod network;
mod peering;
mod rules;
pub mod traffic;

use std::net::IpAddr;
use std::sync::Arc;

use model::{HostId, NetworkInterface, Region, Vpc};

use crate::dice::Dice;
use crate::scene::Scene;

/// The regions that a run may have.
const REGIONS: [&str; 2] = ["us-east-1", "eu-west-1"];
const ACCOUNTS: [&str; 3] = ["111111111111", "222222222222", "333333333333"];

/// Destination ports, few, so that packets meet rules and each other.
const PORTS: [u16; 7] = [22, 53, 80, 443, 1234, 40_000, 50_000];

/// A random cloud with its instances on these hosts.
pub fn scene(dice: &mut Dice, hosts: &[HostId]) -> Scene {
    let mut build = Build { dice, scene: Scene::default(), hosts };
    let regions: Vec<Region> = REGIONS.iter().filter_map(|code| code.parse().ok()).collect();
    let regions = &regions[..build.dice.weighted(&[(55, 1), (45, 2)])];
    for _ in 0..build.dice.between(2, 5) {
        if let Some(region) = build.dice.pick(regions).copied() {
            build.vpc(region);
        }
    }
    build.peerings();
    build.prefix_lists();
    build.fill_groups();
    build.fill_routes();
    build.scene.deliver();
    build.scene
}

/// A scene under construction.
pub(crate) struct Build<'a> {
    pub(crate) dice: &'a mut Dice,
    pub(crate) scene: Scene,
    pub(crate) hosts: &'a [HostId],
}

impl Build<'_> {
    fn vpcs(&self) -> Vec<(Region, Arc<Vpc>)> {
        self.scene.all()
    }

    fn interfaces(&self) -> Vec<(Region, Arc<NetworkInterface>)> {
        self.scene.all()
    }

    /// An address that somebody has.
    fn owned_address(&mut self) -> Option<IpAddr> {
        let interfaces = self.interfaces();
        let (_, interface) = self.dice.pick(&interfaces)?;
        let addresses: Vec<IpAddr> = interface.addresses().collect();
        self.dice.pick(&addresses).copied()
    }
}
