"""Private hosted zones: Route 53 as boto3, the AWS CLI and Terraform use it (spec 9.6)."""

import json
import re
import shutil
from types import SimpleNamespace

import pytest

from conftest import absent
from test_cli import Cli
from test_terraform import AWS, STEP_S_MAX, Terraform, mirror
from world import AWAY, HOME, refused


def at(party, vpc):
    return {"VPCRegion": party.region, "VPCId": vpc}


def change(zones, zone, *changes):
    batch = [
        {
            "Action": action,
            "ResourceRecordSet": {
                "Name": name,
                "Type": kind,
                "TTL": 60,
                "ResourceRecords": [{"Value": value} for value in values],
            },
        }
        for action, name, kind, *values in changes
    ]
    return zones.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": batch})


@pytest.fixture
def owner(cloud, new_account):
    party = cloud.party(new_account(), HOME)
    return SimpleNamespace(party=party, zones=cloud.client(party.account, service="route53"))


def test_a_zone_from_its_creation_to_its_deletion(owner):
    zones, vpc = owner.zones, owner.party.vpc()
    made = zones.create_hosted_zone(
        Name="corp.example",
        VPC=at(owner.party, vpc),
        CallerReference="one",
        HostedZoneConfig={"Comment": "ours", "PrivateZone": True},
    )
    zone = made["HostedZone"]["Id"]
    assert zone.startswith("/hostedzone/Z") and made["Location"].endswith(zone)
    zones.get_waiter("resource_record_sets_changed").wait(Id=made["ChangeInfo"]["Id"])
    shown = zones.get_hosted_zone(Id=zone)
    assert shown["VPCs"] == [at(owner.party, vpc)]
    assert shown["HostedZone"]["Config"] == {"Comment": "ours", "PrivateZone": True}
    change(zones, zone, ("CREATE", "db.corp.example", "A", "10.0.0.5", "10.0.0.6"), ("CREATE", "*.corp.example", "TXT", '"any"'))
    listed = zones.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    assert [(one["Name"], one["Type"]) for one in listed] == [
        ("corp.example.", "NS"),
        ("corp.example.", "SOA"),
        ("\\052.corp.example.", "TXT"),
        ("db.corp.example.", "A"),
    ]
    assert [one["Value"] for one in listed[3]["ResourceRecords"]] == ["10.0.0.5", "10.0.0.6"]
    pages = zones.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone, PaginationConfig={"PageSize": 1})
    assert [len(page["ResourceRecordSets"]) for page in pages] == [1, 1, 1, 1]
    assert [one["Name"] for one in zones.list_hosted_zones_by_name(DNSName="corp.example")["HostedZones"]] == ["corp.example."]
    by_vpc = zones.list_hosted_zones_by_vpc(VPCId=vpc, VPCRegion=HOME)["HostedZoneSummaries"]
    assert by_vpc == [
        {"HostedZoneId": zone.split("/")[-1], "Name": "corp.example.", "Owner": {"OwningAccount": owner.party.account}}
    ]
    assert zones.get_hosted_zone_count()["HostedZoneCount"] == 1
    assert zones.get_dnssec(HostedZoneId=zone)["Status"]["ServeSignature"] == "NOT_SIGNING"
    zones.change_tags_for_resource(
        ResourceType="hostedzone", ResourceId=zone.split("/")[-1], AddTags=[{"Key": "team", "Value": "net"}]
    )
    tags = zones.list_tags_for_resource(ResourceType="hostedzone", ResourceId=zone.split("/")[-1])["ResourceTagSet"]
    assert tags["Tags"] == [{"Key": "team", "Value": "net"}]
    assert zones.update_hosted_zone_comment(Id=zone, Comment="x")["HostedZone"]["Config"]["Comment"] == "x"
    with refused("HostedZoneNotEmpty"):
        zones.delete_hosted_zone(Id=zone)
    change(zones, zone, ("DELETE", "db.corp.example", "A", "10.0.0.6", "10.0.0.5"), ("DELETE", "*.corp.example", "TXT", '"any"'))
    zones.delete_hosted_zone(Id=zone)
    with refused("NoSuchHostedZone"):
        zones.get_hosted_zone(Id=zone)


def test_another_accounts_vpc_is_authorized_and_associated(cloud, owner, new_account):
    other = cloud.party(new_account(), AWAY)
    theirs = cloud.client(other.account, AWAY, "route53")
    own, foreign = owner.party.vpc(), other.vpc("10.1.0.0/16")
    made = owner.zones.create_hosted_zone(Name="corp.example", VPC=at(owner.party, own), CallerReference="one")
    zone = made["HostedZone"]["Id"]
    with refused("NoSuchHostedZone"):
        theirs.associate_vpc_with_hosted_zone(HostedZoneId=zone, VPC=at(other, foreign))
    owner.zones.create_vpc_association_authorization(HostedZoneId=zone, VPC=at(other, foreign))
    listed = owner.zones.list_vpc_association_authorizations(HostedZoneId=zone)
    assert listed["VPCs"] == [at(other, foreign)]
    with refused("NotAuthorizedException"):
        owner.zones.associate_vpc_with_hosted_zone(HostedZoneId=zone, VPC=at(other, foreign))
    theirs.associate_vpc_with_hosted_zone(HostedZoneId=zone, VPC=at(other, foreign))
    owner.zones.delete_vpc_association_authorization(HostedZoneId=zone, VPC=at(other, foreign))
    assert len(owner.zones.get_hosted_zone(Id=zone)["VPCs"]) == 2
    with refused("NoSuchHostedZone"):
        theirs.get_hosted_zone(Id=zone)
    theirs.disassociate_vpc_from_hosted_zone(HostedZoneId=zone, VPC=at(other, foreign))
    with refused("LastVPCAssociation"):
        owner.zones.disassociate_vpc_from_hosted_zone(HostedZoneId=zone, VPC=at(owner.party, own))


def test_what_is_refused_reads_as_on_aws(owner):
    zones, vpc = owner.zones, owner.party.vpc()
    with refused("InvalidInput"):
        zones.create_hosted_zone(Name="public.example", CallerReference="x")
    made = zones.create_hosted_zone(Name="corp.example", VPC=at(owner.party, vpc), CallerReference="one")
    zone = made["HostedZone"]["Id"]
    with refused("HostedZoneAlreadyExists"):
        zones.create_hosted_zone(Name="b.example", VPC=at(owner.party, vpc), CallerReference="one")
    with refused("ConflictingDomainExists"):
        zones.create_hosted_zone(Name="corp.example.", VPC=at(owner.party, vpc), CallerReference="two")
    with refused("InvalidChangeBatch", re.compile("but it already exists")):
        change(zones, zone, ("CREATE", "a.corp.example", "A", "10.0.0.5"), ("CREATE", "a.corp.example", "A", "10.0.0.6"))
    with refused("InvalidChangeBatch", re.compile("is not permitted in zone")):
        change(zones, zone, ("CREATE", "a.other.example", "A", "10.0.0.5"))
    assert len(zones.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]) == 2
    with refused("NoSuchChange"):
        zones.get_change(Id="C1")


def test_the_cli(endpoint, owner):
    cli = Cli(endpoint, owner.party.account, HOME)
    vpc = owner.party.vpc()
    zone = cli.text(
        f"route53 create-hosted-zone --name cli.example --caller-reference c --vpc VPCRegion={HOME},VPCId={vpc}",
        "--query", "HostedZone.Id",
    )
    batch = {
        "Changes": [
            {
                "Action": "UPSERT",
                "ResourceRecordSet": {
                    "Name": "a.cli.example", "Type": "SRV", "TTL": 5, "ResourceRecords": [{"Value": "1 2 80 b.cli.example"}]
                },
            }
        ]
    }
    changed = cli.text(
        f"route53 change-resource-record-sets --hosted-zone-id {zone}", "--change-batch", json.dumps(batch),
        "--query", "ChangeInfo.Id",
    )
    assert cli.text(f"route53 get-change --id {changed}", "--query", "ChangeInfo.Status") == "INSYNC"
    names = cli.text(f"route53 list-resource-record-sets --hosted-zone-id {zone}", "--query", "ResourceRecordSets[].Name")
    assert "a.cli.example." in names


@pytest.mark.big
@pytest.mark.timeout(4 * STEP_S_MAX)
def test_terraform(tmp_path, endpoint, cloud, new_account):
    program, found = shutil.which("terraform"), mirror()
    if program is None:
        absent("terraform", "no terraform in PATH")
    if found is None:
        absent("terraform", f"no folder tf-plugins with {AWS}; set TF_PLUGINS_DIR")
    # The proxy knows the Query protocol only; boto3 above holds Route 53's answers against the model.
    terraform = Terraform(program, found[0], tmp_path, SimpleNamespace(endpoint=endpoint))
    owner, guest = new_account(), new_account()
    zones = cloud.client(owner, service="route53")
    terraform.start("private-zone", owner=owner, guest=guest)

    def check(outputs):
        zone = outputs["zone"]["value"]
        assert len(zones.get_hosted_zone(Id=zone)["VPCs"]) == 2
        listed = zones.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
        assert {(one["Name"], one["Type"]) for one in listed} >= {
            ("db.corp.example.", "A"),
            ("\\052.apps.corp.example.", "CNAME"),
            ("corp.example.", "TXT"),
        }

    terraform.life(check)
    assert zones.list_hosted_zones()["HostedZones"] == []
