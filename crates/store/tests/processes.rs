//! Several processes and one directory: killed writers, a full disk, a second opener.
//!
//! The child is this very binary, running only the test [`writer`]. Every transaction writes one value, its own revision, under
//! three keys: odd revisions under keys of their own, even ones in turn under one of [`SLOTS`]. So each prefix of the
//! history has one exact content, and any store found after a crash can be checked against its own revision.

use std::collections::BTreeMap;
use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::mem;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use store::{CommitError, Key, OpenError, Options, REVISION_FIRST, Store, Txn};

const DIR: &str = "STORE_TEST_DIR";
const VALUE_BYTES: &str = "STORE_TEST_VALUE_BYTES";
const JOURNAL_BYTES: &str = "STORE_TEST_JOURNAL_BYTES";
/// A few groups fill it.
const JOURNAL_SMALL: u64 = 20_000;
const SLOTS: u64 = 16;
const TRANSACTIONS_MAX: u64 = 400;
const ROUNDS: u64 = 25;

/// The child's part when [`DIR`] is set, else a short run of the same in this process.
#[test]
fn writer() {
    let Some(dir) = env::var_os(DIR) else {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), 8, 40, JOURNAL_SMALL);
        return assert!(check(dir.path()) > 40);
    };
    let number = |name| env::var(name).unwrap().parse().unwrap();
    write(Path::new(&dir), number(VALUE_BYTES) as usize, TRANSACTIONS_MAX, number(JOURNAL_BYTES));
    // Until the parent ends this process, or is gone itself.
    let _ = io::stdin().read(&mut [0]);
}

/// Commits batches of random size and reports each revision after it was acknowledged.
fn write(dir: &Path, value_bytes: usize, transactions: u64, journal_bytes_max: u64) {
    let store = Store::open_with(dir, Options { journal_bytes_max, ..Options::default() }).unwrap();
    let opened = store.revision();
    let mut rng = ChaCha8Rng::seed_from_u64(opened);
    report(&format!("\nopened {opened}\n"));
    let mut failures = 0;
    while store.revision() < opened + transactions && failures < 2 {
        let next = store.revision() + 1;
        let size = 1 + rng.next_u64() % 16;
        let answers = store.commit_batch((next..next + size).map(|revision| txn(revision, value_bytes)).collect());
        let mut lines = String::new();
        for (expected, answer) in (next..).zip(answers) {
            lines += &match answer {
                Ok(revision) => {
                    assert_eq!(revision, expected);
                    format!("acked {revision}\n")
                }
                Err(CommitError::Io(_)) => "unknown\n".to_owned(),
                Err(CommitError::Stopped(_)) => "stopped\n".to_owned(),
                Err(other) => panic!("{other:?}"),
            };
        }
        failures += u64::from(!lines.starts_with("acked"));
        report(&lines);
    }
    report("done\n");
}

fn txn(revision: u64, value_bytes: usize) -> Txn {
    let value = format!("{revision:<value_bytes$}");
    keys(revision).into_iter().fold(Txn::new(), |txn, key| txn.put(key, value.as_bytes()))
}

fn keys(revision: u64) -> [Key; 3] {
    let place = if revision % 2 == 1 { format!("own/{revision}") } else { format!("slot/{}", revision / 2 % SLOTS) };
    ["a", "b", "c"].map(|name| Key::new(format!("/{place}/{name}")).unwrap())
}

fn report(lines: &str) {
    print!("{lines}");
    io::stdout().flush().unwrap();
}

/// Opens the store as any process would and checks all of its content against its revision, which is returned.
fn check(dir: &Path) -> u64 {
    let store = Store::open(dir).unwrap();
    let snapshot = store.snapshot("");
    let mut expected = BTreeMap::new();
    for revision in REVISION_FIRST + 1..=snapshot.revision {
        expected.extend(keys(revision).map(|key| (key, revision)));
    }
    let read = |value: &[u8]| String::from_utf8_lossy(value).trim().parse::<u64>().unwrap();
    let found = snapshot.entries.into_iter().map(|(key, entry)| {
        assert_eq!(entry.mod_revision, read(&entry.value), "{key}");
        (key, entry.mod_revision)
    });
    assert_eq!(found.collect::<BTreeMap<_, _>>(), expected);
    snapshot.revision
}

/// A child that writes to `dir`; killed if the test ends before it.
struct Writer {
    child: Child,
    out: BufReader<ChildStdout>,
    lines: Vec<String>,
}

impl Writer {
    fn start(dir: &Path, journal_bytes: u64) -> Self {
        Self::spawn(Command::new(env::current_exe().unwrap()), dir, 8, journal_bytes)
    }

    fn spawn(mut command: Command, dir: &Path, value_bytes: usize, journal_bytes: u64) -> Self {
        command.args(["--exact", "writer", "--nocapture", "--test-threads=1"]);
        command.env(DIR, dir).env(VALUE_BYTES, value_bytes.to_string());
        command.env(JOURNAL_BYTES, journal_bytes.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out, lines: Vec::new() }
    }

    /// Reads one complete line, if the child completes one more.
    fn read_line(&mut self) -> bool {
        let mut text = String::new();
        self.out.read_line(&mut text).unwrap();
        let complete = text.strip_suffix('\n').map(|line| self.lines.push(line.to_owned()));
        complete.is_some()
    }

    fn wait_for(&mut self, start: &str) {
        while self.lines.last().is_none_or(|line| !line.starts_with(start)) {
            assert!(self.read_line(), "the writer ended before `{start}`: {:?}", self.lines);
        }
    }

    /// Kills the child and returns all lines it had completed.
    fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        while self.read_line() {}
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        assert_eq!(status.signal(), Some(9), "the writer ended by itself\n{:?}\n{errors}", self.lines);
        mem::take(&mut self.lines)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn acknowledged(lines: &[String]) -> Vec<u64> {
    lines.iter().filter_map(|line| line.strip_prefix("acked ")).map(|number| number.parse().unwrap()).collect()
}

#[test]
fn nothing_acknowledged_is_lost_when_the_writer_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(0x5eed);
    let mut revision = REVISION_FIRST;
    let (mut acked_all, mut killed_busy) = (0, 0);
    for round in 0..ROUNDS {
        // Some die while they start and open, most while they write.
        let journal_bytes = if round % 2 == 0 { JOURNAL_SMALL } else { Options::default().journal_bytes_max };
        let mut writer = Writer::start(dir.path(), journal_bytes);
        if round % 5 > 0 {
            writer.wait_for("acked");
        }
        thread::sleep(Duration::from_micros(rng.next_u64() % 40_000));
        let lines = writer.kill();
        let acked = acknowledged(&lines);
        let found = check(dir.path());
        assert!(found >= revision, "round {round}: revision {found} after {revision}");
        if let (Some(first), Some(last)) = (acked.first(), acked.last()) {
            assert!(*first > revision, "round {round}: revision {first} was given out twice");
            assert!(found >= *last, "round {round}: revision {last} was acknowledged, the store is at {found}");
        }
        acked_all += acked.len();
        killed_busy += usize::from(!acked.is_empty() && !lines.contains(&"done".to_owned()));
        revision = found;
    }
    assert!(acked_all > 100 && killed_busy > 2, "{acked_all} acknowledged, {killed_busy} killed while writing");
}

#[test]
fn the_directory_of_a_living_process_is_refused_and_that_of_a_dead_one_opens() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::start(dir.path(), JOURNAL_SMALL);
    writer.wait_for("opened");
    let error = Store::open(dir.path()).unwrap_err();
    let child = writer.child.id();
    assert!(
        matches!(&error, OpenError::Locked { path, pid: Some(pid) } if path == dir.path() && *pid == child),
        "{error:?}"
    );
    writer.kill();
    check(dir.path());
}

#[test]
fn a_disk_too_full_for_the_journal_stops_the_writer_and_loses_nothing() {
    fills_the_disk(Options::default().journal_bytes_max);
}

#[test]
fn a_disk_too_full_for_the_tables_stops_the_writer_and_loses_nothing() {
    fills_the_disk(1_500_000);
}

fn fills_the_disk(journal_bytes: u64) {
    let dir = tempfile::tempdir().unwrap();
    // A limit on the size of files, in blocks of 512 bytes, stands for the full disk.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 6000; exec \"$0\" \"$@\""]).arg(env::current_exe().unwrap());
    let mut writer = Writer::spawn(command, dir.path(), 20_000, journal_bytes);
    writer.wait_for("done");
    let lines = writer.kill();
    let has = |line: &str| lines.iter().any(|l| l == line);
    assert!(has("unknown") && has("stopped"), "the disk did not fill: {lines:?}");
    let acked = acknowledged(&lines);
    let first_failure = lines.iter().position(|line| line == "unknown").unwrap();
    assert!(lines[first_failure..].iter().all(|line| !line.starts_with("acked")), "{lines:?}");
    let found = check(dir.path());
    assert!(acked.len() > 10 && acked.last().is_some_and(|last| found >= *last), "{found} {acked:?}");
    let store = Store::open(dir.path()).unwrap();
    store.commit(txn(found + 1, 20_000)).expect("with room again, writing goes on");
}
