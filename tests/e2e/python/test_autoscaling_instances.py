"""Auto Scaling with instances that it launches itself: hooks, policies, schedules, protection, and load balancers."""

import datetime

import botocore.exceptions
import pytest

from conftest import Server
from load_balancing import eventually, free_port
from test_autoscaling import described, states
from test_instances import census


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    directory = tmp_path_factory.mktemp("groups")
    running = Server(directory, "--instance-isolation", "unprivileged", data_dir=directory / "data").start()
    yield running
    assert running.stop() == 0
    assert census(directory / "data") == []


@pytest.fixture
def autoscaling(own):
    return own.client("autoscaling")


@pytest.fixture
def group(own, autoscaling):
    image = own.client("ec2").describe_images(Filters=[{"Name": "name", "Values": ["millpond-host"]}])["Images"][0]
    autoscaling.create_launch_configuration(
        LaunchConfigurationName="web", ImageId=image["ImageId"], InstanceType="t3.micro"
    )
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="web",
        LaunchConfigurationName="web",
        MinSize=0,
        MaxSize=4,
        DesiredCapacity=0,
        DefaultCooldown=300,
        AvailabilityZones=["us-east-1a"],
    )
    yield "web"
    autoscaling.delete_auto_scaling_group(AutoScalingGroupName="web", ForceDelete=True)
    eventually("the group is gone", lambda: not described(autoscaling, "web"))
    autoscaling.delete_launch_configuration(LaunchConfigurationName="web")


def refused(call, **parameters):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**parameters)
    return caught.value.response["Error"]["Code"]


def desire(autoscaling, count):
    autoscaling.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=count)


def in_service(autoscaling, count):
    eventually(f"{count} are in service", lambda: list(states(autoscaling, "web").values()) == ["InService"] * count)
    return sorted(states(autoscaling, "web"))


def test_an_instance_waits_for_its_hooks_on_its_way_in_and_out(own, autoscaling, group):
    for transition in ("LAUNCHING", "TERMINATING"):
        autoscaling.put_lifecycle_hook(
            AutoScalingGroupName=group,
            LifecycleHookName=transition.lower(),
            LifecycleTransition=f"autoscaling:EC2_INSTANCE_{transition}",
            HeartbeatTimeout=300,
        )
    desire(autoscaling, 1)
    eventually("it waits", lambda: list(states(autoscaling, group).values()) == ["Pending:Wait"])
    (instance,) = states(autoscaling, group)
    action = {"AutoScalingGroupName": group, "InstanceId": instance}
    autoscaling.record_lifecycle_action_heartbeat(**action, LifecycleHookName="launching")
    assert refused(autoscaling.record_lifecycle_action_heartbeat, **action, LifecycleHookName="terminating") == "ValidationError"
    autoscaling.complete_lifecycle_action(**action, LifecycleHookName="launching", LifecycleActionResult="CONTINUE")
    in_service(autoscaling, 1)
    desire(autoscaling, 0)
    eventually("it waits", lambda: list(states(autoscaling, group).values()) == ["Terminating:Wait"])
    seen = lambda: own.client("ec2").describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    assert seen()["State"]["Name"] == "running"
    autoscaling.complete_lifecycle_action(**action, LifecycleHookName="terminating", LifecycleActionResult="CONTINUE")
    eventually("it is gone", lambda: seen()["State"]["Name"] == "terminated" and not states(autoscaling, group))
    code = refused(
        autoscaling.complete_lifecycle_action, **action, LifecycleHookName="terminating", LifecycleActionResult="CONTINUE"
    )
    assert code == "ValidationError"


def test_a_policy_is_executed_and_its_cooldown_is_honoured(autoscaling, group):
    autoscaling.put_scaling_policy(
        AutoScalingGroupName=group,
        PolicyName="more",
        PolicyType="SimpleScaling",
        AdjustmentType="ChangeInCapacity",
        ScalingAdjustment=2,
    )
    execute = {"AutoScalingGroupName": group, "PolicyName": "more"}
    autoscaling.execute_policy(**execute)
    in_service(autoscaling, 2)
    assert refused(autoscaling.execute_policy, **execute, HonorCooldown=True) == "ScalingActivityInProgress"
    autoscaling.execute_policy(**execute, HonorCooldown=False)
    in_service(autoscaling, 4)
    # Not beyond the group's size, whatever the policy says.
    autoscaling.execute_policy(**execute, HonorCooldown=False)
    assert described(autoscaling, group)["DesiredCapacity"] == 4


def test_the_protected_instance_is_the_one_that_stays(autoscaling, group):
    desire(autoscaling, 3)
    dear = in_service(autoscaling, 3)[1]
    autoscaling.set_instance_protection(AutoScalingGroupName=group, InstanceIds=[dear], ProtectedFromScaleIn=True)
    desire(autoscaling, 1)
    assert in_service(autoscaling, 1) == [dear]
    assert described(autoscaling, group)["Instances"][0]["ProtectedFromScaleIn"] is True
    autoscaling.set_instance_protection(AutoScalingGroupName=group, InstanceIds=[dear], ProtectedFromScaleIn=False)
    desire(autoscaling, 0)
    in_service(autoscaling, 0)


def test_an_instance_that_is_said_to_be_unhealthy_is_replaced(own, autoscaling, group):
    desire(autoscaling, 1)
    (was,) = in_service(autoscaling, 1)
    with pytest.raises(botocore.exceptions.ClientError, match="not found"):
        autoscaling.set_instance_health(InstanceId="i-0123456789abcdef0", HealthStatus="Unhealthy")
    autoscaling.set_instance_health(InstanceId=was, HealthStatus="Unhealthy", ShouldRespectGracePeriod=False)
    eventually("another is in service", lambda: set(states(autoscaling, group).items()) - {(was, "InService")})
    eventually("it is the only one", lambda: was not in states(autoscaling, group))
    (now,) = in_service(autoscaling, 1)
    seen = own.client("ec2").describe_instances(InstanceIds=[was, now])["Reservations"]
    assert {i["InstanceId"]: i["State"]["Name"] for r in seen for i in r["Instances"]}[now] == "running"
    desire(autoscaling, 0)
    in_service(autoscaling, 0)


def test_a_schedule_sets_the_size_when_its_time_has_come(autoscaling, group):
    now = datetime.datetime.now(datetime.timezone.utc)
    actions = [
        {"ScheduledActionName": "soon", "StartTime": now + datetime.timedelta(seconds=3), "DesiredCapacity": 1},
        {"ScheduledActionName": "later", "StartTime": now + datetime.timedelta(hours=1), "DesiredCapacity": 4},
        {"ScheduledActionName": "never", "Recurrence": "every so often"},
    ]
    failed = autoscaling.batch_put_scheduled_update_group_action(
        AutoScalingGroupName=group, ScheduledUpdateGroupActions=actions
    )["FailedScheduledUpdateGroupActions"]
    assert [one["ScheduledActionName"] for one in failed] == ["never"]
    kept = lambda: {
        one["ScheduledActionName"]
        for one in autoscaling.describe_scheduled_actions(AutoScalingGroupName=group)["ScheduledUpdateGroupActions"]
    }
    assert kept() == {"soon", "later"}
    in_service(autoscaling, 1)
    assert kept() == {"later"}
    autoscaling.delete_scheduled_action(AutoScalingGroupName=group, ScheduledActionName="later")
    assert kept() == set()


def test_a_detached_load_balancer_loses_the_groups_instances(own, autoscaling, group):
    elb = own.client("elb")
    elb.create_load_balancer(
        LoadBalancerName="lb",
        AvailabilityZones=["us-east-1a"],
        Listeners=[{"Protocol": "TCP", "LoadBalancerPort": free_port(), "InstancePort": free_port()}],
    )
    registered = lambda: [
        one["InstanceId"] for one in elb.describe_load_balancers()["LoadBalancerDescriptions"][0]["Instances"]
    ]
    autoscaling.attach_load_balancers(AutoScalingGroupName=group, LoadBalancerNames=["lb"])
    desire(autoscaling, 2)
    members = in_service(autoscaling, 2)
    eventually("both are registered", lambda: sorted(registered()) == members)
    told = lambda: {
        one["LoadBalancerName"]: one["State"]
        for one in autoscaling.describe_load_balancers(AutoScalingGroupName=group)["LoadBalancers"]
    }
    eventually("the load balancer is the group's", lambda: set(told().values()) <= {"Added", "InService"} and told())
    assert autoscaling.describe_load_balancer_target_groups(AutoScalingGroupName=group)["LoadBalancerTargetGroups"] == []
    autoscaling.detach_load_balancers(AutoScalingGroupName=group, LoadBalancerNames=["lb"])
    eventually("none is registered", lambda: registered() == [] and told() == {})
    assert in_service(autoscaling, 2) == members
    elb.delete_load_balancer(LoadBalancerName="lb")


def test_nobody_is_notified_and_nobody_is_told_that_he_would_be(autoscaling, group):
    topic = "arn:aws:sns:us-east-1:000000000000:topic"
    code = refused(
        autoscaling.put_notification_configuration,
        AutoScalingGroupName=group,
        TopicARN=topic,
        NotificationTypes=["autoscaling:EC2_INSTANCE_LAUNCH"],
    )
    assert code == "ValidationError"
    told = autoscaling.describe_notification_configurations(AutoScalingGroupNames=[group])
    assert told["NotificationConfigurations"] == []
    autoscaling.delete_notification_configuration(AutoScalingGroupName=group, TopicARN=topic)
