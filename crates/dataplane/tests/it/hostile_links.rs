//! What hostile hosts and a hostile underlay try (users' abuse cases 1-16), where each is stopped, and what was missing at this level.
//!
//! [`GUARDS`] names for every case the tests that fail without its guard; a test that is renamed or lost is noticed. That they fail was
//! tried, guard by guard, by taking each out:
//!
//! ```text
//!  1  Window::check and mark before delivery; the window's edge and its blank blocks; the grace of a retired association;
//!     a key of the association's own
//!  2  each of the eight parts of a key's context; epochs that grow; the count of grants; Agreement::reset; 64-bit numbers
//!  3  mark only after authentication; the association's own SPI; the ICV, which the number and the SPI rest on too
//!  4  another key for each direction, and another SPI (each holds alone)
//!  5  what does not open is dropped; what is not ESP is dropped
//!  6  no underlay, no sealing                         7  no key, no packet: the link's own key, another generation with other
//!  8  one group, one suite, one protocol, no tickets     keys, frames that wait counted and aged
//!  9  time, key in the intent, proof of the key; the table's sessions ended when the intent forgets a key
//! 10  the host that was dialled; the chain; nothing of the request but its key
//! 11  strangers of one source and of all; associations and wishes of one host; answers to unknown SPIs
//! 12, 13  answers go where the intent says, not where a datagram came from
//! 14  entitlement asked anew at both ends; revoked keys; peers that are active
//! 15  only a digest is kept
//! 16  the receiver's entitlement, each of its six conditions; the sender's host; the target's VPC
//! ```
//!
//! What is guarded twice (the ICV and the number in 3, key and SPI in 4, tickets and their store in 8) fails only without both.

use std::net::SocketAddr;

use crate::world::cloud::*;
use crate::world::guards::{self, Guard};
use crate::world::pair::{Datagrams, Pair, address, host_id, inside, peering};
use crate::world::{Outcome, link};
use dataplane::{Action, Config, HEADROOM, Shared};
use model::{Domain, Duration, Scope};
use policy::Denied;
use wire::build;
use wire::esp::{HEADER_LEN, next_header, sealed_len};
use wire::vnet::VnetHeader;

const GUARDS: [Guard; 49] = [
    (
        1,
        "replay inside and outside the window",
        "tunnel/tests/it/packets.rs",
        "a_replay_is_seen_inside_and_outside_the_window",
    ),
    (1, "the window against a naive set", "tunnel/src/replay.rs", "the_window_is_the_naive_set"),
    (1, "replay through the data plane", "dataplane/tests/it/links.rs", "a_datagram_opens_once"),
    (1, "replay after a rekey", "tunnel/tests/it/life.rs", "late_packets_open_for_the_grace_and_no_longer"),
    (
        1,
        "replay after a restart",
        "dataplane/tests/it/hostile_links.rs",
        "what_was_recorded_opens_neither_after_a_rekey_nor_after_a_restart",
    ),
    (2, "two hosts, scopes or threads with one key", "tunnel/src/context.rs", "one_change_is_enough"),
    (2, "one key twice from one receiver", "tunnel/tests/it/life.rs", "a_grant_that_could_repeat_a_key_is_not_used"),
    (2, "one SPI twice", "tunnel/tests/it/life.rs", "the_same_spi_again_has_another_key"),
    (2, "a counter that starts again", "tunnel/tests/it/life.rs", "a_restarted_sender_begins_with_a_new_key"),
    (2, "a snapshot or clone", "tunnel/tests/it/life.rs", "a_restored_or_cloned_host_begins_anew"),
    (2, "2^32 packets", "tunnel/src/replay.rs", "numbers_around_a_carry_are_accepted_once"),
    (
        3,
        "changed ciphertext, ICV or header",
        "tunnel/tests/it/packets.rs",
        "every_flipped_bit_is_seen_and_marks_nothing",
    ),
    (3, "another SPI", "tunnel/tests/it/packets.rs", "another_spi_zero_and_unknown_contents_are_malformed"),
    (3, "truncated", "dataplane/tests/it/hostile_links.rs", "a_datagram_of_any_other_length_brings_nothing"),
    (4, "an own packet sent back", "tunnel/tests/it/packets.rs", "an_own_packet_sent_back_does_not_open"),
    (4, "an own datagram sent back", "dataplane/tests/it/hostile_links.rs", "an_own_datagram_comes_back_to_nothing"),
    (5, "anything that is not sealed", "dataplane/tests/it/links.rs", "nothing_that_is_not_sealed_gets_in"),
    (5, "a packet in clear", "dataplane/tests/it/hostile_links.rs", "a_packet_in_clear_is_no_packet"),
    (6, "no secure channel to be had", "dataplane/tests/it/hostile_links.rs", "a_host_that_cannot_seal_sends_nothing"),
    (
        7,
        "the first packets of a link",
        "dataplane/tests/it/links.rs",
        "without_keys_packets_wait_and_never_go_in_clear",
    ),
    (7, "keys that never come", "dataplane/tests/it/links.rs", "who_waits_too_long_or_is_one_too_many_is_counted"),
    (
        7,
        "keys that go while packets flow",
        "dataplane/tests/it/hostile_links.rs",
        "a_link_that_loses_its_keys_waits_for_others",
    ),
    (
        8,
        "TLS 1.2, no post-quantum group, other ciphers",
        "agent/src/session/tests/strangers.rs",
        "what_would_make_a_session_weaker_is_refused_by_name",
    ),
    (
        8,
        "resumption and 0-RTT",
        "agent/src/session/tests/strangers.rs",
        "a_client_that_does_all_right_is_let_in_and_gets_no_ticket",
    ),
    (9, "an expired certificate", "agent/src/session/tests/mod.rs", "an_expired_certificate_is_refused_by_both_ends"),
    (9, "a revoked key", "agent/src/session/tests/mod.rs", "a_revoked_key_loses_its_sessions_and_gets_no_new_one"),
    (
        9,
        "a cloned certificate",
        "agent/src/session/tests/strangers.rs",
        "a_copied_certificate_without_its_key_proves_nothing",
    ),
    (10, "another host at the address", "agent/src/session/tests/mod.rs", "the_host_that_was_dialled_must_answer"),
    (
        10,
        "a name that was asked for",
        "server/src/authority.rs",
        "a_certificate_says_what_the_authority_knows_and_nothing_that_the_request_says",
    ),
    (
        10,
        "another authority",
        "agent/src/session/tests/strangers.rs",
        "another_authority_is_refused_by_both_ends_though_it_has_the_same_name",
    ),
    (
        11,
        "half-open sessions",
        "agent/src/session/tests/strangers.rs",
        "a_crowd_of_strangers_ends_only_others_of_the_crowd",
    ),
    (11, "wishes without end", "tunnel/tests/it/hostile_host.rs", "a_flood_of_wishes_is_bounded_and_hurts_nobody_else"),
    (11, "forged SPIs as an amplifier", "tunnel/tests/it/hostile_host.rs", "forged_spis_make_few_messages"),
    (
        12,
        "a spoofed source to move an endpoint",
        "dataplane/tests/it/hostile_links.rs",
        "where_a_datagram_comes_from_moves_nobody",
    ),
    (
        13,
        "an authentic datagram from elsewhere",
        "dataplane/tests/it/hostile_links.rs",
        "where_a_datagram_comes_from_moves_nobody",
    ),
    (
        14,
        "traffic after the peering",
        "dataplane/tests/it/links.rs",
        "a_deleted_peering_ends_what_was_permitted_at_both_ends",
    ),
    (14, "keys after the peering", "tunnel/tests/it/life.rs", "either_end_alone_severs_a_domain"),
    (
        14,
        "open flows after the peering",
        "peerway/tests/up/links.rs",
        "three_hosts_carry_two_peered_networks_and_stop_when_the_peering_goes",
    ),
    (
        15,
        "a token's compare tells of it",
        "server/src/authority/tokens.rs",
        "the_secret_is_not_in_the_file_and_only_the_owner_reads_it",
    ),
    (
        16,
        "a domain that the sender does not carry",
        "tunnel/tests/it/hostile_host.rs",
        "foreign_domains_are_refused_and_nothing_else_happens",
    ),
    (
        16,
        "who is entitled to what",
        "dataplane/src/entitled.rs",
        "each_link_is_permitted_by_its_own_object_and_no_other",
    ),
    (
        16,
        "a lie inside a valid link",
        "dataplane/tests/it/links.rs",
        "a_host_speaks_only_for_the_interfaces_that_it_carries",
    ),
    (16, "random clouds", "sim/tests/agree.rs", "hosts_change_nothing"),
    (
        5,
        "packets that would be good, not sealed",
        "dataplane/tests/it/corpus.rs",
        "every_file_of_the_corpus_passes_the_harness",
    ),
    (11, "strangers from everywhere", "agent/src/session/table.rs", "strangers_from_everywhere_are_bounded_too"),
    (11, "associations of one host", "tunnel/tests/it/hostile_host.rs", "a_full_host_is_refused_more_but_may_renew"),
    (
        14,
        "a revoked key, for whoever holds it still",
        "tunnel/src/sa/inbound.rs",
        "a_lock_held_does_not_outlast_a_revocation",
    ),
    (
        16,
        "a route target without a link to its VPC",
        "dataplane/src/entitled.rs",
        "a_route_target_is_reached_only_from_a_vpc_that_is_linked_with_its_own",
    ),
    (
        16,
        "a route target of another VPC than the link's",
        "dataplane/tests/it/hostile_links.rs",
        "a_link_to_a_route_target_leads_into_its_own_vpc_only",
    ),
];

#[test]
fn every_abuse_case_has_a_guard_that_is_tested() {
    guards::check(&GUARDS, 1..=16);
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let (a, b) = (SocketAddr::new(A1.address(false), 7), SocketAddr::new(B1.address(false), 53));
    build::udp(link(A1, B1), a, b, payload)
}

fn sealed(pair: &mut Pair) -> Vec<Datagrams> {
    assert_eq!(pair.send(A1, &VnetHeader::default(), &frame(b"secret")), Outcome::Sealed);
    pair.take(0)
}

#[test]
fn what_was_recorded_opens_neither_after_a_rekey_nor_after_a_restart() {
    let mut pair = Pair::new(Cloud::open());
    let recorded = sealed(&mut pair);
    // The newer key of the same link; the older one is still there.
    pair.agree(0, peering(A, B));
    assert_eq!(pair.give(1, &recorded).len(), 1);
    assert_eq!(pair.give(1, &recorded), []);
    // The receiver has begun anew, and by chance gave the same SPI again.
    let spi = pair.inbound[1][0].identity().spi;
    pair.inbound[1].clear();
    pair.outbound[0].clear();
    pair.agree_as(0, peering(A, B), spi, 99);
    assert_eq!(pair.give(1, &recorded), []);
    assert_eq!(pair.inbound[1][0].authentication_failures(), 1);
    let batch = sealed(&mut pair);
    assert_eq!(pair.give(1, &batch).len(), 1, "and the new key works");
}

#[test]
fn a_datagram_of_any_other_length_brings_nothing() {
    let mut pair = Pair::new(Cloud::open());
    let whole = sealed(&mut pair).remove(0).0;
    for len in 0..whole.len() {
        assert_eq!(pair.give(1, &[(whole[..len].to_vec(), len.max(1) as u16)]), [], "{len}");
    }
    let longer = [&whole[..], &[0; 4]].concat();
    let len = longer.len() as u16;
    assert_eq!(pair.give(1, &[(longer, len)]), []);
    let len = whole.len() as u16;
    assert_eq!(pair.give(1, &[(whole, len)]).len(), 1, "none of it has marked the true one as seen");
}

#[test]
fn an_own_datagram_comes_back_to_nothing() {
    let mut pair = Pair::new(Cloud::open());
    let own = sealed(&mut pair);
    assert_eq!(pair.give(0, &own), []);
    assert_eq!(pair.hosts[0].shared.stray_datagrams().unknown_spi, 1);
    assert_eq!(pair.give(1, &own).len(), 1);
}

#[test]
fn a_packet_in_clear_is_no_packet() {
    let mut pair = Pair::new(Cloud::open());
    // As long as a sealed one may be: a multiple of four bytes with its trailer.
    let frame = frame(b"clear!");
    let packet = &frame[14..];
    let spi = pair.inbound[1][0].identity().spi.to_be_bytes();
    let vxlan = [&[8, 0, 0, 0, 0, 0, 1, 0][..], &frame].concat();
    // As an association's whose key it does not have: header, number, packet, padding.
    let unsealed = [&spi[..], &[0, 0, 0, 1], &[0, 0, 0, 0, 0, 0, 0, 1], packet, &[0, 4], &[0; 16]].concat();
    for bytes in [packet.to_vec(), frame.clone(), vxlan, unsealed, vec![0xff]] {
        let len = bytes.len() as u16;
        assert_eq!(pair.give(1, &[(bytes, len)]), []);
    }
    assert_eq!(pair.hosts[1].counters(B1).delivered.packets, 0);
}

#[test]
fn a_host_that_cannot_seal_sends_nothing() {
    let mut cloud = Cloud::open();
    cloud.place(B1, host_id(1));
    // No underlay was given: nothing is ever sealed, and nothing leaves.
    let mut host = crate::world::Host::new(cloud);
    for _ in 0..3 {
        assert_eq!(host.send(A1, &frame(b"x")), Outcome::Denied(Denied::NoSecureChannel));
    }
    assert!(host.worker.poll_datagrams(true).is_none() && host.worker.poll_want().is_none());
    assert_eq!(host.counters(A1).denied(&Denied::NoSecureChannel).packets, 3);
    // The first frame of all meets no policy at all.
    let mut worker = std::sync::Arc::new(Shared::new(Config::new(host_id(0), 1))).worker();
    let mut bytes = build::with_vnet(&VnetHeader::default(), &frame(b"x"));
    let len = bytes.len();
    let action = worker.guest_frame(crate::world::port_of(A1), &mut bytes, len, host.now);
    assert!(matches!(action, Action::Drop(_)), "{action:?}");
}

#[test]
fn a_link_that_loses_its_keys_waits_for_others() {
    let mut pair = Pair::new(Cloud::open());
    let first = sealed(&mut pair);
    assert_eq!(pair.give(1, &first).len(), 1);
    pair.outbound[0].clear();
    pair.connect();
    // A verdict that is remembered leads to no clear packet either.
    for _ in 0..2 {
        assert_eq!(pair.send(A1, &VnetHeader::default(), &frame(b"secret")), Outcome::Held);
    }
    assert!(pair.take(0).is_empty());
    // Keys for other links are none for this one.
    pair.agree(0, inside(A));
    assert_eq!(pair.release(0), []);
    pair.agree(0, peering(A, B));
    assert_eq!(pair.release(0), [Outcome::Sealed, Outcome::Sealed]);
    pair.hosts[0].pass_time(Duration::seconds(4));
    assert_eq!(pair.release(0), []);
}

#[test]
fn where_a_datagram_comes_from_moves_nobody() {
    let mut pair = Pair::new(Cloud::open());
    let (authentic, forged) = (sealed(&mut pair), vec![7; 80]);
    let elsewhere: SocketAddr = ([198, 18, 9, 9], 4500).into();
    let mut delivered = 0;
    for bytes in [&authentic[0].0, &forged, &authentic[0].0] {
        let host = &mut pair.hosts[1];
        let mut buffer = [&[0; HEADROOM][..], bytes].concat();
        let mut write = |_, _: &[u8]| {
            delivered += 1;
            true
        };
        host.worker.datagrams(elsewhere, &mut buffer, bytes.len() as u16, host.now, &mut write);
        host.worker.flush_deliveries(host.now, &mut write);
    }
    assert_eq!(delivered, 1, "who sealed it says the key, not the address");
    let (a, b) = (SocketAddr::new(A1.address(false), 7), SocketAddr::new(B1.address(false), 53));
    assert_eq!(pair.send(B1, &VnetHeader::default(), &build::udp(link(B1, A1), b, a, b"y")), Outcome::Sealed);
    let run = pair.hosts[1].worker.poll_datagrams(true).unwrap();
    assert_eq!(run.to, address(0), "answers go where the intent says");
}

#[test]
fn a_link_to_a_route_target_leads_into_its_own_vpc_only() {
    let lie = Domain { from: vpc_id(A), to: vpc_id(A), scope: Scope::RouteTarget(B1.eni()) };
    let truth = Domain { to: vpc_id(B), ..lie };
    for (domain, delivered) in [(truth, 1), (lie, 0)] {
        let mut pair = Pair::without_keys(Cloud::open());
        pair.agree(0, domain);
        let packet = &frame(b"routed")[14..];
        let mut datagram = vec![0; sealed_len(packet.len())];
        datagram[HEADER_LEN..][..packet.len()].copy_from_slice(packet);
        let sa = &pair.outbound[0][0];
        let number = sa.reserve(1, packet.len() as u64).unwrap();
        let len = sa.seal(number, &mut datagram, packet.len(), next_header::IPV4) as u16;
        assert_eq!(pair.give(1, &[(datagram, len)]).len(), delivered, "{domain:?}");
    }
}
