//! What a run of a bench was asked to do.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// The peers of `bench local`, in the order of a round.
pub(super) const PEERS: [&str; 5] = ["kernel", "nftables", "ovs", "ovs-tso", "peerway"];
/// The peers of `bench link`, in the order of a round: those whose ratios are gates stand together.
pub(super) const LINK_PEERS: [&str; 7] =
    ["veth", "peerway", "gotatun", "boringtun", "wireguard-go", NEWER_WIREGUARD_GO, "nebula"];
/// Takes part when a path to it is given.
pub(super) const NEWER_WIREGUARD_GO: &str = "wireguard-go-new";

#[derive(Debug)]
pub(super) struct Options {
    pub(super) quick: bool,
    pub(super) rounds: usize,
    /// Length of one measurement.
    pub(super) length: Duration,
    /// Of every guest's device, in bytes; of the wire between two hosts in `bench link`, one after the other.
    pub(super) mtus: Vec<u32>,
    /// Whether the wire of `bench link` has UDP segmentation offload, one after the other.
    pub(super) offloads: Vec<bool>,
    pub(super) only: Vec<String>,
    pub(super) wireguard_go: Option<PathBuf>,
    pub(super) json: bool,
    pub(super) peerway: Option<PathBuf>,
    pub(super) no_build: bool,
    pub(super) no_install: bool,
}

impl Options {
    /// # Errors
    /// An unknown word or a number out of range, by name.
    pub(super) fn parse(bench: &str, words: &[&str]) -> Result<Options> {
        let (local, link) = (bench == "local", bench == "link");
        let seconds = if local { 5 } else { 3 };
        let mut options = Options {
            quick: false,
            rounds: 5,
            length: Duration::from_secs(seconds),
            mtus: if link { vec![1500, 9000] } else { vec![1500] },
            offloads: vec![true, false],
            only: Vec::new(),
            wireguard_go: None,
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
                "--mtu" if local => options.mtus = vec![mtu(value()?, 576)?],
                "--mtu" if link => options.mtus = each(value()?, |item| mtu(item, 1280))?,
                "--offload" if link => options.offloads = each(value()?, offload)?,
                "--only" if local => options.only = peers(word, value()?, &PEERS)?,
                "--peers" if link => options.only = peers(word, value()?, &LINK_PEERS)?,
                "--wireguard-go" if link => options.wireguard_go = Some(value()?.into()),
                "--output" => options.json = output(value()?)?,
                "--peerway" => options.peerway = Some(value()?.into()),
                "--no-build" => options.no_build = true,
                "--no-install" => options.no_install = true,
                other => bail!("`{other}` is not an option of `bench {bench}`; see --help"),
            }
        }
        if options.only.iter().any(|name| name == NEWER_WIREGUARD_GO) && options.wireguard_go.is_none() {
            bail!("`--peers {NEWER_WIREGUARD_GO}` needs `--wireguard-go PATH`");
        }
        Ok(options)
    }

    /// Whether this peer takes part.
    pub(super) fn wants(&self, peer: &str) -> bool {
        if peer == NEWER_WIREGUARD_GO && self.wireguard_go.is_none() {
            return false;
        }
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

fn mtu(text: &str, least: usize) -> Result<u32> {
    Ok(u32::try_from(number("--mtu", text, least..=9001)?)?)
}

fn each<T>(list: &str, read: impl FnMut(&str) -> Result<T>) -> Result<Vec<T>> {
    list.split(',').map(read).collect()
}

fn offload(word: &str) -> Result<bool> {
    match word {
        "on" => Ok(true),
        "off" => Ok(false),
        other => bail!("`--offload {other}`: expected on, off or both with a comma"),
    }
}

fn peers(option: &str, list: &str, known: &[&str]) -> Result<Vec<String>> {
    let known_or_not = |name: &str| match known.contains(&name) {
        true => Ok(name.to_owned()),
        false => bail!("`{option} {list}`: `{name}` is none of {}", known.join(", ")),
    };
    each(list, known_or_not)
}

fn output(word: &str) -> Result<bool> {
    match word {
        "json" => Ok(true),
        "text" | "table" => Ok(false),
        other => bail!("`--output {other}`: expected table or json"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() -> Result<()> {
        let options = Options::parse("local", &["--rounds", "7", "--only", "kernel,ovs", "--mtu", "9001"])?;
        assert_eq!((options.rounds, &options.mtus[..], options.length), (7, &[9001][..], Duration::from_secs(5)));
        assert!(options.wants("ovs") && !options.wants("peerway") && !options.needs_peerway());
        assert!(Options::parse("api", &["--quick"])?.quick);
        let link = |words: &[&str]| Options::parse("link", words);
        let all = link(&[])?;
        assert_eq!((&all.mtus[..], &all.offloads[..]), (&[1500, 9000][..], &[true, false][..]));
        assert!(all.wants("nebula") && all.needs_peerway() && !all.wants(NEWER_WIREGUARD_GO));
        let some = link(&["--peers", "veth,gotatun", "--mtu", "9000", "--offload", "off", "--output", "table"])?;
        assert_eq!((&some.mtus[..], &some.offloads[..]), (&[9000][..], &[false][..]));
        assert!(some.wants("gotatun") && !some.wants("nebula") && !some.needs_peerway());
        assert!(link(&["--wireguard-go", "/opt/wireguard-go"])?.wants(NEWER_WIREGUARD_GO));
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
        assert!(says(&["--peers", "veth"]).contains("`--peers`"));
        let link = |words: &[&str]| Options::parse("link", words).is_err();
        assert!(link(&["--mtu", "1500,600"]) && link(&["--offload", "maybe"]) && link(&["--only", "veth"]));
        assert!(link(&["--peers", "veth,ovs"]) && link(&["--peers", NEWER_WIREGUARD_GO]));
    }
}
