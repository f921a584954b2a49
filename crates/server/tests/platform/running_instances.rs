//! Instances that really run, behind a load balancer: isolated where the test may, else plain processes.

use std::net::SocketAddr;

use rustix::process::Signal;

use crate::load_balancer::{between, free_port};
use crate::support::{Answer, Connection, Place, Server, eventually};

const USER_DATA: &str = r#"#!/bin/sh
imds=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}
mkdir -p "${HOME:-/root}/www" && cd "${HOME:-/root}/www"
token=$(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $imds/latest/api/token)
ip=$(curl -s -H "X-aws-ec2-metadata-token: $token" $imds/latest/meta-data/local-ipv4)
echo "$ip" > index.html
bind=$ip; [ -n "$AWS_EC2_METADATA_SERVICE_ENDPOINT" ] && bind=127.${ip#*.}
exec python3 -m http.server PORT --bind "$bind"
"#;

impl Server {
    fn ec2(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        self.query_ok("ec2", "2016-11-15", action, parameters)
    }

    /// Runs web servers on a port in the first zone's default subnet; their ids.
    fn run_web_servers(&self, count: &str, port: u16) -> Vec<String> {
        use base64::Engine as _;
        let user_data = USER_DATA.replace("PORT", &port.to_string());
        let user_data = base64::engine::general_purpose::STANDARD.encode(user_data);
        let images = self.ec2("DescribeImages", &[("Filter.1.Name", "name"), ("Filter.1.Value.1", "millpond-host")]);
        let parameters = [
            ("ImageId", &*between(&images, "<imageId>", "</imageId>")),
            ("MinCount", count),
            ("MaxCount", count),
            ("InstanceType", "t3.micro"),
            ("Placement.AvailabilityZone", "us-east-1a"),
            ("UserData", &user_data),
        ];
        let run = self.ec2("RunInstances", &parameters);
        run.split("<instanceId>").skip(1).map(|rest| rest.split_once('<').unwrap().0.to_owned()).collect()
    }

    fn wait_until_in_service(&self, count: usize) {
        let health = || self.elb("DescribeInstanceHealth", &[("LoadBalancerName", "web")]);
        let patience = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while health().matches("<State>InService</State>").count() != count {
            assert!(std::time::Instant::now() < patience, "{count} are not in service: {}", health());
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}

fn get(address: SocketAddr) -> Answer {
    let mut connection = Connection::to(address);
    connection.write(&format!("GET /index.html HTTP/1.1\r\nhost: {address}\r\n\r\n"));
    connection.read()
}

/// Private addresses that answer, in the order of a few requests.
fn answers(address: SocketAddr) -> Vec<String> {
    (0..4).map(|_| get(address).text().trim().to_owned()).collect()
}

#[test]
fn instances_serve_behind_a_load_balancer_outlive_a_killed_server_and_leave_nothing() {
    let place = Place::new();
    place.write("millpond.toml", "[[zone]]\nname = \"us-east-1a\"\naddresses = [\"127.83.1.1\"]\n");
    let mut server = place.serve(&[]);
    let (port, backend_port) = (free_port(), free_port());
    let address = SocketAddr::new([127, 83, 1, 1].into(), port);
    server.create_load_balancer("web", "HTTP", port, backend_port);
    server.check_often("web", &format!("HTTP:{backend_port}/index.html"));
    // The default group admits its own members only; the load balancer's interface is one.
    let ids = server.run_web_servers("2", backend_port);
    ids.iter().for_each(|id| server.register("web", id));
    server.wait_until_in_service(2);
    let heard = answers(address);
    assert!(heard[0] != heard[1] && heard[..2] == heard[2..], "in turns: {heard:?}");
    assert!(heard.iter().all(|ip| ip.starts_with("172.31.")), "private addresses by the metadata service: {heard:?}");
    let interfaces =
        server.ec2("DescribeNetworkInterfaces", &[("Filter.1.Name", "description"), ("Filter.1.Value.1", "ELB web")]);
    assert!(interfaces.contains("<requesterId>amazon-elb</requesterId>"), "{interfaces}");
    server.signal(Signal::KILL);
    server.wait();
    let server = place.serve(&[]);
    server.wait_until_in_service(2);
    let mut again = answers(address);
    again[..2].sort();
    let mut before = heard[..2].to_vec();
    before.sort();
    assert_eq!(again[..2], before, "the same instances");
    server.elb("DeleteLoadBalancer", &[("LoadBalancerName", "web")]);
    let named: Vec<(String, &String)> = (1..).map(|number| format!("InstanceId.{number}")).zip(&ids).collect();
    let named: Vec<(&str, &str)> = named.iter().map(|(name, id)| (name.as_str(), id.as_str())).collect();
    server.ec2("TerminateInstances", &named);
    eventually("nothing of the instances is left", || left(&place, backend_port).is_empty());
    server.stop();
}

/// Processes, mounts and namespaces of a test's instances.
fn left(place: &Place, port: u16) -> Vec<String> {
    let data_dir = place.data_dir().display().to_string();
    let mut left = Vec::new();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(line) = std::fs::read(process.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let is_init = line.contains("--instance-process") && line.contains(&data_dir);
        if is_init || line.contains(&format!("http.server {port}")) {
            left.push(line);
        }
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    left.extend(mounts.lines().filter(|line| line.contains(&data_dir)).map(str::to_owned));
    let namespaces = std::fs::read_dir(place.data_dir().join("machines/namespaces")).unwrap();
    left.extend(namespaces.flatten().map(|file| file.path().display().to_string()));
    left
}

#[test]
fn a_server_that_runs_no_instances_says_so_and_refuses_to() {
    let place = Place::new();
    let server = place.serve(&["--instance-isolation", "off"]);
    assert!(server.banner.iter().any(|line| line.contains("instances none are run here")), "{:?}", server.banner);
    let parameters = [("ImageId", "ami-1ecae776"), ("MinCount", "1"), ("MaxCount", "1")];
    let answer = server.query_as(&crate::support::Key::any(), "ec2", "2016-11-15", "RunInstances", &parameters);
    assert_eq!(answer.status / 100, 4, "{answer:?}");
}

#[test]
fn an_image_is_registered_listed_and_removed_beside_a_server() {
    let place = Place::new();
    let server = place.serve(&[]);
    let root = place.dir.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let added = place.run(&["images", "add", "--name", "web", "--dir", root.to_str().unwrap()]);
    let id = String::from_utf8(added.stdout).unwrap().trim().to_owned();
    let listed = String::from_utf8(place.run(&["images", "ls"]).stdout).unwrap();
    assert!(listed.contains(&id) && listed.contains(root.to_str().unwrap()), "{listed}");
    assert!(server.ec2("DescribeImages", &[("ImageId.1", &id)]).contains("<name>web</name>"));
    assert!(place.run(&["images", "rm", "web"]).status.success());
    assert!(place.refusal(&["images", "rm", "web"]).contains("there is no image web"));
}
