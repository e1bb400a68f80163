//! What an earlier agent left goes on: its instances, their devices, its last intent.
//!
//! An instance is taken over if its record names a process that is still the same one (pid, birth and boot) and that had been started.
//! All else that is found is ended, and said so; the reconciliation that follows starts it anew if it is wanted. A device is
//! attached to as its guest has it; where that fails, reconciliation makes another.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataplane::{Binding, PortId};
use linux::sandbox::Sandbox;
use linux::tap::TapQueue;
use model::intent::Intent;
use model::{InstanceId, NetworkInterfaceId};
use policy::Tables;

use super::{Device, Running, condition, lock, remember_end};
use crate::files::{self, InstanceFiles};
use crate::guest;
use crate::handover::ReceivedDevice;
use crate::kept::{self, Ended, Kept, KeptDevice};
use crate::links::{Links, Underlay};
use crate::{Options, Shared, chain, link};

type Handed = BTreeMap<NetworkInterfaceId, ReceivedDevice>;

/// A device that is attached to, and what the packet threads need of it.
struct Attached {
    device: Device,
    binding: Binding,
    queues: Vec<TapQueue>,
}

/// Takes over all that there is. To be called once, before anything else is plugged in. What a predecessor has handed over need not be
/// looked for: the intent that it followed, and open queues, in which frames wait.
pub(crate) fn take_over(shared: &Shared, intent: Option<(Arc<Intent>, Arc<Tables>)>, mut handed: Handed) {
    let (intent, tables) = match intent {
        Some((intent, tables)) => (Some(intent), Some(tables)),
        None => (kept::intent(&shared.options).map(Arc::new), None),
    };
    let mut attached = Vec::new();
    for id in files::stored(&shared.options) {
        let files = files::of_instance(&shared.options, id);
        if let Some(ended) = files.ended() {
            lock(&shared.instances.ended).insert(id, (ended.starts, ended.how));
        }
        let Some(kept) = files.kept() else { continue };
        let Some(sandbox) = find(shared, id, &files, &kept) else { continue };
        let devices = attach(&shared.options, &sandbox, kept.devices, &mut handed, attached.len());
        tracing::info!(%id, devices = devices.len(), "took over a running instance");
        let (starts, is_started) = (kept.starts, kept.is_started);
        let running = devices.iter().map(|attached| attached.device.clone()).collect();
        shared.instances.running().insert(id, Running { sandbox, devices: running, starts, is_started });
        attached.extend(devices);
    }
    let bindings = attached.iter().map(|attached| attached.binding).collect();
    shared.force.resume(intent.clone().unwrap_or_default(), tables, bindings);
    // Before the first packet wants a key or comes under one: until then nobody is known to be entitled to any.
    if let Some(intent) = intent {
        shared.uplink.iter().for_each(|uplink| uplink.follow(&intent));
        link::resume(shared, &intent);
        shared.services.follow(&intent);
        shared.flow_logs.follow(&intent);
        shared.links.iter().for_each(Links::settle);
    }
    for Attached { binding, queues, .. } in attached {
        shared.engine.plug(binding.port, queues);
    }
}

/// The sandbox if it is what its record says; ends what is left of any other.
fn find(shared: &Shared, id: InstanceId, files: &InstanceFiles, kept: &Kept) -> Option<Sandbox> {
    if kept.is_started {
        match Sandbox::adopt(kept.record.clone()) {
            Ok(Some(sandbox)) => return Some(sandbox),
            Ok(None) => note_end(shared, id, kept),
            Err(error) => tracing::warn!(%id, %error, "an instance that runs cannot be taken over"),
        }
    }
    match kept.record.kill_leftover() {
        Ok(true) => tracing::warn!(%id, "ended what an earlier agent left half-made"),
        Ok(false) => {}
        Err(error) => tracing::warn!(%id, %error, "what an earlier agent left cannot be ended"),
    }
    files.forget();
    None
}

/// It ended while no agent looked: that is told as if one had.
fn note_end(shared: &Shared, id: InstanceId, kept: &Kept) {
    match kept.record.ending() {
        Ok(Some(ending)) => {
            tracing::info!(%id, ?ending, "an instance ended while there was no agent");
            remember_end(shared, id, Ended { starts: kept.starts, how: condition(ending) });
        }
        // The machine was started anew: so is the instance.
        Ok(None) => {}
        Err(error) => tracing::warn!(%id, %error, "how an instance ended cannot be found out"),
    }
}

/// Attaches to the devices that are there, at ports from `first` on.
fn attach(
    options: &Options,
    sandbox: &Sandbox,
    devices: Vec<KeptDevice>,
    handed: &mut Handed,
    first: usize,
) -> Vec<Attached> {
    let Options { queues, mtu, underlay, .. } = options;
    let super_frame_max = underlay.as_ref().map(|underlay| dataplane::super_frame_max(Underlay::tunnel_mtu(underlay)));
    let mut attached = Vec::with_capacity(devices.len());
    for KeptDevice { device_index, interface } in devices {
        let Some(port) = u32::try_from(first + attached.len()).ok().and_then(PortId::new) else { break };
        let netns = sandbox.netns();
        // With another number of queues they are closed, and attached to anew.
        let received = handed.remove(&interface.id).filter(|received| received.queues.len() == *queues);
        let made = match received {
            Some(ReceivedDevice { queues, takes_uso }) => Ok(Some(guest::Made { queues, takes_uso })),
            None => guest::attach(netns, &interface, device_index, *queues, *mtu, super_frame_max),
        };
        match made {
            Ok(Some(made)) => {
                let binding = Binding { port, interface: interface.id, mtu: *mtu, takes_uso: made.takes_uso };
                let device = Device { port, interface: Arc::new(interface), device_index };
                attached.push(Attached { device, binding, queues: made.queues });
            }
            Ok(None) => tracing::info!(interface = %interface.id, "a device is gone; it is made again"),
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(interface = %interface.id, %error, "a device cannot be attached to; it is made again");
            }
        }
    }
    attached
}
