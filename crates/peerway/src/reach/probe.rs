//! `--probe`: one real packet from the source's instance, watched at both ends, and held against what the model says of it. `--watch`: the
//! next one that comes by itself.
//!
//! The instance's own kernel sends it, so that it takes every step that any packet takes. The source port that the kernel chooses (for an
//! echo, its id) marks it: so it is found at the destination, and the model is asked about exactly this packet.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use agent::{Answer, CaptureFormat, CaptureOrder, CaptureTarget, Question, Stopper, Stream};
use anyhow::{Context, anyhow, bail};
use model::{InstanceId, NetworkInterfaceId};
use serde::Serialize;

use super::report::{Answer as Explained, Case, Hop};
use crate::{agents, host};

/// How long a capture lasts at most; the packet's sender gives up before.
const SECONDS: u64 = 8;
/// How long the next packet is waited for.
const WATCH_SECONDS: u64 = 3600;
/// How long after it the other end may see it, and an answer may come.
const REST: Duration = Duration::from_millis(500);
/// How often is looked for it.
const LOOK: Duration = Duration::from_millis(50);
/// Lines that are kept of packets that are not it.
const LINES_MAX: usize = 2000;
/// How long the sender waits for an answer, for the programs that it runs.
const PATIENCE: &str = "2";

/// What was seen of the packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// `10.16.1.10:40112 > 10.17.1.10:443`, with what tells it from others.
    pub packet: String,
    /// The source port, where the protocol has ports.
    pub source_port: Option<u16>,
    pub destination_port: Option<u16>,
    /// `pass`, or the reason: where it left, and where it arrived.
    pub at_source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_destination: Option<String>,
    /// Something came back.
    pub is_answered: bool,
    /// The captured lines, of both ends.
    pub lines: Vec<String>,
}

impl Seen {
    /// Why it was refused, at whichever end: `D22`.
    pub fn refused(&self) -> Option<&str> {
        let verdicts = [Some(self.at_source.as_str()), self.at_destination.as_deref()];
        verdicts.into_iter().flatten().find_map(|verdict| verdict.split(':').next().filter(|code| is_reason(code)))
    }

    /// Whether the model says of exactly this packet what became of it.
    ///
    /// A missing answer says nothing: no service may listen. One that came says that the way back is open.
    pub fn agrees(&self, case: &Case) -> bool {
        let on_way = |way: &str| case.blockers.iter().find(|blocker| blocker.way == way);
        let there = on_way("forward").map(|blocker| blocker.reason.as_deref());
        match there {
            // A packet that ends elsewhere, or on a side that is not shown, is refused there or not.
            Some(None) => true,
            Some(Some(reason)) => self.refused() == Some(reason) && !self.is_answered,
            None => self.refused().is_none() && !(self.is_answered && on_way("back").is_some()),
        }
    }
}

fn is_reason(code: &str) -> bool {
    code.len() == 3 && code.starts_with('D') && code[1..].bytes().all(|byte| byte.is_ascii_digit())
}

/// Sends the packet of a question, and watches.
///
/// # Errors
/// No agent here that carries the source, nothing to send with, a packet that is never seen.
pub fn send(data: Option<&Path>, asked: &Explained) -> anyhow::Result<Seen> {
    let dirs = host::agent_dirs(data)?;
    let (source, instance) = carrier(&dirs, asked)?;
    let (watch, there) = ends(&dirs, asked, source, SECONDS)?;
    let (argv, port) = sender(asked)?;
    let program = std::env::current_exe().context("where this program is")?;
    let mut command = Command::new(program);
    command.arg("exec");
    if let Some(data) = data {
        command.arg("--data").arg(data);
    }
    let output = command.arg(instance.to_string()).arg("--").args(argv).output().context("cannot run a command")?;
    if output.status.code() == Some(NO_PROGRAM) {
        bail!("{instance} has neither bash nor ping to send a packet with");
    }
    let here = watch.close()?;
    let there = there.map(Watch::close).transpose()?.unwrap_or_default();
    let found = seen(asked, port, &here, &there);
    found.ok_or_else(|| {
        anyhow!(
            "no packet was seen to leave {source}: the instance's own kernel has no way to {} ({})",
            asked.destination_address,
            String::from_utf8_lossy(&output.stderr).trim()
        )
    })
}

/// Waits for the next packet that the question is about, whoever in the source's instance sends it.
///
/// # Errors
/// No agent here that carries the source, no such packet within an hour.
pub fn wait(data: Option<&Path>, asked: &Explained) -> anyhow::Result<Seen> {
    let dirs = host::agent_dirs(data)?;
    let (source, _) = carrier(&dirs, asked)?;
    let (watch, other) = ends(&dirs, asked, source, WATCH_SECONDS)?;
    let port = destination_ports(asked).and_then(|ports| ports.parse().ok());
    let (mut here, mut there) = (Vec::new(), Vec::new());
    let end = Instant::now() + Duration::from_secs(WATCH_SECONDS);
    let mut last_look: Option<Instant> = None;
    while Instant::now() < end {
        std::thread::sleep(LOOK);
        for (lines, watch) in [(&mut here, Some(&watch)), (&mut there, other.as_ref())] {
            lines.extend(watch.map(Watch::take).unwrap_or_default());
        }
        if last_look.is_some_and(|at| Instant::now() >= at) {
            return seen(asked, port, &here, &there).context("the packet that was seen is gone");
        }
        if last_look.is_none() && seen(asked, port, &here, &there).is_some() {
            last_look = Some(Instant::now() + REST);
        }
        if last_look.is_none() {
            for lines in [&mut here, &mut there] {
                lines.drain(..lines.len().saturating_sub(LINES_MAX));
            }
        }
    }
    bail!("no such packet left {source} within {} minutes", WATCH_SECONDS / 60)
}

/// Captures of the source's interface, and of the destination's if it is on this machine. What the source's host says is seen anyway.
fn ends(
    dirs: &[PathBuf],
    asked: &Explained,
    source: NetworkInterfaceId,
    seconds: u64,
) -> anyhow::Result<(Watch, Option<Watch>)> {
    let here = Watch::open(dirs, source, seconds)?;
    let destination = asked.cases.iter().find_map(receiver).filter(|interface| *interface != source);
    let there = destination.and_then(|interface| Watch::open(dirs, interface, seconds).ok());
    Ok((here, there))
}

/// The source's interface, and the instance that has it plugged in here.
fn carrier(dirs: &[PathBuf], asked: &Explained) -> anyhow::Result<(NetworkInterfaceId, InstanceId)> {
    let interface: NetworkInterfaceId = asked.source_interface.parse().context("the answer names no interface")?;
    let instances = agents::instances(dirs)?;
    let has = |instance: &agent::InstanceStatus| instance.interfaces.iter().any(|one| one.interface == interface);
    let found = instances.iter().find(|instance| has(instance)).map(|instance| instance.instance);
    let found = found
        .ok_or_else(|| anyhow!("no instance with {interface} runs on this machine; ask on the one that carries it"))?;
    Ok((interface, found))
}

/// Those that the first blocked case is about; where none is blocked, the first.
fn destination_ports(asked: &Explained) -> Option<&str> {
    let case = asked.cases.iter().find(|case| !case.reachable).or(asked.cases.first());
    case.and_then(|case| case.destination_ports.as_deref())
}

/// Who gets it, as the model says.
fn receiver(case: &Case) -> Option<NetworkInterfaceId> {
    let is_receiver = |hop: &&Hop| hop.stage == "destination interface" || hop.stage == "address look-up";
    let mut named = case.forward.iter().rev().filter(is_receiver);
    named.find_map(|hop| hop.component.as_deref()?.parse().ok())
}

/// The exit code of a sender that finds nothing to send with.
const NO_PROGRAM: i32 = 43;

/// A command that sends one packet and waits a moment for its answer; to which port.
fn sender(asked: &Explained) -> anyhow::Result<(Vec<String>, Option<u16>)> {
    let address = &asked.destination_address;
    let port: Option<u16> = destination_ports(asked).and_then(|ports| ports.split('-').next()?.parse().ok());
    let sh = |script: String| vec!["sh".to_owned(), "-c".to_owned(), script];
    let dev = |protocol: &str, port: u16, then: &str| {
        sh(format!(
            "command -v bash >/dev/null || exit {NO_PROGRAM}; timeout {PATIENCE} bash -c '{then} /dev/{protocol}/{address}/{port}'; sleep 0.3"
        ))
    };
    Ok(match (asked.protocol.as_str(), port) {
        ("icmp", _) => {
            (sh(format!("command -v ping >/dev/null || exit {NO_PROGRAM}; ping -c1 -W{PATIENCE} {address}")), None)
        }
        ("tcp", Some(port)) => (dev("tcp", port, "exec 3<>"), Some(port)),
        ("udp", Some(port)) => (dev("udp", port, "echo peerway >"), Some(port)),
        (other, _) => bail!("a probe is tcp, udp or icmp, not protocol {other}"),
    })
}

/// The packet in what was captured: the first that leaves for the destination, and the same one there. `port`: to this one only.
fn seen(asked: &Explained, port: Option<u16>, here: &[String], there: &[String]) -> Option<Seen> {
    let (from, to): (IpAddr, IpAddr) = (asked.source_address.parse().ok()?, asked.destination_address.parse().ok()?);
    let here: Vec<Line<'_>> = here.iter().filter_map(|line| Line::read(line)).collect();
    let there: Vec<Line<'_>> = there.iter().filter_map(|line| Line::read(line)).collect();
    let is_meant = |line: &&Line<'_>| {
        let (source, destination) = (end(line.from), end(line.to));
        line.way == "out"
            && source.is_some_and(|(address, _)| address == from)
            && destination.is_some_and(|(address, found)| address == to && (port.is_none() || port == found))
            && (line.what.starts_with(&asked.protocol) || asked.protocol.bytes().all(|b| b.is_ascii_digit()))
    };
    let left = here.iter().find(is_meant)?;
    let is_it = |line: &&Line<'_>| (line.from, line.to, line.id()) == (left.from, left.to, left.id());
    let arrived = there.iter().filter(|line| line.way == "in").find(is_it);
    let is_answer = |line: &Line<'_>| {
        line.way == "in" && (line.from, line.to, line.id()) == (left.to, left.from, left.id()) && line.verdict == "pass"
    };
    Some(Seen {
        packet: format!("{} {} > {}", asked.protocol, left.from, left.to),
        source_port: end(left.from).and_then(|(_, port)| port),
        destination_port: end(left.to).and_then(|(_, port)| port),
        at_source: left.verdict.to_owned(),
        at_destination: arrived.map(|line| line.verdict.to_owned()),
        is_answered: here.iter().any(is_answer),
        lines: here.iter().chain(&there).map(|line| line.whole.to_owned()).collect(),
    })
}

/// `10.16.1.10:443`, or an address alone.
fn end(text: &str) -> Option<(IpAddr, Option<u16>)> {
    let whole = text.parse::<SocketAddr>().map(|end| (end.ip(), Some(end.port()))).ok();
    whole.or_else(|| text.parse().ok().map(|address| (address, None)))
}

/// A line of a capture.
struct Line<'l> {
    whole: &'l str,
    way: &'l str,
    from: &'l str,
    to: &'l str,
    /// Protocol and flags.
    what: &'l str,
    verdict: &'l str,
}

impl<'l> Line<'l> {
    /// `12:34:56.789012 out 10.16.1.10:40000 > 10.17.1.10:22 tcp S, length 74: D22: no ingress rule ..`
    fn read(whole: &'l str) -> Option<Line<'l>> {
        let (packet, rest) = whole.trim_end().split_once(", length ")?;
        let (_, verdict) = rest.split_once(": ")?;
        let (ends, to) = packet.split_once(" > ")?;
        let (to, what) = to.split_once(' ').unwrap_or((to, ""));
        let mut words = ends.split_whitespace().skip(1);
        let (way, from) = (words.next()?, words.next()?);
        Some(Line { whole: whole.trim_end(), way, from, to, what, verdict })
    }

    /// An echo's id.
    fn id(&self) -> Option<&'l str> {
        self.what.split_once(" id ").map(|(_, id)| id.split(' ').next().unwrap_or(id))
    }
}

/// The packets of an interface, while it is open.
struct Watch {
    stopper: Stopper,
    follower: JoinHandle<io::Result<Answer>>,
    bytes: Arc<Mutex<Vec<u8>>>,
}

/// More is not kept: a busy interface must not fill the memory.
const KEPT_MAX: usize = 4 << 20;

impl Watch {
    fn open(dirs: &[PathBuf], interface: NetworkInterfaceId, seconds: u64) -> anyhow::Result<Watch> {
        let dir = agents::plugging(dirs, interface)?;
        let target = CaptureTarget::Interface(interface);
        let order = CaptureOrder { target, format: CaptureFormat::Lines, count: None, seconds: Some(seconds) };
        let stream = match Stream::open(dir, &Question::Capture(order)) {
            Ok(Ok(stream)) => stream,
            Ok(Err(Answer::Refused(why))) => bail!("{why}"),
            Ok(Err(_)) => bail!("the agent answered another question"),
            Err(error) => return Err(host::explain_no_agent(error, dir)),
        };
        let stopper = stream.stopper()?;
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let kept = bytes.clone();
        let take = move |more: &[u8]| {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() + more.len() <= KEPT_MAX {
                kept.extend_from_slice(more);
            }
            Ok(())
        };
        let follower = std::thread::Builder::new().name("watch".into()).spawn(move || stream.follow(take))?;
        Ok(Watch { stopper, follower, bytes })
    }

    /// The lines so far.
    fn close(self) -> anyhow::Result<Vec<String>> {
        self.stopper.stop();
        let followed = self.follower.join().map_err(|_| anyhow!("the capture ended in a panic"))?;
        followed.context("the capture broke off")?;
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(String::from_utf8_lossy(&bytes).lines().map(Into::into).collect())
    }

    /// The whole lines since it was last asked.
    fn take(&self) -> Vec<String> {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let taken: Vec<u8> = bytes.drain(..whole).collect();
        String::from_utf8_lossy(&taken).lines().map(Into::into).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reach::report::Blocker;

    fn asked(protocol: &str) -> Explained {
        Explained {
            ip_version: 4,
            reachable: true,
            verdict: "REACHABLE".into(),
            protocol: protocol.into(),
            source_interface: "eni-0a1b2c3d".into(),
            source_address: "10.16.1.10".into(),
            destination_interface: None,
            destination_address: "10.17.1.10".into(),
            cases: Vec::new(),
        }
    }

    fn case(blockers: &[(&str, &str)]) -> Case {
        let blocker = |(way, reason): &(&str, &str)| Blocker {
            number: 1,
            way: (*way).into(),
            stage: "route table".into(),
            reason: Some((*reason).into()),
            explanation_code: None,
            text: String::new(),
            vpc: String::new(),
            account: String::new(),
            region: String::new(),
            mends: Vec::new(),
        };
        Case {
            sources: Vec::new(),
            destinations: Vec::new(),
            vacant: None,
            source_ports: None,
            destination_ports: None,
            reachable: blockers.is_empty(),
            complete: true,
            forward: Vec::new(),
            back: Vec::new(),
            blockers: blockers.iter().map(blocker).collect(),
        }
    }

    fn lines(text: &[&str]) -> Vec<String> {
        text.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn the_packet_is_found_by_its_source_port() {
        let here = lines(&[
            "12:00:00.000001 out 10.16.1.10:1 > 10.17.1.10:22 tcp S, length 74: pass",
            "12:00:00.000002 out 10.16.1.10:40112 > 10.17.1.10:443 tcp S, length 74: pass",
            "12:00:00.000003 in  10.17.1.10:443 > 10.16.1.10:40112 tcp RA, length 54: pass",
        ]);
        let there = lines(&["12:00:00.000002 in  10.16.1.10:40112 > 10.17.1.10:443 tcp S, length 74: pass"]);
        let found = seen(&asked("tcp"), Some(443), &here, &there).unwrap();
        assert_eq!((found.source_port, found.refused(), found.is_answered), (Some(40_112), None, true));
        assert_eq!(found.at_destination.as_deref(), Some("pass"));
        assert!(found.agrees(&case(&[])));
        assert!(!found.agrees(&case(&[("forward", "D22")])), "it passed");
        assert!(!found.agrees(&case(&[("back", "D08")])), "an answer came");
        assert_eq!(seen(&asked("tcp"), Some(80), &here, &there), None);
        assert_eq!(seen(&asked("udp"), Some(443), &here, &there), None);
        let longer = Explained { source_address: "10.16.1.1".into(), ..asked("tcp") };
        assert_eq!(seen(&longer, Some(443), &here, &there), None, "another address that begins alike");
        assert_eq!(seen(&asked("tcp"), None, &here, &there).and_then(|seen| seen.destination_port), Some(22));
    }

    #[test]
    fn a_refusal_is_the_models_or_it_is_not() {
        let here = lines(&[
            "12:00:00.000001 out 10.16.1.10 > 10.17.1.10 icmp echo request id 7, length 98: D22: no ingress rule (eni-0a1b2c3d)",
            "12:00:00.000002 in  10.17.1.10 > 10.16.1.10 icmp echo reply id 8, length 98: pass",
        ]);
        let found = seen(&asked("icmp"), None, &here, &[]).unwrap();
        assert_eq!((found.refused(), found.is_answered), (Some("D22"), false));
        assert!(found.agrees(&case(&[("forward", "D22"), ("back", "D08")])));
        assert!(!found.agrees(&case(&[("forward", "D05")])));
        assert!(!found.agrees(&case(&[])));
        // What waits for an answer that does not come is no disagreement.
        let passed = Seen { at_source: "pass".into(), ..found };
        assert!(passed.agrees(&case(&[])) && passed.agrees(&case(&[("back", "D08")])));
    }
}
