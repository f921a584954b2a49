//! Payloads in memory: all of them without a disk, the latest ones with one.
//!
//! Invariant: with a disk, the payloads kept take at most the bound, whatever the backlog.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::queue::Body;

/// What keeping a payload costs beside its bytes.
const SLOT_BYTES: usize = 96;

/// A message's id and payload.
pub(crate) type Content = ([u8; 16], Bytes);

/// See the module.
pub(crate) enum Bodies {
    /// The latest, up to a number of bytes.
    Recent(Recent),
    /// All.
    All(All),
}

impl Bodies {
    pub(crate) fn recent(bytes_max: usize) -> Self {
        Self::Recent(Recent { slots: VecDeque::new(), first: 0, bytes: 0, bytes_max })
    }

    pub(crate) fn all() -> Self {
        Self::All(All { slots: Vec::new(), free: Vec::new() })
    }

    /// Keeps a payload; says where in `body.slot`.
    pub(crate) fn keep(&mut self, body: &mut Body, content: Content) {
        body.slot = match self {
            Self::Recent(recent) => recent.keep(*body, content),
            Self::All(all) => all.keep(content),
        };
    }

    /// The payload, if it is here.
    pub(crate) fn get(&self, body: &Body) -> Option<Content> {
        match self {
            Self::Recent(recent) => recent.slots.get(recent.place(body)?)?.as_ref().map(|slot| slot.content.clone()),
            Self::All(all) => all.slots.get(body.slot as usize)?.clone(),
        }
    }

    /// Forgets a payload.
    pub(crate) fn forget(&mut self, body: &Body) {
        match self {
            Self::Recent(recent) => recent.forget(body),
            Self::All(all) => {
                if all.slots.get_mut(body.slot as usize).and_then(Option::take).is_some() {
                    all.free.push(body.slot);
                }
            }
        }
    }
}

/// A ring: the oldest goes first, which is what queues read first and so rarely miss while they keep up.
pub(crate) struct Recent {
    slots: VecDeque<Option<Slot>>,
    /// Number of the front slot; numbers wrap, the file and offset tell an old number from a new one.
    first: u32,
    bytes: usize,
    bytes_max: usize,
}

struct Slot {
    file: u32,
    offset: u32,
    content: Content,
}

impl Recent {
    fn keep(&mut self, body: Body, content: Content) -> u32 {
        let number = self.first.wrapping_add(u32::try_from(self.slots.len()).unwrap_or(u32::MAX));
        self.bytes += SLOT_BYTES + content.1.len();
        self.slots.push_back(Some(Slot { file: body.file, offset: body.offset, content }));
        // Empty slots count as well, or one old message could hold up the ring for ever.
        while self.bytes > self.bytes_max || self.slots.front().is_some_and(Option::is_none) {
            let Some(slot) = self.slots.pop_front() else { break };
            self.first = self.first.wrapping_add(1);
            self.bytes -= SLOT_BYTES + slot.map_or(0, |slot| slot.content.1.len());
        }
        number
    }

    fn place(&self, body: &Body) -> Option<usize> {
        let place = usize::try_from(body.slot.wrapping_sub(self.first)).ok()?;
        let slot = self.slots.get(place)?.as_ref()?;
        (slot.file == body.file && slot.offset == body.offset).then_some(place)
    }

    fn forget(&mut self, body: &Body) {
        if let Some(slot) = self.place(body).and_then(|place| self.slots[place].take()) {
            self.bytes -= slot.content.1.len();
        }
    }
}

/// A slab: slots are used again.
pub(crate) struct All {
    slots: Vec<Option<Content>>,
    free: Vec<u32>,
}

impl All {
    fn keep(&mut self, content: Content) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(content);
            return slot;
        }
        self.slots.push(Some(content));
        u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(offset: u32) -> Body {
        Body { file: 1, offset, length: 0, slot: 0 }
    }

    fn content(bytes: usize) -> Content {
        ([0; 16], Bytes::from(vec![7; bytes]))
    }

    #[test]
    fn a_backlog_of_a_million_keeps_no_more_payloads_than_the_bound() {
        let mut bodies = Bodies::recent(1 << 20);
        let mut last = Body::default();
        for offset in 0..1_000_000 {
            last = body(offset);
            bodies.keep(&mut last, content(256));
        }
        let Bodies::Recent(recent) = &bodies else { panic!("this is a ring") };
        assert!(recent.bytes <= 1 << 20 && recent.slots.len() <= (1 << 20) / 256);
        assert!(bodies.get(&last).is_some());
        assert!(bodies.get(&body(0)).is_none());
    }

    #[test]
    fn a_forgotten_payload_frees_its_room_even_behind_an_old_one() {
        let mut bodies = Bodies::recent(10_000);
        let mut first = body(0);
        bodies.keep(&mut first, content(100));
        for offset in 1..10_000 {
            let mut next = body(offset);
            bodies.keep(&mut next, content(100));
            bodies.forget(&next);
            assert!(bodies.get(&next).is_none());
        }
        let Bodies::Recent(recent) = &bodies else { panic!("this is a ring") };
        assert!(recent.slots.len() < 200);
    }

    #[test]
    fn without_a_disk_all_payloads_are_kept_and_slots_are_used_again() {
        let mut bodies = Bodies::all();
        let mut kept: Vec<Body> = (0..100).map(body).collect();
        kept.iter_mut().for_each(|body| bodies.keep(body, content(10)));
        kept.iter().for_each(|body| assert!(bodies.get(body).is_some()));
        kept.iter().for_each(|body| bodies.forget(body));
        kept.iter_mut().for_each(|body| bodies.keep(body, content(10)));
        let Bodies::All(all) = &bodies else { panic!("this is a slab") };
        assert_eq!(all.slots.len(), 100);
    }
}
