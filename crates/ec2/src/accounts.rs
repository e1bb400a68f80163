//! Shapes of Peerway's own actions about who may ask: accounts, access keys, roles; and of what happened (`DescribeEvents`).
//!
//! The operator's account may ask for any account, others for themselves, and a session for none.

use std::collections::BTreeSet;

use model::{AccountId, Principal, Region, RoleArn, Time};

use crate::value::scalar;
use crate::{Error, FromQuery, Node, ToXml, Xml};

input! {
    /// Gives an account a name; the operator's account asks.
    CreateAccount {
        name: String = "Name",
        /// Without one, a number that is nobody's.
        account: Option<AccountId> = "Account",
    }
}

output! {
    AccountResult {
        account: AccountId = "Account",
        name: String = "Name",
        created: Time = "Created",
    }
}

input! {
    /// Those with a name, a key or a role; others than the operator are told of their own.
    ListAccounts {}
}

output! {
    AccountsResult {
        accounts: Vec<AccountItem> = "Accounts",
    }
}

output! {
    AccountItem {
        account: AccountId = "Account",
        name: Option<String> = "Name",
        created: Option<Time> = "Created",
        /// Long-term ones.
        access_keys: u32 = "AccessKeys",
        roles: u32 = "Roles",
    }
}

input! {
    /// Long-term keys, without their secrets.
    ListAccessKeys {
        account: Option<AccountId> = "Account",
    }
}

output! {
    AccessKeysResult {
        access_keys: Vec<AccessKeyItem> = "AccessKeys",
    }
}

output! {
    AccessKeyItem {
        access_key_id: String = "AccessKeyId",
        account: AccountId = "Account",
        /// `Active` or `Inactive`.
        status: KeyStatus = "Status",
        created: Time = "Created",
    }
}

/// As IAM has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStatus {
    Active,
    Inactive,
}

impl KeyStatus {
    pub fn of(is_disabled: bool) -> KeyStatus {
        if is_disabled { KeyStatus::Inactive } else { KeyStatus::Active }
    }
}

impl FromQuery for KeyStatus {
    fn from_query(node: Option<&Node>, name: &str) -> Result<Self, Error> {
        match scalar(node, name)? {
            "Active" => Ok(KeyStatus::Active),
            "Inactive" => Ok(KeyStatus::Inactive),
            other => Err(Error::invalid_parameter(name, other, "Expected Active or Inactive.")),
        }
    }
}

impl ToXml for KeyStatus {
    fn write(&self, name: &str, xml: &mut Xml) {
        xml.text(name, &format!("{self:?}"));
    }
}

input! {
    UpdateAccessKey {
        access_key_id: String = "AccessKeyId",
        status: KeyStatus = "Status",
    }
}

input! {
    DeleteAccessKey {
        access_key_id: String = "AccessKeyId",
    }
}

input! {
    /// Writes a role down, or anew: from then on only those whom it names may assume it.
    PutRole {
        role_arn: RoleArn = "RoleArn",
        trusted: Vec<Principal> = "Trusted",
        external_id: Option<String> = "ExternalId",
        /// Seconds, 900 to 43,200; without it, 3,600.
        max_session_duration: Option<i32> = "MaxSessionDuration",
    }
}

output! {
    RoleItem {
        role_arn: RoleArn = "RoleArn",
        trusted: BTreeSet<Principal> = "Trusted",
        has_external_id: bool = "HasExternalId",
        max_session_duration: i64 = "MaxSessionDuration",
        created: Time = "Created",
    }
}

input! {
    ListRoles {
        account: Option<AccountId> = "Account",
    }
}

output! {
    RolesResult {
        roles: Vec<RoleItem> = "Roles",
    }
}

input! {
    /// Forgets a role and ends its sessions.
    DeleteRole {
        role_arn: RoleArn = "RoleArn",
    }
}

input! {
    /// What happened, oldest first: the operator's account is told everything, others what is theirs.
    DescribeEvents {
        /// Only those after this one, by its sequence number; without it, the newest.
        after: Option<Sequence> = "After",
        region: Option<Region> = "Region",
        account: Option<AccountId> = "Account",
        /// Only those of this thing.
        resource_id: Option<String> = "ResourceId",
        /// 1 to 1,000; without it, 100.
        max_results: Option<i32> = "MaxResults",
    }
}

/// An event's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence(pub u64);

impl FromQuery for Sequence {
    fn from_query(node: Option<&Node>, name: &str) -> Result<Self, Error> {
        let text = scalar(node, name)?;
        let number = text.parse().map(Sequence);
        number.map_err(|_| Error::invalid_parameter(name, text, "Expected the sequence number of an event."))
    }
}

output! {
    EventsResult {
        events: Vec<EventItem> = "Events",
        /// To ask on from here.
        last: u64 = "Last",
    }
}

output! {
    EventItem {
        sequence: u64 = "Sequence",
        time: Time = "Time",
        region: Region = "Region",
        /// Whom it concerns.
        accounts: Vec<AccountId> = "Accounts",
        /// `vpc-peering-connection`.
        resource_type: String = "ResourceType",
        resource_id: String = "ResourceId",
        /// What it was; absent for what is new.
        from: Option<String> = "From",
        /// What it is.
        to: String = "To",
        detail: Option<String> = "Detail",
    }
}

impl FromQuery for RoleArn {
    fn from_query(node: Option<&Node>, name: &str) -> Result<Self, Error> {
        scalar(node, name)?.parse().map_err(|error| Error::new("ValidationError", format!("{name}: {error}")))
    }
}

impl FromQuery for Principal {
    fn from_query(node: Option<&Node>, name: &str) -> Result<Self, Error> {
        scalar(node, name)?.parse().map_err(|error| Error::new("ValidationError", format!("{name}: {error}")))
    }
}

impl ToXml for RoleArn {
    fn write(&self, name: &str, xml: &mut Xml) {
        xml.text(name, &self.to_string());
    }
}

impl ToXml for Principal {
    fn write(&self, name: &str, xml: &mut Xml) {
        xml.text(name, &self.to_string());
    }
}

impl ToXml for BTreeSet<Principal> {
    fn write(&self, name: &str, xml: &mut Xml) {
        xml.element(name, |xml| self.iter().for_each(|item| item.write("item", xml)));
    }
}
