//! Route 53's requests: read on the published Worlds, written through the home region's queue.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use control::route53::{Question, Worlds, handle};
pub(crate) use ec2::route53::Reply;
use ec2::route53::Request;
use ec2::service::Service;
use ec2::signature::Signed;
use ec2::{Caller, Error};
use model::World;

use crate::audit::Trail;
use crate::region::{Answer, Work, internal, machine_time, seed};
use crate::{Cloud, api, http};

/// The answer, counted by its action.
pub(crate) async fn answer(cloud: &Cloud, signed: &Signed<'_>, trail: &mut Trail) -> Result<Reply, Error> {
    let began = Instant::now();
    let request = Request::parse(signed.method, signed.path, signed.query, signed.body);
    let action = request.as_ref().map_or("", Request::name);
    trail.action = action.to_owned();
    let result = match http::identify(cloud, signed, Service::Route53, trail) {
        Ok(who) => match request {
            Ok(request) => respond(cloud, &who.caller, request).await,
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    let code = result.as_ref().err().map_or("ok", |error| &error.code);
    tracing::debug!(action, code, request_id = trail.request_id, "request");
    cloud.meters.request(Service::Route53, action, result.as_ref().err(), began.elapsed());
    result
}

async fn respond(cloud: &Cloud, caller: &Caller, request: Request) -> Result<Reply, Error> {
    let home = cloud.home();
    let worlds: BTreeMap<_, Arc<World>> =
        cloud.regions.iter().map(|(region, shell)| (*region, shell.world())).collect();
    if request.is_read() {
        return ask(&home.world(), &worlds, &home.config, caller, request).map(|(reply, _)| reply);
    }
    let caller = caller.clone();
    let work: Work = Box::new(move |world, config| {
        let (reply, changes) = ask(world, &worlds, config, &caller, request.clone())?;
        Ok((Answer::Route53(Box::new(reply)), changes))
    });
    match api::write(cloud, home.config.region, work).await? {
        Answer::Route53(reply) => Ok(*reply),
        other => Err(internal(&format!("a request to Route 53 was answered with {other:?}"))),
    }
}

fn ask(
    home: &World,
    worlds: &Worlds,
    config: &control::Config,
    caller: &Caller,
    request: Request,
) -> Result<(Reply, Vec<model::Change>), Error> {
    let question = Question { home, worlds, config, caller, seed: seed()?, machine: machine_time() };
    handle(&question, request)
}
