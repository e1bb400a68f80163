//! Hosts, key sessions and a network between them, in one thread from one seed, with a clock of its own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use model::{Domain, Duration, HostId, PeeringId, ResourceId, Scope, Time, VpcId};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use tunnel::{
    Agreement, Config, Effect, Entitlements, Exporter, Inbound, KEY_MATERIAL, KeyMaterial, Message, OpenError,
    Outbound, Role, Sas, SessionId, message,
};
use wire::esp::{HEADER_LEN, next_header, sealed_len};

pub fn host(n: usize) -> HostId {
    format!("host-{n}").parse().unwrap()
}

pub fn domain(from: u8, to: u8) -> Domain {
    let vpc = |n: u8| VpcId::from_random(n.into());
    let scope = if from == to {
        Scope::Vpc
    } else {
        Scope::Peering(PeeringId::from_random(u128::from(from.min(to)) << 8 | u128::from(from.max(to))))
    };
    Domain { from: vpc(from), to: vpc(to), scope }
}

/// From one host to another in a domain.
pub type Right = (usize, usize, Domain);

/// What the network does to what it carries; in per mille.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub loss: u64,
    pub duplication: u64,
    pub corruption: u64,
    pub replay: u64,
    /// Up to so many milliseconds more, each packet on its own: reordering.
    pub delay: u64,
    /// Of key messages, which TLS over TCP would not do: lost, twice, late.
    pub message_faults: u64,
    /// A session ends with a message.
    pub reset: u64,
    pub is_partitioned: bool,
}

enum Event {
    Message { to: usize, session: SessionId, frame: Vec<u8> },
    Packet { from: usize, to: usize, bytes: Vec<u8> },
    Connected { session: SessionId },
    Failed { from: usize, to: usize },
    Down { at: usize, session: SessionId },
}

struct Tls {
    client: usize,
    server: usize,
    secret: u64,
    /// Which ends hold it still.
    ends: BTreeSet<usize>,
}

struct Secrets<'a> {
    sessions: &'a BTreeMap<SessionId, Tls>,
    at: usize,
}

impl Exporter for Secrets<'_> {
    fn export(&self, session: SessionId, context: &[u8]) -> Option<KeyMaterial> {
        let tls = self.sessions.get(&session).filter(|tls| tls.ends.contains(&self.at))?;
        let secret = [&tls.secret.to_be_bytes()[..], context].concat();
        let digest = ring::digest::digest(&ring::digest::SHA512, &secret);
        KeyMaterial::fill::<()>(|bytes| {
            bytes.copy_from_slice(&digest.as_ref()[..KEY_MATERIAL]);
            Ok(())
        })
        .ok()
    }
}

pub struct Host {
    pub agreement: Agreement,
    pub sas: Sas,
    pub rights: BTreeSet<Right>,
    pub effects: Vec<Effect>,
    pub connects: Vec<Time>,
}

pub struct World {
    pub now: Time,
    pub hosts: Vec<Host>,
    pub faults: Faults,
    pub rng: ChaCha8Rng,
    sessions: BTreeMap<SessionId, Tls>,
    events: BTreeMap<(Time, u64), Event>,
    serial: u64,
    sent: BTreeMap<u64, Vec<u8>>,
    delivered: BTreeMap<u64, Right>,
    /// What the network has seen, to be sent again.
    overheard: VecDeque<(usize, usize, Vec<u8>)>,
    pub refusals: BTreeMap<&'static str, u64>,
}

const OVERHEARD_MAX: usize = 300;
/// Where the packet's number is in the inner packet: over the addresses.
const SERIAL: Range<usize> = 12..20;

impl World {
    pub fn new(hosts: usize, seed: u64) -> World {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let now = Time::from_unix_millis(1_800_000_000_000);
        let hosts = (0..hosts).map(|n| Host::new(n, now, &mut rng)).collect();
        World {
            now,
            hosts,
            faults: Faults::default(),
            rng,
            sessions: BTreeMap::new(),
            events: BTreeMap::new(),
            serial: 0,
            sent: BTreeMap::new(),
            delivered: BTreeMap::new(),
            overheard: VecDeque::new(),
            refusals: BTreeMap::new(),
        }
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.rng.next_u64() % end
    }

    fn happens(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// The intent that this host has from now on.
    pub fn entitle(&mut self, at: usize, rights: &BTreeSet<Right>) {
        let mut entitled = Entitlements::default();
        for (from, to, domain) in rights {
            if *from == at {
                entitled.i_may_send_to.entry(host(*to)).or_default().insert(*domain);
            }
            if *to == at {
                entitled.may_send_to_me.entry(host(*from)).or_default().insert(*domain);
            }
        }
        let now = self.now;
        self.hosts[at].rights.clone_from(rights);
        self.hosts[at].agreement.entitle(entitled, now);
        self.drain(at);
    }

    pub fn entitle_all(&mut self, rights: &BTreeSet<Right>) {
        (0..self.hosts.len()).for_each(|at| self.entitle(at, rights));
    }

    /// The process ends and starts anew: nothing survives but the intent.
    pub fn restart(&mut self, at: usize) {
        self.restart_with(at, |_| {});
    }

    fn restart_with(&mut self, at: usize, begin: impl FnOnce(&mut Agreement)) {
        let lost: Vec<SessionId> =
            self.sessions.iter().filter(|(_, tls)| tls.ends.contains(&at)).map(|(session, _)| *session).collect();
        lost.into_iter().for_each(|session| self.close(at, session));
        let rights = self.hosts[at].rights.clone();
        self.hosts[at] = Host::new(at, self.now, &mut self.rng);
        begin(&mut self.hosts[at].agreement);
        self.entitle(at, &rights);
    }

    /// A planned restart: the next process goes on with the keys of the one before. That one's associations are returned.
    pub fn hand_over(&mut self, at: usize) -> Sas {
        let now = self.now;
        let before = std::mem::take(&mut self.hosts[at].sas);
        let handover = self.hosts[at].agreement.hand_over(now);
        self.restart_with(at, |agreement| agreement.take_over(&handover, now).expect("its own kind"));
        before
    }

    /// All sessions end, at both ends.
    pub fn cut_sessions(&mut self) {
        for session in self.sessions.keys().copied().collect::<Vec<_>>() {
            for at in 0..self.hosts.len() {
                if self.sessions[&session].ends.contains(&at) {
                    self.close(at, session);
                    self.hosts[at].agreement.session_down(session, self.now);
                    self.drain(at);
                }
            }
        }
    }

    pub fn sessions_at(&self, at: usize) -> usize {
        self.sessions.values().filter(|tls| tls.ends.contains(&at)).count()
    }

    /// What a data plane does with a packet of a guest. Whether it left.
    pub fn send(&mut self, from: usize, to: usize, domain: Domain, shard: u16) -> bool {
        let now = self.now;
        let size = 40 + self.below(200) as usize;
        let sender = &mut self.hosts[from];
        let sa = sender.sas.outbound(domain, host(to), shard).cloned();
        let Some((sa, sequence)) = sa.and_then(|sa| sa.reserve(1, size as u64).ok().map(|first| (sa, first))) else {
            let wanted = sender.agreement.want(domain, host(to), shard, now);
            assert_eq!(wanted.is_ok(), sender.rights.contains(&(from, to, domain)));
            self.drain(from);
            return false;
        };
        assert!(sender.rights.contains(&(from, to, domain)), "sealed in a domain that is not permitted");
        self.serial += 1;
        let mut inner = vec![0; 20];
        (inner[0], inner[3]) = (0x45, size as u8);
        inner[SERIAL].copy_from_slice(&self.serial.to_be_bytes());
        inner.resize_with(size, || self.rng.next_u32() as u8);
        let mut packet = vec![0; sealed_len(size)];
        packet[HEADER_LEN..][..size].copy_from_slice(&inner);
        sa.seal(sequence, &mut packet, size, next_header::IPV4);
        assert!(!packet.windows(16).any(|bytes| bytes == &inner[20..36]), "in clear");
        self.sent.insert(self.serial, inner);
        self.carry(from, to, &packet);
        true
    }

    fn carry(&mut self, from: usize, to: usize, packet: &[u8]) {
        self.overheard.push_back((from, to, packet.to_vec()));
        if self.overheard.len() > OVERHEARD_MAX {
            self.overheard.pop_front();
        }
        let copies = 1 + u64::from(self.happens(self.faults.duplication));
        for _ in 0..copies {
            if self.faults.is_partitioned || self.happens(self.faults.loss) {
                continue;
            }
            let mut bytes = packet.to_vec();
            if self.happens(self.faults.corruption) {
                let at = self.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << self.below(8);
            }
            self.later(self.faults.delay, Event::Packet { from, to, bytes });
        }
        if self.happens(self.faults.replay) {
            let at = self.below(self.overheard.len() as u64) as usize;
            let (from, to, bytes) = self.overheard[at].clone();
            // Also back to where it came from.
            let to = if self.happens(100) { from } else { to };
            self.later(self.faults.delay, Event::Packet { from, to, bytes });
        }
    }

    fn later(&mut self, delay: u64, event: Event) {
        let wait = 1 + self.below(delay + 1);
        self.serial += 1;
        self.events.insert((self.now + Duration::millis(wait as i64), self.serial), event);
    }

    /// Everything that happens within this time.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        for _ in 0..1_000_000 {
            let timeouts = self.hosts.iter().filter_map(|host| host.agreement.poll_timeout());
            let next = self.events.keys().next().map(|(at, _)| *at).into_iter().chain(timeouts).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let event = entry.remove();
                self.happen(event);
            }
            for at in 0..self.hosts.len() {
                if self.hosts[at].agreement.poll_timeout().is_some_and(|due| due <= self.now) {
                    self.hosts[at].agreement.handle_timeout(self.now);
                    self.drain(at);
                }
            }
        }
        panic!("the hosts do not come to rest");
    }

    fn happen(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Message { to, session, frame } => {
                let message = message::decode(&frame).unwrap();
                let secrets = Secrets { sessions: &self.sessions, at: to };
                self.hosts[to].agreement.message(session, message, now, &secrets);
                self.drain(to);
            }
            Event::Packet { from, to, bytes } => self.receive(from, to, &bytes),
            Event::Connected { session } => {
                let Tls { client, server, .. } = self.sessions[&session];
                for (at, other, role) in [(server, client, Role::Server), (client, server, Role::Client)] {
                    if self.sessions[&session].ends.contains(&at) {
                        self.hosts[at].agreement.session_up(session, host(other), role, true, now);
                        self.drain(at);
                    }
                }
            }
            Event::Failed { from, to } => {
                self.hosts[from].agreement.connect_failed(host(to), now);
                self.drain(from);
            }
            Event::Down { at, session } => {
                if self.sessions.get_mut(&session).is_some_and(|tls| tls.ends.remove(&at)) {
                    self.hosts[at].agreement.session_down(session, now);
                    self.drain(at);
                }
            }
        }
    }

    fn receive(&mut self, from: usize, to: usize, bytes: &[u8]) {
        let now = self.now;
        let receiver = &mut self.hosts[to];
        let spi = u32::from_be_bytes(bytes[..4].try_into().unwrap());
        let Some(sa) = receiver.sas.inbound(spi) else {
            receiver.agreement.unknown_spi(host(from), spi, now);
            self.drain(to);
            return;
        };
        let mut buf = bytes.to_vec();
        match sa.lock().open(&mut buf, 0..bytes.len(), 0) {
            Ok(opened) => {
                let inner = &buf[opened.inner];
                let number = u64::from_be_bytes(inner[SERIAL].try_into().unwrap());
                assert_eq!(Some(inner), self.sent.get(&number).map(|inner| &inner[..]), "altered");
                assert_eq!(sa.identity().host, host(from), "from another host");
                let right = (from, to, sa.identity().domain);
                assert!(receiver.rights.contains(&right), "opened in a domain that is not permitted");
                assert_eq!(self.delivered.insert(number, right), None, "delivered twice");
            }
            Err(error) => *self.refusals.entry(name(error)).or_default() += 1,
        }
    }

    /// How many packets have been delivered.
    pub fn delivered(&self) -> usize {
        self.delivered.len()
    }

    /// Which rights packets have come by since `since` of them.
    pub fn delivered_rights(&self, since: u64) -> BTreeSet<Right> {
        self.delivered.range(since..).map(|(_, right)| *right).collect()
    }

    pub fn serial(&self) -> u64 {
        self.serial
    }

    pub fn outbound(&self, from: usize, to: usize, domain: Domain) -> Option<Arc<Outbound>> {
        self.hosts[from].sas.outbound(domain, host(to), 0).cloned()
    }

    pub fn inbound(&self, at: usize, spi: u32) -> Option<Arc<Inbound>> {
        self.hosts[at].sas.inbound(spi).cloned()
    }

    fn close(&mut self, at: usize, session: SessionId) {
        let Some(tls) = self.sessions.get_mut(&session) else { return };
        if tls.ends.remove(&at) {
            let other = if tls.client == at { tls.server } else { tls.client };
            if tls.ends.contains(&other) {
                self.later(0, Event::Down { at: other, session });
            }
        }
    }

    /// Does what the host's brain says.
    pub fn drain(&mut self, at: usize) {
        while let Some(effect) = self.hosts[at].agreement.poll_effect() {
            self.hosts[at].effects.push(effect.clone());
            if self.hosts[at].effects.len() > 10_000 {
                self.hosts[at].effects.clear();
            }
            match effect {
                Effect::Changed => self.hosts[at].sas = self.hosts[at].agreement.sas(),
                Effect::Connect { host: to } => self.connect(at, to),
                Effect::Close { session } => self.close(at, session),
                Effect::Send { session, message } => self.say(at, session, &message),
            }
        }
    }

    fn connect(&mut self, from: usize, to: HostId) {
        let to = (0..self.hosts.len()).find(|n| host(*n) == to).unwrap();
        self.hosts[from].connects.push(self.now);
        if self.faults.is_partitioned || self.happens(self.faults.loss) {
            self.later(500, Event::Failed { from, to });
            return;
        }
        self.serial += 1;
        let session = SessionId(self.serial);
        let (secret, ends) = (self.rng.next_u64(), BTreeSet::from([from, to]));
        self.sessions.insert(session, Tls { client: from, server: to, secret, ends });
        self.later(self.faults.delay, Event::Connected { session });
    }

    fn say(&mut self, at: usize, session: SessionId, message: &Message) {
        let Some(tls) = self.sessions.get(&session).filter(|tls| tls.ends.contains(&at)) else { return };
        let to = if tls.client == at { tls.server } else { tls.client };
        if !tls.ends.contains(&to) || self.faults.is_partitioned {
            return;
        }
        if self.happens(self.faults.reset) {
            self.later(0, Event::Down { at, session });
            self.later(0, Event::Down { at: to, session });
            return;
        }
        let frame = message::encode(message);
        if self.happens(self.faults.message_faults) {
            match self.below(3) {
                0 => return,
                1 => self.later(5000, Event::Message { to, session, frame: frame.clone() }),
                _ => self.later(0, Event::Message { to, session, frame: frame.clone() }),
            }
        }
        let delay = if self.happens(self.faults.message_faults) { 5000 } else { 0 };
        self.later(delay, Event::Message { to, session, frame });
    }
}

impl Host {
    fn new(n: usize, now: Time, rng: &mut ChaCha8Rng) -> Host {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let config = Config { host: host(n), underlay_mtu: if n == 0 { 1500 } else { 9000 }, seed };
        let agreement = Agreement::new(&config, now);
        Host { agreement, sas: Sas::default(), rights: BTreeSet::new(), effects: Vec::new(), connects: Vec::new() }
    }
}

fn name(error: OpenError) -> &'static str {
    match error {
        OpenError::Replayed => "replayed",
        OpenError::TooOld => "too old",
        OpenError::Authentication => "authentication",
        OpenError::Malformed => "malformed",
        OpenError::Expired => "expired",
        OpenError::Revoked => "revoked",
    }
}
