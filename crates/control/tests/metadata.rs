//! How instances' metadata answers, through the API (EC2's InstanceMetadataOptions).

mod common;
mod things;

use common::*;
use things::*;

fn cloud() -> (Harness, String) {
    let mut cloud = Harness::new();
    let vpc = vpc(&mut cloud, ALICE, "10.0.0.0/16");
    let subnet = subnet(&mut cloud, ALICE, &vpc, "10.0.1.0/24");
    (cloud, subnet)
}

fn launch(subnet: &str, more: &str) -> String {
    format!("Action=RunInstances&ImageId=ami-0123456789abcdef0&MinCount=1&MaxCount=1&SubnetId={subnet}{more}")
}

fn options(document: &str) -> [String; 5] {
    ["httpTokens", "httpPutResponseHopLimit", "httpEndpoint", "httpProtocolIpv6", "instanceMetadataTags"]
        .map(|name| text(document, name))
}

#[test]
fn options_are_chosen_at_launch_and_later() {
    let (mut cloud, subnet) = cloud();
    let plain = cloud.ok(ALICE, &launch(&subnet, ""));
    assert_eq!(options(&plain), ["optional", "1", "enabled", "disabled", "disabled"]);
    let made = cloud.ok(ALICE, &launch(&subnet, "&MetadataOptions.HttpTokens=required&MetadataOptions.HttpPutResponseHopLimit=2&MetadataOptions.HttpProtocolIpv6=enabled"));
    assert_eq!(options(&made), ["required", "2", "enabled", "enabled", "disabled"]);
    let id = text(&made, "instanceId");
    let modify = |more: &str| format!("Action=ModifyInstanceMetadataOptions&InstanceId={id}{more}");
    let modified = cloud.ok(ALICE, &modify("&HttpEndpoint=disabled&InstanceMetadataTags=enabled"));
    assert_eq!((text(&modified, "state"), text(&modified, "instanceId")), ("pending".into(), id.clone()));
    assert_eq!(options(&modified), ["required", "2", "disabled", "enabled", "enabled"], "the rest stays");
    let shown = cloud.ok(ALICE, &format!("Action=DescribeInstances&InstanceId.1={id}"));
    assert_eq!(options(&shown), ["required", "2", "disabled", "enabled", "enabled"]);
    for (name, value) in
        [("http-tokens", "required"), ("http-put-response-hop-limit", "2"), ("http-endpoint", "disabled")]
    {
        let query = format!("Action=DescribeInstances&Filter.1.Name=metadata-options.{name}&Filter.1.Value.1={value}");
        assert_eq!(texts(&cloud.ok(ALICE, &query), "instanceId"), [id.as_str()], "{name}");
    }
    for more in [
        "&HttpTokens=never",
        "&HttpPutResponseHopLimit=0",
        "&HttpPutResponseHopLimit=65",
        "&HttpEndpoint=on",
        "&InstanceMetadataTags=yes",
        "&HttpProtocolIpv6=",
    ] {
        assert_eq!(cloud.code(ALICE, &modify(more)), "InvalidParameterValue", "{more}");
        let at_launch = more.replace('&', "&MetadataOptions.");
        assert_eq!(cloud.code(ALICE, &launch(&subnet, &at_launch)), "InvalidParameterValue", "{more}");
    }
    assert_eq!(cloud.code(BOB, &modify("&HttpTokens=optional")), "InvalidInstanceID.NotFound");
    cloud.ok(ALICE, &format!("Action=TerminateInstances&InstanceId.1={id}"));
    assert_eq!(cloud.code(ALICE, &modify("&HttpTokens=optional")), "IncorrectInstanceState");
}

#[test]
fn tags_that_are_told_are_parts_of_paths() {
    let (mut cloud, subnet) = cloud();
    let tagged = |key: &str| {
        format!(
            "&TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key={key}&TagSpecification.1.Tag.1.Value=v"
        )
    };
    let told = "&MetadataOptions.InstanceMetadataTags=enabled";
    assert_eq!(cloud.code(ALICE, &launch(&subnet, &format!("{told}{}", tagged("a/b")))), "InvalidParameterValue");
    let silent = text(&cloud.ok(ALICE, &launch(&subnet, &tagged("a/b"))), "instanceId");
    let enable = format!("Action=ModifyInstanceMetadataOptions&InstanceId={silent}&InstanceMetadataTags=enabled");
    assert_eq!(cloud.code(ALICE, &enable), "InvalidParameterValue");
    let telling = text(&cloud.ok(ALICE, &launch(&subnet, &format!("{told}{}", tagged("a.b:c")))), "instanceId");
    let tag = |id: &str, key: &str| format!("Action=CreateTags&ResourceId.1={id}&Tag.1.Key={key}&Tag.1.Value=v");
    for key in ["a%20b", "..", "_index", "%C3%A9"] {
        assert_eq!(cloud.code(ALICE, &tag(&telling, key)), "InvalidParameterValue", "{key}");
        cloud.ok(ALICE, &tag(&silent, key));
    }
    cloud.ok(ALICE, &tag(&telling, "team"));
}
