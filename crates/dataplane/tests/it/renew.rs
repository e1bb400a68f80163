//! Ports that are taken over after a change are those that would be made anew.

use std::sync::Arc;

use dataplane::{Binding, PortId, Ports};
use model::intent::VpcSlice;
use proptest::prelude::*;

use crate::world::cloud::*;
use crate::world::{MTU, binding, port_of};

#[derive(Clone, Copy, Debug)]
enum Change {
    Move(usize, u8),
    Down(usize),
    Unplug(usize),
    Mtu(usize, u16),
    Rules(u32),
    /// The same under other pointers.
    Copy,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (0..GUESTS.len(), 1_u8..3).prop_map(|(guest, host)| Change::Move(guest, host)),
        (0..GUESTS.len()).prop_map(Change::Down),
        (0..GUESTS.len()).prop_map(Change::Unplug),
        (0..GUESTS.len(), 1300_u16..1500).prop_map(|(guest, mtu)| Change::Mtu(guest, mtu)),
        prop_oneof![Just(A), Just(B)].prop_map(Change::Rules),
        Just(Change::Copy),
    ]
}

fn follow(old: &[Arc<VpcSlice>], cloud: &Cloud, is_copied: bool) -> Vec<Arc<VpcSlice>> {
    let kept = |slice: &Arc<VpcSlice>| old.iter().find(|old| !is_copied && *old == slice).unwrap_or(slice).clone();
    cloud.arcs().iter().map(kept).collect()
}

fn all(ports: &Ports) -> Vec<dataplane::Port> {
    ports.iter().map(|port| dataplane::Port::clone(port)).collect()
}

proptest! {
    #[test]
    fn what_is_taken_over_equals_what_is_made(changes in prop::collection::vec(change(), 1..20)) {
        let mut cloud = Cloud::guarded();
        let mut bindings: Vec<Binding> = GUESTS.iter().map(|guest| binding(*guest, MTU)).collect();
        let mut slices = follow(&[], &cloud, true);
        let mut ports = Ports::default();
        for change in changes {
            match change {
                Change::Move(guest, to) => cloud.place(GUESTS[guest], host(to)),
                Change::Down(guest) => cloud.endpoint(GUESTS[guest]).is_up ^= true,
                Change::Unplug(guest) => bindings.retain(|binding| binding.interface != GUESTS[guest].eni()),
                Change::Mtu(guest, mtu) => {
                    bindings.retain(|binding| binding.interface != GUESTS[guest].eni());
                    bindings.push(binding(GUESTS[guest], mtu));
                }
                Change::Rules(vpc) => cloud.rules(vpc, Vec::new()),
                Change::Copy => {}
            }
            slices = follow(&slices, &cloud, matches!(change, Change::Copy));
            ports = ports.renew(&slices, &bindings);
            let anew = Ports::new(slices.iter().map(|slice| &**slice), &bindings);
            prop_assert_eq!(all(&ports), all(&anew), "after {:?}", change);
            for guest in GUESTS {
                prop_assert_eq!(ports.of_interface(guest.eni()), anew.of_interface(guest.eni()));
            }
        }
    }
}

#[test]
fn ports_of_a_vpc_that_did_not_change_are_the_very_same() {
    let (mut cloud, bindings) = (Cloud::guarded(), GUESTS.map(|guest| binding(guest, MTU)));
    let before = follow(&[], &cloud, true);
    let old = Ports::default().renew(&before, &bindings);
    cloud.rules(B, Vec::new());
    let new = old.renew(&follow(&before, &cloud, false), &bindings);
    let is_shared = |guest| {
        let of = |ports: &Ports| ports.port(port_of(guest)).cloned();
        of(&old).zip(of(&new)).is_some_and(|(a, b)| Arc::ptr_eq(&a, &b))
    };
    assert_eq!((is_shared(A1), is_shared(B1)), (true, false));
    let mut fewer = bindings.to_vec();
    fewer.retain(|binding| binding.port != port_of(A1));
    let fewer = new.renew(&before, &fewer);
    assert!(fewer.port(port_of(A1)).is_none() && fewer.port(PortId::new(1).unwrap()).is_some());
}
