//! `cfn-hup`: watches resources and runs hooks when they have changed.
//!
//! Invariants:
//! - A hook whose action failed runs again the next time; one that succeeded has its state written down first of all.
//! - One daemon an instance: its number stands in [`PID_FILE`].

mod config;
mod hooks;

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::Duration;

use clap::Parser;
use rustix::fs::Mode;
use rustix::process::{Pid, Signal, kill_process, setsid, umask};

use self::config::Config;
use crate::cloudformation::CloudFormation;
use crate::credentials;
use crate::http_client::HttpClient;
use crate::log::Logs;
use crate::metadata_service::MetadataService;
use crate::options::{CredentialOptions, ProxyOptions, parse};
use crate::services::{Action, NOT_RUNNING, running_process};
use crate::system::{Line, Outcome, Setting, System};

const PID_FILE: &str = "/var/run/cfn-hup.pid";
/// Says to the program that it is the daemon already.
const DAEMON_VARIABLE: &str = "MILLPOND_CFN_HUP_DAEMON";
/// How long the daemon may take to end.
const STOP_LIMIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// Runs hooks when a stack's resources have changed
#[derive(Parser, Debug)]
#[command(name = "cfn-hup", infer_long_args = true, args_override_self = true)]
struct Options {
    /// The configuration directory
    #[arg(short, long, default_value = "/etc/cfn", allow_hyphen_values = true)]
    config: String,
    /// Do not daemonize
    #[arg(long)]
    no_daemon: bool,
    /// Enables verbose logging
    #[arg(short, long)]
    verbose: bool,
}

/// Runs the tool; its exit code.
pub(crate) fn main(system: &System, arguments: &[OsString]) -> u8 {
    let options: Options = match parse("cfn-hup", arguments) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let config = match Config::read(system, &options.config) {
        Ok(config) => config,
        Err(error) => {
            Logs::open(system, "cfn-hup.log", true).main.error(format_args!("Error: {error}"));
            eprintln!("Error: {error}");
            return 1;
        }
    };
    let is_daemon = system.variable(DAEMON_VARIABLE).is_some();
    if !options.no_daemon && !is_daemon {
        return match start_daemon(system, arguments) {
            Ok(()) => 0,
            Err(message) => {
                eprintln!("cfn-hup: {message}");
                1
            }
        };
    }
    if is_daemon {
        // A group's leader cannot lead a session; then we have one of our own anyway.
        let _ = setsid();
        umask(Mode::from_raw_mode(config.umask));
    }
    let logs = Logs::open(system, "cfn-hup.log", options.verbose || config.is_verbose);
    match watch(system, &logs, &config, options.no_daemon) {
        Ok(()) => 0,
        Err(message) => {
            logs.main.error(format_args!("Error: {message}"));
            eprintln!("Error: {message}");
            1
        }
    }
}

/// Looks at the hooks once, or again and again.
fn watch(system: &System, logs: &Logs<'_>, config: &Config, is_once: bool) -> Result<(), String> {
    let http = HttpClient::new(system, ProxyOptions::default());
    let service = MetadataService::new(system, &http);
    loop {
        // Anew each time: a role's credentials expire.
        let named = CredentialOptions {
            role: config.role.clone(),
            credential_file: config.credential_file.clone(),
            ..CredentialOptions::default()
        };
        match credentials::named(system, &service, &named) {
            Ok(credentials) => {
                let url = config.url.as_deref();
                let remote = CloudFormation::new(system, &http, &service, url, &config.region, credentials);
                hooks::process(system, logs, config, &remote)?;
            }
            Err(error) if is_once => return Err(error),
            Err(error) => logs.main.error(error),
        }
        if is_once {
            return Ok(());
        }
        std::thread::sleep(config.interval);
    }
}

/// Starts this program again, on its own, and notes its number.
fn start_daemon(system: &System, arguments: &[OsString]) -> Result<(), String> {
    if let Some(process) = running_process(system, PID_FILE) {
        return Err(format!("it runs already, as process {process}"));
    }
    let mut setting = Setting { directory: Some("/".to_owned()), ..Setting::default() };
    setting.more_environment.insert(DAEMON_VARIABLE.to_owned(), "1".to_owned());
    let mut command = system.command(&Line::words(&["/proc/self/exe"]), &setting);
    command.arg0("cfn-hup").args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().map_err(|error| format!("cannot start the daemon: {error}"))?;
    std::fs::write(system.path(PID_FILE), format!("{}\n", child.id()))
        .map_err(|error| format!("cannot write {PID_FILE}: {error}"))
}

/// Does to the daemon what a service's script would.
pub(crate) fn control(system: &System, action: Action) -> Outcome {
    let said = |code: i32, output: String| Outcome { code, output };
    let running = running_process(system, PID_FILE);
    match (action, running) {
        (Action::Status, Some(process)) => said(0, format!("cfn-hup (pid  {process}) is running...\n")),
        (Action::Status, None) => said(NOT_RUNNING, "cfn-hup is stopped\n".to_owned()),
        (Action::Start, Some(_)) | (Action::Stop, None) => said(0, String::new()),
        (Action::Stop, Some(process)) => match stop(system, process) {
            Ok(()) => said(0, "Stopping cfn-hup: [  OK  ]\n".to_owned()),
            Err(message) => said(1, message),
        },
        (Action::Start, None) => match Config::read(system, "/etc/cfn").and_then(|_| start_daemon(system, &[])) {
            Ok(()) => said(0, "Starting cfn-hup: [  OK  ]\n".to_owned()),
            Err(message) => said(1, format!("Starting cfn-hup: [FAILED]\n{message}\n")),
        },
        (Action::Restart | Action::Reload, _) => {
            let stopped = control(system, Action::Stop);
            if stopped.is_success() { control(system, Action::Start) } else { stopped }
        }
    }
}

fn stop(system: &System, process: i32) -> Result<(), String> {
    let pid = Pid::from_raw(process).ok_or("there is no such process")?;
    kill_process(pid, Signal::TERM).map_err(|error| format!("cannot stop process {process}: {error}\n"))?;
    let mut waited = Duration::ZERO;
    while running_process(system, PID_FILE).is_some() {
        if waited >= STOP_LIMIT {
            return Err(format!("process {process} does not end\n"));
        }
        std::thread::sleep(POLL);
        waited += POLL;
    }
    let _ = std::fs::remove_file(system.path(PID_FILE));
    Ok(())
}
