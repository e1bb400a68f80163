//! The data planes of a run, one per host, stepped; and the shapes in which a device may hand over a packet.

use std::net::{IpAddr, SocketAddr};

use control::plan;
use dataplane::{Action, PortId, router_mac};
use model::intent::VpcSlice;
use model::{HostId, MacAddr, NetworkInterface, NetworkInterfaceId, Time};
use policy::{Denied, Internet};
use tunnel::Permits;
use wire::ethernet::{HEADER_LEN, Link};
use wire::vnet::{GsoType, VnetHeader};
use wire::{build, vnet};

use crate::compare::Options;
use crate::dice::Dice;
use crate::entitlement;
use crate::links::{Links, address};
use crate::packet::{ACK, Body, NextHop, Packet, Sent};
use crate::plane::{Delivered, Plane};
use crate::reference::Outcome;
use crate::scene::Scene;

/// In which shape a device hands over a packet; the law knows no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dress {
    Plain,
    /// The checksum is left to the receiver.
    Unfinished,
    /// One frame that is cut later.
    SuperFrame,
    /// Several frames, in order.
    Fragments,
}

impl Dress {
    /// A shape that this packet may have.
    pub fn any(dice: &mut Dice, packet: &Packet) -> Dress {
        let dress = dice.weighted(&[
            (70, Dress::Plain),
            (14, Dress::Unfinished),
            (8, Dress::SuperFrame),
            (8, Dress::Fragments),
        ]);
        match packet.body {
            Body::Tcp { flags, .. } if flags == ACK || dress != Dress::SuperFrame => dress,
            Body::Udp { .. } if dress != Dress::SuperFrame => dress,
            _ => Dress::Plain,
        }
    }
}

/// The payload of a super-frame: more than the longest packet between two hosts.
const SUPER: [u8; 5000] = [7; 5000];

/// What becomes of a frame, and in the data plane's own words.
type Fate = (Outcome, String);

/// The data planes and what is between them.
pub struct System {
    planes: Vec<Plane>,
    links: Links,
    options: Options,
    datagrams: u32,
    buffer: Vec<u8>,
    /// Packets that went from host to host, whatever became of them.
    pub sealed: u64,
    /// Links that were found permitted, and not.
    pub entitlements: [u64; 2],
    restarts: u64,
}

/// The longest frame of a run, and room for an answer.
const BUFFER_LEN: usize = 16 * 1024;
/// Links that are looked at in each configuration.
const ENTITLEMENTS: usize = 40;

impl System {
    /// With one host, that one sees the whole cloud; of several each sees what its own intent says.
    pub fn new(hosts: &[HostId], options: Options) -> System {
        System {
            planes: hosts.iter().map(|host| Plane::new(*host, &options)).collect(),
            links: Links::new(options.secret),
            options,
            datagrams: 0,
            buffer: vec![0; BUFFER_LEN],
            sealed: 0,
            entitlements: [0; 2],
            restarts: 0,
        }
    }

    /// Whether a guest can send from there.
    pub fn has_port(&self, interface: NetworkInterfaceId) -> bool {
        self.planes.iter().any(|plane| plane.port(interface).is_some())
    }

    /// How many frames were decided from memory.
    pub fn hits(&self) -> u64 {
        self.planes.iter().map(Plane::hits).sum()
    }

    /// How many keys the hosts agreed on.
    pub fn keys(&self) -> u64 {
        self.links.agreed
    }

    pub fn drop_cache(&mut self) {
        self.planes.iter_mut().for_each(|plane| plane.worker.drop_cache());
    }

    /// Plans, compiles and swaps.
    pub fn configure(&mut self, scene: &Scene, now: Time) {
        let is_alone = self.planes.len() == 1;
        for at in 0..self.planes.len() {
            let (slices, internet): (Vec<VpcSlice>, Internet) = if is_alone {
                (scene.slices(), scene.internet())
            } else {
                let intent = plan::intent(&scene.worlds, self.planes[at].host);
                let slices = intent.vpcs.values().map(|slice| VpcSlice::clone(slice)).collect();
                (slices, Internet::new(&intent.public, &intent.public_ipv6))
            };
            self.compile(at, slices, internet, now);
        }
        self.links.settle(&mut self.planes, now);
    }

    /// One of several hosts has this in force from now on, whatever the others have.
    pub fn take(&mut self, at: usize, slices: Vec<VpcSlice>, internet: Internet, now: Time) {
        self.compile(at, slices, internet, now);
        self.links.settle(&mut self.planes, now);
    }

    fn compile(&mut self, at: usize, mut slices: Vec<VpcSlice>, internet: Internet, now: Time) {
        let is_alone = self.planes.len() == 1;
        slices.iter_mut().for_each(self.options.doctor);
        let plane = &mut self.planes[at];
        let host = plane.host;
        plane.configure(&slices, internet, |endpoint| is_alone || endpoint.host == Some(host), now);
    }

    /// A host's agent begins anew: no flow, no key, no session of the one before is left.
    pub fn restart(&mut self, at: usize, now: Time) {
        self.restarts += 1;
        let options = Options { secret: self.options.secret.wrapping_add(self.restarts), ..self.options };
        self.planes[at] = Plane::new(self.planes[at].host, &options);
        self.links.drop_sessions(&mut self.planes, at, now);
    }

    /// Holds what each host believes of links against the cloud.
    ///
    /// # Errors
    /// A link too many, or too few.
    pub fn check_entitlements(&mut self, scene: &Scene, dice: &mut Dice) -> Result<(), String> {
        if self.planes.len() > 1 {
            let views = self.planes.iter().map(|plane| (plane.host, &plane.entitled as &dyn Permits));
            let counts = entitlement::check(scene, views, dice, ENTITLEMENTS)?;
            self.entitlements[0] += counts[0];
            self.entitlements[1] += counts[1];
        }
        Ok(())
    }

    /// Hands over a packet, and says what became of it. All its frames must share one fate; whoever gets it must see it as it `arrives`.
    pub fn send(&mut self, scene: &Scene, sent: &Sent, arrives: &Packet, dress: Dress, now: Time) -> Fate {
        let x = scene.find::<NetworkInterface>(&sent.from).map(|(_, x)| x.clone());
        let at = self.planes.iter().position(|plane| plane.port(sent.from).is_some());
        let (Some(at), Some(x)) = (at, x) else {
            return odd("no port", String::new());
        };
        let dst = match sent.to {
            NextHop::Mac(mac) => mac,
            NextHop::Router => MacAddr(router_mac(x.vpc).0),
        };
        let link = Link { src: wire::MacAddr(sent.src_mac.0), dst: wire::MacAddr(dst.0) };
        self.planes.iter_mut().for_each(|plane| plane.worker.handle_timeout(now));
        self.links.pass_time(&mut self.planes, now);
        let packet = Handed { scene, x: &x, sent, arrives, link, dress, now };
        let mut fates = self.hand_over(at, &packet);
        // A datagram in fragments does not wait for keys: its sender sends it once more.
        if fates.iter().any(|fate| fate.0 == D15) && self.links.ask(&mut self.planes, at, now) {
            self.links.wait(&mut self.planes, now, |_| false);
            fates = self.hand_over(at, &packet);
        }
        match fates.as_slice() {
            // Where nobody is plugged in to keep a first fragment's fate, later ones, whose ports nobody knows, are only lost.
            [first, rest @ ..] if rest.iter().all(|fate| fate.0 == first.0 || is_lost(first, fate)) => {
                fates.swap_remove(0)
            }
            _ => odd("torn apart", format!("{fates:?}")),
        }
    }

    fn hand_over(&mut self, at: usize, packet: &Handed<'_>) -> Vec<Fate> {
        let mut fates = Vec::new();
        self.datagrams += 1;
        let [sent, arriving] =
            [&packet.sent.packet, packet.arrives].map(|p| frames(p, packet.link, packet.dress, self.datagrams));
        for (frame, arriving) in sent.iter().zip(&arriving) {
            self.buffer[..frame.len()].copy_from_slice(frame);
            let frame = &Frame { sent: frame, arriving };
            let fate = match self.planes[at].port(packet.x.id) {
                Some(port) => self.decide(at, packet, port, frame, frame.sent.len()),
                None => odd("no port", String::new()),
            };
            fates.push(fate);
            // Routers advertise themselves; that is nobody's packet.
            self.planes.iter_mut().for_each(|plane| while plane.worker.poll_transmit().is_some() {});
        }
        fates
    }

    /// Of what lies in the buffer.
    fn decide(&mut self, at: usize, packet: &Handed<'_>, port: PortId, frame: &Frame<'_>, len: usize) -> Fate {
        match self.planes[at].worker.guest_frame(port, &mut self.buffer, len, packet.now) {
            Action::Drop(denied) => (Outcome::Denied(denied.code()), denied.to_string()),
            Action::Forward { port, len } => {
                let to = self.planes[at].interface(port);
                packet.delivered(frame.arriving, to, &self.buffer[..len])
            }
            Action::Reply { .. } => odd("an answer", String::new()),
            Action::Held => self.wait_for_keys(at, packet, frame),
            Action::Sealed => self.carry(at, packet, frame),
        }
    }

    fn wait_for_keys(&mut self, at: usize, packet: &Handed<'_>, frame: &Frame<'_>) -> Fate {
        let now = packet.now;
        let mut released = None;
        if self.links.ask(&mut self.planes, at, now) {
            let buffer = &mut self.buffer;
            self.links.wait(&mut self.planes, now, |planes| {
                released = planes[at].worker.poll_released(buffer, now);
                released.is_some()
            });
        }
        match released {
            Some((port, len)) => self.decide(at, packet, port, frame, len),
            None => {
                let after = now + model::Duration::seconds(4);
                match self.planes[at].worker.poll_released(&mut self.buffer, after) {
                    None => (D15, "no keys".into()),
                    Some(_) => odd("released without keys", String::new()),
                }
            }
        }
    }

    /// Everything that the host has to send, opened by whom it is for.
    fn carry(&mut self, at: usize, packet: &Handed<'_>, frame: &Frame<'_>) -> Fate {
        self.sealed += 1;
        let mut sends = Vec::new();
        while let Some(run) = self.planes[at].worker.poll_datagrams(true) {
            sends.push((run.to, run.bytes.to_vec(), run.segment));
        }
        let (mut delivered, mut refused) = (Delivered::new(), Vec::new());
        for (to, bytes, segment) in sends {
            if [frame.sent, frame.arriving].iter().any(|frame| shows(&bytes, &frame[vnet::LEN + HEADER_LEN..])) {
                return odd("in clear", format!("{:02x?} in {bytes:02x?}", frame.sent));
            }
            let Some(there) = (0..self.planes.len()).find(|n| address(*n) == to && *n != at) else {
                return odd("sent to nobody", to.to_string());
            };
            let plane = &mut self.planes[there];
            let before = plane.denied();
            delivered.extend(plane.receive(address(at), &bytes, segment, packet.now));
            let after = plane.denied();
            let is_new = |n: &usize| after[*n] > before[*n];
            refused.extend((0..after.len()).filter(is_new).map(|n| Denied::ALL[n].code));
        }
        refused.dedup();
        match (delivered.as_slice(), refused.as_slice()) {
            ([], [code]) => (Outcome::Denied(code), REFUSED_THERE.into()),
            ([_, ..], []) => packet.carried(frame.arriving, &delivered),
            _ => odd("lost on the way", format!("{} delivered, refused for {refused:?}", delivered.len())),
        }
    }
}

/// The frames of a packet in that shape.
fn frames(packet: &Packet, link: Link, dress: Dress, datagram: u32) -> Vec<Vec<u8>> {
    let plain = VnetHeader::default();
    match (dress, &packet.body) {
        (Dress::Plain, _) => vec![build::with_vnet(&plain, &packet.to_frame(link, 12))],
        (Dress::SuperFrame, Body::Tcp { sport, dport, .. }) => {
            let (src, dst) = (SocketAddr::new(packet.src, *sport), SocketAddr::new(packet.dst, *dport));
            let (header, frame) = build::tcp_super_frame(link, src, dst, &SUPER, 1400);
            vec![build::with_vnet(&header, &frame)]
        }
        (Dress::Unfinished | Dress::SuperFrame, _) => {
            let (header, frame) = build::with_partial_checksum(&packet.to_frame(link, 12));
            vec![build::with_vnet(&header, &frame)]
        }
        (Dress::Fragments, _) => {
            let pieces = build::fragments(&packet.to_frame(link, 150), datagram, 64);
            pieces.iter().map(|piece| build::with_vnet(&plain, piece)).collect()
        }
    }
}

/// A frame as it is sent, and as it must come out.
struct Frame<'a> {
    sent: &'a [u8],
    arriving: &'a [u8],
}

/// A packet in its shape, and who has sent it.
struct Handed<'a> {
    scene: &'a Scene,
    x: &'a NetworkInterface,
    sent: &'a Sent,
    arrives: &'a Packet,
    link: Link,
    dress: Dress,
    now: Time,
}

impl Handed<'_> {
    /// A frame that stayed on its host is the one that must arrive, with the addresses of its receiver's link.
    fn delivered(&self, frame: &[u8], to: Option<NetworkInterfaceId>, got: &[u8]) -> Fate {
        let Some((_, y)) = to.and_then(|to| self.scene.find::<NetworkInterface>(&to)) else {
            return odd("delivered to nobody", format!("{to:?}"));
        };
        // Through a gateway even a neighbour comes from the router.
        let is_near = self.x.subnet == y.subnet && self.sent.packet.src == self.arrives.src;
        let from = if is_near { self.x.mac } else { MacAddr(router_mac(y.vpc).0) };
        let (header, link) = (vnet::LEN, vnet::LEN + 12);
        let expected = [&frame[..header], &y.mac.0[..], &from.0[..], &frame[link..]].concat();
        if got != expected {
            return odd("delivered, but changed", format!("{frame:02x?} became {got:02x?}"));
        }
        (Outcome::Delivered(y.id), format!("delivered to {}", y.id))
    }

    /// What came from another host is the packet that was sent, with its checksum made, cut or whole.
    fn carried(&self, frame: &[u8], delivered: &Delivered) -> Fate {
        let to = delivered[0].0;
        let Some((_, y)) = to.and_then(|to| self.scene.find::<NetworkInterface>(&to)) else {
            return odd("delivered to nobody", format!("{to:?}"));
        };
        // All that is known there of who sent it is the source address.
        let is_near = |eni: &NetworkInterface| eni.subnet == y.subnet && eni.id != y.id && eni.owns(self.arrives.src);
        let enis = self.scene.all::<NetworkInterface>();
        let neighbour = enis.iter().find(|(_, eni)| is_near(eni)).map(|(_, eni)| eni.mac);
        let from = neighbour.unwrap_or(MacAddr(router_mac(y.vpc).0));
        let link = [&y.mac.0[..], &from.0[..]].concat();
        let is_right = match self.dress {
            Dress::SuperFrame => self.is_cut_right(frame, &link, delivered),
            Dress::Plain | Dress::Fragments => is_same(delivered, &link, &frame[vnet::LEN + 12..]),
            Dress::Unfinished => self.is_as_left(frame, &link, delivered),
        };
        if !is_right || delivered.iter().any(|(other, _)| *other != to) {
            return odd("carried, but changed", format!("{frame:02x?} became {delivered:02x?}"));
        }
        (Outcome::Delivered(y.id), format!("carried to {}", y.id))
    }

    /// A checksum that was left to the device is left to the receiver's, or has been finished on the way.
    fn is_as_left(&self, frame: &[u8], link: &[u8], delivered: &Delivered) -> bool {
        let left = [&frame[..vnet::LEN], link, &frame[vnet::LEN + 12..]].concat();
        delivered.len() == 1 && delivered[0].1 == left
            || is_same(delivered, link, &self.arrives.to_frame(self.link, 12)[12..])
    }

    /// Every segment has the addresses and ports, and together they have the payload.
    fn is_cut_right(&self, frame: &[u8], link: &[u8], delivered: &Delivered) -> bool {
        let Some(headers) = frame.len().checked_sub(SUPER.len() + vnet::LEN) else {
            return self.is_as_left(frame, link, delivered);
        };
        let flow = match self.arrives.src {
            IpAddr::V4(_) => HEADER_LEN + 12..HEADER_LEN + 24,
            IpAddr::V6(_) => HEADER_LEN + 8..HEADER_LEN + 44,
        };
        let mut payload = 0;
        for (_, bytes) in delivered {
            let (got, sent) = (&bytes[vnet::LEN..], &frame[vnet::LEN..]);
            if got.len() < headers || got[..12] != *link || got[flow.clone()] != sent[flow.clone()] {
                return false;
            }
            payload += got[headers..].iter().filter(|byte| **byte == SUPER[0]).count();
        }
        payload == SUPER.len()
    }
}

/// One frame of those link addresses and this rest, that needs nothing more.
fn is_same(delivered: &Delivered, link: &[u8], rest: &[u8]) -> bool {
    let [(_, bytes)] = delivered.as_slice() else { return false };
    let Ok((VnetHeader { needs_csum, gso_type, .. }, frame)) = VnetHeader::split(bytes) else { return false };
    !needs_csum && gso_type == GsoType::None && frame[..12] == *link && frame[12..] == *rest
}

/// Whether the underlay sees anything of a packet: its addresses and ports, its end.
fn shows(bytes: &[u8], packet: &[u8]) -> bool {
    let flow = match packet.first() {
        Some(first) if first >> 4 == 4 => 12..24,
        _ => 8..44,
    };
    let end = packet.len().saturating_sub(12)..packet.len();
    let parts = [flow, end].map(|part| packet.get(part).unwrap_or(packet));
    parts.iter().any(|part| !part.is_empty() && bytes.windows(part.len()).any(|window| window == *part))
}

fn is_lost(first: &Fate, later: &Fate) -> bool {
    let is_refused_there = |fate: &Fate| fate.1 == REFUSED_THERE;
    later.0 == Outcome::Denied("D20") && is_refused_there(first) && is_refused_there(later)
}

const REFUSED_THERE: &str = "refused by the receiving host";
const D15: Outcome = Outcome::Denied("D15");

/// What a packet of a run never comes to.
fn odd(what: &'static str, said: String) -> Fate {
    (Outcome::Denied(what), said)
}
