//! PutParameter: a new parameter, or a new version of one.
//!
//! Invariants:
//! - What an overwrite does not say stays as it was: type, description, pattern and tier.
//! - A parameter of the advanced tier stays in it.
//! - The newest 100 versions are kept; the oldest goes, unless a label is on it.

use std::sync::Arc;

use ::api::ec2::DescribeImagesInput;
use ::api::ssm::{PutParameterInput, PutParameterOutput};
use ::api::{Call, Secrets};
use store::{Scan, Transaction};
use wire::ApiError;

use crate::errors::{self, Refusal};
use crate::limits::{ADVANCED_BYTES_MAX, BACKTRACKS_MAX, PARAMETERS_MAX, STANDARD_BYTES_MAX, VERSIONS_MAX};
use crate::rows::{self, Kept, PARAMETERS, ParameterRow, Place, VERSIONS, VersionRow, version_key};
use crate::service::{Ssm, bound_to, place_of};
use crate::{names, tags};

/// The key that every SecureString is under.
pub(crate) const DEFAULT_KEY: &str = "alias/aws/ssm";

/// A request that has passed every check that needs no row.
struct Draft {
    place: Place,
    path: String,
    input: PutParameterInput,
    data_type: String,
    tags: std::collections::BTreeMap<String, String>,
    modified_ms: u64,
    modified_by: String,
    secrets: Arc<dyn Secrets>,
}

impl Ssm {
    pub(crate) async fn put(&self, call: &Call, input: PutParameterInput) -> Result<PutParameterOutput, ApiError> {
        let draft = self.draft(call, input).await?;
        self.write(move |tx| draft.write(tx)).await
    }

    async fn draft(&self, call: &Call, mut input: PutParameterInput) -> Result<Draft, ApiError> {
        let place = place_of(call)?;
        let path = names::to_put(&input.name)?;
        check_value(&input)?;
        if let Some(pattern) = &input.allowed_pattern
            && compile(pattern).is_none()
        {
            return Err(errors::bad_pattern(pattern));
        }
        // AWS takes an empty list of policies for "none".
        if input.policies.as_deref().is_some_and(|text| !matches!(text.trim(), "[]" | "[{}]" | "{}")) {
            return Err(errors::policies());
        }
        if !input.tags.is_empty() && input.overwrite == Some(true) {
            return Err(errors::tags_and_overwrite());
        }
        let tags = tags::checked(std::mem::take(&mut input.tags), call.is_from_service())?;
        let data_type = input.data_type.take().unwrap_or_else(|| "text".to_owned());
        match data_type.as_str() {
            "text" => {}
            "aws:ec2:image" => self.check_image(call, &input.value).await?,
            other => return Err(errors::data_type(other)),
        }
        Ok(Draft {
            place,
            path,
            data_type,
            tags,
            modified_ms: self.inner.clock.now().as_millis(),
            modified_by: call.identity.arn().unwrap_or_else(|| "AWS CloudFormation".to_owned()),
            secrets: Arc::clone(&self.inner.secrets),
            input,
        })
    }

    /// Whether the value is an image that can be started.
    async fn check_image(&self, call: &Call, value: &str) -> Result<(), ApiError> {
        let input = DescribeImagesInput { image_ids: vec![value.to_owned()], ..DescribeImagesInput::default() };
        match self.inner.images.describe(call, input).await {
            Ok(found) if !found.is_empty() => Ok(()),
            Ok(_) => Err(errors::no_image(value)),
            Err(error) if error.fault == wire::Fault::Sender => Err(errors::no_image(value)),
            Err(_) => Err(errors::internal()),
        }
    }
}

impl Draft {
    fn write(self, tx: &mut Transaction<'_>) -> Result<PutParameterOutput, Refusal> {
        let key = self.place.key(&self.path);
        let old = rows::current(tx, &self.place, &self.path)?;
        if old.is_some() && self.input.overwrite != Some(true) {
            return Err(errors::exists().into());
        }
        let number = old.as_ref().map_or(1, |old| old.number + 1);
        let version = self.version(&key, number, old.as_ref().map(|old| &old.version))?;
        let parameter = match old {
            Some(old) => {
                self.drop_oldest(tx, &key, number)?;
                ParameterRow { version: number, ..old.parameter }
            }
            None => {
                let all = Scan::prefix(&self.place.prefix()).limit(PARAMETERS_MAX);
                if tx.count(&PARAMETERS, &all)? >= PARAMETERS_MAX {
                    return Err(errors::too_many_parameters().into());
                }
                ParameterRow { name: self.input.name.trim().to_owned(), version: number, tags: self.tags.clone() }
            }
        };
        tx.put(&PARAMETERS, &key, &parameter)?;
        tx.insert(&VERSIONS, &version_key(&key, number), &version)?;
        Ok(PutParameterOutput { version: i64::try_from(number).ok(), tier: Some(version.tier) })
    }

    /// The new version, with what it takes over from the old one.
    fn version(&self, key: &str, number: u64, old: Option<&VersionRow>) -> Result<VersionRow, ApiError> {
        let input = &self.input;
        let kind =
            input.r#type.clone().or_else(|| old.map(|old| old.kind.clone())).ok_or_else(errors::type_required)?;
        let is_secret = kind == "SecureString";
        let key_id = self.key_id(is_secret)?;
        let description = input.description.clone().or_else(|| old.and_then(|old| old.description.clone()));
        let pattern = input.allowed_pattern.clone().or_else(|| old.and_then(|old| old.allowed_pattern.clone()));
        let pattern = pattern.filter(|pattern| !pattern.is_empty());
        if let Some(pattern) = &pattern
            && !compile(pattern).is_some_and(|regex| regex.is_match(&input.value).unwrap_or(false))
        {
            return Err(errors::pattern_mismatch(pattern));
        }
        let value = if is_secret {
            let sealed = self.secrets.close(&bound_to(&version_key(key, number)), input.value.as_bytes());
            Kept::Sealed(sealed.ok_or_else(errors::internal)?)
        } else {
            Kept::Plain(input.value.clone())
        };
        Ok(VersionRow {
            value,
            key_id,
            tier: tier(input.tier.as_deref(), old.map(|old| old.tier.as_str()), input.value.len())?.to_owned(),
            kind,
            description: description.filter(|text| !text.is_empty()),
            allowed_pattern: pattern,
            data_type: self.data_type.clone(),
            labels: Vec::new(),
            modified_ms: self.modified_ms,
            modified_by: self.modified_by.clone(),
        })
    }

    fn key_id(&self, is_secret: bool) -> Result<Option<String>, ApiError> {
        let Place { account, region } = &self.place;
        match self.input.key_id.as_deref() {
            Some(_) if !is_secret => Err(errors::key_without_secret()),
            Some(key) if key != DEFAULT_KEY && key != format!("arn:aws:kms:{region}:{account}:{DEFAULT_KEY}") => {
                Err(errors::key_id(key))
            }
            _ => Ok(is_secret.then(|| DEFAULT_KEY.to_owned())),
        }
    }

    /// Makes room for one more version.
    fn drop_oldest(&self, tx: &mut Transaction<'_>, key: &str, number: u64) -> Result<(), Refusal> {
        let versions = rows::versions(tx, &self.place, &self.path)?;
        if versions.len() < VERSIONS_MAX {
            return Ok(());
        }
        let Some((oldest, row)) = versions.first().filter(|(oldest, _)| *oldest < number) else { return Ok(()) };
        if !row.labels.is_empty() {
            return Err(errors::oldest_is_labelled(&self.input.name, *oldest).into());
        }
        tx.delete(&VERSIONS, &version_key(key, *oldest))?;
        Ok(())
    }
}

fn check_value(input: &PutParameterInput) -> Result<(), ApiError> {
    if input.value.is_empty() {
        return Err(errors::empty_value());
    }
    let nests = input.value.find("{{").is_some_and(|start| input.value[start..].contains("}}"));
    if nests { Err(errors::nested_value()) } else { Ok(()) }
}

/// The tier of a value of this length.
fn tier(asked: Option<&str>, old: Option<&str>, bytes: usize) -> Result<&'static str, ApiError> {
    let was_advanced = old == Some("Advanced");
    let is_advanced = match asked {
        Some("Advanced") => true,
        Some("Standard") if was_advanced => return Err(errors::downgrade()),
        Some("Intelligent-Tiering") => was_advanced || bytes > STANDARD_BYTES_MAX,
        _ => was_advanced,
    };
    match (is_advanced, bytes) {
        (true, ..=ADVANCED_BYTES_MAX) => Ok("Advanced"),
        (true, _) => Err(errors::advanced_too_long()),
        (false, ..=STANDARD_BYTES_MAX) => Ok("Standard"),
        (false, _) => Err(errors::standard_too_long()),
    }
}

/// A pattern that must fit a whole value.
fn compile(pattern: &str) -> Option<fancy_regex::Regex> {
    fancy_regex::RegexBuilder::new(&format!(r"\A(?:{pattern})\z")).backtrack_limit(BACKTRACKS_MAX).build().ok()
}
