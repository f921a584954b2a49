"""Auto Scaling as the AWS CLI and boto3 speak it, on machines that the operator registered: no privileges needed."""

import datetime
import signal
import uuid

import botocore.exceptions
import pytest

from load_balancing import ZONES, Backend, Platform, eventually, free_port


@pytest.fixture
def asg(platform):
    return platform.server.client("autoscaling")


@pytest.fixture
def group(platform, asg):
    """An empty group, and its launch configuration of the same name."""
    name = f"g-{uuid.uuid4().hex[:8]}"
    asg.create_launch_configuration(LaunchConfigurationName=name, ImageId="ami-12345678", InstanceType="t2.micro")
    asg.create_auto_scaling_group(
        AutoScalingGroupName=name,
        LaunchConfigurationName=name,
        MinSize=0,
        MaxSize=4,
        DesiredCapacity=0,
        AvailabilityZones=[ZONES[0]],
    )
    yield name
    asg.delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)
    eventually("the group is gone", lambda: not described(asg, name))
    asg.delete_launch_configuration(LaunchConfigurationName=name)


def described(asg, name):
    groups = asg.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    return groups[0] if groups else None


def states(asg, name):
    return {one["InstanceId"]: one["LifecycleState"] for one in described(asg, name)["Instances"]}


def refused(call, **parameters):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**parameters)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def test_machines_are_attached_balanced_put_on_standby_and_detached(platform, asg, group):
    backend = Backend("one", free_port())
    balancer = platform.create([])
    platform.elb.create_load_balancer_listeners(
        LoadBalancerName=balancer.name,
        Listeners=[{"Protocol": "TCP", "LoadBalancerPort": free_port(), "InstancePort": backend.port}],
    )
    instance = platform.add_instance(backend.ip)
    platform.aws(
        "autoscaling", "attach-load-balancers", "--auto-scaling-group-name", group, "--load-balancer-names", balancer.name
    )
    platform.aws("autoscaling", "attach-instances", "--auto-scaling-group-name", group, "--instance-ids", instance)
    eventually("the instance serves", lambda: states(asg, group) == {instance: "InService"})
    registered = platform.elb.describe_load_balancers(LoadBalancerNames=[balancer.name])
    assert registered["LoadBalancerDescriptions"][0]["Instances"] == [{"InstanceId": instance}]
    of_instance = platform.aws("autoscaling", "describe-auto-scaling-instances", "--instance-ids", instance)
    assert of_instance["AutoScalingInstances"][0]["AutoScalingGroupName"] == group
    of_instance = [{"Name": "resource-id", "Values": [instance]}]
    tags = lambda: {one["Key"]: one["Value"] for one in platform.ec2.describe_tags(Filters=of_instance)["Tags"]}
    eventually("the instance is tagged", lambda: tags().get("aws:autoscaling:groupName") == group)
    words = ["--auto-scaling-group-name", group, "--instance-ids", instance]
    platform.aws("autoscaling", "enter-standby", *words, "--should-decrement-desired-capacity")
    eventually("the instance is on standby", lambda: states(asg, group) == {instance: "Standby"})
    assert described(asg, group)["DesiredCapacity"] == 0
    platform.aws("autoscaling", "exit-standby", *words)
    eventually("the instance serves again", lambda: states(asg, group) == {instance: "InService"})
    activities = platform.aws("autoscaling", "detach-instances", *words, "--should-decrement-desired-capacity")
    assert activities["Activities"][0]["Description"] == f"Detaching EC2 instance: {instance}"
    eventually("the instance is gone from the group", lambda: states(asg, group) == {})
    registered = platform.elb.describe_load_balancers(LoadBalancerNames=[balancer.name])
    assert registered["LoadBalancerDescriptions"][0]["Instances"] == []
    words = [one["Description"] for one in asg.describe_scaling_activities(AutoScalingGroupName=group)["Activities"]]
    assert words == [
        f"Detaching EC2 instance: {instance}",
        f"Moving EC2 instance out of Standby: {instance}",
        f"Moving EC2 instance to Standby: {instance}",
        f"Attaching an existing EC2 instance: {instance}",
    ]


def test_a_launch_that_fails_is_told_and_tried_more_and_more_slowly(asg, group):
    other = f"{group}-broken"
    asg.create_launch_configuration(
        LaunchConfigurationName=other, ImageId="ami-12345678", InstanceType="t2.micro", KeyName="no-such-key"
    )
    asg.update_auto_scaling_group(AutoScalingGroupName=group, LaunchConfigurationName=other, DesiredCapacity=1)
    activities = lambda: asg.describe_scaling_activities(AutoScalingGroupName=group)["Activities"]
    eventually("three launches have failed", lambda: len(activities()) >= 3)
    for activity in activities():
        assert activity["StatusCode"] == "Failed"
        assert activity["StatusMessage"].endswith(" Launching EC2 instance failed.")
    starts = sorted(activity["StartTime"] for activity in activities())
    assert starts[2] - starts[1] > starts[1] - starts[0] > datetime.timedelta(seconds=0.9)
    asg.update_auto_scaling_group(AutoScalingGroupName=group, LaunchConfigurationName=group, DesiredCapacity=0)
    asg.delete_launch_configuration(LaunchConfigurationName=other)


def test_hooks_policies_schedules_and_tags_come_back_as_they_were_put(asg, group):
    asg.put_lifecycle_hook(
        AutoScalingGroupName=group,
        LifecycleHookName="out",
        LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
        HeartbeatTimeout=60,
        DefaultResult="CONTINUE",
    )
    hook = asg.describe_lifecycle_hooks(AutoScalingGroupName=group)["LifecycleHooks"][0]
    assert (hook["LifecycleHookName"], hook["HeartbeatTimeout"], hook["GlobalTimeout"]) == ("out", 60, 6000)
    asg.delete_lifecycle_hook(AutoScalingGroupName=group, LifecycleHookName="out")

    step = {"MetricIntervalLowerBound": 0.0, "MetricIntervalUpperBound": 12.5, "ScalingAdjustment": 1}
    arn = asg.put_scaling_policy(
        AutoScalingGroupName=group,
        PolicyName="steps",
        PolicyType="StepScaling",
        AdjustmentType="ChangeInCapacity",
        StepAdjustments=[step, {"MetricIntervalLowerBound": 12.5, "ScalingAdjustment": 2}],
    )["PolicyARN"]
    target = {"PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"}, "TargetValue": 50.0}
    asg.put_scaling_policy(
        AutoScalingGroupName=group,
        PolicyName="cpu",
        PolicyType="TargetTrackingScaling",
        TargetTrackingConfiguration=target,
    )
    policies = {one["PolicyName"]: one for one in asg.describe_policies(AutoScalingGroupName=group)["ScalingPolicies"]}
    assert policies["steps"]["PolicyARN"] == arn and policies["steps"]["StepAdjustments"][0] == step
    assert policies["cpu"]["TargetTrackingConfiguration"] == target
    for name in policies:
        asg.delete_policy(AutoScalingGroupName=group, PolicyName=name)

    at = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(hours=1)
    asg.put_scheduled_update_group_action(
        AutoScalingGroupName=group, ScheduledActionName="once", StartTime=at, DesiredCapacity=1
    )
    asg.put_scheduled_update_group_action(
        AutoScalingGroupName=group,
        ScheduledActionName="daily",
        Recurrence="0 9 * * *",
        TimeZone="Europe/Berlin",
        MinSize=1,
    )
    actions = asg.describe_scheduled_actions(AutoScalingGroupName=group)["ScheduledUpdateGroupActions"]
    actions = {one["ScheduledActionName"]: one for one in actions}
    assert actions["once"]["StartTime"] == at
    assert actions["daily"]["StartTime"].astimezone(datetime.timezone.utc).hour in (7, 8)
    failed = asg.batch_delete_scheduled_action(
        AutoScalingGroupName=group, ScheduledActionNames=["once", "daily", "absent"]
    )["FailedScheduledActions"]
    assert [one["ScheduledActionName"] for one in failed] == ["absent"]

    tag = {"ResourceId": group, "ResourceType": "auto-scaling-group", "Key": "team", "Value": "shop"}
    asg.create_or_update_tags(Tags=[{**tag, "PropagateAtLaunch": True}])
    assert asg.describe_tags(Filters=[{"Name": "auto-scaling-group", "Values": [group]}])["Tags"] == [
        {**tag, "PropagateAtLaunch": True}
    ]
    asg.delete_tags(Tags=[tag])
    assert described(asg, group)["Tags"] == []


def test_the_lists_that_never_change_are_aws(platform):
    lists = [
        (["autoscaling", "describe-adjustment-types"], "AdjustmentTypes", {"AdjustmentType": "PercentChangeInCapacity"}),
        (
            ["autoscaling", "describe-auto-scaling-notification-types"],
            "AutoScalingNotificationTypes",
            "autoscaling:EC2_INSTANCE_LAUNCH",
        ),
        (["autoscaling", "describe-lifecycle-hook-types"], "LifecycleHookTypes", "autoscaling:EC2_INSTANCE_LAUNCHING"),
        (["autoscaling", "describe-metric-collection-types"], "Metrics", {"Metric": "GroupDesiredCapacity"}),
        (["autoscaling", "describe-scaling-process-types"], "Processes", {"ProcessName": "AddToLoadBalancer"}),
        (["autoscaling", "describe-termination-policy-types"], "TerminationPolicyTypes", "OldestInstance"),
    ]
    for words, key, some in lists:
        assert some in platform.aws(*words)[key], words
    limits = platform.aws("autoscaling", "describe-account-limits")
    assert limits["MaxNumberOfLaunchConfigurations"] == 200


def test_processes_metrics_and_settings_are_shown(asg, group):
    asg.suspend_processes(AutoScalingGroupName=group, ScalingProcesses=["Launch", "AZRebalance"])
    asg.enable_metrics_collection(AutoScalingGroupName=group, Granularity="1Minute", Metrics=["GroupMinSize"])
    shown = described(asg, group)
    assert {one["ProcessName"] for one in shown["SuspendedProcesses"]} == {"Launch", "AZRebalance"}
    assert shown["EnabledMetrics"] == [{"Metric": "GroupMinSize", "Granularity": "1Minute"}]
    asg.resume_processes(AutoScalingGroupName=group)
    asg.disable_metrics_collection(AutoScalingGroupName=group)
    shown = described(asg, group)
    assert (shown["SuspendedProcesses"], shown["EnabledMetrics"]) == ([], [])
    refresh = asg.start_instance_refresh(AutoScalingGroupName=group)["InstanceRefreshId"]
    last = lambda: asg.describe_instance_refreshes(AutoScalingGroupName=group)["InstanceRefreshes"][0]
    eventually("an empty group is fresh at once", lambda: last()["Status"] == "Successful")
    assert last()["InstanceRefreshId"] == refresh
    code, _ = refused(asg.cancel_instance_refresh, AutoScalingGroupName=group)
    assert code == "ActiveInstanceRefreshNotFound"


def test_errors_have_aws_codes_and_sentences(asg, group):
    name = {"AutoScalingGroupName": group}
    assert refused(asg.create_launch_configuration, LaunchConfigurationName=group, ImageId="ami-1", InstanceType="t") == (
        "AlreadyExists",
        f"Launch Configuration by this name already exists - A launch configuration already exists with the name {group}",
    )
    assert refused(asg.delete_launch_configuration, LaunchConfigurationName=group) == (
        "ResourceInUse",
        f"Cannot delete launch configuration {group} because it is attached to AutoScalingGroup {group}",
    )
    assert refused(asg.set_desired_capacity, **name, DesiredCapacity=5) == (
        "ValidationError",
        "New SetDesiredCapacity value 5 is above max value 4 for the AutoScalingGroup.",
    )
    assert refused(asg.terminate_instance_in_auto_scaling_group, InstanceId="i-0", ShouldDecrementDesiredCapacity=True) == (
        "ValidationError",
        "Instance Id not found - No managed instance found for instance ID: i-0",
    )
    assert refused(asg.describe_auto_scaling_groups, NextToken="nonsense!")[0] == "InvalidNextToken"
    code, message = refused(asg.create_auto_scaling_group, AutoScalingGroupName="x" * 256, MinSize=0, MaxSize=1)
    assert code == "ValidationError" and "1 validation error detected" in message


def test_a_group_outlives_kill_9(tmp_path):
    platform = Platform(tmp_path)
    asg = platform.server.client("autoscaling")
    backend = Backend("one", free_port())
    instance = platform.add_instance(backend.ip)
    asg.create_launch_configuration(LaunchConfigurationName="lc", ImageId="ami-12345678", InstanceType="t2.micro")
    asg.create_auto_scaling_group(
        AutoScalingGroupName="g", LaunchConfigurationName="lc", MinSize=0, MaxSize=1, AvailabilityZones=[ZONES[0]]
    )
    asg.attach_instances(AutoScalingGroupName="g", InstanceIds=[instance])
    platform.restart(signal.SIGKILL)
    asg = platform.server.client("autoscaling")
    eventually("the instance serves", lambda: states(asg, "g") == {instance: "InService"})
    assert described(asg, "g")["DesiredCapacity"] == 1
    assert platform.server.stop() == 0
