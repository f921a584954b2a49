//! The data plane alone, for measuring: an HTTP listener, and a TCP one 920 ports on, on one worker, access log on.
//!
//! `cargo run --release -p balancer --example relay -- 127.0.0.1:8080 127.0.0.1:18000 [TARGET..]`

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use balancer::{
    AccessRule, Backend, BackendProtocol, Balancer, Config, DesyncMode, Frontend, HealthCheck, HealthCheckKind,
    IpNetwork, Limits, Listener, LoadBalancer, LoadBalancerId, Node, Options, Target, TargetId,
};
use host::{Disk, SystemClock, SystemDisk, SystemIds};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let addresses = std::env::args().skip(1).map(|text| text.parse()).collect::<Result<Vec<SocketAddr>, _>>()?;
    let [listen, targets @ ..] = addresses.as_slice() else { return Err("usage: relay LISTEN TARGET..".into()) };
    let spool = tempfile::tempdir()?;
    let disk = SystemDisk::new(spool.path().to_path_buf());
    disk.create_dir_all(&PathBuf::from("spool"))?;
    let balancer = Balancer::start(Options {
        clock: Arc::new(SystemClock),
        ids: Arc::new(SystemIds),
        disk: Arc::new(disk),
        spool_dir: PathBuf::from("spool"),
        limits: Limits::default(),
        worker_threads: 1,
        dns: None,
        inherited: Vec::new(),
        takes_over: false,
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        if let Err(errors) = balancer.publish(config(*listen, targets)).await {
            return Err(format!("{errors:?}").into());
        }
        std::future::pending().await
    })
}

fn config(listen: SocketAddr, targets: &[SocketAddr]) -> Config {
    let zone: Arc<str> = "us-east-1a".into();
    let port = targets.first().map_or(80, SocketAddr::port);
    let listener = |port_here, frontend, protocol| {
        let backend = Backend { protocol, port, proxy_protocol: false, trusted_keys: None };
        Arc::new(Listener { port: port_here, frontend, backend, stickiness: None })
    };
    let target = |(index, address): (usize, &SocketAddr)| {
        let id = TargetId(format!("i-{index}").into());
        Arc::new(Target { id, address: address.ip(), zone: zone.clone(), behind_egress: false })
    };
    let anywhere = IpNetwork { address: [0, 0, 0, 0].into(), prefix: 0 };
    let load_balancer = LoadBalancer {
        id: LoadBalancerId(1),
        name: "relay".into(),
        dns_names: Vec::new(),
        nodes: vec![Node { zone: zone.clone(), address: listen.ip(), egress: None }],
        listeners: vec![
            listener(listen.port(), Frontend::Http, BackendProtocol::Http),
            listener(listen.port() + 920, Frontend::Tcp, BackendProtocol::Tcp),
        ],
        targets: targets.iter().enumerate().map(target).collect(),
        health_check: HealthCheck {
            kind: HealthCheckKind::Tcp,
            port,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            unhealthy_threshold: 2,
            healthy_threshold: 2,
        },
        cross_zone: false,
        idle_timeout: Duration::from_secs(60),
        connection_draining: None,
        desync_mode: DesyncMode::Defensive,
        access: vec![AccessRule { from: anywhere, first_port: 1, last_port: u16::MAX }],
        access_log: true,
    };
    Config { load_balancers: vec![Arc::new(load_balancer)] }
}
