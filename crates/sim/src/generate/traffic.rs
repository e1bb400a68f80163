//! Packets that are likely to hurt: real ones, answers to earlier ones, repeats, other ports, forged sources, wrong MACs, errors about
//! earlier packets, destinations that nobody has, ways through a third VPC, and what routers forward.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use model::{
    Duration, ElasticAddress, Instance, InstanceState, MacAddr, NetworkInterface, NetworkInterfaceId, Peering, Region,
    RouteTable, RouteTarget, Subnet, Vpc,
};

use super::PORTS;
use super::rules::stranger;
use crate::dice::Dice;
use crate::packet::{ACK, Body, FIN, NextHop, Packet, RST, SYN, Sent};
use crate::reference::Outcome;
use crate::scene::Scene;

/// Packets that later ones may refer to.
const HISTORY: usize = 48;

/// What was sent lately, and who is there.
#[derive(Debug, Default)]
pub struct Traffic {
    history: Vec<Past>,
    cast: Vec<Actor>,
    /// Whose port exists.
    senders: Vec<usize>,
    /// Of those, whose instance is running.
    awake: Vec<usize>,
    /// Interfaces that a route names.
    routers: Vec<usize>,
    /// Elastic IP addresses.
    held: Vec<Ipv4Addr>,
}

/// An earlier packet, what became of it, and the packet as whoever got it saw it.
type Past = (Sent, Outcome, Packet);

/// An interface and what surrounds it.
#[derive(Clone, Debug)]
struct Actor {
    region: Region,
    eni: Arc<NetworkInterface>,
    subnet: Arc<Subnet>,
    vpc: Arc<Vpc>,
    /// Places in the cast of members of peered VPCs.
    peers: Vec<usize>,
}

/// How long until the next packet.
pub fn pause(dice: &mut Dice) -> Duration {
    let (low, high) = dice.weighted(&[
        (66, (0, 20)),
        (20, (1_000, 5_000)),
        (9, (8_000, 70_000)),
        (4, (100_000, 700_000)),
        (1, (400_000_000, 440_000_000)),
    ]);
    Duration::millis(dice.between(low, high) as i64)
}

impl Traffic {
    /// Must be told of every new configuration.
    pub fn configured(&mut self, scene: &Scene, has_port: impl Fn(NetworkInterfaceId) -> bool) {
        let actor = |(region, eni): (Region, Arc<NetworkInterface>)| {
            let subnet = scene.find::<Subnet>(&eni.subnet)?.1.clone();
            let vpc = scene.find::<Vpc>(&eni.vpc)?.1.clone();
            Some(Actor { region, eni, subnet, vpc, peers: Vec::new() })
        };
        self.cast = scene.all::<NetworkInterface>().into_iter().filter_map(actor).collect();
        let peerings = scene.all::<Peering>();
        for at in 0..self.cast.len() {
            let own = self.cast[at].eni.vpc;
            let is_peer = |other: &Actor| peerings.iter().any(|(_, pcx)| pcx.is_between(own, other.eni.vpc));
            self.cast[at].peers = (0..self.cast.len()).filter(|n| is_peer(&self.cast[*n])).collect();
        }
        self.held = scene.all::<ElasticAddress>().iter().map(|(_, address)| address.public).collect();
        self.senders = (0..self.cast.len()).filter(|at| has_port(self.cast[*at].eni.id)).collect();
        let is_awake = |at: &usize| {
            let attachment = self.cast[*at].eni.attachment.as_ref();
            let instance = attachment.and_then(|attachment| scene.find::<Instance>(&attachment.instance));
            instance.is_some_and(|(_, instance)| instance.state == InstanceState::Running)
        };
        self.awake = self.senders.iter().copied().filter(is_awake).collect();
        let is_named = |id: NetworkInterfaceId| {
            let leads =
                |table: &RouteTable| table.routes.iter().any(|route| route.target == RouteTarget::NetworkInterface(id));
            scene.all::<RouteTable>().iter().any(|(_, table)| leads(table))
        };
        self.routers = self.senders.iter().copied().filter(|at| is_named(self.cast[*at].eni.id)).collect();
    }

    pub fn remember(&mut self, sent: Sent, outcome: Outcome, arrived: Packet) {
        if self.history.len() == HISTORY {
            self.history.remove(0);
        }
        self.history.push((sent, outcome, arrived));
    }

    /// The next packet; `None`: nobody is there to send one.
    pub fn next(&self, dice: &mut Dice) -> Option<Sent> {
        let from = if dice.chance(90) { dice.pick(&self.awake) } else { None };
        let from = *from.or_else(|| dice.pick(&self.senders))?;
        let sent = match dice.below(100) {
            0..16 => self.plain(dice, from),
            16..24 => self.public(dice, from),
            24..46 => self.answer(dice),
            46..65 => self.again(dice),
            65..70 => self.forged(dice, from),
            70..72 => self.wrong_mac(dice, from),
            72..79 => self.error(dice),
            79..85 => self.unknown(dice, from),
            85..88 => self.special(dice, from),
            88..92 => self.forwarded(dice),
            92..96 => self.through(dice, from),
            _ => self.public(dice, from),
        };
        sent.or_else(|| self.plain(dice, from))
    }

    /// To somebody in the VPC, in a peered one, or anywhere.
    fn plain(&self, dice: &mut Dice, from: usize) -> Option<Sent> {
        let x = &self.cast[from];
        let own: Vec<usize> = (0..self.cast.len()).filter(|n| self.cast[*n].eni.vpc == x.eni.vpc).collect();
        let to = match dice.below(20) {
            0..7 => dice.pick(&own).copied(),
            7..19 => dice.pick(&x.peers).copied(),
            _ => None,
        };
        let to = to.unwrap_or_else(|| dice.below(self.cast.len()));
        let addresses: Vec<IpAddr> = self.cast[to].eni.addresses().collect();
        let dst = *dice.pick(&addresses)?;
        self.to(dice, from, dst)
    }

    /// To a public address: somebody's, one that is held for nothing, or any of its block.
    fn public(&self, dice: &mut Dice, from: usize) -> Option<Sent> {
        let mapped: Vec<IpAddr> = self.cast.iter().flat_map(|y| &y.eni.public).map(|at| at.public.into()).collect();
        let dst = match dice.below(20) {
            0..14 => *dice.pick(&mapped)?,
            14..16 => IpAddr::V4(*dice.pick(&self.held)?),
            16 => IpAddr::V4(Ipv4Addr::new(203, 0, 113, u8::try_from(dice.below(256)).unwrap_or(0))),
            _ => self.cast[dice.below(self.cast.len())].eni.ipv6_addresses.first().copied()?.into(),
        };
        // Mostly from somebody who has one too.
        let has = |at: &usize| !self.cast[*at].eni.public.is_empty() || dst.is_ipv6();
        let able: Vec<usize> = self.awake.iter().copied().filter(has).collect();
        let from = dice.pick(&able).copied().filter(|_| dice.chance(85)).unwrap_or(from);
        let mut sent = self.to(dice, from, dst)?;
        let own: Vec<IpAddr> = self.cast[from].eni.public.iter().map(|at| at.private.into()).collect();
        if let (IpAddr::V4(_), Some(src)) = (dst, dice.pick(&own)) {
            sent.packet.src = *src;
        }
        Some(sent)
    }

    /// From an own address of the family, mostly by the right MAC address.
    fn to(&self, dice: &mut Dice, from: usize, dst: IpAddr) -> Option<Sent> {
        let eni = &self.cast[from].eni;
        let own: Vec<IpAddr> = eni.addresses().filter(|address| address.is_ipv4() == dst.is_ipv4()).collect();
        let src = *dice.pick(&own)?;
        let packet = Packet { src, dst, body: body(dice, dst.is_ipv4()) };
        Some(self.send(dice, from, packet))
    }

    fn send(&self, dice: &mut Dice, from: usize, packet: Packet) -> Sent {
        let x = &self.cast[from];
        let neighbour = self.cast.iter().find(|y| y.eni.subnet == x.eni.subnet && y.eni.owns(packet.dst));
        let mut to = match neighbour {
            Some(y) if dice.chance(75) => NextHop::Mac(y.eni.mac),
            _ => NextHop::Router,
        };
        match dice.below(100) {
            0..4 => to = NextHop::Mac(self.cast[dice.below(self.cast.len())].eni.mac),
            4 => to = NextHop::Mac(MacAddr(dice.one([[0xff; 6], [0x01, 0x00, 0x5e, 0, 0, 0xfb]]))),
            _ => {}
        }
        Sent { from: x.eni.id, src_mac: x.eni.mac, to, packet }
    }

    /// Where an interface stands in the cast, if it may send.
    fn sender(&self, id: NetworkInterfaceId) -> Option<usize> {
        self.senders.iter().copied().find(|at| self.cast[*at].eni.id == id)
    }

    /// An earlier packet; mostly one of the last that came through, so that conversations go on.
    fn earlier(&self, dice: &mut Dice) -> Option<&Past> {
        let came = |(_, outcome, _): &&Past| matches!(outcome, Outcome::Delivered(_));
        let last: Vec<&Past> = self.history.iter().rev().filter(came).take(4).collect();
        match dice.pick(&last) {
            Some(one) if dice.chance(75) => Some(one),
            _ => dice.pick(&self.history),
        }
    }

    /// Whoever got an earlier packet, or should have, answers it.
    fn answer(&self, dice: &mut Dice) -> Option<Sent> {
        let (sent, outcome, arrived) = self.earlier(dice)?;
        let from = match outcome {
            Outcome::Delivered(to) => self.sender(*to)?,
            Outcome::Denied(_) => {
                *self.senders.iter().find(|at| self.cast[**at].eni.owns(sent.packet.dst)).filter(|_| dice.chance(30))?
            }
        };
        let mut packet = arrived.answered();
        if let Body::Tcp { flags, .. } = &mut packet.body {
            let ends = dice.weighted(&[(80, 0), (10, FIN), (6, RST), (4, SYN)]);
            *flags = if ends == SYN { SYN } else { *flags | ends };
        }
        Some(self.send(dice, from, packet))
    }

    /// An earlier sender goes on: the same flow, or one beside it.
    fn again(&self, dice: &mut Dice) -> Option<Sent> {
        let (sent, ..) = self.earlier(dice)?;
        let from = self.sender(sent.from)?;
        let mut packet = sent.packet.clone();
        let is_beside = dice.chance(20);
        match &mut packet.body {
            Body::Tcp { sport, flags, .. } => {
                *flags = dice.weighted(&[(60, ACK), (15, SYN), (15, FIN | ACK), (10, RST)]);
                *sport ^= u16::from(is_beside);
            }
            Body::Udp { sport, .. } => *sport ^= u16::from(is_beside),
            Body::Icmp { id, .. } => *id ^= u16::from(is_beside),
            Body::Other { .. } => {}
        }
        Some(self.send(dice, from, packet))
    }

    /// From an address that is not the sender's.
    fn forged(&self, dice: &mut Dice, from: usize) -> Option<Sent> {
        let mut sent = self.plain(dice, from)?;
        let is_ipv4 = sent.packet.dst.is_ipv4();
        let peers = &self.cast[from].peers;
        let victim = if dice.chance(50) { dice.pick(peers).copied() } else { None };
        let victim = victim.unwrap_or_else(|| dice.below(self.cast.len()));
        let theirs: Vec<IpAddr> = self.cast[victim].eni.addresses().filter(|a| a.is_ipv4() == is_ipv4).collect();
        sent.packet.src = match dice.pick(&theirs) {
            Some(address) if dice.chance(70) => *address,
            _ => stranger(dice, is_ipv4),
        };
        if is_ipv4 && dice.chance(5) {
            sent.packet.src = IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1));
        }
        Some(sent)
    }

    fn wrong_mac(&self, dice: &mut Dice, from: usize) -> Option<Sent> {
        let mut sent = self.plain(dice, from)?;
        sent.src_mac = match dice.chance(50) {
            true => self.cast[dice.below(self.cast.len())].eni.mac,
            false => MacAddr::from_random(dice.u64()),
        };
        Some(sent)
    }

    /// "Unreachable", "too big", "time exceeded" about an earlier packet, from whom it reached, or from anybody.
    fn error(&self, dice: &mut Dice) -> Option<Sent> {
        let (sent, outcome, arrived) = self.earlier(dice)?;
        if matches!(sent.packet.body, Body::Icmp { about: Some(_), .. }) {
            return None;
        }
        let from = match outcome {
            Outcome::Delivered(to) if dice.chance(80) => self.sender(*to)?,
            _ => *dice.pick(&self.senders)?,
        };
        let about = if dice.chance(85) { arrived.clone() } else { arrived.answered() };
        let is_ipv4 = about.src.is_ipv4();
        let own: Vec<IpAddr> = self.cast[from].eni.addresses().filter(|a| a.is_ipv4() == is_ipv4).collect();
        let (kind, code) =
            if is_ipv4 { dice.one([(3, 1), (3, 4), (11, 0)]) } else { dice.one([(1, 4), (2, 0), (3, 0)]) };
        let dst = if dice.chance(90) { about.src } else { about.dst };
        let body = Body::Icmp { kind, code, id: 0, about: Some(Box::new(about)) };
        let src = *dice.pick(&own)?;
        Some(self.send(dice, from, Packet { src, dst, body }))
    }

    /// Addresses that nobody has, here or there.
    fn unknown(&self, dice: &mut Dice, from: usize) -> Option<Sent> {
        let x = &self.cast[from];
        let near = dice.pick(&x.peers).map_or(x, |at| &self.cast[*at]);
        let near = if dice.chance(50) { x } else { near };
        let is_ipv4 = dice.chance(75);
        let beyond = if is_ipv4 { near.subnet.cidr.nth(200).map(IpAddr::V4) } else { None };
        let unused = match near.subnet.ipv6 {
            Some(v6) if !is_ipv4 => v6.cidr.nth(0x999).map(IpAddr::V6),
            _ => near.vpc.primary_cidr().nth(0x0f0e).map(IpAddr::V4),
        };
        let dst = match dice.below(3) {
            0 => beyond.or(unused)?,
            1 => unused?,
            _ => stranger(dice, is_ipv4),
        };
        self.to(dice, from, dst)
    }

    /// Groups, everybody, link-local, the cloud's own services, the router, a peer's resolver.
    fn special(&self, dice: &mut Dice, from: usize) -> Option<Sent> {
        let x = &self.cast[from];
        let peer = dice.pick(&x.peers).map_or(x, |at| &self.cast[*at]);
        let dst = match dice.below(14) {
            0 => IpAddr::V4(Ipv4Addr::new(224, 0, 0, 251)),
            1 => IpAddr::V4(Ipv4Addr::BROADCAST),
            2 => IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
            3 => IpAddr::V4(Ipv4Addr::new(169, 254, 169, 253)),
            4 => IpAddr::V4(Ipv4Addr::new(169, 254, 7, 7)),
            5 => IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb)),
            6 => IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 7)),
            7 => IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
            8 => IpAddr::V4(x.vpc.resolver()),
            9 => IpAddr::V4(x.subnet.router()),
            10 => IpAddr::V6(x.subnet.ipv6.and_then(|v6| v6.cidr.nth(1))?),
            11 => IpAddr::V4(peer.vpc.resolver()),
            12 => IpAddr::V4(x.subnet.cidr.last()),
            _ => IpAddr::V4(Ipv4Addr::new(240, 1, 2, 3)),
        };
        self.to(dice, from, dst)
    }

    /// A router sends on what it got for others, or anything from anywhere.
    fn forwarded(&self, dice: &mut Dice) -> Option<Sent> {
        let is_foreign = |(_, outcome, arrived): &&Past| match outcome {
            Outcome::Delivered(to) => self.sender(*to).is_some_and(|at| !self.cast[at].eni.owns(arrived.dst)),
            Outcome::Denied(_) => false,
        };
        let got: Vec<&Past> = self.history.iter().filter(is_foreign).collect();
        if let Some((_, Outcome::Delivered(to), arrived)) = dice.pick(&got).copied()
            && dice.chance(80)
        {
            return Some(self.send(dice, self.sender(*to)?, arrived.clone()));
        }
        let unchecked: Vec<usize> =
            self.senders.iter().copied().filter(|at| !self.cast[*at].eni.source_dest_check).collect();
        let from = *dice.pick(&unchecked)?;
        self.forged(dice, from)
    }

    /// To somebody whose VPC is two peerings away, or to a destination that a route to an interface catches.
    fn through(&self, dice: &mut Dice, from: usize) -> Option<Sent> {
        let x = &self.cast[from];
        let far: Vec<usize> = (0..self.cast.len())
            .filter(|n| self.cast[*n].eni.vpc != x.eni.vpc && !x.peers.contains(n))
            .filter(|n| self.cast[*n].region == x.region || dice.chance(50))
            .collect();
        match dice.pick(&far) {
            Some(to) if dice.chance(60) => {
                let addresses: Vec<IpAddr> = self.cast[*to].eni.addresses().collect();
                let dst = *dice.pick(&addresses)?;
                self.to(dice, from, dst)
            }
            _ => {
                let router = *dice.pick(&self.routers)?;
                let near: Vec<usize> = self
                    .senders
                    .iter()
                    .copied()
                    .filter(|n| self.cast[*n].eni.vpc == self.cast[router].eni.vpc)
                    .collect();
                let is_ipv4 = dice.chance(80);
                let dst = stranger(dice, is_ipv4);
                let from = *dice.pick(&near)?;
                self.to(dice, from, dst)
            }
        }
    }
}

fn body(dice: &mut Dice, is_ipv4: bool) -> Body {
    // Mostly from an ephemeral port, sometimes from a server's.
    let sport = dice.weighted(&[(6, 40_000), (3, 40_001), (1, 80), (1, 53), (1, 1234)]);
    let dport = dice.one(PORTS);
    let id = dice.one([7, 8]);
    match dice.below(100) {
        0..46 => {
            let flags = dice.weighted(&[(66, SYN), (20, ACK), (5, SYN | ACK), (5, FIN | ACK), (4, RST)]);
            Body::Tcp { sport, dport, flags }
        }
        46..70 => Body::Udp { sport, dport },
        70..88 => {
            let kind = if is_ipv4 { 8 } else { 128 };
            Body::Icmp { kind, code: 0, id, about: None }
        }
        88..90 => {
            let kind = if is_ipv4 { 0 } else { 129 };
            Body::Icmp { kind, code: 0, id, about: None }
        }
        90..92 if is_ipv4 => Body::Icmp { kind: 13, code: 0, id, about: None },
        _ => Body::Other { protocol: dice.one([47, 50, 132]) },
    }
}
