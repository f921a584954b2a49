//! Reading JSON as people write it in templates: numbers and booleans often arrive as strings.
//!
//! Invariant: pure and total; what has the wrong shape reads as absent, never as a panic.

use serde_json::{Map, Value};

/// What the published tools take as true: `true`, 1, "true", "yes", "y" and "1" in any case. All else is false.
pub(crate) fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() == Some(1.0),
        Value::String(text) => matches!(text.trim().to_ascii_lowercase().as_str(), "true" | "yes" | "y" | "1"),
        _ => false,
    }
}

/// A scalar as text; `None` for `null`, lists and objects.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// The scalar at `key` as text.
pub(crate) fn text_at(map: &Map<String, Value>, key: &str) -> Option<String> {
    map.get(key).and_then(text)
}

/// A scalar, or the scalars of a list, as texts; empty ones are left out.
pub(crate) fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().filter_map(text).filter(|text| !text.is_empty()).collect(),
        scalar => text(scalar).filter(|text| !text.is_empty()).into_iter().collect(),
    }
}

/// Whether Python would take the value for false: what the published tools test for presence with.
pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(truth) => !truth,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}

/// The value at a path of dotted names; a dot inside a name is written `\.`. The empty path is the whole.
pub(crate) fn at_path<'a>(whole: &'a Value, path: &str) -> Option<&'a Value> {
    if path.is_empty() {
        return Some(whole);
    }
    names(path).iter().try_fold(whole, |value, name| value.as_object()?.get(name))
}

fn names(path: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut characters = path.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('\\', Some('.')) => {
                characters.next();
                push(&mut names, '.');
            }
            ('.', _) => names.push(String::new()),
            _ => push(&mut names, character),
        }
    }
    names
}

fn push(names: &mut [String], character: char) {
    if let Some(last) = names.last_mut() {
        last.push(character);
    }
}

/// JSON as Python's `json.dump(…, indent=4)` writes it, which is what the published tools print.
pub(crate) fn pretty(value: &Value) -> String {
    use serde_json::ser::{PrettyFormatter, Serializer};
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"    "));
    // Writing a value into memory has no way to fail.
    let _ = serde::Serialize::serialize(value, &mut serializer);
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn truth_is_read_from_every_form_that_templates_use() {
        for truth in [json!(true), json!("true"), json!(" True "), json!("YES"), json!("y"), json!("1"), json!(1)] {
            assert!(is_true(&truth), "{truth}");
        }
        for lie in
            [json!(false), json!("false"), json!("on"), json!(0), json!(2), json!(null), json!([true]), json!("")]
        {
            assert!(!is_true(&lie), "{lie}");
        }
    }

    #[test]
    fn a_path_leads_through_objects_and_escaped_dots() {
        let whole = json!({"a": {"b.c": {"d": 1}, "b": "x"}});
        assert_eq!(at_path(&whole, r"a.b\.c.d"), Some(&json!(1)));
        assert_eq!(at_path(&whole, "a.b"), Some(&json!("x")));
        assert_eq!(at_path(&whole, "a.z"), None);
        assert_eq!(at_path(&whole, "a.b.c"), None);
        assert_eq!(at_path(&whole, ""), Some(&whole));
    }

    #[test]
    fn documents_are_printed_with_four_spaces() {
        assert_eq!(pretty(&json!({"a": [1], "b": {}})), "{\n    \"a\": [\n        1\n    ],\n    \"b\": {}\n}");
    }

    proptest! {
        #[test]
        fn any_path_is_read_without_panic(path in ".{0,40}") {
            at_path(&json!({"a": {"b": 1}}), &path);
        }

        #[test]
        fn an_escaped_name_comes_back_whole(name in "[a-z.]{1,12}") {
            let escaped = name.replace('.', r"\.");
            prop_assert_eq!(names(&escaped), vec![name]);
        }
    }
}
