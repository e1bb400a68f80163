//! What the command line asks an agent on its own machine, over a Unix socket in the data directory: run a command in an
//! instance, show what was counted, capture packets.
//!
//! A planned restart hands the socket over open, so that nobody is refused meanwhile, and captures with it. A command does not need the
//! agent once it has begun: it is a process of its own that answers its caller itself, so it outlives an agent in any way.
//!
//! One question a connection; a frame is a length (32 bits, big-endian) and JSON, as in `stream`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use linux::poll::{Interest, Poll, Waker};
use linux::sandbox::Exec;
use model::{HostId, InstanceId, NetworkInterfaceId, Region};
use serde::{Deserialize, Serialize};

use crate::capture::{self, CaptureOrder, CaptureSummary};
use crate::links::{LinkStatus, Links, Underlay};
use crate::uplink::UplinkStatus;
use crate::{Options, Shared, StartError, instances};

/// The socket's name inside the data directory.
pub const SOCKET_NAME: &str = "agent.sock";

/// The longest question, in bytes.
const FRAME_MAX: usize = 1 << 20;
/// The longest answer: a host of 4,096 interfaces, each with every reason.
const ANSWER_MAX: usize = 64 << 20;
/// Commands that run at once; as many more are told so, the rest is not heard.
const CONVERSATIONS_MAX: usize = 256;
/// How long a client has to ask.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to leave a listener in peace that accepts nothing.
const PAUSE: Duration = Duration::from_millis(50);
const LISTENER: u64 = 0;
const WAKER: u64 = 1;
/// The exit code of a command whose helper was killed, as of one that could not be entered.
const COMMAND_KILLED: u8 = 125;

#[derive(Debug, Serialize, Deserialize)]
pub enum Question {
    /// With descriptors beside it: standard input, output and error, and the pipe over which the caller is told how it ended.
    Exec {
        instance: InstanceId,
        exec: Exec,
    },
    Status,
    /// Answered by [`Answer::Streams`], the stream and [`Answer::Captured`].
    Capture(CaptureOrder),
    /// The keys of this host's links, in the same way.
    EspKeys,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// The command was begun; its exit code comes by the caller's pipe, as one byte.
    Started,
    Status(Box<HostStatus>),
    Streams,
    Captured(CaptureSummary),
    Refused(String),
}

/// What runs on a host, and how it reaches the others.
#[derive(Debug, Serialize, Deserialize)]
pub struct HostStatus {
    pub host: HostId,
    pub instances: Vec<InstanceStatus>,
    pub links: Vec<LinkStatus>,
    /// The largest packet that a link carries, in bytes; 0: there is no other host.
    pub path_mtu: u16,
    /// What was refused where nobody knows whose it was.
    pub strays: Vec<StrayStatus>,
    pub tracked: TrackedStatus,
    /// `None`: no packet leaves the cloud here.
    #[serde(default)]
    pub uplink: Option<UplinkStatus>,
    /// The revision of each region that is in force here.
    pub revisions: BTreeMap<Region, u64>,
}

/// What was refused where nobody knows whose it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrayStatus {
    /// `D17`.
    pub reason: String,
    pub text: String,
    /// What it was, such as `unknown SPI`.
    pub cause: String,
    pub packets: u64,
}

/// How full the table of tracked flows is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackedStatus {
    /// Ended ones that were not yet given back among them.
    pub flows: u64,
    pub flows_max: u64,
    pub flows_per_interface_max: u64,
}

/// An instance that runs on this host.
#[derive(Debug, Serialize, Deserialize)]
pub struct InstanceStatus {
    pub instance: InstanceId,
    pub host: HostId,
    pub pid: u32,
    /// What holds its limits, such as `cgroup v1`.
    pub limits: String,
    pub interfaces: Vec<InterfaceStatus>,
}

/// An interface that is plugged in on this host, with what was counted.
#[derive(Debug, Serialize, Deserialize)]
pub struct InterfaceStatus {
    pub interface: NetworkInterfaceId,
    pub address: String,
    /// Packets and bytes from the guest and to the guest.
    pub received: (u64, u64),
    pub delivered: (u64, u64),
    /// Reason (`D05`), its text, packets.
    pub drops: Vec<(String, String, u64)>,
    /// Packets and bytes to the guest from the router itself.
    pub answered: (u64, u64),
    /// Tracked flows that it takes up.
    pub flows: u64,
    /// Packets that were decided from memory, and those that the law was asked about.
    pub cache: (u64, u64),
}

/// Where questions come in.
pub(crate) struct Desk {
    listener: UnixListener,
    /// Wakes [`run`] when the agent stops; the socket's file may be gone by then.
    waker: Waker,
    unanswered: Arc<Unanswered>,
}

/// How many have asked and wait for their answer.
#[derive(Default)]
struct Unanswered {
    count: Mutex<usize>,
    less: Condvar,
}

/// One of them, for as long as this lives.
struct Asking(Arc<Unanswered>);

impl Asking {
    fn one_more(of: &Arc<Unanswered>) -> Asking {
        *of.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Asking(of.clone())
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        *self.0.count.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.less.notify_all();
    }
}

impl Desk {
    /// Ends [`run`]; the socket stays, for another process or until it is closed.
    pub(crate) fn stop(&self) -> io::Result<()> {
        self.waker.wake()
    }

    /// Waits until all that have asked are answered, a while at most.
    pub(crate) fn settle(&self) {
        let Unanswered { count, less } = &*self.unanswered;
        let count = count.lock().unwrap_or_else(PoisonError::into_inner);
        drop(less.wait_timeout_while(count, PATIENCE, |count| *count > 0));
    }

    /// Nothing can be asked any more.
    pub(crate) fn close(&self, options: &Options) {
        let _ = fs::remove_file(options.data.join(SOCKET_NAME));
    }
}

/// Open, for another process.
impl AsFd for Desk {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// Takes the socket that a predecessor hands over, or a new one; one that a killed run left is replaced.
pub(crate) fn bind(options: &Options, handed: Option<OwnedFd>) -> Result<Desk, StartError> {
    let (waker, unanswered) = (Waker::new().map_err(StartError::Thread)?, Arc::default());
    if let Some(listener) = handed {
        return Ok(Desk { listener: listener.into(), waker, unanswered });
    }
    let path = options.data.join(SOCKET_NAME);
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| StartError::File { what, path, source }
    };
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("replace", &path)(error)),
        _ => {}
    }
    let bound = short(&options.data).and_then(|(_open, path)| UnixListener::bind(path));
    let listener = bound.and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    let listener = listener.map_err(failed("listen on", &path))?;
    Ok(Desk { listener, waker, unanswered })
}

/// The socket by a path that is short, however deep the data directory is: the kernel takes 107 bytes (unix(7)). It holds for
/// as long as the directory is open.
fn short(data: &Path) -> io::Result<(File, PathBuf)> {
    let directory = File::open(data)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET_NAME}", directory.as_raw_fd()));
    Ok((directory, path))
}

pub(crate) fn run(shared: &Arc<Shared>, desk: &Desk) {
    if let Err(error) = attend_desk(shared, desk) {
        tracing::error!(%error, "nothing can be asked here any more");
    }
}

fn attend_desk(shared: &Arc<Shared>, desk: &Desk) -> io::Result<()> {
    let mut poll = Poll::new()?;
    poll.add(&desk.listener, LISTENER, Interest::READ)?;
    poll.add(&desk.waker, WAKER, Interest::READ)?;
    let (mut events, conversations) = (Vec::new(), Arc::new(()));
    loop {
        poll.wait(&mut events, None)?;
        if events.iter().any(|event| event.token == WAKER) {
            return Ok(());
        }
        match desk.listener.accept() {
            Ok((connection, _)) => converse(shared, connection, &conversations, Asking::one_more(&desk.unanswered)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Out of descriptors, most likely: some will be closed.
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// Answers in a thread of its own. A thread that cannot be started drops the connection, which the client sees.
fn converse(shared: &Arc<Shared>, mut connection: UnixStream, conversations: &Arc<()>, asking: Asking) {
    let (shared, guard) = (shared.clone(), conversations.clone());
    // The listener has one, too.
    let count = Arc::strong_count(conversations) - 1;
    if count > 2 * CONVERSATIONS_MAX {
        return;
    }
    let work = move || {
        let _ = connection.set_read_timeout(Some(PATIENCE));
        let Ok((question, descriptors)) = hear(&connection) else { return };
        if count > CONVERSATIONS_MAX {
            let why = format!("the agent runs {CONVERSATIONS_MAX} commands already; try again");
            let _ = say(&mut connection, &Answer::Refused(why));
        } else {
            answer(&shared, question, descriptors, connection, asking);
        }
        drop(guard);
    };
    let _ = std::thread::Builder::new().name("conversation".into()).spawn(work);
}

fn answer(shared: &Shared, question: Question, descriptors: Vec<OwnedFd>, mut connection: UnixStream, asking: Asking) {
    match question {
        Question::Status => drop(say(&mut connection, &Answer::Status(Box::new(status(shared))))),
        Question::Exec { instance, exec } => run_command(shared, instance, &exec, descriptors, (connection, asking)),
        Question::Capture(order) => {
            // It takes as long as it takes, and is handed over.
            drop(asking);
            let ended = capture::run(shared, &order, &connection, || streams(&connection));
            // Else another process answers.
            if let Some(result) = ended.transpose() {
                let _ = say(&mut connection, &captured(result));
            }
        }
        Question::EspKeys => {
            drop(asking);
            let result = capture::run_esp_keys(shared, &connection, || streams(&connection));
            let _ = say(&mut connection, &captured(result));
        }
    }
}

fn streams(mut connection: &UnixStream) -> io::Result<()> {
    connection.write_all(&frame(&Answer::Streams)?)
}

pub(crate) fn captured(result: io::Result<CaptureSummary>) -> Answer {
    result.map_or_else(|error| Answer::Refused(error.to_string()), Answer::Captured)
}

/// Begins a command and answers; then waits for it, since it is a child of this process for as long as there is this process.
fn run_command(
    shared: &Shared,
    instance: InstanceId,
    exec: &Exec,
    given: Vec<OwnedFd>,
    (mut connection, asking): (UnixStream, Asking),
) {
    let Ok([stdin, stdout, stderr, ending]) = <[OwnedFd; 4]>::try_from(given) else {
        let why = "a command needs standard input, output and error, and a pipe to tell its end";
        return drop(say(&mut connection, &Answer::Refused(why.into())));
    };
    match instances::exec(shared, instance, exec, [stdin, stdout, stderr], ending) {
        Ok(mut child) => {
            let _ = say(&mut connection, &Answer::Started);
            drop((connection, asking));
            if let Err(error) = child.wait() {
                tracing::warn!(%instance, %error, "a command cannot be waited for");
            }
        }
        Err(error) => drop(say(&mut connection, &Answer::Refused(error.to_string()))),
    }
}

pub(crate) fn status(shared: &Shared) -> HostStatus {
    let running = shared.instances.running();
    let instances = running.iter().map(|(id, running)| InstanceStatus {
        instance: *id,
        host: shared.options.host,
        pid: running.sandbox.record().birth.pid,
        limits: limits(running.sandbox.record().confinement),
        interfaces: running.devices.iter().map(|device| interface_status(shared, device)).collect(),
    });
    let (host, instances) = (shared.options.host, instances.collect());
    let links = shared.links.as_ref().map(Links::status).unwrap_or_default();
    let path_mtu = shared.options.underlay.as_ref().map_or(0, Underlay::tunnel_mtu);
    let plane = &shared.force.plane;
    let dataplane::Config { limits, .. } = plane.config();
    let tracked = TrackedStatus {
        flows: count(plane.flows()),
        flows_max: limits.flows.into(),
        flows_per_interface_max: limits.flows_per_interface.into(),
    };
    let revisions = shared.force.intent().revisions.clone();
    let uplink = shared.uplink.as_ref().map(|uplink| uplink.status(plane));
    HostStatus { host, instances, links, path_mtu, strays: strays(plane), tracked, uplink, revisions }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// What is counted at no interface: datagrams of other hosts, frames of devices that belong to nobody, and what was on its way to one.
fn strays(plane: &dataplane::Shared) -> Vec<StrayStatus> {
    let dataplane::StrayDatagrams { not_esp, unknown_spi, unsent } = plane.stray_datagrams();
    let stray = |denied: policy::Denied, cause: &str, packets: u64| StrayStatus {
        reason: denied.code().into(),
        text: denied.reason().text.into(),
        cause: cause.into(),
        packets,
    };
    let datagrams = [
        stray(policy::Denied::NotAuthentic, "not ESP", not_esp),
        stray(policy::Denied::NotAuthentic, "unknown SPI", unknown_spi),
        stray(policy::Denied::QueueFull, "not sent", unsent),
    ];
    let counters = plane.stray_counters();
    let frames = policy::Denied::ALL.iter().zip(&counters.denied).map(|(reason, traffic)| StrayStatus {
        reason: reason.code.into(),
        text: reason.text.into(),
        cause: "no interface".into(),
        packets: traffic.packets,
    });
    let counters = plane.uplink_counters();
    let outside = policy::Denied::ALL.iter().zip(&counters.denied).map(|(reason, traffic)| StrayStatus {
        reason: reason.code.into(),
        text: reason.text.into(),
        cause: "at the uplink".into(),
        packets: traffic.packets,
    });
    datagrams.into_iter().chain(frames).chain(outside).filter(|stray| stray.packets > 0).collect()
}

fn limits(confinement: linux::Confinement) -> String {
    format!("processes by {}, memory by {}", confinement.processes.as_str(), confinement.memory.as_str())
}

fn interface_status(shared: &Shared, device: &instances::Device) -> InterfaceStatus {
    let counters = shared.force.plane.counters(device.port);
    let traffic = |of: fn(&dataplane::Counters) -> dataplane::Traffic| {
        counters.as_ref().map(of).map_or((0, 0), |traffic| (traffic.packets, traffic.bytes))
    };
    let drops = counters
        .iter()
        .flat_map(|counters| policy::Denied::ALL.iter().zip(&counters.denied))
        .filter(|(_, traffic)| traffic.packets > 0);
    InterfaceStatus {
        interface: device.interface.id,
        address: device.interface.primary_ip().to_string(),
        received: traffic(|counters| counters.received),
        delivered: traffic(|counters| counters.delivered),
        drops: drops.map(|(reason, traffic)| (reason.code.into(), reason.text.into(), traffic.packets)).collect(),
        answered: traffic(|counters| counters.answered),
        flows: count(shared.force.plane.flows_of(device.interface.id)),
        cache: counters.as_ref().map_or((0, 0), |counters| (counters.cache_hits, counters.cache_misses)),
    }
}

/// Asks the agent of this data directory, with descriptors beside the question.
///
/// # Errors
/// The kernel's; `NotFound` or `ConnectionRefused` where no agent runs.
pub fn ask(data: &Path, question: &Question, descriptors: &[BorrowedFd<'_>]) -> io::Result<Answer> {
    read_answer(&put(data, question, descriptors)?)
}

fn put(data: &Path, question: &Question, descriptors: &[BorrowedFd<'_>]) -> io::Result<UnixStream> {
    let (_open, path) = short(data)?;
    let mut connection = UnixStream::connect(path)?;
    let frame = frame(question)?;
    let sent = linux::fds::send(&connection, &frame, descriptors)?;
    connection.write_all(&frame[sent..])?;
    Ok(connection)
}

fn read_answer(mut connection: &UnixStream) -> io::Result<Answer> {
    let mut header = [0; 4];
    connection.read_exact(&mut header)?;
    let mut json = vec![0; length(header, ANSWER_MAX)?];
    connection.read_exact(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

/// An answer that goes on until it is stopped, or ends by itself.
#[derive(Debug)]
pub struct Stream(UnixStream);

/// Ends a [`Stream`], from another thread too.
#[derive(Debug)]
pub struct Stopper(UnixStream);

impl Stream {
    /// Asks for a capture or for keys; another answer than a stream is handed back.
    ///
    /// # Errors
    /// As [`ask`].
    pub fn open(data: &Path, question: &Question) -> io::Result<Result<Stream, Answer>> {
        let connection = put(data, question, &[])?;
        Ok(match read_answer(&connection)? {
            Answer::Streams => Ok(Stream(connection)),
            other => Err(other),
        })
    }

    /// # Errors
    /// The kernel's: no descriptor is left.
    pub fn stopper(&self) -> io::Result<Stopper> {
        Ok(Stopper(self.0.try_clone()?))
    }

    /// Hands on all that comes; the last answer.
    ///
    /// # Errors
    /// The connection's, and what `take` returns.
    pub fn follow(self, take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<Answer> {
        capture::follow(&self.0, take)?;
        read_answer(&self.0)
    }
}

impl Stopper {
    /// # Errors
    /// The kernel's: no descriptor is left.
    pub fn try_clone(&self) -> io::Result<Stopper> {
        Ok(Stopper(self.0.try_clone()?))
    }

    /// Asks for the end. What was seen before it still comes.
    pub fn stop(&self) {
        // It may have ended by itself.
        let _ = self.0.shutdown(std::net::Shutdown::Write);
    }
}

/// Runs a command in an instance with this process's standard input, output and error; its exit code, or the agent's other answer. Once the
/// command has begun, the agent may end without it.
///
/// # Errors
/// As [`ask`].
pub fn exec(data: &Path, instance: InstanceId, exec: Exec) -> io::Result<Result<u8, Answer>> {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let (mut told, ending) = io::pipe()?;
    let lent = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd(), ending.as_fd()];
    match ask(data, &Question::Exec { instance, exec }, &lent)? {
        Answer::Started => {}
        other => return Ok(Err(other)),
    }
    // The command has the only other end.
    drop(ending);
    let mut code = [COMMAND_KILLED];
    match told.read_exact(&mut code) {
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(Ok(code[0])),
    }
}

fn hear(connection: &UnixStream) -> io::Result<(Question, Vec<OwnedFd>)> {
    let mut bytes = vec![0; FRAME_MAX + 4];
    let (mut have, descriptors) = linux::fds::receive(connection, &mut bytes)?;
    loop {
        let whole = if have < 4 { 4 } else { 4 + length([bytes[0], bytes[1], bytes[2], bytes[3]], FRAME_MAX)? };
        if have >= whole && whole > 4 {
            return Ok((serde_json::from_slice(&bytes[4..whole])?, descriptors));
        }
        match (&*connection).read(&mut bytes[have..whole])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => have += more,
        }
    }
}

pub(crate) fn say(connection: &mut UnixStream, answer: &Answer) -> io::Result<()> {
    connection.write_all(&frame(answer)?)
}

fn frame(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(message)?;
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    Ok([&length.to_be_bytes()[..], &json].concat())
}

fn length(header: [u8; 4], most: usize) -> io::Result<usize> {
    let length = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
    if length > most {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a frame of {length} bytes is over the limit of {most}"),
        ));
    }
    Ok(length)
}
