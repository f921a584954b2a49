//! Services without an init system: their scripts are run as they are, and what is enabled starts with the instance.
//!
//! Invariants:
//! - A service is found under Amazon Linux's name and under the image's own.
//! - Where systemd really runs, it does the work; else `/etc/init.d`, else what the service brings to control itself.
//! - Whether a service is enabled is one file; nothing else knows.

pub(crate) mod commands;
pub(crate) mod power;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::cfn_hup;
use crate::native_names::service_names;
use crate::system::{Line, Outcome, Setting, System};

/// A file here says that the service of that name starts with the instance.
const ENABLED_DIRECTORY: &str = "/var/lib/millpond/services";
/// The exit code that the Linux Standard Base has for "not running".
pub(crate) const NOT_RUNNING: i32 = 3;
/// The same for "unknown" when a service's state is asked.
const UNKNOWN: i32 = 4;
/// The longest name of a service.
const NAME_BYTES_MAX: usize = 128;

/// What can be done to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Starts it; nothing when it runs.
    Start,
    /// Stops it.
    Stop,
    /// Stops and starts it.
    Restart,
    /// Makes it read its configuration again.
    Reload,
    /// Asks whether it runs.
    Status,
}

impl Action {
    /// The word for it in scripts.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Reload => "reload",
            Self::Status => "status",
        }
    }
}

/// How a service is controlled.
#[derive(Debug, PartialEq, Eq)]
enum Control {
    /// By our own tool.
    BuiltIn,
    /// By a running systemd, under this name.
    Systemd { program: PathBuf, name: String },
    /// By its script.
    Script(String),
    /// By Apache's own program.
    Apachectl(String),
}

/// The services of an instance.
pub(crate) struct Services<'a> {
    system: &'a System,
}

impl<'a> Services<'a> {
    /// The services of that instance.
    pub(crate) fn new(system: &'a System) -> Self {
        Self { system }
    }

    /// Does something to a service, with its output kept.
    pub(crate) fn act(&self, name: &str, action: Action) -> Outcome {
        match self.control(name) {
            None => self.unknown(name, action),
            Some(Control::BuiltIn) => cfn_hup::control(self.system, action),
            Some(control) => {
                if matches!(action, Action::Start | Action::Restart) {
                    make_lock_directory(self.system);
                }
                let line = line(self.system, &control, action);
                let run = self.system.run(&line, &setting(self.system));
                let outcome = run.unwrap_or_else(|error| Outcome { code: 1, output: error.to_string() });
                self.settled(&control, action, outcome)
            }
        }
    }

    /// The word that a script knows and we don't, such as `configtest`; with our own input and output.
    pub(crate) fn pass(&self, name: &str, words: &[String]) -> i32 {
        let Some(control @ (Control::Script(_) | Control::Apachectl(_))) = self.control(name) else {
            eprintln!("{name}: unrecognized service");
            return 1;
        };
        let program = match control {
            Control::Script(name) => program(self.system, &format!("/etc/init.d/{name}")),
            Control::Apachectl(apachectl) => program(self.system, &apachectl),
            Control::BuiltIn | Control::Systemd { .. } => return 1,
        };
        let words = std::iter::once(program).chain(words.iter().cloned()).collect();
        self.system.run_through(&Line::Words(words), &setting(self.system)).unwrap_or(1)
    }

    /// Whether it runs.
    pub(crate) fn is_running(&self, name: &str) -> bool {
        self.act(name, Action::Status).is_success()
    }

    /// Whether there is such a service.
    pub(crate) fn exists(&self, name: &str) -> bool {
        self.control(name).is_some()
    }

    fn unknown(&self, name: &str, action: Action) -> Outcome {
        let code = if action == Action::Status { UNKNOWN } else { 1 };
        Outcome { code, output: format!("{name}: unrecognized service\n") }
    }

    /// Apache's program has no word for its state that works without its status module.
    fn settled(&self, control: &Control, action: Action, outcome: Outcome) -> Outcome {
        match (control, action) {
            (Control::Apachectl(_), Action::Status) => {
                let files = ["/run/httpd/httpd.pid", "/run/apache2/apache2.pid", "/usr/local/apache2/logs/httpd.pid"];
                match files.iter().find_map(|file| running_process(self.system, file)) {
                    Some(process) => Outcome { code: 0, output: format!("httpd (pid  {process}) is running...\n") },
                    None => Outcome { code: NOT_RUNNING, output: "httpd is stopped\n".to_owned() },
                }
            }
            _ => outcome,
        }
    }

    fn control(&self, name: &str) -> Option<Control> {
        if !is_name(name) {
            return None;
        }
        if name.strip_suffix(".service").unwrap_or(name) == "cfn-hup" {
            return Some(Control::BuiltIn);
        }
        let names = service_names(name);
        if self.system.path("/run/systemd/system").is_dir()
            && let Some(program) = self.system.foreign_program("systemctl")
        {
            let has_unit = |name: &&&str| self.unit(name).is_some();
            let name = names.iter().find(has_unit).or(names.first())?;
            return Some(Control::Systemd { program, name: (*name).to_owned() });
        }
        if let Some(name) = names.iter().find(|name| self.system.has_program(&format!("/etc/init.d/{name}"))) {
            return Some(Control::Script((*name).to_owned()));
        }
        let is_apache = names.iter().any(|name| matches!(*name, "httpd" | "apache2"));
        let programs = ["/usr/sbin/apachectl", "/usr/sbin/apache2ctl", "/usr/local/apache2/bin/apachectl"];
        let program = programs.iter().find(|program| is_apache && self.system.has_program(program))?;
        Some(Control::Apachectl((*program).to_owned()))
    }

    fn unit(&self, name: &str) -> Option<PathBuf> {
        let directories = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
        directories.iter().map(|d| self.system.path(format!("{d}/{name}.service"))).find(|path| path.exists())
    }

    /// Makes a service start with the instance, or not.
    pub(crate) fn set_enabled(&self, name: &str, is_enabled: bool) -> Result<(), String> {
        if !self.exists(name) {
            return Err("no such service".to_owned());
        }
        let file = self.enabled_file(name);
        let result = match is_enabled {
            true => {
                std::fs::create_dir_all(self.system.path(ENABLED_DIRECTORY)).and_then(|()| std::fs::write(&file, ""))
            }
            false if !file.exists() => Ok(()),
            false => std::fs::remove_file(&file),
        };
        result.map_err(|error| format!("{}: {error}", file.display()))
    }

    /// Whether it starts with the instance.
    pub(crate) fn is_enabled(&self, name: &str) -> bool {
        is_name(name) && self.enabled_file(name).exists()
    }

    /// What starts with the instance, by name.
    pub(crate) fn enabled(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.system.path(ENABLED_DIRECTORY)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    fn enabled_file(&self, name: &str) -> PathBuf {
        // Under whichever of its names it was enabled, it is one service.
        let name = match self.control(name) {
            Some(Control::Script(name) | Control::Systemd { name, .. }) => name,
            _ => name.strip_suffix(".service").unwrap_or(name).to_owned(),
        };
        self.system.path(ENABLED_DIRECTORY).join(name)
    }
}

/// Whether it can be a service's name, and no path to somewhere else.
fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | '+');
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.starts_with('.') && name.chars().all(is_plain)
}

fn program(system: &System, absolute: &str) -> String {
    system.path(absolute).to_string_lossy().into_owned()
}

fn line(system: &System, control: &Control, action: Action) -> Line {
    let word = action.word().to_owned();
    Line::Words(match control {
        Control::Systemd { program, name } => vec![program.to_string_lossy().into_owned(), word, name.clone()],
        Control::Script(name) => vec![program(system, &format!("/etc/init.d/{name}")), word],
        Control::Apachectl(_) if action == Action::Status => vec!["true".to_owned()],
        Control::Apachectl(apachectl) if action == Action::Reload => {
            vec![program(system, apachectl), "graceful".to_owned()]
        }
        Control::Apachectl(apachectl) => vec![program(system, apachectl), word],
        Control::BuiltIn => vec!["true".to_owned()],
    })
}

/// What an init system makes before any service: `/run` is empty when an instance starts.
fn make_lock_directory(system: &System) {
    let directory = system.path("/run/lock");
    if !directory.exists() && std::fs::create_dir_all(&directory).is_ok() {
        // Where it cannot be opened to all, services of root still find it.
        let _ = std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o1777));
    }
}

/// Scripts run with a clean environment and from the root, so that a service does not depend on who started it.
fn setting(system: &System) -> Setting {
    let mut environment = BTreeMap::from([
        ("PATH".to_owned(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ("TERM".to_owned(), "dumb".to_owned()),
    ]);
    for name in ["LANG", "TZ"] {
        if let Some(value) = system.variable(name) {
            environment.insert(name.to_owned(), value.to_owned());
        }
    }
    Setting { only_environment: Some(environment), directory: Some("/".to_owned()), ..Setting::default() }
}

/// The process whose number stands in a file, if it lives.
pub(crate) fn running_process(system: &System, file: &str) -> Option<i32> {
    let number: i32 = std::fs::read_to_string(system.path(file)).ok()?.trim().parse().ok()?;
    let process = rustix::process::Pid::from_raw(number)?;
    rustix::process::test_kill_process(process).is_ok().then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_script(name: &str, text: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("etc/init.d");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(name), text).unwrap();
        std::fs::set_permissions(directory.join(name), PermissionsExt::from_mode(0o755)).unwrap();
        root
    }

    #[test]
    fn a_service_is_found_under_amazons_name_and_its_own() {
        let root = with_script("apache2", "#!/bin/sh\n");
        let system = System::under(root.path(), &[("PATH", "/none")]);
        let services = Services::new(&system);
        assert_eq!(services.control("httpd"), Some(Control::Script("apache2".into())));
        assert_eq!(services.control("apache2.service"), Some(Control::Script("apache2".into())));
        assert_eq!(services.control("cfn-hup"), Some(Control::BuiltIn));
        assert_eq!(services.control("nginx"), None);
        assert_eq!(services.control("../../bin/sh"), None);
        assert_eq!(services.act("nginx", Action::Start).code, 1);
        assert_eq!(services.act("nginx", Action::Status).code, UNKNOWN);
    }

    #[test]
    fn being_enabled_is_one_fact_under_all_names() {
        let root = with_script("apache2", "#!/bin/sh\n");
        let system = System::under(root.path(), &[("PATH", "/none")]);
        let services = Services::new(&system);
        services.set_enabled("httpd", true).unwrap();
        assert!(services.is_enabled("apache2") && services.is_enabled("httpd"));
        assert_eq!(services.enabled(), ["apache2"]);
        services.set_enabled("apache2", false).unwrap();
        assert!(!services.is_enabled("httpd"));
        assert!(services.set_enabled("nginx", true).is_err());
    }

    #[test]
    fn a_process_that_is_gone_is_not_running() {
        let root = tempfile::tempdir().unwrap();
        let system = System::under(root.path(), &[]);
        std::fs::write(root.path().join("a.pid"), std::process::id().to_string()).unwrap();
        std::fs::write(root.path().join("b.pid"), "999999999\n").unwrap();
        std::fs::write(root.path().join("c.pid"), "x").unwrap();
        assert_eq!(running_process(&system, "/a.pid"), i32::try_from(std::process::id()).ok());
        for file in ["/b.pid", "/c.pid", "/d.pid"] {
            assert_eq!(running_process(&system, file), None, "{file}");
        }
    }
}
