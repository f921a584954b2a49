//! An SQS client that costs next to nothing, so that the server is what is measured.
//!
//! It signs every request as an SDK does and reads every answer whole; it parses only what the load needs.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::signature::{AmzDate, sha256_hex};
use wire::sigv4::{Signer, sign};

const BODY_BYTES: usize = 256;

/// An access key.
#[derive(Clone)]
pub(crate) struct Credentials {
    access_key_id: String,
    secret: String,
}

impl Credentials {
    /// What people's CI uses; accepted in local mode.
    pub(crate) fn local() -> Self {
        Self { access_key_id: "test".into(), secret: "test".into() }
    }

    /// A real key, made by `millpond keys create` in that data directory.
    pub(crate) fn create(binary: &Path, data_dir: &Path) -> anyhow::Result<Self> {
        let output = Command::new(binary).args(["keys", "create", "--data-dir"]).arg(data_dir).output()?;
        let text = String::from_utf8(output.stdout)?;
        let words = || text.split(|c: char| c.is_whitespace() || c == '=' || c == '"');
        let access_key_id = words().find(|word| word.starts_with("AKIA")).context("no key id")?.to_owned();
        let secret = words().find(|word| word.len() == 40).context("no secret")?.to_owned();
        Ok(Self { access_key_id, secret })
    }
}

/// A request's bytes, and what they were made from.
#[derive(Default)]
struct Request {
    body: String,
    second: u64,
    bytes: Vec<u8>,
}

/// One keep-alive connection with one request at a time on it.
pub(crate) struct Connection {
    stream: TcpStream,
    address: String,
    credentials: Credentials,
    /// The last request of each operation: the same words in the same second have the same signature.
    requests: HashMap<&'static str, Request>,
    answer: Vec<u8>,
    body: String,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: &str, credentials: &Credentials) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (requests, answer, body) = (HashMap::new(), Vec::new(), String::new());
        Ok(Self { stream, address: address.to_owned(), credentials: credentials.clone(), requests, answer, body })
    }

    /// Creates a queue and gives its URL.
    pub(crate) async fn create_queue(&mut self, name: &str) -> anyhow::Result<String> {
        self.body = format!(r#"{{"QueueName":"{name}"}}"#);
        let answer = self.call("CreateQueue").await?;
        let url = values_of(answer, "QueueUrl").next().context("no QueueUrl")?;
        Ok(url.to_owned())
    }

    /// Sends `batch` messages; a batch of 1 is SendMessage.
    pub(crate) async fn send(&mut self, queue_url: &str, batch: usize) -> anyhow::Result<()> {
        let message = "x".repeat(BODY_BYTES);
        if batch == 1 {
            self.body = format!(r#"{{"QueueUrl":"{queue_url}","MessageBody":"{message}"}}"#);
            self.call("SendMessage").await?;
            return Ok(());
        }
        let entries: Vec<_> = (0..batch).map(|n| format!(r#"{{"Id":"{n}","MessageBody":"{message}"}}"#)).collect();
        self.body = format!(r#"{{"QueueUrl":"{queue_url}","Entries":[{}]}}"#, entries.join(","));
        let answer = self.call("SendMessageBatch").await?;
        ensure!(memmem::find(answer, b"\"Failed\":[{").is_none(), "a send failed");
        Ok(())
    }

    /// Receives up to `batch` messages, waiting a second for the first; gives their handles.
    pub(crate) async fn receive(&mut self, queue_url: &str, batch: usize) -> anyhow::Result<Vec<String>> {
        self.body = format!(r#"{{"QueueUrl":"{queue_url}","MaxNumberOfMessages":{batch},"WaitTimeSeconds":1}}"#);
        let answer = self.call("ReceiveMessage").await?;
        Ok(values_of(answer, "ReceiptHandle").map(str::to_owned).collect())
    }

    /// Deletes by handle; one handle is DeleteMessage.
    pub(crate) async fn delete(&mut self, queue_url: &str, handles: &[String]) -> anyhow::Result<()> {
        if let [handle] = handles {
            self.body = format!(r#"{{"QueueUrl":"{queue_url}","ReceiptHandle":"{handle}"}}"#);
            self.call("DeleteMessage").await?;
            return Ok(());
        }
        let entry = |(n, handle): (usize, &String)| format!(r#"{{"Id":"{n}","ReceiptHandle":"{handle}"}}"#);
        let entries: Vec<_> = handles.iter().enumerate().map(entry).collect();
        self.body = format!(r#"{{"QueueUrl":"{queue_url}","Entries":[{}]}}"#, entries.join(","));
        let answer = self.call("DeleteMessageBatch").await?;
        ensure!(memmem::find(answer, b"\"Failed\":[{").is_none(), "a delete failed");
        Ok(())
    }

    /// Asks for a message, for 20 s, and does not wait for the answer.
    pub(crate) async fn begin_long_poll(&mut self, queue_url: &str) -> anyhow::Result<()> {
        self.body = format!(r#"{{"QueueUrl":"{queue_url}","WaitTimeSeconds":20}}"#);
        self.write("ReceiveMessage").await
    }

    async fn call(&mut self, operation: &'static str) -> anyhow::Result<&[u8]> {
        self.write(operation).await?;
        self.read(operation).await
    }

    async fn write(&mut self, operation: &'static str) -> anyhow::Result<()> {
        let second = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let request = self.requests.entry(operation).or_default();
        if request.second != second || request.body != self.body {
            request.bytes.clear();
            sign_request(&self.credentials, &self.address, operation, &self.body, second, &mut request.bytes)?;
            request.second = second;
            request.body.clone_from(&self.body);
        }
        Ok(self.stream.write_all(&request.bytes).await?)
    }

    async fn read(&mut self, operation: &str) -> anyhow::Result<&[u8]> {
        self.answer.clear();
        let head = loop {
            ensure!(self.stream.read_buf(&mut self.answer).await? > 0, "{operation}: the server closed");
            if let Some(end) = memmem::find(&self.answer, b"\r\n\r\n") {
                break end + 4;
            }
        };
        let headers = std::str::from_utf8(&self.answer[..head])?;
        let length = headers.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then_some(value)
        });
        let length: usize = length.context("no content-length")?.trim().parse()?;
        let is_ok = headers.starts_with("HTTP/1.1 200");
        while self.answer.len() < head + length {
            ensure!(self.stream.read_buf(&mut self.answer).await? > 0, "{operation}: the server closed");
        }
        let body = &self.answer[head..];
        if !is_ok {
            bail!("{operation}: {}", String::from_utf8_lossy(&self.answer));
        }
        Ok(body)
    }
}

/// Writes a whole signed request into `bytes`.
fn sign_request(
    credentials: &Credentials,
    address: &str,
    operation: &str,
    body: &str,
    second: u64,
    bytes: &mut Vec<u8>,
) -> anyhow::Result<()> {
    use std::io::Write as _;
    let signer = Signer {
        access_key_id: &credentials.access_key_id,
        secret_access_key: &credentials.secret,
        region: "us-east-1",
        service: "sqs",
    };
    let (mut parts, ()) = http::Request::post("/")
        .header("host", address)
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", format!("AmazonSQS.{operation}"))
        .body(())?
        .into_parts();
    let date = AmzDate::from_unix(second).context("a date out of range")?;
    let body_hash = sha256_hex(body.as_bytes());
    sign(&signer, &mut parts, std::str::from_utf8(&body_hash)?, &date)?;
    bytes.extend_from_slice(b"POST / HTTP/1.1\r\n");
    for (name, value) in &parts.headers {
        write!(bytes, "{name}: {}\r\n", value.to_str()?)?;
    }
    write!(bytes, "content-length: {}\r\n\r\n{body}", body.len())?;
    Ok(())
}

/// The string values of a member, wherever it stands in a JSON text. The load's values hold no escapes.
fn values_of<'a>(json: &'a [u8], member: &str) -> impl Iterator<Item = &'a str> {
    let needle = format!("\"{member}\":\"");
    let starts: Vec<usize> = memmem::find_iter(json, needle.as_bytes()).map(|at| at + needle.len()).collect();
    starts.into_iter().filter_map(|start| {
        let end = start + memchr::memchr(b'"', &json[start..])?;
        std::str::from_utf8(&json[start..end]).ok()
    })
}
