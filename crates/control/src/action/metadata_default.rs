//! An account's defaults for the metadata of its instances, in one region (EC2's GetInstanceMetadataDefaults).

use ec2::Error;
use ec2::shapes::Done;
use ec2::shapes::metadata_default::*;
use model::metadata::MetadataDefaults;
use model::*;

use super::Handle;
use crate::Cloud;

impl Handle for GetInstanceMetadataDefaults {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<GetInstanceMetadataDefaultsResponse, Error> {
        let defaults = of_caller(cloud);
        let choice = |chosen: Option<bool>, words: [&'static str; 2]| chosen.map(|yes| words[usize::from(yes)]);
        let account_level = MetadataDefaultsItem {
            http_tokens: choice(defaults.requires_token, TOKENS),
            http_put_response_hop_limit: defaults.hop_limit.map(i32::from),
            http_endpoint: choice(defaults.is_enabled, SWITCH),
            instance_metadata_tags: choice(defaults.shows_tags, SWITCH),
            managed_by: "account",
            http_tokens_enforced: choice(defaults.enforces_token, SWITCH),
        };
        Ok(GetInstanceMetadataDefaultsResponse { account_level })
    }
}

impl Handle for ModifyInstanceMetadataDefaults {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let before = of_caller(cloud);
        let defaults = MetadataDefaults {
            requires_token: choose("HttpTokens", self.http_tokens, TOKENS, before.requires_token)?,
            hop_limit: hop_limit(self.http_put_response_hop_limit, before.hop_limit)?,
            is_enabled: choose("HttpEndpoint", self.http_endpoint, SWITCH, before.is_enabled)?,
            shows_tags: choose("InstanceMetadataTags", self.instance_metadata_tags, SWITCH, before.shows_tags)?,
            enforces_token: choose("HttpTokensEnforced", self.http_tokens_enforced, SWITCH, before.enforces_token)?,
        };
        if defaults.enforces_token == Some(true) && defaults.requires_token == Some(false) {
            let message =
                "HttpTokensEnforced cannot be enabled while HttpTokens is optional; set HttpTokens to required";
            return Err(Error::invalid_combination(message));
        }
        let account = cloud.caller.account;
        let own = cloud.world().find::<AccountRegion>(&account);
        let own = own.map_or_else(|| AccountRegion::new(account), |own| AccountRegion::clone(own));
        cloud.put(AccountRegion { metadata_defaults: defaults, ..own });
        Ok(Done::TRUE)
    }
}

/// The words for no and for yes.
const TOKENS: [&str; 2] = ["optional", "required"];
const SWITCH: [&str; 2] = ["disabled", "enabled"];
const NO_PREFERENCE: &str = "no-preference";

fn choose(name: &str, text: Option<String>, [no, yes]: [&str; 2], before: Option<bool>) -> Result<Option<bool>, Error> {
    match text {
        None => Ok(before),
        Some(text) if text == NO_PREFERENCE => Ok(None),
        Some(text) if text == no => Ok(Some(false)),
        Some(text) if text == yes => Ok(Some(true)),
        Some(text) => Err(Error::invalid_parameter(name, text, &format!("Expected {no}, {yes} or {NO_PREFERENCE}."))),
    }
}

/// 1 to 64; -1 is no preference.
fn hop_limit(limit: Option<i32>, before: Option<u8>) -> Result<Option<u8>, Error> {
    match limit {
        None => Ok(before),
        Some(-1) => Ok(None),
        Some(limit) => match u8::try_from(limit).ok().filter(|limit| (1..=64).contains(limit)) {
            Some(limit) => Ok(Some(limit)),
            None => {
                let why = "It must be between 1 and 64, or -1 for no preference.";
                Err(Error::invalid_parameter("HttpPutResponseHopLimit", limit, why))
            }
        },
    }
}

fn of_caller(cloud: &Cloud<'_>) -> MetadataDefaults {
    cloud.world().find::<AccountRegion>(&cloud.caller.account).map(|own| own.metadata_defaults).unwrap_or_default()
}

/// What a launch begins from that chooses nothing.
pub(super) fn at_launch(cloud: &Cloud<'_>) -> MetadataOptions {
    let (chosen, options) = (of_caller(cloud), MetadataOptions::default());
    MetadataOptions {
        requires_token: chosen.requires_token.unwrap_or(options.requires_token),
        hop_limit: chosen.hop_limit.unwrap_or(options.hop_limit),
        is_enabled: chosen.is_enabled.unwrap_or(options.is_enabled),
        shows_tags: chosen.shows_tags.unwrap_or(options.shows_tags),
        ..options
    }
}

/// Where the account enforces tokens, no instance may do without.
///
/// # Errors
/// `UnsupportedOperation`.
pub(super) fn check(cloud: &Cloud<'_>, options: &MetadataOptions) -> Result<(), Error> {
    if of_caller(cloud).enforces_token == Some(true) && !options.requires_token {
        let message = "You can't launch or change instances with httpTokens=optional because httpTokensEnforced is enabled for this \
                       account. Use httpTokens=required, or disable it with ModifyInstanceMetadataDefaults.";
        return Err(Error::new("UnsupportedOperation", message));
    }
    Ok(())
}
