//! Managed prefix lists as the API shows them (spec 4.8).

use ec2::Error;
use ec2::page::Page;
use ec2::shapes::prefix_list::*;
use model::*;

use super::Handle;
use super::prefix_list::entries_at;
use crate::Cloud;
use crate::describe::{Describe, Place, Query};
use crate::rules::texts;

impl Handle for DescribeManagedPrefixLists {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeManagedPrefixListsResponse, Error> {
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let query = Query { ids: &self.prefix_list_ids, filters: &self.filters, page };
        let (lists, next_token) = cloud.select::<PrefixList>(query, 1..=100)?;
        Ok(DescribeManagedPrefixListsResponse {
            prefix_lists: lists.iter().map(|list| item(cloud, list)).collect(),
            next_token,
        })
    }
}

impl Describe for PrefixList {
    const FILTERS: &'static [&'static str] = &["owner-id", "prefix-list-id", "prefix-list-name"];

    fn is_visible(&self, cloud: &Cloud<'_>) -> bool {
        self.owner == cloud.caller.account
    }

    fn tags<'t>(&'t self, _: &Cloud<'_>) -> &'t Tags {
        &self.tags
    }

    fn values(&self, _: &Cloud<'_>, filter: &str) -> Vec<String> {
        match filter {
            "owner-id" => texts([self.owner]),
            "prefix-list-id" => texts([self.id]),
            "prefix-list-name" => texts([&self.name]),
            _ => Vec::new(),
        }
    }

    fn place(_: &Cloud<'_>, filter: &str, value: &str) -> Option<Place<Self::Id>> {
        match filter {
            "prefix-list-id" => Place::of_id(value),
            _ => None,
        }
    }
}

impl Handle for GetManagedPrefixListEntries {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<GetManagedPrefixListEntriesResponse, Error> {
        let list = cloud.owned::<PrefixList>(self.prefix_list_id)?;
        let entries = entries_at(cloud, &list, self.target_version)?;
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let (entries, next_token) = page.cut(1..=100, entries, |(cidr, _)| order(cidr))?;
        let shown = entries.into_iter().map(|(cidr, description)| PrefixListEntryItem { cidr, description });
        Ok(GetManagedPrefixListEntriesResponse { entries: shown.collect(), next_token })
    }
}

/// A text whose order is that of the blocks of one family.
fn order(cidr: &Cidr) -> String {
    let network = match cidr {
        Cidr::V4(cidr) => u128::from(u32::from(cidr.network())),
        Cidr::V6(cidr) => cidr.network().into(),
    };
    format!("{network:032x}/{:03}", cidr.prefix_len())
}

impl Handle for GetManagedPrefixListAssociations {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<GetManagedPrefixListAssociationsResponse, Error> {
        let list = cloud.owned::<PrefixList>(self.prefix_list_id)?;
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let (users, next_token) = page.cut(5..=255, references(cloud, list.id), Clone::clone)?;
        let shown = |resource_id| PrefixListAssociationItem { resource_id, resource_owner: list.owner };
        Ok(GetManagedPrefixListAssociationsResponse {
            prefix_list_associations: users.into_iter().map(shown).collect(),
            next_token,
        })
    }
}

/// The ids of the route tables and security groups that name the list, in order. Only its owner's can.
pub(super) fn references(cloud: &Cloud<'_>, list: PrefixListId) -> Vec<String> {
    let tables = cloud
        .own_by::<RouteTable>(By::id(list))
        .filter(|table| table.routes.iter().any(|route| route.destination == Destination::PrefixList(list)));
    let groups = cloud
        .own_by::<SecurityGroup>(By::id(list))
        .filter(|group| group.rules.values().any(|rule| rule.peer == RulePeer::PrefixList(list)));
    tables.map(|table| table.id.to_string()).chain(groups.map(|group| group.id.to_string())).collect()
}

impl Handle for DescribePrefixLists {
    /// The blocks of AWS's services that a gateway endpoint leads to. There is no such service here.
    fn handle(self, _: &mut Cloud<'_>) -> Result<DescribePrefixListsResponse, Error> {
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        Query { ids: &self.prefix_list_ids, filters: &self.filters, page }
            .check(&["prefix-list-id", "prefix-list-name"])?;
        if let Some(id) = self.prefix_list_ids.first() {
            return Err(Error::not_found(*id));
        }
        let (prefix_lists, next_token) = page.cut(1..=1000, Vec::new(), |_: &PrefixListItem| String::new())?;
        Ok(DescribePrefixListsResponse { prefix_lists, next_token })
    }
}

/// The caller's list.
pub(super) fn item_of(cloud: &Cloud<'_>, id: PrefixListId) -> Result<ManagedPrefixListItem, Error> {
    Ok(item(cloud, &*cloud.owned::<PrefixList>(id)?))
}

pub(super) fn item(cloud: &Cloud<'_>, list: &PrefixList) -> ManagedPrefixListItem {
    ManagedPrefixListItem {
        prefix_list_id: list.id,
        address_family: list.family.name(),
        state: cloud.word(list.id, list.state.code()),
        prefix_list_arn: cloud.arn("prefix-list", list.id),
        prefix_list_name: list.name.clone(),
        max_entries: list.max_entries,
        version: list.version,
        tag_set: list.tags.clone(),
        owner_id: list.owner,
    }
}
