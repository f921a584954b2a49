//! A botocore model, read into what the generator needs, with every name resolved.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::model::Pin;

/// A service, ready to be written as Rust.
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) full_name: String,
    pub(crate) shape_namespace: String,
    pub(crate) target_prefix: Option<String>,
    pub(crate) version: String,
    pub(crate) xml_namespace: String,
    pub(crate) dialect: &'static str,
    pub(crate) violations: &'static str,
    pub(crate) port: bool,
    pub(crate) operations: Vec<Operation>,
    pub(crate) structures: Vec<Structure>,
    pub(crate) errors: Vec<Error>,
}

pub(crate) struct Operation {
    pub(crate) name: String,
    /// The input's struct; an operation without one has an empty one made for it.
    pub(crate) input: String,
    pub(crate) output: Option<String>,
    pub(crate) result_wrapper: Option<String>,
}

pub(crate) struct Structure {
    /// The Rust name.
    pub(crate) name: String,
    /// What the doc comment says after the name.
    pub(crate) role: String,
    pub(crate) members: Vec<Member>,
}

pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) query_name: String,
    pub(crate) xml_name: String,
    pub(crate) required: bool,
    pub(crate) sensitive: bool,
    pub(crate) shape: Shape,
    pub(crate) min: Option<i64>,
    pub(crate) max: Option<i64>,
    pub(crate) values: Vec<String>,
}

pub(crate) enum Shape {
    String,
    Integer,
    Long,
    Double,
    Boolean,
    Blob,
    Timestamp,
    /// By its Rust name.
    Structure(String),
    List {
        item: Box<Shape>,
        item_name: Option<String>,
        written_empty: bool,
    },
    Map {
        value: Box<Shape>,
        entry_name: Option<String>,
        key_name: String,
        value_name: String,
    },
}

pub(crate) struct Error {
    pub(crate) name: String,
    pub(crate) query_code: Option<String>,
    pub(crate) status: u16,
    pub(crate) sender: bool,
}

impl Service {
    /// Reads a cut and corrected model.
    pub(crate) fn read(model: &Value, pin: &Pin) -> anyhow::Result<Self> {
        let is_ec2 = model["metadata"]["protocol"] == "ec2";
        let reader = Reader { model, names: rust_names(model)?, is_ec2, empty_lists: pin.empty_lists };
        let metadata = |key: &str| model["metadata"][key].as_str().map(str::to_owned);
        let required = |key: &str| metadata(key).with_context(|| format!("the metadata has no {key}"));
        Ok(Self {
            name: pin.service.clone(),
            full_name: required("serviceFullName")?,
            shape_namespace: pin.shape_namespace.clone(),
            target_prefix: metadata("targetPrefix"),
            version: required("apiVersion")?,
            // What speaks JSON alone has none: this is what it would be called, for the console's sake.
            xml_namespace: match metadata("xmlNamespace") {
                Some(namespace) => namespace,
                None => format!("http://{}.amazonaws.com/doc/{}/", pin.service, required("apiVersion")?),
            },
            dialect: if is_ec2 { "Ec2" } else { "Aws" },
            port: pin.port,
            violations: match pin.violations.as_str() {
                "parameter" => "Parameter",
                "ec2" => "Ec2",
                "constraint" => "Constraint",
                "exception" => "Exception",
                "invalid" => "Invalid",
                other => bail!("violations are worded as models/services.toml says, not by {other:?}"),
            },
            operations: reader.operations(pin)?,
            structures: reader.structures()?,
            errors: reader.errors()?,
        })
    }
}

/// Rust names of the structures: an operation's input and output are called after it, whatever the model calls them.
fn rust_names(model: &Value) -> anyhow::Result<BTreeMap<String, String>> {
    let mut names = BTreeMap::new();
    for (operation, traits) in model["operations"].as_object().context("the model has no operations")? {
        for (role, suffix) in [("input", "Input"), ("output", "Output")] {
            if let Some(shape) = traits[role]["shape"].as_str() {
                names.insert(shape.to_owned(), format!("{operation}{suffix}"));
            }
        }
    }
    for (shape, traits) in model["shapes"].as_object().context("the model has no shapes")? {
        let plain = traits["type"] == "structure" && traits["exception"] != true;
        if plain && !names.contains_key(shape) {
            names.insert(shape.clone(), shape.clone());
        }
    }
    Ok(names)
}

struct Reader<'a> {
    model: &'a Value,
    /// From the model's name of a structure to ours.
    names: BTreeMap<String, String>,
    /// Whether names are `ec2Query`'s.
    is_ec2: bool,
    /// Whether empty lists are written, where the model doesn't say otherwise.
    empty_lists: bool,
}

impl Reader<'_> {
    fn operations(&self, pin: &Pin) -> anyhow::Result<Vec<Operation>> {
        let read = |name: &String| -> anyhow::Result<Operation> {
            let traits = self.model["operations"].get(name);
            let traits = traits.with_context(|| format!("run `cargo x model {}`: {name} is missing", pin.service))?;
            let output = &traits["output"];
            Ok(Operation {
                name: name.clone(),
                input: format!("{name}Input"),
                output: output["shape"].as_str().map(|_| format!("{name}Output")),
                // A model without Query names says no wrapper; every Query service of AWS's calls it so.
                result_wrapper: output
                    .is_object()
                    .then(|| output["resultWrapper"].as_str().map_or_else(|| format!("{name}Result"), str::to_owned)),
            })
        };
        pin.operations.iter().map(read).collect()
    }

    fn structures(&self) -> anyhow::Result<Vec<Structure>> {
        let mut structures = Vec::new();
        for (shape, name) in &self.names {
            let members = self.members(shape).with_context(|| shape.clone())?;
            structures.push(Structure { name: name.clone(), role: self.role(shape), members });
        }
        for (operation, traits) in self.model["operations"].as_object().into_iter().flatten() {
            for (role, suffix, verb) in [("input", "Input", "takes"), ("output", "Output", "answers")] {
                let Some(shape) = traits[role]["shape"].as_str() else { continue };
                let name = format!("{operation}{suffix}");
                // A shape that several operations share is a struct for each of them.
                if self.names.get(shape) != Some(&name) {
                    let members = self.members(shape).with_context(|| shape.to_owned())?;
                    structures.push(Structure { name, role: format!("What {operation} {verb}."), members });
                }
            }
            if traits.get("input").is_none() {
                let role = format!("What {operation} takes: nothing.");
                structures.push(Structure { name: format!("{operation}Input"), role, members: Vec::new() });
            }
        }
        structures.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(structures)
    }

    /// The doc sentence of a structure.
    fn role(&self, shape: &str) -> String {
        for (operation, traits) in self.model["operations"].as_object().into_iter().flatten() {
            if traits["input"]["shape"] == shape {
                return format!("What {operation} takes.");
            }
            if traits["output"]["shape"] == shape {
                return format!("What {operation} answers.");
            }
        }
        format!("AWS's `{shape}`.")
    }

    fn members(&self, shape: &str) -> anyhow::Result<Vec<Member>> {
        let traits = &self.model["shapes"][shape];
        let is_required =
            |name: &str| traits["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
        let members = traits["members"].as_object().context("the structure has no members")?;
        members.iter().map(|(name, place)| self.member(name, place, is_required(name))).collect()
    }

    fn member(&self, name: &str, place: &Value, required: bool) -> anyhow::Result<Member> {
        let target = self.target(place)?;
        let list_item_name = target["member"]["locationName"].as_str().filter(|_| {
            // A flat list's items bear the name of the item, not of the list: AttributeName.1 for AttributeNames.
            target["type"] == "list" && is_flat(place, target)
        });
        let xml_name =
            list_item_name.or(place["locationName"].as_str()).or(target["locationName"].as_str()).unwrap_or(name);
        let query_name = if self.is_ec2 { ec2_query_name(name, place) } else { xml_name.to_owned() };
        let values = target["enum"].as_array().into_iter().flatten();
        Ok(Member {
            name: name.to_owned(),
            query_name,
            xml_name: xml_name.to_owned(),
            required,
            sensitive: target["sensitive"] == true || place["sensitive"] == true,
            shape: self.shape(place).with_context(|| name.to_owned())?,
            min: target["min"].as_i64(),
            max: target["max"].as_i64(),
            values: values.filter_map(Value::as_str).map(str::to_owned).collect(),
        })
    }

    /// The shape that a place refers to.
    fn target(&self, place: &Value) -> anyhow::Result<&Value> {
        let name = place["shape"].as_str().context("the place has no shape")?;
        self.model["shapes"].get(name).with_context(|| format!("the model has no {name}"))
    }

    fn shape(&self, place: &Value) -> anyhow::Result<Shape> {
        let target = self.target(place)?;
        let name_of = |part: &str, default: &str| target[part]["locationName"].as_str().unwrap_or(default).to_owned();
        Ok(match target["type"].as_str().context("the shape has no type")? {
            "string" | "character" => Shape::String,
            "integer" => Shape::Integer,
            "long" => Shape::Long,
            "double" | "float" => Shape::Double,
            "boolean" => Shape::Boolean,
            "blob" => Shape::Blob,
            "timestamp" => Shape::Timestamp,
            "structure" => {
                let name = place["shape"].as_str().unwrap_or_default();
                Shape::Structure(self.names.get(name).with_context(|| format!("{name} is an exception"))?.clone())
            }
            "list" => Shape::List {
                item: Box::new(self.shape(&target["member"])?),
                item_name: (!is_flat(place, target)).then(|| name_of("member", "member")),
                written_empty: place["writtenWhenEmpty"].as_bool().unwrap_or(self.empty_lists),
            },
            "map" => Shape::Map {
                value: Box::new(self.shape(&target["value"])?),
                entry_name: (!is_flat(place, target)).then(|| "entry".to_owned()),
                key_name: name_of("key", "key"),
                value_name: name_of("value", "value"),
            },
            other => bail!("no way to generate a {other}"),
        })
    }

    fn errors(&self) -> anyhow::Result<Vec<Error>> {
        let shapes = self.model["shapes"].as_object().context("the model has no shapes")?;
        let exceptions = shapes.iter().filter(|(_, traits)| traits["exception"] == true);
        let read = |(name, traits): (&String, &Value)| -> anyhow::Result<Error> {
            let error = &traits["error"];
            Ok(Error {
                name: name.clone(),
                query_code: error["code"].as_str().filter(|code| code != name).map(str::to_owned),
                status: error["httpStatusCode"].as_u64().unwrap_or(400).try_into()?,
                sender: error["senderFault"].as_bool().unwrap_or(traits["fault"] != true),
            })
        };
        exceptions.map(read).collect()
    }
}

/// EC2's name of a member in a form: `queryName`, else what XML calls it with a capital letter, else its own name.
fn ec2_query_name(name: &str, place: &Value) -> String {
    let in_xml = || {
        let name = place["locationName"].as_str()?;
        let first = name.chars().next()?;
        Some(first.to_uppercase().chain(name.chars().skip(1)).collect())
    };
    place["queryName"].as_str().map(str::to_owned).or_else(in_xml).unwrap_or_else(|| name.to_owned())
}

fn is_flat(place: &Value, target: &Value) -> bool {
    place["flattened"] == true || target["flattened"] == true
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn member(shapes: Value, name: &str, place: &Value) -> Member {
        let model = json!({ "operations": {}, "shapes": shapes });
        Reader { model: &model, names: BTreeMap::new(), is_ec2: false, empty_lists: false }
            .member(name, place, false)
            .unwrap()
    }

    #[test]
    fn a_flat_list_stands_under_the_name_of_its_items() {
        let shapes = json!({
            "Names": { "type": "list", "flattened": true, "member": { "shape": "Name", "locationName": "AttributeName" } },
            "Name": { "type": "string" },
        });
        let member = member(shapes, "AttributeNames", &json!({ "shape": "Names" }));
        assert_eq!(member.query_name, "AttributeName");
        assert!(matches!(member.shape, Shape::List { item_name: None, .. }));
    }

    #[test]
    fn a_list_that_is_not_flat_keeps_its_name_and_gives_its_items_theirs() {
        let shapes = json!({
            "Names": { "type": "list", "member": { "shape": "Name" } },
            "Name": { "type": "string" },
        });
        let member = member(shapes, "Names", &json!({ "shape": "Names" }));
        assert_eq!(member.query_name, "Names");
        assert!(matches!(member.shape, Shape::List { item_name: Some(name), .. } if name == "member"));
    }

    #[test]
    fn a_map_is_called_by_the_place_first_and_by_its_shape_next() {
        let shapes = json!({
            "Tags": { "type": "map", "flattened": true, "locationName": "Tag",
                      "key": { "shape": "Text", "locationName": "Key" }, "value": { "shape": "Text" } },
            "Text": { "type": "string" },
        });
        assert_eq!(member(shapes.clone(), "Tags", &json!({ "shape": "Tags" })).query_name, "Tag");
        let named = member(shapes, "Tags", &json!({ "shape": "Tags", "locationName": "Label" }));
        assert_eq!(named.query_name, "Label");
        assert!(matches!(named.shape, Shape::Map { key_name, value_name, entry_name: None, .. }
            if key_name == "Key" && value_name == "value"));
    }
}
