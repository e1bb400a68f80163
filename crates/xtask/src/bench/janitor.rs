//! Removes what a run made, however the run ends.
//!
//! A process of its own, in a process group of its own, that reads from a pipe what is made (one line each) and acts when the
//! pipe ends: at the end of the run, after an error, after Ctrl-C, after a kill. Only what it was told of is touched; a process
//! is known by its pid and the tick of its birth.

use std::io::{BufRead, Write, stdin};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::process::{Stat, quietly};

/// Hidden word of the process.
pub(super) const WORD: &str = "janitor";
/// Things one run may make.
const THINGS_MAX: usize = 4096;
/// How long a process has to end by itself.
const GRACE: Duration = Duration::from_secs(15);

/// The run's end of the pipe.
pub(super) struct Janitor {
    child: Mutex<Child>,
}

impl Janitor {
    pub(super) fn start() -> Result<Janitor> {
        let program = std::env::current_exe().context("this program has no path")?;
        let mut command = Command::new(program);
        command.args(["bench", WORD]).stdin(Stdio::piped()).process_group(0);
        let child = command.spawn().context("cannot start the process that cleans up")?;
        Ok(Janitor { child: Mutex::new(child) })
    }

    pub(super) fn owns_namespace(&self, name: &str) -> Result<()> {
        self.tell(&format!("netns {name}"))
    }

    pub(super) fn owns_directory(&self, path: &Path) -> Result<()> {
        self.tell(&format!("dir {}", path.display()))
    }

    pub(super) fn owns_process(&self, pid: u32) -> Result<()> {
        let born = Stat::of(pid).map_or(0, |stat| stat.start_time);
        self.tell(&format!("process {pid} {born}"))
    }

    fn tell(&self, line: &str) -> Result<()> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let pipe = child.stdin.as_mut().context("the process that cleans up has been dismissed")?;
        writeln!(pipe, "{line}").context("the process that cleans up is gone")
    }
}

impl Drop for Janitor {
    /// Waits until all is clean.
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(child.stdin.take());
        let _ = child.wait();
    }
}

#[derive(Default)]
struct Things {
    processes: Vec<(u32, u64)>,
    namespaces: Vec<String>,
    directories: Vec<String>,
}

/// Entry of the process.
pub(super) fn main() -> Result<()> {
    let mut things = Things::default();
    for line in stdin().lock().lines().map_while(Result::ok).take(THINGS_MAX) {
        match line.split_once(' ') {
            Some(("netns", name)) => things.namespaces.push(name.into()),
            Some(("dir", path)) => things.directories.push(path.into()),
            Some(("process", rest)) => things.processes.extend(process(rest)),
            _ => eprintln!("clean up: `{line}` is not understood"),
        }
    }
    things.remove();
    Ok(())
}

fn process(words: &str) -> Option<(u32, u64)> {
    let (pid, born) = words.split_once(' ')?;
    Some((pid.parse().ok()?, born.parse().ok()?))
}

impl Things {
    fn remove(self) {
        for (pid, born) in self.processes.into_iter().rev() {
            end(pid, born);
        }
        for name in self.namespaces.iter().rev() {
            // Whatever still runs in a namespace of ours was started by us.
            let listed = Command::new("ip").args(["netns", "pids", name]).output();
            let pids = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
            for pid in pids.split_whitespace().take(THINGS_MAX) {
                quietly("kill", &["-KILL", pid]);
            }
            quietly("ip", &["netns", "delete", name]);
        }
        for path in &self.directories {
            if let Err(error) = std::fs::remove_dir_all(path) {
                eprintln!("clean up: {path}: {error}");
            }
        }
    }
}

fn end(pid: u32, born: u64) {
    let lives = || Stat::of(pid).is_some_and(|stat| stat.start_time == born && stat.state != 'Z');
    for (signal, grace) in [("-TERM", GRACE), ("-KILL", Duration::from_secs(2))] {
        if !lives() {
            return;
        }
        quietly("kill", &[signal, &pid.to_string()]);
        let deadline = Instant::now() + grace;
        while lives() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
