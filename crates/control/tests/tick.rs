//! What time alone does to a World.

mod common;

use common::*;
use control::tick::{CHANGES_MAX, next, tick};
use model::credential::{AccessKey, ClientToken, ClientTokenKey, Secret, Session};
use model::federation::Clock;
use model::peering::{PeeringStatus, REQUEST_LIFE};
use model::*;

fn after(cloud: &Harness, span: Duration) -> Time {
    cloud.now + span
}

fn put<E: Entity>(cloud: &mut Harness, value: E) {
    cloud.world = cloud.world.apply(&[Change::put(value)]);
}

/// How many changes are due at that time, after checking that `next` had announced the first of them.
fn due(cloud: &Harness, at: Time) -> usize {
    let changes = tick(&cloud.world, &cloud.config, at).len();
    let announced = next(&cloud.world, &cloud.config).is_some_and(|time| time <= at);
    assert_eq!(changes > 0, announced);
    changes
}

fn instance(cloud: &Harness, state: InstanceState, terminated: Option<Time>) -> Instance {
    Instance {
        id: InstanceId::from_random(1),
        owner: ALICE.parse().unwrap(),
        reservation: ReservationId::from_random(1),
        launch_index: 0,
        image: ImageId::from_random(1),
        instance_type: "t3.micro".into(),
        vpc: VpcId::from_random(1),
        subnet: SubnetId::from_random(1),
        zone: Zone::all(cloud.config.region).next().unwrap(),
        host: None,
        state,
        state_reason: None,
        stop_asked: None,
        launched: cloud.now,
        terminated,
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
    }
}

fn peering(cloud: &Harness, n: u128, status: PeeringStatus) -> Peering {
    let side = |n| PeeringSide::unknown(ALICE.parse().unwrap(), VpcId::from_random(n), cloud.config.region);
    Peering {
        id: PeeringId::from_random(n),
        requester: side(1),
        accepter: side(2),
        status,
        message: String::new(),
        created: cloud.now,
        expires: cloud.now + REQUEST_LIFE,
        ended: status.has_ended().then_some((cloud.now, None)),
        tags: Default::default(),
    }
}

#[test]
fn nothing_ends_by_itself_in_an_empty_world() {
    let cloud = Harness::new();
    assert_eq!(next(&cloud.world, &cloud.config), None);
    assert_eq!(tick(&cloud.world, &cloud.config, Time::from_unix_millis(i64::MAX)), []);
}

#[test]
fn a_terminated_instance_goes_after_an_hour() {
    let mut cloud = Harness::new();
    for state in [InstanceState::Running, InstanceState::Stopped, InstanceState::ShuttingDown] {
        let at = cloud.now;
        put(&mut cloud, instance(&Harness::new(), state, Some(at)));
        assert_eq!(due(&cloud, after(&cloud, Duration::hours(9999))), 0);
    }
    let ended = instance(&cloud, InstanceState::Terminated, Some(cloud.now));
    put(&mut cloud, ended);
    assert_eq!(due(&cloud, after(&cloud, Duration::hours(1) + Duration::millis(-1))), 0);
    assert_eq!(next(&cloud.world, &cloud.config), Some(after(&cloud, Duration::hours(1))));
    assert_eq!(due(&cloud, after(&cloud, Duration::hours(1))), 1);
}

#[test]
fn client_tokens_go_after_a_day_and_sessions_after_their_end() {
    let mut cloud = Harness::new();
    let key = ClientTokenKey { account: ALICE.parse().unwrap(), operation: "RunInstances".into(), token: "t".into() };
    let token = ClientToken { key, parameters: 1, made: "i-1".into(), created: cloud.now };
    put(&mut cloud, token);
    assert_eq!(due(&cloud, after(&cloud, Duration::hours(24) + Duration::millis(-1))), 0);
    assert_eq!(due(&cloud, after(&cloud, Duration::hours(24))), 1);

    let mut cloud = Harness::new();
    let expires = after(&cloud, Duration::hours(3));
    let session = Session { token: Secret("s".into()), expires, role: Some("r".into()), name: "n".into() };
    let key = |session| AccessKey {
        id: "k".into(),
        secret: Secret("s".into()),
        account: ALICE.parse().unwrap(),
        created: expires,
        is_disabled: false,
        session,
    };
    put(&mut cloud, key(None));
    assert_eq!(next(&cloud.world, &cloud.config), None, "a long-term key stays");
    put(&mut cloud, key(Some(session)));
    assert_eq!(due(&cloud, expires), 0, "known a while longer, so that it is answered as expired");
    assert_eq!(due(&cloud, expires + Duration::hours(1)), 1);
}

#[test]
fn requests_expire_and_ended_peerings_go() {
    use PeeringStatus as S;
    let base = Harness::new();
    // One account on both sides, all in one region: state, when something is due, what is then left of it.
    for (status, hours, left) in [
        (S::InitiatingRequest, Some(168), Some(S::Expired)),
        (S::PendingAcceptance, Some(168), Some(S::Expired)),
        (S::Provisioning, None, None),
        (S::Active, None, None),
        (S::Deleting, None, None),
        (S::Failed, Some(2), None),
        (S::Rejected, Some(2), None),
        (S::Deleted, Some(2), None),
        (S::Expired, Some(48), None),
    ] {
        let mut cloud = Harness::new();
        put(&mut cloud, peering(&base, 1, status));
        let expected = hours.map(|hours| after(&cloud, Duration::hours(hours)));
        assert_eq!(next(&cloud.world, &cloud.config), expected, "{status}");
        let Some(at) = expected else { continue };
        assert_eq!(due(&cloud, at + Duration::millis(-1)), 0, "{status}");
        let changes = tick(&cloud.world, &cloud.config, at);
        cloud.world = cloud.world.apply(&changes);
        assert_eq!(cloud.world.peerings.values().next().map(|peering| peering.status), left, "{status}");
        assert_eq!(cloud.world.outbox.size(), 0);
    }
}

#[test]
fn the_worlds_own_clock_counts() {
    let mut cloud = Harness::new();
    let one = peering(&cloud, 1, PeeringStatus::PendingAcceptance);
    put(&mut cloud, one);
    put(&mut cloud, Clock { ahead_ms: Duration::hours(100).as_millis() });
    assert_eq!(next(&cloud.world, &cloud.config), Some(after(&cloud, Duration::hours(68))));
    assert_eq!(due(&cloud, after(&cloud, Duration::hours(68))), 1);
}

#[test]
fn one_tick_is_one_transaction_and_what_is_left_is_due_at_once() {
    let mut cloud = Harness::new();
    for n in 0..300 {
        let key = ClientTokenKey { account: ALICE.parse().unwrap(), operation: "o".into(), token: n.to_string() };
        let token = ClientToken { key, parameters: 1, made: "i-1".into(), created: cloud.now };
        put(&mut cloud, token);
        // Each of these says so to another region: two changes each.
        let mut request = peering(&cloud, n, PeeringStatus::PendingAcceptance);
        request.requester.region = "eu-west-1".parse().unwrap();
        put(&mut cloud, request);
    }
    let at = after(&cloud, REQUEST_LIFE);
    let mut ticks = 0;
    while next(&cloud.world, &cloud.config).is_some_and(|time| time <= at) {
        let changes = tick(&cloud.world, &cloud.config, at);
        assert!((1..=CHANGES_MAX + 2).contains(&changes.len()), "{}", changes.len());
        cloud.world = cloud.world.apply(&changes);
        ticks += 1;
        assert!(ticks < 100);
    }
    assert_eq!((cloud.world.client_tokens.size(), cloud.world.outbox.size()), (0, 300));
    assert!(cloud.world.all::<Peering>().all(|peering| peering.status == PeeringStatus::Expired));
}
