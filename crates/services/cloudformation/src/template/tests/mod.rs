//! The language, function by function and form by form.

mod functions;
mod graphs;
mod properties;
mod values;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::evaluate::{Evaluator, Pseudo, World};
use super::*;

/// Types by prefix; attributes are those that begin with a capital.
pub(crate) struct Types;

impl Catalogue for Types {
    fn knows(&self, kind: &str) -> bool {
        kind.starts_with("AWS::")
    }
    fn has_attribute(&self, _: &str, attribute: &str) -> bool {
        attribute.starts_with(|first: char| first.is_ascii_uppercase())
    }
}

/// A world in which each resource is known by its name.
pub(crate) struct Known;

impl World for Known {
    fn reference(&self, resource: &str) -> Option<Value> {
        Some(json!(format!("id-of-{resource}")))
    }
    fn attribute(&self, resource: &str, attribute: &str) -> Option<Value> {
        match attribute {
            "List" => Some(json!(["x", "y"])),
            "None" => None,
            _ => Some(json!(format!("{resource}.{attribute}"))),
        }
    }
    fn zones(&self, region: &str) -> Option<Vec<String>> {
        (region == "eu-west-1").then(|| vec!["eu-west-1a".into(), "eu-west-1b".into()])
    }
    fn export(&self, name: &str) -> Option<String> {
        (name == "shared").then(|| "exported".into())
    }
}

pub(crate) fn pseudo() -> Pseudo {
    Pseudo {
        account_id: "123456789012".into(),
        region: "eu-west-1".into(),
        stack_id: "arn:aws:cloudformation:eu-west-1:123456789012:stack/web/1".into(),
        stack_name: "web".into(),
        notification_arns: Vec::new(),
    }
}

pub(crate) fn template(text: &str) -> Template {
    Template::read(text, &BTreeMap::new()).unwrap()
}

/// What is wrong with a template.
pub(crate) fn wrong(text: &str) -> String {
    let read = Template::read(text, &BTreeMap::new());
    match read.and_then(|template| validate::validate(&template, &Types)) {
        Ok(()) => "nothing".into(),
        Err(error) => error.to_string(),
    }
}

/// The value of `Resources.R.Properties.P`, defaults for parameters.
pub(crate) fn property(text: &str) -> Result<Option<Value>, String> {
    let template = Template::read(text, &BTreeMap::new()).map_err(|error| error.to_string())?;
    let parameters = template
        .parameters
        .iter()
        .map(|(name, p)| (name.clone(), parameters::value_of(&p.kind, p.default.as_deref().unwrap_or_default())))
        .collect();
    let pseudo = pseudo();
    let conditions = conditions::all(&template, &parameters, &pseudo).map_err(|error| error.to_string())?;
    let at = Evaluator::new(&template, &parameters, &conditions, &pseudo, &Known);
    at.value(&template.resources["R"].properties["P"]).map_err(|error| error.to_string())
}
