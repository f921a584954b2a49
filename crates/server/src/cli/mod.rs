//! The command line: what `millpond` understands, and what each command does.
//!
//! Invariants:
//! - `millpond` alone serves; every command teaches itself with `--help`.
//! - A refusal is one sentence on standard error that says what to do, and an exit code other than 0.

mod ca;
mod capture;
mod client;
mod demo;
mod exec;
mod images;
mod instances;
mod keys;
mod lb;
mod lb_status;
mod running;
mod serve;
mod stack;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, ConfigError, Keep, Overrides};

const EXAMPLES: &str = "\
Examples:
  millpond                                     serve on 127.0.0.1:4566, data in ./millpond-data
  millpond --ephemeral --listen 127.0.0.1:0    serve on a free port and keep nothing, for tests
  millpond aws sqs create-queue --queue-name jobs
  millpond exec -- python your_program.py      run a program with the endpoint in its environment
  millpond demo                                see it work, in two minutes, leaving nothing behind
  millpond stack deploy template.yaml          make or change a CloudFormation stack, and watch it
  millpond instances add --ip 10.0.0.5 --zone us-east-1a
  millpond lb status web                       see how a load balancer is
  millpond keys create                         make an access key; then --listen 0.0.0.0:4566 is allowed

Every flag can also be set as MILLPOND_<FLAG> in the environment or in ./millpond.toml; flags win over the
environment, the environment over the file. docs/configuration.md has every setting.";

#[derive(Debug, Parser)]
#[command(name = "millpond", version, about, long_about = None, after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true)]
#[command(about = "AWS's queue, storage and load balancing on machines that you own. Serves, unless told otherwise.")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or Ctrl-C (the default)
    Serve(ServeArgs),
    /// Run a command with Millpond's endpoint, region and credentials in its environment
    Exec(ExecArgs),
    /// Run the AWS CLI against Millpond
    Aws(AwsArgs),
    /// Walk through the story with a server of its own, leaving nothing behind: load-balanced servers, then a queue
    Demo {
        /// Only this half of it
        half: Option<demo::Half>,
    },
    /// See and try load balancers of a running server
    Lb(LbArgs),
    /// Print the certificate of Millpond's own CA, which signs its HTTPS, and how to have it trusted
    Ca(PlaceArgs),
    /// Make, list and remove access keys; a running server notices within a second
    Keys(KeysArgs),
    /// Register machines that you have as instances; a running server notices within a second
    Instances(InstancesArgs),
    /// Register what instances are started from; a running server notices at once
    Images(ImagesArgs),
    /// Deploy CloudFormation templates and watch what they become
    Stack(StackArgs),
    /// Read a data directory offline and say what it holds; changes nothing
    Verify(PlaceArgs),
    /// Print the version
    Version,
    /// The inside of `exec --capture`
    #[command(hide = true)]
    Captive(capture::captive::CaptiveArgs),
    /// The demo's worker: takes one message and works on it until it is killed
    #[command(hide = true)]
    DemoWorker(demo::WorkerArgs),
}

#[derive(Debug, clap::Args)]
struct ServeArgs {
    #[command(flatten)]
    overrides: Overrides,
    /// Write the endpoint's URL to this file once requests are served
    #[arg(long, env = "MILLPOND_ENDPOINT_FILE", value_name = "FILE")]
    endpoint_file: Option<PathBuf>,
    /// Take over from the server that uses the data directory, without dropping a connection; it ends once it has
    /// finished what it began. Without one, just start
    #[arg(long)]
    take_over: bool,
}

/// Where a running server is.
#[derive(Debug, clap::Args)]
struct ServerArgs {
    /// The server's URL [default: the configured address, http://127.0.0.1:4566]
    #[arg(long, env = "MILLPOND_ENDPOINT", value_name = "URL")]
    endpoint: Option<String>,
    /// Read settings from this file [default: ./millpond.toml where it exists]
    #[arg(long, env = "MILLPOND_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

const EXEC_EXAMPLES: &str = "\
Examples:
  millpond exec -- aws s3 ls
  millpond exec --capture -- node program-from-2015.js
  millpond exec --capture --reach localhost:5432 --reach example.org:443 -- ./worker

With --capture the command runs in a network, a file system view and, for an ordinary user, a user namespace of its own.
Inside, amazonaws.com and every name below it is Millpond on ports 443 and 80, and the system's certificates and the
variables that programs read (SSL_CERT_FILE, NODE_EXTRA_CA_CERTS, AWS_CA_BUNDLE and others) trust Millpond's CA. Nothing
changes on the host: no DNS, no certificate, no port. There is no other network inside: the host's other services, its
loopback included, and the internet are reached only as --reach names them. Java's own key store is not changed.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXEC_EXAMPLES)]
struct ExecArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Let AWS's names lead to Millpond, over TLS that is trusted, for this command only
    #[arg(long)]
    capture: bool,
    /// Let the captured command reach this too; give it again for several. A name, localhost or 127.x.y.z
    #[arg(long, value_name = "HOST:PORT", requires = "capture")]
    reach: Vec<String>,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<std::ffi::OsString>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  millpond aws s3 mb s3://pictures")]
struct AwsArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The arguments of the AWS CLI
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<std::ffi::OsString>,
}

/// Which data directory.
#[derive(Debug, clap::Args)]
struct PlaceArgs {
    /// The data directory [default: ./millpond-data]
    #[arg(long, env = "MILLPOND_DATA_DIR", value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
    /// Read settings from this file [default: ./millpond.toml where it exists]
    #[arg(long, env = "MILLPOND_CONFIG", value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct KeysArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Make a key and print its secret, which is never shown again
    Create {
        /// The account that the key belongs to [default: the configured account, 000000000000]
        #[arg(long, value_name = "12 DIGITS")]
        account: Option<String>,
        /// What the key is for, in your own words
        #[arg(long, default_value = "", value_name = "TEXT")]
        description: String,
    },
    /// List the keys
    Ls,
    /// Remove a key; what is signed with it is refused from now on
    Rm {
        /// The access key id, AKIA…
        access_key_id: String,
    },
}

const LB_EXAMPLES: &str = "\
Examples:
  millpond lb ls
  millpond lb status web             listeners, nodes, instances, and why some are not in service; refreshes
  millpond lb status web --once      the same once, as when it is not on a terminal
  millpond lb curl web /health -i
  millpond lb curl web /login -X POST -H 'content-type: application/json' -d '{\"user\": \"me\"}'
  millpond lb usage                  load balancer hours and gigabytes, day by day

Load balancers are made and changed as on AWS:
  millpond aws elb create-load-balancer --load-balancer-name web --availability-zones us-east-1a \\
      --listeners Protocol=HTTP,LoadBalancerPort=8080,InstanceProtocol=HTTP,InstancePort=80
  millpond aws elb register-instances-with-load-balancer --load-balancer-name web --instances i-…

Where keys are needed, they are read from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.";

#[derive(Debug, clap::Args)]
#[command(after_help = LB_EXAMPLES)]
struct LbArgs {
    #[command(subcommand)]
    command: LbCommand,
}

#[derive(Debug, Subcommand)]
enum LbCommand {
    /// List the load balancers
    Ls {
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Show how a load balancer is, until Ctrl-C
    Status {
        #[command(flatten)]
        server: ServerArgs,
        /// The load balancer's name
        name: String,
        /// Show it once
        #[arg(long)]
        once: bool,
    },
    /// Send a request through a load balancer's HTTP listener, by way of the front door
    Curl(CurlArgs),
    /// Say what load balancers were used for: hours and gigabytes, by day
    Usage {
        #[command(flatten)]
        server: ServerArgs,
    },
}

#[derive(Debug, clap::Args)]
struct CurlArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The load balancer's name
    name: String,
    /// The path, with its query
    #[arg(default_value = "/")]
    path: String,
    /// The method [default: GET, or POST with -d]
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    method: Option<String>,
    /// A header, `Name: value`; give it again for several
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// The body
    #[arg(short = 'd', long = "data", value_name = "TEXT")]
    data: Option<String>,
    /// Print the status line and the headers too
    #[arg(short = 'i', long)]
    include: bool,
}

const INSTANCES_EXAMPLES: &str = "\
Examples:
  millpond instances add --ip 10.0.0.5 --zone us-east-1a --name web1    prints the new instance's id
  millpond instances ls
  millpond instances rm i-0123456789abcdef0

An instance is registered with a load balancer as on AWS:
  millpond aws elb register-instances-with-load-balancer --load-balancer-name web --instances i-0123456789abcdef0";

#[derive(Debug, clap::Args)]
#[command(after_help = INSTANCES_EXAMPLES)]
struct InstancesArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The account whose instances they are [default: the configured account, 000000000000]
    #[arg(long, value_name = "12 DIGITS", global = true)]
    account: Option<String>,
    #[command(subcommand)]
    command: InstancesCommand,
}

#[derive(Debug, Subcommand)]
enum InstancesCommand {
    /// Make a machine an instance and print its id
    Add {
        /// Where the machine is reached
        #[arg(long, value_name = "ADDRESS")]
        ip: std::net::IpAddr,
        /// The zone that it is in, us-east-1a
        #[arg(long)]
        zone: String,
        /// What its Name tag says
        #[arg(long)]
        name: Option<String>,
    },
    /// List the machines
    Ls,
    /// Remove a machine; load balancers stop sending to it
    Rm {
        /// The instance's id, i-…
        instance_id: String,
    },
}

const IMAGES_EXAMPLES: &str = "\
Examples:
  millpond images add --name web --dir /srv/images/debian     prints the new image's id
  millpond images add --name old --image-id ami-1a2b3c4d      an id that a template names, for the host's own files
  millpond images ls
  millpond images rm web";

#[derive(Debug, clap::Args)]
#[command(after_help = IMAGES_EXAMPLES)]
struct ImagesArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(subcommand)]
    command: ImagesCommand,
}

#[derive(Debug, Subcommand)]
enum ImagesCommand {
    /// Register an image and print its id
    Add {
        /// Its name
        #[arg(long)]
        name: String,
        /// The directory with its root file system, debootstrap's for instance [default: the host's own files]
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// The id that it shall have [default: a new one]
        #[arg(long, value_name = "AMI-…")]
        image_id: Option<String>,
        /// What it is for, in your own words
        #[arg(long, default_value = "", value_name = "TEXT")]
        description: String,
    },
    /// List the images
    Ls,
    /// Remove an image by id or name; its directory and its instances stay
    Rm {
        /// The image's id or name
        image: String,
    },
}

const STACK_EXAMPLES: &str = "\
Examples:
  millpond stack deploy web.yaml                            makes the stack web, or changes it
  millpond stack deploy web.yaml --name blue --parameter NumberOfServers=3
  millpond stack events blue
  millpond stack delete blue

Keys are taken from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY where they are set.";

#[derive(Debug, clap::Args)]
#[command(after_help = STACK_EXAMPLES)]
struct StackArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    command: StackCommand,
}

#[derive(Debug, Subcommand)]
enum StackCommand {
    /// Make a stack of a template, or change it, and show its resources until it is done
    Deploy {
        /// The template, JSON or YAML
        file: PathBuf,
        /// The stack's name [default: the file's]
        #[arg(long)]
        name: Option<String>,
        /// A parameter; give it again for several
        #[arg(long = "parameter", value_name = "NAME=VALUE")]
        parameters: Vec<String>,
        /// A capability that the template needs; give it again for several
        #[arg(long = "capability", value_name = "CAPABILITY_…")]
        capabilities: Vec<String>,
    },
    /// List the stacks
    Ls,
    /// Delete a stack with all that it made
    Delete {
        /// The stack's name or id
        name: String,
    },
    /// Show everything that happened to a stack
    Events {
        /// The stack's name or id
        name: String,
    },
}

impl PlaceArgs {
    fn load(self) -> Result<(Config, PathBuf), ConfigError> {
        let overrides = Overrides { config: self.config, data_dir: self.data_dir, ..Overrides::from_environment() };
        let config = Config::load(Overrides { ephemeral: Some(false), ..overrides })?;
        let path = match &config.keep {
            Keep::Dir(path) => path.clone(),
            Keep::Nothing => PathBuf::new(),
        };
        Ok((config, path))
    }
}

/// Runs the program as the command line says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        None => serve::run(cli.serve),
        Some(Command::Serve(args)) => serve::run(args),
        Some(Command::Exec(args)) => exec::run(args),
        Some(Command::Aws(args)) => exec::run_aws(args),
        Some(Command::Demo { half }) => demo::run(half),
        Some(Command::DemoWorker(args)) => demo::work(&args),
        Some(Command::Ca(args)) => ca::run(args),
        Some(Command::Captive(args)) => capture::captive::run(&args),
        Some(Command::Keys(args)) => keys::run(args),
        Some(Command::Lb(args)) => lb::run(args.command),
        Some(Command::Instances(args)) => instances::run(args),
        Some(Command::Images(args)) => images::run(args),
        Some(Command::Stack(args)) => stack::run(args),
        Some(Command::Verify(args)) => verify::run(args),
        Some(Command::Version) => {
            println!("millpond {}", env!("CARGO_PKG_VERSION"));
            Ok(ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("millpond: {error:#}");
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_is_the_default_and_takes_the_same_flags() {
        let bare = Cli::try_parse_from(["millpond", "--ephemeral", "--listen", "127.0.0.1:0,[::1]:0"]).unwrap();
        assert!(bare.command.is_none());
        assert_eq!(bare.serve.overrides.ephemeral, Some(true));
        assert_eq!(bare.serve.overrides.listen, ["127.0.0.1:0", "[::1]:0"]);
        let named = Cli::try_parse_from(["millpond", "serve", "--sqs-cooldowns", "false", "--allow-reset"]).unwrap();
        let Some(Command::Serve(serve)) = named.command else { panic!("not serve") };
        assert_eq!((serve.overrides.sqs_cooldowns, serve.overrides.allow_reset), (Some(false), Some(true)));
    }

    #[test]
    fn a_command_keeps_its_own_flags() {
        for line in [&["millpond", "aws", "s3", "ls", "--recursive"][..], &["millpond", "exec", "--", "env", "-0"]] {
            match Cli::try_parse_from(line).unwrap().command {
                Some(Command::Aws(aws)) => assert_eq!(aws.arguments, ["s3", "ls", "--recursive"]),
                Some(Command::Exec(exec)) => assert_eq!(exec.command, ["env", "-0"]),
                other => panic!("{other:?}"),
            }
        }
    }
}
