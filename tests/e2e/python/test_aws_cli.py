"""The `aws` command line, typed as the documentation types it."""

import json
import os
import subprocess
import uuid

from conftest import MILLPOND, cli_environment


def test_the_chapters_commands_work(aws, tmp_path):
    bucket, queue = f"cli-{uuid.uuid4().hex[:10]}", f"cli-{uuid.uuid4().hex[:10]}"
    aws("s3", "mb", f"s3://{bucket}")
    aws("s3", "website", f"s3://{bucket}", "--index-document", "index.html")
    page = tmp_path / "index.html"
    page.write_text("<h1>hello</h1>")
    aws("s3", "cp", str(page), f"s3://{bucket}/", "--acl", "public-read")
    assert "index.html" in aws("s3", "ls", f"s3://{bucket}").stdout
    assert aws("s3", "cp", f"s3://{bucket}/index.html", "-").stdout == "<h1>hello</h1>"
    url = json.loads(aws("sqs", "create-queue", "--queue-name", queue, "--output", "json").stdout)["QueueUrl"]
    assert url.endswith(f"/000000000000/{queue}")
    aws("sqs", "send-message", "--queue-url", url, "--message-body", "page one")
    counts = aws(
        "sqs", "get-queue-attributes", "--queue-url", url, "--output", "text",
        "--attribute-names", "ApproximateNumberOfMessages",
        "--query", "Attributes.ApproximateNumberOfMessages",
    )
    assert counts.stdout.strip() == "1"
    got = json.loads(aws("sqs", "receive-message", "--queue-url", url, "--output", "json").stdout)["Messages"][0]
    aws("sqs", "delete-message", "--queue-url", url, "--receipt-handle", got["ReceiptHandle"])
    aws("sqs", "delete-queue", "--queue-url", url)
    aws("s3", "rb", f"s3://{bucket}", "--force")


def test_a_tree_is_synchronised_with_a_multipart_file_in_it(aws, tmp_path):
    bucket = f"sync-{uuid.uuid4().hex[:10]}"
    aws("s3", "mb", f"s3://{bucket}")
    tree = tmp_path / "tree"
    (tree / "deep/er").mkdir(parents=True)
    (tree / "deep/er/file").write_bytes(b"small")
    (tree / "large").write_bytes(os.urandom(9 * 1024 * 1024))
    aws("s3", "sync", str(tree), f"s3://{bucket}/tree")
    aws("s3", "sync", f"s3://{bucket}/tree", str(tmp_path / "back"))
    assert (tmp_path / "back/large").read_bytes() == (tree / "large").read_bytes()
    assert (tmp_path / "back/deep/er/file").read_bytes() == b"small"
    aws("s3", "rb", f"s3://{bucket}", "--force")


def test_errors_read_as_they_do_on_aws(aws):
    result = aws("sqs", "get-queue-url", "--queue-name", "absent", check=False)
    assert result.returncode != 0
    assert "(AWS.SimpleQueueService.NonExistentQueue)" in result.stderr
    assert "The specified queue does not exist" in result.stderr
    result = aws("s3api", "get-object", "--bucket", "absent-bucket", "--key", "k", "/dev/null", check=False)
    assert "(NoSuchBucket)" in result.stderr


def test_who_am_i(aws):
    assert json.loads(aws("sts", "get-caller-identity", "--output", "json").stdout)["Account"] == "000000000000"


def test_millpond_exec_and_millpond_aws_need_no_set_up(server):
    address = server.endpoint.removeprefix("http://")
    environment = {
        name: value
        for name, value in cli_environment(server.endpoint).items()
        if not name.startswith("AWS_") or name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_PAGER")
    }
    run = lambda *words: subprocess.run(
        [MILLPOND, *words], capture_output=True, text=True, timeout=60,
        env={**environment, "MILLPOND_LISTEN": address},
    )
    listed = run("exec", "--", "aws", "s3", "ls")
    assert listed.returncode == 0, listed.stderr
    name = f"exec-{uuid.uuid4().hex[:8]}"
    made = run("aws", "sqs", "create-queue", "--queue-name", name, "--output", "text")
    assert made.returncode == 0, made.stderr
    assert made.stdout.strip().endswith(name)
    assert run("exec", "--", "sh", "-c", "exit 7").returncode == 7
