//! Which ports can no rule tell apart? One of each class stands for all.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use model::{IpProtocol, Ports};

use crate::Network;

/// The first port of each class in a range, in order: the range's own first, and every one at which a rule of a security group or a
/// network ACL begins to match or has just ceased to.
pub(crate) fn representatives(network: &Network, protocol: u8, range: &RangeInclusive<u16>) -> Vec<u16> {
    let mut points = BTreeSet::from([*range.start()]);
    let mut add = |rule: IpProtocol, ports: Ports| {
        if let (true, Ports::Range { from, to }) = (rule.matches(protocol), ports) {
            points.extend([Some(from), to.checked_add(1)].into_iter().flatten().filter(|port| range.contains(port)));
        }
    };
    for slice in network.slices() {
        slice.security_groups.iter().flat_map(|group| group.rules.values()).for_each(|r| add(r.protocol, r.ports));
        let entries = slice.network_acls.iter().flat_map(|acl| acl.ingress.values().chain(acl.egress.values()));
        entries.for_each(|entry| add(entry.protocol, entry.ports));
    }
    points.into_iter().collect()
}
