//! What happens to sessions, in a queue of bounded length from their thread to whoever acts on it.
//!
//! A full queue makes sessions wait, which makes their peers wait; the thread itself never does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use model::{HostId, KeyFingerprint};
use tokio::sync::Semaphore;

use super::exporter::Exporter;
use super::why::Why;

/// Events that wait, at most.
const EVENTS_MAX: usize = 256;

/// Which end of a session this host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It dialled: it sends packets and asks for keys.
    Client,
    /// It was dialled: it receives packets and grants keys.
    Server,
}

#[derive(Debug)]
pub enum Event {
    /// A session both of whose ends know each other. Each `Up` is followed by one `Down`, unless the thread ends before.
    Up(Up),
    /// One frame of the peer's, 1 byte to [`super::FRAME_MAX`].
    Message {
        session: u64,
        bytes: Vec<u8>,
    },
    Down {
        session: u64,
        why: Why,
    },
    /// What `Connect` asked for did not become a session.
    Failed {
        host: HostId,
        address: SocketAddr,
        why: Why,
    },
    /// Somebody dialled and was not let in. Lost where there is little room, so that a flood of these displaces nothing else.
    Refused {
        from: SocketAddr,
        why: Why,
    },
}

/// A session that came up.
#[derive(Clone, Debug)]
pub struct Up {
    /// Counted from 1; a thread of sessions uses none twice.
    pub session: u64,
    pub host: HostId,
    pub key: KeyFingerprint,
    pub role: Role,
    /// The other end of the connection.
    pub address: SocketAddr,
    /// X25519MLKEM768 was agreed on; there are no sessions without it.
    pub post_quantum: bool,
    pub exporter: Exporter,
}

/// Why there is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEvent {
    #[error("nothing happened in that time")]
    Timeout,
    #[error("the thread of the sessions has ended")]
    Ended,
}

/// The receiving end of the queue.
pub struct Events {
    queue: Receiver<Event>,
    room: Arc<Semaphore>,
}

/// The sending end: a permit of `room` for each place in the queue.
#[derive(Clone)]
pub(super) struct EventSender {
    queue: SyncSender<Event>,
    room: Arc<Semaphore>,
}

pub(super) fn queue() -> (EventSender, Events) {
    let (sender, queue) = sync_channel(EVENTS_MAX);
    let room = Arc::new(Semaphore::new(EVENTS_MAX));
    (EventSender { queue: sender, room: room.clone() }, Events { queue, room })
}

impl Events {
    /// The next event, waited for so long at most.
    ///
    /// # Errors
    /// [`NoEvent`].
    pub fn recv(&self, at_most: Duration) -> Result<Event, NoEvent> {
        match self.queue.recv_timeout(at_most) {
            Ok(event) => {
                self.room.add_permits(1);
                Ok(event)
            }
            Err(RecvTimeoutError::Timeout) => Err(NoEvent::Timeout),
            Err(RecvTimeoutError::Disconnected) => Err(NoEvent::Ended),
        }
    }
}

#[cfg(test)]
impl Events {
    pub(super) fn is_full(&self) -> bool {
        self.room.available_permits() == 0
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.room.close();
    }
}

impl EventSender {
    /// Waits for room. `false`: nobody listens any more.
    pub(super) async fn send(&self, event: Event) -> bool {
        let Ok(permit) = self.room.acquire().await else { return false };
        permit.forget();
        self.queue.try_send(event).is_ok()
    }

    /// Sends if half of the queue is free.
    pub(super) fn send_minor(&self, event: Event) {
        if self.room.available_permits() > EVENTS_MAX / 2
            && let Ok(permit) = self.room.try_acquire()
        {
            permit.forget();
            let _ = self.queue.try_send(event);
        }
    }
}
