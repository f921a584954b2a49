//! Building: each config's sections, in the published order, and what they changed.
//!
//! Invariant: packages, groups, users, sources, files, commands, services; the first error ends the build.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::config_sets::{self, Config};
use super::downloads::Downloads;
use super::{accounts, commands, files, packages, service_states, sources};
use crate::error::{BuildError, Result};
use crate::log::Logs;
use crate::system::System;

/// What the sections work with.
pub(super) struct Site<'a> {
    /// The instance.
    pub(super) system: &'a System,
    /// The logs.
    pub(super) logs: &'a Logs<'a>,
    /// For files and archives.
    pub(super) downloads: Downloads<'a>,
}

/// What a config has changed, which services may want to be restarted for.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// By package manager.
    pub(super) packages: BTreeMap<String, BTreeSet<String>>,
    /// `files`, `sources`, `commands`, `groups`, `users`.
    pub(super) others: BTreeMap<&'static str, BTreeSet<String>>,
}

/// Applies the configs of the sets.
pub(super) fn build(system: &System, logs: &Logs<'_>, downloads: Downloads<'_>, sets: &[&str]) -> Result<()> {
    let sets_of_configs = config_sets::configs(downloads.metadata, sets)?;
    let site = Site { system, logs, downloads };
    logs.main.info(format_args!("Running configSets: {}", sets.join(", ")));
    for (name, configs) in sets_of_configs {
        logs.main.info(format_args!("Running configSet {name}"));
        logs.commands.info("*".repeat(60));
        logs.commands.info(format_args!("ConfigSet {name}"));
        for config in configs {
            logs.main.info(format_args!("Running config {}", config.name));
            logs.commands.info("+".repeat(60));
            logs.commands.info(format_args!("Config {}", config.name));
            apply(&site, config).inspect_err(|error| {
                logs.main.error(format_args!("Error encountered during build of {}: {error}", config.name));
            })?;
        }
    }
    logs.main.info("ConfigSets completed");
    Ok(())
}

fn apply(site: &Site<'_>, config: Config<'_>) -> Result<()> {
    let mut changes = Changes::default();
    if let Some(managers) = section(site, config, "packages")? {
        changes.packages = packages::apply(site, managers)?;
    }
    type Apply = fn(&Site<'_>, &Map<String, Value>) -> Result<BTreeSet<String>>;
    let sections: [(&'static str, Apply); 5] = [
        ("groups", accounts::apply_groups),
        ("users", accounts::apply_users),
        ("sources", sources::apply),
        ("files", files::apply),
        ("commands", commands::apply),
    ];
    for (name, apply) in sections {
        if let Some(entries) = section(site, config, name)? {
            changes.others.insert(name, apply(site, entries)?);
        }
    }
    if let Some(managers) = section(site, config, "services")? {
        service_states::apply(site, managers, &changes)?;
    }
    Ok(())
}

fn section<'a>(site: &Site<'_>, config: Config<'a>, name: &str) -> Result<Option<&'a Map<String, Value>>> {
    match config.model.get(name) {
        Some(Value::Object(entries)) if !entries.is_empty() => Ok(Some(entries)),
        None | Some(Value::Null) => {
            site.logs.main.debug(format_args!("No {name} specified"));
            Ok(None)
        }
        Some(value) if crate::value::is_empty(value) => Ok(None),
        Some(_) => Err(BuildError::said(format!("{name} of config {} should be an object", config.name))),
    }
}

/// The attributes of an entry, which have to be an object.
pub(super) fn attributes<'a>(section: &str, name: &str, value: &'a Value) -> Result<&'a Map<String, Value>> {
    value.as_object().ok_or_else(|| BuildError::said(format!("{section}: {name} should be an object")))
}
