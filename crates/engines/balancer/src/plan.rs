//! Which addresses a configuration opens, keeps and closes.
//!
//! Invariants:
//! - Pure: what is served now and what shall be served go in, the difference comes out.
//! - Every address of the configuration is in exactly one of `open`, `keep` and `replace`; every other that is served
//!   is in `close`.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use crate::config::{Config, Frontend, LoadBalancerId};

/// What connections of one address have in common for as long as they live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Serves {
    pub(crate) load_balancer: LoadBalancerId,
    pub(crate) speaks: Speaks,
}

/// A frontend's protocol. A connection that began with one cannot go on with another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http,
    Https,
    Tcp,
    Ssl,
}

impl Speaks {
    pub(crate) fn of(frontend: &Frontend) -> Self {
        match frontend {
            Frontend::Http => Self::Http,
            Frontend::Https(_) => Self::Https,
            Frontend::Tcp => Self::Tcp,
            Frontend::Ssl(_) => Self::Ssl,
        }
    }
}

/// An address that shall be served, and by what: indexes into the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) address: SocketAddr,
    pub(crate) serves: Serves,
    pub(crate) load_balancer: usize,
    pub(crate) node: usize,
    pub(crate) listener: usize,
}

/// The way from what is served to a configuration.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Not served yet.
    pub(crate) open: Vec<Wanted>,
    /// Served, and open connections go on with it.
    pub(crate) keep: Vec<Wanted>,
    /// Served, but as something else: open connections end, new ones are another's.
    pub(crate) replace: Vec<Wanted>,
    /// Served and no longer wanted.
    pub(crate) close: Vec<SocketAddr>,
    /// Wanted more than once; who has it goes on, else the first gets it.
    pub(crate) duplicates: Vec<SocketAddr>,
}

/// Works out the difference. An address with `None` has sockets, and nothing to serve yet.
pub(crate) fn plan(serving: &HashMap<SocketAddr, Option<Serves>>, config: &Config) -> Plan {
    let mut plan = Plan::default();
    let mut chosen: HashMap<SocketAddr, Wanted> = HashMap::with_capacity(serving.len());
    let mut order = Vec::with_capacity(serving.len());
    for wanted in all_wanted(config) {
        match chosen.get_mut(&wanted.address) {
            None => {
                order.push(wanted.address);
                chosen.insert(wanted.address, wanted);
            }
            Some(first) => {
                plan.duplicates.push(wanted.address);
                if serving.get(&wanted.address).is_some_and(|serves| *serves == Some(wanted.serves)) {
                    *first = wanted;
                }
            }
        }
    }
    for wanted in order.iter().filter_map(|address| chosen.get(address)) {
        match serving.get(&wanted.address) {
            None => plan.open.push(*wanted),
            Some(serves) if *serves == Some(wanted.serves) => plan.keep.push(*wanted),
            Some(_) => plan.replace.push(*wanted),
        }
    }
    plan.close.extend(serving.keys().filter(|address| !chosen.contains_key(address)));
    plan
}

/// Every listener at every node of every load balancer; of two load balancers with one id the first.
fn all_wanted(config: &Config) -> impl Iterator<Item = Wanted> {
    let mut seen = HashSet::with_capacity(config.load_balancers.len());
    let unique = config.load_balancers.iter().enumerate().filter(move |(_, balancer)| seen.insert(balancer.id));
    unique.flat_map(|(load_balancer, balancer)| {
        balancer.nodes.iter().enumerate().flat_map(move |(node, at)| {
            balancer.listeners.iter().enumerate().map(move |(listener, listening)| Wanted {
                address: SocketAddr::new(at.address, listening.port),
                serves: Serves { load_balancer: balancer.id, speaks: Speaks::of(&listening.frontend) },
                load_balancer,
                node,
                listener,
            })
        })
    })
}

/// The addresses of a configuration, in its order, each once.
pub(crate) fn addresses(config: &Config) -> Vec<SocketAddr> {
    let mut seen = HashSet::new();
    all_wanted(config).map(|wanted| wanted.address).filter(|address| seen.insert(*address)).collect()
}

#[cfg(test)]
pub(crate) mod tests;
