//! Values: what stands in the template, with parameters, mappings, conditions and the world put in.
//!
//! Invariants:
//! - A value that is `AWS::NoValue` is gone, together with the member or item that it was.
//! - Only the branch of an Fn::If that counts is looked at, so that what the other names need not exist.
//! - Functions together make at most [`RESULT_BYTES_MAX`] of text.

use std::cell::Cell;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::error::TemplateError;
use super::{Template, function, functions};

/// What all functions of one evaluation may make: a template can double a text with each function that holds another.
pub const RESULT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The pseudo parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pseudo {
    /// `AWS::AccountId`.
    pub account_id: String,
    /// `AWS::Region`.
    pub region: String,
    /// `AWS::StackId`.
    pub stack_id: String,
    /// `AWS::StackName`.
    pub stack_name: String,
    /// `AWS::NotificationARNs`.
    pub notification_arns: Vec<String>,
}

/// The names of the pseudo parameters.
pub const PSEUDO_PARAMETERS: [&str; 8] = [
    "AWS::AccountId",
    "AWS::NoValue",
    "AWS::NotificationARNs",
    "AWS::Partition",
    "AWS::Region",
    "AWS::StackId",
    "AWS::StackName",
    "AWS::URLSuffix",
];

impl Pseudo {
    /// The value of a pseudo parameter but `AWS::NoValue`.
    fn value(&self, name: &str) -> Option<Value> {
        let text = match name {
            "AWS::AccountId" => &self.account_id,
            "AWS::Region" => &self.region,
            "AWS::StackId" => &self.stack_id,
            "AWS::StackName" => &self.stack_name,
            "AWS::NotificationARNs" => {
                return Some(self.notification_arns.iter().map(|arn| Value::from(arn.as_str())).collect());
            }
            "AWS::Partition" if self.region.starts_with("cn-") => "aws-cn",
            "AWS::Partition" if self.region.starts_with("us-gov-") => "aws-us-gov",
            "AWS::Partition" => "aws",
            "AWS::URLSuffix" if self.region.starts_with("cn-") => "amazonaws.com.cn",
            "AWS::URLSuffix" => "amazonaws.com",
            _ => return None,
        };
        Some(Value::from(text))
    }
}

/// What only the world knows.
pub trait World {
    /// What `Ref` gives for a resource.
    fn reference(&self, resource: &str) -> Option<Value>;
    /// What `Fn::GetAtt` gives.
    fn attribute(&self, resource: &str, attribute: &str) -> Option<Value>;
    /// The zones of a region, in their order.
    fn zones(&self, region: &str) -> Option<Vec<String>>;
    /// An export of the account in the region.
    fn export(&self, name: &str) -> Option<String>;
}

/// A world in which nothing exists: enough for conditions, rules and mappings.
pub struct Void;

impl World for Void {
    fn reference(&self, _: &str) -> Option<Value> {
        None
    }
    fn attribute(&self, _: &str, _: &str) -> Option<Value> {
        None
    }
    fn zones(&self, _: &str) -> Option<Vec<String>> {
        None
    }
    fn export(&self, _: &str) -> Option<String> {
        None
    }
}

/// Everything that a value of a template depends on.
pub struct Evaluator<'a> {
    /// The template.
    pub template: &'a Template,
    /// What `Ref` gives for the parameters.
    pub parameters: &'a BTreeMap<String, Value>,
    /// Which conditions hold.
    pub conditions: &'a BTreeMap<String, bool>,
    /// The pseudo parameters.
    pub pseudo: &'a Pseudo,
    /// The rest.
    pub world: &'a dyn World,
    left: Cell<usize>,
}

impl<'a> Evaluator<'a> {
    /// An evaluator that has made nothing yet.
    pub fn new(
        template: &'a Template,
        parameters: &'a BTreeMap<String, Value>,
        conditions: &'a BTreeMap<String, bool>,
        pseudo: &'a Pseudo,
        world: &'a dyn World,
    ) -> Self {
        Self { template, parameters, conditions, pseudo, world, left: Cell::new(RESULT_BYTES_MAX) }
    }

    /// The value, or `None` for `AWS::NoValue`.
    pub fn value(&self, value: &Value) -> Result<Option<Value>, TemplateError> {
        if let Some((name, argument)) = function(value) {
            return functions::call(self, name, argument);
        }
        match value {
            Value::Array(items) => {
                let mut list = Vec::with_capacity(items.len());
                for item in items {
                    list.extend(self.value(item)?);
                }
                Ok(Some(Value::Array(list)))
            }
            Value::Object(members) => Ok(Some(Value::Object(self.members(members)?))),
            scalar => {
                self.spend(scalar.as_str().map_or(0, str::len))?;
                Ok(Some(scalar.clone()))
            }
        }
    }

    /// The members of an object that is no function.
    pub fn members(&self, members: &Map<String, Value>) -> Result<Map<String, Value>, TemplateError> {
        let mut evaluated = Map::new();
        for (name, member) in members {
            if let Some(value) = self.value(member)? {
                evaluated.insert(name.clone(), value);
            }
        }
        Ok(evaluated)
    }

    /// A scalar as text; `None` for anything else.
    pub fn text(&self, value: &Value) -> Result<Option<String>, TemplateError> {
        Ok(self.value(value)?.as_ref().and_then(super::text))
    }

    /// What `Ref` gives.
    pub(super) fn reference(&self, name: &str) -> Result<Option<Value>, TemplateError> {
        if name == "AWS::NoValue" {
            return Ok(None);
        }
        if let Some(value) = self.pseudo.value(name).or_else(|| self.parameters.get(name).cloned()) {
            self.spend(value.as_str().map_or(0, str::len))?;
            return Ok(Some(value));
        }
        if !self.template.resources.contains_key(name) {
            return Err(TemplateError::unresolved(&[name], "Resources"));
        }
        self.world.reference(name).map(Some).ok_or_else(|| TemplateError::not_ready(name))
    }

    /// What `Fn::GetAtt` gives.
    pub(super) fn attribute(&self, resource: &str, attribute: &str) -> Result<Value, TemplateError> {
        if !self.template.resources.contains_key(resource) {
            return Err(TemplateError::unresolved(&[resource], "Resources"));
        }
        let value = self.world.attribute(resource, attribute);
        value.ok_or_else(|| TemplateError::unknown_attribute(resource, attribute))
    }

    /// Counts text that was made.
    pub(super) fn spend(&self, bytes: usize) -> Result<(), TemplateError> {
        let left = self.left.get().checked_sub(bytes).ok_or_else(TemplateError::result_too_large)?;
        self.left.set(left);
        Ok(())
    }
}
