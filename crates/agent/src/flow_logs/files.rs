//! Where lines go: plain text, laid out as AWS lays its files out in S3.
//!
//! ```text
//!   <data>/flow-logs/AWSLogs/<account>/vpcflowlogs/<region>/2026/01/15/
//!       <account>_vpcflowlogs_<region>_<flow log>_20260115T1200Z_<host>.log
//! ```
//!
//! A file begins with the names of its fields. There is a new one with each hour (UTC), each start and each [`FILE_BYTES_MAX`]; all
//! together have at most [`BYTES_MAX`], beyond which the oldest go.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use model::{FlowLog, FlowLogId, HostId, Region, Time};

use crate::chain;

/// What one file grows to, but for the lines of its last interval.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// All files of one agent.
const BYTES_MAX: u64 = 1 << 30;
/// Files of one flow log that begin in the same minute.
const FILES_PER_MINUTE: u32 = 1000;
/// Directories between the root and a file, at most, and some.
const DEPTH_MAX: usize = 16;
/// The directory below the agent's own.
const FOLDER: &str = "flow-logs";

pub(super) struct Files {
    root: PathBuf,
    host: HostId,
    bytes_max: u64,
    open: BTreeMap<FlowLogId, Open>,
    /// The oldest first.
    all: VecDeque<(PathBuf, u64)>,
    bytes: u64,
}

struct Open {
    file: File,
    path: PathBuf,
    /// Since 1970.
    hour: i64,
    bytes: u64,
}

impl Files {
    /// Finds what earlier runs wrote.
    pub(super) fn open(data: &Path, host: HostId) -> Files {
        let root = data.join(FOLDER);
        let mut found = Vec::new();
        find(&root, DEPTH_MAX, &mut found);
        found.sort();
        let all: VecDeque<_> = found.into_iter().map(|(_, path, bytes)| (path, bytes)).collect();
        let bytes = all.iter().map(|(_, bytes)| bytes).sum();
        Files { root, host, bytes_max: BYTES_MAX, open: BTreeMap::new(), all, bytes }
    }

    /// Adds whole lines to a flow log's file. What cannot be written is lost, and said so.
    pub(super) fn append(&mut self, region: Region, log: &FlowLog, time: Time, lines: &str) {
        if lines.is_empty() {
            return;
        }
        self.make_room(lines.len() as u64);
        if let Err(error) = self.write(region, log, time, lines) {
            self.open.remove(&log.id);
            tracing::warn!(flow_log = %log.id, error = %chain(&error), "lines of a flow log are lost");
        }
    }

    /// Forgets the files of flow logs that are gone; they stay on the disk.
    pub(super) fn close_all_but<T>(&mut self, logs: &BTreeMap<FlowLogId, T>) {
        self.open.retain(|id, _| logs.contains_key(id));
    }

    fn write(&mut self, region: Region, log: &FlowLog, time: Time, lines: &str) -> io::Result<()> {
        let hour = time.as_unix_millis().div_euclid(3_600_000);
        if self.open.get(&log.id).is_none_or(|open| open.hour != hour || open.bytes >= FILE_BYTES_MAX) {
            let open = self.begin(region, log, time, hour)?;
            self.open.insert(log.id, open);
            self.add(log.id, &format!("{}\n", log.format.header()))?;
        }
        self.add(log.id, lines)
    }

    fn add(&mut self, id: FlowLogId, text: &str) -> io::Result<()> {
        let Some(open) = self.open.get_mut(&id) else { return Ok(()) };
        open.file.write_all(text.as_bytes())?;
        let bytes = text.len() as u64;
        open.bytes += bytes;
        self.bytes += bytes;
        // The newest are at the end.
        if let Some((_, size)) = self.all.iter_mut().rev().find(|(path, _)| *path == open.path) {
            *size += bytes;
        }
        Ok(())
    }

    fn begin(&mut self, region: Region, log: &FlowLog, time: Time, hour: i64) -> io::Result<Open> {
        let folder = self.root.join(folder(region, log, time));
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let (account, id, host, minute) = (log.owner, log.id, self.host, minute(time));
        for n in 0..FILES_PER_MINUTE {
            let more = if n == 0 { String::new() } else { format!("-{n}") };
            let path = folder.join(format!("{account}_vpcflowlogs_{region}_{id}_{minute}_{host}{more}.log"));
            match OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => {
                    self.all.push_back((path.clone(), 0));
                    return Ok(Open { file, path, hour, bytes: 0 });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other(format!("{} has {FILES_PER_MINUTE} files of this minute", folder.display())))
    }

    /// Removes the oldest files until so many bytes more are not too many.
    fn make_room(&mut self, bytes: u64) {
        while self.bytes + bytes > self.bytes_max
            && let Some((path, size)) = self.all.pop_front()
        {
            self.bytes -= size;
            self.open.retain(|_, open| open.path != path);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), %error, "an old file of a flow log stays");
                }
                _ => tracing::info!(path = %path.display(), "removed the oldest file of flow logs"),
            }
            // Folders that are empty now go too; the first one that is not ends it.
            let folders = path.ancestors().skip(1).take_while(|folder| *folder != self.root);
            for folder in folders {
                if fs::remove_dir(folder).is_err() {
                    break;
                }
            }
        }
    }
}

/// As the flow log's destination options have it.
fn folder(region: Region, log: &FlowLog, time: Time) -> PathBuf {
    let options = log.destination.options.unwrap_or_default();
    let (account, text) = (log.owner, time.to_string());
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
    let (year, month, day, hour) = (part(0..4), part(5..7), part(8..10), part(11..13));
    let is_hive = options.hive_compatible_partitions;
    let mut path = if is_hive {
        format!(
            "AWSLogs/aws-account-id={account}/aws-service=vpcflowlogs/aws-region={region}/year={year}/month={month}/day={day}"
        )
    } else {
        format!("AWSLogs/{account}/vpcflowlogs/{region}/{year}/{month}/{day}")
    };
    if options.per_hour_partition {
        path.push_str(if is_hive { "/hour=" } else { "/" });
        path.push_str(hour);
    }
    path.into()
}

/// `20260115T1200Z`.
fn minute(time: Time) -> String {
    let text = time.to_string();
    let digits = text.get(..16).unwrap_or_default().replace(['-', ':'], "");
    format!("{digits}Z")
}

/// Every file below a directory, by age.
fn find(folder: &Path, depth: usize, found: &mut Vec<(SystemTime, PathBuf, u64)>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        // What a link leads to is not ours.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() && depth > 0 {
            find(&entry.path(), depth - 1, found);
        } else if metadata.is_file() {
            found.push((metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), entry.path(), metadata.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::flow_log::{DestinationOptions, FileFormat, LogDestination, LogDestinationType};
    use model::{LogFormat, LoggedResource, ResourceId, Tags, TrafficType, VpcId};

    const NOON: &str = "2026-01-15T12:00:30.500Z";

    fn log(n: u128) -> FlowLog {
        FlowLog {
            id: FlowLogId::from_random(n),
            owner: "111111111111".parse().unwrap(),
            resource: LoggedResource::Vpc(VpcId::from_random(1)),
            traffic: TrafficType::All,
            destination: LogDestination {
                kind: LogDestinationType::S3,
                destination: None,
                log_group_name: None,
                deliver_logs_permission_arn: None,
                deliver_cross_account_role: None,
                options: None,
            },
            format: "${bytes} ${action}".parse::<LogFormat>().unwrap(),
            max_aggregation_interval: 60,
            created: Time::EPOCH,
            client_token: None,
            tags: Tags::new(),
        }
    }

    fn files(data: &Path) -> Files {
        Files::open(data, "host-1".parse().unwrap())
    }

    fn region() -> Region {
        "us-east-1".parse().unwrap()
    }

    fn time(text: &str) -> Time {
        Time::parse(text).unwrap()
    }

    fn on_disk(data: &Path) -> Vec<(String, String)> {
        let mut found = Vec::new();
        find(data, DEPTH_MAX, &mut found);
        let relative = |path: &Path| path.strip_prefix(data).unwrap().to_string_lossy().into_owned();
        let mut all: Vec<_> =
            found.iter().map(|(_, path, _)| (relative(path), fs::read_to_string(path).unwrap())).collect();
        all.sort();
        all
    }

    #[test]
    fn a_file_for_each_hour_and_start_with_its_fields_first() {
        let data = tempfile::tempdir().unwrap();
        let log = log(1);
        let mut first = files(data.path());
        first.append(region(), &log, time(NOON), "1 ACCEPT\n");
        first.append(region(), &log, time("2026-01-15T12:59:59Z"), "2 ACCEPT\n");
        first.append(region(), &log, time("2026-01-15T13:00:00Z"), "3 ACCEPT\n");
        first.append(region(), &log, time("2026-01-15T13:00:30Z"), "");
        drop(first);
        files(data.path()).append(region(), &log, time("2026-01-15T13:00:40Z"), "4 REJECT\n");
        let folder =
            "flow-logs/AWSLogs/111111111111/vpcflowlogs/us-east-1/2026/01/15/111111111111_vpcflowlogs_us-east-1";
        let name = |minute: &str| format!("{folder}_{}_{minute}", log.id);
        assert_eq!(
            on_disk(data.path()),
            [
                (name("20260115T1200Z_host-1.log"), "bytes action\n1 ACCEPT\n2 ACCEPT\n".to_owned()),
                (name("20260115T1300Z_host-1-1.log"), "bytes action\n4 REJECT\n".to_owned()),
                (name("20260115T1300Z_host-1.log"), "bytes action\n3 ACCEPT\n".to_owned()),
            ]
        );
    }

    #[test]
    fn folders_are_as_the_options_say() {
        let folder_with = |hive_compatible_partitions, per_hour_partition| {
            let file_format = FileFormat::PlainText;
            let mut log = log(1);
            log.destination.options =
                Some(DestinationOptions { file_format, hive_compatible_partitions, per_hour_partition });
            folder(region(), &log, time(NOON)).display().to_string()
        };
        let hive = "AWSLogs/aws-account-id=111111111111/aws-service=vpcflowlogs/aws-region=us-east-1/year=2026/month=01/day=15";
        assert_eq!(folder_with(false, true), "AWSLogs/111111111111/vpcflowlogs/us-east-1/2026/01/15/12");
        assert_eq!(folder_with(true, false), hive);
        assert_eq!(folder_with(true, true), format!("{hive}/hour=12"));
    }

    #[test]
    fn the_oldest_files_make_room_whoever_wrote_them() {
        let data = tempfile::tempdir().unwrap();
        let line = |n: usize| format!("{n:098}\n");
        let mut earlier = files(data.path());
        earlier.append(region(), &log(1), time("2026-01-14T12:00:00Z"), &line(1));
        drop(earlier);
        let mut now = files(data.path());
        now.bytes_max = 400;
        for n in 2..=5 {
            now.append(region(), &log(n as u128), time(NOON), &line(n));
            let on_disk: usize = on_disk(data.path()).iter().map(|(_, text)| text.len()).sum();
            assert!(on_disk as u64 == now.bytes && on_disk <= 400 + "bytes action\n".len(), "{on_disk}");
        }
        let left: Vec<String> = on_disk(data.path()).into_iter().map(|(path, _)| path).collect();
        assert_eq!(left.len(), 3, "{left:?}");
        assert!(left.iter().all(|path| path.contains("/2026/01/15/")), "{left:?}");
        assert!(!data.path().join("flow-logs/AWSLogs/111111111111/vpcflowlogs/us-east-1/2026/01/14").exists());
        // One that is written to goes too, and begins anew.
        now.bytes_max = 150;
        now.append(region(), &log(5), time(NOON), &line(6));
        assert_eq!(on_disk(data.path()).len(), 1);
        assert!(on_disk(data.path())[0].1.ends_with(&line(6)));
    }

    #[test]
    fn what_cannot_be_written_is_lost_and_nothing_else() {
        let data = tempfile::tempdir().unwrap();
        let mut files = files(data.path());
        fs::write(data.path().join(FOLDER), "a file in the way").unwrap();
        files.append(region(), &log(1), time(NOON), "1 ACCEPT\n");
        fs::remove_file(data.path().join(FOLDER)).unwrap();
        files.append(region(), &log(1), time(NOON), "2 ACCEPT\n");
        assert_eq!(on_disk(data.path())[0].1, "bytes action\n2 ACCEPT\n");
    }
}
