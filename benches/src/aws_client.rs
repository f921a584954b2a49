//! Signed requests to Millpond's services, one at a time: enough to set a bench up.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use wire::signature::{AmzDate, sha256_hex};
use wire::sigv4::{Signer, sign};

/// Calls a Query operation and gives the answer's XML.
pub(crate) fn query(address: &str, service: &str, parameters: &[(&str, &str)]) -> anyhow::Result<String> {
    let encoded: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={}", percent(value))).collect();
    let kind = ("content-type", "application/x-www-form-urlencoded");
    request(address, service, "POST", "/", &[kind], &encoded.join("&"))
}

/// Sends one signed request; fails unless the answer is 2xx.
pub(crate) fn request(
    address: &str,
    service: &str,
    method: &str,
    target: &str,
    headers: &[(&'static str, &str)],
    body: &str,
) -> anyhow::Result<String> {
    let signer = Signer { access_key_id: "test", secret_access_key: "test", region: "us-east-1", service };
    let mut builder = http::Request::builder().method(method).uri(target).header("host", address);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let (mut parts, ()) = builder.body(())?.into_parts();
    let date = AmzDate::from_unix(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs()).context("a date")?;
    let body_hash = sha256_hex(body.as_bytes());
    sign(&signer, &mut parts, std::str::from_utf8(&body_hash)?, &date)?;
    let mut bytes = format!("{method} {target} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in &parts.headers {
        bytes.push_str(&format!("{name}: {}\r\n", value.to_str()?));
    }
    bytes.push_str("\r\n");
    bytes.push_str(body);
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(bytes.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if !answer.starts_with("HTTP/1.1 2") {
        bail!("{method} {target} {body}: {answer}");
    }
    Ok(answer)
}

/// The texts of all elements of that name.
pub(crate) fn elements<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    xml.split(&open).skip(1).filter_map(|rest| rest.split(&close).next()).collect()
}

/// Everything but letters, digits and `-_.~` as `%XX`.
fn percent(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect()
}
