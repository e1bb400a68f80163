//! `peerway up` as its users have it: the built binary, its API, packets inside its instances only.

mod capture;
#[path = "../common/mod.rs"]
mod common;
mod crash;
mod flow_logs;
mod guests;
mod lifecycle;
mod links;
mod refusals;
mod strict;
mod unprivileged;
