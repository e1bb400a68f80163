//! Tenancy, ClassicLink and block public access: recorded, or of another time.

use std::collections::BTreeSet;
use std::sync::Arc;

use ec2::Error;
use ec2::page::Page;
use ec2::shapes::Done;
use ec2::shapes::vpc_extra::*;
use model::account_region::BlockPublicAccess;
use model::*;

use super::Handle;
use crate::Cloud;
use crate::describe::passes;
use crate::timing::Wait;

impl Handle for ModifyVpcTenancy {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        if self.instance_tenancy != "default" {
            let why = "The tenancy of a VPC can only be changed to default.";
            return Err(Error::invalid_parameter("InstanceTenancy", self.instance_tenancy, why));
        }
        cloud.update::<Vpc, _>(self.vpc_id, |vpc| {
            vpc.instance_tenancy = self.instance_tenancy;
            Ok(Done::TRUE)
        })
    }
}

/// The caller's VPCs, all or these.
fn vpcs(cloud: &Cloud<'_>, ids: &[VpcId]) -> Result<Vec<Arc<Vpc>>, Error> {
    if ids.is_empty() {
        return Ok(cloud.own::<Vpc>().cloned().collect());
    }
    // In order, each once: what is told is told in pages.
    ids.iter().copied().collect::<BTreeSet<_>>().into_iter().map(|id| cloud.owned::<Vpc>(id)).collect()
}

impl Handle for DescribeVpcClassicLink {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeVpcClassicLinkResponse, Error> {
        ec2::filter::check(&self.filters, &["is-classic-link-enabled"])?;
        let is_wanted = |vpc: &Arc<Vpc>| {
            passes(&self.filters, &vpc.tags, |name| match name {
                "is-classic-link-enabled" => vec!["false".into()],
                _ => Vec::new(),
            })
        };
        let item = |vpc: Arc<Vpc>| VpcClassicLinkItem {
            classic_link_enabled: false,
            tag_set: vpc.tags.clone(),
            vpc_id: vpc.id,
        };
        let found = vpcs(cloud, &self.vpc_ids)?.into_iter().filter(is_wanted);
        Ok(DescribeVpcClassicLinkResponse { vpc_set: found.map(item).collect() })
    }
}

impl Handle for DescribeVpcClassicLinkDnsSupport {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeVpcClassicLinkDnsSupportResponse, Error> {
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let found = vpcs(cloud, &self.vpc_ids)?;
        let (found, next_token) = page.cut(5..=255, found, |vpc| vpc.id.to_string())?;
        let item = |vpc: Arc<Vpc>| ClassicLinkDnsSupportItem { classic_link_dns_supported: false, vpc_id: vpc.id };
        Ok(DescribeVpcClassicLinkDnsSupportResponse { next_token, vpcs: found.into_iter().map(item).collect() })
    }
}

impl Handle for DescribeVpcBlockPublicAccessOptions {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<BlockPublicAccessResponse, Error> {
        Ok(block_public_access(cloud))
    }
}

impl Handle for ModifyVpcBlockPublicAccessOptions {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<BlockPublicAccessResponse, Error> {
        const MODES: [&str; 3] = ["off", "block-bidirectional", "block-ingress"];
        let mode = self.internet_gateway_block_mode;
        if !MODES.contains(&mode.as_str()) {
            let why = format!("Use one of {}.", MODES.join(", "));
            return Err(Error::invalid_parameter("InternetGatewayBlockMode", mode, &why));
        }
        let (account, changed) = (cloud.caller.account, cloud.now);
        let own = cloud.world().find::<AccountRegion>(&account);
        let own = own.map_or_else(|| AccountRegion::new(account), |own| AccountRegion::clone(own));
        cloud.put(AccountRegion { block_public_access: Some(BlockPublicAccess { mode, changed }), ..own });
        cloud.takes_time(passage(account), Phase::UpdateInProgress, Wait::BlockPublicAccess);
        Ok(block_public_access(cloud))
    }
}

/// What a passage of the account's choice is named.
fn passage(account: AccountId) -> String {
    format!("{account}/block-public-access")
}

fn block_public_access(cloud: &Cloud<'_>) -> BlockPublicAccessResponse {
    let account = cloud.caller.account;
    let chosen = cloud.world().find::<AccountRegion>(&account).and_then(|own| own.block_public_access.clone());
    BlockPublicAccessResponse {
        vpc_block_public_access_options: BlockPublicAccessItem {
            aws_account_id: account,
            aws_region: cloud.config.region,
            state: cloud.word(passage(account), if chosen.is_some() { "update-complete" } else { "default-state" }),
            last_update_timestamp: chosen.as_ref().map(|chosen| chosen.changed),
            internet_gateway_block_mode: chosen.map_or_else(|| "off".into(), |chosen| chosen.mode),
            managed_by: "account",
            exclusions_allowed: "allowed",
        },
    }
}
