//! Millpond as its users set it up: through the API, with health checks on and access logs going to S3.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::peers::{BACKENDS, Peer, peer, pinned};
use crate::aws_client::{elements, query, request};

const API: &str = "127.20.0.9:4566";
const NODE: [u8; 4] = [127, 20, 0, 1];
const ENGINE: [u8; 4] = [127, 23, 0, 1];

/// Starts the binary with one balancer thread and creates the load balancer.
pub(crate) fn start(binary: &Path, home: &Path) -> anyhow::Result<Peer> {
    let dir = home.join("millpond");
    std::fs::create_dir_all(&dir)?;
    // Few connections to the API, so that the balancer has nearly all of the process's file descriptors, as the peers do.
    let config = "[limits]\nconnections_max = 64\n[balancer]\nworker_threads = 1\n\
                  [[zone]]\nname = \"us-east-1a\"\naddresses = [\"127.20.0.1\"]\n";
    std::fs::write(dir.join("millpond.toml"), config)?;
    let binary = std::fs::canonicalize(binary).with_context(|| format!("no {}", binary.display()))?;
    for backend in BACKENDS {
        let mut command = Command::new(&binary);
        command.args(["instances", "add", "--zone", "us-east-1a", "--ip", &backend.ip().to_string()]);
        command.arg("--config").arg(dir.join("millpond.toml")).arg("--data-dir").arg(dir.join("data"));
        ensure!(command.stdout(Stdio::null()).status()?.success(), "cannot register {backend}");
    }
    let mut command = pinned(binary);
    command.args(["serve", "--listen", API, "--log", "warn", "--config"]).arg(dir.join("millpond.toml"));
    let process = command.arg("--data-dir").arg(dir.join("data")).spawn()?;
    let started = Instant::now();
    while std::net::TcpStream::connect(API).is_err() {
        ensure!(started.elapsed() < Duration::from_secs(20), "millpond does not answer on {API}");
        std::thread::sleep(Duration::from_millis(10));
    }
    create(home)?;
    let peer = peer("millpond", NODE, process, dir).ready()?;
    wait_for_service()?;
    Ok(peer)
}

/// Starts the data plane alone, which takes a tenth of the time to build: for trying a change.
pub(crate) fn start_engine() -> anyhow::Result<Peer> {
    let binary = std::env::current_exe()?.with_file_name("examples/relay");
    let mut command = pinned(&binary);
    command.arg(format!("{}:8080", std::net::Ipv4Addr::from(ENGINE))).args(BACKENDS.map(|address| address.to_string()));
    let process = command.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
    let mut engine = peer("engine", ENGINE, process, std::path::PathBuf::new());
    engine.https = None;
    engine.ready()
}

fn elb(parameters: &[(&str, &str)]) -> anyhow::Result<String> {
    query(API, "elasticloadbalancing", &[&[("Version", "2012-06-01")], parameters].concat())
}

fn create(home: &Path) -> anyhow::Result<()> {
    let (certificate, key) =
        (std::fs::read_to_string(home.join("certificate.pem"))?, std::fs::read_to_string(home.join("key.pem"))?);
    let uploaded = query(
        API,
        "iam",
        &[
            ("Version", "2010-05-08"),
            ("Action", "UploadServerCertificate"),
            ("ServerCertificateName", "bench"),
            ("CertificateBody", &certificate),
            ("PrivateKey", &key),
        ],
    )?;
    let arn = *elements(&uploaded, "Arn").first().context("no Arn")?;
    let mut parameters = vec![("Action", "CreateLoadBalancer"), ("LoadBalancerName", "bench")];
    parameters.push(("AvailabilityZones.member.1", "us-east-1a"));
    let port = BACKENDS[0].port().to_string();
    let listeners: [[(&str, &str); 4]; 3] = [
        [
            ("Listeners.member.1.Protocol", "HTTP"),
            ("Listeners.member.1.LoadBalancerPort", "8080"),
            ("Listeners.member.1.InstanceProtocol", "HTTP"),
            ("Listeners.member.1.InstancePort", &port),
        ],
        [
            ("Listeners.member.2.Protocol", "HTTPS"),
            ("Listeners.member.2.LoadBalancerPort", "8443"),
            ("Listeners.member.2.InstanceProtocol", "HTTP"),
            ("Listeners.member.2.InstancePort", &port),
        ],
        [
            ("Listeners.member.3.Protocol", "TCP"),
            ("Listeners.member.3.LoadBalancerPort", "9000"),
            ("Listeners.member.3.InstanceProtocol", "TCP"),
            ("Listeners.member.3.InstancePort", &port),
        ],
    ];
    parameters.extend(listeners.as_flattened());
    parameters.push(("Listeners.member.2.SSLCertificateId", arn));
    elb(&parameters)?;
    let target = format!("HTTP:{port}/2");
    elb(&[
        ("Action", "ConfigureHealthCheck"),
        ("LoadBalancerName", "bench"),
        ("HealthCheck.Target", &target),
        ("HealthCheck.Interval", "30"),
        ("HealthCheck.Timeout", "5"),
        ("HealthCheck.UnhealthyThreshold", "2"),
        ("HealthCheck.HealthyThreshold", "2"),
    ])?;
    let described = query(API, "ec2", &[("Version", "2016-11-15"), ("Action", "DescribeInstances")])?;
    let ids = elements(&described, "instanceId");
    ensure!(ids.len() == BACKENDS.len(), "the servers are not instances: {described}");
    elb(&[
        ("Action", "RegisterInstancesWithLoadBalancer"),
        ("LoadBalancerName", "bench"),
        ("Instances.member.1.InstanceId", ids[0]),
        ("Instances.member.2.InstanceId", ids[1]),
    ])?;
    turn_logs_on()
}

fn turn_logs_on() -> anyhow::Result<()> {
    request(API, "s3", "PUT", "/bench-logs", &[], "")?;
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"logdelivery.elasticloadbalancing.amazonaws.com"},"Action":"s3:PutObject","Resource":"arn:aws:s3:::bench-logs/*"}]}"#;
    request(API, "s3", "PUT", "/bench-logs?policy=", &[], policy)?;
    elb(&[
        ("Action", "ModifyLoadBalancerAttributes"),
        ("LoadBalancerName", "bench"),
        ("LoadBalancerAttributes.AccessLog.Enabled", "true"),
        ("LoadBalancerAttributes.AccessLog.S3BucketName", "bench-logs"),
        ("LoadBalancerAttributes.AccessLog.EmitInterval", "60"),
        ("LoadBalancerAttributes.ConnectionSettings.IdleTimeout", "600"),
    ])?;
    Ok(())
}

/// Both servers have passed a health check.
fn wait_for_service() -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        let health = elb(&[("Action", "DescribeInstanceHealth"), ("LoadBalancerName", "bench")])?;
        if elements(&health, "State").iter().filter(|state| **state == "InService").count() == BACKENDS.len() {
            return Ok(());
        }
        ensure!(started.elapsed() < Duration::from_secs(20), "the servers do not come into service: {health}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
