//! Out of the cloud by the uplink of this host, and in (decision 0049).
//!
//! ```text
//!  a guest of this host, or a NAT gateway ──egress, public source──▶ the uplink's device ─▶ the host forwards it
//!  the host forwards it ─▶ the uplink's device ── who here has the address, its VPC's gateway ─▶ as from another host: ingress ─▶ a guest
//! ```
//!
//! What comes in is taken for what a link from nowhere brings: a domain from [`Outside`] to the VPC that the address is of. The law knows
//! who can send there: nobody of this cloud.

use model::{Domain, Scope};
use policy::{Denied, Outside, Translation};
use wire::esp::next_header;
use wire::ethernet::Link;
use wire::vnet::{self, GsoType, VnetHeader};
use wire::{Ip, Kind, MacAddr, Packet};

use crate::counters::Event;
use crate::flow_log::Passage;
use crate::inbound::Sender;
use crate::port::PortId;
use crate::ruling::{Hop, Refused, Way};
use crate::step::{Step, refusal_of};
use crate::translate::translate;

/// The MAC address of the uplink's device: what the host takes for its own there. Locally administered, and no guest's.
pub const UPLINK_MAC: MacAddr = MacAddr([0x0a, 0x50, 0x57, 0, 0, 1]);
/// Where frames to it come from.
const GATEWAY_MAC: MacAddr = MacAddr([0x0a, 0x50, 0x57, 0, 0, 2]);
/// No association has this number (RFC 4303 2.1).
const NO_SPI: u32 = 0;

/// Out by the uplink.
pub(crate) fn way(translation: Translation, mtu: u16) -> Way {
    let hop = Hop::Port { to: PortId::UPLINK, link: Link { src: GATEWAY_MAC, dst: UPLINK_MAC } };
    Way { hop, mtu, passage: Passage::Gateway, translation }
}

impl Step<'_> {
    /// A packet that the uplink's device has for this cloud.
    pub(crate) fn outside_frame(&mut self, bytes: &mut [u8], write: &mut impl FnMut(PortId, &[u8]) -> bool) {
        let (uplink, len) = (&self.shared.uplink, bytes.len().saturating_sub(vnet::LEN));
        uplink.count(self.lane, Event::Received, len);
        match self.enter_from_outside(bytes) {
            Ok((sender, next_header)) => self.take_in(&sender, next_header, bytes, uplink, write),
            Err(refused) => uplink.count(self.lane, Event::Denied(refused.denied), len),
        }
    }

    /// In through the Internet gateway of whoever here has the address: from here on it is for a private one.
    fn enter_from_outside(&self, bytes: &mut [u8]) -> Result<(Sender, u8), Refused> {
        let (header, frame) = VnetHeader::split(bytes).map_err(|_| Denied::Malformed)?;
        let packet = Packet::parse(frame).map_err(refusal_of)?;
        let Kind::Ip(ip) = &packet.kind else { return Err(Denied::Malformed.into()) };
        if packet.dst_mac.is_multicast() {
            return Err(Denied::NotUnicast { address: ip.dst }.into());
        }
        // The device leaves nothing to us: a checksum that is not finished would be taken for one that is.
        if header.needs_csum || header.gso_type != GsoType::None {
            return Err(Denied::Malformed.into());
        }
        let here = self.shared.config.host;
        let to = self.view.tables.vpc_of_public(ip.dst, here)?;
        let (_, translation) = self.view.tables.enter(to, ip.src, ip.dst)?;
        let next_header = if ip.dst.is_ipv4() { next_header::IPV4 } else { next_header::IPV6 };
        let ip: Ip = *ip;
        translate(&translation, &VnetHeader::default(), &ip, &mut bytes[vnet::LEN..]);
        let domain = Domain { from: Outside::vpc(), to, scope: Scope::Internet };
        Ok((Sender { spi: NO_SPI, domain, host: here }, next_header))
    }
}
