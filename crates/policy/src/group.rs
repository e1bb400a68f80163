//! Does a security group admit it? The united rules of an interface's groups, allow only, no order (spec ch. 6).
//!
//! Rules are kept whole and sorted into lists by what can match at all: family, direction, protocol. Within a list they are
//! compared one after the other. Which rule of several is named as the one that admits has no meaning but is always the same.
//! A rule about a prefix list is as many as the list has entries, under one name (decision 0027).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

use model::{
    Cidr, Direction, IpProtocol, Ports, PrefixListId, RulePeer, SecurityGroup, SecurityGroupId, SecurityGroupRule,
};

use crate::acl::matches;
use crate::flow::{Flow, protocol};
use crate::lifetime::flags;
use crate::tables::VpcIndex;
use crate::{NotApplicable, RuleRef, Track, Tracked};

/// The united rules of some groups.
#[derive(Debug)]
#[cfg_attr(test, derive(PartialEq))]
pub(crate) struct Rules {
    ingress: Side,
    egress: Side,
}

/// The rules of one direction.
#[derive(Debug)]
#[cfg_attr(test, derive(PartialEq))]
struct Side {
    /// What the lists below mean by number.
    names: Box<[RuleRef]>,
    v4: Lists<u32>,
    v6: Lists<u128>,
    references: Box<[Reference]>,
}

/// Rules about blocks of one family.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(PartialEq))]
struct Lists<A> {
    tcp: Box<[PortRule<A>]>,
    udp: Box<[PortRule<A>]>,
    icmp: Box<[PortRule<A>]>,
    icmpv6: Box<[PortRule<A>]>,
    /// All protocols, and what fits no list above.
    rest: Box<[BlockRule]>,
    /// Destination ports open to every address, by protocol.
    tcp_open: Box<[(u16, u16)]>,
    udp_open: Box<[(u16, u16)]>,
}

/// A block and a range: of destination ports, or of ICMP type and code as one number.
#[derive(Debug)]
#[cfg_attr(test, derive(PartialEq))]
struct PortRule<A> {
    network: A,
    mask: A,
    low: u16,
    high: u16,
    name: u32,
}

/// A rule about a block, whole.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(test, derive(PartialEq))]
struct BlockRule {
    name: u32,
    cidr: Cidr,
    protocol: IpProtocol,
    ports: Ports,
}

/// A rule that names a group.
#[derive(Debug)]
#[cfg_attr(test, derive(PartialEq))]
struct Reference {
    rule: RuleRef,
    protocol: IpProtocol,
    ports: Ports,
    group: SecurityGroupId,
    /// Where the group's VPC stands in the tables of this one; `None`: it is not this one nor actively peered with it.
    vpc: Option<VpcIndex>,
    /// Why it can match nobody.
    wrong: Option<NotApplicable>,
}

/// Where a group's VPC stands, and whether a reference to the group can match.
pub(crate) type Resolved = (Option<VpcIndex>, Option<NotApplicable>);

/// The two halves of a rule's text about ports, as a range of one number; `None` if it is not one.
fn range(protocol: u8, ports: Ports) -> Option<(u16, u16)> {
    match (protocol, ports) {
        (protocol::TCP | protocol::UDP, Ports::Range { from, to }) => Some((from, to)),
        (protocol::ICMP | protocol::ICMPV6, Ports::Icmp { kind: Some(kind), code }) => {
            Some((u16::from_be_bytes([kind, code.unwrap_or(0)]), u16::from_be_bytes([kind, code.unwrap_or(0xff)])))
        }
        (_, Ports::Any) | (protocol::ICMP | protocol::ICMPV6, Ports::Icmp { kind: None, code: None }) => {
            Some((0, u16::MAX))
        }
        _ => None,
    }
}

impl Rules {
    /// `resolve` says of a reference's group and VPC what it is worth in this VPC, `entries` what a prefix list holds.
    pub(crate) fn new<'a>(
        groups: &[&'a SecurityGroup],
        resolve: impl Fn(SecurityGroupId, model::VpcId) -> Resolved,
        entries: impl Fn(PrefixListId) -> &'a [Cidr],
    ) -> Rules {
        let side = |direction| {
            let named = |g: &&'a SecurityGroup| g.rules(direction).map(|r| (RuleRef { group: g.id, rule: r.id }, r));
            Side::new(&groups.iter().flat_map(named).collect::<Vec<_>>(), &resolve, &entries)
        };
        Rules { ingress: side(Direction::Ingress), egress: side(Direction::Egress) }
    }

    fn side(&self, direction: Direction) -> &Side {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }

    pub(crate) fn has_rules(&self, direction: Direction) -> bool {
        !self.side(direction).names.is_empty()
    }

    pub(crate) fn has_references(&self, direction: Direction) -> bool {
        !self.side(direction).references.is_empty()
    }

    /// A rule that admits the packet. `groups` are those that the other end bears in a VPC.
    pub(crate) fn admits<'a>(
        &self,
        direction: Direction,
        flow: &Flow,
        groups: impl Fn(VpcIndex) -> &'a [SecurityGroupId],
    ) -> Option<RuleRef> {
        let side = self.side(direction);
        let address = remote(direction, flow);
        let by_block = match address {
            IpAddr::V4(bits) => side.v4.find(bits.into(), flow, address),
            IpAddr::V6(bits) => side.v6.find(bits.into(), flow, address),
        };
        by_block.map(|name| side.names[name as usize]).or_else(|| {
            let applies = |r: &&Reference| {
                r.wrong.is_none() && r.admits_ports(flow) && r.vpc.is_some_and(|vpc| groups(vpc).contains(&r.group))
            };
            side.references.iter().find(applies).map(|reference| reference.rule)
        })
    }

    /// A rule that would admit the packet if its reference applied (D23). `vpc` is the other end's, `groups` are those of
    /// the interface that owns its address, `is_preserved` whether it is known to have sent the packet itself.
    pub(crate) fn would_admit(
        &self,
        direction: Direction,
        flow: &Flow,
        vpc: VpcIndex,
        groups: &[SecurityGroupId],
        is_preserved: bool,
    ) -> Option<(RuleRef, SecurityGroupId, NotApplicable)> {
        let named = |r: &&Reference| r.vpc == Some(vpc) && r.admits_ports(flow);
        self.side(direction).references.iter().filter(named).find_map(|r| {
            let lost = || (!is_preserved && groups.contains(&r.group)).then_some(NotApplicable::NotPreserved);
            Some((r.rule, r.group, r.wrong.or_else(lost)?))
        })
    }

    /// How a packet that the rules admit is tracked.
    pub(crate) fn track(&self, direction: Direction, flow: &Flow, seen: Option<Tracked>) -> Track {
        if seen == Some(Tracked::UntrackedReply) {
            return Track::Untracked { initiator: opposite(direction) };
        }
        self.untracked(direction, flow).map_or(Track::New, |initiator| Track::Untracked { initiator })
    }

    /// Which direction began the flow, if it is one that is not tracked (spec 6.4.2).
    ///
    /// A TCP or UDP flow is not tracked if a rule for every address admits its first packet and a rule of the other direction
    /// admits every address on all ports. A packet may be the first of such a flow, or an answer in one; a SYN is no answer.
    fn untracked(&self, direction: Direction, flow: &Flow) -> Option<Direction> {
        let port = flow.dst_port()?;
        let answer_port = flow.reversed().dst_port()?;
        let (is_ipv4, protocol) = (flow.dst.is_ipv4(), flow.protocol);
        let (here, there) = (self.side(direction), self.side(opposite(direction)));
        if here.is_open(is_ipv4, protocol, port) && there.is_wide(is_ipv4, protocol) {
            Some(direction)
        } else if !flags(flow).is_opening()
            && there.is_open(is_ipv4, protocol, answer_port)
            && here.is_wide(is_ipv4, protocol)
        {
            Some(opposite(direction))
        } else {
            None
        }
    }
}

pub(crate) fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Ingress => Direction::Egress,
        Direction::Egress => Direction::Ingress,
    }
}

/// The address at the other end, seen from the interface.
pub(crate) fn remote(direction: Direction, flow: &Flow) -> IpAddr {
    match direction {
        Direction::Ingress => flow.src,
        Direction::Egress => flow.dst,
    }
}

impl Reference {
    fn admits_ports(&self, flow: &Flow) -> bool {
        matches(self.protocol, self.ports, flow)
    }
}

impl Side {
    fn new<'a>(
        rules: &[(RuleRef, &'a SecurityGroupRule)],
        resolve: impl Fn(SecurityGroupId, model::VpcId) -> Resolved,
        entries: impl Fn(PrefixListId) -> &'a [Cidr],
    ) -> Side {
        let reference = |(rule, r): &(RuleRef, &SecurityGroupRule)| match r.peer {
            RulePeer::Group { group, vpc, .. } => {
                let (vpc, wrong) = resolve(group, vpc);
                Some(Reference { rule: *rule, protocol: r.protocol, ports: r.ports, group, vpc, wrong })
            }
            RulePeer::Cidr(_) | RulePeer::PrefixList(_) => None,
        };
        let blocks = (0..).zip(rules).flat_map(|(name, (_, r))| {
            let cidrs = match &r.peer {
                RulePeer::Cidr(cidr) => core::slice::from_ref(cidr),
                RulePeer::PrefixList(list) => entries(*list),
                RulePeer::Group { .. } => &[],
            };
            cidrs.iter().map(move |cidr| BlockRule { name, cidr: *cidr, protocol: r.protocol, ports: r.ports })
        });
        let (v4, v6): (Vec<_>, Vec<_>) = blocks.partition(|rule| rule.cidr.is_ipv4());
        Side {
            names: rules.iter().map(|(name, _)| *name).collect(),
            v4: Lists::new(&v4),
            v6: Lists::new(&v6),
            references: rules.iter().filter_map(reference).collect(),
        }
    }

    fn open(&self, is_ipv4: bool, protocol: u8) -> &[(u16, u16)] {
        match (is_ipv4, protocol) {
            (true, protocol::TCP) => &self.v4.tcp_open,
            (true, protocol::UDP) => &self.v4.udp_open,
            (false, protocol::TCP) => &self.v6.tcp_open,
            (false, protocol::UDP) => &self.v6.udp_open,
            _ => &[],
        }
    }

    /// Admits every address on this port.
    fn is_open(&self, is_ipv4: bool, protocol: u8, port: u16) -> bool {
        self.open(is_ipv4, protocol).iter().any(|(low, high)| (*low..=*high).contains(&port))
    }

    /// Admits every address on all ports.
    fn is_wide(&self, is_ipv4: bool, protocol: u8) -> bool {
        self.open(is_ipv4, protocol).contains(&(0, u16::MAX))
    }
}

/// An address as a number, and the masks of its family.
trait Bits: Copy + Eq + core::ops::BitAnd<Output = Self> {
    /// Network and mask of a block of this family.
    fn of(cidr: Cidr) -> Option<(Self, Self)>;
}

impl Bits for u32 {
    fn of(cidr: Cidr) -> Option<(u32, u32)> {
        let Cidr::V4(cidr) = cidr else { return None };
        Some((cidr.network().into(), !u32::MAX.checked_shr(cidr.prefix_len().into()).unwrap_or(0)))
    }
}

impl Bits for u128 {
    fn of(cidr: Cidr) -> Option<(u128, u128)> {
        let Cidr::V6(cidr) = cidr else { return None };
        Some((cidr.network().into(), !u128::MAX.checked_shr(cidr.prefix_len().into()).unwrap_or(0)))
    }
}

impl<A: Bits> Lists<A> {
    /// The rules must be of this family.
    fn new(rules: &[BlockRule]) -> Lists<A> {
        let list = |wanted: u8| {
            let of_protocol = rules.iter().filter(move |rule| rule.protocol == IpProtocol::Number(wanted));
            let compiled = of_protocol.filter_map(|rule| {
                let ((network, mask), (low, high)) = (A::of(rule.cidr)?, range(wanted, rule.ports)?);
                Some(PortRule { network, mask, low, high, name: rule.name })
            });
            compiled.collect()
        };
        let is_listed = |rule: &BlockRule| match rule.protocol {
            IpProtocol::Number(n @ (protocol::TCP | protocol::UDP | protocol::ICMP | protocol::ICMPV6)) => {
                range(n, rule.ports).is_some()
            }
            _ => false,
        };
        let open = |wanted: u8| {
            let to_all = rules.iter().filter(|rule| rule.cidr.is_all());
            let ranges = to_all.filter_map(|rule| match rule.protocol {
                IpProtocol::All => Some((0, u16::MAX)),
                IpProtocol::Number(n) => (n == wanted).then(|| range(wanted, rule.ports)).flatten(),
            });
            ranges.collect()
        };
        Lists {
            tcp: list(protocol::TCP),
            udp: list(protocol::UDP),
            icmp: list(protocol::ICMP),
            icmpv6: list(protocol::ICMPV6),
            tcp_open: open(protocol::TCP),
            udp_open: open(protocol::UDP),
            rest: rules.iter().copied().filter(|rule| !is_listed(rule)).collect(),
        }
    }

    /// The name of a rule that matches; `bits` and `address` are the same.
    fn find(&self, bits: A, flow: &Flow, address: IpAddr) -> Option<u32> {
        let kind_and_code = || flow.icmp_type().map(|(kind, code)| u16::from_be_bytes([kind, code]));
        let (list, number): (&[PortRule<A>], _) = match flow.protocol {
            protocol::TCP => (&self.tcp, flow.dst_port()),
            protocol::UDP => (&self.udp, flow.dst_port()),
            protocol::ICMP => (&self.icmp, kind_and_code()),
            protocol::ICMPV6 => (&self.icmpv6, kind_and_code()),
            _ => (&[], None),
        };
        let listed = number.and_then(|n| {
            let is = |rule: &&PortRule<A>| bits & rule.mask == rule.network && rule.low <= n && n <= rule.high;
            list.iter().find(is).map(|rule| rule.name)
        });
        listed.or_else(|| {
            let is = |rule: &&BlockRule| rule.cidr.contains(address) && matches(rule.protocol, rule.ports, flow);
            self.rest.iter().find(is).map(|rule| rule.name)
        })
    }
}
