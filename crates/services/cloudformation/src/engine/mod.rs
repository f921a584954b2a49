//! The engine: a driver for each stack that something is being done to.
//!
//! Invariants:
//! - A stack has at most one driver.
//! - A driver knows nothing that the store does not: dropped at any moment and started again, it goes on.
//! - Whoever changes a stack's row wakes its driver afterwards; a wake-up is never lost.

mod backward;
pub(crate) mod forward;
pub(crate) mod ledger;
mod restore;
pub(crate) mod run;
mod steps;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use store::StoreError;

use crate::rows::Phase;
use crate::service::{Hint, Inner};
use run::Run;

/// How long a driver waits before it tries again to read or write.
const RETRY: Duration = Duration::from_secs(1);

/// Does what is to be done to a stack, until nothing is.
pub(crate) async fn drive(inner: Arc<Inner>, key: String, hint: Hint) {
    loop {
        match advance(&inner, &key, &hint).await {
            Ok(true) => {}
            Ok(false) => {
                if inner.ends(&key) {
                    return;
                }
            }
            Err(error) => {
                tracing::error!(%error, "cannot go on with a stack; trying again");
                tokio::time::sleep(RETRY).await;
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
