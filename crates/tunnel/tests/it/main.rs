//! Two hosts: their packets, the life of their keys, and what a hostile network and a hostile host can do.

mod hostile_host;
mod hostile_network;
mod life;
mod packets;
mod world;
