//! The agents of a data directory, asked by the command line: one host's, or each of several.

use std::path::{Path, PathBuf};

use agent::{Answer, HostStatus, InstanceStatus, Question};
use anyhow::bail;
use model::{HostId, InstanceId, NetworkInterfaceId};

use crate::host;

const NONE: &str = "no agent runs here; start one with `peerway up`";

/// What each host says of itself.
pub fn status(dirs: &[PathBuf]) -> anyhow::Result<Vec<HostStatus>> {
    dirs.iter().map(|dir| of_host(dir)).collect()
}

/// The instances of all hosts.
pub fn instances(dirs: &[PathBuf]) -> anyhow::Result<Vec<InstanceStatus>> {
    Ok(status(dirs)?.into_iter().flat_map(|host| host.instances).collect())
}

/// The agent of the host that an interface is plugged in on; if none is, one that can say so.
pub fn plugging(dirs: &[PathBuf], interface: NetworkInterfaceId) -> anyhow::Result<&Path> {
    let Some((first, others)) = dirs.split_first() else { bail!(NONE) };
    for dir in others {
        let mut interfaces = of_host(dir)?.instances.into_iter().flat_map(|instance| instance.interfaces);
        if interfaces.any(|status| status.interface == interface) {
            return Ok(dir);
        }
    }
    Ok(first)
}

/// The agent of a host by its name; without one, of the only host.
pub fn named(dirs: &[PathBuf], name: Option<HostId>) -> anyhow::Result<&Path> {
    let mut names = Vec::with_capacity(dirs.len());
    for dir in dirs {
        names.push(of_host(dir)?.host);
    }
    let at = match name {
        Some(name) => names.iter().position(|host| *host == name),
        None => (names.len() == 1).then_some(0),
    };
    if let Some(dir) = at.and_then(|at| dirs.get(at)) {
        return Ok(dir);
    }
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    match name {
        Some(name) => bail!("there is no host `{name}`; there are {}", names.join(", ")),
        None => bail!("there are several hosts; name one of {} with --host", names.join(", ")),
    }
}

/// Where the agent is that carries an instance; if none does, one that can say so.
pub fn carrying(dirs: &[PathBuf], instance: InstanceId) -> anyhow::Result<&Path> {
    let Some((first, others)) = dirs.split_first() else { bail!(NONE) };
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
        Ok(_) => bail!("the agent answered another question"),
        Err(error) => Err(host::explain_no_agent(error, dir)),
    }
}
