//! The release gate: random worlds and packets, the data plane against the reference. `SIM_CASES` and `SIM_SEED` make the same test longer
//! and other.

use std::sync::Arc;

use model::intent::VpcSlice;
use model::{AclAction, Duration, PeeringStatus};
use policy::Timeouts;
use sim::{Options, compare, slices, sweep::sweep};

fn number(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a whole number")),
        Err(_) => otherwise,
    }
}

#[test]
fn packets_and_model_agree() {
    let cases = number("SIM_CASES", 200_000);
    let sweep = sweep(number("SIM_SEED", 1), cases.div_ceil(compare::STEPS as u64), |_| {});
    if let Some((count, _, first)) = sweep.mismatches.values().next() {
        panic!("{} mismatches, of this kind {count}:\n{first}", sweep.mismatches());
    }
    let summary = &sweep.summary;
    println!("{summary}");

    // Nothing here may come true because it never came up.
    let least = summary.cases / 1000;
    let reasons = [
        "D01", "D02", "D03", "D04", "D05", "D07", "D08", "D09", "D12", "D13", "D14", "D19", "D20", "D21", "D22", "D23",
        "D28", "D29", "D30", "D39",
    ];
    for reason in reasons {
        let count = summary.denied.get(reason).copied().unwrap_or(0);
        assert!(count >= least, "{reason} came up {count} times only: {summary}");
    }
    assert!(summary.cases >= cases / 10 * 9 && summary.delivered >= summary.cases / 4, "{summary}");
    assert!(summary.hits >= summary.cases / 100, "the cache was hardly asked: {summary}");
    let between_hosts = [summary.sealed, summary.keys, summary.permitted, summary.forbidden];
    assert!(
        between_hosts.iter().all(|count| *count >= least * 10),
        "hardly anything happened between hosts: {summary}"
    );
    assert!(summary.explained.iter().all(|count| *count >= least * 5), "hardly anything was explained: {summary}");
}

/// Where instances are changes nothing but the way.
#[test]
fn hosts_change_nothing() {
    let mut sealed = 0;
    for seed in 9000..9040 {
        for hosts in 2..=3 {
            let options = Options { hosts, ..Options::default() };
            let summary = compare::run(seed, options).unwrap_or_else(|wrong| panic!("{hosts} hosts: {wrong}"));
            sealed += summary.sealed;
            let again = compare::run(seed, Options { secret: 7, drops_cache: true, ..options });
            let again = again.unwrap_or_else(|wrong| panic!("{hosts} hosts: {wrong}"));
            assert_eq!(again.trace, summary.trace, "seed {seed}");
        }
    }
    assert!(sealed > 2000, "{sealed}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..12 {
        let once = compare::run(seed, Options::default()).unwrap_or_else(|wrong| panic!("{wrong}"));
        let twice = compare::run(seed, Options::default()).unwrap_or_else(|wrong| panic!("{wrong}"));
        assert_eq!(once, twice, "seed {seed}");
        let other = compare::run(seed + 1000, Options::default()).unwrap_or_else(|wrong| panic!("{wrong}"));
        assert_ne!(once.trace, other.trace);
    }
}

/// A cache that is dropped, that is not there, or that is too small; another secret; packets in other shapes.
#[test]
fn speed_and_shape_change_nothing() {
    let plain = Options { is_dressed: false, ..Options::default() };
    let others = [
        Options { drops_cache: true, ..plain },
        Options { cache_lines: 0, ..plain },
        Options { cache_lines: 4, secret: 99, ..plain },
        Options::default(),
    ];
    let (mut hits, mut dropped) = (0, 0);
    for seed in 5000..5030 {
        let first = compare::run(seed, plain).unwrap_or_else(|wrong| panic!("{wrong}"));
        for other in others {
            let second = compare::run(seed, other).unwrap_or_else(|wrong| panic!("{wrong}"));
            assert_eq!((first.trace, &first.denied), (second.trace, &second.denied), "seed {seed}, {other:?}");
            dropped += if other.drops_cache { second.hits } else { 0 };
            assert!(other.cache_lines > 0 || second.hits == 0);
        }
        hits += first.hits;
    }
    assert!(dropped < hits, "dropping the cache must cost something: {dropped} of {hits}");
}

#[test]
fn a_hosts_slice_judges_as_the_whole() {
    let mut total = slices::Compared::default();
    for seed in 0..60 {
        let compared = slices::run(seed, compare::STEPS).unwrap_or_else(|wrong| panic!("{wrong}"));
        total.egress += compared.egress;
        total.ingress += compared.ingress;
        total.between_hosts += compared.between_hosts;
    }
    assert!(total.egress > 5000 && total.ingress > 3000 && total.between_hosts > 1000, "{total:?}");
}

/// What the data plane is told wrongly.
type Lie = fn(&mut VpcSlice);

/// The test of the test: if the data plane were told something wrong, it would be seen.
#[test]
fn a_wrong_table_is_found() {
    let lies: [(&str, Lie); 16] = [
        ("a blackhole is passed over", |slice| {
            let active: Vec<_> = slice.peers.iter().map(|peer| peer.peering).collect();
            for table in &mut slice.route_tables {
                let is_dead = |target| matches!(target, model::RouteTarget::Peering(id) if !active.contains(&id));
                Arc::make_mut(table).routes.retain(|route| !is_dead(route.target));
            }
        }),
        ("every peering is active", |slice| {
            slice.peerings.iter_mut().for_each(|pcx| Arc::make_mut(pcx).status = PeeringStatus::Active);
        }),
        ("the peer's blocks are the whole world", |slice| {
            for pcx in &mut slice.peerings {
                let pcx = Arc::make_mut(pcx);
                pcx.requester.cidrs.push(model::Ipv4Cidr::ALL);
                pcx.accepter.cidrs.push(model::Ipv4Cidr::ALL);
            }
        }),
        ("nobody of a peer bears a group", |slice| {
            slice.peers.iter_mut().flat_map(|peer| &mut peer.members).for_each(|member| member.groups.clear());
        }),
        ("a peer's groups are gone", |slice| slice.peers.iter_mut().for_each(|peer| peer.groups.clear())),
        ("every source is checked", |slice| {
            slice.endpoints.iter_mut().for_each(|e| Arc::make_mut(&mut e.interface).source_dest_check = true);
        }),
        ("no source is checked", |slice| {
            slice.endpoints.iter_mut().for_each(|e| Arc::make_mut(&mut e.interface).source_dest_check = false);
        }),
        ("everything runs", |slice| slice.endpoints.iter_mut().for_each(|endpoint| endpoint.is_up = true)),
        ("ACL rules come in another order", |slice| {
            for acl in &mut slice.network_acls {
                let acl = Arc::make_mut(acl);
                let entries = std::mem::take(&mut acl.ingress);
                acl.ingress = entries.into_iter().map(|(number, entry)| (32_766 - number, entry)).collect();
            }
        }),
        ("ACLs deny nothing on the way out", |slice| {
            for acl in &mut slice.network_acls {
                Arc::make_mut(acl).egress.values_mut().for_each(|entry| entry.action = AclAction::Allow);
            }
        }),
        ("a range of ports has one more", |slice| {
            for group in &mut slice.security_groups {
                for rule in Arc::make_mut(group).rules.values_mut() {
                    if let model::Ports::Range { from, to } = rule.ports {
                        rule.ports = model::Ports::Range { from: from.saturating_sub(31), to };
                    }
                }
            }
        }),
        ("every subnet has the main table", |slice| {
            slice.subnets.iter_mut().for_each(|subnet| Arc::make_mut(subnet).route_table = None);
        }),
        ("every list has an entry less", |slice| {
            slice.prefix_lists.values_mut().for_each(|list| list.truncate(list.len().saturating_sub(1)));
        }),
        ("lists are told without their entries", |slice| slice.prefix_lists.values_mut().for_each(Vec::clear)),
        ("no interface has times of its own", |slice| {
            for endpoint in &mut slice.endpoints {
                Arc::make_mut(&mut endpoint.interface).connection_tracking = model::ConnectionTracking::default();
            }
        }),
        ("secondary addresses are forgotten", |slice| {
            slice.endpoints.iter_mut().for_each(|e| Arc::make_mut(&mut e.interface).private_ips.truncate(1));
        }),
    ];
    for (what, doctor) in lies {
        assert!(is_found(Options { doctor, ..Options::default() }), "{what}: and nobody noticed");
        let told = Options { analyser_doctor: doctor, ..Options::default() };
        assert!(is_found(told), "the analyser is told that {what}: and nobody noticed");
    }
    let of_hosts: [(&str, Lie); 4] = [
        ("everybody is on the first host", |slice| {
            let first: Option<model::HostId> = "host-a".parse().ok();
            slice.endpoints.iter_mut().for_each(|endpoint| endpoint.host = first);
        }),
        ("a peer's interfaces are nowhere", |slice| {
            slice.peers.iter_mut().flat_map(|peer| &mut peer.members).for_each(|member| member.host = None);
        }),
        ("a peer is not told of", |slice| slice.peers.truncate(1)),
        ("everything with a record is a peer", |slice| {
            for pcx in &slice.peerings {
                let other = if pcx.requester.vpc == slice.vpc.id { pcx.accepter.vpc } else { pcx.requester.vpc };
                if slice.peers.iter().all(|peer| peer.peering != pcx.id)
                    && let Some(member) = slice.endpoints.first()
                {
                    let host = member.host;
                    let interface = model::ResourceId::from_random(u128::MAX);
                    let (addresses, groups) = Default::default();
                    let resource_name = None;
                    let members = vec![model::federation::Member { interface, addresses, groups, host, resource_name }];
                    slice.peers.push(model::intent::Peer { peering: pcx.id, vpc: other, members, groups: Vec::new() });
                }
            }
        }),
    ];
    for (what, doctor) in of_hosts {
        assert!(is_found(Options { doctor, hosts: 2, ..Options::default() }), "{what}: and nobody noticed");
    }
    let second = Duration::seconds(1);
    let normal = Timeouts::default();
    let clocks = [
        Timeouts { udp: normal.udp + second + second + second, ..normal },
        Timeouts { tcp_half: Duration::seconds(50), ..normal },
        Timeouts { tcp_closed: Duration::seconds(20), ..normal },
        Timeouts { icmp: Duration::seconds(20), ..normal },
    ];
    for timeouts in clocks {
        assert!(is_found(Options { timeouts, ..Options::default() }), "{timeouts:?}: and nobody noticed");
    }
}

fn is_found(options: Options) -> bool {
    (0..400).any(|seed| compare::run(seed, options).is_err())
}
