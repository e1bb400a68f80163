//! From an authenticated request to its answer: reads on the published World, writes through the region's queue.

use ec2::service::{
    AccountAliases, HostStatus, IamReply, IamRequest, PeerwayReply, PeerwayRequest, RegionStatus, Service,
    StatusResult, StsReply, StsRequest,
};
use ec2::shapes::instance_option::GetConsoleOutputResponse;
use ec2::value::Base64;
use ec2::{Action, Caller, Error, Node, Reply, Request};
use model::federation::Clock;
use model::{Change, Duration, Region, World};

use crate::auth::Authenticated;
use crate::region::{Answer, Work, machine_time, seed};
use crate::{Carriers, Cloud, accounts, backup, key, members, reach, rotation};

/// The response document.
pub(crate) async fn answer(cloud: &Cloud, who: Authenticated, form: &Node, request_id: &str) -> Result<String, Error> {
    match who.service {
        Service::Ec2 => ec2(cloud, who, form, request_id).await,
        Service::Sts => sts(cloud, &who, form, request_id).await,
        Service::Peerway => peerway(cloud, &who, form, request_id).await,
        Service::Route53 => Err(crate::region::internal("a request in REST was taken for a form")),
        Service::Iam => match IamRequest::parse(form)? {
            IamRequest::ListAccountAliases(_) => {
                let none = AccountAliases { account_aliases: Vec::new(), is_truncated: false };
                Ok(IamReply::ListAccountAliases(none).render(request_id))
            }
        },
        Service::Ssm | Service::Logs => Err(crate::region::internal("a request in JSON was read as a form")),
    }
}

async fn ec2(cloud: &Cloud, who: Authenticated, form: &Node, request_id: &str) -> Result<String, Error> {
    let request = Request::parse(form)?;
    unknown(cloud, &who, &request)?;
    let shell = &cloud.regions[&who.region];
    if !request.dry_run && control::is_first_use(&shell.world(), &shell.config, who.caller.account) {
        first_use(cloud, who.region, &who.caller).await?;
    }
    // Reads change nothing, so any World that holds all that was acknowledged will do.
    let name = request.action.name();
    if name.starts_with("Describe") || name.starts_with("Get") || request.dry_run {
        let outcome = control::handle(&shell.world(), &who.caller, request, &shell.config, seed()?, machine_time())?;
        let mut reply = outcome.reply;
        if let Reply::GetConsoleOutput(reply) = &mut reply {
            console_output(cloud, &shell.world(), reply).await;
        }
        return Ok(reply.render(request_id));
    }
    let caller = who.caller;
    let new_key = match &request.action {
        Action::CreateKeyPair(asked) => key::make(asked.key_type.as_deref()).await?,
        _ => None,
    };
    // Who joined changes while the server runs.
    let is_placed = matches!(name, "RunInstances" | "CreateNatGateway");
    let hosts = (cloud.options.carriers == Carriers::Joined && is_placed).then(|| cloud.carriers());
    let work: Work = Box::new(move |world, config| {
        let is_special = hosts.is_some() || new_key.is_some();
        let of_now = is_special.then(|| control::Config {
            hosts: hosts.clone().unwrap_or_else(|| config.hosts.clone()),
            new_key: new_key.clone(),
            ..config.clone()
        });
        let config = of_now.as_ref().unwrap_or(config);
        let outcome = control::handle(world, &caller, request.clone(), config, seed()?, machine_time())?;
        Ok((Answer::Ec2(Box::new(outcome.reply)), outcome.changes))
    });
    match write(cloud, who.region, work).await? {
        Answer::Ec2(reply) => Ok(reply.render(request_id)),
        other => Err(crate::region::internal(&format!("an EC2 request was answered with {other:?}"))),
    }
}

/// Parameters that nobody knows are most likely misspelt, so whoever runs the cloud can read of them or have them refused.
fn unknown(cloud: &Cloud, who: &Authenticated, request: &Request) -> Result<(), Error> {
    let Some(first) = request.unknown.first() else { return Ok(()) };
    if cloud.options.strict {
        return Err(ec2::parameters::refuse_unknown(first));
    }
    let (account, action, parameters) = (who.caller.account, request.action.name(), request.unknown.join(", "));
    tracing::info!(%account, action, parameters, "unknown parameters were ignored");
    Ok(())
}

/// What an account finds when it comes here for the first time.
async fn first_use(cloud: &Cloud, region: Region, caller: &Caller) -> Result<(), Error> {
    let caller = caller.clone();
    let work: Work = Box::new(move |world, config| {
        Ok((Answer::Nothing, control::first_use(world, &caller, config, seed()?, machine_time())))
    });
    cloud.regions[&region].write(work).await.map(drop)
}

/// Puts in what the instance's console said, if a host carries it and answers.
async fn console_output(cloud: &Cloud, world: &World, reply: &mut GetConsoleOutputResponse) {
    let instance = world.instances.get(&reply.instance_id);
    let Some(host) = instance.and_then(|instance| instance.host) else { return };
    if let Some(console) = cloud.hosts.console(host, reply.instance_id).await {
        reply.timestamp = console.written;
        reply.output = Some(Base64(console.output));
    }
}

/// Commits, and waits for the hosts to have it in force.
pub(crate) async fn write(cloud: &Cloud, region: Region, work: Work) -> Result<Answer, Error> {
    let (answer, revision) = cloud.regions[&region].write(work).await?;
    let committed = std::time::Instant::now();
    let is_in_force = cloud.hosts.wait(region, revision, cloud.options.wait).await;
    cloud.meters.converged(is_in_force, committed.elapsed());
    Ok(answer)
}

async fn sts(cloud: &Cloud, who: &Authenticated, form: &Node, request_id: &str) -> Result<String, Error> {
    let (caller, is_session) = (&who.caller, who.is_session);
    let reply = match StsRequest::parse(form)? {
        StsRequest::GetCallerIdentity(_) => StsReply::GetCallerIdentity(control::sts::caller_identity(caller)),
        StsRequest::AssumeRole(request) => {
            let (caller, is_open) = (caller.clone(), !cloud.options.strict_auth);
            let work: Work = Box::new(move |world, _| {
                let (reply, changes) =
                    control::sts::assume_role(world, &caller, &request, is_open, seed()?, machine_time())?;
                Ok((Answer::Sts(Box::new(StsReply::AssumeRole(reply))), changes))
            });
            match cloud.home().write(work).await?.0 {
                Answer::Sts(reply) => *reply,
                other => return Err(crate::region::internal(&format!("an STS request was answered with {other:?}"))),
            }
        }
        StsRequest::GetSessionToken(request) => {
            let caller = caller.clone();
            let work: Work = Box::new(move |world, _| {
                let (reply, changes) =
                    control::sts::session_token(world, &caller, is_session, &request, seed()?, machine_time())?;
                Ok((Answer::Sts(Box::new(StsReply::GetSessionToken(reply))), changes))
            });
            match cloud.home().write(work).await?.0 {
                Answer::Sts(reply) => *reply,
                other => return Err(crate::region::internal(&format!("an STS request was answered with {other:?}"))),
            }
        }
    };
    Ok(reply.render(request_id))
}

async fn peerway(cloud: &Cloud, who: &Authenticated, form: &Node, request_id: &str) -> Result<String, Error> {
    let (caller, request) = (&who.caller, PeerwayRequest::parse(form)?);
    if let Some(answered) = accounts::answer(cloud, who, &request).await {
        return Ok(answered?.render(request_id));
    }
    let reply = match request {
        PeerwayRequest::AdvanceClock(request) => advance_clock(cloud, request.seconds).await?,
        PeerwayRequest::CreateJoinToken(request) => members::create_token(cloud, caller, request).await?,
        PeerwayRequest::DescribeHosts(_) => members::describe(cloud, caller)?,
        PeerwayRequest::RevokeHost(request) => members::revoke(cloud, caller, request).await?,
        PeerwayRequest::RotateAuthority(_) => rotation::rotate(cloud, caller).await?,
        PeerwayRequest::DescribeAuthority(_) => rotation::describe(cloud, caller)?,
        PeerwayRequest::DescribeStatus(_) => PeerwayReply::DescribeStatus(status(cloud)),
        PeerwayRequest::CreateBackup(_) => backup::create(cloud, caller).await?,
        PeerwayRequest::ExplainReachability(request) => reach::explain(cloud, caller, request).await?,
        other => return Err(crate::region::internal(&format!("nobody answers {}", other.name()))),
    };
    Ok(reply.render(request_id))
}

/// Moves the clock of every World; signatures keep the machine's time.
async fn advance_clock(cloud: &Cloud, seconds: i32) -> Result<PeerwayReply, Error> {
    if !cloud.options.allow_clock {
        return Err(Error::new(
            "UnsupportedOperation",
            "The clock is real here; start with --allow-clock to move it in tests",
        ));
    }
    if seconds <= 0 {
        return Err(Error::invalid_parameter("Seconds", seconds, "The clock only moves forward."));
    }
    for region in cloud.regions.keys() {
        let work: Work = Box::new(move |world, config| {
            let ahead_ms =
                world.clock.get(&0).copied_or_default().ahead_ms + Duration::seconds(i64::from(seconds)).as_millis();
            let clock = Change::put(Clock { ahead_ms });
            let later = world.apply([&clock]);
            let mut changes = vec![clock];
            changes.extend(control::tick(&later, config, machine_time()));
            Ok((Answer::Nothing, changes))
        });
        write(cloud, *region, work).await?;
    }
    let now = cloud.home().world().now(machine_time());
    Ok(PeerwayReply::AdvanceClock(ec2::service::ClockResult { now }))
}

trait CopiedOrDefault<T> {
    fn copied_or_default(self) -> T;
}

impl<T: Copy + Default> CopiedOrDefault<T> for Option<&std::sync::Arc<T>> {
    fn copied_or_default(self) -> T {
        self.map(|value| **value).unwrap_or_default()
    }
}

fn status(cloud: &Cloud) -> StatusResult {
    let worlds: Vec<_> = cloud.regions.iter().map(|(region, shell)| (*region, shell.world())).collect();
    let revisions = worlds.iter().map(|(region, world)| (*region, world.revision)).collect();
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let regions = worlds.iter().map(|(region, world)| RegionStatus {
        region: *region,
        revision: world.revision,
        vpcs: count(world.vpcs.size()),
        peerings: count(world.peerings.size()),
        instances: count(world.instances.size()),
    });
    let connected = cloud.hosts.status(&revisions);
    let hosts = cloud.known_hosts().into_iter().map(|host| {
        let found = connected.iter().find(|(connected, _)| *connected == host);
        HostStatus {
            host: host.to_string(),
            connected: found.is_some(),
            in_force: found.is_some_and(|(_, in_force)| *in_force),
        }
    });
    StatusResult { regions: regions.collect(), hosts: hosts.collect() }
}
