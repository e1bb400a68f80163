//! The table in which a worker counts, and what is read out of it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use model::{Direction, NetworkAclId, NetworkInterfaceId, PeeringId, SecurityGroupRuleId, Time};
use policy::flow::protocol;
use policy::{Denied, FlowKey, Next, Scope};
use wire::Ip;
use wire::vnet::{GsoType, VnetHeader};

use crate::port::PORTS_MAX;

/// One line's worth of packets: those of one conversation at one interface, in one direction, with one outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId {
    pub interface: NetworkInterfaceId,
    /// As its guest sees it.
    pub direction: Direction,
    pub src: IpAddr,
    pub dst: IpAddr,
    pub protocol: u8,
    /// 0 where the protocol has no ports; so also of ICMP.
    pub src_port: u16,
    pub dst_port: u16,
    /// [`Denied::index`] of what refused them; `None`: accepted.
    pub rejected: Option<u8>,
}

/// What refused a packet, where there is something to be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    Acl(NetworkAclId, u16),
    Rule(SecurityGroupRuleId),
}

/// How a packet leaves its VPC (spec 12.1.5, `traffic-path`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Passage {
    /// It does not, or has not got that far.
    #[default]
    None,
    Peering(PeeringId),
    /// By an Internet gateway, or an egress-only one.
    Gateway,
}

impl Passage {
    pub(crate) fn of(next: &Next) -> Passage {
        match (next.peering, next.origin.scope) {
            (Some(peering), _) => Passage::Peering(peering),
            (None, Scope::Internet) => Passage::Gateway,
            (None, Scope::Vpc | Scope::Peering(_) | Scope::RouteTarget(_)) => Passage::None,
        }
    }

    fn or(self, other: Passage) -> Passage {
        if self == Passage::None { other } else { self }
    }
}

/// A line of a flow log before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowRecord {
    pub flow: FlowId,
    pub packets: u64,
    /// Of IP packets, headers included.
    pub bytes: u64,
    /// When the first packet came.
    pub first: Time,
    /// When the last packet came.
    pub last: Time,
    /// FIN 1, SYN 2, RST 4, and 16 with a SYN that had ACK; of all packets together (spec 12.1.5).
    pub tcp_flags: u8,
    /// How accepted packets leave their VPC.
    pub passage: Passage,
    pub evidence: Option<Evidence>,
}

/// What one frame counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

impl Amount {
    pub(crate) fn of_packet(ip: &Ip) -> Amount {
        Amount { packets: 1, bytes: ip.total_length as u64 }
    }

    /// Of a super-frame: of the packets that its sender wants it cut into.
    pub(crate) fn of(header: &VnetHeader, ip: &Ip) -> Amount {
        match header.gso_type {
            GsoType::TcpV4 | GsoType::TcpV6 | GsoType::UdpL4 => {
                let headers = ip.payload.saturating_sub(ip.l3);
                let payload = ip.total_length.saturating_sub(headers);
                let packets = payload.div_ceil(usize::from(header.gso_size).max(1)).max(1);
                Amount { packets: packets as u64, bytes: (payload + packets * headers) as u64 }
            }
            GsoType::None | GsoType::Udp => Amount::of_packet(ip),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Counts {
    packets: u64,
    bytes: u64,
    first: Time,
    last: Time,
    tcp_flags: u8,
    passage: Passage,
    evidence: Option<Evidence>,
}

/// What an interface has of a table.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    flows: usize,
    /// Packets that found no room.
    skipped: u64,
}

/// Interfaces that one table knows: more cannot be plugged in at a time, and few change within an interval.
const INTERFACES_MAX: usize = 2 * PORTS_MAX;

/// The flows that one worker has seen in one interval.
#[derive(Debug)]
pub(crate) struct Accounts {
    flows: HashMap<FlowId, Counts, FixedState>,
    usage: HashMap<NetworkInterfaceId, Usage, FixedState>,
    flows_max: usize,
}

impl Accounts {
    /// With all the room that it will ever have.
    pub(crate) fn new(flows_max: usize, seed: u64) -> Accounts {
        Accounts {
            flows: HashMap::with_capacity_and_hasher(flows_max, FixedState::with_seed(seed)),
            usage: HashMap::with_capacity_and_hasher(INTERFACES_MAX, FixedState::with_seed(seed)),
            flows_max,
        }
    }

    /// Counts a frame's packets.
    pub(crate) fn count(&mut self, flow: FlowId, amount: Amount, mark: &Mark, now: Time) {
        if let Some(counts) = self.flows.get_mut(&flow) {
            counts.packets += amount.packets;
            counts.bytes += amount.bytes;
            counts.first = counts.first.min(now);
            counts.last = counts.last.max(now);
            counts.tcp_flags |= mark.tcp_flags;
            counts.passage = mark.passage.or(counts.passage);
            counts.evidence = mark.evidence.or(counts.evidence);
            return;
        }
        if self.usage.len() >= INTERFACES_MAX && !self.usage.contains_key(&flow.interface) {
            return;
        }
        let (is_full, share) = (self.flows.len() >= self.flows_max, self.flows_max.div_ceil(2));
        let usage = self.usage.entry(flow.interface).or_default();
        if is_full || usage.flows >= share {
            usage.skipped += amount.packets;
            return;
        }
        usage.flows += 1;
        let Mark { tcp_flags, passage, evidence } = *mark;
        let Amount { packets, bytes } = amount;
        self.flows.insert(flow, Counts { packets, bytes, first: now, last: now, tcp_flags, passage, evidence });
    }
}

/// What is remembered of a packet besides its size.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Mark {
    pub(crate) tcp_flags: u8,
    pub(crate) passage: Passage,
    pub(crate) evidence: Option<Evidence>,
}

impl Evidence {
    pub(crate) fn of(denied: &Denied) -> Option<Evidence> {
        match denied {
            Denied::AclEgress { acl, number } | Denied::AclIngress { acl, number } => {
                Some(Evidence::Acl(*acl, *number))
            }
            Denied::ReferenceNotApplicable { rule, .. } => Some(Evidence::Rule(*rule)),
            _ => None,
        }
    }
}

impl FlowId {
    pub(crate) fn new(
        interface: NetworkInterfaceId,
        direction: Direction,
        key: &FlowKey,
        rejected: Option<&Denied>,
    ) -> FlowId {
        let has_ports = !matches!(key.protocol, protocol::ICMP | protocol::ICMPV6);
        let (src_port, dst_port) = if has_ports { (key.sport, key.dport) } else { (0, 0) };
        // There are 39 reasons.
        let rejected = rejected.map(|denied| denied.index() as u8);
        FlowId {
            interface,
            direction,
            src: key.src,
            dst: key.dst,
            protocol: key.protocol,
            src_port,
            dst_port,
            rejected,
        }
    }
}

/// What all workers have counted in one interval.
#[derive(Debug, Default)]
pub struct Taken(pub(crate) Vec<Accounts>);

/// An interval, ready to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// In order of interface and flow, each flow once.
    pub flows: Vec<FlowRecord>,
    /// Packets for which there was no room, by interface.
    pub skipped: BTreeMap<NetworkInterfaceId, u64>,
}

impl Taken {
    /// Adds up what the workers counted of the same flow.
    pub fn records(self) -> Records {
        let mut records = Records::default();
        for Accounts { flows, usage, .. } in self.0 {
            records.flows.extend(flows.into_iter().map(|(flow, counts)| record(flow, counts)));
            for (interface, Usage { skipped, .. }) in usage {
                if skipped > 0 {
                    *records.skipped.entry(interface).or_default() += skipped;
                }
            }
        }
        records.flows.sort_unstable_by_key(|record| record.flow);
        records.flows.dedup_by(|later, first| {
            let is_same = later.flow == first.flow;
            if is_same {
                first.add(later);
            }
            is_same
        });
        records
    }
}

fn record(flow: FlowId, counts: Counts) -> FlowRecord {
    let Counts { packets, bytes, first, last, tcp_flags, passage, evidence } = counts;
    FlowRecord { flow, packets, bytes, first, last, tcp_flags, passage, evidence }
}

impl FlowRecord {
    fn add(&mut self, other: &FlowRecord) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.tcp_flags |= other.tcp_flags;
        self.passage = self.passage.or(other.passage);
        self.evidence = self.evidence.or(other.evidence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ResourceId;
    use proptest::prelude::*;

    fn flow(interface: u128, port: u16) -> FlowId {
        let key = FlowKey {
            src: "10.0.0.1".parse().unwrap(),
            dst: "10.0.0.2".parse().unwrap(),
            protocol: protocol::UDP,
            sport: port,
            dport: 53,
        };
        FlowId::new(NetworkInterfaceId::from_random(interface), Direction::Egress, &key, None)
    }

    fn one(bytes: u64) -> Amount {
        Amount { packets: 1, bytes }
    }

    proptest! {
        /// Whatever the order and whichever worker counts, lines and what was skipped add up to what was given.
        #[test]
        fn lines_add_up_to_what_was_given(
            packets in prop::collection::vec((0_usize..2, 0_u128..3, 0_u16..12, 1_u64..4, 20_u64..1500), 0..200),
            flows_max in 1_usize..40,
        ) {
            let mut workers = [Accounts::new(flows_max, 1), Accounts::new(flows_max, 2)];
            for (worker, interface, port, count, bytes) in &packets {
                let amount = Amount { packets: *count, bytes: *bytes };
                workers[*worker].count(flow(*interface, *port), amount, &Mark::default(), Time::EPOCH);
            }
            for Accounts { flows, usage, .. } in &workers {
                prop_assert!(flows.len() <= flows_max);
                prop_assert!(usage.values().all(|usage| usage.flows <= flows_max.div_ceil(2)));
            }
            let records = Taken(workers.into()).records();
            let written: u64 = records.flows.iter().map(|record| record.packets).sum();
            let skipped: u64 = records.skipped.values().sum();
            prop_assert_eq!(written + skipped, packets.iter().map(|packet| packet.3).sum::<u64>());
            prop_assert!(records.flows.is_sorted_by(|a, b| a.flow < b.flow));
            let bytes: u64 = records.flows.iter().map(|record| record.bytes).sum();
            let given: u64 = packets.iter().map(|packet| packet.4).sum();
            prop_assert!(bytes <= given && (skipped > 0 || bytes == given));
        }
    }

    #[test]
    fn a_full_table_goes_on_with_what_it_knows_and_says_what_it_skips() {
        let mut accounts = Accounts::new(4, 1);
        for port in 0..9 {
            accounts.count(flow(1, port), one(100), &Mark::default(), Time::EPOCH);
        }
        accounts.count(flow(1, 0), one(100), &Mark::default(), Time::EPOCH);
        accounts.count(flow(2, 0), one(100), &Mark::default(), Time::EPOCH);
        let records = Taken(vec![accounts]).records();
        let seen: Vec<_> = records.flows.iter().map(|record| (record.flow, record.packets)).collect();
        assert_eq!(seen, [(flow(1, 0), 2), (flow(1, 1), 1), (flow(2, 0), 1)], "one takes half, another finds room");
        assert_eq!(records.skipped, BTreeMap::from([(flow(1, 0).interface, 7)]));
    }

    #[test]
    fn a_table_never_grows() {
        let mut accounts = Accounts::new(64, 1);
        let room = accounts.flows.capacity();
        for interface in 0..100 {
            for port in 0..10 {
                accounts.count(flow(interface, port), one(1), &Mark::default(), Time::EPOCH);
            }
        }
        assert_eq!((accounts.flows.len(), accounts.flows.capacity()), (64, room));
    }

    #[test]
    fn times_and_flags_are_those_of_all_packets() {
        let at = Time::from_unix_millis;
        let mut workers = [Accounts::new(4, 1), Accounts::new(4, 2)];
        let mark = |tcp_flags| Mark { tcp_flags, ..Mark::default() };
        workers[0].count(flow(1, 1), one(60), &mark(2), at(5_000));
        workers[1].count(flow(1, 1), one(40), &mark(0), at(4_000));
        workers[0].count(flow(1, 1), one(40), &mark(1), at(9_000));
        let records = Taken(workers.into()).records();
        let [FlowRecord { packets, bytes, first, last, tcp_flags, .. }] = records.flows[..] else { panic!() };
        assert_eq!((packets, bytes, first, last, tcp_flags), (3, 140, at(4_000), at(9_000), 3));
    }
}
