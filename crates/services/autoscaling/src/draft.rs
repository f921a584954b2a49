//! [`Draft`]: a group about to change, with what its change ends.
//!
//! Invariants:
//! - A draft is made and kept inside one transaction: the row and the activities that ended with it are written together.
//! - Pure but for ids: time comes in as `now`.

use std::sync::Arc;

use host::{Ids, Timestamp};

use crate::causes;
use crate::limits::{BACKOFF_MAX_MS, BACKOFF_MS};
use crate::rows::{ActivityRow, GroupRow, InstanceRow, Lifecycle};

/// How an activity stands; AWS's words.
pub(crate) mod status {
    pub(crate) const PRE_IN_SERVICE: &str = "PreInService";
    pub(crate) const IN_PROGRESS: &str = "InProgress";
    pub(crate) const MID_LIFECYCLE_ACTION: &str = "MidLifecycleAction";
    pub(crate) const WAITING_FOR_DRAINING: &str = "WaitingForELBConnectionDraining";
    pub(crate) const SUCCESSFUL: &str = "Successful";
    pub(crate) const FAILED: &str = "Failed";
    pub(crate) const CANCELLED: &str = "Cancelled";
}

/// What is appended while a load balancer drains an instance.
pub(crate) const DRAINING: &str = " - Waiting For ELB Connection Draining.";

/// A group about to change.
pub(crate) struct Draft {
    pub(crate) row: GroupRow,
    pub(crate) now: Timestamp,
    pub(crate) ids: Arc<dyn Ids>,
    /// Activities that ended.
    pub(crate) ended: Vec<ActivityRow>,
    /// Whether the row is to go.
    pub(crate) delete: bool,
}

impl Draft {
    pub(crate) fn new(row: GroupRow, now: Timestamp, ids: Arc<dyn Ids>) -> Self {
        Self { row, now, ids, ended: Vec::new(), delete: false }
    }

    /// The time in milliseconds.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now.as_millis()
    }

    /// Begins an activity.
    pub(crate) fn begin(&mut self, description: String, cause: String, place: (&str, Option<&str>)) -> ActivityRow {
        let (zone, subnet) = place;
        let details = match subnet {
            Some(subnet) => serde_json::json!({ "Subnet ID": subnet, "Availability Zone": zone }),
            None => serde_json::json!({ "Availability Zone": zone }),
        };
        self.row.activities += 1;
        ActivityRow {
            id: uuid(&*self.ids),
            number: self.row.activities,
            group: self.row.name.clone(),
            group_arn: self.row.arn(),
            group_deleted: false,
            description,
            cause,
            status: status::IN_PROGRESS.to_owned(),
            message: None,
            progress: 0,
            details: details.to_string(),
            start_ms: self.now_ms(),
            end_ms: None,
        }
    }

    /// Ends an activity.
    pub(crate) fn end(&mut self, mut activity: ActivityRow, status: &str, message: Option<String>) {
        activity.description = activity.description.trim_end_matches(DRAINING).to_owned();
        activity.status = status.to_owned();
        activity.message = message;
        activity.progress = 100;
        activity.end_ms = Some(self.now_ms());
        self.ended.push(activity);
    }

    /// Ends what is happening to an instance, if anything is.
    pub(crate) fn end_of(&mut self, index: usize, status: &str, message: Option<String>) {
        if let Some(activity) = self.row.instances[index].activity.take() {
            self.end(activity, status, message);
        }
    }

    /// Begins to end an instance; `cause` says why. Its place is told in the activity.
    pub(crate) fn terminate(&mut self, index: usize, cause: String) {
        self.end_of(index, status::CANCELLED, None);
        let instance = &self.row.instances[index];
        let (zone, subnet) = (instance.zone.clone(), instance.subnet.clone());
        let id = instance.id.clone().unwrap_or_default();
        let description = format!("Terminating EC2 instance: {id}");
        let activity = self.begin(description, cause, (&zone, subnet.as_deref()));
        let instance = &mut self.row.instances[index];
        instance.activity = Some(activity);
        instance.lifecycle = Lifecycle::Terminating;
        instance.waits.clear();
        instance.hooked = false;
        instance.surplus = false;
    }

    /// Notes that a launch failed, or that what was launched did not live: the next launch waits, longer each time.
    pub(crate) fn strike(&mut self, forgiven: u32) {
        self.row.failures = self.row.failures.saturating_add(1);
        self.row.failed_ms = self.now_ms();
        let doublings = self.row.failures.saturating_sub(forgiven);
        let wait = match doublings {
            0 => 0,
            n => BACKOFF_MS.saturating_mul(1_u64 << (n - 1).min(20)).min(BACKOFF_MAX_MS),
        };
        self.row.launch_after_ms = self.row.launch_after_ms.max(self.now_ms().saturating_add(wait));
    }

    /// Sets the desired capacity; `cause` is told by the activities that follow from it.
    pub(crate) fn set_desired(&mut self, desired: i32, cause: String) {
        if desired == self.row.desired {
            return;
        }
        self.row.desired = desired;
        self.row.scaled_ms = Some(self.now_ms());
        self.add_cause(cause);
    }

    /// Adds to what changed the desired capacity.
    pub(crate) fn add_cause(&mut self, cause: String) {
        self.row.cause = Some(match self.row.cause.take() {
            // A group that never reaches what it is asked for would grow its sentence for ever.
            Some(before) if before.len() < 512 => format!("{before}  {cause}"),
            _ => cause,
        });
    }

    /// The cause of a launch or an end that follows from the desired capacity.
    pub(crate) fn with_cause(&self, sentence: String) -> String {
        match &self.row.cause {
            Some(cause) => format!("{cause}  {sentence}"),
            None => sentence,
        }
    }

    /// The position of an instance by its launch's token.
    pub(crate) fn index_of(&self, token: &str) -> Option<usize> {
        self.row.instances.iter().position(|instance| instance.token == token)
    }

    /// Takes away an instance's row.
    pub(crate) fn remove(&mut self, index: usize) -> InstanceRow {
        self.row.instances.remove(index)
    }

    /// Why the group's instances are ended when it goes.
    pub(crate) fn deletion_cause(&self) -> String {
        causes::deleted(self.now)
    }
}

/// A random UUID's text.
pub(crate) fn uuid(ids: &dyn Ids) -> String {
    let bytes = ids.uuid();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
