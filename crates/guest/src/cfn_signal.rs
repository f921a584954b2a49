//! `cfn-signal`: tells CloudFormation that a resource is ready, or has failed.
//!
//! Invariant: exits with 0 when the signal was taken, whatever it said, and with 1 when it was not.

use std::ffi::OsString;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Parser;
use http::Request;
use serde_json::json;

use crate::cloudformation::{CloudFormation, RemoteError, refused_with, retrying};
use crate::credentials;
use crate::http_client::{HttpClient, HttpError};
use crate::identity;
use crate::log::Logs;
use crate::metadata_service::MetadataService;
use crate::options::{CredentialOptions, ProxyOptions, parse};
use crate::system::System;

/// Signals CloudFormation that a resource or wait condition has succeeded or failed
#[derive(Parser, Debug)]
#[command(
    name = "cfn-signal",
    override_usage = "cfn-signal [options] [WaitConditionHandle URL]",
    infer_long_args = true,
    args_override_self = true
)]
struct Options {
    #[command(flatten)]
    credentials: CredentialOptions,
    #[command(flatten)]
    proxies: ProxyOptions,
    /// If true, signal success to CloudFormation; if false, signal failure
    #[arg(short, long, value_parser = ["true", "false"], default_value = "true")]
    success: String,
    /// A unique ID to send with the signal
    #[arg(short, long, allow_hyphen_values = true)]
    id: Option<String>,
    /// Derive success or failure from specified exit code
    #[arg(short, long, value_name = "EXIT_CODE", allow_hyphen_values = true)]
    exit_code: Option<i64>,
    /// The reason for success/failure
    #[arg(
        short,
        long,
        default_value = "",
        allow_hyphen_values = true,
        help_heading = "WaitConditionHandle Signal Options"
    )]
    reason: String,
    /// Data to include with the WaitCondition signal
    #[arg(
        short,
        long,
        default_value = "",
        allow_hyphen_values = true,
        help_heading = "WaitConditionHandle Signal Options"
    )]
    data: String,
    /// A CloudFormation stack
    #[arg(long, value_name = "STACK_NAME", allow_hyphen_values = true, help_heading = "Resource Signal Options")]
    stack: Option<String>,
    /// A CloudFormation logical resource ID
    #[arg(
        long,
        value_name = "LOGICAL_RESOURCE_ID",
        allow_hyphen_values = true,
        help_heading = "Resource Signal Options"
    )]
    resource: Option<String>,
    /// The CloudFormation service URL. The endpoint URL must match the region option. Use of this parameter is discouraged.
    #[arg(long, value_name = "ENDPOINT", allow_hyphen_values = true, help_heading = "Resource Signal Options")]
    url: Option<String>,
    /// The CloudFormation region
    #[arg(long, default_value = "us-east-1", allow_hyphen_values = true, help_heading = "Resource Signal Options")]
    region: String,
    /// The wait condition's handle, plain or in base64
    handle: Option<String>,
}

/// Runs the tool; its exit code.
pub(crate) fn main(system: &System, arguments: &[OsString]) -> u8 {
    let options: Options = match parse("cfn-signal", arguments) {
        Ok(options) => options,
        Err(code) => return code,
    };
    match run(system, &options) {
        Ok(said) => {
            print!("{said}");
            0
        }
        Err(message) => {
            eprintln!("{message}");
            1
        }
    }
}

fn run(system: &System, options: &Options) -> Result<String, String> {
    let handle = options.handle.as_deref().filter(|handle| !handle.is_empty());
    let http = HttpClient::new(system, options.proxies.clone());
    let service = MetadataService::new(system, &http);
    match (handle, &options.resource) {
        (Some(_), Some(_)) => {
            Err("Error: Cannot specify both a WaitConditionHandle URL and a logical resource id".to_owned())
        }
        (None, None) => Err("Error: No WaitConditionHandle URL or logical resource id specified".to_owned()),
        (Some(handle), None) => signal_handle(system, &http, &service, options, handle),
        (None, Some(resource)) => signal_resource(system, &http, &service, options, resource).map(|()| String::new()),
    }
}

fn status(options: &Options) -> &'static str {
    let is_success = options.exit_code.unwrap_or(0) == 0 && options.success == "true";
    if is_success { "SUCCESS" } else { "FAILURE" }
}

fn id(system: &System, service: &MetadataService<'_>, options: &Options) -> String {
    options.id.clone().unwrap_or_else(|| identity::unique_id(system, service))
}

fn signal_resource(
    system: &System,
    http: &HttpClient<'_>,
    service: &MetadataService<'_>,
    options: &Options,
    resource: &str,
) -> Result<(), String> {
    let stack = options.stack.as_deref().filter(|stack| !stack.is_empty());
    let stack = stack.ok_or("Error: You must specify a stack name when signaling a resource")?;
    let logs = Logs::open(system, "cfn-init.log", true);
    let credentials = credentials::named(system, service, &options.credentials)?;
    let url = options.url.as_deref();
    let remote = CloudFormation::new(system, http, service, url, &options.region, credentials);
    let id = id(system, service, options);
    remote.signal_resource(&logs.main, stack, resource, &id, status(options)).map_err(|error| error.to_string())
}

fn signal_handle(
    system: &System,
    http: &HttpClient<'_>,
    service: &MetadataService<'_>,
    options: &Options,
    handle: &str,
) -> Result<String, String> {
    let url =
        read_handle(handle).ok_or_else(|| format!("Error: Invalid WaitConditionHandle URL specified: {handle}"))?;
    let status = status(options);
    let reason = match options.reason.as_str() {
        "" if status == "FAILURE" => "Configuration failed.",
        reason => reason,
    };
    let id = id(system, service, options);
    let body = json!({"Status": status, "Reason": reason, "Data": options.data, "UniqueId": id}).to_string();
    let logs = Logs::open(system, "cfn-init.log", true);
    let put = || -> Result<(), RemoteError> {
        // The handle's signature covers an empty content type.
        let request = Request::put(&url).header("content-type", "").body(body.clone().into_bytes());
        let request = request.map_err(|error| HttpError::Invalid(format!("{url} is not a URL: {error}")))?;
        let answer = http.send(request)?;
        if answer.status.is_success() { Ok(()) } else { Err(refused_with(answer.status, &answer.text())) }
    };
    retrying(system, &logs.main, put).map_err(|error| format!("Error signaling CloudFormation: {error}"))?;
    Ok(format!("CloudFormation signaled successfully with {status}.\n"))
}

/// A handle is a URL, or a URL in base64: shells and templates are unkind to its `&`.
fn read_handle(handle: &str) -> Option<String> {
    let is_url = |text: &str| text.starts_with("http://") || text.starts_with("https://");
    if is_url(handle) {
        return Some(handle.to_owned());
    }
    let decoded = String::from_utf8(STANDARD.decode(handle.trim()).ok()?).ok()?;
    is_url(&decoded).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::Server;

    const RESOURCE: &[&str] = &["--stack", "demo", "--resource", "Group", "--region", "eu-west-1"];

    fn signal(server: &Arc<Server>, more: &[&str]) -> (u8, Vec<String>) {
        let root = tempfile::tempdir().unwrap();
        let system = System::under(root.path(), &server.environment());
        let code = main(&system, &more.iter().map(OsString::from).collect::<Vec<_>>());
        (code, server.requests())
    }

    fn with_resource(more: &[&'static str]) -> Vec<&'static str> {
        RESOURCE.iter().chain(more).copied().collect()
    }

    #[test]
    fn an_exit_code_of_zero_is_a_success_signed_by_the_instances_identity() {
        let server = Server::of_an_instance(|_| (200, "{}".into()));
        let (code, requests) = signal(&server, &with_resource(&["-e", "0"]));
        assert_eq!(code, 0);
        let request = requests.iter().find(|request| request.contains("SignalResource")).unwrap();
        assert!(
            request.starts_with(
                "GET /?Action=SignalResource&ContentType=JSON&LogicalResourceId=Group&StackName=demo&Status=SUCCESS\
                 &UniqueId=i-0123456789abcdef0&Version=2010-05-15 HTTP/1.1\r\n"
            ),
            "{request}"
        );
        assert!(request.contains(&format!("authorization: CFN_V1 {}:c2lnbmF0dXJl", STANDARD.encode("{\"a\": 1}"))));
        assert!(request.contains("accept: application/json"));
    }

    #[test]
    fn any_other_exit_code_and_false_are_failures() {
        for more in [&["-e", "7"][..], &["-e", "-1"], &["--success", "false"], &["--exit-code=1", "-s", "true"]] {
            let server = Server::of_an_instance(|_| (200, "{}".into()));
            let (code, requests) = signal(&server, &with_resource(more));
            assert_eq!(code, 0);
            assert!(requests.iter().any(|request| request.contains("Status=FAILURE")), "{more:?}");
        }
    }

    #[test]
    fn keys_that_are_named_sign_instead() {
        let server = Server::of_an_instance(|_| (200, "{}".into()));
        let keys = ["--access-key", "AKID", "--secret-key", "secret", "-i", "me"];
        let (code, requests) = signal(&server, &with_resource(&keys));
        assert_eq!(code, 0);
        let signed = requests.iter().find(|request| request.contains("SignalResource")).unwrap();
        assert!(signed.contains("UniqueId=me&"), "{signed}");
        assert!(signed.contains("AWS4-HMAC-SHA256 Credential=AKID/"), "{signed}");
        assert!(signed.contains("/eu-west-1/cloudformation/aws4_request"), "{signed}");
    }

    #[test]
    fn what_aws_refuses_is_an_exit_code_of_one() {
        let refusal = r#"{"Error": {"Code": "ValidationError", "Message": "no such stack", "Type": "Sender"}}"#;
        let server = Server::of_an_instance(move |_| (400, refusal.into()));
        let (code, requests) = signal(&server, &with_resource(&["-e", "0"]));
        assert_eq!(code, 1);
        assert_eq!(requests.iter().filter(|request| request.contains("SignalResource")).count(), 1);
    }

    #[test]
    fn a_wait_conditions_handle_gets_the_signal_as_json() {
        let server = Server::of_an_instance(|_| (200, String::new()));
        let url = format!("{}/handle?Signature=a%2Bb", server.url());
        let (code, requests) = signal(&server, &["-e", "1", "-i", "me", "-d", "data", &STANDARD.encode(&url)]);
        assert_eq!(code, 0);
        let put = requests.iter().find(|request| request.starts_with("PUT /handle?Signature=a%2Bb")).unwrap();
        let body: serde_json::Value = serde_json::from_str(put.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        let expected =
            json!({"Status": "FAILURE", "Reason": "Configuration failed.", "Data": "data", "UniqueId": "me"});
        assert_eq!(body, expected);
    }

    #[test]
    fn nothing_or_too_much_to_signal_is_an_error() {
        let server = Server::of_an_instance(|_| (200, "{}".into()));
        assert_eq!(signal(&server, &[]).0, 1);
        assert_eq!(signal(&server, &["--resource", "a"]).0, 1);
        assert_eq!(signal(&server, &["--resource", "a", "--stack", "b", "http://x"]).0, 1);
        assert_eq!(signal(&server, &["not a handle"]).0, 1);
        assert_eq!(signal(&server, &["--frobnicate"]).0, 2);
        assert_eq!(signal(&server, &["-e", "x"]).0, 2);
    }
}
