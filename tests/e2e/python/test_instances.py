"""Instances that really run, behind a load balancer, driven by boto3: launched from user data, balanced over, killed,
terminated, and adopted by a server that comes after one that was killed."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from census import census
from conftest import Server
from load_balancing import eventually, free_port

CAN_BE = os.geteuid() == 0 and all(shutil.which(tool, path="/usr/sbin:/sbin:/usr/bin:/bin") for tool in ("nft", "ip"))
# MILLPOND_INSTANCE_ISOLATION=unprivileged tries the plain mode as root, too; the servers read it as well.
IS_PRIVILEGED = CAN_BE and os.environ.get("MILLPOND_INSTANCE_ISOLATION") != "unprivileged"
METADATA = "${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}"
USER_DATA = f"""#!/bin/sh
mkdir -p "${{HOME:-/root}}/www" && cd "${{HOME:-/root}}/www"
token=$(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' {METADATA}/latest/api/token)
ip=$(curl -s -H "X-aws-ec2-metadata-token: $token" {METADATA}/latest/meta-data/local-ipv4)
echo "$ip" > index.html
bind=$ip; [ -n "$AWS_EC2_METADATA_SERVICE_ENDPOINT" ] && bind=127.${{ip#*.}}
nohup python3 -m http.server PORT --bind "$bind" > log 2>&1 &
"""


class World:
    """A server, and in it a VPC with a subnet, a group of the load balancer and one of servers that admits only it."""

    def __init__(self, server):
        self.server, self.port = server, free_port()
        self.ec2, self.elb = server.client("ec2"), server.client("elb")
        self.vpc = self.ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
        self.subnet = self.ec2.create_subnet(
            VpcId=self.vpc, CidrBlock="10.77.1.0/24", AvailabilityZone="us-east-1a"
        )["Subnet"]["SubnetId"]
        self.front, self.back = (self.group(name) for name in ("front", "back"))
        self.ec2.authorize_security_group_ingress(
            GroupId=self.front,
            IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
        )
        self.ec2.authorize_security_group_ingress(
            GroupId=self.back,
            IpPermissions=[
                {
                    "IpProtocol": "tcp",
                    "FromPort": 8000,
                    "ToPort": 8000,
                    "UserIdGroupPairs": [{"GroupId": self.front}],
                }
            ],
        )
        self.elb.create_load_balancer(
            LoadBalancerName="web",
            Subnets=[self.subnet],
            SecurityGroups=[self.front],
            Listeners=[{"Protocol": "HTTP", "LoadBalancerPort": self.port, "InstancePort": 8000}],
        )
        self.elb.configure_health_check(
            LoadBalancerName="web",
            HealthCheck={
                "Target": "HTTP:8000/index.html",
                "Interval": 5,
                "Timeout": 2,
                "UnhealthyThreshold": 2,
                "HealthyThreshold": 2,
            },
        )

    def group(self, name):
        return self.ec2.create_security_group(GroupName=name, Description=name, VpcId=self.vpc)["GroupId"]

    def run(self, count, user_data=USER_DATA.replace("PORT", "8000"), group=None, subnet=None):
        image = self.ec2.describe_images(Filters=[{"Name": "name", "Values": ["millpond-host"]}])["Images"][0]["ImageId"]
        launched = self.ec2.run_instances(
            ImageId=image,
            InstanceType="t3.micro",
            MinCount=count,
            MaxCount=count,
            SubnetId=subnet or self.subnet,
            SecurityGroupIds=[group or self.back],
            UserData=user_data,
        )
        return [instance["InstanceId"] for instance in launched["Instances"]]

    def console(self, instance):
        return self.ec2.get_console_output(InstanceId=instance).get("Output", "")

    def states(self):
        health = self.elb.describe_instance_health(LoadBalancerName="web")["InstanceStates"]
        return {one["InstanceId"]: one["State"] for one in health}

    def wait_in_service(self, count):
        def are():
            return list(self.states().values()).count("InService") == count

        try:
            eventually(f"{count} in service", are, within=60)
        except AssertionError as error:
            told = [self.console(instance) for instance in self.states()]
            raise AssertionError(f"{error}: {self.states()}\n" + "\n".join(told)) from error

    def register(self, instances):
        self.elb.register_instances_with_load_balancer(
            LoadBalancerName="web", Instances=[{"InstanceId": one} for one in instances]
        )

    def get(self, path="/index.html"):
        # The nodes of zone a stand on loopback addresses, of which this is the first.
        with urllib.request.urlopen(f"http://127.16.0.1:{self.port}{path}", timeout=10) as answer:
            return answer.read().decode().strip()

    def address(self, instance):
        found = self.ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
        return found["PrivateIpAddress"]


@pytest.fixture
def server(tmp_path):
    running = Server(tmp_path, data_dir=tmp_path / "data").start()
    yield running
    ec2 = running.client("ec2")
    left = [i["InstanceId"] for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]]
    if left:
        ec2.terminate_instances(InstanceIds=left)
        eventually("all are terminated", lambda: not census(tmp_path / "data"), within=60)
    assert running.stop() == 0


def test_instances_serve_behind_a_load_balancer_until_they_are_terminated(server):
    world = World(server)
    first, second = instances = world.run(2)
    world.register(instances)
    world.wait_in_service(2)
    # Its index is what the metadata service told it.
    addresses = {world.address(instance) for instance in instances}
    answers = [world.get() for _ in range(6)]
    assert set(answers) == addresses and all(a != b for a, b in zip(answers, answers[1:])), answers
    interfaces = world.ec2.describe_network_interfaces(Filters=[{"Name": "description", "Values": ["ELB web"]}])
    (interface,) = interfaces["NetworkInterfaces"]
    assert interface["RequesterManaged"] and interface["SubnetId"] == world.subnet
    if IS_PRIVILEGED:
        stranger_is_refused(world, next(iter(addresses)))
    # A server that dies by itself goes out of service, and the other one serves on.
    kill_web_server(world.address(first))
    eventually("the dead one is out of service", lambda: world.states()[first] == "OutOfService", within=30)
    assert {world.get() for _ in range(4)} == {world.address(second)}
    # A server of Millpond that comes after a killed one finds the instances as they are.
    server.stop(signal.SIGKILL)
    server.start()
    world.ec2, world.elb = server.client("ec2"), server.client("elb")
    eventually("it is in service again", lambda: world.states().get(second) == "InService", within=30)
    assert world.get() == world.address(second)
    world.elb.delete_load_balancer(LoadBalancerName="web")
    assert not world.ec2.describe_network_interfaces(Filters=[{"Name": "description", "Values": ["ELB web"]}])[
        "NetworkInterfaces"
    ]
    all_of_them = [i["InstanceId"] for r in world.ec2.describe_instances()["Reservations"] for i in r["Instances"]]
    world.ec2.terminate_instances(InstanceIds=all_of_them)
    eventually("nothing is left", lambda: not census(server.data_dir), within=60)


def stranger_is_refused(world, address):
    """Another instance in the VPC, that is not in the load balancer's group, does not get through."""
    ask = f"""#!/bin/sh
curl -s -m 3 http://{address}:8000/index.html; echo "asked and got $?"
"""
    (stranger,) = world.run(1, user_data=ask, group=world.group("strangers"))
    told = eventually("the stranger has asked", lambda: re.search(r"asked and got (\d+)", world.console(stranger)))
    assert told.group(1) == "28", f"curl's 28 is a time-out: {world.console(stranger)}"


def kill_web_server(address):
    """Kills the web server that serves this address, as a fault would."""
    bind = address if IS_PRIVILEGED else "127." + address.split(".", 1)[1]
    for process in pathlib.Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                line = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"http.server" in line and bind.encode() in line:
                os.kill(int(process.name), signal.SIGKILL)
                return
    raise AssertionError(f"no web server on {bind}")


def test_a_group_replaces_a_server_that_its_load_balancer_finds_dead(server):
    world = World(server)
    groups = server.client("autoscaling")
    image = world.ec2.describe_images(Filters=[{"Name": "name", "Values": ["millpond-host"]}])["Images"][0]["ImageId"]
    groups.create_launch_configuration(
        LaunchConfigurationName="web",
        ImageId=image,
        InstanceType="t3.micro",
        SecurityGroups=[world.back],
        UserData=USER_DATA.replace("PORT", "8000"),
    )
    groups.create_auto_scaling_group(
        AutoScalingGroupName="web",
        LaunchConfigurationName="web",
        MinSize=2,
        MaxSize=2,
        VPCZoneIdentifier=world.subnet,
        LoadBalancerNames=["web"],
        HealthCheckType="ELB",
        HealthCheckGracePeriod=5,
    )

    def members():
        (group,) = groups.describe_auto_scaling_groups(AutoScalingGroupNames=["web"])["AutoScalingGroups"]
        return {one["InstanceId"]: one["LifecycleState"] for one in group["Instances"]}

    eventually("two members are in service", lambda: list(members().values()) == ["InService"] * 2, within=60)
    world.wait_in_service(2)
    before = set(members())
    victim = sorted(before)[0]
    kill_web_server(world.address(victim))
    eventually("it is replaced", lambda: victim not in members() and len(members()) == 2, within=90)
    world.wait_in_service(2)
    after = set(world.states())
    assert victim not in after and len(after & before) == 1, (before, after)
    assert {world.get() for _ in range(4)} == {world.address(one) for one in after}
    groups.delete_auto_scaling_group(AutoScalingGroupName="web", ForceDelete=True)
    eventually("the group is gone", lambda: not groups.describe_auto_scaling_groups()["AutoScalingGroups"], within=60)
    world.elb.delete_load_balancer(LoadBalancerName="web")
    eventually("nothing is left", lambda: not census(server.data_dir), within=60)
