//! Moving messages from queue to queue on request: each becomes a new message of the other queue.
//!
//! Invariant: one frame says that the messages are in the new queue and gone from the old one.

use std::collections::HashSet;
use std::sync::Arc;

use super::commit::{Fresh, Op};
use super::receive::{Read, Wanted, read_all};
use super::{Done, Shard, durable};
use crate::engine::Writer;
use crate::error::EngineError;
use crate::journal::bodies::Content;
use crate::message::QueueId;
use crate::queue::Body;

/// Messages chosen for a move. Those that did not get to the journal become visible again when this is dropped.
struct Held {
    shard: Arc<Shard>,
    from: QueueId,
    messages: Vec<(u64, Body)>,
    contents: Vec<Option<Content>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.shard.lock();
        if let Ok(slot) = state.slot(self.from) {
            self.messages.iter().for_each(|(sequence, _)| slot.machine.release(*sequence));
        }
        state.settle(self.from, &self.shard.timer);
    }
}

impl Shard {
    pub(crate) async fn move_messages(
        self: &Arc<Self>,
        from: QueueId,
        max: usize,
        route: impl Fn(Option<QueueId>) -> Option<QueueId> + Send + Sync,
    ) -> Result<usize, EngineError> {
        let (mut held, wanted) = self.hold(from, max, &route)?;
        if !wanted.is_empty() {
            let read = match self.writer {
                Writer::Inline => read_all(wanted),
                Writer::Thread => {
                    tokio::task::spawn_blocking(|| read_all(wanted)).await.map_err(|_| EngineError::Closed)?
                }
            };
            self.take_read(&mut held, read);
        }
        let (moved, done) = self.begin_transfer(&held, &route)?;
        drop(held);
        self.kick();
        durable(done).await?;
        Ok(moved)
    }

    /// Hides the messages to move. Returns what must be read of them.
    fn hold(
        self: &Arc<Self>,
        from: QueueId,
        max: usize,
        route: impl Fn(Option<QueueId>) -> Option<QueueId>,
    ) -> Result<(Held, Vec<Wanted>), EngineError> {
        let now = self.clock.now();
        let mut state = self.lock();
        state.check()?;
        let known: HashSet<QueueId> = state.queues.keys().copied().filter(|id| *id != from).collect();
        let machine = &mut state.up_to(from, now)?.machine;
        let mut messages = machine.hold_ready(max, |source| route(source).is_some_and(|to| known.contains(&to)));
        // One frame takes them all, so their bytes are bounded; the rest stays for the next call.
        let mut bytes = 0;
        let fits = messages.iter().take_while(|(_, body)| {
            bytes += u64::from(body.length);
            bytes <= u64::from(self.limits.file_bytes / 2)
        });
        let fits = fits.count().max(1).min(messages.len());
        messages.drain(fits..).for_each(|(sequence, _)| machine.release(sequence));
        let contents: Vec<Option<Content>> = messages.iter().map(|(_, body)| state.bodies.get(body)).collect();
        let missing = contents.iter().enumerate().filter(|(_, content)| content.is_none());
        let wanted = missing.filter_map(|(place, _)| {
            let body = messages[place].1;
            Some(Wanted { place, file: Arc::clone(&state.files.get(&body.file)?.file), body })
        });
        let wanted = wanted.collect();
        Ok((Held { shard: Arc::clone(self), from, messages, contents }, wanted))
    }

    fn take_read(&self, held: &mut Held, read: Vec<(usize, Read)>) {
        let mut damaged = Vec::new();
        for (place, read) in read {
            match read {
                Read::Whole(content) => held.contents[place] = Some(content),
                Read::Damaged => damaged.push(held.messages[place]),
                Read::Failed => {}
            }
        }
        if !damaged.is_empty() {
            self.give_up(held.from, &damaged);
        }
    }

    fn begin_transfer(
        &self,
        held: &Held,
        route: impl Fn(Option<QueueId>) -> Option<QueueId>,
    ) -> Result<(usize, Option<Done>), EngineError> {
        let sent_at = self.clock.now();
        let mut state = self.lock();
        state.check()?;
        let mut moves = Vec::new();
        for ((sequence, _), content) in held.messages.iter().zip(&held.contents) {
            // Deleted or purged meanwhile, or its queue was, or its payload could not be read: it does not move.
            let Some((_, payload)) = content else { continue };
            let Some(history) = state.slot(held.from)?.machine.message(*sequence).map(|entry| entry.history.clone())
            else {
                continue;
            };
            let Some(to) = route(history.and_then(|history| history.source)) else { continue };
            let Ok(target) = state.slot(to) else { continue };
            let new = target.machine.reserve(1);
            if state.slot(held.from)?.machine.start_move(*sequence, (to, new)).is_some() {
                let content = (self.ids.uuid(), payload.clone());
                moves.push((*sequence, to, Fresh { sequence: new, delay_s: 0, content }));
            }
        }
        if moves.is_empty() {
            return Ok((0, None));
        }
        let moved = moves.len();
        Ok((moved, Some(Self::submit(&mut state, Op::Transfer { from: held.from, sent_at, moves }))))
    }
}
