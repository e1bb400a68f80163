//! Carries messages between the regions of this process: at least once, in order, each until it is delivered.
//!
//! The receiving World is committed first and the sender's entries are deleted after; a crash between the two delivers again,
//! which changes nothing (`control::federation`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use control::federation::ENTRIES_MAX;
use model::federation::{Message, Mirror, OutboxEntry};
use model::{PeeringId, Region, World};
use tokio::task::JoinSet;

use crate::Cloud;
use crate::region::{Answer, Committed, Work, machine_time};

/// How long to leave a region in peace whose delivery failed.
const PAUSE: Duration = Duration::from_millis(200);

/// One carrier for each region's outbox, until the server stops.
pub(crate) async fn run(cloud: Arc<Cloud>) {
    let mut carriers = JoinSet::new();
    for region in cloud.regions.keys().copied() {
        carriers.spawn(carry(cloud.clone(), region));
    }
    while carriers.join_next().await.is_some() {}
}

async fn carry(cloud: Arc<Cloud>, from: Region) {
    let shell = &cloud.regions[&from];
    let mut news = shell.watch_abroad();
    // What each peering's other region was last told of where things are; told anew after a start.
    let mut told = BTreeMap::new();
    loop {
        news.mark_unchanged();
        let world = shell.world();
        // Where things are goes before what makes a peering active: the first packet finds its way.
        let mut is_well = tell_mirrors(&cloud, from, &world, &mut told).await;
        for (to, entries) in control::federation::outbox(&world, from, ENTRIES_MAX) {
            is_well &= deliver(&cloud, from, to, entries).await;
        }
        if !is_well {
            tokio::time::sleep(PAUSE).await;
        } else if news.changed().await.is_err() {
            return;
        }
    }
}

/// Delivers entries in their order and deletes them; `false`: to be tried again.
async fn deliver(cloud: &Cloud, from: Region, to: Region, entries: Vec<Arc<OutboxEntry>>) -> bool {
    let messages = entries.iter().map(|entry| entry.message.clone()).collect();
    if !receive(cloud, from, to, messages).await {
        return false;
    }
    let work: Work = Box::new(move |world, _| Ok((Answer::Nothing, control::federation::delivered(world, &entries))));
    is_done(cloud.regions[&from].write(work).await, from)
}

/// Tells the mirrors that differ from what was told last.
async fn tell_mirrors(cloud: &Cloud, from: Region, world: &World, told: &mut BTreeMap<PeeringId, Mirror>) -> bool {
    let mut is_well = true;
    let mirrors = control::federation::mirrors(world, from);
    told.retain(|peering, _| {
        mirrors.iter().any(|(_, message)| matches!(message, Message::Mirror { peering: live, .. } if live == peering))
    });
    for (to, message) in mirrors {
        let Message::Mirror { peering, mirror } = &message else { continue };
        if told.get(peering).is_some_and(|before| before.says_the_same(mirror)) {
            continue;
        }
        let (peering, mirror) = (*peering, mirror.clone());
        if receive(cloud, from, to, vec![message]).await {
            told.insert(peering, mirror);
        } else {
            is_well = false;
        }
    }
    is_well
}

async fn receive(cloud: &Cloud, from: Region, to: Region, messages: Vec<Message>) -> bool {
    // A region that this cloud does not have never answers: the request stays as it is until it expires.
    let Some(shell) = cloud.regions.get(&to) else { return true };
    let work: Work = Box::new(move |world, config| {
        Ok((Answer::Nothing, control::federation::receive(world, config, from, &messages, machine_time())))
    });
    is_done(shell.write(work).await, to)
}

fn is_done(result: Committed, region: Region) -> bool {
    result
        .inspect_err(|error| tracing::warn!(%region, code = %error.code, message = error.message, "a message waits"))
        .is_ok()
}
