//! Egress-only internet gateways (spec 8.8): attached to their VPC from the first.

use ec2::page::Page;
use ec2::shapes::TagSpecification;
use ec2::shapes::egress_only_gateway::*;
use ec2::shapes::gateway::InternetGatewayAttachmentItem;
use ec2::{Error, Operation};
use model::*;

use super::Handle;
use crate::Cloud;
use crate::describe::{Describe, Place, Query};
use crate::rules::texts;

impl Handle for CreateEgressOnlyInternetGateway {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<CreateEgressOnlyInternetGatewayResponse, Error> {
        let token = self.client_token.as_deref();
        let gateway = match cloud.replay::<EgressOnlyInternetGatewayId>(Self::NAME, token)? {
            Some(earlier) => EgressOnlyInternetGateway::clone(&*cloud.owned::<EgressOnlyInternetGateway>(earlier)?),
            None => {
                let kind = "egress-only-internet-gateway";
                let tags = TagSpecification::tags(&self.tag_specifications, &[kind], kind)?;
                let vpc = cloud.owned::<Vpc>(self.vpc_id)?.id;
                let max = cloud.config.quotas.egress_only_internet_gateways;
                if cloud.own_count::<EgressOnlyInternetGateway>() >= max {
                    let message =
                        format!("The maximum number of egress-only internet gateways has been reached: {max}");
                    return Err(Error::new("EgressOnlyInternetGatewayLimitExceeded", message));
                }
                let (owner, created) = (cloud.caller.account, cloud.now);
                let gateway = EgressOnlyInternetGateway { id: cloud.draw.id(), owner, vpc, created, tags };
                cloud.put(gateway.clone());
                cloud.remember(Self::NAME, token, gateway.id);
                gateway
            }
        };
        Ok(CreateEgressOnlyInternetGatewayResponse {
            client_token: self.client_token,
            egress_only_internet_gateway: item(&gateway),
        })
    }
}

impl Handle for DeleteEgressOnlyInternetGateway {
    /// Routes that lead to it stay, as blackholes (spec 4.6).
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DeleteEgressOnlyInternetGatewayResponse, Error> {
        let gateway = cloud.owned::<EgressOnlyInternetGateway>(self.egress_only_internet_gateway_id)?;
        cloud.delete::<EgressOnlyInternetGateway>(gateway.id);
        Ok(DeleteEgressOnlyInternetGatewayResponse { return_code: true })
    }
}

impl Handle for DescribeEgressOnlyInternetGateways {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeEgressOnlyInternetGatewaysResponse, Error> {
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let query = Query { ids: &self.egress_only_internet_gateway_ids, filters: &self.filters, page };
        let (found, next_token) = cloud.select::<EgressOnlyInternetGateway>(query, 5..=255)?;
        Ok(DescribeEgressOnlyInternetGatewaysResponse {
            egress_only_internet_gateways: found.iter().map(|gateway| item(gateway)).collect(),
            next_token,
        })
    }
}

/// The word that the API's model has; it never is in another state.
const ATTACHED: &str = "attached";

impl Describe for EgressOnlyInternetGateway {
    const FILTERS: &'static [&'static str] =
        &["attachment.state", "attachment.vpc-id", "egress-only-internet-gateway-id"];

    fn is_visible(&self, cloud: &Cloud<'_>) -> bool {
        self.owner == cloud.caller.account
    }

    fn tags<'t>(&'t self, _: &Cloud<'_>) -> &'t Tags {
        &self.tags
    }

    fn values(&self, _: &Cloud<'_>, filter: &str) -> Vec<String> {
        match filter {
            "attachment.state" => texts([ATTACHED]),
            "attachment.vpc-id" => texts([self.vpc]),
            "egress-only-internet-gateway-id" => texts([self.id]),
            _ => Vec::new(),
        }
    }

    fn place(_: &Cloud<'_>, filter: &str, value: &str) -> Option<Place<Self::Id>> {
        match filter {
            "egress-only-internet-gateway-id" => Place::of_id(value),
            "attachment.vpc-id" => Place::naming::<VpcId>(value),
            _ => None,
        }
    }
}

fn item(gateway: &EgressOnlyInternetGateway) -> EgressOnlyInternetGatewayItem {
    EgressOnlyInternetGatewayItem {
        attachment_set: vec![InternetGatewayAttachmentItem { vpc_id: gateway.vpc, state: ATTACHED }],
        egress_only_internet_gateway_id: gateway.id,
        tag_set: gateway.tags.clone(),
    }
}
