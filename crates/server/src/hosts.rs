//! The hosts that are connected: each is told its intent, and says when it is in force.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use model::intent::Intent;
use model::{Host, HostId, Region, World};
use stream::{Bytes, Digests, JoinSecret, NoCertificate, Report, ToAgent, ToServer, Update};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};

use crate::region::{Answer, Work, chain, machine_time};
use crate::{Cloud, Trust};

/// Questions before a hello: a certificate, and once more.
const GREETINGS_MAX: usize = 4;

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

/// What a host said that must be answered on its connection.
enum Said {
    Hello(Digests),
    Answer(ToAgent),
}

/// Serves one host until its connection ends. `known`: whose connection it is, proven.
pub(crate) async fn serve(
    cloud: &Cloud,
    known: Option<HostId>,
    connection: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) {
    let (mut read, mut write) = tokio::io::split(connection);
    let (host, has) = match greet(cloud, known, &mut read, &mut write).await {
        Ok(Some(greeting)) => greeting,
        Ok(None) => return tracing::warn!("a host did not say hello"),
        Err(error) => return tracing::warn!(error = %chain(&error), "a host did not say hello"),
    };
    tracing::info!(%host, "host connected");
    let (say, said) = mpsc::channel(1);
    tokio::select! {
        result = tell(cloud, host, has, said, write) => log_end(host, result),
        result = hear(cloud, host, &say, read) => log_end(host, result),
    }
    cloud.hosts.gone(host);
}

/// What comes before and with the hello; `None`: there was none, or another host's.
async fn greet(
    cloud: &Cloud,
    known: Option<HostId>,
    read: &mut (impl AsyncRead + Unpin),
    write: &mut (impl AsyncWrite + Unpin),
) -> io::Result<Option<(HostId, Digests)>> {
    for _ in 0..GREETINGS_MAX {
        match receive(read).await? {
            ToServer::Certify { host, csr, token } => {
                let answer = certify(cloud, known, host, csr, token).await;
                send(write, &answer).await?;
            }
            ToServer::Hello { host, has, place } if known == Some(host) => {
                note_place(cloud, host, place).await;
                return Ok(Some((host, has)));
            }
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// The authority's answer.
async fn certify(cloud: &Cloud, known: Option<HostId>, host: HostId, csr: Bytes, token: Option<JoinSecret>) -> ToAgent {
    let trust = cloud.trust.clone();
    let work = move || {
        let Trust { authority, tokens } = &*trust;
        let certificate = authority.certify(tokens, known, host, &csr.0, token.as_ref(), machine_time());
        certificate.map_or_else(ToAgent::NoCertificate, |certificate| certificate.message())
    };
    // It waits for the disk.
    tokio::task::spawn_blocking(work).await.unwrap_or(ToAgent::NoCertificate(NoCertificate::Unavailable))
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
    mut said: mpsc::Receiver<Said>,
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
        let same = last.as_ref().filter(|last| {
            last.vpcs == intent.vpcs && last.instances == intent.instances && last.hosts == intent.hosts
        });
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
            Some(said) = said.recv() => match said {
                Said::Hello(hello) => {
                    has = hello;
                    last = None;
                }
                Said::Answer(answer) => send(&mut write, &answer).await?,
            },
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
    say: &mpsc::Sender<Said>,
    mut read: impl AsyncRead + Unpin,
) -> io::Result<()> {
    loop {
        match receive(&mut read).await? {
            ToServer::Applied { revisions } => cloud.hosts.set(host, revisions),
            ToServer::Report(report) => record(cloud, host, report).await,
            ToServer::Certify { csr, token, .. } => {
                let _ = say.send(Said::Answer(certify(cloud, Some(host), host, csr, token).await)).await;
            }
            ToServer::Hello { has, place, .. } => {
                note_place(cloud, host, place).await;
                tracing::warn!(%host, "the host lost track and is told everything");
                let _ = say.send(Said::Hello(has)).await;
            }
        }
    }
}

/// Writes down where a host is, for those that send to it.
async fn note_place(cloud: &Cloud, host: HostId, place: Option<Host>) {
    let Some(place) = place.filter(|place| place.id == host) else { return };
    let home = cloud.home();
    if control::report::place(&home.world(), &place).is_empty() {
        return;
    }
    let work: Work = Box::new(move |world, _| Ok((Answer::Nothing, control::report::place(world, &place))));
    if let Err(error) = home.write(work).await {
        tracing::warn!(%host, code = %error.code, message = error.message, "a host's place was not recorded");
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
