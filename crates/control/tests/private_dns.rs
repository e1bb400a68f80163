//! Host names of instances through the API (spec 3.6, 9.2, 9.3).

mod common;
mod things;

use common::*;
use model::vpc::HostnameType;
use model::*;
use things::*;

fn modify(id: InstanceId, what: &str) -> String {
    format!("Action=ModifyPrivateDnsNameOptions&InstanceId={id}{what}")
}

#[test]
fn an_instance_is_named_as_its_subnet_and_its_launch_say() {
    let mut cloud = Harness::new();
    let vpc = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let subnet = subnet(&mut cloud, ALICE, &vpc, "10.0.0.0/24");
    let run =
        |more: &str| format!("Action=RunInstances&ImageId=ami-12345678&MinCount=1&MaxCount=1&SubnetId={subnet}{more}");
    let of_subnet = |what: &str| format!("Action=ModifySubnetAttribute&SubnetId={subnet}&{what}");
    let plain = cloud.ok(ALICE, &run(""));
    assert_eq!(text(&plain, "hostnameType"), "ip-name");
    assert!(text(&plain, "privateDnsName").starts_with("ip-10-0-0-"));
    cloud.ok(ALICE, &of_subnet("PrivateDnsHostnameTypeOnLaunch=resource-name"));
    cloud.ok(ALICE, &of_subnet("EnableResourceNameDnsARecordOnLaunch.Value=true"));
    let named = cloud.ok(ALICE, &run(""));
    assert_eq!(text(&named, "privateDnsName"), format!("{}.ec2.internal", text(&named, "instanceId")));
    assert_eq!(
        (text(&named, "enableResourceNameDnsARecord"), text(&named, "enableResourceNameDnsAAAARecord")),
        ("true".into(), "false".into())
    );
    let asked =
        run("&PrivateDnsNameOptions.HostnameType=ip-name&PrivateDnsNameOptions.EnableResourceNameDnsARecord=false");
    let asked = cloud.ok(ALICE, &asked);
    assert_eq!(
        (text(&asked, "hostnameType"), text(&asked, "enableResourceNameDnsARecord")),
        ("ip-name".into(), "false".into())
    );
    assert_eq!(cloud.code(ALICE, &run("&PrivateDnsNameOptions.HostnameType=name")), "InvalidParameterValue");
}

#[test]
fn names_change_and_their_kind_only_at_rest() {
    let mut cloud = Harness::new();
    let vpc = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let subnet = subnet(&mut cloud, ALICE, &vpc, "10.0.0.0/24");
    let (id, _) = instance(&mut cloud, &subnet, "10.0.0.5");
    let options = |cloud: &Harness| cloud.world.find::<Instance>(&id).unwrap().private_dns;
    cloud.ok(ALICE, &modify(id, "&EnableResourceNameDnsARecord=true&EnableResourceNameDnsAAAARecord=true"));
    assert_eq!(
        options(&cloud),
        PrivateDnsNameOptions {
            hostname_type: HostnameType::IpName,
            enable_resource_name_dns_a_record: true,
            enable_resource_name_dns_aaaa_record: true,
        }
    );
    let rename = modify(id, "&PrivateDnsHostnameType=resource-name");
    assert_eq!(cloud.code(ALICE, &rename), "IncorrectInstanceState");
    cloud.ok(ALICE, &modify(id, "&PrivateDnsHostnameType=ip-name"));
    let running = cloud.world.find::<Instance>(&id).unwrap().clone();
    put(&mut cloud, Instance { state: InstanceState::Stopped, ..Instance::clone(&running) });
    cloud.ok(ALICE, &rename);
    assert_eq!(options(&cloud).hostname_type, HostnameType::ResourceName);
    for (query, code) in [
        (modify(id, ""), "MissingParameter"),
        (modify(id, "&PrivateDnsHostnameType=name"), "InvalidParameterValue"),
        (modify(InstanceId::from_random(9), "&EnableResourceNameDnsARecord=true"), "InvalidInstanceID.NotFound"),
    ] {
        assert_eq!(cloud.code(ALICE, &query), code, "{query}");
    }
    assert_eq!(cloud.code(BOB, &rename), "InvalidInstanceID.NotFound", "not yours is not there");
}

/// What hosts are told: the primary interface's, and no other.
#[test]
fn a_resource_name_leads_to_the_primary_interface() {
    let mut cloud = Harness::new();
    let vpc = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let subnet = subnet(&mut cloud, ALICE, &vpc, "10.0.0.0/24");
    let (id, eni) = instance(&mut cloud, &subnet, "10.0.0.5");
    let names = |cloud: &Harness| {
        let slice = control::plan::vpc_slice(cloud.config.region, &cloud.world, vpc.parse().unwrap()).unwrap();
        slice.resource_names
    };
    assert!(names(&cloud).is_empty());
    cloud.ok(ALICE, &modify(id, "&EnableResourceNameDnsARecord=true"));
    assert_eq!(
        names(&cloud).into_iter().collect::<Vec<_>>(),
        [(eni, ResourceName { instance: id, a: true, aaaa: false })]
    );
}

#[test]
fn public_names_are_shown_where_both_switches_are_on() {
    let mut cloud = Harness::new();
    let vpc = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let subnet = subnet(&mut cloud, ALICE, &vpc, "10.0.0.0/24");
    let (id, eni) = instance(&mut cloud, &subnet, "10.0.0.5");
    let interface = cloud.world.find::<NetworkInterface>(&eni).unwrap().clone();
    let association = PublicAssociation {
        private: "10.0.0.5".parse().unwrap(),
        public: "203.0.113.25".parse().unwrap(),
        elastic: None,
    };
    put(&mut cloud, NetworkInterface { public: vec![association], ..NetworkInterface::clone(&interface) });
    let describe = format!("Action=DescribeInstances&InstanceId.1={id}");
    assert_eq!(text(&cloud.ok(ALICE, &describe), "dnsName"), "");
    cloud.ok(ALICE, &format!("Action=ModifyVpcAttribute&VpcId={vpc}&EnableDnsHostnames.Value=true"));
    let name = "ec2-203-0-113-25.compute-1.amazonaws.com";
    assert_eq!(text(&cloud.ok(ALICE, &describe), "dnsName"), name);
    let by_name = format!("Action=DescribeInstances&Filter.1.Name=dns-name&Filter.1.Value.1={name}");
    assert_eq!(text(&cloud.ok(ALICE, &by_name), "instanceId"), id.to_string());
}
