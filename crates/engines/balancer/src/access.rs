//! Who may connect: a load balancer's access rules, as its security groups say them.
//!
//! Invariant: nobody matches an empty list, and an address matches networks of its own family only.

use std::net::IpAddr;

use crate::config::{AccessRule, IpNetwork};

/// Whether a client may reach a port. The address is a canonical one: IPv4 that came in through an IPv6 socket is IPv4.
pub(crate) fn allows(rules: &[AccessRule], client: IpAddr, port: u16) -> bool {
    rules.iter().any(|rule| (rule.first_port..=rule.last_port).contains(&port) && contains(&rule.from, client))
}

fn contains(network: &IpNetwork, address: IpAddr) -> bool {
    match (network.address, address) {
        (IpAddr::V4(network_address), IpAddr::V4(address)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(network.prefix.min(32))).unwrap_or(0);
            (network_address.to_bits() ^ address.to_bits()) & mask == 0
        }
        (IpAddr::V6(network_address), IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(network.prefix.min(128))).unwrap_or(0);
            (network_address.to_bits() ^ address.to_bits()) & mask == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(network: &str, first_port: u16, last_port: u16) -> AccessRule {
        let (address, prefix) = network.split_once('/').unwrap();
        let from = IpNetwork { address: address.parse().unwrap(), prefix: prefix.parse().unwrap() };
        AccessRule { from, first_port, last_port }
    }

    fn allowed(rules: &[AccessRule], client: &str, port: u16) -> bool {
        allows(rules, client.parse::<IpAddr>().unwrap().to_canonical(), port)
    }

    #[test]
    fn nobody_matches_an_empty_list() {
        assert!(!allowed(&[], "127.0.0.1", 80));
    }

    #[test]
    fn a_network_is_its_addresses_and_no_others() {
        let rules = [rule("10.1.2.0/23", 80, 80)];
        for (client, expected) in [
            ("10.1.2.0", true),
            ("10.1.3.255", true),
            ("10.1.4.0", false),
            ("10.1.1.255", false),
            ("::ffff:10.1.3.7", true),
            ("::10.1.3.7", false),
        ] {
            assert_eq!(allowed(&rules, client, 80), expected, "{client}");
        }
        let rules = [rule("2001:db8::/33", 80, 80)];
        for (client, expected) in
            [("2001:db8:7fff:ffff::1", true), ("2001:db8:8000::", false), ("2001:db7::", false), ("32.1.13.184", false)]
        {
            assert_eq!(allowed(&rules, client, 80), expected, "{client}");
        }
    }

    #[test]
    fn a_prefix_may_be_nothing_or_all() {
        assert!(allowed(&[rule("0.0.0.0/0", 0, 65535)], "255.255.255.255", 65535));
        assert!(!allowed(&[rule("0.0.0.0/0", 0, 65535)], "::1", 80));
        assert!(allowed(&[rule("::/0", 0, 65535)], "ffff::", 0));
        assert!(!allowed(&[rule("::/0", 0, 65535)], "::ffff:1.2.3.4", 80));
        assert!(allowed(&[rule("127.0.0.1/32", 80, 80)], "127.0.0.1", 80));
        assert!(!allowed(&[rule("127.0.0.1/32", 80, 80)], "127.0.0.2", 80));
        assert!(allowed(&[rule("::1/128", 80, 80)], "::1", 80));
        assert!(!allowed(&[rule("::1/128", 80, 80)], "::2", 80));
    }

    #[test]
    fn ports_are_a_range_with_both_ends() {
        let rules = [rule("0.0.0.0/0", 8000, 8010), rule("10.0.0.0/8", 22, 22)];
        for (port, expected) in [(7999, false), (8000, true), (8010, true), (8011, false), (22, false)] {
            assert_eq!(allowed(&rules, "192.168.0.1", port), expected, "{port}");
        }
        assert!(allowed(&rules, "10.9.9.9", 22));
    }
}
