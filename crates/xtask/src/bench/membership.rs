//! From a change of security groups to the first packet through: how long a rule, or an interface's membership, takes to be the law.
//!
//! One instance sends a datagram a millisecond to another in a peered VPC, each from a port of its own: a flow that is tracked would go on
//! whatever the rules become. The far side's groups close and open again and again, in three ways. What is timed begins before the request
//! is written and ends when the receiving program has the packet.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};

use super::datagrams::{Pace, Watch};
use super::first_packet::{QUIET, READY, Times};
use super::http::Client;
use super::janitor::Janitor;
use super::peer::wait_for_answer;
use super::peerway::TwoInstances;

/// What opens the way.
pub(super) const CHANGES: [&str; 3] = [
    "AuthorizeSecurityGroupIngress",
    "ModifyNetworkInterfaceAttribute (groups of the receiver)",
    "ModifyNetworkInterfaceAttribute (membership that a rule names)",
];

/// A request: the action, and its parameters.
type Request = (&'static str, Vec<(&'static str, String)>);

/// Closes and opens in each of [`CHANGES`], `count` times.
pub(super) fn measure(instances: &TwoInstances, janitor: &Janitor, count: usize) -> Result<[Times; 3]> {
    wait_for_answer(instances, READY)?;
    let mut api = instances.client_of_api();
    let (near, far) = (End::of(&mut api, &instances.near)?, End::of(&mut api, &instances.far)?);
    let (door, open) = (far.group(&mut api, "door")?, far.group(&mut api, "open")?);
    let (member, plain) = (near.group(&mut api, "member")?, near.group(&mut api, "plain")?);
    call(&mut api, &far.admit("AuthorizeSecurityGroupIngress", &open))?;
    let watch = Watch::start(instances, janitor, Pace::NewFlows)?;
    watch.first_after(SystemTime::UNIX_EPOCH, Duration::from_secs(5)).context("no packet comes through at all")?;

    let mut run = |closing: &Request, opening: &Request| repeat(&mut api, &watch, count, closing, opening);
    run_once(instances, &far.bear(&[&door]))?;
    let by_rule =
        run(&far.admit("RevokeSecurityGroupIngress", &door), &far.admit("AuthorizeSecurityGroupIngress", &door))?;
    run_once(instances, &far.admit("RevokeSecurityGroupIngress", &door))?;
    let by_groups = run(&far.bear(&[&door]), &far.bear(&[&open]))?;
    run_once(instances, &far.bear(&[&door]))?;
    run_once(instances, &far.admit_members(&door, &member))?;
    let by_membership = run(&near.bear(&[&plain]), &near.bear(&[&plain, &member]))?;
    Ok([by_rule, by_groups, by_membership])
}

fn repeat(api: &mut Client, watch: &Watch, count: usize, closing: &Request, opening: &Request) -> Result<Times> {
    let mut times = Times::default();
    // It may be closed already: opened first, so that closing it succeeds.
    call(api, opening)?;
    for _ in 0..count {
        call(api, closing)?;
        std::thread::sleep(QUIET);
        let (asked, started) = (SystemTime::now(), Instant::now());
        call(api, opening)?;
        times.answer.push(started.elapsed().as_secs_f64() * 1000.0);
        let after = watch.first_after(asked, Duration::from_secs(5)).with_context(|| format!("after {}", opening.0))?;
        times.packet.push(after.as_secs_f64() * 1000.0);
    }
    Ok(times)
}

fn run_once(instances: &TwoInstances, request: &Request) -> Result<()> {
    call(&mut instances.client_of_api(), request)
}

fn call(api: &mut Client, (action, parameters): &Request) -> Result<()> {
    let parameters: Vec<(&str, &str)> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    api.call(action, &parameters).map(drop)
}

/// An instance's interface, and the VPC that it is in.
struct End {
    interface: String,
    vpc: String,
}

impl End {
    fn of(api: &mut Client, instance: &str) -> Result<End> {
        let filter = [("Filter.1.Name", "attachment.instance-id"), ("Filter.1.Value.1", instance)];
        let interface = api.ask("DescribeNetworkInterfaces", &filter, "networkInterfaceId")?;
        let vpc = api.ask("DescribeNetworkInterfaces", &filter, "vpcId")?;
        Ok(End { interface, vpc })
    }

    /// A group of its VPC that lets everything out.
    fn group(&self, api: &mut Client, name: &str) -> Result<String> {
        let named = [("GroupName", name), ("GroupDescription", name), ("VpcId", self.vpc.as_str())];
        api.ask("CreateSecurityGroup", &named, "groupId")
    }

    fn bear(&self, groups: &[&str]) -> Request {
        const NAMES: [&str; 2] = ["SecurityGroupId.1", "SecurityGroupId.2"];
        let groups = NAMES.into_iter().zip(groups).map(|(name, group)| (name, (*group).to_owned()));
        let interface = [("NetworkInterfaceId", self.interface.clone())];
        ("ModifyNetworkInterfaceAttribute", interface.into_iter().chain(groups).collect())
    }

    /// A rule of the group for UDP from the near network: made or taken back.
    fn admit(&self, action: &'static str, group: &str) -> Request {
        (action, udp(group, ("IpPermissions.1.IpRanges.1.CidrIp", "10.16.0.0/16")))
    }

    /// A rule of the group for UDP from the members of another.
    fn admit_members(&self, group: &str, members: &str) -> Request {
        ("AuthorizeSecurityGroupIngress", udp(group, ("IpPermissions.1.Groups.1.GroupId", members)))
    }
}

fn udp(group: &str, (who, value): (&'static str, &str)) -> Vec<(&'static str, String)> {
    let text = |text: &str| text.to_owned();
    vec![
        ("GroupId", text(group)),
        ("IpPermissions.1.IpProtocol", text("udp")),
        ("IpPermissions.1.FromPort", text("0")),
        ("IpPermissions.1.ToPort", text("65535")),
        (who, text(value)),
    ]
}
