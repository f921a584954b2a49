//! A VPC's router: a namespace whose own addresses are the gateways', the services' and the balancer nodes'.
//!
//! Invariants:
//! - Everything is convergent: doing it again changes nothing, and doing it after a crash repairs.
//! - A kept namespace is complete: it is kept last.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::config::{Interface, Subnet, Vpc};
use super::filter::{self, card};
use super::namespace::Namespace;
use super::{DNS_ADDRESS, EGRESS_ADDRESS, EGRESS_MARK, METADATA_ADDRESS, programs};
use crate::files;

/// The routing table by which marked datagrams stay in the router.
const EGRESS_TABLE: u32 = 100;

/// What a new router's kernel is told, below /proc/sys/net.
const SYSCTLS: &[(&str, &str)] = &[
    ("ipv4/ip_forward", "1"),
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
    ("ipv4/conf/default/rp_filter", "1"),
    ("ipv4/conf/default/proxy_arp", "1"),
    // Instances have IPv4 only; what the filter does not see must not pass.
    ("ipv6/conf/all/disable_ipv6", "1"),
    ("ipv6/conf/default/disable_ipv6", "1"),
];

/// A router that stands.
pub(crate) struct Router {
    pub(crate) namespace: Namespace,
    path: PathBuf,
    /// The filter that is in place, so that the same is not put there again.
    filter: Mutex<String>,
}

impl Router {
    /// The router that is kept at `path`; made if there is none.
    pub(crate) fn find_or_make(path: &Path) -> io::Result<Self> {
        let namespace = match Namespace::open(path)? {
            Some(namespace) => namespace,
            None => Namespace::make(path, set_up)?,
        };
        Ok(Self { namespace, path: path.to_owned(), filter: Mutex::default() })
    }

    /// Makes addresses and filters those of `vpc`.
    pub(crate) fn converge(&self, vpc: &Vpc, endpoints: &[Ipv4Addr]) -> io::Result<()> {
        let wanted = own_addresses(vpc, endpoints);
        let script = filter::script(vpc, endpoints);
        let mut in_place = self.filter.lock();
        let new_filter = (*in_place != script).then_some(&script);
        self.namespace.enter(|| {
            // A new address must never be there without its filter, nor an old one.
            if let Some(script) = new_filter {
                programs::nft(script)?;
            }
            converge_addresses(&wanted)
        })?;
        *in_place = script;
        Ok(())
    }

    /// Lays the cable to an instance. Called on a thread that is in the instance's namespace.
    pub(crate) fn plug(&self, interface: &Interface, subnet: &Subnet) -> io::Result<()> {
        let (card, address, gateway) = (card(interface.address), interface.address, subnet.gateway());
        let mac: Vec<String> = interface.mac.iter().map(|byte| format!("{byte:02x}")).collect();
        let router = self.path.to_str().ok_or(io::ErrorKind::InvalidInput)?;
        // A cable of before may not have gone yet: the kernel takes its time with a dead instance's namespace.
        self.unplug(interface.address)?;
        programs::ip(&format!(
            "link set lo up\nlink add eth0 address {} type veth peer name {card} netns {router}\n",
            mac.join(":")
        ))?;
        let _ = files::write(Path::new("/proc/sys/net/ipv6/conf/eth0/disable_ipv6"), "1");
        programs::ip(&format!(
            "addr add {address}/32 dev eth0\nlink set eth0 up\n\
             route add {gateway}/32 dev eth0\nroute add default via {gateway} dev eth0\n"
        ))?;
        self.namespace.enter(|| programs::ip(&format!("link set {card} up\nroute replace {address}/32 dev {card}\n")))
    }

    /// Takes an instance's cable away, if it is there.
    pub(crate) fn unplug(&self, address: Ipv4Addr) -> io::Result<()> {
        let card = card(address);
        self.namespace.enter(|| {
            let is_there = || Path::new("/proc/sys/net/ipv4/conf").join(&card).exists();
            if !is_there() {
                return Ok(());
            }
            let deleted = programs::ip(&format!("link delete {card}\n"));
            // The kernel may have been faster: it goes with the instance's namespace.
            if is_there() { deleted } else { Ok(()) }
        })
    }
}

fn set_up() -> io::Result<()> {
    for (name, value) in SYSCTLS {
        match files::write(&Path::new("/proc/sys/net").join(name), value) {
            // A kernel without IPv6 has nothing to switch off.
            Err(error) if error.kind() == io::ErrorKind::NotFound && name.starts_with("ipv6") => {}
            other => other?,
        }
    }
    programs::ip(&format!(
        "link set lo up\nroute add blackhole default metric 4096\n\
         rule add fwmark {EGRESS_MARK} lookup {EGRESS_TABLE}\nroute add local default dev lo table {EGRESS_TABLE}\n"
    ))
}

fn own_addresses(vpc: &Vpc, endpoints: &[Ipv4Addr]) -> BTreeSet<Ipv4Addr> {
    let services = [METADATA_ADDRESS, DNS_ADDRESS, EGRESS_ADDRESS].into_iter().chain(vpc.resolver());
    let gateways = vpc.subnets.values().map(Subnet::gateway);
    let nodes = vpc.balancer_nodes.iter().map(|node| node.address);
    services.chain(gateways).chain(nodes).chain(endpoints.iter().copied()).collect()
}

fn converge_addresses(wanted: &BTreeSet<Ipv4Addr>) -> io::Result<()> {
    let listed = programs::ip_output(&["-4", "-o", "addr", "show", "dev", "lo", "scope", "global"])?;
    // "1: lo    inet 10.0.0.1/32 scope global lo\       valid_lft forever preferred_lft forever"
    let there: BTreeSet<Ipv4Addr> = listed
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().skip_while(|word| *word != "inet").nth(1)?.split('/').next())
        .filter_map(|address| address.parse().ok())
        .collect();
    let mut lines = String::new();
    for address in wanted.difference(&there) {
        let _ = writeln!(lines, "addr add {address}/32 dev lo scope global");
    }
    for address in there.difference(wanted) {
        let _ = writeln!(lines, "addr del {address}/32 dev lo");
    }
    if lines.is_empty() { Ok(()) } else { programs::ip(&lines) }
}
