//! From a form's fields to a tree.
//!
//! Invariants:
//! - Work is linear in the fields, once for each level of the schema: a field is sorted into its member, item or pair
//!   and loses one step of its path.
//! - Items come in the order of their numbers, whatever numbers the client chose.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::form::{FormError, fields};
use crate::node::{Budget, DEPTH_MAX, Node, TooManyValues};
use crate::schema::{Dialect, List, Map, Shape, Structure};
use crate::value::EpochMs;

/// Why a form doesn't fit its schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Form(#[from] FormError),
    #[error(transparent)]
    TooMany(#[from] TooManyValues),
    #[error("the form is nested too deeply")]
    TooDeep,
    #[error("Unexpected complex element termination")]
    NotScalar,
    #[error("Unexpected list element termination")]
    NotComplex,
    #[error("{0} is not a valid number of a list element")]
    Index(String),
    #[error("{value} is not a valid {wanted}")]
    Value { value: String, wanted: &'static str },
    #[error("The parameter {0} is not recognized")]
    Unknown(String),
}

/// A field and what is left of its path.
type Field<'k, 'a> = (&'k str, Cow<'a, str>);

/// Reads the whole form.
pub(super) fn parse<'a>(dialect: Dialect, root: &'static Structure, form: &'a [u8]) -> Result<Node<'a>, Refusal> {
    let mut names = Vec::new();
    let mut values = Vec::new();
    for pair in fields(form) {
        let (name, value) = pair?;
        names.push(name);
        values.push(value);
    }
    let fields = names.iter().map(Cow::as_ref).zip(values);
    let fields = match dialect {
        Dialect::Aws => fields.collect(),
        Dialect::Ec2 => fields.filter(|(name, _)| !is_common(name)).collect(),
    };
    Reader { dialect, budget: Budget::new(), depth: 0 }.structure(root, fields)
}

/// Parameters that are not the operation's: what it is called, and signatures of either version.
fn is_common(name: &str) -> bool {
    const NAMES: [&str; 10] = [
        "Action",
        "Version",
        "AWSAccessKeyId",
        "Signature",
        "SignatureMethod",
        "SignatureVersion",
        "Timestamp",
        "Expires",
        "SecurityToken",
        "",
    ];
    NAMES.contains(&name) || name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("X-Amz-"))
}

struct Reader {
    dialect: Dialect,
    budget: Budget,
    depth: usize,
}

impl Reader {
    fn value<'a>(&mut self, shape: &Shape, fields: Vec<Field<'_, 'a>>) -> Result<Node<'a>, Refusal> {
        if self.depth == DEPTH_MAX {
            return Err(Refusal::TooDeep);
        }
        self.depth += 1;
        let node = self.value_here(shape, fields);
        self.depth -= 1;
        node
    }

    fn value_here<'a>(&mut self, shape: &Shape, fields: Vec<Field<'_, 'a>>) -> Result<Node<'a>, Refusal> {
        match shape {
            Shape::Structure(shape) => {
                if fields.iter().any(|(path, text)| path.is_empty() && !text.is_empty()) {
                    return Err(Refusal::NotComplex);
                }
                self.structure(shape, fields)
            }
            Shape::List(shape) => self.list(shape, fields),
            Shape::Map(shape) => self.map(shape, fields),
            _ => scalar(shape, fields),
        }
    }

    fn structure<'a>(
        &mut self,
        structure: &'static Structure,
        fields: Vec<Field<'_, 'a>>,
    ) -> Result<Node<'a>, Refusal> {
        self.budget.spend(structure.members.len())?;
        let mut sorted: Vec<Vec<Field<'_, 'a>>> = structure.members.iter().map(|_| Vec::new()).collect();
        for (path, text) in fields {
            let (step, rest) = first_step(path);
            if let Some(index) = structure.members.iter().position(|member| member.query_name == step) {
                sorted[index].push((rest, text));
            } else if self.dialect == Dialect::Ec2 && !step.is_empty() {
                return Err(Refusal::Unknown(path.chars().take(100).collect()));
            }
        }
        let mut slots = Vec::with_capacity(sorted.len());
        for (member, fields) in structure.members.iter().zip(sorted) {
            slots.push(if fields.is_empty() { None } else { Some(self.value(&member.shape, fields)?) });
        }
        Ok(Node::Structure(slots))
    }

    fn list<'a>(&mut self, list: &'static List, fields: Vec<Field<'_, 'a>>) -> Result<Node<'a>, Refusal> {
        let fields = match self.dialect {
            Dialect::Aws => inside(list.item_name, fields),
            Dialect::Ec2 => fields,
        };
        let mut items = Vec::new();
        for fields in numbered(fields, |_| false)?.into_values() {
            self.budget.spend(1)?;
            items.push(self.value(&list.item, fields)?);
        }
        Ok(Node::List(items))
    }

    fn map<'a>(&mut self, map: &'static Map, fields: Vec<Field<'_, 'a>>) -> Result<Node<'a>, Refusal> {
        let fields = inside(map.entry_name, fields);
        let is_part = |step: &str| step == map.key_name || step == map.value_name;
        let mut pairs = BTreeMap::new();
        for fields in numbered(fields, is_part)?.into_values() {
            let mut key = None;
            let mut of_value = Vec::new();
            for (path, text) in fields {
                let (step, rest) = first_step(path);
                if step == map.key_name && rest.is_empty() {
                    key = Some(text);
                } else if step == map.value_name {
                    of_value.push((rest, text));
                }
            }
            let (Some(key), false) = (key, of_value.is_empty()) else {
                return Err(Refusal::NotScalar);
            };
            self.budget.spend(1)?;
            pairs.insert(key, self.value(&map.value, of_value)?);
        }
        Ok(Node::Map(pairs))
    }
}

/// Takes the step off that a list or map which isn't flat has around its items (`member`, `entry`). A field without
/// path is the list itself, which stays.
fn inside<'k, 'a>(around: Option<&str>, fields: Vec<Field<'k, 'a>>) -> Vec<Field<'k, 'a>> {
    let Some(around) = around else { return fields };
    let step_in = |(path, text): Field<'k, 'a>| {
        let (step, rest) = first_step(path);
        (path.is_empty() || step == around).then_some((rest, text))
    };
    fields.into_iter().filter_map(step_in).collect()
}

/// Sorts fields by the number that their path begins with. One without a number is a list of one item, as AWS's own
/// old examples write it (`Attribute.Name=…&Attribute.Value=…`, `AttributeName=All`); an empty text is the empty list.
fn numbered<'k, 'a>(
    fields: Vec<Field<'k, 'a>>,
    is_part: impl Fn(&str) -> bool,
) -> Result<BTreeMap<u32, Vec<Field<'k, 'a>>>, Refusal> {
    let mut items: BTreeMap<u32, Vec<Field<'k, 'a>>> = BTreeMap::new();
    for (path, text) in fields {
        let (step, rest) = first_step(path);
        let (number, rest) = if path.is_empty() {
            if text.is_empty() {
                continue;
            }
            (1, path)
        } else if is_part(step) {
            (1, path)
        } else {
            // `parse` alone would let a plus sign through.
            let digits = step.bytes().all(|byte| byte.is_ascii_digit());
            let number = step.parse().ok().filter(|_| digits);
            (number.ok_or_else(|| Refusal::Index(step.to_owned()))?, rest)
        };
        items.entry(number).or_default().push((rest, text));
    }
    Ok(items)
}

fn scalar<'a>(shape: &Shape, fields: Vec<Field<'_, 'a>>) -> Result<Node<'a>, Refusal> {
    let mut last = None;
    for (path, text) in fields {
        if !path.is_empty() {
            return Err(Refusal::NotScalar);
        }
        last = Some(text);
    }
    let text = last.ok_or(Refusal::NotScalar)?;
    let invalid = |wanted: &'static str| Refusal::Value { value: text.chars().take(100).collect(), wanted };
    match shape {
        Shape::Integer => text.parse::<i32>().map(|n| Node::Integer(n.into())).map_err(|_| invalid("integer")),
        Shape::Long => text.parse().map(Node::Integer).map_err(|_| invalid("integer")),
        Shape::Double => text.parse().map(Node::Double).map_err(|_| invalid("number")),
        Shape::Boolean if text.eq_ignore_ascii_case("true") => Ok(Node::Boolean(true)),
        Shape::Boolean if text.eq_ignore_ascii_case("false") => Ok(Node::Boolean(false)),
        Shape::Boolean => Err(invalid("boolean")),
        Shape::Blob => STANDARD.decode(text.as_bytes()).map(|b| Node::Blob(b.into())).map_err(|_| invalid("base64")),
        Shape::Timestamp => match OffsetDateTime::parse(&text, &Rfc3339) {
            // A moment of the years 0 to 9999 in milliseconds fits by far.
            Ok(moment) => Ok(Node::Timestamp(EpochMs((moment.unix_timestamp_nanos() / 1_000_000) as i64))),
            Err(_) => Err(invalid("timestamp")),
        },
        Shape::String => Ok(Node::String(text)),
        Shape::Structure(_) | Shape::List(_) | Shape::Map(_) => Err(Refusal::NotComplex),
    }
}

/// `Entry.1.Id` to `Entry` and `1.Id`.
fn first_step(path: &str) -> (&str, &str) {
    path.split_once('.').unwrap_or((path, ""))
}
