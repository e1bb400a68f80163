//! A planned restart: one process hands everything to the next, of the same program or a newer one, and ends.
//!
//! ```text
//!   predecessor                                         successor (its child; the socket is its standard input)
//!     Begin, the data directory's lock  ──────────────▶
//!                                       ◀────────────── Hello      of the same version: from here on there is no way back
//!     control threads end; packets go on
//!     Quiet                             ──────────────▶ reads the intent, compiles the tables
//!                                       ◀────────────── Ready
//!     packet threads end                                            ┐
//!     Desk, Capture, Wire, Queues,                                  │ the gap
//!     Uplink, Keys, Done                ──────────────▶ goes on     ┘
//!     captures write what they saw
//!     Left                              ──────────────▶ captures go on
//!     ends
//! ```
//!
//! Frames that come meanwhile wait in the queues of the devices and in the sockets' buffers, which are handed over open. Keys travel in
//! memory only (see [`tunnel::Handover`]). Sessions do not travel: the successor opens its own and asks for keys on them.
//!
//! Until `Hello` a successor that fails changes nothing. If one fails later, it is as if the agent had been killed: a service manager
//! starts another, which takes over what there is.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use dataplane::PortId;
use linux::fds::DESCRIPTORS_MAX;
use linux::tap::TapQueue;
use model::NetworkInterfaceId;
use model::intent::Intent;
use policy::{Internet, Tables};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tunnel::Handover;
use zeroize::Zeroizing;

use crate::capture::{AnnouncedCapture, CaptureOrder, LeftCapture};
use crate::links::Links;
use crate::{Agent, Options, kept};

/// Set in a successor's environment.
const VARIABLE: &str = "PEERWAY_HANDOVER";
/// Of what the two say to each other. A successor goes on for a predecessor of an earlier one too, which says less.
const VERSION: u32 = 2;
/// How long the other one may take over one step.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same of a predecessor, which finishes first what it is about: to stop an instance, say. Packets go on meanwhile.
const PREDECESSORS_PATIENCE: Duration = Duration::from_secs(300);
/// How long captures may take to write what they saw; their clients' connections go over, so that a client that reads slowly holds up no more
/// than itself.
const CAPTURES_PATIENCE: Duration = Duration::from_secs(5);
/// The longest message, in bytes; beside it go the keys, which may be as long as these.
const MESSAGE_MAX: usize = 1 << 16;
const KEYS_MAX: usize = 256 << 20;

#[derive(Debug, Serialize, Deserialize)]
enum ToSuccessor {
    /// With the lock of the data directory.
    Begin {
        version: u32,
    },
    Quiet,
    /// The open socket on which questions come in. Since version 2.
    Desk,
    /// A capture that runs, with its client's connection. Since version 2.
    Capture {
        number: u64,
        order: CaptureOrder,
    },
    /// A packet thread's sockets: for receiving and for sending.
    Wire,
    /// The next queues of an interface's device.
    Queues {
        interface: NetworkInterfaceId,
        takes_uso: bool,
    },
    /// The next queues of the uplink's device.
    Uplink,
    /// As many bytes follow.
    Keys {
        bytes: usize,
    },
    Done,
    /// After `Done`: that capture wrote what it saw, and is the other's now. Since version 2.
    Left(LeftCapture),
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum FromSuccessor {
    Hello { version: u32 },
    Ready,
}

/// The process that will go on, as its predecessor sees it.
#[derive(Debug)]
pub struct Successor {
    connection: UnixStream,
    child: Child,
}

impl Successor {
    /// Starts it and waits until it says that it can go on; `lock` is the data directory's.
    ///
    /// # Errors
    /// What went wrong; it is gone then, and nothing has changed.
    pub fn start(mut command: Command, lock: BorrowedFd<'_>) -> io::Result<Successor> {
        let (connection, theirs) = UnixStream::pair()?;
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.set_write_timeout(Some(PATIENCE))?;
        let child = command.env(VARIABLE, "1").stdin(OwnedFd::from(theirs)).spawn();
        // It holds the other end; as long as that is open here, its end would not be noticed.
        drop(command);
        let successor = Successor { connection, child: child? };
        match successor.greet(lock) {
            Ok(()) => Ok(successor),
            Err(error) => {
                successor.abandon();
                Err(error)
            }
        }
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it, after a hand-over that failed: it must not keep the data directory from the next agent.
    pub fn abandon(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn greet(&self, lock: BorrowedFd<'_>) -> io::Result<()> {
        say(&self.connection, &ToSuccessor::Begin { version: VERSION }, &[lock])?;
        self.expect(&FromSuccessor::Hello { version: VERSION })
    }

    fn expect(&self, wanted: &FromSuccessor) -> io::Result<()> {
        let (said, _) = hear::<FromSuccessor>(&self.connection)?;
        if said == *wanted { Ok(()) } else { Err(unexpected(&said)) }
    }
}

impl Agent {
    /// Hands everything to its successor. This process has nothing left then and must end, whatever is returned: packets are carried by the
    /// other one, or by nobody.
    ///
    /// # Errors
    /// The successor does not hear or answer.
    pub fn hand_over(mut self, successor: &Successor) -> io::Result<()> {
        let Successor { connection, child } = successor;
        self.quiesce(true);
        let Agent { shared, desk, .. } = self;
        kept::store_intent(&shared.options, &shared.force.intent());
        say(connection, &ToSuccessor::Quiet, &[])?;
        successor.expect(&FromSuccessor::Ready)?;
        let bindings = shared.force.bindings();
        let captures = shared.captures.close();
        let left = shared.engine.stop();
        shared.flows.close(true);
        let keys = shared.links.as_ref().and_then(Links::hand_over);
        say(connection, &ToSuccessor::Desk, &[desk.as_fd()])?;
        for (number, order, client) in &captures {
            say(connection, &ToSuccessor::Capture { number: *number, order: *order }, &[client.as_fd()])?;
        }
        for wire in left.wires() {
            say(connection, &ToSuccessor::Wire, &[wire.receiver.as_fd(), wire.sender.as_fd()])?;
        }
        for binding in bindings {
            let queues: Vec<BorrowedFd<'_>> = left.queues(binding.port).map(AsFd::as_fd).collect();
            let message = ToSuccessor::Queues { interface: binding.interface, takes_uso: binding.takes_uso };
            for some in queues.chunks(DESCRIPTORS_MAX) {
                say(connection, &message, some)?;
            }
        }
        if let Some(uplink) = &shared.uplink {
            uplink.stop();
            let queues: Vec<BorrowedFd<'_>> = left.queues(PortId::UPLINK).map(AsFd::as_fd).collect();
            for some in queues.chunks(DESCRIPTORS_MAX) {
                say(connection, &ToSuccessor::Uplink, some)?;
            }
        }
        if let Some(keys) = keys {
            say(connection, &ToSuccessor::Keys { bytes: keys.reveal().len() }, &[])?;
            (&*connection).write_all(keys.reveal())?;
        }
        say(connection, &ToSuccessor::Done, &[])?;
        for (_, _, client) in &captures {
            let _ = client.set_write_timeout(Some(CAPTURES_PATIENCE));
        }
        for left in shared.captures.leave(CAPTURES_PATIENCE) {
            // The packets are the other one's already: it is not ended for a capture.
            if let Err(error) = say(connection, &ToSuccessor::Left(left), &[]) {
                tracing::warn!(%error, "a capture was not handed over");
            }
        }
        desk.settle();
        // What was counted is written while the successor carries on.
        shared.services.stop();
        shared.flow_logs.stop();
        tracing::info!(successor = child.id(), "handed over");
        Ok(())
    }
}

/// The process that went before, as its successor sees it.
#[derive(Debug)]
pub struct Predecessor {
    connection: UnixStream,
    version: u32,
}

/// All that it hands over.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// What packets follow until the server says more, compiled.
    pub(crate) intent: Option<(Arc<Intent>, Arc<Tables>)>,
    /// Sockets for receiving and for sending, of each packet thread.
    pub(crate) wires: Vec<(OwnedFd, OwnedFd)>,
    pub(crate) devices: BTreeMap<NetworkInterfaceId, ReceivedDevice>,
    /// The queues of the uplink's device, if it had one.
    pub(crate) uplink: Vec<TapQueue>,
    pub(crate) keys: Option<Handover>,
    pub(crate) desk: Option<OwnedFd>,
    pub(crate) captures: Vec<AnnouncedCapture>,
    /// What it still has to say.
    pub(crate) rest: Option<Rest>,
}

/// What a predecessor says after it has let go of the packets.
#[derive(Debug)]
pub(crate) struct Rest(UnixStream);

impl Rest {
    /// How far the next capture came; `None`: it says no more.
    pub(crate) fn next(&self) -> Option<LeftCapture> {
        match hear(&self.0) {
            Ok((ToSuccessor::Left(left), _)) => Some(left),
            _ => None,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct ReceivedDevice {
    pub(crate) queues: Vec<TapQueue>,
    pub(crate) takes_uso: bool,
}

impl Predecessor {
    /// The process that started this one to go on in its place, with the lock of the data directory, which this process has then; `None`:
    /// this is an ordinary start.
    ///
    /// # Errors
    /// It does not speak, or another version.
    pub fn find() -> io::Result<Option<(Predecessor, File)>> {
        if std::env::var_os(VARIABLE).is_none() {
            return Ok(None);
        }
        let connection = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        Predecessor::hear(connection).map(Some)
    }

    fn hear(connection: UnixStream) -> io::Result<(Predecessor, File)> {
        connection.set_read_timeout(Some(PREDECESSORS_PATIENCE))?;
        connection.set_write_timeout(Some(PATIENCE))?;
        match hear(&connection)? {
            (ToSuccessor::Begin { version: version @ 1..=VERSION }, descriptors) => {
                let [lock] = <[OwnedFd; 1]>::try_from(descriptors).map_err(|_| io::ErrorKind::InvalidData)?;
                Ok((Predecessor { connection, version }, lock.into()))
            }
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// From here on the predecessor cannot go back. Returns when packets are this process's to carry.
    pub(crate) fn receive(self, options: &Options) -> io::Result<Received> {
        say(&self.connection, &FromSuccessor::Hello { version: self.version }, &[])?;
        match hear(&self.connection)? {
            (ToSuccessor::Quiet, _) => {}
            (other, _) => return Err(unexpected(&other)),
        }
        let compiled = |intent: Intent| {
            let internet = Internet::new(&intent.public, &intent.public_ipv6);
            let tables = Tables::compile(intent.vpcs.values().map(|slice| &**slice), 1);
            let tables = tables.with_internet(Arc::new(internet));
            (Arc::new(intent), Arc::new(tables))
        };
        let mut received = Received { intent: kept::intent(options).map(compiled), ..Received::default() };
        say(&self.connection, &FromSuccessor::Ready, &[])?;
        loop {
            let (message, descriptors) = hear(&self.connection)?;
            match message {
                ToSuccessor::Desk => received.desk = descriptors.into_iter().next(),
                ToSuccessor::Capture { number, order } => {
                    let client = descriptors.into_iter().next().ok_or(io::ErrorKind::InvalidData)?.into();
                    received.captures.push(AnnouncedCapture { number, order, client });
                }
                ToSuccessor::Wire => {
                    let [receiver, sender] =
                        <[OwnedFd; 2]>::try_from(descriptors).map_err(|_| io::ErrorKind::InvalidData)?;
                    received.wires.push((receiver, sender));
                }
                ToSuccessor::Queues { interface, takes_uso } => {
                    let device = received.devices.entry(interface).or_default();
                    device.takes_uso = takes_uso;
                    for descriptor in descriptors {
                        device.queues.push(TapQueue::received(descriptor)?);
                    }
                }
                ToSuccessor::Uplink => {
                    for descriptor in descriptors {
                        received.uplink.push(TapQueue::received(descriptor)?);
                    }
                }
                ToSuccessor::Keys { bytes } if bytes <= KEYS_MAX => {
                    let mut keys = Zeroizing::new(vec![0; bytes]);
                    (&self.connection).read_exact(&mut keys)?;
                    received.keys = Some(Handover::new(keys));
                }
                ToSuccessor::Done => {
                    received.rest = Some(Rest(self.connection));
                    return Ok(received);
                }
                other => return Err(unexpected(&other)),
            }
        }
    }
}

fn unexpected(said: &impl std::fmt::Debug) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the other process said {said:?}; is it another version?"))
}

/// A length (32 bits) and JSON; descriptors go with the first byte.
fn say(mut connection: &UnixStream, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let json = serde_json::to_vec(message)?;
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    let frame = [&length.to_be_bytes()[..], &json].concat();
    let sent = linux::fds::send(connection, &frame, descriptors)?;
    connection.write_all(&frame[sent..])
}

fn hear<T: DeserializeOwned>(mut connection: &UnixStream) -> io::Result<(T, Vec<OwnedFd>)> {
    let mut header = [0; 4];
    let (have, descriptors) = linux::fds::receive(connection, &mut header)?;
    if have == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    connection.read_exact(&mut header[have..])?;
    let length = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
    if length > MESSAGE_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {length} bytes is too long")));
    }
    let mut json = vec![0; length];
    connection.read_exact(&mut json)?;
    Ok((serde_json::from_slice(&json)?, descriptors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_with_their_descriptors_and_keys_between_them() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let lock = tempfile::tempfile().unwrap();
        say(&ours, &ToSuccessor::Begin { version: VERSION }, &[lock.as_fd()]).unwrap();
        say(&ours, &ToSuccessor::Keys { bytes: 3 }, &[]).unwrap();
        (&ours).write_all(b"key").unwrap();
        say(&ours, &ToSuccessor::Done, &[]).unwrap();
        let (begin, descriptors) = hear::<ToSuccessor>(&theirs).unwrap();
        assert!(matches!(begin, ToSuccessor::Begin { version: VERSION }) && descriptors.len() == 1);
        assert!(matches!(hear(&theirs).unwrap(), (ToSuccessor::Keys { bytes: 3 }, _)));
        let mut key = [0; 3];
        (&theirs).read_exact(&mut key).unwrap();
        assert_eq!(&key, b"key");
        assert!(matches!(hear(&theirs).unwrap(), (ToSuccessor::Done, none) if none.is_empty()));
        drop(ours);
        assert_eq!(hear::<ToSuccessor>(&theirs).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_successor_goes_on_for_an_earlier_version_and_not_for_a_later_one() {
        for (version, is_taken) in [(0, false), (1, true), (VERSION, true), (VERSION + 1, false)] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let lock = tempfile::tempfile().unwrap();
            say(&ours, &ToSuccessor::Begin { version }, &[lock.as_fd()]).unwrap();
            let heard = Predecessor::hear(theirs);
            assert_eq!(heard.is_ok_and(|(predecessor, _)| predecessor.version == version), is_taken, "{version}");
        }
    }

    #[test]
    fn a_successor_that_does_not_speak_changes_nothing() {
        let lock = tempfile::tempfile().unwrap();
        assert!(Successor::start(Command::new("true"), lock.as_fd()).is_err());
        assert!(Successor::start(Command::new("/nonexistent/program"), lock.as_fd()).is_err());
    }
}
