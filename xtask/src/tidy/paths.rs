//! No file names a path that exists only on the machine that it was written on.

use std::path::Path;

use anyhow::Result;

/// Beginnings of such paths. Put together here, so that this file does not break its own rule.
const PRIVATE: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("../sha", "red")];

/// Files that show such a path on purpose.
const EXCEPTIONS: &[&str] = &[];

/// Lines that name such a path.
pub(super) fn violations(root: &Path) -> Result<Vec<String>> {
    let mut violations = Vec::new();
    for file in super::files(root, &[])? {
        // What is not text says nothing to a reader.
        let Ok(text) = std::fs::read_to_string(root.join(&file)) else { continue };
        // CI is told where its machine keeps things.
        if file.starts_with(".ci") || EXCEPTIONS.iter().any(|exception| file == Path::new(exception)) {
            continue;
        }
        for (number, line) in (1..).zip(text.lines()) {
            if let Some(path) = private_path(line) {
                violations.push(format!("{}:{number}: names {path}, which no other machine has", file.display()));
            }
        }
    }
    Ok(violations)
}

/// The private path that a line names, if it stands alone: a folder of that name inside a URL or a longer path is somebody else's.
fn private_path(line: &str) -> Option<&'static str> {
    let begins = |path: &str, at: usize| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|character| !character.is_alphanumeric() && !"./-_}".contains(character))
            || path.starts_with("..")
    };
    PRIVATE.iter().copied().find(|path| line.match_indices(path).any(|(at, _)| begins(path, at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_private_only_where_it_begins() {
        let [work, _, home, shared] = PRIVATE else { panic!("four") };
        assert!(private_path(&format!("see {work}main")).is_some());
        assert!(private_path(&format!("open(\"{home}me/x\")")).is_some());
        assert!(private_path(&format!("[design](../{shared}/design.md)")).is_some());
        assert!(private_path(&format!("https://example.com{home}page")).is_none());
        assert!(private_path("workers and homes").is_none());
    }
}
