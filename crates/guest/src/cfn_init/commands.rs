//! Commands, in the alphabetical order of their names.
//!
//! Invariants:
//! - A command whose test fails does not run and has not changed anything.
//! - `env` takes the place of the whole environment, as published.
//! - `waitAfterCompletion` is for Windows, which reboots; here it is noted in the log and has no effect.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::build::{Site, attributes};
use crate::error::{BuildError, Result};
use crate::log::{Level, Logs, centered};
use crate::system::{Line, Outcome, Setting, System};
use crate::value;

/// Runs the commands; the names of those that ran.
pub(super) fn apply(site: &Site<'_>, commands: &Map<String, Value>) -> Result<BTreeSet<String>> {
    let mut ran = BTreeSet::new();
    // A JSON object here is ordered by its keys.
    for (name, value) in commands {
        site.logs.main.debug(format_args!("Running command {name}"));
        let written = attributes("commands", name, value)?;
        let attributes = with_defaults(site, name, written)?;
        if run(site, name, &attributes)? {
            ran.insert(name.clone());
        }
    }
    Ok(ran)
}

/// Adds what the `defaults` command prints: attributes, which those that are written override.
fn with_defaults(site: &Site<'_>, name: &str, written: &Map<String, Value>) -> Result<Map<String, Value>> {
    let Some(command) = written.get("defaults") else { return Ok(written.clone()) };
    site.logs.main.debug(format_args!("Generating defaults for command {name}"));
    let failed = || BuildError::said(format!("Defaults script for command {name} failed"));
    let outcome = site.system.run(&line(command).ok_or_else(failed)?, &Setting::default())?;
    if !outcome.is_success() {
        site.logs.main.error(format_args!("Defaults script failed for {name}: {}", outcome.output));
        return Err(failed());
    }
    let printed: Value = serde_json::from_str(&outcome.output)
        .map_err(|error| BuildError::said(format!("Defaults script for command {name} printed no JSON: {error}")))?;
    let mut attributes = printed.as_object().cloned().unwrap_or_default();
    let mut environment = attributes.get("env").and_then(Value::as_object).cloned().unwrap_or_default();
    environment.extend(written.get("env").and_then(Value::as_object).cloned().unwrap_or_default());
    attributes.extend(written.clone());
    attributes.insert("env".to_owned(), Value::Object(environment));
    Ok(attributes)
}

fn run(site: &Site<'_>, name: &str, attributes: &Map<String, Value>) -> Result<bool> {
    let log = &site.logs.main;
    let Some(command) = attributes.get("command") else {
        log.error(format_args!("No command specified for {name}"));
        let message = format!("{name} does not specify the 'command' attribute, which is required");
        return Err(BuildError::said(message));
    };
    let setting = setting(attributes);
    if let Some(test) = attributes.get("test") {
        let test = line(test).ok_or_else(|| BuildError::said(format!("The test of {name} is no command")))?;
        let outcome = logged(site.system, site.logs, &format!("Test for Command {name}"), &test, &setting)?;
        if !outcome.is_success() {
            log.info(format_args!("Test failed with code {}", outcome.code));
            return Ok(false);
        }
        log.debug(format_args!("Test for command {name} passed"));
    }
    if attributes.contains_key("waitAfterCompletion") {
        log.debug(format_args!("waitAfterCompletion of {name} has no effect: only Windows waits for a reboot"));
    }
    let line = line(command).ok_or_else(|| BuildError::said(format!("The command of {name} is no command")))?;
    let line = as_user(line, value::text_at(attributes, "runas"));
    let outcome = logged(site.system, site.logs, &format!("Command {name}"), &line, &setting)?;
    log.debug(format_args!("Command {name} output: {}", outcome.output));
    if outcome.is_success() {
        log.info(format_args!("Command {name} succeeded"));
        return Ok(true);
    }
    log.error(format_args!("Command {name} ({}) failed", value::text(command).unwrap_or_else(|| command.to_string())));
    if attributes.get("ignoreErrors").is_some_and(value::is_true) {
        log.info("ignoreErrors set to true, continuing build");
        return Ok(true);
    }
    Err(BuildError::said(format!("Command {name} failed")))
}

/// A command as it is written: a line for the shell, or a list of words.
pub(super) fn line(value: &Value) -> Option<Line> {
    match value {
        Value::Array(words) => {
            let words: Vec<String> = words.iter().filter_map(value::text).collect();
            (!words.is_empty()).then_some(Line::Words(words))
        }
        scalar => value::text(scalar).map(Line::Shell),
    }
}

fn as_user(line: Line, user: Option<String>) -> Line {
    let Some(user) = user else { return line };
    match line {
        Line::Shell(text) => Line::Words(vec!["su".to_owned(), user, "-c".to_owned(), text]),
        Line::Words(words) => Line::Words(["su".to_owned(), user, "-c".to_owned()].into_iter().chain(words).collect()),
    }
}

fn setting(attributes: &Map<String, Value>) -> Setting {
    let environment = attributes.get("env").and_then(Value::as_object).filter(|environment| !environment.is_empty());
    let pairs = |environment: &Map<String, Value>| -> BTreeMap<String, String> {
        environment.iter().filter_map(|(name, value)| Some((name.clone(), value::text(value)?))).collect()
    };
    Setting {
        only_environment: environment.map(pairs),
        directory: value::text_at(attributes, "cwd"),
        ..Setting::default()
    }
}

/// Runs a program with its output in the log of commands.
pub(super) fn logged(system: &System, logs: &Logs<'_>, name: &str, line: &Line, setting: &Setting) -> Result<Outcome> {
    let log = &logs.commands;
    log.info("=".repeat(60));
    log.info(name);
    let outcome = system.run(line, setting).map_err(|error| BuildError::said(format!("{name}: {error}")))?;
    if !outcome.output.is_empty() {
        log.info(centered("Command Output"));
        log.output(Level::Info, &outcome.output);
        log.info("-".repeat(60));
    }
    match outcome.code {
        0 => log.info("Completed successfully."),
        code => log.error(format_args!("Exited with error code {code}")),
    }
    Ok(outcome)
}
