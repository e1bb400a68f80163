//! ARP, answered from the tables so that it never travels (RFC 826; spec 8.4, users' case 18).

use std::net::IpAddr;

use policy::Denied;
use wire::arp::{Arp, Operation};
use wire::reply;

use super::{no_room, resolve};
use crate::port::Port;

/// Answers a question, or says why not.
///
/// Gratuitous ARP and replies are claims: nobody asks a guest who it is, so they can only be meant to mislead (D35). A probe
/// (RFC 5227, sender unspecified) is answered like any question: "taken" keeps the guest from using what is not its own.
pub(crate) fn answer(port: &Port, question: &Arp, frame: &mut [u8]) -> Result<usize, Denied> {
    if question.sender_mac != port.mac {
        return Err(Denied::SpoofedMac);
    }
    let (sender, target) = (IpAddr::V4(question.sender_ip), IpAddr::V4(question.target_ip));
    let is_claim = question.operation == Operation::Reply || sender == target;
    if is_claim || !(sender.is_unspecified() || port.owns(sender)) {
        return Err(Denied::RogueServer);
    }
    if port.owns(target) {
        return Err(Denied::NotUnicast { address: target });
    }
    let (mac, _) = resolve(port, target).ok_or(Denied::NoOwner { vpc: port.vpc, address: target })?;
    reply::arp(frame, mac, question).map_err(no_room)
}
