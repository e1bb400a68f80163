//! Zones: making, showing and deleting them.

use std::collections::{BTreeMap, BTreeSet};

use ec2::Error;
use ec2::route53::*;
use model::{Change, HostedZone, Key, RecordSet, RecordType};

use super::Desk;

/// Zones of one account (Route 53's quota).
const ZONES_MAX: usize = 500;
/// Characters of a comment.
const COMMENT_MAX: usize = 256;
const ID_LETTERS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const ID_LEN: usize = 19;

/// What Route 53 writes into every private zone.
const NAME_SERVERS: [&str; 4] =
    ["ns-1536.awsdns-00.co.uk.", "ns-0.awsdns-00.com.", "ns-1024.awsdns-00.org.", "ns-512.awsdns-00.net."];
const AUTHORITY: &str = "ns-1536.awsdns-00.co.uk. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400";

impl Desk<'_> {
    pub(super) fn create(
        &mut self,
        name: &DomainName,
        vpc: VpcInput,
        caller_reference: String,
        comment: Option<String>,
    ) -> Result<CreateHostedZoneResponse, Error> {
        let owner = self.question.caller.account;
        let comment = checked_comment(comment)?;
        let zones = self.question.home.hosted_zones.values();
        let own: Vec<_> = zones.filter(|zone| zone.owner == owner).collect();
        if own.iter().any(|zone| zone.caller_reference == caller_reference) {
            let message = "A hosted zone has already been created with the specified caller reference.";
            return Err(Error::new("HostedZoneAlreadyExists", message).with_status(409));
        }
        if own.len() >= ZONES_MAX {
            let message = format!("You have {ZONES_MAX} hosted zones, the limit; delete one first");
            return Err(Error::new("TooManyHostedZones", message));
        }
        if !self.owns_vpc(vpc) {
            return Err(invalid_vpc(vpc));
        }
        self.refuse_conflict(vpc, name.as_str())?;
        let ns = RecordSet { ttl: 172_800, values: NAME_SERVERS.map(Into::into).into() };
        let soa = RecordSet { ttl: 900, values: vec![AUTHORITY.into()] };
        let zone = HostedZone {
            id: format!("Z{}", self.draw.text(ID_LETTERS, ID_LEN)),
            owner,
            name: name.to_string(),
            comment,
            caller_reference,
            vpcs: BTreeSet::from([vpc]),
            authorized: BTreeSet::new(),
            records: BTreeMap::from([
                ((name.to_string(), RecordType::Ns), ns),
                ((name.to_string(), RecordType::Soa), soa),
            ]),
            created: self.now,
            tags: BTreeMap::new(),
        };
        let hosted_zone = item(&zone);
        self.put(zone);
        Ok(CreateHostedZoneResponse { hosted_zone, change_info: self.submitted(None), vpc: vpc_item(vpc) })
    }

    /// In one VPC a name belongs to one zone.
    pub(super) fn refuse_conflict(&self, vpc: VpcInput, name: &str) -> Result<(), Error> {
        let mut zones = self.question.home.hosted_zones.values();
        let Some(other) = zones.find(|zone| zone.name == name && zone.vpcs.contains(&vpc)) else { return Ok(()) };
        let message = format!(
            "The VPC {} in region {} has already been associated with the hosted zone {} with the same domain name.",
            vpc.1, vpc.0, other.id
        );
        Err(Error::new("ConflictingDomainExists", message))
    }

    pub(super) fn show(&self, id: &str) -> Result<GetHostedZoneResponse, Error> {
        let zone = self.zone(id)?;
        let vpcs = self.vpcs(zone).into_iter().map(vpc_item).collect();
        Ok(GetHostedZoneResponse { hosted_zone: item(zone), vpcs: List::new("VPC", vpcs) })
    }

    pub(super) fn count(&self) -> HostedZoneCount {
        let own = self.question.home.hosted_zones.values().filter(|zone| zone.owner == self.question.caller.account);
        HostedZoneCount { count: own.count() as u64 }
    }

    pub(super) fn delete(&mut self, id: &str) -> Result<ChangeResponse, Error> {
        let zone = self.zone(id)?;
        let is_required = |(name, kind): &(String, RecordType)| {
            *name == zone.name && matches!(kind, RecordType::Ns | RecordType::Soa)
        };
        if !zone.records.keys().all(is_required) {
            let message =
                "The specified hosted zone contains non-required resource record sets and so cannot be deleted.";
            return Err(Error::new("HostedZoneNotEmpty", message));
        }
        self.changes.push(Change::Delete(Key::HostedZone(zone.id.clone())));
        Ok(ChangeResponse { change_info: self.submitted(None) })
    }

    pub(super) fn comment(&mut self, id: &str, comment: Option<String>) -> Result<UpdatedHostedZone, Error> {
        let zone = HostedZone { comment: checked_comment(comment)?, ..self.zone(id)?.clone() };
        let hosted_zone = item(&zone);
        self.put(zone);
        Ok(UpdatedHostedZone { hosted_zone })
    }
}

fn checked_comment(comment: Option<String>) -> Result<String, Error> {
    let comment = comment.unwrap_or_default();
    if comment.chars().count() > COMMENT_MAX {
        return Err(invalid_input(format!("A comment has at most {COMMENT_MAX} characters")));
    }
    Ok(comment)
}

pub(super) fn invalid_vpc((region, id): VpcInput) -> Error {
    Error::new("InvalidVPCId", format!("The VPC: {id} that you provided is not a VPC of yours in region {region}"))
}

pub(super) fn item(zone: &HostedZone) -> HostedZoneItem {
    HostedZoneItem {
        id: format!("/hostedzone/{}", zone.id),
        name: zone.name.clone(),
        caller_reference: zone.caller_reference.clone(),
        config: HostedZoneConfig {
            comment: Some(zone.comment.clone()).filter(|comment| !comment.is_empty()),
            private_zone: true,
        },
        record_set_count: zone.records.len() as u64,
    }
}

pub(super) fn vpc_item((region, id): VpcInput) -> VpcItem {
    VpcItem { region, id }
}
