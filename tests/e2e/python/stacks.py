"""Stacks with servers in them: a Millpond on a port that stays, and what its tests ask of it again and again."""

import pathlib
import re
import signal
import urllib.request

import botocore.exceptions

from census import census
from conftest import Server
from load_balancing import address, eventually, free_port

ROOT = pathlib.Path(__file__).parents[3]
EXAMPLE = ROOT / "examples/cloudformation/web.yaml"
BOOK = ROOT / "crates/services/cloudformation/testdata/loadbalancer.json"


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

    def live(self):
        """Instances that are not terminated."""
        reservations = self.client("ec2").describe_instances()["Reservations"]
        return [one for r in reservations for one in r["Instances"] if one["State"]["Name"] != "terminated"]

    def left(self):
        """Whatever a stack may have left behind: rows of the services, and what instances leave on the machine."""
        ec2, autoscaling = self.client("ec2"), self.client("autoscaling")
        found = [
            self.live(),
            self.client("elb").describe_load_balancers()["LoadBalancerDescriptions"],
            autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"],
            autoscaling.describe_launch_configurations()["LaunchConfigurations"],
            ec2.describe_vpcs()["Vpcs"],
            ec2.describe_subnets()["Subnets"],
            ec2.describe_route_tables()["RouteTables"],
            ec2.describe_network_acls()["NetworkAcls"],
            ec2.describe_internet_gateways()["InternetGateways"],
            ec2.describe_security_groups()["SecurityGroups"],
            ec2.describe_network_interfaces()["NetworkInterfaces"],
            ec2.describe_addresses()["Addresses"],
        ]
        return [one for rows in found for one in rows] + census(self.data, self.server.process.pid)

    def must_leave(self, before, within=60):
        """Waits until what is left is what was there before; else says what the difference is."""
        left = []

        def is_gone():
            left[:] = self.left()
            return left == before

        try:
            eventually("nothing is left", is_gone, within=within)
        except AssertionError as error:
            more = [one for one in left if one not in before]
            less = [one for one in before if one not in left]
            raise AssertionError(f"{error}; left behind: {more}; gone: {less}") from None

    def told(self, stack):
        """What an operator would look at when a stack does not become what it should."""
        cfn, ec2 = self.client("cloudformation"), self.client("ec2")
        lines = []
        for one in reversed(cfn.describe_stack_events(StackName=stack)["StackEvents"]):
            at = one["Timestamp"].strftime("%H:%M:%S.%f")[:-3]
            reason = one.get("ResourceStatusReason", "")
            lines.append(f"{at} {one['LogicalResourceId']} {one['ResourceStatus']} {reason}")
        for group in self.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]:
            lines.append(f"group {group['AutoScalingGroupName']}: {group['Instances']}")
        for r in ec2.describe_instances()["Reservations"]:
            for one in r["Instances"]:
                lines.append(f"instance {one['InstanceId']} {one['State']['Name']} since {one['LaunchTime']}")
                lines.append(ec2.get_console_output(InstanceId=one["InstanceId"]).get("Output", "no console")[-3000:])
        lines += [f"left: {one}" for one in census(self.data)]
        lines.append((self.server.directory / "server.log").read_text(errors="replace")[-20_000:])
        return "\n".join(lines)
