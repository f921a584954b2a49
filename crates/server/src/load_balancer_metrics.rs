//! What `GET /metrics` tells of load balancers: CloudWatch's metrics under CloudWatch's names.
//!
//! Invariants:
//! - One series for each metric, load balancer and zone.
//! - A counter's name ends in `_total`, as Prometheus wants it; nothing else is added to CloudWatch's name.

use std::collections::HashMap;

use balancer::{Balancer, LoadBalancerId, NodeStats};

use crate::metrics::Text;

/// Whose a load balancer is, and in which region.
type Owners = HashMap<LoadBalancerId, (String, String)>;

/// Quantiles of the latency that are told.
const QUANTILES: [(&str, f64); 4] = [("0.5", 0.5), ("0.9", 0.9), ("0.99", 0.99), ("0.999", 0.999)];

/// Writes the numbers of all nodes, and those of the balancer as a whole.
pub fn write(text: &mut Text, balancer: &Balancer, owners: &Owners) {
    write_nodes(text, &balancer.stats(), owners);
    let spool = balancer.records().stats();
    text.one(
        "millpond_elb_access_records_total",
        "counter",
        "Access records written to disk, to be published.",
        spool.records_written,
    );
    text.one(
        "millpond_elb_access_records_lost_total",
        "counter",
        "Access records lost: the disk failed or was too slow, or too much waited.",
        spool.records_dropped,
    );
    text.one("millpond_elb_access_record_bytes", "gauge", "Bytes of records that wait on disk.", spool.bytes);
    text.one(
        "millpond_elb_panics_total",
        "counter",
        "Connections that ended by a panic; each is a bug.",
        balancer.panics(),
    );
}

fn write_nodes(text: &mut Text, nodes: &[NodeStats], owners: &Owners) {
    let nodes: Vec<(&NodeStats, [(&str, &str); 4])> = nodes
        .iter()
        .filter_map(|node| {
            let (account, region) = owners.get(&node.load_balancer)?;
            let labels = [
                ("account", account.as_str()),
                ("region", region.as_str()),
                ("load_balancer", &*node.load_balancer_name),
                ("zone", &*node.zone),
            ];
            Some((node, labels))
        })
        .collect();
    let readings: Vec<_> = nodes.iter().map(|(node, labels)| (node.cloudwatch(), labels)).collect();
    for (index, metric) in readings.first().map(|(metrics, _)| metrics).into_iter().flatten().enumerate() {
        let (suffix, kind) = if metric.is_counter { ("_total", "counter") } else { ("", "gauge") };
        let name = format!("millpond_elb_{}{suffix}", metric.name);
        text.family(&name, kind, &format!("CloudWatch's {}, since the node began.", metric.name));
        for (metrics, labels) in &readings {
            text.sample(&name, *labels, metrics[index].value);
        }
    }
    if nodes.is_empty() {
        return;
    }
    let name = "millpond_elb_Latency_seconds";
    text.family(name, "summary", "CloudWatch's Latency: from sending to the answer's first byte; for TCP, to connect.");
    for (node, labels) in &nodes {
        let [account, region, load_balancer, zone] = *labels;
        for (quantile, part) in QUANTILES {
            let labels = [account, region, load_balancer, zone, ("quantile", quantile)];
            let latency = node.latency.quantile(part).filter(|_| node.latency.count() > 0);
            text.sample(name, &labels, latency.map_or(f64::NAN, |latency| latency.as_secs_f64()));
        }
        text.sample(&format!("{name}_sum"), labels, node.latency.sum().as_secs_f64());
        text.sample(&format!("{name}_count"), labels, node.latency.count());
    }
}
