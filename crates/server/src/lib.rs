//! The control plane, running: the shell around `control`.
//!
//! ```text
//!  client ─HTTP─▶ http ─▶ auth ─▶ api ──reads──▶ the region's current World
//!                                  └──writes──▶ region (one thread: handle, commit a batch, publish)
//!                                                   │ every new World
//!                         federation ◀──────────────┼──────────────▶ hosts ─stream─▶ agents of this process
//!                                                   │                  └─ door ─TLS─▶ agents elsewhere
//!                   (outbox to other regions)       ▼
//!                                                 store
//! ```
//!
//! All side effects live here: the clock, randomness, sockets, threads. What happens is decided in `control`.

mod accounts;
mod api;
mod audit;
mod auth;
pub mod authority;
pub mod backup;
mod events;
mod federation;
mod foreign;
mod hosts;
mod http;
mod key;
mod lines;
mod members;
pub mod meters;
mod names;
mod operator;
mod patience;
mod private_file;
mod reach;
mod records;
mod region;
mod rotation;
mod route53;
mod seats;
pub mod tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::{AccountId, HostId, Ipv4Cidr, NameSuffixes, Region, Time};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub use audit::AuditScope;
pub use control::{Quotas, Timing};
pub use http::{CONNECTIONS_MAX, CONNECTIONS_PER_SOURCE};
pub use meters::Observer;
pub use names::is_fixed_name;
pub use operator::OperatorKey;
pub use tls::ApiTls;

use audit::Audit;
use authority::ring::Ring;
use authority::{AuthorityError, TokenError, Tokens};
use events::Events;
use hosts::Hosts;
use meters::Meters;
use names::Names;
use region::RegionShell;
use tls::{Tls, TlsError};

/// What an operator chose.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where state is kept; `None`: in memory, gone at the end.
    pub data: Option<PathBuf>,
    /// The first one is home to accounts and keys.
    pub regions: Vec<Region>,
    /// Who carries instances.
    pub carriers: Carriers,
    /// Only real access keys; else a 12-digit access key is that account.
    pub strict_auth: bool,
    pub api: ApiOptions,
    /// The test-only action that moves the clock.
    pub allow_clock: bool,
    /// Refuses parameters that EC2 does not know, which are ignored otherwise.
    pub strict: bool,
    /// Every account has a default VPC in every region, from its first use on.
    pub default_vpc: bool,
    /// Things take as long as on AWS; `None`: no time at all.
    pub timing: Option<Timing>,
    pub quotas: Quotas,
    /// Of accounts that may have more, or less.
    pub account_quotas: BTreeMap<AccountId, Quotas>,
    /// Where public IPv4 addresses are taken from; each region has a share of each. Empty: the documentation ranges.
    pub public_pools: Vec<Ipv4Cidr>,
    /// What the cloud's own names end with; `None`: as it was chosen before, AWS's if it never was.
    pub name_suffixes: Option<Arc<NameSuffixes>>,
    /// How long an answer waits for hosts to have the change in force (architecture ch. 5).
    pub wait: Duration,
}

/// How the API's port is kept.
#[derive(Clone, Debug)]
pub struct ApiOptions {
    pub tls: ApiTls,
    /// By which names, beside addresses and `localhost`, it may be asked.
    pub names: Vec<String>,
    pub audit: AuditScope,
    /// Connections that one source address may hold at a time.
    pub connections_per_source: usize,
}

impl Default for ApiOptions {
    fn default() -> ApiOptions {
        ApiOptions {
            tls: ApiTls::default(),
            names: Vec::new(),
            audit: AuditScope::default(),
            connections_per_source: CONNECTIONS_PER_SOURCE,
        }
    }
}

/// The hosts that carry instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carriers {
    /// Hosts of this process; with none, instances are records only.
    Fixed(Vec<HostId>),
    /// Hosts that join by [`Server::listen_for_hosts`].
    Joined,
}

/// A control plane that runs until [`Server::stop`].
pub struct Server {
    pub address: SocketAddr,
    cloud: Arc<Cloud>,
    tasks: JoinSet<()>,
}

/// What all shells share.
pub(crate) struct Cloud {
    options: Options,
    regions: BTreeMap<Region, RegionShell>,
    hosts: Hosts,
    meters: Meters,
    trust: Arc<Trust>,
    names: Names,
    audit: Audit,
    events: Arc<Events>,
}

/// Who certifies hosts, and who may join.
pub(crate) struct Trust {
    ring: Ring,
    tokens: Tokens,
}

/// Why a server does not start. Each names what it needs.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot serve on the socket given")]
    Listen(#[source] std::io::Error),
    #[error(transparent)]
    Open(#[from] store::OpenError),
    #[error("the records of region {region} cannot be read")]
    Records { region: Region, source: store::record::RecordError },
    #[error("no region is given; name at least one with --regions")]
    NoRegion,
    #[error("real keys only needs a data directory, to keep the operator's key in")]
    NoPlaceForKey,
    #[error("cannot {what} the operator's key `{}`", path.display())]
    OperatorKey { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error(transparent)]
    Tokens(#[from] TokenError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("cannot write {what} in the data directory")]
    Lines { what: &'static str, source: std::io::Error },
    #[error("what was stored before cannot be brought in line in region {region}: {why}")]
    Settle { region: Region, why: String },
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

impl Server {
    /// Opens the state, and serves on the socket, which is bound and listens.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then.
    pub async fn start(listener: std::net::TcpListener, options: Options) -> Result<Server, StartError> {
        listener.set_nonblocking(true).map_err(StartError::Listen)?;
        let listener = TcpListener::from_std(listener).map_err(StartError::Listen)?;
        let address = listener.local_addr().map_err(StartError::Listen)?;
        let ApiOptions { tls, names, .. } = &options.api;
        let tls = Tls::open(tls, options.data.as_deref(), address, names, region::machine_time())?;
        let cloud = Arc::new(Cloud::open(options, address)?);
        for region in cloud.regions.keys() {
            region::settle(&cloud, *region).await.inspect_err(|_| cloud.close())?;
        }
        if cloud.options.strict_auth {
            operator::ensure(&cloud).await.inspect_err(|_| cloud.close())?;
        }
        let mut tasks = JoinSet::new();
        tasks.spawn(http::serve(listener, tls, cloud.clone()));
        tasks.spawn(federation::run(cloud.clone()));
        for region in cloud.regions.keys() {
            tasks.spawn(region::tick(cloud.clone(), *region));
        }
        Ok(Server { address, cloud, tasks })
    }

    /// Serves a host of this process over any connection until it ends.
    pub fn attach(
        &self,
        host: HostId,
        connection: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    ) -> tokio::task::JoinHandle<()> {
        let cloud = self.cloud.clone();
        tokio::spawn(async move { hosts::serve(&cloud, hosts::Known::Here(host), connection).await })
    }

    /// Serves hosts of other machines on the socket, which is bound and listens; where it does.
    ///
    /// # Errors
    /// The kernel's.
    pub fn listen_for_hosts(&mut self, listener: std::net::TcpListener) -> Result<SocketAddr, StartError> {
        listener.set_nonblocking(true).map_err(StartError::Listen)?;
        let listener = TcpListener::from_std(listener).map_err(StartError::Listen)?;
        let address = listener.local_addr().map_err(StartError::Listen)?;
        self.tasks.spawn(hosts::door::serve(listener, self.cloud.clone()));
        self.tasks.spawn(rotation::run(self.cloud.clone()));
        Ok(address)
    }

    /// What reads the server's counters.
    pub fn observer(&self) -> Observer {
        Observer(self.cloud.clone())
    }

    /// Stops taking requests, lets the writer finish, closes the state.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
        // A writer waits for its disk, which must not keep the runtime from anything else.
        let cloud = self.cloud.clone();
        if tokio::task::spawn_blocking(move || cloud.close()).await.is_err() {
            tracing::error!("closing the state ended in a panic");
        }
    }
}

impl Trust {
    fn open(data: Option<&Path>) -> Result<Trust, StartError> {
        let ring = Ring::open(data, region::machine_time())?;
        let tokens = Tokens::open(data)?;
        Ok(Trust { ring, tokens })
    }

    /// A join token of the authority that certifies now. Blocks on the disk.
    fn token(&self, host: Option<HostId>, ttl: model::Duration, now: Time) -> Result<stream::JoinToken, TokenError> {
        self.tokens.create(self.ring.now().signer.fingerprint(), host, ttl, now)
    }
}

impl Cloud {
    fn open(mut options: Options, address: SocketAddr) -> Result<Cloud, StartError> {
        let home = *options.regions.first().ok_or(StartError::NoRegion)?;
        let data = options.data.clone();
        let data = data.as_deref();
        let lines = |what| move |source| StartError::Lines { what, source };
        let events = Arc::new(Events::open(data).map_err(lines("events"))?);
        let audit = Audit::open(data, options.api.audit).map_err(lines("the audit log"))?;
        let mut regions = BTreeMap::new();
        for region in options.regions.clone() {
            let shell = RegionShell::open(region, &options, events.clone())?;
            // What was chosen before is known at home, which comes first.
            options.name_suffixes.get_or_insert_with(|| shell.config.names.clone());
            regions.insert(region, shell);
        }
        let trust = Arc::new(Trust::open(options.data.as_deref())?);
        tracing::info!(%home, regions = regions.len(), "state is open");
        let names = Names::new(address, options.strict_auth, &options.api.names);
        let (hosts, meters) = (Hosts::default(), Meters::default());
        Ok(Cloud { options, regions, hosts, meters, trust, names, audit, events })
    }

    /// Takes no more work, and waits until what was taken is done.
    fn close(&self) {
        self.regions.values().for_each(RegionShell::close);
        self.events.close();
        self.audit.close();
    }

    /// The region that owns accounts and keys.
    fn home(&self) -> &RegionShell {
        &self.regions[&self.options.regions[0]]
    }
}
