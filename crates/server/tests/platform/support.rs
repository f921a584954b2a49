//! A built `millpond` as a child process, and the few HTTP requests that the tests need.

#![allow(unreachable_pub, reason = "shared between test binaries as a module")]
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test's helper fails as the test does")]
#![allow(clippy::disallowed_methods, reason = "tests stand outside of the process under test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use http::Request;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use wire::signature::{AmzDate, sha256_hex};
use wire::sigv4::{Signer, sign};

pub const MILLPOND: &str = env!("CARGO_BIN_EXE_millpond");
const PATIENCE: Duration = Duration::from_secs(20);

/// A directory for one test, and how to start servers in it.
pub struct Place {
    pub dir: TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("millpond-data")
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).unwrap();
    }

    /// `millpond` with these arguments, in this directory and with none of the environment's settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(MILLPOND);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MILLPOND_") || name.to_string_lossy().starts_with("AWS_") {
                command.env_remove(name);
            }
        }
        command.args(arguments).current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    /// Runs to the end, which must come soon.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let child = self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, receiver) = mpsc::channel();
        let pid = Pid::from_child(&child);
        std::thread::spawn(move || sender.send(child.wait_with_output()));
        receiver.recv_timeout(PATIENCE).map(Result::unwrap).unwrap_or_else(|_| {
            let _ = kill_process(pid, Signal::KILL);
            panic!("millpond {arguments:?} did not end")
        })
    }

    /// The one sentence that a refused start says.
    pub fn refusal(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        said.lines().find(|line| line.starts_with("millpond: ")).unwrap_or_else(|| panic!("{said}")).to_owned()
    }

    /// A server on a free loopback port, with more arguments.
    pub fn serve(&self, arguments: &[&str]) -> Server {
        self.serve_as(&mut self.command(&[&["serve", "--listen", "127.0.0.1:0"], arguments].concat()))
    }

    pub fn serve_as(&self, command: &mut Command) -> Server {
        let log = std::fs::File::options().create(true).append(true).open(self.dir.path().join("log")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut banner = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        let endpoint = loop {
            match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => match line.strip_prefix("Ready on ") {
                    Some(endpoint) => break endpoint.to_owned(),
                    None => banner.push(line),
                },
                Err(_) => {
                    let _ = child.kill();
                    panic!("the server did not start: {banner:?}\n{}", self.log());
                }
            }
        };
        let address = endpoint.strip_prefix("http://").unwrap().parse().unwrap();
        Server { child, endpoint, address, banner }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    pub endpoint: String,
    pub address: SocketAddr,
    pub banner: Vec<String>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the process to end.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the server did not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.wait().code(), Some(0));
    }

    pub fn connect(&self) -> Connection {
        Connection::to(self.address)
    }

    pub fn get(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", target, headers, "")
    }

    pub fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut connection = self.connect();
        connection.write(&self.request(method, target, headers, body));
        connection.read()
    }

    /// The bytes of a request with a length and, unless given, a Host.
    pub fn request(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> String {
        let mut text = format!("{method} {target} HTTP/1.1\r\ncontent-length: {}\r\n", body.len());
        if !headers.iter().any(|(name, _)| *name == "host") {
            text += &format!("host: {}\r\n", self.address);
        }
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        text + "\r\n" + body
    }

    /// An SQS call as anybody's, in local mode.
    pub fn sqs(&self, operation: &str, input: Value) -> Answer {
        self.sqs_as(&Key::any(), operation, input)
    }

    /// An SQS call that must succeed.
    pub fn sqs_ok(&self, operation: &str, input: Value) -> Value {
        let answer = self.sqs(operation, input);
        assert_eq!(answer.status, 200, "{operation}: {answer:?}");
        answer.json()
    }

    pub fn sqs_as(&self, key: &Key, operation: &str, input: Value) -> Answer {
        let request = self.sqs_request(key, operation, input);
        let mut connection = self.connect();
        connection.write(&request);
        connection.read()
    }

    /// The bytes of a signed SQS call.
    pub fn sqs_request(&self, key: &Key, operation: &str, input: Value) -> String {
        let body = input.to_string();
        let target = format!("AmazonSQS.{operation}");
        let headers = [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", &target)];
        let signed = key.sign(&self.address.to_string(), "POST", "/", "sqs", &headers, &body);
        let signed: Vec<(&str, &str)> = signed.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.request("POST", "/", &signed, &body)
    }

    /// A call in the Query protocol that must succeed, as anybody's, in local mode.
    pub fn query_ok(&self, service: &str, version: &str, action: &str, parameters: &[(&str, &str)]) -> String {
        let answer = self.query_as(&Key::any(), service, version, action, parameters);
        assert_eq!(answer.status, 200, "{action}: {answer:?}");
        answer.text()
    }

    /// A signed call in the Query protocol.
    pub fn query_as(
        &self,
        key: &Key,
        service: &str,
        version: &str,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Answer {
        let body = form(version, action, parameters);
        let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        let signed = key.sign(&self.address.to_string(), "POST", "/", service, &headers, &body);
        let signed: Vec<(&str, &str)> = signed.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.send("POST", "/", &signed, &body)
    }

    pub fn create_queue(&self, name: &str) -> String {
        let created = self.sqs_ok("CreateQueue", json!({ "QueueName": name }));
        created["QueueUrl"].as_str().unwrap().to_owned()
    }
}

/// A Query request's form.
pub fn form(version: &str, action: &str, parameters: &[(&str, &str)]) -> String {
    let mut body = format!("Action={action}&Version={version}");
    for (name, value) in parameters {
        let value = percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
        body += &format!("&{name}={value}");
    }
    body
}

/// An access key.
pub struct Key {
    pub id: String,
    pub secret: String,
}

impl Key {
    pub fn any() -> Self {
        Self { id: "test".into(), secret: "test".into() }
    }

    /// Makes one with `millpond keys create`.
    pub fn create(place: &Place, arguments: &[&str]) -> Self {
        let output = place.run(&[&["keys", "create"], arguments].concat());
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let value = |name: &str| {
            let prefix = format!("export {name}=");
            text.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_else(|| panic!("{text}")).to_owned()
        };
        Self { id: value("AWS_ACCESS_KEY_ID"), secret: value("AWS_SECRET_ACCESS_KEY") }
    }

    /// All headers of a signed request.
    pub fn sign(
        &self,
        host: &str,
        method: &str,
        target: &str,
        service: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Vec<(String, String)> {
        let request = Request::builder().method(method).uri(target).header("host", host);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let signer = Signer { access_key_id: &self.id, secret_access_key: &self.secret, region: "us-east-1", service };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let hash = String::from_utf8(sha256_hex(body.as_bytes()).to_vec()).unwrap();
        sign(&signer, &mut parts, &hash, &AmzDate::from_unix(now).unwrap()).unwrap();
        let pair = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        parts.headers.iter().map(pair).collect()
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (have, value) = line.split_once(':')?;
            have.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// A connection that is kept open between requests.
pub struct Connection {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl Connection {
    pub fn to(address: SocketAddr) -> Self {
        Self::try_to(address).unwrap()
    }

    pub fn try_to(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE * 2))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, rest: Vec::new() })
    }

    pub fn write(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    pub fn try_write(&mut self, text: &str) -> std::io::Result<()> {
        self.stream.write_all(text.as_bytes())
    }

    /// The next answer.
    pub fn read(&mut self) -> Answer {
        self.try_read().expect("an answer")
    }

    /// The next answer; `None` when the connection ends without a whole one.
    pub fn try_read(&mut self) -> Option<Answer> {
        loop {
            if let Some((answer, length)) = parse(&self.rest) {
                self.rest.drain(..length);
                return Some(answer);
            }
            let mut buffer = [0; 64 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.rest.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Whether the server closes, without another word, before long.
    pub fn is_closed_silently(&mut self) -> bool {
        let mut buffer = [0; 1024];
        matches!(self.stream.read(&mut buffer), Ok(0)) && self.rest.is_empty()
    }
}

fn parse(bytes: &[u8]) -> Option<(Answer, usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut answer = Answer { status, head, body: Vec::new() };
    if answer.header("transfer-encoding") == Some("chunked") {
        let (body, length) = dechunk(&bytes[end..])?;
        answer.body = body;
        return Some((answer, end + length));
    }
    let length: usize = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
    answer.body = bytes.get(end..end + length)?.to_vec();
    Some((answer, end + length))
}

fn dechunk(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line = bytes[at..].windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[at..at + line]).ok()?, 16).ok()?;
        at += line + 2;
        body.extend_from_slice(bytes.get(at..at + size)?);
        at += size + 2;
        if size == 0 {
            return (at <= bytes.len()).then_some((body, at));
        }
    }
}

/// Polls until `done`, at most for some seconds.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}
