//! [`Images`]: the operator's images.
//!
//! Invariants:
//! - Works on the store alone, whether or not a server runs on it; a running server finds what changed at its next look.
//! - An id and a name stand for one image; instances that were started from one outlive its removal.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use host::{Clock, Ids, Timestamp};
use store::{Scan, Store, StoreError};

use crate::place::is_well_formed;
use crate::rows::{IMAGES, ImageRow, RootRow, touch};
use crate::service::new_id;

/// How many images there may be.
const IMAGES_MAX: usize = 1_000;
/// AWS: how long a name may be.
const NAME_CHARACTERS: std::ops::RangeInclusive<usize> = 3..=128;

/// An image to register.
#[derive(Clone, Debug)]
pub struct NewImage {
    /// Its name, unique among the operator's.
    pub name: String,
    /// What DescribeImages says of it.
    pub description: String,
    /// A directory with a root file system; `None` is the host's own.
    pub directory: Option<PathBuf>,
    /// The id that it shall have, so that a template's id resolves; `None` draws one.
    pub image_id: Option<String>,
}

/// A registered image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// `ami-…`.
    pub image_id: String,
    /// Its name.
    pub name: String,
    /// What DescribeImages says of it.
    pub description: String,
    /// Its root file system; `None` is the host's own.
    pub directory: Option<PathBuf>,
    /// When it was registered.
    pub added_at: Timestamp,
}

/// Why an image could not be registered, listed or removed.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// The store failed.
    #[error("the store of images failed: {0}")]
    Store(#[from] StoreError),
    /// The name can't be one.
    #[error("{0:?} is no name for an image: 3 to 128 letters, digits, spaces and any of ()[]./-'@_")]
    Name(String),
    /// The name or the id is taken.
    #[error("{name} is registered already, as {image_id}; remove it first (millpond images rm)")]
    Registered {
        /// The name of the one that is there.
        name: String,
        /// Its id.
        image_id: String,
    },
    /// The id has not the form of one.
    #[error("{0:?} is no image id: ami- and 8 or 17 hexadecimal digits")]
    Id(String),
    /// The directory is not named from the root on.
    #[error("{0} is not an absolute path: a running server would look for it elsewhere")]
    Relative(PathBuf),
    /// There are too many.
    #[error("there are {IMAGES_MAX} images already; remove one first (millpond images rm)")]
    TooMany,
}

/// The operator's images, for all accounts and regions. Blocks on the store.
pub struct Images {
    store: Store,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

impl Images {
    /// Images in a store.
    pub fn open(store: Store, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        Self { store, clock, ids }
    }

    /// Registers an image; its id. Durable when this returns. Whether the directory is there, the caller has looked.
    ///
    /// # Errors
    /// When it can't be one, or the store fails.
    pub fn add(&self, image: &NewImage) -> Result<String, ImagesError> {
        let NewImage { name, description, directory, image_id } = image;
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || " ()[]./-'@_".contains(letter);
        if !NAME_CHARACTERS.contains(&name.len()) || !name.chars().all(allowed) {
            return Err(ImagesError::Name(name.clone()));
        }
        if let Some(directory) = directory.as_ref().filter(|directory| !directory.is_absolute()) {
            return Err(ImagesError::Relative(directory.clone()));
        }
        let id = image_id.clone().unwrap_or_else(|| new_id(&*self.ids, "ami"));
        if !is_well_formed("ami", &id) {
            return Err(ImagesError::Id(id));
        }
        let root = directory.clone().map_or(RootRow::Host, RootRow::Directory);
        let created_at_ms = self.clock.now().as_millis();
        let row = ImageRow { name: name.clone(), description: description.clone(), root, created_at_ms };
        self.store.write(|tx| {
            let present = tx.scan(&IMAGES, &Scan::all().limit(IMAGES_MAX))?;
            if let Some(same) = present.iter().find(|present| present.value.name == *name || present.key == id) {
                let name = same.value.name.clone();
                return Err(ImagesError::Registered { name, image_id: same.key.clone() });
            }
            if present.len() >= IMAGES_MAX {
                return Err(ImagesError::TooMany);
            }
            tx.insert(&IMAGES, &id, &row)?;
            Ok(touch(tx)?)
        })?;
        Ok(id)
    }

    /// The registered images, by id.
    ///
    /// # Errors
    /// When the store fails.
    pub fn list(&self) -> Result<Vec<Image>, ImagesError> {
        let rows = self.store.read(|view| view.scan(&IMAGES, &Scan::all()))?;
        let image = |row: store::Row<ImageRow>| Image {
            image_id: row.key,
            name: row.value.name,
            description: row.value.description,
            directory: match row.value.root {
                RootRow::Host => None,
                RootRow::Directory(directory) => Some(directory),
            },
            added_at: Timestamp(row.value.created_at_ms),
        };
        Ok(rows.into_iter().map(image).collect())
    }

    /// Removes an image by its id or name, durably; whether there was one. Its directory stays.
    ///
    /// # Errors
    /// When the store fails.
    pub fn remove(&self, named: &str) -> Result<bool, ImagesError> {
        self.store.write(|tx| {
            let rows = tx.scan(&IMAGES, &Scan::all())?;
            let Some(row) = rows.into_iter().find(|row| row.key == named || row.value.name == named) else {
                return Ok(false);
            };
            let existed = tx.delete(&IMAGES, &row.key)?;
            touch(tx)?;
            Ok(existed)
        })
    }
}

impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Images").finish_non_exhaustive()
    }
}
