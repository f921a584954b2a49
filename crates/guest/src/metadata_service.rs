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
        let token = self.token.get_or_init(|| self.ask_token());
        if let Some(token) = token.as_deref().and_then(|token| token.parse().ok()) {
            request.headers_mut().insert("x-aws-ec2-metadata-token", token);
        }
        let answer = self.http.send_to_metadata(request)?;
        Ok((answer.status, answer.text()))
    }

    fn ask_token(&self) -> Option<String> {
        let request = Request::put(format!("{}/latest/api/token", self.address))
            .header("x-aws-ec2-metadata-token-ttl-seconds", "900")
            .body(Vec::new())
            .ok()?;
        let answer = self.http.send_to_metadata(request).ok()?;
        answer.status.is_success().then(|| answer.text().trim().to_owned())
    }
}

fn is_passing(error: &HttpError) -> bool {
    match error {
        HttpError::Failed(error) => {
            matches!(&**error, ureq::Error::Io(io) if io.kind() != std::io::ErrorKind::ConnectionRefused)
        }
        _ => false,
    }
}
