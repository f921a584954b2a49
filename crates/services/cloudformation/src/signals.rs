//! Signals: what resources are told while they are waited for.
//!
//! Invariants:
//! - A signal is durable before its sender hears that it arrived; the same sender twice counts once.
//! - A resource that nobody waits for takes none.

use ::api::Call;
use ::api::cloudformation::SignalResourceInput;
use serde_json::Value;
use store::{Scan, StoreError};
use wire::ApiError;

use crate::errors;
use crate::limits::{SIGNAL_BYTES_MAX, SIGNALS_MAX};
use crate::names;
use crate::rows::{self, RESOURCES, ResourceRow, SIGNALS, STACKS, SignalRow, StackRow};
use crate::service::{CloudFormation, Inner};

/// A wait condition's signal is sent to this path of the endpoint.
pub const WAIT_PATH: &str = "/_millpond/wait-condition/";

impl CloudFormation {
    pub(crate) async fn signal(&self, call: &Call, input: SignalResourceInput) -> Result<(), ApiError> {
        let stack = self.inner.stack(call, &input.stack_name, errors::stack_in_brackets).await?;
        let signal = SignalRow {
            unique_id: input.unique_id,
            is_success: input.status == "SUCCESS",
            at_ms: self.inner.ledger.now_ms(),
            data: None,
            reason: None,
        };
        let logical = input.logical_resource_id;
        self.inner.keep_signal(&stack, logical, signal, true).await.map_err(|error| errors::from_store(call, &error))?
    }

    /// Takes the signal that somebody put to a wait condition's URL: what follows [`WAIT_PATH`] of its path. Whoever
    /// knows the URL may; nobody signs.
    ///
    /// # Errors
    /// When no handle has that URL, nobody waits, or the document is no signal.
    pub async fn wait_condition(&self, path: &str, body: &[u8]) -> Result<(), ApiError> {
        let mut parts = path.split('/');
        let (Some(uid), Some(logical), Some(secret), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(errors::signal_url());
        };
        let stack = self.inner.by_uid(uid).await.map_err(|error| store_failed(&error))?;
        let stack = stack.ok_or_else(errors::signal_url)?;
        if names::token(&stack.id(), logical, WAIT_GENERATION) != secret {
            return Err(errors::signal_url());
        }
        let signal = read(body, self.inner.ledger.now_ms())?;
        let kept = self.inner.keep_signal(&stack, logical.to_owned(), signal, false).await;
        kept.map_err(|error| store_failed(&error))?
    }
}

/// A wait condition's URL does not depend on how often its handle was made.
pub(crate) const WAIT_GENERATION: u32 = u32::MAX;

fn store_failed(error: &StoreError) -> ApiError {
    tracing::error!(%error, "the store failed");
    errors::internal()
}

/// `{"Status": "SUCCESS", "Reason": "…", "UniqueId": "…", "Data": "…"}`.
fn read(body: &[u8], at_ms: u64) -> Result<SignalRow, ApiError> {
    if body.len() > 4 * SIGNAL_BYTES_MAX {
        return Err(errors::signal_data());
    }
    let document: Value = serde_json::from_slice(body).map_err(|_| errors::signal_data())?;
    let text = |name: &str| document.get(name).and_then(crate::template::text);
    let status = text("Status").filter(|status| matches!(status.as_str(), "SUCCESS" | "FAILURE"));
    let status = status.ok_or_else(errors::signal_data)?;
    let unique_id =
        text("UniqueId").filter(|id| !id.is_empty() && !id.contains('\0')).ok_or_else(errors::signal_data)?;
    let data = text("Data");
    if data.as_ref().is_some_and(|data| data.len() > SIGNAL_BYTES_MAX) {
        return Err(errors::signal_data());
    }
    Ok(SignalRow { unique_id, is_success: status == "SUCCESS", at_ms, data, reason: text("Reason") })
}

impl Inner {
    /// The stack with the last part of an id.
    async fn by_uid(&self, uid: &str) -> Result<Option<StackRow>, StoreError> {
        let uid = uid.to_owned();
        let read = self.store.read_async(move |view| view.scan(&STACKS, &Scan::all()));
        Ok(read.await?.into_iter().map(|row| row.value).find(|stack| stack.uid == uid && !stack.is_gone()))
    }

    /// Keeps a signal and tells of it.
    async fn keep_signal(
        &self,
        stack: &StackRow,
        logical: String,
        signal: SignalRow,
        must_wait: bool,
    ) -> Result<Result<(), ApiError>, StoreError> {
        let (ledger, stack) = (self.ledger.clone(), stack.clone());
        let write = self.store.write_async(move |tx| {
            let Some(row) = tx.get(&RESOURCES, &rows::resource_key(&stack.uid, &logical))? else {
                return Ok(Err(errors::resource(&logical, &stack.name)));
            };
            let mut row: ResourceRow = row.value;
            let is_waited_for = matches!(row.status.as_str(), "CREATE_IN_PROGRESS" | "UPDATE_IN_PROGRESS");
            if must_wait && !is_waited_for {
                return Ok(Err(errors::cannot_be_signalled(&logical, &row.status)));
            }
            let of_resource = Scan::prefix(&rows::signals_of(&stack.uid, &logical)).limit(SIGNALS_MAX);
            if tx.count(&SIGNALS, &of_resource)? >= SIGNALS_MAX {
                return Ok(Err(errors::too_many_signals(&logical)));
            }
            let key = rows::signal_key(&stack.uid, &logical, &signal.unique_id);
            // The first word of a sender counts.
            if tx.get(&SIGNALS, &key)?.is_none() {
                tx.put(&SIGNALS, &key, &signal)?;
                let status = if signal.is_success { "SUCCESS" } else { "FAILURE" };
                row.reason = Some(format!("Received {status} signal with UniqueId {}", signal.unique_id));
                row.updated_ms = signal.at_ms;
                let token = stack.operation.as_ref().and_then(|now| now.token.as_deref());
                let event = ledger.event(&row, token, None);
                ledger.tell(tx, &stack.uid, &event)?;
            }
            Ok(Ok(()))
        });
        write.await
    }
}
