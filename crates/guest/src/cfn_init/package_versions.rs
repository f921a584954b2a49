//! How RPM compares versions, as far as the published tools know it.
//!
//! Invariant: pure and total; a total order up to separators.

use std::cmp::Ordering;

/// Compares `VERSION[-RELEASE]` with another by newness. Nothing is older than anything.
pub(super) fn compare(left: Option<&str>, right: Option<&str>) -> Ordering {
    let fields = |version: Option<&str>| -> [Vec<String>; 2] {
        let mut fields = version.unwrap_or_default().splitn(2, '-').map(parts);
        [fields.next().unwrap_or_default(), fields.next().unwrap_or_default()]
    };
    let (left, right) = (fields(left), fields(right));
    let pairs = left.iter().zip(&right);
    pairs.map(|(left, right)| compare_parts(left, right)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// The newest of some versions.
pub(super) fn newest(versions: &[String]) -> Option<&String> {
    versions.iter().max_by(|left, right| compare(Some(left), Some(right)))
}

/// Runs of letters and runs of digits; all else only separates.
fn parts(field: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut before: Option<char> = None;
    for character in field.chars() {
        let is_same_kind = before.is_some_and(|before| {
            (before.is_ascii_digit() && character.is_ascii_digit())
                || (before.is_ascii_alphabetic() && character.is_ascii_alphabetic())
        });
        if character.is_ascii_alphanumeric() {
            match parts.last_mut() {
                Some(last) if is_same_kind => last.push(character),
                _ => parts.push(character.to_string()),
            }
        }
        before = Some(character);
    }
    parts
}

fn compare_parts(left: &[String], right: &[String]) -> Ordering {
    let is_number = |part: &str| part.starts_with(|first: char| first.is_ascii_digit());
    let compare = |left: &str, right: &str| match (is_number(left), is_number(right)) {
        (true, true) => compare_numbers(left, right),
        // A number is newer than a word.
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => left.cmp(right),
    };
    let pairs = left.iter().zip(right);
    let first = pairs.map(|(left, right)| compare(left, right)).find(|order| order.is_ne());
    first.unwrap_or_else(|| left.len().cmp(&right.len()))
}

/// Of any length: no integer type would do.
fn compare_numbers(left: &str, right: &str) -> Ordering {
    let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_compare_as_rpm_does() {
        for (older, newer) in [
            ("1.9", "1.10"),
            ("2.4.6", "2.4.6-1"),
            ("2.4-9", "2.4-10.amzn1"),
            ("1.a", "1.1"),
            ("1.0", "1.0.1"),
            ("1.0alpha", "1.0beta"),
            ("9999999999999999999998", "9999999999999999999999"),
        ] {
            assert_eq!(compare(Some(older), Some(newer)), Ordering::Less, "{older} {newer}");
            assert_eq!(compare(Some(newer), Some(older)), Ordering::Greater, "{older} {newer}");
        }
        assert_eq!(compare(Some("1.0"), Some("1_00")), Ordering::Equal);
        assert_eq!(compare(None, Some("0")), Ordering::Less);
        assert_eq!(newest(&["1.2".into(), "1.10".into(), "1.9".into()]), Some(&"1.10".to_owned()));
    }

    proptest! {
        #[test]
        fn comparing_is_the_same_from_both_sides(left in ".{0,12}", right in "[0-9a-z.-]{0,12}") {
            prop_assert_eq!(compare(Some(&left), Some(&right)), compare(Some(&right), Some(&left)).reverse());
            prop_assert_eq!(compare(Some(&left), Some(&left)), Ordering::Equal);
        }
    }
}
