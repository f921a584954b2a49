//! The graph of a template's resources: who must be there before whom.
//!
//! Invariant: what comes out of [`dependencies`] has no circle and names only resources that are wanted.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::error::TemplateError;
use super::evaluate::PSEUDO_PARAMETERS;
use super::references::References;
use super::{Resource, Template};

/// For each resource, those that it needs.
pub type Graph = BTreeMap<String, BTreeSet<String>>;

/// The graph of the resources that the conditions let be.
pub fn dependencies(template: &Template, conditions: &BTreeMap<String, bool>) -> Result<Graph, TemplateError> {
    let wanted: BTreeSet<&str> = template.wanted(conditions).map(|(name, _)| name.as_str()).collect();
    let mut graph = Graph::new();
    let mut unresolved = BTreeSet::new();
    for (name, resource) in template.wanted(conditions) {
        let mut needs = BTreeSet::new();
        for reference in references(resource, Some(conditions))?.all_names() {
            if wanted.contains(reference) {
                needs.insert(reference.to_owned());
            } else if !is_value(template, reference) {
                unresolved.insert(reference.to_owned());
            }
        }
        // A resource that its condition leaves out holds nobody back.
        needs.extend(resource.depends_on.iter().filter(|need| wanted.contains(need.as_str())).cloned());
        graph.insert(name.clone(), needs);
    }
    if !unresolved.is_empty() {
        let names: Vec<&str> = unresolved.iter().map(String::as_str).collect();
        return Err(TemplateError::unresolved(&names, "Resources"));
    }
    without_circle(&graph)?;
    Ok(graph)
}

/// Whether a name is a parameter's.
pub(super) fn is_value(template: &Template, name: &str) -> bool {
    template.parameters.contains_key(name) || PSEUDO_PARAMETERS.contains(&name)
}

/// What a resource refers to.
pub(super) fn references(
    resource: &Resource,
    conditions: Option<&BTreeMap<String, bool>>,
) -> Result<References, TemplateError> {
    let mut found = References::default();
    resource.properties.values().try_for_each(|property| found.add(property, conditions))?;
    let others: [Option<&Value>; 3] =
        [resource.metadata.as_ref(), resource.creation_policy.as_ref(), resource.update_policy.as_ref()];
    others.into_iter().flatten().try_for_each(|value| found.add(value, conditions))?;
    Ok(found)
}

/// Refuses a graph in which a resource needs itself.
pub(super) fn without_circle(graph: &Graph) -> Result<(), TemplateError> {
    let mut left: BTreeMap<&str, BTreeSet<&str>> =
        graph.iter().map(|(name, needs)| (name.as_str(), needs.iter().map(String::as_str).collect())).collect();
    loop {
        let needed: BTreeSet<&str> = left.values().flatten().copied().collect();
        let before = left.len();
        // Neither who needs nobody nor whom nobody needs is on a circle.
        let names: BTreeSet<&str> = left.keys().copied().collect();
        left.retain(|name, needs| needs.iter().any(|need| names.contains(need)) && needed.contains(name));
        if left.is_empty() {
            return Ok(());
        }
        if left.len() == before {
            let names: Vec<&str> = left.keys().copied().collect();
            return Err(TemplateError::circular(&names));
        }
    }
}
