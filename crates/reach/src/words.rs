//! Hops and blockers in words, for ladders and reports.

use alloc::format;
use alloc::string::{String, ToString};

use core::net::IpAddr;

use model::{AclAction, Direction, InternetGatewayId};
use policy::{Denied, Flow, L4, RouteState, Step, Track};

use crate::answer::{Blocker, Cause, Hop, Stage};
use crate::mend::{NEW_ADDRESS, NEW_GATEWAY, NEW_PEERING};

impl Stage {
    /// What the stage is called on a ladder.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Interface(Direction::Egress) => "source interface",
            Stage::Interface(Direction::Ingress) => "destination interface",
            Stage::Groups(Direction::Egress) => "security groups, egress",
            Stage::Groups(Direction::Ingress) => "security groups, ingress",
            Stage::Acl(Direction::Egress) => "network acl, egress",
            Stage::Acl(Direction::Ingress) => "network acl, ingress",
            Stage::OnLink => "subnet",
            Stage::Route => "route table",
            Stage::Peering(Direction::Egress) => "peering, this side",
            Stage::Peering(Direction::Ingress) => "peering, other side",
            Stage::Gateway(Direction::Egress) => "internet gateway, out",
            Stage::Gateway(Direction::Ingress) => "internet gateway, in",
            Stage::Nat => "nat gateway",
            Stage::Destination => "address look-up",
            Stage::Claim => "sender's claim",
            Stage::OtherSide => "other account's side",
        }
    }
}

impl Hop {
    /// What decided here; the rule's id among it. Empty for what another account's side hides, or where the packet never came.
    pub fn text(&self) -> String {
        self.step.map(|step| words(&step)).unwrap_or_default()
    }

    /// The component that the hop is: an interface, a group, an ACL, a table, a peering.
    pub fn component(&self) -> Option<String> {
        Some(match self.step? {
            Step::Interface { interface, .. }
            | Step::Tracking { interface, .. }
            | Step::Destination { interface, .. } => interface.to_string(),
            Step::Group { rule: Some(rule), .. } => rule.group.to_string(),
            Step::Group { interface, .. } => interface.to_string(),
            Step::OnLink { subnet } => subnet.to_string(),
            Step::Acl { acl, .. } => acl.to_string(),
            Step::Route { table, .. } => table.to_string(),
            Step::Peering { peering, .. } => peering.to_string(),
            Step::Gateway { gateway, .. } => gateway.to_string(),
            Step::EgressOnly { gateway, .. } => gateway.to_string(),
            Step::Nat { gateway, .. } => gateway.to_string(),
            Step::Denied(_) => return None,
        })
    }

    /// The rule, entry or route that decided.
    pub fn rule(&self) -> Option<String> {
        match self.step? {
            Step::Group { rule: Some(rule), .. } => Some(rule.rule.to_string()),
            Step::Acl { number, .. } => Some(number.to_string()),
            Step::Route { destination, .. } => Some(destination.to_string()),
            _ => None,
        }
    }
}

fn words(step: &Step) -> String {
    match step {
        Step::Interface { interface, subnet, vpc, .. } => format!("{interface} in {subnet} of {vpc}"),
        Step::Tracking { interface, .. } => format!("{interface}"),
        Step::Group { rule: Some(rule), track, .. } => {
            let tracked = if matches!(track, Track::Untracked { .. }) { ", not tracked" } else { "" };
            format!("{} in {} admits{tracked}", rule.rule, rule.group)
        }
        Step::Group { rule: None, .. } => "belongs to a tracked flow: no rule is asked".into(),
        Step::OnLink { subnet } => format!("neighbours in {subnet}: no network acl, no route"),
        Step::Acl { acl, number, action, .. } => {
            let verb = if *action == AclAction::Allow { "allows" } else { "denies" };
            format!("rule {number} of {acl} {verb}")
        }
        Step::Route { table, destination, target, state } => {
            let target = match target {
                model::RouteTarget::Local => "local".into(),
                model::RouteTarget::Peering(id) if *id == NEW_PEERING => "the new peering".into(),
                model::RouteTarget::InternetGateway(id) => named(*id),
                other => crate::command::target_id(*other),
            };
            let state = if *state == RouteState::Blackhole { " (blackhole)" } else { "" };
            format!("{destination} to {target} in {table}{state}")
        }
        Step::Peering { peering, status, .. } if *peering == NEW_PEERING => format!("the new peering is {status}"),
        Step::Peering { peering, status, .. } => format!("{peering} is {status}"),
        Step::Gateway { direction, gateway, public: Some(public) } => {
            let (gateway, public) = (named(*gateway), called(*public));
            match direction {
                Direction::Egress => format!("{gateway}: the source is {public} from here on"),
                Direction::Ingress => format!("{gateway}: {public} is the destination's"),
            }
        }
        Step::Gateway { gateway, public: None, .. } => format!("{}: no public address", named(*gateway)),
        Step::EgressOnly { direction: Direction::Egress, gateway } => format!("{gateway}: out, and answers in"),
        Step::EgressOnly { direction: Direction::Ingress, gateway } => format!("{gateway}: in as an answer"),
        Step::Nat { gateway, .. } => format!("{gateway}: other addresses and ports from here on"),
        Step::Destination { interface, vpc, host } => match host {
            Some(host) => format!("{interface} in {vpc}, on {host}"),
            None => format!("{interface} in {vpc}"),
        },
        Step::Denied(denied) => denied.to_string(),
    }
}

/// The gateway by its id, or as what a mend makes.
fn named(gateway: InternetGatewayId) -> String {
    if gateway == NEW_GATEWAY { "the new internet gateway".into() } else { gateway.to_string() }
}

fn called(public: IpAddr) -> String {
    if public == NEW_ADDRESS { "the new address".into() } else { public.to_string() }
}

impl Blocker {
    /// One line: what stands in the way, with its evidence. `sides` tells of another account's VPC whose side it is, such as
    /// `the accepter's side`.
    pub fn text(&self, side: Option<&str>) -> String {
        match self.cause {
            Cause::Denied(denied) => self.denial(denied),
            Cause::Elsewhere { interface, .. } => {
                let whose = interface.map_or("another account's interface".into(), |interface| interface.to_string());
                format!("the route leads to {whose}, which has the same address, and not to the destination")
            }
            Cause::Hidden => {
                let side = side.unwrap_or("the other account's side");
                format!("blocked on {side} ({}, account {})", self.place.vpc, self.place.account)
            }
        }
    }

    fn denial(&self, denied: Denied) -> String {
        let mut text = denied.to_string();
        let nothing = if matches!(self.analyzer_code(), "SG_HAS_NO_RULES") { "; there is no rule at all" } else { "" };
        match denied {
            Denied::GroupEgress { .. } | Denied::GroupIngress { .. } => {
                let groups: alloc::vec::Vec<String> = self.groups.iter().map(ToString::to_string).collect();
                text.push_str(&format!("; asked: {}{nothing}", groups.join(", ")));
            }
            Denied::NoRoute { .. } => text.push_str(&format!("; destination {}", self.flow.dst)),
            Denied::Blackhole { .. } => {
                let target = self.steps.iter().rev().find_map(|step| match step {
                    Step::Route { target, .. } => Some(crate::command::target_id(*target)),
                    _ => None,
                });
                text.push_str(&target.map(|target| format!("; its target {target} is not live")).unwrap_or_default());
            }
            Denied::AclEgress { number, .. } | Denied::AclIngress { number, .. } if number >= 32_767 => {
                text.push_str("; no rule before it matches");
            }
            _ => {}
        }
        text
    }
}

/// `tcp 10.0.0.1:40000 > 10.1.0.1:443`. A public address that is not there yet is `$ADDRESS`, as in the [commands](crate::commands) that get it.
pub fn header(flow: &Flow) -> String {
    let Flow { src, dst, protocol, .. } = flow;
    let is_new = |address: &IpAddr| *address == NEW_ADDRESS;
    let name = |address: &IpAddr| if is_new(address) { "$ADDRESS".into() } else { address.to_string() };
    let with_port = |address: &IpAddr, port: u16| match is_new(address) {
        true => format!("$ADDRESS:{port}"),
        false => core::net::SocketAddr::new(*address, port).to_string(),
    };
    match flow.l4 {
        L4::Tcp { src: from, dst: to, .. } => format!("tcp {} > {}", with_port(src, from), with_port(dst, to)),
        L4::Udp { src: from, dst: to } => format!("udp {} > {}", with_port(src, from), with_port(dst, to)),
        L4::IcmpQuery { kind, code, .. } | L4::IcmpError { kind, code, .. } | L4::Icmp { kind, code } => {
            format!("icmp {} > {} type {kind} code {code}", name(src), name(dst))
        }
        L4::Other => format!("protocol {protocol} {} > {}", name(src), name(dst)),
    }
}
