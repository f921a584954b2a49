//! Tags of load balancers.
//!
//! Invariants:
//! - A load balancer has at most 50 tags; keys are case-sensitive and kept as they came.
//! - One request names a key once, and either all of the named load balancers change or none.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use ::api::Call;
use ::api::elb::*;
use store::{StoreError, Transaction};
use wire::ApiError;

use crate::errors;
use crate::limits::{DESCRIBE_TAGS_NAMES_MAX, TAGS_MAX};
use crate::rows::{self, LOAD_BALANCERS, LoadBalancerRow};
use crate::service::Elb;

/// Adds tags to a row, replacing the values of keys that it has. CloudFormation marks with `aws:` what is its own.
pub(crate) fn add(row: &mut LoadBalancerRow, tags: Vec<Tag>, by_service: bool) -> Result<(), ApiError> {
    let mut new = BTreeMap::new();
    for Tag { key, value } in tags {
        if !by_service && key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
            return Err(errors::tag_key_reserved());
        }
        if new.insert(key.clone(), value.unwrap_or_default()).is_some() {
            return Err(errors::duplicate_tag_keys(&key));
        }
    }
    row.tags.extend(new);
    if row.tags.len() > TAGS_MAX { Err(errors::too_many_tags(&row.name)) } else { Ok(()) }
}

impl Elb {
    pub(crate) async fn tag(&self, call: &Call, input: AddTagsInput) -> Result<(), ApiError> {
        let AddTagsInput { load_balancer_names, tags } = input;
        let by_service = call.is_from_service();
        self.change_tags(call, load_balancer_names, move |row| add(row, tags.clone(), by_service)).await
    }

    pub(crate) async fn untag(&self, call: &Call, input: RemoveTagsInput) -> Result<(), ApiError> {
        let mut keys = BTreeSet::new();
        for key in input.tags.into_iter().filter_map(|tag| tag.key) {
            if !keys.insert(key.clone()) {
                return Err(errors::duplicate_tag_keys(&key));
            }
        }
        self.change_tags(call, input.load_balancer_names, move |row| {
            row.tags.retain(|key, _| !keys.contains(key));
            Ok(())
        })
        .await
    }

    async fn change_tags(
        &self,
        call: &Call,
        names: Vec<String>,
        change: impl Fn(&mut LoadBalancerRow) -> Result<(), ApiError> + Send + 'static,
    ) -> Result<(), ApiError> {
        check_count(&names)?;
        let _changes = self.begin_change().await;
        let call = call.clone();
        let work = move |tx: &mut Transaction<'_>| {
            for name in &names {
                let key = rows::key(call.account().as_str(), call.region.as_str(), name);
                let found = tx.get(&LOAD_BALANCERS, &key);
                let found = found.map_err(|error| Refused(errors::from_store(&call, &error)))?;
                let mut found = found.ok_or_else(|| Refused(errors::load_balancer_not_found(name)))?;
                change(&mut found.value).map_err(Refused)?;
                let replaced = tx.replace(&LOAD_BALANCERS, &key, found.revision, &found.value);
                replaced.map_err(|error| Refused(errors::from_store(&call, &error)))?;
            }
            Ok::<_, Refused>(())
        };
        // The balancer knows no tags: there is nothing to make live.
        self.inner.store.write_async(work).await.map_err(|Refused(error)| error)
    }

    pub(crate) async fn read_tags(
        &self,
        call: &Call,
        input: DescribeTagsInput,
    ) -> Result<DescribeTagsOutput, ApiError> {
        check_count(&input.load_balancer_names)?;
        let rows = self.rows_of(call).await?;
        let describe = |name: &String| {
            let row = rows.iter().find(|row| row.name.eq_ignore_ascii_case(name));
            let row = row.ok_or_else(|| errors::load_balancer_not_found(name))?;
            let tag = |(key, value): (&String, &String)| Tag { key: key.clone(), value: Some(value.clone()) };
            let tags = row.tags.iter().map(tag).collect();
            Ok(TagDescription { load_balancer_name: Some(row.name.clone()), tags })
        };
        let tag_descriptions = input.load_balancer_names.iter().map(describe).collect::<Result<_, ApiError>>()?;
        Ok(DescribeTagsOutput { tag_descriptions })
    }
}

fn check_count(names: &[String]) -> Result<(), ApiError> {
    let fits = (1..=DESCRIBE_TAGS_NAMES_MAX).contains(&names.len());
    if fits { Ok(()) } else { Err(errors::names_out_of_range(DESCRIBE_TAGS_NAMES_MAX)) }
}

/// What ends a transaction of ours.
struct Refused(ApiError);

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        Self(errors::internal())
    }
}
