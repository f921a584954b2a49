//! Load balancers of a group: attached, detached, described.
//!
//! Invariants:
//! - A load balancer was there when it was attached.
//! - A detached one stays `Removing` until it has let go of all instances.

use ::api::Call;
use ::api::autoscaling::*;
use wire::ApiError;

use crate::errors;
use crate::limits::{LOAD_BALANCERS_MAX, LOAD_BALANCERS_PER_CALL_MAX};
use crate::paging;
use crate::rows::{AttachState, GroupRow, LoadBalancerRow};
use crate::service::Autoscaling;

/// Attaches load balancers to a row.
pub(crate) fn attach(row: &mut GroupRow, names: Vec<String>) -> Result<(), ApiError> {
    for name in names {
        match row.load_balancers.iter_mut().find(|one| one.name == name) {
            Some(one) if one.state == AttachState::Removing => one.state = AttachState::Adding,
            Some(_) => {}
            None => row.load_balancers.push(LoadBalancerRow { name, state: AttachState::Adding }),
        }
    }
    let count = row.load_balancers.len();
    if count > LOAD_BALANCERS_MAX { Err(errors::too_many("load balancers", LOAD_BALANCERS_MAX)) } else { Ok(()) }
}

impl Autoscaling {
    /// Refuses load balancers that are not there.
    pub(crate) async fn check_load_balancers(&self, call: &Call, names: &[String]) -> Result<(), ApiError> {
        if names.is_empty() {
            return Ok(());
        }
        let input =
            ::api::elb::DescribeLoadBalancersInput { load_balancer_names: names.to_vec(), ..Default::default() };
        match self.inner.elb.describe_load_balancers(&Self::to_others(call)?, input).await {
            Ok(_) => Ok(()),
            Err(error) if error.status >= 500 => Err(errors::from_dependency("ELB", &error)),
            Err(_) => Err(errors::load_balancers_invalid()),
        }
    }

    pub(crate) async fn attach_balancers(&self, call: &Call, input: AttachLoadBalancersInput) -> Result<(), ApiError> {
        check_count(&input.load_balancer_names)?;
        self.group(call, &input.auto_scaling_group_name).await?;
        self.check_load_balancers(call, &input.load_balancer_names).await?;
        let names = input.load_balancer_names;
        self.change(call, &input.auto_scaling_group_name, move |draft| attach(&mut draft.row, names)).await
    }

    pub(crate) async fn detach_balancers(&self, call: &Call, input: DetachLoadBalancersInput) -> Result<(), ApiError> {
        check_count(&input.load_balancer_names)?;
        let names = input.load_balancer_names;
        self.change(call, &input.auto_scaling_group_name, move |draft| {
            for name in names {
                let found = draft.row.load_balancers.iter_mut().find(|one| one.name == name);
                found.ok_or_else(|| errors::load_balancer_not_attached(&name))?.state = AttachState::Removing;
            }
            Ok(())
        })
        .await
    }

    pub(crate) async fn describe_balancers(
        &self,
        call: &Call,
        input: DescribeLoadBalancersInput,
    ) -> Result<DescribeLoadBalancersOutput, ApiError> {
        let mut all = self.group(call, &input.auto_scaling_group_name).await?.load_balancers;
        all.sort_by(|a, b| a.name.cmp(&b.name));
        let key = |one: &LoadBalancerRow| one.name.clone();
        let (page, next_token) = paging::page(all, input.max_records, input.next_token.as_deref(), key)?;
        let describe = |one: LoadBalancerRow| LoadBalancerState {
            load_balancer_name: Some(one.name),
            state: Some(word(one.state).to_owned()),
        };
        Ok(DescribeLoadBalancersOutput { load_balancers: page.into_iter().map(describe).collect(), next_token })
    }
}

fn word(state: AttachState) -> &'static str {
    match state {
        AttachState::Adding => "Adding",
        AttachState::Added => "Added",
        AttachState::InService => "InService",
        AttachState::Removing => "Removing",
    }
}

fn check_count(names: &[String]) -> Result<(), ApiError> {
    if names.len() <= LOAD_BALANCERS_PER_CALL_MAX {
        Ok(())
    } else {
        Err(errors::too_many_at_once("LoadBalancerNames", LOAD_BALANCERS_PER_CALL_MAX))
    }
}
