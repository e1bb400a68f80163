//! Who and where: accounts, regions, zones, hosts (spec 1.1).

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

/// Why a text is not a name of the wanted kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not {expected}")]
pub struct PlaceError {
    pub value: String,
    pub expected: &'static str,
}

/// An account: exactly twelve decimal digits, leading zeros significant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(u64);

impl AccountId {
    /// `000000000000`: whoever runs the cloud. It makes keys for every account.
    pub const OPERATOR: AccountId = AccountId(0);

    pub(crate) fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl FromStr for AccountId {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let digits = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
        digits
            .then(|| text.parse().ok().map(AccountId))
            .flatten()
            .ok_or_else(|| PlaceError { value: text.into(), expected: "an account id of 12 digits" })
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}", self.0)
    }
}

const NAME_MAX: usize = 31;

/// A short name kept in place, so that it is `Copy`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Name {
    bytes: [u8; NAME_MAX],
    len: u8,
}

impl Name {
    fn new(text: &str) -> Option<Name> {
        let mut bytes = [0; NAME_MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Name { bytes, len: u8::try_from(text.len()).ok()? })
    }

    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

/// A region's code such as `us-east-1`: lower-case words and a number, joined by dashes, at most 24 characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(Name);

impl Region {
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The short form that zone ids start with: `use1` for `us-east-1`, `apne1` for `ap-northeast-1`.
    pub fn short(&self) -> String {
        let mut parts = self.as_str().split('-');
        let first = parts.next().unwrap_or_default().to_string();
        parts.fold(first, |mut short, part| {
            match part {
                "northeast" => short.push_str("ne"),
                "northwest" => short.push_str("nw"),
                "southeast" => short.push_str("se"),
                "southwest" => short.push_str("sw"),
                number if number.bytes().all(|b| b.is_ascii_digit()) => short.push_str(number),
                word => short.extend(word.chars().next()),
            }
            short
        })
    }
}

impl FromStr for Region {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let mut parts = text.rsplit('-');
        let number =
            parts.next().is_some_and(|n| !n.is_empty() && n.len() <= 2 && n.bytes().all(|b| b.is_ascii_digit()));
        let mut words = 0;
        let named = parts.all(|word| {
            words += 1;
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase())
        });
        Name::new(text)
            .filter(|_| number && named && words >= 2 && text.len() <= 24)
            .map(Region)
            .ok_or_else(|| PlaceError { value: text.into(), expected: "a region code such as us-east-1" })
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An availability zone: a region and a letter; the mapping to zone ids is the identity (a is az1) in every account.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zone {
    region: Region,
    index: u8,
}

/// How many zones every region has.
pub const ZONES_PER_REGION: u8 = 3;

impl Zone {
    /// The zones of a region, in order.
    pub fn all(region: Region) -> impl Iterator<Item = Zone> {
        (0..ZONES_PER_REGION).map(move |index| Zone { region, index })
    }

    pub fn region(&self) -> Region {
        self.region
    }

    /// The zone's id, the same for all accounts: `use1-az1`.
    pub fn id(&self) -> String {
        format!("{}-az{}", self.region.short(), self.index + 1)
    }

    /// The zone of this region with that name (`us-east-1a`) or id (`use1-az1`).
    pub fn find(region: Region, name_or_id: &str) -> Option<Zone> {
        Zone::all(region).find(|zone| zone.to_string() == name_or_id || zone.id() == name_or_id)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.region, char::from(b'a' + self.index))
    }
}

impl FromStr for Zone {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let wrong = || PlaceError { value: text.into(), expected: "an availability zone such as us-east-1a" };
        let region = text.get(..text.len().saturating_sub(1)).and_then(|r| r.parse().ok()).ok_or_else(wrong)?;
        Zone::all(region).find(|zone| zone.to_string() == text).ok_or_else(wrong)
    }
}

/// A host that carries endpoints: 1 to 31 of `a-z`, `0-9`, `-`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(Name);

impl FromStr for HostId {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        Name::new(text)
            .filter(|_| !text.is_empty() && text.bytes().all(letters))
            .map(HostId)
            .ok_or_else(|| PlaceError { value: text.into(), expected: "a host name of 1 to 31 of a-z, 0-9, -" })
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

text_form!(AccountId, Region, Zone, HostId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_keep_leading_zeros_and_nothing_else_passes() {
        assert_eq!("000000000042".parse::<AccountId>().unwrap().to_string(), "000000000042");
        for wrong in ["", "1", "1234567890123", "12345678901a", "+12345678901", " 11111111111"] {
            assert!(wrong.parse::<AccountId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn regions_and_zones_have_awss_short_names() {
        for (region, short) in
            [("us-east-1", "use1"), ("ap-northeast-1", "apne1"), ("us-gov-west-1", "usgw1"), ("eu-central-2", "euc2")]
        {
            assert_eq!(region.parse::<Region>().unwrap().short(), short);
        }
        let region: Region = "eu-west-1".parse().unwrap();
        let zone = Zone::find(region, "euw1-az2").unwrap();
        assert_eq!(zone.to_string(), "eu-west-1b");
        assert_eq!("eu-west-1b".parse::<Zone>(), Ok(zone));
        assert_eq!(Zone::find(region, "eu-west-1z"), None);
    }

    #[test]
    fn names_that_are_no_regions_are_refused() {
        for wrong in [
            "",
            "us",
            "us-1",
            "us-east",
            "US-east-1",
            "us-east-123",
            "us--1",
            "us-east-1a",
            "éé-east-1",
            "aaaaaaaaaaaaaaaaaaaaaaaaaa-b-1",
        ] {
            assert!(wrong.parse::<Region>().is_err(), "{wrong}");
        }
    }
}
