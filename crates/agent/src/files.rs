//! What the agent keeps on disk: for each instance its root, its console and what finds it again after a kill.
//!
//! ```text
//!   <data>/agent.sock
//!   <data>/instances/i-0123.../root/          the instance's own files, until Terminate
//!                             console.log
//!                             sandbox.json    the running sandbox
//!                             slot            which range of user ids it has
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use linux::sandbox::{IDS, Record};
use model::InstanceId;

use crate::{Options, StartError, chain};

/// User ids of instances begin here, far above those of people and services.
const UID_BASE: u32 = 1_000_000_000;
/// Ranges of user ids on one machine.
const SLOTS: u32 = 40_000;

pub(crate) struct InstanceFiles(PathBuf);

pub(crate) fn of_instance(options: &Options, id: InstanceId) -> InstanceFiles {
    InstanceFiles(instances_dir(options).join(id.to_string()))
}

fn instances_dir(options: &Options) -> PathBuf {
    options.data.join("instances")
}

/// Makes the directories.
pub(crate) fn prepare(options: &Options) -> Result<(), StartError> {
    let path = instances_dir(options);
    let made = fs::DirBuilder::new().recursive(true).mode(0o711).create(&path);
    made.map_err(|source| StartError::File { what: "make", path, source })
}

/// Ends the sandboxes that an earlier run left; their files stay for as long as their instances do.
pub(crate) fn clean_up(options: &Options) {
    for id in stored(options) {
        let files = of_instance(options, id);
        let Some(record) = files.record() else { continue };
        match record.kill_leftover() {
            Ok(true) => tracing::info!(%id, "ended what an earlier run left"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%id, %error, "what an earlier run left cannot be ended"),
        }
        files.forget();
    }
}

/// The instances that have files here.
pub(crate) fn stored(options: &Options) -> Vec<InstanceId> {
    let Ok(entries) = fs::read_dir(instances_dir(options)) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

impl InstanceFiles {
    pub(crate) fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    pub(crate) fn console(&self) -> PathBuf {
        self.0.join("console.log")
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

    /// What a running sandbox can be found by.
    pub(crate) fn remember(&self, record: &Record) -> io::Result<()> {
        write_whole(&self.0.join("sandbox.json"), &serde_json::to_vec(record)?)
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

/// The whole file or the old one, whenever the machine stops.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    fs::write(&fresh, bytes)?;
    fs::rename(fresh, path)
}
