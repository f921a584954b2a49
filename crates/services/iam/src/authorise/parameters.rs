//! [`Parameters`]: what a request names, in one form for forms and for JSON.
//!
//! Invariant: it is read for permissions only, and before its service has checked it: no input makes it fail, and what it
//! does not find counts as not named.

use percent_encoding::percent_decode_str;
use serde_json::Value;

/// A request's parameters: `InstanceId.1`, `IamInstanceProfile.Arn`, each with its value.
#[derive(Clone, Debug, Default)]
pub struct Parameters(Vec<(String, String)>);

/// How deep a JSON document is looked into.
const DEPTH_MAX: usize = 16;

impl Parameters {
    /// Of a form.
    pub fn of_form(form: &[u8]) -> Self {
        let text = String::from_utf8_lossy(form);
        let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(k, v)| (decoded(k), decoded(v)))
                .collect(),
        )
    }

    /// Of a JSON document.
    pub fn of_json(document: &[u8]) -> Self {
        serde_json::from_slice(document).map(|value| Self::of_value(&value)).unwrap_or_default()
    }

    /// Of a JSON document that was parsed.
    pub fn of_value(value: &Value) -> Self {
        let mut found = Self::default();
        found.add(String::new(), value, DEPTH_MAX);
        found
    }

    fn add(&mut self, name: String, value: &Value, depth: usize) {
        if depth == 0 {
            return;
        }
        let below = |part: &str| if name.is_empty() { part.to_owned() } else { format!("{name}.{part}") };
        match value {
            Value::Object(members) => members.iter().for_each(|(key, value)| self.add(below(key), value, depth - 1)),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .for_each(|(index, item)| self.add(below(&(index + 1).to_string()), item, depth - 1)),
            Value::String(text) => self.0.push((name, text.clone())),
            Value::Null => {}
            other => self.0.push((name, other.to_string())),
        }
    }

    /// The values of parameters of these names, alone or in lists (`Name`, `Name.1`, `Name.member.1`).
    pub(super) fn all<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a str> {
        let is_item = |rest: &str| {
            let rest = rest.strip_prefix(".member").unwrap_or(rest);
            rest.strip_prefix('.').is_some_and(|index| !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit()))
        };
        let is_named = move |key: &str| {
            names.iter().any(|name| key.strip_prefix(*name).is_some_and(|rest| rest.is_empty() || is_item(rest)))
        };
        self.0.iter().filter(move |(key, value)| !value.is_empty() && is_named(key)).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_and_a_document_name_the_same() {
        let form = Parameters::of_form(b"Action=X&InstanceId.1=i-1&InstanceId.2=i%2D2&Role.Name=a+b&InstanceIdea=no");
        let json = Parameters::of_json(br#"{"InstanceId":["i-1","i-2"],"Role":{"Name":"a b"},"InstanceIdea":"no"}"#);
        for parameters in [form, json] {
            assert_eq!(parameters.all(&["InstanceId"]).collect::<Vec<_>>(), ["i-1", "i-2"]);
            assert_eq!(parameters.all(&["Role.Name"]).collect::<Vec<_>>(), ["a b"]);
            assert_eq!(parameters.all(&["Role"]).count(), 0);
        }
        let members = Parameters::of_form(b"Names.member.1=x&Names.member.1.Key=y");
        assert_eq!(members.all(&["Names"]).collect::<Vec<_>>(), ["x"]);
        assert_eq!(Parameters::of_json(b"{").all(&["x"]).count(), 0);
    }
}
