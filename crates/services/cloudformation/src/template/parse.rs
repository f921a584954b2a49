//! From a template's text to a tree of values: JSON, or YAML with CloudFormation's short forms.
//!
//! Invariants:
//! - What comes out has at most [`VALUES_MAX`] values and [`DEPTH_MAX`] levels, however the text multiplies itself by
//!   aliases.
//! - A short form (`!Ref`) has become its long form; who reads the tree meets one spelling only.
//! - A scalar that is no exact number stays the text that was written: `0755`, `1.10`, an account id with a leading zero.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use serde_json::{Map, Value};

use super::error::TemplateError;

/// How many values a template may have once its aliases are written out. 500 resources of 100 values each fit.
pub const VALUES_MAX: usize = 200_000;
/// How deep values may stand in each other.
pub const DEPTH_MAX: usize = 100;

/// Reads a template. What begins with `{` is JSON, as on AWS.
pub fn parse(text: &str) -> Result<Value, TemplateError> {
    let trimmed = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    let tree = if trimmed.starts_with('{') { json(text.trim_start_matches('\u{feff}'))? } else { yaml(text)? };
    if !tree.is_object() {
        return Err(TemplateError::unsupported_structure());
    }
    no_nulls(&tree, &mut String::new())?;
    Ok(tree)
}

fn json(text: &str) -> Result<Value, TemplateError> {
    let tree: Value = serde_json::from_str(text)
        .map_err(|error| TemplateError::not_well_formed("JSON", error.line(), error.column()))?;
    let mut left = VALUES_MAX;
    spend(&tree, &mut left, DEPTH_MAX)?;
    Ok(tree)
}

/// Takes the values of a tree from what is left.
fn spend(tree: &Value, left: &mut usize, depth: usize) -> Result<(), TemplateError> {
    let depth = depth.checked_sub(1).ok_or_else(TemplateError::too_deep)?;
    *left = left.checked_sub(1).ok_or_else(TemplateError::too_many_values)?;
    match tree {
        Value::Array(items) => items.iter().try_for_each(|item| spend(item, left, depth)),
        Value::Object(members) => members.values().try_for_each(|member| spend(member, left, depth)),
        _ => Ok(()),
    }
}

/// AWS refuses `null` wherever it stands.
fn no_nulls(tree: &Value, path: &mut String) -> Result<(), TemplateError> {
    let length = path.len();
    match tree {
        Value::Null => return Err(TemplateError::null(path)),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push_str(&format!("/{index}"));
                no_nulls(item, path)?;
                path.truncate(length);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                // An empty section (`Parameters:` and nothing below it) is one that is not there.
                if path.is_empty() && member.is_null() {
                    continue;
                }
                path.push('/');
                path.push_str(name);
                no_nulls(member, path)?;
                path.truncate(length);
            }
        }
        _ => {}
    }
    Ok(())
}

fn yaml(text: &str) -> Result<Value, TemplateError> {
    let mut reader = Reader { parser: Parser::new_from_str(text), anchors: HashMap::new(), left: VALUES_MAX };
    reader.document()
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Value>,
    /// How many values the rest may have.
    left: usize,
}

fn refused(error: &ScanError) -> TemplateError {
    TemplateError::not_well_formed("YAML", error.marker().line(), error.marker().col() + 1)
}

fn place(span: &Span) -> (usize, usize) {
    (span.start.line(), span.start.col() + 1)
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), TemplateError> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(refused(&error)),
            None => Err(TemplateError::unsupported_structure()),
        }
    }

    fn document(&mut self) -> Result<Value, TemplateError> {
        loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
                (Event::StreamEnd, _) => return Err(TemplateError::unsupported_structure()),
                (event, span) => {
                    let tree = self.value(event, &span, DEPTH_MAX)?;
                    self.end()?;
                    return Ok(tree);
                }
            }
        }
    }

    /// One document, and nothing that cannot be read behind it.
    fn end(&mut self) -> Result<(), TemplateError> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(()),
                (Event::DocumentEnd | Event::Nothing, _) => {}
                (_, span) => {
                    let (line, column) = place(&span);
                    return Err(TemplateError::not_well_formed("YAML", line, column));
                }
            }
        }
    }

    fn value(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<Value, TemplateError> {
        let depth = depth.checked_sub(1).ok_or_else(TemplateError::too_deep)?;
        self.left = self.left.checked_sub(1).ok_or_else(TemplateError::too_many_values)?;
        let (bare, anchor, tag) = match event {
            Event::Alias(anchor) => return self.alias(anchor, span, depth),
            Event::Scalar(text, style, anchor, tag) => (scalar(&text, style, tag.as_deref()), anchor, tag),
            Event::SequenceStart(anchor, tag) => (self.sequence(depth)?, anchor, tag),
            Event::MappingStart(anchor, tag) => (self.mapping(depth)?, anchor, tag),
            _ => {
                let (line, column) = place(span);
                return Err(TemplateError::not_well_formed("YAML", line, column));
            }
        };
        let value = match tag {
            Some(tag) => tagged(&tag, bare, span)?,
            None => bare,
        };
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn alias(&mut self, anchor: usize, span: &Span, depth: usize) -> Result<Value, TemplateError> {
        let Some(value) = self.anchors.get(&anchor) else {
            let (line, column) = place(span);
            return Err(TemplateError::not_well_formed("YAML", line, column));
        };
        spend(value, &mut self.left, depth + 1)?;
        Ok(value.clone())
    }

    fn sequence(&mut self, depth: usize) -> Result<Value, TemplateError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::Array(items)),
                (event, span) => items.push(self.value(event, &span, depth)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, TemplateError> {
        let mut members = Map::new();
        loop {
            let (event, span) = self.next()?;
            let (line, column) = place(&span);
            let key = match event {
                Event::MappingEnd => return Ok(Value::Object(members)),
                Event::Scalar(text, _, _, None) => text.into_owned(),
                Event::Scalar(text, _, _, Some(tag)) if tag.is_yaml_core_schema() || is_non_specific(&tag) => {
                    text.into_owned()
                }
                _ => return Err(TemplateError::key_is_no_string(&format!("line {line}"))),
            };
            if key == "<<" {
                return Err(TemplateError::merge_key(line, column));
            }
            let (event, span) = self.next()?;
            let value = self.value(event, &span, depth)?;
            if members.insert(key.clone(), value).is_some() {
                return Err(TemplateError::duplicate_key(&key, line, column));
            }
        }
    }
}

/// A scalar without its short form: YAML 1.1's truth values, numbers that survive the way there and back, else text.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let is_forced_text = tag.is_some_and(|tag| !tag.is_yaml_core_schema() || tag.suffix == "str");
    if style != ScalarStyle::Plain || is_forced_text {
        return Value::String(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return Value::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => return Value::Bool(false),
        _ => {}
    }
    if let Ok(number) = text.parse::<i64>()
        && number.to_string() == text
    {
        return number.into();
    }
    if let Ok(number) = text.parse::<f64>()
        && let Some(number) = serde_json::Number::from_f64(number)
        && number.to_string() == text
    {
        return Value::Number(number);
    }
    Value::String(text.to_owned())
}

/// The functions that have a short form, without `Fn::`. `Ref` and `Condition` have no `Fn::` in their long form.
const SHORT_FORMS: [&str; 23] = [
    "And",
    "Base64",
    "Cidr",
    "Contains",
    "EachMemberEquals",
    "EachMemberIn",
    "Equals",
    "FindInMap",
    "GetAZs",
    "GetAtt",
    "If",
    "ImportValue",
    "Join",
    "Length",
    "Not",
    "Or",
    "RefAll",
    "Select",
    "Split",
    "Sub",
    "ToJsonString",
    "Transform",
    "ValueOf",
];

/// A lone `!`: text.
fn is_non_specific(tag: &Tag) -> bool {
    matches!((tag.handle.as_str(), tag.suffix.as_str()), ("!" | "", "" | "!"))
}

/// The long form of a short one.
fn tagged(tag: &Tag, bare: Value, span: &Span) -> Result<Value, TemplateError> {
    if tag.is_yaml_core_schema() {
        return Ok(bare);
    }
    let long = match (tag.handle.as_str(), tag.suffix.as_str()) {
        _ if is_non_specific(tag) => return Ok(bare),
        ("!", name @ ("Ref" | "Condition")) => name.to_owned(),
        ("!", name) if SHORT_FORMS.contains(&name) => format!("Fn::{name}"),
        _ => {
            let (line, column) = place(span);
            return Err(TemplateError::unsupported_tag(&tag.to_string(), line, column));
        }
    };
    let argument = match (long.as_str(), bare) {
        // A list's items are separate; text names resource and attribute around its first dot.
        ("Fn::GetAtt", Value::String(text)) => match text.split_once('.') {
            Some((resource, attribute)) => Value::Array(vec![resource.into(), attribute.into()]),
            None => Value::String(text),
        },
        (_, bare) => bare,
    };
    Ok(Value::Object(Map::from_iter([(long, argument)])))
}

#[cfg(test)]
mod tests;
