//! The engine: a driver for each stack that something is being done to.
//!
//! Invariants:
//! - A stack has at most one driver.
//! - A driver knows nothing that the store does not: dropped at any moment and started again, it goes on.
//! - Whoever changes a stack's row wakes its driver afterwards; a wake-up is never lost.

mod backward;
pub(crate) mod forward;
pub(crate) mod ledger;
mod panics;
mod restore;
pub(crate) mod run;
mod steps;
mod waiting;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use store::StoreError;

use crate::rows::Phase;
use crate::service::{Hint, Inner};
use run::Run;

/// How long a driver waits before it tries again to read or write.
const RETRY: Duration = Duration::from_secs(1);
/// How long one that panicked waits: it is a bug, and will most likely do so again.
const RETRY_PANICKED: Duration = Duration::from_secs(60);

/// Does what is to be done to a stack, until nothing is.
pub(crate) async fn drive(inner: Arc<Inner>, key: String, hint: Hint) {
    loop {
        match AssertUnwindSafe(advance(&inner, &key, &hint)).catch_unwind().await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => {
                if inner.ends(&key) {
                    return;
                }
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "cannot go on with a stack; trying again");
                tokio::time::sleep(RETRY).await;
            }
            // A driver that ended here would leave its stack in progress for ever.
            Err(panic) => {
                tracing::error!(panic = panics::said(&*panic), key, "a stack's driver panicked; trying again");
                tokio::time::sleep(RETRY_PANICKED).await;
            }
        }
    }
}

/// Does one phase; whether there was one.
async fn advance(inner: &Arc<Inner>, key: &str, hint: &Hint) -> Result<bool, StoreError> {
    let Some(mut run) = Run::load(inner, key).await? else { return Ok(false) };
    match run.operation.phase {
        Phase::Create | Phase::Update => run.forward(hint).await?,
        Phase::RollbackUpdate => run.restore(hint).await?,
        Phase::Delete | Phase::RollbackCreate | Phase::Cleanup | Phase::RollbackCleanup => run.backward(hint).await?,
    }
    Ok(true)
}
