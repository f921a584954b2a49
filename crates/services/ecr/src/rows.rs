//! Repositories as they stand in the store.
//!
//! Invariant: a repository is one row, with everything that is its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use store::Table;

/// Repositories, by [`Place::key`].
pub(crate) const REPOSITORIES: Table<RepositoryRow> = Table::new("ecr_repositories");

/// Whose registry, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) account: String,
    pub(crate) region: String,
}

impl Place {
    /// What the keys of all repositories of the place begin with.
    pub(crate) fn prefix(&self) -> String {
        format!("{}\0{}\0", self.account, self.region)
    }

    /// A repository's key.
    pub(crate) fn key(&self, name: &str) -> String {
        self.prefix() + name
    }

    /// A repository's ARN.
    pub(crate) fn arn(&self, name: &str) -> String {
        format!("arn:aws:ecr:{}:{}:repository/{name}", self.region, self.account)
    }
}

/// A repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RepositoryRow {
    pub(crate) name: String,
    pub(crate) created_ms: u64,
    /// `MUTABLE`, `IMMUTABLE`, or one of them `_WITH_EXCLUSION`.
    pub(crate) tag_mutability: String,
    /// Patterns of tags that are excluded from it.
    #[serde(default)]
    pub(crate) exclusions: Vec<String>,
    pub(crate) scan_on_push: bool,
    /// As it was set.
    pub(crate) policy: Option<String>,
    /// As it was put.
    pub(crate) lifecycle_policy: Option<String>,
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
}
