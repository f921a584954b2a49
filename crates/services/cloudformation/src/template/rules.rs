//! Rules: what parameters must keep among themselves.
//!
//! Invariant: a rule that cannot be understood refuses the template; it never passes in silence.

use serde_json::Value;

use super::error::TemplateError;
use super::evaluate::Evaluator;
use super::functions::unsupported;
use super::{conditions, text};

/// Holds the parameters against the template's rules; all that fail are told at once.
pub(crate) fn check(at: &Evaluator<'_>) -> Result<(), TemplateError> {
    let mut failed = Vec::new();
    for (name, rule) in &at.template.rules {
        let place = || format!("/Rules/{name}");
        let rule = rule.as_object().ok_or_else(|| TemplateError::must_be(&place(), "an object"))?;
        if let Some(unknown) = rule.keys().find(|member| !matches!(member.as_str(), "RuleCondition" | "Assertions")) {
            return Err(TemplateError::malformed(&place(), &format!("unknown member {unknown}")));
        }
        if let Some(condition) = rule.get("RuleCondition")
            && !holds(at, condition)?
        {
            continue;
        }
        let assertions = rule.get("Assertions").and_then(Value::as_array);
        for assertion in assertions.ok_or_else(|| TemplateError::malformed(&place(), "must have Assertions"))? {
            let assert =
                assertion.get("Assert").ok_or_else(|| TemplateError::malformed(&place(), "must have an Assert"))?;
            if !holds(at, assert)? {
                let described = assertion.get("AssertDescription").and_then(Value::as_str);
                failed.push(described.map_or_else(|| format!("Assertion of rule {name} failed"), str::to_owned));
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(TemplateError::rule_failed(&failed)) }
}

fn holds(at: &Evaluator<'_>, value: &Value) -> Result<bool, TemplateError> {
    let single = value.as_object().filter(|members| members.len() == 1).and_then(|members| members.iter().next());
    let Some((name, argument)) = single else { return conditions::evaluate(at, value) };
    let operands = argument.as_array().map(Vec::as_slice).unwrap_or_default();
    match (name.as_str(), operands) {
        ("Fn::Not", [operand]) => Ok(!holds(at, operand)?),
        ("Fn::And", operands) => operands.iter().try_fold(true, |so_far, operand| Ok(holds(at, operand)? && so_far)),
        ("Fn::Or", operands) => operands.iter().try_fold(false, |so_far, operand| Ok(holds(at, operand)? || so_far)),
        ("Fn::Contains", [list, item]) => Ok(texts(at, list)?.contains(&one(at, item)?)),
        ("Fn::EachMemberEquals", [list, item]) => {
            let item = one(at, item)?;
            Ok(texts(at, list)?.iter().all(|member| *member == item))
        }
        ("Fn::EachMemberIn", [list, allowed]) => {
            let allowed = texts(at, allowed)?;
            Ok(texts(at, list)?.iter().all(|member| allowed.contains(member)))
        }
        ("Fn::RefAll" | "Fn::ValueOf" | "Fn::ValueOfAll", _) => Err(unsupported(name)),
        _ => conditions::evaluate(at, value),
    }
}

fn texts(at: &Evaluator<'_>, list: &Value) -> Result<Vec<String>, TemplateError> {
    match at.value(list)? {
        Some(Value::Array(items)) => Ok(items.iter().filter_map(text).collect()),
        Some(scalar) => Ok(text(&scalar).into_iter().collect()),
        None => Ok(Vec::new()),
    }
}

fn one(at: &Evaluator<'_>, item: &Value) -> Result<String, TemplateError> {
    Ok(at.text(item)?.unwrap_or_default())
}
