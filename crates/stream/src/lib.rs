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
//! ```
//!
//! Frames are a length (32 bits, big-endian, at most [`FRAME_MAX`]) and JSON.

mod digest;
mod frame;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::intent::{Intent, VpcSlice};
use model::{HostId, Instance, InstanceId, Region, VpcId};
use serde::{Deserialize, Serialize};

pub use digest::Digest;
pub use frame::{FRAME_MAX, FrameError, decode, encode, length};

/// What a host has, by digest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    pub vpcs: BTreeMap<VpcId, Digest>,
    pub instances: BTreeMap<InstanceId, Digest>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToServer {
    Hello {
        host: HostId,
        has: Digests,
    },
    /// Everything up to these revisions is in force.
    Applied {
        revisions: BTreeMap<Region, u64>,
    },
    Report(Report),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToAgent {
    Update(Update),
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
    /// Could not be started, or ended by itself; the text is for the instance's state reason.
    Failed(String),
}

/// The difference between two intents, and the digest of what comes out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    pub revisions: BTreeMap<Region, u64>,
    /// `None`: gone.
    pub vpcs: BTreeMap<VpcId, Option<Arc<VpcSlice>>>,
    pub instances: BTreeMap<InstanceId, Option<Arc<Instance>>>,
    /// Of [`Digests::of`] the whole intent.
    pub whole: Digest,
}

impl Digests {
    pub fn of(intent: &Intent) -> Digests {
        Digests {
            vpcs: intent.vpcs.iter().map(|(id, slice)| (*id, Digest::of(slice))).collect(),
            instances: intent.instances.iter().map(|(id, instance)| (*id, Digest::of(instance))).collect(),
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
            whole: digests.whole(),
        }
    }

    /// Nothing to tell but revisions.
    pub fn is_empty(&self) -> bool {
        self.vpcs.is_empty() && self.instances.is_empty()
    }

    /// The intent after the update, with its digests.
    ///
    /// # Errors
    /// [`Diverged`] where the two ends do not have the same: nothing must be applied then.
    pub fn apply(self, mut intent: Intent) -> Result<(Intent, Digests), Diverged> {
        merge(&mut intent.vpcs, self.vpcs);
        merge(&mut intent.instances, self.instances);
        intent.revisions = self.revisions;
        let digests = Digests::of(&intent);
        match digests.whole() {
            actual if actual == self.whole => Ok((intent, digests)),
            actual => Err(Diverged { expected: self.whole, actual }),
        }
    }
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
    use model::{AccountId, InstanceState, ResourceId, Tags, Time, Zone};
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
            launched: Time::EPOCH,
            terminated: None,
            user_data: Vec::new(),
            key_name: None,
            client_token: None,
            disable_api_termination: false,
            disable_api_stop: false,
            shutdown_behavior: "stop".into(),
            starts,
            tags: Tags::new(),
        })
    }

    fn intents() -> impl Strategy<Value = Intent> {
        proptest::collection::btree_map(0_u8..6, 0_u32..3, 0..6).prop_map(|instances| Intent {
            instances: instances
                .into_iter()
                .map(|(n, starts)| (InstanceId::from_random(n.into()), instance(n, starts)))
                .collect(),
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
