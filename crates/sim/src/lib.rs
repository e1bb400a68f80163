//! Do packets and model agree? The whole law in one thread from one seed.
//!
//! Two voices, and nothing in common between them:
//!
//! ```text
//!   seed ─▶ generate ─▶ Scene (Worlds) ──────────────────────────────▶ reference: the spec's sentences, read aloud ─▶ Outcome
//!              │           └─▶ control::plan ─▶ policy::Tables ─▶ dataplane::Worker ◀─ frame                            ║ equal?
//!              └─▶ Sent packets, time, changes ───────────────────────────────┴────────▶ Action ─▶ Outcome ═════════════╝
//! ```
//!
//! The third voice is crate `reach` ([`analyser`]), which explains packets to people: it must say of each what the other two say.
//!
//! [`reference`] reads the configuration, never the tables, and shares no code with `policy` or `dataplane`: linear scans, everything
//! computed again for each packet. Where the spec says nothing, its module doc says what is assumed. [`generate`] makes worlds that the
//! API could have made, and packets and changes that are likely to hurt. [`compare`] feeds frames to the real data plane and holds each
//! outcome against the reference; a mismatch names its seed and step. [`slices`] holds each host's part against the whole.
//!
//! A third of the worlds is on several hosts ([`plane`]), each of which knows its own intent only; they agree on keys and carry what they
//! seal ([`links`]). The reference knows nothing of hosts, and no verdict and no reason may be another one. What each host believes of who
//! may send what to whom is held against the nouns ([`entitlement`]).
//!
//! [`cloud`] makes its worlds by calls of the API: regions with their stores, messages and time, and hosts that hear of it all.

pub mod analyser;
pub mod cloud;
pub mod compare;
pub mod dice;
pub mod entitlement;
pub mod generate;
pub mod links;
pub mod noun;
pub mod packet;
pub mod plane;
pub mod reference;
pub mod scene;
pub mod slices;
pub mod sweep;
pub mod system;

pub use compare::{Mismatch, Options, Rig, Summary};
pub use reference::{Outcome, Reference};
pub use scene::Scene;
