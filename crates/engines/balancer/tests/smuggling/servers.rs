//! The three servers, as processes of their own.

#![allow(clippy::disallowed_methods, reason = "the servers' files and the time they take to start are real")]

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server that remembers what it was asked.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    log: PathBuf,
    process: Child,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn start(name: &'static str, command: impl FnOnce(u16, &Path) -> Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = folder.path().join("seen.log");
        let file = std::fs::File::create(&log).unwrap();
        let process = command(port, folder.path()).stdout(file).stderr(Stdio::null()).stdin(Stdio::null()).spawn();
        let process = process.unwrap_or_else(|error| panic!("{name}: {error}; `cargo x test` installs it"));
        let server = Self { name, port, log, process, _folder: folder };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{name} does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// What it was asked, once that has the property; after a while in any case.
    pub(crate) fn seen_with(&self, is_all: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let seen = String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned();
            if is_all(&seen) || begun.elapsed() > Duration::from_secs(5) {
                return seen;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

pub(crate) fn start() -> Vec<Server> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/servers");
    let script = |program: &str, file: &str, port: u16| {
        let mut command = Command::new(program);
        command.arg(scripts.join(file)).arg(port.to_string());
        command
    };
    vec![
        Server::start("nginx", nginx),
        Server::start("node", |port, _| script("node", "server.js", port)),
        Server::start("python", |port, _| script("python3", "server.py", port)),
    ]
}

fn nginx(port: u16, folder: &Path) -> Command {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {}/{name};", folder.display()))
        .join(" ");
    let configuration = format!(
        "daemon off; master_process off; pid {folder}/pid; error_log /dev/null; events {{ worker_connections 512; }}
        http {{ {temporary} log_format seen 'SAW $request'; access_log {folder}/seen.log seen; keepalive_requests 100000;
        server {{ listen 127.0.0.1:{port}; underscores_in_headers on; location / {{ return 200 $request_uri; }} }} }}",
        folder = folder.display()
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, configuration).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-p").arg(folder).arg("-c").arg(file);
    command
}
