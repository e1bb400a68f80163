//! Fills a region through the API, over many connections at once.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result};

use super::super::http::{Client, elements};
use super::super::peerway::REGION;
use super::Size;

/// Writes that come together share a sync, so many are quicker than one after the other.
pub(super) const CONNECTIONS: usize = 64;
/// Whose most VPCs are.
pub(super) const FIRST: &str = "111111111111";
const OTHERS: [&str; 9] = [
    "222222222222",
    "333333333333",
    "444444444444",
    "555555555555",
    "666666666666",
    "777777777777",
    "888888888888",
    "999999999999",
    "121212121212",
];
const ABROAD: &str = "eu-west-1";
/// VPCs abroad, each peered with one of the first ones.
const ABROAD_VPCS: usize = 20;
/// Of so many VPCs one has an Internet gateway and a NAT gateway.
const GATEWAY_EVERY: usize = 10;

/// A VPC and what is in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Made {
    pub(super) n: usize,
    pub(super) account: &'static str,
    pub(super) vpc: String,
    pub(super) subnets: Vec<String>,
    pub(super) group: String,
    pub(super) table: String,
    /// That no instance has.
    pub(super) interfaces: Vec<String>,
    pub(super) instances: Vec<String>,
    /// An interface's.
    pub(super) address: String,
    pub(super) peering: String,
}

/// Whose the nth VPC is: nine in ten are the first account's.
pub(super) fn account(n: usize) -> &'static str {
    if n % 10 == 9 { OTHERS[n / 10 % OTHERS.len()] } else { FIRST }
}

/// `10.a.b`: no two VPCs overlap.
pub(super) fn block(n: usize) -> String {
    format!("10.{}.{}", n / 256, n % 256)
}

/// Makes all of it; with one connection, all in one account, for a server that has no others.
pub(super) fn region(address: SocketAddr, size: Size, connections: usize) -> Result<Vec<Made>> {
    let owner = |n| if connections == 1 { FIRST } else { account(n) };
    let client = |n: usize| Client::of_account(address, REGION, owner(n));
    eprintln!("making {} VPCs with {} interfaces each", size.vpcs, size.interfaces);
    let mut made = each(size.vpcs, connections, |n| vpc(&mut client(n), n, owner(n), size))?;
    made.sort_by_key(|made| made.n);
    eprintln!("peering them two by two");
    let peerings = each(size.vpcs / 2, connections, |n| {
        let [from, to] = [&made[2 * n], &made[2 * n + 1]];
        Ok((n, peer(&mut client(from.n), &mut client(to.n), from, to)?))
    })?;
    for (n, peering) in peerings {
        made[2 * n].peering.clone_from(&peering);
        made[2 * n + 1].peering = peering;
    }
    Ok(made)
}

/// Some VPCs in another region, each peered with one of these.
pub(super) fn abroad(address: SocketAddr, made: &[Made]) -> Result<()> {
    for (n, here) in made.iter().filter(|made| made.account == FIRST).take(ABROAD_VPCS).enumerate() {
        let mut there = Client::of_account(address, ABROAD, FIRST);
        let vpc = there.ask("CreateVpc", &[("CidrBlock", &format!("10.250.{n}.0/24"))], "vpcId")?;
        let request = [("VpcId", vpc.as_str()), ("PeerVpcId", &here.vpc), ("PeerRegion", REGION)];
        let peering = there.ask("CreateVpcPeeringConnection", &request, "vpcPeeringConnectionId")?;
        let mut client = Client::of_account(address, REGION, FIRST);
        let id = [("VpcPeeringConnectionId", peering.as_str())];
        // The request is on its way.
        let mut tries = 0;
        while let Err(error) = client.call("AcceptVpcPeeringConnection", &id) {
            tries += 1;
            if tries > 100 {
                return Err(error);
            }
            thread::sleep(std::time::Duration::from_millis(20));
        }
    }
    Ok(())
}

/// Does the work for each number on so many threads.
///
/// # Errors
/// The first that failed.
fn each<T: Send>(count: usize, threads: usize, work: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Ok(Vec::with_capacity(count))));
    let turn = || loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        if n >= count {
            return;
        }
        let result = work(n);
        let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match (&mut *done, result) {
            (Ok(all), Ok(one)) => all.push(one),
            (Ok(_), Err(error)) => *done = Err(error.context(format!("number {n}"))),
            (Err(_), _) => return,
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(turn);
        }
    });
    done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn vpc(client: &mut Client, n: usize, account: &'static str, size: Size) -> Result<Made> {
    let (block, name) = (block(n), format!("n{n}"));
    let kind = if n.is_multiple_of(4) { "production" } else { "test" };
    let tags = |of: &'static str| {
        [
            ("TagSpecification.1.ResourceType", of),
            ("TagSpecification.1.Tag.1.Key", "Name"),
            ("TagSpecification.1.Tag.2.Key", "Environment"),
            ("TagSpecification.1.Tag.2.Value", kind),
        ]
    };
    let tagged = |of: &'static str, rest: &[(&'static str, String)]| {
        let own = tags(of).map(|(key, value)| (key, value.to_owned()));
        let name = ("TagSpecification.1.Tag.1.Value", name.clone());
        own.into_iter().chain([name]).chain(rest.iter().cloned()).collect::<Vec<(&str, String)>>()
    };
    let mut call = |action: &str, parameters: &[(&str, String)], names: &str| -> Result<Vec<String>> {
        let parameters: Vec<(&str, &str)> = parameters.iter().map(|(key, value)| (*key, value.as_str())).collect();
        Ok(elements(client.call(action, &parameters)?, names))
    };
    let first = |found: Vec<String>| found.into_iter().next().context("the answer has no id");
    let vpc = first(call("CreateVpc", &tagged("vpc", &[("CidrBlock", format!("{block}.0/24"))]), "vpcId")?)?;
    let of_vpc = ("VpcId", vpc.clone());
    let mut subnets = Vec::new();
    for part in ["0/26", "64/26"] {
        let own = [of_vpc.clone(), ("CidrBlock", format!("{block}.{part}"))];
        subnets.push(first(call("CreateSubnet", &tagged("subnet", &own), "subnetId")?)?);
    }
    let description = ("GroupDescription", "web servers".to_owned());
    let group = [of_vpc.clone(), ("GroupName", format!("web-{n}")), description];
    let group = first(call("CreateSecurityGroup", &tagged("security-group", &group), "groupId")?)?;
    let rule = [("IpProtocol", "tcp"), ("FromPort", "443"), ("ToPort", "443"), ("CidrIp", "10.0.0.0/8")];
    let rule = rule.map(|(key, value)| (key, value.to_owned()));
    let rule: Vec<_> = [("GroupId", group.clone())].into_iter().chain(rule).collect();
    call("AuthorizeSecurityGroupIngress", &rule, "return")?;
    let instances = [
        ("ImageId", "ami-0123456789abcdef0".to_owned()),
        ("InstanceType", "t3.micro".to_owned()),
        ("MinCount", "4".to_owned()),
        ("MaxCount", "4".to_owned()),
        ("SubnetId", subnets[0].clone()),
    ];
    let instances = call("RunInstances", &tagged("instance", &instances), "instanceId")?;
    let (mut interfaces, mut address) = (Vec::new(), String::new());
    for k in 0..size.interfaces.saturating_sub(4) {
        address = format!("{block}.{}", 70 + k);
        let own = [
            ("SubnetId", subnets[1].clone()),
            ("SecurityGroupId.1", group.clone()),
            ("PrivateIpAddress", address.clone()),
            ("Description", format!("spare {k} of {n}")),
        ];
        let own = tagged("network-interface", &own);
        interfaces.push(first(call("CreateNetworkInterface", &own, "networkInterfaceId")?)?);
    }
    let table =
        first(call("CreateRouteTable", &tagged("route-table", std::slice::from_ref(&of_vpc)), "routeTableId")?)?;
    let use_it = [("RouteTableId", table.clone()), ("SubnetId", subnets[0].clone())];
    call("AssociateRouteTable", &use_it, "associationId")?;
    if n.is_multiple_of(GATEWAY_EVERY) {
        let gateway = first(call("CreateInternetGateway", &tagged("internet-gateway", &[]), "internetGatewayId")?)?;
        call("AttachInternetGateway", &[("InternetGatewayId", gateway), of_vpc], "return")?;
        let nat = [("SubnetId", subnets[0].clone()), ("ConnectivityType", "private".to_owned())];
        call("CreateNatGateway", &nat, "natGatewayId")?;
    }
    Ok(Made { n, account, vpc, subnets, group, table, interfaces, instances, address, peering: String::new() })
}

/// An active peering and a route to it on either side.
fn peer(from: &mut Client, to: &mut Client, one: &Made, other: &Made) -> Result<String> {
    let mut request = vec![("VpcId", one.vpc.as_str()), ("PeerVpcId", other.vpc.as_str())];
    // moto goes by another account than the one that asks.
    request.extend((one.account != other.account).then_some(("PeerOwnerId", other.account)));
    let peering = from.ask("CreateVpcPeeringConnection", &request, "vpcPeeringConnectionId")?;
    let id = ("VpcPeeringConnectionId", peering.as_str());
    to.call("AcceptVpcPeeringConnection", &[id])?;
    for (client, near, far) in [(from, one, other), (to, other, one)] {
        let block = format!("{}.0/24", block(far.n));
        client.call("CreateRoute", &[("RouteTableId", &near.table), ("DestinationCidrBlock", &block), id])?;
    }
    Ok(peering)
}
