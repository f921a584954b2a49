//! The messages of one queue by sequence number, in little memory.
//!
//! Invariants:
//! - Chunks are in sequence order and do not overlap; entries within a chunk rise.
//! - A chunk holds at least one live entry, and at least half of a large chunk is alive: a few old messages never keep
//!   the memory of the many that came and went around them.
//! - An untouched message takes [`ENTRY_BYTES`] bytes; its history is allocated with its first receive.
//!
//! Knows nothing of what the states mean.

use std::collections::BTreeMap;
use std::mem;

use host::Timestamp;

use crate::message::QueueId;

/// Memory of a message that was never received.
#[cfg(test)]
const ENTRY_BYTES: usize = 48;
/// Entries of a full chunk.
const CHUNK_ENTRIES: usize = 256;
/// Chunks below this size are not worth compacting.
const COMPACT_ENTRIES: usize = 16;

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Removed; the entry waits for its chunk to be compacted.
    Dead,
    /// May be received.
    Ready,
    /// Not due yet.
    Delayed,
    /// Lent to a receiver.
    InFlight,
    /// Chosen for a move, which is not in the journal yet.
    Held,
    /// Its move is in the journal's queue, or was written and not synced yet.
    Moving,
}

/// Where a payload lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Body {
    /// Number of the journal file.
    pub(crate) file: u32,
    /// Where in the file its record starts.
    pub(crate) offset: u32,
    /// Length of the record.
    pub(crate) length: u32,
    /// Where it is kept in memory, if it still is.
    pub(crate) slot: u32,
}

/// What happened to a message since it was sent; most messages of a backlog have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    /// First receive from any queue; zero before.
    pub(crate) first_received_at: Timestamp,
    /// Latest receive.
    pub(crate) received_at: Timestamp,
    /// When the latest lease ends.
    pub(crate) visible_at: Timestamp,
    /// Receives from all queues. With `received_at`, names a lease.
    pub(crate) receive_count: u32,
    /// Receives from this queue, which is what the dead-letter rule counts.
    pub(crate) received_here: u32,
    /// The queue that gave the message up.
    pub(crate) source: Option<QueueId>,
    /// When it came here from `source`.
    pub(crate) moved_at: Timestamp,
}

/// A message.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    pub(crate) sent_at: Timestamp,
    pub(crate) body: Body,
    pub(crate) history: Option<Box<History>>,
    pub(crate) delay_s: u16,
    state: State,
}

impl Entry {
    pub(crate) fn new(sequence: u64, sent_at: Timestamp, delay_s: u16, body: Body, history: Option<History>) -> Self {
        Self { sequence, sent_at, body, history: history.map(Box::new), delay_s, state: State::Ready }
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// When the message may be received for the first time.
    pub(crate) fn due_at(&self) -> Timestamp {
        Timestamp(self.sent_at.0.saturating_add(u64::from(self.delay_s) * 1000))
    }

    /// The history, begun if there is none.
    pub(crate) fn history_mut(&mut self) -> &mut History {
        self.history.get_or_insert_default()
    }
}

#[derive(Debug)]
struct Chunk {
    entries: Vec<Entry>,
    live: usize,
    ready: usize,
    /// No live entry was sent before this.
    oldest: Timestamp,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// By a lower bound of the chunk's sequence numbers.
    chunks: BTreeMap<u64, Chunk>,
    live: usize,
}

impl Table {
    /// Messages alive.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Adds a message in its state. A message already there under its number is replaced and returned.
    pub(crate) fn insert(&mut self, entry: Entry) -> Option<Entry> {
        debug_assert!(entry.state != State::Dead, "a dead message has no place");
        let replaced = self.remove(entry.sequence);
        let (sequence, sent_at, ready) = (entry.sequence, entry.sent_at, entry.state == State::Ready);
        let chunk = self.chunk_for(sequence);
        match chunk.entries.last() {
            Some(last) if last.sequence >= sequence => {
                // Only recovery comes here: in service, numbers rise.
                match chunk.entries.binary_search_by_key(&sequence, |entry| entry.sequence) {
                    Ok(dead) => chunk.entries[dead] = entry,
                    Err(place) => chunk.entries.insert(place, entry),
                }
            }
            _ => chunk.entries.push(entry),
        }
        chunk.live += 1;
        chunk.ready += usize::from(ready);
        chunk.oldest = chunk.oldest.min(sent_at);
        self.live += 1;
        replaced
    }

    fn chunk_for(&mut self, sequence: u64) -> &mut Chunk {
        let last = self.chunks.range(..=sequence).next_back();
        let base = match last {
            // Between two chunks there may be no room for a third: then the one before grows beyond its size.
            Some((base, chunk))
                if chunk.entries.len() < CHUNK_ENTRIES
                    || chunk.entries.last().is_some_and(|last| last.sequence >= sequence) =>
            {
                *base
            }
            _ => sequence,
        };
        self.chunks.entry(base).or_insert_with(|| Chunk {
            entries: Vec::new(),
            live: 0,
            ready: 0,
            oldest: Timestamp(u64::MAX),
        })
    }

    fn locate(&self, sequence: u64) -> Option<(u64, usize)> {
        let (base, chunk) = self.chunks.range(..=sequence).next_back()?;
        let place = chunk.place(sequence)?;
        Some((*base, place))
    }

    /// The message with this number.
    pub(crate) fn get(&self, sequence: u64) -> Option<&Entry> {
        let (_, chunk) = self.chunks.range(..=sequence).next_back()?;
        chunk.entries.get(chunk.place(sequence)?)
    }

    /// The message with this number, to change anything but its state.
    pub(crate) fn get_mut(&mut self, sequence: u64) -> Option<&mut Entry> {
        let (_, chunk) = self.chunks.range_mut(..=sequence).next_back()?;
        let place = chunk.place(sequence)?;
        chunk.entries.get_mut(place)
    }

    /// Puts the message into a state other than `Dead`, and returns it.
    pub(crate) fn set_state(&mut self, sequence: u64, state: State) -> Option<&mut Entry> {
        debug_assert!(state != State::Dead, "a message dies by `remove`");
        let (_, chunk) = self.chunks.range_mut(..=sequence).next_back()?;
        let place = chunk.place(sequence)?;
        let entry = chunk.entries.get_mut(place)?;
        chunk.ready -= usize::from(entry.state == State::Ready);
        chunk.ready += usize::from(state == State::Ready);
        entry.state = state;
        Some(entry)
    }

    /// Takes a message out.
    pub(crate) fn remove(&mut self, sequence: u64) -> Option<Entry> {
        let (base, place) = self.locate(sequence)?;
        // The chunk at the head keeps its room: it is about to be filled again.
        let is_head = self.chunks.last_key_value().is_some_and(|(last, _)| *last == base);
        let chunk = self.chunks.get_mut(&base)?;
        let entry = chunk.kill(place);
        self.live -= 1;
        if chunk.live == 0 {
            self.chunks.remove(&base);
        } else {
            chunk.compact(!is_head);
        }
        Some(entry)
    }

    /// Takes out all messages that `goes` names, among chunks with one sent at or before `sent_until`, and returns
    /// them with a new lower bound of the send times that are left.
    pub(crate) fn remove_where(
        &mut self,
        sent_until: Timestamp,
        mut goes: impl FnMut(&Entry) -> bool,
    ) -> (Vec<Entry>, Timestamp) {
        let mut gone = Vec::new();
        let mut oldest = Timestamp(u64::MAX);
        self.chunks.retain(|_, chunk| {
            if chunk.oldest <= sent_until {
                for place in 0..chunk.entries.len() {
                    if chunk.entries[place].state != State::Dead && goes(&chunk.entries[place]) {
                        gone.push(chunk.kill(place));
                    }
                }
                let sent = chunk.entries.iter().filter(|entry| entry.state != State::Dead).map(|entry| entry.sent_at);
                chunk.oldest = sent.min().unwrap_or(Timestamp(u64::MAX));
                chunk.compact(true);
            }
            oldest = oldest.min(chunk.oldest);
            chunk.live > 0
        });
        self.live -= gone.len();
        (gone, oldest)
    }

    /// The messages of the chunks that may hold one sent at or before `sent_until`.
    pub(crate) fn sent_until(&self, sent_until: Timestamp) -> impl Iterator<Item = &Entry> {
        let old = self.chunks.values().filter(move |chunk| chunk.oldest <= sent_until);
        old.flat_map(|chunk| chunk.entries.iter().filter(|entry| entry.state != State::Dead))
    }

    /// The first ready message at or after a number.
    pub(crate) fn next_ready(&self, from: u64) -> Option<u64> {
        let before = self.chunks.range(..from).next_back();
        let after = self.chunks.range(from..);
        before.into_iter().chain(after).filter(|(_, chunk)| chunk.ready > 0).find_map(|(_, chunk)| {
            let start = chunk.entries.partition_point(|entry| entry.sequence < from);
            chunk.entries[start..].iter().find(|entry| entry.state == State::Ready).map(|entry| entry.sequence)
        })
    }

    /// All messages at or after a number, in order.
    pub(crate) fn from(&self, sequence: u64) -> impl Iterator<Item = &Entry> {
        let before = self.chunks.range(..sequence).next_back();
        let after = self.chunks.range(sequence..);
        before.into_iter().chain(after).flat_map(move |(_, chunk)| {
            let start = chunk.entries.partition_point(|entry| entry.sequence < sequence);
            chunk.entries[start..].iter().filter(|entry| entry.state != State::Dead)
        })
    }
}

impl Chunk {
    fn place(&self, sequence: u64) -> Option<usize> {
        // Most chunks have no holes, and then the place is known without a search.
        let guess = usize::try_from(sequence.checked_sub(self.entries.first()?.sequence)?).unwrap_or(usize::MAX);
        let place = match self.entries.get(guess) {
            Some(entry) if entry.sequence == sequence => guess,
            _ => self.entries.binary_search_by_key(&sequence, |entry| entry.sequence).ok()?,
        };
        (self.entries[place].state != State::Dead).then_some(place)
    }

    fn kill(&mut self, place: usize) -> Entry {
        let entry = &mut self.entries[place];
        let dead = Entry { history: None, state: State::Dead, ..*entry };
        let entry = mem::replace(entry, dead);
        self.live -= 1;
        self.ready -= usize::from(entry.state == State::Ready);
        entry
    }

    fn compact(&mut self, shrink: bool) {
        if self.entries.len() >= COMPACT_ENTRIES && self.live * 2 < self.entries.len() {
            self.entries.retain(|entry| entry.state != State::Dead);
            if shrink {
                self.entries.shrink_to_fit();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sequence: u64) -> Entry {
        Entry::new(sequence, Timestamp(sequence), 0, Body::default(), None)
    }

    fn sequences(table: &Table, from: u64) -> Vec<u64> {
        table.from(from).map(|entry| entry.sequence).collect()
    }

    #[test]
    fn an_untouched_message_takes_48_bytes() {
        assert_eq!(size_of::<Entry>(), ENTRY_BYTES);
    }

    #[test]
    fn the_table_agrees_with_an_ordered_map() {
        let mut rng = host::sim::Rng::new(host::sim::Seed(5));
        let mut table = Table::default();
        let mut model = std::collections::BTreeSet::new();
        for round in 0..20_000_u64 {
            let sequence = rng.below(2_000) + round / 10;
            if rng.one_in(2) {
                assert_eq!(table.insert(entry(sequence)).is_some(), !model.insert(sequence));
            } else {
                assert_eq!(table.remove(sequence).is_some(), model.remove(&sequence));
            }
            assert_eq!(table.len(), model.len());
            if round % 500 == 0 {
                assert_eq!(sequences(&table, 0), model.iter().copied().collect::<Vec<_>>());
                let middle = model.range(1_000..).copied().collect::<Vec<_>>();
                assert_eq!(sequences(&table, 1_000), middle);
                assert_eq!(table.next_ready(1_000), middle.first().copied());
            }
        }
    }

    #[test]
    fn next_ready_skips_what_is_not_ready() {
        let mut table = Table::default();
        (1..=1000).for_each(|sequence| drop(table.insert(entry(sequence))));
        for sequence in 1..=700 {
            table.set_state(sequence, State::Delayed);
        }
        assert_eq!(table.next_ready(0), Some(701));
        table.set_state(300, State::Ready);
        assert_eq!(table.next_ready(0), Some(300));
        assert_eq!(table.next_ready(301), Some(701));
        assert_eq!(table.next_ready(1001), None);
    }

    #[test]
    fn a_few_survivors_do_not_keep_the_memory_of_the_dead() {
        let mut table = Table::default();
        (1..=100_000).for_each(|sequence| drop(table.insert(entry(sequence))));
        (1..=100_000).filter(|sequence| sequence % 100 != 0).for_each(|sequence| drop(table.remove(sequence)));
        assert_eq!(table.len(), 1000);
        let room: usize = table.chunks.values().map(|chunk| chunk.entries.capacity()).sum();
        assert!(room < 20_000, "{room} entries are kept for 1,000 messages");
    }

    #[test]
    fn what_was_sent_before_a_time_can_be_taken_out() {
        let mut table = Table::default();
        (1..=1000).for_each(|sequence| drop(table.insert(entry(sequence))));
        let (gone, oldest) = table.remove_where(Timestamp(600), |entry| entry.sent_at <= Timestamp(600));
        assert_eq!(gone.len(), 600);
        assert_eq!(oldest, Timestamp(601));
        assert_eq!(sequences(&table, 0).first(), Some(&601));
    }
}
