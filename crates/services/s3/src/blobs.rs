//! Blobs: the bytes of objects and parts, as immutable files named by id.
//!
//! Invariants:
//! - A file in `blobs/` is whole and durable: it is written in `tmp/`, synced, renamed, and the directory synced
//!   before anybody may commit a row that names it. It never changes afterwards.
//! - A blob is *unsettled* from the moment its id is drawn until its row is committed or given up; the sweep leaves
//!   unsettled blobs alone and removes every other file that no row names.
//! - A reader that pinned a blob keeps it: its file goes when the last pin is dropped.
//! - An upload holds at most two chunks in memory, and waits for the disk before it takes more from the client.
//!
//! Knows nothing of buckets, keys or HTTP.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use host::{Disk, DiskFile, FileKind, Ids};
use parking_lot::Mutex;
use s3s::{S3Error, StdError};

use crate::checksums::{Algorithm, Digests, Hasher};
use crate::errors;

/// Bytes written or read at a time.
pub(crate) const CHUNK_BYTES: usize = 512 * 1024;
/// Smaller pieces are put together: a client that sends byte by byte would cost some fifty times what it sends.
const PIECE_BYTES_MIN: usize = 4096;
/// Up to this size the bytes live in the blob's row: one commit is cheaper than a file, two syncs and a commit.
pub(crate) const SMALL_BYTES_MAX: usize = 4096;

/// Where blobs live.
pub(crate) struct Blobs {
    disk: Arc<dyn Disk>,
    ids: Arc<dyn Ids>,
    temporary: PathBuf,
    blobs: PathBuf,
    state: Mutex<State>,
    pub(crate) counts: Counts,
}

#[derive(Default)]
struct State {
    unsettled: HashSet<String>,
    pins: HashMap<String, u32>,
    /// Dropped by their rows while pinned.
    doomed: HashSet<String>,
    /// Directories below `blobs/` known to exist and to be durable.
    shards: HashSet<String>,
}

/// What happened to blobs since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) removed: AtomicU64,
    pub(crate) orphans_swept: AtomicU64,
}

/// What was uploaded: durable, but named by no row yet.
#[derive(Debug)]
pub(crate) struct Uploaded {
    pub(crate) size: u64,
    pub(crate) digests: Digests,
    pub(crate) bytes: Stored,
}

/// Where uploaded bytes are.
#[derive(Debug)]
pub(crate) enum Stored {
    Empty,
    /// To be kept in the row.
    Small(Unsettled, Bytes),
    File(Unsettled),
}

/// A blob that no row names yet; dropped without [`Unsettled::settle`] it is removed.
pub(crate) struct Unsettled {
    id: String,
    blobs: Arc<Blobs>,
    file: Option<PathBuf>,
    settled: bool,
}

impl std::fmt::Debug for Unsettled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Unsettled").field(&self.id).finish()
    }
}

impl Unsettled {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The row is committed: the blob stays.
    pub(crate) fn settle(mut self) {
        self.settled = true;
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        if !self.settled
            && let Some(path) = self.file.take()
        {
            // Removed before it counts as settled: the sweep never meets it.
            let (blobs, id) = (Arc::clone(&self.blobs), self.id.clone());
            run_blocking(move || {
                blobs.remove_file(&path);
                blobs.state.lock().unsettled.remove(&id);
            });
            return;
        }
        self.blobs.state.lock().unsettled.remove(&self.id);
    }
}

/// Off the async threads where there are any.
fn run_blocking(work: impl FnOnce() + Send + 'static) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(work)),
        Err(_) => work(),
    }
}

/// Why an upload stopped.
#[derive(Debug)]
pub(crate) enum UploadError {
    /// The client's body failed.
    Body(StdError),
    /// More bytes than allowed.
    TooLarge,
    Disk(io::Error),
}

impl From<UploadError> for S3Error {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::TooLarge => errors::entity_too_large(),
            UploadError::Disk(error) => errors::disk(&error),
            UploadError::Body(error) => errors::body(&error),
        }
    }
}

impl Blobs {
    /// Opens `dir`, creating it where it lacks. Blocks.
    pub(crate) fn open(disk: Arc<dyn Disk>, dir: &Path, ids: Arc<dyn Ids>) -> io::Result<Self> {
        let (temporary, blobs) = (dir.join("tmp"), dir.join("blobs"));
        disk.create_dir_all(&temporary)?;
        disk.create_dir_all(&blobs)?;
        Ok(Self { disk, ids, temporary, blobs, state: Mutex::default(), counts: Counts::default() })
    }

    fn draw(self: &Arc<Self>) -> Unsettled {
        let id = crate::checksums::hex(&self.ids.uuid());
        self.state.lock().unsettled.insert(id.clone());
        Unsettled { id, blobs: Arc::clone(self), file: None, settled: false }
    }

    /// Takes a body in, hashing as it comes; durable when it returns, unless small.
    pub(crate) async fn upload<S>(
        self: &Arc<Self>,
        mut body: S,
        algorithm: Option<Algorithm>,
        bytes_max: u64,
    ) -> Result<Uploaded, UploadError>
    where
        S: Stream<Item = Result<Bytes, StdError>> + Unpin + Send,
    {
        let mut hasher = Hasher::new(algorithm);
        let (mut chunk, mut ended) = read_chunk(&mut body, SMALL_BYTES_MAX + 1).await?;
        if ended {
            let bytes = join(chunk);
            hasher.update(&bytes);
            self.counts.bytes_in.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            let stored = if bytes.is_empty() { Stored::Empty } else { Stored::Small(self.draw(), bytes.clone()) };
            return Ok(Uploaded { size: bytes.len() as u64, digests: hasher.finish(), bytes: stored });
        }
        let unsettled = self.draw();
        let mut sink = Sink { blobs: Arc::clone(self), unsettled, hasher, file: None, size: 0 };
        loop {
            // The disk takes this chunk while the client sends the next.
            let writing = tokio::task::spawn_blocking(move || sink.write(chunk));
            let next = if ended { Ok((Vec::new(), true)) } else { read_chunk(&mut body, CHUNK_BYTES).await };
            sink = writing.await.map_err(|e| UploadError::Disk(io::Error::other(e)))?.map_err(UploadError::Disk)?;
            if sink.size > bytes_max {
                return Err(UploadError::TooLarge);
            }
            if ended {
                break;
            }
            (chunk, ended) = next?;
        }
        let finished = tokio::task::spawn_blocking(move || sink.finish()).await;
        finished.map_err(|e| UploadError::Disk(io::Error::other(e)))?.map_err(UploadError::Disk)
    }

    fn shard(&self, id: &str) -> PathBuf {
        self.blobs.join(id.get(..2).unwrap_or("00"))
    }

    fn path(&self, id: &str) -> PathBuf {
        self.shard(id).join(id)
    }

    fn ensure_shard(&self, id: &str) -> io::Result<PathBuf> {
        let (shard, name) = (self.shard(id), id.get(..2).unwrap_or("00"));
        if !self.state.lock().shards.contains(name) {
            self.disk.create_dir_all(&shard)?;
            self.disk.sync_dir(&self.blobs)?;
            self.state.lock().shards.insert(name.to_owned());
        }
        Ok(shard)
    }

    /// Opens a blob's file. Blocks.
    pub(crate) fn open_file(&self, id: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(&self.path(id))
    }

    /// Keeps blobs readable until the pin is dropped. Only a pin taken before the rows were read (or confirmed by
    /// reading them again) is sure to be in time.
    pub(crate) fn pin(self: &Arc<Self>, ids: Vec<String>) -> Pin {
        let mut state = self.state.lock();
        for id in &ids {
            *state.pins.entry(id.clone()).or_default() += 1;
        }
        Pin { ids, blobs: Arc::clone(self) }
    }

    /// Removes the files of blobs that no committed row names any more, in the background.
    pub(crate) fn remove(self: &Arc<Self>, ids: Vec<String>) {
        if ids.is_empty() {
            return;
        }
        let blobs = Arc::clone(self);
        run_blocking(move || {
            for id in ids {
                {
                    let mut state = blobs.state.lock();
                    if state.pins.contains_key(&id) {
                        state.doomed.insert(id);
                        continue;
                    }
                }
                blobs.remove_file(&blobs.path(&id));
            }
        });
    }

    fn remove_file(&self, path: &Path) {
        match self.disk.remove(path) {
            Ok(()) => drop(self.counts.removed.fetch_add(1, Ordering::Relaxed)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // Left to the sweep of the next start.
            Err(error) => tracing::warn!(path = %path.display(), error = %error, "cannot remove a blob"),
        }
    }

    /// Removes what a crash left behind: every settled file that `is_named` does not know. Blocks; stops when `stop`
    /// is set.
    pub(crate) fn sweep<E>(
        &self,
        stop: &AtomicBool,
        mut is_named: impl FnMut(&str) -> Result<bool, E>,
    ) -> Result<u64, E>
    where
        E: From<io::Error>,
    {
        let mut swept = 0;
        for (name, _) in self.disk.list(&self.temporary)? {
            if !self.state.lock().unsettled.contains(&name) {
                self.remove_file(&self.temporary.join(&name));
                swept += 1;
            }
        }
        for (shard, kind) in self.disk.list(&self.blobs)? {
            if kind != FileKind::Directory {
                continue;
            }
            let shard = self.blobs.join(shard);
            for (name, _) in self.disk.list(&shard)? {
                if stop.load(Ordering::Relaxed) {
                    return Ok(swept);
                }
                // This order matters: a blob that settles in between has its row when we look for it.
                if self.state.lock().unsettled.contains(&name) || is_named(&name)? {
                    continue;
                }
                self.remove_file(&shard.join(&name));
                swept += 1;
            }
        }
        self.counts.orphans_swept.fetch_add(swept, Ordering::Relaxed);
        Ok(swept)
    }
}

/// Keeps blobs readable.
pub(crate) struct Pin {
    ids: Vec<String>,
    blobs: Arc<Blobs>,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut free = Vec::new();
        {
            let mut state = self.blobs.state.lock();
            for id in &self.ids {
                let left = state.pins.get_mut(id).map(|pins| {
                    *pins -= 1;
                    *pins
                });
                if left == Some(0) {
                    state.pins.remove(id);
                    if state.doomed.remove(id) {
                        free.push(id.clone());
                    }
                }
            }
        }
        self.blobs.remove(free);
    }
}

/// The file that an upload goes to.
struct Sink {
    blobs: Arc<Blobs>,
    unsettled: Unsettled,
    hasher: Hasher,
    file: Option<Arc<dyn DiskFile>>,
    size: u64,
}

impl Sink {
    fn write(mut self, chunk: Vec<Bytes>) -> io::Result<Self> {
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => {
                let path = self.blobs.temporary.join(self.unsettled.id());
                let file = self.blobs.disk.create(&path)?;
                self.unsettled.file = Some(path);
                self.file = Some(Arc::clone(&file));
                file
            }
        };
        for bytes in chunk {
            self.hasher.update(&bytes);
            file.write_all_at(&bytes, self.size)?;
            self.size += bytes.len() as u64;
        }
        Ok(self)
    }

    fn finish(mut self) -> io::Result<Uploaded> {
        if let Some(file) = self.file.take() {
            file.sync_data()?;
        }
        let shard = self.blobs.ensure_shard(self.unsettled.id())?;
        let to = shard.join(self.unsettled.id());
        if let Some(from) = &self.unsettled.file {
            self.blobs.disk.rename(from, &to)?;
            self.unsettled.file = Some(to);
        }
        self.blobs.disk.sync_dir(&shard)?;
        self.blobs.counts.bytes_in.fetch_add(self.size, Ordering::Relaxed);
        Ok(Uploaded { size: self.size, digests: self.hasher.finish(), bytes: Stored::File(self.unsettled) })
    }
}

/// Reads at least `bytes` bytes, or to the end; the flag says which.
async fn read_chunk<S>(body: &mut S, bytes: usize) -> Result<(Vec<Bytes>, bool), UploadError>
where
    S: Stream<Item = Result<Bytes, StdError>> + Unpin + Send,
{
    let (mut chunk, mut small, mut length) = (Vec::new(), BytesMut::new(), 0);
    let mut ended = false;
    while length < bytes && !ended {
        match body.next().await {
            None => ended = true,
            Some(Ok(more)) => {
                length += more.len();
                if more.len() < PIECE_BYTES_MIN {
                    small.extend_from_slice(&more);
                    continue;
                }
                if !small.is_empty() {
                    chunk.push(small.split().freeze());
                }
                chunk.push(more);
            }
            Some(Err(error)) => return Err(UploadError::Body(error)),
        }
    }
    if !small.is_empty() {
        chunk.push(small.freeze());
    }
    Ok((chunk, ended))
}

fn join(mut chunk: Vec<Bytes>) -> Bytes {
    match chunk.len() {
        0 => Bytes::new(),
        1 => chunk.swap_remove(0),
        _ => chunk.concat().into(),
    }
}

#[cfg(test)]
#[path = "blobs_tests.rs"]
mod tests;
