//! Which hosts belong: what the operator asks and says about them, and how one comes in.
//!
//! A host that joined is a record of the home region (kind `host`): its key and where it is. The record is made when its token is
//! spent, and a connection or a session is good only as long as the record has the key that it was opened with. To revoke a host is to
//! delete it.

use ec2::service::{
    CreateJoinToken, HostItem, HostsResult, JoinTokenResult, PeerwayReply, RevokeHost, RevokedHostResult,
};
use ec2::{Caller, Error};
use model::{AccountId, Change, Duration, Entity, Host, HostId, KeyFingerprint, Secret, World};
use stream::NoCertificate;

use crate::authority::{Certificate, TTL_MAX, TokenError};
use crate::region::{Answer, Work, internal, machine_time};
use crate::{Carriers, Cloud};

/// How long a token waits unless told otherwise.
const TTL: Duration = Duration::hours(1);

impl Cloud {
    /// Hosts that may carry new instances: those of this process, or of those that joined the ones that are connected; with none of
    /// these, all that joined, since one of them may be about to come back.
    pub(crate) fn carriers(&self) -> Vec<HostId> {
        let known = self.known_hosts();
        match &self.options.carriers {
            Carriers::Fixed(_) => known,
            Carriers::Joined => {
                let connected = self.hosts.connected();
                let (here, away): (Vec<_>, Vec<_>) = known.into_iter().partition(|host| connected.contains(host));
                if here.is_empty() { away } else { here }
            }
        }
    }

    /// The hosts of this cloud, connected or not.
    pub(crate) fn known_hosts(&self) -> Vec<HostId> {
        match &self.options.carriers {
            Carriers::Fixed(hosts) => hosts.clone(),
            Carriers::Joined => self.home().world().all::<Host>().map(|host| host.id).collect(),
        }
    }
}

/// Whether the host is on record with that key.
pub(crate) fn is_member(world: &World, host: HostId, key: KeyFingerprint) -> bool {
    world.find::<Host>(&host).is_some_and(|record| record.key == key)
}

/// Which other host is said to be there: packets for one would go to the other.
pub(crate) fn occupant(world: &World, place: &Host) -> Option<HostId> {
    world.all::<Host>().find(|other| other.id != place.id && other.underlay.ip() == place.underlay.ip()).map(|o| o.id)
}

/// Writes down a host that spent a token. `is_named`: the token was made for its name, so that it may take it from another key.
pub(crate) async fn admit(
    cloud: &Cloud,
    certificate: &Certificate,
    place: Host,
    is_named: bool,
) -> Result<(), NoCertificate> {
    let host = place.id;
    debug_assert_eq!(place.key, certificate.key);
    let work: Work = Box::new(move |world, _| {
        let is_taken = world.find::<Host>(&host).is_some_and(|record| record.key != place.key);
        if is_taken && !is_named {
            return Err(Error::new(TAKEN, ""));
        }
        if let Some(other) = occupant(world, &place) {
            return Err(Error::new(OCCUPIED, other.to_string()));
        }
        Ok((Answer::Nothing, control::report::place(world, &place)))
    });
    match cloud.home().write(work).await {
        Ok(_) => Ok(()),
        Err(error) if error.code == TAKEN => Err(NoCertificate::Taken(host)),
        Err(error) if error.code == OCCUPIED => Err(NoCertificate::Request(format!(
            "its underlay address is that of host {}; give it its own, or revoke that host",
            error.message
        ))),
        Err(error) => {
            tracing::error!(%host, code = %error.code, message = error.message, "a host was not written down");
            Err(NoCertificate::Unavailable)
        }
    }
}

/// Between the writer and [`admit`] only.
const TAKEN: &str = "Taken";
const OCCUPIED: &str = "Occupied";

/// A join token, shown this once.
pub(crate) async fn create_token(
    cloud: &Cloud,
    caller: &Caller,
    request: CreateJoinToken,
) -> Result<PeerwayReply, Error> {
    for_operator(cloud, caller)?;
    let host = request.host.as_deref().map(|name| parse(name, "Host")).transpose()?;
    let ttl = request.seconds.map_or(TTL, |seconds| Duration::seconds(i64::from(seconds)));
    let (trust, now) = (cloud.trust.clone(), machine_time());
    // It waits for the disk.
    let made = tokio::task::spawn_blocking(move || trust.token(host, ttl, now)).await;
    let token = made.map_err(|_| internal("a token was not made"))?.map_err(|error| match error {
        TokenError::Ttl { .. } => Error::invalid_parameter(
            "Seconds",
            ttl.as_millis() / 1000,
            &format!("Choose 1 to {} seconds.", TTL_MAX.as_millis() / 1000),
        ),
        TokenError::TooMany => Error::new("LimitExceeded", error.to_string()),
        error => {
            tracing::error!(error = %crate::region::chain(&error), "a join token was not made");
            internal("a join token was not made; see the server's log")
        }
    })?;
    tracing::info!(host = host.map(|host| host.to_string()), "made a join token");
    Ok(PeerwayReply::CreateJoinToken(JoinTokenResult { token: Secret(token.reveal()), expires: now + ttl }))
}

/// Every host that joined.
pub(crate) fn describe(cloud: &Cloud, caller: &Caller) -> Result<PeerwayReply, Error> {
    for_operator(cloud, caller)?;
    let connected = cloud.hosts.connected();
    let world = cloud.home().world();
    let hosts = world.all::<Host>().map(|host| HostItem {
        host: host.id.to_string(),
        underlay: host.underlay.to_string(),
        key: host.key.to_string(),
        connected: connected.contains(&host.id),
    });
    Ok(PeerwayReply::DescribeHosts(HostsResult { hosts: hosts.collect() }))
}

/// Deletes a host's record: it is cut off, and no other host has a session with it any more.
pub(crate) async fn revoke(cloud: &Cloud, caller: &Caller, request: RevokeHost) -> Result<PeerwayReply, Error> {
    for_operator(cloud, caller)?;
    let host = parse(&request.host, "Host")?;
    let work: Work = Box::new(move |world, _| match world.find::<Host>(&host) {
        Some(_) => Ok((Answer::Nothing, vec![Change::Delete(Host::key(host))])),
        None => Err(Error::invalid_parameter("Host", host, "No such host has joined; `peerway host list` names them.")),
    });
    let (_, revision) = cloud.home().write(work).await?;
    tracing::warn!(%host, "revoked a host");
    cloud.hosts.wait(cloud.home().config.region, revision, cloud.options.wait).await;
    Ok(PeerwayReply::RevokeHost(RevokedHostResult { host: host.to_string() }))
}

pub(crate) fn for_operator(cloud: &Cloud, caller: &Caller) -> Result<(), Error> {
    if cloud.options.carriers != Carriers::Joined {
        let message = "The hosts of this cloud are part of its process; start `peerway server` for hosts to join";
        return Err(Error::new("UnsupportedOperation", message));
    }
    if caller.account != AccountId::OPERATOR {
        let message = format!("User: {} may not do that; ask with the operator's key", caller.arn);
        return Err(Error::new("AccessDenied", message).with_status(403));
    }
    Ok(())
}

fn parse(name: &str, parameter: &str) -> Result<HostId, Error> {
    let why = "Expected a host's name: up to 63 lower-case letters, digits and hyphens.";
    name.parse().map_err(|_| Error::invalid_parameter(parameter, name, why))
}
