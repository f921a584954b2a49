//! `#cloud-config`: the modules that people use, as tasks.
//!
//! Invariants:
//! - A module that is not here is named on the console, never passed over in silence.
//! - Everything becomes a program with arguments or a file; no value is pasted into a shell's command.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use saphyr::{LoadableYamlNode as _, Yaml};

use super::{SCRIPTS, Stages, shell, write};
use crate::boot::Task;

/// Installs what follows with whichever package manager the image has.
pub(super) const INSTALL: &str = r#"if command -v yum >/dev/null; then exec yum -y install "$@"
elif command -v dnf >/dev/null; then exec dnf -y install "$@"
elif command -v apt-get >/dev/null; then apt-get -q update; DEBIAN_FRONTEND=noninteractive exec apt-get -q -y install "$@"
elif command -v apk >/dev/null; then exec apk add "$@"
else echo "no package manager that is known: yum, dnf, apt-get, apk" >&2; exit 1; fi"#;
const UPDATE: &str = "if command -v yum >/dev/null; then exec yum -y makecache; else exec apt-get -q update; fi";
const UPGRADE: &str = "if command -v yum >/dev/null; then exec yum -y update; \
    else DEBIAN_FRONTEND=noninteractive exec apt-get -q -y upgrade; fi";

pub(super) fn read(stages: &mut Stages, content: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(content).map_err(|_| "not UTF-8")?;
    let documents = Yaml::load_from_str(text).map_err(|error| error.to_string())?;
    let Some(document) = documents.first() else { return Ok(()) };
    let Some(modules) = document.as_mapping() else { return Err("not a mapping".into()) };
    for (name, value) in modules {
        let name = scalar(name).unwrap_or_default();
        if let Err(why) = module(stages, &name, value) {
            stages.say(&format!("#cloud-config: {name}: {why}"));
        }
    }
    Ok(())
}

fn module(stages: &mut Stages, name: &str, value: &Yaml<'_>) -> Result<(), &'static str> {
    match name {
        "bootcmd" => {
            for command in commands(value)? {
                stages.each_boot.push(command);
            }
        }
        "runcmd" => runcmd(stages, value)?,
        "write_files" => {
            for file in value.as_sequence().ok_or("not a list")? {
                let task = write_file(&stages.base, file)?;
                stages.files.push(task);
            }
        }
        "packages" => packages(stages, value)?,
        "package_update" | "apt_update" if value.as_bool() == Some(true) => {
            stages.packages.insert(0, shell(UPDATE, &[]))
        }
        "package_upgrade" | "apt_upgrade" if value.as_bool() == Some(true) => stages.packages.push(shell(UPGRADE, &[])),
        "hostname" | "fqdn" => hostname(stages, &scalar(value).ok_or("not a name")?),
        "users" => {
            for user in value.as_sequence().ok_or("not a list")? {
                add_user(stages, user)?;
            }
        }
        "groups" => {
            for group in strings(value)? {
                stages.users.push(shell("getent group \"$1\" >/dev/null || groupadd \"$1\"", &[group]));
            }
        }
        "ssh_authorized_keys" => {
            let keys = strings(value)?;
            stages.users.push(authorize("root", &keys));
        }
        "timezone" => {
            let zone = scalar(value).ok_or("not a name")?;
            let script = r#"ln -sf "/usr/share/zoneinfo/$1" /etc/localtime && echo "$1" >/etc/timezone"#;
            stages.users.push(shell(script, &[zone]));
        }
        // True or false, they change nothing here: there is no other way to do it.
        "package_update"
        | "package_upgrade"
        | "apt_update"
        | "apt_upgrade"
        | "preserve_hostname"
        | "manage_etc_hosts"
        | "repo_update"
        | "repo_upgrade"
        | "disable_root"
        | "ssh_pwauth"
        | "output"
        | "cloud_final_modules"
        | "cloud_config_modules"
        | "cloud_init_modules" => {}
        _ => return Err("no such module here"),
    }
    Ok(())
}

/// A string is a shell's command, a list a program with its arguments.
fn commands(value: &Yaml<'_>) -> Result<Vec<Task>, &'static str> {
    let list = value.as_sequence().ok_or("not a list")?;
    list.iter()
        .map(|command| match scalar(command) {
            Some(line) => Ok(shell(&line, &[])),
            None => Ok(Task::Run { argv: strings(command)?, counts: false }),
        })
        .collect()
}

/// One script of all commands, as cloud-init makes it: the shell's state goes from one to the next.
fn runcmd(stages: &mut Stages, value: &Yaml<'_>) -> Result<(), &'static str> {
    let mut script = "#!/bin/sh\n".to_owned();
    for command in value.as_sequence().ok_or("not a list")? {
        match scalar(command) {
            Some(line) => script.push_str(&line),
            None => {
                let words: Vec<String> = strings(command)?.iter().map(|word| quoted(word)).collect();
                script.push_str(&words.join(" "));
            }
        }
        script.push('\n');
    }
    let path = format!("{}{SCRIPTS}/runcmd", stages.base);
    stages.runcmd.push(write(&path, script.into_bytes(), 0o700));
    stages.runcmd.push(Task::Run { argv: vec![path], counts: true });
    Ok(())
}

fn write_file(base: &str, file: &Yaml<'_>) -> Result<Task, &'static str> {
    let path = file.as_mapping_get("path").and_then(scalar).ok_or("a file without a path")?;
    let path = format!("{base}{path}");
    let content = file.as_mapping_get("content").and_then(scalar).unwrap_or_default();
    let encoding = file.as_mapping_get("encoding").and_then(scalar).unwrap_or_default();
    let content = match encoding.as_str() {
        "" | "text/plain" => content.into_bytes(),
        "b64" | "base64" => {
            let packed: String = content.chars().filter(|char| !char.is_whitespace()).collect();
            STANDARD.decode(packed).map_err(|_| "a content that is no base64")?
        }
        _ => return Err("an encoding other than base64"),
    };
    let mode = match file.as_mapping_get("permissions").and_then(scalar) {
        None => 0o644,
        Some(mode) => {
            u32::from_str_radix(mode.trim_start_matches("0o"), 8).map_err(|_| "permissions that are no octal number")?
        }
    };
    let owner = file.as_mapping_get("owner").and_then(scalar).unwrap_or_default();
    let append = file.as_mapping_get("append").and_then(Yaml::as_bool).unwrap_or(false);
    Ok(Task::Write { path, content, mode: mode & 0o7777, owner, append })
}

fn packages(stages: &mut Stages, value: &Yaml<'_>) -> Result<(), &'static str> {
    let mut names = Vec::new();
    for package in value.as_sequence().ok_or("not a list")? {
        // [name, version] is the other form; the version is the manager's own matter.
        names.push(match scalar(package) {
            Some(name) => name,
            None => strings(package)?.first().cloned().ok_or("a package without a name")?,
        });
    }
    if !names.is_empty() {
        stages.packages.push(shell(INSTALL, &names));
    }
    Ok(())
}

fn hostname(stages: &mut Stages, name: &str) {
    // The kernel's own name is set by the first process; this one is for those who read the file.
    stages.files.push(write(&format!("{}/etc/hostname", stages.base), format!("{name}\n").into_bytes(), 0o644));
    stages.files.push(Task::Hostname(name.to_owned()));
}

fn add_user(stages: &mut Stages, user: &Yaml<'_>) -> Result<(), &'static str> {
    if let Some(name) = scalar(user) {
        return if name == "default" { Ok(()) } else { Err("a user that is not a mapping") };
    }
    let text = |key| user.as_mapping_get(key).and_then(scalar);
    let name = text("name").ok_or("a user without a name")?;
    let mut argv = vec!["useradd".to_owned(), "--create-home".to_owned()];
    for (key, option) in [
        ("shell", "--shell"),
        ("gecos", "--comment"),
        ("homedir", "--home-dir"),
        ("uid", "--uid"),
        ("primary_group", "--gid"),
    ] {
        if let Some(value) = text(key) {
            argv.extend([option.to_owned(), value]);
        }
    }
    if let Some(groups) = user.as_mapping_get("groups") {
        argv.extend(["--groups".to_owned(), strings(groups)?.join(",")]);
    }
    if user.as_mapping_get("system").and_then(Yaml::as_bool) == Some(true) {
        argv.push("--system".to_owned());
    }
    argv.push(name.clone());
    stages.users.push(Task::Run { argv, counts: false });
    if let Some(rules) = user.as_mapping_get("sudo").filter(|rules| rules.as_bool().is_none()) {
        let lines: String = strings(rules)?.iter().map(|rule| format!("{name} {rule}\n")).collect();
        stages.users.push(Task::Write {
            path: format!("{}/etc/sudoers.d/90-cloud-init-users", stages.base),
            content: lines.into_bytes(),
            mode: 0o440,
            owner: String::new(),
            append: true,
        });
    }
    if let Some(keys) = user.as_mapping_get("ssh_authorized_keys") {
        stages.users.push(authorize(&name, &strings(keys)?));
    }
    Ok(())
}

fn authorize(user: &str, keys: &[String]) -> Task {
    let script = r#"home=$(getent passwd "$1" | cut -d: -f6); user=$1; shift
install -d -m 700 -o "$user" "$home/.ssh"; touch "$home/.ssh/authorized_keys"
for key; do echo "$key" >>"$home/.ssh/authorized_keys"; done
chown "$user" "$home/.ssh/authorized_keys"; chmod 600 "$home/.ssh/authorized_keys""#;
    let mut arguments = vec![user.to_owned()];
    arguments.extend_from_slice(keys);
    shell(script, &arguments)
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A list of scalars, a scalar alone, or names with commas between.
fn strings(value: &Yaml<'_>) -> Result<Vec<String>, &'static str> {
    if let Some(one) = scalar(value) {
        return Ok(one.split(',').map(|name| name.trim().to_owned()).collect());
    }
    let list = value.as_sequence().ok_or("neither a list nor a string")?;
    list.iter().map(|item| scalar(item).ok_or("a list of other than strings")).collect()
}

fn scalar(value: &Yaml<'_>) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    if let Some(number) = value.as_integer() {
        return Some(number.to_string());
    }
    if let Some(number) = value.as_floating_point() {
        return Some(number.to_string());
    }
    value.as_bool().map(|truth| truth.to_string())
}
