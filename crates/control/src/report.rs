//! What hosts tell: instances came up, went down, are gone.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::*;
use stream::{Condition, Report};

use crate::action::interface_permission;
use crate::addresses;
use crate::public;

/// The code of the state reason of an instance that shut itself down.
pub const SHUT_ITSELF_DOWN: &str = "Client.InstanceInitiatedShutdown";

/// The changes that a host's report makes; none if it is about another host's instance or about an earlier start.
pub fn receive(world: &World, host: HostId, report: &Report, now: Time) -> Vec<Change> {
    let Some(instance) = world.find::<Instance>(&report.instance).filter(|instance| instance.host == Some(host)) else {
        return Vec::new();
    };
    let to = |state: InstanceState, reason: Option<(String, String)>| {
        let mut after = Instance::clone(instance);
        after.state = state;
        after.state_reason = reason.or(after.state_reason);
        vec![Change::put(after)]
    };
    let stopped = |mut changes: Vec<Change>| {
        changes.extend(public::stopped(world, instance.id, now));
        changes
    };
    // It is told again until it is heard: a host goes on saying what it did until it is asked for no more.
    let is_early = !matches!(report.condition, Condition::Ended | Condition::Failed(_));
    if is_early && !world.is_settled(instance.id) {
        return Vec::new();
    }
    let is_current = report.starts == instance.starts;
    match (&report.condition, instance.state) {
        (Condition::Running, InstanceState::Pending) if is_current => to(InstanceState::Running, None),
        (Condition::Stopped, InstanceState::Stopping) => to(InstanceState::Stopped, None),
        (Condition::Terminated, InstanceState::ShuttingDown) => terminated(world, instance, now),
        (Condition::Ended, InstanceState::Pending | InstanceState::Running) if is_current => {
            let ends = instance.shutdown_behavior == "terminate";
            let reason = format!("{SHUT_ITSELF_DOWN}: Instance initiated shutdown");
            // The files of one that ends for good are still on its host, which says `Terminated` when they are gone.
            let state = if ends { InstanceState::ShuttingDown } else { InstanceState::Stopped };
            stopped(to(state, Some((SHUT_ITSELF_DOWN.into(), reason))))
        }
        (Condition::Failed(why), InstanceState::Pending | InstanceState::Running) if is_current => {
            let reason = ("Server.InternalError".into(), format!("Server.InternalError: {why}"));
            stopped(to(InstanceState::Stopped, Some(reason)))
        }
        _ => Vec::new(),
    }
}

/// The changes that a host's word about its own place makes; none if it says the same as before.
pub fn place(world: &World, host: &Host) -> Vec<Change> {
    let is_known = world.find::<Host>(&host.id).is_some_and(|known| **known == *host);
    if is_known { Vec::new() } else { vec![Change::put(host.clone())] }
}

/// The end of an instance: its interfaces go with it, but for those that are to stay.
pub fn terminated(world: &World, instance: &Instance, now: Time) -> Vec<Change> {
    let mut after = instance.clone();
    after.state = InstanceState::Terminated;
    after.terminated = Some(now);
    let mut changes = vec![Change::put(after)];
    let mut released: BTreeMap<SubnetId, Vec<IpAddr>> = BTreeMap::new();
    for interface in world.by::<NetworkInterface>(By::id(instance.id)) {
        match &interface.attachment {
            Some(attachment) if attachment.instance == instance.id && attachment.delete_on_termination => {
                changes.extend(public::resting(interface, now));
                changes.push(Change::Delete(NetworkInterface::key(interface.id)));
                let permissions = interface_permission::ids_of(world, interface.id);
                changes.extend(permissions.into_iter().map(|id| Change::Delete(InterfacePermission::key(id))));
                released.entry(interface.subnet).or_default().extend(interface.addresses());
            }
            Some(attachment) if attachment.instance == instance.id => {
                changes.extend(public::resting(interface, now));
                let mut after = NetworkInterface { attachment: None, ..NetworkInterface::clone(interface) };
                after.public.retain(|at| at.elastic.is_some());
                changes.push(Change::put(after));
            }
            _ => {}
        }
    }
    let notes = released.into_iter().map(|(subnet, gone)| addresses::released(world, subnet, gone, now));
    changes.extend(notes);
    changes
}
