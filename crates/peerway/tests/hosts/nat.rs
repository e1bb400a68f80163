//! Connections through a NAT gateway while the agent that has its translations ends: killed, and planned.

use std::time::Duration;

use crate::common::api::Client;
use crate::common::eventually;
use crate::common::running::{Guest, Network, admit, guests, network, route};
use crate::flows::{Flow, Place};
use crate::machines::{AGENTS, Machine, Machines};

/// As in the tests of what is taken over: loose, for the machine may be busy.
const GAP_MAX: Duration = Duration::from_secs(3);

/// An account's peering between two of its own VPCs, with routes both ways.
fn peered(client: &mut Client, a: &Network, b: &Network) {
    let query = format!("Action=CreateVpcPeeringConnection&VpcId={}&PeerVpcId={}", a.vpc, b.vpc);
    let pcx = client.ok(&query).text("vpcPeeringConnectionId");
    client.ok(&format!("Action=AcceptVpcPeeringConnection&VpcPeeringConnectionId={pcx}"));
    for (network, block) in [(a, "10.17.0.0/16"), (b, "10.16.0.0/16")] {
        route(client, &network.vpc, block, &pcx);
    }
}

/// Guests behind a private gateway, and one that admits the gateway's address alone.
fn cloud(client: &mut Client) -> (Vec<Guest>, Guest) {
    let (here, there) = (network(client, "10.16"), network(client, "10.17"));
    peered(client, &here, &there);
    let query = format!("Action=CreateNatGateway&ConnectivityType=private&SubnetId={}", here.subnet);
    let made = client.ok(&query);
    let (gateway, own) = (made.text("natGatewayId"), made.text("privateIp"));
    let query = format!("Action=CreateSubnet&VpcId={}&CidrBlock=10.16.200.0/24", here.vpc);
    let subnet = client.ok(&query).text("subnetId");
    let table = client.ok(&format!("Action=CreateRouteTable&VpcId={}", here.vpc)).text("routeTableId");
    client.ok(&format!("Action=AssociateRouteTable&RouteTableId={table}&SubnetId={subnet}"));
    let route = format!("RouteTableId={table}&DestinationCidrBlock=0.0.0.0/0&NatGatewayId={gateway}");
    client.ok(&format!("Action=CreateRoute&{route}"));
    admit(client, &there.vpc, &format!("{own}/32"));
    (guests(client, &subnet, 2, ""), guests(client, &there.subnet, 1, "").remove(0))
}

#[test]
fn connections_through_a_nat_gateway_outlive_the_agent_that_translates_them() {
    let machines = Machines::new();
    machines.install(None);
    let mut server = machines.server();
    let mut agents = [0, 1].map(|n| machines.agent(n, Some(&machines.token(Some(AGENTS[n])))).expect("it joins"));
    eventually("both hosts are connected", || machines.connected() == AGENTS);
    let (inside, outside) = machines.api(cloud);
    let place = |guest: &Guest| {
        let n = machines.carrier(&guest.id);
        let netns = linux::namespace::of_process(machines.pid(n, &guest.id)).expect("it runs");
        Place { netns, address: guest.address.clone() }
    };
    assert_ne!(machines.carrier(&inside[0].id), machines.carrier(&inside[1].id), "a guest on either host");
    let far = place(&outside);
    for guest in &inside {
        let near = machines.carrier(&guest.id);
        let pings = || machines.exec(near, &guest.id, &["ping", "-c1", "-W1", &outside.address]).output();
        eventually("the gateway lets it out", || pings().expect("it starts").status.success());
    }
    let flows: Vec<Flow> = [("first", 7001), ("second", 7002)]
        .into_iter()
        .zip(&inside)
        .map(|((name, port), guest)| Flow::tcp(name, &place(guest), &far, port))
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    // Whichever host has the gateway: each agent is reloaded and killed, one after the other.
    for n in [0, 1] {
        agents[n].reload();
        std::thread::sleep(Duration::from_millis(500));
        agents[n].kill();
        agents[n] = machines.agent(n, None).expect("it has its certificate");
        std::thread::sleep(Duration::from_secs(2));
    }
    for flow in flows {
        let name = flow.name;
        let seen = flow.end();
        assert!(seen.received > 50 && seen.gap < GAP_MAX, "{name}: {seen:?}");
    }
    let kept = agents.iter().filter(|agent| agent.log().contains("translations are known again")).count();
    assert_eq!(kept, 1, "one host has the gateway");
    agents.iter_mut().for_each(Machine::stop);
    server.stop();
}
