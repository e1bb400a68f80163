//! From CreateRoute to the first packet through: how long an engineer waits for the network to follow.
//!
//! One instance sends a datagram a millisecond to another in a peered VPC, whose side is complete; the near side's route is
//! deleted and made again and again. What is timed begins before the request is written and ends when the receiving program has
//! the packet, so up to a millisecond of it is the sender's pace.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};

use super::datagrams::{Pace, Watch};
use super::janitor::Janitor;
use super::peer::wait_for_answer;
use super::peerway::{FAR_NETWORK, TwoInstances};

/// How long nothing may pass before the route comes back; well over what the receiver takes for a silence.
pub(super) const QUIET: Duration = Duration::from_millis(50);
pub(super) const READY: Duration = Duration::from_secs(30);

/// Milliseconds from the request's first byte, one of each for each repetition.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// Until the API has answered: written to disk, and in force on the host.
    pub(super) answer: Vec<f64>,
    /// Until the far program has a packet.
    pub(super) packet: Vec<f64>,
}

/// Makes and deletes the route `count` times.
pub(super) fn measure(instances: &TwoInstances, janitor: &Janitor, count: usize) -> Result<Times> {
    wait_for_answer(instances, READY)?;
    let watch = Watch::start(instances, janitor, Pace::OneFlow)?;
    let mut api = instances.client_of_api();
    let table = ("RouteTableId", instances.route_table.as_str());
    let route = [table, ("DestinationCidrBlock", FAR_NETWORK), ("VpcPeeringConnectionId", &instances.peering)];
    watch.first_after(SystemTime::UNIX_EPOCH, Duration::from_secs(5)).context("no packet comes through at all")?;
    let mut times = Times::default();
    for _ in 0..count {
        api.call("DeleteRoute", &route[..2])?;
        std::thread::sleep(QUIET);
        let (asked, started) = (SystemTime::now(), Instant::now());
        api.call("CreateRoute", &route)?;
        times.answer.push(started.elapsed().as_secs_f64() * 1000.0);
        let after = watch.first_after(asked, Duration::from_secs(5)).context("after CreateRoute")?;
        times.packet.push(after.as_secs_f64() * 1000.0);
    }
    Ok(times)
}
