//! Instance metadata as a guest has it: curl at 169.254.169.254, real packets.

use crate::common::api::Client;
use crate::common::eventually;
use crate::common::running::*;

const URL: &str = "http://169.254.169.254/latest";
/// Status behind the body, on a line of its own.
const CURL: &str = "curl --silent --max-time 5 --write-out '\\n%{http_code}'";

/// Body and status; status `000`: no answer.
fn curl(up: &Up, guest: &str, rest: &str) -> (String, String) {
    let output = up.exec(guest, &["sh", "-c", &format!("{CURL} {rest}")]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap_or_else(|| panic!("this machine has no curl: {output:?}"));
    (body.into(), status.into())
}

fn read(up: &Up, guest: &str, path: &str) -> String {
    let (body, status) = curl(up, guest, &format!("{URL}/{path}"));
    assert_eq!(status, "200", "{path}: {body}\n{}", up.log());
    body
}

fn token(up: &Up, guest: &str) -> String {
    let (token, status) =
        curl(up, guest, &format!("-X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' {URL}/api/token"));
    assert_eq!(status, "200");
    token
}

fn modify(client: &mut Client, guest: &str, options: &str) {
    client.ok(&format!("Action=ModifyInstanceMetadataOptions&InstanceId={guest}&{options}"));
}

#[test]
fn an_instance_asks_about_itself_and_nobody_else() {
    let place = Place::new();
    let up = Up::start(&place, &[]);
    let mut alice = up.client(ALICE);
    let network = network(&mut alice, "10.16");
    // More than one segment, and no harm as a program.
    let user_data = format!("#!/bin/sh\n{}", "# 0123456789\n".repeat(1200));
    let told = guests(&mut alice, &network.subnet, 1, &user_data).remove(0);
    let other = guests(&mut alice, &network.subnet, 1, "").remove(0);
    for guest in [&told, &other] {
        assert_eq!(read(&up, &guest.id, "meta-data/instance-id"), guest.id);
        assert_eq!(read(&up, &guest.id, "meta-data/local-ipv4"), guest.address);
        let mac = up.sh(&guest.id, "cat /sys/class/net/eth0/address");
        assert_eq!(read(&up, &guest.id, "meta-data/network/interfaces/macs/"), format!("{mac}/"));
    }
    assert_eq!(read(&up, &told.id, "user-data"), user_data);
    assert_eq!(curl(&up, &other.id, &format!("{URL}/user-data")).1, "404");
    let document = read(&up, &told.id, "dynamic/instance-identity/document");
    let document: serde_json::Value = serde_json::from_str(&document).expect("JSON");
    assert_eq!((document["instanceId"].as_str(), document["region"].as_str()), (Some(&*told.id), Some(ALICE.1)));

    // Tokens are one instance's, and asked for if that is wanted.
    let id = format!("{URL}/meta-data/instance-id");
    let with = |token: &str| format!("-H 'X-aws-ec2-metadata-token: {token}' {id}");
    let token = token(&up, &told.id);
    assert_eq!(curl(&up, &told.id, &with(&token)), (told.id.clone(), "200".into()));
    assert_eq!(curl(&up, &other.id, &with(&token)).1, "401");
    modify(&mut alice, &told.id, "HttpTokens=required&HttpPutResponseHopLimit=3");
    eventually("a request without a token is refused", || curl(&up, &told.id, &id).1 == "401");
    assert_eq!(curl(&up, &told.id, &with(&token)).1, "200");
    assert_eq!(curl(&up, &other.id, &id).1, "200");

    // The hop limit is the TTL of what comes back.
    for (guest, ttl) in [(&told, "3"), (&other, "1")] {
        assert_eq!(up.sh(&guest.id, &format!("python3 -c '{TTL_SEEN}'")), ttl);
    }

    // No other port answers, nobody else's address does, and the guest's groups and ACLs have no say.
    for silent in ["http://169.254.169.254:81/", "http://169.254.169.254:4588/", "http://169.254.169.123/"] {
        let output = up.exec(&other.id, &["sh", "-c", &format!("{CURL} --max-time 1 {silent}")]);
        assert!(!output.status.success(), "{silent}: {output:?}");
    }
    let group = described(&mut alice, &other.id).text("groupId");
    alice.ok(&format!(
        "Action=RevokeSecurityGroupEgress&GroupId={group}&IpPermissions.1.IpProtocol=-1&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0"
    ));
    eventually("nothing else is let out", || !up.reaches(&other.id, "10.16.1.77"));
    assert_eq!(read(&up, &other.id, "meta-data/instance-id"), other.id);

    modify(&mut alice, &other.id, "HttpEndpoint=disabled");
    eventually("the endpoint is closed", || curl(&up, &other.id, &id).1 == "403");
    modify(&mut alice, &other.id, "HttpEndpoint=enabled&InstanceMetadataTags=enabled");
    alice.ok(&format!("Action=CreateTags&ResourceId.1={}&Tag.1.Key=team&Tag.1.Value=net", other.id));
    let tag = format!("{URL}/meta-data/tags/instance/team");
    eventually("a tag is told", || curl(&up, &other.id, &tag) == ("net".into(), "200".into()));
    up.stop();
}

/// The TTL of the first packet from the metadata's address.
const TTL_SEEN: &str = "
import socket, subprocess
seen = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
seen.settimeout(5)
subprocess.run([\"curl\", \"--silent\", \"--output\", \"/dev/null\", \"http://169.254.169.254/\"])
while True:
    packet, (source, _) = seen.recvfrom(65535)
    if source == \"169.254.169.254\":
        break
print(packet[8])";

#[test]
fn metadata_answers_over_ipv6_where_it_is_wanted() {
    let place = Place::new();
    let up = Up::start(&place, &[]);
    let mut alice = up.client(ALICE);
    let vpc = alice.ok("Action=CreateVpc&CidrBlock=10.16.0.0/16&AmazonProvidedIpv6CidrBlock=true").text("vpcId");
    let block = alice.ok(&format!("Action=DescribeVpcs&VpcId.1={vpc}")).text("ipv6CidrBlock");
    let block = block.replace("/56", "/64");
    let query = format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock=10.16.1.0/24&Ipv6CidrBlock={block}");
    let subnet = alice.ok(&query).text("subnetId");
    let query =
        format!("Action=RunInstances&ImageId=ami-12345678&MinCount=1&MaxCount=1&SubnetId={subnet}&Ipv6AddressCount=1");
    let id = alice.ok(&query).text("instanceId");
    wait_for_state(&mut alice, &id, "running");
    let url = "'http://[fd00:ec2::254]/latest/meta-data/instance-id'";
    eventually("IPv4 answers", || curl(&up, &id, &format!("{URL}/meta-data/instance-id")).1 == "200");
    assert_eq!(curl(&up, &id, &format!("--max-time 1 {url}")).1, "000");
    modify(&mut alice, &id, "HttpProtocolIpv6=enabled");
    eventually("IPv6 answers", || curl(&up, &id, url) == (id.clone(), "200".into()));
    up.stop();
}
