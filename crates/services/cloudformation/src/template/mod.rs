//! The template language: text in, a [`Template`] out, and its values once parameters and resources are known.
//!
//! Invariants:
//! - Everything here is pure: no I/O, no clock, no chance. What only the world knows (attributes, zones, exports) comes in
//!   through [`World`].
//! - No text makes it panic, nor take more than a bounded multiple of its own size.
//!
//! Knows no resource type: what types there are and which attributes they have, a [`Catalogue`] says.

pub(crate) mod cidr;
pub mod conditions;
pub mod error;
pub mod evaluate;
pub(crate) mod functions;
pub mod graph;
mod language_extensions;
pub mod parameters;
pub mod parse;
mod references;
mod rules;
mod sections;
pub(crate) mod sub;
pub mod validate;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

pub use error::TemplateError;
pub use evaluate::{Pseudo, World};
use language_extensions::Loops;
pub use parameters::Parameter;
pub use validate::Catalogue;

/// A template's body in a request. AWS's limit.
pub const BODY_BYTES_MAX: usize = 51_200;
/// A template behind a URL. AWS's limit.
pub const URL_BYTES_MAX: usize = 1_048_576;
/// AWS's limit.
pub const RESOURCES_MAX: usize = 500;
/// AWS's limit.
pub const PARAMETERS_MAX: usize = 200;
/// AWS's limit.
pub const OUTPUTS_MAX: usize = 200;
/// AWS's limit.
pub const MAPPINGS_MAX: usize = 200;
/// AWS's limit.
pub const DESCRIPTION_CHARACTERS_MAX: usize = 1024;

/// The transform that brings Fn::ForEach, Fn::Length and Fn::ToJsonString.
pub const LANGUAGE_EXTENSIONS: &str = "AWS::LanguageExtensions";

/// A template, read and checked for its form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Template {
    /// `Description`.
    pub description: Option<String>,
    /// `Metadata`.
    pub metadata: Option<Value>,
    /// `Parameters`.
    pub parameters: BTreeMap<String, Parameter>,
    /// `Rules`.
    pub rules: BTreeMap<String, Value>,
    /// `Mappings`: name, key, attribute.
    pub mappings: BTreeMap<String, Value>,
    /// `Conditions`.
    pub conditions: BTreeMap<String, Value>,
    /// `Resources`.
    pub resources: BTreeMap<String, Resource>,
    /// `Outputs`.
    pub outputs: BTreeMap<String, Output>,
    /// `Transform`.
    pub transforms: Vec<String>,
}

/// A resource as the template describes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    /// `AWS::SQS::Queue`.
    pub kind: String,
    /// Its properties, not evaluated.
    pub properties: Map<String, Value>,
    /// `Metadata`.
    pub metadata: Option<Value>,
    /// `DependsOn`.
    pub depends_on: BTreeSet<String>,
    /// `Condition`.
    pub condition: Option<String>,
    /// `CreationPolicy`, not evaluated.
    pub creation_policy: Option<Value>,
    /// `UpdatePolicy`, not evaluated.
    pub update_policy: Option<Value>,
    /// `DeletionPolicy`, not evaluated: with the language's extensions it may be a function.
    pub deletion_policy: Option<Value>,
    /// `UpdateReplacePolicy`, not evaluated.
    pub update_replace_policy: Option<Value>,
}

/// What becomes of a resource that the stack needs no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum DeletionPolicy {
    /// It is deleted.
    Delete,
    /// It stays, and belongs to no stack.
    Retain,
    /// It stays unless the very operation that made it fails.
    RetainExceptOnCreate,
    /// A snapshot is taken first, where the type knows how.
    Snapshot,
}

impl DeletionPolicy {
    /// What the template says, evaluated; `otherwise` where it says nothing.
    pub fn of(
        at: &evaluate::Evaluator<'_>,
        policy: Option<&Value>,
        attribute: &str,
        otherwise: Self,
    ) -> Result<Self, TemplateError> {
        let Some(policy) = policy else { return Ok(otherwise) };
        match at.value(policy)? {
            Some(Value::String(word)) => {
                Self::parse(&word).ok_or_else(|| TemplateError::policy_value(attribute, &word))
            }
            Some(other) => Err(TemplateError::policy_value(attribute, &other.to_string())),
            None => Ok(otherwise),
        }
    }

    /// From the template's word.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "Delete" => Some(Self::Delete),
            "Retain" => Some(Self::Retain),
            "RetainExceptOnCreate" => Some(Self::RetainExceptOnCreate),
            "Snapshot" => Some(Self::Snapshot),
            _ => None,
        }
    }
}

/// An output as the template describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// `Description`.
    pub description: Option<String>,
    /// `Value`, not evaluated.
    pub value: Value,
    /// `Export.Name`, not evaluated.
    pub export: Option<Value>,
    /// `Condition`.
    pub condition: Option<String>,
}

impl Template {
    /// Reads a template whose loops (Fn::ForEach) need no parameter but those given, or their defaults.
    pub fn read(text: &str, parameters: &BTreeMap<String, String>) -> Result<Self, TemplateError> {
        Self::from_text(text, Loops::Over(parameters))
    }

    /// Reads a template of whose parameters nothing is known: a loop over one that has no default is gone through once, so
    /// that what it makes is checked, too.
    pub fn outline(text: &str) -> Result<Self, TemplateError> {
        Self::from_text(text, Loops::Once)
    }

    fn from_text(text: &str, loops: Loops<'_>) -> Result<Self, TemplateError> {
        let tree = parse::parse(text)?;
        let transforms = sections::transforms(&tree)?;
        if let Some(unknown) = transforms.iter().find(|name| *name != LANGUAGE_EXTENSIONS) {
            return Err(TemplateError::unknown_transform(unknown));
        }
        let tree = match transforms.is_empty() {
            true => tree,
            false => language_extensions::expand(tree, loops)?,
        };
        sections::template(tree, transforms)
    }

    /// Whether the template asks for the language's extensions.
    pub fn is_extended(&self) -> bool {
        self.transforms.iter().any(|name| name == LANGUAGE_EXTENSIONS)
    }

    /// The resources that the conditions let be.
    pub fn wanted<'a>(
        &'a self,
        conditions: &'a BTreeMap<String, bool>,
    ) -> impl Iterator<Item = (&'a String, &'a Resource)> {
        self.resources.iter().filter(move |(_, resource)| holds(resource.condition.as_deref(), conditions))
    }
}

/// Holds parameters against the template's rules.
pub fn check_rules(
    template: &Template,
    parameters: &BTreeMap<String, Value>,
    conditions: &BTreeMap<String, bool>,
    pseudo: &Pseudo,
) -> Result<(), TemplateError> {
    rules::check(&evaluate::Evaluator::new(template, parameters, conditions, pseudo, &evaluate::Void))
}

/// Whether a condition holds; no condition always does.
pub(crate) fn holds(condition: Option<&str>, conditions: &BTreeMap<String, bool>) -> bool {
    condition.is_none_or(|name| conditions.get(name).copied().unwrap_or(false))
}

/// A scalar as the text that CloudFormation makes of it.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// A function and its argument: an object with one member, whose name is a function's.
pub(crate) fn function(value: &Value) -> Option<(&str, &Value)> {
    let members = value.as_object()?;
    let (name, argument) = members.iter().next()?;
    (members.len() == 1 && (name == "Ref" || name.starts_with("Fn::"))).then_some((name.as_str(), argument))
}

#[cfg(test)]
pub(crate) mod tests;
