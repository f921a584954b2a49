//! [`Step`]: one resource's step, and how it speaks to services.
//!
//! Invariants:
//! - A physical id is durable ([`Step::record`]) before the next call that would need it.
//! - A call that a service has begun is always waited for; only waiting between calls can be cancelled.
//! - What a step makes carries the stack's tags, so that it can be found again when its id was lost in a crash.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::api::{AccountId, BucketRequest, Call, Endpoint, Identity, Platform, Principal, Protocol, Region, RequestId};
use bytes::Bytes;
use host::{Clock, Ids};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wire::{ApiError, Fault};

use super::failure::Failure;
use crate::names;

/// The longest wait between two looks at something that is not ready yet.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// The first wait; each is twice the one before.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
/// How often a call is made that a service cannot answer for reasons of its own.
const TRIES_MAX: u32 = 4;

/// Whoever makes an id durable.
#[async_trait::async_trait]
pub(crate) trait Recorder: Send + Sync {
    /// Makes a physical id durable.
    async fn record(&self, physical: &str) -> Result<(), Failure>;
    /// Tells of progress by an event.
    async fn note(&self, sentence: &str) -> Result<(), Failure>;
    /// Since when the resource waits for its signals; from now on, if it did not.
    async fn waiting_since(&self) -> Result<u64, Failure>;
}

/// Where a stack's calls come from.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) account: AccountId,
    pub(crate) region: Region,
    pub(crate) endpoint: Endpoint,
    /// The role that the stack acts with, if it does with one.
    pub(crate) acts_as: Option<ActsAs>,
}

/// A role that a stack acts with.
#[derive(Clone)]
pub(crate) struct ActsAs {
    pub(crate) role_arn: String,
    /// Whether it was given to the stack; else it is that of whoever asked for the operation.
    pub(crate) is_service_role: bool,
}

impl Origin {
    /// A call that is held to what the stack's role may do.
    pub(crate) async fn acting(
        &self,
        platform: &dyn Platform,
        service: &str,
        request_id: String,
    ) -> Result<Call, ApiError> {
        let mut call = self.call(service, request_id);
        if let Some(role) = &self.acts_as {
            let session = platform.acting(&role.role_arn, role.is_service_role).await?;
            let session = session.ok_or_else(|| crate::errors::role_cannot_be_assumed(&role.role_arn))?;
            call.identity.principal = Principal::Session(Arc::new(session));
        }
        Ok(call)
    }

    /// A call of CloudFormation's own, in the stack's account and region.
    pub(crate) fn call(&self, service: &str, request_id: String) -> Call {
        // Queues and buckets go by policies, which give nothing to a service: there it acts as the stack's own account.
        let principal = match service {
            "sqs" | "s3" => Principal::Account { access_key_id: "cloudformation".into() },
            _ => Principal::Service { name: "cloudformation.amazonaws.com".into() },
        };
        Call {
            identity: Identity { principal, account: self.account.clone() },
            region: self.region.clone(),
            request_id: RequestId(request_id),
            endpoint: self.endpoint.clone(),
            path: "/".into(),
            protocol: if service == "s3" { Protocol::RestXml } else { Protocol::Json11 },
            source_ip: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
            trace_header: None,
            user_agent: Some("cloudformation.amazonaws.com".into()),
            referer: None,
        }
    }
}

/// What all steps of an engine share.
#[derive(Clone)]
pub(crate) struct Tools {
    pub(crate) platform: Arc<dyn Platform>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    /// Bounds the calls under way.
    pub(crate) calls: Arc<Semaphore>,
    /// Makes nested stacks, and waits for signals.
    pub(crate) stacks: Arc<dyn super::Stacks>,
}

/// A step of one resource.
pub(crate) struct Step {
    pub(crate) tools: Tools,
    pub(crate) origin: Origin,
    pub(crate) stack_id: String,
    pub(crate) stack_name: String,
    pub(crate) stack_uid: String,
    pub(crate) logical: String,
    /// Part of generated names: another physical resource has another.
    pub(crate) generation: u32,
    /// When the step was begun, maybe in an earlier life of the process.
    pub(crate) begun_ms: u64,
    /// Physical ids of the same logical resource that are not this one.
    pub(crate) others: Vec<String>,
    pub(crate) update_policy: Option<Value>,
    pub(crate) creation_policy: Option<Value>,
    /// The physical id, as soon as it is known.
    pub(crate) physical: Mutex<Option<String>>,
    pub(crate) recorder: Arc<dyn Recorder>,
    pub(crate) cancel: CancellationToken,
}

impl Step {
    /// Has a service answer an operation.
    pub(crate) async fn call(&self, service: &str, operation: &str, input: Value) -> Result<Value, Failure> {
        let mut tried = 0;
        loop {
            let request_id = names::uuid(&*self.tools.ids);
            let permit = self.tools.calls.acquire().await.map_err(|_| Failure::Cancelled)?;
            let answer = match self.origin.acting(&*self.tools.platform, service, request_id.clone()).await {
                Ok(call) => self.tools.platform.invoke(&call, service, operation, input.clone()).await,
                Err(error) => Err(error),
            };
            drop(permit);
            tried += 1;
            match answer {
                Ok(output) => return Ok(output),
                Err(error) if is_passing(&error) && tried < TRIES_MAX => self.wait(PAUSE_MAX * tried).await?,
                Err(error) => {
                    let service = service.to_owned();
                    return Err(Failure::Service { service, request_id, error: Box::new(error) });
                }
            }
        }
    }

    /// Has EC2 answer an operation.
    pub(crate) async fn ec2(&self, operation: &str, input: Value) -> Result<Value, Failure> {
        self.call("ec2", operation, input).await
    }

    /// Has S3 answer a request about a bucket.
    pub(crate) async fn bucket(&self, request: BucketRequest) -> Result<Bytes, Failure> {
        let request_id = names::uuid(&*self.tools.ids);
        let permit = self.tools.calls.acquire().await.map_err(|_| Failure::Cancelled)?;
        let answer = match self.origin.acting(&*self.tools.platform, "s3", request_id.clone()).await {
            Ok(call) => self.tools.platform.bucket(&call, request).await,
            Err(error) => Err(error),
        };
        drop(permit);
        answer.map_err(|error| Failure::Service { service: "s3".into(), request_id, error: Box::new(error) })
    }

    /// Makes the physical id durable.
    pub(crate) async fn record(&self, physical: &str) -> Result<(), Failure> {
        if self.physical.lock().as_deref() == Some(physical) {
            return Ok(());
        }
        self.recorder.record(physical).await?;
        *self.physical.lock() = Some(physical.to_owned());
        Ok(())
    }

    /// Tells of progress.
    pub(crate) async fn note(&self, sentence: &str) -> Result<(), Failure> {
        self.recorder.note(sentence).await
    }

    /// The physical id, if it is known.
    pub(crate) fn known(&self) -> Option<String> {
        self.physical.lock().clone()
    }

    /// Waits before the next look; the more looks there were, the longer.
    pub(crate) async fn pause(&self, looks: u32) -> Result<(), Failure> {
        self.wait(PAUSE_FIRST.saturating_mul(1 << looks.min(10)).min(PAUSE_MAX)).await
    }

    /// Waits, unless the step is cancelled.
    pub(crate) async fn wait(&self, time: Duration) -> Result<(), Failure> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Failure::Cancelled),
            () = tokio::time::sleep(time) => Ok(()),
        }
    }

    /// A name for the resource: stack, logical id and twelve characters that no other has.
    pub(crate) fn name(&self, characters_max: usize) -> String {
        names::physical(&self.stack_name, &self.logical, &self.stack_id, self.generation, characters_max)
    }

    /// A token by which a service knows the same request again.
    pub(crate) fn token(&self) -> String {
        names::token(&self.stack_id, &self.logical, self.generation)
    }

    /// The tags that everything made by a stack carries.
    pub(crate) fn own_tags(&self) -> [(&'static str, &str); 3] {
        [
            ("aws:cloudformation:stack-name", &self.stack_name),
            ("aws:cloudformation:stack-id", &self.stack_id),
            ("aws:cloudformation:logical-id", &self.logical),
        ]
    }

    /// A resource's tags and CloudFormation's own. The stack's are among the properties already.
    pub(crate) fn tags(&self, properties: &Map<String, Value>) -> BTreeMap<String, String> {
        let mut tags = tags_of(properties);
        tags.extend(self.own_tags().map(|(key, value)| (key.to_owned(), value.to_owned())));
        tags
    }

    /// The same as most services take them.
    pub(crate) fn tag_list(&self, properties: &Map<String, Value>) -> Value {
        list_of(&self.tags(properties))
    }

    /// The same as EC2's creating operations take them.
    pub(crate) fn tag_specifications(&self, resource_type: &str, properties: &Map<String, Value>) -> Value {
        json!([{"ResourceType": resource_type, "Tags": self.tag_list(properties)}])
    }

    /// Looks for the one thing in EC2 that this step made and that has no other's id.
    pub(crate) async fn find_in_ec2(&self, operation: &str, list: &str, id: &str) -> Result<Option<String>, Failure> {
        let filters: Vec<Value> = [("stack-id", &self.stack_id), ("logical-id", &self.logical)]
            .iter()
            .map(|(name, value)| json!({"Name": format!("tag:aws:cloudformation:{name}"), "Values": [value]}))
            .collect();
        let found = self.ec2(operation, json!({"Filters": filters})).await?;
        let ids = found[list].as_array().into_iter().flatten().filter_map(|one| one[id].as_str());
        Ok(ids.map(str::to_owned).find(|id| !self.others.contains(id)))
    }

    /// Brings EC2's tags of a resource from one set of properties to another.
    pub(crate) async fn retag_in_ec2(
        &self,
        id: &str,
        old: &Map<String, Value>,
        new: &Map<String, Value>,
    ) -> Result<(), Failure> {
        let (before, after) = (self.tags(old), self.tags(new));
        let gone: Vec<Value> =
            before.keys().filter(|key| !after.contains_key(*key)).map(|k| json!({"Key": k})).collect();
        if !gone.is_empty() {
            self.ec2("DeleteTags", json!({"Resources": [id], "Tags": gone})).await?;
        }
        let set: BTreeMap<String, String> =
            after.into_iter().filter(|(key, value)| before.get(key) != Some(value)).collect();
        if !set.is_empty() {
            self.ec2("CreateTags", json!({"Resources": [id], "Tags": list_of(&set)})).await?;
        }
        Ok(())
    }
}

/// Whether a service may answer the same call another time.
fn is_passing(error: &ApiError) -> bool {
    error.fault == Fault::Receiver
        || matches!(error.code.as_ref(), "Throttling" | "RequestLimitExceeded" | "RequestThrottled")
}

/// The property `Tags` as pairs.
pub(crate) fn tags_of(properties: &Map<String, Value>) -> BTreeMap<String, String> {
    let tags = properties.get("Tags").and_then(Value::as_array).into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    tags.map(|tag| (text(&tag["Key"]), text(&tag["Value"]))).collect()
}

/// Pairs as a list of `{Key, Value}`.
pub(crate) fn list_of(tags: &BTreeMap<String, String>) -> Value {
    tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect()
}

/// The members of `properties` that `names` lists.
pub(crate) fn only(properties: &Map<String, Value>, names: &[&str]) -> Map<String, Value> {
    let wanted = |name: &&str| properties.get(*name).map(|value| ((*name).to_owned(), value.clone()));
    names.iter().filter_map(wanted).collect()
}
