//! Creation policies: a resource that is there waits until it was signalled.
//!
//! Invariant: the time runs from the moment the resource was there, and goes on across a restart.

use std::time::Duration;

use serde_json::Value;

use crate::duration;
use crate::resources::failure::Failure;
use crate::resources::step::Step;

/// How long signals are waited for where the policy does not say.
const TIMEOUT: Duration = Duration::from_secs(5 * 60);

struct Policy {
    count: usize,
    needed: usize,
    percent: usize,
    timeout: Duration,
}

fn policy(written: &Value) -> Result<Option<Policy>, Failure> {
    let Some(signal) = written.get("ResourceSignal") else { return Ok(None) };
    let number = |value: &Value, otherwise: usize| match crate::template::text(value) {
        None => Ok(otherwise),
        Some(text) => text.trim().parse().map_err(|_| Failure::refused(format!("Invalid CreationPolicy value {text}"))),
    };
    let timeout = match crate::template::text(&signal["Timeout"]) {
        None => TIMEOUT,
        Some(text) => duration::parse(&text).ok_or_else(|| {
            Failure::refused(format!("Invalid CreationPolicy Timeout {text}; it is written like PT10M"))
        })?,
    };
    let count = number(&signal["Count"], 1)?;
    let percent = number(&written["AutoScalingCreationPolicy"]["MinSuccessfulInstancesPercent"], 100)?.min(100);
    Ok(Some(Policy { count, needed: (count * percent).div_ceil(100), percent, timeout }))
}

/// Waits for the signals that a policy wants.
pub(super) async fn for_signals(step: &Step, written: Option<&Value>) -> Result<(), Failure> {
    let Some(written) = written else { return Ok(()) };
    let Some(policy) = policy(written)? else { return Ok(()) };
    let since_ms = step.recorder.waiting_since().await?;
    let deadline_ms = since_ms.saturating_add(u64::try_from(policy.timeout.as_millis()).unwrap_or(u64::MAX));
    loop {
        let signals = step.tools.stacks.signals(step, &step.logical).await?;
        let succeeded = signals.iter().filter(|signal| signal.is_success).count();
        let failed = signals.len() - succeeded;
        if failed > policy.count - policy.needed {
            return Err(Failure::refused(format!(
                "Received {failed} FAILURE signal(s) out of {}. Unable to satisfy {}% MinSuccessfulInstancesPercent requirement",
                policy.count, policy.percent
            )));
        }
        if succeeded >= policy.needed && signals.len() >= policy.count {
            return Ok(());
        }
        let left = deadline_ms.saturating_sub(step.tools.clock.now().0);
        if left == 0 {
            if succeeded >= policy.needed {
                return Ok(());
            }
            let missing = policy.count.saturating_sub(signals.len());
            return Err(Failure::refused(format!(
                "Failed to receive {missing} resource signal(s) within the specified duration"
            )));
        }
        step.tools.stacks.wait_for_signals(step, Duration::from_millis(left)).await?;
    }
}
