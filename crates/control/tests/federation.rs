//! Peerings between two regions: crashes, copies, delays and actions at the same moment (spec 5.6, architecture ch. 6).

mod regions;

use std::collections::BTreeSet;
use std::sync::Arc;

use control::federation;
use model::federation::{Clock, Message, Mirror, OutboxEntry};
use model::interface::Attachment;
use model::*;
use proptest::prelude::*;
use regions::*;

const ALICE: &str = "111111111111";
const BOB: &str = "222222222222";

fn vpc(sim: &mut Sim, at: usize, account: &str, cidr: &str) -> String {
    member(&sim.call(at, account, &format!("Action=CreateVpc&CidrBlock={cidr}")).unwrap(), "vpcId")
}

fn member(document: &str, name: &str) -> String {
    let document = roxmltree::Document::parse(document).unwrap();
    let found = document
        .descendants()
        .find(|node| node.tag_name().name() == name)
        .and_then(|node| node.text().map(String::from));
    found.unwrap_or_default()
}

fn create(own: &str, peer: &str, owner: &str, at: usize) -> String {
    format!(
        "Action=CreateVpcPeeringConnection&VpcId={own}&PeerVpcId={peer}&PeerOwnerId={owner}&PeerRegion={}",
        NAMES[at]
    )
}

fn on(verb: &str, id: &str) -> String {
    format!("Action={verb}VpcPeeringConnection&VpcPeeringConnectionId={id}")
}

fn dns(id: &str, side: &str, value: bool) -> String {
    format!(
        "Action=ModifyVpcPeeringConnectionOptions&VpcPeeringConnectionId={id}&{side}PeeringConnectionOptions.AllowDnsResolutionFromRemoteVpc={value}"
    )
}

/// Alice's VPC in us-east-1 and Bob's in eu-west-1, both with DNS host names.
fn pair(sim: &mut Sim) -> (String, String) {
    let pair = (vpc(sim, US, ALICE, "10.0.0.0/16"), vpc(sim, EU, BOB, "10.1.0.0/16"));
    for at in [US, EU] {
        for known in sim.places[at].world.clone().all::<Vpc>() {
            sim.commit(at, &[Change::put(Vpc { enable_dns_hostnames: true, ..Vpc::clone(known) })]);
        }
    }
    pair
}

fn pending(sim: &mut Sim) -> (String, String, String) {
    let (own, peer) = pair(sim);
    let id = member(&sim.call(US, ALICE, &create(&own, &peer, BOB, EU)).unwrap(), "vpcPeeringConnectionId");
    sim.drain();
    (id, own, peer)
}

fn active(sim: &mut Sim) -> (String, String, String) {
    let found = pending(sim);
    sim.call(EU, BOB, &on("Accept", &found.0)).unwrap();
    sim.drain();
    assert_eq!(sim.statuses(&found.0), [Some(PeeringStatus::Active); 2]);
    found
}

#[test]
fn a_peering_between_two_regions() {
    let mut sim = Sim::new();
    let (own, peer) = pair(&mut sim);
    let created = sim.call(US, ALICE, &create(&own, &peer, BOB, EU)).unwrap();
    let id = member(&created, "vpcPeeringConnectionId");
    assert_eq!(member(&created, "message"), format!("Initiating Request to {BOB}"));
    assert_eq!(sim.statuses(&id), [Some(PeeringStatus::InitiatingRequest), None]);
    sim.drain();
    assert_eq!(sim.statuses(&id), [Some(PeeringStatus::PendingAcceptance); 2]);
    // The accepter sees the requester's blocks, the requester not the accepter's.
    let see = |sim: &mut Sim, at, account| {
        sim.call(
            at,
            account,
            &on("Describe", &id).replace("VpcPeeringConnection&", "VpcPeeringConnections&").replace("Id=", "Id.1="),
        )
        .unwrap()
    };
    assert!(see(&mut sim, EU, BOB).contains("10.0.0.0/16"));
    assert!(!see(&mut sim, US, ALICE).contains("10.1.0.0/16"));
    assert!(sim.peering(US, &id).unwrap().accepter.cidrs.is_empty());
    // Nobody is seen in a region where nothing is theirs.
    assert_eq!(sim.call(EU, ALICE, &on("Delete", &id)).unwrap_err().code, "InvalidVpcPeeringConnectionID.NotFound");
    // The accepter, who knows the id from its own region, is told where to go.
    let wrong = sim.call(US, BOB, &on("Accept", &id)).unwrap_err();
    assert_eq!(wrong.code, "OperationNotPermitted");
    assert!(wrong.message.ends_with("must be accepted in region eu-west-1"), "{}", wrong.message);

    assert_eq!(member(&sim.call(EU, BOB, &on("Accept", &id)).unwrap(), "code"), "provisioning");
    assert_eq!(sim.statuses(&id), [Some(PeeringStatus::PendingAcceptance), Some(PeeringStatus::Provisioning)]);
    assert_eq!(sim.call(EU, BOB, &on("Delete", &id)).unwrap_err().code, "InvalidStateTransition");
    sim.deliver(EU, 9, Crash::Never);
    assert_eq!(sim.statuses(&id), [Some(PeeringStatus::Active), Some(PeeringStatus::Provisioning)]);
    sim.drain();
    assert_eq!(sim.statuses(&id), [Some(PeeringStatus::Active); 2]);
    assert!(see(&mut sim, US, ALICE).contains("10.1.0.0/16"));

    // Closed at once on the deleting side, and deleted when the other has heard.
    sim.call(EU, BOB, &on("Delete", &id)).unwrap();
    assert_eq!(sim.statuses(&id), [Some(PeeringStatus::Active), Some(PeeringStatus::Deleting)]);
    assert!(see(&mut sim, EU, BOB).contains("<code>deleting</code><message>Deleting</message>"));
    assert_eq!(sim.call(EU, BOB, &on("Delete", &id)).unwrap_err().code, "InvalidStateTransition");
    sim.deliver(EU, 9, Crash::Never);
    assert_eq!(sim.statuses(&id), [Some(PeeringStatus::Deleted), Some(PeeringStatus::Deleting)]);
    sim.drain();
    for (at, account) in [(US, ALICE), (EU, BOB)] {
        assert!(
            see(&mut sim, at, account).contains(&format!("<code>deleted</code><message>Deleted by {BOB}</message>"))
        );
    }
    sim.check_agreement();
}

#[test]
fn one_account_acts_in_the_right_region_only() {
    let mut sim = Sim::new();
    let (own, peer) = (vpc(&mut sim, US, ALICE, "10.0.0.0/16"), vpc(&mut sim, EU, ALICE, "10.1.0.0/16"));
    let id = member(&sim.call(US, ALICE, &create(&own, &peer, ALICE, EU)).unwrap(), "vpcPeeringConnectionId");
    sim.drain();
    let said = |sim: &mut Sim, at, query: &str| {
        sim.call(at, ALICE, query).map_err(|error| format!("{}: {}", error.code, error.message)).unwrap_err()
    };
    for (verb, participle) in [("Accept", "accepted"), ("Reject", "accepted or rejected")] {
        let message = format!(
            "OperationNotPermitted: Incorrect region (us-east-1) specified for this request. \
             VPC peering connection {id} must be {participle} in region eu-west-1"
        );
        assert_eq!(said(&mut sim, US, &on(verb, &id)), message);
    }
    sim.call(EU, ALICE, &on("Accept", &id)).unwrap();
    sim.drain();
    for (at, side) in [(US, "Accepter"), (EU, "Requester")] {
        let message = format!(
            "OperationNotPermitted: {side}'s VPC Peering connection options cannot be modified for a different region"
        );
        assert_eq!(said(&mut sim, at, &dns(&id, side, false)), message);
    }
    sim.call(EU, ALICE, &on("Delete", &id)).unwrap();
    sim.drain();
    sim.check_agreement();
    // The same account may also delete the waiting request in the accepter's region.
    let id = member(&sim.call(US, ALICE, &create(&own, &peer, ALICE, EU)).unwrap(), "vpcPeeringConnectionId");
    sim.drain();
    sim.call(EU, ALICE, &on("Delete", &id)).unwrap();
    sim.drain();
    assert_eq!(sim.statuses(&id), [Some(PeeringStatus::Deleted); 2]);
}

#[test]
fn what_does_not_hold_in_the_other_region_fails_and_is_not_seen_there() {
    let mut sim = Sim::new();
    let (own, peer) = pair(&mut sim);
    let overlapping = vpc(&mut sim, EU, BOB, "10.0.0.0/24");
    let here = vpc(&mut sim, US, BOB, "10.9.0.0/16");
    for (peer, owner) in [(&overlapping, BOB), (&peer, ALICE), (&here, BOB), (&own, ALICE)] {
        let id = member(&sim.call(US, ALICE, &create(&own, peer, owner, EU)).unwrap(), "vpcPeeringConnectionId");
        sim.drain();
        assert_eq!(sim.statuses(&id), [Some(PeeringStatus::Failed); 2], "{peer} of {owner}");
        for account in [ALICE, BOB] {
            assert_eq!(
                sim.call(EU, account, &on("Accept", &id)).unwrap_err().code,
                "InvalidVpcPeeringConnectionID.NotFound"
            );
        }
    }
    sim.check_agreement();
    // A copy of the request that comes after the VPC was made is still the same request: it does not live up.
    let late = sim.heard.iter().position(|(_, message)| matches!(message, Message::Request { .. })).unwrap();
    sim.now = sim.now + Duration::hours(50);
    sim.drain();
    assert_eq!(sim.echo(late), 0);
}

#[test]
fn a_request_that_no_region_hears_expires_and_does_not_come_to_life_later() {
    let mut sim = Sim::new();
    let (own, peer) = pair(&mut sim);
    let id = member(&sim.call(US, ALICE, &create(&own, &peer, BOB, EU)).unwrap(), "vpcPeeringConnectionId");
    sim.now = sim.now + Duration::hours(168);
    sim.tick(US);
    assert_eq!(sim.statuses(&id), [Some(PeeringStatus::Expired), None]);
    sim.drain();
    assert_eq!(sim.statuses(&id), [Some(PeeringStatus::Expired), None]);
}

#[test]
fn the_accepters_region_lets_a_waiting_request_expire() {
    let mut sim = Sim::new();
    let (id, ..) = pending(&mut sim);
    sim.now = sim.now + Duration::hours(168);
    assert!(!sim.tick(US));
    sim.tick(EU);
    assert_eq!(sim.statuses(&id), [Some(PeeringStatus::PendingAcceptance), Some(PeeringStatus::Expired)]);
    sim.drain();
    assert_eq!(sim.statuses(&id), [Some(PeeringStatus::Expired); 2]);
    sim.check_agreement();
}

#[test]
fn an_acceptance_that_cannot_be_realised_fails() {
    // The requester's VPC has no room; its region is the one to find out.
    let mut sim = Sim::new();
    sim.places[US].config.quotas.active_peerings_per_vpc = 1;
    let (_, own, _) = active(&mut sim);
    let other = vpc(&mut sim, EU, BOB, "10.2.0.0/16");
    let id = member(&sim.call(US, ALICE, &create(&own, &other, BOB, EU)).unwrap(), "vpcPeeringConnectionId");
    sim.drain();
    sim.call(EU, BOB, &on("Accept", &id)).unwrap();
    sim.drain();
    assert_eq!(sim.statuses(&id), [Some(PeeringStatus::Failed); 2]);
    assert_eq!(sim.call(EU, BOB, &on("Accept", &id)).unwrap_err().code, "InvalidVpcPeeringConnectionID.NotFound");
    sim.check_agreement();
}

#[test]
fn blocks_and_options_reach_the_other_region() {
    let mut sim = Sim::new();
    let (id, own, peer) = active(&mut sim);
    sim.add_block(US, ALICE, &own, "10.5.0.0/16").unwrap();
    sim.add_block(EU, BOB, &peer, "10.6.0.0/16").unwrap();
    sim.call(EU, BOB, &dns(&id, "Accepter", true)).unwrap();
    sim.call(US, ALICE, &dns(&id, "Requester", true)).unwrap();
    sim.drain();
    sim.check_agreement();
    let known = sim.peering(US, &id).unwrap();
    assert_eq!((known.requester.cidrs.len(), known.accepter.cidrs.len()), (2, 2));
    assert!(
        known.requester.options.allow_dns_resolution_from_remote_vpc
            && known.accepter.options.allow_dns_resolution_from_remote_vpc
    );
    assert_eq!(sim.add_block(US, ALICE, &own, "10.6.1.0/24").unwrap_err().code, "InvalidVpc.Range");
    sim.call(EU, BOB, &dns(&id, "Accepter", false)).unwrap();
    sim.drain();
    // Old news come again: what is newer stays.
    for index in 0..sim.heard.len() {
        assert_eq!(sim.echo(index), 0);
    }
    assert!(!sim.peering(US, &id).unwrap().accepter.options.allow_dns_resolution_from_remote_vpc);
}

#[test]
fn waiting_requests_and_blocks_over_two_regions() {
    let mut sim = Sim::new();
    let (id, own, peer) = pending(&mut sim);
    assert_eq!(sim.add_block(US, ALICE, &own, "10.7.0.0/16").unwrap_err().code, "OperationNotPermitted");
    sim.add_block(EU, BOB, &peer, "10.8.0.0/16").unwrap();
    sim.drain();
    // Not told before the acceptance.
    assert!(sim.peering(US, &id).unwrap().accepter.cidrs.is_empty());
    sim.add_block(EU, BOB, &peer, "10.0.3.0/24").unwrap();
    assert_eq!(sim.statuses(&id), [Some(PeeringStatus::PendingAcceptance), Some(PeeringStatus::Failed)]);
    sim.drain();
    assert_eq!(sim.statuses(&id), [Some(PeeringStatus::Failed); 2]);
    sim.check_agreement();
}

#[test]
fn the_accepter_hears_which_blocks_the_requester_gives_up() {
    let mut sim = Sim::new();
    let (own, peer) = pair(&mut sim);
    sim.add_block(US, ALICE, &own, "10.7.0.0/16").unwrap();
    let id = member(&sim.call(US, ALICE, &create(&own, &peer, BOB, EU)).unwrap(), "vpcPeeringConnectionId");
    sim.drain();
    assert_eq!(sim.peering(EU, &id).unwrap().requester.cidrs.len(), 2);
    sim.remove_block(US, ALICE, &own).unwrap();
    sim.drain();
    assert_eq!(sim.peering(EU, &id).unwrap().requester.cidrs.len(), 1);
    sim.add_block(EU, BOB, &peer, "10.7.0.0/16").unwrap();
    assert_eq!(sim.statuses(&id), [Some(PeeringStatus::PendingAcceptance); 2]);
}

/// Hears messages as they come, also in an order that no carrier should give them.
fn hear(sim: &mut Sim, at: usize, messages: &[Message]) {
    let (place, from) = (&sim.places[at], sim.places[1 - at].config.region);
    let changes = federation::receive(&place.world, &place.config, from, messages, sim.now);
    sim.commit(at, &changes);
}

#[test]
fn messages_out_of_order_never_make_an_overlapping_peering_active() {
    let mut sim = Sim::new();
    let (id, own, peer) = pending(&mut sim);
    sim.call(EU, BOB, &on("Accept", &id)).unwrap();
    sim.add_block(EU, BOB, &peer, "10.7.0.0/16").unwrap();
    sim.deliver(EU, 1, Crash::Never);
    sim.add_block(US, ALICE, &own, "10.7.1.0/24").unwrap();
    let mut waiting: Vec<Message> = sim.world(US).all::<OutboxEntry>().map(|entry| entry.message.clone()).collect();
    assert_eq!(waiting.len(), 2);
    waiting.reverse();
    hear(&mut sim, EU, &waiting);
    assert_eq!(sim.statuses(&id), [Some(PeeringStatus::Active), Some(PeeringStatus::Deleting)]);
    sim.drain();
    sim.check_agreement();
}

#[test]
fn a_deletion_is_answered_even_where_the_peering_is_long_forgotten() {
    let mut sim = Sim::new();
    let (id, ..) = pending(&mut sim);
    sim.call(US, ALICE, &on("Delete", &id)).unwrap();
    sim.commit(EU, &[Change::Delete(Key::Peering(id.parse().unwrap()))]);
    sim.drain();
    assert_eq!(sim.statuses(&id), [Some(PeeringStatus::Deleted), None]);
}

#[test]
fn an_outbox_gives_other_regions_their_entries_and_loses_only_what_was_delivered() {
    let mut sim = Sim::new();
    let (own, peer) = pair(&mut sim);
    let near = vpc(&mut sim, US, ALICE, "10.2.0.0/16");
    sim.call(US, ALICE, &create(&own, &near, ALICE, US)).unwrap();
    sim.call(US, ALICE, &create(&own, &peer, BOB, EU)).unwrap();
    let here = sim.places[US].config.region;
    let queues = federation::outbox(sim.world(US), here, federation::ENTRIES_MAX);
    assert_eq!(queues.keys().copied().collect::<Vec<_>>(), [sim.places[EU].config.region]);
    let entries = queues.into_values().next().unwrap();
    assert_eq!(entries.len(), 1);
    // Another message has taken the number of the delivered one.
    let other = OutboxEntry {
        message: Message::Pending { peering: PeeringId::from_random(9) },
        ..OutboxEntry::clone(&entries[0])
    };
    let changed = sim.world(US).apply(&[Change::put(other)]);
    assert_eq!(federation::delivered(&changed, &entries), []);
    assert_eq!(federation::delivered(sim.world(US), &entries).len(), 1);
}

#[test]
fn blocks_added_on_both_sides_at_once_end_the_peering_if_they_overlap() {
    let mut sim = Sim::new();
    let (id, own, peer) = active(&mut sim);
    sim.add_block(US, ALICE, &own, "10.7.0.0/16").unwrap();
    sim.add_block(EU, BOB, &peer, "10.7.1.0/24").unwrap();
    sim.drain();
    assert_eq!(sim.statuses(&id), [Some(PeeringStatus::Deleted); 2]);
    assert!(sim.peering(US, &id).unwrap().message.starts_with("Deleted because CIDR blocks"));
    sim.check_agreement();
}

#[test]
fn tags_stay_in_their_region() {
    let mut sim = Sim::new();
    let (own, peer) = pair(&mut sim);
    let tags = "&TagSpecification.1.ResourceType=vpc-peering-connection&TagSpecification.1.Tag.1.Key=secret&TagSpecification.1.Tag.1.Value=a";
    let created = sim.call(US, ALICE, &(create(&own, &peer, BOB, EU) + tags)).unwrap();
    sim.drain();
    let id = member(&created, "vpcPeeringConnectionId");
    assert!(!sim.peering(US, &id).unwrap().tags.is_empty());
    assert!(sim.peering(EU, &id).unwrap().tags.is_empty());
    assert!(!format!("{:?}", sim.heard).contains("secret"));
}

/// The other region's resolvers must know whether an option has effect (spec 5.7.2, 5.7.6).
#[test]
fn dns_switches_travel_to_the_other_region() {
    let mut sim = Sim::new();
    let (id, own, _) = active(&mut sim);
    let switch =
        |attribute: &str, value: bool| format!("Action=ModifyVpcAttribute&VpcId={own}&{attribute}.Value={value}");
    let known = |sim: &Sim| [US, EU].map(|at| sim.peering(at, &id).unwrap().requester.has_dns_names);
    assert_eq!(known(&sim), [true, true]);
    sim.call(US, ALICE, &dns(&id, "Requester", true)).unwrap();
    sim.drain();
    for value in [false, true, false] {
        sim.call(US, ALICE, &switch("EnableDnsHostnames", value)).unwrap();
        sim.drain();
        assert_eq!(known(&sim), [value, value]);
    }
    sim.call(US, ALICE, &switch("EnableDnsSupport", false)).unwrap();
    sim.drain();
    assert_eq!(known(&sim), [false, false]);
    let options = sim.peering(EU, &id).unwrap().requester.options;
    assert!(options.allow_dns_resolution_from_remote_vpc, "the option stays");
}

/// Records from before the switches travelled say that they are off. A start brings each region's own in line, and tells the other.
#[test]
fn a_start_tells_the_switches_that_nobody_was_told() {
    let mut sim = Sim::new();
    let (id, ..) = active(&mut sim);
    let known = |sim: &Sim| {
        let peerings = [US, EU].map(|at| sim.peering(at, &id).unwrap().clone());
        peerings.map(|peering| (peering.requester.has_dns_names, peering.accepter.has_dns_names))
    };
    for at in [US, EU] {
        let mut old = Peering::clone(&sim.peering(at, &id).unwrap());
        (old.requester.has_dns_names, old.accepter.has_dns_names) = (false, false);
        sim.commit(at, &[Change::put(old)]);
    }
    assert_eq!(known(&sim), [(false, false); 2]);
    for at in [US, EU] {
        let changes = control::names::settle(sim.world(at), &sim.places[at].config, sim.now);
        sim.commit(at, &changes);
    }
    assert_eq!(known(&sim), [(true, false), (false, true)], "each its own");
    sim.drain();
    assert_eq!(known(&sim), [(true, true); 2]);
    for at in [US, EU] {
        assert_eq!(control::names::settle(sim.world(at), &sim.places[at].config, sim.now), []);
    }
    sim.check_agreement();
}

#[test]
fn a_region_may_speak_for_itself_only() {
    let mut sim = Sim::new();
    let (id, ..) = pending(&mut sim);
    let id: PeeringId = id.parse().unwrap();
    let third: Region = "ap-south-1".parse().unwrap();
    let side = |at: usize| sim.world(at).find::<Peering>(&id).unwrap().requester.clone();
    let forged = [
        Message::Pending { peering: id },
        Message::Refused { peering: id },
        Message::Accepted { peering: id, side: side(US).into() },
        Message::Provisioned { peering: id },
        Message::Rejected { peering: id, by: BOB.parse().unwrap() },
        Message::Expired { peering: id },
        Message::Deleted { peering: id, by: None },
        Message::DeletedToo { peering: id },
        Message::Changed { peering: id, side: PeeringSide { version: 99, ..side(US) }.into() },
    ];
    for at in [US, EU] {
        let place = &sim.places[at];
        for message in &forged {
            assert_eq!(federation::receive(&place.world, &place.config, third, [message], sim.now), [], "{message:?}");
        }
        // Nor may the other region accept, provision or change in this one's name.
        let other = sim.places[1 - at].config.region;
        let own_side = if at == US {
            place.world.find::<Peering>(&id).unwrap().requester.clone()
        } else {
            place.world.find::<Peering>(&id).unwrap().accepter.clone()
        };
        let change = Message::Changed { peering: id, side: PeeringSide { version: 99, ..own_side }.into() };
        assert_eq!(federation::receive(&place.world, &place.config, other, [&change], sim.now), []);
    }
    let eu = &sim.places[EU];
    for message in [&forged[0], &forged[2], &forged[3]] {
        assert_eq!(
            federation::receive(&eu.world, &eu.config, sim.places[US].config.region, [message], sim.now),
            [],
            "{message:?}"
        );
    }
    // Nor say anything of another VPC than its own.
    let stranger = Message::Changed {
        peering: id,
        side: PeeringSide { version: 99, vpc: VpcId::from_random(9), ..side(US) }.into(),
    };
    assert_eq!(federation::receive(&eu.world, &eu.config, sim.places[US].config.region, [&stranger], sim.now), []);
    let tags = [(ALICE.parse().unwrap(), Tags::from([("a".into(), "b".into())]))].into();
    let other =
        Peering { id: PeeringId::from_random(5), tags, ..Peering::clone(sim.world(US).find::<Peering>(&id).unwrap()) };
    let request = Message::Request { peering: Arc::new(other) };
    assert_eq!(federation::receive(&eu.world, &eu.config, third, [&request], sim.now), []);
    hear(&mut sim, EU, &[request]);
    assert!(sim.world(EU).find::<Peering>(&PeeringId::from_random(5)).unwrap().tags.is_empty());
}

#[test]
fn an_acceptance_for_another_vpc_makes_nothing_active() {
    let mut sim = Sim::new();
    let (id, ..) = pending(&mut sim);
    let other =
        PeeringSide { vpc: VpcId::from_random(9), version: 5, ..sim.peering(EU, &id).unwrap().accepter.clone() };
    hear(&mut sim, US, &[Message::Accepted { peering: id.parse().unwrap(), side: other.into() }]);
    assert_eq!(sim.statuses(&id)[US], Some(PeeringStatus::Failed));
}

#[test]
fn deleting_a_vpc_deletes_its_waiting_requests_in_both_regions() {
    let mut sim = Sim::new();
    let (own, peer) = pair(&mut sim);
    let id = member(&sim.call(US, ALICE, &create(&own, &peer, BOB, EU)).unwrap(), "vpcPeeringConnectionId");
    let mut early = sim.clone();
    early.delete_vpc(US, ALICE, &own).unwrap();
    early.drain();
    assert_eq!(early.statuses(&id), [Some(PeeringStatus::Failed); 2]);
    sim.drain();
    assert_eq!(sim.delete_vpc(EU, BOB, &peer).unwrap_err().code, "DependencyViolation");
    sim.delete_vpc(US, ALICE, &own).unwrap();
    sim.drain();
    assert_eq!(sim.statuses(&id), [Some(PeeringStatus::Deleted); 2]);
    sim.check_agreement();
}

/// One life with everything in it, from the first request to the last answer; which deliveries crash, and how, is given.
fn life(mut crash: impl FnMut(usize) -> Crash) -> (Sim, usize) {
    let mut sim = Sim::new();
    let (own, peer) = pair(&mut sim);
    let mut deliveries = 0;
    let mut carry = |sim: &mut Sim| {
        for _ in 0..20 {
            for from in [US, EU] {
                // A crashed delivery is tried again, as a restarted carrier does.
                for _ in 0..3 {
                    let how = crash(deliveries);
                    if !sim.deliver(from, 1, how) {
                        break;
                    }
                    deliveries += 1;
                }
            }
        }
    };
    let id = member(&sim.call(US, ALICE, &create(&own, &peer, BOB, EU)).unwrap(), "vpcPeeringConnectionId");
    carry(&mut sim);
    sim.call(EU, BOB, &on("Accept", &id)).unwrap();
    carry(&mut sim);
    sim.call(US, ALICE, &dns(&id, "Requester", true)).unwrap();
    sim.add_block(EU, BOB, &peer, "10.6.0.0/16").unwrap();
    carry(&mut sim);
    sim.call(EU, BOB, &on("Delete", &id)).unwrap();
    let again = member(&sim.call(US, ALICE, &create(&own, &peer, BOB, EU)).unwrap(), "vpcPeeringConnectionId");
    carry(&mut sim);
    let again = if again == id {
        member(&sim.call(US, ALICE, &create(&own, &peer, BOB, EU)).unwrap(), "vpcPeeringConnectionId")
    } else {
        again
    };
    carry(&mut sim);
    sim.call(EU, BOB, &on("Reject", &again)).unwrap();
    carry(&mut sim);
    sim.drain();
    (sim, deliveries)
}

/// A World without what crashes may change: how often it was committed.
fn content(sim: &Sim) -> [Vec<Resource>; 2] {
    [US, EU].map(|at| sim.world(at).resources().collect())
}

#[test]
fn a_crash_at_any_step_of_a_life_changes_nothing() {
    let (smooth, deliveries) = life(|_| Crash::Never);
    smooth.check_agreement();
    assert!(deliveries >= 11, "{deliveries}");
    for at in 0..deliveries + 4 {
        for how in [Crash::BeforeCommit, Crash::BeforeDelete] {
            let (sim, _) = life(|n| if n == at { how } else { Crash::Never });
            assert_eq!(content(&sim), content(&smooth), "{how:?} at delivery {at}");
        }
    }
    // Every delivery twice, and every pair of crashes.
    let (sim, _) = life(|n| if n % 2 == 0 { Crash::BeforeDelete } else { Crash::Never });
    assert_eq!(content(&sim), content(&smooth));
    for first in 0..deliveries {
        for second in first + 1..deliveries + 2 {
            let (sim, _) = life(|n| if n == first || n == second { Crash::BeforeDelete } else { Crash::Never });
            assert_eq!(content(&sim), content(&smooth), "before delete at {first} and {second}");
        }
    }
}

#[test]
fn messages_that_come_again_late_and_in_any_order_change_nothing() {
    let (mut sim, _) = life(|_| Crash::Never);
    let before = content(&sim);
    for index in (0..sim.heard.len()).rev().chain(0..sim.heard.len()) {
        assert_eq!(sim.echo(index), 0, "{:?}", sim.heard[index]);
    }
    assert_eq!(content(&sim), before);
}

/// What is done in each of the two regions, one after the other.
type Actions<'a> = [&'a [&'a dyn Fn(&mut Sim)]; 2];

/// Every order in which these actions and deliveries can happen; `check` looks at each outcome, at rest.
fn explore(sim: &Sim, actions: Actions<'_>, copies: usize, check: &mut dyn FnMut(&Sim)) -> usize {
    let mut outcomes = 0;
    let mut is_at_rest = true;
    for at in [US, EU] {
        if let Some((first, rest)) = actions[at].split_first() {
            is_at_rest = false;
            let mut next = sim.clone();
            first(&mut next);
            let mut left = actions;
            left[at] = rest;
            outcomes += explore(&next, left, copies, check);
        }
        for crash in [Crash::Never, Crash::BeforeDelete] {
            let mut next = sim.clone();
            if (crash == Crash::Never || copies > 0) && next.deliver(at, 1, crash) {
                is_at_rest = false;
                outcomes += explore(&next, actions, copies - usize::from(crash != Crash::Never), check);
            }
        }
    }
    if is_at_rest {
        sim.check_agreement();
        check(sim);
        outcomes += 1;
    }
    outcomes
}

fn outcomes(sim: &Sim, id: &str, actions: Actions<'_>) -> BTreeSet<PeeringStatus> {
    let mut seen = BTreeSet::new();
    let count = explore(sim, actions, 1, &mut |sim| {
        seen.insert(sim.peering(US, id).unwrap().status);
    });
    assert!(count > 1);
    seen
}

#[test]
fn every_order_of_crossing_actions_ends_the_same_in_both_regions() {
    use PeeringStatus as S;
    let mut sim = Sim::new();
    for place in &mut sim.places {
        (place.config.visibility.short, place.config.visibility.long) = (Duration::hours(1000), Duration::hours(1000));
    }
    let (id, own, peer) = pending(&mut sim);
    let act = |at: usize, account: &'static str, verb: &'static str| {
        let query = on(verb, &id);
        move |sim: &mut Sim| drop(sim.call(at, account, &query))
    };
    let block = |at: usize, account: &'static str, vpc: &str, cidr: &'static str| {
        let vpc = vpc.to_owned();
        move |sim: &mut Sim| drop(sim.add_block(at, account, &vpc, cidr))
    };
    let (delete, accept, reject) = (act(US, ALICE, "Delete"), act(EU, BOB, "Accept"), act(EU, BOB, "Reject"));
    let theirs = act(EU, BOB, "Delete");
    let (overlap, mine, disjoint) = (
        block(EU, BOB, &peer, "10.0.9.0/24"),
        block(US, ALICE, &own, "10.9.0.0/24"),
        block(EU, BOB, &peer, "10.9.0.0/16"),
    );
    let late = |sim: &mut Sim| {
        sim.now = sim.now + Duration::hours(168);
        sim.tick(EU);
        sim.tick(US);
    };

    assert_eq!(outcomes(&sim, &id, [&[&delete], &[&accept]]), BTreeSet::from([S::Deleted]));
    assert_eq!(outcomes(&sim, &id, [&[&delete], &[&reject]]), BTreeSet::from([S::Rejected, S::Deleted]));
    assert_eq!(outcomes(&sim, &id, [&[&delete], &[&overlap]]), BTreeSet::from([S::Failed, S::Deleted]));
    assert_eq!(outcomes(&sim, &id, [&[&delete], &[&late]]), BTreeSet::from([S::Expired, S::Deleted]));
    // Whoever of accept and expiry comes first in the accepter's region, both regions know the same.
    assert_eq!(outcomes(&sim, &id, [&[&late], &[&accept]]), BTreeSet::from([S::Expired, S::Active]));
    assert_eq!(outcomes(&sim, &id, [&[&delete], &[&accept, &theirs]]), BTreeSet::from([S::Deleted]));
    assert_eq!(outcomes(&sim, &id, [&[&mine], &[&accept, &disjoint]]), BTreeSet::from([S::Active, S::Deleted]));
    sim.call(EU, BOB, &on("Accept", &id)).unwrap();
    sim.drain();
    assert_eq!(outcomes(&sim, &id, [&[&delete], &[&theirs]]), BTreeSet::from([S::Deleted]));
    assert_eq!(outcomes(&sim, &id, [&[&mine], &[&disjoint]]), BTreeSet::from([S::Active, S::Deleted]));
    assert_eq!(outcomes(&sim, &id, [&[&mine, &delete], &[&disjoint, &theirs]]), BTreeSet::from([S::Deleted]));
}

#[test]
fn two_requests_in_both_directions_accepted_at_once_leave_one_active() {
    let mut sim = Sim::new();
    let (id, own, peer) = pending(&mut sim);
    let reverse = member(&sim.call(EU, BOB, &create(&peer, &own, ALICE, US)).unwrap(), "vpcPeeringConnectionId");
    sim.drain();
    let (forth, back) = (on("Accept", &id), on("Accept", &reverse));
    let accept_forth = |sim: &mut Sim| drop(sim.call(EU, BOB, &forth));
    let accept_back = |sim: &mut Sim| drop(sim.call(US, ALICE, &back));
    let mut seen = BTreeSet::new();
    explore(&sim, [&[&accept_back], &[&accept_forth]], 1, &mut |sim| {
        let both = [&id, &reverse].map(|id| sim.peering(US, id).unwrap().status);
        assert_eq!(both.iter().filter(|status| **status == PeeringStatus::Active).count(), 1, "{both:?}");
        seen.insert(both);
    });
    assert!(seen.len() > 1);
}

#[test]
fn mirrors_say_where_the_members_of_active_peers_are() {
    let mut sim = Sim::new();
    let (id, own, peer) = active(&mut sim);
    add_interface(&mut sim, EU, &peer);
    let sent = federation::mirrors(sim.world(EU), sim.places[EU].config.region);
    let [(to, Message::Mirror { peering, mirror })] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!((to.as_str(), peering.to_string()), (NAMES[US], id.clone()));
    assert_eq!((mirror.vpc.to_string(), mirror.region.as_str(), mirror.members.len()), (peer.clone(), NAMES[EU], 1));
    let host: HostId = "h1".parse().unwrap();
    assert_eq!((mirror.members[0].host, mirror.members[0].groups.len()), (Some(host), 0));

    let tell = |sim: &mut Sim, mirror: &Mirror| {
        let message = Message::Mirror { peering: id.parse().unwrap(), mirror: mirror.clone() };
        let from = sim.places[EU].config.region;
        let changes = federation::receive(sim.world(US), &sim.places[US].config, from, [&message], sim.now);
        sim.commit(US, &changes);
        !changes.is_empty()
    };
    assert!(tell(&mut sim, mirror));
    assert!(!tell(&mut sim, mirror), "heard already");
    let older = Mirror { revision: mirror.revision - 1, members: Vec::new(), ..mirror.clone() };
    assert!(!tell(&mut sim, &older), "an older mirror replaces no newer one");
    let foreign = Mirror { vpc: own.parse().unwrap(), revision: 1000, ..mirror.clone() };
    assert!(!tell(&mut sim, &foreign), "of its own VPC only");
    assert!(mirror.says_the_same(&Mirror { revision: 9, ..mirror.clone() }) && !mirror.says_the_same(&older));

    // What is known of the peer goes with the peering, and does not come back.
    sim.call(US, ALICE, &on("Delete", &id)).unwrap();
    assert_eq!(sim.world(US).mirrors.size(), 0);
    assert!(!tell(&mut sim, &Mirror { revision: 1000, ..mirror.clone() }));
    assert_eq!(federation::mirrors(sim.world(US), sim.places[US].config.region), []);
}

#[test]
fn a_mirror_that_another_peering_needs_stays() {
    let mut sim = Sim::new();
    let (id, _, peer) = active(&mut sim);
    let other = vpc(&mut sim, US, ALICE, "10.3.0.0/16");
    let second = member(&sim.call(US, ALICE, &create(&other, &peer, BOB, EU)).unwrap(), "vpcPeeringConnectionId");
    sim.drain();
    sim.call(EU, BOB, &on("Accept", &second)).unwrap();
    sim.drain();
    let sent = federation::mirrors(sim.world(EU), sim.places[EU].config.region);
    assert_eq!(sent.len(), 2);
    let changes = federation::receive(
        sim.world(US),
        &sim.places[US].config,
        sim.places[EU].config.region,
        sent.iter().map(|(_, message)| message),
        sim.now,
    );
    sim.commit(US, &changes);
    sim.call(US, ALICE, &on("Delete", &id)).unwrap();
    assert_eq!(sim.world(US).mirrors.size(), 1);
    sim.call(US, ALICE, &on("Delete", &second)).unwrap();
    assert_eq!(sim.world(US).mirrors.size(), 0);
}

fn add_interface(sim: &mut Sim, at: usize, vpc: &str) {
    let vpc: VpcId = vpc.parse().unwrap();
    let (owner, zone) = (BOB.parse().unwrap(), Zone::all(sim.places[at].config.region).next().unwrap());
    let (subnet, instance) = (SubnetId::from_random(1), InstanceId::from_random(1));
    let attachment = Attachment {
        id: AttachmentId::from_random(1),
        instance,
        device_index: 0,
        attached: sim.now,
        delete_on_termination: true,
        ena: EnaOptions::default(),
        public_at_start: false,
    };
    let interface = NetworkInterface {
        id: NetworkInterfaceId::from_random(1),
        subnet,
        vpc,
        owner,
        zone,
        mac: MacAddr::from_random(1),
        description: String::new(),
        private_ips: vec!["10.1.0.5".parse().unwrap()],
        ipv6_addresses: Vec::new(),
        has_primary_ipv6: false,
        public: Vec::new(),
        kind: InterfaceKind::Interface,
        groups: BTreeSet::from([SecurityGroupId::from_random(1)]),
        source_dest_check: true,
        connection_tracking: ConnectionTracking::default(),
        attachment: Some(attachment),
        created: sim.now,
        tags: Tags::new(),
    };
    let instance = Instance {
        id: instance,
        owner,
        reservation: ReservationId::from_random(1),
        launch_index: 0,
        image: ImageId::from_random(1),
        instance_type: "t3.micro".into(),
        vpc,
        subnet,
        zone,
        host: "h1".parse().ok(),
        state: InstanceState::Running,
        state_reason: None,
        stop_asked: None,
        launched: sim.now,
        terminated: None,
        user_data: Vec::new(),
        metadata: MetadataOptions::default(),
        key_name: None,
        public_key: None,
        client_token: None,
        disable_api_termination: false,
        disable_api_stop: false,
        shutdown_behavior: "stop".into(),
        private_dns: Default::default(),
        options: InstanceOptions::default(),
        volumes: Vec::new(),
        starts: 1,
        tags: Tags::new(),
    };
    sim.commit(at, &[Change::put(interface), Change::put(instance)]);
}

/// One step of a random story.
#[derive(Clone, Debug)]
enum Step {
    Create { from: usize, to: usize },
    Act { verb: &'static str, peering: usize, at: usize },
    Options { peering: usize, at: usize, value: bool },
    AddBlock { vpc: usize, block: u8 },
    RemoveBlock { vpc: usize },
    DeleteVpc { vpc: usize },
    Deliver { from: usize, most: usize, crash: Crash },
    Local { at: usize },
    Tick { at: usize },
    Wait { hours: i64 },
    Echo { index: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let crash = prop_oneof![3 => Just(Crash::Never), 1 => Just(Crash::BeforeCommit), 2 => Just(Crash::BeforeDelete)];
    let verb = prop_oneof![4 => Just("Accept"), 1 => Just("Reject"), 2 => Just("Delete")];
    prop_oneof![
        5 => (0..VPCS.len(), 0..VPCS.len()).prop_map(|(from, to)| Step::Create { from, to }),
        8 => (verb, 0..64_usize, 0..2_usize).prop_map(|(verb, peering, at)| Step::Act { verb, peering, at }),
        2 => (0..64_usize, 0..2_usize, any::<bool>()).prop_map(|(peering, at, value)| Step::Options { peering, at, value }),
        4 => (0..VPCS.len(), 0..12_u8).prop_map(|(vpc, block)| Step::AddBlock { vpc, block }),
        1 => (0..VPCS.len()).prop_map(|vpc| Step::RemoveBlock { vpc }),
        1 => (0..VPCS.len()).prop_map(|vpc| Step::DeleteVpc { vpc }),
        16 => (0..2_usize, 1..4_usize, crash).prop_map(|(from, most, crash)| Step::Deliver { from, most, crash }),
        4 => (0..2_usize).prop_map(|at| Step::Local { at }),
        2 => (0..2_usize).prop_map(|at| Step::Tick { at }),
        1 => prop_oneof![Just(0), Just(3), Just(50), Just(168)].prop_map(|hours| Step::Wait { hours }),
        4 => any::<usize>().prop_map(|index| Step::Echo { index }),
    ]
}

fn skew() -> impl Strategy<Value = i64> {
    prop_oneof![8 => Just(0), 1 => Just(1), 1 => Just(-1), 1 => Just(200), 1 => Just(-200)]
}

/// Region, owner, block. The fourth and the seventh can never be peered with the first.
const VPCS: [(usize, &str, &str); 7] = [
    (US, ALICE, "10.0.0.0/16"),
    (US, BOB, "10.1.0.0/16"),
    (US, ALICE, "10.2.0.0/16"),
    (EU, BOB, "10.0.128.0/20"),
    (EU, BOB, "10.3.0.0/16"),
    (EU, ALICE, "10.4.0.0/16"),
    (US, BOB, "10.0.0.0/24"),
];

/// A random story in two regions; what was made in it.
struct Story {
    sim: Sim,
    vpcs: Vec<String>,
    peerings: Vec<String>,
}

impl Story {
    /// Whose clock in eu-west-1 is so much ahead of the other's.
    fn new(ahead: Duration) -> Story {
        let mut sim = Sim::new();
        sim.commit(EU, &[Change::put(Clock { ahead_ms: ahead.as_millis() })]);
        for place in &mut sim.places {
            place.config.quotas.active_peerings_per_vpc = 2;
        }
        let vpcs = VPCS.iter().map(|(at, owner, cidr)| vpc(&mut sim, *at, owner, cidr)).collect();
        Story { sim, vpcs, peerings: Vec::new() }
    }

    /// Does the step; what the API refuses is refused.
    fn step(&mut self, step: &Step) {
        let sim = &mut self.sim;
        match *step {
            Step::Create { from, to } => {
                let ((at, owner, _), (peer_at, peer_owner, _)) = (VPCS[from], VPCS[to]);
                if let Ok(created) = sim.call(at, owner, &create(&self.vpcs[from], &self.vpcs[to], peer_owner, peer_at))
                {
                    let id = member(&created, "vpcPeeringConnectionId");
                    if !self.peerings.contains(&id) {
                        self.peerings.push(id);
                    }
                }
            }
            Step::Act { verb, peering, at } => self.on_peering(peering, |sim, id| {
                for owner in [ALICE, BOB] {
                    let _ = sim.call(at, owner, &on(verb, id));
                }
            }),
            Step::Options { peering, at, value } => self.on_peering(peering, |sim, id| {
                for (owner, side) in [(ALICE, "Requester"), (BOB, "Requester"), (ALICE, "Accepter"), (BOB, "Accepter")]
                {
                    let _ = sim.call(at, owner, &dns(id, side, value));
                }
            }),
            Step::AddBlock { vpc, block } => {
                let _ = sim.add_block(VPCS[vpc].0, VPCS[vpc].1, &self.vpcs[vpc], &format!("10.{block}.77.0/24"));
            }
            Step::RemoveBlock { vpc } => drop(sim.remove_block(VPCS[vpc].0, VPCS[vpc].1, &self.vpcs[vpc])),
            Step::DeleteVpc { vpc } => drop(sim.delete_vpc(VPCS[vpc].0, VPCS[vpc].1, &self.vpcs[vpc])),
            Step::Deliver { from, most, crash } => drop(sim.deliver(from, most, crash)),
            Step::Local { at } => drop(sim.local(at)),
            Step::Tick { at } => drop(sim.tick(at)),
            Step::Wait { hours } => sim.now = sim.now + Duration::hours(hours),
            Step::Echo { index } if !sim.heard.is_empty() => drop(sim.echo(index % sim.heard.len())),
            Step::Echo { .. } => {}
        }
    }

    fn on_peering(&mut self, index: usize, act: impl FnOnce(&mut Sim, &str)) {
        // The latest first: old ones have ended.
        if let Some(id) = self.peerings.iter().rev().nth(index % self.peerings.len().max(1)) {
            act(&mut self.sim, id);
        }
    }

    /// At rest both regions agree, nothing is lost and nothing doubled; copies of all that was ever said change nothing.
    fn check_end(&mut self) {
        self.sim.drain();
        self.sim.check_agreement();
        let before = content(&self.sim);
        for index in 0..self.sim.heard.len() {
            self.sim.echo(index);
        }
        self.sim.drain();
        assert_eq!(content(&self.sim), before);
        // When all is over, nothing stays behind.
        for verb in ["Reject", "Delete"] {
            for id in self.peerings.clone() {
                for (at, owner) in [(US, ALICE), (US, BOB), (EU, ALICE), (EU, BOB)] {
                    let _ = self.sim.call(at, owner, &on(verb, &id));
                }
            }
        }
        self.sim.drain();
        self.sim.now = self.sim.now + Duration::hours(600);
        self.sim.drain();
        for at in [US, EU] {
            assert_eq!((self.sim.world(at).peerings.size(), self.sim.world(at).mirrors.size()), (0, 0));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn random_stories_end_consistent(hours in skew(), steps in prop::collection::vec(step(), 1..120)) {
        let mut story = Story::new(Duration::hours(hours));
        for step in &steps {
            story.step(step);
        }
        story.check_end();
    }
}
