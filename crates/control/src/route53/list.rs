//! Lists of zones and of authorizations, in pages. A page goes on from the name of what it begins with.

use ec2::Error;
use ec2::route53::*;
use model::HostedZone;

use super::Desk;
use super::zone::{invalid_vpc, item, vpc_item};

impl Desk<'_> {
    fn own(&self) -> impl Iterator<Item = &HostedZone> {
        let caller = self.question.caller.account;
        self.question.home.hosted_zones.values().map(|zone| &**zone).filter(move |zone| zone.owner == caller)
    }

    /// In order of id.
    pub(super) fn list(
        &self,
        marker: Option<String>,
        max_items: usize,
        is_private: Option<bool>,
    ) -> Result<ListHostedZonesResponse, Error> {
        if let Some(marker) = &marker {
            self.zone(marker)?;
        }
        let wanted = self.own().filter(|_| is_private != Some(false));
        let mut zones = wanted.filter(|zone| marker.as_ref().is_none_or(|marker| zone.id >= *marker));
        let page: Vec<HostedZoneItem> = zones.by_ref().take(max_items).map(item).collect();
        let next_marker = zones.next().map(|zone| zone.id.clone());
        Ok(ListHostedZonesResponse {
            hosted_zones: List::new("HostedZone", page),
            marker: marker.unwrap_or_default(),
            is_truncated: next_marker.is_some(),
            next_marker,
            max_items: max_items as u64,
        })
    }

    /// In order of name, from its last label, then of id.
    pub(super) fn list_by_name(
        &self,
        dns_name: Option<&DomainName>,
        id: Option<String>,
        max_items: usize,
    ) -> ListHostedZonesByNameResponse {
        let mut zones: Vec<&HostedZone> = self.own().collect();
        zones.sort_by(|a, b| order(&a.name).cmp(&order(&b.name)).then_with(|| a.id.cmp(&b.id)));
        let begins = |zone: &&HostedZone| {
            let Some(from) = dns_name else { return true };
            let (name, from) = (order(&zone.name), order(from.as_str()));
            name > from || (name == from && id.as_ref().is_none_or(|id| zone.id >= *id))
        };
        let mut zones = zones.into_iter().filter(begins);
        let page: Vec<HostedZoneItem> = zones.by_ref().take(max_items).map(item).collect();
        let next = zones.next();
        ListHostedZonesByNameResponse {
            hosted_zones: List::new("HostedZone", page),
            dns_name: dns_name.map(ToString::to_string),
            is_truncated: next.is_some(),
            next_dns_name: next.map(|zone| zone.name.clone()),
            next_hosted_zone_id: next.map(|zone| zone.id.clone()),
            hosted_zone_id: id,
            max_items: max_items as u64,
        }
    }

    /// Whoever's zones hold in the caller's VPC.
    pub(super) fn list_by_vpc(
        &self,
        vpc: VpcInput,
        max_items: usize,
        next_token: Option<&str>,
    ) -> Result<ListHostedZonesByVpcResponse, Error> {
        if !self.owns_vpc(vpc) {
            return Err(invalid_vpc(vpc));
        }
        let holding = self.question.home.hosted_zones.values().filter(|zone| zone.vpcs.contains(&vpc));
        let mut zones = holding.filter(|zone| next_token.is_none_or(|token| zone.id.as_str() >= token));
        let summary = |zone: &std::sync::Arc<HostedZone>| HostedZoneSummary {
            id: zone.id.clone(),
            name: zone.name.clone(),
            owner: HostedZoneOwner { account: zone.owner },
        };
        let page: Vec<HostedZoneSummary> = zones.by_ref().take(max_items).map(summary).collect();
        Ok(ListHostedZonesByVpcResponse {
            summaries: List::new("HostedZoneSummary", page),
            max_items: max_items as u64,
            next_token: zones.next().map(|zone| zone.id.clone()),
        })
    }

    pub(super) fn authorizations(
        &self,
        id: &str,
        max_results: usize,
        next_token: Option<&str>,
    ) -> Result<ListAuthorizationsResponse, Error> {
        let zone = self.zone(id)?;
        let from = match next_token {
            None => 0,
            Some(token) => token.parse().map_err(|_| {
                Error::new("InvalidPaginationToken", format!("The NextToken '{token}' is none that was given out"))
            })?,
        };
        let mut rest = zone.authorized.iter().copied().skip(from);
        let page: Vec<VpcItem> = rest.by_ref().take(max_results).map(vpc_item).collect();
        let next_token = rest.next().map(|_| (from + page.len()).to_string());
        Ok(ListAuthorizationsResponse { hosted_zone_id: id.into(), next_token, vpcs: List::new("VPC", page) })
    }
}
