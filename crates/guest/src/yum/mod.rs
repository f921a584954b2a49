//! `yum` for images that have none: the same verbs over the image's own package manager.
//!
//! Invariants:
//! - What is installed is told without network, and installing it again is a success that does nothing.
//! - A verb or option that we don't know is refused with yum's exit code 1; none is swallowed.

pub(crate) mod apt;

use std::ffi::OsString;

use crate::native_names::debian_packages;
use crate::system::{System, exit_code};
use apt::{Apt, Installed};

/// Options without a value that change nothing here: nothing is asked, and nothing is cached that would be stale.
const FLAGS: &[&str] = &[
    "-y",
    "--assumeyes",
    "-q",
    "--quiet",
    "-C",
    "--cacheonly",
    "-v",
    "--verbose",
    "-t",
    "--tolerant",
    "--showduplicates",
    "-b",
    "--best",
    "--nobest",
    "--nogpgcheck",
    "--skip-broken",
    "--allowerasing",
    "--obsoletes",
    "--noplugins",
];
/// Options with a value that have no meaning for another package manager's repositories; said aloud, then ignored.
const FOREIGN: &[&str] = &[
    "--enablerepo",
    "--disablerepo",
    "--repo",
    "--repoid",
    "--setopt",
    "--releasever",
    "--disableexcludes",
    "-x",
    "--exclude",
    "-d",
    "--debuglevel",
    "-e",
    "--errorlevel",
    "-R",
    "--randomwait",
    "-c",
    "--config",
];
const GROUPS: &[(&str, &str)] = &[("development tools", "build-essential"), ("development", "build-essential")];

/// What was asked for.
struct Request {
    verb: String,
    names: Vec<String>,
}

/// Runs yum; its exit code.
pub(crate) fn main(system: &System, arguments: &[OsString]) -> u8 {
    for other in ["dnf", "microdnf", "yum"] {
        if let Some(program) = system.foreign_program(other) {
            let error = system.become_program(&program, arguments);
            eprintln!("yum: cannot run {}: {error}", program.display());
            return 1;
        }
    }
    let words: Vec<String> = arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
    if words.iter().any(|word| word == "--version") {
        println!("3.4.3\n  Millpond's yum, over the image's own package manager");
        return 0;
    }
    let request = match read(&words) {
        Ok(request) => request,
        Err(message) => {
            eprintln!("{message}");
            return 1;
        }
    };
    if system.foreign_program("apt-get").is_none() {
        eprintln!("yum: this image has no package manager that Millpond knows: neither dnf nor apt-get");
        return 1;
    }
    exit_code(run(&Apt::new(system), &request))
}

fn read(words: &[String]) -> Result<Request, String> {
    let mut plain = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let name = word.split('=').next().unwrap_or_default();
        if FLAGS.contains(&word.as_str()) || word == "-h" || word == "--help" {
            continue;
        }
        if FOREIGN.contains(&name) {
            let value = if name.len() == word.len() { words.next().map(String::as_str) } else { None };
            // Levels of talk are nobody's loss.
            if !matches!(name, "-d" | "-e" | "--debuglevel" | "--errorlevel" | "-R" | "--randomwait") {
                eprintln!(
                    "yum: {word} {}has no meaning for this image's package manager",
                    value.map_or(String::new(), |v| format!("{v} "))
                );
            }
            continue;
        }
        // `-d1` and `-e0` carry their value with them.
        if word.starts_with("-d") || word.starts_with("-e") && !word.starts_with("--") {
            continue;
        }
        if word.starts_with('-') {
            return Err(format!("Command line error: no such option: {word}"));
        }
        plain.push(word.clone());
    }
    let verb = plain.first().cloned().ok_or("You need to give some command")?;
    Ok(Request { verb, names: plain.split_off(1) })
}

fn run(apt: &Apt<'_>, request: &Request) -> i32 {
    let names = request.names.as_slice();
    match request.verb.as_str() {
        "install" | "reinstall" if !names.is_empty() => install(apt, names),
        "update" | "upgrade" | "update-minimal" => update(apt, names),
        "remove" | "erase" if !names.is_empty() => remove(apt, names),
        "list" => list(apt, names),
        "info" if !names.is_empty() => info(apt, names),
        "makecache" => makecache(apt),
        // Nothing of yum's is cached here.
        "clean" => 0,
        "check-update" => 0,
        "repolist" => {
            println!("repo id    repo name\nmain       this image's own package manager (apt)");
            0
        }
        "search" if !names.is_empty() => apt.through("apt-cache", &["search"], names),
        "groupinstall" | "group" if !names.is_empty() => group_install(apt, names),
        verb @ ("install" | "reinstall" | "remove" | "erase" | "info" | "search" | "groupinstall" | "group") => {
            eprintln!("Error: Need to pass a list of pkgs to {verb}");
            1
        }
        verb => {
            eprintln!(
                "No such command: {verb}. This image has no yum of its own; Millpond's knows install, update, \
                       remove, list, info, search, groupinstall, makecache and clean."
            );
            1
        }
    }
}

fn install(apt: &Apt<'_>, names: &[String]) -> i32 {
    let (mut wanted, mut unknown) = (Vec::new(), 0);
    let mut has_refreshed = false;
    for name in names {
        let packages = debian_packages(name);
        if packages.is_empty() {
            println!("Package {name} is part of this image already");
        }
        for package in packages {
            if let Some(installed) = apt.installed(&package).first() {
                println!("Package {} already installed and latest version", installed.full_name());
                continue;
            }
            if !apt.is_available(&package) && !has_refreshed {
                has_refreshed = true;
                apt.refresh();
            }
            if apt.is_available(&package) {
                wanted.push(package);
            } else {
                println!("No package {name} available.");
                unknown += 1;
            }
        }
    }
    if wanted.is_empty() {
        println!("Nothing to do");
        // Yum, too, fails only when nothing of what was asked for can be had.
        return i32::from(unknown > 0 && unknown == names.len());
    }
    let outcome = apt.install_through(&wanted);
    if outcome == 0 {
        println!("Complete!");
    }
    outcome
}

fn update(apt: &Apt<'_>, names: &[String]) -> i32 {
    let packages: Vec<String> = names.iter().flat_map(|name| debian_packages(name)).collect();
    let installed: Vec<String> = packages.into_iter().filter(|package| !apt.installed(package).is_empty()).collect();
    if !names.is_empty() && installed.is_empty() {
        println!("No packages marked for update");
        return 0;
    }
    if !apt.refresh() {
        eprintln!("yum: the package lists could not be renewed; the last ones known are used");
    }
    apt.upgrade_through(&installed)
}

fn remove(apt: &Apt<'_>, names: &[String]) -> i32 {
    let packages = names.iter().flat_map(|name| debian_packages(name));
    let installed: Vec<String> = packages.filter(|package| !apt.installed(package).is_empty()).collect();
    if installed.is_empty() {
        println!("No Packages marked for removal");
        return 0;
    }
    apt.through("apt-get", &["-q", "-y", "remove"], &installed)
}

fn list(apt: &Apt<'_>, arguments: &[String]) -> i32 {
    let (what, names) = match arguments.split_first() {
        Some((what, names)) if matches!(what.as_str(), "installed" | "available" | "all" | "updates") => {
            (what.as_str(), names)
        }
        _ => ("all", arguments),
    };
    let asked = |name: &String| -> Vec<(String, Vec<Installed>)> {
        let packages = debian_packages(name);
        if packages.is_empty() {
            return vec![(name.clone(), vec![Installed::built_in(name)])];
        }
        packages.into_iter().map(|package| (package.clone(), apt.installed(&package))).collect()
    };
    let found: Vec<(String, Vec<Installed>)> = match names.is_empty() {
        true => vec![(String::new(), apt.installed("*"))],
        false => names.iter().flat_map(asked).collect(),
    };
    let mut is_anything = false;
    // A package counts as installed when all that it stands for is.
    let is_whole = names.is_empty() || found.iter().all(|(_, installed)| !installed.is_empty());
    if matches!(what, "installed" | "all") && is_whole && found.iter().any(|(_, installed)| !installed.is_empty()) {
        println!("Installed Packages");
        found.iter().flat_map(|(_, installed)| installed).for_each(|package| println!("{}", package.row("installed")));
        is_anything = true;
    }
    if matches!(what, "available" | "all") && !names.is_empty() {
        let missing = found.iter().filter(|(_, installed)| installed.is_empty());
        let available: Vec<&String> =
            missing.map(|(package, _)| package).filter(|package| apt.is_available(package)).collect();
        if !available.is_empty()
            && (what == "all" || available.len() == found.iter().filter(|(_, i)| i.is_empty()).count())
        {
            println!("Available Packages");
            available.iter().for_each(|package| println!("{package}"));
            is_anything = true;
        }
    }
    if is_anything || (what == "updates" && names.is_empty()) {
        return 0;
    }
    eprintln!("Error: No matching Packages to list");
    1
}

fn info(apt: &Apt<'_>, names: &[String]) -> i32 {
    let packages: Vec<String> = names.iter().flat_map(|name| debian_packages(name)).collect();
    match packages.is_empty() {
        true => {
            println!("Installed Packages\nName        : {}\nRepo        : millpond", names.join(", "));
            0
        }
        false => apt.through("apt-cache", &["show"], &packages),
    }
}

fn makecache(apt: &Apt<'_>) -> i32 {
    if apt.has_fresh_lists() || apt.refresh() {
        println!("Metadata Cache Created");
        return 0;
    }
    if apt.has_lists() {
        eprintln!("yum: the package lists could not be renewed; the last ones known are used");
        return 0;
    }
    eprintln!("Error: the package lists could not be fetched, and there are no older ones");
    1
}

fn group_install(apt: &Apt<'_>, names: &[String]) -> i32 {
    let names = if names.first().is_some_and(|name| name == "install") { &names[1..] } else { names };
    let mut packages = Vec::new();
    for name in names {
        let group = name.trim_start_matches('@').to_lowercase();
        match GROUPS.iter().find(|(known, _)| *known == group) {
            Some((_, package)) => packages.push((*package).to_owned()),
            None => {
                eprintln!("Warning: Group {name} does not exist.");
                return 1;
            }
        }
    }
    install(apt, &packages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn options_are_known_or_refused() {
        let request = read(&words("-y -d1 --enablerepo=epel install -q httpd --exclude kernel php")).unwrap();
        assert_eq!((request.verb.as_str(), request.names), ("install", words("httpd php")));
        assert!(read(&words("-y --frobnicate install httpd")).is_err());
        assert!(read(&words("-y")).is_err());
    }
}
