//! Which bucket, if any, a Host header names.
//!
//! Invariants:
//! - Pure: a host and the base domains in, an [`Addressing`] out; whether the bucket exists is not asked.
//! - The forms are AWS's own, below `amazonaws.com`, `localhost`, `localhost.localstack.cloud` and every base domain
//!   configured: `s3`, `s3.<region>`, `s3-<region>`, `s3.dualstack.<region>`, `s3-website-<region>` and
//!   `s3-website.<region>`, each alone or below a bucket's name, which may itself hold dots.

/// Base domains that are always understood, beside the ones configured.
const BASE_DOMAINS: [&str; 4] = ["localhost.localstack.cloud", "localhost", "amazonaws.com", "amazonaws.com.cn"];

/// What a Host header says about the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// `s3.<region>.…`: an S3 host that names no bucket; the path does.
    PathStyle {
        /// The region in the host.
        region: Option<String>,
    },
    /// `<bucket>.s3.<region>.…`: the path is the object's key.
    VirtualHost {
        /// The bucket's name, in lower case.
        bucket: String,
        /// The region in the host.
        region: Option<String>,
    },
    /// `<bucket>.s3-website-<region>.…`: the bucket's website.
    Website {
        /// The bucket's name, in lower case.
        bucket: String,
        /// The region in the host.
        region: Option<String>,
    },
    /// `<bucket>.localhost`: below a base domain without saying `s3`. Hosts of other services look the same
    /// (`sqs.us-east-1.localhost`), so whoever routes asks about those first.
    Unmarked {
        /// The bucket's name, in lower case.
        bucket: String,
    },
}

/// Reads a Host header, with or without a port. `None`: the host is a base domain itself, an address, or foreign, and
/// says nothing about S3.
pub fn parse(host: &str, base_domains: &[String]) -> Option<Addressing> {
    let host = without_port(host).trim_end_matches('.').to_ascii_lowercase();
    let rest = below_a_base_domain(&host, base_domains)?;
    let labels: Vec<&str> = rest.split('.').collect();
    if labels.iter().any(|label| label.is_empty()) {
        return None;
    }
    Some(marked(&labels).unwrap_or_else(|| Addressing::Unmarked { bucket: rest.to_owned() }))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// What stands before the longest base domain that fits.
fn below_a_base_domain<'a>(host: &'a str, base_domains: &[String]) -> Option<&'a str> {
    let configured = base_domains.iter().map(|base| base.trim_matches('.'));
    BASE_DOMAINS
        .into_iter()
        .chain(configured)
        .filter(|base| !base.is_empty())
        .filter_map(|base| Some((base.len(), strip_suffix_ignoring_case(host, base)?)))
        .max_by_key(|(length, _)| *length)
        .and_then(|(_, rest)| rest.strip_suffix('.'))
        .filter(|rest| !rest.is_empty())
}

fn strip_suffix_ignoring_case<'a>(host: &'a str, suffix: &str) -> Option<&'a str> {
    let at = host.len().checked_sub(suffix.len())?;
    let (rest, end) = (host.get(..at)?, host.get(at..)?);
    (end.eq_ignore_ascii_case(suffix) && (rest.is_empty() || rest.ends_with('.'))).then_some(rest)
}

/// The labels from the right: a region, then `s3`; or both in one label.
fn marked(labels: &[&str]) -> Option<Addressing> {
    let (last, before) = labels.split_last()?;
    if let Some(region) = last.strip_prefix("s3-website-").filter(|name| is_region(name)) {
        return Some(website(before, Some(region)));
    }
    if *last == "s3-website" {
        return Some(website(before, None));
    }
    if *last == "s3" {
        return Some(rest(before, None));
    }
    if *last == "s3-external-1" {
        return Some(rest(before, Some("us-east-1")));
    }
    if let Some(region) = last.strip_prefix("s3-").filter(|name| is_region(name)) {
        return Some(rest(before, Some(region)));
    }
    if !is_region(last) {
        return None;
    }
    match before.split_last()? {
        (&"s3", bucket) => Some(rest(bucket, Some(last))),
        (&"s3-website", bucket) => Some(website(bucket, Some(last))),
        (&"dualstack", bucket) => match bucket.split_last()? {
            (&"s3", bucket) => Some(rest(bucket, Some(last))),
            _ => None,
        },
        _ => None,
    }
}

fn rest(bucket: &[&str], region: Option<&str>) -> Addressing {
    let region = region.map(str::to_owned);
    if bucket.is_empty() {
        Addressing::PathStyle { region }
    } else {
        Addressing::VirtualHost { bucket: bucket.join("."), region }
    }
}

fn website(bucket: &[&str], region: Option<&str>) -> Addressing {
    Addressing::Website { bucket: bucket.join("."), region: region.map(str::to_owned) }
}

/// A region's name as AWS forms them: words, then a number (`us-gov-west-1`). Anything looser would take parts of
/// dotted bucket names for regions.
fn is_region(label: &str) -> bool {
    let mut words = label.split('-');
    let number = words.next_back().is_some_and(|last| !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()));
    let mut count = 0;
    let all_words = words.all(|word| {
        count += 1;
        word.len() >= 2 && word.bytes().all(|b| b.is_ascii_lowercase())
    });
    number && all_words && count >= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(host: &str) -> Option<Addressing> {
        parse(host, &["cloud.example.org".to_owned()])
    }

    fn path(region: Option<&str>) -> Option<Addressing> {
        Some(Addressing::PathStyle { region: region.map(str::to_owned) })
    }

    fn bucket(bucket: &str, region: Option<&str>) -> Option<Addressing> {
        Some(Addressing::VirtualHost { bucket: bucket.to_owned(), region: region.map(str::to_owned) })
    }

    fn site(bucket: &str, region: Option<&str>) -> Option<Addressing> {
        Some(Addressing::Website { bucket: bucket.to_owned(), region: region.map(str::to_owned) })
    }

    #[test]
    fn an_s3_host_without_a_bucket_is_path_style() {
        assert_eq!(of("s3.amazonaws.com"), path(None));
        assert_eq!(of("s3.eu-west-1.amazonaws.com"), path(Some("eu-west-1")));
        assert_eq!(of("s3-us-gov-west-1.amazonaws.com:443"), path(Some("us-gov-west-1")));
        assert_eq!(of("s3.localhost.localstack.cloud:4566"), path(None));
        assert_eq!(of("S3.Cloud.Example.org."), path(None));
        assert_eq!(of("s3.dualstack.us-east-2.amazonaws.com"), path(Some("us-east-2")));
    }

    #[test]
    fn a_bucket_stands_before_the_s3_label() {
        assert_eq!(of("pictures.s3.amazonaws.com"), bucket("pictures", None));
        assert_eq!(of("pictures.s3.us-west-2.localhost:4566"), bucket("pictures", Some("us-west-2")));
        assert_eq!(of("pictures.s3-eu-central-1.amazonaws.com"), bucket("pictures", Some("eu-central-1")));
        assert_eq!(of("pictures.s3.localhost.localstack.cloud:4566"), bucket("pictures", None));
    }

    #[test]
    fn a_bucket_name_may_hold_dots_and_even_say_s3() {
        assert_eq!(of("www.example.com.s3.amazonaws.com"), bucket("www.example.com", None));
        assert_eq!(of("my.s3.bucket.s3.eu-west-1.localhost"), bucket("my.s3.bucket", Some("eu-west-1")));
    }

    #[test]
    fn both_website_forms_name_the_bucket() {
        assert_eq!(
            of("www.example.com.s3-website-us-east-1.amazonaws.com"),
            site("www.example.com", Some("us-east-1"))
        );
        assert_eq!(of("pictures.s3-website.eu-central-1.localhost:4566"), site("pictures", Some("eu-central-1")));
        assert_eq!(of("pictures.s3-website.localhost"), site("pictures", None));
    }

    #[test]
    fn a_bare_name_below_a_base_domain_may_be_a_bucket() {
        assert_eq!(of("pictures.localhost:4566"), Some(Addressing::Unmarked { bucket: "pictures".to_owned() }));
        assert_eq!(of("my.s3.bucket.localhost"), Some(Addressing::Unmarked { bucket: "my.s3.bucket".to_owned() }));
    }

    #[test]
    fn other_hosts_say_nothing() {
        for host in
            ["localhost:4566", "127.0.0.1:4566", "[::1]:4566", "example.org", "cloud.example.org", "..localhost", ""]
        {
            assert_eq!(of(host), None, "{host}");
        }
        assert_eq!(of("notlocalhost"), None);
    }
}
