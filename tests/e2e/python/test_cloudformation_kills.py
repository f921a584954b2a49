"""kill -9 of Millpond at random moments while stacks are made, changed and taken away: each ends as it was asked to, no
server is there twice, and nothing is left behind. `cargo x kills` runs it for long."""

import collections
import os
import random
import time

import pytest

from load_balancing import eventually, free_port
from stacks import BOOK, EXAMPLE

ROUNDS = int(os.environ.get("MILLPOND_KILL_ROUNDS", "2"))
SEED = int(os.environ.get("MILLPOND_KILL_SEED", "7"))
# A round of the book's template takes half a minute on a quiet machine; each wait within it has its own end.
pytestmark = pytest.mark.timeout(600 * ROUNDS)


class Killer:
    """Kills a world's server at random moments of a phase, and counts."""

    def __init__(self, world, template, expected_s):
        self.world, self.template = world, template
        self.chance = random.Random(f"{SEED} {template.name}")
        # How long each phase takes: a guess at first, then what was seen.
        self.expected_s = dict(expected_s)
        self.counted = {phase: collections.Counter() for phase in expected_s}

    def during(self, phase, stack, kills, wanted):
        begun, rest_s = time.monotonic(), None
        for moment in sorted(self.chance.uniform(0, self.expected_s[phase]) for _ in range(kills)):
            while (left := begun + moment - time.monotonic()) > 0:
                time.sleep(min(left, 0.2))
                if rest_s is None and not self.world.status(stack).endswith("_IN_PROGRESS"):
                    rest_s = time.monotonic() - begun
            self.counted[phase]["under way" if rest_s is None else "at rest"] += 1
            self.world.kill()
        status = self.world.settled(stack, within=300)
        took = min(rest_s or time.monotonic() - begun, 2 * self.expected_s[phase])
        self.expected_s[phase] = (self.expected_s[phase] + took) / 2
        assert status == wanted, f"{phase} ended as {status}"

    def servers(self, count):
        """The group has that many instances, and no other instance is there."""

        def are():
            (group,) = self.world.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
            ids = sorted(one["InstanceId"] for one in group["Instances"])
            return len(ids) == count and ids == sorted(one["InstanceId"] for one in self.world.live())

        eventually(f"{count} servers are left", are, within=90)

    def summary(self):
        parts = []
        for phase, counted in self.counted.items():
            parts.append(f"{counted.total()} in {phase} ({counted['at rest']} of them a moment too late)")
        total = sum(counted.total() for counted in self.counted.values())
        return f"{self.template.name}: {total} kills, {', '.join(parts)}"


def survive(world, template, expected_s, kills, servers, parameters):
    """Rounds of a stack's life. `kills` has how many each phase gets, `servers` how many there are before and after the
    update, `parameters` what each round gives the template."""
    before, killer = world.left(), Killer(world, template, expected_s)
    text, stack = template.read_text(), None
    print(f"\n{template.name}: {ROUNDS} rounds from seed {SEED}", flush=True)
    for number in range(ROUNDS):
        begun, name = time.monotonic(), f"s-{number}"
        given = [{"ParameterKey": key, "ParameterValue": str(value)} for key, value in parameters().items()]
        try:
            cfn = world.client("cloudformation")
            stack = cfn.create_stack(StackName=name, TemplateBody=text, Parameters=given)["StackId"]
            killer.during("create", stack, kills["create"], "CREATE_COMPLETE")
            killer.servers(servers[0])
            change = {"ParameterKey": "NumberOfServers", "ParameterValue": str(servers[1])}
            cfn = world.client("cloudformation")
            cfn.update_stack(StackName=name, UsePreviousTemplate=True, Parameters=[*given, change])
            killer.during("update", stack, kills["update"], "UPDATE_COMPLETE")
            killer.servers(servers[1])
            world.client("cloudformation").delete_stack(StackName=name)
            killer.during("delete", stack, kills["delete"], "DELETE_COMPLETE")
            world.must_leave(before)
        except AssertionError as error:
            raise AssertionError(f"round {number + 1}: {error}\n{world.told(stack)}") from error
        took = time.monotonic() - begun
        print(f"round {number + 1} of {ROUNDS}: {took:.0f} s; so far {killer.summary()}", flush=True)
    print(f"nothing was lost, doubled or left behind by {killer.summary()}", flush=True)


def test_our_own_example_survives_kills(plain):
    def parameters():
        return {"Port": free_port(), "ServerPort": free_port()}

    expected_s = {"create": 3.0, "update": 0.5, "delete": 1.0}
    survive(plain, EXAMPLE, expected_s, {"create": 3, "update": 1, "delete": 1}, (2, 1), parameters)


def test_the_books_template_survives_kills(privileged):
    expected_s = {"create": 25.0, "update": 0.5, "delete": 4.0}
    survive(privileged, BOOK, expected_s, {"create": 3, "update": 1, "delete": 1}, (2, 3), dict)
