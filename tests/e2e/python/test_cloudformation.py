"""CloudFormation as the AWS CLI and boto3 speak it: every listed operation, and what `deploy` and `package` make of them."""

import json
import signal
import threading
import uuid

import botocore.exceptions
import pytest
import requests_by_hand
from conftest import Server

TEMPLATE = """
AWSTemplateFormatVersion: 2010-09-09
Description: queues
Parameters:
  Delay: {Type: Number, Default: 5, MinValue: 0, MaxValue: 900}
  Secret: {Type: String, NoEcho: true, Default: hunter2}
Resources:
  Dead: {Type: AWS::SQS::Queue}
  Queue:
    Type: AWS::SQS::Queue
    Metadata: {Delay: !Ref Delay}
    Properties:
      DelaySeconds: !Ref Delay
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 5}
Outputs:
  Url: {Value: !Ref Queue, Export: {Name: !Sub '${AWS::StackName}-url'}}
"""


@pytest.fixture
def cfn(server):
    return server.client("cloudformation")


@pytest.fixture
def name(cfn):
    name = f"s-{uuid.uuid4().hex[:10]}"
    yield name
    for stack in (name, f"{name}-2"):
        try:
            cfn.update_termination_protection(StackName=stack, EnableTerminationProtection=False)
            cfn.delete_stack(StackName=stack)
            cfn.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        except botocore.exceptions.ClientError:
            pass


def wait(cfn, what, name):
    cfn.get_waiter(what).wait(StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def refused(call, **parameters):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**parameters)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def stack(cfn, name):
    return cfn.describe_stacks(StackName=name)["Stacks"][0]


def outputs(cfn, name):
    return {one["OutputKey"]: one["OutputValue"] for one in stack(cfn, name).get("Outputs", [])}


def test_a_stack_is_made_described_changed_and_deleted(cfn, sqs, name):
    told = cfn.validate_template(TemplateBody=TEMPLATE)
    assert [one["ParameterKey"] for one in told["Parameters"]] == ["Delay", "Secret"]
    stack_id = cfn.create_stack(
        StackName=name,
        TemplateBody=TEMPLATE,
        Tags=[{"Key": "team", "Value": "blue"}],
        ClientRequestToken="first",
    )["StackId"]
    wait(cfn, "stack_create_complete", name)
    made = stack(cfn, name)
    assert made["StackId"] == stack_id and made["Description"] == "queues"
    assert {one["ParameterKey"]: one["ParameterValue"] for one in made["Parameters"]} == {"Delay": "5", "Secret": "****"}
    url = outputs(cfn, name)["Url"]
    assert sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["DelaySeconds"])["Attributes"]["DelaySeconds"] == "5"
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"team": "blue"}

    detail = cfn.describe_stack_resource(StackName=name, LogicalResourceId="Queue")["StackResourceDetail"]
    assert detail["PhysicalResourceId"] == url and json.loads(detail["Metadata"]) == {"Delay": "5"}
    assert len(cfn.describe_stack_resources(StackName=name)["StackResources"]) == 2
    assert cfn.describe_stack_resources(PhysicalResourceId=url)["StackResources"][0]["StackName"] == name
    listed = cfn.get_paginator("list_stack_resources").paginate(StackName=name).build_full_result()
    assert {one["ResourceStatus"] for one in listed["StackResourceSummaries"]} == {"CREATE_COMPLETE"}
    events = cfn.get_paginator("describe_stack_events").paginate(StackName=name).build_full_result()["StackEvents"]
    assert events[0]["ResourceStatus"] == "CREATE_COMPLETE" and events[-1]["ResourceStatusReason" if "ResourceStatusReason" in events[-1] else "ResourceStatus"]
    assert {one["ClientRequestToken"] for one in events if "ClientRequestToken" in one} == {"first"}
    # boto3 reads JSON templates into dictionaries, and leaves YAML as it is.
    assert cfn.get_template(StackName=name)["TemplateBody"] == TEMPLATE
    summary = cfn.get_template_summary(StackName=name)
    assert summary["ResourceTypes"] == ["AWS::SQS::Queue"]
    assert any(one["Name"] == f"{name}-url" and one["Value"] == url for one in cfn.list_exports()["Exports"])
    assert any(one["StackName"] == name for one in cfn.list_stacks()["StackSummaries"])
    assert {one["Name"] for one in cfn.describe_account_limits()["AccountLimits"]} >= {"StackLimit"}

    cfn.update_stack(
        StackName=name,
        UsePreviousTemplate=True,
        Parameters=[{"ParameterKey": "Delay", "ParameterValue": "7"}, {"ParameterKey": "Secret", "UsePreviousValue": True}],
    )
    wait(cfn, "stack_update_complete", name)
    assert sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["DelaySeconds"])["Attributes"]["DelaySeconds"] == "7"
    assert refused(cfn.update_stack, StackName=name, UsePreviousTemplate=True, Parameters=[
        {"ParameterKey": "Delay", "UsePreviousValue": True}, {"ParameterKey": "Secret", "UsePreviousValue": True},
    ]) == ("ValidationError", "No updates are to be performed.")

    cfn.delete_stack(StackName=name)
    wait(cfn, "stack_delete_complete", stack_id)
    assert refused(cfn.describe_stacks, StackName=name) == ("ValidationError", f"Stack with id {name} does not exist")
    assert stack(cfn, stack_id)["StackStatus"] == "DELETE_COMPLETE"
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.get_queue_attributes(QueueUrl=url)


def test_what_cannot_be_is_refused_in_awss_words(cfn, name):
    create = lambda **more: refused(cfn.create_stack, StackName=name, **{"TemplateBody": TEMPLATE, **more})
    assert create(Parameters=[{"ParameterKey": "Delay", "ParameterValue": "901"}]) == (
        "ValidationError", "Parameter 'Delay' must be a number not greater than 900")
    assert create(TemplateBody="Resources: {A: {Type: 'AWS::Lambda::Function'}}") == (
        "ValidationError", "Template format error: Unrecognized resource types: [AWS::Lambda::Function]")
    assert create(TemplateBody="Resources: {A: {Type: 'AWS::SQS::Queue', Properties: {QueueName: !Ref B}}}") == (
        "ValidationError", "Template format error: Unresolved resource dependencies [B] in the Resources block of the template")
    assert create(TemplateBody="{")[1].startswith("Template format error: JSON not well-formed.")
    assert create(StackPolicyBody="{}")[0] == "ValidationError"
    code, _ = create(TemplateBody=f"Transform: AWS::LanguageExtensions{TEMPLATE}")
    assert code == "InsufficientCapabilitiesException"
    assert refused(cfn.update_stack, StackName=name, TemplateBody=TEMPLATE) == ("ValidationError", f"Stack [{name}] does not exist")
    cfn.delete_stack(StackName=name)
    cfn.create_stack(StackName=name, TemplateBody=TEMPLATE)
    assert create() == ("AlreadyExistsException", f"Stack [{name}] already exists")
    assert refused(cfn.cancel_update_stack, StackName=name)[0] == "ValidationError"
    wait(cfn, "stack_create_complete", name)
    assert refused(cfn.continue_update_rollback, StackName=name)[0] == "ValidationError"
    assert refused(cfn.rollback_stack, StackName=name)[0] == "ValidationError"
    assert refused(cfn.signal_resource, StackName=name, LogicalResourceId="Queue", UniqueId="1", Status="SUCCESS") == (
        "ValidationError", "Resource Queue is in CREATE_COMPLETE state and can not be signaled.")
    assert refused(cfn.list_imports, ExportName=f"{name}-url") == ("ValidationError", f"Export '{name}-url' is not imported by any stack.")


def test_change_sets_are_made_shown_executed_and_deleted(cfn, name):
    cfn.create_change_set(StackName=name, ChangeSetName="one", ChangeSetType="CREATE", TemplateBody=TEMPLATE)
    cfn.get_waiter("change_set_create_complete").wait(StackName=name, ChangeSetName="one", WaiterConfig={"Delay": 1})
    shown = cfn.describe_change_set(StackName=name, ChangeSetName="one")
    assert {change["ResourceChange"]["Action"] for change in shown["Changes"]} == {"Add"}
    assert stack(cfn, name)["StackStatus"] == "REVIEW_IN_PROGRESS"
    cfn.execute_change_set(StackName=name, ChangeSetName="one")
    wait(cfn, "stack_create_complete", name)
    cfn.create_change_set(StackName=name, ChangeSetName="two", TemplateBody=TEMPLATE.replace("Default: 5", "Default: 6"))
    assert [one["ChangeSetName"] for one in cfn.list_change_sets(StackName=name)["Summaries"]] == ["two"]
    change = cfn.describe_change_set(StackName=name, ChangeSetName="two")["Changes"][0]["ResourceChange"]
    assert (change["LogicalResourceId"], change["Action"], change["Replacement"]) == ("Queue", "Modify", "False")
    cfn.delete_change_set(StackName=name, ChangeSetName="two")
    with pytest.raises(cfn.exceptions.ChangeSetNotFoundException):
        cfn.describe_change_set(StackName=name, ChangeSetName="two")


def test_policies_protection_and_imports_guard_stacks(cfn, name):
    cfn.create_stack(StackName=name, TemplateBody=TEMPLATE, EnableTerminationProtection=True)
    wait(cfn, "stack_create_complete", name)
    assert refused(cfn.delete_stack, StackName=name)[1].endswith("cannot be deleted while TerminationProtection is enabled")
    policy = {"Statement": [{"Effect": "Deny", "Action": "Update:*", "Principal": "*", "Resource": "*"}]}
    cfn.set_stack_policy(StackName=name, StackPolicyBody=json.dumps(policy))
    assert json.loads(cfn.get_stack_policy(StackName=name)["StackPolicyBody"]) == policy
    cfn.update_stack(StackName=name, TemplateBody=TEMPLATE.replace("Default: 5", "Default: 6"))
    with pytest.raises(botocore.exceptions.WaiterError):
        wait(cfn, "stack_update_complete", name)
    assert stack(cfn, name)["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    importer = f"Resources: {{Q: {{Type: 'AWS::SQS::Queue', Properties: {{Tags: [{{Key: of, Value: !ImportValue {name}-url}}]}}}}}}"
    cfn.create_stack(StackName=f"{name}-2", TemplateBody=importer)
    wait(cfn, "stack_create_complete", f"{name}-2")
    assert cfn.list_imports(ExportName=f"{name}-url")["Imports"] == [f"{name}-2"]
    cfn.update_termination_protection(StackName=name, EnableTerminationProtection=False)
    cfn.delete_stack(StackName=name)
    with pytest.raises(botocore.exceptions.WaiterError):
        wait(cfn, "stack_delete_complete", name)
    assert stack(cfn, name)["StackStatus"] == "DELETE_FAILED"
    cfn.delete_stack(StackName=f"{name}-2")
    wait(cfn, "stack_delete_complete", f"{name}-2")


def test_a_wait_condition_is_signalled_by_a_plain_put(cfn, name):
    template = """
Resources:
  Handle: {Type: 'AWS::CloudFormation::WaitConditionHandle'}
  Condition: {Type: 'AWS::CloudFormation::WaitCondition', Properties: {Handle: !Ref Handle, Timeout: '60'}}
Outputs: {Data: {Value: !GetAtt Condition.Data}}
"""
    cfn.create_stack(StackName=name, TemplateBody=template)
    url = None
    while not url:
        resources = {one["LogicalResourceId"]: one for one in cfn.describe_stack_resources(StackName=name)["StackResources"]}
        url = resources.get("Handle", {}).get("PhysicalResourceId")
    signal = json.dumps({"Status": "SUCCESS", "Reason": "done", "UniqueId": "a", "Data": "42"})
    assert requests_by_hand.put(url, signal) == 200
    assert requests_by_hand.put(url[:-1] + "x", signal) == 403
    wait(cfn, "stack_create_complete", name)
    assert json.loads(outputs(cfn, name)["Data"]) == {"a": "42"}


def test_updates_are_cancelled_rolled_back_and_continued(cfn, name):
    template = """
Resources:
  Q: {Type: 'AWS::SQS::Queue', Properties: {DelaySeconds: 1}}
  Handle: {Type: 'AWS::CloudFormation::WaitConditionHandle'}
"""
    waits = template + "  Wait: {Type: 'AWS::CloudFormation::WaitCondition', Properties: {Handle: !Ref Handle, Timeout: '600'}}\n"
    cfn.create_stack(StackName=name, TemplateBody=template)
    wait(cfn, "stack_create_complete", name)
    cfn.update_stack(StackName=name, TemplateBody=waits.replace("DelaySeconds: 1", "DelaySeconds: 2"))
    cfn.cancel_update_stack(StackName=name)
    wait(cfn, "stack_rollback_complete", name)
    # A failure that is kept, and then taken back.
    cfn.update_stack(StackName=name, TemplateBody=template.replace("DelaySeconds: 1", "DelaySeconds: 901"), DisableRollback=True)
    with pytest.raises(botocore.exceptions.WaiterError):
        wait(cfn, "stack_update_complete", name)
    assert stack(cfn, name)["StackStatus"] == "UPDATE_FAILED"
    cfn.rollback_stack(StackName=name)
    wait(cfn, "stack_rollback_complete", name)


def test_the_cli_deploys_and_packages(aws, cfn, sqs, bucket, name, tmp_path):
    template = tmp_path / "web.yaml"
    template.write_text(TEMPLATE)
    deploy = ["cloudformation", "deploy", "--template-file", str(template), "--stack-name", name]
    aws(*deploy, "--parameter-overrides", "Delay=3")
    url = outputs(cfn, name)["Url"]
    assert sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["DelaySeconds"])["Attributes"]["DelaySeconds"] == "3"
    assert "No changes to deploy" in aws(*deploy, "--no-fail-on-empty-changeset").stdout
    aws(*deploy, "--parameter-overrides", "Delay=4")
    assert sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["DelaySeconds"])["Attributes"]["DelaySeconds"] == "4"

    (tmp_path / "child.yaml").write_text("Resources: {Q: {Type: 'AWS::SQS::Queue'}}\nOutputs: {Url: {Value: !Ref Q}}\n")
    parent = tmp_path / "parent.yaml"
    parent.write_text(
        "Resources: {Child: {Type: 'AWS::CloudFormation::Stack', Properties: {TemplateURL: child.yaml}}}\n"
        "Outputs: {Url: {Value: !GetAtt Child.Outputs.Url}}\n"
    )
    packaged = tmp_path / "packaged.yaml"
    aws("cloudformation", "package", "--template-file", str(parent), "--s3-bucket", bucket, "--output-template-file", str(packaged))
    aws("cloudformation", "deploy", "--template-file", str(packaged), "--stack-name", f"{name}-2")
    assert sqs.get_queue_attributes(QueueUrl=outputs(cfn, f"{name}-2")["Url"])
    aws("cloudformation", "delete-stack", "--stack-name", f"{name}-2")
    aws("cloudformation", "wait", "stack-delete-complete", "--stack-name", f"{name}-2")


def test_the_cli_creates_waits_and_tells_events(aws, name, tmp_path):
    template = tmp_path / "web.yaml"
    template.write_text(TEMPLATE)
    aws("cloudformation", "create-stack", "--stack-name", name, "--template-body", f"file://{template}")
    aws("cloudformation", "wait", "stack-create-complete", "--stack-name", name)
    events = json.loads(aws("cloudformation", "describe-stack-events", "--stack-name", name, "--output", "json").stdout)
    assert events["StackEvents"][0]["ResourceStatus"] == "CREATE_COMPLETE"


def test_a_stack_survives_kills_while_it_is_made_changed_and_deleted(tmp_path):
    server = Server(tmp_path, data_dir=tmp_path / "data").start()
    try:
        for round in range(4):
            cfn = server.client("cloudformation")
            stack_id = cfn.create_stack(StackName="web", TemplateBody=TEMPLATE)["StackId"]
            for what, act in [
                ("CREATE_COMPLETE", None),
                ("UPDATE_COMPLETE", lambda c: c.update_stack(StackName="web", TemplateBody=TEMPLATE.replace("Default: 5", f"Default: {round + 6}"))),
                ("DELETE_COMPLETE", lambda c: c.delete_stack(StackName="web")),
            ]:
                if act:
                    act(server.client("cloudformation"))
                threading.Event().wait(0.02 * round)
                server.stop(signal.SIGKILL)
                server.start()
                cfn = server.client("cloudformation")
                for _ in range(600):
                    status = stack(cfn, stack_id)["StackStatus"]
                    if not status.endswith("_IN_PROGRESS"):
                        break
                    threading.Event().wait(0.05)
                assert status == what
                queues = server.client("sqs").list_queues().get("QueueUrls", [])
                assert len(queues) == (0 if what == "DELETE_COMPLETE" else 2)
    finally:
        server.stop(signal.SIGKILL)
