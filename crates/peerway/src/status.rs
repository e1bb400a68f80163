//! `peerway status`: what runs on this machine, what was dropped and why.

use std::process::ExitCode;

use agent::{Answer, Question};
use anyhow::bail;

use crate::cli::{Output, StatusOptions};
use crate::host;
use crate::table::Table;

pub fn run(options: &StatusOptions) -> anyhow::Result<ExitCode> {
    let dir = host::agent_dir(options.data.as_deref())?;
    let instances = match agent::ask(&dir, &Question::Status, &[]) {
        Ok(Answer::Status(instances)) => instances,
        Ok(Answer::Refused(why)) => bail!("{why}"),
        Ok(Answer::Exited(_)) => bail!("the agent answered another question"),
        Err(error) => return Err(host::explain_no_agent(error, &dir)),
    };
    if options.output == Output::Json {
        println!("{}", serde_json::to_string_pretty(&instances)?);
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&["instance", "interface", "address", "from guest", "to guest", "dropped", "limits"]);
    for instance in &instances {
        for interface in &instance.interfaces {
            let dropped: u64 = interface.drops.iter().map(|(_, _, packets)| packets).sum();
            table.row(&[
                instance.instance.to_string(),
                interface.interface.to_string(),
                interface.address.clone(),
                interface.received.0.to_string(),
                interface.delivered.0.to_string(),
                dropped.to_string(),
                instance.limits.clone(),
            ]);
        }
    }
    print!("{table}");
    if options.drops {
        println!();
        print_drops(&instances);
    }
    Ok(ExitCode::SUCCESS)
}

fn print_drops(instances: &[agent::InstanceStatus]) {
    let mut table = Table::new(&["interface", "address", "reason", "packets", "what it means"]);
    for interface in instances.iter().flat_map(|instance| &instance.interfaces) {
        for (code, text, packets) in &interface.drops {
            table.row(&[
                interface.interface.to_string(),
                interface.address.clone(),
                code.clone(),
                packets.to_string(),
                text.clone(),
            ]);
        }
    }
    print!("{table}");
}
