//! `peerway host`: the hosts that joined, asked for with the operator's key; and what is left of one on this machine.

use std::process::ExitCode;

use anyhow::bail;

use crate::cli::{HostClearOptions, HostRevokeOptions, OperatorOptions, Output};
use crate::host;
use crate::operator::Operator;
use crate::table::Table;

pub fn list(options: &OperatorOptions) -> anyhow::Result<ExitCode> {
    let answer = Operator::of(options)?.ask("DescribeHosts", &[])?;
    let hosts = answer.rows("Hosts", ["Host", "Underlay", "Connected", "Key"])?;
    match options.output {
        Output::Json => {
            let host = |[host, underlay, connected, key]: &[String; 4]| serde_json::json!({ "host": host, "underlay": underlay, "connected": connected == "true", "key": key });
            println!("{}", serde_json::to_string_pretty(&hosts.iter().map(host).collect::<Vec<_>>())?);
        }
        Output::Table => {
            let mut table = Table::new(&["host", "underlay", "connected", "key"]);
            for [host, underlay, connected, key] in hosts {
                let connected = if connected == "true" { "yes" } else { "no" };
                table.row(&[host, underlay, connected.into(), key]);
            }
            print!("{table}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub fn revoke(options: &HostRevokeOptions) -> anyhow::Result<ExitCode> {
    let host = options.host.to_string();
    Operator::of(&options.operator)?.ask("RevokeHost", &[("Host", &host)])?;
    match options.operator.output {
        Output::Json => println!("{}", serde_json::json!({ "host": host })),
        Output::Table => println!("{host} is cut off: the server and the other hosts refuse its key."),
    }
    Ok(ExitCode::SUCCESS)
}

pub fn clear(options: &HostClearOptions) -> anyhow::Result<ExitCode> {
    let data = options.data.clone().map_or_else(host::default_data, Ok)?;
    if !data.is_dir() {
        bail!("{} is no directory; name an agent's with --data", data.display());
    }
    // Nobody starts an agent on it meanwhile.
    let _lock = host::take_directory(&data)?;
    let mut code = ExitCode::SUCCESS;
    for (id, ended) in agent::end_instances(&data.join(host::HOST_DIR)) {
        match ended {
            Ok(()) => println!("{id} ended"),
            Err(error) => {
                eprintln!("peerway: cannot end {id}: {error}");
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}
