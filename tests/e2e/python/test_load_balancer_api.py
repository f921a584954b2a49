"""The API as boto3 speaks it: pages, waiters, errors, and what a restart keeps."""

import signal
import socket
import threading
import uuid

import botocore.exceptions
import pytest

from load_balancing import ZONES, Backend, Platform, eventually, free_port, read_all


@pytest.fixture
def own_platform(tmp_path):
    running = Platform(tmp_path)
    yield running
    assert running.server.stop() == 0


def test_descriptions_come_in_pages(platform):
    elb = platform.server.client("elb", key="111122223333")
    names = sorted(f"page-{uuid.uuid4().hex[:8]}" for _ in range(5))
    listener = {"Protocol": "TCP", "LoadBalancerPort": free_port(), "InstancePort": 80}
    for name in names:
        elb.create_load_balancer(LoadBalancerName=name, AvailabilityZones=ZONES[:1], Listeners=[listener])
    pages = list(elb.get_paginator("describe_load_balancers").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["LoadBalancerDescriptions"]) for page in pages] == [2, 2, 1]
    assert [one["LoadBalancerName"] for page in pages for one in page["LoadBalancerDescriptions"]] == names
    limits = {
        one["Name"]: one["Max"]
        for page in elb.get_paginator("describe_account_limits").paginate()
        for one in page["Limits"]
    }
    assert limits == {
        "classic-load-balancers": "20",
        "classic-listeners": "100",
        "classic-registered-instances": "1000",
    }
    for name in names:
        elb.delete_load_balancer(LoadBalancerName=name)


def test_waiters_wait(platform):
    backend = Backend("one", free_port())
    balancer = platform.create([])
    instance = platform.add_instance(backend.ip)
    platform.elb.create_load_balancer_listeners(
        LoadBalancerName=balancer.name,
        Listeners=[{"Protocol": "TCP", "LoadBalancerPort": free_port(), "InstancePort": backend.port}],
    )
    platform.elb.configure_health_check(
        LoadBalancerName=balancer.name,
        HealthCheck={
            "Target": f"HTTP:{backend.port}/",
            "Interval": 5,
            "Timeout": 2,
            "UnhealthyThreshold": 2,
            "HealthyThreshold": 2,
        },
    )
    not_registered = "Instance is not currently registered with the LoadBalancer."
    assert balancer.health(instance) == ("OutOfService", "Instance", not_registered)
    balancer.register(instance)
    balancer.wait(instance, waiter="any_instance_in_service")
    balancer.wait(instance, waiter="instance_in_service")
    assert balancer.health(instance) == ("InService", "N/A", "N/A")
    balancer.deregister(instance)
    balancer.wait(instance, waiter="instance_deregistered")
    platform.elb.delete_load_balancer(LoadBalancerName=balancer.name)


@pytest.mark.parametrize(
    ("exception", "call"),
    [
        ("AccessPointNotFoundException", lambda elb, name: elb.describe_load_balancers(LoadBalancerNames=["absent"])),
        (
            "DuplicateAccessPointNameException",
            lambda elb, name: elb.create_load_balancer(
                LoadBalancerName=name,
                AvailabilityZones=ZONES,
                Listeners=[{"Protocol": "TCP", "LoadBalancerPort": 9, "InstancePort": 9}],
            ),
        ),
        (
            "InvalidEndPointException",
            lambda elb, name: elb.register_instances_with_load_balancer(
                LoadBalancerName=name, Instances=[{"InstanceId": "i-0badcafe"}]
            ),
        ),
        (
            "ListenerNotFoundException",
            lambda elb, name: elb.set_load_balancer_policies_of_listener(
                LoadBalancerName=name, LoadBalancerPort=9, PolicyNames=[]
            ),
        ),
        (
            "PolicyNotFoundException",
            lambda elb, name: elb.delete_load_balancer_policy(LoadBalancerName=name, PolicyName="absent"),
        ),
        (
            "CertificateNotFoundException",
            lambda elb, name: elb.create_load_balancer_listeners(
                LoadBalancerName=name,
                Listeners=[
                    {
                        "Protocol": "HTTPS",
                        "LoadBalancerPort": 9,
                        "InstancePort": 9,
                        "SSLCertificateId": "arn:aws:iam::0:server-certificate/x",
                    }
                ],
            ),
        ),
        (
            "UnsupportedProtocolException",
            lambda elb, name: elb.create_load_balancer_listeners(
                LoadBalancerName=name, Listeners=[{"Protocol": "UDP", "LoadBalancerPort": 9, "InstancePort": 9}]
            ),
        ),
        (
            "InvalidConfigurationRequestException",
            lambda elb, name: elb.modify_load_balancer_attributes(
                LoadBalancerName=name,
                LoadBalancerAttributes={"AccessLog": {"Enabled": True, "S3BucketName": "absent-bucket"}},
            ),
        ),
        (
            "LoadBalancerAttributeNotFoundException",
            lambda elb, name: elb.modify_load_balancer_attributes(
                LoadBalancerName=name,
                LoadBalancerAttributes={"AdditionalAttributes": [{"Key": "absent", "Value": "x"}]},
            ),
        ),
        (
            "PolicyTypeNotFoundException",
            lambda elb, name: elb.describe_load_balancer_policy_types(PolicyTypeNames=["absent"]),
        ),
        (
            "SubnetNotFoundException",
            lambda elb, name: elb.attach_load_balancer_to_subnets(LoadBalancerName=name, Subnets=["subnet-0"]),
        ),
        (
            "InvalidSecurityGroupException",
            lambda elb, name: elb.apply_security_groups_to_load_balancer(
                LoadBalancerName=name, SecurityGroups=["sg-0"]
            ),
        ),
        (
            "DuplicateTagKeysException",
            lambda elb, name: elb.add_tags(
                LoadBalancerNames=[name], Tags=[{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]
            ),
        ),
    ],
)
def test_errors_are_boto3s_exceptions(platform, errors_target, exception, call):
    with pytest.raises(getattr(platform.elb.exceptions, exception)):
        call(platform.elb, errors_target)


@pytest.fixture(scope="module")
def errors_target(platform):
    balancer = platform.create([])
    yield balancer.name
    platform.elb.delete_load_balancer(LoadBalancerName=balancer.name)


def test_zones_subnets_and_tags_come_and_go(platform):
    elb, ec2 = platform.elb, platform.ec2
    balancer = platform.create([])
    zones = lambda: platform.describe(balancer.name)["AvailabilityZones"]
    assert zones() == ZONES[:1]
    told = elb.enable_availability_zones_for_load_balancer(LoadBalancerName=balancer.name, AvailabilityZones=ZONES[1:])
    assert told["AvailabilityZones"] == zones() == ZONES
    eventually("both zones are told by DNS", lambda: all(platform.dig(platform.dns_name(balancer.name)) & set(n) for n in platform.nodes.values()))
    elb.disable_availability_zones_for_load_balancer(LoadBalancerName=balancer.name, AvailabilityZones=ZONES[:1])
    assert zones() == ZONES[1:]
    eventually("one is not", lambda: not platform.dig(platform.dns_name(balancer.name)) & set(platform.nodes[ZONES[0]]))

    elb.add_tags(LoadBalancerNames=[balancer.name], Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    elb.remove_tags(LoadBalancerNames=[balancer.name], Tags=[{"Key": "a"}, {"Key": "absent"}])
    told = elb.describe_tags(LoadBalancerNames=[balancer.name])["TagDescriptions"][0]
    assert told == {"LoadBalancerName": balancer.name, "Tags": [{"Key": "b", "Value": "2"}]}
    elb.delete_load_balancer(LoadBalancerName=balancer.name)

    vpc = ec2.create_vpc(CidrBlock="10.5.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.5.{n}.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for n, zone in enumerate(ZONES)
    ]
    listeners = [balancer.listener("TCP")]
    elb.create_load_balancer(LoadBalancerName=balancer.name, Subnets=subnets[:1], Listeners=listeners)
    told = elb.attach_load_balancer_to_subnets(LoadBalancerName=balancer.name, Subnets=subnets[1:])["Subnets"]
    assert sorted(told) == sorted(subnets)
    assert elb.detach_load_balancer_from_subnets(LoadBalancerName=balancer.name, Subnets=subnets[:1])["Subnets"] == subnets[1:]
    assert zones() == ZONES[1:]
    with pytest.raises(botocore.exceptions.ClientError, match="DependencyViolation"):
        ec2.delete_subnet(SubnetId=subnets[1])
    ec2.delete_subnet(SubnetId=subnets[0])
    elb.delete_load_balancer(LoadBalancerName=balancer.name)
    ec2.delete_subnet(SubnetId=subnets[1])
    ec2.delete_vpc(VpcId=vpc)


def test_security_groups_decide_at_accept(platform):
    backend = Backend("one", free_port())
    balancer = platform.create([backend])
    vpc = platform.describe(balancer.name)["VPCId"]
    group = platform.ec2.create_security_group(GroupName=f"front-{balancer.name}", Description="front", VpcId=vpc)[
        "GroupId"
    ]
    platform.elb.apply_security_groups_to_load_balancer(LoadBalancerName=balancer.name, SecurityGroups=[group])
    eventually("nobody gets in", lambda: shut(balancer))
    platform.ec2.authorize_security_group_ingress(
        GroupId=group, IpProtocol="tcp", FromPort=balancer.port, ToPort=balancer.port, CidrIp="127.0.0.0/8"
    )
    eventually("everybody gets in", lambda: not shut(balancer))
    assert balancer.get().body == b"one"
    with pytest.raises(botocore.exceptions.ClientError, match="DependencyViolation"):
        platform.ec2.delete_security_group(GroupId=group)
    platform.elb.delete_load_balancer(LoadBalancerName=balancer.name)
    platform.ec2.delete_security_group(GroupId=group)


def shut(balancer):
    try:
        return balancer.get().status != 200
    except (OSError, IndexError):
        return True


def test_sigterm_drains_and_a_restart_keeps_everything(own_platform):
    platform = own_platform
    port = free_port()
    one, two = Backend("one", port), Backend("two", port)
    balancer = platform.create([(one, ZONES[0]), (two, ZONES[1])], zones=ZONES)
    balancer.modify(ConnectionSettings={"IdleTimeout": 17}, CrossZoneLoadBalancing={"Enabled": True})
    platform.elb.create_lb_cookie_stickiness_policy(LoadBalancerName=balancer.name, PolicyName="sticky")
    platform.elb.set_load_balancer_policies_of_listener(
        LoadBalancerName=balancer.name, LoadBalancerPort=balancer.port, PolicyNames=["sticky"]
    )
    platform.elb.add_tags(LoadBalancerNames=[balancer.name], Tags=[{"Key": "team", "Value": "a"}])
    everything = lambda: (
        platform.describe(balancer.name),
        platform.elb.describe_load_balancer_attributes(LoadBalancerName=balancer.name)["LoadBalancerAttributes"],
        platform.elb.describe_tags(LoadBalancerNames=[balancer.name])["TagDescriptions"],
    )
    before = everything()
    # A request under way when SIGTERM comes is answered; a new connection is not taken.
    with socket.create_connection(balancer.where, timeout=30) as client:
        client.sendall(b"GET /slow/3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        eventually("the request is there", lambda: any(t == "/slow/3" for b in (one, two) for _, t, _ in b.seen))
        stopping = threading.Thread(target=platform.server.stop, args=(signal.SIGTERM,))
        stopping.start()
        eventually("no new connections", lambda: refuses(balancer.where), within=2)
        answer = read_all(client)
        assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith((b"one", b"two"))
        stopping.join()
    assert platform.server.process.returncode == 0
    platform.server.start()
    platform.connect()
    balancer.wait(*balancer.ids.values())
    assert everything() == before
    assert balancer.get().status == 200
    for how in (signal.SIGKILL,):
        platform.restart(how)
        balancer.wait(*balancer.ids.values())
        assert everything() == before
        assert balancer.get(zone=ZONES[1]).status == 200


def refuses(where):
    try:
        socket.create_connection(where, timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False
