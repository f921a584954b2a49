//! Durable first, then live, then answered: what happens when one of the three does not.

use std::time::Duration;

use ::api::elb::*;

use super::platform::*;

#[tokio::test(start_paused = true)]
async fn what_the_store_refuses_is_neither_live_nor_answered_with_success() {
    let p = platform().await;
    p.web().await;
    let before = p.plane.served();
    p.store.write(|tx| tx.put(&crate::rows::COUNTERS, "unrelated", &1).map(drop)).unwrap();
    // The row is not what the change began with: the store refuses to overwrite it.
    let draft = p.elb.draft(&p.call, "web").await.unwrap();
    let touch = |tx: &mut store::Transaction<'_>| {
        let row = tx.get(&crate::rows::LOAD_BALANCERS, &draft.row.key())?.unwrap();
        tx.put(&crate::rows::LOAD_BALANCERS, &row.key, &row.value).map(drop)
    };
    p.store.write(touch).unwrap();
    let mut draft = draft;
    draft.row.attributes.cross_zone = true;
    refused_with(p.elb.commit(&p.call, draft).await, "InternalFailure", "internal error");
    assert_eq!(p.plane.served(), before);
    assert_eq!(p.attributes().await.cross_zone_load_balancing, Some(CrossZoneLoadBalancing { enabled: false }));
}

#[tokio::test(start_paused = true)]
async fn a_port_that_cannot_be_bound_is_refused_before_anything_is_written() {
    let p = platform().await;
    p.plane.taken.lock().insert(80);
    let answer = p.create("web", vec![http(80, 80)]).await;
    refused_with(answer, "InvalidConfigurationRequest", "run with CAP_NET_BIND_SERVICE");
    let all = p.elb.describe_load_balancers(&p.call, DescribeLoadBalancersInput::default()).await.unwrap();
    assert_eq!(all.load_balancer_descriptions, []);
    p.create("web", vec![http(81, 80)]).await.unwrap();
    let input = CreateLoadBalancerListenersInput { load_balancer_name: "web".into(), listeners: vec![http(80, 80)] };
    let answer = p.elb.create_load_balancer_listeners(&p.call, input).await;
    refused_with(answer, "InvalidConfigurationRequest", "cannot listen on 127.16.0.1:80");
    assert_eq!(p.describe("web").await.listener_descriptions.len(), 1);
    assert_eq!(*p.plane.reserved.lock(), []);
}

#[tokio::test(start_paused = true)]
async fn what_the_balancer_refuses_is_durable_and_goes_live_as_soon_as_it_can() {
    let p = platform().await;
    *p.plane.refuses.lock() = true;
    p.web().await;
    p.register(&["i-00000001"]).await.unwrap();
    assert_eq!(p.plane.served().load_balancers, []);
    *p.plane.refuses.lock() = false;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(p.plane.served().load_balancers[0].targets.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_ec2_the_balancer_keeps_what_it_has_and_a_request_says_to_try_again() {
    let p = platform().await;
    p.web().await;
    p.register(&["i-00000001"]).await.unwrap();
    *p.ec2.down.lock() = true;
    let answer = p.register(&["i-00000002"]).await;
    refused(answer, "DependencyThrottle", "EC2 did not answer in time. Please try again.");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(p.plane.served().load_balancers[0].targets.len(), 1);
    *p.ec2.down.lock() = false;
    p.register(&["i-00000002"]).await.unwrap();
    assert_eq!(p.plane.served().load_balancers[0].targets.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_up_leaves_nothing_half_done() {
    let p = platform().await;
    p.web().await;
    let instances = instances(&["i-00000001"]);
    let input = RegisterInstancesWithLoadBalancerInput { load_balancer_name: "web".into(), instances };
    let request = p.elb.register_instances_with_load_balancer(&p.call, input);
    // Polled once, then dropped.
    assert!(tokio::time::timeout(Duration::ZERO, request).await.is_err());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(ids_of(p.describe("web").await.instances), ["i-00000001"]);
    assert_eq!(p.plane.served().load_balancers[0].targets.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn changes_at_the_same_time_lose_nothing() {
    let p = platform().await;
    p.web().await;
    let (one, two, three) =
        tokio::join!(p.register(&["i-00000001"]), p.register(&["i-00000002"]), p.register(&["i-00000003"]));
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
    assert_eq!(p.plane.served().load_balancers[0].targets.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_restart_serves_what_was_served() {
    let p = platform().await;
    p.certificates.put(CERTIFICATE);
    p.create("web", vec![http(80, 8080), secure("HTTPS", 443, "HTTP", 8080)]).await.unwrap();
    p.register(&["i-00000001", "i-00000002"]).await.unwrap();
    let before = p.plane.served();
    p.plane.published.lock().clear();
    let p = p.restarted().await;
    assert_eq!(p.plane.served(), before);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_published_while_nothing_differs() {
    let p = platform().await;
    p.web().await;
    let published = p.plane.published.lock().len();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(p.plane.published.lock().len(), published);
    // An unchanged load balancer is the same object in the next configuration.
    p.create("api", vec![http(80, 80)]).await.unwrap();
    let all = p.plane.published.lock();
    let web = |config: &balancer::Config| {
        config.load_balancers.iter().find(|one| &*one.name == "web").map(std::sync::Arc::as_ptr)
    };
    assert_eq!(web(&all[all.len() - 1]), web(&all[all.len() - 2]));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_closed_takes_no_changes() {
    let p = platform().await;
    p.web().await;
    p.elb.close().await;
    refused_with(p.register(&["i-00000001"]).await, "ServiceUnavailable", "shutting down");
}
