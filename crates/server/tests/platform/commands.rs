//! The commands beside `serve`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::{Key, Place};

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a command finds in its environment, as `NAME=value` lines.
fn environment(place: &Place, endpoint: &str, set: &[(&str, &str)]) -> String {
    let output =
        place.command(&["exec", "--endpoint", endpoint, "--", "env"]).envs(set.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    said(&output)
}

#[test]
fn exec_gives_a_command_endpoint_region_and_credentials_and_passes_its_exit_code() {
    let place = Place::new();
    let server = place.serve(&["--ephemeral"]);
    let found = environment(&place, &server.endpoint, &[]);
    for line in [
        &format!("AWS_ENDPOINT_URL={}", server.endpoint),
        "AWS_REGION=us-east-1",
        "AWS_DEFAULT_REGION=us-east-1",
        "AWS_ACCESS_KEY_ID=test",
        "AWS_SECRET_ACCESS_KEY=test",
    ] {
        assert!(found.lines().any(|have| have == line), "{line} is missing:\n{found}");
    }
    let own = [("AWS_ACCESS_KEY_ID", "111122223333"), ("AWS_SECRET_ACCESS_KEY", "x"), ("AWS_REGION", "eu-west-1")];
    let found = environment(&place, &server.endpoint, &own);
    for (name, value) in own {
        assert!(found.contains(&format!("{name}={value}\n")), "the user's own {name} stays:\n{found}");
    }
    let output = place.run(&["exec", "--endpoint", &server.endpoint, "--", "sh", "-c", "exit 7"]);
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn exec_invents_no_credentials_for_a_strict_server() {
    let place = Place::new();
    Key::create(&place, &[]);
    let server = place.serve(&[]);
    assert!(!environment(&place, &server.endpoint, &[]).contains("AWS_ACCESS_KEY_ID"));
}

#[test]
fn exec_without_a_server_or_program_says_what_to_do() {
    let place = Place::new();
    let refusal = place.refusal(&["exec", "--endpoint", "http://127.0.0.1:1", "--", "true"]);
    assert!(refusal.contains("start one with `millpond serve`"), "{refusal}");
    let server = place.serve(&["--ephemeral"]);
    let refusal = place.refusal(&["exec", "--endpoint", &server.endpoint, "--", "no-such-program"]);
    assert!(refusal.contains("no such program on the PATH"), "{refusal}");
}

#[test]
fn aws_runs_the_cli_with_its_endpoint() {
    let place = Place::new();
    let server = place.serve(&["--ephemeral"]);
    place.write("aws", "#!/bin/sh\necho \"$@\"\n");
    let script = place.dir.path().join("aws");
    std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", place.dir.path().display(), std::env::var("PATH").unwrap());
    let mut command = place.command(&["aws", "--endpoint", &server.endpoint, "s3", "ls", "--recursive"]);
    let output = command.env("PATH", path).output().unwrap();
    assert_eq!(said(&output), format!("--endpoint-url {} s3 ls --recursive\n", server.endpoint));
}

#[test]
fn verify_reads_everything_and_finds_a_flipped_bit() {
    let place = Place::new();
    let server = place.serve(&[]);
    let url = server.create_queue("jobs");
    for n in 0..20 {
        let body = format!("a body to find {n}");
        server.sqs_ok("SendMessage", json!({ "QueueUrl": url, "MessageBody": body }));
    }
    let busy = place.refusal(&["verify"]);
    assert!(busy.contains("is using it"), "{busy}");
    server.stop();
    let whole = place.run(&["verify"]);
    assert!(whole.status.success() && said(&whole).contains("Nothing is wrong."), "{whole:?}");
    assert!(said(&whole).contains("messages   20 "), "{whole:?}");

    let (file, at) = find(&place.data_dir().join("journal"), b"a body to find 7").unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let damaged = place.run(&["verify"]);
    assert_eq!(damaged.status.code(), Some(1), "{damaged:?}");
    assert!(said(&damaged).contains("DAMAGED") || said(&damaged).contains("LOST"), "{damaged:?}");
}

fn find(dir: &Path, needle: &[u8]) -> Option<(PathBuf, usize)> {
    std::fs::read_dir(dir).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        let bytes = if path.is_file() { std::fs::read(&path).unwrap() } else { return find(&path, needle) };
        bytes.windows(needle.len()).position(|window| window == needle).map(|at| (path, at))
    })
}

#[test]
fn the_demo_tells_the_queues_half_of_its_story_and_leaves_nothing_behind() {
    let place = Place::new();
    let tmp = place.dir.path().join("tmp");
    std::fs::create_dir(&tmp).unwrap();
    let output = place.command(&["demo", "queue"]).env("TMPDIR", &tmp).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let story = said(&output);
    for word in ["aws sqs create-queue", "kill -9", "received 2 times", "<h1>Done.</h1>", "0 waiting", "queues left: 0"]
    {
        assert!(story.contains(word), "{word} is missing:\n{story}");
    }
    assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0);
    assert!(!place.data_dir().exists());
}

#[test]
fn version_is_printed() {
    assert_eq!(said(&Place::new().run(&["version"])), format!("millpond {}\n", env!("CARGO_PKG_VERSION")));
}
