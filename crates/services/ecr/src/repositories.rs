//! Repositories: made, listed, changed, deleted.
//!
//! Invariant: what a repository says of the images that may be pushed is kept, though none can be.

use ::api::Call;
use ::api::ecr::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use store::Scan;
use wire::ApiError;
use wire::value::EpochMs;

use crate::errors;
use crate::rows::{Place, REPOSITORIES, RepositoryRow};
use crate::service::{Ecr, named, place_of};
use crate::tags;

/// AWS's quota: repositories of a registry.
const REPOSITORIES_MAX: usize = 10_000;
/// Repositories of a page when nobody says how many.
const PAGE: usize = 100;

impl Ecr {
    pub(crate) async fn create(
        &self,
        call: &Call,
        input: CreateRepositoryInput,
    ) -> Result<CreateRepositoryOutput, ApiError> {
        let place = place_of(call, input.registry_id.as_deref())?;
        check_name(&input.repository_name)?;
        if let Some(encryption) = &input.encryption_configuration
            && (encryption.encryption_type != "AES256" || encryption.kms_key.is_some())
        {
            return Err(errors::key());
        }
        let mutability = input.image_tag_mutability.unwrap_or_else(|| "MUTABLE".to_owned());
        let row = RepositoryRow {
            name: input.repository_name,
            created_ms: self.inner.clock.now().as_millis(),
            exclusions: exclusions(&mutability, input.image_tag_mutability_exclusion_filters)?,
            tag_mutability: mutability,
            scan_on_push: input.image_scanning_configuration.and_then(|one| one.scan_on_push).unwrap_or(false),
            policy: None,
            lifecycle_policy: None,
            tags: tags::checked(input.tags, call.is_from_service())?,
        };
        self.write(move |tx| {
            let key = place.key(&row.name);
            if tx.contains(&REPOSITORIES, &key)? {
                return Err(errors::exists(&row.name, &place.account).into());
            }
            if tx.count(&REPOSITORIES, &Scan::prefix(&place.prefix()).limit(REPOSITORIES_MAX))? >= REPOSITORIES_MAX {
                return Err(errors::too_many_repositories(REPOSITORIES_MAX).into());
            }
            tx.insert(&REPOSITORIES, &key, &row)?;
            Ok(CreateRepositoryOutput { repository: Some(described(&place, row)) })
        })
        .await
    }

    pub(crate) async fn describe(
        &self,
        call: &Call,
        input: DescribeRepositoriesInput,
    ) -> Result<DescribeRepositoriesOutput, ApiError> {
        let place = place_of(call, input.registry_id.as_deref())?;
        let after = input.next_token.as_deref().map(|token| {
            let name = URL_SAFE_NO_PAD.decode(token).ok().and_then(|name| String::from_utf8(name).ok());
            name.ok_or_else(errors::next_token)
        });
        let after = after.transpose()?;
        let size = input.max_results.and_then(|max| usize::try_from(max).ok()).unwrap_or(PAGE);
        self.read(move |view| {
            if !input.repository_names.is_empty() {
                let rows = input.repository_names.iter().map(|name| named(view, &place, name));
                let rows = rows.collect::<Result<Vec<_>, _>>()?;
                let repositories = rows.into_iter().map(|row| described(&place, row.value)).collect();
                return Ok(DescribeRepositoriesOutput { repositories, next_token: None });
            }
            let all = Scan::prefix(&place.prefix()).limit(size + 1);
            let scan = match &after {
                Some(after) => all.after(&place.key(after)),
                None => all,
            };
            let mut rows = view.scan(&REPOSITORIES, &scan)?;
            let more = rows.len() > size;
            rows.truncate(size);
            let next_token = rows.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(&last.value.name));
            let repositories = rows.into_iter().map(|row| described(&place, row.value)).collect();
            Ok(DescribeRepositoriesOutput { repositories, next_token })
        })
        .await
    }

    /// Whether `force` or not: there is never an image inside.
    pub(crate) async fn delete(
        &self,
        call: &Call,
        input: DeleteRepositoryInput,
    ) -> Result<DeleteRepositoryOutput, ApiError> {
        let place = place_of(call, input.registry_id.as_deref())?;
        self.write(move |tx| {
            let row = named(tx, &place, &input.repository_name)?;
            tx.delete_if(&REPOSITORIES, &row.key, row.revision)?;
            Ok(DeleteRepositoryOutput { repository: Some(described(&place, row.value)) })
        })
        .await
    }

    pub(crate) async fn set_mutability(
        &self,
        call: &Call,
        input: PutImageTagMutabilityInput,
    ) -> Result<PutImageTagMutabilityOutput, ApiError> {
        let place = place_of(call, input.registry_id.as_deref())?;
        let (mutability, filters) = (input.image_tag_mutability, input.image_tag_mutability_exclusion_filters);
        let exclusions = exclusions(&mutability, filters.clone())?;
        let output = PutImageTagMutabilityOutput {
            registry_id: Some(place.account.clone()),
            repository_name: Some(input.repository_name.clone()),
            image_tag_mutability: Some(mutability.clone()),
            image_tag_mutability_exclusion_filters: filters,
        };
        self.change(place, input.repository_name, move |row| {
            row.tag_mutability = mutability;
            row.exclusions = exclusions;
            Ok(output)
        })
        .await
    }

    pub(crate) async fn set_scanning(
        &self,
        call: &Call,
        input: PutImageScanningConfigurationInput,
    ) -> Result<PutImageScanningConfigurationOutput, ApiError> {
        let place = place_of(call, input.registry_id.as_deref())?;
        let scan_on_push = input.image_scanning_configuration.scan_on_push.unwrap_or(false);
        let output = PutImageScanningConfigurationOutput {
            registry_id: Some(place.account.clone()),
            repository_name: Some(input.repository_name.clone()),
            image_scanning_configuration: Some(ImageScanningConfiguration { scan_on_push: Some(scan_on_push) }),
        };
        self.change(place, input.repository_name, move |row| {
            row.scan_on_push = scan_on_push;
            Ok(output)
        })
        .await
    }
}

/// Lower-case words with one of `.`, `_`, `__` or any number of `-` between them, and slashes between those.
fn check_name(name: &str) -> Result<(), ApiError> {
    let is_word_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_component = |component: &str| {
        let bytes = component.as_bytes();
        let ends_well = |byte: Option<&u8>| byte.is_some_and(|byte| is_word_letter(*byte));
        let separators = component.split(|letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit());
        let is_separator = |text: &str| matches!(text, "" | "." | "_" | "__") || text.bytes().all(|byte| byte == b'-');
        ends_well(bytes.first()) && ends_well(bytes.last()) && separators.into_iter().all(is_separator)
    };
    if name.split('/').all(is_component) { Ok(()) } else { Err(errors::name()) }
}

/// The patterns of excluded tags, which go with a mutability that says so and with no other.
fn exclusions(mutability: &str, filters: Vec<ImageTagMutabilityExclusionFilter>) -> Result<Vec<String>, ApiError> {
    let parameter = "imageTagMutabilityExclusionFilters";
    if mutability.ends_with("_WITH_EXCLUSION") == filters.is_empty() {
        return Err(errors::invalid(parameter, "must be given with, and only with, a mutability with exclusions"));
    }
    let is_pattern = |text: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._*-".contains(&byte);
        (1..=128).contains(&text.len()) && text.bytes().all(allowed)
    };
    if filters.iter().any(|one| !is_pattern(&one.filter)) {
        return Err(errors::invalid(parameter, "must satisfy regular expression '^[0-9a-zA-Z._*-]{1,128}$'"));
    }
    Ok(filters.into_iter().map(|one| one.filter).collect())
}

fn described(place: &Place, row: RepositoryRow) -> Repository {
    let Place { account, region } = place;
    let exclusion = |filter: String| ImageTagMutabilityExclusionFilter { filter_type: "WILDCARD".to_owned(), filter };
    Repository {
        repository_arn: Some(place.arn(&row.name)),
        registry_id: Some(account.clone()),
        repository_uri: Some(format!("{account}.dkr.ecr.{region}.amazonaws.com/{}", row.name)),
        repository_name: Some(row.name),
        created_at: Some(EpochMs(i64::try_from(row.created_ms).unwrap_or(i64::MAX))),
        image_tag_mutability: Some(row.tag_mutability),
        image_tag_mutability_exclusion_filters: row.exclusions.into_iter().map(exclusion).collect(),
        image_scanning_configuration: Some(ImageScanningConfiguration { scan_on_push: Some(row.scan_on_push) }),
        encryption_configuration: Some(EncryptionConfiguration { encryption_type: "AES256".to_owned(), kms_key: None }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_with_separators_between() {
        for name in ["ab", "a.b", "a_b", "a__b", "a---b", "team/app", "cdk-hnb659fds-container-assets-1-us-east-1"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "A", "a_", "-a", "a..b", "a___b", "a._b", "a//b", "/a", "a b", "é"] {
            assert_eq!(check_name(name).unwrap_err().code, "InvalidParameterException", "{name}");
        }
    }
}
