//! A laboratory: an engine with a VPC, in a directory of its own.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use machines::{
    Engine, GroupId, Image, ImageRoot, Instance, InstanceId, InstanceSpec, InstanceState, Interface, InterfaceId,
    Ipv4Network, Isolation, Networks, OnExit, Options, Peer, Protocol, ResourceLimits, Rule, SecurityGroup, Subnet,
    SubnetId, Vpc, VpcId,
};

use crate::census::Census;

/// Nothing here takes longer on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Lab {
    pub(crate) engine: Engine,
    pub(crate) networks: Networks,
    pub(crate) tag: String,
    pub(crate) before: Census,
    dir: Swept,
    isolation: Isolation,
}

/// The laboratory's directory. When a test fails half-way, what the engine would have ended is ended here.
struct Swept {
    /// `None`: somebody else's.
    dir: Option<tempfile::TempDir>,
    path: PathBuf,
    tag: String,
}

impl Swept {
    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Swept {
    fn drop(&mut self) {
        if self.dir.is_none() {
            return;
        }
        let run = |program: &str, argument: &str| {
            let _ = std::process::Command::new(program).arg(argument).status();
        };
        let kill = |pid: &u32| {
            let _ = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
        };
        let left = Census::take(self.path(), &self.tag);
        left.processes.iter().for_each(kill);
        std::thread::sleep(Duration::from_millis(if left.processes.is_empty() { 0 } else { 500 }));
        for mount in &left.mounts {
            run("umount", mount.split(' ').nth(4).unwrap_or_default());
        }
        for group in left.cgroups.iter().rev() {
            run("rmdir", group);
        }
    }
}

pub(crate) fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| status.contains("\nUid:\t0\t0\t0\t0"))
}

/// Whether the privileged mode is to be tested. As root there is no way round it.
pub(crate) fn may_be_privileged() -> bool {
    if !is_root() {
        eprintln!("not root: the privileged mode is not tested");
    }
    is_root()
}

pub(crate) fn vpc_id() -> VpcId {
    VpcId("vpc-1".into())
}

pub(crate) fn subnet_id() -> SubnetId {
    SubnetId("subnet-1".into())
}

pub(crate) fn group(name: &str) -> GroupId {
    GroupId(format!("sg-{name}").into())
}

pub(crate) fn everything(peer: Peer) -> Rule {
    Rule { protocol: Protocol::Any, peer }
}

pub(crate) fn tcp(port: u16, peer: Peer) -> Rule {
    Rule { protocol: Protocol::Tcp { first: port, last: port }, peer }
}

pub(crate) fn anyone() -> Peer {
    Peer::Network(Ipv4Network::ANY)
}

impl Lab {
    pub(crate) async fn privileged() -> Self {
        Self::new(Isolation::Privileged).await
    }

    pub(crate) async fn unprivileged() -> Self {
        Self::new(Isolation::Unprivileged).await
    }

    pub(crate) async fn new(isolation: Isolation) -> Self {
        static LABS: AtomicU32 = AtomicU32::new(0);
        let tag = format!("{:x}-{}", std::process::id(), LABS.fetch_add(1, Ordering::Relaxed));
        let dir = tempfile::Builder::new().prefix("machines-lab.").tempdir().unwrap();
        let before = Census::take(dir.path(), &tag);
        let path = dir.path().to_owned();
        let mut lab = Self::over(&path, &tag, isolation).await;
        lab.dir = Swept { dir: Some(dir), path, tag };
        lab.before = before;
        lab
    }

    /// Over a directory that somebody else looks after.
    pub(crate) async fn over(dir: &Path, tag: &str, isolation: Isolation) -> Self {
        let engine = start_when_free(options(dir.join("machines"), isolation)).await;
        // Loopback addresses of unprivileged instances are shared by the whole machine.
        let third = tag.bytes().fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
        let cidr = Ipv4Network { address: Ipv4Addr::new(10, 77, third, 0), prefix: 24 };
        let subnet = Subnet { cidr, internet: false, acl: None };
        let open = SecurityGroup { ingress: vec![everything(anyone())], egress: vec![everything(anyone())] };
        let vpc = Vpc {
            cidrs: vec![cidr],
            subnets: [(subnet_id(), subnet)].into(),
            groups: [(group("open"), open)].into(),
            ..Vpc::default()
        };
        let networks = Networks { vpcs: [(vpc_id(), Arc::new(vpc))].into() };
        engine.publish(networks.clone()).await.unwrap();
        let nothing = Swept { dir: None, path: dir.to_owned(), tag: tag.to_owned() };
        Self { engine, networks, tag: tag.to_owned(), before: Census::default(), dir: nothing, isolation }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.path().join("machines")
    }

    pub(crate) fn options(&self) -> Options {
        options(self.dir(), self.isolation)
    }

    pub(crate) fn census(&self) -> Census {
        Census::take(self.dir.path(), &self.tag)
    }

    pub(crate) fn vpc(&mut self) -> &mut Vpc {
        Arc::make_mut(self.networks.vpcs.get_mut(&vpc_id()).unwrap())
    }

    pub(crate) async fn publish(&self) {
        self.engine.publish(self.networks.clone()).await.unwrap();
    }

    pub(crate) fn id(&self, number: u8) -> InstanceId {
        InstanceId(format!("i-{}-{number}", self.tag).into())
    }

    pub(crate) fn address(&self, number: u8) -> Ipv4Addr {
        let cidr = self.networks.vpcs[&vpc_id()].cidrs[0];
        cidr.nth(u32::from(number))
    }

    /// Publishes an interface in these groups, for the instance with this number (which is its address's last byte).
    pub(crate) async fn interface(&mut self, number: u8, groups: &[GroupId]) {
        self.interface_in(subnet_id(), number, groups).await;
    }

    pub(crate) async fn interface_in(&mut self, subnet: SubnetId, number: u8, groups: &[GroupId]) {
        let interface = Interface {
            instance: Some(self.id(number)),
            address: self.address(number),
            mac: [2, 0, 0, 0, 0, number],
            subnet,
            groups: groups.to_vec(),
            names: vec![format!("ip-{number}.ec2.internal").into()],
        };
        self.vpc().interfaces.insert(InterfaceId(format!("eni-{number}").into()), interface);
        self.publish().await;
    }

    pub(crate) fn spec(&self, number: u8, user_data: &str) -> InstanceSpec {
        InstanceSpec {
            id: self.id(number),
            image: Image { root: ImageRoot::Host, layers: Vec::new() },
            hostname: format!("ip-{number}.ec2.internal"),
            user_data: Some(user_data.as_bytes().to_vec()),
            public_keys: Vec::new(),
            limits: ResourceLimits::default(),
            on_exit: OnExit::Stop,
            environment: Vec::new(),
            shutdown_grace: Duration::from_secs(2),
        }
    }

    /// Launches in the open group, and waits until it runs.
    pub(crate) async fn launch(&mut self, number: u8, user_data: &str) -> InstanceId {
        let spec = self.spec(number, user_data);
        self.launch_spec(number, spec, &[group("open")]).await
    }

    pub(crate) async fn launch_spec(&mut self, number: u8, spec: InstanceSpec, groups: &[GroupId]) -> InstanceId {
        self.interface(number, groups).await;
        let id = spec.id.clone();
        self.engine.launch(spec).await.unwrap();
        self.wait_for(&id, InstanceState::Running).await;
        id
    }

    pub(crate) async fn wait_for(&self, id: &InstanceId, state: InstanceState) -> Arc<Instance> {
        wait_for(&self.engine, id, state).await
    }

    /// Waits until the console holds `text`.
    pub(crate) async fn wait_for_console(&self, id: &InstanceId, text: &str) -> String {
        wait_for_console(&self.engine, id, text).await
    }

    /// Ends everything, and holds the census against that of before.
    pub(crate) async fn close(self) {
        let Self { engine, tag, before, dir, .. } = self;
        engine.purge().await.unwrap();
        let after = Census::take(dir.path(), &tag);
        assert_eq!(after, before, "something was left behind");
    }

    /// A second engine over the same directory, as after a restart; the first one's tasks end.
    pub(crate) async fn restart(self) -> Self {
        self.stop_then_async(|_, _| async {}).await
    }

    /// The same, with something happening while there is no engine.
    pub(crate) async fn stop_then(self, meanwhile: impl FnOnce()) -> Self {
        self.stop_then_async(|_, _| async { meanwhile() }).await
    }

    pub(crate) async fn stop_then_async<F: Future<Output = ()>>(
        self,
        meanwhile: impl FnOnce(PathBuf, String) -> F,
    ) -> Self {
        let Self { engine, networks, tag, before, dir, isolation } = self;
        drop(engine);
        // Its tasks take a moment to end, and let go of the directory.
        tokio::time::sleep(Duration::from_millis(200)).await;
        meanwhile(dir.path().to_owned(), tag.clone()).await;
        let engine = start_when_free(options(dir.path().join("machines"), isolation)).await;
        Self { engine, networks, tag, before, dir, isolation }
    }

    /// Waits until every instance is in a state that it stays in.
    pub(crate) async fn settle(&self) {
        let mut instances = self.engine.instances();
        let at_rest = |all: &Arc<BTreeMap<InstanceId, Arc<Instance>>>| {
            use InstanceState::{Running, Stopped, Terminated};
            all.values().all(|one| match one.state {
                Running => one.pid.is_some(),
                state => matches!(state, Stopped | Terminated),
            })
        };
        let settled = tokio::time::timeout(PATIENCE, instances.wait_for(at_rest)).await;
        settled.unwrap_or_else(|_| panic!("{:?}", self.engine.instances().borrow())).unwrap();
    }
}

/// The tasks of an engine in this process take a moment to end.
pub(crate) async fn start_when_free(options: Options) -> Engine {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match Engine::start(options.clone()).await {
            Ok(engine) => return engine,
            Err(error) if tokio::time::Instant::now() > deadline => panic!("{error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

pub(crate) async fn wait_for(engine: &Engine, id: &InstanceId, state: InstanceState) -> Arc<Instance> {
    let mut instances = engine.instances();
    let there = instances.wait_for(|all: &Arc<BTreeMap<_, Arc<Instance>>>| {
        let now = all.get(id).unwrap_or_else(|| panic!("{id} is not there"));
        if now.state != state && now.state == InstanceState::Terminated {
            panic!("{id} was terminated: {:?}", now.reason);
        }
        now.state == state
    });
    let all = tokio::time::timeout(PATIENCE, there).await.unwrap_or_else(|_| {
        panic!("{id} is {:?}, not {state:?}", engine.instance(id));
    });
    all.unwrap().get(id).unwrap().clone()
}

pub(crate) async fn wait_for_console(engine: &Engine, id: &InstanceId, text: &str) -> String {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let console = String::from_utf8_lossy(&engine.console(id).await.unwrap()).into_owned();
        if console.contains(text) {
            return console;
        }
        assert!(tokio::time::Instant::now() < deadline, "no {text:?} on the console of {id}:\n{console}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn options(dir: PathBuf, isolation: Isolation) -> Options {
    std::fs::create_dir_all(&dir).unwrap();
    Options {
        dir,
        clock: Arc::new(host::SystemClock),
        ids: Arc::new(host::SystemIds),
        isolation,
        init_program: env!("CARGO_BIN_EXE_machines-init").into(),
        masked_paths: Vec::new(),
        egress_denied: Vec::new(),
        resolvers: Vec::new(),
        endpoint_addresses: vec![Ipv4Addr::new(169, 254, 169, 252)],
    }
}
