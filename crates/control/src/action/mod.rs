//! The handlers, one file per noun.

mod access_scope;
mod access_scope_analysis;
mod access_scope_input;
mod acl;
mod address;
mod catalogue;
pub(crate) mod default_vpc;
pub(crate) mod dhcp;
mod egress_only_gateway;
mod flow_log;
mod flow_log_template;
mod gateway;
mod group;
mod group_input;
mod group_reference;
mod group_rule;
mod group_view;
pub(crate) mod group_vpc;
pub(crate) mod image;
mod insights_analysis;
mod insights_path;
mod instance;
mod instance_filter;
mod instance_option;
mod instance_state;
mod instance_type;
mod interface;
mod interface_address;
mod interface_limit;
mod interface_option;
pub(crate) mod interface_permission;
mod interface_public;
mod interface_tracking;
mod key_pair;
mod metadata;
mod metadata_default;
mod nat_gateway;
mod nat_gateway_address;
pub(crate) mod passage;
mod peering;
mod place;
mod prefix_list;
mod prefix_list_view;
mod private_dns;
pub(crate) mod reservation;
mod route;
mod route_table;
mod subnet;
mod tag;
mod vpc;
mod vpc_attribute;
mod vpc_block;
mod vpc_extra;
mod vpn_gateway;

use ec2::{Action, Error, Operation, Reply};

use crate::Cloud;

/// Does what its action asks.
pub trait Handle: Operation {
    /// # Errors
    /// EC2's error; the request's changes are dropped then.
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Self::Reply, Error>;
}

macro_rules! define {
    ($($module:ident: $($action:ident),+;)+) => {
        pub(crate) fn dispatch(action: Action, cloud: &mut Cloud<'_>) -> Result<Reply, Error> {
            match action {
                $($(Action::$action(action) => action.handle(cloud).map(|reply| Reply::$action(Box::new(reply))),)+)+
            }
        }
    };
}

ec2::for_each_action!(define);
