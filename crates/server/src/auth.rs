//! Who asks: the claim of a request, checked against keys (spec 1.5).
//!
//! Without `--strict-auth` an access key of 12 digits is that account, whatever its secret: the habit of AWS emulators. Not in a
//! presigned query, which any page's link or image could be: only a program puts an `Authorization` header there. Real keys are always
//! checked.

use ec2::Caller;
use ec2::service::Service;
use ec2::signature::{AuthError, Claim, Signed, is_same};
use model::Region;
use model::credential::AccessKey;

use crate::Cloud;
use crate::region::machine_time;

/// A request that may be handled.
pub(crate) struct Authenticated {
    pub(crate) caller: Caller,
    pub(crate) service: Service,
    pub(crate) region: Region,
    pub(crate) access_key: String,
    /// By temporary credentials.
    pub(crate) is_session: bool,
    /// By a signature; else an account was taken at its word.
    pub(crate) is_proven: bool,
}

/// The service that a request is for, even if it is refused; its errors are written that service's way.
pub(crate) fn service_of(request: &Signed<'_>) -> Service {
    let claimed = Claim::read(request).ok().and_then(|claim| Service::by_name(&claim.service));
    // Who names the operation in that header reads JSON, whichever service it thinks that this is.
    let speaks_json = request.headers.iter().any(|(name, _)| name == "x-amz-target");
    claimed.unwrap_or(if speaks_json { Service::Ssm } else { Service::Ec2 })
}

pub(crate) fn authenticate(cloud: &Cloud, request: &Signed<'_>) -> Result<Authenticated, AuthError> {
    let claim = Claim::read(request)?;
    let service = Service::by_name(&claim.service).ok_or_else(|| {
        AuthError::Scope(format!(
            "Credential should be scoped to correct service: '{}' is none of {}",
            claim.service,
            Service::ALL.map(Service::name).join(", ")
        ))
    })?;
    let region = region_of(cloud, &claim, service)?;
    let is_lenient = !cloud.options.strict_auth && !claim.is_presigned();
    let ((caller, is_session), is_proven) = match claim.access_key.parse() {
        Ok(account) if is_lenient => ((Caller::root(account), false), false),
        _ => (caller_of_key(cloud, request, &claim)?, true),
    };
    Ok(Authenticated { caller, service, region, access_key: claim.access_key, is_session, is_proven })
}

/// What is not regional is global: the home region answers, whatever the scope says.
fn region_of(cloud: &Cloud, claim: &Claim, service: Service) -> Result<Region, AuthError> {
    if !service.is_regional() {
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

/// And whether by temporary credentials.
fn caller_of_key(cloud: &Cloud, request: &Signed<'_>, claim: &Claim) -> Result<(Caller, bool), AuthError> {
    let home = cloud.home().world();
    let key = home.access_keys.get(&claim.access_key).filter(|key| !key.is_disabled).ok_or(AuthError::Refused)?;
    claim.verify(request, &key.secret.0, machine_time())?;
    match (&key.session, &claim.token) {
        (None, None) => Ok((Caller::root(key.account), false)),
        (Some(session), Some(token)) if is_same(&session.token.0, token) => {
            if home.now(machine_time()) > session.expires {
                return Err(AuthError::SessionEnded(format!(
                    "The session ended at {}; assume the role again",
                    session.expires
                )));
            }
            Ok((session_caller(key, session), true))
        }
        _ => Err(AuthError::Refused),
    }
}

fn session_caller(key: &AccessKey, session: &model::credential::Session) -> Caller {
    let Some(role) = &session.role else { return Caller::root(key.account) };
    Caller {
        account: key.account,
        arn: format!("arn:aws:sts::{}:assumed-role/{role}/{}", key.account, session.name),
        user_id: format!("{}:{}", control::sts::role_id(key.account, role), session.name),
    }
}
