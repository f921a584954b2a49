//! Fn::Sub: names in `${…}` within a text.
//!
//! Invariant: a text is cut into pieces the same way for its evaluation and for finding what it refers to.

use serde_json::{Map, Value};

use super::error::TemplateError;
use super::evaluate::Evaluator;
use super::text;

/// A piece of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// As it stands.
    Literal(&'a str),
    /// The name in `${name}`.
    Variable(&'a str),
}

/// Cuts a text. `${!name}` is the text `${name}`.
pub(crate) fn pieces(source: &str) -> Result<Vec<Piece<'_>>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = source;
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else { break };
        let name = &rest[start + 2..start + length];
        if let Some(kept) = name.strip_prefix('!') {
            pieces.extend([Piece::Literal(&rest[..start]), Piece::Literal("${"), Piece::Literal(kept)]);
            pieces.push(Piece::Literal("}"));
        } else {
            let name = name.trim();
            let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':');
            if name.is_empty() || !name.bytes().all(is_fine) {
                return Err(TemplateError::sub_variable());
            }
            pieces.extend([Piece::Literal(&rest[..start]), Piece::Variable(name)]);
        }
        rest = &rest[start + length + 1..];
    }
    pieces.push(Piece::Literal(rest));
    Ok(pieces)
}

/// The variables that a function itself brings.
type Own<'a> = Option<&'a Map<String, Value>>;

/// The text, and the variables that the function itself brings.
pub(crate) fn arguments(argument: &Value) -> Result<(&str, Own<'_>), TemplateError> {
    match argument {
        Value::String(source) => Ok((source, None)),
        Value::Array(parts) => match parts.as_slice() {
            [Value::String(source), Value::Object(variables)] => Ok((source, Some(variables))),
            [Value::String(source)] => Ok((source, None)),
            _ => Err(TemplateError::argument("Fn::Sub")),
        },
        _ => Err(TemplateError::argument("Fn::Sub")),
    }
}

/// What the function gives.
pub(super) fn substitute(at: &Evaluator<'_>, argument: &Value) -> Result<Value, TemplateError> {
    let (source, variables) = arguments(argument)?;
    let mut result = String::with_capacity(source.len());
    for piece in pieces(source)? {
        match piece {
            Piece::Literal(literal) => result.push_str(literal),
            Piece::Variable(name) => {
                let value = match variables.and_then(|variables| variables.get(name)) {
                    Some(own) => at.value(own)?,
                    None => match name.split_once('.') {
                        Some((resource, attribute)) => Some(at.attribute(resource, attribute)?),
                        None => at.reference(name)?,
                    },
                };
                let value = value.as_ref().and_then(text).ok_or_else(|| TemplateError::sub_value(name))?;
                result.push_str(&value);
            }
        }
    }
    at.spend(result.len())?;
    Ok(Value::String(result))
}
