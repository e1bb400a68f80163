//! The names that the cloud itself gives, and what they say (spec 9.2): one grammar, for who shows them and for who answers them.
//!
//! | name | example |
//! |---|---|
//! | private, by address | `ip-10-0-0-5.ec2.internal`, `ip-10-0-0-5.eu-west-1.compute.internal` |
//! | private, by instance | `i-0123456789abcdef0.ec2.internal` |
//! | public | `ec2-203-0-113-25.compute-1.amazonaws.com`, `ec2-203-0-113-25.eu-west-1.compute.amazonaws.com` |
//!
//! What they end with is an operator's choice ([`NameSuffixes`]), the same for the whole cloud; AWS's unless he says otherwise.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::net::Ipv4Addr;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

use crate::vpc::HostnameType;
use crate::{InstanceId, Region};

/// The region whose names have no region in them.
const FIRST_REGION: &str = "us-east-1";
/// The longest suffix, in bytes: with any label and region before it a name stays below the 253 of RFC 1035.
const SUFFIX_LEN_MAX: usize = 128;

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

/// A domain that the cloud's names end with: labels of `a-z`, `0-9` and `-` with dots between them, at most 128 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Suffix(String);

/// Why a text is no suffix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuffixError {
    #[error(
        "`{0}` is not a domain such as compute.internal: labels of 1 to 63 letters, digits and dashes, none at a label's ends, with dots \
         between them, {SUFFIX_LEN_MAX} bytes in all, the last label not a number"
    )]
    NoDomain(String),
    #[error("`{0}` means something everywhere (RFC 6761, RFC 1035 3.5); choose another one, such as compute.internal")]
    Reserved(String),
}

impl Suffix {
    fn aws(text: &str) -> Suffix {
        Suffix(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The other one, or in it.
    fn is_in(&self, other: &Suffix) -> bool {
        under(&self.0, &other.0).is_some()
    }
}

impl FromStr for Suffix {
    type Err = SuffixError;

    fn from_str(text: &str) -> Result<Suffix, SuffixError> {
        let lower = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let last = lower.rsplit('.').next().unwrap_or_default();
        let is_number = last.bytes().all(|b| b.is_ascii_digit());
        if lower.len() > SUFFIX_LEN_MAX || is_number || !lower.split('.').all(is_label) {
            return Err(SuffixError::NoDomain(text.into()));
        }
        match last {
            "localhost" | "arpa" => Err(SuffixError::Reserved(text.into())),
            _ => Ok(Suffix(lower)),
        }
    }
}

impl fmt::Display for Suffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_form!(Suffix);

/// What names of one kind end with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suffixes {
    /// In us-east-1: `ip-10-0-0-5.<suffix>`.
    pub us_east_1: Suffix,
    /// In every other region: `ip-10-0-0-5.<region>.<suffix>`.
    pub regions: Suffix,
}

impl Suffixes {
    /// AWS's for private names.
    pub fn aws_private() -> Suffixes {
        Suffixes { us_east_1: Suffix::aws("ec2.internal"), regions: Suffix::aws("compute.internal") }
    }

    /// AWS's for public names.
    pub fn aws_public() -> Suffixes {
        Suffixes { us_east_1: Suffix::aws("compute-1.amazonaws.com"), regions: Suffix::aws("compute.amazonaws.com") }
    }

    /// With what was chosen of them. Where only the form with a region was, us-east-1 is named as every other region is.
    #[must_use]
    pub fn chosen(self, us_east_1: Option<Suffix>, regions: Option<Suffix>) -> Suffixes {
        let as_others = regions.as_ref().map(|regions| Suffix(format!("{FIRST_REGION}.{regions}")));
        Suffixes {
            us_east_1: us_east_1.or(as_others).unwrap_or(self.us_east_1),
            regions: regions.unwrap_or(self.regions),
        }
    }

    fn domain(&self, region: Region) -> String {
        match region.as_str() {
            FIRST_REGION => self.us_east_1.to_string(),
            region => format!("{region}.{}", self.regions),
        }
    }

    /// The region in whose domain a name is, and whether it is that itself.
    fn find(&self, name: &str) -> Option<(Region, bool)> {
        if let Some(rest) = under(name, &self.us_east_1.0) {
            return Some((FIRST_REGION.parse().ok()?, rest.is_empty()));
        }
        let rest = under(name, &self.regions.0)?;
        let region: Region = rest.rsplit('.').next()?.parse().ok()?;
        // The first region's names have a domain of their own.
        (region.as_str() != FIRST_REGION).then(|| (region, rest == region.as_str()))
    }
}

/// What the names of the whole cloud end with: no suffix is another's, or in another's, so that every name is of one kind and region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct NameSuffixes {
    private: Suffixes,
    public: Suffixes,
}

/// Of two suffixes one is the other, or in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is `{1}` or in it, and nobody could tell their names apart; choose one beside the other")]
pub struct SuffixesOverlap(pub Suffix, pub Suffix);

#[derive(Deserialize)]
struct Unchecked {
    private: Suffixes,
    public: Suffixes,
}

impl TryFrom<Unchecked> for NameSuffixes {
    type Error = SuffixesOverlap;

    fn try_from(read: Unchecked) -> Result<NameSuffixes, SuffixesOverlap> {
        NameSuffixes::new(read.private, read.public)
    }
}

impl Default for NameSuffixes {
    /// AWS's.
    fn default() -> NameSuffixes {
        NameSuffixes { private: Suffixes::aws_private(), public: Suffixes::aws_public() }
    }
}

impl NameSuffixes {
    /// # Errors
    /// [`SuffixesOverlap`]. That of us-east-1 may be `us-east-1` in the others', for nothing else is there.
    pub fn new(private: Suffixes, public: Suffixes) -> Result<NameSuffixes, SuffixesOverlap> {
        let all = [&private.us_east_1, &private.regions, &public.us_east_1, &public.regions];
        for (at, one) in all.iter().enumerate() {
            for (other_at, other) in all.iter().enumerate().filter(|(other_at, _)| *other_at != at) {
                let is_one_kind = other_at == at + 1 && at % 2 == 0;
                let is_as_others = is_one_kind && under(&one.0, &other.0) == Some(FIRST_REGION);
                if one.is_in(other) && !is_as_others {
                    return Err(SuffixesOverlap((*one).clone(), (*other).clone()));
                }
            }
        }
        Ok(NameSuffixes { private, public })
    }

    /// Nobody chose others.
    pub fn is_aws(&self) -> bool {
        *self == NameSuffixes::default()
    }

    /// `ip-10-0-0-5.ec2.internal`.
    pub fn private_name(&self, region: Region, address: Ipv4Addr) -> String {
        format!("ip-{}.{}", dashed(address), self.private_domain(region))
    }

    /// `i-0123456789abcdef0.ec2.internal`.
    pub fn resource_name(&self, region: Region, instance: InstanceId) -> String {
        format!("{instance}.{}", self.private_domain(region))
    }

    /// `ec2-203-0-113-25.compute-1.amazonaws.com`.
    pub fn public_name(&self, region: Region, address: Ipv4Addr) -> String {
        format!("ec2-{}.{}", dashed(address), self.public_domain(region))
    }

    /// The domain of private names: `ec2.internal` in us-east-1, else `<region>.compute.internal` (spec 2.6).
    pub fn private_domain(&self, region: Region) -> String {
        self.private.domain(region)
    }

    /// The domain of public names: `compute-1.amazonaws.com` in us-east-1, else `<region>.compute.amazonaws.com`.
    pub fn public_domain(&self, region: Region) -> String {
        self.public.domain(region)
    }

    /// What a name, in lower case and without its last dot, names; `None`: the cloud gives no such name.
    ///
    /// A name has one spelling: `ip-010-0-0-5` is nobody's.
    pub fn parse(&self, name: &str) -> Option<CloudName> {
        let (label, domain) = name.split_once('.')?;
        match self.domain(domain)? {
            (CloudDomain::Private(region), true) => match label.strip_prefix("ip-") {
                Some(address) => Some(CloudName::Ip(region, undashed(address)?)),
                None => Some(CloudName::Resource(region, label.parse().ok()?)),
            },
            (CloudDomain::Public(region), true) => {
                Some(CloudName::Public(region, undashed(label.strip_prefix("ec2-")?)?))
            }
            (_, false) => None,
        }
    }

    /// The domain that a name is in or is, and whether it is that itself.
    pub fn domain(&self, name: &str) -> Option<(CloudDomain, bool)> {
        let private = self.private.find(name).map(|(region, is_itself)| (CloudDomain::Private(region), is_itself));
        private.or_else(|| self.public.find(name).map(|(region, is_itself)| (CloudDomain::Public(region), is_itself)))
    }
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

/// What of a name is before a domain that it is or is in.
fn under<'n>(name: &'n str, domain: &str) -> Option<&'n str> {
    match name.strip_suffix(domain)? {
        "" => Some(""),
        rest => rest.strip_suffix('.'),
    }
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
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn region(text: &str) -> Region {
        text.parse().unwrap()
    }

    fn suffix(text: &str) -> Suffix {
        text.parse().unwrap()
    }

    fn of(us_east_1: &str, regions: &str) -> Suffixes {
        Suffixes { us_east_1: suffix(us_east_1), regions: suffix(regions) }
    }

    /// AWS's, and three that an operator may choose.
    fn choices() -> Vec<NameSuffixes> {
        let chosen = |suffixes: Suffixes, text| suffixes.chosen(None, Some(suffix(text)));
        let (private, public) = (Suffixes::aws_private, Suffixes::aws_public);
        Vec::from([
            NameSuffixes::default(),
            NameSuffixes::new(of("corp.example", "in.corp.test"), of("pub", "all.pub.test")).unwrap(),
            NameSuffixes::new(chosen(private(), "inside.example"), chosen(public(), "outside.example")).unwrap(),
            NameSuffixes::new(private(), public().chosen(Some(suffix("compute-2.amazonaws.com")), None)).unwrap(),
        ])
    }

    #[test]
    fn names_are_as_aws_writes_them() {
        let aws = NameSuffixes::default();
        let (private, public) = (Ipv4Addr::new(10, 0, 0, 5), Ipv4Addr::new(203, 0, 113, 25));
        let (us, eu) = (region("us-east-1"), region("eu-west-1"));
        assert_eq!(aws.private_name(us, private), "ip-10-0-0-5.ec2.internal");
        assert_eq!(aws.private_name(eu, private), "ip-10-0-0-5.eu-west-1.compute.internal");
        assert_eq!(aws.public_name(us, public), "ec2-203-0-113-25.compute-1.amazonaws.com");
        assert_eq!(aws.public_name(eu, public), "ec2-203-0-113-25.eu-west-1.compute.amazonaws.com");
        let instance: InstanceId = "i-0123456789abcdef0".parse().unwrap();
        assert_eq!(aws.resource_name(eu, instance), "i-0123456789abcdef0.eu-west-1.compute.internal");
        // AWS's own are held to the rules of all.
        assert_eq!(NameSuffixes::new(Suffixes::aws_private(), Suffixes::aws_public()), Ok(aws));
        for aws in [Suffixes::aws_private(), Suffixes::aws_public()] {
            assert_eq!(of(aws.us_east_1.as_str(), aws.regions.as_str()), aws);
        }
    }

    #[test]
    fn one_suffix_for_all_regions_is_enough() {
        let one = &choices()[2];
        assert_eq!(one.private_domain(region("us-east-1")), "us-east-1.inside.example");
        assert_eq!(one.public_domain(region("eu-west-1")), "eu-west-1.outside.example");
        let named = one.private_name(region("us-east-1"), Ipv4Addr::new(10, 0, 0, 5));
        assert_eq!(named, "ip-10-0-0-5.us-east-1.inside.example");
        assert_eq!(one.parse("ip-10-0-0-5.ec2.internal"), None, "AWS's are nobody's now");
    }

    #[test]
    fn a_suffix_is_a_domain() {
        assert_eq!(suffix("Corp.Example.").as_str(), "corp.example");
        assert_eq!(suffix("internal").as_str(), "internal");
        let (long_label, long) = ("x".repeat(64), "x.".repeat(64) + "x");
        for wrong in ["", ".", "a..b", "-a.b", "a-.b", "a_b.c", "a b", "10.5", "ü.example", &long_label, &long] {
            assert!(matches!(wrong.parse::<Suffix>(), Err(SuffixError::NoDomain(_))), "{wrong}");
        }
        for reserved in ["localhost", "a.localhost", "in-addr.arpa", "ip6.ARPA"] {
            assert!(matches!(reserved.parse::<Suffix>(), Err(SuffixError::Reserved(_))), "{reserved}");
        }
    }

    #[test]
    fn suffixes_stand_beside_each_other() {
        let new = |a: &str, b: &str, c: &str, d: &str| NameSuffixes::new(of(a, b), of(c, d));
        for good in [("a.x", "b.x", "c.x", "d.x"), ("us-east-1.b", "b", "us-east-1.d", "d"), ("xb", "b", "c", "xc")] {
            assert!(new(good.0, good.1, good.2, good.3).is_ok(), "{good:?}");
        }
        for wrong in [
            ("b", "b", "c", "d"),
            ("x.b", "b", "c", "d"),
            ("eu-west-1.b", "b", "c", "d"),
            ("a", "x.a", "c", "d"),
            ("a", "us-east-1.a", "c", "d"),
            ("a", "b", "a", "d"),
            ("a", "b", "us-east-1.b", "d"),
            ("us-east-1.d", "b", "c", "d"),
            ("a", "b", "c", "x.b"),
            ("a", "b", "c", "us-east-1.c"),
        ] {
            let found = new(wrong.0, wrong.1, wrong.2, wrong.3);
            assert!(found.is_err_and(|error| error.0.is_in(&error.1)), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_read_is_checked_too() {
        for one in choices() {
            let json = serde_json::to_string(&one).unwrap();
            assert_eq!(serde_json::from_str::<NameSuffixes>(&json).unwrap(), one);
        }
        let wrong = r#"{"private":{"us_east_1":"a","regions":"a"},"public":{"us_east_1":"c","regions":"d"}}"#;
        assert!(serde_json::from_str::<NameSuffixes>(wrong).is_err());
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
            assert_eq!(NameSuffixes::default().parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_domain_holds_all_that_is_under_it() {
        let aws = NameSuffixes::default();
        let us = CloudDomain::Private(region("us-east-1"));
        assert_eq!(aws.domain("ec2.internal"), Some((us, true)));
        assert_eq!(aws.domain("a.b.ec2.internal"), Some((us, false)));
        let eu = CloudDomain::Public(region("eu-west-1"));
        assert_eq!(aws.domain("eu-west-1.compute.amazonaws.com"), Some((eu, true)));
        assert_eq!(aws.domain("a.eu-west-1.compute.amazonaws.com"), Some((eu, false)));
        for none in ["internal", "compute.internal", "amazonaws.com", "ec2.eu-west-1.amazonaws.com", "notec2.internal"]
        {
            assert_eq!(aws.domain(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn a_name_that_is_given_reads_back(address: [u8; 4], random: u128, at in 0..3_usize, chosen in 0..4_usize) {
            let (region, address) = (region(["us-east-1", "eu-west-1", "ap-northeast-2"][at]), Ipv4Addr::from(address));
            let names = &choices()[chosen];
            let instance: InstanceId = crate::ResourceId::from_random(random);
            prop_assert_eq!(names.parse(&names.private_name(region, address)), Some(CloudName::Ip(region, address)));
            prop_assert_eq!(names.parse(&names.public_name(region, address)), Some(CloudName::Public(region, address)));
            prop_assert_eq!(names.parse(&names.resource_name(region, instance)), Some(CloudName::Resource(region, instance)));
        }
    }
}
