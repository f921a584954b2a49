//! ListObjects, both versions, and the walk that they share with ListMultipartUploads.
//!
//! Invariants:
//! - Keys come in UTF-8 byte order; a common prefix stands where its first key would.
//! - A walk with a delimiter seeks past a common prefix: its cost follows from what is listed, not from how many keys
//!   a prefix hides.
//! - A page's continuation names the last entry listed, key or common prefix, and the next page begins after it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use s3s::dto::{
    ChecksumAlgorithm, CommonPrefix, ETag, EncodingType, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input,
    ListObjectsV2Output, Object, ObjectStorageClass,
};
use s3s::{S3Error, S3Request, S3Response, S3Result};
use serde::de::DeserializeOwned;
use store::{Scan, Table, View};

use crate::acl;
use crate::authorisation::{Action, Question};
use crate::door::Caller;
use crate::errors::{self, Failure};
use crate::rows::{OBJECTS, ObjectRow};
use crate::service::{self, Service, timestamp};

/// AWS: one page has at most 1,000 entries.
pub(crate) const ENTRIES_MAX: i32 = 1000;
/// Rows read at a time after a seek, and at most.
const BATCH: (usize, usize) = (8, 512);

/// What a walk looks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Walk {
    pub(crate) prefix: String,
    /// Not empty.
    pub(crate) delimiter: Option<String>,
    pub(crate) after: Position,
    pub(crate) max: usize,
}

/// Where a walk begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Position {
    /// At the start.
    #[default]
    Start,
    /// After everything up to this key.
    Key(String),
    /// After everything that begins with this prefix.
    Prefix(String),
}

impl Position {
    /// After a marker that a client gave: a common prefix that was listed hides all that it stands for.
    pub(crate) fn after_marker(marker: Option<String>, prefix: &str, delimiter: Option<&str>) -> Self {
        match (marker.filter(|marker| !marker.is_empty()), delimiter) {
            (None, _) => Self::Start,
            (Some(marker), Some(delimiter)) if common_prefix(&marker, prefix, delimiter) == Some(marker.as_str()) => {
                Self::Prefix(marker)
            }
            (Some(marker), _) => Self::Key(marker),
        }
    }
}

/// One entry of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry<T> {
    /// A row, by the rest of its key.
    Row(String, T),
    /// All that begins with this.
    Prefix(String),
}

impl<T> Entry<T> {
    fn name(&self) -> &str {
        match self {
            Self::Row(name, _) | Self::Prefix(name) => name,
        }
    }

    fn position(&self) -> Position {
        match self {
            Self::Row(name, _) => Position::Key(name.clone()),
            Self::Prefix(name) => Position::Prefix(name.clone()),
        }
    }
}

/// The common prefix that `key` falls under, if it does.
pub(crate) fn common_prefix<'a>(key: &'a str, prefix: &str, delimiter: &str) -> Option<&'a str> {
    let rest = key.strip_prefix(prefix)?;
    let at = rest.find(delimiter)?;
    key.get(..prefix.len() + at + delimiter.len())
}

/// Walks the rows of `table` whose keys are `scope` and then what the walk looks for; whether there are more.
/// `name` cuts what follows the listed name off the rest of a key.
pub(crate) fn walk<T: DeserializeOwned>(
    view: &View<'_>,
    table: &Table<T>,
    scope: &str,
    walk: &Walk,
    name: impl Fn(&str) -> &str,
) -> Result<(Vec<Entry<T>>, bool), Failure> {
    let mut entries = Vec::new();
    if walk.max == 0 {
        return Ok((entries, false));
    }
    let whole = Scan::prefix(&format!("{scope}{}", walk.prefix));
    let mut scan = match &walk.after {
        Position::Start => whole.clone(),
        Position::Key(key) => whole.clone().after(&format!("{scope}{key}")),
        Position::Prefix(prefix) => whole.clone().past_prefix(&format!("{scope}{prefix}")),
    };
    let mut batch = if walk.delimiter.is_some() { BATCH.0 } else { walk.max.saturating_add(1).min(BATCH.1) };
    loop {
        let rows = view.scan(table, &scan.clone().limit(batch))?;
        let ended = rows.len() < batch;
        let mut seek = None;
        for row in rows {
            let Some(rest) = row.key.strip_prefix(scope) else { continue };
            let under = walk.delimiter.as_deref().and_then(|d| common_prefix(name(rest), &walk.prefix, d));
            if entries.len() == walk.max {
                return Ok((entries, true));
            }
            match under {
                Some(prefix) => {
                    let prefix = prefix.to_owned();
                    seek = Some(whole.clone().past_prefix(&format!("{scope}{prefix}")));
                    entries.push(Entry::Prefix(prefix));
                    break;
                }
                None => {
                    let rest = rest.to_owned();
                    seek = Some(whole.clone().after(&row.key));
                    entries.push(Entry::Row(rest, row.value));
                }
            }
        }
        match seek {
            Some(next) if matches!(entries.last(), Some(Entry::Prefix(_))) => (scan, batch) = (next, BATCH.0),
            Some(next) if !ended => (scan, batch) = (next, (batch * 2).min(BATCH.1)),
            _ => return Ok((entries, false)),
        }
    }
}

/// A listing's answer, before either version shapes it.
struct Page {
    contents: Vec<Object>,
    prefixes: Vec<CommonPrefix>,
    /// The last entry, where there are more.
    next: Option<(String, Position)>,
}

/// Names as the client wants them written.
#[derive(Clone, Copy)]
pub(crate) struct Encoding(bool);

impl Encoding {
    pub(crate) fn of(asked: Option<&EncodingType>) -> Result<Self, S3Error> {
        match asked.map(EncodingType::as_str) {
            None => Ok(Self(false)),
            Some(EncodingType::URL) => Ok(Self(true)),
            Some(_) => Err(errors::invalid_argument("Invalid Encoding Method specified in Request")),
        }
    }

    pub(crate) fn write(self, name: String) -> String {
        /// What S3 leaves as it is.
        const KEPT: percent_encoding::AsciiSet =
            percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b'/');
        if !self.0 {
            return name;
        }
        percent_encoding::utf8_percent_encode(&name, &KEPT).to_string().replace("%20", "+")
    }
}

struct Listing {
    caller: Caller,
    bucket: String,
    walk: Walk,
    encoding: Encoding,
    with_owner: bool,
}

async fn list(service: &Arc<Service>, listing: Listing) -> Result<Page, S3Error> {
    let asked = Arc::clone(service);
    let (bucket, encoding, with_owner) = (listing.bucket, listing.encoding, listing.with_owner);
    let (entries, more) = service
        .read(move |view| {
            let row = service::bucket(view, &bucket)?;
            listing.caller.check_owner(&row.owner)?;
            let max = listing.walk.max.to_string();
            let question = Question::new(&listing.caller.call, Action::LIST_BUCKET, (&bucket, &row))
                .with("s3:prefix", Some(&listing.walk.prefix))
                .with("s3:delimiter", listing.walk.delimiter.as_deref())
                .with("s3:max-keys", Some(&max));
            asked.authorise(&question)?;
            walk(view, &OBJECTS, &format!("{bucket}\0"), &listing.walk, |rest| rest)
        })
        .await?;
    let next = entries.last().filter(|_| more).map(|last| (last.name().to_owned(), last.position()));
    let mut page = Page { contents: Vec::new(), prefixes: Vec::new(), next };
    for entry in entries {
        match entry {
            Entry::Row(key, row) => page.contents.push(object(encoding.write(key), row, with_owner)),
            Entry::Prefix(prefix) => page.prefixes.push(CommonPrefix { prefix: Some(encoding.write(prefix)) }),
        }
    }
    Ok(page)
}

fn object(key: String, row: ObjectRow, with_owner: bool) -> Object {
    Object {
        checksum_algorithm: row.checksum.as_ref().map(|c| vec![ChecksumAlgorithm::from_static(c.algorithm.name())]),
        checksum_type: row.checksum.as_ref().map(crate::checksums::StoredChecksum::kind),
        e_tag: Some(ETag::Strong(row.etag)),
        key: Some(key),
        last_modified: Some(timestamp(row.modified_ms)),
        owner: with_owner.then(|| acl::owner(&row.owner)),
        restore_status: None,
        size: i64::try_from(row.size).ok(),
        storage_class: Some(
            row.description
                .storage_class
                .map_or(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD), ObjectStorageClass::from),
        ),
    }
}

/// `max-keys`: as asked, at most 1,000.
pub(crate) fn page_size(asked: Option<i32>, name: &str) -> Result<usize, S3Error> {
    let size = asked.unwrap_or(ENTRIES_MAX).min(ENTRIES_MAX);
    usize::try_from(size)
        .map_err(|_| errors::invalid_argument(format!("Argument {name} must be an integer between 0 and 2147483647")))
}

/// An empty delimiter is none.
pub(crate) fn delimiter(asked: Option<String>) -> Option<String> {
    asked.filter(|delimiter| !delimiter.is_empty())
}

fn as_i32(size: usize) -> Option<i32> {
    i32::try_from(size).ok()
}

/// ListObjects.
pub(crate) async fn objects(
    service: &Arc<Service>,
    mut request: S3Request<ListObjectsInput>,
) -> S3Result<S3Response<ListObjectsOutput>> {
    let caller = Caller::of(&mut request)?;
    let input = request.input;
    let encoding = Encoding::of(input.encoding_type.as_ref())?;
    let max = page_size(input.max_keys, "maxKeys")?;
    let prefix = input.prefix.unwrap_or_default();
    let delimiter = delimiter(input.delimiter);
    let after = Position::after_marker(input.marker.clone(), &prefix, delimiter.as_deref());
    let walk = Walk { prefix: prefix.clone(), delimiter: delimiter.clone(), after, max };
    let page =
        list(service, Listing { caller, bucket: input.bucket.clone(), walk, encoding, with_owner: true }).await?;
    // Without a delimiter the client takes the last key, as AWS has it.
    let next_marker = page.next.as_ref().filter(|_| delimiter.is_some()).map(|(name, _)| encoding.write(name.clone()));
    Ok(S3Response::new(ListObjectsOutput {
        name: Some(input.bucket),
        prefix: Some(encoding.write(prefix)),
        marker: Some(encoding.write(input.marker.unwrap_or_default())),
        max_keys: as_i32(max),
        is_truncated: Some(page.next.is_some()),
        contents: Some(page.contents),
        common_prefixes: Some(page.prefixes),
        delimiter: delimiter.map(|delimiter| encoding.write(delimiter)),
        next_marker,
        encoding_type: input.encoding_type,
        request_charged: None,
    }))
}

/// A continuation token: which kind of entry was last, and its name.
fn token(position: &Position) -> String {
    match position {
        Position::Start => String::new(),
        Position::Key(key) => BASE64.encode(format!("k{key}")),
        Position::Prefix(prefix) => BASE64.encode(format!("p{prefix}")),
    }
}

fn position_of(token: &str) -> Result<Position, S3Error> {
    let text = BASE64.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.ok_or_else(|| errors::invalid_argument("The continuation token provided is incorrect"))?;
    match (text.strip_prefix('k'), text.strip_prefix('p')) {
        (Some(key), _) => Ok(Position::Key(key.to_owned())),
        (_, Some(prefix)) => Ok(Position::Prefix(prefix.to_owned())),
        _ => Err(errors::invalid_argument("The continuation token provided is incorrect")),
    }
}

/// ListObjectsV2.
pub(crate) async fn objects_v2(
    service: &Arc<Service>,
    mut request: S3Request<ListObjectsV2Input>,
) -> S3Result<S3Response<ListObjectsV2Output>> {
    let caller = Caller::of(&mut request)?;
    let input = request.input;
    let encoding = Encoding::of(input.encoding_type.as_ref())?;
    let max = page_size(input.max_keys, "max-keys")?;
    let prefix = input.prefix.unwrap_or_default();
    let delimiter = delimiter(input.delimiter);
    let after = match input.continuation_token.as_deref() {
        Some(token) => position_of(token)?,
        None => Position::after_marker(input.start_after.clone(), &prefix, delimiter.as_deref()),
    };
    let walk = Walk { prefix: prefix.clone(), delimiter: delimiter.clone(), after, max };
    let with_owner = input.fetch_owner.unwrap_or_default();
    let page = list(service, Listing { caller, bucket: input.bucket.clone(), walk, encoding, with_owner }).await?;
    Ok(S3Response::new(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(encoding.write(prefix)),
        max_keys: as_i32(max),
        key_count: as_i32(page.contents.len() + page.prefixes.len()),
        continuation_token: input.continuation_token,
        is_truncated: Some(page.next.is_some()),
        next_continuation_token: page.next.map(|(_, position)| token(&position)),
        contents: Some(page.contents),
        common_prefixes: Some(page.prefixes),
        delimiter: delimiter.map(|delimiter| encoding.write(delimiter)),
        encoding_type: input.encoding_type,
        start_after: input.start_after.map(|after| encoding.write(after)),
        request_charged: None,
    }))
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
