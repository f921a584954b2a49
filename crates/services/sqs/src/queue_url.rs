//! Queue URLs: every form that SDKs and people send, and the one form that we answer with.
//!
//! Invariants:
//! - Parsing borrows from the URL and allocates nothing: it stands on the path of every message.
//! - What a URL does not say (a bare name says neither account nor region) comes from the call.
//!
//! Knows nothing of which queues exist.

use api::Call;

/// Where a URL points, as far as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueLocation<'a> {
    /// The 12 digits in the path.
    pub(crate) account: Option<&'a str>,
    /// The region in the host, or in a `/queue/REGION/…` path.
    pub(crate) region: Option<&'a str>,
    /// The queue's name, unchecked.
    pub(crate) name: &'a str,
}

/// Takes a queue URL, a path or a bare name apart; `None` when it has no such shape.
///
/// Forms: `https://sqs.REGION.amazonaws.com/ACCOUNT/NAME`, `https://REGION.queue.amazonaws.com/…`,
/// `https://queue.amazonaws.com/…` (us-east-1), `http(s)://ANY:PORT/ACCOUNT/NAME`, `…/queue/REGION/ACCOUNT/NAME`,
/// `…/queue/NAME`, `/ACCOUNT/NAME`, `NAME`.
pub(crate) fn parse(url: &str) -> Option<QueueLocation<'_>> {
    let (host, path) = match url.split_once("://") {
        Some((_scheme, rest)) => rest.split_once('/').map(|(authority, path)| (Some(authority), path))?,
        None => (None, url),
    };
    let path = path.split_once(['?', '#']).map_or(path, |(path, _)| path);
    let mut location = parse_path(path.trim_matches('/'))?;
    if location.region.is_none() {
        location.region = host.and_then(region_of_host);
    }
    Some(location)
}

/// The queue that a request's own path names; `None` at the root.
pub(crate) fn parse_request_path(path: &str) -> Option<QueueLocation<'_>> {
    let location = parse_path(path.trim_matches('/'))?;
    // A single segment is a queue only in a QueueUrl: as a request path it may be anything.
    (location.account.is_some() || path.starts_with("/queue/")).then_some(location)
}

/// The URL of a queue as this client reaches us.
pub(crate) fn render(call: &Call, account: &str, name: &str) -> String {
    let (scheme, authority) = (call.endpoint.scheme, &*call.endpoint.authority);
    let mut url = String::with_capacity(scheme.len() + authority.len() + account.len() + name.len() + 5);
    for part in [scheme, "://", authority, "/", account, "/", name] {
        url.push_str(part);
    }
    url
}

fn parse_path(path: &str) -> Option<QueueLocation<'_>> {
    let (before, name) = match path.rsplit_once('/') {
        None => (None, path),
        Some((before, name)) => (Some(before), name),
    };
    if name.is_empty() {
        return None;
    }
    let Some(before) = before else { return Some(QueueLocation { account: None, region: None, name }) };
    if before == "queue" {
        return Some(QueueLocation { account: None, region: None, name });
    }
    let (prefix, account) = match before.rsplit_once('/') {
        None => (None, before),
        Some((prefix, account)) => (Some(prefix), account),
    };
    if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let region = match prefix {
        None | Some("queue") => None,
        Some(prefix) => Some(prefix.strip_prefix("queue/").filter(|region| is_region(region))?),
    };
    Some(QueueLocation { account: Some(account), region, name })
}

/// The region that a host names: `sqs.REGION.…`, `REGION.queue.…`, or us-east-1 for `queue.amazonaws.com`.
fn region_of_host(authority: &str) -> Option<&str> {
    let host = authority.rsplit_once('@').map_or(authority, |(_user, host)| host);
    let host = host.rsplit_once(':').map_or(host, |(host, _port)| host);
    let (first, rest) = host.split_once('.')?;
    match first {
        "sqs" | "sqs-fips" => {
            let (region, base) = rest.split_once('.')?;
            // `sqs.example.com` names no region: it does so only under the domains that always carry one, or when
            // the label looks like AWS's own names.
            let always = base.ends_with("amazonaws.com") || base.ends_with("localhost") || base.contains("localstack");
            (is_region(region) && (always || looks_like_aws(region))).then_some(region)
        }
        "queue" if rest == "amazonaws.com" => Some("us-east-1"),
        region => (rest.starts_with("queue.") && is_region(region)).then_some(region),
    }
}

fn is_region(label: &str) -> bool {
    !label.is_empty() && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// `us-east-1`: letters, hyphens, a digit at the end.
fn looks_like_aws(label: &str) -> bool {
    label.contains('-') && label.ends_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "123456789012";

    fn parts(url: &str) -> Option<(Option<&str>, Option<&str>, &str)> {
        parse(url).map(|l| (l.account, l.region, l.name))
    }

    #[test]
    fn every_form_that_sdks_send_is_understood() {
        let region = Some("eu-west-1");
        let account = Some(ACCOUNT);
        for (url, expected) in [
            ("https://sqs.eu-west-1.amazonaws.com/123456789012/orders", (account, region)),
            ("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/orders", (account, Some("cn-north-1"))),
            ("https://sqs-fips.us-east-2.amazonaws.com/123456789012/orders", (account, Some("us-east-2"))),
            ("https://eu-west-1.queue.amazonaws.com/123456789012/orders", (account, region)),
            ("https://queue.amazonaws.com/123456789012/orders", (account, Some("us-east-1"))),
            ("http://localhost:4566/123456789012/orders", (account, None)),
            ("http://127.0.0.1:4566/123456789012/orders/", (account, None)),
            ("https://sqs.example.com/123456789012/orders", (account, None)),
            ("http://sqs.eu-west-1.example.com:9324/123456789012/orders", (account, region)),
            ("http://[::1]:4566/123456789012/orders", (account, None)),
            ("http://localhost:4566/queue/eu-west-1/123456789012/orders", (account, region)),
            ("http://sqs.eu-west-1.localhost.localstack.cloud:4566/123456789012/orders", (account, region)),
            ("http://eu-west-1.queue.localhost.localstack.cloud:4566/123456789012/orders", (account, region)),
            ("http://localhost:9324/queue/orders", (None, None)),
            ("/123456789012/orders", (account, None)),
            ("123456789012/orders", (account, None)),
            ("orders", (None, None)),
        ] {
            assert_eq!(parts(url), Some((expected.0, expected.1, "orders")), "{url}");
        }
    }

    #[test]
    fn what_names_no_queue_is_refused() {
        for bad in ["", "/", "http://localhost:4566", "http://localhost:4566/", "http://h/a/b/c", "http://h/123/orders"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_request_path_names_a_queue_only_with_its_account_or_after_queue() {
        assert!(parse_request_path("/").is_none());
        assert!(parse_request_path("/orders").is_none());
        assert!(parse_request_path("/123456789012/orders").is_some());
        assert!(parse_request_path("/queue/orders").is_some());
    }
}
