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
mod links;
mod renew;
mod restart;
mod watch;
mod world;
