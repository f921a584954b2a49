//! Auto Scaling through the built binary: groups over HTTP, on machines that the operator has.

use std::net::SocketAddr;

use crate::load_balancer::{add_machine, backend, between, free_port, get, zone_a};
use crate::support::{Key, Place, Server, eventually};

const VERSION: &str = "2011-01-01";

impl Server {
    fn autoscaling(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        self.query_ok("autoscaling", VERSION, action, parameters)
    }

    fn create_group(&self, more: &[(&str, &str)]) {
        let configuration =
            [("LaunchConfigurationName", "lc"), ("ImageId", "ami-12345678"), ("InstanceType", "t2.micro")];
        self.autoscaling("CreateLaunchConfiguration", &configuration);
        let group = [
            ("AutoScalingGroupName", "web"),
            ("LaunchConfigurationName", "lc"),
            ("MinSize", "0"),
            ("MaxSize", "2"),
            ("AvailabilityZones.member.1", "us-east-1a"),
        ];
        self.autoscaling("CreateAutoScalingGroup", &[&group, more].concat());
    }

    fn group(&self) -> String {
        self.autoscaling("DescribeAutoScalingGroups", &[("AutoScalingGroupNames.member.1", "web")])
    }
}

#[test]
fn a_machine_that_is_attached_to_a_group_is_balanced_until_it_is_detached() {
    let place = Place::new();
    let backend = backend("127.80.40.1", "hello");
    let port = free_port();
    place.write("millpond.toml", &zone_a("127.81.40.1"));
    let machine = add_machine(&place, backend.ip(), "us-east-1a");
    let server = place.serve(&[]);
    server.create_load_balancer("elb", "HTTP", port, backend.port());
    server.check_often("elb", &format!("TCP:{}", backend.port()));
    server.create_group(&[("LoadBalancerNames.member.1", "elb")]);
    let instances = [("AutoScalingGroupName", "web"), ("InstanceIds.member.1", &*machine)];
    server.autoscaling("AttachInstances", &instances);
    eventually("the instance serves", || server.group().contains("<LifecycleState>InService</LifecycleState>"));
    server.wait_in_service("elb");
    let answer = get(SocketAddr::new("127.81.40.1".parse().unwrap(), port), "/").text();
    assert!(answer.contains("hello"), "{answer}");
    let tags = server.query_ok("ec2", "2016-11-15", "DescribeTags", &[]);
    assert!(tags.contains("aws:autoscaling:groupName"), "{tags}");
    let detach = [&instances[..], &[("ShouldDecrementDesiredCapacity", "true")]].concat();
    let activity = server.autoscaling("DetachInstances", &detach);
    assert_eq!(between(&activity, "<Description>", "</Description>"), format!("Detaching EC2 instance: {machine}"));
    eventually("the instance is no longer in the group", || !server.group().contains("<LifecycleState>"));
    let health = server.elb("DescribeInstanceHealth", &[("LoadBalancerName", "elb")]);
    assert!(!health.contains(&machine), "{health}");
}

#[test]
fn groups_outlive_the_server_and_errors_have_aws_codes() {
    let place = Place::new();
    let server = place.serve(&[]);
    server.create_group(&[]);
    let again = [("LaunchConfigurationName", "lc"), ("ImageId", "ami-12345678"), ("InstanceType", "t2.micro")];
    let answer = server.query_as(&Key::any(), "autoscaling", VERSION, "CreateLaunchConfiguration", &again);
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("<Code>AlreadyExists</Code>"), "{answer:?}");
    let desired = [("AutoScalingGroupName", "web"), ("DesiredCapacity", "3")];
    let answer = server.query_as(&Key::any(), "autoscaling", VERSION, "SetDesiredCapacity", &desired);
    let sentence = "New SetDesiredCapacity value 3 is above max value 2 for the AutoScalingGroup.";
    assert!(answer.status == 400 && answer.text().contains(sentence), "{answer:?}");
    drop(server);
    let server = place.serve(&[]);
    assert!(server.group().contains("<LaunchConfigurationName>lc</LaunchConfigurationName>"));
    server.autoscaling("DeleteAutoScalingGroup", &[("AutoScalingGroupName", "web")]);
    assert!(!server.group().contains("<member>"));
}
