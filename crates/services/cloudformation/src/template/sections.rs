//! From a tree of values to the template's sections, each member checked for its form.
//!
//! Invariant: what a section does not know is refused, never dropped.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::error::TemplateError;
use super::{
    DESCRIPTION_CHARACTERS_MAX, DeletionPolicy, MAPPINGS_MAX, OUTPUTS_MAX, Output, PARAMETERS_MAX, RESOURCES_MAX,
    Resource, Template, function, parameters, text,
};

const SECTIONS: [&str; 11] = [
    "AWSTemplateFormatVersion",
    "Conditions",
    "Description",
    "Hooks",
    "Mappings",
    "Metadata",
    "Outputs",
    "Parameters",
    "Resources",
    "Rules",
    "Transform",
];

/// The template's sections.
pub(crate) fn template(tree: Value, transforms: Vec<String>) -> Result<Template, TemplateError> {
    let Value::Object(mut sections) = tree else { return Err(TemplateError::unsupported_structure()) };
    sections.retain(|_, section| !section.is_null());
    let unknown: Vec<&str> =
        sections.keys().map(String::as_str).filter(|name| !SECTIONS.contains(name) || *name == "Hooks").collect();
    if !unknown.is_empty() {
        return Err(TemplateError::unknown_sections(&unknown));
    }
    version(sections.get("AWSTemplateFormatVersion"))?;
    let mut template = Template { transforms, metadata: sections.remove("Metadata"), ..Template::default() };
    template.description = match sections.get("Description") {
        Some(description) => Some(text(description).ok_or_else(|| TemplateError::must_be("/Description", "a string"))?),
        None => None,
    };
    if template.description.as_ref().is_some_and(|text| text.chars().count() > DESCRIPTION_CHARACTERS_MAX) {
        return Err(TemplateError::description_too_long(DESCRIPTION_CHARACTERS_MAX));
    }
    for (name, parameter) in section(&mut sections, "Parameters", PARAMETERS_MAX)? {
        template.parameters.insert(name.clone(), parameters::read(&name, parameter)?);
    }
    template.mappings = mappings(section(&mut sections, "Mappings", MAPPINGS_MAX)?)?;
    template.rules = section(&mut sections, "Rules", RESOURCES_MAX)?;
    template.conditions = section(&mut sections, "Conditions", RESOURCES_MAX)?;
    for (name, resource) in section(&mut sections, "Resources", RESOURCES_MAX)? {
        template.resources.insert(name.clone(), read_resource(&name, resource, template.is_extended())?);
    }
    if template.resources.is_empty() {
        return Err(TemplateError::no_resources());
    }
    for (name, output) in section(&mut sections, "Outputs", OUTPUTS_MAX)? {
        template.outputs.insert(name.clone(), read_output(&name, output)?);
    }
    Ok(template)
}

fn version(version: Option<&Value>) -> Result<(), TemplateError> {
    match version.map(|version| text(version).ok_or(())) {
        None => Ok(()),
        Some(Ok(version)) if version == "2010-09-09" => Ok(()),
        Some(Ok(other)) => Err(TemplateError::unsupported_version(&other)),
        Some(Err(())) => Err(TemplateError::must_be("/AWSTemplateFormatVersion", "a string")),
    }
}

/// The names of `Transform`, which may be text or a list. A transform with parameters is a macro's.
pub(crate) fn transforms(tree: &Value) -> Result<Vec<String>, TemplateError> {
    let refused = || TemplateError::must_be("/Transform", "a string or a list of strings");
    let one = |value: &Value| match value {
        Value::String(name) => Ok(name.clone()),
        Value::Object(include) => include.get("Name").and_then(Value::as_str).map(str::to_owned).ok_or_else(refused),
        _ => Err(refused()),
    };
    match tree.get("Transform") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(names)) => names.iter().map(one).collect(),
        Some(name) => Ok(vec![one(name)?]),
    }
}

/// A section's members, by name.
fn section(
    sections: &mut Map<String, Value>,
    name: &str,
    count_max: usize,
) -> Result<BTreeMap<String, Value>, TemplateError> {
    let members = match sections.remove(name) {
        None => return Ok(BTreeMap::new()),
        Some(Value::Object(members)) => members,
        Some(_) => return Err(TemplateError::must_be(&format!("/{name}"), "an object")),
    };
    if members.len() > count_max {
        return Err(TemplateError::too_many(&name.to_lowercase(), members.len(), count_max));
    }
    // Names of conditions and rules may hold other characters, on AWS too.
    let is_strict = matches!(name, "Resources" | "Parameters" | "Outputs" | "Mappings");
    let is_plain = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if let Some(wrong) = members.keys().find(|member| is_strict && !is_plain(member)) {
        return Err(TemplateError::name_not_alphanumeric(name, wrong));
    }
    Ok(members.into_iter().collect())
}

fn mappings(mappings: BTreeMap<String, Value>) -> Result<BTreeMap<String, Value>, TemplateError> {
    for (name, mapping) in &mappings {
        let keys =
            mapping.as_object().ok_or_else(|| TemplateError::must_be(&format!("/Mappings/{name}"), "an object"))?;
        for (key, attributes) in keys {
            let place = || format!("/Mappings/{name}/{key}");
            let attributes = attributes.as_object().ok_or_else(|| TemplateError::must_be(&place(), "an object"))?;
            let is_fine = |value: &Value| match value {
                Value::Array(items) => items.iter().all(|item| text(item).is_some()),
                scalar => text(scalar).is_some(),
            };
            if let Some((attribute, _)) = attributes.iter().find(|(_, value)| !is_fine(value)) {
                return Err(TemplateError::mapping_attribute(name, &format!("/{key}/{attribute}")));
            }
        }
    }
    Ok(mappings)
}

fn read_resource(name: &str, resource: Value, is_extended: bool) -> Result<Resource, TemplateError> {
    let place = format!("/Resources/{name}");
    let Value::Object(members) = resource else {
        return Err(TemplateError::malformed(&place, "Every Resources member must be an object."));
    };
    let mut read = Resource::default();
    if !members.contains_key("Type") {
        return Err(TemplateError::member_without("Resources", name, "Type"));
    }
    let kind = members.get("Type").and_then(Value::as_str).unwrap_or_default();
    let is_custom = kind.starts_with("Custom::") || kind == "AWS::CloudFormation::CustomResource";
    for (member, value) in members {
        let at = format!("{place}/{member}");
        match member.as_str() {
            "Type" => read.kind = string(&at, value)?,
            "Properties" => read.properties = object(&at, value)?,
            "Metadata" => read.metadata = Some(value),
            "DependsOn" => read.depends_on = depends_on(&at, value)?,
            "Condition" => read.condition = Some(string(&at, value)?),
            "CreationPolicy" => read.creation_policy = Some(Value::Object(object(&at, value)?)),
            "UpdatePolicy" => read.update_policy = Some(Value::Object(object(&at, value)?)),
            "DeletionPolicy" => read.deletion_policy = Some(deletion_policy(&member, &at, value, is_extended)?),
            "UpdateReplacePolicy" => {
                read.update_replace_policy = Some(deletion_policy(&member, &at, value, is_extended)?);
            }
            // Of use to tools alone.
            "Description" => drop(string(&at, value)?),
            "Version" if is_custom => drop(text(&value).ok_or_else(|| TemplateError::must_be(&at, "a string"))?),
            _ => return Err(TemplateError::unknown_member("Resources", &member)),
        }
    }
    Ok(read)
}

fn deletion_policy(member: &str, at: &str, value: Value, is_extended: bool) -> Result<Value, TemplateError> {
    if is_extended && function(&value).is_some() {
        return Ok(value);
    }
    let word = string(at, value)?;
    let known = DeletionPolicy::parse(&word).map(|_| Value::from(word.as_str()));
    known.ok_or_else(|| TemplateError::policy_value(member, &word))
}

fn depends_on(at: &str, value: Value) -> Result<BTreeSet<String>, TemplateError> {
    match value {
        Value::String(name) => Ok(BTreeSet::from([name])),
        Value::Array(names) => names.into_iter().map(|name| string(at, name)).collect(),
        _ => Err(TemplateError::must_be(at, "a string or a list of strings")),
    }
}

fn read_output(name: &str, output: Value) -> Result<Output, TemplateError> {
    let place = format!("/Outputs/{name}");
    let Value::Object(members) = output else { return Err(TemplateError::must_be(&place, "an object")) };
    let mut read = Output { description: None, value: Value::Null, export: None, condition: None };
    if !members.contains_key("Value") {
        return Err(TemplateError::member_without("Outputs", name, "Value"));
    }
    for (member, value) in members {
        let at = format!("{place}/{member}");
        match member.as_str() {
            "Value" => read.value = value,
            "Description" => read.description = Some(string(&at, value)?),
            "Condition" => read.condition = Some(string(&at, value)?),
            "Export" => {
                let mut export = object(&at, value)?;
                let name = export.remove("Name").filter(|_| export.is_empty());
                read.export = Some(
                    name.ok_or_else(|| TemplateError::malformed(&at, "Export must have a Name, and nothing else."))?,
                );
            }
            _ => return Err(TemplateError::unknown_member("Outputs", &member)),
        }
    }
    Ok(read)
}

fn string(at: &str, value: Value) -> Result<String, TemplateError> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(TemplateError::must_be(at, "a string")),
    }
}

fn object(at: &str, value: Value) -> Result<Map<String, Value>, TemplateError> {
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(TemplateError::must_be(at, "an object")),
    }
}
