//! Where a flow lay when it was last looked for, so that its next packet need not search.
//!
//! A hint is believed only as far as it is checked: interface, flow and life are those of the entry that lies there. A wrong or
//! missing one costs a search and changes nothing else.

use model::{Direction, NetworkInterfaceId, Time};

use super::{Conntrack, Key, as_sent, flags, trackable};
use crate::{Flow, Track, Tracked};

/// A slot. Another flow may lie there by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint(u32);

impl Conntrack {
    /// Where the flow of a packet that passes this interface lies.
    pub fn hint(&self, interface: NetworkInterfaceId, direction: Direction, flow: &Flow) -> Option<Hint> {
        let (zone, key) = (*self.interfaces.get(&interface)?, trackable(flow)?);
        let slot = self.slot(&Key { zone, flow: as_sent(direction, key) })?;
        u32::try_from(slot).ok().map(Hint)
    }

    /// [`Conntrack::lookup`] and [`Conntrack::commit`] of one more packet of a flow that goes on, in one step: `true` if it lies there,
    /// is `seen` as it was then and `track` goes on with it. `false`: nothing was done.
    ///
    /// Not for packets that open a connection, which are something new even where a flow is known.
    pub fn go_on_at(
        &mut self,
        Hint(slot): Hint,
        (interface, direction): (NetworkInterfaceId, Direction),
        flow: &Flow,
        (seen, track): (Option<Tracked>, Track),
        now: Time,
    ) -> bool {
        let (Some(Some(entry)), Some(flow_key)) = (self.slots.get(slot as usize), trackable(flow)) else {
            return false;
        };
        // An interface has one live zone, so that of the entry need not be searched for: it is this interface's, or the entry is not.
        let zone = entry.key.zone;
        let is_its = self.zones.get(zone as usize).is_some_and(|zone| zone.is_live && zone.interface == interface);
        let key = Key { zone, flow: as_sent(direction, flow_key) };
        let known = match (entry.is_marker, track) {
            (false, Track::Established) => Some(Tracked::Established),
            (true, Track::Untracked { .. }) => (direction != entry.initiator).then_some(Tracked::UntrackedReply),
            _ => return false,
        };
        let goes_on = is_its && entry.key == key && entry.expires > now && known == seen && !flags(flow).is_opening();
        if goes_on {
            self.advance(slot as usize, direction, flow, now);
        }
        goes_on
    }
}

#[cfg(test)]
mod tests {
    use super::super::Entry;
    use super::*;
    use crate::group::opposite;
    use crate::testing::arbitrary;
    use crate::{Limits, Timeouts};
    use alloc::vec::Vec;
    use model::{Duration, ResourceId};
    use proptest::prelude::*;

    fn interface(n: u128) -> NetworkInterfaceId {
        NetworkInterfaceId::from_random(n)
    }

    fn direction(is_out: bool) -> Direction {
        if is_out { Direction::Egress } else { Direction::Ingress }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// Whoever follows hints, right, old or of another flow, sees and leaves the same as who searches.
        #[test]
        fn a_hint_changes_nothing_but_time(
            steps in prop::collection::vec(
                (arbitrary::flow(), 0_u128..2, any::<bool>(), 0_i64..40_000, 0_usize..8, 0_u8..20),
                1..60,
            ),
        ) {
            let limits = Limits { flows: 12, flows_per_interface: 8 };
            let new = || Conntrack::new(limits, Timeouts::default(), 7);
            let (mut with, mut without, mut now) = (new(), new(), Time::EPOCH);
            let mut hints: Vec<Hint> = Vec::new();
            for (flow, n, is_out, wait, which, what) in steps {
                now = now + Duration::millis(wait);
                let (eni, direction) = (interface(n), direction(is_out));
                let seen = without.lookup(eni, direction, &flow, now);
                prop_assert_eq!(with.lookup(eni, direction, &flow, now), seen);
                let track = match (seen, what) {
                    (Some(Tracked::Established), _) => Track::Established,
                    (Some(Tracked::Related), _) => Track::Related,
                    (Some(Tracked::UntrackedReply), _) => Track::Untracked { initiator: opposite(direction) },
                    (None, 0..10) => Track::New,
                    (None, _) => Track::Untracked { initiator: direction },
                };
                if what == 19 {
                    with.flush(eni);
                    without.flush(eni);
                    continue;
                }
                let committed = without.commit(eni, direction, &flow, track, now);
                let hint = hints.get(which).copied().or_else(|| with.hint(eni, direction, &flow));
                let is_done = hint.is_some_and(|hint| with.go_on_at(hint, (eni, direction), &flow, (seen, track), now));
                if !is_done {
                    prop_assert_eq!(with.commit(eni, direction, &flow, track, now), committed);
                }
                hints.extend(with.hint(eni, direction, &flow));
                if hints.len() > 6 {
                    hints.remove(0);
                }
                prop_assert_eq!((with.len(), with.markers), (without.len(), without.markers));
                let entries = |table: &Conntrack| {
                    let entry = |e: &Entry| (e.key, e.expires, e.state, e.is_marker);
                    table.slots.iter().flatten().map(entry).collect::<Vec<_>>()
                };
                prop_assert_eq!(entries(&with), entries(&without));
            }
        }
    }

    #[test]
    fn a_flow_that_goes_on_is_not_searched_for() {
        let (mut table, eni) =
            (Conntrack::new(Limits { flows: 8, flows_per_interface: 8 }, Timeouts::default(), 7), interface(1));
        let flow = Flow::udp("10.0.0.1".parse().unwrap(), 1, "10.0.0.2".parse().unwrap(), 2);
        let out = (eni, Direction::Egress);
        table.commit(eni, Direction::Egress, &flow, Track::New, Time::EPOCH).unwrap();
        let hint = table.hint(eni, Direction::Egress, &flow).unwrap();
        let known = (Some(Tracked::Established), Track::Established);
        let later = |seconds| Time::EPOCH + Duration::seconds(seconds);
        assert!(table.go_on_at(hint, out, &flow, known, later(29)));
        assert!(table.go_on_at(hint, out, &flow, known, later(58)), "it was told at 29");
        assert!(!table.go_on_at(hint, (interface(2), Direction::Egress), &flow, known, later(58)), "not another's");
        assert!(!table.go_on_at(hint, out, &flow.reversed(), known, later(58)), "another flow");
        assert!(!table.go_on_at(hint, out, &flow, known, later(88)), "it has ended");
        table.flush(eni);
        assert!(!table.go_on_at(hint, out, &flow, known, later(59)), "it was forgotten");
    }
}
