//! Accounts that have a name, and roles with the list of who may assume them (spec 1.1, 1.6).
//!
//! An account needs no record to exist; the record says what it is called. Both kinds live in the home region's World.

use alloc::collections::BTreeSet;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

use crate::{AccountId, Duration, Time};

/// An account that somebody gave a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub id: AccountId,
    pub name: String,
    pub created: Time,
}

/// A role that was written down: who it is for is said by its own list alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    pub arn: RoleArn,
    pub trusted: BTreeSet<Principal>,
    /// What the request must name, so that a third party cannot be talked into using the role for somebody else.
    pub external_id: Option<String>,
    /// The longest session.
    pub session_max: Duration,
    pub created: Time,
}

/// Which role: `arn:aws:iam::<account>:role/<name>`. A path before the name is read and does not count.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleArn {
    pub account: AccountId,
    name: String,
}

/// Why a text is not a role's ARN, or a role's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a role such as arn:aws:iam::111111111111:role/name, its name 1 to 64 of letters, digits and _+=,.@-"
)]
pub struct RoleError(String);

const ROLE_NAME_MAX: usize = 64;
/// Of a path, in characters.
const PATH_MAX: usize = 512;

impl RoleArn {
    /// # Errors
    /// For a name that no role has.
    pub fn new(account: AccountId, name: &str) -> Result<RoleArn, RoleError> {
        let is_named = (1..=ROLE_NAME_MAX).contains(&name.len()) && name.bytes().all(is_role_letter);
        if is_named { Ok(RoleArn { account, name: name.into() }) } else { Err(RoleError(name.into())) }
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

fn is_role_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte)
}

impl FromStr for RoleArn {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<RoleArn, RoleError> {
        let parse = || {
            let (account, rest) = text.strip_prefix("arn:aws:iam::")?.split_once(":role/")?;
            let (path, name) = rest.rsplit_once('/').unwrap_or(("", rest));
            let is_path = path.len() <= PATH_MAX && path.bytes().all(|b| (b'!'..=b'~').contains(&b));
            is_path.then(|| RoleArn::new(account.parse().ok()?, name).ok()).flatten()
        };
        parse().ok_or_else(|| RoleError(text.chars().take(PATH_MAX).collect()))
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arn:aws:iam::{}:role/{}", self.account, self.name)
    }
}

/// Who may assume a role.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principal {
    Anyone,
    /// Whoever acts for the account.
    Account(AccountId),
    /// Sessions of that role only.
    Role(RoleArn),
}

/// Why a text is nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an account of 12 digits, arn:aws:iam::ACCOUNT:root, arn:aws:iam::ACCOUNT:role/NAME or *")]
pub struct PrincipalError(String);

impl Principal {
    /// Whether this is the account, or the role that a session of it has.
    pub fn is(&self, account: AccountId, role: Option<&str>) -> bool {
        match self {
            Principal::Anyone => true,
            Principal::Account(id) => *id == account,
            Principal::Role(arn) => arn.account == account && role == Some(arn.name()),
        }
    }
}

impl FromStr for Principal {
    type Err = PrincipalError;

    fn from_str(text: &str) -> Result<Principal, PrincipalError> {
        let root = || text.strip_prefix("arn:aws:iam::")?.strip_suffix(":root");
        let account = || root().unwrap_or(text).parse().ok().map(Principal::Account);
        let role = || text.parse().ok().map(Principal::Role);
        let found = if text == "*" { Some(Principal::Anyone) } else { account().or_else(role) };
        found.ok_or_else(|| PrincipalError(text.chars().take(PATH_MAX).collect()))
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Principal::Anyone => f.write_str("*"),
            Principal::Account(account) => write!(f, "arn:aws:iam::{account}:root"),
            Principal::Role(arn) => fmt::Display::fmt(arn, f),
        }
    }
}

text_form!(RoleArn, Principal);

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, string::ToString};
    use proptest::prelude::*;

    const ALICE: &str = "111111111111";

    fn account(id: &str) -> AccountId {
        id.parse().unwrap()
    }

    #[test]
    fn roles_are_named_by_arn_and_a_path_does_not_count() {
        let plain: RoleArn = "arn:aws:iam::111111111111:role/net-ops".parse().unwrap();
        assert_eq!("arn:aws:iam::111111111111:role/a/b/net-ops".parse(), Ok(plain.clone()));
        assert_eq!((plain.account, plain.name()), (account(ALICE), "net-ops"));
        for wrong in [
            "net-ops",
            "arn:aws:iam::12345:role/x",
            "arn:aws:iam::111111111111:role/",
            "arn:aws:iam::111111111111:role/a b",
            "arn:aws:iam::111111111111:user/x",
            "arn:aws:sts::111111111111:assumed-role/x/y",
        ] {
            assert!(wrong.parse::<RoleArn>().is_err(), "{wrong}");
        }
        assert!(RoleArn::new(account(ALICE), &"x".repeat(65)).is_err() && RoleArn::new(account(ALICE), "").is_err());
    }

    #[test]
    fn a_principal_is_who_it_names_and_nobody_else() {
        let is = |principal: &str, who: &str, role| principal.parse::<Principal>().unwrap().is(account(who), role);
        assert!(is("*", "222222222222", None));
        assert!(is(ALICE, ALICE, None) && is(ALICE, ALICE, Some("any")) && !is(ALICE, "222222222222", None));
        assert!(is("arn:aws:iam::111111111111:root", ALICE, None));
        let role = "arn:aws:iam::111111111111:role/deploy";
        assert!(is(role, ALICE, Some("deploy")));
        for (who, of) in [(ALICE, None), (ALICE, Some("other")), ("222222222222", Some("deploy"))] {
            assert!(!is(role, who, of), "{who} {of:?}");
        }
        for wrong in ["", "1111", "**", "arn:aws:iam::111111111111:user/x", "arn:aws:iam:::root"] {
            assert!(wrong.parse::<Principal>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(id in 0_u64..1_000_000_000_000, name in "[A-Za-z0-9_+=,.@-]{1,64}") {
            let arn = RoleArn::new(format!("{id:012}").parse().unwrap(), &name).unwrap();
            prop_assert_eq!(arn.to_string().parse::<RoleArn>(), Ok(arn.clone()));
            for principal in [Principal::Anyone, Principal::Account(arn.account), Principal::Role(arn)] {
                prop_assert_eq!(principal.to_string().parse::<Principal>(), Ok(principal));
            }
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = (text.parse::<RoleArn>(), text.parse::<Principal>());
        }
    }
}
