//! [`Ledger`]: every write of the engine, each with the event that tells of it.
//!
//! Invariants:
//! - A row and its event are one transaction: whoever reads the one finds the other.
//! - A stack's row is changed by reading and writing it in the same transaction, so that what a request asks for in the
//!   middle of an operation is not overwritten.
//! - Events of a stack are kept newest first, by keys that no two share.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use host::{Clock, Ids};
use store::{Scan, Store, StoreError, Transaction};

use crate::names;
use crate::rows::{
    self, EVENTS, EXPORTS, EventRow, ExportRow, IMPORTS, NAMES, RESOURCES, ResourceRow, SIGNALS, STACKS, StackRow,
};

/// Bits of an event's number that count events within a millisecond.
const COUNTER_BITS: u32 = 20;

/// Where the engine writes.
#[derive(Clone)]
pub(crate) struct Ledger {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    counter: Arc<AtomicU64>,
}

/// A row with the event about it; `None` for a change that nobody is told of.
pub(crate) struct Told {
    pub(crate) row: ResourceRow,
    pub(crate) event: Option<EventRow>,
}

impl Ledger {
    pub(crate) fn new(store: Store, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        Self { store, clock, ids, counter: Arc::default() }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now().0
    }

    /// An event's key: the newest comes first.
    fn event_key(&self, uid: &str, at_ms: u64) -> String {
        let counted = self.counter.fetch_add(1, Ordering::Relaxed) & ((1 << COUNTER_BITS) - 1);
        let number = (at_ms << COUNTER_BITS) | counted;
        format!("{}{:020}", rows::of_stack(uid), u64::MAX - number)
    }

    /// The event about a resource as its row is.
    pub(crate) fn event(&self, row: &ResourceRow, token: Option<&str>, properties: Option<String>) -> EventRow {
        EventRow {
            id: format!("{}-{}-{}", row.logical, row.status, names::uuid(&*self.ids)),
            at_ms: row.updated_ms,
            logical: row.logical.clone(),
            physical: row.physical_id().to_owned(),
            kind: row.kind.clone(),
            status: row.status.clone(),
            reason: row.reason.clone(),
            properties,
            token: token.map(str::to_owned),
        }
    }

    /// The event about a stack as its row is.
    pub(crate) fn stack_event(&self, stack: &StackRow) -> EventRow {
        EventRow {
            id: names::uuid(&*self.ids),
            at_ms: self.now_ms(),
            logical: stack.name.clone(),
            physical: stack.id(),
            kind: "AWS::CloudFormation::Stack".into(),
            status: stack.status.clone(),
            reason: stack.reason.clone(),
            properties: None,
            token: stack.operation.as_ref().and_then(|operation| operation.token.clone()),
        }
    }

    /// Writes an event within a transaction.
    pub(crate) fn tell(&self, tx: &mut Transaction<'_>, uid: &str, event: &EventRow) -> Result<(), StoreError> {
        tx.put(&EVENTS, &self.event_key(uid, event.at_ms), event).map(drop)
    }

    /// Writes a resource's row, and what is told of it.
    pub(crate) async fn put(&self, uid: &str, told: Told) -> Result<(), StoreError> {
        let (ledger, uid) = (self.clone(), uid.to_owned());
        let write = self.store.write_async(move |tx| {
            tx.put(&RESOURCES, &rows::resource_key(&uid, &told.row.logical), &told.row)?;
            match &told.event {
                Some(event) => ledger.tell(tx, &uid, event),
                None => Ok(()),
            }
        });
        write.await
    }

    /// Begins a resource's step: its row, its event, the exports that it imports; signals of earlier steps go.
    pub(crate) async fn begin(
        &self,
        stack: &StackRow,
        told: Told,
        imports: BTreeSet<String>,
    ) -> Result<(), StoreError> {
        let (ledger, stack) = (self.clone(), stack.clone());
        let write = self.store.write_async(move |tx| {
            tx.delete_range(&SIGNALS, &Scan::prefix(&rows::signals_of(&stack.uid, &told.row.logical)))?;
            for export in &imports {
                let key = rows::import_key(&stack.account, &stack.region, export, &stack.uid);
                tx.put(&IMPORTS, &key, &stack.key())?;
            }
            tx.put(&RESOURCES, &rows::resource_key(&stack.uid, &told.row.logical), &told.row)?;
            match &told.event {
                Some(event) => ledger.tell(tx, &stack.uid, event),
                None => Ok(()),
            }
        });
        write.await
    }

    /// Removes a resource's row.
    pub(crate) async fn forget(&self, uid: &str, logical: &str) -> Result<(), StoreError> {
        let key = rows::resource_key(uid, logical);
        self.store.write_async(move |tx| tx.delete(&RESOURCES, &key).map(drop)).await
    }

    /// Changes a stack's row if `change` says so; tells of it where its status or reason is another one then.
    pub(crate) async fn change<F>(&self, key: &str, change: F) -> Result<StackRow, StoreError>
    where
        F: FnOnce(&mut StackRow) + Send + 'static,
    {
        self.change_with(key, |_, row| {
            change(row);
            Ok(())
        })
        .await
    }

    /// The same, with other rows in the same transaction.
    pub(crate) async fn change_with<F>(&self, key: &str, change: F) -> Result<StackRow, StoreError>
    where
        F: FnOnce(&mut Transaction<'_>, &mut StackRow) -> Result<(), StoreError> + Send + 'static,
    {
        let (ledger, key) = (self.clone(), key.to_owned());
        let write = self.store.write_async(move |tx| {
            let Some(found) = tx.get(&STACKS, &key)? else {
                return Err(StoreError::Conflict { table: STACKS.name(), key });
            };
            let mut row = found.value;
            let before = (row.status.clone(), row.reason.clone());
            change(tx, &mut row)?;
            tx.put(&STACKS, &key, &row)?;
            if before != (row.status.clone(), row.reason.clone()) {
                ledger.tell(tx, &row.uid, &ledger.stack_event(&row))?;
            }
            Ok(row)
        });
        write.await
    }

    /// All resources of a stack.
    pub(crate) async fn resources(&self, uid: &str) -> Result<Vec<ResourceRow>, StoreError> {
        let prefix = rows::of_stack(uid);
        let read = self.store.read_async(move |view| view.scan(&RESOURCES, &Scan::prefix(&prefix)));
        Ok(read.await?.into_iter().map(|row| row.value).collect())
    }

    /// A stack by its key.
    pub(crate) async fn stack(&self, key: &str) -> Result<Option<StackRow>, StoreError> {
        let key = key.to_owned();
        let read = self.store.read_async(move |view| view.get(&STACKS, &key));
        Ok(read.await?.map(|row| row.value))
    }
}

/// What the exports of a stack must not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ExportTrouble {
    /// Another stack has exported that name.
    Taken { name: String, by: String },
    /// Another stack imports it, and it would go or change.
    InUse { name: String, by: String, is_update: bool },
}

impl std::fmt::Display for ExportTrouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Taken { name, by } => write!(f, "Export with name {name} is already exported by stack {by}"),
            Self::InUse { name, by, is_update: true } => {
                write!(f, "Cannot update export {name} as it is in use by {by}")
            }
            Self::InUse { name, by, .. } => write!(f, "Export {name} cannot be deleted as it is in use by {by}"),
        }
    }
}

/// Replaces a stack's exports by others; nothing is written where that must not be.
pub(crate) fn set_exports(
    tx: &mut Transaction<'_>,
    stack: &StackRow,
    exports: &[(String, String)],
) -> Result<Option<ExportTrouble>, StoreError> {
    let (place, id) = (rows::place(&stack.account, &stack.region), stack.id());
    let key = |name: &str| format!("{place}{name}");
    let before: Vec<ExportRow> = tx
        .scan(&EXPORTS, &Scan::prefix(&place))?
        .into_iter()
        .map(|row| row.value)
        .filter(|export| export.stack_id == id)
        .collect();
    for (name, _) in exports {
        if let Some(other) = tx.get(&EXPORTS, &key(name))?.filter(|row| row.value.stack_id != id) {
            let by = other.value.stack_id.split('/').nth(1).unwrap_or_default().to_owned();
            return Ok(Some(ExportTrouble::Taken { name: name.clone(), by }));
        }
    }
    for export in &before {
        let after = exports.iter().find(|(name, _)| *name == export.name);
        if after.is_some_and(|(_, value)| *value == export.value) {
            continue;
        }
        let importers = Scan::prefix(&rows::imports_of(&stack.account, &stack.region, &export.name));
        for importer in tx.scan(&IMPORTS, &importers)? {
            let Some(by) = tx.get(&STACKS, &importer.value)?.filter(|row| row.value.uid != stack.uid) else { continue };
            let (name, by) = (export.name.clone(), by.value.name);
            return Ok(Some(ExportTrouble::InUse { name, by, is_update: after.is_some() }));
        }
    }
    for export in &before {
        tx.delete(&EXPORTS, &key(&export.name))?;
    }
    for (name, value) in exports {
        let row = ExportRow { name: name.clone(), value: value.clone(), stack_id: id.clone() };
        tx.put(&EXPORTS, &key(name), &row)?;
    }
    Ok(None)
}

/// Replaces what a stack imports.
pub(crate) fn set_imports(
    tx: &mut Transaction<'_>,
    stack: &StackRow,
    imports: &BTreeSet<String>,
) -> Result<(), StoreError> {
    let place = rows::place(&stack.account, &stack.region);
    for row in tx.scan(&IMPORTS, &Scan::prefix(&place))? {
        let of_this = row.key.rsplit('\0').next() == Some(stack.uid.as_str());
        let export = row.key[place.len()..].split('\0').next().unwrap_or_default();
        if of_this && !imports.contains(export) {
            tx.delete(&IMPORTS, &row.key)?;
        }
    }
    for export in imports {
        let key = rows::import_key(&stack.account, &stack.region, export, &stack.uid);
        tx.put(&IMPORTS, &key, &stack.key())?;
    }
    Ok(())
}

/// Frees a deleted stack's name, and what it imports.
pub(crate) fn free(tx: &mut Transaction<'_>, stack: &StackRow) -> Result<(), StoreError> {
    let key = rows::name_key(&stack.account, &stack.region, &stack.name);
    if tx.get(&NAMES, &key)?.is_some_and(|row| row.value == stack.key()) {
        tx.delete(&NAMES, &key)?;
    }
    tx.delete_range(&SIGNALS, &Scan::prefix(&rows::of_stack(&stack.uid)))?;
    set_imports(tx, stack, &BTreeSet::new())
}
