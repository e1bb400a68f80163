//! What happened, for people who watch: the states that things come to, one event for each change of one.
//!
//! An event is what an account could have read by describing the thing before and after; whom it concerns is in it, and nobody else is
//! told.

use std::borrow::Cow;

use model::*;
use serde::{Deserialize, Serialize};

use crate::Config;
use crate::peering::is_visible;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// By the region's clock.
    pub time: Time,
    pub region: Region,
    /// Whom it concerns.
    pub accounts: Vec<AccountId>,
    /// As in ARNs: `vpc-peering-connection`.
    pub resource_type: Cow<'static, str>,
    pub resource_id: String,
    /// What it was; `None`: it is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Cow<'static, str>>,
    pub to: Cow<'static, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What these changes of a World come to, in their order.
pub fn of(before: &World, changes: &[Change], config: &Config, machine: Time) -> Vec<Event> {
    let now = before.now(machine);
    let mut events = Vec::new();
    for change in changes {
        let earlier = before.resource(&change.key());
        let was = earlier.as_ref().and_then(|resource| seen(resource, config, now));
        match change {
            Change::Put(after) => {
                public_addresses(&mut events, earlier.as_ref(), after, config, now);
                let Some(is) = seen(after, config, now) else { continue };
                if was.as_ref().is_none_or(|was| was.state != is.state) {
                    events.push(is.event(was.map(|was| was.state), config, now));
                }
            }
            Change::Delete(_) => {
                // What has ended is told of when it ends, not when its record goes.
                let Some(was) = was.filter(|was| !was.has_ended) else { continue };
                let from = Some(was.state.clone());
                events.push(Seen { state: DELETED.into(), detail: None, ..was }.event(from, config, now));
            }
        }
    }
    events
}

const DELETED: &str = "deleted";

/// A thing as those see it whom it concerns.
struct Seen {
    kind: &'static str,
    id: String,
    accounts: Vec<AccountId>,
    state: Cow<'static, str>,
    has_ended: bool,
    detail: Option<String>,
}

impl Seen {
    fn new(kind: &'static str, id: &impl ToString, account: AccountId, state: impl Into<Cow<'static, str>>) -> Seen {
        let state = state.into();
        Seen { kind, id: id.to_string(), accounts: vec![account], state, has_ended: false, detail: None }
    }

    fn event(self, from: Option<Cow<'static, str>>, config: &Config, now: Time) -> Event {
        let Seen { kind, id, accounts, state, detail, .. } = self;
        Event {
            time: now,
            region: config.region,
            accounts,
            resource_type: kind.into(),
            resource_id: id,
            from,
            to: state,
            detail,
        }
    }
}

/// `None`: people are not told of such things.
fn seen(resource: &Resource, config: &Config, now: Time) -> Option<Seen> {
    let seen = match resource {
        Resource::Vpc(vpc) => Seen::new("vpc", &vpc.id, vpc.owner, "available"),
        Resource::Subnet(subnet) => Seen::new("subnet", &subnet.id, subnet.owner, "available"),
        Resource::Peering(peering) => return seen_peering(peering, config, now),
        Resource::Instance(instance) => Seen {
            has_ended: instance.state == InstanceState::Terminated,
            detail: instance.state_reason.as_ref().map(|(_, message)| message.clone()),
            ..Seen::new("instance", &instance.id, instance.owner, instance.state.name())
        },
        Resource::NetworkInterface(interface) => {
            let attachment = interface.attachment.as_ref();
            let state = if attachment.is_some() { "in-use" } else { "available" };
            let detail = attachment.map(|attachment| format!("attached to {}", attachment.instance));
            Seen { detail, ..Seen::new("network-interface", &interface.id, interface.owner, state) }
        }
        Resource::InternetGateway(gateway) => {
            let state = if gateway.vpc.is_some() { "attached" } else { "detached" };
            let detail = gateway.vpc.map(|vpc| vpc.to_string());
            Seen { detail, ..Seen::new("internet-gateway", &gateway.id, gateway.owner, state) }
        }
        Resource::ElasticAddress(address) => {
            let detail = Some(address.public.to_string());
            Seen { detail, ..Seen::new("elastic-ip", &address.id, address.owner, "allocated") }
        }
        Resource::HostedZone(zone) => {
            Seen { detail: Some(zone.name.clone()), ..Seen::new("hosted-zone", &zone.id, zone.owner, "created") }
        }
        Resource::Host(host) => Seen::new("host", &host.id, AccountId::OPERATOR, "joined"),
        Resource::Account(account) => {
            Seen { detail: Some(account.name.clone()), ..Seen::new("account", &account.id, account.id, "created") }
        }
        Resource::AccessKey(key) if key.session.is_none() => {
            let state = if key.is_disabled { "inactive" } else { "active" };
            Seen::new("access-key", &key.id, key.account, state)
        }
        Resource::Role(role) => {
            let trusted: Vec<String> = role.trusted.iter().map(ToString::to_string).collect();
            // To be for others is to be in another state.
            Seen::new("role", &role.arn, role.arn.account, format!("for {}", trusted.join(", ")))
        }
        _ => return None,
    };
    Some(seen)
}

/// By those who may describe it now: of a request that fails, or is on its way, the other side learns nothing.
fn seen_peering(peering: &Peering, config: &Config, now: Time) -> Option<Seen> {
    let mut accounts = vec![peering.requester.owner, peering.accepter.owner];
    accounts.dedup();
    accounts.retain(|account| is_visible(peering, *account, config, now));
    let first = *accounts.first()?;
    let state = Cow::Borrowed(peering.status.code());
    let mut detail = format!("{} to {}", peering.requester.vpc, peering.accepter.vpc);
    if let Some((own, other)) = overlap(peering) {
        detail.push_str(&format!(": {own} overlaps {other}"));
    }
    let detail = Some(detail);
    let seen = Seen::new("vpc-peering-connection", &peering.id, first, state);
    Some(Seen { accounts, detail, has_ended: peering.status.has_ended(), ..seen })
}

/// Which blocks made a request fail, where one account has both VPCs: of another account's nothing may be learnt (spec 5.4.2).
fn overlap(peering: &Peering) -> Option<(Cidr, Cidr)> {
    let Peering { requester, accepter, .. } = peering;
    if peering.status != PeeringStatus::Failed || requester.owner != accepter.owner {
        return None;
    }
    requester.blocks().find_map(|own| accepter.blocks().find(|other| own.overlaps(other)).map(|other| (own, other)))
}

/// Public addresses that an interface got and lost.
fn public_addresses(events: &mut Vec<Event>, before: Option<&Resource>, after: &Resource, config: &Config, now: Time) {
    let Resource::NetworkInterface(after) = after else { return };
    let before = match before {
        Some(Resource::NetworkInterface(before)) => before.public.as_slice(),
        _ => &[],
    };
    let (associated, disassociated) = ("associated", "disassociated");
    let lost = before.iter().filter(|one| !after.public.contains(one)).map(|one| (one, disassociated, associated));
    let got = after.public.iter().filter(|one| !before.contains(one)).map(|one| (one, associated, disassociated));
    for (one, to, from) in lost.chain(got) {
        let detail = Some(format!("{} of {}", one.private, after.id));
        let seen = Seen { detail, ..Seen::new("public-address", &one.public, after.owner, to) };
        events.push(seen.event(Some(from.into()), config, now));
    }
}
