//! `peerway backup` and `peerway restore`: the control plane's state as a directory of its own. A running cloud writes it itself, since
//! it alone knows a moment at which all regions are at rest.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use server::backup;

use crate::cli::{BackupOptions, Output, RestoreOptions};
use crate::{host, operator};

pub fn make(options: &BackupOptions) -> anyhow::Result<ExitCode> {
    let data = options.operator.data.clone().map_or_else(host::default_data, Ok)?;
    if !data.is_dir() {
        bail!("{} is no directory; name the cloud's with --data", data.display());
    }
    let to =
        std::path::absolute(&options.to).with_context(|| format!("cannot tell where {} is", options.to.display()))?;
    if fs::read_dir(&to).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{} is not empty; name a directory that is, or that is not there yet", to.display());
    }
    // Nobody starts a cloud on it meanwhile.
    let about = match host::take_directory(&data) {
        Ok(_lock) => backup::of_directory(&data, &to)?,
        Err(_) => {
            let reply = operator::ask_plainly(&options.operator, "CreateBackup")?;
            let made = reply.text("Directory")?;
            move_directory(Path::new(&made), &to)
                .with_context(|| format!("the backup is complete, but stays on the server's machine in {made}"))?;
            backup::read(&to)?
        }
    };
    match options.operator.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&about)?),
        Output::Table => {
            for (region, revision) in &about.regions {
                println!("{region} at revision {revision}");
            }
            println!("\n{} holds the cloud's keys: keep it as safe as {}", to.display(), data.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub fn restore(options: &RestoreOptions) -> anyhow::Result<ExitCode> {
    let data = options.data.clone().map_or_else(host::default_data, Ok)?;
    let _lock = host::take_directory(&data)?;
    let about = backup::restore(&options.from, &data)?;
    match options.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&about)?),
        Output::Table => println!("{} is the cloud of {}; start it with --data", data.display(), about.made),
    }
    Ok(ExitCode::SUCCESS)
}

/// At once where it can be, else file by file.
fn move_directory(from: &Path, to: &Path) -> io::Result<()> {
    if fs::rename(from, to).is_ok() {
        return Ok(());
    }
    copy_directory(from, to)?;
    fs::remove_dir_all(from)
}

fn copy_directory(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_directory(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
