//! How `millpond lb` shows load balancers: the page's JSON as tables for people.
//!
//! Invariant: pure; a table is the same for the same page and moment.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use host::Timestamp;
use serde::Deserialize;

/// A load balancer, as the page `/_millpond/load-balancers` has it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct LoadBalancer {
    pub(super) name: String,
    region: String,
    pub(super) dns_name: String,
    scheme: String,
    cross_zone: bool,
    listeners: Vec<Listener>,
    nodes: Vec<Node>,
    health_check: String,
    health_check_interval_s: u32,
    instances: Vec<Instance>,
    problems: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Listener {
    protocol: String,
    port: u16,
    instance_protocol: String,
    instance_port: u16,
}

#[derive(Clone, Debug, Deserialize)]
struct Node {
    zone: String,
    address: String,
    healthy: u64,
    unhealthy: u64,
    latency_p50_ms: Option<f64>,
    latency_p99_ms: Option<f64>,
    metrics: HashMap<String, u64>,
}

#[derive(Clone, Debug, Deserialize)]
struct Instance {
    id: String,
    address: Option<String>,
    zone: Option<String>,
    state: String,
    description: String,
    failure: Option<String>,
    since_ms: Option<u64>,
}

/// Rows in columns as wide as their widest cell.
#[derive(Default)]
struct Columns {
    rows: Vec<Vec<String>>,
}

impl Columns {
    fn titled(titles: &[&str]) -> Self {
        Self { rows: vec![titles.iter().map(|title| (*title).to_owned()).collect()] }
    }

    fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn write(&self, text: &mut String) {
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        for row in &self.rows {
            let cells: Vec<_> =
                row.iter().enumerate().map(|(column, cell)| format!("{cell:<width$}", width = width(column))).collect();
            let _ = writeln!(text, "{}", cells.join("  ").trim_end());
        }
    }
}

/// One line a load balancer.
pub(super) fn list(all: &[LoadBalancer]) -> String {
    let mut text = String::new();
    if all.is_empty() {
        return text;
    }
    let mut columns = Columns::titled(&["NAME", "REGION", "SCHEME", "LISTENERS", "IN SERVICE", "DNS NAME"]);
    for one in all {
        let in_service = one.instances.iter().filter(|instance| instance.is_in_service()).count();
        let listeners: Vec<_> = one.listeners.iter().map(|one| format!("{}:{}", one.protocol, one.port)).collect();
        columns.row([
            one.name.clone(),
            one.region.clone(),
            one.scheme.clone(),
            listeners.join(" "),
            format!("{in_service} of {}", one.instances.len()),
            one.dns_name.clone(),
        ]);
    }
    columns.write(&mut text);
    text
}

/// All of one load balancer; rates are since `before`, where that is there.
pub(super) fn table(one: &LoadBalancer, before: Option<(&LoadBalancer, Duration)>, now: Timestamp) -> String {
    let zones =
        if one.cross_zone { "each node uses the instances of all zones" } else { "each node uses its own zone's" };
    let mut text = format!("{}  {}  {}\n{zones}\n", one.name, one.scheme, one.dns_name);
    for problem in &one.problems {
        let _ = writeln!(text, "problem: {problem}");
    }
    text.push('\n');
    write_listeners(&mut text, one);
    write_nodes(&mut text, one, before);
    write_instances(&mut text, one, now);
    text
}

fn write_listeners(text: &mut String, one: &LoadBalancer) {
    let mut columns = Columns::titled(&["LISTENER", "TO INSTANCES"]);
    for Listener { protocol, port, instance_protocol, instance_port } in &one.listeners {
        columns.row([format!("{protocol} {port}"), format!("{instance_protocol} {instance_port}")]);
    }
    columns.write(text);
    let _ = writeln!(text, "checked by {} every {} s\n", one.health_check, one.health_check_interval_s);
}

fn write_nodes(text: &mut String, one: &LoadBalancer, before: Option<(&LoadBalancer, Duration)>) {
    let titles = [
        "NODE",
        "ZONE",
        "IN SERVICE",
        "REQUESTS",
        "/S",
        "P50",
        "P99",
        "4XX",
        "5XX",
        "ELB 5XX",
        "CONNECTIONS",
        "WAITING",
    ];
    let mut columns = Columns::titled(&titles);
    for node in &one.nodes {
        let earlier = before.and_then(|(before, elapsed)| Some((before.node(&node.address)?, elapsed)));
        let rate = earlier.map(|(earlier, elapsed)| {
            let requests = node.metric("RequestCount").saturating_sub(earlier.metric("RequestCount"));
            format!("{:.1}", requests as f64 / elapsed.as_secs_f64().max(0.001))
        });
        columns.row([
            node.address.clone(),
            node.zone.clone(),
            format!("{} of {}", node.healthy, node.healthy + node.unhealthy),
            node.metric("RequestCount").to_string(),
            rate.unwrap_or_else(|| "-".into()),
            milliseconds(node.latency_p50_ms),
            milliseconds(node.latency_p99_ms),
            node.metric("HTTPCode_Backend_4XX").to_string(),
            node.metric("HTTPCode_Backend_5XX").to_string(),
            node.metric("HTTPCode_ELB_5XX").to_string(),
            node.metric("EstimatedALBActiveConnectionCount").to_string(),
            node.metric("SurgeQueueLength").to_string(),
        ]);
    }
    columns.write(text);
    text.push('\n');
}

fn write_instances(text: &mut String, one: &LoadBalancer, now: Timestamp) {
    if one.instances.is_empty() {
        let _ = writeln!(
            text,
            "No instance is registered; `millpond aws elb register-instances-with-load-balancer --load-balancer-name {} \
             --instances i-…` registers one.",
            one.name
        );
        return;
    }
    let mut columns = Columns::titled(&["INSTANCE", "ADDRESS", "ZONE", "STATE", "SINCE", "WHY"]);
    for instance in &one.instances {
        columns.row([
            instance.id.clone(),
            instance.address.clone().unwrap_or_else(|| "-".into()),
            instance.zone.clone().unwrap_or_else(|| "-".into()),
            instance.state.clone(),
            instance.since_ms.map_or_else(|| "-".into(), |ms| age(now.since(Timestamp(ms)))),
            instance.why(),
        ]);
    }
    columns.write(text);
}

impl LoadBalancer {
    fn node(&self, address: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.address == address)
    }
}

impl Node {
    fn metric(&self, name: &str) -> u64 {
        self.metrics.get(name).copied().unwrap_or(0)
    }
}

impl Instance {
    fn is_in_service(&self) -> bool {
        self.state == "InService"
    }

    fn why(&self) -> String {
        match (self.description.as_str(), &self.failure) {
            ("N/A", _) => String::new(),
            (description, Some(failure)) => format!("{description} The last check: {failure}."),
            (description, None) => description.to_owned(),
        }
    }
}

fn milliseconds(value: Option<f64>) -> String {
    match value {
        None => "-".into(),
        Some(ms) if ms < 10.0 => format!("{ms:.2} ms"),
        Some(ms) => format!("{ms:.0} ms"),
    }
}

fn age(duration: Duration) -> String {
    match duration.as_secs() {
        s @ 0..60 => format!("{s} s"),
        s @ 60..3600 => format!("{} min", s / 60),
        s @ 3600..86_400 => format!("{} h", s / 3600),
        s => format!("{} d", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_balancer(requests: u64) -> LoadBalancer {
        serde_json::from_value(serde_json::json!({
            "name": "web", "region": "us-east-1", "dns_name": "web-1.us-east-1.elb.localhost", "scheme": "internal",
            "created_ms": 0, "cross_zone": false, "health_check": "HTTP:80/", "health_check_interval_s": 30,
            "listeners": [
                { "protocol": "HTTP", "port": 8080, "instance_protocol": "HTTP", "instance_port": 80 },
            ],
            "nodes": [{
                "zone": "us-east-1a", "address": "127.16.0.1", "healthy": 1, "unhealthy": 1,
                "latency_p50_ms": 1.234, "latency_p99_ms": 99.6, "metrics": { "RequestCount": requests },
            }],
            "instances": [
                { "id": "i-1", "address": "10.0.0.5", "zone": "us-east-1a", "state": "InService", "reason": "N/A",
                  "description": "N/A", "failure": null, "since_ms": 1000 },
                { "id": "i-2", "address": null, "zone": null, "state": "OutOfService", "reason": "Instance",
                  "description": "Instance has failed.", "failure": "got 404, not 200", "since_ms": 58_000 },
            ],
            "problems": ["cannot listen on 127.16.0.1:80: the address is in use"],
        }))
        .unwrap()
    }

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn a_table_tells_what_is_wrong_and_why() {
        let text = table(&load_balancer(7), None, Timestamp(61_000));
        let lines = lines(&text);
        for line in [
            "problem: cannot listen on 127.16.0.1:80: the address is in use",
            "HTTP 8080 HTTP 80",
            "checked by HTTP:80/ every 30 s",
            "127.16.0.1 us-east-1a 1 of 2 7 - 1.23 ms 100 ms 0 0 0 0 0",
            "i-1 10.0.0.5 us-east-1a InService 1 min",
            "i-2 - - OutOfService 3 s Instance has failed. The last check: got 404, not 200.",
        ] {
            assert!(lines.iter().any(|have| have == line), "{line}\nis not in\n{text}");
        }
    }

    #[test]
    fn a_rate_is_the_difference_to_the_table_before() {
        let before = load_balancer(100);
        let text = table(&load_balancer(130), Some((&before, Duration::from_secs(2))), Timestamp(61_000));
        assert!(lines(&text).iter().any(|line| line.contains("1 of 2 130 15.0 ")), "{text}");
    }

    #[test]
    fn a_list_has_a_line_for_each() {
        let text = list(&[load_balancer(0)]);
        let expected = "web us-east-1 internal HTTP:8080 1 of 2 web-1.us-east-1.elb.localhost";
        assert_eq!(lines(&text)[1], expected);
        assert_eq!(list(&[]), "");
    }
}
