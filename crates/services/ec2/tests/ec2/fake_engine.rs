//! An engine whose instances are not there: it remembers what it was told, and says what a test wants.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use async_trait::async_trait;
use ec2::{InstanceEngine, Instances};
use host::Timestamp;
use machines::{
    EngineError, Instance, InstanceId, InstanceSpec, InstanceState, Metadata, MetadataDocument, Networks, Reason,
};
use parking_lot::Mutex;
use tokio::sync::watch;

pub(crate) struct FakeEngine {
    instances: watch::Sender<Instances>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    networks: Networks,
    metadata: Option<Arc<dyn Metadata>>,
    /// What it did, `launch i-…`.
    deeds: Vec<String>,
    /// Whether networks can't be had.
    publishing_fails: bool,
    /// Why the next launch fails.
    launch_fails: Option<String>,
}

impl FakeEngine {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { instances: watch::Sender::new(Arc::default()), inner: Mutex::default() })
    }

    pub(crate) fn networks(&self) -> Networks {
        self.inner.lock().networks.clone()
    }

    pub(crate) fn deeds(&self) -> Vec<String> {
        self.inner.lock().deeds.clone()
    }

    pub(crate) fn fail_launches(&self, why: &str) {
        self.inner.lock().launch_fails = Some(why.to_owned());
    }

    pub(crate) fn fail_publishing(&self, fails: bool) {
        self.inner.lock().publishing_fails = fails;
    }

    pub(crate) fn metadata(&self, id: &str) -> Option<Arc<MetadataDocument>> {
        let metadata = self.inner.lock().metadata.clone().unwrap();
        metadata.document(&InstanceId(id.into()))
    }

    pub(crate) fn spec(&self, id: &str) -> Option<Arc<InstanceSpec>> {
        self.instances.borrow().get(&InstanceId(id.into())).map(|instance| instance.spec.clone())
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        self.instances.borrow().keys().map(|id| id.0.to_string()).collect()
    }

    /// As if the instance had done this by itself.
    pub(crate) fn becomes(&self, id: &str, state: InstanceState, reason: Option<Reason>) {
        self.change(&InstanceId(id.into()), |instance| {
            instance.state = state;
            instance.reason = reason;
        });
    }

    /// As if an earlier process had launched it.
    pub(crate) fn insert(&self, id: &str, state: InstanceState) {
        let spec = InstanceSpec {
            id: InstanceId(id.into()),
            image: machines::Image { root: machines::ImageRoot::Host, layers: Vec::new() },
            hostname: String::new(),
            user_data: None,
            public_keys: Vec::new(),
            limits: machines::ResourceLimits::default(),
            on_exit: machines::OnExit::Stop,
            environment: Vec::new(),
            shutdown_grace: std::time::Duration::ZERO,
        };
        self.put(instance(spec, state));
    }

    fn put(&self, instance: Instance) {
        self.instances.send_modify(|all| {
            let mut next: BTreeMap<_, _> = (**all).clone();
            next.insert(instance.spec.id.clone(), Arc::new(instance));
            *all = Arc::new(next);
        });
    }

    fn change(&self, id: &InstanceId, change: impl FnOnce(&mut Instance)) {
        self.instances.send_modify(|all| {
            let mut next: BTreeMap<_, _> = (**all).clone();
            let mut instance = (*next[id]).clone();
            change(&mut instance);
            next.insert(id.clone(), Arc::new(instance));
            *all = Arc::new(next);
        });
    }

    fn did(&self, deed: &str, id: &InstanceId) {
        self.inner.lock().deeds.push(format!("{deed} {id}"));
    }

    fn state(&self, id: &InstanceId) -> Result<InstanceState, EngineError> {
        let state = self.instances.borrow().get(id).map(|instance| instance.state);
        state.ok_or_else(|| EngineError::NoSuchInstance(id.clone()))
    }

    fn expect(&self, id: &InstanceId, wanted: InstanceState) -> Result<(), EngineError> {
        let state = self.state(id)?;
        if state == wanted { Ok(()) } else { Err(EngineError::WrongState { id: id.clone(), state }) }
    }
}

fn instance(spec: InstanceSpec, state: InstanceState) -> Instance {
    Instance {
        spec: Arc::new(spec),
        state,
        reason: None,
        started: Timestamp(0),
        since: Timestamp(0),
        pid: Some(1),
        address: Some(Ipv4Addr::LOCALHOST),
        dir: "/nowhere".into(),
    }
}

#[async_trait]
impl InstanceEngine for FakeEngine {
    async fn publish(&self, networks: Networks) -> Result<(), EngineError> {
        let mut inner = self.inner.lock();
        if inner.publishing_fails {
            return Err(EngineError::Unsupported("no nft".to_owned()));
        }
        inner.networks = networks;
        Ok(())
    }

    async fn launch(&self, spec: InstanceSpec) -> Result<(), EngineError> {
        if let Some(why) = self.inner.lock().launch_fails.take() {
            return Err(EngineError::Unsupported(why));
        }
        let has_interface = self
            .networks()
            .vpcs
            .values()
            .any(|vpc| vpc.interfaces.values().any(|interface| interface.instance.as_ref() == Some(&spec.id)));
        if !has_interface {
            return Err(EngineError::NoInterface(spec.id));
        }
        if self.state(&spec.id).is_ok() {
            return Err(EngineError::InstanceExists(spec.id));
        }
        self.did("launch", &spec.id);
        self.put(instance(spec, InstanceState::Running));
        Ok(())
    }

    async fn start_instance(&self, id: &InstanceId) -> Result<(), EngineError> {
        self.expect(id, InstanceState::Stopped)?;
        self.did("start", id);
        self.becomes(&id.0, InstanceState::Running, None);
        Ok(())
    }

    async fn stop(&self, id: &InstanceId) -> Result<(), EngineError> {
        self.expect(id, InstanceState::Running)?;
        self.did("stop", id);
        self.becomes(&id.0, InstanceState::Stopped, Some(Reason::Asked));
        Ok(())
    }

    async fn reboot(&self, id: &InstanceId) -> Result<(), EngineError> {
        self.expect(id, InstanceState::Running)?;
        self.did("reboot", id);
        Ok(())
    }

    async fn terminate(&self, id: &InstanceId) -> Result<(), EngineError> {
        self.state(id)?;
        self.did("terminate", id);
        self.becomes(&id.0, InstanceState::Terminated, Some(Reason::Asked));
        Ok(())
    }

    async fn forget(&self, id: &InstanceId) -> Result<(), EngineError> {
        self.expect(id, InstanceState::Terminated)?;
        self.did("forget", id);
        self.instances.send_modify(|all| {
            let mut next: BTreeMap<_, _> = (**all).clone();
            next.remove(id);
            *all = Arc::new(next);
        });
        Ok(())
    }

    async fn modify(&self, spec: InstanceSpec) -> Result<(), EngineError> {
        let id = spec.id.clone();
        self.state(&id)?;
        self.did("modify", &id);
        self.change(&id, |instance| instance.spec = Arc::new(spec));
        Ok(())
    }

    async fn console(&self, id: &InstanceId) -> Result<Vec<u8>, EngineError> {
        self.state(id)?;
        Ok(b"Cloud-init finished\n".to_vec())
    }

    fn instances(&self) -> watch::Receiver<Instances> {
        self.instances.subscribe()
    }

    fn set_metadata(&self, metadata: Arc<dyn Metadata>) {
        self.inner.lock().metadata = Some(metadata);
    }
}
