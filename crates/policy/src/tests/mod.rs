//! The whole law: drop reasons one by one, the spec's scenarios, and laws over random worlds.

mod drops;
mod internet;
mod laws;
mod nat;
mod outside;
mod scenarios;

use core::net::IpAddr;

use model::{Direction, NetworkInterfaceId, PeeringId, RouteTarget, SecurityGroupId, SubnetId, Time, VpcId};

use crate::testing::{Lab, p};
use crate::*;

/// Two peered VPCs with routes both ways: X in A may send anything, Y in B serves TCP port 80 to A.
struct Pair {
    lab: Lab,
    a: VpcId,
    b: VpcId,
    sx: SubnetId,
    sy: SubnetId,
    x: NetworkInterfaceId,
    y: NetworkInterfaceId,
    gy: SecurityGroupId,
    pcx: PeeringId,
    xs: IpAddr,
    ys: IpAddr,
}

impl Pair {
    /// The same in either family.
    fn both() -> [Pair; 2] {
        [Pair::new(false), Pair::new(true)]
    }

    fn new(ipv6: bool) -> Pair {
        let mut lab = Lab::default();
        let a = lab.vpc(&["10.16.0.0/16", "fd16::/56"]);
        let b = lab.vpc(&["10.17.0.0/16", "fd17::/56"]);
        let sx = lab.subnet(a, &["10.16.1.0/24", "fd16:0:0:1::/64"]);
        let sy = lab.subnet(b, &["10.17.1.0/24", "fd17:0:0:1::/64"]);
        let x = lab.interface(sx, &["10.16.1.10", "fd16:0:0:1::10"]);
        let y = lab.interface(sy, &["10.17.1.10", "fd17:0:0:1::10"]);
        let pcx = lab.peering(a, b);
        lab.route_both(pcx);
        let gy = lab.group(b);
        lab.allow_tcp(gy, 80, "10.16.0.0/16");
        lab.allow_tcp(gy, 80, "fd16::/56");
        lab.set_groups(y, &[gy]);
        let (xs, ys) = if ipv6 { ("fd16:0:0:1::10", "fd17:0:0:1::10") } else { ("10.16.1.10", "10.17.1.10") };
        Pair { lab, a, b, sx, sy, x, y, gy, pcx, xs: p(xs), ys: p(ys) }
    }

    fn open(&self) -> Flow {
        Flow::tcp(self.xs, 40_000, self.ys, 80, TcpFlags::SYN)
    }

    /// The block of everything in this pair's family.
    fn all(&self) -> &'static str {
        if self.xs.is_ipv4() { "0.0.0.0/0" } else { "::/0" }
    }

    fn send(&self) -> Result<Admit, Denied> {
        self.try_flow(&self.open())
    }

    /// X sends, untracked so far; Y judges.
    fn try_flow(&self, flow: &Flow) -> Result<Admit, Denied> {
        let tables = self.lab.compile();
        let next = egress(&tables, self.x, flow, L2::Router, None, &mut ())?;
        let (to, translation) = tables.arriving(&next, flow)?;
        ingress(&tables, to, &next.origin, &translation.flow(flow), None, &mut ())
    }

    fn leave(&self, flow: &Flow) -> Result<Next, Denied> {
        egress(&self.lab.compile(), self.x, flow, L2::Router, None, &mut ())
    }

    /// Y judges a packet with this claim, as in [`Pair::open`].
    fn arrive(&self, origin: Origin) -> Result<Admit, Denied> {
        ingress(&self.lab.compile(), self.y, &origin, &self.open(), None, &mut ())
    }

    fn claim(&self) -> Origin {
        Origin { vpc: self.a, interface: Some(self.x), scope: Scope::Peering(self.pcx) }
    }

    fn peering(&self) -> RouteTarget {
        RouteTarget::Peering(self.pcx)
    }
}

/// One host's tables and connection tracking: packets go through it as through the data plane.
struct Path {
    tables: Tables,
    conntrack: Conntrack,
    now: Time,
}

impl Path {
    fn new(lab: &Lab) -> Path {
        let limits = Limits { flows: 1000, flows_per_interface: 500 };
        Path { tables: lab.compile(), conntrack: Conntrack::new(limits, Timeouts::default(), 7), now: Time::EPOCH }
    }

    fn reload(&mut self, lab: &Lab) {
        self.tables = lab.compile();
    }

    /// Both judgements with tracking; the interface that got it.
    fn send(&mut self, from: NetworkInterfaceId, flow: &Flow) -> Result<NetworkInterfaceId, Denied> {
        let seen = self.conntrack.lookup(from, Direction::Egress, flow, self.now);
        let next = egress(&self.tables, from, flow, L2::Router, seen, &mut ())?;
        self.conntrack.commit(from, Direction::Egress, flow, next.track, self.now)?;
        let (to, translation) = self.tables.arriving(&next, flow)?;
        let flow = &translation.flow(flow);
        let seen = self.conntrack.lookup(to, Direction::Ingress, flow, self.now);
        let admit = ingress(&self.tables, to, &next.origin, flow, seen, &mut ())?;
        self.conntrack.commit(to, Direction::Ingress, flow, admit.track, self.now)?;
        Ok(to)
    }
}

fn code<T>(verdict: Result<T, Denied>) -> &'static str {
    verdict.map_or_else(|denied| denied.code(), |_| "passes")
}
