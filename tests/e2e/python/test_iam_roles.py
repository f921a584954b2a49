"""Roles, policies, sessions and instance profiles, as boto3 and the AWS CLI use them."""

import base64
import json
import re
import signal
import subprocess
import time
import uuid

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from conftest import MILLPOND, Server, cli_environment
from load_balancing import eventually

ACCOUNT = "123456789012"
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"


def trust(principal, **condition):
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    if condition:
        statement["Condition"] = condition
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def allow(action, resource="*", effect="Allow"):
    statement = {"Effect": effect, "Action": action, "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


OWN = {"AWS": ACCOUNT}
EC2 = {"Service": "ec2.amazonaws.com"}


def code_of(call, **arguments):
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    return refused.value.response["Error"]["Code"]


def name(kind="r"):
    return f"{kind}-{uuid.uuid4().hex[:10]}"


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """A server with an access key and a data directory, so that every signature and token is verified."""
    directory = tmp_path_factory.mktemp("roles")
    data = directory / "data"
    made = subprocess.run(
        [MILLPOND, "keys", "create", "--data-dir", str(data), "--account", ACCOUNT],
        capture_output=True,
        text=True,
        check=True,
    )
    words = made.stdout.replace("=", " ").replace('"', " ").split()
    key = next(word for word in words if word.startswith("AKIA"))
    secret = next(word for word in words if len(word) == 40 and not word.startswith("AKIA"))
    server = Server(directory, data_dir=data)
    server.start()
    server.key, server.secret = key, secret
    yield server
    assert server.stop() == 0


def root(server, service, **config):
    return server.client(service, key=server.key, secret=server.secret, **config)


def as_session(server, service, credentials, region="us-east-1", **config):
    return boto3.client(
        service,
        endpoint_url=server.endpoint,
        region_name=region,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials.get("SessionToken"),
        config=Config(retries={"max_attempts": 1, "mode": "standard"}, **config),
    )


@pytest.fixture
def iam(strict):
    return root(strict, "iam")


def make_role(iam, principal=OWN, **policies):
    role = name()
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust(principal))
    for policy, document in policies.items():
        iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=document)
    return role


def assume(server, role, session="one", **arguments):
    arn = role if role.startswith("arn:") else f"arn:aws:iam::{ACCOUNT}:role/{role}"
    return root(server, "sts").assume_role(RoleArn=arn, RoleSessionName=session, **arguments)["Credentials"]


def test_a_roles_life(iam):
    role = name()
    made = iam.create_role(
        RoleName=role,
        Path="/team/",
        AssumeRolePolicyDocument=trust(OWN),
        Description="at night",
        MaxSessionDuration=7200,
        Tags=[{"Key": "team", "Value": "web"}],
    )["Role"]
    assert made["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/team/{role}"
    found = iam.get_role(RoleName=role)["Role"]
    assert found["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == OWN
    assert found["Tags"] == [{"Key": "team", "Value": "web"}]
    arguments = {"RoleName": role, "AssumeRolePolicyDocument": trust(OWN)}
    assert code_of(iam.create_role, **arguments) == "EntityAlreadyExists"
    assert code_of(iam.create_role, RoleName=name(), AssumeRolePolicyDocument="{") == "MalformedPolicyDocument"
    assert code_of(iam.create_role, RoleName="a b", AssumeRolePolicyDocument=trust(OWN)) == "ValidationError"
    iam.update_role(RoleName=role, Description="by day", MaxSessionDuration=3600)
    iam.update_role_description(RoleName=role, Description="always")
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=trust(EC2))
    found = iam.get_role(RoleName=role)["Role"]
    assert (found["Description"], found["MaxSessionDuration"]) == ("always", 3600)
    iam.tag_role(RoleName=role, Tags=[{"Key": "more", "Value": "1"}])
    iam.untag_role(RoleName=role, TagKeys=["team"])
    assert iam.list_role_tags(RoleName=role)["Tags"] == [{"Key": "more", "Value": "1"}]
    listed = [one["RoleName"] for page in iam.get_paginator("list_roles").paginate(PathPrefix="/team/") for one in page["Roles"]]
    assert role in listed
    iam.put_role_policy(RoleName=role, PolicyName="read", PolicyDocument=allow("s3:Get*"))
    assert iam.list_role_policies(RoleName=role)["PolicyNames"] == ["read"]
    document = iam.get_role_policy(RoleName=role, PolicyName="read")["PolicyDocument"]
    assert document["Statement"][0]["Action"] == "s3:Get*"
    assert code_of(iam.delete_role, RoleName=role) == "DeleteConflict"
    iam.delete_role_policy(RoleName=role, PolicyName="read")
    iam.attach_role_policy(RoleName=role, PolicyArn=ADMINISTRATOR)
    attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    assert attached == [{"PolicyName": "AdministratorAccess", "PolicyArn": ADMINISTRATOR}]
    assert code_of(iam.delete_role, RoleName=role) == "DeleteConflict"
    iam.detach_role_policy(RoleName=role, PolicyArn=ADMINISTRATOR)
    iam.put_role_permissions_boundary(RoleName=role, PermissionsBoundary=ADMINISTRATOR)
    assert "PermissionsBoundary" in iam.get_role(RoleName=role)["Role"]
    iam.delete_role_permissions_boundary(RoleName=role)
    iam.delete_role(RoleName=role)
    assert code_of(iam.get_role, RoleName=role) == "NoSuchEntity"


def test_a_managed_policys_life(iam):
    policy = name("p")
    made = iam.create_policy(PolicyName=policy, PolicyDocument=allow("s3:*"), Tags=[{"Key": "a", "Value": "b"}])["Policy"]
    arn = made["Arn"]
    assert made["DefaultVersionId"] == "v1"
    for number in range(2, 6):
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=allow("sqs:*"), SetAsDefault=number == 2)
    over = {"PolicyArn": arn, "PolicyDocument": allow("sqs:*")}
    assert code_of(iam.create_policy_version, **over) == "LimitExceeded"
    versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    assert [one["VersionId"] for one in versions] == ["v5", "v4", "v3", "v2", "v1"]
    found = iam.get_policy_version(PolicyArn=arn, VersionId="v2")["PolicyVersion"]
    assert found["IsDefaultVersion"] and found["Document"]["Statement"][0]["Action"] == "sqs:*"
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
    assert code_of(iam.delete_policy_version, PolicyArn=arn, VersionId="v1") == "DeleteConflict"
    role = make_role(iam)
    iam.attach_role_policy(RoleName=role, PolicyArn=arn)
    assert iam.get_policy(PolicyArn=arn)["Policy"]["AttachmentCount"] == 1
    assert iam.list_entities_for_policy(PolicyArn=arn)["PolicyRoles"][0]["RoleName"] == role
    assert [one["Arn"] for one in iam.list_policies(OnlyAttached=True, Scope="Local")["Policies"]] == [arn]
    assert code_of(iam.delete_policy, PolicyArn=arn) == "DeleteConflict"
    iam.detach_role_policy(RoleName=role, PolicyArn=arn)
    for version in ["v2", "v3", "v4", "v5"]:
        iam.delete_policy_version(PolicyArn=arn, VersionId=version)
    iam.tag_policy(PolicyArn=arn, Tags=[{"Key": "c", "Value": "d"}])
    iam.untag_policy(PolicyArn=arn, TagKeys=["a"])
    assert iam.list_policy_tags(PolicyArn=arn)["Tags"] == [{"Key": "c", "Value": "d"}]
    iam.delete_policy(PolicyArn=arn)
    assert code_of(iam.get_policy, PolicyArn=arn) == "NoSuchEntity"


def test_an_instance_profiles_life(iam):
    profile, role = name("ip"), make_role(iam, EC2)
    made = iam.create_instance_profile(InstanceProfileName=profile, Path="/web/")["InstanceProfile"]
    assert made["Arn"] == f"arn:aws:iam::{ACCOUNT}:instance-profile/web/{profile}"
    iam.add_role_to_instance_profile(InstanceProfileName=profile, RoleName=role)
    assert iam.get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]["Roles"][0]["RoleName"] == role
    second = {"InstanceProfileName": profile, "RoleName": make_role(iam, EC2)}
    assert code_of(iam.add_role_to_instance_profile, **second) == "LimitExceeded"
    assert len(iam.list_instance_profiles_for_role(RoleName=role)["InstanceProfiles"]) == 1
    assert profile in [one["InstanceProfileName"] for one in iam.list_instance_profiles()["InstanceProfiles"]]
    iam.tag_instance_profile(InstanceProfileName=profile, Tags=[{"Key": "a", "Value": "b"}])
    assert iam.list_instance_profile_tags(InstanceProfileName=profile)["Tags"] == [{"Key": "a", "Value": "b"}]
    iam.untag_instance_profile(InstanceProfileName=profile, TagKeys=["a"])
    assert code_of(iam.delete_instance_profile, InstanceProfileName=profile) == "DeleteConflict"
    assert code_of(iam.delete_role, RoleName=role) == "DeleteConflict"
    iam.remove_role_from_instance_profile(InstanceProfileName=profile, RoleName=role)
    iam.delete_instance_profile(InstanceProfileName=profile)
    iam.delete_role(RoleName=role)


def test_a_session_is_its_role(strict, iam):
    role = make_role(iam, read=allow(["sqs:*"]))
    credentials = assume(strict, role, "nightly", DurationSeconds=900)
    assert credentials["AccessKeyId"].startswith("ASIA")
    identity = as_session(strict, "sts", credentials).get_caller_identity()
    assert identity["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/nightly"
    assert identity["UserId"].endswith(":nightly")
    sqs = as_session(strict, "sqs", credentials)
    url = sqs.create_queue(QueueName=name("q"))["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="hello")
    got = sqs.receive_message(QueueUrl=url, AttributeNames=["SenderId"])["Messages"][0]
    assert got["Attributes"]["SenderId"] == identity["UserId"]
    assert code_of(as_session(strict, "iam", credentials).list_roles) in ("AccessDenied", "AccessDeniedException")
    assert code_of(as_session(strict, "ec2", credentials).describe_vpcs) == "UnauthorizedOperation"
    assert code_of(as_session(strict, "cloudformation", credentials).list_stacks).startswith("AccessDenied")
    assert code_of(as_session(strict, "s3", credentials).list_buckets) == "AccessDenied"


def test_a_token_must_be_the_right_one(strict, iam):
    role = make_role(iam, all=allow("*"))
    credentials, other = assume(strict, role), assume(strict, role)
    swapped = {**credentials, "SessionToken": other["SessionToken"]}
    assert code_of(as_session(strict, "sts", swapped).get_caller_identity) == "InvalidClientTokenId"
    assert code_of(as_session(strict, "s3", swapped).list_buckets) in ("InvalidToken", "400")
    without = {key: value for key, value in credentials.items() if key != "SessionToken"}
    assert code_of(as_session(strict, "sts", without).get_caller_identity) == "InvalidClientTokenId"
    forged = {**credentials, "SecretAccessKey": "x" * 40}
    assert code_of(as_session(strict, "sts", forged).get_caller_identity) == "SignatureDoesNotMatch"
    iam.delete_role_policy(RoleName=role, PolicyName="all")
    iam.delete_role(RoleName=role)
    assert code_of(as_session(strict, "sts", credentials).get_caller_identity) == "InvalidClientTokenId"


def test_who_may_take_a_role(strict, iam):
    sts = root(strict, "sts")
    arn = f"arn:aws:iam::{ACCOUNT}:role/"
    closed = make_role(iam, {"AWS": "444455556666"})
    assert code_of(sts.assume_role, RoleArn=arn + closed, RoleSessionName="one") == "AccessDenied"
    assert code_of(sts.assume_role, RoleArn=arn + "nobody", RoleSessionName="one") == "AccessDenied"
    guarded = name()
    document = trust(OWN, StringEquals={"sts:ExternalId": "secret"})
    iam.create_role(RoleName=guarded, AssumeRolePolicyDocument=document)
    assert code_of(sts.assume_role, RoleArn=arn + guarded, RoleSessionName="one") == "AccessDenied"
    assert assume(strict, guarded, ExternalId="secret")
    long = {"RoleArn": arn + guarded, "RoleSessionName": "one", "ExternalId": "secret", "DurationSeconds": 3601}
    assert code_of(sts.assume_role, **long) == "ValidationError"
    assert code_of(sts.assume_role, RoleArn=arn + guarded, RoleSessionName="a b") == "ValidationError"
    tagged = {"RoleArn": arn + guarded, "RoleSessionName": "one", "Tags": [{"Key": "a", "Value": "b"}]}
    assert code_of(sts.assume_role, **tagged) == "ValidationError"
    # A role of a role.
    first = make_role(iam, chain=allow("sts:AssumeRole", arn + guarded))
    chained = as_session(strict, "sts", assume(strict, first))
    assert chained.assume_role(RoleArn=arn + guarded, RoleSessionName="two", ExternalId="secret")["Credentials"]
    other = make_role(iam)
    assert code_of(chained.assume_role, RoleArn=arn + other, RoleSessionName="two") == "AccessDenied"


def test_a_session_policy_narrows_a_session(strict, iam):
    role = make_role(iam, all=allow("*"))
    sqs = as_session(strict, "sqs", assume(strict, role, Policy=allow("sqs:List*")))
    sqs.list_queues()
    with pytest.raises(ClientError, match="not authorized to perform: sqs:CreateQueue"):
        sqs.create_queue(QueueName=name("q"))
    read_only = assume(strict, role, PolicyArns=[{"arn": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"}])
    assert as_session(strict, "s3", read_only).list_buckets()
    assert code_of(as_session(strict, "s3", read_only).create_bucket, Bucket=name("b")) == "AccessDenied"


def test_get_session_token_gives_the_account_for_an_hour(strict):
    credentials = root(strict, "sts").get_session_token()["Credentials"]
    identity = as_session(strict, "sts", credentials).get_caller_identity()
    assert identity["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"
    assert as_session(strict, "s3", credentials).list_buckets()
    assert code_of(as_session(strict, "sts", credentials).get_session_token) == "AccessDenied"


def test_s3_and_sqs_judge_the_very_resource_with_its_own_policy(strict, iam):
    s3, bucket = root(strict, "s3"), name("b")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="open/a", Body=b"1")
    s3.put_object(Bucket=bucket, Key="shut/a", Body=b"2")
    role = make_role(iam, read=allow("s3:GetObject", f"arn:aws:s3:::{bucket}/open/*"))
    mine = as_session(strict, "s3", assume(strict, role))
    assert mine.get_object(Bucket=bucket, Key="open/a")["Body"].read() == b"1"
    assert code_of(mine.get_object, Bucket=bucket, Key="shut/a") == "AccessDenied"
    assert code_of(mine.put_object, Bucket=bucket, Key="open/b", Body=b"") == "AccessDenied"
    url = mine.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "open/a"})
    fetched = subprocess.run(["curl", "-sf", url], capture_output=True, check=True)
    assert fetched.stdout == b"1"

    def bucket_policy(effect, principal):
        statement = {"Effect": effect, "Principal": principal, "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Statement": [statement]}))

    # Given to the account as a whole it is not the role's; given to the role itself it is.
    bucket_policy("Allow", {"AWS": ACCOUNT})
    assert code_of(mine.get_object, Bucket=bucket, Key="shut/a") == "AccessDenied"
    bucket_policy("Allow", {"AWS": f"arn:aws:iam::{ACCOUNT}:role/{role}"})
    assert mine.get_object(Bucket=bucket, Key="shut/a")["Body"].read() == b"2"
    bucket_policy("Deny", {"AWS": f"arn:aws:iam::{ACCOUNT}:role/{role}"})
    assert code_of(mine.get_object, Bucket=bucket, Key="open/a") == "AccessDenied"
    assert s3.get_object(Bucket=bucket, Key="open/a")

    sqs, queue = root(strict, "sqs"), name("q")
    url = sqs.create_queue(QueueName=queue)["QueueUrl"]
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{queue}"
    sender = as_session(strict, "sqs", assume(strict, make_role(iam, send=allow("sqs:SendMessage", arn))))
    sender.send_message(QueueUrl=url, MessageBody="a")
    with pytest.raises(ClientError, match="sqs:PurgeQueue"):
        sender.purge_queue(QueueUrl=url)


def test_a_session_survives_a_restart(strict, iam):
    role = make_role(iam, all=allow("sqs:*"))
    credentials = assume(strict, role)
    strict.stop(signal.SIGKILL)
    strict.start()
    identity = as_session(strict, "sts", credentials).get_caller_identity()
    assert identity["Arn"].endswith(f"assumed-role/{role}/one")
    assert root(strict, "iam").get_role(RoleName=role)["Role"]["RoleName"] == role
    as_session(strict, "sqs", credentials).list_queues()


def test_the_cli_takes_a_role_from_its_profile(strict, iam, tmp_path):
    role = make_role(iam, all=allow("sqs:*"))
    config = tmp_path / "config"
    config.write_text(
        f"[profile base]\naws_access_key_id = {strict.key}\naws_secret_access_key = {strict.secret}\n"
        f"[profile worker]\nrole_arn = arn:aws:iam::{ACCOUNT}:role/{role}\nsource_profile = base\n"
        "role_session_name = cli\nregion = us-east-1\n"
    )
    environment = {**cli_environment(strict.endpoint), "AWS_CONFIG_FILE": str(config)}
    del environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]

    def aws(*words):
        return subprocess.run(
            ["aws", "--profile", "worker", *words], capture_output=True, text=True, env=environment, timeout=60
        )

    told = aws("sts", "get-caller-identity", "--query", "Arn", "--output", "text")
    assert told.stdout.strip() == f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/cli", told.stderr
    refused = aws("iam", "list-roles")
    assert "iam:ListRoles" in refused.stderr


TEMPLATE = {
    "Parameters": {"Action": {"Type": "String", "Default": "sqs:*"}},
    "Resources": {
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "AssumeRolePolicyDocument": {
                    "Statement": [
                        {"Effect": "Allow", "Principal": {"AWS": {"Ref": "AWS::AccountId"}}, "Action": "sts:AssumeRole"}
                    ]
                },
                "ManagedPolicyArns": [{"Ref": "Managed"}],
                "Policies": [
                    {
                        "PolicyName": "inline",
                        "PolicyDocument": {
                            "Statement": [{"Effect": "Allow", "Action": {"Ref": "Action"}, "Resource": "*"}]
                        },
                    }
                ],
                "Tags": [{"Key": "team", "Value": "web"}],
            },
        },
        "Managed": {
            "Type": "AWS::IAM::ManagedPolicy",
            "Properties": {
                "PolicyDocument": {"Statement": [{"Effect": "Allow", "Action": {"Ref": "Action"}, "Resource": "*"}]}
            },
        },
        "Policy": {
            "Type": "AWS::IAM::Policy",
            "Properties": {
                "PolicyName": "more",
                "Roles": [{"Ref": "Role"}],
                "PolicyDocument": {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]},
            },
        },
        "Another": {
            "Type": "AWS::IAM::RolePolicy",
            "Properties": {
                "PolicyName": "another",
                "RoleName": {"Ref": "Role"},
                "PolicyDocument": {"Statement": [{"Effect": "Deny", "Action": "s3:Delete*", "Resource": "*"}]},
            },
        },
        "Profile": {"Type": "AWS::IAM::InstanceProfile", "Properties": {"Roles": [{"Ref": "Role"}]}},
    },
    "Outputs": {
        "Role": {"Value": {"Ref": "Role"}},
        "RoleArn": {"Value": {"Fn::GetAtt": ["Role", "Arn"]}},
        "Managed": {"Value": {"Ref": "Managed"}},
        "Profile": {"Value": {"Fn::GetAtt": ["Profile", "Arn"]}},
    },
}


def outputs(cfn, stack):
    found = cfn.describe_stacks(StackName=stack)["Stacks"][0]
    return {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", [])}


def wait(cfn, stack, status):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = cfn.describe_stacks(StackName=stack)["Stacks"][0]
        if not found["StackStatus"].endswith("_IN_PROGRESS"):
            break
        time.sleep(0.1)
    events = cfn.describe_stack_events(StackName=found["StackId"])["StackEvents"]
    reasons = [event.get("ResourceStatusReason") for event in events if event.get("ResourceStatusReason")]
    assert found["StackStatus"] == status, reasons
    return reasons


def test_a_stack_of_roles_and_policies(strict, iam):
    cfn, stack, body = root(strict, "cloudformation"), name("s"), json.dumps(TEMPLATE)
    assert "CAPABILITY_IAM" in cfn.validate_template(TemplateBody=body)["Capabilities"]
    arguments = {"StackName": stack, "TemplateBody": body}
    assert code_of(cfn.create_stack, **arguments).startswith("InsufficientCapabilities")
    cfn.create_stack(**arguments, Capabilities=["CAPABILITY_IAM"])
    wait(cfn, stack, "CREATE_COMPLETE")
    made = outputs(cfn, stack)
    role = iam.get_role(RoleName=made["Role"])["Role"]
    assert role["Arn"] == made["RoleArn"]
    assert {"Key": "aws:cloudformation:stack-name", "Value": stack} in role["Tags"]
    assert iam.list_role_policies(RoleName=made["Role"])["PolicyNames"] == ["another", "inline", "more"]
    assert iam.list_attached_role_policies(RoleName=made["Role"])["AttachedPolicies"][0]["PolicyArn"] == made["Managed"]
    assert iam.list_instance_profiles_for_role(RoleName=made["Role"])["InstanceProfiles"][0]["Arn"] == made["Profile"]
    as_session(strict, "sqs", assume(strict, made["Role"])).list_queues()
    # Changed in place: inline policy, managed policy's version.
    parameters = [{"ParameterKey": "Action", "ParameterValue": "ec2:*"}]
    cfn.update_stack(StackName=stack, UsePreviousTemplate=True, Parameters=parameters, Capabilities=["CAPABILITY_IAM"])
    wait(cfn, stack, "UPDATE_COMPLETE")
    assert outputs(cfn, stack)["Role"] == made["Role"]
    assert iam.get_policy(PolicyArn=made["Managed"])["Policy"]["DefaultVersionId"] == "v2"
    as_session(strict, "ec2", assume(strict, made["Role"])).describe_vpcs()
    cfn.delete_stack(StackName=stack)
    deadline = time.monotonic() + 60
    while stack in [one["StackName"] for one in cfn.describe_stacks()["Stacks"]] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert code_of(iam.get_role, RoleName=made["Role"]) == "NoSuchEntity"
    assert code_of(iam.get_policy, PolicyArn=made["Managed"]) == "NoSuchEntity"


def test_a_named_role_needs_the_other_capability(strict):
    cfn = root(strict, "cloudformation")
    template = {
        "Resources": {
            "Role": {
                "Type": "AWS::IAM::Role",
                "Properties": {"RoleName": name(), "AssumeRolePolicyDocument": json.loads(trust(OWN))},
            }
        }
    }
    body = json.dumps(template)
    assert cfn.get_template_summary(TemplateBody=body)["Capabilities"] == ["CAPABILITY_NAMED_IAM"]
    arguments = {"StackName": name("s"), "TemplateBody": body, "Capabilities": ["CAPABILITY_IAM"]}
    assert code_of(cfn.create_stack, **arguments).startswith("InsufficientCapabilities")


QUEUE = {"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}, "Group": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.9.0.0/16"}}}}


def test_a_stack_acts_with_its_role_and_no_further(strict, iam):
    cfn = root(strict, "cloudformation")
    service = {"Service": "cloudformation.amazonaws.com"}
    deployer = as_session(
        strict,
        "cloudformation",
        assume(strict, make_role(iam, deploy=allow(["cloudformation:*"]), role=allow("iam:PassRole"))),
    )
    arn = f"arn:aws:iam::{ACCOUNT}:role/"
    untrusting = make_role(iam, OWN, all=allow("*"))
    arguments = {"TemplateBody": json.dumps(QUEUE)}
    assert code_of(cfn.create_stack, StackName=name("s"), RoleARN=arn + untrusting, **arguments) == "ValidationError"
    weak, strong = make_role(iam, service, queues=allow("sqs:*")), make_role(iam, service, all=allow("*"))
    stack = name("s")
    deployer.create_stack(StackName=stack, RoleARN=arn + weak, **arguments)
    reasons = wait(cfn, stack, "ROLLBACK_COMPLETE")
    assert any("ec2:CreateVpc" in reason for reason in reasons), reasons
    stack = name("s")
    deployer.create_stack(StackName=stack, RoleARN=arn + strong, **arguments)
    wait(cfn, stack, "CREATE_COMPLETE")
    # Without a role of its own a stack is held to whoever asked for it.
    stack = name("s")
    deployer.create_stack(StackName=stack, **arguments)
    reasons = wait(cfn, stack, "ROLLBACK_COMPLETE")
    assert any("not authorized to perform" in reason for reason in reasons), reasons
    # Nobody hands on a role without iam:PassRole.
    bare = as_session(strict, "cloudformation", assume(strict, make_role(iam, deploy=allow("cloudformation:*"))))
    with pytest.raises(ClientError, match="iam:PassRole"):
        bare.create_stack(StackName=name("s"), RoleARN=arn + strong, **arguments)


def test_local_mode_holds_its_own_sessions_to_their_roles(server):
    iam = server.client("iam", key=ACCOUNT)
    role = make_role(iam, read=allow("sqs:*"))
    sts = server.client("sts", key=ACCOUNT)
    credentials = sts.assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{role}", RoleSessionName="one")["Credentials"]
    as_session(server, "sqs", credentials).list_queues()
    assert code_of(as_session(server, "s3", credentials).list_buckets) == "AccessDenied"


USER_DATA = """#!/bin/sh
at=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}/latest
token=$(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $at/api/token)
get() { curl -s -H "X-aws-ec2-metadata-token: $token" "$at/meta-data/iam/$1"; }
echo "INFO[$(get info | base64 -w0)]"
role=$(get security-credentials/)
echo "ROLE[$role]"
echo "CREDENTIALS[$(get security-credentials/$role | base64 -w0)]"
"""


def told(console, word):
    found = re.search(word + r"\[([^\]]*)\]", console)
    return found.group(1) if found else None


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """A server that runs instances, and keeps what it has."""
    directory = tmp_path_factory.mktemp("cloud")
    flags = ["--region", "us-east-1"]
    server = Server(directory, *flags, data_dir=directory / "data").start()
    yield server
    ec2 = server.client("ec2", key=ACCOUNT)
    for reservation in ec2.describe_instances()["Reservations"]:
        ec2.terminate_instances(InstanceIds=[one["InstanceId"] for one in reservation["Instances"]])
    eventually(
        "all instances are terminated",
        lambda: all(
            one["State"]["Name"] == "terminated"
            for reservation in ec2.describe_instances()["Reservations"]
            for one in reservation["Instances"]
        ),
        within=60,
    )
    assert server.stop() == 0


def test_an_instance_acts_with_its_profiles_role(cloud):
    iam, ec2 = cloud.client("iam", key=ACCOUNT), cloud.client("ec2", key=ACCOUNT)
    role, profile = make_role(iam, EC2, queues=allow("sqs:*")), name("ip")
    iam.create_instance_profile(InstanceProfileName=profile)
    iam.add_role_to_instance_profile(InstanceProfileName=profile, RoleName=role)
    image = ec2.describe_images(Filters=[{"Name": "name", "Values": ["millpond-host"]}])["Images"][0]["ImageId"]
    launch = {"ImageId": image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1, "UserData": USER_DATA}
    refused = {**launch, "IamInstanceProfile": {"Name": "nothing"}}
    assert code_of(ec2.run_instances, **refused) == "InvalidParameterValue"
    started = ec2.run_instances(**launch, IamInstanceProfile={"Name": profile})["Instances"][0]
    arn = f"arn:aws:iam::{ACCOUNT}:instance-profile/{profile}"
    assert started["IamInstanceProfile"]["Arn"] == arn
    instance = started["InstanceId"]

    def console():
        return ec2.get_console_output(InstanceId=instance).get("Output", "")

    eventually("the user data has run", lambda: told(console(), "CREDENTIALS"), within=90)
    info = json.loads(base64.b64decode(told(console(), "INFO")))
    assert (info["Code"], info["InstanceProfileArn"]) == ("Success", arn)
    assert told(console(), "ROLE") == role
    made = json.loads(base64.b64decode(told(console(), "CREDENTIALS")))
    assert made["Code"] == "Success" and made["Type"] == "AWS-HMAC"
    credentials = {**made, "SessionToken": made["Token"]}
    identity = as_session(cloud, "sts", credentials).get_caller_identity()
    assert identity["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{instance}"
    as_session(cloud, "sqs", credentials).list_queues()
    assert code_of(as_session(cloud, "s3", credentials).list_buckets) == "AccessDenied"
    # They outlive the server that gave them out.
    cloud.stop(signal.SIGKILL)
    cloud.start()
    as_session(cloud, "sqs", credentials).list_queues()
    ec2 = cloud.client("ec2", key=ACCOUNT)
    associations = ec2.describe_iam_instance_profile_associations(
        Filters=[{"Name": "instance-id", "Values": [instance]}]
    )["IamInstanceProfileAssociations"]
    assert [(one["State"], one["IamInstanceProfile"]["Arn"]) for one in associations] == [("associated", arn)]
    association = associations[0]["AssociationId"]
    ec2.disassociate_iam_instance_profile(AssociationId=association)
    assert code_of(ec2.disassociate_iam_instance_profile, AssociationId=association) == "NoSuchAssociation"
    assert ec2.describe_iam_instance_profile_associations()["IamInstanceProfileAssociations"] == []
    again = ec2.associate_iam_instance_profile(InstanceId=instance, IamInstanceProfile={"Arn": arn})
    again = again["IamInstanceProfileAssociation"]["AssociationId"]
    twice = {"InstanceId": instance, "IamInstanceProfile": {"Arn": arn}}
    assert code_of(ec2.associate_iam_instance_profile, **twice) == "IncorrectState"
    replaced = ec2.replace_iam_instance_profile_association(AssociationId=again, IamInstanceProfile={"Name": profile})
    assert replaced["IamInstanceProfileAssociation"]["AssociationId"] != again


def test_a_launch_templates_profile_counts(cloud):
    iam, ec2 = cloud.client("iam", key=ACCOUNT), cloud.client("ec2", key=ACCOUNT)
    role, profile = make_role(iam, EC2), name("ip")
    iam.create_instance_profile(InstanceProfileName=profile)
    iam.add_role_to_instance_profile(InstanceProfileName=profile, RoleName=role)
    image = ec2.describe_images(Filters=[{"Name": "name", "Values": ["millpond-host"]}])["Images"][0]["ImageId"]
    data = {"ImageId": image, "InstanceType": "t3.micro", "IamInstanceProfile": {"Name": profile}}
    template = name("lt")
    ec2.create_launch_template(LaunchTemplateName=template, LaunchTemplateData=data)
    launch = {"MinCount": 1, "MaxCount": 1, "LaunchTemplate": {"LaunchTemplateName": template}}
    started = ec2.run_instances(**launch)["Instances"][0]
    assert started["IamInstanceProfile"]["Arn"].endswith(f"/{profile}")
    # Who may start instances and not hand on the role may not start this one.
    starter = make_role(iam, OWN, start=allow("ec2:*"))
    sts = cloud.client("sts", key=ACCOUNT)
    made = sts.assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{starter}", RoleSessionName="one")["Credentials"]
    with pytest.raises(ClientError, match="iam:PassRole"):
        as_session(cloud, "ec2", made).run_instances(**launch)
