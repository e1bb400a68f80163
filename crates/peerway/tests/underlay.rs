//! What three hosts say to each other while `peerway demo --hosts 3` plays its whole story: every frame of every interface between
//! them is looked at, from before the first instance runs to the end, and none holds a byte of a guest.
//!
//! The search is tried on the instances' own interfaces, where it must find what it looks for. Needs root: it looks into the network
//! namespaces that the program made.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use linux::capture::{Capture, Direction, FRAME_LEN_MAX};
use linux::netlink::Netlink;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The demo takes half a minute; these machines may be busy.
const AT_MOST: Duration = Duration::from_secs(120);
/// What every TCP and UDP probe of the demo says (`demo::probe`).
const GREETING: &[u8] = b"is anybody there?";
const ESP_PORT: [u8; 2] = 4500_u16.to_be_bytes();
const HOSTS: usize = 3;
/// Between two looks; the kernel keeps what comes meanwhile.
const LOOK: Duration = Duration::from_millis(3);
/// Bytes of all frames: the demo sends less than a hundredth of it.
const KEPT_MAX: usize = 1 << 28;

/// Where a frame was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A host's interface to the others, or a port of what joins them.
    Underlay,
    /// The interface of an instance.
    Guest,
}

/// Ethernet header and what follows.
struct Frame {
    place: Place,
    direction: Direction,
    bytes: Vec<u8>,
}

struct Watched {
    place: Place,
    device: String,
    capture: Capture,
}

/// Looks at the interfaces of all network namespaces that a process holds.
struct Watcher {
    pid: u32,
    /// Namespaces by inode: those whose interfaces are not there yet, and all that were met.
    pending: BTreeMap<u64, OwnedFd>,
    met: BTreeSet<u64>,
    watched: Vec<Watched>,
    frames: Vec<Frame>,
    kept: usize,
    buffer: Vec<u8>,
}

impl Watcher {
    fn new(pid: u32) -> Watcher {
        let own = fs::metadata("/proc/self/ns/net").expect("a namespace").ino();
        Watcher {
            pid,
            pending: BTreeMap::new(),
            met: BTreeSet::from([own]),
            watched: Vec::new(),
            frames: Vec::new(),
            kept: 0,
            buffer: vec![0; FRAME_LEN_MAX],
        }
    }

    /// Namespaces that the process opened since the last look.
    fn find_namespaces(&mut self) {
        let Ok(entries) = fs::read_dir(format!("/proc/{}/fd", self.pid)) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            // A descriptor may be closed at any moment.
            let Ok(target) = fs::read_link(&path) else { continue };
            let target = target.to_string_lossy().into_owned();
            let inode = target.strip_prefix("net:[").and_then(|rest| rest.strip_suffix(']')?.parse::<u64>().ok());
            let Some(inode) = inode.filter(|inode| !self.met.contains(inode)) else { continue };
            if let Ok(file) = fs::File::open(&path)
                && file.metadata().is_ok_and(|metadata| metadata.ino() == inode)
            {
                self.met.insert(inode);
                self.pending.insert(inode, file.into());
            }
        }
    }

    /// Captures on interfaces that have come into being in them.
    fn watch_namespaces(&mut self) {
        self.pending.retain(|_, netns| {
            let found = linux::namespace::in_netns(&*netns, watch).expect("the namespace can be entered");
            let is_pending = found.is_empty();
            self.watched.extend(found);
            is_pending
        });
    }

    fn read(&mut self) {
        for Watched { place, capture, .. } in &self.watched {
            loop {
                match capture.recv(&mut self.buffer) {
                    Ok(seen) => {
                        let bytes = self.buffer[..seen.len].to_vec();
                        self.kept += bytes.len();
                        assert!(self.kept < KEPT_MAX, "far more traffic than the demo makes");
                        self.frames.push(Frame { place: *place, direction: seen.direction, bytes });
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // It went away, with what joins the hosts.
                    Err(error) if is_gone(&error) => break,
                    Err(error) => panic!("the capture broke off: {error}"),
                }
            }
        }
    }

    fn of(&self, place: Place) -> impl Iterator<Item = &Frame> {
        self.frames.iter().filter(move |frame| frame.place == place)
    }

    fn dropped(&mut self) -> u64 {
        self.watched.iter_mut().map(|watched| watched.capture.statistics().map_or(0, |seen| seen.dropped)).sum()
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NetworkDown | ErrorKind::NotFound)
}

/// Captures on what is of interest in the namespace of this thread; none while it is still being made.
fn watch() -> Vec<Watched> {
    let links = Netlink::open().and_then(|mut netlink| netlink.links()).unwrap_or_default();
    let names: Vec<String> = links.into_iter().map(|link| link.name).collect();
    let ports = names.iter().filter(|name| name.starts_with("port")).count();
    let place_of = |name: &str| match name {
        "eth0" => Some(Place::Guest),
        "underlay0" => Some(Place::Underlay),
        port if port.starts_with("port") && ports == HOSTS => Some(Place::Underlay),
        _ => None,
    };
    let of_interest = names.into_iter().filter_map(|device| Some((place_of(&device)?, device)));
    let watched = of_interest.filter_map(|(place, device)| {
        let capture = Capture::open(&device).ok()?;
        Some(Watched { place, device, capture })
    });
    watched.collect()
}

/// Plays the demo to its end, all its interfaces watched.
fn play() -> (Watcher, Output) {
    assert!(linux::namespace::is_root(), "looking into other processes' namespaces needs root: run this test as root");
    let files = tempfile::Builder::new().prefix("peerway-test-").tempdir().expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_peerway"));
    command.args(["demo", "--hosts", "3", "--output", "json"]).env("TMPDIR", files.path()).env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("it starts");
    let mut watcher = Watcher::new(child.id());
    let pid = Pid::from_child(&child);
    let began = Instant::now();
    let output = std::thread::scope(|scope| {
        let waiting = scope.spawn(move || child.wait_with_output().expect("it ends"));
        let _asked_to_end = AskedToEnd(pid);
        while !waiting.is_finished() {
            watcher.find_namespaces();
            watcher.watch_namespaces();
            watcher.read();
            assert!(began.elapsed() < AT_MOST, "the demo does not end");
            std::thread::sleep(LOOK);
        }
        waiting.join().expect("no panic")
    });
    watcher.read();
    (watcher, output)
}

/// A program that nobody waits for any more.
struct AskedToEnd(Pid);

impl Drop for AskedToEnd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = kill_process(self.0, Signal::INT);
        }
    }
}

/// What no frame between hosts may hold, with what it is.
fn needles(addresses: &[Ipv4Addr], macs: &BTreeSet<[u8; 6]>) -> Vec<(String, Vec<u8>)> {
    let mut needles = vec![("a probe's text".to_owned(), GREETING.to_vec())];
    for (a, b) in addresses.iter().flat_map(|a| addresses.iter().map(move |b| (a, b))).filter(|(a, b)| a != b) {
        needles.push((format!("a header from {a} to {b}"), [a.octets(), b.octets()].concat()));
    }
    needles.extend(macs.iter().map(|mac| (format!("the hardware address {mac:02x?}"), mac.to_vec())));
    needles
}

/// How many frames hold it.
fn count<'f>(frames: impl Iterator<Item = &'f Frame>, needle: &[u8]) -> usize {
    frames.filter(|frame| frame.bytes.windows(needle.len()).any(|window| window == needle)).count()
}

fn is_of_host(address: &[u8]) -> bool {
    address[..3] == [198, 18, 0]
}

/// What a frame between hosts is; `None`: nothing that hosts have to say to each other.
fn kind_of(frame: &[u8]) -> Option<&'static str> {
    let packet = frame.get(14..)?;
    match frame[12..14] {
        [0x08, 0x06] => {
            Some("arp").filter(|_| packet.len() >= 28 && is_of_host(&packet[14..18]) && is_of_host(&packet[24..28]))
        }
        [0x08, 0x00] if packet.len() >= 28 && is_of_host(&packet[12..16]) && is_of_host(&packet[16..20]) => {
            let ports = packet.get(usize::from(packet[0] & 0xf) * 4..)?.get(..4)?;
            match packet[9] {
                // Each sending thread has a source port of its own.
                17 if ports[2..] == ESP_PORT => Some("esp"),
                // Sessions that agree on keys.
                6 => Some("tls"),
                _ => None,
            }
        }
        // The kernel's own: who is there, and who listens to which group; from link-local addresses or none (RFC 3376, 4861).
        [0x08, 0x00] if packet.len() >= 24 && packet[9] == 2 => {
            let is_ours = packet[12..16] == [0; 4] || is_of_host(&packet[12..16]);
            Some("link-local").filter(|_| is_ours && packet[16..19] == [224, 0, 0])
        }
        [0x86, 0xdd] => Some("link-local")
            .filter(|_| packet.len() >= 40 && (packet[8..10] == [0xfe, 0x80] || packet[8..24] == [0; 16])),
        _ => None,
    }
}

/// SPI and sequence number of a sealed datagram, or of the first of several that travel as one.
fn association(frame: &[u8]) -> Option<(u32, u64)> {
    let packet = frame.get(14..)?;
    let esp = packet.get(usize::from(packet[0] & 0xf) * 4 + 8..)?;
    Some((u32::from_be_bytes(*esp.first_chunk()?), u64::from_be_bytes(*esp.get(8..)?.first_chunk()?)))
}

#[test]
fn between_hosts_no_byte_of_a_guest_is_seen_in_the_whole_story() {
    let (mut watcher, output) = play();
    let told = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    let story: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {told}"));
    assert!(story["ok"] == true && story["steps"].as_array().is_some_and(|steps| steps.len() == 16), "{told}");
    let players = story["instances"].as_array().expect("instances");
    let addresses: Vec<Ipv4Addr> =
        players.iter().map(|player| player["address"].as_str().expect("text").parse().expect("an address")).collect();
    assert_eq!(addresses.len(), 6);

    // All was watched: three hosts and the three ports of what joins them, six instances, and nothing was missed.
    let devices =
        |place| watcher.watched.iter().filter(|w| w.place == place).map(|w| w.device.as_str()).collect::<Vec<_>>();
    let between = devices(Place::Underlay);
    let of_hosts = between.iter().filter(|device| **device == "underlay0").count();
    assert!((of_hosts, between.len()) == (HOSTS, 2 * HOSTS), "{between:?}");
    assert_eq!(devices(Place::Guest).len(), 6);
    assert_eq!(watcher.dropped(), 0, "frames came faster than they were looked at");

    // Guests sent what is looked for, and the search finds it there.
    let sent = |frame: &&Frame| frame.direction == Direction::Outgoing;
    let macs: BTreeSet<[u8; 6]> = watcher
        .of(Place::Guest)
        .filter(sent)
        .filter_map(|frame| frame.bytes.get(6..12)?.first_chunk().copied())
        .collect();
    assert_eq!(macs.len(), 6, "{macs:02x?}");
    let needles = needles(&addresses, &macs);
    let at_guests: Vec<usize> = needles.iter().map(|(_, needle)| count(watcher.of(Place::Guest), needle)).collect();
    assert!(at_guests[0] > 10, "probes were sent: {}", at_guests[0]);
    let headers = at_guests[1..needles.len() - macs.len()].iter().filter(|count| **count > 0).count();
    assert!(headers >= 6, "several pairs of guests have spoken: {headers}");
    assert!(at_guests[needles.len() - macs.len()..].iter().all(|count| *count > 0));

    // Between hosts: sealed packets, each association from its first one, and nothing of the above.
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let mut firsts: BTreeMap<u32, u64> = BTreeMap::new();
    for frame in watcher.of(Place::Underlay) {
        let kind = kind_of(&frame.bytes);
        *kinds.entry(kind.unwrap_or_else(|| panic!("what is this? {:02x?}", frame.bytes))).or_default() += 1;
        if kind == Some("esp") {
            let (spi, sequence) = association(&frame.bytes).expect("an esp packet");
            let first = firsts.entry(spi).or_insert(sequence);
            *first = sequence.min(*first);
        }
    }
    assert!(kinds.get("esp").is_some_and(|count| *count >= 8) && kinds.contains_key("tls"), "{kinds:?}");
    assert!(firsts.len() >= 2 && firsts.values().all(|first| *first == 1), "{firsts:?}");
    for (what, needle) in &needles {
        assert_eq!(count(watcher.of(Place::Underlay), needle), 0, "{what} was seen between hosts");
    }
}
