//! A census: everything on this machine that belongs to one engine, and the host's own things that it must not touch.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// What there is. An engine that left nothing behind leaves a census with nothing but the host's own.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// Processes that bear the mark of an instance of the engine.
    pub(crate) processes: BTreeSet<u32>,
    /// Mounts that this process sees with the engine's directory in them.
    pub(crate) mounts: Vec<String>,
    /// Network namespaces that are kept, or that instances' processes are in.
    pub(crate) namespaces: BTreeSet<String>,
    /// The cgroups of the engine and of its instances.
    pub(crate) cgroups: BTreeSet<String>,
    /// Files of the engine's directory.
    pub(crate) files: usize,
    /// The host's own network cards.
    pub(crate) host_cards: BTreeSet<String>,
    /// The host's own packet filters.
    pub(crate) host_filters: String,
    /// Whether the host forwards.
    pub(crate) host_forwards: String,
}

impl Census {
    /// Counts what belongs to the engine in `dir`, whose instances all have `tag` in their ids.
    pub(crate) fn take(dir: &Path, tag: &str) -> Self {
        let mut census = Self { files: count_files(dir), ..Self::default() };
        let mark = format!("MILLPOND_INSTANCE=i-{tag}");
        for pid in names("/proc").iter().filter_map(|name| name.parse::<u32>().ok()) {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let cgroup = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            let marked = environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(mark.as_bytes()));
            // One that has ended and waits for the host's own first process to take notice is no process any more.
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('Z')) {
                continue;
            }
            if marked || cgroup.contains(&format!("/i-{tag}")) {
                census.processes.insert(pid);
                if let Ok(namespace) = std::fs::read_link(format!("/proc/{pid}/ns/net")) {
                    census.namespaces.insert(namespace.to_string_lossy().into_owned());
                }
            }
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        census.mounts =
            mounts.lines().filter(|line| line.contains(&*dir.to_string_lossy())).map(str::to_owned).collect();
        for controller in names("/sys/fs/cgroup") {
            let wanted = [format!("i-{tag}"), group_name(dir)];
            find_cgroups(&Path::new("/sys/fs/cgroup").join(controller), &wanted, 0, &mut census.cgroups);
        }
        census.host_cards = names("/sys/class/net").into_iter().collect();
        census.host_filters = output("nft", &["list", "ruleset"]);
        census.host_forwards = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap_or_default();
        census
    }
}

impl Census {
    /// Those of instances alone; the engine's own stay for as long as it does.
    pub(crate) fn instances_cgroups(&self) -> Vec<&String> {
        self.cgroups.iter().filter(|group| group.contains("/i-")).collect()
    }
}

/// The engine's own group is named after its directory.
fn group_name(dir: &Path) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(dir.join("machines").as_os_str().as_encoded_bytes());
    format!("millpond-{}", digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect::<String>())
}

fn find_cgroups(group: &Path, wanted: &[String], depth: usize, found: &mut BTreeSet<String>) {
    for name in names(group) {
        let below = group.join(&name);
        if !below.is_dir() || depth > 6 {
            continue;
        }
        if wanted.iter().any(|wanted| name.starts_with(wanted)) {
            found.insert(below.to_string_lossy().into_owned());
        }
        find_cgroups(&below, wanted, depth + 1, found);
    }
}

fn count_files(dir: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let count = |entry: std::fs::DirEntry| {
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        1 + if is_dir { count_files(&entry.path()) } else { 0 }
    };
    entries.flatten().map(count).sum()
}

fn names(dir: impl AsRef<Path>) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}
