//! One thread's part of the data plane: the calls that a shell makes, and when.
//!
//! ```text
//!  loop { guest_frame for each frame of a batch; poll_transmit until it has nothing; at poll_timeout: handle_timeout, poll_transmit }
//! ```

use std::collections::VecDeque;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache as Latest};
use model::{Direction, Duration, Time};
use policy::{Denied, Flow, L2};
use wire::ndp::ALL_NODES;
use wire::vnet::{self, VnetHeader};

use crate::coalescer::Coalescer;
use crate::counters::Event;
use crate::flow_log::Passing;
use crate::inbound::HEADROOM;
use crate::memo::Memo;
use crate::outbox::{Datagrams, Outbox};
use crate::port::PortId;
use crate::router::ndp::{self, ADVERTISEMENT_INTERVAL};
use crate::ruling::Size;
use crate::service::Late;
use crate::shared::{Plug, Shared, View, lock};
use crate::step::{SCRATCH_LEN, Step};
use crate::waiting::{Released, Waiting, Want};
use crate::watch::Fate;

/// What the shell does with a frame after [`Worker::guest_frame`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing: it was refused, and counted.
    Drop(Denied),
    /// Write the first `len` bytes of the buffer to the device of `port`. May be a super-frame: every device takes those.
    Forward { port: PortId, len: usize },
    /// Write the first `len` bytes of the buffer, which now hold an answer, to the device that the frame came from.
    Reply { len: usize },
    /// Nothing: it was kept, or a service has taken it. A fragment that came before its first one comes out of [`Worker::poll_transmit`], a frame whose link has
    /// no keys yet out of [`Worker::poll_released`]; or it is counted as refused.
    Held,
    /// Send what [`Worker::poll_datagrams`] gives: it goes to another host.
    Sealed,
}

/// A frame that is not an answer to the one before: written to a device when [`Worker::poll_transmit`] hands it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    pub port: PortId,
    /// Virtio-net header and frame.
    pub frame: Box<[u8]>,
    /// The router says it by itself: a guest whose device is not up yet has missed nothing, for it will ask.
    pub is_unasked: bool,
}

/// Why to call [`Worker::handle_timeout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Ended flows and datagrams that stayed in pieces are swept up.
    Sweep,
    /// A frame has waited too long for keys, or they are to be asked for again.
    Release,
    /// Routers advertise themselves (RFC 4861 6.2.4): a guest forgets its default route otherwise.
    Advertise,
}

/// Between two sweeps.
const SWEEP_INTERVAL: Duration = Duration::seconds(1);
/// Sweeps that go round the table of tracked flows once.
const SWEEPS_PER_ROUND: usize = 8;
/// Frames that wait for [`Worker::poll_transmit`] at most: one for each port, twice.
const TRANSMITS_MAX: usize = 2 * crate::port::PORTS_MAX;
/// A router advertisement, headers included.
const ADVERTISEMENT_LEN_MAX: usize = 512;

/// The data plane as one thread holds it. See [`Shared::worker`].
#[derive(Debug)]
pub struct Worker {
    shared: Arc<Shared>,
    view: Latest<Arc<ArcSwap<View>>, Arc<View>>,
    memo: Memo,
    transmits: VecDeque<Transmit>,
    outbox: Outbox,
    waiting: Waiting,
    coalescer: Coalescer,
    unknown: VecDeque<(SocketAddr, u32)>,
    passing: Passing,
    scratch: Box<[u8]>,
    lane: usize,
    shard: u16,
    /// The generation in which nothing that waits had keys.
    kept_in: u64,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, view: Arc<ArcSwap<View>>, lane: usize) -> Worker {
        let config = shared.config;
        Worker {
            view: Latest::new(view),
            memo: Memo::new(config.cache_lines, config.seed),
            transmits: VecDeque::new(),
            outbox: Outbox::default(),
            waiting: Waiting::default(),
            coalescer: Coalescer::default(),
            unknown: VecDeque::new(),
            passing: Passing::default(),
            scratch: vec![0; SCRATCH_LEN].into(),
            lane,
            shard: u16::try_from(lane).unwrap_or(u16::MAX),
            kept_in: 0,
            shared,
        }
    }

    /// Decides about one frame that a guest sent, in place. Call it for each frame read from a device.
    ///
    /// `buf` starts with the 10-byte virtio-net header; `len` counts header and frame. Lend room behind it: an answer may be longer than
    /// its question, up to 1,500 bytes; one that finds no room is not given (D37). Never panics, whatever the bytes.
    pub fn guest_frame(&mut self, port: PortId, buf: &mut [u8], len: usize, now: Time) -> Action {
        self.step(now).frame(port, buf, len)
    }

    /// Opens what one receive from another host brought, and delivers it.
    ///
    /// The datagrams stand in `buffer` behind [`HEADROOM`] bytes, each `segment` bytes long but the last. `write` puts virtio-net header
    /// and frame into a port's device and says whether it took them. What could still grow stays until [`Worker::flush_deliveries`].
    pub fn datagrams(
        &mut self,
        from: SocketAddr,
        buffer: &mut [u8],
        segment: u16,
        now: Time,
        mut write: impl FnMut(PortId, &[u8]) -> bool,
    ) {
        debug_assert!(HEADROOM <= buffer.len(), "headers are written in front of the datagrams");
        self.step(now).datagrams(from, buffer, segment.into(), &mut write);
    }

    /// Takes in one packet that the uplink's device has for this cloud, and delivers it, as [`Worker::datagrams`] does what another host sent:
    /// `bytes` is virtio-net header and frame, with nothing left to be finished (no offloads). What could still grow stays until
    /// [`Worker::flush_deliveries`].
    pub fn outside_frame(&mut self, bytes: &mut [u8], now: Time, mut write: impl FnMut(PortId, &[u8]) -> bool) {
        self.step(now).outside_frame(bytes, &mut write);
    }

    /// Delivers what was kept back to grow. Call it after each batch of receives: before it returns, nothing waits.
    pub fn flush_deliveries(&mut self, now: Time, mut write: impl FnMut(PortId, &[u8]) -> bool) {
        if !self.coalescer.is_empty() {
            self.step(now).flush_streams(&mut write);
        }
    }

    /// The next datagrams to send to another host. Call it after each [`Action::Sealed`] until `None`, and with `flush` at the end of a
    /// batch of frames: short packets share a send.
    pub fn poll_datagrams(&mut self, flush: bool) -> Option<Datagrams<'_>> {
        self.outbox.poll(flush)
    }

    /// Counts datagrams that [`Worker::poll_datagrams`] gave and the underlay did not take.
    pub fn unsent(&mut self, datagrams: usize) {
        self.shared.strays.count_unsent(datagrams);
    }

    /// A link whose keys are wanted. Call it after each batch of frames and after [`Worker::handle_timeout`], until `None`.
    pub fn poll_want(&mut self) -> Option<Want> {
        self.waiting.poll_want()
    }

    /// Who sends with an association that this host does not have, and its SPI: the sender must hear of it.
    pub fn poll_unknown(&mut self) -> Option<(SocketAddr, u32)> {
        self.unknown.pop_front()
    }

    /// A frame whose link has keys now, with virtio-net header, in `buf`: its port and length. Give it to [`Worker::guest_frame`] as if it
    /// had just been read. Call it until `None` after [`Shared::connect`] and after [`Worker::handle_timeout`].
    pub fn poll_released(&mut self, buf: &mut [u8], now: Time) -> Option<(PortId, usize)> {
        loop {
            let view = self.view.load();
            if view.generation == self.kept_in && self.waiting.due().is_none_or(|due| now < due) {
                return None;
            }
            let has_keys = |want: &Want| view.tunnels.find(want.domain, want.host, want.shard).is_some();
            let (port, bytes) = match self.waiting.release(now, has_keys) {
                None => {
                    self.kept_in = view.generation;
                    return None;
                }
                Some(Released::Ready(PortId::GATEWAYS, bytes)) => {
                    self.step(now).resume(bytes);
                    continue;
                }
                Some(Released::Ready(port, bytes)) => (port, bytes),
                Some(Released::Late(port, bytes)) => {
                    let meter = view.plug(port).map_or(&self.shared.stray, |plug| &plug.meter);
                    let len = bytes.len().saturating_sub(vnet::LEN);
                    meter.count(self.lane, Event::Denied(Denied::NoSecureChannel), len);
                    if let Some(plug) = view.plug(port) {
                        let frame = bytes.get(vnet::LEN..).unwrap_or_default();
                        view.show(plug, Direction::Egress, Fate::Denied(Denied::NoSecureChannel), frame);
                    }
                    continue;
                }
            };
            if let Some(room) = buf.get_mut(..bytes.len()) {
                room.copy_from_slice(&bytes);
                return Some((port, bytes.len()));
            }
        }
    }

    fn step(&mut self, now: Time) -> Step<'_> {
        Step {
            shared: &self.shared,
            view: self.view.load(),
            memo: &mut self.memo,
            transmits: &mut self.transmits,
            outbox: &mut self.outbox,
            waiting: &mut self.waiting,
            coalescer: &mut self.coalescer,
            unknown: &mut self.unknown,
            unkeyed: None,
            passing: &mut self.passing,
            scratch: &mut self.scratch,
            lane: self.lane,
            shard: self.shard,
            now,
        }
    }

    /// The next frame to write to a device. Call it after each batch of frames and after [`Worker::handle_timeout`], until `None`.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// When to call [`Worker::handle_timeout`] next, and what for. Ask again after each of its calls and after [`Shared::apply`]; the
    /// workers share the work, so a call may find it done.
    pub fn poll_timeout(&self) -> (Time, Wake) {
        let sweep = (self.shared.sweep_due.at(), Wake::Sweep);
        let advertise = (self.shared.advertisement_due.at(), Wake::Advertise);
        let release = self.waiting.wake().map(|due| (due, Wake::Release));
        let first = if advertise.0 < sweep.0 { advertise } else { sweep };
        release.filter(|release| release.0 < first.0).unwrap_or(first)
    }

    /// Does what is due. Call it when [`Worker::poll_timeout`] says, or at any other time; what is not due is left.
    pub fn handle_timeout(&mut self, now: Time) {
        // An idle worker lets go of tables that are no longer in force.
        self.view.load();
        self.waiting.ask_again(now);
        if self.shared.sweep_due.claim(now, SWEEP_INTERVAL) {
            self.shared.expire(now, SWEEPS_PER_ROUND);
            let (view, stray, lane) = (self.view.load(), &self.shared.stray, self.lane);
            for fragments in [&self.shared.fragments, &self.shared.arrivals] {
                lock(fragments).sweep(now, |port, len| {
                    let meter = view.plug(port).map_or(stray, |plug| &plug.meter);
                    meter.count(lane, Event::Denied(Denied::Fragment), len.saturating_sub(vnet::LEN));
                });
            }
        }
        if self.shared.advertisement_due.claim(now, ADVERTISEMENT_INTERVAL) {
            let view = Arc::clone(self.view.load());
            view.plugs().for_each(|plug| self.advertise(&view, plug));
        }
    }

    /// Counts a frame that the device of `port` did not take (D37). `len` is what [`Action::Forward`], [`Action::Reply`] or the
    /// length of [`Transmit::frame`] said.
    pub fn undelivered(&mut self, port: PortId, len: usize) {
        let nobodys = self.shared.nobodys(port);
        let meter = self.view.load().plug(port).map_or(nobodys, |plug| &plug.meter);
        meter.count(self.lane, Event::Denied(Denied::QueueFull), len.saturating_sub(vnet::LEN));
    }

    /// Asks about a flow alone, as for a frame of it that a guest sends: whether it passes. For measuring what that costs.
    #[doc(hidden)]
    pub fn judge_flow(&mut self, port: PortId, flow: &Flow, now: Time) -> bool {
        let mut step = self.step(now);
        step.view.plug(port).is_some_and(|plug| step.judge(plug, flow, L2::Router, Size::ANY).is_ok())
    }

    /// What a service says by itself, as a frame for the device of the port; `None`: that interface is not there any more.
    pub fn late(&mut self, late: &Late) -> Option<Transmit> {
        let (id, interface) = late.to();
        let view = Arc::clone(self.view.load());
        let plug = view.plug(id).filter(|plug| plug.port.interface == interface && plug.port.is_up)?;
        let frame = late.frame(&plug.port)?;
        plug.meter.count(self.lane, Event::Answered, frame.len() - vnet::LEN);
        view.show(plug, Direction::Ingress, Fate::Answer, &frame[vnet::LEN..]);
        Some(Transmit { port: id, frame, is_unasked: false })
    }

    /// Forgets all remembered verdicts. Never needed; changes nothing but time.
    pub fn drop_cache(&mut self) {
        self.memo.clear();
    }

    fn advertise(&mut self, view: &View, plug: &Plug) {
        let to: Ipv6Addr = ALL_NODES;
        let has_room = self.transmits.len() < TRANSMITS_MAX;
        if plug.port.ipv6_cidr.is_none() || !plug.port.is_up || !has_room {
            return;
        }
        let mut frame = vec![0; vnet::LEN + ADVERTISEMENT_LEN_MAX];
        frame[..vnet::LEN].copy_from_slice(&VnetHeader::default().to_bytes());
        // One prefix, a few resolvers and search domains: it always fits.
        let Ok(len) = ndp::advertise(&plug.port, to, &mut frame[vnet::LEN..]) else { return };
        frame.truncate(vnet::LEN + len);
        plug.meter.count(self.lane, Event::Answered, len);
        view.show(plug, Direction::Ingress, Fate::Answer, &frame[vnet::LEN..]);
        self.transmits.push_back(Transmit { port: plug.port.id, frame: frame.into(), is_unasked: true });
    }
}

/// Whether one more frame may wait for [`Worker::poll_transmit`].
pub(crate) fn has_room(transmits: &VecDeque<Transmit>) -> bool {
    transmits.len() < TRANSMITS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_may_move_to_its_thread() {
        fn is_send<T: Send>() {}
        fn is_shared<T: Send + Sync>() {}
        is_send::<Worker>();
        is_shared::<Arc<Shared>>();
    }
}
