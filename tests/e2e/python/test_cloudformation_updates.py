"""What a change of a property does to its resource, type by type: changed as it is, interrupted, or replaced.

A change set foretells it, and the update does as foretold: a resource that is replaced has another physical id.
"""

import time
import uuid

import pytest

from load_balancing import free_port

VPC = "  Vpc: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.8.0.0/16}}\n"
SUBNET = VPC + "  Subnet: {Type: AWS::EC2::Subnet, Properties: {VpcId: !Ref Vpc, CidrBlock: 10.8.1.0/24}}\n"
GROUP = """\
  Configuration: {Type: AWS::AutoScaling::LaunchConfiguration, Properties: {ImageId: ami-1ecae776, InstanceType: t2.micro}}
  Group:
    Type: AWS::AutoScaling::AutoScalingGroup
    Properties: {MinSize: 0, MaxSize: 1, LaunchConfigurationName: !Ref Configuration, AvailabilityZones: !GetAZs ''}
"""
STATEMENT = "{Effect: Allow, Principal: '*', Action: 'ACTION', Resource: ARN}"
# For each type: what must be there before, its properties, and changes one after the other with what each does.
CASES = {
    "AWS::AutoScaling::AutoScalingGroup": (
        GROUP.splitlines(keepends=True)[0],
        "{AutoScalingGroupName: NAME, MinSize: 0, MaxSize: 1, LaunchConfigurationName: !Ref Configuration, AvailabilityZones: !GetAZs ''}",
        [("MaxSize: 1", "MaxSize: 2", "False"), ("GroupName: NAME", "GroupName: NAME-2", "True")],
    ),
    "AWS::AutoScaling::LaunchConfiguration": (
        "",
        "{ImageId: ami-1ecae776, InstanceType: t2.micro}",
        [("t2.micro", "t2.small", "True")],
    ),
    "AWS::AutoScaling::LifecycleHook": (
        GROUP,
        "{AutoScalingGroupName: !Ref Group, LifecycleHookName: NAME, LifecycleTransition: 'autoscaling:EC2_INSTANCE_LAUNCHING', HeartbeatTimeout: 60}",
        [
            ("HeartbeatTimeout: 60", "HeartbeatTimeout: 90", "False"),
            ("INSTANCE_LAUNCHING", "INSTANCE_TERMINATING", "False"),
            ("HookName: NAME", "HookName: NAME-2", "True"),
        ],
    ),
    "AWS::AutoScaling::ScalingPolicy": (
        GROUP,
        "{AutoScalingGroupName: !Ref Group, AdjustmentType: ChangeInCapacity, ScalingAdjustment: 1}",
        [("ScalingAdjustment: 1", "ScalingAdjustment: 2", "False")],
    ),
    "AWS::AutoScaling::ScheduledAction": (
        GROUP,
        "{AutoScalingGroupName: !Ref Group, Recurrence: 0 9 * * *, DesiredCapacity: 0}",
        [("0 9 * * *", "0 8 * * *", "False")],
    ),
    "AWS::CDK::Metadata": ("", "{Analytics: one}", [("one", "two", "False")]),
    "AWS::EC2::EIP": ("", "{Domain: vpc, Tags: [{Key: a, Value: one}]}", [("one", "two", "False")]),
    "AWS::EC2::InternetGateway": ("", "{Tags: [{Key: a, Value: one}]}", [("one", "two", "False")]),
    "AWS::EC2::KeyPair": (
        "",
        "{KeyName: NAME, PublicKeyMaterial: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl}",
        [("KeyName: NAME", "KeyName: NAME-2", "True")],
    ),
    "AWS::EC2::LaunchTemplate": (
        "",
        "{LaunchTemplateName: NAME, LaunchTemplateData: {ImageId: ami-1ecae776, InstanceType: t2.micro}}",
        [("t2.micro", "t2.small", "False"), ("TemplateName: NAME", "TemplateName: NAME-2", "True")],
    ),
    "AWS::EC2::NetworkAcl": (VPC, "{VpcId: !Ref Vpc, Tags: [{Key: a, Value: one}]}", [("one", "two", "False")]),
    "AWS::EC2::NetworkAclEntry": (
        VPC + "  Acl: {Type: AWS::EC2::NetworkAcl, Properties: {VpcId: !Ref Vpc}}\n",
        "{NetworkAclId: !Ref Acl, RuleNumber: 100, Protocol: -1, RuleAction: allow, CidrBlock: 0.0.0.0/0}",
        [("allow", "deny", "False"), ("RuleNumber: 100", "RuleNumber: 200", "True")],
    ),
    "AWS::EC2::NetworkInterface": (
        SUBNET,
        "{SubnetId: !Ref Subnet, Description: one, PrivateIpAddress: 10.8.1.10}",
        [("one", "two", "False"), ("10.8.1.10", "10.8.1.11", "True")],
    ),
    "AWS::EC2::Route": (
        VPC
        + "  Gateway: {Type: AWS::EC2::InternetGateway}\n"
        + "  Attached: {Type: AWS::EC2::VPCGatewayAttachment, Properties: {VpcId: !Ref Vpc, InternetGatewayId: !Ref Gateway}}\n"
        + "  Table: {Type: AWS::EC2::RouteTable, DependsOn: Attached, Properties: {VpcId: !Ref Vpc}}\n",
        "{RouteTableId: !Ref Table, DestinationCidrBlock: 0.0.0.0/0, GatewayId: !Ref Gateway}",
        [("0.0.0.0/0", "198.51.100.0/24", "True")],
    ),
    "AWS::EC2::RouteTable": (VPC, "{VpcId: !Ref Vpc, Tags: [{Key: a, Value: one}]}", [("one", "two", "False")]),
    "AWS::EC2::SecurityGroup": (
        VPC,
        "{VpcId: !Ref Vpc, GroupDescription: one, SecurityGroupIngress: [{IpProtocol: tcp, FromPort: 80, ToPort: 80, CidrIp: 10.0.0.0/8}]}",
        [("10.0.0.0/8", "10.0.0.0/9", "False"), ("Description: one", "Description: two", "True")],
    ),
    "AWS::EC2::SecurityGroupEgress": (
        VPC + "  Group: {Type: AWS::EC2::SecurityGroup, Properties: {VpcId: !Ref Vpc, GroupDescription: a}}\n",
        "{GroupId: !Ref Group, IpProtocol: tcp, FromPort: 80, ToPort: 80, CidrIp: 10.0.0.0/8, Description: one}",
        [("Description: one", "Description: two", "False"), ("10.0.0.0/8", "10.0.0.0/9", "True")],
    ),
    "AWS::EC2::SecurityGroupIngress": (
        VPC + "  Group: {Type: AWS::EC2::SecurityGroup, Properties: {VpcId: !Ref Vpc, GroupDescription: a}}\n",
        "{GroupId: !Ref Group, IpProtocol: tcp, FromPort: 80, ToPort: 80, CidrIp: 10.0.0.0/8, Description: one}",
        [("Description: one", "Description: two", "False"), ("10.0.0.0/8", "10.0.0.0/9", "True")],
    ),
    "AWS::EC2::Subnet": (
        VPC,
        "{VpcId: !Ref Vpc, CidrBlock: 10.8.1.0/24, MapPublicIpOnLaunch: false}",
        [("false", "true", "False"), ("10.8.1.0/24", "10.8.2.0/24", "True")],
    ),
    "AWS::EC2::VPC": (
        "",
        "{CidrBlock: 10.8.0.0/16, EnableDnsHostnames: false}",
        [("false", "true", "False"), ("10.8.0.0/16", "10.9.0.0/16", "True")],
    ),
    "AWS::ECR::Repository": (
        "",
        "{RepositoryName: NAME, ImageTagMutability: MUTABLE}",
        [(": MUTABLE", ": IMMUTABLE", "False"), ("RepositoryName: NAME", "RepositoryName: NAME-2", "True")],
    ),
    "AWS::ElasticLoadBalancing::LoadBalancer": (
        "",
        "{AvailabilityZones: !GetAZs '', Scheme: internet-facing, CrossZone: false, Listeners: [{LoadBalancerPort: PORT, InstancePort: 80, Protocol: TCP}]}",
        [("CrossZone: false", "CrossZone: true", "False")],
    ),
    "AWS::S3::Bucket": (
        "",
        "{BucketName: NAME, Tags: [{Key: a, Value: one}]}",
        [("one", "two", "False"), ("BucketName: NAME", "BucketName: NAME-2", "True")],
    ),
    "AWS::S3::BucketPolicy": (
        "  Bucket: {Type: AWS::S3::Bucket}\n",
        "{Bucket: !Ref Bucket, PolicyDocument: {Version: 2012-10-17, Statement: ["
        + STATEMENT.replace("ACTION", "s3:GetObject").replace("ARN", "!Sub '${Bucket.Arn}/*'")
        + "]}}",
        [("s3:GetObject", "s3:PutObject", "False")],
    ),
    "AWS::SQS::Queue": (
        "",
        "{QueueName: NAME, VisibilityTimeout: 30}",
        [("VisibilityTimeout: 30", "VisibilityTimeout: 40", "False"), ("QueueName: NAME", "QueueName: NAME-2", "True")],
    ),
    "AWS::SQS::QueuePolicy": (
        "  Queue: {Type: AWS::SQS::Queue}\n",
        "{Queues: [!Ref Queue], PolicyDocument: {Version: 2012-10-17, Statement: ["
        + STATEMENT.replace("ACTION", "sqs:SendMessage").replace("ARN", "!GetAtt Queue.Arn")
        + "]}}",
        [("sqs:SendMessage", "sqs:ReceiveMessage", "False")],
    ),
    "AWS::SSM::Parameter": (
        "",
        "{Name: /NAME, Type: String, Value: one}",
        [("Value: one", "Value: two", "False"), ("Name: /NAME", "Name: /NAME-2", "True")],
    ),
}


@pytest.fixture
def cfn(server):
    return server.client("cloudformation")


def settled(cfn, name):
    """The stack's status, once nothing goes on any more."""
    deadline = time.monotonic() + 60
    while True:
        status = cfn.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        if not status.endswith("_IN_PROGRESS"):
            return status
        assert time.monotonic() < deadline, status
        time.sleep(0.05)


def complete(cfn, name, status):
    told = settled(cfn, name)
    events = cfn.describe_stack_events(StackName=name)["StackEvents"] if told != status else []
    assert told == status, [one["ResourceStatusReason"] for one in events if "ResourceStatusReason" in one]


def physical(cfn, name):
    detail = cfn.describe_stack_resource(StackName=name, LogicalResourceId="It")["StackResourceDetail"]
    return detail["PhysicalResourceId"]


@pytest.mark.parametrize("kind", CASES)
def test_a_change_does_to_its_resource_what_the_change_set_foretells(cfn, kind):
    before, properties, changes = CASES[kind]
    name = f"u-{uuid.uuid4().hex[:10]}"
    template = f"Resources:\n{before}  It: {{Type: '{kind}', Properties: {properties}}}\n"
    template = template.replace("NAME", f"n-{name}").replace("PORT", str(free_port()))
    stack = cfn.create_stack(StackName=name, TemplateBody=template)["StackId"]
    complete(cfn, name, "CREATE_COMPLETE")
    for old, new, replacement in changes:
        old, new = old.replace("NAME", f"n-{name}"), new.replace("NAME", f"n-{name}")
        assert old in template
        template = template.replace(old, new)
        cfn.create_change_set(StackName=name, ChangeSetName="one", TemplateBody=template)
        shown = cfn.describe_change_set(StackName=name, ChangeSetName="one")
        (change,) = [one["ResourceChange"] for one in shown["Changes"] if one["ResourceChange"]["LogicalResourceId"] == "It"]
        assert (change["Action"], change["Replacement"]) == ("Modify", replacement), (new, change)
        was = physical(cfn, name)
        cfn.execute_change_set(StackName=name, ChangeSetName="one")
        complete(cfn, name, "UPDATE_COMPLETE")
        assert (physical(cfn, name) != was) == (replacement == "True"), new
    cfn.delete_stack(StackName=name)
    complete(cfn, stack, "DELETE_COMPLETE")


def test_a_certificate_is_replaced_by_another_under_another_name(cfn, server, authority):
    name = f"u-{uuid.uuid4().hex[:10]}"
    template = """
Parameters: {Body: {Type: String}, Key: {Type: String}, Name: {Type: String}}
Resources:
  It:
    Type: AWS::IAM::ServerCertificate
    Properties: {ServerCertificateName: !Ref Name, CertificateBody: !Ref Body, PrivateKey: !Ref Key, Tags: [{Key: a, Value: one}]}
"""

    def parameters(certificate, of_name):
        files = {"Body": authority / f"{certificate}.pem", "Key": authority / f"{certificate}.key"}
        given = {"Name": of_name, **{key: file.read_text() for key, file in files.items()}}
        return [{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()]

    shown = lambda of_name: server.client("iam").get_server_certificate(ServerCertificateName=of_name)["ServerCertificate"]
    stack = cfn.create_stack(StackName=name, TemplateBody=template, Parameters=parameters("web", name))["StackId"]
    complete(cfn, name, "CREATE_COMPLETE")
    was = shown(name)["ServerCertificateMetadata"]["ServerCertificateId"]
    template = template.replace("Value: one", "Value: two")
    cfn.update_stack(StackName=name, TemplateBody=template, Parameters=parameters("web", name))
    complete(cfn, name, "UPDATE_COMPLETE")
    assert shown(name)["ServerCertificateMetadata"]["ServerCertificateId"] == was
    assert {"Key": "a", "Value": "two"} in shown(name)["Tags"]
    cfn.update_stack(StackName=name, TemplateBody=template, Parameters=parameters("next", f"{name}-2"))
    complete(cfn, name, "UPDATE_COMPLETE")
    assert physical(cfn, name) == f"{name}-2"
    assert shown(f"{name}-2")["CertificateBody"].split() == (authority / "next.pem").read_text().split()
    with pytest.raises(server.client("iam").exceptions.NoSuchEntityException):
        shown(name)
    cfn.delete_stack(StackName=name)
    complete(cfn, stack, "DELETE_COMPLETE")
