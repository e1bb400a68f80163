//! The mission, step by step: what is done, what must come of it (spec ch. 5, appendix B). And how any story is played.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;

use super::api::Api;
use super::build::{MISSION, authorize};
use super::probe::{Flow, Kind, Wait};
use super::report::{Finding, Report};
use super::stage::{Stage, Vpc};

const OPEN: u16 = 8080;
const CLOSED: u16 = 9090;
const DATAGRAMS: u16 = 5300;
/// A request's life (spec 5.3.4), and a little more.
const SEVEN_DAYS: Duration = Duration::from_secs(7 * 24 * 3600 + 60);

/// A step: its title, what is expected, how it is played on a stage of this kind.
pub type Scene<S> = (&'static str, &'static str, fn(&mut S) -> anyhow::Result<Finding>);

const SET_UP: (&str, &str) = ("two accounts, two regions, VPCs A, B and C", "six instances run");

const SCENES: &[Scene<Stage>] = &[
    ("no peering", "nothing flows: D08", no_peering),
    ("A asks B for a peering", "pending-acceptance, seen by both", request),
    ("a route to a pending peering", "a blackhole, nothing flows: D09", route_to_pending),
    ("B accepts", "active for both, and so is A's route, by itself", accept),
    ("a route in A only", "the request arrives, its reply does not: D08", route_in_one),
    ("a route in B as well", "pings pass both ways, real source seen", route_in_both),
    ("closed ports", "the group of B drops tcp and udp: D22", closed_ports),
    ("one port open, one closed", "tcp and udp pass, real source seen; 9090: D22", open_ports),
    ("B and C peered", "B and C reach each other", peer_with_c),
    ("from A to C through B, with routes", "nothing flows either way: D12", no_transit),
    ("a peering with an overlapping VPC", "failed; the accepter never sees it", overlap),
    ("C rejects a request of A", "rejected; cannot be accepted", reject),
    ("a request left alone for 7 days", "expired; cannot be accepted; A and B go on", expire),
    ("A deletes the peering", "both routes blackhole, an open flow is cut: D09", delete),
    ("a new peering of A and B", "old routes stay dead; once replaced, it flows", peer_again),
];

/// How many steps there are.
pub const STEPS: usize = SCENES.len() + 1;

/// Plays the mission; the cloud, where it was built.
pub fn play(report: &mut Report, address: SocketAddr, agents: &[PathBuf], is_cancelled: &AtomicBool) -> Option<Stage> {
    let api = Rc::new(Api::new(address));
    let set_up = || -> anyhow::Result<_> {
        let stage = Stage::set_up(&api, agents, &MISSION)?;
        let running = stage.instances();
        Ok((stage, Finding::new(running == 6, format!("{running} instances run"))))
    };
    perform(report, &api, (SET_UP, set_up), SCENES, is_cancelled)
}

/// Plays until the end, until something fails that the rest needs, or until told to stop. The stage, where it was built.
pub fn perform<S>(
    report: &mut Report,
    api: &Api,
    (first, set_up): ((&'static str, &'static str), impl FnOnce() -> anyhow::Result<(S, Finding)>),
    scenes: &[Scene<S>],
    is_cancelled: &AtomicBool,
) -> Option<S> {
    report.begin(first.0);
    let (stage, finding) = match set_up() {
        Ok((stage, finding)) => (Some(stage), finding),
        Err(error) => (None, broken(&error)),
    };
    report.end(first.0, first.1, api.take_lines(), finding);
    let mut stage = stage?;
    for (title, expected, scene) in scenes {
        if is_cancelled.load(Ordering::Relaxed) {
            break;
        }
        report.begin(title);
        let result = scene(&mut stage);
        let is_broken = result.is_err();
        report.end(title, expected, api.take_lines(), result.unwrap_or_else(|error| broken(&error)));
        if is_broken {
            break;
        }
    }
    Some(stage)
}

fn broken(error: &anyhow::Error) -> Finding {
    Finding::new(false, format!("{error:#}"))
}

fn no_peering(stage: &mut Stage) -> anyhow::Result<Finding> {
    let (a, b) = (&stage.a, &stage.b);
    stage.is_dropped(Kind::Ping, &a.guests[0], &b.guests[0], "D08", &a.guests[0])
}

fn request(stage: &mut Stage) -> anyhow::Result<Finding> {
    stage.peering = ask(stage, &stage.a, &stage.b)?;
    both(stage, &stage.a, &stage.b, &stage.peering, "pending-acceptance")
}

fn route_to_pending(stage: &mut Stage) -> anyhow::Result<Finding> {
    let (a, b) = (&stage.a, &stage.b);
    set_route(stage, "CreateRoute", a, b.cidr, &stage.peering)?;
    let route = stage.route(a, b.cidr, "blackhole")?;
    Ok(route.and(stage.is_dropped(Kind::Ping, &a.guests[0], &b.guests[0], "D09", &a.guests[0])?))
}

fn accept(stage: &mut Stage) -> anyhow::Result<Finding> {
    let (a, b) = (&stage.a, &stage.b);
    stage.api().call(b.side, "AcceptVpcPeeringConnection", &[("VpcPeeringConnectionId", &stage.peering)])?;
    let status = both(stage, a, b, &stage.peering, "active")?;
    Ok(status.and(stage.route(a, b.cidr, "active")?))
}

fn route_in_one(stage: &mut Stage) -> anyhow::Result<Finding> {
    let ([a, ..], [b, ..]) = (&stage.a.guests, &stage.b.guests);
    let forth = stage.goes_one_way(Kind::Ping, a, b, "D08")?;
    Ok(forth.and(stage.is_dropped(Kind::Ping, b, a, "D08", b)?))
}

fn route_in_both(stage: &mut Stage) -> anyhow::Result<Finding> {
    let (a, b) = (&stage.a, &stage.b);
    set_route(stage, "CreateRoute", b, a.cidr, &stage.peering)?;
    let forth = stage.passes(Kind::Ping, &a.guests[0], &b.guests[0])?;
    Ok(forth.and(stage.passes(Kind::Ping, &b.guests[1], &a.guests[1])?))
}

fn closed_ports(stage: &mut Stage) -> anyhow::Result<Finding> {
    let ([a, ..], [b, ..]) = (&stage.a.guests, &stage.b.guests);
    let tcp = stage.is_dropped(Kind::Tcp(OPEN), a, b, "D22", b)?;
    Ok(tcp.and(stage.is_dropped(Kind::Udp(DATAGRAMS), a, b, "D22", b)?))
}

fn open_ports(stage: &mut Stage) -> anyhow::Result<Finding> {
    let (from, b) = (stage.a.cidr, &stage.b);
    authorize(stage.api(), b.side, &b.group, "tcp", OPEN.into(), from)?;
    authorize(stage.api(), b.side, &b.group, "udp", DATAGRAMS.into(), from)?;
    let ([a, ..], [b, ..]) = (&stage.a.guests, &b.guests);
    let tcp = stage.passes(Kind::Tcp(OPEN), a, b)?;
    let udp = stage.passes(Kind::Udp(DATAGRAMS), a, b)?;
    Ok(tcp.and(udp).and(stage.is_dropped(Kind::Tcp(CLOSED), a, b, "D22", b)?))
}

fn peer_with_c(stage: &mut Stage) -> anyhow::Result<Finding> {
    let (b, c) = (&stage.b, &stage.c);
    let peering = ask(stage, b, c)?;
    stage.status(c.side, &peering, "pending-acceptance")?;
    stage.api().call(c.side, "AcceptVpcPeeringConnection", &[("VpcPeeringConnectionId", &peering)])?;
    let status = stage.status(c.side, &peering, "active")?;
    set_route(stage, "CreateRoute", b, c.cidr, &peering)?;
    set_route(stage, "CreateRoute", c, b.cidr, &peering)?;
    // C's way to A: through the peering that it has.
    set_route(stage, "CreateRoute", c, stage.a.cidr, &peering)?;
    let forth = stage.passes(Kind::Ping, &b.guests[0], &c.guests[0])?;
    Ok(status.and(forth).and(stage.passes(Kind::Ping, &c.guests[1], &b.guests[1])?))
}

fn no_transit(stage: &mut Stage) -> anyhow::Result<Finding> {
    let (a, c) = (&stage.a, &stage.c);
    set_route(stage, "CreateRoute", a, c.cidr, &stage.peering)?;
    let routes = stage.route(a, c.cidr, "active")?.and(stage.route(c, a.cidr, "active")?);
    let forth = stage.is_dropped(Kind::Ping, &a.guests[0], &c.guests[0], "D12", &a.guests[0])?;
    Ok(routes.and(forth).and(stage.is_dropped(Kind::Ping, &c.guests[0], &a.guests[0], "D12", &c.guests[0])?))
}

fn overlap(stage: &mut Stage) -> anyhow::Result<Finding> {
    let (a, side) = (&stage.a, stage.b.side);
    let reply = stage.api().call(side, "CreateVpc", &[("CidrBlock", "10.16.128.0/17")])?;
    let id = reply.must("vpc/vpcId")?;
    let (account, region) = (side.account.to_string(), side.region.to_string());
    let wanted = [("VpcId", a.id.as_str()), ("PeerVpcId", &id), ("PeerOwnerId", &account), ("PeerRegion", &region)];
    let peering = stage
        .api()
        .call(a.side, "CreateVpcPeeringConnection", &wanted)?
        .must("vpcPeeringConnection/vpcPeeringConnectionId")?;
    let status = stage.status(a.side, &peering, "failed")?;
    let accepted = [("VpcPeeringConnectionId", peering.as_str())];
    Ok(status.and(stage.refused(
        side,
        "AcceptVpcPeeringConnection",
        &accepted,
        "InvalidVpcPeeringConnectionID.NotFound",
    )?))
}

fn reject(stage: &mut Stage) -> anyhow::Result<Finding> {
    let (a, c) = (&stage.a, &stage.c);
    let peering = ask(stage, a, c)?;
    stage.status(c.side, &peering, "pending-acceptance")?;
    let this = [("VpcPeeringConnectionId", peering.as_str())];
    stage.api().call(c.side, "RejectVpcPeeringConnection", &this)?;
    let status = both(stage, a, c, &peering, "rejected")?;
    Ok(status.and(stage.refused(c.side, "AcceptVpcPeeringConnection", &this, "InvalidStateTransition")?))
}

fn expire(stage: &mut Stage) -> anyhow::Result<Finding> {
    let (a, b, c) = (&stage.a, &stage.b, &stage.c);
    let peering = ask(stage, a, c)?;
    stage.status(c.side, &peering, "pending-acceptance")?;
    stage.api().advance_clock(a.side, SEVEN_DAYS)?;
    let status = both(stage, a, c, &peering, "expired")?;
    let this = [("VpcPeeringConnectionId", peering.as_str())];
    let accepted = stage.refused(c.side, "AcceptVpcPeeringConnection", &this, "InvalidStateTransition")?;
    Ok(status.and(accepted).and(stage.passes(Kind::Ping, &a.guests[0], &b.guests[0])?))
}

fn delete(stage: &mut Stage) -> anyhow::Result<Finding> {
    let (a, b) = (&stage.a, &stage.b);
    let ([from, ..], [to, ..]) = (&a.guests, &b.guests);
    stage.api().note(format!("# a tcp/{OPEN} connection from {} to {}, kept open", from.name, to.name));
    let flow =
        Flow::open(&from.guest, &to.guest, OPEN, Wait::ForAnswer)?.context("the connection to be cut does not open")?;
    let alive = Finding::new(flow.is_alive()?, "a flow is open");
    stage.api().call(a.side, "DeleteVpcPeeringConnection", &[("VpcPeeringConnectionId", &stage.peering)])?;
    let status = both(stage, a, b, &stage.peering, "deleted")?;
    let routes = stage.route(a, b.cidr, "blackhole")?.and(stage.route(b, a.cidr, "blackhole")?);
    Ok(alive.and(status).and(routes).and(stage.is_cut(&flow, from, to, "D09")?))
}

fn peer_again(stage: &mut Stage) -> anyhow::Result<Finding> {
    let peering = ask(stage, &stage.a, &stage.b)?;
    let (a, b) = (&stage.a, &stage.b);
    stage.status(b.side, &peering, "pending-acceptance")?;
    stage.api().call(b.side, "AcceptVpcPeeringConnection", &[("VpcPeeringConnectionId", &peering)])?;
    let status = both(stage, a, b, &peering, "active")?;
    let dead = stage.is_dropped(Kind::Ping, &a.guests[0], &b.guests[0], "D09", &a.guests[0])?;
    set_route(stage, "ReplaceRoute", a, b.cidr, &peering)?;
    set_route(stage, "ReplaceRoute", b, a.cidr, &peering)?;
    let finding = status.and(dead).and(stage.passes(Kind::Ping, &a.guests[0], &b.guests[0])?);
    stage.peering = peering;
    Ok(finding)
}

/// A request for a peering; its id.
pub fn ask(stage: &Stage, from: &Vpc, to: &Vpc) -> anyhow::Result<String> {
    let (account, region) = (to.side.account.to_string(), to.side.region.to_string());
    let mut wanted = vec![("VpcId", from.id.as_str()), ("PeerVpcId", &to.id)];
    if from.side != to.side {
        wanted.extend([("PeerOwnerId", account.as_str()), ("PeerRegion", region.as_str())]);
    }
    Ok(stage
        .api()
        .call(from.side, "CreateVpcPeeringConnection", &wanted)?
        .must("vpcPeeringConnection/vpcPeeringConnectionId")?)
}

pub fn set_route(
    stage: &Stage,
    action: &'static str,
    vpc: &Vpc,
    destination: &str,
    peering: &str,
) -> anyhow::Result<()> {
    let route = [
        ("RouteTableId", vpc.table.as_str()),
        ("DestinationCidrBlock", destination),
        ("VpcPeeringConnectionId", peering),
    ];
    stage.api().call(vpc.side, action, &route)?;
    Ok(())
}

/// Both sides see the peering in this status.
pub fn both(stage: &Stage, a: &Vpc, b: &Vpc, peering: &str, status: &str) -> anyhow::Result<Finding> {
    Ok(stage.status(a.side, peering, status)?.and(stage.status(b.side, peering, status)?))
}
