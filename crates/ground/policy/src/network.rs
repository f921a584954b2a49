//! Ranges of addresses: `203.0.113.0/24`, `2001:db8::/32`, or one address.
//!
//! Invariant: an IPv4 range holds no IPv6 address and the other way round, but for IPv4 wrapped into IPv6
//! (`::ffff:203.0.113.7`), which is what a dual-stack socket calls an IPv4 client.

use std::net::IpAddr;

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    is_v4: bool,
    bits: u128,
    mask: u128,
    prefix: u32,
}

impl Network {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix: u32 = match prefix {
            None => width,
            // `parse` would take a sign.
            Some(digits) if digits.starts_with('+') => return None,
            Some(digits) => digits.parse().ok().filter(|prefix| *prefix <= width)?,
        };
        // For IPv4 the mask's upper bits are over nothing, on both sides.
        let mask = if prefix == 0 { 0 } else { u128::MAX << (width - prefix) };
        Some(Self { is_v4: address.is_ipv4(), bits: bits_of(address) & mask, mask, prefix })
    }

    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.is_v4 && bits_of(address) & self.mask == self.bits
    }

    /// S3: ranges wider than /8 (IPv4) or /32 (IPv6) count as the public.
    pub(crate) fn is_narrow(&self) -> bool {
        self.prefix >= if self.is_v4 { 8 } else { 32 }
    }
}

/// A request's address.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(network: &str, text: &str) -> bool {
        let network = Network::parse(network).unwrap_or_else(|| panic!("{network} should be a network"));
        network.holds(address(text).expect("an address"))
    }

    #[test]
    fn a_range_holds_its_addresses_and_no_others() {
        assert!(holds("203.0.113.0/24", "203.0.113.255"));
        assert!(!holds("203.0.113.0/24", "203.0.114.0"));
        assert!(holds("203.0.113.9/24", "203.0.113.1"), "bits beyond the prefix do not count");
        assert!(holds("203.0.113.7", "203.0.113.7"));
        assert!(holds("0.0.0.0/0", "1.2.3.4"));
        assert!(holds("2001:db8:1234::/48", "2001:db8:1234:5::1"));
        assert!(!holds("2001:db8:1234::/48", "2001:db8:1235::1"));
        assert!(holds("::/0", "::1"));
    }

    #[test]
    fn ipv4_and_ipv6_are_apart_but_for_wrapped_addresses() {
        assert!(!holds("0.0.0.0/0", "::1"));
        assert!(!holds("::/0", "1.2.3.4"));
        assert!(holds("203.0.113.0/24", "::ffff:203.0.113.7"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "203.0.113.0/33", "203.0.113/24", "203.0.113.0/", "203.0.113.0/+8", "::/129", "localhost"] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
