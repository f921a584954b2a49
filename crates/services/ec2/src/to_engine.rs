//! From an instance's rows to what the engine makes it from.
//!
//! Invariant: pure, and what an instance was started from is in its own row: the same rows give the same instance.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use machines::{Image, ImageRoot, InstanceId, InstanceSpec, ResourceLimits};

use crate::engine::InstanceOptions;
use crate::instance_types;
use crate::life::on_exit;
use crate::network_interfaces::private_name;
use crate::place::Place;
use crate::rows::{InstanceRow, InterfaceRow, RootRow};

/// Processes and threads of an instance: enough for any server, too few to exhaust the machine's numbers.
const PIDS_MAX: u64 = 16_384;

/// What the engine makes an instance from.
pub(crate) fn spec(
    place: &Place,
    id: &str,
    row: &InstanceRow,
    interface: &InterfaceRow,
    options: &InstanceOptions,
) -> InstanceSpec {
    InstanceSpec {
        id: InstanceId(id.into()),
        image: Image { root: root(&row.root), layers: options.layers.clone() },
        hostname: private_name(&place.region, interface.address),
        user_data: user_data(row),
        public_keys: row.key.iter().map(|key| key.public_key.clone()).collect(),
        limits: limits(&row.instance_type),
        on_exit: on_exit(row),
        environment: options.environment.clone(),
        shutdown_grace: options.shutdown_grace,
    }
}

fn root(row: &RootRow) -> ImageRoot {
    match row {
        RootRow::Host => ImageRoot::Host,
        RootRow::Directory(directory) => ImageRoot::Directory(PathBuf::from(directory)),
    }
}

/// User data, decoded; they were checked when they came.
pub(crate) fn user_data(row: &InstanceRow) -> Option<Vec<u8>> {
    STANDARD.decode(row.user_data.as_ref()?.replace(['\n', '\r'], "")).ok()
}

fn limits(instance_type: &str) -> ResourceLimits {
    let Some(kind) = instance_types::find(instance_type) else { return ResourceLimits::default() };
    ResourceLimits {
        memory_bytes: u64::try_from(kind.memory_mib).ok().map(|mib| mib << 20),
        pids: Some(PIDS_MAX),
        cpu_millis: u64::try_from(kind.processors).ok().map(|processors| processors * 1000),
    }
}
