//! `millpond keys`: access keys, made, listed and removed in a data directory, whether or not a server is using it.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use api::AccountId;
use iam::Keys;

use super::{KeysArgs, KeysCommand};
use crate::config::Config;
use crate::data_dir::{DataDir, DataDirError};
use crate::wiring;

/// Runs one of the subcommands.
pub(super) fn run(args: KeysArgs) -> anyhow::Result<ExitCode> {
    let (config, data_dir) = args.place.load()?;
    match args.command {
        KeysCommand::Create { account, description } => {
            let account = account_or_default(&config, account.as_deref())?;
            make_ready(&data_dir)?;
            create(&wiring::open_keys(&config, &data_dir)?, &account, &description)
        }
        KeysCommand::Ls => list(&existing(&config, &data_dir)?),
        KeysCommand::Rm { access_key_id } => remove(&existing(&config, &data_dir)?, &access_key_id),
    }
}

/// The account that is named, else the configured one.
pub(super) fn account_or_default(config: &Config, named: Option<&str>) -> anyhow::Result<AccountId> {
    match named {
        None => Ok(config.account.clone()),
        Some(text) => {
            AccountId::parse(text).with_context(|| format!("cannot use account {text:?}: it must be 12 digits"))
        }
    }
}

/// Creates the data directory where there is none. A running server holds its lock, and has made it ready.
pub(super) fn make_ready(data_dir: &Path) -> Result<(), DataDirError> {
    match DataDir::open(data_dir) {
        Ok(_) | Err(DataDirError::InUse { .. }) => DataDir::check(data_dir),
        Err(error) => Err(error),
    }
}

fn existing(config: &Config, data_dir: &Path) -> anyhow::Result<Keys> {
    DataDir::check(data_dir)?;
    wiring::open_keys(config, data_dir)
}

fn create(keys: &Keys, account: &AccountId, description: &str) -> anyhow::Result<ExitCode> {
    let key = keys.create(account, description)?;
    let secret = key.secret_access_key.reveal();
    println!("export AWS_ACCESS_KEY_ID={}", key.access_key_id);
    println!("export AWS_SECRET_ACCESS_KEY={secret}");
    eprintln!("This is account {account}'s key. Its secret is not shown again; keep it in a safe place.");
    Ok(ExitCode::SUCCESS)
}

fn list(keys: &Keys) -> anyhow::Result<ExitCode> {
    let keys = keys.list()?;
    if keys.is_empty() {
        eprintln!("There is no access key; make one with `millpond keys create`.");
    }
    for key in keys {
        println!("{}  {}  {}  {}", key.access_key_id, key.account, date(key.created_at), key.description);
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn date(time: host::Timestamp) -> String {
    let time = i64::try_from(time.as_secs()).ok().and_then(|secs| time::OffsetDateTime::from_unix_timestamp(secs).ok());
    time.map(|time| time.date().to_string()).unwrap_or_default()
}

fn remove(keys: &Keys, access_key_id: &str) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        keys.delete(access_key_id)?,
        "there is no access key {access_key_id}; `millpond keys ls` lists them"
    );
    eprintln!("Removed {access_key_id}.");
    Ok(ExitCode::SUCCESS)
}
