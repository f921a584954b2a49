//! The engine's process ends, in whatever way and at whatever moment; its instances do not, and nothing is lost.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use machines::{Engine, InstanceId, InstanceState, Isolation, Metadata, MetadataDocument, OnExit, Reason};

use crate::lab::{Lab, group, may_be_privileged};

#[tokio::test(flavor = "multi_thread")]
async fn instances_outlive_the_engine_and_are_adopted() {
    if !may_be_privileged() {
        return;
    }
    let mut lab = Lab::privileged().await;
    let id = lab.launch(5, "#!/bin/bash\nwhile :; do date +%N >/var/beat; sleep 0.05; done\n").await;
    let before = lab.engine.instance(&id).unwrap();
    let mut lab = lab.restart().await;
    let after = lab.wait_for(&id, InstanceState::Running).await;
    assert_eq!((after.pid, after.started), (before.pid, before.started));
    // Its network is what it was, before anything was published again.
    lab.publish().await;
    let spec = lab.spec(
        6,
        &format!(
            "#!/bin/bash\ntimeout 2 bash -c '</dev/tcp/{}/1' 2>&1 | grep -q refused\necho code $?\n",
            lab.address(5)
        ),
    );
    let other = lab.launch_spec(6, spec, &[group("open")]).await;
    lab.wait_for_console(&other, "code 0").await;
    // Its end is noticed as if it had been launched by this engine.
    lab.engine.terminate(&id).await.unwrap();
    lab.wait_for(&id, InstanceState::Terminated).await;
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_while_nobody_looked_is_noticed_at_the_next_start() {
    if !may_be_privileged() {
        return;
    }
    let mut lab = Lab::privileged().await;
    let killed = lab.launch(5, "").await;
    let mut spec = lab.spec(6, "");
    spec.on_exit = OnExit::Terminate;
    let terminated = lab.launch_spec(6, spec, &[group("open")]).await;
    let pids: Vec<u32> = [&killed, &terminated].map(|id| lab.engine.instance(id).unwrap().pid.unwrap()).to_vec();
    let (dir, options) = (lab.dir(), lab.options());
    let lab = lab
        .stop_then(|| {
            for pid in &pids {
                let done = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
                assert!(done.success());
            }
            // Half of an instance, as a crash between two writes leaves it.
            std::fs::create_dir_all(dir.join("instances/i-half/disk")).unwrap();
            std::thread::sleep(Duration::from_millis(100));
            drop(options);
        })
        .await;
    assert_eq!(lab.wait_for(&killed, InstanceState::Stopped).await.reason, Some(Reason::Killed));
    assert_eq!(lab.wait_for(&terminated, InstanceState::Terminated).await.reason, Some(Reason::Killed));
    assert!(!lab.dir().join("instances/i-half").exists());
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_has_one_engine_at_a_time() {
    if !may_be_privileged() {
        return;
    }
    let lab = Lab::privileged().await;
    let error = Engine::start(lab.options()).await.err().unwrap();
    assert!(error.to_string().contains("another engine"), "{error}");
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_engine_only_wrote_down_the_next_one_does() {
    if !may_be_privileged() {
        return;
    }
    let mut lab = Lab::privileged().await;
    let ids = [lab.launch(5, "").await, lab.launch(6, "").await, lab.launch(7, "").await];
    let records = ids.clone().map(|id| lab.engine.instance(&id).unwrap().dir.join("record.json"));
    let before = lab.engine.instance(&ids[2]).unwrap().pid;
    // A crash between the record and the signal.
    let lab = lab
        .stop_then(|| {
            let changes = [
                ("\"state\":\"Running\"", "\"state\":\"Stopping\""),
                ("\"state\":\"Running\"", "\"state\":\"ShuttingDown\""),
                ("\"rebooting\":false", "\"rebooting\":true"),
            ];
            for (record, (from, to)) in records.iter().zip(changes) {
                let text = std::fs::read_to_string(record).unwrap();
                assert!(text.contains(from), "{text}");
                std::fs::write(record, text.replace(from, to)).unwrap();
            }
        })
        .await;
    lab.publish().await;
    lab.wait_for(&ids[0], InstanceState::Stopped).await;
    lab.wait_for(&ids[1], InstanceState::Terminated).await;
    let mut instances = lab.engine.instances();
    let rebooted = instances.wait_for(|all| all[&ids[2]].pid.is_some_and(|pid| Some(pid) != before));
    tokio::time::timeout(crate::lab::PATIENCE, rebooted).await.unwrap().unwrap();
    lab.close().await;
}

struct Known;

impl Metadata for Known {
    fn document(&self, instance: &InstanceId) -> Option<Arc<MetadataDocument>> {
        Some(Arc::new(MetadataDocument { instance_id: instance.to_string(), ..MetadataDocument::default() }))
    }
}

/// Starts what asks while nobody is there to answer, and makes sure that it waits instead of hearing "no".
fn ask_nobody(program: &str, words: &[&str]) -> Child {
    let mut asker = Command::new(program).args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(asker.try_wait().unwrap().is_none(), "it was refused: {:?}", asker.wait_with_output());
    asker
}

fn answer_to(asker: Child) -> String {
    let said = asker.wait_with_output().unwrap();
    assert!(said.status.success(), "{said:?}");
    String::from_utf8(said.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_instance_asks_while_there_is_no_engine_the_next_one_answers() {
    if !may_be_privileged() {
        return;
    }
    let mut lab = Lab::privileged().await;
    let id = lab.launch(5, "").await;
    let pid = lab.engine.instance(&id).unwrap().pid.unwrap().to_string();
    let inside = |words: &[&str]| {
        let enter = ["-t", &pid, "-m", "-n", "-u", "-r", "-w"];
        ask_nobody("nsenter", &[&enter[..], words].concat())
    };
    let mut askers = Vec::new();
    let lab = lab
        .stop_then(|| {
            askers.push(inside(&["curl", "-s", "http://169.254.169.254/latest/meta-data/instance-id"]));
            askers.push(inside(&["getent", "ahostsv4", "ip-5.ec2.internal."]));
        })
        .await;
    lab.engine.set_metadata(Arc::new(Known));
    lab.publish().await;
    let said: Vec<String> = askers.into_iter().map(answer_to).collect();
    assert_eq!(said[0], id.to_string());
    assert!(said[1].starts_with(&lab.address(5).to_string()), "{said:?}");
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_unprivileged_instance_asks_while_there_is_no_engine_the_next_one_answers() {
    let mut lab = Lab::unprivileged().await;
    // Before anybody said where documents come from, too: this one asks at its first breath.
    let id = lab.launch(5, "#!/bin/sh\nip=$(curl -s $AWS_EC2_METADATA_SERVICE_ENDPOINT/latest/meta-data/instance-id)\necho \"I am $ip\"\n").await;
    let address = lab.engine.instance(&id).unwrap().address.unwrap();
    let url = format!("http://{address}:16925/latest/meta-data/instance-id");
    let mut askers = Vec::new();
    let lab = lab.stop_then(|| askers.push(ask_nobody("curl", &["-s", "--noproxy", "*", &url]))).await;
    lab.engine.set_metadata(Arc::new(Known));
    for asker in askers {
        assert_eq!(answer_to(asker), id.to_string());
    }
    lab.wait_for_console(&id, &format!("I am {id}")).await;
    lab.close().await;
}

/// What the next test kills: an engine in a process of its own, which launches, stops and terminates without end.
/// It is this very test binary, asked for this test alone.
#[tokio::test(flavor = "multi_thread")]
async fn victim() {
    let Ok(dir) = std::env::var("MACHINES_VICTIM_DIR") else { return };
    let tag = std::env::var("MACHINES_VICTIM_TAG").unwrap();
    let mut lab = Lab::over(Path::new(&dir), &tag, Isolation::Privileged).await;
    for number in (10..200).cycle() {
        let id = lab.id(number);
        lab.interface(number, &[group("open")]).await;
        let _ = lab.engine.launch(lab.spec(number, "#!/bin/bash\nsleep 1000\n")).await;
        tokio::time::sleep(Duration::from_millis(u64::from(number % 5) * 10)).await;
        let _ = match number % 3 {
            0 => lab.engine.stop(&id).await,
            1 => lab.engine.terminate(&id).await,
            _ => lab.engine.reboot(&id).await,
        };
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_killed_at_any_moment_leaves_nothing_that_the_next_one_does_not_have_in_hand() {
    if !may_be_privileged() {
        return;
    }
    let mut lab = Lab::privileged().await;
    for round in 0..8 {
        lab = lab
            .stop_then_async(|dir, tag| async move {
                let mut victim = std::process::Command::new(std::env::current_exe().unwrap());
                victim.args(["restart::victim", "--exact", "--nocapture"]);
                victim.env("MACHINES_VICTIM_DIR", dir).env("MACHINES_VICTIM_TAG", tag);
                let mut victim = victim.stdout(std::process::Stdio::null()).spawn().unwrap();
                tokio::time::sleep(Duration::from_millis(150 + round * 137)).await;
                victim.kill().unwrap();
                victim.wait().unwrap();
            })
            .await;
        // All that was acknowledged is there; whatever should run, runs; whatever runs is known.
        let known: Vec<_> = lab.engine.instances().borrow().keys().cloned().collect();
        for id in &known {
            let number: u8 = id.0.rsplit('-').next().unwrap().parse().unwrap();
            lab.interface(number, &[group("open")]).await;
        }
        lab.settle().await;
        let census = lab.census();
        let firsts: Vec<u32> = lab.engine.instances().borrow().values().filter_map(|one| one.pid).collect();
        for pid in &census.processes {
            assert!(firsts.iter().any(|first| descends(*pid, *first)), "process {pid} belongs to nobody");
        }
        for id in &known {
            lab.engine.terminate(id).await.unwrap();
        }
        lab.settle().await;
        for id in &known {
            lab.engine.forget(id).await.unwrap();
        }
        let census = lab.census();
        assert!(census.processes.is_empty() && census.instances_cgroups().is_empty(), "{census:?}");
        assert_eq!(std::fs::read_dir(lab.dir().join("instances")).unwrap().count(), 0);
    }
    lab.close().await;
}

fn descends(pid: u32, ancestor: u32) -> bool {
    let mut pid = pid;
    while pid > 1 {
        if pid == ancestor {
            return true;
        }
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
        let Some((_, rest)) = stat.rsplit_once(')') else { return true };
        pid = rest.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
    }
    false
}
