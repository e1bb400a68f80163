//! What does a host do with a frame?
//!
//! A pure brain: frames, time and tables come in as arguments, frames go out in lent buffers. The shell (`agent`) owns the devices, the
//! threads and the clock. It holds one [`Shared`] and gives each thread a [`Worker`]; a test steps one worker in one thread.
//!
//! ```text
//!  guest_frame ─▶ virtio-net header, Packet::parse            D32 D33 D34
//!                 source MAC                                  D01
//!                 ARP, ND, DHCP: the router answers           D35 D36        ─▶ Reply
//!                 resolver, metadata: the shell's services    D04 D36        ─▶ Reply
//!                 time, the router                            D04 D14
//!                 a fragment: its first one's ruling          D34            ─▶ Held
//!                 cache of this generation, or
//!                   egress at X   (conntrack, groups, ACL, routes, peering or Internet gateway)  D02-D14, D28-D30, D39
//!                   where is Y?
//!                   its VPC's Internet gateway                D30
//!                   path MTU      and the router says so      D16            ─▶ Reply
//!                   on another host: cut, seal, lay out       D15            ─▶ Sealed, or Held until there are keys
//!                 outside of the cloud: by the uplink                        ─▶ Forward
//!                   here: ingress at Y (claim, ACL, groups)   D18-D23
//!                 other addresses, of what Internet gateways translate
//!                 new MAC addresses in place                                 ─▶ Forward
//!
//!  datagrams ───▶ SPI, replay window, open                    D17
//!                 from the internet: the VPC's gateway        D30
//!                 the next piece of a stream that grows                      ─▶ kept, until it is full or the batch ends
//!                 Packet::parse, whose it is, who sealed it   D32 D14 D18
//!                 cache, or ingress at Y                      D18-D23
//!                 a stream begins, or it goes by itself                      ─▶ written
//!
//!  outside_frame ▶ who here has the address, its gateway       D30 D29        ─▶ as a datagram that was opened
//! ```
//!
//! What holds here:
//!
//! - *One generation per packet.* Tables and ports are swapped as one value; a packet is judged by one of them from end to end.
//! - *The cache is only speed.* It skips [`policy`] for a flow that this generation has let through, never what connection tracking must
//!   know. Dropping it at any instant changes no verdict and no tracked flow (`tests/it/cache.rs`).
//! - *A super-frame stays whole* between two local devices: only its MAC addresses change.
//! - *Nothing is allocated for a packet that is forwarded*, remembered or not (`tests/allocation.rs`). Router answers and fragments that
//!   come before their first may.
//! - *Everything ends in a counter* ([`Counters`]), and, where a flow log covers the interface, in a line (`flow_log`).
//!
//! Not here yet: time (D04).

mod cache;
mod coalescer;
mod counters;
mod describe;
mod dhcp;
mod entitled;
mod flow;
mod flow_log;
mod fragment;
mod gateway;
mod inbound;
mod judge;
mod limit;
mod memo;
mod memory;
mod outbound;
mod outbox;
mod port;
mod router;
mod ruling;
mod service;
mod shared;
mod span;
mod step;
mod translate;
mod tunnels;
mod uplink;
mod waiting;
mod watch;
mod worker;

pub use counters::{Counters, Traffic};
pub use describe::describe;
pub use dhcp::DhcpSettings;
pub use entitled::Entitled;
pub use flow_log::{Evidence, FlowId, FlowRecord, Line, LogSubject, Logged, Passage, Records, Taken};
pub use fragment::{DATAGRAMS_MAX, DATAGRAMS_PER_PORT, HELD_BYTES_PER_PORT, HELD_PER_DATAGRAM, LIFE as FRAGMENT_LIFE};
pub use inbound::HEADROOM;
pub use limit::{ANSWERS_AT_ONCE, ANSWERS_PER_SECOND};
pub use memory::Memory;
pub use outbox::{Datagrams, super_frame_max};
pub use port::{Binding, MTU_MIN, PORTS_MAX, Port, PortId, Ports, ROUTER_LINK_LOCAL, router_mac};
pub use router::dhcpv4::LEASE_SECS as DHCPV4_LEASE_SECS;
pub use router::dhcpv6::PREFERRED_SECS as DHCPV6_PREFERRED_SECS;
pub use router::ndp::ADVERTISEMENT_INTERVAL;
pub use router::{METADATA_V4, METADATA_V6, RESOLVER_V4, RESOLVER_V6, TIME_V4, TIME_V6};
pub use service::{Asker, DATAGRAM_MAX, DNS_PORT, Late, METADATA_PORT, Served, Services};
pub use shared::{Config, Shared, StrayDatagrams};
pub use tunnels::Tunnels;
pub use uplink::UPLINK_MAC;
pub use waiting::Want;
pub use watch::{Fate, Seen, WATCHES_MAX, Watch, WatchId};
pub use worker::{Action, Transmit, Wake, Worker};
