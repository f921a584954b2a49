//! The intrinsic functions, one after the other.
//!
//! Invariant: a function's arguments may be functions wherever AWS lets them be; what comes out is checked where it is
//! used.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::error::TemplateError;
use super::evaluate::Evaluator;
use super::{cidr, conditions, sub, text};

/// The functions that may stand in a value.
pub(crate) const VALUE_FUNCTIONS: [&str; 16] = [
    "Fn::Base64",
    "Fn::GetAtt",
    "Fn::GetAZs",
    "Fn::ImportValue",
    "Fn::Join",
    "Fn::Split",
    "Fn::FindInMap",
    "Fn::Select",
    "Ref",
    "Fn::If",
    "Fn::Sub",
    "Fn::Cidr",
    "Fn::Length",
    "Fn::ToJsonString",
    "Fn::Transform",
    "Fn::ForEach",
];
/// The functions that make a condition.
pub(crate) const CONDITION_FUNCTIONS: [&str; 4] = ["Fn::And", "Fn::Equals", "Fn::Not", "Fn::Or"];

type Evaluated = Result<Option<Value>, TemplateError>;

/// Calls a function; `None` is `AWS::NoValue`.
pub(super) fn call(at: &Evaluator<'_>, name: &str, argument: &Value) -> Evaluated {
    match name {
        "Ref" => match argument {
            Value::String(name) => at.reference(name),
            _ => Err(TemplateError::argument("Ref")),
        },
        "Fn::GetAtt" => get_att(at, argument).map(Some),
        "Fn::Base64" => base64(at, argument).map(Some),
        "Fn::Cidr" => cidr(at, argument).map(Some),
        "Fn::FindInMap" => find_in_map(at, argument).map(Some),
        "Fn::GetAZs" => get_azs(at, argument).map(Some),
        "Fn::If" => conditional(at, argument),
        "Fn::ImportValue" => import(at, argument).map(Some),
        "Fn::Join" => join(at, argument).map(Some),
        "Fn::Select" => select(at, argument).map(Some),
        "Fn::Split" => split(at, argument).map(Some),
        "Fn::Sub" => sub::substitute(at, argument).map(Some),
        "Fn::Length" | "Fn::ToJsonString" if !at.template.is_extended() => {
            Err(TemplateError::needs_language_extensions(name))
        }
        "Fn::Length" => length(at, argument).map(Some),
        "Fn::ToJsonString" => to_json(at, argument).map(Some),
        "Fn::Transform" => Err(TemplateError::argument("Fn::Transform")),
        // A condition's function as a value: AWS lets it be where it stands inside Fn::If alone.
        name if CONDITION_FUNCTIONS.contains(&name) => {
            conditions::evaluate(at, &Value::Object([(name.to_owned(), argument.clone())].into_iter().collect()))
                .map(|truth| Some(Value::String(truth.to_string())))
        }
        other => Err(unsupported(other)),
    }
}

/// A function that nobody knows.
pub(super) fn unsupported(name: &str) -> TemplateError {
    let known: Vec<&str> = VALUE_FUNCTIONS.iter().chain(&CONDITION_FUNCTIONS).copied().collect();
    TemplateError::unknown_function(name, &known)
}

/// The items of a list that may be written as such or made by a function.
fn list(at: &Evaluator<'_>, value: &Value) -> Result<Option<Vec<Value>>, TemplateError> {
    match at.value(value)? {
        Some(Value::Array(items)) => Ok(Some(items)),
        _ => Ok(None),
    }
}

/// Resource and attribute, each text; the attribute may be a `Ref` to a parameter.
pub(super) fn get_att_names(argument: &Value) -> Option<(&str, &Value)> {
    match argument {
        Value::Array(parts) => match parts.as_slice() {
            [Value::String(resource), attribute] if !resource.is_empty() => Some((resource, attribute)),
            _ => None,
        },
        _ => None,
    }
}

fn get_att(at: &Evaluator<'_>, argument: &Value) -> Result<Value, TemplateError> {
    let refused = || TemplateError::argument("Fn::GetAtt");
    // JSON's short form: "Resource.Attribute".
    if let Value::String(path) = argument {
        let (resource, attribute) = path.split_once('.').ok_or_else(refused)?;
        return at.attribute(resource, attribute);
    }
    let (resource, attribute) = get_att_names(argument).ok_or_else(refused)?;
    let attribute = at.text(attribute)?.filter(|name| !name.is_empty()).ok_or_else(refused)?;
    at.attribute(resource, &attribute)
}

fn base64(at: &Evaluator<'_>, argument: &Value) -> Result<Value, TemplateError> {
    let text = at.text(argument)?.ok_or_else(|| TemplateError::argument("Fn::Base64"))?;
    let encoded = STANDARD.encode(text);
    at.spend(encoded.len())?;
    Ok(Value::String(encoded))
}

fn cidr(at: &Evaluator<'_>, argument: &Value) -> Result<Value, TemplateError> {
    let refused = || TemplateError::argument("Fn::Cidr");
    let parts = list(at, argument)?.ok_or_else(refused)?;
    let texts: Vec<String> = parts.iter().map(text).collect::<Option<_>>().ok_or_else(refused)?;
    let (block, count, bits) = match texts.as_slice() {
        [block, count] => (block, count, None),
        [block, count, bits] => (block, count, Some(bits)),
        _ => return Err(refused()),
    };
    let number = |text: &String| text.trim().parse::<u32>().map_err(|_| refused());
    let blocks = cidr::blocks(block, number(count)?, bits.map(number).transpose()?)
        .map_err(|what| TemplateError::cidr(&what))?;
    Ok(Value::from(blocks))
}

fn find_in_map(at: &Evaluator<'_>, argument: &Value) -> Result<Value, TemplateError> {
    let refused = || TemplateError::argument("Fn::FindInMap");
    let Value::Array(parts) = argument else { return Err(refused()) };
    let (names, default) = match parts.as_slice() {
        [a, b, c] => ([a, b, c], None),
        [a, b, c, options] => {
            let default = options.as_object().filter(|options| options.len() == 1).and_then(|o| o.get("DefaultValue"));
            if !at.template.is_extended() {
                return Err(TemplateError::needs_language_extensions("Fn::FindInMap with DefaultValue"));
            }
            ([a, b, c], Some(default.ok_or_else(refused)?))
        }
        _ => return Err(refused()),
    };
    let mut found = Vec::with_capacity(3);
    for name in names {
        found.push(at.text(name)?.ok_or_else(refused)?);
    }
    let (map, key, attribute) = (&found[0], &found[1], &found[2]);
    let missing = match at.template.mappings.get(map) {
        Some(mapping) => match mapping.get(key).and_then(|attributes| attributes.get(attribute)) {
            Some(value) => return Ok(value.clone()),
            None => TemplateError::mapping_key(map, key, attribute),
        },
        None => TemplateError::unknown_mapping(map),
    };
    match default {
        Some(default) => at.value(default)?.ok_or_else(refused),
        None => Err(missing),
    }
}

fn get_azs(at: &Evaluator<'_>, argument: &Value) -> Result<Value, TemplateError> {
    let region = at.text(argument)?.ok_or_else(|| TemplateError::argument("Fn::GetAZs"))?;
    let region = if region.is_empty() { &at.pseudo.region } else { &region };
    at.world.zones(region).map(Value::from).ok_or_else(|| TemplateError::no_zones(region))
}

fn conditional(at: &Evaluator<'_>, argument: &Value) -> Evaluated {
    let Value::Array(parts) = argument else { return Err(TemplateError::argument("Fn::If")) };
    let [condition, when_true, when_false] = parts.as_slice() else { return Err(TemplateError::argument("Fn::If")) };
    let Value::String(name) = condition else { return Err(TemplateError::argument("Fn::If condition")) };
    let Some(holds) = at.conditions.get(name) else {
        return Err(TemplateError::unresolved_condition(name, "Resources"));
    };
    at.value(if *holds { when_true } else { when_false })
}

fn import(at: &Evaluator<'_>, argument: &Value) -> Result<Value, TemplateError> {
    let name = at.text(argument)?.ok_or_else(|| TemplateError::argument("Fn::ImportValue"))?;
    at.world.export(&name).map(Value::String).ok_or_else(|| TemplateError::no_export(&name))
}

fn join(at: &Evaluator<'_>, argument: &Value) -> Result<Value, TemplateError> {
    let refused = || TemplateError::argument("Fn::Join");
    let Value::Array(parts) = argument else { return Err(refused()) };
    let [Value::String(delimiter), items] = parts.as_slice() else { return Err(refused()) };
    let items = list(at, items)?.ok_or_else(refused)?;
    let texts: Vec<String> = items.iter().map(text).collect::<Option<_>>().ok_or_else(refused)?;
    let joined = texts.join(delimiter);
    at.spend(joined.len())?;
    Ok(Value::String(joined))
}

fn select(at: &Evaluator<'_>, argument: &Value) -> Result<Value, TemplateError> {
    let refused = || TemplateError::argument("Fn::Select");
    let Value::Array(parts) = argument else { return Err(refused()) };
    let [index, items] = parts.as_slice() else { return Err(refused()) };
    let index = at.text(index)?.and_then(|text| text.trim().parse::<i64>().ok());
    let index = index.ok_or_else(|| TemplateError::argument("Fn::Select index"))?;
    // Evaluated one by one: an item that is AWS::NoValue keeps its place, and must not be the one that is selected.
    let selected = match items {
        Value::Array(items) => match usize::try_from(index).ok().and_then(|index| items.get(index)) {
            Some(item) => Some(at.value(item)?.ok_or_else(|| TemplateError::select_null(index))?),
            None => None,
        },
        function => {
            let items = list(at, function)?.ok_or_else(refused)?;
            usize::try_from(index).ok().and_then(|index| items.into_iter().nth(index))
        }
    };
    selected.ok_or_else(|| TemplateError::select_index(index))
}

fn split(at: &Evaluator<'_>, argument: &Value) -> Result<Value, TemplateError> {
    let refused = || TemplateError::argument("Fn::Split");
    let Value::Array(parts) = argument else { return Err(refused()) };
    let [Value::String(delimiter), source] = parts.as_slice() else { return Err(refused()) };
    let source = at.text(source)?.filter(|_| !delimiter.is_empty()).ok_or_else(refused)?;
    Ok(source.split(delimiter.as_str()).map(Value::from).collect())
}

fn length(at: &Evaluator<'_>, argument: &Value) -> Result<Value, TemplateError> {
    let items = list(at, argument)?.ok_or_else(|| TemplateError::argument("Fn::Length"))?;
    Ok(Value::from(items.len()))
}

fn to_json(at: &Evaluator<'_>, argument: &Value) -> Result<Value, TemplateError> {
    let refused = || TemplateError::argument("Fn::ToJsonString");
    let value = at.value(argument)?.filter(|value| value.is_array() || value.is_object()).ok_or_else(refused)?;
    let json = value.to_string();
    at.spend(json.len())?;
    Ok(Value::String(json))
}
