//! Labels: other names of versions.
//!
//! Invariants:
//! - A label is on at most one version of a parameter: putting it on another moves it.
//! - A version has at most ten.

use ::api::Call;
use ::api::ssm::*;
use store::Transaction;
use wire::ApiError;

use crate::errors::{self, Refusal};
use crate::limits::LABELS_MAX;
use crate::names::{self, Wanted};
use crate::rows::{self, Place, VERSIONS, VersionRow, version_key};
use crate::service::{Ssm, place_of};

impl Ssm {
    pub(crate) async fn label(
        &self,
        call: &Call,
        input: LabelParameterVersionInput,
    ) -> Result<LabelParameterVersionOutput, ApiError> {
        let place = place_of(call)?;
        let wanted = names::wanted(&place, &input.name)?;
        let (labels, invalid): (Vec<String>, Vec<String>) = input.labels.into_iter().partition(|label| is_label(label));
        let asked = input.parameter_version;
        self.write(move |tx| {
            let (number, versions) = versions_of(tx, &place, &wanted, asked)?;
            let key = place.key(&wanted.path);
            for (of, mut version) in versions {
                let before = version.labels.clone();
                if of == number {
                    let new = labels.iter().filter(|label| !before.contains(label));
                    version.labels.extend(new.cloned());
                    if version.labels.len() > LABELS_MAX {
                        return Err(errors::too_many_labels().into());
                    }
                } else {
                    version.labels.retain(|label| !labels.contains(label));
                }
                if version.labels != before {
                    tx.put(&VERSIONS, &version_key(&key, of), &version)?;
                }
            }
            Ok(LabelParameterVersionOutput { invalid_labels: invalid, parameter_version: i64::try_from(number).ok() })
        })
        .await
    }

    pub(crate) async fn unlabel(
        &self,
        call: &Call,
        input: UnlabelParameterVersionInput,
    ) -> Result<UnlabelParameterVersionOutput, ApiError> {
        let place = place_of(call)?;
        let wanted = names::wanted(&place, &input.name)?;
        self.write(move |tx| {
            let (number, versions) = versions_of(tx, &place, &wanted, Some(input.parameter_version))?;
            let mut output = UnlabelParameterVersionOutput::default();
            if let Some((_, mut version)) = versions.into_iter().find(|(of, _)| *of == number) {
                let is_there = |label: &String| version.labels.contains(label);
                (output.removed_labels, output.invalid_labels) = input.labels.into_iter().partition(is_there);
                version.labels.retain(|label| !output.removed_labels.contains(label));
                tx.put(&VERSIONS, &version_key(&place.key(&wanted.path), number), &version)?;
            }
            Ok(output)
        })
        .await
    }
}

/// The version that is meant, the current one where none is named, and all that are kept.
fn versions_of(
    tx: &Transaction<'_>,
    place: &Place,
    wanted: &Wanted,
    asked: Option<i64>,
) -> Result<(u64, Vec<(u64, VersionRow)>), Refusal> {
    let row = rows::parameter(tx, place, &wanted.path)?.ok_or_else(|| errors::not_found(&wanted.asked))?;
    let versions = rows::versions(tx, place, &wanted.path)?;
    let number = match asked {
        None => row.value.version,
        Some(asked) => {
            let is_asked = |(number, _): &&(u64, VersionRow)| i64::try_from(*number) == Ok(asked);
            let found = versions.iter().find(is_asked).map(|(number, _)| *number);
            found.ok_or_else(|| errors::version_not_found(&wanted.asked, asked))?
        }
    };
    Ok((number, versions))
}

/// Letters, digits and `.-_`; no digit first, nor `aws` or `ssm`.
fn is_label(label: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let begins = |word: &str| label.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    (1..=100).contains(&label.len())
        && label.bytes().all(allowed)
        && !label.starts_with(|first: char| first.is_ascii_digit())
        && !begins("aws")
        && !begins("ssm")
}
