//! `cargo x tidy`: reads the source for what neither compiler nor clippy hold. Each rule is a test too.
//!
//! Invariants:
//! - A rule sees every file that git knows or would add, so that a new file is held before its first commit.
//! - A rule says where and what to do; an exception stands in the file itself, with its reason.

mod dependencies;
mod operations;
mod paths;
mod source;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A name for people, and the rule: what is wrong, a line each.
type Rule = (&'static str, fn(&Path) -> Result<Vec<String>>);

const RULES: &[Rule] = &[
    ("crates depend only where the table lets them", dependencies::violations),
    ("modules open with what they promise; files and functions are short", source::violations),
    ("each listed operation is named by a test", operations::violations),
    ("generated files are fresh", crate::codegen::stale),
    ("no file names a path of the machine that it was written on", paths::violations),
];

/// Checks every rule and prints what is wrong.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut wrong = 0;
    for (name, rule) in RULES {
        let violations = rule(root).with_context(|| format!("cannot check that {name}"))?;
        println!("{} {name}", if violations.is_empty() { "ok  " } else { "FAIL" });
        for violation in &violations {
            println!("     {violation}");
        }
        wrong += violations.len();
    }
    ensure!(wrong == 0, "{wrong} untidy places, listed above");
    Ok(())
}

/// The files of the work tree with one of these endings, relative to the root; none that git ignores.
fn files(root: &Path, endings: &[&str]) -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("cannot run git")?;
    ensure!(output.status.success(), "git cannot list the files: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).context("a file's name is not UTF-8")?;
    let wanted = |path: &PathBuf| {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        // A file that was deleted but not yet committed is still listed.
        (endings.is_empty() || endings.contains(&ending)) && root.join(path).is_file()
    };
    let mut files: Vec<PathBuf> = names.split('\0').map(PathBuf::from).filter(wanted).collect();
    files.sort();
    files.dedup();
    ensure!(!files.is_empty(), "there are no files: is this a checkout?");
    Ok(files)
}

fn read(root: &Path, file: &Path) -> Result<String> {
    std::fs::read_to_string(root.join(file)).with_context(|| file.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_kept(rule: fn(&Path) -> Result<Vec<String>>) {
        let violations = rule(&crate::workspace_root()).unwrap();
        assert!(violations.is_empty(), "\n{}", violations.join("\n"));
    }

    #[test]
    fn crates_depend_only_where_the_table_lets_them() {
        assert_kept(dependencies::violations);
    }

    #[test]
    fn modules_open_with_what_they_promise_and_files_and_functions_are_short() {
        assert_kept(source::violations);
    }

    #[test]
    fn each_listed_operation_is_named_by_a_test() {
        assert_kept(operations::violations);
    }

    #[test]
    fn no_file_names_a_path_of_the_machine_that_it_was_written_on() {
        assert_kept(paths::violations);
    }
}
