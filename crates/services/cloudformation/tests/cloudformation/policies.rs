//! What becomes of a resource that an update has no more use for: DeletionPolicy and UpdateReplacePolicy.

use crate::platform::Platform;

const VPC: &str = "Resources: {Vpc: {Type: 'AWS::EC2::VPC', POLICY Properties: {CidrBlock: 10.0.0.0/16}}}";

async fn made(template: &str) -> Platform {
    let platform = Platform::open().await;
    platform.create("web", template).await.unwrap();
    assert_eq!(platform.settled("web").await, "CREATE_COMPLETE");
    platform
}

async fn updated(platform: &Platform, template: &str) {
    platform.update("web", template).await.unwrap();
    assert_eq!(platform.settled("web").await, "UPDATE_COMPLETE");
}

#[tokio::test(start_paused = true)]
async fn what_is_replaced_stays_where_its_update_replace_policy_says_so() {
    for (policy, left) in [("", 1), ("UpdateReplacePolicy: Delete,", 1), ("UpdateReplacePolicy: Retain,", 2)] {
        let template = VPC.replace("POLICY", policy);
        let platform = made(&template).await;
        let old = platform.physical("web", "Vpc").await;
        updated(&platform, &template.replace("10.0.", "10.1.")).await;
        let vpcs = platform.cloud.all("Vpc");
        assert_eq!(vpcs.len(), left, "{policy}");
        assert_eq!(vpcs.contains(&old), left == 2, "{policy}");
        assert_eq!(platform.resources("web").await.len(), 1, "what stays belongs to no stack");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deletion_policy_says_nothing_of_a_replacement() {
    let template = VPC.replace("POLICY", "DeletionPolicy: Retain,");
    let platform = made(&template).await;
    let old = platform.physical("web", "Vpc").await;
    updated(&platform, &template.replace("10.0.", "10.1.")).await;
    assert!(!platform.cloud.all("Vpc").contains(&old));
}

#[tokio::test(start_paused = true)]
async fn what_leaves_the_template_stays_where_its_deletion_policy_says_so() {
    for (policy, stays) in [
        ("", false),
        ("DeletionPolicy: Delete,", false),
        ("UpdateReplacePolicy: Retain,", false),
        ("DeletionPolicy: Retain,", true),
        ("DeletionPolicy: RetainExceptOnCreate,", true),
    ] {
        let platform = made(&VPC.replace("POLICY", policy)).await;
        let old = platform.physical("web", "Vpc").await;
        updated(&platform, "Resources: {Other: {Type: 'AWS::SQS::Queue'}}").await;
        assert_eq!(platform.cloud.all("Vpc").contains(&old), stays, "{policy}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_changed_counts_from_then_on() {
    let platform = made(&VPC.replace("POLICY", "DeletionPolicy: Retain,")).await;
    updated(&platform, &VPC.replace("POLICY", "DeletionPolicy: Delete,").replace("10.0.", "10.1.")).await;
    let id = platform.stack("web").await.unwrap().stack_id.unwrap();
    platform.delete("web").await.unwrap();
    assert_eq!(platform.settled(&id).await, "DELETE_COMPLETE");
    assert_eq!(platform.cloud.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_update_that_is_taken_back_takes_its_replacement_with_it_whatever_is_retained() {
    let template = VPC.replace("POLICY", "UpdateReplacePolicy: Retain,");
    let platform = made(&template).await;
    let old = platform.physical("web", "Vpc").await;
    platform.cloud.fail("CreateQueue", 0, 1, "no");
    let broken = template
        .replace("10.0.", "10.1.")
        .replace("Resources: {", "Resources: {Queue: {Type: 'AWS::SQS::Queue', DependsOn: Vpc}, ");
    platform.update("web", &broken).await.unwrap();
    assert_eq!(platform.settled("web").await, "UPDATE_ROLLBACK_COMPLETE");
    assert_eq!(platform.physical("web", "Vpc").await, old);
    assert!(platform.cloud.all("Vpc").contains(&old));
}
