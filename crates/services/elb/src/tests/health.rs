//! Instances: registered, deregistered, and their health in AWS's words; health checks.

use ::api::elb::*;
use balancer::{HealthReason, HealthState};
use wire::ApiError;

use super::platform::*;

async fn health(p: &Platform, ids: &[&str]) -> Result<Vec<[String; 4]>, ApiError> {
    let input = DescribeInstanceHealthInput { load_balancer_name: "web".into(), instances: instances(ids) };
    let output = p.elb.describe_instance_health(&p.call, input).await?;
    let words =
        |one: InstanceState| [one.instance_id, one.state, one.reason_code, one.description].map(|text| text.unwrap());
    Ok(output.instance_states.into_iter().map(words).collect())
}

/// State, reason code and description of the first instance.
async fn of_first(p: &Platform) -> [String; 3] {
    let [_, state, reason, description] = health(p, &["i-00000001"]).await.unwrap().remove(0);
    [state, reason, description]
}

async fn configure(p: &Platform, check: HealthCheck) -> Result<HealthCheck, ApiError> {
    let input = ConfigureHealthCheckInput { load_balancer_name: "web".into(), health_check: check };
    Ok(p.elb.configure_health_check(&p.call, input).await?.health_check.unwrap())
}

fn check(target: &str) -> HealthCheck {
    HealthCheck { target: target.into(), interval: 10, timeout: 5, unhealthy_threshold: 2, healthy_threshold: 3 }
}

#[tokio::test(start_paused = true)]
async fn registered_instances_are_served_once_however_often_they_are_said() {
    let p = platform().await;
    p.web().await;
    assert_eq!(p.register(&["i-00000001", "i-00000002"]).await.unwrap(), ["i-00000001", "i-00000002"]);
    assert_eq!(p.register(&["i-00000002", "i-00000003"]).await.unwrap().len(), 3);
    let served = p.plane.served();
    let targets: Vec<_> =
        served.load_balancers[0].targets.iter().map(|one| (&*one.id.0, one.address.to_string(), &*one.zone)).collect();
    assert_eq!(
        targets,
        [
            ("i-00000001", "10.0.0.1".to_owned(), "us-east-1a"),
            ("i-00000002", "10.0.0.2".to_owned(), "us-east-1b"),
            ("i-00000003", "10.0.0.3".to_owned(), "us-east-1a"),
        ]
    );
    assert_eq!(ids_of(p.describe("web").await.instances).len(), 3);
    assert_eq!(p.deregister(&["i-00000001"]).await.unwrap(), ["i-00000002", "i-00000003"]);
    // One that exists and is not registered is fine.
    assert_eq!(p.deregister(&["i-00000001"]).await.unwrap().len(), 2);
    assert_eq!(p.plane.served().load_balancers[0].targets.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn instances_that_ec2_does_not_know_are_refused() {
    let p = platform().await;
    p.web().await;
    for answer in [p.register(&["i-00000001", "i-0badcafe"]).await, p.deregister(&["i-0badcafe"]).await] {
        refused(answer, "InvalidInstance", "Could not find EC2 instance i-0badcafe.");
    }
    refused(p.register(&["web1"]).await, "InvalidInstance", "Invalid id: \"web1\"");
    refused(health(&p, &["i-0badcafe"]).await, "InvalidInstance", "Could not find EC2 instance i-0badcafe.");
    p.ec2.change("i-00000003", |instance| instance.vpc_id = Some("vpc-2".into()));
    let sentence = "EC2 instance i-00000003 is not in the same VPC as ELB.";
    refused(p.register(&["i-00000003"]).await, "InvalidInstance", sentence);
    refused(p.register(&[]).await, "ValidationError", "Instances cannot be empty");
    assert_eq!(ids_of(p.describe("web").await.instances), texts(&[]));
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_ec2_forgot_can_still_be_deregistered() {
    let p = platform().await;
    p.web().await;
    p.register(&["i-00000001"]).await.unwrap();
    p.ec2.instances.lock().clear();
    assert_eq!(of_first(&p).await, ["OutOfService", "Instance", "Instance is in terminated state."]);
    assert_eq!(p.deregister(&["i-00000001"]).await.unwrap(), texts(&[]));
}

#[tokio::test(start_paused = true)]
async fn a_load_balancer_has_1000_instances_at_most() {
    let p = platform().await;
    p.web().await;
    let ids: Vec<String> = (0..1001).map(|number| format!("i-{number:08x}")).collect();
    for id in &ids {
        p.ec2.add_instance(id, "10.1.2.3", "us-east-1a");
    }
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    refused_with(p.register(&ids).await, "InvalidConfigurationRequest", "at most 1000 registered instances");
    assert_eq!(p.register(&ids[1..]).await.unwrap().len(), 1000);
}

#[tokio::test(start_paused = true)]
async fn health_is_told_in_aws_s_fixed_descriptions() {
    let p = platform().await;
    p.web().await;
    let not_registered = "Instance is not currently registered with the LoadBalancer.";
    assert_eq!(of_first(&p).await, ["OutOfService", "Instance", not_registered]);
    p.register(&["i-00000001"]).await.unwrap();
    let registering = "Instance registration is still in progress.";
    assert_eq!(of_first(&p).await, ["OutOfService", "ELB", registering]);
    let failed = "Instance has failed at least the UnhealthyThreshold number of health checks consecutively.";
    let not_yet = "Instance has not passed the configured HealthyThreshold number of health checks consecutively.";
    for (state, reason, words) in [
        (HealthState::Unknown, HealthReason::RegistrationInProgress, ["OutOfService", "ELB", registering]),
        (HealthState::InService, HealthReason::None, ["InService", "N/A", "N/A"]),
        (HealthState::OutOfService, HealthReason::FailedUnhealthyThreshold, ["OutOfService", "Instance", failed]),
        (HealthState::OutOfService, HealthReason::NotPassedHealthyThreshold, ["OutOfService", "Instance", not_yet]),
    ] {
        p.plane.set_health("i-00000001", state, reason, false);
        assert_eq!(of_first(&p).await, words);
    }
    for (state, description) in [
        ("pending", "Instance is in pending state."),
        ("stopping", "Instance is in stopped state."),
        ("stopped", "Instance is in stopped state."),
        ("shutting-down", "Instance is in terminated state."),
        ("terminated", "Instance is in terminated state."),
    ] {
        p.ec2.set_state("i-00000001", state);
        assert_eq!(of_first(&p).await, ["OutOfService", "Instance", description], "{state}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_without_an_address_is_unknown() {
    let p = platform().await;
    p.web().await;
    p.ec2.change("i-00000001", |instance| instance.private_ip_address = None);
    p.register(&["i-00000001"]).await.unwrap();
    assert_eq!(of_first(&p).await, ["Unknown", "ELB", "A transient error occurred. Please try again later."]);
}

#[tokio::test(start_paused = true)]
async fn instances_of_a_zone_that_is_off_stay_registered_and_say_so() {
    let p = platform().await;
    p.web().await;
    p.register(&["i-00000001", "i-00000002"]).await.unwrap();
    let input = DisableAvailabilityZonesForLoadBalancerInput {
        load_balancer_name: "web".into(),
        availability_zones: texts(&["us-east-1a"]),
    };
    p.elb.disable_availability_zones_for_load_balancer(&p.call, input).await.unwrap();
    p.plane.set_health("i-00000001", HealthState::Unknown, HealthReason::RegistrationInProgress, true);
    let going = "Disable Availability Zone is currently in progress.";
    assert_eq!(of_first(&p).await, ["OutOfService", "ELB", going]);
    p.plane.set_health("i-00000001", HealthState::Unknown, HealthReason::RegistrationInProgress, false);
    let off = "Instance is in the EC2 Availability Zone for which LoadBalancer is not configured to route traffic to.";
    assert_eq!(of_first(&p).await, ["OutOfService", "ELB", off]);
    assert_eq!(health(&p, &[]).await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_deregistered_instance_is_told_of_while_it_drains() {
    let p = platform().await;
    p.web().await;
    p.register(&["i-00000001", "i-00000002"]).await.unwrap();
    p.deregister(&["i-00000001"]).await.unwrap();
    p.plane.set_health("i-00000001", HealthState::InService, HealthReason::None, true);
    assert_eq!(of_first(&p).await, ["InService", "N/A", "Instance deregistration currently in progress."]);
    let all: Vec<_> = health(&p, &[]).await.unwrap().into_iter().map(|[id, ..]| id).collect();
    assert_eq!(all, ["i-00000002", "i-00000001"]);
    p.plane.health.lock().clear();
    let gone = "Instance is not currently registered with the LoadBalancer.";
    assert_eq!(of_first(&p).await, ["OutOfService", "Instance", gone]);
    assert_eq!(health(&p, &[]).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_instance_leaves_the_balancer_and_comes_back_by_itself() {
    let p = platform().await;
    p.web().await;
    p.register(&["i-00000001"]).await.unwrap();
    p.ec2.set_state("i-00000001", "stopped");
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(p.plane.served().load_balancers[0].targets, []);
    p.ec2.set_state("i-00000001", "running");
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(p.plane.served().load_balancers[0].targets.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_health_check_is_kept_and_carried_out_as_it_was_configured() {
    let p = platform().await;
    p.web().await;
    let told = configure(&p, check("http:8080/index.html")).await.unwrap();
    assert_eq!(told, check("HTTP:8080/index.html"));
    assert_eq!(p.describe("web").await.health_check.unwrap(), told);
    let served = p.plane.served().load_balancers[0].health_check.clone();
    assert_eq!(served.kind, balancer::HealthCheckKind::Http("/index.html".into()));
    assert_eq!((served.port, served.interval.as_secs(), served.timeout.as_secs()), (8080, 10, 5));
    assert_eq!((served.unhealthy_threshold, served.healthy_threshold), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn a_health_check_s_numbers_have_aws_s_ranges() {
    let p = platform().await;
    p.web().await;
    for (odd, part) in [
        (HealthCheck { interval: 4, ..check("TCP:80") }, "Interval must be between 5 and 300"),
        (HealthCheck { interval: 301, ..check("TCP:80") }, "Interval"),
        (HealthCheck { timeout: 1, ..check("TCP:80") }, "Timeout must be between 2 and 60"),
        (HealthCheck { timeout: 61, interval: 300, ..check("TCP:80") }, "Timeout"),
        (HealthCheck { unhealthy_threshold: 1, ..check("TCP:80") }, "UnhealthyThreshold must be between 2 and 10"),
        (HealthCheck { healthy_threshold: 11, ..check("TCP:80") }, "HealthyThreshold must be between 2 and 10"),
        (HealthCheck { timeout: 10, ..check("TCP:80") }, "HealthCheck interval must be greater than timeout"),
        (check("HTTP:80"), "HealthCheck HTTP Target must specify a port followed by a path"),
        (check("80"), "HealthCheck Target must begin with one of HTTP, TCP, HTTPS, SSL"),
    ] {
        refused_with(configure(&p, odd).await, "ValidationError", part);
    }
    for target in ["TCP:1", "SSL:65535", "HTTPS:443/"] {
        configure(&p, check(target)).await.unwrap();
    }
}
