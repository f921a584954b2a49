//! Launch templates: what instances are started from, by name and version.
//!
//! Invariants:
//! - A version never changes; a template has at least its default one.
//! - What a template says goes through the same checks as what a call says, when an instance is started from it.

mod data;

use api::ec2::*;
use store::{Scan, Transaction, View};
use wire::value::EpochMs;

pub(crate) use data::{apply, encoded};

use crate::client_tokens::{self, Asked};
use crate::errors::{self, Refusal};
use crate::filters::Filters;
use crate::listing::{Kind, text, truth};
use crate::paging::Page;
use crate::request::Request;
use crate::rows::*;
use crate::tags;

/// AWS's quota: launch templates in a region.
const TEMPLATES_MAX: usize = 5_000;
/// AWS's quota: versions of a template.
const VERSIONS_MAX: i64 = 10_000;

const KIND: Kind<TemplateRow> = Kind { table: &TEMPLATES, id: "lt" };

fn version_key(request: &Request, id: &str, number: i64) -> String {
    // Ten digits keep the order of keys that of numbers.
    request.key(&format!("{id}\0{number:010}"))
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: CreateLaunchTemplateInput,
) -> Result<CreateLaunchTemplateOutput, Refusal> {
    crate::vpcs::refuse_given(&[("Operator", input.operator.is_some())])?;
    let (name, data) = (input.launch_template_name, data::encode(&input.launch_template_data)?);
    let asked = Asked::new("CreateLaunchTemplate", input.client_token, &format!("{name}\n{data}"));
    if let Some(made) = client_tokens::made(tx, request, &asked)? {
        let id = made.first().cloned().unwrap_or_default();
        let row = KIND.get(tx, request, &id)?;
        let launch_template = Some(described(tx, request, &id, row)?);
        return Ok(CreateLaunchTemplateOutput { launch_template, warning: None });
    }
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "()./_-".contains(letter);
    if !(3..=128).contains(&name.len()) || !name.chars().all(allowed) {
        return Err(errors::template_name(&name));
    }
    let tags = tags::specified(request, input.tag_specifications, "launch-template")?;
    let all = KIND.all(tx, request)?;
    if all.iter().any(|(_, row)| row.name == name) {
        return Err(errors::template_exists());
    }
    if all.len() >= TEMPLATES_MAX {
        return Err(errors::too_many_templates());
    }
    let id = request.new_id("lt");
    let row = TemplateRow {
        name,
        created_at_ms: request.now_ms,
        created_by: request.caller.clone(),
        default_version: 1,
        latest_version: 1,
    };
    tx.insert(&TEMPLATES, &request.key(&id), &row)?;
    let version = TemplateVersionRow {
        description: input.version_description,
        created_at_ms: request.now_ms,
        created_by: request.caller.clone(),
        data,
    };
    tx.insert(&TEMPLATE_VERSIONS, &version_key(request, &id, 1), &version)?;
    tags::put(tx, &request.place, &id, "launch-template", &tags)?;
    client_tokens::remember(tx, request, &asked, vec![id.clone()])?;
    Ok(CreateLaunchTemplateOutput { launch_template: Some(described(tx, request, &id, row)?), warning: None })
}

pub(crate) fn create_version(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: CreateLaunchTemplateVersionInput,
) -> Result<CreateLaunchTemplateVersionOutput, Refusal> {
    if input.resolve_alias == Some(true) {
        return Err(errors::unsupported_parameter("ResolveAlias"));
    }
    let (id, mut row) = named(tx, request, input.launch_template_id.as_ref(), input.launch_template_name.as_ref())?;
    let mut data = data::encode(&input.launch_template_data)?;
    let asked = format!("{id}\n{:?}\n{data}", input.source_version);
    let asked = Asked::new("CreateLaunchTemplateVersion", input.client_token, &asked);
    let made = client_tokens::made(tx, request, &asked)?;
    if let Some(number) = made.and_then(|made| made.first()?.parse().ok()) {
        let version = version(tx, request, &id, number)?;
        let launch_template_version = Some(described_version(&id, &row, number, version)?);
        return Ok(CreateLaunchTemplateVersionOutput { launch_template_version, warning: None });
    }
    if let Some(source) = &input.source_version {
        let number = number_of(&id, &row, source)?;
        data = data::merged(version(tx, request, &id, number)?.data, data);
    }
    if row.latest_version >= VERSIONS_MAX {
        return Err(errors::too_many_template_versions());
    }
    row.latest_version += 1;
    let number = row.latest_version;
    let version = TemplateVersionRow {
        description: input.version_description,
        created_at_ms: request.now_ms,
        created_by: request.caller.clone(),
        data,
    };
    tx.put(&TEMPLATES, &request.key(&id), &row)?;
    tx.insert(&TEMPLATE_VERSIONS, &version_key(request, &id, number), &version)?;
    client_tokens::remember(tx, request, &asked, vec![number.to_string()])?;
    let launch_template_version = Some(described_version(&id, &row, number, version)?);
    Ok(CreateLaunchTemplateVersionOutput { launch_template_version, warning: None })
}

/// The template that a client names.
fn named(
    view: &View<'_>,
    request: &Request,
    id: Option<&String>,
    name: Option<&String>,
) -> Result<(String, TemplateRow), Refusal> {
    match (id, name) {
        (Some(_), Some(_)) => Err(Refusal::Combination("launchTemplateId", "launchTemplateName")),
        (Some(id), None) => match view.get(&TEMPLATES, &request.key(id))? {
            Some(row) => Ok((id.clone(), row.value)),
            None => Err(errors::no_such_template_id(id)),
        },
        (None, Some(name)) => {
            let found = KIND.all(view, request)?.into_iter().find(|(_, row)| row.name == *name);
            found.ok_or_else(|| errors::no_such_template_name(name))
        }
        (None, None) => Err(Refusal::Missing("launchTemplateId or launchTemplateName".into())),
    }
}

/// The number that a client writes as `$Latest`, `$Default` or itself.
fn number_of(id: &str, row: &TemplateRow, written: &str) -> Result<i64, Refusal> {
    match written {
        "$Latest" => Ok(row.latest_version),
        "$Default" => Ok(row.default_version),
        number => number.parse().map_err(|_| errors::no_such_template_version(id, written)),
    }
}

fn version(view: &View<'_>, request: &Request, id: &str, number: i64) -> Result<TemplateVersionRow, Refusal> {
    let row = view.get(&TEMPLATE_VERSIONS, &version_key(request, id, number))?;
    row.map(|row| row.value).ok_or_else(|| errors::no_such_template_version(id, &number.to_string()))
}

/// What the template that an instance is to be started from says.
pub(crate) fn resolve(
    view: &View<'_>,
    request: &Request,
    named_by: &LaunchTemplateSpecification,
) -> Result<serde_json::Value, Refusal> {
    let LaunchTemplateSpecification { launch_template_id, launch_template_name, version: written } = named_by;
    let (id, row) = named(view, request, launch_template_id.as_ref(), launch_template_name.as_ref())?;
    let number = number_of(&id, &row, written.as_deref().unwrap_or("$Default"))?;
    Ok(version(view, request, &id, number)?.data)
}

pub(crate) fn modify(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: ModifyLaunchTemplateInput,
) -> Result<ModifyLaunchTemplateOutput, Refusal> {
    let (id, mut row) = named(tx, request, input.launch_template_id.as_ref(), input.launch_template_name.as_ref())?;
    if let Some(written) = input.default_version {
        let number = number_of(&id, &row, &written)?;
        version(tx, request, &id, number)?;
        row.default_version = number;
        tx.put(&TEMPLATES, &request.key(&id), &row)?;
    }
    Ok(ModifyLaunchTemplateOutput { launch_template: Some(described(tx, request, &id, row)?) })
}

pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: DeleteLaunchTemplateInput,
) -> Result<DeleteLaunchTemplateOutput, Refusal> {
    let (id, row) = named(tx, request, input.launch_template_id.as_ref(), input.launch_template_name.as_ref())?;
    let described = described(tx, request, &id, row)?;
    tx.delete(&TEMPLATES, &request.key(&id))?;
    tx.delete_range(&TEMPLATE_VERSIONS, &Scan::prefix(&request.key(&format!("{id}\0"))))?;
    tags::forget(tx, &request.place, &id)?;
    Ok(DeleteLaunchTemplateOutput { launch_template: Some(described) })
}

/// Deletes versions one by one: each has its own answer.
pub(crate) fn delete_versions(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: DeleteLaunchTemplateVersionsInput,
) -> Result<DeleteLaunchTemplateVersionsOutput, Refusal> {
    let (id, row) = named(tx, request, input.launch_template_id.as_ref(), input.launch_template_name.as_ref())?;
    let mut output = DeleteLaunchTemplateVersionsOutput::default();
    for written in input.versions {
        let number = number_of(&id, &row, &written).unwrap_or_default();
        let key = version_key(request, &id, number);
        let failed = if number == row.default_version {
            Some(("unexpectedError", "The default version of a launch template cannot be deleted."))
        } else if !tx.contains(&TEMPLATE_VERSIONS, &key)? {
            Some(("launchTemplateVersionDoesNotExist", "The specified launch template version does not exist."))
        } else {
            None
        };
        match failed {
            Some((code, message)) => {
                let error = ResponseError { code: Some(code.to_owned()), message: Some(message.to_owned()) };
                output.unsuccessfully_deleted_launch_template_versions.push(
                    DeleteLaunchTemplateVersionsResponseErrorItem {
                        launch_template_id: Some(id.clone()),
                        launch_template_name: Some(row.name.clone()),
                        response_error: Some(error),
                        version_number: Some(number),
                    },
                );
            }
            None => {
                tx.delete(&TEMPLATE_VERSIONS, &key)?;
                output.successfully_deleted_launch_template_versions.push(
                    DeleteLaunchTemplateVersionsResponseSuccessItem {
                        launch_template_id: Some(id.clone()),
                        launch_template_name: Some(row.name.clone()),
                        version_number: Some(number),
                    },
                );
            }
        }
    }
    Ok(output)
}

pub(crate) fn describe(
    view: &View<'_>,
    request: &Request,
    input: DescribeLaunchTemplatesInput,
) -> Result<DescribeLaunchTemplatesOutput, Refusal> {
    let filters = Filters::parse(input.filters, &["create-time", "launch-template-name"])?;
    let page = Page::parse(input.max_results, input.next_token.as_deref())?;
    let ids = input.launch_template_ids.iter().map(|id| named(view, request, Some(id), None));
    let names = input.launch_template_names.iter().map(|name| named(view, request, None, Some(name)));
    let mut found = ids.chain(names).collect::<Result<Vec<_>, _>>()?;
    if input.launch_template_ids.is_empty() && input.launch_template_names.is_empty() {
        found = KIND.all(view, request)?;
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found.dedup_by(|(a, _), (b, _)| a == b);
    let mut templates = Vec::new();
    for (id, row) in found {
        let created = crate::moments::iso(row.created_at_ms);
        let template = described(view, request, &id, row)?;
        let passes = filters.pass(&template.tags, |name| match name {
            "create-time" => vec![created.clone()],
            _ => text(&template.launch_template_name),
        });
        if passes {
            templates.push(template);
        }
    }
    let id = |template: &LaunchTemplate| template.launch_template_id.clone().unwrap_or_default();
    let (launch_templates, next_token) = page.of(templates.into_iter(), id);
    Ok(DescribeLaunchTemplatesOutput { launch_templates, next_token })
}

fn described(view: &View<'_>, request: &Request, id: &str, row: TemplateRow) -> Result<LaunchTemplate, Refusal> {
    Ok(LaunchTemplate {
        create_time: Some(EpochMs(i64::try_from(row.created_at_ms).unwrap_or(i64::MAX))),
        created_by: Some(row.created_by),
        default_version_number: Some(row.default_version),
        latest_version_number: Some(row.latest_version),
        launch_template_id: Some(id.to_owned()),
        launch_template_name: Some(row.name),
        tags: tags::of(view, &request.place, id)?,
        ..LaunchTemplate::default()
    })
}

const KNOWN_OF_VERSIONS: &[&str] = &[
    "create-time",
    "ebs-optimized",
    "http-endpoint",
    "http-protocol-ipv4",
    "host-resource-group-arn",
    "http-tokens",
    "iam-instance-profile",
    "image-id",
    "instance-type",
    "is-default-version",
    "kernel-id",
    "license-configuration-arn",
    "network-card-index",
    "ram-disk-id",
];

/// Versions of one template, the newest first; or of all their default and latest ones.
pub(crate) fn describe_versions(
    view: &View<'_>,
    request: &Request,
    input: DescribeLaunchTemplateVersionsInput,
) -> Result<DescribeLaunchTemplateVersionsOutput, Refusal> {
    if input.resolve_alias == Some(true) {
        return Err(errors::unsupported_parameter("ResolveAlias"));
    }
    let filters = Filters::parse(input.filters, KNOWN_OF_VERSIONS)?;
    let page = Page::parse(input.max_results, input.next_token.as_deref())?;
    let (id, name) = (input.launch_template_id.as_ref(), input.launch_template_name.as_ref());
    let templates = match (id, name) {
        (None, None) if input.versions.iter().any(|version| version.starts_with('$')) => KIND.all(view, request)?,
        (id, name) => vec![named(view, request, id, name)?],
    };
    let bound = |written: &Option<String>, otherwise: i64| match written {
        Some(text) => text.parse().map_err(|_| errors::invalid_value("version", text)),
        None => Ok(otherwise),
    };
    let (min, max) = (bound(&input.min_version, 0)?, bound(&input.max_version, i64::MAX)?);
    let mut versions = Vec::new();
    for (id, row) in templates {
        let mut numbers = Vec::new();
        for written in &input.versions {
            let number = number_of(&id, &row, written)?;
            version(view, request, &id, number)?;
            numbers.push(number);
        }
        let prefix = request.key(&format!("{id}\0"));
        for stored in view.scan(&TEMPLATE_VERSIONS, &Scan::prefix(&prefix))?.into_iter().rev() {
            let number: i64 = stored.key[prefix.len()..].parse().unwrap_or_default();
            if (!numbers.is_empty() && !numbers.contains(&number)) || !(min..=max).contains(&number) {
                continue;
            }
            let version = described_version(&id, &row, number, stored.value)?;
            if filters.pass(&[], |name| version_values(&version, name)) {
                versions.push(version);
            }
        }
    }
    // A token names the last one of its page: newer ones have smaller names.
    let order = |version: &LaunchTemplateVersion| {
        let id = version.launch_template_id.as_deref().unwrap_or_default();
        format!("{id}\0{:020}", i64::MAX - version.version_number.unwrap_or_default())
    };
    let (launch_template_versions, next_token) = page.of(versions.into_iter(), order);
    Ok(DescribeLaunchTemplateVersionsOutput { launch_template_versions, next_token })
}

fn version_values(version: &LaunchTemplateVersion, name: &str) -> Vec<String> {
    let Some(data) = &version.launch_template_data else { return Vec::new() };
    let metadata = data.metadata_options.as_ref();
    match name {
        "ebs-optimized" => truth(data.ebs_optimized),
        "http-endpoint" => metadata.map(|options| text(&options.http_endpoint)).unwrap_or_default(),
        "http-tokens" => metadata.map(|options| text(&options.http_tokens)).unwrap_or_default(),
        "image-id" => text(&data.image_id),
        "instance-type" => text(&data.instance_type),
        "is-default-version" => truth(version.default_version),
        _ => Vec::new(),
    }
}

fn described_version(
    id: &str,
    template: &TemplateRow,
    number: i64,
    row: TemplateVersionRow,
) -> Result<LaunchTemplateVersion, Refusal> {
    Ok(LaunchTemplateVersion {
        create_time: Some(EpochMs(i64::try_from(row.created_at_ms).unwrap_or(i64::MAX))),
        created_by: Some(row.created_by),
        default_version: Some(number == template.default_version),
        launch_template_data: Some(data::described(&row.data)?),
        launch_template_id: Some(id.to_owned()),
        launch_template_name: Some(template.name.clone()),
        version_description: row.description,
        version_number: Some(number),
        ..LaunchTemplateVersion::default()
    })
}
