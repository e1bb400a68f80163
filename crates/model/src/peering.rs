//! VPC peering connections: the object and its life (spec ch. 5).
//!
//! ```text
//!                       ┌──────────── refused ───────────▶ failed
//!  create ▶ initiating-request ── delivered ──▶ pending-acceptance ──┬─ accept ─▶ provisioning ─ provisioned ─▶ active
//!                                                  │  │  │  │        │             │                            │
//!                                          refused │  │  │  └ delete └─ (deleting) │ refused              delete │
//!                                                  ▼  │  ▼                         ▼                            ▼
//!                                             failed  │ expired                 failed              deleting ─ gone ─▶ deleted
//!                                                     ▼ reject
//!                                                 rejected
//! ```

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

use crate::{AccountId, Cidr, Duration, Ipv4Cidr, Ipv6Cidr, PeeringId, Region, Tags, Time, Vpc, VpcId};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeeringStatus {
    InitiatingRequest,
    PendingAcceptance,
    Provisioning,
    Active,
    Failed,
    Expired,
    Rejected,
    Deleting,
    Deleted,
}

/// What may happen to a peering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeeringEvent {
    /// The request reached the accepter's region and holds there.
    Delivered,
    /// The request does not hold: wrong VPC or account, overlapping blocks, a quota.
    Refused,
    Accept,
    Reject,
    Expire,
    /// Both regions know of the acceptance.
    Provisioned,
    /// Deletion that the other region must hear of first.
    DeleteBegun,
    /// Deletion known on every side.
    Gone,
}

impl PeeringStatus {
    pub const ALL: [PeeringStatus; 9] = [
        PeeringStatus::InitiatingRequest,
        PeeringStatus::PendingAcceptance,
        PeeringStatus::Provisioning,
        PeeringStatus::Active,
        PeeringStatus::Failed,
        PeeringStatus::Expired,
        PeeringStatus::Rejected,
        PeeringStatus::Deleting,
        PeeringStatus::Deleted,
    ];

    /// The transition table of spec 5.3; `None`: the event cannot happen in this state.
    pub fn after(self, event: PeeringEvent) -> Option<PeeringStatus> {
        use PeeringEvent as E;
        use PeeringStatus as S;
        match (self, event) {
            (S::InitiatingRequest, E::Delivered) => Some(S::PendingAcceptance),
            (S::InitiatingRequest | S::PendingAcceptance | S::Provisioning, E::Refused) => Some(S::Failed),
            (S::PendingAcceptance, E::Accept) => Some(S::Provisioning),
            (S::PendingAcceptance, E::Reject) => Some(S::Rejected),
            (S::InitiatingRequest | S::PendingAcceptance, E::Expire) => Some(S::Expired),
            (S::Provisioning, E::Provisioned) => Some(S::Active),
            (S::PendingAcceptance | S::Active, E::DeleteBegun) => Some(S::Deleting),
            // "delete wins over everything": it may also arrive while this side is still provisioning (spec 5.6.5).
            (S::PendingAcceptance | S::Provisioning | S::Active | S::Deleting, E::Gone) => Some(S::Deleted),
            _ => None,
        }
    }

    /// May still become or be active: counts as "the" peering of its pair.
    pub fn is_live(self) -> bool {
        matches!(self, Self::InitiatingRequest | Self::PendingAcceptance | Self::Provisioning | Self::Active)
    }

    /// Over for good: nothing but a stronger end ([`Peering::settle`]) and the purge comes after it.
    pub fn has_ended(self) -> bool {
        self.strength().is_some()
    }

    /// Where each region ended a peering in its own way at the same moment, both settle on the stronger of the two ends:
    /// "delete wins over everything" (spec 5.6.5).
    fn strength(self) -> Option<u8> {
        match self {
            Self::Failed => Some(0),
            Self::Rejected => Some(1),
            Self::Expired => Some(2),
            Self::Deleted => Some(3),
            _ => None,
        }
    }

    /// Waits for the accepter's region, or for the accepter.
    pub fn is_waiting(self) -> bool {
        matches!(self, Self::InitiatingRequest | Self::PendingAcceptance)
    }

    /// CIDRs and options of the accepter are shown only from here on, and of both only until the end (spec 5.6.3).
    pub fn is_accepted(self) -> bool {
        matches!(self, Self::Provisioning | Self::Active)
    }

    pub fn code(self) -> &'static str {
        match self {
            Self::InitiatingRequest => "initiating-request",
            Self::PendingAcceptance => "pending-acceptance",
            Self::Provisioning => "provisioning",
            Self::Active => "active",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
        }
    }
}

impl fmt::Display for PeeringStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// What each side may switch on for the other (spec 5.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeeringOptions {
    /// The other side's instances resolve this side's public names to private addresses.
    pub allow_dns_resolution_from_remote_vpc: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeeringSide {
    pub owner: AccountId,
    pub vpc: VpcId,
    pub region: Region,
    /// All blocks of the VPC, the primary first; empty as long as this region has not heard of them.
    pub cidrs: Vec<Ipv4Cidr>,
    pub ipv6_cidrs: Vec<Ipv6Cidr>,
    pub options: PeeringOptions,
    /// The cloud's own names are given and resolve in the VPC ([`Vpc::has_dns_names`]): options have no effect without (spec 5.7.2).
    #[serde(default)]
    pub has_dns_names: bool,
    /// Grows with each change of blocks, options or DNS switches that the side's own region makes: another region never replaces what it
    /// knows by something older.
    pub version: u64,
}

impl PeeringSide {
    /// A VPC as it enters a peering.
    pub fn of(vpc: &Vpc, region: Region) -> PeeringSide {
        PeeringSide {
            owner: vpc.owner,
            vpc: vpc.id,
            region,
            cidrs: vpc.cidrs.iter().map(|block| block.cidr).collect(),
            ipv6_cidrs: vpc.ipv6_cidrs.iter().map(|block| block.cidr).collect(),
            options: PeeringOptions::default(),
            has_dns_names: vpc.has_dns_names(),
            version: 1,
        }
    }

    /// A VPC of which only the name is known yet.
    pub fn unknown(owner: AccountId, vpc: VpcId, region: Region) -> PeeringSide {
        let options = PeeringOptions::default();
        let (cidrs, ipv6_cidrs) = (Vec::new(), Vec::new());
        PeeringSide { owner, vpc, region, cidrs, ipv6_cidrs, options, has_dns_names: false, version: 0 }
    }

    /// Takes over the blocks and DNS switches that the VPC has now; `false`: it had them already.
    pub fn follow(&mut self, vpc: &Vpc) -> bool {
        let now = PeeringSide::of(vpc, self.region);
        let of = |side: &PeeringSide| (side.cidrs.clone(), side.ipv6_cidrs.clone(), side.has_dns_names);
        if of(self) == of(&now) {
            return false;
        }
        *self = PeeringSide { options: self.options, version: self.version + 1, ..now };
        true
    }

    /// Takes over what the side's own region says of it; `false`: older or no news, or another VPC.
    pub fn learn(&mut self, told: &PeeringSide) -> bool {
        let is_it = (self.owner, self.vpc, self.region) == (told.owner, told.vpc, told.region);
        let is_news = is_it && told.version > self.version;
        if is_news {
            *self = told.clone();
        }
        is_news
    }

    pub fn blocks(&self) -> impl Iterator<Item = Cidr> {
        let v4 = self.cidrs.iter().copied().map(Cidr::V4);
        v4.chain(self.ipv6_cidrs.iter().copied().map(Cidr::V6))
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.blocks().any(|block| block.contains(address))
    }

    /// Any block of one overlaps any block of the other, of either family: they can never be peered (spec 5.4.1).
    pub fn overlaps(&self, other: &PeeringSide) -> bool {
        self.blocks().any(|a| other.blocks().any(|b| a.overlaps(&b)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    Requester,
    Accepter,
}

impl Side {
    pub fn other(self) -> Side {
        match self {
            Side::Requester => Side::Accepter,
            Side::Accepter => Side::Requester,
        }
    }
}

/// One region's record of a peering; an inter-region one has a record in each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peering {
    pub id: PeeringId,
    pub requester: PeeringSide,
    pub accepter: PeeringSide,
    pub status: PeeringStatus,
    pub message: String,
    pub created: Time,
    pub expires: Time,
    /// When it reached an end state, and who brought it there.
    pub ended: Option<(Time, Option<AccountId>)>,
    /// Tags are each account's own, and each region's (spec 1.4.4).
    pub tags: BTreeMap<AccountId, Tags>,
}

/// A request lives 168 hours (spec 5.3.4).
pub const REQUEST_LIFE: Duration = Duration::hours(168);

impl Peering {
    pub fn side(&self, side: Side) -> &PeeringSide {
        match side {
            Side::Requester => &self.requester,
            Side::Accepter => &self.accepter,
        }
    }

    pub fn side_mut(&mut self, side: Side) -> &mut PeeringSide {
        match side {
            Side::Requester => &mut self.requester,
            Side::Accepter => &mut self.accepter,
        }
    }

    /// Which side this VPC is; `None`: it is in neither.
    pub fn side_of(&self, vpc: VpcId) -> Option<Side> {
        match vpc {
            vpc if vpc == self.requester.vpc => Some(Side::Requester),
            vpc if vpc == self.accepter.vpc => Some(Side::Accepter),
            _ => None,
        }
    }

    pub fn is_inter_region(&self) -> bool {
        self.requester.region != self.accepter.region
    }

    pub fn is_between(&self, a: VpcId, b: VpcId) -> bool {
        self.side_of(a).is_some() && self.side_of(b).is_some() && a != b
    }

    /// The region other than this one, if it has a part in the peering.
    pub fn other_region(&self, here: Region) -> Option<Region> {
        [self.requester.region, self.accepter.region].into_iter().find(|region| *region != here)
    }

    /// Moves to the state that the event leads to, with AWS's text for it. `false`: the event cannot happen here, nothing changed.
    pub fn step(&mut self, event: PeeringEvent, by: Option<AccountId>, now: Time) -> bool {
        let Some(status) = self.status.after(event) else { return false };
        self.enter(status, by, now);
        true
    }

    /// Ends as the other region says that it ended there. `false`: it does not end so here, nothing changed.
    ///
    /// Two regions may each end a peering before they hear of each other: see [`PeeringStatus::strength`]. What is active or
    /// deleting ends only as deleted.
    pub fn settle(&mut self, end: PeeringStatus, by: Option<AccountId>, now: Time) -> bool {
        let yields = match self.status {
            PeeringStatus::Active | PeeringStatus::Deleting => end == PeeringStatus::Deleted,
            other => end.strength() > other.strength(),
        };
        if yields {
            self.enter(end, by, now);
        }
        yields
    }

    fn enter(&mut self, status: PeeringStatus, by: Option<AccountId>, now: Time) {
        self.status = status;
        self.message = status_message(self, by);
        if status.has_ended() || status == PeeringStatus::Deleting {
            // The other region's clock may be ahead of this one's: no request expires before its time.
            let at = if status == PeeringStatus::Expired { now.max(self.expires) } else { now };
            self.ended = Some((at, by));
        }
    }
}

/// No account deleted it: two regions each gave its VPC a block before they heard of the other's, and the two overlap.
const DELETED_BY_OVERLAP: &str = "Deleted because CIDR blocks that were added to both VPCs at the same time overlap";

/// The text beside the code. Of these, `Expired`, `Rejected by` and `Deleting` are assumed (spec 5.3).
pub fn status_message(peering: &Peering, by: Option<AccountId>) -> String {
    let by_whom = |verb: &str| by.map_or_else(|| verb.into(), |account| format!("{verb} by {account}"));
    match peering.status {
        PeeringStatus::InitiatingRequest => format!("Initiating Request to {}", peering.accepter.owner),
        PeeringStatus::PendingAcceptance => format!("Pending Acceptance by {}", peering.accepter.owner),
        PeeringStatus::Provisioning => "Provisioning".into(),
        PeeringStatus::Active => "Active".into(),
        PeeringStatus::Failed => "Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range".into(),
        PeeringStatus::Expired => "Expired".into(),
        PeeringStatus::Rejected => by_whom("Rejected"),
        PeeringStatus::Deleting => "Deleting".into(),
        PeeringStatus::Deleted if by.is_none() => DELETED_BY_OVERLAP.into(),
        PeeringStatus::Deleted => by_whom("Deleted"),
    }
}
