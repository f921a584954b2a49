//! Which metrics of a group are to be collected.
//!
//! Invariant: what is enabled is remembered and shown. Nobody collects yet: there is no CloudWatch to collect for.

use ::api::Call;
use ::api::autoscaling::*;
use wire::ApiError;

use crate::errors;
use crate::rows::GroupRow;
use crate::service::Autoscaling;

const GRANULARITY: &str = "1Minute";
const METRICS: [&str; 21] = [
    "GroupMinSize",
    "GroupMaxSize",
    "GroupDesiredCapacity",
    "GroupInServiceInstances",
    "GroupPendingInstances",
    "GroupStandbyInstances",
    "GroupTerminatingInstances",
    "GroupTotalInstances",
    "GroupInServiceCapacity",
    "GroupPendingCapacity",
    "GroupStandbyCapacity",
    "GroupTerminatingCapacity",
    "GroupTotalCapacity",
    "WarmPoolDesiredCapacity",
    "WarmPoolWarmedCapacity",
    "WarmPoolPendingCapacity",
    "WarmPoolTerminatingCapacity",
    "WarmPoolTotalCapacity",
    "GroupAndWarmPoolDesiredCapacity",
    "GroupAndWarmPoolTotalCapacity",
    "WarmPoolMinSize",
];

fn named(names: Vec<String>) -> Result<Vec<String>, ApiError> {
    if names.is_empty() {
        return Ok(METRICS.map(str::to_owned).to_vec());
    }
    match names.iter().find(|name| !METRICS.contains(&name.as_str())) {
        Some(unknown) => Err(errors::metric_unknown(unknown)),
        None => Ok(names),
    }
}

/// A group's metrics as clients see them.
pub(crate) fn enabled(row: &GroupRow) -> Vec<EnabledMetric> {
    let metric =
        |name: &String| EnabledMetric { granularity: Some(GRANULARITY.to_owned()), metric: Some(name.clone()) };
    row.metrics.iter().map(metric).collect()
}

impl Autoscaling {
    pub(crate) async fn enable_metrics(
        &self,
        call: &Call,
        input: EnableMetricsCollectionInput,
    ) -> Result<(), ApiError> {
        if input.granularity != GRANULARITY {
            return Err(errors::granularity_unknown(&input.granularity));
        }
        let names = named(input.metrics)?;
        self.change(call, &input.auto_scaling_group_name, move |draft| {
            draft.row.metrics.extend(names);
            Ok(())
        })
        .await
    }

    pub(crate) async fn disable_metrics(
        &self,
        call: &Call,
        input: DisableMetricsCollectionInput,
    ) -> Result<(), ApiError> {
        let names = named(input.metrics)?;
        self.change(call, &input.auto_scaling_group_name, move |draft| {
            draft.row.metrics.retain(|name| !names.contains(name));
            Ok(())
        })
        .await
    }
}

/// DescribeMetricCollectionTypes.
pub(crate) fn types() -> DescribeMetricCollectionTypesOutput {
    DescribeMetricCollectionTypesOutput {
        granularities: vec![MetricGranularityType { granularity: Some(GRANULARITY.to_owned()) }],
        metrics: METRICS.iter().map(|name| MetricCollectionType { metric: Some((*name).to_owned()) }).collect(),
    }
}
