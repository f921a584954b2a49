//! [`Config`]: everything an operator can choose, gathered once at start.
//!
//! Invariants:
//! - A value comes from the first of these that names it: flag, `MILLPOND_*` variable, `millpond.toml`, default.
//! - An unknown key or a value out of range stops the start with a sentence that names it.
//! - Nothing below this module reads the environment or the configuration file.

mod instances;
mod load_balancing;

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::{AccountId, Region};
use iam::MasterKey;
use serde::Deserialize;

pub use self::instances::InstanceIsolation;
use self::instances::{InstancesSection, unknown_images};
use self::load_balancing::{BalancerSection, DnsSection, ZoneSection};
pub use self::load_balancing::{DEFAULT_DNS_DOMAIN, LoadBalancing};

/// The file that is read when `--config` names none and this one exists.
pub const FILE_NAME: &str = "millpond.toml";

/// Why a configuration is refused; reads as one sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

fn refuse<T>(sentence: String) -> Result<T, ConfigError> {
    Err(ConfigError(sentence))
}

/// What flags and the environment say; `None` where they are silent. clap has merged the two already.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Overrides {
    /// Read settings from this file [default: ./millpond.toml where it exists]
    #[arg(long, env = "MILLPOND_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Keep everything under this directory [default: ./millpond-data]
    #[arg(long, env = "MILLPOND_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Keep nothing: all state lives in memory and a temporary directory, and ends with the process
    #[arg(long, env = "MILLPOND_EPHEMERAL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub ephemeral: Option<bool>,
    /// Listen here; give it again, or separate by commas, for several; port 0 takes a free one [default: 127.0.0.1:4566]
    #[arg(long, env = "MILLPOND_LISTEN", value_name = "HOST:PORT", value_delimiter = ',')]
    pub listen: Vec<String>,
    /// Listen here for HTTPS and nothing else; give it again, or separate by commas, for several. (Every --listen address
    /// takes HTTPS too.) Certificates are signed by the CA of `millpond ca`
    #[arg(long, env = "MILLPOND_TLS_LISTEN", value_name = "HOST:PORT", value_delimiter = ',')]
    pub tls_listen: Vec<String>,
    /// The region of requests that name none [default: us-east-1]
    #[arg(long, env = "MILLPOND_REGION", value_name = "NAME")]
    pub region: Option<String>,
    /// The account of keys that name none [default: 000000000000]
    #[arg(long, env = "MILLPOND_ACCOUNT", value_name = "12 DIGITS")]
    pub account: Option<String>,
    /// Serve sqs.<region>.DOMAIN, <bucket>.s3.DOMAIN and their kin; give it again for several ("localhost" is always served)
    #[arg(long = "base-domain", env = "MILLPOND_BASE_DOMAIN", value_name = "DOMAIN", value_delimiter = ',')]
    pub base_domains: Vec<String>,
    /// Which keys are accepted: `local` takes any, `strict` only those of `millpond keys`
    /// [default: local on loopback while no key exists, else strict]
    #[arg(long, env = "MILLPOND_AUTH", value_name = "MODE")]
    pub auth: Option<AuthChoice>,
    /// Whether SQS's two 60-second rules (recreate after delete, purge after purge) hold [default: true]
    #[arg(long, env = "MILLPOND_SQS_COOLDOWNS", value_name = "BOOL")]
    pub sqs_cooldowns: Option<bool>,
    /// Let POST /_millpond/reset empty the state
    #[arg(long, env = "MILLPOND_ALLOW_RESET", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub allow_reset: Option<bool>,
    /// What to log, as tracing's filters have it, such as `info` or `sqs=debug,warn` [default: info]
    #[arg(long = "log", env = "MILLPOND_LOG", value_name = "FILTER")]
    pub log_filter: Option<String>,
    /// How to write the log [default: text]
    #[arg(long, env = "MILLPOND_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// How many seconds SIGTERM waits for requests in flight [default: 30]
    #[arg(long = "drain-timeout", env = "MILLPOND_DRAIN_TIMEOUT_S", value_name = "SECONDS")]
    pub drain_timeout_s: Option<f64>,
    /// Answer DNS for load balancers' names here; give it again, or separate by commas, for several
    #[arg(long, env = "MILLPOND_DNS_LISTEN", value_name = "HOST:PORT", value_delimiter = ',')]
    pub dns_listen: Vec<String>,
    /// What load balancers' names end with; delegate this zone to --dns-listen [default: elb.localhost]
    #[arg(long, env = "MILLPOND_DNS_ZONE", value_name = "DOMAIN")]
    pub dns_zone: Option<String>,
    /// How far apart instances run [default: auto]
    #[arg(long, env = "MILLPOND_INSTANCE_ISOLATION", value_name = "HOW")]
    pub instance_isolation: Option<InstanceIsolation>,
    /// What instances of an image id that nobody registered start from: `refused` (they do not), `host` (the host's own
    /// files) or a directory with a root file system [default: refused]
    #[arg(long, env = "MILLPOND_UNKNOWN_IMAGES", value_name = "WHAT")]
    pub unknown_images: Option<String>,
}

impl Overrides {
    /// What the environment alone says; a variable that does not parse counts as silent here and is told at `serve`.
    pub fn from_environment() -> Self {
        #[derive(clap::Parser)]
        struct Environment {
            #[command(flatten)]
            overrides: Overrides,
        }
        <Environment as clap::Parser>::try_parse_from(["millpond"]).map(|parsed| parsed.overrides).unwrap_or_default()
    }
}

/// What `--auth` may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum AuthChoice {
    /// Any properly signed request is accepted, whatever its key. Possible on loopback while no key exists.
    Local,
    /// Every signature is verified against the configured keys.
    Strict,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `millpond.toml`, key by key.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<OneOrMany>,
    tls_listen: Option<OneOrMany>,
    data_dir: Option<PathBuf>,
    ephemeral: Option<bool>,
    region: Option<String>,
    account: Option<String>,
    base_domains: Option<OneOrMany>,
    auth: Option<AuthChoice>,
    allow_reset: Option<bool>,
    drain_timeout_s: Option<f64>,
    worker_threads: Option<usize>,
    #[serde(default)]
    sqs: SqsSection,
    #[serde(default)]
    log: LogSection,
    #[serde(default)]
    limits: LimitsSection,
    #[serde(default)]
    zone: Vec<ZoneSection>,
    #[serde(default)]
    dns: DnsSection,
    #[serde(default)]
    balancer: BalancerSection,
    #[serde(default)]
    instances: InstancesSection,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SqsSection {
    cooldowns: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogSection {
    filter: Option<String>,
    format: Option<LogFormat>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsSection {
    connections_max: Option<usize>,
    header_bytes_max: Option<usize>,
    header_timeout_s: Option<f64>,
    keep_alive_timeout_s: Option<f64>,
    body_bytes_max: Option<usize>,
    body_memory_max: Option<usize>,
    body_idle_timeout_s: Option<f64>,
    body_timeout_s: Option<f64>,
    request_timeout_s: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// What a request may cost, in bytes and in time. Each has a key of its name under `[limits]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Open connections; more wait in the kernel's queue. Lowered at start to what the file-descriptor limit carries.
    pub connections_max: usize,
    /// Request line and headers together; beyond it 431. There is room for 100 headers, whatever their size.
    pub header_bytes_max: usize,
    /// From the first byte of a request to the end of its headers.
    pub header_timeout: Duration,
    /// How long a connection may idle between requests; above the 60 s after which most SDKs drop theirs.
    pub keep_alive_timeout: Duration,
    /// One body that is held whole in memory (all but S3's objects). SQS's own 1 MiB of message can grow sixfold when
    /// a client writes every character as a JSON escape, so that AWS's limit on the message is always met first.
    pub body_bytes_max: usize,
    /// All such bodies together; beyond it 503 until some are done.
    pub body_memory_max: usize,
    /// Without a byte of a body that was announced.
    pub body_idle_timeout: Duration,
    /// From the headers to the end of a body that is held whole in memory.
    pub body_timeout: Duration,
    /// Between the end of a request and any byte of its answer, and between two bytes of the answer. Above SQS's
    /// longest poll of 20 s.
    pub request_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            header_bytes_max: 64 * 1024,
            header_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(120),
            body_bytes_max: 8 * 1024 * 1024,
            body_memory_max: 256 * 1024 * 1024,
            body_idle_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(60),
            request_timeout: Duration::from_secs(300),
        }
    }
}

/// Where state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Nowhere; it ends with the process.
    Nothing,
    /// Under this directory.
    Dir(PathBuf),
}

/// Everything an operator can choose.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen, in the order given; never empty.
    pub listen: Vec<SocketAddr>,
    /// Where to listen for HTTPS only.
    pub tls_listen: Vec<SocketAddr>,
    /// Where state is kept.
    pub keep: Keep,
    /// The region of requests that name none.
    pub region: Region,
    /// The account of keys that name none.
    pub account: AccountId,
    /// Domains beside `localhost` under which service and bucket hosts are served; lower case, no leading dot.
    pub base_domains: Vec<String>,
    /// What `auth` asks for; `None` leaves it to the rule.
    pub auth: Option<AuthChoice>,
    /// Whether SQS's 60-second rules hold.
    pub sqs_cooldowns: bool,
    /// Whether `POST /_millpond/reset` works.
    pub allow_reset: bool,
    /// What to log.
    pub log_filter: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// How long a shutdown waits for requests in flight.
    pub drain_timeout: Duration,
    /// Threads that serve requests.
    pub worker_threads: usize,
    /// The key that seals the access keys, where the operator keeps it outside of the data directory.
    pub master_key: Option<MasterKey>,
    /// What a request may cost.
    pub limits: Limits,
    /// Where load balancers stand, and what they may cost.
    pub load_balancing: LoadBalancing,
    /// Whether instances run, and how far apart.
    pub instance_isolation: InstanceIsolation,
    /// What an image id that nobody registered stands for.
    pub unknown_images: ec2::UnknownImages,
}

impl Config {
    /// Merges flags and environment over the configuration file over the defaults.
    pub fn load(overrides: Overrides) -> Result<Self, ConfigError> {
        let file = read_file(overrides.config.as_deref())?;
        Ok(Self { master_key: read_master_key()?, ..Self::merge(overrides, file)? })
    }

    fn merge(over: Overrides, file: File) -> Result<Self, ConfigError> {
        let ephemeral = over.ephemeral.or(file.ephemeral).unwrap_or(false);
        let data_dir = over.data_dir.or(file.data_dir).unwrap_or_else(|| PathBuf::from("./millpond-data"));
        let listen = or_file(over.listen, file.listen).unwrap_or_else(|| vec!["127.0.0.1:4566".into()]);
        let region = over.region.or(file.region).unwrap_or_else(|| "us-east-1".into());
        let account = over.account.or(file.account).unwrap_or_else(|| "000000000000".into());
        let region = parse_region(&region)?;
        let dns = file.dns.overridden(over.dns_listen, over.dns_zone);
        Ok(Self {
            unknown_images: unknown_images(over.unknown_images.or(file.instances.unknown_images).as_deref())?,
            instance_isolation: over.instance_isolation.or(file.instances.isolation).unwrap_or_default(),
            load_balancing: LoadBalancing::read(&region, file.zone, dns, &file.balancer)?,
            listen: resolve_all(&listen)?,
            tls_listen: resolve(&or_file(over.tls_listen, file.tls_listen).unwrap_or_default(), "127.0.0.1:443")?,
            keep: if ephemeral { Keep::Nothing } else { Keep::Dir(data_dir) },
            region,
            account: parse_account(&account)?,
            base_domains: parse_domains(or_file(over.base_domains, file.base_domains).unwrap_or_default())?,
            auth: over.auth.or(file.auth),
            sqs_cooldowns: over.sqs_cooldowns.or(file.sqs.cooldowns).unwrap_or(true),
            allow_reset: over.allow_reset.or(file.allow_reset).unwrap_or(false),
            log_filter: over.log_filter.or(file.log.filter).unwrap_or_else(|| "info".into()),
            log_format: over.log_format.or(file.log.format).unwrap_or_default(),
            drain_timeout: seconds(
                "drain_timeout_s",
                over.drain_timeout_s.or(file.drain_timeout_s),
                Duration::from_secs(30),
            )?,
            worker_threads: worker_threads("worker_threads", file.worker_threads)?,
            master_key: None,
            limits: limits(&file.limits)?,
        })
    }

    /// Whether only this machine can reach us.
    pub fn is_loopback_only(&self) -> bool {
        self.listen.iter().chain(&self.tls_listen).all(|address| address.ip().to_canonical().is_loopback())
    }
}

/// From the environment alone: a flag would show it to everybody who lists processes.
#[allow(clippy::disallowed_methods, reason = "this module reads the environment for all others")]
fn read_master_key() -> Result<Option<MasterKey>, ConfigError> {
    match std::env::var("MILLPOND_MASTER_KEY") {
        Err(_) => Ok(None),
        Ok(text) => match MasterKey::from_hex(&text) {
            Some(key) => Ok(Some(key)),
            None => refuse("cannot use MILLPOND_MASTER_KEY: it must be 64 hexadecimal digits".into()),
        },
    }
}

fn or_file(over: Vec<String>, file: Option<OneOrMany>) -> Option<Vec<String>> {
    let chosen = if over.is_empty() { file.map(OneOrMany::into_vec)? } else { over };
    Some(chosen)
}

#[allow(clippy::disallowed_methods, reason = "the configuration is the operator's file, not state")]
fn read_file(named: Option<&Path>) -> Result<File, ConfigError> {
    let path = named.unwrap_or(Path::new(FILE_NAME));
    match std::fs::read_to_string(path) {
        Ok(text) => parse_file(path, &text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => Ok(File::default()),
        Err(error) => refuse(format!("cannot read {}: {error}", path.display())),
    }
}

fn parse_file(path: &Path, text: &str) -> Result<File, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let message = error.message().replace("unknown field", "unknown key");
        ConfigError(format!("cannot use {}, line {line}: {message}", path.display()))
    })
}

fn resolve_all(names: &[String]) -> Result<Vec<SocketAddr>, ConfigError> {
    let found = resolve(names, "127.0.0.1:4566 or [::1]:4566")?;
    if found.is_empty() {
        return refuse("cannot start without an address: `listen` is empty; leave it out for 127.0.0.1:4566".into());
    }
    Ok(found)
}

/// The addresses behind names, in their order; `such_as` is for who wrote one wrong.
fn resolve(names: &[String], such_as: &str) -> Result<Vec<SocketAddr>, ConfigError> {
    let mut found = Vec::new();
    for name in names {
        let addresses = name.to_socket_addrs().map_err(|error| {
            ConfigError(format!("cannot listen on {name:?}: {error}; write it as HOST:PORT, such as {such_as}"))
        })?;
        for address in addresses {
            if address.port() == 0 || !found.contains(&address) {
                found.push(address);
            }
        }
    }
    Ok(found)
}

fn parse_region(text: &str) -> Result<Region, ConfigError> {
    Region::parse(text).ok_or_else(|| {
        ConfigError(format!("cannot use region {text:?}: a name is 1 to 64 of a-z, 0-9 and '-', such as us-east-1"))
    })
}

fn parse_account(text: &str) -> Result<AccountId, ConfigError> {
    AccountId::parse(text).ok_or_else(|| ConfigError(format!("cannot use account {text:?}: it must be 12 digits")))
}

fn parse_domains(names: Vec<String>) -> Result<Vec<String>, ConfigError> {
    names.iter().map(|name| parse_domain("base domain", name)).collect()
}

fn parse_domain(what: &str, name: &str) -> Result<String, ConfigError> {
    let domain = name.trim_matches('.').to_ascii_lowercase();
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    if domain.is_empty() || domain.len() > 253 || !domain.bytes().all(allowed) {
        return refuse(format!("cannot use {what} {name:?}: it must be a DNS name without a port"));
    }
    Ok(domain)
}

fn seconds(key: &str, given: Option<f64>, default: Duration) -> Result<Duration, ConfigError> {
    const LONGEST_S: f64 = 86_400.0;
    match given {
        None => Ok(default),
        Some(value) if value > 0.0 && value <= LONGEST_S => Ok(Duration::from_secs_f64(value)),
        Some(value) => refuse(format!("cannot use {key} = {value}: it must be above 0 and at most 86400 seconds")),
    }
}

fn bounded(key: &str, given: Option<usize>, default: usize, least: usize, most: usize) -> Result<usize, ConfigError> {
    match given {
        None => Ok(default),
        Some(value) if (least..=most).contains(&value) => Ok(value),
        Some(value) => refuse(format!("cannot use {key} = {value}: it must lie between {least} and {most}")),
    }
}

fn worker_threads(key: &str, given: Option<usize>) -> Result<usize, ConfigError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    bounded(key, given, cores, 1, 1024)
}

fn limits(given: &LimitsSection) -> Result<Limits, ConfigError> {
    const GIB: usize = 1 << 30;
    let default = Limits::default();
    Ok(Limits {
        connections_max: bounded(
            "limits.connections_max",
            given.connections_max,
            default.connections_max,
            1,
            1_000_000,
        )?,
        // hyper's own floor for a read buffer is 8 KiB.
        header_bytes_max: bounded(
            "limits.header_bytes_max",
            given.header_bytes_max,
            default.header_bytes_max,
            8192,
            1 << 20,
        )?,
        header_timeout: seconds("limits.header_timeout_s", given.header_timeout_s, default.header_timeout)?,
        keep_alive_timeout: seconds(
            "limits.keep_alive_timeout_s",
            given.keep_alive_timeout_s,
            default.keep_alive_timeout,
        )?,
        body_bytes_max: bounded("limits.body_bytes_max", given.body_bytes_max, default.body_bytes_max, 4096, GIB)?,
        body_memory_max: bounded(
            "limits.body_memory_max",
            given.body_memory_max,
            default.body_memory_max,
            4096,
            1024 * GIB,
        )?,
        body_idle_timeout: seconds("limits.body_idle_timeout_s", given.body_idle_timeout_s, default.body_idle_timeout)?,
        body_timeout: seconds("limits.body_timeout_s", given.body_timeout_s, default.body_timeout)?,
        request_timeout: seconds("limits.request_timeout_s", given.request_timeout_s, default.request_timeout)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<File, ConfigError> {
        parse_file(Path::new("millpond.toml"), text)
    }

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let config = Config::merge(Overrides::default(), File::default()).unwrap();
        assert_eq!(config.listen, ["127.0.0.1:4566".parse().unwrap()]);
        assert_eq!(config.keep, Keep::Dir("./millpond-data".into()));
        assert_eq!((config.region.as_str(), config.account.as_str()), ("us-east-1", "000000000000"));
        assert!(config.sqs_cooldowns && !config.allow_reset && config.is_loopback_only());
        assert_eq!(config.limits, Limits::default());
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let given = file("region = 'eu-west-1'\naccount = '111122223333'\n[sqs]\ncooldowns = false").unwrap();
        let over = Overrides { region: Some("ap-south-1".into()), ..Overrides::default() };
        let config = Config::merge(over, given).unwrap();
        assert_eq!((config.region.as_str(), config.account.as_str()), ("ap-south-1", "111122223333"));
        assert!(!config.sqs_cooldowns);
    }

    #[test]
    fn an_unknown_key_is_refused_by_name_and_line() {
        let sentence = file("region = 'eu-west-1'\nlisen = 'x'").unwrap_err().to_string();
        assert!(sentence.starts_with("cannot use millpond.toml, line 2: unknown key `lisen`"), "{sentence}");
        let sentence = file("[limits]\nbody_max = 3").unwrap_err().to_string();
        assert!(sentence.contains("line 2: unknown key `body_max`"), "{sentence}");
    }

    #[test]
    fn a_value_out_of_range_is_refused_by_name() {
        for (text, key) in [
            ("[limits]\nheader_timeout_s = 0", "limits.header_timeout_s"),
            ("[limits]\nconnections_max = 0", "limits.connections_max"),
            ("account = '12'", "account"),
            ("region = 'US East'", "region"),
            ("listen = 'nowhere'", "listen"),
            ("listen = []", "listen"),
            ("base_domains = ['a b']", "base domain"),
            ("drain_timeout_s = -1.0", "drain_timeout_s"),
            ("[instances]\nunknown_images = '/no/such/directory'", "instances.unknown_images"),
        ] {
            let sentence = Config::merge(Overrides::default(), file(text).unwrap()).unwrap_err().to_string();
            assert!(sentence.contains(key), "{text}: {sentence}");
        }
    }

    #[test]
    fn images_that_nobody_registered_are_what_the_operator_says() {
        let of = |text: &str| Config::merge(Overrides::default(), file(text).unwrap()).unwrap().unknown_images;
        assert_eq!(of(""), ec2::UnknownImages::Refused);
        assert_eq!(of("[instances]\nunknown_images = 'host'"), ec2::UnknownImages::Host);
        assert_eq!(of("[instances]\nunknown_images = '/tmp'"), ec2::UnknownImages::Directory("/tmp".into()));
    }

    #[test]
    fn one_address_or_several_in_either_family() {
        let config =
            Config::merge(Overrides::default(), file("listen = ['127.0.0.1:0', '[::1]:80']").unwrap()).unwrap();
        assert_eq!(config.listen, ["127.0.0.1:0".parse().unwrap(), "[::1]:80".parse().unwrap()]);
        let config = Config::merge(Overrides::default(), file("listen = '0.0.0.0:80'").unwrap()).unwrap();
        assert!(!config.is_loopback_only());
    }
}
