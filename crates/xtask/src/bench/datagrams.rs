//! Small packets: a sender and a receiver of 64-byte datagrams, the same for every peer.
//!
//! One `send` and one `recv` a packet, no batching and default socket buffers: what a plain program would do. The sender does
//! not pace itself, so this is behaviour under overload; what arrived, over the time of sending, is the rate. `iperf3 -u` would
//! make two system calls a packet and be the bottleneck itself.
//!
//! The same two, paced, time the way from an API request to the first packet: the receiver says when packets begin to come after
//! a silence.

use std::io::{ErrorKind, Write, stdout};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use super::janitor::Janitor;
use super::peer::Peer;
use super::process;

/// Hidden word of the load generators.
pub(super) const WORD: &str = "datagrams";
const PORT: &str = "7000";
const PAYLOAD: [u8; 64] = [0x50; 64];
/// No packet for this long: the sender is done.
const SILENCE: Duration = Duration::from_millis(400);
/// The longest that either may run, in seconds.
const LIFE_MAX: u64 = 600;
/// A silence that [`Watch`] tells of the end of.
const GAP: Duration = Duration::from_millis(12);

/// What came of a blast.
#[derive(Debug)]
pub(super) struct Blast {
    pub(super) packets_per_second: f64,
    /// Share of what was sent, 0 to 1.
    pub(super) loss: f64,
}

/// Sends as fast as one thread can, for `length`.
pub(super) fn measure(peer: &dyn Peer, janitor: &Janitor, length: Duration) -> Result<Blast> {
    let program = peer.generator();
    let (mut receiver, lines) = start(peer.server(&[program, "bench", WORD, "count", PORT])?, janitor)?;
    next(&lines, Duration::from_secs(10)).context("the receiver does not come up")?;
    let (seconds, target) = (length.as_secs().to_string(), format!("{}:{PORT}", peer.address()));
    let command = peer.client(&[program, "bench", WORD, "blast", &target, &seconds])?;
    let sent: f64 =
        process::succeed(command, length + Duration::from_secs(20))?.trim().parse().context("the sender's count")?;
    let received = next(&lines, Duration::from_secs(10)).context("the receiver says nothing")?;
    let received: f64 = received.parse().context("the receiver's count")?;
    process::wait(&mut receiver, Duration::from_secs(5))?;
    if received < 1.0 {
        bail!("none of {sent} datagrams arrived");
    }
    Ok(Blast { packets_per_second: received / length.as_secs_f64(), loss: 1.0 - received / sent })
}

/// Who sends a packet a millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// One port: after the first packet the flow is tracked.
    OneFlow,
    /// Each packet from another port, so that each is judged by the rules.
    NewFlows,
}

/// A packet a millisecond, and the instants at which it comes through after a silence.
pub(super) struct Watch {
    children: [Child; 2],
    lines: Receiver<String>,
}

impl Watch {
    pub(super) fn start(peer: &dyn Peer, janitor: &Janitor, pace: Pace) -> Result<Watch> {
        let program = peer.generator();
        let (receiver, lines) = start(peer.server(&[program, "bench", WORD, "watch", PORT])?, janitor)?;
        next(&lines, Duration::from_secs(10)).context("the receiver does not come up")?;
        let target = format!("{}:{PORT}", peer.address());
        let word = if pace == Pace::OneFlow { "pace" } else { "flows" };
        let (sender, _) = start(peer.client(&[program, "bench", WORD, word, &target])?, janitor)?;
        Ok(Watch { children: [receiver, sender], lines })
    }

    /// The first packet after `instant`: how long after it.
    pub(super) fn first_after(&self, instant: SystemTime, limit: Duration) -> Result<Duration> {
        let deadline = Instant::now() + limit;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            let nanoseconds: u64 = next(&self.lines, left)?.parse().context("the receiver's instant")?;
            if let Ok(after) = (UNIX_EPOCH + Duration::from_nanos(nanoseconds)).duration_since(instant) {
                return Ok(after);
            }
        }
        bail!("no packet came through in {limit:?}")
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn start(mut command: Command, janitor: &Janitor) -> Result<(Child, Receiver<String>)> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot start a load generator")?;
    janitor.owns_process(child.id())?;
    let stdout = child.stdout.take().context("the load generator has no output")?;
    Ok((child, process::lines(stdout)))
}

fn next(lines: &Receiver<String>, limit: Duration) -> Result<String> {
    lines.recv_timeout(limit).with_context(|| format!("no line in {limit:?}"))
}

/// Entry of the load generators.
pub(super) fn main(words: &[&str]) -> Result<()> {
    match words {
        ["blast", target, seconds] => blast(target, seconds.parse::<u64>()?.min(LIFE_MAX)),
        ["pace", target] => pace(target),
        ["flows", target] => flows(target),
        ["count", port] => count(port.parse()?),
        ["watch", port] => watch(port.parse()?),
        _ => bail!("expected blast TARGET SECONDS, pace TARGET, flows TARGET, count PORT or watch PORT"),
    }
}

fn blast(target: &str, seconds: u64) -> Result<()> {
    let socket = connected(target)?;
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut sent = 0_u64;
    while Instant::now() < deadline {
        // The clock is not read for every packet.
        for _ in 0..64 {
            sent += u64::from(socket.send(&PAYLOAD).is_ok());
        }
    }
    println!("{sent}");
    Ok(())
}

fn pace(target: &str) -> Result<()> {
    let socket = connected(target)?;
    let deadline = Instant::now() + Duration::from_secs(LIFE_MAX);
    while Instant::now() < deadline {
        // Nobody listens on the way while there is no route; that is the point.
        let _ = socket.send(&PAYLOAD);
        std::thread::sleep(Duration::from_micros(900));
    }
    Ok(())
}

/// Ports in turn: one comes again after a minute, when its flow is tracked no more. One that the kernel chose might still be, and
/// would pass whatever the rules are.
fn flows(target: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(LIFE_MAX);
    let mut ports = (1025..=u16::MAX).cycle();
    while Instant::now() < deadline {
        let socket = UdpSocket::bind(("0.0.0.0", ports.next().unwrap_or_default())).context("cannot make a socket")?;
        socket.connect(target).with_context(|| format!("cannot connect to {target}"))?;
        let _ = socket.send(&PAYLOAD);
        std::thread::sleep(Duration::from_micros(900));
    }
    Ok(())
}

fn count(port: u16) -> Result<()> {
    let socket = listening(port)?;
    let deadline = Instant::now() + Duration::from_secs(LIFE_MAX);
    let mut received = 0_u64;
    let mut buffer = [0; 2048];
    while Instant::now() < deadline {
        match socket.recv(&mut buffer) {
            Ok(_) => received += 1,
            Err(error) if is_timeout(error.kind()) && received == 0 => {}
            Err(_) => break,
        }
    }
    say(&received.to_string())
}

fn watch(port: u16) -> Result<()> {
    let socket = listening(port)?;
    let deadline = Instant::now() + Duration::from_secs(LIFE_MAX);
    let mut last: Option<Instant> = None;
    let mut buffer = [0; 2048];
    while Instant::now() < deadline {
        if socket.recv(&mut buffer).is_err() {
            continue;
        }
        let now = Instant::now();
        if last.is_none_or(|last| now - last > GAP) {
            say(&SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos().to_string())?;
        }
        last = Some(now);
    }
    Ok(())
}

fn connected(target: &str) -> Result<UdpSocket> {
    let socket = UdpSocket::bind("0.0.0.0:0").context("cannot make a socket")?;
    socket.connect(target).with_context(|| format!("cannot connect to {target}"))?;
    Ok(socket)
}

fn listening(port: u16) -> Result<UdpSocket> {
    let socket = UdpSocket::bind(("0.0.0.0", port)).with_context(|| format!("cannot listen on UDP port {port}"))?;
    socket.set_read_timeout(Some(SILENCE))?;
    say("ready")?;
    Ok(socket)
}

fn is_timeout(kind: ErrorKind) -> bool {
    [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&kind)
}

fn say(line: &str) -> Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
