//! Carries frames: one thread per queue reads, judges and writes, run to completion.
//!
//! Each thread owns its queue of every device; a frame is read into the thread's one buffer, judged in place and written from
//! there. No frame crosses a thread. What goes to another host is sealed and sent by the same thread, and what another host sent is
//! opened and written by the thread that received it.

use std::io;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dataplane::{Action, HEADROOM, Late, PortId, Shared, Worker};
use linux::poll::{Event, Interest, Poll, Waker};
use linux::tap::{FRAME_BUFFER_LEN, TapQueue, is_down, is_gone};
use linux::udp::{Received, RecvBatch, UdpSocket};
use model::Time;

use crate::links::Input;

/// Frames of one device before others have their turn.
const TURN: usize = 64;
/// Room behind a frame for the router's answer.
const SPARE: usize = 2048;
/// How often a thread that has just carried something lets others run and looks again before it sleeps: to be woken on another
/// processor takes longer than that.
const GLANCES: u32 = 4;
/// Another attempt to write when a device is full for the moment.
const WRITES_MAX: usize = 3;
/// The waker's token; ports have theirs below `dataplane::PORTS_MAX`.
const WAKER: u64 = u64::MAX;
/// The token of the socket that other hosts send to.
const UNDERLAY: u64 = u64::MAX - 1;
/// The token of the uplink's queue, as of any port.
const UPLINK: u64 = PortId::UPLINK.index() as u64;
/// Messages of one receive: what a peer sends at once, several times over.
const MESSAGES: usize = 32;
/// Receives before devices have their turn.
const RECEIVES: usize = 4;

enum Order {
    /// Hear other hosts from here on: what they send can be opened and delivered.
    Listen,
    Plug(PortId, TapQueue),
    /// The queue is dropped, then the sender: who waits on the other end knows that nothing holds the device any more.
    Unplug(PortId, Sender<()>),
    /// What a service says by itself.
    Say(Late),
    Stop,
}

/// One thread's way to other hosts.
pub(crate) struct Wire {
    /// All threads' have one port: the kernel spreads what comes.
    pub(crate) receiver: UdpSocket,
    /// Each thread's has a port of its own, so that the receiving host can spread it too.
    pub(crate) sender: UdpSocket,
    /// Whom to tell of links that have no keys.
    pub(crate) links: SyncSender<Input>,
}

/// The threads, as the agent sees them.
pub(crate) struct Engine {
    lanes: Vec<Lane>,
    /// Ports whose device was found to be gone.
    gone: Mutex<Receiver<PortId>>,
}

struct Lane {
    orders: Sender<Order>,
    waker: Arc<Waker>,
    thread: Mutex<Option<JoinHandle<Option<Share>>>>,
}

/// What stopped threads had.
pub(crate) struct Left(Vec<Share>);

/// One thread's.
struct Share {
    /// By port.
    queues: Vec<Option<TapQueue>>,
    wire: Option<Wire>,
}

impl Left {
    pub(crate) fn wires(&self) -> impl Iterator<Item = &Wire> {
        self.0.iter().filter_map(|share| share.wire.as_ref())
    }

    /// A device's, in the order of the threads.
    pub(crate) fn queues(&self, port: PortId) -> impl Iterator<Item = &TapQueue> {
        self.0.iter().filter_map(move |share| share.queues.get(port.index())?.as_ref())
    }
}

impl Engine {
    /// A thread for each `wire`; `None`: there is no other host.
    pub(crate) fn start(plane: &Arc<Shared>, wires: Vec<Option<Wire>>) -> io::Result<Engine> {
        let (tell_gone, gone) = channel();
        let mut lanes = Vec::with_capacity(wires.len());
        for (n, wire) in wires.into_iter().enumerate() {
            let (orders, incoming) = channel();
            let waker = Arc::new(Waker::new()?);
            let (worker, gone, wakes) = (plane.worker(), tell_gone.clone(), waker.clone());
            let (ready, is_ready) = channel();
            let work = move || {
                // The set is not to be sent to another thread, so it is made in this one.
                let poll = Poll::new().and_then(|poll| {
                    poll.add(&*wakes, WAKER, Interest::READ)?;
                    Ok(poll)
                });
                let (poll, result) = match poll {
                    Ok(poll) => (Some(poll), Ok(())),
                    Err(error) => (None, Err(error)),
                };
                let _ = ready.send(result);
                let poll = poll?;
                let buffer = vec![0; FRAME_BUFFER_LEN + SPARE];
                let wire = wire.map(|wire| (wire, RecvBatch::new(MESSAGES, HEADROOM)));
                let queues = Vec::new();
                let mut carrier = Carrier { worker, poll, waker: wakes, orders: incoming, gone, queues, buffer, wire };
                carrier.run();
                Some(Share { queues: carrier.queues, wire: carrier.wire.map(|(wire, _)| wire) })
            };
            let thread = std::thread::Builder::new().name(format!("packets {n}")).spawn(work)?;
            is_ready.recv().map_err(io::Error::other)??;
            lanes.push(Lane { orders, waker, thread: Mutex::new(Some(thread)) });
        }
        Ok(Engine { lanes, gone: Mutex::new(gone) })
    }

    /// Hears other hosts; until then what they send waits in the sockets.
    pub(crate) fn listen(&self) {
        self.lanes.iter().for_each(|lane| lane.order(Order::Listen));
    }

    /// Gives each thread its queue of a device.
    pub(crate) fn plug(&self, port: PortId, queues: Vec<TapQueue>) {
        for (lane, queue) in self.lanes.iter().zip(queues) {
            lane.order(Order::Plug(port, queue));
        }
    }

    /// Takes a device's queues away; it is gone when this returns.
    pub(crate) fn unplug(&self, port: PortId) {
        let (done, wait) = channel();
        for lane in &self.lanes {
            lane.order(Order::Unplug(port, done.clone()));
        }
        drop(done);
        // Ends when the last sender is dropped; a thread that has ended has dropped its own.
        while wait.recv().is_ok() {}
    }

    /// Has every thread look at what waited for keys.
    pub(crate) fn wake(&self) {
        for lane in &self.lanes {
            let _ = lane.waker.wake();
        }
    }

    /// Says to a guest what a service has for it.
    pub(crate) fn say(&self, late: Late) {
        if let Some(lane) = self.lanes.first() {
            lane.order(Order::Say(late));
        }
    }

    /// Ports whose device somebody deleted since the last call.
    pub(crate) fn take_gone(&self) -> Vec<PortId> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).try_iter().collect()
    }

    pub(crate) fn stop(&self) -> Left {
        self.lanes.iter().for_each(|lane| lane.order(Order::Stop));
        let end = |lane: &Lane| {
            let thread = lane.thread.lock().unwrap_or_else(PoisonError::into_inner).take()?;
            thread.join().unwrap_or_else(|_| {
                tracing::error!("a thread that carries packets ended in a panic");
                None
            })
        };
        Left(self.lanes.iter().filter_map(end).collect())
    }
}

impl Lane {
    fn order(&self, order: Order) {
        // A thread that has ended holds no queue; there is nothing to order then.
        if self.orders.send(order).is_ok() {
            let _ = self.waker.wake();
        }
    }
}

struct Carrier {
    worker: Worker,
    poll: Poll,
    waker: Arc<Waker>,
    orders: Receiver<Order>,
    gone: Sender<PortId>,
    /// By port.
    queues: Vec<Option<TapQueue>>,
    buffer: Vec<u8>,
    wire: Option<(Wire, RecvBatch)>,
}

impl Carrier {
    fn run(&mut self) {
        let mut events = Vec::new();
        let mut glances = 0;
        loop {
            let patience = if glances > 0 { Duration::ZERO } else { self.until_timeout() };
            if let Err(error) = self.poll.wait(&mut events, Some(patience)) {
                // Only a broken descriptor set gets here; a loop on it would burn the processor.
                return tracing::error!(%error, "a thread that carries packets cannot wait for them");
            }
            if events.is_empty() && glances > 0 {
                glances -= 1;
                std::thread::yield_now();
                continue;
            }
            glances = if events.is_empty() { 0 } else { GLANCES };
            for event in &events {
                match event.token {
                    // What was sealed before it was told is sent still.
                    WAKER if !self.obey() => return self.transmit(),
                    WAKER => {}
                    UNDERLAY => self.receive(),
                    UPLINK => self.hear_outside(),
                    _ => self.turn(event),
                }
            }
            let now = now();
            if self.worker.poll_timeout().0 <= now {
                self.worker.handle_timeout(now);
            }
            while let Some((port, len)) = self.worker.poll_released(&mut self.buffer, now) {
                self.carry(port, len);
            }
            self.transmit();
        }
    }

    /// Until the worker wants to be called; bounded, so that a clock that was set back does no harm.
    fn until_timeout(&self) -> Duration {
        let due = (self.worker.poll_timeout().0 - now()).as_millis().clamp(0, 1000);
        Duration::from_millis(due.unsigned_abs())
    }

    /// `false`: to stop.
    fn obey(&mut self) -> bool {
        let _ = self.waker.clear();
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Listen => self.listen(),
                Order::Plug(port, queue) => self.plug(port, queue),
                Order::Unplug(port, done) => {
                    self.unplug(port);
                    drop(done);
                }
                Order::Say(late) => self.say(&late),
                Order::Stop => return false,
            }
        }
        true
    }

    fn say(&mut self, late: &Late) {
        let Some(transmit) = self.worker.late(late) else { return };
        if !write(self.queues.get(transmit.port.index()), &transmit.frame) {
            self.worker.undelivered(transmit.port, transmit.frame.len());
        }
    }

    fn listen(&self) {
        let Some((wire, _)) = &self.wire else { return };
        if let Err(error) = self.poll.add(&wire.receiver, UNDERLAY, Interest::READ) {
            tracing::error!(%error, "other hosts cannot be heard");
        }
    }

    fn plug(&mut self, port: PortId, queue: TapQueue) {
        let at = port.index();
        if self.queues.len() <= at {
            self.queues.resize_with(at + 1, || None);
        }
        if let Err(error) = self.poll.add(&queue, at as u64, Interest::READ) {
            return tracing::error!(%port, %error, "a device cannot be read");
        }
        self.queues[at] = Some(queue);
    }

    fn unplug(&mut self, port: PortId) {
        if let Some(queue) = self.queues.get_mut(port.index()).and_then(Option::take) {
            let _ = self.poll.delete(&queue);
        }
    }

    /// Carries what a device has, up to a turn's share.
    fn turn(&mut self, event: &Event) {
        let Some(port) = u32::try_from(event.token).ok().and_then(PortId::new) else { return };
        for _ in 0..TURN {
            let Some(Some(queue)) = self.queues.get(port.index()) else { return };
            match queue.read(&mut self.buffer[..FRAME_BUFFER_LEN]) {
                Ok(len) => self.carry(port, len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.transmit(),
                Err(error) if is_gone(&error) || event.closed => return self.lose(port),
                Err(error) => {
                    tracing::debug!(%port, %error, "a device was not read");
                    return;
                }
            }
        }
        self.transmit();
    }

    fn carry(&mut self, from: PortId, len: usize) {
        let (to, len) = match self.worker.guest_frame(from, &mut self.buffer, len, now()) {
            Action::Forward { port, len } => (port, len),
            Action::Reply { len } => (from, len),
            Action::Sealed => return self.send(false),
            Action::Drop(_) | Action::Held => return,
        };
        if !write(self.queues.get(to.index()), &self.buffer[..len]) {
            self.worker.undelivered(to, len);
        }
    }

    /// Opens and delivers what other hosts sent.
    fn receive(&mut self) {
        let Some((wire, batch)) = &mut self.wire else { return };
        let (worker, queues) = (&mut self.worker, &self.queues);
        for _ in 0..RECEIVES {
            match wire.receiver.recv_batch(batch) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => return tracing::debug!(%error, "nothing was received"),
            }
            let now = now();
            for Received { from, bytes, segment } in batch.messages() {
                worker.datagrams(from, bytes, segment, now, |to, frame| write(queues.get(to.index()), frame));
            }
            worker.flush_deliveries(now, |to, frame| write(queues.get(to.index()), frame));
            while let Some((from, spi)) = worker.poll_unknown() {
                let _ = wire.links.try_send(Input::UnknownSpi(from, spi));
            }
        }
    }

    /// Delivers what came from outside of the cloud, up to a turn's share.
    fn hear_outside(&mut self) {
        let (worker, queues) = (&mut self.worker, &self.queues);
        let Some(Some(uplink)) = queues.get(PortId::UPLINK.index()) else { return };
        for _ in 0..TURN {
            match uplink.read(&mut self.buffer[..FRAME_BUFFER_LEN]) {
                Ok(len) => {
                    let deliver = |to: PortId, frame: &[u8]| write(queues.get(to.index()), frame);
                    worker.outside_frame(&mut self.buffer[..len], now(), deliver);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if is_gone(&error) => {
                    tracing::error!(
                        "somebody deleted the uplink's device: nothing leaves the cloud until the agent is restarted"
                    );
                    self.unplug(PortId::UPLINK);
                    break;
                }
                Err(error) => {
                    tracing::debug!(%error, "the uplink was not read");
                    break;
                }
            }
        }
        let (worker, queues) = (&mut self.worker, &self.queues);
        worker.flush_deliveries(now(), |to, frame| write(queues.get(to.index()), frame));
        self.transmit();
    }

    /// Sends what was sealed; without `flush` only what could not grow any more.
    fn send(&mut self, flush: bool) {
        let Some((wire, _)) = &self.wire else { return };
        while let Some(datagrams) = self.worker.poll_datagrams(flush) {
            let unsent = datagrams.bytes.len().div_ceil(usize::from(datagrams.segment.max(1)));
            if let Err(error) = wire.sender.send(datagrams.to, datagrams.bytes, datagrams.segment) {
                tracing::debug!(%error, to = %datagrams.to, "datagrams were not sent");
                self.worker.unsent(unsent);
            }
        }
        if flush {
            while let Some(want) = self.worker.poll_want() {
                // A full queue loses nothing: the link is asked for again with its next packet.
                let _ = wire.links.try_send(Input::Want(want));
            }
        }
    }

    fn transmit(&mut self) {
        self.send(true);
        while let Some(transmit) = self.worker.poll_transmit() {
            let is_written = write(self.queues.get(transmit.port.index()), &transmit.frame);
            if !is_written && !transmit.is_unasked {
                self.worker.undelivered(transmit.port, transmit.frame.len());
            }
        }
    }

    /// The guest deleted its device: the queue will never work again.
    fn lose(&mut self, port: PortId) {
        self.unplug(port);
        // Nobody listens once the agent stops.
        let _ = self.gone.send(port);
    }
}

/// Whether the device took the frame.
fn write(queue: Option<&Option<TapQueue>>, frame: &[u8]) -> bool {
    let Some(Some(queue)) = queue else { return false };
    for _ in 0..WRITES_MAX {
        match queue.write(frame) {
            Ok(_) => return true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if is_down(&error) || is_gone(&error) => return false,
            Err(error) => {
                tracing::debug!(%error, len = frame.len(), "a device did not take a frame");
                return false;
            }
        }
    }
    false
}

/// The machine's clock, as the data plane wants it.
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_unix_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
