//! The operations: thin, each a look or one transaction.
//!
//! Invariant: a change and its note for those who watch are one transaction.

use std::sync::Weak;

use api::Call;
use api::ec2::*;
use async_trait::async_trait;
use store::{Transaction, View};
use wire::ApiError;

use crate::errors::Refusal;
use crate::place::{Layout, Place};
use crate::rows::touch;
use crate::rules::{self, Legacy};
use crate::service::Inner;
use crate::{Ec2, instances, network, security_groups, tags};

impl Ec2 {
    /// Looks at one moment of the rows.
    async fn look<R: Send + 'static>(
        &self,
        look: impl FnOnce(&View<'_>, &Layout) -> Result<R, Refusal> + Send + 'static,
    ) -> Result<R, ApiError> {
        let this = self.clone();
        Ok(self.inner.store.read_async(move |view| look(view, &this.inner.layout)).await?)
    }

    /// Changes rows in one transaction.
    async fn change<R: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Transaction<'_>, &Inner) -> Result<R, Refusal> + Send + 'static,
    ) -> Result<R, ApiError> {
        let this = self.clone();
        let written = self.inner.store.write_async(move |tx| {
            let answer = change(tx, &this.inner)?;
            touch(tx)?;
            Ok::<_, Refusal>(answer)
        });
        Ok(written.await?)
    }

    /// Whether somebody outside uses a group.
    async fn is_in_use(&self, place: &Place, group_id: &str) -> Result<bool, ApiError> {
        let users = self.inner.group_users.read().as_ref().and_then(Weak::upgrade);
        match users {
            Some(users) => users.uses_group(&place.account, &place.region, group_id).await,
            None => Ok(false),
        }
    }
}

#[async_trait]
impl api::ec2::Ec2 for Ec2 {
    async fn describe_instances(
        &self,
        call: &Call,
        input: DescribeInstancesInput,
    ) -> Result<DescribeInstancesOutput, ApiError> {
        let place = Self::enter(call, input.dry_run)?;
        self.look(move |view, layout| instances::describe(view, layout, &place, input)).await
    }

    async fn describe_instance_status(
        &self,
        call: &Call,
        input: DescribeInstanceStatusInput,
    ) -> Result<DescribeInstanceStatusOutput, ApiError> {
        let place = Self::enter(call, input.dry_run)?;
        self.look(move |view, layout| instances::describe_status(view, layout, &place, input)).await
    }

    async fn describe_regions(
        &self,
        call: &Call,
        input: DescribeRegionsInput,
    ) -> Result<DescribeRegionsOutput, ApiError> {
        Self::enter(call, input.dry_run)?;
        Ok(DescribeRegionsOutput { regions: network::regions(&self.inner.layout, call, input)? })
    }

    async fn describe_availability_zones(
        &self,
        call: &Call,
        input: DescribeAvailabilityZonesInput,
    ) -> Result<DescribeAvailabilityZonesOutput, ApiError> {
        let place = Self::enter(call, input.dry_run)?;
        let availability_zones = network::zones(&self.inner.layout, &place, input)?;
        Ok(DescribeAvailabilityZonesOutput { availability_zones })
    }

    async fn describe_vpcs(&self, call: &Call, input: DescribeVpcsInput) -> Result<DescribeVpcsOutput, ApiError> {
        let place = Self::enter(call, input.dry_run)?;
        self.look(move |view, _| network::vpcs(view, &place, input)).await
    }

    async fn describe_subnets(
        &self,
        call: &Call,
        input: DescribeSubnetsInput,
    ) -> Result<DescribeSubnetsOutput, ApiError> {
        let place = Self::enter(call, input.dry_run)?;
        self.look(move |view, layout| network::subnets(view, layout, &place, input)).await
    }

    async fn describe_account_attributes(
        &self,
        call: &Call,
        input: DescribeAccountAttributesInput,
    ) -> Result<DescribeAccountAttributesOutput, ApiError> {
        let place = Self::enter(call, input.dry_run)?;
        let account_attributes = network::account_attributes(&place, &input.attribute_names)?;
        Ok(DescribeAccountAttributesOutput { account_attributes })
    }

    async fn describe_security_groups(
        &self,
        call: &Call,
        input: DescribeSecurityGroupsInput,
    ) -> Result<DescribeSecurityGroupsOutput, ApiError> {
        let place = Self::enter(call, input.dry_run)?;
        self.look(move |view, _| security_groups::describe(view, &place, input)).await
    }

    async fn create_security_group(
        &self,
        call: &Call,
        input: CreateSecurityGroupInput,
    ) -> Result<CreateSecurityGroupOutput, ApiError> {
        let place = Self::enter(call, input.dry_run)?;
        let id = self.new_id("sg");
        let output = CreateSecurityGroupOutput {
            group_id: Some(id.clone()),
            security_group_arn: Some(security_groups::arn(&place, &id)),
            tags: Vec::new(),
        };
        let tags = self.change(move |tx, _| security_groups::create(tx, &place, &id, input)).await?;
        Ok(CreateSecurityGroupOutput { tags, ..output })
    }

    async fn delete_security_group(
        &self,
        call: &Call,
        input: DeleteSecurityGroupInput,
    ) -> Result<DeleteSecurityGroupOutput, ApiError> {
        let place = Self::enter(call, input.dry_run)?;
        let found = place.clone();
        let group = self
            .look(move |view, _| {
                security_groups::find(view, &found, security_groups::named(&input.group_id, &input.group_name)?)
            })
            .await?;
        if self.is_in_use(&place, &group.id).await? {
            return Err(Refusal::GroupInUse(group.id).into());
        }
        let id = group.id.clone();
        self.change(move |tx, _| security_groups::delete(tx, &place, &id)).await?;
        Ok(DeleteSecurityGroupOutput { group_id: Some(group.id), r#return: Some(true) })
    }

    async fn authorize_security_group_ingress(
        &self,
        call: &Call,
        input: AuthorizeSecurityGroupIngressInput,
    ) -> Result<AuthorizeSecurityGroupIngressOutput, ApiError> {
        let place = Self::enter(call, input.dry_run)?;
        let legacy = Legacy {
            ip_protocol: input.ip_protocol,
            from_port: input.from_port,
            to_port: input.to_port,
            cidr_ip: input.cidr_ip,
            source_group_name: input.source_security_group_name,
            source_group_owner: input.source_security_group_owner_id,
        };
        let permissions = rules::permissions(legacy, input.ip_permissions)?;
        let tags = tags::specified(input.tag_specifications, "security-group-rule")?;
        let security_group_rules = self
            .change(move |tx, inner| {
                let named = security_groups::named(&input.group_id, &input.group_name)?;
                let group = security_groups::find(tx, &place, named)?;
                let new_id = || crate::service::new_id(&*inner.ids, "sgr");
                security_groups::authorize(tx, &place, group, &permissions, &tags, new_id)
            })
            .await?;
        Ok(AuthorizeSecurityGroupIngressOutput { r#return: Some(true), security_group_rules })
    }

    async fn revoke_security_group_ingress(
        &self,
        call: &Call,
        input: RevokeSecurityGroupIngressInput,
    ) -> Result<RevokeSecurityGroupIngressOutput, ApiError> {
        let place = Self::enter(call, input.dry_run)?;
        let legacy = Legacy {
            ip_protocol: input.ip_protocol,
            from_port: input.from_port,
            to_port: input.to_port,
            cidr_ip: input.cidr_ip,
            source_group_name: input.source_security_group_name,
            source_group_owner: input.source_security_group_owner_id,
        };
        let ids = input.security_group_rule_ids;
        let permissions = if ids.is_empty() { rules::permissions(legacy, input.ip_permissions)? } else { Vec::new() };
        let (revoked_security_group_rules, unknown_ip_permissions) = self
            .change(move |tx, _| {
                let named = security_groups::named(&input.group_id, &input.group_name)?;
                let group = security_groups::find(tx, &place, named)?;
                if ids.is_empty() {
                    security_groups::revoke(tx, &place, group, permissions)
                } else {
                    security_groups::revoke_by_id(tx, &place, group, &ids)
                }
            })
            .await?;
        Ok(RevokeSecurityGroupIngressOutput {
            r#return: Some(true),
            revoked_security_group_rules,
            unknown_ip_permissions,
        })
    }

    async fn create_tags(&self, call: &Call, input: CreateTagsInput) -> Result<(), ApiError> {
        let place = Self::enter(call, input.dry_run)?;
        let checked = tags::checked(input.tags)?;
        self.change(move |tx, inner| tags::create(tx, &inner.layout, &place, &input.resources, &checked)).await
    }

    async fn delete_tags(&self, call: &Call, input: DeleteTagsInput) -> Result<(), ApiError> {
        let place = Self::enter(call, input.dry_run)?;
        self.change(move |tx, inner| tags::delete(tx, &inner.layout, &place, &input.resources, &input.tags)).await
    }

    async fn describe_tags(&self, call: &Call, input: DescribeTagsInput) -> Result<DescribeTagsOutput, ApiError> {
        let place = Self::enter(call, input.dry_run)?;
        self.look(move |view, _| tags::describe(view, &place, input)).await
    }
}
