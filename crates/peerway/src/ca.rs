//! `peerway ca`: the authority that certifies hosts, asked for with the operator's key.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::cli::{CaCommand, CaRotateOptions, OperatorOptions, Output};
use crate::operator::{Operator, Reply};
use crate::table::Table;

/// How often a rotation is looked at.
const LOOK: Duration = Duration::from_millis(200);

pub fn run(command: &CaCommand) -> anyhow::Result<ExitCode> {
    match command {
        CaCommand::Show(options) => {
            Authority::of(&Operator::of(options)?.ask("DescribeAuthority", &[])?)?.print(options)?;
            Ok(ExitCode::SUCCESS)
        }
        CaCommand::Rotate(options) => rotate(options),
    }
}

fn rotate(options: &CaRotateOptions) -> anyhow::Result<ExitCode> {
    let operator = Operator::of(&options.operator)?;
    let mut authority = Authority::of(&operator.ask("RotateAuthority", &[])?)?;
    let deadline = Instant::now() + Duration::from_secs(u64::try_from(options.wait)?);
    while !authority.is_steady() && Instant::now() < deadline {
        std::thread::sleep(LOOK);
        authority = Authority::of(&operator.ask("DescribeAuthority", &[])?)?;
    }
    authority.print(&options.operator)?;
    if !authority.is_steady() {
        bail!("the rotation is not over yet and goes on; `peerway ca show` says how far it is");
    }
    Ok(ExitCode::SUCCESS)
}

/// As the server tells it.
struct Authority {
    key: String,
    phase: String,
    other_key: Option<String>,
    until: Option<String>,
    /// Hosts, and why.
    waits_for: Vec<[String; 2]>,
}

impl Authority {
    fn of(reply: &Reply) -> anyhow::Result<Authority> {
        Ok(Authority {
            key: reply.text("Key")?,
            phase: reply.text("Phase")?,
            other_key: reply.text("OtherKey").ok(),
            until: reply.text("Until").ok(),
            waits_for: reply.rows("WaitsFor", ["Host", "Why"])?,
        })
    }

    fn is_steady(&self) -> bool {
        self.phase == "steady"
    }

    fn print(&self, options: &OperatorOptions) -> anyhow::Result<()> {
        let Authority { key, phase, other_key, until, waits_for } = self;
        if options.output == Output::Json {
            let waits_for: Vec<_> =
                waits_for.iter().map(|[host, why]| serde_json::json!({ "host": host, "why": why })).collect();
            let authority = serde_json::json!({
                "key": key, "phase": phase, "other_key": other_key, "until": until, "waits_for": waits_for
            });
            println!("{}", serde_json::to_string_pretty(&authority)?);
            return Ok(());
        }
        println!("authority {key}");
        let other = other_key.as_deref().unwrap_or_default();
        match phase.as_str() {
            "announced" => println!("a new one is announced to the hosts: {other}"),
            "renewing" => println!(
                "hosts renew; the one before is believed until all have, or until {}: {other}",
                until.as_deref().unwrap_or_default()
            ),
            _ => println!("no rotation is under way"),
        }
        if !waits_for.is_empty() {
            let mut table = Table::new(&["waits for", "why"]);
            waits_for.iter().for_each(|row| table.row(&[row[0].clone(), row[1].clone()]));
            print!("\n{table}");
        }
        Ok(())
    }
}
