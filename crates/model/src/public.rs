//! Public IPv4 addresses: Elastic IP addresses, what an interface is mapped to, and where on the cloud's own internet an
//! address leads (spec 8.7-8.9).

use alloc::string::String;
use core::net::Ipv4Addr;
use serde::{Deserialize, Serialize};

use crate::{AccountId, AddressAssociationId, AllocationId, HostId, NetworkInterfaceId, Region, Tags, Time, VpcId};

/// An address that an account holds until it releases it. Whom it is mapped to stands at the interface alone
/// ([`crate::NetworkInterface::public`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElasticAddress {
    pub id: AllocationId,
    pub owner: AccountId,
    pub public: Ipv4Addr,
    pub allocated: Time,
    /// The name that its owner wants to be answered for it backwards; recorded only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_name: Option<String>,
    pub tags: Tags,
}

/// An address that nobody has any more, and that nobody gets for a while: who remembers it must not reach another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestingAddress {
    pub public: Ipv4Addr,
    pub released: Time,
}

/// One private address of an interface and the public one that stands for it outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicAssociation {
    pub private: Ipv4Addr,
    pub public: Ipv4Addr,
    /// The Elastic IP address and the id of this use of it; `None`: assigned at launch, gone when the instance stops.
    pub elastic: Option<(AllocationId, AddressAssociationId)>,
}

/// Where a public address of this cloud leads: hosts translate by it, resolvers answer by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicPlace {
    pub region: Region,
    /// `None`: allocated, and mapped to nothing.
    pub holder: Option<PublicHolder>,
}

/// The interface that a public address is mapped to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicHolder {
    pub vpc: VpcId,
    pub interface: NetworkInterfaceId,
    pub private: Ipv4Addr,
    pub host: Option<HostId>,
    /// The VPC has an Internet gateway: the address can be reached, and can reach.
    pub has_gateway: bool,
}

/// Who has an IPv6 address in a VPC with an Internet gateway: no translation is needed to reach it (spec 8.8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicIpv6 {
    pub vpc: VpcId,
    pub interface: NetworkInterfaceId,
    pub host: Option<HostId>,
}
