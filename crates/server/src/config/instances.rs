//! The section of the configuration that is for instances: `[instances]`.
//!
//! Invariant: without a word from the operator instances run as isolated as this machine lets them, and start from no
//! image that nobody registered.

use std::path::Path;

use ec2::UnknownImages;
use serde::Deserialize;

use super::{ConfigError, refuse};

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
    pub(super) unknown_images: Option<String>,
}

/// What an image id that nobody registered stands for: `refused`, `host`, or a directory with a root file system.
pub(super) fn unknown_images(given: Option<&str>) -> Result<UnknownImages, ConfigError> {
    match given {
        None | Some("refused") => Ok(UnknownImages::Refused),
        Some("host") => Ok(UnknownImages::Host),
        Some(directory) if Path::new(directory).is_dir() => match std::path::absolute(directory) {
            Ok(directory) => Ok(UnknownImages::Directory(directory)),
            Err(error) => refuse(format!("cannot use instances.unknown_images {directory:?}: {error}")),
        },
        Some(other) => refuse(format!(
            "cannot use instances.unknown_images {other:?}: write `refused`, `host`, or a directory that is there"
        )),
    }
}
