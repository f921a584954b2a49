//! `millpond stack`: CloudFormation for people at a terminal.
//!
//! Invariants:
//! - Everything goes over the server's own API, as it would with any other client.
//! - What went wrong is shown in full, and the exit code says whether anything did.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use host::{Clock as _, SystemClock};
use http::{Method, Request};
use serde_json::Value;

use super::exec::Server;
use super::{StackArgs, StackCommand, client};

/// How often a stack under way is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const VERSION: &str = "2010-05-15";

/// Runs one of the commands.
pub(super) fn run(args: StackArgs) -> anyhow::Result<ExitCode> {
    let server = Server::find(&args.server)?;
    let api = Api { endpoint: server.endpoint, region: server.region };
    match args.command {
        StackCommand::Deploy { file, name, parameters, capabilities } => {
            let name = match name {
                Some(name) => name,
                None => name_of(&file)?,
            };
            deploy(&api, &file, &name, &parameters, &capabilities)
        }
        StackCommand::Ls => list(&api),
        StackCommand::Delete { name } => delete(&api, &name),
        StackCommand::Events { name } => events(&api, &name),
    }
}

/// A server's CloudFormation.
pub(super) struct Api {
    pub(super) endpoint: String,
    pub(super) region: String,
}

/// What CloudFormation refused.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
struct Refused {
    code: String,
    message: String,
}

impl Api {
    pub(super) fn call(&self, action: &str, parameters: &[(String, String)]) -> anyhow::Result<Value> {
        let mut form: Vec<String> =
            vec![format!("Action={action}"), format!("Version={VERSION}"), "ContentType=JSON".into()];
        let encode =
            |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        form.extend(parameters.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))));
        let endpoint = &self.endpoint;
        let address = client::address_of(endpoint).with_context(|| format!("cannot resolve {endpoint}"))?;
        let host = endpoint.trim_start_matches("http://").to_owned();
        let request = Request::builder()
            .method(Method::POST)
            .uri("/")
            .header("host", host)
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .body(form.join("&").into_bytes())?;
        let key = super::lb::key_in_environment();
        let key = key.as_ref().map_or(client::ANYBODY, |(id, secret)| (id, secret));
        let answer = client::send_signed(address, key, "cloudformation", &self.region, SystemClock.now(), request)?;
        let document: Value = serde_json::from_slice(&answer.body)
            .with_context(|| format!("the server's answer is no JSON: {}", answer.text()))?;
        if answer.status != 200 {
            let text = |name: &str| document["Error"][name].as_str().unwrap_or_default().to_owned();
            return Err(Refused { code: text("Code"), message: text("Message") }.into());
        }
        Ok(document[format!("{action}Response")][format!("{action}Result")].clone())
    }

    pub(super) fn stack(&self, name: &str) -> anyhow::Result<Option<Value>> {
        match self.call("DescribeStacks", &[pair("StackName", name)]) {
            Ok(found) => Ok(Some(found["Stacks"][0].clone())),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Everything that happened to a stack, oldest first.
    pub(super) fn events(&self, name: &str) -> anyhow::Result<Vec<Value>> {
        let (mut all, mut token) = (Vec::new(), None::<String>);
        loop {
            let mut parameters = vec![pair("StackName", name)];
            parameters.extend(token.map(|token| pair("NextToken", &token)));
            let page = self.call("DescribeStackEvents", &parameters)?;
            all.extend(page["StackEvents"].as_array().cloned().unwrap_or_default());
            token = page["NextToken"].as_str().map(str::to_owned);
            if token.is_none() {
                all.reverse();
                return Ok(all);
            }
        }
    }
}

pub(super) fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn is_missing(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refused>().is_some_and(|refused| refused.message.ends_with("does not exist"))
}

pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// A stack's name out of a file's: `web.yaml` makes `web`.
fn name_of(file: &Path) -> anyhow::Result<String> {
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name = name.trim_matches('-').to_owned();
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        bail!("cannot make a stack's name of {}; give one with --name", file.display());
    }
    Ok(name)
}

fn deploy(
    api: &Api,
    file: &Path,
    name: &str,
    parameters: &[String],
    capabilities: &[String],
) -> anyhow::Result<ExitCode> {
    let template = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut request = vec![pair("StackName", name), pair("TemplateBody", &template)];
    for (index, given) in parameters.iter().enumerate() {
        let (key, value) = given.split_once('=').with_context(|| format!("{given} is not written NAME=VALUE"))?;
        let member = |what: &str| format!("Parameters.member.{}.Parameter{what}", index + 1);
        request.extend([(member("Key"), key.to_owned()), (member("Value"), value.to_owned())]);
    }
    for (index, capability) in capabilities.iter().enumerate() {
        request.push((format!("Capabilities.member.{}", index + 1), capability.clone()));
    }
    let known = api.stack(name)?;
    let seen = match &known {
        Some(_) => api.events(name)?.len(),
        None => 0,
    };
    let action = if known.is_some() { "UpdateStack" } else { "CreateStack" };
    let begun = match api.call(action, &request) {
        Err(error) if error.to_string().contains("No updates are to be performed") => {
            println!("{name} is as the template says already.");
            return Ok(ExitCode::SUCCESS);
        }
        other => other?,
    };
    follow(api, text(&begun, "StackId"), seen)
}

fn delete(api: &Api, name: &str) -> anyhow::Result<ExitCode> {
    let Some(stack) = api.stack(name)? else { bail!("there is no stack {name}") };
    let id = text(&stack, "StackId").to_owned();
    let seen = api.events(&id)?.len();
    api.call("DeleteStack", &[pair("StackName", &id)])?;
    follow(api, &id, seen)
}

/// Shows what happens to a stack until nothing does any more.
fn follow(api: &Api, id: &str, seen: usize) -> anyhow::Result<ExitCode> {
    let mut view = View::default();
    loop {
        let stack = api.stack(id)?.context("the stack is gone")?;
        let events = api.events(id)?;
        view.show(&events[seen.min(events.len())..], id)?;
        let status = text(&stack, "StackStatus");
        if !status.ends_with("_IN_PROGRESS") {
            view.end()?;
            return Ok(conclude(&stack, &events[seen.min(events.len())..]));
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// What became of it, and why.
fn conclude(stack: &Value, events: &[Value]) -> ExitCode {
    let status = text(stack, "StackStatus");
    println!("\n{} is {status}", text(stack, "StackName"));
    let is_good = status.ends_with("_COMPLETE") && !status.contains("ROLLBACK");
    if !is_good {
        for event in events.iter().filter(|event| text(event, "ResourceStatus").ends_with("_FAILED")) {
            let reason = text(event, "ResourceStatusReason");
            println!("  {} ({}): {reason}", text(event, "LogicalResourceId"), text(event, "ResourceType"));
        }
    }
    for output in stack["Outputs"].as_array().into_iter().flatten() {
        println!("  {} = {}", text(output, "OutputKey"), text(output, "OutputValue"));
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Resources and their states: redrawn in place on a terminal, a line for each change elsewhere.
#[derive(Default)]
struct View {
    shown: usize,
    lines: usize,
    states: BTreeMap<String, (String, String)>,
}

impl View {
    fn show(&mut self, events: &[Value], id: &str) -> anyhow::Result<()> {
        let new = &events[self.shown.min(events.len())..];
        self.shown = events.len();
        let is_terminal = std::io::stdout().is_terminal();
        for event in new {
            let (logical, status) = (text(event, "LogicalResourceId"), text(event, "ResourceStatus"));
            let (kind, reason) = (text(event, "ResourceType"), text(event, "ResourceStatusReason"));
            if !is_terminal {
                let reason = if reason.is_empty() { String::new() } else { format!("  {reason}") };
                println!("{status:<28} {logical} ({kind}){reason}");
            }
            if text(event, "PhysicalResourceId") != id {
                self.states.insert(logical.to_owned(), (status.to_owned(), format!("{kind}  {reason}")));
            }
        }
        if is_terminal { self.draw() } else { Ok(()) }
    }

    fn draw(&mut self) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.lines > 0 {
            write!(out, "\x1b[{}A\x1b[J", self.lines)?;
        }
        for (logical, (status, rest)) in &self.states {
            let colour = match status.as_str() {
                status if status.ends_with("_FAILED") => 31,
                status if status.ends_with("_COMPLETE") => 32,
                _ => 33,
            };
            // Cut, so that a line is one line and the next drawing finds its place again.
            let rest: String = rest.chars().take(60).collect();
            writeln!(out, "\x1b[{colour}m{status:<28}\x1b[0m {logical:<32} {rest}")?;
        }
        self.lines = self.states.len();
        Ok(out.flush()?)
    }

    fn end(&self) -> anyhow::Result<()> {
        Ok(std::io::stdout().flush()?)
    }
}

fn list(api: &Api) -> anyhow::Result<ExitCode> {
    let mut token = None::<String>;
    loop {
        let parameters: Vec<_> = token.iter().map(|token| pair("NextToken", token)).collect();
        let page = api.call("DescribeStacks", &parameters)?;
        for stack in page["Stacks"].as_array().into_iter().flatten() {
            println!("{:<28} {}", text(stack, "StackStatus"), text(stack, "StackName"));
        }
        token = page["NextToken"].as_str().map(str::to_owned);
        if token.is_none() {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn events(api: &Api, name: &str) -> anyhow::Result<ExitCode> {
    for event in api.events(name)? {
        let reason = text(&event, "ResourceStatusReason");
        let (status, logical) = (text(&event, "ResourceStatus"), text(&event, "LogicalResourceId"));
        println!("{status:<28} {logical} ({})  {reason}", text(&event, "ResourceType"));
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_makes_a_stacks_name() {
        assert_eq!(name_of(Path::new("a/load_balancer.json")).unwrap(), "load-balancer");
        assert!(name_of(Path::new("1.yaml")).is_err());
    }
}
