//! Rules against rows, without a store.

use super::*;
use crate::acl::Acl;
use crate::rows::{Content, Description, Version};

/// Wed, 15 Jan 2014 10:30:00 GMT.
const MADE_MS: u64 = 1_389_781_800_000;
/// Sun, 19 Jan 2014 00:00:00 GMT.
const THREE_DAYS_LATER_MS: u64 = 1_390_089_600_000;

fn object(size: u64, tags: &[(&str, &str)]) -> ObjectRow {
    ObjectRow {
        owner: "111111111111".to_owned(),
        size,
        etag: "e".to_owned(),
        modified_ms: MADE_MS,
        content: Content::Empty,
        description: Description::default(),
        checksum: None,
        tags: tags.iter().map(|(key, value)| Tag { key: (*key).to_owned(), value: (*value).to_owned() }).collect(),
        acl: Acl::default(),
        version: Version::default(),
    }
}

fn rule(id: &str, expiration: Option<Expiration>) -> Rule {
    Rule {
        id: id.to_owned(),
        is_enabled: true,
        filter: Filter::default(),
        expiration,
        noncurrent: None,
        abort_uploads_days: None,
    }
}

fn lifecycle(rules: impl IntoIterator<Item = Rule>) -> Lifecycle {
    Lifecycle { rules: rules.into_iter().collect(), transition_minimum: None }
}

fn expires(rules: &Lifecycle, key: &str, row: &ObjectRow) -> Option<u64> {
    rules.object_expires(key, row).map(|due| due.at_ms)
}

#[test]
fn days_end_at_the_midnight_that_awss_own_example_names() {
    assert_eq!(midnight_after(MADE_MS, 3), THREE_DAYS_LATER_MS);
    let rules = lifecycle([rule("three days", Some(Expiration::Days(3)))]);
    assert_eq!(expires(&rules, "a", &object(1, &[])), Some(THREE_DAYS_LATER_MS));
    let header = expiration_header(Some(&rules), "a", &object(1, &[])).unwrap();
    assert_eq!(header, "expiry-date=\"Sun, 19 Jan 2014 00:00:00 GMT\", rule-id=\"three%20days\"");
    assert_eq!(expiration_header(None, "a", &object(1, &[])), None);
}

#[test]
fn the_earliest_of_the_rules_that_match_counts_and_disabled_ones_do_not() {
    let mut off = rule("off", Some(Expiration::Days(1)));
    off.is_enabled = false;
    let date = Expiration::Date { at_ms: THREE_DAYS_LATER_MS - DAY_MS };
    let rules = lifecycle([off, rule("days", Some(Expiration::Days(3))), rule("date", Some(date))]);
    let row = object(1, &[]);
    assert_eq!(rules.object_expires("a", &row), Some(Due { at_ms: THREE_DAYS_LATER_MS - DAY_MS, rule: "date" }));
}

#[test]
fn a_filter_asks_for_everything_it_names() {
    let mut filtered = rule("filtered", Some(Expiration::Days(3)));
    filtered.filter = Filter {
        written: Written::And,
        prefix: Some("logs/".to_owned()),
        tags: vec![Tag { key: "keep".to_owned(), value: "no".to_owned() }],
        larger_than: Some(10),
        smaller_than: Some(20),
    };
    let rules = lifecycle([filtered]);
    let tagged = |size| object(size, &[("keep", "no"), ("other", "x")]);
    assert!(expires(&rules, "logs/a", &tagged(15)).is_some());
    assert!(expires(&rules, "log", &tagged(15)).is_none());
    assert!(expires(&rules, "logs/a", &tagged(10)).is_none() && expires(&rules, "logs/a", &tagged(20)).is_none());
    assert!(expires(&rules, "logs/a", &object(15, &[("keep", "yes")])).is_none());
}

#[test]
fn a_lone_marker_goes_at_once_where_a_rule_says_so_and_at_its_age_where_objects_expire() {
    let marker =
        DeleteMarkerRow { owner: "1".to_owned(), modified_ms: MADE_MS, version: Version { id: None, sequence: 1 } };
    let goes = |expiration| {
        let rules = lifecycle([rule("r", Some(expiration))]);
        rules.lone_marker_goes("a", &marker).map(|due| due.at_ms)
    };
    assert_eq!(goes(Expiration::LoneDeleteMarkers(true)), Some(MADE_MS));
    assert_eq!(goes(Expiration::LoneDeleteMarkers(false)), None);
    assert_eq!(goes(Expiration::Days(3)), Some(THREE_DAYS_LATER_MS));
    let mut by_size = rule("by size", Some(Expiration::Days(3)));
    by_size.filter.smaller_than = Some(100);
    assert_eq!(lifecycle([by_size]).lone_marker_goes("a", &marker), None, "a marker has no size");
    assert_eq!(expires(&lifecycle([rule("r", Some(Expiration::LoneDeleteMarkers(true)))]), "a", &object(1, &[])), None);
}

#[test]
fn noncurrent_versions_count_from_when_they_became_so_and_the_newest_are_kept() {
    let mut keeps = rule("keeps", None);
    keeps.noncurrent = Some(Noncurrent { days: 3, newer_kept: Some(2) });
    let rules = lifecycle([keeps]);
    let row = object(1, &[]);
    let goes = |newer| rules.noncurrent_goes("a", Some(&row), MADE_MS, newer).map(|due| due.at_ms);
    assert_eq!([goes(0), goes(1), goes(2)], [None, None, Some(THREE_DAYS_LATER_MS)]);
    assert!(rules.noncurrent_goes("a", None, MADE_MS, 2).is_some(), "delete markers become noncurrent too");
}

#[test]
fn an_upload_ends_by_its_keys_prefix() {
    let mut aborts = rule("aborts", None);
    aborts.abort_uploads_days = Some(3);
    aborts.filter.prefix = Some("big/".to_owned());
    let rules = lifecycle([aborts]);
    assert_eq!(rules.upload_ends("big/a", MADE_MS), Some(Due { at_ms: THREE_DAYS_LATER_MS, rule: "aborts" }));
    assert_eq!(rules.upload_ends("a", MADE_MS), None);
    let (date, id) = abort_headers(Some(&rules), "big/a", MADE_MS);
    assert!(date.is_some() && id.as_deref() == Some("aborts"));
}
