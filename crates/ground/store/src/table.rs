//! Tables, rows and ranges of keys.
//!
//! Invariant: a table's name is safe inside SQL text, checked when the constant is built.

use std::marker::PhantomData;

/// Bound on a table's name, to keep error messages and statements short.
const NAME_BYTES_MAX: usize = 48;

/// The type of the rows of one SQL table. Make it a constant:
/// `const QUEUES: Table<QueueRow> = Table::new("sqs_queues");`
pub struct Table<T> {
    name: &'static str,
    row: PhantomData<fn(T) -> T>,
}

impl<T> Table<T> {
    /// A table of this name: lower-case letters, digits and `_`, beginning with a letter, at most 48.
    ///
    /// # Panics
    /// On any other name; in a constant that is a compile error.
    pub const fn new(name: &'static str) -> Self {
        let bytes = name.as_bytes();
        assert!(!bytes.is_empty() && bytes.len() <= NAME_BYTES_MAX, "a table's name has 1 to 48 characters");
        assert!(bytes[0].is_ascii_lowercase(), "a table's name begins with a lower-case letter");
        let mut at = 0;
        while at < bytes.len() {
            let fine = bytes[at].is_ascii_lowercase() || bytes[at].is_ascii_digit() || bytes[at] == b'_';
            assert!(fine, "a table's name has only lower-case letters, digits and _");
            at += 1;
        }
        Self { name, row: PhantomData }
    }

    /// The table's name in SQL.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

/// Which state of a row: changed by each write, never used twice in the life of a store, rising with time as long as
/// one process writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A row as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<T> {
    /// The row's key.
    pub key: String,
    /// What [`Transaction::replace`](crate::Transaction::replace) compares.
    pub revision: Revision,
    /// The row's value.
    pub value: T,
}

/// Above every key: UTF-8 has no such byte.
const ABOVE_ALL: u8 = 0xff;

/// A range of keys, in bytewise order. The conditions are all required.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Inclusive.
    pub(crate) lower: Vec<u8>,
    /// Exclusive.
    pub(crate) upper: Vec<u8>,
    pub(crate) limit: Option<usize>,
}

impl Scan {
    /// Every key.
    pub fn all() -> Self {
        Self { lower: Vec::new(), upper: vec![ABOVE_ALL], limit: None }
    }

    /// The keys that begin with `prefix`.
    pub fn prefix(prefix: &str) -> Self {
        Self { lower: prefix.as_bytes().to_vec(), upper: past(prefix), limit: None }
    }

    /// Only keys after `key`.
    #[must_use]
    pub fn after(self, key: &str) -> Self {
        // The next string in bytewise order.
        self.raise([key.as_bytes(), &[0]].concat())
    }

    /// Only `key` and what follows.
    #[must_use]
    pub fn from(self, key: &str) -> Self {
        self.raise(key.as_bytes().to_vec())
    }

    /// Only keys after all that begin with `prefix`: a listing with a delimiter seeks past a common prefix with this.
    #[must_use]
    pub fn past_prefix(self, prefix: &str) -> Self {
        self.raise(past(prefix))
    }

    /// Only keys before `key`.
    #[must_use]
    pub fn until(mut self, key: &str) -> Self {
        if key.as_bytes() < self.upper.as_slice() {
            self.upper = key.as_bytes().to_vec();
        }
        self
    }

    /// At most so many rows, the first in order.
    #[must_use]
    pub fn limit(mut self, rows: usize) -> Self {
        self.limit = Some(rows);
        self
    }

    fn raise(mut self, lower: Vec<u8>) -> Self {
        self.lower = self.lower.max(lower);
        self
    }
}

/// The first byte string above everything that begins with `prefix`.
fn past(prefix: &str) -> Vec<u8> {
    let mut bytes = prefix.as_bytes().to_vec();
    match bytes.last_mut() {
        // Never overflows: no byte of UTF-8 is above 0xf4.
        Some(last) => *last += 1,
        None => bytes.push(ABOVE_ALL),
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(scan: &Scan, key: &str) -> bool {
        scan.lower.as_slice() <= key.as_bytes() && key.as_bytes() < scan.upper.as_slice()
    }

    #[test]
    fn a_prefix_holds_what_begins_with_it_and_nothing_else() {
        let keys = ["", "a", "a\0", "a\u{10ffff}", "ab", "b", "\u{10ffff}"];
        for prefix in keys {
            for key in keys {
                assert_eq!(holds(&Scan::prefix(prefix), key), key.starts_with(prefix), "{prefix:?} {key:?}");
                let past = Scan::all().past_prefix(prefix);
                assert_eq!(holds(&past, key), key > prefix && !key.starts_with(prefix), "past {prefix:?} {key:?}");
            }
        }
    }

    #[test]
    fn conditions_add_up_in_any_order() {
        let scan = Scan::prefix("b").after("a").until("bz").from("bb");
        assert_eq!(scan, Scan::prefix("b").from("bb").until("bz").after("a"));
        assert!(holds(&scan, "bb") && holds(&scan, "by") && !holds(&scan, "bz") && !holds(&scan, "ba"));
        assert!(!holds(&Scan::all().after("k"), "k") && holds(&Scan::all().after("k"), "k\0"));
    }

    #[test]
    fn a_name_that_is_not_plain_does_not_make_a_table() {
        for name in ["", "Sqs", "a-b", "a\"", "1a", "_meta", "é"] {
            let leaked: &'static str = name;
            assert!(std::panic::catch_unwind(|| Table::<()>::new(leaked)).is_err(), "{name:?}");
        }
    }
}
