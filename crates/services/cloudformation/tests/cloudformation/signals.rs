//! Creation policies, wait conditions, and who may signal when.

use std::time::Duration;

use crate::platform::Platform;

fn group(policy: &str) -> String {
    format!(
        "
Resources:
  Configuration: {{Type: 'AWS::AutoScaling::LaunchConfiguration', Properties: {{ImageId: ami-1, InstanceType: t2.micro}}}}
  Group:
    Type: AWS::AutoScaling::AutoScalingGroup
    CreationPolicy: {policy}
    Properties: {{LaunchConfigurationName: !Ref Configuration, MinSize: 2, MaxSize: 2, AvailabilityZones: !GetAZs ''}}
"
    )
}

/// Waits until the group is there and waits for its signals.
async fn waiting(platform: &Platform) {
    while platform.cloud.called("CreateAutoScalingGroup") == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn one_signal_completes_a_group_whose_policy_has_no_count() {
    let platform = Platform::open().await;
    platform.create("web", &group("{ResourceSignal: {Timeout: PT10M}}")).await.unwrap();
    waiting(&platform).await;
    assert_eq!(platform.stack("web").await.unwrap().stack_status, "CREATE_IN_PROGRESS");
    platform.signal("web", "Group", "i-1", "SUCCESS").await.unwrap();
    assert_eq!(platform.settled("web").await, "CREATE_COMPLETE");
    let reasons = platform.reasons("web", "Group").await;
    assert!(reasons.contains(&"Received SUCCESS signal with UniqueId i-1".to_owned()), "{reasons:?}");
    let refused = platform.signal("web", "Group", "i-2", "SUCCESS").await.unwrap_err();
    assert_eq!(refused.message, "Resource Group is in CREATE_COMPLETE state and can not be signaled.");
}

#[tokio::test(start_paused = true)]
async fn without_signals_the_stack_is_taken_back_at_the_timeout() {
    let platform = Platform::open().await;
    let begun = platform.now_ms();
    platform.create("web", &group("{ResourceSignal: {Count: 2, Timeout: PT10M}}")).await.unwrap();
    waiting(&platform).await;
    // The same sender twice is one signal.
    platform.signal("web", "Group", "i-1", "SUCCESS").await.unwrap();
    platform.signal("web", "Group", "i-1", "SUCCESS").await.unwrap();
    assert_eq!(platform.settled("web").await, "ROLLBACK_COMPLETE");
    let took = (platform.now_ms() - begun) / 1000;
    assert!((600..610).contains(&took), "{took} s");
    let reasons = platform.reasons("web", "Group").await;
    assert!(
        reasons.contains(&"Failed to receive 1 resource signal(s) within the specified duration".to_owned()),
        "{reasons:?}"
    );
    assert_eq!(platform.cloud.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_failure_signal_ends_the_waiting() {
    let platform = Platform::open().await;
    platform.create("web", &group("{ResourceSignal: {Count: 2}}")).await.unwrap();
    waiting(&platform).await;
    platform.signal("web", "Group", "i-1", "FAILURE").await.unwrap();
    assert_eq!(platform.settled("web").await, "ROLLBACK_COMPLETE");
    let reasons = platform.reasons("web", "Group").await;
    let expected =
        "Received 1 FAILURE signal(s) out of 2. Unable to satisfy 100% MinSuccessfulInstancesPercent requirement";
    assert!(reasons.contains(&expected.to_owned()), "{reasons:?}");
}

#[tokio::test(start_paused = true)]
async fn a_policy_may_be_content_with_a_part() {
    let platform = Platform::open().await;
    let policy = "{ResourceSignal: {Count: 2}, AutoScalingCreationPolicy: {MinSuccessfulInstancesPercent: 50}}";
    platform.create("web", &group(policy)).await.unwrap();
    waiting(&platform).await;
    platform.signal("web", "Group", "i-1", "FAILURE").await.unwrap();
    platform.signal("web", "Group", "i-2", "SUCCESS").await.unwrap();
    assert_eq!(platform.settled("web").await, "CREATE_COMPLETE");
}

#[tokio::test(start_paused = true)]
async fn signals_and_their_deadline_survive_a_restart() {
    let mut platform = Platform::open().await;
    let begun = platform.now_ms();
    platform.create("web", &group("{ResourceSignal: {Count: 2, Timeout: PT10M}}")).await.unwrap();
    waiting(&platform).await;
    platform.signal("web", "Group", "i-1", "SUCCESS").await.unwrap();
    tokio::time::sleep(Duration::from_secs(300)).await;
    platform.restart().await;
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(platform.stack("web").await.unwrap().stack_status, "CREATE_IN_PROGRESS");
    assert_eq!(platform.cloud.called("CreateAutoScalingGroup"), 1);
    platform.restart().await;
    assert_eq!(platform.settled("web").await, "ROLLBACK_COMPLETE");
    let took = (platform.now_ms() - begun) / 1000;
    assert!((600..615).contains(&took), "{took} s");
}

const WAIT: &str = "
Resources:
  Handle: {Type: 'AWS::CloudFormation::WaitConditionHandle'}
  Condition:
    Type: AWS::CloudFormation::WaitCondition
    Properties: {Handle: !Ref Handle, Timeout: '300', Count: 2}
Outputs:
  Data: {Value: !GetAtt Condition.Data}
";

/// The part of a wait condition's URL that the server hands on.
async fn path(platform: &Platform) -> String {
    loop {
        let resources = platform.resources("web").await;
        let handle = resources.iter().find(|one| one.logical_resource_id == "Handle");
        if let Some(url) = handle.and_then(|one| one.physical_resource_id.clone()).filter(|url| !url.is_empty()) {
            let (base, path) = url.split_once(cloudformation::WAIT_PATH).unwrap();
            assert_eq!(base, "http://localhost:4566");
            return path.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_condition_gathers_what_is_sent_to_its_url() {
    let platform = Platform::open().await;
    platform.create("web", WAIT).await.unwrap();
    let path = path(&platform).await;
    let send = |body: &'static str| platform.service.wait_condition(&path, body.as_bytes());
    send(r#"{"Status": "SUCCESS", "Reason": "done", "UniqueId": "a", "Data": "1"}"#).await.unwrap();
    send(r#"{"Status": "SUCCESS", "Reason": "done", "UniqueId": "b", "Data": "2"}"#).await.unwrap();
    assert_eq!(platform.settled("web").await, "CREATE_COMPLETE");
    assert_eq!(platform.output("web", "Data").await.as_deref(), Some(r#"{"a":"1","b":"2"}"#));
    assert_eq!(send("{}").await.unwrap_err().code, "ValidationError");
    let forged = format!("{}x", &path[..path.len() - 1]);
    let refused = platform.service.wait_condition(&forged, br#"{"Status": "SUCCESS", "UniqueId": "c"}"#).await;
    assert_eq!(refused.unwrap_err().status, 403);
}

#[tokio::test(start_paused = true)]
async fn a_wait_condition_fails_by_a_signal_or_by_its_timeout() {
    let platform = Platform::open().await;
    platform.create("web", WAIT).await.unwrap();
    let path = path(&platform).await;
    let body = br#"{"Status": "FAILURE", "Reason": "broken", "UniqueId": "a", "Data": ""}"#;
    platform.service.wait_condition(&path, body).await.unwrap();
    assert_eq!(platform.settled("web").await, "ROLLBACK_COMPLETE");
    let reasons = platform.reasons("web", "Condition").await;
    assert!(
        reasons.iter().any(|reason| reason.contains("WaitCondition received failed message: 'broken' for uniqueId: a")),
        "{reasons:?}"
    );

    let platform = Platform::open().await;
    platform.create("web", WAIT).await.unwrap();
    assert_eq!(platform.settled("web").await, "ROLLBACK_COMPLETE");
    let reasons = platform.reasons("web", "Condition").await;
    assert!(
        reasons.contains(&"WaitCondition timed out. Received 0 conditions when expecting 2".to_owned()),
        "{reasons:?}"
    );
}
