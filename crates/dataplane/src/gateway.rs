//! Through the NAT gateways of this host: in at a gateway's interface, other addresses and ports, out again (spec 8.8, decision 0034).
//!
//! ```text
//!  a guest of this host ──egress─▶┐                                     ┌─arriving─▶ ingress ─▶ a guest of this host
//!                                 ├─ ingress at N, NatTable, egress at N ┤
//!  another host ─── open ────────▶┘                                     └──────────▶ seal ────▶ another host
//! ```
//!
//! A gateway is an interface without a device. What the law says at its two edges is asked as at any interface's; between them stands the
//! table, and nothing else is remembered: no verdict about what went through a gateway is.

use model::{Direction, NetworkInterfaceId, ResourceId};
use policy::{Denied, Flow, L2, L4, NatCause, Next, TcpFlags, Translation, egress, ingress};
use wire::ethernet::{self, Link};
use wire::ip::protocol;
use wire::vnet::{self, VnetHeader};
use wire::{Addresses, Ip, MacAddr, Packet, Transport, emit, tcp};

use crate::counters::Event;
use crate::flow::{flow_of, piece_of};
use crate::flow_log::{Amount, Passage};
use crate::fragment::Arrival;
use crate::inbound::Sender;
use crate::judge::admit;
use crate::port::PortId;
use crate::ruling::{Hop, Refused, Ruling, Size, Way};
use crate::shared::{Plug, Side, lock};
use crate::step::Step;
use crate::translate::translate;
use crate::uplink;
use crate::watch::Fate;
use crate::worker::{Transmit, has_room};

/// Gateways that a packet passes on one host. No gateway's route leads to another, so a second one is only ever the other end's.
const GATEWAYS_MAX: usize = 4;
/// Ethernet, IPv4 and TCP.
const RESET_LEN: usize = 54;

/// A packet that gateways of this host may have translated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Onward {
    /// As whoever sent it last has sent it.
    pub(crate) flow: Flow,
    /// Who gets it: no gateway of this host.
    pub(crate) next: Next,
    /// It went through one.
    pub(crate) is_translated: bool,
}

impl<'a> Step<'a> {
    /// Follows a packet that left an interface through the gateways of this host that it meets.
    ///
    /// # Errors
    /// Why a gateway does not let it through, and the packet as it came there.
    pub(crate) fn onward(&mut self, next: Next, flow: &Flow, size: Size) -> Result<Onward, (Denied, Flow)> {
        let (view, here) = (self.view, Some(self.shared.config.host));
        let tables = &view.tables;
        let mut onward = Onward { flow: *flow, next, is_translated: false };
        for _ in 0..GATEWAYS_MAX {
            let Onward { next, flow, .. } = onward;
            // What no internet gateway lets in is refused by who asks for its receiver.
            let Ok((to, translation)) = tables.arriving(&next, &flow) else { return Ok(onward) };
            let is_gateway = next.host == here && tables.nat_gateway(to).is_some();
            if !is_gateway {
                return Ok(onward);
            }
            let arrived = translation.flow(&flow);
            let refused = |denied| (denied, arrived);
            let admitted = ingress(tables, to, &next.origin, &arrived, None, &mut ()).map(|_| Passage::None);
            self.note_passing(to, Direction::Ingress, &arrived, admitted);
            admitted.map_err(refused)?;
            let (next, flow) = self.pass_gateway(to, &arrived, size).map_err(refused)?;
            onward = Onward { flow, next, is_translated: true };
        }
        let gateway = onward.next.interface;
        Err((Denied::NatExhausted { gateway, cause: NatCause::NoMapping }, onward.flow))
    }

    /// A packet that a gateway has taken in: as it goes on, and to whom.
    fn pass_gateway(&mut self, gateway: NetworkInterfaceId, flow: &Flow, size: Size) -> Result<(Next, Flow), Denied> {
        let refuse = |cause| Denied::NatExhausted { gateway, cause };
        let own = self.view.tables.nat_gateway(gateway).unwrap_or_default();
        if size.is_piece && flow.protocol != protocol::UDP {
            return Err(refuse(NatCause::Fragment));
        }
        let translated = {
            let mut table = self.shared.nat_table().ok_or(refuse(NatCause::Full))?;
            match own.contains(&flow.dst) {
                true => table.inbound(gateway, own, flow, self.now),
                false => table.outbound(gateway, own, flow, self.now),
            }
        };
        let translated = translated.map_err(refuse)?;
        let next = egress(&self.view.tables, gateway, &translated, L2::Router, None, &mut ());
        self.note_passing(
            gateway,
            Direction::Egress,
            &translated,
            next.as_ref().map(Passage::of).map_err(|denied| *denied),
        );
        Ok((next?, translated))
    }

    /// A packet of another host for a gateway of this one; `bytes` is room for virtio-net and Ethernet header, and the packet.
    pub(crate) fn transit(
        &mut self,
        sender: &Sender,
        gateway: NetworkInterfaceId,
        ip: &Ip,
        bytes: &mut [u8],
        write: &mut impl FnMut(PortId, &[u8]) -> bool,
    ) -> Result<(), Refused> {
        self.unkeyed = None;
        let ruling = match piece_of(PortId::GATEWAYS, Some((sender.domain, sender.host)), ip) {
            None => self.rule_transit(sender, gateway, &flow_of(ip).ok_or(Denied::Malformed)?, Size::of_packet(ip)),
            Some((key, piece)) => {
                let stray = &self.shared.stray;
                let lane = self.lane;
                let refuse = |len: usize| stray.count(lane, Event::Denied(Denied::Fragment), len - vnet::LEN);
                let arrival = lock(&self.shared.arrivals).arrive(key, piece, bytes, self.now, refuse);
                match arrival {
                    Arrival::Judge => {
                        let flow = flow_of(ip).ok_or(Denied::Fragment)?;
                        let ruling = self.rule_transit(sender, gateway, &flow, Size::of_packet(ip));
                        let held = lock(&self.shared.arrivals).decide(key, ruling);
                        for mut held in held {
                            let len = held.len();
                            if let Err(refused) = self.carry_on(&ruling, &mut held, write) {
                                stray.count(lane, Event::Denied(refused.denied), len - vnet::LEN);
                            }
                        }
                        ruling
                    }
                    Arrival::Inherit(ruling) if ruling.generation == self.view.generation => ruling,
                    Arrival::Inherit(old) => {
                        let ruling = self.rule_transit(sender, gateway, &old.flow, Size::of_packet(ip));
                        lock(&self.shared.arrivals).renew(key, ruling);
                        ruling
                    }
                    Arrival::Held => return Ok(()),
                    Arrival::Refused => return Err(Denied::Fragment.into()),
                }
            }
        };
        match self.carry_on(&ruling, bytes, write) {
            Err(Refused { denied, .. }) if is_over(&ruling.flow, &denied) => {
                self.reset_afar(gateway, ip, bytes);
                Err(denied.into())
            }
            Err(Refused { denied: Denied::NoSecureChannel, .. })
                if ip.fragment.is_none() && self.may_wait_at(gateway, bytes) =>
            {
                Ok(())
            }
            done => done,
        }
    }

    /// Whether a packet that is refused for want of keys may wait for them, as it came. The gateway's id stands where link addresses are in
    /// the frames of guests.
    fn may_wait_at(&mut self, gateway: NetworkInterfaceId, bytes: &mut [u8]) -> bool {
        let Some(want) = self.unkeyed.take() else { return false };
        if let Some(place) = bytes.get_mut(vnet::LEN..).and_then(|frame| frame.first_chunk_mut()) {
            *place = gateway.to_bytes();
        }
        self.waiting.hold(want, PortId::GATEWAYS, None, bytes, self.now)
    }

    /// A packet whose wait is over: its gateway took it in when it came, and is asked anew what becomes of it.
    pub(crate) fn resume(&mut self, mut bytes: Box<[u8]>) {
        let len = bytes.len().saturating_sub(vnet::LEN);
        let mut delivered: Option<(PortId, Box<[u8]>)> = None;
        let has_room = has_room(self.transmits);
        let mut write = |to: PortId, frame: &[u8]| {
            delivered = has_room.then(|| (to, frame.into()));
            has_room
        };
        if let Err(refused) = self.resume_with(&mut bytes, &mut write) {
            self.shared.stray.count(self.lane, Event::Denied(refused.denied), len);
        }
        if let Some((port, frame)) = delivered {
            self.transmits.push_back(Transmit { port, frame, is_unasked: false });
        }
    }

    fn resume_with(&mut self, bytes: &mut [u8], write: &mut impl FnMut(PortId, &[u8]) -> bool) -> Result<(), Refused> {
        let frame = bytes.get(vnet::LEN..).unwrap_or_default();
        let gateway =
            frame.first_chunk().and_then(|id| NetworkInterfaceId::from_bytes(*id)).ok_or(Denied::Malformed)?;
        let packet = Packet::parse(frame).map_err(|_| Denied::Malformed)?;
        let ip = packet.ip().ok_or(Denied::Malformed)?;
        let (flow, size) = (flow_of(ip).ok_or(Denied::Malformed)?, Size::of_packet(ip));
        self.passing.clear();
        self.note_passing(gateway, Direction::Ingress, &flow, Ok(Passage::None));
        let outcome = self.judge_onward(gateway, &flow, size);
        self.unkeyed = None;
        let passing = *self.passing;
        let ruling = Ruling { generation: self.view.generation, flow, l2: L2::Router, outcome, passing };
        self.carry_on(&ruling, bytes, write)
    }

    fn rule_transit(&mut self, sender: &Sender, gateway: NetworkInterfaceId, flow: &Flow, size: Size) -> Ruling {
        self.passing.clear();
        let outcome = self.judge_transit(sender, gateway, flow, size);
        let passing = *self.passing;
        Ruling { generation: self.view.generation, flow: *flow, l2: L2::Router, outcome, passing }
    }

    fn judge_transit(
        &mut self,
        sender: &Sender,
        gateway: NetworkInterfaceId,
        flow: &Flow,
        size: Size,
    ) -> Result<Way, Refused> {
        let admitted = admit(self.view, gateway, sender, flow, None).map(|_| Passage::None);
        self.note_passing(gateway, Direction::Ingress, flow, admitted);
        admitted?;
        self.judge_onward(gateway, flow, size)
    }

    /// Where a packet goes that a gateway has taken in.
    fn judge_onward(&mut self, gateway: NetworkInterfaceId, flow: &Flow, size: Size) -> Result<Way, Refused> {
        let (next, translated) = self.pass_gateway(gateway, flow, size)?;
        let onward = self.onward(next, &translated, size).map_err(|(denied, _)| denied)?;
        self.way_from_gateway(flow, &onward, size)
    }

    /// Where a packet goes that left a gateway. `flow`: as its bytes are.
    fn way_from_gateway(&mut self, flow: &Flow, onward: &Onward, size: Size) -> Result<Way, Refused> {
        let (shared, view, now) = (self.shared, self.view, self.now);
        let Onward { flow: sent, next, .. } = onward;
        if let Some(host) = next.host.filter(|host| *host != shared.config.host) {
            let way = self.tunnel(u16::MAX, next, host, size)?;
            return Ok(Way { translation: Translation::between(flow, &way.translation.flow(sent)), ..way });
        }
        if next.is_outside() {
            return Ok(uplink::way(Translation::between(flow, &next.translation.flow(sent)), u16::MAX));
        }
        let (to, translation) = view.tables.arriving(next, sent)?;
        let arrived = translation.flow(sent);
        let down = Denied::DestinationDown { interface: to };
        let target = view.plug_of(to);
        let there = |denied| Refused { denied, at: target.map(|target| target.port.id), left: None };
        let side: Side = shared.side(to, Direction::Ingress, &arrived);
        let seen = shared.lookup(&side, &arrived, now);
        let admit = ingress(&view.tables, to, &next.origin, &arrived, seen, &mut ()).map_err(there)?;
        let target = target.filter(|_| next.host.is_some()).ok_or(down)?;
        shared.commit(&side, &arrived, (seen, admit.track), now).map_err(there)?;
        let link = Link { src: target.port.router_mac, dst: target.port.mac };
        let hop = Hop::Port { to: target.port.id, link };
        Ok(Way { hop, mtu: target.port.mtu, passage: Passage::None, translation: Translation::between(flow, &arrived) })
    }

    /// Gives a packet that came from another host to whom the ruling says.
    fn carry_on(
        &mut self,
        ruling: &Ruling,
        bytes: &mut [u8],
        write: &mut impl FnMut(PortId, &[u8]) -> bool,
    ) -> Result<(), Refused> {
        if self.view.is_logging {
            self.log_transit(ruling, bytes);
        }
        let way = ruling.outcome?;
        let (header, _) = VnetHeader::split(bytes).map_err(|_| Denied::Malformed)?;
        let packet = Packet::parse(bytes.get(vnet::LEN..).unwrap_or_default()).map_err(|_| Denied::Malformed)?;
        let ip = packet.ip().ok_or(Denied::Malformed)?;
        let ip = translate(&way.translation, &header, ip, &mut bytes[vnet::LEN..]);
        let (to, link) = match way.hop {
            Hop::Port { to, link } => (to, link),
            Hop::Tunnel(tunnel) => return self.seal(tunnel, way.mtu, &header, &ip, &bytes[vnet::LEN..]),
        };
        ethernet::set_link(&mut bytes[vnet::LEN..], link);
        if to == PortId::UPLINK {
            let event = if write(to, bytes) { Event::Delivered } else { Event::Denied(Denied::QueueFull) };
            self.shared.uplink.count(self.lane, event, bytes.len() - vnet::LEN);
            return Ok(());
        }
        let Some(plug) = self.view.plug(to) else { return Err(Denied::QueueFull.into()) };
        self.log_arrival(plug, &way.translation.flow(&ruling.flow), &ruling.outcome, &ip);
        let event = if write(to, bytes) { Event::Delivered } else { Event::Denied(Denied::QueueFull) };
        plug.meter.count(self.lane, event, bytes.len() - vnet::LEN);
        if !self.view.watches.is_empty() {
            self.view.show(plug, Direction::Ingress, Fate::Passed, &bytes[vnet::LEN..]);
        }
        Ok(())
    }

    /// Counts what came from another host at the gateways of this one; what waits for keys is counted when it goes.
    #[inline(never)]
    fn log_transit(&mut self, ruling: &Ruling, bytes: &[u8]) {
        let waits = matches!(ruling.outcome, Err(Refused { denied: Denied::NoSecureChannel, .. }));
        let packet = Packet::parse(bytes.get(vnet::LEN..).unwrap_or_default());
        if let (false, Ok(Some(ip))) = (waits, packet.as_ref().map(Packet::ip)) {
            *self.passing = ruling.passing;
            self.log_passing(Amount::of_packet(ip));
        }
    }

    /// Writes the reset over a guest's packet that goes on with a connection which its gateway has forgotten (AWS answers so); its length.
    /// `None`: the rate forbids it.
    pub(crate) fn say_reset(&mut self, plug: &Plug, ip: &Ip, bytes: &mut [u8], len: usize) -> Option<usize> {
        let fields = reset_of(ip, bytes.get(..len)?)?;
        self.draw(plug).ok()?;
        let link = Link { src: plug.port.router_mac, dst: plug.port.mac };
        let addresses = Addresses::of(ip.dst, ip.src);
        emit::tcp(bytes, link, addresses, RESET_TTL, fields, emit::bytes(&[])).ok()
    }

    /// The same, to a guest of another host.
    fn reset_afar(&mut self, gateway: NetworkInterfaceId, ip: &Ip, bytes: &[u8]) {
        let Some(fields) = reset_of(ip, &bytes[vnet::LEN..]) else { return };
        let addresses = Addresses::of(ip.dst, ip.src);
        let link = Link { src: MacAddr::ZERO, dst: MacAddr::ZERO };
        let mut frame = [0; RESET_LEN];
        let Ok(len) = emit::tcp(&mut frame, link, addresses, RESET_TTL, fields, emit::bytes(&[])) else { return };
        let (shared, view) = (self.shared, self.view);
        let Some((packet, flow)) = Packet::parse(&frame[..len]).ok().and_then(|packet| {
            let flow = flow_of(packet.ip()?)?;
            Some((packet, flow))
        }) else {
            return;
        };
        let Ok(next) = egress(&view.tables, gateway, &flow, L2::Router, None, &mut ()) else { return };
        let (Some(host), Some(ip)) = (next.host.filter(|host| *host != shared.config.host), packet.ip()) else {
            return;
        };
        if let Ok(Way { hop: Hop::Tunnel(tunnel), mtu, .. }) = self.tunnel(u16::MAX, &next, host, Size::of_packet(ip)) {
            // What could not be sealed is one answer less.
            let _: Result<(), Refused> = self.seal(tunnel, mtu, &VnetHeader::default(), ip, &frame[..len]);
        }
    }
}

const RESET_TTL: u8 = 64;

/// The packet goes on with a connection that its gateway does not know: whoever sent it must hear of it.
pub(crate) fn is_over(flow: &Flow, denied: &Denied) -> bool {
    let goes_on = match flow.l4 {
        L4::Tcp { flags, .. } => !flags.is_opening() && !flags.contains(TcpFlags::RST),
        _ => false,
    };
    goes_on && matches!(denied, Denied::NatExhausted { cause: NatCause::Forgotten, .. })
}

/// What answers a segment of no connection (RFC 9293 3.5.2).
fn reset_of(ip: &Ip, frame: &[u8]) -> Option<tcp::Fields> {
    let Transport::Tcp { .. } = ip.transport else { return None };
    let tcp::Fields { src_port, dst_port, seq, ack, flags, .. } = tcp::Header::parse(ip.l4_bytes(frame)).ok()?.fields();
    let length = u32::try_from(ip.end().checked_sub(ip.payload)?).ok()?;
    let answer = tcp::Fields { src_port: dst_port, dst_port: src_port, ..tcp::Fields::default() };
    Some(match flags.contains(tcp::TcpFlags::ACK) {
        true => tcp::Fields { seq: ack, flags: tcp::TcpFlags::RST, ..answer },
        false => {
            let ends = u32::from(flags.contains(tcp::TcpFlags::FIN));
            let ack = seq.wrapping_add(length).wrapping_add(ends);
            tcp::Fields { ack, flags: tcp::TcpFlags::RST | tcp::TcpFlags::ACK, ..answer }
        }
    })
}
