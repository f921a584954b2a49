//! What a template is about, without making anything of it.
//!
//! Invariant: a template that is summed up here passes every check that needs no parameter's value.

use std::collections::BTreeSet;

use ::api::Call;
use ::api::cloudformation::{
    GetTemplateSummaryInput, GetTemplateSummaryOutput, ParameterConstraints, ParameterDeclaration,
    ResourceIdentifierSummary, TemplateParameter, ValidateTemplateInput, ValidateTemplateOutput,
};
use wire::ApiError;

use crate::errors;
use crate::prepare::{Source, capabilities};
use crate::resources::{self, Known};
use crate::service::CloudFormation;
use crate::template::{Template, validate};

/// Reads a template as far as it goes without parameters.
fn read(text: &str) -> Result<Template, ApiError> {
    let template = Template::outline(text).map_err(|error| errors::template(&error))?;
    validate::validate(&template, &Known).map_err(|error| errors::template(&error))?;
    Ok(template)
}

/// The capabilities that a template needs, and the sentence about them.
fn capability_words(template: &Template) -> (Vec<String>, Option<String>) {
    let (needed, because) = capabilities(template);
    let needed: Vec<String> = needed.into_iter().map(str::to_owned).collect();
    let reason = (!because.is_empty())
        .then(|| format!("The following resource(s) require capabilities: [{}]", because.join(", ")));
    (needed, reason)
}

impl CloudFormation {
    pub(crate) async fn check_template(
        &self,
        call: &Call,
        input: ValidateTemplateInput,
    ) -> Result<ValidateTemplateOutput, ApiError> {
        let source = Source { body: input.template_body, url: input.template_url, previous: false };
        let template = read(&self.inner.text(call, source, None).await?)?;
        let (capabilities, capabilities_reason) = capability_words(&template);
        let parameter = |(name, declared): (&String, &crate::template::Parameter)| TemplateParameter {
            parameter_key: Some(name.clone()),
            default_value: declared.default.clone(),
            no_echo: Some(declared.no_echo),
            description: declared.description.clone(),
        };
        Ok(ValidateTemplateOutput {
            parameters: template.parameters.iter().map(parameter).collect(),
            description: template.description,
            capabilities,
            capabilities_reason,
            declared_transforms: template.transforms,
        })
    }

    pub(crate) async fn sum_up(
        &self,
        call: &Call,
        input: GetTemplateSummaryInput,
    ) -> Result<GetTemplateSummaryOutput, ApiError> {
        if let Some(name) = input.stack_set_name {
            return Err(errors::unsupported("StackSetName", name));
        }
        let text = match &input.stack_name {
            Some(name) => {
                let stack = self.inner.stack(call, name, errors::stack_with_id).await?;
                self.inner.stored_template(call, &stack.uid, stack.current.template).await?
            }
            None => {
                let source = Source { body: input.template_body, url: input.template_url, previous: false };
                self.inner.text(call, source, None).await?
            }
        };
        let template = read(&text)?;
        let (capabilities, capabilities_reason) = capability_words(&template);
        let parameter = |(name, declared): (&String, &crate::template::Parameter)| ParameterDeclaration {
            parameter_key: Some(name.clone()),
            default_value: declared.default.clone(),
            parameter_type: Some(declared.kind.clone()),
            no_echo: Some(declared.no_echo),
            description: declared.description.clone(),
            parameter_constraints: Some(ParameterConstraints { allowed_values: declared.allowed_values.clone() }),
        };
        let types: BTreeSet<&str> = template.resources.values().map(|resource| resource.kind.as_str()).collect();
        let identifiers = types.iter().map(|kind| identifier(&template, kind)).collect();
        Ok(GetTemplateSummaryOutput {
            parameters: template.parameters.iter().map(parameter).collect(),
            resource_types: types.iter().map(|kind| (*kind).to_owned()).collect(),
            version: Some("2010-09-09".into()),
            metadata: template.metadata.as_ref().map(ToString::to_string),
            resource_identifier_summaries: identifiers,
            description: template.description.clone(),
            capabilities,
            capabilities_reason,
            declared_transforms: template.transforms,
            warnings: None,
        })
    }
}

/// The resources of a type, and what tells one of it from another.
fn identifier(template: &Template, kind: &str) -> ResourceIdentifierSummary {
    let of_kind = template.resources.iter().filter(|(_, resource)| resource.kind == kind);
    let name = resources::find(kind).and_then(|found| found.table().name_property);
    ResourceIdentifierSummary {
        resource_type: Some(kind.to_owned()),
        logical_resource_ids: of_kind.map(|(name, _)| name.clone()).collect(),
        resource_identifiers: name.map(str::to_owned).into_iter().collect(),
    }
}
