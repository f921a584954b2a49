//! What a value refers to, without evaluating it.
//!
//! Invariant: finds every name that an evaluation could ask for; with conditions known, only those of the branches that
//! count.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::error::TemplateError;
use super::function;
use super::functions::get_att_names;
use super::sub::{self, Piece};

/// The names in a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct References {
    /// What `Ref` and `${name}` name: parameters, pseudo parameters, resources.
    pub(crate) names: BTreeSet<String>,
    /// What Fn::GetAtt and `${name.attribute}` name. The attribute is `None` where a function makes it.
    pub(crate) attributes: BTreeSet<(String, Option<String>)>,
    /// Conditions of Fn::If.
    pub(crate) conditions: BTreeSet<String>,
    /// Mappings by literal names.
    pub(crate) mappings: BTreeSet<String>,
    /// Names of exports that are literal.
    pub(crate) imports: BTreeSet<String>,
    /// Functions by name.
    pub(crate) functions: BTreeSet<String>,
}

impl References {
    /// Adds what a value refers to. With `conditions`, of an Fn::If only the branch that counts.
    pub(crate) fn add(
        &mut self,
        value: &Value,
        conditions: Option<&BTreeMap<String, bool>>,
    ) -> Result<(), TemplateError> {
        let Some((name, argument)) = function(value) else {
            return match value {
                Value::Array(items) => items.iter().try_for_each(|item| self.add(item, conditions)),
                Value::Object(members) => members.values().try_for_each(|member| self.add(member, conditions)),
                _ => Ok(()),
            };
        };
        self.functions.insert(name.to_owned());
        match name {
            "Ref" => {
                let name = argument.as_str().ok_or_else(|| TemplateError::argument("Ref"))?;
                self.names.insert(name.to_owned());
                Ok(())
            }
            "Fn::GetAtt" => self.add_attribute(argument, conditions),
            "Fn::Sub" => self.add_sub(argument, conditions),
            "Fn::If" => self.add_if(argument, conditions),
            "Fn::FindInMap" => {
                let map = argument.as_array().and_then(|parts| parts.first()).and_then(Value::as_str);
                self.mappings.extend(map.map(str::to_owned));
                self.add(argument, conditions)
            }
            "Fn::ImportValue" => {
                self.imports.extend(argument.as_str().map(str::to_owned));
                self.add(argument, conditions)
            }
            _ => self.add(argument, conditions),
        }
    }

    fn add_attribute(
        &mut self,
        argument: &Value,
        conditions: Option<&BTreeMap<String, bool>>,
    ) -> Result<(), TemplateError> {
        let refused = || TemplateError::argument("Fn::GetAtt");
        if let Value::String(path) = argument {
            let (resource, attribute) = path.split_once('.').ok_or_else(refused)?;
            self.attributes.insert((resource.to_owned(), Some(attribute.to_owned())));
            return Ok(());
        }
        let (resource, attribute) = get_att_names(argument).ok_or_else(refused)?;
        match attribute {
            Value::String(attribute) if attribute.is_empty() => return Err(refused()),
            Value::String(attribute) => {
                self.attributes.insert((resource.to_owned(), Some(attribute.clone())));
            }
            made => {
                self.attributes.insert((resource.to_owned(), None));
                self.add(made, conditions)?;
            }
        }
        Ok(())
    }

    fn add_sub(&mut self, argument: &Value, conditions: Option<&BTreeMap<String, bool>>) -> Result<(), TemplateError> {
        let (source, own) = sub::arguments(argument)?;
        for piece in sub::pieces(source)? {
            let Piece::Variable(name) = piece else { continue };
            if own.is_some_and(|own| own.contains_key(name)) {
                continue;
            }
            match name.split_once('.') {
                Some((resource, attribute)) => {
                    self.attributes.insert((resource.to_owned(), Some(attribute.to_owned())));
                }
                None => {
                    self.names.insert(name.to_owned());
                }
            }
        }
        own.into_iter().flatten().try_for_each(|(_, value)| self.add(value, conditions))
    }

    fn add_if(&mut self, argument: &Value, conditions: Option<&BTreeMap<String, bool>>) -> Result<(), TemplateError> {
        let Some([condition, when_true, when_false]) = argument.as_array().map(Vec::as_slice) else {
            return Err(TemplateError::argument("Fn::If"));
        };
        let name = condition.as_str().ok_or_else(|| TemplateError::argument("Fn::If condition"))?;
        self.conditions.insert(name.to_owned());
        match conditions.map(|known| known.get(name).copied()) {
            Some(Some(true)) => self.add(when_true, conditions),
            Some(Some(false)) => self.add(when_false, conditions),
            Some(None) => Err(TemplateError::unresolved_condition(name, "Resources")),
            None => [when_true, when_false].into_iter().try_for_each(|branch| self.add(branch, None)),
        }
    }

    /// The resources among what is named, and those with attributes.
    pub(crate) fn all_names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str).chain(self.attributes.iter().map(|(resource, _)| resource.as_str()))
    }
}
