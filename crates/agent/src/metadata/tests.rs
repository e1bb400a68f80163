//! Two instances of one VPC and what each is told.

use model::intent::VpcSlice;
use model::{
    Attachment, DhcpOptions, Instance, InstanceId, MetadataOptions, NetworkInterface, PublicAssociation, ResourceId,
    Tags,
};
use policy::testing::{Lab, p};
use serde_json::json;

use super::*;

const NOW: Time = Time::from_unix_millis(1_700_000_000_000);
const USER_DATA: &[u8] = b"#!/bin/sh\necho \xff\n";

/// An instance has the number of its interface.
struct Cloud {
    metadata: Metadata,
    intent: Intent,
    vpc: VpcId,
    first: NetworkInterfaceId,
    second: NetworkInterfaceId,
}

fn instance_of(interface: NetworkInterfaceId) -> InstanceId {
    InstanceId::from_bytes(interface.to_bytes()).unwrap()
}

fn instance(interface: &NetworkInterface) -> Instance {
    let made = json!({
        "id": instance_of(interface.id), "owner": "111111111111", "reservation": "r-0123456789abcdef0",
        "launch_index": 3, "image": "ami-0123456789abcdef0", "instance_type": "t3.micro", "vpc": interface.vpc,
        "subnet": interface.subnet, "zone": "us-east-1b", "host": "host-1", "state": "running", "state_reason": null,
        "launched": 1_700_000_000_000_i64, "terminated": null, "user_data": [], "key_name": null, "client_token": null,
        "disable_api_termination": false, "disable_api_stop": false, "shutdown_behavior": "stop", "starts": 1, "tags": {},
    });
    serde_json::from_value(made).unwrap()
}

fn cloud() -> Cloud {
    let mut lab = Lab::default();
    let vpc = lab.vpc(&["10.0.0.0/16", "2001:db8::/56"]);
    let subnet = lab.subnet(vpc, &["10.0.1.0/24", "2001:db8::/64"]);
    let first = lab.interface(subnet, &["10.0.1.5", "10.0.1.6", "2001:db8::5"]);
    let second = lab.interface(subnet, &["10.0.1.9"]);
    let mut slice = lab.slices.remove(&vpc).unwrap();
    slice.dhcp_options = Some(Arc::new(DhcpOptions {
        id: p("dopt-0123456789abcdef0"),
        owner: p("111111111111"),
        configuration: vec![("domain-name".into(), vec!["ec2.internal".into()])],
        tags: Tags::new(),
    }));
    let mut intent = Intent::default();
    for endpoint in &mut slice.endpoints {
        let interface = Arc::make_mut(&mut endpoint.interface);
        interface.attachment = Some(Attachment {
            id: p("eni-attach-0123456789abcdef0"),
            instance: instance_of(interface.id),
            device_index: 0,
            attached: NOW,
            delete_on_termination: true,
            ena: model::EnaOptions::default(),
            public_at_start: false,
        });
        let made = instance(interface);
        intent.instances.insert(made.id, Arc::new(made));
    }
    intent.vpcs.insert(vpc, Arc::new(slice));
    let cloud = Cloud { metadata: Metadata::new(&[7; 32]), intent, vpc, first, second };
    cloud.follow();
    cloud
}

impl Cloud {
    fn follow(&self) {
        self.metadata.follow(&Arc::new(self.intent.clone()));
    }

    fn change(&mut self, interface: NetworkInterfaceId, change: impl FnOnce(&mut Instance)) {
        change(Arc::make_mut(self.intent.instances.get_mut(&instance_of(interface)).unwrap()));
        self.follow();
    }

    fn change_slice(&mut self, change: impl FnOnce(&mut VpcSlice)) {
        change(Arc::make_mut(self.intent.vpcs.get_mut(&self.vpc).unwrap()));
        self.follow();
    }

    /// Status, fields and body.
    fn ask(&self, interface: NetworkInterfaceId, request: &str, now: Time) -> (u16, String, Vec<u8>) {
        let mut talk = Conversation { metadata: self.metadata.clone(), vpc: self.vpc, interface };
        let (mut heard, mut said) = (request.as_bytes().to_vec(), Vec::new());
        talk.talk(&mut heard, &mut said, now);
        let at = said.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or_else(|| panic!("{request}: {said:?}"));
        let head = String::from_utf8(said[..at].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head, said[at + 4..].to_vec())
    }

    fn get(&self, interface: NetworkInterfaceId, path: &str, fields: &str) -> (u16, String) {
        let (status, _, body) = self.ask(interface, &format!("GET {path} HTTP/1.1\r\n{fields}\r\n"), NOW);
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    /// What stands there; it must be there.
    fn read(&self, interface: NetworkInterfaceId, path: &str) -> String {
        let (status, body) = self.get(interface, path, "");
        assert_eq!(status, 200, "{path}");
        body
    }

    fn status(&self, interface: NetworkInterfaceId, path: &str, fields: &str) -> u16 {
        self.get(interface, path, fields).0
    }

    fn put_token(&self, interface: NetworkInterfaceId, fields: &str) -> (u16, String) {
        let (status, _, body) = self.ask(interface, &format!("PUT /latest/api/token HTTP/1.1\r\n{fields}\r\n"), NOW);
        (status, String::from_utf8_lossy(&body).into_owned())
    }
}

const TTL: &str = "X-aws-ec2-metadata-token-ttl-seconds: 60\r\n";

#[test]
fn an_instance_reads_what_is_its_own() {
    let mut cloud = cloud();
    cloud.change(cloud.first, |instance| instance.user_data = USER_DATA.to_vec());
    let read = |path: &str| cloud.read(cloud.first, &format!("/latest/meta-data/{path}"));
    let id = instance_of(cloud.first).to_string();
    let mac = read("mac");
    for (path, value) in [
        ("instance-id", id.as_str()),
        ("ami-id", "ami-0123456789abcdef0"),
        ("ami-launch-index", "3"),
        ("instance-type", "t3.micro"),
        ("reservation-id", "r-0123456789abcdef0"),
        ("hostname", "ip-10-0-1-5.ec2.internal"),
        ("local-hostname", "ip-10-0-1-5.ec2.internal"),
        ("local-ipv4", "10.0.1.5"),
        ("ipv6", "2001:db8::5"),
        ("security-groups", "default"),
        ("placement/", "availability-zone\navailability-zone-id\nregion"),
        ("placement/availability-zone", "us-east-1b"),
        ("placement/availability-zone-id", "use1-az2"),
        ("placement/region", "us-east-1"),
        ("services/domain", "amazonaws.com"),
        ("network", "interfaces/"),
    ] {
        assert_eq!(read(path), value, "{path}");
    }
    assert_eq!(read("network/interfaces/macs/"), format!("{mac}/"));
    for (name, value) in [
        ("local-ipv4s", "10.0.1.5\n10.0.1.6"),
        ("subnet-ipv4-cidr-block", "10.0.1.0/24"),
        ("vpc-ipv4-cidr-blocks", "10.0.0.0/16"),
        ("vpc-ipv6-cidr-blocks", "2001:db8::/56"),
        ("vpc-id", &cloud.vpc.to_string()),
        ("interface-id", &cloud.first.to_string()),
        ("device-number", "0"),
        ("owner-id", "111111111111"),
    ] {
        assert_eq!(read(&format!("network/interfaces/macs/{mac}/{name}")), value, "{name}");
    }
    assert_eq!(cloud.ask(cloud.first, "GET /latest/user-data HTTP/1.1\r\n\r\n", NOW).2, USER_DATA);
    assert_eq!(cloud.read(cloud.first, "/latest/"), "dynamic\nmeta-data\nuser-data");
    assert_eq!(cloud.read(cloud.second, "/latest"), "dynamic\nmeta-data");
    assert!(cloud.read(cloud.first, "/").ends_with("\nlatest"));
    assert_eq!(cloud.read(cloud.first, "/2009-04-04/meta-data/instance-id"), id);
    assert_eq!(cloud.read(cloud.first, "/latest/dynamic/instance-identity/"), "document");
    let document = cloud.read(cloud.first, "/latest/dynamic/instance-identity/document");
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    let expected = json!(["111111111111", "us-east-1b", id, "10.0.1.5", "us-east-1", "2023-11-14T22:13:20Z"]);
    let of = ["accountId", "availabilityZone", "instanceId", "privateIp", "region", "pendingTime"];
    assert_eq!(json!(of.map(|name| &document[name])), expected);
    for nothing in [
        "/latest/meta-data/public-ipv4",
        "/latest/meta-data/tags/",
        "/latest/meta-data/instance",
        "/latest/dynamic/instance-identity/signature",
        "/1999-01-01/meta-data/",
        "/latest/meta-data/../user-data",
        "latest",
    ] {
        assert_eq!(cloud.status(cloud.first, nothing, ""), 404, "{nothing}");
    }
}

#[test]
fn an_instance_that_is_named_by_its_id_is_told_so() {
    let mut cloud = cloud();
    cloud.change(cloud.first, |instance| instance.private_dns.hostname_type = model::vpc::HostnameType::ResourceName);
    let name = format!("{}.ec2.internal", instance_of(cloud.first));
    for path in ["hostname", "local-hostname"] {
        assert_eq!(cloud.read(cloud.first, &format!("/latest/meta-data/{path}")), name);
    }
    assert_eq!(cloud.read(cloud.second, "/latest/meta-data/hostname"), "ip-10-0-1-9.ec2.internal");
}

/// The list is of numbers with names, not of what is below, as on EC2: cloud-init reads it so.
#[test]
fn the_key_of_its_launch_is_told() {
    let mut cloud = cloud();
    let line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 team/a ops";
    cloud.change(cloud.first, |instance| {
        (instance.key_name, instance.public_key) = (Some("team/a ops".into()), Some(line.into()));
    });
    let read = |path: &str| cloud.read(cloud.first, &format!("/latest/meta-data/{path}"));
    for (path, value) in [
        ("public-keys", "0=team/a ops"),
        ("public-keys/", "0=team/a ops"),
        ("public-keys/0", "openssh-key"),
        ("public-keys/0/", "openssh-key"),
        ("public-keys/0/openssh-key", line),
    ] {
        assert_eq!(read(path), value, "{path}");
    }
    let listed = |text: &str| text.lines().filter(|line| *line == "public-keys/").count();
    assert_eq!(listed(&read("")), 1);
    assert_eq!(cloud.status(cloud.first, "/latest/meta-data/public-keys/1", ""), 404);
    assert_eq!(listed(&cloud.read(cloud.second, "/latest/meta-data/")), 0, "launched without one");
    assert_eq!(cloud.status(cloud.second, "/latest/meta-data/public-keys/", ""), 404);
    // One that was launched before the key was kept with it.
    cloud.change(cloud.first, |instance| instance.public_key = None);
    assert_eq!(cloud.status(cloud.first, "/latest/meta-data/public-keys/", ""), 404);
}

#[test]
fn public_names_need_a_public_address_and_names_in_the_vpc() {
    let mut cloud = cloud();
    let association = PublicAssociation { private: p("10.0.1.5"), public: p("203.0.113.25"), elastic: None };
    cloud.change_slice(|slice| {
        Arc::make_mut(&mut slice.endpoints[0].interface).public = vec![association];
    });
    assert_eq!(cloud.read(cloud.first, "/latest/meta-data/public-ipv4"), "203.0.113.25");
    assert_eq!(cloud.status(cloud.first, "/latest/meta-data/public-hostname", ""), 404);
    cloud.change_slice(|slice| Arc::make_mut(&mut slice.vpc).enable_dns_hostnames = true);
    let name = cloud.read(cloud.first, "/latest/meta-data/public-hostname");
    assert_eq!(name, "ec2-203-0-113-25.compute-1.amazonaws.com");
    let mac = cloud.read(cloud.first, "/latest/meta-data/mac");
    let base = format!("/latest/meta-data/network/interfaces/macs/{mac}");
    assert_eq!(cloud.read(cloud.first, &format!("{base}/ipv4-associations/203.0.113.25")), "10.0.1.5");
    let public = model::Suffixes::aws_public().chosen(None, Some("cloud.example".parse().unwrap()));
    let names = model::NameSuffixes::new(model::Suffixes::aws_private(), public).unwrap();
    cloud.intent.names = Arc::new(names);
    cloud.follow();
    for path in ["/latest/meta-data/public-hostname", &format!("{base}/public-hostname")] {
        assert_eq!(cloud.read(cloud.first, path), "ec2-203-0-113-25.us-east-1.cloud.example");
    }
    assert_eq!(cloud.status(cloud.second, "/latest/meta-data/public-ipv4", ""), 404);
}

#[test]
fn nobody_is_told_of_another_instance() {
    let mut cloud = cloud();
    cloud.change(cloud.first, |instance| instance.user_data = b"secret".to_vec());
    let mac = cloud.read(cloud.first, "/latest/meta-data/mac");
    let base = format!("/latest/meta-data/network/interfaces/macs/{mac}");
    assert_eq!(cloud.status(cloud.second, &base, ""), 404);
    assert_eq!(cloud.status(cloud.second, "/latest/user-data", ""), 404);
    // Whatever it claims to be.
    for fields in ["Host: 10.0.1.5\r\n", "X-Forwarded-For: 10.0.1.5\r\n", "X-Real-IP: 10.0.1.5\r\n"] {
        let id = cloud.get(cloud.second, "/latest/meta-data/instance-id", fields).1;
        assert_eq!(id, instance_of(cloud.second).to_string());
    }
    // An interface that is attached to nothing here.
    cloud.intent.instances.clear();
    cloud.follow();
    assert_eq!(cloud.status(cloud.second, "/latest/meta-data/instance-id", ""), 404);
}

#[test]
fn tokens_are_given_to_the_instance_and_hold_for_it_alone() {
    let mut cloud = cloud();
    let (status, head, token) = cloud.ask(cloud.first, &format!("PUT /latest/api/token HTTP/1.1\r\n{TTL}\r\n"), NOW);
    let token = String::from_utf8(token).unwrap();
    assert!(status == 200 && head.contains("X-Aws-Ec2-Metadata-Token-Ttl-Seconds: 60"), "{head}");
    let field = format!("X-aws-ec2-metadata-token: {token}\r\n");
    let path = "/latest/meta-data/instance-id";
    assert_eq!(cloud.status(cloud.first, path, &field), 200);
    assert_eq!(cloud.status(cloud.second, path, &field), 401, "another instance's");
    assert_eq!(cloud.status(cloud.first, path, "X-aws-ec2-metadata-token: x\r\n"), 401);
    let late = NOW + model::Duration::seconds(60);
    assert_eq!(cloud.ask(cloud.first, &format!("GET {path} HTTP/1.1\r\n{field}\r\n"), late).0, 401, "it has ended");
    assert_eq!(cloud.status(cloud.first, path, ""), 200, "version 1 is open by default");
    cloud.change(cloud.first, |instance| {
        instance.metadata = MetadataOptions { requires_token: true, ..MetadataOptions::default() };
    });
    assert_eq!(cloud.status(cloud.first, path, ""), 401);
    assert_eq!(cloud.status(cloud.first, path, &field), 200);
    assert_eq!(cloud.status(cloud.second, path, ""), 200);
}

#[test]
fn a_token_is_refused_to_who_asks_wrongly() {
    let cloud = cloud();
    for (fields, status) in [
        ("", 400),
        ("X-aws-ec2-metadata-token-ttl-seconds: 0\r\n", 400),
        ("X-aws-ec2-metadata-token-ttl-seconds: 21601\r\n", 400),
        ("X-aws-ec2-metadata-token-ttl-seconds: -1\r\n", 400),
        ("X-aws-ec2-metadata-token-ttl-seconds: 1\r\n", 200),
        ("X-aws-ec2-metadata-token-ttl-seconds: 21600\r\n", 200),
        ("X-aws-ec2-metadata-token-ttl-seconds: 60\r\nX-Forwarded-For: 10.0.0.1\r\n", 403),
    ] {
        assert_eq!(cloud.put_token(cloud.first, fields).0, status, "{fields}");
    }
    for (request, status) in [
        (format!("PUT /latest/meta-data/ HTTP/1.1\r\n{TTL}\r\n"), 405),
        ("POST /latest/meta-data/ HTTP/1.1\r\n\r\n".into(), 405),
        ("GET /latest/api/token HTTP/1.1\r\n\r\n".into(), 404),
        ("\r\n\r\nnoise\r\n\r\n".into(), 400),
    ] {
        assert_eq!(cloud.ask(cloud.first, &request, NOW).0, status, "{request}");
    }
}

#[test]
fn options_switch_what_is_told() {
    let mut cloud = cloud();
    cloud.change(cloud.first, |instance| {
        instance.tags = Tags::from([("Name".into(), "web".into()), ("team".into(), "a b".into())]);
    });
    assert_eq!(cloud.status(cloud.first, "/latest/meta-data/tags/instance/", ""), 404);
    cloud.change(cloud.first, |instance| instance.metadata.shows_tags = true);
    assert_eq!(cloud.read(cloud.first, "/latest/meta-data/tags/instance/"), "Name\nteam");
    assert_eq!(cloud.read(cloud.first, "/latest/meta-data/tags/instance/team"), "a b");
    assert_eq!(cloud.metadata.hop_limit(cloud.first), 1);
    cloud.change(cloud.first, |instance| {
        (instance.metadata.hop_limit, instance.metadata.is_enabled) = (3, false);
    });
    assert_eq!((cloud.metadata.hop_limit(cloud.first), cloud.metadata.hop_limit(cloud.second)), (3, 1));
    assert_eq!(cloud.status(cloud.first, "/latest/meta-data/", ""), 403);
    assert_eq!(cloud.put_token(cloud.first, TTL).0, 403);
}

#[test]
fn a_connection_carries_several_requests_and_no_body_for_head() {
    let cloud = cloud();
    let mut talk = Conversation { metadata: cloud.metadata.clone(), vpc: cloud.vpc, interface: cloud.first };
    let (mut heard, mut said) = (Vec::new(), Vec::new());
    let path = "/latest/meta-data/local-ipv4";
    for byte in format!("HEAD {path} HTTP/1.1\r\n\r\nGET {path} HTTP/1.1\r\nConnection: close\r\n\r\nrest").bytes() {
        heard.push(byte);
        if talk.talk(&mut heard, &mut said, NOW) == Turn::Close {
            break;
        }
    }
    assert!(heard.is_empty());
    let said = String::from_utf8(said).unwrap();
    assert_eq!(said.matches("Content-Length: 8").count(), 2, "{said}");
    assert_eq!(said.matches("10.0.1.5").count(), 1, "{said}");
    assert!(said.ends_with("Connection: close\r\n\r\n10.0.1.5"), "{said}");
    // Who does not take its answers is not given more.
    let (mut heard, mut said) = (format!("GET {path} HTTP/1.1\r\n\r\n").repeat(10_000).into_bytes(), Vec::new());
    assert_eq!(talk.talk(&mut heard, &mut said, NOW), Turn::Listen);
    assert!(said.len() < SAID_MAX + 1024 && !heard.is_empty());
}
