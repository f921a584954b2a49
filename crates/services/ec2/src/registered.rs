//! [`Machines`]: the operator's own machines, registered as instances.
//!
//! Invariants:
//! - Works on the store alone, whether or not a server runs on it; a running server finds what changed at its next look.
//! - An address is registered once in a region of an account.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use api::{AccountId, Region};
use host::{Clock, Ids, Timestamp};
use store::{Row, Scan, Store, StoreError};

use crate::place::{Layout, OpenError, Place, is_well_formed};
use crate::rows::{MACHINES, MachineRow, TAGS, TagRow, touch};
use crate::service::new_id;
use crate::tags;

/// How many machines an account may have in a region.
pub const MACHINES_MAX: usize = 5_000;

/// A machine to register.
#[derive(Clone, Debug)]
pub struct NewMachine {
    /// Where it is reached.
    pub address: IpAddr,
    /// The zone that it is in.
    pub zone: String,
    /// What its `Name` tag says.
    pub name: Option<String>,
}

/// A registered machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// `i-…`.
    pub instance_id: String,
    /// Where it is reached.
    pub address: IpAddr,
    /// The zone that it is in.
    pub zone: String,
    /// What its `Name` tag says.
    pub name: Option<String>,
    /// When it was registered.
    pub added_at: Timestamp,
}

/// Why a machine could not be registered, listed or removed.
#[derive(Debug, thiserror::Error)]
pub enum MachinesError {
    /// The store failed.
    #[error("the store of machines failed: {0}")]
    Store(#[from] StoreError),
    /// The zone is not one of ours.
    #[error("there is no zone {zone:?}; the zones are {known}")]
    NoSuchZone {
        /// As given.
        zone: String,
        /// Those that there are.
        known: String,
    },
    /// No machine can have this address.
    #[error("{0} is not the address of one machine; give one that connections can go to")]
    Address(IpAddr),
    /// It is registered.
    #[error("{address} is registered already, as {instance_id}")]
    Registered {
        /// As given.
        address: IpAddr,
        /// Its instance.
        instance_id: String,
    },
    /// The name is too long for a tag.
    #[error("a name has at most {max} characters", max = tags::VALUE_CHARACTERS_MAX)]
    Name,
    /// There are [`MACHINES_MAX`] already.
    #[error("there are {MACHINES_MAX} machines already; remove one first (millpond instances rm)")]
    TooMany,
}

/// The registered machines. Blocks on the store.
pub struct Machines {
    store: Store,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    layout: Layout,
}

impl Machines {
    /// Machines in a store; zones as for [`Ec2Options`](crate::Ec2Options).
    ///
    /// # Errors
    /// When the zones' names can't be.
    pub fn open(
        store: Store,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        zones: Vec<String>,
        region: Region,
    ) -> Result<Self, OpenError> {
        Ok(Self { store, clock, ids, layout: Layout::new(zones, region)? })
    }

    /// Registers a machine; its instance id. Durable when this returns.
    ///
    /// # Errors
    /// When it can't be one, or the store fails.
    pub fn add(&self, account: &AccountId, machine: &NewMachine) -> Result<String, MachinesError> {
        let NewMachine { address, zone, name } = machine;
        let Some((region, _)) = self.layout.zone(zone) else {
            let known = self.layout.zone_names().collect::<Vec<_>>().join(", ");
            return Err(MachinesError::NoSuchZone { zone: zone.clone(), known });
        };
        let address = address.to_canonical();
        let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
        if address.is_unspecified() || address.is_multicast() || is_broadcast {
            return Err(MachinesError::Address(address));
        }
        if name.as_ref().is_some_and(|name| name.chars().count() > tags::VALUE_CHARACTERS_MAX) {
            return Err(MachinesError::Name);
        }
        let place = Place { account: account.clone(), region: region.clone() };
        let instance_id = new_id(&*self.ids, "i");
        let row = MachineRow { address, zone: zone.clone(), added_at_ms: self.clock.now().as_millis() };
        self.store.write(|tx| {
            let present = tx.scan(&MACHINES, &Scan::prefix(&place.prefix()).limit(MACHINES_MAX))?;
            if let Some(same) = present.iter().find(|present| present.value.address == address) {
                return Err(MachinesError::Registered { address, instance_id: id_in(&same.key).to_owned() });
            }
            if present.len() >= MACHINES_MAX {
                return Err(MachinesError::TooMany);
            }
            tx.insert(&MACHINES, &place.key(&instance_id), &row)?;
            if let Some(name) = name {
                let tag = TagRow { value: name.clone(), resource_type: "instance".to_owned() };
                tx.put(&TAGS, &tags::key(&place, &instance_id, "Name"), &tag)?;
            }
            Ok(touch(tx)?)
        })?;
        Ok(instance_id)
    }

    /// An account's machines in all regions, by region and instance id.
    ///
    /// # Errors
    /// When the store fails.
    pub fn list(&self, account: &AccountId) -> Result<Vec<Machine>, MachinesError> {
        let rows = self.store.read(|view| {
            let rows = view.scan(&MACHINES, &Scan::prefix(&format!("{account}\0")))?;
            let named = |row: Row<MachineRow>| {
                let name = view.get(&TAGS, &format!("{}\0Name", row.key))?;
                Ok::<_, StoreError>((row, name.map(|row| row.value.value)))
            };
            rows.into_iter().map(named).collect::<Result<Vec<_>, _>>()
        })?;
        let machine = |(row, name): (Row<MachineRow>, Option<String>)| Machine {
            instance_id: id_in(&row.key).to_owned(),
            address: row.value.address,
            zone: row.value.zone,
            name,
            added_at: Timestamp(row.value.added_at_ms),
        };
        Ok(rows.into_iter().map(machine).collect())
    }

    /// Removes a machine and its tags, durably; whether there was one.
    ///
    /// # Errors
    /// When the store fails.
    pub fn remove(&self, account: &AccountId, instance_id: &str) -> Result<bool, MachinesError> {
        if !is_well_formed("i", instance_id) {
            return Ok(false);
        }
        self.store.write(|tx| {
            let keys = tx.keys(&MACHINES, &Scan::prefix(&format!("{account}\0")))?;
            let Some(key) = keys.into_iter().find(|key| id_in(key) == instance_id) else { return Ok(false) };
            tx.delete_range(&TAGS, &Scan::prefix(&format!("{key}\0")))?;
            let existed = tx.delete(&MACHINES, &key)?;
            touch(tx)?;
            Ok(existed)
        })
    }
}

impl fmt::Debug for Machines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machines").field("layout", &self.layout).finish_non_exhaustive()
    }
}

/// The instance id at the end of a row's key.
pub(crate) fn id_in(key: &str) -> &str {
    key.rsplit('\0').next().unwrap_or_default()
}
