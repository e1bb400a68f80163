//! `peerway status --drops`: what was refused, where it was decided, why, how often, and how to look further.
//!
//! What nobody knows the interface of stands there too: datagrams of other hosts that do not open, and frames of devices that belong to
//! nobody.

use std::fmt;
use std::str::FromStr;

use agent::HostStatus;
use model::{HostId, InstanceId, NetworkInterfaceId};
use serde::Serialize;

use crate::table::Table;

/// A reason of the closed list, D01 to D39 (docs/guide/drop-reasons.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reason(u8);

/// What does not open: D17.
pub const NOT_AUTHENTIC: Reason = Reason(17);

impl FromStr for Reason {
    type Err = String;

    fn from_str(text: &str) -> Result<Reason, String> {
        let number =
            text.strip_prefix(['D', 'd']).filter(|digits| digits.len() <= 2).and_then(|digits| digits.parse().ok());
        let known = number.filter(|number| (1..=LOOKS.len()).contains(&usize::from(*number)));
        known.map(Reason).ok_or_else(|| format!("`{text}` is not a reason; there are D01 to D{}", LOOKS.len()))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "D{:02}", self.0)
    }
}

/// Whose drops are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    Interface(NetworkInterfaceId),
    Instance(InstanceId),
}

impl FromStr for Of {
    type Err = String;

    fn from_str(text: &str) -> Result<Of, String> {
        let of = text.parse().map(Of::Interface).or_else(|_| text.parse().map(Of::Instance));
        of.map_err(|_| {
            format!("`{text}` is neither an interface, such as eni-0123456789abcdef0, nor an instance, such as i-0123456789abcdef0")
        })
    }
}

/// What is asked for; `None` is all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    pub of: Option<Of>,
    pub reason: Option<Reason>,
}

/// What was refused at one place for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Drop {
    pub host: HostId,
    /// `None`: nobody knows whose packet it was.
    pub instance: Option<InstanceId>,
    pub interface: Option<NetworkInterfaceId>,
    pub address: Option<String>,
    /// `D05`.
    pub reason: String,
    pub text: String,
    /// What it was, where the reason does not say.
    pub cause: Option<String>,
    pub packets: u64,
    /// How to look further.
    pub look: &'static str,
}

/// Everything that was refused and is asked for: by host, interface and reason.
pub fn drops(hosts: &[HostStatus], filter: &Filter) -> Vec<Drop> {
    let mut all: Vec<Drop> =
        hosts.iter().flat_map(|host| of_interfaces(host).into_iter().chain(of_nobody(host))).collect();
    all.retain(|drop| drop.packets > 0 && filter.asks_for(drop));
    let key = |drop: &Drop| {
        (drop.host.to_string(), drop.interface.is_none(), drop.interface, drop.reason.clone(), drop.cause.clone())
    };
    all.sort_by_key(key);
    all
}

/// For people.
pub fn table(drops: &[Drop]) -> Table {
    let has_hosts = drops.iter().any(|drop| Some(drop.host) != drops.first().map(|first| first.host));
    let mut columns = vec!["interface", "address", "reason", "packets", "what it means", "how to look further"];
    columns.extend(has_hosts.then_some("host"));
    let mut table = Table::new(&columns);
    for drop in drops {
        let text = match &drop.cause {
            Some(cause) => format!("{}: {cause}", drop.text),
            None => drop.text.clone(),
        };
        let mut row = vec![
            drop.interface.map_or_else(|| "-".into(), |interface| interface.to_string()),
            drop.address.clone().unwrap_or_else(|| "-".into()),
            drop.reason.clone(),
            drop.packets.to_string(),
            text,
            drop.look.into(),
        ];
        row.extend(has_hosts.then(|| drop.host.to_string()));
        table.row(&row);
    }
    table
}

impl Filter {
    fn asks_for(&self, drop: &Drop) -> bool {
        let is_of = match self.of {
            None => true,
            Some(Of::Interface(interface)) => drop.interface == Some(interface),
            Some(Of::Instance(instance)) => drop.instance == Some(instance),
        };
        is_of && self.reason.is_none_or(|reason| drop.reason == reason.to_string())
    }
}

fn of_interfaces(host: &HostStatus) -> Vec<Drop> {
    let mut drops = Vec::new();
    for instance in &host.instances {
        for interface in &instance.interfaces {
            drops.extend(interface.drops.iter().map(|(reason, text, packets)| Drop {
                host: host.host,
                instance: Some(instance.instance),
                interface: Some(interface.interface),
                address: Some(interface.address.clone()),
                reason: reason.clone(),
                text: text.clone(),
                cause: None,
                packets: *packets,
                look: look(reason),
            }));
        }
    }
    drops
}

fn of_nobody(host: &HostStatus) -> impl Iterator<Item = Drop> {
    let stray = |reason: &str, text: &str, cause: String, packets: u64| Drop {
        host: host.host,
        instance: None,
        interface: None,
        address: None,
        reason: reason.into(),
        text: text.into(),
        cause: Some(cause),
        packets,
        look: look(reason),
    };
    let strays = host.strays.iter().map(move |one| stray(&one.reason, &one.text, one.cause.clone(), one.packets));
    let links = host.links.iter().flat_map(move |link| {
        let refused = |what: &str, packets| {
            stray(
                "D17",
                "authentication or replay check failed",
                format!("{what}, of {} to {} from {}", link.domain.from, link.domain.to, link.host),
                packets,
            )
        };
        [refused("replayed", link.replayed), refused("not authentic", link.authentication_failures)]
    });
    strays.chain(links)
}

fn look(reason: &str) -> &'static str {
    let number = reason.parse::<Reason>().map_or(0, |reason| usize::from(reason.0));
    number.checked_sub(1).and_then(|at| LOOKS.get(at)).copied().unwrap_or_default()
}

const CAPTURE: &str = "peerway capture ENI: the frame itself";
const NOT_THERE: &str = "this version has no such thing: report it";

/// In the order of the list.
const LOOKS: [&str; 39] = [
    "ip link, inside: the guest's MAC address was changed, or it bridges others",
    "aws ec2 describe-instances: the instance's state",
    "aws ec2 describe-network-interfaces: its addresses; for a router switch the source/destination check off",
    "usually nothing: systems send group messages",
    "aws ec2 describe-security-groups: egress of the sender's groups",
    "the metric peerway_interface_tracked_flows: too many flows at once",
    "aws ec2 describe-network-acls: egress of the sender's subnet, answers too",
    "aws ec2 describe-route-tables: the sender's subnet; of an answer, the side that answers",
    "aws ec2 describe-route-tables: a route whose State is blackhole",
    "aws ec2 describe-vpc-peering-connections: its status",
    NOT_THERE,
    "aws ec2 describe-vpc-peering-connections: the peer's blocks; peering is not transitive",
    "aws ec2 describe-vpc-peering-connections: the sender's blocks; a router sends for others",
    "aws ec2 describe-network-interfaces: nobody has that address",
    "peerway status --links, and the log",
    "ip link, inside: the guest's MTU; it was told by ICMP",
    "peerway status --links, replayed and not authentic; peerway capture underlay",
    "aws ec2 describe-network-interfaces: the sender's addresses, just changed or forged",
    "aws ec2 describe-network-acls: ingress of the receiver's subnet, answers too",
    "aws ec2 describe-instances: start the receiver",
    "aws ec2 describe-route-tables: a route to an interface whose source/destination check is on",
    "aws ec2 describe-security-groups: ingress of the receiver's groups",
    "aws ec2 describe-stale-security-groups; for packets through a router use a CIDR rule",
    NOT_THERE,
    NOT_THERE,
    NOT_THERE,
    NOT_THERE,
    NOT_THERE,
    NOT_THERE,
    NOT_THERE,
    NOT_THERE,
    CAPTURE,
    CAPTURE,
    CAPTURE,
    "peerway capture ENI: a DHCP server, router advertisements or unasked ARP inside",
    "peerway capture ENI: more than 1,024 questions a second to the router",
    "the guest's device is down, or bursts",
    NOT_THERE,
    "aws ec2 describe-route-tables: a route to what this version does not carry",
];

#[cfg(test)]
mod tests {
    use super::*;
    use agent::{InstanceStatus, InterfaceStatus};

    fn interface(id: &str, drops: &[(&str, u64)]) -> InterfaceStatus {
        InterfaceStatus {
            interface: id.parse().unwrap(),
            address: "10.0.0.4".into(),
            received: (9, 900),
            delivered: (0, 0),
            drops: drops.iter().map(|(code, packets)| ((*code).into(), "why".into(), *packets)).collect(),
            answered: (0, 0),
            flows: 0,
            cache: (0, 0),
        }
    }

    fn host(name: &str, interfaces: Vec<InterfaceStatus>) -> HostStatus {
        let instance = InstanceStatus {
            instance: "i-0a1b2c3d".parse().unwrap(),
            host: name.parse().unwrap(),
            pid: 1,
            limits: String::new(),
            interfaces,
        };
        let stray = agent::StrayStatus {
            reason: "D17".into(),
            text: "authentication or replay check failed".into(),
            cause: "unknown SPI".into(),
            packets: 3,
        };
        HostStatus {
            host: name.parse().unwrap(),
            instances: vec![instance],
            links: Vec::new(),
            path_mtu: 0,
            strays: vec![stray],
            tracked: agent::TrackedStatus::default(),
            uplink: None,
            revisions: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn all_of_it_sorted_and_what_was_asked_for() {
        let hosts = [
            host("host-2", vec![interface("eni-0a1b2c02", &[("D22", 1)])]),
            host(
                "host-1",
                vec![interface("eni-0a1b2c01", &[("D22", 5), ("D05", 2)]), interface("eni-0a1b2c00", &[("D08", 7)])],
            ),
        ];
        let brief = |filter: Filter| {
            let rows = drops(&hosts, &filter).into_iter();
            rows.map(|row| {
                format!("{} {} {}", row.interface.map_or("-".into(), |id| id.to_string()), row.reason, row.packets)
            })
            .collect::<Vec<_>>()
        };
        let all = [
            "eni-0a1b2c00 D08 7",
            "eni-0a1b2c01 D05 2",
            "eni-0a1b2c01 D22 5",
            "- D17 3",
            "eni-0a1b2c02 D22 1",
            "- D17 3",
        ];
        assert_eq!(brief(Filter::default()), all);
        let of = |text: &str| Some(text.parse().unwrap());
        assert_eq!(brief(Filter { of: of("eni-0a1b2c02"), reason: None }), ["eni-0a1b2c02 D22 1"]);
        assert_eq!(brief(Filter { of: of("i-0a1b2c3d"), reason: Some("d22".parse().unwrap()) }), [all[2], all[4]]);
        assert_eq!(brief(Filter { of: None, reason: Some("D17".parse().unwrap()) }), [all[3], all[5]]);
        let shown = table(&drops(&hosts, &Filter::default())).to_string();
        assert!(
            shown.contains("describe-route-tables") && shown.contains("unknown SPI") && shown.contains("HOST"),
            "{shown}"
        );
    }

    #[test]
    fn reasons_and_places_are_parsed() {
        assert_eq!("D5".parse::<Reason>().unwrap().to_string(), "D05");
        assert_eq!("d39".parse::<Reason>().unwrap().to_string(), "D39");
        for wrong in ["D00", "D40", "D005", "22", "", "DD1"] {
            assert!(wrong.parse::<Reason>().unwrap_err().contains("D01 to D39"), "{wrong}");
        }
        assert!("vpc-0a1b2c3d".parse::<Of>().unwrap_err().contains("eni-"));
    }

    /// The page for people has a row for each, and each leads on.
    #[test]
    fn each_reason_is_explained() {
        let page = include_str!("../../../docs/guide/drop-reasons.md");
        for (number, look) in (1..).zip(LOOKS) {
            let reason = Reason(number);
            assert!(page.contains(&format!("| {reason} |")), "{reason} is not in drop-reasons.md");
            assert!(!look.is_empty());
        }
    }
}
