//! Publishing: from a configuration to sockets, routes and states, without a dropped request in between.
//!
//! Invariants:
//! - One configuration at a time, whole: when [`Publisher::publish`] returns, every worker serves it.
//! - An address that stays keeps its sockets, whatever else changes; new sockets take connections before old ones go.
//! - A target is cut only after no route leads to it any longer.
//! - What cannot be served (its address is taken, its TLS is broken) is reported, and tried again the next time.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use socket2::Socket;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::bind_error::{BindError, BindFailure};
use crate::config::{BackendProtocol, Config, Frontend, Listener};
use crate::dns;
use crate::health::{Checker, HealthState, Watched};
use crate::listener::{self, Door, Listening};
use crate::plan::{self, Serves, Wanted};
use crate::registry::Registry;
use crate::state::{Route, Slot, TargetState};
use crate::tls::Configs;
use crate::worker::{Shared, WorkerHandle};

/// How long a closing listener still takes connections whose handshake was under way.
const HANDSHAKES_FINISH: Duration = Duration::from_millis(20);
/// How long taking over from another process waits for the first health checks.
const JUDGED_WITHIN: Duration = Duration::from_secs(10);
/// How often draining targets are looked at, to let those go that have finished.
const DRAINED_TICK: Duration = Duration::from_millis(250);
/// How long what is cut at the end of draining may take to write its record.
const CUT_GRACE: Duration = Duration::from_millis(500);

/// An address that is served.
pub(crate) struct Served {
    pub(crate) door: Arc<Door>,
    /// One a worker, or as many as were inherited.
    sockets: Vec<Listening>,
    /// `None`: its route could not be made, so nobody is served until the next configuration.
    serves: Option<Serves>,
    /// Its newest route could not be made, so the one before is served.
    behind: bool,
}

/// What the handle and the publisher look at together; locked for moments, never while anybody waits.
#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) registry: Registry,
    pub(crate) served: HashMap<SocketAddr, Served>,
    /// Bound and not listening, by address, with the reservation's number.
    pub(crate) reserved: HashMap<SocketAddr, (u64, Vec<Socket>)>,
    /// Taken over from another process, and not yet claimed by a configuration.
    pub(crate) inherited: HashMap<SocketAddr, Vec<Listening>>,
    /// Draining has begun.
    pub(crate) shutting_down: bool,
}

impl Tables {
    /// Every socket that listens.
    pub(crate) fn listening(&self) -> impl Iterator<Item = (SocketAddr, &Listening)> {
        let served = self.served.iter().map(|(address, served)| (address, &served.sockets));
        served
            .chain(self.inherited.iter())
            .flat_map(|(address, sockets)| sockets.iter().map(|socket| (*address, socket)))
    }
}

/// Publishes, one configuration after the other.
pub(crate) struct Publisher {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tables: Arc<Mutex<Tables>>,
    pub(crate) workers: Arc<[WorkerHandle]>,
    pub(crate) tls: Configs,
    pub(crate) checker: Arc<Checker>,
    pub(crate) dns: Option<Arc<dns::Server>>,
    /// Told when targets begin to drain.
    pub(crate) draining_began: Arc<Notify>,
}

/// Addresses that are new, with the sockets that each worker shall accept from.
type Opening = Vec<Vec<(Arc<Door>, Listening)>>;

/// What the lock was needed for; the rest takes its time.
#[derive(Default)]
struct Prepared {
    opening: Opening,
    /// Slots whose connections shall end once they are idle, now that new ones get another.
    emptied: Vec<Arc<Slot>>,
    closing: Vec<(SocketAddr, Served)>,
    cut: Vec<Arc<TargetState>>,
    watched: Vec<Watched>,
    /// Sockets were inherited, from a process that serves until it is told that this one does.
    takes_over: bool,
    errors: Vec<BindError>,
}

impl Publisher {
    /// Makes a configuration live.
    ///
    /// # Errors
    /// The addresses that are not served; all others are.
    pub(crate) async fn publish(&mut self, config: &Config) -> Result<(), Vec<BindError>> {
        let prepared = self.prepare(config, Instant::now())?;
        // Before anything is accepted or closed, so that whoever takes over knows soon who serves.
        if let Some(dns) = &self.dns {
            dns.publish(&prepared.watched);
        }
        self.checker.publish(prepared.watched.clone());
        if prepared.takes_over {
            self.wait_until_judged(&prepared.watched).await;
        }
        self.open(prepared.opening).await;
        self.close(prepared.closing).await;
        prepared.emptied.iter().for_each(|slot| slot.set(None));
        prepared.cut.iter().for_each(|target| target.cut_off());
        self.shared.changed();
        self.draining_began.notify_one();
        if prepared.errors.is_empty() { Ok(()) } else { Err(prepared.errors) }
    }

    /// All that needs no waiting: states, routes, and sockets that listen.
    fn prepare(&mut self, config: &Config, now: Instant) -> Result<Prepared, Vec<BindError>> {
        let tables = Arc::clone(&self.tables);
        let mut tables = tables.lock();
        if tables.shutting_down {
            let error = |address| BindError { address, failure: BindFailure::ShuttingDown };
            return Err(plan::addresses(config).into_iter().map(error).collect());
        }
        let serving = tables.served.iter().map(|(address, served)| (*address, served.serves));
        let plan = plan::plan(&serving.collect(), config);
        let applied = tables.registry.apply(config, now);
        let had_inherited = !tables.inherited.is_empty();
        let mut prepared = Prepared { cut: applied.cut, ..Prepared::default() };
        prepared.opening.resize_with(self.workers.len(), Vec::new);
        let duplicate = |address: &SocketAddr| BindError { address: *address, failure: BindFailure::Duplicate };
        prepared.errors.extend(plan.duplicates.iter().map(duplicate));
        let tables = &mut *tables;
        for wanted in &plan.keep {
            self.keep(tables, config, wanted, applied.changed.contains(&wanted.serves.load_balancer), &mut prepared);
        }
        plan.replace.iter().for_each(|wanted| self.replace(tables, config, wanted, &mut prepared));
        plan.open.iter().for_each(|wanted| self.begin(tables, config, wanted, &mut prepared));
        let close = plan.close.iter().filter_map(|address| tables.served.remove_entry(address));
        prepared.closing.extend(close);
        prepared.takes_over = had_inherited;
        // Nobody claims them any more; the process that gave them has been told to finish with them.
        tables.inherited.clear();
        prepared.watched = watched(&tables.registry);
        Ok(prepared)
    }

    /// An address that goes on serving what it serves, perhaps changed.
    fn keep(&mut self, tables: &mut Tables, config: &Config, wanted: &Wanted, changed: bool, prepared: &mut Prepared) {
        let Some(served) = tables.served.get_mut(&wanted.address) else { return };
        if !changed && !served.behind {
            return;
        }
        match route(&tables.registry, &mut self.tls, config, wanted) {
            Ok(route) => {
                served.behind = false;
                served.door.slot().set(Some(Arc::new(route)));
            }
            Err(error) => {
                served.behind = true;
                prepared.errors.push(error);
            }
        }
    }

    /// An address that serves something else from now on.
    fn replace(&mut self, tables: &mut Tables, config: &Config, wanted: &Wanted, prepared: &mut Prepared) {
        let Some(served) = tables.served.get_mut(&wanted.address) else { return };
        let slot = Arc::new(Slot::default());
        match route(&tables.registry, &mut self.tls, config, wanted) {
            Ok(route) => {
                slot.set(Some(Arc::new(route)));
                served.serves = Some(wanted.serves);
            }
            Err(error) => {
                served.serves = None;
                prepared.errors.push(error);
            }
        }
        served.behind = false;
        prepared.emptied.push(served.door.replace(slot));
    }

    /// An address that is not served yet.
    fn begin(&mut self, tables: &mut Tables, config: &Config, wanted: &Wanted, prepared: &mut Prepared) {
        let route = route(&tables.registry, &mut self.tls, config, wanted);
        let begun = route.and_then(|route| Ok((route, claim(tables, wanted.address, self.workers.len())?)));
        match begun {
            Ok((route, sockets)) => {
                let slot = Arc::new(Slot::default());
                slot.set(Some(Arc::new(route)));
                let door = Arc::new(Door::new(wanted.address, slot));
                for (number, socket) in sockets.iter().enumerate() {
                    prepared.opening[number % self.workers.len()].push((Arc::clone(&door), Arc::clone(socket)));
                }
                let served = Served { door, sockets, serves: Some(wanted.serves), behind: false };
                tables.served.insert(wanted.address, served);
            }
            Err(error) => prepared.errors.push(error),
        }
    }

    /// Waits until every target was checked, within bounds: until then its node would answer 503.
    async fn wait_until_judged(&self, watched: &[Watched]) {
        let mut changes = self.shared.health.subscribe();
        let all_judged = async {
            let mut targets = watched.iter().flat_map(|watched| watched.targets.iter());
            let is_unknown = |target: &&Arc<TargetState>| self.checker.judgement(target).state == HealthState::Unknown;
            let mut unknown = targets.find(is_unknown);
            while let Some(target) = unknown {
                if !is_unknown(&target) {
                    unknown = targets.find(is_unknown);
                } else if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        if tokio::time::timeout(JUDGED_WITHIN, all_judged).await.is_err() {
            tracing::warn!("taking over although some targets were not checked yet");
        }
    }

    async fn open(&self, opening: Opening) {
        for (worker, doors) in self.workers.iter().zip(opening) {
            if !doors.is_empty() {
                worker.open(doors).await;
            }
        }
    }

    /// Closes listeners; returns when nobody can connect any longer and whoever had connected is being served.
    async fn close(&self, closing: Vec<(SocketAddr, Served)>) {
        if closing.is_empty() {
            return;
        }
        self.stop_handshakes(closing.iter().map(|(_, served)| served)).await;
        let addresses: Vec<SocketAddr> = closing.iter().map(|(address, _)| *address).collect();
        for worker in self.workers.iter() {
            worker.close(addresses.clone()).await;
        }
        closing.iter().for_each(|(_, served)| served.door.slot().set(None));
    }

    /// Lets no more clients in, but those that are at the door. Not if another process has the sockets too.
    async fn stop_handshakes(&self, served: impl Iterator<Item = &Served>) {
        if self.shared.handed_over.load(Ordering::SeqCst) {
            return;
        }
        served.flat_map(|served| &served.sockets).for_each(|socket| listener::stop_handshakes(socket));
        tokio::time::sleep(HANDSHAKES_FINISH).await;
    }

    /// Stops accepting, lets what has begun finish for as long as `within`, and ends the workers.
    pub(crate) async fn drain(&mut self, within: Duration) {
        let deadline = Instant::now() + within;
        self.stop_listening().await;
        self.shared.draining.cancel();
        self.shared.changed();
        if !self.wait_until_empty(deadline).await {
            tracing::warn!(
                connections = self.shared.connections.load(Ordering::Relaxed),
                "draining took too long; what is left is cut"
            );
            let targets: Vec<_> = self.tables.lock().registry.all_targets().cloned().collect();
            targets.iter().for_each(|target| target.cut_off());
            self.shared.changed();
            self.wait_until_empty(Instant::now() + CUT_GRACE).await;
        }
        self.shared.ended.cancel();
    }

    /// Takes no more connections. Those that are open keep their routes.
    async fn stop_listening(&self) {
        let served: Vec<Served> = {
            let mut tables = self.tables.lock();
            tables.shutting_down = true;
            tables.inherited.clear();
            tables.reserved.clear();
            tables.served.drain().map(|(_, served)| served).collect()
        };
        if served.is_empty() {
            return;
        }
        self.stop_handshakes(served.iter()).await;
        for worker in self.workers.iter() {
            worker.close_all().await;
        }
    }

    /// False: the deadline came first.
    async fn wait_until_empty(&self, deadline: Instant) -> bool {
        loop {
            let emptied = self.shared.emptied.notified();
            if self.shared.connections.load(Ordering::SeqCst) == 0 {
                return true;
            }
            if tokio::time::timeout_at(deadline, emptied).await.is_err() {
                return self.shared.connections.load(Ordering::SeqCst) == 0;
            }
        }
    }
}

/// Cuts targets whose time to drain is over, for ever.
pub(crate) async fn cut_drained(tables: Arc<Mutex<Tables>>, shared: Arc<Shared>, draining_began: Arc<Notify>) {
    loop {
        let next = {
            let tables = tables.lock();
            let drains = tables.registry.leaving().iter().any(|leaving| leaving.deregistered);
            let tick = drains.then(|| Instant::now() + DRAINED_TICK);
            [tick, tables.registry.next_deadline()].into_iter().flatten().min()
        };
        match next {
            None => draining_began.notified().await,
            Some(next) => tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = draining_began.notified() => {}
            },
        }
        let over = tables.lock().registry.expire(Instant::now());
        if !over.is_empty() {
            over.iter().for_each(|target| target.cut_off());
            shared.changed();
            shared.health_changed();
        }
    }
}

/// Sockets that listen at an address: inherited, reserved or new ones.
fn claim(tables: &mut Tables, address: SocketAddr, workers: usize) -> Result<Vec<Listening>, BindError> {
    if let Some(mut sockets) = tables.inherited.remove(&address) {
        // A worker without a socket would idle; where the socket's maker did not mean it to be shared, it does.
        while sockets.len() < workers {
            match listener::bind_beside(address).and_then(listener::listen) {
                Ok(socket) => sockets.push(socket),
                Err(error) => {
                    tracing::info!(%address, %error, "an inherited socket is served by fewer workers");
                    break;
                }
            }
        }
        return Ok(sockets);
    }
    let sockets = match tables.reserved.remove(&address) {
        Some((_, sockets)) => sockets,
        None => listener::bind(address, workers)?,
    };
    let listening = sockets.into_iter().map(listener::listen).collect::<std::io::Result<_>>();
    listening.map_err(|error| BindError { address, failure: BindFailure::from(&error) })
}

/// What an address serves, with everything that a request needs.
fn route(registry: &Registry, tls: &mut Configs, config: &Config, wanted: &Wanted) -> Result<Route, BindError> {
    let load_balancer = &config.load_balancers[wanted.load_balancer];
    let listener = &load_balancer.listeners[wanted.listener];
    let failed = |reason: String| BindError { address: wanted.address, failure: BindFailure::Tls(reason) };
    let Some(node) = registry.entry(load_balancer.id).and_then(|entry| entry.nodes.get(wanted.node)) else {
        return Err(failed("the load balancer has no such node".to_owned()));
    };
    let server_tls = match &listener.frontend {
        Frontend::Http | Frontend::Tcp => None,
        Frontend::Https(of) => Some(tls.server(of, true).map_err(|error| failed(error.to_string()))?),
        Frontend::Ssl(of) => Some(tls.server(of, false).map_err(|error| failed(error.to_string()))?),
    };
    Ok(Route {
        load_balancer: Arc::clone(load_balancer),
        listener: Arc::clone(listener),
        node: Arc::clone(&node.state),
        targets: Arc::clone(&node.targets),
        server_tls,
        client_tls: client_tls(tls, listener).map_err(|error| failed(error.to_string()))?,
    })
}

fn client_tls(
    tls: &mut Configs,
    listener: &Listener,
) -> Result<Option<Arc<rustls::ClientConfig>>, crate::tls::TlsConfigError> {
    match listener.backend.protocol {
        BackendProtocol::Http | BackendProtocol::Tcp => Ok(None),
        BackendProtocol::Https | BackendProtocol::Ssl => tls.client(listener.backend.trusted_keys.as_ref()).map(Some),
    }
}

/// Every node with the targets that it checks.
fn watched(registry: &Registry) -> Vec<Watched> {
    let of_entry = |entry: &crate::registry::Entry| {
        let load_balancer = Arc::clone(&entry.load_balancer);
        let watched = move |node: &crate::registry::NodeEntry| Watched {
            load_balancer: Arc::clone(&load_balancer),
            node: Arc::clone(&node.state),
            targets: Arc::clone(&node.targets),
        };
        entry.nodes.iter().map(watched).collect::<Vec<_>>()
    };
    registry.entries().flat_map(of_entry).collect()
}

#[cfg(test)]
mod tests;
