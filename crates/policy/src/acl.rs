//! Does the subnet let it through? Stateless ordered rules, the first match decides, deny stands behind the last (spec ch. 7).

use alloc::boxed::Box;

use model::acl::{ACL_DENY_IPV4, ACL_DENY_IPV6};
use model::{AclAction, Direction, IpProtocol, NetworkAcl, NetworkAclEntry, NetworkAclId, Ports};

use crate::flow::{Flow, protocol};

/// A network ACL, ready to be asked. Without entries it denies everything, as a new one does (spec 7.5).
#[derive(Debug)]
#[cfg_attr(test, derive(PartialEq))]
pub(crate) struct Acl {
    pub(crate) id: NetworkAclId,
    ingress: Box<[(u16, NetworkAclEntry)]>,
    egress: Box<[(u16, NetworkAclEntry)]>,
}

impl Acl {
    pub(crate) fn new(acl: &NetworkAcl) -> Acl {
        let entries =
            |direction| acl.entries(direction).iter().map(|(number, entry)| (*number, entry.clone())).collect();
        Acl { id: acl.id, ingress: entries(Direction::Ingress), egress: entries(Direction::Egress) }
    }

    /// One that is named but not there: it denies everything.
    pub(crate) fn missing(id: NetworkAclId) -> Acl {
        Acl { id, ingress: Box::default(), egress: Box::default() }
    }

    /// The number of the rule that decides, and what it says.
    pub(crate) fn judge(&self, direction: Direction, flow: &Flow) -> (u16, AclAction) {
        let (entries, address) = match direction {
            Direction::Ingress => (&self.ingress, flow.src),
            Direction::Egress => (&self.egress, flow.dst),
        };
        let decides =
            |entry: &NetworkAclEntry| entry.cidr.contains(address) && matches(entry.protocol, entry.ports, flow);
        match entries.iter().find(|(_, entry)| decides(entry)) {
            Some((number, entry)) => (*number, entry.action),
            None => (if address.is_ipv4() { ACL_DENY_IPV4 } else { ACL_DENY_IPV6 }, AclAction::Deny),
        }
    }
}

/// Protocol and ports of a rule, of a network ACL as of a security group (spec 6.3.2, 6.3.3, 7.2).
///
/// Ports count for TCP and UDP only, type and code for ICMP and ICMPv6 only; for any other protocol they are ignored.
pub(crate) fn matches(rule: IpProtocol, ports: Ports, flow: &Flow) -> bool {
    let IpProtocol::Number(number) = rule else { return true };
    if number != flow.protocol {
        return false;
    }
    match (number, ports) {
        (protocol::TCP | protocol::UDP, Ports::Range { from, to }) => {
            flow.dst_port().is_some_and(|port| (from..=to).contains(&port))
        }
        (protocol::ICMP | protocol::ICMPV6, Ports::Icmp { kind, code }) => {
            let is = |rule: Option<u8>, packet: u8| rule.is_none_or(|rule| rule == packet);
            flow.icmp_type().is_some_and(|(k, c)| is(kind, k) && is(code, c))
        }
        // A rule of TCP with an ICMP type, or the reverse, cannot be made through the API and matches nothing.
        (protocol::TCP | protocol::UDP, Ports::Icmp { .. })
        | (protocol::ICMP | protocol::ICMPV6, Ports::Range { .. }) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::arbitrary;
    use alloc::collections::BTreeMap;
    use core::net::IpAddr;
    use model::Tags;
    use proptest::prelude::*;

    fn acl(entries: BTreeMap<u16, NetworkAclEntry>) -> NetworkAcl {
        NetworkAcl {
            id: "acl-0a1b2c3d".parse().unwrap(),
            vpc: "vpc-0a1b2c3d".parse().unwrap(),
            owner: "111111111111".parse().unwrap(),
            is_default: false,
            ingress: entries.clone(),
            egress: entries,
            tags: Tags::new(),
        }
    }

    fn entry() -> impl Strategy<Value = NetworkAclEntry> {
        let action = prop_oneof![Just(AclAction::Allow), Just(AclAction::Deny)];
        (action, arbitrary::block(), arbitrary::protocol_and_ports())
            .prop_map(|(action, cidr, (protocol, ports))| NetworkAclEntry { protocol, action, cidr, ports })
    }

    /// The sentence of spec 7.1 and 7.2, read aloud.
    fn naive(entries: &BTreeMap<u16, NetworkAclEntry>, address: IpAddr, flow: &Flow) -> (u16, AclAction) {
        for (number, entry) in entries {
            let admits = match (entry.protocol, entry.ports) {
                (IpProtocol::All, _) => true,
                (IpProtocol::Number(n), _) if n != flow.protocol => false,
                (IpProtocol::Number(6 | 17), Ports::Range { from, to }) => {
                    flow.dst_port().is_some_and(|p| p >= from && p <= to)
                }
                (IpProtocol::Number(1 | 58), Ports::Icmp { kind, code }) => {
                    let (k, c) = flow.icmp_type().unwrap();
                    (kind.is_none() || kind == Some(k)) && (code.is_none() || code == Some(c))
                }
                _ => true,
            };
            if admits && entry.cidr.contains(address) {
                return (*number, entry.action);
            }
        }
        (if address.is_ipv4() { 32_767 } else { 32_768 }, AclAction::Deny)
    }

    proptest! {
        #[test]
        fn the_first_match_decides(
            entries in prop::collection::btree_map(1_u16..=32_766, entry(), 0..12),
            flow in arbitrary::flow(),
        ) {
            let compiled = Acl::new(&acl(entries.clone()));
            prop_assert_eq!(compiled.judge(Direction::Ingress, &flow), naive(&entries, flow.src, &flow));
            prop_assert_eq!(compiled.judge(Direction::Egress, &flow), naive(&entries, flow.dst, &flow));
        }
    }

    #[test]
    fn one_that_is_not_there_denies() {
        let flow = Flow::udp("10.0.0.1".parse().unwrap(), 1, "10.0.0.2".parse().unwrap(), 2);
        let missing = Acl::missing("acl-0a1b2c3d".parse().unwrap());
        assert_eq!(missing.judge(Direction::Egress, &flow), (ACL_DENY_IPV4, AclAction::Deny));
    }

    #[test]
    fn a_rule_of_two_minds_matches_nothing() {
        let (x, y) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let any_type = Ports::Icmp { kind: None, code: None };
        assert!(!matches(IpProtocol::TCP, any_type, &Flow::tcp(x, 1, y, 2, crate::TcpFlags::SYN)));
        let any_port = Ports::Range { from: 0, to: u16::MAX };
        assert!(!matches(IpProtocol::ICMP, any_port, &Flow::icmp(x, y, 8, 0, 1, None)));
        assert!(matches(IpProtocol::Number(50), any_port, &Flow::other(x, y, 50)), "ports of ESP are ignored");
    }
}
