//! Identities: who am I, sessions of roles, keys of accounts (spec 1.6).

use ec2::service::{AccessKeyResult, AssumeRole, AssumedRole, AssumedRoleUser, CallerIdentity, Credentials};
use ec2::{Caller, Error};
use model::credential::{AccessKey, Session};
use model::{AccountId, Change, Duration, Secret, Time, World};

use crate::{Draw, Seed};

const KEY_LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const SECRET_LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Access keys of one account, sessions included.
const KEYS_PER_ACCOUNT_MAX: usize = 1000;

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

/// Temporary credentials of a role. Roles are not stored: any name is one. `is_open`: of any account; else of the caller's own.
///
/// # Errors
/// `ValidationError` for a bad ARN, name or duration, `AccessDenied` for another account's role.
pub fn assume_role(
    world: &World,
    caller: &Caller,
    request: &AssumeRole,
    is_open: bool,
    seed: Seed,
    machine: Time,
) -> Result<(AssumedRole, Vec<Change>), Error> {
    let (account, role) = parse_role(&request.role_arn)?;
    let name = &request.role_session_name;
    let letters = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
    if !(2..=64).contains(&name.len()) || !name.bytes().all(letters) {
        return Err(invalid(format!("RoleSessionName '{name}' must have 2 to 64 of letters, digits and _+=,.@-")));
    }
    let seconds = request.duration_seconds.unwrap_or(3600);
    if !(900..=43_200).contains(&seconds) {
        return Err(invalid(format!("DurationSeconds {seconds} must be between 900 and 43200")));
    }
    if !is_open && account != caller.account {
        let message = format!(
            "User: {} is not authorized to perform: sts:AssumeRole on resource: {}",
            caller.arn, request.role_arn
        );
        return Err(Error::new("AccessDenied", message).with_status(403));
    }
    check_count(world, account)?;
    let now = world.now(machine);
    let mut draw = Draw::new(seed);
    let session = Session {
        token: Secret(draw.text(SECRET_LETTERS, 200)),
        expires: now + Duration::seconds(i64::from(seconds)),
        role: role.clone(),
        name: name.clone(),
    };
    let key = AccessKey {
        id: format!("ASIA{}", draw.text(KEY_LETTERS, 16)),
        secret: Secret(draw.text(SECRET_LETTERS, 40)),
        account,
        created: now,
        session: Some(session.clone()),
    };
    let reply = AssumedRole {
        credentials: Credentials {
            access_key_id: key.id.clone(),
            secret_access_key: key.secret.clone(),
            session_token: session.token,
            expiration: session.expires,
        },
        assumed_role_user: AssumedRoleUser {
            assumed_role_id: format!("{}:{name}", role_id(account, &role)),
            arn: format!("arn:aws:sts::{account}:assumed-role/{role}/{name}"),
        },
    };
    Ok((reply, vec![Change::put(key)]))
}

/// A long-term key for the caller's own account; the operator's account makes keys for any.
///
/// # Errors
/// `AccessDenied` for another account, `LimitExceeded`.
pub fn create_access_key(
    world: &World,
    caller: &Caller,
    account: AccountId,
    seed: Seed,
    machine: Time,
) -> Result<(AccessKeyResult, Vec<Change>), Error> {
    if ![account, AccountId::OPERATOR].contains(&caller.account) {
        let message = format!(
            "User: {} may not make keys for account {account}; ask with a key of that account, or with the operator's",
            caller.arn
        );
        return Err(Error::new("AccessDenied", message).with_status(403));
    }
    check_count(world, account)?;
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
        session: None,
    }
}

fn check_count(world: &World, account: AccountId) -> Result<(), Error> {
    let count = world.all::<AccessKey>().filter(|key| key.account == account).count();
    if count < KEYS_PER_ACCOUNT_MAX {
        return Ok(());
    }
    Err(Error::new(
        "LimitExceeded",
        format!("Account {account} has {count} access keys and sessions, the limit; wait for sessions to end"),
    ))
}

/// `arn:aws:iam::<account>:role/<path and name>`.
fn parse_role(arn: &str) -> Result<(AccountId, String), Error> {
    let parse = || {
        let (account, role) = arn.strip_prefix("arn:aws:iam::")?.split_once(":role/")?;
        let letters = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-/".contains(&b);
        let named = !role.is_empty() && role.len() <= 512 && role.bytes().all(letters);
        named.then(|| account.parse().ok().map(|account| (account, role.to_owned()))).flatten()
    };
    parse().ok_or_else(|| invalid(format!("'{arn}' is not a role's ARN such as arn:aws:iam::111111111111:role/name")))
}

fn invalid(message: String) -> Error {
    Error::new("ValidationError", message)
}
