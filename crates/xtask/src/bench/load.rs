//! Many clients at once, each on its own connection, until the time is up.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::http::Client;
use super::numbers::percentile;

/// Where, how many, how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) address: SocketAddr,
    pub(super) region: &'static str,
    pub(super) connections: usize,
    pub(super) length: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) per_second: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

impl Load {
    /// Does `work` over and over on every connection.
    ///
    /// # Errors
    /// The first thing that failed.
    pub(super) fn drive(&self, work: impl Fn(&mut Client) -> Result<()> + Sync) -> Result<Served> {
        let started = Instant::now();
        let deadline = started + self.length;
        let clients = thread::scope(|scope| {
            let spawn = |_| scope.spawn(|| one_client(self, deadline, &work));
            let threads: Vec<_> = (0..self.connections).map(spawn).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().map(join).collect::<Result<Vec<Vec<f64>>>>()
        })?;
        let seconds = started.elapsed().as_secs_f64();
        let times: Vec<f64> = clients.concat();
        if times.is_empty() {
            bail!("nothing was done in {:?}", self.length);
        }
        Ok(Served {
            per_second: times.len() as f64 / seconds,
            p50_ms: percentile(&times, 50.0),
            p99_ms: percentile(&times, 99.0),
        })
    }
}

/// How long each turn took, in milliseconds.
fn one_client(load: &Load, deadline: Instant, work: &impl Fn(&mut Client) -> Result<()>) -> Result<Vec<f64>> {
    let mut client = Client::new(load.address, load.region);
    let mut times = Vec::new();
    loop {
        let started = Instant::now();
        if started >= deadline {
            return Ok(times);
        }
        work(&mut client)?;
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    }
}

/// Pairs of VPCs that have no peering yet, handed out once.
#[derive(Debug)]
pub(super) struct Pairs {
    vpcs: Vec<String>,
    next: AtomicUsize,
}

impl Pairs {
    /// Makes VPCs of a /24 each.
    pub(super) fn new(client: &mut Client, count: usize) -> Result<Pairs> {
        let vpc =
            |n: usize| client.ask("CreateVpc", &[("CidrBlock", &format!("10.{}.{}.0/24", n / 256, n % 256))], "vpcId");
        Ok(Pairs { vpcs: (0..count).map(vpc).collect::<Result<_>>()?, next: AtomicUsize::new(0) })
    }

    /// Asks for a peering and accepts it.
    pub(super) fn peer(&self, client: &mut Client) -> Result<()> {
        let (from, to) = self.take()?;
        let request = [("VpcId", from), ("PeerVpcId", to)];
        let peering = client.ask("CreateVpcPeeringConnection", &request, "vpcPeeringConnectionId")?;
        client.call("AcceptVpcPeeringConnection", &[("VpcPeeringConnectionId", &peering)]).map(drop)
    }

    /// Everybody with the neighbour, then with the neighbour's neighbour, and so on: no VPC is busier than another.
    fn take(&self) -> Result<(&str, &str)> {
        let count = self.vpcs.len();
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let (distance, from) = (n / count.max(1) + 1, n % count.max(1));
        if distance * 2 >= count {
            bail!("all pairs of {count} VPCs are peered; run fewer or shorter rounds");
        }
        let name = |n: usize| self.vpcs.get(n % count).map(String::as_str).context("there is no VPC");
        Ok((name(from)?, name(from + distance)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pair_comes_twice_in_either_direction() {
        let pairs = Pairs { vpcs: (0..9).map(|n| n.to_string()).collect(), next: AtomicUsize::new(0) };
        let mut seen = Vec::new();
        while let Ok((a, b)) = pairs.take() {
            assert_ne!(a, b);
            assert!(!seen.contains(&(a, b)) && !seen.contains(&(b, a)), "{a} {b}");
            seen.push((a, b));
        }
        assert_eq!(seen.len(), 36);
    }
}
