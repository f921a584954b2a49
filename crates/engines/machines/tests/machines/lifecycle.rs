//! From launch to the last file.

use std::time::{Duration, Instant};

use machines::{EngineError, InstanceState, OnExit, Reason};

use crate::lab::{Lab, group, may_be_privileged};

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_runs_its_user_data_in_a_world_of_its_own_and_leaves_nothing() {
    if !may_be_privileged() {
        return;
    }
    let mut lab = Lab::privileged().await;
    let user_data = "#!/bin/bash
        echo \"host $(hostname), user $(id -u), first $(cat /proc/1/comm)\"
        [ $(ls -d /proc/[0-9]* | wc -l) -lt 10 ] && echo few-processes
        echo \"hidden: $(ls -A /root /home /tmp | tr -d '\\n')\"
        grep -q '^root:[*]' /etc/shadow && echo no-passwords
        ip -4 -o addr show eth0
        grep SigBlk /proc/self/status
        echo mine >/etc/mine && cat /etc/mine
        mount -t tmpfs x /mnt || mknod /dev/disk b 254 0 || ip link delete eth0 || echo cannot-harm
        cat /etc/hosts /etc/resolv.conf
        echo \"descriptors: $(ls /proc/self/fd | tr '\n' ' ')\"
        echo from-console >/dev/console
        echo done-with-it\n";
    let id = lab.launch(5, user_data).await;
    let console = lab.wait_for_console(&id, "done-with-it").await;
    for wanted in [
        "host ip-5.ec2.internal, user 0, first machines-init\n",
        "few-processes",
        "hidden: /home:/root:/tmp:\n",
        "no-passwords",
        &format!("inet {}/32", lab.address(5)),
        "SigBlk:\t0000000000000000\n",
        // 3 is the listing's own.
        "descriptors: 0 1 2 3 \n",
        "mine\n",
        "cannot-harm",
        &format!("{} ip-5.ec2.internal ip-5\n", lab.address(5)),
        "nameserver 169.254.169.253\nsearch ec2.internal\n",
    ] {
        assert!(console.contains(wanted), "no {wanted:?} in:\n{console}");
    }
    lab.wait_for_console(&id, "from-console").await;
    assert!(!std::path::Path::new("/etc/mine").exists());
    lab.engine.terminate(&id).await.unwrap();
    let ended = lab.wait_for(&id, InstanceState::Terminated).await;
    assert_eq!(ended.reason, Some(Reason::Asked));
    assert!(String::from_utf8_lossy(&lab.engine.console(&id).await.unwrap()).contains("done-with-it"));
    lab.engine.forget(&id).await.unwrap();
    assert!(lab.engine.instance(&id).is_none() && !ended.dir.exists());
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn user_data_that_never_ends_holds_nothing_back_and_ends_with_its_instance() {
    if !may_be_privileged() {
        return;
    }
    let mut lab = Lab::privileged().await;
    // It ignores being asked, and leaves children in sessions of their own.
    let user_data = "#!/bin/bash\ntrap '' TERM\nfor i in 1 2 3; do setsid sleep 1000 & done\necho at-work\nwhile :; do sleep 1; done\n";
    let id = lab.launch(5, user_data).await;
    lab.wait_for_console(&id, "at-work").await;
    assert!(lab.census().processes.len() >= 5, "{:?}", lab.census().processes);
    let asked = Instant::now();
    lab.engine.terminate(&id).await.unwrap();
    lab.wait_for(&id, InstanceState::Terminated).await;
    assert!(asked.elapsed() >= Duration::from_secs(2), "its grace was cut short");
    assert!(lab.census().processes.is_empty());
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_instance_keeps_its_disk_and_starts_over_it() {
    if !may_be_privileged() {
        return;
    }
    let mut lab = Lab::privileged().await;
    let user_data =
        "#cloud-config\nbootcmd: [\"cat /etc/kept; echo booted\"]\nruncmd: [\"echo kept-it >/etc/kept; echo first\"]\n";
    let id = lab.launch(5, user_data).await;
    lab.wait_for_console(&id, "first\n").await;
    lab.engine.stop(&id).await.unwrap();
    let stopped = lab.wait_for(&id, InstanceState::Stopped).await;
    assert_eq!((stopped.reason.clone(), stopped.pid), (Some(Reason::Asked), None));
    assert!(lab.census().processes.is_empty() && lab.census().instances_cgroups().is_empty());
    lab.engine.start_instance(&id).await.unwrap();
    let started = lab.wait_for(&id, InstanceState::Running).await;
    assert!(started.started >= stopped.since && started.reason.is_none());
    let console = lab.wait_for_console(&id, "kept-it\nbooted\n").await;
    assert_eq!(console.matches("first\n").count(), 1, "user data ran twice:\n{console}");
    lab.engine.reboot(&id).await.unwrap();
    lab.wait_for_console(&id, "kept-it\nbooted\nkept-it\nbooted\n").await;
    assert_eq!(lab.wait_for(&id, InstanceState::Running).await.started, started.started);
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_first_process_is_noticed_at_once_and_told_with_its_reason() {
    if !may_be_privileged() {
        return;
    }
    let mut lab = Lab::privileged().await;
    let killed = lab.launch(5, "#!/bin/sh\nsleep 1000\n").await;
    let mut spec = lab.spec(6, "#!/bin/sh\nkill -TERM 1\n");
    spec.on_exit = OnExit::Terminate;
    let left = lab.launch_spec(6, spec, &[group("open")]).await;
    let pid = lab.engine.instance(&killed).unwrap().pid.unwrap();
    let began = Instant::now();
    kill(pid);
    let stopped = lab.wait_for(&killed, InstanceState::Stopped).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(stopped.reason, Some(Reason::Killed));
    let ended = lab.wait_for(&left, InstanceState::Terminated).await;
    assert_eq!(ended.reason, Some(Reason::ShutDownInside));
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_inside_is_the_instances_own_affair() {
    if !may_be_privileged() {
        return;
    }
    let mut lab = Lab::privileged().await;
    let id =
        lab.launch(5, "#!/bin/bash\n(sleep 0.1; sleep 1000) &\nkill -9 $!\nkill -9 1\nwait\necho survived\n").await;
    lab.wait_for_console(&id, "survived").await;
    assert_eq!(lab.engine.instance(&id).unwrap().state, InstanceState::Running);
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_launched_is_refused_or_terminated_with_a_sentence() {
    if !may_be_privileged() {
        return;
    }
    let mut lab = Lab::privileged().await;
    let spec = lab.spec(5, "");
    assert!(matches!(lab.engine.launch(spec.clone()).await, Err(EngineError::NoInterface(_))));
    lab.interface(5, &[group("open")]).await;
    let mut bad = spec.clone();
    bad.id = machines::InstanceId("../x".into());
    assert!(matches!(lab.engine.launch(bad).await, Err(EngineError::InvalidId(_))));
    let mut lost = spec.clone();
    lost.image.root = machines::ImageRoot::Directory("/nowhere".into());
    lab.engine.launch(lost).await.unwrap();
    assert!(matches!(lab.engine.launch(spec.clone()).await, Err(EngineError::InstanceExists(_))));
    let ended = lab.wait_for(&spec.id, InstanceState::Terminated).await;
    assert!(matches!(&ended.reason, Some(Reason::LaunchFailed(why)) if why.contains("/nowhere")), "{:?}", ended.reason);
    lab.close().await;
}

fn kill(pid: u32) {
    let done = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    assert!(done.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_program_of_user_data_ends_unnoticed() {
    if !may_be_privileged() {
        return;
    }
    let mut lab = Lab::privileged().await;
    // Programs that end as soon as they begin, some a moment after their parent.
    let commands: String = (0..300).map(|number| format!("  - '(true &) ; true {number}'\n")).collect();
    let id = lab.launch(5, &format!("#cloud-config\nbootcmd:\n{commands}runcmd: [echo all-done]\n")).await;
    lab.wait_for_console(&id, "all-done").await;
    lab.close().await;
}
