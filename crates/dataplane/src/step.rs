//! One frame, from its first byte to what becomes of it. The order is that of spec 11.2; see the drawing at the crate's root.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use model::{Direction, NetworkInterfaceId, ResourceId, Time};
use policy::{Denied, Flow, L2};
use wire::ethernet::{self, Link};
use wire::vnet::{self, VnetHeader};
use wire::{Class, Ip, Kind, Malformed, Packet, reply};

use crate::coalescer::Coalescer;
use crate::counters::Event;
use crate::flow::{flow_of, l2_of, piece_of};
use crate::flow_log::{Amount, Passing};
use crate::fragment::{Arrival, Key, Piece};
use crate::gateway::is_over;
use crate::memo::Memo;
use crate::outbox::Outbox;
use crate::port::{Port, PortId, ROUTER_LINK_LOCAL};
use crate::router::{arp, dhcpv4, dhcpv6, is_router, is_service, ndp};
use crate::ruling::{Hop, Refused, Ruling, Size, Way};
use crate::service::{self, Asker, Call, DATAGRAM_MAX, Served};
use crate::shared::{Plug, Shared, View, lock};
use crate::translate::translate;
use crate::waiting::{Waiting, Want};
use crate::watch::Fate;
use crate::worker::{Action, Transmit, has_room};

/// The longest ICMP error: Ethernet header and 1,280 bytes.
pub(crate) const SCRATCH_LEN: usize = 2048;

/// All that one frame is judged with.
pub(crate) struct Step<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) view: &'a View,
    pub(crate) memo: &'a mut Memo,
    pub(crate) transmits: &'a mut VecDeque<Transmit>,
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) waiting: &'a mut Waiting,
    pub(crate) coalescer: &'a mut Coalescer,
    pub(crate) unknown: &'a mut VecDeque<(SocketAddr, u32)>,
    /// The link whose keys the last refusal was for want of.
    pub(crate) unkeyed: Option<Want>,
    /// What flow logs count of this packet at NAT gateways.
    pub(crate) passing: &'a mut Passing,
    pub(crate) scratch: &'a mut [u8],
    pub(crate) lane: usize,
    /// Of the security associations that this worker seals with.
    pub(crate) shard: u16,
    pub(crate) now: Time,
}

/// What becomes of a frame that was not refused.
enum Outcome {
    Forward(PortId),
    Sealed,
    /// The length of the answer, which stands where the frame stood; of a refusal that says why, that too.
    Reply(usize, Option<Denied>),
    /// A service has taken it; what it says now is among the frames to transmit.
    Served,
    /// A fragment, before its first one.
    Held,
    /// Until there are keys: then it comes again.
    Waits,
}

/// Whose conversation a packet belongs to, and where that goes.
type Judged = (Flow, Result<Way, Refused>);

/// What becomes of a fragment.
enum Fragment {
    Judged(Judged),
    /// Before its first one.
    Held,
    /// Until there are keys.
    Waits,
}

/// A parsed frame and where it came from.
struct Frame<'p> {
    plug: &'p Plug,
    header: VnetHeader,
    packet: Packet,
}

impl Step<'_> {
    pub(crate) fn frame(&mut self, id: PortId, buf: &mut [u8], len: usize) -> Action {
        let view = self.view;
        let len = len.min(buf.len());
        let frame_len = len.saturating_sub(vnet::LEN);
        let Some(plug) = view.plug(id) else {
            let denied = Denied::SourceDown { interface: NetworkInterfaceId::from_random(0) };
            self.shared.stray.count(self.lane, Event::Received, frame_len);
            self.shared.stray.count(self.lane, Event::Denied(denied), frame_len);
            return Action::Drop(denied);
        };
        plug.meter.count(self.lane, Event::Received, frame_len);
        // Judged in place, so what the guest sent must be kept before.
        let sent: Option<Box<[u8]>> = (!view.watches.is_empty()).then(|| buf[..len].into());
        let outcome = self.decide(plug, buf, len);
        if let Some(sent) = sent {
            self.show_sent(plug, &outcome, sent.get(vnet::LEN..).unwrap_or_default(), buf);
        }
        match outcome {
            Ok(Outcome::Forward(port)) => Action::Forward { port, len },
            Ok(Outcome::Sealed) => Action::Sealed,
            Ok(Outcome::Reply(answer_len, _)) => {
                plug.meter.count(self.lane, Event::Answered, answer_len);
                buf[..vnet::LEN].copy_from_slice(&VnetHeader::default().to_bytes());
                Action::Reply { len: vnet::LEN + answer_len }
            }
            Ok(Outcome::Held | Outcome::Waits | Outcome::Served) => Action::Held,
            Err(refused) => {
                self.count_refused(plug, &refused, frame_len);
                Action::Drop(refused.denied)
            }
        }
    }

    fn decide(&mut self, plug: &Plug, buf: &mut [u8], len: usize) -> Result<Outcome, Refused> {
        let port = &*plug.port;
        let (header, bytes) = VnetHeader::split(&buf[..len]).map_err(|_| Denied::Malformed)?;
        let packet = Packet::parse(bytes).map_err(refusal_of)?;
        if packet.src_mac != port.mac {
            return Err(Denied::SpoofedMac.into());
        }
        if !port.is_up {
            return Err(Denied::SourceDown { interface: port.interface }.into());
        }
        header.check(&packet).map_err(|_| Denied::Malformed)?;
        let frame = Frame { plug, header, packet };
        match &packet.kind {
            Kind::Arp(question) => {
                self.draw(plug)?;
                Ok(Outcome::Reply(arp::answer(port, question, &mut buf[vnet::LEN..])?, None))
            }
            Kind::Ip(ip) => match self.ask_router(&frame, ip, &mut buf[vnet::LEN..])? {
                Some(outcome) => Ok(outcome),
                None => self.pass(&frame, ip, buf, len),
            },
        }
    }

    /// What is for the router itself. `None`: the packet is for somebody else.
    fn ask_router(&mut self, frame: &Frame<'_>, ip: &Ip, bytes: &mut [u8]) -> Result<Option<Outcome>, Denied> {
        let answered = |answer_len| Some(Outcome::Reply(answer_len, None));
        let (plug, port) = (frame.plug, &*frame.plug.port);
        if ndp::is_ndp(ip) {
            self.draw(plug)?;
            let mut header = frame.header;
            header.finish_checksum(bytes, ip);
            return ndp::answer(port, &frame.packet, ip, bytes).map(answered);
        }
        if dhcpv4::is_server(ip) || dhcpv6::is_server(ip) {
            return Err(Denied::RogueServer);
        }
        if dhcpv4::is_question(port, ip) {
            self.draw(plug)?;
            check_dhcpv4_source(port, ip.src)?;
            return dhcpv4::answer(port, ip, bytes).map(answered);
        }
        if dhcpv6::is_question(ip) {
            self.draw(plug)?;
            return dhcpv6::answer(port, ip, bytes).map(answered);
        }
        if frame.packet.dst_mac.is_multicast() {
            return Err(Denied::NotUnicast { address: ip.dst });
        }
        // A source that is not its own is the law's to name.
        if port.owns(ip.src) && is_service(port, ip.dst) {
            return self.serve(plug, ip, bytes).map(Some);
        }
        if port.owns(ip.src) && is_router(port, ip.dst) {
            return Err(Denied::NoOwner { vpc: port.vpc, address: ip.dst });
        }
        Ok(None)
    }

    /// A packet to one of the VPC's own addresses.
    fn serve(&mut self, plug: &Plug, ip: &Ip, bytes: &mut [u8]) -> Result<Outcome, Denied> {
        let silence = Denied::NotUnicast { address: ip.dst };
        let call = service::call(&plug.port, ip).ok_or(silence)?;
        if !plug.meter.services.take(self.now) {
            return Err(Denied::RateLimit);
        }
        match call {
            Call::Question(asker) => self.resolve(plug, ip, &asker, bytes).ok_or(silence)?,
            Call::Segment => self.talk(plug, ip.l3_bytes(bytes)).then_some(Ok(Outcome::Served)).ok_or(silence)?,
        }
    }

    /// Has a DNS question answered over the frame; `None`: there is no answer.
    fn resolve(&mut self, plug: &Plug, ip: &Ip, asker: &Asker, bytes: &mut [u8]) -> Option<Result<Outcome, Denied>> {
        let services = self.shared.services.get()?;
        let question = ip.payload_bytes(bytes);
        // The answer is written where the question stands.
        let kept = self.scratch.get_mut(..question.len())?;
        kept.copy_from_slice(question);
        let (kept, now) = (&*kept, self.now);
        let mut served = Served::Silence;
        let written = service::datagram(&plug.port, asker, bytes, |body: &mut [u8]| {
            let room = body.len().min(DATAGRAM_MAX);
            served = services.question(asker, kept, &mut body[..room], now);
            Ok(if let Served::Answer(len) = served { len.min(room) } else { 0 })
        });
        match served {
            Served::Answer(_) => Some(written.map(|len| Outcome::Reply(len, None)).map_err(|_| Denied::QueueFull)),
            Served::Later => Some(Ok(Outcome::Served)),
            Served::Silence => None,
        }
    }

    /// Gives a TCP packet to the services; what they say to it is transmitted. `false`: nobody listens.
    fn talk(&mut self, plug: &Plug, packet: &[u8]) -> bool {
        let Some(services) = self.shared.services.get() else { return false };
        let (view, lane, port) = (self.view, self.lane, &*plug.port);
        let transmits = &mut *self.transmits;
        services.segment(port, packet, self.now, &mut |said| {
            let Some(frame) = service::framed(port, said).filter(|_| has_room(transmits)) else { return };
            plug.meter.count(lane, Event::Answered, frame.len() - vnet::LEN);
            view.show(plug, Direction::Ingress, Fate::Answer, &frame[vnet::LEN..]);
            transmits.push_back(Transmit { port: port.id, frame, is_unasked: false });
        })
    }

    /// A packet for another guest.
    fn pass(&mut self, frame: &Frame<'_>, ip: &Ip, buf: &mut [u8], len: usize) -> Result<Outcome, Refused> {
        let plug = frame.plug;
        let l2 = l2_of(&plug.port, frame.packet.dst_mac);
        let (flow, verdict) = match piece_of(plug.port.id, None, ip) {
            Some(place) => match self.piece(frame, ip, l2, place, &buf[..len])? {
                Fragment::Judged(judged) => judged,
                Fragment::Held => return Ok(Outcome::Held),
                Fragment::Waits => return Ok(Outcome::Waits),
            },
            None => {
                let flow = flow_of(ip).ok_or(Denied::Malformed)?;
                (flow, self.judge(plug, &flow, l2, Size::of(&frame.header, ip)))
            }
        };
        let amount = || Amount::of(&frame.header, ip);
        match verdict {
            Ok(Way { hop: Hop::Port { to, link }, translation, .. }) => {
                translate(&translation, &frame.header, ip, &mut buf[vnet::LEN..len]);
                self.deliver(to, link, &mut buf[vnet::LEN..len]);
                self.log_departure(plug, &flow, &verdict, amount);
                Ok(Outcome::Forward(to))
            }
            Ok(Way { hop: Hop::Tunnel(tunnel), mtu, translation, .. }) => {
                let ip = &translate(&translation, &frame.header, ip, &mut buf[vnet::LEN..len]);
                self.seal(tunnel, mtu, &frame.header, ip, &buf[vnet::LEN..len])?;
                self.log_departure(plug, &flow, &verdict, amount);
                Ok(Outcome::Sealed)
            }
            Err(refused) if ip.fragment.is_none() && self.may_wait(plug, &buf[..len]) => {
                debug_assert_eq!(refused.denied, Denied::NoSecureChannel);
                Ok(Outcome::Waits)
            }
            Err(Refused { denied: denied @ Denied::TooBig { mtu }, at: None, .. }) => {
                let answer_len = self.say_too_big(frame, mtu, &mut buf[vnet::LEN..], len - vnet::LEN).ok_or(denied)?;
                let refused = Refused::from(denied);
                self.count_refused(plug, &refused, len - vnet::LEN);
                Ok(Outcome::Reply(answer_len, Some(denied)))
            }
            Err(refused) if is_over(&flow, &refused.denied) => {
                self.log_departure(plug, &flow, &verdict, amount);
                let answer_len = self.say_reset(plug, ip, &mut buf[vnet::LEN..], len - vnet::LEN).ok_or(refused)?;
                self.count_refused(plug, &refused, len - vnet::LEN);
                Ok(Outcome::Reply(answer_len, Some(refused.denied)))
            }
            Err(refused) => {
                self.log_departure(plug, &flow, &verdict, amount);
                Err(refused)
            }
        }
    }

    /// A fragment: whose flow it belongs to and where that goes, or what it waits for.
    fn piece(
        &mut self,
        frame: &Frame<'_>,
        ip: &Ip,
        l2: L2,
        (key, piece): (Key, Piece),
        bytes: &[u8],
    ) -> Result<Fragment, Refused> {
        let (plug, lane) = (frame.plug, self.lane);
        if piece.offset > 0
            && let Some(want) = self.waiting.want_of(&key)
            && self.view.tunnels.find(want.domain, want.host, want.shard).is_none()
        {
            return self.wait_in_turn(plug, want, key, bytes);
        }
        let refuse = |len: usize| {
            plug.meter.count(lane, Event::Denied(Denied::Fragment), len.saturating_sub(vnet::LEN));
        };
        let arrival = lock(&self.shared.fragments).arrive(key, piece, bytes, self.now, refuse);
        match arrival {
            Arrival::Judge => {
                let flow = flow_of(ip).ok_or(Denied::Fragment)?;
                let ruling = self.rule(plug, &flow, l2, Size::of(&frame.header, ip));
                if let Some(want) = self.unkeyed.take()
                    && self.wait_in_turn(plug, want, key, bytes).is_ok()
                {
                    self.follow(plug, want, key);
                    return Ok(Fragment::Waits);
                }
                let held = lock(&self.shared.fragments).decide(key, ruling);
                for bytes in held {
                    self.release(plug, &ruling, bytes);
                }
                Ok(Fragment::Judged((flow, ruling.outcome)))
            }
            Arrival::Inherit(ruling) if ruling.generation == self.view.generation => {
                *self.passing = ruling.passing;
                Ok(Fragment::Judged((ruling.flow, self.inherit(&ruling, ip))))
            }
            Arrival::Inherit(old) => {
                let ruling = self.rule(plug, &old.flow, old.l2, Size::ANY_PIECE);
                lock(&self.shared.fragments).renew(key, ruling);
                Ok(Fragment::Judged((ruling.flow, self.inherit(&ruling, ip))))
            }
            Arrival::Held => Ok(Fragment::Held),
            Arrival::Refused => Err(Denied::Fragment.into()),
        }
    }

    /// A first fragment waits for keys: the later ones that came before it do so behind it.
    fn follow(&mut self, plug: &Plug, want: Want, key: Key) {
        let held = lock(&self.shared.fragments).withdraw(key);
        for bytes in held {
            if let Err(refused) = self.wait_in_turn(plug, want, key, &bytes) {
                self.count_refused(plug, &refused, bytes.len().saturating_sub(vnet::LEN));
            }
        }
    }

    /// A fragment behind what waits already.
    fn wait_in_turn(&mut self, plug: &Plug, want: Want, key: Key, bytes: &[u8]) -> Result<Fragment, Refused> {
        let is_held = self.waiting.hold(want, plug.port.id, Some(key), bytes, self.now);
        if is_held { Ok(Fragment::Waits) } else { Err(Denied::NoSecureChannel.into()) }
    }

    fn rule(&mut self, plug: &Plug, flow: &Flow, l2: L2, size: Size) -> Ruling {
        let outcome = self.judge(plug, flow, l2, size);
        Ruling { generation: self.view.generation, flow: *flow, l2, outcome, passing: *self.passing }
    }

    /// The first fragment's fate, if this one is not too long for the way.
    fn inherit(&self, ruling: &Ruling, ip: &Ip) -> Result<Way, Refused> {
        let way = ruling.outcome?;
        let mtu = u32::from(way.mtu);
        let fits = way.takes(Size::of(&VnetHeader::default(), ip));
        if fits { Ok(way) } else { Err(Denied::TooBig { mtu }.into()) }
    }

    /// A fragment that waited meets its first one's fate.
    fn release(&mut self, plug: &Plug, ruling: &Ruling, mut bytes: Box<[u8]>) {
        *self.passing = ruling.passing;
        let len = bytes.len().saturating_sub(vnet::LEN);
        let packet = Packet::parse(bytes.get(vnet::LEN..).unwrap_or_default());
        let ip = packet.as_ref().ok().and_then(Packet::ip).ok_or(Refused::from(Denied::Fragment));
        let way = ip.and_then(|ip| Ok((self.inherit(ruling, ip)?, ip)));
        let verdict = way.map(|(way, _)| way);
        let amount = || ip.map_or(Amount::default(), Amount::of_packet);
        let refused = match way {
            Ok((Way { hop: Hop::Port { .. }, .. }, _)) if !has_room(self.transmits) => Denied::QueueFull.into(),
            Ok((Way { hop: Hop::Port { to, link }, translation, .. }, ip)) => {
                translate(&translation, &VnetHeader::default(), ip, &mut bytes[vnet::LEN..]);
                self.deliver(to, link, &mut bytes[vnet::LEN..]);
                self.log_departure(plug, &ruling.flow, &verdict, amount);
                return self.transmits.push_back(Transmit { port: to, frame: bytes, is_unasked: false });
            }
            Ok((Way { hop: Hop::Tunnel(tunnel), mtu, translation, .. }, ip)) => {
                let header = VnetHeader::default();
                let ip = &translate(&translation, &header, ip, &mut bytes[vnet::LEN..]);
                match self.seal(tunnel, mtu, &header, ip, &bytes[vnet::LEN..]) {
                    Ok(()) => return self.log_departure(plug, &ruling.flow, &verdict, amount),
                    Err(refused) => refused,
                }
            }
            Err(refused) => {
                self.log_departure(plug, &ruling.flow, &verdict, amount);
                refused
            }
        };
        self.count_refused(plug, &refused, len);
    }

    /// Puts the receiver's link addresses on a frame, and counts it there.
    fn deliver(&mut self, to: PortId, link: Link, frame: &mut [u8]) {
        ethernet::set_link(frame, link);
        let plug = self.view.plug(to);
        if !self.view.watches.is_empty()
            && let Some(plug) = plug
        {
            self.view.show(plug, Direction::Ingress, Fate::Passed, frame);
        }
        plug.map_or(self.shared.nobodys(to), |plug| &plug.meter).count(self.lane, Event::Delivered, frame.len());
    }

    /// Who looks at the sender sees its frame and the router's answer to it, who looks at a receiver that refused it sees it too. What was
    /// delivered has been seen by then.
    fn show_sent(&self, plug: &Plug, outcome: &Result<Outcome, Refused>, sent: &[u8], buf: &[u8]) {
        let view = self.view;
        let fate = match outcome {
            Ok(Outcome::Forward(_) | Outcome::Sealed) => Fate::Passed,
            Ok(Outcome::Reply(_, refused)) => refused.map_or(Fate::Answered, Fate::Denied),
            Ok(Outcome::Served) => Fate::Answered,
            Ok(Outcome::Held) => Fate::Held,
            Ok(Outcome::Waits) => return,
            Err(refused) => Fate::Denied(refused.denied),
        };
        view.show(plug, Direction::Egress, fate, sent);
        match outcome {
            Ok(Outcome::Reply(answer_len, _)) => {
                let answer = buf.get(vnet::LEN..vnet::LEN + answer_len).unwrap_or_default();
                view.show(plug, Direction::Ingress, Fate::Answer, answer);
            }
            Err(Refused { at: Some(there), .. }) => {
                let there = view.plug(*there).filter(|there| there.port.id != plug.port.id);
                there.into_iter().for_each(|there| view.show(there, Direction::Ingress, fate, sent));
            }
            _ => {}
        }
    }

    /// Writes the router's "too big" over the frame; `None`: the standards or the rate forbid it.
    fn say_too_big(&mut self, frame: &Frame<'_>, mtu: u32, bytes: &mut [u8], len: usize) -> Option<usize> {
        let port = &*frame.plug.port;
        let router = match frame.packet.ip()?.src {
            IpAddr::V4(_) => IpAddr::V4(port.router),
            IpAddr::V6(_) => IpAddr::V6(ROUTER_LINK_LOCAL),
        };
        let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
        self.draw(frame.plug).ok()?;
        let quoted = bytes.get(..len)?;
        let answer_len = reply::too_big(self.scratch, port.router_mac, router, &frame.packet, quoted, mtu).ok()??;
        bytes.get_mut(..answer_len)?.copy_from_slice(&self.scratch[..answer_len]);
        Some(answer_len)
    }

    /// Whether a frame that was refused for want of keys may wait for them.
    fn may_wait(&mut self, plug: &Plug, bytes: &[u8]) -> bool {
        let (port, now) = (plug.port.id, self.now);
        self.unkeyed.take().is_some_and(|want| self.waiting.hold(want, port, None, bytes, now))
    }

    /// One of the answers that the port may have.
    pub(crate) fn draw(&self, plug: &Plug) -> Result<(), Denied> {
        if plug.meter.bucket.take(self.now) { Ok(()) } else { Err(Denied::RateLimit) }
    }

    fn count_refused(&self, plug: &Plug, refused: &Refused, len: usize) {
        let there = refused.at.and_then(|id| self.view.plug(id));
        there.unwrap_or(plug).meter.count(self.lane, Event::Denied(refused.denied), len);
    }
}

/// A client speaks from its own address, or, having none yet, from none (spec 8.5).
fn check_dhcpv4_source(port: &Port, src: IpAddr) -> Result<(), Denied> {
    let is_right = src.is_unspecified() || port.owns(src);
    if is_right { Ok(()) } else { Err(Denied::SourceCheckEgress { interface: port.interface, address: src }) }
}

pub(crate) fn refusal_of(malformed: Malformed) -> Denied {
    let ethertype = match malformed {
        Malformed::Vlan => ethernet::ethertype::VLAN,
        Malformed::Ethertype(ethertype) => ethertype,
        _ => 0,
    };
    match malformed.class() {
        Class::Malformed => Denied::Malformed,
        Class::NotCarried => Denied::FrameType { ethertype },
        Class::Fragment => Denied::Fragment,
    }
}
