//! Key pairs: a name for a public key, and for a new pair its private half, once.
//!
//! Invariants:
//! - A private key is answered to the call that made it and kept nowhere.
//! - A name stands for one key at a time.

mod material;

use api::ec2::*;
use store::{Scan, Transaction, View};
use wire::value::EpochMs;

pub(crate) use material::{NewKey, generate};

use crate::errors::{self, Refusal};
use crate::filters::Filters;
use crate::listing::text;
use crate::request::Request;
use crate::rows::*;
use crate::tags;

/// AWS's quota: key pairs in a region.
const PAIRS_MAX: usize = 5_000;
/// AWS: the longest name.
const NAME_CHARACTERS_MAX: usize = 255;

/// Keeps the public half of a new pair and answers with the private one.
pub(crate) fn create(
    tx: &mut Transaction<'_>,
    request: &Request,
    (input, key): (CreateKeyPairInput, NewKey),
) -> Result<CreateKeyPairOutput, Refusal> {
    let tags = tags::specified(request, input.tag_specifications, "key-pair")?;
    let row = KeyPairRow {
        id: request.new_id("key"),
        key_type: key.key_type.to_owned(),
        fingerprint: key.fingerprint,
        public_key: format!("{} {}", key.public_key, input.key_name),
        created_at_ms: request.now_ms,
    };
    let tags = keep(tx, request, &input.key_name, &row, &tags)?;
    Ok(CreateKeyPairOutput {
        key_fingerprint: Some(row.fingerprint),
        key_material: Some(key.private_pem),
        key_name: Some(input.key_name),
        key_pair_id: Some(row.id),
        tags,
    })
}

pub(crate) fn import(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: ImportKeyPairInput,
) -> Result<ImportKeyPairOutput, Refusal> {
    let key = material::read_public(&input.public_key_material).ok_or_else(errors::key_format)?;
    let tags = tags::specified(request, input.tag_specifications, "key-pair")?;
    let row = KeyPairRow {
        id: request.new_id("key"),
        key_type: key.key_type.to_owned(),
        fingerprint: key.fingerprint,
        public_key: key.public_key,
        created_at_ms: request.now_ms,
    };
    let tags = keep(tx, request, &input.key_name, &row, &tags)?;
    Ok(ImportKeyPairOutput {
        key_fingerprint: Some(row.fingerprint),
        key_name: Some(input.key_name),
        key_pair_id: Some(row.id),
        tags,
    })
}

fn keep(
    tx: &mut Transaction<'_>,
    request: &Request,
    name: &str,
    row: &KeyPairRow,
    tags: &[(String, String)],
) -> Result<Vec<Tag>, Refusal> {
    let is_name = name.chars().count() <= NAME_CHARACTERS_MAX && name.chars().all(|c| (' '..='~').contains(&c));
    if name.trim().is_empty() || !is_name {
        return Err(errors::invalid_value("keyName", name));
    }
    if tx.contains(&KEY_PAIRS, &request.key(name))? {
        return Err(errors::key_pair_exists());
    }
    if tx.count(&KEY_PAIRS, &Scan::prefix(&request.place.prefix()))? >= PAIRS_MAX {
        return Err(errors::too_many_key_pairs());
    }
    tx.insert(&KEY_PAIRS, &request.key(name), row)?;
    tags::put_new(tx, request, &row.id, "key-pair", tags)
}

/// Which format and kind of key a call wants.
pub(crate) fn kind_of(input: &CreateKeyPairInput) -> Result<&'static str, Refusal> {
    if let Some(format) = input.key_format.as_deref().filter(|format| *format != "pem") {
        return Err(errors::unsupported_value("keyFormat", format));
    }
    match input.key_type.as_deref() {
        None | Some("rsa") => Ok("rsa"),
        Some("ed25519") => Ok("ed25519"),
        Some(other) => Err(errors::invalid_value("keyType", other)),
    }
}

/// The public key of that name.
pub(crate) fn find(view: &View<'_>, request: &Request, name: &str) -> Result<KeyRow, Refusal> {
    let row = view.get(&KEY_PAIRS, &request.key(name))?;
    let row = row.ok_or_else(|| errors::no_such_key_pair(name))?;
    Ok(KeyRow { name: name.to_owned(), public_key: row.value.public_key })
}

fn all(view: &View<'_>, request: &Request) -> Result<Vec<(String, KeyPairRow)>, Refusal> {
    let prefix = request.place.prefix();
    let rows = view.scan(&KEY_PAIRS, &Scan::prefix(&prefix))?;
    Ok(rows.into_iter().map(|row| (row.key[prefix.len()..].to_owned(), row.value)).collect())
}

/// Deletes a pair; that there is none is no error, as on AWS.
pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    request: &Request,
    input: DeleteKeyPairInput,
) -> Result<DeleteKeyPairOutput, Refusal> {
    if input.key_name.is_none() && input.key_pair_id.is_none() {
        return Err(Refusal::Missing("keyName or keyPairId".into()));
    }
    let is_meant = |(name, row): &(String, KeyPairRow)| {
        input.key_name.as_ref().is_none_or(|wanted| wanted == name)
            && input.key_pair_id.as_ref().is_none_or(|wanted| *wanted == row.id)
    };
    let found = all(tx, request)?.into_iter().find(is_meant);
    if let Some((name, row)) = &found {
        tx.delete(&KEY_PAIRS, &request.key(name))?;
        tags::forget(tx, &request.place, &row.id)?;
    }
    Ok(DeleteKeyPairOutput { key_pair_id: found.map(|(_, row)| row.id), r#return: Some(true) })
}

pub(crate) fn describe(
    view: &View<'_>,
    request: &Request,
    input: DescribeKeyPairsInput,
) -> Result<DescribeKeyPairsOutput, Refusal> {
    let filters = Filters::parse(input.filters, &["fingerprint", "key-name", "key-pair-id"])?;
    let all = all(view, request)?;
    if let Some(name) = input.key_names.iter().find(|name| all.iter().all(|(known, _)| known != *name)) {
        return Err(errors::no_such_key_pair(name));
    }
    if let Some(id) = input.key_pair_ids.iter().find(|id| all.iter().all(|(_, row)| row.id != **id)) {
        return Err(errors::not_found("key", id));
    }
    let is_all = input.key_names.is_empty() && input.key_pair_ids.is_empty();
    let mut key_pairs = Vec::new();
    for (name, row) in all {
        if !is_all && !input.key_names.contains(&name) && !input.key_pair_ids.contains(&row.id) {
            continue;
        }
        let pair = KeyPairInfo {
            create_time: Some(EpochMs(i64::try_from(row.created_at_ms).unwrap_or(i64::MAX))),
            key_fingerprint: Some(row.fingerprint),
            key_name: Some(name),
            key_type: Some(row.key_type),
            public_key: (input.include_public_key == Some(true)).then_some(row.public_key),
            tags: tags::of(view, &request.place, &row.id)?,
            key_pair_id: Some(row.id),
        };
        let passes = filters.pass(&pair.tags, |name| match name {
            "fingerprint" => text(&pair.key_fingerprint),
            "key-name" => text(&pair.key_name),
            _ => text(&pair.key_pair_id),
        });
        if passes {
            key_pairs.push(pair);
        }
    }
    Ok(DescribeKeyPairsOutput { key_pairs })
}
