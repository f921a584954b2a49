//! What is to be asked of EC2 and ELB for a group, asked, and written down.
//!
//! Invariants:
//! - What is asked follows from the row, which is durable; each request may be asked twice without harm. A launch bears
//!   its intent's token, so EC2 launches once.
//! - The row learns of an answer in a transaction of its own; if that is lost, the next look asks or finds again.

use std::collections::HashMap;

use ::api::Call;
use ::api::autoscaling::CreateLaunchConfigurationInput;
use ::api::ec2::*;
use ::api::elb::{DeregisterInstancesFromLoadBalancerInput, RegisterInstancesWithLoadBalancerInput};
use futures_util::StreamExt as _;
use wire::ApiError;

use crate::draft::{Draft, status};
use crate::lifecycle;
use crate::limits::{CALLS_AT_ONCE_MAX, DRAIN_MAX_MS, TERMINATE_AGAIN_MS};
use crate::processes::ADD_TO_LOAD_BALANCER;
use crate::rows::{AttachState, DrainRow, GroupRow, InstanceRow, LaunchSource, Lifecycle};
use crate::service::Autoscaling;
use crate::tags;
use crate::world::{World, is_missing};

/// EC2's code for an instance that it does not run: a machine that its operator registered.
const NOT_RUN_HERE: &str = "UnsupportedOperation";

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// RunInstances for an intent, by its token.
    Launch(String),
    /// CreateTags on an instance that was not launched here.
    Tag(String),
    /// RegisterInstancesWithLoadBalancer.
    Register { load_balancer: String, ids: Vec<String> },
    /// DeregisterInstancesFromLoadBalancer.
    Deregister { load_balancer: String, ids: Vec<String> },
    /// TerminateInstances.
    Terminate(Vec<String>),
}

/// What a group's row asks for now.
pub(crate) fn outstanding(row: &GroupRow, world: &World, now_ms: u64) -> Vec<Request> {
    let mut requests = Vec::new();
    for instance in &row.instances {
        let is_intent = instance.lifecycle == Lifecycle::Pending && instance.id.is_none();
        if is_intent && now_ms >= row.launch_after_ms {
            requests.push(Request::Launch(instance.token.clone()));
        }
        if let Some(id) = instance.id.as_ref().filter(|_| instance.untagged) {
            requests.push(Request::Tag(id.clone()));
        }
    }
    balancing(row, world, &mut requests);
    let due = |instance: &&InstanceRow| {
        instance.lifecycle == Lifecycle::TerminatingProceed
            && instance.terminate_ms.is_none_or(|asked| asked.saturating_add(TERMINATE_AGAIN_MS) <= now_ms)
    };
    let ids: Vec<String> = row.instances.iter().filter(due).filter_map(|instance| instance.id.clone()).collect();
    if !ids.is_empty() {
        requests.push(Request::Terminate(ids));
    }
    requests
}

fn balancing(row: &GroupRow, world: &World, requests: &mut Vec<Request>) {
    for balancer in &row.load_balancers {
        let name = &balancer.name;
        if balancer.state == AttachState::Removing || row.suspends(ADD_TO_LOAD_BALANCER) || world.misses(name) {
            continue;
        }
        let joins = |instance: &&InstanceRow| {
            let serves = instance.lifecycle == Lifecycle::InService && instance.unhealthy.is_none();
            (instance.lifecycle == Lifecycle::PendingProceed || serves)
                && !instance.unbalanced
                && !instance.load_balancers.contains(name)
        };
        let ids: Vec<String> = row.instances.iter().filter(joins).filter_map(|one| one.id.clone()).collect();
        if !ids.is_empty() {
            requests.push(Request::Register { load_balancer: name.clone(), ids });
        }
    }
    let mut leaving: Vec<(String, Vec<String>)> = Vec::new();
    for instance in &row.instances {
        let Some(id) = &instance.id else { continue };
        let goes =
            matches!(instance.lifecycle, Lifecycle::EnteringStandby | Lifecycle::Detaching | Lifecycle::Terminating);
        for name in &instance.load_balancers {
            let kept = row.load_balancers.iter().any(|one| one.name == *name && one.state != AttachState::Removing);
            if !goes && kept {
                continue;
            }
            match leaving.iter_mut().find(|(one, _)| one == name) {
                Some((_, ids)) => ids.push(id.clone()),
                None => leaving.push((name.clone(), vec![id.clone()])),
            }
        }
    }
    requests.extend(leaving.into_iter().map(|(load_balancer, ids)| Request::Deregister { load_balancer, ids }));
}

impl Autoscaling {
    /// Asks for all that a group's row asks for; whether anything came of it.
    pub(crate) async fn perform(&self, call: &Call, row: &GroupRow, world: &World) -> bool {
        let requests = outstanding(row, world, self.inner.clock.now().as_millis());
        let asked = futures_util::stream::iter(requests).map(|request| self.ask(call, row, request));
        asked.buffer_unordered(CALLS_AT_ONCE_MAX).fold(false, async |any, one| any || one).await
    }

    async fn ask(&self, call: &Call, row: &GroupRow, request: Request) -> bool {
        let asked = match request {
            Request::Launch(token) => self.launch(call, row, token).await,
            Request::Tag(id) => self.tag(call, row, id).await,
            Request::Register { load_balancer, ids } => self.register(call, row, load_balancer, ids).await,
            Request::Deregister { load_balancer, ids } => self.deregister(call, row, load_balancer, ids).await,
            Request::Terminate(ids) => self.terminate(call, row, ids).await,
        };
        match asked {
            Ok(changed) => changed,
            Err(error) => {
                tracing::warn!(group = row.name, %error, "a request for a group failed; it is asked again");
                false
            }
        }
    }

    async fn launch(&self, call: &Call, row: &GroupRow, token: String) -> Result<bool, ApiError> {
        let Some(instance) = row.instances.iter().find(|instance| instance.token == token) else { return Ok(false) };
        let Some(source) = &instance.source else { return Ok(false) };
        let input = match source {
            LaunchSource::Template { .. } => Some(from_template(row, instance, source)),
            LaunchSource::Configuration { name, .. } => {
                let found = self.configuration(&row.account, &row.region, name).await?;
                found.map(|(configuration, _)| from_configuration(row, instance, configuration))
            }
        };
        let launched = match input {
            Some(input) => self
                .inner
                .ec2
                .run_instances(call, input)
                .await
                .map(|run| run.instances.into_iter().find_map(|instance| instance.instance_id)),
            None => Err(crate::errors::launch_configuration_gone(source)),
        };
        let source = self.resolved(call, source).await;
        let note = move |draft: &mut Draft| {
            let Some(index) = draft.index_of(&token) else { return Ok(()) };
            match launched {
                Ok(Some(id)) => {
                    draft.row.instances[index].source = Some(source);
                    lifecycle::launched(draft, index, id);
                }
                // An answer without an instance, or a fault of EC2's: whether it launched, the next look finds out.
                Ok(None) => draft.strike(0),
                Err(error) if error.status >= 500 => {
                    tracing::warn!(group = draft.row.name, %error, "EC2 fails to launch; it is asked again");
                    draft.strike(0);
                }
                Err(error) => refuse(draft, index, &error),
            }
            Ok(())
        };
        Ok(self.edit(row.key(), note).await?.is_some())
    }

    async fn tag(&self, call: &Call, row: &GroupRow, id: String) -> Result<bool, ApiError> {
        let tags = tags::for_instance(row).into_iter().filter(|tag| tag.key.as_deref() == Some(tags::GROUP_TAG));
        let input = CreateTagsInput { resources: vec![id.clone()], tags: tags.collect(), ..Default::default() };
        self.inner.ec2.create_tags(call, input).await?;
        let note = move |draft: &mut Draft| {
            for instance in draft.row.instances.iter_mut().filter(|one| one.id.as_ref() == Some(&id)) {
                instance.untagged = false;
            }
            Ok(())
        };
        Ok(self.edit(row.key(), note).await?.is_some())
    }

    async fn register(&self, call: &Call, row: &GroupRow, name: String, ids: Vec<String>) -> Result<bool, ApiError> {
        let input = RegisterInstancesWithLoadBalancerInput { load_balancer_name: name.clone(), instances: named(&ids) };
        self.inner.elb.register_instances_with_load_balancer(call, input).await?;
        let note = move |draft: &mut Draft| {
            for instance in
                draft.row.instances.iter_mut().filter(|one| one.id.as_ref().is_some_and(|id| ids.contains(id)))
            {
                instance.drains.retain(|drain| drain.load_balancer != name);
                if !instance.load_balancers.contains(&name) {
                    instance.load_balancers.push(name.clone());
                }
            }
            Ok(())
        };
        Ok(self.edit(row.key(), note).await?.is_some())
    }

    async fn deregister(&self, call: &Call, row: &GroupRow, name: String, ids: Vec<String>) -> Result<bool, ApiError> {
        let input =
            DeregisterInstancesFromLoadBalancerInput { load_balancer_name: name.clone(), instances: named(&ids) };
        match self.inner.elb.deregister_instances_from_load_balancer(call, input).await {
            Ok(_) => {}
            // There is nothing left to be taken away from.
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error),
        }
        let note = move |draft: &mut Draft| {
            let deadline_ms = draft.now_ms().saturating_add(DRAIN_MAX_MS);
            for instance in
                draft.row.instances.iter_mut().filter(|one| one.id.as_ref().is_some_and(|id| ids.contains(id)))
            {
                let had = instance.load_balancers.len();
                instance.load_balancers.retain(|one| *one != name);
                if instance.load_balancers.len() < had {
                    instance.drains.push(DrainRow { load_balancer: name.clone(), deadline_ms });
                }
            }
            Ok(())
        };
        Ok(self.edit(row.key(), note).await?.is_some())
    }

    async fn terminate(&self, call: &Call, row: &GroupRow, ids: Vec<String>) -> Result<bool, ApiError> {
        let mut refused = HashMap::new();
        let input = TerminateInstancesInput { instance_ids: ids.clone(), ..Default::default() };
        match self.inner.ec2.terminate_instances(call, input).await {
            Ok(_) => {}
            Err(error) if error.status >= 500 => return Err(error),
            // One that EC2 does not end must not keep the others alive.
            Err(_) => {
                for id in &ids {
                    let input = TerminateInstancesInput { instance_ids: vec![id.clone()], ..Default::default() };
                    if let Err(error) = self.inner.ec2.terminate_instances(call, input).await {
                        refused.insert(id.clone(), error);
                    }
                }
            }
        }
        let note = move |draft: &mut Draft| {
            for id in &ids {
                let Some(index) = draft.row.instances.iter().position(|one| one.id.as_ref() == Some(id)) else {
                    continue;
                };
                draft.row.instances[index].terminate_ms = Some(draft.now.as_millis());
                if let Some(error) = refused.get(id) {
                    not_ended(draft, index, error);
                }
            }
            Ok(())
        };
        Ok(self.edit(row.key(), note).await?.is_some())
    }
}

/// EC2 does not end an instance: one that it only knows by name goes its own way, any other is tried again.
fn not_ended(draft: &mut Draft, index: usize, error: &ApiError) {
    let instance = &mut draft.row.instances[index];
    tracing::warn!(group = draft.row.name, instance = instance.id, %error, "EC2 does not end an instance");
    if error.code == NOT_RUN_HERE {
        draft.end_of(index, status::FAILED, Some(error.message.clone()));
        draft.remove(index);
    } else if let Some(activity) = &mut instance.activity {
        activity.message = Some(error.message.clone());
    }
}

/// EC2 refuses to launch: the intent is given up, the next one waits.
fn refuse(draft: &mut Draft, index: usize, error: &ApiError) {
    tracing::warn!(group = draft.row.name, %error, "EC2 refuses to launch");
    let message = format!("{} Launching EC2 instance failed.", error.message);
    if let Some(activity) = &mut draft.row.instances[index].activity {
        activity.description = format!("Launching a new EC2 instance.  Status Reason: {message}");
    }
    draft.end_of(index, status::FAILED, Some(message));
    let instance = draft.remove(index);
    draft.row.failed_zone = Some(instance.zone);
    draft.strike(0);
}

fn named(ids: &[String]) -> Vec<::api::elb::Instance> {
    ids.iter().map(|id| ::api::elb::Instance { instance_id: Some(id.clone()) }).collect()
}

fn common(row: &GroupRow, instance: &InstanceRow) -> RunInstancesInput {
    let tags = TagSpecification { resource_type: Some("instance".to_owned()), tags: tags::for_instance(row) };
    RunInstancesInput {
        client_token: Some(instance.token.clone()),
        min_count: 1,
        max_count: 1,
        tag_specifications: vec![tags],
        subnet_id: instance.subnet.clone(),
        placement: instance
            .subnet
            .is_none()
            .then(|| Placement { availability_zone: Some(instance.zone.clone()), ..Default::default() }),
        ..Default::default()
    }
}

fn from_template(row: &GroupRow, instance: &InstanceRow, source: &LaunchSource) -> RunInstancesInput {
    let specification = match source {
        LaunchSource::Template { id, version, .. } => Some(LaunchTemplateSpecification {
            launch_template_id: Some(id.clone()),
            version: Some(version.clone()),
            ..Default::default()
        }),
        LaunchSource::Configuration { .. } => None,
    };
    RunInstancesInput { launch_template: specification, ..common(row, instance) }
}

fn from_configuration(
    row: &GroupRow,
    instance: &InstanceRow,
    given: CreateLaunchConfigurationInput,
) -> RunInstancesInput {
    let text = |given: Option<String>| given.filter(|text| !text.is_empty());
    let (ids, names): (Vec<_>, Vec<_>) = given.security_groups.into_iter().partition(|group| group.starts_with("sg-"));
    let profile = text(given.iam_instance_profile).map(|profile| match profile.starts_with("arn:") {
        true => IamInstanceProfileSpecification { arn: Some(profile), ..Default::default() },
        false => IamInstanceProfileSpecification { name: Some(profile), ..Default::default() },
    });
    let mut input = RunInstancesInput {
        image_id: given.image_id,
        instance_type: given.instance_type,
        key_name: text(given.key_name),
        user_data: text(given.user_data),
        kernel_id: text(given.kernel_id),
        ramdisk_id: text(given.ramdisk_id),
        ebs_optimized: given.ebs_optimized,
        iam_instance_profile: profile,
        security_groups: names,
        monitoring: given
            .instance_monitoring
            .and_then(|monitoring| monitoring.enabled)
            .map(|enabled| RunInstancesMonitoringEnabled { enabled, ..Default::default() }),
        metadata_options: given.metadata_options.map(|options| InstanceMetadataOptionsRequest {
            http_endpoint: options.http_endpoint,
            http_put_response_hop_limit: options.http_put_response_hop_limit,
            http_tokens: options.http_tokens,
            ..Default::default()
        }),
        block_device_mappings: given.block_device_mappings.into_iter().map(device).collect(),
        ..common(row, instance)
    };
    // A public address can only be asked for on an interface, and then the groups and the subnet are the interface's.
    match given.associate_public_ip_address {
        Some(associate) => {
            input.network_interfaces = vec![InstanceNetworkInterfaceSpecification {
                device_index: Some(0),
                associate_public_ip_address: Some(associate),
                delete_on_termination: Some(true),
                subnet_id: input.subnet_id.take(),
                groups: ids,
                ..Default::default()
            }];
        }
        None => input.security_group_ids = ids,
    }
    input
}

fn device(mapping: ::api::autoscaling::BlockDeviceMapping) -> BlockDeviceMapping {
    BlockDeviceMapping {
        device_name: Some(mapping.device_name),
        virtual_name: mapping.virtual_name,
        no_device: (mapping.no_device == Some(true)).then(String::new),
        ebs: mapping.ebs.map(|ebs| EbsBlockDevice {
            delete_on_termination: ebs.delete_on_termination,
            encrypted: ebs.encrypted,
            iops: ebs.iops,
            snapshot_id: ebs.snapshot_id,
            throughput: ebs.throughput,
            volume_size: ebs.volume_size,
            volume_type: ebs.volume_type,
            ..Default::default()
        }),
    }
}
