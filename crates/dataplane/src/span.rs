//! Which bytes of a datagram have been seen? Ranges that never overlap (spec 11.5 D34; RFC 5722).

use std::ops::Range;

/// Gaps that a datagram may have at one time; fragments that arrive in order leave none.
pub(crate) const RANGES_MAX: usize = 16;

/// Why a range does not fit to those seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// Some byte was seen before, or lies behind the end.
    Overlap,
    /// More than [`RANGES_MAX`] separate ranges.
    Scattered,
}

/// Bytes seen, as sorted ranges with gaps between them, and the datagram's end once the last piece told it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spans {
    ranges: [(u32, u32); RANGES_MAX],
    count: usize,
    end: Option<u32>,
}

impl Spans {
    /// Takes a range in; `is_last` says that the datagram ends where it ends.
    pub(crate) fn insert(&mut self, range: Range<u32>, is_last: bool) -> Result<(), Misfit> {
        let seen_up_to = self.ranges().last().map_or(0, |last| last.1);
        let end = if is_last { Some(range.end) } else { self.end };
        let is_second_end = is_last && self.end.is_some();
        if range.is_empty() || is_second_end || end.is_some_and(|end| range.end > end || seen_up_to > end) {
            return Err(Misfit::Overlap);
        }
        let at = self.ranges().partition_point(|seen| seen.1 <= range.start);
        if self.ranges().get(at).is_some_and(|next| next.0 < range.end) {
            return Err(Misfit::Overlap);
        }
        let joins_left = at > 0 && self.ranges[at - 1].1 == range.start;
        let joins_right = at < self.count && self.ranges[at].0 == range.end;
        match (joins_left, joins_right) {
            (true, true) => {
                self.ranges[at - 1].1 = self.ranges[at].1;
                self.ranges.copy_within(at + 1..self.count, at);
                self.count -= 1;
            }
            (true, false) => self.ranges[at - 1].1 = range.end,
            (false, true) => self.ranges[at].0 = range.start,
            (false, false) if self.count == RANGES_MAX => return Err(Misfit::Scattered),
            (false, false) => {
                self.ranges.copy_within(at..self.count, at + 1);
                self.ranges[at] = (range.start, range.end);
                self.count += 1;
            }
        }
        self.end = end;
        Ok(())
    }

    /// Every byte from the first to the end has been seen.
    pub(crate) fn is_complete(&self) -> bool {
        self.end.is_some_and(|end| self.ranges() == [(0, end)])
    }

    fn ranges(&self) -> &[(u32, u32)] {
        &self.ranges[..self.count]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a plain map of bytes: the same ranges are refused, and it is complete when that is full.
        #[test]
        fn agrees_with_a_map_of_bytes(pieces in prop::collection::vec((0_u32..64, 1_u32..16, prop::bool::weighted(0.1)), 0..40)) {
            let (mut spans, mut seen, mut end) = (Spans::default(), [false; 80], None);
            for (start, len, is_last) in pieces {
                let range = start..start + len;
                let free = !seen[start as usize..(start + len) as usize].contains(&true);
                let inside = end.is_none_or(|end| range.end <= end && !is_last);
                let ends_all = !is_last || !seen[range.end as usize..].contains(&true);
                match spans.insert(range.clone(), is_last) {
                    Ok(()) => {
                        prop_assert!(free && inside && ends_all);
                        seen[start as usize..(start + len) as usize].fill(true);
                        end = if is_last { Some(range.end) } else { end };
                    }
                    Err(Misfit::Overlap) => prop_assert!(!(free && inside && ends_all)),
                    Err(Misfit::Scattered) => prop_assert_eq!(spans.count, RANGES_MAX),
                }
                let whole = end.is_some_and(|end| seen[..end as usize].iter().all(|byte| *byte));
                prop_assert_eq!(spans.is_complete(), whole);
            }
        }
    }

    #[test]
    fn too_many_gaps_are_refused_and_change_nothing() {
        let mut spans = Spans::default();
        for n in 0..RANGES_MAX as u32 {
            assert_eq!(spans.insert(n * 16..n * 16 + 8, false), Ok(()));
        }
        let before = spans;
        assert_eq!(spans.insert(4096..4104, false), Err(Misfit::Scattered));
        assert_eq!(spans, before);
    }
}
