//! [`Cidr`]: a network in IPv4.
//!
//! Invariant: it has no host bits, so two are the same network exactly if they are equal.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `10.0.0.0/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct Cidr {
    first: u32,
    prefix: u8,
}

/// The text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a network such as 10.0.0.0/16")]
pub(crate) struct NoCidr;

impl Cidr {
    /// The network of this length that an address is in.
    pub(crate) fn of(address: Ipv4Addr, prefix: u8) -> Self {
        let prefix = prefix.min(32);
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        Self { first: u32::from(address) & mask, prefix }
    }

    pub(crate) fn prefix(self) -> u8 {
        self.prefix
    }

    /// The network's own address.
    pub(crate) fn address(self) -> Ipv4Addr {
        self.first.into()
    }

    /// How many addresses it has.
    pub(crate) fn size(self) -> u64 {
        1 << (32 - self.prefix)
    }

    /// The address at a place in it.
    pub(crate) fn at(self, offset: u32) -> Ipv4Addr {
        self.first.wrapping_add(offset).into()
    }

    /// Where in it an address is.
    pub(crate) fn offset_of(self, address: Ipv4Addr) -> Option<u32> {
        let offset = u32::from(address).checked_sub(self.first)?;
        (u64::from(offset) < self.size()).then_some(offset)
    }

    /// Whether all of the other lies in it.
    pub(crate) fn contains(self, other: Self) -> bool {
        self.prefix <= other.prefix && self.offset_of(other.address()).is_some()
    }

    /// Whether they share an address.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.contains(other) || other.contains(self)
    }
}

impl FromStr for Cidr {
    type Err = NoCidr;

    /// Takes host bits away, as EC2 does.
    fn from_str(text: &str) -> Result<Self, NoCidr> {
        let (address, prefix) = text.split_once('/').ok_or(NoCidr)?;
        let is_number = (1..=2).contains(&prefix.len()) && prefix.bytes().all(|digit| digit.is_ascii_digit());
        let prefix: u8 = prefix.parse().ok().filter(|prefix| is_number && *prefix <= 32).ok_or(NoCidr)?;
        Ok(Self::of(address.parse().map_err(|_| NoCidr)?, prefix))
    }
}

impl TryFrom<String> for Cidr {
    type Error = NoCidr;

    fn try_from(text: String) -> Result<Self, NoCidr> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address(), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_loses_its_host_bits() {
        assert_eq!(cidr("10.1.2.3/8").to_string(), "10.0.0.0/8");
        assert_eq!(cidr("10.1.2.3/32").size(), 1);
        assert_eq!(cidr("1.2.3.4/0").to_string(), "0.0.0.0/0");
        for bad in ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/", "10.0.0/8", "10.0.0.0/008", "::/0"] {
            assert_eq!(bad.parse::<Cidr>(), Err(NoCidr), "{bad}");
        }
    }

    #[test]
    fn a_network_contains_and_overlaps_what_shares_its_addresses() {
        let (vpc, subnet) = (cidr("10.0.0.0/16"), cidr("10.0.255.0/24"));
        assert!(vpc.contains(subnet) && !subnet.contains(vpc));
        assert!(vpc.overlaps(subnet) && subnet.overlaps(vpc));
        assert!(!vpc.overlaps(cidr("10.1.0.0/16")));
        assert!(cidr("0.0.0.0/0").contains(vpc));
        assert_eq!(subnet.offset_of("10.0.255.7".parse().unwrap()), Some(7));
        assert_eq!(subnet.offset_of("10.1.0.0".parse().unwrap()), None);
        assert_eq!(subnet.at(7), "10.0.255.7".parse::<Ipv4Addr>().unwrap());
    }
}
