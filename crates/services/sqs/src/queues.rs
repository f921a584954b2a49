//! CreateQueue, DeleteQueue and what belongs to a queue as a whole: attributes, lists, purge, permissions, tags.
//!
//! Invariants:
//! - A change is durable first, then in the registry, then in the engine, then answered.
//! - LastModifiedTimestamp moves with attributes and permissions, not with tags.
//! - When a dead-letter queue comes or goes, the engine learns of it for every queue that names it.

use std::sync::Arc;

use api::Call;
use api::sqs::{
    AddPermissionInput, CreateQueueInput, CreateQueueOutput, DeleteQueueInput, GetQueueAttributesInput,
    GetQueueAttributesOutput, GetQueueUrlInput, GetQueueUrlOutput, ListDeadLetterSourceQueuesInput,
    ListDeadLetterSourceQueuesOutput, ListQueueTagsInput, ListQueueTagsOutput, ListQueuesInput, ListQueuesOutput,
    PurgeQueueInput, RemovePermissionInput, SetQueueAttributesInput, TagQueueInput, UntagQueueInput,
};
use host::Timestamp;
use queue::QueueId;
use store::{Scan, StoreError};
use wire::ApiError;

use crate::access;
use crate::arn::{self, QueueArn};
use crate::attributes::{self, Change, Computed, QueueAttributes};
use crate::errors::{self, RedrivePolicyFault};
use crate::limits::COOLDOWN;
use crate::lists::Page;
use crate::permissions;
use crate::queue_name::{self, QueueName};
use crate::queue_url;
use crate::redrive::RedrivePolicy;
use crate::registry::ServedQueue;
use crate::rows::{COUNTERS, DELETED_QUEUES, DeletedQueueRow, MOVE_TASKS, QUEUE_IDS, QUEUES, QueueRow, queue_key};
use crate::service::{Sqs, settings_of};
use crate::tags;

/// Names of deleted queues that one DeleteQueue looks at to forget those whose cooldown is over.
const DELETED_SWEEP_MAX: usize = 64;

impl Sqs {
    pub(crate) async fn create(&self, call: Call, input: CreateQueueInput) -> Result<CreateQueueOutput, ApiError> {
        let arn = format!("arn:aws:sqs:{}:{}:{}", call.region, call.account(), input.queue_name);
        access::check_owner(&call, "sqs:CreateQueue", &arn)?;
        let name = creatable_name(&input)?;
        let changes = attributes::parse(pairs(&input.attributes))?;
        let (account, region) = (call.account().as_str(), call.region.as_str());
        let output = CreateQueueOutput { queue_url: Some(queue_url::render(&call, account, name.as_str())) };

        let mut guard = self.inner.changes.lock().await;
        if let Some(existing) = self.inner.registry.find(account, region, name.as_str()) {
            return match existing.state().row.attributes.first_difference(&changes) {
                Some(attribute) => Err(errors::queue_name_exists(attribute)),
                None => Ok(output),
            };
        }
        let now = self.inner.clock.now();
        let mut row = QueueRow {
            id: guard.last_queue_id + 1,
            account: account.to_owned(),
            region: region.to_owned(),
            name: name.as_str().to_owned(),
            attributes: QueueAttributes::default(),
            tags: tags::Tags::new(),
            created_s: now.as_secs(),
            modified_s: now.as_secs(),
        };
        row.attributes.apply(&changes)?;
        tags::add(&mut row.tags, pairs(&input.tags), name.as_str())?;
        self.check_redrive(&row, &changes)?;
        // Used up whatever becomes of the commit: one that failed may be found after the next start, and two queues of
        // one id would share their messages.
        guard.last_queue_id = row.id;
        self.commit_new(&call, &row, now).await?;
        self.serve(row).map_err(|error| errors::from_engine(&call, &error))?;
        Ok(output)
    }

    /// Writes the row of a new queue, unless one of its name was deleted a moment ago.
    async fn commit_new(&self, call: &Call, row: &QueueRow, now: Timestamp) -> Result<(), ApiError> {
        let cooldowns = self.inner.cooldowns;
        let row = row.clone();
        let committed = self.inner.store.write_async(move |tx| {
            let key = queue_key(&row.account, &row.region, &row.name);
            let deleted = tx.get(&DELETED_QUEUES, &key)?.map(|deleted| deleted.value);
            if cooldowns && deleted.is_some_and(|deleted| cools(&deleted, now)) {
                return Ok(false);
            }
            tx.delete(&DELETED_QUEUES, &key)?;
            tx.put(&COUNTERS, QUEUE_IDS, &row.id)?;
            tx.insert(&QUEUES, &key, &row)?;
            Ok::<_, StoreError>(true)
        });
        match committed.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(errors::queue_deleted_recently()),
            Err(error) => Err(errors::from_store(call, &error)),
        }
    }

    /// Makes a committed row a queue that requests find.
    fn serve(&self, row: QueueRow) -> Result<(), queue::EngineError> {
        let messages = self.inner.engine.queue(QueueId(row.id), settings_of(&row, None))?;
        let queue = Arc::new(ServedQueue::new(row, messages));
        self.inner.registry.insert(queue.clone());
        self.push_settings(&queue)?;
        self.inner.registry.sources_of(&queue.arn).iter().try_for_each(|source| self.push_settings(source))
    }

    pub(crate) async fn delete(&self, call: Call, input: DeleteQueueInput) -> Result<(), ApiError> {
        let _guard = self.inner.changes.lock().await;
        let queue = self.queue_for(&call, &input.queue_url, access::DELETE_QUEUE)?;
        let (key, now) = (queue.key(), self.inner.clock.now());
        let tasks = self.move_task_ids(&queue.arn);
        let committed = self.inner.store.write_async(move |tx| {
            tx.delete(&QUEUES, &key)?;
            for task in &tasks {
                tx.delete(&MOVE_TASKS, task)?;
            }
            for old in tx.scan(&DELETED_QUEUES, &Scan::all().limit(DELETED_SWEEP_MAX))? {
                if !cools(&old.value, now) {
                    tx.delete(&DELETED_QUEUES, &old.key)?;
                }
            }
            tx.put(&DELETED_QUEUES, &key, &DeletedQueueRow { deleted_ms: now.as_millis() })?;
            Ok::<_, StoreError>(())
        });
        committed.await.map_err(|error| errors::from_store(&call, &error))?;
        self.inner.registry.remove(&queue);
        self.forget_move_tasks_of(&queue.arn);
        for source in self.inner.registry.sources_of(&queue.arn) {
            self.push_settings(&source).map_err(|error| errors::from_engine(&call, &error))?;
        }
        self.inner.engine.delete_queue(queue.id).await.map_err(|error| errors::from_engine(&call, &error))
    }

    pub(crate) async fn set_attributes(&self, call: Call, input: SetQueueAttributesInput) -> Result<(), ApiError> {
        let _guard = self.inner.changes.lock().await;
        let queue = self.queue_for(&call, &input.queue_url, access::SET_QUEUE_ATTRIBUTES)?;
        let changes = attributes::parse(pairs(&input.attributes))?;
        let mut row = queue.state().row.clone();
        row.attributes.apply(&changes)?;
        self.check_redrive(&row, &changes)?;
        self.commit_modified(&call, &queue, row).await
    }

    pub(crate) async fn grant(&self, call: Call, input: AddPermissionInput) -> Result<(), ApiError> {
        let _guard = self.inner.changes.lock().await;
        let queue = self.queue_for(&call, &input.queue_url, access::ADD_PERMISSION)?;
        let mut row = queue.state().row.clone();
        let policy = row.attributes.policy.as_deref();
        let policy = permissions::add(policy, &queue.arn, &input.label, &input.aws_account_ids, &input.actions)?;
        row.attributes.policy = Some(policy);
        self.commit_modified(&call, &queue, row).await
    }

    pub(crate) async fn revoke(&self, call: Call, input: RemovePermissionInput) -> Result<(), ApiError> {
        let _guard = self.inner.changes.lock().await;
        let queue = self.queue_for(&call, &input.queue_url, access::REMOVE_PERMISSION)?;
        let mut row = queue.state().row.clone();
        row.attributes.policy = permissions::remove(row.attributes.policy.as_deref(), &input.label)?;
        self.commit_modified(&call, &queue, row).await
    }

    pub(crate) async fn tag(&self, call: Call, input: TagQueueInput) -> Result<(), ApiError> {
        let _guard = self.inner.changes.lock().await;
        let queue = self.queue_for(&call, &input.queue_url, access::TAG_QUEUE)?;
        if input.tags.is_empty() {
            return Err(errors::missing_parameter("Tags"));
        }
        let mut row = queue.state().row.clone();
        tags::add(&mut row.tags, pairs(&input.tags), &queue.name)?;
        self.commit_row(&call, &queue, row).await
    }

    pub(crate) async fn untag(&self, call: Call, input: UntagQueueInput) -> Result<(), ApiError> {
        let _guard = self.inner.changes.lock().await;
        let queue = self.queue_for(&call, &input.queue_url, access::UNTAG_QUEUE)?;
        if input.tag_keys.is_empty() {
            return Err(errors::missing_parameter("TagKeys"));
        }
        let mut row = queue.state().row.clone();
        row.tags.retain(|key, _| !input.tag_keys.contains(key));
        self.commit_row(&call, &queue, row).await
    }

    async fn commit_modified(&self, call: &Call, queue: &ServedQueue, mut row: QueueRow) -> Result<(), ApiError> {
        row.modified_s = self.inner.clock.now().as_secs();
        self.commit_row(call, queue, row).await?;
        self.push_settings(queue).map_err(|error| errors::from_engine(call, &error))
    }

    async fn commit_row(&self, call: &Call, queue: &ServedQueue, row: QueueRow) -> Result<(), ApiError> {
        let (key, stored) = (queue.key(), row.clone());
        let committed = self.inner.store.write_async(move |tx| tx.put(&QUEUES, &key, &stored)).await;
        committed.map_err(|error| errors::from_store(call, &error))?;
        queue.set_row(row);
        Ok(())
    }

    /// Checks a redrive policy that is being set against the queues that there are now.
    fn check_redrive(&self, row: &QueueRow, changes: &[Change]) -> Result<(), ApiError> {
        if !changes.iter().any(|change| matches!(change, Change::Redrive(Some(_)))) {
            return Ok(());
        }
        let Some(policy) = &row.attributes.redrive_policy else { return Ok(()) };
        match self.redrive_fault(row, policy) {
            Some(fault) => Err(errors::redrive_policy_invalid(&policy.render(), fault)),
            None => Ok(()),
        }
    }

    fn redrive_fault(&self, row: &QueueRow, policy: &RedrivePolicy) -> Option<RedrivePolicyFault> {
        let Some(target) = QueueArn::parse(&policy.dead_letter_target_arn) else {
            return Some(RedrivePolicyFault::TargetMalformed);
        };
        if target.account != row.account {
            return Some(RedrivePolicyFault::OtherAccount);
        }
        if target.region != row.region {
            return Some(RedrivePolicyFault::OtherRegion);
        }
        if target.name == row.name {
            return Some(RedrivePolicyFault::TargetMalformed);
        }
        if queue_name::is_fifo(target.name) != queue_name::is_fifo(&row.name) {
            return Some(RedrivePolicyFault::OtherKind);
        }
        let Some(target) = self.inner.registry.find(target.account, target.region, target.name) else {
            return Some(RedrivePolicyFault::TargetMissing);
        };
        let source_arn = arn::render(&row.region, &row.account, &row.name);
        let state = target.state();
        let allowed = state.row.attributes.redrive_allow_policy.as_ref().is_none_or(|allow| allow.allows(&source_arn));
        (!allowed).then_some(RedrivePolicyFault::NotAllowed)
    }

    pub(crate) fn read_attributes(
        &self,
        call: &Call,
        input: &GetQueueAttributesInput,
    ) -> Result<GetQueueAttributesOutput, ApiError> {
        let queue = self.queue_for(call, &input.queue_url, access::GET_QUEUE_ATTRIBUTES)?;
        let counts = queue.messages.counts().map_err(|error| errors::from_engine(call, &error))?;
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let state = queue.state();
        let computed = Computed {
            arn: &queue.arn,
            created_s: state.row.created_s,
            modified_s: state.row.modified_s,
            visible: count(counts.visible),
            in_flight: count(counts.in_flight),
            delayed: count(counts.delayed),
        };
        let selected = attributes::select(&input.attribute_names, &state.row.attributes, &computed)?;
        let attributes = selected.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Ok(GetQueueAttributesOutput { attributes })
    }

    pub(crate) fn url_of(&self, call: &Call, input: &GetQueueUrlInput) -> Result<GetQueueUrlOutput, ApiError> {
        access::check_signed(call, access::GET_QUEUE_URL)?;
        if input.queue_name.is_empty() {
            return Err(errors::queue_name_empty());
        }
        let owner = input.queue_owner_aws_account_id.as_deref().filter(|owner| !owner.is_empty());
        let account = owner.unwrap_or(call.account().as_str());
        let queue = self.inner.registry.find(account, call.region.as_str(), &input.queue_name);
        let queue = queue.ok_or_else(errors::queue_does_not_exist)?;
        let url = queue_url::render(call, account, &queue.name);
        access::check(call, &queue, access::GET_QUEUE_URL, &url, self.inner.clock.now())?;
        Ok(GetQueueUrlOutput { queue_url: Some(url) })
    }

    pub(crate) fn list(&self, call: &Call, input: &ListQueuesInput) -> Result<ListQueuesOutput, ApiError> {
        let all = format!("arn:aws:sqs:{}:{}:*", call.region, call.account());
        access::check_owner(call, "sqs:ListQueues", &all)?;
        let prefix = input.queue_name_prefix.as_deref().unwrap_or("");
        let page = Page::parse(input.max_results, input.next_token.as_deref(), &format!("queues\0{prefix}"))?;
        let (account, region) = (call.account().as_str(), call.region.as_str());
        let after = page.after.as_deref();
        let mut names = self.inner.registry.names(account, region, prefix, after, page.limit + 1);
        let next_token = page.cut(&mut names);
        let queue_urls = names.iter().map(|name| queue_url::render(call, account, name)).collect();
        Ok(ListQueuesOutput { next_token, queue_urls })
    }

    pub(crate) fn list_sources(
        &self,
        call: &Call,
        input: &ListDeadLetterSourceQueuesInput,
    ) -> Result<ListDeadLetterSourceQueuesOutput, ApiError> {
        let queue = self.queue_for(call, &input.queue_url, access::LIST_DEAD_LETTER_SOURCE_QUEUES)?;
        let list = format!("sources\0{}", queue.arn);
        let page = Page::parse(input.max_results, input.next_token.as_deref(), &list)?;
        // All sources are of the queue's own account and region, so their names order them.
        let sources = self.inner.registry.sources_of(&queue.arn);
        let names = sources.iter().map(|source| &*source.name);
        let following = names.filter(|name| page.after.as_deref().is_none_or(|after| *name > after));
        let mut names: Vec<String> = following.take(page.limit + 1).map(str::to_owned).collect();
        let next_token = page.cut(&mut names);
        let queue_urls = names.iter().map(|name| queue_url::render(call, &queue.account, name)).collect();
        Ok(ListDeadLetterSourceQueuesOutput { next_token, queue_urls })
    }

    pub(crate) fn list_tags(&self, call: &Call, input: &ListQueueTagsInput) -> Result<ListQueueTagsOutput, ApiError> {
        let queue = self.queue_for(call, &input.queue_url, access::LIST_QUEUE_TAGS)?;
        Ok(ListQueueTagsOutput { tags: queue.state().row.tags.clone() })
    }

    pub(crate) async fn purge(&self, call: &Call, input: &PurgeQueueInput) -> Result<(), ApiError> {
        let queue = self.queue_for(call, &input.queue_url, access::PURGE_QUEUE)?;
        let now = self.inner.clock.now();
        let before = {
            let mut purged_at = queue.purged_at.lock();
            if self.inner.cooldowns && purged_at.is_some_and(|purged_at| now.since(purged_at) < COOLDOWN) {
                return Err(errors::purge_in_progress(&queue.name));
            }
            purged_at.replace(now)
        };
        let purged = queue.messages.purge().await;
        purged.map_err(|error| {
            *queue.purged_at.lock() = before;
            errors::from_engine(call, &error)
        })
    }
}

/// The name of a queue to create. FIFO queues come later: everything about them is checked, then they are refused.
fn creatable_name(input: &CreateQueueInput) -> Result<QueueName, ApiError> {
    let fifo = input.attributes.get("FifoQueue").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if !fifo {
        return QueueName::parse_standard(&input.queue_name);
    }
    QueueName::parse_fifo(&input.queue_name)?;
    attributes::check_fifo(pairs(&input.attributes))?;
    Err(errors::fifo_not_yet())
}

/// Whether a queue of this name may not be created yet.
fn cools(deleted: &DeletedQueueRow, now: Timestamp) -> bool {
    now.since(Timestamp(deleted.deleted_ms)) < COOLDOWN
}

fn pairs(map: &std::collections::BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    map.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}
