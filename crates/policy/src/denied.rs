//! Every way to say no (spec 11.5, closed list): one enum for counters, flow logs, ICMP errors, the analyser and the API.
//!
//! The data plane's own reasons (D01, D15-D17, D32-D37) are here too, so that there is one list.

use core::fmt;
use core::net::IpAddr;

use model::{
    Cidr, Direction, NetworkAclId, NetworkInterfaceId, PeeringId, PeeringStatus, RouteTableId, SecurityGroupId,
    SecurityGroupRuleId, VpcId,
};

/// One line of the list, without evidence: what a counter or a legend needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// `D01` to `D39`.
    pub code: &'static str,
    /// Lower case, no full stop.
    pub text: &'static str,
    /// The Reachability Analyzer's explanation code that most often goes with it; empty where AWS has none.
    pub analyzer: &'static str,
}

macro_rules! denied {
    ($($(#[$doc:meta])* $name:ident $({ $($field:ident: $type:ty),* })?, $code:literal, $analyzer:literal, $text:literal;)*) => {
        /// Why a packet may not pass, with the evidence.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Denied {
            $(#[doc = concat!($code, ": ", $text, ".")] $(#[$doc])* $name $({ $($field: $type),* })?,)*
        }

        #[derive(Clone, Copy)]
        enum Kind {
            $($name,)*
        }

        impl Denied {
            /// How many reasons there are.
            pub const COUNT: usize = Denied::ALL.len();

            /// Every reason, in the order of the list; [`Denied::index`] points into it.
            pub const ALL: &'static [Reason] =
                &[$(Reason { code: $code, text: $text, analyzer: $analyzer },)*];

            /// The place in [`Denied::ALL`]: D01 is 0.
            pub fn index(&self) -> usize {
                let kind = match self {
                    $(Denied::$name { .. } => Kind::$name,)*
                };
                kind as usize
            }
        }
    };
}

denied! {
    SpoofedMac, "D01", "GATEWAY_REJECTS_SPOOFED_TRAFFIC", "source mac address is not the interface's own";
    SourceDown { interface: NetworkInterfaceId }, "D02", "BAD_STATE", "source interface is not attached to a running instance";
    SourceCheckEgress { interface: NetworkInterfaceId, address: IpAddr }, "D03", "ENI_SOURCE_DEST_CHECK_RESTRICTION", "source address is not the interface's own";
    NotUnicast { address: IpAddr }, "D04", "PROTOCOL_RESTRICTION", "destination is multicast, broadcast or reserved";
    GroupEgress { interface: NetworkInterfaceId, has_rules: bool }, "D05", "ENI_SG_RULES_MISMATCH", "no egress rule of the source's security groups matches";
    /// `of_interface`: the interface's own share is used up, not the host's table.
    ConntrackFull { interface: NetworkInterfaceId, of_interface: bool }, "D06", "", "connection tracking table is full";
    AclEgress { acl: NetworkAclId, number: u16 }, "D07", "SUBNET_ACL_RESTRICTION", "network acl of the source's subnet denies egress";
    NoRoute { table: RouteTableId }, "D08", "NO_ROUTE_TO_DESTINATION", "no route to the destination";
    /// Table and destination name the route.
    Blackhole { table: RouteTableId, destination: Cidr }, "D09", "BAD_STATE_ROUTE", "the best route is a blackhole";
    /// `None`: this side knows no such peering.
    PeeringNotActive { peering: Option<PeeringId>, status: Option<PeeringStatus> }, "D10", "BAD_STATE", "the peering connection is not active";
    PeeringOfOthers { peering: PeeringId, vpc: VpcId }, "D11", "CANNOT_ROUTE", "the peering connection does not belong to the vpc";
    OutsidePeer { peering: PeeringId, address: IpAddr }, "D12", "PCX_REQUIRES_ADDRESS_IN_VPC_CIDR", "destination is outside the peer's cidr blocks";
    OutsideOwn { peering: PeeringId, address: IpAddr }, "D13", "PCX_REQUIRES_ADDRESS_IN_VPC_CIDR", "source is outside its own vpc's cidr blocks";
    NoOwner { vpc: VpcId, address: IpAddr }, "D14", "NO_POSSIBLE_DESTINATION", "no interface owns the destination address";
    NoSecureChannel, "D15", "BAD_STATE_ATTACHMENT", "no secure channel to the destination's host";
    /// `mtu`: the largest packet that would pass, in bytes.
    TooBig { mtu: u32 }, "D16", "", "packet is too big and must not be fragmented";
    NotAuthentic, "D17", "", "authentication or replay check failed";
    SenderDisagrees { vpc: VpcId, address: IpAddr }, "D18", "BAD_STATE", "the sender's claim does not hold in the receiver's view";
    AclIngress { acl: NetworkAclId, number: u16 }, "D19", "SUBNET_ACL_RESTRICTION", "network acl of the destination's subnet denies ingress";
    DestinationDown { interface: NetworkInterfaceId }, "D20", "BAD_STATE", "destination interface is not attached to a running instance";
    SourceCheckIngress { interface: NetworkInterfaceId, address: IpAddr }, "D21", "ENI_SOURCE_DEST_CHECK_RESTRICTION", "destination address is not the interface's own";
    GroupIngress { interface: NetworkInterfaceId, has_rules: bool }, "D22", "ENI_SG_RULES_MISMATCH", "no ingress rule of the destination's security groups matches";
    ReferenceNotApplicable { rule: SecurityGroupRuleId, group: SecurityGroupId, cause: NotApplicable }, "D23", "UNKNOWN_PEERED_SGS", "only a security group reference that does not apply would match";
    TransitNotAssociated, "D24", "TGW_ATTACH_MISSING_TGW_RTB_ASSOCIATION", "transit gateway attachment has no route table";
    TransitNoRoute, "D25", "TGW_RTB_NO_ROUTE_TO_TGW_ATTACHMENT", "transit gateway has no route or a blackhole";
    TransitZone, "D26", "TGW_ROUTE_AZ_RESTRICTION", "transit gateway attachment has no subnet in the source's zone";
    TransitAppliance, "D27", "TGW_ATTACH_VPC_AZ_RESTRICTION", "transit gateway zone or appliance mode forbids";
    GatewayNoPublicAddress, "D28", "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS", "source has no public address";
    /// Egress: the destination; ingress: the source.
    GatewayPrivateAddress { direction: Direction, address: IpAddr }, "D29", "IGW_DESTINATION_ADDRESS_NOT_IN_RFC1918_EGRESS", "private or shared address at an internet gateway";
    GatewayNoMapping { address: IpAddr }, "D30", "IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS", "no interface has this public address";
    EncryptionControl, "D31", "", "vpc encryption control forbids";
    Malformed, "D32", "", "packet is malformed";
    FrameType { ethertype: u16 }, "D33", "", "frame type is not carried";
    Fragment, "D34", "", "fragment overlaps, is too small or waits for nothing";
    RogueServer, "D35", "GATEWAY_REJECTS_SPOOFED_TRAFFIC", "guest plays router or server";
    RateLimit, "D36", "", "rate limit";
    QueueFull, "D37", "", "queue is full";
    /// `gateway`: its interface.
    NatExhausted { gateway: NetworkInterfaceId, cause: NatCause }, "D38", "", "no free port or mapping for address translation";
    TargetNotCarried { table: RouteTableId, destination: Cidr }, "D39", "UNSUPPORTED_COMPONENT", "route target is recorded but not carried";
}

/// Why a reference to a security group does not apply (spec 6.5, 6.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotApplicable {
    /// The group is gone, or no active peering leads to its VPC.
    Stale,
    /// The group's VPC is in another region.
    OtherRegion,
    /// The packet came through a middlebox, which loses who sent it.
    NotPreserved,
}

/// Why a NAT gateway does not translate a packet (spec 8.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NatCause {
    /// From outside: nobody inside has asked.
    NoMapping,
    /// From inside: it goes on with a connection that never began, or that idled for too long.
    Forgotten,
    /// Every port of every address is taken for this destination.
    NoPort,
    /// The gateway's share of the host's table is used up, or the table is.
    Full,
    /// A gateway serves its own VPC only.
    SourceOutsideVpc,
    /// Not TCP, UDP or ICMP over IPv4.
    Protocol,
    /// A piece of a datagram that is not UDP.
    Fragment,
}

impl Denied {
    pub fn reason(&self) -> &'static Reason {
        &Denied::ALL[self.index()]
    }

    /// `D01` to `D39`.
    pub fn code(&self) -> &'static str {
        self.reason().code
    }

    /// The Reachability Analyzer's explanation code for exactly this case; empty where AWS has none.
    pub fn analyzer_code(&self) -> &'static str {
        match self {
            Denied::GroupEgress { has_rules: false, .. } | Denied::GroupIngress { has_rules: false, .. } => {
                "SG_HAS_NO_RULES"
            }
            Denied::ReferenceNotApplicable { cause: NotApplicable::NotPreserved, .. } => "SG_REFERENCES_NOT_PRESERVED",
            Denied::NatExhausted { cause: NatCause::SourceOutsideVpc, .. } => "NGW_REQUIRES_SOURCE_IN_VPC",
            Denied::GatewayPrivateAddress { direction: Direction::Ingress, .. } => {
                "IGW_SOURCE_ADDRESS_NOT_IN_RFC1918_INGRESS"
            }
            Denied::GatewayPrivateAddress { address, .. } if crate::internet::is_shared(*address) => {
                "IGW_DESTINATION_ADDRESS_NOT_IN_RFC6598_EGRESS"
            }
            other => other.reason().analyzer,
        }
    }

    /// Dropped by a security group or a network ACL: what flow logs call REJECT (spec 12.1.3).
    pub fn is_filter(&self) -> bool {
        matches!(
            self,
            Denied::GroupEgress { .. }
                | Denied::AclEgress { .. }
                | Denied::AclIngress { .. }
                | Denied::GroupIngress { .. }
                | Denied::ReferenceNotApplicable { .. }
        )
    }
}

impl core::error::Error for Denied {}

/// `D08: no route to the destination (rtb-...)`.
impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reason { code, text, .. } = self.reason();
        write!(f, "{code}: {text}")?;
        match self {
            Denied::SourceDown { interface }
            | Denied::DestinationDown { interface }
            | Denied::ConntrackFull { interface, .. }
            | Denied::GroupEgress { interface, .. }
            | Denied::GroupIngress { interface, .. } => write!(f, " ({interface})"),
            Denied::SourceCheckEgress { interface, address } | Denied::SourceCheckIngress { interface, address } => {
                write!(f, " ({address}, {interface})")
            }
            Denied::NotUnicast { address }
            | Denied::GatewayPrivateAddress { address, .. }
            | Denied::GatewayNoMapping { address } => write!(f, " ({address})"),
            Denied::AclEgress { acl, number } | Denied::AclIngress { acl, number } => {
                write!(f, " ({acl} rule {number})")
            }
            Denied::NoRoute { table } => write!(f, " ({table})"),
            Denied::Blackhole { table, destination } | Denied::TargetNotCarried { table, destination } => {
                write!(f, " ({destination} in {table})")
            }
            Denied::PeeringNotActive { peering: Some(peering), status } => match status {
                Some(status) => write!(f, " ({peering} is {status})"),
                None => write!(f, " ({peering} is not known)"),
            },
            Denied::PeeringOfOthers { peering, vpc } => write!(f, " ({peering}, {vpc})"),
            Denied::OutsidePeer { peering, address } | Denied::OutsideOwn { peering, address } => {
                write!(f, " ({address}, {peering})")
            }
            Denied::NoOwner { vpc, address } | Denied::SenderDisagrees { vpc, address } => {
                write!(f, " ({address} in {vpc})")
            }
            Denied::TooBig { mtu } => write!(f, " (at most {mtu} bytes)"),
            Denied::ReferenceNotApplicable { rule, group, cause } => {
                let cause = match cause {
                    NotApplicable::Stale => "is stale",
                    NotApplicable::OtherRegion => "is in another region",
                    NotApplicable::NotPreserved => "is lost behind a middlebox",
                };
                write!(f, " ({group} in {rule} {cause})")
            }
            Denied::NatExhausted { gateway, cause } => {
                let cause = match cause {
                    NatCause::NoMapping => "nobody inside has asked, or it was too long ago",
                    NatCause::Forgotten => "it goes on with a connection that is not known, or idled for too long",
                    NatCause::NoPort => "every port is taken for this destination",
                    NatCause::Full => "the gateway has too many connections",
                    NatCause::SourceOutsideVpc => "the source is not in the gateway's vpc",
                    NatCause::Protocol => "only tcp, udp and icmp are translated",
                    NatCause::Fragment => "of fragments only udp is translated",
                };
                write!(f, " ({gateway}: {cause})")
            }
            Denied::FrameType { ethertype } => write!(f, " (0x{ethertype:04x})"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    #[test]
    fn the_list_is_d01_to_d39_in_order() {
        assert_eq!(Denied::COUNT, 39);
        for (at, reason) in Denied::ALL.iter().enumerate() {
            assert_eq!(reason.code, format!("D{:02}", at + 1));
        }
        assert_eq!(Denied::SpoofedMac.index(), 0);
        assert_eq!(Denied::RateLimit.code(), "D36");
        let last = Denied::TargetNotCarried {
            table: "rtb-0a1b2c3d".parse().unwrap(),
            destination: "0.0.0.0/0".parse().unwrap(),
        };
        assert_eq!((last.index(), last.code()), (38, "D39"));
    }

    #[test]
    fn a_refusal_is_small_and_names_its_evidence() {
        assert!(size_of::<Denied>() <= 112, "{}", size_of::<Denied>());
        let table: RouteTableId = "rtb-0a1b2c3d".parse().unwrap();
        assert_eq!(Denied::NoRoute { table }.to_string(), "D08: no route to the destination (rtb-0a1b2c3d)");
        let interface = "eni-0a1b2c3d".parse().unwrap();
        assert_eq!(Denied::GroupIngress { interface, has_rules: false }.analyzer_code(), "SG_HAS_NO_RULES");
    }
}
