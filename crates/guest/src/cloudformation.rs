//! CloudFormation as instances speak to it: `DescribeStackResource` and `SignalResource` by GET, answered in JSON.
//!
//! Invariants:
//! - A request is signed with the credentials that were named, else by the instance's identity document (`CFN_V1`).
//! - Errors that may pass are tried again, [`TRIES_MAX`] times, throttling and 503 up to [`TRIES_PATIENT_MAX`]; others
//!   are final at once.
//! - Nothing that an answer says makes us panic.

use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderMap, HeaderValue, Request};
use serde_json::Value;
use wire::signature::{AmzDate, EMPTY_SHA256_HEX};
use wire::sigv4::{Signer, sign};

use crate::credentials::{self, Credentials};
use crate::http_client::{Answer, HttpClient, HttpError, encode, get};
use crate::identity;
use crate::log::Log;
use crate::metadata_service::MetadataService;
use crate::system::System;
use crate::value;

/// How often an error that may pass is met before it is believed.
const TRIES_MAX: u32 = 5;
/// The same for throttling, which the published tools wait out for ever.
const TRIES_PATIENT_MAX: u32 = 60;
/// The longest pause between two tries, in milliseconds.
const PAUSE_MS_MAX: u64 = 20_000;

/// CloudFormation did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct RemoteError {
    /// A line for the user, such as `ValidationError: Stack with id x does not exist`.
    pub(crate) message: String,
    retry: Retry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retry {
    Never,
    AFewTimes,
    Patiently,
}

/// What `DescribeStackResource` tells.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    /// Its name in the template.
    pub(crate) logical_id: String,
    /// What it became.
    pub(crate) physical_id: Option<String>,
    /// `CREATE_COMPLETE` and so on.
    pub(crate) status: String,
    /// When its status last changed, as it was written.
    pub(crate) last_updated: String,
    /// Its `Metadata`, with references resolved.
    pub(crate) metadata: Option<Value>,
}

/// The service at one endpoint.
pub(crate) struct CloudFormation<'a> {
    system: &'a System,
    http: &'a HttpClient<'a>,
    metadata: &'a MetadataService<'a>,
    endpoint: String,
    region: String,
    credentials: Option<Credentials>,
}

/// Where a region's CloudFormation answers.
pub(crate) fn endpoint_for_region(region: &str) -> String {
    let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("https://cloudformation.{region}.amazonaws.com{suffix}")
}

impl<'a> CloudFormation<'a> {
    /// The service of a region, or at the URL that takes its place.
    pub(crate) fn new(
        system: &'a System,
        http: &'a HttpClient<'a>,
        metadata: &'a MetadataService<'a>,
        url: Option<&str>,
        region: &str,
        credentials: Option<Credentials>,
    ) -> Self {
        // The variables are what SDKs look at: they lead to Millpond where its names do not resolve.
        let from_environment =
            || ["AWS_ENDPOINT_URL_CLOUDFORMATION", "AWS_ENDPOINT_URL"].iter().find_map(|name| system.variable(name));
        let endpoint = match url.filter(|url| !url.is_empty()).or_else(from_environment) {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => endpoint_for_region(region),
        };
        Self { system, http, metadata, endpoint, region: region.to_owned(), credentials }
    }

    /// Asks about one resource of a stack.
    pub(crate) fn describe_stack_resource(
        &self,
        log: &Log<'_>,
        stack: &str,
        logical_id: &str,
    ) -> Result<Resource, RemoteError> {
        log.debug(format_args!("Describing resource {logical_id} in stack {stack}"));
        let answer =
            self.call(log, "DescribeStackResource", &[("LogicalResourceId", logical_id), ("StackName", stack)])?;
        read_resource(&answer).ok_or_else(|| RemoteError {
            message: format!("{} answered without a StackResourceDetail", self.endpoint),
            retry: Retry::Never,
        })
    }

    /// Signals a resource that waits for it.
    pub(crate) fn signal_resource(
        &self,
        log: &Log<'_>,
        stack: &str,
        logical_id: &str,
        unique_id: &str,
        status: &str,
    ) -> Result<(), RemoteError> {
        log.debug(format_args!(
            "Signaling resource {logical_id} in stack {stack} with unique ID {unique_id} and status {status}"
        ));
        let parameters =
            [("LogicalResourceId", logical_id), ("StackName", stack), ("Status", status), ("UniqueId", unique_id)];
        self.call(log, "SignalResource", &parameters).map(drop)
    }

    fn call(&self, log: &Log<'_>, action: &str, parameters: &[(&str, &str)]) -> Result<Value, RemoteError> {
        retrying(self.system, log, || self.call_once(action, parameters))
    }

    fn call_once(&self, action: &str, parameters: &[(&str, &str)]) -> Result<Value, RemoteError> {
        let common = [("Action", action), ("ContentType", "JSON"), ("Version", "2010-05-15")];
        let mut pairs: Vec<_> = common.iter().chain(parameters).collect();
        pairs.sort_unstable();
        let query: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let request = get(&format!("{}/?{}", self.endpoint, query.join("&")), HeaderMap::new())?;
        let answer = self.http.send(self.authorized(request)?)?;
        if !answer.status.is_success() {
            return Err(refusal(&answer));
        }
        serde_json::from_slice(&answer.body).map_err(|error| RemoteError {
            message: format!("{} did not answer in JSON: {error}", self.endpoint),
            retry: Retry::AFewTimes,
        })
    }

    fn authorized(&self, mut request: Request<Vec<u8>>) -> Result<Request<Vec<u8>>, RemoteError> {
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(credentials) = &self.credentials {
            return self.signed(request, credentials);
        }
        if let Some(authorization) = identity::authorization(self.metadata) {
            let value = HeaderValue::from_str(&authorization).map_err(|_| {
                final_error("the metadata service's identity document or signature cannot be sent in a header")
            })?;
            request.headers_mut().insert(AUTHORIZATION, value);
            return Ok(request);
        }
        match credentials::of_profile(self.metadata) {
            Some(credentials) => self.signed(request, &credentials),
            None => Err(final_error(
                "In order to sign requests, 169.254.169.254 must be accessible or valid credentials must be set. Please \
                 ensure your proxy environment variables allow access to 169.254.169.254 (NO_PROXY) or that your \
                 credentials have a valid access key and secret key.",
            )),
        }
    }

    fn signed(&self, request: Request<Vec<u8>>, credentials: &Credentials) -> Result<Request<Vec<u8>>, RemoteError> {
        let unsendable = || final_error("the credentials have characters that cannot be sent in a header");
        let (mut parts, body) = request.into_parts();
        if let Some(token) = &credentials.token {
            let token = HeaderValue::from_str(token).map_err(|_| unsendable())?;
            parts.headers.insert("x-amz-security-token", token);
        }
        let signer = Signer {
            access_key_id: &credentials.access_key,
            secret_access_key: &credentials.secret_key,
            region: &self.region,
            service: "cloudformation",
        };
        let date = AmzDate::from_unix(self.system.unix_s())
            .ok_or_else(|| final_error("the clock stands at a date that cannot be signed"))?;
        sign(&signer, &mut parts, EMPTY_SHA256_HEX, &date).map_err(|_| unsendable())?;
        Ok(Request::from_parts(parts, body))
    }
}

impl From<HttpError> for RemoteError {
    fn from(error: HttpError) -> Self {
        let retry = if matches!(error, HttpError::Invalid(_)) { Retry::Never } else { Retry::AFewTimes };
        Self { message: error.to_string(), retry }
    }
}

impl From<std::io::Error> for RemoteError {
    fn from(error: std::io::Error) -> Self {
        Self { message: error.to_string(), retry: Retry::Never }
    }
}

fn final_error(message: &str) -> RemoteError {
    RemoteError { message: message.to_owned(), retry: Retry::Never }
}

/// Tries until it works, the error is final, or patience ends.
pub(crate) fn retrying<T>(
    system: &System,
    log: &Log<'_>,
    mut attempt: impl FnMut() -> Result<T, RemoteError>,
) -> Result<T, RemoteError> {
    let mut tries = 0;
    loop {
        let error = match attempt() {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        tries += 1;
        let tries_max = match error.retry {
            Retry::Never => 0,
            Retry::AFewTimes => TRIES_MAX,
            Retry::Patiently => TRIES_PATIENT_MAX,
        };
        if tries >= tries_max {
            return Err(error);
        }
        log.error(&error);
        // Spread by the clock's low digits: instances that start together should not ask together.
        let ceiling = (1_000_u64 << tries.min(10)).saturating_sub(1_000).min(PAUSE_MS_MAX);
        let pause = Duration::from_millis(u64::from(system.now().nanosecond() / 1_000) % ceiling.max(1));
        log.debug(format_args!("Sleeping for {:.6} seconds before retrying", pause.as_secs_f64()));
        std::thread::sleep(pause);
    }
}

/// A status that is no success, of a server that has no words of AWS's: a file's, or a wait condition's.
pub(crate) fn refused_with(status: http::StatusCode, text: &str) -> RemoteError {
    let retry = match status.as_u16() {
        503 => Retry::Patiently,
        404 | 408 | 500.. => Retry::AFewTimes,
        _ => Retry::Never,
    };
    RemoteError { message: format!("HTTP Error {} : {text}", status.as_u16()), retry }
}

/// An answer that is no success, as an error.
fn refusal(answer: &Answer) -> RemoteError {
    let status = answer.status.as_u16();
    let document: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let member = |key: &str| Some(document.as_ref()?.get("Error")?.get(key)?.as_str()?.to_owned());
    let (Some(code), Some(message)) = (member("Code"), member("Message")) else {
        let retry = if status == 503 { Retry::Patiently } else { Retry::AFewTimes };
        return RemoteError { message: format!("Unknown: {}", answer.text()), retry };
    };
    let retry = match code.as_str() {
        "Throttling" | "InvalidAccessKeyId" | "InvalidClientTokenId" => Retry::Patiently,
        _ if status == 503 => Retry::Patiently,
        _ if member("Type").as_deref() == Some("Sender") => Retry::Never,
        _ => Retry::AFewTimes,
    };
    RemoteError { message: format!("{code}: {message}"), retry }
}

fn read_resource(answer: &Value) -> Option<Resource> {
    let detail = answer
        .get("DescribeStackResourceResponse")?
        .get("DescribeStackResourceResult")?
        .get("StackResourceDetail")?
        .as_object()?;
    let metadata = match detail.get("Metadata") {
        Some(Value::String(text)) if !text.is_empty() => Some(serde_json::from_str(text).ok()?),
        Some(document @ Value::Object(_)) => Some(document.clone()),
        _ => None,
    };
    Some(Resource {
        logical_id: value::text_at(detail, "LogicalResourceId")?,
        physical_id: value::text_at(detail, "PhysicalResourceId"),
        status: value::text_at(detail, "ResourceStatus").unwrap_or_default(),
        last_updated: value::text_at(detail, "LastUpdatedTimestamp").unwrap_or_default(),
        metadata: metadata.filter(|metadata| !value::is_empty(metadata)),
    })
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status: StatusCode::from_u16(status).unwrap(), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn regions_have_endpoints_and_china_has_its_own() {
        assert_eq!(endpoint_for_region("eu-west-1"), "https://cloudformation.eu-west-1.amazonaws.com");
        assert_eq!(endpoint_for_region("cn-north-1"), "https://cloudformation.cn-north-1.amazonaws.com.cn");
    }

    #[test]
    fn a_refusal_says_what_aws_said_and_whether_to_try_again() {
        let error =
            |code: &str, kind: &str| format!(r#"{{"Error":{{"Code":"{code}","Message":"m","Type":"{kind}"}}}}"#);
        let read = |status, body: &str| {
            let refusal = refusal(&answer(status, body));
            (refusal.message, refusal.retry)
        };
        assert_eq!(read(400, &error("ValidationError", "Sender")), ("ValidationError: m".into(), Retry::Never));
        assert_eq!(read(400, &error("Throttling", "Sender")), ("Throttling: m".into(), Retry::Patiently));
        assert_eq!(read(500, &error("InternalFailure", "Receiver")).1, Retry::AFewTimes);
        assert_eq!(read(503, "busy"), ("Unknown: busy".into(), Retry::Patiently));
        assert_eq!(read(502, "<html>").1, Retry::AFewTimes);
    }

    #[test]
    fn a_resource_is_read_with_its_metadata_from_text() {
        let detail = json!({"LogicalResourceId": "A", "ResourceStatus": "CREATE_COMPLETE",
            "LastUpdatedTimestamp": 1.5, "Metadata": "{\"k\": 1}"});
        let whole = |detail: Value| json!({"DescribeStackResourceResponse": {"DescribeStackResourceResult": {"StackResourceDetail": detail}}});
        let resource = read_resource(&whole(detail)).unwrap();
        assert_eq!(resource.metadata, Some(json!({"k": 1})));
        assert_eq!((resource.status.as_str(), resource.last_updated.as_str()), ("CREATE_COMPLETE", "1.5"));
        assert!(read_resource(&whole(json!({"Metadata": "{}"}))).is_none());
        assert!(read_resource(&whole(json!({"LogicalResourceId": "A", "Metadata": "{"}))).is_none());
        let empty = whole(json!({"LogicalResourceId": "A", "Metadata": "{}"}));
        assert!(read_resource(&empty).unwrap().metadata.is_none());
    }

    proptest! {
        #[test]
        fn any_body_is_read_without_panic(body in ".{0,200}") {
            let refused = refusal(&answer(400, &body));
            prop_assert!(!refused.message.is_empty());
            if let Ok(value) = serde_json::from_str::<Value>(&body) {
                read_resource(&value);
            }
        }
    }
}
