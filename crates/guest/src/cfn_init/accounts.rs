//! Groups and users of the operating system.
//!
//! Invariant: an account that exists is only changed as far as the metadata says; a different id is refused.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::build::{Site, attributes};
use crate::error::{BuildError, Result};
use crate::system::System;
use crate::value;

/// A line of `/etc/passwd` or `/etc/group`, read by ourselves: the C library would load modules that an image of
/// another distribution may have in another version, or not at all.
struct Entry {
    name: String,
    id: u32,
    fields: Vec<String>,
}

fn entries(system: &System, path: &str) -> Vec<Entry> {
    let text = std::fs::read_to_string(system.path(path)).unwrap_or_default();
    let entry = |line: &str| {
        let fields: Vec<String> = line.split(':').map(str::to_owned).collect();
        Some(Entry { name: fields.first()?.clone(), id: fields.get(2)?.parse().ok()?, fields })
    };
    text.lines().filter_map(entry).collect()
}

fn find(system: &System, path: &str, name: &str) -> Option<Entry> {
    entries(system, path).into_iter().find(|entry| entry.name == name)
}

/// The id of a user.
pub(super) fn user_id(system: &System, name: &str) -> Result<u32> {
    let entry = find(system, "/etc/passwd", name);
    entry.map(|entry| entry.id).ok_or_else(|| BuildError::said(format!("{name} is not a valid user name")))
}

/// The id of a group.
pub(super) fn group_id(system: &System, name: &str) -> Result<u32> {
    let entry = find(system, "/etc/group", name);
    entry.map(|entry| entry.id).ok_or_else(|| BuildError::said(format!("{name} is not a valid group name")))
}

/// Creates the groups that are missing; which those were.
pub(super) fn apply_groups(site: &Site<'_>, groups: &Map<String, Value>) -> Result<BTreeSet<String>> {
    let mut created = BTreeSet::new();
    for (name, value) in groups {
        let gid = value.as_object().and_then(|attributes| value::text_at(attributes, "gid"));
        if let Some(entry) = find(site.system, "/etc/group", name) {
            refuse_other_id("Group", "gid", name, entry.id, gid.as_deref())?;
            site.logs.main.debug(format_args!("Group {name} already exists"));
            continue;
        }
        let mut words = vec!["/usr/sbin/groupadd", "-r"];
        words.extend(gid.as_deref().map(|gid| ["-g", gid]).into_iter().flatten());
        words.push(name);
        run(site, &words, &format!("Failed to create group {name}"))?;
        site.logs.main.info(format_args!("Created group {name} successfully"));
        created.insert(name.clone());
    }
    Ok(created)
}

/// Creates or changes users; which those were.
pub(super) fn apply_users(site: &Site<'_>, users: &Map<String, Value>) -> Result<BTreeSet<String>> {
    let mut changed = BTreeSet::new();
    for (name, value) in users {
        let attributes = attributes("users", name, value)?;
        let groups = attributes.get("groups").map(value::texts).unwrap_or_default();
        let mut group_ids = BTreeSet::new();
        for group in &groups {
            group_ids.insert(group_id(site.system, group)?);
        }
        let home = value::text_at(attributes, "homeDir").filter(|home| !home.is_empty());
        let uid = value::text_at(attributes, "uid");
        let has_changed = match find(site.system, "/etc/passwd", name) {
            Some(entry) => {
                refuse_other_id("User", "uid", name, entry.id, uid.as_deref())?;
                modify(site, &entry, &group_ids, home.as_deref())?
            }
            None => {
                create(site, name, &group_ids, home.as_deref(), uid.as_deref())?;
                true
            }
        };
        if has_changed {
            changed.insert(name.clone());
        }
    }
    Ok(changed)
}

fn refuse_other_id(kind: &str, id_name: &str, name: &str, is: u32, wanted: Option<&str>) -> Result<()> {
    match wanted {
        Some(wanted) if wanted != is.to_string() => Err(BuildError::said(format!(
            "{kind} {name} exists with {id_name} {is}, but {id_name} {wanted} was requested"
        ))),
        _ => Ok(()),
    }
}

fn create(site: &Site<'_>, name: &str, groups: &BTreeSet<u32>, home: Option<&str>, uid: Option<&str>) -> Result<()> {
    let groups = joined(groups);
    let mut words = vec!["/usr/sbin/useradd", "-M", "-r", "--shell", "/sbin/nologin"];
    words.extend(home.map(|home| ["-d", home]).into_iter().flatten());
    words.extend(uid.map(|uid| ["-u", uid]).into_iter().flatten());
    if !groups.is_empty() {
        words.extend(["-G", &groups]);
    }
    words.push(name);
    run(site, &words, &format!("Failed to add user {name}"))?;
    site.logs.main.info(format_args!("Added user {name} successfully"));
    Ok(())
}

fn modify(site: &Site<'_>, user: &Entry, groups: &BTreeSet<u32>, home: Option<&str>) -> Result<bool> {
    let name = user.name.as_str();
    if groups.is_empty() && home.is_none() {
        site.logs.main.info(format_args!("No homedir or groups specified; not modifying {name}"));
        return Ok(false);
    }
    let is_member = |entry: &Entry| entry.fields.get(3).is_some_and(|members| members.split(',').any(|m| m == name));
    let current: BTreeSet<u32> =
        entries(site.system, "/etc/group").iter().filter(|entry| is_member(entry)).map(|entry| entry.id).collect();
    let joined = joined(groups);
    let mut words = vec!["/usr/sbin/usermod"];
    if !groups.is_empty() && *groups != current {
        words.extend(["-G", &joined]);
    }
    if let Some(home) = home.filter(|home| user.fields.get(5).is_none_or(|is| is != home)) {
        words.extend(["-d", home]);
    }
    if words.len() == 1 {
        site.logs.main.debug(format_args!("User {name} does not need modification"));
        return Ok(false);
    }
    words.push(name);
    run(site, &words, &format!("Failed to modify user {name}"))?;
    site.logs.main.info(format_args!("Modified user {name} successfully"));
    Ok(true)
}

fn joined(ids: &BTreeSet<u32>) -> String {
    let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
    ids.join(",")
}

fn run(site: &Site<'_>, words: &[&str], failure: &str) -> Result<()> {
    let outcome = site.system.try_run(words);
    if outcome.is_success() {
        return Ok(());
    }
    site.logs.main.error(failure);
    site.logs.main.debug(format_args!("{} output: {}", words[0], outcome.output));
    Err(BuildError::said(failure))
}
