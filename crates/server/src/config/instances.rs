//! The section of the configuration that is for instances: `[instances]`.
//!
//! Invariant: without a word from the operator instances run as isolated as this machine lets them.

use serde::Deserialize;

/// Whether instances run, and how far apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum InstanceIsolation {
    /// Isolated where this process may, else plain processes.
    #[default]
    Auto,
    /// In namespaces, each with a root and a network of its own; without the privileges the start is refused.
    Privileged,
    /// Plain processes of this user, on loopback addresses.
    Unprivileged,
    /// Not at all: RunInstances is refused.
    Off,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InstancesSection {
    pub(super) isolation: Option<InstanceIsolation>,
}
