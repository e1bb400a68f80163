//! Any bytes at all: no panic, an action, a counter.

use dataplane::{Action, PortId};
use proptest::prelude::*;
use wire::vnet::VnetHeader;
use wire::{TcpFlags, build};

use crate::world::cloud::*;
use crate::world::{Host, link, port_of, to_router};

/// Frames from which small changes lead into every corner.
fn seeds() -> Vec<Vec<u8>> {
    let (v4, v6) = (
        |port| std::net::SocketAddr::new(A1.v4().into(), port),
        |port| std::net::SocketAddr::new(A1.v6().into(), port),
    );
    let (to4, to6) = (std::net::SocketAddr::new(B1.v4().into(), 53), std::net::SocketAddr::new(B1.v6().into(), 53));
    let mut frames = vec![
        build::udp(to_router(A1), v4(1), to4, b"hello"),
        build::udp(to_router(A1), v6(1), to6, b"hello"),
        build::tcp(to_router(A1), v4(1), to4, TcpFlags::SYN, b""),
        build::tcp(to_router(A1), v6(1), to6, TcpFlags::ACK, b"data"),
        build::icmp_echo(link(A1, A2), A1.v4().into(), A2.v4().into(), true, 1, 1, b"ping"),
        build::arp_request(A1.mac(), A1.v4(), A2.v4()),
        build::neighbor_solicitation(A1.mac(), A1.v6(), A2.v6()),
        build::router_solicitation(A1.mac(), "fe80::1".parse().unwrap()),
    ];
    frames.extend(build::fragments(&build::udp(to_router(A1), v4(1), to4, &[7; 600]), 1, 256));
    frames.extend(build::fragments(&build::udp(to_router(A1), v6(1), to6, &[7; 600]), 1, 256));
    frames.iter().map(|frame| build::with_vnet(&VnetHeader::default(), frame)).collect()
}

#[derive(Clone, Debug)]
enum Input {
    Noise(Vec<u8>),
    Changed { seed: usize, changes: Vec<(usize, u8)>, cut: Option<usize> },
}

fn input() -> impl Strategy<Value = Input> {
    let changed = (
        0_usize..64,
        prop::collection::vec((0_usize..120, any::<u8>()), 0..5),
        prop::option::weighted(0.2, 0_usize..120),
    );
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..200).prop_map(Input::Noise),
        9 => changed.prop_map(|(seed, changes, cut)| Input::Changed { seed, changes, cut }),
    ]
}

fn bytes_of(input: &Input, seeds: &[Vec<u8>]) -> Vec<u8> {
    match input {
        Input::Noise(bytes) => bytes.clone(),
        Input::Changed { seed, changes, cut } => {
            let mut bytes = seeds[seed % seeds.len()].clone();
            for (at, value) in changes {
                let at = at % bytes.len();
                bytes[at] = *value;
            }
            bytes.truncate(cut.unwrap_or(bytes.len()));
            bytes
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_a_guest_sends_is_counted_and_nothing_panics(inputs in prop::collection::vec((input(), 0_u32..8), 1..60)) {
        let (mut host, seeds) = (Host::new(Cloud::open()), seeds());
        let (mut dropped, mut forwarded, mut answered, mut held) = (0, 0, 0, 0);
        for (input, port) in &inputs {
            let bytes = bytes_of(input, &seeds);
            host.buf[..bytes.len()].copy_from_slice(&bytes);
            let port = PortId::new(*port).unwrap();
            match host.worker.guest_frame(port, &mut host.buf, bytes.len(), host.now) {
                Action::Drop(_) => dropped += 1,
                Action::Forward { port, len } => {
                    prop_assert_eq!(len, bytes.len());
                    prop_assert_eq!(&host.buf[..10], &bytes[..10]);
                    prop_assert_eq!(&host.buf[10..16], &crate::world::guest_of(port).mac().octets());
                    prop_assert_eq!(&host.buf[22..len], &bytes[22..]);
                    forwarded += 1;
                }
                Action::Reply { len } => {
                    prop_assert!(len > 10 && len < 1600);
                    answered += 1;
                }
                Action::Held => held += 1,
                Action::Sealed => panic!("there is no other host"),
            }
        }
        let late = host.transmits().len() as u64;
        host.pass_time(dataplane::FRAGMENT_LIFE);
        host.worker.handle_timeout(host.now);
        answered += host.transmits().len() as u64;
        let all: Vec<_> = GUESTS.iter().map(|guest| host.counters(*guest)).chain([host.shared.stray_counters()]).collect();
        let sum = |of: fn(&dataplane::Counters) -> u64| all.iter().map(of).sum::<u64>();
        prop_assert_eq!(sum(|counters| counters.received.packets), inputs.len() as u64);
        prop_assert_eq!(sum(|counters| counters.delivered.packets), forwarded + late);
        prop_assert_eq!(sum(|counters| counters.answered.packets), answered);
        // Every frame that was held came out late or was refused.
        prop_assert_eq!(sum(|counters| counters.denied_total().packets), dropped + held - late);
    }
}

#[test]
fn lengths_that_are_wrong_do_not_panic() {
    let mut host = Host::new(Cloud::open());
    for len in [0, 1, 9, 10, 11, 23, 24, usize::MAX] {
        let mut buf = [0; 24];
        let action = host.worker.guest_frame(port_of(A1), &mut buf, len, host.now);
        assert!(matches!(action, Action::Drop(_)), "{len}");
    }
}
