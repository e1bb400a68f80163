//! `peerway exec`: a command inside an instance.

use std::process::ExitCode;

use agent::Answer;
use anyhow::bail;
use linux::sandbox::Exec;

use crate::cli::ExecOptions;
use crate::{agents, host};

pub fn run(options: &ExecOptions) -> anyhow::Result<ExitCode> {
    let dirs = host::agent_dirs(options.data.as_deref())?;
    let dir = agents::carrying(&dirs, options.instance)?;
    let term = std::env::var_os("TERM").map(|term| ("TERM".into(), term));
    let exec = Exec {
        argv: options.command.clone(),
        env: term.into_iter().collect(),
        directory: None,
        terminal: options.terminal,
    };
    match agent::exec(dir, options.instance, exec) {
        Ok(Ok(code)) => Ok(ExitCode::from(code)),
        Ok(Err(Answer::Refused(why))) => bail!("{why}"),
        Ok(Err(_)) => bail!("the agent answered another question"),
        Err(error) => Err(host::explain_no_agent(error, dir)),
    }
}
