//! What Auto Scaling remembers: one row a launch configuration, one row a group with everything in it, one row an ended
//! activity.
//!
//! Invariants:
//! - A group's row is complete: with EC2's and ELB's answers it decides what happens next. It is changed in
//!   transactions that read it first, so nobody overwrites what somebody else did.
//! - A launch's `token` never comes again.
//! - Rows that older versions wrote are read: a new field has a default.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use store::Table;

/// Launch configurations by [`key`].
pub(crate) const LAUNCH_CONFIGURATIONS: Table<LaunchConfigurationRow> = Table::new("autoscaling_launch_configurations");
/// Groups by [`key`].
pub(crate) const GROUPS: Table<GroupRow> = Table::new("autoscaling_groups");
/// Ended activities by account, region, group and how late they began, newest first.
pub(crate) const ACTIVITIES: Table<ActivityRow> = Table::new("autoscaling_activities");

/// The key of a named thing.
pub(crate) fn key(account: &str, region: &str, name: &str) -> String {
    format!("{account}\0{region}\0{name}")
}

/// What all keys of an account in a region begin with.
pub(crate) fn prefix(account: &str, region: &str) -> String {
    format!("{account}\0{region}\0")
}

/// A launch configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LaunchConfigurationRow {
    pub(crate) uid: String,
    pub(crate) created_ms: u64,
    /// The request that made it, as `stored` writes it.
    pub(crate) request: String,
}

/// Where a group's instances come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LaunchSource {
    /// A launch configuration, by its name; when it was made.
    Configuration { name: String, created_ms: u64 },
    /// A launch template; the version is a number, `$Latest` or `$Default`.
    Template { id: String, name: String, version: String },
}

/// A subnet and the zone that it is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SubnetRow {
    pub(crate) id: String,
    pub(crate) zone: String,
}

/// How far a load balancer is attached; AWS's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AttachState {
    Adding,
    Added,
    InService,
    Removing,
}

/// A load balancer of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LoadBalancerRow {
    pub(crate) name: String,
    pub(crate) state: AttachState,
}

/// A tag of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TagRow {
    pub(crate) value: String,
    pub(crate) propagate: bool,
}

/// Which way an instance goes when a hook holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Transition {
    Launching,
    Terminating,
}

/// How a lifecycle action ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum HookResult {
    Continue,
    Abandon,
}

/// A lifecycle hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HookRow {
    pub(crate) name: String,
    pub(crate) transition: Transition,
    pub(crate) default_result: HookResult,
    pub(crate) heartbeat_timeout_s: i32,
    pub(crate) notification_metadata: Option<String>,
}

/// A scaling policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PolicyRow {
    pub(crate) uid: String,
    /// The request that made it, as `stored` writes it.
    pub(crate) request: String,
}

/// A scheduled action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScheduledActionRow {
    pub(crate) uid: String,
    pub(crate) min: Option<i32>,
    pub(crate) max: Option<i32>,
    pub(crate) desired: Option<i32>,
    pub(crate) recurrence: Option<String>,
    pub(crate) time_zone: Option<String>,
    pub(crate) start_ms: Option<u64>,
    pub(crate) end_ms: Option<u64>,
    /// When it is due.
    pub(crate) next_ms: u64,
}

/// How far an instance refresh is; AWS's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RefreshStatus {
    Pending,
    InProgress,
    Successful,
    Cancelling,
    Cancelled,
}

/// An instance refresh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefreshRow {
    pub(crate) id: String,
    pub(crate) status: RefreshStatus,
    pub(crate) reason: Option<String>,
    pub(crate) started_ms: u64,
    pub(crate) ended_ms: Option<u64>,
    /// The request that began it, as `stored` writes it.
    pub(crate) request: String,
    /// Launch tokens of the instances that are to be replaced and that are not yet.
    pub(crate) left: Vec<String>,
    /// How many were to be replaced.
    pub(crate) total: usize,
    /// The checkpoint that it waits at, until when.
    pub(crate) checkpoint: Option<(i32, u64)>,
    /// Checkpoints passed, in percent.
    pub(crate) passed: i32,
}

/// Where an instance is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Lifecycle {
    Pending,
    PendingWait,
    PendingProceed,
    InService,
    EnteringStandby,
    Standby,
    Detaching,
    Terminating,
    TerminatingWait,
    TerminatingProceed,
}

/// A lifecycle action that an instance waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WaitRow {
    pub(crate) hook: String,
    pub(crate) token: String,
    pub(crate) started_ms: u64,
    pub(crate) deadline_ms: u64,
    pub(crate) heartbeat_timeout_s: i32,
    pub(crate) default_result: HookResult,
    pub(crate) result: Option<HookResult>,
}

/// A load balancer that drains an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DrainRow {
    pub(crate) load_balancer: String,
    pub(crate) deadline_ms: u64,
}

/// An instance of a group, from the intent to launch it on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InstanceRow {
    /// The client token that EC2 gets; what this row is called while EC2 has no id for it.
    pub(crate) token: String,
    pub(crate) id: Option<String>,
    pub(crate) zone: String,
    pub(crate) subnet: Option<String>,
    pub(crate) instance_type: Option<String>,
    pub(crate) image_id: Option<String>,
    pub(crate) source: Option<LaunchSource>,
    pub(crate) lifecycle: Lifecycle,
    /// Why it is unhealthy, as the cause of its end says it; `None` while it is healthy.
    pub(crate) unhealthy: Option<String>,
    pub(crate) protected: bool,
    pub(crate) created_ms: u64,
    pub(crate) in_service_ms: Option<u64>,
    /// Where Auto Scaling has registered it.
    pub(crate) load_balancers: Vec<String>,
    /// Came into service while AddToLoadBalancer was suspended: it stays out of the load balancers.
    pub(crate) unbalanced: bool,
    pub(crate) drains: Vec<DrainRow>,
    pub(crate) waits: Vec<WaitRow>,
    /// Whether this transition's hooks have been begun.
    pub(crate) hooked: bool,
    /// When EC2 was last asked to end it.
    pub(crate) terminate_ms: Option<u64>,
    /// Whether EC2 must still be told whose it is.
    pub(crate) untagged: bool,
    /// Launched on top of the desired capacity, to balance zones or for a refresh.
    pub(crate) surplus: bool,
    /// What is happening to it; it moves to [`ACTIVITIES`] when it ends.
    pub(crate) activity: Option<ActivityRow>,
}

/// What happened to a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ActivityRow {
    pub(crate) id: String,
    /// Rises with each activity of the group.
    pub(crate) number: u64,
    pub(crate) group: String,
    pub(crate) group_arn: String,
    /// Whether the group is gone.
    #[serde(default)]
    pub(crate) group_deleted: bool,
    pub(crate) description: String,
    pub(crate) cause: String,
    pub(crate) status: String,
    pub(crate) message: Option<String>,
    pub(crate) progress: i32,
    pub(crate) details: String,
    pub(crate) start_ms: u64,
    pub(crate) end_ms: Option<u64>,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct GroupRow {
    pub(crate) uid: String,
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) name: String,
    pub(crate) created_ms: u64,
    pub(crate) source: LaunchSource,
    pub(crate) min: i32,
    pub(crate) max: i32,
    pub(crate) desired: i32,
    pub(crate) default_cooldown_s: i32,
    pub(crate) default_warmup_s: Option<i32>,
    /// Where instances go, in the order in which they were given.
    pub(crate) zones: Vec<String>,
    /// The subnets that were given; empty when zones were.
    pub(crate) subnets: Vec<SubnetRow>,
    pub(crate) load_balancers: Vec<LoadBalancerRow>,
    /// As given: `EC2`, `ELB`, or both.
    pub(crate) health_check_type: String,
    pub(crate) grace_period_s: i32,
    pub(crate) termination_policies: Vec<String>,
    pub(crate) protects_new: bool,
    pub(crate) instance_lifetime_max_s: Option<i32>,
    pub(crate) deletion_protection: Option<String>,
    pub(crate) service_linked_role_arn: Option<String>,
    pub(crate) tags: BTreeMap<String, TagRow>,
    /// Suspended processes, and why.
    pub(crate) suspended: BTreeMap<String, String>,
    pub(crate) metrics: BTreeSet<String>,
    pub(crate) hooks: Vec<HookRow>,
    pub(crate) policies: BTreeMap<String, PolicyRow>,
    pub(crate) scheduled_actions: BTreeMap<String, ScheduledActionRow>,
    /// The newest last.
    pub(crate) refreshes: Vec<RefreshRow>,
    pub(crate) instances: Vec<InstanceRow>,
    /// Its instances are ended, then it is gone.
    pub(crate) deleting: bool,
    /// What changed the desired capacity since it was last reached.
    pub(crate) cause: Option<String>,
    /// Why instances were taken out of service that are not yet replaced; each is the end of a sentence.
    pub(crate) replacements: Vec<String>,
    /// When a scaling activity last ended or the desired capacity was last changed; cooldowns count from here.
    pub(crate) scaled_ms: Option<u64>,
    /// Failed launches in a row.
    pub(crate) failures: u32,
    pub(crate) failed_ms: u64,
    /// The zone in which a launch failed last; others come first.
    pub(crate) failed_zone: Option<String>,
    /// No launch before this.
    pub(crate) launch_after_ms: u64,
    /// The last activity's number.
    pub(crate) activities: u64,
}

impl GroupRow {
    /// Its key in [`GROUPS`].
    pub(crate) fn key(&self) -> String {
        key(&self.account, &self.region, &self.name)
    }

    /// Its ARN.
    pub(crate) fn arn(&self) -> String {
        let Self { account, region, uid, name, .. } = self;
        format!("arn:aws:autoscaling:{region}:{account}:autoScalingGroup:{uid}:autoScalingGroupName/{name}")
    }

    /// The instance of this id.
    pub(crate) fn instance(&self, id: &str) -> Option<&InstanceRow> {
        self.instances.iter().find(|instance| instance.id.as_deref() == Some(id))
    }

    /// Instances that count towards the desired capacity.
    pub(crate) fn capacity(&self) -> usize {
        self.instances.iter().filter(|instance| instance.counts()).count()
    }

    /// Whether a process is suspended.
    pub(crate) fn suspends(&self, process: &str) -> bool {
        self.suspended.contains_key(process)
    }

    /// The refresh that is under way.
    pub(crate) fn refresh(&self) -> Option<&RefreshRow> {
        self.refreshes.last().filter(|refresh| refresh.ended_ms.is_none())
    }
}

impl InstanceRow {
    /// Whether it is on its way into service.
    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.lifecycle, Lifecycle::Pending | Lifecycle::PendingWait | Lifecycle::PendingProceed)
    }

    /// Whether it is on its way out, for good.
    pub(crate) fn is_terminating(&self) -> bool {
        matches!(self.lifecycle, Lifecycle::Terminating | Lifecycle::TerminatingWait | Lifecycle::TerminatingProceed)
    }

    /// Whether it counts towards the desired capacity. What was launched on top does once it takes a place.
    pub(crate) fn counts(&self) -> bool {
        (self.lifecycle == Lifecycle::InService || self.is_pending()) && !self.surplus
    }

    /// AWS's word for where it is.
    pub(crate) fn lifecycle_word(&self) -> &'static str {
        match self.lifecycle {
            Lifecycle::Pending => "Pending",
            Lifecycle::PendingWait => "Pending:Wait",
            // Without a hook nobody sees this state at AWS; here it lasts until the load balancers have the instance.
            Lifecycle::PendingProceed if self.waits.is_empty() => "Pending",
            Lifecycle::PendingProceed => "Pending:Proceed",
            Lifecycle::InService => "InService",
            Lifecycle::EnteringStandby => "EnteringStandby",
            Lifecycle::Standby => "Standby",
            Lifecycle::Detaching => "Detaching",
            Lifecycle::Terminating => "Terminating",
            Lifecycle::TerminatingProceed if self.waits.is_empty() => "Terminating",
            Lifecycle::TerminatingWait => "Terminating:Wait",
            Lifecycle::TerminatingProceed => "Terminating:Proceed",
        }
    }

    /// AWS's word for how it is.
    pub(crate) fn health_word(&self) -> &'static str {
        if self.unhealthy.is_some() { "Unhealthy" } else { "Healthy" }
    }
}
