//! What a bench demands of its numbers, and whether it got it.

use std::fmt::Write;

use super::numbers::{median, number, spread};

/// What a gate asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// Without one, nothing is demanded: only `reach` is shown.
    pub(super) need: Option<f64>,
    /// What is hoped for.
    pub(super) reach: Option<f64>,
    /// Whether these are the most, not the least, that is allowed.
    pub(super) at_most: bool,
    /// With fewer values, the gate stays open, which is not passed.
    pub(super) values_min: usize,
}

impl Limit {
    pub(super) fn at_least(need: f64) -> Limit {
        Limit { need: Some(need), reach: None, at_most: false, values_min: 1 }
    }
}

/// A ratio or a value that must be reached.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) text: String,
    pub(super) limit: Limit,
    /// One for each round in which it could be measured.
    pub(super) values: Vec<f64>,
}

impl Gate {
    pub(super) fn new(text: String, limit: Limit, values: impl IntoIterator<Item = f64>) -> Gate {
        Gate { text, limit, values: values.into_iter().filter(|value| value.is_finite()).collect() }
    }

    fn holds(&self, bound: f64) -> bool {
        let measured = median(&self.values);
        if self.limit.at_most { measured <= bound } else { measured >= bound }
    }

    /// Whether there are enough values to judge by.
    pub(super) fn is_open(&self) -> bool {
        self.values.len() < self.limit.values_min
    }

    pub(super) fn passes(&self) -> bool {
        self.limit.need.is_none_or(|need| !self.values.is_empty() && !self.is_open() && self.holds(need))
    }

    /// Verdict, measured, demanded and hoped for.
    pub(super) fn line(&self) -> String {
        let verdict = match self.limit.need {
            None => "aim ",
            Some(_) if self.values.is_empty() => "FAIL",
            Some(_) if self.is_open() => "OPEN",
            Some(_) if self.passes() => "pass",
            Some(_) => "FAIL",
        };
        let relation = if self.limit.at_most { "<=" } else { ">=" };
        let measured = if self.values.is_empty() { "not measured".into() } else { spread(&self.values) };
        let mut line = format!("{verdict}  {} = {measured}", self.text);
        if let Some(need) = self.limit.need {
            let _ = write!(line, ", need {relation} {}", number(need));
        }
        if let Some(reach) = self.limit.reach {
            let there = match (self.is_open(), self.holds(reach)) {
                (true, _) => "open",
                (false, true) => "reached",
                (false, false) => "not reached",
            };
            let _ = write!(line, ", reach for {relation} {}: {there}", number(reach));
        }
        if self.is_open() {
            let _ = write!(line, " ({} of the {} rounds that count)", self.values.len(), self.limit.values_min);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(limit: Limit, values: &[f64]) -> (bool, String) {
        let gate = Gate::new("x".into(), limit, values.iter().copied());
        (gate.passes(), gate.line())
    }

    #[test]
    fn the_median_is_judged() {
        assert_eq!(
            line(Limit::at_least(2.0), &[9.0, 2.0, 1.0]),
            (true, "pass  x = 2.00 (1.00-9.00), need >= 2.00".into())
        );
        assert!(!line(Limit::at_least(2.0), &[9.0, 1.9, 1.0]).0);
        let at_most = Limit { at_most: true, ..Limit::at_least(2.0) };
        assert!(line(at_most, &[9.0, 2.0, 1.0]).0 && !line(at_most, &[2.1]).0);
    }

    #[test]
    fn too_few_rounds_leave_it_open_and_open_is_not_passed() {
        let limit = Limit { reach: Some(3.0), values_min: 3, ..Limit::at_least(2.0) };
        let open = "OPEN  x = 9.00 (9.00-9.00), need >= 2.00, reach for >= 3.00: open (2 of the 3 rounds that count)";
        assert_eq!(line(limit, &[9.0, f64::NAN, 9.0]), (false, open.into()));
        assert!(line(limit, &[9.0, 9.0, 9.0]).1.ends_with("reach for >= 3.00: reached"));
        assert_eq!(
            line(Limit { values_min: 0, ..Limit::at_least(0.0) }, &[]),
            (false, "FAIL  x = not measured, need >= 0".into())
        );
    }

    #[test]
    fn what_is_only_hoped_for_fails_nothing() {
        let hope = Limit { need: None, reach: Some(3.0), ..Limit::at_least(0.0) };
        assert_eq!(line(hope, &[1.0]), (true, "aim   x = 1.00, reach for >= 3.00: not reached".into()));
        assert!(line(hope, &[]).0);
    }
}
