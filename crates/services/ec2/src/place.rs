//! Where things are: an account's part of a region, and the region's zones.
//!
//! Invariants:
//! - Ids of default things follow from account and region alone: the same on every start and every machine.
//! - A region has at most [`ZONES_MAX`] zones, because so many default subnets fit into the default VPC.

use api::{AccountId, Call, Principal, Region};
use sha2::{Digest, Sha256};

use crate::errors::Refusal;

/// Subnets of 4,096 addresses in 172.31.0.0/16.
const ZONES_MAX: usize = 16;
/// The default VPC's network, as AWS has it.
pub(crate) const VPC_CIDR: std::net::Ipv4Addr = std::net::Ipv4Addr::new(172, 31, 0, 0);
/// The length of its prefix.
pub(crate) const VPC_PREFIX: u8 = 16;

/// Why the service could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A zone's name is none.
    #[error("cannot use zone {0:?}: a zone's name has 1 to 64 characters of a-z, 0-9 and -")]
    ZoneName(String),
    /// A zone came twice.
    #[error("zone {0} is there twice; leave one out")]
    ZoneTwice(String),
    /// Too many.
    #[error("region {0} has more than {ZONES_MAX} zones; leave some out")]
    TooManyZones(Region),
}

/// A zone of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Zone {
    /// `us-east-1a`.
    pub(crate) name: String,
    /// Its place among its region's.
    pub(crate) index: usize,
}

/// All zones, and where those belong whose names don't say.
#[derive(Debug)]
pub(crate) struct Layout {
    region: Region,
    zones: Vec<(Region, Zone)>,
}

impl Layout {
    pub(crate) fn new(names: Vec<String>, region: Region) -> Result<Self, OpenError> {
        let mut zones: Vec<(Region, Zone)> = Vec::new();
        for name in names {
            // What is a region's name is a zone's as well.
            let Some(own) = Region::parse(&name) else { return Err(OpenError::ZoneName(name)) };
            let region = region_in(&own, &region).unwrap_or_else(|| region.clone());
            if zones.iter().any(|(_, zone)| zone.name == name) {
                return Err(OpenError::ZoneTwice(name));
            }
            let index = zones.iter().filter(|(of, _)| *of == region).count();
            if index == ZONES_MAX {
                return Err(OpenError::TooManyZones(region));
            }
            zones.push((region, Zone { name, index }));
        }
        Ok(Self { region, zones })
    }

    /// The zones of a region.
    pub(crate) fn zones_in(&self, region: &Region) -> impl Iterator<Item = &Zone> {
        self.zones.iter().filter(move |(of, _)| of == region).map(|(_, zone)| zone)
    }

    /// The zone of that name, with its region.
    pub(crate) fn zone(&self, name: &str) -> Option<&(Region, Zone)> {
        self.zones.iter().find(|(_, zone)| zone.name == name)
    }

    /// All zones' names.
    pub(crate) fn zone_names(&self) -> impl Iterator<Item = &str> {
        self.zones.iter().map(|(_, zone)| zone.name.as_str())
    }

    /// The regions that have zones, and Millpond's own.
    pub(crate) fn regions(&self) -> Vec<Region> {
        let mut regions: Vec<Region> = self.zones.iter().map(|(region, _)| region.clone()).collect();
        regions.push(self.region.clone());
        regions.sort();
        regions.dedup();
        regions
    }
}

/// The region that a zone's name begins with: `eu-west-1` for `eu-west-1b`. `None` for a name of the operator's own.
fn region_in(zone: &Region, own: &Region) -> Option<Region> {
    if zone.as_str().starts_with(own.as_str()) {
        return Some(own.clone());
    }
    let region = zone.as_str().strip_suffix(|last: char| last.is_ascii_lowercase())?;
    let numbered = region.rsplit_once('-').is_some_and(|(area, number)| {
        area.contains('-') && !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
    });
    if numbered { Region::parse(region) } else { None }
}

/// An account's part of a region.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) account: AccountId,
    pub(crate) region: Region,
}

impl Place {
    /// Where a call acts; refused when nobody signed it.
    pub(crate) fn of(call: &Call) -> Result<Self, Refusal> {
        match call.identity.principal {
            Principal::Anonymous => Err(Refusal::NotSigned),
            Principal::Account { .. } | Principal::Session(_) | Principal::Service { .. } => {
                Ok(Self { account: call.account().clone(), region: call.region.clone() })
            }
        }
    }

    /// What the keys of this place's rows begin with.
    pub(crate) fn prefix(&self) -> String {
        format!("{}\0{}\0", self.account, self.region)
    }

    /// The key of a row.
    pub(crate) fn key(&self, id: &str) -> String {
        format!("{}\0{}\0{id}", self.account, self.region)
    }

    /// The default VPC.
    pub(crate) fn vpc_id(&self) -> String {
        self.derived("vpc", "")
    }

    /// The default subnet of a zone.
    pub(crate) fn subnet_id(&self, zone: &str) -> String {
        self.derived("subnet", zone)
    }

    /// The default security group.
    pub(crate) fn default_group_id(&self) -> String {
        self.derived("sg", "")
    }

    /// The place that a row's key names.
    pub(crate) fn in_key(key: &str) -> Option<Self> {
        let mut parts = key.split('\0');
        Some(Self { account: AccountId::parse(parts.next()?)?, region: Region::parse(parts.next()?)? })
    }

    /// An id that follows from what it names.
    pub(crate) fn derived(&self, kind: &str, name: &str) -> String {
        let mut digest = Sha256::new();
        for part in ["millpond", kind, self.account.as_str(), self.region.as_str(), name] {
            digest.update(part.as_bytes());
            digest.update([0]);
        }
        format!("{kind}-{}", hex_17(&digest.finalize()))
    }
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The 17 hexadecimal digits that end EC2's ids, out of nine bytes.
pub(crate) fn hex_17(bytes: &[u8]) -> String {
    let mut digits: String = bytes.iter().take(9).map(|byte| format!("{byte:02x}")).collect();
    digits.truncate(17);
    digits
}

/// Whether an id has its kind's form: `i-` and 8 or 17 hexadecimal digits.
pub(crate) fn is_well_formed(kind: &str, id: &str) -> bool {
    let digits = id.strip_prefix(kind).and_then(|rest| rest.strip_prefix('-'));
    digits.is_some_and(|digits| {
        matches!(digits.len(), 8 | 17) && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(name: &str) -> Region {
        Region::parse(name).unwrap()
    }

    fn layout(zones: &[&str]) -> Result<Layout, OpenError> {
        Layout::new(zones.iter().map(|name| (*name).to_owned()).collect(), region("us-east-1"))
    }

    #[test]
    fn a_zone_belongs_to_the_region_that_its_name_begins_with() {
        let layout = layout(&["us-east-1a", "eu-west-1a", "us-east-1b", "cellar", "rack-2b"]).unwrap();
        let names = |name: &str| layout.zones_in(&region(name)).map(|zone| zone.name.clone()).collect::<Vec<_>>();
        assert_eq!(names("us-east-1"), ["us-east-1a", "us-east-1b", "cellar", "rack-2b"]);
        assert_eq!(names("eu-west-1"), ["eu-west-1a"]);
        assert_eq!(layout.regions(), [region("eu-west-1"), region("us-east-1")]);
        assert_eq!(layout.zone("us-east-1b").map(|(_, zone)| zone.index), Some(1));
    }

    #[test]
    fn zones_that_can_not_be_are_refused() {
        assert!(matches!(layout(&["a", "a"]), Err(OpenError::ZoneTwice(_))));
        assert!(matches!(layout(&["A"]), Err(OpenError::ZoneName(_))));
        let many: Vec<String> = (0..=ZONES_MAX).map(|n| format!("rack{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(layout(&many[..ZONES_MAX]).is_ok());
        assert!(matches!(layout(&many), Err(OpenError::TooManyZones(_))));
    }

    #[test]
    fn ids_of_default_things_stay_and_differ_by_account_region_and_kind() {
        let place =
            |account: &str, name: &str| Place { account: AccountId::parse(account).unwrap(), region: region(name) };
        let here = place("123456789012", "us-east-1");
        assert_eq!(here.vpc_id(), "vpc-45e0dde9c70462c49");
        assert!(is_well_formed("subnet", &here.subnet_id("us-east-1a")));
        assert_ne!(here.subnet_id("us-east-1a"), here.subnet_id("us-east-1b"));
        assert_ne!(here.vpc_id(), place("123456789013", "us-east-1").vpc_id());
        assert_ne!(here.vpc_id(), place("123456789012", "us-east-2").vpc_id());
    }

    #[test]
    fn an_id_has_eight_or_seventeen_digits() {
        for id in ["i-12345678", "i-0123456789abcdef0"] {
            assert!(is_well_formed("i", id), "{id}");
        }
        for id in ["i-", "i-1234567", "i-1234567g", "i-0123456789ABCDEF0", "sg-12345678", "12345678"] {
            assert!(!is_well_formed("i", id), "{id}");
        }
    }
}
