//! The hosts that are connected: each is told its intent, and says when it is in force.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use model::intent::Intent;
use model::{HostId, Region, World};
use stream::{Digests, Report, ToAgent, ToServer, Update};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};

use crate::Cloud;
use crate::region::{Answer, Work, chain, machine_time};

/// What each connected host has in force, by region.
type InForce = BTreeMap<HostId, BTreeMap<Region, u64>>;

pub(crate) struct Hosts(watch::Sender<InForce>);

impl Default for Hosts {
    fn default() -> Hosts {
        Hosts(watch::channel(InForce::new()).0)
    }
}

impl Hosts {
    /// Waits until every connected host has this revision in force, or the time is over.
    pub(crate) async fn wait(&self, region: Region, revision: u64, at_most: Duration) {
        let mut hosts = self.0.subscribe();
        let in_force = |hosts: &InForce| hosts.values().all(|at| at.get(&region).is_some_and(|at| *at >= revision));
        // Past the time the answer goes out all the same; status shows the lag.
        let _ = tokio::time::timeout(at_most, hosts.wait_for(in_force)).await;
    }

    /// Every connected host, and whether it is at these revisions.
    pub(crate) fn status(&self, revisions: &BTreeMap<Region, u64>) -> Vec<(HostId, bool)> {
        let behind =
            |at: &BTreeMap<Region, u64>| revisions.iter().any(|(region, revision)| at.get(region) < Some(revision));
        self.0.borrow().iter().map(|(host, at)| (*host, !behind(at))).collect()
    }

    fn set(&self, host: HostId, at: BTreeMap<Region, u64>) {
        self.0.send_modify(|hosts| drop(hosts.insert(host, at)));
    }

    fn gone(&self, host: HostId) {
        self.0.send_modify(|hosts| drop(hosts.remove(&host)));
    }
}

/// Serves one host until its connection ends.
pub(crate) async fn serve(cloud: &Cloud, connection: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
    let (mut read, write) = tokio::io::split(connection);
    let (host, has) = match receive(&mut read).await {
        Ok(ToServer::Hello { host, has }) => (host, has),
        Ok(_) => return tracing::warn!("a host did not say hello"),
        Err(error) => return tracing::warn!(error = %chain(&error), "a host did not say hello"),
    };
    tracing::info!(%host, "host connected");
    let (again, hellos) = mpsc::channel(1);
    tokio::select! {
        result = tell(cloud, host, has, hellos, write) => log_end(host, result),
        result = hear(cloud, host, &again, read) => log_end(host, result),
    }
    cloud.hosts.gone(host);
}

fn log_end(host: HostId, result: io::Result<()>) {
    match result {
        Ok(()) => tracing::info!(%host, "host disconnected"),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => tracing::info!(%host, "host disconnected"),
        Err(error) => tracing::warn!(%host, error = %chain(&error), "host disconnected"),
    }
}

/// Tells the host its intent at every new World, and again from what it says it has.
async fn tell(
    cloud: &Cloud,
    host: HostId,
    mut has: Digests,
    mut hellos: mpsc::Receiver<Digests>,
    mut write: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let mut worlds: Vec<_> = cloud.regions.values().map(crate::region::RegionShell::watch).collect();
    let mut last: Option<Intent> = None;
    loop {
        let current: BTreeMap<Region, World> = cloud
            .regions
            .keys()
            .copied()
            .zip(worlds.iter_mut().map(|world| (**world.borrow_and_update()).clone()))
            .collect();
        let intent = control::plan::intent(&current, host);
        let same = last.as_ref().filter(|last| last.vpcs == intent.vpcs && last.instances == intent.instances);
        // Where nothing that this host does depends on what changed, it is in force as soon as the last intent is; a host that
        // has not said so yet is told the new revisions, or nobody ever would say them.
        if !same.is_some_and(|last| cloud.hosts.advance(host, &last.revisions, &intent.revisions)) {
            let update = Update::between(&has, &intent);
            has = Digests::of(&intent);
            send(&mut write, &ToAgent::Update(update)).await?;
        }
        last = Some(intent);
        tokio::select! {
            () = any_changed(&mut worlds) => {}
            Some(hello) = hellos.recv() => {
                has = hello;
                last = None;
            }
        }
    }
}

impl Hosts {
    /// A host that has the old revisions in force has the new ones too. `false`: it does not have the old ones.
    fn advance(&self, host: HostId, from: &BTreeMap<Region, u64>, to: &BTreeMap<Region, u64>) -> bool {
        let mut has = false;
        self.0.send_if_modified(|hosts| match hosts.get_mut(&host) {
            Some(at) if at == from => {
                has = true;
                at.clone_from(to);
                from != to
            }
            _ => false,
        });
        has
    }
}

async fn any_changed(worlds: &mut [watch::Receiver<Arc<World>>]) {
    let changes = worlds.iter_mut().map(|world| Box::pin(world.changed()));
    let mut changes: Vec<_> = changes.collect();
    std::future::poll_fn(|cx| {
        let ready = changes.iter_mut().any(|change| change.as_mut().poll(cx).is_ready());
        if ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

/// Hears what the host has in force and what became of instances.
async fn hear(
    cloud: &Cloud,
    host: HostId,
    again: &mpsc::Sender<Digests>,
    mut read: impl AsyncRead + Unpin,
) -> io::Result<()> {
    loop {
        match receive(&mut read).await? {
            ToServer::Applied { revisions } => cloud.hosts.set(host, revisions),
            ToServer::Report(report) => record(cloud, host, report).await,
            ToServer::Hello { has, .. } => {
                tracing::warn!(%host, "the host lost track and is told everything");
                let _ = again.send(has).await;
            }
        }
    }
}

/// Writes down what became of an instance, in the region that has it.
async fn record(cloud: &Cloud, host: HostId, report: Report) {
    let owner = cloud.regions.values().find(|region| region.world().instances.contains_key(&report.instance));
    let Some(region) = owner else { return };
    let work: Work = Box::new(move |world, _| {
        Ok((Answer::Nothing, control::report::receive(world, host, &report, world.now(machine_time()))))
    });
    if let Err(error) = region.write(work).await {
        tracing::warn!(%host, code = %error.code, message = error.message, "a report was not recorded");
    }
}

async fn receive(read: &mut (impl AsyncRead + Unpin)) -> io::Result<ToServer> {
    let mut header = [0; 4];
    read.read_exact(&mut header).await?;
    let length = stream::length(header).map_err(io::Error::other)?;
    let mut json = vec![0; length];
    read.read_exact(&mut json).await?;
    stream::decode(&json).map_err(io::Error::other)
}

async fn send(write: &mut (impl AsyncWrite + Unpin), message: &ToAgent) -> io::Result<()> {
    let frame = stream::encode(message).map_err(io::Error::other)?;
    write.write_all(&frame).await?;
    write.flush().await
}
