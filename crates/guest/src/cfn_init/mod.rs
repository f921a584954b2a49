//! `cfn-init`: makes an instance what its `AWS::CloudFormation::Init` metadata says.
//!
//! Invariant: exits with 0 when everything was done, or there was nothing to do, and with 1 otherwise.

mod accounts;
mod build;
mod commands;
mod config_sets;
mod downloads;
mod files;
mod mustache;
mod package_versions;
mod packages;
mod service_states;
mod sources;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::Read;

use clap::Parser;
use serde_json::Value;

use self::downloads::Downloads;
use crate::cloudformation::CloudFormation;
use crate::credentials;
use crate::http_client::HttpClient;
use crate::log::{Logs, centered};
use crate::metadata_service::MetadataService;
use crate::options::{CredentialOptions, ProxyOptions, parse};
use crate::system::System;
use crate::value;

/// Where the metadata that was applied last is kept.
const DATA_DIRECTORY: &str = "/var/lib/cfn-init/data";
/// The largest metadata that is read from a file or standard input.
const METADATA_BYTES_MAX: u64 = 16 << 20;

/// Makes an instance what its `AWS::CloudFormation::Init` metadata says
#[derive(Parser, Debug)]
#[command(
    name = "cfn-init",
    override_usage = "cfn-init [options]\n  or:  cfn-init [options] <filename>\n  or:  cat <filename> | cfn-init [options] -",
    infer_long_args = true,
    args_override_self = true
)]
struct Options {
    #[command(flatten)]
    credentials: CredentialOptions,
    #[command(flatten)]
    proxies: ProxyOptions,
    /// A CloudFormation stack
    #[arg(short, long, value_name = "STACK_NAME", allow_hyphen_values = true)]
    stack: Option<String>,
    /// A CloudFormation logical resource ID
    #[arg(short, long, value_name = "LOGICAL_RESOURCE_ID", allow_hyphen_values = true)]
    resource: Option<String>,
    /// An optional list of configSets (default: "default")
    #[arg(short, long, value_name = "CONFIGSETS", allow_hyphen_values = true)]
    configsets: Option<String>,
    /// The CloudFormation service URL. The endpoint URL must match the region option. Use of this parameter is discouraged.
    #[arg(short, long, value_name = "ENDPOINT", allow_hyphen_values = true)]
    url: Option<String>,
    /// The CloudFormation region
    #[arg(long, default_value = "us-east-1", allow_hyphen_values = true)]
    region: String,
    /// Enables verbose logging
    #[arg(short, long)]
    verbose: bool,
    /// A file with metadata, or `-` for standard input
    files: Vec<String>,
}

/// Where metadata comes from.
enum Source {
    Stack { stack: String, resource: String },
    File(String),
    StandardInput,
}

/// Runs the tool; its exit code.
pub(crate) fn main(system: &System, arguments: &[OsString]) -> u8 {
    let options: Options = match parse("cfn-init", arguments) {
        Ok(options) => options,
        Err(code) => return code,
    };
    match run(system, &options) {
        Ok(()) => 0,
        Err(message) => {
            eprintln!("{message}");
            1
        }
    }
}

fn run(system: &System, options: &Options) -> Result<(), String> {
    let source = source(options)?;
    let logs = Logs::open(system, "cfn-init.log", options.verbose);
    let http = HttpClient::new(system, options.proxies.clone());
    let service = MetadataService::new(system, &http);
    let metadata = match &source {
        Source::Stack { stack, resource } => {
            let credentials = credentials::named(system, &service, &options.credentials)?;
            let url = options.url.as_deref();
            let remote = CloudFormation::new(system, &http, &service, url, &options.region, credentials);
            from_stack(&remote, &logs, stack, resource)?
        }
        Source::File(path) => {
            let file = std::fs::File::open(path).map_err(|error| strerror(&error))?;
            read_json(file, path)?
        }
        Source::StandardInput => read_json(std::io::stdin(), "stdin")?,
    };
    keep(system, &logs, &metadata);
    if metadata.get(config_sets::KEY).is_none_or(value::is_empty) {
        eprintln!("Could not find '{}' key in {}.", config_sets::KEY, place(&source));
        return Ok(());
    }
    let sets = options.configsets.as_deref().unwrap_or("default");
    let sets: Vec<&str> = sets.split(',').collect();
    logs.main.info(centered("Starting build"));
    let downloads = Downloads { system, http: &http, service: &service, metadata: &metadata };
    match build::build(system, &logs, downloads, &sets) {
        Ok(()) => {
            logs.main.info(centered("Build complete"));
            Ok(())
        }
        Err(error) => {
            logs.main.error(centered("BUILD FAILED!"));
            logs.main.error(format_args!("Unhandled exception during build: {error}"));
            Err(format!("Error occurred during build: {error}"))
        }
    }
}

fn source(options: &Options) -> Result<Source, String> {
    let names_stack = options.stack.is_some() || options.resource.is_some();
    match (options.files.as_slice(), &options.stack, &options.resource) {
        ([], Some(stack), Some(resource)) if !stack.is_empty() && !resource.is_empty() => {
            Ok(Source::Stack { stack: stack.clone(), resource: resource.clone() })
        }
        ([], None, None) => Err("Error: You must specify an input source for metadata: a stack name and logical \
             resource id, or a file"
            .to_owned()),
        ([], ..) => Err("Error: You must specify both a stack name and logical resource id".to_owned()),
        ([file], ..) if !names_stack => {
            Ok(if file == "-" { Source::StandardInput } else { Source::File(file.clone()) })
        }
        _ => Err("Error: You cannot specify more than one input source for metadata".to_owned()),
    }
}

fn place(source: &Source) -> String {
    match source {
        Source::Stack { resource, .. } => format!("metadata for {resource}"),
        Source::File(path) => path.clone(),
        Source::StandardInput => "stdin input".to_owned(),
    }
}

fn from_stack(remote: &CloudFormation<'_>, logs: &Logs<'_>, stack: &str, resource: &str) -> Result<Value, String> {
    let resource = remote.describe_stack_resource(&logs.main, stack, resource).map_err(|error| error.to_string())?;
    let without = || format!("Error: {} does not specify any metadata", resource.logical_id);
    resource.metadata.clone().ok_or_else(without)
}

fn read_json(reader: impl Read, name: &str) -> Result<Value, String> {
    let mut text = String::new();
    let unreadable = |error: &std::io::Error| strerror(error);
    reader.take(METADATA_BYTES_MAX).read_to_string(&mut text).map_err(|error| unreadable(&error))?;
    serde_json::from_str(&text).map_err(|error| format!("Error decoding JSON from {name}: {error}"))
}

/// An error of the system without the number that Rust puts behind it.
fn strerror(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

fn keep(system: &System, logs: &Logs<'_>, metadata: &Value) {
    let directory = system.path(DATA_DIRECTORY);
    let kept = std::fs::create_dir_all(&directory)
        .and_then(|()| std::fs::write(directory.join("metadata.json"), value::pretty(metadata)));
    if kept.is_err() {
        eprintln!("Could not create {DATA_DIRECTORY} to store metadata");
        logs.main.error(format_args!("Could not create {DATA_DIRECTORY} to store metadata"));
    }
}
