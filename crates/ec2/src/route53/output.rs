//! The answers of Route 53, as its XML has them.

use model::{AccountId, RecordSet, RecordType, Region, Time, VpcId};

use super::NAMESPACE;
use super::name::escaped;
use crate::{Shape, ToXml, Xml};

/// A list whose members have a name of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T> {
    pub member: &'static str,
    pub items: Vec<T>,
}

impl<T> List<T> {
    pub fn new(member: &'static str, items: Vec<T>) -> List<T> {
        List { member, items }
    }
}

impl<T: ToXml> ToXml for List<T> {
    fn write(&self, name: &str, xml: &mut Xml) {
        xml.element(name, |xml| self.items.iter().for_each(|item| item.write(self.member, xml)));
    }
}

output! {
    HostedZoneItem {
        /// `/hostedzone/Z..`
        id: String = "Id",
        name: String = "Name",
        caller_reference: String = "CallerReference",
        config: HostedZoneConfig = "Config",
        record_set_count: u64 = "ResourceRecordSetCount",
    }
}

output! {
    HostedZoneConfig {
        comment: Option<String> = "Comment",
        private_zone: bool = "PrivateZone",
    }
}

output! {
    VpcItem {
        region: Region = "VPCRegion",
        id: VpcId = "VPCId",
    }
}

output! {
    ChangeInfo {
        /// `/change/C..`
        id: String = "Id",
        status: &'static str = "Status",
        submitted_at: Time = "SubmittedAt",
        comment: Option<String> = "Comment",
    }
}

output! {
    CreateHostedZoneResponse {
        hosted_zone: HostedZoneItem = "HostedZone",
        change_info: ChangeInfo = "ChangeInfo",
        vpc: VpcItem = "VPC",
    }
}

output! {
    GetHostedZoneResponse {
        hosted_zone: HostedZoneItem = "HostedZone",
        vpcs: List<VpcItem> = "VPCs",
    }
}

output! {
    HostedZoneCount {
        count: u64 = "HostedZoneCount",
    }
}

output! {
    ListHostedZonesResponse {
        hosted_zones: List<HostedZoneItem> = "HostedZones",
        /// Where the page begins; empty: at the first.
        marker: String = "Marker",
        is_truncated: bool = "IsTruncated",
        next_marker: Option<String> = "NextMarker",
        max_items: u64 = "MaxItems",
    }
}

output! {
    ListHostedZonesByNameResponse {
        hosted_zones: List<HostedZoneItem> = "HostedZones",
        dns_name: Option<String> = "DNSName",
        hosted_zone_id: Option<String> = "HostedZoneId",
        is_truncated: bool = "IsTruncated",
        next_dns_name: Option<String> = "NextDNSName",
        next_hosted_zone_id: Option<String> = "NextHostedZoneId",
        max_items: u64 = "MaxItems",
    }
}

output! {
    ListHostedZonesByVpcResponse {
        summaries: List<HostedZoneSummary> = "HostedZoneSummaries",
        max_items: u64 = "MaxItems",
        next_token: Option<String> = "NextToken",
    }
}

output! {
    HostedZoneSummary {
        /// Without the path in front.
        id: String = "HostedZoneId",
        name: String = "Name",
        owner: HostedZoneOwner = "Owner",
    }
}

output! {
    HostedZoneOwner {
        account: AccountId = "OwningAccount",
    }
}

output! {
    /// The answer of all that only change a zone.
    ChangeResponse {
        change_info: ChangeInfo = "ChangeInfo",
    }
}

output! {
    UpdatedHostedZone {
        hosted_zone: HostedZoneItem = "HostedZone",
    }
}

output! {
    AuthorizationResponse {
        hosted_zone_id: String = "HostedZoneId",
        vpc: VpcItem = "VPC",
    }
}

output! {
    ListAuthorizationsResponse {
        hosted_zone_id: String = "HostedZoneId",
        next_token: Option<String> = "NextToken",
        vpcs: List<VpcItem> = "VPCs",
    }
}

output! {
    ListResourceRecordSetsResponse {
        record_sets: List<RecordSetItem> = "ResourceRecordSets",
        is_truncated: bool = "IsTruncated",
        next_name: Option<String> = "NextRecordName",
        next_type: Option<&'static str> = "NextRecordType",
        max_items: u64 = "MaxItems",
    }
}

/// The records of one name and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSetItem {
    pub name: String,
    pub kind: RecordType,
    pub set: RecordSet,
}

impl ToXml for RecordSetItem {
    fn write(&self, name: &str, xml: &mut Xml) {
        xml.element(name, |xml| {
            xml.text("Name", &escaped(&self.name));
            xml.text("Type", type_name(self.kind));
            xml.text("TTL", &self.set.ttl.to_string());
            xml.element("ResourceRecords", |xml| {
                for value in &self.set.values {
                    xml.element("ResourceRecord", |xml| xml.text("Value", value));
                }
            });
        });
    }
}

output! {
    DnssecResponse {
        status: DnssecStatus = "Status",
        key_signing_keys: List<String> = "KeySigningKeys",
    }
}

output! {
    DnssecStatus {
        serve_signature: &'static str = "ServeSignature",
    }
}

output! {
    TagsResponse {
        set: ResourceTagSet = "ResourceTagSet",
    }
}

output! {
    TagsOfSeveralResponse {
        sets: List<ResourceTagSet> = "ResourceTagSets",
    }
}

output! {
    ResourceTagSet {
        resource_type: &'static str = "ResourceType",
        resource_id: String = "ResourceId",
        tags: List<TagItem> = "Tags",
    }
}

output! {
    TagItem {
        key: String = "Key",
        value: String = "Value",
    }
}

output! { Nothing {} }

/// The word of the API.
pub fn type_name(kind: RecordType) -> &'static str {
    match kind {
        RecordType::A => "A",
        RecordType::Aaaa => "AAAA",
        RecordType::Cname => "CNAME",
        RecordType::Mx => "MX",
        RecordType::Ns => "NS",
        RecordType::Ptr => "PTR",
        RecordType::Soa => "SOA",
        RecordType::Srv => "SRV",
        RecordType::Txt => "TXT",
    }
}

/// An answer: its document, and what stands outside of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 200, or 201 for what was made.
    pub status: u16,
    /// Where what was made is found.
    pub location: Option<String>,
    pub document: String,
}

impl Reply {
    /// The answer of an action.
    pub fn of(action: &str, shape: &impl Shape) -> Reply {
        let mut xml = Xml::document();
        xml.root(&format!("{action}Response"), NAMESPACE, |xml| shape.members(xml));
        Reply { status: 200, location: None, document: xml.finish() }
    }

    /// The same for what was made.
    #[must_use]
    pub fn created(self, location: Option<String>) -> Reply {
        Reply { status: 201, location, ..self }
    }
}
