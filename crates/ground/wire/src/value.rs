//! [`Value`]: what can be bound from a [`Node`] and written by a [`Writer`].
//!
//! Invariants:
//! - Binding a tree that its own schema parsed and validated succeeds; [`Unbound`] means that generated code and schema
//!   have come apart, and is answered as our fault.
//! - An empty list or map is read from nothing, and written as nothing (SQS leaves them out on every wire) unless its
//!   schema says that the service writes it.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::node::Node;
use crate::schema::{List, Member, Shape};

/// A moment, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EpochMs(pub i64);

/// A tree doesn't fit the type it should become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the parsed document does not fit its type")]
pub struct Unbound;

/// What stands in the place of a shape.
pub trait Value: Sized {
    /// Takes the value out of the tree.
    fn bind(node: Node<'_>) -> Result<Self, Unbound>;

    /// What stands for a member that the request didn't have.
    fn absent() -> Result<Self, Unbound> {
        Err(Unbound)
    }

    /// Whether the member is left out when written.
    fn is_absent(&self) -> bool {
        false
    }

    /// Hands the value to the writer. `shape` is the place's.
    fn write(&self, shape: &Shape, out: &mut dyn Writer);
}

/// A protocol's way to write. Calls come in the document's order: a [`Writer::member`], [`Writer::item`] or
/// [`Writer::key`] before each value inside something, and every `begin` has its `end`.
pub trait Writer {
    /// Names the member whose value comes next.
    fn member(&mut self, member: &'static Member);
    /// Begins a structure.
    fn begin_structure(&mut self);
    /// Ends the innermost structure.
    fn end_structure(&mut self);
    /// Begins a list.
    fn begin_list(&mut self, list: &'static crate::schema::List);
    /// The next item of the innermost list comes.
    fn item(&mut self);
    /// Ends the innermost list.
    fn end_list(&mut self);
    /// Begins a map.
    fn begin_map(&mut self, map: &'static crate::schema::Map);
    /// Begins a pair of the innermost map; its value comes next.
    fn key(&mut self, key: &str);
    /// Ends the pair.
    fn end_entry(&mut self);
    /// Ends the innermost map.
    fn end_map(&mut self);
    /// Writes text.
    fn string(&mut self, value: &str);
    /// Writes a whole number.
    fn integer(&mut self, value: i64);
    /// Writes a number.
    fn double(&mut self, value: f64);
    /// Writes a truth value.
    fn boolean(&mut self, value: bool);
    /// Writes bytes.
    fn blob(&mut self, value: &[u8]);
    /// Writes a moment.
    fn timestamp(&mut self, value: EpochMs);
}

/// A parsed structure's members, to be taken by index.
#[derive(Debug)]
pub struct Fields<'a>(Vec<Option<Node<'a>>>);

impl<'a> Fields<'a> {
    /// The members of a structure.
    pub fn of(node: Node<'a>) -> Result<Self, Unbound> {
        match node {
            Node::Structure(members) => Ok(Self(members)),
            _ => Err(Unbound),
        }
    }

    /// The value of the member with that index, which is then gone.
    pub fn take<T: Value>(&mut self, index: usize) -> Result<T, Unbound> {
        match self.0.get_mut(index).and_then(Option::take) {
            Some(node) => T::bind(node),
            None => T::absent(),
        }
    }
}

/// Writes a member unless it is absent.
pub fn write_member<T: Value>(out: &mut dyn Writer, member: &'static Member, value: &T) {
    // Codegen never makes an `Option` of a list: what is absent there is an empty one.
    let written_empty = matches!(member.shape, Shape::List(List { written_empty: true, .. }));
    if written_empty || !value.is_absent() {
        out.member(member);
        value.write(&member.shape, out);
    }
}

/// A value of one node kind.
macro_rules! scalar {
    ($type:ty, $node:pat => $bound:expr, ($value:ident, $out:ident) => $write:expr) => {
        impl Value for $type {
            fn bind(node: Node<'_>) -> Result<Self, Unbound> {
                match node {
                    $node => $bound,
                    _ => Err(Unbound),
                }
            }

            fn write(&self, _: &Shape, $out: &mut dyn Writer) {
                let $value = self;
                $write;
            }
        }
    };
}

scalar!(String, Node::String(text) => Ok(text.into_owned()), (value, out) => out.string(value));
scalar!(i32, Node::Integer(number) => number.try_into().map_err(|_| Unbound), (value, out) => out.integer((*value).into()));
scalar!(i64, Node::Integer(number) => Ok(number), (value, out) => out.integer(*value));
scalar!(f64, Node::Double(number) => Ok(number), (value, out) => out.double(*value));
scalar!(bool, Node::Boolean(truth) => Ok(truth), (value, out) => out.boolean(*value));
scalar!(Bytes, Node::Blob(bytes) => Ok(bytes), (value, out) => out.blob(value));
scalar!(EpochMs, Node::Timestamp(moment) => Ok(moment), (value, out) => out.timestamp(*value));

impl<T: Value> Value for Option<T> {
    fn bind(node: Node<'_>) -> Result<Self, Unbound> {
        T::bind(node).map(Some)
    }

    fn absent() -> Result<Self, Unbound> {
        Ok(None)
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }

    fn write(&self, shape: &Shape, out: &mut dyn Writer) {
        if let Some(value) = self {
            value.write(shape, out);
        }
    }
}

impl<T: Value> Value for Vec<T> {
    fn bind(node: Node<'_>) -> Result<Self, Unbound> {
        match node {
            Node::List(items) => items.into_iter().map(T::bind).collect(),
            _ => Err(Unbound),
        }
    }

    fn absent() -> Result<Self, Unbound> {
        Ok(Self::new())
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }

    fn write(&self, shape: &Shape, out: &mut dyn Writer) {
        // Codegen gives a `Vec` to lists only.
        let Shape::List(list) = shape else { return };
        out.begin_list(list);
        for value in self {
            out.item();
            value.write(&list.item, out);
        }
        out.end_list();
    }
}

impl<T: Value> Value for BTreeMap<String, T> {
    fn bind(node: Node<'_>) -> Result<Self, Unbound> {
        match node {
            Node::Map(pairs) => pairs.into_iter().map(|(key, value)| Ok((key.into_owned(), T::bind(value)?))).collect(),
            _ => Err(Unbound),
        }
    }

    fn absent() -> Result<Self, Unbound> {
        Ok(Self::new())
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }

    fn write(&self, shape: &Shape, out: &mut dyn Writer) {
        // Codegen gives a `BTreeMap` to maps only.
        let Shape::Map(map) = shape else { return };
        out.begin_map(map);
        for (key, value) in self {
            out.key(key);
            value.write(&map.value, out);
            out.end_entry();
        }
        out.end_map();
    }
}
