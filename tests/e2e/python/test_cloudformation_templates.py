"""cfn-lint's own good templates: each is taken, or refused for a reason that stands here.

A template whose resource types are all listed in docs/coverage.md must be taken. What the templates are is pinned in
requirements-templates.txt; they are unpacked below `.test-env` once.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import uuid

import botocore.exceptions
import pytest

ROOT = pathlib.Path(__file__).parents[3]
PINS = pathlib.Path(__file__).with_name("requirements-templates.txt")
SAM = "No transform named AWS::Serverless-2016-10-31 found."
NO_RESOURCES = "Template format error: At least one Resources member must be defined."
# Why a template is refused, on AWS as here, though cfn-lint calls it good: each is good for one rule of its. What is refused
# for its resource types alone, the test finds out by itself.
REFUSED = {
    # cfn-lint reads `Parameter:`, too.
    "custom/is-defined.yaml": "Invalid template property or properties [Parameter]",
    # Functions in these attributes need AWS::LanguageExtensions.
    "resources_deletionpolicy.yaml": "Template format error: [/Resources/PolicyList/DeletionPolicy] must be a string",
    "resources_updatereplacepolicy.yaml": "Template format error: [/Resources/PolicyList/UpdateReplacePolicy] must be a string",
    "transform/list_transform_many.yaml": "No transform named UnsupportedTransform found.",
    "transform/list_transform_not_sam.yaml": "No transform named TestTransform found.",
    "core/config_cfn_lint.json": NO_RESOURCES,
    "core/config_cfn_lint.yaml": NO_RESOURCES,
    "core/config_only_i1002.yaml": NO_RESOURCES,
    "core/config_only_i1003.yaml": NO_RESOURCES,
    "core/config_parameters.yaml": NO_RESOURCES,
    "decode/parsing.json": NO_RESOURCES,
    "mappings/name.yaml": NO_RESOURCES,
    "parameters/default.yaml": NO_RESOURCES,
    "resources/cloudformation/stack_nested.yaml": NO_RESOURCES,
    "functions/getatt_serverless_function_version.yaml": SAM,
    "functions/relationship_conditions_sam.yaml": SAM,
    "functions/sub_needed_transform.yaml": SAM,
    "parameters/not_used_parameters.yaml": SAM,
    "parameters/used_transform_removed.yaml": SAM,
    "parameters/used_transforms.yaml": SAM,
    "resources/cloudformation/sam_stacks.yaml": SAM,
    "resources/lambda/sam_required_properties.yaml": SAM,
    "resources/properties/hard_coded_arn_properties_sam.yaml": SAM,
    "resources/properties/templated_code_sam.yaml": SAM,
    "resources/serverless/ignore_globals_valid.yaml": SAM,
    "some_logs_stream_lambda.yaml": SAM,
    "transform.yaml": SAM,
    "transform/applications_location.yaml": SAM,
    "transform/auto_publish_alias.yaml": SAM,
    "transform/auto_publish_code_sha256.yaml": SAM,
    "transform/function_use_s3_uri.yaml": SAM,
    "transform/function_using_image.yaml": SAM,
    "transform/language_extension.yaml": SAM,
    "transform/list_transform.yaml": SAM,
    "transform/step_function_local_definition.yaml": SAM,
    "transform/yaml_alias_serverless.yaml": SAM,
    "transform_serverless_api.yaml": SAM,
    "transform_serverless_function.yaml": SAM,
    "transform_serverless_globals.yaml": SAM,
    "transform_serverless_ignore_globals.yaml": SAM,
}
# Why no change set comes of a template that is valid.
NO_CHANGE_SET = {
    "properties_ec2_vpc.yaml": "Unable to fetch parameters [/Infra/VpcCidr] from parameter store for this account.",
}
# What parameters must be where a template's rules and patterns want more than their type does.
VALUES = {
    "conditions/and.yaml": {"Users": ",another"},
    "functions/foreach.yaml": {"Environment": "Production"},
    "properties_ec2_vpc.yaml": {"cidrBlockAllowedPattern": "10.0.0.0/16"},
}


@pytest.fixture(scope="module")
def templates():
    """The templates by their names below `good`."""
    pinned = ROOT / ".test-env" / re.search(r"cfn-lint==[\d.]+", PINS.read_text()).group().replace("==", "-")
    if not pinned.exists():
        pinned.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=pinned.parent) as folder:
            download = ["download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", ":all:"]
            subprocess.run(
                [sys.executable, "-m", "pip", *download, "--dest", folder, "--requirement", PINS], check=True, timeout=170
            )
            (archive,) = pathlib.Path(folder).glob("*.tar.gz")
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
            (good,) = pathlib.Path(folder).glob("*/test/fixtures/templates/good")
            # In one step, so that what is there is always whole.
            shutil.move(good, f"{folder}/good")
            os.rename(f"{folder}/good", pinned)
    found = [path for path in pinned.rglob("*") if path.suffix in (".yaml", ".yml", ".json")]
    assert len(found) > 90, "cfn-lint has moved its templates"
    return {str(path.relative_to(pinned)): path.read_text() for path in sorted(found)}


@pytest.fixture(scope="module")
def cfn(server):
    return server.client("cloudformation")


def supported_types():
    """The first column of the table of resource types; `AWS::EC2::Route, RouteTable` has the service once."""
    rows = re.findall(r"^\| (AWS::\w+::.*?) \|", (ROOT / "docs/coverage.md").read_text(), re.MULTILINE)
    found = set()
    for row in rows:
        service = re.match(r"AWS::\w+::", row).group()
        found |= {name if name.startswith("AWS::") else service + name for name in row.split(", ")}
    assert len(found) >= 34, found
    return found


def listed(reasons):
    return "\n".join(f"{name}: {reason}" for name, reason in reasons.items())


def refusal(call, **parameters):
    """AWS's sentence, or None."""
    try:
        call(**parameters)
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == "ValidationError", error
        return error.response["Error"]["Message"]


def test_every_good_template_of_supported_types_is_taken_and_every_other_refused_for_its_reason(cfn, templates):
    supported, wrong, taken = supported_types(), {}, []
    for name, text in templates.items():
        told = refusal(cfn.validate_template, TemplateBody=text)
        types = re.fullmatch(r"Template format error: Unrecognized resource types: \[(.*)\]", told or "")
        if types:
            told = None if not supported & set(types.group(1).split(", ")) else told
        elif told is None:
            taken.append(name)
        if told != REFUSED.get(name):
            wrong[name] = told
    assert not wrong, listed(wrong)
    assert len(taken) >= 16, taken
    assert set(REFUSED) <= set(templates), "a reason for a template that is not there"


def test_what_is_taken_is_summed_up_and_makes_a_change_set(server, cfn, templates):
    wrong = {}
    for name, text in templates.items():
        if refusal(cfn.validate_template, TemplateBody=text):
            continue
        summary = cfn.get_template_summary(TemplateBody=text)
        assert set(summary["ResourceTypes"]) <= supported_types(), name
        told = change_set(server, cfn, text, summary, VALUES.get(name, {}))
        if told != NO_CHANGE_SET.get(name):
            wrong[name] = told
    assert not wrong, listed(wrong)


def change_set(server, cfn, text, summary, values):
    """Why there is none, or None."""
    stack = f"t-{uuid.uuid4().hex[:10]}"
    parameters = [
        {"ParameterKey": one["ParameterKey"], "ParameterValue": values.get(one["ParameterKey"]) or some_value(server, one)}
        for one in summary.get("Parameters", [])
        if "DefaultValue" not in one
    ]
    request = {
        "StackName": stack,
        "ChangeSetName": "all",
        "ChangeSetType": "CREATE",
        "TemplateBody": text,
        "Parameters": parameters,
        "Capabilities": ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
    }
    told = refusal(cfn.create_change_set, **request)
    if told:
        return told
    shown = cfn.describe_change_set(StackName=stack, ChangeSetName="all")
    cfn.delete_stack(StackName=stack)
    if shown["Status"] != "CREATE_COMPLETE":
        return shown["StatusReason"]
    changes = [one["ResourceChange"] for one in shown["Changes"]]
    assert changes and {one["Action"] for one in changes} == {"Add"}
    assert {one["ResourceType"] for one in changes} <= set(summary["ResourceTypes"])


def some_value(server, parameter):
    """A value that the parameter's type and constraints take."""
    kind, allowed = parameter["ParameterType"], parameter.get("ParameterConstraints", {}).get("AllowedValues")
    if allowed:
        return allowed[0]
    ec2 = server.client("ec2")
    if "AWS::EC2::VPC::Id" in kind:
        return ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    if "AWS::EC2::Subnet::Id" in kind:
        return ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    if "AWS::EC2::SecurityGroup::Id" in kind:
        return ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    return "1" if "Number" in kind else "value"
