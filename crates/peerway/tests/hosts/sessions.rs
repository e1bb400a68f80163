//! Commands in instances and captures go on over a reload of their agent; a command over its end, too.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::common::running::{Guest, peerway};
use crate::machines::{Machine, Machines, ping_counts};
use crate::takeover::Cloud;

/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A command in an instance that answers each line.
struct Session {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Session {
    fn start(cloud: &Cloud, guest: &Guest) -> Session {
        let script = "trap 'echo asked to end; exit 9' TERM; while read -r word; do echo got $word; done; exit 7";
        let mut command = cloud.machines.exec(0, &guest.id, &["sh", "-c", script]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let lines = lines(child.stdout.take().expect("a pipe"));
        Session { input: child.stdin.take(), child, lines }
    }

    fn answers(&mut self, word: &str) {
        writeln!(self.input.as_ref().expect("open"), "{word}").expect("it takes input");
        assert_eq!(self.lines.recv_timeout(PATIENCE).as_deref(), Ok(format!("got {word}").as_str()));
    }

    /// Ends the command by the end of its input; its exit code.
    fn end(mut self) -> Option<i32> {
        drop(self.input.take());
        self.child.wait().expect("a child").code()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(output: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// `peerway capture` of a guest's interface; ended when dropped.
struct Capture(Child);

impl Capture {
    /// Returns when it captures.
    fn start(command: &mut Command) -> Capture {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut first = String::new();
        said.read_line(&mut first).expect("text");
        assert!(first.starts_with("capturing "), "{first}");
        child.stderr = Some(said.into_inner());
        Capture(child)
    }

    fn interrupt(&self) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).expect("a pid")).expect("a pid");
        kill_process(pid, Signal::INT).expect("it runs");
    }

    /// Whether it ended well, what it showed, and what it said last.
    fn ended(mut self) -> (bool, String, String) {
        let mut text = [String::new(), String::new()];
        let [shown, said] = &mut text;
        std::io::Read::read_to_string(&mut self.0.stdout.take().expect("a pipe"), shown).expect("text");
        std::io::Read::read_to_string(&mut self.0.stderr.take().expect("a pipe"), said).expect("text");
        let is_well = self.0.wait().expect("a child").success();
        let [shown, said] = text;
        (is_well, shown, said)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The command that captures a guest's interface on the first host.
fn capture(cloud: &Cloud, guest: &Guest) -> Command {
    let status = cloud.machines.status(0, None);
    let running = status.as_array().expect("a list").iter().find(|running| running["instance"] == guest.id.as_str());
    let interface = running.expect("it runs")["interfaces"][0]["interface"].as_str().expect("an id");
    let mut command = peerway();
    command.arg("capture").arg("--data").arg(cloud.machines.data(0)).arg(interface).stdout(Stdio::piped());
    command
}

#[test]
fn commands_and_captures_go_on_over_a_reload() {
    let machines = Machines::new();
    machines.install(None);
    let mut cloud = Cloud::on(machines);
    let (from, to) = (&cloud.guests[0][0], &cloud.guests[0][1]);
    let mut session = Session::start(&cloud, from);
    session.answers("before");
    let running = Capture::start(&mut capture(&cloud, from));
    // It ends by itself, in the process that came last.
    let counted = Capture::start(capture(&cloud, from).args(["--count", "240"]));
    let mut flood = cloud.machines.exec(0, &from.id, &["ping", "-i", "0.02", "-c", "200", "-W", "2", &to.address]);
    let flood = flood.stdout(Stdio::piped()).spawn().expect("it starts");
    for word in ["one", "two", "three"] {
        std::thread::sleep(Duration::from_millis(300));
        cloud.agents[0].reload();
        session.answers(word);
    }
    let told = flood.wait_with_output().expect("it ends");
    let (sent, received) = ping_counts(&String::from_utf8_lossy(&told.stdout));
    assert_eq!(sent, 200);
    assert_eq!(session.end(), Some(7), "the exit code finds its way");

    let (is_well, shown, said) = counted.ended();
    assert!(is_well && shown.lines().count() == 240 && said.contains("240 packets"), "{said}\n{shown}");
    running.interrupt();
    let (is_well, shown, said) = running.ended();
    assert!(is_well && said.contains("; 0 more"), "{said}");
    let count = |part: &str| shown.lines().filter(|line| line.contains(part)).count();
    // Each packet once, whichever process saw it.
    assert_eq!((count("icmp echo request"), count("icmp echo reply")), (sent as usize, received as usize), "{shown}");

    // What is asked while one process hands over to another is answered by one of them.
    let asked = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let ask = || cloud.machines.exec(0, &from.id, &["true"]).status().expect("it starts").success();
            (0..40).filter(|_| !ask()).count()
        });
        while !asking.is_finished() {
            cloud.agents[0].reload();
        }
        asking.join().expect("no panic")
    });
    assert_eq!(asked, 0, "a command was refused in a reload");
    cloud.agents.iter_mut().for_each(Machine::stop);
    cloud.server.stop();
}

#[test]
fn a_command_outlives_a_killed_agent_and_a_capture_says_that_it_ended() {
    let mut cloud = Cloud::start();
    let from = &cloud.guests[0][0];
    let mut session = Session::start(&cloud, from);
    let mut abandoned = Session::start(&cloud, from);
    session.answers("before");
    abandoned.answers("before");
    let running = Capture::start(&mut capture(&cloud, from));
    cloud.agents[0].kill();
    let (is_well, _, said) = running.ended();
    assert!(!is_well && said.contains("the agent ended"), "{said}");
    session.answers("while there is no agent");
    // Nobody waits for it any more: it is asked to end, with or without an agent.
    abandoned.child.kill().expect("killed");
    assert_eq!(abandoned.lines.recv_timeout(PATIENCE).as_deref(), Ok("asked to end"));
    cloud.agents[0] = cloud.machines.agent(0, None).expect("it has its certificate");
    session.answers("after");
    assert_eq!(session.end(), Some(7));
    cloud.agents.iter_mut().for_each(Machine::stop);
    cloud.server.stop();
}
