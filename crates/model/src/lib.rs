//! What is there? The nouns of the cloud and the `World` that holds them.
//!
//! A [`World`] is one region's whole state: immutable, cheap to clone, changed only by [`World::apply`] of [`Change`]s.
//! Every value that exists here is valid: ids, blocks of addresses, ports and states are parsed at the edge (spec ch. 1-8)
//! and there is no `validate()` inside. No clock, socket, file or randomised map can be named in this crate.
//!
//! ```text
//!   Change ──apply──▶ World ──slice──▶ Intent (what one host must do)
//! ```
#![no_std]
extern crate alloc;

#[macro_use]
mod text;

pub mod access_scope;
pub mod account;
pub mod account_region;
pub mod acl;
mod bytes;
pub mod cidr;
pub mod credential;
pub mod federation;
pub mod flow_log;
pub mod group;
pub mod host;
pub mod id;
pub mod image;
pub mod insights;
pub mod instance;
pub mod intent;
pub mod interface;
pub mod interface_permission;
pub mod key_pair;
pub mod link;
pub mod lookup;
pub mod metadata;
pub mod names;
pub mod nat_gateway;
pub mod passage;
pub mod peering;
mod peering_index;
pub mod place;
pub mod ports;
pub mod prefix_list;
pub mod public;
pub mod relation;
pub mod released;
pub mod reservation;
pub mod route;
pub mod tags;
pub mod time;
pub mod volume;
pub mod vpc;
pub mod vpn_gateway;
pub mod world;
pub mod zone;

pub use access_scope::{NetworkInsightsAccessScope, NetworkInsightsAccessScopeAnalysis};
pub use account::{Account, Principal, Role, RoleArn};
pub use account_region::{AccountRegion, LogGroup, SecurityGroupVpcs};
pub use acl::{AclAction, NetworkAcl, NetworkAclEntry};
pub use cidr::{Cidr, CidrError, Ipv4Cidr, Ipv6Cidr};
pub use credential::Secret;
pub use flow_log::{FlowLog, LogField, LogFormat, LoggedResource, TrafficType};
pub use group::{RulePeer, SecurityGroup, SecurityGroupRule};
pub use host::{Host, KeyFingerprint};
pub use id::*;
pub use image::RegisteredImage;
pub use insights::{NetworkInsightsAnalysis, NetworkInsightsPath};
pub use instance::{Instance, InstanceOptions, InstanceState};
pub use interface::{Attachment, ConnectionTracking, EnaOptions, InterfaceKind, MacAddr, NetworkInterface};
pub use interface_permission::{Grantee, InterfacePermission, InterfaceUse};
pub use key_pair::{KeyPair, KeyType};
pub use link::{Domain, Scope};
pub use lookup::By;
pub use metadata::MetadataOptions;
pub use names::{NameSuffixes, PrivateDnsNameOptions, ResourceName, Suffix, Suffixes};
pub use nat_gateway::{Connectivity, EgressOnlyInternetGateway, NatGateway, NatGatewayAddress, NatGatewayState};
pub use passage::{Passage, Phase};
pub use peering::{Peering, PeeringOptions, PeeringSide, PeeringStatus};
pub use place::{AccountId, HostId, Region, Zone};
pub use ports::{Direction, IpProtocol, Ports};
pub use prefix_list::{AddressFamily, PrefixList, PrefixListEntries, PrefixListHistory, PrefixListState};
pub use public::{ElasticAddress, PublicAssociation, PublicHolder, PublicIpv6, PublicPlace, RestingAddress};
pub use released::ReleasedAddresses;
pub use reservation::{ReservationType, SubnetCidrReservation};
pub use route::{Destination, Route, RouteOrigin, RouteTable, RouteTarget};
pub use tags::Tags;
pub use time::{Duration, Time};
pub use volume::Volume;
pub use vpc::{DhcpOptions, InternetGateway, Subnet, Vpc};
pub use vpn_gateway::VpnGateway;
pub use world::{Change, Entity, Key, Resource, World};
pub use zone::{HostedZone, RecordSet, RecordType};
