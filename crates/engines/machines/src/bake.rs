//! Baking: an image with packages in it, so that whoever is launched over it need not install them.
//!
//! Invariants:
//! - A baked layer is known by what went into it (image, layers, packages) and is made once: the second time it is there.
//! - It is there whole or not at all; what a crash leaves half baked, the next start removes, processes included.
//! - The builder is confined as an instance is, but for the network: it has the host's, since packages come from
//!   outside, and runs nothing but the image's own package manager.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::Digest as _;

use crate::boot::{BOOT, Boot, CONSOLE, DISK, MILESTONES, ROOT, Root, Task, WORK};
use crate::files;
use crate::image::{Image, ImageRoot};
use crate::launch::start_first;
use crate::network::DNS_ADDRESS;
use crate::process::Process;
use crate::user_data::install;

/// Ends the name of what is not whole yet.
pub(crate) const HALF: &str = ".half";
/// A package manager that takes longer waits for something that does not come.
const BAKED_WITHIN: Duration = Duration::from_secs(15 * 60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Lines of the package manager's that go into an error.
const LINES_TOLD: usize = 5;

/// What a baking needs.
pub(crate) struct Oven {
    /// Where layers are.
    pub(crate) layers: PathBuf,
    pub(crate) init_program: PathBuf,
    pub(crate) masked: Vec<PathBuf>,
    pub(crate) resolvers: Vec<SocketAddr>,
}

impl Oven {
    /// The image with `packages` in it.
    pub(crate) fn bake(&self, image: &Image, packages: &[String]) -> io::Result<Image> {
        let name = name_of(image, packages);
        let layer = self.layers.join(&name);
        if !layer.is_dir() {
            let half = self.layers.join(format!("{name}{HALF}"));
            files::remove_tree(&half)?;
            let baked = self.fill(&half, image, packages);
            if baked.is_ok() {
                files::rename(&half.join(DISK), &layer)?;
                files::sync_parent(&layer)?;
            }
            files::remove_tree(&half)?;
            baked?;
        }
        let layers = std::iter::once(layer).chain(image.layers.iter().cloned()).collect();
        Ok(Image { root: image.root.clone(), layers })
    }

    fn fill(&self, half: &Path, image: &Image, packages: &[String]) -> io::Result<()> {
        for directory in [DISK, WORK, ROOT] {
            std::fs::create_dir_all(half.join(directory))?;
        }
        let boot = serde_json::to_vec(&self.boot(image, packages)).map_err(io::Error::other)?;
        files::write(&half.join(BOOT), boot)?;
        let builder = start_first(&self.init_program, half, "builder").map_err(io::Error::other)?;
        let installed = wait(half, &builder);
        builder.kill();
        builder.wait();
        installed
    }

    fn boot(&self, image: &Image, packages: &[String]) -> Boot {
        let (lowest, masked) = match &image.root {
            ImageRoot::Host => (PathBuf::from("/"), self.masked.clone()),
            ImageRoot::Directory(directory) => (directory.clone(), Vec::new()),
        };
        let resolver = self.resolvers.iter().find_map(|server| match server.ip() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        });
        Boot {
            instance: "builder".into(),
            init_program: self.init_program.clone(),
            root: Some(Root {
                lower: image.layers.iter().cloned().chain([lowest]).collect(),
                masked,
                resolver: resolver.unwrap_or(DNS_ADDRESS),
                search: String::new(),
            }),
            hostname: "builder".into(),
            address: Ipv4Addr::LOCALHOST,
            cgroups: Vec::new(),
            environment: Vec::new(),
            public_keys: Vec::new(),
            tasks: VecDeque::from([no_services(), install(packages), services_again()]),
            first_boot: true,
            shutdown_grace_ms: 0,
        }
    }
}

/// Debian's packages start their services, which would have the host's network here.
fn no_services() -> Task {
    let content = b"#!/bin/sh\nexit 101\n".to_vec();
    Task::Write { path: POLICY.into(), content, mode: 0o755, owner: String::new(), append: false }
}

fn services_again() -> Task {
    Task::Run { argv: vec!["rm".into(), "-f".into(), POLICY.into()], counts: false }
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

#[allow(clippy::disallowed_methods, reason = "a deadline of real processes; nothing here is simulated")]
fn wait(half: &Path, builder: &Process) -> io::Result<()> {
    let deadline = Instant::now() + BAKED_WITHIN;
    loop {
        let ended = builder.has_ended();
        let milestones = files::read_string(&half.join(MILESTONES)).unwrap_or_default();
        match milestones.lines().find_map(|line| line.strip_prefix("user-data ")) {
            Some("0") => return Ok(()),
            None if !ended && Instant::now() < deadline => std::thread::sleep(LOOK_EVERY),
            _ => return Err(io::Error::other(last_words(half))),
        }
    }
}

fn last_words(half: &Path) -> String {
    let console = files::read(&half.join(CONSOLE)).unwrap_or_default();
    let console = String::from_utf8_lossy(&console);
    let lines: Vec<&str> = console.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES_TOLD)..].join("; ")
}

fn name_of(image: &Image, packages: &[String]) -> String {
    let mut packages = packages.to_vec();
    packages.sort();
    packages.dedup();
    let mut digest = sha2::Sha256::new();
    digest.update(format!("{image:?}{packages:?}"));
    digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
