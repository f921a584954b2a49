//! What user data becomes.

use super::*;

fn of(user_data: &str) -> Vec<Task> {
    tasks(user_data.as_bytes(), true, "").into_iter().collect()
}

fn runs(tasks: &[Task]) -> Vec<String> {
    let run = |task: &Task| match task {
        Task::Run { argv, .. } => Some(argv.join(" ")),
        _ => None,
    };
    tasks.iter().filter_map(run).collect()
}

fn said(tasks: &[Task]) -> Vec<String> {
    let say = |task: &Task| match task {
        Task::Say(sentence) => Some(sentence.clone()),
        _ => None,
    };
    tasks.iter().filter_map(say).collect()
}

fn file(tasks: &[Task], wanted: &str) -> Option<(String, u32)> {
    tasks.iter().find_map(|task| match task {
        Task::Write { path, content, mode, .. } if path == wanted => {
            Some((String::from_utf8(content.clone()).unwrap(), *mode))
        }
        _ => None,
    })
}

#[test]
fn a_script_is_run_as_cloud_init_runs_it_and_only_at_the_first_boot() {
    let script = "#!/bin/bash -ex\necho hello\n";
    let tasks = of(script);
    let path = "/var/lib/cloud/instance/scripts/part-001";
    assert_eq!(file(&tasks, path), Some((script.to_owned(), 0o700)));
    assert_eq!(runs(&tasks), [path]);
    assert_eq!(file(&tasks, "/var/lib/cloud/instance/user-data.txt"), Some((script.to_owned(), 0o600)));
    assert!(super::tasks(script.as_bytes(), false, "").is_empty());
}

#[test]
fn cloud_config_becomes_files_then_users_then_packages_then_runcmd() {
    let tasks = of("#cloud-config\n\
        runcmd:\n  - echo one\n  - [echo, \"two's\"]\n\
        packages: [httpd, [php, '8.2']]\n\
        users:\n  - default\n  - name: alice\n    groups: wheel, docker\n    sudo: ALL=(ALL) NOPASSWD:ALL\n\
        write_files:\n  - path: /etc/motd\n    content: hi\n    permissions: '0600'\n    owner: root:root\n\
        bootcmd:\n  - echo boot\n");
    let runs = runs(&tasks);
    assert_eq!(runs[0], "/bin/sh -c echo boot sh");
    assert!(runs[1].starts_with("useradd --create-home --groups wheel,docker alice"), "{}", runs[1]);
    assert!(runs[2].ends_with("httpd php"), "{}", runs[2]);
    assert_eq!(runs[3], "/var/lib/cloud/instance/scripts/runcmd");
    assert_eq!(file(&tasks, "/etc/motd"), Some(("hi".to_owned(), 0o600)));
    assert_eq!(file(&tasks, &runs[3]).unwrap().0, "#!/bin/sh\necho one\n'echo' 'two'\\''s'\n");
    assert_eq!(file(&tasks, "/etc/sudoers.d/90-cloud-init-users").unwrap().1, 0o440);
    assert!(said(&tasks).is_empty(), "{:?}", said(&tasks));
}

#[test]
fn what_is_not_understood_is_said_and_not_passed_over() {
    assert!(said(&of("hello"))[0].contains("\"hello\""));
    assert!(said(&of("#cloud-config\nchef: {}\n"))[0].contains("chef: no such module"));
    assert!(said(&of("#cloud-config\n- a\n"))[0].contains("not a mapping"));
    assert!(said(&of("#cloud-config\na: [\n"))[0].contains("#cloud-config: "));
    assert!(said(&of("#include\nhttp://example.org/\n"))[0].contains("#include"));
}

#[test]
fn an_archive_is_read_part_by_part() {
    let archive = "Content-Type: multipart/mixed;\n boundary=\"==b==\"\nMIME-Version: 1.0\n\n\
        --==b==\nContent-Type: text/cloud-config; charset=\"us-ascii\"\n\nruncmd: [echo config]\n\
        --==b==\nContent-Type: text/x-shellscript\nContent-Transfer-Encoding: base64\n\n\
        IyEvYmluL3NoCmVjaG8gc2NyaXB0Cg==\n--==b==--\n";
    let tasks = of(archive);
    assert_eq!(runs(&tasks), [format!("{SCRIPTS}/part-001"), format!("{SCRIPTS}/runcmd")]);
    assert_eq!(file(&tasks, &format!("{SCRIPTS}/part-001")).unwrap().0, "#!/bin/sh\necho script\n");
}

#[test]
fn boothooks_and_bootcmd_come_back_at_each_boot() {
    let again = |user_data: &str| super::tasks(user_data.as_bytes(), false, "").len();
    assert_eq!(again("#cloud-boothook\n#!/bin/sh\necho hook\n"), 2);
    assert_eq!(again("#cloud-config\nbootcmd: [echo a, echo b]\n"), 2);
    let hook = of("#cloud-boothook\n#!/bin/sh\necho hook\n");
    assert_eq!(file(&hook, "/var/lib/cloud/instance/boothooks/part-001").unwrap().0, "#!/bin/sh\necho hook\n");
}

#[test]
fn without_a_root_of_its_own_an_instance_writes_below_its_home() {
    let config = "#cloud-config\nwrite_files: [{path: /etc/motd, content: hi}]\nruncmd: [echo]\n";
    for task in super::tasks(config.as_bytes(), true, "/srv/i") {
        if let Task::Write { path, .. } = task {
            assert!(path.starts_with("/srv/i/"), "{path}");
        }
    }
}

#[test]
fn no_user_data_is_nothing_to_do() {
    assert!(of("").is_empty());
}
