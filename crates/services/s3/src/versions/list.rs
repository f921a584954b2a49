//! ListObjectVersions.
//!
//! Invariants:
//! - Keys come in UTF-8 byte order, a key's versions newest first; a common prefix stands where its first key would.
//! - A page goes on after the version that its marker names, whether that is still there or not.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use s3s::dto::{
    ChecksumAlgorithm, CommonPrefix, DeleteMarkerEntry, ETag, ListObjectVersionsInput, ListObjectVersionsOutput,
    ObjectVersion, ObjectVersionStorageClass,
};
use s3s::{S3Error, S3Request, S3Response, S3Result};
use serde::de::DeserializeOwned;
use store::{Row, Scan, Table, View};

use super::{VersionId, key_of};
use crate::acl;
use crate::authorisation::{Action, Question};
use crate::checksums::StoredChecksum;
use crate::door::Caller;
use crate::errors::{self, Failure};
use crate::listing::{Encoding, common_prefix, delimiter, page_size};
use crate::rows::{self, DeleteMarkerRow, NULL_VERSIONS, OBJECTS, ObjectRow, Standing, VERSIONS};
use crate::service::{self, Service, timestamp};

/// Rows read at a time after a seek, and at most.
const BATCH: (usize, usize) = (8, 512);

/// What a listing looks for.
struct Walk {
    bucket: String,
    prefix: String,
    delimiter: Option<String>,
    after: Option<(String, Option<VersionId>)>,
    max: usize,
}

/// One entry of a listing.
enum Entry {
    Version { key: String, standing: Standing, is_latest: bool },
    Prefix(String),
}

/// One table's rows in order, read in batches.
struct Cursor<'v, T: 'static> {
    view: &'v View<'v>,
    table: &'v Table<T>,
    whole: Scan,
    next: Scan,
    rows: VecDeque<Row<T>>,
    batch: usize,
    ended: bool,
}

impl<'v, T: DeserializeOwned> Cursor<'v, T> {
    fn new(view: &'v View<'v>, table: &'v Table<T>, whole: Scan, next: Scan) -> Self {
        Self { view, table, whole, next, rows: VecDeque::new(), batch: BATCH.0, ended: false }
    }

    fn peek(&mut self) -> Result<Option<&Row<T>>, Failure> {
        if self.rows.is_empty() && !self.ended {
            self.rows = self.view.scan(self.table, &self.next.clone().limit(self.batch))?.into();
            self.ended = self.rows.len() < self.batch;
            if let Some(last) = self.rows.back() {
                self.next = self.whole.clone().after(&last.key);
            }
            self.batch = (self.batch * 2).min(BATCH.1);
        }
        Ok(self.rows.front())
    }

    fn take(&mut self) -> Option<Row<T>> {
        self.rows.pop_front()
    }

    /// Goes on after all that begins with `prefix`.
    fn skip(&mut self, prefix: &str) {
        while self.rows.front().is_some_and(|row| row.key.starts_with(prefix)) {
            self.rows.pop_front();
        }
        if self.rows.is_empty() && !self.ended {
            self.next = self.whole.clone().past_prefix(prefix);
            self.batch = BATCH.0;
        }
    }
}

impl Walk {
    /// Where both tables begin.
    fn start(&self, view: &View<'_>, scope: &str, whole: &Scan) -> Result<(Scan, Scan), Failure> {
        let Some((key, version)) = &self.after else { return Ok((whole.clone(), whole.clone())) };
        if self.delimiter.as_deref().is_some_and(|d| common_prefix(key, &self.prefix, d) == Some(key.as_str())) {
            let past = whole.clone().past_prefix(&format!("{scope}{key}"));
            return Ok((past.clone(), past));
        }
        let row_key = rows::object_key(&self.bucket, key);
        let past_key = (whole.clone().after(&row_key), whole.clone().past_prefix(&format!("{row_key}\0")));
        let Some(version) = version else { return Ok(past_key) };
        let current = view.get(&OBJECTS, &row_key)?.map(|row| row.value.version);
        let sequence = match version {
            VersionId::Given { sequence, .. } => Some(*sequence),
            VersionId::Null => match &current {
                Some(current) if current.id.is_none() => Some(current.sequence),
                _ => view.get(&NULL_VERSIONS, &row_key)?.map(|row| row.value),
            },
        };
        // A null version that has gone since says no more where it stood: better a version twice than one left out.
        let Some(sequence) = sequence else {
            return Ok((whole.clone().from(&row_key), whole.clone().from(&format!("{row_key}\0"))));
        };
        // What was current may have been removed since, and an older version come in its place.
        let objects = match current {
            Some(current) if current.sequence < sequence => whole.clone().from(&row_key),
            _ => past_key.0,
        };
        Ok((objects, whole.clone().after(&rows::version_key(&self.bucket, key, sequence))))
    }

    /// The entries of a page, and whether there are more.
    fn page(&self, view: &View<'_>) -> Result<(Vec<Entry>, bool), Failure> {
        let mut entries = Vec::new();
        if self.max == 0 {
            return Ok((entries, false));
        }
        let scope = format!("{}\0", self.bucket);
        let whole = Scan::prefix(&format!("{scope}{}", self.prefix));
        let (objects, versions) = self.start(view, &scope, &whole)?;
        let mut objects = Cursor::new(view, &OBJECTS, whole.clone(), objects);
        let mut versions = Cursor::new(view, &VERSIONS, whole, versions);
        loop {
            let object = objects.peek()?.map(|row| row.key.get(scope.len()..).unwrap_or_default());
            let version = versions.peek()?.map(|row| key_of(&row.key, &self.bucket));
            let (is_object, key) = match (object, version) {
                (None, None) => return Ok((entries, false)),
                (Some(object), None) => (true, object),
                (None, Some(version)) => (false, version),
                // Of one key's versions the current object is the newest.
                (Some(object), Some(version)) => match object.cmp(version) {
                    Ordering::Less | Ordering::Equal => (true, object),
                    Ordering::Greater => (false, version),
                },
            };
            if entries.len() == self.max {
                return Ok((entries, true));
            }
            if let Some(prefix) = self.delimiter.as_deref().and_then(|d| common_prefix(key, &self.prefix, d)) {
                let prefix = prefix.to_owned();
                let row_prefix = format!("{scope}{prefix}");
                objects.skip(&row_prefix);
                versions.skip(&row_prefix);
                entries.push(Entry::Prefix(prefix));
                continue;
            }
            let key = key.to_owned();
            if is_object {
                let row = objects.take().map(|row| Standing::Object(Box::new(row.value)));
                entries.extend(row.map(|standing| Entry::Version { key, standing, is_latest: true }));
            } else if let Some(row) = versions.take() {
                let is_latest = row.value.noncurrent_since_ms.is_none();
                entries.push(Entry::Version { key, standing: row.value.standing, is_latest });
            }
        }
    }
}

fn version(key: String, row: ObjectRow, is_latest: bool) -> ObjectVersion {
    ObjectVersion {
        checksum_algorithm: row.checksum.as_ref().map(|c| vec![ChecksumAlgorithm::from_static(c.algorithm.name())]),
        checksum_type: row.checksum.as_ref().map(StoredChecksum::kind),
        e_tag: Some(ETag::Strong(row.etag)),
        is_latest: Some(is_latest),
        key: Some(key),
        last_modified: Some(timestamp(row.modified_ms)),
        owner: Some(acl::owner(&row.owner)),
        restore_status: None,
        size: i64::try_from(row.size).ok(),
        storage_class: Some(row.description.storage_class.map_or(
            ObjectVersionStorageClass::from_static(ObjectVersionStorageClass::STANDARD),
            ObjectVersionStorageClass::from,
        )),
        version_id: Some(row.version.name().to_owned()),
    }
}

fn marker(key: String, row: &DeleteMarkerRow, is_latest: bool) -> DeleteMarkerEntry {
    DeleteMarkerEntry {
        is_latest: Some(is_latest),
        key: Some(key),
        last_modified: Some(timestamp(row.modified_ms)),
        owner: Some(acl::owner(&row.owner)),
        version_id: Some(row.version.name().to_owned()),
    }
}

/// The markers of a request: a version's only together with its key's.
fn after(key: Option<&str>, version: Option<&str>) -> Result<Option<(String, Option<VersionId>)>, S3Error> {
    let key = key.filter(|key| !key.is_empty());
    match (key, version) {
        (_, Some("")) => Err(errors::invalid_argument("A version-id marker cannot be empty.")),
        (None, Some(_)) => {
            Err(errors::invalid_argument("A version-id marker cannot be specified without a key marker."))
        }
        (None, None) => Ok(None),
        (Some(key), None) => Ok(Some((key.to_owned(), None))),
        (Some(key), Some(version)) => {
            let version = VersionId::parse(version).ok_or_else(errors::invalid_version_id)?;
            Ok(Some((key.to_owned(), Some(version))))
        }
    }
}

/// ListObjectVersions.
pub(crate) async fn list(
    service: &Arc<Service>,
    mut request: S3Request<ListObjectVersionsInput>,
) -> S3Result<S3Response<ListObjectVersionsOutput>> {
    let caller = Caller::of(&mut request)?;
    let input = request.input;
    let encoding = Encoding::of(input.encoding_type.as_ref())?;
    let max = page_size(input.max_keys, "max-keys")?;
    let (prefix, delimiter) = (input.prefix.unwrap_or_default(), delimiter(input.delimiter));
    let after = after(input.key_marker.as_deref(), input.version_id_marker.as_deref())?;
    let walk = Walk { bucket: input.bucket.clone(), prefix: prefix.clone(), delimiter: delimiter.clone(), after, max };
    let asked = Arc::clone(service);
    let (entries, more) = service
        .read(move |view| {
            let row = service::bucket(view, &walk.bucket)?;
            caller.check_owner(&row.owner)?;
            let max = walk.max.to_string();
            let question = Question::new(&caller.call, Action::LIST_BUCKET_VERSIONS, (&walk.bucket, &row))
                .with("s3:prefix", Some(&walk.prefix))
                .with("s3:delimiter", walk.delimiter.as_deref())
                .with("s3:max-keys", Some(&max));
            asked.authorise(&question)?;
            walk.page(view)
        })
        .await?;
    let (next_key_marker, next_version_id_marker) = match entries.last().filter(|_| more) {
        Some(Entry::Version { key, standing, .. }) => {
            (Some(encoding.write(key.clone())), Some(standing.version().name().to_owned()))
        }
        Some(Entry::Prefix(prefix)) => (Some(encoding.write(prefix.clone())), None),
        None => (None, None),
    };
    let (mut versions, mut markers, mut prefixes) = (Vec::new(), Vec::new(), Vec::new());
    for entry in entries {
        match entry {
            Entry::Version { key, standing: Standing::Object(row), is_latest } => {
                versions.push(version(encoding.write(key), *row, is_latest));
            }
            Entry::Version { key, standing: Standing::DeleteMarker(row), is_latest } => {
                markers.push(marker(encoding.write(key), &row, is_latest));
            }
            Entry::Prefix(prefix) => prefixes.push(CommonPrefix { prefix: Some(encoding.write(prefix)) }),
        }
    }
    Ok(S3Response::new(ListObjectVersionsOutput {
        name: Some(input.bucket),
        prefix: Some(encoding.write(prefix)),
        delimiter: delimiter.map(|delimiter| encoding.write(delimiter)),
        encoding_type: input.encoding_type,
        key_marker: Some(encoding.write(input.key_marker.unwrap_or_default())),
        version_id_marker: Some(input.version_id_marker.unwrap_or_default()),
        max_keys: i32::try_from(max).ok(),
        is_truncated: Some(more),
        next_key_marker,
        next_version_id_marker,
        versions: Some(versions),
        delete_markers: Some(markers),
        common_prefixes: Some(prefixes),
        request_charged: None,
    }))
}
