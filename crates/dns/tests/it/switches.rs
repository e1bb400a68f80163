//! Who sees what over a peering: every combination of the six switches, in one region and in two, in one account and in two, asked by
//! either side. What is expected is written from the specification (5.7, 9.3-9.5), without a look at the resolver.

use std::sync::Arc;

use hickory_proto::rr::RecordType;
use model::{AccountId, PeeringStatus};

use crate::world::{Cloud, OWN, OWN_PUBLIC, Said, THEIRS, THEIRS_PUBLIC, THEIRS_SHARED, data, p};

/// One row of the table.
#[derive(Clone, Copy, Debug)]
struct Case {
    own_support: bool,
    own_hostnames: bool,
    their_support: bool,
    their_hostnames: bool,
    /// `AllowDnsResolutionFromRemoteVpc` of either side.
    own_allows: bool,
    they_allow: bool,
    is_cross_region: bool,
    is_cross_account: bool,
    is_active: bool,
    /// The VPC that asks has requested the peering.
    asks_first: bool,
}

fn cases() -> impl Iterator<Item = Case> {
    (0..1_u32 << 10).map(|bits| {
        let bit = |at: u32| bits >> at & 1 == 1;
        Case {
            own_support: bit(0),
            own_hostnames: bit(1),
            their_support: bit(2),
            their_hostnames: bit(3),
            own_allows: bit(4),
            they_allow: bit(5),
            is_cross_region: bit(6),
            is_cross_account: bit(7),
            is_active: bit(8),
            asks_first: bit(9),
        }
    })
}

impl Case {
    fn cloud(self) -> Cloud {
        let mut cloud = Cloud::new(self.asks_first);
        let (own, peer) = (cloud.own, cloud.peer);
        if self.is_cross_region {
            cloud.move_peer("eu-west-1");
        }
        if self.is_cross_account {
            let other: AccountId = p("222222222222");
            Arc::make_mut(&mut cloud.slice(peer).vpc).owner = other;
            cloud.edit_peering(|peering| {
                let side = peering.side_of(peer).unwrap();
                peering.side_mut(side).owner = other;
            });
        }
        cloud.switch(own, self.own_support, self.own_hostnames);
        cloud.switch(peer, self.their_support, self.their_hostnames);
        cloud.allow(own, self.own_allows);
        cloud.allow(peer, self.they_allow);
        if !self.is_active {
            cloud.set_status(PeeringStatus::Deleted);
        }
        cloud
    }

    /// The domains of the peer's names.
    fn domains(self) -> (&'static str, &'static str) {
        match self.is_cross_region {
            false => ("ec2.internal", "compute-1.amazonaws.com"),
            true => ("eu-west-1.compute.internal", "eu-west-1.compute.amazonaws.com"),
        }
    }

    /// "For the option to have EFFECT both attributes must be on in both VPCs" (5.7.2).
    fn all_four(self) -> bool {
        self.own_support && self.own_hostnames && self.their_support && self.their_hostnames
    }

    /// 9.4.3: an active peering, the side that the name belongs to allows it, both VPCs have both attributes.
    fn public_name(self) -> &'static str {
        if self.is_active && self.they_allow && self.all_four() { THEIRS } else { THEIRS_PUBLIC }
    }

    /// 9.5: in one region always for RFC 1918, else only with the owning side's option.
    fn private_name(self) -> bool {
        self.is_active && self.all_four() && (!self.is_cross_region || self.they_allow)
    }

    /// 9.5: "other ranges only with the option on".
    fn private_name_of_other_range(self) -> bool {
        self.is_active && self.all_four() && self.they_allow
    }

    /// 9.4.2: private inside its own VPC if both attributes are on.
    fn own_public_name(self) -> &'static str {
        if self.own_support && self.own_hostnames { OWN } else { OWN_PUBLIC }
    }
}

fn dashed(address: &str) -> String {
    address.replace('.', "-")
}

#[test]
fn every_combination_is_as_the_specification_says() {
    for case in cases() {
        let cloud = case.cloud();
        let resolver = cloud.resolver();
        let ask = |name: String, kind| crate::world::ask(&resolver, cloud.own, &name, kind);
        // 9.1: enableDnsSupport off, no answer at all.
        let expect = |said: Said| if case.own_support { said } else { Said::Silence };
        let (private, public) = case.domains();
        let is_there = |there: bool, address: &str| if there { data(&[address]) } else { Said::NoName };
        assert_eq!(
            ask(format!("ec2-{}.{public}.", dashed(THEIRS_PUBLIC)), RecordType::A),
            expect(data(&[case.public_name()])),
            "the peer's public name: {case:?}"
        );
        assert_eq!(
            ask(format!("ip-{}.{private}.", dashed(THEIRS)), RecordType::A),
            expect(is_there(case.private_name(), THEIRS)),
            "the peer's private name: {case:?}"
        );
        assert_eq!(
            ask(format!("ip-{}.{private}.", dashed(THEIRS_SHARED)), RecordType::A),
            expect(is_there(case.private_name_of_other_range(), THEIRS_SHARED)),
            "the peer's private name outside RFC 1918: {case:?}"
        );
        assert_eq!(
            ask(format!("ec2-{}.compute-1.amazonaws.com.", dashed(OWN_PUBLIC)), RecordType::A),
            expect(data(&[case.own_public_name()])),
            "the own public name: {case:?}"
        );
        let own = case.own_support && case.own_hostnames;
        assert_eq!(
            ask(format!("ip-{}.ec2.internal.", dashed(OWN)), RecordType::A),
            expect(is_there(own, OWN)),
            "the own private name: {case:?}"
        );
        // 9.2: "addresses of the VPC (and peers resolvable privately)".
        for (name, address, domain, is_seen) in [
            ("5.0.0.10.in-addr.arpa.", OWN, "ec2.internal", own),
            ("5.0.1.10.in-addr.arpa.", THEIRS, private, case.private_name()),
            ("5.0.64.100.in-addr.arpa.", THEIRS_SHARED, private, case.private_name_of_other_range()),
        ] {
            let reverse = format!("ip-{}.{domain}.", dashed(address));
            let said = ask(name.into(), RecordType::PTR);
            assert_eq!(said, expect(is_there(is_seen, &reverse)), "the reverse name of {address}: {case:?}");
        }
    }
}
