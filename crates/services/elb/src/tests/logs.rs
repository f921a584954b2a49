//! Access logs on their way from the spool to S3, on time and over crashes.

use std::time::Duration;

use ::api::elb::DeleteLoadBalancerInput;
use host::Clock;

use super::attributes::{log, log_off};
use super::platform::*;

const FIVE_MINUTES: Duration = Duration::from_secs(300);

/// A load balancer that logs to `logs` every five minutes.
async fn logging(interval: i32) -> Platform {
    let p = platform().await;
    p.web().await;
    p.s3.let_write("logs", &["127311923021"]);
    p.modify(log("logs", "", Some(interval))).await.unwrap();
    p
}

/// The bodies of all objects but the test file.
fn delivered(p: &Platform, bucket: &str) -> Vec<String> {
    let keys = p.s3.keys(bucket).into_iter().filter(|key| !key.ends_with("ELBAccessLogTestFile"));
    keys.map(|key| p.s3.body(bucket, &key)).collect()
}

async fn wait(p: &Platform, time: Duration) {
    tokio::time::sleep(time).await;
    *p.plane.now.lock() = p.clock.now();
}

#[tokio::test(start_paused = true)]
async fn records_are_published_when_their_interval_ends() {
    let p = logging(5).await;
    p.plane.record(1, "one\n");
    wait(&p, FIVE_MINUTES - Duration::from_secs(5)).await;
    assert_eq!(delivered(&p, "logs"), texts(&[]));
    wait(&p, Duration::from_secs(10)).await;
    assert_eq!(delivered(&p, "logs"), ["one\n"]);
    let key = p.s3.keys("logs").pop().unwrap();
    let start = "AWSLogs/123456789012/elasticloadbalancing/us-east-1/2026/01/01/\
                 123456789012_elasticloadbalancing_us-east-1_web_20260101T0005Z_127.16.0.1_";
    assert!(key.starts_with(start) && key.ends_with(".log"), "{key}");
    p.plane.record(1, "two\n");
    wait(&p, FIVE_MINUTES).await;
    assert_eq!(delivered(&p, "logs").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_interval_of_60_minutes_ends_with_the_hour() {
    let p = logging(60).await;
    p.plane.record(1, "one\n");
    wait(&p, FIVE_MINUTES * 11).await;
    assert_eq!(delivered(&p, "logs"), texts(&[]));
    wait(&p, FIVE_MINUTES + Duration::from_secs(5)).await;
    assert_eq!(delivered(&p, "logs"), ["one\n"]);
}

#[tokio::test(start_paused = true)]
async fn a_crash_between_put_and_removal_puts_the_same_object_again() {
    let p = logging(5).await;
    p.plane.record(1, "one\n");
    *p.plane.keeps_files.lock() = true;
    p.elb.publish_logs_now().await.unwrap_err();
    let (puts, keys) = (*p.s3.puts.lock(), p.s3.keys("logs"));
    let p = p.restarted().await;
    *p.plane.keeps_files.lock() = false;
    wait(&p, Duration::from_secs(20)).await;
    assert!(*p.s3.puts.lock() > puts);
    assert_eq!(p.s3.keys("logs"), keys);
    assert_eq!(p.plane.files.lock().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_process_before_left_behind_is_published_soon() {
    let p = logging(60).await;
    p.plane.record(1, "one\n");
    crate::data_plane::DataPlane::seal(&*p.plane, balancer::LoadBalancerId(1)).await.unwrap();
    let p = p.restarted().await;
    wait(&p, Duration::from_secs(20)).await;
    assert_eq!(delivered(&p, "logs"), ["one\n"]);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_refuses_is_tried_again_and_holds_up_nobody() {
    let p = logging(5).await;
    p.create("api", vec![http(80, 80)]).await.unwrap();
    p.s3.let_write("others", &["127311923021"]);
    let input = ::api::elb::ModifyLoadBalancerAttributesInput {
        load_balancer_name: "api".into(),
        load_balancer_attributes: log("others", "", Some(5)),
    };
    ::api::elb::Elb::modify_load_balancer_attributes(&p.elb, &p.call, input).await.unwrap();
    p.s3.let_write("logs", &[]);
    p.plane.record(1, "one\n");
    p.plane.record(2, "two\n");
    wait(&p, FIVE_MINUTES + Duration::from_secs(5)).await;
    assert_eq!((delivered(&p, "logs"), delivered(&p, "others")), (texts(&[]), texts(&["two\n"])));
    p.s3.let_write("logs", &["127311923021"]);
    wait(&p, Duration::from_secs(60)).await;
    assert_eq!(delivered(&p, "logs"), ["one\n"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_logged_before_logging_was_turned_off_is_still_delivered() {
    let p = logging(60).await;
    p.plane.record(1, "one\n");
    p.modify(log_off()).await.unwrap();
    assert_eq!(delivered(&p, "logs"), ["one\n"]);
    // A request that was under way is recorded a moment later.
    p.plane.record(1, "two\n");
    wait(&p, FIVE_MINUTES * 12 + Duration::from_secs(5)).await;
    assert_eq!(delivered(&p, "logs").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_moves_leaves_old_records_at_the_old_place() {
    let p = logging(60).await;
    p.s3.let_write("next", &["127311923021"]);
    p.plane.record(1, "one\n");
    p.modify(log("next", "", Some(5))).await.unwrap();
    p.plane.record(1, "two\n");
    wait(&p, FIVE_MINUTES + Duration::from_secs(5)).await;
    assert_eq!((delivered(&p, "logs"), delivered(&p, "next")), (texts(&["one\n"]), texts(&["two\n"])));
}

#[tokio::test(start_paused = true)]
async fn the_log_of_a_deleted_load_balancer_is_delivered() {
    let p = logging(5).await;
    p.plane.record(1, "one\n");
    let input = DeleteLoadBalancerInput { load_balancer_name: "web".into() };
    ::api::elb::Elb::delete_load_balancer(&p.elb, &p.call, input).await.unwrap();
    p.plane.record(1, "two\n");
    wait(&p, FIVE_MINUTES + Duration::from_secs(5)).await;
    assert_eq!(delivered(&p, "logs").len(), 2);
    // Nobody is left whose later records could be.
    p.plane.record(1, "three\n");
    wait(&p, FIVE_MINUTES * 2).await;
    assert_eq!(delivered(&p, "logs").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn all_records_can_be_published_at_once() {
    let p = logging(60).await;
    p.plane.record(1, "one\n");
    assert_eq!(p.elb.publish_logs_now().await, Ok(1));
    assert_eq!(p.elb.publish_logs_now().await, Ok(0));
    p.s3.let_write("logs", &[]);
    p.plane.record(1, "two\n");
    let error = p.elb.publish_logs_now().await.unwrap_err();
    assert_eq!(error.failed, 1);
    assert!(error.to_string().contains("bucket logs: AccessDenied"), "{error}");
}
