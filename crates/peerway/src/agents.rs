//! The agents of a data directory, asked by the command line: one host's, or each of several.

use std::path::{Path, PathBuf};

use agent::{Answer, HostStatus, InstanceStatus, Question};
use anyhow::bail;
use model::InstanceId;

use crate::host;

/// What each host says of itself.
pub fn status(dirs: &[PathBuf]) -> anyhow::Result<Vec<HostStatus>> {
    dirs.iter().map(|dir| of_host(dir)).collect()
}

/// The instances of all hosts.
pub fn instances(dirs: &[PathBuf]) -> anyhow::Result<Vec<InstanceStatus>> {
    Ok(status(dirs)?.into_iter().flat_map(|host| host.instances).collect())
}

/// Where the agent is that carries an instance; if none does, one that can say so.
pub fn carrying(dirs: &[PathBuf], instance: InstanceId) -> anyhow::Result<&Path> {
    let Some((first, others)) = dirs.split_first() else { bail!("no agent runs here; start one with `peerway up`") };
    for dir in others {
        if of_host(dir)?.instances.iter().any(|status| status.instance == instance) {
            return Ok(dir);
        }
    }
    Ok(first)
}

fn of_host(dir: &Path) -> anyhow::Result<HostStatus> {
    match agent::ask(dir, &Question::Status, &[]) {
        Ok(Answer::Status(status)) => Ok(*status),
        Ok(Answer::Refused(why)) => bail!("{why}"),
        Ok(Answer::Exited(_)) => bail!("the agent answered another question"),
        Err(error) => Err(host::explain_no_agent(error, dir)),
    }
}
