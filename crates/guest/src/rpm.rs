//! `rpm` for images that have none: questions about what is installed, answered from dpkg's records.
//!
//! Invariant: rpm files are refused with a sentence; they belong to another distribution.

use std::ffi::OsString;

use crate::native_names::debian_packages;
use crate::system::System;
use crate::yum::apt::{Apt, Installed};

/// Runs rpm; its exit code: how many of the packages are missing, as rpm's own.
pub(crate) fn main(system: &System, arguments: &[OsString]) -> u8 {
    if let Some(program) = system.foreign_program("rpm") {
        eprintln!("rpm: {}", system.become_program(&program, arguments));
        return 126;
    }
    let words: Vec<String> = arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let has = |names: &[&str]| words.iter().any(|word| names.contains(&word.as_str()));
    let mut words_left = words.iter().filter(|word| word.as_str() != "--nosignature" && word.as_str() != "--quiet");
    let is_quiet = has(&["--quiet"]);
    match words_left.next().map(String::as_str) {
        Some("-q" | "--query") => query(&Apt::new(system), &words_left.cloned().collect::<Vec<_>>(), is_quiet),
        Some("-qa") => {
            let rest: Vec<String> = words_left.cloned().collect();
            query_all(&Apt::new(system), &rest)
        }
        Some("--version") => {
            println!("RPM version 4.0 (Millpond, over dpkg)");
            0
        }
        _ => {
            eprintln!(
                "rpm: this image has no rpm of its own, and packages of another distribution cannot be installed \
                       here; Millpond's rpm answers -q, -q --quiet and -qa"
            );
            1
        }
    }
}

fn query(apt: &Apt<'_>, names: &[String], is_quiet: bool) -> u8 {
    let mut missing: u8 = 0;
    for name in names {
        let packages = debian_packages(name);
        let installed: Vec<Installed> = match packages.is_empty() {
            true => vec![Installed::built_in(name)],
            false => packages.iter().flat_map(|package| apt.installed(package)).collect(),
        };
        let is_missing = installed.is_empty();
        missing = missing.saturating_add(u8::from(is_missing));
        if is_quiet {
            continue;
        }
        if is_missing {
            println!("package {name} is not installed");
        }
        installed.iter().for_each(|package| println!("{}", package.full_name()));
    }
    missing
}

fn query_all(apt: &Apt<'_>, words: &[String]) -> u8 {
    let mut names: Vec<&String> = Vec::new();
    let mut format = None;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--queryformat" | "--qf" => format = words.next(),
            _ => names.push(word),
        }
    }
    let all = "*".to_owned();
    let patterns: Vec<String> = match names.is_empty() {
        true => vec![all],
        false => names.iter().flat_map(|name| debian_packages(name)).collect(),
    };
    for package in patterns.iter().flat_map(|pattern| apt.installed(pattern)) {
        match format {
            Some(format) => print!("{}", formatted(format, &package)),
            None => println!("{}", package.full_name()),
        }
    }
    0
}

/// A query format with the tags that the published tools use.
fn formatted(format: &str, package: &Installed) -> String {
    let (version, release) = package.version.rsplit_once('-').unwrap_or((&package.version, "1"));
    format
        .replace("%{NAME}", &package.name)
        .replace("%{VERSION}", version)
        .replace("%{RELEASE}", release)
        .replace("%{ARCH}", &package.architecture)
        .replace("\\n", "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_format_is_filled_in() {
        let package =
            Installed { name: "apache2".into(), architecture: "amd64".into(), version: "2.4.62-1~deb12u2".into() };
        assert_eq!(formatted("%{NAME}|%{VERSION}-%{RELEASE}\\n", &package), "apache2|2.4.62-1~deb12u2\n");
        assert_eq!(package.full_name(), "apache2-2.4.62-1~deb12u2.amd64");
    }
}
