//! Key sessions between hosts: mutual TLS 1.3 over TCP, on which the agreement of keys speaks (architecture ch. 8, spec 14.7).
//!
//! ```text
//!   agreement ── Connect, Send, Close ─▶ ┌────────────────────────────┐        ┌──────────┐
//!   shell ── SetPeers, SetIdentity ────▶ │ one thread, one runtime,   │ ◀─TLS─▶│ the peer │
//!   agreement ◀─ Up, Message, Down ───── │ in the host's namespace    │        └──────────┘
//!             ◀─ Failed, Refused         └────────────────────────────┘
//! ```
//!
//! Whoever wants to send packets dials; so there is a session for each direction. A session is up when both ends have checked
//! the other: chain, time, name and key (`verify`). What is sent over it are frames of bytes that this module does not read.
//! Keys come from the [`Exporter`], at both ends the same, and never cross the wire.
//!
//! Bounds: [`Limits`], all of them. A peer that does not read, does not answer or announces too much loses its session; one
//! that nobody knows has a few seconds to say who it is, and a crowd of such ends only others of the crowd.

mod carry;
mod events;
mod exporter;
mod hub;
mod table;
#[cfg(test)]
mod tests;
pub(crate) mod tls;
pub(crate) mod verify;
mod why;

use std::io;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use model::HostId;
use tokio::sync::mpsc;

use crate::identity::Credentials;

pub use events::{Event, Events, NoEvent, Role, Up};
pub use exporter::{ExportError, Exporter, KEY_MATERIAL};
pub use verify::Peers;
pub use why::Why;

use hub::Hub;
use table::Table;

/// The longest frame, in bytes.
pub const FRAME_MAX: usize = 64 << 10;
/// Commands that wait, at most.
const COMMANDS_MAX: usize = 1024;

/// How much of everything there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the first byte of TCP until both ends know each other.
    pub handshake: Duration,
    /// Connections that have not said yet who they are; the oldest makes room for the next.
    pub strangers: usize,
    /// The same, of one address (of one /64 in IPv6).
    pub strangers_per_source: usize,
    pub sessions: usize,
    /// Of one host, in each direction: a session and its successor, and some that have not noticed their end yet.
    pub sessions_per_peer: usize,
    /// Silence after which this host says that it is there.
    pub keepalive: Duration,
    /// Silence after which the peer is taken for gone.
    pub idle: Duration,
    /// How long a peer may take to read one frame.
    pub write: Duration,
    /// Bytes that wait for a peer to read them.
    pub queue_bytes: usize,
    /// After it a session ends, whoever still wants it: sessions are renewed hourly, and so is what certificates said.
    pub age: Duration,
    /// How long to try for a port that somebody else has: a process that hands over is about to leave it.
    pub port: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            handshake: Duration::from_secs(5),
            strangers: 128,
            strangers_per_source: 16,
            sessions: 4096,
            sessions_per_peer: 4,
            keepalive: Duration::from_secs(20),
            idle: Duration::from_secs(60),
            write: Duration::from_secs(10),
            queue_bytes: 1 << 20,
            age: Duration::from_secs(2 * 3600),
            port: Duration::ZERO,
        }
    }
}

/// What to do.
#[derive(Debug)]
pub enum Command {
    /// Open a session to this host at this address; answered by [`Event::Up`] or [`Event::Failed`].
    Connect { host: HostId, address: SocketAddr },
    /// Send a frame of 1 to [`FRAME_MAX`] bytes. Lost if the session has ended.
    Send { session: u64, frame: Vec<u8> },
    /// End a session; answered by [`Event::Down`].
    Close { session: u64 },
    /// Permit these hosts with these keys and no others, from now on; sessions of others end.
    SetPeers(Peers),
    /// Open new sessions with this certificate; those that are open stay.
    SetIdentity(Credentials),
    /// End all sessions and the thread.
    Stop,
}

/// Why a command is not obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("a frame of {0} bytes is not one of 1 to {FRAME_MAX}")]
    Frame(usize),
    #[error("the thread of the sessions has ended")]
    Ended,
}

/// The thread of the sessions. Dropped, it ends them all and waits for the thread.
pub struct Sessions {
    address: SocketAddr,
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
    #[cfg(test)]
    table: std::sync::Arc<Table>,
}

impl Sessions {
    /// Starts the thread, which first calls `enter` (to enter the host's network namespace) and then listens on `address`, at once or
    /// within [`Limits::port`]. It lets nobody in before `SetIdentity` and `SetPeers`.
    ///
    /// # Errors
    /// That of `enter`; the kernel's, when it gives no thread or the address is taken.
    pub fn start(
        address: SocketAddr,
        limits: Limits,
        enter: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> io::Result<(Sessions, Events)> {
        let (sender, commands) = mpsc::channel(COMMANDS_MAX);
        let (events, receiver) = events::queue();
        let table = Table::new(limits);
        let (started, start) = std::sync::mpsc::sync_channel(1);
        #[cfg(test)]
        let seen = table.clone();
        let work = move || {
            let opened = enter().and_then(|()| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let listener = match runtime.block_on(async { hub::listen(address) }) {
                    Err(error) if error.kind() == io::ErrorKind::AddrInUse && !limits.port.is_zero() => None,
                    listener => Some(listener?),
                };
                let address = listener.as_ref().map_or(Ok(address), tokio::net::TcpListener::local_addr)?;
                Ok((runtime, listener, address))
            });
            match opened {
                Ok((runtime, listener, address)) => {
                    let _ = started.send(Ok(address));
                    runtime.block_on(hub::run(Hub { table, events, limits, address }, listener, commands));
                }
                Err(error) => drop(started.send(Err(error))),
            }
        };
        let thread = std::thread::Builder::new().name("sessions".into()).spawn(work)?;
        let address = start.recv().unwrap_or_else(|_| Err(io::Error::other("the thread of the sessions panicked")))?;
        let sessions = Sessions {
            address,
            commands: Some(sender),
            thread: Some(thread),
            #[cfg(test)]
            table: seen,
        };
        Ok((sessions, receiver))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Hands over a command. Waits while very many wait, which is short: the thread waits for nobody. Not to be called from
    /// inside a runtime.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn send(&self, command: Command) -> Result<(), CommandError> {
        if let Command::Send { frame, .. } = &command
            && !(1..=FRAME_MAX).contains(&frame.len())
        {
            return Err(CommandError::Frame(frame.len()));
        }
        let commands = self.commands.as_ref().ok_or(CommandError::Ended)?;
        commands.blocking_send(command).map_err(|_| CommandError::Ended)
    }

    /// Ends all sessions and the thread.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        // Nobody can command it any more: it ends.
        self.commands = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the sessions ended in a panic");
        }
    }
}
