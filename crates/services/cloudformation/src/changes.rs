//! What an update would do, before it does anything: for change sets, and to know that there is nothing to do.
//!
//! Invariants:
//! - Nothing is written and no resource is touched.
//! - What is kept of values shows no secret, neither a new one nor one that is about to go.
//! - A value that is known only afterwards is told apart from one that is known: what follows from it may happen, and is
//!   said to be conditional.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use store::{Scan, StoreError};

use crate::engine::forward::{ByName, change};
use crate::engine::run::{KNOWN_AFTER_APPLY, Rows, Wanted, hidden};
use crate::prepare::Prepared;
use crate::resources;
use crate::resources::property::{self, Update};
use crate::rows::{self, ChangeRow, DetailRow, EXPORTS, ResourceRow, StackRow};
use crate::service::Inner;
use crate::template::{DeletionPolicy, TemplateError, function, holds};

/// What an update would do.
#[derive(Default)]
pub(crate) struct Preview {
    pub(crate) changes: Vec<ChangeRow>,
    /// Whether anything would be another than it is, be it an output alone.
    pub(crate) is_changed: bool,
    /// Resources that would be of another type.
    pub(crate) retyped: Vec<String>,
}

impl Inner {
    /// What going for a target would do to a stack.
    pub(crate) async fn preview(
        &self,
        stack: &StackRow,
        prepared: &Prepared,
    ) -> Result<Result<Preview, TemplateError>, StoreError> {
        let rows: ByName =
            self.ledger.resources(&stack.uid).await?.into_iter().map(|row| (row.logical.clone(), row)).collect();
        let mut wanted = match Wanted::of(stack, &prepared.target, &prepared.text) {
            Ok(wanted) => wanted,
            Err(error) => return Ok(Err(error)),
        };
        wanted.zones = self.zones(stack).await;
        let place = rows::place(&stack.account, &stack.region);
        let exports = self.store.read_async(move |view| view.scan(&EXPORTS, &Scan::prefix(&place)));
        wanted.exports = exports
            .await
            .map_err(|error: StoreError| error)?
            .into_iter()
            .map(|row| (row.value.name, row.value.value))
            .collect();
        Ok(work_out(stack, prepared, &wanted, &rows))
    }
}

/// Shows values without the secrets among them.
struct Shown(Vec<String>);

impl Shown {
    /// Hides what a stack's parameters hide, now and after.
    fn of(stack: &StackRow, prepared: &Prepared) -> Self {
        let parameters = stack.current.parameters.values().chain(prepared.target.parameters.values());
        let secrets = parameters.filter(|row| row.no_echo && !row.value.is_empty());
        Self(secrets.map(|row| row.value.clone()).collect())
    }

    /// A value as text, one that is no text as JSON.
    fn value(&self, value: &Value) -> String {
        let text = crate::template::text(value).unwrap_or_else(|| value.to_string());
        hidden(text, &self.0)
    }

    /// All properties, as a change set shows them.
    fn context(&self, properties: &Map<String, Value>) -> String {
        hidden(json!({"Properties": properties}).to_string(), &self.0)
    }
}

fn work_out(stack: &StackRow, prepared: &Prepared, wanted: &Wanted, rows: &ByName) -> Result<Preview, TemplateError> {
    let mut preview = Preview::default();
    let shown = Shown::of(stack, prepared);
    let mut unknown: BTreeSet<String> = BTreeSet::new();
    for logical in in_order(wanted) {
        let resource = &wanted.template.resources[logical];
        let Some(row) = rows.get(logical).filter(|row| !row.is_gone()) else {
            let is_unknown = |name: &str| unknown.contains(name);
            let world = Rows { rows, wanted, imported: Mutex::default(), unknown: Some(&is_unknown) };
            // What cannot be told before it is made is told then.
            let evaluated = wanted.evaluate(resource, &prepared.target.tags, &world).ok();
            let after = evaluated.map(|evaluated| shown.context(&evaluated.properties));
            preview.changes.push(ChangeRow { after, ..added(logical, &resource.kind) });
            unknown.insert(logical.to_owned());
            continue;
        };
        if row.kind != resource.kind {
            preview.retyped.push(logical.to_owned());
            continue;
        }
        let is_unknown = |name: &str| unknown.contains(name);
        let world = Rows { rows, wanted, imported: Mutex::default(), unknown: Some(&is_unknown) };
        let evaluated = wanted.evaluate(resource, &prepared.target.tags, &world)?;
        preview.is_changed |= row.deletion_policy != evaluated.deletion_policy
            || row.update_replace_policy != evaluated.update_replace_policy;
        let found = modified(row, &resource.properties, &evaluated.properties, evaluated.update_policy.as_ref());
        let metadata = row.metadata != evaluated.metadata;
        let Some(mut found) = found.or_else(|| metadata.then(|| unmodified(row))) else { continue };
        if metadata {
            found.scope.push("Metadata".into());
            let attribute = "Metadata".to_owned();
            let (recreation, evaluation) = ("Never".to_owned(), "Static".to_owned());
            found.details.push(DetailRow {
                attribute,
                recreation,
                evaluation,
                source: Some("DirectModification".into()),
                ..DetailRow::default()
            });
        }
        if found.replacement.as_deref() != Some("False") {
            unknown.insert(logical.to_owned());
            let keeps = evaluated.update_replace_policy != DeletionPolicy::Delete;
            found.policy_action = Some(if keeps { "ReplaceAndRetain" } else { "ReplaceAndDelete" }.into());
        }
        let old = properties_of(row);
        (found.before, found.after) = (Some(shown.context(&old)), Some(shown.context(&evaluated.properties)));
        for detail in &mut found.details {
            let name = detail.name.as_deref().unwrap_or(&detail.attribute);
            detail.before = old.get(name).map(|value| shown.value(value));
            detail.after = evaluated.properties.get(name).map(|value| shown.value(value));
        }
        preview.changes.push(found);
    }
    for row in rows.values().filter(|row| !row.is_gone() && !wanted.graph.contains_key(&row.logical)) {
        preview.changes.push(ChangeRow { before: Some(shown.context(&properties_of(row))), ..removed(row) });
    }
    preview.changes.sort_by(|a, b| a.logical.cmp(&b.logical));
    let is_unknown = |name: &str| unknown.contains(name);
    let world = Rows { rows, wanted, imported: Mutex::default(), unknown: Some(&is_unknown) };
    preview.is_changed |= !preview.changes.is_empty()
        || prepared.target.tags != stack.current.tags
        || outputs_differ(stack, wanted, &world);
    Ok(preview)
}

/// The wanted resources, each after those that it needs.
fn in_order(wanted: &Wanted) -> Vec<&str> {
    let mut order: Vec<&str> = Vec::with_capacity(wanted.graph.len());
    let mut placed: BTreeSet<&str> = BTreeSet::new();
    // The graph has no circle, so each round places at least one.
    while placed.len() < wanted.graph.len() {
        let ready: Vec<&str> = wanted
            .graph
            .iter()
            .filter(|(name, needs)| {
                !placed.contains(name.as_str()) && needs.iter().all(|need| placed.contains(need.as_str()))
            })
            .map(|(name, _)| name.as_str())
            .collect();
        if ready.is_empty() {
            break;
        }
        placed.extend(&ready);
        order.extend(ready);
    }
    order
}

fn added(logical: &str, kind: &str) -> ChangeRow {
    ChangeRow { action: "Add".into(), logical: logical.to_owned(), kind: kind.to_owned(), ..ChangeRow::default() }
}

fn unmodified(row: &ResourceRow) -> ChangeRow {
    ChangeRow {
        action: "Modify".into(),
        logical: row.logical.clone(),
        physical: Some(row.physical_id().to_owned()),
        kind: row.kind.clone(),
        replacement: Some("False".into()),
        ..ChangeRow::default()
    }
}

fn removed(row: &ResourceRow) -> ChangeRow {
    let keeps = row.deletion_policy != DeletionPolicy::Delete;
    ChangeRow {
        action: "Remove".into(),
        replacement: None,
        policy_action: Some(if keeps { "Retain" } else { "Delete" }.into()),
        ..unmodified(row)
    }
}

fn properties_of(row: &ResourceRow) -> Map<String, Value> {
    row.physical.as_ref().map(|physical| physical.properties.clone()).unwrap_or_default()
}

/// Whether a value holds something that is known only afterwards.
fn is_open(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(KNOWN_AFTER_APPLY),
        Value::Array(items) => items.iter().any(is_open),
        Value::Object(members) => members.values().any(is_open),
        _ => false,
    }
}

/// How a resource's properties would change; `None` if they would not.
fn modified(
    row: &ResourceRow,
    written: &Map<String, Value>,
    new: &Map<String, Value>,
    update_policy: Option<&Value>,
) -> Option<ChangeRow> {
    let table = resources::find(&row.kind)?.table();
    let old = properties_of(row);
    let plain = |properties: &Map<String, Value>| {
        property::checked(table.properties, properties).unwrap_or_else(|_| properties.clone())
    };
    let (before, after) = (plain(&old), plain(new));
    let changed = property::changed(table.properties, &before, &after);
    if changed.is_empty() {
        return None;
    }
    let mut found = unmodified(row);
    let (mut surely, mut maybe, mut interrupts) = (false, false, false);
    for (name, update) in changed {
        let open = after.get(name).is_some_and(is_open);
        let replaces = update == Update::Replacement;
        surely |= replaces && !open;
        maybe |= replaces && open;
        interrupts |= update == Update::SomeInterruption;
        let attribute = if name == "Tags" { "Tags" } else { "Properties" };
        if !found.scope.iter().any(|known| known == attribute) {
            found.scope.push(attribute.into());
        }
        let (source, cause) = cause(written.get(name));
        found.details.push(DetailRow {
            attribute: attribute.into(),
            name: (attribute == "Properties").then(|| name.to_owned()),
            recreation: match update {
                Update::NoInterruption => "Never",
                Update::SomeInterruption => "Conditionally",
                Update::Replacement => "Always",
            }
            .into(),
            evaluation: if open { "Dynamic" } else { "Static" }.into(),
            source: Some(source.into()),
            cause,
            ..DetailRow::default()
        });
    }
    surely |= !maybe && matches!(change(&row.kind, &old, new, update_policy), Ok(Some(Update::Replacement)));
    found.replacement = Some(
        if surely {
            "True"
        } else if maybe || interrupts {
            // What AWS makes of a detail that is `Conditionally`, whatever becomes of it.
            "Conditional"
        } else {
            "False"
        }
        .into(),
    );
    Some(found)
}

/// Where a changed value comes from.
fn cause(written: Option<&Value>) -> (&'static str, Option<String>) {
    match written.and_then(function) {
        Some(("Ref", Value::String(name))) => ("ResourceReference", Some(name.clone())),
        Some(("Fn::GetAtt", Value::Array(parts))) => {
            let names: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
            ("ResourceAttribute", Some(names.join(".")))
        }
        _ => ("DirectModification", None),
    }
}

/// Whether the stack's outputs would be others.
fn outputs_differ(stack: &StackRow, wanted: &Wanted, world: &Rows<'_>) -> bool {
    let at = wanted.evaluator(world);
    let mut outputs = Vec::new();
    for (name, output) in &wanted.template.outputs {
        if !holds(output.condition.as_deref(), &wanted.conditions) {
            continue;
        }
        let text = |value: &Value| at.text(value).ok().flatten();
        let export = output.export.as_ref().map(text);
        outputs.push((name.as_str(), text(&output.value), output.description.as_deref(), export.flatten()));
    }
    let now: Vec<_> = stack
        .outputs
        .iter()
        .map(|row| (row.name.as_str(), Some(row.value.clone()), row.description.as_deref(), row.export.clone()))
        .collect();
    outputs != now
}
