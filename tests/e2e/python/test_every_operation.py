"""Which operations the end-to-end tests call, read off the tests themselves; nothing is run.

An operation counts where a test calls it by boto3's name (a method, a paginator) or by the CLI's. A name that several
services have (`describe_tags`) counts for the service that its receiver is named after.
"""

import ast
import pathlib
import tomllib

import pytest
from botocore import xform_name

TESTS = pathlib.Path(__file__).parent
MODELS = TESTS.parents[2] / "models/services.toml"

# What tests call a service's client, where that is not the service's name in models/services.toml.
CLIENTS = {"autoscaling": {"asg", "groups"}, "cloudformation": {"cfn"}}


def listed():
    return {name: set(entry["operations"]) for name, entry in tomllib.loads(MODELS.read_text()).items()}


def word(node):
    """The last name of `platform.server.elb`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def texts(call):
    return [one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]


def boto3_names(tree):
    """(receiver, method) of each call and of each method that is handed over to be called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield word(node.value), node.attr
        if isinstance(node, ast.Call) and word(node.func) == "get_paginator":
            yield from ((word(node.func.value), name) for name in texts(node))


def cli_names(tree):
    """(service, verb) of each list of words that begins as a line of the CLI does."""
    for node in ast.walk(tree):
        words = texts(node) if isinstance(node, ast.Call) else []
        if isinstance(node, ast.List):
            words = [one.value for one in node.elts if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        yield from zip(words, words[1:])


def called(trees, operations):
    """For each service, those of its operations that are called."""
    names = {name: {xform_name(one): one for one in of_service} for name, of_service in operations.items()}
    owners = {}
    for name, methods in names.items():
        for method in methods:
            owners.setdefault(method, set()).add(name)
    found = {name: set() for name in operations}
    for tree in trees:
        for receiver, method in boto3_names(tree):
            whose = owners.get(method, set())
            for name in whose:
                if len(whose) == 1 or receiver in {name, *CLIENTS.get(name, ())}:
                    found[name].add(names[name][method])
        for service, verb in cli_names(tree):
            if operation := names.get(service, {}).get(verb.replace("-", "_")):
                found[service].add(operation)
    return found


def trees():
    return [ast.parse(path.read_text(), str(path)) for path in sorted(TESTS.glob("*.py"))]


@pytest.mark.parametrize("service", sorted(listed()))
def test_every_listed_operation_is_called_by_some_end_to_end_test(service):
    operations = listed()
    assert sorted(operations[service] - called(trees(), operations)[service]) == []


def test_a_call_is_found_however_it_is_written_and_never_for_another_service():
    operations = {"ec2": {"DescribeTags", "CreateVpc", "DescribeSubnets"}, "elb": {"DescribeTags", "AddTags"}}
    source = """
platform.server.ec2.describe_tags(Filters=[])
ec2.get_paginator("describe_subnets").paginate()
refused(ec2.create_vpc, CidrBlock="x")
aws("elb", "add-tags", "--tags", "a=b")
"""
    found = called([ast.parse(source)], operations)
    assert found == {"ec2": {"DescribeTags", "DescribeSubnets", "CreateVpc"}, "elb": {"AddTags"}}
