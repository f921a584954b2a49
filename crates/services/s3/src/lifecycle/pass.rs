//! The pass: once a day, and at start, everything that is due by a bucket's rules is done.
//!
//! Invariants:
//! - What is due is judged again inside the transaction that does it, by the rules and rows of that moment: what a
//!   client put, tagged or freed meanwhile is never lost to an older look.
//! - Reading holds nobody up, and one transaction does a bounded number of deeds.
//! - A pass that fails or is broken off has done whole deeds only; the next one does the rest.

use std::ops::ControlFlow;
use std::sync::{Arc, Weak};
use std::time::Duration;

use s3s::S3Error;
use store::{Scan, Transaction, View};

use super::rules::NEWER_KEPT_MAX;
use super::{DAY_MS, Lifecycle};
use crate::errors::Failure;
use crate::multipart;
use crate::rows::{self, BUCKETS, BucketRow, OBJECTS, Standing, UPLOADS, VERSIONS};
use crate::service::{Freed, Service};
use crate::versions::{self, Place, VersionId};

/// How often the clock is looked at: somebody may have set it.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Rows looked at in one view of the store.
const ROWS_MAX: usize = 1000;
/// Deeds in one transaction.
const DEEDS_MAX: usize = 100;
/// Deeds found in one look, though one key may have any number of versions.
const FOUND_MAX: usize = 10_000;

/// Something that a rule asks for.
#[derive(Clone, Debug)]
enum Deed {
    /// Abort the upload with this row.
    EndUpload { row_key: String },
    /// Delete what is current under this key.
    Expire { key: String },
    /// Remove a noncurrent version.
    RemoveNoncurrent { key: String, version: VersionId },
    /// Remove the delete marker that stands alone under this key.
    RemoveLoneMarker { key: String },
}

/// Where the next look begins.
enum Onward {
    /// Nowhere: all rows were seen.
    End,
    /// After this place, or at the start.
    After(Option<String>),
}

/// What one look found.
type Look = (Vec<Deed>, Onward);
/// Looks at rows of a bucket after a place that an earlier look told.
type Looking = fn(&View<'_>, &str, &Lifecycle, Option<String>, u64) -> Result<Look, Failure>;

/// Passes at start and then each midnight UTC, until the service is gone or drained.
pub(crate) async fn run_daily(service: Weak<Service>) {
    let mut done_day = None;
    loop {
        let Some(service) = service.upgrade() else { return };
        if service.is_draining() {
            return;
        }
        let today = service.now_ms() / DAY_MS;
        if done_day != Some(today) {
            match run(&service).await {
                Ok(()) => done_day = Some(today),
                Err(error) => {
                    tracing::warn!(error = %error, "a lifecycle pass failed; it is made again in a minute");
                }
            }
        }
        let stopped = Arc::clone(&service.drained);
        drop(service);
        tokio::select! {
            () = stopped.notified() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Does what is due now.
pub(crate) async fn run(service: &Arc<Service>) -> Result<(), S3Error> {
    let buckets = service
        .read(|view| {
            let mut found = Vec::new();
            view.visit(&BUCKETS, &Scan::all(), |row| {
                found.extend(row.value.lifecycle.map(|lifecycle| (row.key, lifecycle)));
                Ok::<_, Failure>(ControlFlow::<()>::Continue(()))
            })?;
            Ok(found)
        })
        .await?;
    // Noncurrent versions before the delete markers that may be left alone by that.
    const LOOKS: [Looking; 4] = [uploads, objects, noncurrent, lone_markers];
    for (bucket, lifecycle) in buckets {
        let mut done = 0;
        for look in LOOKS {
            done += run_one(service, &bucket, &lifecycle, look).await?;
        }
        if done > 0 {
            tracing::info!(bucket, done, "lifecycle rules were carried out");
        }
    }
    Ok(())
}

/// One kind of deeds in one bucket; how many were done.
async fn run_one(service: &Arc<Service>, bucket: &str, lifecycle: &Lifecycle, look: Looking) -> Result<usize, S3Error> {
    let (mut after, mut done) = (None, 0);
    loop {
        let (name, rules, now_ms) = (bucket.to_owned(), lifecycle.clone(), service.now_ms());
        let (deeds, onward) = service.read(move |view| look(view, &name, &rules, after, now_ms)).await?;
        let before = done;
        for some in deeds.chunks(DEEDS_MAX) {
            if service.is_draining() {
                return Ok(done);
            }
            let (name, some, asked) = (bucket.to_owned(), some.to_vec(), Arc::clone(service));
            done += service
                .write(move |transaction, freed| {
                    // The bucket may have gone, its rules have changed, or it may be another one's by now.
                    let Some(row) = transaction.get(&BUCKETS, &name)? else { return Ok(0) };
                    let Some(lifecycle) = &row.value.lifecycle else { return Ok(0) };
                    let mut bucket = Doing { service: &asked, bucket: (&name, &row.value), lifecycle, now_ms, done: 0 };
                    some.iter().try_for_each(|deed| bucket.carry_out(transaction, deed, freed))?;
                    Ok(bucket.done)
                })
                .await?;
        }
        match onward {
            // Were nothing of what was found done, the same would be found again: the rules changed, the next pass knows.
            Onward::After(next) if done > before || deeds.is_empty() => after = next,
            Onward::After(_) | Onward::End => return Ok(done),
        }
    }
}

fn scan_after(bucket: &str, after: Option<&str>) -> Scan {
    let scan = Scan::prefix(&format!("{bucket}\0")).limit(ROWS_MAX);
    match after {
        Some(after) => scan.after(after),
        None => scan,
    }
}

/// What follows the bucket in a row's key.
fn rest<'k>(row_key: &'k str, bucket: &str) -> &'k str {
    row_key.get(bucket.len() + 1..).unwrap_or_default()
}

/// Where the next look goes on, if this one did not reach the end.
fn onward(seen: usize, last: Option<&str>) -> Onward {
    if seen < ROWS_MAX { Onward::End } else { Onward::After(last.map(str::to_owned)) }
}

fn uploads(
    view: &View<'_>,
    bucket: &str,
    rules: &Lifecycle,
    after: Option<String>,
    now_ms: u64,
) -> Result<Look, Failure> {
    let rows = view.scan(&UPLOADS, &scan_after(bucket, after.as_deref()))?;
    let next = onward(rows.len(), rows.last().map(|row| row.key.as_str()));
    let due = rows.into_iter().filter(|row| {
        let key = rest(&row.key, bucket).rsplit_once('\0').map_or("", |(key, _)| key);
        rules.upload_ends(key, row.value.created_ms).is_some_and(|due| due.at_ms <= now_ms)
    });
    Ok((due.map(|row| Deed::EndUpload { row_key: row.key }).collect(), next))
}

fn objects(
    view: &View<'_>,
    bucket: &str,
    rules: &Lifecycle,
    after: Option<String>,
    now_ms: u64,
) -> Result<Look, Failure> {
    let rows = view.scan(&OBJECTS, &scan_after(bucket, after.as_deref()))?;
    let next = onward(rows.len(), rows.last().map(|row| row.key.as_str()));
    let due = rows.into_iter().filter_map(|row| {
        let key = rest(&row.key, bucket);
        let due = rules.object_expires(key, &row.value)?;
        (due.at_ms <= now_ms).then(|| Deed::Expire { key: key.to_owned() })
    });
    Ok((due.collect(), next))
}

/// The versions of one key after another, newest first. A look ends with a key, unless there is too much to do: then the
/// next one begins with that key again.
fn noncurrent(
    view: &View<'_>,
    bucket: &str,
    rules: &Lifecycle,
    after: Option<String>,
    now_ms: u64,
) -> Result<Look, Failure> {
    let scan = Scan::prefix(&format!("{bucket}\0"));
    let scan = after.as_deref().map_or(scan.clone(), |key| scan.past_prefix(&format!("{bucket}\0{key}\0")));
    let (mut deeds, mut ended, mut at) = (Vec::new(), after, None);
    let (mut newer, mut seen) = (0_u32, 0_usize);
    let broken_off = view.visit(&VERSIONS, &scan, |row| {
        let key = versions::key_of(&row.key, bucket);
        if at.as_deref() != Some(key) {
            ended = at.replace(key.to_owned()).or(ended.take());
            newer = 0;
            if seen >= ROWS_MAX {
                return Ok::<_, Failure>(ControlFlow::Break(()));
            }
        }
        if deeds.len() >= FOUND_MAX {
            return Ok(ControlFlow::Break(()));
        }
        seen += 1;
        let Some(since_ms) = row.value.noncurrent_since_ms else { return Ok(ControlFlow::Continue(())) };
        if goes(rules, key, &row.value.standing, since_ms, newer, now_ms) {
            let version = VersionId::of(row.value.standing.version());
            deeds.push(Deed::RemoveNoncurrent { key: key.to_owned(), version });
        }
        newer = newer.saturating_add(1);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok((deeds, if broken_off.is_some() { Onward::After(ended) } else { Onward::End }))
}

fn goes(rules: &Lifecycle, key: &str, standing: &Standing, since_ms: u64, newer: u32, now_ms: u64) -> bool {
    let object = match standing {
        Standing::Object(row) => Some(row.as_ref()),
        Standing::DeleteMarker(_) => None,
    };
    rules.noncurrent_goes(key, object, since_ms, newer).is_some_and(|due| due.at_ms <= now_ms)
}

fn lone_markers(
    view: &View<'_>,
    bucket: &str,
    rules: &Lifecycle,
    after: Option<String>,
    now_ms: u64,
) -> Result<Look, Failure> {
    let rows = view.scan(&VERSIONS, &scan_after(bucket, after.as_deref()))?;
    let next = onward(rows.len(), rows.last().map(|row| row.key.as_str()));
    let due = rows.iter().filter_map(|row| {
        let Standing::DeleteMarker(marker) = &row.value.standing else { return None };
        let key = versions::key_of(&row.key, bucket);
        let due = rules.lone_marker_goes(key, marker).filter(|_| row.value.noncurrent_since_ms.is_none())?;
        // Whether it stands alone is looked at when it is removed.
        (due.at_ms <= now_ms).then(|| Deed::RemoveLoneMarker { key: key.to_owned() })
    });
    Ok((due.collect(), next))
}

/// A transaction's deeds in one bucket.
struct Doing<'a> {
    service: &'a Service,
    bucket: (&'a str, &'a BucketRow),
    lifecycle: &'a Lifecycle,
    now_ms: u64,
    done: usize,
}

impl Doing<'_> {
    fn carry_out(&mut self, transaction: &mut Transaction<'_>, deed: &Deed, freed: &mut Freed) -> Result<(), Failure> {
        let done = match deed {
            Deed::EndUpload { row_key } => self.end_upload(transaction, row_key, freed)?,
            Deed::Expire { key } => self.expire(transaction, key, freed)?,
            Deed::RemoveNoncurrent { key, version } => self.remove_noncurrent(transaction, key, version, freed)?,
            Deed::RemoveLoneMarker { key } => self.remove_lone_marker(transaction, key, freed)?,
        };
        self.done += usize::from(done);
        Ok(())
    }

    fn place<'k>(&'k self, key: &'k str) -> Place<'k> {
        Place::new(self.bucket, key)
    }

    fn is_due(&self, due: Option<super::Due<'_>>) -> bool {
        due.is_some_and(|due| due.at_ms <= self.now_ms)
    }

    fn end_upload(&self, transaction: &mut Transaction<'_>, row_key: &str, freed: &mut Freed) -> Result<bool, Failure> {
        let Some(row) = transaction.get(&UPLOADS, row_key)? else { return Ok(false) };
        let Some((key, upload_id)) = rest(row_key, self.bucket.0).rsplit_once('\0') else { return Ok(false) };
        if !self.is_due(self.lifecycle.upload_ends(key, row.value.created_ms)) {
            return Ok(false);
        }
        multipart::end(transaction, row_key, upload_id, &[], freed)?;
        Ok(true)
    }

    fn expire(&self, transaction: &mut Transaction<'_>, key: &str, freed: &mut Freed) -> Result<bool, Failure> {
        let Some(row) = transaction.get(&OBJECTS, &rows::object_key(self.bucket.0, key))? else { return Ok(false) };
        if !self.is_due(self.lifecycle.object_expires(key, &row.value)) {
            return Ok(false);
        }
        let by = (self.bucket.1.owner.clone(), self.now_ms);
        versions::hide(transaction, self.place(key), by, self.service.ids.as_ref(), freed)?;
        Ok(true)
    }

    fn remove_noncurrent(
        &self,
        transaction: &mut Transaction<'_>,
        key: &str,
        version: &VersionId,
        freed: &mut Freed,
    ) -> Result<bool, Failure> {
        let Some(row) = versions::find_beside(transaction, self.place(key), version)? else { return Ok(false) };
        // Counted anew: a client may have removed some of those that are to be kept.
        let newer = versions::newer_noncurrent(transaction, self.place(key), row.standing.version(), NEWER_KEPT_MAX)?;
        let is_due = row
            .noncurrent_since_ms
            .is_some_and(|since_ms| goes(self.lifecycle, key, &row.standing, since_ms, newer, self.now_ms));
        if is_due {
            versions::remove(transaction, self.place(key), version, freed)?;
        }
        Ok(is_due)
    }

    fn remove_lone_marker(
        &self,
        transaction: &mut Transaction<'_>,
        key: &str,
        freed: &mut Freed,
    ) -> Result<bool, Failure> {
        let Some(Standing::DeleteMarker(marker)) = versions::current(transaction, self.place(key))? else {
            return Ok(false);
        };
        let is_due = self.is_due(self.lifecycle.lone_marker_goes(key, &marker));
        if !is_due || versions::has_noncurrent(transaction, self.place(key))? {
            return Ok(false);
        }
        versions::remove(transaction, self.place(key), &VersionId::of(&marker.version), freed)?;
        Ok(true)
    }
}
