//! What the agent keeps on disk: for each instance its root, its console and what finds it again after a kill.
//!
//! ```text
//!   <data>/agent.sock
//!   <data>/instances/i-0123.../root/          the instance's own files, until Terminate
//!                             console.log
//!                             ending          what its init wrote when it ended by itself
//!                             slot            which range of user ids it has
//! ```
//!
//! What finds it all again after the agent's end is in [`kept`](crate::kept).

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use linux::sandbox::{IDS, Record};
use model::{InstanceId, Time};

use crate::{Options, StartError, chain};

/// User ids of instances begin here, far above those of people and services.
const UID_BASE: u32 = 1_000_000_000;
/// Ranges of user ids on one machine.
const SLOTS: u32 = 40_000;

pub(crate) struct InstanceFiles(PathBuf);

pub(crate) fn of_instance(options: &Options, id: InstanceId) -> InstanceFiles {
    InstanceFiles(instances_dir(&options.data).join(id.to_string()))
}

fn instances_dir(data: &Path) -> PathBuf {
    data.join("instances")
}

/// Makes the directories.
pub(crate) fn prepare(options: &Options) -> Result<(), StartError> {
    let path = instances_dir(&options.data);
    let made = fs::DirBuilder::new().recursive(true).mode(0o711).create(&path);
    made.map_err(|source| StartError::File { what: "make", path, source })
}

/// Ends the instances that an agent left running in its data directory, which no agent may use meanwhile; their files stay for as long
/// as their records do. Returns those that were running, each with why it could not be ended, if so.
pub fn end_instances(data: &Path) -> Vec<(InstanceId, io::Result<()>)> {
    let mut found = Vec::new();
    for id in stored_in(data) {
        let files = InstanceFiles(instances_dir(data).join(id.to_string()));
        let Some(record) = files.record() else { continue };
        match record.kill_leftover() {
            Ok(true) => found.push((id, Ok(()))),
            Ok(false) => {}
            Err(error) => {
                found.push((id, Err(error)));
                continue;
            }
        }
        files.forget();
    }
    found
}

/// Ends the sandboxes that an earlier run left.
pub(crate) fn clean_up(options: &Options) {
    for (id, ended) in end_instances(&options.data) {
        match ended {
            Ok(()) => tracing::info!(%id, "ended what an earlier run left"),
            Err(error) => tracing::warn!(%id, %error, "what an earlier run left cannot be ended"),
        }
    }
}

/// The instances that have files here.
pub(crate) fn stored(options: &Options) -> Vec<InstanceId> {
    stored_in(&options.data)
}

fn stored_in(data: &Path) -> Vec<InstanceId> {
    let Ok(entries) = fs::read_dir(instances_dir(data)) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

impl InstanceFiles {
    pub(crate) fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    pub(crate) fn console(&self) -> PathBuf {
        self.0.join("console.log")
    }

    /// The end of what the console says, and when it said something last.
    pub(crate) fn console_tail(&self, bytes_max: usize) -> io::Result<(Vec<u8>, Time)> {
        let mut file = fs::File::open(self.console())?;
        let metadata = file.metadata()?;
        let since = metadata.modified()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let bytes_max = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        file.seek(SeekFrom::Start(metadata.len().saturating_sub(bytes_max)))?;
        let mut tail = Vec::new();
        // It may grow meanwhile.
        file.take(bytes_max).read_to_end(&mut tail)?;
        Ok((tail, Time::from_unix_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))))
    }

    pub(crate) fn ending(&self) -> PathBuf {
        self.0.join("ending")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn make(&self) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o711).create(&self.0)
    }

    /// The first of the instance's user ids: the same at each start, and no other instance's here. Two agents on one machine
    /// begin at different places.
    pub(crate) fn uid_base(&self, options: &Options) -> io::Result<u32> {
        let path = self.0.join("slot");
        if let Some(slot) = read_slot(&path) {
            return Ok(UID_BASE + slot * IDS);
        }
        let taken: BTreeSet<u32> =
            stored(options).into_iter().filter_map(|id| read_slot(&of_instance(options, id).0.join("slot"))).collect();
        let start = options
            .data
            .to_string_lossy()
            .bytes()
            .fold(2_166_136_261_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619))
            % SLOTS;
        let free = (0..SLOTS).map(|n| (start + n) % SLOTS).find(|slot| !taken.contains(slot));
        let slot = free.ok_or_else(|| {
            io::Error::other(format!("all {SLOTS} ranges of user ids are taken; terminate instances"))
        })?;
        write_whole(&path, slot.to_string().as_bytes())?;
        Ok(UID_BASE + slot * IDS)
    }

    pub(crate) fn record(&self) -> Option<Record> {
        serde_json::from_slice(&fs::read(self.0.join("sandbox.json")).ok()?).ok()
    }

    pub(crate) fn forget(&self) {
        let _ = fs::remove_file(self.0.join("sandbox.json"));
    }

    /// Everything of the instance.
    pub(crate) fn remove(&self) -> io::Result<()> {
        linux::sandbox::remove_files(&self.root())?;
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
        .inspect_err(|error| tracing::warn!(path = %self.0.display(), error = %chain(error), "files stay"))
    }
}

fn read_slot(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok().filter(|slot| *slot < SLOTS)
}

/// The whole file or the old one, whenever the process stops; only its owner may read it.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::rename(write_fresh(path, bytes)?.1, path)
}

/// The same, whenever the machine stops.
pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (file, fresh) = write_fresh(path, bytes)?;
    file.sync_all()?;
    fs::rename(fresh, path)?;
    fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

fn write_fresh(path: &Path, bytes: &[u8]) -> io::Result<(fs::File, PathBuf)> {
    let fresh = path.with_extension("new");
    // One that was left there may have other rights.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes)?;
    Ok((file, fresh))
}
