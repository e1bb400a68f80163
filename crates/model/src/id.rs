//! Ids are types, from one registry: a `SubnetId` cannot be a `VpcId` (spec 1.2).
//!
//! Written as `<prefix>-<17 lower-case hex digits>`; the old 8-digit form is accepted, never made.

use alloc::string::String;
use core::fmt;
use core::hash::{Hash, Hasher};

/// Why a text is not an id of the wanted kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid id: \"{value}\" (expecting \"{prefix}-...\")")]
pub struct IdError {
    pub value: String,
    pub prefix: &'static str,
}

/// The digits behind the prefix in nine bytes: ids stand in every table and verdict, so they are kept small. The first half
/// byte says how many digits there are; 17 digits are 68 bits and fill the rest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Digits([u8; 9]);

/// In whole words: ids are looked up for packets.
impl Hash for Digits {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [first, rest @ ..] = self.0;
        state.write_u64(u64::from_ne_bytes(rest));
        state.write_u8(first);
    }
}

const DIGITS_LONG: usize = 17;
const DIGITS_SHORT: usize = 8;
/// The mark of an old, short id.
const SHORT: u8 = 0x10;

impl Digits {
    fn new(value: u128, mark: u8) -> Digits {
        let mut bytes = [0; 9];
        bytes.copy_from_slice(&value.to_be_bytes()[7..]);
        bytes[0] = bytes[0] & 0x0f | mark;
        Digits(bytes)
    }

    fn parse(text: &str) -> Option<Digits> {
        let mark = match text.len() {
            DIGITS_LONG => 0,
            DIGITS_SHORT => SHORT,
            _ => return None,
        };
        let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if !text.bytes().all(lower_hex) {
            return None;
        }
        Some(Digits::new(u128::from_str_radix(text, 16).ok()?, mark))
    }

    fn from_bytes(bytes: [u8; 9]) -> Option<Digits> {
        let is_one = match bytes[0] & 0xf0 {
            0 => true,
            // Eight digits are the last four bytes.
            SHORT => bytes[0] == SHORT && bytes[1..5] == [0; 4],
            _ => false,
        };
        is_one.then_some(Digits(bytes))
    }

    fn write(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0.iter().fold(0_u128, |value, byte| value << 8 | u128::from(*byte)) & ((1 << 68) - 1);
        let width = if self.0[0] & SHORT == 0 { DIGITS_LONG } else { DIGITS_SHORT };
        write!(f, "{value:0width$x}")
    }
}

/// What all ids share; lets one function serve every kind.
pub trait ResourceId: Copy + Ord + fmt::Display + fmt::Debug + core::str::FromStr<Err = IdError> {
    /// The part before the dash.
    const PREFIX: &'static str;
    /// The bounds of all ids of the kind, in their order: for ranges of keys that begin with something else.
    const FIRST: Self;
    const LAST: Self;

    /// The id that these random bits make; only the lowest 68 count.
    fn from_random(random: u128) -> Self;

    /// The id as it lies in memory, for records that have no room for text. The kind is not in it.
    fn to_bytes(self) -> [u8; 9];

    /// The id that [`to_bytes`](Self::to_bytes) gave; `None`: no id gives these.
    fn from_bytes(bytes: [u8; 9]) -> Option<Self>;
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident $prefix:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $name(Digits);

            impl ResourceId for $name {
                const PREFIX: &'static str = $prefix;

                const FIRST: Self = $name(Digits([0; 9]));
                const LAST: Self = $name(Digits([0xff; 9]));

                fn from_random(random: u128) -> Self {
                    $name(Digits::new(random, 0))
                }

                fn to_bytes(self) -> [u8; 9] {
                    self.0.0
                }

                fn from_bytes(bytes: [u8; 9]) -> Option<Self> {
                    Digits::from_bytes(bytes).map($name)
                }
            }

            impl core::str::FromStr for $name {
                type Err = IdError;

                fn from_str(text: &str) -> Result<Self, IdError> {
                    text.strip_prefix(concat!($prefix, "-"))
                        .and_then(Digits::parse)
                        .map($name)
                        .ok_or_else(|| IdError { value: text.into(), prefix: $prefix })
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(concat!($prefix, "-"))?;
                    self.0.write(f)
                }
            }

            text_form!($name);
        )*

        /// Every prefix of the registry with the kind's name, in the order of the registry.
        pub const PREFIXES: &[(&str, &str)] = &[$(($prefix, stringify!($name))),*];
    };
}

ids! {
    VpcId "vpc";
    VpcCidrAssociationId "vpc-cidr-assoc";
    SubnetId "subnet";
    SubnetCidrAssociationId "subnet-cidr-assoc";
    RouteTableId "rtb";
    RouteTableAssociationId "rtbassoc";
    PeeringId "pcx";
    SecurityGroupId "sg";
    SecurityGroupRuleId "sgr";
    NetworkAclId "acl";
    NetworkAclAssociationId "aclassoc";
    NetworkInterfaceId "eni";
    AttachmentId "eni-attach";
    InterfacePermissionId "eni-perm";
    InstanceId "i";
    ReservationId "r";
    ImageId "ami";
    VolumeId "vol";
    InternetGatewayId "igw";
    EgressOnlyInternetGatewayId "eigw";
    NatGatewayId "nat";
    AllocationId "eipalloc";
    AddressAssociationId "eipassoc";
    DhcpOptionsId "dopt";
    PrefixListId "pl";
    TransitGatewayId "tgw";
    TransitGatewayAttachmentId "tgw-attach";
    TransitGatewayRouteTableId "tgw-rtb";
    FlowLogId "fl";
    InsightsPathId "nip";
    InsightsAnalysisId "nia";
    AccessScopeId "nis";
    AccessScopeAnalysisId "nisa";
    VpnGatewayId "vgw";
    VpcEndpointId "vpce";
    KeyPairId "key";
    SubnetCidrReservationId "scr";
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn random_bits_make_an_id_that_reads_back(random: u128) {
            let id = NetworkInterfaceId::from_random(random);
            prop_assert_eq!(id.to_string().len(), "eni-".len() + 17);
            prop_assert_eq!(id.to_string().parse::<NetworkInterfaceId>(), Ok(id));
        }

        #[test]
        fn bytes_are_an_id_that_reads_back_or_none(bytes: [u8; 9], high in 0_u8..0x30) {
            for bytes in [bytes, [high, 0, 0, 0, 0, bytes[5], bytes[6], bytes[7], bytes[8]]] {
                let Some(id) = NetworkInterfaceId::from_bytes(bytes) else { continue };
                prop_assert_eq!(id.to_bytes(), bytes);
                prop_assert_eq!(id.to_string().parse::<NetworkInterfaceId>(), Ok(id));
            }
        }

        #[test]
        fn only_the_two_documented_lengths_are_ids(digits in "[0-9a-f]{0,24}") {
            let parsed = alloc::format!("vpc-{digits}").parse::<VpcId>();
            prop_assert_eq!(parsed.is_ok(), digits.len() == 8 || digits.len() == 17);
        }
    }

    #[test]
    fn another_kind_upper_case_and_noise_are_refused_by_name() {
        for wrong in [
            "subnet-0123456789abcdef0",
            "vpc-0123456789ABCDEF0",
            "vpc-0123456789abcdefg",
            "vpc-",
            "vpc",
            "",
            "vpc-+1234567",
        ] {
            let error = wrong.parse::<VpcId>().unwrap_err();
            assert_eq!(error.to_string(), alloc::format!("invalid id: \"{wrong}\" (expecting \"vpc-...\")"));
        }
    }

    #[test]
    fn old_short_ids_keep_their_length() {
        let short: VpcId = "vpc-0a1b2c3d".parse().unwrap();
        assert_eq!(short.to_string(), "vpc-0a1b2c3d");
        assert_eq!(VpcId::from_bytes(short.to_bytes()), Some(short));
        assert_eq!(VpcId::from_bytes([0x10, 0, 0, 0, 1, 0, 0, 0, 0]), None, "nine digits");
        assert_eq!(VpcId::from_bytes(VpcId::LAST.to_bytes()), None, "a bound is no id");
    }
}
