//! The load balancer's half of the tour: a stack with two servers, the death of one, and who takes its place.
//!
//! Invariant: needs no privileges; servers are processes of this user on loopback addresses, on ports that were free.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use host::{Clock, SystemClock, Timestamp};
use http::Request;
use serde::Deserialize;
use serde_json::Value;

use super::{REGION, Tour, answer, command, title};
use crate::cli::client;
use crate::cli::stack::{Api, pair, text};

const TEMPLATE: &str = include_str!("../../../../../examples/cloudformation/web.yaml");
const STACK: &str = "web";
/// What the template's servers are made of.
const PROGRAMS: [&str; 2] = ["curl", "python3"];
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Two failed checks, a launch and two good checks take half a minute.
const PATIENCE: Duration = Duration::from_secs(120);

/// Tells it, or says what is missing for that.
pub(super) fn walk(tour: &Tour) -> anyhow::Result<()> {
    let missing: Vec<&str> = PROGRAMS.into_iter().filter(|program| !is_installed(program)).collect();
    if !missing.is_empty() {
        println!("\nThe load balancer's half is left out: its servers need {}.", missing.join(" and "));
        return Ok(());
    }
    let story = Story {
        tour,
        api: Api { endpoint: format!("http://{}", tour.address), region: REGION.to_owned() },
        ports: (free_port()?, free_port()?),
    };
    let (stack_id, balancer) = story.deploy()?;
    let before = story.take_turns("Ask it a few times: the servers take turns.", &balancer)?;
    let killed_at = story.kill(&before[0])?;
    story.heal(&balancer, &before[0], killed_at)?;
    let after = story.take_turns("Nobody had to do anything, and two servers take turns again.", &balancer)?;
    ensure!(!after.contains(&before[0]), "{} answers, though it is dead", before[0]);
    story.delete(&stack_id)
}

#[allow(clippy::disallowed_methods, reason = "the user's PATH is what instances find their programs by")]
fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// A port that is free at every address of this machine.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).context("there is no free port")?.local_addr()?.port())
}

struct Story<'a> {
    tour: &'a Tour,
    api: Api,
    /// The load balancer's, and the servers'.
    ports: (u16, u16),
}

/// A load balancer, as the page behind `millpond lb status` has it.
#[derive(Deserialize)]
struct Balancer {
    name: String,
    dns_name: String,
    nodes: Vec<Node>,
    instances: Vec<Instance>,
}

#[derive(Deserialize)]
struct Node {
    address: String,
    healthy: usize,
}

#[derive(Deserialize)]
struct Instance {
    id: String,
    address: Option<String>,
    state: String,
}

impl Balancer {
    /// Whether every node, each of which judges for itself, sends requests to two servers.
    fn is_whole(&self) -> bool {
        self.nodes.iter().all(|node| node.healthy == 2)
    }

    fn first_node(&self) -> anyhow::Result<String> {
        Ok(self.nodes.first().context("the load balancer stands nowhere")?.address.clone())
    }
}

impl Story<'_> {
    /// The stack's id and its load balancer's name in DNS, with both servers in service.
    fn deploy(&self) -> anyhow::Result<(String, String)> {
        let (port, server_port) = (self.ports.0.to_string(), self.ports.1.to_string());
        title("Two web servers behind a load balancer, kept at their number: one template says it all.");
        command(&format!(
            "millpond stack deploy examples/cloudformation/web.yaml --parameter Port={port} --parameter \
             ServerPort={server_port}"
        ));
        let begun = SystemClock.now();
        let request = [
            pair("StackName", STACK),
            pair("TemplateBody", TEMPLATE),
            pair("Parameters.member.1.ParameterKey", "Port"),
            pair("Parameters.member.1.ParameterValue", &port),
            pair("Parameters.member.2.ParameterKey", "ServerPort"),
            pair("Parameters.member.2.ParameterValue", &server_port),
        ];
        let id = text(&self.api.call("CreateStack", &request)?, "StackId").to_owned();
        let stack = self.follow(&id, 0, begun)?;
        ensure!(text(&stack, "StackStatus") == "CREATE_COMPLETE", "the stack failed: {stack}");
        let outputs = stack["Outputs"].as_array().into_iter().flatten();
        let url = outputs.into_iter().find(|output| text(output, "OutputKey") == "URL").context("no URL")?;
        let url = text(url, "OutputValue");
        answer(&format!("URL = {url}"));
        let name = url.trim_start_matches("http://").split(':').next().unwrap_or_default().to_owned();
        self.wait_in_service(&name)?;
        Ok((id, name))
    }

    /// Tells of each resource that is done, until the stack comes to rest.
    fn follow(&self, id: &str, mut told: usize, begun: Timestamp) -> anyhow::Result<Value> {
        loop {
            let stack = self.api.stack(id)?.context("the stack is gone")?;
            let events = self.api.events(id)?;
            for event in events.iter().skip(told) {
                let (status, kind) = (text(event, "ResourceStatus"), text(event, "ResourceType"));
                if !status.ends_with("_IN_PROGRESS") {
                    let logical = text(event, "LogicalResourceId");
                    answer(&format!("{}  {status}  {logical} ({kind})", since(begun)));
                }
            }
            told = events.len();
            if !text(&stack, "StackStatus").ends_with("_IN_PROGRESS") {
                return Ok(stack);
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    fn balancer(&self, dns_name: &str) -> anyhow::Result<Balancer> {
        let host = self.tour.address.to_string();
        let request = Request::get("/_millpond/load-balancers").header("host", host).body(Vec::new())?;
        let page = client::send(self.tour.address, request)?;
        let all: Vec<Balancer> = serde_json::from_slice(&page.body).context("the page is no JSON")?;
        all.into_iter().find(|one| one.dns_name == dns_name).context("the load balancer is gone")
    }

    fn wait_in_service(&self, dns_name: &str) -> anyhow::Result<()> {
        let begun = SystemClock.now();
        while !self.balancer(dns_name)?.is_whole() {
            ensure!(SystemClock.now().since(begun) < PATIENCE, "the servers did not come into service");
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// One request to the load balancer's first node: the status, and the title of the page, which is its server's address.
    fn ask(&self, node: &str) -> anyhow::Result<(u16, String)> {
        let address = format!("{node}:{}", self.ports.0);
        let request = Request::get("/").header("host", &address).body(Vec::new())?;
        let answer = client::send(address.parse().context("the node has no address")?, request)?;
        let page = answer.text();
        let title = page.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next());
        Ok((answer.status, title.unwrap_or_default().to_owned()))
    }

    /// Who answered four requests, in their order.
    fn take_turns(&self, what: &str, dns_name: &str) -> anyhow::Result<Vec<String>> {
        title(what);
        let node = self.balancer(dns_name)?.first_node()?;
        let mut servers = Vec::new();
        for _ in 0..4 {
            command(&format!("curl http://{node}:{}/", self.ports.0));
            let (status, server) = self.ask(&node)?;
            ensure!(status == 200, "the load balancer answers {status}");
            answer(&server);
            servers.push(server);
        }
        ensure!(servers.iter().any(|server| *server != servers[0]), "they take no turns: {servers:?}");
        Ok(servers)
    }

    /// Kills the web server of an instance as an operator would, by its process.
    fn kill(&self, server: &str) -> anyhow::Result<Timestamp> {
        title("One of the servers dies.");
        // Without privileges 172.31.0.5 stands on 127.31.0.5.
        let bind = server.split_once('.').map(|(_, rest)| format!("127.{rest}")).context("no address")?;
        let port = self.ports.1.to_string();
        let words = ["python3", "-m", "http.server", &port, "--bind", &bind];
        let pid = process_of(&words).with_context(|| format!("there is no process `{}`", words.join(" ")))?;
        command(&format!("kill -9 {}     # {}", pid.as_raw_nonzero(), words.join(" ")));
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).context("cannot kill it")?;
        Ok(SystemClock.now())
    }

    /// Tells what becomes of the load balancer's servers until there are two again.
    fn heal(&self, dns_name: &str, dead: &str, killed_at: Timestamp) -> anyhow::Result<()> {
        title("Health checks find it out, and the group puts another one in its place.");
        let mut balancer = self.balancer(dns_name)?;
        let node = balancer.first_node()?;
        command(&format!("millpond lb status {}", balancer.name));
        let mut known = BTreeMap::new();
        let (mut asked, mut failed) = (0, 0);
        loop {
            known = self.tell_changes(&balancer, known, killed_at);
            let is_dead_gone = balancer.instances.iter().all(|one| one.address.as_deref() != Some(dead));
            if is_dead_gone && balancer.is_whole() {
                break;
            }
            if SystemClock.now().since(killed_at) > PATIENCE {
                bail!("no server took the dead one's place within {} s", PATIENCE.as_secs());
            }
            asked += 1;
            failed += u32::from(self.ask(&node)?.0 != 200);
            thread::sleep(LOOK_EVERY);
            balancer = self.balancer(dns_name)?;
        }
        answer(&format!(
            "{asked} requests came meanwhile; {failed}, the dead one's share until it was found out, failed."
        ));
        Ok(())
    }

    fn tell_changes(
        &self,
        balancer: &Balancer,
        known: BTreeMap<String, String>,
        killed_at: Timestamp,
    ) -> BTreeMap<String, String> {
        let now: BTreeMap<_, _> = balancer.instances.iter().map(|one| (one.id.clone(), one.state.clone())).collect();
        for one in balancer.instances.iter().filter(|one| known.get(&one.id) != Some(&one.state)) {
            let address = one.address.as_deref().unwrap_or("no address yet");
            answer(&format!("{}  {} ({address}) is {}", since(killed_at), one.id, one.state));
        }
        for id in known.keys().filter(|id| !now.contains_key(*id)) {
            answer(&format!("{}  {id} is gone", since(killed_at)));
        }
        now
    }

    fn delete(&self, stack_id: &str) -> anyhow::Result<()> {
        title("And all of it can go.");
        command(&format!("millpond stack delete {STACK}"));
        let told = self.api.events(stack_id)?.len();
        self.api.call("DeleteStack", &[pair("StackName", STACK)])?;
        let stack = self.follow(stack_id, told, SystemClock.now())?;
        ensure!(text(&stack, "StackStatus") == "DELETE_COMPLETE", "the stack could not be deleted: {stack}");
        command("aws ec2 describe-instances --filters Name=instance-state-name,Values=pending,running");
        let form = "Action=DescribeInstances&Version=2016-11-15&Filter.1.Name=instance-state-name&\
                    Filter.1.Value.1=pending&Filter.1.Value.2=running";
        let request = Request::post("/")
            .header("host", self.tour.address.to_string())
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .body(form.as_bytes().to_vec())?;
        let left = self.tour.signed("ec2", request)?.text().matches("<instanceId>").count();
        ensure!(left == 0, "{left} instances are left");
        answer(&format!("instances left: {left}"));
        Ok(())
    }
}

fn since(moment: Timestamp) -> String {
    format!("{:>5.1} s", SystemClock.now().since(moment).as_secs_f64())
}

/// The process with exactly this command line.
#[allow(clippy::disallowed_methods, reason = "the kernel's list of processes is nobody's state")]
fn process_of(words: &[&str]) -> Option<rustix::process::Pid> {
    let wanted: Vec<u8> = words.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let mut found = processes.filter(|process| {
        let line = std::fs::read(Path::join(&process.path(), "cmdline"));
        line.is_ok_and(|line| line == wanted)
    });
    found.next()?.file_name().to_str()?.parse().ok().and_then(rustix::process::Pid::from_raw)
}
