//! Many stacks at once.

use std::fmt::Write as _;

use crate::platform::Platform;

fn template(resources: usize) -> String {
    let mut template = String::from("Resources:\n");
    for n in 0..resources {
        let _ = writeln!(template, "  Queue{n}: {{Type: 'AWS::SQS::Queue'}}");
    }
    template
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_stacks_of_ten_resources_are_made_at_once_in_less_than_twenty_seconds() {
    let platform = Platform::open().await;
    let begun = tokio::time::Instant::now();
    let template = template(10);
    for n in 0..50 {
        platform.create(&format!("stack-{n}"), &template).await.unwrap();
    }
    for n in 0..50 {
        assert_eq!(platform.settled(&format!("stack-{n}")).await, "CREATE_COMPLETE");
    }
    let took = begun.elapsed();
    println!("50 stacks of 10 resources: {took:?}");
    assert_eq!(platform.cloud.all("queue").len(), 500);
    assert!(took.as_secs() < 20, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stack_of_five_hundred_resources_is_made_and_deleted() {
    let platform = Platform::open().await;
    platform.create("large", &template(500)).await.unwrap();
    assert_eq!(platform.settled("large").await, "CREATE_COMPLETE");
    assert_eq!(platform.cloud.all("queue").len(), 500);
    let id = platform.stack("large").await.unwrap().stack_id.unwrap();
    platform.delete("large").await.unwrap();
    assert_eq!(platform.settled(&id).await, "DELETE_COMPLETE");
    assert_eq!(platform.cloud.count(), 0);
}
