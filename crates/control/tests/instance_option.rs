//! What clients set at instances and read back (spec 8.6).

mod common;

use common::*;

const LAUNCH: &str = "Action=RunInstances&ImageId=ami-0123456789abcdef0&MinCount=1&MaxCount=1&InstanceType=t3.micro";

fn launched(more: &str) -> (Harness, String) {
    let mut cloud = Harness::new();
    cloud.ok(ALICE, "Action=CreateDefaultVpc");
    let id = text(&cloud.ok(ALICE, &format!("{LAUNCH}{more}")), "instanceId");
    (cloud, id)
}

#[test]
fn a_launch_says_it_all() {
    let more = "&Monitoring.Enabled=true&CreditSpecification.CpuCredits=standard&MaintenanceOptions.AutoRecovery=disabled\
                &EbsOptimized=true&BlockDeviceMapping.1.DeviceName=/dev/xvda&BlockDeviceMapping.1.Ebs.VolumeSize=20";
    let (mut cloud, _) = launched(more);
    let shown = cloud.ok(ALICE, "Action=DescribeInstances");
    assert!(shown.contains("<monitoring><state>enabled</state></monitoring>"));
    assert_eq!((text(&shown, "autoRecovery"), text(&shown, "ebsOptimized")), ("disabled".into(), "true".into()));
    let credits = cloud.ok(ALICE, "Action=DescribeInstanceCreditSpecifications");
    assert_eq!(text(&credits, "cpuCredits"), "standard");
    for wrong in
        ["CreditSpecification.CpuCredits=some", "MaintenanceOptions.AutoRecovery=some", "Monitoring.Enabled=some"]
    {
        assert_eq!(cloud.code(ALICE, &format!("{LAUNCH}&{wrong}")), "InvalidParameterValue", "{wrong}");
    }
}

#[test]
fn monitoring_is_turned_on_and_off() {
    let (mut cloud, id) = launched("");
    let state = |cloud: &mut Harness| {
        let query = "Action=DescribeInstances&Filter.1.Name=monitoring-state&Filter.1.Value.1=enabled";
        !texts(&cloud.ok(ALICE, query), "instanceId").is_empty()
    };
    assert!(!state(&mut cloud));
    assert_eq!(text(&cloud.ok(ALICE, &format!("Action=MonitorInstances&InstanceId.1={id}")), "state"), "pending");
    assert!(state(&mut cloud));
    assert_eq!(text(&cloud.ok(ALICE, &format!("Action=UnmonitorInstances&InstanceId.1={id}")), "state"), "disabling");
    assert!(!state(&mut cloud));
    assert_eq!(cloud.code(BOB, &format!("Action=MonitorInstances&InstanceId.1={id}")), "InvalidInstanceID.NotFound");
    assert_eq!(cloud.code(ALICE, "Action=MonitorInstances"), "MissingParameter");
}

#[test]
fn credits_are_for_those_that_have_them() {
    let (mut cloud, burstable) = launched("");
    let large = LAUNCH.replace("t3.micro", "m5.large");
    let steady = text(&cloud.ok(ALICE, &large), "instanceId");
    let credits = cloud.ok(ALICE, &format!("Action=DescribeInstanceCreditSpecifications&InstanceId.1={burstable}"));
    assert_eq!(text(&credits, "cpuCredits"), "unlimited");
    let query = format!(
        "Action=ModifyInstanceCreditSpecification&InstanceCreditSpecification.1.InstanceId={burstable}\
         &InstanceCreditSpecification.1.CpuCredits=standard&InstanceCreditSpecification.2.InstanceId={steady}\
         &InstanceCreditSpecification.2.CpuCredits=unlimited"
    );
    let changed = cloud.ok(ALICE, &query);
    assert_eq!(texts(&changed, "instanceId"), [burstable.clone(), steady]);
    assert_eq!(text(&changed, "code"), "InstanceCreditSpecification.NotSupported");
    let credits = cloud.ok(ALICE, &format!("Action=DescribeInstanceCreditSpecifications&InstanceId.1={burstable}"));
    assert_eq!(text(&credits, "cpuCredits"), "standard");
    let query = "Action=ModifyInstanceCreditSpecification&InstanceCreditSpecification.1.InstanceId=i-0123456789abcdef0";
    assert_eq!(text(&cloud.ok(ALICE, query), "code"), "InvalidInstanceID.NotFound");
}

#[test]
fn maintenance_options() {
    let (mut cloud, id) = launched("");
    let query = format!("Action=ModifyInstanceMaintenanceOptions&InstanceId={id}");
    assert_eq!(cloud.code(ALICE, &query), "MissingParameter");
    assert_eq!(cloud.code(ALICE, &format!("{query}&AutoRecovery=never")), "InvalidParameterValue");
    cloud.ok(ALICE, &format!("{query}&AutoRecovery=disabled"));
    cloud.ok(ALICE, &format!("{query}&RebootMigration=disabled"));
    let shown = cloud.ok(ALICE, "Action=DescribeInstances");
    assert_eq!((text(&shown, "autoRecovery"), text(&shown, "rebootMigration")), ("disabled".into(), "disabled".into()));
}

#[test]
fn every_attribute_reads_back() {
    let (mut cloud, id) = launched("");
    let set = format!("Action=ModifyInstanceAttribute&InstanceId={id}");
    for needs_stopped in ["EbsOptimized.Value=true", "EnaSupport.Value=false", "SriovNetSupport.Value=simple"] {
        assert_eq!(cloud.code(ALICE, &format!("{set}&{needs_stopped}")), "IncorrectInstanceState");
    }
    cloud.ok(ALICE, &format!("Action=StopInstances&InstanceId.1={id}"));
    for (change, attribute, expected) in [
        ("EbsOptimized.Value=true", "ebsOptimized", "true"),
        ("EnaSupport.Value=false", "enaSupport", "false"),
        ("SriovNetSupport.Value=simple", "sriovNetSupport", "simple"),
        ("InstanceType.Value=t3.small", "instanceType", "t3.small"),
        ("Attribute=disableApiTermination&Value=true", "disableApiTermination", "true"),
        ("Attribute=sourceDestCheck&Value=false", "sourceDestCheck", "false"),
        ("Attribute=userData&Value=aGVsbG8%3D", "userData", "aGVsbG8="),
        (
            "Attribute=instanceInitiatedShutdownBehavior&Value=terminate",
            "instanceInitiatedShutdownBehavior",
            "terminate",
        ),
    ] {
        cloud.ok(ALICE, &format!("{set}&{change}"));
        let shown = cloud.ok(ALICE, &format!("Action=DescribeInstanceAttribute&InstanceId={id}&Attribute={attribute}"));
        assert_eq!(text(&shown, "value"), expected, "{change}");
    }
    for (wrong, code) in [
        ("Attribute=colour&Value=red", "InvalidParameterValue"),
        ("Attribute=instanceType", "MissingParameter"),
        ("Attribute=ebsOptimized&Value=perhaps", "InvalidParameterValue"),
        ("SriovNetSupport.Value=double", "InvalidParameterValue"),
        ("Kernel.Value=aki-1", "InvalidParameterCombination"),
        ("EbsOptimized.Value=true&EnaSupport.Value=true", "InvalidParameterCombination"),
        ("", "InvalidParameterCombination"),
    ] {
        assert_eq!(cloud.code(ALICE, &format!("{set}&{wrong}")), code, "{wrong}");
    }
    for (attribute, element) in [("enclaveOptions", "enabled"), ("blockDeviceMapping", "blockDeviceMapping")] {
        let shown = cloud.ok(ALICE, &format!("Action=DescribeInstanceAttribute&InstanceId={id}&Attribute={attribute}"));
        assert_eq!(texts(&shown, element).len(), 1);
    }
}

#[test]
fn a_changed_attribute_is_held_to_the_rules_of_the_launch() {
    let (mut cloud, id) = launched("");
    cloud.ok(ALICE, &format!("Action=StopInstances&InstanceId.1={id}"));
    let set = format!("Action=ModifyInstanceAttribute&InstanceId={id}");
    let rule = "A type's name is 1 to 64 letters, digits, dots and hyphens; use one that DescribeInstanceTypes lists, as t3.micro";
    for (name, shown) in [("", "".into()), ("t3%20micro", "t3 micro".into()), (&"x".repeat(65), "x".repeat(64))] {
        let launch = format!("{}&InstanceType={name}", LAUNCH.replace("&InstanceType=t3.micro", ""));
        for query in
            [launch, format!("{set}&InstanceType.Value={name}"), format!("{set}&Attribute=instanceType&Value={name}")]
        {
            let error = cloud.error(ALICE, &query);
            let message = format!("Invalid value '{shown}' for InstanceType. {rule}");
            assert_eq!((&*error.code, error.message), ("InvalidParameterValue", message), "{query}");
        }
    }
    cloud.ok(ALICE, &format!("{set}&InstanceType.Value={}", "x".repeat(64)));
    // 16,384 bytes in base 64, and one more.
    let (most, more) = (format!("{}QQ%3D%3D", "A".repeat(21_844)), format!("{}QUE%3D", "A".repeat(21_844)));
    cloud.ok(ALICE, &format!("{set}&UserData.Value={most}"));
    for query in [format!("{LAUNCH}&UserData={more}"), format!("{set}&UserData.Value={more}")] {
        let error = cloud.error(ALICE, &query);
        let expected = ("InvalidParameterValue", "User data is limited to 16384 bytes; it has 16385");
        assert_eq!((&*error.code, &*error.message), expected);
    }
}

#[test]
fn a_console_is_its_owners() {
    let (mut cloud, id) = launched("");
    let query = format!("Action=GetConsoleOutput&InstanceId={id}");
    assert_eq!(text(&cloud.ok(ALICE, &query), "instanceId"), id);
    assert_eq!(cloud.code(BOB, &query), "InvalidInstanceID.NotFound");
}
