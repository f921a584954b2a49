"""Stacks with servers in them: our own example, which needs no privileges, and the book's template of 2015, unmodified.
Killed in the middle again and again, nothing is there twice and nothing is left behind."""

import os
import pathlib
import random
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
import uuid

import botocore.exceptions
import pytest

from conftest import MILLPOND, Server
from load_balancing import address, eventually, free_port
from test_instances import CAN_BE, census

ROOT = pathlib.Path(__file__).parents[3]
EXAMPLE = ROOT / "examples/cloudformation/web.yaml"
BOOK = ROOT / "crates/services/cloudformation/testdata/loadbalancer.json"
# Each round of the book's template installs a package twice; many rounds are for nights.
ROUNDS = int(os.environ.get("MILLPOND_KILL_ROUNDS", "2"))


class World:
    def __init__(self, directory, isolation):
        self.node = address()
        (directory / "millpond.toml").write_text(f'[[zone]]\nname = "us-east-1a"\naddresses = ["{self.node}"]\n')
        self.data = directory / "data"
        # A port that stays: instances that are told of it outlive a server that is killed.
        listen = f"127.0.0.1:{free_port()}"
        self.endpoint = f"http://{listen}"
        self.server = Server(directory, "--instance-isolation", isolation, "--listen", listen, data_dir=self.data)
        self.start()

    def start(self):
        self.server.start()
        self.server.endpoint = self.endpoint

    def client(self, service):
        return self.server.client(service)

    def kill(self):
        self.server.stop(signal.SIGKILL)
        self.start()

    def get(self, port, path="/"):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{self.node}:{port}{path}", timeout=10) as answer:
            return re.search("<title>(.*)</title>", answer.read().decode()).group(1)

    def status(self, stack):
        try:
            return self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
        except botocore.exceptions.ClientError as error:
            assert "does not exist" in str(error), error
            return "gone"

    def settled(self, stack, within=120):
        eventually("the stack comes to rest", lambda: not self.status(stack).endswith("_IN_PROGRESS"), within=within)
        return self.status(stack)

    def in_service(self, balancer):
        states = self.client("elb").describe_instance_health(LoadBalancerName=balancer)["InstanceStates"]
        return [one["InstanceId"] for one in states if one["State"] == "InService"]

    def left(self):
        """Whatever a stack may have left behind, here and in the services."""
        ec2 = self.client("ec2")
        reservations = ec2.describe_instances()["Reservations"]
        found = [one for r in reservations for one in r["Instances"] if one["State"]["Name"] != "terminated"]
        found += self.client("elb").describe_load_balancers()["LoadBalancerDescriptions"]
        found += self.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        found += self.client("autoscaling").describe_launch_configurations()["LaunchConfigurations"]
        found += [one for one in ec2.describe_vpcs()["Vpcs"] if not one["IsDefault"]]
        found += [one for one in ec2.describe_security_groups()["SecurityGroups"] if one["GroupName"] != "default"]
        found += [one for one in ec2.describe_internet_gateways()["InternetGateways"] if one.get("Tags")]
        return found + census(self.data)


@pytest.fixture
def plain(tmp_path):
    world = World(tmp_path, "unprivileged")
    yield world
    assert world.server.stop() == 0


@pytest.fixture
def privileged(tmp_path):
    if not CAN_BE:
        pytest.skip("instances with a root and a network of their own need privileges")
    world = World(tmp_path, "privileged")
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", str(key)], check=True)
    public = pathlib.Path(f"{key}.pub").read_bytes()
    world.client("ec2").import_key_pair(KeyName="mykey", PublicKeyMaterial=public)
    yield world
    assert world.server.stop() == 0


def millpond(world, *words):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MILLPOND_"))}
    command = [MILLPOND, "stack", "--endpoint", world.server.endpoint, *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=150)


def test_our_own_example_is_deployed_heals_itself_and_goes(plain):
    before, port, servers = plain.left(), free_port(), free_port()
    parameters = ["--parameter", f"Port={port}", "--parameter", f"ServerPort={servers}"]
    said = millpond(plain, "deploy", str(EXAMPLE), *parameters)
    assert said.returncode == 0, said.stdout + said.stderr
    assert f"URL = http://web-" in said.stdout and "web is CREATE_COMPLETE" in said.stdout
    balancer = re.search(r"URL = http://(.*)-\d+\.us-east-1", said.stdout).group(1)
    eventually("both serve", lambda: len(plain.in_service(balancer)) == 2)
    titles = [plain.get(port) for _ in range(4)]
    assert len(set(titles)) == 2 and titles[0] == titles[2], titles
    subprocess.run(["pkill", "-9", "-f", f"http.server {servers} --bind 127.{titles[0][4:]}"], check=True)
    # Until its health checks fail, the dead one's share is a 502.
    def healed():
        try:
            return len(plain.in_service(balancer)) == 2 and titles[0] not in {plain.get(port) for _ in range(4)}
        except urllib.error.HTTPError:
            return False

    eventually("another serves in its place", healed, within=60)
    said = millpond(plain, "delete", "web")
    assert said.returncode == 0, said.stdout + said.stderr
    eventually("nothing is left", lambda: plain.left() == before)


def test_our_own_example_survives_kills(plain):
    before, chance = plain.left(), random.Random(7)
    text = EXAMPLE.read_text()
    for round in range(4):
        parameters = {"Port": free_port(), "ServerPort": free_port()}
        given = [{"ParameterKey": name, "ParameterValue": str(value)} for name, value in parameters.items()]
        name = f"s-{uuid.uuid4().hex[:8]}"
        stack = plain.client("cloudformation").create_stack(StackName=name, TemplateBody=text, Parameters=given)["StackId"]
        for _ in range(3):
            time.sleep(chance.uniform(0, 0.3))
            plain.kill()
        assert plain.settled(stack) == "CREATE_COMPLETE"
        one = {"ParameterKey": "NumberOfServers", "ParameterValue": "1"}
        plain.client("cloudformation").update_stack(StackName=name, UsePreviousTemplate=True, Parameters=[*given, one])
        time.sleep(chance.uniform(0, 0.2))
        plain.kill()
        assert plain.settled(stack) == "UPDATE_COMPLETE"
        (group,) = plain.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        eventually("one is left", lambda: len(plain.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"][0]["Instances"]) == 1)
        plain.client("cloudformation").delete_stack(StackName=name)
        time.sleep(chance.uniform(0, 0.2))
        plain.kill()
        assert plain.settled(stack) == "DELETE_COMPLETE"
        eventually("nothing is left", lambda: plain.left() == before)


def test_the_books_template_is_deployed_unmodified(privileged):
    world = privileged
    before = world.left()
    cfn = world.client("cloudformation")
    begun = time.monotonic()
    stack = cfn.create_stack(StackName="book", TemplateBody=BOOK.read_text())["StackId"]
    assert world.settled(stack, within=300) == "CREATE_COMPLETE"
    print(f"the book's template: {time.monotonic() - begun:.1f} s to CREATE_COMPLETE")
    events = cfn.get_paginator("describe_stack_events").paginate(StackName=stack).build_full_result()["StackEvents"]
    assert any("Received SUCCESS signal with UniqueId i-" in one.get("ResourceStatusReason", "") for one in events)
    eventually("both serve", lambda: len(world.in_service("elb")) == 2, within=60)
    print(f"the book's template: {time.monotonic() - begun:.1f} s to both in service")
    titles = [world.get(80) for _ in range(4)]
    assert len(set(titles)) == 2 and titles[0] == titles[2], titles
    assert all(title.startswith("172.31.38.") for title in titles)
    # The servers answer the load balancer and nobody else. (test_instances asks from within the VPC, too.)
    asked = subprocess.run(["curl", "--noproxy", "*", "-s", "-m", "3", f"http://{titles[0]}/"], capture_output=True)
    # Networks with a proxy for everything answer for addresses that they do not have; but not with this page.
    assert titles[0].encode() not in asked.stdout, asked
    first = set(world.in_service("elb"))
    (doomed,) = [one for one in first if address_of(world, one) == titles[0]]
    kill_web_server_of(world, doomed)
    world.client("autoscaling").set_instance_health(InstanceId=doomed, HealthStatus="Unhealthy")
    eventually("another serves in its place", lambda: len(set(world.in_service("elb")) - first) == 1, within=120)
    cfn.delete_stack(StackName="book")
    assert world.settled(stack) == "DELETE_COMPLETE"
    eventually("nothing is left", lambda: world.left() == before, within=60)


def address_of(world, instance):
    return world.client("ec2").describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]["PrivateIpAddress"]


def kill_web_server_of(world, instance):
    """Ends apache in one instance, found by the instance's own mark in its processes' environment."""
    for process in pathlib.Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            root = os.readlink(process / "root")
            line = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if b"apache2" in line and instance in root:
            os.kill(int(process.name), signal.SIGKILL)


def test_the_books_template_survives_kills(privileged):
    world = privileged
    before, chance = world.left(), random.Random(11)
    for _ in range(ROUNDS):
        cfn = world.client("cloudformation")
        stack = cfn.create_stack(StackName="book", TemplateBody=BOOK.read_text())["StackId"]
        for _ in range(3):
            time.sleep(chance.uniform(0, 4))
            world.kill()
        assert world.settled(stack, within=300) == "CREATE_COMPLETE"
        parameters = [{"ParameterKey": "NumberOfServers", "ParameterValue": "3"}]
        world.client("cloudformation").update_stack(StackName="book", UsePreviousTemplate=True, Parameters=parameters)
        time.sleep(chance.uniform(0, 1))
        world.kill()
        assert world.settled(stack) == "UPDATE_COMPLETE"
        world.client("cloudformation").delete_stack(StackName="book")
        time.sleep(chance.uniform(0, 1))
        world.kill()
        assert world.settled(stack) == "DELETE_COMPLETE"
        eventually("nothing is left", lambda: world.left() == before, within=60)
