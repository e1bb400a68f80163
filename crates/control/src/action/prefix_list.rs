//! Managed prefix lists: made, changed, restored, deleted (spec 4.8). How they are shown is in `prefix_list_view`.
//!
//! Every change is complete when it is answered; what AWS would end in a state `..-failed` is refused at once (decision 0027).

use std::collections::BTreeSet;
use std::sync::Arc;

use ec2::shapes::TagSpecification;
use ec2::shapes::prefix_list::*;
use ec2::{Error, Operation};
use model::*;

use super::group::check_text;
use super::prefix_list_view::{item, item_of, references};
use super::{Handle, group_rule, route};
use crate::Cloud;
use crate::timing::Wait;

/// Entries in one request.
const ENTRIES_OF_REQUEST: usize = 100;

/// However the quota is set: the record of so many, each with its description, still fits the store.
const ENTRIES_CEILING: usize = 4000;

impl Handle for CreateManagedPrefixList {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<CreateManagedPrefixListResponse, Error> {
        let tags = TagSpecification::tags(&self.tag_specifications, &["prefix-list"], "prefix-list")?;
        let token = self.client_token.clone();
        let id = match cloud.replay(Self::NAME, token.as_deref())? {
            Some(id) => id,
            None => {
                let id = create(cloud, self, tags)?;
                cloud.remember(<Self as Operation>::NAME, token.as_deref(), id);
                id
            }
        };
        Ok(CreateManagedPrefixListResponse { prefix_list: item_of(cloud, id)? })
    }
}

fn create(cloud: &mut Cloud<'_>, wanted: CreateManagedPrefixList, tags: Tags) -> Result<PrefixListId, Error> {
    check_name(&wanted.prefix_list_name)?;
    let max_entries = size(cloud, wanted.max_entries)?;
    let max = cloud.config.quotas.prefix_lists;
    if cloud.own_count::<PrefixList>() >= max {
        let message = format!("You have reached the limit of {max} prefix lists in this region");
        return Err(Error::new("PrefixListLimitExceeded", message));
    }
    let id = cloud.draw.id();
    let mut list = PrefixList {
        id,
        owner: cloud.caller.account,
        name: wanted.prefix_list_name,
        family: wanted.address_family,
        max_entries,
        version: 1,
        entries: PrefixListEntries::new(),
        state: PrefixListState::Created,
        tags,
    };
    change_entries(&mut list, wanted.entries, &[])?;
    cloud.put(list);
    cloud.takes_time(id, Phase::CreateInProgress, Wait::PrefixList);
    Ok(id)
}

impl Handle for ModifyManagedPrefixList {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<ModifyManagedPrefixListResponse, Error> {
        let changes_entries = !self.add_entries.is_empty() || !self.remove_entries.is_empty();
        if changes_entries && self.max_entries.is_some() {
            let message =
                "You cannot modify the entries and the maximum entries for the prefix list in the same request.";
            return Err(Error::invalid_combination(message));
        }
        if !changes_entries && self.max_entries.is_none() && self.prefix_list_name.is_none() {
            return Err(Error::missing_parameter("AddEntry, RemoveEntry, MaxEntries or PrefixListName"));
        }
        self.prefix_list_name.iter().try_for_each(|name| check_name(name))?;
        let max_entries = self.max_entries.map(|wanted| size(cloud, wanted)).transpose()?;
        let before = cloud.owned::<PrefixList>(self.prefix_list_id)?;
        check_version(&before, self.current_version)?;
        let mut list = PrefixList { state: PrefixListState::Modified, ..PrefixList::clone(&before) };
        if let Some(name) = self.prefix_list_name {
            list.name = name;
        }
        if changes_entries {
            change_entries(&mut list, self.add_entries, &self.remove_entries)?;
            next_version(cloud, &before, &mut list);
        }
        if let Some(max_entries) = max_entries {
            list.max_entries = max_entries;
            check_size(&list)?;
        }
        let is_larger = list.max_entries > before.max_entries;
        cloud.put(list.clone());
        if is_larger {
            check_references(cloud, &list)?;
        }
        cloud.takes_time(list.id, Phase::ModifyInProgress, Wait::PrefixList);
        Ok(ModifyManagedPrefixListResponse { prefix_list: item(cloud, &list) })
    }
}

impl Handle for RestoreManagedPrefixListVersion {
    /// The entries of an earlier version, as a new one.
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<RestoreManagedPrefixListVersionResponse, Error> {
        let before = cloud.owned::<PrefixList>(self.prefix_list_id)?;
        check_version(&before, Some(self.current_version))?;
        let entries = entries_at(cloud, &before, Some(self.previous_version))?;
        let mut list = PrefixList { state: PrefixListState::Restored, entries, ..PrefixList::clone(&before) };
        check_size(&list)?;
        next_version(cloud, &before, &mut list);
        cloud.put(list.clone());
        cloud.takes_time(list.id, Phase::RestoreInProgress, Wait::PrefixList);
        Ok(RestoreManagedPrefixListVersionResponse { prefix_list: item(cloud, &list) })
    }
}

impl Handle for DeleteManagedPrefixList {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DeleteManagedPrefixListResponse, Error> {
        let list = cloud.owned::<PrefixList>(self.prefix_list_id)?;
        let users = references(cloud, list.id);
        if !users.is_empty() {
            let message = format!(
                "The prefix list '{}' has dependencies and cannot be deleted: {}",
                list.id,
                first(users.into_iter())
            );
            return Err(Error::new("DependencyViolation", message));
        }
        if cloud.ends_later(list.id, Phase::DeleteInProgress, Wait::PrefixList) {
            return Ok(DeleteManagedPrefixListResponse { prefix_list: item(cloud, &list) });
        }
        cloud.delete::<PrefixList>(list.id);
        if cloud.world().find::<PrefixListHistory>(&list.id).is_some() {
            cloud.delete::<PrefixListHistory>(list.id);
        }
        Ok(DeleteManagedPrefixListResponse {
            prefix_list: ManagedPrefixListItem { state: "delete-complete", ..item(cloud, &list) },
        })
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::missing_parameter("PrefixListName"));
    }
    if name.to_ascii_lowercase().starts_with("com.amazonaws") {
        let why = "Names that begin with com.amazonaws are AWS's own.";
        return Err(Error::invalid_parameter("PrefixListName", name, why));
    }
    check_text("prefix list name", name)
}

/// A number of entries that a list may be made for.
fn size(cloud: &Cloud<'_>, wanted: i32) -> Result<u32, Error> {
    let max = cloud.config.quotas.entries_per_prefix_list.min(ENTRIES_CEILING);
    let size = u32::try_from(wanted).ok().filter(|size| *size > 0 && usize::try_from(*size).is_ok_and(|n| n <= max));
    size.ok_or_else(|| Error::invalid_value(format!("Must specify a max size between 1 and {max}")))
}

/// The caller knows the list as it is.
fn check_version(list: &PrefixList, known: Option<i32>) -> Result<(), Error> {
    match known {
        Some(known) if known < 1 => Err(Error::invalid_value(format!(
            "The specified value for version is not valid. The value must be greater than or equal to (1): {known}"
        ))),
        Some(known) if u64::try_from(known) != Ok(list.version) => {
            Err(Error::new("PrefixListVersionMismatch", "The prefix list has the incorrect version number."))
        }
        _ => Ok(()),
    }
}

/// Takes entries away and adds others; what is wrong with one is wrong with all.
fn change_entries(
    list: &mut PrefixList,
    add: Vec<AddPrefixListEntry>,
    remove: &[RemovePrefixListEntry],
) -> Result<(), Error> {
    if add.len() > ENTRIES_OF_REQUEST || remove.len() > ENTRIES_OF_REQUEST {
        let message = format!("The number of entries per request cannot exceeds limit ({ENTRIES_OF_REQUEST}).");
        return Err(Error::invalid_value(message));
    }
    let removed: BTreeSet<Cidr> = remove.iter().map(|entry| entry.cidr).collect();
    let added: BTreeSet<Cidr> = add.iter().map(|entry| entry.cidr).collect();
    if let Some(both) = removed.intersection(&added).next() {
        let message =
            format!("Request cannot contain Cidr {both} in both AddPrefixListEntries and RemovePrefixListEntries");
        return Err(Error::invalid_value(message));
    }
    if removed.len() < remove.len() || added.len() < add.len() {
        return Err(Error::invalid_value("Request cannot contain the same Cidr twice."));
    }
    for cidr in removed {
        if list.entries.remove(&cidr).is_none() {
            return Err(not_so(format!("An entry with the CIDR ({cidr}) does not exist.")));
        }
    }
    for AddPrefixListEntry { cidr, description } in add {
        if AddressFamily::of(cidr) != list.family {
            let why = format!("The prefix list is for {} blocks.", list.family);
            return Err(Error::invalid_parameter("Cidr", cidr, &why));
        }
        let description = description.filter(|text| !text.is_empty());
        description.iter().try_for_each(|text| check_text("prefix list entry description", text))?;
        if let Some(known) = list.entries.insert(cidr, description) {
            let known = known.map_or_else(String::new, |text| format!(" and description ({text})"));
            return Err(not_so(format!("An entry with the CIDR ({cidr}){known} already exists.")));
        }
    }
    check_size(list)
}

fn not_so(message: String) -> Error {
    Error::new("InvalidPrefixListModification", message)
}

fn check_size(list: &PrefixList) -> Result<(), Error> {
    let PrefixList { id, max_entries, entries, .. } = list;
    if usize::try_from(*max_entries).is_ok_and(|max| entries.len() <= max) {
        return Ok(());
    }
    let message = format!(
        "The prefix list {id} would have {} entries, and its maximum is {max_entries}; raise MaxEntries first",
        entries.len()
    );
    Err(Error::new("PrefixListMaxEntriesExceeded", message))
}

/// Counts the version up, and keeps the one before.
fn next_version(cloud: &mut Cloud<'_>, before: &Arc<PrefixList>, list: &mut PrefixList) {
    let history = cloud.world().find::<PrefixListHistory>(&list.id);
    let mut history = history.map_or_else(|| PrefixListHistory::new(list.id), |history| (**history).clone());
    // The list itself holds the last one.
    let earlier = cloud.config.quotas.versions_per_prefix_list.saturating_sub(1);
    history.keep(before.version, before.entries.clone(), earlier);
    cloud.put(history);
    list.version = before.version.saturating_add(1);
}

/// The entries at a version; without one, as they are.
///
/// # Errors
/// `InvalidParameterValue` for a version that there never was, and for one that is no longer kept.
pub(super) fn entries_at(
    cloud: &Cloud<'_>,
    list: &PrefixList,
    version: Option<i32>,
) -> Result<PrefixListEntries, Error> {
    let Some(version) = version else { return Ok(list.entries.clone()) };
    let wanted = u64::try_from(version).ok();
    if wanted == Some(list.version) {
        return Ok(list.entries.clone());
    }
    let history = cloud.world().find::<PrefixListHistory>(&list.id);
    let found = wanted.and_then(|wanted| history?.versions.get(&wanted));
    found.cloned().ok_or_else(|| {
        let message = format!(
            "The prefix list {} has no version {version}: it is at version {}, and old ones are not kept for ever",
            list.id, list.version
        );
        Error::invalid_value(message)
    })
}

/// Every group and route table that names the list may have as many rules and routes as it now counts for.
fn check_references(cloud: &Cloud<'_>, list: &PrefixList) -> Result<(), Error> {
    let is_ipv4 = list.family == AddressFamily::Ipv4;
    let quotas = &cloud.config.quotas;
    let full = |group: &&Arc<SecurityGroup>| {
        let of = |way| group.rules(way).any(|rule| rule.peer == RulePeer::PrefixList(list.id));
        [Direction::Ingress, Direction::Egress]
            .into_iter()
            .any(|way| of(way) && group_rule::counted(cloud, group, way, is_ipv4) > quotas.rules_per_security_group)
    };
    let groups: Vec<String> =
        cloud.own_by::<SecurityGroup>(By::id(list.id)).filter(full).map(|group| group.id.to_string()).collect();
    if !groups.is_empty() {
        return Err(too_large("RulesPerSecurityGroupLimitExceeded", list, groups));
    }
    let names = |route: &Route| route.destination == Destination::PrefixList(list.id);
    let full = |table: &&Arc<RouteTable>| {
        table.routes.iter().any(names) && route::counted(cloud, table, is_ipv4) > quotas.routes_per_table
    };
    let tables: Vec<String> =
        cloud.own_by::<RouteTable>(By::id(list.id)).filter(full).map(|table| table.id.to_string()).collect();
    if tables.is_empty() { Ok(()) } else { Err(too_large("RouteLimitExceeded", list, tables)) }
}

fn too_large(code: &'static str, list: &PrefixList, users: Vec<String>) -> Error {
    let message = format!(
        "The prefix list {} cannot have a maximum of {} entries: each counts as so many in {}, over the quota",
        list.id,
        list.max_entries,
        first(users.into_iter())
    );
    Error::new(code, message)
}

/// The first ten of them.
fn first(users: impl Iterator<Item = String>) -> String {
    users.take(10).collect::<Vec<_>>().join(", ")
}

/// For how many rules or routes of a family a reference to the list counts: for all that the list may ever have.
pub(super) fn counts_for(cloud: &Cloud<'_>, list: PrefixListId, is_ipv4: bool) -> usize {
    match cloud.world().find::<PrefixList>(&list) {
        Some(list) if (list.family == AddressFamily::Ipv4) == is_ipv4 => {
            usize::try_from(list.max_entries).unwrap_or(usize::MAX)
        }
        Some(_) => 0,
        None => 1,
    }
}
