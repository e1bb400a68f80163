//! Why can't A reach B?
//!
//! Asks the law that judges packets (`policy`), never a second one. Every blocker is found by making the change that mends it on a
//! copy of the configuration, compiling that copy and asking again: so each mending command is proven before it is shown (spec 12.2,
//! decision 0023).
//!
//! ```text
//!  Question ─▶ explain ─▶ Network::walk ─▶ arrives, and the reply comes home ─▶ Answer
//!                ▲              │ Denied
//!                │              ▼
//!           copy, compiled ◀─ remedy: Mend ─▶ Blocker { denied, mends }
//! ```
//!
//! A question about a set ("any source port") is asked once per class of values that no rule tells apart: [`survey`]; one
//! about many addresses once per class of those that nothing tells apart: [`survey_crowd`].
#![no_std]
extern crate alloc;

mod addresses;
mod answer;
mod classes;
mod command;
mod crowd;
mod explain;
mod mend;
mod network;
mod outside;
mod question;
mod remedy;
mod sight;
mod survey;
#[cfg(test)]
mod tests;
mod walk;
mod words;

pub use addresses::Span;
pub use answer::{Answer, Blocker, Cause, Hop, Path, Place, Stage, Way};
pub use command::{Command, commands};
pub use crowd::{Crowd, Receivers, survey_crowd};
pub use explain::{explain, trace};
pub use mend::{Mend, NEW_ADDRESS, NEW_GATEWAY, NEW_PEERING};
pub use network::{Network, Spares};
pub use outside::{OUTSIDE, OUTSIDE_INTERFACE};
pub use question::{Ends, Goal, Question, QuestionError, Traffic};
pub use survey::{CLIENT_PORTS, Case, Kind, Range, Survey, survey};
pub use walk::{Judged, Leg, Memory, Walk};
pub use words::header;
