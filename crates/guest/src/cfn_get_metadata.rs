//! `cfn-get-metadata`: prints a resource's metadata, or a part of it.

use std::ffi::OsString;

use clap::Parser;
use serde_json::Value;

use crate::cloudformation::CloudFormation;
use crate::credentials;
use crate::http_client::HttpClient;
use crate::log::Logs;
use crate::metadata_service::MetadataService;
use crate::options::{CredentialOptions, ProxyOptions, parse};
use crate::system::System;
use crate::value;

/// Prints the metadata of a resource
#[derive(Parser, Debug)]
#[command(name = "cfn-get-metadata", infer_long_args = true, args_override_self = true)]
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
    /// Retrieve the value at <key> in the Metadata object; must be in dotted object notation (parent.child.leaf)
    #[arg(short, long, allow_hyphen_values = true)]
    key: Option<String>,
    /// The CloudFormation service URL. The endpoint URL must match the region option. Use of this parameter is discouraged.
    #[arg(short, long, value_name = "ENDPOINT", allow_hyphen_values = true)]
    url: Option<String>,
    /// The CloudFormation region
    #[arg(long, default_value = "us-east-1", allow_hyphen_values = true)]
    region: String,
    /// Enables verbose logging
    #[arg(short, long)]
    verbose: bool,
}

/// Runs the tool; its exit code.
pub(crate) fn main(system: &System, arguments: &[OsString]) -> u8 {
    let options: Options = match parse("cfn-get-metadata", arguments) {
        Ok(options) => options,
        Err(code) => return code,
    };
    match run(system, &options) {
        Ok(text) => {
            println!("{text}");
            0
        }
        Err(message) => {
            eprintln!("{message}");
            1
        }
    }
}

fn run(system: &System, options: &Options) -> Result<String, String> {
    let named = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
    let (Some(stack), Some(resource)) = (named(&options.stack), named(&options.resource)) else {
        return Err("Error: You must specify both a stack name and logical resource id".to_owned());
    };
    let logs = Logs::open(system, "cfn-init.log", options.verbose);
    let http = HttpClient::new(system, options.proxies.clone());
    let service = MetadataService::new(system, &http);
    let credentials = credentials::named(system, &service, &options.credentials)?;
    let remote = CloudFormation::new(system, &http, &service, options.url.as_deref(), &options.region, credentials);
    let resource = remote.describe_stack_resource(&logs.main, &stack, &resource).map_err(|error| error.to_string())?;
    let without = || format!("Error: {} does not specify any metadata", resource.logical_id);
    let metadata = resource.metadata.as_ref().ok_or_else(without)?;
    let key = options.key.as_deref().unwrap_or_default();
    let found = value::at_path(metadata, key).filter(|found| !value::is_empty(found));
    let found =
        found.ok_or_else(|| format!("Error: {key} is not present in the metadata for {}", resource.logical_id))?;
    Ok(match found {
        Value::String(text) => text.clone(),
        document => value::pretty(document),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Server, resource};

    fn printed(key: Option<&str>) -> Result<String, String> {
        let metadata = json!({"a": {"b": "text", "c": [1]}});
        let server = Server::of_an_instance(move |_| (200, resource(&metadata)));
        let root = tempfile::tempdir().unwrap();
        let system = System::under(root.path(), &server.environment());
        let mut arguments = vec!["cfn-get-metadata", "-s", "demo", "-r", "Server"];
        arguments.extend(key.map(|key| ["-k", key]).into_iter().flatten());
        run(&system, &Options::try_parse_from(arguments).unwrap())
    }

    #[test]
    fn the_whole_or_a_part_is_printed() {
        assert_eq!(printed(Some("a.b")).unwrap(), "text");
        assert_eq!(printed(Some("a.c")).unwrap(), "[\n    1\n]");
        assert!(printed(None).unwrap().starts_with("{\n    \"a\": {\n"));
        assert_eq!(printed(Some("a.z")).unwrap_err(), "Error: a.z is not present in the metadata for Server");
    }
}
