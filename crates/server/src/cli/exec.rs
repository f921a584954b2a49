//! `millpond exec` and `millpond aws`: other programs, pointed at a running server.
//!
//! Invariant: what stands in the environment already as credentials or region is the user's choice and stays.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use super::capture::{self, Capture};
use super::{AwsArgs, ExecArgs, ServerArgs, client, serve};
use crate::config::{Config, Overrides};

/// Replaces this process by the command.
pub(super) fn run(args: ExecArgs) -> anyhow::Result<ExitCode> {
    let server = Server::find(&args.server)?;
    let Some((program, arguments)) = args.command.split_first() else {
        anyhow::bail!("there is no command; write `millpond exec -- COMMAND ARGUMENTS`");
    };
    if args.capture {
        let capture = Capture {
            endpoint: &server.endpoint,
            base_domains: &server.base_domains,
            reach: &args.reach,
            command: &args.command,
        };
        return capture::run(&capture, |command| server.set_environment(command));
    }
    replace(server.command(program).args(arguments), program)
}

/// Replaces this process by the AWS CLI.
pub(super) fn run_aws(args: AwsArgs) -> anyhow::Result<ExitCode> {
    let server = Server::find(&args.server)?;
    let program = OsString::from("aws");
    // Version 1 of the CLI does not look at AWS_ENDPOINT_URL for every service.
    replace(server.command(&program).arg("--endpoint-url").arg(&server.endpoint).args(&args.arguments), &program)
}

fn replace(command: &mut Command, program: &OsString) -> anyhow::Result<ExitCode> {
    // `exec` comes back only when it failed.
    let error = command.exec();
    let program = program.to_string_lossy();
    let advice = match error.kind() {
        std::io::ErrorKind::NotFound if program == "aws" => {
            "; install the AWS CLI, for example with `pip install awscli`"
        }
        std::io::ErrorKind::NotFound => "; there is no such program on the PATH",
        _ => "",
    };
    anyhow::bail!("cannot run {program}: {error}{advice}")
}

/// A server that answers.
pub(super) struct Server {
    pub(super) endpoint: String,
    pub(super) region: String,
    pub(super) is_local: bool,
    base_domains: Vec<String>,
}

impl Server {
    pub(super) fn find(args: &ServerArgs) -> anyhow::Result<Self> {
        let config = Config::load(Overrides { config: args.config.clone(), ..Overrides::from_environment() })?;
        let endpoint = match &args.endpoint {
            Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
            None => match config.listen.iter().find(|address| address.port() != 0) {
                Some(address) => serve::url(*address),
                None => {
                    anyhow::bail!("the configured port is 0, so the server chose one itself; name it with --endpoint")
                }
            },
        };
        let is_local = ask_mode(&endpoint)?;
        Ok(Self { endpoint, region: config.region.to_string(), is_local, base_domains: config.base_domains })
    }

    /// A command with everything in its environment that AWS's tools and SDKs look for.
    fn command(&self, program: &OsString) -> Command {
        let mut command = Command::new(program);
        self.set_environment(&mut command);
        command
    }

    #[allow(clippy::disallowed_methods, reason = "the environment of the command is this command's business")]
    fn set_environment(&self, command: &mut Command) {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        command.env("AWS_ENDPOINT_URL", &self.endpoint);
        if !is_set("AWS_REGION") && !is_set("AWS_DEFAULT_REGION") {
            command.env("AWS_REGION", &self.region).env("AWS_DEFAULT_REGION", &self.region);
        }
        if self.is_local && !is_set("AWS_ACCESS_KEY_ID") {
            command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
            command.env_remove("AWS_SESSION_TOKEN");
        }
    }
}

/// Whether the server at `endpoint` is in local mode; an error when there is none.
fn ask_mode(endpoint: &str) -> anyhow::Result<bool> {
    let Some(address) = client::address_of(endpoint) else {
        // Behind TLS we cannot look; whoever set that up has keys as well.
        return Ok(false);
    };
    let request = http::Request::get("/_millpond/health").header("host", address.to_string()).body(Vec::new())?;
    let answer = client::send(address, request).map_err(|error| {
        anyhow::anyhow!(
            "no Millpond answers at {endpoint} ({error}); start one with `millpond serve`, or name another with --endpoint"
        )
    })?;
    let health: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
    match health.as_ref().and_then(|health| health.get("auth")?.as_str()) {
        Some(mode) => Ok(mode == "local"),
        None => anyhow::bail!("what answers at {endpoint} is not Millpond; name another with --endpoint"),
    }
}
