//! Processes that a user can suspend.
//!
//! Invariant: a suspended process does nothing until it is resumed; what it stands for is asked at the moment of acting.

use ::api::Call;
use ::api::autoscaling::*;
use wire::ApiError;

use crate::errors;
use crate::service::Autoscaling;

/// All there are.
pub(crate) const PROCESSES: [&str; 9] = [
    ADD_TO_LOAD_BALANCER,
    ALARM_NOTIFICATION,
    AZ_REBALANCE,
    HEALTH_CHECK,
    INSTANCE_REFRESH,
    LAUNCH,
    REPLACE_UNHEALTHY,
    SCHEDULED_ACTIONS,
    TERMINATE,
];
pub(crate) const ADD_TO_LOAD_BALANCER: &str = "AddToLoadBalancer";
pub(crate) const ALARM_NOTIFICATION: &str = "AlarmNotification";
pub(crate) const AZ_REBALANCE: &str = "AZRebalance";
pub(crate) const HEALTH_CHECK: &str = "HealthCheck";
pub(crate) const INSTANCE_REFRESH: &str = "InstanceRefresh";
pub(crate) const LAUNCH: &str = "Launch";
pub(crate) const REPLACE_UNHEALTHY: &str = "ReplaceUnhealthy";
pub(crate) const SCHEDULED_ACTIONS: &str = "ScheduledActions";
pub(crate) const TERMINATE: &str = "Terminate";

fn named(names: Vec<String>) -> Result<Vec<String>, ApiError> {
    if names.is_empty() {
        return Ok(PROCESSES.map(str::to_owned).to_vec());
    }
    match names.iter().find(|name| !PROCESSES.contains(&name.as_str())) {
        Some(unknown) => Err(errors::process_unknown(unknown)),
        None => Ok(names),
    }
}

impl Autoscaling {
    pub(crate) async fn suspend(&self, call: &Call, input: SuspendProcessesInput) -> Result<(), ApiError> {
        let names = named(input.scaling_processes)?;
        self.change(call, &input.auto_scaling_group_name, move |draft| {
            let reason = format!("User suspended at {}", crate::causes::time(draft.now));
            for name in names {
                draft.row.suspended.entry(name).or_insert_with(|| reason.clone());
            }
            Ok(())
        })
        .await
    }

    pub(crate) async fn resume(&self, call: &Call, input: ResumeProcessesInput) -> Result<(), ApiError> {
        let names = named(input.scaling_processes)?;
        self.change(call, &input.auto_scaling_group_name, move |draft| {
            draft.row.suspended.retain(|name, _| !names.contains(name));
            Ok(())
        })
        .await
    }
}

/// DescribeScalingProcessTypes.
pub(crate) fn types() -> DescribeScalingProcessTypesOutput {
    let process = |name: &str| ProcessType { process_name: name.to_owned() };
    DescribeScalingProcessTypesOutput { processes: PROCESSES.map(process).to_vec() }
}
