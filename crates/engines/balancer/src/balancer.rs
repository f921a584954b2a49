//! [`Balancer`]: the handle by which a control plane commands the data plane.
//!
//! Invariants:
//! - Traffic goes on without the handle being used, and for as long as one clone of it lives.
//! - When the last clone is dropped every thread has ended: workers, health checks, DNS and the spool.
//! - No call waits for traffic, but [`Balancer::drain`].

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use host::{Clock, Disk, Ids};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::access_record::Spool;
use crate::bind_error::{BindError, BindFailure};
use crate::config::{Config, Limits, LoadBalancerId};
use crate::dns::{self, DnsOptions};
use crate::health::{Checker, TargetHealth};
use crate::listener;
use crate::plan;
use crate::publisher::{self, Publisher, Tables};
use crate::stats::{self, NodeStats};
use crate::target_health;
use crate::tls::Configs;
use crate::worker::{self, Shared, WorkerHandle};

/// What a balancer is started with.
pub struct Options {
    /// Stamps records and certificates.
    pub clock: Arc<dyn Clock>,
    /// Names spooled files, and shuffles.
    pub ids: Arc<dyn Ids>,
    /// Where access records are spooled.
    pub disk: Arc<dyn Disk>,
    /// Their directory on it.
    pub spool_dir: PathBuf,
    /// Bounds of everything.
    pub limits: Limits,
    /// Threads that serve traffic; 0 for one a core.
    pub worker_threads: usize,
    /// Where names are answered for, if at all.
    pub dns: Option<DnsOptions>,
    /// Sockets that another process listened on. The first configuration takes over those of its addresses, the others
    /// are closed then.
    pub inherited: Vec<ListeningSocket>,
    /// Another process serves until this one does: where DNS is answered, it may still answer too.
    pub takes_over: bool,
}

/// A listening socket, on its way from one process to the next.
#[derive(Debug)]
pub struct ListeningSocket {
    /// Where it listens.
    pub address: SocketAddr,
    /// The socket. Several may have one address: whoever takes one must take all, or connections are lost.
    pub fd: OwnedFd,
}

/// The data plane. Clones are the same one.
#[derive(Clone)]
pub struct Balancer {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    tables: Arc<Mutex<Tables>>,
    publisher: Arc<tokio::sync::Mutex<Publisher>>,
    checker: Arc<Checker>,
    spool: Spool,
    dns_addresses: Vec<SocketAddr>,
    reservations: AtomicU64,
    /// Connections from elsewhere; they go to the workers in turn.
    deliveries: AtomicUsize,
    workers: Arc<[WorkerHandle]>,
    /// Publishing and draining run there, so that a caller who stops waiting leaves nothing half done.
    control: Handle,
    threads: Mutex<Threads>,
}

/// What runs until the end.
struct Threads {
    /// Ends the control and the watch thread.
    stop: CancellationToken,
    handles: Vec<JoinHandle<()>>,
}

impl Balancer {
    /// Starts threads that serve nothing yet.
    ///
    /// # Errors
    /// A thread, the spool's directory, DNS's addresses or an inherited socket cannot be had.
    pub fn start(options: Options) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(options.clock, options.ids, options.limits));
        let stop = CancellationToken::new();
        let mut threads = Threads { stop: stop.clone(), handles: Vec::new() };
        let (control, control_thread) = runtime_thread("millpond-lb-control", stop.clone())?;
        threads.handles.push(control_thread);
        let (watch, watch_thread) = runtime_thread("millpond-lb-watch", stop)?;
        threads.handles.push(watch_thread);
        let spool = Spool::start(options.disk, options.spool_dir, Arc::clone(&shared.clock))?;
        let checker = Arc::new(Checker::start(&watch, Arc::clone(&shared)));
        let takes_over = options.takes_over;
        let start_dns = |dns| dns::start(&watch, &dns, Arc::clone(&shared), takes_over).map(Arc::new);
        let dns = options.dns.map(start_dns).transpose()?;
        let dns_addresses = dns.as_ref().map_or_else(Vec::new, |dns| dns.addresses().to_vec());
        let workers = start_workers(options.worker_threads, &shared, &spool, &mut threads)?;
        let mut tables = Tables::default();
        for socket in options.inherited {
            tables.inherited.entry(socket.address).or_default().push(listener::adopt(socket.fd)?);
        }
        let tables = Arc::new(Mutex::new(tables));
        let draining_began = Arc::new(Notify::new());
        control.spawn(publisher::cut_drained(Arc::clone(&tables), Arc::clone(&shared), Arc::clone(&draining_began)));
        let publisher = Publisher {
            shared: Arc::clone(&shared),
            tables: Arc::clone(&tables),
            workers: Arc::clone(&workers),
            tls: Configs::new(Arc::clone(&shared.clock)),
            checker: Arc::clone(&checker),
            dns,
            draining_began,
        };
        let inner = Inner {
            shared,
            tables,
            publisher: Arc::new(tokio::sync::Mutex::new(publisher)),
            checker,
            spool,
            dns_addresses,
            reservations: AtomicU64::new(0),
            deliveries: AtomicUsize::new(0),
            workers,
            control,
            threads: Mutex::new(threads),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Binds addresses that a later configuration will have, without taking connections, so that a change that could
    /// not be served can be refused. Addresses that are served already need no reservation and get none.
    ///
    /// # Errors
    /// The first address that cannot be had; none is reserved then.
    pub fn reserve(&self, addresses: &[SocketAddr]) -> Result<Reservation, BindError> {
        let number = self.inner.reservations.fetch_add(1, Ordering::Relaxed);
        // Gives back what was bound if a later one fails.
        let mut reservation = Reservation { number, addresses: Vec::new(), tables: Arc::clone(&self.inner.tables) };
        for &address in addresses {
            let mut tables = self.inner.tables.lock();
            if tables.shutting_down {
                return Err(BindError { address, failure: BindFailure::ShuttingDown });
            }
            if tables.served.contains_key(&address) || tables.inherited.contains_key(&address) {
                continue;
            }
            if tables.reserved.contains_key(&address) {
                return Err(BindError { address, failure: BindFailure::InUse });
            }
            let sockets = listener::bind(address, self.inner.workers.len())?;
            tables.reserved.insert(address, (number, sockets));
            drop(tables);
            reservation.addresses.push(address);
        }
        Ok(reservation)
    }

    /// Makes a configuration live; it is when this returns. Calls are served one after the other, in their order.
    ///
    /// # Errors
    /// The addresses that are not served, and why. All others are; these are tried again at the next call.
    pub async fn publish(&self, config: Config) -> Result<(), Vec<BindError>> {
        let publisher = Arc::clone(&self.inner.publisher);
        let addresses = plan::addresses(&config);
        let published = self.inner.control.spawn(async move { publisher.lock_owned().await.publish(&config).await });
        published.await.unwrap_or_else(|_| {
            let error = |address| BindError { address, failure: BindFailure::ShuttingDown };
            Err(addresses.into_iter().map(error).collect())
        })
    }

    /// Serves a connection that was accepted elsewhere as if `client` had connected to the listener at `listener`: by its
    /// access rules, and told to targets as that client. False when nothing is served there.
    pub async fn deliver(&self, listener: SocketAddr, stream: TcpStream, client: SocketAddr) -> bool {
        let door = {
            let tables = self.inner.tables.lock();
            tables.served.get(&listener).filter(|_| !tables.shutting_down).map(|served| Arc::clone(&served.door))
        };
        let Some(door) = door else { return false };
        let turn = self.inner.deliveries.fetch_add(1, Ordering::Relaxed);
        self.inner.workers[turn % self.inner.workers.len()].deliver(door, stream, client).await;
        true
    }

    /// How the targets of a load balancer are: those that it has, in their order, and then those that drain. Empty when
    /// there is no such load balancer.
    pub fn target_health(&self, load_balancer: LoadBalancerId) -> Vec<TargetHealth> {
        target_health::of(&self.inner.tables.lock().registry, &self.inner.checker, load_balancer)
    }

    /// A number that rises whenever some [`Balancer::target_health`] has changed.
    pub fn health_changes(&self) -> watch::Receiver<u64> {
        self.inner.shared.health.subscribe()
    }

    /// The numbers of all nodes.
    pub fn stats(&self) -> Vec<NodeStats> {
        let of = |entry| stats::of(entry, &self.inner.checker);
        self.inner.tables.lock().registry.entries().flat_map(of).collect()
    }

    /// The access records that wait to be published.
    pub fn records(&self) -> Spool {
        self.inner.spool.clone()
    }

    /// Where DNS is answered, over UDP and TCP; port 0 was asked for, another is said here.
    pub fn dns_addresses(&self) -> &[SocketAddr] {
        &self.inner.dns_addresses
    }

    /// Connections that ended by a panic; anything but 0 is a defect worth a report.
    pub fn panics(&self) -> u64 {
        self.inner.shared.panics.load(Ordering::Relaxed)
    }

    /// Duplicates of all listening sockets, for the next process. From now on [`Balancer::drain`] leaves connections
    /// that nobody has accepted yet to that process.
    ///
    /// # Errors
    /// No file descriptors are left.
    pub fn listening(&self) -> io::Result<Vec<ListeningSocket>> {
        let tables = self.inner.tables.lock();
        let duplicate = |(address, socket): (SocketAddr, &listener::Listening)| {
            socket.try_clone().map(|socket| ListeningSocket { address, fd: socket.into() })
        };
        let sockets = tables.listening().map(duplicate).collect::<io::Result<_>>()?;
        self.inner.shared.handed_over.store(true, Ordering::SeqCst);
        Ok(sockets)
    }

    /// Nobody took what [`Balancer::listening`] gave: all connections are for this process again.
    pub fn hand_over_failed(&self) {
        self.inner.shared.handed_over.store(false, Ordering::SeqCst);
    }

    /// Stops accepting, lets requests and TCP connections finish for as long as `within`, then cuts the rest. Nothing
    /// is served after it.
    pub async fn drain(&self, within: Duration) {
        let publisher = Arc::clone(&self.inner.publisher);
        let drained = self.inner.control.spawn(async move { publisher.lock_owned().await.drain(within).await });
        let _ = drained.await;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.ended.cancel();
        self.threads.get_mut().stop_and_join();
        self.spool.close();
    }
}

impl Threads {
    fn stop_and_join(&mut self) {
        self.stop.cancel();
        for thread in self.handles.drain(..) {
            // A handle dropped by one of the threads themselves cannot wait for it.
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("a thread of the balancer ended by a panic");
            }
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop_and_join();
    }
}

/// Addresses that are bound for a configuration to come. Dropping it gives back what none has claimed.
pub struct Reservation {
    number: u64,
    addresses: Vec<SocketAddr>,
    tables: Arc<Mutex<Tables>>,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut tables = self.tables.lock();
        for address in &self.addresses {
            // Claimed and closed since, somebody else may have reserved it again.
            if tables.reserved.get(address).is_some_and(|(number, _)| *number == self.number) {
                tables.reserved.remove(address);
            }
        }
    }
}

fn start_workers(
    threads: usize,
    shared: &Arc<Shared>,
    spool: &Spool,
    owner: &mut Threads,
) -> io::Result<Arc<[WorkerHandle]>> {
    let count = match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        count => count,
    };
    let mut handles = Vec::with_capacity(count);
    for number in 0..count {
        let (handle, thread) = worker::start(number, Arc::clone(shared), spool.recorder())?;
        handles.push(handle);
        owner.handles.push(thread);
    }
    Ok(handles.into())
}

/// A thread with a runtime that others give tasks to, until `stop`.
fn runtime_thread(name: &str, stop: CancellationToken) -> io::Result<(Handle, JoinHandle<()>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(stop.cancelled()))?;
    Ok((handle, thread))
}
