//! Load balancers of a group, from adding to gone.

use ::api::autoscaling::{Autoscaling as _, *};

use super::platform::{Platform, balanced, code, group, platform, refused, texts};

async fn states(platform: &Platform) -> Vec<(String, String)> {
    let input = DescribeLoadBalancersInput { auto_scaling_group_name: "g".into(), ..Default::default() };
    let all = platform.autoscaling.describe_load_balancers(&platform.call, input).await.unwrap().load_balancers;
    all.into_iter().map(|one| (one.load_balancer_name.unwrap(), one.state.unwrap())).collect()
}

fn attach(names: &[&str]) -> AttachLoadBalancersInput {
    AttachLoadBalancersInput { auto_scaling_group_name: "g".into(), load_balancer_names: texts(names) }
}

fn detach(names: &[&str]) -> DetachLoadBalancersInput {
    DetachLoadBalancersInput { auto_scaling_group_name: "g".into(), load_balancer_names: texts(names) }
}

#[tokio::test]
async fn an_attached_load_balancer_gets_all_instances_and_a_detached_one_lets_go() {
    let platform = platform().await;
    platform.create(group(0, 2, 2)).await;
    platform.autoscaling.attach_load_balancers(&platform.call, attach(&["elb"])).await.unwrap();
    assert_eq!(states(&platform).await, [("elb".to_owned(), "Adding".to_owned())]);
    platform.settle().await;
    assert_eq!(states(&platform).await, [("elb".to_owned(), "InService".to_owned())]);
    assert_eq!(platform.elb.balancers.lock()["elb"].registered.len(), 2);
    assert_eq!(platform.describe().await.load_balancer_names, ["elb"]);
    platform.elb.balancers.lock().get_mut("elb").unwrap().drains = true;
    platform.autoscaling.detach_load_balancers(&platform.call, detach(&["elb"])).await.unwrap();
    platform.settle().await;
    assert_eq!(states(&platform).await, [("elb".to_owned(), "Removing".to_owned())], "it drains");
    platform.elb.balancers.lock().get_mut("elb").unwrap().draining.clear();
    platform.settle().await;
    assert!(states(&platform).await.is_empty());
    assert_eq!(platform.serving().await.len(), 2, "the instances stay");
    assert_eq!(
        refused(platform.autoscaling.detach_load_balancers(&platform.call, detach(&["elb"])).await),
        "ValidationError: Trying to remove Load Balancers that are not part of the group: elb"
    );
    assert_eq!(
        code(platform.autoscaling.attach_load_balancers(&platform.call, attach(&["none"])).await),
        "ValidationError"
    );
    let many: Vec<String> = (0..11).map(|n| n.to_string()).collect();
    let many = AttachLoadBalancersInput { auto_scaling_group_name: "g".into(), load_balancer_names: many };
    assert_eq!(code(platform.autoscaling.attach_load_balancers(&platform.call, many).await), "ValidationError");
}

#[tokio::test]
async fn a_load_balancer_is_added_when_all_are_in_and_in_service_when_one_is_healthy() {
    let platform = platform().await;
    platform.ec2.state.lock().slow = true;
    platform.create(balanced(0, 1, 1)).await;
    let id = platform.states().await.remove(0).0;
    platform.elb.balancers.lock().get_mut("elb").unwrap().failing.insert(id);
    platform.ec2.state.lock().slow = false;
    platform.settle().await;
    assert_eq!(states(&platform).await[0].1, "Added");
    platform.elb.balancers.lock().get_mut("elb").unwrap().failing.clear();
    platform.settle().await;
    assert_eq!(states(&platform).await[0].1, "InService");
}

#[tokio::test]
async fn instances_are_registered_once_and_let_go_once() {
    let platform = platform().await;
    platform.create(balanced(0, 1, 1)).await;
    platform.advance_s(5).await;
    let id = platform.serving().await.remove(0);
    platform.set_desired(0).await;
    platform.advance_s(5).await;
    assert_eq!(*platform.elb.log.lock(), [format!("+elb {id}"), format!("-elb {id}")]);
}
