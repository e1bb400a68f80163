//! A record in words: one line in the format of a flow log (spec 12.1.2-12.1.5).

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::net::IpAddr;
use std::sync::Arc;

use model::intent::VpcSlice;
use model::{Direction, HostId, InterfaceKind, LogField, LogFormat, NetworkInterface, PeeringId, Region, Time};
use policy::Denied;
use policy::flow::protocol;

use super::accounts::{Evidence, FlowRecord, Passage};
use super::covering;

/// What a line says of an interface whatever its packets are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSubject {
    pub interface: Arc<NetworkInterface>,
    pub region: Region,
    /// Attached to an instance that is pending or running, or of an available NAT gateway.
    pub is_up: bool,
    /// Of each peering of the VPC, whether it leads to another region.
    peerings: Arc<BTreeMap<PeeringId, bool>>,
}

impl LogSubject {
    /// The interfaces of a VPC that this host carries and some flow log covers.
    pub fn of(slice: &VpcSlice, host: HostId) -> Vec<LogSubject> {
        if slice.flow_logs.is_empty() {
            return Vec::new();
        }
        let is_abroad = |peering: &model::Peering| peering.requester.region != peering.accepter.region;
        let peerings = slice.peerings.iter().map(|peering| (peering.id, is_abroad(peering))).collect();
        let peerings: Arc<BTreeMap<PeeringId, bool>> = Arc::new(peerings);
        let here = slice.endpoints.iter().filter(|endpoint| endpoint.host == Some(host));
        let logged = here.filter(|endpoint| covering(slice, &endpoint.interface).next().is_some());
        let subject = |endpoint: &model::intent::Endpoint| LogSubject {
            interface: Arc::clone(&endpoint.interface),
            region: slice.region,
            is_up: endpoint.is_up,
            peerings: Arc::clone(&peerings),
        };
        logged.map(subject).collect()
    }

    /// The interface's own address in the family of another one: the primary, whichever of its addresses was used.
    fn primary(&self, like: IpAddr) -> Option<IpAddr> {
        self.interface.addresses().find(|address| address.is_ipv4() == like.is_ipv4())
    }
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    Flow(&'a FlowRecord),
    /// There was nothing to record from the first time to the second.
    NoData(Time, Time),
    /// Records were left out, for want of room, from the first time to the second.
    SkipData(Time, Time),
}

impl Line<'_> {
    /// Writes the line, with its end. What is unknown or does not apply is `-`.
    pub fn write(&self, out: &mut String, format: &LogFormat, subject: &LogSubject) {
        for (at, field) in format.fields().iter().enumerate() {
            if at > 0 {
                out.push(' ');
            }
            let before = out.len();
            // Writing to a string never fails.
            let _ = self.field(*field, format, subject, out);
            if out.len() == before {
                out.push('-');
            }
        }
        out.push('\n');
    }

    /// Writes the field's value, or nothing.
    fn field(&self, field: LogField, format: &LogFormat, subject: &LogSubject, out: &mut String) -> fmt::Result {
        let interface = &subject.interface;
        match field {
            LogField::Version => write!(out, "{}", format.version()),
            LogField::AccountId => write!(out, "{}", interface.owner),
            LogField::InterfaceId => write!(out, "{}", interface.id),
            LogField::VpcId => write!(out, "{}", interface.vpc),
            LogField::SubnetId => write!(out, "{}", interface.subnet),
            LogField::InstanceId => match &interface.attachment {
                Some(attachment) => write!(out, "{}", attachment.instance),
                None => Ok(()),
            },
            LogField::InterfaceType => out.write_str(match interface.kind {
                InterfaceKind::Interface => "interface",
                InterfaceKind::NatGateway => "nat_gateway",
            }),
            LogField::Region => write!(out, "{}", subject.region),
            LogField::AzId => out.write_str(&interface.zone.id()),
            LogField::Start => write!(out, "{}", seconds(self.times().0)),
            LogField::End => write!(out, "{}", seconds(self.times().1)),
            LogField::LogStatus => out.write_str(match self {
                Line::Flow(_) => "OK",
                Line::NoData(..) => "NODATA",
                Line::SkipData(..) => "SKIPDATA",
            }),
            _ => match self {
                Line::Flow(record) => of_flow(field, record, subject, out),
                Line::NoData(..) | Line::SkipData(..) => Ok(()),
            },
        }
    }

    fn times(&self) -> (Time, Time) {
        match self {
            Line::Flow(FlowRecord { first, last, .. }) => (*first, *last),
            Line::NoData(start, end) | Line::SkipData(start, end) => (*start, *end),
        }
    }
}

/// What only a flow has.
fn of_flow(field: LogField, record: &FlowRecord, subject: &LogSubject, out: &mut String) -> fmt::Result {
    let FlowRecord { flow, packets, bytes, tcp_flags, passage, evidence, .. } = record;
    let (is_egress, is_accepted) = (flow.direction == Direction::Egress, flow.rejected.is_none());
    match field {
        LogField::SrcAddr if is_egress => write!(out, "{}", subject.primary(flow.src).unwrap_or(flow.src)),
        LogField::DstAddr if !is_egress => write!(out, "{}", subject.primary(flow.dst).unwrap_or(flow.dst)),
        LogField::SrcAddr | LogField::PktSrcAddr => write!(out, "{}", flow.src),
        LogField::DstAddr | LogField::PktDstAddr => write!(out, "{}", flow.dst),
        LogField::SrcPort => write!(out, "{}", flow.src_port),
        LogField::DstPort => write!(out, "{}", flow.dst_port),
        LogField::Protocol => write!(out, "{}", flow.protocol),
        LogField::Packets => write!(out, "{packets}"),
        LogField::Bytes => write!(out, "{bytes}"),
        LogField::Action => out.write_str(if is_accepted { "ACCEPT" } else { "REJECT" }),
        LogField::TcpFlags if flow.protocol == protocol::TCP => write!(out, "{tcp_flags}"),
        LogField::TcpFlags => out.write_char('0'),
        LogField::Type => out.write_str(if flow.src.is_ipv4() { "IPv4" } else { "IPv6" }),
        LogField::FlowDirection => out.write_str(if is_egress { "egress" } else { "ingress" }),
        LogField::TrafficPath if is_egress && is_accepted => {
            let is_abroad = |id| subject.peerings.get(id).copied().unwrap_or_default();
            out.write_str(match passage {
                Passage::None => "1",
                Passage::Peering(id) if is_abroad(id) => "5",
                Passage::Peering(_) => "4",
                // 2 is what instances of older generations say.
                Passage::Gateway => "8",
            })
        }
        // What leaves a host is sealed, whoever sends it.
        LogField::EncryptionStatus if is_accepted => out.write_char('1'),
        LogField::PeerwayReason => match flow.rejected.and_then(|index| Denied::ALL.get(usize::from(index))) {
            Some(reason) => out.write_str(reason.code),
            None => Ok(()),
        },
        LogField::PeerwayRule => match evidence {
            Some(Evidence::Acl(acl, number)) => write!(out, "{acl}/{number}"),
            Some(Evidence::Rule(rule)) => write!(out, "{rule}"),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Unix seconds.
fn seconds(time: Time) -> i64 {
    time.as_unix_millis().div_euclid(1000)
}
