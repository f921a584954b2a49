//! [`InstanceEngine`]: what runs instances, as far as EC2 needs it.
//!
//! Invariant: it says what [`machines::Engine`] says; tests put one in its place whose instances are not there.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use machines::{Engine, EngineError, Instance, InstanceId, InstanceSpec, Metadata, Networks};
use tokio::sync::watch;

/// All instances of an engine, by id.
pub type Instances = Arc<BTreeMap<InstanceId, Arc<Instance>>>;

/// Runs instances. Its methods promise what those of [`machines::Engine`] do.
#[async_trait]
pub trait InstanceEngine: Send + Sync + 'static {
    /// Makes these networks hold.
    async fn publish(&self, networks: Networks) -> Result<(), EngineError>;
    /// Makes an instance.
    async fn launch(&self, spec: InstanceSpec) -> Result<(), EngineError>;
    /// Starts a stopped instance.
    async fn start_instance(&self, id: &InstanceId) -> Result<(), EngineError>;
    /// Stops a running instance.
    async fn stop(&self, id: &InstanceId) -> Result<(), EngineError>;
    /// Ends a running instance's processes and starts them anew.
    async fn reboot(&self, id: &InstanceId) -> Result<(), EngineError>;
    /// Ends an instance for good.
    async fn terminate(&self, id: &InstanceId) -> Result<(), EngineError>;
    /// Removes what is left of a terminated instance.
    async fn forget(&self, id: &InstanceId) -> Result<(), EngineError>;
    /// Changes what an instance is made from.
    async fn modify(&self, spec: InstanceSpec) -> Result<(), EngineError>;
    /// The newest console output.
    async fn console(&self, id: &InstanceId) -> Result<Vec<u8>, EngineError>;
    /// All instances, and a notice at each change.
    fn instances(&self) -> watch::Receiver<Instances>;
    /// Where metadata come from.
    fn set_metadata(&self, metadata: Arc<dyn Metadata>);
}

#[async_trait]
impl InstanceEngine for Engine {
    async fn publish(&self, networks: Networks) -> Result<(), EngineError> {
        Self::publish(self, networks).await
    }

    async fn launch(&self, spec: InstanceSpec) -> Result<(), EngineError> {
        Self::launch(self, spec).await
    }

    async fn start_instance(&self, id: &InstanceId) -> Result<(), EngineError> {
        Self::start_instance(self, id).await
    }

    async fn stop(&self, id: &InstanceId) -> Result<(), EngineError> {
        Self::stop(self, id).await
    }

    async fn reboot(&self, id: &InstanceId) -> Result<(), EngineError> {
        Self::reboot(self, id).await
    }

    async fn terminate(&self, id: &InstanceId) -> Result<(), EngineError> {
        Self::terminate(self, id).await
    }

    async fn forget(&self, id: &InstanceId) -> Result<(), EngineError> {
        Self::forget(self, id).await
    }

    async fn modify(&self, spec: InstanceSpec) -> Result<(), EngineError> {
        Self::modify(self, spec).await
    }

    async fn console(&self, id: &InstanceId) -> Result<Vec<u8>, EngineError> {
        Self::console(self, id).await
    }

    fn instances(&self) -> watch::Receiver<Instances> {
        Self::instances(self)
    }

    fn set_metadata(&self, metadata: Arc<dyn Metadata>) {
        Self::set_metadata(self, metadata);
    }
}

/// How instances are run.
#[derive(Clone)]
pub struct InstanceOptions {
    /// What runs them.
    pub engine: Arc<dyn InstanceEngine>,
    /// Directories laid over each image, the first one uppermost: tools, certificates.
    pub layers: Vec<PathBuf>,
    /// More variables for the environment of an instance's first processes.
    pub environment: Vec<(String, String)>,
    /// How long an instance's processes have between SIGTERM and SIGKILL.
    pub shutdown_grace: Duration,
}

impl fmt::Debug for InstanceOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstanceOptions").field("layers", &self.layers).finish_non_exhaustive()
    }
}
