//! Backups: the state of all regions at one moment, while the server runs or not, and what only this cloud has besides (keys, the
//! authority). A backup is a directory that looks like a data directory, with `backup.json` in it (decision 0045).
//!
//! Not in it: what hosts keep (instances' own files, flow logs), which is theirs.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ec2::service::{BackupRegion, BackupResult, PeerwayReply};
use ec2::{Caller, Error};
use model::{AccountId, Region};
use serde::{Deserialize, Serialize};
use store::{Snapshot, Store};

use crate::region::{chain, internal, machine_time};
use crate::{Cloud, records};

/// What says that a directory is a backup, and of what kind.
const FILE_NAME: &str = "backup.json";
const FORMAT: u32 = 1;
const REGIONS: &str = "regions";
/// What belongs to a running process, not to the cloud.
const NOT_KEPT: [&str; 2] = ["lock", FILE_NAME];
/// A file of the data directory's first level is a few hundred bytes.
const FILE_MAX: u64 = 16 << 20;

/// `backup.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    pub format: u32,
    /// The program's that made it.
    pub version: String,
    /// ISO 8601.
    pub made: String,
    /// The revision of each region's state.
    pub regions: BTreeMap<Region, u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("cannot {what} `{}`", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error(transparent)]
    Store(#[from] store::OpenError),
    #[error("`{}` is not empty; name a directory that is, or that is not there yet", .0.display())]
    NotEmpty(PathBuf),
    #[error("`{}` is no backup: it has no readable {FILE_NAME}", .0.display())]
    NoBackup(PathBuf),
    #[error("`{}` has format {found}, this program knows up to {FORMAT}; use the newer program", path.display())]
    Newer { path: PathBuf, found: u32 },
    #[error("the backup's region {region} cannot be read")]
    Records { region: Region, source: store::record::RecordError },
    #[error("the backup's region {region} is at revision {found}, its {FILE_NAME} says {expected}")]
    Revision { region: Region, found: u64, expected: u64 },
    #[error("`{}` has no regions; is it a data directory?", .0.display())]
    NoRegions(PathBuf),
}

/// What [`of_running`] answers over the API; the operator asks.
pub(crate) async fn create(cloud: &Cloud, caller: &Caller) -> Result<PeerwayReply, Error> {
    if caller.account != AccountId::OPERATOR {
        let message = format!("User: {} may not do that; ask with the operator's key", caller.arn);
        return Err(Error::new("AccessDenied", message).with_status(403));
    }
    let Some(data) = cloud.options.data.clone() else {
        return Err(Error::new("UnsupportedOperation", "This cloud is in memory only; start it with a data directory"));
    };
    let snapshots = snapshots(cloud).ok_or_else(|| internal("a region is closed"))?;
    let regions = snapshots.iter().map(|(region, one)| BackupRegion { region: *region, revision: one.revision });
    let regions = regions.collect();
    let to = data.join(format!("backup-{}", machine_time().as_unix_millis()));
    let directory = to.display().to_string();
    let written = tokio::task::spawn_blocking(move || write(&data, &to, &snapshots)).await;
    written.map_err(|_| internal("a backup was not made"))?.map_err(|error| {
        tracing::error!(error = %chain(&error), "a backup was not made");
        internal("a backup was not made; see the server's log")
    })?;
    tracing::info!(directory, "made a backup");
    Ok(PeerwayReply::CreateBackup(BackupResult { directory, regions }))
}

/// All regions at one moment: what one has told another is in both, or is still to be told.
fn snapshots(cloud: &Cloud) -> Option<BTreeMap<Region, Snapshot>> {
    let held: Vec<_> = cloud.regions.iter().map(|(region, shell)| (*region, shell.hold())).collect();
    held.iter().map(|(region, held)| Some((*region, held.snapshot()?))).collect()
}

/// A backup of a data directory that no process uses, at `to`, which is not there yet or empty.
///
/// # Errors
/// [`BackupError`].
pub fn of_directory(data: &Path, to: &Path) -> Result<Backup, BackupError> {
    let mut snapshots = BTreeMap::new();
    for region in regions_of(data)? {
        let store = Store::open(data.join(REGIONS).join(region.as_str()))?;
        snapshots.insert(region, store.snapshot(""));
    }
    write(data, to, &snapshots)
}

/// Makes a data directory of a backup, where there is none: `data` is not there, or holds nothing but a lock.
///
/// # Errors
/// [`BackupError`]; what was written until then stays, and is no data directory that starts unnoticed: it is not empty.
pub fn restore(backup: &Path, data: &Path) -> Result<Backup, BackupError> {
    let about = read(backup)?;
    refuse_used(data)?;
    // All is read before anything is written.
    let mut snapshots = BTreeMap::new();
    for (region, expected) in &about.regions {
        let folder = backup.join(REGIONS).join(region.as_str());
        if !folder.is_dir() {
            return Err(BackupError::NoRegions(backup.to_owned()));
        }
        let snapshot = Store::open(folder)?.snapshot("");
        records::load(&snapshot).map_err(|source| BackupError::Records { region: *region, source })?;
        if snapshot.revision != *expected {
            return Err(BackupError::Revision { region: *region, found: snapshot.revision, expected: *expected });
        }
        snapshots.insert(*region, snapshot);
    }
    copy_all(backup, data, &snapshots)?;
    Ok(about)
}

/// What a backup says about itself.
///
/// # Errors
/// Where there is none, or a newer program's.
pub fn read(backup: &Path) -> Result<Backup, BackupError> {
    let path = backup.join(FILE_NAME);
    let bytes = fs::read(&path).map_err(|_| BackupError::NoBackup(backup.to_owned()))?;
    let about: Backup = serde_json::from_slice(&bytes).map_err(|_| BackupError::NoBackup(backup.to_owned()))?;
    if about.format > FORMAT {
        return Err(BackupError::Newer { path, found: about.format });
    }
    Ok(about)
}

fn write(data: &Path, to: &Path, snapshots: &BTreeMap<Region, Snapshot>) -> Result<Backup, BackupError> {
    refuse_used(to)?;
    copy_all(data, to, snapshots)?;
    let about = Backup {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").into(),
        made: machine_time().to_string(),
        regions: snapshots.iter().map(|(region, snapshot)| (*region, snapshot.revision)).collect(),
    };
    // Last: a directory that has it is whole.
    let path = to.join(FILE_NAME);
    let bytes = serde_json::to_vec_pretty(&about).unwrap_or_default();
    crate::private_file::write(&path, &bytes).map_err(failed("write", &path))?;
    Ok(about)
}

/// The regions as stores of their own, and the files of the first level.
fn copy_all(from: &Path, to: &Path, snapshots: &BTreeMap<Region, Snapshot>) -> Result<(), BackupError> {
    DirBuilder::new().recursive(true).mode(0o700).create(to).map_err(failed("make", to))?;
    for (region, snapshot) in snapshots {
        store::write_copy(to.join(REGIONS).join(region.as_str()), snapshot)?;
    }
    for entry in fs::read_dir(from).map_err(failed("read", from))? {
        let entry = entry.map_err(failed("read", from))?;
        let (path, name) = (entry.path(), entry.file_name());
        let about = fs::symlink_metadata(&path).map_err(failed("read", &path))?;
        let is_kept = about.is_file() && about.len() <= FILE_MAX && !NOT_KEPT.iter().any(|other| name == *other);
        if is_kept && path.extension().is_none_or(|extension| extension != "new") {
            copy(&path, &to.join(name), about.permissions().mode())?;
        }
    }
    Ok(())
}

/// With the same mode from the first byte on: there are keys among them.
fn copy(from: &Path, to: &Path, mode: u32) -> Result<(), BackupError> {
    let mut source = fs::File::open(from).map_err(failed("read", from))?;
    let made = fs::File::options().write(true).create_new(true).mode(mode & 0o777).open(to);
    let mut target = made.map_err(failed("make", to))?;
    io::copy(&mut source, &mut target).and_then(|_| target.sync_all()).map_err(failed("write", to))
}

fn regions_of(data: &Path) -> Result<Vec<Region>, BackupError> {
    let folder = data.join(REGIONS);
    let entries = fs::read_dir(&folder).map_err(|_| BackupError::NoRegions(data.to_owned()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let regions: Vec<Region> = names.collect();
    if regions.is_empty() { Err(BackupError::NoRegions(data.to_owned())) } else { Ok(regions) }
}

fn refuse_used(path: &Path) -> Result<(), BackupError> {
    match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(BackupError::Io { what: "read", path: path.to_owned(), source }),
        Ok(entries) => {
            let is_lock = |entry: io::Result<fs::DirEntry>| entry.is_ok_and(|entry| entry.file_name() == "lock");
            if entries.into_iter().all(is_lock) { Ok(()) } else { Err(BackupError::NotEmpty(path.to_owned())) }
        }
    }
}

fn failed(what: &'static str, path: &Path) -> impl Fn(io::Error) -> BackupError {
    move |source| BackupError::Io { what, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use store::{Key, Txn};

    use super::*;

    fn filled() -> tempfile::TempDir {
        let data = tempfile::tempdir().unwrap();
        let store = Store::open(data.path().join("regions/us-east-1")).unwrap();
        let clock = model::Resource::Clock(std::sync::Arc::new(model::federation::Clock { ahead_ms: 7 }));
        let value = store::record::encode(&clock).unwrap();
        store.commit(Txn::new().put(Key::new("/us-east-1/clock/0").unwrap(), value)).unwrap();
        fs::write(data.path().join("authority.json"), "secret").unwrap();
        fs::set_permissions(data.path().join("authority.json"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(data.path().join("lock"), "").unwrap();
        fs::create_dir(data.path().join("host")).unwrap();
        data
    }

    #[test]
    fn what_is_restored_is_what_was_there() {
        let (data, other) = (filled(), tempfile::tempdir().unwrap());
        let (backup, back) = (other.path().join("backup"), other.path().join("data"));
        let made = of_directory(data.path(), &backup).unwrap();
        assert_eq!(restore(&backup, &back).unwrap(), made);
        let open = |data: &Path| Store::open(data.join("regions/us-east-1")).unwrap().snapshot("");
        assert_eq!(open(&back), open(data.path()));
        let authority = back.join("authority.json");
        assert_eq!(fs::read_to_string(&authority).unwrap(), "secret");
        assert_eq!(fs::metadata(&authority).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!back.join("host").exists() && !back.join(FILE_NAME).exists());
    }

    #[test]
    fn nothing_is_overwritten() {
        let (data, other) = (filled(), tempfile::tempdir().unwrap());
        let backup = other.path().join("backup");
        of_directory(data.path(), &backup).unwrap();
        assert!(matches!(of_directory(data.path(), &backup), Err(BackupError::NotEmpty(_))));
        assert!(matches!(restore(&backup, data.path()), Err(BackupError::NotEmpty(_))));
        let empty = tempfile::tempdir().unwrap();
        fs::write(empty.path().join("lock"), "").unwrap();
        restore(&backup, empty.path()).unwrap();
    }

    #[test]
    fn what_is_no_backup_or_a_damaged_one_is_refused() {
        let (data, other) = (filled(), tempfile::tempdir().unwrap());
        let (backup, back) = (other.path().join("backup"), other.path().join("data"));
        assert!(matches!(restore(data.path(), &back), Err(BackupError::NoBackup(_))));
        let made = of_directory(data.path(), &backup).unwrap();
        let says = |about: &Backup| fs::write(backup.join(FILE_NAME), serde_json::to_vec(about).unwrap()).unwrap();
        says(&Backup { format: FORMAT + 1, ..made.clone() });
        assert!(matches!(restore(&backup, &back), Err(BackupError::Newer { .. })));
        says(&Backup { regions: made.regions.iter().map(|(region, n)| (*region, n + 1)).collect(), ..made.clone() });
        assert!(matches!(restore(&backup, &back), Err(BackupError::Revision { .. })));
        says(&made);
        fs::write(backup.join("regions/us-east-1/store.redb"), "nonsense").unwrap();
        assert!(matches!(restore(&backup, &back), Err(BackupError::Store(_))));
        assert!(!back.exists(), "nothing is written before all is read");
        assert!(matches!(of_directory(other.path(), &back), Err(BackupError::NoRegions(_))));
    }
}
