//! [`Node`]: a request's document between parsing and binding.
//!
//! Invariants:
//! - A parser makes the tree from a schema, so a node's kind is its shape's kind; members that the schema doesn't know
//!   are not in it.
//! - Text without escapes is borrowed from the request.
//! - A tree has at most [`SLOTS_MAX`] slots and [`DEPTH_MAX`] levels.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;

use crate::value::EpochMs;

/// A value out of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Node<'a> {
    /// Text.
    String(Cow<'a, str>),
    /// A whole number; within the range of its shape.
    Integer(i64),
    /// A number with a fraction.
    Double(f64),
    /// A truth value.
    Boolean(bool),
    /// Bytes, decoded.
    Blob(Bytes),
    /// A moment.
    Timestamp(EpochMs),
    /// A structure: a slot for each of the schema's members, `None` where the request had nothing or `null`.
    Structure(Vec<Option<Node<'a>>>),
    /// A list.
    List(Vec<Node<'a>>),
    /// A map; of a key that came twice the last value.
    Map(BTreeMap<Cow<'a, str>, Node<'a>>),
}

/// How many slots for values a request's tree may have: the members of all its structures, present or not, the items
/// of its lists and the pairs of its maps. AWS's largest requests have some thousands; without this bound a body of
/// `[{},{},…` would take a hundred times its size.
pub const SLOTS_MAX: usize = 65_536;

/// How deep lists, maps and structures may stand in each other. AWS's requests have less than ten levels; without this
/// bound a hostile one would exhaust the stack.
pub const DEPTH_MAX: usize = 64;

/// What a parser may still allocate.
#[derive(Debug)]
pub(crate) struct Budget {
    slots: usize,
}

/// A request has more than [`SLOTS_MAX`] values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request has too many values")]
pub(crate) struct TooManyValues;

impl Budget {
    pub(crate) fn new() -> Self {
        Self { slots: SLOTS_MAX }
    }

    /// Takes `slots` from what is left.
    pub(crate) fn spend(&mut self, slots: usize) -> Result<(), TooManyValues> {
        self.slots = self.slots.checked_sub(slots).ok_or(TooManyValues)?;
        Ok(())
    }
}
