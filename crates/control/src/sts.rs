//! Identities: who am I, sessions of roles, keys of accounts (spec 1.6).

use std::sync::Arc;

use ec2::service::{
    AccessKeyResult, AssumeRole, AssumedRole, AssumedRoleUser, CallerIdentity, Credentials, GetSessionToken,
    SessionResult,
};
use ec2::{Caller, Error};
use model::credential::{AccessKey, Session};
use model::{AccountId, Change, Duration, Role, RoleArn, Secret, Time, World};

use crate::accounts::Asker;
use crate::{Draw, Seed};

const KEY_LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const SECRET_LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Long-term keys of one account, and as many sessions: what others take up of the one leaves the other.
pub const KEYS_PER_ACCOUNT_MAX: usize = 1000;
/// Of a session that a session of a role asked for.
const CHAINED_SECONDS_MAX: i32 = 3600;
const EXTERNAL_ID_LENGTHS: std::ops::RangeInclusive<usize> = 2..=1224;

pub fn caller_identity(caller: &Caller) -> CallerIdentity {
    CallerIdentity { arn: caller.arn.clone(), user_id: caller.user_id.clone(), account: caller.account }
}

/// The id of a role, the same each time.
pub fn role_id(account: AccountId, role: &str) -> String {
    let letters = format!("{account}{role}").bytes().fold(
        (0x1234_5678_9abc_def1_u64, String::from("AROA")),
        |(hash, mut text), byte| {
            let hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            if text.len() < 21 {
                text.push(char::from(KEY_LETTERS[usize::try_from(hash % 32).unwrap_or(0)]));
            }
            (hash, text)
        },
    );
    letters.1
}

/// Temporary credentials of a role. Who may have them is said by the role's own list, if it was written down. A role that was not is
/// there for whoever asks where the cloud takes accounts at their word (`is_open`), else for its own account alone.
///
/// # Errors
/// `ValidationError` for a bad ARN, name or duration; `AccessDenied`, which does not tell why: whether a role was written down, and for
/// whom, is its account's business.
pub fn assume_role(
    world: &World,
    caller: &Caller,
    request: &AssumeRole,
    is_open: bool,
    seed: Seed,
    machine: Time,
) -> Result<(AssumedRole, Vec<Change>), Error> {
    let arn: RoleArn =
        request.role_arn.parse().map_err(|error: model::account::RoleError| invalid(error.to_string()))?;
    let name = &request.role_session_name;
    let letters = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
    if !(2..=64).contains(&name.len()) || !name.bytes().all(letters) {
        return Err(invalid(format!("RoleSessionName '{name}' must have 2 to 64 of letters, digits and _+=,.@-")));
    }
    let seconds = seconds(request.duration_seconds, 3600, 43_200)?;
    if request.external_id.as_ref().is_some_and(|id| !EXTERNAL_ID_LENGTHS.contains(&id.len())) {
        return Err(invalid("ExternalId must have 2 to 1224 characters".into()));
    }
    let role = world.roles.get(&arn);
    let is_allowed = match role {
        Some(role) => is_trusted(role, caller, request.external_id.as_deref()),
        None => is_open || arn.account == caller.account,
    };
    if !is_allowed {
        let message = format!(
            "User: {} is not authorized to perform: sts:AssumeRole on resource: {}",
            caller.arn, request.role_arn
        );
        return Err(Error::new("AccessDenied", message).with_status(403));
    }
    if role.is_some_and(|role| Duration::seconds(i64::from(seconds)) > role.session_max) {
        let text = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
        return Err(invalid(text.into()));
    }
    if caller.role().is_some() && seconds > CHAINED_SECONDS_MAX {
        let text = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining";
        return Err(invalid(text.into()));
    }
    let (credentials, key) = session(world, arn.account, Some((arn.name(), name)), seconds, seed, machine)?;
    let assumed_role_user = AssumedRoleUser {
        assumed_role_id: format!("{}:{name}", role_id(arn.account, arn.name())),
        arn: format!("arn:aws:sts::{}:assumed-role/{}/{name}", arn.account, arn.name()),
    };
    Ok((AssumedRole { credentials, assumed_role_user }, vec![Change::put(key)]))
}

/// By the role's list, and for whom it was meant: who acts for several says which of them by the external id.
fn is_trusted(role: &Role, caller: &Caller, external_id: Option<&str>) -> bool {
    let is_named = role.trusted.iter().any(|principal| principal.is(caller.account, caller.role()));
    is_named && role.external_id.as_deref().is_none_or(|wanted| external_id == Some(wanted))
}

/// Temporary credentials of the account itself, for its long-term keys only.
///
/// # Errors
/// `ValidationError` for a bad duration, `AccessDenied` for a session.
pub fn session_token(
    world: &World,
    caller: &Caller,
    is_session: bool,
    request: &GetSessionToken,
    seed: Seed,
    machine: Time,
) -> Result<(SessionResult, Vec<Change>), Error> {
    let seconds = seconds(request.duration_seconds, 43_200, 129_600)?;
    if is_session {
        let text = "Cannot call GetSessionToken with session credentials";
        return Err(Error::new("AccessDenied", text).with_status(403));
    }
    let (credentials, key) = session(world, caller.account, None, seconds, seed, machine)?;
    Ok((SessionResult { credentials }, vec![Change::put(key)]))
}

/// A session's key; `role`: its name and the session's.
fn session(
    world: &World,
    account: AccountId,
    role: Option<(&str, &str)>,
    seconds: i32,
    seed: Seed,
    machine: Time,
) -> Result<(Credentials, AccessKey), Error> {
    check_count(world, account, true)?;
    let now = world.now(machine);
    let mut draw = Draw::new(seed);
    let session = Session {
        token: Secret(draw.text(SECRET_LETTERS, 200)),
        expires: now + Duration::seconds(i64::from(seconds)),
        role: role.map(|(role, _)| role.to_owned()),
        name: role.map(|(_, name)| name.to_owned()).unwrap_or_default(),
    };
    let key = AccessKey {
        id: format!("ASIA{}", draw.text(KEY_LETTERS, 16)),
        secret: Secret(draw.text(SECRET_LETTERS, 40)),
        account,
        created: now,
        is_disabled: false,
        session: Some(session.clone()),
    };
    let credentials = Credentials {
        access_key_id: key.id.clone(),
        secret_access_key: key.secret.clone(),
        session_token: session.token,
        expiration: session.expires,
    };
    Ok((credentials, key))
}

/// In AWS's words.
fn seconds(asked: Option<i32>, default: i32, most: i32) -> Result<i32, Error> {
    const LEAST: i32 = 900;
    let seconds = asked.unwrap_or(default);
    let (bound, limit) = match seconds {
        ..LEAST => ("greater", LEAST),
        _ if seconds > most => ("less", most),
        _ => return Ok(seconds),
    };
    Err(invalid(format!(
        "1 validation error detected: Value '{seconds}' at 'durationSeconds' failed to satisfy constraint: Member must have value \
         {bound} than or equal to {limit}"
    )))
}

/// A long-term key for the caller's own account; the operator's account makes keys for any.
///
/// # Errors
/// `AccessDenied` for another account and for a session, `LimitExceeded`.
pub fn create_access_key(
    world: &World,
    asker: &Asker<'_>,
    account: AccountId,
    seed: Seed,
    machine: Time,
) -> Result<(AccessKeyResult, Vec<Change>), Error> {
    asker.may_manage(account)?;
    check_count(world, account, false)?;
    let key = long_term_key(account, seed, world.now(machine));
    let reply = AccessKeyResult { access_key_id: key.id.clone(), secret_access_key: key.secret.clone(), account };
    Ok((reply, vec![Change::put(key)]))
}

/// A fresh long-term key.
pub fn long_term_key(account: AccountId, seed: Seed, now: Time) -> AccessKey {
    let mut draw = Draw::new(seed);
    AccessKey {
        id: format!("AKIA{}", draw.text(KEY_LETTERS, 16)),
        secret: Secret(draw.text(SECRET_LETTERS, 40)),
        account,
        created: now,
        is_disabled: false,
        session: None,
    }
}

fn check_count(world: &World, account: AccountId, is_session: bool) -> Result<(), Error> {
    let of_kind = |key: &&Arc<AccessKey>| key.account == account && key.session.is_some() == is_session;
    let count = world.all::<AccessKey>().filter(of_kind).count();
    if count < KEYS_PER_ACCOUNT_MAX {
        return Ok(());
    }
    let (noun, way) = if is_session { ("sessions", "wait for one to end") } else { ("access keys", "delete one") };
    Err(Error::new("LimitExceeded", format!("Account {account} has {count} {noun}, the limit; {way}")))
}

fn invalid(message: String) -> Error {
    Error::new("ValidationError", message)
}
