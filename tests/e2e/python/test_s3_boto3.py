"""S3 as boto3 sees it, and websites as a browser does."""

import hashlib
import io
import json
import urllib.error
import urllib.request
import uuid

import pytest
from botocore.exceptions import ClientError


def fetch(server, path="/", host=None, method="GET", headers=None):
    """An anonymous request, as curl would make it."""
    request = urllib.request.Request(server.endpoint + path, method=method, headers=headers or {})
    if host:
        request.add_header("Host", host)

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    try:
        with urllib.request.build_opener(Stay).open(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def status_of(error):
    return error.value.response["ResponseMetadata"]["HTTPStatusCode"]


def code_of(error):
    return error.value.response["Error"]["Code"]


def test_an_object_keeps_its_bytes_and_its_metadata(s3, bucket):
    body = bytes(range(256)) * 4096
    put = s3.put_object(
        Bucket=bucket,
        Key="a folder/é+&.bin",
        Body=body,
        ContentType="image/png",
        Metadata={"colour": "blue"},
        CacheControl="max-age=60",
    )
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    got = s3.get_object(Bucket=bucket, Key="a folder/é+&.bin")
    assert got["Body"].read() == body
    assert got["ContentType"] == "image/png"
    assert got["Metadata"] == {"colour": "blue"}
    assert got["CacheControl"] == "max-age=60"
    head = s3.head_object(Bucket=bucket, Key="a folder/é+&.bin")
    assert head["ContentLength"] == len(body)
    part = s3.get_object(Bucket=bucket, Key="a folder/é+&.bin", Range="bytes=10-19")
    assert part["Body"].read() == body[10:20]
    assert part["ContentRange"] == f"bytes 10-19/{len(body)}"


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_a_checksum_that_the_client_sends_is_verified_and_kept(s3, bucket, algorithm):
    s3.put_object(Bucket=bucket, Key="sum", Body=b"hello" * 1000, ChecksumAlgorithm=algorithm)
    # With ChecksumMode, boto3 verifies what it reads against the checksum that comes back.
    got = s3.get_object(Bucket=bucket, Key="sum", ChecksumMode="ENABLED")
    assert got["Body"].read() == b"hello" * 1000
    assert got[f"Checksum{algorithm}"]


def test_conditions_are_honoured(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"one")["ETag"]
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key="k", Body=b"two", IfNoneMatch="*")
    assert status_of(error) == 412
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=bucket, Key="k", IfNoneMatch=etag)
    assert status_of(error) == 304
    assert s3.get_object(Bucket=bucket, Key="k", IfMatch=etag)["Body"].read() == b"one"


def test_listing_has_folders_and_pages(s3, bucket):
    for key in ["a/1", "a/2", "b/1", "c", "d"]:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    top = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert [row["Prefix"] for row in top["CommonPrefixes"]] == ["a/", "b/"]
    assert [row["Key"] for row in top["Contents"]] == ["c", "d"]
    pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2}))
    assert [[row["Key"] for row in page["Contents"]] for page in pages] == [["a/1", "a/2"], ["b/1", "c"], ["d"]]
    old = s3.list_objects(Bucket=bucket, Prefix="a/", MaxKeys=1)
    assert [row["Key"] for row in old["Contents"]] == ["a/1"] and old["IsTruncated"]


def test_a_large_file_goes_up_in_parts_and_comes_down_whole(s3, bucket):
    body = hashlib.sha256(b"seed").digest() * (12 * 1024 * 1024 // 32)
    s3.upload_fileobj(io.BytesIO(body), bucket, "large")
    assert s3.head_object(Bucket=bucket, Key="large")["ETag"].endswith('-2"')
    down = io.BytesIO()
    s3.download_fileobj(bucket, "large", down)
    assert down.getvalue() == body
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "large"})
    assert s3.head_object(Bucket=bucket, Key="copy")["ContentLength"] == len(body)


def test_an_upload_that_is_aborted_leaves_nothing(s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"x")
    assert len(s3.list_parts(Bucket=bucket, Key="k", UploadId=upload)["Parts"]) == 1
    s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    with pytest.raises(ClientError) as error:
        s3.list_parts(Bucket=bucket, Key="k", UploadId=upload)
    assert code_of(error) == "NoSuchUpload"


def test_objects_are_deleted_in_batches_and_tags_are_kept(s3, bucket):
    s3.put_object(Bucket=bucket, Key="tagged", Body=b"", Tagging="a=1&b=2")
    tags = s3.get_object_tagging(Bucket=bucket, Key="tagged")["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"a": "1", "b": "2"}
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "tagged"}, {"Key": "never was"}]})
    assert sorted(row["Key"] for row in answer["Deleted"]) == ["never was", "tagged"]
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket=bucket, Key="tagged")


def test_the_errors_that_programs_catch_have_their_names(s3, bucket):
    with pytest.raises(s3.exceptions.NoSuchBucket):
        s3.list_objects_v2(Bucket="no-such-bucket-anywhere")
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    with pytest.raises(ClientError) as error:
        s3.delete_bucket(Bucket=bucket)
    assert code_of(error) == "BucketNotEmpty"
    with pytest.raises(ClientError) as error:
        s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})
    assert code_of(error) == "NotImplemented"


def test_the_public_sees_only_what_an_acl_opens(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="private", Body=b"no")
    s3.put_object(Bucket=bucket, Key="public", Body=b"yes", ACL="public-read")
    assert fetch(server, f"/{bucket}/public")[::2] == (200, b"yes")
    status, _, body = fetch(server, f"/{bucket}/private")
    assert status == 403 and b"<Code>AccessDenied</Code>" in body
    assert fetch(server, f"/{bucket}/public", method="DELETE")[0] == 403


def test_a_bucket_policy_opens_and_an_explicit_deny_closes(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="open/a", Body=b"a")
    s3.put_object(Bucket=bucket, Key="open/secret", Body=b"s")
    statement = lambda effect, key: {
        "Effect": effect, "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/{key}"
    }
    policy = {"Version": "2012-10-17", "Statement": [statement("Allow", "open/*"), statement("Deny", "open/secret")]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"]) == policy
    assert fetch(server, f"/{bucket}/open/a")[0] == 200
    assert fetch(server, f"/{bucket}/open/secret")[0] == 403
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={"RestrictPublicBuckets": True})
    assert fetch(server, f"/{bucket}/open/a")[0] == 403
    s3.delete_public_access_block(Bucket=bucket)
    s3.delete_bucket_policy(Bucket=bucket)
    assert fetch(server, f"/{bucket}/open/a")[0] == 403


@pytest.mark.parametrize("signature", ["s3v4", "s3"])
def test_a_presigned_url_works_for_whoever_holds_it(server, bucket, signature):
    s3 = server.client("s3", signature_version=signature, s3={"addressing_style": "path"})
    up = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "by url"})
    request = urllib.request.Request(up, data=b"sent", method="PUT", headers={"Content-Type": ""})
    assert urllib.request.urlopen(request, timeout=10).status == 200
    down = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "by url"})
    assert urllib.request.urlopen(down, timeout=10).read() == b"sent"


def test_a_bucket_answers_on_a_host_of_its_own(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"v", ACL="public-read")
    port = server.endpoint.rsplit(":", 1)[1]
    for host in (f"{bucket}.s3.localhost:{port}", f"{bucket}.s3.us-east-1.localhost:{port}"):
        assert fetch(server, "/k", host=host)[::2] == (200, b"v")


def test_a_website_serves_its_index_its_errors_and_its_redirects(server, s3, bucket):
    s3.put_bucket_website(
        Bucket=bucket,
        WebsiteConfiguration={
            "IndexDocument": {"Suffix": "index.html"},
            "ErrorDocument": {"Key": "oops.html"},
            "RoutingRules": [
                {"Condition": {"KeyPrefixEquals": "old/"}, "Redirect": {"ReplaceKeyPrefixWith": "new/"}},
            ],
        },
    )
    page = lambda key, body: s3.put_object(
        Bucket=bucket, Key=key, Body=body, ACL="public-read", ContentType="text/html"
    )
    page("index.html", b"home")
    page("docs/index.html", b"docs")
    page("oops.html", b"sorry")
    port = server.endpoint.rsplit(":", 1)[1]
    for form in (f"{bucket}.s3-website-us-east-1.localhost:{port}", f"{bucket}.s3-website.us-east-1.localhost:{port}"):
        status, headers, body = fetch(server, "/", host=form)
        assert (status, body, headers["Content-Type"]) == (200, b"home", "text/html")
    assert fetch(server, "/docs/", host=form)[::2] == (200, b"docs")
    status, headers, _ = fetch(server, "/docs", host=form)
    assert status == 302 and headers["Location"].endswith("/docs/")
    # The missing key is a 403 to someone who may not list, as on AWS; the error document comes with it.
    status, _, body = fetch(server, "/nothing", host=form)
    assert status in (403, 404) and body == b"sorry"
    status, headers, _ = fetch(server, "/old/page", host=form)
    assert status == 301 and headers["Location"].endswith("/new/page")
    assert fetch(server, "/index.html", host=form, method="POST")[0] == 405


def test_two_accounts_cannot_have_one_bucket_name(server, s3, bucket):
    other = server.client("s3", key="222222222222", s3={"addressing_style": "path"})
    with pytest.raises(ClientError) as error:
        other.create_bucket(Bucket=bucket)
    assert code_of(error) == "BucketAlreadyExists"
    with pytest.raises(ClientError) as error:
        other.list_objects_v2(Bucket=bucket)
    assert code_of(error) == "AccessDenied"
