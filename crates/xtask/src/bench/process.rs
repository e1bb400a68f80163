//! Programs: started, waited for with a limit, and what they cost.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long a command that sets something up may take.
const SETUP: Duration = Duration::from_secs(60);
/// Ticks of `/proc/PID/stat` in a second: `USER_HZ`, the same on every architecture Linux still runs on but Alpha.
const TICKS_PER_SECOND: f64 = 100.0;
/// Characters of a command in an error.
const SHOWN_MAX: usize = 160;
/// How often a process is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// What a program left behind.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) status: ExitStatus,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs a program to its end; standard output, if it succeeds.
///
/// # Errors
/// With the command and what it said.
pub(super) fn run(program: &str, args: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    command.args(args);
    succeed(command, SETUP)
}

/// As [`run`], for a command that is ready.
pub(super) fn succeed(command: Command, limit: Duration) -> Result<String> {
    let shown = show(&command);
    let outcome = finish(command, limit)?;
    if !outcome.status.success() {
        bail!("`{shown}` failed ({}): {}{}", outcome.status, outcome.stderr.trim(), outcome.stdout.trim());
    }
    Ok(outcome.stdout)
}

/// Runs a command to its end, or kills it at the limit.
///
/// # Errors
/// When it cannot be started, or did not end in time.
pub(super) fn finish(mut command: Command, limit: Duration) -> Result<Outcome> {
    let shown = show(&command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start `{shown}`"))?;
    let (stdout, stderr) = (gather(child.stdout.take()), gather(child.stderr.take()));
    let Some(status) = wait(&mut child, limit)? else {
        let _ = child.kill();
        let _ = child.wait();
        bail!("`{shown}` did not end in {limit:?}");
    };
    // Somebody else may hold the pipe's other end; what has not come by now will not.
    let text = |receiver: Receiver<String>| receiver.recv_timeout(Duration::from_secs(2)).unwrap_or_default();
    Ok(Outcome { status, stdout: text(stdout), stderr: text(stderr) })
}

/// Waits for a child's end; `None` when the limit passes first.
pub(super) fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for a process")? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(LOOK);
    }
}

/// Runs a program for what it does; whether it worked does not matter.
pub(super) fn quietly(program: &str, args: &[&str]) {
    let _ = Command::new(program).args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

/// Lines of a running program, as they come.
pub(super) fn lines(stdout: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn gather(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = channel();
    if let Some(mut pipe) = pipe {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = pipe.read_to_end(&mut bytes);
            let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
        });
    }
    receiver
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let shown = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    // Whole rule sets are passed as arguments.
    shown.chars().take(SHOWN_MAX).collect()
}

/// The fields of `/proc/PID/stat` that we read (proc_pid_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) state: char,
    /// User and system time, in ticks.
    ticks: u64,
    /// Ticks since boot at birth.
    pub(super) start_time: u64,
}

impl Stat {
    pub(super) fn of(pid: u32) -> Option<Stat> {
        Stat::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name in parentheses may hold anything, so fields count from the last one.
    fn parse(text: &str) -> Option<Stat> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Stat { state: fields.first()?.chars().next()?, ticks: number(14)? + number(15)?, start_time: number(22)? })
    }
}

/// Processor seconds used so far: by processes, by each of their threads, by the whole machine.
#[derive(Clone, Debug, Default)]
pub(super) struct Usage {
    pub(super) processes: f64,
    /// Thread id and seconds.
    threads: Vec<(u32, f64)>,
    pub(super) machine: f64,
}

impl Usage {
    pub(super) fn now(pids: &[u32]) -> Usage {
        let seconds = |stat: Stat| stat.ticks as f64 / TICKS_PER_SECOND;
        let processes = pids.iter().filter_map(|pid| Stat::of(*pid)).map(seconds).sum();
        let threads = pids.iter().flat_map(|pid| threads(*pid)).map(|(id, stat)| (id, seconds(stat))).collect();
        Usage { processes, threads, machine: machine() }
    }

    /// What was used since an earlier look.
    pub(super) fn since(&self, earlier: &Usage) -> Usage {
        let before =
            |id: u32| earlier.threads.iter().find(|(other, _)| *other == id).map_or(0.0, |(_, seconds)| *seconds);
        Usage {
            processes: self.processes - earlier.processes,
            threads: self.threads.iter().map(|(id, seconds)| (*id, seconds - before(*id))).collect(),
            machine: self.machine - earlier.machine,
        }
    }

    /// What the second busiest thread did, as a share of the busiest one's: 0 when one does all the work, 1 when two share it.
    pub(super) fn balance(&self) -> f64 {
        let mut seconds: Vec<f64> = self.threads.iter().map(|(_, seconds)| *seconds).collect();
        seconds.sort_by(|a, b| b.total_cmp(a));
        match seconds[..] {
            [first, second, ..] if first > 0.0 => second / first,
            _ => 0.0,
        }
    }
}

fn threads(pid: u32) -> Vec<(u32, Stat)> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let ids = tasks.flatten().filter_map(|task| task.file_name().to_str()?.parse::<u32>().ok());
    let stat =
        |id: u32| Some((id, Stat::parse(&std::fs::read_to_string(format!("/proc/{pid}/task/{id}/stat")).ok()?)?));
    ids.filter_map(stat).collect()
}

/// Busy seconds of all processors: user, nice, system, irq, softirq (proc_stat(5)).
fn machine() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<f64> =
        text.lines().next().unwrap_or_default().split_whitespace().skip(1).filter_map(|f| f.parse().ok()).collect();
    [0, 1, 2, 5, 6].iter().filter_map(|n| fields.get(*n)).sum::<f64>() / TICKS_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_count_from_the_last_parenthesis() {
        let text = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 12 30 0 0 20 0 1 0 555 1000 10";
        assert_eq!(Stat::parse(text), Some(Stat { state: 'S', ticks: 42, start_time: 555 }));
        assert_eq!(Stat::parse("7 (a"), None);
    }

    #[test]
    fn balance_is_the_second_beside_the_first() {
        let usage =
            |seconds: &[f64]| Usage { threads: (0..).zip(seconds.iter().copied()).collect(), ..Usage::default() };
        assert!((usage(&[0.1, 2.0, 1.0]).balance() - 0.5).abs() < 1e-9);
        assert!(usage(&[2.0]).balance().abs() < 1e-9);
    }

    #[test]
    fn a_program_over_its_limit_is_ended() {
        let mut command = Command::new("sleep");
        command.arg("30");
        let started = Instant::now();
        assert!(
            finish(command, Duration::from_millis(50)).is_err_and(|error| error.to_string().contains("did not end"))
        );
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}
