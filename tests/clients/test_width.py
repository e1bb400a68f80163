"""What clients look up and set beside the network: the default VPC, images, keys, options, and services beside EC2."""

import base64
import re

import boto3
import pytest
from botocore.config import Config

from conftest import own_server
from world import HOME, Cloud, eventually, filtered, refused

FAST = {"Delay": 0.1, "MaxAttempts": 100}
AL2023 = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"


@pytest.fixture
def with_defaults(checker):
    """A cloud whose accounts have default VPCs, as `peerway up` gives them."""
    with own_server(default_vpc=True) as server:
        yield Cloud(server.endpoint, checker)


def beside(cloud, service, account, region=HOME):
    """A client of another service on the same port."""
    return boto3.client(
        service,
        region_name=region,
        endpoint_url=cloud.endpoint,
        aws_access_key_id=account,
        aws_secret_access_key="any-secret",
        config=Config(retries={"total_max_attempts": 1}),
    )


# The default VPC.


def test_a_first_read_finds_a_default_vpc(with_defaults, new_account):
    a = with_defaults.party(new_account(), HOME)
    (vpc,) = a.ec2.describe_vpcs(Filters=filtered(is_default="true"))["Vpcs"]
    assert (vpc["CidrBlock"], vpc["IsDefault"]) == ("172.31.0.0/16", True)
    subnets = a.ec2.describe_subnets(Filters=filtered(vpc_id=vpc["VpcId"], default_for_az="true"))["Subnets"]
    assert sorted(s["AvailabilityZone"][-1] for s in subnets) == ["a", "b", "c"]
    assert all(s["MapPublicIpOnLaunch"] for s in subnets)
    (gateway,) = a.ec2.describe_internet_gateways()["InternetGateways"]
    assert a.routes(a.main_table(vpc["VpcId"]))["0.0.0.0/0"]["GatewayId"] == gateway["InternetGatewayId"]
    assert a.ec2.describe_vpcs()["Vpcs"] == [vpc], "one, and it stays"
    elsewhere = a.elsewhere().ec2.describe_vpcs()["Vpcs"]
    assert [v["IsDefault"] for v in elsewhere] == [True] and elsewhere[0]["VpcId"] != vpc["VpcId"]
    with refused("DefaultVpcAlreadyExists"):
        a.ec2.create_default_vpc()


def test_a_launch_without_a_subnet(with_defaults, new_account):
    a = with_defaults.party(new_account(), HOME)
    image = beside(with_defaults, "ssm", a.account).get_parameter(Name=AL2023)["Parameter"]["Value"]
    (made,) = a.ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"]
    a.ec2.get_waiter("instance_running").wait(InstanceIds=[made["InstanceId"]], WaiterConfig=FAST)
    assert made["PrivateIpAddress"].startswith("172.31.")


def test_without_default_vpcs_they_can_be_made(a):
    with refused("VPCIdNotSpecified"):
        a.ec2.run_instances(ImageId="ami-0123456789abcdef0", MinCount=1, MaxCount=1)
    with refused("DefaultVpcDoesNotExist"):
        a.ec2.create_default_subnet(AvailabilityZone=f"{HOME}a")
    made = a.ec2.create_default_vpc()["Vpc"]
    assert made["IsDefault"]
    with refused("DefaultSubnetAlreadyExistsInAvailabilityZone"):
        a.ec2.create_default_subnet(AvailabilityZone=f"{HOME}a")


# Images and types.


def test_images_by_search_parameter_and_id(a, cloud):
    name = "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-*"
    images = a.ec2.describe_images(Owners=["099720109477"], Filters=filtered(name=name))["Images"]
    newest = max(images, key=lambda image: image["CreationDate"])
    assert (newest["Architecture"], newest["State"], newest["RootDeviceType"]) == ("x86_64", "available", "ebs")
    path = "/aws/service/canonical/ubuntu/server/22.04/stable/current/amd64/hvm/ebs-gp2/ami-id"
    ssm = beside(cloud, "ssm", a.account)
    assert ssm.get_parameter(Name=path)["Parameter"]["Value"] == newest["ImageId"]
    both = ssm.get_parameters(Names=[AL2023, "/mine"])
    assert ([p["Name"] for p in both["Parameters"]], both["InvalidParameters"]) == ([AL2023], ["/mine"])
    with pytest.raises(ssm.exceptions.ParameterNotFound):
        ssm.get_parameter(Name="/mine")
    (made_up,) = a.ec2.describe_images(Owners=["123456789012"], Filters=filtered(name="golden-*"))["Images"]
    assert made_up["OwnerId"] == "123456789012" and made_up["Name"].startswith("golden-")
    shown = a.ec2.describe_image_attribute(ImageId=newest["ImageId"], Attribute="launchPermission")
    assert shown["LaunchPermissions"] == [{"Group": "all"}]
    pages = a.ec2.get_paginator("describe_images").paginate(PaginationConfig={"PageSize": 10})
    assert len([image for page in pages for image in page["Images"]]) > 30


def test_an_image_of_ones_own(a, b):
    specification = [{"ResourceType": "image", "Tags": [{"Key": "team", "Value": "x"}]}]
    made = a.ec2.register_image(
        Name="golden", Architecture="arm64", RootDeviceName="/dev/xvda", TagSpecifications=specification
    )["ImageId"]
    a.ec2.get_waiter("image_available").wait(ImageIds=[made], WaiterConfig=FAST)
    (own,) = a.ec2.describe_images(Owners=["self"])["Images"]
    assert (own["ImageId"], own["Public"], own["Tags"]) == (made, False, specification[0]["Tags"])
    with refused("InvalidAMIID.NotFound"):
        b.ec2.deregister_image(ImageId=made)
    a.ec2.deregister_image(ImageId=made)
    assert a.ec2.describe_images(Owners=["self"])["Images"] == []


def test_instance_types(a):
    pages = a.ec2.get_paginator("describe_instance_types").paginate(PaginationConfig={"PageSize": 10})
    types = {t["InstanceType"]: t for page in pages for t in page["InstanceTypes"]}
    assert len(types) > 40 and types["t4g.micro"]["ProcessorInfo"]["SupportedArchitectures"] == ["arm64"]
    offered = a.ec2.describe_instance_type_offerings(
        LocationType="availability-zone", Filters=filtered(instance_type="t3.micro")
    )["InstanceTypeOfferings"]
    assert [o["Location"] for o in offered] == [f"{HOME}{letter}" for letter in "abc"]


# Key pairs.


@pytest.mark.parametrize("kind, head", [("rsa", "BEGIN RSA PRIVATE KEY"), ("ed25519", "BEGIN OPENSSH PRIVATE KEY")])
def test_a_key_pair_made_here_is_read_by_ssh(a, tmp_path, kind, head):
    import shutil
    import subprocess

    made = a.ec2.create_key_pair(KeyName="ops", KeyType=kind)
    assert head in made["KeyMaterial"]
    a.ec2.get_waiter("key_pair_exists").wait(KeyNames=["ops"], WaiterConfig=FAST)
    (shown,) = a.ec2.describe_key_pairs(KeyNames=["ops"], IncludePublicKey=True)["KeyPairs"]
    assert (shown["KeyType"], shown["KeyFingerprint"]) == (kind, made["KeyFingerprint"])
    if keygen := shutil.which("ssh-keygen"):
        file = tmp_path / "key"
        file.write_text(made["KeyMaterial"])
        file.chmod(0o600)
        read = subprocess.run([keygen, "-y", "-f", file], capture_output=True, text=True, check=True).stdout.split()
        assert read[:2] == shown["PublicKey"].split()[:2]
    with refused("InvalidKeyPair.Duplicate"):
        a.ec2.create_key_pair(KeyName="ops")
    a.ec2.delete_key_pair(KeyName="ops")
    with refused("InvalidKeyPair.NotFound", "The key pair 'ops' does not exist"):
        a.ec2.describe_key_pairs(KeyNames=["ops"])


def test_a_launch_needs_the_key_that_it_names(a):
    subnet = a.subnet(a.vpc("10.0.0.0/16"), "10.0.1.0/24")
    launch = {"ImageId": "ami-0123456789abcdef0", "MinCount": 1, "MaxCount": 1, "SubnetId": subnet, "KeyName": "mine"}
    with refused("InvalidKeyPair.NotFound"):
        a.ec2.run_instances(**launch)
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0 " + bytes(32)
    line = b"ssh-ed25519 " + base64.b64encode(blob) + b" me"
    imported = a.ec2.import_key_pair(KeyName="mine", PublicKeyMaterial=line)
    assert re.fullmatch(r"key-[0-9a-f]{17}", imported["KeyPairId"])
    assert a.ec2.run_instances(**launch)["Instances"][0]["KeyName"] == "mine"
    with refused("InvalidKey.Format"):
        a.ec2.import_key_pair(KeyName="other", PublicKeyMaterial=b"hello")


# Options.


def test_options_of_instances(a):
    subnet = a.subnet(a.vpc("10.0.0.0/16"), "10.0.1.0/24")
    (made,) = a.ec2.run_instances(
        ImageId="ami-0123456789abcdef0",
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
        SubnetId=subnet,
        Monitoring={"Enabled": True},
        CreditSpecification={"CpuCredits": "standard"},
        MaintenanceOptions={"AutoRecovery": "disabled"},
    )["Instances"]
    one = {"InstanceId": made["InstanceId"]}
    assert made["Monitoring"]["State"] == "enabled"
    assert a.ec2.unmonitor_instances(InstanceIds=[made["InstanceId"]])["InstanceMonitorings"]
    a.ec2.modify_instance_maintenance_options(**one, AutoRecovery="default")
    changed = a.ec2.modify_instance_credit_specification(
        InstanceCreditSpecifications=[{**one, "CpuCredits": "unlimited"}]
    )
    assert changed["SuccessfulInstanceCreditSpecifications"] == [one]
    (credits,) = a.ec2.describe_instance_credit_specifications()["InstanceCreditSpecifications"]
    assert credits["CpuCredits"] == "unlimited"
    for attribute in ["blockDeviceMapping", "ebsOptimized", "enaSupport", "enclaveOptions", "productCodes", "userData"]:
        a.ec2.describe_instance_attribute(**one, Attribute=attribute)
    assert "Output" not in a.ec2.get_console_output(**one, Latest=True), "a record says nothing"


def test_reservations_groups_in_two_vpcs_and_gateways(a):
    home, other = a.vpc("10.0.0.0/16"), a.vpc("10.1.0.0/16")
    subnet = a.subnet(home, "10.0.1.0/24")
    made = a.ec2.create_subnet_cidr_reservation(SubnetId=subnet, Cidr="10.0.1.64/28", ReservationType="explicit")
    reservation = made["SubnetCidrReservation"]
    shown = a.ec2.get_subnet_cidr_reservations(SubnetId=subnet)
    assert shown["SubnetIpv4CidrReservations"] == [reservation] and shown["SubnetIpv6CidrReservations"] == []
    a.ec2.delete_subnet_cidr_reservation(SubnetCidrReservationId=reservation["SubnetCidrReservationId"])
    group = a.group(home, "web")
    assert a.ec2.associate_security_group_vpc(GroupId=group, VpcId=other)["State"] == "associating"
    pages = a.ec2.get_paginator("describe_security_group_vpc_associations").paginate(Filters=filtered(group_id=group))
    (one,) = [x for page in pages for x in page["SecurityGroupVpcAssociations"]]
    assert (one["VpcId"], one["State"]) == (other, "associated")
    usable = a.ec2.get_security_groups_for_vpc(VpcId=other)["SecurityGroupForVpcs"]
    assert group in {g["GroupId"] for g in usable}
    with refused("DependencyViolation"):
        a.ec2.delete_security_group(GroupId=group)
    a.ec2.disassociate_security_group_vpc(GroupId=group, VpcId=other)
    gateway = a.ec2.create_vpn_gateway(Type="ipsec.1", AmazonSideAsn=65000)["VpnGateway"]["VpnGatewayId"]
    attached = a.ec2.attach_vpn_gateway(VpnGatewayId=gateway, VpcId=home)
    assert attached["VpcAttachment"] == {"State": "attached", "VpcId": home}
    table = a.table(home)
    a.ec2.enable_vgw_route_propagation(GatewayId=gateway, RouteTableId=table)
    (shown,) = a.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    assert shown["PropagatingVgws"] == [{"GatewayId": gateway}]
    a.ec2.detach_vpn_gateway(VpnGatewayId=gateway, VpcId=home)
    a.ec2.delete_vpn_gateway(VpnGatewayId=gateway)
    a.ec2.modify_vpc_tenancy(VpcId=home, InstanceTenancy="default")
    assert a.ec2.describe_vpc_classic_link(VpcIds=[home])["Vpcs"][0]["ClassicLinkEnabled"] is False
    assert a.ec2.describe_vpc_classic_link_dns_support(VpcIds=[home])["Vpcs"][0]["ClassicLinkDnsSupported"] is False
    assert a.ec2.describe_vpc_block_public_access_options()["VpcBlockPublicAccessOptions"]["State"] == "default-state"
    mode = a.ec2.modify_vpc_block_public_access_options(InternetGatewayBlockMode="block-ingress")
    assert mode["VpcBlockPublicAccessOptions"]["InternetGatewayBlockMode"] == "block-ingress"


# Services beside EC2.


def test_log_groups(a, b, cloud):
    logs, others = beside(cloud, "logs", a.account), beside(cloud, "logs", b.account)
    logs.create_log_group(logGroupName="/vpc/flows", tags={"team": "x"})
    with pytest.raises(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName="/vpc/flows")
    logs.put_retention_policy(logGroupName="/vpc/flows", retentionInDays=7)
    (group,) = logs.describe_log_groups(logGroupNamePrefix="/vpc")["logGroups"]
    assert (group["retentionInDays"], group["logGroupClass"]) == (7, "STANDARD")
    assert logs.list_tags_for_resource(resourceArn=group["logGroupArn"])["tags"] == {"team": "x"}
    assert others.describe_log_groups()["logGroups"] == []
    with pytest.raises(others.exceptions.ResourceNotFoundException):
        others.delete_log_group(logGroupName="/vpc/flows")
    logs.delete_log_group(logGroupName="/vpc/flows")
    with refused("UnknownOperationException"):
        logs.describe_metric_filters()


def test_account_aliases_and_services_that_are_not_there(a, cloud):
    assert beside(cloud, "iam", a.account).list_account_aliases()["AccountAliases"] == []
    with refused("InvalidAction"):
        beside(cloud, "iam", a.account).list_users()
    # In the words that the client reads, whatever they are.
    with refused("SignatureDoesNotMatch", re.compile("'dynamodb' is none of ec2, sts")):
        beside(cloud, "dynamodb", a.account).list_tables()
    with refused("SignatureDoesNotMatch", re.compile("'sns' is none of ec2, sts")):
        beside(cloud, "sns", a.account).list_topics()


@pytest.mark.timeout(120)
def test_a_console_says_what_the_instance_said(checker, new_account):
    """With packets: a sandbox runs, and its first program writes."""
    with own_server(packets=True, default_vpc=True) as server:
        a = Cloud(server.endpoint, checker).party(new_account(), HOME)
        script = "#!/bin/sh\necho hello from $(hostname)\n"
        (made,) = a.ec2.run_instances(ImageId="ami-0123456789abcdef0", MinCount=1, MaxCount=1, UserData=script)[
            "Instances"
        ]
        of = {"InstanceId": made["InstanceId"]}
        a.ec2.get_waiter("instance_running").wait(InstanceIds=[made["InstanceId"]], WaiterConfig=FAST)
        said = eventually(lambda: "hello from ip-172-31-" in a.ec2.get_console_output(**of).get("Output", ""), 30)
        assert said
        a.ec2.terminate_instances(InstanceIds=[made["InstanceId"]])
        a.ec2.get_waiter("instance_terminated").wait(InstanceIds=[made["InstanceId"]], WaiterConfig=FAST)
        assert "hello" not in a.ec2.get_console_output(**of).get("Output", "")
