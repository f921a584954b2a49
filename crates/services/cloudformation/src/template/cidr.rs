//! Fn::Cidr: a block of addresses cut into equal ones.
//!
//! Invariant: every block that comes out lies inside the one that went in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// AWS's limit on the number of blocks.
const COUNT_MAX: u32 = 256;
/// How many bits stay for a block's own addresses where nobody says.
const CIDR_BITS_DEFAULT: u32 = 8;

/// `count` blocks of 2^`bits` addresses from the start of `block`; what is wrong, where it cannot be done.
pub(crate) fn blocks(block: &str, count: u32, bits: Option<u32>) -> Result<Vec<String>, String> {
    let malformed = || format!("cannot read {block} as an address block");
    let (address, prefix) = block.split_once('/').ok_or_else(malformed)?;
    let address: IpAddr = address.trim().parse().map_err(|_| malformed())?;
    let prefix: u32 = prefix.trim().parse().map_err(|_| malformed())?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(CIDR_BITS_DEFAULT);
    if prefix > width {
        return Err(malformed());
    }
    if !(1..=COUNT_MAX).contains(&count) {
        return Err(format!("can make from 1 to {COUNT_MAX} blocks, not {count}"));
    }
    let new_prefix = width.checked_sub(bits).filter(|new| *new >= prefix);
    let Some(new_prefix) = new_prefix else {
        return Err(format!("cannot leave {bits} bits to each block within {block}"));
    };
    let room = new_prefix - prefix;
    if room < 32 && u64::from(count) > (1u64 << room) {
        return Err(format!("cannot make {count} blocks of {bits} bits within {block}"));
    }
    Ok((0..count).map(|index| nth(address, prefix, bits, index, new_prefix)).collect())
}

fn nth(address: IpAddr, prefix: u32, bits: u32, index: u32, new_prefix: u32) -> String {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            // The block fits: checked by the caller.
            let base = (u32::from(address) & mask).wrapping_add(index.checked_shl(bits).unwrap_or(0));
            format!("{}/{new_prefix}", Ipv4Addr::from(base))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            let base = (u128::from(address) & mask).wrapping_add(u128::from(index).checked_shl(bits).unwrap_or(0));
            format!("{}/{new_prefix}", Ipv6Addr::from(base))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_follow_each_other_from_the_start() {
        let made = blocks("10.0.0.0/16", 3, Some(8)).unwrap();
        assert_eq!(made, ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"]);
        // The host part of what went in does not matter.
        assert_eq!(blocks("10.0.77.3/16", 1, None).unwrap(), ["10.0.0.0/24"]);
        assert_eq!(blocks("10.0.0.0/24", 2, Some(7)).unwrap(), ["10.0.0.0/25", "10.0.0.128/25"]);
        assert_eq!(blocks("2001:db8::/56", 2, Some(64)).unwrap(), ["2001:db8::/64", "2001:db8:0:1::/64"]);
        assert_eq!(blocks("0.0.0.0/0", 2, Some(31)).unwrap(), ["0.0.0.0/1", "128.0.0.0/1"]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (block, count, bits) in [
            ("10.0.0.0/24", 3, 7),
            ("10.0.0.0/24", 1, 9),
            ("10.0.0.0/24", 0, 4),
            ("10.0.0.0/8", 257, 4),
            ("10.0.0.0/33", 1, 4),
            ("10.0.0.0", 1, 4),
            ("ten/8", 1, 4),
            ("10.0.0.0/8", 1, 33),
        ] {
            assert!(blocks(block, count, Some(bits)).is_err(), "{block} {count} {bits}");
        }
    }
}
