//! `peerway demo`: the mission, played with real packets in a cloud of its own.
//!
//! ```text
//!   mod      makes the cloud in this process, ends it, cleans up
//!   story    the steps of the mission and what must come of each
//!   names    another story: one host name, before and after a peering
//!   stage    what a step can ask of accounts, VPCs and instances
//!   build    makes them, through the API
//!   api      calls, and the lines they equal
//!   probe    packets between instances, both ends watched
//!   report   how it is told
//! ```

mod api;
mod build;
mod names;
mod probe;
mod report;
mod stage;
mod story;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::cli::{DemoOptions, Output, Story};
use crate::host::{self, Plan, Prepared, Running};
use crate::up;
use build::{ACCEPTER, REGIONS, REQUESTER};
use report::{Player, Report};
use stage::Stage;

pub fn run(options: &DemoOptions) -> anyhow::Result<ExitCode> {
    linux::doctor::open_tun().context(
        "the demo sends real packets through /dev/net/tun, which this user cannot open; ask for read and write access to it \
         (modprobe tun; chmod 0666 /dev/net/tun), or run as root. `peerway doctor` says more",
    )?;
    let place = Place::make(options)?;
    let plan = Plan {
        data: place.path.clone(),
        listen: ([127, 0, 0, 1], 0).into(),
        regions: REGIONS.iter().map(|region| region.parse()).collect::<Result<_, _>>()?,
        packets: true,
        strict_auth: false,
        api: server::ApiOptions::default(),
        allow_clock: true,
        strict: false,
        default_vpc: false,
        timing: None,
        quotas: crate::quotas::Limits::default(),
        public_pools: Vec::new(),
        name_suffixes: None,
        wait: Duration::from_secs(1),
        queues: host::default_queues(),
        allow_esp_keys: false,
        dns_upstream: None,
        uplink: None,
        hosts: options.hosts.clone(),
        metrics: Some(crate::metrics::Place::Off),
    };
    let prepared = plan.prepare()?;
    let result = up::runtime()?.block_on(perform(options, prepared));
    place.end(options)?;
    Ok(if result? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether all was as expected.
async fn perform(options: &DemoOptions, prepared: Prepared) -> anyhow::Result<bool> {
    let running = prepared.start().await?;
    let result = tell(options, &running).await;
    running.stop().await;
    result
}

async fn tell(options: &DemoOptions, running: &Running) -> anyhow::Result<bool> {
    let is_cancelled = Arc::new(AtomicBool::new(false));
    let story = options.story;
    let mut report = match story {
        Story::Peering => Report::new(options.output, story::STEPS),
        Story::Names => Report::new(options.output, names::STEPS),
    };
    let (address, agents, cancelled) = (running.address, host::agent_dirs(Some(&running.data))?, is_cancelled.clone());
    let data = running.data.clone();
    let mut playing = tokio::task::spawn_blocking(move || {
        let cast = match story {
            Story::Peering => story::play(&mut report, address, &agents, &cancelled).as_ref().map(Cast::of),
            Story::Names => {
                let played = names::play(&mut report, address, &agents, &data, &cancelled);
                played.as_ref().map(|names| Cast::of(&names.stage))
            }
        };
        (report, cast)
    });
    let played = tokio::select! {
        played = &mut playing => played,
        ended = up::wait_for_end() => {
            is_cancelled.store(true, Ordering::Relaxed);
            ended?;
            playing.await
        }
    };
    let (report, cast) = played.context("the story ended in a panic")?;
    report.clear_line();
    report.finish(&format!("http://{address}"), cast.as_ref().map_or(&[], |cast| &cast.0))?;
    if is_cancelled.load(Ordering::Relaxed) {
        bail!("ended before the story was over");
    }
    if let (true, Some(cast)) = (options.keep, &cast) {
        let text = snippet(running, cast);
        match options.output {
            Output::Table => println!("\n{text}"),
            // Standard output is one document.
            Output::Json => eprintln!("{text}"),
        }
        up::wait_for_end().await?;
        eprintln!("stopping");
    }
    Ok(report.is_well())
}

/// Who played: what is left of the stage when the story is over.
struct Cast(Vec<Player>);

impl Cast {
    fn of(stage: &Stage) -> Cast {
        let actors = stage.vpcs().into_iter().flat_map(|vpc| vpc.guests.iter().map(move |actor| (vpc.side, actor)));
        let players = actors.map(|(side, actor)| Player {
            name: actor.name.clone(),
            account: side.account,
            region: side.region,
            instance: actor.guest.instance,
            address: actor.guest.address,
        });
        Cast(players.collect())
    }
}

/// What to paste into another shell.
fn snippet(running: &Running, cast: &Cast) -> String {
    let data = running.data.display();
    let someone = cast.0.first().map(|player| player.instance.to_string()).unwrap_or_default();
    let mut text = format!(
        "It goes on running. In another shell:\n\n  export AWS_ENDPOINT_URL=http://{} AWS_SECRET_ACCESS_KEY=any\n  \
         AWS_ACCESS_KEY_ID={REQUESTER} aws ec2 describe-vpc-peering-connections --region {}\n  \
         AWS_ACCESS_KEY_ID={ACCEPTER} aws ec2 describe-route-tables --region {}\n  \
         peerway status --drops --data {data}\n  peerway exec -t --data {data} {someone} -- sh\n\n",
        running.address, REGIONS[0], REGIONS[1]
    );
    for Player { name, account, region, instance, address } in &cast.0 {
        text.push_str(&format!("  {name}  {instance}  {address}  {account}  {region}\n"));
    }
    text.push_str(&format!("\nCtrl-C ends it; state stays, `peerway up --data {data}` takes it up again."));
    text
}

/// Where the demo's state is.
struct Place {
    path: PathBuf,
    /// Goes with the demo.
    temporary: Option<tempfile::TempDir>,
}

impl Place {
    fn make(options: &DemoOptions) -> anyhow::Result<Place> {
        if let Some(path) = &options.data {
            refuse_used(path)?;
            return Ok(Place { path: path.clone(), temporary: None });
        }
        let made = tempfile::Builder::new().prefix("peerway-demo-").tempdir();
        let temporary = made.context("cannot make a temporary directory; name a directory with --data")?;
        Ok(Place { path: temporary.path().to_owned(), temporary: Some(temporary) })
    }

    fn end(self, options: &DemoOptions) -> anyhow::Result<()> {
        let Some(temporary) = self.temporary else { return Ok(()) };
        let path = temporary.keep();
        if options.keep {
            return Ok(());
        }
        linux::sandbox::remove_files(&path).with_context(|| format!("{} cannot be removed", path.display()))
    }
}

/// The demo moves clocks and leaves VPCs behind: not in somebody's cloud.
fn refuse_used(path: &Path) -> anyhow::Result<()> {
    let mut entries = match path.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(error)
                .with_context(|| format!("cannot read {}; name another directory with --data", path.display()));
        }
    };
    if entries.next().is_some() {
        bail!("{} is not empty; name a new directory with --data", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_used_directory_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        assert!(refuse_used(directory.path()).is_ok() && refuse_used(&directory.path().join("new")).is_ok());
        std::fs::write(directory.path().join("lock"), "").unwrap();
        assert!(refuse_used(directory.path()).unwrap_err().to_string().contains("--data"));
    }
}
