"""EC2's networks and what instances are started from, as boto3 and the AWS CLI see them."""

import json
import os
import stat
import subprocess
import uuid

import botocore.exceptions
import pytest


@pytest.fixture
def ec2(server):
    return server.client("ec2")


def refused(call, **parameters):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**parameters)
    return caught.value.response["Error"]["Code"]


def test_a_templates_network_is_built_and_taken_down(ec2):
    vpc = ec2.create_vpc(CidrBlock="172.31.0.0/16")["Vpc"]["VpcId"]
    ec2.get_waiter("vpc_available").wait(VpcIds=[vpc])
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    attribute = ec2.describe_vpc_attribute(VpcId=vpc, Attribute="enableDnsHostnames")
    assert attribute["EnableDnsHostnames"] == {"Value": True}
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.get_waiter("internet_gateway_exists").wait(InternetGatewayIds=[gateway])
    zone = ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="172.31.38.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
    ec2.get_waiter("subnet_available").wait(SubnetIds=[subnet])
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    association = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
    assert ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)["Return"]
    routes = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
    assert [(one["GatewayId"], one["State"]) for one in routes] == [("local", "active"), (gateway, "active")]
    acl = ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
    for egress in (True, False):
        ec2.create_network_acl_entry(
            NetworkAclId=acl,
            RuleNumber=100,
            Protocol="-1",
            RuleAction="allow",
            Egress=egress,
            CidrBlock="0.0.0.0/0",
        )
    filters = [{"Name": "association.subnet-id", "Values": [subnet]}]
    [default] = ec2.describe_network_acls(Filters=filters)["NetworkAcls"]
    [present] = [one for one in default["Associations"] if one["SubnetId"] == subnet]
    ec2.replace_network_acl_association(AssociationId=present["NetworkAclAssociationId"], NetworkAclId=acl)
    group = ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc)["GroupId"]
    ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
        ],
    )
    rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
    assert sorted(one["IsEgress"] for one in rules["SecurityGroupRules"]) == [False, True]
    interface = ec2.create_network_interface(SubnetId=subnet, Groups=[group])["NetworkInterface"]
    ec2.get_waiter("network_interface_available").wait(NetworkInterfaceIds=[interface["NetworkInterfaceId"]])
    assert interface["PrivateIpAddress"] == "172.31.38.4"

    assert refused(ec2.delete_vpc, VpcId=vpc) == "DependencyViolation"
    ec2.delete_network_interface(NetworkInterfaceId=interface["NetworkInterfaceId"])
    ec2.delete_security_group(GroupId=group)
    ec2.disassociate_route_table(AssociationId=association)
    ec2.delete_route_table(RouteTableId=table)
    ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_network_acl(NetworkAclId=acl)
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.delete_internet_gateway(InternetGatewayId=gateway)
    ec2.delete_vpc(VpcId=vpc)
    assert refused(ec2.describe_vpcs, VpcIds=[vpc]) == "InvalidVpcID.NotFound"


def test_descriptions_come_in_pages(ec2):
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    made = {ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24")["Subnet"]["SubnetId"] for n in range(12)}
    filters = [{"Name": "vpc-id", "Values": [vpc]}]
    pages = ec2.get_paginator("describe_subnets").paginate(Filters=filters, PaginationConfig={"PageSize": 5})
    pages = [[one["SubnetId"] for one in page["Subnets"]] for page in pages]
    assert [len(page) for page in pages] == [5, 5, 2]
    assert {one for page in pages for one in page} == made
    types = ec2.get_paginator("describe_instance_types").paginate(PaginationConfig={"PageSize": 50})
    names = [one["InstanceType"] for page in types for one in page["InstanceTypes"]]
    assert "t2.micro" in names and len(names) == len(set(names))


def test_a_new_keys_file_is_one_that_ssh_takes(aws, tmp_path):
    for kind in ("rsa", "ed25519"):
        name = f"key-{uuid.uuid4().hex[:8]}"
        made = json.loads(aws("ec2", "create-key-pair", "--key-name", name, "--key-type", kind).stdout)
        file = tmp_path / name
        file.write_text(made["KeyMaterial"])
        os.chmod(file, stat.S_IRUSR)
        public = subprocess.run(["ssh-keygen", "-y", "-f", file], capture_output=True, text=True, check=True).stdout
        told = aws("ec2", "describe-key-pairs", "--key-names", name, "--include-public-key", "--output", "json")
        [told] = json.loads(told.stdout)["KeyPairs"]
        assert told["PublicKey"].split()[:2] == public.split()[:2]
        assert told["KeyFingerprint"] == made["KeyFingerprint"]
        if kind == "rsa":
            der = subprocess.run(
                ["openssl", "pkcs8", "-in", file, "-outform", "DER", "-topk8", "-nocrypt"],
                capture_output=True,
                check=True,
            ).stdout
            digest = subprocess.run(["openssl", "sha1", "-c"], input=der, capture_output=True, check=True).stdout
            assert digest.decode().split()[-1] == made["KeyFingerprint"]
        aws("ec2", "delete-key-pair", "--key-name", name)


def test_images_are_found_by_the_names_that_scripts_look_for(ec2, aws):
    found = aws(
        *["ec2", "describe-images", "--owners", "amazon", "--output", "text"],
        *["--filters", "Name=name,Values=al2023-ami-*", "Name=state,Values=available"],
        *["--query", "sort_by(Images, &CreationDate)[-1].ImageId"],
    )
    assert found.stdout.startswith("ami-")
    assert refused(ec2.describe_images, ImageIds=["ami-12345678"]) == "InvalidAMIID.NotFound"


def test_a_launch_template_comes_back_as_it_was_given(ec2):
    name = f"web-{uuid.uuid4().hex[:8]}"
    data = {
        "ImageId": "ami-1ecae776",
        "InstanceType": "t2.micro",
        "UserData": "IyEvYmluL3No",
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8, "VolumeType": "gp3"}}],
        "NetworkInterfaces": [{"DeviceIndex": 0, "Groups": ["sg-12345678"], "AssociatePublicIpAddress": True}],
        "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "team", "Value": "shop"}]}],
        "MetadataOptions": {"HttpTokens": "required"},
    }
    made = ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)["LaunchTemplate"]
    [told] = ec2.describe_launch_template_versions(LaunchTemplateName=name)["LaunchTemplateVersions"]

    def without_nothing(value):
        if isinstance(value, dict):
            return {key: without_nothing(one) for key, one in value.items() if one != []}
        return [without_nothing(one) for one in value] if isinstance(value, list) else value

    assert without_nothing(told["LaunchTemplateData"]) == data
    ec2.delete_launch_template(LaunchTemplateId=made["LaunchTemplateId"])


def test_what_no_host_can_honour_is_refused_by_name(ec2, aws):
    refusal = aws("ec2", "create-vpc", "--cidr-block", "10.0.0.0/16", "--amazon-provided-ipv6-cidr-block", check=False)
    assert refusal.returncode != 0 and "AmazonProvidedIpv6CidrBlock is not supported here" in refusal.stderr
    assert refused(ec2.create_vpc, CidrBlock="10.0.0.0/8") == "InvalidVpc.Range"
    assert ec2.describe_volumes()["Volumes"] == []
    address = ec2.allocate_address(Domain="vpc")
    [told] = ec2.describe_addresses(AllocationIds=[address["AllocationId"]])["Addresses"]
    assert told["PublicIp"] == address["PublicIp"]
    ec2.release_address(AllocationId=address["AllocationId"])
