//! Bugs of ours in the middle of a step: they end that step, and no more.

use crate::platform::Platform;

const TWO: &str = "
Resources:
  Network: {Type: 'AWS::EC2::VPC', Properties: {CidrBlock: 10.0.0.0/16}}
  Queue: {Type: 'AWS::SQS::Queue', DependsOn: Network}
";
const SENTENCE: &str = "Internal Failure: the step panicked 3 times; the server's log says where";

fn panic_in(platform: &Platform, operation: &'static str, times: usize) {
    platform.cloud.state.lock().panics.insert(operation, times);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_panics_by_chance_is_tried_again() {
    let platform = Platform::open().await;
    panic_in(&platform, "CreateQueue", 2);
    platform.create("web", TWO).await.unwrap();
    assert_eq!(platform.settled("web").await, "CREATE_COMPLETE");
    assert_eq!(platform.cloud.count(), 2);
    panic_in(&platform, "DeleteQueue", 2);
    let id = platform.stack("web").await.unwrap().stack_id.unwrap();
    platform.delete("web").await.unwrap();
    assert_eq!(platform.settled(&id).await, "DELETE_COMPLETE");
    assert_eq!(platform.cloud.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_always_panics_fails_its_resource_and_the_stack_is_rolled_back() {
    let platform = Platform::open().await;
    panic_in(&platform, "CreateQueue", usize::MAX);
    platform.create("web", TWO).await.unwrap();
    assert_eq!(platform.settled("web").await, "ROLLBACK_COMPLETE");
    assert_eq!(platform.reasons("web", "Queue").await, [SENTENCE]);
    assert_eq!((platform.cloud.called("CreateQueue"), platform.cloud.count()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn what_panics_when_it_is_deleted_is_left_and_said_and_can_be_deleted_later() {
    let platform = Platform::open().await;
    platform.create("web", TWO).await.unwrap();
    assert_eq!(platform.settled("web").await, "CREATE_COMPLETE");
    panic_in(&platform, "DeleteQueue", usize::MAX);
    platform.delete("web").await.unwrap();
    assert_eq!(platform.settled("web").await, "DELETE_FAILED");
    assert!(platform.reasons("web", "Queue").await.contains(&SENTENCE.to_owned()));
    panic_in(&platform, "DeleteQueue", 0);
    let id = platform.stack("web").await.unwrap().stack_id.unwrap();
    platform.delete("web").await.unwrap();
    assert_eq!(platform.settled(&id).await, "DELETE_COMPLETE");
    assert_eq!(platform.cloud.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_update_that_panics_is_taken_back() {
    let platform = Platform::open().await;
    platform.create("web", TWO).await.unwrap();
    assert_eq!(platform.settled("web").await, "CREATE_COMPLETE");
    panic_in(&platform, "SetQueueAttributes", 3);
    let changed = TWO.replace("DependsOn: Network", "DependsOn: Network, Properties: {DelaySeconds: 5}");
    platform.update("web", &changed).await.unwrap();
    assert_eq!(platform.settled("web").await, "UPDATE_ROLLBACK_COMPLETE");
    assert!(platform.reasons("web", "Queue").await.contains(&SENTENCE.to_owned()));
}
