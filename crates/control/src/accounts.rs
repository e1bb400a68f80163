//! Accounts with names, keys that come and go, and roles with the list of whom they are for.
//!
//! The operator's account manages all accounts, a long-term key its own. A session manages none: who was lent a role for an hour must not
//! make himself a key for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ec2::accounts::{
    AccessKeyItem, AccessKeysResult, AccountItem, AccountResult, AccountsResult, CreateAccount, DeleteAccessKey,
    DeleteRole, KeyStatus, ListAccessKeys, ListRoles, PutRole, RoleItem, RolesResult, UpdateAccessKey,
};
use ec2::{Caller, Error};
use model::credential::AccessKey;
use model::{Account, AccountId, Change, Duration, Entity, Role, RoleArn, Time, World};

use crate::{Draw, Seed};

const ACCOUNTS_MAX: usize = 10_000;
pub const ROLES_PER_ACCOUNT_MAX: usize = 1000;
const PRINCIPALS_MAX: usize = 100;
/// Of an account's name, in characters; as AWS has it.
const NAME_MAX: usize = 50;
/// Sessions that one transaction ends.
const SESSIONS_AT_ONCE: usize = 96;

/// Who asks to manage identities.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    pub caller: &'a Caller,
    /// By temporary credentials.
    pub is_session: bool,
}

impl Asker<'_> {
    /// # Errors
    /// `AccessDenied`.
    pub fn may_manage(&self, account: AccountId) -> Result<(), Error> {
        let is_its_own = [account, AccountId::OPERATOR].contains(&self.caller.account);
        if is_its_own && !self.is_session {
            return Ok(());
        }
        let arn = &self.caller.arn;
        let message = if self.is_session {
            format!("User: {arn} is a session and manages no account; ask with a long-term key of account {account}")
        } else {
            format!(
                "User: {arn} may not manage account {account}; ask with a key of that account, or with the operator's"
            )
        };
        Err(Error::new("AccessDenied", message).with_status(403))
    }

    /// Of which accounts a list tells: of one, or of all that the asker may know.
    fn scope(&self, asked: Option<AccountId>) -> Result<Option<AccountId>, Error> {
        let is_operator = self.caller.account == AccountId::OPERATOR;
        let scope = if is_operator { asked } else { asked.or(Some(self.caller.account)) };
        self.may_manage(scope.unwrap_or(self.caller.account)).map(|()| scope)
    }
}

/// # Errors
/// `AccessDenied` for who is not the operator, `ValidationError` for a bad name, `EntityAlreadyExists`, `LimitExceeded`.
pub fn create_account(
    world: &World,
    asker: &Asker<'_>,
    request: &CreateAccount,
    seed: Seed,
    machine: Time,
) -> Result<(AccountResult, Vec<Change>), Error> {
    asker.may_manage(AccountId::OPERATOR)?;
    let name = request.name.trim();
    if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(invalid(format!(
            "An account's name has 1 to {NAME_MAX} characters, none of them a control character"
        )));
    }
    if let Some(other) =
        world.all::<Account>().find(|account| account.name == name && Some(account.id) != request.account)
    {
        return Err(exists(format!("The account {} has the name '{name}'; choose another", other.id)));
    }
    if world.accounts.size() >= ACCOUNTS_MAX {
        return Err(Error::new("LimitExceeded", format!("There are {ACCOUNTS_MAX} accounts, the limit")));
    }
    let mut draw = Draw::new(seed);
    let is_taken =
        |id: AccountId| world.accounts.contains_key(&id) || world.all::<AccessKey>().any(|key| key.account == id);
    let id = match request.account {
        Some(AccountId::OPERATOR) => return Err(exists("The account 000000000000 is the operator's".into())),
        Some(id) if world.accounts.contains_key(&id) => {
            return Err(exists(format!("The account {id} has a name already")));
        }
        Some(id) => id,
        // One draw in a hundred million meets another account.
        None => std::iter::repeat_with(|| drawn(&mut draw))
            .take(16)
            .flatten()
            .find(|id| !is_taken(*id))
            .ok_or_else(|| Error::new("LimitExceeded", "No free account number was found; name one with Account"))?,
    };
    let account = Account { id, name: name.into(), created: world.now(machine) };
    let result = AccountResult { account: id, name: account.name.clone(), created: account.created };
    Ok((result, vec![Change::put(account)]))
}

/// Twelve digits, the first not a zero: spreadsheets take leading zeros away.
fn drawn(draw: &mut Draw) -> Option<AccountId> {
    (100_000_000_000 + draw.u64() % 900_000_000_000).to_string().parse().ok()
}

/// # Errors
/// `AccessDenied` for a session.
pub fn list_accounts(world: &World, asker: &Asker<'_>) -> Result<AccountsResult, Error> {
    let scope = asker.scope(None)?;
    let mut counts: BTreeMap<AccountId, (u32, u32)> =
        world.all::<Account>().map(|account| (account.id, (0, 0))).collect();
    world
        .all::<AccessKey>()
        .filter(|key| key.session.is_none())
        .for_each(|key| counts.entry(key.account).or_default().0 += 1);
    world.all::<Role>().for_each(|role| counts.entry(role.arn.account).or_default().1 += 1);
    let wanted = counts.into_iter().filter(|(account, _)| scope.is_none_or(|scope| scope == *account));
    let item = |(account, (access_keys, roles))| {
        let record = world.find::<Account>(&account);
        AccountItem {
            account,
            name: record.map(|record| record.name.clone()),
            created: record.map(|record| record.created),
            access_keys,
            roles,
        }
    };
    Ok(AccountsResult { accounts: wanted.map(item).collect() })
}

/// # Errors
/// `AccessDenied`.
pub fn list_access_keys(world: &World, asker: &Asker<'_>, request: &ListAccessKeys) -> Result<AccessKeysResult, Error> {
    let scope = asker.scope(request.account)?;
    let keys = world.all::<AccessKey>().filter(|key| key.session.is_none());
    let wanted = keys.filter(|key| scope.is_none_or(|scope| scope == key.account));
    Ok(AccessKeysResult { access_keys: wanted.map(|key| key_item(key)).collect() })
}

/// Lets a key in again, or no more.
///
/// # Errors
/// `NoSuchEntity` for a key that is unknown or another account's, `AccessDenied` for a session, `DeleteConflict` for the operator's last.
pub fn update_access_key(
    world: &World,
    asker: &Asker<'_>,
    request: &UpdateAccessKey,
) -> Result<(AccessKeyItem, Vec<Change>), Error> {
    let key = managed_key(world, asker, &request.access_key_id)?;
    let is_disabled = request.status == KeyStatus::Inactive;
    if is_disabled {
        keep_operator(world, key)?;
    }
    let key = AccessKey { is_disabled, ..AccessKey::clone(key) };
    Ok((key_item(&key), vec![Change::put(key)]))
}

/// # Errors
/// As [`update_access_key`].
pub fn delete_access_key(
    world: &World,
    asker: &Asker<'_>,
    request: &DeleteAccessKey,
) -> Result<(AccessKeyItem, Vec<Change>), Error> {
    let key = managed_key(world, asker, &request.access_key_id)?;
    keep_operator(world, key)?;
    Ok((key_item(key), vec![Change::Delete(AccessKey::key(key.id.clone()))]))
}

/// A long-term key that the asker may manage; another's reads as unknown.
fn managed_key<'w>(world: &'w World, asker: &Asker<'_>, id: &str) -> Result<&'w Arc<AccessKey>, Error> {
    // A session learns that it is one, whatever it names.
    asker.may_manage(asker.caller.account)?;
    let known = world.access_keys.get(id).filter(|key| key.session.is_none());
    let managed = known.filter(|key| asker.may_manage(key.account).is_ok());
    managed.ok_or_else(|| {
        let id: String = id.chars().take(128).collect();
        Error::new("NoSuchEntity", format!("The Access Key with id {id} cannot be found.")).with_status(404)
    })
}

/// Without a key of the operator nobody could make another.
fn keep_operator(world: &World, key: &AccessKey) -> Result<(), Error> {
    let is_good = |other: &&Arc<AccessKey>| {
        other.account == AccountId::OPERATOR && other.session.is_none() && !other.is_disabled && other.id != key.id
    };
    if key.account != AccountId::OPERATOR || world.all::<AccessKey>().any(|other| is_good(&other)) {
        return Ok(());
    }
    let message = format!("{} is the operator's last key that works; make another first", key.id);
    Err(Error::new("DeleteConflict", message).with_status(409))
}

fn key_item(key: &AccessKey) -> AccessKeyItem {
    AccessKeyItem {
        access_key_id: key.id.clone(),
        account: key.account,
        status: KeyStatus::of(key.is_disabled),
        created: key.created,
    }
}

/// # Errors
/// `AccessDenied`, `ValidationError`, `LimitExceeded`.
pub fn put_role(
    world: &World,
    asker: &Asker<'_>,
    request: &PutRole,
    machine: Time,
) -> Result<(RoleItem, Vec<Change>), Error> {
    let arn = &request.role_arn;
    asker.may_manage(arn.account)?;
    let trusted: BTreeSet<_> = request.trusted.iter().cloned().collect();
    if trusted.is_empty() || trusted.len() > PRINCIPALS_MAX {
        return Err(invalid(format!("A role is for 1 to {PRINCIPALS_MAX} principals; name them with Trusted.N")));
    }
    let seconds = request.max_session_duration.unwrap_or(3600);
    if !(900..=43_200).contains(&seconds) {
        return Err(invalid(format!("MaxSessionDuration {seconds} must be between 900 and 43200")));
    }
    let letters = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&b);
    let is_external_id = |id: &str| (2..=1224).contains(&id.len()) && id.bytes().all(letters);
    if request.external_id.as_deref().is_some_and(|id| !is_external_id(id)) {
        return Err(invalid("ExternalId must have 2 to 1224 of letters, digits and _+=,.@:/-".into()));
    }
    let known = world.roles.get(arn);
    let count = world.all::<Role>().filter(|role| role.arn.account == arn.account).count();
    if known.is_none() && count >= ROLES_PER_ACCOUNT_MAX {
        let message = format!("Account {} has {count} roles, the limit; delete one", arn.account);
        return Err(Error::new("LimitExceeded", message));
    }
    let role = Role {
        arn: arn.clone(),
        trusted,
        external_id: request.external_id.clone(),
        session_max: Duration::seconds(seconds.into()),
        created: known.map_or_else(|| world.now(machine), |role| role.created),
    };
    Ok((role_item(&role), vec![Change::put(role)]))
}

/// # Errors
/// `AccessDenied`.
pub fn list_roles(world: &World, asker: &Asker<'_>, request: &ListRoles) -> Result<RolesResult, Error> {
    let scope = asker.scope(request.account)?;
    let wanted = world.all::<Role>().filter(|role| scope.is_none_or(|scope| scope == role.arn.account));
    Ok(RolesResult { roles: wanted.map(|role| role_item(role)).collect() })
}

/// Forgets the role and ends its sessions, as many as one transaction takes; what is left is for [`end_sessions`].
///
/// # Errors
/// `AccessDenied`, `NoSuchEntity`.
pub fn delete_role(world: &World, asker: &Asker<'_>, request: &DeleteRole) -> Result<(RoleItem, Vec<Change>), Error> {
    let arn = &request.role_arn;
    asker.may_manage(arn.account)?;
    let role = world.roles.get(arn).ok_or_else(|| {
        Error::new("NoSuchEntity", format!("The role with name {} cannot be found.", arn.name())).with_status(404)
    })?;
    let mut changes = vec![Change::Delete(Role::key(arn.clone()))];
    changes.extend(end_sessions(world, arn));
    Ok((role_item(role), changes))
}

/// The end of a role's sessions, as many as one transaction takes; none if there are none.
pub fn end_sessions(world: &World, arn: &RoleArn) -> Vec<Change> {
    let is_its = |key: &&Arc<AccessKey>| {
        key.account == arn.account
            && key.session.as_ref().is_some_and(|session| session.role.as_deref() == Some(arn.name()))
    };
    let ended = world.all::<AccessKey>().filter(is_its).take(SESSIONS_AT_ONCE);
    ended.map(|key| Change::Delete(AccessKey::key(key.id.clone()))).collect()
}

fn role_item(role: &Role) -> RoleItem {
    RoleItem {
        role_arn: role.arn.clone(),
        trusted: role.trusted.clone(),
        has_external_id: role.external_id.is_some(),
        max_session_duration: role.session_max.as_millis() / 1000,
        created: role.created,
    }
}

fn invalid(message: String) -> Error {
    Error::new("ValidationError", message)
}

fn exists(message: String) -> Error {
    Error::new("EntityAlreadyExists", message).with_status(409)
}
