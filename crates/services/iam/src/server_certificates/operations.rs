//! The operations on server certificates.
//!
//! Invariant: each change is one transaction, and decided inside it; who uses a certificate is asked before, because the
//! answer comes from another service.

use api::iam::*;
use api::{AccountId, Call};
use store::{Row, Scan, StoreError, Transaction, View};
use wire::ApiError;

use super::check::CheckedCertificate;
use super::{CERTIFICATES_MAX, CertificateRow, TABLE, bound_to};
use crate::listing::{Page, read_marker};
use crate::names::{self, check_characters, check_tag_lengths, tags_of};
use crate::refusal::Refusal;
use crate::service::{Iam, account_of, key, moment, new_id, prefix};

pub(crate) async fn upload(
    iam: &Iam,
    call: &Call,
    input: UploadServerCertificateInput,
) -> Result<UploadServerCertificateOutput, ApiError> {
    let account = account_of(call)?.clone();
    let row = iam.checked_row(&account, input, call.is_from_service()).await?;
    let (name, path, tags) = (row.name.clone(), row.path.clone(), row.tags.clone());
    let metadata = metadata(&account, &row);
    tracing::info!(%account, name, path, "a server certificate was uploaded");
    let written = iam.inner.store.write_async(move |tx| {
        if tx.count(&TABLE, &Scan::prefix(&prefix(&account)).limit(CERTIFICATES_MAX))? >= CERTIFICATES_MAX {
            return Err(Refusal::TooMany);
        }
        match tx.insert(&TABLE, &key(&account, &row.name), &row) {
            Err(StoreError::Exists { .. }) => Err(Refusal::Exists(row.name)),
            other => Ok(other.map(drop)?),
        }
    });
    written.await?;
    Ok(UploadServerCertificateOutput { server_certificate_metadata: Some(metadata), tags: tags_of(tags) })
}

pub(crate) async fn get(
    iam: &Iam,
    call: &Call,
    input: GetServerCertificateInput,
) -> Result<GetServerCertificateOutput, ApiError> {
    let account = account_of(call)?;
    let row = iam.row(account, input.server_certificate_name).await?.value;
    Ok(GetServerCertificateOutput {
        server_certificate: ServerCertificate {
            server_certificate_metadata: metadata(account, &row),
            certificate_body: row.body,
            certificate_chain: row.chain,
            tags: tags_of(row.tags),
        },
    })
}

pub(crate) async fn list(
    iam: &Iam,
    call: &Call,
    input: ListServerCertificatesInput,
) -> Result<ListServerCertificatesOutput, ApiError> {
    let account = account_of(call)?.clone();
    let path_prefix = input.path_prefix.unwrap_or_else(|| "/".to_owned());
    names::check_path_prefix(&path_prefix)?;
    let after = input.marker.as_deref().map(read_marker).transpose()?;
    let scan = Scan::prefix(&prefix(&account)).limit(CERTIFICATES_MAX);
    let rows = iam.inner.store.read_async(move |view| Ok::<_, Refusal>(view.scan(&TABLE, &scan)?)).await?;
    let listed = rows.into_iter().map(|row| row.value).filter(|row| row.path.starts_with(&path_prefix));
    let mut page = Page::of(listed, |row| row.name.to_ascii_lowercase(), after, input.max_items);
    Ok(ListServerCertificatesOutput {
        server_certificate_metadata_list: page.items.drain(..).map(|row| metadata(&account, &row)).collect(),
        is_truncated: Some(page.marker.is_some()),
        marker: page.marker,
    })
}

pub(crate) async fn update(iam: &Iam, call: &Call, input: UpdateServerCertificateInput) -> Result<(), ApiError> {
    let account = account_of(call)?.clone();
    let UpdateServerCertificateInput { server_certificate_name: name, new_path, new_server_certificate_name } = input;
    names::check_name("serverCertificateName", &name)?;
    if let Some(path) = &new_path {
        names::check_path("newPath", path)?;
    }
    if let Some(name) = &new_server_certificate_name {
        names::check_name("newServerCertificateName", name)?;
    }
    let present = iam.row(&account, name.clone()).await?.value;
    // A load balancer goes on naming the certificate as it did.
    let mut former_arns = Vec::new();
    for arn in arns(&account, &present) {
        if iam.user_of(std::slice::from_ref(&arn)).await?.is_some() {
            former_arns.push(arn);
        }
    }
    let written = iam.inner.store.write_async(move |tx| {
        let row = named(tx, &account, &name)?;
        let mut changed = row.value;
        changed.path = new_path.unwrap_or(changed.path);
        changed.name = new_server_certificate_name.unwrap_or(changed.name);
        let arn = changed.arn(account.as_str());
        changed.former_arns = former_arns.into_iter().filter(|former| *former != arn).collect();
        let new_key = key(&account, &changed.name);
        if new_key == row.key {
            tx.replace(&TABLE, &row.key, row.revision, &changed)?;
            return Ok(());
        }
        tx.delete_if(&TABLE, &row.key, row.revision)?;
        match tx.insert(&TABLE, &new_key, &changed) {
            Err(StoreError::Exists { .. }) => Err(Refusal::Exists(changed.name)),
            other => Ok(other.map(drop)?),
        }
    });
    Ok(written.await?)
}

pub(crate) async fn delete(iam: &Iam, call: &Call, input: DeleteServerCertificateInput) -> Result<(), ApiError> {
    let account = account_of(call)?.clone();
    let row = iam.row(&account, input.server_certificate_name).await?;
    if let Some(user) = iam.user_of(&arns(&account, &row.value)).await? {
        return Err(Refusal::InUse { id: row.value.id, user }.into());
    }
    let name = row.value.name;
    let deleted = name.clone();
    iam.inner
        .store
        .write_async(move |tx| {
            let row = named(tx, &account, &name)?;
            Ok::<_, Refusal>(tx.delete_if(&TABLE, &row.key, row.revision)?)
        })
        .await?;
    tracing::info!(name = deleted, "a server certificate was deleted");
    Ok(())
}

pub(crate) async fn tag(iam: &Iam, call: &Call, input: TagServerCertificateInput) -> Result<(), ApiError> {
    let (tags, by_service) = (input.tags, call.is_from_service());
    check_tag_lengths(tags.iter().map(|tag| &tag.key))?;
    let change = move |row: &mut CertificateRow| names::add_tags(&mut row.tags, tags, by_service);
    Ok(iam.change(account_of(call)?, input.server_certificate_name, change).await?)
}

pub(crate) async fn untag(iam: &Iam, call: &Call, input: UntagServerCertificateInput) -> Result<(), ApiError> {
    let keys = input.tag_keys;
    check_tag_lengths(keys.iter())?;
    let change = move |row: &mut CertificateRow| {
        names::remove_tags(&mut row.tags, &keys);
        Ok(())
    };
    Ok(iam.change(account_of(call)?, input.server_certificate_name, change).await?)
}

pub(crate) async fn list_tags(
    iam: &Iam,
    call: &Call,
    input: ListServerCertificateTagsInput,
) -> Result<ListServerCertificateTagsOutput, ApiError> {
    let account = account_of(call)?;
    let after = input.marker.as_deref().map(read_marker).transpose()?;
    let row = iam.row(account, input.server_certificate_name).await?.value;
    let page = Page::of(tags_of(row.tags).into_iter(), |tag| tag.key.clone(), after, input.max_items);
    Ok(ListServerCertificateTagsOutput {
        tags: page.items,
        is_truncated: Some(page.marker.is_some()),
        marker: page.marker,
    })
}
impl Iam {
    /// An upload, checked, as a row.
    async fn checked_row(
        &self,
        account: &AccountId,
        input: UploadServerCertificateInput,
        by_service: bool,
    ) -> Result<CertificateRow, Refusal> {
        let UploadServerCertificateInput {
            server_certificate_name: name,
            path,
            certificate_body: body,
            certificate_chain: chain,
            private_key,
            tags,
        } = input;
        let path = path.unwrap_or_else(|| "/".to_owned());
        names::check_name("serverCertificateName", &name)?;
        names::check_path("path", &path)?;
        check_tag_lengths(tags.iter().map(|tag| &tag.key))?;
        let mut row_tags = std::collections::BTreeMap::new();
        names::add_tags(&mut row_tags, tags, by_service)?;
        check_characters("certificateBody", &body)?;
        check_characters("certificateChain", chain.as_deref().unwrap_or_default())?;
        check_characters("privateKey", &private_key)?;
        let now = self.inner.clock.now();
        // Verifying signatures takes milliseconds, which other requests on this thread should not wait for.
        let checking = tokio::task::spawn_blocking(move || {
            let checked = CheckedCertificate::check(&body, chain.as_deref(), &private_key, now);
            (checked, body, chain)
        });
        let (checked, body, chain) = checking.await.map_err(|_| StoreError::Closed)?;
        let checked = checked?;
        let id = new_id(&*self.inner.ids, "ASCA");
        let sealed =
            self.inner.seal.close(&*self.inner.ids, &bound_to(account.as_str(), &id), &checked.private_key_der);
        Ok(CertificateRow {
            private_key: sealed.ok_or_else(|| Refusal::Sealed(name.clone()))?,
            name,
            path,
            id,
            body,
            chain,
            uploaded_at_ms: now.as_millis(),
            expires_at_ms: checked.expires_at.as_millis(),
            tags: row_tags,
            former_arns: Vec::new(),
        })
    }

    async fn row(&self, account: &AccountId, name: String) -> Result<Row<CertificateRow>, Refusal> {
        names::check_name("serverCertificateName", &name)?;
        let account = account.clone();
        self.inner.store.read_async(move |view| named(view, &account, &name)).await
    }

    /// Changes a row in a transaction.
    async fn change(
        &self,
        account: &AccountId,
        name: String,
        change: impl FnOnce(&mut CertificateRow) -> Result<(), Refusal> + Send + 'static,
    ) -> Result<(), Refusal> {
        names::check_name("serverCertificateName", &name)?;
        let account = account.clone();
        let written = self.inner.store.write_async(move |tx: &mut Transaction<'_>| {
            let mut row = named(tx, &account, &name)?;
            change(&mut row.value)?;
            tx.replace(&TABLE, &row.key, row.revision, &row.value)?;
            Ok(())
        });
        written.await
    }
}

/// The row of that name, spelled as it was uploaded.
fn named(view: &View<'_>, account: &AccountId, name: &str) -> Result<Row<CertificateRow>, Refusal> {
    let row = view.get(&TABLE, &key(account, name))?.filter(|row| row.value.name == name);
    row.ok_or_else(|| Refusal::NoSuchCertificate(name.to_owned()))
}

/// Everything that a certificate answers to.
fn arns(account: &AccountId, row: &CertificateRow) -> Vec<String> {
    let mut arns = row.former_arns.clone();
    arns.push(row.arn(account.as_str()));
    arns
}

fn metadata(account: &AccountId, row: &CertificateRow) -> ServerCertificateMetadata {
    ServerCertificateMetadata {
        arn: row.arn(account.as_str()),
        path: row.path.clone(),
        server_certificate_id: row.id.clone(),
        server_certificate_name: row.name.clone(),
        upload_date: Some(moment(row.uploaded_at_ms)),
        expiration: Some(moment(row.expires_at_ms)),
    }
}
