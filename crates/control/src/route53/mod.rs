//! Private hosted zones: Route 53's actions (spec 9.6, decision 0036).
//!
//! A zone lies in the home region's World, whatever regions its VPCs are in; the Worlds of other regions are only looked into, for who
//! owns a VPC and whether it is still there. An association with a VPC that is gone counts no more, and goes with the zone's next change.

mod association;
mod list;
mod records;
mod tags;
mod zone;

use std::collections::BTreeMap;
use std::sync::Arc;

use ec2::route53::{ChangeInfo, DnssecResponse, DnssecStatus, List, Reply, Request, VpcInput, no_such_hosted_zone};
use ec2::{Caller, Error};
use model::{Change, HostedZone, Region, Time, Vpc, World};

use crate::{Config, Draw, Seed};

/// The Worlds of all regions; of the home region the one that is being changed counts.
pub type Worlds = BTreeMap<Region, Arc<World>>;

/// Who asks, about what, and when.
pub struct Question<'a> {
    /// The home region's World.
    pub home: &'a World,
    pub worlds: &'a Worlds,
    /// The home region's.
    pub config: &'a Config,
    pub caller: &'a Caller,
    pub seed: Seed,
    pub machine: Time,
}

/// Answers one request: the reply, and the changes of the home World that must be committed before it is sent.
///
/// # Errors
/// Route 53's error; nothing has changed then.
pub fn handle(question: &Question<'_>, request: Request) -> Result<(Reply, Vec<Change>), Error> {
    let name = request.name();
    let mut desk = Desk::new(question);
    let reply = desk.answer(name, request)?;
    Ok((reply, desk.changes))
}

/// One request's view.
struct Desk<'a> {
    question: &'a Question<'a>,
    now: Time,
    draw: Draw,
    changes: Vec<Change>,
}

const CHANGE_LETTERS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
/// The moment in a change's id, and what makes it one of a kind.
const MOMENT_LEN: usize = 10;
const RANDOM_LEN: usize = 10;

impl<'a> Desk<'a> {
    fn new(question: &'a Question<'a>) -> Desk<'a> {
        let now = question.home.now(question.machine);
        Desk { question, now, draw: Draw::new(question.seed), changes: Vec::new() }
    }

    fn answer(&mut self, name: &str, request: Request) -> Result<Reply, Error> {
        Ok(match request {
            Request::CreateHostedZone { name: domain, vpc, caller_reference, comment } => {
                let made = self.create(&domain, vpc, caller_reference, comment)?;
                let location = format!("https://route53.amazonaws.com/2013-04-01{}", made.hosted_zone.id);
                Reply::of(name, &made).created(Some(location))
            }
            Request::GetHostedZone { id } => Reply::of(name, &self.show(&id)?),
            Request::GetHostedZoneCount => Reply::of(name, &self.count()),
            Request::DeleteHostedZone { id } => Reply::of(name, &self.delete(&id)?),
            Request::UpdateHostedZoneComment { id, comment } => Reply::of(name, &self.comment(&id, comment)?),
            Request::ListHostedZones { marker, max_items, is_private } => {
                Reply::of(name, &self.list(marker, max_items, is_private)?)
            }
            Request::ListHostedZonesByName { dns_name, id, max_items } => {
                Reply::of(name, &self.list_by_name(dns_name.as_ref(), id, max_items))
            }
            Request::ListHostedZonesByVpc { vpc, max_items, next_token } => {
                Reply::of(name, &self.list_by_vpc(vpc, max_items, next_token.as_deref())?)
            }
            Request::AssociateVpc { id, vpc, comment } => Reply::of(name, &self.associate(&id, vpc, comment)?),
            Request::DisassociateVpc { id, vpc, comment } => Reply::of(name, &self.disassociate(&id, vpc, comment)?),
            Request::CreateAuthorization { id, vpc } => Reply::of(name, &self.authorize(&id, vpc)?),
            Request::DeleteAuthorization { id, vpc } => Reply::of(name, &self.deauthorize(&id, vpc)?),
            Request::ListAuthorizations { id, max_results, next_token } => {
                Reply::of(name, &self.authorizations(&id, max_results, next_token.as_deref())?)
            }
            Request::ChangeResourceRecordSets { id, comment, changes } => {
                Reply::of(name, &self.change_records(&id, comment, changes)?)
            }
            Request::ListResourceRecordSets { id, name: from, kind, max_items } => {
                Reply::of(name, &self.list_records(&id, from.as_ref(), kind, max_items)?)
            }
            Request::GetChange { id } => Reply::of(name, &self.change_of(&id)?),
            Request::GetDnssec { id } => {
                self.zone(&id)?;
                let status = DnssecStatus { serve_signature: "NOT_SIGNING" };
                Reply::of(name, &DnssecResponse { status, key_signing_keys: List::new("member", Vec::new()) })
            }
            Request::ChangeTags { id, add, remove } => Reply::of(name, &self.change_tags(&id, add, &remove)?),
            Request::ListTags { id } => Reply::of(name, &self.tags(&id)?),
            Request::ListTagsForResources { ids } => Reply::of(name, &self.tags_of_several(&ids)?),
        })
    }

    fn world(&self, region: Region) -> Option<&World> {
        if region == self.question.config.region {
            return Some(self.question.home);
        }
        self.question.worlds.get(&region).map(|world| &**world)
    }

    fn vpc(&self, (region, id): VpcInput) -> Option<&Vpc> {
        self.world(region)?.find::<Vpc>(&id).map(|vpc| &**vpc)
    }

    fn owns_vpc(&self, vpc: VpcInput) -> bool {
        self.vpc(vpc).is_some_and(|vpc| vpc.owner == self.question.caller.account)
    }

    /// The caller's own zone.
    fn zone(&self, id: &str) -> Result<&'a HostedZone, Error> {
        let own = self.any_zone(id).filter(|zone| zone.owner == self.question.caller.account);
        own.ok_or_else(|| no_such_hosted_zone(id))
    }

    fn any_zone(&self, id: &str) -> Option<&'a HostedZone> {
        self.question.home.hosted_zones.get(id).map(|zone| &**zone)
    }

    /// The associations whose VPC is still there.
    fn vpcs(&self, zone: &HostedZone) -> Vec<VpcInput> {
        zone.vpcs.iter().copied().filter(|vpc| self.vpc(*vpc).is_some()).collect()
    }

    /// Keeps a changed zone, without what is gone from it.
    fn put(&mut self, mut zone: HostedZone) {
        zone.vpcs = self.vpcs(&zone).into_iter().collect();
        self.changes.push(Change::put(zone));
    }

    /// What says that a change is on its way: it is in force when its answer is there, as far as hosts can be reached.
    fn submitted(&mut self, comment: Option<String>) -> ChangeInfo {
        let mut moment = self.now.as_unix_millis().unsigned_abs();
        let mut letters = vec![b'0'; MOMENT_LEN];
        for letter in letters.iter_mut().rev() {
            *letter = CHANGE_LETTERS[usize::try_from(moment % 36).unwrap_or(0)];
            moment /= 36;
        }
        let moment = String::from_utf8(letters).unwrap_or_default();
        let id = format!("/change/C{moment}{}", self.draw.text(CHANGE_LETTERS, RANDOM_LEN));
        ChangeInfo { id, status: "PENDING", submitted_at: self.now, comment }
    }

    /// A change's id says when it was made; nothing is kept of one.
    fn change_of(&self, id: &str) -> Result<ec2::route53::ChangeResponse, Error> {
        let id = id.strip_prefix("change/").unwrap_or(id);
        let unknown = || {
            let message = format!("A change with the specified change ID '{id}' does not exist.");
            Error::new("NoSuchChange", message).with_status(404)
        };
        let letters = id.strip_prefix('C').filter(|letters| letters.len() == MOMENT_LEN + RANDOM_LEN);
        let letters = letters.filter(|letters| letters.bytes().all(|letter| CHANGE_LETTERS.contains(&letter)));
        let moment = i64::from_str_radix(&letters.ok_or_else(unknown)?[..MOMENT_LEN], 36).map_err(|_| unknown())?;
        let submitted_at = Time::from_unix_millis(moment);
        if submitted_at > self.now {
            return Err(unknown());
        }
        let change_info = ChangeInfo { id: format!("/change/{id}"), status: "INSYNC", submitted_at, comment: None };
        Ok(ec2::route53::ChangeResponse { change_info })
    }
}
