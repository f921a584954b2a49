//! Reading values: by name, by hierarchy, and a parameter's history.
//!
//! Invariant: a SecureString's value is answered only to who asks for it decrypted.

use std::collections::BTreeSet;

use ::api::ssm::*;
use ::api::{Call, Secrets};
use store::{Scan, View};
use wire::ApiError;
use wire::value::EpochMs;

use crate::errors::{self, Refusal};
use crate::filters::{Filters, Scope};
use crate::names::{self, Wanted};
use crate::paging::Page;
use crate::public;
use crate::rows::{self, Found, PARAMETERS, Place, version_key};
use crate::service::{Ssm, place_of, value_of};

/// Values of a page of a hierarchy.
const BY_PATH_MAX: usize = 10;
/// Versions of a page of a history.
const HISTORY_MAX: usize = 50;

/// A moment as it is answered.
pub(crate) fn moment(ms: u64) -> Option<EpochMs> {
    Some(EpochMs(i64::try_from(ms).unwrap_or(i64::MAX)))
}

impl Ssm {
    pub(crate) async fn get(&self, call: &Call, input: GetParameterInput) -> Result<GetParameterOutput, ApiError> {
        let wanted = names::wanted(&place_of(call)?, &input.name)?;
        let parameter = self.value(call, &wanted, input.with_decryption == Some(true)).await?;
        Ok(GetParameterOutput { parameter: Some(parameter) })
    }

    pub(crate) async fn get_several(
        &self,
        call: &Call,
        input: GetParametersInput,
    ) -> Result<GetParametersOutput, ApiError> {
        let place = place_of(call)?;
        let (mut parameters, mut invalid) = (Vec::new(), Vec::new());
        let mut seen = BTreeSet::new();
        for name in input.names.into_iter().filter(|name| seen.insert(name.clone())) {
            let found = match names::wanted(&place, &name) {
                Ok(wanted) => self.value(call, &wanted, input.with_decryption == Some(true)).await,
                Err(error) => Err(error),
            };
            match found {
                Ok(parameter) => parameters.push(parameter),
                Err(error) if error.fault == wire::Fault::Sender => invalid.push(name),
                Err(error) => return Err(error),
            }
        }
        Ok(GetParametersOutput { parameters, invalid_parameters: invalid })
    }

    async fn value(&self, call: &Call, wanted: &Wanted, decrypt: bool) -> Result<Parameter, ApiError> {
        if public::is_public(&wanted.path) {
            return self.public(call, wanted).await;
        }
        let (place, secrets) = (place_of(call)?, self.inner.secrets.clone());
        let wanted = wanted.clone();
        self.read(move |view| {
            let found = find(view, &place, &wanted)?;
            let selector = wanted.selector.map(|selector| format!(":{selector}"));
            let mut parameter = answered(&*secrets, &place, &found, decrypt)?;
            parameter.name = wanted.name.or(parameter.name);
            parameter.selector = selector;
            Ok(parameter)
        })
        .await
    }

    pub(crate) async fn get_by_path(
        &self,
        call: &Call,
        input: GetParametersByPathInput,
    ) -> Result<GetParametersByPathOutput, ApiError> {
        let place = place_of(call)?;
        let path = names::hierarchy(&input.path)?.to_owned();
        let filters = Filters::parse(input.parameter_filters, Scope::ByPath)?;
        let page = Page::parse(input.max_results, BY_PATH_MAX, input.next_token.as_deref())?;
        let (recursive, decrypt) = (input.recursive == Some(true), input.with_decryption == Some(true));
        let (parameters, next_token) = if public::is_public(&path) {
            page.of(self.public_below(call, &path, recursive).await?, |one| one.name.clone().unwrap_or_default())
        } else {
            let secrets = self.inner.secrets.clone();
            self.read(move |view| {
                let found = below(view, &place, &path, recursive, &filters)?;
                let (found, token) = page.of(found, |found| format!("{}:{:020}", found.path, found.number));
                let answer = |found: &Found| {
                    let mut parameter = answered(&*secrets, &place, found, decrypt)?;
                    parameter.selector = filters.label_of(&found.version).map(|label| format!(":{label}"));
                    Ok::<_, Refusal>(parameter)
                };
                Ok((found.iter().map(answer).collect::<Result<_, _>>()?, token))
            })
            .await?
        };
        Ok(GetParametersByPathOutput { parameters, next_token })
    }

    pub(crate) async fn history(
        &self,
        call: &Call,
        input: GetParameterHistoryInput,
    ) -> Result<GetParameterHistoryOutput, ApiError> {
        let place = place_of(call)?;
        let wanted = names::wanted(&place, &input.name)?;
        let page = Page::parse(input.max_results, HISTORY_MAX, input.next_token.as_deref())?;
        let (secrets, decrypt) = (self.inner.secrets.clone(), input.with_decryption == Some(true));
        self.read(move |view| {
            let missing = || errors::not_found(&wanted.asked);
            let row = rows::parameter(view, &place, &wanted.path)?.ok_or_else(missing)?;
            let versions = rows::versions(view, &place, &wanted.path)?;
            let (versions, next_token) = page.of(versions, |(number, _)| format!("{number:020}"));
            let mut parameters = Vec::with_capacity(versions.len());
            for (number, version) in versions {
                let value = value_of(&*secrets, &version_key(&row.key, number), &version, decrypt)?;
                parameters.push(ParameterHistory {
                    name: Some(row.value.name.clone()),
                    r#type: Some(version.kind),
                    key_id: version.key_id,
                    last_modified_date: moment(version.modified_ms),
                    last_modified_user: Some(version.modified_by),
                    description: version.description,
                    value: Some(value),
                    allowed_pattern: version.allowed_pattern,
                    version: i64::try_from(number).ok(),
                    labels: version.labels,
                    tier: Some(version.tier),
                    policies: Vec::new(),
                    data_type: Some(version.data_type),
                });
            }
            Ok(GetParameterHistoryOutput { parameters, next_token })
        })
        .await
    }
}

/// The version that a request means.
fn find(view: &View<'_>, place: &Place, wanted: &Wanted) -> Result<Found, Refusal> {
    let current = rows::current(view, place, &wanted.path)?.ok_or_else(|| errors::not_found(&wanted.asked))?;
    let Some(selector) = &wanted.selector else { return Ok(current) };
    let name = wanted.name.as_deref().unwrap_or(&current.parameter.name);
    let missing = || Refusal(errors::version_not_found(name, selector));
    let (number, version) = match selector.parse::<u64>() {
        Ok(number) => {
            let row = rows::version(view, place, &wanted.path, number)?.ok_or_else(missing)?;
            (number, row.value)
        }
        Err(_) => {
            let versions = rows::versions(view, place, &wanted.path)?;
            versions.into_iter().find(|(_, version)| version.labels.contains(selector)).ok_or_else(missing)?
        }
    };
    Ok(Found { number, version, ..current })
}

/// The parameters below a path that pass the filters; the labelled versions where a filter asks for a label.
fn below(
    view: &View<'_>,
    place: &Place,
    path: &str,
    recursive: bool,
    filters: &Filters,
) -> Result<Vec<Found>, Refusal> {
    let start = place.key(path) + "/";
    let mut all = Vec::new();
    for row in view.scan(&PARAMETERS, &Scan::prefix(&start))? {
        let Some(rest) = row.key.strip_prefix(&start) else { continue };
        if !recursive && rest.contains('/') {
            continue;
        }
        let at = format!("{path}/{rest}");
        let versions = if filters.ask_for_labels() {
            rows::versions(view, place, &at)?
        } else {
            let current = rows::version(view, place, &at, row.value.version)?;
            current.map(|version| (row.value.version, version.value)).into_iter().collect()
        };
        for (number, version) in versions {
            let found = Found { path: at.clone(), parameter: row.value.clone(), number, version };
            if filters.pass(&found) {
                all.push(found);
            }
        }
    }
    Ok(all)
}

fn answered(secrets: &dyn Secrets, place: &Place, found: &Found, decrypt: bool) -> Result<Parameter, ApiError> {
    let key = version_key(&place.key(&found.path), found.number);
    Ok(Parameter {
        name: Some(found.parameter.name.clone()),
        r#type: Some(found.version.kind.clone()),
        value: Some(value_of(secrets, &key, &found.version, decrypt)?),
        version: i64::try_from(found.number).ok(),
        selector: None,
        source_result: None,
        last_modified_date: moment(found.version.modified_ms),
        arn: Some(place.arn(&found.path)),
        data_type: Some(found.version.data_type.clone()),
    })
}
