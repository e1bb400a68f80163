//! Who asks: the claim of a request, checked against keys (spec 1.5).
//!
//! Without `--strict-auth` an access key of 12 digits is that account, whatever its secret: the habit of AWS emulators. Real
//! keys are always checked.

use ec2::Caller;
use ec2::service::Service;
use ec2::signature::{AuthError, Claim, Signed};
use model::Region;
use model::credential::AccessKey;

use crate::Cloud;
use crate::region::machine_time;

/// A request that may be handled.
pub(crate) struct Authenticated {
    pub(crate) caller: Caller,
    pub(crate) service: Service,
    pub(crate) region: Region,
}

/// The service that a request is for, even if it is refused; its errors are written that service's way.
pub(crate) fn service_of(request: &Signed<'_>) -> Service {
    let claimed = Claim::read(request).ok().and_then(|claim| Service::by_name(&claim.service));
    claimed.unwrap_or(Service::Ec2)
}

pub(crate) fn authenticate(cloud: &Cloud, request: &Signed<'_>) -> Result<Authenticated, AuthError> {
    let claim = Claim::read(request)?;
    let service = Service::by_name(&claim.service).ok_or_else(|| {
        AuthError::Scope(format!(
            "Credential should be scoped to correct service: '{}' is none of ec2, sts, peerway",
            claim.service
        ))
    })?;
    let region = region_of(cloud, &claim, service)?;
    let caller = match claim.access_key.parse() {
        Ok(account) if !cloud.options.strict_auth => Caller::root(account),
        _ => caller_of_key(cloud, request, &claim)?,
    };
    Ok(Authenticated { caller, service, region })
}

/// STS and Peerway's own service are global: the home region answers, whatever the scope says.
fn region_of(cloud: &Cloud, claim: &Claim, service: Service) -> Result<Region, AuthError> {
    if service != Service::Ec2 {
        return Ok(cloud.home().config.region);
    }
    let known = claim.region.parse().ok().filter(|region| cloud.regions.contains_key(region));
    known.ok_or_else(|| {
        let regions: Vec<_> = cloud.regions.keys().map(ToString::to_string).collect();
        AuthError::Scope(format!(
            "Credential should be scoped to a valid region: '{}' is none of {}",
            claim.region,
            regions.join(", ")
        ))
    })
}

fn caller_of_key(cloud: &Cloud, request: &Signed<'_>, claim: &Claim) -> Result<Caller, AuthError> {
    let home = cloud.home().world();
    let key = home.access_keys.get(&claim.access_key).ok_or(AuthError::Refused)?;
    claim.verify(request, &key.secret.0, machine_time())?;
    match (&key.session, &claim.token) {
        (None, None) => Ok(Caller::root(key.account)),
        (Some(session), Some(token)) if session.token.0 == *token => {
            if home.now(machine_time()) > session.expires {
                return Err(AuthError::SessionEnded(format!(
                    "The session ended at {}; assume the role again",
                    session.expires
                )));
            }
            Ok(session_caller(key, session))
        }
        _ => Err(AuthError::Refused),
    }
}

fn session_caller(key: &AccessKey, session: &model::credential::Session) -> Caller {
    Caller {
        account: key.account,
        arn: format!("arn:aws:sts::{}:assumed-role/{}/{}", key.account, session.role, session.name),
        user_id: format!("{}:{}", control::sts::role_id(key.account, &session.role), session.name),
    }
}
