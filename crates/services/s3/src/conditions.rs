//! Conditional requests: may this read or write go on, given what stands there now?
//!
//! Invariants:
//! - The order of RFC 9110 section 13.2.2: `If-Match` makes `If-Unmodified-Since` void, `If-None-Match` makes
//!   `If-Modified-Since` void.
//! - Times compare in whole seconds, since that is all that `Last-Modified` can say.
//! - A date or range that does not parse is ignored, as RFC 9110 asks and S3 does.

use http::HeaderMap;
use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE};
use s3s::S3Error;
use s3s::dto::{ETagCondition, Range, Timestamp, TimestampFormat};

use crate::errors;

/// The ETag and time that a request's conditions are held against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validators<'a> {
    /// Without quotes.
    pub(crate) etag: &'a str,
    pub(crate) modified_s: i64,
}

/// The conditions of a read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Conditions {
    /// ETags without quotes, or `*`.
    pub(crate) if_match: Option<Vec<String>>,
    pub(crate) if_none_match: Option<Vec<String>>,
    /// Seconds since the Unix epoch.
    pub(crate) if_modified_since: Option<i64>,
    pub(crate) if_unmodified_since: Option<i64>,
}

/// What the headers of a GET or HEAD ask for.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadHeaders {
    pub(crate) conditions: Conditions,
    range: Option<Range>,
    if_range: Option<String>,
}

impl ReadHeaders {
    /// Takes the conditional headers and the range out of `headers`, so that nobody else judges them.
    pub(crate) fn take(headers: &mut HeaderMap) -> Self {
        let mut text = |name: http::HeaderName| Some(headers.remove(name)?.to_str().ok()?.trim().to_owned());
        Self {
            conditions: Conditions {
                if_match: text(IF_MATCH).map(|list| etags(&list)),
                if_none_match: text(IF_NONE_MATCH).map(|list| etags(&list)),
                if_modified_since: text(IF_MODIFIED_SINCE).and_then(|date| http_date(&date)),
                if_unmodified_since: text(IF_UNMODIFIED_SINCE).and_then(|date| http_date(&date)),
            },
            range: text(RANGE).and_then(|range| Range::parse(&range).ok()),
            if_range: text(IF_RANGE),
        }
    }

    /// The bytes asked for of an object of `size` bytes; `None`: all of them. `InvalidRange` when none of them exist.
    pub(crate) fn range(&self, size: u64, now: Validators<'_>) -> Result<Option<std::ops::Range<u64>>, S3Error> {
        let Some(range) = &self.range else { return Ok(None) };
        if self.if_range.as_deref().is_some_and(|condition| !range_still_fits(condition, now)) {
            return Ok(None);
        }
        range.check(size).map(Some).map_err(|_| errors::invalid_range())
    }
}

/// `If-Range`: the range counts only if the object is still the one that the client knows.
fn range_still_fits(condition: &str, now: Validators<'_>) -> bool {
    match http_date(condition) {
        Some(date) => date == now.modified_s,
        None => condition == format!("\"{}\"", now.etag),
    }
}

fn etags(list: &str) -> Vec<String> {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").trim_matches('"').to_owned();
    list.split(',').map(bare).filter(|tag| !tag.is_empty()).collect()
}

fn http_date(text: &str) -> Option<i64> {
    Timestamp::parse(TimestampFormat::HttpDate, text).ok().map(seconds)
}

/// Whole seconds since the Unix epoch.
pub(crate) fn seconds(timestamp: Timestamp) -> i64 {
    time::OffsetDateTime::from(timestamp).unix_timestamp()
}

enum Verdict {
    Go,
    Unchanged,
    Failed,
}

impl Conditions {
    /// The conditions of a copy's source.
    pub(crate) fn of_copy(
        if_match: Option<&ETagCondition>,
        if_none_match: Option<&ETagCondition>,
        if_modified_since: Option<&Timestamp>,
        if_unmodified_since: Option<&Timestamp>,
    ) -> Self {
        let list = |condition: &ETagCondition| vec![bare(condition)];
        Self {
            if_match: if_match.map(list),
            if_none_match: if_none_match.map(list),
            if_modified_since: if_modified_since.cloned().map(seconds),
            if_unmodified_since: if_unmodified_since.cloned().map(seconds),
        }
    }

    /// For a read: 412 or 304 when the conditions do not hold.
    pub(crate) fn check_read(&self, now: Validators<'_>) -> Result<(), S3Error> {
        match self.judge(now) {
            Verdict::Go => Ok(()),
            Verdict::Unchanged => Err(errors::not_modified()),
            Verdict::Failed => Err(errors::precondition_failed()),
        }
    }

    /// For the source of a copy: always 412 when the conditions do not hold.
    pub(crate) fn check_copy(&self, now: Validators<'_>) -> Result<(), S3Error> {
        match self.judge(now) {
            Verdict::Go => Ok(()),
            Verdict::Unchanged | Verdict::Failed => Err(errors::precondition_failed()),
        }
    }

    fn judge(&self, now: Validators<'_>) -> Verdict {
        let names = |list: &Vec<String>| list.iter().any(|tag| tag == "*" || tag == now.etag);
        match (&self.if_match, self.if_unmodified_since) {
            (Some(list), _) if !names(list) => return Verdict::Failed,
            (None, Some(since)) if now.modified_s > since => return Verdict::Failed,
            _ => {}
        }
        match (&self.if_none_match, self.if_modified_since) {
            (Some(list), _) if names(list) => Verdict::Unchanged,
            (None, Some(since)) if now.modified_s <= since => Verdict::Unchanged,
            _ => Verdict::Go,
        }
    }
}

fn bare(condition: &ETagCondition) -> String {
    condition.as_etag().map_or_else(|| "*".to_owned(), |etag| etag.value().to_owned())
}

/// The conditions of a write: `If-Match` and `If-None-Match` of PutObject and CompleteMultipartUpload.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteConditions {
    if_match: Option<String>,
    if_absent: bool,
}

impl WriteConditions {
    /// `If-None-Match` takes only `*` here, as on AWS.
    pub(crate) fn new(
        if_match: Option<&ETagCondition>,
        if_none_match: Option<&ETagCondition>,
    ) -> Result<Self, S3Error> {
        if if_none_match.is_some_and(|condition| !condition.is_any()) {
            return Err(errors::not_implemented("If-None-Match with an entity tag"));
        }
        Ok(Self { if_match: if_match.map(bare), if_absent: if_none_match.is_some() })
    }

    /// Judges against the ETag of the object that stands there, inside the transaction that writes.
    pub(crate) fn check(&self, etag: Option<&str>) -> Result<(), S3Error> {
        match (&self.if_match, etag) {
            (Some(_), None) => return Err(errors::no_such_key()),
            (Some(expected), Some(etag)) if expected != "*" && expected != etag => {
                return Err(errors::precondition_failed());
            }
            _ => {}
        }
        if self.if_absent && etag.is_some() {
            return Err(errors::precondition_failed());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Validators<'_> = Validators { etag: "abc", modified_s: 1_445_412_480 };
    const AT: &str = "Wed, 21 Oct 2015 07:28:00 GMT";
    const BEFORE: &str = "Wed, 21 Oct 2015 07:27:59 GMT";

    fn read(pairs: &[(&'static str, &str)]) -> ReadHeaders {
        let mut headers =
            pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect();
        let read = ReadHeaders::take(&mut headers);
        assert!(headers.is_empty());
        read
    }

    fn verdict(pairs: &[(&'static str, &str)]) -> &'static str {
        match read(pairs).conditions.check_read(NOW) {
            Ok(()) => "go",
            Err(error) if error.code().as_str() == "NotModified" => "304",
            Err(_) => "412",
        }
    }

    #[test]
    fn each_condition_alone() {
        assert_eq!(verdict(&[("if-match", "\"abc\"")]), "go");
        assert_eq!(verdict(&[("if-match", "\"x\", \"abc\"")]), "go");
        assert_eq!(verdict(&[("if-match", "\"x\"")]), "412");
        assert_eq!(verdict(&[("if-none-match", "\"abc\"")]), "304");
        assert_eq!(verdict(&[("if-none-match", "*")]), "304");
        assert_eq!(verdict(&[("if-none-match", "\"x\"")]), "go");
        assert_eq!(verdict(&[("if-modified-since", AT)]), "304");
        assert_eq!(verdict(&[("if-modified-since", BEFORE)]), "go");
        assert_eq!(verdict(&[("if-unmodified-since", AT)]), "go");
        assert_eq!(verdict(&[("if-unmodified-since", BEFORE)]), "412");
        assert_eq!(verdict(&[("if-unmodified-since", "yesterday")]), "go");
    }

    #[test]
    fn an_etag_condition_makes_the_date_void() {
        assert_eq!(verdict(&[("if-match", "\"abc\""), ("if-unmodified-since", BEFORE)]), "go");
        assert_eq!(verdict(&[("if-none-match", "\"x\""), ("if-modified-since", AT)]), "go");
    }

    #[test]
    fn a_range_counts_only_while_if_range_holds() {
        let whole = read(&[("range", "bytes=0-1"), ("if-range", "\"x\"")]);
        assert_eq!(whole.range(10, NOW).unwrap(), None);
        let part = read(&[("range", "bytes=0-1"), ("if-range", "\"abc\"")]);
        assert_eq!(part.range(10, NOW).unwrap(), Some(0..2));
    }

    #[test]
    fn a_range_past_the_end_is_refused_and_a_malformed_one_ignored() {
        assert_eq!(read(&[("range", "bytes=10-")]).range(10, NOW).unwrap_err().code().as_str(), "InvalidRange");
        assert_eq!(read(&[("range", "bytes=0-1,3-4")]).range(10, NOW).unwrap(), None);
        assert_eq!(read(&[("range", "bytes=-3")]).range(10, NOW).unwrap(), Some(7..10));
    }

    #[test]
    fn a_write_may_ask_for_absence_or_for_one_etag() {
        let any = ETagCondition::Any;
        let absent = WriteConditions::new(None, Some(&any)).unwrap();
        assert!(absent.check(None).is_ok());
        assert_eq!(absent.check(Some("abc")).unwrap_err().code().as_str(), "PreconditionFailed");
        let abc: ETagCondition = "\"abc\"".parse().unwrap();
        let same = WriteConditions::new(Some(&abc), None).unwrap();
        assert!(same.check(Some("abc")).is_ok());
        assert_eq!(same.check(Some("x")).unwrap_err().code().as_str(), "PreconditionFailed");
        assert_eq!(same.check(None).unwrap_err().code().as_str(), "NoSuchKey");
    }
}
