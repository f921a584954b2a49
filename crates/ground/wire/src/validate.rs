//! What a model demands of a request, checked on the tree before it is bound.
//!
//! Invariants:
//! - All violations are found; how many of them the client is told is the service's [`Violations`] style.
//! - After this has passed, binding can't fail for a lack of members.

use std::fmt::Write as _;

use crate::error::ApiError;
use crate::node::Node;
use crate::schema::{Member, Shape, Structure, Violations};

/// How many violations an answer names; the rest is counted only. (AWS cuts its text somewhere too.)
const NAMED_MAX: usize = 10;

/// Refuses a tree that breaks its schema, in the service's own words.
pub fn check(style: Violations, structure: &'static Structure, node: &Node<'_>) -> Result<(), ApiError> {
    let mut checker = Checker { style, path: String::new(), found: Vec::new(), count: 0 };
    checker.structure(structure, node);
    let Some(first) = checker.found.first() else { return Ok(()) };
    Err(match style {
        Violations::Parameter => ApiError::sender(
            "MissingRequiredParameterException",
            format!("The request must contain the parameter {first}."),
        )
        .with_query_code("MissingParameter"),
        Violations::Ec2 => {
            ApiError::sender("MissingParameter", format!("The request must contain the parameter {first}"))
        }
        Violations::Constraint | Violations::Exception => {
            let noun = if checker.count == 1 { "error" } else { "errors" };
            let sentences = checker.found.join("; ");
            let code = if style == Violations::Exception { "ValidationException" } else { "ValidationError" };
            ApiError::sender(code, format!("{} validation {noun} detected: {sentences}", checker.count))
        }
        Violations::Invalid => ApiError::sender("InvalidParameterException", first.clone()),
    })
}

struct Checker {
    style: Violations,
    /// Where we are, in the style's own spelling.
    path: String,
    /// For `Parameter` and `Ec2` the paths of what is missing, for the others sentences.
    found: Vec<String>,
    count: usize,
}

impl Checker {
    fn structure(&mut self, structure: &'static Structure, node: &Node<'_>) {
        let Node::Structure(slots) = node else { return };
        for (member, slot) in structure.members.iter().zip(slots) {
            let outer = self.path.len();
            self.enter(member);
            match slot {
                Some(node) => self.member(member, node),
                None if member.required => self.missing(),
                None => {}
            }
            self.path.truncate(outer);
        }
    }

    fn member(&mut self, member: &'static Member, node: &Node<'_>) {
        if !matches!(self.style, Violations::Parameter | Violations::Ec2) {
            self.limits(member, node);
        }
        self.value(&member.shape, node);
    }

    fn value(&mut self, shape: &Shape, node: &Node<'_>) {
        match (shape, node) {
            (Shape::Structure(structure), node) => self.structure(structure, node),
            (Shape::List(list), Node::List(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.at_number(list.item_name, index + 1, |checker| checker.value(&list.item, item));
                }
            }
            (Shape::Map(map), Node::Map(pairs)) => {
                for (index, (key, value)) in pairs.iter().enumerate() {
                    self.at_pair(map, index + 1, key, |checker| checker.value(&map.value, value));
                }
            }
            _ => {}
        }
    }

    /// `Entry.1` for Query's names, `entries.1.member` for constraints.
    fn at_number(&mut self, item_name: Option<&str>, number: usize, check: impl FnOnce(&mut Self)) {
        let outer = self.path.len();
        match (self.style, item_name) {
            (Violations::Parameter, Some(name)) => _ = write!(self.path, ".{name}.{number}"),
            (Violations::Parameter, None) | (Violations::Ec2, _) => _ = write!(self.path, ".{number}"),
            (Violations::Constraint | Violations::Exception | Violations::Invalid, _) => {
                _ = write!(self.path, ".{number}.member")
            }
        }
        check(self);
        self.path.truncate(outer);
    }

    /// `Attribute.1.Value` for Query's names, `attributes.KEY.member` for constraints.
    fn at_pair(&mut self, map: &crate::schema::Map, number: usize, key: &str, check: impl FnOnce(&mut Self)) {
        let outer = self.path.len();
        match (self.style, map.entry_name) {
            (Violations::Parameter, Some(name)) => _ = write!(self.path, ".{name}.{number}.{}", map.value_name),
            (Violations::Parameter, None) | (Violations::Ec2, _) => {
                _ = write!(self.path, ".{number}.{}", map.value_name)
            }
            (Violations::Constraint | Violations::Exception | Violations::Invalid, _) => {
                _ = write!(self.path, ".{key}.member")
            }
        }
        check(self);
        self.path.truncate(outer);
    }

    fn enter(&mut self, member: &'static Member) {
        if !self.path.is_empty() {
            self.path.push('.');
        }
        match self.style {
            Violations::Parameter | Violations::Ec2 => self.path.push_str(member.query_name),
            // Java's way to write a member, which is how AWS's framework names it: stackName.
            Violations::Constraint | Violations::Exception | Violations::Invalid => {
                let mut letters = member.name.chars();
                self.path.extend(letters.next().map(|first| first.to_ascii_lowercase()));
                self.path.push_str(letters.as_str());
            }
        }
    }

    fn missing(&mut self) {
        match self.style {
            Violations::Parameter | Violations::Ec2 => self.add(self.path.clone()),
            Violations::Constraint | Violations::Exception | Violations::Invalid => {
                self.broken("null", "Member must not be null")
            }
        }
    }

    fn limits(&mut self, member: &'static Member, node: &Node<'_>) {
        let limits = &member.limits;
        let (measure, what) = match node {
            Node::String(text) => (text.chars().count() as i64, "length"),
            Node::Blob(bytes) => (bytes.len() as i64, "length"),
            Node::List(items) => (items.len() as i64, "length"),
            Node::Map(pairs) => (pairs.len() as i64, "length"),
            Node::Integer(number) => (*number, "value"),
            _ => return,
        };
        let shown = match node {
            _ if member.sensitive => "***".to_owned(),
            Node::String(text) => text.chars().take(200).collect(),
            Node::Integer(number) => number.to_string(),
            _ => "[…]".to_owned(),
        };
        if let Some(min) = limits.min.filter(|min| measure < *min) {
            self.broken(&format!("'{shown}'"), &format!("Member must have {what} greater than or equal to {min}"));
        }
        if let Some(max) = limits.max.filter(|max| measure > *max) {
            self.broken(&format!("'{shown}'"), &format!("Member must have {what} less than or equal to {max}"));
        }
        if let Node::String(text) = node
            && !limits.values.is_empty()
            && !limits.values.contains(&text.as_ref())
        {
            let values = limits.values.join(", ");
            self.broken(&format!("'{shown}'"), &format!("Member must satisfy enum value set: [{values}]"));
        }
    }

    fn broken(&mut self, value: &str, constraint: &str) {
        self.add(match self.style {
            Violations::Invalid => {
                format!("Invalid parameter at '{}' failed to satisfy constraint: '{constraint}'", self.path)
            }
            _ => format!("Value {value} at '{}' failed to satisfy constraint: {constraint}", self.path),
        });
    }

    fn add(&mut self, violation: String) {
        self.count += 1;
        if self.found.len() < NAMED_MAX {
            self.found.push(violation);
        }
    }
}

#[cfg(test)]
mod tests;
