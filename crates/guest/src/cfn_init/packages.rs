//! Packages: yum, apt, rpm, python and rubygems.
//!
//! Invariants:
//! - What is installed already is left alone, and costs no network: an image with the packages baked in works offline.
//! - A package manager that nobody knows is a warning in the log, as published.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::build::Site;
use super::commands::logged;
use super::package_versions::{compare, newest};
use crate::error::{BuildError, Result};
use crate::system::{Line, Outcome, Setting};
use crate::value;

/// The managers that go first, in this order; the others follow by name.
const ORDER: &[&str] = &["msi", "dpkg", "rpm", "apt", "yum"];

/// Installs what is missing; what that was, by manager.
pub(super) fn apply(site: &Site<'_>, managers: &Map<String, Value>) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut sorted: Vec<(&String, &Value)> = managers.iter().collect();
    sorted.sort_by_key(|(name, _)| {
        let position = ORDER.iter().position(|known| known == name).unwrap_or(ORDER.len());
        (position, name.to_lowercase())
    });
    let mut changed = BTreeMap::new();
    for (manager, packages) in sorted {
        let install: fn(&Site<'_>, &Map<String, Value>) -> Result<BTreeSet<String>> = match manager.as_str() {
            "yum" => yum,
            "apt" => apt,
            "rpm" => rpm,
            "python" => python,
            "rubygems" => gems,
            other => {
                site.logs.main.warning(format_args!("Unsupported package manager: {other}"));
                continue;
            }
        };
        let packages = super::build::attributes("packages", manager, packages)?;
        if packages.is_empty() {
            site.logs.main.debug(format_args!("No packages specified for {manager}"));
            continue;
        }
        changed.insert(manager.clone(), install(site, packages)?);
    }
    Ok(changed)
}

fn fail(site: &Site<'_>, what: &str, message: &str, outcome: &Outcome) -> BuildError {
    site.logs.main.error(format_args!("{what} failed. Output: {}", outcome.output));
    BuildError::Failed { message: message.to_owned(), code: outcome.code }
}

fn yum(site: &Site<'_>, packages: &Map<String, Value>) -> Result<BTreeSet<String>> {
    let log = &site.logs.main;
    let wanted = packages.iter().map(|(name, versions)| {
        // Yum cares for one version only.
        let version = newest(&value::texts(versions)).cloned();
        (name, version)
    });
    let is_installed = |spec: &str| site.system.try_run(&["yum", "-C", "-y", "list", "installed", spec]).is_success();
    let missing: Vec<(&String, Option<String>)> =
        wanted.filter(|(name, version)| !is_installed(&spec(name, version.as_deref()))).collect();
    if missing.is_empty() {
        log.debug("All yum packages were already installed");
        return Ok(BTreeSet::new());
    }
    let cached = site.system.try_run(&["yum", "-y", "makecache"]);
    if !cached.is_success() {
        return Err(fail(site, "Yum makecache", "Could not create yum cache", &cached));
    }
    let (mut upgrades, mut downgrades) = (Vec::new(), Vec::new());
    for (name, version) in &missing {
        let spec = spec(name, version.as_deref());
        let listed = site.system.try_run(&["yum", "-C", "-y", "--showduplicates", "list", "available", &spec]);
        if !listed.is_success() {
            log.error(format_args!("{spec} is not available to be installed"));
            return Err(BuildError::said(format!("Yum does not have {spec} available for installation")));
        }
        let is_older = version.as_deref().is_some_and(|version| {
            installed_version(site, name).is_some_and(|installed| compare(Some(version), Some(&installed)).is_le())
        });
        if is_older { downgrades.push(spec) } else { upgrades.push(spec) }
    }
    for (verb, specs, failure) in [
        ("install", upgrades, "Could not successfully install/update yum packages"),
        ("downgrade", downgrades, "Could not successfully downgrade yum packages"),
    ] {
        if specs.is_empty() {
            continue;
        }
        let words = ["yum", "-y", verb].into_iter().map(str::to_owned).chain(specs.iter().cloned()).collect();
        let name = format!("yum {verb} {}", specs.join(" "));
        let outcome = logged(site.system, site.logs, &name, &Line::Words(words), &Setting::default())?;
        if !outcome.is_success() {
            return Err(fail(site, "Yum", failure, &outcome));
        }
    }
    let changed: BTreeSet<String> = missing.into_iter().map(|(name, _)| name.clone()).collect();
    log.info(format_args!("Yum installed {changed:?}"));
    Ok(changed)
}

fn spec(name: &str, version: Option<&str>) -> String {
    version.map_or_else(|| name.to_owned(), |version| format!("{name}-{version}"))
}

fn installed_version(site: &Site<'_>, name: &str) -> Option<String> {
    let words = ["rpm", "-qa", "--queryformat", "%{NAME}|%{VERSION}-%{RELEASE}", "--nosignature", name];
    let outcome = site.system.try_run(&words);
    let (_, version) = outcome.output.trim().split_once('|')?;
    outcome.is_success().then(|| version.to_owned())
}

fn apt(site: &Site<'_>, packages: &Map<String, Value>) -> Result<BTreeSet<String>> {
    let mut specs = Vec::new();
    let mut changed = BTreeSet::new();
    for (name, versions) in packages {
        let versions = value::texts(versions);
        let keys = match versions.is_empty() {
            true => vec![name.clone()],
            false => versions.iter().map(|version| format!("{name}={version}")).collect(),
        };
        let missing: Vec<String> = keys.into_iter().filter(|key| !apt_installed(site, key, name)).collect();
        if !missing.is_empty() {
            specs.extend(missing);
            changed.insert(name.clone());
        }
    }
    if specs.is_empty() {
        site.logs.main.info("All APT packages were already installed");
        return Ok(changed);
    }
    let apt = crate::yum::apt::Apt::new(site.system);
    for spec in &specs {
        if !site.system.try_run(&["apt-cache", "-q", "show", spec]).is_success() {
            // An image without lists has nothing available before it has asked once.
            apt.refresh();
        }
        if !site.system.try_run(&["apt-cache", "-q", "show", spec]).is_success() {
            site.logs.main.error(format_args!("{spec} is not available to be installed"));
            return Err(BuildError::said(format!("APT does not have {spec} available for installation")));
        }
    }
    site.logs.main.info(format_args!("Attempting to install {specs:?} via APT"));
    let outcome = apt.install(&specs);
    if !outcome.is_success() {
        return Err(fail(site, "apt-get", "Could not successfully install APT packages", &outcome));
    }
    site.logs.main.info(format_args!("APT installed {changed:?}"));
    Ok(changed)
}

fn apt_installed(site: &Site<'_>, spec: &str, name: &str) -> bool {
    let outcome = site.system.try_run(&["dpkg-query", "-f", "${Status}|${Package}=${Version}", "-W", name]);
    let Some((status, installed)) = outcome.output.trim().split_once('|') else { return false };
    outcome.is_success() && status.ends_with(" installed") && installed.starts_with(spec)
}

fn rpm(site: &Site<'_>, packages: &Map<String, Value>) -> Result<BTreeSet<String>> {
    let mut files = Vec::new();
    let mut changed = BTreeSet::new();
    for (name, locations) in packages {
        let missing: Vec<String> =
            value::texts(locations).into_iter().filter(|location| !rpm_installed(site, location)).collect();
        if !missing.is_empty() {
            files.extend(missing);
            changed.insert(name.clone());
        }
    }
    if files.is_empty() {
        site.logs.main.info("All RPMs were already installed");
        return Ok(changed);
    }
    let mut words: Vec<&str> = vec!["rpm", "-U", "--quiet", "--nosignature", "--replacepkgs"];
    words.extend(files.iter().map(String::as_str));
    let outcome = site.system.try_run(&words);
    if !outcome.is_success() {
        return Err(fail(site, "RPM", "Could not successfully install rpm packages", &outcome));
    }
    Ok(changed)
}

fn rpm_installed(site: &Site<'_>, location: &str) -> bool {
    let words = ["rpm", "-qp", "--queryformat", "%{NAME}-%{VERSION}-%{RELEASE}", "--nosignature", location];
    let asked = site.system.try_run(&words);
    asked.is_success() && site.system.try_run(&["rpm", "-q", "--quiet", asked.output.trim()]).is_success()
}

fn python(site: &Site<'_>, packages: &Map<String, Value>) -> Result<BTreeSet<String>> {
    let mut specs = Vec::new();
    for (name, versions) in packages {
        let versions = value::texts(versions);
        let with = |version: &String| match version.to_lowercase() {
            lower if lower.starts_with("http://") || lower.starts_with("https://") => version.clone(),
            _ => format!("{name}=={version}"),
        };
        match versions.is_empty() {
            true => specs.push(name.clone()),
            false => specs.extend(versions.iter().map(with)),
        }
    }
    site.logs.main.info(format_args!("Attempting to install {specs:?} via easy_install or pip"));
    let mut words = match site.system.foreign_program("easy_install") {
        Some(_) => vec!["easy_install"],
        // setuptools has dropped easy_install. Distributions guard their own Python, which is the one meant here.
        None => vec!["python3", "-m", "pip", "install", "--quiet"],
    };
    let setting = Setting {
        more_environment: BTreeMap::from([("PIP_BREAK_SYSTEM_PACKAGES".to_owned(), "1".to_owned())]),
        ..Setting::default()
    };
    words.extend(specs.iter().map(String::as_str));
    let outcome = site
        .system
        .run(&Line::words(&words), &setting)
        .unwrap_or_else(|error| Outcome { code: 127, output: error.to_string() });
    if !outcome.is_success() {
        return Err(fail(site, words[0], "Could not successfully install python packages", &outcome));
    }
    Ok(packages.keys().cloned().collect())
}

fn gems(site: &Site<'_>, packages: &Map<String, Value>) -> Result<BTreeSet<String>> {
    let mut changed = BTreeSet::new();
    for (name, versions) in packages {
        let versions = value::texts(versions);
        let versions: Vec<Option<&str>> = match versions.is_empty() {
            true => vec![None],
            false => versions.iter().map(|version| Some(version.as_str())).collect(),
        };
        for version in versions {
            if install_gem(site, name, version)? {
                changed.insert(name.clone());
            }
        }
    }
    Ok(changed)
}

fn install_gem(site: &Site<'_>, name: &str, version: Option<&str>) -> Result<bool> {
    let pattern = format!("^{name}$");
    let mut query = vec!["gem", "query", "-i", "-n", &pattern];
    query.extend(version.map(|version| ["-v", version]).into_iter().flatten());
    if site.system.try_run(&query).is_success() {
        site.logs.main.info(format_args!("{name}-{} is already installed, skipping.", version.unwrap_or("None")));
        return Ok(false);
    }
    let exactly = version.map(|version| format!("= {version}"));
    let mut words = vec!["gem", "install", "-b", "--no-document", name];
    words.extend(exactly.as_deref().map(|version| ["-v", version]).into_iter().flatten());
    let outcome = site.system.try_run(&words);
    if !outcome.is_success() {
        let message = format!("Failed to install gem: {name}-{}", version.unwrap_or("None"));
        return Err(fail(site, "Gem", &message, &outcome));
    }
    Ok(true)
}
