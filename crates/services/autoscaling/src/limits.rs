//! AWS's limits, and ours, by name.
//!
//! Invariant: whatever grows with a client's will has its bound here.

/// Groups of an account in a region.
pub(crate) const GROUPS_MAX: usize = 500;
/// Launch configurations of an account in a region.
pub(crate) const LAUNCH_CONFIGURATIONS_MAX: usize = 200;
/// What a group may be asked to hold. AWS has no such number; a row holds all instances of its group.
pub(crate) const GROUP_SIZE_MAX: i32 = 1_000;
/// Load balancers of a group.
pub(crate) const LOAD_BALANCERS_MAX: usize = 50;
/// Load balancers in one attach or detach.
pub(crate) const LOAD_BALANCERS_PER_CALL_MAX: usize = 10;
/// Instances in one call that names instances.
pub(crate) const INSTANCES_PER_CALL_MAX: usize = 20;
/// Scaling policies of a group.
pub(crate) const POLICIES_MAX: usize = 50;
/// Steps of a policy.
pub(crate) const STEPS_MAX: usize = 20;
/// Scheduled actions of a group.
pub(crate) const SCHEDULED_ACTIONS_MAX: usize = 125;
/// Scheduled actions in one batch.
pub(crate) const SCHEDULED_ACTIONS_PER_CALL_MAX: usize = 50;
/// Lifecycle hooks of a group.
pub(crate) const HOOKS_MAX: usize = 50;
/// Tags of a group.
pub(crate) const TAGS_MAX: usize = 50;
/// Characters of a tag's key.
pub(crate) const TAG_KEY_CHARACTERS_MAX: usize = 128;
/// Characters of a tag's value.
pub(crate) const TAG_VALUE_CHARACTERS_MAX: usize = 256;
/// Bytes of user data, before base64.
pub(crate) const USER_DATA_BYTES_MAX: usize = 16 * 1024;
/// Refreshes of a group that are remembered.
pub(crate) const REFRESHES_MAX: usize = 20;
/// Ended activities of a group that are remembered.
pub(crate) const ACTIVITIES_MAX: u64 = 500;
/// How long ended activities are remembered: six weeks, as AWS does.
pub(crate) const ACTIVITIES_KEPT_MS: u64 = 42 * 24 * 60 * 60 * 1000;

/// Instances of one group that are being launched at a time: the rest waits, so that a burst of failures is no storm.
pub(crate) const LAUNCHES_IN_FLIGHT_MAX: usize = 20;
/// Calls to EC2 and ELB that one group makes at a time.
pub(crate) const CALLS_AT_ONCE_MAX: usize = 8;
/// Groups that are looked after at a time.
pub(crate) const GROUPS_AT_ONCE_MAX: usize = 16;
/// How long a group waits after a failed launch; twice as long after each further one.
pub(crate) const BACKOFF_MS: u64 = 1_000;
/// The longest such wait.
pub(crate) const BACKOFF_MAX_MS: u64 = 5 * 60 * 1000;
/// An instance that fails sooner than this after it came into service counts as a failed launch; one that lives longer
/// ends the waiting.
pub(crate) const STABLE_MS: u64 = 30_000;
/// The longest that draining is waited for: ELB itself allows an hour.
pub(crate) const DRAIN_MAX_MS: u64 = (3_600 + 60) * 1000;
/// How long EC2 gets to end an instance before it is asked again.
pub(crate) const TERMINATE_AGAIN_MS: u64 = 30_000;
/// The longest that a lifecycle action waits, whatever heartbeats it gets.
pub(crate) const HOOK_MAX_MS: u64 = 48 * 60 * 60 * 1000;
