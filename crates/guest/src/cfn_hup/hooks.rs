//! Hooks: what a path holds now, what it held before, and what is to be done about it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::config::{Config, Hook};
use crate::cloudformation::{CloudFormation, Resource};
use crate::log::Logs;
use crate::system::{Line, Setting, System};
use crate::value;

const STATE_DIRECTORY: &str = "/var/lib/cfn-hup/data";
const STATE_FILE: &str = "/var/lib/cfn-hup/data/metadata_db.json";

/// What a hook's path names.
#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    LastUpdated,
    PhysicalId,
    Metadata(&'a str),
}

/// Looks at every hook once. An error is final: the configuration can never work.
pub(super) fn process(
    system: &System,
    logs: &Logs<'_>,
    config: &Config,
    remote: &CloudFormation<'_>,
) -> Result<(), String> {
    let mut state = read_state(system);
    let mut resources: BTreeMap<String, Option<Resource>> = BTreeMap::new();
    for hook in &config.hooks {
        let (logical_id, part) = read_path(&hook.path)?;
        let resource = resources.entry(logical_id.to_owned()).or_insert_with(|| {
            let described = remote.describe_stack_resource(&logs.main, &config.stack, logical_id);
            described
                .inspect_err(|error| {
                    logs.main.error(format_args!("Exception caught while running hook {}: {error}", hook.name))
                })
                .ok()
        });
        let Some(resource) = resource else { continue };
        if resource.status.ends_with("_IN_PROGRESS") {
            let status = &resource.status;
            logs.main.debug(format_args!("Skipping resource {logical_id} as it is in status {status}"));
            continue;
        }
        let now = data(resource, &part);
        let key = format!("{}|{}", hook.name, hook.path);
        let before = state.get(&key).filter(|value| !value::is_empty(value)).cloned();
        if run(system, logs, hook, &part, before.as_ref(), now.as_ref()) {
            state.insert(key, now.unwrap_or(Value::Null));
            write_state(system, logs, &state);
        }
    }
    Ok(())
}

fn read_path(path: &str) -> Result<(&str, Part<'_>), String> {
    let mut parts = path.splitn(4, '.');
    let (first, logical_id) = (parts.next().unwrap_or_default(), parts.next());
    let logical_id = logical_id.ok_or_else(|| {
        format!(
            "Unsupported path: paths must be in the form Resources.<LogicalResourceId>(.Metadata|PhysicalResourceId)\
             (.<optional Metadata subkey>). Input: {path}"
        )
    })?;
    if !first.eq_ignore_ascii_case("resources") {
        return Err(format!("Unsupported path: only changes to Resources are supported (path: {path})"));
    }
    let part = match parts.next().map(str::to_lowercase).as_deref() {
        None => Part::LastUpdated,
        Some("metadata") => Part::Metadata(parts.next().unwrap_or_default()),
        Some("physicalresourceid") => Part::PhysicalId,
        Some(_) => {
            return Err(format!(
                "Unsupported path: only Metadata or PhysicalResourceId can be specified after LogicalResourceId (path: \
                 {path})"
            ));
        }
    };
    Ok((logical_id, part))
}

fn data(resource: &Resource, part: &Part<'_>) -> Option<Value> {
    let is_gone = resource.status == "DELETE_COMPLETE";
    let found = match part {
        Part::Metadata(path) => value::at_path(resource.metadata.as_ref()?, path).cloned(),
        _ if is_gone => None,
        Part::PhysicalId => resource.physical_id.clone().map(Value::String),
        Part::LastUpdated => Some(Value::String(resource.last_updated.clone())),
    };
    found.filter(|found| !value::is_empty(found))
}

/// Runs the hook's action if a trigger is met; whether the new state is settled.
fn run(
    system: &System,
    logs: &Logs<'_>,
    hook: &Hook,
    part: &Part<'_>,
    before: Option<&Value>,
    now: Option<&Value>,
) -> bool {
    let log = &logs.main;
    let has = |trigger: &str| hook.triggers.iter().any(|known| known == trigger);
    match (before, now) {
        (None, Some(_)) if has("post.add") => {
            log.info(format_args!("Previous state not found; action for {} will be run", hook.name));
        }
        (Some(_), None) if has("post.remove") => {
            log.info(format_args!("Path {} was removed; action for {} will be run", hook.path, hook.name));
        }
        (Some(before), Some(now)) if has("post.update") && before != now => {
            log.info(format_args!("Data has changed from previous state; action for {} will be run", hook.name));
        }
        _ => {
            log.debug(format_args!("No change in path {} for hook {}", hook.path, hook.name));
            return true;
        }
    }
    let suffix = match part {
        Part::LastUpdated => "LAST_UPDATED",
        Part::PhysicalId => "PHYSICAL_RESOURCE_ID",
        Part::Metadata(_) => "METADATA",
    };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let pairs = [("CFN_OLD_", before), ("CFN_NEW_", now)];
    let more_environment =
        pairs.iter().filter_map(|(prefix, value)| Some((format!("{prefix}{suffix}"), text((*value)?)))).collect();
    let line = match &hook.run_as {
        Some(user) => Line::words(&["su", user, "-c", &hook.action]),
        None => Line::Shell(hook.action.clone()),
    };
    log.info(format_args!("Running action for {}", hook.name));
    match system.run(&line, &Setting { more_environment, ..Setting::default() }) {
        Ok(outcome) => {
            log.debug(format_args!("Action for {} output: {}", hook.name, outcome.output));
            if !outcome.is_success() {
                let code = outcome.code;
                log.warning(format_args!("Action for {} exited with {code}; will retry on next iteration", hook.name));
            }
            outcome.is_success()
        }
        Err(error) => {
            log.warning(format_args!("Action for {} cannot be run: {error}; will retry on next iteration", hook.name));
            false
        }
    }
}

fn read_state(system: &System) -> Map<String, Value> {
    let text = std::fs::read(system.path(STATE_FILE)).unwrap_or_default();
    // A state that cannot be read is like none: every hook with post.add runs once more.
    serde_json::from_slice(&text).unwrap_or_default()
}

fn write_state(system: &System, logs: &Logs<'_>, state: &Map<String, Value>) {
    let file = system.path(STATE_FILE);
    let next = file.with_extension("json.new");
    let written = std::fs::create_dir_all(system.path(STATE_DIRECTORY))
        .and_then(|()| std::fs::write(&next, Value::Object(state.clone()).to_string()))
        .and_then(|()| std::fs::rename(&next, &file));
    if let Err(error) = written {
        logs.main.error(format_args!("cannot write {STATE_FILE}: {error}"));
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use serde_json::json;

    use super::*;
    use crate::testing::{Server, resource};

    #[test]
    fn paths_name_a_resource_and_a_part() {
        assert_eq!(read_path("Resources.A").unwrap(), ("A", Part::LastUpdated));
        assert_eq!(read_path("resources.A.Metadata").unwrap(), ("A", Part::Metadata("")));
        assert_eq!(read_path("Resources.A.Metadata.x.y").unwrap(), ("A", Part::Metadata("x.y")));
        assert_eq!(read_path("Resources.A.PhysicalResourceId").unwrap(), ("A", Part::PhysicalId));
        for wrong in ["", "Resources", "Outputs.A", "Resources.A.Properties"] {
            assert!(read_path(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_hook_runs_when_its_path_changed_and_again_when_its_action_failed() {
        let version = Arc::new(AtomicU32::new(1));
        let shown = version.clone();
        let server = Server::of_an_instance(move |_| (200, resource(&json!({"v": shown.load(Ordering::SeqCst)}))));
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("etc/cfn");
        std::fs::create_dir_all(root.path().join("var/log")).unwrap();
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("cfn-hup.conf"), "[main]\nstack=demo\n").unwrap();
        let out = root.path().join("out");
        let hook = format!(
            "[h]\ntriggers=post.add,post.update\npath=Resources.Server.Metadata.v\n\
             action=echo $CFN_OLD_METADATA-$CFN_NEW_METADATA >> {0}; test ! -e {0}.fail\n",
            out.display()
        );
        std::fs::write(directory.join("hooks.conf"), hook).unwrap();
        let system = System::under(root.path(), &server.environment());
        let look = || {
            assert_eq!(super::super::main(&system, &[OsString::from("--no-daemon")]), 0);
            std::fs::read_to_string(&out).unwrap()
        };
        assert_eq!(look(), "-1\n");
        assert_eq!(look(), "-1\n");
        version.store(2, Ordering::SeqCst);
        std::fs::write(root.path().join("out.fail"), "").unwrap();
        assert_eq!(look(), "-1\n1-2\n");
        std::fs::remove_file(root.path().join("out.fail")).unwrap();
        assert_eq!(look(), "-1\n1-2\n1-2\n");
        assert_eq!(look(), "-1\n1-2\n1-2\n");
    }
}
