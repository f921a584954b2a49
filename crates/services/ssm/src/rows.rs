//! Parameters as they stand in the store: what is true of all versions, and each version.
//!
//! Invariants:
//! - A parameter's row and the row of its current version are written and deleted in one transaction.
//! - Versions are consecutive; the oldest are dropped first.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use store::{Row, Scan, Table, View};

use crate::errors::Refusal;
use crate::limits::VERSIONS_MAX;

/// Parameters, by [`Place::key`].
pub(crate) const PARAMETERS: Table<ParameterRow> = Table::new("ssm_parameters");
/// Versions, by [`version_key`].
pub(crate) const VERSIONS: Table<VersionRow> = Table::new("ssm_parameter_versions");

/// Whose parameters, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) account: String,
    pub(crate) region: String,
}

impl Place {
    /// What the keys of all parameters of the place begin with.
    pub(crate) fn prefix(&self) -> String {
        format!("{}\0{}\0", self.account, self.region)
    }

    /// The key of the parameter at a path.
    pub(crate) fn key(&self, path: &str) -> String {
        self.prefix() + path
    }

    /// A parameter's ARN.
    pub(crate) fn arn(&self, path: &str) -> String {
        format!("arn:aws:ssm:{}:{}:parameter{path}", self.region, self.account)
    }
}

/// A version's key, below its parameter's.
pub(crate) fn version_key(key: &str, version: u64) -> String {
    format!("{key}\0{version:020}")
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ParameterRow {
    /// As it was made, with or without the first slash.
    pub(crate) name: String,
    /// The current version.
    pub(crate) version: u64,
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
}

/// A version of a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VersionRow {
    /// `String`, `StringList` or `SecureString`.
    pub(crate) kind: String,
    pub(crate) value: Kept,
    pub(crate) key_id: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) allowed_pattern: Option<String>,
    /// `Standard` or `Advanced`.
    pub(crate) tier: String,
    pub(crate) data_type: String,
    #[serde(default)]
    pub(crate) labels: Vec<String>,
    pub(crate) modified_ms: u64,
    /// The ARN of who wrote it.
    pub(crate) modified_by: String,
}

/// A value as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kept {
    /// As it came.
    Plain(String),
    /// Closed under the master key.
    Sealed(String),
}

/// A version and what it is a version of.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The parameter's place in the hierarchy, with its first slash.
    pub(crate) path: String,
    pub(crate) parameter: ParameterRow,
    pub(crate) number: u64,
    pub(crate) version: VersionRow,
}

/// The parameter at a path.
pub(crate) fn parameter(view: &View<'_>, place: &Place, path: &str) -> Result<Option<Row<ParameterRow>>, Refusal> {
    Ok(view.get(&PARAMETERS, &place.key(path))?)
}

/// A version of the parameter at a path.
pub(crate) fn version(
    view: &View<'_>,
    place: &Place,
    path: &str,
    number: u64,
) -> Result<Option<Row<VersionRow>>, Refusal> {
    Ok(view.get(&VERSIONS, &version_key(&place.key(path), number))?)
}

/// All versions that are kept of the parameter at a path, the oldest first.
pub(crate) fn versions(view: &View<'_>, place: &Place, path: &str) -> Result<Vec<(u64, VersionRow)>, Refusal> {
    let prefix = format!("{}\0", place.key(path));
    let rows = view.scan(&VERSIONS, &Scan::prefix(&prefix).limit(VERSIONS_MAX + 1))?;
    let number = |row: &Row<VersionRow>| row.key.get(prefix.len()..).and_then(|digits| digits.parse().ok());
    Ok(rows.into_iter().filter_map(|row| Some((number(&row)?, row.value))).collect())
}

/// The current version of the parameter at a path.
pub(crate) fn current(view: &View<'_>, place: &Place, path: &str) -> Result<Option<Found>, Refusal> {
    let Some(row) = parameter(view, place, path)? else { return Ok(None) };
    let number = row.value.version;
    let version = version(view, place, path, number)?;
    Ok(version.map(|version| Found { path: path.to_owned(), parameter: row.value, number, version: version.value }))
}
