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
const KNOWN_DOMAINS: &[&str] =
    &["localhost", "localhost.localstack.cloud", "amazonaws.com", "amazonaws.com.cn", "api.aws"];
/// Those of AWS's, below which a bucket always says `s3`.
const AWS_DOMAINS: &[&str] = &["amazonaws.com", "amazonaws.com.cn", "api.aws"];

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
    /// A load balancer: `web-1234567890.us-east-1.elb.…`.
    LoadBalancer {
        /// All of the name, in lower case.
        dns_name: String,
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
                    None => match s3::host::parse(&name, base_domains) {
                        Some(Addressing::Unmarked { .. }) | None if is_aws(&name) => (foreign_service(prefix), None),
                        addressing => read_s3(addressing),
                    },
                };
                Self { is_ours: true, names, region: region.as_deref().and_then(Region::parse) }
            }
        }
    }
}

/// The header's name, if a load balancer may have it whose name ends with one of `domains`.
pub fn load_balancer_name<'a>(header: &str, domains: impl IntoIterator<Item = &'a str>) -> Option<String> {
    const DIGITS: usize = 10;
    let name = without_port(header).trim_end_matches('.').to_ascii_lowercase();
    let prefix = domains.into_iter().find_map(|domain| name.strip_suffix(domain)?.strip_suffix('.'))?;
    let prefix = prefix.strip_prefix("dualstack.").unwrap_or(prefix);
    let (label, region) = prefix.split_once('.')?;
    let digits = label.rsplit_once('-')?.1;
    let is_one = digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit()) && !region.contains('.');
    is_one.then_some(name)
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
    let named = |label: &str| {
        // Endpoints that hold to FIPS 140 have names of their own.
        Service::of_host_label(label.strip_suffix("-fips").unwrap_or(label)).map(Names::Service)
    };
    match prefix.split_once('.') {
        None => Some((named(prefix)?, None)),
        Some((region, "queue")) => Some((Names::Service(Service::Sqs), Some(region))),
        Some((region, "ec2")) => Some((named("ec2")?, Some(region))),
        // `sqs.s3.…` is a bucket by the name of a service.
        Some((label, region)) if !region.contains('.') && !is_s3(region) => Some((named(label)?, Some(region))),
        Some(_) => None,
    }
}

fn is_s3(label: &str) -> bool {
    label == "s3" || label.starts_with("s3-")
}

fn is_aws(name: &str) -> bool {
    AWS_DOMAINS.iter().any(|domain| name.strip_suffix(domain).is_some_and(|prefix| prefix.ends_with('.')))
}

/// A service of AWS's that Millpond does not have; no bucket.
fn foreign_service(prefix: &str) -> Names {
    let label = prefix.split('.').next().unwrap_or_default();
    Names::Service(Service::Other(label.strip_suffix("-fips").unwrap_or(label).into()))
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
    fn hosts_of_aws_name_their_service_whether_it_is_here_or_not() {
        let region = |name: &str| Some(name.to_owned());
        let here = |service| Names::Service(service);
        for (header, names, expected) in [
            ("elasticloadbalancing.eu-west-1.amazonaws.com", here(Service::Elb), region("eu-west-1")),
            ("elasticloadbalancing.amazonaws.com:443", here(Service::Elb), None),
            ("ec2.us-east-1.amazonaws.com", here(Service::Ec2), region("us-east-1")),
            ("us-east-1.ec2.amazonaws.com", here(Service::Ec2), region("us-east-1")),
            ("ec2.eu-west-1.api.aws", here(Service::Ec2), region("eu-west-1")),
            ("iam.amazonaws.com", here(Service::Iam), None),
            ("sts.amazonaws.com", here(Service::Sts), None),
            ("sqs-fips.us-east-1.amazonaws.com", here(Service::Sqs), region("us-east-1")),
            ("sqs.cn-north-1.amazonaws.com.cn", here(Service::Sqs), region("cn-north-1")),
        ] {
            assert_eq!(parse(header), (true, names, expected), "{header}");
        }
        for header in
            ["dynamodb.us-east-1.amazonaws.com", "dynamodb-fips.us-east-1.amazonaws.com", "dynamodb.amazonaws.com"]
        {
            assert_eq!(parse(header), (true, here(Service::Other("dynamodb".into())), None), "{header}");
        }
    }

    #[test]
    fn every_bucket_host_of_aws_is_read() {
        for (header, bucket, region) in [
            ("s3.amazonaws.com", None, None),
            ("s3.us-east-1.amazonaws.com", None, Some("us-east-1")),
            ("s3-eu-west-1.amazonaws.com", None, Some("eu-west-1")),
            ("s3.dualstack.eu-west-1.amazonaws.com", None, Some("eu-west-1")),
            ("shop.s3.amazonaws.com", Some("shop"), None),
            ("my.shop.s3.amazonaws.com", Some("my.shop"), None),
            ("shop.s3-eu-west-1.amazonaws.com", Some("shop"), Some("eu-west-1")),
            ("shop.s3.cn-north-1.amazonaws.com.cn", Some("shop"), Some("cn-north-1")),
            ("ec2.s3.amazonaws.com", Some("ec2"), None),
        ] {
            let names = Names::S3 { bucket: bucket.map(str::to_owned) };
            assert_eq!(parse(header), (true, names, region.map(str::to_owned)), "{header}");
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
    fn a_load_balancers_name_is_told_from_a_buckets() {
        let domains = ["elb.example.com", "elb.localhost"];
        for header in [
            "web-1234567890.us-east-1.elb.localhost:4566",
            "internal-my-web-0000000001.eu-west-1.ELB.example.com",
            "dualstack.web-1234567890.us-east-1.elb.localhost.",
        ] {
            let name = load_balancer_name(header, domains).unwrap_or_else(|| panic!("{header}"));
            assert!(header.to_ascii_lowercase().starts_with(&name), "{name}");
        }
        for header in [
            "shop.elb.localhost",
            "web-123.us-east-1.elb.localhost",
            "web-1234567890.us-east-1.localhost",
            "elb.localhost",
        ] {
            assert_eq!(load_balancer_name(header, domains), None, "{header}");
        }
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
