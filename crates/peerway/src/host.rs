//! What `up` and `demo` share: a control plane and agents in this process, on a data directory of their own.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use linux::underlay::{HostPlace, Underlay};
use model::{HostId, Ipv4Cidr, NameSuffixes, Region};
use server::Carriers;

use crate::cli::{HostsOptions, Offload};
use crate::metrics;
use crate::quotas::Limits;

/// What is decided before anything runs.
#[derive(Clone, Debug)]
pub struct Plan {
    pub data: PathBuf,
    pub listen: SocketAddr,
    pub regions: Vec<Region>,
    pub packets: bool,
    pub strict_auth: bool,
    pub api: server::ApiOptions,
    pub allow_clock: bool,
    pub strict: bool,
    pub default_vpc: bool,
    pub timing: Option<server::Timing>,
    pub quotas: Limits,
    pub public_pools: Vec<Ipv4Cidr>,
    /// `None`: as they were chosen before.
    pub name_suffixes: Option<Arc<NameSuffixes>>,
    pub wait: Duration,
    pub queues: usize,
    pub allow_esp_keys: bool,
    pub dns_upstream: Option<SocketAddr>,
    /// Of the only host.
    pub uplink: Option<String>,
    pub hosts: HostsOptions,
    /// `None`: where metrics are by default, if that is free.
    pub metrics: Option<metrics::Place>,
}

/// A plan that has its port, its directory and its rights; made while the process has one thread.
pub struct Prepared {
    plan: Plan,
    listener: TcpListener,
    metrics: Option<TcpListener>,
    /// Held for as long as the process lives.
    _lock: fs::File,
}

/// A cloud that runs in this process.
pub struct Running {
    pub address: SocketAddr,
    pub data: PathBuf,
    pub metrics: Option<metrics::Endpoint>,
    server: server::Server,
    agents: Vec<agent::Agent>,
    /// What joins more than two simulated hosts.
    _switch: Option<OwnedFd>,
}

/// The name of this machine in the cloud, if it is the only host.
const HOST: &str = "local";
/// Where the only host keeps its files, and where each of several does.
pub const HOST_DIR: &str = "host";
pub const HOSTS_DIR: &str = "hosts";
/// The network between simulated hosts: set aside for benchmarks (RFC 2544), and isolated here.
const UNDERLAY: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
const UNDERLAY_PREFIX_LEN: u8 = 24;
/// As of a network card that neither cuts nor is cut for; what arrives is still merged, as every kernel does.
const WITHOUT_OFFLOAD: &[(&str, bool)] =
    &[("tx-udp-segmentation", false), ("tx-tcp-segmentation", false), ("rx-gro", true)];
/// How long a killed run's lock may outlive it: a program that it was about to start has it until it is started.
const LOCK_WAIT: Duration = Duration::from_secs(1);
/// Descriptors: a queue of a device is one, a connection is one.
pub const OPEN_FILES: u64 = 1 << 16;
/// Threads that carry packets, unless told otherwise.
const QUEUES_MAX: usize = 4;

/// The user's state directory (XDG Base Directory Specification).
pub fn default_data() -> anyhow::Result<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let home =
        std::env::var_os("HOME").filter(|dir| !dir.is_empty()).map(|home| PathBuf::from(home).join(".local/state"));
    let state = state.or(home).context("neither XDG_STATE_HOME nor HOME is set; name a directory with --data")?;
    Ok(state.join("peerway"))
}

/// One thread per processor, and no more than use it.
pub fn default_queues() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get().min(QUEUES_MAX))
}

impl Plan {
    /// Takes the port and the directory, and the rights that packets need. Must be called while the process has one thread.
    ///
    /// # Errors
    /// What is taken, by name and with the flag to use; what the machine does not allow.
    pub fn prepare(mut self) -> anyhow::Result<Prepared> {
        self.data =
            std::path::absolute(&self.data).with_context(|| format!("cannot tell where {} is", self.data.display()))?;
        let listener = TcpListener::bind(self.listen).with_context(|| {
            format!(
                "cannot listen on {}; another program may have it: choose another address with --listen",
                self.listen
            )
        })?;
        let metrics = metrics::bind(self.metrics, metrics::PORT)?;
        let lock = take_directory(&self.data)?;
        if self.packets {
            acquire_rights()?;
            linux::limits::raise_open_files(OPEN_FILES).context("cannot raise the limit of open files")?;
        }
        Ok(Prepared { plan: self, listener, metrics, _lock: lock })
    }
}

/// Makes the directory and locks it.
pub fn take_directory(data: &Path) -> anyhow::Result<fs::File> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(data);
    made.with_context(|| format!("cannot make {}; name another directory with --data", data.display()))?;
    let path = data.join("lock");
    let file = fs::File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("cannot open {}; name another directory with --data", path.display()))?;
    let deadline = Instant::now() + LOCK_WAIT;
    let mut locked = file.try_lock();
    while matches!(locked, Err(fs::TryLockError::WouldBlock)) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
        locked = file.try_lock();
    }
    match locked {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            bail!(
                "{} is in use by another peerway; stop that one, or name another directory with --data",
                data.display()
            )
        }
        Err(fs::TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// Root has them; a user takes them in a user namespace of his own, where the machine lets him.
pub fn acquire_rights() -> anyhow::Result<()> {
    linux::doctor::open_tun().context(
        "packets need /dev/net/tun, which this user cannot open; ask for read and write access to it (chmod 0666 /dev/net/tun), \
         run as root, or start with --no-packets. `peerway doctor` says more",
    )?;
    if linux::namespace::is_root() {
        return Ok(());
    }
    linux::namespace::enter_user_namespace()
        .context("packets need a user namespace; run as root, or start with --no-packets. `peerway doctor` says more")
}

impl Prepared {
    /// Starts control plane and agent.
    ///
    /// # Errors
    /// What does not start, by name; nothing is left running then.
    pub async fn start(self) -> anyhow::Result<Running> {
        let Prepared { plan, listener, metrics, _lock: lock } = self;
        // The lock lives as long as the process: no other may take the directory before all is ended.
        std::mem::forget(lock);
        let (places, switch) = if plan.packets { plan.places()? } else { (Vec::new(), None) };
        let options = server::Options {
            data: Some(plan.data.clone()),
            regions: plan.regions.clone(),
            carriers: Carriers::Fixed(places.iter().map(|place| place.host).collect()),
            strict_auth: plan.strict_auth,
            api: plan.api.clone(),
            allow_clock: plan.allow_clock,
            strict: plan.strict,
            default_vpc: plan.default_vpc,
            timing: plan.timing,
            quotas: plan.quotas.all,
            account_quotas: plan.quotas.accounts.clone(),
            public_pools: plan.public_pools.clone(),
            name_suffixes: plan.name_suffixes.clone(),
            wait: plan.wait,
        };
        let server = server::Server::start(listener, options).await?;
        let address = server.address;
        let mut agents = Vec::with_capacity(places.len());
        for place in places {
            agents.push(start_agent(&plan, place, &server)?);
        }
        let observers = agents.iter().map(agent::Agent::observer).collect();
        let sources = metrics::Sources { server: Some(server.observer()), agents: observers };
        let metrics = metrics.map(|listener| metrics::Endpoint::serve(listener, sources)).transpose()?;
        Ok(Running { address, data: plan.data, metrics, server, agents, _switch: switch })
    }
}

/// A host to be.
struct Place {
    host: HostId,
    data: PathBuf,
    /// `None`: it is the only one.
    underlay: Option<agent::Underlay>,
}

impl Plan {
    /// The hosts of this cloud; several are joined by a network of their own, which ends with them and with what is returned beside them.
    fn places(&self) -> anyhow::Result<(Vec<Place>, Option<OwnedFd>)> {
        if self.hosts.hosts == 1 {
            let host = HOST.parse().context("the host's name")?;
            return Ok((vec![Place { host, data: self.data.join(HOST_DIR), underlay: None }], None));
        }
        if self.uplink.is_some() {
            bail!("simulated hosts have no way out: --uplink goes with one host, that is without --hosts");
        }
        let mtu = self.hosts.underlay_mtu;
        let address = |n: u16| IpAddr::from(Ipv4Addr::from_bits(UNDERLAY.to_bits() + u32::from(n)));
        let hosts: Vec<_> = (1..=self.hosts.hosts).map(|n| vec![(address(n), UNDERLAY_PREFIX_LEN)]).collect();
        let underlay = Underlay::create(&hosts, mtu.into()).context("cannot join the simulated hosts")?;
        if self.hosts.underlay_offload == Offload::Off {
            underlay.set_features(WITHOUT_OFFLOAD).context("cannot switch off the underlay's offloads")?;
        }
        let place = |(place, n): (HostPlace, u16)| {
            let name = format!("host-{n}");
            let host = name.parse().context("the host's name")?;
            let netns = Some(Arc::new(place.netns));
            let underlay = agent::Underlay { netns, address: address(n), mtu };
            Ok(Place { host, data: self.data.join(HOSTS_DIR).join(name), underlay: Some(underlay) })
        };
        let places = underlay.hosts.into_iter().zip(1..).map(place).collect::<anyhow::Result<_>>()?;
        Ok((places, underlay.switch))
    }
}

fn start_agent(plan: &Plan, place: Place, server: &server::Server) -> anyhow::Result<agent::Agent> {
    let (ours, theirs) = UnixStream::pair().context("cannot join control plane and agent")?;
    theirs.set_nonblocking(true)?;
    let theirs = tokio::net::UnixStream::from_std(theirs)?;
    let options = agent::Options {
        host: place.host,
        mtu: place.underlay.as_ref().map_or(agent::MTU, agent::Underlay::guest_mtu),
        prefix: prefix(&plan.data),
        data: place.data,
        queues: plan.queues,
        limits: linux::sandbox::Limits::default(),
        underlay: place.underlay,
        allow_esp_keys: plan.allow_esp_keys,
        dns_upstream: plan.dns_upstream,
        uplink: plan.uplink.clone(),
        lifetime: agent::Lifetime::EndWithAgent,
    };
    let host = options.host;
    let agent = agent::Agent::start(options, agent::Upstream::Here(ours))?;
    // It ends with its connection, when the agent stops.
    drop(server.attach(host, theirs));
    Ok(agent)
}

/// Begins the names of what this cloud makes: the same at each start on this directory, another one for another directory.
pub fn prefix(data: &Path) -> String {
    let path = fs::canonicalize(data).unwrap_or_else(|_| data.to_owned());
    let hash = path
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("peerway-{:08x}", hash >> 32)
}

/// Where the agents of a data directory keep their sockets: of the only host, or of each of several.
pub fn agent_dirs(data: Option<&Path>) -> anyhow::Result<Vec<PathBuf>> {
    let data = data.map_or_else(default_data, |data| Ok(data.to_owned()))?;
    let only = data.join(HOST_DIR);
    if only.join(agent::SOCKET_NAME).exists() {
        return Ok(vec![only]);
    }
    let entries = fs::read_dir(data.join(HOSTS_DIR)).into_iter().flatten().flatten();
    let mut several: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    several.retain(|dir| dir.join(agent::SOCKET_NAME).exists());
    several.sort();
    Ok(if several.is_empty() { vec![only] } else { several })
}

/// What to say when no agent answers.
pub fn explain_no_agent(error: io::Error, dir: &Path) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => anyhow::anyhow!(
            "no peerway runs on {}; start it with `peerway up`, or name its directory with --data",
            dir.parent().unwrap_or(dir).display()
        ),
        _ => anyhow::Error::new(error).context("the agent did not answer"),
    }
}

impl Running {
    /// Ends instances, agent and control plane; state stays.
    pub async fn stop(self) {
        self.metrics.into_iter().for_each(metrics::Endpoint::stop);
        // They wait for threads, which must not keep the runtime from serving the agents' last words.
        let agents = self.agents;
        let ended = tokio::task::spawn_blocking(move || {
            std::thread::scope(|scope| {
                for agent in agents {
                    scope.spawn(|| agent.stop());
                }
            });
        })
        .await;
        if ended.is_err() {
            tracing::error!("an agent's end ended in a panic");
        }
        self.server.stop().await;
    }
}
