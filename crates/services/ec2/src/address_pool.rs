//! Which address comes next.
//!
//! Invariants:
//! - The first four addresses of a subnet and its last are nobody's, as on AWS.
//! - An address that was given back is given out again only when the search has gone once around: who still remembers
//!   the old holder does not meet the new one.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use host::Ids;
use store::{Scan, StoreError, Transaction, View};

use crate::cidr::Cidr;
use crate::errors::{self, Refusal};
use crate::place::Place;
use crate::rows::*;

/// What AWS keeps at the start of a subnet: the network, the router, DNS and one for later.
const KEPT_FIRST: u32 = 4;

/// Public addresses are records: nothing on the internet answers there. This network is set aside for tests of
/// equipment (RFC 2544) and never routed.
const PUBLIC: (Ipv4Addr, u8) = (Ipv4Addr::new(198, 18, 0, 0), 15);

/// How many addresses of a subnet can be given out.
pub(crate) fn capacity(cidr: Cidr) -> u64 {
    cidr.size().saturating_sub(u64::from(KEPT_FIRST) + 1)
}

/// Whether an address of a subnet can be anybody's.
pub(crate) fn is_usable(cidr: Cidr, address: Ipv4Addr) -> bool {
    cidr.offset_of(address).is_some_and(|offset| offset >= KEPT_FIRST && u64::from(offset) + 1 < cidr.size())
}

/// The first free place at or behind `from`, going around at the end.
fn next_free(cidr: Cidr, taken: &BTreeSet<Ipv4Addr>, from: u32) -> Option<u32> {
    // A VPC has at most a /16.
    let end = u32::try_from(cidr.size()).unwrap_or(u32::MAX).saturating_sub(1);
    let from = from.clamp(KEPT_FIRST, end.max(KEPT_FIRST));
    (from..end).chain(KEPT_FIRST..from.min(end)).find(|offset| !taken.contains(&cidr.at(*offset)))
}

/// Addresses of a subnet that interfaces have.
pub(crate) fn taken(view: &View<'_>, place: &Place, subnet_id: &str) -> Result<BTreeSet<Ipv4Addr>, StoreError> {
    let interfaces = view.scan(&INTERFACES, &Scan::prefix(&place.prefix()))?;
    Ok(interfaces.into_iter().filter(|row| row.value.subnet_id == subnet_id).map(|row| row.value.address).collect())
}

/// Takes an address of a subnet: this one, or the next free one.
pub(crate) fn take(
    tx: &mut Transaction<'_>,
    place: &Place,
    subnet_id: &str,
    subnet: &mut SubnetRow,
    wanted: Option<Ipv4Addr>,
) -> Result<Ipv4Addr, Refusal> {
    let taken = taken(tx, place, subnet_id)?;
    if let Some(address) = wanted {
        if !is_usable(subnet.cidr, address) {
            return Err(Refusal::InvalidValue(if subnet.cidr.offset_of(address).is_some() {
                "Address is in subnet's reserved address range".to_owned()
            } else {
                "Address does not fall within the subnet's address range".to_owned()
            }));
        }
        return if taken.contains(&address) { Err(errors::private_address_in_use(address)) } else { Ok(address) };
    }
    let offset = next_free(subnet.cidr, &taken, subnet.next_offset);
    let offset = offset.ok_or_else(|| errors::no_free_address(subnet_id))?;
    subnet.next_offset = offset + 1;
    tx.put(&SUBNETS, &place.key(subnet_id), subnet)?;
    Ok(subnet.cidr.at(offset))
}

/// A public address that nobody has, in any account.
pub(crate) fn take_public(view: &View<'_>, ids: &dyn Ids) -> Result<Ipv4Addr, Refusal> {
    let mut taken = BTreeSet::new();
    for row in view.scan(&INTERFACES, &Scan::all())? {
        taken.extend(row.value.public);
    }
    for row in view.scan(&ADDRESSES, &Scan::all())? {
        taken.insert(row.value.public);
    }
    let pool = Cidr::of(PUBLIC.0, PUBLIC.1);
    // A place by chance, so that nobody counts on the next one.
    let from = u32::try_from(ids.u64() % pool.size()).unwrap_or_default();
    let offset = next_free(pool, &taken, from).ok_or(Refusal::NoPublicAddress)?;
    Ok(pool.at(offset))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_address_is_free_inside_and_never_a_kept_one(
            prefix in 16_u8..=28,
            from in any::<u32>(),
            holes in proptest::collection::btree_set(0_u32..70_000, 0..40),
        ) {
            let cidr = Cidr::of(Ipv4Addr::new(10, 3, 0, 0), prefix);
            let taken: BTreeSet<Ipv4Addr> = holes.iter().map(|offset| cidr.at(*offset)).collect();
            let usable_taken = taken.iter().filter(|address| is_usable(cidr, **address)).count() as u64;
            match next_free(cidr, &taken, from) {
                Some(offset) => {
                    let address = cidr.at(offset);
                    prop_assert!(is_usable(cidr, address));
                    prop_assert!(!taken.contains(&address));
                }
                None => prop_assert_eq!(usable_taken, capacity(cidr)),
            }
        }

        #[test]
        fn a_subnet_gives_each_address_once_before_any_twice(prefix in 22_u8..=28, from in any::<u32>()) {
            let cidr = Cidr::of(Ipv4Addr::new(10, 3, 0, 0), prefix);
            let (mut next, mut seen) = (from, BTreeSet::new());
            // Each is given back at once: only the cursor keeps it from coming again.
            for _ in 0..capacity(cidr) {
                let offset = next_free(cidr, &BTreeSet::new(), next).unwrap();
                prop_assert!(seen.insert(offset));
                next = offset + 1;
            }
        }
    }

    #[test]
    fn the_smallest_subnet_has_eleven_addresses() {
        let cidr: Cidr = "10.0.0.16/28".parse().unwrap();
        assert_eq!(capacity(cidr), 11);
        assert_eq!(next_free(cidr, &BTreeSet::new(), 0), Some(4));
        assert!(!is_usable(cidr, "10.0.0.31".parse().unwrap()) && is_usable(cidr, "10.0.0.30".parse().unwrap()));
        let all = (4..15).map(|offset| cidr.at(offset)).collect();
        assert_eq!(next_free(cidr, &all, 9), None);
    }
}
