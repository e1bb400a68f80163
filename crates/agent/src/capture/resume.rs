//! Captures that a predecessor began: watched from before this process carries its first packet, written from where the predecessor came to.
//!
//! In between frames wait in the capture's queue, as they do for a slow client: what finds no room is counted and told.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use super::output::Output;
use super::slots::LeftCapture;
use super::{CaptureOrder, CaptureTarget, Tap, Watched, ended, of_interface, watch};
use crate::handover::Rest;
use crate::{Shared, desk};

/// As the predecessor announced it.
#[derive(Debug)]
pub(crate) struct AnnouncedCapture {
    pub(crate) number: u64,
    pub(crate) order: CaptureOrder,
    pub(crate) client: UnixStream,
}

/// A capture that sees packets and waits for its turn to write.
pub(crate) struct WaitingCapture {
    announced: AnnouncedCapture,
    watched: Watched,
}

/// Watches for what was announced. To be called before the first packet; what cannot be watched ends, which its client sees.
pub(crate) fn expect(shared: &Shared, announced: Vec<AnnouncedCapture>) -> Vec<WaitingCapture> {
    let waiting = announced.into_iter().filter_map(|announced| match announced.order.target {
        CaptureTarget::Interface(interface) => Some(WaitingCapture { watched: watch(shared, interface)?, announced }),
        CaptureTarget::Underlay => None,
    });
    waiting.collect()
}

/// Goes on with each when the predecessor says how far it came, until it says no more.
pub(crate) fn go_on(shared: &Arc<Shared>, waiting: Vec<WaitingCapture>, rest: &Rest) {
    let mut waiting: BTreeMap<u64, WaitingCapture> =
        waiting.into_iter().map(|waiting| (waiting.announced.number, waiting)).collect();
    while !waiting.is_empty()
        && let Some(left) = rest.next()
    {
        let Some(capture) = waiting.remove(&left.number) else { continue };
        let shared = shared.clone();
        let work = move || follow(&shared, capture, &left);
        let _ = std::thread::Builder::new().name("conversation".into()).spawn(work);
    }
    for WaitingCapture { watched, announced } in waiting.into_values() {
        tracing::warn!(target = ?announced.order.target, "a capture was not handed over, and ends");
        shared.force.plane.unwatch(watched.watch);
    }
}

fn follow(shared: &Shared, capture: WaitingCapture, left: &LeftCapture) {
    let WaitingCapture { announced: AnnouncedCapture { order, mut client, .. }, watched } = capture;
    let tap = Tap { shared, watched };
    let result = write(shared, &tap, &order, &client, left);
    if let Some(summary) = ended(&client, result).transpose() {
        let _ = desk::say(&mut client, &desk::captured(summary));
    }
}

fn write(
    shared: &Shared,
    tap: &Tap<'_>,
    order: &CaptureOrder,
    client: &UnixStream,
    left: &LeftCapture,
) -> io::Result<Option<super::CaptureSummary>> {
    // The predecessor's patience with its client was its own.
    client.set_write_timeout(None)?;
    let slot = shared.captures.take()?;
    slot.announce(order, client)?;
    of_interface(tap, &mut Output::resumed(order, client, left), &slot)
}
