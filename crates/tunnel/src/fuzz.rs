//! The harness that the fuzz target `keys`, the property test and the replay of the corpus share, and the seeds of the corpus.
//!
//! An input is a script of lines; what is no step is skipped. `host-1` is driven, `host-2` and `host-3` are what others say.
//!
//! ```text
//!   {"Want":..}       a message on the session chosen last     +2s, +2c   a session with that host is up, as server or client
//!   #n                chooses a session                        -          it is down
//!   t1000             so many milliseconds pass                x2         a connection to that host failed
//!   w2p0              wants: host, domain (v, p, q), shard     u2 256     an unknown SPI from that host
//!   e3                entitlements, a bit each                 r          everything is reset
//! ```

use std::cell::RefCell;
use std::collections::BTreeSet;

use model::{Domain, Duration, HostId, PeeringId, ResourceId, Scope, Time, VpcId};

use crate::message::{self, Message, Reason};
use crate::{
    Agreement, Config, Effect, Entitlements, Exporter, KeyMaterial, LinkDirection, Permits, RECEIVING_PER_HOST, Role,
    SessionId,
};

/// Steps of one input; more are not taken.
const STEPS_MAX: usize = 200;
/// What one step may lead to.
const EFFECTS_MAX: usize = 10_000;
/// Stages in which what is due at one moment may come.
const ROUNDS_MAX: usize = 100;
/// An hour and more: every limit comes into reach of a few steps.
const SPAN_MAX: i64 = 2 * 3_600_000;

/// Decodes `input` as a message, and follows it as a script.
///
/// # Panics
/// If a law is broken: that is what fuzzing looks for.
pub fn keys(input: &[u8]) {
    check_message(input);
    let mut driver = Driver::new();
    for line in input.split(|byte| *byte == b'\n').take(STEPS_MAX) {
        check_message(line);
        driver.step(line);
        driver.check();
    }
}

fn check_message(bytes: &[u8]) {
    if let Ok(message) = message::decode(bytes) {
        let again = message::encode(&message);
        assert_eq!(message::decode(&again).ok(), Some(message), "a message survives its own bytes");
    }
}

fn host(n: u8) -> HostId {
    format!("host-{n}").parse().expect("a host's name")
}

/// Two domains over a peering, one for each direction, and one inside a VPC.
fn domains() -> [Domain; 3] {
    let (a, b) = (VpcId::from_random(1), VpcId::from_random(2));
    let scope = Scope::Peering(PeeringId::from_random(3));
    [Domain { from: a, to: a, scope: Scope::Vpc }, Domain { from: a, to: b, scope }, Domain { from: b, to: a, scope }]
}

/// Each bit permits one direction of one domain with one host.
fn entitlements(bits: u16) -> Entitlements {
    let mut entitled = Entitlements::default();
    let mut bit = 0;
    for other in [2, 3] {
        for domain in domains() {
            for sides in [&mut entitled.may_send_to_me, &mut entitled.i_may_send_to] {
                if bits >> bit & 1 == 1 {
                    sides.entry(host(other)).or_default().insert(domain);
                }
                bit += 1;
            }
        }
    }
    entitled
}

/// Every context that a key was asked for with. The same one twice on a session would be the same key twice.
#[derive(Default)]
struct Contexts(RefCell<BTreeSet<(SessionId, Vec<u8>)>>);

impl Exporter for Contexts {
    fn export(&self, session: SessionId, context: &[u8]) -> Option<KeyMaterial> {
        // A session may be gone when it is asked: the fourth always is.
        if session == SessionId(4) {
            return None;
        }
        assert!(self.0.borrow_mut().insert((session, context.to_vec())), "the same key twice: {context:?}");
        KeyMaterial::fill(|key| {
            key[..4].copy_from_slice(&context[..4]);
            Ok::<_, ()>(())
        })
        .ok()
    }
}

struct Driver {
    agreement: Agreement,
    entitled: Entitlements,
    contexts: Contexts,
    now: Time,
    sessions: u64,
    chosen: SessionId,
    /// The SPI granted last.
    granted: u32,
}

impl Driver {
    fn new() -> Driver {
        let now = Time::from_unix_millis(1_800_000_000_000);
        let config = Config { host: host(1), underlay_mtu: 1500, seed: [7; 32] };
        let mut agreement = Agreement::new(&config, now);
        let entitled = entitlements(u16::MAX);
        agreement.entitle(entitled.clone(), now);
        Driver {
            agreement,
            entitled,
            contexts: Contexts::default(),
            now,
            sessions: 0,
            chosen: SessionId(0),
            granted: 0,
        }
    }

    fn step(&mut self, line: &[u8]) {
        let Some((what, rest)) = line.split_first() else { return };
        let (first, number) = (rest.first().copied().unwrap_or_default(), number(rest));
        let other = host(if first == b'3' { 3 } else { 2 });
        match what {
            b'{' => {
                if let Ok(message) = message::decode(line) {
                    self.agreement.message(self.chosen, message, self.now, &self.contexts);
                }
            }
            b'#' => self.chosen = SessionId(number),
            b'+' => {
                self.sessions += 1;
                self.chosen = SessionId(self.sessions);
                let role = if rest.get(1) == Some(&b'c') { Role::Client } else { Role::Server };
                self.agreement.session_up(self.chosen, other, role, true, self.now);
            }
            b'-' => self.agreement.session_down(self.chosen, self.now),
            b'x' => self.agreement.connect_failed(other, self.now),
            b't' => {
                let span = i64::try_from(number).map_or(SPAN_MAX, |span| span.min(SPAN_MAX));
                self.now = self.now + Duration::millis(span);
            }
            b'w' => {
                let [own, there, back] = domains();
                let domain = match rest.get(1) {
                    Some(b'p') => there,
                    Some(b'q') => back,
                    _ => own,
                };
                let shard = self::number(rest.get(2..).unwrap_or_default()) as u16;
                let wanted = self.agreement.want(domain, other, shard, self.now);
                let is_permitted = self.entitled.permits(LinkDirection::Sending, other, domain);
                assert!(is_permitted || wanted.is_err(), "wanted without a right");
            }
            b'u' => self.agreement.unknown_spi(other, self::number(rest.get(2..).unwrap_or_default()) as u32, self.now),
            b'e' => {
                self.entitled = entitlements(number as u16);
                self.agreement.entitle(self.entitled.clone(), self.now);
            }
            b'r' => self.agreement.reset(self.now),
            _ => {}
        }
        self.come_to_rest();
    }

    /// What is due is done, and what follows from it is taken.
    fn come_to_rest(&mut self) {
        self.drain();
        for _ in 0..ROUNDS_MAX {
            if self.agreement.poll_timeout().is_none_or(|due| due > self.now) {
                return;
            }
            self.agreement.handle_timeout(self.now);
            self.drain();
        }
        panic!("something is due for ever");
    }

    fn drain(&mut self) {
        for _ in 0..EFFECTS_MAX {
            match self.agreement.poll_effect() {
                None => return,
                Some(Effect::Send { message, .. }) => {
                    check_message(&message::encode(&message));
                    if let Message::Grant { spi, .. } = message {
                        self.granted = spi;
                    }
                }
                Some(_) => {}
            }
        }
        panic!("one step has effects without end");
    }

    /// What is in force is permitted now, and no more than may be.
    fn check(&self) {
        for row in self.agreement.status(self.now) {
            let is_permitted = self.entitled.permits(row.direction, row.host, row.domain);
            assert!(row.associations == 0 || is_permitted, "a key without a right: {row:?}");
        }
        let (_, receiving) = self.agreement.sas().counts();
        assert!(receiving <= 2 * RECEIVING_PER_HOST);
        for sa in self.agreement.sas().outbounds() {
            assert!(sa.identity().spi >= wire::esp::SPI_MIN);
            let identity = sa.identity();
            assert!(self.entitled.permits(LinkDirection::Sending, identity.host, identity.domain));
        }
    }
}

/// The digits at the start; too many are as many as there can be.
fn number(digits: &[u8]) -> u64 {
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number: u64, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
}

/// Named inputs that reach every step.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let [_, there, back] = domains();
    let json = |message: Message| String::from_utf8(message::encode(&message)).expect("json is utf-8");
    let want = |request, domain| json(Message::Want { request, domain, shard: 0 });
    let grant = |request, spi, epoch| json(Message::Grant { request, spi, epoch, partial_sums: true });
    let refuse = |reason| json(Message::Refuse { request: 1, reason });
    let retire = |spi, at_once| json(Message::Retire { spi, at_once });
    let revoke = |spi| json(Message::Revoke { spi });
    let asks = "w2p0\n+2c";
    let asked = format!("+2s\n{}", want(1, back));
    // The same at each run, since the draws are.
    let granted = {
        let mut driver = Driver::new();
        asked.split('\n').for_each(|line| driver.step(line.as_bytes()));
        driver.granted
    };
    let scripts = [
        ("want", format!("+2s\n{}\nt29000\n{}", want(1, back), want(2, back))),
        ("want-not-entitled", format!("e0\n+2s\n{}", want(1, back))),
        ("want-shard", format!("+2s\n{}", json(Message::Want { request: 1, domain: back, shard: 256 }))),
        ("want-four", format!("+2s\n{}", [1, 2, 3, 4].map(|n| want(n, there)).join("\n"))),
        ("want-of-a-client", format!("+2c\n{}", want(1, back))),
        ("grant", format!("{asks}\n{}", grant(1, 300, 1))),
        ("grant-twice", format!("{asks}\n{}\n{}", grant(1, 300, 1), grant(1, 300, 1))),
        ("grant-old-epoch", format!("{asks}\n{}\nt4000000\n{}", grant(1, 300, 5), grant(2, 301, 5))),
        ("grant-reserved-spi", format!("{asks}\n{}", grant(1, 255, 1))),
        ("grant-unknown-request", format!("{asks}\n{}", grant(9, 300, 1))),
        ("grant-to-a-server", format!("+2s\n{}", grant(1, 300, 1))),
        ("refuse", format!("{asks}\n{}\nt500", refuse(Reason::TooMany))),
        ("refuse-not-entitled", format!("{asks}\n{}\nt60000", refuse(Reason::NotEntitled))),
        ("retire", format!("{asked}\n{}\nt30000", retire(granted, false))),
        ("retire-at-once", format!("{asked}\n{}\n{}", retire(granted, true), retire(granted, true))),
        ("revoke", format!("{asks}\n{}\n{}\nt2000", grant(1, 300, 1), revoke(300))),
        ("revoke-unknown", format!("+2c\n{}", revoke(77))),
        ("unknown-spi", "+2s\nu2 4711\nu3 4711".to_owned()),
        ("renewal", format!("{asks}\n{}\nt4200000\n+2c\n{}\nt60000", grant(1, 300, 1), grant(2, 301, 1))),
        ("hard-limit", format!("{asks}\n{}\nt7200000", grant(1, 300, 1))),
        ("idle", format!("{asks}\n{}\nt600000\nt60000", grant(1, 300, 1))),
        ("session-lost", format!("{asks}\n{}\n-\nt1000\nx2\nt30000", grant(1, 300, 1))),
        ("entitlement-ends", format!("{asks}\n{}\n+3s\n{}\ne0\ne4095", grant(1, 300, 1), want(1, back))),
        ("reset", format!("{asks}\n{}\n+2s\n{}\nr\nt1000", grant(1, 300, 1), want(1, back))),
        ("many-sessions", "+2s\n+2s\n+2s\n+2s\n+2s\n#1\n-\n#5\n-".to_owned()),
        ("no-answer", format!("{asks}\nt3000\nt3000\nt10000\nx2")),
        ("wants-of-many-threads", "w2p0\nw2p1\nw2p255\nw2p256\nw3v0\nw3q7\n+2c\n+3c".to_owned()),
        ("not-json", "+2s\n{\"Want\"\n{}\n{\"Revoke\":{\"spi\":-1}}".to_owned()),
        ("not-a-message", "{\"Key\":{\"spi\":256}}".to_owned()),
        ("empty", String::new()),
    ];
    scripts.map(|(name, script)| (name, script.into_bytes())).into()
}
