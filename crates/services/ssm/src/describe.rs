//! DescribeParameters: everything about parameters but their values.
//!
//! Invariant: no value is read.

use ::api::Call;
use ::api::ssm::*;
use store::{Scan, View};
use wire::ApiError;

use crate::errors::{self, Refusal};
use crate::filters::{Filters, Scope};
use crate::get::moment;
use crate::paging::Page;
use crate::rows::{self, Found, PARAMETERS, Place};
use crate::service::{Ssm, place_of};

/// Parameters of a page.
const PAGE: usize = 50;

impl Ssm {
    pub(crate) async fn describe(
        &self,
        call: &Call,
        input: DescribeParametersInput,
    ) -> Result<DescribeParametersOutput, ApiError> {
        let place = place_of(call)?;
        if !input.filters.is_empty() && !input.parameter_filters.is_empty() {
            return Err(errors::two_kinds_of_filters());
        }
        let filters = if input.filters.is_empty() { input.parameter_filters } else { of_old(input.filters) };
        let filters = Filters::parse(filters, Scope::Describe)?;
        let page = Page::parse(input.max_results, PAGE, input.next_token.as_deref())?;
        // Nobody shares parameters with anybody.
        if input.shared == Some(true) {
            return Ok(DescribeParametersOutput::default());
        }
        self.read(move |view| {
            let (found, next_token) = page.of(all(view, &place, &filters)?, |found| found.path.clone());
            Ok(DescribeParametersOutput {
                parameters: found.into_iter().map(|found| metadata(&place, found)).collect(),
                next_token,
            })
        })
        .await
    }
}

/// Filters as they were before there were options.
fn of_old(filters: Vec<ParametersFilter>) -> Vec<ParameterStringFilter> {
    filters
        .into_iter()
        .map(|ParametersFilter { key, values }| ParameterStringFilter { key, option: None, values })
        .collect()
}

fn all(view: &View<'_>, place: &Place, filters: &Filters) -> Result<Vec<Found>, Refusal> {
    let prefix = place.prefix();
    let mut all = Vec::new();
    for row in view.scan(&PARAMETERS, &Scan::prefix(&prefix))? {
        let Some(path) = row.key.strip_prefix(&prefix) else { continue };
        let number = row.value.version;
        let Some(version) = rows::version(view, place, path, number)? else { continue };
        let found = Found { path: path.to_owned(), parameter: row.value, number, version: version.value };
        if filters.pass(&found) {
            all.push(found);
        }
    }
    Ok(all)
}

fn metadata(place: &Place, found: Found) -> ParameterMetadata {
    let Found { path, parameter, number, version } = found;
    ParameterMetadata {
        name: Some(parameter.name),
        arn: Some(place.arn(&path)),
        r#type: Some(version.kind),
        key_id: version.key_id,
        last_modified_date: moment(version.modified_ms),
        last_modified_user: Some(version.modified_by),
        description: version.description,
        allowed_pattern: version.allowed_pattern,
        version: i64::try_from(number).ok(),
        tier: Some(version.tier),
        policies: Vec::new(),
        data_type: Some(version.data_type),
    }
}
