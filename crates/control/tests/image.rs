//! Images and instance types through the API: labels that clients look up (spec 8.6).

mod common;

use common::*;

fn names(cloud: &mut Harness, query: &str) -> Vec<String> {
    texts(&cloud.ok(ALICE, &format!("Action=DescribeImages&{query}")), "name")
}

#[test]
fn the_searches_that_people_write_find_an_image() {
    let mut cloud = Harness::new();
    let al2023 = "Owner.1=amazon&Filter.1.Name=name&Filter.1.Value.1=al2023-ami-2023*-x86_64\
                  &Filter.2.Name=virtualization-type&Filter.2.Value.1=hvm";
    let found = names(&mut cloud, al2023);
    assert!(found.len() >= 2 && found.iter().all(|name| name.ends_with("-x86_64")), "{found:?}");
    let ubuntu = "Owner.1=099720109477&Filter.1.Name=name\
                  &Filter.1.Value.1=ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-*";
    let shown = cloud.ok(ALICE, &format!("Action=DescribeImages&{ubuntu}"));
    assert_eq!(texts(&shown, "imageOwnerId"), ["099720109477"; 2]);
    let dates = texts(&shown, "creationDate");
    assert_ne!(dates[0], dates[1], "the most recent one can be told");
    assert_eq!(texts(&shown, "rootDeviceType"), ["ebs"; 2]);
    let again = cloud.ok(BOB, &format!("Action=DescribeImages&{ubuntu}"));
    assert_eq!(texts(&again, "imageId"), texts(&shown, "imageId"), "a name has one id");
}

#[test]
fn what_no_image_has_is_made_up() {
    let mut cloud = Harness::new();
    let query = "Owner.1=123456789012&Filter.1.Name=name&Filter.1.Value.1=golden-*-v?\
                 &Filter.2.Name=architecture&Filter.2.Value.1=arm64";
    let shown = cloud.ok(ALICE, &format!("Action=DescribeImages&{query}"));
    assert_eq!(texts(&shown, "name"), ["golden-20260105-v0"]);
    assert_eq!((text(&shown, "architecture"), text(&shown, "imageOwnerId")), ("arm64".into(), "123456789012".into()));
    // But not as one of the caller's own, nor against a filter that it cannot meet.
    for query in [
        "Owner.1=self&Filter.1.Name=name&Filter.1.Value.1=golden-*",
        "Owner.1=111111111111&Filter.1.Name=name&Filter.1.Value.1=golden-*",
        "Filter.1.Name=name&Filter.1.Value.1=golden-*&Filter.2.Name=state&Filter.2.Value.1=failed",
        "Filter.1.Name=name&Filter.1.Value.1=golden-*&Filter.2.Name=tag:team&Filter.2.Value.1=x",
    ] {
        assert!(names(&mut cloud, query).is_empty(), "{query}");
    }
    assert_eq!(cloud.code(ALICE, "Action=DescribeImages&Filter.1.Name=x&Filter.1.Value.1=y"), "InvalidParameterValue");
}

#[test]
fn any_id_is_an_image() {
    let mut cloud = Harness::new();
    let shown = cloud.ok(ALICE, "Action=DescribeImages&ImageId.1=ami-0123456789abcdef0&ImageId.2=ami-0a1b2c3d");
    assert_eq!(texts(&shown, "imageId").len(), 2);
    assert_eq!(texts(&shown, "imageState"), ["available"; 2]);
    let attribute = "Action=DescribeImageAttribute&ImageId=ami-0123456789abcdef0&Attribute";
    assert_eq!(text(&cloud.ok(ALICE, &format!("{attribute}=launchPermission")), "group"), "all");
    assert_eq!(text(&cloud.ok(ALICE, &format!("{attribute}=blockDeviceMapping")), "volumeType"), "gp3");
    assert_eq!(cloud.code(ALICE, &format!("{attribute}=colour")), "InvalidParameterValue");
    assert_eq!(cloud.code(ALICE, "Action=DescribeImages&ImageId.1=ami-x"), "InvalidAMIID.Malformed");
}

#[test]
fn registered_images_are_their_owners() {
    let mut cloud = Harness::new();
    let query = "Action=RegisterImage&Name=golden&Architecture=arm64&RootDeviceName=/dev/sda1&Description=d";
    let id = text(&cloud.ok(ALICE, query), "imageId");
    assert_eq!(cloud.code(ALICE, query), "InvalidAMIName.Duplicate");
    for (wrong, code) in [
        ("Name=x", "InvalidAMIName.Malformed"),
        ("Name=x%23y%23z", "InvalidAMIName.Malformed"),
        ("Name=other&Architecture=vax", "InvalidParameterValue"),
        ("Name=other&BootMode=tape", "InvalidParameterValue"),
    ] {
        assert_eq!(cloud.code(ALICE, &format!("Action=RegisterImage&{wrong}")), code, "{wrong}");
    }
    let shown = cloud.ok(ALICE, "Action=DescribeImages&Owner.1=self");
    assert_eq!((texts(&shown, "imageId"), text(&shown, "architecture")), (vec![id.clone()], "arm64".into()));
    assert_eq!((text(&shown, "isPublic"), text(&shown, "deviceName")), ("false".into(), "/dev/sda1".into()));
    assert!(names(&mut cloud, "Owner.1=self&ExecutableBy.1=all").is_empty());
    cloud.ok(ALICE, &format!("Action=CreateTags&ResourceId.1={id}&Tag.1.Key=team&Tag.1.Value=x"));
    assert_eq!(names(&mut cloud, "Filter.1.Name=tag:team&Filter.1.Value.1=x"), ["golden"]);
    assert!(texts(&cloud.ok(BOB, "Action=DescribeImages&Owner.1=self"), "imageId").is_empty());
    for (account, id) in [(BOB, id.as_str()), (ALICE, "ami-0123456789abcdef0")] {
        let error = cloud.error(account, &format!("Action=DeregisterImage&ImageId={id}"));
        let message = format!("The image id '[{id}]' does not exist");
        assert_eq!((&*error.code, error.message, error.status), ("InvalidAMIID.NotFound", message, 400));
    }
    let public = text(&cloud.ok(ALICE, "Action=DescribeImages&Owner.1=amazon"), "imageId");
    assert_eq!(cloud.code(ALICE, &format!("Action=DeregisterImage&ImageId={public}")), "AuthFailure");
    cloud.ok(ALICE, &format!("Action=DeregisterImage&ImageId={id}"));
    assert_eq!(cloud.world.images.size(), 0);
}

#[test]
fn pages_of_images() {
    let mut cloud = Harness::new();
    let all = names(&mut cloud, "").len();
    let (mut seen, mut token) = (0, String::new());
    loop {
        let page = cloud.ok(ALICE, &format!("Action=DescribeImages&MaxResults=10{token}"));
        seen += texts(&page, "imageId").len();
        match texts(&page, "nextToken").first() {
            Some(next) => token = format!("&NextToken={next}"),
            None => break,
        }
    }
    assert_eq!(seen, all);
}

#[test]
fn instance_types_and_where_they_are_offered() {
    let mut cloud = Harness::new();
    let one = cloud.ok(ALICE, "Action=DescribeInstanceTypes&InstanceType.1=t4g.micro");
    assert_eq!((text(&one, "instanceType"), text(&one, "defaultVCpus")), ("t4g.micro".into(), "2".into()));
    let arm = "Filter.1.Name=processor-info.supported-architecture&Filter.1.Value.1=arm64";
    let found = texts(&cloud.ok(ALICE, &format!("Action=DescribeInstanceTypes&{arm}")), "instanceType");
    assert!(found.len() > 5 && found.iter().all(|name| name.split('.').next().unwrap().ends_with('g')), "{found:?}");
    assert_eq!(cloud.code(ALICE, "Action=DescribeInstanceTypes&InstanceType.1=z9.huge"), "InvalidInstanceType");
    let by = |cloud: &mut Harness, query: &str| {
        texts(&cloud.ok(ALICE, &format!("Action=DescribeInstanceTypeOfferings&{query}")), "location")
    };
    let micro = "Filter.1.Name=instance-type&Filter.1.Value.1=t3.micro";
    assert_eq!(by(&mut cloud, micro), ["us-east-1"]);
    assert_eq!(by(&mut cloud, &format!("LocationType=availability-zone&{micro}")).len(), 3);
    assert_eq!(by(&mut cloud, &format!("LocationType=availability-zone-id&{micro}"))[0], "use1-az1");
    assert_eq!(cloud.code(ALICE, "Action=DescribeInstanceTypeOfferings&LocationType=moon"), "InvalidParameterValue");
    assert!(texts(&cloud.ok(ALICE, "Action=DescribeVolumes&MaxResults=5"), "volumeId").is_empty());
    assert_eq!(cloud.code(ALICE, "Action=DescribeVolumes&VolumeId.1=vol-0123456789abcdef0"), "InvalidVolume.NotFound");
}
