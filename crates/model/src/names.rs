//! The names that the cloud itself gives, and what they say (spec 9.2): one grammar, for who shows them and for who answers them.
//!
//! | name | example |
//! |---|---|
//! | private, by address | `ip-10-0-0-5.ec2.internal`, `ip-10-0-0-5.eu-west-1.compute.internal` |
//! | private, by instance | `i-0123456789abcdef0.ec2.internal` |
//! | public | `ec2-203-0-113-25.compute-1.amazonaws.com`, `ec2-203-0-113-25.eu-west-1.compute.amazonaws.com` |

use alloc::format;
use alloc::string::{String, ToString};
use core::net::Ipv4Addr;
use serde::{Deserialize, Serialize};

use crate::vpc::HostnameType;
use crate::{InstanceId, Region};

/// The region whose names have no region in them.
const FIRST_REGION: &str = "us-east-1";
const PRIVATE_FIRST: &str = "ec2.internal";
const PRIVATE: &str = "compute.internal";
const PUBLIC_FIRST: &str = "compute-1.amazonaws.com";
const PUBLIC: &str = "compute.amazonaws.com";

/// What a name of the cloud's own names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloudName {
    /// A private address.
    Ip(Region, Ipv4Addr),
    /// An instance.
    Resource(Region, InstanceId),
    /// A public address.
    Public(Region, Ipv4Addr),
}

/// Where a name stands among those that only the cloud itself gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloudDomain {
    Private(Region),
    Public(Region),
}

/// `ip-10-0-0-5.ec2.internal`.
pub fn private_name(region: Region, address: Ipv4Addr) -> String {
    format!("ip-{}.{}", dashed(address), region.private_domain())
}

/// `i-0123456789abcdef0.ec2.internal`.
pub fn resource_name(region: Region, instance: InstanceId) -> String {
    format!("{instance}.{}", region.private_domain())
}

/// `ec2-203-0-113-25.compute-1.amazonaws.com`.
pub fn public_name(region: Region, address: Ipv4Addr) -> String {
    format!("ec2-{}.{}", dashed(address), public_domain(region))
}

/// The domain of public names: `compute-1.amazonaws.com` in us-east-1, else `<region>.compute.amazonaws.com`.
pub fn public_domain(region: Region) -> String {
    match region.as_str() {
        FIRST_REGION => PUBLIC_FIRST.into(),
        region => format!("{region}.{PUBLIC}"),
    }
}

/// What a name, in lower case and without its last dot, names; `None`: the cloud gives no such name.
///
/// A name has one spelling: `ip-010-0-0-5` is nobody's.
pub fn parse(name: &str) -> Option<CloudName> {
    let (label, domain) = name.split_once('.')?;
    match self::domain(domain)? {
        (CloudDomain::Private(region), true) => match label.strip_prefix("ip-") {
            Some(address) => Some(CloudName::Ip(region, undashed(address)?)),
            None => Some(CloudName::Resource(region, label.parse().ok()?)),
        },
        (CloudDomain::Public(region), true) => Some(CloudName::Public(region, undashed(label.strip_prefix("ec2-")?)?)),
        (_, false) => None,
    }
}

/// The domain that a name is in or is, and whether it is that itself.
pub fn domain(name: &str) -> Option<(CloudDomain, bool)> {
    let first = || FIRST_REGION.parse().ok();
    let under = |domain: &str| match name.strip_suffix(domain)? {
        "" => Some(""),
        rest => rest.strip_suffix('.'),
    };
    let of_region = |rest: &str| {
        let region: Region = rest.rsplit('.').next()?.parse().ok()?;
        // The first region's names have a domain of their own.
        (region.as_str() != FIRST_REGION).then(|| (region, rest == region.as_str()))
    };
    if let Some(rest) = under(PRIVATE_FIRST) {
        return Some((CloudDomain::Private(first()?), rest.is_empty()));
    }
    if let Some(rest) = under(PUBLIC_FIRST) {
        return Some((CloudDomain::Public(first()?), rest.is_empty()));
    }
    if let Some((region, is_itself)) = under(PRIVATE).and_then(of_region) {
        return Some((CloudDomain::Private(region), is_itself));
    }
    let (region, is_itself) = under(PUBLIC).and_then(of_region)?;
    Some((CloudDomain::Public(region), is_itself))
}

/// How an instance is named inside (spec 3.6, `PrivateDnsNameOptions`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateDnsNameOptions {
    pub hostname_type: HostnameType,
    /// Its resource name has the IPv4 address.
    pub enable_resource_name_dns_a_record: bool,
    /// Its resource name has the IPv6 addresses.
    pub enable_resource_name_dns_aaaa_record: bool,
}

impl PrivateDnsNameOptions {
    /// By address, and nothing else.
    pub fn is_default(&self) -> bool {
        *self == PrivateDnsNameOptions::default()
    }

    /// What resolvers need to know; `None`: the resource name does not resolve.
    pub fn resource_name(&self, instance: InstanceId) -> Option<ResourceName> {
        let (a, aaaa) = (self.enable_resource_name_dns_a_record, self.enable_resource_name_dns_aaaa_record);
        (a || aaaa).then_some(ResourceName { instance, a, aaaa })
    }
}

/// An instance whose resource name resolves, to addresses of its primary interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceName {
    pub instance: InstanceId,
    pub a: bool,
    pub aaaa: bool,
}

fn dashed(address: Ipv4Addr) -> String {
    address.to_string().replace('.', "-")
}

fn undashed(text: &str) -> Option<Ipv4Addr> {
    let address: Ipv4Addr = text.replace('-', ".").parse().ok()?;
    // `1.2.3.4` would read as well.
    (dashed(address) == text).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn region(text: &str) -> Region {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_as_aws_writes_them() {
        let (private, public) = (Ipv4Addr::new(10, 0, 0, 5), Ipv4Addr::new(203, 0, 113, 25));
        let (us, eu) = (region("us-east-1"), region("eu-west-1"));
        assert_eq!(private_name(us, private), "ip-10-0-0-5.ec2.internal");
        assert_eq!(private_name(eu, private), "ip-10-0-0-5.eu-west-1.compute.internal");
        assert_eq!(public_name(us, public), "ec2-203-0-113-25.compute-1.amazonaws.com");
        assert_eq!(public_name(eu, public), "ec2-203-0-113-25.eu-west-1.compute.amazonaws.com");
        let instance: InstanceId = "i-0123456789abcdef0".parse().unwrap();
        assert_eq!(resource_name(eu, instance), "i-0123456789abcdef0.eu-west-1.compute.internal");
    }

    #[test]
    fn what_is_spelled_otherwise_is_nobodys() {
        for wrong in [
            "",
            "ec2.internal",
            "ip-10-0-0-5",
            "ip-010-0-0-5.ec2.internal",
            "ip-10-0-0.ec2.internal",
            "ip-10.0.0.5.ec2.internal",
            "x.ip-10-0-0-5.ec2.internal",
            "ip-10-0-0-5.compute.internal",
            "ip-10-0-0-5.us-east-1.compute.internal",
            "ip-10-0-0-5.eu-west-1.xcompute.internal",
            "ip-10-0-0-5xec2.internal",
            "ec2-203-0-113-25.ec2.internal",
            "ip-203-0-113-25.compute-1.amazonaws.com",
            "i-0123.ec2.internal",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_domain_holds_all_that_is_under_it() {
        let us = CloudDomain::Private(region("us-east-1"));
        assert_eq!(domain("ec2.internal"), Some((us, true)));
        assert_eq!(domain("a.b.ec2.internal"), Some((us, false)));
        let eu = CloudDomain::Public(region("eu-west-1"));
        assert_eq!(domain("eu-west-1.compute.amazonaws.com"), Some((eu, true)));
        assert_eq!(domain("a.eu-west-1.compute.amazonaws.com"), Some((eu, false)));
        for none in ["internal", "compute.internal", "amazonaws.com", "ec2.eu-west-1.amazonaws.com", "notec2.internal"]
        {
            assert_eq!(domain(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn a_name_that_is_given_reads_back(address: [u8; 4], random: u128, at in 0..3_usize) {
            let (region, address) = (region(["us-east-1", "eu-west-1", "ap-northeast-2"][at]), Ipv4Addr::from(address));
            let instance: InstanceId = crate::ResourceId::from_random(random);
            prop_assert_eq!(parse(&private_name(region, address)), Some(CloudName::Ip(region, address)));
            prop_assert_eq!(parse(&public_name(region, address)), Some(CloudName::Public(region, address)));
            prop_assert_eq!(parse(&resource_name(region, instance)), Some(CloudName::Resource(region, instance)));
        }
    }
}
