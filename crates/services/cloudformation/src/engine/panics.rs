//! Panics: what ends in the middle of a step by a bug of ours.
//!
//! Invariants:
//! - A panic in a resource's step ends that resource's step and nothing else: its stack's driver lives on.
//! - It is tried again, in case it was a chance; what panics again and again has failed, as what its service refuses has.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;

use crate::resources::failure::Failure;

/// How often a step that panics is tried in all.
const TRIES_MAX: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// Tries a step until it does not panic; what it says then. `attempt` is told how often it was tried before.
pub(super) async fn survived<T, F>(logical: &str, mut attempt: impl FnMut(u32) -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    for tried in 0..TRIES_MAX {
        if tried > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        // What it shares with others is behind locks that a panic leaves as the store has it, or is read from there again.
        match AssertUnwindSafe(attempt(tried)).catch_unwind().await {
            Ok(outcome) => return outcome,
            Err(panic) => tracing::error!(logical, tried, panic = said(&*panic), "a resource's step panicked"),
        }
    }
    Err(Failure::refused(format!("Internal Failure: the step panicked {TRIES_MAX} times; the server's log says where")))
}

/// What a panic said.
pub(super) fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
