//! Network access scopes and what was found in them: which packets may pass that should be noticed (Network Access Analyzer).
//!
//! A scope is a standing question, an analysis the answer of one moment: a record of then, whose findings are texts and name things
//! that may be gone, as [`crate::insights`].

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::Ipv4Addr;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

use crate::insights::{PathComponent, PortRange};
use crate::{AccessScopeAnalysisId, AccessScopeId, AccountId, IpProtocol, Ipv4Cidr, Tags, Time};

/// Paths that match one of `match_paths` and none of `exclude_paths` are findings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkInsightsAccessScope {
    pub id: AccessScopeId,
    pub owner: AccountId,
    pub created: Time,
    /// At least one.
    pub match_paths: Vec<AccessScopePath>,
    pub exclude_paths: Vec<AccessScopePath>,
    pub tags: Tags,
}

/// A set of paths: those of which all that is said here holds. At least one thing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessScopePath {
    pub source: Option<PathStatement>,
    pub destination: Option<PathStatement>,
    /// What the paths go through.
    pub through: Option<ResourceStatement>,
}

/// One end of a path, and the packet's header there. At least one of the two is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStatement {
    pub header: Option<HeaderStatement>,
    pub resources: Option<ResourceStatement>,
}

/// Packets: what is empty is not asked, and at least one is not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderStatement {
    pub source_addresses: Vec<AddressRange>,
    pub destination_addresses: Vec<AddressRange>,
    pub source_ports: Vec<ScopePorts>,
    pub destination_ports: Vec<ScopePorts>,
    /// Ids or ARNs.
    pub source_prefix_lists: Vec<String>,
    pub destination_prefix_lists: Vec<String>,
    /// TCP, UDP.
    pub protocols: Vec<IpProtocol>,
}

/// Things, by name or by kind; one of the two lists is empty, the other is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceStatement {
    /// Ids or ARNs.
    pub resources: Vec<String>,
    /// `AWS::EC2::InternetGateway`
    pub resource_types: Vec<String>,
}

/// An IPv4 address or a block; it is shown as it was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AddressRange {
    Address(Ipv4Addr),
    Block(Ipv4Cidr),
}

impl AddressRange {
    pub fn block(self) -> Ipv4Cidr {
        match self {
            AddressRange::Address(address) => Ipv4Cidr::host(address),
            AddressRange::Block(block) => block,
        }
    }
}

/// The text is neither an IPv4 address or block nor, of ports, a port or a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotARange;

impl FromStr for AddressRange {
    type Err = NotARange;

    fn from_str(text: &str) -> Result<AddressRange, NotARange> {
        match text.contains('/') {
            true => text.parse().map(AddressRange::Block).map_err(|_| NotARange),
            false => text.parse().map(AddressRange::Address).map_err(|_| NotARange),
        }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddressRange::Address(address) => address.fmt(f),
            AddressRange::Block(block) => block.fmt(f),
        }
    }
}

/// `22`, or `1000-2000`, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopePorts(pub PortRange);

impl FromStr for ScopePorts {
    type Err = NotARange;

    fn from_str(text: &str) -> Result<ScopePorts, NotARange> {
        let port = |text: &str| match text.bytes().all(|b| b.is_ascii_digit()) {
            true => text.parse::<u16>().map_err(|_| NotARange),
            false => Err(NotARange),
        };
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let (from, to) = (port(from)?, port(to)?);
        if from <= to { Ok(ScopePorts(PortRange { from, to })) } else { Err(NotARange) }
    }
}

impl fmt::Display for ScopePorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PortRange { from, to } = self.0;
        if from == to { from.fmt(f) } else { write!(f, "{from}-{to}") }
    }
}

/// An answer to a scope, as of one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkInsightsAccessScopeAnalysis {
    pub id: AccessScopeAnalysisId,
    pub owner: AccountId,
    pub scope: AccessScopeId,
    pub started: Time,
    /// When it is shown to be done.
    pub ended: Time,
    pub found: AccessScopeFindings,
    pub tags: Tags,
}

/// What an analysis came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccessScopeFindings {
    /// Why nothing could be found out; there are no findings then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// What the findings do not cover.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// Network interfaces that were looked at: all of the account in the region.
    pub interfaces: u32,
    /// The components of each path.
    pub findings: Vec<Vec<PathComponent>>,
}

impl AccessScopeFindings {
    /// `true`, `false`, or `unknown` where nothing was found and not everything was looked at.
    pub fn is_found(&self) -> &'static str {
        match (self.findings.is_empty(), self.failure.is_some() || self.warning.is_some()) {
            (false, _) => "true",
            (true, true) => "unknown",
            (true, false) => "false",
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn ranges_are_shown_as_they_were_said() {
        for text in ["10.0.0.4", "10.0.0.0/8", "0.0.0.0/0", "10.0.0.4/32"] {
            assert_eq!(text.parse::<AddressRange>().unwrap().to_string(), text);
        }
        for text in ["0", "22", "1000-2000", "0-65535"] {
            assert_eq!(text.parse::<ScopePorts>().unwrap().to_string(), text);
        }
        for text in ["", "10.0.0.0/33", "::1", "::/0", "10.0.0"] {
            assert_eq!(text.parse::<AddressRange>(), Err(NotARange), "{text}");
        }
        for text in ["", "-", "22-", "-22", "65536", "90-80", "+22", "a", "1-2-3"] {
            assert_eq!(text.parse::<ScopePorts>(), Err(NotARange), "{text}");
        }
    }

    #[test]
    fn nothing_found_is_not_known_where_not_all_was_looked_at() {
        let none = AccessScopeFindings::default();
        let some = AccessScopeFindings { findings: Vec::from([Vec::new()]), ..none.clone() };
        let warned =
            |found: &AccessScopeFindings| AccessScopeFindings { warning: Some(String::new()), ..found.clone() };
        let failed = AccessScopeFindings { failure: Some(String::new()), ..none.clone() };
        let said = [&none, &some, &warned(&none), &warned(&some), &failed].map(AccessScopeFindings::is_found);
        assert_eq!(said, ["false", "true", "unknown", "true", "unknown"]);
    }
}
