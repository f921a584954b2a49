//! `cargo x codegen`: writes `crates/ground/api/src/SERVICE.rs` from `models/`.
//!
//! Invariants:
//! - What is written depends on `models/` alone; the test below fails when a committed file differs from it.
//! - All of botocore's rules for Query names are applied here, so that the codecs need none.
//! - A shape that we can't generate (a document, a union, a streaming blob) is an error, never left out.

mod rust;
mod shapes;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::model::{self, Pin};

/// Writes every generated file.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    for (path, text) in generated(root)? {
        if fs::read_to_string(&path).is_ok_and(|present| present == text) {
            continue;
        }
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

/// Generated files that differ from what [`run`] would write.
pub(crate) fn stale(root: &Path) -> anyhow::Result<Vec<String>> {
    let is_stale = |(path, text): &(PathBuf, String)| fs::read_to_string(path).unwrap_or_default() != *text;
    let stale = generated(root)?.into_iter().filter(is_stale);
    Ok(stale.map(|(path, _)| format!("{} is stale; run `cargo x codegen`", path.display())).collect())
}

/// Every generated file, by its path, as it should be.
fn generated(root: &Path) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let pins = model::pins(root)?;
    let file = |pin: &Pin| -> anyhow::Result<(PathBuf, String)> {
        let model = corrected_model(root, &pin.service)?;
        let service = shapes::Service::read(&model, pin)?;
        let path = root.join(format!("crates/ground/api/src/{}.rs", pin.service));
        Ok((path, formatted(root, &rust::file(&service))?))
    };
    pins.iter().map(|pin| file(pin).with_context(|| pin.service.clone())).collect()
}

/// A service's model with its overlay applied.
fn corrected_model(root: &Path, service: &str) -> anyhow::Result<Value> {
    let json = |name: String| -> anyhow::Result<Value> {
        let path = root.join("models").join(name);
        serde_json::from_str(&model::read(&path)?).with_context(|| path.display().to_string())
    };
    let mut model = json(format!("{service}.json"))?;
    for correction in json(format!("{service}.overlay.json"))?.as_array().context("an overlay is a list")? {
        correct(&mut model, correction).with_context(|| correction.to_string())?;
    }
    Ok(model)
}

/// Applies `{ "why": …, "at": "/a/b/c", "set": value }`; everything but the last step must be there already.
fn correct(model: &mut Value, correction: &Value) -> anyhow::Result<()> {
    let text = |key: &str| correction[key].as_str().with_context(|| format!("a correction needs {key:?}"));
    ensure!(!text("why")?.is_empty(), "a correction without a reason");
    let (parent, key) = text("at")?.rsplit_once('/').context("`at` is a path")?;
    let value = correction.get("set").context("a correction needs \"set\"")?;
    let parent =
        model.pointer_mut(parent).and_then(Value::as_object_mut).context("there is nothing to correct here")?;
    ensure!(parent.get(key) != Some(value), "the model says so itself by now; remove the correction");
    parent.insert(key.to_owned(), value.clone());
    Ok(())
}

/// The text as `cargo fmt` would leave it.
fn formatted(root: &Path, source: &str) -> anyhow::Result<String> {
    let mut rustfmt = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("rustfmt is needed; `rustup component add rustfmt`")?;
    let mut stdin = rustfmt.stdin.take().context("rustfmt has no stdin")?;
    stdin.write_all(source.as_bytes())?;
    drop(stdin);
    let output = rustfmt.wait_with_output()?;
    ensure!(output.status.success(), "rustfmt refused the generated source");
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn generated_files_are_fresh() {
        assert_eq!(stale(&crate::workspace_root()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_correction_needs_a_reason_and_a_place() {
        let mut model = json!({ "shapes": { "A": {} } });
        let set = |at: &str, why: &str| json!({ "why": why, "at": at, "set": 1 });
        assert!(correct(&mut model, &set("/shapes/A/x", "")).is_err());
        assert!(correct(&mut model, &set("/shapes/B/x", "because")).is_err());
        assert!(correct(&mut model, &set("/shapes/A/x", "because")).is_ok());
        assert_eq!(model["shapes"]["A"]["x"], 1);
    }

    #[test]
    fn a_correction_that_the_model_has_caught_up_with_must_go() {
        let mut model = json!({ "shapes": { "A": { "x": 1 } } });
        assert!(correct(&mut model, &json!({ "why": "because", "at": "/shapes/A/x", "set": 1 })).is_err());
    }
}
