//! What can be known to be wrong with a template before any value is.
//!
//! Invariant: what is refused here would be refused on AWS; what only a value can show is left to the evaluation.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::error::TemplateError;
use super::functions::{self, CONDITION_FUNCTIONS, VALUE_FUNCTIONS};
use super::references::References;
use super::{Resource, Template, conditions, function, graph};

/// What resource types there are.
pub trait Catalogue {
    /// Whether there is such a type.
    fn knows(&self, kind: &str) -> bool;
    /// Whether resources of a type have an attribute for Fn::GetAtt.
    fn has_attribute(&self, kind: &str, attribute: &str) -> bool;
}

/// Refuses a template that names what is not there.
pub fn validate(template: &Template, catalogue: &dyn Catalogue) -> Result<(), TemplateError> {
    unknown_types(template, catalogue)?;
    check_conditions(template)?;
    let mut unresolved = BTreeSet::new();
    let mut all = References::default();
    for resource in template.resources.values() {
        let found = graph::references(resource, None)?;
        unresolved.extend(missing(template, &found));
        unresolved.extend(resource.depends_on.iter().filter(|name| !template.resources.contains_key(*name)).cloned());
        if let Some(name) = resource.condition.as_ref().filter(|name| !template.conditions.contains_key(*name)) {
            return Err(TemplateError::unresolved_condition(name, "Resources"));
        }
        attributes(template, catalogue, &found)?;
        functions_known(&found, template)?;
        all.conditions.extend(found.conditions);
    }
    refuse_unresolved(&unresolved, "Resources")?;
    outputs(template, catalogue, &mut all)?;
    if let Some(name) = all.conditions.iter().find(|name| !template.conditions.contains_key(*name)) {
        return Err(TemplateError::unresolved_condition(name, "Resources"));
    }
    circles(template)
}

/// Refuses resource types that nobody knows. One of AWS's under a condition may be: it is no harm until it is wanted
/// ([`wanted_types`]).
fn unknown_types(template: &Template, catalogue: &dyn Catalogue) -> Result<(), TemplateError> {
    let may_be = |resource: &Resource| resource.condition.is_some() && resource.kind.starts_with("AWS::");
    refuse_unknown(template.resources.values().filter(|resource| !may_be(resource)), catalogue)
}

/// Refuses resource types that nobody knows, of the resources that the conditions let be.
pub fn wanted_types(
    template: &Template,
    conditions: &BTreeMap<String, bool>,
    catalogue: &dyn Catalogue,
) -> Result<(), TemplateError> {
    refuse_unknown(template.wanted(conditions).map(|(_, resource)| resource), catalogue)
}

fn refuse_unknown<'a>(
    resources: impl Iterator<Item = &'a Resource>,
    catalogue: &dyn Catalogue,
) -> Result<(), TemplateError> {
    let types: BTreeSet<&str> = resources.map(|resource| resource.kind.as_str()).collect();
    let unknown: Vec<&str> = types.into_iter().filter(|kind| !catalogue.knows(kind)).collect();
    if unknown.is_empty() { Ok(()) } else { Err(TemplateError::unknown_types(&unknown)) }
}

fn missing(template: &Template, found: &References) -> Vec<String> {
    let is_known = |name: &str| template.resources.contains_key(name) || graph::is_value(template, name);
    let names = found.names.iter().filter(|name| !is_known(name));
    let resources =
        found.attributes.iter().map(|(name, _)| name).filter(|name| !template.resources.contains_key(*name));
    names.chain(resources).cloned().collect()
}

fn refuse_unresolved(unresolved: &BTreeSet<String>, block: &str) -> Result<(), TemplateError> {
    let names: Vec<&str> = unresolved.iter().map(String::as_str).collect();
    if names.is_empty() { Ok(()) } else { Err(TemplateError::unresolved(&names, block)) }
}

fn attributes(template: &Template, catalogue: &dyn Catalogue, found: &References) -> Result<(), TemplateError> {
    for (name, attribute) in &found.attributes {
        let (Some(resource), Some(attribute)) = (template.resources.get(name), attribute) else { continue };
        if catalogue.knows(&resource.kind) && !catalogue.has_attribute(&resource.kind, attribute) {
            return Err(TemplateError::unknown_attribute(name, attribute));
        }
    }
    Ok(())
}

fn functions_known(found: &References, template: &Template) -> Result<(), TemplateError> {
    for name in &found.functions {
        match name.as_str() {
            "Fn::Transform" => return Err(TemplateError::argument("Fn::Transform")),
            "Fn::Length" | "Fn::ToJsonString" if !template.is_extended() => {
                return Err(TemplateError::needs_language_extensions(name));
            }
            name if VALUE_FUNCTIONS.contains(&name) || CONDITION_FUNCTIONS.contains(&name) => {}
            other => return Err(functions::unsupported(other)),
        }
    }
    Ok(())
}

fn outputs(template: &Template, catalogue: &dyn Catalogue, all: &mut References) -> Result<(), TemplateError> {
    let mut unresolved = BTreeSet::new();
    for output in template.outputs.values() {
        let mut found = References::default();
        found.add(&output.value, None)?;
        output.export.iter().try_for_each(|name| found.add(name, None))?;
        unresolved.extend(missing(template, &found));
        if let Some(name) = output.condition.as_ref().filter(|name| !template.conditions.contains_key(*name)) {
            return Err(TemplateError::unresolved_condition(name, "Outputs"));
        }
        attributes(template, catalogue, &found)?;
        functions_known(&found, template)?;
        all.conditions.extend(found.conditions);
    }
    refuse_unresolved(&unresolved, "Outputs")
}

/// Conditions see parameters and each other, no resource.
fn check_conditions(template: &Template) -> Result<(), TemplateError> {
    let mut unresolved = BTreeSet::new();
    for condition in template.conditions.values() {
        if !is_condition(condition) {
            let name =
                condition.as_object().and_then(|members| members.keys().next()).map_or("A value", String::as_str);
            return Err(TemplateError::condition_function(name));
        }
        let mut found = References::default();
        found.add(condition, None)?;
        unresolved.extend(found.all_names().filter(|name| !graph::is_value(template, name)).map(str::to_owned));
        functions_known(&found, template)?;
        let mut named = Vec::new();
        conditions::named(condition, &mut named);
        if let Some(name) = named.into_iter().find(|name| !template.conditions.contains_key(*name)) {
            return Err(TemplateError::unresolved_condition(name, "Conditions"));
        }
    }
    let names: Vec<&str> = unresolved.iter().map(String::as_str).collect();
    if names.is_empty() { Ok(()) } else { Err(TemplateError::resource_in_conditions(&names)) }
}

fn is_condition(condition: &Value) -> bool {
    let names_another =
        condition.as_object().is_some_and(|members| members.len() == 1 && members.contains_key("Condition"));
    names_another || function(condition).is_some_and(|(name, _)| CONDITION_FUNCTIONS.contains(&name) || name == "Ref")
}

/// Circles are refused whatever the conditions say, as long as both ends may exist together; AWS looks at all of them.
fn circles(template: &Template) -> Result<(), TemplateError> {
    let mut all = graph::Graph::new();
    for (name, resource) in &template.resources {
        let found = graph::references(resource, None)?;
        let mut needs: BTreeSet<String> =
            found.all_names().filter(|need| template.resources.contains_key(*need)).map(str::to_owned).collect();
        needs.extend(resource.depends_on.iter().cloned());
        all.insert(name.clone(), needs);
    }
    graph::without_circle(&all)
}
