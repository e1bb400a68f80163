//! All resolvers of a host: a view of each of its VPCs, and the cloud's public addresses.

use std::collections::BTreeMap;
use std::sync::Arc;

use hickory_proto::rr::RecordType;
use model::VpcId;
use model::intent::{Intent, VpcSlice};

use crate::view::View;
use crate::zone::Found;

/// What a host's VPCs resolve, as one intent says it. Immutable: a change makes another one.
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    intent: Arc<Intent>,
    views: BTreeMap<VpcId, (Arc<VpcSlice>, Arc<View>)>,
}

impl Resolver {
    /// What resolves by this intent; views of slices that are the very same as before are taken over.
    #[must_use]
    pub fn renew(&self, intent: &Arc<Intent>) -> Resolver {
        let view = |(id, slice): (&VpcId, &Arc<VpcSlice>)| {
            let before = self.views.get(id);
            let view = match before.filter(|(source, _)| Arc::ptr_eq(source, slice)) {
                Some((_, view)) => view.clone(),
                None => Arc::new(View::of(slice, before.map(|(_, view)| &**view))),
            };
            (*id, (slice.clone(), view))
        };
        Resolver { intent: intent.clone(), views: intent.vpcs.iter().map(view).collect() }
    }

    /// Whether the VPC has a resolver that answers (`enableDnsSupport`).
    pub fn is_on(&self, vpc: VpcId) -> bool {
        self.views.get(&vpc).is_some_and(|(_, view)| view.is_on)
    }

    /// The VPCs of which it knows.
    pub fn vpcs(&self) -> impl Iterator<Item = VpcId> {
        self.views.keys().copied()
    }

    /// What the VPC's resolver knows of a name; `None`: it does not answer.
    pub(crate) fn find(&self, vpc: VpcId, key: &str, kind: RecordType) -> Option<Found> {
        let (_, view) = self.views.get(&vpc)?;
        view.is_on.then(|| view.find(&self.intent, key, kind))
    }
}
