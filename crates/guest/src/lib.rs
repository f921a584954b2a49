//! What runs inside instances: the tools that templates written for Amazon Linux expect to find there.
//!
//! One binary under many names: [`main`] looks at the name it was called by and is that tool, or nobody. An image gets
//! links to the binary at [`LINKS`].
//!
//! Invariants:
//! - Flags, output and exit codes are those of the published tools (aws-cfn-bootstrap, ec2-metadata, yum); what is
//!   different stands in docs/guest-tools.md.
//! - Nothing that a remote JSON document, a metadata service or a configuration file says makes a tool panic.
//! - No tool starts an asynchronous runtime: each is a short, blocking program.
//!
//! Knows no service from inside: it reaches CloudFormation and the metadata service over HTTP, as any instance does.
#![allow(
    clippy::disallowed_methods,
    reason = "these are programs of their own, at home in an instance's files and clock"
)]

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

mod cfn_get_metadata;
mod cfn_hup;
mod cfn_init;
mod cfn_signal;
mod cloudformation;
mod credentials;
mod ec2_metadata;
mod error;
mod http_client;
mod identity;
mod log;
mod metadata_service;
mod native_names;
mod options;
mod rpm;
mod services;
mod system;
#[cfg(test)]
mod testing;
mod value;
mod yum;

use system::System;

/// A place in an image where a tool is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Where the link to the binary stands.
    pub path: &'static str,
    /// Whether it takes the place of a program that the image has there already.
    pub replaces: bool,
}

const fn always(path: &'static str) -> Link {
    Link { path, replaces: true }
}

const fn if_missing(path: &'static str) -> Link {
    Link { path, replaces: false }
}

/// Where an image gets links to the binary. Service commands take the place of the image's own: those know neither
/// Amazon Linux's names nor how to do without an init system.
pub const LINKS: &[Link] = &[
    always("/opt/aws/bin/cfn-init"),
    always("/opt/aws/bin/cfn-signal"),
    always("/opt/aws/bin/cfn-get-metadata"),
    always("/opt/aws/bin/cfn-hup"),
    always("/opt/aws/bin/ec2-metadata"),
    always("/usr/bin/ec2-metadata"),
    if_missing("/usr/bin/yum"),
    if_missing("/usr/bin/dnf"),
    if_missing("/usr/bin/rpm"),
    always("/sbin/service"),
    always("/sbin/chkconfig"),
    always("/usr/bin/systemctl"),
    always("/sbin/millpond-boot"),
];

/// Runs the tool that `argv` names in its first word; `None` when that is no tool's name.
pub fn main(argv: &[OsString]) -> Option<ExitCode> {
    let name = Path::new(argv.first()?).file_name()?.to_str()?.to_owned();
    let arguments = argv.get(1..).unwrap_or_default();
    let run: fn(&System, &[OsString]) -> u8 = match name.as_str() {
        "cfn-init" => cfn_init::main,
        "cfn-signal" => cfn_signal::main,
        "cfn-get-metadata" => cfn_get_metadata::main,
        "cfn-hup" => cfn_hup::main,
        "ec2-metadata" => ec2_metadata::main,
        "yum" | "dnf" => yum::main,
        "rpm" => rpm::main,
        "service" => services::commands::service,
        "chkconfig" => services::commands::chkconfig,
        "systemctl" => services::commands::systemctl,
        // Distributions link these to systemctl, whose place we take; as the server they would serve.
        "runlevel" => services::power::runlevel,
        "halt" | "poweroff" => services::power::off,
        "reboot" => services::power::reboot,
        "shutdown" => services::power::shutdown,
        "telinit" => services::power::telinit,
        "millpond-boot" => services::commands::boot,
        _ => return None,
    };
    Some(ExitCode::from(run(&System::real(), arguments)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_by_another_name_is_not_ours() {
        for argv in [&["millpond", "serve"][..], &["/usr/bin/millpond"], &[""], &["/"], &[]] {
            let argv: Vec<OsString> = argv.iter().map(OsString::from).collect();
            assert!(main(&argv).is_none(), "{argv:?}");
        }
    }

    #[test]
    fn every_link_leads_to_a_tool() {
        let known = ["cfn-init", "cfn-signal", "cfn-get-metadata", "cfn-hup", "ec2-metadata", "yum", "dnf", "rpm"];
        let known = known.iter().chain(&["service", "chkconfig", "systemctl", "millpond-boot"]);
        let known: Vec<&str> = known.copied().collect();
        for link in LINKS {
            assert!(known.contains(&link.path.rsplit('/').next().unwrap()), "{link:?}");
        }
    }
}
