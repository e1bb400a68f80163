//! What people are told of what happens, and whom.

mod common;

use common::*;
use control::Config;
use control::events::{self, Event};
use model::credential::{AccessKey, Session};
use model::*;

/// One line for each event: type, from, to and accounts.
fn lines(events: &[Event]) -> Vec<String> {
    let line = |event: &Event| {
        let accounts: Vec<String> = event.accounts.iter().map(ToString::to_string).collect();
        let from = event.from.as_deref().unwrap_or("-");
        format!("{} {from} {} {}", event.resource_type, event.to, accounts.join(","))
    };
    events.iter().map(line).collect()
}

/// What a call makes happen.
fn told(cloud: &mut Harness, account: &str, query: &str) -> Vec<Event> {
    let before = cloud.world.clone();
    cloud.ok(account, query);
    let puts =
        cloud.world.resources().filter(|after| before.resource(&after.key()).as_ref() != Some(after)).map(Change::Put);
    let deletes = before.resources().filter(|was| !cloud.world.holds(&was.key())).map(|was| Change::Delete(was.key()));
    let changes: Vec<Change> = puts.chain(deletes).collect();
    events::of(&before, &changes, &cloud.config, cloud.now)
}

#[test]
fn an_event_for_each_state_that_a_thing_comes_to() {
    let mut cloud = Harness::new();
    let made = told(&mut cloud, ALICE, "Action=CreateVpc&CidrBlock=10.0.0.0/16");
    assert_eq!(lines(&made), [format!("vpc - available {ALICE}")]);
    let event = &made[0];
    assert_eq!((event.region, event.time), (cloud.config.region, cloud.now));
    let vpc = event.resource_id.clone();
    let attribute = format!("Action=ModifyVpcAttribute&VpcId={vpc}&EnableDnsHostnames.Value=true");
    assert_eq!(lines(&told(&mut cloud, ALICE, &attribute)), Vec::<String>::new(), "the same state");
    let gateway = told(&mut cloud, ALICE, "Action=CreateInternetGateway");
    let gateway = gateway[0].resource_id.clone();
    let attach = format!("Action=AttachInternetGateway&InternetGatewayId={gateway}&VpcId={vpc}");
    assert_eq!(lines(&told(&mut cloud, ALICE, &attach)), [format!("internet-gateway detached attached {ALICE}")]);

    let subnet = told(&mut cloud, ALICE, &format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock=10.0.1.0/24"));
    let subnet = subnet[0].resource_id.clone();
    let run = format!("Action=RunInstances&ImageId=ami-12345678&MinCount=1&MaxCount=1&SubnetId={subnet}");
    let ran = told(&mut cloud, ALICE, &run);
    let mut expected = [format!("instance - running {ALICE}"), format!("network-interface - in-use {ALICE}")];
    expected.sort();
    let mut found = lines(&ran);
    found.sort();
    assert_eq!(found, expected);
    let instance = &ran.iter().find(|event| event.resource_type == "instance").unwrap().resource_id;
    let terminated = told(&mut cloud, ALICE, &format!("Action=TerminateInstances&InstanceId.1={instance}"));
    let found = lines(&terminated);
    assert!(found.contains(&format!("instance running terminated {ALICE}")), "{found:?}");
    assert!(found.contains(&format!("network-interface in-use deleted {ALICE}")), "{found:?}");
    // Its record goes an hour later, which is no news.
    let purged = control::tick(&cloud.world, &cloud.config, cloud.now + Duration::hours(2));
    assert!(!purged.is_empty());
    assert_eq!(events::of(&cloud.world, &purged, &cloud.config, cloud.now), []);
}

fn peering(config: &Config, status: PeeringStatus, by: Option<&str>, now: Time) -> Peering {
    let side = |account: &str, n, region: &str| {
        PeeringSide::unknown(account.parse().unwrap(), VpcId::from_random(n), region.parse().unwrap())
    };
    Peering {
        id: PeeringId::from_random(1),
        requester: side(ALICE, 1, config.region.as_str()),
        accepter: side(BOB, 2, config.region.as_str()),
        status,
        message: String::new(),
        created: now,
        expires: now + Duration::hours(168),
        ended: status.has_ended().then(|| (now, by.map(|by| by.parse().unwrap()))),
        tags: Default::default(),
    }
}

/// Abuse case 48: of a request that fails, or has not arrived, its other side is told nothing.
#[test]
fn a_peering_concerns_those_who_may_see_it() {
    let cloud = Harness::new();
    let step = |from: Option<PeeringStatus>, to: PeeringStatus| {
        let make = |status| peering(&cloud.config, status, None, cloud.now);
        let before = from.map(|from| cloud.world.apply(&[Change::put(make(from))])).unwrap_or_default();
        lines(&events::of(&before, &[Change::put(make(to))], &cloud.config, cloud.now))
    };
    use PeeringStatus::*;
    let both = format!("{ALICE},{BOB}");
    assert_eq!(step(None, InitiatingRequest), [format!("vpc-peering-connection - initiating-request {ALICE}")]);
    assert_eq!(step(None, Failed), [format!("vpc-peering-connection - failed {ALICE}")]);
    assert_eq!(
        step(Some(PendingAcceptance), Failed),
        [format!("vpc-peering-connection pending-acceptance failed {ALICE}")]
    );
    assert_eq!(
        step(Some(PendingAcceptance), Active),
        [format!("vpc-peering-connection pending-acceptance active {both}")]
    );
    assert_eq!(step(Some(Active), Deleted), [format!("vpc-peering-connection active deleted {both}")]);
    assert_eq!(step(Some(Active), Active), Vec::<String>::new());
    // The record of what has ended goes in silence.
    let ended = peering(&cloud.config, Deleted, None, cloud.now);
    let world = cloud.world.apply(&[Change::put(ended.clone())]);
    assert_eq!(events::of(&world, &[Change::Delete(Peering::key(ended.id))], &cloud.config, cloud.now), []);
    // In another region only the side that lives there is concerned.
    let mut far = peering(&cloud.config, Active, None, cloud.now);
    far.accepter.region = "eu-west-1".parse().unwrap();
    let told = events::of(&World::default(), &[Change::put(far)], &cloud.config, cloud.now);
    assert_eq!(lines(&told), [format!("vpc-peering-connection - active {ALICE}")]);
}

#[test]
fn identities_come_and_go_without_their_secrets() {
    let cloud = Harness::new();
    let key = |is_disabled| AccessKey {
        id: "AKIA1".into(),
        secret: Secret("c2VjcmV0".into()),
        account: ALICE.parse().unwrap(),
        created: cloud.now,
        is_disabled,
        session: None,
    };
    let world = cloud.world.apply(&[Change::put(key(false))]);
    let told = events::of(&world, &[Change::put(key(true))], &cloud.config, cloud.now);
    assert_eq!(lines(&told), [format!("access-key active inactive {ALICE}")]);
    assert!(!format!("{told:?}").contains("c2VjcmV0"));
    let session = Session { token: Secret("t".into()), expires: cloud.now, role: None, name: String::new() };
    let lent = AccessKey { session: Some(session), ..key(false) };
    assert_eq!(
        events::of(&World::default(), &[Change::put(lent)], &cloud.config, cloud.now),
        [],
        "sessions are the audit log's"
    );
}

#[test]
fn an_interface_gets_and_loses_public_addresses() {
    let mut cloud = Harness::new();
    let vpc = told(&mut cloud, ALICE, "Action=CreateVpc&CidrBlock=10.0.0.0/16")[0].resource_id.clone();
    let subnet = told(&mut cloud, ALICE, &format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock=10.0.1.0/24"))[0]
        .resource_id
        .clone();
    cloud.ok(ALICE, &format!("Action=CreateNetworkInterface&SubnetId={subnet}"));
    let plain = NetworkInterface::clone(cloud.world.network_interfaces.values().next().unwrap());
    let association =
        PublicAssociation { private: plain.private_ips[0], public: "203.0.113.25".parse().unwrap(), elastic: None };
    let public = NetworkInterface { public: vec![association], ..plain.clone() };
    let got = events::of(&cloud.world, &[Change::put(public.clone())], &cloud.config, cloud.now);
    assert_eq!(lines(&got), [format!("public-address disassociated associated {ALICE}")]);
    assert_eq!(
        (got[0].resource_id.as_str(), got[0].detail.as_ref().unwrap().contains(&plain.id.to_string())),
        ("203.0.113.25", true)
    );
    let world = cloud.world.apply(&[Change::put(public)]);
    let lost = events::of(&world, &[Change::put(plain)], &cloud.config, cloud.now);
    assert_eq!(lines(&lost), [format!("public-address associated disassociated {ALICE}")]);
}

/// AWS's status message does not say which blocks are in the way; whoever has both VPCs is told.
#[test]
fn the_owner_of_both_vpcs_is_told_which_blocks_overlap() {
    for peer in [ALICE, BOB] {
        let mut cloud = Harness::new();
        let mut vpc = |account: &str, block: &str| {
            text(&cloud.ok(account, &format!("Action=CreateVpc&CidrBlock={block}")), "vpcId")
        };
        let (mine, theirs) = (vpc(ALICE, "10.2.0.0/16"), vpc(peer, "10.3.0.0/16"));
        cloud.ok(peer, &format!("Action=AssociateVpcCidrBlock&VpcId={theirs}&CidrBlock=10.2.128.0/24"));
        let request = format!("Action=CreateVpcPeeringConnection&VpcId={mine}&PeerVpcId={theirs}&PeerOwnerId={peer}");
        cloud.ok(ALICE, &request);
        let heard = control::federation::deliver_here(&cloud.world, &cloud.config, cloud.now);
        let told = events::of(&cloud.world, &heard, &cloud.config, cloud.now);
        assert_eq!(lines(&told), [format!("vpc-peering-connection initiating-request failed {ALICE}")]);
        let why = if peer == ALICE { ": 10.2.0.0/16 overlaps 10.2.128.0/24" } else { "" };
        assert_eq!(told[0].detail.as_deref(), Some(format!("{mine} to {theirs}{why}").as_str()));
    }
}
