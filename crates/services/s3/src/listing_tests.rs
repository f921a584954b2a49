//! The walk against a naive model.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use store::{Store, StoreError};

use super::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Nothing {}

const NAMES: Table<Nothing> = Table::new("names");
const SCOPE: &str = "bucket\0";

/// What a listing is, said simply: all entries in order, each once.
fn model(keys: &BTreeSet<String>, prefix: &str, delimiter: Option<&str>) -> Vec<String> {
    let mut names = Vec::new();
    for key in keys.iter().filter(|key| key.starts_with(prefix)) {
        let name = match delimiter.and_then(|d| key[prefix.len()..].find(d).map(|at| prefix.len() + at + d.len())) {
            Some(end) => key[..end].to_owned(),
            None => key.clone(),
        };
        if names.last() != Some(&name) {
            names.push(name);
        }
    }
    names
}

/// All pages of a listing, `max` entries each.
fn pages(store: &Store, prefix: &str, delimiter: Option<&str>, max: usize) -> Vec<String> {
    let mut names = Vec::new();
    let mut after = Position::Start;
    loop {
        let wanted = Walk { prefix: prefix.to_owned(), delimiter: delimiter.map(str::to_owned), after, max };
        let (entries, more) =
            store.read(|view| walk(view, &NAMES, SCOPE, &wanted, |rest| rest)).map_err(|f| f.to_string()).unwrap();
        assert!(entries.len() <= max);
        names.extend(entries.iter().map(|entry| entry.name().to_owned()));
        assert!(!more || entries.len() == max, "a page that says there is more is full");
        match entries.last().filter(|_| more) {
            Some(last) => after = last.position(),
            None => return names,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_listing_agrees_with_the_model_whatever_its_page_size(
        keys in prop::collection::btree_set("[ab/é\u{10ffff}]{1,6}", 0..60),
        prefix in "[ab/]{0,2}",
        delimiter in prop::option::of(prop_oneof![Just("/"), Just("a/"), Just("é")]),
        max in 1_usize..7,
    ) {
        let store = Store::in_memory().unwrap();
        store.write(|tx| {
            for key in &keys {
                tx.put(&NAMES, &format!("{SCOPE}{key}"), &Nothing {})?;
                tx.put(&NAMES, &format!("buckeu\0{key}"), &Nothing {})?;
                tx.put(&NAMES, &format!("bucket-2\0{key}"), &Nothing {})?;
            }
            Ok::<_, StoreError>(())
        }).unwrap();
        prop_assert_eq!(pages(&store, &prefix, delimiter, max), model(&keys, &prefix, delimiter));
    }
}

#[test]
fn a_token_says_where_to_go_on() {
    for position in [Position::Key("a/é".to_owned()), Position::Prefix("a/".to_owned())] {
        assert_eq!(position_of(&token(&position)).unwrap(), position);
    }
    assert!(position_of("bm90aGluZw").is_err());
    assert!(position_of("***").is_err());
}

#[test]
fn a_marker_that_is_a_common_prefix_hides_what_it_stands_for() {
    let after = |marker: &str| Position::after_marker(Some(marker.to_owned()), "a/", Some("/"));
    assert_eq!(after("a/b/"), Position::Prefix("a/b/".to_owned()));
    assert_eq!(after("a/b"), Position::Key("a/b".to_owned()));
    assert_eq!(after("a/b/c"), Position::Key("a/b/c".to_owned()));
    assert_eq!(after(""), Position::Start);
}
