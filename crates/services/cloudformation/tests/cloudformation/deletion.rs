//! Stacks are deleted: in order, with what stays, and with what does not go.

use api::cloudformation::*;

use crate::platform::{Platform, call};
use crate::stacks::NETWORK;

async fn made(template: &str) -> (Platform, String) {
    let platform = Platform::open().await;
    let id = platform.create("web", template).await.unwrap();
    assert_eq!(platform.settled("web").await, "CREATE_COMPLETE");
    (platform, id)
}

#[tokio::test(start_paused = true)]
async fn a_stack_goes_with_all_it_made_dependents_first() {
    let (platform, id) = made(NETWORK).await;
    platform.delete("web").await.unwrap();
    assert_eq!(platform.settled(&id).await, "DELETE_COMPLETE");
    assert_eq!(platform.cloud.count(), 0);
    assert!(platform.stack("web").await.is_err());
    let deleted = platform.stack(&id).await.unwrap();
    assert!(deleted.deletion_time.is_some());
    assert!(platform.resources(&id).await.iter().all(|one| one.resource_status == "DELETE_COMPLETE"));
    // Twice is once, and the name is free.
    platform.delete("web").await.unwrap();
    platform.delete(&id).await.unwrap();
    platform.create("web", NETWORK).await.unwrap();
    assert_eq!(platform.settled("web").await, "CREATE_COMPLETE");
    let input = ListStacksInput { stack_status_filter: vec!["DELETE_COMPLETE".into()], next_token: None };
    assert_eq!(platform.service.list_stacks(&call(), input).await.unwrap().stack_summaries.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_retained_stays() {
    let template = "
Resources:
  Kept: {Type: AWS::SQS::Queue, DeletionPolicy: Retain, Properties: {QueueName: kept}}
  Gone: {Type: AWS::SQS::Queue, DeletionPolicy: Delete}
";
    let (platform, id) = made(template).await;
    platform.delete("web").await.unwrap();
    assert_eq!(platform.settled(&id).await, "DELETE_COMPLETE");
    assert_eq!(platform.cloud.all("queue"), ["kept"]);
    let kept = platform.resources(&id).await.into_iter().find(|one| one.logical_resource_id == "Kept").unwrap();
    assert_eq!(kept.resource_status, "DELETE_SKIPPED");
}

#[tokio::test(start_paused = true)]
async fn retain_except_on_create_goes_with_a_stack_that_fails() {
    let template = "
Resources:
  A: {Type: AWS::SQS::Queue, DeletionPolicy: RetainExceptOnCreate}
  B: {Type: AWS::EC2::VPC, DependsOn: A, Properties: {CidrBlock: 10.0.0.0/16}}
";
    let platform = Platform::open().await;
    platform.cloud.fail("CreateVpc", 0, 1, "no");
    let id = platform.create("web", template).await.unwrap();
    assert_eq!(platform.settled(&id).await, "ROLLBACK_COMPLETE");
    assert_eq!(platform.cloud.count(), 0);
    platform.create("other", template).await.unwrap();
    assert_eq!(platform.settled("other").await, "CREATE_COMPLETE");
    let id = platform.stack("other").await.unwrap().stack_id.unwrap();
    platform.delete("other").await.unwrap();
    assert_eq!(platform.settled(&id).await, "DELETE_COMPLETE");
    assert_eq!(platform.cloud.all("queue").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_go_can_be_left() {
    let (platform, id) = made(NETWORK).await;
    platform.cloud.fail("DeleteQueue", 0, usize::MAX, "it is dear to somebody");
    platform.delete("web").await.unwrap();
    assert_eq!(platform.settled(&id).await, "DELETE_FAILED");
    let reasons = platform.reasons("web", "web").await;
    assert!(
        reasons.iter().any(|reason| reason == "The following resource(s) failed to delete: [Queue]."),
        "{reasons:?}"
    );
    let input = |names: &[&str]| DeleteStackInput {
        stack_name: "web".into(),
        retain_resources: names.iter().map(|name| (*name).to_owned()).collect(),
        ..DeleteStackInput::default()
    };
    assert!(platform.service.delete_stack(&call(), input(&["Vpc"])).await.is_err());
    platform.service.delete_stack(&call(), input(&["Queue"])).await.unwrap();
    assert_eq!(platform.settled(&id).await, "DELETE_COMPLETE");
    assert_eq!(platform.cloud.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_protected_stack_is_not_deleted() {
    let (platform, id) = made("Resources: {Q: {Type: 'AWS::SQS::Queue'}}").await;
    let protect =
        |enable| UpdateTerminationProtectionInput { stack_name: "web".into(), enable_termination_protection: enable };
    platform.service.update_termination_protection(&call(), protect(true)).await.unwrap();
    let refused = platform.delete("web").await.unwrap_err();
    assert_eq!(refused.message, "Stack [web] cannot be deleted while TerminationProtection is enabled");
    platform.service.update_termination_protection(&call(), protect(false)).await.unwrap();
    platform.delete("web").await.unwrap();
    assert_eq!(platform.settled(&id).await, "DELETE_COMPLETE");
}

#[tokio::test(start_paused = true)]
async fn a_stack_that_is_being_made_can_be_deleted() {
    let platform = Platform::open().await;
    platform.cloud.state.lock().launches_nothing = true;
    let template = "
Resources:
  Configuration: {Type: 'AWS::AutoScaling::LaunchConfiguration', Properties: {ImageId: ami-1, InstanceType: t2.micro}}
  Group:
    Type: AWS::AutoScaling::AutoScalingGroup
    Properties: {LaunchConfigurationName: !Ref Configuration, MinSize: 1, MaxSize: 1, AvailabilityZones: !GetAZs ''}
";
    let id = platform.create("web", template).await.unwrap();
    while platform.cloud.all("Group").is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    platform.delete("web").await.unwrap();
    assert_eq!(platform.settled(&id).await, "DELETE_COMPLETE");
    assert_eq!(platform.cloud.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_export_in_use_keeps_its_stack() {
    let exporter = "
Resources: {Q: {Type: 'AWS::SQS::Queue'}}
Outputs: {Url: {Value: !Ref Q, Export: {Name: !Sub '${AWS::StackName}-url'}}}
";
    let importer =
        "Resources: {Q: {Type: 'AWS::SQS::Queue', Properties: {Tags: [{Key: of, Value: !ImportValue web-url}]}}}";
    let (platform, id) = made(exporter).await;
    let exports = platform.service.list_exports(&call(), ListExportsInput::default()).await.unwrap().exports;
    assert_eq!(exports[0].name.as_deref(), Some("web-url"));
    let importers = || ListImportsInput { export_name: "web-url".into(), next_token: None };
    let unused = platform.service.list_imports(&call(), importers()).await.unwrap_err();
    assert_eq!(unused.message, "Export 'web-url' is not imported by any stack.");
    platform.create("other", importer).await.unwrap();
    assert_eq!(platform.settled("other").await, "CREATE_COMPLETE");
    let url = platform.physical("web", "Q").await;
    let names = platform.cloud.all("queue");
    assert!(names.iter().any(|name| platform.cloud.thing("queue", name)["tags"]["of"] == url.as_str()));
    assert_eq!(platform.service.list_imports(&call(), importers()).await.unwrap().imports, ["other"]);
    platform.delete("web").await.unwrap();
    assert_eq!(platform.settled(&id).await, "DELETE_FAILED");
    let reasons = platform.reasons("web", "web").await;
    assert!(reasons.contains(&"Export web-url cannot be deleted as it is in use by other".to_owned()), "{reasons:?}");
    let other = platform.stack("other").await.unwrap().stack_id.unwrap();
    platform.delete("other").await.unwrap();
    assert_eq!(platform.settled(&other).await, "DELETE_COMPLETE");
    platform.delete("web").await.unwrap();
    assert_eq!(platform.settled(&id).await, "DELETE_COMPLETE");
    assert!(platform.service.list_exports(&call(), ListExportsInput::default()).await.unwrap().exports.is_empty());
    // What is not exported cannot be imported.
    platform.create("late", importer).await.unwrap();
    assert_eq!(platform.settled("late").await, "ROLLBACK_COMPLETE");
    assert_eq!(platform.reasons("late", "Q").await[0], "No export named web-url found.");
}

#[tokio::test(start_paused = true)]
async fn an_export_has_one_exporter() {
    let template = "
Resources: {Q: {Type: 'AWS::SQS::Queue'}}
Outputs: {Url: {Value: !Ref Q, Export: {Name: the-url}}}
";
    let (platform, _) = made(template).await;
    platform.create("two", template).await.unwrap();
    assert_eq!(platform.settled("two").await, "ROLLBACK_COMPLETE");
    let reasons = platform.reasons("two", "two").await;
    assert!(
        reasons.iter().any(|reason| reason.starts_with("Export with name the-url is already exported by stack web")),
        "{reasons:?}"
    );
}
