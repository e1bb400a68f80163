//! One struct per shape, one file per noun, names exactly as the SDKs send and read them.

pub mod acl;
pub mod address;
pub mod catalogue;
pub mod common;
pub mod default_vpc;
pub mod dhcp;
pub mod egress_only_gateway;
pub mod flow_log;
pub mod gateway;
pub mod group;
pub mod group_vpc;
pub mod image;
pub mod insights;
pub mod instance;
pub mod instance_option;
pub mod instance_type;
pub mod interface;
pub mod interface_address;
pub mod interface_permission;
pub mod key_pair;
pub mod metadata;
pub mod nat_gateway;
pub mod peering;
pub mod place;
pub mod prefix_list;
pub mod private_dns;
pub mod reservation;
pub mod route;
pub mod subnet;
pub mod tag;
pub mod vpc;
pub mod vpc_extra;
pub mod vpn_gateway;

pub use common::*;
