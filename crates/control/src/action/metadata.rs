//! How instances' metadata answers (EC2's InstanceMetadataOptions). The service itself is the agent's.

use ec2::Error;
use ec2::shapes::instance::MetadataOptionsItem;
use ec2::shapes::metadata::*;
use model::*;

use super::{Handle, metadata_default};
use crate::Cloud;
use crate::timing::Wait;

impl Handle for ModifyInstanceMetadataOptions {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<ModifyInstanceMetadataOptionsResponse, Error> {
        let instance_id = self.instance_id;
        let wanted = MetadataOptionsInput {
            http_tokens: self.http_tokens,
            http_put_response_hop_limit: self.http_put_response_hop_limit,
            http_endpoint: self.http_endpoint,
            http_protocol_ipv6: self.http_protocol_ipv6,
            instance_metadata_tags: self.instance_metadata_tags,
        };
        let options = cloud.update::<Instance, _>(instance_id, |instance| {
            if instance.state == InstanceState::Terminated {
                let message = format!("The instance '{instance_id}' is terminated; its options cannot be modified");
                return Err(Error::new("IncorrectInstanceState", message));
            }
            instance.metadata = chosen(instance.metadata, Some(&wanted), &instance.tags)?;
            Ok(instance.metadata)
        })?;
        metadata_default::check(cloud, &options)?;
        cloud.takes_time(passage(instance_id), Phase::Pending, Wait::MetadataOptions);
        let instance_metadata_options = MetadataOptionsItem { state: "pending", ..item(&options) };
        Ok(ModifyInstanceMetadataOptionsResponse { instance_id, instance_metadata_options })
    }
}

/// The options with what was asked for; what was not stays.
///
/// # Errors
/// `InvalidParameterValue` for a word, a number or, where tags are to be told, a tag key that cannot be.
pub(super) fn chosen(
    before: MetadataOptions,
    wanted: Option<&MetadataOptionsInput>,
    tags: &Tags,
) -> Result<MetadataOptions, Error> {
    let Some(wanted) = wanted else { return Ok(before) };
    let switch = |name: &str, text: &Option<String>, before: bool| word(name, text, ["disabled", "enabled"], before);
    let hop_limit = match wanted.http_put_response_hop_limit {
        None => before.hop_limit,
        Some(limit) => u8::try_from(limit).ok().filter(|limit| (1..=64).contains(limit)).ok_or_else(|| {
            Error::invalid_parameter("HttpPutResponseHopLimit", limit, "It must be between 1 and 64.")
        })?,
    };
    let options = MetadataOptions {
        requires_token: word("HttpTokens", &wanted.http_tokens, ["optional", "required"], before.requires_token)?,
        hop_limit,
        is_enabled: switch("HttpEndpoint", &wanted.http_endpoint, before.is_enabled)?,
        has_ipv6: switch("HttpProtocolIpv6", &wanted.http_protocol_ipv6, before.has_ipv6)?,
        shows_tags: switch("InstanceMetadataTags", &wanted.instance_metadata_tags, before.shows_tags)?,
    };
    if options.shows_tags {
        check_keys(tags)?;
    }
    Ok(options)
}

/// Which of two words: `false` for the first.
fn word(name: &str, text: &Option<String>, words: [&str; 2], before: bool) -> Result<bool, Error> {
    let Some(text) = text else { return Ok(before) };
    let [no, yes] = words;
    match text {
        text if text == no => Ok(false),
        text if text == yes => Ok(true),
        text => Err(Error::invalid_parameter(name, text, &format!("Expected {no} or {yes}."))),
    }
}

/// Where tags are told, their keys are parts of paths.
pub(super) fn check_keys(tags: &Tags) -> Result<(), Error> {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "+-=._:@,".contains(letter);
    let is_wrong = |key: &&String| !key.chars().all(is_letter) || [".", "..", "_index"].contains(&key.as_str());
    match tags.keys().find(is_wrong) {
        None => Ok(()),
        Some(key) => Err(Error::invalid_value(format!(
            "'{key}' is not a valid tag key. Tag keys must match pattern ([0-9a-zA-Z\\-_+=,.@:]{{1,255}}), and must not be a reserved name ('.', '..', '_index')"
        ))),
    }
}

/// What a passage of its options is named.
fn passage(id: InstanceId) -> String {
    format!("{id}/metadata")
}

/// The options that an instance has, or is about to have.
pub(super) fn current(cloud: &Cloud<'_>, instance: &Instance) -> MetadataOptionsItem {
    let settled = item(&instance.metadata);
    MetadataOptionsItem { state: cloud.word(passage(instance.id), settled.state), ..settled }
}

fn item(options: &MetadataOptions) -> MetadataOptionsItem {
    MetadataOptionsItem {
        state: "applied",
        http_tokens: tokens(options),
        http_put_response_hop_limit: options.hop_limit.into(),
        http_endpoint: switch(options.is_enabled),
        http_protocol_ipv6: switch(options.has_ipv6),
        instance_metadata_tags: switch(options.shows_tags),
    }
}

/// What a filter `metadata-options.<option>` compares with.
pub(super) fn values(cloud: &Cloud<'_>, instance: &Instance, option: &str) -> Vec<String> {
    let item = current(cloud, instance);
    let value = match option {
        "state" => item.state.into(),
        "http-endpoint" => item.http_endpoint.into(),
        "http-protocol-ipv4" => switch(true).into(),
        "http-protocol-ipv6" => item.http_protocol_ipv6.into(),
        "http-put-response-hop-limit" => item.http_put_response_hop_limit.to_string(),
        "http-tokens" => item.http_tokens.into(),
        "instance-metadata-tags" => item.instance_metadata_tags.into(),
        _ => return Vec::new(),
    };
    vec![value]
}

fn tokens(options: &MetadataOptions) -> &'static str {
    if options.requires_token { "required" } else { "optional" }
}

fn switch(is_on: bool) -> &'static str {
    if is_on { "enabled" } else { "disabled" }
}
