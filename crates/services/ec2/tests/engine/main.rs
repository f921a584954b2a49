//! The service over the real engine: instances that run, learn who they are, reach whom they may, and leave nothing.
//!
//! Invariants:
//! - Needs root, as the privileged engine does; an ordinary user is told that nothing was tested.
//! - This program is its own instances' first process, so it has its own `main` and no test harness.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must stop; its kernel is real")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::{AccountId, Call, Endpoint, Identity, InstanceIdentities as _, Principal, Protocol, Region, RequestId};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ec2::{Ec2, Ec2Options, InstanceOptions, UnknownImages};
use host::{SystemClock, SystemIds};
use machines::{Engine, Isolation, Options};
use store::Store;

const IMAGE: &str = "ami-1ecae776";
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    machines::init::run_if_asked();
    if !rustix_is_root() {
        println!("skipped: the engine's privileged mode needs root");
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        an_instance_runs_its_user_data_and_knows_who_it_is().await;
        println!("test an_instance_runs_its_user_data_and_knows_who_it_is ... ok");
        groups_decide_who_reaches_an_instance().await;
        println!("test groups_decide_who_reaches_an_instance ... ok");
    });
}

fn rustix_is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

struct Lab {
    ec2: Ec2,
    engine: Engine,
    call: Call,
    _dir: tempfile::TempDir,
}

impl Lab {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::start(Options {
            dir: dir.path().join("machines"),
            clock: Arc::new(SystemClock),
            ids: Arc::new(SystemIds),
            isolation: Isolation::Privileged,
            init_program: std::env::current_exe().unwrap(),
            masked_paths: Vec::new(),
            egress_denied: Vec::new(),
            resolvers: Vec::new(),
            endpoint_addresses: Vec::new(),
        });
        let engine = engine.await.unwrap();
        let region = Region::parse("us-east-1").unwrap();
        let ec2 = Ec2::open(Ec2Options {
            store: Store::open(&dir.path().join("control.sqlite")).unwrap(),
            clock: Arc::new(SystemClock),
            ids: Arc::new(SystemIds),
            zones: vec!["us-east-1a".to_owned()],
            region: region.clone(),
            instances: Some(InstanceOptions {
                engine: Arc::new(engine.clone()),
                layers: Vec::new(),
                environment: Vec::new(),
                shutdown_grace: Duration::from_secs(2),
            }),
            unknown_images: UnknownImages::Refused,
            instance_roles: None,
        });
        let call = Call {
            identity: Identity {
                principal: Principal::Account { access_key_id: "AKIA".into() },
                account: AccountId::parse("123456789012").unwrap(),
            },
            region,
            request_id: RequestId("the-id".into()),
            endpoint: Endpoint { scheme: "http", authority: "localhost:4566".into() },
            path: "/".into(),
            protocol: Protocol::Query,
            source_ip: std::net::IpAddr::from([127, 0, 0, 1]),
            trace_header: None,
            user_agent: None,
            referer: None,
        };
        Self { ec2: ec2.unwrap(), engine, call, _dir: dir }
    }

    async fn ask(&self, operation: &str, form: &str) -> String {
        let form = Bytes::from(format!("Action={operation}&Version=2016-11-15&{form}"));
        let answer = self.ec2.handle(&self.call, operation, form).await;
        let body = String::from_utf8(answer.body.to_vec()).unwrap();
        assert_eq!(answer.status, 200, "{operation}: {body}");
        body
    }

    async fn run(&self, user_data: &str, rest: &str) -> String {
        let user_data = STANDARD.encode(user_data).replace('+', "%2B").replace('=', "%3D");
        let form = format!("ImageId={IMAGE}&InstanceType=t2.micro&MinCount=1&MaxCount=1&UserData={user_data}&{rest}");
        self.ask("RunInstances", &form).await
    }

    async fn until_state(&self, id: &str, state: &str) {
        let wanted = format!("<name>{state}</name>");
        let describe = format!("InstanceId.1={id}");
        self.until("DescribeInstances", &describe, |body| body.contains(&wanted)).await;
    }

    async fn until(&self, operation: &str, form: &str, fits: impl Fn(&str) -> bool) -> String {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let body = self.ask(operation, form).await;
            if fits(&body) {
                return body;
            }
            assert!(tokio::time::Instant::now() < deadline, "{operation} {form} never fitted: {body}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for a text on the console; all of the console.
    async fn console(&self, id: &str, text: &str) -> String {
        let decoded = |body: &str| {
            let output = part(body, "output").unwrap_or_default();
            String::from_utf8_lossy(&STANDARD.decode(output).unwrap_or_default()).into_owned()
        };
        let form = format!("InstanceId={id}");
        decoded(&self.until("GetConsoleOutput", &form, |body| decoded(body).contains(text)).await)
    }

    /// Ends all; nothing of it may be left.
    async fn end(self) {
        let ids = self.ask("DescribeInstances", "").await;
        let ids: Vec<&str> = ids.split("<instanceId>").skip(1).filter_map(|rest| rest.split('<').next()).collect();
        for id in ids {
            self.ask("TerminateInstances", &format!("InstanceId.1={id}")).await;
            self.until_state(id, "terminated").await;
        }
        assert!(!self.ask("DescribeNetworkInterfaces", "").await.contains("eni-"));
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let own = self._dir.path().join("machines");
        drop(self.ec2);
        self.engine.purge().await.unwrap();
        let after = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let is_own = |line: &&str| line.contains(&*own.to_string_lossy());
        assert_eq!(after.lines().filter(is_own).count(), 0, "before: {mounts}");
        assert_eq!(processes_in(&own), Vec::<String>::new());
    }
}

/// Processes that say in their environment that they are of an instance, and whose root is of this engine.
fn processes_in(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let is_of =
        |entry: &std::fs::DirEntry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir));
    entries.filter(is_of).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn part<'a>(body: &'a str, element: &str) -> Option<&'a str> {
    let (_, rest) = body.split_once(&format!("<{element}>"))?;
    rest.split_once(&format!("</{element}>")).map(|(text, _)| text)
}

async fn an_instance_runs_its_user_data_and_knows_who_it_is() {
    let lab = Lab::new().await;
    let script = "#!/bin/bash\nM=http://169.254.169.254/latest\n\
                  echo \"ID $(curl -s $M/meta-data/instance-id)\"\n\
                  echo \"IP $(curl -s $M/meta-data/local-ipv4) $(hostname -I)\"\n\
                  echo \"TAG $(curl -s $M/meta-data/tags/instance/Name)\"\n\
                  echo \"DOC $(curl -s $M/dynamic/instance-identity/document | base64 -w0)\"\n\
                  echo \"SIG $(curl -s $M/dynamic/instance-identity/signature | tr -d '\\n')\"\n\
                  echo FIRST-END\n";
    let tags = "MetadataOptions.InstanceMetadataTags=enabled&TagSpecification.1.ResourceType=instance\
                &TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=web";
    let run = lab.run(script, tags).await;
    let id = part(&run, "instanceId").unwrap().to_owned();
    let address = part(&run, "privateIpAddress").unwrap().to_owned();
    lab.until_state(&id, "running").await;
    let console = lab.console(&id, "FIRST-END").await;
    let said = |word: &str| {
        let line = console.lines().find_map(|line| line.split_once(&format!("{word} ")).map(|(_, rest)| rest));
        line.unwrap_or_else(|| panic!("no {word} in {console}")).trim().to_owned()
    };
    assert_eq!(said("ID"), id);
    assert_eq!(said("IP"), format!("{address} {address}"));
    assert_eq!(said("TAG"), "web");
    let document = STANDARD.decode(said("DOC")).unwrap();
    let verified = lab.ec2.verify(&document, &said("SIG")).await.unwrap().unwrap();
    assert_eq!(verified.instance_id, id);
    let this = format!("InstanceId.1={id}");
    lab.ask("StopInstances", &this).await;
    lab.until_state(&id, "stopped").await;
    lab.ask("StartInstances", &this).await;
    lab.until_state(&id, "running").await;
    lab.ask("RebootInstances", &this).await;
    lab.ask("TerminateInstances", &this).await;
    lab.until_state(&id, "terminated").await;
    lab.end().await;
}

async fn groups_decide_who_reaches_an_instance() {
    let lab = Lab::new().await;
    let vpc = lab.ask("CreateVpc", "CidrBlock=10.77.0.0/16").await;
    let vpc = part(&vpc, "vpcId").unwrap().to_owned();
    let subnet = lab.ask("CreateSubnet", &format!("VpcId={vpc}&CidrBlock=10.77.1.0/24")).await;
    let subnet = part(&subnet, "subnetId").unwrap().to_owned();
    let mut groups = Vec::new();
    for name in ["web", "front"] {
        let form = format!("VpcId={vpc}&GroupName={name}&GroupDescription={name}");
        groups.push(part(&lab.ask("CreateSecurityGroup", &form).await, "groupId").unwrap().to_owned());
    }
    let (web, front) = (&groups[0], &groups[1]);
    let rule = format!(
        "GroupId={web}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=80&IpPermissions.1.ToPort=80\
         &IpPermissions.1.Groups.1.GroupId={front}"
    );
    lab.ask("AuthorizeSecurityGroupIngress", &rule).await;
    let serve = "#!/bin/bash\nmkdir -p /srv/www && cd /srv/www && echo hello > index.html\n\
                 echo SERVING\nexec python3 -m http.server 80\n";
    let server = lab.run(serve, &format!("SubnetId={subnet}&SecurityGroupId.1={web}")).await;
    let address = part(&server, "privateIpAddress").unwrap().to_owned();
    lab.console(part(&server, "instanceId").unwrap(), "SERVING").await;
    let call = format!(
        "#!/bin/bash\nfor i in 1 2 3 4 5 6; do R=$(curl -s -m 2 http://{address}/) && break; sleep 0.5; done\n\
         echo \"GOT [$R]\"\n"
    );
    let friend = lab.run(&call, &format!("SubnetId={subnet}&SecurityGroupId.1={front}")).await;
    let stranger = lab.run(&call, &format!("SubnetId={subnet}")).await;
    let got = lab.console(part(&friend, "instanceId").unwrap(), "GOT [").await;
    assert!(got.contains("GOT [hello]"), "{got}");
    let got = lab.console(part(&stranger, "instanceId").unwrap(), "GOT [").await;
    assert!(got.contains("GOT []"), "{got}");
    lab.end().await;
}
