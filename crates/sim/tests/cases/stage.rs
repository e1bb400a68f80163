//! A small cloud by hand: VPC A with X and W, VPC B with Y, peered, with routes both ways; groups that let everything out and nothing in.

use std::net::IpAddr;

use model::{
    Cidr, Destination, Direction, Instance, InstanceState, IpProtocol, Ipv4Cidr, NetworkInterface, NetworkInterfaceId,
    Peering, PeeringId, PeeringSide, PeeringStatus, Ports, Region, Route, RouteOrigin, RouteTable, RouteTableId,
    RouteTarget, RulePeer, SecurityGroup, SecurityGroupId, Subnet, SubnetId, Vpc, VpcId,
};
use sim::dice::Dice;
use sim::packet::{Body, NextHop, Packet, Sent};
use sim::system::Dress;
use sim::{Options, Outcome, Rig, Scene, noun};

pub const A: &str = "10.16.0.0/16";
pub const B: &str = "10.17.0.0/16";

pub fn p<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"))
}

pub struct Stage {
    dice: Dice,
    pub scene: Scene,
    pub region: Region,
}

/// One end of the story.
#[derive(Clone, Copy)]
pub struct Site {
    pub vpc: VpcId,
    pub subnet: SubnetId,
    pub group: SecurityGroupId,
    pub table: RouteTableId,
}

impl Stage {
    pub fn new() -> Stage {
        Stage { dice: Dice::new(1), scene: Scene::default(), region: p("us-east-1") }
    }

    /// A VPC of one block with one subnet, its first /24, and a group that lets everything out.
    pub fn site(&mut self, block: &str) -> Site {
        let block: Ipv4Cidr = p(block);
        let vpc = noun::vpc(&mut self.dice, p("111111111111"), &[Cidr::V4(block)]);
        let mut group = noun::group(vpc.default_group, &vpc);
        let all = (IpProtocol::All, Ports::Any);
        noun::add_rule(&mut self.dice, &mut group, Direction::Egress, all, RulePeer::Cidr(Cidr::V4(Ipv4Cidr::ALL)));
        let zone = noun::zone(self.region).expect("a region has a zone");
        let first = Ipv4Cidr::new(block.network(), 24).expect("a /24");
        let subnet = noun::subnet(&mut self.dice, &vpc, zone, first, None);
        let site = Site { vpc: vpc.id, subnet: subnet.id, group: vpc.default_group, table: vpc.main.route_table };
        self.scene.put(self.region, noun::route_table(vpc.main.route_table, &vpc));
        self.scene.put(self.region, noun::open_acl(vpc.default_acl, &vpc));
        self.scene.put(self.region, group);
        self.scene.put(self.region, subnet);
        self.scene.put(self.region, vpc);
        site
    }

    /// A group without rules.
    pub fn group(&mut self, site: Site) -> SecurityGroupId {
        let id = self.dice.id();
        let vpc = self.scene.find::<Vpc>(&site.vpc).map(|(_, vpc)| vpc.clone()).expect("the VPC");
        self.scene.put(self.region, noun::group(id, &vpc));
        id
    }

    /// A running interface in the site's subnet with the site's group.
    pub fn interface(&mut self, site: Site, address: &str) -> NetworkInterfaceId {
        let subnet = self.scene.find::<Subnet>(&site.subnet).map(|(_, subnet)| subnet.clone()).expect("the subnet");
        let instance = noun::instance(&mut self.dice, &subnet, Some(p("host-a")), InstanceState::Running);
        let mut interface = noun::interface(&mut self.dice, &subnet, [p::<IpAddr>(address)], [site.group]);
        interface.attachment = Some(noun::attachment(&mut self.dice, instance.id, 0));
        let id = interface.id;
        self.scene.put(self.region, instance);
        self.scene.put(self.region, interface);
        id
    }

    /// An active peering with routes for the whole blocks both ways.
    pub fn peer(&mut self, a: Site, b: Site) -> PeeringId {
        let side = |site: Site| {
            let vpc = self.scene.find::<Vpc>(&site.vpc).map(|(_, vpc)| vpc.clone()).expect("the VPC");
            PeeringSide::of(&vpc, self.region)
        };
        let (requester, accepter) = (side(a), side(b));
        let peering = noun::peering(&mut self.dice, requester, accepter, PeeringStatus::Active);
        let id = peering.id;
        let [to_a, to_b] = [&peering.requester, &peering.accepter].map(|side| side.cidrs[0].to_string());
        self.scene.put(self.region, peering);
        self.route(a, &to_b, RouteTarget::Peering(id));
        self.route(b, &to_a, RouteTarget::Peering(id));
        id
    }

    pub fn route(&mut self, site: Site, destination: &str, target: RouteTarget) {
        let destination = Destination::Cidr(p(destination));
        self.scene.update::<RouteTable>(self.region, &site.table, |table| {
            table.routes.retain(|route| route.destination != destination);
            table.routes.push(Route { destination, target, origin: RouteOrigin::CreateRoute });
        });
    }

    pub fn allow(&mut self, group: SecurityGroupId, direction: Direction, protocol: &str, port: u16, peer: RulePeer) {
        let protocol = IpProtocol::parse(protocol).expect("a protocol");
        let dice = &mut self.dice;
        let ports = Ports::Range { from: port, to: port };
        self.scene.update::<SecurityGroup>(self.region, &group, |group| {
            noun::add_rule(dice, group, direction, (protocol, ports), peer);
        });
    }

    /// Takes all rules of a direction from a group.
    pub fn revoke(scene: &mut Scene, region: Region, group: SecurityGroupId, direction: Direction) {
        scene.update::<SecurityGroup>(region, &group, |group| {
            group.rules.retain(|_, rule| rule.direction != direction);
        });
    }

    pub fn rig(self) -> Rig {
        Rig::new(self.scene, &[p("host-a")], Options::default())
    }
}

pub fn anybody() -> RulePeer {
    RulePeer::Cidr(Cidr::V4(Ipv4Cidr::ALL))
}

pub fn tcp(from: (&str, u16), to: (&str, u16), flags: u8) -> Packet {
    Packet { src: p(from.0), dst: p(to.0), body: Body::Tcp { sport: from.1, dport: to.1, flags } }
}

/// Sends to the router's MAC; both sides must say the same, and this. What it comes to: `ok` or the reason.
pub fn send(rig: &mut Rig, from: NetworkInterfaceId, packet: Packet) -> &'static str {
    let src_mac = rig.scene.find::<NetworkInterface>(&from).expect("the sender").1.mac;
    send_frame(rig, &Sent { from, src_mac, to: NextHop::Router, packet })
}

pub fn send_frame(rig: &mut Rig, sent: &Sent) -> &'static str {
    match rig.send(sent, Dress::Plain) {
        Ok(Outcome::Delivered(_)) => "ok",
        Ok(Outcome::Denied(reason)) => reason,
        Err(mismatch) => panic!("{mismatch}"),
    }
}

/// Sets the state of the instance that an interface is attached to.
pub fn set_instance(rig: &mut Rig, region: Region, of: NetworkInterfaceId, state: InstanceState) {
    let attachment = rig.scene.find::<NetworkInterface>(&of).and_then(|(_, eni)| eni.attachment.clone());
    let instance = attachment.expect("it is attached").instance;
    rig.scene.update::<Instance>(region, &instance, |instance| instance.state = state);
    rig.configure();
}

pub fn set_peering(rig: &mut Rig, region: Region, id: PeeringId, status: PeeringStatus) {
    rig.scene.update::<Peering>(region, &id, |peering| peering.status = status);
    rig.configure();
}
