//! The host's way out of the cloud: a device of the agent's own, by which the host forwards packets (decision 0049).
//!
//! ```text
//!   engine ─▶ device ─▶ the host's routing ─▶ its network         every public address that lives here
//!   engine ◀─ device ◀─ the host's routing ◀─ its network         has a route of the host to the device
//! ```
//!
//! The host forwards, lowers the hop limit, cuts and complains about what is too big, filters and, if its operator says so, masquerades. What
//! ends in the host itself is closed: it is looked for every second, and until it was found once nothing leaves.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use dataplane::UPLINK_MAC;
use linux::netlink::{LinkChange, Netlink, NetlinkError, Route};
use linux::tap::{Offloads, Tap, TapError, TapQueue};
use model::intent::Intent;
use model::{Cidr, HostId, Ipv4Cidr, Ipv6Cidr};
use policy::outside::ROUTER;
use serde::{Deserialize, Serialize};

use crate::force::Force;
use crate::{Options, chain};

/// How often what ends in the host is looked for.
const LOOK: Duration = Duration::from_secs(1);

/// Why there is no uplink.
#[derive(Debug, thiserror::Error)]
pub enum UplinkError {
    #[error("no device for the uplink; as root, name one that is not there yet, such as peerway0: the agent makes it")]
    Device(#[from] TapError),
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    #[error("cannot start the thread that looks at the host's addresses")]
    Thread(#[source] io::Error),
}

/// The way out, as `peerway status --uplink` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UplinkStatus {
    pub host: HostId,
    pub device: String,
    /// Whether the host forwards IPv4, and IPv6.
    pub forwards: (bool, bool),
    /// Public addresses that live here and that the host has a route for.
    pub addresses: Vec<IpAddr>,
    /// Packets and bytes that left the cloud here, and that came in.
    pub sent: (u64, u64),
    pub received: (u64, u64),
    /// Reason (`D30`), its text, packets that came from outside and are nobody's.
    pub drops: Vec<(String, String, u64)>,
}

pub(crate) struct Uplink {
    host: HostId,
    device: String,
    state: Mutex<State>,
    /// Ends the thread when it is dropped.
    end: Mutex<Option<SyncSender<()>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct State {
    netlink: Netlink,
    /// Addresses with a route to the device.
    routes: BTreeSet<IpAddr>,
}

/// Makes the device, or goes on with the one that a predecessor handed over.
pub(crate) fn open(options: &Options, handed: Vec<TapQueue>) -> Result<Option<(Uplink, Vec<TapQueue>)>, UplinkError> {
    let Some(device) = options.uplink.clone() else { return Ok(None) };
    let mut netlink = Netlink::open()?;
    let queues = if handed.len() == options.queues { handed } else { make(&mut netlink, &device, options)? };
    let state = Mutex::new(State { netlink, routes: BTreeSet::new() });
    let (end, thread) = (Mutex::default(), Mutex::default());
    Ok(Some((Uplink { host: options.host, device, state, end, thread }, queues)))
}

fn make(netlink: &mut Netlink, device: &str, options: &Options) -> Result<Vec<TapQueue>, UplinkError> {
    // Nothing is left to us: what comes in is whole packets with whole checksums, as from another host.
    let tap = Tap::create(device, options.queues, &[Offloads::default()])?;
    let change = LinkChange {
        mac: Some(UPLINK_MAC.0),
        mtu: Some(options.mtu.into()),
        arp: Some(false),
        ..LinkChange::default()
    };
    netlink.set(device, &change)?;
    netlink.add_address(device, ROUTER.into(), 32, true)?;
    netlink.set_up(device, true)?;
    Ok(tap.queues)
}

impl Uplink {
    /// What ends in this host, or must not be reached by the uplink for its sake.
    pub(crate) fn closed(&self) -> Result<Vec<Cidr>, NetlinkError> {
        let prefixes = self.state().netlink.local_prefixes()?;
        let mut closed: Vec<Cidr> = prefixes.into_iter().filter_map(|(address, len)| block(address, len)).collect();
        closed.sort_unstable();
        closed.dedup();
        Ok(closed)
    }

    pub(crate) fn warn_unless_forwarded(&self) {
        if !linux::doctor::forwards_ipv4() {
            let device = &self.device;
            tracing::warn!(
                device,
                "this host forwards nothing: sysctl -w net.ipv4.ip_forward=1 lets packets leave the cloud"
            );
        }
    }

    /// Keeps looking at what ends in this host.
    pub(crate) fn watch(self: &Arc<Self>, force: Arc<Force>) -> Result<(), UplinkError> {
        let (end, ended) = sync_channel(0);
        let uplink = self.clone();
        let work = move || uplink.look(&force, &ended);
        let thread = std::thread::Builder::new().name("uplink".into()).spawn(work).map_err(UplinkError::Thread)?;
        *lock(&self.end) = Some(end);
        *lock(&self.thread) = Some(thread);
        Ok(())
    }

    fn look(&self, force: &Force, ended: &Receiver<()>) {
        while matches!(ended.recv_timeout(LOOK), Err(RecvTimeoutError::Timeout)) {
            match self.closed() {
                Ok(closed) => force.close(Some(closed)),
                Err(error) => {
                    tracing::error!(error = %chain(&error), "what ends in this host cannot be found: nothing leaves");
                    force.close(None);
                }
            }
        }
    }

    pub(crate) fn stop(&self) {
        drop(lock(&self.end).take());
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the uplink ended in a panic");
        }
    }

    /// The host has routes for the public addresses that live here from here on, and for no others.
    pub(crate) fn follow(&self, intent: &Intent) {
        let wanted = living_here(intent, self.host);
        let mut state = self.state();
        let State { netlink, routes } = &mut *state;
        let gone: Vec<IpAddr> = routes.difference(&wanted).copied().collect();
        let new: Vec<IpAddr> = wanted.difference(routes).copied().collect();
        for address in gone {
            if let Err(error) = netlink.delete_route(&self.route(address)) {
                tracing::warn!(error = %chain(&error), "a public address that left has a route still");
            }
            routes.remove(&address);
        }
        for address in new {
            match netlink.add_route(&self.route(address)) {
                Ok(()) => drop(routes.insert(address)),
                Err(error) => {
                    tracing::error!(error = %chain(&error), "a public address cannot be reached from outside");
                }
            }
        }
    }

    fn route(&self, address: IpAddr) -> Route {
        let prefix_len = if address.is_ipv4() { 32 } else { 128 };
        Route { destination: (address, prefix_len), gateway: None, device: self.device.clone(), onlink: false }
    }

    pub(crate) fn status(&self, plane: &dataplane::Shared) -> UplinkStatus {
        let counters = plane.uplink_counters();
        let drops = policy::Denied::ALL.iter().zip(&counters.denied).filter(|(_, traffic)| traffic.packets > 0);
        UplinkStatus {
            host: self.host,
            device: self.device.clone(),
            forwards: (linux::doctor::forwards_ipv4(), linux::doctor::forwards_ipv6()),
            addresses: self.state().routes.iter().copied().collect(),
            sent: (counters.delivered.packets, counters.delivered.bytes),
            received: (counters.received.packets, counters.received.bytes),
            drops: drops.map(|(reason, traffic)| (reason.code.into(), reason.text.into(), traffic.packets)).collect(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn block(address: IpAddr, prefix_len: u8) -> Option<Cidr> {
    match address {
        IpAddr::V4(v4) => Ipv4Cidr::new(v4, prefix_len).map(Cidr::V4),
        IpAddr::V6(v6) => Ipv6Cidr::new(v6, prefix_len).map(Cidr::V6),
    }
}

/// The public addresses of interfaces on this host whose VPC has a way out.
fn living_here(intent: &Intent, here: HostId) -> BTreeSet<IpAddr> {
    let is_here = |host: Option<HostId>| host == Some(here);
    let held = intent
        .public
        .iter()
        .filter(|(_, place)| place.holder.as_ref().is_some_and(|holder| holder.has_gateway && is_here(holder.host)));
    let ipv6 = intent.public_ipv6.iter().filter(|(_, place)| is_here(place.host));
    held.map(|(address, _)| IpAddr::from(*address)).chain(ipv6.map(|(address, _)| IpAddr::from(*address))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{PublicHolder, PublicIpv6, PublicPlace, ResourceId};

    #[test]
    fn only_addresses_that_live_here_and_have_a_way_out_get_a_route() {
        let here: HostId = "host-1".parse().unwrap();
        let mut intent = Intent::default();
        let holder = |host: Option<&str>, has_gateway| PublicHolder {
            vpc: model::VpcId::from_random(1),
            interface: model::NetworkInterfaceId::from_random(1),
            private: [10, 0, 0, 1].into(),
            host: host.map(|host| host.parse().unwrap()),
            has_gateway,
        };
        for (n, holder) in [
            Some(holder(Some("host-1"), true)),
            Some(holder(Some("host-1"), false)),
            Some(holder(Some("host-2"), true)),
            Some(holder(None, true)),
            None,
        ]
        .into_iter()
        .enumerate()
        {
            let place = PublicPlace { region: "us-east-1".parse().unwrap(), holder };
            intent.public.insert([203, 0, 113, n as u8].into(), Arc::new(place));
        }
        for (n, host) in [Some("host-1"), Some("host-2"), None].into_iter().enumerate() {
            let place = PublicIpv6 {
                vpc: model::VpcId::from_random(1),
                interface: model::NetworkInterfaceId::from_random(1),
                host: host.map(|host| host.parse().unwrap()),
            };
            intent.public_ipv6.insert((0x2001_0db8_u128 << 96 | n as u128).into(), Arc::new(place));
        }
        let wanted = ["203.0.113.0", "2001:db8::"].map(|text| text.parse::<IpAddr>().unwrap());
        assert_eq!(living_here(&intent, here), BTreeSet::from(wanted));
        assert_eq!(block([9, 9, 8, 255].into(), 33), None);
    }
}
