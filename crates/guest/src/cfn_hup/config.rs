//! `cfn-hup.conf`, `hooks.conf` and `hooks.d`: files in Python's INI form.
//!
//! Invariants:
//! - Reading is total: what is no INI file is an error with its line, never a panic.
//! - A hook that lacks something is left out with a word in the error when none is left.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::system::System;
use crate::value;

const INTERVAL_MINUTES_DEFAULT: u64 = 15;
/// A week between two looks is as good as never.
const INTERVAL_MINUTES_MAX: u64 = 7 * 24 * 60;
const UMASK_DEFAULT: u32 = 0o022;

/// What the daemon does.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Config {
    /// The stack that is watched.
    pub(super) stack: String,
    pub(super) role: Option<String>,
    pub(super) credential_file: Option<String>,
    pub(super) region: String,
    pub(super) url: Option<String>,
    /// Between two looks.
    pub(super) interval: Duration,
    pub(super) umask: u32,
    pub(super) is_verbose: bool,
    pub(super) hooks: Vec<Hook>,
}

/// What is run when something changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hook {
    /// Its section.
    pub(super) name: String,
    /// `post.add`, `post.update`, `post.remove`.
    pub(super) triggers: Vec<String>,
    /// `Resources.ID[.Metadata.path]`.
    pub(super) path: String,
    /// For the shell.
    pub(super) action: String,
    /// As which user.
    pub(super) run_as: Option<String>,
}

type Sections = BTreeMap<String, BTreeMap<String, String>>;

impl Config {
    /// Reads the files of a directory.
    pub(super) fn read(system: &System, directory: &str) -> Result<Self, String> {
        let place = system.path(directory);
        if !place.is_dir() {
            return Err(format!("Could not find configuration at {directory}"));
        }
        let main_file = place.join("cfn-hup.conf");
        let text = std::fs::read_to_string(&main_file)
            .map_err(|_| format!("Could not find main configuration at {directory}/cfn-hup.conf"))?;
        let sections = parse(&text).map_err(|error| format!("{directory}/cfn-hup.conf: {error}"))?;
        let mut hooks = Sections::new();
        let mut files = vec![place.join("hooks.conf")];
        let more = std::fs::read_dir(place.join("hooks.d")).into_iter().flatten().flatten();
        files.extend(more.map(|entry| entry.path()));
        files.sort();
        let mut has_any = false;
        for file in files {
            let Ok(text) = std::fs::read_to_string(&file) else { continue };
            has_any = true;
            let read = parse(&text).map_err(|error| format!("{}: {error}", file.display()))?;
            for (section, options) in read {
                hooks.entry(section).or_default().extend(options);
            }
        }
        if !has_any {
            return Err(format!("No hook configurations found at {directory}/hooks.conf or {directory}/hooks.d."));
        }
        Self::from_sections(&sections, &hooks)
    }

    fn from_sections(sections: &Sections, hooks: &Sections) -> Result<Self, String> {
        let empty = BTreeMap::new();
        let main = sections.get("main").unwrap_or(&empty);
        let text = |key: &str| main.get(key).cloned();
        let stack = text("stack").ok_or("[main] section must contain stack option")?;
        let minutes = match text("interval") {
            None => INTERVAL_MINUTES_DEFAULT,
            Some(written) => written
                .parse()
                .ok()
                .filter(|minutes| (1..=INTERVAL_MINUTES_MAX).contains(minutes))
                .ok_or_else(|| format!("Invalid interval (must be 1 minute or greater): {written}"))?,
        };
        let umask = match text("umask") {
            None => UMASK_DEFAULT,
            Some(written) => u32::from_str_radix(&written, 8)
                .ok()
                .filter(|umask| *umask <= 0o777)
                .ok_or_else(|| format!("Invalid octal value specified for umask in config file: {written}"))?,
        };
        let (hooks, faults): (Vec<_>, Vec<_>) =
            hooks.iter().map(|(name, options)| hook(name, options)).partition(Result::is_ok);
        let faults: Vec<String> = faults.into_iter().filter_map(Result::err).collect();
        let hooks: Vec<Hook> = hooks.into_iter().flatten().collect();
        if hooks.is_empty() {
            let faults = if faults.is_empty() { String::new() } else { format!(": {}", faults.join("; ")) };
            return Err(format!("No valid hooks found{faults}"));
        }
        for fault in faults {
            eprintln!("{fault}");
        }
        Ok(Self {
            stack,
            role: text("role"),
            credential_file: text("credential-file"),
            region: text("region").unwrap_or_else(|| "us-east-1".to_owned()),
            url: text("url"),
            interval: Duration::from_secs(minutes * 60),
            umask,
            is_verbose: text("verbose").is_some_and(|verbose| value::is_true(&serde_json::Value::String(verbose))),
            hooks,
        })
    }
}

fn hook(name: &str, options: &BTreeMap<String, String>) -> Result<Hook, String> {
    let text = |key: &str| options.get(key).cloned();
    let needed = |key: &str| text(key).ok_or_else(|| format!("No {key} specified for hook {name}"));
    let triggers: Vec<String> = needed("triggers")?.split(',').map(|trigger| trigger.trim().to_owned()).collect();
    if triggers == ["on.command"] {
        return Err(format!("hook {name}: on.command needs a service of AWS's that Millpond does not have"));
    }
    Ok(Hook {
        name: name.to_owned(),
        triggers,
        path: needed("path")?.trim().to_owned(),
        action: needed("action")?,
        run_as: text("runas").map(|user| user.trim().to_owned()),
    })
}

/// Reads sections and their options; names of options are in lower case, later ones override.
fn parse(text: &str) -> Result<Sections, String> {
    let mut sections = Sections::new();
    let mut section: Option<String> = None;
    let mut last_key: Option<String> = None;
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        let is_continued = line.starts_with([' ', '\t']);
        if let (true, Some(section), Some(key)) = (is_continued, &section, &last_key) {
            if let Some(value) = sections.get_mut(section).and_then(|options| options.get_mut(key)) {
                value.push('\n');
                value.push_str(trimmed);
            }
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            sections.entry(name.to_owned()).or_default();
            section = Some(name.to_owned());
            last_key = None;
            continue;
        }
        let split = trimmed.find(['=', ':']);
        let (Some(section), Some(at)) = (&section, split) else {
            return Err(format!("line {}: neither [section] nor name=value", number + 1));
        };
        let key = trimmed[..at].trim().to_lowercase();
        sections.entry(section.clone()).or_default().insert(key.clone(), trimmed[at + 1..].trim().to_owned());
        last_key = Some(key);
    }
    for options in sections.values_mut() {
        let plain = options.clone();
        options.values_mut().for_each(|value| *value = interpolated(value, &plain));
    }
    Ok(sections)
}

/// `%(name)s` is the section's option of that name, `%%` a percent sign.
fn interpolated(value: &str, options: &BTreeMap<String, String>) -> String {
    let mut done = String::new();
    let mut rest = value;
    while let Some(at) = rest.find('%') {
        done.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let name = after.strip_prefix('(').and_then(|inside| inside.split_once(")s"));
        rest = match (after.strip_prefix('%'), name) {
            (Some(after), _) => {
                done.push('%');
                after
            }
            (None, Some((name, after))) if options.contains_key(&name.to_lowercase()) => {
                done.push_str(&options[&name.to_lowercase()]);
                after
            }
            _ => {
                done.push('%');
                after
            }
        };
    }
    done + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn system(files: &[(&str, &str)]) -> (tempfile::TempDir, System) {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join("etc/cfn").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let system = System::under(root.path(), &[]);
        (root, system)
    }

    const HOOK: &str = "[cfn-auto-reloader-hook]\ntriggers=post.update, post.add\n\
        path=Resources.Server.Metadata.AWS::CloudFormation::Init\n\
        action=/opt/aws/bin/cfn-init -v --stack demo\n  --resource Server %%\nrunas=root\n";

    #[test]
    fn the_files_that_templates_write_are_read() {
        let main = "[main]\nstack=arn:aws:cloudformation:eu-west-1:1:stack/demo/1\nregion=eu-west-1\ninterval=1\n";
        let (_root, system) = system(&[("cfn-hup.conf", main), ("hooks.d/reload.conf", HOOK)]);
        let config = Config::read(&system, "/etc/cfn").unwrap();
        assert_eq!(config.stack, "arn:aws:cloudformation:eu-west-1:1:stack/demo/1");
        assert_eq!((config.interval.as_secs(), config.umask), (60, 0o022));
        let hook = &config.hooks[0];
        assert_eq!(hook.triggers, ["post.update", "post.add"]);
        assert_eq!(hook.path, "Resources.Server.Metadata.AWS::CloudFormation::Init");
        assert_eq!(hook.action, "/opt/aws/bin/cfn-init -v --stack demo\n--resource Server %");
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = |files: &[(&str, &str)]| {
            let (_root, system) = system(files);
            Config::read(&system, "/etc/cfn").unwrap_err()
        };
        let main = ("cfn-hup.conf", "[main]\nstack=demo\n");
        assert!(error(&[]).contains("Could not find configuration"));
        assert!(error(&[("hooks.conf", HOOK)]).contains("main configuration"));
        assert!(error(&[("cfn-hup.conf", "[main]\n"), ("hooks.conf", HOOK)]).contains("must contain stack"));
        assert!(error(&[main]).contains("No hook configurations"));
        assert!(error(&[main, ("hooks.conf", "[h]\ntriggers=post.add\n")]).contains("No path specified for hook h"));
        let command = "[h]\ntriggers=on.command\npath=x\naction=y\n";
        assert!(error(&[main, ("hooks.conf", command)]).contains("on.command"));
        assert!(error(&[("cfn-hup.conf", "[main]\nstack=a\ninterval=0\n"), ("hooks.conf", HOOK)]).contains("interval"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in r"[\[\]a-c=:%()s \n\t#]{0,80}") {
            let _ = parse(&text);
        }
    }
}
