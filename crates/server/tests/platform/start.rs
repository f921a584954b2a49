//! Starting: what is printed, what is refused, and with which words.

use std::net::TcpListener;

use crate::support::{Key, Place, Server, read};

fn health(server: &Server) -> serde_json::Value {
    server.get("/_millpond/health", &[]).json()
}

#[test]
fn the_banner_says_where_it_is_how_to_use_it_and_where_the_data_is() {
    let place = Place::new();
    let server = place.serve(&[]);
    let banner = server.banner.join("\n");
    assert!(!server.endpoint.ends_with(":0"), "the real port is printed: {}", server.endpoint);
    for word in
        [&server.endpoint, "./millpond-data", "local", "AWS_ENDPOINT_URL=", "AWS_ACCESS_KEY_ID=test", "us-east-1"]
    {
        assert!(banner.contains(word), "{word} is missing:\n{banner}");
    }
    assert_eq!(health(&server)["services"]["sqs"], "running");
}

#[test]
fn several_addresses_in_both_families_are_served() {
    let place = Place::new();
    let server = place.serve(&["--listen", "[::1]:0", "--ephemeral"]);
    let line = server.banner.iter().find(|line| line.trim_start().starts_with("endpoint")).unwrap();
    let endpoints: Vec<&str> = line.split_whitespace().skip(1).collect();
    assert_eq!(endpoints.len(), 2, "{line}");
    for endpoint in endpoints {
        let address = endpoint.strip_prefix("http://").unwrap().parse().unwrap();
        let mut connection = crate::support::Connection::to(address);
        connection.write("GET /_millpond/health HTTP/1.1\r\nhost: localhost\r\n\r\n");
        assert_eq!(connection.read().status, 200, "{endpoint}");
    }
}

#[test]
fn the_endpoint_file_appears_whole_when_the_server_is_ready() {
    let place = Place::new();
    let server = place.serve(&["--ephemeral", "--endpoint-file", "endpoint"]);
    assert_eq!(read(&place.dir.path().join("endpoint")).trim(), server.endpoint);
}

#[test]
fn a_data_directory_in_use_is_refused_and_free_after_kill_9() {
    let place = Place::new();
    let mut first = place.serve(&[]);
    let refusal = place.refusal(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(refusal.contains("is using it; stop that one, or choose another with --data-dir"), "{refusal}");
    first.signal(rustix::process::Signal::KILL);
    first.wait();
    place.serve(&[]);
}

#[test]
fn a_data_directory_of_a_newer_version_is_refused() {
    let place = Place::new();
    place.serve(&[]).stop();
    place.write("millpond-data/VERSION", "99\n");
    for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["keys", "ls"], &["verify"]] {
        let refusal = place.refusal(command);
        assert!(refusal.contains("a newer Millpond wrote it (format 99"), "{command:?}: {refusal}");
    }
}

#[test]
fn beyond_loopback_it_starts_only_with_keys_and_says_how_to_make_one() {
    let place = Place::new();
    let everywhere = ["serve", "--listen", "0.0.0.0:0"];
    let refusal = place.refusal(&everywhere);
    assert!(refusal.contains("millpond keys create"), "{refusal}");
    let refusal = place.refusal(&["serve", "--listen", "0.0.0.0:0", "--auth", "local"]);
    assert!(refusal.contains("every listener must be on loopback"), "{refusal}");
    Key::create(&place, &[]);
    let server = place.serve_as(&mut place.command(&everywhere));
    assert_eq!(health(&server)["auth"], "strict");
}

#[test]
fn an_unknown_key_in_the_file_is_refused_by_name_and_line() {
    let place = Place::new();
    place.write("millpond.toml", "region = 'eu-west-1'\n\n[limits]\nbody_max = 3\n");
    let refusal = place.refusal(&["serve", "--ephemeral"]);
    assert!(refusal.contains("millpond.toml, line 4: unknown key `body_max`"), "{refusal}");
}

#[test]
fn a_flag_wins_over_the_environment_and_the_environment_over_the_file() {
    let place = Place::new();
    place.write("millpond.toml", "region = 'from-file'\nephemeral = true\nlisten = '127.0.0.1:0'\n");
    let region = |arguments: &[&str], environment: Option<&str>| {
        let mut command = place.command(arguments);
        if let Some(region) = environment {
            command.env("MILLPOND_REGION", region);
        }
        health(&place.serve_as(&mut command))["region"].as_str().unwrap().to_owned()
    };
    assert_eq!(region(&[], None), "from-file");
    assert_eq!(region(&[], Some("from-environment")), "from-environment");
    assert_eq!(region(&["--region", "from-flag"], Some("from-environment")), "from-flag");
}

#[test]
fn a_port_in_use_is_refused_with_advice() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let refusal = place.refusal(&["--ephemeral", "--listen", &taken.local_addr().unwrap().to_string()]);
    assert!(refusal.contains("another program, perhaps another Millpond, listens there"), "{refusal}");
}

#[test]
fn an_ephemeral_server_leaves_nothing_behind() {
    let place = Place::new();
    std::fs::create_dir(place.dir.path().join("tmp")).unwrap();
    let tmp = place.dir.path().join("tmp");
    let mut command = place.command(&["--ephemeral", "--listen", "127.0.0.1:0"]);
    let server = place.serve_as(command.env("TMPDIR", &tmp));
    server.create_queue("jobs");
    server.stop();
    assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0);
    assert!(!place.data_dir().exists());
}

#[test]
fn help_teaches_with_examples() {
    let help = String::from_utf8(Place::new().run(&["--help"]).stdout).unwrap();
    for word in ["Examples:", "millpond exec --", "MILLPOND_DATA_DIR", "--ephemeral", "millpond.toml"] {
        assert!(help.contains(word), "{word} is missing:\n{help}");
    }
}
