//! VPN gateways: recorded with what they are attached to and which tables they may propagate to. No VPN ends here.

use ec2::Error;
use ec2::page::Page;
use ec2::shapes::vpn_gateway::*;
use ec2::shapes::{Done, TagSpecification};
use model::*;

use super::{Handle, subnet};
use crate::Cloud;
use crate::describe::{Describe, Place, Query};
use crate::rules::texts;
use crate::timing::Wait;

const TYPE: &str = "ipsec.1";
const ASN_DEFAULT: i64 = 64_512;
const ATTACHED: &str = "attached";

impl Handle for CreateVpnGateway {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<CreateVpnGatewayResponse, Error> {
        if self.kind != TYPE {
            return Err(Error::invalid_parameter("type", self.kind, "Use ipsec.1."));
        }
        let tags = TagSpecification::tags(&self.tag_specifications, &["vpn-gateway"], "vpn-gateway")?;
        // Terraform sends an empty one.
        let zone = self.availability_zone.as_deref().filter(|zone| !zone.is_empty());
        let zone = zone.map(|name| subnet::zone(cloud.config.region, Some(name), None)).transpose()?;
        let amazon_side_asn = self.amazon_side_asn.map_or(Ok(ASN_DEFAULT), |text| asn(&text))?;
        if cloud.own_count::<VpnGateway>() >= cloud.config.quotas.vpn_gateways {
            let message = "The maximum number of virtual private gateways has been reached.";
            return Err(Error::new("VpnGatewayLimitExceeded", message));
        }
        let (id, owner) = (cloud.draw.id(), cloud.caller.account);
        let gateway =
            VpnGateway { id, owner, vpc: None, amazon_side_asn, zone, propagates_to: Default::default(), tags };
        cloud.put(gateway.clone());
        cloud.takes_time(gateway.id, Phase::Pending, Wait::VpnGateway);
        Ok(CreateVpnGatewayResponse { vpn_gateway: item(cloud, &gateway) })
    }
}

/// A private AS number (RFC 6996).
fn asn(text: &str) -> Result<i64, Error> {
    let is_private = |asn: &i64| (64_512..=65_534).contains(asn) || (4_200_000_000..=4_294_967_294).contains(asn);
    text.parse().ok().filter(is_private).ok_or_else(|| {
        let why = "A private ASN is 64512 to 65534 or 4200000000 to 4294967294.";
        Error::invalid_parameter("AmazonSideAsn", text, why)
    })
}

impl Handle for DeleteVpnGateway {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let gateway = cloud.owned::<VpnGateway>(self.vpn_gateway_id)?;
        if let Some(vpc) = gateway.vpc {
            let message = format!("The vpnGateway '{}' is attached to {vpc}; detach it first.", gateway.id);
            return Err(Error::new("IncorrectState", message));
        }
        cloud.delete::<VpnGateway>(gateway.id);
        Ok(Done::TRUE)
    }
}

impl Handle for DescribeVpnGateways {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeVpnGatewaysResponse, Error> {
        let query = Query { ids: &self.vpn_gateway_ids, filters: &self.filters, page: Page::default() };
        let (found, _) = cloud.select::<VpnGateway>(query, 5..=1000)?;
        Ok(DescribeVpnGatewaysResponse { vpn_gateway_set: found.iter().map(|gateway| item(cloud, gateway)).collect() })
    }
}

impl Handle for AttachVpnGateway {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<AttachVpnGatewayResponse, Error> {
        let gateway = cloud.owned::<VpnGateway>(self.vpn_gateway_id)?;
        let vpc = cloud.owned::<Vpc>(self.vpc_id)?;
        if let Some(other) = gateway.vpc.filter(|other| *other != vpc.id) {
            let message = format!("The vpnGateway '{}' is already attached to {other}", gateway.id);
            return Err(Error::new("VpnGatewayAttachmentLimitExceeded", message));
        }
        let rival = cloud.own_by::<VpnGateway>(By::id(vpc.id)).find(|other| other.id != gateway.id);
        if let Some(rival) = rival {
            let message = format!("Network {} already has a virtual private gateway attached: {}", vpc.id, rival.id);
            return Err(Error::invalid_value(message));
        }
        if gateway.vpc.is_none() {
            cloud.takes_time(attachment(gateway.id, vpc.id), Phase::Attaching, Wait::VpnGatewayAttachment);
        }
        cloud.update::<VpnGateway, _>(gateway.id, |gateway| {
            gateway.vpc = Some(vpc.id);
            Ok(())
        })?;
        let state = cloud.word(attachment(gateway.id, vpc.id), ATTACHED);
        Ok(AttachVpnGatewayResponse { attachment: VpnGatewayAttachmentItem { state, vpc_id: vpc.id } })
    }
}

impl Handle for DetachVpnGateway {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let vpc = cloud.owned::<Vpc>(self.vpc_id)?;
        let gateway = cloud.owned::<VpnGateway>(self.vpn_gateway_id)?;
        if gateway.vpc != Some(vpc.id) {
            let message = format!("The attachment of {} to {} does not exist", gateway.id, vpc.id);
            return Err(Error::new("InvalidVpnGatewayAttachment.NotFound", message));
        }
        if cloud.ends_later(attachment(gateway.id, vpc.id), Phase::Detaching, Wait::VpnGatewayAttachment) {
            return Ok(Done::TRUE);
        }
        cloud.update::<VpnGateway, _>(gateway.id, |gateway| {
            gateway.vpc = None;
            gateway.propagates_to.clear();
            Ok(Done::TRUE)
        })
    }
}

/// What a passage of the attachment is named.
fn attachment(gateway: VpnGatewayId, vpc: VpcId) -> String {
    format!("{gateway}/{vpc}")
}

impl Handle for EnableVgwRoutePropagation {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let table = cloud.owned::<RouteTable>(self.route_table_id)?;
        cloud.update::<VpnGateway, _>(self.gateway_id, |gateway| {
            if gateway.vpc != Some(table.vpc) {
                let message = format!("resource {} is not attached to network {}", gateway.id, table.vpc);
                return Err(Error::new("Gateway.NotAttached", message));
            }
            gateway.propagates_to.insert(table.id);
            Ok(Done::TRUE)
        })
    }
}

impl Handle for DisableVgwRoutePropagation {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let table = cloud.owned::<RouteTable>(self.route_table_id)?;
        cloud.update::<VpnGateway, _>(self.gateway_id, |gateway| {
            gateway.propagates_to.remove(&table.id);
            Ok(Done::TRUE)
        })
    }
}

/// The gateways that may propagate to a table.
pub(super) fn propagating_to(cloud: &Cloud<'_>, table: RouteTableId) -> Vec<VpnGatewayId> {
    cloud.own_by::<VpnGateway>(By::id(table)).map(|gateway| gateway.id).collect()
}

/// A table goes: nothing propagates to it any more.
pub(super) fn forget_table(cloud: &mut Cloud<'_>, table: RouteTableId) -> Result<(), Error> {
    for gateway in propagating_to(cloud, table) {
        cloud.update::<VpnGateway, _>(gateway, |gateway| {
            gateway.propagates_to.remove(&table);
            Ok(())
        })?;
    }
    Ok(())
}

impl Describe for VpnGateway {
    const FILTERS: &'static [&'static str] = &[
        "amazon-side-asn",
        "attachment.state",
        "attachment.vpc-id",
        "availability-zone",
        "state",
        "type",
        "vpn-gateway-id",
    ];

    fn is_visible(&self, cloud: &Cloud<'_>) -> bool {
        self.owner == cloud.caller.account
    }

    fn tags<'t>(&'t self, _: &Cloud<'_>) -> &'t Tags {
        &self.tags
    }

    fn values(&self, cloud: &Cloud<'_>, filter: &str) -> Vec<String> {
        match filter {
            "amazon-side-asn" => texts([self.amazon_side_asn]),
            "attachment.state" => texts(self.vpc.map(|vpc| cloud.word(attachment(self.id, vpc), ATTACHED))),
            "attachment.vpc-id" => texts(self.vpc),
            "availability-zone" => texts(self.zone),
            "state" => texts([cloud.word(self.id, "available")]),
            "type" => texts([TYPE]),
            "vpn-gateway-id" => texts([self.id]),
            _ => Vec::new(),
        }
    }

    fn place(_: &Cloud<'_>, filter: &str, value: &str) -> Option<Place<Self::Id>> {
        match filter {
            "vpn-gateway-id" => Place::of_id(value),
            "attachment.vpc-id" => Place::naming::<VpcId>(value),
            _ => None,
        }
    }
}

fn item(cloud: &Cloud<'_>, gateway: &VpnGateway) -> VpnGatewayItem {
    let attachment = gateway.vpc.map(|vpc_id| {
        let state = cloud.word(attachment(gateway.id, vpc_id), ATTACHED);
        VpnGatewayAttachmentItem { state, vpc_id }
    });
    VpnGatewayItem {
        amazon_side_asn: gateway.amazon_side_asn,
        attachments: attachment.into_iter().collect(),
        availability_zone: gateway.zone,
        state: cloud.word(gateway.id, "available"),
        tag_set: gateway.tags.clone(),
        kind: TYPE,
        vpn_gateway_id: gateway.id,
    }
}
