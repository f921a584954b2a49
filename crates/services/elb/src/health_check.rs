//! Health checks: the target's grammar and the ranges of its numbers.
//!
//! Invariant: a health check that is kept can be carried out as it stands.

use ::api::Call;
use ::api::elb::{ConfigureHealthCheckInput, ConfigureHealthCheckOutput, HealthCheck};
use wire::ApiError;

use crate::describe;
use crate::errors;
use crate::limits::HEALTH_CHECK_PATH_BYTES_MAX;
use crate::rows::{HealthCheckRow, LoadBalancerRow, Protocol};
use crate::service::Elb;

impl Elb {
    pub(crate) async fn configure_health(
        &self,
        call: &Call,
        input: ConfigureHealthCheckInput,
    ) -> Result<ConfigureHealthCheckOutput, ApiError> {
        let mut draft = self.draft(call, &input.load_balancer_name).await?;
        draft.row.health_check = check(input.health_check)?;
        let health_check = Some(describe::health_check(&draft.row.health_check));
        self.commit(call, draft).await?;
        Ok(ConfigureHealthCheckOutput { health_check })
    }
}

/// AWS's numbers, with a target to be set.
pub(crate) fn unset() -> HealthCheckRow {
    HealthCheckRow {
        target: "TCP:80".to_owned(),
        interval_s: 30,
        timeout_s: 5,
        unhealthy_threshold: 2,
        healthy_threshold: 10,
    }
}

/// What a new load balancer has: that the first listener's instance port can be connected to.
pub(crate) fn default_for(row: &LoadBalancerRow) -> HealthCheckRow {
    let port = row.listeners.first().map_or(80, |listener| listener.instance_port);
    HealthCheckRow { target: format!("TCP:{port}"), ..unset() }
}

fn check(given: HealthCheck) -> Result<HealthCheckRow, ApiError> {
    let (protocol, port, path) = parse_target(&given.target)?;
    let number = |name: &str, value: i32, low: i32, high: i32| {
        let value_in_range = (low..=high).contains(&value).then_some(value.unsigned_abs());
        value_in_range.ok_or_else(|| errors::health_check_out_of_range(name, low, high))
    };
    let row = HealthCheckRow {
        target: format!("{}:{port}{path}", protocol.as_str()),
        interval_s: number("Interval", given.interval, 5, 300)?,
        timeout_s: number("Timeout", given.timeout, 2, 60)?,
        unhealthy_threshold: number("UnhealthyThreshold", given.unhealthy_threshold, 2, 10)?,
        healthy_threshold: number("HealthyThreshold", given.healthy_threshold, 2, 10)?,
    };
    if row.timeout_s >= row.interval_s { Err(errors::health_check_timeout_too_long()) } else { Ok(row) }
}

/// `TCP:port`, `SSL:port`, `HTTP:port/path` or `HTTPS:port/path`; the path is empty for the first two.
pub(crate) fn parse_target(target: &str) -> Result<(Protocol, u16, &str), ApiError> {
    let (protocol, rest) = target.split_once(':').ok_or_else(errors::health_check_protocol_unknown)?;
    let protocol = Protocol::parse(protocol).ok_or_else(errors::health_check_protocol_unknown)?;
    let (port, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    match (protocol.is_http(), path.is_empty()) {
        (true, true) => return Err(errors::health_check_path_missing(protocol.as_str())),
        (false, false) => return Err(errors::health_check_port_only(protocol.as_str())),
        _ => {}
    }
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let port = port.parse::<u16>().ok().filter(|port| digits && *port > 0);
    let port = port.ok_or_else(errors::health_check_port_out_of_range)?;
    let is_path = path.len() <= HEALTH_CHECK_PATH_BYTES_MAX && path.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if !is_path {
        return Err(errors::health_check_path_malformed());
    }
    Ok((protocol, port, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_aws_documents_them() {
        for (target, read) in [
            ("TCP:80", (Protocol::Tcp, 80, "")),
            ("ssl:443", (Protocol::Ssl, 443, "")),
            ("HTTP:80/index.html", (Protocol::Http, 80, "/index.html")),
            ("HTTPS:8443/a?b=c:d", (Protocol::Https, 8443, "/a?b=c:d")),
        ] {
            assert_eq!(parse_target(target).unwrap(), read, "{target}");
        }
    }

    #[test]
    fn targets_that_cannot_be_asked_are_refused_with_aws_s_sentences() {
        let path = format!("HTTP:80/{}", "a".repeat(HEALTH_CHECK_PATH_BYTES_MAX));
        for (target, sentence) in [
            ("HTTP:80", "HealthCheck HTTP Target must specify a port followed by a path that begins with a slash"),
            ("TCP:80/x", "HealthCheck TCP Target must specify a port and nothing else"),
            ("UDP:80", "HealthCheck Target must begin with one of HTTP, TCP, HTTPS, SSL"),
            ("", "HealthCheck Target must begin with one of HTTP, TCP, HTTPS, SSL"),
            ("TCP:0", "HealthCheck Target port must be in 1-65535 inclusive"),
            ("TCP:+80", "HealthCheck Target port must be in 1-65535 inclusive"),
            ("TCP:65536", "HealthCheck Target port must be in 1-65535 inclusive"),
            ("HTTP:80/a b", "HealthCheck Target path must be"),
            ("HTTP:80/a\r\nX: y", "HealthCheck Target path must be"),
            (path.as_str(), "HealthCheck Target path must be"),
        ] {
            let error = parse_target(target).unwrap_err();
            assert_eq!(error.code, "ValidationError");
            assert!(error.message.starts_with(sentence), "{target}: {}", error.message);
        }
    }
}
