//! The law is asked about a flow, or remembered (spec 11.2, steps 2-13, for two interfaces on one host).
//!
//! A verdict follows from the tables, the flow, and what connection tracking knew at both ends. So a remembered verdict holds as long as
//! the generation is the same and connection tracking says the same as then. It is asked and told for every packet, mostly by a ticket
//! that it gave for the one before ([`policy::Ticket`]). SYN, FIN and RST, which it answers or takes differently, and ICMP always take the
//! long way.

use model::{Direction, Domain, HostId, NetworkInterfaceId};
use policy::{Admit, Denied, Flow, FlowKey, L2, L4, Next, Scope, TcpFlags, Tracked, Translation, egress, ingress};
use wire::Ip;
use wire::ethernet::Link;

use crate::flow::flow_of;
use crate::flow_log::Passage;
use crate::gateway::Onward;
use crate::inbound::{Sender, disagrees};
use crate::memo::Key;
use crate::ruling::{Decision, Hop, Left, Refused, Size, Source, Way};
use crate::shared::{Plug, View};
use crate::step::Step;
use crate::uplink;
use crate::waiting::Want;

impl Step<'_> {
    /// Where a packet of this flow goes that a guest of this host sent.
    pub(crate) fn judge(&mut self, plug: &Plug, flow: &Flow, l2: L2, size: Size) -> Result<Way, Refused> {
        let source = Source::Port(plug.port.id);
        self.recall_or(plug, (source, flow, l2, size), |step| step.ask(plug, flow, l2, size))
    }

    /// Where a packet of this flow goes that another host sent, and that is for this port.
    pub(crate) fn judge_arrival(&mut self, plug: &Plug, sender: &Sender, flow: &Flow) -> Result<Way, Refused> {
        let source = Source::Tunnel(sender.spi);
        self.recall_or(plug, (source, flow, L2::Router, Size::ANY), |step| step.ask_arrival(plug, sender, flow))
    }

    fn recall_or(
        &mut self,
        plug: &Plug,
        (source, flow, l2, size): (Source, &Flow, L2, Size),
        ask: impl FnOnce(&mut Self) -> Result<Decision, Refused>,
    ) -> Result<Way, Refused> {
        self.passing.clear();
        let key = remembered(flow).map(|key| Key::new(source, &key));
        let known = key.and_then(|key| self.recall(plug, &key, flow, l2, size));
        plug.meter.count_lookup(self.lane, known.is_some());
        if let Some(way) = known {
            return Ok(way);
        }
        let decision = ask(self)?;
        if let Some(key) = key
            && !decision.is_once
        {
            self.memo.insert(&key, self.view.generation, &decision);
        }
        Ok(decision.way)
    }

    /// A verdict from memory, with connection tracking told. `None`: ask.
    fn recall(&mut self, plug: &Plug, key: &Key, flow: &Flow, l2: L2, size: Size) -> Option<Way> {
        let (shared, view, now) = (self.shared, self.view, self.now);
        let (line, way, life) = self.memo.find(key, view.generation, |slot| shared.lives.read(slot))?;
        if line.l2 != l2 || !way.takes(size) {
            return None;
        }
        let (near, interface) = (line.near_direction(), plug.port.interface);
        if !shared.tell((interface, near), &mut line.near, flow, Some(life), now) {
            return None;
        }
        let is_told_far = |end| match *way {
            Way { hop: Hop::Port { to, .. }, translation, .. } => view.plug(to).is_some_and(|to| {
                let far = (to.port.interface, Direction::Ingress);
                match translation {
                    Translation::NONE => shared.tell(far, end, flow, None, now),
                    _ => shared.tell(far, end, &translation.flow(flow), None, now),
                }
            }),
            Way { hop: Hop::Tunnel(_), .. } => false,
        };
        line.far().is_none_or(is_told_far).then_some(*way)
    }

    /// The long way: two decisions, one at each interface (spec 6.4.7); of a packet for another host only the first.
    fn ask(&mut self, plug: &Plug, flow: &Flow, l2: L2, size: Size) -> Result<Decision, Refused> {
        let (shared, view, now) = (self.shared, self.view, self.now);
        let from = plug.port.interface;
        let side = shared.side(from, Direction::Egress, flow);
        let seen = shared.lookup(&side, flow, now);
        let first = egress(&view.tables, from, flow, l2, seen, &mut ())?;
        let (track, passage) = (first.track, Passage::of(&first));
        let Onward { flow: sent, next, is_translated } = match self.onward(first, flow, size) {
            Ok(onward) => onward,
            Err((denied, arrived)) => {
                shared.commit(&side, flow, (seen, track), now)?;
                let left = Some(Left { passage, translation: Translation::between(flow, &arrived) });
                return Err(Refused { denied, at: None, left });
            }
        };
        if let Some(host) = next.host.filter(|host| *host != shared.config.host) {
            let way = self.tunnel(plug.port.mtu, &next, host, size);
            // A frame that waits for keys is judged anew when they are there: told of it now, connection tracking would see two.
            let out = match way {
                Err(Refused { denied: Denied::NoSecureChannel, .. }) => None,
                _ => Some(shared.commit(&side, flow, (seen, track), now)?),
            };
            let mut way = way?;
            if is_translated {
                way.translation = Translation::between(flow, &way.translation.flow(&sent));
            }
            return Ok(Decision { way: Way { passage, ..way }, l2, out, into: None, is_once: is_translated });
        }
        let out = Some(shared.commit(&side, flow, (seen, track), now)?);
        let whole = |translation: Translation| match is_translated {
            true => Translation::between(flow, &translation.flow(&sent)),
            false => translation,
        };
        if next.is_outside() {
            let way = uplink::way(whole(next.translation), plug.port.mtu);
            return Ok(Decision { way, l2, out, into: None, is_once: is_translated });
        }
        let left = |translation| Some(Left { passage, translation });
        let down = |interface| Denied::DestinationDown { interface };
        if next.host.is_none() {
            return Err(Refused { denied: down(next.interface), at: None, left: left(whole(next.translation)) });
        }
        let entered = view.tables.arriving(&next, &sent);
        let (to, translation) =
            entered.map_err(|denied| Refused { denied, at: None, left: left(whole(next.translation)) })?;
        let (flow, translation) = (&translation.flow(&sent), whole(translation));
        let left = left(translation);
        // `None`: without a port, so that it cannot get the packet, but its own side still names the first reason (spec 11.2, steps
        // 11-12).
        let target = view.plug_of(to);
        let mtu = target.map_or(plug.port.mtu, |target| plug.port.mtu.min(target.port.mtu));
        if !size.fits(mtu, false) {
            return Err(Denied::TooBig { mtu: mtu.into() }.into());
        }
        let there = |denied| Refused { denied, at: target.map(|target| target.port.id), left };
        let side = shared.side(to, Direction::Ingress, flow);
        let seen = shared.lookup(&side, flow, now);
        let admit = ingress(&view.tables, to, &next.origin, flow, seen, &mut ()).map_err(there)?;
        let target = target.ok_or(Refused { denied: down(to), at: None, left })?;
        let into = Some(shared.commit(&side, flow, (seen, admit.track), now).map_err(there)?);

        let is_direct = next.origin.scope != Scope::Internet && !is_translated;
        let is_neighbour = target.port.subnet == plug.port.subnet && is_direct;
        let src = if is_neighbour { plug.port.mac } else { target.port.router_mac };
        let hop = Hop::Port { to: target.port.id, link: Link { src, dst: target.port.mac } };
        let way = Way { hop, mtu, passage, translation };
        Ok(Decision { way, l2, out, into, is_once: is_translated })
    }

    /// The sealed way to another host. There is no other (spec 14.8, I1). `mtu`: the largest packet that the sender's link takes.
    pub(crate) fn tunnel(&mut self, mtu: u16, next: &Next, host: HostId, size: Size) -> Result<Way, Refused> {
        let tunnel_mtu = self.shared.config.tunnel_mtu.ok_or(Denied::NoSecureChannel)?;
        let mtu = mtu.min(tunnel_mtu);
        if !size.fits(mtu, true) {
            return Err(Denied::TooBig { mtu: mtu.into() }.into());
        }
        let domain = Domain { from: next.origin.vpc, to: next.vpc, scope: next.origin.scope };
        let want = Want { domain, host, shard: self.shard };
        let Some(tunnel) = self.view.tunnels.find(domain, host, self.shard) else {
            self.waiting.ask(want, self.now);
            self.unkeyed = Some(want);
            return Err(Denied::NoSecureChannel.into());
        };
        Ok(Way { hop: Hop::Tunnel(tunnel), mtu, passage: Passage::of(next), translation: next.translation })
    }

    /// Why an interface that is not plugged in gets no packet from another host: its own side still names the first reason (spec 11.2,
    /// steps 11-12). Of a later fragment, whose ports nobody knows, it is that.
    pub(crate) fn refuse_unplugged(&self, to: NetworkInterfaceId, sender: &Sender, ip: &Ip) -> Denied {
        let reason = flow_of(ip).and_then(|flow| {
            let seen = self.shared.lookup(&self.shared.side(to, Direction::Ingress, &flow), &flow, self.now);
            admit(self.view, to, sender, &flow, seen).err()
        });
        reason.unwrap_or(Denied::DestinationDown { interface: to })
    }

    /// The second decision alone: the sender's host has made the first.
    fn ask_arrival(&mut self, plug: &Plug, sender: &Sender, flow: &Flow) -> Result<Decision, Refused> {
        let (shared, view, now) = (self.shared, self.view, self.now);
        let to = plug.port.interface;
        let there = |denied| Refused { denied, at: Some(plug.port.id), left: None };
        let side = shared.side(to, Direction::Ingress, flow);
        let seen = shared.lookup(&side, flow, now);
        let admit = admit(view, to, sender, flow, seen).map_err(there)?;
        let into = Some(shared.commit(&side, flow, (seen, admit.track), now).map_err(there)?);

        let src = plug.port.neighbour(flow.src).unwrap_or(plug.port.router_mac);
        let hop = Hop::Port { to: plug.port.id, link: Link { src, dst: plug.port.mac } };
        let way = Way { hop, mtu: plug.port.mtu, passage: Passage::None, translation: Translation::NONE };
        Ok(Decision { way, l2: L2::Router, out: None, into, is_once: false })
    }
}

/// Step 11 and what follows, for a packet of another host.
pub(crate) fn admit(
    view: &View,
    to: NetworkInterfaceId,
    sender: &Sender,
    flow: &Flow,
    seen: Option<Tracked>,
) -> Result<Admit, Denied> {
    let Domain { from, scope, .. } = sender.domain;
    // A host speaks for the interfaces that it carries, and for no others (spec 14.3).
    let owner = view.tables.sender(to, from, scope, flow.src);
    let is_routed = matches!(scope, Scope::RouteTarget(_));
    if !is_routed && owner.is_none_or(|owner| owner.host != Some(sender.host)) {
        return Err(disagrees(sender, flow.src));
    }
    let origin = view.tables.origin(to, from, scope, flow.src);
    ingress(&view.tables, to, &origin, flow, seen, &mut ())
}

/// The flows whose verdict depends on nothing but their key, the tables and connection tracking's answer.
fn remembered(flow: &Flow) -> Option<FlowKey> {
    const ENDS: u8 = TcpFlags::SYN.0 | TcpFlags::FIN.0 | TcpFlags::RST.0;
    match flow.l4 {
        L4::Tcp { flags, .. } if flags.0 & ENDS != 0 => None,
        L4::Tcp { .. } | L4::Udp { .. } | L4::Other => Some(flow.key()),
        L4::IcmpQuery { .. } | L4::IcmpError { .. } | L4::Icmp { .. } => None,
    }
}
