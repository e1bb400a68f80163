//! Questions to the analyser: compiling and asking is work for a thread of its own, on Worlds that nobody waits for.

use ec2::reach::ExplainReachability;
use ec2::service::PeerwayReply;
use ec2::{Caller, Error};
use tokio::sync::Semaphore;

use crate::region::{internal, machine_time, seed};
use crate::{Carriers, Cloud};

/// Questions that are answered at once; others wait their turn.
static PLACES: Semaphore = Semaphore::const_new(4);

pub(crate) async fn explain(
    cloud: &Cloud,
    caller: &Caller,
    request: ExplainReachability,
) -> Result<PeerwayReply, Error> {
    let _place = PLACES.acquire().await.map_err(|_| internal("the analyser is closed"))?;
    let carriers = (cloud.options.carriers == Carriers::Joined).then(|| cloud.carriers());
    let regions = cloud.regions.iter().map(|(region, shell)| {
        let hosts = carriers.clone().unwrap_or_else(|| shell.config.hosts.clone());
        (*region, ((*shell.world()).clone(), control::Config { hosts, ..shell.config.clone() }))
    });
    let (regions, caller) = (regions.collect(), caller.clone());
    let (seed, now) = (seed()?, machine_time());
    let work = move || control::reach::explain(&regions, &caller, &request, seed, now);
    let answered = tokio::task::spawn_blocking(work).await;
    let result = answered.map_err(|_| internal("a question to the analyser ended in a panic"))??;
    Ok(PeerwayReply::ExplainReachability(result))
}
