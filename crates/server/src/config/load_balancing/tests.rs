//! What of `[[zone]]`, `[dns]` and `[balancer]` is read, and what is refused, with which words.

use std::path::Path;

use super::super::{Config, ConfigError, File, Overrides, parse_file};
use super::*;

fn config(text: &str) -> Result<Config, ConfigError> {
    let file: File = parse_file(Path::new("millpond.toml"), text)?;
    Config::merge(Overrides::default(), file)
}

fn refusal(text: &str) -> String {
    config(text).unwrap_err().to_string()
}

#[test]
fn without_zones_the_region_has_three_on_loopback() {
    let config = config("region = 'eu-west-1'").unwrap().load_balancing;
    assert_eq!(config.zone_names(), ["eu-west-1a", "eu-west-1b", "eu-west-1c"]);
    assert!(config.zones.iter().all(|zone| zone.addresses.is_empty() && zone.internal_addresses.is_empty()));
    assert_eq!(config.dns_domain, "elb.localhost");
    assert!(config.dns_listen.is_empty());
    assert_eq!(config.limits, balancer::Limits::default());
}

#[test]
fn zones_names_and_limits_are_read() {
    let config = config(
        "[[zone]]\nname = 'us-east-1a'\naddresses = ['203.0.113.10', '203.0.113.10', '2001:db8::1']\n\
         internal_addresses = ['10.0.0.10']\n[[zone]]\nname = 'eu-west-1b'\n\
         [dns]\nlisten = '127.0.0.1:5300'\nzone = 'ELB.example.com.'\n\
         [balancer]\nworker_threads = 3\nsurge_queue_max = 10\nconnect_timeout_s = 0.5",
    );
    let config = config.unwrap().load_balancing;
    assert_eq!(config.zone_names(), ["us-east-1a", "eu-west-1b"]);
    let zone = &config.zones[0];
    assert_eq!(zone.addresses, ["203.0.113.10".parse::<IpAddr>().unwrap(), "2001:db8::1".parse().unwrap()]);
    assert_eq!(zone.internal_addresses, ["10.0.0.10".parse::<IpAddr>().unwrap()]);
    assert_eq!(config.dns_domain, "elb.example.com");
    assert_eq!(config.dns_listen, ["127.0.0.1:5300".parse().unwrap()]);
    assert_eq!((config.worker_threads, config.limits.surge_queue_max), (3, 10));
    assert_eq!(config.limits.connect_timeout.as_millis(), 500);
}

#[test]
fn a_zone_that_can_not_be_is_refused_by_name() {
    for (text, said) in [
        ("[[zone]]\nname = 'rack1'", "cannot use zone \"rack1\""),
        ("[[zone]]\nname = 'us-east-1'", "cannot use zone \"us-east-1\""),
        ("[[zone]]\nname = ''", "cannot use zone \"\""),
        ("[[zone]]\nname = 'us-east-1é'", "cannot use zone"),
        ("[[zone]]\nname = 'us-east-1a'\n[[zone]]\nname = 'us-east-1a'", "zone us-east-1a twice"),
        ("[[zone]]\nname = 'us-east-1a'\naddresses = ['0.0.0.0']", "cannot use address \"0.0.0.0\" in zone us-east-1a"),
        ("[[zone]]\nname = 'us-east-1a'\naddresses = ['10.0.0.1:80']", "without a port"),
        ("[[zone]]\nname = 'us-east-1a'\naddress = ['10.0.0.1']", "unknown key `address`"),
        (
            "[[zone]]\nname = 'us-east-1a'\naddresses = ['10.0.0.1']\n\
             [[zone]]\nname = 'us-east-1b'\ninternal_addresses = ['10.0.0.1']",
            "cannot use address 10.0.0.1 in zone us-east-1b: zone us-east-1a has it",
        ),
    ] {
        let sentence = refusal(text);
        assert!(sentence.contains(said), "{text}: {sentence}");
    }
    assert!(config("region = 'mars'\n[[zone]]\nname = 'marsa'").is_ok());
}

#[test]
fn dns_without_a_zone_and_limits_out_of_range_are_refused_by_name() {
    for (text, said) in [
        ("[dns]\nlisten = '127.0.0.1:53'", "dns.zone"),
        ("[dns]\nlisten = '127.0.0.1'\nzone = 'a.b'", "203.0.113.10:53"),
        ("[dns]\nzone = 'a b'", "cannot use dns.zone \"a b\""),
        ("[balancer]\nworker_threads = 0", "balancer.worker_threads"),
        ("[balancer]\nsurge_queue_max = 0", "balancer.surge_queue_max"),
        ("[balancer]\nconnect_timeout_s = 0", "balancer.connect_timeout_s"),
        ("[balancer]\nheader_bytes_max = 100000\nrequest_head_bytes_max = 65536", "balancer.header_bytes_max"),
        ("[balancer]\nthreads = 1", "unknown key `threads`"),
    ] {
        let sentence = refusal(text);
        assert!(sentence.contains(said), "{text}: {sentence}");
    }
}
