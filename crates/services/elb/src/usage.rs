//! What load balancers were used for, day by day: hours and bytes, as AWS bills them.
//!
//! Invariants:
//! - An hour that was begun counts whole, as AWS bills it.
//! - What [`Elb::meter`] took in is durable; what has come since is lost by a crash.

use std::collections::HashMap;

use ::api::AccountId;
use balancer::{LoadBalancerId, NodeStats, UsageLine, UsageReport};
use host::Timestamp;
use serde::{Deserialize, Serialize};
use store::{Scan, StoreError, Table};

use crate::rows::{LOAD_BALANCERS, LoadBalancerRow};
use crate::service::Elb;

/// Days by the day's second and the load balancer's id.
pub(crate) const USAGE: Table<UsageRow> = Table::new("elb_usage");

/// What one load balancer was used for on one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UsageRow {
    account: String,
    region: String,
    name: String,
    /// A bit for each hour of the day.
    hours_seen: u32,
    bytes: u64,
}

/// What one load balancer was used for on one day of UTC.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Usage {
    /// When the day began, in seconds since 1970.
    pub day_s: u64,
    /// Where it stood.
    pub region: String,
    /// Its name.
    pub load_balancer: String,
    /// Load balancer hours, as AWS calls `LoadBalancerUsage`.
    pub hours: u32,
    /// Bytes both ways, as AWS calls `DataProcessing-Bytes`.
    pub bytes: u64,
    /// The same in gigabytes, by which AWS bills.
    pub gigabytes: f64,
}

fn key(line: &UsageLine) -> String {
    format!("{:012}\0{:020}", line.day.as_secs(), line.load_balancer.0)
}

fn line_of(key: &str, row: &UsageRow) -> Option<UsageLine> {
    let (day_s, id) = key.split_once('\0')?;
    Some(UsageLine {
        day: Timestamp::from_secs(day_s.parse().ok()?),
        load_balancer: LoadBalancerId(id.parse().ok()?),
        name: row.name.as_str().into(),
        hours_seen: row.hours_seen,
        bytes: row.bytes,
    })
}

impl Elb {
    /// Takes in the balancer's numbers now, durably. To be called every minute or so, and at the end.
    ///
    /// # Errors
    /// When the store fails; the next call makes up for it.
    pub async fn meter(&self, nodes: &[NodeStats]) -> Result<(), StoreError> {
        let mut report = self.inner.usage.lock().await;
        let now = self.inner.clock.now();
        let saved = self.inner.store.read_async(|view| view.scan(&USAGE, &Scan::all())).await?;
        let report = report
            .get_or_insert_with(|| UsageReport::new(saved.iter().filter_map(|row| line_of(&row.key, &row.value))));
        report.observe(nodes, now);
        let rows = self.inner.store.read_async(|view| view.scan(&LOAD_BALANCERS, &Scan::all())).await?;
        let owners: HashMap<u64, LoadBalancerRow> = rows.into_iter().map(|row| (row.value.id, row.value)).collect();
        let saved: HashMap<String, UsageRow> = saved.into_iter().map(|row| (row.key, row.value)).collect();
        let changed: Vec<(String, UsageRow)> = report
            .lines()
            .filter_map(|line| {
                let (key, before) = (key(line), saved.get(&key(line)));
                let owner =
                    owners.get(&line.load_balancer.0).map(|owner| (owner.account.clone(), owner.region.clone()));
                let (account, region) = owner.or(before.map(|row| (row.account.clone(), row.region.clone())))?;
                let name = line.name.to_string();
                let row = UsageRow { account, region, name, hours_seen: line.hours_seen, bytes: line.bytes };
                (before != Some(&row)).then_some((key, row))
            })
            .collect();
        let first = report.lines().next().map(key);
        self.inner
            .store
            .write_async(move |tx| {
                for (key, row) in &changed {
                    tx.put(&USAGE, key, row)?;
                }
                // What is too old for the report.
                let old: Vec<String> = tx.keys(&USAGE, &Scan::all())?;
                for key in old.iter().filter(|key| first.as_ref().is_some_and(|first| *key < first)) {
                    tx.delete(&USAGE, key)?;
                }
                Ok::<_, StoreError>(())
            })
            .await
    }

    /// What an account's load balancers were used for in the last three months, by day and load balancer.
    ///
    /// # Errors
    /// When rows cannot be read.
    pub async fn usage(&self, account: &AccountId) -> Result<Vec<Usage>, StoreError> {
        let rows = self.inner.store.read_async(|view| view.scan(&USAGE, &Scan::all())).await?;
        let usage = rows.into_iter().filter(|row| row.value.account == account.as_str()).filter_map(|row| {
            let line = line_of(&row.key, &row.value)?;
            Some(Usage {
                day_s: line.day.as_secs(),
                region: row.value.region,
                load_balancer: row.value.name,
                hours: line.hours(),
                bytes: line.bytes,
                gigabytes: line.gigabytes(),
            })
        });
        Ok(usage.collect())
    }
}
