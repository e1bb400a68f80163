//! Several interfaces on one instance, by real packets: each judged by its own subnet and groups, plugged in and taken away while
//! it runs, with the addresses that it has at the moment (spec 8.1-8.6).

use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};

use crate::common::api::Client;
use crate::common::eventually;
use crate::common::running::*;

/// A VPC with two subnets of both families in one zone, one guest in each, and groups that admit everything in the VPC.
struct Town {
    vpc: String,
    left: String,
    right: String,
    /// Everything in the VPC may come in, as it may to the default group.
    open: String,
    at_left: Guest,
    at_right: Guest,
}

impl Town {
    fn new(client: &mut Client) -> Town {
        let query = "Action=CreateVpc&CidrBlock=10.16.0.0/16&AmazonProvidedIpv6CidrBlock=true";
        let vpc = client.ok(query).text("vpcId");
        let block = client.ok(&format!("Action=DescribeVpcs&VpcId.1={vpc}")).text("ipv6CidrBlock");
        let mut subnet = |n: u8| {
            let mut segments = block.trim_end_matches("/56").parse::<Ipv6Addr>().expect("an address").segments();
            segments[3] |= u16::from(n);
            let ipv6 = format!("{}/64", Ipv6Addr::from(segments));
            let query = format!(
                "Action=CreateSubnet&VpcId={vpc}&CidrBlock=10.16.{n}.0/24&Ipv6CidrBlock={ipv6}&AvailabilityZone=us-east-1a"
            );
            client.ok(&query).text("subnetId")
        };
        let (left, right) = (subnet(1), subnet(2));
        admit(client, &vpc, "10.16.0.0/16");
        let query = format!("Action=CreateSecurityGroup&VpcId={vpc}&GroupName=open&GroupDescription=d");
        let open = client.ok(&query).text("groupId");
        for (version, block) in [("IpRanges.1.CidrIp", "10.16.0.0/16"), ("Ipv6Ranges.1.CidrIpv6", "::/0")] {
            client.ok(&format!(
                "Action=AuthorizeSecurityGroupIngress&GroupId={open}&IpPermissions.1.IpProtocol=-1&IpPermissions.1.{version}={block}"
            ));
        }
        let at_left = guest_at(client, &left, "10.16.1.10");
        let at_right = guest_at(client, &right, "10.16.2.10");
        Town { vpc, left, right, open, at_left, at_right }
    }

    /// An instance with an interface in each subnet, the first in the left one.
    fn between(&self, client: &mut Client, more: &str) -> String {
        let query = format!(
            "Action=RunInstances&ImageId=ami-12345678&InstanceType=m5.large&MinCount=1&MaxCount=1\
             &NetworkInterface.1.DeviceIndex=0&NetworkInterface.1.SubnetId={}&NetworkInterface.1.PrivateIpAddress=10.16.1.50\
             &NetworkInterface.1.SecurityGroupId.1={open}\
             &NetworkInterface.2.DeviceIndex=1&NetworkInterface.2.SubnetId={}&NetworkInterface.2.PrivateIpAddress=10.16.2.50\
             &NetworkInterface.2.SecurityGroupId.1={open}{more}",
            self.left,
            self.right,
            open = self.open
        );
        let id = client.ok(&query).text("instanceId");
        wait_for_state(client, &id, "running");
        id
    }

    fn interface(&self, client: &mut Client, subnet: &str, address: &str) -> String {
        let query = format!(
            "Action=CreateNetworkInterface&SubnetId={subnet}&PrivateIpAddress={address}&SecurityGroupId.1={}",
            self.open
        );
        client.ok(&query).text("networkInterfaceId")
    }
}

fn guest_at(client: &mut Client, subnet: &str, address: &str) -> Guest {
    let query = format!(
        "Action=RunInstances&ImageId=ami-12345678&MinCount=1&MaxCount=1&SubnetId={subnet}&PrivateIpAddress={address}"
    );
    let guest = Guest { id: client.ok(&query).text("instanceId"), address: address.into() };
    wait_for_state(client, &guest.id, "running");
    guest
}

/// The interface of an instance at a device index.
fn interface_at(client: &mut Client, instance: &str, index: u32) -> String {
    let query = format!(
        "Action=DescribeNetworkInterfaces&Filter.1.Name=attachment.instance-id&Filter.1.Value.1={instance}\
         &Filter.2.Name=attachment.device-index&Filter.2.Value.1={index}"
    );
    client.ok(&query).text("networkInterfaceId")
}

fn attach(client: &mut Client, interface: &str, instance: &str, index: u32) -> String {
    let query = format!(
        "Action=AttachNetworkInterface&NetworkInterfaceId={interface}&InstanceId={instance}&DeviceIndex={index}"
    );
    client.ok(&query).text("attachmentId")
}

fn devices(up: &Up, instance: &str) -> String {
    up.sh(instance, "ls /sys/class/net | grep eth | tr '\\n' ' '")
}

/// Tracked flows of the host, by its metrics.
fn tracked_flows(metrics: SocketAddr) -> u64 {
    let mut connection = TcpStream::connect(metrics).expect("connected");
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {metrics}\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).expect("sent");
    let mut page = String::new();
    connection.read_to_string(&mut page).expect("text");
    let line = page.lines().find(|line| line.starts_with("peerway_tracked_flows{")).expect("a line");
    line.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

fn all_reach(up: &Up, pairs: &[(&str, &str)]) {
    for (from, to) in pairs {
        up.wait_until_reached(from, to);
    }
}

#[test]
fn each_interface_is_judged_by_its_own_subnet_and_groups() {
    let place = Place::new();
    let up = Up::start(&place, &[]);
    let mut alice = up.client(ALICE);
    let town = Town::new(&mut alice);
    let (left, right) = (town.at_left.id.as_str(), town.at_right.id.as_str());
    let both = town.between(
        &mut alice,
        "&NetworkInterface.2.PrivateIpAddresses.1.PrivateIpAddress=10.16.2.51&NetworkInterface.2.Ipv6AddressCount=1",
    );
    let second = interface_at(&mut alice, &both, 1);
    let ipv6 = alice.ok(&format!("Action=DescribeNetworkInterfaces&NetworkInterfaceId.1={second}")).text("ipv6Address");
    assert_eq!(devices(&up, &both), "eth0 eth1");
    // From either side to either interface: what comes to one of them is answered by that one, whatever the main table says.
    all_reach(&up, &[(left, "10.16.1.50"), (right, "10.16.2.50"), (right, "10.16.2.51")]);
    all_reach(&up, &[(left, "10.16.2.50"), (left, "10.16.2.51"), (right, "10.16.1.50")]);
    // The other way by the source that a program chooses, or by none.
    for (source, to) in [("10.16.1.50", &town.at_right), ("10.16.2.51", &town.at_left), ("10.16.2.50", &town.at_left)] {
        let ping = format!("ping -c1 -W1 -I {source} {}", to.address);
        eventually(&ping, || up.exec(&both, &["sh", "-c", &ping]).status.success());
    }
    all_reach(&up, &[(&both, &town.at_left.address), (&both, &town.at_right.address)]);
    // IPv6 on the second one alone: its guest at the right has none, so a third interface asks.
    let third = town.interface(&mut alice, &town.left, "10.16.1.60");
    alice.ok(&format!("Action=AssignIpv6Addresses&NetworkInterfaceId={third}&Ipv6AddressCount=1"));
    attach(&mut alice, &third, left, 1);
    eventually("IPv6 crosses subnets", || up.reaches(left, &ipv6));

    // Its groups are its own.
    let query = format!("Action=CreateSecurityGroup&VpcId={}&GroupName=closed&GroupDescription=d", town.vpc);
    let closed = alice.ok(&query).text("groupId");
    let wear = |client: &mut Client, group: &str| {
        client.ok(&format!(
            "Action=ModifyNetworkInterfaceAttribute&NetworkInterfaceId={second}&SecurityGroupId.1={group}"
        ));
    };
    wear(&mut alice, &closed);
    eventually("the second one is closed", || !up.reaches(right, "10.16.2.50"));
    assert!(up.reaches(right, "10.16.1.50") && up.reaches(left, "10.16.1.50"));
    wear(&mut alice, &town.open);
    up.wait_until_reached(right, "10.16.2.50");
    // And so is the ACL of its subnet.
    let acl = alice.ok(&format!("Action=CreateNetworkAcl&VpcId={}", town.vpc)).text("networkAclId");
    let query =
        format!("Action=DescribeNetworkAcls&Filter.1.Name=association.subnet-id&Filter.1.Value.1={}", town.right);
    let parsed = alice.ok(&query).0;
    let parsed = roxmltree::Document::parse(&parsed).expect("XML");
    let of_right = |node: &roxmltree::Node<'_, '_>| {
        node.tag_name().name() == "item"
            && node
                .children()
                .any(|child| child.tag_name().name() == "subnetId" && child.text() == Some(town.right.as_str()))
    };
    let association = parsed.descendants().find(of_right).expect("an association");
    let association =
        association.children().find(|child| child.tag_name().name() == "networkAclAssociationId").expect("an id");
    let association = association.text().expect("text");
    alice.ok(&format!("Action=ReplaceNetworkAclAssociation&AssociationId={association}&NetworkAclId={acl}"));
    eventually("the right subnet is closed", || !up.reaches(left, "10.16.2.50"));
    assert!(up.reaches(left, "10.16.1.50"));
    up.stop();
}

#[test]
fn an_interface_comes_and_goes_while_its_instance_runs() {
    let place = Place::new();
    let metrics = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let up = Up::start(&place, &["--metrics", &metrics.to_string()]);
    let mut alice = up.client(ALICE);
    let town = Town::new(&mut alice);
    let right = town.at_right.id.as_str();
    let [one, two] = ["10.16.1.11", "10.16.1.12"].map(|address| guest_at(&mut alice, &town.left, address));
    up.sh(&one.id, "echo mine > /root/file");
    let roaming = town.interface(&mut alice, &town.right, "10.16.2.70");
    assert_eq!(devices(&up, &one.id), "eth0");

    let attachment = attach(&mut alice, &roaming, &one.id, 1);
    up.wait_until_reached(right, "10.16.2.70");
    assert_eq!(devices(&up, &one.id), "eth0 eth1");
    let mac = up.sh(&one.id, "cat /sys/class/net/eth1/address");
    eventually("its own rule", || up.sh(&one.id, "ip rule list").contains("from 10.16.2.70 lookup 10001"));

    // Addresses of both families, as they come and go.
    let assign = format!("Action=AssignPrivateIpAddresses&NetworkInterfaceId={roaming}&PrivateIpAddress.1=10.16.2.71");
    alice.ok(&assign);
    let query = format!("Action=AssignIpv6Addresses&NetworkInterfaceId={roaming}&Ipv6AddressCount=1");
    let answer = alice.ok(&query);
    let ipv6 = answer.texts("item").remove(0);
    up.wait_until_reached(right, "10.16.2.71");
    eventually("it has its IPv6 address", || up.sh(&one.id, "ip -6 address show eth1").contains(&ipv6));
    eventually("its own table", || up.sh(&one.id, "ip -6 route show table 10001").contains("default via fe80:"));
    alice.ok(&format!("Action=UnassignPrivateIpAddresses&NetworkInterfaceId={roaming}&PrivateIpAddress.1=10.16.2.71"));
    eventually("its secondary address is gone", || {
        !up.sh(&one.id, "ip -4 address show eth1").contains("10.16.2.71") && !up.reaches(right, "10.16.2.71")
    });
    eventually("and its rule", || !up.sh(&one.id, "ip rule list").contains("10.16.2.71"));
    assert!(up.reaches(right, "10.16.2.70"));

    // Off here and on there, while both run. The one that had it is none the worse.
    alice.ok(&format!("Action=DetachNetworkInterface&AttachmentId={attachment}&Force=true"));
    let attachment = attach(&mut alice, &roaming, &two.id, 3);
    up.wait_until_reached(right, "10.16.2.70");
    eventually("one device is left", || devices(&up, &one.id) == "eth0");
    assert_eq!(devices(&up, &two.id), "eth0 eth3");
    assert_eq!(up.sh(&two.id, "cat /sys/class/net/eth3/address"), mac);
    eventually("with one device there are no rules", || !up.sh(&one.id, "ip rule list").contains("lookup 1000"));
    assert!(up.reaches(right, &one.address) && up.reaches(right, &two.address));
    assert_eq!(up.sh(&one.id, "cat /root/file"), "mine");

    // Deleted by its guest it is made again, addresses, rules and all; and so it is at the next start.
    up.sh(&two.id, "ip link delete eth3");
    up.wait_until_reached(right, "10.16.2.70");
    for action in ["Stop", "Start"] {
        alice.ok(&format!("Action={action}Instances&InstanceId.1={}", two.id));
        wait_for_state(&mut alice, &two.id, if action == "Stop" { "stopped" } else { "running" });
    }
    all_reach(&up, &[(right, "10.16.2.70"), (right, &two.address)]);
    assert_eq!(up.sh(&two.id, "cat /sys/class/net/eth3/address"), mac);
    assert!(up.sh(&two.id, "ip -6 address show eth3").contains(&ipv6));

    // Gone, nothing answers, and its connections have ended; its address is another one's at once if that one names it.
    up.sh(
        &two.id,
        "python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((\"10.16.2.70\", 0)); \
         [s.sendto(b\"x\", (\"10.16.2.10\", 20000 + n)) for n in range(300)]'",
    );
    eventually("its flows are tracked", || tracked_flows(metrics) >= 600);
    let before = tracked_flows(metrics);
    alice.ok(&format!("Action=DetachNetworkInterface&AttachmentId={attachment}"));
    eventually("its flows are tracked no more", || tracked_flows(metrics) + 250 < before);
    eventually("nobody answers", || !up.reaches(right, "10.16.2.70"));
    eventually("no device is left", || devices(&up, &two.id) == "eth0");
    alice.ok(&format!("Action=DeleteNetworkInterface&NetworkInterfaceId={roaming}"));
    let other = town.interface(&mut alice, &town.right, "10.16.2.70");
    attach(&mut alice, &other, &one.id, 1);
    up.wait_until_reached(right, "10.16.2.70");
    assert!(up.reaches(&one.id, &town.at_right.address));
    up.stop();
}

#[test]
fn a_secondary_address_moves_from_one_instance_to_another() {
    let place = Place::new();
    let up = Up::start(&place, &[]);
    let mut alice = up.client(ALICE);
    let network = network(&mut alice, "10.16");
    let addresses = ["10.16.1.11", "10.16.1.12", "10.16.1.13"];
    let [client, first, second] = addresses.map(|address| guest_at(&mut alice, &network.subnet, address));
    let interfaces = [&first, &second].map(|guest| interface_at(&mut alice, &guest.id, 0));
    let assign = |interface: &str| {
        format!(
            "Action=AssignPrivateIpAddresses&NetworkInterfaceId={interface}&PrivateIpAddress.1=10.16.1.200&AllowReassignment=true"
        )
    };
    let received = |guest: &Guest| up.sh(&guest.id, "cat /sys/class/net/eth0/statistics/rx_packets").parse::<u64>();
    for holder in [0, 1, 0] {
        alice.ok(&assign(&interfaces[holder]));
        let guests = [&first, &second];
        eventually("its guest has it", || up.sh(&guests[holder].id, "ip address show eth0").contains("10.16.1.200"));
        eventually("the other one has it not", || {
            !up.sh(&guests[1 - holder].id, "ip address show eth0").contains("10.16.1.200")
        });
        up.wait_until_reached(&client.id, "10.16.1.200");
        let before = received(guests[holder]).expect("a number");
        assert!(up.reaches(&client.id, "10.16.1.200"));
        assert!(received(guests[holder]).expect("a number") > before);
    }
    up.stop();
}

/// Spec 4.3.2, 8.4: what forwards has a foot in each subnet, and checks neither sources nor destinations.
#[test]
fn a_middlebox_with_two_interfaces_forwards_between_two_subnets() {
    let place = Place::new();
    let up = Up::start(&place, &[]);
    let mut alice = up.client(ALICE);
    let town = Town::new(&mut alice);
    let middle = town.between(&mut alice, "");
    let feet = [0, 1].map(|index| interface_at(&mut alice, &middle, index));
    for (subnet, block, foot) in [(&town.left, "10.16.2.0/24", &feet[0]), (&town.right, "10.16.1.0/24", &feet[1])] {
        let table = alice.ok(&format!("Action=CreateRouteTable&VpcId={}", town.vpc)).text("routeTableId");
        alice.ok(&format!("Action=AssociateRouteTable&RouteTableId={table}&SubnetId={subnet}"));
        alice.ok(&format!(
            "Action=CreateRoute&RouteTableId={table}&DestinationCidrBlock={block}&NetworkInterfaceId={foot}"
        ));
    }
    let (x, y) = (&town.at_left, &town.at_right);
    eventually("the middlebox is in the way", || !up.reaches(&x.id, &y.address));
    up.sh(
        &middle,
        "echo 1 > /proc/sys/net/ipv4/ip_forward; for name in all eth0 eth1; do echo 0 > /proc/sys/net/ipv4/conf/$name/rp_filter; done",
    );
    let check = |client: &mut Client, foot: &str, on: bool| {
        client.ok(&format!(
            "Action=ModifyNetworkInterfaceAttribute&NetworkInterfaceId={foot}&SourceDestCheck.Value={on}"
        ));
    };
    check(&mut alice, &feet[0], false);
    assert!(!up.reaches(&x.id, &y.address), "the second interface sends what is its own only");
    check(&mut alice, &feet[1], false);
    up.wait_until_reached(&x.id, &y.address);
    up.wait_until_reached(&y.id, &x.address);
    let forwarded = || {
        let text =
            up.sh(&middle, "cat /sys/class/net/eth0/statistics/rx_packets /sys/class/net/eth1/statistics/rx_packets");
        text.lines().map(|line| line.parse::<u64>().expect("a number")).collect::<Vec<_>>()
    };
    let before = forwarded();
    assert!(up.reaches(&x.id, &y.address));
    let after = forwarded();
    assert!(after[0] > before[0] && after[1] > before[1], "there by one, back by the other: {before:?} {after:?}");
    // Each interface checks for itself.
    alice.ok(&format!("Action=ResetNetworkInterfaceAttribute&NetworkInterfaceId={}&SourceDestCheck=true", feet[1]));
    eventually("the second interface checks again", || !up.reaches(&x.id, &y.address));
    up.stop();
}
