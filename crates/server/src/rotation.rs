//! The rotation of the hosts' authority: each step is taken when no host can be cut off by it (decision 0060).
//!
//! What a host believes is known while it is connected, from what it says; so a step waits for every host on record to be connected. One that
//! will not come back is revoked.

use std::sync::Arc;
use std::time::Duration;

use ec2::service::{AuthorityHost, AuthorityResult, PeerwayReply};
use ec2::{Caller, Error};
use model::{Host, HostId, KeyFingerprint};

use crate::Cloud;
use crate::authority::AuthorityError;
use crate::authority::ring::{Authorities, Phase, RotateError};
use crate::hosts::Beliefs;
use crate::members::for_operator;
use crate::region::{chain, internal, machine_time};

/// How often to look although nothing was said: the last certificates of the former authority may have expired.
const LOOK: Duration = Duration::from_secs(60);

/// Takes each step when it is time. Until the task is ended.
pub(crate) async fn run(cloud: Arc<Cloud>) {
    let (mut beliefs, mut authorities) = (cloud.hosts.watch_beliefs(), cloud.trust.ring.watch());
    let mut world = cloud.home().watch();
    loop {
        match step(&cloud).await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => {
                tracing::error!(error = %chain(&*error), "the authority's rotation does not go on; it is tried again");
            }
        }
        // A host may be revoked that it waited for.
        let is_rotating = !matches!(authorities.borrow_and_update().phase, Phase::Steady);
        tokio::select! {
            _ = beliefs.changed(), if is_rotating => {}
            _ = world.changed(), if is_rotating => {}
            changed = authorities.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Whether a step was taken.
async fn step(cloud: &Cloud) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    let (authorities, now) = (cloud.trust.ring.now(), machine_time());
    let is_over = matches!(&authorities.phase, Phase::Renewing(former) if now >= former.until);
    if matches!(authorities.phase, Phase::Steady) || !is_over && !waiting(cloud, &authorities).is_empty() {
        return Ok(false);
    }
    let trust = cloud.trust.clone();
    // It waits for the disk.
    let stepped = tokio::task::spawn_blocking(move || -> Result<(), AuthorityError> {
        match trust.ring.now().phase {
            Phase::Steady => {}
            Phase::Announced(_) => {
                trust.ring.switch(now)?;
                let key = trust.ring.now().signer.fingerprint();
                tracing::warn!(%key, "every host believes the new authority, which certifies from here on; hosts renew");
            }
            Phase::Renewing(_) => {
                trust.ring.retire()?;
                tracing::warn!(key = %trust.ring.now().signer.fingerprint(), "the former authority is believed no more");
            }
        }
        Ok(())
    });
    stepped.await??;
    Ok(true)
}

/// The hosts that the next step would cut off, and why.
fn waiting(cloud: &Cloud, authorities: &Authorities) -> Vec<(HostId, &'static str)> {
    let why = |host: HostId| {
        let Some(beliefs) = cloud.hosts.beliefs(host) else { return Some("it is not connected") };
        let Some(Beliefs { roots, by }) = beliefs else { return Some("it is of a version that cannot; upgrade it") };
        let believes = |key: KeyFingerprint| roots.contains(&key);
        match &authorities.phase {
            Phase::Announced(next) if !believes(next.fingerprint()) => {
                Some("it does not believe the new authority yet")
            }
            Phase::Renewing(_) if by != Some(authorities.signer.fingerprint()) => {
                Some("it has no certificate of the new authority yet")
            }
            _ => None,
        }
    };
    let world = cloud.home().world();
    world.all::<Host>().filter_map(|host| Some((host.id, why(host.id)?))).collect()
}

/// Begins a rotation.
pub(crate) async fn rotate(cloud: &Cloud, caller: &Caller) -> Result<PeerwayReply, Error> {
    for_operator(cloud, caller)?;
    let trust = cloud.trust.clone();
    let rotated = tokio::task::spawn_blocking(move || trust.ring.rotate(machine_time())).await;
    rotated.map_err(|_| internal("the authority was not rotated"))?.map_err(|error| match error {
        RotateError::UnderWay => Error::new("IncorrectState", error.to_string()),
        RotateError::Authority(_) => {
            tracing::error!(error = %chain(&error), "the authority was not rotated");
            internal("the authority was not rotated; see the server's log")
        }
    })?;
    tracing::warn!("a new authority is announced to the hosts");
    Ok(PeerwayReply::RotateAuthority(result(cloud)))
}

/// Which authority certifies, and how far a rotation is.
pub(crate) fn describe(cloud: &Cloud, caller: &Caller) -> Result<PeerwayReply, Error> {
    for_operator(cloud, caller)?;
    Ok(PeerwayReply::DescribeAuthority(result(cloud)))
}

fn result(cloud: &Cloud) -> AuthorityResult {
    let authorities = cloud.trust.ring.now();
    let (phase, other, until) = match &authorities.phase {
        Phase::Steady => ("steady", None, None),
        Phase::Announced(next) => ("announced", Some(next.fingerprint()), None),
        Phase::Renewing(former) => ("renewing", Some(former.key), Some(former.until)),
    };
    let host = |(host, why): (HostId, &str)| AuthorityHost { host: host.to_string(), why: why.into() };
    let waits = if phase == "steady" { Vec::new() } else { waiting(cloud, &authorities) };
    AuthorityResult {
        key: authorities.signer.fingerprint().to_string(),
        phase: phase.into(),
        other_key: other.map(|key| key.to_string()),
        until,
        waits_for: waits.into_iter().map(host).collect(),
    }
}
