//! What does a VPC's resolver answer?
//!
//! A pure brain: a question's bytes and the asker's VPC in, an answer, a question for somebody else or silence out. It reads the same
//! slice that packets are judged by, so that it answers with the control plane dead. Names are those of spec ch. 9:
//!
//! ```text
//!   bytes ─▶ message: is it one question?                     FORMERR NOTIMP BADVERS REFUSED, or silence
//!        ─▶ the VPC's View: enableDnsSupport off              silence
//!        ─▶ the most specific of
//!             a private hosted zone of the VPC (9.6)          its records, its NXDOMAIN
//!             the cloud's own names (9.2-9.5)                 addresses, split by who asks
//!             reverse names of private addresses              PTR, NXDOMAIN
//!        ─▶ what an alias leads to, again, a few times
//!        ─▶ any other name: [`Answer::Ask`] somebody, if there is anybody, else REFUSED
//! ```
//!
//! What is learned from elsewhere is believed as far as it answers the question ([`hear`]) and kept per VPC ([`Cache`]): what one VPC
//! caused is never seen by another. What was answered lately is said again without a look ([`Recent`]). Messages are read and written by
//! hickory-proto.

mod answer;
mod cache;
#[doc(hidden)]
pub mod fuzz;
mod key;
mod message;
mod recent;
mod resolver;
mod upstream;
mod view;
mod zone;

pub use answer::{Answer, Ask};
pub use cache::{Cache, ENTRIES_MAX};
pub use message::{MESSAGE_MAX, Transport, UDP_MAX};
pub use recent::Recent;
pub use resolver::Resolver;
pub use upstream::{Learned, TTL_MAX, Word, hear, request};
pub use zone::TTL;
