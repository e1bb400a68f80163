//! The flag that has things take as long as on AWS, which `up` and `server` share.

use clap::Args;
use server::Timing;

#[derive(Clone, Copy, Debug, Default, Args)]
pub struct TimingOptions {
    /// Let things take as long as on AWS (pending, provisioning, associating, deleting), times FACTOR: 0.1 is a tenth. Without the flag
    /// every change is there at once
    #[arg(long, value_name = "FACTOR", num_args = 0..=1, require_equals = true, default_missing_value = "1", value_parser = factor)]
    pub realistic_timing: Option<Timing>,
}

fn factor(text: &str) -> Result<Timing, String> {
    let timing = text.parse().ok().and_then(Timing::new);
    timing.ok_or_else(|| format!("`{text}` is not a factor: a number from 0.001 to 100, such as 0.1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_is_a_number() {
        assert_eq!(factor("0.1").ok(), Timing::new(0.1));
        for wrong in ["", "fast", "0", "-1", "1e9", "NaN"] {
            assert!(factor(wrong).unwrap_err().contains(wrong), "{wrong}");
        }
    }
}
