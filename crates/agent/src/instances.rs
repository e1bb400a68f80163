//! Makes the instances of this host what the intent says: sandboxes and their devices, one after the other.
//!
//! Reconciliation from the whole intent: start, change and restart take the same path. Every step ends in what is there, never
//! in what was meant, and what failed is tried again or reported.

mod take_over;

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dataplane::{Binding, DhcpSettings, PORTS_MAX, PortId};
use linux::sandbox::{Ending, Exec, Sandbox, Spec};
use model::intent::{Intent, VpcSlice};
use model::vpc::HostnameType;
use model::{Instance, InstanceId, InstanceState, NetworkInterface, NetworkInterfaceId};
use stream::{Condition, Report};

use crate::files::{self, InstanceFiles};
use crate::guest::{self, DeviceError, Plugged};
use crate::kept::{Ended, Kept, KeptDevice};
use crate::{Options, Shared, chain};

pub(crate) use take_over::take_over;

/// How often instances are looked at although nothing was said: one may have ended by itself, or lost a device.
const LOOK: Duration = Duration::from_millis(500);
/// How long programs have to end when an instance stops.
const GRACE: Duration = Duration::from_secs(2);

/// What is wanted and what is there.
#[derive(Default)]
pub(crate) struct Board {
    wanted: Mutex<Wanted>,
    changed: Condvar,
    running: Mutex<BTreeMap<InstanceId, Running>>,
    /// Starts that failed or ended by themselves, and how: told until the server asks for something else, never tried again.
    ended: Mutex<BTreeMap<InstanceId, (u32, Condition)>>,
}

#[derive(Default)]
struct Wanted {
    intent: Option<Arc<Intent>>,
    is_news: bool,
    is_stopping: bool,
    /// Instances go on when it stops.
    leaves: bool,
}

/// An instance that has a sandbox.
pub(crate) struct Running {
    pub(crate) sandbox: Sandbox,
    pub(crate) devices: Vec<Device>,
    starts: u32,
    is_started: bool,
}

/// A device that is plugged in.
#[derive(Clone)]
pub(crate) struct Device {
    pub(crate) port: PortId,
    pub(crate) interface: Arc<NetworkInterface>,
    device_index: u32,
}

/// Why an instance did not come up.
#[derive(Debug, thiserror::Error)]
enum LaunchError {
    #[error("its files cannot be made")]
    Files(#[source] std::io::Error),
    #[error(transparent)]
    Sandbox(#[from] linux::sandbox::SandboxError),
    #[error("interface {interface} has no device")]
    Device { interface: NetworkInterfaceId, source: DeviceError },
    #[error("interface {0} finds no free port; the host has {PORTS_MAX}")]
    Ports(NetworkInterfaceId),
    #[error("its first program cannot be started")]
    Start(#[source] std::io::Error),
}

impl Board {
    pub(crate) fn want(&self, intent: Arc<Intent>) {
        let mut wanted = lock(&self.wanted);
        wanted.intent = Some(intent);
        wanted.is_news = true;
        self.changed.notify_all();
    }

    /// `leaves`: the instances go on.
    pub(crate) fn stop(&self, leaves: bool) {
        let mut wanted = lock(&self.wanted);
        (wanted.is_stopping, wanted.leaves) = (true, leaves);
        self.changed.notify_all();
    }

    pub(crate) fn running(&self) -> MutexGuard<'_, BTreeMap<InstanceId, Running>> {
        lock(&self.running)
    }

    /// How this start came to its end, if it did.
    fn ending(&self, instance: &Instance) -> Option<Condition> {
        let ended = lock(&self.ended);
        ended.get(&instance.id).filter(|(starts, _)| *starts == instance.starts).map(|(_, how)| how.clone())
    }

    /// Waits for news, or for the time to look; `None`: to stop.
    fn next(&self) -> Option<Option<Arc<Intent>>> {
        let wanted = lock(&self.wanted);
        let waits = |wanted: &mut Wanted| !wanted.is_news && !wanted.is_stopping;
        let (mut wanted, _) =
            self.changed.wait_timeout_while(wanted, LOOK, waits).unwrap_or_else(PoisonError::into_inner);
        wanted.is_news = false;
        (!wanted.is_stopping).then(|| wanted.intent.clone())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Follows the board until it stops, then ends every instance that is not to outlive the agent.
pub(crate) fn run(shared: &Arc<Shared>) {
    while let Some(intent) = shared.instances.next() {
        forget_lost_devices(shared);
        if let Some(intent) = intent {
            reconcile(shared, &intent);
        }
    }
    if lock(&shared.instances.wanted).leaves {
        return;
    }
    let ids: Vec<InstanceId> = shared.instances.running().keys().copied().collect();
    for id in ids {
        end(shared, id, Duration::ZERO);
    }
}

fn reconcile(shared: &Shared, intent: &Intent) {
    // First, because what one instance gives up may be another one's now.
    for instance in intent.instances.values() {
        drop_devices(shared, intent, instance.id);
    }
    for instance in intent.instances.values() {
        match instance.state {
            InstanceState::Pending | InstanceState::Running => {
                let condition = keep(shared, intent, instance);
                condition.into_iter().for_each(|condition| report(shared, instance, condition));
            }
            InstanceState::Stopping | InstanceState::Stopped => {
                end(shared, instance.id, GRACE);
                if instance.state == InstanceState::Stopping {
                    report(shared, instance, Condition::Stopped);
                }
            }
            InstanceState::ShuttingDown | InstanceState::Terminated => {
                end(shared, instance.id, GRACE);
                if remove_files(shared, instance.id) {
                    report(shared, instance, Condition::Terminated);
                }
            }
        }
    }
    let is_wanted = |id: &InstanceId| intent.instances.get(id).is_some_and(|instance| instance.state.is_wanted());
    lock(&shared.instances.ended).retain(|id, _| {
        let stays = is_wanted(id);
        if !stays {
            files::of_instance(&shared.options, *id).forget_end();
        }
        stays
    });
    let running: Vec<InstanceId> = shared.instances.running().keys().copied().collect();
    for id in running.into_iter().filter(|id| !intent.instances.contains_key(id)) {
        end(shared, id, GRACE);
    }
    for id in files::stored(&shared.options).into_iter().filter(|id| !intent.instances.contains_key(id)) {
        remove_files(shared, id);
    }
}

/// An instance that is to run does, in its latest start, with its devices; what there is to tell of it.
fn keep(shared: &Shared, intent: &Intent, instance: &Instance) -> Option<Condition> {
    if let Some(condition) = shared.instances.ending(instance) {
        return Some(condition);
    }
    let running = |running: &Running| {
        let ending = running.sandbox.ending().unwrap_or_else(|error| Some(Ending::Broken(chain(&error))));
        (running.starts, ending)
    };
    let there = shared.instances.running().get(&instance.id).map(running);
    match there {
        Some((starts, None)) if starts == instance.starts => {
            update_devices(shared, intent, instance.id);
            return (instance.state == InstanceState::Pending).then_some(Condition::Running);
        }
        Some((starts, Some(ending))) if starts == instance.starts => {
            return Some(clear_away(shared, instance, condition(ending)));
        }
        Some(_) => end(shared, instance.id, GRACE),
        None => {}
    }
    Some(match launch(shared, intent, instance) {
        Ok(()) => Condition::Running,
        Err(error) => {
            tracing::warn!(id = %instance.id, error = %chain(&error), "an instance did not come up");
            clear_away(shared, instance, Condition::Failed(chain(&error)))
        }
    })
}

/// Clears away what is there of this start, and remembers how it ended.
fn clear_away(shared: &Shared, instance: &Instance, how: Condition) -> Condition {
    end(shared, instance.id, Duration::ZERO);
    remember_end(shared, instance.id, Ended { starts: instance.starts, how: how.clone() });
    how
}

fn remember_end(shared: &Shared, id: InstanceId, ended: Ended) {
    if let Err(error) = files::of_instance(&shared.options, id).remember_end(&ended) {
        tracing::warn!(%id, error = %chain(&error), "how an instance ended is not written down");
    }
    lock(&shared.instances.ended).insert(id, (ended.starts, ended.how));
}

fn condition(ending: Ending) -> Condition {
    match ending {
        Ending::ShutDown => Condition::Ended,
        Ending::Broken(why) => Condition::Failed(why),
    }
}

/// Writes down what the next agent finds the instance by.
fn remember(shared: &Shared, id: InstanceId) -> std::io::Result<()> {
    let kept = {
        let running = shared.instances.running();
        let Some(Running { sandbox, devices, starts, is_started }) = running.get(&id) else { return Ok(()) };
        let device =
            |device: &Device| KeptDevice { device_index: device.device_index, interface: (*device.interface).clone() };
        Kept {
            record: sandbox.record().clone(),
            starts: *starts,
            is_started: *is_started,
            devices: devices.iter().map(device).collect(),
        }
    };
    files::of_instance(&shared.options, id).remember(&kept)
}

/// The same where nothing can be done about it: what is not written down is made anew by the next agent.
fn try_to_remember(shared: &Shared, id: InstanceId) {
    if let Err(error) = remember(shared, id) {
        tracing::warn!(%id, error = %chain(&error), "what an instance has is not written down");
    }
}

fn report(shared: &Shared, instance: &Instance, condition: Condition) {
    shared.link.report(Report { instance: instance.id, starts: instance.starts, condition });
}

fn launch(shared: &Shared, intent: &Intent, instance: &Instance) -> Result<(), LaunchError> {
    let files = files::of_instance(&shared.options, instance.id);
    files.make().map_err(LaunchError::Files)?;
    let sandbox = Sandbox::create(&spec(&shared.options, &files, intent, instance)?)?;
    let running = Running { sandbox, devices: Vec::new(), starts: instance.starts, is_started: false };
    shared.instances.running().insert(instance.id, running);
    remember(shared, instance.id).map_err(LaunchError::Files)?;
    for (device_index, interface) in wanted_interfaces(intent, instance.id) {
        plug(shared, intent, instance.id, device_index, &interface)?;
    }
    settle_sources(shared, intent, instance.id);
    let start = |running: &mut Running| running.sandbox.start().map(|()| running.is_started = true);
    shared.instances.running().get_mut(&instance.id).map_or(Ok(()), start).map_err(LaunchError::Start)?;
    remember(shared, instance.id).map_err(LaunchError::Files)?;
    tracing::info!(id = %instance.id, "instance runs");
    Ok(())
}

fn spec(options: &Options, files: &InstanceFiles, intent: &Intent, instance: &Instance) -> Result<Spec, LaunchError> {
    let slice = intent.vpcs.get(&instance.vpc);
    let primary = wanted_interfaces(intent, instance.id).remove(&0);
    let address = primary.as_ref().map(|interface| interface.primary_ip());
    let hostname = match (instance.private_dns.hostname_type, address) {
        (HostnameType::IpName, Some(address)) => format!("ip-{}", address.to_string().replace('.', "-")),
        _ => instance.id.to_string(),
    };
    // As a DHCP client would have it: the set in force at the start; a client inside hears of a later one when it renews its lease.
    let settings = slice.map(|slice| DhcpSettings::of(slice)).unwrap_or_default();
    let domain = settings.search_domains().into_iter().next();
    let full_name = domain.map_or_else(|| hostname.clone(), |domain| format!("{hostname}.{domain} {hostname}"));
    let hosts = address.map(|address| format!("{address} {full_name}\n")).unwrap_or_default();
    let has_ipv6 = primary.as_ref().is_some_and(|interface| !interface.ipv6_addresses.is_empty());
    Ok(Spec {
        id: instance.id.to_string(),
        hostname,
        root_dir: files.root(),
        resolv_conf: settings.resolv_conf(has_ipv6),
        hosts: format!("127.0.0.1 localhost\n::1 localhost ip6-localhost\n{hosts}"),
        user_data: instance.user_data.clone(),
        uid_base: files.uid_base(options).map_err(LaunchError::Files)?,
        limits: options.limits,
        console_log: files.console(),
        ending: files.ending(),
        cgroup_prefix: options.prefix.clone(),
        helper: None,
    })
}

/// The interfaces attached to an instance, by device index.
fn wanted_interfaces(intent: &Intent, id: InstanceId) -> BTreeMap<u32, Arc<NetworkInterface>> {
    let endpoints = intent.vpcs.values().flat_map(|slice| &slice.endpoints);
    let attached = endpoints.filter_map(|endpoint| {
        let attachment = endpoint.interface.attachment.as_ref().filter(|attachment| attachment.instance == id)?;
        Some((attachment.device_index, endpoint.interface.clone()))
    });
    attached.collect()
}

/// Takes away what is there and not attached any more.
fn drop_devices(shared: &Shared, intent: &Intent, id: InstanceId) {
    let there: Vec<Device> =
        shared.instances.running().get(&id).map(|running| running.devices.clone()).unwrap_or_default();
    if there.is_empty() {
        return;
    }
    let wanted = wanted_interfaces(intent, id);
    let is_wanted =
        |device: &Device| wanted.get(&device.device_index).is_some_and(|interface| interface.id == device.interface.id);
    let (_, lost): (Vec<&Device>, Vec<&Device>) = there.iter().partition(|device| is_wanted(device));
    for device in &lost {
        unplug(shared, id, device);
        tracing::info!(%id, interface = %device.interface.id, "an interface was detached");
    }
    if !lost.is_empty() {
        settle_sources(shared, intent, id);
    }
}

/// Plugs in what is attached and not there, gives the rest its addresses.
fn update_devices(shared: &Shared, intent: &Intent, id: InstanceId) {
    let there: Vec<Device> =
        shared.instances.running().get(&id).map(|running| running.devices.clone()).unwrap_or_default();
    for (device_index, interface) in wanted_interfaces(intent, id) {
        let known =
            there.iter().find(|device| device.interface.id == interface.id && device.device_index == device_index);
        let result = match known {
            None => plug(shared, intent, id, device_index, &interface),
            Some(device)
                if device.interface.private_ips != interface.private_ips
                    || device.interface.ipv6_addresses != interface.ipv6_addresses =>
            {
                readdress(shared, intent, id, device_index, &interface)
            }
            Some(_) => continue,
        };
        match result {
            Ok(()) => settle_sources(shared, intent, id),
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(%id, interface = %interface.id, %error, "a device is not as it should be");
            }
        }
    }
}

/// Each source leaves by its own device. Without it packets of all but the first interface may take the wrong one, and are dropped.
fn settle_sources(shared: &Shared, intent: &Intent, id: InstanceId) {
    let Ok(Some(netns)) = netns_of(shared, id) else { return };
    let devices: Vec<Device> =
        shared.instances.running().get(&id).map(|running| running.devices.clone()).unwrap_or_default();
    let subnet_of = |interface: &NetworkInterface| {
        let slice = intent.vpcs.get(&interface.vpc)?;
        slice.subnets.iter().find(|subnet| subnet.id == interface.subnet)
    };
    let plugged: Vec<Plugged<'_>> = devices
        .iter()
        .filter_map(|Device { device_index, interface, .. }| {
            Some(Plugged { device_index: *device_index, interface, subnet: subnet_of(interface)? })
        })
        .collect();
    if let Err(error) = guest::settle(std::os::fd::AsFd::as_fd(&netns), &plugged) {
        tracing::warn!(%id, error = %chain(&error), "packets may leave by the wrong device");
    }
}

/// Makes a device: its port is known before it is up, so that nothing passes unjudged.
fn plug(
    shared: &Shared,
    intent: &Intent,
    id: InstanceId,
    device_index: u32,
    interface: &Arc<NetworkInterface>,
) -> Result<(), LaunchError> {
    let failed = |source| LaunchError::Device { interface: interface.id, source };
    let slice = intent.vpcs.get(&interface.vpc).ok_or_else(|| failed(DeviceError::Subnet))?;
    let port = free_port(shared).ok_or(LaunchError::Ports(interface.id))?;
    let Some(netns) = netns_of(shared, id).map_err(|error| failed(DeviceError::Namespace(error)))? else {
        return Ok(());
    };
    let netns = std::os::fd::AsFd::as_fd(&netns);
    let Options { queues, mtu, underlay, .. } = &shared.options;
    let super_frame_max = underlay.as_ref().map(|underlay| dataplane::super_frame_max(underlay.tunnel_mtu()));
    let made = guest::make(netns, interface, device_index, *queues, *mtu, super_frame_max).map_err(failed)?;
    let binding = Binding { port, interface: interface.id, mtu: *mtu, takes_uso: made.takes_uso };
    // A new device is a new guest's: what an earlier run tracked for it has ended.
    shared.force.plane.flush(interface.id);
    shared.force.bind(|bindings| bindings.push(binding));
    shared.engine.plug(port, made.queues);
    let device = Device { port, interface: interface.clone(), device_index };
    if let Some(running) = shared.instances.running().get_mut(&id) {
        running.devices.push(device);
    }
    guest::bring_up(netns, slice, interface, device_index).map_err(failed)?;
    try_to_remember(shared, id);
    Ok(())
}

fn readdress(
    shared: &Shared,
    intent: &Intent,
    id: InstanceId,
    device_index: u32,
    interface: &Arc<NetworkInterface>,
) -> Result<(), LaunchError> {
    let failed = |source| LaunchError::Device { interface: interface.id, source };
    let slice: &VpcSlice = intent.vpcs.get(&interface.vpc).ok_or_else(|| failed(DeviceError::Subnet))?;
    let Some(netns) = netns_of(shared, id).map_err(|error| failed(DeviceError::Namespace(error)))? else {
        return Ok(());
    };
    guest::readdress(std::os::fd::AsFd::as_fd(&netns), slice, interface, device_index).map_err(failed)?;
    let mut running = shared.instances.running();
    let devices = running.get_mut(&id).map(|running| &mut running.devices).into_iter().flatten();
    for device in devices.filter(|device| device.interface.id == interface.id) {
        device.interface = interface.clone();
    }
    drop(running);
    try_to_remember(shared, id);
    Ok(())
}

fn netns_of(shared: &Shared, id: InstanceId) -> std::io::Result<Option<std::os::fd::OwnedFd>> {
    shared.instances.running().get(&id).map(|running| running.sandbox.netns().try_clone_to_owned()).transpose()
}

fn free_port(shared: &Shared) -> Option<PortId> {
    let taken: Vec<PortId> = shared.force.bindings().iter().map(|binding| binding.port).collect();
    (0..u32::try_from(PORTS_MAX).unwrap_or(u32::MAX)).filter_map(PortId::new).find(|port| !taken.contains(port))
}

/// Takes a device away: nothing reaches it any more, then it is gone.
fn unplug(shared: &Shared, id: InstanceId, device: &Device) {
    shared.force.bind(|bindings| bindings.retain(|binding| binding.port != device.port));
    shared.engine.unplug(device.port);
    if let Some(running) = shared.instances.running().get_mut(&id) {
        running.devices.retain(|other| other.port != device.port);
    }
    // Of an instance that has ended it went with the namespace.
    if let Ok(Some(netns)) = netns_of(shared, id) {
        if let Err(error) = guest::remove(std::os::fd::AsFd::as_fd(&netns), &device.interface, device.device_index) {
            tracing::warn!(%id, interface = %device.interface.id, error = %chain(&error), "a device is not removed");
        }
        try_to_remember(shared, id);
    }
}

/// Devices that a guest deleted are made again at the next look.
fn forget_lost_devices(shared: &Shared) {
    for port in shared.engine.take_gone() {
        let found = shared.instances.running().iter().find_map(|(id, running)| {
            running.devices.iter().find(|device| device.port == port).map(|device| (*id, device.clone()))
        });
        if let Some((id, device)) = found {
            tracing::info!(%id, interface = %device.interface.id, "a guest deleted its device; it is made again");
            unplug(shared, id, &device);
        }
    }
}

/// Ends an instance if it runs; its files stay.
fn end(shared: &Shared, id: InstanceId, grace: Duration) {
    let devices = shared.instances.running().get(&id).map(|running| running.devices.clone()).unwrap_or_default();
    let Some(running) = shared.instances.running().remove(&id) else { return };
    let result = if grace.is_zero() { running.sandbox.kill() } else { running.sandbox.stop(grace) };
    if let Err(error) = result {
        tracing::warn!(%id, %error, "an instance did not end cleanly");
    }
    for device in &devices {
        unplug(shared, id, device);
    }
    files::of_instance(&shared.options, id).forget();
    tracing::info!(%id, "instance ended");
}

fn remove_files(shared: &Shared, id: InstanceId) -> bool {
    files::of_instance(&shared.options, id).remove().is_ok()
}

/// Starts a command inside an instance; its caller is told by `ending` how it ended.
pub(crate) fn exec(
    shared: &Shared,
    id: InstanceId,
    exec: &Exec,
    stdio: [std::os::fd::OwnedFd; 3],
    ending: std::os::fd::OwnedFd,
) -> std::io::Result<std::process::Child> {
    let running = shared.instances.running();
    let instance = running.get(&id).ok_or_else(|| {
        std::io::Error::new(
            std::io::ErrorKind::NotFound,
            format!("instance {id} does not run on this host; start it with aws ec2 start-instances"),
        )
    })?;
    instance.sandbox.exec_apart(exec, stdio, ending)
}
