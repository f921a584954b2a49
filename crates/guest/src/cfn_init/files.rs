//! Files and symbolic links.
//!
//! Invariants:
//! - What stood there before is kept beside it as `NAME.bak`, and comes back when the new file cannot be written whole.
//! - A file that already is what it should be has not changed, and restarts no service.

use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::build::{Site, attributes};
use super::{accounts, mustache};
use crate::error::{BuildError, Result};
use crate::value;

/// The bits of a mode that tell a symbolic link, and those that tell any kind.
const KIND_LINK: u32 = 0o120_000;
const KIND_MASK: u32 = 0o170_000;
/// The bits that `chmod` takes.
const PERMISSIONS_MASK: u32 = 0o7777;
/// The largest template that is rendered; it is held in memory.
const TEMPLATE_BYTES_MAX: u64 = 64 << 20;

/// Writes the files; which have changed.
pub(super) fn apply(site: &Site<'_>, files: &Map<String, Value>) -> Result<BTreeSet<String>> {
    let mut changed = BTreeSet::new();
    for (name, value) in files {
        if !name.starts_with('/') {
            return Err(BuildError::said(format!("File specified with non-absolute path: {name}")));
        }
        let attributes = attributes("files", name, value)?;
        let mode = attributes.get("mode").map(|mode| parse_mode(name, mode)).transpose()?;
        if put(site, name, attributes, mode)? {
            changed.insert(name.clone());
        }
    }
    Ok(changed)
}

/// A mode in octal digits, as a string or, where a template forgot the quotes, as a number.
fn parse_mode(name: &str, value: &Value) -> Result<u32> {
    let text = value::text(value).unwrap_or_default();
    let digits = text.trim().trim_start_matches("0o");
    u32::from_str_radix(digits, 8)
        .ok()
        .filter(|mode| *mode <= 0o777_7777)
        .ok_or_else(|| BuildError::said(format!("{name}: the mode {value} is not octal digits")))
}

fn put(site: &Site<'_>, name: &str, attributes: &Map<String, Value>, mode: Option<u32>) -> Result<bool> {
    let path = site.system.path(name);
    let link_to = match mode {
        Some(mode) if mode & KIND_MASK == KIND_LINK => {
            let target = value::text_at(attributes, "content");
            Some(target.ok_or_else(|| BuildError::said("Symbolic link specified without a destination"))?)
        }
        _ => None,
    };
    if let Some(target) = &link_to
        && leads_to(site, &path, target)
    {
        site.logs.main.info(format_args!("Symbolic link {name} already exists"));
        return Ok(false);
    }
    make_parent(site, name, &path)?;
    let mode_before = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file).map(|m| m.permissions().mode());
    let backup = Backup::of(site, &path)?;
    let written = match &link_to {
        Some(target) => std::os::unix::fs::symlink(target, &path).map_err(BuildError::from),
        None => write(site, name, &path, attributes).and_then(|()| set_mode(site, name, &path, mode, mode_before)),
    };
    let written = written.and_then(|()| set_owner(site, &path, attributes));
    match written {
        Ok(()) => backup.settle(site, &path),
        Err(error) => {
            backup.restore(site, &path);
            Err(error)
        }
    }
}

fn leads_to(site: &Site<'_>, path: &Path, target: &str) -> bool {
    let there = std::fs::canonicalize(path).ok();
    there.is_some() && there == std::fs::canonicalize(site.system.path(target)).ok()
}

fn make_parent(site: &Site<'_>, name: &str, path: &Path) -> Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    if parent.is_dir() {
        return Ok(());
    }
    let written = Path::new(name).parent().unwrap_or(Path::new("/")).display();
    if parent.exists() {
        return Err(BuildError::said(format!("Parent directory {written} exists and is a file")));
    }
    site.logs.main.debug(format_args!("Parent directory {written} does not exist, creating"));
    Ok(std::fs::create_dir_all(parent)?)
}

fn write(site: &Site<'_>, name: &str, path: &Path, attributes: &Map<String, Value>) -> Result<()> {
    site.logs.main.debug(format_args!("Writing content to {name}"));
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    let context = attributes.get("context").filter(|context| !context.is_null());
    match attributes.get("content").filter(|content| !value::is_empty(content)) {
        Some(Value::String(content)) if is_base64(attributes)? => {
            let compact: String = content.split_whitespace().collect();
            let bytes =
                STANDARD.decode(compact).map_err(|_| BuildError::said(format!("Malformed base64: {content}")))?;
            file.write_all(&bytes)?;
        }
        Some(Value::String(content)) => match context {
            Some(context) => file.write_all(render(content, context)?.as_bytes())?,
            None => file.write_all(content.as_bytes())?,
        },
        Some(document) => {
            site.logs.main.debug("Content will be serialized as a JSON structure");
            file.write_all(document.to_string().as_bytes())?;
        }
        None => {
            let source = value::text_at(attributes, "source").filter(|source| !source.is_empty());
            let source = source.ok_or_else(|| BuildError::said("File specified without source or content"))?;
            site.logs.main.debug(format_args!("Retrieving contents from {source}"));
            let named = value::text_at(attributes, "authentication");
            site.downloads.fetch(&site.logs.main, &source, named.as_deref(), &mut file)?;
            if let Some(context) = context {
                render_in_place(&mut file, context)?;
            }
        }
    }
    Ok(())
}

fn is_base64(attributes: &Map<String, Value>) -> Result<bool> {
    match value::text_at(attributes, "encoding").as_deref() {
        None | Some("plain") => Ok(false),
        Some("base64") => Ok(true),
        Some(other) => Err(BuildError::said(format!("The encoding {other} is neither plain nor base64"))),
    }
}

fn render(template: &str, context: &Value) -> Result<String> {
    mustache::render(template, context)
        .map_err(|error| BuildError::said(format!("Failed to render content as a Mustache template: {error}")))
}

fn render_in_place(file: &mut File, context: &Value) -> Result<()> {
    let mut template = String::new();
    Read::by_ref(file).take(TEMPLATE_BYTES_MAX).read_to_string(&mut template)?;
    let rendered = render(&template, context)?;
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file.write_all(rendered.as_bytes())?)
}

fn set_mode(site: &Site<'_>, name: &str, path: &Path, mode: Option<u32>, before: Option<u32>) -> Result<()> {
    let mode = match (mode, before) {
        (Some(mode), _) => mode & PERMISSIONS_MASK,
        (None, Some(before)) => before & PERMISSIONS_MASK,
        // Nobody asked for a file that the whole world may write.
        (None, None) => std::fs::metadata(path)?.permissions().mode() & 0o775,
    };
    site.logs.main.debug(format_args!("Setting mode for {name} to {mode:o}"));
    Ok(std::fs::set_permissions(path, Permissions::from_mode(mode))?)
}

fn set_owner(site: &Site<'_>, path: &Path, attributes: &Map<String, Value>) -> Result<()> {
    let named = |key: &str| value::text_at(attributes, key).filter(|name| !name.is_empty());
    let user = named("owner").map(|name| accounts::user_id(site.system, &name)).transpose()?;
    let group = named("group").map(|name| accounts::group_id(site.system, &name)).transpose()?;
    if user.is_none() && group.is_none() {
        return Ok(());
    }
    site.logs.main.debug(format_args!("Setting owner {user:?} and group {group:?} for {}", path.display()));
    Ok(std::os::unix::fs::lchown(path, user, group)?)
}

/// What stood at a path before, out of the way.
struct Backup {
    kept: Option<PathBuf>,
    /// An older backup, which was in the way of this one.
    older: Option<PathBuf>,
}

impl Backup {
    fn of(site: &Site<'_>, path: &Path) -> Result<Self> {
        if std::fs::symlink_metadata(path).is_err() {
            return Ok(Self { kept: None, older: None });
        }
        let (kept, older) = (beside(path, ".bak"), beside(path, ".bak2"));
        let mut backup = Self { kept: None, older: None };
        if std::fs::symlink_metadata(&kept).is_ok() {
            rename(site, &kept, &older)?;
            backup.older = Some(older);
        }
        rename(site, path, &kept)?;
        backup.kept = Some(kept);
        Ok(backup)
    }

    /// Whether the new file differs; an older backup goes when it does, and stays the backup when it does not.
    fn settle(self, site: &Site<'_>, path: &Path) -> Result<bool> {
        let Some(kept) = &self.kept else { return Ok(true) };
        if !is_same_file_content(kept, path) {
            if let Some(older) = &self.older {
                let _ = std::fs::remove_file(older);
            }
            return Ok(true);
        }
        if let Some(older) = &self.older {
            rename(site, older, kept)?;
        }
        Ok(false)
    }

    fn restore(self, site: &Site<'_>, path: &Path) {
        let Some(kept) = &self.kept else {
            // Half a file is worse than none.
            let _ = std::fs::remove_file(path);
            return;
        };
        let restored = rename(site, kept, path).and_then(|()| match &self.older {
            Some(older) => rename(site, older, kept),
            None => Ok(()),
        });
        if restored.is_err() {
            site.logs.main.warning(format_args!("Error restoring {} from backup", path.display()));
        }
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn rename(site: &Site<'_>, from: &Path, to: &Path) -> Result<()> {
    site.logs.main.debug(format_args!("Moving {} to {}", from.display(), to.display()));
    std::fs::rename(from, to).map_err(|error| BuildError::said(format!("Could not rename {}: {error}", from.display())))
}

fn is_same_file_content(left: &Path, right: &Path) -> bool {
    let is_file = |path: &Path| std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
    if !is_file(left) || !is_file(right) {
        return false;
    }
    let (Ok(mut left), Ok(mut right)) = (File::open(left), File::open(right)) else { return false };
    if left.metadata().map(|m| m.len()).ok() != right.metadata().map(|m| m.len()).ok() {
        return false;
    }
    let (mut left_bytes, mut right_bytes) = ([0; 8192], [0; 8192]);
    loop {
        let Ok(count) = left.read(&mut left_bytes) else { return false };
        if count == 0 {
            return true;
        }
        if right.read_exact(&mut right_bytes[..count]).is_err() || left_bytes[..count] != right_bytes[..count] {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn modes_are_octal_digits_with_or_without_quotes() {
        let mode = |value: Value| parse_mode("/f", &value);
        assert_eq!(mode(json!("000500")).unwrap(), 0o500);
        assert_eq!(mode(json!("120644")).unwrap() & KIND_MASK, KIND_LINK);
        assert_eq!(mode(json!(644)).unwrap(), 0o644);
        assert_eq!(mode(json!("0o755")).unwrap(), 0o755);
        for wrong in [json!("rwx"), json!("8"), json!(""), json!(-1), json!([]), json!("777777777777")] {
            assert!(mode(wrong.clone()).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_mode_is_read_or_refused_without_panic(text in ".{0,16}") {
            if let Ok(mode) = parse_mode("/f", &Value::String(text)) {
                prop_assert!(mode <= 0o777_7777);
            }
        }

        #[test]
        fn a_mode_comes_back_from_its_digits(mode in 0_u32..=0o177_777) {
            prop_assert_eq!(parse_mode("/f", &json!(format!("{mode:06o}"))).unwrap(), mode);
        }
    }
}
