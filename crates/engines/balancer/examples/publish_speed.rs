//! What publishing costs: 100 load balancers with 10 listeners each, made at once, then changed one at a time.
//!
//! `cargo run --release -p balancer --example publish_speed`

#[path = "../tests/common/mod.rs"]
mod common;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use balancer::{Config, Limits, LoadBalancer};
use common::{Lab, block_on, http_listener, load_balancer, target};
use tokio::time::Instant;

const LOAD_BALANCERS: u8 = 100;
const LISTENERS: u16 = 10;
const TARGETS: usize = 20;
const ROUNDS: u32 = 50;

fn one(number: u8) -> LoadBalancer {
    let listeners = (0..LISTENERS).map(|listener| http_listener(20_000 + listener, 9));
    let targets = (0..TARGETS).map(|target_number| target(target_number, IpAddr::from([127, 0, 0, 1])));
    let mut made = load_balancer(u64::from(number), IpAddr::from([127, 90, 0, number + 1]), listeners, targets);
    made.health_check.interval = Duration::from_secs(300);
    made
}

fn publish(lab: &Lab, load_balancers: &[Arc<LoadBalancer>]) -> Duration {
    let begun = Instant::now();
    block_on(lab.balancer.publish(Config { load_balancers: load_balancers.to_vec() })).expect("ports 20000 to 20009");
    begun.elapsed()
}

fn main() {
    let lab = Lab::with(2, Limits::default(), Vec::new());
    let mut load_balancers: Vec<Arc<LoadBalancer>> = (0..LOAD_BALANCERS).map(|number| Arc::new(one(number))).collect();
    println!("{LOAD_BALANCERS} load balancers x {LISTENERS} listeners x {TARGETS} targets, 2 workers");
    println!("all new:                     {:?}", publish(&lab, &load_balancers));
    std::thread::sleep(Duration::from_secs(2));

    let total: Duration = (0..ROUNDS).map(|_| publish(&lab, &load_balancers)).sum();
    println!("nothing changed:             {:?}", total / ROUNDS);

    let rebuilt: Vec<_> = (0..LOAD_BALANCERS).map(|number| Arc::new(one(number))).collect();
    println!("equal, but made anew:        {:?}", publish(&lab, &rebuilt));

    let change = |round: u32, change: &dyn Fn(&mut LoadBalancer)| {
        let mut changed = one(u8::try_from(round).unwrap_or(0));
        change(&mut changed);
        changed
    };
    let mut total = Duration::ZERO;
    for round in 0..ROUNDS {
        let place = round as usize;
        load_balancers[place] = Arc::new(change(round, &|changed| changed.idle_timeout = Duration::from_secs(30)));
        total += publish(&lab, &load_balancers);
    }
    println!("one load balancer changed:   {:?}", total / ROUNDS);

    let mut total = Duration::ZERO;
    for round in 0..ROUNDS {
        let place = round as usize;
        load_balancers[place] = Arc::new(change(round, &|changed| {
            changed.listeners.push(Arc::new(http_listener(21_000, 9)));
        }));
        total += publish(&lab, &load_balancers);
    }
    println!("one listener more:           {:?}", total / ROUNDS);

    let mut total = Duration::ZERO;
    for round in 0..ROUNDS {
        let place = round as usize;
        load_balancers[place] = Arc::new(one(u8::try_from(round).unwrap_or(0)));
        total += publish(&lab, &load_balancers);
    }
    println!("one listener less:           {:?} (20 ms of it let handshakes finish)", total / ROUNDS);
    load_balancers.clear();
    println!("all gone:                    {:?}", publish(&lab, &load_balancers));
}
