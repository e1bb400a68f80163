//! The demo's cloud: two accounts, two regions, three VPCs with two instances each; and what a step can ask of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::{Context, bail};
use model::NetworkInterfaceId;

use super::api::Api;
use super::build::{Blueprint, Plot};
use super::probe::{Flow, Guest, Kind, Seen, Wait};
use super::report::Finding;
use crate::agents;
use crate::client::{Call, CallError, Side};

/// Multicast and broadcast: what guests say by themselves and no step ever sends.
const BACKGROUND: &str = "D04";

pub struct Stage {
    pub a: Vpc,
    pub b: Vpc,
    /// Peered with B only.
    pub c: Vpc,
    /// Of A and B.
    pub peering: String,
    api: Rc<Api>,
    agents: Vec<PathBuf>,
}

pub struct Vpc {
    pub side: Side,
    pub cidr: &'static str,
    pub id: String,
    /// The main route table.
    pub table: String,
    pub group: String,
    pub guests: [Actor; 2],
}

/// An instance with its part in the story: `A1`.
pub struct Actor {
    pub name: String,
    pub guest: Guest,
}

/// Packets refused since a moment: the reason's code, its text, where.
struct Drop {
    code: String,
    text: String,
    interface: NetworkInterfaceId,
}

impl Stage {
    /// Builds it through the API, and waits until all instances run.
    ///
    /// # Errors
    /// What the API refused, or what did not come up.
    pub fn set_up(api: &Rc<Api>, agents: &[PathBuf], blueprints: &[Blueprint; 3]) -> anyhow::Result<Stage> {
        let plots =
            blueprints.iter().map(|blueprint| Plot::make(api, blueprint)).collect::<anyhow::Result<Vec<_>>>()?;
        for plot in &plots {
            plot.wait_until_running(api)?;
        }
        let running = agents::instances(agents)?;
        let mut vpcs = Vec::new();
        for plot in plots {
            vpcs.push(plot.finish(&running)?);
        }
        let Ok([a, b, c]) = <[Vpc; 3]>::try_from(vpcs) else { bail!("three VPCs were to be made") };
        Ok(Stage { a, b, c, peering: String::new(), api: api.clone(), agents: agents.to_owned() })
    }

    /// How many instances there are.
    pub fn instances(&self) -> usize {
        self.vpcs().iter().map(|vpc| vpc.guests.len()).sum()
    }

    pub fn api(&self) -> &Api {
        &self.api
    }

    pub fn vpcs(&self) -> [&Vpc; 3] {
        [&self.a, &self.b, &self.c]
    }

    /// A peering shows this status to that side.
    ///
    /// # Errors
    /// [`CallError`], other than a refusal, which is what was observed.
    pub fn status(&self, side: Side, peering: &str, wanted: &str) -> anyhow::Result<Finding> {
        let call = Call::ec2(side, "DescribeVpcPeeringConnections", &[("VpcPeeringConnectionId.1", peering)]);
        let seen = self.api.until(&call, wanted, |reply| match reply {
            Ok(reply) => reply.must("vpcPeeringConnectionSet/item/status/code"),
            Err(CallError::Refused { code, .. }) => Ok(code),
            Err(error) => Err(error),
        })?;
        Ok(Finding::new(seen == wanted, format!("{seen} in {}", side.region)))
    }

    /// The route of a VPC's table to that block shows this state.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn route(&self, vpc: &Vpc, destination: &str, wanted: &str) -> anyhow::Result<Finding> {
        let call = Call::ec2(vpc.side, "DescribeRouteTables", &[("RouteTableId.1", &vpc.table)]);
        let seen = self.api.until(&call, wanted, |reply| {
            let reply = reply?;
            let destinations = reply.texts("routeTableSet/item/routeSet/item/destinationCidrBlock");
            let states = reply.texts("routeTableSet/item/routeSet/item/state");
            let route = destinations.iter().zip(states).find(|(known, _)| *known == destination);
            Ok(route.map_or_else(|| "absent".into(), |(_, state)| state))
        })?;
        Ok(Finding::new(seen == wanted, format!("route {destination} is {seen}")))
    }

    /// The call is refused with this code.
    ///
    /// # Errors
    /// [`CallError`], other than a refusal.
    pub fn refused(
        &self,
        side: Side,
        action: &'static str,
        parameters: &[(&str, &str)],
        code: &str,
    ) -> anyhow::Result<Finding> {
        match self.api.call(side, action, parameters) {
            Ok(_) => Ok(Finding::new(false, format!("{action} succeeds"))),
            Err(CallError::Refused { code: seen, message }) => {
                let mut finding = Finding::new(seen == code, format!("refused: {seen}"));
                finding.why.push(format!("{seen}: {message}"));
                Ok(finding)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// It gets there and back, and the receiver sees the sender's own address.
    ///
    /// # Errors
    /// The kernel's.
    pub fn passes(&self, kind: Kind, from: &Actor, to: &Actor) -> anyhow::Result<Finding> {
        let (seen, drops) = self.send(kind, from, to, Wait::ForAnswer)?;
        let what = format!("{kind} {}->{}", from.name, to.name);
        Ok(match seen {
            Seen::Answered(source) => {
                Finding::new(source == from.guest.address, format!("{what} answered, {} saw {source}", to.name))
            }
            Seen::Arrived(source) => {
                self.explained(Finding::new(false, format!("{what} arrives from {source}, no reply")), &drops)
            }
            Seen::Nothing => self.explained(Finding::new(false, format!("{what}: nothing arrives")), &drops),
        })
    }

    /// Nothing gets there, for this reason, counted at that end.
    ///
    /// # Errors
    /// The kernel's.
    pub fn is_dropped(&self, kind: Kind, from: &Actor, to: &Actor, code: &str, at: &Actor) -> anyhow::Result<Finding> {
        let (seen, drops) = self.send(kind, from, to, Wait::InSilence)?;
        let ok = seen == Seen::Nothing && is_counted(&drops, code, at);
        let what = match seen {
            Seen::Nothing => "nothing arrives".into(),
            Seen::Arrived(source) => format!("arrives from {source}, no reply"),
            Seen::Answered(_) => "answered".into(),
        };
        Ok(self.explained(Finding::new(ok, format!("{kind} {}->{}: {what}", from.name, to.name)), &drops))
    }

    /// It gets there from the sender's own address, and the reply is dropped for this reason where it starts.
    ///
    /// # Errors
    /// The kernel's.
    pub fn goes_one_way(&self, kind: Kind, from: &Actor, to: &Actor, code: &str) -> anyhow::Result<Finding> {
        let (seen, drops) = self.send(kind, from, to, Wait::ForArrival)?;
        let ok = seen == Seen::Arrived(from.guest.address.into()) && is_counted(&drops, code, to);
        let what = match seen {
            Seen::Arrived(source) => format!("arrives from {source}, no reply"),
            Seen::Nothing => "nothing arrives".into(),
            Seen::Answered(_) => "answered".into(),
        };
        Ok(self.explained(Finding::new(ok, format!("{kind} {}->{}: {what}", from.name, to.name)), &drops))
    }

    fn send(&self, kind: Kind, from: &Actor, to: &Actor, wait: Wait) -> anyhow::Result<(Seen, Vec<Drop>)> {
        self.api.note(format!(
            "# {kind} from {} ({}, {}) to {} ({}, {})",
            from.name, from.guest.instance, from.guest.address, to.name, to.guest.instance, to.guest.address
        ));
        self.watch(&[from, to], || kind.send(&from.guest, &to.guest, wait))
            .with_context(|| format!("{kind} from {} to {}", from.name, to.name))
    }

    /// Does something once packets follow all that was said, and reads what is dropped meanwhile at these ends.
    fn watch<T>(&self, ends: &[&Actor], work: impl FnOnce() -> std::io::Result<T>) -> anyhow::Result<(T, Vec<Drop>)> {
        self.api.settle(self.a.side)?;
        let before = self.drops()?;
        let result = work()?;
        let after = self.drops()?;
        let is_new = |(key, (_, packets)): &(&(NetworkInterfaceId, String), &(String, u64))| {
            *packets > before.get(*key).map_or(0, |(_, packets)| *packets)
        };
        let is_ours = |interface: &NetworkInterfaceId| ends.iter().any(|end| end.guest.interface == *interface);
        let new = after.iter().filter(is_new).filter(|((interface, code), _)| is_ours(interface) && code != BACKGROUND);
        let drops = new.map(|((interface, code), (text, _))| Drop {
            code: code.clone(),
            text: text.clone(),
            interface: *interface,
        });
        Ok((result, drops.collect()))
    }

    /// Counted since these interfaces were plugged in.
    fn drops(&self) -> anyhow::Result<BTreeMap<(NetworkInterfaceId, String), (String, u64)>> {
        let instances = agents::instances(&self.agents)?;
        let interfaces = instances.into_iter().flat_map(|instance| instance.interfaces);
        let drops = interfaces.flat_map(|interface| {
            let id = interface.interface;
            interface.drops.into_iter().map(move |(code, text, packets)| ((id, code), (text, packets)))
        });
        Ok(drops.collect())
    }

    /// Messages on an open connection stop, for this reason, counted at that end.
    ///
    /// # Errors
    /// The kernel's.
    pub fn is_cut(&self, flow: &Flow, from: &Actor, to: &Actor, code: &str) -> anyhow::Result<Finding> {
        self.api.note(format!("# a message on the open connection from {} to {}", from.name, to.name));
        let (is_alive, drops) = self.watch(&[from, to], || flow.is_alive())?;
        let what = if is_alive { "goes on" } else { "is cut" };
        Ok(self.explained(
            Finding::new(!is_alive && is_counted(&drops, code, from), format!("the open flow {what}")),
            &drops,
        ))
    }

    fn explained(&self, mut finding: Finding, drops: &[Drop]) -> Finding {
        let mut codes: Vec<_> = drops.iter().map(|drop| drop.code.as_str()).collect();
        codes.dedup();
        if !codes.is_empty()
            && let Some(last) = finding.observed.last_mut()
        {
            last.push_str(&format!(" ({})", codes.join(", ")));
        }
        let actors: Vec<&Actor> = self.vpcs().into_iter().flat_map(|vpc| &vpc.guests).collect();
        finding.why.extend(drops.iter().map(|drop| {
            let name =
                actors.iter().find(|actor| actor.guest.interface == drop.interface).map_or("?", |actor| &actor.name);
            format!("{} {} at {} of {name}", drop.code, drop.text, drop.interface)
        }));
        if drops.is_empty() && !finding.ok {
            finding.why.push("nothing was counted as dropped at either end".into());
        }
        finding
    }
}

fn is_counted(drops: &[Drop], code: &str, at: &Actor) -> bool {
    drops.iter().any(|drop| drop.code == code && drop.interface == at.guest.interface)
}
