//! `service`, `chkconfig` and `systemctl`, as far as templates and user data use them, and what starts services when an
//! instance starts.
//!
//! Invariant: a verb that has no meaning without an init system is refused with a sentence, never taken in silence.

use std::ffi::OsString;

use super::{Action, NOT_RUNNING, Services};
use crate::system::{System, exit_code};

/// Words of `systemctl` that ask an init system to look at its files again or to take back what it never did; packages
/// say them when they are installed.
const NOTHING_TO_DO: &[&str] = &["daemon-reload", "daemon-reexec", "reset-failed", "preset", "preset-all", "unmask"];

fn texts(arguments: &[OsString]) -> Vec<String> {
    arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).collect()
}

fn action(word: &str) -> Option<Action> {
    Some(match word {
        "start" => Action::Start,
        "stop" => Action::Stop,
        "restart" | "force-restart" => Action::Restart,
        "reload" | "force-reload" | "graceful" => Action::Reload,
        "status" => Action::Status,
        _ => return None,
    })
}

fn act_and_print(services: &Services<'_>, name: &str, action: Action) -> i32 {
    let outcome = services.act(name, action);
    if outcome.is_success() {
        print!("{}", outcome.output)
    } else {
        eprint!("{}", outcome.output)
    }
    outcome.code
}

/// `service NAME start|stop|restart|reload|condrestart|status`, and whatever else the service's script knows.
pub(crate) fn service(system: &System, arguments: &[OsString]) -> u8 {
    let services = Services::new(system);
    let words = texts(arguments);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let code = match words.as_slice() {
        ["--version"] => {
            println!("service (Millpond)");
            0
        }
        ["--status-all"] => {
            for name in services.enabled() {
                println!(" [ {} ]  {name}", if services.is_running(&name) { '+' } else { '-' });
            }
            0
        }
        [name, "--full-restart"] => act_and_print(&services, name, Action::Restart),
        [name, "condrestart" | "try-restart"] if !services.is_running(name) => i32::from(!services.exists(name)),
        [name, "condrestart" | "try-restart"] => act_and_print(&services, name, Action::Restart),
        [name, word] => match action(word) {
            Some(action) => act_and_print(&services, name, action),
            None => services.pass(name, &[(*word).to_owned()]),
        },
        [name, rest @ ..] if !rest.is_empty() => {
            services.pass(name, &rest.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
        }
        _ => {
            eprintln!("Usage: service < option > | --status-all | [ service_name [ command | --full-restart ] ]");
            1
        }
    };
    exit_code(code)
}

/// `chkconfig NAME [on|off|reset]`, `--add`, `--del`, `--list`, with or without `--level`.
pub(crate) fn chkconfig(system: &System, arguments: &[OsString]) -> u8 {
    let services = Services::new(system);
    let mut words = texts(arguments);
    if words.first().is_some_and(|word| word == "--level" || word == "--levels") {
        // There are no runlevels: on is on.
        words.drain(..words.len().min(2));
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let enable = |name: &str, is_enabled: bool| match services.set_enabled(name, is_enabled) {
        Ok(()) => 0,
        Err(_) => {
            eprintln!("error reading information on service {name}: No such file or directory");
            1
        }
    };
    match words.as_slice() {
        [name, "on" | "reset" | "resetpriorities"] | ["--add", name] => enable(name, true),
        [name, "off"] | ["--del", name] => enable(name, false),
        ["--list"] | [] => {
            services.enabled().iter().for_each(|name| print_levels(name, true));
            0
        }
        ["--list", name] if services.exists(name) => {
            print_levels(name, services.is_enabled(name));
            0
        }
        [name] if !name.starts_with('-') => u8::from(!services.is_enabled(name)),
        ["--list", name] => enable(name, true),
        _ => {
            eprintln!("usage:   chkconfig [--list] [--type <type>] [name]\n         chkconfig --add <name>");
            eprintln!("         chkconfig --del <name>\n         chkconfig [--level <levels>] <name> <on|off|reset>");
            1
        }
    }
}

fn print_levels(name: &str, is_on: bool) {
    let on = if is_on { "on" } else { "off" };
    println!("{name:<15}\t0:off\t1:off\t2:{on}\t3:{on}\t4:{on}\t5:{on}\t6:off");
}

/// `systemctl VERB NAME…` for the verbs that templates use. Where systemd really runs, it becomes systemd's own.
pub(crate) fn systemctl(system: &System, arguments: &[OsString]) -> u8 {
    if system.path("/run/systemd/system").is_dir()
        && let Some(program) = system.foreign_program("systemctl")
    {
        eprintln!("systemctl: {}", system.become_program(&program, arguments));
        return 126;
    }
    let services = Services::new(system);
    let words = texts(arguments);
    let (options, words): (Vec<&str>, Vec<&str>) =
        words.iter().map(String::as_str).partition(|word| word.starts_with('-'));
    let is_now = options.contains(&"--now");
    let is_quiet = options.iter().any(|option| matches!(*option, "-q" | "--quiet"));
    let Some((verb, names)) = words.split_first() else {
        eprintln!(
            "systemctl: this instance has no init system; say start, stop, restart, reload, status, enable, \
                   disable, is-active or is-enabled, and a service"
        );
        return 1;
    };
    match *verb {
        verb if NOTHING_TO_DO.contains(&verb) => return 0,
        "halt" | "poweroff" => return super::power::off(system, &[]),
        "reboot" => return super::power::reboot(system, &[]),
        _ => {}
    }
    let mut code = i32::from(names.is_empty());
    for name in names {
        code = code.max(verb_on(&services, verb, name, is_now, is_quiet));
    }
    exit_code(code)
}

fn verb_on(services: &Services<'_>, verb: &str, name: &str, is_now: bool, is_quiet: bool) -> i32 {
    let say = |text: &str| {
        if !is_quiet {
            println!("{text}");
        }
    };
    match verb {
        "is-active" => {
            let is_running = services.is_running(name);
            say(if is_running { "active" } else { "inactive" });
            if is_running { 0 } else { NOT_RUNNING }
        }
        "is-enabled" => {
            let is_enabled = services.is_enabled(name);
            say(if is_enabled { "enabled" } else { "disabled" });
            i32::from(!is_enabled)
        }
        _ if !services.exists(name) => {
            eprintln!("Failed to {verb} {name}: Unit {name} not found.");
            if verb == "status" { 4 } else { 5 }
        }
        "enable" | "disable" => {
            let is_enable = verb == "enable";
            if let Err(error) = services.set_enabled(name, is_enable) {
                eprintln!("Failed to {verb} unit: {error}");
                return 1;
            }
            match (is_now, is_enable) {
                (false, _) => 0,
                (true, true) => act_and_print(services, name, Action::Start),
                (true, false) => act_and_print(services, name, Action::Stop),
            }
        }
        "try-restart" | "condrestart" if !services.is_running(name) => 0,
        "try-restart" | "condrestart" => act_and_print(services, name, Action::Restart),
        "reload-or-restart" => act_and_print(services, name, Action::Restart),
        _ => match action(verb) {
            Some(action) => act_and_print(services, name, action),
            None => {
                eprintln!("systemctl: {verb} is not possible here: this instance has no init system");
                1
            }
        },
    }
}

/// Starts what is enabled; an instance runs this when it starts. Says which did not start, and goes on.
pub(crate) fn boot(system: &System, _arguments: &[OsString]) -> u8 {
    let services = Services::new(system);
    let mut has_failed = false;
    for name in services.enabled() {
        let outcome = services.act(&name, Action::Start);
        if !outcome.is_success() {
            eprintln!("service {name} did not start (exit code {}): {}", outcome.code, outcome.output.trim_end());
            has_failed = true;
        }
    }
    u8::from(has_failed)
}
