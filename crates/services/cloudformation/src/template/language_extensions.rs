//! The transform AWS::LanguageExtensions: loops (Fn::ForEach), written out before the template is read.
//!
//! Invariant: what comes out has no loop in it and at most [`VALUES_MAX`] values and [`RESULT_BYTES_MAX`] of
//! text that the loops made.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::error::TemplateError;
use super::evaluate::{Evaluator, Pseudo, RESULT_BYTES_MAX, Void};
use super::parse::VALUES_MAX;
use super::references::References;
use super::{Template, function, parameters};

const PREFIX: &str = "Fn::ForEach::";
/// AWS's limit on loops inside each other.
const LOOPS_DEPTH_MAX: usize = 5;

/// What stands for an item of a collection that nobody knows yet.
const SOME_ITEM: &str = "Item";

/// What loops over parameters go over.
#[derive(Clone, Copy)]
pub(super) enum Loops<'a> {
    /// The values given, or the parameters' defaults.
    Over(&'a BTreeMap<String, String>),
    /// The defaults, and without one a single item.
    Once,
}

/// Writes out the loops of a template.
pub(super) fn expand(tree: Value, loops: Loops<'_>) -> Result<Value, TemplateError> {
    let Value::Object(mut sections) = tree else { return Ok(tree) };
    let known = known(&sections);
    let none = BTreeMap::new();
    let (given, is_outline) = match loops {
        Loops::Over(given) => (given, false),
        Loops::Once => (&none, true),
    };
    let parameters = values(&sections, given);
    let declared = sections.get("Parameters").and_then(Value::as_object).into_iter().flat_map(Map::keys);
    let open = declared.filter(|name| is_outline && !parameters.contains_key(*name)).cloned().collect();
    let mut expansion = Expansion { known, parameters, open, left: VALUES_MAX, left_bytes: RESULT_BYTES_MAX };
    for name in ["Conditions", "Resources", "Outputs"] {
        if let Some(section) = sections.remove(name) {
            let expanded = expansion.value(section, &mut Vec::new(), 0)?;
            sections.insert(name.to_owned(), expanded);
        }
    }
    Ok(Value::Object(sections))
}

/// As much of the template as a collection may need: its mappings.
fn known(sections: &Map<String, Value>) -> Template {
    let mappings = sections.get("Mappings").and_then(Value::as_object).cloned().unwrap_or_default();
    Template {
        mappings: mappings.into_iter().collect(),
        transforms: vec![super::LANGUAGE_EXTENSIONS.to_owned()],
        ..Template::default()
    }
}

/// What `Ref` gives for the parameters that have a value.
fn values(sections: &Map<String, Value>, given: &BTreeMap<String, String>) -> BTreeMap<String, Value> {
    let declared = sections.get("Parameters").and_then(Value::as_object);
    let value = |(name, parameter): (&String, &Value)| {
        let kind = parameter.get("Type").and_then(Value::as_str)?;
        let value = given.get(name).cloned().or_else(|| parameter.get("Default").and_then(super::text))?;
        Some((name.clone(), parameters::value_of(kind, &value)))
    };
    declared.into_iter().flatten().filter_map(value).collect()
}

struct Expansion {
    known: Template,
    parameters: BTreeMap<String, Value>,
    /// Parameters whose values are left open.
    open: BTreeSet<String>,
    left: usize,
    left_bytes: usize,
}

/// Identifiers of the loops around, with their present values.
type Bindings = Vec<(String, String)>;

impl Expansion {
    fn value(&mut self, value: Value, bound: &mut Bindings, depth: usize) -> Result<Value, TemplateError> {
        self.left = self.left.checked_sub(1).ok_or_else(TemplateError::too_many_values)?;
        match value {
            Value::Object(members) => {
                // A reference to a loop's identifier becomes its value.
                let referred = members.get("Ref").filter(|_| members.len() == 1).and_then(Value::as_str);
                if let Some((_, value)) = bound.iter().rev().find(|(known, _)| Some(known.as_str()) == referred) {
                    return Ok(Value::String(value.clone()));
                }
                let expanded = self.members(members, bound, depth)?;
                // Where a name must be literal, a loop makes it with Fn::Sub.
                match function(&expanded) {
                    Some(("Fn::Sub", Value::String(text))) if !bound.is_empty() && !text.contains("${") => {
                        Ok(Value::String(text.clone()))
                    }
                    _ => Ok(expanded),
                }
            }
            Value::Array(items) => {
                items.into_iter().map(|item| self.value(item, bound, depth)).collect::<Result<_, _>>().map(Value::Array)
            }
            Value::String(text) => Ok(Value::String(self.substituted(text, bound)?)),
            other => Ok(other),
        }
    }

    fn members(
        &mut self,
        members: Map<String, Value>,
        bound: &mut Bindings,
        depth: usize,
    ) -> Result<Value, TemplateError> {
        let mut expanded = Map::new();
        for (name, member) in members {
            match name.strip_prefix(PREFIX) {
                Some(loop_name) => expanded.extend(self.each(loop_name, &member, bound, depth + 1)?),
                None => {
                    let value = self.value(member, bound, depth)?;
                    expanded.insert(self.substituted(name, bound)?, value);
                }
            }
        }
        Ok(Value::Object(expanded))
    }

    fn each(
        &mut self,
        name: &str,
        argument: &Value,
        bound: &mut Bindings,
        depth: usize,
    ) -> Result<Map<String, Value>, TemplateError> {
        if depth > LOOPS_DEPTH_MAX {
            return Err(TemplateError::for_each(name, "stands inside too many loops"));
        }
        let Some([Value::String(identifier), collection, Value::Object(body)]) = argument.as_array().map(Vec::as_slice)
        else {
            return Err(TemplateError::for_each(name, "needs an identifier, a collection and an object"));
        };
        let mut made = Map::new();
        for item in self.collection(name, collection, bound)? {
            bound.push((identifier.clone(), item));
            let round = self.members(body.clone(), bound, depth);
            bound.pop();
            let Value::Object(round) = round? else { continue };
            for (key, value) in round {
                if made.insert(key.clone(), value).is_some() {
                    return Err(TemplateError::for_each(name, &format!("makes {key} twice")));
                }
            }
        }
        Ok(made)
    }

    /// A list of texts, or a reference to a parameter that is one.
    fn collection(&mut self, name: &str, collection: &Value, bound: &Bindings) -> Result<Vec<String>, TemplateError> {
        let refused = || TemplateError::for_each(name, "needs a collection that is a list of strings");
        if function(collection).is_some() {
            let (pseudo, none) = (Pseudo::default(), BTreeMap::new());
            let at = Evaluator::new(&self.known, &self.parameters, &none, &pseudo, &Void);
            let Ok(Some(Value::Array(items))) = at.value(collection) else {
                return if self.is_open(collection)? { Ok(vec![SOME_ITEM.to_owned()]) } else { Err(refused()) };
            };
            return Ok(items.iter().filter_map(super::text).filter(|item| !item.is_empty()).collect());
        }
        let mut items = Vec::new();
        for item in collection.as_array().ok_or_else(refused)? {
            match (super::text(item), function(item)) {
                (Some(text), _) => items.push(self.substituted(text, bound)?),
                (None, Some(_)) => items.extend(self.collection(name, item, bound)?),
                _ => return Err(refused()),
            }
        }
        Ok(items)
    }

    /// Whether a value depends on a parameter whose value is left open.
    fn is_open(&self, value: &Value) -> Result<bool, TemplateError> {
        let mut found = References::default();
        found.add(value, None)?;
        Ok(found.names.iter().any(|name| self.open.contains(name)))
    }

    /// `${Identifier}` and `&{Identifier}` within a text; the latter leaves out what a name may not hold.
    fn substituted(&mut self, mut text: String, bound: &Bindings) -> Result<String, TemplateError> {
        for (name, value) in bound.iter().rev() {
            if text.contains(name.as_str()) {
                let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
                let (whole, marks) = (format!("${{{name}}}"), format!("&{{{name}}}"));
                let places = text.matches(&whole).count() + text.matches(&marks).count();
                let bytes = text.len().saturating_add(places.saturating_mul(value.len()));
                self.left_bytes = self.left_bytes.checked_sub(bytes).ok_or_else(TemplateError::result_too_large)?;
                text = text.replace(&whole, value).replace(&marks, &plain);
            }
        }
        Ok(text)
    }
}
