//! Services: whether they start with the instance, and whether they run now.
//!
//! Invariants:
//! - A service restarts once when anything that it lists has changed in this config; `ensureRunning` then needs nothing.
//! - `systemd` and `sysvinit` are the same here: an instance has no init system, and [`crate::services`] does its work.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::build::{Changes, Site, attributes};
use crate::error::{BuildError, Result};
use crate::services::{Action, Services};
use crate::value;

/// Brings the services into their states.
pub(super) fn apply(site: &Site<'_>, managers: &Map<String, Value>, changes: &Changes) -> Result<()> {
    let services = Services::new(site.system);
    for (manager, entries) in managers {
        if !matches!(manager.as_str(), "sysvinit" | "systemd") {
            site.logs.main.warning(format_args!("Unsupported service manager: {manager}"));
            continue;
        }
        for (name, value) in attributes("services", manager, entries)? {
            one(site, &services, name, attributes("services", name, value)?, changes)?;
        }
    }
    Ok(())
}

fn one(
    site: &Site<'_>,
    services: &Services<'_>,
    name: &str,
    properties: &Map<String, Value>,
    changes: &Changes,
) -> Result<()> {
    let log = &site.logs.main;
    match properties.get("enabled").map(value::is_true) {
        Some(is_enabled) => {
            let word = if is_enabled { "enabled" } else { "disabled" };
            services.set_enabled(name, is_enabled).map_err(|error| {
                let verb = if is_enabled { "enable" } else { "disable" };
                BuildError::said(format!("Could not {verb} service {name}: {error}"))
            })?;
            log.info(format_args!("{word} service {name}"));
        }
        None => log.debug(format_args!("Not modifying enabled state of service {name}")),
    }
    if must_restart(properties, changes) {
        log.debug(format_args!("Restarting {name} due to change detected in dependency"));
        return act(site, services, name, Action::Restart, "restart", "Restarted");
    }
    match properties.get("ensureRunning").map(value::is_true) {
        None => log.debug(format_args!("Not modifying running state of service {name}")),
        Some(should_run) => match (should_run, services.is_running(name)) {
            (true, false) => {
                log.debug(format_args!("Starting service {name} as it is not running"));
                return act(site, services, name, Action::Start, "start", "Started");
            }
            (false, true) => {
                log.debug(format_args!("Stopping service {name} as it is running"));
                return act(site, services, name, Action::Stop, "stop", "Stopped");
            }
            _ => log.debug(format_args!("No need to modify running state of service {name}")),
        },
    }
    Ok(())
}

fn act(site: &Site<'_>, services: &Services<'_>, name: &str, action: Action, verb: &str, done: &str) -> Result<()> {
    let outcome = services.act(name, action);
    if outcome.is_success() {
        site.logs.main.info(format_args!("{done} {name} successfully"));
        return Ok(());
    }
    site.logs.main.error(format_args!("Could not {verb} service {name}; return code was {}", outcome.code));
    site.logs.main.error(format_args!("Service output: {}", outcome.output));
    Err(BuildError::said(format!("Could not {verb} {name}")))
}

/// Whether anything that the service lists has changed.
fn must_restart(properties: &Map<String, Value>, changes: &Changes) -> bool {
    let meets =
        |listed: &Value, changed: &BTreeSet<String>| value::texts(listed).iter().any(|name| changed.contains(name));
    let others = changes.others.iter();
    let by_others = others.filter_map(|(section, changed)| Some((properties.get(*section)?, changed)));
    if by_others.into_iter().any(|(listed, changed)| meets(listed, changed)) {
        return true;
    }
    let listed = properties.get("packages").and_then(Value::as_object);
    listed
        .into_iter()
        .flatten()
        .any(|(manager, packages)| changes.packages.get(manager).is_some_and(|changed| meets(packages, changed)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_restarts_when_what_it_lists_has_changed() {
        let mut changes = Changes::default();
        changes.others.insert("files", BTreeSet::from(["/etc/a".to_owned()]));
        changes.others.insert("commands", BTreeSet::from(["01".to_owned()]));
        changes.packages.insert("yum".to_owned(), BTreeSet::from(["httpd".to_owned()]));
        let restarts = |properties: Value| must_restart(properties.as_object().unwrap(), &changes);
        assert!(restarts(json!({"files": ["/etc/b", "/etc/a"]})));
        assert!(restarts(json!({"commands": ["01"]})));
        assert!(restarts(json!({"packages": {"yum": ["httpd"]}})));
        assert!(restarts(json!({"packages": {"yum": "httpd"}})));
        assert!(!restarts(json!({"packages": {"apt": ["httpd"]}, "sources": ["/etc/a"], "files": ["/etc"]})));
        assert!(!restarts(json!({})));
    }
}
