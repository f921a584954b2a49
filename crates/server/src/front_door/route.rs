//! Which service a request is for: by signature scope, target header, action and version, host, path; else S3.
//!
//! Invariants:
//! - Decided from the head alone, but for a form, whose action and version may stand in its body.
//! - A service that is not here is named as such in the protocol its client speaks; it never falls through to S3.

use std::borrow::Cow;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;

use super::catalogue::Service;
use super::host::{Host, Names};

/// A page of the front door itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnPage {
    /// `/_millpond/health` and `/_localstack/health`.
    Health,
    /// `/_millpond/reset`.
    Reset,
    /// `/metrics`.
    Metrics,
    /// `/_millpond/load-balancers`.
    LoadBalancers,
    /// `/_millpond/usage`.
    Usage,
    /// `/_millpond/ca.pem`.
    Certificate,
    /// A wait condition's URL, below `/_millpond/wait-condition/`.
    WaitCondition,
    /// Anything else below `/_millpond/`.
    Unknown,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// To the front door itself.
    Own(OwnPage),
    /// To a JSON service; `operation` is what follows the target's last dot.
    Json {
        /// The service that the target names.
        service: Service,
        /// The operation's name.
        operation: Box<str>,
    },
    /// To a Query service: a form in the body of a POST, or in the query of a GET. `None` while only the body can tell.
    Query {
        /// The service, where the head names it.
        service: Option<Service>,
    },
    /// To S3's API.
    S3,
    /// To the website of a bucket.
    Website {
        /// The bucket's name.
        bucket: String,
    },
    /// To a load balancer, by its name.
    LoadBalancer {
        /// The name.
        dns_name: String,
    },
    /// To a service that is not here and that speaks neither JSON nor Query, as far as the head tells.
    Elsewhere {
        /// Its name.
        service: Box<str>,
    },
}

/// Decides from the head.
pub fn find(parts: &Parts, host: &Host) -> Route {
    if let Names::LoadBalancer { dns_name } = &host.names {
        return Route::LoadBalancer { dns_name: dns_name.clone() };
    }
    if let Some(page) = own_page(parts, host) {
        return Route::Own(page);
    }
    if let Names::Website { bucket } = &host.names {
        return Route::Website { bucket: bucket.clone() };
    }
    let scope = scope_service(parts);
    if let Some(target) = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok()) {
        return json(target, scope);
    }
    match scope {
        Some(Service::S3) => Route::S3,
        Some(Service::Other(service)) if !is_form(parts) => Route::Elsewhere { service },
        Some(service) => Route::Query { service: Some(service) },
        None => unsigned(parts, host),
    }
}

fn own_page(parts: &Parts, host: &Host) -> Option<OwnPage> {
    if host.names != Names::Endpoint {
        return None;
    }
    match parts.uri.path() {
        "/_millpond/health" | "/_localstack/health" => Some(OwnPage::Health),
        "/_millpond/reset" => Some(OwnPage::Reset),
        "/_millpond/load-balancers" => Some(OwnPage::LoadBalancers),
        "/_millpond/usage" => Some(OwnPage::Usage),
        "/_millpond/ca.pem" => Some(OwnPage::Certificate),
        // `metrics` is a bucket's name too: who means the bucket signs, or asks for more than this path.
        "/metrics" if parts.uri.query().is_none() && parts.method == Method::GET && !is_signed(parts) => {
            Some(OwnPage::Metrics)
        }
        path if path.starts_with(cloudformation::WAIT_PATH) => Some(OwnPage::WaitCondition),
        path if path.starts_with("/_millpond/") => Some(OwnPage::Unknown),
        _ => None,
    }
}

fn json(target: &str, scope: Option<Service>) -> Route {
    let (prefix, operation) = target.rsplit_once('.').unwrap_or(("", target));
    let service = match (Service::of_target(prefix), scope) {
        (Some(service), _) => service,
        // A target that SQS does not have, sent to SQS: its own error for it is the right one.
        (None, Some(service @ (Service::Sqs | Service::Other(_)))) => service,
        (None, _) => Service::Other(prefix.split('_').next().unwrap_or_default().into()),
    };
    Route::Json { service, operation: operation.into() }
}

fn unsigned(parts: &Parts, host: &Host) -> Route {
    let query = parts.uri.query().unwrap_or_default();
    if parameter(query, "Action").is_some() || (is_form(parts) && !has_s3_subresource(query)) {
        let by_host = match &host.names {
            Names::Service(service) => Some(service.clone()),
            _ => None,
        };
        let by_version = parameter(query, "Version").and_then(|version| Service::of_version(&version));
        let by_path = || is_queue_path(parts.uri.path()).then_some(Service::Sqs);
        return Route::Query { service: by_host.or(by_version).or_else(by_path) };
    }
    match &host.names {
        Names::Service(service) => Route::Query { service: Some(service.clone()) },
        // What a person does with a queue's URL is open it; SQS has its own answer to that.
        Names::Endpoint if is_queue_path(parts.uri.path()) && query.is_empty() && parts.method == Method::GET => {
            Route::Query { service: Some(Service::Sqs) }
        }
        _ => Route::S3,
    }
}

/// The value of a form or query parameter, decoded.
pub fn parameter<'a>(form: &'a str, name: &str) -> Option<Cow<'a, str>> {
    form.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then(|| percent_decode_str(value).decode_utf8_lossy())
    })
}

/// `/123456789012/orders`, and the forms that other emulators have taught clients.
fn is_queue_path(path: &str) -> bool {
    let mut segments = path.trim_start_matches('/').split('/');
    let (first, second, more) = (segments.next().unwrap_or_default(), segments.next(), segments.next());
    match (first, second, more) {
        ("queue", Some(name), _) => !name.is_empty(),
        (account, Some(name), None) => api::AccountId::parse(account).is_some() && !name.is_empty(),
        _ => false,
    }
}

fn is_form(parts: &Parts) -> bool {
    parts.method == Method::POST
        && parts
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.as_bytes().get(..33))
            .is_some_and(|kind| kind.eq_ignore_ascii_case(b"application/x-www-form-urlencoded"))
}

/// S3's own POSTs carry one of these; curl labels whatever it posts as a form.
fn has_s3_subresource(query: &str) -> bool {
    query
        .split('&')
        .any(|pair| matches!(pair.split('=').next(), Some("delete" | "uploads" | "uploadId" | "restore" | "select")))
}

fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()
}

/// Whether anything in the head claims to be a signature.
pub fn is_signed(parts: &Parts) -> bool {
    let query = parts.uri.query().unwrap_or_default();
    parts.headers.contains_key(AUTHORIZATION)
        || parameter(query, "X-Amz-Signature").is_some()
        || (parameter(query, "Signature").is_some() && parameter(query, "AWSAccessKeyId").is_some())
}

/// The service in the scope of a SigV4 header or presigned query; SigV2 in a header can only be S3's.
fn scope_service(parts: &Parts) -> Option<Service> {
    if let Some(authorization) = authorization(&parts.headers) {
        if authorization.starts_with("AWS ") {
            return Some(Service::S3);
        }
        // Where every SDK writes it; else wherever it stands.
        let at_its_place = authorization.split_once(' ').and_then(|(_, rest)| rest.strip_prefix("Credential="));
        let credential = at_its_place.or_else(|| authorization.split("Credential=").nth(1))?;
        return service_of_credential(credential.split([',', ' ']).next()?);
    }
    let query = parts.uri.query()?;
    if let Some(credential) = parameter(query, "X-Amz-Credential") {
        return service_of_credential(&credential);
    }
    // A SigV2 presigned URL of S3; the Query services' SigV2 has an Action.
    let is_v2 = parameter(query, "Signature").is_some() && parameter(query, "AWSAccessKeyId").is_some();
    (is_v2 && parameter(query, "Action").is_none()).then_some(Service::S3)
}

/// `AKID/20260102/us-east-1/sqs/aws4_request`.
fn service_of_credential(credential: &str) -> Option<Service> {
    let mut backwards = credential.rsplit('/');
    let (_terminator, service) = (backwards.next()?, backwards.next()?);
    (!service.is_empty() && backwards.next().is_some()).then(|| Service::named(service))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: &str, uri: &str, headers: &[(&str, &str)]) -> Route {
        let mut request = http::Request::builder().method(method).uri(uri);
        let mut host = "localhost:4566";
        for (name, value) in headers {
            if *name == "host" {
                host = value;
            }
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        find(&parts, &Host::parse(host, &[]))
    }

    fn scope(service: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential=test/20260102/eu-west-1/{service}/aws4_request, SignedHeaders=host, Signature=00"
        )
    }

    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");

    #[test]
    fn the_scope_of_a_signature_decides() {
        assert_eq!(route("GET", "/", &[("authorization", &scope("s3"))]), Route::S3);
        assert_eq!(route("GET", "/123456789012/orders", &[("authorization", &scope("s3"))]), Route::S3);
        let sqs = Route::Query { service: Some(Service::Sqs) };
        assert_eq!(route("POST", "/", &[("authorization", &scope("sqs")), FORM]), sqs);
        assert_eq!(
            route("GET", "/?X-Amz-Credential=test%2F20260102%2Feu-west-1%2Fsqs%2Faws4_request&Action=X", &[]),
            sqs
        );
        assert_eq!(route("GET", "/b/k?AWSAccessKeyId=a&Signature=b&Expires=1", &[]), Route::S3);
        assert_eq!(route("PUT", "/b/k", &[("authorization", "AWS key:c2ln")]), Route::S3);
    }

    #[test]
    fn a_target_names_service_and_operation() {
        let expected = Route::Json { service: Service::Sqs, operation: "SendMessage".into() };
        assert_eq!(route("POST", "/", &[("x-amz-target", "AmazonSQS.SendMessage")]), expected);
        assert_eq!(route("POST", "/123456789012/orders", &[("x-amz-target", "AmazonSQS.SendMessage")]), expected);
    }

    #[test]
    fn a_service_that_is_not_here_is_named() {
        let json =
            route("POST", "/", &[("x-amz-target", "DynamoDB_20120810.GetItem"), ("authorization", &scope("dynamodb"))]);
        assert_eq!(json, Route::Json { service: Service::Other("dynamodb".into()), operation: "GetItem".into() });
        let unsigned = route("POST", "/", &[("x-amz-target", "DynamoDB_20120810.GetItem")]);
        assert_eq!(unsigned, Route::Json { service: Service::Other("DynamoDB".into()), operation: "GetItem".into() });
        let query = route("POST", "/", &[FORM, ("authorization", &scope("sns"))]);
        assert_eq!(query, Route::Query { service: Some(Service::Other("sns".into())) });
        let rest = route("GET", "/2015-03-31/functions", &[("authorization", &scope("lambda"))]);
        assert_eq!(rest, Route::Elsewhere { service: "lambda".into() });
        let by_version = route("GET", "/?Action=ListTopics&Version=2010-03-31", &[]);
        assert_eq!(by_version, Route::Query { service: Some(Service::Other("sns".into())) });
    }

    #[test]
    fn an_unsigned_request_goes_by_action_host_and_path() {
        let sqs = Route::Query { service: Some(Service::Sqs) };
        assert_eq!(route("GET", "/?Action=ListQueues&Version=2012-11-05", &[]), sqs);
        assert_eq!(route("POST", "/", &[FORM, ("host", "sqs.us-east-1.localhost")]), sqs);
        assert_eq!(route("POST", "/", &[FORM]), Route::Query { service: None });
        assert_eq!(route("POST", "/123456789012/orders", &[FORM]), sqs);
        assert_eq!(route("POST", "/queue/eu-west-1/123456789012/orders", &[FORM]), sqs);
        assert_eq!(route("GET", "/123456789012/orders", &[]), sqs);
        assert_eq!(route("GET", "/bucket/key", &[]), Route::S3);
        assert_eq!(route("GET", "/", &[]), Route::S3);
        assert_eq!(route("POST", "/bucket?delete", &[FORM]), Route::S3);
        assert_eq!(route("GET", "/123456789012/orders", &[("host", "shop.s3.localhost")]), Route::S3);
    }

    #[test]
    fn every_query_service_is_found_by_scope_host_and_version() {
        for (name, version, service) in [
            ("elasticloadbalancing", "2012-06-01", Service::Elb),
            ("autoscaling", "2011-01-01", Service::Autoscaling),
            ("cloudformation", "2010-05-15", Service::Cloudformation),
            ("ec2", "2016-11-15", Service::Ec2),
            ("iam", "2010-05-08", Service::Iam),
            ("sts", "2011-06-15", Service::Sts),
        ] {
            let expected = Route::Query { service: Some(service) };
            assert_eq!(route("POST", "/", &[("authorization", &scope(name)), FORM]), expected, "{name}");
            let host = format!("{name}.us-east-1.amazonaws.com");
            assert_eq!(route("POST", "/", &[FORM, ("host", &host)]), expected, "{name}");
            assert_eq!(route("GET", &format!("/?Action=X&Version={version}"), &[]), expected, "{name}");
            let v2 = format!("/?Action=X&Version={version}&AWSAccessKeyId=a&Signature=b&SignatureVersion=2");
            assert_eq!(route("GET", &v2, &[]), expected, "{name}");
        }
    }

    #[test]
    fn own_pages_never_hide_a_bucket() {
        assert_eq!(route("GET", "/_millpond/health", &[]), Route::Own(OwnPage::Health));
        assert_eq!(route("GET", "/_localstack/health", &[]), Route::Own(OwnPage::Health));
        assert_eq!(route("POST", "/_millpond/reset", &[]), Route::Own(OwnPage::Reset));
        assert_eq!(route("GET", "/metrics", &[]), Route::Own(OwnPage::Metrics));
        assert_eq!(route("GET", "/metrics", &[("authorization", &scope("s3"))]), Route::S3);
        assert_eq!(route("GET", "/metrics?list-type=2", &[]), Route::S3);
        assert_eq!(route("GET", "/metrics", &[("host", "shop.s3.localhost")]), Route::S3);
    }

    #[test]
    fn a_website_host_serves_the_website() {
        let headers = [("host", "shop.s3-website-us-east-1.localhost:4566")];
        assert_eq!(route("GET", "/", &headers), Route::Website { bucket: "shop".into() });
    }
}
