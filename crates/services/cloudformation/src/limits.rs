//! AWS's limits, and ours.
//!
//! Invariant: everything that a client can make grow has its bound here or in `template`.

/// Calls to services under way at once, of all stacks together.
pub(crate) const CALLS_MAX: usize = 64;
/// How long a deleted stack is told of. AWS's 90 days.
pub(crate) const DELETED_KEPT_MS: u64 = 90 * 24 * 60 * 60 * 1000;
/// Stacks of an account in a region. AWS's default.
pub(crate) const STACKS_MAX: usize = 2000;
/// AWS's limit on a stack's name.
pub(crate) const STACK_NAME_CHARACTERS_MAX: usize = 128;
/// AWS's limit on a stack's tags.
pub(crate) const TAGS_MAX: usize = 50;
/// Stacks in an answer of DescribeStacks, and in one of ListStacks.
pub(crate) const STACKS_PAGE: usize = 100;
/// Events in an answer.
pub(crate) const EVENTS_PAGE: usize = 100;
/// Resources in an answer of ListStackResources; DescribeStackResources has no pages.
pub(crate) const RESOURCES_PAGE: usize = 100;
/// Exports, imports, change sets and changes in an answer.
pub(crate) const LIST_PAGE: usize = 100;
/// AWS's limit on a stack policy in a request.
pub(crate) const POLICY_BYTES_MAX: usize = 16_384;
/// How deep stacks may stand in each other.
pub(crate) const NESTED_DEPTH_MAX: usize = 10;
/// Signals that a resource keeps.
pub(crate) const SIGNALS_MAX: usize = 1000;
/// What a wait condition's signal may carry. AWS's limit on the data.
pub(crate) const SIGNAL_BYTES_MAX: usize = 4096;
