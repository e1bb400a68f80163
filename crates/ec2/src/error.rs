//! EC2's errors: a code that programs match, a message for people, an HTTP status (spec 1.2.3, 1.3.5, api.md 5).

use std::borrow::Cow;

use model::*;

use crate::value::scalar;
use crate::{FromQuery, Node, Xml};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub code: Cow<'static, str>,
    pub message: String,
    /// The HTTP status, 4xx or 5xx.
    pub status: u16,
}

impl Error {
    /// A client's error: HTTP 400.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Error {
        Error { code: code.into(), message: message.into(), status: 400 }
    }

    pub fn with_status(self, status: u16) -> Error {
        Error { status, ..self }
    }

    pub fn missing_parameter(name: &str) -> Error {
        Error::new("MissingParameter", format!("The request must contain the parameter {name}"))
    }

    pub fn invalid_value(message: impl Into<String>) -> Error {
        Error::new("InvalidParameterValue", message)
    }

    /// `Value (<v>) for parameter <name> is invalid. <why>`.
    pub fn invalid_parameter(name: &str, value: impl std::fmt::Display, why: &str) -> Error {
        Error::invalid_value(format!("Value ({value}) for parameter {name} is invalid. {why}"))
    }

    pub fn invalid_combination(message: impl Into<String>) -> Error {
        Error::new("InvalidParameterCombination", message)
    }

    /// The id has the right shape but nothing by it is visible to the caller: unknown and foreign read alike (spec 1.2.4).
    pub fn not_found<Id: IdCodes>(id: Id) -> Error {
        Error::new(Id::NOT_FOUND, format!("The {} '{id}' does not exist", Id::NOUN))
    }

    /// The text is no id of that kind.
    pub fn malformed<Id: IdCodes>(error: &IdError) -> Error {
        Error::new(Id::MALFORMED, format!("Invalid id: \"{}\" (expecting \"{}-...\")", error.value, error.prefix))
    }

    /// `The vpc 'vpc-..' has dependencies and cannot be deleted.`
    pub fn has_dependencies(noun: &str, id: impl std::fmt::Display) -> Error {
        Error::new("DependencyViolation", format!("The {noun} '{id}' has dependencies and cannot be deleted."))
    }

    pub fn not_permitted(message: impl Into<String>) -> Error {
        Error::new("OperationNotPermitted", message)
    }

    /// The success of a dry run (spec 1.3.8).
    pub fn dry_run() -> Error {
        Error::new("DryRunOperation", "Request would have succeeded, but DryRun flag is set.").with_status(412)
    }

    /// The EC2 envelope (spec 1.3.5).
    pub fn render(&self, request_id: &str) -> String {
        let mut xml = Xml::document();
        xml.element("Response", |xml| {
            xml.element("Errors", |xml| {
                xml.element("Error", |xml| {
                    xml.text("Code", &self.code);
                    xml.text("Message", &self.message);
                });
            });
            xml.text("RequestID", request_id);
        });
        xml.finish()
    }
}

/// The codes and the noun that EC2 uses for an id, spelt as it spells them.
pub trait IdCodes: ResourceId {
    const MALFORMED: &'static str;
    const NOT_FOUND: &'static str;
    /// As in `The vpc ID 'vpc-..' does not exist`.
    const NOUN: &'static str;
}

macro_rules! id_codes {
    ($($id:ident $malformed:literal $not_found:literal $noun:literal;)*) => {
        $(impl IdCodes for $id {
            const MALFORMED: &'static str = $malformed;
            const NOT_FOUND: &'static str = $not_found;
            const NOUN: &'static str = $noun;
        }

        impl FromQuery for $id {
            fn from_query(node: Option<&Node>, name: &str) -> Result<Self, Error> {
                scalar(node, name)?.parse().map_err(|error| Error::malformed::<$id>(&error))
            }
        })*

        /// What a malformed or unknown id of an untyped parameter (CreateTags) answers: by prefix, malformed and not-found code, noun.
        pub const CODES_BY_PREFIX: &[(&str, &str, &str, &str)] = &[$(($id::PREFIX, $malformed, $not_found, $noun)),*];
    };
}

id_codes! {
    VpcId "InvalidVpcID.Malformed" "InvalidVpcID.NotFound" "vpc ID";
    VpcCidrAssociationId "InvalidVpcCidrBlockAssociationID.Malformed" "InvalidVpcCidrBlockAssociationID.NotFound" "vpc CIDR block association ID";
    SubnetId "InvalidSubnetID.Malformed" "InvalidSubnetID.NotFound" "subnet ID";
    SubnetCidrAssociationId "InvalidSubnetCidrBlockAssociationID.Malformed" "InvalidSubnetCidrBlockAssociationID.NotFound" "subnet CIDR block association ID";
    RouteTableId "InvalidRouteTableId.Malformed" "InvalidRouteTableID.NotFound" "routeTable ID";
    RouteTableAssociationId "InvalidAssociationID.Malformed" "InvalidAssociationID.NotFound" "association ID";
    PeeringId "InvalidVpcPeeringConnectionId.Malformed" "InvalidVpcPeeringConnectionID.NotFound" "vpcPeeringConnection ID";
    SecurityGroupId "InvalidGroupId.Malformed" "InvalidGroup.NotFound" "security group";
    SecurityGroupRuleId "InvalidSecurityGroupRuleId.Malformed" "InvalidSecurityGroupRuleId.NotFound" "security group rule ID";
    NetworkAclId "InvalidNetworkAclId.Malformed" "InvalidNetworkAclID.NotFound" "networkAcl ID";
    NetworkAclAssociationId "InvalidAssociationID.Malformed" "InvalidAssociationID.NotFound" "association ID";
    NetworkInterfaceId "InvalidNetworkInterfaceId.Malformed" "InvalidNetworkInterfaceID.NotFound" "networkInterface ID";
    AttachmentId "InvalidAttachmentID.Malformed" "InvalidAttachmentID.NotFound" "attachment ID";
    InterfacePermissionId "InvalidPermissionID.Malformed" "InvalidPermissionID.NotFound" "network interface permission ID";
    InstanceId "InvalidInstanceID.Malformed" "InvalidInstanceID.NotFound" "instance ID";
    ReservationId "InvalidReservationID.Malformed" "InvalidReservationID.NotFound" "reservation ID";
    ImageId "InvalidAMIID.Malformed" "InvalidAMIID.NotFound" "image id";
    VolumeId "InvalidVolumeID.Malformed" "InvalidVolume.NotFound" "volume";
    InternetGatewayId "InvalidInternetGatewayId.Malformed" "InvalidInternetGatewayID.NotFound" "internetGateway ID";
    EgressOnlyInternetGatewayId "InvalidEgressOnlyInternetGatewayId.Malformed" "InvalidEgressOnlyInternetGatewayId.NotFound" "egress-only internet gateway ID";
    NatGatewayId "NatGatewayMalformed" "InvalidNatGatewayID.NotFound" "natGateway ID";
    AllocationId "InvalidAllocationID.Malformed" "InvalidAllocationID.NotFound" "allocation ID";
    AddressAssociationId "InvalidAssociationID.Malformed" "InvalidAssociationID.NotFound" "association ID";
    DhcpOptionsId "InvalidDhcpOptionID.Malformed" "InvalidDhcpOptionID.NotFound" "dhcpOption ID";
    FlowLogId "InvalidFlowLogId.Malformed" "InvalidFlowLogId.NotFound" "flow log";
    InsightsPathId "InvalidNetworkInsightsPathId.Malformed" "InvalidNetworkInsightsPathId.NotFound" "networkInsightsPath ID";
    InsightsAnalysisId "InvalidNetworkInsightsAnalysisId.Malformed" "InvalidNetworkInsightsAnalysisId.NotFound" "networkInsightsAnalysis ID";
    AccessScopeId "InvalidNetworkInsightsAccessScopeId.Malformed" "InvalidNetworkInsightsAccessScopeId.NotFound" "networkInsightsAccessScope ID";
    AccessScopeAnalysisId "InvalidNetworkInsightsAccessScopeAnalysisId.Malformed" "InvalidNetworkInsightsAccessScopeAnalysisId.NotFound" "networkInsightsAccessScopeAnalysis ID";
    PrefixListId "InvalidPrefixListId.Malformed" "InvalidPrefixListID.NotFound" "prefix list ID";
    TransitGatewayId "InvalidTransitGatewayID.Malformed" "InvalidTransitGatewayID.NotFound" "transitGateway ID";
    VpnGatewayId "InvalidVpnGatewayID.Malformed" "InvalidVpnGatewayID.NotFound" "vpnGateway ID";
    VpcEndpointId "InvalidVpcEndpointId.Malformed" "InvalidVpcEndpointId.NotFound" "vpcEndpoint ID";
    KeyPairId "InvalidKeyPairId.Malformed" "InvalidKeyPair.NotFound" "key pair ID";
    SubnetCidrReservationId "InvalidSubnetCidrReservationID.Malformed" "InvalidSubnetCidrReservationID.NotFound" "subnet CIDR reservation ID";
}
