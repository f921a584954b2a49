//! What steps ask the engine itself for: nested stacks and signals.
//!
//! Invariant: a nested stack is begun with a token that follows from its parent's step, so that a step done again after
//! a crash finds the one that it began.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use api::Call;
use async_trait::async_trait;
use store::{Scan, StoreError};
use wire::ApiError;

use crate::errors;
use crate::limits::NESTED_DEPTH_MAX;
use crate::names;
use crate::prepare::Source;
use crate::resources::failure::Failure;
use crate::resources::step::Step;
use crate::resources::{Look, Nested, Stacks};
use crate::rows::{self, OnFailure, SIGNALS, SignalRow, StackRow};
use crate::service::Inner;
use crate::signals::{WAIT_GENERATION, WAIT_PATH};
use crate::stacks::Wishes;

/// The engine, as its own steps see it.
pub(crate) struct Signals(pub(crate) Weak<Inner>);

fn refused(error: ApiError) -> Failure {
    Failure::Service { service: "cloudformation".into(), request_id: String::new(), error: Box::new(error) }
}

impl Signals {
    fn inner(&self) -> Result<Arc<Inner>, Failure> {
        self.0.upgrade().ok_or(Failure::Cancelled)
    }

    /// A stack by its id.
    async fn by_id(&self, id: &str) -> Result<Option<StackRow>, Failure> {
        let mut parts = id.split(':').skip(3);
        let (region, account) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let key = rows::stack_key(account, region, id.rsplit('/').next().unwrap_or_default());
        Ok(self.inner()?.ledger.stack(&key).await?)
    }
}

/// A call of a nested stack's parent.
async fn acting(step: &Step, service: &str) -> Result<Call, Failure> {
    let call = step.origin.acting(&*step.tools.platform, service, names::uuid(&*step.tools.ids)).await;
    call.map_err(refused)
}

#[async_trait]
impl Stacks for Signals {
    async fn create(&self, step: &Step, request: Nested) -> Result<String, Failure> {
        let inner = self.inner()?;
        let parent = self.by_id(&step.stack_id).await?;
        let (mut depth, mut above) = (1, parent.clone());
        while let Some(stack) = above {
            depth += 1;
            above = match stack.parent {
                Some(id) => self.by_id(&id).await?,
                None => None,
            };
        }
        if depth > NESTED_DEPTH_MAX {
            return Err(Failure::refused(format!("Stacks stand at most {NESTED_DEPTH_MAX} deep in each other")));
        }
        let call = acting(step, "cloudformation").await?;
        let name = step.name(128);
        let stack = StackRow::blank(&inner, &call, &name);
        let source = Source { body: None, url: Some(request.template_url), previous: false };
        let to_s3 = acting(step, "s3").await?;
        let text = inner.text(&to_s3, source, None).await.map_err(refused)?;
        let capabilities = parent.as_ref().map(capabilities).unwrap_or_default();
        let prepared =
            inner.prepare(&stack, text, request.parameters, request.tags, capabilities).await.map_err(refused)?;
        let root = parent.map(|parent| parent.root.unwrap_or_else(|| step.stack_id.clone()));
        let wishes = Wishes {
            token: Some(step.token()),
            // The parent takes it back.
            on_failure: OnFailure::Rollback,
            timeout_min: request.timeout_min,
            parent: Some(step.stack_id.clone()),
            root: root.or_else(|| Some(step.stack_id.clone())),
            ..Wishes::default()
        };
        inner.begin_create(&call, stack, prepared, wishes).await.map_err(refused)
    }

    async fn update(&self, step: &Step, id: &str, request: Nested) -> Result<bool, Failure> {
        let inner = self.inner()?;
        let Some(stack) = self.by_id(id).await? else {
            return Err(Failure::refused(format!("Stack [{id}] does not exist")));
        };
        // Begun in an earlier life.
        if stack.status.ends_with("_IN_PROGRESS") {
            return Ok(true);
        }
        let call = acting(step, "cloudformation").await?;
        let to_s3 = acting(step, "s3").await?;
        let source = Source { body: None, url: Some(request.template_url), previous: false };
        let text = inner.text(&to_s3, source, None).await.map_err(refused)?;
        let parent = self.by_id(&step.stack_id).await?;
        let capabilities = parent.as_ref().map(capabilities).unwrap_or_default();
        let prepared =
            inner.prepare(&stack, text, request.parameters, request.tags, capabilities).await.map_err(refused)?;
        let wishes = Wishes { token: Some(step.token()), ..Wishes::default() };
        match inner.begin_update(&call, &stack, prepared, wishes, None).await {
            Ok(_) => Ok(true),
            Err(error) if error == errors::no_updates() => Ok(false),
            Err(error) => Err(refused(error)),
        }
    }

    async fn delete(&self, step: &Step, id: &str) -> Result<(), Failure> {
        let Some(stack) = self.by_id(id).await? else { return Ok(()) };
        let call = acting(step, "cloudformation").await?;
        let wishes = Wishes { token: Some(step.token()), ..Wishes::default() };
        let mut looks = 0;
        loop {
            let begun = self.inner()?.begin_delete(&call, &stack, BTreeSet::new(), wishes.clone(), true).await;
            match begun {
                // It is still rolling back, or cleaning up.
                Err(error) if error.message.contains("_IN_PROGRESS") => step.pause(looks).await?,
                other => return other.map_err(refused),
            }
            looks += 1;
        }
    }

    async fn look(&self, id: &str) -> Result<Option<Look>, Failure> {
        let Some(stack) = self.by_id(id).await? else { return Ok(None) };
        let outputs = stack.outputs.iter().map(|output| (output.name.clone(), output.value.clone())).collect();
        Ok(Some(Look { status: stack.status, reason: stack.reason.or(stack.why), outputs }))
    }

    async fn signals(&self, step: &Step, logical: &str) -> Result<Vec<SignalRow>, Failure> {
        let prefix = rows::signals_of(&step.stack_uid, logical);
        let inner = self.inner()?;
        let read = inner.store.read_async(move |view| view.scan(&SIGNALS, &Scan::prefix(&prefix)));
        let rows = read.await.map_err(|error: StoreError| Failure::Store(error))?;
        Ok(rows.into_iter().map(|row| row.value).collect())
    }

    async fn wait_for_signals(&self, step: &Step, at_most: Duration) -> Result<(), Failure> {
        let mut changed = self.inner()?.store.watch(&SIGNALS);
        // A signal between the last look and this moment is seen at the next look, soon.
        let at_most = at_most.min(Duration::from_secs(1));
        tokio::select! {
            biased;
            () = step.cancel.cancelled() => Err(Failure::Cancelled),
            _ = changed.changed() => Ok(()),
            () = tokio::time::sleep(at_most) => Ok(()),
        }
    }

    fn signal_url(&self, step: &Step) -> String {
        let endpoint = &step.origin.endpoint;
        let secret = names::token(&step.stack_id, &step.logical, WAIT_GENERATION);
        let (uid, logical) = (&step.stack_uid, &step.logical);
        format!("{}://{}{WAIT_PATH}{uid}/{logical}/{secret}", endpoint.scheme, endpoint.authority)
    }
}

/// What a parent may, its nested stacks may.
fn capabilities(parent: &StackRow) -> Vec<String> {
    match &parent.operation {
        Some(operation) => operation.target.capabilities.clone(),
        None => parent.current.capabilities.clone(),
    }
}
