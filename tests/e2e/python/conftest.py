"""Fixtures: a real `millpond` process a session, and clients of it as a user makes them."""

import os
import pathlib
import signal
import subprocess
import sys
import time
import uuid

import boto3
import pytest
from botocore.config import Config

MILLPOND = os.environ.get("MILLPOND_BIN", str(pathlib.Path(__file__).parents[3] / "target/release/millpond"))


class Server:
    """One `millpond serve`, on a port of its own."""

    def __init__(self, directory, *flags, data_dir=None, env=None):
        self.directory = pathlib.Path(directory)
        self.data_dir = data_dir
        self.flags = flags
        self.env = env or {}
        self.process = None
        self.endpoint = None

    def start(self):
        endpoint_file = self.directory / f"endpoint-{uuid.uuid4().hex}"
        state = ["--data-dir", str(self.data_dir)] if self.data_dir else ["--ephemeral"]
        self.log = open(self.directory / "server.log", "ab")
        self.process = subprocess.Popen(
            [MILLPOND, "serve", *state, "--listen", "127.0.0.1:0", "--endpoint-file", str(endpoint_file), *self.flags],
            stdout=self.log,
            stderr=self.log,
            cwd=self.directory,
            env={**os.environ, **self.env},
        )
        deadline = time.monotonic() + 20
        while not (endpoint_file.exists() and endpoint_file.read_text().strip()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("millpond did not start:\n" + (self.directory / "server.log").read_text())
            time.sleep(0.01)
        self.endpoint = endpoint_file.read_text().strip()
        return self

    def stop(self, how=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(40)
        return self.process.returncode

    def client(self, service, key="test", secret="test", region="us-east-1", **config):
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            region_name=region,
            config=Config(retries={"max_attempts": 1, "mode": "standard"}, **config),
        )


def cli_environment(endpoint, key="test", secret="test", region="us-east-1"):
    """What a user's shell holds, and nothing of this machine's own AWS set-up."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {
        **kept,
        "PATH": f"{pathlib.Path(sys.executable).parent}:{kept.get('PATH', '')}",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": region,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_PAGER": "",
    }


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("server"), "--sqs-cooldowns", "false").start()
    yield running
    assert running.stop() == 0, "SIGTERM must end the server with 0"


@pytest.fixture
def sqs(server):
    return server.client("sqs")


@pytest.fixture
def s3(server):
    return server.client("s3", s3={"addressing_style": "path"})


@pytest.fixture
def queue_url(sqs):
    url = sqs.create_queue(QueueName=f"q-{uuid.uuid4().hex[:12]}")["QueueUrl"]
    yield url
    try:
        sqs.delete_queue(QueueUrl=url)
    except sqs.exceptions.QueueDoesNotExist:
        pass


@pytest.fixture
def bucket(s3):
    name = f"b-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    yield name
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
        for row in page.get("Contents", []):
            s3.delete_object(Bucket=name, Key=row["Key"])
    s3.delete_bucket(Bucket=name)


@pytest.fixture
def aws(server):
    """Runs the AWS CLI as a user types it."""

    def run(*words, check=True, input=None):
        # CLI v1 ignores AWS_ENDPOINT_URL for sqs (aws/aws-cli#7972), so the flag is given as well.
        result = subprocess.run(
            ["aws", "--endpoint-url", server.endpoint, *words],
            capture_output=True,
            text=True,
            input=input,
            env=cli_environment(server.endpoint),
            timeout=60,
        )
        if check:
            assert result.returncode == 0, result.stderr
        return result

    return run


@pytest.fixture(scope="session")
def platform(tmp_path_factory):
    """A server for load balancers: zones with addresses, DNS, and a data directory for `millpond instances`."""
    from load_balancing import Platform

    running = Platform(tmp_path_factory.mktemp("balancer"))
    yield running
    assert running.server.stop() == 0, "SIGTERM must end the server with 0"


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """Certificates: a root, an intermediate, and what they sign."""
    from load_balancing import make_authority, make_certificate

    directory = make_authority(tmp_path_factory.mktemp("certificates"))
    for name in ("web", "next"):
        make_certificate(directory, name)
    return directory


@pytest.fixture
def plain(tmp_path):
    """A server whose instances are plain processes."""
    from stacks import World

    world = World(tmp_path, "unprivileged")
    yield world
    assert world.server.stop() == 0


@pytest.fixture
def privileged(tmp_path):
    """A server whose instances have a root and a network of their own, with the key pair that the book's reader has made."""
    from stacks import World
    from test_instances import CAN_BE

    if not CAN_BE:
        pytest.skip("instances with a root and a network of their own need privileges")
    world = World(tmp_path, "privileged")
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", str(key)], check=True)
    public = pathlib.Path(f"{key}.pub").read_bytes()
    world.client("ec2").import_key_pair(KeyName="mykey", PublicKeyMaterial=public)
    yield world
    assert world.server.stop() == 0
