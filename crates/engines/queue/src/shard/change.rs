//! Sending, deleting, changing visibility, purging: what comes from outside and goes into the journal.

use std::collections::HashSet;

use super::commit::{Call, Fresh, Op};
use super::{Done, Shard, State, durable};
use crate::error::{EngineError, HandleError, VisibilityError};
use crate::journal::record::{PUT_OVERHEAD_BYTES, Record};
use crate::message::{NewMessage, QueueId, Sent};
use crate::receipt_handle::Handle;

impl Shard {
    pub(crate) async fn send(&self, id: QueueId, messages: Vec<NewMessage>) -> Result<Vec<Sent>, EngineError> {
        let bytes = messages.iter().map(|message| PUT_OVERHEAD_BYTES + message.payload.len()).sum();
        let max = self.limits.file_bytes as usize / 2;
        if bytes > max {
            return Err(EngineError::TooLarge { bytes, max });
        }
        let (sent, done) = self.begin_send(id, messages)?;
        self.kick();
        durable(Some(done)).await?;
        Ok(sent)
    }

    fn begin_send(&self, id: QueueId, messages: Vec<NewMessage>) -> Result<(Vec<Sent>, Done), EngineError> {
        let sent_at = self.clock.now();
        let mut state = self.lock();
        state.check()?;
        self.check_space(&mut state, sent_at)?;
        let slot = state.slot(id)?;
        let delay_s = slot.machine.settings.delay_s;
        let first = slot.machine.reserve(messages.len());
        let messages: Vec<Fresh> = messages
            .into_iter()
            .zip(first..)
            .map(|(message, sequence)| Fresh {
                sequence,
                delay_s: u16::try_from(message.delay_s.unwrap_or(delay_s)).unwrap_or(u16::MAX),
                content: (message.id, message.payload),
            })
            .collect();
        let sent = messages.iter().map(|message| Sent { sequence: message.sequence, sent_at }).collect();
        Ok((sent, Self::submit(&mut state, Op::Send { queue: id, sent_at, messages })))
    }

    /// What a text says about a message of this queue.
    fn handle(&self, id: QueueId, text: &str) -> Option<Handle> {
        self.key.open_handle(text).filter(|handle| handle.queue == id)
    }

    pub(crate) async fn delete<H: AsRef<str>>(
        &self,
        id: QueueId,
        handles: &[H],
    ) -> Result<Vec<Result<(), HandleError>>, EngineError> {
        let handles: Vec<Option<Handle>> = handles.iter().map(|text| self.handle(id, text.as_ref())).collect();
        let done = self.begin_delete(id, handles.iter().flatten())?;
        if done.is_some() {
            self.kick();
        }
        durable(done).await?;
        Ok(handles.iter().map(|handle| handle.map(|_| ()).ok_or(HandleError::Malformed)).collect())
    }

    fn begin_delete<'a>(
        &self,
        id: QueueId,
        handles: impl Iterator<Item = &'a Handle>,
    ) -> Result<Option<Done>, EngineError> {
        let now = self.clock.now();
        let mut state = self.lock();
        state.check()?;
        state.up_to(id, now)?;
        let mut sequences = Vec::new();
        for handle in handles {
            let machine = &mut state.slot(id)?.machine;
            if let Some((queue, sequence)) = machine.moving_to(handle.sequence) {
                // It cannot be stopped any more, but it must not be seen where it arrives.
                state.pending.push_back(Call::new(Op::DeleteMoved { queue, sequence }, None));
            } else if let Some(body) = machine.delete(handle.sequence) {
                state.release(&body);
                sequences.push(handle.sequence);
            }
        }
        state.slot(id)?.stats.deleted += sequences.len() as u64;
        state.settle(id, &self.timer);
        if !sequences.is_empty() && self.is_durable() {
            return Ok(Some(Self::submit(&mut state, Op::Note(Record::Delete { queue: id, sequences }))));
        }
        Ok(self.after_all(&mut state))
    }

    /// Waits for all that was queued before: a delete that found nothing may have been overtaken by another delete of
    /// the same message, which is not durable yet.
    fn after_all(&self, state: &mut State) -> Option<Done> {
        state.is_committing().then(|| Self::submit(state, Op::Barrier))
    }

    pub(crate) fn change_visibility<H: AsRef<str>>(
        &self,
        id: QueueId,
        changes: &[(H, u32)],
    ) -> Result<Vec<Result<(), VisibilityError>>, EngineError> {
        let handles = changes.iter().map(|(text, timeout_s)| (self.handle(id, text.as_ref()), *timeout_s));
        let handles: Vec<(Option<Handle>, u32)> = handles.collect();
        let now = self.clock.now();
        let mut state = self.lock();
        state.check()?;
        let machine = &mut state.up_to(id, now)?.machine;
        let mut changed = Vec::new();
        let results = handles
            .into_iter()
            .map(|(handle, timeout_s)| {
                let Handle { sequence, receive_count, received_at, .. } = handle.ok_or(VisibilityError::Malformed)?;
                let visible_at = machine.change_visibility(sequence, receive_count, received_at, now, timeout_s)?;
                changed.push((sequence, visible_at));
                Ok(())
            })
            .collect();
        if !changed.is_empty() {
            self.note_lazily(&mut state, Record::ChangeVisibility { queue: id, changes: changed });
        }
        state.settle(id, &self.timer);
        Ok(results)
    }

    /// Queues a change that may wait for a commit to ride on.
    pub(super) fn note_lazily(&self, state: &mut State, record: Record<'static>) {
        if self.is_durable() {
            state.note(record);
            if state.asleep {
                self.calls.notify_one();
            }
        }
    }

    pub(crate) async fn purge(&self, id: QueueId) -> Result<(), EngineError> {
        let done = {
            let mut state = self.lock();
            state.check()?;
            let (up_to, gone) = state.slot(id)?.machine.purge();
            gone.iter().for_each(|body| state.release(body));
            Self::submit(&mut state, Op::Note(Record::Purge { queue: id, up_to }))
        };
        self.kick();
        durable(Some(done)).await
    }

    pub(crate) async fn delete_queues(&self, goes: impl Fn(QueueId) -> bool) -> Result<(), EngineError> {
        let done = {
            let mut state = self.lock();
            state.check()?;
            let ids: HashSet<QueueId> = state.queues.keys().copied().filter(|id| goes(*id)).collect();
            ids.iter().for_each(|id| self.drop_queue(&mut state, *id));
            self.after_all(&mut state)
        };
        if done.is_some() {
            self.kick();
        }
        durable(done).await
    }

    fn drop_queue(&self, state: &mut State, id: QueueId) {
        let Some(mut slot) = state.queues.remove(&id) else { return };
        // Moving messages belong to their new queue already.
        let (_, gone) = slot.machine.purge();
        gone.iter().for_each(|body| state.release(body));
        // Those who wait wake, and find no queue.
        slot.waiters.wake_all();
        state.note(Record::QueueDeleted { queue: id });
    }

    /// Waiting ends, now and from now on.
    pub(crate) fn drain(&self) {
        let mut state = self.lock();
        state.draining = true;
        state.queues.values_mut().for_each(|slot| slot.waiters.wake_all());
    }
}
