//! No text may make the template language panic, hang or grow: not its parser, nor the checks of what it accepted, nor the
//! evaluation of its values.

#![no_main]

use std::collections::BTreeMap;

use cloudformation::template::evaluate::{Evaluator, Void};
use cloudformation::template::{Catalogue, Pseudo, Template, conditions, graph, parameters, validate};
use libfuzzer_sys::fuzz_target;

/// Every type, with every attribute.
struct Any;

impl Catalogue for Any {
    fn knows(&self, _: &str) -> bool {
        true
    }
    fn has_attribute(&self, _: &str, _: &str) -> bool {
        true
    }
}

fuzz_target!(|text: &str| {
    let Ok(template) = Template::read(text, &BTreeMap::new()) else { return };
    _ = validate::validate(&template, &Any);
    let values: BTreeMap<_, _> = template
        .parameters
        .iter()
        .map(|(name, p)| (name.clone(), parameters::value_of(&p.kind, p.default.as_deref().unwrap_or_default())))
        .collect();
    let pseudo = Pseudo { region: "eu-west-1".into(), ..Pseudo::default() };
    let Ok(known) = conditions::all(&template, &values, &pseudo) else { return };
    _ = graph::dependencies(&template, &known);
    let at = Evaluator::new(&template, &values, &known, &pseudo, &Void);
    for resource in template.resources.values() {
        _ = at.members(&resource.properties);
    }
});
