//! A VPC's DHCP options as its guests have them: files at the start, leases for a DHCP client (busybox), real packets.

use crate::common::api::Client;
use crate::common::eventually;
use crate::common::running::*;

/// What a client is given: resolvers, domain, time servers and the length of the lease.
const LEASE: &str =
    "printf '#!/bin/sh\\n[ \"$1\" = bound ] && echo \"$dns|$domain|$ntpsrv|$lease\"\\nexit 0\\n' > /tmp/lease
chmod +x /tmp/lease
exec busybox udhcpc -f -q -n -t 5 -i eth0 -O ntpsrv -s /tmp/lease 2>/dev/null";

fn lease(up: &Up, guest: &Guest) -> String {
    up.sh(&guest.id, LEASE)
}

/// A set of these options, each with one value or several with commas between them.
fn associate(client: &mut Client, vpc: &str, options: &[(&str, &str)]) {
    let mut query = "Action=CreateDhcpOptions".to_owned();
    for (at, (key, values)) in (1..).zip(options) {
        query += &format!("&DhcpConfiguration.{at}.Key={key}");
        for (number, value) in (1..).zip(values.split(',')) {
            query += &format!("&DhcpConfiguration.{at}.Value.{number}={value}");
        }
    }
    let set = client.ok(&query).text("dhcpOptionsId");
    client.ok(&format!("Action=AssociateDhcpOptions&VpcId={vpc}&DhcpOptionsId={set}"));
}

#[test]
fn options_reach_files_at_the_start_and_clients_at_their_next_lease() {
    let place = Place::new();
    let up = Up::start(&place, &[]);
    let mut alice = up.client(ALICE);
    let network = network(&mut alice, "10.16");
    let first = guests(&mut alice, &network.subnet, 1, "").remove(0);
    let resolv = |guest: &Guest| up.sh(&guest.id, "cat /etc/resolv.conf");
    assert_eq!(resolv(&first), "nameserver 10.16.0.2\nsearch ec2.internal");
    assert_eq!(lease(&up, &first), "10.16.0.2|ec2.internal||3600");

    // The first guest is the resolver of those that come.
    let servers = format!("{},AmazonProvidedDNS", first.address);
    let options = [("domain-name", "corp.example"), ("domain-name-servers", &*servers), ("ntp-servers", "10.16.1.123")];
    associate(&mut alice, &network.vpc, &options);
    let told = format!("{} 10.16.0.2|corp.example|10.16.1.123|3600", first.address);
    eventually("the next lease says so", || lease(&up, &first) == told);
    assert_eq!(resolv(&first), "nameserver 10.16.0.2\nsearch ec2.internal", "what runs keeps its file");
    let second = guests(&mut alice, &network.subnet, 1, "").remove(0);
    assert_eq!(resolv(&second), format!("nameserver {}\nnameserver 10.16.0.2\nsearch corp.example", first.address));
    let name = format!("ip-{}.corp.example", second.address.replace('.', "-"));
    assert!(up.sh(&second.id, "cat /etc/hosts").contains(&format!("{} {name} ", second.address)));

    // It is asked by packets like any others.
    let mut listening = up.exec_command(&first.id, &["python3", "-c", HEAR]);
    let listening = listening.stdout(std::process::Stdio::piped()).spawn().expect("it starts");
    let ask = || up.exec(&second.id, &["timeout", "3", "getent", "hosts", "wanted.corp.example"]);
    eventually("the resolver listens", || {
        up.exec(&first.id, &["sh", "-c", "grep -q ':0035 ' /proc/net/udp"]).status.success()
    });
    ask();
    let heard = listening.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&heard.stdout).trim(), second.address);

    alice.ok(&format!("Action=AssociateDhcpOptions&VpcId={}&DhcpOptionsId=default", network.vpc));
    eventually("no set tells nothing", || lease(&up, &first) == "|||3600");
    let third = guests(&mut alice, &network.subnet, 1, "").remove(0);
    assert_eq!(resolv(&third), "");
    up.stop();
}

/// Who asks first.
const HEAR: &str = "
import socket
heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
heard.bind((\"\", 53))
heard.settimeout(20)
print(heard.recvfrom(512)[1][0])";
