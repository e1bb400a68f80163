//! Sets of DHCP options (spec 2.6); a set never changes once it is made.

use std::net::{IpAddr, Ipv4Addr};

use ec2::Error;
use ec2::page::Page;
use ec2::shapes::dhcp::*;
use ec2::shapes::{Done, TagSpecification};
use model::*;

use super::Handle;
use crate::describe::{Describe, Place, Query};
use crate::rules::texts;
use crate::{Cloud, Draw};

impl Handle for CreateDhcpOptions {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<CreateDhcpOptionsResponse, Error> {
        let tags = TagSpecification::tags(&self.tag_specifications, &["dhcp-options"], "dhcp-options")?;
        if self.dhcp_configurations.is_empty() {
            return Err(Error::missing_parameter("DhcpConfiguration"));
        }
        let mut configuration: Vec<(String, Vec<String>)> = Vec::new();
        for DhcpConfigurationInput { key, values } in self.dhcp_configurations {
            check_option(&key, &values)?;
            if configuration.iter().any(|(other, _)| *other == key) {
                return Err(Error::invalid_parameter("DhcpConfiguration.Key", key, "The option is given twice."));
            }
            configuration.push((key, values));
        }
        let max = cloud.config.quotas.dhcp_options;
        if cloud.own::<DhcpOptions>().count() >= max {
            let message = format!("The maximum number of sets of DHCP options has been reached: {max}");
            return Err(Error::new("DhcpOptionsLimitExceeded", message));
        }
        let options = DhcpOptions { id: cloud.draw.id(), owner: cloud.caller.account, configuration, tags };
        cloud.put(options.clone());
        Ok(CreateDhcpOptionsResponse { dhcp_options: item(&options) })
    }
}

/// An option's name, how many values it may have, and what one may look like.
type Rule = (&'static str, usize, fn(&str) -> bool);

const OPTIONS: [Rule; 6] = [
    ("domain-name", 1, is_domain),
    ("domain-name-servers", 4, |value| value == AMAZON_PROVIDED_DNS || value.parse::<IpAddr>().is_ok()),
    ("ntp-servers", 4, |value| value.parse::<IpAddr>().is_ok()),
    ("netbios-name-servers", 4, |value| value.parse::<Ipv4Addr>().is_ok()),
    ("netbios-node-type", 1, |value| ["1", "2", "4", "8"].contains(&value)),
    ("ipv6-address-preferred-lease-time", 1, |value| {
        value.parse::<u32>().is_ok_and(|seconds| (140..=2_147_483_647).contains(&seconds))
    }),
];

const AMAZON_PROVIDED_DNS: &str = "AmazonProvidedDNS";

/// One name, or several with spaces between them, in at most the 255 octets of the option (RFC 2132).
fn is_domain(value: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let name = |name: &str| name.strip_suffix('.').unwrap_or(name).split('.').all(label);
    value.len() <= 255 && value.split(' ').all(name)
}

fn check_option(key: &str, values: &[String]) -> Result<(), Error> {
    let Some((_, count_max, is_right)) = OPTIONS.iter().find(|(name, ..)| *name == key) else {
        let known = OPTIONS.map(|(name, ..)| name).join(", ");
        return Err(Error::invalid_parameter("DhcpConfiguration.Key", key, &format!("Use one of {known}.")));
    };
    if values.is_empty() || values.len() > *count_max {
        let message = format!("The option {key} has {} values; it needs 1 to {count_max}.", values.len());
        return Err(Error::invalid_value(message));
    }
    match values.iter().find(|value| !is_right(value)) {
        Some(wrong) => Err(Error::invalid_parameter(
            "DhcpConfiguration.Value",
            wrong,
            &format!("It is no value of the option {key}."),
        )),
        None => Ok(()),
    }
}

impl Handle for DeleteDhcpOptions {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let options = cloud.owned::<DhcpOptions>(self.dhcp_options_id)?;
        if cloud.own_by::<Vpc>(By::id(options.id)).next().is_some() {
            return Err(Error::has_dependencies("dhcpOptions", options.id));
        }
        cloud.delete::<DhcpOptions>(options.id);
        Ok(Done::TRUE)
    }
}

impl Handle for AssociateDhcpOptions {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let chosen = match self.dhcp_options_id {
            DhcpOptionsChoice::Default => None,
            DhcpOptionsChoice::Set(id) => Some(cloud.owned::<DhcpOptions>(id)?.id),
        };
        cloud.update::<Vpc, _>(self.vpc_id, |vpc| {
            vpc.dhcp_options = chosen;
            Ok(Done::TRUE)
        })
    }
}

/// The account's default set: every new VPC has it; the first one makes it.
///
/// Its id follows from region and account, so that it is told from a user's set with the same options.
pub(super) fn default_set(cloud: &mut Cloud<'_>) -> DhcpOptionsId {
    let (region, owner) = (cloud.config.region, cloud.caller.account);
    let id = default_set_id(region, owner);
    if cloud.world().find::<DhcpOptions>(&id).is_none() {
        let option = |key: &str, value: String| (key.to_owned(), vec![value]);
        let configuration = vec![
            option("domain-name", cloud.config.names.private_domain(region)),
            option("domain-name-servers", AMAZON_PROVIDED_DNS.into()),
        ];
        cloud.put(DhcpOptions { id, owner, configuration, tags: Tags::new() });
    }
    id
}

pub(crate) fn default_set_id(region: Region, owner: AccountId) -> DhcpOptionsId {
    // A region's name has at most 24 bytes and an account id of 12 digits fits 8: together they are a seed.
    let mut seed = [0; 32];
    for (at, byte) in seed[..24].iter_mut().zip(region.as_str().bytes()) {
        *at = byte;
    }
    seed[24..].copy_from_slice(&owner.to_string().parse::<u64>().unwrap_or_default().to_be_bytes());
    Draw::new(seed).id()
}

impl Handle for DescribeDhcpOptions {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeDhcpOptionsResponse, Error> {
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let query = Query { ids: &self.dhcp_options_ids, filters: &self.filters, page };
        let (sets, next_token) = cloud.select::<DhcpOptions>(query, 5..=1000)?;
        Ok(DescribeDhcpOptionsResponse { dhcp_options: sets.iter().map(|options| item(options)).collect(), next_token })
    }
}

impl Describe for DhcpOptions {
    const FILTERS: &'static [&'static str] = &["dhcp-options-id", "key", "owner-id", "value"];

    fn is_visible(&self, cloud: &Cloud<'_>) -> bool {
        self.owner == cloud.caller.account
    }

    fn tags<'t>(&'t self, _: &Cloud<'_>) -> &'t Tags {
        &self.tags
    }

    fn values(&self, _: &Cloud<'_>, filter: &str) -> Vec<String> {
        match filter {
            "dhcp-options-id" => texts([self.id]),
            "key" => texts(self.configuration.iter().map(|(key, _)| key)),
            "owner-id" => texts([self.owner]),
            "value" => texts(self.configuration.iter().flat_map(|(_, values)| values)),
            _ => Vec::new(),
        }
    }

    fn place(_: &Cloud<'_>, filter: &str, value: &str) -> Option<Place<Self::Id>> {
        match filter {
            "dhcp-options-id" => Place::of_id(value),
            _ => None,
        }
    }
}

fn item(options: &DhcpOptions) -> DhcpOptionsItem {
    let configuration = options.configuration.iter().map(|(key, values)| DhcpConfigurationItem {
        key: key.clone(),
        value_set: values.iter().map(|value| DhcpValueItem { value: value.clone() }).collect(),
    });
    DhcpOptionsItem {
        dhcp_options_id: options.id,
        owner_id: options.owner,
        dhcp_configuration_set: configuration.collect(),
        tag_set: options.tags.clone(),
    }
}
