//! Parameters: their types and constraints, and the values that a request gives them.
//!
//! Invariants:
//! - A value that comes out of [`resolve`] keeps every constraint that can be checked without asking anybody.
//! - A value of a NoEcho parameter stands in no sentence.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::error::TemplateError;
use super::text;

/// How many steps back a pattern may take before it is given up: patterns come from templates.
const BACKTRACKS_MAX: usize = 100_000;
/// AWS's limit on a value.
const VALUE_BYTES_MAX: usize = 4096;

/// A parameter as the template declares it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameter {
    /// `Type`, as written.
    pub kind: String,
    /// `Default`.
    pub default: Option<String>,
    /// `Description`.
    pub description: Option<String>,
    /// `NoEcho`.
    pub no_echo: bool,
    /// `AllowedValues`; empty for any.
    pub allowed_values: Vec<String>,
    /// `AllowedPattern`.
    pub allowed_pattern: Option<String>,
    /// `ConstraintDescription`.
    pub constraint_description: Option<String>,
    /// `MinLength`.
    pub min_length: Option<u64>,
    /// `MaxLength`.
    pub max_length: Option<u64>,
    /// `MinValue`.
    pub min_value: Option<f64>,
    /// `MaxValue`.
    pub max_value: Option<f64>,
}

/// The AWS-specific types whose values must exist.
pub const AWS_TYPES: [&str; 9] = [
    "AWS::EC2::AvailabilityZone::Name",
    "AWS::EC2::Image::Id",
    "AWS::EC2::Instance::Id",
    "AWS::EC2::KeyPair::KeyName",
    "AWS::EC2::SecurityGroup::GroupName",
    "AWS::EC2::SecurityGroup::Id",
    "AWS::EC2::Subnet::Id",
    "AWS::EC2::Volume::Id",
    "AWS::EC2::VPC::Id",
];
/// A type of AWS's that names a hosted zone, which nobody here has: taken as text.
const UNCHECKED_TYPES: [&str; 1] = ["AWS::Route53::HostedZone::Id"];

/// What a parameter's type says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// Text.
    Text,
    /// A number.
    Number,
    /// Items with commas between them.
    List(Item<'a>),
    /// The name of something in the account.
    Aws(&'a str),
    /// The name of an SSM parameter, which must exist.
    SsmName,
    /// The name of an SSM parameter, whose value counts; what the value must be.
    SsmValue(Box<Kind<'a>>),
}

/// What a list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// Text.
    Text,
    /// Numbers.
    Number,
    /// Names of something in the account.
    Aws(&'a str),
}

impl Kind<'_> {
    /// Whether the value is a list.
    pub fn is_list(&self) -> bool {
        match self {
            Self::List(_) => true,
            Self::SsmValue(inner) => inner.is_list(),
            _ => false,
        }
    }
}

/// The meaning of a type's name.
pub fn kind(name: &str) -> Option<Kind<'_>> {
    let of_account = |name: &str| AWS_TYPES.contains(&name);
    if let Some(inner) = name.strip_prefix("AWS::SSM::Parameter::Value<").and_then(|rest| rest.strip_suffix('>')) {
        let inner = kind(inner).filter(|inner| !matches!(inner, Kind::SsmName | Kind::SsmValue(_) | Kind::Number))?;
        return Some(Kind::SsmValue(Box::new(inner)));
    }
    if let Some(item) = name.strip_prefix("List<").and_then(|rest| rest.strip_suffix('>')) {
        return match item {
            "Number" => Some(Kind::List(Item::Number)),
            "String" => Some(Kind::List(Item::Text)),
            item if of_account(item) => Some(Kind::List(Item::Aws(item))),
            item if UNCHECKED_TYPES.contains(&item) => Some(Kind::List(Item::Text)),
            _ => None,
        };
    }
    match name {
        "String" => Some(Kind::Text),
        "Number" => Some(Kind::Number),
        "CommaDelimitedList" => Some(Kind::List(Item::Text)),
        "AWS::SSM::Parameter::Name" => Some(Kind::SsmName),
        name if of_account(name) => Some(Kind::Aws(name)),
        name if UNCHECKED_TYPES.contains(&name) => Some(Kind::Text),
        _ => None,
    }
}

/// A parameter out of the template, its default held against its own constraints.
pub(crate) fn read(name: &str, parameter: Value) -> Result<Parameter, TemplateError> {
    let place = format!("/Parameters/{name}");
    let Value::Object(members) = parameter else { return Err(TemplateError::must_be(&place, "an object")) };
    if !members.contains_key("Type") {
        return Err(TemplateError::member_without("Parameters", name, "Type"));
    }
    let read = members_of(&place, members)?;
    let Some(kind) = kind(&read.kind) else { return Err(TemplateError::unknown_parameter_type(&read.kind)) };
    if let Some(pattern) = &read.allowed_pattern {
        compile(pattern).ok_or_else(|| TemplateError::bad_pattern(name))?;
    }
    // The default of an SSM type is a name; the constraints are for the value behind it.
    if let Some(default) = &read.default
        && !matches!(kind, Kind::SsmValue(_))
        && let Err(rule) = read.check(&kind, default)
    {
        return Err(TemplateError::default_breaks_constraint(name, &rule));
    }
    Ok(read)
}

fn members_of(place: &str, members: Map<String, Value>) -> Result<Parameter, TemplateError> {
    let mut read = Parameter::default();
    for (member, value) in members {
        let at = format!("{place}/{member}");
        let scalar = |value: &Value| text(value).ok_or_else(|| TemplateError::must_be(&at, "a string"));
        let number = |value: &Value| {
            let number =
                text(value).and_then(|text| text.trim().parse::<f64>().ok()).filter(|number| number.is_finite());
            number.ok_or_else(|| TemplateError::must_be(&at, "a number"))
        };
        let length = |value: &Value| {
            let length = text(value).and_then(|text| text.trim().parse::<u64>().ok());
            length.ok_or_else(|| TemplateError::must_be(&at, "a whole number"))
        };
        match member.as_str() {
            "Type" => read.kind = scalar(&value)?,
            "Default" => read.default = Some(scalar(&value)?),
            "Description" => read.description = Some(scalar(&value)?),
            "NoEcho" => read.no_echo = scalar(&value)?.eq_ignore_ascii_case("true"),
            "AllowedValues" => {
                let Value::Array(values) = &value else { return Err(TemplateError::must_be(&at, "a list")) };
                read.allowed_values = values.iter().map(scalar).collect::<Result<_, _>>()?;
            }
            "AllowedPattern" => read.allowed_pattern = Some(scalar(&value)?),
            "ConstraintDescription" => read.constraint_description = Some(scalar(&value)?),
            "MinLength" => read.min_length = Some(length(&value)?),
            "MaxLength" => read.max_length = Some(length(&value)?),
            "MinValue" => read.min_value = Some(number(&value)?),
            "MaxValue" => read.max_value = Some(number(&value)?),
            _ => return Err(TemplateError::unknown_member("Parameters", &member)),
        }
    }
    Ok(read)
}

/// A pattern that must fit a whole value.
fn compile(pattern: &str) -> Option<fancy_regex::Regex> {
    fancy_regex::RegexBuilder::new(&format!(r"\A(?:{pattern})\z")).backtrack_limit(BACKTRACKS_MAX).build().ok()
}

impl Parameter {
    /// Which of the constraints a value breaks, as AWS says it.
    pub fn check(&self, kind: &Kind<'_>, value: &str) -> Result<(), String> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(format!("must contain at most {VALUE_BYTES_MAX} characters"));
        }
        let is_number = matches!(kind, Kind::Number | Kind::List(Item::Number));
        let items: Vec<&str> = if kind.is_list() { items(value).collect() } else { vec![value] };
        for item in &items {
            if is_number {
                self.check_number(item)?;
            }
            let is_allowed = |allowed: &String| allowed == item || allowed == value;
            if !self.allowed_values.is_empty() && !self.allowed_values.iter().any(is_allowed) {
                return Err(format!("must be one of AllowedValues: [{}]", self.allowed_values.join(", ")));
            }
            if let Some(pattern) = &self.allowed_pattern
                && !compile(pattern).is_some_and(|regex| regex.is_match(item).unwrap_or(false))
            {
                return Err(format!("must match pattern {pattern}"));
            }
        }
        if is_number {
            return Ok(());
        }
        let characters = u64::try_from(value.chars().count()).unwrap_or(u64::MAX);
        match (self.min_length, self.max_length) {
            (Some(min), _) if characters < min => Err(format!("must contain at least {min} characters")),
            (_, Some(max)) if characters > max => Err(format!("must contain at most {max} characters")),
            _ => Ok(()),
        }
    }

    fn check_number(&self, item: &str) -> Result<(), String> {
        let Some(number) = item.trim().parse::<f64>().ok().filter(|number| number.is_finite()) else {
            return Err("must be a number".to_owned());
        };
        match (self.min_value, self.max_value) {
            (Some(min), _) if number < min => Err(format!("must be a number not less than {min}")),
            (_, Some(max)) if number > max => Err(format!("must be a number not greater than {max}")),
            _ => Ok(()),
        }
    }

    /// The constraint that a value breaks, as a refusal of the request.
    pub fn hold(&self, name: &str, kind: &Kind<'_>, value: &str) -> Result<(), TemplateError> {
        self.check(kind, value)
            .map_err(|rule| TemplateError::parameter(name, self.constraint_description.as_deref(), rule))
    }
}

/// What a request says of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// `ParameterValue`.
    pub value: Option<String>,
    /// `UsePreviousValue`.
    pub use_previous: bool,
}

/// The text of every declared parameter: given, previous or default, held against its constraints. Values of SSM types
/// are names still, and their constraints are checked when the value is known.
pub fn resolve(
    declared: &BTreeMap<String, Parameter>,
    given: &BTreeMap<String, Given>,
    previous: Option<&BTreeMap<String, String>>,
) -> Result<BTreeMap<String, String>, TemplateError> {
    let unknown: Vec<&str> = given.keys().map(String::as_str).filter(|name| !declared.contains_key(*name)).collect();
    if !unknown.is_empty() {
        return Err(TemplateError::parameters_unknown(&unknown));
    }
    let (mut values, mut missing) = (BTreeMap::new(), Vec::new());
    for (name, parameter) in declared {
        match choose(name, parameter, given.get(name), previous)? {
            Some(value) => {
                if let Some(kind) = kind(&parameter.kind)
                    && !matches!(kind, Kind::SsmValue(_))
                {
                    parameter.hold(name, &kind, &value)?;
                }
                values.insert(name.clone(), value);
            }
            None => missing.push(name.as_str()),
        }
    }
    if missing.is_empty() { Ok(values) } else { Err(TemplateError::parameters_missing(&missing)) }
}

fn choose(
    name: &str,
    parameter: &Parameter,
    given: Option<&Given>,
    previous: Option<&BTreeMap<String, String>>,
) -> Result<Option<String>, TemplateError> {
    match given {
        Some(Given { value: Some(value), use_previous: true }) if !value.is_empty() => {
            Err(TemplateError::value_and_previous(name))
        }
        Some(Given { use_previous: true, .. }) => {
            let value = previous.and_then(|values| values.get(name)).cloned();
            value.map(Some).ok_or_else(|| TemplateError::no_previous_value(name))
        }
        Some(Given { value: Some(value), .. }) => Ok(Some(value.clone())),
        Some(Given { value: None, .. }) | None => Ok(parameter.default.clone()),
    }
}

/// The items of a list, without the blanks around them.
pub fn items(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim)
}

/// A parameter's text as the value that `Ref` gives.
pub fn value_of(kind_name: &str, value: &str) -> Value {
    match kind(kind_name) {
        Some(kind) if kind.is_list() && value.is_empty() => Value::Array(Vec::new()),
        Some(kind) if kind.is_list() => Value::Array(items(value).map(Value::from).collect()),
        _ => Value::String(value.to_owned()),
    }
}

#[cfg(test)]
mod tests;
