//! Config sets: which configs are applied, and in which order.
//!
//! Invariants:
//! - Pure. A set is flat when it comes out: references are resolved, circles refused.
//! - Together the sets hold [`CONFIGS_MAX`] configs at most; references that double would grow without end.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::error::{BuildError, Result};

/// Where metadata for `cfn-init` stands.
pub(crate) const KEY: &str = "AWS::CloudFormation::Init";
/// How many configs all sets together may have once references are resolved.
const CONFIGS_MAX: usize = 10_000;
const SETS_KEY: &str = "configSets";

/// One config: its name and what it says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Config<'a> {
    /// Its key in the metadata.
    pub(super) name: &'a str,
    /// `packages`, `files` and so on.
    pub(super) model: &'a Map<String, Value>,
}

/// What a set lists.
enum Entry<'a> {
    Config(Config<'a>),
    Set(&'a str),
}

type Sets<'a> = BTreeMap<&'a str, Vec<Config<'a>>>;

/// The configs of the sets that were asked for, in their order.
pub(super) fn configs<'a>(metadata: &'a Value, asked: &[&str]) -> Result<Vec<(String, Vec<Config<'a>>)>> {
    let sets = all_sets(metadata)?;
    let find = |name: &&str| match sets.get(name) {
        Some(configs) => Ok(((*name).to_owned(), configs.clone())),
        None => Err(BuildError::said(format!("Error: no ConfigSet named {name} exists"))),
    };
    asked.iter().map(find).collect()
}

fn all_sets(metadata: &Value) -> Result<Sets<'_>> {
    let init = metadata
        .get(KEY)
        .and_then(Value::as_object)
        .ok_or_else(|| BuildError::said(format!("Metadata does not contain '{KEY}'")))?;
    let Some(definitions) = init.get(SETS_KEY) else {
        let configs = match init.get("config") {
            Some(model) => vec![Config { name: "config", model: object("config", model)? }],
            None => Vec::new(),
        };
        return Ok(BTreeMap::from([("default", configs)]));
    };
    let Some(definitions) = definitions.as_object() else {
        return Err(BuildError::said(format!("{SETS_KEY} should be a mapping of name to list")));
    };
    let mut open = BTreeMap::new();
    for (name, list) in definitions {
        let mut entries = Vec::new();
        read_list(list, init, definitions, &mut entries)?;
        open.insert(name.as_str(), entries);
    }
    resolve(open)
}

fn object<'a>(name: &str, model: &'a Value) -> Result<&'a Map<String, Value>> {
    model.as_object().ok_or_else(|| BuildError::said(format!("The configuration {name} is not an object")))
}

/// Reads a config's name, a reference to a set, or a list of those.
fn read_list<'a>(
    list: &'a Value,
    init: &'a Map<String, Value>,
    sets: &'a Map<String, Value>,
    entries: &mut Vec<Entry<'a>>,
) -> Result<()> {
    match list {
        Value::String(name) => {
            let model =
                init.get(name).ok_or_else(|| BuildError::said(format!("No configuration found with name: {name}")))?;
            entries.push(Entry::Config(Config { name, model: object(name, model)? }));
        }
        Value::Object(reference) => {
            let name = reference.get("ConfigSet").and_then(Value::as_str).ok_or_else(|| {
                BuildError::said(
                    "Config definitions must be either a config name or a reference in the format \
                     {'ConfigSet':<config set name>}",
                )
            })?;
            let undefined = || BuildError::said(format!("Configuration set {name} was referenced but not defined"));
            let (name, _) = sets.get_key_value(name).ok_or_else(undefined)?;
            entries.push(Entry::Set(name));
        }
        Value::Array(items) => {
            for item in items {
                read_list(item, init, sets, entries)?;
            }
        }
        _ => return Err(BuildError::said("Config definitions must be names, references or lists of those")),
    }
    Ok(())
}

/// Flattens set after set, each once all that it refers to are flat.
fn resolve<'a>(mut open: BTreeMap<&'a str, Vec<Entry<'a>>>) -> Result<Sets<'a>> {
    let mut flat: Sets<'a> = BTreeMap::new();
    let mut count = 0;
    while !open.is_empty() {
        let is_ready = |entries: &[Entry<'a>]| {
            entries.iter().all(|entry| {
                matches!(entry, Entry::Config(_)) || matches!(entry, Entry::Set(name) if flat.contains_key(name))
            })
        };
        let ready: Vec<&str> = open.iter().filter(|(_, entries)| is_ready(entries)).map(|(name, _)| *name).collect();
        if ready.is_empty() {
            return Err(circle(&open, flat.is_empty()));
        }
        for name in ready {
            let mut configs = Vec::new();
            for entry in open.remove(name).unwrap_or_default() {
                match entry {
                    Entry::Config(config) => configs.push(config),
                    Entry::Set(other) => configs.extend(flat.get(other).into_iter().flatten().copied()),
                }
                if count + configs.len() > CONFIGS_MAX {
                    return Err(BuildError::said(format!("the configSets hold more than {CONFIGS_MAX} configs")));
                }
            }
            count += configs.len();
            flat.insert(name, configs);
        }
    }
    Ok(flat)
}

fn circle(open: &BTreeMap<&str, Vec<Entry<'_>>>, is_everything: bool) -> BuildError {
    if is_everything {
        return BuildError::said(
            "No configSets exist without references; this creates a circular dependency and is not allowed",
        );
    }
    let culprits: Vec<&str> = open.keys().copied().collect();
    BuildError::said(format!(
        "At least one circular dependency detected; this is not allowed. Culprits: {}",
        culprits.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn order(init: Value, asked: &[&str]) -> Result<Vec<String>, String> {
        let metadata = json!({ KEY: init });
        let sets = configs(&metadata, asked).map_err(|error| error.to_string())?;
        Ok(sets.iter().flat_map(|(_, configs)| configs.iter().map(|config| config.name.to_owned())).collect())
    }

    #[test]
    fn without_config_sets_the_one_called_config_is_the_default() {
        assert_eq!(order(json!({"config": {}}), &["default"]).unwrap(), ["config"]);
        assert_eq!(order(json!({"other": {}}), &["default"]).unwrap(), [""; 0]);
        assert_eq!(order(json!({"config": {}}), &["x"]).unwrap_err(), "Error: no ConfigSet named x exists");
    }

    #[test]
    fn sets_are_taken_in_the_order_asked_and_references_where_they_stand() {
        let init = json!({
            "configSets": {
                "first": ["one", {"ConfigSet": "second"}, "three"],
                "second": "two",
                "nested": [["one", ["two"]], {"ConfigSet": "first"}],
            },
            "one": {}, "two": {}, "three": {},
        });
        assert_eq!(order(init.clone(), &["first"]).unwrap(), ["one", "two", "three"]);
        assert_eq!(order(init.clone(), &["second", "first"]).unwrap(), ["two", "one", "two", "three"]);
        assert_eq!(order(init.clone(), &["nested"]).unwrap(), ["one", "two", "one", "two", "three"]);
        assert_eq!(order(init, &["default"]).unwrap_err(), "Error: no ConfigSet named default exists");
    }

    #[test]
    fn circles_and_dangling_names_are_refused_in_the_published_words() {
        let all = order(json!({"configSets": {"a": [{"ConfigSet": "a"}]}}), &["a"]).unwrap_err();
        assert!(all.starts_with("No configSets exist without references"), "{all}");
        let some = json!({"configSets": {"r": ["c"], "a": [{"ConfigSet": "b"}], "b": [{"ConfigSet": "a"}]}, "c": {}});
        assert!(order(some, &["r"]).unwrap_err().ends_with("Culprits: a, b"));
        let missing = order(json!({"configSets": {"a": ["nope"]}}), &["a"]).unwrap_err();
        assert_eq!(missing, "No configuration found with name: nope");
        let reference = order(json!({"configSets": {"a": [{"ConfigSet": "nope"}]}}), &["a"]).unwrap_err();
        assert_eq!(reference, "Configuration set nope was referenced but not defined");
    }

    #[test]
    fn references_that_double_end_at_the_bound() {
        let mut sets = Map::new();
        sets.insert("s0".into(), json!(["c"]));
        for level in 1..64 {
            let below = json!({"ConfigSet": format!("s{}", level - 1)});
            sets.insert(format!("s{level}"), json!([below, below]));
        }
        assert!(order(json!({"configSets": sets, "c": {}}), &["s63"]).unwrap_err().contains("more than 10000"));
    }

    proptest! {
        #[test]
        fn any_json_is_read_without_panic(text in r#"[\[\]{}",:a-cCS0-9]{0,60}"#) {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                let _ = configs(&value, &["default"]);
                let _ = configs(&json!({ KEY: value }), &["default"]);
                let _ = configs(&json!({ KEY: {"configSets": value, "a": {}} }), &["a"]);
            }
        }
    }
}
