//! `millpond images`: images registered, listed and removed in a data directory, whether or not a server is using it.
//!
//! Invariant: an id is printed once its image is durable.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use ec2::{Images, NewImage};

use super::keys::{date, make_ready};
use super::{ImagesArgs, ImagesCommand};
use crate::data_dir::DataDir;
use crate::wiring;

/// Runs one of the subcommands.
pub(super) fn run(args: ImagesArgs) -> anyhow::Result<ExitCode> {
    let (_, data_dir) = args.place.load()?;
    match args.command {
        ImagesCommand::Add { name, dir, image_id, description } => {
            let directory = dir.map(absolute).transpose()?;
            make_ready(&data_dir)?;
            let image = NewImage { name, description, directory, image_id };
            println!("{}", wiring::open_images(&data_dir)?.add(&image)?);
        }
        ImagesCommand::Ls => {
            DataDir::check(&data_dir)?;
            list(&wiring::open_images(&data_dir)?)?;
        }
        ImagesCommand::Rm { image } => {
            DataDir::check(&data_dir)?;
            anyhow::ensure!(
                wiring::open_images(&data_dir)?.remove(&image)?,
                "there is no image {image}; `millpond images ls` lists them"
            );
            eprintln!("Removed {image}.");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn absolute(dir: PathBuf) -> anyhow::Result<PathBuf> {
    let found = dir.canonicalize().with_context(|| format!("cannot use {}", dir.display()))?;
    anyhow::ensure!(found.is_dir(), "cannot use {}: it is no directory", dir.display());
    Ok(found)
}

fn list(images: &Images) -> anyhow::Result<()> {
    let images = images.list()?;
    if images.is_empty() {
        eprintln!("There is no image but the built-in ones; add one with `millpond images add --name NAME --dir DIR`.");
    }
    for image in images {
        let root = image.directory.map_or_else(|| "(the host's files)".to_owned(), |dir| dir.display().to_string());
        let line =
            format!("{}  {}  {}  {root}  {}", image.image_id, date(image.added_at), image.name, image.description);
        println!("{}", line.trim_end());
    }
    Ok(())
}
