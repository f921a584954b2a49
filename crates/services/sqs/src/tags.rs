//! Tags of queues.
//!
//! Invariant: a queue has at most 50 tags; keys and values are case-sensitive and kept as they came.

use std::collections::BTreeMap;

use wire::ApiError;

use crate::errors;
use crate::limits::{TAG_KEY_MAX, TAG_VALUE_MAX, TAGS_MAX};

/// Tags by key.
pub(crate) type Tags = BTreeMap<String, String>;

/// Adds `new` to `tags`, replacing values of keys that are there; nothing changes on error.
pub(crate) fn add<'a, I>(tags: &mut Tags, new: I, queue: &str) -> Result<(), ApiError>
where
    I: IntoIterator<Item = (&'a str, &'a str)>,
{
    let mut merged = tags.clone();
    for (key, value) in new {
        let characters = key.chars().count();
        if characters == 0 || characters > TAG_KEY_MAX || is_reserved(key) {
            return Err(errors::tag_key_malformed(key));
        }
        if value.chars().count() > TAG_VALUE_MAX {
            return Err(errors::tag_value_malformed(value));
        }
        merged.insert(key.to_owned(), value.to_owned());
        if merged.len() > TAGS_MAX {
            return Err(errors::too_many_tags(queue));
        }
    }
    *tags = merged;
    Ok(())
}

fn is_reserved(key: &str) -> bool {
    key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(count: usize) -> Vec<(String, String)> {
        (0..count).map(|n| (format!("k{n}"), String::new())).collect()
    }

    fn add_all(tags: &mut Tags, new: &[(String, String)]) -> Result<(), ApiError> {
        add(tags, new.iter().map(|(k, v)| (k.as_str(), v.as_str())), "orders")
    }

    #[test]
    fn fifty_tags_pass_and_the_next_does_not() {
        let mut tags = Tags::new();
        assert_eq!(add_all(&mut tags, &numbered(50)), Ok(()));
        let error = add(&mut tags, [("one-more", "")], "orders").unwrap_err();
        assert_eq!(error.message, "Too many tags added for queue orders.");
        assert_eq!(tags.len(), 50);
        assert_eq!(add(&mut tags, [("k1", "replaced")], "orders"), Ok(()));
        assert_eq!(tags["k1"], "replaced");
    }

    #[test]
    fn keys_have_1_to_128_characters_and_values_up_to_256() {
        let mut tags = Tags::new();
        assert!(add(&mut tags, [("ä".repeat(128).as_str(), "v".repeat(256).as_str())], "q").is_ok());
        for (key, value) in [("", "v".to_owned()), (&"k".repeat(129), String::new()), ("k", "v".repeat(257))] {
            assert!(add(&mut tags, [(key, value.as_str())], "q").is_err(), "{key}");
        }
        assert!(add(&mut tags, [("AWS:x", "v")], "q").is_err());
        assert_eq!(tags.len(), 1);
    }

    #[test]
    fn keys_are_case_sensitive() {
        let mut tags = Tags::new();
        add(&mut tags, [("a", "1"), ("A", "2")], "q").unwrap();
        assert_eq!(tags.len(), 2);
    }
}
