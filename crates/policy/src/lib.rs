//! May this packet pass, and why?
//!
//! The one law, asked by the data plane for packets and by the analyser for questions (spec ch. 11, with 4.5, 5.8-5.11, 6, 7).
//!
//! ```text
//!  sending side                                                    receiving side
//!  Conntrack::lookup                                               Conntrack::lookup
//!        │ seen                                                          │ seen
//!        ▼                                                               ▼
//!     egress ── interface, source check, groups, ACL, route, peering ─▶ ingress ── claim, ACL, interface, dest check, groups ─▶ Admit
//!        │ Next { interface, host, origin, track }                       │ Admit { track }
//!        ▼                                                               ▼
//!  Conntrack::commit (D06)                                         Conntrack::commit (D06)
//! ```
//!
//! A packet through an Internet gateway is [translated](Translation) between the two: [`Next::translation`] at the sender's,
//! [`Tables::enter`] at the receiver's.
//!
//! [`egress`] and [`ingress`] change nothing and allocate nothing; [`Conntrack`] is the only state. A tracked flow skips the
//! security groups and nothing else: routes, peerings and network ACLs judge every packet.
#![no_std]
extern crate alloc;

mod acl;
mod arrive;
mod conntrack;
mod denied;
pub mod flow;
mod group;
pub mod internet;
mod leave;
mod lifetime;
mod nat;
pub mod outside;
mod record;
mod route;
mod tables;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod trail;
mod translation;
mod verdict;

pub use arrive::ingress;
pub use conntrack::{Conntrack, Life, Limits, Lives, Restored, Stray, Ticket};
pub use denied::{Denied, NatCause, NotApplicable, Reason};
pub use flow::{Flow, FlowKey, IcmpClass, L4, TcpFlags};
pub use internet::{Internet, OnInternet};
pub use leave::egress;
pub use lifetime::{OwnTimeouts, Timeouts};
pub use model::Scope;
pub use nat::{NAT_PORTS, NAT_RECORD_LAYOUT, NatLimits, NatTable};
pub use outside::Outside;
pub use record::{Mirror, RECORD_LAYOUT, RECORD_WORDS};
pub use tables::{Owner, Tables};
pub use trail::{RouteState, RuleRef, Step, Trail};
pub use translation::Translation;
pub use verdict::{Admit, L2, Next, Origin, Track, Tracked};
