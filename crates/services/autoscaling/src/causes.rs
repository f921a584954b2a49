//! The sentences of activities, in AWS's words.
//!
//! Invariant: nothing else says what happened to a group; times are UTC, whole seconds, as AWS writes them.
//!
//! All were seen in answers of AWS or stand in its documentation, but for those of zones and lifetimes.

use host::Timestamp;
use jiff::tz::TimeZone;

/// Ends the launch of an instance in place of one that failed.
pub(crate) const UNHEALTHY: &str = "an unhealthy instance needing to be replaced";
/// Ends the launch of an instance for a refresh.
pub(crate) const REFRESH: &str = "an instance refresh";
/// Ends the launch of an instance in place of one that was too old.
pub(crate) const LIFETIME: &str = "an instance having reached its maximum lifetime";

/// Why an instance was taken out: EC2 no longer runs it.
pub(crate) const NOT_RUNNING: &str = "an EC2 health check indicating it has been terminated or stopped";
/// Why an instance was taken out: its load balancer does not want it.
pub(crate) const NOT_BALANCED: &str = "an ELB system health check failure";
/// Why an instance was taken out: a user says it is ill.
pub(crate) const USER_SAYS_SO: &str = "a user health-check";

/// `2014-06-01T12:00:00Z`.
pub(crate) fn time(at: Timestamp) -> String {
    let seconds = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
    let moment = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    moment.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A sentence with its time in front.
pub(crate) fn at(now: Timestamp, sentence: &str) -> String {
    format!("At {} {sentence}", time(now))
}

/// The end of a sentence about the desired capacity.
fn changing(from: i32, to: i32) -> String {
    if from == to { ".".to_owned() } else { format!(" changing the desired capacity from {from} to {to}.") }
}

/// CreateAutoScalingGroup.
pub(crate) fn created(now: Timestamp, desired: i32) -> String {
    at(now, &format!("a user request created an AutoScalingGroup{}", changing(0, desired)))
}

/// UpdateAutoScalingGroup; `who` is a user or a schedule.
pub(crate) fn constrained(now: Timestamp, who: &str, sizes: (i32, i32, i32), from: i32) -> String {
    let (min, max, desired) = sizes;
    let change = changing(from, desired);
    at(
        now,
        &format!("{who} update of AutoScalingGroup constraints to min: {min}, max: {max}, desired: {desired}{change}"),
    )
}

/// SetDesiredCapacity.
pub(crate) fn set(now: Timestamp, from: i32, to: i32) -> String {
    at(now, &format!("a user request explicitly set group desired capacity{}", changing(from, to)))
}

/// ExecutePolicy.
pub(crate) fn executed(now: Timestamp, policy: &str, from: i32, to: i32) -> String {
    at(now, &format!("a user request executed policy {policy}{}", changing(from, to)))
}

/// Capacity was missing.
pub(crate) fn started(now: Timestamp, from: usize, to: usize) -> String {
    at(
        now,
        &format!(
            "an instance was started in response to a difference between desired and actual capacity, increasing the \
             capacity from {from} to {to}."
        ),
    )
}

/// An instance takes another's place.
pub(crate) fn launched(now: Timestamp, why: &str) -> String {
    at(now, &format!("an instance was launched in response to {why}."))
}

/// Zones had come out of balance.
pub(crate) fn balancing(now: Timestamp, zones: &[(String, usize)]) -> String {
    let names: Vec<_> = zones.iter().map(|(zone, _)| zone.as_str()).collect();
    let counts: Vec<_> = zones.iter().map(|(_, count)| count.to_string()).collect();
    at(
        now,
        &format!(
            "availability zones {} had {} instances respectively.  An instance was launched to aid in balancing the \
             group's zones.",
            names.join(" "),
            counts.join(" ")
        ),
    )
}

/// There was more than enough capacity.
pub(crate) fn shrunk(now: Timestamp, from: usize, to: usize, id: &str) -> String {
    let first = at(
        now,
        &format!(
            "an instance was taken out of service in response to a difference between desired and actual capacity, \
             shrinking the capacity from {from} to {to}."
        ),
    );
    format!("{first}  {}", selected(now, id))
}

fn selected(now: Timestamp, id: &str) -> String {
    at(now, &format!("instance {id} was selected for termination."))
}

/// An instance was not well, or its time had come.
pub(crate) fn taken_out(now: Timestamp, why: &str) -> String {
    at(now, &format!("an instance was taken out of service in response to {why}."))
}

/// A refresh wants an instance's place.
pub(crate) fn refreshed(now: Timestamp, id: &str) -> String {
    format!("{}  {}", taken_out(now, REFRESH), selected(now, id))
}

/// The group goes.
pub(crate) fn deleted(now: Timestamp) -> String {
    at(now, "an instance was taken out of service in response to a user request deleting the AutoScalingGroup.")
}

/// What a user did to an instance: `detached`, `moved to standby`, `taken out of service`.
pub(crate) fn user_moved(now: Timestamp, id: &str, verb: &str, sizes: Option<(i32, i32)>) -> String {
    let change = match sizes {
        None => ".".to_owned(),
        Some((from, to)) if to < from => format!(", shrinking the capacity from {from} to {to}."),
        Some((from, to)) => format!(", increasing the capacity from {from} to {to}."),
    };
    at(now, &format!("instance {id} was {verb} in response to a user request{change}"))
}

/// A user brought an instance.
pub(crate) fn attached(now: Timestamp, from: i32, to: i32) -> String {
    at(
        now,
        &format!(
            "an instance was attached in response to a user request, increasing the capacity from {from} to {to}."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_aws_sentences() {
        let now = Timestamp::from_secs(1_402_700_400);
        assert_eq!(
            created(now, 2),
            "At 2014-06-13T23:00:00Z a user request created an AutoScalingGroup changing the desired capacity from 0 to 2."
        );
        assert_eq!(
            constrained(now, "a user request", (1, 3, 2), 2),
            "At 2014-06-13T23:00:00Z a user request update of AutoScalingGroup constraints to min: 1, max: 3, desired: 2."
        );
        assert_eq!(
            user_moved(now, "i-1", "detached", Some((4, 3))),
            "At 2014-06-13T23:00:00Z instance i-1 was detached in response to a user request, shrinking the capacity \
             from 4 to 3."
        );
    }
}
