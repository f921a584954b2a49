//! Debian's packages, installed where a program is missing.
//!
//! Invariants:
//! - A program that is there is never installed again, from wherever it came.
//! - What is installed is not started, and no policy of ours is left behind.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Installs `packages`, as root or through sudo, if there is no such program; else says what to type.
pub(crate) fn ensure_installed(program: &str, packages: &[&str]) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps servers where only root's PATH leads.
    let folders = std::env::split_paths(&path).chain(["/sbin".into(), "/usr/sbin".into(), "/usr/local/sbin".into()]);
    let found = folders.into_iter().any(|folder| folder.join(program).is_file());
    if found { Ok(()) } else { install(packages) }
}

/// Where Debian's tools look for a policy on starting services.
const SERVICE_POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs Debian packages, as root or through sudo; else says what to type.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    let mut command = Command::new(if is_root { "sh" } else { "sudo" });
    if !is_root {
        command.arg("sh");
    }
    command.args(["-c", &install_script(SERVICE_POLICY, packages)]).stdout(Stdio::null());
    let typed = packages.join(" ");
    let advice = || format!("{typed} is needed; run: apt-get install --yes --no-install-recommends {typed}");
    let status = command.status().with_context(advice)?;
    ensure!(status.success(), advice());
    Ok(())
}

/// Installs without starting what is installed: nginx and MariaDB would take ports, on this machine and in the tests.
/// systemd's half of Debian's tools asks nothing but a policy (not RUNLEVEL), so there is one while this runs, unless the
/// machine has its own.
fn install_script(policy: &str, packages: &[&str]) -> String {
    format!(
        "export DEBIAN_FRONTEND=noninteractive
         if [ ! -e {policy} ]; then
             trap 'rm -f {policy}' EXIT
             trap 'exit 130' HUP INT TERM
             printf '#!/bin/sh\n# Left by `cargo x`, if it is not running: remove this file.\nexit 101\n' > {policy}
             chmod 755 {policy}
         fi
         apt-get update -qq
         apt-get install --yes --no-install-recommends {}",
        packages.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Runs the script with an apt-get that fails unless a policy keeps services from starting; whether it went well, and
    /// whether there is a policy afterwards.
    fn installed(name: &str, existing_policy: Option<&str>) -> (bool, bool) {
        use std::os::unix::fs::PermissionsExt;
        let folder = std::env::temp_dir().join(format!("xtask-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (policy, apt) = (folder.join("policy-rc.d"), folder.join("apt-get"));
        let write = |path: &Path, text: &str| {
            std::fs::write(path, text).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        write(&apt, &format!("#!/bin/sh\n{} nginx start\n[ $? = 101 ]\n", policy.display()));
        if let Some(text) = existing_policy {
            write(&policy, text);
        }
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
        let script = install_script(policy.to_str().unwrap(), &["nginx-light"]);
        let status = Command::new("sh").args(["-c", &script]).env("PATH", path).status().unwrap();
        let left = policy.exists();
        std::fs::remove_dir_all(&folder).unwrap();
        (status.success(), left)
    }

    #[test]
    fn what_is_installed_is_not_started_and_no_policy_is_left() {
        assert_eq!(installed("none", None), (true, false));
        assert_eq!(installed("own", Some("#!/bin/sh\nexit 101\n")), (true, true), "the machine's own stays");
        assert_eq!(installed("lax", Some("#!/bin/sh\nexit 0\n")), (false, true), "and is obeyed");
    }
}
