//! `peerway up` as its users have it: the built binary, its API, packets inside its instances only.

mod accounts;
mod api_port;
mod capture;
#[path = "../common/mod.rs"]
mod common;
mod crash;
mod dhcp;
mod dns;
mod drops;
mod egress_only;
mod flow_logs;
mod frames;
mod guests;
mod interfaces;
mod internet;
mod keeping;
mod lifecycle;
mod links;
mod metadata;
mod names;
mod nat;
mod refusals;
mod strict;
mod unprivileged;
mod ways;
