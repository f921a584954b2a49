//! `cfn-init` as a whole, in an instance below a temporary directory.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::system::System;
use crate::testing::{Server, resource};

/// An instance with accounts, logs and programs of its own.
struct Instance {
    root: tempfile::TempDir,
}

impl Instance {
    fn new() -> Self {
        let instance = Self { root: tempfile::tempdir().unwrap() };
        instance.write("/var/log/.keep", "");
        let me = rustix::process::getuid().as_raw();
        let group = rustix::process::getgid().as_raw();
        instance.write("/etc/passwd", &format!("root:x:{me}:{group}:root:/root:/bin/sh\n"));
        instance.write("/etc/group", &format!("root:x:{group}:\n"));
        instance
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        std::fs::write(self.at(path), text).unwrap();
    }

    fn program(&self, path: &str, text: &str) {
        self.write(path, &format!("#!/bin/sh\n{text}\n"));
        std::fs::set_permissions(self.at(path), PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.at(path)).unwrap()
    }

    fn mode(&self, path: &str) -> u32 {
        std::fs::metadata(self.at(path)).unwrap().permissions().mode() & 0o7777
    }

    fn run(&self, metadata: &Value, more: &[&str]) -> u8 {
        let answer = resource(metadata);
        let server = Server::of_an_instance(move |_| (200, answer.clone()));
        self.run_with(&server, more)
    }

    fn run_with(&self, server: &Server, more: &[&str]) -> u8 {
        let mut environment = server.environment().to_vec();
        let path = format!("{}:/usr/bin:/bin", self.at("/bin").display());
        environment.push(("PATH", &path));
        let system = System::under(self.root.path(), &environment);
        let arguments = ["-v", "--stack", "demo", "--resource", "Server", "--region", "eu-west-1"];
        let arguments: Vec<OsString> = arguments.iter().chain(more).map(OsString::from).collect();
        super::main(&system, &arguments)
    }
}

fn init(config: Value) -> Value {
    json!({"AWS::CloudFormation::Init": {"config": config}})
}

#[test]
fn a_template_of_2015_gets_its_web_server() {
    let instance = Instance::new();
    // The package manager of the image, which writes down what it was asked.
    instance
        .program("/bin/yum", r#"echo "$*" >> "${0%/*}/asked"; case "$*" in *"list installed"*) exit 1;; esac; exit 0"#);
    instance.program("/etc/init.d/apache2", r#"echo "$1" >> "${0%/*}/asked"; [ "$1" != status ]"#);
    std::fs::create_dir_all(instance.at("/var/www/html")).unwrap();
    let metadata = init(json!({
        "packages": {"yum": {"httpd": []}},
        "files": {"/tmp/config": {
            "content": "#!/bin/sh -ex\nPRIVATE_IP=172.31.38.7\necho \"<html>$PRIVATE_IP</html>\" > index.html\n",
            "mode": "000500", "owner": "root", "group": "root",
        }},
        "commands": {"01_config": {"command": "../../../tmp/config", "cwd": "/var/www/html"}},
        "services": {"sysvinit": {"httpd": {"enabled": "true", "ensureRunning": "true"}}},
    }));
    assert_eq!(instance.run(&metadata, &[]), 0);
    assert_eq!(instance.read("/var/www/html/index.html"), "<html>172.31.38.7</html>\n");
    assert_eq!(instance.mode("/tmp/config"), 0o500);
    assert_eq!(
        instance.read("/bin/asked"),
        "-C -y list installed httpd\n-y makecache\n-C -y --showduplicates list available httpd\n-y install httpd\n"
    );
    assert_eq!(instance.read("/etc/init.d/asked"), "status\nstart\n");
    assert!(instance.at("/var/lib/millpond/services/apache2").exists());
    let log = instance.read("/var/log/cfn-init.log");
    for line in
        ["Running configSets: default", "Running config config", "Command 01_config succeeded", "Build complete"]
    {
        assert!(log.contains(line), "{line} is not in {log}");
    }
    assert!(instance.read("/var/log/cfn-init-cmd.log").contains("Command 01_config"));
    assert!(instance.read("/var/lib/cfn-init/data/metadata.json").contains("AWS::CloudFormation::Init"));
}

#[test]
fn packages_that_are_there_cost_no_network() {
    let instance = Instance::new();
    instance.program("/bin/yum", r#"echo "$*" >> "${0%/*}/asked"; exit 0"#);
    assert_eq!(instance.run(&init(json!({"packages": {"yum": {"httpd": [], "php": "5.6"}}})), &[]), 0);
    assert_eq!(instance.read("/bin/asked"), "-C -y list installed httpd\n-C -y list installed php-5.6\n");
}

#[test]
fn sections_go_in_the_published_order_and_commands_by_name() {
    let instance = Instance::new();
    let metadata = init(json!({
        "commands": {
            "b": {"command": "cat /dev/null && echo b >> order", "cwd": "/w"},
            "a": {"command": ["sh", "-c", "cat f > order; echo a$X >> order"], "cwd": "/w", "env": {"X": 1, "PATH": "/bin:/usr/bin"}},
            "c": {"command": "echo c >> order", "cwd": "/w", "test": "exit 3"},
            "d": {"command": "echo d >> order; exit 9", "cwd": "/w", "ignoreErrors": "true", "test": "true"},
        },
        "files": {"/w/f": {"content": "file\n"}},
    }));
    assert_eq!(instance.run(&metadata, &[]), 0);
    assert_eq!(instance.read("/w/order"), "file\na1\nb\nd\n");
}

#[test]
fn a_command_that_fails_ends_the_build_with_one() {
    let instance = Instance::new();
    let metadata = init(json!({
        "commands": {"1": {"command": "exit 5"}, "2": {"command": "touch ran", "cwd": "/"}},
    }));
    assert_eq!(instance.run(&metadata, &[]), 1);
    assert!(!instance.at("/ran").exists());
    let log = instance.read("/var/log/cfn-init.log");
    assert!(log.contains("BUILD FAILED!") && log.contains("Command 1 failed"), "{log}");
    assert!(instance.read("/var/log/cfn-init-cmd.log").contains("Exited with error code 5"));
}

#[test]
fn files_of_every_kind_are_written() {
    let instance = Instance::new();
    let server = Server::of_an_instance(move |request| match request.split(' ').nth(1) {
        Some("/hello.txt") => (200, "hello {{name}}".to_owned()),
        _ => (
            200,
            resource(&json!({"AWS::CloudFormation::Init": {"config": {"files": {
                "/f/plain": {"content": "text", "mode": "000640"},
                "/f/base64": {"content": "aGk=\n", "encoding": "base64"},
                "/f/json": {"content": {"a": [1]}},
                "/f/mustache": {"content": "{{name}}", "context": {"name": "a&b"}},
                "/f/remote": {"source": format!("http://{}/hello.txt", host_of(request))},
                "/f/rendered": {"source": format!("http://{}/hello.txt", host_of(request)), "context": {"name": "you"}},
                "/f/link": {"content": "/f/plain", "mode": "120644"},
            }}}})),
        ),
    });
    assert_eq!(instance.run_with(&server, &[]), 0);
    assert_eq!((instance.read("/f/plain").as_str(), instance.mode("/f/plain")), ("text", 0o640));
    assert_eq!(instance.read("/f/base64"), "hi");
    assert_eq!(instance.read("/f/json"), r#"{"a":[1]}"#);
    assert_eq!(instance.read("/f/mustache"), "a&amp;b");
    assert_eq!(instance.read("/f/remote"), "hello {{name}}");
    assert_eq!(instance.read("/f/rendered"), "hello you");
    assert_eq!(std::fs::read_link(instance.at("/f/link")).unwrap(), Path::new("/f/plain"));
    assert_eq!(instance.mode("/f/base64") & 0o002, 0);
}

fn host_of(request: &str) -> String {
    request.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().to_owned()
}

#[test]
fn a_file_that_cannot_be_written_whole_leaves_the_old_one() {
    let instance = Instance::new();
    instance.write("/f", "old");
    for attributes in [
        json!({"content": "###", "encoding": "base64"}),
        json!({"content": "new", "owner": "nobody-of-that-name"}),
        json!({"content": "{{#a}}", "context": {}}),
        json!({"content": "new", "encoding": "rot13"}),
        json!({}),
    ] {
        assert_eq!(instance.run(&init(json!({"files": {"/f": attributes}})), &[]), 1, "{attributes}");
        assert_eq!(instance.read("/f"), "old", "{attributes}");
    }
    assert!(!instance.at("/f.bak").exists());
    assert_eq!(instance.run(&init(json!({"files": {"relative": {"content": "x"}}})), &[]), 1);
}

#[test]
fn a_service_restarts_for_a_changed_file_and_not_for_the_same() {
    let instance = Instance::new();
    instance.program("/etc/init.d/web", r#"echo "$1" >> "${0%/*}/asked""#);
    let metadata = |text: &str| {
        init(json!({
            "files": {"/etc/web.conf": {"content": text}},
            "services": {"sysvinit": {"web": {"ensureRunning": "true", "files": ["/etc/web.conf"]}}},
        }))
    };
    for text in ["a", "a", "b"] {
        assert_eq!(instance.run(&metadata(text), &[]), 0);
    }
    assert_eq!(instance.read("/etc/init.d/asked"), "restart\nstatus\nrestart\n");
    assert_eq!(instance.read("/etc/web.conf.bak"), "a");
}

#[test]
fn archives_are_unpacked_and_none_escapes() {
    let instance = Instance::new();
    std::fs::create_dir_all(instance.at("/a")).unwrap();
    let tar = |name: &str, member: &str| {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(2);
        header.set_mode(0o750);
        // set_path refuses names that lead outside; an attacker does not.
        header.as_mut_bytes()[..member.len()].copy_from_slice(member.as_bytes());
        header.set_cksum();
        builder.append(&header, &b"hi"[..]).unwrap();
        std::fs::write(instance.at(name), builder.into_inner().unwrap()).unwrap();
    };
    tar("/a/good.tar", "dir/file");
    let gzip = std::fs::File::create(instance.at("/a/good.tar.gz")).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(gzip, flate2::Compression::fast());
    gzip.write_all(&std::fs::read(instance.at("/a/good.tar")).unwrap()).unwrap();
    gzip.finish().unwrap();
    let mut zip = zip::ZipWriter::new(std::fs::File::create(instance.at("/a/good.zip")).unwrap());
    zip.start_file("z/file", zip::write::SimpleFileOptions::default().unix_permissions(0o700)).unwrap();
    zip.write_all(b"zipped").unwrap();
    zip.finish().unwrap();
    let sources = json!({"/t": "/a/good.tar", "/g": "/a/good.tar.gz", "/z": "/a/good.zip"});
    assert_eq!(instance.run(&init(json!({ "sources": sources })), &[]), 0);
    assert_eq!((instance.read("/t/dir/file").as_str(), instance.mode("/t/dir/file")), ("hi", 0o750));
    assert_eq!(instance.read("/g/dir/file"), "hi");
    assert_eq!((instance.read("/z/z/file").as_str(), instance.mode("/z/z/file")), ("zipped", 0o700));
    tar("/a/bad.tar", "../escaped");
    instance.write("/a/none.tar", "not an archive");
    for bad in ["/a/bad.tar", "/a/none.tar", "/a/missing.tar", "ftp://x/y"] {
        assert_eq!(instance.run(&init(json!({"sources": {"/deep/er": bad}})), &[]), 1, "{bad}");
    }
    assert!(!instance.at("/deep/escaped").exists());
}

#[test]
fn config_sets_are_chosen_and_an_unknown_one_fails() {
    let instance = Instance::new();
    let metadata = json!({"AWS::CloudFormation::Init": {
        "configSets": {"default": ["one"], "both": [{"ConfigSet": "default"}, "two"]},
        "one": {"files": {"/one": {"content": "1"}}},
        "two": {"files": {"/two": {"content": "2"}}},
    }});
    assert_eq!(instance.run(&metadata, &[]), 0);
    assert!(instance.at("/one").exists() && !instance.at("/two").exists());
    assert_eq!(instance.run(&metadata, &["-c", "both"]), 0);
    assert!(instance.at("/two").exists());
    assert_eq!(instance.run(&metadata, &["-c", "neither"]), 1);
}

#[test]
fn metadata_without_init_is_nothing_to_do_and_no_metadata_is_an_error() {
    let instance = Instance::new();
    assert_eq!(instance.run(&json!({"other": 1}), &[]), 0);
    assert_eq!(instance.run(&json!({}), &[]), 1);
    assert_eq!(instance.run(&json!({}), &["file", "too"]), 1);
    assert_eq!(instance.run(&json!({}), &["--no-such-option"]), 2);
}

#[test]
fn a_file_that_may_not_be_fetched_ends_the_build() {
    let instance = Instance::new();
    let server = Server::of_an_instance(|request| match request.split(' ').nth(1) {
        Some("/missing") => (403, r#"{"Error": {"Code": "AccessDenied", "Message": "no", "Type": "Sender"}}"#.into()),
        _ => {
            (200, resource(&init(json!({"files": {"/f": {"source": format!("http://{}/missing", host_of(request))}}}))))
        }
    });
    assert_eq!(instance.run_with(&server, &[]), 1);
    assert!(!instance.at("/f").exists());
    assert!(instance.read("/var/log/cfn-init.log").contains("Failed to retrieve"));
}

#[test]
fn credentials_in_the_metadata_go_to_their_server_only() {
    let instance = Instance::new();
    let server = Server::of_an_instance(|request| match request.split(' ').nth(1) {
        Some("/private" | "/named") => (200, "secret".into()),
        _ => {
            let host = host_of(request);
            let mut metadata = init(json!({"files": {
                "/private": {"source": format!("http://{host}/private")},
                "/named": {"source": format!("http://{host}/named"), "authentication": "other"},
            }}));
            metadata["AWS::CloudFormation::Authentication"] = json!({
                "mine": {"type": "basic", "username": "me", "password": "pw", "uris": [host]},
                "other": {"type": "S3", "roleName": "web", "buckets": ["b"]},
            });
            (200, resource(&metadata))
        }
    });
    assert_eq!(instance.run_with(&server, &[]), 0);
    let requests = server.requests();
    let find = |path: &str| requests.iter().find(|request| request.starts_with(path)).unwrap().clone();
    assert!(find("GET /private").contains("authorization: Basic bWU6cHc="));
    let signed = find("GET /named");
    assert!(signed.contains("Credential=ASIA/") && signed.contains("x-amz-security-token: session"), "{signed}");
}
