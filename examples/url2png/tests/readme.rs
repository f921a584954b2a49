//! The README's commands, run as they stand there.

#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

mod support;

use std::fs;
use std::process::Command;

use support::pages::Pages;
use support::{Millpond, REGION, picture::Picture};

#[test]
fn the_readme_works_as_it_is_written() {
    let (millpond, pages, dir) = (Millpond::start(), Pages::serve(), tempfile::tempdir().unwrap());
    let port = millpond.endpoint.rsplit(':').next().unwrap();
    // The last step removes what was fetched; it is kept for a look at it.
    let script = commands(include_str!("../README.md")).replace("\nrm ", "\ncp picture.png kept.png\nrm ");
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_url2png")).parent().unwrap().to_str().unwrap();
    let output = Command::new("timeout")
        .args(["--kill-after=5", "300", "bash", "-euo", "pipefail", "-c", &cli_v1_needs_a_flag(&script)])
        .current_dir(dir.path())
        .env("PATH", format!("{program}:{}", std::env::var("PATH").unwrap()))
        .env("AWS_ENDPOINT_URL", &millpond.endpoint)
        .envs([("AWS_REGION", REGION), ("AWS_DEFAULT_REGION", REGION)])
        .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("URL2PNG_WORK_DIR", dir.path())
        .env("URL2PNG_WEBSITE_URL", format!("http://my-pictures.s3-website-{REGION}.localhost:{port}"))
        .env("PAGE", pages.url("/color/336699"))
        .output()
        .expect("timeout and bash are installed");
    assert!(
        output.status.success(),
        "{}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Picture::decode(&fs::read(dir.path().join("kept.png")).unwrap()).assert_shows("336699");
    let left = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut left: Vec<_> = left.map(|name| name.into_string().unwrap()).collect();
    // The worker that was killed had no chance to remove its profile.
    left.retain(|name| !name.starts_with("url2png."));
    assert_eq!(left, ["kept.png"], "the README cleans up after itself");
}

/// The blocks marked as shell, in their order.
fn commands(readme: &str) -> String {
    let blocks = readme.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
    let commands: String = blocks.collect();
    assert!(commands.contains("url2png submit"), "the README has no commands");
    commands
}

/// Version 1 of the CLI does not look at AWS_ENDPOINT_URL for SQS, as the README says.
fn cli_v1_needs_a_flag(script: &str) -> String {
    format!("aws() {{ command aws --endpoint-url \"$AWS_ENDPOINT_URL\" \"$@\"; }}\n{script}")
}
