//! The hosts of a cloud, each with what it has heard of its intent so far. What the server tells is lost now and then, comes twice or
//! late; a host says hello anew, or is started again. Packets go by what each host has in force, and wherever one arrives, that must
//! permit it.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use control::plan;
use model::intent::{Intent, VpcSlice};
use model::{
    Cidr, Destination, HostId, InstanceState, NetworkInterface, NetworkInterfaceId, PeeringStatus, RouteTarget, Time,
    VpcId,
};
use policy::Internet;
use stream::{Condition, Digests, Report, Update};

use super::Cloud;
use crate::compare::Options;
use crate::dice::Dice;
use crate::packet::{ACK, Body, NextHop, Packet, SYN, Sent};
use crate::reference::Outcome;
use crate::scene::Scene;
use crate::system::{Dress, System};

/// Updates that are under way to one host.
const UNDER_WAY_MAX: usize = 8;
/// Rounds until hosts that are told everything must have it.
const ROUNDS_MAX: usize = 50;

/// A host, and what the server thinks of it.
struct Agent {
    host: HostId,
    /// What packets go by.
    in_force: Intent,
    /// What the server told it last, and believes it to have.
    believed: Digests,
    under_way: VecDeque<Update>,
    /// The update that was taken last, which may come once more.
    last: Option<Update>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub updates: u64,
    /// Updates that did not fit, after which the host said hello anew.
    pub diverged: u64,
    pub restarts: u64,
    pub packets: u64,
    pub delivered: u64,
    /// From one VPC to another.
    pub crossed: u64,
}

pub struct Hosts {
    agents: Vec<Agent>,
    system: System,
    pub counts: Counts,
}

impl Hosts {
    pub fn new(hosts: &[HostId]) -> Hosts {
        let agent = |host: &HostId| Agent {
            host: *host,
            in_force: Intent::default(),
            believed: Digests::default(),
            under_way: VecDeque::new(),
            last: None,
        };
        let options = Options { hosts: hosts.len(), ..Options::default() };
        Hosts {
            agents: hosts.iter().map(agent).collect(),
            system: System::new(hosts, options),
            counts: Counts::default(),
        }
    }

    /// One thing happens between the server and the hosts, or on a host.
    ///
    /// # Errors
    /// What must not be.
    pub fn step(&mut self, cloud: &mut Cloud, dice: &mut Dice) -> Result<(), String> {
        let at = dice.below(self.agents.len());
        match dice.below(100) {
            0..25 => self.tell(cloud, at),
            25..45 => return self.arrive(cloud, at),
            45..48 => drop(self.agents[at].under_way.pop_front()),
            48..51 => return self.repeat(at),
            51..54 => self.hello(at),
            54..55 => self.restart(cloud, at, dice.chance(50)),
            55..65 => return self.report(cloud, at),
            _ => return self.send(cloud, dice),
        }
        Ok(())
    }

    /// Everything that is to be told arrives: each host has what is planned for it, whole.
    ///
    /// # Errors
    /// A host that has something else.
    pub fn settle(&mut self, cloud: &mut Cloud) -> Result<(), String> {
        for _ in 0..ROUNDS_MAX {
            for at in 0..self.agents.len() {
                while !self.agents[at].under_way.is_empty() {
                    self.arrive(cloud, at)?;
                }
                self.tell(cloud, at);
            }
            if self.agents.iter().all(|agent| agent.under_way.is_empty()) {
                return self.check_whole(cloud);
            }
        }
        Err("the hosts do not come to rest".into())
    }

    fn check_whole(&self, cloud: &Cloud) -> Result<(), String> {
        let worlds = cloud.worlds();
        for agent in &self.agents {
            let planned = plan::intent(&worlds, agent.host);
            if planned != agent.in_force {
                return Err(format!("{} has\n{:?}\nand should have\n{planned:?}", agent.host, agent.in_force));
            }
        }
        Ok(())
    }

    /// The server says what differs from what it believes the host to have.
    fn tell(&mut self, cloud: &Cloud, at: usize) {
        let agent = &mut self.agents[at];
        let wanted = plan::intent(&cloud.worlds(), agent.host);
        let update = Update::between(&agent.believed, &wanted);
        let is_news = !update.is_empty() || agent.in_force.revisions != wanted.revisions;
        if is_news && agent.under_way.len() < UNDER_WAY_MAX {
            agent.believed = Digests::of(&wanted);
            agent.under_way.push_back(update);
        }
    }

    fn arrive(&mut self, cloud: &Cloud, at: usize) -> Result<(), String> {
        let Some(update) = self.agents[at].under_way.pop_front() else { return Ok(()) };
        self.counts.updates += 1;
        self.agents[at].last = Some(update.clone());
        if self.take(at, update)? {
            self.put_in_force(at, cloud.now);
        }
        Ok(())
    }

    /// What came last comes once more.
    fn repeat(&mut self, at: usize) -> Result<(), String> {
        let Some(update) = self.agents[at].last.clone() else { return Ok(()) };
        let before = self.agents[at].in_force.clone();
        if self.take(at, update)? && before.vpcs != self.agents[at].in_force.vpcs {
            return Err(format!("{} became another one by an update that it had", self.agents[at].host));
        }
        Ok(())
    }

    /// Whether it fits; else the host says hello anew, with what it has.
    fn take(&mut self, at: usize, update: Update) -> Result<bool, String> {
        let agent = &mut self.agents[at];
        let whole = update.whole;
        match update.apply(agent.in_force.clone()) {
            Ok((intent, digests)) => {
                if digests.whole() != whole || Digests::of(&intent) != digests {
                    return Err(format!("{} took an update and has something else", agent.host));
                }
                agent.in_force = intent;
                Ok(true)
            }
            Err(_) => {
                self.counts.diverged += 1;
                agent.believed = Digests::of(&agent.in_force);
                agent.under_way.clear();
                agent.last = None;
                Ok(false)
            }
        }
    }

    /// The connection ends, with all that was under way; the next one begins with what the host has.
    fn hello(&mut self, at: usize) {
        let agent = &mut self.agents[at];
        agent.under_way.clear();
        agent.believed = Digests::of(&agent.in_force);
    }

    /// The agent's process ends and begins, with what it had in force or with nothing; flows and keys are gone.
    fn restart(&mut self, cloud: &Cloud, at: usize, keeps: bool) {
        self.counts.restarts += 1;
        if !keeps {
            self.agents[at].in_force = Intent::default();
        }
        self.agents[at].last = None;
        self.hello(at);
        self.system.restart(at, cloud.now);
        self.put_in_force(at, cloud.now);
    }

    fn put_in_force(&mut self, at: usize, now: Time) {
        let slices = self.agents[at].in_force.vpcs.values().map(|slice| VpcSlice::clone(slice)).collect();
        let internet = Internet::new(&self.agents[at].in_force.public, &self.agents[at].in_force.public_ipv6);
        self.system.take(at, slices, internet, now);
    }

    /// The host says what became of the instances that it knows of.
    fn report(&mut self, cloud: &mut Cloud, at: usize) -> Result<(), String> {
        let Agent { host, in_force, .. } = &self.agents[at];
        let host = *host;
        let condition = |state| match state {
            InstanceState::Pending => Some(Condition::Running),
            InstanceState::Stopping => Some(Condition::Stopped),
            InstanceState::ShuttingDown => Some(Condition::Terminated),
            _ => None,
        };
        let said: Vec<(VpcId, Report)> = in_force
            .instances
            .values()
            .filter_map(|instance| {
                let condition = condition(instance.state)?;
                Some((instance.vpc, Report { instance: instance.id, starts: instance.starts, condition }))
            })
            .collect();
        for (vpc, report) in said {
            let place = cloud.places.iter().position(|place| place.world.vpcs.contains_key(&vpc));
            if let Some(place) = place {
                cloud.hear(place, Some(host), &report)?;
            }
        }
        Ok(())
    }

    /// A packet from one interface to another's address, by what hosts have in force.
    fn send(&mut self, cloud: &Cloud, dice: &mut Dice) -> Result<(), String> {
        let scene = Scene { worlds: cloud.worlds() };
        let all: Vec<Arc<NetworkInterface>> =
            scene.all::<NetworkInterface>().into_iter().map(|(_, interface)| interface).collect();
        let (Some(x), Some(y)) = (dice.pick(&all), dice.pick(&all)) else { return Ok(()) };
        if !self.system.has_port(x.id) {
            return Ok(());
        }
        let body = match dice.below(3) {
            0 => Body::Udp { sport: 40_000, dport: dice.one([22, 443, 8080]) },
            1 => Body::Tcp { sport: 40_001, dport: dice.one([22, 443, 8080]), flags: dice.one([SYN, SYN | ACK, ACK]) },
            _ => Body::Icmp { kind: dice.one([8, 0]), code: 0, id: 7, about: None },
        };
        let packet = Packet { src: x.primary_ip().into(), dst: y.primary_ip().into(), body };
        let sent = Sent { from: x.id, src_mac: x.mac, to: NextHop::Router, packet };
        let (outcome, said) = self.system.send(&scene, &sent, &sent.packet, Dress::Plain, cloud.now);
        self.counts.packets += 1;
        if said.contains("in clear") || outcome == Outcome::Denied("in clear") {
            return Err(format!("{sent} went in clear: {said}"));
        }
        if let Outcome::Delivered(to) = outcome {
            self.counts.delivered += 1;
            self.counts.crossed += u64::from(self.vpc_of(to).is_some_and(|vpc| vpc != x.vpc));
            self.check_permitted(&sent, to).map_err(|why| format!("{sent} reached {to}: {why}"))?;
        }
        Ok(())
    }

    /// The VPC that an interface is in, as far as any host knows.
    fn vpc_of(&self, interface: NetworkInterfaceId) -> Option<VpcId> {
        let slices = self.agents.iter().flat_map(|agent| agent.in_force.vpcs.values());
        let is_in = |slice: &&Arc<VpcSlice>| slice.endpoints.iter().any(|one| one.interface.id == interface);
        slices.into_iter().find(is_in).map(|slice| slice.vpc.id)
    }

    /// What a host has in force about an interface that it carries.
    fn slice_of(&self, interface: NetworkInterfaceId) -> Option<(&VpcSlice, &NetworkInterface)> {
        self.agents.iter().find_map(|agent| {
            agent.in_force.vpcs.values().find_map(|slice| {
                let endpoint = slice.endpoints.iter();
                let mut here = endpoint.filter(|one| one.interface.id == interface && one.host == Some(agent.host));
                here.next().map(|endpoint| (&**slice, &*endpoint.interface))
            })
        })
    }

    /// A packet that arrived in another VPC crossed a peering that both ends' hosts have as active, and the sender's own table leads
    /// there.
    fn check_permitted(&self, sent: &Sent, to: NetworkInterfaceId) -> Result<(), String> {
        let (from, sender) = self.slice_of(sent.from).ok_or("no host carries the sender")?;
        let (there, _) = self.slice_of(to).ok_or("no host carries the receiver")?;
        if from.vpc.id == there.vpc.id {
            return Ok(());
        }
        let is_between = |slice: &VpcSlice| {
            slice
                .peerings
                .iter()
                .any(|peering| peering.status == PeeringStatus::Active && peering.is_between(from.vpc.id, there.vpc.id))
        };
        if !is_between(from) || !is_between(there) {
            return Err(format!("no active peering of {} and {} at both ends", from.vpc.id, there.vpc.id));
        }
        match best_target(from, sender, sent.packet.dst) {
            Some(RouteTarget::Peering(id)) => {
                let crossed = from.peerings.iter().find(|peering| peering.id == id);
                let leads = crossed.is_some_and(|peering| peering.is_between(from.vpc.id, there.vpc.id));
                if leads { Ok(()) } else { Err(format!("the route leads over {id}, which is another VPC's")) }
            }
            // The gateway's own subnet has a route of its own to the peering.
            Some(RouteTarget::NatGateway(_)) => Ok(()),
            other => Err(format!("the sender's route leads to {other:?}")),
        }
    }
}

/// Where the sender's table leads: the longest block that the destination is in.
fn best_target(slice: &VpcSlice, sender: &NetworkInterface, dst: IpAddr) -> Option<RouteTarget> {
    let subnet = slice.subnets.iter().find(|subnet| subnet.id == sender.subnet)?;
    let table = subnet.effective_route_table(&slice.vpc);
    let table = slice.route_tables.iter().find(|one| one.id == table)?;
    let mut best: Option<(u8, RouteTarget)> = None;
    for route in &table.routes {
        let blocks: Vec<Cidr> = match route.destination {
            Destination::Cidr(block) => vec![block],
            Destination::PrefixList(list) => slice.prefix_lists.get(&list).cloned().unwrap_or_default(),
        };
        for block in blocks.into_iter().filter(|block| block.contains(dst)) {
            let is_longer = best.is_none_or(|(length, _)| block.prefix_len() > length);
            let is_exact = best.is_some_and(|(length, _)| block.prefix_len() == length);
            // A block of its own wins over the same block in a list (spec 4.5).
            if is_longer || is_exact && matches!(route.destination, Destination::Cidr(_)) {
                best = Some((block.prefix_len(), route.target));
            }
        }
    }
    best.map(|(_, target)| target)
}

/// Two accounts' VPCs in two regions, peered, routed, open, with an instance in each: something for packets to pass.
///
/// # Errors
/// A call that fails.
pub fn prologue(cloud: &mut Cloud) -> Result<(), String> {
    let mut made: Vec<BTreeMap<&str, String>> = Vec::new();
    for (n, (at, account)) in [(0, 0), (0, 1), (1, 0)].into_iter().enumerate() {
        let account = super::ACCOUNTS[account];
        let mut ask = |query: &str| cloud.call(at, account, query)?.ok_or(format!("refused: {query}"));
        let vpc = text(&ask(&format!("Action=CreateVpc&CidrBlock=10.{n}.0.0/16"))?, "vpcId")?;
        let subnet = text(&ask(&format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock=10.{n}.0.0/24"))?, "subnetId")?;
        let groups = ask(&format!("Action=DescribeSecurityGroups&Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}"))?;
        let group = text(&groups, "groupId")?;
        ask(&format!(
            "Action=AuthorizeSecurityGroupIngress&GroupId={group}&IpPermissions.1.IpProtocol=-1&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8"
        ))?;
        ask(&format!("Action=RunInstances&ImageId=ami-0123456789abcdef0&MinCount=2&MaxCount=2&SubnetId={subnet}"))?;
        let tables = ask(&format!("Action=DescribeRouteTables&Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}"))?;
        made.push(BTreeMap::from([("vpc", vpc), ("table", text(&tables, "routeTableId")?)]));
    }
    for (here, there) in [((0, 0, 0), (0, 1, 1)), ((0, 0, 0), (1, 0, 2))] {
        peer(cloud, &made, here, there)?;
    }
    Ok(())
}

/// Each end: region, account, and which of the VPCs.
type End = (usize, usize, usize);

fn peer(cloud: &mut Cloud, made: &[BTreeMap<&str, String>], here: End, there: End) -> Result<(), String> {
    let account = |end: End| super::ACCOUNTS[end.1];
    let query = format!(
        "Action=CreateVpcPeeringConnection&VpcId={}&PeerVpcId={}&PeerOwnerId={}&PeerRegion={}",
        made[here.2]["vpc"],
        made[there.2]["vpc"],
        account(there),
        super::REGIONS[there.0],
    );
    let document = cloud.call(here.0, account(here), &query)?.ok_or("a peering was refused")?;
    let id = text(&document, "vpcPeeringConnectionId")?;
    cloud.settle()?;
    let accept = format!("Action=AcceptVpcPeeringConnection&VpcPeeringConnectionId={id}");
    cloud.call(there.0, account(there), &accept)?.ok_or("an acceptance was refused")?;
    cloud.settle()?;
    for (end, other) in [(here, there), (there, here)] {
        let query = format!(
            "Action=CreateRoute&RouteTableId={}&DestinationCidrBlock=10.{}.0.0/16&VpcPeeringConnectionId={id}",
            made[end.2]["table"], other.2,
        );
        cloud.call(end.0, account(end), &query)?.ok_or("a route was refused")?;
    }
    Ok(())
}

fn text(document: &str, name: &str) -> Result<String, String> {
    let found = document.split(&format!("<{name}>")).nth(1).and_then(|rest| rest.split('<').next());
    found.map(Into::into).ok_or_else(|| format!("no {name} in {document}"))
}
