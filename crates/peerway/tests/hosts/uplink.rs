//! Hosts with a way out of the cloud, and a namespace that plays what is outside: it is joined to the hosts and to nothing else.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::time::Duration;

use linux::namespace::{create, in_netns};
use linux::netlink::{LinkChange, Netlink, Route};

use crate::common::api::Client;
use crate::common::eventually;
use crate::common::running::{Guest, admit, described, guests, wait_for_state};
use crate::flows::{Flow, Place};
use crate::machines::{AGENTS, Machine, Machines};

/// What the agents make.
const DEVICE: &str = "peerway0";
/// Who is outside.
const FAR: &str = "9.9.9.9";
const FAR6: &str = "2620:fe::9";
/// Less than what guests may send.
const MTU: u32 = 1280;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A host's address outside and its neighbour's there, of either family.
fn link(n: usize) -> [(String, String, u8); 2] {
    let v4 = |last| format!("9.9.{}.{last}", n + 1);
    let v6 = |last| format!("2620:fe:{}::{last}", n + 1);
    [(v4(1), v4(2), 24), (v6(1), v6(2), 64)]
}

/// What is outside.
struct World {
    netns: OwnedFd,
}

impl World {
    fn around(machines: &Machines) -> World {
        let netns = create().expect("a namespace");
        in_netns(&netns, || {
            let mut netlink = Netlink::open().expect("netlink");
            netlink.set_up("lo", true).expect("up");
            netlink.add_address("lo", ip(FAR), 32, true).expect("added");
            netlink.add_address("lo", ip(FAR6), 128, true).expect("added");
            for n in 0..AGENTS.len() {
                let name = format!("to-host-{n}");
                netlink.add_veth(&name, "wan0", Some(machines.netns(n))).expect("a pair");
                netlink
                    .set(&name, &LinkChange { up: Some(true), mtu: Some(MTU), ..LinkChange::default() })
                    .expect("up");
                for (_, there, len) in link(n) {
                    netlink.add_address(&name, ip(&there), len, true).expect("added");
                }
            }
        })
        .expect("entered");
        for n in 0..AGENTS.len() {
            machines.at(n, || join(n));
        }
        World { netns }
    }

    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        in_netns(&self.netns, work).expect("entered")
    }

    /// Answers every connection with the address that it came from.
    fn serve(&self, address: SocketAddr) {
        let listener = self.inside(|| TcpListener::bind(address)).expect("bound");
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let peer = stream.peer_addr().map(|peer| peer.ip().to_string()).unwrap_or_default();
                let _ = stream.write_all(peer.as_bytes());
            }
        });
    }

    /// Counts the bytes of every connection, and says how many there were.
    fn count(&self, address: SocketAddr) {
        let listener = self.inside(|| TcpListener::bind(address)).expect("bound");
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let count = std::io::copy(&mut stream, &mut std::io::sink()).unwrap_or_default();
                let _ = stream.write_all(count.to_string().as_bytes());
            }
        });
    }

    /// What a server in the cloud says to who connects from outside.
    fn ask(&self, address: SocketAddr) -> Option<String> {
        self.inside(|| {
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
            let mut text = String::new();
            stream.read_to_string(&mut text).ok()?;
            Some(text)
        })
    }

    /// Sends each public address to the host that has a route for it, as a routing daemon would from what the hosts say.
    fn learn(&self, machines: &Machines) -> Vec<Vec<IpAddr>> {
        let said: Vec<Vec<IpAddr>> = (0..AGENTS.len()).map(|n| addresses(machines, n)).collect();
        self.inside(|| {
            let mut netlink = Netlink::open().expect("netlink");
            for (n, addresses) in said.iter().enumerate() {
                for address in addresses {
                    let [(v4, _, _), (v6, _, _)] = link(n);
                    let (gateway, len) = if address.is_ipv4() { (v4, 32) } else { (v6, 128) };
                    let device = format!("to-host-{n}");
                    let destination = (*address, len);
                    let route = Route { destination, gateway: Some(ip(&gateway)), device, onlink: false };
                    netlink.add_route(&route).expect("a route");
                }
            }
        });
        said
    }
}

/// In a host: its way to the world, and forwarding, as its operator sets it up.
fn join(n: usize) {
    for (path, value) in [
        ("ipv4/ip_forward", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        ("ipv4/conf/wan0/rp_filter", "0"),
    ] {
        std::fs::write(format!("/proc/sys/net/{path}"), value).expect("set");
    }
    let mut netlink = Netlink::open().expect("netlink");
    netlink.set("wan0", &LinkChange { up: Some(true), mtu: Some(MTU), ..LinkChange::default() }).expect("up");
    netlink.wait_running("wan0", Duration::from_secs(10)).expect("a carrier");
    for (here, there, len) in link(n) {
        netlink.add_address("wan0", ip(&here), len, true).expect("added");
        netlink.wait_local(ip(&here), Duration::from_secs(10)).expect("usable");
        let all = if ip(&here).is_ipv4() { "0.0.0.0" } else { "::" };
        let route =
            Route { destination: (ip(all), 0), gateway: Some(ip(&there)), device: "wan0".into(), onlink: false };
        netlink.add_route(&route).expect("a route");
    }
}

/// The public addresses that a host has routes to the uplink for.
fn addresses(machines: &Machines, n: usize) -> Vec<IpAddr> {
    let list = |family: &str| {
        let output = machines.at(n, || Command::new("ip").args([family, "route", "show", "dev", DEVICE]).output());
        let text = String::from_utf8(output.expect("it starts").stdout).expect("text");
        let first = text.lines().filter_map(|line| line.split_whitespace().next()?.split('/').next()?.parse().ok());
        first.collect::<Vec<IpAddr>>()
    };
    let mut all = [list("-4"), list("-6")].concat();
    all.retain(|address| !matches!(address, IpAddr::V6(v6) if v6.segments()[0] & 0xfe00 == 0xfe00));
    all
}

/// Answers every connection to port 8000 with the address that it came from.
const SERVER: &str = "
import socket
server = socket.create_server((\"0.0.0.0\", 8000))
while True:
    connection, client = server.accept()
    connection.sendall(client[0].encode())
    connection.close()
";

struct Cloud {
    /// With public addresses, one on each host.
    open: Vec<(Guest, IpAddr, IpAddr)>,
    /// Behind a NAT gateway, one on each host.
    closed: Vec<Guest>,
    /// The gateway's Elastic IP address.
    elastic: IpAddr,
}

fn table_of(client: &mut Client, vpc: &str) -> String {
    client.ok(&format!("Action=DescribeRouteTables&Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}")).text("routeTableId")
}

fn cloud(client: &mut Client) -> Cloud {
    let vpc = client.ok("Action=CreateVpc&CidrBlock=10.16.0.0/16&AmazonProvidedIpv6CidrBlock=true").text("vpcId");
    let block = client.ok(&format!("Action=DescribeVpcs&VpcId.1={vpc}")).text("ipv6CidrBlock").replace("/56", "/64");
    let query = format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock=10.16.1.0/24&Ipv6CidrBlock={block}");
    let public = client.ok(&query).text("subnetId");
    let private = client.ok(&format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock=10.16.2.0/24")).text("subnetId");
    let gateway = client.ok("Action=CreateInternetGateway").text("internetGatewayId");
    client.ok(&format!("Action=AttachInternetGateway&InternetGatewayId={gateway}&VpcId={vpc}"));
    let table = table_of(client, &vpc);
    for block in ["DestinationCidrBlock=0.0.0.0/0", "DestinationIpv6CidrBlock=::/0"] {
        client.ok(&format!("Action=CreateRoute&RouteTableId={table}&{block}&GatewayId={gateway}"));
    }
    let held = client.ok("Action=AllocateAddress&Domain=vpc");
    let (allocation, elastic) = (held.text("allocationId"), ip(&held.text("publicIp")));
    let query = format!("Action=CreateNatGateway&SubnetId={public}&AllocationId={allocation}");
    let nat = client.ok(&query).text("natGatewayId");
    let table = client.ok(&format!("Action=CreateRouteTable&VpcId={vpc}")).text("routeTableId");
    client.ok(&format!("Action=AssociateRouteTable&RouteTableId={table}&SubnetId={private}"));
    client.ok(&format!("Action=CreateRoute&RouteTableId={table}&DestinationCidrBlock=0.0.0.0/0&NatGatewayId={nat}"));
    admit(client, &vpc, "0.0.0.0/0");
    client.ok(&format!("Action=ModifySubnetAttribute&SubnetId={public}&MapPublicIpOnLaunch.Value=true"));
    let query =
        format!("Action=RunInstances&ImageId=ami-12345678&MinCount=2&MaxCount=2&SubnetId={public}&Ipv6AddressCount=1");
    let ids = client.ok(&query).texts("instanceId");
    let open = ids.into_iter().map(|id| {
        wait_for_state(client, &id, "running");
        let shown = described(client, &id);
        let (v4, v6) = (ip(&shown.text("ipAddress")), ip(&shown.text("ipv6Address")));
        (Guest { address: shown.text("privateIpAddress"), id }, v4, v6)
    });
    let open = open.collect();
    Cloud { open, closed: guests(client, &private, 2, ""), elastic }
}

struct Stage {
    machines: Machines,
    world: World,
    server: Machine,
    agents: [Machine; 2],
    cloud: Cloud,
}

impl Stage {
    fn set() -> Stage {
        let mut machines = Machines::new();
        machines.arguments = vec!["--uplink".into(), DEVICE.into()];
        machines.install(None);
        let world = World::around(&machines);
        let server = machines.server();
        let agents = [0, 1].map(|n| machines.agent(n, Some(&machines.token(Some(AGENTS[n])))).expect("it joins"));
        eventually("both hosts are connected", || machines.connected() == AGENTS);
        let cloud = machines.api(cloud);
        Stage { machines, world, server, agents, cloud }
    }

    fn python(&self, guest: &Guest, program: &str) -> Option<String> {
        let n = self.machines.carrier(&guest.id);
        let output = self.machines.exec(n, &guest.id, &["python3", "-c", program]).output().expect("it starts");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// What a server says to a guest.
    fn asks(&self, guest: &Guest, address: &str, port: u16) -> Option<String> {
        let program = format!(
            "import socket; s = socket.create_connection((\"{address}\", {port}), 2); print(s.makefile().read())"
        );
        self.python(guest, &program)
    }

    fn sh(&self, guest: &Guest, script: &str) -> String {
        let n = self.machines.carrier(&guest.id);
        let output = self.machines.exec(n, &guest.id, &["sh", "-c", script]).output().expect("it starts");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    /// Packets that were refused for this reason at an instance, or at the uplinks.
    fn refused(&self, of: Option<&Guest>, reason: &str) -> u64 {
        let rows = (0..AGENTS.len()).flat_map(|n| self.machines.rows(n, &["status", "--drops", "--reason", reason]));
        let is_of = |row: &serde_json::Value| match of {
            Some(guest) => row["instance"] == *guest.id,
            None => row["cause"] == "at the uplink",
        };
        rows.filter(is_of).map(|row| row["packets"].as_u64().expect("a number")).sum()
    }
}

#[test]
fn packets_leave_and_come_in_by_the_uplink_and_nothing_of_the_host_is_reached() {
    let mut stage = Stage::set();
    let Stage { machines, world, cloud, .. } = &stage;
    let said = world.learn(machines);
    for (guest, v4, v6) in &cloud.open {
        let n = machines.carrier(&guest.id);
        assert!(said[n].contains(v4) && said[n].contains(v6), "{said:?}: what lives there has a route there");
        assert!(!said[1 - n].contains(v4) && !said[1 - n].contains(v6), "{said:?}");
    }
    assert_eq!(said.iter().filter(|of_host| of_host.contains(&cloud.elastic)).count(), 1, "{said:?}: the NAT gateway");
    world.serve(SocketAddr::new(ip(FAR), 8000));
    world.serve(SocketAddr::new(ip(FAR6), 8000));
    world.count(SocketAddr::new(ip(FAR), 8001));

    // Out, each as who it is outside; whatever fits inside and not on the way arrives too.
    let counted = format!(
        "import socket; s = socket.create_connection((\"{FAR}\", 8001), 5); s.sendall(bytes(3000000)); \
         s.shutdown(socket.SHUT_WR); print(s.makefile().read())"
    );
    for (guest, v4, v6) in &cloud.open {
        eventually("it gets out", || stage.asks(guest, FAR, 8000) == Some(v4.to_string()));
        eventually("it gets out by IPv6", || stage.asks(guest, FAR6, 8000) == Some(v6.to_string()));
        assert_eq!(stage.python(guest, &counted).as_deref(), Some("3000000"), "streams find the path's MTU");
        let text = stage.sh(guest, &format!("ping -c1 -W2 -t1 {FAR}"));
        assert!(text.contains("Time to live exceeded"), "{text}");
        let text = stage.sh(guest, &format!("ping -c1 -W2 -M do -s 1300 {FAR}"));
        assert!(text.contains("Frag needed") || text.contains("Message too long"), "{text}");
        let text = stage.sh(guest, &format!("ping -c1 -W2 -M dont -s 3000 {FAR}"));
        assert!(text.contains("1 received"), "{text}");
    }
    for guest in &cloud.closed {
        eventually("it gets out through the NAT gateway", || {
            stage.asks(guest, FAR, 8000) == Some(cloud.elastic.to_string())
        });
        assert_eq!(stage.python(guest, &counted).as_deref(), Some("3000000"));
    }

    // In, to public addresses only.
    for (n, (guest, v4, _)) in cloud.open.iter().enumerate() {
        stage.sh(guest, &format!("setsid python3 -c '{SERVER}' </dev/null >/dev/null 2>&1 & echo"));
        let (_, there, _) = &link(machines.carrier(&guest.id))[0];
        let is_seen = || world.ask(SocketAddr::new(*v4, 8000)).as_deref() == Some(there.as_str());
        eventually("it is reached from outside", is_seen);
        // As another one of the cloud: the law sees who it is not.
        let other = cloud.open[1 - n].1;
        let before = stage.refused(Some(guest), "D18");
        world.inside(|| {
            let mut netlink = Netlink::open().expect("netlink");
            netlink.add_address("lo", other, 32, true).expect("added");
            let socket = UdpSocket::bind((other, 0)).expect("bound");
            socket.send_to(b"I am one of you", (*v4, 9)).expect("sent");
            netlink.delete_address("lo", other, 32).expect("deleted");
        });
        eventually("a source of the cloud is refused", || stage.refused(Some(guest), "D18") > before);
    }
    assert_eq!(world.ask(SocketAddr::new(cloud.elastic, 8000)), None, "nobody gets in by a NAT gateway");
    assert!(stage.refused(None, "D38") > 0);

    // Nothing of the host, nor of hosts among themselves.
    for (guest, _, _) in &cloud.open {
        let n = machines.carrier(&guest.id);
        let (own, _, _) = &link(n)[0];
        let listener = machines.at(n, || TcpListener::bind("0.0.0.0:7000")).expect("bound");
        for address in [own.as_str(), &format!("9.9.{}.255", n + 1), "198.18.7.1", "198.18.7.2", "198.18.7.4"] {
            let before = stage.refused(Some(guest), "D14");
            assert_eq!(stage.asks(guest, address, 7000), None, "{address}");
            assert!(stage.refused(Some(guest), "D14") > before, "{address}");
        }
        listener.set_nonblocking(true).expect("set");
        assert!(listener.accept().is_err(), "a guest reached its host");
        // Nor an address that the host gets later.
        let late = format!("9.9.{}.77", n + 1);
        machines.at(n, || Netlink::open().expect("netlink").add_address("wan0", ip(&late), 32, true)).expect("added");
        eventually("it is closed", || {
            let before = stage.refused(Some(guest), "D14");
            stage.sh(guest, &format!("ping -c1 -W1 {late}"));
            stage.refused(Some(guest), "D14") > before
        });
        let rows = machines.rows(n, &["status", "--uplink"]);
        let [row] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!((row["device"].as_str(), &row["forwards"]), (Some(DEVICE), &serde_json::json!([true, true])));
        assert!(row["sent"][0].as_u64() > Some(20) && row["received"][0].as_u64() > Some(20), "{row}");
    }

    // What is taken away has no route any more when the call returns.
    let (guest, v4, _) = &cloud.open[0];
    let n = machines.carrier(&guest.id);
    machines.api(|client| {
        client.ok(&format!("Action=StopInstances&InstanceId.1={}", guest.id));
        wait_for_state(client, &guest.id, "stopped");
    });
    assert!(!addresses(machines, n).contains(v4));

    stage.agents.iter_mut().for_each(Machine::stop);
    stage.server.stop();
    for n in 0..AGENTS.len() {
        let shown = stage.machines.at(n, || Command::new("ip").args(["link", "show", DEVICE]).output());
        assert!(!shown.expect("it starts").status.success(), "the device is gone with its agent");
    }
}

#[test]
fn connections_to_the_outside_outlive_a_reload_and_a_kill() {
    let mut stage = Stage::set();
    stage.world.learn(&stage.machines);
    stage.world.serve(SocketAddr::new(ip(FAR), 8000));
    let place = |guest: &Guest| {
        let n = stage.machines.carrier(&guest.id);
        let netns = linux::namespace::of_process(stage.machines.pid(n, &guest.id)).expect("it runs");
        Place { netns, address: guest.address.clone() }
    };
    let far = Place { netns: stage.world.netns.try_clone().expect("a descriptor"), address: FAR.into() };
    let open = stage.cloud.open.iter().map(|(guest, _, _)| guest);
    let guests: Vec<&Guest> = open.chain(&stage.cloud.closed).collect();
    for guest in &guests {
        eventually("it gets out", || stage.asks(guest, FAR, 8000).is_some());
    }
    let names = ["public 1", "public 2", "behind the gateway 1", "behind the gateway 2"];
    let flows: Vec<Flow> = names
        .into_iter()
        .zip(7001..)
        .zip(&guests)
        .map(|((name, port), guest)| Flow::tcp(name, &place(guest), &far, port))
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    for n in [0, 1] {
        stage.agents[n].reload();
        std::thread::sleep(Duration::from_millis(500));
        stage.agents[n].kill();
        stage.agents[n] = stage.machines.agent(n, None).expect("it has its certificate");
        std::thread::sleep(Duration::from_secs(2));
    }
    for flow in flows {
        let name = flow.name;
        let seen = flow.end();
        assert!(seen.received > 50 && seen.gap < Duration::from_secs(4), "{name}: {seen:?}");
    }
    stage.agents.iter_mut().for_each(Machine::stop);
    stage.server.stop();
}

#[test]
fn an_uplink_that_cannot_be_is_refused_with_what_to_do() {
    let mut machines = Machines::new();
    machines.arguments = vec!["--uplink".into(), "lo".into()];
    let mut server = machines.server();
    let refused = machines.agent(0, Some(&machines.token(None))).map(drop).expect_err("lo is there already");
    assert!(refused.contains("name one that is not there yet, such as peerway0"), "{refused}");
    server.stop();
}
