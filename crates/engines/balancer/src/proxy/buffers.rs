//! Buffers: a worker's free lists, so that requests allocate nothing and idle connections hold nothing.
//!
//! Invariants:
//! - Dropping a [`Buffer`] gives it back; what the lists have no room for goes back to the allocator.
//! - A small buffer takes most heads, a big one the largest head that the limits allow.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use crate::config::Limits;

/// Holds the heads of nearly all requests; a page.
const SMALL_BYTES: usize = 4 << 10;
/// What a body moves in at a time: large enough to hide a system call, small enough for the second-level cache.
const BIG_BYTES: usize = 64 << 10;
/// A head's space that has grown beyond this is not kept.
const HEAD_KEPT_BYTES: usize = 16 << 10;
/// Bytes that a worker keeps for the next burst, of each size.
const KEPT_BYTES: usize = 8 << 20;

/// One worker's buffers; clones are the same lists.
#[derive(Clone)]
pub(crate) struct Buffers {
    lists: Rc<Lists>,
}

struct Lists {
    small: RefCell<Vec<Box<[u8]>>>,
    big: RefCell<Vec<Box<[u8]>>>,
    heads: RefCell<Vec<Vec<u8>>>,
    big_bytes: usize,
}

impl Buffers {
    /// Empty lists, with big buffers that take any head within `limits`.
    pub(crate) fn new(limits: &Limits) -> Self {
        let head_bytes = limits.request_head_bytes_max.max(limits.response_head_bytes_max);
        // One byte more than the largest head, so that a head that fills the buffer is one that is too large.
        let big_bytes = BIG_BYTES.max((head_bytes + 1).next_multiple_of(SMALL_BYTES));
        Self {
            lists: Rc::new(Lists {
                small: RefCell::default(),
                big: RefCell::default(),
                heads: RefCell::default(),
                big_bytes,
            }),
        }
    }

    /// A buffer for a head.
    pub(crate) fn small(&self) -> Buffer {
        let bytes = self.lists.small.borrow_mut().pop();
        self.buffer(bytes.unwrap_or_else(|| vec![0; SMALL_BYTES].into()))
    }

    /// A buffer for a body, or for a head that a small one doesn't hold.
    pub(crate) fn big(&self) -> Buffer {
        let bytes = self.lists.big.borrow_mut().pop();
        self.buffer(bytes.unwrap_or_else(|| vec![0; self.lists.big_bytes].into()))
    }

    /// An empty space to write a head into.
    pub(crate) fn head(&self) -> Head {
        Head { bytes: self.lists.heads.borrow_mut().pop().unwrap_or_default(), lists: Some(Rc::clone(&self.lists)) }
    }

    fn buffer(&self, bytes: Box<[u8]>) -> Buffer {
        Buffer { bytes, start: 0, end: 0, lists: Rc::clone(&self.lists) }
    }
}

/// A head as it is written to the other side; its space is used again.
#[derive(Default)]
pub(crate) struct Head {
    bytes: Vec<u8>,
    lists: Option<Rc<Lists>>,
}

impl Deref for Head {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Head {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        let Some(lists) = &self.lists else { return };
        let mut heads = lists.heads.borrow_mut();
        if heads.len() < KEPT_BYTES / HEAD_KEPT_BYTES && self.bytes.capacity() <= HEAD_KEPT_BYTES {
            self.bytes.clear();
            heads.push(std::mem::take(&mut self.bytes));
        }
    }
}

/// Bytes that were read and not yet used, in a space that more can be read into.
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    lists: Rc<Lists>,
}

impl Buffer {
    /// What was read and not yet used.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The same, to be changed in place.
    pub(crate) fn unread_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The first `count` unread bytes are done with.
    pub(crate) fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.end - self.start);
        self.start += count;
    }

    /// Keeps the first `count` unread bytes only; what stood behind them comes in a buffer of its own.
    pub(crate) fn split_off(&mut self, count: usize) -> Option<Buffer> {
        let rest = &self.bytes[self.start + count..self.end];
        if rest.is_empty() {
            return None;
        }
        let buffers = Buffers { lists: Rc::clone(&self.lists) };
        let mut behind = if rest.len() <= SMALL_BYTES { buffers.small() } else { buffers.big() };
        behind.space()[..rest.len()].copy_from_slice(rest);
        behind.filled(rest.len());
        self.end = self.start + count;
        Some(behind)
    }

    /// Where the next bytes are read to.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
        &mut self.bytes[self.end..]
    }

    /// `count` bytes were read into [`Buffer::space`].
    pub(crate) fn filled(&mut self, count: usize) {
        self.end += count;
        debug_assert!(self.end <= self.bytes.len());
    }

    /// Moves what is unread to the front, so that there is space behind it.
    pub(crate) fn compact(&mut self) {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }

    /// Takes a big buffer's bytes in place of its own, with what is unread. False if it is one already.
    pub(crate) fn grow(&mut self) -> bool {
        if self.bytes.len() >= self.lists.big_bytes {
            return false;
        }
        let mut big = Buffers { lists: Rc::clone(&self.lists) }.big();
        let count = self.unread().len();
        big.bytes[..count].copy_from_slice(self.unread());
        big.end = count;
        *self = big;
        true
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let list = if bytes.len() == SMALL_BYTES { &self.lists.small } else { &self.lists.big };
        let mut list = list.borrow_mut();
        if list.len() < KEPT_BYTES / bytes.len().max(1) {
            list.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_is_dropped_is_the_next_one_taken() {
        let buffers = Buffers::new(&Limits::default());
        let at = buffers.small().bytes.as_ptr();
        assert_eq!(buffers.small().bytes.as_ptr(), at);
    }

    #[test]
    fn a_big_buffer_holds_more_than_the_largest_head() {
        let limits = Limits { request_head_bytes_max: 100_000, ..Limits::default() };
        assert!(Buffers::new(&limits).big().space().len() > 100_000);
    }

    #[test]
    fn what_is_unread_survives_growing_and_compacting() {
        let mut buffer = Buffers::new(&Limits::default()).small();
        buffer.space()[..5].copy_from_slice(b"hello");
        buffer.filled(5);
        buffer.consume(1);
        assert!(buffer.grow());
        assert!(!buffer.grow());
        assert_eq!(buffer.unread(), b"ello");
        buffer.consume(1);
        buffer.compact();
        assert_eq!(buffer.unread(), b"llo");
        buffer.consume(3);
        assert!(buffer.is_empty());
    }
}
