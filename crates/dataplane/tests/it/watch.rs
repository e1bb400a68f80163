//! Who looks at an interface sees each of its frames once, with what became of it, and nobody else's.

use std::sync::{Arc, Mutex};

use crate::world::cloud::*;
use crate::world::pair::{Pair, TUNNEL_MTU};
use crate::world::{Host, Outcome, link, router, to_router};
use dataplane::{Fate, Seen, WATCHES_MAX, Watch};
use model::{Direction, Duration};
use wire::build;
use wire::vnet::VnetHeader;

#[derive(Debug, Default)]
struct Notes(Mutex<Vec<(Direction, Fate, Vec<u8>)>>);

impl Watch for Notes {
    fn saw(&self, seen: &Seen<'_>) {
        self.0.lock().unwrap().push((seen.direction, seen.fate, seen.frame.to_vec()));
    }
}

impl Notes {
    /// Direction, fate in brief, frame.
    fn take(&self) -> Vec<(char, String, Vec<u8>)> {
        let notes = std::mem::take(&mut *self.0.lock().unwrap());
        let brief = |fate: Fate| fate.to_string().split(':').next().unwrap_or_default().to_owned();
        let letter = |direction| if direction == Direction::Egress { '>' } else { '<' };
        notes.into_iter().map(|(direction, fate, frame)| (letter(direction), brief(fate), frame)).collect()
    }

    fn briefs(&self) -> Vec<(char, String)> {
        self.take().into_iter().map(|(direction, fate, _)| (direction, fate)).collect()
    }
}

fn watched(host: &Host, guest: Guest) -> Arc<Notes> {
    let notes = Arc::new(Notes::default());
    host.shared.watch(guest.eni(), notes.clone()).expect("room for one more");
    notes
}

fn udp(from: Guest, to: Guest, dport: u16, payload: &[u8]) -> Vec<u8> {
    let (src, dst) = ((from.address(false), 40_000).into(), (to.address(false), dport).into());
    build::udp(link(from, to), src, dst, payload)
}

fn of(pairs: &[(char, &str)]) -> Vec<(char, String)> {
    pairs.iter().map(|(direction, fate)| (*direction, (*fate).to_owned())).collect()
}

#[test]
fn both_ends_see_what_passed_and_what_was_refused() {
    let mut host = Host::new(Cloud::guarded());
    let (sender, receiver, other) = (watched(&host, A1), watched(&host, B1), watched(&host, A3));
    let (good, bad) = (udp(A1, B1, 53, b"good"), udp(A1, B1, 54, b"bad"));
    let (_, delivered) = host.send(A1, &good).delivered();
    assert_eq!(host.send(A1, &bad).code(), "D22");
    assert_eq!(sender.take(), [('>', "pass".into(), good), ('>', "D22".into(), bad.clone())]);
    assert_eq!(receiver.take(), [('<', "pass".into(), delivered), ('<', "D22".into(), bad)]);
    assert_eq!(other.take(), []);
    let stray = build::udp(to_router(A1), "10.99.0.1:1".parse().unwrap(), "10.17.1.10:53".parse().unwrap(), b"x");
    assert_eq!(host.send(A1, &stray).code(), "D03");
    assert_eq!((sender.briefs(), receiver.briefs()), (of(&[('>', "D03")]), vec![]), "refused on its way out");
}

#[test]
fn the_router_is_seen_too() {
    let mut host = Host::new(Cloud::open());
    let notes = watched(&host, A1);
    let question = build::arp_request(A1.mac(), A1.v4(), "10.16.1.1".parse().unwrap());
    let answer = host.send(A1, &question).answer();
    let seen = notes.take();
    assert_eq!(
        seen[0],
        ('>', "answered by the router".into(), question),
        "as it was sent, not what stands in its place"
    );
    assert_eq!((seen.len(), &seen[1]), (2, &('<', "from the router".into(), answer)));
    host.pass_time(Duration::seconds(3600));
    host.worker.handle_timeout(host.now);
    assert!(notes.briefs().contains(&('<', "from the router".into())), "advertised unasked");
}

#[test]
fn looking_changes_nothing_and_ends() {
    let mut host = Host::new(Cloud::guarded());
    let frame = udp(A1, B1, 53, b"x");
    (0..2).for_each(|_| _ = host.send(A1, &frame).delivered());
    let (generation, before) = (host.shared.generation(), host.counters(A1));
    let notes = Arc::new(Notes::default());
    let id = host.shared.watch(A1.eni(), notes.clone()).unwrap();
    host.send(A1, &frame).delivered();
    assert_eq!((host.shared.generation(), notes.briefs()), (generation, of(&[('>', "pass")])));
    assert_eq!(host.counters(A1).cache_hits, before.cache_hits + 1, "what was remembered still is");
    // New tables do not end it.
    host.apply();
    host.send(A1, &frame).delivered();
    assert_eq!(notes.briefs().len(), 1);
    host.shared.unwatch(id);
    host.send(A1, &frame).delivered();
    assert_eq!(notes.take(), []);
    let ids: Vec<_> = (0..=WATCHES_MAX).map(|_| host.shared.watch(A1.eni(), notes.clone())).collect();
    assert_eq!(ids.iter().flatten().count(), WATCHES_MAX);
    assert_eq!(ids.last(), Some(&None));
}

#[test]
fn between_hosts_each_end_sees_its_own_verdict() {
    let mut pair = Pair::new(Cloud::guarded());
    let (sender, receiver) = (watched(&pair.hosts[0], A1), watched(&pair.hosts[1], B1));
    let plain = VnetHeader::default();
    let delivered = pair.carry(A1, &plain, &udp(A1, B1, 53, b"good"));
    assert!(pair.carry(A1, &plain, &udp(A1, B1, 54, b"bad")).is_empty());
    assert_eq!(sender.briefs(), of(&[('>', "pass"), ('>', "pass")]), "this end refuses nothing");
    let seen = receiver.take();
    assert_eq!(seen[0], ('<', "pass".into(), delivered[0].2.clone()));
    let ('<', fate, frame) = &seen[1] else { panic!("{seen:?}") };
    assert_eq!((fate.as_str(), seen.len()), ("D22", 2));
    assert_eq!((&frame[..12], &frame[12..]), (&[0; 12][..], &udp(A1, B1, 54, b"bad")[12..]), "it never had a link");
    // A stream is seen as it is handed over: whole.
    let (src, dst) = ((A1.address(false), 40_000).into(), (B1.address(false), 443).into());
    let (header, frame) = build::tcp_super_frame(to_router(A1), src, dst, &[7; 30_000], 1300);
    let delivered = pair.carry(A1, &header, &frame);
    let seen = receiver.take();
    assert_eq!(
        seen.iter().map(|(.., frame)| frame).collect::<Vec<_>>(),
        delivered.iter().map(|d| &d.2).collect::<Vec<_>>()
    );
    assert!(seen.iter().all(|(_, fate, frame)| fate == "pass" && frame.len() > usize::from(TUNNEL_MTU)));
    assert_eq!(seen[0].2[6..12], router(B1).octets());
}

#[test]
fn what_waits_for_keys_is_seen_once() {
    let mut pair = Pair::without_keys(Cloud::open());
    let notes = watched(&pair.hosts[0], A1);
    let frame = udp(A1, B1, 53, b"x");
    assert_eq!(pair.send(A1, &VnetHeader::default(), &frame), Outcome::Held);
    assert_eq!(notes.take(), []);
    let host = &mut pair.hosts[0];
    host.pass_time(Duration::seconds(10));
    assert_eq!(host.worker.poll_released(&mut host.buf, host.now), None);
    assert_eq!(notes.take(), [('>', "D15".into(), frame)]);
}
