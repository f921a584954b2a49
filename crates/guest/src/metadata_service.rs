//! The instance metadata service: who this instance is.
//!
//! Invariants:
//! - Asked with a token where it gives one (IMDSv2), without where it does not (IMDSv1).
//! - Where nobody answers, a tool knows within seconds: this is not an instance.

use std::cell::OnceCell;
use std::time::Duration;

use http::{Request, StatusCode};

use crate::http_client::{HttpClient, HttpError, get};
use crate::system::System;

/// Where it answers inside instances.
const ADDRESS: &str = "http://169.254.169.254";
/// What SDKs let take the place of [`ADDRESS`].
const ADDRESS_VARIABLE: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
/// How often a question is asked before the answer counts as absent.
const TRIES_MAX: u32 = 3;
/// How long to wait before asking again; doubled each time.
const PAUSE: Duration = Duration::from_millis(100);

/// The metadata service.
pub(crate) struct MetadataService<'a> {
    http: &'a HttpClient<'a>,
    address: String,
    token: OnceCell<Option<String>>,
}

impl<'a> MetadataService<'a> {
    /// The service of this instance.
    pub(crate) fn new(system: &System, http: &'a HttpClient<'a>) -> Self {
        let address = system.variable(ADDRESS_VARIABLE).unwrap_or(ADDRESS).trim_end_matches('/').to_owned();
        Self { http, address, token: OnceCell::new() }
    }

    /// What stands at `/latest/PATH`; `Ok(None)` when there is nothing.
    pub(crate) fn get(&self, path: &str) -> Result<Option<String>, HttpError> {
        let mut pause = PAUSE;
        for left in (0..TRIES_MAX).rev() {
            match self.get_once(path) {
                // A service that is just starting answers 5xx; it will have made up its mind soon.
                Ok((status, _)) if status.is_server_error() && left > 0 => {}
                Ok((status, text)) => return Ok(status.is_success().then_some(text)),
                // Nobody listens there: asking again will not change that, and the time adds up.
                Err(error) if left == 0 || !is_passing(&error) => return Err(error),
                Err(_) => {}
            }
            std::thread::sleep(pause);
            pause *= 2;
        }
        Ok(None)
    }

    fn get_once(&self, path: &str) -> Result<(StatusCode, String), HttpError> {
        let mut request = get(&format!("{}/latest/{path}", self.address), http::HeaderMap::new())?;
        if self.token.get().is_none() {
            let _ = self.token.set(self.ask_token()?);
        }
        let token = self.token.get().and_then(Option::as_deref);
        if let Some(token) = token.and_then(|token| token.parse().ok()) {
            request.headers_mut().insert("x-aws-ec2-metadata-token", token);
        }
        let answer = self.http.send_to_metadata(request)?;
        Ok((answer.status, answer.text()))
    }

    /// A token, where it gives any. Silence is a "no", too: one hop too many, and a token's answer does not arrive.
    fn ask_token(&self) -> Result<Option<String>, HttpError> {
        let request = Request::put(format!("{}/latest/api/token", self.address))
            .header("x-aws-ec2-metadata-token-ttl-seconds", "900")
            .body(Vec::new());
        let Ok(request) = request else { return Ok(None) };
        match self.http.send_to_metadata(request) {
            Ok(answer) => Ok(answer.status.is_success().then(|| answer.text().trim().to_owned())),
            Err(error) if is_cut_short(&error) => Err(error),
            Err(_) => Ok(None),
        }
    }
}

/// A server that is killed and started again cuts an answer short, and answers nobody for a second or two.
fn is_passing(error: &HttpError) -> bool {
    let is_silence = matches!(error, HttpError::Failed(error) if matches!(**error, ureq::Error::Timeout(_)));
    is_silence || is_cut_short(error)
}

fn is_cut_short(error: &HttpError) -> bool {
    let HttpError::Failed(error) = error else { return false };
    matches!(&**error, ureq::Error::Io(io) if io.kind() != std::io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;
    use crate::options::ProxyOptions;

    #[test]
    fn what_a_killed_server_cut_short_is_asked_again_the_token_too() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let served = std::thread::spawn(move || {
            // Nothing for the token, then the token; nothing for the question, then its answer.
            ["", "token", "", "i-1"].map(|body| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 4096];
                let read = stream.read(&mut request).unwrap();
                if !body.is_empty() {
                    let head =
                        format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
                    stream.write_all((head + body).as_bytes()).unwrap();
                }
                String::from_utf8_lossy(&request[..read]).into_owned()
            })
        });
        let system = System::under(std::path::Path::new("/"), &[(ADDRESS_VARIABLE, &address)]);
        let http = HttpClient::new(&system, ProxyOptions::default());
        let service = MetadataService::new(&system, &http);
        assert_eq!(service.get("meta-data/instance-id").unwrap().as_deref(), Some("i-1"));
        let requests = served.join().unwrap();
        assert!(
            requests[1].starts_with("PUT ") && requests[3].contains("x-aws-ec2-metadata-token: token"),
            "{requests:?}"
        );
    }
}
