"""What of EC2's networks is changed after it was made: each change is told, by the CLI and boto3, as it was asked for."""

import json
import uuid

import botocore.exceptions
import pytest


@pytest.fixture
def ec2(server):
    return server.client("ec2")


class Network:
    """A VPC with a subnet, that goes with all that tests put into it."""

    def __init__(self, ec2):
        self.ec2 = ec2
        self.vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
        self.subnet = ec2.create_subnet(VpcId=self.vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]

    def mine(self):
        return [{"Name": "vpc-id", "Values": [self.vpc]}]

    def delete(self):
        ec2, mine = self.ec2, self.mine()
        for one in ec2.describe_network_interfaces(Filters=mine)["NetworkInterfaces"]:
            ec2.delete_network_interface(NetworkInterfaceId=one["NetworkInterfaceId"])
        for one in ec2.describe_security_groups(Filters=mine)["SecurityGroups"]:
            if one["GroupName"] != "default":
                ec2.delete_security_group(GroupId=one["GroupId"])
        ec2.delete_subnet(SubnetId=self.subnet)
        for one in ec2.describe_route_tables(Filters=mine)["RouteTables"]:
            if not any(association["Main"] for association in one["Associations"]):
                ec2.delete_route_table(RouteTableId=one["RouteTableId"])
        attached = [{"Name": "attachment.vpc-id", "Values": [self.vpc]}]
        for one in ec2.describe_internet_gateways(Filters=attached)["InternetGateways"]:
            ec2.detach_internet_gateway(InternetGatewayId=one["InternetGatewayId"], VpcId=self.vpc)
            ec2.delete_internet_gateway(InternetGatewayId=one["InternetGatewayId"])
        for one in ec2.describe_network_acls(Filters=mine)["NetworkAcls"]:
            if not one["IsDefault"]:
                ec2.delete_network_acl(NetworkAclId=one["NetworkAclId"])
        ec2.delete_vpc(VpcId=self.vpc)


@pytest.fixture
def network(ec2):
    made = Network(ec2)
    yield made
    made.delete()


def refused(call, **parameters):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**parameters)
    return caught.value.response["Error"]["Code"]


def test_routes_are_replaced_and_deleted(ec2, network):
    first, second = (ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"] for _ in range(2))
    ec2.attach_internet_gateway(InternetGatewayId=first, VpcId=network.vpc)
    table = ec2.create_route_table(VpcId=network.vpc)["RouteTable"]["RouteTableId"]
    everywhere = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0"}

    def routes():
        told = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
        return {one["DestinationCidrBlock"]: (one["GatewayId"], one["State"]) for one in told}

    assert refused(ec2.replace_route, **everywhere, GatewayId=first) == "InvalidParameterValue"
    ec2.create_route(**everywhere, GatewayId=first)
    assert refused(ec2.create_route, **everywhere, GatewayId=first) == "RouteAlreadyExists"
    assert routes()["0.0.0.0/0"] == (first, "active")
    ec2.replace_route(**everywhere, GatewayId=first)
    assert refused(ec2.replace_route, **everywhere, GatewayId=second) == "InvalidParameterValue"
    # What the route leads to is taken away, and another put in its place.
    ec2.detach_internet_gateway(InternetGatewayId=first, VpcId=network.vpc)
    assert routes()["0.0.0.0/0"] == (first, "blackhole")
    ec2.attach_internet_gateway(InternetGatewayId=second, VpcId=network.vpc)
    ec2.replace_route(**everywhere, GatewayId=second)
    assert routes()["0.0.0.0/0"] == (second, "active")
    ec2.delete_route(**everywhere)
    assert routes() == {"10.9.0.0/16": ("local", "active")}
    assert refused(ec2.delete_route, **everywhere) == "InvalidRoute.NotFound"
    ec2.delete_internet_gateway(InternetGatewayId=first)


def test_a_subnet_changes_its_route_table(ec2, network):
    one, other = (ec2.create_route_table(VpcId=network.vpc)["RouteTable"]["RouteTableId"] for _ in range(2))

    def of_subnet():
        filters = [{"Name": "association.subnet-id", "Values": [network.subnet]}]
        return [table["RouteTableId"] for table in ec2.describe_route_tables(Filters=filters)["RouteTables"]]

    assert of_subnet() == []
    association = ec2.associate_route_table(RouteTableId=one, SubnetId=network.subnet)["AssociationId"]
    assert of_subnet() == [one]
    replaced = ec2.replace_route_table_association(AssociationId=association, RouteTableId=other)["NewAssociationId"]
    assert replaced != association and of_subnet() == [other]
    assert refused(ec2.delete_route_table, RouteTableId=other) == "DependencyViolation"
    ec2.disassociate_route_table(AssociationId=replaced)
    assert of_subnet() == []
    assert refused(ec2.disassociate_route_table, AssociationId=association) == "InvalidAssociationID.NotFound"


def test_entries_of_a_network_acl_are_replaced_and_deleted(ec2, aws, network):
    acl = ec2.create_network_acl(VpcId=network.vpc)["NetworkAcl"]["NetworkAclId"]
    entry = {"NetworkAclId": acl, "RuleNumber": 100, "Egress": False}
    rule = {"Protocol": "6", "CidrBlock": "0.0.0.0/0", "PortRange": {"From": 80, "To": 80}}

    def entries():
        told = ec2.describe_network_acls(NetworkAclIds=[acl])["NetworkAcls"][0]["Entries"]
        return [(one["RuleNumber"], one["RuleAction"], one.get("PortRange")) for one in told if not one["Egress"]]

    last = (32767, "deny", None)
    assert entries() == [last]
    assert refused(ec2.replace_network_acl_entry, **entry, **rule, RuleAction="deny") == "InvalidNetworkAclEntry.NotFound"
    ec2.create_network_acl_entry(**entry, **rule, RuleAction="allow")
    assert refused(ec2.create_network_acl_entry, **entry, **rule, RuleAction="deny") == "NetworkAclEntryAlreadyExists"
    assert entries() == [(100, "allow", {"From": 80, "To": 80}), last]
    ec2.replace_network_acl_entry(**entry, **{**rule, "PortRange": {"From": 1, "To": 9}}, RuleAction="deny")
    assert entries() == [(100, "deny", {"From": 1, "To": 9}), last]
    aws("ec2", "delete-network-acl-entry", "--network-acl-id", acl, "--rule-number", "100", "--ingress")
    assert entries() == [last]


def test_rules_of_a_security_group_come_go_and_are_described(ec2, network):
    group = ec2.create_security_group(GroupName="web", Description="web", VpcId=network.vpc)["GroupId"]
    web = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}

    def rules(key):
        told = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0][key]
        return [(one["IpProtocol"], one.get("FromPort"), one["IpRanges"]) for one in told]

    assert rules("IpPermissions") == []
    assert rules("IpPermissionsEgress") == [("-1", None, [{"CidrIp": "0.0.0.0/0"}])]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[web])
    assert refused(ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=[web]) == "InvalidPermission.Duplicate"
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[web])
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[everything])
    described = {**web, "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "from inside"}]}
    ec2.update_security_group_rule_descriptions_ingress(GroupId=group, IpPermissions=[described])
    assert rules("IpPermissions") == [("tcp", 80, described["IpRanges"])]
    assert rules("IpPermissionsEgress") == [("tcp", 80, web["IpRanges"])]
    ec2.update_security_group_rule_descriptions_egress(GroupId=group, IpPermissions=[described])
    told = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])["SecurityGroupRules"]
    assert [one["Description"] for one in told] == ["from inside"] * 2
    # By a rule's id as well.
    (ingress,) = [one["SecurityGroupRuleId"] for one in told if not one["IsEgress"]]
    ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[ingress])
    assert rules("IpPermissions") == []
    assert refused(ec2.revoke_security_group_ingress, GroupId=group, IpPermissions=[web]) == "InvalidPermission.NotFound"


def test_a_subnet_and_an_interface_are_changed(ec2, network):
    subnet = lambda: ec2.describe_subnets(SubnetIds=[network.subnet])["Subnets"][0]
    assert subnet()["MapPublicIpOnLaunch"] is False
    ec2.modify_subnet_attribute(SubnetId=network.subnet, MapPublicIpOnLaunch={"Value": True})
    assert subnet()["MapPublicIpOnLaunch"] is True
    groups = [
        ec2.create_security_group(GroupName=name, Description=name, VpcId=network.vpc)["GroupId"] for name in ("a", "b")
    ]
    made = ec2.create_network_interface(SubnetId=network.subnet, Groups=groups[:1])["NetworkInterface"]
    ec2.modify_network_interface_attribute(NetworkInterfaceId=made["NetworkInterfaceId"], Groups=groups[1:])
    ec2.modify_network_interface_attribute(
        NetworkInterfaceId=made["NetworkInterfaceId"], Description={"Value": "for later"}
    )
    (told,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[made["NetworkInterfaceId"]])["NetworkInterfaces"]
    assert [one["GroupId"] for one in told["Groups"]] == groups[1:] and told["Description"] == "for later"
    ec2.delete_security_group(GroupId=groups[0])
    assert refused(ec2.delete_security_group, GroupId=groups[1]) == "DependencyViolation"


def test_an_address_is_lent_to_an_interface_and_taken_back(ec2, network):
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=network.vpc)
    made = ec2.create_network_interface(SubnetId=network.subnet)["NetworkInterface"]
    address = ec2.allocate_address(Domain="vpc")
    association = ec2.associate_address(
        AllocationId=address["AllocationId"], NetworkInterfaceId=made["NetworkInterfaceId"]
    )["AssociationId"]
    (told,) = ec2.describe_addresses(AllocationIds=[address["AllocationId"]])["Addresses"]
    assert (told["AssociationId"], told["NetworkInterfaceId"]) == (association, made["NetworkInterfaceId"])
    assert told["PrivateIpAddress"] == made["PrivateIpAddress"]
    (interface,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[made["NetworkInterfaceId"]])["NetworkInterfaces"]
    assert interface["Association"]["PublicIp"] == address["PublicIp"]
    assert refused(ec2.release_address, AllocationId=address["AllocationId"]) == "InvalidIPAddress.InUse"
    ec2.disassociate_address(AssociationId=association)
    (told,) = ec2.describe_addresses(AllocationIds=[address["AllocationId"]])["Addresses"]
    assert "AssociationId" not in told
    ec2.release_address(AllocationId=address["AllocationId"])
    assert refused(ec2.describe_addresses, AllocationIds=[address["AllocationId"]]) == "InvalidAllocationID.NotFound"


def test_tags_are_put_on_found_by_and_taken_off(ec2, aws, network):
    key = f"k-{uuid.uuid4().hex[:8]}"
    ec2.create_tags(Resources=[network.vpc, network.subnet], Tags=[{"Key": key, "Value": "one"}])
    by_tag = [{"Name": f"tag:{key}", "Values": ["o*"]}]
    assert [one["VpcId"] for one in ec2.describe_vpcs(Filters=by_tag)["Vpcs"]] == [network.vpc]
    told = ec2.describe_tags(Filters=[{"Name": "key", "Values": [key]}])["Tags"]
    assert {(one["ResourceId"], one["ResourceType"], one["Value"]) for one in told} == {
        (network.vpc, "vpc", "one"),
        (network.subnet, "subnet", "one"),
    }
    # A tag with another value stays.
    ec2.delete_tags(Resources=[network.vpc], Tags=[{"Key": key, "Value": "two"}])
    assert len(ec2.describe_vpcs(Filters=by_tag)["Vpcs"]) == 1
    aws("ec2", "delete-tags", "--resources", network.vpc, network.subnet, "--tags", f"Key={key}")
    assert ec2.describe_tags(Filters=[{"Name": "key", "Values": [key]}])["Tags"] == []


def test_versions_of_a_launch_template_come_and_go(ec2, aws):
    name = f"web-{uuid.uuid4().hex[:8]}"
    data = {"ImageId": "ami-1ecae776", "InstanceType": "t2.micro"}
    made = ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)["LaunchTemplate"]
    second = ec2.create_launch_template_version(
        LaunchTemplateName=name, SourceVersion="1", LaunchTemplateData={"InstanceType": "t2.small"}
    )["LaunchTemplateVersion"]
    assert (second["VersionNumber"], second["DefaultVersion"]) == (2, False)
    assert second["LaunchTemplateData"]["ImageId"] == "ami-1ecae776"
    assert second["LaunchTemplateData"]["InstanceType"] == "t2.small"
    shown = lambda: ec2.describe_launch_templates(LaunchTemplateNames=[name])["LaunchTemplates"][0]
    assert (shown()["DefaultVersionNumber"], shown()["LatestVersionNumber"]) == (1, 2)
    aws("ec2", "modify-launch-template", "--launch-template-name", name, "--default-version", "2")
    assert shown()["DefaultVersionNumber"] == 2
    done = ec2.delete_launch_template_versions(LaunchTemplateName=name, Versions=["1", "2", "7"])
    assert [one["VersionNumber"] for one in done["SuccessfullyDeletedLaunchTemplateVersions"]] == [1]
    failed = {one["VersionNumber"]: one["ResponseError"]["Code"] for one in done["UnsuccessfullyDeletedLaunchTemplateVersions"]}
    assert failed == {2: "unexpectedError", 7: "launchTemplateVersionDoesNotExist"}
    versions = ec2.describe_launch_template_versions(LaunchTemplateId=made["LaunchTemplateId"])["LaunchTemplateVersions"]
    assert [one["VersionNumber"] for one in versions] == [2]
    ec2.delete_launch_template(LaunchTemplateName=name)
    assert refused(ec2.describe_launch_templates, LaunchTemplateNames=[name]) == "InvalidLaunchTemplateName.NotFoundException"


def test_what_there_is_for_every_account_is_told(server, aws):
    ec2 = server.client("ec2", key="222233334444")
    regions = json.loads(aws("ec2", "describe-regions", "--output", "json").stdout)["Regions"]
    assert "us-east-1" in [one["RegionName"] for one in regions]
    assert ec2.describe_regions(RegionNames=["us-east-1"])["Regions"][0]["OptInStatus"] == "opt-in-not-required"
    (platforms,) = ec2.describe_account_attributes(AttributeNames=["supported-platforms"])["AccountAttributes"]
    assert [one["AttributeValue"] for one in platforms["AttributeValues"]] == ["VPC"]
    (default,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    told = {one["AttributeName"]: one["AttributeValues"][0]["AttributeValue"] for one in ec2.describe_account_attributes()["AccountAttributes"]}
    assert told["default-vpc"] == default["VpcId"]
    (options,) = ec2.describe_dhcp_options(DhcpOptionsIds=[default["DhcpOptionsId"]])["DhcpOptions"]
    assert {one["Key"]: one["Values"][0]["Value"] for one in options["DhcpConfigurations"]}["domain-name-servers"] == "AmazonProvidedDNS"
