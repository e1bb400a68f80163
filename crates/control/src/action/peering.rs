//! VPC peering connections (spec ch. 5).

use std::collections::BTreeMap;
use std::sync::Arc;

use ec2::Error;
use ec2::page::Page;
use ec2::shapes::peering::*;
use ec2::shapes::{Done, TagSpecification};
use model::federation::Message;
use model::peering::{PeeringEvent, REQUEST_LIFE, Side, status_message};
use model::*;

use super::Handle;
use crate::Cloud;
use crate::describe::{Describe, Place, Query};
use crate::peering::{ACTIVE_LIMIT, OUTSTANDING_LIMIT, is_visible, visible_peering};
use crate::timing::Wait;

impl Handle for CreateVpcPeeringConnection {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<CreateVpcPeeringConnectionResponse, Error> {
        let tags =
            TagSpecification::tags(&self.tag_specifications, &["vpc-peering-connection"], "vpc-peering-connection")?;
        let region = self.peer_region.unwrap_or(cloud.config.region);
        if !cloud.config.regions.contains(&region) {
            return Err(Error::invalid_parameter("PeerRegion", region, "This cloud has no such region."));
        }
        if let Some(options) = &self.requester_peering_connection_options {
            check_create_options(options, region != cloud.config.region)?;
        }
        let own = cloud.owned::<Vpc>(self.vpc_id)?;
        let owner = self.peer_owner_id.unwrap_or(cloud.caller.account);
        let accepter = PeeringSide::unknown(owner, self.peer_vpc_id.0, region);
        if (accepter.owner, accepter.region) == (own.owner, cloud.config.region) {
            check_own_peer(cloud, own.id, accepter.vpc)?;
        }
        if let Some(existing) = same_request(cloud, own.id, &accepter) {
            return Ok(CreateVpcPeeringConnectionResponse { vpc_peering_connection: item(&existing, cloud) });
        }
        check_outstanding(cloud)?;
        let peering = request(cloud, &own, accepter, tags);
        Ok(CreateVpcPeeringConnectionResponse { vpc_peering_connection: item(&peering, cloud) })
    }
}

/// The one thing that may be asked for at creation (spec 5.2, 5.7.1).
fn check_create_options(options: &PeeringOptionsInput, is_inter_region: bool) -> Result<(), Error> {
    check_supported("RequesterPeeringConnectionOptions", options, is_inter_region)?;
    match options.allow_dns_resolution_from_remote_vpc {
        Some(true) => {
            let name = "RequesterPeeringConnectionOptions.AllowDnsResolutionFromRemoteVpc";
            Err(Error::invalid_parameter(
                name,
                true,
                "Set it with ModifyVpcPeeringConnectionOptions once the peering is active.",
            ))
        }
        _ => Ok(()),
    }
}

/// Inside one account and region a wrong peer is told at once (spec 5.5.2, 5.5.3).
fn check_own_peer(cloud: &Cloud<'_>, own: VpcId, peer: VpcId) -> Result<(), Error> {
    if own == peer {
        return Err(Error::invalid_parameter("PeerVpcId", peer, "A VPC cannot be peered with itself."));
    }
    cloud.owned::<Vpc>(peer).map(|_| ())
}

/// The live peering that an earlier request in the same direction made (spec 5.5.1).
fn same_request(cloud: &Cloud<'_>, own: VpcId, accepter: &PeeringSide) -> Option<Arc<Peering>> {
    let asked = (accepter.owner, accepter.vpc, accepter.region);
    let is_same = |peering: &&Arc<Peering>| {
        let other = &peering.accepter;
        peering.requester.vpc == own && (other.owner, other.vpc, other.region) == asked && is_live(peering, cloud.now)
    };
    cloud.world().peerings_between(own, accepter.vpc).find(is_same).cloned()
}

/// Waits within its time, or has been accepted.
fn is_live(peering: &Peering, now: Time) -> bool {
    peering.status.is_live() && (peering.status.is_accepted() || now < peering.expires)
}

fn check_outstanding(cloud: &Cloud<'_>) -> Result<(), Error> {
    let mine = |peering: &&Arc<Peering>| {
        (peering.requester.owner, peering.requester.region) == (cloud.caller.account, cloud.config.region)
            && is_live(peering, cloud.now)
    };
    let limit = cloud.config.quotas.outstanding_peering_requests;
    if cloud.world().peerings_waiting().filter(mine).count() >= limit {
        return Err(Error::new(OUTSTANDING_LIMIT, "Vpc peering connection request limit exceeded."));
    }
    Ok(())
}

fn request(cloud: &mut Cloud<'_>, own: &Vpc, accepter: PeeringSide, tags: Tags) -> Peering {
    let mut peering = Peering {
        id: cloud.draw.id(),
        requester: PeeringSide::of(own, cloud.config.region),
        accepter,
        status: PeeringStatus::InitiatingRequest,
        message: String::new(),
        created: cloud.now,
        expires: cloud.now + REQUEST_LIFE,
        ended: None,
        tags: BTreeMap::new(),
    };
    peering.message = status_message(&peering, None);
    // Tags are the account's own: the other side is asked without them.
    let (message, held) = (Message::Request { peering: Arc::new(peering.clone()) }, cloud.held(Wait::PeeringRequest));
    cloud.send_held(peering.accepter.region, message, held);
    if !tags.is_empty() {
        peering.tags.insert(cloud.caller.account, tags);
    }
    cloud.put(peering.clone());
    peering
}

impl Handle for AcceptVpcPeeringConnection {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<AcceptVpcPeeringConnectionResponse, Error> {
        let mut peering = for_accepter(cloud, self.vpc_peering_connection_id, "accept", "accepted")?;
        if peering.status.after(PeeringEvent::Accept).is_none() {
            return Err(invalid_transition(&peering, PeeringStatus::Provisioning));
        }
        let (now, by) = (cloud.now, cloud.caller.account);
        let mut peerings = cloud.peerings();
        if peerings.rival(&peering).is_some() {
            let message = format!("The vpc peering connection identified by {} already exists.", peering.id);
            return Err(Error::new("VpcPeeringConnectionAlreadyExists", message));
        }
        if peerings.is_full(&peering) {
            return Err(Error::new(
                ACTIVE_LIMIT,
                "The maximum number of active VPC peering connections per VPC has been reached.",
            ));
        }
        peerings.refresh(&mut peering);
        peering.step(PeeringEvent::Accept, Some(by), now);
        let side = Arc::new(peering.accepter.clone());
        // The requester's region decides whether it can be realised, be it this one.
        let held = peerings.held(Wait::PeeringProvision);
        peerings.draft.send_held(peering.requester.region, Message::Accepted { peering: peering.id, side }, held);
        peerings.keep(peering.clone());
        Ok(AcceptVpcPeeringConnectionResponse { vpc_peering_connection: item(&peering, cloud) })
    }
}

impl Handle for RejectVpcPeeringConnection {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let mut peering = for_accepter(cloud, self.vpc_peering_connection_id, "reject", "accepted or rejected")?;
        let (now, by) = (cloud.now, cloud.caller.account);
        if !peering.step(PeeringEvent::Reject, Some(by), now) {
            return Err(invalid_transition(&peering, PeeringStatus::Rejected));
        }
        let mut peerings = cloud.peerings();
        peerings.tell(&peering, Message::Rejected { peering: peering.id, by });
        peerings.keep(peering);
        Ok(Done::TRUE)
    }
}

/// The peering, if the caller is its accepter and this is the accepter's region (spec 5.3.2).
fn for_accepter(cloud: &mut Cloud<'_>, id: PeeringId, verb: &str, participle: &str) -> Result<Peering, Error> {
    let account = cloud.caller.account;
    // The accepter knows the id from its own region; here it has no side to see, but is told where to go.
    let elsewhere = cloud.world().find::<Peering>(&id).filter(|peering| {
        let has_reached = !matches!(peering.status, PeeringStatus::InitiatingRequest | PeeringStatus::Failed);
        peering.accepter.owner == account && peering.accepter.region != cloud.config.region && has_reached
    });
    let peering = match elsewhere {
        Some(peering) => Peering::clone(peering),
        None => current(cloud, id)?,
    };
    if peering.accepter.owner != account {
        return Err(Error::not_permitted(format!("User {account} cannot {verb} peering {id}")));
    }
    let (here, right) = (cloud.config.region, peering.accepter.region);
    if here != right {
        let message = format!(
            "Incorrect region ({here}) specified for this request. VPC peering connection {id} must be {participle} in region {right}"
        );
        return Err(Error::not_permitted(message));
    }
    Ok(peering)
}

/// The peering as it is at this moment: time may have ended it.
fn current(cloud: &mut Cloud<'_>, id: PeeringId) -> Result<Peering, Error> {
    let mut peering = Peering::clone(&*visible_peering(cloud, id)?);
    cloud.peerings().expire(&mut peering);
    Ok(peering)
}

fn invalid_transition(peering: &Peering, target: PeeringStatus) -> Error {
    let (id, from) = (peering.id, peering.status);
    let message = format!("Invalid state transition for {id}, attempted to transition from {from} to {target}");
    Error::new("InvalidStateTransition", message)
}

impl Handle for DeleteVpcPeeringConnection {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let mut peering = current(cloud, self.vpc_peering_connection_id)?;
        let account = cloud.caller.account;
        if peering.status == PeeringStatus::PendingAcceptance && peering.requester.owner != account {
            let message =
                format!("User {account} cannot delete peering {} before accepting it; reject it instead", peering.id);
            return Err(Error::not_permitted(message));
        }
        if !cloud.peerings().begin_deletion(&mut peering, Some(account)) {
            return Err(invalid_transition(&peering, PeeringStatus::Deleting));
        }
        Ok(Done::TRUE)
    }
}

impl Handle for ModifyVpcPeeringConnectionOptions {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<ModifyVpcPeeringConnectionOptionsResponse, Error> {
        let requester = (Side::Requester, &self.requester_peering_connection_options);
        let asked = [requester, (Side::Accepter, &self.accepter_peering_connection_options)];
        let asked: Vec<(Side, &PeeringOptionsInput)> =
            asked.into_iter().filter_map(|(side, options)| Some((side, options.as_ref()?))).collect();
        if asked.is_empty() {
            return Err(Error::missing_parameter(
                "RequesterPeeringConnectionOptions or AccepterPeeringConnectionOptions",
            ));
        }
        let mut peering = current(cloud, self.vpc_peering_connection_id)?;
        for (side, options) in &asked {
            let name = format!("{}PeeringConnectionOptions", title(*side));
            check_supported(&name, options, peering.is_inter_region())?;
        }
        if peering.status != PeeringStatus::Active {
            let message =
                format!("Peering {} is not active. Peering options can be added only to active peerings.", peering.id);
            return Err(Error::not_permitted(message));
        }
        for (side, options) in asked {
            check_right(cloud, &peering, side)?;
            set_options(cloud, &mut peering, side, options)?;
        }
        cloud.peerings().keep(peering);
        Ok(ModifyVpcPeeringConnectionOptionsResponse {
            requester_peering_connection_options: self.requester_peering_connection_options.as_ref().map(sent),
            accepter_peering_connection_options: self.accepter_peering_connection_options.as_ref().map(sent),
        })
    }
}

/// Sets one side's options and tells the other region.
fn set_options(
    cloud: &mut Cloud<'_>,
    peering: &mut Peering,
    side: Side,
    options: &PeeringOptionsInput,
) -> Result<(), Error> {
    let Some(allow) = options.allow_dns_resolution_from_remote_vpc else { return Ok(()) };
    let vpc = cloud.owned::<Vpc>(peering.side(side).vpc)?;
    if allow && !(vpc.enable_dns_support && vpc.enable_dns_hostnames) {
        let message = format!(
            "DNS resolution over the peering {} needs enableDnsSupport and enableDnsHostnames of the VPC {}; \
             set both with ModifyVpcAttribute",
            peering.id, vpc.id
        );
        return Err(Error::new("InvalidVpcPeeringConnectionState.DnsHostnamesDisabled", message));
    }
    let own = peering.side_mut(side);
    if own.options.allow_dns_resolution_from_remote_vpc != allow {
        own.options.allow_dns_resolution_from_remote_vpc = allow;
        own.version += 1;
        let side = Arc::new(own.clone());
        cloud.peerings().tell(peering, Message::Changed { peering: peering.id, side });
    }
    Ok(())
}

/// Each owner sets the own side's options, in that side's region (spec 5.7.3).
fn check_right(cloud: &Cloud<'_>, peering: &Peering, side: Side) -> Result<(), Error> {
    let own = peering.side(side);
    if own.owner != cloud.caller.account {
        let (account, side) = (cloud.caller.account, title(side).to_lowercase());
        let message = format!("User {account} does not have permission to modify the {side} side peering options");
        return Err(Error::not_permitted(message));
    }
    if own.region != cloud.config.region {
        let message =
            format!("{}'s VPC Peering connection options cannot be modified for a different region", title(side));
        return Err(Error::not_permitted(message));
    }
    Ok(())
}

/// ClassicLink is no more, and there is one path only (spec 5.7.4, 5.7.5): neither can be switched on.
fn check_supported(name: &str, options: &PeeringOptionsInput, is_inter_region: bool) -> Result<(), Error> {
    let classic_link = [
        ("AllowEgressFromLocalClassicLinkToRemoteVpc", options.allow_egress_from_local_classic_link_to_remote_vpc),
        ("AllowEgressFromLocalVpcToRemoteClassicLink", options.allow_egress_from_local_vpc_to_remote_classic_link),
    ];
    if let Some((member, _)) = classic_link.into_iter().find(|(_, value)| *value == Some(true)) {
        return Err(Error::invalid_parameter(&format!("{name}.{member}"), true, "ClassicLink is no longer available."));
    }
    let asks_for_paths =
        options.allow_multipath_resilience == Some(true) || options.multipath_resilience_mode.is_some();
    match (asks_for_paths, is_inter_region) {
        (false, _) => Ok(()),
        (true, false) => {
            let name = format!("{name}.AllowMultipathResilience");
            Err(Error::invalid_parameter(&name, true, "Multipath resilience is for peerings between regions only."))
        }
        (true, true) => {
            Err(Error::new("UnsupportedOperation", "Multipath resilience is not available in this cloud; leave it out"))
        }
    }
}

fn title(side: Side) -> &'static str {
    match side {
        Side::Requester => "Requester",
        Side::Accepter => "Accepter",
    }
}

/// The answer repeats what was sent (spec 5.2, A.3).
fn sent(options: &PeeringOptionsInput) -> PeeringOptionsItem {
    PeeringOptionsItem {
        allow_egress_from_local_classic_link_to_remote_vpc: options.allow_egress_from_local_classic_link_to_remote_vpc,
        allow_egress_from_local_vpc_to_remote_classic_link: options.allow_egress_from_local_vpc_to_remote_classic_link,
        allow_dns_resolution_from_remote_vpc: options.allow_dns_resolution_from_remote_vpc,
    }
}

impl Handle for DescribeVpcPeeringConnections {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeVpcPeeringConnectionsResponse, Error> {
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let query = Query { ids: &self.vpc_peering_connection_ids, filters: &self.filters, page };
        let (found, next_token) = cloud.select::<Peering>(query, 5..=1000)?;
        let vpc_peering_connections = found.iter().map(|peering| item(peering, cloud)).collect();
        Ok(DescribeVpcPeeringConnectionsResponse { vpc_peering_connections, next_token })
    }
}

impl Describe for Peering {
    const FILTERS: &'static [&'static str] = &[
        "accepter-vpc-info.cidr-block",
        "accepter-vpc-info.owner-id",
        "accepter-vpc-info.vpc-id",
        "expiration-time",
        "requester-vpc-info.cidr-block",
        "requester-vpc-info.owner-id",
        "requester-vpc-info.vpc-id",
        "status-code",
        "status-message",
        "vpc-peering-connection-id",
    ];

    fn is_visible(&self, cloud: &Cloud<'_>) -> bool {
        is_visible(self, cloud.caller.account, cloud.config, cloud.now)
    }

    fn tags<'t>(&'t self, cloud: &Cloud<'_>) -> &'t Tags {
        static NONE: Tags = Tags::new();
        self.tags.get(&cloud.caller.account).unwrap_or(&NONE)
    }

    fn values(&self, _cloud: &Cloud<'_>, filter: &str) -> Vec<String> {
        let side = if filter.starts_with("accepter") { Side::Accepter } else { Side::Requester };
        let member = filter.split_once('.').map_or(filter, |(_, member)| member);
        let value = match member {
            // What is hidden cannot be asked for either.
            "cidr-block" => shown(self, side).and_then(|side| side.cidrs.first()).map(ToString::to_string),
            "owner-id" => Some(self.side(side).owner.to_string()),
            "vpc-id" => Some(self.side(side).vpc.to_string()),
            "expiration-time" => expiration_time(self).map(|time| time.to_string()),
            "status-code" => Some(self.status.code().into()),
            "status-message" => Some(self.message.clone()),
            _ => Some(self.id.to_string()),
        };
        value.into_iter().collect()
    }

    fn place(_: &Cloud<'_>, filter: &str, value: &str) -> Option<Place<Self::Id>> {
        match filter {
            "vpc-peering-connection-id" => Place::of_id(value),
            "accepter-vpc-info.vpc-id" | "requester-vpc-info.vpc-id" => Place::naming::<VpcId>(value),
            "accepter-vpc-info.owner-id" | "requester-vpc-info.owner-id" => {
                value.parse().ok().map(|owner| Place::Under(By::account(owner)))
            }
            _ => None,
        }
    }
}

/// A side whose blocks and options are shown in the peering's state (spec 5.6.3).
fn shown(peering: &Peering, side: Side) -> Option<&PeeringSide> {
    let is_shown = match peering.status {
        PeeringStatus::InitiatingRequest | PeeringStatus::PendingAcceptance => side == Side::Requester,
        status => status.is_accepted(),
    };
    is_shown.then(|| peering.side(side))
}

/// Shown as long as the request waits (spec 5.3.4).
fn expiration_time(peering: &Peering) -> Option<Time> {
    let waits = matches!(peering.status, PeeringStatus::InitiatingRequest | PeeringStatus::PendingAcceptance);
    waits.then_some(peering.expires)
}

/// A peering as the API shows it to the caller.
fn item(peering: &Peering, cloud: &Cloud<'_>) -> VpcPeeringConnectionItem {
    VpcPeeringConnectionItem {
        vpc_peering_connection_id: peering.id,
        requester_vpc_info: side_item(peering, Side::Requester),
        accepter_vpc_info: side_item(peering, Side::Accepter),
        status: PeeringStatusItem { code: peering.status.code(), message: peering.message.clone() },
        expiration_time: expiration_time(peering),
        tag_set: Describe::tags(peering, cloud).clone(),
    }
}

fn side_item(peering: &Peering, side: Side) -> VpcPeeringConnectionVpcInfoItem {
    let named = peering.side(side);
    let shown = shown(peering, side);
    let ipv6 = shown.map(|side| side.ipv6_cidrs.as_slice()).filter(|blocks| !blocks.is_empty());
    VpcPeeringConnectionVpcInfoItem {
        owner_id: named.owner,
        vpc_id: named.vpc,
        region: named.region,
        cidr_block: shown.and_then(|side| side.cidrs.first()).copied(),
        cidr_block_set: shown.map(|side| side.cidrs.iter().map(|cidr| CidrBlockItem { cidr_block: *cidr }).collect()),
        ipv6_cidr_block_set: ipv6
            .map(|blocks| blocks.iter().map(|cidr| Ipv6CidrBlockItem { ipv6_cidr_block: *cidr }).collect()),
        peering_options: shown.map(|side| PeeringOptionsItem {
            allow_egress_from_local_classic_link_to_remote_vpc: Some(false),
            allow_egress_from_local_vpc_to_remote_classic_link: Some(false),
            allow_dns_resolution_from_remote_vpc: Some(side.options.allow_dns_resolution_from_remote_vpc),
        }),
    }
}
