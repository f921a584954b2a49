"""What is done to instances that run, and what they and their neighbours notice of it."""

import json

import botocore.exceptions
import pytest

from load_balancing import eventually
from test_instances import IS_PRIVILEGED, METADATA, World, server  # noqa: F401 (a fixture)

# Runs at each boot, counts them, and asks the metadata service without a token again and again.
EACH_BOOT = f"""#cloud-boothook
#!/bin/sh
mkdir -p "${{HOME:-/root}}/www" && cd "${{HOME:-/root}}/www"
echo boot >> boots
token=$(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' {METADATA}/latest/api/token)
ip=$(curl -s -H "X-aws-ec2-metadata-token: $token" {METADATA}/latest/meta-data/local-ipv4)
wc -l < boots > index.html
bind=$ip; [ -n "$AWS_EC2_METADATA_SERVICE_ENDPOINT" ] && bind=127.${{ip#*.}}
(while sleep 0.3; do
    curl -s -o /dev/null -w '%{{http_code}}' {METADATA}/latest/meta-data/ > imds.new; mv imds.new imds
    curl -s -m 2 -o /dev/null http://OTHER:8000/index.html; echo $? > reach.new; mv reach.new reach
done) > /dev/null 2>&1 &
nohup python3 -m http.server 8000 --bind "$bind" > log 2>&1 &
"""


def refused(call, **parameters):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**parameters)
    return caught.value.response["Error"]["Code"]


def page(world, path="/index.html"):
    try:
        return world.get(path)
    except OSError:
        return None


@pytest.fixture
def world(server):
    yield (made := World(server))
    made.elb.delete_load_balancer(LoadBalancerName="web")


def state(world, instance):
    told = world.ec2.describe_instance_status(InstanceIds=[instance], IncludeAllInstances=True)
    return told["InstanceStatuses"][0]["InstanceState"]["Name"]


def test_an_instance_is_stopped_changed_started_and_rebooted(world):
    ec2 = world.ec2
    (instance,) = world.run(1, user_data=EACH_BOOT)
    world.register([instance])
    world.wait_in_service(1)
    assert page(world) == "1" and state(world, instance) == "running"
    assert refused(ec2.modify_instance_attribute, InstanceId=instance, InstanceType={"Value": "t3.small"}) == (
        "IncorrectInstanceState"
    )
    address = world.address(instance)

    told = ec2.stop_instances(InstanceIds=[instance])["StoppingInstances"][0]
    assert (told["PreviousState"]["Name"], told["CurrentState"]["Name"]) == ("running", "stopping")
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[instance], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    assert page(world) is None
    # Without being asked for, instances that do not run are not in the list.
    assert ec2.describe_instance_status(InstanceIds=[instance])["InstanceStatuses"] == []
    ec2.modify_instance_attribute(InstanceId=instance, InstanceType={"Value": "t3.small"})
    attribute = lambda name: ec2.describe_instance_attribute(InstanceId=instance, Attribute=name)
    assert attribute("instanceType")["InstanceType"] == {"Value": "t3.small"}

    ec2.start_instances(InstanceIds=[instance])
    ec2.get_waiter("instance_running").wait(InstanceIds=[instance], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    # What was on its disk is there, and so is its address.
    eventually("it serves again", lambda: page(world) == "2")
    assert world.address(instance) == address
    ec2.reboot_instances(InstanceIds=[instance])
    eventually("it has booted again", lambda: page(world) == "3")
    assert state(world, instance) == "running"

    ec2.modify_instance_attribute(InstanceId=instance, DisableApiTermination={"Value": True})
    assert attribute("disableApiTermination")["DisableApiTermination"] == {"Value": True}
    assert refused(ec2.terminate_instances, InstanceIds=[instance]) == "OperationNotPermitted"
    ec2.modify_instance_attribute(InstanceId=instance, DisableApiTermination={"Value": False})
    ec2.terminate_instances(InstanceIds=[instance])


def test_metadata_options_decide_who_is_answered(world):
    (instance,) = world.run(1, user_data=EACH_BOOT)
    world.register([instance])
    world.wait_in_service(1)
    eventually("it is answered without a token", lambda: page(world, "/imds") == "200")
    options = world.ec2.modify_instance_metadata_options(InstanceId=instance, HttpTokens="required")
    assert options["InstanceMetadataOptions"]["HttpTokens"] == "required"
    eventually("it needs a token", lambda: page(world, "/imds") == "401")
    world.ec2.modify_instance_metadata_options(InstanceId=instance, HttpTokens="optional")
    eventually("it needs none", lambda: page(world, "/imds") == "200")
    assert refused(world.ec2.modify_instance_metadata_options, InstanceId="i-12345678", HttpTokens="required") == (
        "InvalidInstanceID.NotFound"
    )


@pytest.mark.skipif(not IS_PRIVILEGED, reason="without networks of their own nothing is filtered")
def test_what_the_rules_let_through_is_let_through_and_nothing_else(world):
    ec2 = world.ec2
    subnet = ec2.create_subnet(VpcId=world.vpc, CidrBlock="10.77.2.0/24")["Subnet"]["SubnetId"]
    (other,) = world.run(1, user_data=EACH_BOOT, subnet=subnet)
    client_group = world.group("client")
    from_anywhere = {"IpProtocol": "tcp", "FromPort": 8000, "ToPort": 8000, "IpRanges": [{"CidrIp": "10.77.0.0/16"}]}
    ec2.authorize_security_group_ingress(GroupId=client_group, IpPermissions=[from_anywhere])
    user_data = EACH_BOOT.replace("OTHER", world.address(other))
    (client,) = world.run(1, user_data=user_data, group=client_group)
    world.register([client])
    world.wait_in_service(1)

    def reaches(code):
        return lambda: page(world, "/reach") == code

    # curl's 28 is a time-out, and 0 an answer.
    eventually("the other's group admits only the load balancer", reaches("28"))
    from_client = {**from_anywhere, "IpRanges": [], "UserIdGroupPairs": [{"GroupId": client_group}]}
    ec2.authorize_security_group_ingress(GroupId=world.back, IpPermissions=[from_client])
    eventually("the client is let in", reaches("0"))
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.revoke_security_group_egress(GroupId=client_group, IpPermissions=[everything])
    eventually("the client is not let out", reaches("28"))
    ec2.authorize_security_group_egress(GroupId=client_group, IpPermissions=[{**from_anywhere, "IpRanges": [{"CidrIp": "10.77.0.0/16"}]}])
    eventually("the client is let out", reaches("0"))

    # The network ACL of the other's subnet is asked as well.
    acl = ec2.create_network_acl(VpcId=world.vpc)["NetworkAcl"]["NetworkAclId"]
    for egress in (True, False):
        entry = {"NetworkAclId": acl, "RuleNumber": 100, "Egress": egress}
        ec2.create_network_acl_entry(**entry, Protocol="-1", RuleAction="allow", CidrBlock="0.0.0.0/0")
    of_subnet = [{"Name": "association.subnet-id", "Values": [subnet]}]
    (default,) = ec2.describe_network_acls(Filters=of_subnet)["NetworkAcls"]
    (present,) = [one for one in default["Associations"] if one["SubnetId"] == subnet]
    moved = ec2.replace_network_acl_association(
        AssociationId=present["NetworkAclAssociationId"], NetworkAclId=acl
    )["NewAssociationId"]
    eventually("the new one lets it through", reaches("0"))
    first = {"NetworkAclId": acl, "RuleNumber": 100, "Egress": False, "Protocol": "-1", "CidrBlock": "0.0.0.0/0"}
    ec2.replace_network_acl_entry(**first, RuleAction="deny")
    eventually("nobody is let into the subnet", reaches("28"))
    ec2.replace_network_acl_entry(**first, RuleAction="allow")
    eventually("the client is let in", reaches("0"))
    ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=100, Egress=True)
    eventually("no answer leaves the subnet", reaches("28"))
    ec2.replace_network_acl_association(AssociationId=moved, NetworkAclId=default["NetworkAclId"])
    eventually("the client is let in", reaches("0"))
    ec2.revoke_security_group_ingress(GroupId=world.back, IpPermissions=[from_client])
    eventually("the client is let in no more", reaches("28"))
