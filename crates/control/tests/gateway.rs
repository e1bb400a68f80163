//! Internet gateways through the API (spec 8.8).

mod common;
mod things;

use common::*;
use things::*;

#[test]
fn a_gateway_lives_attached_and_apart() {
    let mut cloud = Harness::new();
    let (a, b) = (vpc(&mut cloud, ALICE, "10.0.0.0/16"), vpc(&mut cloud, ALICE, "10.1.0.0/16"));
    let made = cloud.ok(ALICE, "Action=CreateInternetGateway&TagSpecification.1.ResourceType=internet-gateway&TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=g");
    let id = text(&made, "internetGatewayId");
    assert_eq!(
        (text(&made, "ownerId"), text(&made, "value"), texts(&made, "vpcId").len()),
        (ALICE.into(), "g".into(), 0)
    );
    let attach =
        |gateway: &str, vpc: &str| format!("Action=AttachInternetGateway&InternetGatewayId={gateway}&VpcId={vpc}");
    let detach = |vpc: &str| format!("Action=DetachInternetGateway&InternetGatewayId={id}&VpcId={vpc}");
    assert_eq!(cloud.code(ALICE, &detach(&a)), "Gateway.NotAttached");
    cloud.ok(ALICE, &attach(&id, &a));
    for vpc in [&a, &b] {
        assert_eq!(cloud.code(ALICE, &attach(&id, vpc)), "Resource.AlreadyAssociated");
    }
    let second = text(&cloud.ok(ALICE, "Action=CreateInternetGateway"), "internetGatewayId");
    assert_eq!(cloud.code(ALICE, &attach(&second, &a)), "InvalidParameterValue");
    let error = cloud.error(ALICE, &format!("Action=DeleteInternetGateway&InternetGatewayId={id}"));
    assert_eq!(
        (error.code.as_ref(), error.message),
        ("DependencyViolation", format!("The internetGateway '{id}' has dependencies and cannot be deleted."))
    );
    assert_eq!(cloud.code(ALICE, &detach(&b)), "Gateway.NotAttached");
    for (name, value) in [
        ("attachment.vpc-id", a.as_str()),
        ("attachment.state", "available"),
        ("internet-gateway-id", &id),
        ("tag:Name", "g"),
    ] {
        let shown =
            cloud.ok(ALICE, &format!("Action=DescribeInternetGateways&Filter.1.Name={name}&Filter.1.Value.1={value}"));
        assert_eq!(
            (texts(&shown, "internetGatewayId"), text(&shown, "state")),
            (vec![id.clone()], "available".into()),
            "{name}"
        );
    }
    cloud.ok(ALICE, &detach(&a));
    cloud.ok(ALICE, &format!("Action=DeleteInternetGateway&InternetGatewayId={id}"));
    assert_eq!(
        cloud.code(ALICE, &format!("Action=DescribeInternetGateways&InternetGatewayId.1={id}")),
        "InvalidInternetGatewayID.NotFound"
    );
}

#[test]
fn anothers_gateway_reads_as_unknown() {
    let mut cloud = Harness::new();
    let (a, b) = (vpc(&mut cloud, ALICE, "10.0.0.0/16"), vpc(&mut cloud, BOB, "10.1.0.0/16"));
    let id = text(&cloud.ok(ALICE, "Action=CreateInternetGateway"), "internetGatewayId");
    for query in [
        format!("AttachInternetGateway&VpcId={b}&InternetGatewayId="),
        format!("DetachInternetGateway&VpcId={b}&InternetGatewayId="),
        "DeleteInternetGateway&InternetGatewayId=".into(),
        "DescribeInternetGateways&InternetGatewayId.1=".into(),
    ] {
        assert_eq!(cloud.code(BOB, &format!("Action={query}{id}")), "InvalidInternetGatewayID.NotFound", "{query}");
        assert_eq!(cloud.code(BOB, &format!("Action={query}igw-x")), "InvalidInternetGatewayId.Malformed", "{query}");
    }
    let own = text(&cloud.ok(BOB, "Action=CreateInternetGateway"), "internetGatewayId");
    for action in ["Attach", "Detach"] {
        assert_eq!(
            cloud.code(BOB, &format!("Action={action}InternetGateway&InternetGatewayId={own}&VpcId={a}")),
            "InvalidVpcID.NotFound"
        );
    }
    for _ in 0..4 {
        cloud.ok(BOB, "Action=CreateInternetGateway");
    }
    assert_eq!(cloud.code(BOB, "Action=CreateInternetGateway"), "InternetGatewayLimitExceeded");
    assert_eq!(
        cloud.code(
            BOB,
            "Action=CreateInternetGateway&TagSpecification.1.ResourceType=vpc&TagSpecification.1.Tag.1.Key=a"
        ),
        "InvalidParameterValue"
    );
}
