"""Stacks with servers in them: our own example, which needs no privileges, and the book's template of 2015, unmodified.
test_cloudformation_kills kills the server in the middle of theirs."""

import os
import re
import signal
import subprocess
import time
import urllib.error

from census import processes
from conftest import MILLPOND
from load_balancing import eventually, free_port
from stacks import BOOK, EXAMPLE


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
    plain.must_leave(before)


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
    # The group asks EC2 alone after its servers' health, as on AWS: all of the server ends, its first process included.
    kill_every_process_of(doomed)
    killed = time.monotonic()
    eventually("another serves in its place", lambda: len(set(world.in_service("elb")) - first) == 1, within=120)
    assert len(world.in_service("elb")) == 2 and doomed not in world.in_service("elb")
    print(f"the book's template: {time.monotonic() - killed:.1f} s from kill -9 to a replacement in service")
    cfn.delete_stack(StackName="book")
    assert world.settled(stack) == "DELETE_COMPLETE"
    world.must_leave(before)


def address_of(world, instance):
    return world.client("ec2").describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]["PrivateIpAddress"]


def kill_every_process_of(instance):
    """kill -9 for whatever bears the instance's mark, or is in its cgroups: apache, and what started it."""
    found = processes([instance])
    assert any("apache2" in line for line in found.values()), found
    for number in found:
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            pass  # It went with the first one.
