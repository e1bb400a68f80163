//! What of a packet a rule of a security group or a network ACL looks at besides addresses (spec 6.3, 7).

use alloc::string::{String, ToString};
use serde::{Deserialize, Serialize};

/// Seen from the guest: `Ingress` comes to it, `Egress` leaves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Direction {
    Ingress,
    Egress,
}

/// An IP protocol number, or all of them (`-1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum IpProtocol {
    All,
    Number(u8),
}

impl IpProtocol {
    pub const ICMP: IpProtocol = IpProtocol::Number(1);
    pub const TCP: IpProtocol = IpProtocol::Number(6);
    pub const UDP: IpProtocol = IpProtocol::Number(17);
    pub const ICMPV6: IpProtocol = IpProtocol::Number(58);

    /// `tcp`, `udp`, `icmp`, `icmpv6`, a number 0-255, or `-1`.
    pub fn parse(text: &str) -> Option<IpProtocol> {
        match text.to_ascii_lowercase().as_str() {
            "-1" | "all" => Some(IpProtocol::All),
            "tcp" => Some(IpProtocol::TCP),
            "udp" => Some(IpProtocol::UDP),
            "icmp" => Some(IpProtocol::ICMP),
            "icmpv6" => Some(IpProtocol::ICMPV6),
            number if number.bytes().all(|b| b.is_ascii_digit()) => number.parse().ok().map(IpProtocol::Number),
            _ => None,
        }
    }

    /// As security groups print it: names for the four named protocols (spec 6.3.2).
    pub fn name(self) -> String {
        match self {
            IpProtocol::TCP => "tcp".into(),
            IpProtocol::UDP => "udp".into(),
            IpProtocol::ICMP => "icmp".into(),
            IpProtocol::ICMPV6 => "icmpv6".into(),
            other => other.number(),
        }
    }

    /// As network ACLs print it: always a number, `-1` for all (spec 7.1).
    pub fn number(self) -> String {
        match self {
            IpProtocol::All => "-1".into(),
            IpProtocol::Number(n) => n.to_string(),
        }
    }

    pub fn matches(self, protocol: u8) -> bool {
        match self {
            IpProtocol::All => true,
            IpProtocol::Number(n) => n == protocol,
        }
    }
}

/// Which ports, or ICMP types and codes, a rule admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Ports {
    Any,
    /// Destination ports, both ends included, `from <= to`.
    Range {
        from: u16,
        to: u16,
    },
    /// `None` is any.
    Icmp {
        kind: Option<u8>,
        code: Option<u8>,
    },
}

impl Ports {
    /// The wire's pair (FromPort or type, ToPort or code); `None` where the rule has none.
    pub fn pair(self) -> Option<(i32, i32)> {
        let any = |value: Option<u8>| value.map_or(-1, i32::from);
        match self {
            Ports::Any => None,
            Ports::Range { from, to } => Some((i32::from(from), i32::from(to))),
            Ports::Icmp { kind, code } => Some((any(kind), any(code))),
        }
    }
}
