//! Tags on anything (spec 1.4).

use std::collections::BTreeMap;

use ec2::page::Page;
use ec2::shapes::Done;
use ec2::shapes::common::{TAGS_MAX, TagInput, tags_from};
use ec2::shapes::tag::*;
use ec2::{Error, IdCodes};
use model::*;

use super::{Handle, catalogue, metadata, place};
use crate::Cloud;

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

        fn list_owned(cloud: &Cloud<'_>, list: &mut impl FnMut(String, &'static str, &Tags)) {
            $(for found in cloud.own::<$kind>() {
                list(found.id.to_string(), $name, &found.tags);
            })*
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
            let group = cloud.own::<SecurityGroup>().find(|group| group.rules.contains_key(&id));
            let group = group.ok_or_else(|| Error::not_found(id))?.id;
            cloud.update::<SecurityGroup, _>(group, |group| {
                group.rules.get_mut(&id).map_or(Ok(()), |rule| change(&mut rule.tags))
            })
        }
        VolumeId::PREFIX => {
            let id = parse::<VolumeId>(id)?;
            let instance = catalogue::own(cloud).find(|(_, volume)| volume.id == id).map(|(instance, _)| instance.id);
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
        let mut all = BTreeMap::new();
        let mut list = |resource_id: String, resource_type, tags: &Tags| {
            for (key, value) in tags {
                let (key, value, resource_id) = (key.clone(), value.clone(), resource_id.clone());
                // No id has this separator, so the order of these texts is the order of (id, key).
                let order = format!("{resource_id}\0{key}");
                all.insert(order, TagDescription { resource_id, resource_type, key, value });
            }
        };
        list_owned(cloud, &mut list);
        for rule in cloud.own::<SecurityGroup>().flat_map(|group| group.rules.values()) {
            list(rule.id.to_string(), "security-group-rule", &rule.tags);
        }
        for (_, volume) in catalogue::own(cloud) {
            list(volume.id.to_string(), "volume", &volume.tags);
        }
        for peering in cloud
            .world()
            .all::<Peering>()
            .filter(|peering| crate::peering::is_visible(peering, cloud.caller.account, cloud.config, cloud.now))
        {
            if let Some(tags) = peering.tags.get(&cloud.caller.account) {
                list(peering.id.to_string(), "vpc-peering-connection", tags);
            }
        }
        let wanted = all.into_iter().filter(|(_, tag)| place::passes(&self.filters, |name| values(tag, name)));
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let (tags, next_token) = page.cut(5..=1000, wanted, |(order, _)| order.clone())?;
        Ok(DescribeTagsResponse { tags: tags.into_iter().map(|(_, tag)| tag).collect(), next_token })
    }
}

fn values(tag: &TagDescription, filter: &str) -> Vec<String> {
    match filter {
        "key" | "tag-key" => vec![tag.key.clone()],
        "value" | "tag-value" => vec![tag.value.clone()],
        "resource-id" => vec![tag.resource_id.clone()],
        "resource-type" => vec![tag.resource_type.into()],
        name if name.strip_prefix("tag:") == Some(tag.key.as_str()) => vec![tag.value.clone()],
        _ => Vec::new(),
    }
}
