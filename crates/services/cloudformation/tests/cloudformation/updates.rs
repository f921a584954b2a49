//! Updates: in place, by replacement, taken back, cancelled, and by change sets.

use api::cloudformation::*;

use crate::platform::{Platform, call, parameter};

const BEFORE: &str = "
Parameters: {Delay: {Type: Number, Default: 5}}
Resources:
  Vpc: {Type: 'AWS::EC2::VPC', Properties: {CidrBlock: 10.0.0.0/16}}
  Subnet: {Type: 'AWS::EC2::Subnet', Properties: {VpcId: !Ref Vpc, CidrBlock: 10.0.1.0/24}}
  Queue: {Type: 'AWS::SQS::Queue', Properties: {DelaySeconds: !Ref Delay}}
Outputs:
  Subnet: {Value: !Ref Subnet}
";

async fn made(template: &str) -> Platform {
    let platform = Platform::open().await;
    platform.create("web", template).await.unwrap();
    assert_eq!(platform.settled("web").await, "CREATE_COMPLETE");
    platform.cloud.state.lock().calls.clear();
    platform
}

async fn statuses(platform: &Platform, logical: &str) -> Vec<String> {
    let of_resource = |event: &StackEvent| event.logical_resource_id.as_deref() == Some(logical);
    let events = platform.events("web").await.into_iter().filter(of_resource);
    events.filter_map(|event| event.resource_status).collect()
}

#[tokio::test(start_paused = true)]
async fn a_change_without_interruption_touches_nothing_else() {
    let platform = made(BEFORE).await;
    let queue = platform.physical("web", "Queue").await;
    platform.update("web", &BEFORE.replace("Default: 5", "Default: 6")).await.unwrap();
    assert_eq!(platform.settled("web").await, "UPDATE_COMPLETE");
    assert_eq!(platform.physical("web", "Queue").await, queue);
    assert_eq!(platform.cloud.called("SetQueueAttributes"), 1);
    assert_eq!(platform.cloud.called("CreateVpc") + platform.cloud.called("CreateSubnet"), 0);
    let name = queue.rsplit('/').next().unwrap();
    assert_eq!(platform.cloud.thing("queue", name)["attributes"]["DelaySeconds"], "6");
    assert_eq!(statuses(&platform, "Queue").await[3..], ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"]);
    assert_eq!(statuses(&platform, "Vpc").await.last().unwrap(), "CREATE_COMPLETE");
    let stack = platform.stack("web").await.unwrap();
    assert_eq!(stack.parameters[0].parameter_value.as_deref(), Some("6"));
    assert!(stack.last_updated_time.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_replacement_carries_its_dependents_with_it_and_is_cleaned_up() {
    let platform = made(BEFORE).await;
    let (vpc, subnet) = (platform.physical("web", "Vpc").await, platform.physical("web", "Subnet").await);
    platform.update("web", &BEFORE.replace("10.0.", "10.1.")).await.unwrap();
    assert_eq!(platform.settled("web").await, "UPDATE_COMPLETE");
    let (new_vpc, new_subnet) = (platform.physical("web", "Vpc").await, platform.physical("web", "Subnet").await);
    assert!(vpc != new_vpc && subnet != new_subnet);
    assert_eq!(platform.cloud.all("Vpc"), std::slice::from_ref(&new_vpc));
    assert_eq!(platform.cloud.thing("Subnet", &new_subnet)["VpcId"], new_vpc.as_str());
    assert_eq!(platform.output("web", "Subnet").await, Some(new_subnet));
    let reasons = platform.reasons("web", "Vpc").await;
    assert!(
        reasons
            .iter()
            .any(|reason| reason.starts_with("Requested update requires the creation of a new physical resource"))
    );
    // Old ones go in the clean-up, dependents first.
    let calls = platform.cloud.state.lock().calls.clone();
    let at = |name: &str| calls.iter().position(|call| call == name).unwrap();
    assert!(at("CreateSubnet") < at("DeleteSubnet") && at("DeleteSubnet") < at("DeleteVpc"));
    assert_eq!(platform.resources("web").await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_a_new_template_leaves_out_goes_after_what_it_adds_has_come() {
    let platform = made(BEFORE).await;
    let template = "Resources: {Other: {Type: 'AWS::SQS::Queue'}}";
    platform.update("web", template).await.unwrap();
    assert_eq!(platform.settled("web").await, "UPDATE_COMPLETE");
    assert_eq!(platform.cloud.count(), 1);
    let names: Vec<String> = platform.resources("web").await.into_iter().map(|one| one.logical_resource_id).collect();
    assert_eq!(names, ["Other"]);
    let calls = platform.cloud.state.lock().calls.clone();
    let at = |name: &str| calls.iter().position(|call| call == name).unwrap();
    assert!(at("CreateQueue") < at("DeleteQueue"));
}

#[tokio::test(start_paused = true)]
async fn a_failed_update_is_taken_back_wholly() {
    let platform = made(BEFORE).await;
    let (vpc, queue) = (platform.physical("web", "Vpc").await, platform.physical("web", "Queue").await);
    platform.cloud.fail("CreateSubnet", 0, 1, "no room");
    let template = BEFORE.replace("10.0.", "10.1.").replace("Default: 5", "Default: 6");
    let template = template.replace("Outputs:", "  New: {Type: 'AWS::SQS::Queue'}\nOutputs:");
    platform.update("web", &template).await.unwrap();
    assert_eq!(platform.settled("web").await, "UPDATE_ROLLBACK_COMPLETE");
    assert_eq!(platform.physical("web", "Vpc").await, vpc);
    assert_eq!(platform.cloud.count(), 3);
    let name = queue.rsplit('/').next().unwrap();
    assert_eq!(platform.cloud.thing("queue", name)["attributes"]["DelaySeconds"], "5");
    let stack = platform.stack("web").await.unwrap();
    assert_eq!(stack.parameters[0].parameter_value.as_deref(), Some("5"));
    let reasons = platform.reasons("web", "web").await;
    assert!(
        reasons.iter().any(|reason| reason == "The following resource(s) failed to update: [Subnet]."),
        "{reasons:?}"
    );
    // And it can be updated again.
    platform.update("web", &template).await.unwrap();
    assert_eq!(platform.settled("web").await, "UPDATE_COMPLETE");
    assert_eq!(platform.cloud.count(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_fails_can_be_continued_or_skip_what_fails() {
    for skips in [false, true] {
        let platform = made(BEFORE).await;
        platform.cloud.fail("CreateSubnet", 0, 1, "no room");
        // Changed forwards, refused backwards.
        platform.cloud.fail("SetQueueAttributes", 1, if skips { usize::MAX } else { 1 }, "not now");
        let template = BEFORE.replace("10.0.1.", "10.0.2.").replace("Default: 5", "Default: 6");
        let template = template.replace("Subnet', Properties: {", "Subnet', DependsOn: Queue, Properties: {");
        platform.update("web", &template).await.unwrap();
        assert_eq!(platform.settled("web").await, "UPDATE_ROLLBACK_FAILED");
        let refused = platform.update("web", &template).await.unwrap_err();
        assert!(refused.message.contains("UPDATE_ROLLBACK_FAILED state and can not be updated"));
        let resources_to_skip = if skips { vec!["Queue".to_owned()] } else { Vec::new() };
        let input = ContinueUpdateRollbackInput {
            stack_name: "web".into(),
            resources_to_skip,
            ..ContinueUpdateRollbackInput::default()
        };
        platform.service.continue_update_rollback(&call(), input).await.unwrap();
        assert_eq!(platform.settled("web").await, "UPDATE_ROLLBACK_COMPLETE");
        assert_eq!(platform.cloud.count(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_that_was_not_taken_back_can_be_rolled_back_or_gone_on_with() {
    for goes_on in [true, false] {
        let platform = made(BEFORE).await;
        platform.cloud.fail("CreateSubnet", 0, 1, "no room");
        let template = BEFORE.replace("10.0.", "10.1.");
        let input = UpdateStackInput {
            stack_name: "web".into(),
            template_body: Some(template.clone()),
            disable_rollback: Some(true),
            ..UpdateStackInput::default()
        };
        platform.service.update_stack(&call(), input).await.unwrap();
        assert_eq!(platform.settled("web").await, "UPDATE_FAILED");
        assert_eq!(platform.cloud.all("Vpc").len(), 2);
        if goes_on {
            platform.update("web", &template).await.unwrap();
            assert_eq!(platform.settled("web").await, "UPDATE_COMPLETE");
        } else {
            let input = RollbackStackInput { stack_name: "web".into(), ..RollbackStackInput::default() };
            platform.service.rollback_stack(&call(), input).await.unwrap();
            assert_eq!(platform.settled("web").await, "UPDATE_ROLLBACK_COMPLETE");
        }
        assert_eq!(platform.cloud.count(), 3, "{goes_on}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_can_be_cancelled() {
    let group = "
Resources:
  Configuration: {Type: 'AWS::AutoScaling::LaunchConfiguration', Properties: {ImageId: ami-1, InstanceType: t2.micro}}
  Group:
    Type: AWS::AutoScaling::AutoScalingGroup
    Properties: {LaunchConfigurationName: !Ref Configuration, MinSize: 1, MaxSize: 4, DesiredCapacity: 1, AvailabilityZones: !GetAZs ''}
";
    let platform = made(group).await;
    let idle = CancelUpdateStackInput { stack_name: "web".into(), client_request_token: None };
    let refused = platform.service.cancel_update_stack(&call(), idle.clone()).await.unwrap_err();
    assert_eq!(refused.message, "CancelUpdateStack cannot be called from current stack status CREATE_COMPLETE");
    platform.cloud.state.lock().launches_nothing = true;
    platform.update("web", &group.replace("DesiredCapacity: 1", "DesiredCapacity: 3")).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    platform.service.cancel_update_stack(&call(), idle).await.unwrap();
    assert_eq!(platform.settled("web").await, "UPDATE_ROLLBACK_COMPLETE");
    let name = platform.physical("web", "Group").await;
    assert_eq!(platform.cloud.thing("Group", &name)["DesiredCapacity"], 1);
    assert!(platform.reasons("web", "web").await.contains(&"User Initiated".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn an_update_that_changes_nothing_is_refused() {
    let platform = made(BEFORE).await;
    for template in [BEFORE.to_owned(), BEFORE.replace("Default: 5", "Default: '5'")] {
        let refused = platform.update("web", &template).await.unwrap_err();
        assert_eq!(
            (refused.code.as_ref(), refused.message.as_str()),
            ("ValidationError", "No updates are to be performed.")
        );
    }
    let refused = platform
        .update(
            "web",
            &BEFORE
                .replace("AWS::SQS::Queue", "AWS::EC2::InternetGateway")
                .replace(", Properties: {DelaySeconds: !Ref Delay}", ""),
        )
        .await
        .unwrap_err();
    assert!(refused.message.contains("modifies resource type of the following resources: [Queue]"));
    assert_eq!(platform.update("none", BEFORE).await.unwrap_err().message, "Stack [none] does not exist");
}

#[tokio::test(start_paused = true)]
async fn a_named_resource_that_must_be_replaced_is_refused() {
    let template = "Resources: {Q: {Type: 'AWS::SQS::Queue', Properties: {QueueName: a.fifo, FifoQueue: true}}}";
    let platform = made(template).await;
    platform.update("web", &template.replace("FifoQueue: true", "FifoQueue: false")).await.unwrap();
    assert_eq!(platform.settled("web").await, "UPDATE_ROLLBACK_COMPLETE");
    let reasons = platform.reasons("web", "Q").await;
    assert!(reasons.iter().any(|reason| reason == "CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename a.fifo and update the stack again."), "{reasons:?}");
    assert_eq!(platform.cloud.all("queue"), ["a.fifo"]);
}

#[tokio::test(start_paused = true)]
async fn a_stack_policy_guards_its_resources() {
    let platform = made(BEFORE).await;
    let policy = r#"{"Statement": [
        {"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "Update:*", "Principal": "*", "Resource": "LogicalResourceId/Queue"}]}"#;
    let input = SetStackPolicyInput {
        stack_name: "web".into(),
        stack_policy_body: Some(policy.into()),
        stack_policy_url: None,
    };
    platform.service.set_stack_policy(&call(), input).await.unwrap();
    let input = GetStackPolicyInput { stack_name: "web".into() };
    let kept = platform.service.get_stack_policy(&call(), input).await.unwrap();
    assert_eq!(kept.stack_policy_body.as_deref(), Some(policy));
    let changed = BEFORE.replace("Default: 5", "Default: 6");
    platform.update("web", &changed).await.unwrap();
    assert_eq!(platform.settled("web").await, "UPDATE_ROLLBACK_COMPLETE");
    let reasons = platform.reasons("web", "Queue").await;
    assert!(
        reasons.iter().any(|reason| reason.starts_with("Action denied by stack policy: Statement [#2]")),
        "{reasons:?}"
    );
    // Once, it may be.
    let input = UpdateStackInput {
        stack_name: "web".into(),
        template_body: Some(changed),
        stack_policy_during_update_body: Some(
            r#"{"Statement": [{"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"}]}"#.into(),
        ),
        ..UpdateStackInput::default()
    };
    platform.service.update_stack(&call(), input).await.unwrap();
    assert_eq!(platform.settled("web").await, "UPDATE_COMPLETE");
    platform.update("web", "Resources: {Other: {Type: 'AWS::SQS::Queue'}}").await.unwrap();
    assert_eq!(platform.settled("web").await, "UPDATE_ROLLBACK_COMPLETE");
    assert_eq!(platform.cloud.count(), 3);
}

const ROLLING: &str = "
Resources:
  Configuration: {Type: 'AWS::AutoScaling::LaunchConfiguration', Properties: {ImageId: ami-1, InstanceType: t2.micro}}
  Group:
    Type: AWS::AutoScaling::AutoScalingGroup
    UpdatePolicy: POLICY
    Properties: {LaunchConfigurationName: !Ref Configuration, MinSize: 3, MaxSize: 4, AvailabilityZones: !GetAZs ''}
";

async fn configurations(platform: &Platform) -> Vec<String> {
    let name = platform.physical("web", "Group").await;
    let instances = platform.cloud.thing("Group", &name)["Instances"].clone();
    instances
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["LaunchConfigurationName"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn without_an_update_policy_instances_stay_as_they_are() {
    let template = ROLLING.replace("    UpdatePolicy: POLICY\n", "");
    let platform = made(&template).await;
    let before = configurations(&platform).await;
    platform.update("web", &template.replace("ami-1", "ami-2")).await.unwrap();
    assert_eq!(platform.settled("web").await, "UPDATE_COMPLETE");
    assert_eq!(configurations(&platform).await, before);
    assert_eq!(platform.cloud.called("TerminateInstanceInAutoScalingGroup"), 0);
    assert_eq!(platform.cloud.all("LaunchConfiguration").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rolling_update_replaces_instances_batch_by_batch() {
    let policy = "{AutoScalingRollingUpdate: {MaxBatchSize: 2, MinInstancesInService: 1, PauseTime: PT1M}}";
    let template = ROLLING.replace("POLICY", policy);
    let platform = made(&template).await;
    let begun = platform.now_ms();
    platform.update("web", &template.replace("ami-1", "ami-2")).await.unwrap();
    assert_eq!(platform.settled("web").await, "UPDATE_COMPLETE");
    let configuration = platform.physical("web", "Configuration").await;
    assert_eq!(configurations(&platform).await, vec![configuration; 3]);
    assert_eq!(platform.cloud.called("TerminateInstanceInAutoScalingGroup"), 3);
    let took = (platform.now_ms() - begun) / 1000;
    assert!((120..180).contains(&took), "two batches with a minute after each took {took} s");
    let reasons = platform.reasons("web", "Group").await;
    assert!(
        reasons.iter().any(|reason| reason.starts_with(
            "Rolling update initiated. Terminating 3 obsolete instance(s) in batches of 2, while keeping at least 1"
        )),
        "{reasons:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_rolling_update_makes_room_where_no_instance_may_go_first() {
    let policy = "{AutoScalingRollingUpdate: {MinInstancesInService: 3}}";
    let template = ROLLING.replace("POLICY", policy);
    let platform = made(&template).await;
    platform.update("web", &template.replace("ami-1", "ami-2")).await.unwrap();
    assert_eq!(platform.settled("web").await, "UPDATE_COMPLETE");
    let configuration = platform.physical("web", "Configuration").await;
    assert_eq!(configurations(&platform).await, vec![configuration; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_rolling_update_waits_for_the_signals_of_its_instances() {
    let policy = "{AutoScalingRollingUpdate: {MaxBatchSize: 3, WaitOnResourceSignals: true, PauseTime: PT5M}}";
    let template = ROLLING.replace("POLICY", policy);
    for signals in [true, false] {
        let platform = made(&template).await;
        let old = platform.physical("web", "Configuration").await;
        platform.update("web", &template.replace("ami-1", "ami-2")).await.unwrap();
        if signals {
            let name = platform.physical("web", "Group").await;
            let mut signalled = 0;
            while signalled < 3 {
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                let instances = platform.cloud.thing("Group", &name)["Instances"].clone();
                for one in
                    instances.as_array().unwrap().iter().filter(|one| one["LaunchConfigurationName"] != old.as_str())
                {
                    signalled += usize::from(
                        platform.signal("web", "Group", one["InstanceId"].as_str().unwrap(), "SUCCESS").await.is_ok(),
                    );
                }
            }
            assert_eq!(platform.settled("web").await, "UPDATE_COMPLETE");
        } else {
            assert_eq!(platform.settled("web").await, "UPDATE_ROLLBACK_FAILED");
            let reasons = platform.reasons("web", "Group").await;
            assert!(
                reasons
                    .iter()
                    .any(|reason| reason.contains("Failed to receive resource signal(s) for the current batch")),
                "{reasons:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_replacing_update_makes_another_group() {
    let template = ROLLING.replace("POLICY", "{AutoScalingReplacingUpdate: {WillReplace: true}}");
    let platform = made(&template).await;
    let before = platform.physical("web", "Group").await;
    platform.update("web", &template.replace("ami-1", "ami-2")).await.unwrap();
    assert_eq!(platform.settled("web").await, "UPDATE_COMPLETE");
    let after = platform.physical("web", "Group").await;
    assert_ne!(before, after);
    assert_eq!(platform.cloud.all("Group"), [after]);
}

#[tokio::test(start_paused = true)]
async fn a_scheduled_action_keeps_the_sizes_that_it_set() {
    let policy = "{AutoScalingScheduledAction: {IgnoreUnmodifiedGroupSizeProperties: true}}";
    let template = ROLLING.replace("POLICY", policy);
    let platform = made(&template).await;
    let name = platform.physical("web", "Group").await;
    platform
        .cloud
        .state
        .lock()
        .things
        .get_mut(&("Group".into(), name.clone()))
        .unwrap()
        .insert("MinSize".into(), 1.into());
    platform.update("web", &template.replace("MaxSize: 4", "MaxSize: 5")).await.unwrap();
    assert_eq!(platform.settled("web").await, "UPDATE_COMPLETE");
    let group = platform.cloud.thing("Group", &name);
    assert_eq!((group["MinSize"].as_i64(), group["MaxSize"].as_i64()), (Some(1), Some(5)));
}

async fn change_set(platform: &Platform, kind: &str, template: &str) -> DescribeChangeSetOutput {
    let input = CreateChangeSetInput {
        stack_name: "web".into(),
        change_set_name: "first".into(),
        change_set_type: Some(kind.into()),
        template_body: Some(template.into()),
        ..CreateChangeSetInput::default()
    };
    let made = platform.service.create_change_set(&call(), input).await.unwrap();
    let input = DescribeChangeSetInput { change_set_name: made.id.unwrap(), ..DescribeChangeSetInput::default() };
    platform.service.describe_change_set(&call(), input).await.unwrap()
}

async fn execute(platform: &Platform) {
    let input = ExecuteChangeSetInput {
        change_set_name: "first".into(),
        stack_name: Some("web".into()),
        ..ExecuteChangeSetInput::default()
    };
    platform.service.execute_change_set(&call(), input).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stack_can_be_made_by_a_change_set() {
    let platform = Platform::open().await;
    let shown = change_set(&platform, "CREATE", BEFORE).await;
    assert_eq!(
        (shown.status.as_deref(), shown.execution_status.as_deref()),
        (Some("CREATE_COMPLETE"), Some("AVAILABLE"))
    );
    let changes: Vec<_> = shown.changes.iter().filter_map(|change| change.resource_change.as_ref()).collect();
    assert!(changes.iter().all(|change| change.action.as_deref() == Some("Add")));
    assert_eq!(changes.len(), 3);
    assert_eq!(platform.stack("web").await.unwrap().stack_status, "REVIEW_IN_PROGRESS");
    assert_eq!(platform.cloud.count(), 0);
    let input = ListChangeSetsInput { stack_name: "web".into(), next_token: None };
    assert_eq!(platform.service.list_change_sets(&call(), input).await.unwrap().summaries.len(), 1);
    execute(&platform).await;
    assert_eq!(platform.settled("web").await, "CREATE_COMPLETE");
    assert_eq!(platform.cloud.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_change_set_tells_what_would_be_replaced_and_why() {
    let platform = made(BEFORE).await;
    let template = BEFORE.replace("10.0.0.0/16", "10.1.0.0/16").replace("Default: 5", "Default: 6");
    let shown = change_set(&platform, "UPDATE", &template).await;
    let change = |logical: &str| {
        let mut changes = shown.changes.iter().filter_map(|change| change.resource_change.clone());
        changes.find(|change| change.logical_resource_id.as_deref() == Some(logical)).unwrap()
    };
    assert_eq!(change("Vpc").replacement.as_deref(), Some("True"));
    assert_eq!(change("Vpc").policy_action.as_deref(), Some("ReplaceAndDelete"));
    // The subnet's VPC is known only afterwards.
    let subnet = change("Subnet");
    assert_eq!(subnet.replacement.as_deref(), Some("Conditional"));
    let detail = &subnet.details[0];
    assert_eq!(detail.evaluation.as_deref(), Some("Dynamic"));
    assert_eq!(
        (detail.change_source.as_deref(), detail.causing_entity.as_deref()),
        (Some("ResourceReference"), Some("Vpc"))
    );
    let target = detail.target.as_ref().unwrap();
    assert_eq!((target.name.as_deref(), target.requires_recreation.as_deref()), (Some("VpcId"), Some("Always")));
    assert_eq!(change("Queue").replacement.as_deref(), Some("False"));
    assert_eq!(platform.cloud.called("SetQueueAttributes"), 0);
    execute(&platform).await;
    assert_eq!(platform.settled("web").await, "UPDATE_COMPLETE");
    let input = GetTemplateInput { stack_name: Some("web".into()), ..GetTemplateInput::default() };
    assert_eq!(platform.service.get_template(&call(), input).await.unwrap().template_body.unwrap(), template);
}

#[tokio::test(start_paused = true)]
async fn a_change_set_shows_values_where_they_are_asked_for_and_secrets_never() {
    let platform = Platform::open().await;
    let template = |secret: &str, delay: u32| {
        format!(
            "
Parameters: {{Secret: {{Type: String, NoEcho: true, Default: {secret}}}}}
Resources:
  Q: {{Type: 'AWS::SQS::Queue', Properties: {{DelaySeconds: {delay}, Tags: [{{Key: s, Value: !Ref Secret}}]}}}}
"
        )
    };
    platform.create("web", &template("hunter2", 1)).await.unwrap();
    assert_eq!(platform.settled("web").await, "CREATE_COMPLETE");
    let input = CreateChangeSetInput {
        stack_name: "web".into(),
        change_set_name: "first".into(),
        template_body: Some(template("hunter3", 2) + "  New: {Type: 'AWS::SQS::Queue', Properties: {DelaySeconds: 3}}"),
        // As CDK asks.
        include_nested_stacks: Some(true),
        deployment_config: Some(DeploymentConfig { mode: Some("STANDARD".into()), disable_rollback: None }),
        ..CreateChangeSetInput::default()
    };
    let made = platform.service.create_change_set(&call(), input.clone()).await.unwrap();
    let shown = async |with_values: bool| {
        let input = DescribeChangeSetInput {
            change_set_name: made.id.clone().unwrap(),
            include_property_values: Some(with_values),
            ..DescribeChangeSetInput::default()
        };
        let changes = platform.service.describe_change_set(&call(), input).await.unwrap().changes;
        changes.into_iter().map(|change| change.resource_change.unwrap()).collect::<Vec<_>>()
    };
    let [new, changed] = &shown(true).await[..] else { panic!("two changes") };
    assert_eq!(new.after_context.as_deref(), Some(r#"{"Properties":{"DelaySeconds":3}}"#));
    assert_eq!(new.before_context, None);
    let target = changed.details[0].target.as_ref().unwrap();
    assert_eq!(target.path.as_deref(), Some("/Properties/DelaySeconds"));
    assert_eq!((target.before_value.as_deref(), target.after_value.as_deref()), (Some("1"), Some("2")));
    assert_eq!(target.attribute_change_type.as_deref(), Some("Modify"));
    let all = format!("{changed:?}");
    assert!(all.contains("****") && !all.contains("hunter"), "{all}");
    assert!(shown(false).await.iter().all(|change| change.before_context.is_none() && change.after_context.is_none()));
    let express = DeploymentConfig { mode: Some("EXPRESS".into()), disable_rollback: None };
    let input = CreateChangeSetInput { deployment_config: Some(express), ..input };
    let refused = platform.service.create_change_set(&call(), input).await.unwrap_err();
    assert!(refused.message.contains("DeploymentConfig"), "{}", refused.message);
}

#[tokio::test(start_paused = true)]
async fn a_change_set_without_changes_fails_with_the_sentence_that_the_cli_looks_for() {
    let platform = made(BEFORE).await;
    let shown = change_set(&platform, "UPDATE", BEFORE).await;
    assert_eq!((shown.status.as_deref(), shown.execution_status.as_deref()), (Some("FAILED"), Some("UNAVAILABLE")));
    assert!(shown.status_reason.unwrap().starts_with("The submitted information didn't contain changes."));
    // Its name is free; that of one that can be executed is not.
    let again = change_set(&platform, "UPDATE", &BEFORE.replace("Default: 5", "Default: 6")).await;
    assert_eq!(again.status.as_deref(), Some("CREATE_COMPLETE"));
    let taken = CreateChangeSetInput {
        stack_name: "web".into(),
        change_set_name: "first".into(),
        template_body: Some(BEFORE.into()),
        ..CreateChangeSetInput::default()
    };
    let refused = platform.service.create_change_set(&call(), taken).await.unwrap_err();
    assert_eq!(refused.message, "ChangeSet first already exists");
    let input = DeleteChangeSetInput { change_set_name: "first".into(), stack_name: Some("web".into()) };
    platform.service.delete_change_set(&call(), input).await.unwrap();
    let input = DescribeChangeSetInput {
        change_set_name: "first".into(),
        stack_name: Some("web".into()),
        ..DescribeChangeSetInput::default()
    };
    let missing = platform.service.describe_change_set(&call(), input).await.unwrap_err();
    assert_eq!((missing.query_code.as_deref(), missing.status), (Some("ChangeSetNotFound"), 404));
}

#[tokio::test(start_paused = true)]
async fn previous_values_and_templates_can_be_kept() {
    let platform = made(BEFORE).await;
    let update = |parameters| UpdateStackInput {
        stack_name: "web".into(),
        use_previous_template: Some(true),
        parameters,
        ..UpdateStackInput::default()
    };
    platform.service.update_stack(&call(), update(vec![parameter("Delay", "7")])).await.unwrap();
    assert_eq!(platform.settled("web").await, "UPDATE_COMPLETE");
    let keep =
        Parameter { parameter_key: Some("Delay".into()), use_previous_value: Some(true), ..Parameter::default() };
    let refused = platform.service.update_stack(&call(), update(vec![keep])).await.unwrap_err();
    assert_eq!(refused.message, "No updates are to be performed.");
    assert_eq!(platform.stack("web").await.unwrap().parameters[0].parameter_value.as_deref(), Some("7"));
}
