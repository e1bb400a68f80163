//! One struct per shape, one file per noun, names exactly as the SDKs send and read them.

pub mod acl;
pub mod catalogue;
pub mod common;
pub mod dhcp;
pub mod flow_log;
pub mod gateway;
pub mod group;
pub mod insights;
pub mod instance;
pub mod interface;
pub mod peering;
pub mod place;
pub mod prefix_list;
pub mod route;
pub mod subnet;
pub mod tag;
pub mod vpc;

pub use common::*;
