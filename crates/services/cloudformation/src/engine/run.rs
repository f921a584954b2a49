//! [`Run`]: one stack's operation in memory: what is wanted, what is there, and the values in between.
//!
//! Invariants:
//! - Everything here follows from the store, and is read from it again after a crash.
//! - A value is evaluated when what it refers to is there; what it imports is noted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use store::{Scan, StoreError};
use tokio_util::sync::CancellationToken;

use crate::resources;
use crate::resources::property::Kind;
use crate::rows::{self, EXPORTS, Operation, ResourceRow, StackRow, TEMPLATES, Target};
use crate::service::Inner;
use crate::template::evaluate::Evaluator;
use crate::template::graph::Graph;
use crate::template::{self, DeletionPolicy, Pseudo, Resource, Template, TemplateError, World, conditions, parameters};

/// What is wanted, as far as it follows from the template and what was given to it.
pub(crate) struct Wanted {
    pub(crate) template: Template,
    pub(crate) parameters: BTreeMap<String, Value>,
    pub(crate) conditions: BTreeMap<String, bool>,
    pub(crate) pseudo: Pseudo,
    pub(crate) graph: Graph,
    pub(crate) zones: BTreeMap<String, Vec<String>>,
    pub(crate) exports: BTreeMap<String, String>,
    /// Values of NoEcho parameters, which no event repeats.
    pub(crate) secrets: Vec<String>,
}

/// A stack's operation.
pub(crate) struct Run {
    pub(crate) inner: Arc<Inner>,
    pub(crate) key: String,
    pub(crate) stack: StackRow,
    pub(crate) operation: Operation,
    pub(crate) rows: BTreeMap<String, ResourceRow>,
    pub(crate) cancel: CancellationToken,
    /// How often the clean-up has tried to delete each resource.
    pub(crate) tries: BTreeMap<String, u32>,
}

/// The world as the rows of a stack have it.
pub(crate) struct Rows<'a> {
    pub(crate) rows: &'a BTreeMap<String, ResourceRow>,
    pub(crate) wanted: &'a Wanted,
    /// What was imported while values were evaluated.
    pub(crate) imported: Mutex<BTreeSet<String>>,
    /// What stands for values that are not known yet; `None` where they must be.
    pub(crate) unknown: Option<&'a dyn Fn(&str) -> bool>,
}

/// What stands in a change set for a value that is known once it was executed.
pub(crate) const KNOWN_AFTER_APPLY: &str = "{{changeSet:KNOWN_AFTER_APPLY}}";

impl World for Rows<'_> {
    fn reference(&self, resource: &str) -> Option<Value> {
        if self.unknown.is_some_and(|is_unknown| is_unknown(resource)) {
            return Some(json!(KNOWN_AFTER_APPLY));
        }
        let row = self.rows.get(resource).filter(|row| !row.is_gone())?;
        row.physical.as_ref()?.reference.clone()
    }

    fn attribute(&self, resource: &str, attribute: &str) -> Option<Value> {
        if self.unknown.is_some_and(|is_unknown| is_unknown(resource)) {
            return Some(json!(KNOWN_AFTER_APPLY));
        }
        let row = self.rows.get(resource).filter(|row| !row.is_gone())?;
        row.physical.as_ref()?.attributes.get(attribute).filter(|value| !value.is_null()).cloned()
    }

    fn zones(&self, region: &str) -> Option<Vec<String>> {
        self.wanted.zones.get(region).cloned()
    }

    fn export(&self, name: &str) -> Option<String> {
        let value = self.wanted.exports.get(name).cloned()?;
        self.imported.lock().insert(name.to_owned());
        Some(value)
    }
}

/// A resource's values, evaluated.
pub(crate) struct Evaluated {
    pub(crate) properties: Map<String, Value>,
    pub(crate) metadata: Option<Value>,
    pub(crate) creation_policy: Option<Value>,
    pub(crate) update_policy: Option<Value>,
    pub(crate) deletion_policy: DeletionPolicy,
    pub(crate) update_replace_policy: DeletionPolicy,
    pub(crate) imports: BTreeSet<String>,
}

impl Wanted {
    /// What a target wants.
    pub(crate) fn of(stack: &StackRow, target: &Target, text: &str) -> Result<Self, TemplateError> {
        let given = target.parameters.iter().map(|(name, row)| (name.clone(), row.value.clone())).collect();
        let template = Template::read(text, &given)?;
        let parameters = values(target);
        let pseudo = Pseudo {
            account_id: stack.account.clone(),
            region: stack.region.clone(),
            stack_id: stack.id(),
            stack_name: stack.name.clone(),
            notification_arns: Vec::new(),
        };
        let conditions = conditions::all(&template, &parameters, &pseudo)?;
        let graph = template::graph::dependencies(&template, &conditions)?;
        let hidden = target.parameters.values().filter(|row| row.no_echo && !row.value.is_empty());
        let secrets = hidden.map(|row| row.value.clone()).collect();
        let (zones, exports) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { template, parameters, conditions, pseudo, graph, zones, exports, secrets })
    }

    /// An evaluator over rows.
    pub(crate) fn evaluator<'a>(&'a self, world: &'a Rows<'a>) -> Evaluator<'a> {
        Evaluator::new(&self.template, &self.parameters, &self.conditions, &self.pseudo, world)
    }

    /// A resource's values.
    pub(crate) fn evaluate(
        &self,
        resource: &Resource,
        tags: &BTreeMap<String, String>,
        world: &Rows<'_>,
    ) -> Result<Evaluated, TemplateError> {
        let at = self.evaluator(world);
        let optional = |value: Option<&Value>| match value {
            Some(value) => at.value(value),
            None => Ok(None),
        };
        let properties = at.members(&resource.properties)?;
        let is_stack = resource.kind == "AWS::CloudFormation::Stack";
        let otherwise =
            if is_stack || !resource.kind.contains("::DB") { DeletionPolicy::Delete } else { DeletionPolicy::Snapshot };
        let policy = |policy, name| DeletionPolicy::of(&at, policy, name, otherwise);
        Ok(Evaluated {
            properties: with_stack_tags(&resource.kind, properties, tags),
            metadata: optional(resource.metadata.as_ref())?,
            creation_policy: optional(resource.creation_policy.as_ref())?,
            update_policy: optional(resource.update_policy.as_ref())?,
            deletion_policy: policy(resource.deletion_policy.as_ref(), "DeletionPolicy")?,
            update_replace_policy: policy(resource.update_replace_policy.as_ref(), "UpdateReplacePolicy")?,
            imports: std::mem::take(&mut world.imported.lock()),
        })
    }

    /// Properties as an event shows them: secrets are hidden.
    pub(crate) fn shown(&self, properties: &Map<String, Value>) -> String {
        hidden(Value::Object(properties.clone()).to_string(), &self.secrets)
    }
}

/// A text with `****` in the place of each secret.
pub(crate) fn hidden(mut text: String, secrets: &[String]) -> String {
    for secret in secrets {
        // As it is and as JSON writes it, without the quotes around it.
        let written = json!(secret).to_string();
        text = text.replace(written.trim_matches('"'), "****").replace(secret, "****");
    }
    text
}

/// What `Ref` gives for a target's parameters.
pub(crate) fn values(target: &Target) -> BTreeMap<String, Value> {
    let value = |row: &rows::ParameterRow| parameters::value_of(&row.kind, row.resolved.as_ref().unwrap_or(&row.value));
    target.parameters.iter().map(|(name, row)| (name.clone(), value(row))).collect()
}

/// The stack's tags among a resource's own, where its type has tags; the resource's win.
fn with_stack_tags(
    kind: &str,
    mut properties: Map<String, Value>,
    tags: &BTreeMap<String, String>,
) -> Map<String, Value> {
    let table = resources::find(kind).map(|found| found.table().properties).unwrap_or_default();
    let Some(property) = table.iter().find(|property| property.name == "Tags") else { return properties };
    let members = match property.kind {
        Kind::List(Kind::Structure(members)) => members,
        Kind::Map(_) => return with_tags_in_a_map(properties, tags),
        _ => return properties,
    };
    let spreads = members.iter().any(|member| member.name == "PropagateAtLaunch");
    let own = properties.get("Tags").cloned().unwrap_or_else(|| json!([]));
    // What is no list is refused by the type's own check.
    let Value::Array(mut list) = own else { return properties };
    for (key, value) in tags {
        if !list.iter().any(|tag| tag["Key"] == key.as_str()) {
            list.push(match spreads {
                true => json!({"Key": key, "Value": value, "PropagateAtLaunch": true}),
                false => json!({"Key": key, "Value": value}),
            });
        }
    }
    if !list.is_empty() {
        properties.insert("Tags".into(), Value::Array(list));
    }
    properties
}

/// The same for the types whose tags are a map.
fn with_tags_in_a_map(mut properties: Map<String, Value>, tags: &BTreeMap<String, String>) -> Map<String, Value> {
    let own = properties.get("Tags").cloned().unwrap_or_else(|| json!({}));
    let Value::Object(mut map) = own else { return properties };
    for (key, value) in tags {
        map.entry(key.clone()).or_insert_with(|| json!(value));
    }
    if !map.is_empty() {
        properties.insert("Tags".into(), Value::Object(map));
    }
    properties
}

impl Run {
    /// A stack's operation as the store has it.
    pub(crate) async fn load(inner: &Arc<Inner>, key: &str) -> Result<Option<Self>, StoreError> {
        let Some(stack) = inner.ledger.stack(key).await? else { return Ok(None) };
        let Some(operation) = stack.running().cloned() else { return Ok(None) };
        let resources = inner.ledger.resources(&stack.uid).await?;
        let rows = resources.into_iter().map(|row| (row.logical.clone(), row)).collect();
        let (inner, key) = (Arc::clone(inner), key.to_owned());
        Ok(Some(Self { inner, key, stack, operation, rows, cancel: CancellationToken::new(), tries: BTreeMap::new() }))
    }

    /// What the operation wants, with what only others know.
    pub(crate) async fn wanted(&self) -> Result<Result<Wanted, TemplateError>, StoreError> {
        let (uid, number) = (self.stack.uid.clone(), self.operation.target.template);
        let place = rows::place(&self.stack.account, &self.stack.region);
        let read = self.inner.store.read_async(move |view| {
            let text = view.get(&TEMPLATES, &rows::numbered_key(&uid, number))?;
            let exports = view.scan(&EXPORTS, &Scan::prefix(&place))?;
            Ok::<_, StoreError>((text.map(|row| row.value).unwrap_or_default(), exports))
        });
        let (text, exports) = read.await?;
        let mut wanted = match Wanted::of(&self.stack, &self.operation.target, &text) {
            Ok(wanted) => wanted,
            Err(error) => return Ok(Err(error)),
        };
        wanted.exports = exports.into_iter().map(|row| (row.value.name, row.value.value)).collect();
        wanted.zones = self.inner.zones(&self.stack).await;
        Ok(Ok(wanted))
    }

    /// The world as the rows are now.
    pub(crate) fn world<'a>(&'a self, wanted: &'a Wanted) -> Rows<'a> {
        Rows { rows: &self.rows, wanted, imported: Mutex::default(), unknown: None }
    }

    /// The operation's token.
    pub(crate) fn token(&self) -> Option<&str> {
        self.operation.token.as_deref()
    }
}
