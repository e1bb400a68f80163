//! Our own time, handed in: milliseconds since 1970-01-01T00:00:00Z, without leap seconds.

use core::fmt;
use core::ops::{Add, Sub};
use serde::{Deserialize, Serialize};

/// A span of time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Duration(i64);

impl Duration {
    pub const ZERO: Duration = Duration(0);

    pub const fn millis(ms: i64) -> Duration {
        Duration(ms)
    }

    pub const fn seconds(s: i64) -> Duration {
        Duration(s.saturating_mul(1000))
    }

    pub const fn hours(h: i64) -> Duration {
        Duration::seconds(h.saturating_mul(3600))
    }

    pub const fn as_millis(self) -> i64 {
        self.0
    }
}

impl Add for Duration {
    type Output = Duration;

    fn add(self, other: Duration) -> Duration {
        Duration(self.0.saturating_add(other.0))
    }
}

/// A moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Time(i64);

impl Time {
    pub const EPOCH: Time = Time(0);

    pub const fn from_unix_millis(ms: i64) -> Time {
        Time(ms)
    }

    pub const fn as_unix_millis(self) -> i64 {
        self.0
    }

    /// Reads `2026-01-15T12:00:00Z`, `2026-01-15T12:00:00.123Z` and the basic form `20260115T120000Z` of signatures.
    pub fn parse(text: &str) -> Option<Time> {
        let text = text.strip_suffix('Z')?;
        let (date, clock) = text.split_once('T')?;
        let (year, month, day) = match date.len() {
            8 => (number(date, 0..4)?, number(date, 4..6)?, number(date, 6..8)?),
            10 if date.as_bytes()[4] == b'-' && date.as_bytes()[7] == b'-' => {
                (number(date, 0..4)?, number(date, 5..7)?, number(date, 8..10)?)
            }
            _ => return None,
        };
        let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
        let (hour, minute, second) = match clock.len() {
            6 => (number(clock, 0..2)?, number(clock, 2..4)?, number(clock, 4..6)?),
            8 if clock.as_bytes()[2] == b':' && clock.as_bytes()[5] == b':' => {
                (number(clock, 0..2)?, number(clock, 3..5)?, number(clock, 6..8)?)
            }
            _ => return None,
        };
        let millis = match fraction.len() {
            0 => 0,
            digits => number(fraction, 0..digits.min(3))? * [0, 100, 10, 1][digits.min(3)],
        };
        let in_range = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
        if !in_range || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
        Some(Time(seconds * 1000 + millis))
    }

    /// Year, month 1-12, day 1-31.
    pub fn date(self) -> (i64, i64, i64) {
        civil_from_days(self.0.div_euclid(86_400_000))
    }
}

fn number(text: &str, at: core::ops::Range<usize>) -> Option<i64> {
    let digits = text.get(at)?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

// The two conversions count years from 1 March, so that the leap day is a year's last, in eras of 400 years.

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12 + 1;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// `2026-01-22T12:00:00.000Z` (spec 1.3.3).
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        let ms = self.0.rem_euclid(86_400_000);
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    fn add(self, span: Duration) -> Time {
        Time(self.0.saturating_add(span.0))
    }
}

impl Sub for Time {
    type Output = Duration;

    fn sub(self, earlier: Time) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_reads_back(ms in 0_i64..4_102_444_800_000) {
            prop_assert_eq!(Time::parse(&Time(ms).to_string()), Some(Time(ms)));
        }

        #[test]
        fn no_text_panics(text in "[0-9TZ:.\\-é]{0,30}") {
            let _ = Time::parse(&text);
        }
    }

    #[test]
    fn both_forms_and_the_calendar() {
        assert_eq!(Time::parse("20260115T120000Z"), Time::parse("2026-01-15T12:00:00.000Z"));
        assert_eq!(Time::parse("1970-01-01T00:00:00Z"), Some(Time::EPOCH));
        assert_eq!(
            Time::parse("2024-02-29T00:00:00Z").map(|t| t.to_string()).as_deref(),
            Some("2024-02-29T00:00:00.000Z")
        );
        for wrong in
            ["2023-02-29T00:00:00Z", "2023-13-01T00:00:00Z", "2023-01-01T24:00:00Z", "2023-01-01", "", "Z", "T"]
        {
            assert_eq!(Time::parse(wrong), None, "{wrong}");
        }
    }
}
