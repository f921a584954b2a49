//! A disk in memory that fails in every way a real one may.
//!
//! Invariants:
//! - After [`SimDisk::crash`] there is what was synced; of the rest, each sector and each name survived or did not, by
//!   chance, in any order.
//! - After a failed sync the bytes count as clean and may be gone, as on Linux: only writing them again helps.
//! - A handle or a disk from before a crash answers every call with an error.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::inode::Inode;
use super::names::{Id, Names};
use super::{Rng, Seed};
use crate::disk::relative;
use crate::{Disk, DiskFile, FileKind, Space};

/// The unit that reaches a platter whole or not at all. Disks with 4 KiB sectors exist; the smaller unit tears more.
pub const SECTOR_BYTES: usize = 512;

/// Room on a new simulated disk: bounded, so that a runaway writer fails instead of eating the machine.
const CAPACITY_BYTES: u64 = 1 << 30;

/// What shall go wrong. The default is: nothing, until the power fails.
#[derive(Clone, Debug)]
pub struct Faults {
    /// So many of the next `sync_data` and `sync_dir` fail.
    pub fail_next_syncs: u32,
    /// One in so many syncs fails; 0 for none.
    pub sync_fails_one_in: u32,
    /// So many of the next reads fail.
    pub fail_next_reads: u32,
    /// One in so many reads fails; 0 for none.
    pub read_fails_one_in: u32,
    /// So many of the next writes fail, after part of the bytes were written.
    pub fail_next_writes: u32,
    /// One in so many writes fails, after part of the bytes were written; 0 for none.
    pub write_fails_one_in: u32,
    /// Bytes in all; what goes beyond fails with `StorageFull`, after part of the bytes were written.
    pub capacity: u64,
    /// The power fails during the operation after so many changing operations (writes, syncs, names).
    pub power_off_after: Option<u64>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            fail_next_syncs: 0,
            sync_fails_one_in: 0,
            fail_next_reads: 0,
            read_fails_one_in: 0,
            fail_next_writes: 0,
            write_fails_one_in: 0,
            capacity: CAPACITY_BYTES,
            power_off_after: None,
        }
    }
}

/// A simulated disk; clones are the same disk.
///
/// ```
/// # use host::{Disk, DiskFile, sim::{Seed, SimDisk}};
/// # use std::path::Path;
/// # fn main() -> std::io::Result<()> {
/// let disk = SimDisk::new(Seed(7));
/// let file = disk.create(Path::new("journal"))?;
/// disk.sync_dir(Path::new(""))?;
/// file.write_all_at(b"acknowledged", 0)?;
/// file.sync_data()?;
/// file.write_all_at(b"not yet", 12)?;
/// let disk = disk.crash();
/// assert!(file.len().is_err());
/// let mut bytes = [0; 12];
/// disk.open(Path::new("journal"))?.read_exact_at(&mut bytes, 0)?;
/// assert_eq!(&bytes, b"acknowledged");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

struct State {
    rng: Rng,
    names: Names,
    inodes: BTreeMap<Id, Inode>,
    next_id: Id,
    /// Bytes of files that have a name or a handle.
    used: u64,
    faults: Faults,
    operations: u64,
    powered: bool,
}

/// What an operation is to do.
#[derive(PartialEq)]
enum Go {
    /// All of it.
    On,
    /// As much as happens before the power fails.
    Off,
}

impl SimDisk {
    /// An empty disk whose luck the seed determines.
    pub fn new(seed: Seed) -> Self {
        Self::with(State {
            rng: Rng::new(seed),
            names: Names::default(),
            inodes: BTreeMap::new(),
            next_id: 1,
            used: 0,
            faults: Faults::default(),
            operations: 0,
            powered: true,
        })
    }

    /// Fails the power and starts again: the disk as the next process finds it. This disk and its handles are dead.
    /// Faults are forgotten, but for the capacity.
    #[must_use]
    pub fn crash(&self) -> Self {
        let mut state = self.state.lock();
        state.powered = false;
        let mut rng = state.rng.fork();
        // Now and then all is lost or all survives: a coin for each sector alone would hardly ever do that.
        let luck = rng.below(4);
        let survives = move |rng: &mut Rng| match luck {
            0 => false,
            1 => true,
            _ => rng.one_in(2),
        };
        let names = state.names.clone().crash(&mut rng, survives);
        let mut inodes = BTreeMap::new();
        for id in names.reachable() {
            if let Some(inode) = state.inodes.get(&id) {
                inodes.insert(id, inode.clone().crash(&mut rng, survives));
            }
        }
        let used = inodes.values().map(|inode| inode.len() as u64).sum();
        let faults = Faults { capacity: state.faults.capacity, ..Faults::default() };
        Self::with(State { rng, names, inodes, next_id: state.next_id, used, faults, operations: 0, powered: true })
    }

    /// Changes what shall go wrong from now on.
    pub fn with_faults<R>(&self, change: impl FnOnce(&mut Faults) -> R) -> R {
        change(&mut self.state.lock().faults)
    }

    /// Flips bit `bit` (of the whole file; bit 8 is the lowest of byte 1), as a dying disk does.
    ///
    /// # Errors
    /// `NotFound` without such a file, `UnexpectedEof` past its end.
    pub fn flip_bit(&self, path: &Path, bit: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        let id = state.names.file(&relative(path)?)?;
        let flipped = state.inodes.get_mut(&id).is_some_and(|inode| inode.flip_bit(bit));
        if flipped { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Changing operations (writes, syncs, names) so far, to choose [`Faults::power_off_after`] from.
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// Whether the power failed.
    pub fn is_dead(&self) -> bool {
        !self.state.lock().powered
    }

    fn with(state: State) -> Self {
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn handle(&self, state: &mut State, id: Id) -> Arc<dyn DiskFile> {
        if let Some(inode) = state.inodes.get_mut(&id) {
            inode.open += 1;
        }
        Arc::new(SimFile { state: Arc::clone(&self.state), id })
    }
}

fn power_is_off() -> io::Error {
    io::Error::other("the simulated power is off")
}

/// EIO, as a kernel says it.
fn input_output_error() -> io::Error {
    io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())
}

/// Whether a fault strikes now: one of the next `count`, or one in `one_in`.
fn strikes(rng: &mut Rng, count: &mut u32, one_in: u32) -> bool {
    if *count > 0 {
        *count -= 1;
        return true;
    }
    rng.one_in(one_in)
}

impl State {
    fn check_power(&self) -> io::Result<()> {
        if self.powered { Ok(()) } else { Err(power_is_off()) }
    }

    /// Counts a changing operation, and fails the power when its time has come.
    fn change(&mut self) -> io::Result<Go> {
        self.check_power()?;
        self.operations += 1;
        match &mut self.faults.power_off_after {
            None => Ok(Go::On),
            Some(0) => {
                self.powered = false;
                Ok(Go::Off)
            }
            Some(left) => {
                *left -= 1;
                Ok(Go::On)
            }
        }
    }

    /// Like [`State::change`] for an operation that happens whole or not at all: when the power fails, it may have.
    fn change_name<T>(&mut self, apply: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        if self.change()? == Go::On {
            return apply(self);
        }
        if self.rng.one_in(2) {
            drop(apply(self)?);
        }
        Err(power_is_off())
    }

    fn inode(&mut self, id: Id) -> io::Result<&mut Inode> {
        self.inodes.get_mut(&id).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    /// Takes the name from an inode; without handles its room is free.
    fn unname(&mut self, id: Id) {
        if let Some(inode) = self.inodes.get_mut(&id) {
            inode.named = false;
            if inode.open == 0 {
                self.used = self.used.saturating_sub(inode.len() as u64);
            }
        }
    }

    fn sweep(&mut self) {
        let reachable = self.names.reachable();
        self.inodes.retain(|id, inode| inode.open > 0 || reachable.contains(id));
    }

    fn sync_strikes(&mut self) -> bool {
        strikes(&mut self.rng, &mut self.faults.fail_next_syncs, self.faults.sync_fails_one_in)
    }

    /// Resizes, as far as there is room: the length reached.
    fn resize(&mut self, id: Id, length: usize) -> io::Result<usize> {
        let room = self.faults.capacity.saturating_sub(self.used);
        let inode = self.inodes.get_mut(&id).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let now = inode.len();
        let length =
            if length > now { now + (length - now).min(usize::try_from(room).unwrap_or(usize::MAX)) } else { length };
        inode.set_len(length);
        self.used = self.used.saturating_add(length as u64).saturating_sub(now as u64);
        Ok(length)
    }

    /// Writes what fits below the capacity; the number of bytes written.
    fn write(&mut self, id: Id, bytes: &[u8], offset: usize) -> io::Result<usize> {
        let end = offset.checked_add(bytes.len()).ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let reached = if end > self.inode(id)?.len() { self.resize(id, end)? } else { end };
        let written = bytes.len().min(reached.saturating_sub(offset));
        let inode = self.inodes.get_mut(&id).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        inode.write(&mut self.rng, &bytes[..written], offset);
        Ok(written)
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        state.check_power()?;
        let id = state.names.file(&relative(path)?)?;
        Ok(self.handle(&mut state, id))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let path = relative(path)?;
        let mut state = self.state.lock();
        let id = state.change_name(|state| {
            let id = state.next_id;
            state.names.create(&path, id)?;
            state.next_id += 1;
            state.inodes.insert(id, Inode::named());
            Ok(id)
        })?;
        Ok(self.handle(&mut state, id))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let path = relative(path)?;
        self.state.lock().change_name(|state| state.names.create_dir_all(&path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<(String, FileKind)>> {
        let state = self.state.lock();
        state.check_power()?;
        state.names.list(&relative(path)?)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (relative(from)?, relative(to)?);
        self.state.lock().change_name(|state| {
            if let Some(replaced) = state.names.rename(&from, &to)? {
                state.unname(replaced);
            }
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let path = relative(path)?;
        self.state.lock().change_name(|state| {
            let id = state.names.remove(&path)?;
            state.unname(id);
            Ok(())
        })
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let path = relative(path)?;
        let mut state = self.state.lock();
        state.names.directory(&path)?;
        state.change_name(|state| {
            if state.sync_strikes() {
                return Err(input_output_error());
            }
            state.names.sync_dir(&path);
            state.sweep();
            Ok(())
        })
    }

    fn space(&self) -> io::Result<Space> {
        let state = self.state.lock();
        state.check_power()?;
        let total = state.faults.capacity;
        Ok(Space { available: total.saturating_sub(state.used), total })
    }
}

/// One open file of a simulated disk.
struct SimFile {
    state: Arc<Mutex<State>>,
    id: Id,
}

/// A length or offset that a simulation can hold.
fn small(bytes: u64) -> io::Result<usize> {
    usize::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

impl DiskFile for SimFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let state = &mut *self.state.lock();
        state.check_power()?;
        if strikes(&mut state.rng, &mut state.faults.fail_next_reads, state.faults.read_fails_one_in) {
            return Err(input_output_error());
        }
        let read = state.inode(self.id)?.read(buffer, small(offset)?);
        if read { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let offset = small(offset)?;
        let state = &mut *self.state.lock();
        let go = state.change()?;
        let fails = strikes(&mut state.rng, &mut state.faults.fail_next_writes, state.faults.write_fails_one_in);
        if go == Go::On && !fails {
            let written = state.write(self.id, bytes, offset)?;
            return if written == bytes.len() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) };
        }
        let part = state.rng.index(bytes.len() + 1);
        state.write(self.id, &bytes[..part], offset)?;
        Err(if go == Go::On { input_output_error() } else { power_is_off() })
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let bytes = small(bytes)?;
        self.state.lock().change_name(|state| {
            if bytes <= state.inode(self.id)?.len() || state.resize(self.id, bytes)? == bytes {
                return Ok(());
            }
            Err(io::ErrorKind::StorageFull.into())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        let state = &mut *self.state.lock();
        // When the power fails during a sync, the crash decides what of the dirty sectors was written.
        if state.change()? == Go::Off {
            return Err(power_is_off());
        }
        let fails = state.sync_strikes();
        let inode = state.inodes.get_mut(&self.id).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        if fails {
            inode.sync_fails(&mut state.rng);
            return Err(input_output_error());
        }
        inode.sync();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.state.lock();
        state.check_power()?;
        Ok(state.inode(self.id)?.len() as u64)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let bytes = small(bytes)?;
        self.state.lock().change_name(|state| {
            // A longer file without blocks takes no room on a real disk, and may then fail at any write; here it fails
            // at once.
            if state.resize(self.id, bytes)? == bytes { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
        })
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let state = &mut *self.state.lock();
        if let Some(inode) = state.inodes.get_mut(&self.id) {
            inode.open = inode.open.saturating_sub(1);
            if inode.open == 0 && !inode.named {
                state.used = state.used.saturating_sub(inode.len() as u64);
            }
        }
    }
}

#[cfg(test)]
mod tests;
