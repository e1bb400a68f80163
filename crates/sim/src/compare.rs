//! Packets through the data plane, past the reference and past the analyser, outcome against outcome.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

use model::intent::VpcSlice;
use model::{Duration, HostId, MacAddr, NetworkInterface, NetworkInterfaceId, ResourceId, Time};
use policy::Timeouts;

use crate::analyser::{Analyser, Explained};
use crate::dice::Dice;
use crate::generate::traffic::{Traffic, pause};
use crate::generate::{change, scene};
use crate::noun::START;
use crate::packet::{Body, NextHop, Packet, Sent};
use crate::reference::{Outcome, Reference};
use crate::scene::Scene;
use crate::system::{Dress, System};

/// Packets of one seed, unless told otherwise: enough for long flows, few enough for many worlds.
pub const STEPS: usize = 250;

/// How a run is made. But for `steps` and the doctor, none of it may change an outcome.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub steps: usize,
    /// Forgets all remembered verdicts at random instants.
    pub drops_cache: bool,
    /// Lines of the cache; 0: nothing is ever remembered.
    pub cache_lines: usize,
    /// The data plane's own secret.
    pub secret: u64,
    /// Packets come as super-frames, with unfinished checksums and in fragments too.
    pub is_dressed: bool,
    pub timeouts: Timeouts,
    /// Hosts that the instances are spread over, 1 to 3.
    pub hosts: usize,
    /// What the data plane is told wrongly, to see that it would be found.
    pub doctor: fn(&mut VpcSlice),
    /// What the analyser is told wrongly.
    pub analyser_doctor: fn(&mut VpcSlice),
}

impl Default for Options {
    fn default() -> Options {
        let (timeouts, doctor) = (Timeouts::default(), healthy as fn(&mut VpcSlice));
        Options {
            steps: STEPS,
            drops_cache: false,
            cache_lines: 256,
            secret: 1,
            is_dressed: true,
            timeouts,
            hosts: 1,
            doctor,
            analyser_doctor: doctor,
        }
    }
}

fn healthy(_: &mut VpcSlice) {}

/// Of a hundred packets, as many are explained.
const EXPLAINED: usize = 4;

const HOSTS: [&str; 3] = ["host-a", "host-b", "host-c"];

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub cases: u64,
    pub delivered: u64,
    /// By the reason's number.
    pub denied: BTreeMap<&'static str, u64>,
    /// Configurations that packets met.
    pub configurations: u64,
    /// Frames decided from memory.
    pub hits: u64,
    /// Packets that went sealed from host to host.
    pub sealed: u64,
    /// Keys that hosts agreed on.
    pub keys: u64,
    /// Links between hosts that were looked at and are permitted.
    pub permitted: u64,
    /// And those that are not.
    pub forbidden: u64,
    /// Packets of which the analyser was asked why: those that pass, those that it mended, those that nothing mends.
    pub explained: [u64; 3],
    /// All outcomes in their order, digested.
    pub trace: u64,
}

/// The data plane and the reference disagree.
#[derive(Clone, Debug)]
pub struct Mismatch {
    /// Which run, and which of its packets; empty outside of runs.
    pub at: String,
    pub sent: Sent,
    pub dress: Dress,
    pub expected: Outcome,
    pub got: Outcome,
    /// The data plane's own words.
    pub said: String,
    pub excerpt: String,
}

/// A cloud, its data plane and its reference. Whoever changes the scene says [`Rig::configure`].
pub struct Rig {
    pub scene: Scene,
    pub now: Time,
    system: System,
    reference: Reference,
    analyser: Analyser,
}

impl Rig {
    /// All instances that shall be reached are on these hosts.
    pub fn new(scene: Scene, hosts: &[HostId], options: Options) -> Rig {
        let (system, reference) = (System::new(hosts, options), Reference::default());
        let mut rig = Rig { scene, now: START, system, reference, analyser: Analyser::new(options.analyser_doctor) };
        rig.configure();
        rig
    }

    /// Puts the scene in force on both sides.
    pub fn configure(&mut self) {
        self.system.configure(&self.scene, self.now);
        self.reference.configured(&self.scene);
        self.analyser.configure(&self.scene);
    }

    pub fn pass_time(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// What becomes of a packet.
    ///
    /// # Errors
    /// The two disagree.
    pub fn send(&mut self, sent: &Sent, dress: Dress) -> Result<Outcome, Box<Mismatch>> {
        let expected = self.reference.judge(&self.scene, sent, self.now);
        let arrives = self.reference.arrived(sent);
        let (got, said) = self.system.send(&self.scene, sent, &arrives, dress, self.now);
        let (explained, words) = self.analyser.judge(&self.scene, sent, self.now);
        let (got, said) = if got == expected { (explained, format!("reach says: {words}")) } else { (got, said) };
        if got == expected {
            return Ok(expected);
        }
        let (sent, excerpt) = (sent.clone(), self.excerpt(sent));
        Err(Box::new(Mismatch { at: String::new(), sent, dress, expected, got, said, excerpt }))
    }

    /// Asks the analyser why, and tries what it says.
    fn explain(&self, sent: &Sent) -> Result<Explained, String> {
        self.analyser.explain(sent)
    }

    /// Holds what the hosts believe of links against the scene.
    fn check_entitlements(&mut self, dice: &mut Dice) -> Result<(), String> {
        self.system.check_entitlements(&self.scene, dice)
    }

    /// A mismatch that no packet was needed for.
    fn nobody_sent(&self, at: String) -> Box<Mismatch> {
        let nobody = Packet {
            src: Ipv4Addr::UNSPECIFIED.into(),
            dst: Ipv4Addr::UNSPECIFIED.into(),
            body: Body::Other { protocol: 0 },
        };
        let sent = Sent {
            from: NetworkInterfaceId::from_random(0),
            src_mac: MacAddr([0; 6]),
            to: NextHop::Router,
            packet: nobody,
        };
        let (expected, got) = (Outcome::Denied("entitled"), Outcome::Denied("not entitled"));
        Box::new(Mismatch { at, sent, dress: Dress::Plain, expected, got, said: String::new(), excerpt: String::new() })
    }

    /// Everything about the sender and about whoever has the destination address.
    fn excerpt(&self, sent: &Sent) -> String {
        let mut text = format!("sender\n{}", self.scene.excerpt(sent.from));
        for (_, owner) in self.scene.all::<NetworkInterface>() {
            if owner.owns(sent.packet.dst) && owner.id != sent.from {
                text += &format!("has the destination address\n{}", self.scene.excerpt(owner.id));
            }
        }
        text
    }
}

/// Sends one seed's packets.
///
/// # Errors
/// The first packet about which the two disagree.
pub fn run(seed: u64, options: Options) -> Result<Summary, Box<Mismatch>> {
    let hosts: Vec<HostId> = HOSTS.iter().take(options.hosts.max(1)).filter_map(|name| host_named(name)).collect();
    let mut dice = Dice::new(seed);
    let mut rig = Rig::new(scene(&mut dice, &hosts), &hosts, options);
    let (mut traffic, mut summary) = (Traffic::default(), Summary::default());
    // A stream of its own: what is forgotten, and how a packet is dressed, must not change which packets come.
    let mut whims = Dice::new(!seed);
    for step in 0..options.steps {
        if step == 0 || dice.chance(5) {
            if step > 0 {
                change::change(&mut dice, &mut rig.scene, &hosts);
                if hosts.len() > 1 {
                    // What regions have not heard yet changes who is where, and is judged on one host.
                    rig.scene.deliver();
                    // A link that lost its keys asks for others within a second.
                    rig.pass_time(Duration::seconds(1));
                }
                rig.configure();
            }
            rig.check_entitlements(&mut whims)
                .map_err(|wrong| rig.nobody_sent(format!("seed {seed} step {step}: {wrong}; no packet: ")))?;
            traffic.configured(&rig.scene, |id| rig.system.has_port(id));
            summary.configurations += 1;
        }
        rig.pass_time(pause(&mut dice));
        if options.drops_cache && whims.chance(20) {
            rig.system.drop_cache();
        }
        let Some(sent) = traffic.next(&mut dice) else { continue };
        let dress = if options.is_dressed { Dress::any(&mut whims, &sent.packet) } else { Dress::Plain };
        let outcome = rig.send(&sent, dress).map_err(|mut mismatch| {
            mismatch.at = format!("seed {seed} step {step}: ");
            mismatch
        })?;
        summary.count(outcome);
        if whims.chance(EXPLAINED) {
            let explained = rig.explain(&sent).map_err(|wrong| {
                let mut mismatch = rig.nobody_sent(format!("seed {seed} step {step}: reach, {wrong}: "));
                mismatch.excerpt = rig.excerpt(&sent);
                mismatch.sent = sent.clone();
                mismatch
            })?;
            summary.explained[match explained {
                Explained::Reachable => 0,
                Explained::Mended { .. } => 1,
                Explained::Stuck => 2,
            }] += 1;
        }
        let arrived = rig.reference.arrived(&sent);
        traffic.remember(sent, outcome, arrived);
    }
    summary.hits = rig.system.hits();
    (summary.sealed, summary.keys) = (rig.system.sealed, rig.system.keys());
    [summary.forbidden, summary.permitted] = rig.system.entitlements;
    Ok(summary)
}

pub(crate) fn host_named(name: &str) -> Option<HostId> {
    name.parse().ok()
}

impl Summary {
    fn count(&mut self, outcome: Outcome) {
        self.cases += 1;
        match outcome {
            Outcome::Delivered(_) => self.delivered += 1,
            Outcome::Denied(reason) => *self.denied.entry(reason).or_default() += 1,
        }
        self.trace = digest(self.trace, format!("{outcome:?}").as_bytes());
    }

    /// Takes over another run's. In which order runs are added does not matter.
    pub fn add(&mut self, other: &Summary) {
        self.cases += other.cases;
        self.delivered += other.delivered;
        for (reason, count) in &other.denied {
            *self.denied.entry(reason).or_default() += count;
        }
        self.configurations += other.configurations;
        self.hits += other.hits;
        self.sealed += other.sealed;
        self.keys += other.keys;
        self.permitted += other.permitted;
        self.forbidden += other.forbidden;
        self.explained.iter_mut().zip(other.explained).for_each(|(sum, one)| *sum += one);
        self.trace = self.trace.wrapping_add(other.trace);
    }
}

/// FNV-1a.
pub(crate) fn digest(from: u64, bytes: &[u8]) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    bytes.iter().fold(from ^ BASIS, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

/// `1000 cases: delivered 420, D01 7, ..`.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { cases, delivered, denied, configurations, hits, sealed, keys, permitted, forbidden, .. } = self;
        let Summary { explained: [passing, mended, stuck], trace, .. } = self;
        write!(f, "{cases} cases: delivered {delivered}")?;
        for (reason, count) in denied {
            write!(f, ", {reason} {count}")?;
        }
        write!(
            f,
            "; {configurations} configurations, {hits} frames decided from memory, {sealed} packets between hosts with {keys} keys, "
        )?;
        write!(
            f,
            "{permitted} links permitted and {forbidden} not, {passing} packets explained as passing, {mended} mended and {stuck} stuck, trace {trace:016x}"
        )
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mismatch { at, sent, dress, expected, got, said, excerpt } = self;
        writeln!(f, "{at}{sent} ({dress:?})")?;
        writeln!(f, "  reference: {expected:?}\n  data plane: {got:?} ({said})\n{excerpt}")
    }
}
