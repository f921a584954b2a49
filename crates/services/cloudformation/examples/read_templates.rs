//! Reads every template below a directory and says which are refused and why:
//! `cargo run -p cloudformation --example read_templates -- DIRECTORY`.
//!
//! Invariant: a template is read as CreateStack reads it, except that its resource types need not be known.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cloudformation::template::{Catalogue, Template, TemplateError, validate};

/// Every type, with every attribute.
struct Any;

impl Catalogue for Any {
    fn knows(&self, _: &str) -> bool {
        true
    }
    fn has_attribute(&self, _: &str, _: &str) -> bool {
        true
    }
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            files(&path, found)?;
        } else if path.extension().is_some_and(|ext| ["yaml", "yml", "json", "template"].iter().any(|e| ext == *e)) {
            found.push(path);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<(), TemplateError> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let template = Template::read(&text, &BTreeMap::new())?;
    validate::validate(&template, &Any)
}

fn main() -> std::io::Result<()> {
    let mut found = Vec::new();
    for directory in std::env::args().skip(1) {
        files(Path::new(&directory), &mut found)?;
    }
    found.sort();
    let mut refused = 0;
    for path in &found {
        if let Err(error) = read(path) {
            refused += 1;
            println!("{}: {error}", path.display());
        }
    }
    println!("{} templates, {refused} refused", found.len());
    Ok(())
}
