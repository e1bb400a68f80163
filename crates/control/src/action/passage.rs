//! What was on its way arrives, or goes: each end is the request that began it, once more.

use ec2::Error;
use ec2::shapes::gateway::DetachInternetGateway;
use ec2::shapes::group_vpc::DisassociateSecurityGroupVpc;
use ec2::shapes::interface::DetachNetworkInterface;
use ec2::shapes::nat_gateway::DeleteNatGateway;
use ec2::shapes::prefix_list::DeleteManagedPrefixList;
use ec2::shapes::route::DisassociateRouteTable;
use ec2::shapes::subnet::DisassociateSubnetCidrBlock;
use ec2::shapes::vpc::DisassociateVpcCidrBlock;
use ec2::shapes::vpn_gateway::DetachVpnGateway;
use model::*;

use super::{Handle, instance_state};
use crate::Cloud;

/// Does what the passage was to lead to.
///
/// # Errors
/// The request's: the thing is gone by now, or something needs it again.
pub(crate) fn settle(cloud: &mut Cloud<'_>, passage: &Passage) -> Result<(), Error> {
    let subject = passage.subject.as_str();
    if let Ok(id) = subject.parse::<InstanceId>() {
        return instance_state::settle(cloud, id);
    }
    if !passage.phase.is_end() {
        return Ok(());
    }
    if let Ok(nat_gateway_id) = subject.parse() {
        return DeleteNatGateway { nat_gateway_id }.handle(cloud).map(drop);
    }
    if let Ok(attachment_id) = subject.parse() {
        return DetachNetworkInterface { attachment_id, force: None }.handle(cloud).map(drop);
    }
    if let Ok(association_id) = subject.parse() {
        return DisassociateVpcCidrBlock { association_id }.handle(cloud).map(drop);
    }
    if let Ok(association_id) = subject.parse() {
        return DisassociateSubnetCidrBlock { association_id }.handle(cloud).map(drop);
    }
    if let Ok(association_id) = subject.parse() {
        return DisassociateRouteTable { association_id }.handle(cloud).map(drop);
    }
    if let Ok(prefix_list_id) = subject.parse() {
        return DeleteManagedPrefixList { prefix_list_id }.handle(cloud).map(drop);
    }
    if let Ok(id) = subject.parse::<InternetGatewayId>() {
        return leave_vpc(cloud, id);
    }
    settle_part(cloud, subject)
}

fn leave_vpc(cloud: &mut Cloud<'_>, internet_gateway_id: InternetGatewayId) -> Result<(), Error> {
    match cloud.owned::<InternetGateway>(internet_gateway_id)?.vpc {
        Some(vpc_id) => DetachInternetGateway { internet_gateway_id, vpc_id }.handle(cloud).map(drop),
        None => Ok(()),
    }
}

/// What has no id of its own.
fn settle_part(cloud: &mut Cloud<'_>, subject: &str) -> Result<(), Error> {
    let Some((whole, part)) = subject.split_once('/') else { return Ok(()) };
    if let (Ok(group_id), Ok(vpc_id)) = (whole.parse(), part.parse()) {
        return DisassociateSecurityGroupVpc { group_id, vpc_id }.handle(cloud).map(drop);
    }
    if let (Ok(vpn_gateway_id), Ok(vpc_id)) = (whole.parse(), part.parse()) {
        return DetachVpnGateway { vpc_id, vpn_gateway_id }.handle(cloud).map(drop);
    }
    Ok(())
}
