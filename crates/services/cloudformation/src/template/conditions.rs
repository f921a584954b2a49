//! Conditions: truth from parameters and mappings.
//!
//! Invariants:
//! - Every condition of a template has a value, or the template is refused: circles are.
//! - A condition sees no resource.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::TemplateError;
use super::evaluate::{Evaluator, Pseudo, Void, World};
use super::{Template, text};

/// AWS's limits on the operands of Fn::And and Fn::Or.
const OPERANDS: std::ops::RangeInclusive<usize> = 2..=10;

/// Which conditions of a template hold.
pub fn all(
    template: &Template,
    parameters: &BTreeMap<String, Value>,
    pseudo: &Pseudo,
) -> Result<BTreeMap<String, bool>, TemplateError> {
    all_in(template, parameters, pseudo, &Void)
}

/// The same, where the world's zones may be asked for.
pub fn all_in(
    template: &Template,
    parameters: &BTreeMap<String, Value>,
    pseudo: &Pseudo,
    world: &dyn World,
) -> Result<BTreeMap<String, bool>, TemplateError> {
    let mut known = BTreeMap::new();
    // Each round settles those that need only what is known; a round that settles none has met a circle.
    while known.len() < template.conditions.len() {
        let open: Vec<_> = template.conditions.iter().filter(|(name, _)| !known.contains_key(*name)).collect();
        let mut settled = BTreeMap::new();
        for (name, condition) in &open {
            let mut needs = Vec::new();
            named(condition, &mut needs);
            if let Some(missing) = needs.iter().find(|need| !template.conditions.contains_key(**need)) {
                return Err(TemplateError::unresolved_condition(missing, "Conditions"));
            }
            if needs.iter().all(|need| known.contains_key(*need)) {
                let at = Evaluator::new(template, parameters, &known, pseudo, world);
                settled.insert((*name).clone(), evaluate(&at, condition)?);
            }
        }
        if settled.is_empty() {
            let names: Vec<&str> = open.iter().map(|(name, _)| name.as_str()).collect();
            return Err(TemplateError::circular_conditions(&names));
        }
        known.extend(settled);
    }
    Ok(known)
}

/// The conditions that a condition names.
pub(crate) fn named<'a>(value: &'a Value, names: &mut Vec<&'a str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| named(item, names)),
        Value::Object(members) => {
            for (name, member) in members {
                match (name.as_str(), member) {
                    ("Condition", Value::String(condition)) => names.push(condition),
                    ("Fn::If", Value::Array(parts)) => {
                        names.extend(parts.first().and_then(Value::as_str));
                        parts.iter().skip(1).for_each(|part| named(part, names));
                    }
                    _ => named(member, names),
                }
            }
        }
        _ => {}
    }
}

/// Whether a condition holds.
pub(crate) fn evaluate(at: &Evaluator<'_>, condition: &Value) -> Result<bool, TemplateError> {
    let single = condition.as_object().filter(|members| members.len() == 1).and_then(|members| members.iter().next());
    let Some((name, argument)) = single else { return truth(at, condition) };
    match name.as_str() {
        "Condition" => {
            let name = argument.as_str().ok_or_else(|| TemplateError::argument("Condition"))?;
            let holds = at.conditions.get(name).copied();
            holds.ok_or_else(|| TemplateError::unresolved_condition(name, "Conditions"))
        }
        "Fn::Equals" => equals(at, argument),
        "Fn::Not" => match argument.as_array().map(Vec::as_slice) {
            Some([operand]) => Ok(!evaluate(at, operand)?),
            _ => Err(TemplateError::argument("Fn::Not")),
        },
        "Fn::And" => operands(argument, "Fn::And")?.iter().try_fold(true, |so_far, operand| {
            // Every operand is looked at, so that a mistake does not hide behind another's value.
            Ok(evaluate(at, operand)? && so_far)
        }),
        "Fn::Or" => {
            operands(argument, "Fn::Or")?.iter().try_fold(false, |so_far, operand| Ok(evaluate(at, operand)? || so_far))
        }
        _ => truth(at, condition),
    }
}

/// A value that must be `true` or `false`: what a parameter or a mapping gives.
fn truth(at: &Evaluator<'_>, value: &Value) -> Result<bool, TemplateError> {
    match at.text(value)?.as_deref() {
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        _ => Err(TemplateError::condition_function(
            value.as_object().and_then(|o| o.keys().next()).map_or("A value", |n| n),
        )),
    }
}

fn operands<'a>(argument: &'a Value, name: &'static str) -> Result<&'a [Value], TemplateError> {
    let operands = argument.as_array().filter(|operands| OPERANDS.contains(&operands.len()));
    operands.map(Vec::as_slice).ok_or_else(|| TemplateError::argument(name))
}

fn equals(at: &Evaluator<'_>, argument: &Value) -> Result<bool, TemplateError> {
    let Some([left, right]) = argument.as_array().map(Vec::as_slice) else {
        return Err(TemplateError::argument("Fn::Equals"));
    };
    let (left, right) = (at.value(left)?, at.value(right)?);
    let plain = |value: Option<Value>| match value {
        Some(Value::Array(items)) => Some(items.iter().map(text).collect::<Vec<_>>()),
        Some(scalar) => Some(vec![text(&scalar)]),
        None => None,
    };
    Ok(plain(left) == plain(right))
}
