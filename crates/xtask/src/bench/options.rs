//! What a run of a bench was asked to do.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// The peers of `bench local`, in the order of a round.
pub(super) const PEERS: [&str; 5] = ["kernel", "nftables", "ovs", "ovs-tso", "peerway"];

#[derive(Debug)]
pub(super) struct Options {
    pub(super) quick: bool,
    pub(super) rounds: usize,
    /// Length of one measurement.
    pub(super) length: Duration,
    /// Of every guest's device, in bytes.
    pub(super) mtu: u32,
    pub(super) only: Vec<String>,
    pub(super) json: bool,
    pub(super) peerway: Option<PathBuf>,
    pub(super) no_build: bool,
    pub(super) no_install: bool,
}

impl Options {
    /// # Errors
    /// An unknown word or a number out of range, by name.
    pub(super) fn parse(bench: &str, words: &[&str]) -> Result<Options> {
        let seconds = if bench == "local" { 5 } else { 3 };
        let mut options = Options {
            quick: false,
            rounds: 5,
            length: Duration::from_secs(seconds),
            mtu: 1500,
            only: Vec::new(),
            json: false,
            peerway: None,
            no_build: false,
            no_install: false,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().copied().with_context(|| format!("`{word}` needs a value"));
            match *word {
                "--quick" => (options.quick, options.rounds, options.length) = (true, 1, Duration::from_secs(2)),
                "--rounds" => options.rounds = number(word, value()?, 1..=100)?,
                "--seconds" => options.length = Duration::from_secs(number(word, value()?, 1..=60)? as u64),
                "--mtu" if bench == "local" => options.mtu = u32::try_from(number(word, value()?, 576..=9001)?)?,
                "--only" if bench == "local" => options.only = peers(value()?)?,
                "--output" => options.json = output(value()?)?,
                "--peerway" => options.peerway = Some(value()?.into()),
                "--no-build" => options.no_build = true,
                "--no-install" => options.no_install = true,
                other => bail!("`{other}` is not an option of `bench {bench}`; see --help"),
            }
        }
        Ok(options)
    }

    /// Whether this peer takes part.
    pub(super) fn wants(&self, peer: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == peer)
    }

    pub(super) fn needs_peerway(&self) -> bool {
        self.wants("peerway")
    }
}

fn number(name: &str, text: &str, range: std::ops::RangeInclusive<usize>) -> Result<usize> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.with_context(|| format!("`{name} {text}`: expected a number from {} to {}", range.start(), range.end()))
}

fn peers(list: &str) -> Result<Vec<String>> {
    let names: Vec<String> = list.split(',').map(String::from).collect();
    match names.iter().find(|name| !PEERS.contains(&name.as_str())) {
        Some(unknown) => bail!("`--only {list}`: `{unknown}` is none of {}", PEERS.join(", ")),
        None => Ok(names),
    }
}

fn output(word: &str) -> Result<bool> {
    match word {
        "json" => Ok(true),
        "text" => Ok(false),
        other => bail!("`--output {other}`: expected text or json"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() -> Result<()> {
        let options = Options::parse("local", &["--rounds", "7", "--only", "kernel,ovs", "--mtu", "9001"])?;
        assert_eq!((options.rounds, options.mtu, options.length), (7, 9001, Duration::from_secs(5)));
        assert!(options.wants("ovs") && !options.wants("peerway") && !options.needs_peerway());
        assert!(Options::parse("api", &["--quick"])?.quick);
        Ok(())
    }

    #[test]
    fn what_is_wrong_is_named() {
        let says =
            |words: &[&str]| Options::parse("local", words).map_or_else(|error| error.to_string(), |_| String::new());
        assert!(says(&["--rounds", "0"]).contains("from 1 to 100"));
        assert!(says(&["--rounds"]).contains("needs a value"));
        assert!(says(&["--only", "kernel,vpp"]).contains("`vpp`"));
        assert!(says(&["--fast"]).contains("`--fast`"));
        assert!(Options::parse("api", &["--mtu", "1500"]).is_err());
    }
}
