//! What an instance may ask about itself, and how (spec 6.1.4; EC2's InstanceMetadataOptions).

use serde::{Deserialize, Serialize};

/// How an instance's metadata answers; EC2's own defaults where nobody chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataOptions {
    /// Requests without a session token are refused (`HttpTokens=required`).
    pub requires_token: bool,
    /// The IP TTL of what is answered, 1 to 64: how many routers it survives behind the instance.
    pub hop_limit: u8,
    /// There is an endpoint at all.
    pub is_enabled: bool,
    /// It answers at its IPv6 address, too.
    pub has_ipv6: bool,
    /// The instance's tags are among what is told.
    pub shows_tags: bool,
}

impl Default for MetadataOptions {
    fn default() -> MetadataOptions {
        MetadataOptions { requires_token: false, hop_limit: 1, is_enabled: true, has_ipv6: false, shows_tags: false }
    }
}

impl MetadataOptions {
    /// Nobody chose anything.
    pub fn is_default(&self) -> bool {
        *self == MetadataOptions::default()
    }
}

/// What an account chose for its instances in a region; `None`: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataDefaults {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires_token: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hop_limit: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_enabled: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shows_tags: Option<bool>,
    /// No instance may be told to do without a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforces_token: Option<bool>,
}

impl MetadataDefaults {
    /// Nobody chose anything.
    pub fn is_default(&self) -> bool {
        *self == MetadataDefaults::default()
    }
}
