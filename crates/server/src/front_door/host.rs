//! The Host header: which service, bucket and region it names, and whether it is a name of ours at all.
//!
//! Invariants:
//! - A name that an outsider could point at this machine by DNS alone is [`Host::is_ours`] only when the operator has
//!   configured it; that is what stops a web page from rebinding its own name to our address.
//! - Pure: the same header gives the same answer.

use std::net::{Ipv4Addr, Ipv6Addr};

use api::Region;
use s3::host::Addressing;

use super::catalogue::Service;

/// Served besides the configured ones. Nobody outside can point these at another machine, or they are AWS's own.
const KNOWN_DOMAINS: &[&str] = &["localhost", "localhost.localstack.cloud", "amazonaws.com", "amazonaws.com.cn"];

/// What a Host header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Whether the name is an address, `localhost` and its kin, without a dot, or below a configured domain.
    pub is_ours: bool,
    /// What it names.
    pub names: Names,
    /// The region in the name.
    pub region: Option<Region>,
}

/// What a host's name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// The endpoint as a whole; the request itself says which service.
    Endpoint,
    /// A service: `ec2.us-east-1.…`, `iam.…`; for SQS `us-east-1.queue.…` and `queue.…` as well.
    Service(Service),
    /// S3: `s3.us-east-1.…` with the bucket in the path, or `shop.s3.us-east-1.…` with the bucket in the name.
    S3 {
        /// The bucket in the name.
        bucket: Option<String>,
    },
    /// A bucket's website: `shop.s3-website-us-east-1.…` or `shop.s3-website.us-east-1.…`.
    Website {
        /// The bucket's name.
        bucket: String,
    },
}

impl Host {
    /// Reads a Host header, with or without a port.
    pub fn parse(header: &str, base_domains: &[String]) -> Self {
        let name = without_port(header).trim_end_matches('.').to_ascii_lowercase();
        if is_address(&name) || (!name.is_empty() && !name.contains('.')) {
            return Self { is_ours: true, names: Names::Endpoint, region: None };
        }
        match prefix_under_a_domain(&name, base_domains) {
            None => Self { is_ours: false, names: Names::Endpoint, region: None },
            Some("") => Self { is_ours: true, names: Names::Endpoint, region: None },
            Some(prefix) => {
                let (names, region) = match read_service(prefix) {
                    Some((names, region)) => (names, region.map(str::to_owned)),
                    None => read_s3(s3::host::parse(&name, base_domains)),
                };
                Self { is_ours: true, names, region: region.as_deref().and_then(Region::parse) }
            }
        }
    }
}

fn without_port(header: &str) -> &str {
    if let Some(rest) = header.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    header.split(':').next().unwrap_or_default()
}

/// Whether `name` is an IP address; no DNS stands behind one.
fn is_address(name: &str) -> bool {
    name.parse::<Ipv4Addr>().is_ok() || name.parse::<Ipv6Addr>().is_ok()
}

/// What stands before the longest domain of ours that `name` ends with; `""` when it is the domain itself.
fn prefix_under_a_domain<'a>(name: &'a str, base_domains: &[String]) -> Option<&'a str> {
    let domains = KNOWN_DOMAINS.iter().copied().chain(base_domains.iter().map(String::as_str));
    domains
        .filter_map(|domain| {
            let prefix = name.strip_suffix(domain)?;
            if prefix.is_empty() { Some(prefix) } else { prefix.strip_suffix('.') }
        })
        .min_by_key(|prefix| prefix.len())
}

/// The services whose hosts look like a bucket's; `None` leaves the name to S3.
fn read_service(prefix: &str) -> Option<(Names, Option<&str>)> {
    let named = |label| Service::of_host_label(label).map(Names::Service);
    match prefix.split_once('.') {
        None => Some((named(prefix)?, None)),
        Some((region, "queue")) => Some((Names::Service(Service::Sqs), Some(region))),
        Some((label, region)) if !region.contains('.') => Some((named(label)?, Some(region))),
        Some(_) => None,
    }
}

fn read_s3(addressing: Option<Addressing>) -> (Names, Option<String>) {
    match addressing {
        None => (Names::Endpoint, None),
        Some(Addressing::PathStyle { region }) => (Names::S3 { bucket: None }, region),
        Some(Addressing::VirtualHost { bucket, region }) => (Names::S3 { bucket: Some(bucket) }, region),
        Some(Addressing::Unmarked { bucket }) => (Names::S3 { bucket: Some(bucket) }, None),
        Some(Addressing::Website { bucket, region }) => (Names::Website { bucket }, region),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(header: &str) -> (bool, Names, Option<String>) {
        let host = Host::parse(header, &["cloud.example.org".into()]);
        (host.is_ours, host.names, host.region.map(|region| region.to_string()))
    }

    fn website(bucket: &str) -> Names {
        Names::Website { bucket: bucket.into() }
    }

    #[test]
    fn addresses_and_plain_names_are_the_endpoint() {
        for header in ["127.0.0.1:4566", "localhost:4566", "[::1]:4566", "millpond", "10.0.0.9", "cloud.example.org:80"]
        {
            assert_eq!(parse(header), (true, Names::Endpoint, None), "{header}");
        }
    }

    #[test]
    fn a_name_that_anybody_could_point_here_is_not_ours() {
        for header in [
            "evil.example:4566",
            "example.org",
            "xcloud.example.org",
            "localhost.evil.example",
            "",
            "127.0.0.1.evil.example",
        ] {
            assert!(!parse(header).0, "{header}");
        }
    }

    #[test]
    fn every_host_form_of_sqs_is_read_with_its_region() {
        let region = |name: &str| Some(name.to_owned());
        for (header, expected) in [
            ("sqs.us-east-1.amazonaws.com", region("us-east-1")),
            ("eu-west-1.queue.amazonaws.com", region("eu-west-1")),
            ("queue.amazonaws.com", None),
            ("sqs.eu-west-1.localhost.localstack.cloud:4566", region("eu-west-1")),
            ("sqs.localhost:4566", None),
            ("SQS.EU-West-1.Cloud.Example.org", region("eu-west-1")),
        ] {
            assert_eq!(parse(header), (true, Names::Service(Service::Sqs), expected), "{header}");
        }
    }

    #[test]
    fn every_website_form_is_read_with_bucket_and_region() {
        let region = Some("us-east-1".to_owned());
        assert_eq!(parse("shop.s3-website-us-east-1.localhost:4566"), (true, website("shop"), region.clone()));
        assert_eq!(parse("shop.s3-website.us-east-1.localhost:4566"), (true, website("shop"), region.clone()));
        assert_eq!(parse("www.shop.org.s3-website-us-east-1.amazonaws.com"), (true, website("www.shop.org"), region));
        assert_eq!(parse("shop.s3-website.localhost"), (true, website("shop"), None));
    }

    #[test]
    fn bucket_hosts_are_s3s_with_or_without_a_region() {
        for (header, region) in [
            ("shop.s3.localhost:4566", None),
            ("shop.s3.eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("shop.s3-eu-west-1.cloud.example.org", Some("eu-west-1")),
            ("shop.localhost:4566", None),
        ] {
            let names = Names::S3 { bucket: Some("shop".into()) };
            assert_eq!(parse(header), (true, names, region.map(str::to_owned)), "{header}");
        }
    }
}
