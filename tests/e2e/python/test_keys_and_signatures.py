"""Who may come in: strict mode with real keys, the codes that AWS gives, and what a web page cannot do."""

import re
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError

from conftest import MILLPOND, Server


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    directory = tmp_path_factory.mktemp("strict")
    data = directory / "data"
    made = subprocess.run(
        [MILLPOND, "keys", "create", "--data-dir", str(data)], capture_output=True, text=True, check=True
    ).stdout
    key = re.search(r"\b(AKIA[A-Z2-7]{16})\b", made).group(1)
    secret = re.search(r"(?:^|\s|=|\")([A-Za-z0-9+/]{40})(?:\s|\"|$)", made).group(1)
    server = Server(directory, "--auth", "strict", data_dir=data).start()
    server.key, server.secret = key, secret
    yield server
    assert server.stop() == 0


def code_of(call, *arguments, **keywords):
    with pytest.raises(ClientError) as error:
        call(*arguments, **keywords)
    return error.value.response["Error"]["Code"], error.value.response["ResponseMetadata"]["HTTPStatusCode"]


def test_the_right_key_opens_everything(strict):
    sqs = strict.client("sqs", key=strict.key, secret=strict.secret)
    url = sqs.create_queue(QueueName="strict")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="x")
    s3 = strict.client("s3", key=strict.key, secret=strict.secret)
    s3.create_bucket(Bucket="strict-bucket")
    s3.put_object(Bucket="strict-bucket", Key="a key + more", Body=b"bytes")
    assert s3.get_object(Bucket="strict-bucket", Key="a key + more")["Body"].read() == b"bytes"


@pytest.mark.parametrize("signature", ["s3v4", "s3"])
def test_both_of_s3s_signatures_are_verified(strict, signature):
    options = dict(signature_version=signature, s3={"addressing_style": "path"})
    right = strict.client("s3", key=strict.key, secret=strict.secret, **options)
    right.list_buckets()
    wrong = strict.client("s3", key=strict.key, secret="x" * 40, **options)
    assert code_of(wrong.list_buckets) == ("SignatureDoesNotMatch", 403)
    unknown = strict.client("s3", key="AKIAAAAAAAAAAAAAAAAA", secret="x" * 40, **options)
    assert code_of(unknown.list_buckets) == ("InvalidAccessKeyId", 403)


def test_sqs_has_codes_of_its_own_for_them(strict):
    wrong = strict.client("sqs", key=strict.key, secret="x" * 40)
    assert code_of(wrong.list_queues) == ("SignatureDoesNotMatch", 403)
    unknown = strict.client("sqs", key="AKIAAAAAAAAAAAAAAAAA", secret="x" * 40)
    assert code_of(unknown.list_queues) == ("InvalidClientTokenId", 403)


def test_a_presigned_url_expires(strict):
    s3 = strict.client("s3", key=strict.key, secret=strict.secret, signature_version="s3v4")
    url = s3.generate_presigned_url("list_buckets", ExpiresIn=1)
    assert urllib.request.urlopen(url, timeout=10).status == 200
    time.sleep(2.1)
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(url, timeout=10)
    assert error.value.code == 403 and b"Request has expired" in error.value.read()
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(url.replace("X-Amz-Expires=1", "X-Amz-Expires=9000"), timeout=10)
    assert b"SignatureDoesNotMatch" in error.value.read()


def test_the_secret_is_nowhere_on_the_disk(strict):
    for path in strict.data_dir.rglob("*"):
        if path.is_file():
            assert strict.secret.encode() not in path.read_bytes(), path


def test_a_public_address_is_refused_until_there_are_keys(tmp_path):
    result = subprocess.run(
        [MILLPOND, "serve", "--data-dir", str(tmp_path / "data"), "--listen", "0.0.0.0:0"],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert result.returncode != 0
    assert "millpond keys create" in result.stderr


def raw(server, request):
    host, port = server.endpoint.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request.encode())
        connection.settimeout(5)
        answer = b""
        try:
            while chunk := connection.recv(65536):
                answer += chunk
        except TimeoutError:
            pass
        return answer.decode(errors="replace")


def test_a_web_page_can_change_nothing(server, sqs):
    before = sqs.list_queues().get("QueueUrls", [])
    form = "Action=CreateQueue&Version=2012-11-05&QueueName=from-a-web-page"
    for host, origin in [("localhost", "http://evil.example"), ("evil.example", "http://evil.example")]:
        answer = raw(
            server,
            f"POST / HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nConnection: close\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(form)}\r\n\r\n{form}",
        )
        assert answer.split()[1] == "403", answer
    assert sqs.list_queues().get("QueueUrls", []) == before
