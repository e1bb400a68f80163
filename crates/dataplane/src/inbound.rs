//! What other hosts send: opened, held against the scope of its link, judged, merged and delivered (spec 11.2, steps 11-13; 14.1.8).
//!
//! The receiver believes nothing but the association's keys: they say who sent it and in which domain. Source interface and verdict
//! follow from this host's own tables.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use model::{Direction, Domain, HostId, NetworkInterfaceId, Scope};
use policy::{Denied, Flow, FlowKey, L2};
use tunnel::{Inbound, Opened};
use wire::checksum::TransportSum;
use wire::coalesce::Run;
use wire::esp::{self, Datagram, Header, next_header};
use wire::ethernet::{self, ethertype};
use wire::ip::protocol;
use wire::vnet::{self, VnetHeader};
use wire::{Ip, Kind, Packet};

use crate::coalescer::{Append, FRONT};
use crate::counters::{Event, Meter};
use crate::flow::{flow_of, piece_of};
use crate::fragment::Arrival;
use crate::port::PortId;
use crate::ruling::{Hop, Refused, Ruling, Way};
use crate::shared::{Plug, lock};
use crate::step::{Step, refusal_of};
use crate::translate::translate;
use crate::watch::Fate;

/// The bytes that must be free in front of the datagrams of one receive: the headers of a frame are written there.
pub const HEADROOM: usize = 16;
const _: () = assert!(HEADROOM + esp::HEADER_LEN >= FRONT);

/// SPIs that nobody knows and that wait for [`Worker::poll_unknown`](crate::Worker::poll_unknown); more are only counted.
const UNKNOWN_MAX: usize = 16;

/// Who sent a packet, by the association that opened it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender {
    pub(crate) spi: u32,
    pub(crate) domain: Domain,
    pub(crate) host: HostId,
}

/// Whom a packet of another host is for.
enum Target<'a> {
    Guest(&'a Plug),
    /// A NAT gateway's interface, which has no device.
    Gateway(NetworkInterfaceId),
}

impl<'a> Step<'a> {
    /// The datagrams of one receive, in `buffer` behind the headroom, each `segment` bytes long but the last.
    pub(crate) fn datagrams(
        &mut self,
        from: SocketAddr,
        buffer: &mut [u8],
        segment: usize,
        write: &mut impl FnMut(PortId, &[u8]) -> bool,
    ) {
        let view = self.view;
        let mut current: Option<(&Inbound, tunnel::Opener<'_>)> = None;
        let mut at = HEADROOM;
        while at < buffer.len() && segment > 0 {
            let datagram = at..(at + segment).min(buffer.len());
            at = datagram.end;
            let Ok(Datagram::Esp(Header { spi, .. })) = Datagram::parse(&buffer[datagram.clone()]) else {
                self.shared.strays.count_not_esp();
                continue;
            };
            if current.as_ref().is_none_or(|(sa, _)| sa.identity().spi != spi) {
                // The old one is let go of first: nobody ever holds two.
                drop(current.take());
                current = view.tunnels.inbound(spi).map(|sa| (&**sa, sa.lock()));
            }
            let Some((sa, opener)) = &mut current else {
                self.shared.strays.count_unknown_spi();
                if self.unknown.len() < UNKNOWN_MAX {
                    self.unknown.push_back((from, spi));
                }
                continue;
            };
            let dest = datagram.start + esp::HEADER_LEN;
            // What does not open is counted in the association.
            let Ok(opened) = opener.open(buffer, datagram, dest) else { continue };
            let sender = Sender { spi, domain: sa.identity().domain, host: sa.identity().host };
            self.opened(&sender, buffer, &opened, write);
        }
    }

    /// Writes out everything that still grows.
    pub(crate) fn flush_streams(&mut self, write: &mut impl FnMut(PortId, &[u8]) -> bool) {
        while !self.coalescer.is_empty() {
            self.end_stream(0, write);
        }
    }

    fn opened(
        &mut self,
        sender: &Sender,
        buffer: &mut [u8],
        opened: &Opened,
        write: &mut impl FnMut(PortId, &[u8]) -> bool,
    ) {
        if sender.domain.scope == Scope::Internet
            && let Err(denied) = self.enter(sender, buffer, opened)
        {
            let meter = &self.shared.stray;
            return meter.count(self.lane, Event::Denied(denied), opened.inner.len() + ethernet::HEADER_LEN);
        }
        let Some(start) = opened.inner.start.checked_sub(FRONT) else {
            return self.shared.strays.count_not_esp();
        };
        let stray = &self.shared.stray;
        self.take_in(sender, opened.next_header, &mut buffer[start..opened.inner.end], stray, write);
    }

    /// A packet behind room for both headers, in through whatever stands before its VPC. What is refused and nobody's is counted in `nobodys`.
    pub(crate) fn take_in(
        &mut self,
        sender: &Sender,
        next_header: u8,
        frame: &mut [u8],
        nobodys: &Arc<Meter>,
        write: &mut impl FnMut(PortId, &[u8]) -> bool,
    ) {
        // A packet that continues a stream shares its verdict: same flow, same generation, same batch.
        match self.coalescer.append(sender.spi, &frame[FRONT..], esp::sums_of(next_header)) {
            Append::Done => return,
            Append::Full(at) => return self.end_stream(at, write),
            Append::Follows(at) => self.end_stream(at, write),
            Append::Stranger => {}
        }
        if let Err(refused) = self.arrive(sender, next_header, frame, write) {
            let there = refused.at.and_then(|id| self.view.plug(id));
            let meter = there.map_or(nobodys, |plug| &plug.meter);
            meter.count(self.lane, Event::Denied(refused.denied), frame.len() - vnet::LEN);
            if !self.view.watches.is_empty()
                && let Some(plug) = there
            {
                // It has no link here, and what stood in front of it is none of the guest's.
                frame[vnet::LEN..FRONT - 2].fill(0);
                self.view.show(plug, Direction::Ingress, Fate::Denied(refused.denied), &frame[vnet::LEN..]);
            }
        }
    }

    /// In through the Internet gateway of the VPC that the packet is for: from here on it is for a private address (spec 8.8). What is no
    /// packet is left to be refused as such.
    fn enter(&self, sender: &Sender, buffer: &mut [u8], opened: &Opened) -> Result<(), Denied> {
        let Some(start) = opened.inner.start.checked_sub(ethernet::HEADER_LEN) else { return Err(Denied::Malformed) };
        if opened.next_header == next_header::DUMMY {
            return Ok(());
        }
        let ip = Ip::parse(&buffer[opened.inner.clone()]).map_err(refusal_of)?;
        let (_, translation) = self.view.tables.enter(sender.domain.to, ip.src, ip.dst)?;
        let header = header_of(esp::sums_of(opened.next_header), &ip)?;
        translate(&translation, &header, &ip, &mut buffer[start..opened.inner.end]);
        Ok(())
    }

    /// One packet that no stream took; `bytes` is room for both headers and the packet.
    fn arrive(
        &mut self,
        sender: &Sender,
        next_header: u8,
        bytes: &mut [u8],
        write: &mut impl FnMut(PortId, &[u8]) -> bool,
    ) -> Result<(), Refused> {
        let sums = esp::sums_of(next_header);
        let kind = match next_header {
            next_header::IPV4 | next_header::IPV4_PARTIAL => ethertype::IPV4,
            next_header::IPV6 | next_header::IPV6_PARTIAL => ethertype::IPV6,
            // Only there to be counted and forgotten (RFC 4303 2.6).
            next_header::DUMMY => return Ok(()),
            _ => return Err(Denied::Malformed.into()),
        };
        bytes[FRONT - 2..FRONT].copy_from_slice(&kind.to_be_bytes());
        let packet = Packet::parse(&bytes[vnet::LEN..]).map_err(refusal_of)?;
        let Kind::Ip(ip) = &packet.kind else { return Err(Denied::Malformed.into()) };
        bytes[..vnet::LEN].copy_from_slice(&header_of(sums, ip)?.to_bytes());
        let plug = match self.destination(sender, ip)? {
            Target::Guest(plug) => plug,
            Target::Gateway(gateway) => return self.transit(sender, gateway, ip, bytes, write),
        };
        let way = match piece_of(plug.port.id, Some((sender.domain, sender.host)), ip) {
            Some((key, piece)) => {
                let (lane, meter) = (self.lane, &plug.meter);
                let refuse = |len: usize| {
                    meter.count(lane, Event::Denied(Denied::Fragment), len.saturating_sub(vnet::LEN));
                };
                let arrival = lock(&self.shared.arrivals).arrive(key, piece, bytes, self.now, refuse);
                match arrival {
                    Arrival::Judge => {
                        let flow = flow_of(ip).ok_or(Denied::Fragment)?;
                        let ruling = self.rule_arrival(plug, sender, &flow);
                        let held = lock(&self.shared.arrivals).decide(key, ruling);
                        for mut held in held {
                            self.log_held(plug, &ruling, &held);
                            self.hand_over(plug, &ruling.outcome, &mut held, write);
                        }
                        self.log_arrival(plug, &flow, &ruling.outcome, ip);
                        ruling.outcome?
                    }
                    Arrival::Inherit(ruling) if ruling.generation == self.view.generation => {
                        self.log_arrival(plug, &ruling.flow, &ruling.outcome, ip);
                        ruling.outcome?
                    }
                    Arrival::Inherit(old) => {
                        let ruling = self.rule_arrival(plug, sender, &old.flow);
                        lock(&self.shared.arrivals).renew(key, ruling);
                        self.log_arrival(plug, &ruling.flow, &ruling.outcome, ip);
                        ruling.outcome?
                    }
                    Arrival::Held => return Ok(()),
                    Arrival::Refused => {
                        return Err(Refused { denied: Denied::Fragment, at: Some(plug.port.id), left: None });
                    }
                }
            }
            None => {
                let flow = flow_of(ip).ok_or(Denied::Malformed)?;
                let verdict = self.judge_arrival(plug, sender, &flow);
                if let Ok(way) = &verdict
                    && let Some(run) = Run::start(&bytes[FRONT..], sums)
                    && (plug.port.takes_uso || !run.kind().is_udp())
                {
                    // Counted when it ends, with what joins it.
                    self.begin_stream(sender, way, flow.key(), run, bytes, write);
                    return Ok(());
                }
                self.log_arrival(plug, &flow, &verdict, ip);
                verdict?
            }
        };
        self.hand_over(plug, &Ok(way), bytes, write);
        Ok(())
    }

    /// The interface that a packet is for, plugged in here.
    fn destination(&self, sender: &Sender, ip: &Ip) -> Result<Target<'a>, Refused> {
        let view = self.view;
        let interface = match sender.domain.scope {
            Scope::RouteTarget(interface) => interface,
            Scope::Vpc | Scope::Peering(_) | Scope::Internet => {
                let unowned = Denied::NoOwner { vpc: sender.domain.to, address: ip.dst };
                view.tables.owner(sender.domain.to, ip.dst).ok_or(unowned)?.interface
            }
        };
        let Some(plug) = view.plug_of(interface) else {
            if view.tables.nat_gateway(interface).is_some() && view.tables.is_in(interface, sender.domain.to) {
                return Ok(Target::Gateway(interface));
            }
            return Err(self.refuse_unplugged(interface, sender, ip).into());
        };
        let belongs = plug.port.vpc == sender.domain.to;
        if belongs { Ok(Target::Guest(plug)) } else { Err(disagrees(sender, ip.src).into()) }
    }

    fn rule_arrival(&mut self, plug: &Plug, sender: &Sender, flow: &Flow) -> Ruling {
        let outcome = self.judge_arrival(plug, sender, flow);
        Ruling { generation: self.view.generation, flow: *flow, l2: L2::Router, outcome, passing: *self.passing }
    }

    /// Gives a whole frame to the guest, or counts why not.
    fn hand_over(
        &mut self,
        plug: &Plug,
        outcome: &Result<Way, Refused>,
        bytes: &mut [u8],
        write: &mut impl FnMut(PortId, &[u8]) -> bool,
    ) {
        let len = bytes.len() - vnet::LEN;
        let event = match outcome {
            Ok(Way { hop: Hop::Port { to, link }, .. }) => {
                ethernet::set_link(&mut bytes[vnet::LEN..], *link);
                if write(*to, bytes) { Event::Delivered } else { Event::Denied(Denied::QueueFull) }
            }
            // A verdict about an arrival never names another host.
            Ok(Way { hop: Hop::Tunnel(_), .. }) => Event::Denied(Denied::NoSecureChannel),
            Err(refused) => Event::Denied(refused.denied),
        };
        plug.meter.count(self.lane, event, len);
        if !self.view.watches.is_empty() {
            let fate = if let Event::Denied(denied) = event { Fate::Denied(denied) } else { Fate::Passed };
            if outcome.is_err() {
                bytes[vnet::LEN..FRONT - 2].fill(0);
            }
            self.view.show(plug, Direction::Ingress, fate, &bytes[vnet::LEN..]);
        }
    }

    /// Counts a fragment that waited for its first one.
    fn log_held(&self, plug: &Plug, ruling: &Ruling, bytes: &[u8]) {
        if self.view.is_logging
            && let Ok(packet) = Packet::parse(bytes.get(vnet::LEN..).unwrap_or_default())
            && let Some(ip) = packet.ip()
        {
            self.log_arrival(plug, &ruling.flow, &ruling.outcome, ip);
        }
    }

    fn begin_stream(
        &mut self,
        sender: &Sender,
        way: &Way,
        key: FlowKey,
        run: Run,
        bytes: &mut [u8],
        write: &mut impl FnMut(PortId, &[u8]) -> bool,
    ) {
        let Hop::Port { to, link } = way.hop else { return };
        if self.coalescer.is_full() {
            self.end_stream(0, write);
        }
        ethernet::set_link(&mut bytes[vnet::LEN..], link);
        let is_full = run.is_full();
        self.coalescer.begin(sender.spi, to, key, run, &bytes[vnet::LEN..]);
        if is_full && let Some(at) = self.coalescer.find(sender.spi, key) {
            self.end_stream(at, write);
        }
    }

    fn end_stream(&mut self, at: usize, write: &mut impl FnMut(PortId, &[u8]) -> bool) {
        let view = self.view;
        if view.is_logging
            && let Some((to, key, amount)) = self.coalescer.amount(at)
        {
            self.log_stream(to, &key, amount);
        }
        let (to, len, is_written) = self.coalescer.end(at, |to, bytes| {
            let is_written = write(to, bytes);
            if !view.watches.is_empty()
                && let Some(plug) = view.plug(to)
            {
                let fate = if is_written { Fate::Passed } else { Fate::Denied(Denied::QueueFull) };
                view.show(plug, Direction::Ingress, fate, &bytes[vnet::LEN..]);
            }
            (to, bytes.len(), is_written)
        });
        let meter = self.view.plug(to).map_or(&self.shared.stray, |plug| &plug.meter);
        let event = if is_written { Event::Delivered } else { Event::Denied(Denied::QueueFull) };
        meter.count(self.lane, event, len - vnet::LEN);
    }
}

/// What stands in front of a packet with such a checksum.
///
/// # Errors
/// `Malformed`: it has none that a sender leaves unfinished.
fn header_of(sums: TransportSum, ip: &Ip) -> Result<VnetHeader, Denied> {
    match sums {
        TransportSum::Whole => Ok(VnetHeader::default()),
        TransportSum::Partial => unfinished(ip).ok_or(Denied::Malformed),
    }
}

fn unfinished(ip: &Ip) -> Option<VnetHeader> {
    let is_udp = match ip.protocol {
        protocol::UDP => true,
        protocol::TCP => false,
        _ => return None,
    };
    let header = VnetHeader::partial_sum(is_udp, u16::try_from(ip.l4).ok()?);
    header.check_ip(ip).ok().map(|()| header)
}

/// The source address does not belong to who sealed the packet.
pub(crate) fn disagrees(sender: &Sender, address: IpAddr) -> Denied {
    Denied::SenderDisagrees { vpc: sender.domain.from, address }
}
