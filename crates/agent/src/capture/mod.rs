//! What an interface carries, shown or written, for `peerway capture`: the frames of a guest with their verdicts, or those of the network
//! between hosts.
//!
//! The thread that carries a packet copies it into a queue of bounded length and never waits: what finds no room is counted and told. The
//! thread of the conversation takes it from there and writes to the client ([`output`]).

mod output;
mod pcapng;
mod resume;
mod slots;

use std::collections::BTreeSet;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use dataplane::{Fate, Seen, Watch, WatchId};
use linux::capture::{FRAME_LEN_MAX, Statistics};
use model::{Direction, NetworkInterfaceId};
use serde::{Deserialize, Serialize};

use self::output::{Output, chunk};
use self::slots::Slot;
use crate::esp_keys;
use crate::links::{Links, Underlay};
use crate::{Shared, chain};

pub(crate) use self::output::follow;
pub(crate) use self::resume::{AnnouncedCapture, expect, go_on};
pub(crate) use self::slots::{LeftCapture, Slots};

/// Captures of a host at one time.
pub const CAPTURES_MAX: usize = 8;
/// Keys are shown for so long at most.
pub const ESP_KEYS_LIFE: Duration = Duration::from_secs(600);

/// Frames of one capture that wait for its client.
const FRAMES_MAX: usize = 4096;
/// Their bytes.
const BYTES_MAX: usize = 16 << 20;
/// Frames that are written at once.
const BATCH: usize = 256;
/// How often new keys are looked for.
const KEYS_LOOK: Duration = Duration::from_millis(200);

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CaptureTarget {
    /// An interface that is plugged in on this host.
    Interface(NetworkInterfaceId),
    /// The device of a simulated host on the network between hosts.
    Underlay,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CaptureFormat {
    /// One line a frame.
    Lines,
    Pcapng,
}

/// What to capture, and when it ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureOrder {
    pub target: CaptureTarget,
    pub format: CaptureFormat,
    /// After so many frames.
    pub count: Option<u64>,
    /// After so many seconds.
    pub seconds: Option<u64>,
}

/// What came of it; of keys, how many there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureSummary {
    pub frames: u64,
    /// Frames that are missing because they came faster than they were taken.
    pub dropped: u64,
}

/// Captures until the order's end or the client's, or until another process goes on with it (`None`); `started` is called when nothing can
/// fail any more but the client.
pub(crate) fn run(
    shared: &Shared,
    order: &CaptureOrder,
    client: &UnixStream,
    started: impl FnOnce() -> io::Result<()>,
) -> io::Result<Option<CaptureSummary>> {
    let slot = shared.captures.take()?;
    match order.target {
        CaptureTarget::Interface(interface) => {
            let tap = Tap::open(shared, interface)?;
            started()?;
            let out = Output::new(order, &interface.to_string(), client);
            let capture = |mut out: Output<'_>| {
                slot.announce(order, client)?;
                of_interface(&tap, &mut out, &slot)
            };
            ended(client, out.and_then(capture))
        }
        CaptureTarget::Underlay => {
            let device = linux::underlay::DEVICE;
            let capture = open_underlay(shared.options.underlay.as_ref(), device)?;
            started()?;
            let name = format!("{} {device}", shared.options.host);
            let out = Output::new(order, &name, client);
            ended(client, out.and_then(|mut out| of_underlay(capture, &mut out)).map(Some))
        }
    }
}

/// Shows the keys of all associations, and new ones as they come, until the client's end or the end of [`ESP_KEYS_LIFE`].
pub(crate) fn run_esp_keys(
    shared: &Shared,
    client: &UnixStream,
    started: impl FnOnce() -> io::Result<()>,
) -> io::Result<CaptureSummary> {
    let (Some(links), Some(underlay)) = (&shared.links, &shared.options.underlay) else {
        return Err(alone(shared));
    };
    let keys = |links: &Links| {
        let forbidden = "this agent keeps no keys that it could show; start it with --allow-esp-keys (for tests, never for others' data)";
        links.esp_keys().ok_or_else(|| refusal(forbidden.into()))
    };
    keys(links)?;
    let _slot = shared.captures.take()?;
    started()?;
    tracing::warn!("keys of links are shown to an operator (--esp-keys)");
    let start = Instant::now();
    let show = || {
        let mut shown = BTreeSet::new();
        while start.elapsed() < ESP_KEYS_LIFE {
            for (name, peer, material) in keys(links)? {
                if shown.insert(name) {
                    let (src, dst) = if name.is_inbound { (peer, underlay.address) } else { (underlay.address, peer) };
                    chunk(client, esp_keys::line(src, dst, name.spi, &material).as_bytes())?;
                }
            }
            if linux::poll::readable(client, KEYS_LOOK)? {
                break;
            }
        }
        chunk(client, &[])?;
        Ok(CaptureSummary { frames: shown.len() as u64, dropped: 0 })
    };
    ended(client, show())
}

/// A stream that failed is ended like any other, so that the client reads the reason as what it is.
fn ended<T>(client: &UnixStream, result: io::Result<T>) -> io::Result<T> {
    if result.is_err() {
        let _ = chunk(client, &[]);
    }
    result
}

fn refusal(text: String) -> io::Error {
    io::Error::other(text)
}

fn alone(shared: &Shared) -> io::Error {
    refusal(format!(
        "host `{}` is the only one: there is no network between hosts (see `peerway up --hosts`)",
        shared.options.host
    ))
}

/// A frame on its way to the client.
struct Frame {
    time: SystemTime,
    direction: Direction,
    fate: Fate,
    bytes: Box<[u8]>,
}

/// Where packet threads leave their copies.
#[derive(Debug)]
struct Queue {
    frames: SyncSender<Frame>,
    bytes: AtomicUsize,
    dropped: AtomicU64,
}

impl Watch for Queue {
    fn saw(&self, seen: &Seen<'_>) {
        let len = seen.frame.len();
        let has_room = self.bytes.fetch_add(len, Ordering::Relaxed) + len <= BYTES_MAX;
        let Seen { direction, fate, frame } = *seen;
        let frame = || Frame { time: SystemTime::now(), direction, fate, bytes: frame.into() };
        if !has_room || self.frames.try_send(frame()).is_err() {
            self.bytes.fetch_sub(len, Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// An interface that is looked at.
struct Watched {
    watch: WatchId,
    queue: Arc<Queue>,
    frames: Receiver<Frame>,
}

/// The same for as long as this lives.
struct Tap<'a> {
    shared: &'a Shared,
    watched: Watched,
}

/// `None`: there are [`CAPTURES_MAX`].
fn watch(shared: &Shared, interface: NetworkInterfaceId) -> Option<Watched> {
    let (sender, frames) = sync_channel(FRAMES_MAX);
    let queue = Arc::new(Queue { frames: sender, bytes: AtomicUsize::new(0), dropped: AtomicU64::new(0) });
    let watch = shared.force.plane.watch(interface, queue.clone())?;
    Some(Watched { watch, queue, frames })
}

impl Tap<'_> {
    fn open(shared: &Shared, interface: NetworkInterfaceId) -> io::Result<Tap<'_>> {
        let is_here = {
            let running = shared.instances.running();
            let mut devices = running.values().flat_map(|instance| &instance.devices);
            devices.any(|device| device.interface.id == interface)
        };
        if !is_here {
            let host = shared.options.host;
            return Err(refusal(format!(
                "interface {interface} is not plugged in on host `{host}`; `peerway status --output json` lists those that are"
            )));
        }
        let watched = watch(shared, interface);
        let watched = watched.ok_or_else(|| refusal(format!("{CAPTURES_MAX} captures run on this host already")))?;
        Ok(Tap { shared, watched })
    }

    fn taken(&self, frame: &Frame) {
        self.watched.queue.bytes.fetch_sub(frame.bytes.len(), Ordering::Relaxed);
    }
}

impl Drop for Tap<'_> {
    fn drop(&mut self) {
        self.shared.force.plane.unwatch(self.watched.watch);
    }
}

/// `None`: another process goes on with it.
fn of_interface(tap: &Tap<'_>, out: &mut Output<'_>, slot: &Slot<'_>) -> io::Result<Option<CaptureSummary>> {
    let Watched { queue, frames, .. } = &tap.watched;
    let put = |out: &mut Output<'_>, frame: &Frame| {
        tap.taken(frame);
        let fate = frame.fate.to_string();
        out.frame(frame.time, frame.direction, &frame.bytes, frame.bytes.len(), Some(&fate));
    };
    let is_left = loop {
        // Asked before the end: what leaves has nothing more to see.
        let is_leaving = slot.is_leaving();
        if out.is_over()? {
            break false;
        }
        if is_leaving {
            break true;
        }
        match frames.recv_timeout(out.patience()) {
            Ok(frame) => {
                put(out, &frame);
                let more = frames.try_iter().take(BATCH);
                more.for_each(|frame| put(out, &frame));
                out.flush()?;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break false,
        }
    };
    // What had been seen when the end was asked for, or when packet threads ended.
    frames.try_iter().take(FRAMES_MAX).for_each(|frame| put(out, &frame));
    let dropped = queue.dropped.load(Ordering::Relaxed);
    if is_left && !out.is_full() {
        slot.left(out.leave(dropped)?);
        return Ok(None);
    }
    out.end(dropped).map(Some)
}

fn open_underlay(underlay: Option<&Underlay>, device: &'static str) -> io::Result<linux::capture::Capture> {
    match underlay {
        Some(Underlay { netns: Some(netns), .. }) => {
            let opened = linux::namespace::in_netns(&**netns, || linux::capture::Capture::open(device))?;
            opened.map_err(|error| refusal(chain(&error)))
        }
        Some(_) => {
            Err(refusal("this host's network is the machine's own: capture it with tcpdump (udp port 4500)".into()))
        }
        None => Err(refusal(
            "this host is the only one: there is no network between hosts (see `peerway up --hosts`)".into(),
        )),
    }
}

fn of_underlay(mut capture: linux::capture::Capture, out: &mut Output<'_>) -> io::Result<CaptureSummary> {
    let mut buffer = vec![0; FRAME_LEN_MAX];
    while !out.is_over()? {
        linux::poll::readable(&capture, out.patience())?;
        for _ in 0..BATCH {
            if out.is_full() {
                break;
            }
            match capture.recv(&mut buffer) {
                Ok(captured) => {
                    let direction = match captured.direction {
                        linux::capture::Direction::Incoming => Direction::Ingress,
                        linux::capture::Direction::Outgoing => Direction::Egress,
                    };
                    let time = captured.time.unwrap_or_else(SystemTime::now);
                    out.frame(time, direction, &buffer[..captured.len], captured.wire_len, None);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        out.flush()?;
    }
    let Statistics { dropped, .. } = capture.statistics()?;
    out.end(dropped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_never_waits_and_counts_what_it_has_no_room_for() {
        let (sender, frames) = sync_channel(FRAMES_MAX);
        let queue = Queue { frames: sender, bytes: AtomicUsize::new(0), dropped: AtomicU64::new(0) };
        let show = |len: usize| {
            let frame = vec![0; len];
            queue.saw(&Seen { direction: Direction::Egress, fate: Fate::Passed, frame: &frame });
        };
        (0..FRAMES_MAX + 7).for_each(|_| show(60));
        assert_eq!(queue.dropped.load(Ordering::Relaxed), 7, "by number");
        assert_eq!(frames.try_iter().count(), FRAMES_MAX);
        queue.bytes.store(0, Ordering::Relaxed);
        (0..300).for_each(|_| show(65_549));
        let room = BYTES_MAX / 65_549;
        assert_eq!(frames.try_iter().count(), room, "by bytes");
        assert_eq!(queue.dropped.load(Ordering::Relaxed), 7 + 300 - room as u64);
        assert_eq!(queue.bytes.load(Ordering::Relaxed), room * 65_549, "what was not kept takes no room");
    }
}
