//! What a group launches: a launch configuration, or a version of a launch template.
//!
//! Invariant: a group names a launch source that was there when it was named.

use ::api::Call;
use ::api::autoscaling::LaunchTemplateSpecification;
use ::api::ec2::DescribeLaunchTemplateVersionsInput;
use wire::ApiError;

use crate::errors;
use crate::rows::LaunchSource;
use crate::service::Autoscaling;

impl Autoscaling {
    /// The launch source that a request names; `None` when it names none.
    pub(crate) async fn launch_source(
        &self,
        call: &Call,
        configuration: Option<String>,
        template: Option<LaunchTemplateSpecification>,
    ) -> Result<Option<LaunchSource>, ApiError> {
        match (configuration, template) {
            (Some(_), Some(_)) => Err(errors::two_launch_sources()),
            (None, None) => Ok(None),
            (Some(name), None) => {
                let found = self.configuration(call.account().as_str(), call.region.as_str(), &name).await?;
                let (_, created_ms) = found.ok_or_else(|| errors::launch_configuration_unknown(&name))?;
                Ok(Some(LaunchSource::Configuration { name, created_ms }))
            }
            (None, Some(template)) => self.template(call, template).await.map(Some),
        }
    }

    async fn template(&self, call: &Call, given: LaunchTemplateSpecification) -> Result<LaunchSource, ApiError> {
        if given.launch_template_id.is_some() == given.launch_template_name.is_some() {
            return Err(errors::launch_template_unclear());
        }
        let version = given.version.filter(|version| !version.is_empty()).unwrap_or_else(|| "$Default".to_owned());
        let input = DescribeLaunchTemplateVersionsInput {
            launch_template_id: given.launch_template_id,
            launch_template_name: given.launch_template_name,
            versions: vec![version.clone()],
            ..Default::default()
        };
        let found = self.inner.ec2.describe_launch_template_versions(&Self::to_others(call)?, input).await;
        let found = found.map_err(|error| errors::from_dependency("EC2", &error))?.launch_template_versions;
        let found = found.into_iter().next().ok_or_else(errors::launch_template_version_unknown)?;
        Ok(LaunchSource::Template {
            id: found.launch_template_id.unwrap_or_default(),
            name: found.launch_template_name.unwrap_or_default(),
            version,
        })
    }

    /// A template's version as a number, for the record of an instance that was launched from it.
    pub(crate) async fn resolved(&self, call: &Call, source: &LaunchSource) -> LaunchSource {
        let LaunchSource::Template { id, name, version } = source else { return source.clone() };
        if !version.starts_with('$') {
            return source.clone();
        }
        let input = DescribeLaunchTemplateVersionsInput {
            launch_template_id: Some(id.clone()),
            versions: vec![version.clone()],
            ..Default::default()
        };
        let number = match self.inner.ec2.describe_launch_template_versions(call, input).await {
            Ok(found) => found.launch_template_versions.into_iter().find_map(|version| version.version_number),
            Err(_) => None,
        };
        let version = number.map_or_else(|| version.clone(), |number| number.to_string());
        LaunchSource::Template { id: id.clone(), name: name.clone(), version }
    }
}

/// The specification that answers show.
pub(crate) fn specification(source: &LaunchSource) -> Option<LaunchTemplateSpecification> {
    match source {
        LaunchSource::Configuration { .. } => None,
        LaunchSource::Template { id, name, version } => Some(LaunchTemplateSpecification {
            launch_template_id: Some(id.clone()),
            launch_template_name: Some(name.clone()),
            version: Some(version.clone()),
        }),
    }
}

/// The launch configuration's name, if it is one.
pub(crate) fn configuration_name(source: &LaunchSource) -> Option<String> {
    match source {
        LaunchSource::Configuration { name, .. } => Some(name.clone()),
        LaunchSource::Template { .. } => None,
    }
}
