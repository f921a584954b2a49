//! `millpond instances`: machines that become instances, with and without a server.

use crate::support::{Key, Place, eventually};

fn added(place: &Place, arguments: &[&str]) -> String {
    let output = place.run(&[&["instances", "add"], arguments].concat());
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn listed(place: &Place) -> String {
    String::from_utf8(place.run(&["instances", "ls"]).stdout).unwrap()
}

#[test]
fn a_machine_added_before_the_server_starts_is_an_instance() {
    let place = Place::new();
    let id = added(&place, &["--ip", "10.0.0.5", "--zone", "us-east-1a", "--name", "web1"]);
    assert!(id.starts_with("i-") && id.len() == 19, "{id}");
    let server = place.serve(&[]);
    let answer = server.query_ok("ec2", "2016-11-15", "DescribeInstances", &[]);
    for piece in [&*id, "<privateIpAddress>10.0.0.5</privateIpAddress>", "us-east-1a", "<value>web1</value>"] {
        assert!(answer.contains(piece), "{piece}: {answer}");
    }
}

#[test]
fn a_machine_added_or_removed_beside_a_server_is_noticed() {
    let place = Place::new();
    let server = place.serve(&[]);
    let id = added(&place, &["--ip", "10.0.0.5", "--zone", "us-east-1a"]);
    let describe = || server.query_ok("ec2", "2016-11-15", "DescribeInstances", &[]);
    eventually("the machine is an instance", || describe().contains(&id));
    let line = listed(&place);
    assert!(line.starts_with(&format!("{id}  10.0.0.5")) && line.contains("us-east-1a"), "{line}");
    assert!(place.run(&["instances", "rm", &id]).status.success());
    eventually("the machine is gone", || !describe().contains(&id));
    assert_eq!(listed(&place), "");
}

#[test]
fn a_machine_that_can_not_be_one_is_refused_with_what_to_do() {
    let place = Place::new();
    added(&place, &["--ip", "10.0.0.5", "--zone", "us-east-1a"]);
    for (arguments, said) in [
        (&["add", "--ip", "10.0.0.5", "--zone", "us-east-1b"][..], "10.0.0.5 is registered already, as i-"),
        (&["add", "--ip", "10.0.0.6", "--zone", "us-east-1z"], "us-east-1a, us-east-1b, us-east-1c"),
        (&["add", "--ip", "0.0.0.0", "--zone", "us-east-1a"], "0.0.0.0 is not the address of one machine"),
        (&["rm", "i-0123456789abcdef0"], "`millpond instances ls` lists them"),
        (&["ls", "--account", "1"], "it must be 12 digits"),
    ] {
        let refusal = place.refusal(&[&["instances"], arguments].concat());
        assert!(refusal.contains(said), "{arguments:?}: {refusal}");
    }
}

#[test]
fn machines_belong_to_an_account() {
    let place = Place::new();
    let id = added(&place, &["--ip", "10.0.0.5", "--zone", "us-east-1a", "--account", "111122223333"]);
    let server = place.serve(&[]);
    assert!(!server.query_ok("ec2", "2016-11-15", "DescribeInstances", &[]).contains(&id));
    let key = Key { id: "111122223333".into(), secret: "any".into() };
    let answer = server.query_as(&key, "ec2", "2016-11-15", "DescribeInstances", &[]);
    assert!(answer.text().contains(&id), "{answer:?}");
}
