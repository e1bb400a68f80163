//! Sets of DHCP options through the API (spec 2.6).

mod common;
mod things;

use common::*;
use things::*;

const SERVERS: &str = "DhcpConfiguration.1.Key=domain-name-servers&DhcpConfiguration.1.Value.1=";

#[test]
fn an_account_has_one_default_set() {
    for (region, domain) in [("us-east-1", "ec2.internal"), ("eu-west-1", "eu-west-1.compute.internal")] {
        let mut cloud = Harness::in_region(region);
        assert_eq!(texts(&cloud.ok(ALICE, "Action=DescribeDhcpOptions"), "dhcpOptionsId").len(), 0);
        vpc(&mut cloud, ALICE, "10.0.0.0/16");
        // A user's set with the very same options is not the default one.
        let same = cloud.ok(ALICE, &format!("Action=CreateDhcpOptions&{SERVERS}AmazonProvidedDNS&DhcpConfiguration.2.Key=domain-name&DhcpConfiguration.2.Value.1={domain}"));
        vpc(&mut cloud, ALICE, "10.1.0.0/16");
        vpc(&mut cloud, BOB, "10.1.0.0/16");
        let sets = cloud.ok(ALICE, "Action=DescribeVpcs");
        let sets = texts(&sets, "dhcpOptionsId");
        assert!(sets[0] == sets[1] && sets[0] != text(&same, "dhcpOptionsId"));
        assert_ne!(text(&cloud.ok(BOB, "Action=DescribeVpcs"), "dhcpOptionsId"), sets[0]);
        let shown = cloud.ok(ALICE, &format!("Action=DescribeDhcpOptions&DhcpOptionsId.1={}", sets[0]));
        assert_eq!(texts(&shown, "value"), [domain, "AmazonProvidedDNS"]);
    }
}

#[test]
fn a_set_is_made_used_and_deleted() {
    let mut cloud = Harness::new();
    let id = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let made = cloud.ok(ALICE, &format!("Action=CreateDhcpOptions&{SERVERS}10.0.0.53&DhcpConfiguration.1.Value.2=2001:db8::53&DhcpConfiguration.2.Key=domain-name&DhcpConfiguration.2.Value.1=example.internal&DhcpConfiguration.3.Key=ntp-servers&DhcpConfiguration.3.Value.1=10.0.0.2&DhcpConfiguration.4.Key=netbios-name-servers&DhcpConfiguration.4.Value.1=10.0.0.2&DhcpConfiguration.5.Key=netbios-node-type&DhcpConfiguration.5.Value.1=2&DhcpConfiguration.6.Key=ipv6-address-preferred-lease-time&DhcpConfiguration.6.Value.1=140&TagSpecification.1.ResourceType=dhcp-options&TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=d"));
    let set = text(&made, "dhcpOptionsId");
    assert_eq!(texts(&made, "key").len(), 7);
    for (name, value) in
        [("key", "netbios-node-type"), ("value", "example.*"), ("dhcp-options-id", &set), ("tag:Name", "d")]
    {
        let shown =
            cloud.ok(ALICE, &format!("Action=DescribeDhcpOptions&Filter.1.Name={name}&Filter.1.Value.1={value}"));
        assert_eq!(texts(&shown, "dhcpOptionsId"), [set.as_str()], "{name}");
    }
    let associate = |set: &str| format!("Action=AssociateDhcpOptions&VpcId={id}&DhcpOptionsId={set}");
    cloud.ok(ALICE, &associate(&set));
    let error = cloud.error(ALICE, &format!("Action=DeleteDhcpOptions&DhcpOptionsId={set}"));
    assert_eq!(
        (error.code.as_ref(), error.message),
        ("DependencyViolation", format!("The dhcpOptions '{set}' has dependencies and cannot be deleted."))
    );
    cloud.ok(ALICE, &associate("default"));
    assert_eq!(text(&cloud.ok(ALICE, "Action=DescribeVpcs"), "dhcpOptionsId"), "default");
    assert_eq!(
        cloud.code(BOB, &format!("Action=DeleteDhcpOptions&DhcpOptionsId={set}")),
        "InvalidDhcpOptionID.NotFound"
    );
    cloud.ok(ALICE, &format!("Action=DeleteDhcpOptions&DhcpOptionsId={set}"));
    assert_eq!(cloud.code(ALICE, &associate(&set)), "InvalidDhcpOptionID.NotFound");
    assert_eq!(cloud.code(ALICE, &associate("dopt-x")), "InvalidDhcpOptionID.Malformed");
    assert_eq!(cloud.code(BOB, &associate("default")), "InvalidVpcID.NotFound");
}

#[test]
fn options_that_no_host_could_use() {
    let mut cloud = Harness::new();
    let one = |key: &str, value: &str| format!("DhcpConfiguration.1.Key={key}&DhcpConfiguration.1.Value.1={value}");
    for (query, code) in [
        (String::new(), "MissingParameter"),
        (one("domain", "x"), "InvalidParameterValue"),
        (one("domain-name", "a..b"), "InvalidParameterValue"),
        (one("domain-name", &"a".repeat(64)), "InvalidParameterValue"),
        (one("domain-name", "a%0Ab"), "InvalidParameterValue"),
        (one("domain-name-servers", "AmazonDNS"), "InvalidParameterValue"),
        (one("ntp-servers", "AmazonProvidedDNS"), "InvalidParameterValue"),
        (one("netbios-name-servers", "2001:db8::1"), "InvalidParameterValue"),
        (one("netbios-node-type", "3"), "InvalidParameterValue"),
        (one("ipv6-address-preferred-lease-time", "139"), "InvalidParameterValue"),
        ("DhcpConfiguration.1.Key=domain-name".into(), "InvalidParameterValue"),
        (
            format!(
                "{}&{}",
                one("domain-name", "a"),
                "DhcpConfiguration.2.Key=domain-name&DhcpConfiguration.2.Value.1=b"
            ),
            "InvalidParameterValue",
        ),
        (
            format!(
                "{SERVERS}10.0.0.1&{}",
                (2..=5).map(|n| format!("DhcpConfiguration.1.Value.{n}=10.0.0.{n}")).collect::<Vec<_>>().join("&")
            ),
            "InvalidParameterValue",
        ),
    ] {
        assert_eq!(cloud.code(ALICE, &format!("Action=CreateDhcpOptions&{query}")), code, "{query}");
    }
}

#[test]
fn sets_are_counted() {
    let mut cloud = Harness::new();
    cloud.config.quotas.dhcp_options = 2;
    vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let create = format!("Action=CreateDhcpOptions&{SERVERS}10.0.0.53");
    let set = text(&cloud.ok(ALICE, &create), "dhcpOptionsId");
    assert_eq!(cloud.code(ALICE, &create), "DhcpOptionsLimitExceeded");
    cloud.ok(BOB, &create);
    cloud.ok(ALICE, &format!("Action=DeleteDhcpOptions&DhcpOptionsId={set}"));
    cloud.ok(ALICE, &create);
}
