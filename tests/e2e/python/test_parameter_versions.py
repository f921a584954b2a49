"""Parameter Store's versions, labels, tags and lists, as boto3 and the CLI see them."""

import json
import uuid

import pytest


@pytest.fixture
def ssm(server):
    return server.client("ssm")


@pytest.fixture
def name(ssm):
    name = f"/p/{uuid.uuid4().hex[:10]}"
    for value in ("one", "two", "three"):
        ssm.put_parameter(Name=name, Value=value, Type="String", Overwrite=value != "one")
    yield name
    ssm.delete_parameters(Names=[name])


def test_versions_are_kept_labelled_and_read_by_label(ssm, name):
    history = ssm.get_parameter_history(Name=name)["Parameters"]
    assert [(one["Version"], one["Value"]) for one in history] == [(1, "one"), (2, "two"), (3, "three")]
    told = ssm.label_parameter_version(Name=name, ParameterVersion=1, Labels=["good", "aws-no"])
    assert (told["ParameterVersion"], told["InvalidLabels"]) == (1, ["aws-no"])
    assert ssm.get_parameter(Name=f"{name}:good")["Parameter"]["Value"] == "one"
    # A label is on one version: put on another, it moves.
    ssm.label_parameter_version(Name=name, ParameterVersion=2, Labels=["good"])
    assert ssm.get_parameter(Name=f"{name}:good")["Parameter"]["Value"] == "two"
    told = ssm.unlabel_parameter_version(Name=name, ParameterVersion=2, Labels=["good", "absent"])
    assert (told["RemovedLabels"], told["InvalidLabels"]) == (["good"], ["absent"])
    with pytest.raises(ssm.exceptions.ParameterVersionNotFound):
        ssm.get_parameter(Name=f"{name}:good")


def test_several_are_read_at_once_and_what_is_missing_is_told(ssm, aws, name):
    told = ssm.get_parameters(Names=[name, f"{name}:1", "/absent"])
    assert sorted(one["Value"] for one in told["Parameters"]) == ["one", "three"]
    assert told["InvalidParameters"] == ["/absent"]
    filters = [{"Key": "Name", "Option": "Equals", "Values": [name]}]
    (shown,) = ssm.describe_parameters(ParameterFilters=filters)["Parameters"]
    assert (shown["Version"], shown["Type"]) == (3, "String") and "Value" not in shown
    listed = aws("ssm", "describe-parameters", "--parameter-filters", f"Key=Name,Option=BeginsWith,Values={name[:-1]}")
    assert name in [one["Name"] for one in json.loads(listed.stdout)["Parameters"]]


def test_tags_of_a_parameter_come_and_go(ssm, name):
    resource = {"ResourceType": "Parameter", "ResourceId": name}
    tags = lambda: {one["Key"]: one["Value"] for one in ssm.list_tags_for_resource(**resource)["TagList"]}
    ssm.add_tags_to_resource(**resource, Tags=[{"Key": "team", "Value": "blue"}, {"Key": "stage", "Value": "prod"}])
    ssm.remove_tags_from_resource(**resource, TagKeys=["stage", "absent"])
    assert tags() == {"team": "blue"}
    with pytest.raises(ssm.exceptions.InvalidResourceId):
        ssm.add_tags_to_resource(ResourceType="Parameter", ResourceId="/absent", Tags=[{"Key": "a", "Value": "b"}])


def test_a_deleted_parameter_is_gone_with_its_versions(ssm, name):
    ssm.delete_parameter(Name=name)
    with pytest.raises(ssm.exceptions.ParameterNotFound):
        ssm.get_parameter(Name=name)
    with pytest.raises(ssm.exceptions.ParameterNotFound):
        ssm.get_parameter_history(Name=name)
    assert ssm.put_parameter(Name=name, Value="new", Type="String")["Version"] == 1
