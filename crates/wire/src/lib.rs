//! What do the bytes mean?
//!
//! Every packet format that Peerway reads or writes, once. Three habits hold in every module:
//!
//! - *Layout in one place*: a private `field` table of typed offsets; the compiler checks each against the header's size.
//! - *View and meaning apart*: a `Header` reads fields and checks only its own length; `parse` checks what the standards ask.
//! - *Nothing panics and nothing on the packet path allocates*: parsing takes any bytes, emitting writes into a lent buffer and says
//!   [`EmitError`] when that is too small. Only [`build`], DHCP messages and router advertisements own heap memory.
//!
//! The way in for a guest's frame is [`Packet::parse`]; the ways out are [`emit`] (any frame), [`reply`] (the answers of the VPC router)
//! and [`build`] (owned frames, for tests and the simulator). Between hosts a super-frame is cut by [`segment`], each packet travels in
//! [`esp`], and [`coalesce`] joins them again; [`rewrite`] gives a packet that goes on other addresses and ports. There is no policy here:
//! nothing in this crate knows a VPC.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod bytes;
mod malformed;
mod names;

pub mod arp;
pub mod build;
pub mod checksum;
pub mod coalesce;
pub mod dhcpv4;
pub mod dhcpv6;
pub mod emit;
pub mod esp;
pub mod ethernet;
#[doc(hidden)]
pub mod fuzz;
pub mod icmp;
pub mod ip;
pub mod ipv4;
pub mod ipv6;
pub mod ndp;
pub mod packet;
pub mod reply;
pub mod rewrite;
pub mod segment;
pub mod tcp;
pub mod udp;
pub mod vnet;

pub use bytes::EmitError;
pub use ethernet::MacAddr;
pub use ip::{Addresses, Fragment};
pub use malformed::{Class, Malformed};
pub use packet::{Embedded, Ip, Kind, Packet, Transport};
pub use tcp::TcpFlags;
