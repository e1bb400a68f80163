//! `peerway up` as its users have it: the built binary, its API, packets inside its instances only.

mod capture;
#[path = "../common/mod.rs"]
mod common;
mod crash;
mod drops;
mod flow_logs;
mod frames;
mod guests;
mod lifecycle;
mod links;
mod refusals;
mod strict;
mod unprivileged;
mod ways;
