//! VPC peering connections inside one region through the API (spec ch. 5); between regions: `federation.rs`.

mod common;

use common::*;
use control::tick::{next, tick};
use control::{Cloud, federation, rules};
use ec2::{Caller, Error};
use model::peering::{PeeringEvent, PeeringStatus};
use model::vpc::CidrAssociation;
use model::*;

const CAROL: &str = "333333333333";

/// Messages from the region to itself are delivered, and what is due by time is done.
fn settle(cloud: &mut Harness) {
    for _ in 0..100 {
        let mut changes = federation::deliver_here(&cloud.world, &cloud.config, cloud.now);
        changes.extend(tick(&cloud.world, &cloud.config, cloud.now));
        if changes.is_empty() {
            return;
        }
        cloud.world = cloud.world.apply(&changes);
    }
    panic!("the region does not come to rest");
}

fn wait(cloud: &mut Harness, span: Duration) {
    cloud.now = cloud.now + span;
    settle(cloud);
}

fn vpc(cloud: &mut Harness, account: &str, cidr: &str) -> String {
    text(&cloud.ok(account, &format!("Action=CreateVpc&CidrBlock={cidr}")), "vpcId")
}

/// A request of one VPC's owner; not yet delivered.
fn request(cloud: &mut Harness, account: &str, own: &str, peer: &str, peer_owner: &str) -> String {
    let query = format!("Action=CreateVpcPeeringConnection&VpcId={own}&PeerVpcId={peer}&PeerOwnerId={peer_owner}");
    text(&cloud.ok(account, &query), "vpcPeeringConnectionId")
}

/// Alice's 10.0.0.0/16 asks Bob's 10.1.0.0/16.
fn pending(cloud: &mut Harness) -> (String, String, String) {
    let (own, peer) = (vpc(cloud, ALICE, "10.0.0.0/16"), vpc(cloud, BOB, "10.1.0.0/16"));
    let id = request(cloud, ALICE, &own, &peer, BOB);
    settle(cloud);
    (id, own, peer)
}

fn query(verb: &str, id: &str) -> String {
    format!("Action={verb}VpcPeeringConnection&VpcPeeringConnectionId={id}")
}

fn act(cloud: &mut Harness, account: &str, verb: &str, id: &str) -> String {
    cloud.ok(account, &query(verb, id))
}

fn describe(cloud: &mut Harness, account: &str, id: &str) -> Result<String, Error> {
    cloud.call(account, &format!("Action=DescribeVpcPeeringConnections&VpcPeeringConnectionId.1={id}"))
}

fn status(cloud: &mut Harness, account: &str, id: &str) -> String {
    describe(cloud, account, id).map_or_else(|error| error.code.into_owned(), |document| text(&document, "code"))
}

/// `code: message` of an error.
fn said(error: &Error) -> String {
    format!("{}: {}", error.code, error.message)
}

/// The names of the members of the first element of that name.
fn members(document: &str, name: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(document).unwrap();
    let element = document.descendants().find(|node| node.tag_name().name() == name).unwrap();
    element.children().filter(roxmltree::Node::is_element).map(|node| node.tag_name().name().to_owned()).collect()
}

const IDS_ONLY: [&str; 3] = ["ownerId", "vpcId", "region"];
const ALL: [&str; 6] = ["ownerId", "vpcId", "region", "cidrBlock", "cidrBlockSet", "peeringOptions"];
const NOT_FOUND: &str = "InvalidVpcPeeringConnectionID.NotFound";

/// What AssociateVpcCidrBlock does as far as peerings are concerned.
fn add_block(cloud: &mut Harness, account: &str, vpc: &str, cidr: &str) -> Result<(), Error> {
    let caller = Caller::root(account.parse().unwrap());
    let config = cloud.config.clone();
    let mut request = Cloud::new(&cloud.world, &caller, &config, seed(), cloud.now, 0);
    let id: VpcId = vpc.parse().unwrap();
    let cidr: Cidr = cidr.parse().unwrap();
    rules::check_new_block(&mut request, id, cidr)?;
    let association = request.draw.id();
    request.update::<Vpc, ()>(id, |vpc| {
        match cidr {
            Cidr::V4(cidr) => vpc.cidrs.push(CidrAssociation { id: association, cidr }),
            Cidr::V6(cidr) => vpc.ipv6_cidrs.push(CidrAssociation { id: association, cidr }),
        }
        Ok(())
    })?;
    rules::blocks_changed(&mut request, id);
    cloud.world = cloud.world.apply(&request.into_changes());
    Ok(())
}

/// What DeleteVpc does as far as peerings are concerned.
fn delete_vpc(cloud: &mut Harness, account: &str, vpc: &str) -> Result<(), Error> {
    let caller = Caller::root(account.parse().unwrap());
    let config = cloud.config.clone();
    let mut request = Cloud::new(&cloud.world, &caller, &config, seed(), cloud.now, 0);
    rules::vpc_deletion(&mut request, vpc.parse().unwrap())?;
    request.delete::<Vpc>(vpc.parse().unwrap());
    cloud.world = cloud.world.apply(&request.into_changes());
    Ok(())
}

fn set_dns(cloud: &mut Harness, vpc: &str, support: bool, hostnames: bool) {
    let mut vpc = Vpc::clone(cloud.world.find::<Vpc>(&vpc.parse().unwrap()).unwrap());
    (vpc.enable_dns_support, vpc.enable_dns_hostnames) = (support, hostnames);
    cloud.world = cloud.world.apply(&[Change::put(vpc)]);
}

/// Spec 5.3, every pair of state and event; what is not in the table cannot happen.
#[test]
fn the_state_machine_is_the_specs_table() {
    use PeeringEvent as E;
    use PeeringStatus as S;
    let table = [
        (S::InitiatingRequest, E::Delivered, S::PendingAcceptance),
        (S::InitiatingRequest, E::Refused, S::Failed),
        // The accepter's region was not reached for seven days (5.3.4).
        (S::InitiatingRequest, E::Expire, S::Expired),
        (S::PendingAcceptance, E::Accept, S::Provisioning),
        (S::PendingAcceptance, E::Reject, S::Rejected),
        (S::PendingAcceptance, E::DeleteBegun, S::Deleting),
        (S::PendingAcceptance, E::Gone, S::Deleted),
        (S::PendingAcceptance, E::Expire, S::Expired),
        (S::PendingAcceptance, E::Refused, S::Failed),
        (S::Provisioning, E::Provisioned, S::Active),
        (S::Provisioning, E::Refused, S::Failed),
        // "Delete wins over everything" (5.6.5): the requester's may meet an acceptance under way.
        (S::Provisioning, E::Gone, S::Deleted),
        (S::Active, E::DeleteBegun, S::Deleting),
        (S::Active, E::Gone, S::Deleted),
        (S::Deleting, E::Gone, S::Deleted),
    ];
    let events = [E::Delivered, E::Refused, E::Accept, E::Reject, E::Expire, E::Provisioned, E::DeleteBegun, E::Gone];
    for from in S::ALL {
        for event in events {
            let expected = table.iter().find(|(state, e, _)| (*state, *e) == (from, event)).map(|(_, _, to)| *to);
            assert_eq!(from.after(event), expected, "{from} {event:?}");
        }
    }
}

/// Two regions may each end a peering before they hear of each other; both then settle on the same end.
#[test]
fn two_ends_settle_on_one() {
    use PeeringStatus as S;
    let mut cloud = Harness::new();
    let (id, ..) = pending(&mut cloud);
    let peering = Peering::clone(cloud.world.find::<Peering>(&id.parse().unwrap()).unwrap());
    let strength = [S::Failed, S::Rejected, S::Expired, S::Deleted];
    for from in S::ALL {
        for (rank, end) in strength.into_iter().enumerate() {
            let mut peering = Peering { status: from, ..peering.clone() };
            let expected = match from {
                S::InitiatingRequest | S::PendingAcceptance | S::Provisioning => true,
                S::Active | S::Deleting => end == S::Deleted,
                ended => strength.iter().position(|s| *s == ended) < Some(rank),
            };
            assert_eq!(peering.settle(end, None, cloud.now), expected, "{from} {end}");
            assert_eq!(peering.status, if expected { end } else { from });
        }
        for not_an_end in [S::InitiatingRequest, S::PendingAcceptance, S::Provisioning, S::Active, S::Deleting] {
            assert!(!Peering { status: from, ..peering.clone() }.settle(not_an_end, None, cloud.now));
        }
    }
}

#[test]
fn the_life_of_a_peering_between_two_accounts() {
    let mut cloud = Harness::new();
    let (own, peer) = (vpc(&mut cloud, ALICE, "10.0.0.0/16"), vpc(&mut cloud, BOB, "10.1.0.0/16"));
    let created =
        cloud.ok(ALICE, &format!("Action=CreateVpcPeeringConnection&VpcId={own}&PeerVpcId={peer}&PeerOwnerId={BOB}"));
    let id = text(&created, "vpcPeeringConnectionId");
    let expected = format!(
        "<vpcPeeringConnection><vpcPeeringConnectionId>{id}</vpcPeeringConnectionId>\
         <requesterVpcInfo><ownerId>{ALICE}</ownerId><vpcId>{own}</vpcId><region>us-east-1</region>\
         <cidrBlock>10.0.0.0/16</cidrBlock><cidrBlockSet><item><cidrBlock>10.0.0.0/16</cidrBlock></item></cidrBlockSet>\
         <peeringOptions><allowEgressFromLocalClassicLinkToRemoteVpc>false</allowEgressFromLocalClassicLinkToRemoteVpc>\
         <allowEgressFromLocalVpcToRemoteClassicLink>false</allowEgressFromLocalVpcToRemoteClassicLink>\
         <allowDnsResolutionFromRemoteVpc>false</allowDnsResolutionFromRemoteVpc></peeringOptions></requesterVpcInfo>\
         <accepterVpcInfo><ownerId>{BOB}</ownerId><vpcId>{peer}</vpcId><region>us-east-1</region></accepterVpcInfo>\
         <status><code>initiating-request</code><message>Initiating Request to {BOB}</message></status>\
         <expirationTime>2026-01-22T12:00:00.000Z</expirationTime><tagSet></tagSet></vpcPeeringConnection>"
    );
    assert!(created.contains(&expected), "{created}");
    assert_eq!(status(&mut cloud, BOB, &id), NOT_FOUND);

    settle(&mut cloud);
    for account in [ALICE, BOB] {
        let document = describe(&mut cloud, account, &id).unwrap();
        assert_eq!(
            (text(&document, "code"), text(&document, "message")),
            ("pending-acceptance".into(), format!("Pending Acceptance by {BOB}"))
        );
        assert_eq!(members(&document, "requesterVpcInfo"), ALL);
        assert_eq!(members(&document, "accepterVpcInfo"), IDS_ONLY);
        assert_eq!(text(&document, "expirationTime"), "2026-01-22T12:00:00.000Z");
    }
    assert_eq!(status(&mut cloud, CAROL, &id), NOT_FOUND);

    let accepted = act(&mut cloud, BOB, "Accept", &id);
    assert_eq!((text(&accepted, "code"), text(&accepted, "message")), ("provisioning".into(), "Provisioning".into()));
    settle(&mut cloud);
    for account in [ALICE, BOB] {
        let document = describe(&mut cloud, account, &id).unwrap();
        assert_eq!((text(&document, "code"), text(&document, "message")), ("active".into(), "Active".into()));
        assert_eq!(members(&document, "requesterVpcInfo"), ALL);
        assert_eq!(members(&document, "accepterVpcInfo"), ALL);
        assert!(texts(&document, "expirationTime").is_empty());
    }

    assert_eq!(text(&act(&mut cloud, BOB, "Delete", &id), "return"), "true");
    for account in [ALICE, BOB] {
        let document = describe(&mut cloud, account, &id).unwrap();
        assert_eq!(
            (text(&document, "code"), text(&document, "message")),
            ("deleted".into(), format!("Deleted by {BOB}"))
        );
        assert_eq!(members(&document, "requesterVpcInfo"), IDS_ONLY);
        assert_eq!(members(&document, "accepterVpcInfo"), IDS_ONLY);
    }
    let again = cloud.error(BOB, &query("Delete", &id));
    assert_eq!(
        said(&again),
        format!(
            "InvalidStateTransition: Invalid state transition for {id}, attempted to transition from deleted to deleting"
        )
    );
}

#[test]
fn wrong_requests_are_told_apart() {
    let mut cloud = Harness::new();
    let (own, other) = (vpc(&mut cloud, ALICE, "10.0.0.0/16"), vpc(&mut cloud, BOB, "10.1.0.0/16"));
    let unknown = "vpc-00000000000000000";
    let create = "Action=CreateVpcPeeringConnection";
    for (query, expected) in [
        (format!("{create}&PeerVpcId={other}"), "MissingParameter: The request must contain the parameter VpcId".to_owned()),
        (format!("{create}&VpcId={own}"), "MissingParameter: The request must contain the parameter PeerVpcId".into()),
        (format!("{create}&VpcId=x&PeerVpcId={other}"), "InvalidVpcID.Malformed: Invalid id: \"x\" (expecting \"vpc-...\")".into()),
        (format!("{create}&VpcId={own}&PeerVpcId=x"), "InvalidVpcId.Malformed: Invalid id: \"x\" (expecting \"vpc-...\")".into()),
        (format!("{create}&VpcId={unknown}&PeerVpcId={other}"), format!("InvalidVpcID.NotFound: The vpc ID '{unknown}' does not exist")),
        // Another's VPC reads as unknown, as requester and as peer in the own account.
        (format!("{create}&VpcId={other}&PeerVpcId={own}"), format!("InvalidVpcID.NotFound: The vpc ID '{other}' does not exist")),
        (format!("{create}&VpcId={own}&PeerVpcId={other}"), format!("InvalidVpcID.NotFound: The vpc ID '{other}' does not exist")),
        (format!("{create}&VpcId={own}&PeerVpcId={unknown}"), format!("InvalidVpcID.NotFound: The vpc ID '{unknown}' does not exist")),
        (
            format!("{create}&VpcId={own}&PeerVpcId={own}"),
            format!("InvalidParameterValue: Value ({own}) for parameter PeerVpcId is invalid. A VPC cannot be peered with itself."),
        ),
        (
            format!("{create}&VpcId={own}&PeerVpcId={other}&PeerOwnerId=12"),
            "InvalidParameterValue: Value (12) for parameter PeerOwnerId is invalid. Expected an account id of 12 digits.".into(),
        ),
        (
            format!("{create}&VpcId={own}&PeerVpcId={other}&PeerRegion=mars-north-1"),
            "InvalidParameterValue: Value (mars-north-1) for parameter PeerRegion is invalid. This cloud has no such region.".into(),
        ),
        (
            format!("{create}&VpcId={own}&PeerVpcId={other}&TagSpecification.1.ResourceType=vpc&TagSpecification.1.Tag.1.Key=a"),
            "InvalidParameterValue: 'vpc' is not a valid taggable resource type for this operation.".into(),
        ),
    ] {
        assert_eq!(said(&cloud.error(ALICE, &query)), expected, "{query}");
    }
    let with = format!("{create}&VpcId={own}&PeerVpcId={other}&PeerOwnerId={BOB}&RequesterPeeringConnectionOptions");
    assert_eq!(cloud.code(ALICE, &format!("{with}.AllowMultipathResilience=true")), "InvalidParameterValue");
    assert_eq!(
        cloud.code(ALICE, &format!("{with}.AllowMultipathResilience=true&PeerRegion=eu-west-1")),
        "UnsupportedOperation"
    );
    assert_eq!(cloud.code(ALICE, &format!("{with}.AllowDnsResolutionFromRemoteVpc=true")), "InvalidParameterValue");
    assert_eq!(
        cloud.code(ALICE, &format!("{create}&VpcId={own}&PeerVpcId={other}&PeerOwnerId={BOB}&DryRun=true")),
        "DryRunOperation"
    );
    assert_eq!(cloud.world.peerings.size(), 0);
}

/// Overlap (also of secondary blocks and of IPv6 alone), a wrong owner, an unknown VPC: one and the same `failed`.
#[test]
fn a_request_that_does_not_hold_fails_without_saying_why() {
    let message = "Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range";
    let mut cloud = Harness::new();
    let own = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let same = vpc(&mut cloud, BOB, "10.0.128.0/20");
    let secondary = vpc(&mut cloud, BOB, "10.1.0.0/16");
    add_block(&mut cloud, BOB, &secondary, "10.0.1.0/24").unwrap();
    let ipv6 = vpc(&mut cloud, BOB, "10.2.0.0/16");
    add_block(&mut cloud, ALICE, &own, "2001:db8::/56").unwrap();
    add_block(&mut cloud, BOB, &ipv6, "2001:db8:0:10::/60").unwrap();
    let fine = vpc(&mut cloud, BOB, "10.3.0.0/16");
    let unknown = "vpc-00000000000000000".to_owned();
    for (peer, owner) in [(&same, BOB), (&secondary, BOB), (&ipv6, BOB), (&fine, CAROL), (&unknown, BOB), (&own, BOB)] {
        let id = request(&mut cloud, ALICE, &own, peer, owner);
        settle(&mut cloud);
        let document = describe(&mut cloud, ALICE, &id).unwrap();
        assert_eq!(
            (text(&document, "code"), text(&document, "message")),
            ("failed".into(), message.into()),
            "{peer} of {owner}"
        );
        assert_eq!(
            (members(&document, "requesterVpcInfo"), members(&document, "accepterVpcInfo")),
            (IDS_ONLY.map(String::from).to_vec(), IDS_ONLY.map(String::from).to_vec())
        );
        for account in [BOB, CAROL] {
            assert_eq!(status(&mut cloud, account, &id), NOT_FOUND);
            assert_eq!(cloud.code(account, &query("Accept", &id)), NOT_FOUND);
        }
        let delete = cloud.error(ALICE, &query("Delete", &id));
        assert_eq!(
            delete.message,
            format!("Invalid state transition for {id}, attempted to transition from failed to deleting")
        );
        // Failed requests are repeatable: each is a new one.
        assert_ne!(request(&mut cloud, ALICE, &own, peer, owner), id);
        settle(&mut cloud);
    }
    let id = request(&mut cloud, ALICE, &own, &fine, BOB);
    settle(&mut cloud);
    assert_eq!(status(&mut cloud, BOB, &id), "pending-acceptance");
}

#[test]
fn inside_one_account_a_failed_peering_is_seen_and_cannot_be_accepted() {
    let mut cloud = Harness::new();
    let (a, b) = (vpc(&mut cloud, ALICE, "10.0.0.0/16"), vpc(&mut cloud, ALICE, "10.0.0.0/24"));
    let id = request(&mut cloud, ALICE, &a, &b, ALICE);
    settle(&mut cloud);
    let refused = cloud.error(ALICE, &query("Accept", &id));
    assert_eq!(
        said(&refused),
        format!(
            "InvalidStateTransition: Invalid state transition for {id}, attempted to transition from failed to provisioning"
        )
    );
    wait(&mut cloud, Duration::hours(2));
    assert_eq!(status(&mut cloud, ALICE, &id), NOT_FOUND);
}

#[test]
fn only_the_right_party_may_act() {
    let mut cloud = Harness::new();
    let (id, ..) = pending(&mut cloud);
    assert_eq!(
        said(&cloud.error(ALICE, &query("Accept", &id))),
        format!("OperationNotPermitted: User {ALICE} cannot accept peering {id}")
    );
    assert_eq!(
        said(&cloud.error(ALICE, &query("Reject", &id))),
        format!("OperationNotPermitted: User {ALICE} cannot reject peering {id}")
    );
    assert_eq!(cloud.code(BOB, &query("Delete", &id)), "OperationNotPermitted");
    for verb in ["Accept", "Reject", "Delete"] {
        let stranger = cloud.error(CAROL, &query(verb, &id));
        assert_eq!(said(&stranger), format!("{NOT_FOUND}: The vpcPeeringConnection ID '{id}' does not exist"));
        assert_eq!(cloud.code(BOB, &query(verb, "pcx-1")), "InvalidVpcPeeringConnectionId.Malformed");
        assert_eq!(cloud.code(BOB, &format!("Action={verb}VpcPeeringConnection")), "MissingParameter");
    }
    assert_eq!(cloud.code(CAROL, &options(&id, "Requester", "true")), NOT_FOUND);
    act(&mut cloud, ALICE, "Delete", &id);
    assert_eq!(status(&mut cloud, BOB, &id), "deleted");
}

/// Spec 5.3.1: what each state allows.
#[test]
fn each_state_allows_its_actions_only() {
    let verbs = [("Accept", "provisioning"), ("Reject", "rejected"), ("Delete", "deleting")];
    let reach = |state: &str| {
        let mut cloud = Harness::new();
        // One account on both sides may do everything that the state allows.
        let (a, b) = (vpc(&mut cloud, ALICE, "10.0.0.0/16"), vpc(&mut cloud, ALICE, "10.1.0.0/16"));
        let id = request(&mut cloud, ALICE, &a, &b, ALICE);
        let steps: &[&str] = match state {
            "initiating-request" => &[],
            "pending-acceptance" => &["settle"],
            "provisioning" => &["settle", "Accept"],
            "active" => &["settle", "Accept", "settle"],
            "rejected" => &["settle", "Reject"],
            "deleted" => &["settle", "Delete"],
            _ => &["settle", "expire"],
        };
        for step in steps {
            match *step {
                "settle" => settle(&mut cloud),
                "expire" => wait(&mut cloud, Duration::hours(168)),
                verb => drop(act(&mut cloud, ALICE, verb, &id)),
            }
        }
        assert_eq!(status(&mut cloud, ALICE, &id), state);
        (cloud, id)
    };
    for (state, allowed) in [
        ("initiating-request", ""),
        ("pending-acceptance", "Accept Reject Delete"),
        ("provisioning", ""),
        ("active", "Delete"),
        ("rejected", ""),
        ("expired", ""),
        ("deleted", ""),
    ] {
        for (verb, target) in verbs {
            let (mut cloud, id) = reach(state);
            match cloud.call(ALICE, &query(verb, &id)) {
                Ok(_) => assert!(allowed.contains(verb), "{state} {verb}"),
                Err(error) => {
                    assert!(!allowed.contains(verb), "{state} {verb}: {}", error.message);
                    let message =
                        format!("Invalid state transition for {id}, attempted to transition from {state} to {target}");
                    assert_eq!(said(&error), format!("InvalidStateTransition: {message}"));
                }
            }
        }
    }
}

#[test]
fn the_same_request_again_is_the_same_peering_and_the_reverse_is_another() {
    let mut cloud = Harness::new();
    let (id, own, peer) = pending(&mut cloud);
    assert_eq!(request(&mut cloud, ALICE, &own, &peer, BOB), id);
    let tagged = format!(
        "Action=CreateVpcPeeringConnection&VpcId={own}&PeerVpcId={peer}&PeerOwnerId={BOB}\
         &TagSpecification.1.ResourceType=vpc-peering-connection&TagSpecification.1.Tag.1.Key=a"
    );
    let again = cloud.ok(ALICE, &tagged);
    assert_eq!((text(&again, "vpcPeeringConnectionId"), text(&again, "tagSet")), (id.clone(), String::new()));
    let reverse = request(&mut cloud, BOB, &peer, &own, ALICE);
    assert_ne!(reverse, id);
    settle(&mut cloud);
    assert_eq!(status(&mut cloud, ALICE, &reverse), "pending-acceptance");

    act(&mut cloud, BOB, "Accept", &id);
    let refusal = format!(
        "VpcPeeringConnectionAlreadyExists: The vpc peering connection identified by {reverse} already exists."
    );
    assert_eq!(said(&cloud.error(ALICE, &query("Accept", &reverse))), refusal);
    settle(&mut cloud);
    assert_eq!(said(&cloud.error(ALICE, &query("Accept", &reverse))), refusal);
    assert_eq!(request(&mut cloud, ALICE, &own, &peer, BOB), id);

    act(&mut cloud, ALICE, "Delete", &id);
    act(&mut cloud, ALICE, "Accept", &reverse);
    settle(&mut cloud);
    assert_eq!(status(&mut cloud, BOB, &reverse), "active");
    assert_ne!(request(&mut cloud, ALICE, &own, &peer, BOB), id);
}

#[test]
fn a_request_ends_after_seven_days() {
    let mut cloud = Harness::new();
    let (id, own, peer) = pending(&mut cloud);
    wait(&mut cloud, Duration::hours(168) + Duration::millis(-1));
    assert_eq!(status(&mut cloud, BOB, &id), "pending-acceptance");
    // Time alone decides, even before the tick has come by.
    cloud.now = cloud.now + Duration::millis(1);
    assert_eq!(next(&cloud.world, &cloud.config), Some(cloud.now));
    for verb in ["Accept", "Reject"] {
        let late = cloud.error(BOB, &query(verb, &id));
        assert!(late.message.contains("from expired to"), "{}", late.message);
    }
    assert_eq!(cloud.code(ALICE, &query("Delete", &id)), "InvalidStateTransition");
    settle(&mut cloud);
    for account in [ALICE, BOB] {
        let document = describe(&mut cloud, account, &id).unwrap();
        assert_eq!((text(&document, "code"), text(&document, "message")), ("expired".into(), "Expired".into()));
        assert!(texts(&document, "expirationTime").is_empty());
    }
    assert_ne!(request(&mut cloud, ALICE, &own, &peer, BOB), id);
}

/// Spec 5.3.3: who sees an ended peering for how long.
#[test]
fn ended_peerings_go_out_of_sight_side_by_side() {
    type End = fn(&mut Harness, &str);
    let accept_and_delete: End = |cloud, id| {
        act(cloud, BOB, "Accept", id);
        settle(cloud);
        act(cloud, BOB, "Delete", id);
    };
    let cases: [(&str, End, i64, i64); 4] = [
        ("rejected", |cloud, id| drop(act(cloud, BOB, "Reject", id)), 48, 2),
        ("deleted", |cloud, id| drop(act(cloud, ALICE, "Delete", id)), 2, 48),
        ("deleted", accept_and_delete, 48, 2),
        ("expired", |cloud, _| wait(cloud, Duration::hours(168)), 48, 48),
    ];
    for (code, end, requester_hours, accepter_hours) in cases {
        let mut cloud = Harness::new();
        let (id, ..) = pending(&mut cloud);
        end(&mut cloud, &id);
        let ended = cloud.now;
        for (account, hours) in [(ALICE, requester_hours), (BOB, accepter_hours)] {
            cloud.now = ended + Duration::hours(hours) + Duration::millis(-1);
            assert_eq!(status(&mut cloud, account, &id), code, "{account} before {hours}");
            cloud.now = ended + Duration::hours(hours);
            assert_eq!(status(&mut cloud, account, &id), NOT_FOUND, "{account} after {hours}");
        }
        cloud.now = ended + Duration::hours(48) + Duration::millis(-1);
        settle(&mut cloud);
        assert_eq!(cloud.world.peerings.size(), 1, "{code}: kept for who may still see it");
        wait(&mut cloud, Duration::millis(1));
        assert_eq!(cloud.world.peerings.size(), 0, "{code}: purged");
    }
}

#[test]
fn one_account_on_both_sides_sees_rejected_and_deleted_for_the_short_time() {
    for verb in ["Reject", "Delete"] {
        let mut cloud = Harness::new();
        let (a, b) = (vpc(&mut cloud, ALICE, "10.0.0.0/16"), vpc(&mut cloud, ALICE, "10.1.0.0/16"));
        let id = request(&mut cloud, ALICE, &a, &b, ALICE);
        settle(&mut cloud);
        act(&mut cloud, ALICE, verb, &id);
        wait(&mut cloud, Duration::hours(2) + Duration::millis(-1));
        assert_eq!(status(&mut cloud, ALICE, &id), if verb == "Reject" { "rejected" } else { "deleted" });
        wait(&mut cloud, Duration::millis(1));
        assert_eq!(cloud.world.peerings.size(), 0);
    }
}

#[test]
fn the_visibility_periods_are_the_operators() {
    let mut cloud = Harness::new();
    cloud.config.visibility.short = Duration::seconds(1);
    cloud.config.visibility.long = Duration::seconds(3);
    let (id, ..) = pending(&mut cloud);
    act(&mut cloud, BOB, "Reject", &id);
    assert_eq!(text(&describe(&mut cloud, ALICE, &id).unwrap(), "message"), format!("Rejected by {BOB}"));
    wait(&mut cloud, Duration::seconds(1));
    assert_eq!(
        (status(&mut cloud, BOB, &id).as_str(), status(&mut cloud, ALICE, &id).as_str()),
        (NOT_FOUND, "rejected")
    );
    wait(&mut cloud, Duration::seconds(2));
    assert_eq!(cloud.world.peerings.size(), 0);
}

#[test]
fn tags_are_each_accounts_own() {
    let mut cloud = Harness::new();
    let (own, peer) = (vpc(&mut cloud, ALICE, "10.0.0.0/16"), vpc(&mut cloud, BOB, "10.1.0.0/16"));
    let tags = "TagSpecification.1.ResourceType=vpc-peering-connection&TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=a";
    let created = cloud
        .ok(ALICE, &format!("Action=CreateVpcPeeringConnection&VpcId={own}&PeerVpcId={peer}&PeerOwnerId={BOB}&{tags}"));
    assert_eq!((text(&created, "key"), text(&created, "value")), ("Name".into(), "a".into()));
    settle(&mut cloud);
    let id = text(&created, "vpcPeeringConnectionId");
    assert_eq!(texts(&describe(&mut cloud, ALICE, &id).unwrap(), "key"), ["Name"]);
    assert_eq!(texts(&describe(&mut cloud, BOB, &id).unwrap(), "key"), [""; 0]);
    let by_tag = "Action=DescribeVpcPeeringConnections&Filter.1.Name=tag:Name&Filter.1.Value.1=a";
    assert_eq!(texts(&cloud.ok(ALICE, by_tag), "vpcPeeringConnectionId"), [id.as_str()]);
    assert_eq!(texts(&cloud.ok(BOB, by_tag), "vpcPeeringConnectionId"), [""; 0]);
    // They stay until the purge.
    act(&mut cloud, ALICE, "Delete", &id);
    assert_eq!(texts(&describe(&mut cloud, ALICE, &id).unwrap(), "key"), ["Name"]);
}

#[test]
fn the_filters() {
    let mut cloud = Harness::new();
    let (id, own, peer) = pending(&mut cloud);
    let expect = |cloud: &mut Harness, filter: &str, value: &str, found: bool| {
        let query = format!("Action=DescribeVpcPeeringConnections&Filter.1.Name={filter}&Filter.1.Value.1={value}");
        let ids = texts(&cloud.ok(ALICE, &query), "vpcPeeringConnectionId");
        assert_eq!(ids, if found { vec![id.clone()] } else { vec![] }, "{filter}={value}");
    };
    for (filter, right, wrong) in [
        ("accepter-vpc-info.owner-id", BOB, ALICE),
        ("accepter-vpc-info.vpc-id", &peer, &own),
        ("requester-vpc-info.owner-id", ALICE, BOB),
        ("requester-vpc-info.vpc-id", &own, &peer),
        ("requester-vpc-info.cidr-block", "10.0.0.0/16", "10.1.0.0/16"),
        ("expiration-time", "2026-01-22T12:00:00.000Z", "2026-01-22T12:00:00.001Z"),
        ("status-code", "pending-acceptance", "active"),
        ("status-message", "Pending*", "Active"),
        ("vpc-peering-connection-id", &id, "pcx-0"),
    ] {
        expect(&mut cloud, filter, right, true);
        expect(&mut cloud, filter, wrong, false);
    }
    // The accepter's blocks are hidden, from filters too, until the acceptance.
    expect(&mut cloud, "accepter-vpc-info.cidr-block", "10.1.0.0/16", false);
    act(&mut cloud, BOB, "Accept", &id);
    settle(&mut cloud);
    expect(&mut cloud, "accepter-vpc-info.cidr-block", "10.1.0.0/16", true);
    expect(&mut cloud, "expiration-time", "*", false);
    act(&mut cloud, BOB, "Delete", &id);
    expect(&mut cloud, "requester-vpc-info.cidr-block", "*", false);
    let unknown = cloud.error(ALICE, "Action=DescribeVpcPeeringConnections&Filter.1.Name=nope&Filter.1.Value.1=x");
    assert_eq!(said(&unknown), "InvalidParameterValue: The filter 'nope' is invalid");
}

#[test]
fn pages_and_ids() {
    let mut cloud = Harness::new();
    cloud.config.quotas.vpcs = 100;
    let own = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let mut ids: Vec<String> = (1..=7)
        .map(|n| {
            let peer = vpc(&mut cloud, BOB, &format!("10.{n}.0.0/16"));
            request(&mut cloud, ALICE, &own, &peer, BOB)
        })
        .collect();
    ids.sort();
    let first = cloud.ok(ALICE, "Action=DescribeVpcPeeringConnections&MaxResults=5");
    let token = text(&first, "nextToken");
    let second = cloud.ok(ALICE, &format!("Action=DescribeVpcPeeringConnections&MaxResults=5&NextToken={token}"));
    let seen = [texts(&first, "vpcPeeringConnectionId"), texts(&second, "vpcPeeringConnectionId")].concat();
    assert_eq!(seen, ids);
    assert!(texts(&second, "nextToken").is_empty());
    assert_eq!(cloud.code(ALICE, "Action=DescribeVpcPeeringConnections&MaxResults=4"), "InvalidParameterValue");
    assert_eq!(cloud.code(ALICE, "Action=DescribeVpcPeeringConnections&NextToken=x"), "InvalidNextToken");
    let both = format!("Action=DescribeVpcPeeringConnections&MaxResults=5&VpcPeeringConnectionId.1={}", ids[0]);
    assert_eq!(cloud.code(ALICE, &both), "InvalidParameterCombination");
    let one_unknown = format!(
        "Action=DescribeVpcPeeringConnections&VpcPeeringConnectionId.1={}&VpcPeeringConnectionId.2=pcx-00000000",
        ids[0]
    );
    assert_eq!(cloud.code(ALICE, &one_unknown), NOT_FOUND);
}

#[test]
fn quotas() {
    let mut cloud = Harness::new();
    cloud.config.quotas.vpcs = 100;
    cloud.config.quotas.outstanding_peering_requests = 2;
    cloud.config.quotas.active_peerings_per_vpc = 1;
    let own = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let peers: Vec<String> = (1..=4).map(|n| vpc(&mut cloud, BOB, &format!("10.{n}.0.0/16"))).collect();
    let first = request(&mut cloud, ALICE, &own, &peers[0], BOB);
    let second = request(&mut cloud, ALICE, &own, &peers[1], BOB);
    let third = format!("Action=CreateVpcPeeringConnection&VpcId={own}&PeerVpcId={}&PeerOwnerId={BOB}", peers[2]);
    assert_eq!(
        said(&cloud.error(ALICE, &third)),
        "OutstandingVpcPeeringConnectionLimitExceeded: Vpc peering connection request limit exceeded."
    );
    // The same request again is no new one.
    assert_eq!(request(&mut cloud, ALICE, &own, &peers[1], BOB), second);
    settle(&mut cloud);
    assert_eq!(cloud.code(ALICE, &third), "OutstandingVpcPeeringConnectionLimitExceeded");

    act(&mut cloud, BOB, "Accept", &first);
    // One is accepted, so another may be asked for; but the requester's VPC is full, whether provisioning or active.
    assert_eq!(cloud.code(BOB, &query("Accept", &second)), "ActiveVpcPeeringConnectionPerVpcLimitExceeded");
    settle(&mut cloud);
    assert_eq!(cloud.code(BOB, &query("Accept", &second)), "ActiveVpcPeeringConnectionPerVpcLimitExceeded");
    cloud.ok(ALICE, &third);
    // And so may the accepter's be.
    let other = vpc(&mut cloud, CAROL, "10.9.0.0/16");
    let to_full = request(&mut cloud, CAROL, &other, &own, ALICE);
    settle(&mut cloud);
    assert_eq!(cloud.code(ALICE, &query("Accept", &to_full)), "ActiveVpcPeeringConnectionPerVpcLimitExceeded");
    act(&mut cloud, ALICE, "Delete", &first);
    act(&mut cloud, ALICE, "Accept", &to_full);
    settle(&mut cloud);
    assert_eq!(status(&mut cloud, CAROL, &to_full), "active");
}

fn options(id: &str, side: &str, value: &str) -> String {
    format!(
        "Action=ModifyVpcPeeringConnectionOptions&VpcPeeringConnectionId={id}\
         &{side}PeeringConnectionOptions.AllowDnsResolutionFromRemoteVpc={value}"
    )
}

#[test]
fn options_have_their_preconditions() {
    let mut cloud = Harness::new();
    let (id, own, peer) = pending(&mut cloud);
    let early = cloud.error(ALICE, &options(&id, "Requester", "true"));
    assert_eq!(
        said(&early),
        format!(
            "OperationNotPermitted: Peering {id} is not active. Peering options can be added only to active peerings."
        )
    );
    act(&mut cloud, BOB, "Accept", &id);
    settle(&mut cloud);

    let bare = format!("Action=ModifyVpcPeeringConnectionOptions&VpcPeeringConnectionId={id}");
    assert_eq!(cloud.code(ALICE, &bare), "MissingParameter");
    for (side, account) in [("Requester", BOB), ("Accepter", ALICE)] {
        let message = format!(
            "OperationNotPermitted: User {account} does not have permission to modify the {} side peering options",
            side.to_lowercase()
        );
        for value in ["true", "false"] {
            assert_eq!(said(&cloud.error(account, &options(&id, side, value))), message);
        }
    }
    for (support, hostnames) in [(true, false), (false, true)] {
        set_dns(&mut cloud, &peer, support, hostnames);
        assert_eq!(
            cloud.code(BOB, &options(&id, "Accepter", "true")),
            "InvalidVpcPeeringConnectionState.DnsHostnamesDisabled"
        );
    }
    // The accepter's option needs the accepter's VPC only; switching off needs nothing.
    set_dns(&mut cloud, &peer, true, true);
    let answer = cloud.ok(BOB, &options(&id, "Accepter", "true"));
    assert!(answer.contains(
        "<accepterPeeringConnectionOptions><allowDnsResolutionFromRemoteVpc>true</allowDnsResolutionFromRemoteVpc></accepterPeeringConnectionOptions>"
    ));
    assert!(texts(&answer, "requesterPeeringConnectionOptions").is_empty());
    assert_eq!(texts(&describe(&mut cloud, ALICE, &id).unwrap(), "allowDnsResolutionFromRemoteVpc"), ["false", "true"]);
    cloud.ok(ALICE, &options(&id, "Requester", "false"));
    set_dns(&mut cloud, &own, true, true);
    cloud.ok(ALICE, &options(&id, "Requester", "true"));
    set_dns(&mut cloud, &peer, false, false);
    assert_eq!(texts(&describe(&mut cloud, BOB, &id).unwrap(), "allowDnsResolutionFromRemoteVpc"), ["true", "true"]);
    cloud.ok(BOB, &options(&id, "Accepter", "false"));
    assert_eq!(texts(&describe(&mut cloud, BOB, &id).unwrap(), "allowDnsResolutionFromRemoteVpc"), ["true", "false"]);

    let classic = |value: bool| {
        format!("{bare}&RequesterPeeringConnectionOptions.AllowEgressFromLocalVpcToRemoteClassicLink={value}")
    };
    assert_eq!(cloud.code(ALICE, &classic(true)), "InvalidParameterValue");
    cloud.ok(ALICE, &classic(false));
    assert_eq!(
        cloud.code(ALICE, &format!("{bare}&RequesterPeeringConnectionOptions.AllowMultipathResilience=true")),
        "InvalidParameterValue"
    );
    assert_eq!(cloud.code(ALICE, &options("pcx-x", "Requester", "true")), "InvalidVpcPeeringConnectionId.Malformed");
}

#[test]
fn one_owner_of_both_sides_sets_both_in_one_call_or_neither() {
    let mut cloud = Harness::new();
    let (a, b) = (vpc(&mut cloud, ALICE, "10.0.0.0/16"), vpc(&mut cloud, ALICE, "10.1.0.0/16"));
    let id = request(&mut cloud, ALICE, &a, &b, ALICE);
    settle(&mut cloud);
    act(&mut cloud, ALICE, "Accept", &id);
    settle(&mut cloud);
    let both =
        options(&id, "Requester", "true") + "&AccepterPeeringConnectionOptions.AllowDnsResolutionFromRemoteVpc=true";
    set_dns(&mut cloud, &a, true, true);
    assert_eq!(cloud.code(ALICE, &both), "InvalidVpcPeeringConnectionState.DnsHostnamesDisabled");
    set_dns(&mut cloud, &b, true, true);
    cloud.ok(ALICE, &both);
    assert_eq!(texts(&describe(&mut cloud, ALICE, &id).unwrap(), "allowDnsResolutionFromRemoteVpc"), ["true", "true"]);
}

/// Spec 5.4.5.
#[test]
fn blocks_added_to_peered_vpcs() {
    let mut cloud = Harness::new();
    let (own, peer) = (vpc(&mut cloud, ALICE, "10.0.0.0/16"), vpc(&mut cloud, BOB, "10.1.0.0/16"));
    let id = request(&mut cloud, ALICE, &own, &peer, BOB);
    assert_eq!(add_block(&mut cloud, ALICE, &own, "10.9.0.0/16").unwrap_err().code, "OperationNotPermitted");
    settle(&mut cloud);
    // (b) The requester of a waiting request adds nothing, overlapping or not.
    for cidr in ["10.1.1.0/24", "10.9.0.0/16"] {
        assert_eq!(add_block(&mut cloud, ALICE, &own, cidr).unwrap_err().code, "OperationNotPermitted");
    }
    // (c) The accepter may; the peering holds or fails by it.
    add_block(&mut cloud, BOB, &peer, "10.2.0.0/16").unwrap();
    assert_eq!(status(&mut cloud, ALICE, &id), "pending-acceptance");
    act(&mut cloud, BOB, "Accept", &id);
    // (a) Accepted, provisioning or active: disjoint ones only, from either side.
    for _ in ["provisioning", "active"] {
        let refused = add_block(&mut cloud, ALICE, &own, "10.2.3.0/24").unwrap_err();
        assert_eq!(refused.code, "InvalidVpc.Range");
        assert!(
            refused.message.contains("10.2.3.0/24")
                && refused.message.contains("10.2.0.0/16")
                && refused.message.contains(&id)
        );
        assert_eq!(add_block(&mut cloud, BOB, &peer, "10.0.0.0/8").unwrap_err().code, "InvalidVpc.Range");
        settle(&mut cloud);
    }
    add_block(&mut cloud, ALICE, &own, "10.3.0.0/16").unwrap();
    add_block(&mut cloud, ALICE, &own, "2001:db8::/56").unwrap();
    assert_eq!(add_block(&mut cloud, BOB, &peer, "2001:db8::/60").unwrap_err().code, "InvalidVpc.Range");
    let document = describe(&mut cloud, BOB, &id).unwrap();
    let blocks = texts(&document, "cidrBlock");
    assert_eq!(blocks, ["10.0.0.0/16", "10.0.0.0/16", "10.3.0.0/16", "10.1.0.0/16", "10.1.0.0/16", "10.2.0.0/16"]);
    assert_eq!(texts(&document, "ipv6CidrBlock"), ["2001:db8::/56"]);
    // Over, it binds nobody.
    act(&mut cloud, ALICE, "Delete", &id);
    add_block(&mut cloud, BOB, &peer, "10.3.0.0/24").unwrap();
}

#[test]
fn the_accepters_overlapping_block_fails_the_waiting_request() {
    let mut cloud = Harness::new();
    let (id, _, peer) = pending(&mut cloud);
    add_block(&mut cloud, BOB, &peer, "10.0.7.0/24").unwrap();
    assert_eq!((status(&mut cloud, ALICE, &id).as_str(), status(&mut cloud, BOB, &id).as_str()), ("failed", NOT_FOUND));
}

#[test]
fn an_expired_request_binds_nobody() {
    type Act = fn(&mut Harness, &str, &str) -> Result<(), Error>;
    let acts: [Act; 4] = [
        |cloud, own, _| add_block(cloud, ALICE, own, "10.1.7.0/24"),
        |cloud, _, peer| add_block(cloud, BOB, peer, "10.0.7.0/24"),
        |cloud, own, _| delete_vpc(cloud, ALICE, own),
        |cloud, _, peer| delete_vpc(cloud, BOB, peer),
    ];
    for act in acts {
        let mut cloud = Harness::new();
        let (id, own, peer) = pending(&mut cloud);
        cloud.now = cloud.now + Duration::hours(168);
        act(&mut cloud, &own, &peer).unwrap();
        assert_eq!(status(&mut cloud, ALICE, &id), "expired");
    }
}

#[test]
fn a_request_whose_record_is_gone_makes_no_other() {
    let mut cloud = Harness::new();
    let (own, peer) = (vpc(&mut cloud, ALICE, "10.0.0.0/16"), vpc(&mut cloud, BOB, "10.1.0.0/16"));
    let id = request(&mut cloud, ALICE, &own, &peer, BOB);
    cloud.world = cloud.world.apply(&[Change::Delete(Key::Peering(id.parse().unwrap()))]);
    settle(&mut cloud);
    assert_eq!(cloud.world.peerings.size(), 0);
}

/// Spec 2.7.2.
#[test]
fn a_vpc_with_peerings_is_deleted_or_not() {
    let mut cloud = Harness::new();
    let (own, peer) = (vpc(&mut cloud, ALICE, "10.0.0.0/16"), vpc(&mut cloud, BOB, "10.1.0.0/16"));
    let id = request(&mut cloud, ALICE, &own, &peer, BOB);
    let refused = |cloud: &mut Harness, account, vpc: &str| {
        let error = delete_vpc(cloud, account, vpc).unwrap_err();
        assert_eq!(
            said(&error),
            format!("DependencyViolation: The vpc '{vpc}' has dependencies and cannot be deleted.")
        );
    };
    settle(&mut cloud);
    refused(&mut cloud, BOB, &peer);
    act(&mut cloud, BOB, "Accept", &id);
    refused(&mut cloud, ALICE, &own);
    settle(&mut cloud);
    refused(&mut cloud, ALICE, &own);
    refused(&mut cloud, BOB, &peer);
    act(&mut cloud, BOB, "Delete", &id);
    let waiting = request(&mut cloud, ALICE, &own, &peer, BOB);
    settle(&mut cloud);
    delete_vpc(&mut cloud, ALICE, &own).unwrap();
    assert_eq!(text(&describe(&mut cloud, BOB, &waiting).unwrap(), "message"), format!("Deleted by {ALICE}"));
    delete_vpc(&mut cloud, BOB, &peer).unwrap();
}

/// A request on its way is unknown to the accepter, so it may not hold the accepter's VPC; and nobody waits for its requester.
#[test]
fn a_request_on_its_way_holds_no_vpc_and_fails_without_it() {
    for account in [ALICE, BOB] {
        let mut cloud = Harness::new();
        let (own, peer) = (vpc(&mut cloud, ALICE, "10.0.0.0/16"), vpc(&mut cloud, BOB, "10.1.0.0/16"));
        let id = request(&mut cloud, ALICE, &own, &peer, BOB);
        delete_vpc(&mut cloud, account, if account == ALICE { &own } else { &peer }).unwrap();
        settle(&mut cloud);
        assert_eq!(
            (status(&mut cloud, ALICE, &id).as_str(), status(&mut cloud, BOB, &id).as_str()),
            ("failed", NOT_FOUND)
        );
    }
}

#[test]
fn a_vpc_that_goes_while_a_request_is_under_way_fails_it() {
    let mut cloud = Harness::new();
    let (own, peer) = (vpc(&mut cloud, ALICE, "10.0.0.0/16"), vpc(&mut cloud, BOB, "10.1.0.0/16"));
    let id = request(&mut cloud, ALICE, &own, &peer, BOB);
    cloud.world = cloud.world.apply(&[Change::Delete(Key::Vpc(peer.parse().unwrap()))]);
    settle(&mut cloud);
    assert_eq!(status(&mut cloud, ALICE, &id), "failed");
    let peer = vpc(&mut cloud, BOB, "10.1.0.0/16");
    let id = request(&mut cloud, ALICE, &own, &peer, BOB);
    settle(&mut cloud);
    act(&mut cloud, BOB, "Accept", &id);
    cloud.world = cloud.world.apply(&[Change::Delete(Key::Vpc(own.parse().unwrap()))]);
    settle(&mut cloud);
    assert_eq!(status(&mut cloud, ALICE, &id), "failed");
}
