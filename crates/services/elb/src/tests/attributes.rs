//! Attributes: what can be set, in which ranges, and what the balancer is told.

use ::api::elb::*;
use balancer::DesyncMode;

use super::platform::*;

const CONFIGURATION: &str = "InvalidConfigurationRequest";

pub(crate) fn log(bucket: &str, prefix: &str, interval: Option<i32>) -> LoadBalancerAttributes {
    let access_log = AccessLog {
        enabled: true,
        emit_interval: interval,
        s3_bucket_name: Some(bucket.into()),
        s3_bucket_prefix: Some(prefix.into()),
    };
    LoadBalancerAttributes { access_log: Some(access_log), ..Default::default() }
}

pub(crate) fn log_off() -> LoadBalancerAttributes {
    let access_log = Some(AccessLog { enabled: false, ..Default::default() });
    LoadBalancerAttributes { access_log, ..Default::default() }
}

fn idle(seconds: i32) -> LoadBalancerAttributes {
    let connection_settings = Some(ConnectionSettings { idle_timeout: seconds });
    LoadBalancerAttributes { connection_settings, ..Default::default() }
}

fn draining(enabled: bool, timeout: Option<i32>) -> LoadBalancerAttributes {
    let connection_draining = Some(ConnectionDraining { enabled, timeout });
    LoadBalancerAttributes { connection_draining, ..Default::default() }
}

fn additional(key: &str, value: &str) -> LoadBalancerAttributes {
    let additional_attributes = vec![AdditionalAttribute { key: Some(key.into()), value: Some(value.into()) }];
    LoadBalancerAttributes { additional_attributes, ..Default::default() }
}

#[tokio::test(start_paused = true)]
async fn a_new_load_balancer_has_aws_s_attributes() {
    let p = platform().await;
    p.web().await;
    assert_eq!(
        p.attributes().await,
        LoadBalancerAttributes {
            cross_zone_load_balancing: Some(CrossZoneLoadBalancing { enabled: false }),
            access_log: Some(AccessLog { enabled: false, ..Default::default() }),
            connection_draining: Some(ConnectionDraining { enabled: false, timeout: Some(300) }),
            connection_settings: Some(ConnectionSettings { idle_timeout: 60 }),
            ..additional("elb.http.desyncmitigationmode", "defensive")
        }
    );
    let served = p.plane.served().load_balancers[0].clone();
    assert_eq!((served.cross_zone, served.idle_timeout.as_secs(), served.connection_draining), (false, 60, None));
    assert_eq!((served.desync_mode, served.access_log), (DesyncMode::Defensive, false));
}

#[tokio::test(start_paused = true)]
async fn what_a_request_does_not_name_stays_and_is_not_answered() {
    let p = platform().await;
    p.web().await;
    let cross_zone = LoadBalancerAttributes {
        cross_zone_load_balancing: Some(CrossZoneLoadBalancing { enabled: true }),
        ..Default::default()
    };
    assert_eq!(p.modify(cross_zone.clone()).await.unwrap(), cross_zone);
    assert_eq!(p.modify(idle(4000)).await.unwrap(), idle(4000));
    assert_eq!(p.modify(draining(true, Some(3600))).await.unwrap(), draining(true, Some(3600)));
    let served = p.plane.served().load_balancers[0].clone();
    assert!(served.cross_zone);
    assert_eq!((served.idle_timeout.as_secs(), served.connection_draining.unwrap().as_secs()), (4000, 3600));
}

#[tokio::test(start_paused = true)]
async fn draining_that_is_turned_on_without_a_time_has_300_seconds() {
    let p = platform().await;
    p.web().await;
    assert_eq!(p.modify(draining(true, None)).await.unwrap(), draining(true, Some(300)));
    p.modify(draining(false, None)).await.unwrap();
    assert_eq!(p.plane.served().load_balancers[0].connection_draining, None);
}

#[tokio::test(start_paused = true)]
async fn numbers_have_aws_s_ranges() {
    let p = platform().await;
    p.web().await;
    for odd in [idle(0), idle(4001), draining(true, Some(0)), draining(true, Some(3601))] {
        refused_with(p.modify(odd).await, CONFIGURATION, "must be between 1 and");
    }
    for fine in [idle(1), idle(3601), draining(true, Some(1))] {
        p.modify(fine).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_desync_mode_is_the_one_additional_attribute() {
    let p = platform().await;
    p.web().await;
    let key = "elb.http.desyncmitigationmode";
    for (value, mode) in
        [("monitor", DesyncMode::Monitor), ("strictest", DesyncMode::Strictest), ("defensive", DesyncMode::Defensive)]
    {
        assert_eq!(p.modify(additional(key, value)).await.unwrap(), additional(key, value));
        assert_eq!(p.plane.served().load_balancers[0].desync_mode, mode);
    }
    refused_with(p.modify(additional(key, "off")).await, CONFIGURATION, "'off'");
    let answer = p.modify(additional("elb.http.other", "x")).await;
    refused_with(answer, "LoadBalancerAttributeNotFound", "'elb.http.other'");
}

#[tokio::test(start_paused = true)]
async fn access_logs_go_where_elb_may_write_and_nowhere_else() {
    let p = platform().await;
    p.web().await;
    let test_file = "my-app/AWSLogs/123456789012/ELBAccessLogTestFile";
    refused(p.modify(log("none", "", None)).await, CONFIGURATION, "S3Bucket: none not found");
    p.s3.let_write("shut", &["999999999999"]);
    let sentence = "Access Denied for bucket: shut. Please check S3bucket permission";
    refused(p.modify(log("shut", "", None)).await, CONFIGURATION, sentence);
    assert!(!p.plane.served().load_balancers[0].access_log);
    // The account of us-east-1, as policies said since 2015, and the principal of newer ones.
    for (bucket, writer) in [("old", "127311923021"), ("new", "logdelivery.elasticloadbalancing.amazonaws.com")] {
        p.s3.let_write(bucket, &[writer]);
        assert_eq!(p.modify(log(bucket, "my-app", Some(5))).await.unwrap(), log(bucket, "my-app", Some(5)));
        assert_eq!(p.s3.keys(bucket), [test_file]);
        assert!(p.s3.body(bucket, test_file).starts_with("Enable AccessLog for ELB: web at 2026-01-01T00:00:00Z"));
        assert!(p.plane.served().load_balancers[0].access_log);
    }
    p.s3.let_write("rootless", &["127311923021"]);
    assert_eq!(p.modify(log("rootless", "", None)).await.unwrap(), log("rootless", "", Some(60)));
    assert_eq!(p.s3.keys("rootless"), ["AWSLogs/123456789012/ELBAccessLogTestFile"]);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_off_still_says_where_it_went() {
    let p = platform().await;
    p.web().await;
    p.s3.let_write("logs", &["127311923021"]);
    p.modify(log("logs", "my-app", Some(5))).await.unwrap();
    let mut off = log("logs", "my-app", Some(5));
    off.access_log.as_mut().unwrap().enabled = false;
    assert_eq!(p.modify(log_off()).await.unwrap(), off);
    assert_eq!(p.modify(log_off()).await.unwrap(), off);
    assert_eq!(p.attributes().await.access_log, off.access_log);
    assert!(!p.plane.served().load_balancers[0].access_log);
}

#[tokio::test(start_paused = true)]
async fn a_log_s_place_is_checked() {
    let p = platform().await;
    p.web().await;
    p.s3.let_write("logs", &["127311923021"]);
    for prefix in ["AWSLogs", "a/AWSLogs/b", "/a", "a/", &"x".repeat(513)] {
        refused_with(p.modify(log("logs", prefix, None)).await, CONFIGURATION, "S3BucketPrefix");
    }
    for interval in [0, 10, 61] {
        refused_with(p.modify(log("logs", "", Some(interval))).await, CONFIGURATION, "either 5 or 60");
    }
    let nowhere = AccessLog { enabled: true, ..Default::default() };
    let nowhere = LoadBalancerAttributes { access_log: Some(nowhere), ..Default::default() };
    refused_with(p.modify(nowhere).await, CONFIGURATION, "S3BucketName must be specified");
    assert_eq!(p.s3.keys("logs"), texts(&[]));
}
