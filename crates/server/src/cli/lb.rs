//! `millpond lb`: load balancers of a running server, listed, watched and tried.
//!
//! Invariant: asks over HTTP alone, as any client does; what a server does not tell its caller is not shown.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use http::Request;
use http::header::{HOST, HeaderName, HeaderValue};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::client::{self, Answer};
use super::exec::Server;
use super::lb_status::{self, LoadBalancer};
use super::{CurlArgs, LbCommand, ServerArgs, keys};

/// How often a table on a terminal is drawn anew.
const REFRESH: Duration = Duration::from_secs(1);
/// Puts the cursor into the upper left corner and clears what is below it.
const REDRAW: &str = "\x1b[H\x1b[J";
/// The same for the first time, when all must go.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Runs one of the subcommands.
pub(super) fn run(command: LbCommand) -> anyhow::Result<ExitCode> {
    match command {
        LbCommand::Ls { server } => list(&Asker::find(&server)?),
        LbCommand::Status { server, name, once } => status(&Asker::find(&server)?, &name, once),
        LbCommand::Curl(args) => curl(args),
        LbCommand::Usage { server } => usage(&Asker::find(&server)?),
    }
}

/// Asks a running server for its pages.
struct Asker {
    server: Server,
    address: std::net::SocketAddr,
}

impl Asker {
    fn find(args: &ServerArgs) -> anyhow::Result<Self> {
        let server = Server::find(args)?;
        let address = client::address_of(&server.endpoint).with_context(|| {
            format!(
                "cannot ask {}: this command speaks plain HTTP; name http://HOST:PORT with --endpoint",
                server.endpoint
            )
        })?;
        Ok(Self { server, address })
    }

    fn page<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let host = self.address.to_string();
        let request = Request::get(path).header(HOST, host).body(Vec::new())?;
        let key = key_in_environment();
        let answer = match &key {
            Some((id, secret)) => self.signed(request, (id, secret))?,
            None if self.server.is_local => client::send(self.address, request)?,
            None => anyhow::bail!(
                "this server wants a key: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (`millpond keys create` makes one)"
            ),
        };
        anyhow::ensure!(answer.status == 200, "{}", answer.text().trim());
        serde_json::from_slice(&answer.body).context("the server answered what this version does not understand")
    }

    fn signed(&self, request: Request<Vec<u8>>, key: (&str, &str)) -> anyhow::Result<Answer> {
        let now = host::Clock::now(&host::SystemClock);
        client::send_signed(self.address, key, "elasticloadbalancing", &self.server.region, now, request)
    }

    fn load_balancers(&self) -> anyhow::Result<Vec<LoadBalancer>> {
        self.page("/_millpond/load-balancers")
    }

    fn load_balancer(&self, name: &str) -> anyhow::Result<LoadBalancer> {
        let mut all = self.load_balancers()?;
        let Some(index) = all.iter().position(|one| one.name.eq_ignore_ascii_case(name)) else {
            let names: Vec<_> = all.iter().map(|one| one.name.as_str()).collect();
            match names.is_empty() {
                true => anyhow::bail!("there is no load balancer; `millpond lb --help` shows how to make one"),
                false => anyhow::bail!("there is no load balancer {name}; there are {}", names.join(", ")),
            }
        };
        Ok(all.swap_remove(index))
    }
}

#[allow(clippy::disallowed_methods, reason = "the keys are the user's, and stand where AWS's own tools look for them")]
pub(super) fn key_in_environment() -> Option<(String, String)> {
    let value = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Some((value("AWS_ACCESS_KEY_ID")?, value("AWS_SECRET_ACCESS_KEY")?))
}

fn list(asker: &Asker) -> anyhow::Result<ExitCode> {
    let all = asker.load_balancers()?;
    if all.is_empty() {
        eprintln!("There is no load balancer; `millpond lb --help` shows how to make one.");
    }
    print!("{}", lb_status::list(&all));
    Ok(ExitCode::SUCCESS)
}

fn status(asker: &Asker, name: &str, once: bool) -> anyhow::Result<ExitCode> {
    let now = || host::Clock::now(&host::SystemClock);
    let mut out = std::io::stdout();
    let first = (asker.load_balancer(name)?, now());
    if once || !out.is_terminal() {
        write!(out, "{}", lb_status::table(&first.0, None, first.1))?;
        return Ok(ExitCode::SUCCESS);
    }
    write!(out, "{CLEAR}{}", lb_status::table(&first.0, None, first.1))?;
    let mut before = first;
    loop {
        out.flush()?;
        std::thread::sleep(REFRESH);
        let current = (asker.load_balancer(name)?, now());
        let elapsed = current.1.since(before.1);
        write!(out, "{REDRAW}{}", lb_status::table(&current.0, Some((&before.0, elapsed)), current.1))?;
        before = current;
    }
}

fn curl(args: CurlArgs) -> anyhow::Result<ExitCode> {
    let asker = Asker::find(&args.server)?;
    let load_balancer = asker.load_balancer(&args.name)?;
    let path = if args.path.starts_with('/') { args.path } else { format!("/{}", args.path) };
    let method = args.method.as_deref().unwrap_or(if args.data.is_some() { "POST" } else { "GET" });
    let mut request = Request::builder().method(method).uri(&path).header(HOST, &load_balancer.dns_name);
    request = request.header("user-agent", concat!("millpond/", env!("CARGO_PKG_VERSION"))).header("accept", "*/*");
    let mut request = request
        .body(args.data.unwrap_or_default().into_bytes())
        .with_context(|| format!("cannot send {method} {path}"))?;
    for header in &args.headers {
        let (name, value) = read_header(header)?;
        request.headers_mut().insert(name, value);
    }
    let answer = client::send(asker.address, request)?;
    let mut out = std::io::stdout().lock();
    if args.include {
        write!(out, "{}\r\n\r\n", answer.head)?;
    }
    out.write_all(&answer.body)?;
    Ok(ExitCode::SUCCESS)
}

fn read_header(text: &str) -> anyhow::Result<(HeaderName, HeaderValue)> {
    let read = || {
        let (name, value) = text.split_once(':')?;
        Some((name.trim().parse().ok()?, value.trim().parse().ok()?))
    };
    read().with_context(|| format!("cannot send the header {text:?}: write it as 'Name: value'"))
}

/// A line of the page `/_millpond/usage`.
#[derive(Debug, Deserialize)]
struct UsageLine {
    day_s: u64,
    region: String,
    load_balancer: String,
    hours: u32,
    gigabytes: f64,
}

fn usage(asker: &Asker) -> anyhow::Result<ExitCode> {
    let lines: Vec<UsageLine> = asker.page("/_millpond/usage")?;
    if lines.is_empty() {
        eprintln!("No load balancer was used yet.");
        return Ok(ExitCode::SUCCESS);
    }
    println!("{:<10}  {:<14}  {:<32}  {:>8}  {:>12}", "DAY", "REGION", "LOAD BALANCER", "LB HOURS", "GB");
    for UsageLine { day_s, region, load_balancer, hours, gigabytes } in &lines {
        let day = keys::date(host::Timestamp::from_secs(*day_s));
        println!("{day:<10}  {region:<14}  {load_balancer:<32}  {hours:>8}  {gigabytes:>12.6}");
    }
    let hours: u64 = lines.iter().map(|line| u64::from(line.hours)).sum();
    let gigabytes: f64 = lines.iter().map(|line| line.gigabytes).sum();
    println!("{:<10}  {:<14}  {:<32}  {hours:>8}  {gigabytes:>12.6}", "all", "", "");
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_a_name_and_a_value() {
        let (name, value) = read_header("X-Mine:  a: b ").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("x-mine", "a: b"));
        for wrong in ["no colon", "bad name: x", ": x"] {
            assert!(read_header(wrong).unwrap_err().to_string().contains("'Name: value'"), "{wrong}");
        }
    }
}
