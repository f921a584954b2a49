"""Parameter Store and ECR's repositories, as boto3 and the AWS CLI ask for them."""

import json
import uuid

import botocore.exceptions
import pytest


@pytest.fixture
def ssm(server):
    return server.client("ssm")


def test_parameters_live_as_boto3_and_the_cli_expect(ssm, aws):
    path = f"/app-{uuid.uuid4().hex[:12]}"
    assert ssm.put_parameter(Name=f"{path}/url", Value="http://x", Type="String")["Version"] == 1
    ssm.put_parameter(Name=f"{path}/key", Value="hunter2", Type="SecureString", Tags=[{"Key": "team", "Value": "a"}])
    got = json.loads(aws("ssm", "get-parameter", "--name", f"{path}/key", "--with-decryption").stdout)["Parameter"]
    assert (got["Value"], got["Type"]) == ("hunter2", "SecureString")
    assert got["ARN"] == f"arn:aws:ssm:us-east-1:000000000000:parameter{path}/key"
    assert "hunter2" not in json.dumps(ssm.get_parameter(Name=f"{path}/key")["Parameter"]["Value"])
    pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=path, PaginationConfig={"PageSize": 1})
    assert [one["Name"] for page in pages for one in page["Parameters"]] == [f"{path}/key", f"{path}/url"]
    assert ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=f"{path}/key")["TagList"][0]["Value"] == "a"
    with pytest.raises(ssm.exceptions.ParameterAlreadyExists):
        ssm.put_parameter(Name=f"{path}/url", Value="y", Type="String")
    assert ssm.put_parameter(Name=f"{path}/url", Value="y", Overwrite=True)["Version"] == 2
    assert ssm.get_parameter(Name=f"{path}/url:1")["Parameter"]["Value"] == "http://x"
    names = [f"{path}/url", f"{path}/key", f"{path}/none"]
    assert ssm.delete_parameters(Names=names)["InvalidParameters"] == [f"{path}/none"]
    with pytest.raises(ssm.exceptions.ParameterNotFound):
        ssm.get_parameter(Name=f"{path}/url")


def test_amazons_images_are_found_by_their_public_names(ssm, server):
    pages = ssm.get_paginator("get_parameters_by_path").paginate(Path="/aws/service/ami-amazon-linux-latest")
    found = {one["Value"] for page in pages for one in page["Parameters"]}
    images = server.client("ec2").describe_images(ImageIds=sorted(found))["Images"]
    assert len(images) == len(found) >= 2
    assert all(image["ImageOwnerAlias"] == "amazon" for image in images)


def test_a_repository_is_a_record_and_says_so_of_images(server):
    ecr = server.client("ecr")
    name = f"team/{uuid.uuid4().hex[:12]}"
    made = ecr.create_repository(repositoryName=name, imageTagMutability="IMMUTABLE")["repository"]
    assert made["repositoryUri"] == f"000000000000.dkr.ecr.us-east-1.amazonaws.com/{name}"
    assert made in ecr.describe_repositories()["repositories"]
    with pytest.raises(ecr.exceptions.LifecyclePolicyNotFoundException):
        ecr.get_lifecycle_policy(repositoryName=name)
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        ecr.get_authorization_token()
    assert refused.value.response["Error"]["Code"] == "UnknownOperationException"
    ecr.delete_repository(repositoryName=name)
    with pytest.raises(ecr.exceptions.RepositoryNotFoundException):
        ecr.describe_repositories(repositoryNames=[name])
