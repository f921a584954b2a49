//! Launch configurations: what an instance is to be like, fixed once and for all.
//!
//! Invariants:
//! - A launch configuration never changes; one that a group uses is not deleted.
//! - What it says reaches EC2 as it was said, or was refused here.

use ::api::Call;
use ::api::autoscaling::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use store::{Row, Scan, StoreError, Transaction};
use wire::ApiError;
use wire::value::EpochMs;

use crate::draft::uuid;
use crate::errors;
use crate::limits::{LAUNCH_CONFIGURATIONS_MAX, USER_DATA_BYTES_MAX};
use crate::paging;
use crate::rows::{self, GROUPS, LAUNCH_CONFIGURATIONS, LaunchConfigurationRow, LaunchSource};
use crate::service::{Autoscaling, Refused};
use crate::stored;

/// The operation by whose schema the request is kept.
const OPERATION: &str = "CreateLaunchConfiguration";

impl Autoscaling {
    pub(crate) async fn create_configuration(
        &self,
        call: &Call,
        input: CreateLaunchConfigurationInput,
    ) -> Result<(), ApiError> {
        check(&input)?;
        let row = LaunchConfigurationRow {
            uid: uuid(&*self.inner.ids),
            created_ms: self.inner.clock.now().as_millis(),
            request: stored::write(OPERATION, &input)?,
        };
        let (account, region) = (call.account().as_str(), call.region.as_str());
        let (prefix, key) =
            (rows::prefix(account, region), rows::key(account, region, &input.launch_configuration_name));
        let insert = move |tx: &mut Transaction<'_>| {
            if tx.contains(&LAUNCH_CONFIGURATIONS, &key)? {
                return Err(Refused(errors::launch_configuration_exists(&input.launch_configuration_name)));
            }
            if tx.count(&LAUNCH_CONFIGURATIONS, &Scan::prefix(&prefix))? >= LAUNCH_CONFIGURATIONS_MAX {
                return Err(Refused(errors::too_many("launch configurations", LAUNCH_CONFIGURATIONS_MAX)));
            }
            tx.insert(&LAUNCH_CONFIGURATIONS, &key, &row)?;
            Ok(())
        };
        self.inner.store.write_async(insert).await.map_err(|Refused(error)| error)
    }

    pub(crate) async fn delete_configuration(
        &self,
        call: &Call,
        input: DeleteLaunchConfigurationInput,
    ) -> Result<(), ApiError> {
        let name = input.launch_configuration_name;
        let (account, region) = (call.account().as_str(), call.region.as_str());
        let (prefix, key) = (rows::prefix(account, region), rows::key(account, region, &name));
        let delete = move |tx: &mut Transaction<'_>| {
            for group in tx.scan(&GROUPS, &Scan::prefix(&prefix))? {
                if matches!(&group.value.source, LaunchSource::Configuration { name: used, .. } if *used == name) {
                    return Err(Refused(errors::launch_configuration_in_use(&name, &group.value.name)));
                }
            }
            if tx.delete(&LAUNCH_CONFIGURATIONS, &key)? {
                Ok(())
            } else {
                Err(Refused(errors::launch_configuration_not_found(&name)))
            }
        };
        self.inner.store.write_async(delete).await.map_err(|Refused(error)| error)
    }

    pub(crate) async fn describe_configurations(
        &self,
        call: &Call,
        input: DescribeLaunchConfigurationsInput,
    ) -> Result<DescribeLaunchConfigurationsOutput, ApiError> {
        let prefix = rows::prefix(call.account().as_str(), call.region.as_str());
        let read = self.inner.store.read_async(move |view| view.scan(&LAUNCH_CONFIGURATIONS, &Scan::prefix(&prefix)));
        let mut found = read.await.map_err(|error: StoreError| errors::from_store(&error))?;
        let names = &input.launch_configuration_names;
        found.retain(|row| names.is_empty() || names.iter().any(|name| *name == name_in(row)));
        let (page, next_token) = paging::page(found, input.max_records, input.next_token.as_deref(), name_in)?;
        let describe = |row: Row<LaunchConfigurationRow>| describe(call, &row.value);
        let launch_configurations = page.into_iter().map(describe).collect::<Result<_, _>>()?;
        Ok(DescribeLaunchConfigurationsOutput { launch_configurations, next_token })
    }

    /// A launch configuration's request and when it was made.
    pub(crate) async fn configuration(
        &self,
        account: &str,
        region: &str,
        name: &str,
    ) -> Result<Option<(CreateLaunchConfigurationInput, u64)>, ApiError> {
        let key = rows::key(account, region, name);
        let read = self.inner.store.read_async(move |view| view.get(&LAUNCH_CONFIGURATIONS, &key));
        let row = read.await.map_err(|error: StoreError| errors::from_store(&error))?;
        row.map(|row| Ok((stored::read(OPERATION, &row.value.request)?, row.value.created_ms))).transpose()
    }
}

fn name_in(row: &Row<LaunchConfigurationRow>) -> String {
    row.key.rsplit('\0').next().unwrap_or_default().to_owned()
}

fn check(input: &CreateLaunchConfigurationInput) -> Result<(), ApiError> {
    if input.instance_id.is_some() {
        return Err(errors::not_supported("InstanceId (a launch configuration made from an instance)"));
    }
    if input.classic_link_vpc_id.is_some() || !input.classic_link_vpc_security_groups.is_empty() {
        return Err(errors::not_supported("ClassicLink"));
    }
    if let Some(price) = &input.spot_price {
        return Err(errors::value_not_supported("SpotPrice", price));
    }
    if let Some(tenancy) = input.placement_tenancy.as_ref().filter(|tenancy| *tenancy != "default") {
        return Err(errors::value_not_supported("PlacementTenancy", tenancy));
    }
    // AWS takes both as long as one is there: an instance that is to be like another one; here there is no such one.
    if input.image_id.as_ref().is_none_or(String::is_empty) || input.instance_type.as_ref().is_none_or(String::is_empty)
    {
        return Err(errors::launch_configuration_incomplete());
    }
    if input.security_groups.iter().any(|id| id.starts_with("sg-"))
        && input.security_groups.iter().any(|name| !name.starts_with("sg-"))
    {
        return Err(errors::security_groups_mixed());
    }
    // An interface takes no names, and a public address is an interface's.
    if input.associate_public_ip_address.is_some() && input.security_groups.iter().any(|name| !name.starts_with("sg-"))
    {
        return Err(errors::public_address_with_group_names());
    }
    let Some(user_data) = input.user_data.as_ref().filter(|data| !data.is_empty()) else { return Ok(()) };
    match STANDARD.decode(user_data) {
        Ok(bytes) if bytes.len() <= USER_DATA_BYTES_MAX => Ok(()),
        Ok(_) => Err(errors::user_data_too_long()),
        Err(_) => Err(errors::user_data_not_base64()),
    }
}

fn describe(call: &Call, row: &LaunchConfigurationRow) -> Result<LaunchConfiguration, ApiError> {
    let input: CreateLaunchConfigurationInput = stored::read(OPERATION, &row.request)?;
    let (account, region) = (call.account(), &call.region);
    let arn = format!(
        "arn:aws:autoscaling:{region}:{account}:launchConfiguration:{}:launchConfigurationName/{}",
        row.uid, input.launch_configuration_name
    );
    Ok(LaunchConfiguration {
        associate_public_ip_address: input.associate_public_ip_address,
        block_device_mappings: input.block_device_mappings,
        classic_link_vpc_id: None,
        classic_link_vpc_security_groups: Vec::new(),
        created_time: EpochMs(i64::try_from(row.created_ms).unwrap_or(i64::MAX)),
        ebs_optimized: Some(input.ebs_optimized.unwrap_or(false)),
        iam_instance_profile: input.iam_instance_profile,
        image_id: input.image_id.unwrap_or_default(),
        instance_monitoring: input.instance_monitoring.or(Some(InstanceMonitoring { enabled: Some(true) })),
        instance_type: input.instance_type.unwrap_or_default(),
        kernel_id: input.kernel_id.or(Some(String::new())),
        key_name: input.key_name.or(Some(String::new())),
        launch_configuration_arn: Some(arn),
        launch_configuration_name: input.launch_configuration_name,
        metadata_options: input.metadata_options,
        placement_tenancy: input.placement_tenancy,
        ramdisk_id: input.ramdisk_id.or(Some(String::new())),
        security_groups: input.security_groups,
        spot_price: None,
        user_data: input.user_data.or(Some(String::new())),
    })
}
