//! Internet gateways (spec 8.8).

use ec2::Error;
use ec2::page::Page;
use ec2::shapes::gateway::*;
use ec2::shapes::{Done, TagSpecification};
use model::*;

use super::Handle;
use crate::Cloud;
use crate::describe::{Describe, Place, Query};
use crate::rules::texts;
use crate::timing::Wait;

impl Handle for CreateInternetGateway {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<CreateInternetGatewayResponse, Error> {
        let tags = TagSpecification::tags(&self.tag_specifications, &["internet-gateway"], "internet-gateway")?;
        if cloud.own_count::<InternetGateway>() >= cloud.config.quotas.internet_gateways {
            return Err(Error::new(
                "InternetGatewayLimitExceeded",
                "The maximum number of internet gateways has been reached.",
            ));
        }
        let (owner, created) = (cloud.caller.account, cloud.now);
        let gateway = InternetGateway { id: cloud.draw.id(), owner, vpc: None, route_table: None, created, tags };
        cloud.put(gateway.clone());
        Ok(CreateInternetGatewayResponse { internet_gateway: item(cloud, &gateway) })
    }
}

impl Handle for DeleteInternetGateway {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let gateway = cloud.owned::<InternetGateway>(self.internet_gateway_id)?;
        if gateway.vpc.is_some() {
            return Err(Error::has_dependencies("internetGateway", gateway.id));
        }
        cloud.delete::<InternetGateway>(gateway.id);
        Ok(Done::TRUE)
    }
}

impl Handle for AttachInternetGateway {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let gateway = cloud.owned::<InternetGateway>(self.internet_gateway_id)?;
        let vpc = cloud.owned::<Vpc>(self.vpc_id)?;
        if let Some(other) = gateway.vpc {
            let message = format!("resource {} is already attached to network {other}", gateway.id);
            return Err(Error::new("Resource.AlreadyAssociated", message));
        }
        if cloud.own_by::<InternetGateway>(By::id(vpc.id)).next().is_some() {
            return Err(Error::invalid_value(format!("Network {} already has an internet gateway attached", vpc.id)));
        }
        cloud.takes_time(gateway.id, Phase::Attaching, Wait::InternetGateway);
        cloud.update::<InternetGateway, _>(gateway.id, |gateway| {
            gateway.vpc = Some(vpc.id);
            Ok(Done::TRUE)
        })
    }
}

impl Handle for DetachInternetGateway {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let vpc = cloud.owned::<Vpc>(self.vpc_id);
        let interfaces = || cloud.world().by::<NetworkInterface>(By::id(self.vpc_id));
        let is_mapped = interfaces().any(|interface| !interface.public.is_empty());
        let mut after = InternetGateway::clone(&*cloud.owned::<InternetGateway>(self.internet_gateway_id)?);
        check_detach(&after, vpc?.id, is_mapped)?;
        if !cloud.ends_later(after.id, Phase::Detaching, Wait::InternetGateway) {
            after.vpc = None;
            after.route_table = None;
            cloud.put(after);
        }
        Ok(Done::TRUE)
    }
}

fn check_detach(gateway: &InternetGateway, vpc: VpcId, is_mapped: bool) -> Result<(), Error> {
    if gateway.vpc != Some(vpc) {
        let message = format!("resource {} is not attached to network {vpc}", gateway.id);
        return Err(Error::new("Gateway.NotAttached", message));
    }
    if is_mapped {
        let message = format!(
            "Network {vpc} has some mapped public address(es). Please unmap those public address(es) before detaching the gateway."
        );
        return Err(Error::new("DependencyViolation", message));
    }
    Ok(())
}

impl Handle for DescribeInternetGateways {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeInternetGatewaysResponse, Error> {
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let query = Query { ids: &self.internet_gateway_ids, filters: &self.filters, page };
        let (gateways, next_token) = cloud.select::<InternetGateway>(query, 5..=1000)?;
        Ok(DescribeInternetGatewaysResponse {
            internet_gateways: gateways.iter().map(|gateway| item(cloud, gateway)).collect(),
            next_token,
        })
    }
}

/// AWS says `available` of an attached gateway; Terraform waits for that word.
const ATTACHED: &str = "available";

impl Describe for InternetGateway {
    const FILTERS: &'static [&'static str] =
        &["attachment.state", "attachment.vpc-id", "internet-gateway-id", "owner-id"];

    fn is_visible(&self, cloud: &Cloud<'_>) -> bool {
        self.owner == cloud.caller.account
    }

    fn tags<'t>(&'t self, _: &Cloud<'_>) -> &'t Tags {
        &self.tags
    }

    fn values(&self, cloud: &Cloud<'_>, filter: &str) -> Vec<String> {
        match filter {
            "attachment.state" => texts(self.vpc.map(|_| cloud.word(self.id, ATTACHED))),
            "attachment.vpc-id" => texts(self.vpc),
            "internet-gateway-id" => texts([self.id]),
            "owner-id" => texts([self.owner]),
            _ => Vec::new(),
        }
    }

    fn place(_: &Cloud<'_>, filter: &str, value: &str) -> Option<Place<Self::Id>> {
        match filter {
            "internet-gateway-id" => Place::of_id(value),
            "attachment.vpc-id" => Place::naming::<VpcId>(value),
            _ => None,
        }
    }
}

fn item(cloud: &Cloud<'_>, gateway: &InternetGateway) -> InternetGatewayItem {
    let state = cloud.word(gateway.id, ATTACHED);
    let attachment = gateway.vpc.map(|vpc_id| InternetGatewayAttachmentItem { vpc_id, state });
    InternetGatewayItem {
        internet_gateway_id: gateway.id,
        owner_id: gateway.owner,
        attachment_set: attachment.into_iter().collect(),
        tag_set: gateway.tags.clone(),
    }
}
