//! `peerway doctor`: what this machine allows, by trying.

use std::process::ExitCode;

use crate::cli::{DoctorOptions, Output};
use crate::host;
use crate::table::Table;

pub fn run(options: &DoctorOptions) -> anyhow::Result<ExitCode> {
    let directory = host::default_data().map_or_else(|_| std::env::temp_dir(), |data| nearest(&data));
    let checks = linux::doctor::checks(&directory);
    let is_well = checks.iter().all(|check| check.ok || check.optional);
    match options.output {
        Output::Json => {
            let rows = checks.iter().map(|check| {
                serde_json::json!({ "name": check.name, "ok": check.ok, "optional": check.optional, "detail": check.detail, "remedy": check.remedy })
            });
            println!("{}", serde_json::to_string_pretty(&rows.collect::<Vec<_>>())?);
        }
        Output::Table => {
            let mut table = Table::new(&["check", "", "found", "what to do"]);
            for check in &checks {
                let mark = match (check.ok, check.optional) {
                    (true, _) => "ok",
                    (false, true) => "less",
                    (false, false) => "MISSING",
                };
                table.row(&[check.name.clone(), mark.into(), check.detail.clone(), check.remedy.clone()]);
            }
            print!("{table}");
            println!(
                "\n{}",
                if is_well {
                    "peerway works here"
                } else {
                    "packets cannot move here; `peerway up --no-packets` serves the API alone"
                }
            );
        }
    }
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The directory itself or the nearest one above it that is there.
fn nearest(path: &std::path::Path) -> std::path::PathBuf {
    path.ancestors().find(|dir| dir.is_dir()).map_or_else(std::env::temp_dir, Into::into)
}
