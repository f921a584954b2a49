//! What CloudFormation remembers.
//!
//! Invariants:
//! - A stack's row with its resources' rows says everything that the engine must know to go on after a crash.
//! - A physical id stands in some row from the moment it is known until the resource is gone.
//! - Rows that older versions wrote are read: a new field has a default.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::Table;

use crate::template::DeletionPolicy;

/// Stacks by [`stack_key`], deleted ones too.
pub(crate) const STACKS: Table<StackRow> = Table::new("cfn_stacks");
/// Keys of the stacks that are not deleted, by [`name_key`].
pub(crate) const NAMES: Table<String> = Table::new("cfn_names");
/// Templates by [`numbered_key`].
pub(crate) const TEMPLATES: Table<String> = Table::new("cfn_templates");
/// Resources by [`resource_key`].
pub(crate) const RESOURCES: Table<ResourceRow> = Table::new("cfn_resources");
/// Events by [`event_key`].
pub(crate) const EVENTS: Table<EventRow> = Table::new("cfn_events");
/// Change sets by [`numbered_key`].
pub(crate) const CHANGE_SETS: Table<ChangeSetRow> = Table::new("cfn_change_sets");
/// Exports by account, region and name.
pub(crate) const EXPORTS: Table<ExportRow> = Table::new("cfn_exports");
/// Who imports what, by [`import_key`].
pub(crate) const IMPORTS: Table<String> = Table::new("cfn_imports");
/// Signals by [`signal_key`].
pub(crate) const SIGNALS: Table<SignalRow> = Table::new("cfn_signals");

/// A stack.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct StackRow {
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) name: String,
    /// The last part of its id; no two stacks share one.
    pub(crate) uid: String,
    pub(crate) status: String,
    pub(crate) reason: Option<String>,
    pub(crate) created_ms: u64,
    pub(crate) updated_ms: Option<u64>,
    pub(crate) deleted_ms: Option<u64>,
    /// What the stack is now, or was when it was last at rest.
    pub(crate) current: Target,
    pub(crate) outputs: Vec<OutputRow>,
    pub(crate) disable_rollback: bool,
    pub(crate) timeout_min: Option<u32>,
    pub(crate) termination_protection: bool,
    pub(crate) policy: Option<String>,
    pub(crate) role_arn: Option<String>,
    pub(crate) parent: Option<String>,
    pub(crate) root: Option<String>,
    pub(crate) change_set: Option<String>,
    /// Why the last operation did not become what was asked for.
    #[serde(default)]
    pub(crate) why: Option<String>,
    /// The role with which the last operation acts: `role_arn`, or that of whoever asked for it.
    #[serde(default)]
    pub(crate) acts_as: Option<String>,
    /// The token of the request that made it.
    #[serde(default)]
    pub(crate) token: Option<String>,
    /// Numbers operations, templates, change sets and events of this stack.
    pub(crate) last_number: u64,
    /// What is being done to the stack; after a failure that was not rolled back, what can be taken up again.
    pub(crate) operation: Option<Operation>,
    /// Where the caller reached us; URLs for signals are built from it.
    pub(crate) endpoint: String,
}

/// A template with what was given to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Target {
    /// The number of the template's row; 0 for none.
    pub(crate) template: u64,
    pub(crate) description: Option<String>,
    pub(crate) parameters: BTreeMap<String, ParameterRow>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) capabilities: Vec<String>,
}

/// A parameter's value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ParameterRow {
    /// As it was given.
    pub(crate) value: String,
    /// What an SSM parameter said.
    pub(crate) resolved: Option<String>,
    pub(crate) no_echo: bool,
    /// `String`, `List<Number>`.
    pub(crate) kind: String,
}

/// An output, evaluated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct OutputRow {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) description: Option<String>,
    pub(crate) export: Option<String>,
}

/// What an operation is doing now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// Resources are made.
    Create,
    /// What was made is taken away again.
    RollbackCreate,
    /// Everything is taken away.
    Delete,
    /// Resources are made and changed.
    Update,
    /// What the new template does not have is taken away.
    Cleanup,
    /// Changed resources become what they were.
    RollbackUpdate,
    /// What the update made is taken away.
    RollbackCleanup,
}

/// What a failure leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OnFailure {
    #[default]
    Rollback,
    Delete,
    DoNothing,
}

/// Something that is being done to a stack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Operation {
    pub(crate) number: u64,
    pub(crate) phase: Phase,
    /// Whether it stands still until somebody says how to go on.
    pub(crate) is_paused: bool,
    /// What the stack shall become.
    pub(crate) target: Target,
    pub(crate) on_failure: OnFailure,
    pub(crate) token: Option<String>,
    pub(crate) deadline_ms: Option<u64>,
    /// CancelUpdateStack was called.
    pub(crate) is_cancelled: bool,
    /// DeleteStack's RetainResources.
    pub(crate) retain: BTreeSet<String>,
    /// ContinueUpdateRollback's ResourcesToSkip.
    pub(crate) skip: BTreeSet<String>,
    /// StackPolicyDuringUpdateBody.
    pub(crate) policy: Option<String>,
    /// RetainExceptOnCreate.
    pub(crate) retain_except_on_create: bool,
}

/// A resource of a stack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ResourceRow {
    pub(crate) logical: String,
    pub(crate) kind: String,
    pub(crate) status: String,
    pub(crate) reason: Option<String>,
    pub(crate) updated_ms: u64,
    /// The operation in which it was last looked at; what was done in it is done.
    pub(crate) operation: u64,
    /// How often a physical resource was begun: part of generated names.
    pub(crate) generation: u32,
    /// When the present step was begun.
    pub(crate) begun_ms: u64,
    /// When the physical resource was there and its signals were waited for.
    pub(crate) waiting_ms: Option<u64>,
    pub(crate) physical: Option<Physical>,
    /// Properties that the present step asks for.
    pub(crate) asked: Map<String, Value>,
    pub(crate) needs: BTreeSet<String>,
    pub(crate) deletion_policy: DeletionPolicy,
    pub(crate) update_replace_policy: DeletionPolicy,
    pub(crate) metadata: Option<Value>,
    /// `UpdatePolicy`, evaluated: taking an update back goes by it as well.
    #[serde(default)]
    pub(crate) update_policy: Option<Value>,
    /// What it was when the stack was last at rest, if the operation touched it.
    pub(crate) before: Option<Box<ResourceRow>>,
    /// Whether it came with the present operation.
    pub(crate) is_new: bool,
    /// Physical resources that others have replaced, to be deleted.
    pub(crate) replaced: Vec<Replaced>,
}

/// A physical resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Physical {
    pub(crate) id: String,
    /// Properties as they were applied.
    pub(crate) properties: Map<String, Value>,
    /// What Fn::GetAtt gives.
    pub(crate) attributes: Map<String, Value>,
    /// What Ref gives.
    pub(crate) reference: Option<Value>,
}

/// A physical resource that is needed no longer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Replaced {
    pub(crate) physical: Physical,
    pub(crate) needs: BTreeSet<String>,
    pub(crate) policy: DeletionPolicy,
    pub(crate) generation: u32,
    pub(crate) tries: u32,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct EventRow {
    pub(crate) id: String,
    pub(crate) at_ms: u64,
    pub(crate) logical: String,
    pub(crate) physical: String,
    pub(crate) kind: String,
    pub(crate) status: String,
    pub(crate) reason: Option<String>,
    pub(crate) properties: Option<String>,
    pub(crate) token: Option<String>,
}

/// A change set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChangeSetRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) created_ms: u64,
    /// `CREATE`, `UPDATE`.
    pub(crate) kind: String,
    pub(crate) status: String,
    pub(crate) reason: Option<String>,
    pub(crate) execution: String,
    pub(crate) target: Target,
    pub(crate) changes: Vec<ChangeRow>,
    pub(crate) role_arn: Option<String>,
    pub(crate) on_failure: Option<String>,
    /// The stack's revision of what it is when the changes were worked out.
    pub(crate) based_on: u64,
    pub(crate) token: Option<String>,
}

/// What executing a change set would do to a resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChangeRow {
    pub(crate) action: String,
    pub(crate) logical: String,
    pub(crate) physical: Option<String>,
    pub(crate) kind: String,
    pub(crate) replacement: Option<String>,
    pub(crate) policy_action: Option<String>,
    pub(crate) scope: Vec<String>,
    pub(crate) details: Vec<DetailRow>,
    /// The properties before and after, as JSON without secrets.
    #[serde(default)]
    pub(crate) before: Option<String>,
    #[serde(default)]
    pub(crate) after: Option<String>,
}

/// One property's change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct DetailRow {
    pub(crate) attribute: String,
    pub(crate) name: Option<String>,
    pub(crate) recreation: String,
    pub(crate) evaluation: String,
    pub(crate) source: Option<String>,
    pub(crate) cause: Option<String>,
    /// The value before and after, without secrets.
    #[serde(default)]
    pub(crate) before: Option<String>,
    #[serde(default)]
    pub(crate) after: Option<String>,
}

/// An export.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ExportRow {
    pub(crate) name: String,
    pub(crate) value: String,
    /// The exporting stack's id.
    pub(crate) stack_id: String,
}

/// A signal that a resource was sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SignalRow {
    pub(crate) unique_id: String,
    pub(crate) is_success: bool,
    pub(crate) at_ms: u64,
    /// What a wait condition's signal carries.
    pub(crate) data: Option<String>,
    pub(crate) reason: Option<String>,
}

impl StackRow {
    /// `arn:aws:cloudformation:us-east-1:123456789012:stack/web/<uid>`.
    pub(crate) fn id(&self) -> String {
        format!("arn:aws:cloudformation:{}:{}:stack/{}/{}", self.region, self.account, self.name, self.uid)
    }

    /// The row's key.
    pub(crate) fn key(&self) -> String {
        stack_key(&self.account, &self.region, &self.uid)
    }

    /// The next number.
    pub(crate) fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Whether it is deleted.
    pub(crate) fn is_gone(&self) -> bool {
        self.status == "DELETE_COMPLETE"
    }

    /// The operation under way, if it does not stand still.
    pub(crate) fn running(&self) -> Option<&Operation> {
        self.operation.as_ref().filter(|operation| !operation.is_paused)
    }
}

impl ResourceRow {
    /// The physical id; empty while there is none.
    pub(crate) fn physical_id(&self) -> &str {
        self.physical.as_ref().map_or("", |physical| physical.id.as_str())
    }

    /// Whether nothing of it is there any more.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.status.as_str(), "DELETE_COMPLETE" | "DELETE_SKIPPED")
    }

    /// Whether a step of it was begun and has not come to its end.
    pub(crate) fn is_in_progress(&self) -> bool {
        self.status.ends_with("_IN_PROGRESS")
    }
}

/// A stack's key.
pub(crate) fn stack_key(account: &str, region: &str, uid: &str) -> String {
    format!("{account}\0{region}\0{uid}")
}

/// What the keys of an account's stacks in a region begin with.
pub(crate) fn place(account: &str, region: &str) -> String {
    format!("{account}\0{region}\0")
}

/// A name's key.
pub(crate) fn name_key(account: &str, region: &str, name: &str) -> String {
    format!("{account}\0{region}\0{name}")
}

/// The key of something that a stack has numbered.
pub(crate) fn numbered_key(uid: &str, number: u64) -> String {
    format!("{uid}\0{number:012}")
}

/// What the keys of a stack's rows begin with.
pub(crate) fn of_stack(uid: &str) -> String {
    format!("{uid}\0")
}

/// A resource's key.
pub(crate) fn resource_key(uid: &str, logical: &str) -> String {
    format!("{uid}\0{logical}")
}

/// What the keys of a resource's signals begin with.
pub(crate) fn signals_of(uid: &str, logical: &str) -> String {
    format!("{uid}\0{logical}\0")
}

/// A signal's key: who signals twice counts once.
pub(crate) fn signal_key(uid: &str, logical: &str, unique_id: &str) -> String {
    format!("{}{unique_id}", signals_of(uid, logical))
}

/// What the keys of an export's importers begin with; names may hold any character but NUL.
pub(crate) fn imports_of(account: &str, region: &str, export: &str) -> String {
    format!("{account}\0{region}\0{export}\0")
}

/// The key of one importing stack.
pub(crate) fn import_key(account: &str, region: &str, export: &str, uid: &str) -> String {
    format!("{}{uid}", imports_of(account, region, export))
}
