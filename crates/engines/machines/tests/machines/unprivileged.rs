//! Instances without privileges: plain processes on loopback addresses, ended all the same.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use machines::{InstanceId, InstanceState, Metadata, MetadataDocument};

use crate::lab::Lab;

struct Mirror;

impl Metadata for Mirror {
    fn document(&self, instance: &InstanceId) -> Option<Arc<MetadataDocument>> {
        Some(Arc::new(MetadataDocument { instance_id: instance.to_string(), ..MetadataDocument::default() }))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unprivileged_instance_serves_on_its_loopback_address_and_knows_itself() {
    let mut lab = Lab::unprivileged().await;
    lab.engine.set_metadata(Arc::new(Mirror));
    let report = lab.engine.isolation().clone();
    assert!(!report.privileged && report.not_enforced.iter().any(|line| line.contains("security groups")));
    let user_data = "#!/usr/bin/python3
import os, socket, urllib.request as u
print(os.getcwd() == os.environ['HOME'], flush=True)
base = os.environ['AWS_EC2_METADATA_SERVICE_ENDPOINT']
print('I am', u.urlopen(base + '/latest/meta-data/instance-id').read().decode(), flush=True)
s = socket.create_server((os.environ['MILLPOND_ADDRESS'], 8080)); print('listening', flush=True)
while True:
    c, _ = s.accept(); c.sendall(b'served'); c.close()
";
    let id = lab.launch(5, user_data).await;
    let console = lab.wait_for_console(&id, "listening").await;
    assert!(console.contains("True\n") && console.contains(&format!("I am {id}\n")), "{console}");
    let address = lab.engine.instance(&id).unwrap().address.unwrap();
    assert!(address.is_loopback() && address == lab.engine.reachable(lab.address(5)));
    let mut answer = String::new();
    TcpStream::connect((address, 8080)).unwrap().read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "served");
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unprivileged_instance_ends_with_all_that_it_started() {
    let mut lab = Lab::unprivileged().await;
    let user_data = "#!/bin/bash\ntrap '' TERM\nfor i in 1 2 3; do setsid sleep 1000 & done\n(setsid setsid sleep 1000 &)\necho at-work\nwait\n";
    let id = lab.launch(5, user_data).await;
    lab.wait_for_console(&id, "at-work").await;
    let lab = lab.restart().await;
    assert_eq!(lab.wait_for(&id, InstanceState::Running).await.spec.id, id);
    assert!(lab.census().processes.len() >= 5);
    lab.engine.stop(&id).await.unwrap();
    lab.wait_for(&id, InstanceState::Stopped).await;
    assert!(lab.census().processes.is_empty(), "{:?}", lab.census());
    lab.publish().await;
    lab.engine.start_instance(&id).await.unwrap();
    let again = lab.wait_for(&id, InstanceState::Running).await;
    let killed = std::process::Command::new("kill").args(["-9", &again.pid.unwrap().to_string()]).status().unwrap();
    assert!(killed.success());
    lab.wait_for(&id, InstanceState::Stopped).await;
    assert!(lab.census().processes.is_empty(), "{:?}", lab.census());
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_user_data_go_below_its_home() {
    let mut lab = Lab::unprivileged().await;
    let config = "#cloud-config\nwrite_files: [{path: /etc/millpond-test-file, content: mine}]\nruncmd: [\"cat etc/millpond-test-file; echo end\"]\n";
    let id = lab.launch(5, config).await;
    lab.wait_for_console(&id, "mineend").await;
    assert!(!std::path::Path::new("/etc/millpond-test-file").exists());
    let _ = std::io::stdout().flush();
    lab.close().await;
}
