//! Private hosted zones through Route 53's API (spec 9.6, decision 0036).

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::*;
use control::Config;
use control::route53::{Question, Worlds, handle};
use ec2::route53::{Reply, Request};
use ec2::{Caller, Error};
const HOME: &str = "us-east-1";
const ABROAD: &str = "eu-west-1";

/// Two regions; the first is home.
struct Zones {
    home: Harness,
    abroad: Harness,
}

impl Zones {
    fn new() -> Zones {
        Zones { home: Harness::new(), abroad: Harness::in_region(ABROAD) }
    }

    fn vpc(&mut self, region: &str, account: &str) -> String {
        let cloud = if region == HOME { &mut self.home } else { &mut self.abroad };
        text(&cloud.ok(account, "Action=CreateVpc&CidrBlock=10.0.0.0/16"), "vpcId")
    }

    fn call(&mut self, account: &str, method: &str, target: &str, body: &str) -> Result<Reply, Error> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = Request::parse(method, &format!("/2013-04-01/{path}"), query, body.as_bytes())?;
        let is_read = request.is_read();
        let worlds: Worlds = BTreeMap::from([
            (ABROAD.parse().unwrap(), Arc::new(self.abroad.world.clone())),
            (HOME.parse().unwrap(), Arc::default()),
        ]);
        let caller = Caller::root(account.parse().unwrap());
        let config: &Config = &self.home.config;
        let question = Question {
            home: &self.home.world,
            worlds: &worlds,
            config,
            caller: &caller,
            seed: seed(),
            machine: self.home.now,
        };
        let (reply, changes) = handle(&question, request)?;
        assert!(!is_read || changes.is_empty());
        self.home.world = self.home.world.apply(&changes);
        Ok(reply)
    }

    fn ok(&mut self, account: &str, method: &str, target: &str, body: &str) -> String {
        let reply = self.call(account, method, target, body);
        reply.unwrap_or_else(|error| panic!("{method} {target} {body}: {} {}", error.code, error.message)).document
    }

    fn get(&mut self, account: &str, target: &str) -> String {
        self.ok(account, "GET", target, "")
    }

    /// The refusal, which changes nothing.
    fn error(&mut self, account: &str, method: &str, target: &str, body: &str) -> Error {
        let before = self.home.world.clone();
        let error = self.call(account, method, target, body).expect_err(body);
        assert_eq!(self.home.world, before);
        error
    }

    fn code(&mut self, account: &str, method: &str, target: &str, body: &str) -> String {
        self.error(account, method, target, body).code.into_owned()
    }

    fn zone(&mut self, account: &str, name: &str, region: &str, vpc: &str) -> String {
        let made = self.ok(account, "POST", "hostedzone", &creation(name, name, region, vpc));
        text(&made, "Id").trim_start_matches("/hostedzone/").to_owned()
    }

    fn change(&mut self, zone: &str, changes: &[(&str, &str, &str, &str)]) -> Result<Reply, Error> {
        self.call(ALICE, "POST", &format!("hostedzone/{zone}/rrset/"), &batch(changes))
    }

    /// The message of a batch that is refused, and changes nothing.
    fn refusal(&mut self, zone: &str, changes: &[(&str, &str, &str, &str)]) -> String {
        let error = self.error(ALICE, "POST", &format!("hostedzone/{zone}/rrset"), &batch(changes));
        assert_eq!(error.code, "InvalidChangeBatch", "{error:?}");
        error.message
    }

    /// Names and types in the order of the list.
    fn records(&mut self, zone: &str, query: &str) -> Vec<String> {
        let listed = self.get(ALICE, &format!("hostedzone/{zone}/rrset?{query}"));
        texts(&listed, "Name")
            .into_iter()
            .zip(texts(&listed, "Type"))
            .map(|(name, kind)| format!("{name} {kind}"))
            .collect()
    }
}

fn vpc_element(region: &str, vpc: &str) -> String {
    format!("<VPC><VPCRegion>{region}</VPCRegion><VPCId>{vpc}</VPCId></VPC>")
}

fn creation(name: &str, reference: &str, region: &str, vpc: &str) -> String {
    format!(
        "<R><Name>{name}</Name>{}<CallerReference>{reference}</CallerReference><HostedZoneConfig><Comment>c</Comment></HostedZoneConfig></R>",
        vpc_element(region, vpc)
    )
}

fn with_vpc(region: &str, vpc: &str) -> String {
    format!("<R>{}</R>", vpc_element(region, vpc))
}

/// Action, name, type, values with `|` between them.
fn batch(changes: &[(&str, &str, &str, &str)]) -> String {
    let changes = changes.iter().map(|(action, name, kind, values)| {
        let values = values.split('|').map(|value| format!("<ResourceRecord><Value>{value}</Value></ResourceRecord>"));
        format!(
            "<Change><Action>{action}</Action><ResourceRecordSet><Name>{name}</Name><Type>{kind}</Type><TTL>60</TTL><ResourceRecords>{}</ResourceRecords></ResourceRecordSet></Change>",
            values.collect::<String>()
        )
    });
    format!("<R><ChangeBatch><Changes>{}</Changes></ChangeBatch></R>", changes.collect::<String>())
}

#[test]
fn a_zone_is_made_shown_and_deleted() {
    let mut cloud = Zones::new();
    let vpc = cloud.vpc(HOME, ALICE);
    let reply = cloud.call(ALICE, "POST", "hostedzone", &creation("Corp.Example", "one", HOME, &vpc)).unwrap();
    let id = text(&reply.document, "Id").trim_start_matches("/hostedzone/").to_owned();
    assert_eq!(reply.status, 201);
    assert!(reply.location.unwrap().ends_with(&format!("/2013-04-01/hostedzone/{id}")));
    assert_eq!((text(&reply.document, "Name"), text(&reply.document, "VPCId")), ("corp.example.".into(), vpc.clone()));
    let shown = cloud.get(ALICE, &format!("hostedzone/{id}"));
    assert_eq!(texts(&shown, "VPCId"), [vpc.as_str()]);
    assert_eq!((text(&shown, "PrivateZone"), text(&shown, "ResourceRecordSetCount")), ("true".into(), "2".into()));
    assert_eq!(cloud.records(&id, ""), ["corp.example. NS", "corp.example. SOA"]);
    assert_eq!(text(&cloud.get(ALICE, "hostedzonecount"), "HostedZoneCount"), "1");
    assert_eq!(text(&cloud.get(ALICE, &format!("hostedzone/{id}/dnssec")), "ServeSignature"), "NOT_SIGNING");
    let commented = cloud.ok(ALICE, "POST", &format!("hostedzone/{id}"), "<R><Comment>d</Comment></R>");
    assert_eq!(text(&commented, "Comment"), "d");

    let change = text(&reply.document.replace(&id, ""), "SubmittedAt");
    let pending = texts(&reply.document, "Id").pop().unwrap();
    let done = cloud.get(ALICE, pending.trim_start_matches('/'));
    assert_eq!((text(&done, "Status"), text(&done, "SubmittedAt")), ("INSYNC".into(), change));
    for wrong in ["change/C1", "change/X00000000000000000000", "change/CZZZZZZZZZZ0000000000"] {
        assert_eq!(cloud.code(ALICE, "GET", wrong, ""), "NoSuchChange", "{wrong}");
    }

    for (method, target) in [("GET", ""), ("DELETE", ""), ("GET", "/rrset"), ("GET", "/authorizevpcassociation")] {
        let target = format!("hostedzone/{id}{target}");
        assert_eq!(cloud.code(BOB, method, &target, ""), "NoSuchHostedZone", "{method} {target}");
    }
    assert_eq!(cloud.code(BOB, "POST", &format!("hostedzone/{id}"), "<R/>"), "NoSuchHostedZone");
    cloud.change(&id, &[("CREATE", "a.corp.example", "A", "10.0.0.5")]).unwrap();
    assert_eq!(cloud.code(ALICE, "DELETE", &format!("hostedzone/{id}"), ""), "HostedZoneNotEmpty");
    cloud.change(&id, &[("DELETE", "a.corp.example", "A", "10.0.0.5")]).unwrap();
    cloud.ok(ALICE, "DELETE", &format!("hostedzone/{id}"), "");
    assert_eq!(cloud.code(ALICE, "GET", &format!("hostedzone/{id}"), ""), "NoSuchHostedZone");
    assert_eq!(cloud.home.world.hosted_zones.size(), 0);
}

#[test]
fn zones_that_cannot_be_made() {
    let mut cloud = Zones::new();
    let (own, foreign) = (cloud.vpc(HOME, ALICE), cloud.vpc(HOME, BOB));
    cloud.zone(ALICE, "corp.example", HOME, &own);
    for (name, reference, region, vpc, code) in [
        ("other.example", "corp.example", HOME, &own, "HostedZoneAlreadyExists"),
        ("CORP.example.", "two", HOME, &own, "ConflictingDomainExists"),
        ("other.example", "two", HOME, &foreign, "InvalidVPCId"),
        ("other.example", "two", ABROAD, &own, "InvalidVPCId"),
        ("other.example", "two", "ap-south-1", &own, "InvalidVPCId"),
        ("other..example", "two", HOME, &own, "InvalidDomainName"),
        ("other.example", "two", HOME, &"vpc-x".to_owned(), "InvalidVPCId"),
    ] {
        assert_eq!(cloud.code(ALICE, "POST", "hostedzone", &creation(name, reference, region, vpc)), code, "{name}");
    }
    let public = "<R><Name>a.b</Name><CallerReference>x</CallerReference></R>";
    assert_eq!(cloud.code(ALICE, "POST", "hostedzone", public), "InvalidInput");
    // The caller's reference and the VPC are one account's.
    cloud.zone(BOB, "corp.example", HOME, &foreign);
}

#[test]
fn a_zone_holds_in_vpcs_of_other_regions_and_accounts() {
    let mut cloud = Zones::new();
    let (own, far, foreign) = (cloud.vpc(HOME, ALICE), cloud.vpc(ABROAD, ALICE), cloud.vpc(ABROAD, BOB));
    let id = cloud.zone(ALICE, "corp.example", HOME, &own);
    let path = |action: &str| format!("hostedzone/{id}/{action}");
    let associate = path("associatevpc");
    cloud.ok(ALICE, "POST", &associate, &with_vpc(ABROAD, &far));
    assert_eq!(cloud.code(ALICE, "POST", &associate, &with_vpc(ABROAD, &far)), "ConflictingDomainExists");
    assert_eq!(cloud.code(ALICE, "POST", &associate, &with_vpc(ABROAD, &foreign)), "NotAuthorizedException");
    assert_eq!(cloud.code(BOB, "POST", &associate, &with_vpc(ABROAD, &foreign)), "NoSuchHostedZone");
    assert_eq!(
        cloud.code(BOB, "POST", &path("authorizevpcassociation"), &with_vpc(ABROAD, &foreign)),
        "NoSuchHostedZone"
    );

    cloud.ok(ALICE, "POST", &path("authorizevpcassociation"), &with_vpc(ABROAD, &foreign));
    assert_eq!(texts(&cloud.get(ALICE, &path("authorizevpcassociation")), "VPCId"), [foreign.as_str()]);
    assert_eq!(
        cloud.code(ALICE, "POST", &associate, &with_vpc(ABROAD, &foreign)),
        "NotAuthorizedException",
        "whose VPC it is asks"
    );
    cloud.ok(BOB, "POST", &associate, &with_vpc(ABROAD, &foreign));
    let zone = cloud.home.world.hosted_zones.values().next().unwrap().clone();
    assert_eq!(zone.vpcs.len(), 3);
    let worlds = BTreeMap::from([
        (HOME.parse().unwrap(), cloud.home.world.clone()),
        (ABROAD.parse().unwrap(), cloud.abroad.world.clone()),
    ]);
    for vpc in [&own, &far, &foreign] {
        assert_eq!(control::plan::hosted_zones(&worlds, vpc.parse().unwrap()).len(), 1, "hosts are told");
    }
    let by_vpc = cloud.get(BOB, &format!("hostedzonesbyvpc?vpcid={foreign}&vpcregion={ABROAD}"));
    assert_eq!((text(&by_vpc, "HostedZoneId"), text(&by_vpc, "OwningAccount")), (id.clone(), ALICE.into()));
    assert_eq!(cloud.code(BOB, "GET", &format!("hostedzonesbyvpc?vpcid={own}&vpcregion={HOME}"), ""), "InvalidVPCId");

    // An association outlives its authorization; either party ends it.
    cloud.ok(ALICE, "POST", &path("deauthorizevpcassociation"), &with_vpc(ABROAD, &foreign));
    let again = cloud.code(ALICE, "POST", &path("deauthorizevpcassociation"), &with_vpc(ABROAD, &foreign));
    assert_eq!(again, "VPCAssociationAuthorizationNotFound");
    let disassociate = path("disassociatevpc");
    assert_eq!(cloud.code(BOB, "POST", &disassociate, &with_vpc(ABROAD, &far)), "NoSuchHostedZone");
    cloud.ok(BOB, "POST", &disassociate, &with_vpc(ABROAD, &foreign));
    assert_eq!(cloud.code(BOB, "POST", &associate, &with_vpc(ABROAD, &foreign)), "NoSuchHostedZone", "not any more");
    assert_eq!(cloud.code(ALICE, "POST", &disassociate, &with_vpc(ABROAD, &foreign)), "VPCAssociationNotFound");
    cloud.ok(ALICE, "POST", &disassociate, &with_vpc(HOME, &own));
    assert_eq!(cloud.code(ALICE, "POST", &disassociate, &with_vpc(ABROAD, &far)), "LastVPCAssociation");
}

#[test]
fn an_association_goes_with_its_vpc() {
    let mut cloud = Zones::new();
    let (own, far) = (cloud.vpc(HOME, ALICE), cloud.vpc(ABROAD, ALICE));
    let id = cloud.zone(ALICE, "corp.example", HOME, &own);
    cloud.ok(ALICE, "POST", &format!("hostedzone/{id}/associatevpc"), &with_vpc(ABROAD, &far));
    cloud.abroad.ok(ALICE, &format!("Action=DeleteVpc&VpcId={far}"));
    assert_eq!(texts(&cloud.get(ALICE, &format!("hostedzone/{id}")), "VPCId"), [own.as_str()]);
    let disassociate = format!("hostedzone/{id}/disassociatevpc");
    assert_eq!(cloud.code(ALICE, "POST", &disassociate, &with_vpc(HOME, &own)), "LastVPCAssociation");
    cloud.change(&id, &[("CREATE", "a.corp.example", "A", "10.0.0.5")]).unwrap();
    assert_eq!(cloud.home.world.hosted_zones.values().next().unwrap().vpcs.len(), 1, "it is gone from the record too");
    cloud.home.ok(ALICE, &format!("Action=DeleteVpc&VpcId={own}"));
    assert!(texts(&cloud.get(ALICE, &format!("hostedzone/{id}")), "VPCId").is_empty());
}

#[test]
fn records_change_whole_batches_at_a_time() {
    let mut cloud = Zones::new();
    let vpc = cloud.vpc(HOME, ALICE);
    let id = cloud.zone(ALICE, "corp.example", HOME, &vpc);
    let set = &[
        ("CREATE", "WWW.corp.example", "A", "10.0.0.5|10.0.0.6"),
        ("CREATE", "*.corp.example", "TXT", "\"any\""),
        ("CREATE", "b.a.corp.example.", "AAAA", "2001:db8::5"),
        ("CREATE", "alias.corp.example", "CNAME", "www.corp.example"),
        ("CREATE", "corp.example", "MX", "10 mail.corp.example"),
        ("CREATE", "_sip._tcp.corp.example", "SRV", "1 2 5060 sip.corp.example"),
        ("CREATE", "5.0.0.10.corp.example", "PTR", "www.corp.example"),
    ];
    cloud.change(&id, set).unwrap();
    assert_eq!(
        cloud.records(&id, ""),
        [
            "corp.example. MX",
            "corp.example. NS",
            "corp.example. SOA",
            "\\052.corp.example. TXT",
            "5.0.0.10.corp.example. PTR",
            "_sip._tcp.corp.example. SRV",
            "b.a.corp.example. AAAA",
            "alias.corp.example. CNAME",
            "www.corp.example. A",
        ]
    );
    cloud
        .change(&id, &[("UPSERT", "www.corp.example", "A", "10.0.0.7"), ("DELETE", "*.corp.example", "TXT", "\"any\"")])
        .unwrap();
    let listed = cloud.get(ALICE, &format!("hostedzone/{id}/rrset?name=www.corp.example&type=A&maxitems=1"));
    assert_eq!((text(&listed, "Value"), text(&listed, "IsTruncated")), ("10.0.0.7".into(), "false".into()));
    // In one batch what is deleted makes room.
    cloud
        .change(
            &id,
            &[
                ("DELETE", "alias.corp.example", "CNAME", "www.corp.example"),
                ("CREATE", "alias.corp.example", "A", "10.0.0.8"),
            ],
        )
        .unwrap();

    let of = |name: &str, kind: &str| format!("[name='{name}', type='{kind}']");
    for (changes, message) in [
        (&[("CREATE", "www.corp.example", "A", "10.0.0.9")][..], format!("Tried to create resource record set {} but it already exists", of("www.corp.example.", "A"))),
        (&[("DELETE", "x.corp.example", "A", "10.0.0.9")], format!("Tried to delete resource record set {} but it was not found", of("x.corp.example.", "A"))),
        (&[("DELETE", "www.corp.example", "A", "10.0.0.9")], format!("Tried to delete resource record set {} but the values provided do not match the current values", of("www.corp.example.", "A"))),
        (&[("CREATE", "www.example", "A", "10.0.0.9")], "RRSet with DNS name www.example. is not permitted in zone corp.example.".into()),
        (&[("UPSERT", "corp.example", "CNAME", "www.example")], "RRSet of type CNAME with DNS name corp.example. is not permitted at apex in zone corp.example.".into()),
        (&[("CREATE", "www.corp.example", "CNAME", "www.example")], "RRSet of type CNAME with DNS name www.corp.example. is not permitted as it conflicts with other records with the same DNS name in zone corp.example.".into()),
        (&[("CREATE", "c.corp.example", "CNAME", "a.b"), ("CREATE", "c.corp.example", "A", "10.0.0.1")], "RRSet of type A with DNS name c.corp.example. is not permitted because a conflicting RRSet of type CNAME with the same DNS name already exists in zone corp.example.".into()),
        (&[("CREATE", "ok.corp.example", "A", "10.0.0.1"), ("CREATE", "c.corp.example", "A", "10.0.0")], "Invalid Resource Record: 'FATAL problem: ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address) encountered with '10.0.0''".into()),
    ] {
        assert_eq!(cloud.refusal(&id, changes), format!("[{message}]"));
    }
    let soa = "ns-1536.awsdns-00.co.uk. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400";
    let refused = cloud.change(&id, &[("DELETE", "corp.example", "SOA", soa)]).unwrap_err();
    assert_eq!(refused.code, "InvalidChangeBatch");
    let many: Vec<String> = (0..3000).map(|n| format!("n{n}.corp.example")).collect();
    let value = format!("\"{}\"", "x".repeat(200));
    let refused = many.chunks(1000).find_map(|names| {
        let changes: Vec<_> = names.iter().map(|name| ("CREATE", name.as_str(), "TXT", value.as_str())).collect();
        cloud.change(&id, &changes).err()
    });
    assert!(
        refused.is_some_and(|error| error.message.contains("the limits are")),
        "a zone fits its record in the store"
    );
}

#[test]
fn lists_come_in_pages() {
    let mut cloud = Zones::new();
    let vpc = cloud.vpc(HOME, ALICE);
    let ids: Vec<String> =
        ["b.example", "a.example", "example"].iter().map(|name| cloud.zone(ALICE, name, HOME, &vpc)).collect();
    let first = cloud.get(ALICE, "hostedzone?maxitems=2");
    assert_eq!((texts(&first, "Name").len(), text(&first, "IsTruncated")), (2, "true".into()));
    let rest = cloud.get(ALICE, &format!("hostedzone?maxitems=2&marker={}", text(&first, "NextMarker")));
    let mut all: Vec<String> = [texts(&first, "Id"), texts(&rest, "Id")].concat();
    all.sort();
    let mut expected: Vec<String> = ids.iter().map(|id| format!("/hostedzone/{id}")).collect();
    expected.sort();
    assert_eq!((all, text(&rest, "IsTruncated")), (expected, "false".into()));
    let by_name = cloud.get(ALICE, "hostedzonesbyname?maxitems=2");
    assert_eq!(texts(&by_name, "Name"), ["example.", "a.example."]);
    assert_eq!(text(&by_name, "NextDNSName"), "b.example.");
    let from = cloud.get(ALICE, "hostedzonesbyname?dnsname=b.example");
    assert_eq!(texts(&from, "Name"), ["b.example."]);
    assert!(texts(&cloud.get(BOB, "hostedzone"), "Id").is_empty());

    let id = &ids[2];
    for name in ["b", "a", "c"] {
        cloud.change(id, &[("CREATE", &format!("{name}.example"), "A", "10.0.0.5")]).unwrap();
    }
    let (mut seen, mut query) = (Vec::new(), "maxitems=2".to_owned());
    loop {
        let page = cloud.get(ALICE, &format!("hostedzone/{id}/rrset?{query}"));
        seen.extend(cloud.records(id, &query));
        if text(&page, "IsTruncated") == "false" {
            break;
        }
        query = format!("maxitems=2&name={}&type={}", text(&page, "NextRecordName"), text(&page, "NextRecordType"));
    }
    assert_eq!(seen, ["example. NS", "example. SOA", "a.example. A", "b.example. A", "c.example. A"]);
}

#[test]
fn zones_have_tags_of_route_53() {
    let mut cloud = Zones::new();
    let vpc = cloud.vpc(HOME, ALICE);
    let id = cloud.zone(ALICE, "corp.example", HOME, &vpc);
    let path = format!("tags/hostedzone/{id}");
    let body = "<R><AddTags><Tag><Key>a</Key><Value>1</Value></Tag><Tag><Key>b</Key></Tag></AddTags></R>";
    cloud.ok(ALICE, "POST", &path, body);
    cloud.ok(ALICE, "POST", &path, "<R><RemoveTagKeys><Key>b</Key></RemoveTagKeys></R>");
    let shown = cloud.get(ALICE, &path);
    assert_eq!((texts(&shown, "Key"), texts(&shown, "Value")), (vec!["a".to_owned()], vec!["1".to_owned()]));
    let several = cloud.ok(
        ALICE,
        "POST",
        "tags/hostedzone",
        &format!("<R><ResourceIds><ResourceId>{id}</ResourceId></ResourceIds></R>"),
    );
    assert_eq!(text(&several, "ResourceId"), id);
    let reserved = "<R><AddTags><Tag><Key>aws:a</Key><Value>1</Value></Tag></AddTags></R>";
    assert_eq!(cloud.code(ALICE, "POST", &path, reserved), "InvalidInput");
    assert_eq!(cloud.code(BOB, "POST", &path, body), "NoSuchHostedZone");
    assert_eq!(cloud.code(BOB, "GET", &path, ""), "NoSuchHostedZone");
}
