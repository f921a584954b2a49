"""ECR's repositories, which are records here: made, set, guarded, tagged and deleted, as boto3 and the CLI do it."""

import json
import uuid

import botocore.exceptions
import pytest


@pytest.fixture
def ecr(server):
    return server.client("ecr")


@pytest.fixture
def repository(ecr):
    made = ecr.create_repository(repositoryName=f"team/r-{uuid.uuid4().hex[:8]}")["repository"]
    yield made
    try:
        ecr.delete_repository(repositoryName=made["repositoryName"])
    except ecr.exceptions.RepositoryNotFoundException:
        pass


def refused(call, **parameters):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**parameters)
    return caught.value.response["Error"]["Code"]


def test_a_repository_is_made_set_and_deleted(ecr, aws, repository):
    name = {"repositoryName": repository["repositoryName"]}
    assert repository["repositoryUri"].endswith(f"/{repository['repositoryName']}")
    assert refused(ecr.create_repository, **name) == "RepositoryAlreadyExistsException"
    ecr.put_image_tag_mutability(**name, imageTagMutability="IMMUTABLE")
    aws(
        *["ecr", "put-image-scanning-configuration", "--repository-name", repository["repositoryName"]],
        *["--image-scanning-configuration", "scanOnPush=true"],
    )
    (told,) = ecr.describe_repositories(repositoryNames=[repository["repositoryName"]])["repositories"]
    assert told["imageTagMutability"] == "IMMUTABLE" and told["imageScanningConfiguration"] == {"scanOnPush": True}
    assert told["repositoryArn"] == repository["repositoryArn"]
    assert refused(ecr.put_image_tag_mutability, repositoryName="absent", imageTagMutability="MUTABLE") == (
        "RepositoryNotFoundException"
    )
    ecr.delete_repository(**name)
    assert refused(ecr.describe_repositories, repositoryNames=[repository["repositoryName"]]) == (
        "RepositoryNotFoundException"
    )


def test_policies_of_a_repository_come_and_go(ecr, repository):
    name = {"repositoryName": repository["repositoryName"]}
    rule = {
        "rulePriority": 1,
        "selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 5},
        "action": {"type": "expire"},
    }
    assert refused(ecr.get_lifecycle_policy, **name) == "LifecyclePolicyNotFoundException"
    ecr.put_lifecycle_policy(**name, lifecyclePolicyText=json.dumps({"rules": [rule]}))
    assert json.loads(ecr.get_lifecycle_policy(**name)["lifecyclePolicyText"]) == {"rules": [rule]}
    assert refused(ecr.put_lifecycle_policy, **name, lifecyclePolicyText="x" * 100) == "InvalidParameterException"
    ecr.delete_lifecycle_policy(**name)
    assert refused(ecr.get_lifecycle_policy, **name) == "LifecyclePolicyNotFoundException"

    statement = {"Sid": "pull", "Effect": "Allow", "Principal": "*", "Action": "ecr:BatchGetImage"}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    assert refused(ecr.get_repository_policy, **name) == "RepositoryPolicyNotFoundException"
    ecr.set_repository_policy(**name, policyText=json.dumps(policy))
    assert json.loads(ecr.get_repository_policy(**name)["policyText"])["Statement"][0]["Sid"] == "pull"
    assert refused(ecr.set_repository_policy, **name, policyText="no policy") == "InvalidParameterException"
    ecr.delete_repository_policy(**name)
    assert refused(ecr.get_repository_policy, **name) == "RepositoryPolicyNotFoundException"


def test_tags_of_a_repository_come_and_go(ecr, repository):
    arn = {"resourceArn": repository["repositoryArn"]}
    tags = lambda: {one["Key"]: one["Value"] for one in ecr.list_tags_for_resource(**arn)["tags"]}
    ecr.tag_resource(**arn, tags=[{"Key": "team", "Value": "blue"}, {"Key": "stage", "Value": "prod"}])
    ecr.tag_resource(**arn, tags=[{"Key": "team", "Value": "red"}])
    assert tags() == {"team": "red", "stage": "prod"}
    ecr.untag_resource(**arn, tagKeys=["stage", "absent"])
    assert tags() == {"team": "red"}
