//! Instances stopped, started, rebooted, terminated; ended by themselves; and found again after a crash.

use std::time::Duration;

use machines::{InstanceState, Reason};

use crate::asked::until;
use crate::fake_engine::FakeEngine;
use crate::platform::{Platform, open, platform_with_engine};
use crate::run::IMAGE;

async fn running(platform: &Platform, rest: &str) -> String {
    let form = format!("ImageId={IMAGE}&MinCount=1&MaxCount=1&{rest}");
    let id = platform.ask("RunInstances", &form).await.text("instanceId");
    platform.until_state(&id, "running").await;
    id
}

#[tokio::test]
async fn an_instance_is_stopped_and_started_over_its_address() {
    let (platform, engine) = platform_with_engine();
    let id = running(&platform, "").await;
    let this = format!("InstanceId.1={id}");
    let public = platform.ask("DescribeInstances", &this).await.text("publicIp");
    let stop = platform.ask("StopInstances", &this).await;
    assert_eq!(stop.texts("name"), ["stopping", "running"]);
    let stopped = platform.until_state(&id, "stopped").await;
    assert_eq!(stopped.text("reason"), "User initiated (2026-01-01 00:00:00 GMT)");
    assert!(stopped.body.contains("<code>Client.UserInitiatedShutdown</code>"), "{}", stopped.body);
    assert!(stopped.texts("publicIp").is_empty());
    assert_eq!(stopped.text("privateIpAddress"), "172.31.0.4");
    assert_eq!(platform.ask("StopInstances", &this).await.texts("name"), ["stopped", "stopped"]);
    assert_eq!(platform.ask("RebootInstances", &this).await.code(), "IncorrectInstanceState");
    platform.clock.advance(Duration::from_secs(60));
    let start = platform.ask("StartInstances", &this).await;
    assert_eq!(start.texts("name"), ["pending", "stopped"]);
    let again = platform.until_state(&id, "running").await;
    assert_eq!(again.text("launchTime"), "2026-01-01T00:01:00Z");
    assert_eq!(again.text("privateIpAddress"), "172.31.0.4");
    assert_ne!(again.text("publicIp"), public);
    let deeds = ["launch", "stop", "modify", "start"].map(|deed| format!("{deed} {id}"));
    assert_eq!(engine.deeds(), deeds);
}

#[tokio::test]
async fn a_reboot_is_passed_on_once() {
    let (platform, engine) = platform_with_engine();
    let id = running(&platform, "").await;
    assert!(platform.ask("RebootInstances", &format!("InstanceId.1={id}")).await.ok().body.contains("true"));
    let reboots = || engine.deeds().iter().filter(|deed| deed.starts_with("reboot")).count();
    until(|| reboots() == 1).await;
    platform.ask("CreateTags", &format!("ResourceId.1={id}&Tag.1.Key=a&Tag.1.Value=b")).await.ok();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(reboots(), 1);
}

#[tokio::test]
async fn a_terminated_instance_gives_all_back_and_is_shown_for_an_hour() {
    let (platform, engine) = platform_with_engine();
    let id = running(&platform, "TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=a").await;
    let this = format!("InstanceId.1={id}");
    let terminate = platform.ask("TerminateInstances", &this).await;
    assert_eq!(terminate.texts("name"), ["shutting-down", "running"]);
    let gone = platform.until_state(&id, "terminated").await;
    for absent in ["privateIpAddress", "vpcId", "subnetId", "groupId", "networkInterfaceId"] {
        assert!(gone.texts(absent).is_empty(), "{absent} in {}", gone.body);
    }
    assert!(platform.ask("DescribeNetworkInterfaces", "").await.texts("networkInterfaceId").is_empty());
    until(|| engine.networks().vpcs.is_empty()).await;
    assert_eq!(platform.ask("TerminateInstances", &this).await.texts("name"), ["terminated", "terminated"]);
    assert_eq!(platform.ask("StartInstances", &this).await.code(), "IncorrectInstanceState");
    assert_eq!(platform.ask("StopInstances", &this).await.code(), "IncorrectInstanceState");
    platform.clock.advance(Duration::from_secs(59 * 60));
    platform.vpc("10.0.0.0/16").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    platform.ask("DescribeInstances", &this).await.ok();
    platform.clock.advance(Duration::from_secs(60));
    platform.vpc("10.1.0.0/16").await;
    let gone = platform.until("DescribeInstances", &this, |answer| answer.status == 400).await;
    assert_eq!(gone.code(), "InvalidInstanceID.NotFound");
    assert!(engine.ids().is_empty());
    assert!(platform.ask("DescribeTags", "").await.texts("key").is_empty());
}

#[tokio::test]
async fn a_protected_instance_is_neither_terminated_nor_stopped_nor_is_any_with_it() {
    let (platform, _engine) = platform_with_engine();
    let safe = running(&platform, "DisableApiTermination=true&DisableApiStop=true").await;
    let other = running(&platform, "").await;
    let both = format!("InstanceId.1={other}&InstanceId.2={safe}");
    assert_eq!(
        platform.ask("TerminateInstances", &both).await.refusal(),
        format!(
            "OperationNotPermitted: The instance '{safe}' may not be terminated. Modify its 'disableApiTermination' \
             instance attribute and try again."
        )
    );
    assert_eq!(platform.ask("StopInstances", &both).await.code(), "OperationNotPermitted");
    platform.until_state(&other, "running").await;
    let modify = format!("InstanceId={safe}&DisableApiTermination.Value=false");
    platform.ask("ModifyInstanceAttribute", &modify).await.ok();
    platform.ask("TerminateInstances", &both).await.ok();
}

#[tokio::test]
async fn a_registered_machine_is_not_the_apis_to_end() {
    let (platform, _engine) = platform_with_engine();
    let id = platform.add("10.0.0.5", "us-east-1a", None);
    let this = format!("InstanceId.1={id}");
    for operation in ["StopInstances", "StartInstances", "RebootInstances", "TerminateInstances"] {
        let refusal = platform.ask(operation, &this).await.refusal();
        assert!(
            refusal.starts_with("UnsupportedOperation: ") && refusal.contains("millpond instances rm"),
            "{refusal}"
        );
    }
    let attribute = format!("InstanceId={id}&Attribute=userData");
    assert_eq!(platform.ask("DescribeInstanceAttribute", &attribute).await.code(), "UnsupportedOperation");
    let other = running(&platform, "").await;
    let all = platform.ask("DescribeInstances", "").await.texts("instanceId");
    assert!(all.contains(&id) && all.contains(&other));
    let status = platform.ask("DescribeInstanceStatus", &format!("InstanceId.1={other}")).await;
    assert_eq!(status.texts("status"), ["passed", "ok", "passed", "ok"]);
}

#[tokio::test]
async fn who_ended_an_instance_is_said() {
    let (platform, engine) = platform_with_engine();
    for (state, reason, name, code) in [
        (InstanceState::Stopped, Reason::ShutDownInside, "stopped", "Client.InstanceInitiatedShutdown"),
        (InstanceState::Terminated, Reason::ShutDownInside, "terminated", "Client.InstanceInitiatedShutdown"),
        (InstanceState::Stopped, Reason::Killed, "stopped", "Server.InternalError"),
    ] {
        let id = running(&platform, "").await;
        engine.becomes(&id, state, Some(reason));
        let ended = platform.until_state(&id, name).await;
        assert!(ended.body.contains(&format!("<code>{code}</code>")), "{}", ended.body);
        // It stays so: nobody starts it again by himself.
        assert!(!engine.deeds().contains(&format!("start {id}")));
    }
}

#[tokio::test]
async fn an_instance_that_can_not_be_launched_is_terminated_with_the_reason() {
    let (platform, engine) = platform_with_engine();
    engine.fail_launches("no user namespaces; run as root");
    let form = format!("ImageId={IMAGE}&MinCount=1&MaxCount=1");
    let id = platform.ask("RunInstances", &form).await.text("instanceId");
    let ended = platform.until_state(&id, "terminated").await;
    let message = "Server.InternalError: Internal error on launch: no user namespaces; run as root";
    assert!(ended.body.contains(message), "{}", ended.body);
    assert!(platform.ask("DescribeNetworkInterfaces", "").await.texts("networkInterfaceId").is_empty());
}

#[tokio::test]
async fn a_shutdown_from_inside_does_what_the_attribute_says() {
    let (platform, engine) = platform_with_engine();
    let id = running(&platform, "InstanceInitiatedShutdownBehavior=terminate").await;
    assert_eq!(engine.spec(&id).unwrap().on_exit, machines::OnExit::Terminate);
    let form = format!("InstanceId={id}&InstanceInitiatedShutdownBehavior.Value=stop");
    platform.ask("ModifyInstanceAttribute", &form).await.ok();
    until(|| engine.spec(&id).unwrap().on_exit == machines::OnExit::Stop).await;
}

#[tokio::test]
async fn what_a_crash_left_half_done_is_finished_by_the_next_start() {
    let store = store::Store::in_memory().unwrap();
    // Rows that say "running", and an engine that never heard of them: as after a crash between row and launch.
    let dead = FakeEngine::new();
    let first = open(store.clone(), Some(dead.clone()), ec2::UnknownImages::Refused);
    let form = format!("ImageId={IMAGE}&MinCount=1&MaxCount=1");
    let kept = running(&first, "").await;
    let stopping = running(&first, "").await;
    let ending = running(&first, "").await;
    let lost = running(&first, "").await;
    drop(first);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let engine = FakeEngine::new();
    // What the crash left running, and one that nobody knows any more.
    for id in [&kept, &stopping, &ending] {
        engine.insert(id, InstanceState::Running);
    }
    engine.insert("i-00000000000000bad", InstanceState::Running);
    let without = open(store.clone(), None, ec2::UnknownImages::Refused);
    assert_eq!(without.ask("RunInstances", &form).await.code(), "UnsupportedOperation");
    drop(without);
    let second = open(store, Some(engine.clone()), ec2::UnknownImages::Refused);
    let ask = |id: &str| format!("InstanceId.1={id}");
    second.ask("StopInstances", &ask(&stopping)).await.ok();
    second.ask("TerminateInstances", &ask(&ending)).await.ok();
    second.until_state(&stopping, "stopped").await;
    second.until_state(&ending, "terminated").await;
    let gone = second.until_state(&lost, "terminated").await;
    assert!(gone.body.contains("<code>Server.InternalError</code>"), "{}", gone.body);
    second.until_state(&kept, "running").await;
    assert!(!engine.deeds().iter().any(|deed| deed.starts_with("launch")), "{:?}", engine.deeds());
    until(|| !engine.ids().contains(&"i-00000000000000bad".to_owned())).await;
    assert!(engine.networks().vpcs.values().all(|vpc| !vpc.interfaces.is_empty()));
}

#[tokio::test]
async fn an_instance_whose_row_was_written_before_a_crash_is_launched_by_the_next_start() {
    let store = store::Store::in_memory().unwrap();
    let first = open(store.clone(), Some(FakeEngine::new()), ec2::UnknownImages::Refused);
    let form = format!("ImageId={IMAGE}&MinCount=1&MaxCount=1&ClientToken=once");
    // Its engine is another process's from here on: what it launched is gone, what it had not yet is still to come.
    let ids = first.ask("RunInstances", &form).await.text("instanceId");
    drop(first);
    let engine = FakeEngine::new();
    let second = open(store, Some(engine.clone()), ec2::UnknownImages::Refused);
    let state = second.until("DescribeInstances", "", |answer| {
        answer.body.contains("<name>running</name>") || answer.body.contains("<name>terminated</name>")
    });
    state.await;
    assert_eq!(second.ask("RunInstances", &form).await.text("instanceId"), ids);
    assert_eq!(second.ask("DescribeInstances", "").await.texts("instanceId").len(), 1);
}

#[tokio::test]
async fn a_reset_ends_what_the_engine_runs() {
    let (platform, engine) = platform_with_engine();
    running(&platform, "").await;
    platform.ec2.reset().await.unwrap();
    until(|| engine.ids().is_empty() && engine.networks().vpcs.is_empty()).await;
    assert_eq!(platform.ask("DescribeVpcs", "").await.texts("vpcId").len(), 1);
}

#[tokio::test]
async fn the_console_is_told_in_base64() {
    let (platform, _engine) = platform_with_engine();
    let id = running(&platform, "").await;
    let output = platform.ask("GetConsoleOutput", &format!("InstanceId={id}")).await;
    assert_eq!(output.text("output"), "Q2xvdWQtaW5pdCBmaW5pc2hlZAo=");
    let missing = platform.ask("GetConsoleOutput", "InstanceId=i-12345678").await;
    assert_eq!(missing.code(), "InvalidInstanceID.NotFound");
}

#[tokio::test(start_paused = true)]
async fn networks_that_can_not_be_had_hold_back_launches_and_nothing_else() {
    let (platform, engine) = platform_with_engine();
    let ending = running(&platform, "").await;
    engine.fail_publishing(true);
    let vpc = platform.vpc("10.0.0.0/16").await;
    let subnet = platform.subnet(&vpc, "10.0.1.0/24").await;
    let form = format!("ImageId={IMAGE}&MinCount=1&MaxCount=1&SubnetId={subnet}");
    let waiting = platform.ask("RunInstances", &form).await.text("instanceId");
    platform.ask("TerminateInstances", &format!("InstanceId.1={ending}")).await.ok();
    platform.until_state(&ending, "terminated").await;
    platform.until_state(&waiting, "pending").await;
    engine.fail_publishing(false);
    platform.until_state(&waiting, "running").await;
}
