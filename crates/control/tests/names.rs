//! Suffixes that the operator chose, in all that the API shows, and what a start with others brings in line (spec 9.2).

mod common;
mod things;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::*;
use model::*;
use things::*;

fn chosen(private: &str, public: &str) -> Arc<NameSuffixes> {
    let parse = |text: &str| Some(text.parse().unwrap());
    let private = Suffixes::aws_private().chosen(None, parse(private));
    Arc::new(NameSuffixes::new(private, Suffixes::aws_public().chosen(None, parse(public))).unwrap())
}

/// What a start does; as often as it takes.
fn start(cloud: &mut Harness, names: Arc<NameSuffixes>) -> usize {
    cloud.config.names = names;
    let mut rounds = 0;
    loop {
        let changes = control::names::settle(&cloud.world, &cloud.config, cloud.now);
        if changes.is_empty() {
            return rounds;
        }
        assert!(changes.len() <= control::federation::CHANGES_MAX, "they fit a transaction");
        cloud.world = cloud.world.apply(&changes);
        rounds += 1;
    }
}

#[test]
fn every_answer_has_the_operators_suffixes() {
    let mut cloud = Harness::new();
    start(&mut cloud, chosen("inside.example", "outside.example"));
    let vpc = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let shown = cloud.ok(ALICE, "Action=DescribeDhcpOptions");
    assert_eq!(texts(&shown, "value"), ["us-east-1.inside.example", "AmazonProvidedDNS"]);
    cloud.ok(ALICE, &format!("Action=ModifyVpcAttribute&VpcId={vpc}&EnableDnsHostnames.Value=true"));
    let subnet = subnet(&mut cloud, ALICE, &vpc, "10.0.0.0/24");
    let (id, eni) = instance(&mut cloud, &subnet, "10.0.0.5");
    let interface = NetworkInterface::clone(cloud.world.find::<NetworkInterface>(&eni).unwrap());
    let (private, public) = ("10.0.0.5".parse().unwrap(), "203.0.113.25".parse().unwrap());
    let association = PublicAssociation { private, public, elastic: None };
    put(&mut cloud, NetworkInterface { public: vec![association], ..interface });
    let (private, public) = ("ip-10-0-0-5.us-east-1.inside.example", "ec2-203-0-113-25.us-east-1.outside.example");
    let instances = cloud.ok(ALICE, "Action=DescribeInstances");
    assert_eq!((text(&instances, "dnsName").as_str(), text(&instances, "privateDnsName").as_str()), (public, private));
    let interfaces = cloud.ok(ALICE, "Action=DescribeNetworkInterfaces");
    assert!(texts(&interfaces, "publicDnsName").iter().all(|name| name == public), "{interfaces}");
    assert!(texts(&interfaces, "privateDnsName").iter().all(|name| name == private), "{interfaces}");
    let by_name = format!("Action=DescribeInstances&Filter.1.Name=private-dns-name&Filter.1.Value.1={private}");
    assert_eq!(text(&cloud.ok(ALICE, &by_name), "instanceId"), id.to_string());
    for document in [instances, interfaces, shown] {
        assert!(!document.contains("amazonaws.com</") && !document.contains(".internal"), "{document}");
    }
}

#[test]
fn a_choice_is_written_down_and_told_to_hosts() {
    let mut cloud = Harness::new();
    assert_eq!(start(&mut cloud, Arc::default()), 0, "AWS's are nobody's choice");
    assert_eq!(control::names::chosen([&cloud.world]), None);
    let told = |cloud: &Harness| {
        let worlds = BTreeMap::from([(cloud.config.region, cloud.world.clone())]);
        control::plan::intent(&worlds, "host-1".parse().unwrap()).names
    };
    for names in [chosen("a.example", "b.example"), chosen("a.example", "c.example"), Arc::default()] {
        assert_eq!(start(&mut cloud, names.clone()), 1);
        assert_eq!((control::names::chosen([&cloud.world]), told(&cloud)), (Some(names.clone()), names));
    }
}

/// More accounts than fit one transaction have a default set; one user's set says the same and stays his.
#[test]
fn default_sets_follow_and_users_sets_do_not() {
    let mut cloud = Harness::new();
    let accounts: Vec<String> = (1..=100).map(|n| format!("{n:012}")).collect();
    for account in &accounts {
        vpc(&mut cloud, account, "10.0.0.0/16");
    }
    let own = "Action=CreateDhcpOptions&DhcpConfiguration.1.Key=domain-name&DhcpConfiguration.1.Value.1=ec2.internal";
    let own = text(&cloud.ok(&accounts[0], own), "dhcpOptionsId");
    assert_eq!(start(&mut cloud, chosen("a.example", "b.example")), 2);
    for account in &accounts {
        let vpcs = cloud.ok(account, "Action=DescribeVpcs");
        let set = format!("Action=DescribeDhcpOptions&DhcpOptionsId.1={}", text(&vpcs, "dhcpOptionsId"));
        assert_eq!(texts(&cloud.ok(account, &set), "value"), ["us-east-1.a.example", "AmazonProvidedDNS"]);
    }
    let shown = cloud.ok(&accounts[0], &format!("Action=DescribeDhcpOptions&DhcpOptionsId.1={own}"));
    assert_eq!(text(&shown, "value"), "ec2.internal");
    assert_eq!(start(&mut cloud, chosen("a.example", "c.example")), 1, "public names are in no set");
}

#[test]
fn reach_takes_names_with_these_suffixes_only() {
    use control::reach::explain;
    use ec2::Caller;
    let mut cloud = Harness::new();
    start(&mut cloud, chosen("a.example", "b.example"));
    let vpc = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let subnet = subnet(&mut cloud, ALICE, &vpc, "10.0.0.0/24");
    let (id, _) = instance(&mut cloud, &subnet, "10.0.0.5");
    let ask = |source: &str| {
        let regions = BTreeMap::from([(cloud.config.region, (cloud.world.clone(), cloud.config.clone()))]);
        let question = ec2::reach::ExplainReachability {
            source: source.into(),
            destination: "10.99.0.1".into(),
            protocol: None,
            destination_port: None,
            source_port: None,
            ip_version: None,
            one_way: None,
            what_if: Vec::new(),
        };
        let answer = explain(&regions, &Caller::root(ALICE.parse().unwrap()), &question, seed(), cloud.now);
        answer.map(|answer| answer.answers[0].source_address.clone()).map_err(|error| error.code.into_owned())
    };
    for name in ["ip-10-0-0-5.us-east-1.a.example".to_owned(), format!("{id}.us-east-1.a.example")] {
        assert_eq!(ask(&name).as_deref(), Ok("10.0.0.5"), "{name}");
    }
    assert_eq!(ask("ip-10-0-0-5.ec2.internal"), Err("InvalidParameterValue".into()));
}
