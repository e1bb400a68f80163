//! What has the control plane done, how often and how long? Counters that requests, writers and hosts move, and a reading of them.
//!
//! Bounds: an action that is not in the tables of [`ec2`] counts as [`OTHER`], an error code beyond [`CODES_MAX`] different ones too, so
//! that no client chooses how many there are.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ec2::service::{IamRequest, PeerwayRequest, Service, StsRequest};
use ec2::signature::AuthError;
use model::{HostId, Region};

use crate::Cloud;
use crate::names::Outsider;

/// Different error codes at most.
const CODES_MAX: usize = 256;
/// What is not counted by its name.
pub(crate) const OTHER: &str = "other";

/// The upper ends of a histogram's buckets, in microseconds.
pub const BUCKETS_MICROS: [u64; 14] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000,
];

/// How long things took.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// The last one is for what is longer than all.
    buckets: [AtomicU64; BUCKETS_MICROS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    pub(crate) fn observe(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let at = BUCKETS_MICROS.partition_point(|end| *end < micros);
        self.buckets[at].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    fn read(&self) -> HistogramReading {
        let buckets = self.buckets.each_ref().map(|bucket| bucket.load(Ordering::Relaxed));
        HistogramReading { buckets, micros: self.micros.load(Ordering::Relaxed) }
    }
}

/// How long things took, up to now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistogramReading {
    /// By [`BUCKETS_MICROS`], not added up; the last one is for what took longer than all.
    pub buckets: [u64; BUCKETS_MICROS.len() + 1],
    /// All of it together, in microseconds.
    pub micros: u64,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ended {
    Ok,
    /// By the client's fault: 4xx.
    Refused,
    /// By ours: 5xx.
    Failed,
}

impl Ended {
    pub const ALL: [Ended; 3] = [Ended::Ok, Ended::Refused, Ended::Failed];

    pub fn name(self) -> &'static str {
        match self {
            Ended::Ok => "ok",
            Ended::Refused => "refused",
            Ended::Failed => "failed",
        }
    }

    fn of(error: Option<&ec2::Error>) -> Ended {
        match error {
            None => Ended::Ok,
            Some(error) if error.status < 500 => Ended::Refused,
            Some(_) => Ended::Failed,
        }
    }
}

/// One action's requests.
#[derive(Debug, Default)]
struct Requests {
    ended: [AtomicU64; 3],
    took: Histogram,
}

/// What the whole server counts; regions have [`Commits`] of their own.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    requests: Mutex<BTreeMap<(&'static str, &'static str), Arc<Requests>>>,
    errors: Mutex<BTreeMap<String, u64>>,
    convergence: Histogram,
    convergence_timeouts: AtomicU64,
    /// By [`AuthError::CAUSES`].
    unauthentic: [AtomicU64; AuthError::CAUSES.len()],
    /// By [`Outsider::CAUSES`].
    turned_away: [AtomicU64; Outsider::CAUSES.len()],
}

impl Meters {
    /// A request that nobody proved to have made.
    pub(crate) fn unauthentic(&self, error: &AuthError) {
        self.unauthentic[error.cause()].fetch_add(1, Ordering::Relaxed);
    }

    /// A request that was not looked at.
    pub(crate) fn turned_away(&self, why: Outsider) {
        self.turned_away[why.cause()].fetch_add(1, Ordering::Relaxed);
    }

    fn refusals(&self) -> Vec<(&'static str, u64)> {
        let counts = self.unauthentic.iter().chain(&self.turned_away).map(|count| count.load(Ordering::Relaxed));
        AuthError::CAUSES.into_iter().chain(Outsider::CAUSES).zip(counts).collect()
    }

    /// A request that was answered.
    pub(crate) fn request(&self, service: Service, action: &str, error: Option<&ec2::Error>, took: Duration) {
        let requests = lock(&self.requests).entry((service.name(), known(service, action))).or_default().clone();
        requests.ended[Ended::of(error) as usize].fetch_add(1, Ordering::Relaxed);
        requests.took.observe(took);
        if let Some(error) = error {
            let mut errors = lock(&self.errors);
            let has_room = errors.len() < CODES_MAX || errors.contains_key(&*error.code);
            *errors.entry(if has_room { error.code.to_string() } else { OTHER.into() }).or_default() += 1;
        }
    }

    /// Hosts were waited for after a write, and have it in force, or the time was over.
    pub(crate) fn converged(&self, is_in_force: bool, took: Duration) {
        self.convergence.observe(took);
        if !is_in_force {
            self.convergence_timeouts.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The name of an action as the tables have it.
fn known(service: Service, action: &str) -> &'static str {
    let names = match service {
        Service::Ec2 => ec2::action::NAMES,
        Service::Sts => StsRequest::NAMES,
        Service::Peerway => PeerwayRequest::NAMES,
        Service::Route53 => ec2::route53::Request::NAMES,
        Service::Iam => IamRequest::NAMES,
        Service::Ssm => control::foreign::SSM,
        Service::Logs => control::foreign::LOGS,
    };
    names.iter().find(|name| **name == action).copied().unwrap_or(OTHER)
}

/// What one region's writer counts.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    took: Histogram,
    transactions: AtomicU64,
    refused: AtomicU64,
}

impl Commits {
    /// One batch was given to the store: how many transactions, and how many of them it did not take.
    pub(crate) fn batch(&self, transactions: usize, refused: usize, took: Duration) {
        self.took.observe(took);
        self.transactions.fetch_add(transactions as u64, Ordering::Relaxed);
        self.refused.fetch_add(refused as u64, Ordering::Relaxed);
    }
}

/// What was counted up to now, and how things stand.
#[derive(Clone, Debug)]
pub struct Readings {
    pub requests: Vec<RequestReading>,
    /// Answers that say no, by error code.
    pub errors: BTreeMap<String, u64>,
    /// Requests that were refused before anybody looked at what they ask, by cause.
    pub refusals: Vec<(&'static str, u64)>,
    /// Lines that are in no file: of the audit log, and of events.
    pub lost_lines: [(&'static str, u64); 2],
    pub regions: Vec<RegionReading>,
    pub hosts: Vec<HostReading>,
    /// From a commit until every connected host had it in force, or the wait was over.
    pub convergence: HistogramReading,
    /// Of these, the wait was over first.
    pub convergence_timeouts: u64,
}

/// One action's requests.
#[derive(Clone, Debug)]
pub struct RequestReading {
    pub service: &'static str,
    pub action: &'static str,
    /// By [`Ended::ALL`].
    pub ended: [u64; 3],
    pub took: HistogramReading,
}

/// One region's state and its writer's work.
#[derive(Clone, Debug)]
pub struct RegionReading {
    pub region: Region,
    pub revision: u64,
    /// Things by what they are, such as `vpc`.
    pub objects: [(&'static str, u64); 5],
    /// Requests that wait for the writer.
    pub waiting: u64,
    /// Batches by how long their commit took, the sync included.
    pub commits: HistogramReading,
    /// Transactions in them.
    pub transactions: u64,
    /// Transactions that the store did not take: it had moved on, or they were too large.
    pub refused: u64,
}

/// One host as the server sees it.
#[derive(Clone, Debug)]
pub struct HostReading {
    pub host: HostId,
    pub is_connected: bool,
    /// Revisions of each region that it does not have in force yet; empty while it is not connected.
    pub behind: BTreeMap<Region, u64>,
}

/// Reads a running server's counters; may outlive the server.
#[derive(Clone)]
pub struct Observer(pub(crate) Arc<Cloud>);

impl Observer {
    pub fn readings(&self) -> Readings {
        let Observer(cloud) = self;
        let requests = lock(&cloud.meters.requests).iter().map(|(key, requests)| (*key, requests.clone())).collect();
        let requests: Vec<((&str, &str), Arc<Requests>)> = requests;
        let request = |((service, action), requests): ((&'static str, &'static str), Arc<Requests>)| RequestReading {
            service,
            action,
            ended: requests.ended.each_ref().map(|count| count.load(Ordering::Relaxed)),
            took: requests.took.read(),
        };
        Readings {
            requests: requests.into_iter().map(request).collect(),
            errors: lock(&cloud.meters.errors).clone(),
            refusals: cloud.meters.refusals(),
            lost_lines: [("audit", cloud.audit.lost()), ("events", cloud.events.lost())],
            regions: cloud.regions.iter().map(|(region, shell)| region_reading(*region, shell)).collect(),
            hosts: host_readings(cloud),
            convergence: cloud.meters.convergence.read(),
            convergence_timeouts: cloud.meters.convergence_timeouts.load(Ordering::Relaxed),
        }
    }
}

fn region_reading(region: Region, shell: &crate::region::RegionShell) -> RegionReading {
    let world = shell.world();
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let Commits { took, transactions, refused } = &*shell.commits;
    RegionReading {
        region,
        revision: world.revision,
        objects: [
            ("vpc", count(world.vpcs.size())),
            ("subnet", count(world.subnets.size())),
            ("peering", count(world.peerings.size())),
            ("instance", count(world.instances.size())),
            ("network_interface", count(world.network_interfaces.size())),
        ],
        waiting: count(shell.waiting()),
        commits: took.read(),
        transactions: transactions.load(Ordering::Relaxed),
        refused: refused.load(Ordering::Relaxed),
    }
}

fn host_readings(cloud: &Cloud) -> Vec<HostReading> {
    let revisions: BTreeMap<Region, u64> =
        cloud.regions.iter().map(|(region, shell)| (*region, shell.world().revision)).collect();
    let in_force = cloud.hosts.in_force();
    let reading = |host: HostId| {
        let at = in_force.get(&host);
        let behind = |at: &BTreeMap<Region, u64>| {
            let lag = |(region, newest): (&Region, &u64)| {
                (*region, newest.saturating_sub(at.get(region).copied().unwrap_or_default()))
            };
            revisions.iter().map(lag).collect()
        };
        HostReading { host, is_connected: at.is_some(), behind: at.map(behind).unwrap_or_default() }
    };
    cloud.known_hosts().into_iter().map(reading).collect()
}

/// Nothing panics half-way under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_how_long_is_in_its_bucket() {
        let histogram = Histogram::default();
        for micros in [0, 250, 251, 10_000_000, 10_000_001] {
            histogram.observe(Duration::from_micros(micros));
        }
        let reading = histogram.read();
        assert_eq!((reading.buckets[0], reading.buckets[1], reading.buckets[13], reading.buckets[14]), (2, 1, 1, 1));
        assert_eq!(reading.micros, 20_000_502);
    }

    #[test]
    fn no_client_chooses_how_many_numbers_there_are() {
        let meters = Meters::default();
        for n in 0..1000 {
            let error = ec2::Error::new(format!("Made.Up{n}"), "no");
            meters.request(Service::Ec2, &format!("MadeUp{n}"), Some(&error), Duration::ZERO);
        }
        meters.request(Service::Ec2, "DescribeVpcs", None, Duration::ZERO);
        meters.request(Service::Sts, "DescribeVpcs", None, Duration::ZERO);
        let requests = lock(&meters.requests);
        let names: Vec<_> = requests.keys().copied().collect();
        assert_eq!(names, [("ec2", "DescribeVpcs"), ("ec2", OTHER), ("sts", OTHER)]);
        assert_eq!(requests[&("ec2", OTHER)].ended[Ended::Refused as usize].load(Ordering::Relaxed), 1000);
        let errors = lock(&meters.errors);
        assert_eq!((errors.len(), errors[OTHER]), (CODES_MAX + 1, 1000 - CODES_MAX as u64));
    }
}
