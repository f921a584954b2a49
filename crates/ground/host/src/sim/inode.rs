//! One simulated file's bytes: what the page cache shows, and what the platter holds.
//!
//! Invariants:
//! - A sector in neither `dirty` nor `lost` is the same in the cache and on the platter.
//! - A sector reaches the platter whole or not at all; two sectors have nothing to do with each other.

use std::collections::BTreeMap;

use super::Rng;
use super::disk::SECTOR_BYTES;

/// What the platter holds where the cache holds something else.
#[derive(Clone, Debug)]
enum Platter {
    Zeros,
    Bytes(Box<[u8; SECTOR_BYTES]>),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    /// The page cache: what reads see.
    live: Vec<u8>,
    /// The length that is certain after a crash.
    durable_len: usize,
    /// Sectors not yet synced, with what the platter holds instead.
    dirty: BTreeMap<usize, Platter>,
    /// Sectors that a failed sync threw away: clean to the kernel, so no later sync writes them, and not on the platter.
    lost: BTreeMap<usize, Platter>,
    /// Open handles.
    pub(super) open: usize,
    /// Whether a live name leads here.
    pub(super) named: bool,
}

impl Inode {
    /// An empty file that a live name leads to.
    pub(super) fn named() -> Self {
        Self { named: true, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: usize) -> bool {
        let wanted = offset.checked_add(buffer.len()).and_then(|end| self.live.get(offset..end));
        wanted.map(|bytes| buffer.copy_from_slice(bytes)).is_some()
    }

    pub(super) fn write(&mut self, rng: &mut Rng, bytes: &[u8], offset: usize) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        for sector in offset / SECTOR_BYTES..=(end - 1) / SECTOR_BYTES {
            // The kernel writes back when it likes: the version now overwritten may be the one that survives.
            if self.dirty.contains_key(&sector) && rng.one_in(4) {
                self.dirty.remove(&sector);
            }
            self.make_dirty(sector);
        }
        if end > self.live.len() {
            self.live.resize(end, 0);
        }
        self.live[offset..end].copy_from_slice(bytes);
    }

    /// Grows with zeros, or cuts.
    pub(super) fn set_len(&mut self, length: usize) {
        if length < self.live.len() {
            for sector in length / SECTOR_BYTES..=(self.live.len() - 1) / SECTOR_BYTES {
                self.make_dirty(sector);
            }
        }
        self.live.resize(length, 0);
    }

    pub(super) fn sync(&mut self) {
        self.dirty.clear();
        self.durable_len = self.live.len();
    }

    /// What Linux does when writeback fails: each dirty page is marked clean, whether or not it was written; later syncs
    /// succeed. A page that was lost may be evicted at any time, and reads then show the old bytes.
    pub(super) fn sync_fails(&mut self, rng: &mut Rng) {
        for (sector, platter) in std::mem::take(&mut self.dirty) {
            if rng.one_in(2) {
                continue;
            }
            if rng.one_in(4) {
                let shown = self.live.len();
                self.restore(sector, &platter);
                self.live.resize(shown, 0);
            } else {
                self.lost.insert(sector, platter);
            }
        }
    }

    /// What is left after the power failed: of the unsynced sectors those that `survives` says.
    pub(super) fn crash(mut self, rng: &mut Rng, mut survives: impl FnMut(&mut Rng) -> bool) -> Self {
        let (short, long) = (self.durable_len.min(self.live.len()), self.durable_len.max(self.live.len()));
        let length = match rng.below(4) {
            0 => short + rng.index(long - short + 1),
            _ if survives(rng) => self.live.len(),
            _ => self.durable_len,
        };
        for (sector, platter) in std::mem::take(&mut self.dirty) {
            if !survives(rng) {
                self.restore(sector, &platter);
            }
        }
        for (sector, platter) in std::mem::take(&mut self.lost) {
            self.restore(sector, &platter);
        }
        self.live.resize(length, 0);
        Self { durable_len: self.live.len(), live: self.live, ..Self::named() }
    }

    /// Flips one bit where it lies, in the cache and on the platter; false past the end.
    pub(super) fn flip_bit(&mut self, bit: u64) -> bool {
        let byte = usize::try_from(bit / 8).ok().and_then(|at| self.live.get_mut(at));
        byte.map(|byte| *byte ^= 1 << (bit % 8)).is_some()
    }

    /// Notes what the platter holds before the cache departs from it.
    fn make_dirty(&mut self, sector: usize) {
        if self.dirty.contains_key(&sector) {
            return;
        }
        let platter = self.lost.remove(&sector).unwrap_or_else(|| self.shown(sector));
        self.dirty.insert(sector, platter);
    }

    /// The sector as the cache shows it, padded with zeros.
    fn shown(&self, sector: usize) -> Platter {
        let start = sector * SECTOR_BYTES;
        let Some(bytes) = self.live.get(start..self.live.len().min(start + SECTOR_BYTES)) else {
            return Platter::Zeros;
        };
        if bytes.iter().all(|&byte| byte == 0) {
            return Platter::Zeros;
        }
        let mut whole = Box::new([0; SECTOR_BYTES]);
        whole[..bytes.len()].copy_from_slice(bytes);
        Platter::Bytes(whole)
    }

    /// Makes the cache show what the platter holds, growing the cache where needed.
    fn restore(&mut self, sector: usize, platter: &Platter) {
        let (start, end) = (sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES);
        if end > self.live.len() {
            self.live.resize(end, 0);
        }
        match platter {
            Platter::Zeros => self.live[start..end].fill(0),
            Platter::Bytes(bytes) => self.live[start..end].copy_from_slice(&bytes[..]),
        }
    }
}
