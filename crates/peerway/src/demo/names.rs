//! One public host name, before and after a peering: where it leads from here, and as whom the server there sees who calls (spec 9.4, 5.7).
//!
//! The programs are the instances' own, `getent` and `curl`; both find the name by the VPC's resolver.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, bail};

use super::api::{Api, PATIENCE};
use super::build::{NAMES, authorize};
use super::probe::WebServer;
use super::report::{Finding, Report};
use super::stage::{Actor, Stage, Vpc};
use super::story::{Scene, ask, both, perform, set_route};

const SET_UP: (&str, &str) = (
    "VPCs A, B and C with gateways, host names and web servers",
    "six instances run, A1, B1 and C1 have public host names",
);

const SCENES: &[Scene<Names>] = &[
    ("A1 calls B1 by its host name, no peering", "the name is public, B1 sees A1's public address", no_peering),
    ("A and B peered, with routes", "as before: a peering alone changes no name", peered),
    ("B allows DNS resolution", "the same name is private, B1 sees A1's private address", allowed),
    ("B1 calls A1: A does not allow it", "A1's name stays public for B1", one_sided),
    ("A allows it, too", "private both ways", two_sided),
    ("B's VPC gives no host names", "public for A1, although the option stays", no_hostnames),
    ("B's VPC gives host names again", "private again", hostnames),
    ("A peered with C, in one region", "public before C allows it, private after", same_region),
    ("C1 calls B1: both are A's peers", "public: names follow no chain of peerings", no_chain),
    ("B allows it no more", "public for A1 again; A's own option goes on", forbidden),
];

/// How many steps there are.
pub const STEPS: usize = SCENES.len() + 1;

/// The stage, and who has which name on it.
pub struct Names {
    pub stage: Stage,
    a: Site,
    b: Site,
    c: Site,
    data: PathBuf,
    _servers: Vec<WebServer>,
}

/// What the first instance of a VPC is called outside.
struct Site {
    name: String,
    public: Ipv4Addr,
}

/// Plays the story; the stage, where it was built.
pub fn play(
    report: &mut Report,
    address: SocketAddr,
    agents: &[PathBuf],
    data: &Path,
    is_cancelled: &AtomicBool,
) -> Option<Names> {
    let api = Rc::new(Api::new(address));
    let set_up = || -> anyhow::Result<_> {
        let stage = Stage::set_up(&api, agents, &NAMES)?;
        let [a, b, c] = [Site::make(&stage, &stage.a)?, Site::make(&stage, &stage.b)?, Site::make(&stage, &stage.c)?];
        let mut servers = Vec::new();
        for vpc in stage.vpcs() {
            let started = WebServer::start(&vpc.guests[0].guest);
            servers.push(started.with_context(|| format!("a web server in {}", vpc.guests[0].name))?);
        }
        let names = Names { a, b, c, data: data.to_owned(), _servers: servers, stage };
        names.check_programs()?;
        let running = names.stage.instances();
        let mut finding = Finding::new(running == 6, format!("{running} instances run"));
        for (site, vpc) in [(&names.a, &names.stage.a), (&names.b, &names.stage.b), (&names.c, &names.stage.c)] {
            let is_named = site.name.starts_with("ec2-");
            finding = finding.and(Finding::new(is_named, format!("{} is {}", vpc.guests[0].name, site.name)));
        }
        Ok((names, finding))
    };
    perform(report, &api, (SET_UP, set_up), SCENES, is_cancelled)
}

impl Site {
    /// A gateway with a route, an Elastic IP address, host names, and the web server's port open to everybody.
    fn make(stage: &Stage, vpc: &Vpc) -> anyhow::Result<Site> {
        let (api, side) = (stage.api(), vpc.side);
        let gateway = api.call(side, "CreateInternetGateway", &[])?.must("internetGateway/internetGatewayId")?;
        api.call(side, "AttachInternetGateway", &[("InternetGatewayId", &gateway), ("VpcId", &vpc.id)])?;
        let route =
            [("RouteTableId", vpc.table.as_str()), ("DestinationCidrBlock", "0.0.0.0/0"), ("GatewayId", &gateway)];
        api.call(side, "CreateRoute", &route)?;
        let instance = vpc.guests[0].guest.instance.to_string();
        let held = api.call(side, "AllocateAddress", &[("Domain", "vpc")])?;
        let (allocation, public) = (held.must("allocationId")?, held.must("publicIp")?);
        api.call(side, "AssociateAddress", &[("AllocationId", &allocation), ("InstanceId", &instance)])?;
        set_hostnames(stage, vpc, true)?;
        authorize(api, side, &vpc.group, "tcp", 80, "0.0.0.0/0")?;
        let shown = api.call(side, "DescribeInstances", &[("InstanceId.1", &instance)])?;
        let name = shown.must("reservationSet/item/instancesSet/item/dnsName")?;
        Ok(Site { name, public: public.parse().context("the Elastic IP address")? })
    }
}

impl Names {
    /// # Errors
    /// What this machine lacks: instances have its programs.
    fn check_programs(&self) -> anyhow::Result<()> {
        for program in ["curl", "getent"] {
            let found = self.run(&self.stage.a.guests[0], &["sh", "-c", &format!("command -v {program}")])?;
            if found.is_none() {
                bail!("this story needs `{program}`, which instances have from this machine; install it");
            }
        }
        Ok(())
    }

    /// A command inside an instance; what it said, if it succeeded.
    fn run(&self, actor: &Actor, argv: &[&str]) -> anyhow::Result<Option<String>> {
        let program = std::env::current_exe().context("where this program is")?;
        let mut command = Command::new(program);
        command.arg("exec").arg("--data").arg(&self.data).arg(actor.guest.instance.to_string()).arg("--").args(argv);
        let output = command.output().context("cannot run a command")?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok(Some(said).filter(|_| output.status.success()))
    }

    /// Somebody calls somebody by his host name: it leads to this address, and the server sees that one.
    fn calls(
        &self,
        from: &Actor,
        to: &Actor,
        name: &str,
        leads: Ipv4Addr,
        seen_as: Ipv4Addr,
    ) -> anyhow::Result<Finding> {
        let url = format!("http://{name}/");
        let (resolve, fetch) = (["getent", "ahostsv4", name], ["curl", "-s", "-m", "5", &url]);
        for argv in [&resolve[..], &fetch] {
            self.stage.api().note(format!(
                "peerway exec {} -- {}    # {}",
                from.guest.instance,
                argv.join(" "),
                from.name
            ));
        }
        self.stage.api().settle(self.stage.a.side)?;
        let wanted = (Some(leads.to_string()), Some(seen_as.to_string()));
        let deadline = Instant::now() + PATIENCE;
        let seen = loop {
            let resolved = self.run(from, &resolve)?;
            let first = resolved.as_deref().and_then(|said| said.split_whitespace().next()).map(str::to_owned);
            let seen = (first, self.run(from, &fetch)?);
            // What the other region was told is in force there a moment later.
            if seen == wanted || Instant::now() > deadline {
                break seen;
            }
        };
        let or_nothing = |said: &Option<String>| said.clone().unwrap_or_else(|| "nothing".into());
        let observed =
            format!("{}: {} is {}, {} saw {}", from.name, to.name, or_nothing(&seen.0), to.name, or_nothing(&seen.1));
        Ok(Finding::new(seen == wanted, observed))
    }

    /// By its public address: through both gateways, seen as the caller's public address.
    fn outside(&self, from: (&Vpc, &Site), to: (&Vpc, &Site)) -> anyhow::Result<Finding> {
        let mut finding = self.calls(&from.0.guests[0], &to.0.guests[0], &to.1.name, to.1.public, from.1.public)?;
        finding.why.push(format!("{} is public from here: the packets pass both Internet gateways", to.1.name));
        Ok(finding)
    }

    /// By its private address: over the peering, seen as the caller's own address.
    fn inside(&self, from: &Vpc, to: (&Vpc, &Site)) -> anyhow::Result<Finding> {
        let (from, at) = (&from.guests[0], &to.0.guests[0]);
        let mut finding = self.calls(from, at, &to.1.name, at.guest.address, from.guest.address)?;
        finding.why.push(format!("{} is private from here: the packets take the peering", to.1.name));
        Ok(finding)
    }

    fn a_to_b_outside(&self) -> anyhow::Result<Finding> {
        self.outside((&self.stage.a, &self.a), (&self.stage.b, &self.b))
    }

    fn a_to_b_inside(&self) -> anyhow::Result<Finding> {
        self.inside(&self.stage.a, (&self.stage.b, &self.b))
    }
}

fn no_peering(names: &mut Names) -> anyhow::Result<Finding> {
    names.a_to_b_outside()
}

fn peered(names: &mut Names) -> anyhow::Result<Finding> {
    let (peering, status) = peer(&names.stage, &names.stage.a, &names.stage.b)?;
    names.stage.peering = peering;
    Ok(status.and(names.a_to_b_outside()?))
}

fn allowed(names: &mut Names) -> anyhow::Result<Finding> {
    allow(&names.stage, &names.stage.b, "Accepter", &names.stage.peering, true)?;
    names.a_to_b_inside()
}

fn one_sided(names: &mut Names) -> anyhow::Result<Finding> {
    names.outside((&names.stage.b, &names.b), (&names.stage.a, &names.a))
}

fn two_sided(names: &mut Names) -> anyhow::Result<Finding> {
    allow(&names.stage, &names.stage.a, "Requester", &names.stage.peering, true)?;
    Ok(names.inside(&names.stage.b, (&names.stage.a, &names.a))?.and(names.a_to_b_inside()?))
}

fn no_hostnames(names: &mut Names) -> anyhow::Result<Finding> {
    set_hostnames(&names.stage, &names.stage.b, false)?;
    names.a_to_b_outside()
}

fn hostnames(names: &mut Names) -> anyhow::Result<Finding> {
    set_hostnames(&names.stage, &names.stage.b, true)?;
    names.a_to_b_inside()
}

fn same_region(names: &mut Names) -> anyhow::Result<Finding> {
    let (a, c) = (&names.stage.a, &names.stage.c);
    let (peering, status) = peer(&names.stage, a, c)?;
    let before = names.outside((a, &names.a), (c, &names.c))?;
    allow(&names.stage, c, "Accepter", &peering, true)?;
    Ok(status.and(before).and(names.inside(a, (c, &names.c))?))
}

fn no_chain(names: &mut Names) -> anyhow::Result<Finding> {
    names.outside((&names.stage.c, &names.c), (&names.stage.b, &names.b))
}

fn forbidden(names: &mut Names) -> anyhow::Result<Finding> {
    allow(&names.stage, &names.stage.b, "Accepter", &names.stage.peering, false)?;
    Ok(names.a_to_b_outside()?.and(names.inside(&names.stage.b, (&names.stage.a, &names.a))?))
}

/// An active peering with routes on both sides; its id.
fn peer(stage: &Stage, from: &Vpc, to: &Vpc) -> anyhow::Result<(String, Finding)> {
    let peering = ask(stage, from, to)?;
    stage.status(to.side, &peering, "pending-acceptance")?;
    stage.api().call(to.side, "AcceptVpcPeeringConnection", &[("VpcPeeringConnectionId", &peering)])?;
    let status = both(stage, from, to, &peering, "active")?;
    set_route(stage, "CreateRoute", from, to.cidr, &peering)?;
    set_route(stage, "CreateRoute", to, from.cidr, &peering)?;
    Ok((peering, status))
}

/// The option of a side, by its owner in its region.
fn allow(stage: &Stage, vpc: &Vpc, side: &str, peering: &str, value: bool) -> anyhow::Result<()> {
    let (name, value) = (format!("{side}PeeringConnectionOptions.AllowDnsResolutionFromRemoteVpc"), value.to_string());
    let options = [("VpcPeeringConnectionId", peering), (name.as_str(), &value)];
    stage.api().call(vpc.side, "ModifyVpcPeeringConnectionOptions", &options)?;
    Ok(())
}

fn set_hostnames(stage: &Stage, vpc: &Vpc, value: bool) -> anyhow::Result<()> {
    let attribute = [("VpcId", vpc.id.as_str()), ("EnableDnsHostnames.Value", if value { "true" } else { "false" })];
    stage.api().call(vpc.side, "ModifyVpcAttribute", &attribute)?;
    Ok(())
}
