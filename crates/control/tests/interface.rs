//! Several interfaces on one instance, and the addresses that they get and give back (spec 8.1-8.6).

mod common;

use std::collections::BTreeSet;

use common::*;
use control::addresses::QUARANTINE;
use model::*;

const IMAGE: &str = "ImageId=ami-0123456789abcdef0&MinCount=1&MaxCount=1";

/// A VPC of Alice's with two subnets in one zone, the first one with IPv6.
struct Place {
    cloud: Harness,
    vpc: String,
    left: String,
    right: String,
}

impl Place {
    fn new() -> Place {
        let mut cloud = Harness::new();
        let document = cloud.ok(ALICE, "Action=CreateVpc&CidrBlock=10.0.0.0/16&AmazonProvidedIpv6CidrBlock=true");
        let vpc = text(&document, "vpcId");
        let block = text(&cloud.ok(ALICE, &format!("Action=DescribeVpcs&VpcId.1={vpc}")), "ipv6CidrBlock");
        let ipv6 = block.replace("::/56", "::/64");
        let mut subnet = |block: &str, more: &str| {
            let query = format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock={block}&AvailabilityZone=us-east-1a{more}");
            text(&cloud.ok(ALICE, &query), "subnetId")
        };
        let left = subnet("10.0.1.0/28", &format!("&Ipv6CidrBlock={ipv6}"));
        let right = subnet("10.0.2.0/28", "");
        Place { cloud, vpc, left, right }
    }

    fn ok(&mut self, query: &str) -> String {
        self.cloud.ok(ALICE, query)
    }

    fn code(&mut self, query: &str) -> String {
        self.cloud.code(ALICE, query)
    }

    fn interface(&mut self, subnet: &str, more: &str) -> String {
        text(&self.ok(&format!("Action=CreateNetworkInterface&SubnetId={subnet}{more}")), "networkInterfaceId")
    }

    fn run(&mut self, more: &str) -> String {
        text(&self.ok(&format!("Action=RunInstances&{IMAGE}{more}")), "instanceId")
    }

    fn found(&self, id: &str) -> NetworkInterface {
        NetworkInterface::clone(self.cloud.world.find::<NetworkInterface>(&id.parse().unwrap()).unwrap())
    }

    fn addresses(&self, id: &str) -> Vec<String> {
        self.found(id).private_ips.iter().map(ToString::to_string).collect()
    }
}

#[test]
fn a_launch_with_several_interfaces_shows_them_in_order() {
    let mut place = Place::new();
    let spare = place.interface(&place.right.clone(), "&PrivateIpAddress=10.0.2.9");
    let (left, right) = (place.left.clone(), place.right.clone());
    // The order of the request does not matter, that of the device indexes does.
    let id = place.run(&format!(
        "&InstanceType=m5.large&NetworkInterface.1.DeviceIndex=2&NetworkInterface.1.NetworkInterfaceId={spare}\
         &NetworkInterface.2.DeviceIndex=0&NetworkInterface.2.SubnetId={left}&NetworkInterface.2.Description=first\
         &NetworkInterface.2.SecondaryPrivateIpAddressCount=2&NetworkInterface.2.Ipv6AddressCount=1&NetworkInterface.2.PrimaryIpv6=true\
         &NetworkInterface.3.DeviceIndex=1&NetworkInterface.3.SubnetId={right}&NetworkInterface.3.DeleteOnTermination=false\
         &NetworkInterface.3.PrivateIpAddresses.1.PrivateIpAddress=10.0.2.5&NetworkInterface.3.PrivateIpAddresses.1.Primary=true\
         &NetworkInterface.3.PrivateIpAddresses.2.PrivateIpAddress=10.0.2.6"
    ));
    let document = place.ok(&format!("Action=DescribeInstances&InstanceId.1={id}"));
    assert_eq!(texts(&document, "deviceIndex"), ["0", "1", "2"]);
    let ids = texts(&document, "networkInterfaceId");
    assert_eq!((ids.len(), &ids[2]), (3, &spare));
    let [first, second] = [&ids[0], &ids[1]].map(|id| place.found(id));
    assert_eq!((first.private_ips.len(), first.ipv6_addresses.len()), (3, 1));
    assert_eq!((first.description.as_str(), first.has_primary_ipv6), ("first", true));
    assert_eq!(place.addresses(&ids[1]), ["10.0.2.5", "10.0.2.6"]);
    assert!(document.contains("<isPrimaryIpv6>true</isPrimaryIpv6>"));
    // What belongs to the instance as a whole is the first one's.
    assert_eq!(text(&document, "privateIpAddress"), first.primary_ip().to_string());
    for (filter, count) in
        [("attachment.device-index&Filter.1.Value.1=1", 1), ("attachment.instance-id&Filter.1.Value.1", 3)]
    {
        let value = if count == 3 { format!("={id}") } else { String::new() };
        let document = place.ok(&format!("Action=DescribeNetworkInterfaces&Filter.1.Name={filter}{value}"));
        assert_eq!(texts(&document, "networkInterfaceId").len(), count, "{filter}");
    }
    // What is asked of the instance does not say which of them.
    for change in ["SourceDestCheck.Value=false".to_owned(), format!("GroupId.1={}", first.groups.first().unwrap())] {
        assert_eq!(
            place.code(&format!("Action=ModifyInstanceAttribute&InstanceId={id}&{change}")),
            "InvalidInstanceID"
        );
    }
    // The end takes only those along that are to go with it.
    place.ok(&format!("Action=TerminateInstances&InstanceId.1={id}"));
    let left_over: Vec<_> = place.cloud.world.network_interfaces.keys().map(ToString::to_string).collect();
    assert_eq!(BTreeSet::from_iter(left_over), BTreeSet::from([second.id.to_string(), spare]));
}

#[test]
fn launches_that_contradict_themselves_are_refused() {
    let mut place = Place::new();
    let (left, right) = (place.left.clone(), place.right.clone());
    let spare = place.interface(&left, "");
    let far = format!("Action=CreateSubnet&VpcId={}&CidrBlock=10.0.3.0/28&AvailabilityZone=us-east-1b", place.vpc);
    let far = text(&place.ok(&far), "subnetId");
    let first = format!("NetworkInterface.1.DeviceIndex=0&NetworkInterface.1.SubnetId={left}");
    let existing = format!("NetworkInterface.1.DeviceIndex=0&NetworkInterface.1.NetworkInterfaceId={spare}");
    let group = place.found(&spare).groups.first().unwrap().to_string();
    let combination = "InvalidParameterCombination";
    for (query, code) in [
        (
            format!("{first}&NetworkInterface.2.DeviceIndex=0&NetworkInterface.2.SubnetId={right}"),
            "InvalidParameterValue",
        ),
        (
            format!("{first}&NetworkInterface.2.DeviceIndex=1&NetworkInterface.2.SubnetId={far}"),
            "InvalidParameterValue",
        ),
        (format!("{first}&NetworkInterface.2.SubnetId={right}"), "MissingParameter"),
        (format!("{first}&Ipv6AddressCount=1"), combination),
        (format!("{first}&EnablePrimaryIpv6=true"), combination),
        (format!("{first}&NetworkInterface.1.PrimaryIpv6=true"), "InvalidParameterValue"),
        (format!("{first}&NetworkInterface.1.NetworkCardIndex=1"), "InvalidParameterValue"),
        (format!("{first}&NetworkInterface.1.InterfaceType=efa"), "UnsupportedOperation"),
        (format!("{first}&NetworkInterface.1.Ipv4PrefixCount=1"), "UnsupportedOperation"),
        (format!("{first}&NetworkInterface.1.EnaQueueCount=0"), "InvalidParameterValue"),
        (format!("{first}&NetworkInterface.1.Description={}", "x".repeat(256)), "InvalidParameterValue"),
        (format!("{first}&KeyName={}", "x".repeat(256)), "InvalidParameterValue"),
        (format!("{existing}&NetworkInterface.1.SubnetId={left}"), combination),
        (format!("{existing}&NetworkInterface.1.SecurityGroupId.1={group}"), combination),
        (format!("{existing}&NetworkInterface.1.PrivateIpAddress=10.0.1.9"), combination),
        (format!("{existing}&NetworkInterface.1.SecondaryPrivateIpAddressCount=1"), combination),
        (format!("{existing}&NetworkInterface.1.Ipv6AddressCount=1"), combination),
        (format!("{existing}&NetworkInterface.1.Description=x"), combination),
        (format!("{existing}&NetworkInterface.1.DeleteOnTermination=true"), combination),
    ] {
        let code_of = place.code(&format!("Action=RunInstances&{IMAGE}&{query}"));
        assert_eq!(code_of, code, "{query}");
    }
    place.run(&format!("&{existing}&NetworkInterface.1.DeleteOnTermination=false"));
    assert_eq!(place.code(&format!("Action=RunInstances&{IMAGE}&{existing}")), "InvalidNetworkInterface.InUse");
}

#[test]
fn a_type_says_how_many_interfaces_and_addresses_there_may_be() {
    let mut place = Place::new();
    let (left, right) = (place.left.clone(), place.right.clone());
    let id = place.run(&format!("&InstanceType=t3.micro&SubnetId={left}"));
    let primary = text(&place.ok(&format!("Action=DescribeInstances&InstanceId.1={id}")), "networkInterfaceId");
    let [second, third] = [(); 2].map(|()| place.interface(&right, ""));
    let crowded = place.interface(&right, "&SecondaryPrivateIpAddressCount=2");
    let attach = |interface: &str, index: u32| {
        format!("Action=AttachNetworkInterface&InstanceId={id}&NetworkInterfaceId={interface}&DeviceIndex={index}")
    };
    assert_eq!(place.code(&attach(&crowded, 1)), "PrivateIpAddressLimitExceeded");
    let attachment = text(&place.ok(&attach(&second, 1)), "attachmentId");
    let error = place.cloud.error(ALICE, &attach(&third, 2));
    assert_eq!(
        (&*error.code, &*error.message),
        (
            "AttachmentLimitExceeded",
            "Interface count 3 exceeds the limit for t3.micro, which is 2; detach some or take a larger type"
        )
    );
    // A stopped instance is changed as a running one is; Force hurries what is done at once here.
    place.ok(&format!("Action=StopInstances&InstanceId.1={id}"));
    place.ok(&format!("Action=DetachNetworkInterface&AttachmentId={attachment}&Force=true"));
    place.ok(&attach(&third, 2));
    let assign = |id: &str, count: u32| {
        format!("Action=AssignPrivateIpAddresses&NetworkInterfaceId={id}&SecondaryPrivateIpAddressCount={count}")
    };
    place.ok(&assign(&primary, 1));
    assert_eq!(place.code(&assign(&primary, 1)), "PrivateIpAddressLimitExceeded");
    place.ok(&assign(&second, 5));
    let three = format!(
        "Action=RunInstances&{IMAGE}&InstanceType=t3.micro&NetworkInterface.1.DeviceIndex=0&NetworkInterface.1.SubnetId={left}\
         &NetworkInterface.2.DeviceIndex=1&NetworkInterface.2.SubnetId={left}&NetworkInterface.3.DeviceIndex=2&NetworkInterface.3.SubnetId={left}"
    );
    assert_eq!(place.code(&three), "AttachmentLimitExceeded");
    place.ok(&three.replace("t3.micro", "x9.unheard-of"));
}

#[test]
fn another_type_must_have_room_for_what_is_attached() {
    let mut place = Place::new();
    let (left, right) = (place.left.clone(), place.right.clone());
    let id = place.run(&format!("&InstanceType=m5.large&SubnetId={left}"));
    let attach = |interface: &str, index: u32| {
        format!("Action=AttachNetworkInterface&InstanceId={id}&NetworkInterfaceId={interface}&DeviceIndex={index}")
    };
    let crowded = place.interface(&right, "&SecondaryPrivateIpAddressCount=2");
    place.ok(&attach(&crowded, 1));
    let third = place.interface(&right, "");
    let attachment = text(&place.ok(&attach(&third, 2)), "attachmentId");
    place.ok(&format!("Action=StopInstances&InstanceId.1={id}"));
    let ways = ["InstanceType.Value=t3.micro", "Attribute=instanceType&Value=t3.micro"];
    let change = |to: &str| format!("Action=ModifyInstanceAttribute&InstanceId={id}&{to}");
    for way in ways {
        let error = place.cloud.error(ALICE, &change(way));
        let message = "Interface count 3 exceeds the limit for t3.micro, which is 2; detach some or take a larger type";
        assert_eq!((&*error.code, &*error.message), ("AttachmentLimitExceeded", message));
    }
    place.ok(&format!("Action=DetachNetworkInterface&AttachmentId={attachment}"));
    let error = place.cloud.error(ALICE, &change(ways[0]));
    let message = format!(
        "Number of private addresses will exceed limit: the interface may have 2 of a family, not 3, on a t3.micro; \
         unassign some of {crowded} or take a larger type"
    );
    assert_eq!((&*error.code, error.message), ("PrivateIpAddressLimitExceeded", message));
    let secondary = place.addresses(&crowded)[2].clone();
    place.ok(&format!("Action=UnassignPrivateIpAddresses&NetworkInterfaceId={crowded}&PrivateIpAddress.1={secondary}"));
    place.ok(&change(ways[0]));
}

#[test]
fn secondary_addresses_are_assigned_moved_and_given_back() {
    let mut place = Place::new();
    let left = place.left.clone();
    let [one, two] =
        ["10.0.1.5", "10.0.1.6"].map(|address| place.interface(&left, &format!("&PrivateIpAddress={address}")));
    let assign = |id: &str, more: &str| format!("Action=AssignPrivateIpAddresses&NetworkInterfaceId={id}&{more}");
    let document = place.ok(&assign(&one, "PrivateIpAddress.1=10.0.1.8&PrivateIpAddress.2=10.0.1.9"));
    assert_eq!(texts(&document, "privateIpAddress"), ["10.0.1.8", "10.0.1.9"]);
    assert_eq!(place.addresses(&one), ["10.0.1.5", "10.0.1.8", "10.0.1.9"]);
    // Its owner must want an address to move, and the primary one stays.
    let error = place.cloud.error(ALICE, &assign(&two, "PrivateIpAddress.1=10.0.1.8"));
    assert_eq!(
        (&*error.code, &*error.message),
        ("InvalidParameterValue", "[10.0.1.8] is assigned, but move is not allowed.")
    );
    for refused in [
        "PrivateIpAddress.1=10.0.1.5&AllowReassignment=true",
        "PrivateIpAddress.1=10.0.1.1",
        "PrivateIpAddress.1=10.0.1.16&AllowReassignment=true",
        "PrivateIpAddress.1=10.0.1.8&AllowReassignment=false",
    ] {
        assert_eq!(place.code(&assign(&two, refused)), "InvalidParameterValue", "{refused}");
    }
    for (refused, code) in [
        ("PrivateIpAddress.1=10.0.1.10&SecondaryPrivateIpAddressCount=1", "InvalidParameterCombination"),
        ("SecondaryPrivateIpAddressCount=0", "MissingParameter"),
        ("Ipv4PrefixCount=1", "UnsupportedOperation"),
        ("Ipv4Prefix.1=10.0.1.0/28", "UnsupportedOperation"),
    ] {
        assert_eq!(place.code(&assign(&two, refused)), code, "{refused}");
    }
    // What stands for it outside goes along.
    let mut with_public = place.found(&one);
    let public = |private: &str, public: &str| PublicAssociation {
        private: private.parse().unwrap(),
        public: public.parse().unwrap(),
        elastic: Some((AllocationId::from_random(1), AddressAssociationId::from_random(1))),
    };
    with_public.public = vec![public("10.0.1.5", "203.0.113.1"), public("10.0.1.8", "203.0.113.2")];
    place.cloud.world = place.cloud.world.apply(&[Change::put(with_public)]);
    place.ok(&assign(&two, "PrivateIpAddress.1=10.0.1.8&PrivateIpAddress.2=10.0.1.10&AllowReassignment=true"));
    assert_eq!(place.addresses(&one), ["10.0.1.5", "10.0.1.9"]);
    assert_eq!(place.addresses(&two), ["10.0.1.6", "10.0.1.8", "10.0.1.10"]);
    let outside =
        |place: &Place, id: &str| place.found(id).public.iter().map(|p| p.public.to_string()).collect::<Vec<_>>();
    assert_eq!(
        (outside(&place, &one), outside(&place, &two)),
        (vec!["203.0.113.1".into()], vec!["203.0.113.2".into()])
    );
    // Once more, it is there.
    place.ok(&assign(&two, "PrivateIpAddress.1=10.0.1.8&AllowReassignment=true"));
    assert_eq!(place.addresses(&two).len(), 3);

    let unassign = |id: &str, address: &str| {
        format!("Action=UnassignPrivateIpAddresses&NetworkInterfaceId={id}&PrivateIpAddress.1={address}")
    };
    assert_eq!(place.code(&unassign(&one, "10.0.1.8")), "InvalidParameterValue");
    assert_eq!(place.code(&unassign(&two, "10.0.1.6")), "InvalidParameterValue");
    assert_eq!(place.cloud.code(BOB, &unassign(&two, "10.0.1.8")), "InvalidNetworkInterfaceID.NotFound");
    place.ok(&unassign(&two, "10.0.1.8"));
    assert_eq!((place.addresses(&two).len(), outside(&place, &two)), (2, vec![]));
}

#[test]
fn ipv6_addresses_come_and_go_but_for_the_primary_one() {
    let mut place = Place::new();
    let (left, right) = (place.left.clone(), place.right.clone());
    let [one, two] = [(); 2].map(|()| place.interface(&left, ""));
    let without = place.interface(&right, "");
    let assign = |id: &str, more: &str| format!("Action=AssignIpv6Addresses&NetworkInterfaceId={id}&{more}");
    let document = place.ok(&assign(&one, "Ipv6AddressCount=2"));
    let shown = roxmltree::Document::parse(&document).unwrap();
    let list = shown
        .descendants()
        .find(|node| node.has_tag_name(("http://ec2.amazonaws.com/doc/2016-11-15/", "assignedIpv6Addresses")));
    let given: Vec<String> = list.unwrap().children().filter_map(|item| item.text().map(str::to_owned)).collect();
    assert_eq!(given, place.found(&one).ipv6_addresses.iter().map(ToString::to_string).collect::<Vec<_>>());
    for (id, more, code) in [
        (&two, format!("Ipv6Addresses.1={}", given[0]), "InvalidIPAddress.InUse"),
        (&two, format!("Ipv6Addresses.1={}&Ipv6AddressCount=1", given[0]), "InvalidParameterCombination"),
        (&two, "Ipv6Addresses.1=2001:db8:ffff::1".into(), "InvalidParameterValue"),
        (&two, "Ipv6AddressCount=51".into(), "InvalidParameterValue"),
        (&two, "Ipv6PrefixCount=1".into(), "UnsupportedOperation"),
        (&two, "Ipv6AddressCount=0".into(), "MissingParameter"),
        (&without, "Ipv6AddressCount=1".into(), "InvalidParameterValue"),
    ] {
        assert_eq!(place.code(&assign(id, &more)), code, "{more}");
    }
    let modify = |id: &str, value: bool| {
        format!("Action=ModifyNetworkInterfaceAttribute&NetworkInterfaceId={id}&EnablePrimaryIpv6={value}")
    };
    assert_eq!(place.code(&modify(&two, true)), "InvalidParameterValue", "it has none");
    place.ok(&modify(&one, true));
    assert_eq!(place.code(&modify(&one, false)), "InvalidParameterValue", "for good");
    let unassign = |id: &str, address: &str| {
        format!("Action=UnassignIpv6Addresses&NetworkInterfaceId={id}&Ipv6Addresses.1={address}")
    };
    assert_eq!(place.code(&unassign(&one, &given[0])), "InvalidParameterValue", "the primary one");
    assert_eq!(place.code(&unassign(&two, &given[1])), "InvalidParameterValue");
    assert!(place.ok(&unassign(&one, &given[1])).contains(&format!("<item>{}</item>", given[1])));
    assert_eq!(place.found(&one).ipv6_addresses.len(), 1);
}

#[test]
fn what_is_given_back_goes_to_others_last() {
    let mut place = Place::new();
    let right = place.right.clone();
    // All of the eleven, then two of them again.
    let all: Vec<String> = (0..11).map(|_| place.interface(&right, "")).collect();
    let address = |place: &Place, id: &str| place.addresses(id).remove(0);
    let [early, late] = [&all[0], &all[1]].map(|id| address(&place, id));
    place.ok(&format!("Action=DeleteNetworkInterface&NetworkInterfaceId={}", all[0]));
    place.cloud.now = place.cloud.now + Duration::seconds(10);
    place.ok(&format!("Action=DeleteNetworkInterface&NetworkInterfaceId={}", all[1]));
    let note = ReleasedAddresses::clone(place.cloud.world.released_addresses.values().next().unwrap());
    assert_eq!(note.addresses.len(), 2);
    // There is nothing else, so the one that has rested longer; by its name even that would go.
    for expected in [&early, &late] {
        let id = place.interface(&right, "");
        assert_eq!(&address(&place, &id), expected);
        place.cloud.now = place.cloud.now + Duration::seconds(1);
        place.ok(&format!("Action=DeleteNetworkInterface&NetworkInterfaceId={id}"));
    }
    // By its name even that goes.
    let id = place.interface(&right, &format!("&PrivateIpAddress={late}"));
    for id in all[2..].iter().chain([&id]) {
        place.ok(&format!("Action=DeleteNetworkInterface&NetworkInterfaceId={id}"));
    }
    // With others free it goes last.
    place.cloud.now = place.cloud.now + QUARANTINE;
    let id = place.interface(&right, "");
    let last = address(&place, &id);
    place.ok(&format!("Action=DeleteNetworkInterface&NetworkInterfaceId={id}"));
    assert_eq!(
        place.cloud.world.released_addresses.values().next().unwrap().addresses.len(),
        1,
        "the others have rested"
    );
    for n in 1..=11 {
        let id = place.interface(&right, "");
        assert_eq!(address(&place, &id) == last, n == 11, "{n}");
    }
    // Time alone removes the note.
    let at = place.cloud.now + QUARANTINE;
    assert_eq!(control::tick::next(&place.cloud.world, &place.cloud.config), Some(at));
    let changes = control::tick(&place.cloud.world, &place.cloud.config, at);
    assert_eq!(place.cloud.world.apply(&changes).released_addresses.size(), 0);
}

#[test]
fn a_launch_makes_as_many_as_there_is_room_for() {
    let mut place = Place::new();
    let left = place.left.clone();
    let run = |min: u32, max: u32| {
        format!("Action=RunInstances&ImageId=ami-0123456789abcdef0&MinCount={min}&MaxCount={max}&SubnetId={left}")
    };
    assert_eq!(place.code(&run(12, 20)), "InsufficientFreeAddressesInSubnet");
    let document = place.ok(&run(2, 20));
    assert_eq!(texts(&document, "instanceId").len(), 11);
    assert_eq!(place.cloud.world.instances.size(), 11, "and no twelfth without an interface");
    // The error that is not about room ends it all.
    assert_eq!(place.code(&run(1, 2).replace(&left, "subnet-0123456789abcdef0")), "InvalidSubnetID.NotFound");
    place.cloud.config.quotas.network_interfaces = 13;
    let right = place.right.clone();
    assert_eq!(texts(&place.ok(&run(1, 5).replace(&left, &right)), "instanceId").len(), 2);
    assert_eq!(place.code(&run(1, 5).replace(&left, &right)), "NetworkInterfaceLimitExceeded");
}

#[test]
fn a_launch_fits_into_one_transaction() {
    let mut place = Place::new();
    let wide = format!("Action=CreateSubnet&VpcId={}&CidrBlock=10.0.16.0/20", place.vpc);
    let wide = text(&place.ok(&wide), "subnetId");
    let interface =
        |n: u32| format!("&NetworkInterface.{n}.DeviceIndex={}&NetworkInterface.{n}.SubnetId={wide}", n - 1);
    let many: String = (1..=8).map(interface).collect();
    let data = "A".repeat(21_844);
    let run = |max: u32, more: &str| {
        format!(
            "Action=RunInstances&ImageId=ami-0123456789abcdef0&InstanceType=huge&MinCount=1&MaxCount={max}&UserData={data}&ClientToken=t{max}{more}"
        )
    };
    for (query, count) in [(run(60, &format!("&SubnetId={wide}")), 40), (run(61, &many), 13)] {
        let node = ec2::Node::parse(format!("Version=2016-11-15&{query}").as_bytes()).unwrap();
        let request = ec2::Request::parse(&node).unwrap();
        let caller = ec2::Caller::root(ALICE.parse().unwrap());
        let Harness { world, config, now } = &place.cloud;
        let outcome = control::handle(world, &caller, request, config, seed(), *now).unwrap();
        let launched = outcome.changes.iter().filter(|change| matches!(change, Change::Put(Resource::Instance(_))));
        assert_eq!(launched.count(), count);
        assert!(outcome.changes.len() <= 128, "{}", outcome.changes.len());
        let length = |change: &Change| match change {
            Change::Put(resource) => serde_json::to_vec(resource).unwrap().len() + 200,
            Change::Delete(_) => 200,
        };
        let bytes: usize = outcome.changes.iter().map(length).sum();
        assert!(bytes < 1536 * 1024, "{bytes}");
    }
}

#[test]
fn permissions_are_recorded_and_go_with_the_interface() {
    let mut place = Place::new();
    let left = place.left.clone();
    let [one, two] = [(); 2].map(|()| place.interface(&left, ""));
    let create =
        |id: &str, more: &str| format!("Action=CreateNetworkInterfacePermission&NetworkInterfaceId={id}&{more}");
    let to_bob = format!("AwsAccountId={BOB}&Permission=INSTANCE-ATTACH");
    let document = place.ok(&create(&one, &to_bob));
    let permission = text(&document, "networkInterfacePermissionId");
    assert!(permission.starts_with("eni-perm-") && document.contains("<state>granted</state>"));
    assert_eq!(text(&place.ok(&create(&one, &to_bob)), "networkInterfacePermissionId"), permission, "the same again");
    place.ok(&create(&two, "AwsService=lambda.amazonaws.com&Permission=EIP-ASSOCIATE"));
    for (query, code) in [
        (create(&one, "Permission=INSTANCE-ATTACH"), "MissingParameter"),
        (create(&one, &format!("AwsAccountId={BOB}&Permission=OTHER")), "InvalidParameterValue"),
        (
            create(&one, &format!("AwsAccountId={BOB}&AwsService=x&Permission=EIP-ASSOCIATE")),
            "InvalidParameterCombination",
        ),
        (create("eni-0123456789abcdef0", &to_bob), "InvalidNetworkInterfaceID.NotFound"),
    ] {
        assert_eq!(place.code(&query), code, "{query}");
    }
    let describe = "Action=DescribeNetworkInterfacePermissions";
    for (filter, value) in [
        ("network-interface-permission-id", permission.as_str()),
        ("network-interface-id", one.as_str()),
        ("aws-account-id", BOB),
        ("permission", "INSTANCE-*"),
    ] {
        let query = format!("{describe}&Filter.1.Name=network-interface-permission.{filter}&Filter.1.Value.1={value}");
        assert_eq!(texts(&place.ok(&query), "networkInterfacePermissionId"), [permission.as_str()], "{filter}");
    }
    assert_eq!(texts(&place.ok(describe), "networkInterfacePermissionId").len(), 2);
    // What is recorded opens nothing, and is its owner's alone.
    assert_eq!(texts(&place.cloud.ok(BOB, describe), "networkInterfacePermissionId").len(), 0);
    let delete =
        format!("Action=DeleteNetworkInterfacePermission&NetworkInterfacePermissionId={permission}&Force=true");
    assert_eq!(place.cloud.code(BOB, &delete), "InvalidPermissionID.NotFound");
    place.ok(&delete);
    assert_eq!(place.code(&delete), "InvalidPermissionID.NotFound");
    place.ok(&format!("Action=DeleteNetworkInterface&NetworkInterfaceId={two}"));
    assert_eq!(place.cloud.world.interface_permissions.size(), 0);
    // So do those of an interface that ends with its instance.
    let id = place.run(&format!("&SubnetId={left}"));
    let primary = text(&place.ok(&format!("Action=DescribeInstances&InstanceId.1={id}")), "networkInterfaceId");
    place.ok(&create(&primary, &to_bob));
    place.ok(&format!("Action=TerminateInstances&InstanceId.1={id}"));
    assert_eq!(place.cloud.world.interface_permissions.size(), 0);
    assert_eq!(place.cloud.world.released_addresses.values().map(|note| note.addresses.len()).sum::<usize>(), 2);
}

#[test]
fn attributes_of_an_attachment_are_recorded() {
    let mut place = Place::new();
    let left = place.left.clone();
    let id = place.run(&format!("&SubnetId={left}"));
    let spare = place.interface(&left, "");
    let modify = |more: &str| format!("Action=ModifyNetworkInterfaceAttribute&NetworkInterfaceId={spare}&{more}");
    assert_eq!(place.code(&modify("EnaSrdSpecification.EnaSrdEnabled=true")), "InvalidParameterValue", "not attached");
    assert_eq!(place.code(&modify(&format!("Description.Value={}", "x".repeat(256)))), "InvalidParameterValue");
    assert_eq!(place.code(&modify("AssociatedSubnetId.1=subnet-0123456789abcdef0")), "UnsupportedOperation");
    let attach = format!("Action=AttachNetworkInterface&InstanceId={id}&NetworkInterfaceId={spare}&DeviceIndex=1");
    assert_eq!(place.code(&format!("{attach}&NetworkCardIndex=2")), "InvalidParameterValue");
    assert_eq!(place.code(&format!("{attach}&EnaQueueCount=33")), "InvalidParameterValue");
    let attachment = text(&place.ok(&format!("{attach}&NetworkCardIndex=0&EnaQueueCount=4")), "attachmentId");
    place.ok(&modify(
        "EnaSrdSpecification.EnaSrdEnabled=true&EnaSrdSpecification.EnaSrdUdpSpecification.EnaSrdUdpEnabled=false",
    ));
    let shown = place.ok(&format!("Action=DescribeNetworkInterfaces&NetworkInterfaceId.1={spare}"));
    let expected = "<enaSrdSpecification><enaSrdEnabled>true</enaSrdEnabled><enaSrdUdpSpecification><enaSrdUdpEnabled>false</enaSrdUdpEnabled></enaSrdUdpSpecification></enaSrdSpecification><enaQueueCount>4</enaQueueCount>";
    assert!(shown.contains(expected), "{shown}");
    let of = format!("Attachment.AttachmentId={attachment}");
    place.ok(&modify(&format!("{of}&Attachment.DeleteOnTermination=true")));
    place.ok(&modify(&format!("{of}&Attachment.DefaultEnaQueueCount=true")));
    let found = place.found(&spare).attachment.unwrap();
    assert_eq!((found.delete_on_termination, found.ena.queue_count, found.ena.srd_enabled), (true, None, Some(true)));
    assert_eq!(
        place.code(&modify("SourceDestCheck.Value=false&EnablePrimaryIpv6=true")),
        "InvalidParameterCombination"
    );

    place.ok(&modify("SourceDestCheck.Value=false"));
    let reset = format!("Action=ResetNetworkInterfaceAttribute&NetworkInterfaceId={spare}");
    assert_eq!(place.code(&reset), "MissingParameter");
    assert_eq!(place.cloud.code(BOB, &format!("{reset}&SourceDestCheck=true")), "InvalidNetworkInterfaceID.NotFound");
    place.ok(&format!("{reset}&SourceDestCheck=sourceDestCheck"));
    assert!(place.found(&spare).source_dest_check);
}

#[test]
fn who_stopped_it_and_when_is_shown() {
    let mut place = Place::new();
    let left = place.left.clone();
    let id = place.run(&format!("&SubnetId={left}"));
    let reason = |place: &mut Place| text(&place.ok(&format!("Action=DescribeInstances&InstanceId.1={id}")), "reason");
    assert_eq!(reason(&mut place), "");
    place.ok(&format!("Action=StopInstances&InstanceId.1={id}"));
    assert_eq!(reason(&mut place), "User initiated (2026-01-15 12:00:00 GMT)");
    place.cloud.now = place.cloud.now + Duration::seconds(61);
    place.ok(&format!("Action=StopInstances&InstanceId.1={id}"));
    assert_eq!(reason(&mut place), "User initiated (2026-01-15 12:00:00 GMT)", "it was stopped before");
    place.ok(&format!("Action=StartInstances&InstanceId.1={id}"));
    assert_eq!(reason(&mut place), "");
    place.ok(&format!("Action=TerminateInstances&InstanceId.1={id}"));
    assert_eq!(reason(&mut place), "User initiated (2026-01-15 12:01:01 GMT)");
}
