//! Two hosts: their packets, the life of their keys, and what a hostile network and a hostile host can do.

mod handover;
mod hostile_host;
mod hostile_network;
mod life;
mod packets;
mod restart;
mod world;
