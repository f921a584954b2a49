//! Property tables: what a resource type's properties are, and what changing one means.
//!
//! Invariants:
//! - A property that a table does not have is refused, never dropped: what is in a table is honoured by its type.
//! - What comes out of [`checked`] has the kinds that the services' JSON wants: numbers are numbers, truths are truths,
//!   however the template wrote them.

use serde_json::{Map, Number, Value};

/// What a property holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Text,
    Integer,
    Number,
    Boolean,
    /// Any document; text that is one is read.
    Json,
    List(&'static Kind),
    Map(&'static Kind),
    Structure(&'static [Property]),
}

/// What changing a property means for its resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Update {
    /// It is changed in place.
    NoInterruption,
    /// It is changed in place, and interrupted for that.
    SomeInterruption,
    /// Another takes its place.
    Replacement,
}

/// A property.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Property {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) is_required: bool,
    pub(crate) update: Update,
}

impl Property {
    const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, is_required: false, update: Update::NoInterruption }
    }

    /// The same, but a resource without it is refused.
    pub(crate) const fn required(self) -> Self {
        Self { is_required: true, ..self }
    }

    /// The same, but a change replaces the resource.
    pub(crate) const fn replaces(self) -> Self {
        Self { update: Update::Replacement, ..self }
    }

    /// The same, but a change interrupts the resource.
    pub(crate) const fn interrupts(self) -> Self {
        Self { update: Update::SomeInterruption, ..self }
    }
}

/// Text.
pub(crate) const fn text(name: &'static str) -> Property {
    Property::new(name, Kind::Text)
}

/// A whole number.
pub(crate) const fn integer(name: &'static str) -> Property {
    Property::new(name, Kind::Integer)
}

/// A number.
pub(crate) const fn number(name: &'static str) -> Property {
    Property::new(name, Kind::Number)
}

/// A truth value.
pub(crate) const fn boolean(name: &'static str) -> Property {
    Property::new(name, Kind::Boolean)
}

/// A document.
pub(crate) const fn json(name: &'static str) -> Property {
    Property::new(name, Kind::Json)
}

/// Texts.
pub(crate) const fn texts(name: &'static str) -> Property {
    Property::new(name, Kind::List(&Kind::Text))
}

/// Something of one kind in a list.
pub(crate) const fn list(name: &'static str, item: &'static Kind) -> Property {
    Property::new(name, Kind::List(item))
}

/// Names with something of one kind behind each.
pub(crate) const fn map(name: &'static str, item: &'static Kind) -> Property {
    Property::new(name, Kind::Map(item))
}

/// Something with properties of its own.
pub(crate) const fn structure(name: &'static str, members: &'static [Property]) -> Property {
    Property::new(name, Kind::Structure(members))
}

const TAG: &[Property] = &[text("Key"), text("Value")];
const TAG_KIND: Kind = Kind::Structure(TAG);

/// `Tags`.
pub(crate) const fn tags() -> Property {
    Property::new("Tags", Kind::List(&TAG_KIND))
}

/// Properties held against their table and brought to their kinds; or the first thing that is wrong, as AWS says it.
pub(crate) fn checked(table: &[Property], properties: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    members(table, properties, "")
}

fn members(table: &[Property], given: &Map<String, Value>, within: &str) -> Result<Map<String, Value>, String> {
    let mut checked = Map::new();
    for (name, value) in given {
        let Some(property) = table.iter().find(|property| property.name == name) else {
            return Err(format!("Encountered unsupported property {name}"));
        };
        let path = if within.is_empty() { name.clone() } else { format!("{within}.{name}") };
        checked.insert(name.clone(), coerced(&property.kind, value, &path)?);
    }
    for property in table.iter().filter(|property| property.is_required) {
        let is_empty = checked.get(property.name).is_none_or(|value| value.as_str() == Some(""));
        if is_empty {
            return Err(format!("Property {} cannot be empty.", property.name));
        }
    }
    Ok(checked)
}

fn coerced(kind: &Kind, value: &Value, path: &str) -> Result<Value, String> {
    let refused = || format!("Value of property {path} must be {}", description(kind));
    let scalar = || crate::template::text(value);
    match kind {
        Kind::Text => scalar().map(Value::String).ok_or_else(refused),
        Kind::Integer => {
            let whole = scalar().and_then(|text| text.trim().parse::<i64>().ok());
            whole.map(Value::from).ok_or_else(refused)
        }
        Kind::Number => {
            let text = scalar().ok_or_else(refused)?;
            if let Ok(whole) = text.trim().parse::<i64>() {
                return Ok(Value::from(whole));
            }
            let number = text.trim().parse::<f64>().ok().and_then(Number::from_f64);
            number.map(Value::Number).ok_or_else(refused)
        }
        Kind::Boolean => match scalar().ok_or_else(refused)?.to_ascii_lowercase().as_str() {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(refused()),
        },
        Kind::Json => match value {
            Value::Object(_) | Value::Array(_) => Ok(value.clone()),
            Value::String(text) => serde_json::from_str(text).map_err(|_| refused()),
            _ => Err(refused()),
        },
        Kind::List(item) => {
            let items = value.as_array().ok_or_else(refused)?;
            items.iter().map(|value| coerced(item, value, path)).collect::<Result<_, _>>().map(Value::Array)
        }
        Kind::Map(item) => {
            let pairs = value.as_object().ok_or_else(refused)?;
            let coerced = |(key, value): (&String, &Value)| Ok((key.clone(), coerced(item, value, path)?));
            pairs.iter().map(coerced).collect::<Result<Map<_, _>, String>>().map(Value::Object)
        }
        Kind::Structure(table) => members(table, value.as_object().ok_or_else(refused)?, path).map(Value::Object),
    }
}

fn description(kind: &Kind) -> String {
    match kind {
        Kind::Text => "of type String".into(),
        Kind::Integer => "of type Integer".into(),
        Kind::Number => "of type Number".into(),
        Kind::Boolean => "of type Boolean".into(),
        Kind::Json | Kind::Map(_) | Kind::Structure(_) => "an object".into(),
        Kind::List(Kind::Structure(_) | Kind::Json) => "of type List".into(),
        Kind::List(item) => format!("of type List of {}", description(item).trim_start_matches("of type ")),
    }
}

/// The properties that differ, by name, each with what its change means.
pub(crate) fn changed(
    table: &[Property],
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) -> Vec<(&'static str, Update)> {
    let differs = |property: &&Property| before.get(property.name) != after.get(property.name);
    table.iter().filter(differs).map(|property| (property.name, property.update)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TABLE: &[Property] = &[
        text("Name").required().replaces(),
        integer("Delay"),
        boolean("Fifo").interrupts(),
        texts("Zones"),
        list("Rules", &Kind::Structure(&[integer("Port"), number("Weight")])),
        json("Policy"),
        tags(),
    ];

    fn outcome(properties: Value) -> Result<Value, String> {
        checked(TABLE, properties.as_object().unwrap()).map(Value::Object)
    }

    #[test]
    fn what_arrives_as_text_becomes_what_it_should_be() {
        let given = json!({
            "Name": 12, "Delay": "5", "Fifo": "True", "Zones": ["a", 1], "Rules": [{"Port": "80", "Weight": "0.5"}],
            "Policy": "{\"a\":1}",
        });
        let expected = json!({
            "Name": "12", "Delay": 5, "Fifo": true, "Zones": ["a", "1"], "Rules": [{"Port": 80, "Weight": 0.5}],
            "Policy": {"a": 1},
        });
        assert_eq!(outcome(given), Ok(expected));
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let cases = [
            (json!({"Name": "a", "Dealy": 1}), "Encountered unsupported property Dealy"),
            (json!({"Delay": 1}), "Property Name cannot be empty."),
            (json!({"Name": ""}), "Property Name cannot be empty."),
            (json!({"Name": ["a"]}), "Value of property Name must be of type String"),
            (json!({"Name": "a", "Delay": "soon"}), "Value of property Delay must be of type Integer"),
            (json!({"Name": "a", "Fifo": "maybe"}), "Value of property Fifo must be of type Boolean"),
            (json!({"Name": "a", "Zones": "a"}), "Value of property Zones must be of type List of String"),
            (json!({"Name": "a", "Rules": {"Port": 1}}), "Value of property Rules must be of type List"),
            (json!({"Name": "a", "Rules": [{"Prot": 1}]}), "Encountered unsupported property Prot"),
            (json!({"Name": "a", "Rules": [{"Port": {}}]}), "Value of property Rules.Port must be of type Integer"),
            (json!({"Name": "a", "Policy": "text"}), "Value of property Policy must be an object"),
        ];
        for (given, expected) in cases {
            assert_eq!(outcome(given).unwrap_err(), expected);
        }
    }

    #[test]
    fn a_difference_says_what_it_means() {
        let (before, after) = (json!({"Name": "a", "Delay": 1}), json!({"Name": "b", "Delay": 1, "Fifo": true}));
        let changed = changed(TABLE, before.as_object().unwrap(), after.as_object().unwrap());
        assert_eq!(changed, [("Name", Update::Replacement), ("Fifo", Update::SomeInterruption)]);
    }
}
