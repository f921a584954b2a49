//! Message move tasks: a dead-letter queue's messages go back, in the background, at a given rate.
//!
//! Invariants:
//! - A source has at most one active task; an account at most 100.
//! - A task's row is durable before its handle is handed out; a running task goes on after a restart.
//! - Only visible messages move, each batch as one atomic change of the engine: none is lost or doubled by a crash.
//! - A source remembers its newest ten tasks: more than that nobody can list.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::Call;
use api::sqs::{
    CancelMessageMoveTaskInput, CancelMessageMoveTaskOutput, ListMessageMoveTasksInput, ListMessageMoveTasksOutput,
    ListMessageMoveTasksResultEntry, StartMessageMoveTaskInput, StartMessageMoveTaskOutput,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use host::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use store::StoreError;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use wire::ApiError;

use crate::access;
use crate::arn::QueueArn;
use crate::errors;
use crate::hex;
use crate::limits::{MOVE_RATE, MOVE_TASK_RESULTS_MAX, MOVE_TASK_TIME_MAX, MOVE_TASKS_ACTIVE_MAX};
use crate::queue_name;
use crate::registry::ServedQueue;
use crate::rows::{MOVE_TASKS, MoveProgress, MoveStatus, MoveTaskRow};
use crate::service::Sqs;

/// How often a task with a rate moves its share.
const TICK: Duration = Duration::from_millis(100);
/// [`TICK`]s a second.
const TICKS_PER_SECOND: u32 = 10;
/// Messages of one step of a task without a rate.
const STEP_MESSAGES: usize = 500;
/// How often a running task's count is made durable.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// Tasks that a source remembers.
const TASKS_PER_SOURCE_MAX: usize = 10;

/// FailureReason when the source, or the destination, was deleted under the task. Recorded.
const NON_EXISTENT_QUEUE: &str = "AWS.SimpleQueueService.NonExistentQueue";
/// FailureReason when what is left came from no queue that still is.
const NO_SOURCE: &str = "CouldNotDetermineMessageSource";
/// FailureReason after 36 hours.
const TIMED_OUT: &str = "TaskTimedOut";
/// FailureReason when the engine failed.
const INTERNAL: &str = "InternalError";

/// All tasks that can be listed, and the runners of the active ones.
pub(crate) struct MoveTasks {
    by_source: Mutex<HashMap<String, Vec<Arc<MoveTask>>>>,
    runners: Mutex<JoinSet<()>>,
    stop: watch::Sender<bool>,
}

impl Default for MoveTasks {
    fn default() -> Self {
        Self { by_source: Mutex::default(), runners: Mutex::default(), stop: watch::Sender::new(false) }
    }
}

struct MoveTask {
    id: String,
    source_arn: String,
    destination_arn: Option<String>,
    rate: Option<u32>,
    started: Timestamp,
    to_move: u64,
    progress: Mutex<MoveProgress>,
    cancelled: Notify,
}

impl MoveTask {
    fn of(row: MoveTaskRow) -> Self {
        Self {
            id: row.id,
            source_arn: row.source_arn,
            destination_arn: row.destination_arn,
            rate: row.rate,
            started: Timestamp(row.started_ms),
            to_move: row.to_move,
            progress: Mutex::new(row.progress),
            cancelled: Notify::new(),
        }
    }

    fn row(&self) -> MoveTaskRow {
        MoveTaskRow {
            id: self.id.clone(),
            source_arn: self.source_arn.clone(),
            destination_arn: self.destination_arn.clone(),
            rate: self.rate,
            started_ms: self.started.as_millis(),
            to_move: self.to_move,
            progress: self.progress.lock().clone(),
        }
    }

    fn status(&self) -> MoveStatus {
        self.progress.lock().status
    }

    fn entry(&self) -> ListMessageMoveTasksResultEntry {
        let progress = self.progress.lock().clone();
        let integer = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        ListMessageMoveTasksResultEntry {
            task_handle: (progress.status == MoveStatus::Running).then(|| handle(&self.id, &self.source_arn)),
            status: Some(progress.status.as_str().to_owned()),
            source_arn: Some(self.source_arn.clone()),
            destination_arn: self.destination_arn.clone(),
            max_number_of_messages_per_second: self.rate.and_then(|rate| i32::try_from(rate).ok()),
            approximate_number_of_messages_moved: Some(integer(progress.moved)),
            approximate_number_of_messages_to_move: Some(integer(self.to_move)),
            failure_reason: progress.failure,
            started_timestamp: Some(integer(self.started.as_millis())),
        }
    }
}

/// What a task handle says, as AWS writes it: base64 of this JSON.
#[derive(Serialize, Deserialize)]
struct Handle {
    #[serde(rename = "taskId")]
    task_id: String,
    #[serde(rename = "sourceArn")]
    source_arn: String,
}

fn handle(task_id: &str, source_arn: &str) -> String {
    let handle = Handle { task_id: task_id.to_owned(), source_arn: source_arn.to_owned() };
    STANDARD.encode(serde_json::to_vec(&handle).unwrap_or_default())
}

fn parse_handle(text: &str) -> Option<Handle> {
    serde_json::from_slice(&STANDARD.decode(text).ok()?).ok()
}

/// How a runner came to its end.
enum End {
    /// The task is over, in this state.
    Over(MoveStatus, Option<&'static str>),
    /// The service stops: the task goes on at the next start.
    Stopped,
}

impl Sqs {
    pub(crate) async fn start_move(
        &self,
        call: Call,
        input: StartMessageMoveTaskInput,
    ) -> Result<StartMessageMoveTaskOutput, ApiError> {
        access::check_owner(&call, "sqs:StartMessageMoveTask", &input.source_arn)?;
        let rate = input.max_number_of_messages_per_second.map(move_rate).transpose()?;
        let _guard = self.inner.changes.lock().await;
        let source = self.own_queue(&call, &input.source_arn, "SourceArn")?;
        let destination = input.destination_arn.as_deref().filter(|arn| !arn.is_empty());
        if self.inner.registry.sources_of(&source.arn).is_empty() {
            return Err(errors::source_is_no_dead_letter_queue());
        }
        if let Some(arn) = destination {
            let destination = self.own_queue(&call, arn, "DestinationArn")?;
            if destination.id == source.id {
                return Err(errors::source_is_destination());
            }
            if queue_name::is_fifo(&destination.name) != queue_name::is_fifo(&source.name) {
                return Err(errors::destination_unsuitable());
            }
        }
        self.check_room(&call, &source.arn)?;
        let counts = source.messages.counts().map_err(|error| errors::from_engine(&call, &error))?;
        let task = Arc::new(MoveTask {
            id: hex::uuid(&self.inner.ids.uuid()),
            source_arn: source.arn.to_string(),
            destination_arn: destination.map(str::to_owned),
            rate,
            started: self.inner.clock.now(),
            to_move: u64::try_from(counts.visible).unwrap_or(u64::MAX),
            progress: Mutex::new(MoveProgress { status: MoveStatus::Running, moved: 0, failure: None }),
            cancelled: Notify::new(),
        });
        self.remember(&call, &task).await?;
        self.run(task.clone());
        Ok(StartMessageMoveTaskOutput { task_handle: Some(handle(&task.id, &task.source_arn)) })
    }

    pub(crate) async fn cancel_move(
        &self,
        call: Call,
        input: CancelMessageMoveTaskInput,
    ) -> Result<CancelMessageMoveTaskOutput, ApiError> {
        let handle = parse_handle(&input.task_handle);
        let source_arn = handle.as_ref().map_or("*", |handle| handle.source_arn.as_ref());
        access::check_owner(&call, "sqs:CancelMessageMoveTask", source_arn)?;
        let handle = handle.ok_or_else(errors::task_handle_invalid)?;
        let source = self.own_queue(&call, &handle.source_arn, "SourceArn")?;
        let task = {
            let tasks = self.inner.move_tasks.by_source.lock();
            let tasks = tasks.get(&*source.arn);
            tasks.and_then(|tasks| tasks.iter().find(|task| task.id == handle.task_id)).cloned()
        };
        let task = task.ok_or_else(errors::task_does_not_exist)?;
        let moved = {
            let mut progress = task.progress.lock();
            if progress.status != MoveStatus::Running {
                return Err(errors::task_not_running(progress.status.as_str()));
            }
            progress.status = MoveStatus::Cancelling;
            progress.moved
        };
        task.cancelled.notify_one();
        self.save(&task).await.map_err(|error| errors::from_store(&call, &error))?;
        let moved = i64::try_from(moved).unwrap_or(i64::MAX);
        Ok(CancelMessageMoveTaskOutput { approximate_number_of_messages_moved: Some(moved) })
    }

    pub(crate) fn list_moves(
        &self,
        call: &Call,
        input: &ListMessageMoveTasksInput,
    ) -> Result<ListMessageMoveTasksOutput, ApiError> {
        access::check_owner(call, "sqs:ListMessageMoveTasks", &input.source_arn)?;
        let given = input.max_results.unwrap_or(1);
        let max = usize::try_from(given).ok().filter(|_| (1..=MOVE_TASK_RESULTS_MAX).contains(&given));
        let max = max.ok_or_else(|| errors::max_results_out_of_range(given, MOVE_TASK_RESULTS_MAX))?;
        let source = self.own_queue(call, &input.source_arn, "SourceArn")?;
        let tasks = self.inner.move_tasks.by_source.lock();
        let newest_first = tasks.get(&*source.arn).into_iter().flatten().rev();
        Ok(ListMessageMoveTasksOutput { results: newest_first.take(max).map(|task| task.entry()).collect() })
    }

    /// The caller's own queue in this region; move tasks cannot be granted to others.
    fn own_queue(&self, call: &Call, arn: &str, parameter: &str) -> Result<Arc<ServedQueue>, ApiError> {
        let parsed = QueueArn::parse(arn).ok_or_else(|| errors::arn_malformed(parameter))?;
        let own = parsed.account == call.account().as_str() && parsed.region == call.region.as_str();
        let queue = self.inner.registry.find_arn(arn).filter(|_| own);
        queue.ok_or_else(|| errors::resource_not_found(parameter))
    }

    fn check_room(&self, call: &Call, source_arn: &str) -> Result<(), ApiError> {
        let tasks = self.inner.move_tasks.by_source.lock();
        let is_active = |task: &&Arc<MoveTask>| task.status().is_active();
        if tasks.get(source_arn).into_iter().flatten().any(|task| is_active(&task)) {
            return Err(errors::task_already_running());
        }
        let of_account = |task: &&Arc<MoveTask>| {
            QueueArn::parse(&task.source_arn).is_some_and(|arn| arn.account == call.account().as_str())
        };
        let active = tasks.values().flatten().filter(is_active).filter(of_account).count();
        if active >= MOVE_TASKS_ACTIVE_MAX { Err(errors::too_many_tasks()) } else { Ok(()) }
    }

    /// Makes a new task durable and listable, and forgets what is older than the newest ten.
    async fn remember(&self, call: &Call, task: &Arc<MoveTask>) -> Result<(), ApiError> {
        let row = task.row();
        let old: Vec<String> = {
            let tasks = self.inner.move_tasks.by_source.lock();
            let tasks = tasks.get(&task.source_arn).map_or(&[][..], Vec::as_slice);
            let surplus = (tasks.len() + 1).saturating_sub(TASKS_PER_SOURCE_MAX);
            tasks[..surplus].iter().map(|task| task.id.clone()).collect()
        };
        let surplus = old.len();
        let written = self.inner.store.write_async(move |tx| {
            for id in &old {
                tx.delete(&MOVE_TASKS, id)?;
            }
            tx.insert(&MOVE_TASKS, &row.id, &row).map(|_| ())
        });
        written.await.map_err(|error: StoreError| errors::from_store(call, &error))?;
        let mut by_source = self.inner.move_tasks.by_source.lock();
        let tasks = by_source.entry(task.source_arn.clone()).or_default();
        tasks.drain(..surplus);
        tasks.push(task.clone());
        Ok(())
    }

    async fn save(&self, task: &MoveTask) -> Result<(), StoreError> {
        let row = task.row();
        let written = self.inner.store.write_async(move |tx| {
            // The row goes with its source queue; a late save must not bring it back.
            if tx.contains(&MOVE_TASKS, &row.id)? {
                tx.put(&MOVE_TASKS, &row.id, &row)?;
            }
            Ok(())
        });
        written.await
    }

    /// Takes over the tasks of the last run: running ones go on.
    pub(crate) fn resume_move_tasks(&self, mut rows: Vec<MoveTaskRow>) {
        rows.sort_by(|a, b| (a.started_ms, &a.id).cmp(&(b.started_ms, &b.id)));
        for mut row in rows {
            if row.progress.status == MoveStatus::Cancelling {
                row.progress.status = MoveStatus::Cancelled;
            }
            let task = Arc::new(MoveTask::of(row));
            let mut by_source = self.inner.move_tasks.by_source.lock();
            by_source.entry(task.source_arn.clone()).or_default().push(task.clone());
            drop(by_source);
            if task.status() == MoveStatus::Running {
                self.run(task);
            }
        }
    }

    /// The ids of a source's tasks.
    pub(crate) fn move_task_ids(&self, source_arn: &str) -> Vec<String> {
        let tasks = self.inner.move_tasks.by_source.lock();
        tasks.get(source_arn).into_iter().flatten().map(|task| task.id.clone()).collect()
    }

    /// Ends and forgets the tasks of a queue that was deleted: a new queue of its name is not theirs.
    pub(crate) fn forget_move_tasks_of(&self, source_arn: &str) {
        let tasks = self.inner.move_tasks.by_source.lock().remove(source_arn).unwrap_or_default();
        for task in tasks {
            task.progress.lock().status = MoveStatus::Cancelling;
            task.cancelled.notify_one();
        }
    }

    /// Ends all runners and waits for them; their tasks stay as they are.
    pub(crate) async fn stop_move_tasks(&self) {
        self.inner.move_tasks.stop.send_replace(true);
        let mut runners = std::mem::take(&mut *self.inner.move_tasks.runners.lock());
        while runners.join_next().await.is_some() {}
    }

    /// Ends all runners and forgets all tasks.
    pub(crate) async fn forget_move_tasks(&self) {
        self.stop_move_tasks().await;
        self.inner.move_tasks.by_source.lock().clear();
        self.inner.move_tasks.stop.send_replace(false);
    }

    fn run(&self, task: Arc<MoveTask>) {
        let sqs = self.clone();
        let mut runners = self.inner.move_tasks.runners.lock();
        while runners.try_join_next().is_some() {}
        runners.spawn(async move {
            if let End::Over(status, failure) = sqs.move_all(&task).await {
                let mut progress = task.progress.lock();
                progress.status = status;
                progress.failure = failure.map(str::to_owned);
            }
            if let Err(error) = sqs.save(&task).await {
                tracing::error!(task = %task.id, %error, "cannot keep a move task's end");
            }
        });
    }

    /// Moves until nothing is left, the task is cancelled or the service stops.
    async fn move_all(&self, task: &MoveTask) -> End {
        let mut stop = self.inner.move_tasks.stop.subscribe();
        let mut pace = Pace::new(task.rate);
        let mut saved = self.inner.clock.now();
        loop {
            if task.status() == MoveStatus::Cancelling {
                return End::Over(MoveStatus::Cancelled, None);
            }
            if *stop.borrow() {
                return End::Stopped;
            }
            let now = self.inner.clock.now();
            if now.since(task.started) >= MOVE_TASK_TIME_MAX {
                return End::Over(MoveStatus::Failed, Some(TIMED_OUT));
            }
            let step = pace.step();
            if step > 0 {
                match self.move_step(task, step).await {
                    Ok(0) => return End::Over(MoveStatus::Completed, None),
                    Ok(moved) => pace.spend(moved),
                    Err(failure) => return End::Over(MoveStatus::Failed, Some(failure)),
                }
            }
            if now.since(saved) >= SAVE_EVERY {
                saved = now;
                if let Err(error) = self.save(task).await {
                    tracing::warn!(task = %task.id, %error, "cannot keep a move task's count");
                }
            }
            tokio::select! {
                () = pace.pause() => {}
                () = task.cancelled.notified() => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// Moves up to `max` messages; how many it were, or why the task fails.
    async fn move_step(&self, task: &MoveTask, max: usize) -> Result<usize, &'static str> {
        let registry = &self.inner.registry;
        let source = registry.find_arn(&task.source_arn).ok_or(NON_EXISTENT_QUEUE)?;
        let destination = match &task.destination_arn {
            Some(arn) => Some(registry.find_arn(arn).ok_or(NON_EXISTENT_QUEUE)?.id),
            None => None,
        };
        let lost = AtomicBool::new(false);
        let route = |came_from: Option<queue::QueueId>| {
            let to = destination.or_else(|| came_from.filter(|id| registry.find_id(*id).is_some()));
            if to.is_none() {
                lost.store(true, Ordering::Relaxed);
            }
            to
        };
        let moved = self.inner.engine.move_messages(source.id, max, route).await.map_err(|error| {
            tracing::error!(task = %task.id, %error, "a move task failed");
            INTERNAL
        })?;
        task.progress.lock().moved += u64::try_from(moved).unwrap_or(u64::MAX);
        let lost = lost.load(Ordering::Relaxed);
        if moved == 0 && lost { Err(NO_SOURCE) } else { Ok(moved) }
    }
}

fn move_rate(given: i32) -> Result<u32, ApiError> {
    let rate = u32::try_from(given).ok().filter(|_| MOVE_RATE.contains(&given));
    rate.ok_or_else(|| errors::move_rate_out_of_range(given))
}

/// How many messages a task may move now.
struct Pace {
    rate: Option<u32>,
    /// In tenths of a message: a tick at one message a second brings one.
    allowance: u32,
}

impl Pace {
    fn new(rate: Option<u32>) -> Self {
        Self { rate, allowance: 0 }
    }

    /// The next step's messages, 0 while the allowance is below one.
    fn step(&mut self) -> usize {
        let Some(rate) = self.rate else { return STEP_MESSAGES };
        // What was not used does not pile up beyond a second's worth.
        self.allowance = (self.allowance + rate).min(rate.max(1) * TICKS_PER_SECOND);
        usize::try_from(self.allowance / TICKS_PER_SECOND).unwrap_or(STEP_MESSAGES)
    }

    fn spend(&mut self, moved: usize) {
        let spent = u32::try_from(moved).unwrap_or(u32::MAX).saturating_mul(TICKS_PER_SECOND);
        self.allowance = self.allowance.saturating_sub(spent);
    }

    async fn pause(&self) {
        match self.rate {
            Some(_) => tokio::time::sleep(TICK).await,
            // Other tasks get their turn between two steps.
            None => tokio::task::yield_now().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_moves_its_rate_in_each_second() {
        for rate in [1, 3, 10, 25, 500] {
            let mut pace = Pace::new(Some(rate));
            let mut moved = 0;
            for _ in 0..TICKS_PER_SECOND * 3 {
                let step = pace.step();
                pace.spend(step);
                moved += step;
            }
            assert_eq!(moved, usize::try_from(rate * 3).unwrap(), "{rate}");
        }
    }

    #[test]
    fn an_unused_allowance_is_a_second_s_worth_at_most() {
        let mut pace = Pace::new(Some(5));
        let most = (0..1_000).map(|_| pace.step()).max();
        assert_eq!(most, Some(5));
    }

    #[test]
    fn a_handle_says_task_and_source() {
        let text = handle("id", "arn:aws:sqs:us-east-1:000000000000:dead");
        let parsed = parse_handle(&text).unwrap();
        assert_eq!(
            (parsed.task_id.as_str(), parsed.source_arn.as_str()),
            ("id", "arn:aws:sqs:us-east-1:000000000000:dead")
        );
        assert!(parse_handle("foobared").is_none() && parse_handle("e30=").is_none());
    }
}
