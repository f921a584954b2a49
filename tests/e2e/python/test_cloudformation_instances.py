"""An instance in a stack: changed while it runs, interrupted, and replaced."""

import pytest

from conftest import Server
from test_cloudformation_updates import complete, physical
from test_instances import census

TEMPLATE = """
Resources:
  Vpc: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.8.0.0/16}}
  Subnet: {Type: AWS::EC2::Subnet, Properties: {VpcId: !Ref Vpc, CidrBlock: 10.8.1.0/24}}
  One: {Type: AWS::EC2::SecurityGroup, Properties: {VpcId: !Ref Vpc, GroupDescription: one}}
  Other: {Type: AWS::EC2::SecurityGroup, Properties: {VpcId: !Ref Vpc, GroupDescription: other}}
  It:
    Type: AWS::EC2::Instance
    Properties:
      ImageId: ami-1ecae776
      InstanceType: t2.micro
      SubnetId: !Ref Subnet
      PrivateIpAddress: 10.8.1.10
      SecurityGroupIds: [!Ref One]
      Tags: [{Key: team, Value: blue}]
"""


@pytest.fixture
def own(tmp_path):
    running = Server(tmp_path, "--instance-isolation", "unprivileged", data_dir=tmp_path / "data").start()
    yield running
    assert running.stop() == 0
    assert census(tmp_path / "data") == []


def test_an_instance_is_changed_interrupted_and_replaced(own):
    cfn, ec2 = own.client("cloudformation"), own.client("ec2")
    stack = cfn.create_stack(StackName="web", TemplateBody=TEMPLATE)["StackId"]
    complete(cfn, "web", "CREATE_COMPLETE")
    seen = lambda: ec2.describe_instances(InstanceIds=[physical(cfn, "web")])["Reservations"][0]["Instances"][0]
    first = seen()
    template = TEMPLATE

    def change(old, new, replacement, recreation):
        nonlocal template
        assert old in template
        template = template.replace(old, new)
        cfn.create_change_set(StackName="web", ChangeSetName="one", TemplateBody=template)
        shown = cfn.describe_change_set(StackName="web", ChangeSetName="one")["Changes"]
        (told,) = [one["ResourceChange"] for one in shown if one["ResourceChange"]["LogicalResourceId"] == "It"]
        assert told["Replacement"] == replacement
        assert {one["Target"].get("RequiresRecreation") for one in told["Details"]} == {recreation}
        cfn.execute_change_set(StackName="web", ChangeSetName="one")
        complete(cfn, "web", "UPDATE_COMPLETE")
        return seen()

    changed = change("SecurityGroupIds: [!Ref One]", "SecurityGroupIds: [!Ref Other]", "False", "Never")
    assert changed["InstanceId"] == first["InstanceId"] and changed["LaunchTime"] == first["LaunchTime"]
    assert [one["GroupName"] for one in changed["SecurityGroups"]] != [one["GroupName"] for one in first["SecurityGroups"]]
    tagged = change("Value: blue", "Value: red", "False", "Never")
    assert {"Key": "team", "Value": "red"} in tagged["Tags"] and tagged["LaunchTime"] == first["LaunchTime"]

    # The type is changed while the instance is stopped, and it is started again.
    interrupted = change("t2.micro", "t2.small", "Conditional", "Conditionally")
    assert interrupted["InstanceId"] == first["InstanceId"] and interrupted["State"]["Name"] == "running"
    assert interrupted["InstanceType"] == "t2.small" and interrupted["LaunchTime"] > first["LaunchTime"]

    replaced = change("10.8.1.10", "10.8.1.11", "True", "Always")
    assert replaced["InstanceId"] != first["InstanceId"] and replaced["PrivateIpAddress"] == "10.8.1.11"
    (gone,) = ec2.describe_instances(InstanceIds=[first["InstanceId"]])["Reservations"]
    assert gone["Instances"][0]["State"]["Name"] == "terminated"
    cfn.delete_stack(StackName="web")
    complete(cfn, stack, "DELETE_COMPLETE")
