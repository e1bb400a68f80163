//! The rules of peerings that requests, messages and time share (spec 5.3-5.6, architecture ch. 6).
//!
//! Each region holds its own record of a peering; a peering inside one region has one record, which serves both roles. Who
//! decides what: the accepter's region about everything while the request waits (accept, reject, expiry, failure), the
//! requester's region whether an acceptance can be realised, either about deletion, which wins over everything. Every
//! decision and the message that tells it are one transaction.

use std::sync::Arc;

use ec2::Error;
use model::federation::{Message, Mirror};
use model::peering::{PeeringEvent, Side};
use model::*;

use crate::config::Visibility;
use crate::timing::Wait;
use crate::{Cloud, Config, Draft};

// Codes that AWS does not document, each in one place (spec, open questions 1 and 3).

/// A block is to be added that overlaps the peer's over an accepted peering (5.4.5 a).
pub const NEW_BLOCK_OVERLAPS: &str = "InvalidVpc.Range";
/// A block is to be added while the VPC's own request waits (5.4.5 b).
pub const NEW_BLOCK_WHILE_REQUESTING: &str = "OperationNotPermitted";
/// A VPC has as many accepted peerings as it may have (5.5.4).
pub const ACTIVE_LIMIT: &str = "ActiveVpcPeeringConnectionPerVpcLimitExceeded";
/// An account has as many requests waiting as it may have (5.5.4).
pub const OUTSTANDING_LIMIT: &str = "OutstandingVpcPeeringConnectionLimitExceeded";

/// How long one side sees a peering in the state that it is in (spec 5.3.1, 5.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    Never,
    Always,
    Until(Time),
}

impl Sight {
    pub fn at(self, now: Time) -> bool {
        match self {
            Sight::Never => false,
            Sight::Always => true,
            Sight::Until(end) => now < end,
        }
    }
}

/// How long the owner of this side sees the peering.
pub fn sight(peering: &Peering, side: Side, visibility: &Visibility) -> Sight {
    let (ended, by) = peering.ended.unwrap_or((peering.created, None));
    let short = Sight::Until(ended + visibility.short);
    let long = Sight::Until(ended + visibility.long);
    let one_account = peering.requester.owner == peering.accepter.owner;
    match (peering.status, side) {
        (PeeringStatus::InitiatingRequest, Side::Accepter) | (PeeringStatus::Failed, Side::Accepter) => Sight::Never,
        (PeeringStatus::Failed, Side::Requester) => short,
        (PeeringStatus::Expired, _) => long,
        (PeeringStatus::Rejected | PeeringStatus::Deleted, _) if one_account => short,
        (PeeringStatus::Rejected, Side::Accepter) => short,
        (PeeringStatus::Rejected, Side::Requester) => long,
        (PeeringStatus::Deleted, side) if by == Some(peering.side(side).owner) => short,
        (PeeringStatus::Deleted, _) => long,
        _ => Sight::Always,
    }
}

/// The account owns a side that lives in this region and sees the peering (spec 5.2).
pub fn is_visible(peering: &Peering, account: AccountId, config: &Config, now: Time) -> bool {
    local_sides(peering, config.region)
        .any(|side| peering.side(side).owner == account && sight(peering, side, &config.visibility).at(now))
}

/// The sides that live in this region.
pub(crate) fn local_sides(peering: &Peering, here: Region) -> impl Iterator<Item = Side> {
    [Side::Requester, Side::Accepter].into_iter().filter(move |side| peering.side(*side).region == here)
}

/// When the record of an ended peering may go: no side here sees it any longer, and no copy of the request that is still
/// under way could be taken for a new one. `None`: it has not ended.
pub(crate) fn purge_time(peering: &Peering, config: &Config) -> Option<Time> {
    let (ended, _) = peering.ended.filter(|_| peering.status.has_ended())?;
    let seen = local_sides(peering, config.region).filter_map(|side| match sight(peering, side, &config.visibility) {
        Sight::Until(end) => Some(end),
        Sight::Never | Sight::Always => None,
    });
    let request_known_from_elsewhere = peering.requester.region != config.region;
    seen.chain(request_known_from_elsewhere.then_some(peering.expires)).max().or(Some(ended))
}

/// When this region lets a waiting request expire; `None`: it does not wait, or the other region decides.
pub(crate) fn expiry_time(peering: &Peering, here: Region) -> Option<Time> {
    let decides_here = match peering.status {
        PeeringStatus::InitiatingRequest => peering.requester.region == here,
        PeeringStatus::PendingAcceptance => peering.accepter.region == here,
        _ => false,
    };
    decides_here.then_some(peering.expires)
}

/// A region's peerings being changed.
pub(crate) struct Peerings<'a> {
    pub(crate) draft: &'a mut Draft,
    pub(crate) config: &'a Config,
    /// The World's time.
    pub(crate) now: Time,
}

impl Peerings<'_> {
    pub(crate) fn here(&self) -> Region {
        self.config.region
    }

    pub(crate) fn find(&self, id: PeeringId) -> Option<Peering> {
        self.draft.world().find::<Peering>(&id).map(|peering| Peering::clone(peering))
    }

    /// Stores the record; what this region knows of the other side's members goes when no accepted peering needs it.
    pub(crate) fn keep(&mut self, peering: Peering) {
        let remote = [&peering.requester, &peering.accepter].into_iter().find(|side| side.region != self.here());
        let remote = remote.map(|side| side.vpc).filter(|vpc| self.draft.world().find::<Mirror>(vpc).is_some());
        self.draft.put(peering);
        let Some(vpc) = remote else { return };
        if self.draft.world().accepted_peerings_of(vpc) == 0 {
            self.draft.delete::<Mirror>(vpc);
        }
    }

    /// Takes the blocks and DNS switches that a VPC of this region has now into a live peering, and tells them to the other region.
    pub(crate) fn follow(&mut self, peering: &Peering, now: &Vpc) {
        let mut peering = peering.clone();
        let Some(side) = peering.side_of(now.id) else { return };
        // The requester may not know the accepter's blocks before the acceptance (spec 5.6.2), which takes them over. So
        // requests that wait, of which there may be any number, stay out of this transaction.
        let is_known = side == Side::Requester || peering.status.is_accepted();
        if !is_known || !peering.side_mut(side).follow(now) {
            return;
        }
        let side = Arc::new(peering.side(side).clone());
        self.tell(&peering, Message::Changed { peering: peering.id, side });
        self.keep(peering);
    }

    /// Leaves a message for the other region of the peering; where there is none, the one record already says it.
    pub(crate) fn tell(&mut self, peering: &Peering, message: Message) {
        self.tell_held(peering, message, None);
    }

    /// The same, but the message does not leave before its time.
    fn tell_held(&mut self, peering: &Peering, message: Message, held: Option<Time>) {
        if let Some(to) = peering.other_region(self.here()) {
            self.draft.send_held(to, message, held);
        }
    }

    /// Until when what begins now takes; `None`: no time.
    pub(crate) fn held(&self, wait: Wait) -> Option<Time> {
        Some(self.now + self.config.timing?.of(wait))
    }

    /// Ends a request that nobody accepted in time, if that is this region's to do.
    pub(crate) fn expire(&mut self, peering: &mut Peering) -> bool {
        let is_due = expiry_time(peering, self.here()).is_some_and(|time| time <= self.now);
        let expired = is_due && peering.step(PeeringEvent::Expire, None, self.now);
        if expired {
            self.tell(peering, Message::Expired { peering: peering.id });
            self.keep(peering.clone());
        }
        expired
    }

    /// Closes this side at once; the peering is deleted when the other region has heard. `false`: not in this state.
    pub(crate) fn begin_deletion(&mut self, peering: &mut Peering, by: Option<AccountId>) -> bool {
        let held = self.held(Wait::PeeringDelete);
        let takes_time = peering.is_inter_region() || held.is_some();
        let event = if takes_time { PeeringEvent::DeleteBegun } else { PeeringEvent::Gone };
        // `Gone` alone would also end what is provisioning, which is the other region's right only.
        let begun = peering.status.after(PeeringEvent::DeleteBegun).is_some() && peering.step(event, by, self.now);
        if begun {
            self.tell_held(peering, Message::Deleted { peering: peering.id, by }, held);
            if takes_time && !peering.is_inter_region() {
                self.draft.send_held(self.here(), Message::DeletedToo { peering: peering.id }, held);
            }
            self.keep(peering.clone());
        }
        begun
    }

    /// Fails what cannot be, and lets the other region know. `false`: not in this state.
    pub(crate) fn refuse(&mut self, peering: &mut Peering) -> bool {
        let refused = peering.step(PeeringEvent::Refused, None, self.now);
        if refused {
            self.tell(peering, Message::Refused { peering: peering.id });
            self.keep(peering.clone());
        }
        refused
    }

    /// The sides of this region with the blocks that their VPCs have now; `false`: a VPC is gone or not that account's.
    pub(crate) fn refresh(&self, peering: &mut Peering) -> bool {
        local_sides(peering, self.here())
            .collect::<Vec<_>>()
            .into_iter()
            .all(|side| self.refresh_side(peering.side_mut(side)))
    }

    fn refresh_side(&self, side: &mut PeeringSide) -> bool {
        let vpc = self.draft.world().find::<Vpc>(&side.vpc).filter(|vpc| vpc.owner == side.owner);
        vpc.is_some_and(|vpc| {
            side.follow(vpc);
            true
        })
    }

    /// One of the VPCs of this region has as many accepted peerings as it may have, this one not counted.
    pub(crate) fn is_full(&self, peering: &Peering) -> bool {
        let world = self.draft.world();
        let itself = usize::from(world.find::<Peering>(&peering.id).is_some_and(|known| known.status.is_accepted()));
        let accepted = |side: Side| world.accepted_peerings_of(peering.side(side).vpc).saturating_sub(itself);
        let most = |side: Side| self.config.quotas_of(peering.side(side).owner).active_peerings_per_vpc;
        local_sides(peering, self.here()).any(|side| accepted(side) >= most(side))
    }

    /// Another peering of the same two VPCs is accepted already.
    pub(crate) fn rival(&self, peering: &Peering) -> Option<&Arc<Peering>> {
        let mut same = self.draft.world().peerings_between(peering.requester.vpc, peering.accepter.vpc);
        same.find(|other| other.id != peering.id && other.status.is_accepted())
    }
}

impl Cloud<'_> {
    pub(crate) fn peerings(&mut self) -> Peerings<'_> {
        let (config, now) = (self.config, self.now);
        Peerings { draft: self.draft(), config, now }
    }
}

/// A peering that the caller may see.
///
/// # Errors
/// `InvalidVpcPeeringConnectionID.NotFound`.
pub fn visible_peering(cloud: &Cloud<'_>, id: PeeringId) -> Result<Arc<Peering>, Error> {
    let found = cloud.world().find::<Peering>(&id);
    let found = found.filter(|peering| is_visible(peering, cloud.caller.account, cloud.config, cloud.now));
    found.cloned().ok_or_else(|| Error::not_found(id))
}

/// What peerings say to a block that is to be added to a VPC (spec 5.4.5). A request that waits for this VPC's acceptance and
/// that the block overlaps becomes `failed`.
///
/// # Errors
/// [`NEW_BLOCK_OVERLAPS`] where the block overlaps an accepted peer, [`NEW_BLOCK_WHILE_REQUESTING`] while the VPC's own
/// request waits.
pub fn check_new_block(cloud: &mut Cloud<'_>, vpc: VpcId, cidr: Cidr) -> Result<(), Error> {
    let all: Vec<Arc<Peering>> = cloud.peerings_of(vpc).cloned().collect();
    let mut peerings = cloud.peerings();
    for peering in all {
        let mut peering = Peering::clone(&peering);
        if peerings.expire(&mut peering) {
            continue;
        }
        peerings.refresh(&mut peering);
        let Some(side) = peering.side_of(vpc) else { continue };
        let peer = peering.side(side.other());
        let overlapped = peer.blocks().find(|block| block.overlaps(&cidr));
        match (peering.status, side, overlapped) {
            (PeeringStatus::Active | PeeringStatus::Provisioning, _, Some(block)) => {
                let message = format!(
                    "The CIDR '{cidr}' conflicts with the CIDR '{block}' of the VPC '{}', with which the VPC '{vpc}' is peered by {}.",
                    peer.vpc, peering.id
                );
                return Err(Error::new(NEW_BLOCK_OVERLAPS, message));
            }
            (PeeringStatus::InitiatingRequest | PeeringStatus::PendingAcceptance, Side::Requester, _) => {
                let message = format!(
                    "A CIDR block cannot be added to the VPC '{vpc}' while its request for the VPC peering connection {} is \
                     outstanding; wait until it is accepted, or delete it.",
                    peering.id
                );
                return Err(Error::new(NEW_BLOCK_WHILE_REQUESTING, message));
            }
            (PeeringStatus::PendingAcceptance, Side::Accepter, Some(_)) => {
                peerings.refuse(&mut peering);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Takes the blocks and DNS switches that a VPC has now into its live peerings, here and in the other regions. To be called after
/// each change of these.
pub fn blocks_changed(cloud: &mut Cloud<'_>, vpc: VpcId) {
    let Some(now) = cloud.world().find::<Vpc>(&vpc).cloned() else { return };
    let live: Vec<Arc<Peering>> = cloud.peerings_of(vpc).filter(|peering| peering.status.is_live()).cloned().collect();
    let mut peerings = cloud.peerings();
    for peering in live {
        peerings.follow(&peering, &now);
    }
}

/// What peerings say to the deletion of a VPC: its own waiting requests end with it (spec 2.7.2). A request that is still on
/// its way holds nobody: of one that the owner cannot see yet nothing may be noticed.
///
/// # Errors
/// `DependencyViolation` while a peering is accepted, or another's request waits for this VPC.
pub fn vpc_deletion(cloud: &mut Cloud<'_>, vpc: VpcId) -> Result<(), Error> {
    let by = Some(cloud.caller.account);
    let live: Vec<Arc<Peering>> = cloud.peerings_of(vpc).filter(|peering| peering.status.is_live()).cloned().collect();
    let mut peerings = cloud.peerings();
    for peering in live {
        let mut peering = Peering::clone(&peering);
        let is_free = peerings.expire(&mut peering)
            || match (peering.status, peering.side_of(vpc)) {
                (PeeringStatus::InitiatingRequest, Some(Side::Requester)) => peerings.refuse(&mut peering),
                (PeeringStatus::PendingAcceptance, Some(Side::Requester)) => peerings.begin_deletion(&mut peering, by),
                (PeeringStatus::InitiatingRequest, _) => true,
                _ => false,
            };
        if !is_free {
            return Err(Error::has_dependencies("vpc", vpc));
        }
    }
    Ok(())
}
