//! `millpond exec --capture`: programs that know nothing of Millpond, and a host that notices nothing.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use crate::support::{MILLPOND, Place, Server};

/// Whether this machine lets us make namespaces; where it does not, there is nothing to test.
fn can_make_namespaces() -> bool {
    let made = Command::new("unshare").args(["-Urnm", "true"]).stderr(Stdio::null()).status();
    let can = made.is_ok_and(|status| status.success());
    if !can {
        eprintln!("skipped: this machine allows no namespaces");
    }
    can
}

fn captured(place: &Place, server: &Server, more: &[&str], script: &str) -> Output {
    let first = ["exec", "--endpoint", &server.endpoint, "--capture"];
    let arguments = [&first, more, &["--", "sh", "-c", script]].concat();
    place.run(&arguments)
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn awss_names_are_millpond_over_tls_that_is_trusted() {
    if !can_make_namespaces() {
        return;
    }
    let place = Place::new();
    let server = place.serve(&["--ephemeral"]);
    let script = "set -e
        getent hosts anything.s3.eu-west-1.amazonaws.com
        curl -sS https://sqs.us-east-1.amazonaws.com/ -d 'Action=ListQueues&Version=2012-11-05' -o /dev/null -w '%{http_code} %{ssl_verify_result}\\n'
        env -u CURL_CA_BUNDLE -u SSL_CERT_FILE curl -sS https://s3.amazonaws.com/ -o /dev/null -w 'by the system %{ssl_verify_result}\\n'
        curl -sS http://queue.amazonaws.com/ -o /dev/null -w 'plain %{remote_ip}\\n'
        echo \"[$AWS_ENDPOINT_URL] $AWS_REGION $AWS_ACCESS_KEY_ID\"";
    let output = captured(&place, &server, &[], script);
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    for line in ["127.66.0.1", " 0\n", "by the system 0\n", "plain 127.66.0.1\n", "[] us-east-1 test\n"] {
        assert!(said.contains(line), "{line:?} is not in\n{said}");
    }
}

#[test]
fn the_rest_of_the_world_is_not_there_but_for_what_is_named() {
    if !can_make_namespaces() {
        return;
    }
    let place = Place::new();
    let server = place.serve(&["--ephemeral"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhere\n");
        }
    });
    let ask = format!("curl -sS http://127.0.0.1:{port}/");
    let output = captured(&place, &server, &[], &format!("{ask}; echo $?; getent hosts example.org; echo $?"));
    let found = said(&output);
    assert!(found.contains("7\n2\n"), "neither reached nor found: {found}");
    let reach = format!("localhost:{port}");
    let output = captured(&place, &server, &["--reach", &reach], &ask);
    assert_eq!(said(&output), "here\n");
    let refused = captured(&place, &server, &["--reach", "10.0.0.1:80"], "true");
    assert!(said(&refused).contains("name it by its DNS name"));
}

#[test]
fn the_commands_exit_code_and_its_end_are_ours() {
    if !can_make_namespaces() {
        return;
    }
    let place = Place::new();
    let server = place.serve(&["--ephemeral"]);
    assert_eq!(captured(&place, &server, &[], "exit 7").status.code(), Some(7));
    assert_eq!(captured(&place, &server, &[], "kill -9 $$").status.code(), Some(137));
    let missing = place.run(&["exec", "--endpoint", &server.endpoint, "--capture", "--", "no-such-program"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(said(&missing).contains("no-such-program"), "{}", said(&missing));
}

#[test]
fn the_host_stays_as_it_is_also_when_all_is_killed() {
    if !can_make_namespaces() {
        return;
    }
    let place = Place::new();
    let server = place.serve(&["--ephemeral"]);
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let resolv = || std::fs::read("/etc/resolv.conf").unwrap_or_default();
    let before = (mounts(), resolv());
    let arguments = ["exec", "--endpoint", &server.endpoint, "--capture", "--", "sh", "-c", "echo up; exec sleep 60"];
    let mut child = place.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut up = [0; 3];
    out.read_exact(&mut up).unwrap();
    assert_eq!((mounts(), resolv()), before, "while it runs");
    child.kill().unwrap();
    child.wait().unwrap();
    // The captive is told to end, and with it the pipe.
    out.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!((mounts(), resolv()), before, "after kill -9");
}

#[test]
fn an_ordinary_user_needs_no_privileges_and_stays_who_they_are() {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root || !can_make_namespaces() {
        // Without root, every other test here is this one.
        return;
    }
    let place = Place::new();
    let server = place.serve(&["--ephemeral"]);
    std::fs::set_permissions(place.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    // The build's directory may be root's alone.
    let binary = place.dir.path().join("millpond");
    std::fs::copy(MILLPOND, &binary).unwrap();
    let script = "id -u; curl -sS https://sqs.us-east-1.amazonaws.com/ -o /dev/null -w '%{ssl_verify_result}'";
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(&binary)
        .args(["exec", "--endpoint", &server.endpoint, "--capture", "--", "sh", "-c", script])
        .current_dir("/")
        .output()
        .unwrap();
    assert_eq!(said(&output), "65534\n0");
}
