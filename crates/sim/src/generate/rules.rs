//! Rules of security groups and network ACLs.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{
    AclAction, Cidr, Direction, IpProtocol, Ipv4Cidr, Ipv6Cidr, NetworkAclEntry, Peering, PeeringStatus, Ports, Region,
    RulePeer, SecurityGroup, Subnet,
};

use super::{Build, PORTS};
use crate::dice::Dice;
use crate::noun;

const ALL_V4: Cidr = Cidr::V4(Ipv4Cidr::ALL);
const ALL_V6: Cidr = Cidr::V6(Ipv6Cidr::ALL);

/// Protocol and ports of a rule, as the API makes them.
pub(super) fn protocol_and_ports(dice: &mut Dice) -> (IpProtocol, Ports) {
    let port = dice.one(PORTS);
    let range = dice.weighted(&[(5, (port, port)), (2, (0, u16::MAX)), (1, (0, 1023)), (1, (1024, u16::MAX))]);
    let ports = Ports::Range { from: range.0, to: range.1 };
    let kind = dice.weighted(&[(4, None), (3, Some(8)), (2, Some(0)), (2, Some(3)), (3, Some(128)), (1, Some(129))]);
    let code = kind.filter(|_| dice.chance(20)).map(|_| 0);
    dice.weighted(&[
        (25, (IpProtocol::All, Ports::Any)),
        (36, (IpProtocol::TCP, ports)),
        (18, (IpProtocol::UDP, ports)),
        (10, (IpProtocol::ICMP, Ports::Icmp { kind, code })),
        (6, (IpProtocol::ICMPV6, Ports::Icmp { kind, code })),
        (5, (IpProtocol::Number(47), Ports::Any)),
    ])
}

impl Build<'_> {
    /// A block that packets are likely to be inside.
    pub(super) fn block(&mut self) -> Cidr {
        let vpcs = self.vpcs();
        let blocks: Vec<Cidr> = vpcs.iter().flat_map(|(_, vpc)| vpc.blocks().collect::<Vec<_>>()).collect();
        let subnets: Vec<Cidr> = self.scene.all::<Subnet>().iter().map(|(_, subnet)| subnet.cidr.into()).collect();
        let wide = Ipv4Cidr::new(Ipv4Addr::new(10, 0, 0, 0), 8).map_or(ALL_V4, Cidr::V4);
        let host = self.owned_address().map(Cidr::host);
        let some = |choice: Option<&Cidr>| choice.copied().unwrap_or(wide);
        match self.dice.below(100) {
            0..30 => ALL_V4,
            30..42 => ALL_V6,
            42..65 => some(self.dice.pick(&blocks)),
            65..80 => some(self.dice.pick(&subnets)),
            80..92 => host.unwrap_or(wide),
            _ => wide,
        }
    }

    /// Rules by number; mostly they end with "allow all".
    pub(super) fn acl_entries(&mut self) -> BTreeMap<u16, NetworkAclEntry> {
        let mut entries = if self.dice.chance(70) { noun::allow_all() } else { BTreeMap::new() };
        for _ in 0..self.dice.between(1, 5) {
            let number = u16::try_from(self.dice.between(1, 30_000)).unwrap_or(1);
            entries.insert(number, self.acl_entry());
        }
        entries
    }

    pub(super) fn acl_entry(&mut self) -> NetworkAclEntry {
        let (protocol, ports) = protocol_and_ports(self.dice);
        let action = if self.dice.chance(60) { AclAction::Deny } else { AclAction::Allow };
        // A wide "deny" drowns the rest.
        let cidr = self.block();
        let cidr = if action == AclAction::Deny && cidr.is_all() { self.narrow(cidr) } else { cidr };
        NetworkAclEntry { protocol, action, cidr, ports }
    }

    fn narrow(&mut self, otherwise: Cidr) -> Cidr {
        self.owned_address().map_or(otherwise, Cidr::host)
    }

    pub(super) fn fill_groups(&mut self) {
        for (region, group) in self.scene.all::<SecurityGroup>() {
            let mut group = SecurityGroup::clone(&group);
            let (ingress, open) = if group.is_default() { (1, 100) } else { (self.dice.between(1, 4), 65) };
            if group.is_default() {
                let peer = noun::members(group.id, group.owner, group.vpc);
                noun::add_rule(self.dice, &mut group, Direction::Ingress, (IpProtocol::All, Ports::Any), peer);
            }
            for _ in 0..ingress {
                let (ports, peer) = (protocol_and_ports(self.dice), self.rule_peer(region, &group));
                noun::add_rule(self.dice, &mut group, Direction::Ingress, ports, peer);
            }
            if self.dice.chance(open) {
                noun::add_rule(
                    self.dice,
                    &mut group,
                    Direction::Egress,
                    (IpProtocol::All, Ports::Any),
                    RulePeer::Cidr(ALL_V4),
                );
                noun::add_rule(
                    self.dice,
                    &mut group,
                    Direction::Egress,
                    (IpProtocol::All, Ports::Any),
                    RulePeer::Cidr(ALL_V6),
                );
            } else {
                for _ in 0..self.dice.between(1, 4) {
                    let (ports, peer) = (protocol_and_ports(self.dice), self.rule_peer(region, &group));
                    noun::add_rule(self.dice, &mut group, Direction::Egress, ports, peer);
                }
            }
            self.scene.put(region, group);
        }
    }

    /// A block, a list of the same account, or a group of this VPC or of one that was peered with it in this region (spec 6.5.3).
    pub(super) fn rule_peer(&mut self, region: Region, of: &SecurityGroup) -> RulePeer {
        match self.dice.below(100) {
            0..50 => return RulePeer::Cidr(self.block()),
            50..62 => {
                return self
                    .any_list(region, of.owner)
                    .map_or_else(|| RulePeer::Cidr(self.block()), RulePeer::PrefixList);
            }
            _ => {}
        }
        let peerings = self.scene.all::<Peering>();
        let accepted =
            |status| matches!(status, PeeringStatus::Active | PeeringStatus::Deleting | PeeringStatus::Deleted);
        let over = |group: &SecurityGroup| {
            let between = |(_, pcx): &&(Region, std::sync::Arc<Peering>)| {
                pcx.is_between(group.vpc, of.vpc) && !pcx.is_inter_region() && accepted(pcx.status)
            };
            peerings.iter().find(between).map(|(_, pcx)| pcx.id)
        };
        let groups = self.scene.all::<SecurityGroup>();
        let mut named: Vec<RulePeer> = Vec::new();
        for (there, group) in &groups {
            let peering = over(group);
            if *there == region && (group.vpc == of.vpc || peering.is_some()) {
                let peering = peering.filter(|_| group.vpc != of.vpc);
                let peer = RulePeer::Group { group: group.id, owner: group.owner, vpc: group.vpc, peering };
                // Groups of peers are what is asked about.
                named.extend(std::iter::repeat_n(peer, if peering.is_some() { 3 } else { 1 }));
            }
        }
        match self.dice.pick(&named) {
            Some(peer) => peer.clone(),
            None => RulePeer::Cidr(self.block()),
        }
    }
}

/// An address that nobody needs to have.
pub(super) fn stranger(dice: &mut Dice, is_ipv4: bool) -> IpAddr {
    if is_ipv4 {
        let far = [[8, 8, 8, 8], [203, 0, 113, 5], [198, 51, 100, 7], [10, 99, 0, 4], [172, 16, 0, 4]];
        IpAddr::from(dice.one(far))
    } else {
        let far =
            [Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 5), Ipv6Addr::new(0x2600, 0x1f00, 0, 0x9900, 0, 0, 0, 4)];
        IpAddr::from(dice.one(far))
    }
}
