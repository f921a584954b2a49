//! [`Table`]: which names there are, and which nodes stand behind them.
//!
//! Invariants:
//! - Names are found whatever their letters' case.
//! - A name that has others below it exists, even if it has no records (RFC 8020).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_proto::rr::Name;

use crate::health::Watched;
use crate::state::TargetState;

/// The label in front of a name that has IPv6 addresses only.
const IPV6_ONLY: &str = "ipv6.";
/// The name server's own label below the zone.
const NAME_SERVER: &str = "ns";

/// What a name stands for.
#[derive(Clone)]
pub(super) enum Entry {
    /// A load balancer.
    Nodes { nodes: Arc<[Node]>, ipv6_only: bool },
    /// This name server.
    NameServer,
    /// Nothing itself, but there are names below it.
    Empty,
}

/// One node of a load balancer.
pub(super) struct Node {
    pub(super) address: IpAddr,
    targets: Arc<[Arc<TargetState>]>,
}

impl Node {
    pub(super) fn can_serve(&self) -> bool {
        self.targets.iter().any(|target| target.is_in_service())
    }
}

/// All names of the zone.
pub(super) struct Table {
    pub(super) zone: Name,
    pub(super) name_server: Name,
    /// Where the name server is reached.
    pub(super) name_server_addresses: Vec<IpAddr>,
    /// Rises with each table.
    pub(super) serial: u32,
    names: HashMap<Name, Entry>,
}

impl Table {
    /// A zone without load balancers; `None` if that is no name.
    pub(super) fn empty(zone: &str, listen: &[SocketAddr]) -> Option<Self> {
        let zone = parse(zone)?;
        let name_server = zone.prepend_label(NAME_SERVER).ok()?;
        let addresses = listen.iter().map(SocketAddr::ip).filter(|address| !address.is_unspecified()).collect();
        let mut table = Self { zone, name_server, name_server_addresses: addresses, serial: 1, names: HashMap::new() };
        table.add_own_names();
        Some(table)
    }

    /// The next table, with these load balancers.
    pub(super) fn with(&self, watched: &[Watched], serial: u32) -> Self {
        let mut table = Self {
            zone: self.zone.clone(),
            name_server: self.name_server.clone(),
            name_server_addresses: self.name_server_addresses.clone(),
            serial: if serial > self.serial { serial } else { self.serial.wrapping_add(1) },
            names: HashMap::new(),
        };
        // Of each load balancer there is one entry a node, next to each other or not.
        let mut nodes: HashMap<_, (&Watched, Vec<Node>)> = HashMap::new();
        for of_node in watched {
            let node = Node { address: of_node.node.address, targets: Arc::clone(&of_node.targets) };
            nodes.entry(of_node.load_balancer.id).or_insert_with(|| (of_node, Vec::new())).1.push(node);
        }
        for (of_node, nodes) in nodes.into_values() {
            let nodes: Arc<[Node]> = nodes.into();
            for name in &of_node.load_balancer.dns_names {
                table.add(name, &nodes);
            }
        }
        table.add_own_names();
        table
    }

    pub(super) fn find(&self, name: &Name) -> Option<&Entry> {
        self.names.get(name)
    }

    fn add(&mut self, name: &str, nodes: &Arc<[Node]>) {
        let ipv6_only = name.starts_with(IPV6_ONLY);
        let Some(name) = parse(name).filter(|name| self.zone.zone_of(name)) else {
            tracing::warn!(name, zone = %self.zone, "a load balancer's name is not within the DNS server's zone");
            return;
        };
        self.add_ancestors(&name);
        self.names.insert(name, Entry::Nodes { nodes: Arc::clone(nodes), ipv6_only });
    }

    fn add_own_names(&mut self) {
        self.names.entry(self.zone.clone()).or_insert(Entry::Empty);
        self.names.insert(self.name_server.clone(), Entry::NameServer);
    }

    fn add_ancestors(&mut self, name: &Name) {
        let mut ancestor = name.base_name();
        while self.zone.zone_of(&ancestor) && ancestor.num_labels() > self.zone.num_labels() {
            self.names.entry(ancestor.clone()).or_insert(Entry::Empty);
            ancestor = ancestor.base_name();
        }
    }
}

fn parse(name: &str) -> Option<Name> {
    let mut name = Name::from_ascii(name).ok()?;
    name.set_fqdn(true);
    Some(name)
}

#[cfg(test)]
pub(super) mod tests;
