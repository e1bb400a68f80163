//! A host with a valid session that says whatever it likes to another one.

use std::collections::BTreeMap;

use model::{Duration, Time};
use proptest::prelude::*;
use tunnel::{
    Agreement, Config, Effect, Entitlements, Exporter, GRACE, KEY_MATERIAL, KeyMaterial, Message, OpenError,
    RECEIVING_PER_HOST, RECEIVING_PER_LINK, Reason, Role, SERVER_SESSIONS_PER_HOST, SHARDS_MAX, SessionId,
};

use crate::world::{domain, host};

const NOW: Time = Time::from_unix_millis(1_800_000_000_000);

struct Secrets;

impl Exporter for Secrets {
    fn export(&self, session: SessionId, context: &[u8]) -> Option<KeyMaterial> {
        let digest = ring::digest::digest(&ring::digest::SHA512, &[&session.0.to_be_bytes()[..], context].concat());
        KeyMaterial::fill::<()>(|bytes| {
            bytes.copy_from_slice(&digest.as_ref()[..KEY_MATERIAL]);
            Ok(())
        })
        .ok()
    }
}

/// Host 0. Host 1 may send to it in one domain, host 2 in another; it may send to both. Host 3 is certified and nothing more.
fn victim() -> Agreement {
    let mut agreement = Agreement::new(&Config { host: host(0), underlay_mtu: 1500, seed: [4; 32] }, NOW);
    let may_send_to_me = [(host(1), [domain(1, 0)].into()), (host(2), [domain(2, 0)].into())].into();
    let i_may_send_to = [(host(1), [domain(0, 1)].into()), (host(2), [domain(0, 2)].into())].into();
    agreement.entitle(Entitlements { may_send_to_me, i_may_send_to }, NOW);
    for n in 1..=3 {
        agreement.session_up(SessionId(n), host(n as usize), Role::Server, true, NOW);
        agreement.session_up(SessionId(10 + n), host(n as usize), Role::Client, true, NOW);
    }
    effects(&mut agreement);
    agreement
}

fn effects(agreement: &mut Agreement) -> Vec<Effect> {
    std::iter::from_fn(|| agreement.poll_effect()).collect()
}

fn say(agreement: &mut Agreement, session: u64, message: Message) -> Vec<Effect> {
    agreement.message(SessionId(session), message, NOW, &Secrets);
    effects(agreement)
}

fn want(from: u8, to: u8, shard: u16) -> Message {
    Message::Want { request: 77, domain: domain(from, to), shard }
}

fn granted(effects: &[Effect]) -> Option<u32> {
    effects.iter().find_map(|effect| match effect {
        Effect::Send { message: Message::Grant { spi, .. }, .. } => Some(*spi),
        _ => None,
    })
}

#[test]
fn foreign_domains_are_refused_and_nothing_else_happens() {
    let mut victim = victim();
    for (session, from, to) in
        [(1, 2, 0), (1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 2), (1, 9, 0), (2, 1, 0), (3, 1, 0), (3, 2, 0), (3, 3, 0)]
    {
        let refuse = Message::Refuse { request: 77, reason: Reason::NotEntitled };
        let expected = vec![Effect::Send { session: SessionId(session), message: refuse }];
        assert_eq!(say(&mut victim, session, want(from, to, 0)), expected, "{session} {from} {to}");
    }
    let shard = Message::Refuse { request: 77, reason: Reason::Shard };
    let expected = vec![Effect::Send { session: SessionId(1), message: shard }];
    assert_eq!(say(&mut victim, 1, want(1, 0, SHARDS_MAX)), expected);
    assert_eq!(victim.sas().counts(), (0, 0));
    assert_eq!(victim.status(NOW), []);
    assert_eq!((victim.counters().not_entitled, victim.counters().refused_by_me), (10, 11));
    assert!(granted(&say(&mut victim, 1, want(1, 0, 0))).is_some(), "what is its own");
}

#[test]
fn a_flood_of_wishes_is_bounded_and_hurts_nobody_else() {
    let mut victim = victim();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for n in 0..20_000_u32 {
        for effect in say(&mut victim, 1, want(1, 0, n as u16 % SHARDS_MAX)) {
            if let Effect::Send { message, .. } = effect {
                *reasons.entry(format!("{message:?}").split(' ').next().unwrap().into()).or_default() += 1;
            }
        }
        let (_, inbound) = victim.sas().counts();
        if n % 1000 == 0 {
            assert!(inbound <= usize::from(SHARDS_MAX) * RECEIVING_PER_LINK && inbound <= RECEIVING_PER_HOST);
        }
    }
    assert!(reasons["Grant"] <= 4096 && reasons["Refuse"] >= 15_000, "{reasons:?}");
    assert!(granted(&say(&mut victim, 2, want(2, 0, 0))).is_some(), "another host has its own bounds");
    // The flood ends; a second later there is room again, for a hundred.
    victim.handle_timeout(NOW + Duration::seconds(1));
    let grants = (0..1000).filter(|_| granted(&say_at(&mut victim, 1, want(1, 0, 0), 1)).is_some()).count();
    assert!((90..=110).contains(&grants), "{grants}");
}

fn say_at(agreement: &mut Agreement, session: u64, message: Message, seconds: i64) -> Vec<Effect> {
    agreement.message(SessionId(session), message, NOW + Duration::seconds(seconds), &Secrets);
    effects(agreement)
}

#[test]
fn a_host_ends_only_its_own_associations() {
    let mut victim = victim();
    let spi = granted(&say(&mut victim, 1, want(1, 0, 0))).unwrap();
    for session in [2, 3, 12, 13] {
        for at_once in [false, true] {
            assert_eq!(say(&mut victim, session, Message::Retire { spi, at_once }), []);
        }
        assert_eq!(say(&mut victim, session, Message::Revoke { spi }), []);
    }
    assert!(!victim.sas().inbound(spi).unwrap().is_revoked());
    assert_eq!(victim.counters().unknown_spis, 12);
    assert_eq!(say(&mut victim, 1, Message::Retire { spi, at_once: true }), [Effect::Changed]);
    assert!(victim.sas().inbound(spi).is_none());
}

#[test]
fn retiring_again_and_again_prolongs_nothing() {
    let mut victim = victim();
    let spi = granted(&say(&mut victim, 1, want(1, 0, 0))).unwrap();
    let held = victim.sas().inbound(spi).unwrap().clone();
    for seconds in [0, 20, 29] {
        victim.handle_timeout(NOW + Duration::seconds(seconds));
        say_at(&mut victim, 1, Message::Retire { spi, at_once: false }, seconds);
        assert!(victim.sas().inbound(spi).is_some());
    }
    victim.handle_timeout(NOW + GRACE);
    assert!(victim.sas().inbound(spi).is_none());
    let mut packet = vec![0; 72];
    packet[..4].copy_from_slice(&spi.to_be_bytes());
    (packet[7], packet[15]) = (1, 1);
    assert_eq!(held.lock().open(&mut packet, 0..72, 0), Err(OpenError::Expired));
}

#[test]
fn a_full_host_is_refused_more_but_may_renew() {
    let mut victim = victim();
    let domains = (0..=16).map(|n| domain(n, 100)).collect();
    let may_send_to_me = [(host(1), domains), (host(2), [domain(2, 0)].into())].into();
    victim.entitle(Entitlements { may_send_to_me, ..Entitlements::default() }, NOW);
    effects(&mut victim);
    let links = (0..16).flat_map(|n| (0..SHARDS_MAX).map(move |shard| (n, shard)));
    // The first link has all that one may have.
    for (n, shard) in [(0, 0); RECEIVING_PER_LINK - 1].into_iter().chain(links).take(RECEIVING_PER_HOST) {
        assert!(granted(&say(&mut victim, 1, want(n, 100, shard))).is_some());
    }
    let full = (0, RECEIVING_PER_HOST);
    assert_eq!(victim.sas().counts(), full);
    let refuse = Message::Refuse { request: 77, reason: Reason::TooMany };
    let expected = vec![Effect::Send { session: SessionId(1), message: refuse }];
    assert_eq!(say_at(&mut victim, 1, want(16, 100, 0), 10), expected);
    assert!(granted(&say_at(&mut victim, 1, want(0, 100, 0), 10)).is_some(), "in the place of its oldest");
    assert_eq!(victim.sas().counts(), full);
    assert!(granted(&say_at(&mut victim, 2, want(2, 0, 0), 10)).is_some(), "another host has its own bounds");
}

#[test]
fn another_host_cannot_revoke_what_is_sent_to_its_neighbour() {
    let mut victim = victim();
    victim.want(domain(0, 1), host(1), 0, NOW).unwrap();
    effects(&mut victim);
    // Requests are numbered from 1.
    let grant = Message::Grant { request: 1, spi: 300, epoch: 1, partial_sums: true };
    assert_eq!(say(&mut victim, 12, grant.clone()).len(), 1, "only retired: not asked of this host");
    assert_eq!(victim.sas().counts(), (0, 0));
    say(&mut victim, 11, grant);
    assert_eq!(victim.sas().counts(), (1, 0));
    say(&mut victim, 12, Message::Revoke { spi: 300 });
    say(&mut victim, 2, Message::Revoke { spi: 300 });
    assert_eq!(victim.sas().counts(), (1, 0));
    say(&mut victim, 11, Message::Revoke { spi: 300 });
    assert_eq!(victim.sas().counts(), (0, 0));
}

#[test]
fn a_receiver_that_takes_everything_back_is_asked_once_a_second() {
    let mut victim = victim();
    victim.want(domain(0, 1), host(1), 0, NOW).unwrap();
    let mut wants = 0;
    let mut now = NOW;
    let mut todo = effects(&mut victim);
    for epoch in 1..2000 {
        let asked = todo.iter().find_map(|effect| match effect {
            Effect::Send { message: Message::Want { request, .. }, .. } => Some(*request),
            _ => None,
        });
        if let Some(request) = asked {
            wants += 1;
            victim.message(
                SessionId(11),
                Message::Grant { request, spi: 300, epoch, partial_sums: true },
                now,
                &Secrets,
            );
            victim.message(SessionId(11), Message::Revoke { spi: 300 }, now, &Secrets);
        }
        now = now + Duration::millis(10);
        victim.handle_timeout(now);
        todo = effects(&mut victim);
    }
    assert!((15..=21).contains(&wants), "{wants} in 20 s");
}

#[test]
fn answers_on_a_session_that_asks_and_wishes_on_one_that_answers_end_it() {
    for (session, message) in [
        (1, Message::Grant { request: 1, spi: 300, epoch: 1, partial_sums: true }),
        (1, Message::Refuse { request: 1, reason: Reason::Shard }),
        (11, want(1, 0, 0)),
    ] {
        let mut victim = victim();
        let effects = say(&mut victim, session, message);
        assert_eq!(effects, [Effect::Close { session: SessionId(session) }]);
        assert_eq!((victim.counters().violations, victim.sas().counts()), (1, (0, 0)));
        assert_eq!(say(&mut victim, session, want(1, 0, 0)), [], "and it is deaf from then on");
    }
}

#[test]
fn sessions_of_one_host_are_bounded() {
    let mut victim = victim();
    let mut closed = 0;
    for n in 100..200 {
        victim.session_up(SessionId(n), host(3), Role::Server, true, NOW);
        closed += effects(&mut victim).iter().filter(|it| matches!(it, Effect::Close { .. })).count();
    }
    assert_eq!(closed, 101 - SERVER_SESSIONS_PER_HOST);
}

#[test]
fn forged_spis_make_few_messages() {
    let mut victim = victim();
    let mut messages = 0;
    for spi in 0..100_000 {
        victim.unknown_spi(host(1), spi, NOW);
        messages += effects(&mut victim).len();
    }
    assert!((1..=64).contains(&messages), "{messages}");
    victim.unknown_spi(host(0), 1, NOW);
    assert_eq!(effects(&mut victim), [], "nobody dials himself");
    // A host without a session is dialled, once; and again by the next one when that has failed, but not faster and faster.
    let mut dials = 0;
    let mut now = NOW;
    for spi in 0..60_000 {
        now = now + Duration::millis(1);
        victim.unknown_spi(host(7), spi, now);
        victim.handle_timeout(now);
        if effects(&mut victim).contains(&Effect::Connect { host: host(7) }) {
            dials += 1;
            victim.connect_failed(host(7), now);
        }
    }
    assert!((5..20).contains(&dials), "{dials} in a minute");
    now = now + Duration::seconds(120);
    for n in 0..10 {
        victim.handle_timeout(now);
        if effects(&mut victim).contains(&Effect::Connect { host: host(7) }) {
            assert_eq!(n, 0, "one more for what was left unsaid");
            victim.connect_failed(host(7), now);
        }
        now = now + Duration::seconds(60);
    }
}

fn message() -> impl Strategy<Value = Message> {
    let spi = prop_oneof![0_u32..600, any::<u32>()];
    let request = prop_oneof![0_u64..6, any::<u64>()];
    let reason = prop::sample::select(vec![Reason::NotEntitled, Reason::TooMany, Reason::Shard, Reason::Session]);
    prop_oneof![
        (request.clone(), 0_u8..4, 0_u8..4, any::<u16>()).prop_map(|(request, from, to, shard)| Message::Want {
            request,
            domain: domain(from, to),
            shard: shard % 300
        }),
        (request.clone(), spi.clone(), any::<u64>()).prop_map(|(request, spi, epoch)| Message::Grant {
            request,
            spi,
            epoch,
            partial_sums: true,
        }),
        (request, reason).prop_map(|(request, reason)| Message::Refuse { request, reason }),
        (spi.clone(), any::<bool>()).prop_map(|(spi, at_once)| Message::Retire { spi, at_once }),
        spi.prop_map(|spi| Message::Revoke { spi }),
    ]
}

proptest! {
    #[test]
    fn nothing_that_is_said_panics_or_goes_beyond_the_rights(
        said in prop::collection::vec((prop_oneof![1_u64..4, 11_u64..14, 0_u64..20], message(), 0_i64..100_000), 1..120),
    ) {
        let mut victim = victim();
        let mut now = NOW;
        for (session, message, wait) in said {
            now = now + Duration::millis(wait);
            victim.handle_timeout(now);
            victim.message(SessionId(session), message, now, &Secrets);
            let _ = victim.want(domain(0, 1), host(1), 0, now);
            let _ = victim.want(domain(0, 2), host(2), 1, now);
            for (next, effect) in (100 + session..).zip(effects(&mut victim)) {
                match effect {
                    Effect::Connect { host } if wait % 2 == 0 => victim.connect_failed(host, now),
                    Effect::Connect { host } => victim.session_up(SessionId(next), host, Role::Client, false, now),
                    _ => {}
                }
            }
            for row in victim.status(now) {
                let (a, b) = if row.host == host(1) { (1, row.host == host(1)) } else { (2, row.host == host(2)) };
                prop_assert!(b && (row.domain == domain(a, 0) || row.domain == domain(0, a)), "{row:?}");
            }
            prop_assert!(victim.poll_timeout().is_none_or(|due| due >= now), "what is due is done");
        }
    }
}
