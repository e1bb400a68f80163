//! What Route 53 is asked: by method and path, with the rest in the query or in an XML body.

use model::{RecordSet, RecordType, Region, VpcId};
use roxmltree::{Document, Node, ParsingOptions};

use super::name::DomainName;
use super::output::type_name;
use super::{VERSION, invalid_change_batch, invalid_input, value};
use crate::{Error, Node as Form};

/// Nodes of one body; a change takes about ten.
const NODES_MAX: u32 = 50_000;
/// Changes of one batch, and values of one record set (Route 53's quotas).
const CHANGES_MAX: usize = 1000;
const VALUES_MAX: usize = 400;
const TTL_MAX: u32 = 2_147_483_647;

/// Members of a record set that choose among several of one name, or stand for something else.
const UNSERVED: [&str; 11] = [
    "SetIdentifier",
    "Weight",
    "Region",
    "GeoLocation",
    "Failover",
    "MultiValueAnswer",
    "AliasTarget",
    "HealthCheckId",
    "TrafficPolicyInstanceId",
    "CidrRoutingConfig",
    "GeoProximityLocation",
];

/// A VPC and where it is.
pub type VpcInput = (Region, VpcId);

/// A request that parsed; ids of zones are without the path in front of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    CreateHostedZone { name: DomainName, vpc: VpcInput, caller_reference: String, comment: Option<String> },
    GetHostedZone { id: String },
    GetHostedZoneCount,
    ListHostedZones { marker: Option<String>, max_items: usize, is_private: Option<bool> },
    ListHostedZonesByName { dns_name: Option<DomainName>, id: Option<String>, max_items: usize },
    ListHostedZonesByVpc { vpc: VpcInput, max_items: usize, next_token: Option<String> },
    DeleteHostedZone { id: String },
    UpdateHostedZoneComment { id: String, comment: Option<String> },
    AssociateVpc { id: String, vpc: VpcInput, comment: Option<String> },
    DisassociateVpc { id: String, vpc: VpcInput, comment: Option<String> },
    CreateAuthorization { id: String, vpc: VpcInput },
    DeleteAuthorization { id: String, vpc: VpcInput },
    ListAuthorizations { id: String, max_results: usize, next_token: Option<String> },
    ChangeResourceRecordSets { id: String, comment: Option<String>, changes: Vec<ChangeInput> },
    ListResourceRecordSets { id: String, name: Option<DomainName>, kind: Option<RecordType>, max_items: usize },
    GetChange { id: String },
    GetDnssec { id: String },
    ChangeTags { id: String, add: Vec<(String, String)>, remove: Vec<String> },
    ListTags { id: String },
    ListTagsForResources { ids: Vec<String> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeAction {
    Create,
    Delete,
    Upsert,
}

impl std::fmt::Display for ChangeAction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ChangeAction::Create => "CREATE",
            ChangeAction::Delete => "DELETE",
            ChangeAction::Upsert => "UPSERT",
        })
    }
}

/// One change of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeInput {
    pub action: ChangeAction,
    pub name: DomainName,
    pub kind: RecordType,
    pub set: RecordSet,
}

impl Request {
    /// The names of all actions.
    pub const NAMES: &'static [&'static str] = &[
        "CreateHostedZone",
        "GetHostedZone",
        "GetHostedZoneCount",
        "ListHostedZones",
        "ListHostedZonesByName",
        "ListHostedZonesByVPC",
        "DeleteHostedZone",
        "UpdateHostedZoneComment",
        "AssociateVPCWithHostedZone",
        "DisassociateVPCFromHostedZone",
        "CreateVPCAssociationAuthorization",
        "DeleteVPCAssociationAuthorization",
        "ListVPCAssociationAuthorizations",
        "ChangeResourceRecordSets",
        "ListResourceRecordSets",
        "GetChange",
        "GetDNSSEC",
        "ChangeTagsForResource",
        "ListTagsForResource",
        "ListTagsForResources",
    ];

    /// Reads a request: its method, path (percent-decoded by the client's habit not to need it), raw query and body.
    ///
    /// # Errors
    /// `UnknownOperationException` for a path or method that is no action here, `InvalidInput` and the like for its parameters.
    pub fn parse(method: &str, path: &str, query: &str, body: &[u8]) -> Result<Request, Error> {
        let unknown = || {
            let message = format!("{method} {path} is no action of Route 53 that is served here");
            Error::new("UnknownOperationException", message).with_status(404)
        };
        let path = path.strip_prefix('/').unwrap_or(path).trim_end_matches('/');
        let parts: Vec<&str> = path.split('/').collect();
        let [VERSION, rest @ ..] = &parts[..] else { return Err(unknown()) };
        let form = Form::parse(query.as_bytes()).map_err(|error| invalid_input(error.message))?;
        match (method, rest) {
            ("GET", _) => read(rest, &form)?.ok_or_else(unknown),
            ("DELETE", ["hostedzone", id]) => Ok(Request::DeleteHostedZone { id: zone_id(id)? }),
            ("POST", _) => {
                let text = std::str::from_utf8(body).map_err(|_| invalid_input("The request body is not UTF-8"))?;
                let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
                let document = Document::parse_with_options(text, options)
                    .map_err(|error| Error::new("MalformedInput", format!("The request body is no XML: {error}")))?;
                write(rest, document.root_element())?.ok_or_else(unknown)
            }
            _ => Err(unknown()),
        }
    }

    pub fn name(&self) -> &'static str {
        let at = match self {
            Request::CreateHostedZone { .. } => 0,
            Request::GetHostedZone { .. } => 1,
            Request::GetHostedZoneCount => 2,
            Request::ListHostedZones { .. } => 3,
            Request::ListHostedZonesByName { .. } => 4,
            Request::ListHostedZonesByVpc { .. } => 5,
            Request::DeleteHostedZone { .. } => 6,
            Request::UpdateHostedZoneComment { .. } => 7,
            Request::AssociateVpc { .. } => 8,
            Request::DisassociateVpc { .. } => 9,
            Request::CreateAuthorization { .. } => 10,
            Request::DeleteAuthorization { .. } => 11,
            Request::ListAuthorizations { .. } => 12,
            Request::ChangeResourceRecordSets { .. } => 13,
            Request::ListResourceRecordSets { .. } => 14,
            Request::GetChange { .. } => 15,
            Request::GetDnssec { .. } => 16,
            Request::ChangeTags { .. } => 17,
            Request::ListTags { .. } => 18,
            Request::ListTagsForResources { .. } => 19,
        };
        Request::NAMES[at]
    }

    /// It changes nothing.
    pub fn is_read(&self) -> bool {
        self.name().starts_with("Get") || self.name().starts_with("List")
    }
}

fn read(path: &[&str], form: &Form) -> Result<Option<Request>, Error> {
    let text = |name: &str| form.text(name).filter(|text| !text.is_empty()).map(str::to_owned);
    Ok(Some(match path {
        ["hostedzone"] => Request::ListHostedZones {
            marker: text("Marker").map(|marker| zone_id(&marker)).transpose()?,
            max_items: max(form, "Maxitems", 100)?,
            is_private: text("Hostedzonetype").map(|kind| kind == "PrivateHostedZone"),
        },
        ["hostedzone", id] => Request::GetHostedZone { id: zone_id(id)? },
        ["hostedzonecount"] => Request::GetHostedZoneCount,
        ["hostedzonesbyname"] => Request::ListHostedZonesByName {
            dns_name: text("Dnsname").map(|name| domain(&name)).transpose()?,
            id: text("Hostedzoneid").map(|id| zone_id(&id)).transpose()?,
            max_items: max(form, "Maxitems", 100)?,
        },
        ["hostedzonesbyvpc"] => Request::ListHostedZonesByVpc {
            vpc: vpc_of(text("Vpcregion").as_deref(), text("Vpcid").as_deref())?,
            max_items: max(form, "Maxitems", 100)?,
            next_token: text("Nexttoken"),
        },
        ["hostedzone", id, "authorizevpcassociation"] => Request::ListAuthorizations {
            id: zone_id(id)?,
            max_results: max(form, "Maxresults", 50)?,
            next_token: text("Nexttoken"),
        },
        ["hostedzone", id, "rrset"] => {
            let name = text("Name").map(|name| domain(&name)).transpose()?;
            let kind = text("Type").map(|kind| record_type(&kind)).transpose()?;
            if kind.is_some() && name.is_none() {
                return Err(invalid_input(
                    "A record type needs a record name: where a list begins is a name and a type",
                ));
            }
            Request::ListResourceRecordSets { id: zone_id(id)?, name, kind, max_items: max(form, "Maxitems", 300)? }
        }
        ["change", id] => Request::GetChange { id: (*id).into() },
        ["hostedzone", id, "dnssec"] => Request::GetDnssec { id: zone_id(id)? },
        ["tags", kind, id] => {
            check_tagged(kind)?;
            Request::ListTags { id: zone_id(id)? }
        }
        _ => return Ok(None),
    }))
}

fn write(path: &[&str], root: Node<'_, '_>) -> Result<Option<Request>, Error> {
    let comment = || text(root, "Comment");
    let vpc = || vpc(root).and_then(|vpc| vpc.ok_or_else(|| invalid_input("The request must contain a VPC")));
    Ok(Some(match path {
        ["hostedzone"] => create(root)?,
        ["hostedzone", id] => Request::UpdateHostedZoneComment { id: zone_id(id)?, comment: comment() },
        ["hostedzone", id, "associatevpc"] => {
            Request::AssociateVpc { id: zone_id(id)?, vpc: vpc()?, comment: comment() }
        }
        ["hostedzone", id, "disassociatevpc"] => {
            Request::DisassociateVpc { id: zone_id(id)?, vpc: vpc()?, comment: comment() }
        }
        ["hostedzone", id, "authorizevpcassociation"] => Request::CreateAuthorization { id: zone_id(id)?, vpc: vpc()? },
        ["hostedzone", id, "deauthorizevpcassociation"] => {
            Request::DeleteAuthorization { id: zone_id(id)?, vpc: vpc()? }
        }
        ["hostedzone", id, "rrset"] => {
            let batch =
                child(root, "ChangeBatch").ok_or_else(|| invalid_input("The request must contain a ChangeBatch"))?;
            Request::ChangeResourceRecordSets {
                id: zone_id(id)?,
                comment: text(batch, "Comment"),
                changes: changes(batch)?,
            }
        }
        ["tags", kind, id] => {
            check_tagged(kind)?;
            let add = children(root, "AddTags", "Tag").map(|tag| {
                let key = text(tag, "Key").ok_or_else(|| invalid_input("A tag must have a Key"))?;
                Ok((key, text(tag, "Value").unwrap_or_default()))
            });
            let remove = children(root, "RemoveTagKeys", "Key").map(|key| key.text().unwrap_or_default().to_owned());
            Request::ChangeTags { id: zone_id(id)?, add: add.collect::<Result<_, Error>>()?, remove: remove.collect() }
        }
        ["tags", kind] => {
            check_tagged(kind)?;
            let ids = children(root, "ResourceIds", "ResourceId").map(|id| zone_id(id.text().unwrap_or_default()));
            Request::ListTagsForResources { ids: ids.collect::<Result<_, _>>()? }
        }
        _ => return Ok(None),
    }))
}

fn create(root: Node<'_, '_>) -> Result<Request, Error> {
    let missing = |name: &str| invalid_input(format!("The request must contain {name}"));
    let caller_reference = text(root, "CallerReference").ok_or_else(|| missing("a CallerReference"))?;
    if caller_reference.chars().count() > 128 {
        return Err(invalid_input("A CallerReference has at most 128 characters"));
    }
    if text(root, "DelegationSetId").is_some() {
        return Err(invalid_input("A reusable delegation set cannot be used with a private hosted zone"));
    }
    let vpc = vpc(root)?.ok_or_else(|| {
        invalid_input(
            "When you're creating a private hosted zone, you must also specify values for VPCRegion and VPCId; public hosted zones are not served here",
        )
    })?;
    let config = child(root, "HostedZoneConfig");
    Ok(Request::CreateHostedZone {
        name: domain(&text(root, "Name").ok_or_else(|| missing("a Name"))?)?,
        vpc,
        caller_reference,
        comment: config.and_then(|config| text(config, "Comment")),
    })
}

fn changes(batch: Node<'_, '_>) -> Result<Vec<ChangeInput>, Error> {
    let changes: Vec<Node<'_, '_>> = children(batch, "Changes", "Change").collect();
    if changes.is_empty() {
        return Err(invalid_input("A ChangeBatch must have at least one Change"));
    }
    if changes.len() > CHANGES_MAX {
        return Err(invalid_change_batch(&[format!("Number of records limit of {CHANGES_MAX} exceeded.")]));
    }
    changes.into_iter().map(change).collect()
}

fn change(node: Node<'_, '_>) -> Result<ChangeInput, Error> {
    let action = match text(node, "Action").as_deref() {
        Some("CREATE") => ChangeAction::Create,
        Some("DELETE") => ChangeAction::Delete,
        Some("UPSERT") => ChangeAction::Upsert,
        other => {
            let message = format!("Invalid Action '{}'; use CREATE, DELETE or UPSERT", other.unwrap_or_default());
            return Err(invalid_input(message));
        }
    };
    let set =
        child(node, "ResourceRecordSet").ok_or_else(|| invalid_input("A Change must have a ResourceRecordSet"))?;
    if let Some(unserved) = UNSERVED.iter().find(|name| child(set, name).is_some()) {
        return Err(invalid_input(format!(
            "{unserved} is not served here: record sets are simple, with a TTL and values of their own"
        )));
    }
    let name = text(set, "Name").unwrap_or_default();
    let refuse = |problem: &dyn std::fmt::Display, text: &str| {
        invalid_change_batch(&[format!("FATAL problem: {problem} encountered with '{text}'")])
    };
    let name = DomainName::parse(&name).map_err(|error| refuse(&error, &name))?;
    let kind = record_type(&text(set, "Type").unwrap_or_default())?;
    let ttl = text(set, "TTL").ok_or_else(|| {
        invalid_change_batch(&[format!(
            "Missing field 'TTL' in Change with [Action={action}, Name={name}, Type={}]",
            type_name(kind)
        )])
    })?;
    let ttl = ttl.parse().ok().filter(|ttl| *ttl <= TTL_MAX);
    let ttl = ttl.ok_or_else(|| invalid_input(format!("A TTL must be between 0 and {TTL_MAX} seconds")))?;
    let mut values: Vec<String> = Vec::new();
    for record in children(set, "ResourceRecords", "ResourceRecord") {
        let value = text(record, "Value").unwrap_or_default();
        value::check(kind, &value).map_err(|error| {
            invalid_change_batch(&[format!(
                "Invalid Resource Record: 'FATAL problem: {error} encountered with '{value}''"
            )])
        })?;
        if values.contains(&value) {
            return Err(invalid_change_batch(&[format!("Duplicate Resource Record: '{value}'")]));
        }
        values.push(value);
    }
    let only_one = matches!(kind, RecordType::Cname | RecordType::Soa);
    match values.len() {
        0 => Err(invalid_change_batch(&[format!(
            "Missing field 'ResourceRecords' in Change with [Action={action}, Name={name}, Type={}]",
            type_name(kind)
        )])),
        count if count > VALUES_MAX || (only_one && count > 1) => Err(invalid_change_batch(&[format!(
            "{count} values of {name} type {} are too many: at most {} are taken",
            type_name(kind),
            if only_one { 1 } else { VALUES_MAX }
        )])),
        _ => Ok(ChangeInput { action, name, kind, set: RecordSet { ttl, values } }),
    }
}

/// `Z..`, with or without the path in front of it.
fn zone_id(text: &str) -> Result<String, Error> {
    let id = text.trim_start_matches('/');
    let id = id.strip_prefix("hostedzone/").unwrap_or(id);
    let is_id =
        (1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if is_id { Ok(id.into()) } else { Err(invalid_input(format!("The hosted zone ID '{id}' is not valid"))) }
}

fn domain(text: &str) -> Result<DomainName, Error> {
    DomainName::parse(text)
        .map_err(|error| Error::new("InvalidDomainName", format!("The domain name '{text}' is not valid: {error}")))
}

fn record_type(text: &str) -> Result<RecordType, Error> {
    use RecordType::*;
    let known = [A, Aaaa, Cname, Mx, Ns, Ptr, Soa, Srv, Txt];
    known.into_iter().find(|kind| type_name(*kind) == text).ok_or_else(|| {
        let names = known.map(type_name).join(", ");
        invalid_input(format!("The record type '{text}' is not served here; use one of {names}"))
    })
}

fn check_tagged(kind: &str) -> Result<(), Error> {
    if kind == "hostedzone" {
        return Ok(());
    }
    Err(invalid_input(format!("The resource type '{kind}' is not served here; only hostedzone has tags")))
}

/// How many are wanted, and never more than `most`.
fn max(form: &Form, name: &str, most: usize) -> Result<usize, Error> {
    let Some(text) = form.text(name).filter(|text| !text.is_empty()) else { return Ok(most) };
    let wanted = text.parse().ok().filter(|wanted| *wanted > 0);
    wanted
        .map(|wanted: usize| wanted.min(most))
        .ok_or_else(|| invalid_input(format!("'{text}' is no number of items: use 1 to {most}")))
}

fn vpc(parent: Node<'_, '_>) -> Result<Option<VpcInput>, Error> {
    let Some(vpc) = child(parent, "VPC") else { return Ok(None) };
    let (region, id) = (text(vpc, "VPCRegion"), text(vpc, "VPCId"));
    vpc_of(region.as_deref(), id.as_deref()).map(Some)
}

fn vpc_of(region: Option<&str>, id: Option<&str>) -> Result<VpcInput, Error> {
    let region = region.and_then(|text| text.parse().ok());
    let region = region.ok_or_else(|| invalid_input("A VPC must have a VPCRegion such as us-east-1"))?;
    let id = id.and_then(|text| text.parse().ok());
    let id = id.ok_or_else(|| Error::new("InvalidVPCId", "The VPC ID is invalid: expecting \"vpc-...\""))?;
    Ok((region, id))
}

fn child<'d, 'i>(parent: Node<'d, 'i>, name: &str) -> Option<Node<'d, 'i>> {
    parent.children().find(|node| node.is_element() && node.tag_name().name() == name)
}

/// The members of a list.
fn children<'d, 'i>(parent: Node<'d, 'i>, list: &str, member: &'static str) -> impl Iterator<Item = Node<'d, 'i>> {
    let list = child(parent, list);
    let members = list.into_iter().flat_map(|list| list.children());
    members.filter(move |node| node.is_element() && node.tag_name().name() == member)
}

/// An element's text; `None`: it is not there.
fn text(parent: Node<'_, '_>, name: &str) -> Option<String> {
    child(parent, name).map(|node| node.text().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(method: &str, target: &str, body: &str) -> Result<Request, Error> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Request::parse(method, path, query, body.as_bytes())
    }

    fn batch(set: &str) -> Result<Request, Error> {
        let body = format!(
            "<ChangeResourceRecordSetsRequest xmlns=\"{}\"><ChangeBatch><Changes><Change><Action>CREATE</Action><ResourceRecordSet>{set}</ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>",
            crate::route53::NAMESPACE
        );
        parse("POST", "/2013-04-01/hostedzone/Z1/rrset/", &body)
    }

    #[test]
    fn what_sdks_send() {
        let body = "<?xml version=\"1.0\"?><CreateHostedZoneRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><Name>Corp.Example</Name><VPC><VPCRegion>us-east-1</VPCRegion><VPCId>vpc-0123456789abcdef0</VPCId></VPC><CallerReference>a</CallerReference><HostedZoneConfig><Comment>c</Comment><PrivateZone>true</PrivateZone></HostedZoneConfig></CreateHostedZoneRequest>";
        let vpc = ("us-east-1".parse().unwrap(), "vpc-0123456789abcdef0".parse().unwrap());
        let expected = Request::CreateHostedZone {
            name: DomainName::parse("corp.example").unwrap(),
            vpc,
            caller_reference: "a".into(),
            comment: Some("c".into()),
        };
        assert_eq!(parse("POST", "/2013-04-01/hostedzone", body), Ok(expected));
        assert_eq!(
            parse(
                "GET",
                "/2013-04-01/hostedzonesbyvpc?vpcid=vpc-0123456789abcdef0&vpcregion=us-east-1&maxitems=500",
                ""
            ),
            Ok(Request::ListHostedZonesByVpc { vpc, max_items: 100, next_token: None })
        );
        let name = DomainName::parse("a.b").unwrap();
        assert_eq!(
            parse("GET", "/2013-04-01/hostedzone/Z1/rrset?name=a.b&type=A&maxitems=1", ""),
            Ok(Request::ListResourceRecordSets {
                id: "Z1".into(),
                name: Some(name.clone()),
                kind: Some(RecordType::A),
                max_items: 1
            })
        );
        let set = RecordSet { ttl: 60, values: vec!["10.0.0.5".into()] };
        let Ok(Request::ChangeResourceRecordSets { changes, .. }) = batch(
            "<Name>a.b</Name><Type>A</Type><TTL>60</TTL><ResourceRecords><ResourceRecord><Value>10.0.0.5</Value></ResourceRecord></ResourceRecords>",
        ) else {
            panic!()
        };
        assert_eq!(changes, [ChangeInput { action: ChangeAction::Create, name, kind: RecordType::A, set }]);
    }

    #[test]
    fn what_is_not_served_says_so() {
        let records = "<ResourceRecords><ResourceRecord><Value>10.0.0.5</Value></ResourceRecord></ResourceRecords>";
        let twice = "<ResourceRecords><ResourceRecord><Value>a.b</Value></ResourceRecord><ResourceRecord><Value>c.d</Value></ResourceRecord></ResourceRecords>";
        for (set, code, words) in [
            (
                format!("<Name>a.b</Name><Type>A</Type><TTL>1</TTL>{records}<Weight>1</Weight>"),
                "InvalidInput",
                "Weight",
            ),
            ("<Name>a.b</Name><Type>A</Type><AliasTarget/>".into(), "InvalidInput", "AliasTarget"),
            (format!("<Name>a.b</Name><Type>CAA</Type><TTL>1</TTL>{records}"), "InvalidInput", "'CAA'"),
            (format!("<Name>a.b</Name><Type>A</Type>{records}"), "InvalidChangeBatch", "'TTL'"),
            ("<Name>a.b</Name><Type>A</Type><TTL>1</TTL>".into(), "InvalidChangeBatch", "'ResourceRecords'"),
            (format!("<Name>a..b</Name><Type>A</Type><TTL>1</TTL>{records}"), "InvalidChangeBatch", "DomainLabelEmpty"),
            (format!("<Name>a.b</Name><Type>AAAA</Type><TTL>1</TTL>{records}"), "InvalidChangeBatch", "AAAARRDATA"),
            (format!("<Name>a.b</Name><Type>A</Type><TTL>-1</TTL>{records}"), "InvalidInput", "TTL"),
            (format!("<Name>a.b</Name><Type>CNAME</Type><TTL>1</TTL>{twice}"), "InvalidChangeBatch", "at most 1"),
        ] {
            let error = batch(&set).unwrap_err();
            assert!(error.code == code && error.message.contains(words), "{set}: {error:?}");
        }
        let public = "<a><Name>a.b</Name><CallerReference>r</CallerReference></a>";
        for (method, target, body, code) in [
            ("POST", "/2013-04-01/hostedzone", public, "InvalidInput"),
            ("POST", "/2013-04-01/hostedzone", "<a>", "MalformedInput"),
            ("POST", "/2013-04-01/hostedzone", "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>", "MalformedInput"),
            ("POST", "/2013-04-01/healthcheck", "<a/>", "UnknownOperationException"),
            ("PUT", "/2013-04-01/hostedzone", "<a/>", "UnknownOperationException"),
            ("GET", "/", "", "UnknownOperationException"),
            ("GET", "/2013-04-01/hostedzone/z1", "", "InvalidInput"),
            ("GET", "/2013-04-01/hostedzone?maxitems=x", "", "InvalidInput"),
            ("GET", "/2013-04-01/hostedzone/Z1/rrset?type=A", "", "InvalidInput"),
            ("GET", "/2013-04-01/tags/healthcheck/Z1", "", "InvalidInput"),
        ] {
            assert_eq!(parse(method, target, body).unwrap_err().code, code, "{method} {target} {body}");
        }
    }

    proptest! {
        #[test]
        fn no_request_panics(
            method in "GET|POST|DELETE|PUT",
            path in "/2013-04-01/(hostedzone|tags|change)?/?[A-Z0-9a-z/%]{0,30}",
            query in "[a-z=&%0-9.]{0,40}",
            body in "\\PC{0,200}",
        ) {
            let _ = Request::parse(&method, &path, &query, body.as_bytes());
            let _ = Request::parse("POST", "/2013-04-01/hostedzone/Z1/rrset", &query, body.as_bytes());
        }
    }
}
