//! JSON as a tree that keeps order and duplicates, so that the parser can refuse the latter with their place.
//!
//! Invariant: depth is bounded by serde_json's recursion limit, size by the text.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::error::{PolicyError, Problem};

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    /// As JSON would print it.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    pub(crate) fn parse(text: &str) -> Result<Self, PolicyError> {
        serde_json::from_str(text).map_err(|error| {
            PolicyError::new(Problem::NotJson, format!("line {} column {}", error.line(), error.column()))
        })
    }

    /// The members of an object, no name twice.
    pub(crate) fn members(&self, place: &str) -> Result<&[(String, Node)], PolicyError> {
        let Node::Object(members) = self else {
            return Err(PolicyError::new(Problem::WrongType, place));
        };
        let mut seen = BTreeSet::new();
        match members.iter().find(|(name, _)| !seen.insert(name.as_str())) {
            Some((name, _)) => Err(PolicyError::new(Problem::DuplicateField(name.clone()), place)),
            None => Ok(members),
        }
    }

    pub(crate) fn text(&self, place: &str) -> Result<&str, PolicyError> {
        match self {
            Node::Text(text) => Ok(text),
            _ => Err(PolicyError::new(Problem::WrongType, place)),
        }
    }

    /// One value, or a list of them: the language allows either nearly everywhere.
    pub(crate) fn one_or_many(&self) -> &[Node] {
        match self {
            Node::List(nodes) => nodes,
            one => std::slice::from_ref(one),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = access.next_element()? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = access.next_entry()? {
            members.push(member);
        }
        Ok(Node::Object(members))
    }
}
