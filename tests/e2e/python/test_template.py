"""A template that was published in 2015 for AWS, unmodified: two web servers that install and configure themselves behind a
load balancer, one of which is killed and replaced."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import urllib.request

import pytest

from conftest import Server, cli_environment
from load_balancing import eventually
from test_instances import IS_PRIVILEGED, census

TEMPLATE = pathlib.Path(__file__).parent / "fixtures/loadbalancer.json"
# The template wants port 80; nodes of zone a stand on loopback addresses, of which this is the first.
NODE = "http://127.16.0.1/"


@pytest.fixture
def server(tmp_path):
    running = Server(tmp_path, data_dir=tmp_path / "data").start()
    yield running
    running.stop()


def title():
    """The private address that the answering server has put into its page."""
    with urllib.request.urlopen(NODE, timeout=10) as answer:
        return re.search(r"<title>([\d.]+)</title>", answer.read().decode()).group(1)


def first_process(address):
    """The process whose end is that of the instance with this address: it alone can be told by its host's name."""
    firsts = subprocess.run(["pgrep", "-f", "instance-process first"], capture_output=True, text=True).stdout.split()
    for process in firsts:
        told = subprocess.run(["nsenter", "-t", process, "-u", "hostname"], capture_output=True, text=True).stdout
        if told.startswith("ip-" + address.replace(".", "-") + "."):
            return int(process)
    raise AssertionError(f"no process of {address} among {firsts}")


@pytest.mark.timeout(420)
@pytest.mark.skipif(not IS_PRIVILEGED, reason="the template's tools need an instance with a root of its own")
def test_the_books_template_deploys_serves_heals_and_goes_without_a_trace(server):
    def aws(*words):
        program = pathlib.Path(sys.executable).parent / "aws"
        environment = cli_environment(server.endpoint)
        return subprocess.run([program, *words], env=environment, capture_output=True, text=True, check=True).stdout

    stacks, groups, elb, ec2 = (server.client(name) for name in ("cloudformation", "autoscaling", "elb", "ec2"))
    ec2.create_key_pair(KeyName="mykey")
    aws("cloudformation", "create-stack", "--stack-name", "lb", "--template-body", f"file://{TEMPLATE}")

    def stack():
        return stacks.describe_stacks(StackName="lb")["Stacks"][0]

    eventually("the stack is made", lambda: stack()["StackStatus"] != "CREATE_IN_PROGRESS", within=180, every=1)
    events = stacks.describe_stack_events(StackName="lb")["StackEvents"]
    assert stack()["StackStatus"] == "CREATE_COMPLETE", [
        (event["LogicalResourceId"], event.get("ResourceStatusReason")) for event in events
    ]
    # It was the instances' own cfn-signal that completed the group.
    assert any("Received SUCCESS signal" in event.get("ResourceStatusReason", "") for event in events)
    (output,) = stack()["Outputs"]
    assert re.fullmatch(r"http://elb-\d+\.us-east-1\.elb\.localhost", output["OutputValue"])

    def members():
        (group,) = groups.describe_auto_scaling_groups()["AutoScalingGroups"]
        return {one["InstanceId"] for one in group["Instances"] if one["LifecycleState"] == "InService"}

    def in_service():
        states = elb.describe_instance_health(LoadBalancerName="elb")["InstanceStates"]
        return {one["InstanceId"] for one in states if one["State"] == "InService"}

    def addresses(instances):
        found = ec2.describe_instances(InstanceIds=sorted(instances))["Reservations"]
        return {one["PrivateIpAddress"]: one["InstanceId"] for group in found for one in group["Instances"]}

    eventually("both serve", lambda: len(in_service()) == 2, within=120, every=1)
    before = addresses(in_service())
    answers = [title() for _ in range(6)]
    assert set(answers) == set(before) and all(a != b for a, b in zip(answers, answers[1:])), answers
    # The page's own name leads there too, through the front door.
    host = output["OutputValue"].removeprefix("http://")
    asked = urllib.request.Request(server.endpoint, headers={"Host": host})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        assert b"<title>172.31.38." in answer.read()

    victim_address, victim = sorted(before.items())[0]
    os.kill(first_process(victim_address), signal.SIGKILL)
    eventually("it is replaced", lambda: victim not in members() and len(members()) == 2, within=60)
    eventually("the new one serves", lambda: len(in_service() - {victim}) == 2, within=150, every=1)
    after = addresses(in_service())
    assert victim not in after.values() and {title() for _ in range(6)} == set(after)

    stacks.delete_stack(StackName="lb")
    eventually(
        "the stack is gone",
        lambda: not [one for one in stacks.describe_stacks()["Stacks"] if one["StackName"] == "lb"],
        within=90,
        every=1,
    )
    eventually("nothing is left", lambda: not census(server.data_dir), within=30)
