//! Flow logs (spec 12.1): of which interfaces packets are counted, and how a line about them looks.
//!
//! A flow log never changes. Whatever AWS destination it names is recorded; its lines go into files of the hosts
//! (docs/guide/flow-logs.md).

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

use crate::{AccountId, FlowLogId, NetworkInterface, NetworkInterfaceId, SubnetId, Tags, Time, VpcId, World};

/// What a flow log covers: one interface, or all of a subnet or VPC, those that come later among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LoggedResource {
    Vpc(VpcId),
    Subnet(SubnetId),
    NetworkInterface(NetworkInterfaceId),
}

impl LoggedResource {
    pub fn covers(&self, interface: &NetworkInterface) -> bool {
        match self {
            LoggedResource::Vpc(id) => interface.vpc == *id,
            LoggedResource::Subnet(id) => interface.subnet == *id,
            LoggedResource::NetworkInterface(id) => interface.id == *id,
        }
    }
}

impl fmt::Display for LoggedResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoggedResource::Vpc(id) => id.fmt(f),
            LoggedResource::Subnet(id) => id.fmt(f),
            LoggedResource::NetworkInterface(id) => id.fmt(f),
        }
    }
}

/// Enums whose names are the API's.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident $text:literal,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
            pub enum $name {
                $($(#[$word_doc])* #[serde(rename = $text)] $word,)*
            }

            impl $name {
                pub const ALL: &'static [$name] = &[$($name::$word,)*];

                /// The word of the API.
                pub const fn name(self) -> &'static str {
                    match self {
                        $($name::$word => $text,)*
                    }
                }

                /// By its word, exactly as written in the API.
                pub fn parse(text: &str) -> Option<$name> {
                    $name::ALL.iter().copied().find(|word| word.name() == text)
                }
            }
        )*
    };
}

words! {
    /// Which packets are counted.
    TrafficType {
        Accept "ACCEPT",
        Reject "REJECT",
        All "ALL",
    }

    /// Where AWS would bring the lines.
    LogDestinationType {
        CloudWatchLogs "cloud-watch-logs",
        S3 "s3",
        KinesisDataFirehose "kinesis-data-firehose",
    }

    /// How AWS would write files in S3; ours are always plain text.
    FileFormat {
        PlainText "plain-text",
        Parquet "parquet",
    }
}

impl TrafficType {
    /// Packets that security groups and network ACLs let pass are counted.
    pub fn takes_accepted(self) -> bool {
        self != TrafficType::Reject
    }

    /// Packets that a security group or a network ACL refused are counted.
    pub fn takes_rejected(self) -> bool {
        self != TrafficType::Accept
    }
}

impl FlowLog {
    /// What it covers is there.
    pub fn has_resource(&self, world: &World) -> bool {
        match self.resource {
            LoggedResource::Vpc(id) => world.vpcs.contains_key(&id),
            LoggedResource::Subnet(id) => world.subnets.contains_key(&id),
            LoggedResource::NetworkInterface(id) => world.network_interfaces.contains_key(&id),
        }
    }
}

/// How files in S3 are laid out; ours too, but for the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationOptions {
    pub file_format: FileFormat,
    pub hive_compatible_partitions: bool,
    pub per_hour_partition: bool,
}

impl Default for DestinationOptions {
    fn default() -> DestinationOptions {
        let file_format = FileFormat::PlainText;
        DestinationOptions { file_format, hive_compatible_partitions: false, per_hour_partition: false }
    }
}

/// The destination as it was asked for: recorded and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogDestination {
    pub kind: LogDestinationType,
    /// An ARN.
    pub destination: Option<String>,
    pub log_group_name: Option<String>,
    pub deliver_logs_permission_arn: Option<String>,
    pub deliver_cross_account_role: Option<String>,
    pub options: Option<DestinationOptions>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowLog {
    pub id: FlowLogId,
    pub owner: AccountId,
    pub resource: LoggedResource,
    pub traffic: TrafficType,
    pub destination: LogDestination,
    pub format: LogFormat,
    /// In seconds, 60 or 600: the longest time that one line may be about.
    pub max_aggregation_interval: u32,
    pub created: Time,
    /// Of the request that made it, which may have made others too.
    pub client_token: Option<String>,
    pub tags: Tags,
}

macro_rules! fields {
    ($($name:ident $text:literal $version:literal;)*) => {
        /// One value of a line.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum LogField {
            $($name,)*
        }

        impl LogField {
            /// Every field, by version.
            pub const ALL: &'static [LogField] = &[$(LogField::$name,)*];

            /// As it stands in a format, between `${` and `}`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(LogField::$name => $text,)*
                }
            }

            /// The version of AWS's format that brought it; 0: it is ours.
            pub const fn version(self) -> u8 {
                match self {
                    $(LogField::$name => $version,)*
                }
            }
        }
    };
}

fields! {
    Version "version" 2;
    AccountId "account-id" 2;
    InterfaceId "interface-id" 2;
    SrcAddr "srcaddr" 2;
    DstAddr "dstaddr" 2;
    SrcPort "srcport" 2;
    DstPort "dstport" 2;
    Protocol "protocol" 2;
    Packets "packets" 2;
    Bytes "bytes" 2;
    Start "start" 2;
    End "end" 2;
    Action "action" 2;
    LogStatus "log-status" 2;
    VpcId "vpc-id" 3;
    SubnetId "subnet-id" 3;
    InstanceId "instance-id" 3;
    TcpFlags "tcp-flags" 3;
    Type "type" 3;
    PktSrcAddr "pkt-srcaddr" 3;
    PktDstAddr "pkt-dstaddr" 3;
    Region "region" 4;
    AzId "az-id" 4;
    SublocationType "sublocation-type" 4;
    SublocationId "sublocation-id" 4;
    PktSrcAwsService "pkt-src-aws-service" 5;
    PktDstAwsService "pkt-dst-aws-service" 5;
    FlowDirection "flow-direction" 5;
    TrafficPath "traffic-path" 5;
    EcsClusterArn "ecs-cluster-arn" 7;
    EcsClusterName "ecs-cluster-name" 7;
    EcsContainerInstanceArn "ecs-container-instance-arn" 7;
    EcsContainerInstanceId "ecs-container-instance-id" 7;
    EcsContainerId "ecs-container-id" 7;
    EcsSecondContainerId "ecs-second-container-id" 7;
    EcsServiceName "ecs-service-name" 7;
    EcsTaskDefinitionArn "ecs-task-definition-arn" 7;
    EcsTaskArn "ecs-task-arn" 7;
    EcsTaskId "ecs-task-id" 7;
    RejectReason "reject-reason" 8;
    ResourceId "resource-id" 9;
    EncryptionStatus "encryption-status" 10;
    InstanceTag "instance-tag" 11;
    InterfaceTag "interface-tag" 11;
    AsgTag "asg-tag" 11;
    InterfaceType "interface-type" 11;
    NextHopInterfaceId "next-hop-interface-id" 11;
    NextHopSubnetId "next-hop-subnet-id" 11;
    NextHopAzId "next-hop-az-id" 11;
    NextHopVpcId "next-hop-vpc-id" 11;
    NextHopInterfaceType "next-hop-interface-type" 11;
    PeerwayReason "peerway-reason" 0;
    PeerwayRule "peerway-rule" 0;
}

/// The fields of a line, in their order: `${version} ${account-id} ..`, with one space between two.
#[derive(Clone, PartialEq, Eq)]
pub struct LogFormat(Vec<LogField>);

/// Fields of one line.
pub const LOG_FIELDS_MAX: usize = 100;

/// AWS's version 2.
const DEFAULT_FIELDS: usize = 14;

/// Why a text is no format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogFormatError {
    #[error("`{0}` is not `${{field}}`; put one space between two fields")]
    NotAField(String),
    #[error("`{0}` is not a field of a flow log")]
    Unknown(String),
    #[error("a format has 1 to {LOG_FIELDS_MAX} fields")]
    Count,
}

impl LogFormat {
    pub fn fields(&self) -> &[LogField] {
        &self.0
    }

    /// The highest version among the fields: what the field `version` says.
    pub fn version(&self) -> u8 {
        self.0.iter().map(|field| field.version()).fold(2, u8::max)
    }

    /// The fields' names with spaces between them: the first line of a file.
    pub fn header(&self) -> String {
        self.0.iter().map(|field| field.name()).collect::<Vec<_>>().join(" ")
    }
}

impl Default for LogFormat {
    fn default() -> LogFormat {
        LogFormat(LogField::ALL[..DEFAULT_FIELDS].into())
    }
}

impl FromStr for LogFormat {
    type Err = LogFormatError;

    fn from_str(text: &str) -> Result<LogFormat, LogFormatError> {
        let mut fields = Vec::new();
        for word in text.split(' ').take(LOG_FIELDS_MAX + 1) {
            let name = word.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
            let name = name.filter(|name| !name.contains(['$', '{', '}']));
            let name = name.ok_or_else(|| LogFormatError::NotAField(word.to_string()))?;
            let field = LogField::ALL.iter().find(|field| field.name() == name);
            fields.push(*field.ok_or_else(|| LogFormatError::Unknown(name.to_string()))?);
        }
        if fields.len() > LOG_FIELDS_MAX { Err(LogFormatError::Count) } else { Ok(LogFormat(fields)) }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, field) in self.0.iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            write!(f, "{space}${{{}}}", field.name())?;
        }
        Ok(())
    }
}

text_form!(LogFormat);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_format_reads_back(picks in prop::collection::vec(0..LogField::ALL.len(), 1..=LOG_FIELDS_MAX)) {
            let format = LogFormat(picks.into_iter().map(|at| LogField::ALL[at]).collect());
            prop_assert_eq!(format.to_string().parse::<LogFormat>(), Ok(format));
        }

        #[test]
        fn no_text_panics(text in "[$ {}a-z-]{0,40}") {
            let _ = text.parse::<LogFormat>();
        }
    }

    #[test]
    fn the_default_is_version_2_in_aws_order() {
        let format = LogFormat::default();
        let names = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status";
        assert_eq!((format.header().as_str(), format.version()), (names, 2));
        assert!(format.fields().iter().all(|field| field.version() == 2));
        assert!(LogField::ALL[DEFAULT_FIELDS..].iter().all(|field| field.version() != 2));
    }

    #[test]
    fn a_version_is_the_highest_among_the_fields() {
        let version = |text: &str| text.parse::<LogFormat>().unwrap().version();
        assert_eq!(version("${version} ${flow-direction} ${vpc-id}"), 5);
        assert_eq!(version("${peerway-reason}"), 2);
        assert_eq!(version("${encryption-status} ${tcp-flags}"), 10);
    }

    #[test]
    fn what_is_no_format_is_named() {
        let error = |text: &str| text.parse::<LogFormat>().unwrap_err();
        for text in ["", "version", "${version} ", "${version}  ${bytes}", "${version},${bytes}", "{bytes}", "${bytes"]
        {
            assert!(matches!(error(text), LogFormatError::NotAField(_)), "{text}");
        }
        assert_eq!(error("${bits}").to_string(), "`bits` is not a field of a flow log");
        assert_eq!(error(&["${bytes}"; LOG_FIELDS_MAX + 1].join(" ")), LogFormatError::Count);
    }
}
