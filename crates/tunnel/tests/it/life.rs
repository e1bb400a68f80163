//! The life of a key: asked for, used, followed by another without a gap, ended.

use std::collections::BTreeSet;

use model::{Duration, Time};
use tunnel::{
    Agreement, Config, Effect, Entitlements, Exporter, GRACE, IDLE, KeyMaterial, LINGER, LinkDirection, Message,
    NoLink, OpenError, Reason, Role, SHARDS_MAX, SessionId, Spent,
};

use wire::esp::{HEADER_LEN, next_header::IPV4, sealed_len};

use crate::world::{Faults, Right, World, domain, host};

fn rights() -> BTreeSet<Right> {
    [(0, 1, domain(0, 1)), (1, 0, domain(1, 0))].into()
}

/// Two hosts that may send to each other, and host 0 has a key for host 1.
fn linked() -> World {
    let mut world = World::new(2, 1);
    world.entitle_all(&rights());
    assert!(!world.send(0, 1, domain(0, 1), 0), "no key, no packet");
    world.run(Duration::millis(100));
    assert!(world.send(0, 1, domain(0, 1), 0));
    world.run(Duration::millis(100));
    assert_eq!(world.delivered(), 1);
    world
}

/// One packet a second from host 0 to host 1; how many of them came.
fn traffic(world: &mut World, seconds: i64) -> usize {
    let before = world.delivered();
    for _ in 0..seconds {
        world.send(0, 1, domain(0, 1), 0);
        world.run(Duration::seconds(1));
    }
    world.delivered() - before
}

fn spi(world: &World) -> u32 {
    world.outbound(0, 1, domain(0, 1)).unwrap().identity().spi
}

#[test]
fn the_receiver_opens_before_the_sender_learns_of_it() {
    let world = linked();
    let effects = &world.hosts[1].effects;
    let grant = effects.iter().position(|it| matches!(it, Effect::Send { message: Message::Grant { .. }, .. }));
    let changed = effects.iter().rposition(|it| *it == Effect::Changed);
    assert!(changed < grant, "{effects:?}");
    assert!(spi(&world) >= 256);
}

#[test]
fn wishes_are_merged_bounded_and_refused_by_name() {
    let mut world = World::new(2, 1);
    world.entitle_all(&rights());
    let now = world.now;
    let agreement = &mut world.hosts[0].agreement;
    for _ in 0..100 {
        assert_eq!(agreement.want(domain(0, 1), host(1), 0, now), Ok(()));
    }
    assert_eq!(agreement.want(domain(1, 0), host(1), 0, now), Err(NoLink::NotEntitled), "the other direction");
    assert_eq!(agreement.want(domain(0, 1), host(0), 0, now), Err(NoLink::NotEntitled), "another host");
    assert_eq!(agreement.want(domain(0, 1), host(1), SHARDS_MAX, now), Err(NoLink::Shard));
    world.drain(0);
    world.run(Duration::seconds(1));
    let wants =
        world.hosts[0].effects.iter().filter(|it| matches!(it, Effect::Send { message: Message::Want { .. }, .. }));
    assert_eq!((wants.count(), world.hosts[0].connects.len()), (1, 1));
}

#[test]
fn a_wish_that_is_not_repeated_is_given_up() {
    let mut world = World::new(2, 1);
    world.entitle_all(&rights());
    world.faults.is_partitioned = true;
    world.send(0, 1, domain(0, 1), 0);
    world.run(Duration::seconds(200));
    let attempts = world.hosts[0].connects.len();
    assert!((5..12).contains(&attempts), "{attempts}");
    assert_eq!(world.hosts[0].agreement.poll_timeout(), None, "nothing is left");
    assert_eq!(world.hosts[0].agreement.status(world.now), []);
}

#[test]
fn keys_follow_each_other_hourly_without_a_gap() {
    let mut world = linked();
    let mut spis = BTreeSet::new();
    for _ in 0..3 * 3600 {
        spis.insert(spi(&world));
        assert_eq!(traffic(&mut world, 1), 1);
    }
    assert!((3..=7).contains(&spis.len()), "{}", spis.len());
    let row = &world.hosts[0].agreement.status(world.now)[0];
    assert_eq!((row.rekeys, row.packets), (spis.len() as u64 - 1, 3 * 3600 + 1));
    assert!(row.is_post_quantum && row.associations == 1);
    assert_eq!(world.hosts[1].sas.counts(), (0, 1), "the old ones are gone");
    assert_eq!(world.sessions_at(0), 1, "and their sessions");
    let sessions = world.hosts[0].connects.len();
    assert!((3..=4).contains(&sessions), "renewed hourly: {sessions}");
}

#[test]
fn a_worn_key_is_followed_by_another() {
    for (packets, bytes) in [(1, tunnel::limits::BYTES_SOFT), (tunnel::limits::PACKETS_SOFT as u32, 1)] {
        let mut world = linked();
        let before = spi(&world);
        world.outbound(0, 1, domain(0, 1)).unwrap().reserve(packets, bytes).unwrap();
        assert_eq!(traffic(&mut world, 11), 11);
        assert_ne!(spi(&world), before);
        assert_eq!(world.hosts[0].agreement.status(world.now)[0].rekeys, 1);
    }
}

#[test]
fn a_spent_key_seals_no_more_and_is_replaced_at_once() {
    let mut world = linked();
    let spent = world.outbound(0, 1, domain(0, 1)).unwrap();
    spent.reserve(1, tunnel::limits::BYTES_HARD - 1000).unwrap();
    assert_eq!(spent.reserve(1, 1000), Err(Spent::Limit));
    spent.reserve(1, 500).unwrap();
    for _ in 0..10 {
        world.send(0, 1, domain(0, 1), 0);
    }
    world.run(Duration::millis(50));
    assert!(world.send(0, 1, domain(0, 1), 0));
}

#[test]
fn late_packets_open_for_the_grace_and_no_longer() {
    for (wait, expected) in [(GRACE.as_millis() - 2000, Ok(())), (GRACE.as_millis() + 10, Err(OpenError::Expired))] {
        let mut world = linked();
        let old = world.outbound(0, 1, domain(0, 1)).unwrap();
        let held = world.inbound(1, old.identity().spi).unwrap();
        let sequence = old.reserve(1, 40).unwrap();
        let mut late = vec![7; sealed_len(40)];
        late[HEADER_LEN..][..4].copy_from_slice(&[0x45, 0, 0, 40]);
        let len = old.seal(sequence, &mut late, 40, IPV4);
        old.reserve(1, tunnel::limits::BYTES_SOFT).unwrap();
        // Counters are read every 10 s, so the switch is at 10 s.
        world.run(Duration::millis(10_100));
        assert_ne!(spi(&world), old.identity().spi);
        world.run(Duration::millis(wait));
        assert_eq!(held.lock().open(&mut late, 0..len, 0).map(drop), expected);
        assert_eq!(world.inbound(1, old.identity().spi).is_some(), expected.is_ok());
    }
}

#[test]
fn without_sessions_keys_go_on_to_their_hard_limit_at_both_ends() {
    let mut world = linked();
    let (outbound, inbound) = (world.outbound(0, 1, domain(0, 1)).unwrap(), world.inbound(1, spi(&world)).unwrap());
    world.cut_sessions();
    // Sessions do not come up again; packets go.
    let mut came = 0;
    for _ in 0..7195 {
        world.faults.is_partitioned = false;
        world.send(0, 1, domain(0, 1), 0);
        world.faults.is_partitioned = true;
        world.run(Duration::seconds(1));
        came = world.delivered();
    }
    assert_eq!(came, 7196);
    world.run(Duration::seconds(5));
    assert_eq!(outbound.reserve(1, 1), Err(Spent::Expired));
    let mut packet = vec![0; 72];
    packet[..4].copy_from_slice(&inbound.identity().spi.to_be_bytes());
    (packet[7], packet[15]) = (99, 99);
    assert_eq!(inbound.lock().open(&mut packet, 0..72, 0), Err(OpenError::Expired));
    assert!(!world.send(0, 1, domain(0, 1), 0));
    // Backoff grew to its end, with jitter, and went on.
    let gaps: Vec<i64> = world.hosts[0].connects.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect();
    assert!((200..400).contains(&gaps.len()), "{}", gaps.len());
    assert!(gaps[1] < 1500 && gaps[20..].iter().all(|gap| (15_000..46_000).contains(gap)), "{gaps:?}");
    let (least, most) = (gaps[20..].iter().min().unwrap(), gaps[20..].iter().max().unwrap());
    assert!(*least < 20_000 && *most > 40_000, "jitter: {least} to {most}");
    world.faults = Faults::default();
    traffic(&mut world, 50);
    assert_eq!(traffic(&mut world, 5), 5);
}

#[test]
fn idle_keys_and_their_sessions_go() {
    let mut world = linked();
    world.run(IDLE + Duration::seconds(25));
    assert_eq!(world.hosts[0].sas.counts(), (0, 0));
    assert_eq!(world.hosts[1].sas.counts(), (0, 1), "in its grace");
    world.run(LINGER + Duration::seconds(1));
    assert_eq!(world.hosts[1].sas.counts(), (0, 0));
    assert_eq!((world.sessions_at(0), world.sessions_at(1)), (0, 0));
    world.run(LINGER);
    for at in 0..2 {
        assert_eq!(world.hosts[at].agreement.poll_timeout(), None, "nothing is left");
    }
    world.send(0, 1, domain(0, 1), 0);
    world.run(Duration::seconds(1));
    assert!(world.send(0, 1, domain(0, 1), 0), "and come back when wanted");
}

#[test]
fn a_lost_session_costs_no_packet_and_a_new_one_brings_new_keys() {
    let mut world = linked();
    let before = spi(&world);
    world.cut_sessions();
    assert!(world.send(0, 1, domain(0, 1), 0));
    assert_eq!(spi(&world), before);
    assert_eq!(traffic(&mut world, 5), 5 + 1);
    assert_ne!(spi(&world), before);
}

#[test]
fn a_restarted_receiver_is_asked_anew_within_half_a_second() {
    let mut world = linked();
    world.restart(1);
    world.run(Duration::millis(500));
    assert_eq!(traffic(&mut world, 5), 5);
}

#[test]
fn a_receiver_that_lost_a_key_in_silence_says_so_when_a_packet_comes() {
    let mut world = linked();
    let lost = spi(&world);
    // Nothing tells the sender but the answer to its packet.
    world.faults.is_partitioned = true;
    let now = world.now;
    world.hosts[1].agreement.entitle(Entitlements::default(), now);
    world.drain(1);
    let entitled = rights();
    world.entitle(1, &entitled);
    world.faults.is_partitioned = false;
    assert!(world.send(0, 1, domain(0, 1), 0), "to nobody");
    world.run(Duration::seconds(2));
    assert_ne!(spi(&world), lost);
    assert_eq!(traffic(&mut world, 3), 3);
}

#[test]
fn a_restarted_sender_begins_with_a_new_key() {
    let mut world = linked();
    let before = world.outbound(0, 1, domain(0, 1)).unwrap();
    for _ in 0..10 {
        world.restart(0);
        world.send(0, 1, domain(0, 1), 0);
        world.run(Duration::seconds(1));
        assert!(world.send(0, 1, domain(0, 1), 0));
        assert_ne!(spi(&world), before.identity().spi);
    }
    assert_eq!(world.hosts[1].sas.counts().1, tunnel::RECEIVING_PER_LINK, "what a forgetful sender leaves is bounded");
}

#[test]
fn what_a_revoked_key_has_agreed_on_ends_with_it_and_nothing_else_does() {
    let mut world = World::new(3, 1);
    let rights: BTreeSet<Right> =
        [(1, 0, domain(1, 0)), (0, 1, domain(0, 1)), (0, 2, domain(0, 2)), (2, 0, domain(2, 0))].into();
    world.entitle_all(&rights);
    for (from, to, of) in [(0, 1, domain(0, 1)), (1, 0, domain(1, 0)), (0, 2, domain(0, 2))] {
        world.send(from, to, of, 0);
        world.run(Duration::millis(200));
        assert!(world.send(from, to, of, 0));
    }
    let outbound = [1_u8, 2].map(|to| world.outbound(0, to.into(), domain(0, to)).unwrap());
    let now = world.now;
    world.hosts[0].agreement.distrust(host(1), now);
    assert_eq!(outbound[0].reserve(1, 1), Err(Spent::Revoked));
    assert!(outbound[1].reserve(1, 1).is_ok(), "the other host is not meant");
    world.drain(0);
    assert_eq!(world.hosts[0].sas.counts(), (1, 0), "nor is anything of the revoked key opened");
}

#[test]
fn a_restored_or_cloned_host_begins_anew() {
    let mut world = linked();
    let (outbound, now) = (world.outbound(0, 1, domain(0, 1)).unwrap(), world.now);
    world.hosts[0].agreement.reset(now);
    assert_eq!(outbound.reserve(1, 1), Err(Spent::Revoked));
    world.drain(0);
    assert_eq!(world.hosts[0].sas.counts(), (0, 0));
    assert_eq!(world.sessions_at(0), 0);
    world.send(0, 1, domain(0, 1), 0);
    world.run(Duration::seconds(1));
    assert_eq!(traffic(&mut world, 3), 3);
}

#[test]
fn either_end_alone_severs_a_domain() {
    for first in [0, 1] {
        let mut world = linked();
        let (outbound, inbound) = (world.outbound(0, 1, domain(0, 1)).unwrap(), world.inbound(1, spi(&world)).unwrap());
        world.entitle(first, &BTreeSet::new());
        assert_eq!((outbound.is_revoked(), inbound.is_revoked()), (first == 0, first == 1), "here at once");
        world.run(Duration::millis(10));
        assert!(outbound.is_revoked() && inbound.is_revoked(), "there when told");
        world.run(Duration::seconds(20));
        assert_eq!(world.hosts[0].sas.counts(), (0, 0));
        assert_eq!(world.hosts[1].sas.counts(), (0, 0));
        if first == 1 {
            let refused = world.hosts[0].agreement.counters().refused_to_me;
            assert!((1..10).contains(&refused), "asks again, ever more slowly: {refused}");
        }
    }
}

#[test]
fn what_a_receiver_learns_late_works_when_it_knows() {
    let mut world = World::new(2, 1);
    world.entitle(0, &rights());
    world.send(0, 1, domain(0, 1), 0);
    world.run(Duration::seconds(3));
    world.entitle(1, &rights());
    world.run(Duration::seconds(5));
    assert!(world.send(0, 1, domain(0, 1), 0));
}

#[test]
fn a_new_intent_asks_at_once_what_was_refused() {
    let mut world = World::new(2, 1);
    world.entitle(0, &rights());
    for _ in 0..60 {
        world.send(0, 1, domain(0, 1), 0);
        world.run(Duration::seconds(1));
    }
    world.entitle(1, &rights());
    world.entitle(0, &rights());
    world.run(Duration::millis(20));
    assert!(world.send(0, 1, domain(0, 1), 0));
}

#[test]
fn a_silent_session_is_given_up_for_another() {
    let mut world = linked();
    world.faults.is_partitioned = true;
    let held = world.outbound(0, 1, domain(0, 1)).unwrap();
    held.reserve(1, tunnel::limits::BYTES_SOFT).unwrap();
    world.run(Duration::seconds(30));
    assert!(world.hosts[0].effects.iter().any(|it| matches!(it, Effect::Close { .. })));
    world.faults.is_partitioned = false;
    world.run(Duration::seconds(30));
    assert_ne!(spi(&world), held.identity().spi);
}

#[test]
fn shards_have_keys_of_their_own() {
    let mut world = linked();
    world.send(0, 1, domain(0, 1), 1);
    world.run(Duration::millis(50));
    assert!(world.send(0, 1, domain(0, 1), 1));
    assert_eq!(world.hosts[0].sas.counts(), (2, 0));
    let row = &world.hosts[0].agreement.status(world.now)[0];
    assert_eq!((row.associations, row.direction), (2, LinkDirection::Sending));
}

#[test]
fn status_counts_what_was_dropped() {
    let mut world = linked();
    world.faults = Faults { replay: 1000, corruption: 500, ..Faults::default() };
    let came = traffic(&mut world, 100);
    world.faults = Faults::default();
    let status = world.hosts[1].agreement.status(world.now);
    let row = &status[0];
    assert_eq!(status.len(), 1);
    assert_eq!((row.host, row.domain, row.direction), (host(0), domain(0, 1), LinkDirection::Receiving));
    assert_eq!(row.packets, came as u64 + 1);
    assert!(row.replayed > 10 && row.authentication_failures > 10, "{row:?}");
    assert_eq!(row.cipher, "AES-256-GCM");
    assert!((100_000..100_300).contains(&row.age.as_millis()), "{row:?}");
}

/// A peer that is nothing but a session.
struct Bare;

impl Exporter for Bare {
    fn export(&self, _: SessionId, context: &[u8]) -> Option<KeyMaterial> {
        KeyMaterial::fill::<()>(|bytes| {
            bytes[..14].copy_from_slice(&context[..14]);
            Ok(())
        })
        .ok()
    }
}

const NOW: Time = Time::from_unix_millis(1_800_000_000_000);

/// A host with a session to host 1.
fn connected() -> Agreement {
    let mut agreement = Agreement::new(&Config { host: host(0), underlay_mtu: 1500, seed: [1; 32] }, NOW);
    let entitled = Entitlements {
        i_may_send_to: [(host(1), [domain(0, 1), domain(0, 0)].into())].into(),
        ..Entitlements::default()
    };
    agreement.entitle(entitled, NOW);
    agreement.session_up(SessionId(1), host(1), Role::Client, true, NOW);
    agreement
}

fn ask(agreement: &mut Agreement, scope: u8) -> u64 {
    agreement.want(domain(0, scope), host(1), 0, NOW).unwrap();
    let mut request = None;
    while let Some(effect) = agreement.poll_effect() {
        if let Effect::Send { message: Message::Want { request: it, .. }, .. } = effect {
            request = Some(it);
        }
    }
    request.unwrap()
}

#[test]
fn a_grant_that_could_repeat_a_key_is_not_used() {
    let mut agreement = connected();
    let (first, second) = (ask(&mut agreement, 1), ask(&mut agreement, 0));
    let grant = |request, spi, epoch| Message::Grant { request, spi, epoch, partial_sums: true };
    agreement.message(SessionId(1), grant(first, 300, 7), NOW, &Bare);
    assert_eq!(agreement.sas().counts(), (1, 0));
    for (spi, epoch) in [(301, 7), (301, 6), (300, 8), (255, 9)] {
        let mut fresh = connected();
        let (a, b) = (ask(&mut fresh, 1), ask(&mut fresh, 0));
        fresh.message(SessionId(1), grant(a, 300, 7), NOW, &Bare);
        fresh.message(SessionId(1), grant(b, spi, epoch), NOW, &Bare);
        assert_eq!((fresh.sas().counts(), fresh.counters().unsound_grants), ((1, 0), 1), "{spi} {epoch}");
    }
    agreement.message(SessionId(1), grant(first, 302, 8), NOW, &Bare);
    assert_eq!(agreement.counters().unknown_requests, 1, "an answer counts once");
    agreement.message(SessionId(2), grant(second, 303, 9), NOW, &Bare);
    assert_eq!(agreement.counters().unknown_sessions, 1);
    agreement.message(SessionId(1), grant(second, 303, 9), NOW, &Bare);
    assert_eq!(agreement.sas().counts(), (2, 0));
}

#[test]
fn the_same_spi_again_has_another_key() {
    // The receiver may draw an SPI twice in a session; the epoch is in the context.
    let mut agreement = connected();
    let first = ask(&mut agreement, 1);
    agreement.message(
        SessionId(1),
        Message::Grant { request: first, spi: 300, epoch: 1, partial_sums: true },
        NOW,
        &Bare,
    );
    let sealed = |agreement: &Agreement| {
        let sa = agreement.sas().outbound(domain(0, 1), host(1), 0).unwrap().clone();
        let mut packet = vec![0; sealed_len(40)];
        assert_eq!(sa.reserve(1, 40), Ok(1));
        sa.seal(1, &mut packet, 40, IPV4);
        packet
    };
    let before = sealed(&agreement);
    agreement.message(SessionId(1), Message::Revoke { spi: 300 }, NOW, &Bare);
    agreement.handle_timeout(NOW + Duration::seconds(2));
    let mut request = None;
    while let Some(effect) = agreement.poll_effect() {
        if let Effect::Send { message: Message::Want { request: it, .. }, .. } = effect {
            request = Some(it);
        }
    }
    agreement.message(
        SessionId(1),
        Message::Grant { request: request.unwrap(), spi: 300, epoch: 2, partial_sums: true },
        NOW,
        &Bare,
    );
    assert_ne!(sealed(&agreement)[16..], before[16..]);
}

#[test]
fn an_older_session_that_no_key_depends_on_is_closed_at_once() {
    let close = |session| Effect::Close { session: SessionId(session) };
    let mut agreement = connected();
    agreement.session_up(SessionId(2), host(1), Role::Client, true, NOW);
    let effects: Vec<_> = std::iter::from_fn(|| agreement.poll_effect()).collect();
    assert!(effects.contains(&close(1)), "{effects:?}");
    let request = ask(&mut agreement, 1);
    agreement.message(SessionId(2), Message::Grant { request, spi: 300, epoch: 1, partial_sums: true }, NOW, &Bare);
    agreement.session_up(SessionId(3), host(1), Role::Client, true, NOW);
    let effects: Vec<_> = std::iter::from_fn(|| agreement.poll_effect()).collect();
    let again = effects.iter().find_map(|effect| match effect {
        Effect::Send { session: SessionId(3), message: Message::Want { request, .. } } => Some(*request),
        _ => None,
    });
    assert!(!effects.contains(&close(2)), "its key is in use: {effects:?}");
    let grant = Message::Grant { request: again.unwrap(), spi: 301, epoch: 1, partial_sums: true };
    agreement.message(SessionId(3), grant, NOW, &Bare);
    let effects: Vec<_> = std::iter::from_fn(|| agreement.poll_effect()).collect();
    let retire = Effect::Send { session: SessionId(3), message: Message::Retire { spi: 300, at_once: false } };
    assert!(effects.contains(&close(2)) && effects.contains(&retire), "{effects:?}");
}

#[test]
fn a_session_without_keys_is_answered_as_such() {
    struct Gone;
    impl Exporter for Gone {
        fn export(&self, _: SessionId, _: &[u8]) -> Option<KeyMaterial> {
            None
        }
    }
    let mut agreement = Agreement::new(&Config { host: host(1), underlay_mtu: 1500, seed: [1; 32] }, NOW);
    let entitled =
        Entitlements { may_send_to_me: [(host(0), [domain(0, 1)].into())].into(), ..Entitlements::default() };
    agreement.entitle(entitled, NOW);
    agreement.session_up(SessionId(1), host(0), Role::Server, true, NOW);
    let want = Message::Want { request: 5, domain: domain(0, 1), shard: 0 };
    agreement.message(SessionId(1), want, NOW, &Gone);
    let effects: Vec<_> = std::iter::from_fn(|| agreement.poll_effect()).collect();
    let refuse = Message::Refuse { request: 5, reason: Reason::Session };
    assert!(effects.contains(&Effect::Send { session: SessionId(1), message: refuse }), "{effects:?}");
    assert_eq!(agreement.sas().counts(), (0, 0));
}
