//! How long an interface's flows are tracked, through the API (spec 6.4.4).

mod common;
mod things;

use common::*;
use model::*;
use things::*;

const NAMES: [&str; 3] = ["tcpEstablishedTimeout", "udpStreamTimeout", "udpTimeout"];

fn times(document: &str) -> Vec<String> {
    NAMES.iter().flat_map(|name| texts(document, name)).collect()
}

fn specification(prefix: &str, tcp: i32, stream: i32, udp: i32) -> String {
    let name = format!("{prefix}ConnectionTrackingSpecification");
    format!("&{name}.TcpEstablishedTimeout={tcp}&{name}.UdpStreamTimeout={stream}&{name}.UdpTimeout={udp}")
}

#[test]
fn an_interface_is_made_and_changed_with_times_of_its_own() {
    let mut cloud = Harness::new();
    let vpc = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let subnet = subnet(&mut cloud, ALICE, &vpc, "10.0.0.0/24");
    let plain = cloud.ok(ALICE, &format!("Action=CreateNetworkInterface&SubnetId={subnet}"));
    assert!(!plain.contains("connectionTracking"), "{plain}");
    let create = |rest: &str| format!("Action=CreateNetworkInterface&SubnetId={subnet}{rest}");
    let made = cloud.ok(ALICE, &create(&specification("", 350, 120, 45)));
    let id = text(&made, "networkInterfaceId");
    assert_eq!(times(&made), ["350", "120", "45"]);
    let show = format!("Action=DescribeNetworkInterfaces&NetworkInterfaceId.1={id}");
    assert_eq!(times(&cloud.ok(ALICE, &show)), ["350", "120", "45"]);

    let modify = |rest: &str| format!("Action=ModifyNetworkInterfaceAttribute&NetworkInterfaceId={id}{rest}");
    let name = "&ConnectionTrackingSpecification";
    cloud.ok(ALICE, &modify(&format!("{name}.UdpTimeout=60")));
    assert_eq!(times(&cloud.ok(ALICE, &show)), ["350", "120", "60"], "what is not named stays");
    let other = modify(&format!("{name}.UdpTimeout=60&Description.Value=d"));
    assert_eq!(cloud.code(ALICE, &other), "InvalidParameterCombination");
    assert_eq!(cloud.code(BOB, &modify(&format!("{name}.UdpTimeout=60"))), "InvalidNetworkInterfaceID.NotFound");

    // The first and last of each range, and one beyond.
    for (member, first, last) in
        [("TcpEstablishedTimeout", 60, 432_000), ("UdpStreamTimeout", 60, 180), ("UdpTimeout", 30, 60)]
    {
        for right in [first, last] {
            cloud.ok(ALICE, &modify(&format!("{name}.{member}={right}")));
            cloud.ok(ALICE, &create(&format!("{name}.{member}={right}")));
        }
        for wrong in [first - 1, last + 1, 0, -1] {
            let query = format!("{name}.{member}={wrong}");
            assert_eq!(cloud.code(ALICE, &modify(&query)), "InvalidParameterValue", "{query}");
            assert_eq!(cloud.code(ALICE, &create(&query)), "InvalidParameterValue", "{query}");
        }
    }
    let interface = cloud.world.find::<NetworkInterface>(&id.parse().unwrap()).unwrap().connection_tracking;
    let all = ConnectionTracking {
        tcp_established_timeout: Some(432_000),
        udp_stream_timeout: Some(180),
        udp_timeout: Some(60),
    };
    assert_eq!(interface, all);
}

#[test]
fn an_instance_is_launched_with_them() {
    let mut cloud = Harness::new();
    let vpc = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let subnet = subnet(&mut cloud, ALICE, &vpc, "10.0.0.0/24");
    let run = |rest: &str| {
        format!(
            "Action=RunInstances&ImageId=ami-12345678&MinCount=1&MaxCount=1&NetworkInterface.1.DeviceIndex=0\
             &NetworkInterface.1.SubnetId={subnet}{rest}"
        )
    };
    let launched = cloud.ok(ALICE, &run(&specification("NetworkInterface.1.", 86_400, 90, 31)));
    assert_eq!(times(&launched), ["86400", "90", "31"]);
    assert_eq!(times(&cloud.ok(ALICE, "Action=DescribeInstances")), ["86400", "90", "31"]);
    assert_eq!(times(&cloud.ok(ALICE, "Action=DescribeNetworkInterfaces")), ["86400", "90", "31"]);
    assert_eq!(cloud.code(ALICE, &run(&specification("NetworkInterface.1.", 59, 90, 31))), "InvalidParameterValue");
}
