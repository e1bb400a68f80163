//! Questions to small clouds: what stands in the way, all of it, and that what is said to mend it does.

mod blockers;
mod crowd;
mod internet;
mod nat;
mod sets;
mod sight;

use alloc::vec::Vec;

use model::{AccountId, Direction, NetworkInterfaceId, PeeringId, SecurityGroupId, SubnetId, VpcId};
use policy::testing::{Lab, p};

use crate::*;

/// Two peered VPCs with routes both ways: X in A, of account 1, may send anything; Y in B, of account 2, serves TCP port 80 to A.
pub(crate) struct Pair {
    pub(crate) lab: Lab,
    pub(crate) a: VpcId,
    pub(crate) b: VpcId,
    pub(crate) sx: SubnetId,
    pub(crate) sy: SubnetId,
    pub(crate) x: NetworkInterfaceId,
    pub(crate) y: NetworkInterfaceId,
    pub(crate) gx: SecurityGroupId,
    pub(crate) gy: SecurityGroupId,
    pub(crate) pcx: PeeringId,
}

pub(crate) const A: &str = "111111111111";
pub(crate) const B: &str = "222222222222";

impl Pair {
    pub(crate) fn new() -> Pair {
        let mut lab = Lab::default();
        let a = lab.vpc(&["10.16.0.0/16", "fd16::/56"]);
        let b = lab.vpc(&["10.17.0.0/16", "fd17::/56"]);
        own(&mut lab, b, B);
        let sx = lab.subnet(a, &["10.16.1.0/24", "fd16:0:0:1::/64"]);
        let sy = lab.subnet(b, &["10.17.1.0/24", "fd17:0:0:1::/64"]);
        let x = lab.interface(sx, &["10.16.1.10", "fd16:0:0:1::10"]);
        let y = lab.interface(sy, &["10.17.1.10", "fd17:0:0:1::10"]);
        let pcx = lab.peering(a, b);
        lab.route_both(pcx);
        let (gx, gy) = (lab.group(a), lab.group(b));
        lab.allow_all(gx, Direction::Egress);
        lab.allow_tcp(gy, 80, "10.16.0.0/16");
        lab.allow_tcp(gy, 80, "fd16::/56");
        lab.set_groups(x, &[gx]);
        lab.set_groups(y, &[gy]);
        own(&mut lab, b, B);
        Pair { lab, a, b, sx, sy, x, y, gx, gy, pcx }
    }

    pub(crate) fn network(&self) -> Network {
        Network::new(self.lab.complete().into_values())
    }

    pub(crate) fn ends(&self, is_ipv6: bool) -> Ends {
        Ends { from: self.x, source: None, to: Goal::Interface(self.y), is_ipv6 }
    }

    /// TCP to port 80.
    pub(crate) fn question(&self, is_ipv6: bool) -> Question {
        let traffic = Traffic::Tcp { source: 40_000, destination: 80 };
        self.ends(is_ipv6).question(&self.network(), traffic, false).unwrap()
    }

    pub(crate) fn ask(&self) -> Answer {
        explain(&self.network(), &self.question(false))
    }
}

/// Gives all that is in a VPC to an account.
fn own(lab: &mut Lab, vpc: VpcId, account: &str) {
    use alloc::sync::Arc;
    let account: AccountId = p(account);
    let slice = lab.slice(vpc);
    Arc::make_mut(&mut slice.vpc).owner = account;
    slice.security_groups.iter_mut().for_each(|group| Arc::make_mut(group).owner = account);
    slice.network_acls.iter_mut().for_each(|acl| Arc::make_mut(acl).owner = account);
    slice.route_tables.iter_mut().for_each(|table| Arc::make_mut(table).owner = account);
    slice.endpoints.iter_mut().for_each(|endpoint| Arc::make_mut(&mut endpoint.interface).owner = account);
    for slice in lab.slices.values_mut() {
        for record in &mut slice.peerings {
            let record = Arc::make_mut(record);
            if let Some(side) = record.side_of(vpc) {
                record.side_mut(side).owner = account;
            }
        }
    }
}

/// Reasons of the blockers, in order.
pub(crate) fn codes(answer: &Answer) -> Vec<&'static str> {
    answer.blockers.iter().map(|blocker| blocker.code().unwrap_or("elsewhere")).collect()
}

/// Every mend of every blocker, made on the cloud as it was, lets packet and reply pass.
pub(crate) fn assert_mended(network: &Network, answer: &Answer) {
    assert!(answer.is_complete, "{:#?}", answer.blockers);
    assert!(answer.blockers.iter().all(|blocker| !blocker.mends.is_empty()), "{:#?}", answer.blockers);
    let mends: Vec<Mend> = answer.blockers.iter().flat_map(|blocker| blocker.mends.clone()).collect();
    let again = explain(&network.mended(mends), &answer.question);
    assert!(again.is_reachable(), "{:#?}", again.blockers);
}
