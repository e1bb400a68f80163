//! The handlers, one file per noun.

mod acl;
mod catalogue;
mod dhcp;
mod flow_log;
mod gateway;
mod group;
mod group_input;
mod group_reference;
mod group_rule;
mod group_view;
mod insights_analysis;
mod insights_path;
mod instance;
mod instance_state;
mod interface;
mod interface_tracking;
mod peering;
mod place;
mod prefix_list;
mod prefix_list_view;
mod route;
mod route_table;
mod subnet;
mod tag;
mod vpc;
mod vpc_attribute;
mod vpc_block;

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
