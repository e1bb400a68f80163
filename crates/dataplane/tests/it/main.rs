//! The data plane of one host, in memory: real frames in, real frames out.

mod abuse;
mod answers;
mod cache;
mod corpus;
mod flow_log;
mod forward;
mod fragments;
mod hostile_guests;
mod hostile_links;
mod internet;
mod links;
mod nat;
mod nat_restart;
mod renew;
mod restart;
mod services;
mod uplink;
mod watch;
mod world;
