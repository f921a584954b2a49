//! The balancers: Millpond, HAProxy and nginx, each with one thread, the same two servers behind it.
//!
//! Invariants:
//! - All are pinned to the first core; load and backends have the second.
//! - Millpond checks health and writes access logs. The peers write none; HAProxy checks health too.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::process::Usage;

/// Where the two servers behind every balancer listen.
pub(crate) const BACKENDS: [SocketAddr; 2] = [
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 9, 0, 1)), 18_000),
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 9, 0, 2)), 18_000),
];

/// A running balancer (or none: `direct`), and where to reach it.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) http: SocketAddr,
    pub(crate) https: Option<SocketAddr>,
    pub(crate) tcp: SocketAddr,
    /// Holds the process; its children count too.
    process: Option<Child>,
    /// Ended after the process.
    _home: Option<PathBuf>,
}

impl Peer {
    /// No balancer at all: the clients talk to a server.
    pub(crate) fn direct() -> Self {
        Self { name: "direct", http: BACKENDS[0], https: None, tcp: BACKENDS[0], process: None, _home: None }
    }

    /// The CPU time of the process and its children so far.
    pub(crate) fn cpu_us(&self) -> anyhow::Result<u64> {
        Ok(self.usages()?.iter().map(|usage| usage.cpu_us).sum())
    }

    /// Resident memory of the process and its children.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        Ok(self.usages()?.iter().map(|usage| usage.resident_bytes).sum())
    }

    fn usages(&self) -> anyhow::Result<Vec<Usage>> {
        let Some(process) = &self.process else { return Ok(Vec::new()) };
        let pid = process.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let pids = std::iter::once(pid).chain(children.split_whitespace().filter_map(|word| word.parse().ok()));
        pids.map(Usage::of).collect()
    }

    /// Waits until it serves.
    pub(crate) fn ready(mut self) -> anyhow::Result<Self> {
        let started = Instant::now();
        for address in [Some(self.http), self.https, Some(self.tcp)].into_iter().flatten() {
            while std::net::TcpStream::connect(address).is_err() {
                if let Some(status) = self.process.as_mut().map(Child::try_wait).transpose()?.flatten() {
                    bail!("{} ended with {status}", self.name);
                }
                if started.elapsed() > Duration::from_secs(20) {
                    bail!("{} does not listen on {address}", self.name);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(self)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = Command::new("kill").arg(process.id().to_string()).status();
            let _ = process.wait();
        }
    }
}

/// A command that runs on the first core only.
pub(crate) fn pinned(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", "0"]).arg(program);
    command
}

/// Starts nginx with one worker.
pub(crate) fn nginx(home: &Path) -> anyhow::Result<Peer> {
    let dir = home.join("nginx");
    std::fs::create_dir_all(&dir)?;
    let [first, second] = BACKENDS;
    let home_text = home.display();
    let config = format!(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n\
         daemon off; worker_processes 1;  pid {dir}/pid; error_log {dir}/error.log warn;\n\
         events {{ worker_connections 19900; }}\n\
         http {{\n access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; tcp_nodelay on;\n\
         client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;\n\
         upstream servers {{ least_conn; server {first}; server {second}; keepalive 256; keepalive_requests 1000000000; }}\n\
         ssl_certificate {home_text}/certificate.pem; ssl_certificate_key {home_text}/key.pem; ssl_protocols TLSv1.2 TLSv1.3;\n\
         server {{ listen 127.21.0.1:8080; listen 127.21.0.1:8443 ssl;\n\
         proxy_buffer_size 16k; proxy_buffers 16 16k; proxy_max_temp_file_size 0;\n location / {{ proxy_pass http://servers; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host;\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Port $server_port; }} }} }}\n\
         stream {{ upstream raw {{ server {first}; server {second}; }} server {{ listen 127.21.0.1:9000; proxy_pass raw; proxy_buffer_size 64k; tcp_nodelay on; }} }}\n",
        dir = dir.display()
    );
    std::fs::write(dir.join("nginx.conf"), config)?;
    let mut command = pinned("nginx");
    command.arg("-p").arg(&dir).arg("-c").arg(dir.join("nginx.conf"));
    let process = command.spawn().context("cannot start nginx: apt-get install nginx libnginx-mod-stream")?;
    peer("nginx", [127, 21, 0, 1], process, dir).ready()
}

/// Starts HAProxy with one thread.
pub(crate) fn haproxy(home: &Path) -> anyhow::Result<Peer> {
    let dir = home.join("haproxy");
    std::fs::create_dir_all(&dir)?;
    let [first, second] = BACKENDS;
    let both: Vec<u8> = [std::fs::read(home.join("certificate.pem"))?, std::fs::read(home.join("key.pem"))?].concat();
    std::fs::write(dir.join("both.pem"), both)?;
    let config = format!(
        "global\n nbthread 1\n maxconn 9900\n\
         defaults\n mode http\n timeout client 600s\n timeout server 600s\n timeout connect 10s\n timeout http-keep-alive 600s\n\
         frontend web\n bind 127.22.0.1:8080\n bind 127.22.0.1:8443 ssl crt {both}\n http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}\n http-request set-header X-Forwarded-Port %[dst_port]\n option forwardfor\n default_backend servers\n\
         backend servers\n balance leastconn\n http-reuse always\n option httpchk GET /2\n server a {first} check inter 30s\n server b {second} check inter 30s\n\
         frontend raw\n mode tcp\n bind 127.22.0.1:9000\n default_backend rawservers\n\
         backend rawservers\n mode tcp\n balance roundrobin\n server a {first} check inter 30s\n server b {second} check inter 30s\n",
        both = dir.join("both.pem").display()
    );
    std::fs::write(dir.join("haproxy.cfg"), config)?;
    let mut command = pinned("haproxy");
    command.arg("-db").arg("-q").arg("-f").arg(dir.join("haproxy.cfg"));
    let process = command.stderr(Stdio::null()).spawn().context("cannot start haproxy: apt-get install haproxy")?;
    peer("haproxy", [127, 22, 0, 1], process, dir).ready()
}

/// A balancer that listens on the usual three ports of an address.
pub(crate) fn peer(name: &'static str, address: [u8; 4], process: Child, home: PathBuf) -> Peer {
    let at = |port| SocketAddr::from((address, port));
    Peer { name, http: at(8080), https: Some(at(8443)), tcp: at(9000), process: Some(process), _home: Some(home) }
}
