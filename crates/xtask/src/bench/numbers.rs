//! Medians, percentiles, and numbers as people read them. What is not a number was not measured.

/// The value in the middle of those that were measured; 0 when there is none.
pub(super) fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// The smallest value that `percent` of all are not above (nearest rank); 0 when there is none.
pub(super) fn percentile(values: &[f64], percent: f64) -> f64 {
    let sorted = sorted(values);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(0.0)
}

/// The smallest and the largest value; 0 when there is none.
pub(super) fn extremes(values: &[f64]) -> (f64, f64) {
    let sorted = sorted(values);
    (sorted.first().copied().unwrap_or(0.0), sorted.last().copied().unwrap_or(0.0))
}

/// Median and extremes as text.
pub(super) fn spread(values: &[f64]) -> String {
    let (min, max) = extremes(values);
    match sorted(values)[..] {
        [] => "failed".into(),
        [value] => number(value),
        _ => format!("{} ({}-{})", number(median(values)), number(min), number(max)),
    }
}

/// Three significant digits.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if size.is_nan() => "failed".into(),
        size if size < 1.0 => format!("{value:.3}"),
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn middle_and_rank() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert!((percentile(&values, 99.0) - 99.0).abs() < 1e-9);
        assert!((percentile(&values[..50], 99.0) - 50.0).abs() < 1e-9);
        assert!(percentile(&[], 99.0).abs() < 1e-9);
    }

    #[test]
    fn what_was_not_measured_does_not_count() {
        let values = [f64::NAN, 3.0, 1.0, f64::NAN, 0.125];
        assert!((median(&values) - 1.0).abs() < 1e-9);
        assert_eq!(spread(&values), "1.00 (0.125-3.00)");
        assert_eq!((spread(&[f64::NAN]), spread(&[f64::NAN, 12.0])), ("failed".into(), "12.0".into()));
        assert_eq!([0.0, 0.5, 9.0, 10.0, 123.4].map(number), ["0", "0.500", "9.00", "10.0", "123"]);
    }
}
