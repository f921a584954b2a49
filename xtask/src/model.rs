//! `cargo x model SERVICE`: cuts `models/SERVICE.json` out of botocore.
//!
//! Invariants:
//! - What is written depends on `models/services.toml` and the pinned releases only: a second run changes nothing.
//! - It holds the listed operations and the shapes that they reach, without a word of documentation.
//!
//! Our corrections are not made here but in `models/SERVICE.overlay.json`, which codegen applies.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value, json};

/// Which model to cut.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A service of models/services.toml.
    service: String,
}

/// One service's entry in `models/services.toml`.
pub(crate) struct Pin {
    /// The service's name here: its file's and its module's.
    pub(crate) service: String,
    /// The botocore release that is the model's source.
    botocore: String,
    /// The release to take Query names and error codes from, if the first one lacks them.
    botocore_query: Option<String>,
    /// Where the model stands under `botocore/data`.
    directory: String,
    /// What stands before `#` in `__type`.
    pub(crate) shape_namespace: String,
    /// `parameter`, `ec2` or `constraint`.
    pub(crate) violations: String,
    /// Whether other services call this one, so that its trait must do as a `dyn`.
    pub(crate) port: bool,
    /// Whether the service writes empty lists.
    pub(crate) empty_lists: bool,
    /// The operations, sorted.
    pub(crate) operations: Vec<String>,
}

/// All services of `models/services.toml`, in its order.
pub(crate) fn pins(root: &Path) -> anyhow::Result<Vec<Pin>> {
    let path = root.join("models/services.toml");
    let text = read(&path)?;
    let table: toml::Table = text.parse().with_context(|| path.display().to_string())?;
    table.iter().map(|(service, entry)| pin(service, entry).with_context(|| service.clone())).collect()
}

fn pin(service: &str, entry: &toml::Value) -> anyhow::Result<Pin> {
    let text = |key: &str| entry.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    let required = |key: &str| text(key).with_context(|| format!("{key} is missing"));
    let flag = |key: &str| entry.get(key).and_then(toml::Value::as_bool).unwrap_or(false);
    let mut operations = Vec::new();
    for operation in entry.get("operations").and_then(toml::Value::as_array).context("operations are missing")? {
        operations.push(operation.as_str().context("an operation is no text")?.to_owned());
    }
    ensure!(operations.is_sorted(), "keep the operations sorted");
    Ok(Pin {
        service: service.to_owned(),
        botocore: required("botocore")?,
        botocore_query: text("botocore_query"),
        directory: required("directory")?,
        shape_namespace: required("shape_namespace")?,
        violations: required("violations")?,
        port: flag("port"),
        empty_lists: flag("empty_lists"),
        operations,
    })
}

/// Downloads the pinned releases with pip and writes the cut.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let pins = pins(root)?;
    let Some(pin) = pins.iter().find(|pin| pin.service == arguments.service) else {
        bail!("models/services.toml has no [{}]; add it first", arguments.service);
    };
    let mut model = downloaded(&pin.botocore, &pin.directory)?;
    if let Some(version) = &pin.botocore_query {
        fill_gaps(&mut model, &downloaded(version, &pin.directory)?);
    }
    strip_documentation(&mut model);
    let path = root.join("models").join(format!("{}.json", pin.service));
    let cut = cut(&model, pin)?;
    fs::write(&path, serde_json::to_string_pretty(&cut)? + "\n").with_context(|| path.display().to_string())?;
    println!("wrote {}; now `cargo x codegen`", path.display());
    Ok(())
}

/// The model as `version` of botocore has it. Downloaded by pip into a temporary folder.
fn downloaded(version: &str, directory: &str) -> anyhow::Result<Value> {
    // Python is here because the wheel is a zip of gzips, and whoever has pip has Python.
    const SCRIPT: &str = r#"
import glob, gzip, subprocess, sys, tempfile, zipfile
version, directory = sys.argv[1:]
with tempfile.TemporaryDirectory() as folder:
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                    "--dest", folder, "botocore==" + version], check=True, stdout=sys.stderr)
    with zipfile.ZipFile(glob.glob(folder + "/*.whl")[0]) as wheel:
        name = f"botocore/data/{directory}/service-2.json"
        names = wheel.namelist()
        sys.stdout.buffer.write(wheel.read(name) if name in names else gzip.decompress(wheel.read(name + ".gz")))
"#;
    let output = Command::new("python3")
        .args(["-c", SCRIPT, version, directory])
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("python3 with pip is needed to download botocore")?;
    ensure!(output.status.success(), "could not get {directory} out of botocore {version}");
    serde_json::from_slice(&output.stdout).with_context(|| format!("the model of {directory} in botocore {version}"))
}

/// Adds what `older` knows and `newer` doesn't; where both speak, the newer one is right.
fn fill_gaps(newer: &mut Value, older: &Value) {
    if let (Value::Object(newer), Value::Object(older)) = (newer, older) {
        for (key, theirs) in older {
            match newer.get_mut(key) {
                Some(ours) => fill_gaps(ours, theirs),
                None => _ = newer.insert(key.clone(), theirs.clone()),
            }
        }
    }
}

fn strip_documentation(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            // A member may itself be called `documentation`; then it is an object.
            fields.retain(|key, value| {
                !(matches!(key.as_str(), "documentation" | "documentationUrl" | "deprecatedMessage")
                    && value.is_string())
            });
            fields.values_mut().for_each(strip_documentation);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_documentation),
        _ => {}
    }
}

/// The pinned operations and all that they refer to.
fn cut(model: &Value, pin: &Pin) -> anyhow::Result<Value> {
    let mut operations = Map::new();
    let mut reached = BTreeSet::new();
    for name in &pin.operations {
        let operation = model["operations"].get(name).with_context(|| format!("botocore knows no {name}"))?;
        reach(model, operation, &mut reached);
        operations.insert(name.clone(), operation.clone());
    }
    let shapes: Map<String, Value> =
        reached.into_iter().map(|name| (name.clone(), model["shapes"][&name].clone())).collect();
    let mut source = json!({ "package": "botocore", "release": pin.botocore, "license": "Apache-2.0" });
    if let Some(release) = &pin.botocore_query {
        source["release_of_query_names"] = json!(release);
    }
    Ok(json!({
        "source": source,
        "metadata": model["metadata"],
        "operations": operations,
        "shapes": shapes,
    }))
}

/// Collects the names of all shapes that `value` refers to, directly or not.
fn reach(model: &Value, value: &Value, reached: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(name)) = fields.get("shape")
                && reached.insert(name.clone())
            {
                reach(model, &model["shapes"][name], reached);
            }
            fields.values().for_each(|field| reach(model, field, reached));
        }
        Value::Array(items) => items.iter().for_each(|item| reach(model, item, reached)),
        _ => {}
    }
}

/// A text file, with its path in the error.
pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_model_fills_gaps_and_overrules_nothing() {
        let mut newer = json!({ "type": "list", "member": { "shape": "String" } });
        fill_gaps(&mut newer, &json!({ "type": "map", "member": { "shape": "Old", "locationName": "TagKey" } }));
        assert_eq!(newer, json!({ "type": "list", "member": { "shape": "String", "locationName": "TagKey" } }));
    }

    #[test]
    fn a_cut_holds_what_its_operations_reach_and_nothing_else() {
        let model = json!({
            "operations": { "A": { "input": { "shape": "In" } }, "B": { "input": { "shape": "Other" } } },
            "shapes": { "In": { "members": { "X": { "shape": "Leaf" } } }, "Leaf": { "type": "string" }, "Other": {} },
        });
        let mut reached = BTreeSet::new();
        reach(&model, &model["operations"]["A"], &mut reached);
        assert_eq!(reached.into_iter().collect::<Vec<_>>(), ["In", "Leaf"]);
    }

    #[test]
    fn documentation_goes_but_a_member_of_that_name_stays() {
        let mut value = json!({ "documentation": "text", "members": { "documentation": { "shape": "String" } } });
        strip_documentation(&mut value);
        assert_eq!(value, json!({ "members": { "documentation": { "shape": "String" } } }));
    }
}
