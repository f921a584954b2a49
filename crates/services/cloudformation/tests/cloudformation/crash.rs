//! Crashes at every step: the engine is dropped between any two calls and opened again on the same store.
//!
//! Invariant: wherever the power goes, the stack ends as it was asked to, and nothing is there twice or left behind.

use std::time::Duration;

use crate::cloud::Moment;
use crate::platform::Platform;
use crate::stacks::NETWORK;

const GROUP: &str = "
Resources:
  Configuration:
    Type: AWS::AutoScaling::LaunchConfiguration
    Properties: {ImageId: ami-1, InstanceType: t2.micro}
  Group:
    Type: AWS::AutoScaling::AutoScalingGroup
    Properties: {LaunchConfigurationName: !Ref Configuration, MinSize: 1, MaxSize: 2, AvailabilityZones: !GetAZs ''}
  Queue: {Type: 'AWS::SQS::Queue'}
";

/// NETWORK with another CIDR (everything in the VPC is replaced), without the attachment, and with one more queue.
fn changed() -> String {
    let (before, rest) = NETWORK.split_once("  Attachment:").unwrap();
    let (_, after) = rest.split_once("  Subnet:").unwrap();
    format!("{before}  Subnet:{after}")
        .replace("10.0.", "10.9.")
        .replace("GroupDescription: web", "GroupDescription: other")
        .replace("    DependsOn: Attachment\n", "")
        .replace("  Queue:\n", "  Second: {Type: 'AWS::SQS::Queue'}\n  Queue:\n")
}

/// What is asked of a stack.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Create,
    CreateThatFails,
    CreateGroup,
    Update,
    UpdateThatFails,
    Delete,
}

const ALL: [Asked; 6] =
    [Asked::Create, Asked::CreateThatFails, Asked::CreateGroup, Asked::Update, Asked::UpdateThatFails, Asked::Delete];

/// Brings a platform to where the question begins.
async fn ready(asked: Asked) -> Platform {
    let platform = Platform::open().await;
    if matches!(asked, Asked::Update | Asked::UpdateThatFails | Asked::Delete) {
        platform.create("web", NETWORK).await.unwrap();
        assert_eq!(platform.settled("web").await, "CREATE_COMPLETE");
    }
    platform.cloud.state.lock().calls.clear();
    match asked {
        Asked::CreateThatFails => platform.cloud.fail("CreateSecurityGroup", 0, usize::MAX, "no"),
        // The queue's attributes are the last thing that the update changes.
        Asked::UpdateThatFails => platform.cloud.fail("SetQueueAttributes", 0, 1, "no"),
        _ => {}
    }
    platform
}

async fn ask(platform: &Platform, asked: Asked) -> String {
    match asked {
        Asked::Create | Asked::CreateThatFails => platform.create("web", NETWORK).await.unwrap(),
        Asked::CreateGroup => platform.create("web", GROUP).await.unwrap(),
        Asked::Update => platform.update("web", &changed()).await.unwrap(),
        Asked::UpdateThatFails => platform.update("web", &changed().replace("Default: 5", "Default: 6")).await.unwrap(),
        Asked::Delete => {
            let id = platform.stack("web").await.unwrap().stack_id.unwrap();
            platform.delete("web").await.unwrap();
            id
        }
    }
}

/// What must be there in the end.
async fn check(platform: &Platform, asked: Asked, status: &str, when: &str) {
    let (wanted, count) = match asked {
        Asked::Create => (vec!["CREATE_COMPLETE"], 5),
        Asked::CreateGroup => (vec!["CREATE_COMPLETE"], 3),
        Asked::CreateThatFails => (vec!["ROLLBACK_COMPLETE"], 0),
        Asked::Update => (vec!["UPDATE_COMPLETE"], 6),
        // The failing call may be the one that the crash swallowed.
        Asked::UpdateThatFails => (vec!["UPDATE_ROLLBACK_COMPLETE", "UPDATE_COMPLETE"], 5),
        Asked::Delete => (vec!["DELETE_COMPLETE"], 0),
    };
    assert!(wanted.contains(&status), "{asked:?} {when}: {status}\n{:#?}", platform.resources("web").await);
    let count = if status == "UPDATE_COMPLETE" { 6 } else { count };
    let things: Vec<_> = platform.cloud.state.lock().things.keys().cloned().collect();
    assert_eq!(things.len(), count, "{asked:?} {when}: {things:?}");
    if count == 0 {
        return;
    }
    for resource in platform.resources("web").await {
        let (kind, physical) =
            (resource.resource_type.clone(), resource.physical_resource_id.clone().unwrap_or_default());
        if kind.ends_with("VPCGatewayAttachment") || resource.resource_status == "DELETE_COMPLETE" {
            continue;
        }
        let name = physical.rsplit('/').next().unwrap_or_default();
        assert!(things.iter().any(|(_, id)| id == name), "{asked:?} {when}: {physical} is not there: {things:?}");
        assert!(resource.resource_status.ends_with("_COMPLETE"), "{asked:?} {when}: {resource:?}");
    }
}

/// How many calls an operation makes when nothing goes wrong.
async fn calls(asked: Asked) -> usize {
    let platform = ready(asked).await;
    let id = ask(&platform, asked).await;
    let status = platform.settled(&id).await;
    check(&platform, asked, &status, "without a crash").await;
    platform.cloud.state.lock().calls.len()
}

async fn crash_at(asked: Asked, moment: Moment) {
    let mut platform = ready(asked).await;
    platform.cloud.state.lock().crash = Some(moment);
    let id = ask(&platform, asked).await;
    // Either the power goes, or the operation ends before the call that it would go at.
    tokio::select! {
        () = platform.cloud.crashed.notified() => {}
        _ = platform.settled(&id) => {}
    }
    platform.cloud.state.lock().crash = None;
    platform.restart().await;
    let status = platform.settled(&id).await;
    check(&platform, asked, &status, &format!("{moment:?}")).await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_call_of_any_operation_neither_doubles_nor_loses_anything() {
    for asked in ALL {
        // Some calls are made before the operation is begun: those of the request itself cannot crash the engine.
        let total = calls(asked).await;
        assert!(total > 3, "{asked:?} makes {total} calls");
        for number in first_call(asked)..=total {
            crash_at(asked, Moment::Before(number)).await;
            crash_at(asked, Moment::After(number)).await;
        }
    }
}

/// The first call that a driver makes, behind those of the request.
fn first_call(asked: Asked) -> usize {
    match asked {
        // UpdateStack asks for the zones itself, to know what would change.
        Asked::Update | Asked::UpdateThatFails => 2,
        _ => 1,
    }
}

#[tokio::test(start_paused = true)]
async fn crash_after_crash_still_ends_well() {
    for seed in 1..=12 {
        let mut rng = host::sim::Rng::new(host::sim::Seed(seed));
        for asked in ALL {
            let mut platform = ready(asked).await;
            let id = ask(&platform, asked).await;
            for _ in 0..6 {
                // So many more calls until the power goes again.
                let ahead = usize::try_from(rng.below(7)).unwrap() + 1;
                let at = platform.cloud.state.lock().calls.len() + ahead;
                let moment = if rng.below(2) == 0 { Moment::Before(at) } else { Moment::After(at) };
                platform.cloud.state.lock().crash = Some(moment);
                tokio::select! {
                    () = platform.cloud.crashed.notified() => {}
                    () = tokio::time::sleep(Duration::from_secs(2)) => {}
                }
                platform.cloud.state.lock().crash = None;
                platform.restart().await;
            }
            let status = platform.settled(&id).await;
            check(&platform, asked, &status, &format!("seed {seed}")).await;
        }
    }
}
