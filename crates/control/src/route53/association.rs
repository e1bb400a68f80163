//! Which VPCs a zone holds in, and which VPCs of other accounts may be added (spec 9.6).

use ec2::Error;
use ec2::route53::*;
use model::HostedZone;

use super::Desk;
use super::zone::{invalid_vpc, vpc_item};

/// VPCs of one zone, and authorizations (Route 53's quotas).
const VPCS_MAX: usize = 300;
const AUTHORIZATIONS_MAX: usize = 1000;

impl Desk<'_> {
    /// Whose VPC it is asks: for the own zone, or for another account's that authorized it.
    pub(super) fn associate(
        &mut self,
        id: &str,
        vpc: VpcInput,
        comment: Option<String>,
    ) -> Result<ChangeResponse, Error> {
        let caller = self.question.caller.account;
        let is_invited = |zone: &HostedZone| self.owns_vpc(vpc) && zone.authorized.contains(&vpc);
        // To who is neither owner nor invited the zone does not exist.
        let zone = self.any_zone(id).filter(|zone| zone.owner == caller || is_invited(zone));
        let zone = zone.ok_or_else(|| no_such_hosted_zone(id))?;
        if !self.owns_vpc(vpc) {
            let message = format!("The VPC: {} has not authorized to associate with your hosted zone.", vpc.1);
            return Err(Error::new("NotAuthorizedException", message).with_status(401));
        }
        self.refuse_conflict(vpc, &zone.name)?;
        if self.vpcs(zone).len() >= VPCS_MAX {
            let message =
                format!("The hosted zone {id} is associated with {VPCS_MAX} VPCs, the limit; disassociate one first");
            return Err(Error::new("LimitsExceeded", message));
        }
        let mut zone = zone.clone();
        zone.vpcs.insert(vpc);
        self.put(zone);
        Ok(ChangeResponse { change_info: self.submitted(comment) })
    }

    /// The zone's owner or the VPC's asks.
    pub(super) fn disassociate(
        &mut self,
        id: &str,
        vpc: VpcInput,
        comment: Option<String>,
    ) -> Result<ChangeResponse, Error> {
        let caller = self.question.caller.account;
        let is_party = |zone: &HostedZone| self.owns_vpc(vpc) && zone.vpcs.contains(&vpc);
        let zone = self.any_zone(id).filter(|zone| zone.owner == caller || is_party(zone));
        let zone = zone.ok_or_else(|| no_such_hosted_zone(id))?;
        let vpcs = self.vpcs(zone);
        if !vpcs.contains(&vpc) {
            let message = format!("The VPC: {} that you provided is not associated with the hosted zone {id}", vpc.1);
            return Err(Error::new("VPCAssociationNotFound", message).with_status(404));
        }
        if vpcs.len() == 1 {
            return Err(Error::new("LastVPCAssociation", "Cannot remove last VPC association for the private zone"));
        }
        let mut zone = zone.clone();
        zone.vpcs.remove(&vpc);
        self.put(zone);
        Ok(ChangeResponse { change_info: self.submitted(comment) })
    }

    /// Whether there is such a VPC is not told: it may be another account's.
    pub(super) fn authorize(&mut self, id: &str, vpc: VpcInput) -> Result<AuthorizationResponse, Error> {
        let mut zone = self.zone(id)?.clone();
        if !self.question.config.regions.contains(&vpc.0) {
            return Err(invalid_vpc(vpc));
        }
        if zone.authorized.len() >= AUTHORIZATIONS_MAX && !zone.authorized.contains(&vpc) {
            let message =
                format!("The hosted zone {id} has {AUTHORIZATIONS_MAX} authorizations, the limit; delete one first");
            return Err(Error::new("TooManyVPCAssociationAuthorizations", message));
        }
        zone.authorized.insert(vpc);
        self.put(zone);
        Ok(AuthorizationResponse { hosted_zone_id: id.into(), vpc: vpc_item(vpc) })
    }

    /// An association that was made by it stays.
    pub(super) fn deauthorize(&mut self, id: &str, vpc: VpcInput) -> Result<Nothing, Error> {
        let mut zone = self.zone(id)?.clone();
        if !zone.authorized.remove(&vpc) {
            let message = format!("The VPC: {} that you provided is not authorized for the hosted zone {id}", vpc.1);
            return Err(Error::new("VPCAssociationAuthorizationNotFound", message).with_status(404));
        }
        self.put(zone);
        Ok(Nothing {})
    }
}
