//! Which crate may know which: the table that keeps the arrows pointing one way.
//!
//! Invariant: a crate that is not in the table does not exist; an edge that is not in it fails.

use std::path::Path;

use anyhow::{Context, Result};
use toml::Table;

/// Which of our crates each of our crates may depend on.
const ALLOWED: &[(&str, &[&str])] = &[
    // Ground.
    ("host", &[]),
    ("wire", &[]),
    ("policy", &[]),
    ("store", &["host"]),
    ("api", &["wire", "host"]),
    // Engines: know no AWS API, nor each other.
    ("queue", &["host"]),
    ("balancer", &["host"]),
    ("machines", &["host"]),
    // Services: never each other; sqs speaks AWS for the queue engine, elb for the balancer.
    ("sqs", &["api", "wire", "store", "policy", "host", "queue"]),
    ("s3", &["api", "wire", "store", "policy", "host"]),
    ("iam", &["api", "wire", "store", "policy", "host"]),
    ("ec2", &["api", "wire", "store", "policy", "host", "machines"]),
    ("elb", &["api", "wire", "store", "policy", "host", "balancer"]),
    ("autoscaling", &["api", "wire", "store", "policy", "host"]),
    ("cloudformation", &["api", "wire", "store", "policy", "host"]),
    ("ssm", &["api", "wire", "store", "host"]),
    ("ecr", &["api", "wire", "store", "policy", "host"]),
    // Runs inside instances, and reaches services over HTTP only: it signs, and decodes nothing of theirs.
    ("guest", &["wire"]),
    // The only place that knows all.
    (
        "millpond",
        &[
            "host",
            "wire",
            "policy",
            "store",
            "api",
            "queue",
            "balancer",
            "sqs",
            "s3",
            "iam",
            "ec2",
            "elb",
            "machines",
            "autoscaling",
            "cloudformation",
            "ssm",
            "ecr",
            "guest",
        ],
    ),
    // Tools measure and tend the others from outside, over HTTP or by reading their files.
    ("benches", &["host", "wire", "queue", "balancer"]),
    ("xtask", &[]),
    // A user of AWS, who never heard of Millpond.
    ("url2png", &[]),
    ("fuzz", &["host", "wire", "api", "policy", "queue", "balancer", "iam", "cloudformation"]),
];

/// What tests may use beyond that: everybody's clock, ids and disk are simulated.
const ALLOWED_IN_TESTS: &[&str] = &["host"];

/// Edges that are not in the table, and crates that it does not know.
pub(super) fn violations(root: &Path) -> Result<Vec<String>> {
    let mut violations = Vec::new();
    for file in super::files(root, &["toml"])? {
        if file.file_name().is_none_or(|name| name != "Cargo.toml") {
            continue;
        }
        let manifest: Table = super::read(root, &file)?.parse().with_context(|| file.display().to_string())?;
        violations.extend(of_manifest(&manifest).into_iter().map(|wrong| format!("{}: {wrong}", file.display())));
    }
    Ok(violations)
}

fn of_manifest(manifest: &Table) -> Vec<String> {
    let name = manifest.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str);
    // The workspace's own manifest is no crate.
    let Some(name) = name else { return Vec::new() };
    let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
        return vec![format!("{name} is not in the table of xtask/src/tidy/dependencies.rs")];
    };
    let mut violations = Vec::new();
    // What is inside `[target.'cfg(…)']` counts as well.
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let places =
        std::iter::once(manifest).chain(targets.into_iter().flat_map(Table::values).filter_map(|t| t.as_table()));
    for place in places {
        for (section, for_tests) in [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)]
        {
            for (key, value) in place.get(section).and_then(toml::Value::as_table).into_iter().flatten() {
                // A renamed dependency says its real name.
                let dependency = value.get("package").and_then(toml::Value::as_str).unwrap_or(key);
                let is_ours = dependency != name && ALLOWED.iter().any(|(known, _)| *known == dependency);
                let is_allowed = allowed.contains(&dependency) || (for_tests && ALLOWED_IN_TESTS.contains(&dependency));
                if is_ours && !is_allowed {
                    violations.push(format!(
                        "{name} must not depend on {dependency}; see the table in xtask/src/tidy/dependencies.rs"
                    ));
                }
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(manifest: &str) -> usize {
        of_manifest(&manifest.parse().unwrap()).len()
    }

    #[test]
    fn an_edge_outside_the_table_is_found_wherever_it_hides() {
        assert_eq!(of("[package]\nname = 's3'\n[dependencies]\nstore.workspace = true\nserde = '1'"), 0);
        assert_eq!(of("[package]\nname = 's3'\n[dependencies]\nsqs.workspace = true"), 1);
        assert_eq!(of("[package]\nname = 's3'\n[dependencies]\nother = { package = 'sqs', path = '../sqs' }"), 1);
        assert_eq!(of("[package]\nname = 's3'\n[dependencies.iam]\npath = '../iam'"), 1);
        assert_eq!(of("[package]\nname = 'queue'\n[target.'cfg(unix)'.dependencies]\napi.workspace = true"), 1);
        assert_eq!(of("[package]\nname = 'queue'\n[build-dependencies]\napi.workspace = true"), 1);
    }

    #[test]
    fn tests_may_use_the_simulations_and_no_more() {
        assert_eq!(of("[package]\nname = 'policy'\n[dev-dependencies]\nhost.workspace = true"), 0);
        assert_eq!(of("[package]\nname = 'policy'\n[dependencies]\nhost.workspace = true"), 1);
        assert_eq!(of("[package]\nname = 's3'\n[dev-dependencies]\nsqs.workspace = true"), 1);
    }

    #[test]
    fn a_crate_that_the_table_does_not_know_is_found() {
        assert_eq!(of("[package]\nname = 'helpers'"), 1);
        assert_eq!(of("[workspace]\nmembers = []"), 0);
    }

    #[test]
    fn the_table_has_no_circle() {
        // Each row may only name rows that can be reached before it: take away rows without edges until none is left.
        let mut left: Vec<_> = ALLOWED.to_vec();
        while !left.is_empty() {
            let names: Vec<_> = left.iter().map(|(name, _)| *name).collect();
            let before = left.len();
            left.retain(|(_, allowed)| allowed.iter().any(|name| names.contains(name)));
            assert!(left.len() < before, "a circle among {names:?}");
        }
    }
}
