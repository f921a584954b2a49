//! apt, quietly: no questions, no services started behind the template's back, no extra packages.
//!
//! Invariants:
//! - A service that a package brings does not start when it is installed, as on Amazon Linux; the template starts it.
//! - Lists are fetched at most once in [`FRESH_S`], and what is installed is never asked of the network.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::system::{Line, Outcome, Setting, System};

/// How long lists count as fresh: yum's own metadata expires after six hours.
const FRESH_S: u64 = 6 * 60 * 60;
const LISTS_DIRECTORY: &str = "/var/lib/apt/lists";
/// What Debian's scripts ask before they start a service; 101 is "no".
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// No recommended packages, as yum; the configuration files that are there stay; one user for all, as an instance may
/// have only one. What leaves a VPC is carried by the server: one that is killed cuts downloads short, and is back within
/// seconds. apt waits a second before the first repetition and twice as long before each further one.
const OPTIONS: &[&str] = &[
    "-q",
    "-y",
    "-o",
    "APT::Install-Recommends=false",
    "-o",
    "APT::Sandbox::User=root",
    "-o",
    "Dpkg::Options::=--force-confdef",
    "-o",
    "Dpkg::Options::=--force-confold",
    "-o",
    "Acquire::Retries=3",
    "-o",
    "Acquire::http::Timeout=10",
    "-o",
    "DPkg::Lock::Timeout=120",
];

/// A package that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Installed {
    /// `apache2`.
    pub(crate) name: String,
    /// `amd64`.
    pub(crate) architecture: String,
    /// `2.4.62-1`.
    pub(crate) version: String,
}

impl Installed {
    /// What Millpond brings itself.
    pub(crate) fn built_in(name: &str) -> Self {
        Self { name: name.to_owned(), architecture: "noarch".to_owned(), version: "2.0-millpond".to_owned() }
    }

    /// `apache2-2.4.62-1.amd64`.
    pub(crate) fn full_name(&self) -> String {
        format!("{}-{}.{}", self.name, self.version, self.architecture)
    }

    /// A row of `yum list`.
    pub(crate) fn row(&self, repository: &str) -> String {
        format!("{:<40} {:<30} @{repository}", format!("{}.{}", self.name, self.architecture), self.version)
    }
}

/// The package manager.
pub(crate) struct Apt<'a> {
    system: &'a System,
}

impl<'a> Apt<'a> {
    /// The one of that instance.
    pub(crate) fn new(system: &'a System) -> Self {
        Self { system }
    }

    /// The installed packages of a name, which may have `*` in it.
    pub(crate) fn installed(&self, name: &str) -> Vec<Installed> {
        let format = "-f=${db:Status-Status}\t${Package}\t${Architecture}\t${Version}\n";
        let outcome = self.system.try_run(&["dpkg-query", "-W", format, name]);
        let package = |line: &str| {
            let mut fields = line.strip_prefix("installed\t")?.split('\t');
            let mut next = || fields.next().map(str::to_owned);
            Some(Installed { name: next()?, architecture: next()?, version: next()? })
        };
        outcome.output.lines().filter_map(package).collect()
    }

    /// Whether the lists know it, with a version that can be installed.
    pub(crate) fn is_available(&self, name: &str) -> bool {
        let outcome = self.system.try_run(&["apt-cache", "-q", "policy", name]);
        let candidate = outcome.output.lines().find_map(|line| line.trim().strip_prefix("Candidate:"));
        candidate.is_some_and(|candidate| candidate.trim() != "(none)")
    }

    /// Whether there are lists at all.
    pub(crate) fn has_lists(&self) -> bool {
        let entries = std::fs::read_dir(self.system.path(LISTS_DIRECTORY)).into_iter().flatten().flatten();
        entries.into_iter().any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
    }

    /// Whether they were fetched lately.
    pub(crate) fn has_fresh_lists(&self) -> bool {
        let fetched = std::fs::metadata(self.system.path(LISTS_DIRECTORY)).and_then(|found| found.modified());
        let age_s = fetched.ok().and_then(|at| at.elapsed().ok()).map_or(u64::MAX, |age| age.as_secs());
        self.has_lists() && age_s < FRESH_S
    }

    /// Fetches the lists; whether that worked.
    pub(crate) fn refresh(&self) -> bool {
        let mut words = vec!["apt-get"];
        words.extend(OPTIONS);
        words.extend(["-o", "APT::Update::Error-Mode=any", "update"]);
        self.run(&words).is_success()
    }

    /// Installs packages, which may have versions (`name=version`).
    pub(crate) fn install(&self, specs: &[String]) -> Outcome {
        let _quiet = NoServices::begin(self.system);
        let outcome = self.run(&words("install", specs));
        if outcome.is_success() || !self.refresh() {
            return outcome;
        }
        // The lists were older than the mirror: what they name is there no more.
        self.run(&words("install", specs))
    }

    /// The same with its output shown as it comes; the exit code.
    pub(crate) fn install_through(&self, specs: &[String]) -> i32 {
        let _quiet = NoServices::begin(self.system);
        let code = self.show(&words("install", specs));
        if code == 0 || !self.refresh() { code } else { self.show(&words("install", specs)) }
    }

    /// Brings packages up to date, or all of them; the exit code.
    pub(crate) fn upgrade_through(&self, specs: &[String]) -> i32 {
        let _quiet = NoServices::begin(self.system);
        match specs.is_empty() {
            true => self.show(&words("upgrade", &[])),
            false => {
                let mut words = words("install", specs);
                words.insert(1, "--only-upgrade");
                self.show(&words)
            }
        }
    }

    /// Another program of apt's, with its output shown; the exit code.
    pub(crate) fn through(&self, program: &str, first: &[&str], names: &[String]) -> i32 {
        let mut words = vec![program];
        words.extend(first);
        words.extend(names.iter().map(String::as_str));
        self.show(&words)
    }

    fn run(&self, words: &[&str]) -> Outcome {
        let run = self.system.run(&Line::words(words), &setting());
        run.unwrap_or_else(|error| Outcome { code: 127, output: error.to_string() })
    }

    fn show(&self, words: &[&str]) -> i32 {
        self.system.run_through(&Line::words(words), &setting()).unwrap_or_else(|error| {
            eprintln!("yum: {}: {error}", words.first().copied().unwrap_or_default());
            127
        })
    }
}

fn words<'s>(verb: &'s str, specs: &'s [String]) -> Vec<&'s str> {
    let mut words = vec!["apt-get"];
    words.extend(OPTIONS);
    words.push(verb);
    words.extend(specs.iter().map(String::as_str));
    words
}

fn setting() -> Setting {
    let more = [("DEBIAN_FRONTEND", "noninteractive"), ("DEBCONF_NONINTERACTIVE_SEEN", "true"), ("LC_ALL", "C.UTF-8")];
    let more_environment: BTreeMap<String, String> =
        more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Setting { more_environment, ..Setting::default() }
}

/// For as long as this lives, packages may not start services.
struct NoServices {
    policy: Option<PathBuf>,
}

impl NoServices {
    fn begin(system: &System) -> Self {
        let policy = system.path(POLICY);
        // An image that has a policy of its own knows what it wants.
        if policy.exists() {
            return Self { policy: None };
        }
        let written = std::fs::write(&policy, "#!/bin/sh\nexit 101\n")
            .and_then(|()| std::fs::set_permissions(&policy, std::fs::Permissions::from_mode(0o755)));
        Self { policy: written.is_ok().then_some(policy) }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(policy) = &self.policy {
            let _ = std::fs::remove_file(policy);
        }
    }
}
