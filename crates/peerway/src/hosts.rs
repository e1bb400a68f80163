//! `peerway host`: the hosts that joined, asked for with the operator's key.

use std::process::ExitCode;

use crate::cli::{HostRevokeOptions, OperatorOptions, Output};
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
