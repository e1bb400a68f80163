//! Small packets as many as one thread can: 64 bytes of UDP payload by sendmmsg(2), taken by recvmmsg(2), the same for every
//! peer.
//!
//! Batches of system calls make the ends cheap, so that it is the way between them that is measured: unpaced, which is behaviour
//! under overload, and paced by a search for the highest rate of which at most [`LOSS_MAX`] is lost. Both ends ask for
//! [`BUFFER`] bytes of socket buffer and get what `net.core.rmem_max` leaves of it, inside an instance and outside alike.

use std::io::{ErrorKind, IoSlice, IoSliceMut, Write, stdout};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::socket::sockopt::{RcvBuf, SndBuf};
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg, sendmmsg, setsockopt};

use super::janitor::Janitor;
use super::peer::Peer;
use super::process::{self, Usage};

/// Hidden word of the load generators.
pub(super) const WORD: &str = "flood";
const PORT: &str = "7001";
const PAYLOAD: usize = 64;
/// Packets of one system call.
const BATCH: usize = 64;
const BUFFER: usize = 4 << 20;
/// No packet for this long: the sender is done.
const SILENCE: Duration = Duration::from_millis(400);
/// The longest that either may run.
const LIFE_MAX: Duration = Duration::from_secs(120);
/// How long a paced sender sleeps at most between two batches.
const PACE: Duration = Duration::from_micros(100);
/// Share of the packets that may be lost at the rate that is looked for.
const LOSS_MAX: f64 = 0.01;
/// One step of the search.
const STEP: Duration = Duration::from_secs(1);
const STEPS_MAX: usize = 6;
/// The search is over when what is too much is less than this many times what is not.
const NEAR: f64 = 1.06;

/// What came of sending for a while.
#[derive(Debug)]
pub(super) struct Flood {
    /// Packets a second.
    pub(super) offered: f64,
    pub(super) delivered: f64,
    pub(super) packets: f64,
    pub(super) used: Usage,
}

impl Flood {
    /// Share of what was sent, 0 to 1.
    pub(super) fn loss(&self) -> f64 {
        (1.0 - self.delivered / self.offered).max(0.0)
    }
}

/// Sends for `length`, `rate` packets a second or as fast as one thread can.
pub(super) fn measure(peer: &dyn Peer, janitor: &Janitor, length: Duration, rate: Option<f64>) -> Result<Flood> {
    let program = peer.generator();
    let mut command = peer.server(&[program, "bench", WORD, "drain", PORT])?;
    let mut receiver =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start a load generator")?;
    janitor.owns_process(receiver.id())?;
    let lines = process::lines(receiver.stdout.take().context("the load generator has no output")?);
    let outcome = (|| {
        let next = |what| lines.recv_timeout(Duration::from_secs(10)).with_context(|| format!("{what} says nothing"));
        next("the receiver that should come up")?;
        let (target, milliseconds) = (format!("{}:{PORT}", peer.address()), length.as_millis().to_string());
        let rate = rate.map_or_else(|| "unpaced".into(), |rate| format!("{rate:.0}"));
        let sender = peer.client(&[program, "bench", WORD, "send", &target, &milliseconds, &rate])?;
        let before = Usage::now(peer.switches());
        let said = process::succeed(sender, length + Duration::from_secs(20))?;
        let received: f64 = next("the receiver")?.parse().context("the receiver's count")?;
        let used = Usage::now(peer.switches()).since(&before);
        let (sent, seconds) = said.trim().split_once(' ').context("the sender's count")?;
        let (sent, seconds) = (sent.parse::<f64>()?, seconds.parse::<f64>()?);
        if received < 1.0 {
            bail!("none of {sent} datagrams arrived");
        }
        Ok(Flood { offered: sent / seconds, delivered: received / seconds, packets: received, used })
    })();
    if outcome.is_err() || process::wait(&mut receiver, Duration::from_secs(5))?.is_none() {
        let _ = receiver.kill();
        let _ = receiver.wait();
    }
    outcome
}

/// The highest rate of which at most [`LOSS_MAX`] is lost, beginning from what came of sending unpaced; packets a second.
pub(super) fn highest_rate(peer: &dyn Peer, janitor: &Janitor, unpaced: &Flood) -> Result<f64> {
    let mut search = Search::new(unpaced);
    while let Some(rate) = search.next() {
        search.learn(rate, &measure(peer, janitor, STEP, Some(rate))?);
    }
    Ok(search.best)
}

/// What is known of the highest rate. No input and no output, so that it can be tested.
#[derive(Debug)]
struct Search {
    /// Offered and not too much; 0 while nothing is known.
    low: f64,
    /// Offered and too much.
    high: f64,
    guess: f64,
    /// Delivered at `low`.
    best: f64,
    steps: usize,
}

impl Search {
    fn new(unpaced: &Flood) -> Search {
        let mut search =
            Search { low: 0.0, high: unpaced.offered, guess: unpaced.delivered, best: 0.0, steps: STEPS_MAX };
        if unpaced.loss() <= LOSS_MAX {
            (search.low, search.best, search.steps) = (unpaced.offered, unpaced.delivered, 0);
        }
        search
    }

    fn next(&mut self) -> Option<f64> {
        if self.steps == 0 || self.high < self.low * NEAR {
            return None;
        }
        self.steps -= 1;
        Some(if self.low > 0.0 { (self.low * self.high).sqrt() } else { self.guess })
    }

    fn learn(&mut self, asked: f64, came: &Flood) {
        if came.loss() > LOSS_MAX {
            (self.high, self.guess) = (asked.min(self.high), asked * 0.6);
            return;
        }
        (self.low, self.best) = (self.low.max(came.offered), self.best.max(came.delivered));
        if came.offered < asked / NEAR {
            // The sender cannot do more.
            self.steps = 0;
        }
    }
}

/// Entry of the load generators.
pub(super) fn main(words: &[&str]) -> Result<()> {
    match words {
        ["send", target, milliseconds, rate] => {
            let length = Duration::from_millis(milliseconds.parse()?).min(LIFE_MAX);
            send(target, length, (*rate != "unpaced").then(|| rate.parse()).transpose()?)
        }
        ["drain", port] => drain(port.parse()?),
        _ => bail!("expected send TARGET MILLISECONDS RATE|unpaced or drain PORT"),
    }
}

/// Says how many packets it sent in how many seconds.
fn send(target: &str, length: Duration, rate: Option<f64>) -> Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0").context("cannot make a socket")?;
    socket.connect(target).with_context(|| format!("cannot connect to {target}"))?;
    setsockopt(&socket, SndBuf, &BUFFER)?;
    let started = Instant::now();
    let mut sent = 0_usize;
    loop {
        let elapsed = started.elapsed();
        if elapsed >= length {
            break;
        }
        let due = rate.map_or(BATCH, |rate| ((rate * elapsed.as_secs_f64()) as usize).saturating_sub(sent));
        if due == 0 {
            std::thread::sleep(PACE);
            continue;
        }
        sent += send_batch(&socket, due.min(BATCH))?;
    }
    println!("{sent} {}", started.elapsed().as_secs_f64());
    Ok(())
}

/// How many of `count` went; none when the way is full for a moment.
fn send_batch(socket: &UdpSocket, count: usize) -> Result<usize> {
    let payload = [0x50; PAYLOAD];
    let slices = [[IoSlice::new(&payload)]; BATCH];
    let mut headers = MultiHeaders::<()>::preallocate(count, None);
    match sendmmsg(socket.as_raw_fd(), &mut headers, &slices[..count], [None; BATCH], [], MsgFlags::empty()) {
        Ok(sent) => Ok(sent.count()),
        // Refused: the receiver is done, or nobody listens yet; the count at the other end tells.
        Err(Errno::ENOBUFS | Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => Ok(0),
        Err(error) => Err(error).context("cannot send"),
    }
}

/// Says `ready`, then how many packets came.
fn drain(port: u16) -> Result<()> {
    let socket = UdpSocket::bind(("0.0.0.0", port)).with_context(|| format!("cannot listen on UDP port {port}"))?;
    setsockopt(&socket, RcvBuf, &BUFFER)?;
    socket.set_read_timeout(Some(SILENCE))?;
    say("ready")?;
    let deadline = Instant::now() + LIFE_MAX;
    let (mut received, mut buffers) = (0_usize, [[0_u8; PAYLOAD]; BATCH]);
    let mut headers = MultiHeaders::<()>::preallocate(BATCH, None);
    while Instant::now() < deadline {
        let mut slices = buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        match recvmmsg(socket.as_raw_fd(), &mut headers, &mut slices, MsgFlags::MSG_WAITFORONE, None) {
            Ok(batch) => received += batch.count(),
            Err(Errno::EINTR) => {}
            Err(error) if std::io::Error::from(error).kind() == ErrorKind::WouldBlock && received == 0 => {}
            Err(_) => break,
        }
    }
    say(&received.to_string())
}

fn say(line: &str) -> Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A way that carries `limit` packets a second from a sender that makes at most `sender`; under overload it loses, and
    /// carries at most `collapse`.
    fn way(limit: f64, sender: f64, collapse: f64) -> impl Fn(Option<f64>) -> Flood {
        move |rate| {
            let offered = rate.unwrap_or(sender).min(sender);
            let delivered = if offered > limit { collapse.min(offered * 0.98) } else { offered };
            Flood { offered, delivered, packets: delivered, used: Usage::default() }
        }
    }

    fn found(way: impl Fn(Option<f64>) -> Flood) -> (f64, usize) {
        let mut search = Search::new(&way(None));
        let mut steps = 0;
        while let Some(rate) = search.next() {
            steps += 1;
            search.learn(rate, &way(Some(rate)));
        }
        (search.best, steps)
    }

    #[test]
    fn the_search_ends_near_the_limit_and_below_it() {
        for (limit, sender, collapse) in
            [(113e3, 240e3, 87e3), (213e3, 404e3, 205e3), (53e3, 320e3, 35e3), (90e3, 400e3, 120e3)]
        {
            let (rate, steps) = found(way(limit, sender, collapse));
            assert!(rate <= limit && rate > limit * 0.85, "{rate} of {limit}");
            assert!(steps <= STEPS_MAX);
        }
    }

    #[test]
    fn what_loses_nothing_unpaced_is_not_searched() {
        let (rate, steps) = found(way(500e3, 300e3, 0.0));
        assert!((rate - 300e3).abs() < 1.0 && steps == 0);
    }

    #[test]
    fn a_way_that_always_loses_has_no_rate() {
        let (rate, steps) = found(|_| Flood { offered: 100e3, delivered: 50e3, packets: 1.0, used: Usage::default() });
        assert!(rate.abs() < 1e-9 && steps == STEPS_MAX);
    }

    #[test]
    fn packets_cross_the_loopback() -> Result<()> {
        let receiver = UdpSocket::bind("127.0.0.1:0")?;
        receiver.set_read_timeout(Some(Duration::from_secs(5)))?;
        let sender = UdpSocket::bind("127.0.0.1:0")?;
        sender.connect(receiver.local_addr()?)?;
        assert_eq!(send_batch(&sender, 7)?, 7);
        for _ in 0..7 {
            assert_eq!(receiver.recv(&mut [0; 2 * PAYLOAD])?, PAYLOAD);
        }
        Ok(())
    }
}
