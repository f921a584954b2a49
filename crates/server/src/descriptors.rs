//! File descriptors, shared between the front door's connections and the load balancers'.
//!
//! Invariant: together they are promised no more than the process may open, so that neither starves the other or the disk.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::info;

/// Those that are not for connections: journals, blobs, SQLite, listeners.
const RESERVED: u64 = 512;
/// What the front door gets at least.
const FRONT_DOOR_MIN: usize = 16;

/// How many connections each may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The front door.
    pub front_door: usize,
    /// All load balancers together.
    pub balancer: usize,
}

/// Raises the limit on file descriptors as far as allowed and says how many of the wanted connections it carries.
pub fn carried(wanted: Carried) -> Carried {
    let now = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: now.maximum, maximum: now.maximum };
    let current = if setrlimit(Resource::Nofile, raised).is_ok() { now.maximum } else { now.current };
    // `None` is "unlimited".
    let Some(descriptors) = current else { return wanted };
    let carried = share(descriptors, wanted);
    if carried != wanted {
        let Carried { front_door, balancer } = carried;
        info!(front_door, balancer, descriptors, "the limit on open files carries fewer connections than allowed");
    }
    carried
}

fn share(descriptors: u64, wanted: Carried) -> Carried {
    // A connection takes a second descriptor: an object's that is read or written, or the one to the instance.
    let pairs = usize::try_from(descriptors.saturating_sub(RESERVED) / 2).unwrap_or(usize::MAX);
    if wanted.front_door.saturating_add(wanted.balancer) <= pairs {
        return wanted;
    }
    let front_door = wanted.front_door.min((pairs / 4).max(FRONT_DOOR_MIN));
    Carried { front_door, balancer: wanted.balancer.min(pairs.saturating_sub(front_door).max(FRONT_DOOR_MIN)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enough_descriptors_carry_all_that_is_wanted_and_few_are_shared() {
        let carried = |descriptors, front_door, balancer| {
            let carried = share(descriptors, Carried { front_door, balancer });
            (carried.front_door, carried.balancer)
        };
        assert_eq!(carried(1 << 20, 10_000, 100_000), (10_000, 100_000));
        assert_eq!(carried(8704, 10_000, 100_000), (1024, 3072));
        assert_eq!(carried(8704, 100, 100_000), (100, 3996));
        assert_eq!(carried(64, 10_000, 100_000), (16, 16));
    }
}
