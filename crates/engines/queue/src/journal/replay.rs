//! From records to queues.
//!
//! Invariant: a record sets, so applying the log from any place at or before a checkpoint's start, over that
//! checkpoint, gives the same queues.

use std::collections::BTreeMap;

use host::Timestamp;

use super::record::Record;
use crate::message::QueueId;
use crate::queue::{Body, Entry, History, Table};

/// Messages whose records were damaged: numbers that a queue gave out and nobody can account for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The queue.
    pub queue: QueueId,
    /// First number lost.
    pub first: u64,
    /// Last number lost.
    pub last: u64,
}

/// A queue, as far as it is known.
#[derive(Debug, Default)]
pub(crate) struct ReplayQueue {
    /// The latest number given out.
    pub(crate) last: u64,
    pub(crate) purged_to: u64,
    pub(crate) table: Table,
    /// How many gaps the log had when the queue got its latest message.
    gaps: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    pub(crate) queues: BTreeMap<QueueId, ReplayQueue>,
    pub(crate) lost: Vec<Lost>,
    gaps: u32,
}

impl Replay {
    /// Some records before the next one are missing.
    pub(crate) fn gap(&mut self) {
        self.gaps += 1;
    }

    /// Applies a record; `body` is where it lies.
    pub(crate) fn apply(&mut self, record: &Record<'_>, body: Body) {
        match record {
            Record::Put { .. } => self.put(record, body),
            Record::Move { from: (queue, sequence), .. } => {
                if let Some(queue) = self.queues.get_mut(queue) {
                    queue.table.remove(*sequence);
                }
                self.put(record, body);
            }
            Record::Delete { queue, sequences } => {
                if let Some(queue) = self.queues.get_mut(queue) {
                    sequences.iter().for_each(|sequence| drop(queue.table.remove(*sequence)));
                }
            }
            Record::Lease { queue, leases } => {
                for lease in leases {
                    let history = (lease.history != History::default()).then(|| Box::new(lease.history));
                    self.change(*queue, lease.sequence, |entry| entry.history = history);
                }
            }
            Record::ChangeVisibility { queue, changes } => {
                for (sequence, visible_at) in changes {
                    self.change(*queue, *sequence, |entry| entry.history_mut().visible_at = *visible_at);
                }
            }
            Record::Purge { queue, up_to } => {
                let queue = self.queues.entry(*queue).or_default();
                queue.purged_to = queue.purged_to.max(*up_to);
                queue.table.remove_where(Timestamp(u64::MAX), |entry| entry.sequence <= *up_to);
            }
            Record::QueueDeleted { queue } => drop(self.queues.remove(queue)),
        }
    }

    fn put(&mut self, record: &Record<'_>, body: Body) {
        let Some((id, entry)) = record.entry(body) else { return };
        let gaps = self.gaps;
        let queue = self.queues.entry(id).or_default();
        if entry.sequence > queue.last {
            // Numbers rise by one, so a jump right after a gap in the log tells what was in the gap.
            if queue.gaps != gaps && entry.sequence > queue.last + 1 {
                self.lost.push(Lost { queue: id, first: queue.last + 1, last: entry.sequence - 1 });
            }
            queue.gaps = gaps;
            queue.last = entry.sequence;
        }
        if entry.sequence > queue.purged_to {
            queue.table.insert(entry);
        }
    }

    fn change(&mut self, queue: QueueId, sequence: u64, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.queues.get_mut(&queue).and_then(|queue| queue.table.get_mut(sequence)) {
            change(entry);
        }
    }

    /// All messages.
    pub(crate) fn messages(&self) -> impl Iterator<Item = (QueueId, &Entry)> {
        self.queues.iter().flat_map(|(id, queue)| queue.table.from(0).map(|entry| (*id, entry)))
    }
}
