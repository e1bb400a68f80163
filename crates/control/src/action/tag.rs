//! Tags on anything (spec 1.4).

use std::collections::BTreeMap;
use std::sync::Arc;

use ec2::page::Page;
use ec2::shapes::Done;
use ec2::shapes::common::{TAGS_MAX, TagInput, tags_from};
use ec2::shapes::tag::*;
use ec2::{Error, Filter, IdCodes};
use model::*;

use super::{Handle, catalogue, metadata};
use crate::Cloud;
use crate::describe::{Describe, Place};

impl Handle for CreateTags {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        if self.tags.is_empty() {
            return Err(Error::missing_parameter("Tag"));
        }
        let added = tags_from(&self.tags)?;
        change_all(cloud, &self.resources, |tags| {
            tags.extend(added.clone());
            if tags.len() > TAGS_MAX {
                let message =
                    format!("A resource would have {} tags, the limit is {TAGS_MAX}; delete some first", tags.len());
                return Err(Error::new("TagLimitExceeded", message));
            }
            Ok(())
        })?;
        // An instance that tells its tags tells them by path.
        let instances = self.resources.iter().filter_map(|id| cloud.world().find::<Instance>(&id.parse().ok()?));
        let mut telling = instances.filter(|instance| instance.metadata.shows_tags);
        telling.try_for_each(|instance| metadata::check_keys(&instance.tags))?;
        Ok(Done::TRUE)
    }
}

impl Handle for DeleteTags {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let goes = |key: &String, value: &String| {
            let names = |tag: &TagInput| tag.key == *key && tag.value.as_ref().is_none_or(|wanted| wanted == value);
            self.tags.is_empty() || self.tags.iter().any(names)
        };
        change_all(cloud, &self.resources, |tags| {
            tags.retain(|key, value| !goes(key, value));
            Ok(())
        })
    }
}

fn change_all(
    cloud: &mut Cloud<'_>,
    resources: &[String],
    change: impl Fn(&mut Tags) -> Result<(), Error>,
) -> Result<Done, Error> {
    if resources.is_empty() {
        return Err(Error::missing_parameter("ResourceId"));
    }
    resources.iter().try_for_each(|id| change_one(cloud, id, &change))?;
    Ok(Done::TRUE)
}

/// The kinds that have an owner and tags of their own, with the API's words for them.
macro_rules! owned_kinds {
    ($($id:ident $kind:ident $name:literal;)*) => {
        /// Changes the tags of the caller's own thing of one of these kinds; `None`: the id is of none of them.
        fn change_owned(
            cloud: &mut Cloud<'_>,
            id: &str,
            change: impl FnOnce(&mut Tags) -> Result<(), Error>,
        ) -> Option<Result<(), Error>> {
            match prefix(id) {
                $(<$id as ResourceId>::PREFIX => Some(parse::<$id>(id).and_then(|id| {
                    cloud.update::<$kind, _>(id, |found| change(&mut found.tags))
                })),)*
                _ => None,
            }
        }

        /// Of each of these kinds those that may have tags which are asked for.
        fn listed_owned<'c>(cloud: &'c Cloud<'_>, asked: &Asked<'c>) -> Vec<Listed<'c>> {
            let caller = cloud.caller.account;
            vec![$(asked.list::<$kind>(cloud, $name, move |found| found.owner == caller, |found| &found.tags),)*]
        }
    };
}

owned_kinds! {
    VpcId Vpc "vpc";
    SubnetId Subnet "subnet";
    RouteTableId RouteTable "route-table";
    SecurityGroupId SecurityGroup "security-group";
    NetworkAclId NetworkAcl "network-acl";
    NetworkInterfaceId NetworkInterface "network-interface";
    InstanceId Instance "instance";
    InternetGatewayId InternetGateway "internet-gateway";
    NatGatewayId NatGateway "natgateway";
    EgressOnlyInternetGatewayId EgressOnlyInternetGateway "egress-only-internet-gateway";
    DhcpOptionsId DhcpOptions "dhcp-options";
    FlowLogId FlowLog "vpc-flow-log";
    InsightsPathId NetworkInsightsPath "network-insights-path";
    InsightsAnalysisId NetworkInsightsAnalysis "network-insights-analysis";
    AccessScopeId NetworkInsightsAccessScope "network-insights-access-scope";
    AccessScopeAnalysisId NetworkInsightsAccessScopeAnalysis "network-insights-access-scope-analysis";
    PrefixListId PrefixList "prefix-list";
    KeyPairId KeyPair "key-pair";
    ImageId RegisteredImage "image";
    VpnGatewayId VpnGateway "vpn-gateway";
    SubnetCidrReservationId SubnetCidrReservation "subnet-cidr-reservation";
    AllocationId ElasticAddress "elastic-ip";
}

fn change_one(
    cloud: &mut Cloud<'_>,
    id: &str,
    change: impl FnOnce(&mut Tags) -> Result<(), Error>,
) -> Result<(), Error> {
    match prefix(id) {
        PeeringId::PREFIX => {
            let id = parse::<PeeringId>(id)?;
            let found = cloud
                .world()
                .find::<Peering>(&id)
                .filter(|peering| crate::peering::is_visible(peering, cloud.caller.account, cloud.config, cloud.now));
            let mut peering = Peering::clone(found.ok_or_else(|| Error::not_found(id))?);
            change(peering.tags.entry(cloud.caller.account).or_default())?;
            cloud.put(peering);
            Ok(())
        }
        SecurityGroupRuleId::PREFIX => {
            let id = parse::<SecurityGroupRuleId>(id)?;
            let group = cloud.own_by::<SecurityGroup>(By::id(id)).next();
            let group = group.ok_or_else(|| Error::not_found(id))?.id;
            cloud.update::<SecurityGroup, _>(group, |group| {
                group.rules.get_mut(&id).map_or(Ok(()), |rule| change(&mut rule.tags))
            })
        }
        VolumeId::PREFIX => {
            let id = parse::<VolumeId>(id)?;
            let instances = cloud.own_by::<Instance>(By::id(id));
            let instance = catalogue::volumes_of(instances).next().map(|(instance, _)| instance.id);
            cloud.update::<Instance, _>(instance.ok_or_else(|| Error::not_found(id))?, |instance| {
                instance
                    .volumes
                    .iter_mut()
                    .find(|volume| volume.id == id)
                    .map_or(Ok(()), |found| change(&mut found.tags))
            })
        }
        _ => change_owned(cloud, id, change).unwrap_or_else(|| Err(not_taggable(id))),
    }
}

/// What stands before the digits; no prefix is part of another one's digits, which have no dash.
fn prefix(id: &str) -> &str {
    id.rsplit_once('-').map_or("", |(prefix, _)| prefix)
}

fn parse<Id: IdCodes>(id: &str) -> Result<Id, Error> {
    id.parse().map_err(|error| Error::malformed::<Id>(&error))
}

/// An id of a kind of which there is none here does not exist; any other text is no id (spec 1.4.2).
fn not_taggable(id: &str) -> Error {
    match ec2::error::CODES_BY_PREFIX.iter().find(|(known, ..)| *known == prefix(id)) {
        Some((_, _, not_found, noun)) => Error::new(*not_found, format!("The {noun} '{id}' does not exist")),
        None => Error::new("InvalidID", format!("The ID '{id}' is not valid")),
    }
}

impl Handle for DescribeTags {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeTagsResponse, Error> {
        ec2::filter::check(&self.filters, &["key", "resource-id", "resource-type", "value"])?;
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let asked = Asked { filters: &self.filters, after: page.after() };
        let cloud = &*cloud;
        let mut lists = listed_owned(cloud, &asked);
        lists.push(asked.rules(cloud));
        lists.push(asked.volumes(cloud));
        let is_visible = move |peering: &Peering| peering.is_visible(cloud);
        lists.push(asked.list::<Peering>(cloud, "vpc-peering-connection", is_visible, move |found| found.tags(cloud)));
        // One kind after the other, in the order of the texts of their ids.
        lists.sort_by(|a, b| a.prefix.cmp(&b.prefix));
        let looked_at = lists.into_iter().flat_map(|list| list.tags);
        let (tags, next_token) = page.sift(5..=1000, looked_at, TagOf::order, |tag| !tag.is_mark())?;
        Ok(DescribeTagsResponse { tags: tags.iter().map(TagOf::description).collect(), next_token })
    }
}

/// A tag and what has it; before the tags of each thing stands a mark with an empty key, which no tag has.
struct TagOf<'c> {
    resource_id: Arc<str>,
    resource_type: &'static str,
    key: &'c str,
    value: &'c str,
}

impl TagOf<'_> {
    /// No id has this separator, so the order of these texts is the order of (id, key).
    fn order(&self) -> String {
        format!("{}\0{}", self.resource_id, self.key)
    }

    fn passes(&self, filter: &Filter) -> bool {
        let matches = |text| ec2::filter::any_matches(&filter.values, text);
        match filter.name.as_str() {
            "key" | "tag-key" => matches(Some(self.key)),
            "value" | "tag-value" => matches(Some(self.value)),
            "resource-type" => matches(Some(self.resource_type)),
            "resource-id" => matches(Some(&self.resource_id)),
            name => matches((name.strip_prefix("tag:") == Some(self.key)).then_some(self.value)),
        }
    }

    fn is_mark(&self) -> bool {
        self.key.is_empty()
    }

    fn description(&self) -> TagDescription {
        let (resource_id, key, value) = (self.resource_id.to_string(), self.key.to_owned(), self.value.to_owned());
        TagDescription { resource_id, resource_type: self.resource_type, key, value }
    }
}

/// A mark, and those of the thing's tags that pass.
fn wanted<'c, Id: ResourceId>(
    filters: &'c [Filter],
    resource_type: &'static str,
    id: Id,
    tags: &'c Tags,
) -> impl Iterator<Item = TagOf<'c>> {
    let id: Arc<str> = id.to_string().into();
    let tag_of = move |key, value| TagOf { resource_id: id.clone(), resource_type, key, value };
    let mark = tag_of("", "");
    let is_wanted = move |tag: &TagOf<'_>| filters.iter().all(|filter| tag.passes(filter));
    let tags = tags.iter().map(move |(key, value)| tag_of(key, value));
    std::iter::once(mark).chain(tags.filter(is_wanted))
}

/// The tags of one kind of things, in order.
struct Listed<'c> {
    /// What the ids of the kind begin with, the dash included.
    prefix: String,
    tags: Box<dyn Iterator<Item = TagOf<'c>> + 'c>,
}

impl<'c> Listed<'c> {
    fn new<Id: ResourceId>(tags: impl Iterator<Item = TagOf<'c>> + 'c) -> Listed<'c> {
        Listed { prefix: format!("{}-", Id::PREFIX), tags: Box::new(tags) }
    }
}

/// What a request for tags asks for.
struct Asked<'c> {
    filters: &'c [Filter],
    /// Behind what the page begins.
    after: Option<String>,
}

impl<'c> Asked<'c> {
    /// The tags of those things of a kind that may have what is asked for.
    fn list<E: Entity + 'static>(
        &self,
        cloud: &'c Cloud<'_>,
        resource_type: &'static str,
        is_visible: impl Fn(&E) -> bool + 'c,
        tags: impl Fn(&'c E) -> &'c Tags + 'c,
    ) -> Listed<'c>
    where
        E::Id: ResourceId,
    {
        let Some(after) = self.after::<E::Id>().filter(|_| self.has_type(resource_type)) else {
            return Listed::new::<E::Id>(std::iter::empty());
        };
        let own = vec![Place::Under(By::account(cloud.caller.account))];
        let places = cloud.fewest::<E>(self.filters.iter().filter_map(places).chain([own]));
        // The page may begin among the tags of one thing.
        let first = after.and_then(|id| cloud.world().find::<E>(&id));
        let found = first.into_iter().chain(cloud.candidates::<E>(&places, after));
        let (visible, filters) = (found.filter(move |found| is_visible(found)), self.filters);
        Listed::new::<E::Id>(visible.flat_map(move |found| wanted(filters, resource_type, found.id(), tags(found))))
    }

    fn rules(&self, cloud: &'c Cloud<'_>) -> Listed<'c> {
        let groups = cloud.own_by::<SecurityGroup>(By::has_tagged_rules());
        let rules = groups.flat_map(|group| group.rules.values());
        self.parts("security-group-rule", rules.map(|rule| (rule.id, &rule.tags)))
    }

    fn volumes(&self, cloud: &'c Cloud<'_>) -> Listed<'c> {
        let instances = cloud.own_by::<Instance>(By::has_tagged_volumes());
        let volumes = catalogue::volumes_of(instances);
        self.parts("volume", volumes.map(|(_, volume)| (volume.id, &volume.tags)))
    }

    /// The tags of what is kept within other things.
    fn parts<Id: ResourceId + 'c>(
        &self,
        resource_type: &'static str,
        parts: impl Iterator<Item = (Id, &'c Tags)>,
    ) -> Listed<'c> {
        let parts: BTreeMap<Id, &Tags> = if self.has_type(resource_type) { parts.collect() } else { BTreeMap::new() };
        let filters = self.filters;
        Listed::new::<Id>(parts.into_iter().flat_map(move |(id, tags)| wanted(filters, resource_type, id, tags)))
    }

    /// `None`: the page begins behind all things of this kind. Else behind which of them, if behind any.
    fn after<Id: ResourceId>(&self) -> Option<Option<Id>> {
        let Some(after) = &self.after else { return Some(None) };
        let (id, _) = after.split_once('\0').unwrap_or((after, ""));
        match id.parse() {
            Ok(id) => Some(Some(id)),
            Err(_) => (format!("{}-", Id::PREFIX).as_str() > id).then_some(None),
        }
    }

    fn has_type(&self, resource_type: &str) -> bool {
        let mut types = self.filters.iter().filter(|filter| filter.name == "resource-type");
        types.all(|filter| ec2::filter::any_matches(&filter.values, [resource_type]))
    }
}

/// Where everything stands that has a tag which passes the filter.
fn places<Id: ResourceId>(filter: &Filter) -> Option<Vec<Place<Id>>> {
    let under = |by| Some(Place::Under(by));
    let place = |value: &String| match filter.name.as_str() {
        _ if !ec2::filter::is_exact(value) => None,
        "key" | "tag-key" => under(By::tag_key(value)),
        "value" | "tag-value" => under(By::tag_value(value)),
        "resource-id" => Place::of_id(value),
        name => under(By::tag(name.strip_prefix("tag:")?, value)),
    };
    filter.values.iter().map(place).collect()
}
