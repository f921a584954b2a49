//! What all operations share: the store, the blobs, time, and the one way to read and to commit.
//!
//! Invariants:
//! - A commit runs to its end on a blocking thread even when the client goes away: what it settles or frees follows
//!   from what was committed, never from whether somebody still listens.
//! - Blobs are freed after the transaction that dropped their last reference, never before.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ::host::{Clock, Ids};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use parking_lot::Mutex;
use s3s::S3Error;
use store::{Scan, Store, Transaction, View};
use tokio::sync::{Notify, Semaphore};

use crate::authorisation::{Action, Question};
use crate::blobs::{Blobs, Stored, Unsettled, Uploaded};
use crate::checksums::Digests;
use crate::door::{Caller, DOCUMENTS_BYTES_MAX};
use crate::errors::{self, Failure};
use crate::lifecycle;
use crate::policy::PolicyCache;
use crate::rows::{self, BLOBS, BUCKETS, BlobRow, BucketRow, Content, MANIFESTS, OBJECTS, ObjectRow};
use crate::{OpenError, S3Options, Stats};

/// S3's state.
pub(crate) struct Service {
    pub(crate) store: Store,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) base_domains: Vec<String>,
    pub(crate) policies: PolicyCache,
    /// Bytes of XML documents that there is still room for.
    pub(crate) documents: Arc<Semaphore>,
    pub(crate) requests: AtomicU64,
    pub(crate) denied: AtomicU64,
    /// Wakes what waits in the background, so that it ends.
    pub(crate) drained: Arc<Notify>,
    draining: Arc<AtomicBool>,
    sweep: Mutex<Option<std::thread::JoinHandle<()>>>,
    lifecycle: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

/// Blobs whose last reference a transaction dropped.
#[derive(Default)]
pub(crate) struct Freed(Vec<String>);

impl Service {
    pub(crate) fn open(options: S3Options) -> Result<Self, OpenError> {
        let blobs = Blobs::open(options.disk, &options.dir, Arc::clone(&options.ids))
            .map_err(|source| OpenError::Disk { dir: options.dir.clone(), source })?;
        Ok(Self {
            store: options.store,
            blobs: Arc::new(blobs),
            clock: options.clock,
            ids: options.ids,
            base_domains: options.base_domains,
            policies: PolicyCache::default(),
            documents: Arc::new(Semaphore::new(DOCUMENTS_BYTES_MAX)),
            requests: AtomicU64::new(0),
            denied: AtomicU64::new(0),
            drained: Arc::default(),
            draining: Arc::default(),
            sweep: Mutex::default(),
            lifecycle: Mutex::default(),
        })
    }

    /// A thread of its own: it may take long, and nobody waits for it.
    pub(crate) fn start_sweep(self: &Arc<Self>) {
        let (blobs, store, stop) = (Arc::clone(&self.blobs), self.store.clone(), Arc::clone(&self.draining));
        let sweep = move || {
            let is_named = |id: &str| -> Result<bool, SweepError> { Ok(store.read(|view| view.contains(&BLOBS, id))?) };
            match blobs.sweep(&stop, is_named) {
                Ok(0) => {}
                Ok(swept) => tracing::info!(swept, "removed blobs that a crash left behind"),
                Err(error) => tracing::warn!(error = %error, "cannot look for blobs that a crash left behind"),
            }
        };
        match std::thread::Builder::new().name("s3-sweep".to_owned()).spawn(sweep) {
            Ok(thread) => *self.sweep.lock() = Some(thread),
            Err(error) => tracing::warn!(error = %error, "cannot start the sweep of blobs"),
        }
    }

    pub(crate) fn start_lifecycle(self: &Arc<Self>) {
        *self.lifecycle.lock() = Some(tokio::spawn(lifecycle::pass::run_daily(Arc::downgrade(self))));
    }

    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.drained.notify_one();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(crate) async fn close(&self) {
        self.drain();
        let lifecycle = self.lifecycle.lock().take();
        if let Some(lifecycle) = lifecycle {
            // One that panicked has nothing more to say.
            let _ = lifecycle.await;
        }
        let thread = self.sweep.lock().take();
        if let Some(thread) = thread {
            // A sweep that panicked has nothing more to say.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            requests: load(&self.requests),
            denied: load(&self.denied),
            bytes_in: load(&self.blobs.counts.bytes_in),
            bytes_out: load(&self.blobs.counts.bytes_out),
            orphans_swept: load(&self.blobs.counts.orphans_swept),
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now().as_millis()
    }

    /// Reads rows as of one moment.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, S3Error>
    where
        T: Send + 'static,
        F: FnOnce(&View<'_>) -> Result<T, Failure> + Send + 'static,
    {
        let store = self.store.clone();
        let result = tokio::task::spawn_blocking(move || store.read(work)).await;
        result.map_err(|e| errors::internal("read", &e))?.map_err(S3Error::from)
    }

    /// Commits; blobs that `work` frees are removed afterwards.
    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T, S3Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Transaction<'_>, &mut Freed) -> Result<T, Failure> + Send + 'static,
    {
        self.write_with(Vec::new(), work).await
    }

    /// Commits rows that name `uploads`, which stay if the commit may have happened and go if it did not.
    pub(crate) async fn write_with<T, F>(&self, uploads: Vec<Unsettled>, work: F) -> Result<T, S3Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Transaction<'_>, &mut Freed) -> Result<T, Failure> + Send + 'static,
    {
        let (store, blobs) = (self.store.clone(), Arc::clone(&self.blobs));
        let commit = move || {
            let mut freed = Freed::default();
            let result = store.write(|transaction| work(transaction, &mut freed));
            match &result {
                Ok(_) => blobs.remove(freed.0),
                // The rules said no: nothing was committed, and dropping the uploads removes them.
                Err(Failure::Told(_)) => return result,
                Err(Failure::Store(error)) if error.is_definite() => return result,
                // Whether the commit reached the disk is unknown: the next start's sweep will know.
                Err(Failure::Store(_)) => {}
            }
            uploads.into_iter().for_each(Unsettled::settle);
            result
        };
        let result = tokio::task::spawn_blocking(commit).await;
        result.map_err(|e| errors::internal("write", &e))?.map_err(S3Error::from)
    }

    pub(crate) async fn bucket_exists(&self, bucket: &str) -> bool {
        let name = bucket.to_owned();
        self.read(move |view| Ok(view.contains(&BUCKETS, &name)?)).await.unwrap_or(false)
    }

    /// Removes everything.
    pub(crate) async fn reset(&self) -> Result<(), S3Error> {
        self.write(|transaction, freed| {
            // Those in rows have no file to remove; removing what is not there does no harm.
            freed.0 = transaction.keys(&BLOBS, &Scan::all())?;
            transaction.delete_range(&BLOBS, &Scan::all())?;
            transaction.delete_range(&BUCKETS, &Scan::all())?;
            transaction.delete_range(&OBJECTS, &Scan::all())?;
            transaction.delete_range(&rows::VERSIONS, &Scan::all())?;
            transaction.delete_range(&rows::NULL_VERSIONS, &Scan::all())?;
            transaction.delete_range(&rows::UPLOADS, &Scan::all())?;
            transaction.delete_range(&rows::PARTS, &Scan::all())?;
            transaction.delete_range(&MANIFESTS, &Scan::all())?;
            Ok(())
        })
        .await
    }
}

#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Disk(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] store::StoreError),
}

impl Service {
    /// A bucket's row, for a caller who may `action` it.
    pub(crate) async fn read_bucket(
        self: &Arc<Self>,
        caller: Caller,
        name: String,
        action: Action,
    ) -> Result<BucketRow, S3Error> {
        let service = Arc::clone(self);
        self.read(move |view| {
            let row = bucket(view, &name)?;
            caller.check_owner(&row.owner)?;
            service.authorise(&Question::new(&caller.call, action, (&name, &row)))?;
            Ok(row)
        })
        .await
    }

    /// Changes a bucket's row, for a caller who may `action` it.
    pub(crate) async fn change_bucket<F>(
        self: &Arc<Self>,
        caller: Caller,
        name: String,
        action: Action,
        change: F,
    ) -> Result<(), S3Error>
    where
        F: FnOnce(&mut BucketRow) -> Result<(), S3Error> + Send + 'static,
    {
        let service = Arc::clone(self);
        self.write(move |transaction, _| {
            let mut row = bucket(transaction, &name)?;
            caller.check_owner(&row.owner)?;
            service.authorise(&Question::new(&caller.call, action, (&name, &row)))?;
            change(&mut row)?;
            transaction.put(&BUCKETS, &name, &row)?;
            Ok(())
        })
        .await
    }
}

/// A moment as `s3s` takes it, in whole seconds, which is all that S3 shows.
pub(crate) fn timestamp(ms: u64) -> s3s::dto::Timestamp {
    (std::time::UNIX_EPOCH + std::time::Duration::from_secs(ms / 1000)).into()
}

/// The bucket's row, or `NoSuchBucket`.
pub(crate) fn bucket(view: &View<'_>, name: &str) -> Result<BucketRow, Failure> {
    Ok(view.get(&BUCKETS, name)?.ok_or_else(errors::no_such_bucket)?.value)
}

/// The object's row, if there is one.
pub(crate) fn object(view: &View<'_>, bucket: &str, key: &str) -> Result<Option<ObjectRow>, Failure> {
    Ok(view.get(&OBJECTS, &rows::object_key(bucket, key))?.map(|row| row.value))
}

/// An upload in the shape that rows take.
pub(crate) struct Taken {
    pub(crate) size: u64,
    pub(crate) content: Content,
    pub(crate) blob: Option<BlobRow>,
    pub(crate) unsettled: Vec<Unsettled>,
    pub(crate) digests: Digests,
}

impl From<Uploaded> for Taken {
    fn from(upload: Uploaded) -> Self {
        let blob = |bytes| Some(BlobRow { references: 0, size: upload.size, bytes });
        let (content, blob, unsettled) = match upload.bytes {
            Stored::Empty => (Content::Empty, None, Vec::new()),
            Stored::Small(unsettled, bytes) => {
                let content = Content::Small { blob: unsettled.id().to_owned() };
                (content, blob(Some(BASE64.encode(&bytes))), vec![unsettled])
            }
            Stored::File(unsettled) => (Content::File { blob: unsettled.id().to_owned() }, blob(None), vec![unsettled]),
        };
        Self { size: upload.size, content, blob, unsettled, digests: upload.digests }
    }
}

/// The bytes of a small blob.
pub(crate) fn small_bytes(view: &View<'_>, blob: &str) -> Result<Option<Bytes>, Failure> {
    let Some(row) = view.get(&BLOBS, blob)? else { return Ok(None) };
    Ok(row.value.bytes.and_then(|text| BASE64.decode(text).ok()).map(Bytes::from))
}

/// Counts one more reference to the blob of `content`; `new` is its row where it has none yet.
pub(crate) fn link(transaction: &mut Transaction<'_>, content: &Content, new: Option<BlobRow>) -> Result<(), Failure> {
    let (Content::Small { blob } | Content::File { blob }) = content else { return Ok(()) };
    let row = match transaction.get(&BLOBS, blob)? {
        Some(row) => row.value,
        // A copy's source may have gone since it was read.
        None => new.ok_or_else(errors::no_such_key)?,
    };
    transaction.put(&BLOBS, blob, &BlobRow { references: row.references.saturating_add(1), ..row })?;
    Ok(())
}

/// Drops one reference to the bytes of `content`.
pub(crate) fn unlink(transaction: &mut Transaction<'_>, content: &Content, freed: &mut Freed) -> Result<(), Failure> {
    match content {
        Content::Empty => Ok(()),
        Content::Small { blob } | Content::File { blob } => {
            let Some(row) = transaction.get(&BLOBS, blob)? else { return Ok(()) };
            if row.value.references > 1 {
                let row = BlobRow { references: row.value.references - 1, ..row.value };
                transaction.put(&BLOBS, blob, &row)?;
                return Ok(());
            }
            transaction.delete(&BLOBS, blob)?;
            if row.value.bytes.is_none() {
                freed.0.push(blob.clone());
            }
            Ok(())
        }
        Content::Parts { manifest, .. } => {
            let Some(row) = transaction.get(&MANIFESTS, manifest)? else { return Ok(()) };
            transaction.delete(&MANIFESTS, manifest)?;
            row.value.parts.iter().try_for_each(|(_, part)| unlink(transaction, &part.content, freed))
        }
    }
}
