"""Versioning, lifecycle and default encryption of S3, as boto3 and the `aws` command line use them."""

import datetime
import json
import signal
import time
import uuid

import pytest
from botocore.exceptions import ClientError

from conftest import Server


def refused(call, **arguments):
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return error.value.response


def empty(s3, bucket):
    """Deletes all versions, as scripts do."""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        found = page.get("Versions", []) + page.get("DeleteMarkers", [])
        objects = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]
        if objects:
            assert "Errors" not in s3.delete_objects(Bucket=bucket, Delete={"Objects": objects})


@pytest.fixture
def versioned(s3):
    name = f"v-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    yield name
    empty(s3, name)
    s3.delete_bucket(Bucket=name)


def put(s3, bucket, key, body):
    return s3.put_object(Bucket=bucket, Key=key, Body=body).get("VersionId")


def read(s3, bucket, key, **which):
    return s3.get_object(Bucket=bucket, Key=key, **which)["Body"].read()


def test_every_write_is_a_version_and_a_delete_hides_them(s3, versioned):
    assert s3.get_bucket_versioning(Bucket=versioned)["Status"] == "Enabled"
    first, second = put(s3, versioned, "k", b"first"), put(s3, versioned, "k", b"second")
    assert s3.get_object(Bucket=versioned, Key="k")["VersionId"] == second
    deleted = s3.delete_object(Bucket=versioned, Key="k")
    assert deleted["DeleteMarker"] is True
    missing = refused(s3.get_object, Bucket=versioned, Key="k")
    assert missing["Error"]["Code"] == "NoSuchKey"
    assert missing["ResponseMetadata"]["HTTPHeaders"]["x-amz-delete-marker"] == "true"
    marker = refused(s3.get_object, Bucket=versioned, Key="k", VersionId=deleted["VersionId"])
    assert marker["Error"]["Code"] == "MethodNotAllowed"
    assert marker["ResponseMetadata"]["HTTPHeaders"]["x-amz-delete-marker"] == "true"
    head = refused(s3.head_object, Bucket=versioned, Key="k", VersionId=deleted["VersionId"])
    assert head["ResponseMetadata"]["HTTPStatusCode"] == 405
    assert "Contents" not in s3.list_objects_v2(Bucket=versioned)
    assert [read(s3, versioned, "k", VersionId=v) for v in (first, second)] == [b"first", b"second"]

    listed = s3.list_object_versions(Bucket=versioned)
    assert [one["VersionId"] for one in listed["Versions"]] == [second, first]
    assert [(one["VersionId"], one["IsLatest"]) for one in listed["DeleteMarkers"]] == [(deleted["VersionId"], True)]
    undone = s3.delete_object(Bucket=versioned, Key="k", VersionId=deleted["VersionId"])
    assert (undone["DeleteMarker"], undone["VersionId"]) == (True, deleted["VersionId"])
    assert read(s3, versioned, "k") == b"second"
    gone = s3.delete_object(Bucket=versioned, Key="k", VersionId=second)
    assert "DeleteMarker" not in gone and gone["VersionId"] == second
    assert read(s3, versioned, "k") == b"first"
    assert refused(s3.get_object, Bucket=versioned, Key="k", VersionId=second)["Error"]["Code"] == "NoSuchVersion"
    bad = refused(s3.get_object, Bucket=versioned, Key="k", VersionId="HPniJFCxqTsMuIH9KX8K8wEjNUgmABCD")
    assert bad["Error"]["Code"] == "InvalidArgument"
    assert refused(s3.delete_bucket, Bucket=versioned)["Error"]["Code"] == "BucketNotEmpty"


def test_suspending_keeps_versions_and_writes_over_null(s3, versioned):
    kept = put(s3, versioned, "k", b"kept")
    s3.put_bucket_versioning(Bucket=versioned, VersioningConfiguration={"Status": "Suspended"})
    assert put(s3, versioned, "k", b"one") is None
    assert put(s3, versioned, "k", b"two") is None
    assert s3.head_object(Bucket=versioned, Key="k")["VersionId"] == "null"
    listed = s3.list_object_versions(Bucket=versioned)["Versions"]
    assert [(one["VersionId"], one["IsLatest"]) for one in listed] == [("null", True), (kept, False)]
    deleted = s3.delete_object(Bucket=versioned, Key="k")
    assert (deleted["DeleteMarker"], deleted["VersionId"]) == (True, "null")
    s3.delete_object(Bucket=versioned, Key="k", VersionId="null")
    assert read(s3, versioned, "k") == b"kept"


def test_copies_tags_and_attributes_go_by_version(s3, versioned):
    first, second = put(s3, versioned, "k", b"first"), put(s3, versioned, "k", b"second")
    source = {"Bucket": versioned, "Key": "k", "VersionId": first}
    copy = s3.copy_object(Bucket=versioned, Key="k", CopySource=source)
    assert copy["CopySourceVersionId"] == first and copy["VersionId"] not in (first, second)
    assert read(s3, versioned, "k") == b"first"
    tagged = s3.put_object_tagging(
        Bucket=versioned, Key="k", VersionId=second, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]}
    )
    assert tagged["VersionId"] == second
    assert s3.get_object_tagging(Bucket=versioned, Key="k")["TagSet"] == []
    assert s3.get_object_tagging(Bucket=versioned, Key="k", VersionId=second)["TagSet"] == [{"Key": "a", "Value": "b"}]
    s3.delete_object_tagging(Bucket=versioned, Key="k", VersionId=second)
    assert s3.get_object_tagging(Bucket=versioned, Key="k", VersionId=second)["TagSet"] == []
    s3.put_object_acl(Bucket=versioned, Key="k", VersionId=first, ACL="public-read")
    assert len(s3.get_object_acl(Bucket=versioned, Key="k", VersionId=first)["Grants"]) == 2
    assert len(s3.get_object_acl(Bucket=versioned, Key="k")["Grants"]) == 1
    attributes = s3.get_object_attributes(
        Bucket=versioned, Key="k", VersionId=second, ObjectAttributes=["ObjectSize", "ETag"]
    )
    assert (attributes["ObjectSize"], attributes["VersionId"]) == (6, second)
    upload = s3.create_multipart_upload(Bucket=versioned, Key="k")["UploadId"]
    part = s3.upload_part_copy(Bucket=versioned, Key="k", UploadId=upload, PartNumber=1, CopySource=source)
    assert part["CopySourceVersionId"] == first
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}]}
    whole = s3.complete_multipart_upload(Bucket=versioned, Key="k", UploadId=upload, MultipartUpload=parts)
    assert read(s3, versioned, "k", VersionId=whole["VersionId"]) == b"first"


def test_pages_of_versions_come_to_all_of_them(s3, versioned):
    expected = []
    for key in ("a", "b/1", "b/2", "ü +"):
        mine = [put(s3, versioned, key, str(n).encode()) for n in range(3)]
        expected += [(key, version) for version in reversed(mine)]
    for size in (1, 2, 5, 100):
        pages = s3.get_paginator("list_object_versions").paginate(
            Bucket=versioned, PaginationConfig={"PageSize": size}
        )
        found = [(one["Key"], one["VersionId"]) for page in pages for one in page.get("Versions", [])]
        assert found == expected
    grouped = s3.list_object_versions(Bucket=versioned, Delimiter="/")
    assert [one["Prefix"] for one in grouped["CommonPrefixes"]] == ["b/"]
    assert len(grouped["Versions"]) == 6
    assert len(s3.list_object_versions(Bucket=versioned, Prefix="b/")["Versions"]) == 6


RULES = {
    "Rules": [
        {
            "ID": "CleanupOldVersions",
            "Filter": {"Prefix": ""},
            "Status": "Enabled",
            "NoncurrentVersionExpiration": {"NoncurrentDays": 30, "NewerNoncurrentVersions": 5},
        },
        {
            "ID": "abort",
            "Filter": {"And": {"Prefix": "a/", "ObjectSizeGreaterThan": 10, "Tags": [{"Key": "k", "Value": "v"}]}},
            "Status": "Disabled",
            "Expiration": {"Days": 7},
        },
        {
            "ID": "uploads",
            "Filter": {},
            "Status": "Enabled",
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
        },
    ]
}


def test_lifecycle_rules_read_back_and_show_in_headers(s3, versioned):
    missing = refused(s3.get_bucket_lifecycle_configuration, Bucket=versioned)
    assert missing["Error"]["Code"] == "NoSuchLifecycleConfiguration"
    s3.put_bucket_lifecycle_configuration(Bucket=versioned, LifecycleConfiguration=RULES)
    assert s3.get_bucket_lifecycle_configuration(Bucket=versioned)["Rules"] == RULES["Rules"]
    upload = s3.create_multipart_upload(Bucket=versioned, Key="k")
    assert upload["AbortRuleId"] == "uploads"
    days = (upload["AbortDate"] - datetime.datetime.now(datetime.timezone.utc)).total_seconds() / 86400
    assert 1 <= days <= 2 and upload["AbortDate"].hour == 0
    s3.abort_multipart_upload(Bucket=versioned, Key="k", UploadId=upload["UploadId"])
    expiring = {"Rules": [{"ID": "tmp", "Filter": {"Prefix": "tmp/"}, "Status": "Enabled", "Expiration": {"Days": 3}}]}
    s3.put_bucket_lifecycle_configuration(Bucket=versioned, LifecycleConfiguration=expiring)
    assert 'rule-id="tmp"' in s3.put_object(Bucket=versioned, Key="tmp/a", Body=b"x")["Expiration"]
    assert 'rule-id="tmp"' in s3.head_object(Bucket=versioned, Key="tmp/a")["Expiration"]
    transition = {**expiring["Rules"][0], "Transitions": [{"Days": 30, "StorageClass": "GLACIER"}]}
    answer = refused(
        s3.put_bucket_lifecycle_configuration, Bucket=versioned, LifecycleConfiguration={"Rules": [transition]}
    )
    assert answer["Error"]["Code"] == "NotImplemented" and "Transition" in answer["Error"]["Message"]
    s3.delete_bucket_lifecycle(Bucket=versioned)
    assert "Expiration" not in s3.head_object(Bucket=versioned, Key="tmp/a")


def test_default_encryption_is_aes256_or_refused(s3, bucket):
    def of(**default):
        return {"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}

    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=of(SSEAlgorithm="AES256"))
    rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules == [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}]
    answer = refused(
        s3.put_bucket_encryption, Bucket=bucket, ServerSideEncryptionConfiguration=of(SSEAlgorithm="aws:kms")
    )
    assert answer["Error"]["Code"] == "NotImplemented"
    s3.delete_bucket_encryption(Bucket=bucket)
    answer = refused(s3.get_bucket_encryption, Bucket=bucket)
    assert answer["Error"]["Code"] == "ServerSideEncryptionConfigurationNotFoundError"


def test_the_command_line_speaks_of_versions(aws, tmp_path):
    bucket = f"cli-{uuid.uuid4().hex[:10]}"
    aws("s3", "mb", f"s3://{bucket}")
    aws("s3api", "put-bucket-versioning", "--bucket", bucket, "--versioning-configuration", "Status=Enabled")
    text = aws("s3api", "get-bucket-versioning", "--bucket", bucket, "--output", "json").stdout
    assert json.loads(text) == {"Status": "Enabled"}
    for body in ("first", "second"):
        aws("s3", "cp", "-", f"s3://{bucket}/k", input=body)
    aws("s3", "rm", f"s3://{bucket}/k")
    listed = json.loads(aws("s3api", "list-object-versions", "--bucket", bucket, "--output", "json").stdout)
    assert (len(listed["Versions"]), len(listed["DeleteMarkers"])) == (2, 1)
    out = tmp_path / "out"
    version = listed["Versions"][1]["VersionId"]
    aws("s3api", "get-object", "--bucket", bucket, "--key", "k", "--version-id", version, str(out))
    assert out.read_text() == "first"
    aws(
        "s3api", "put-bucket-lifecycle-configuration", "--bucket", bucket,
        "--lifecycle-configuration", json.dumps(RULES),
    )
    text = aws("s3api", "get-bucket-lifecycle-configuration", "--bucket", bucket, "--output", "json").stdout
    assert json.loads(text)["Rules"] == RULES["Rules"]
    aws("s3api", "delete-bucket-lifecycle", "--bucket", bucket)
    default = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    aws(
        "s3api", "put-bucket-encryption", "--bucket", bucket,
        "--server-side-encryption-configuration", json.dumps(default),
    )
    assert "AES256" in aws("s3api", "get-bucket-encryption", "--bucket", bucket, "--output", "json").stdout
    refusal = aws("s3", "rb", f"s3://{bucket}", check=False)
    assert "BucketNotEmpty" in refusal.stderr
    for one in listed["Versions"] + listed["DeleteMarkers"]:
        aws("s3api", "delete-object", "--bucket", bucket, "--key", "k", "--version-id", one["VersionId"])
    aws("s3", "rb", f"s3://{bucket}")


def test_a_stacks_bucket_is_versioned_expires_and_is_encrypted_by_default(server, s3):
    cloudformation = server.client("cloudformation")
    name = f"versions-{uuid.uuid4().hex[:8]}"

    def template(**properties):
        return json.dumps({"Resources": {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": properties}}})

    # As CDK's bootstrap has it.
    full = {
        "VersioningConfiguration": {"Status": "Enabled"},
        "LifecycleConfiguration": {
            "Rules": [
                {
                    "Id": "CleanupOldVersions",
                    "Status": "Enabled",
                    "NoncurrentVersionExpiration": {"NoncurrentDays": 30},
                },
                {
                    "Id": "AbortIncompleteMultipartUploads",
                    "Status": "Enabled",
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
                },
            ]
        },
        "BucketEncryption": {
            "ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
        },
    }
    cloudformation.create_stack(StackName=name, TemplateBody=template(**full))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    bucket = cloudformation.describe_stack_resource(StackName=name, LogicalResourceId="Bucket")[
        "StackResourceDetail"
    ]["PhysicalResourceId"]
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert [rule["ID"] for rule in rules] == ["CleanupOldVersions", "AbortIncompleteMultipartUploads"]
    assert rules[0]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    assert "ServerSideEncryptionConfiguration" in s3.get_bucket_encryption(Bucket=bucket)

    cloudformation.update_stack(StackName=name, TemplateBody=template())
    cloudformation.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Suspended"
    missing = refused(s3.get_bucket_lifecycle_configuration, Bucket=bucket)
    assert missing["Error"]["Code"] == "NoSuchLifecycleConfiguration"
    cloudformation.delete_stack(StackName=name)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})


def test_versions_survive_kill_9_and_a_start_catches_up_on_lifecycle(tmp_path):
    server = Server(tmp_path, data_dir=tmp_path / "data").start()
    try:
        s3 = server.client("s3", s3={"addressing_style": "path"})
        s3.create_bucket(Bucket="kept")
        assert put(s3, "kept", "k", b"before") is None
        s3.put_bucket_versioning(Bucket="kept", VersioningConfiguration={"Status": "Enabled"})
        large = bytes(range(256)) * 400
        first, second = put(s3, "kept", "k", large), put(s3, "kept", "k", b"second")
        marker = s3.delete_object(Bucket="kept", Key="k")["VersionId"]
        put(s3, "kept", "tmp/a", b"x")
        past = {"Date": datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)}
        rule = {"ID": "past", "Filter": {"Prefix": "tmp/"}, "Status": "Enabled", "Expiration": past}
        s3.put_bucket_lifecycle_configuration(Bucket="kept", LifecycleConfiguration={"Rules": [rule]})
        assert read(s3, "kept", "tmp/a") == b"x"
        server.stop(signal.SIGKILL)
        server.start()
        s3 = server.client("s3", s3={"addressing_style": "path"})
        listed = s3.list_object_versions(Bucket="kept", Prefix="k")
        assert [one["VersionId"] for one in listed["Versions"]] == [second, first, "null"]
        assert [one["VersionId"] for one in listed["DeleteMarkers"]] == [marker]
        assert read(s3, "kept", "k", VersionId=first) == large
        assert read(s3, "kept", "k", VersionId="null") == b"before"
        deadline = time.monotonic() + 10
        while "Contents" in s3.list_objects_v2(Bucket="kept", Prefix="tmp/"):
            assert time.monotonic() < deadline, "the pass at start does what is due"
            time.sleep(0.05)
        expired = s3.list_object_versions(Bucket="kept", Prefix="tmp/")
        assert len(expired["Versions"]) == len(expired["DeleteMarkers"]) == 1
        s3.delete_object(Bucket="kept", Key="k", VersionId=marker)
        assert read(s3, "kept", "k") == b"second"
    finally:
        assert server.stop() == 0
