//! What do server and agent say to each other?
//!
//! The server tells each host its whole intent; what travels is only what differs from what the host says it has, by
//! digest, and the host proves by the digest of the whole that it now has the same. A host that cannot says `Hello` anew
//! with nothing, and is told everything.
//!
//! ```text
//!   agent ── Hello{host, has} ─▶ server
//!   agent ◀─ Update{what differs, digest of the whole} ── server      (again at every change)
//!   agent ── Applied{revisions} ─▶ server                             (packets follow it now)
//!   agent ── Report{instance, condition} ─▶ server
//!   agent ◀─ Console{instance} ── server           (when somebody asks)
//!   agent ── Console{instance, written, output} ─▶ server
//!
//!   agent ── Certify{host, request, token} ─▶ server    (to join, with a token; to renew, without, on a connection that is its own)
//!   agent ◀─ Certificate{chain, root} ── server
//!          ◀─ NoCertificate(why)
//!
//!   agent ◀─ Authority{roots} ── server            (after the hello, and when the authority is rotated)
//!   agent ── Believes{roots, by} ─▶ server
//! ```
//!
//! Between machines this is spoken inside TLS 1.3 ([`ALPN`]). The server shows a certificate that names [`SERVER_URI`] and, behind it,
//! its authority's root; the host shows its own, or none if it has none yet.
//!
//! A host that joins says `Certify` before `Hello`; it believes the root whose key its token names ([`JoinToken`]) and no other.
//!
//! The two ends may be of different versions ([`hear`]).
//!
//! Frames are a length (32 bits, big-endian, at most [`FRAME_MAX`]) and JSON.

mod bytes;
mod digest;
mod frame;
mod growth;
mod join;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use model::intent::{Intent, VpcSlice};
use model::{
    Host, HostId, Instance, InstanceId, KeyFingerprint, NameSuffixes, PublicIpv6, PublicPlace, Region, Time, VpcId,
};
use serde::{Deserialize, Serialize};

pub use bytes::Bytes;
pub use digest::Digest;
pub use frame::{FRAME_MAX, FrameError, decode, encode, length};
pub use growth::{Heard, hear, known};
pub use join::{JoinSecret, JoinToken, JoinTokenError, SERVER_URI, fingerprint, host_of, host_uri};

/// What is spoken inside TLS (RFC 7301).
pub const ALPN: &[u8] = b"peerway-hosts/1";

/// What a host has, by digest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    pub vpcs: BTreeMap<VpcId, Digest>,
    pub instances: BTreeMap<InstanceId, Digest>,
    pub hosts: BTreeMap<HostId, Digest>,
    #[serde(default)]
    pub public: BTreeMap<Ipv4Addr, Digest>,
    #[serde(default)]
    pub public_ipv6: BTreeMap<Ipv6Addr, Digest>,
    /// `None`: AWS's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Digest>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToServer {
    Hello {
        host: HostId,
        has: Digests,
        /// How other hosts reach it; `None`: it is the only one.
        place: Option<Host>,
        /// The names of the messages of [`ToAgent`] that it knows; empty: it is of a version before there was this member.
        #[serde(default)]
        knows: BTreeSet<String>,
    },
    /// Everything up to these revisions is in force.
    Applied {
        revisions: BTreeMap<Region, u64>,
    },
    Report(Report),
    /// What was asked for with [`ToAgent::Console`].
    Console(Console),
    /// Asks for a certificate of a key that the agent made and keeps.
    Certify {
        host: HostId,
        /// PKCS #10, DER, signed with the key. Names in it are not read.
        csr: Bytes,
        /// `None`: the connection already is this host's.
        token: Option<JoinSecret>,
        /// Where other hosts will reach it; written down with the key when a token is spent.
        underlay: Option<SocketAddr>,
    },
    /// Which roots this host believes, and the one that its own certificate is from, by their keys: what was told with
    /// [`ToAgent::Authority`] is so from here on.
    Believes {
        roots: BTreeSet<KeyFingerprint>,
        by: Option<KeyFingerprint>,
    },
    /// A message that this host does not know, by its name.
    Unsupported {
        message: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToAgent {
    Update(Update),
    Certificate {
        /// X.509, DER; the host's own first. Without the root.
        chain: Vec<Bytes>,
        /// X.509, DER: where every host's chain ends.
        root: Bytes,
    },
    NoCertificate(NoCertificate),
    /// Asks what an instance's console said last.
    Console {
        instance: InstanceId,
    },
    /// Which roots to believe from here on, each X.509, DER; the first certifies, and a host with another's certificate asks for a new one.
    Authority {
        roots: Vec<Bytes>,
    },
    /// A message that the server does not know, by its name.
    Unsupported {
        message: String,
    },
}

/// Roots that are believed at one time: the one that certifies, and while it is rotated the one before it or after it.
pub const ROOTS_MAX: usize = 4;

/// What an instance's first program and init said last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Console {
    pub instance: InstanceId,
    /// When something was said last, in the host's time.
    pub written: Time,
    /// At most [`CONSOLE_MAX`] bytes; empty: nothing was said, or the instance is not there.
    pub output: Bytes,
}

/// The most that is told of a console, in bytes: its end.
pub const CONSOLE_MAX: usize = 64 << 10;

/// Why a host gets no certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum NoCertificate {
    /// Which of these it is, is not said.
    #[error("the join token is unknown, spent, expired or another host's; ask for a new one")]
    Token,
    /// The token is good, and not spent.
    #[error("host {0} has joined already, with another key; revoke it first, or ask for a token made for that name")]
    Taken(HostId),
    #[error("this host was revoked, or has joined anew with another key; give it a fresh directory and a new token")]
    Revoked,
    /// Neither a token nor a connection that is the host's own.
    #[error("the host is not known on this connection; give a join token")]
    Stranger,
    #[error("the request cannot be certified: {0}")]
    Request(String),
    /// The server's log says why.
    #[error("the server cannot certify now; try again")]
    Unavailable,
}

/// What became of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub instance: InstanceId,
    /// Which start of it this is about: an old report must not stop a new start.
    pub starts: u32,
    pub condition: Condition,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    Running,
    /// Its process tree is gone; its files are kept.
    Stopped,
    /// Gone with its files.
    Terminated,
    /// It shut itself down: its process tree is gone by its own will; its files are kept.
    Ended,
    /// Could not be started, or was ended by something else; the text is for the instance's state reason.
    Failed(String),
}

/// The difference between two intents, and the digest of what comes out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    pub revisions: BTreeMap<Region, u64>,
    /// `None`: gone.
    pub vpcs: BTreeMap<VpcId, Option<Arc<VpcSlice>>>,
    pub instances: BTreeMap<InstanceId, Option<Arc<Instance>>>,
    pub hosts: BTreeMap<HostId, Option<Arc<Host>>>,
    #[serde(default)]
    pub public: BTreeMap<Ipv4Addr, Option<Arc<PublicPlace>>>,
    #[serde(default)]
    pub public_ipv6: BTreeMap<Ipv6Addr, Option<Arc<PublicIpv6>>>,
    /// What the cloud's own names end with, where that differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Arc<NameSuffixes>>,
    /// Of [`Digests::of`] the whole intent.
    pub whole: Digest,
}

impl Digests {
    pub fn of(intent: &Intent) -> Digests {
        Digests {
            vpcs: digests(&intent.vpcs),
            instances: digests(&intent.instances),
            hosts: digests(&intent.hosts),
            public: digests(&intent.public),
            public_ipv6: digests(&intent.public_ipv6),
            names: (!intent.names.is_aws()).then(|| Digest::of(&*intent.names)),
        }
    }

    /// One digest for the whole.
    pub fn whole(&self) -> Digest {
        Digest::of(self)
    }
}

/// Why an update cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("after the update the digest is {actual}, the server's is {expected}; say hello anew with nothing")]
pub struct Diverged {
    pub expected: Digest,
    pub actual: Digest,
}

impl Update {
    /// What a host that has this must be told to have that.
    pub fn between(has: &Digests, wants: &Intent) -> Update {
        let digests = Digests::of(wants);
        Update {
            revisions: wants.revisions.clone(),
            vpcs: difference(&has.vpcs, &digests.vpcs, &wants.vpcs),
            instances: difference(&has.instances, &digests.instances, &wants.instances),
            hosts: difference(&has.hosts, &digests.hosts, &wants.hosts),
            public: difference(&has.public, &digests.public, &wants.public),
            public_ipv6: difference(&has.public_ipv6, &digests.public_ipv6, &wants.public_ipv6),
            names: (has.names != digests.names).then(|| wants.names.clone()),
            whole: digests.whole(),
        }
    }

    /// Nothing to tell but revisions.
    pub fn is_empty(&self) -> bool {
        self.vpcs.is_empty()
            && self.instances.is_empty()
            && self.hosts.is_empty()
            && self.public.is_empty()
            && self.public_ipv6.is_empty()
            && self.names.is_none()
    }

    /// The intent after the update, with its digests.
    ///
    /// # Errors
    /// [`Diverged`] where the two ends do not have the same: nothing must be applied then.
    pub fn apply(self, mut intent: Intent) -> Result<(Intent, Digests), Diverged> {
        merge(&mut intent.vpcs, self.vpcs);
        merge(&mut intent.instances, self.instances);
        merge(&mut intent.hosts, self.hosts);
        merge(&mut intent.public, self.public);
        merge(&mut intent.public_ipv6, self.public_ipv6);
        intent.names = self.names.unwrap_or(intent.names);
        intent.revisions = self.revisions;
        let digests = Digests::of(&intent);
        match digests.whole() {
            actual if actual == self.whole => Ok((intent, digests)),
            actual => Err(Diverged { expected: self.whole, actual }),
        }
    }
}

fn digests<K: Ord + Copy, V: Serialize>(values: &BTreeMap<K, Arc<V>>) -> BTreeMap<K, Digest> {
    values.iter().map(|(id, value)| (*id, Digest::of(value))).collect()
}

fn difference<K: Ord + Copy, V>(
    has: &BTreeMap<K, Digest>,
    digests: &BTreeMap<K, Digest>,
    wants: &BTreeMap<K, Arc<V>>,
) -> BTreeMap<K, Option<Arc<V>>> {
    let gone = has.keys().filter(|id| !wants.contains_key(id)).map(|id| (*id, None));
    let differs =
        wants.iter().filter(|(id, _)| has.get(id) != digests.get(id)).map(|(id, value)| (*id, Some(value.clone())));
    gone.chain(differs).collect()
}

fn merge<K: Ord, V>(into: &mut BTreeMap<K, Arc<V>>, from: BTreeMap<K, Option<Arc<V>>>) {
    for (id, value) in from {
        match value {
            Some(value) => into.insert(id, value),
            None => into.remove(&id),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{AccountId, InstanceState, MetadataOptions, ResourceId, Suffixes, Tags, Time, Zone};
    use proptest::prelude::*;

    fn instance(n: u8, starts: u32) -> Arc<Instance> {
        let region: Region = "us-east-1".parse().unwrap();
        let owner: AccountId = "111111111111".parse().unwrap();
        Arc::new(Instance {
            id: InstanceId::from_random(n.into()),
            owner,
            reservation: ResourceId::from_random(1),
            launch_index: 0,
            image: ResourceId::from_random(1),
            instance_type: "t3.micro".into(),
            vpc: ResourceId::from_random(1),
            subnet: ResourceId::from_random(1),
            zone: Zone::all(region).next().unwrap(),
            host: None,
            state: InstanceState::Pending,
            state_reason: None,
            stop_asked: None,
            launched: Time::EPOCH,
            terminated: None,
            user_data: Vec::new(),
            metadata: MetadataOptions::default(),
            key_name: None,
            public_key: None,
            client_token: None,
            disable_api_termination: false,
            disable_api_stop: false,
            shutdown_behavior: "stop".into(),
            private_dns: Default::default(),
            options: model::InstanceOptions::default(),
            volumes: Vec::new(),
            starts,
            tags: Tags::new(),
        })
    }

    fn host(n: u8, port: u16) -> (HostId, Arc<Host>) {
        let id = format!("host-{n}").parse().unwrap();
        let underlay = ([198, 18, 0, n], port).into();
        (id, Arc::new(Host { id, underlay, key: KeyFingerprint([n; 32]) }))
    }

    /// AWS's, or an operator's.
    fn suffixes(n: u8) -> Arc<NameSuffixes> {
        let chosen = (n > 0).then(|| format!("cloud-{n}.example").parse().unwrap());
        Arc::new(NameSuffixes::new(Suffixes::aws_private(), Suffixes::aws_public().chosen(None, chosen)).unwrap())
    }

    /// Who chose nothing says nothing: agents that know of no choice have the same digest.
    #[test]
    fn names_as_aws_has_them_are_not_spoken_of() {
        let (aws, other) = (Intent::default(), Intent { names: suffixes(1), ..Intent::default() });
        let digests = serde_json::to_string(&Digests::of(&aws)).unwrap();
        let update = serde_json::to_string(&Update::between(&Digests::default(), &aws)).unwrap();
        assert!(!digests.contains("names") && !update.contains("names"), "{digests} {update}");
        let back = Update::between(&Digests::of(&other), &aws);
        assert_eq!(back.apply(other).unwrap().0, aws, "and a choice can be taken back");
    }

    fn intents() -> impl Strategy<Value = Intent> {
        let numbers = || proptest::collection::btree_map(0_u8..6, 0_u16..3, 0..6);
        let instance = |(n, starts): (u8, u16)| (InstanceId::from_random(n.into()), instance(n, starts.into()));
        (numbers(), numbers(), 0_u8..3).prop_map(move |(instances, hosts, names)| Intent {
            instances: instances.into_iter().map(instance).collect(),
            hosts: hosts.into_iter().map(|(n, port)| host(n, port)).collect(),
            names: suffixes(names),
            ..Intent::default()
        })
    }

    proptest! {
        #[test]
        fn an_update_leads_from_any_intent_to_any_other(from in intents(), to in intents()) {
            let update = Update::between(&Digests::of(&from), &to);
            prop_assert_eq!(update.is_empty(), from == to);
            let (after, digests) = update.apply(from).unwrap();
            prop_assert_eq!(&after, &to);
            prop_assert_eq!(digests, Digests::of(&to));
        }

        #[test]
        fn an_update_for_another_intent_is_refused(from in intents(), other in intents(), to in intents()) {
            let update = Update::between(&Digests::of(&from), &to);
            let fits = update.clone().apply(other.clone()).map(|(after, _)| after);
            prop_assert_eq!(fits.is_ok(), fits.as_ref().is_ok_and(|after| *after == to));
        }
    }
}
