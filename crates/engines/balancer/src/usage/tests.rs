//! What load balancers were used for, hour by hour.

use std::time::Duration;

use super::*;

const MIDNIGHT: Timestamp = Timestamp(20_000 * 86_400_000);

fn node(load_balancer: u64, zone: &str, processed_bytes: u64) -> NodeStats {
    NodeStats { processed_bytes, ..NodeStats::nothing(LoadBalancerId(load_balancer), "web".into(), zone.into()) }
}

fn after_minutes(minutes: u64) -> Timestamp {
    MIDNIGHT.plus(Duration::from_secs(60 * minutes))
}

fn figures(report: &UsageReport) -> Vec<(u64, u64, u32, u64)> {
    report.lines().map(|line| (day(line.day) - 20_000, line.load_balancer.0, line.hours(), line.bytes)).collect()
}

#[test]
fn a_load_balancer_is_charged_for_each_hour_that_it_began() {
    let mut report = UsageReport::default();
    for minute in (50..130).step_by(5) {
        report.observe(&[node(1, "a", 0), node(1, "b", 0)], after_minutes(minute));
    }
    // From 00:50 to 02:05 there are three hours, of one load balancer with two nodes.
    assert_eq!(figures(&report), [(0, 1, 3, 0)]);
}

#[test]
fn bytes_of_all_nodes_add_up_and_are_counted_once() {
    let mut report = UsageReport::default();
    report.observe(&[node(1, "a", 100), node(1, "b", 7)], after_minutes(1));
    report.observe(&[node(1, "a", 150), node(1, "b", 7), node(2, "a", 5)], after_minutes(2));
    report.observe(&[node(1, "a", 150), node(1, "b", 8), node(2, "a", 5)], after_minutes(3));
    assert_eq!(figures(&report), [(0, 1, 1, 158), (0, 2, 1, 5)]);
}

#[test]
fn a_counter_that_began_anew_counts_from_nothing() {
    let mut report = UsageReport::default();
    report.observe(&[node(1, "a", 100)], after_minutes(1));
    report.observe(&[node(1, "a", 30)], after_minutes(2));
    report.observe(&[], after_minutes(3));
    report.observe(&[node(1, "a", 40)], after_minutes(4));
    assert_eq!(figures(&report), [(0, 1, 1, 170)]);
}

#[test]
fn a_report_goes_on_after_a_restart() {
    let mut before = UsageReport::default();
    before.observe(&[node(1, "a", 100)], after_minutes(10));
    let mut after = UsageReport::new(before.lines().cloned());
    // The same hour is not charged twice, and the new process counts from 0.
    after.observe(&[node(1, "a", 20)], after_minutes(20));
    assert_eq!(figures(&after), [(0, 1, 1, 120)]);
}

#[test]
fn days_are_apart_and_old_ones_are_forgotten() {
    let mut report = UsageReport::default();
    for days in 0..200 {
        report.observe(&[node(1, "a", 10 * (days + 1))], after_minutes(days * 24 * 60));
    }
    let figures = figures(&report);
    assert_eq!(figures.len() as u64, DAYS_MAX + 1);
    assert_eq!(figures.last(), Some(&(199, 1, 1, 10)));
}

#[test]
fn a_gigabyte_is_2_to_the_30() {
    let line = UsageLine {
        day: MIDNIGHT,
        load_balancer: LoadBalancerId(1),
        name: "web".into(),
        hours_seen: 0b1011,
        bytes: 3 << 29,
    };
    assert_eq!((line.hours(), line.gigabytes()), (3, 1.5));
}
