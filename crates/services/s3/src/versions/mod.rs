//! Versions: what stands under a key, newest first, and what a write or a delete does to it.
//!
//! Invariants:
//! - Of each key's versions exactly one is current, the one of the highest sequence. A current object's row is in
//!   [`OBJECTS`]; a current delete marker's, and every noncurrent version's, in [`VERSIONS`]. So listing and reading what is
//!   current costs the same with versions as without.
//! - A key has at most one null version; where it stands in [`VERSIONS`], [`NULL_VERSIONS`] says under which sequence.
//! - A bucket that was never versioned has rows in [`OBJECTS`] only.
//! - Everything here happens inside the caller's transaction: a crash leaves all of a change or nothing.

mod id;
mod list;
mod status;

use std::ops::ControlFlow;

use ::host::Ids;
use store::{Scan, Transaction, View};

pub(crate) use self::id::VersionId;
pub(crate) use self::list::list;
pub(crate) use self::status::{get, put};
use crate::errors::Failure;
use crate::rows::{
    self, BucketRow, DeleteMarkerRow, NULL_VERSIONS, OBJECTS, ObjectRow, Standing, VERSIONS, Version, VersionRow,
    Versioning,
};
use crate::service::{self, Freed};

/// The digits of a version's order in its row's key.
const ORDER_DIGITS: usize = 16;

/// A key, and how its bucket keeps versions.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) bucket: &'a str,
    pub(crate) key: &'a str,
    pub(crate) versioning: Option<Versioning>,
}

impl<'a> Place<'a> {
    pub(crate) fn new((bucket, row): (&'a str, &BucketRow), key: &'a str) -> Self {
        Self { bucket, key, versioning: row.versioning }
    }

    fn object_key(&self) -> String {
        rows::object_key(self.bucket, self.key)
    }

    fn version_key(&self, sequence: u64) -> String {
        rows::version_key(self.bucket, self.key, sequence)
    }
}

/// The object's key in the key of a row of [`VERSIONS`].
pub(crate) fn key_of<'k>(row_key: &'k str, bucket: &str) -> &'k str {
    let end = row_key.len().saturating_sub(ORDER_DIGITS + 1);
    row_key.get(bucket.len() + 1..end).unwrap_or_default()
}

/// The id that an answer about a standing version tells: none where versions were never switched on.
pub(crate) fn told(bucket: &BucketRow, version: &Version) -> Option<String> {
    bucket.versioning.map(|_| version.name().to_owned())
}

/// The id that an answer about a write tells: none where writes make null versions.
pub(crate) fn told_of_write(bucket: &BucketRow, version: &Version) -> Option<String> {
    version.id.clone().filter(|_| bucket.versioning == Some(Versioning::Enabled))
}

/// What is current: an object, a delete marker, or nothing.
pub(crate) fn current(view: &View<'_>, place: Place<'_>) -> Result<Option<Standing>, Failure> {
    if let Some(row) = view.get(&OBJECTS, &place.object_key())? {
        return Ok(Some(Standing::Object(Box::new(row.value))));
    }
    Ok(newest_beside(view, place)?.map(|row| row.standing))
}

/// The version that a request names.
pub(crate) fn find(view: &View<'_>, place: Place<'_>, wanted: &VersionId) -> Result<Option<Standing>, Failure> {
    if let Some(row) = view.get(&OBJECTS, &place.object_key())?
        && is(&row.value.version, wanted)
    {
        return Ok(Some(Standing::Object(Box::new(row.value))));
    }
    Ok(find_beside(view, place, wanted)?.map(|row| row.standing))
}

/// Whether a version is the one that a request names.
fn is(version: &Version, wanted: &VersionId) -> bool {
    match wanted {
        VersionId::Null => version.id.is_none(),
        VersionId::Given { text, .. } => version.id.as_ref() == Some(text),
    }
}

/// The version that a request names, where it is among [`VERSIONS`].
pub(crate) fn find_beside(
    view: &View<'_>,
    place: Place<'_>,
    wanted: &VersionId,
) -> Result<Option<VersionRow>, Failure> {
    let sequence = match wanted {
        VersionId::Given { sequence, .. } => *sequence,
        VersionId::Null => match view.get(&NULL_VERSIONS, &place.object_key())? {
            Some(row) => row.value,
            None => return Ok(None),
        },
    };
    let row = view.get(&VERSIONS, &place.version_key(sequence))?.map(|row| row.value);
    Ok(row.filter(|row| is(row.standing.version(), wanted)))
}

/// The newest version of the key among [`VERSIONS`].
fn newest_beside(view: &View<'_>, place: Place<'_>) -> Result<Option<VersionRow>, Failure> {
    let prefix = format!("{}\0", place.object_key());
    view.visit(&VERSIONS, &Scan::prefix(&prefix), |row| {
        // Another key's goes on after a NUL.
        let is_ours = row.key.len() == prefix.len() + ORDER_DIGITS;
        Ok(if is_ours { ControlFlow::Break(row.value) } else { ControlFlow::Continue(()) })
    })
}

/// How many noncurrent versions of the key are newer than this one; it is not counted further than to `most`.
pub(crate) fn newer_noncurrent(view: &View<'_>, place: Place<'_>, than: &Version, most: u32) -> Result<u32, Failure> {
    let prefix = format!("{}\0", place.object_key());
    let mut count = 0;
    view.visit(&VERSIONS, &Scan::prefix(&prefix).until(&place.version_key(than.sequence)), |row| {
        let is_ours = row.key.len() == prefix.len() + ORDER_DIGITS;
        count += u32::from(is_ours && row.value.noncurrent_since_ms.is_some());
        Ok::<_, Failure>(if count >= most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(count)
}

/// Whether the key has noncurrent versions.
pub(crate) fn has_noncurrent(view: &View<'_>, place: Place<'_>) -> Result<bool, Failure> {
    let prefix = format!("{}\0", place.object_key());
    let found = view.visit(&VERSIONS, &Scan::prefix(&prefix), |row| {
        let is_ours = row.key.len() == prefix.len() + ORDER_DIGITS;
        let is_one = is_ours && row.value.noncurrent_since_ms.is_some();
        Ok::<_, Failure>(if is_one { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(found.is_some())
}

/// Makes room for a new version of the key, and says which it will be.
fn make_room(
    transaction: &mut Transaction<'_>,
    place: Place<'_>,
    ids: &dyn Ids,
    now_ms: u64,
    freed: &mut Freed,
) -> Result<Version, Failure> {
    let Some(versioning) = place.versioning else {
        forget_object(transaction, place, freed)?;
        return Ok(Version::default());
    };
    let standing = current(transaction, place)?;
    let sequence = standing.as_ref().map_or(1, |standing| standing.version().sequence.saturating_add(1));
    if versioning == Versioning::Suspended {
        forget_null(transaction, place, freed)?;
    }
    retire(transaction, place, now_ms)?;
    let id = (versioning == Versioning::Enabled).then(|| id::fresh(ids, sequence));
    Ok(Version { id, sequence })
}

/// The version that was current is so no more.
fn retire(transaction: &mut Transaction<'_>, place: Place<'_>, now_ms: u64) -> Result<(), Failure> {
    let key = place.object_key();
    if let Some(row) = transaction.get(&OBJECTS, &key)? {
        transaction.delete(&OBJECTS, &key)?;
        return put_beside(transaction, place, Standing::Object(Box::new(row.value)), Some(now_ms));
    }
    match newest_beside(transaction, place)? {
        Some(row) if row.noncurrent_since_ms.is_none() => put_beside(transaction, place, row.standing, Some(now_ms)),
        _ => Ok(()),
    }
}

/// Puts a version's row among [`VERSIONS`].
fn put_beside(
    transaction: &mut Transaction<'_>,
    place: Place<'_>,
    standing: Standing,
    noncurrent_since_ms: Option<u64>,
) -> Result<(), Failure> {
    let version = standing.version().clone();
    if version.id.is_none() {
        transaction.put(&NULL_VERSIONS, &place.object_key(), &version.sequence)?;
    }
    let row = VersionRow { noncurrent_since_ms, standing };
    transaction.put(&VERSIONS, &place.version_key(version.sequence), &row)?;
    Ok(())
}

/// Takes a version's row away from [`VERSIONS`].
fn take_beside(transaction: &mut Transaction<'_>, place: Place<'_>, version: &Version) -> Result<(), Failure> {
    if version.id.is_none() {
        transaction.delete(&NULL_VERSIONS, &place.object_key())?;
    }
    transaction.delete(&VERSIONS, &place.version_key(version.sequence))?;
    Ok(())
}

/// Removes the object that is current, if one is; nothing takes its place.
fn forget_object(transaction: &mut Transaction<'_>, place: Place<'_>, freed: &mut Freed) -> Result<(), Failure> {
    let key = place.object_key();
    if let Some(row) = transaction.get(&OBJECTS, &key)? {
        service::unlink(transaction, &row.value.content, freed)?;
        transaction.delete(&OBJECTS, &key)?;
    }
    Ok(())
}

/// Removes the null version, wherever it stands.
fn forget_null(transaction: &mut Transaction<'_>, place: Place<'_>, freed: &mut Freed) -> Result<(), Failure> {
    if transaction.get(&OBJECTS, &place.object_key())?.is_some_and(|row| row.value.version.id.is_none()) {
        return forget_object(transaction, place, freed);
    }
    forget_beside(transaction, place, &VersionId::Null, freed).map(drop)
}

/// Removes a version from among [`VERSIONS`]; what it was.
fn forget_beside(
    transaction: &mut Transaction<'_>,
    place: Place<'_>,
    wanted: &VersionId,
    freed: &mut Freed,
) -> Result<Option<VersionRow>, Failure> {
    let Some(row) = find_beside(transaction, place, wanted)? else { return Ok(None) };
    if let Standing::Object(object) = &row.standing {
        service::unlink(transaction, &object.content, freed)?;
    }
    take_beside(transaction, place, row.standing.version())?;
    Ok(Some(row))
}

/// Makes the newest version current, where what was current has gone.
fn promote(transaction: &mut Transaction<'_>, place: Place<'_>) -> Result<(), Failure> {
    let Some(row) = newest_beside(transaction, place)? else { return Ok(()) };
    match row.standing {
        Standing::Object(object) => {
            take_beside(transaction, place, &object.version)?;
            transaction.put(&OBJECTS, &place.object_key(), &object)?;
            Ok(())
        }
        marker @ Standing::DeleteMarker(_) => put_beside(transaction, place, marker, None),
    }
}

/// Puts an object, whose bytes are linked, as the key's current version; which it became.
pub(crate) fn add(
    transaction: &mut Transaction<'_>,
    place: Place<'_>,
    mut row: ObjectRow,
    ids: &dyn Ids,
    freed: &mut Freed,
) -> Result<Version, Failure> {
    row.version = make_room(transaction, place, ids, row.modified_ms, freed)?;
    transaction.put(&OBJECTS, &place.object_key(), &row)?;
    Ok(row.version)
}

/// Deletes the key without naming a version: puts a delete marker, or in a bucket that was never versioned removes the
/// object. `None`: no marker was made.
pub(crate) fn hide(
    transaction: &mut Transaction<'_>,
    place: Place<'_>,
    (owner, now_ms): (String, u64),
    ids: &dyn Ids,
    freed: &mut Freed,
) -> Result<Option<Version>, Failure> {
    let version = make_room(transaction, place, ids, now_ms, freed)?;
    if place.versioning.is_none() {
        return Ok(None);
    }
    let marker = DeleteMarkerRow { owner, modified_ms: now_ms, version: version.clone() };
    put_beside(transaction, place, Standing::DeleteMarker(marker), None)?;
    Ok(Some(version))
}

/// Removes one version for good; what it was, if it was there.
pub(crate) fn remove(
    transaction: &mut Transaction<'_>,
    place: Place<'_>,
    wanted: &VersionId,
    freed: &mut Freed,
) -> Result<Option<Standing>, Failure> {
    if let Some(row) = transaction.get(&OBJECTS, &place.object_key())?
        && is(&row.value.version, wanted)
    {
        forget_object(transaction, place, freed)?;
        promote(transaction, place)?;
        return Ok(Some(Standing::Object(Box::new(row.value))));
    }
    let Some(row) = forget_beside(transaction, place, wanted, freed)? else { return Ok(None) };
    if row.noncurrent_since_ms.is_none() {
        promote(transaction, place)?;
    }
    Ok(Some(row.standing))
}

/// Writes a version's row anew where it stands: its tags or its ACL changed.
pub(crate) fn rewrite(transaction: &mut Transaction<'_>, place: Place<'_>, row: ObjectRow) -> Result<(), Failure> {
    let key = place.object_key();
    if transaction.get(&OBJECTS, &key)?.is_some_and(|current| current.value.version == row.version) {
        transaction.put(&OBJECTS, &key, &row)?;
        return Ok(());
    }
    let key = place.version_key(row.version.sequence);
    if let Some(beside) = transaction.get(&VERSIONS, &key)? {
        let standing = Standing::Object(Box::new(row));
        transaction.put(&VERSIONS, &key, &VersionRow { standing, ..beside.value })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
