//! [`Tools`]: the layer over each image in which templates find what they expect of Amazon Linux.
//!
//! Invariants:
//! - Laid out anew only when this program is another: running instances look at it.
//! - A link never takes the place of a directory, nor of a program that shall stay.
#![allow(clippy::disallowed_methods, reason = "links and programs are for instances to see, and nobody's state")]

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use parking_lot::Mutex;

/// Where the program itself is in an instance.
const PROGRAM: &str = "opt/millpond/bin/millpond";

/// Where distributions keep whom they trust.
const TRUST_STORES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
];

/// A layer with this program in it, under all of its names.
pub(super) struct Tools {
    pub(super) dir: PathBuf,
    pub(super) program: PathBuf,
    /// Our own authority's certificate, once it is known.
    pub(super) authority: OnceLock<String>,
    /// Held by who lays: instances are launched side by side, and two that lay the same link undo each other.
    pub(super) laying: Mutex<()>,
}

impl Tools {
    /// Makes the layer what it should be.
    pub(super) fn lay(&self) -> io::Result<()> {
        let _alone = self.laying.lock();
        let program = self.dir.join(PROGRAM);
        let is_trust_laid = || self.authority.get().is_none() || self.dir.join(&TRUST_STORES[0][1..]).exists();
        if is_same(&self.program, &program).unwrap_or(false) && is_trust_laid() {
            return Ok(());
        }
        for link in guest::LINKS {
            let path = Path::new(link.path);
            let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { continue };
            let path = super::resolved(directory).join(name);
            if link.replaces || !path.exists() {
                self.link(&path)?;
            }
        }
        self.lay_trust()?;
        // The program comes last: with it the layer is whole.
        let Some(directory) = program.parent() else { return Ok(()) };
        fs::create_dir_all(directory)?;
        let beside = program.with_extension("new");
        let _ = fs::remove_file(&beside);
        // Another file system cannot have it by another name.
        fs::hard_link(&self.program, &beside).or_else(|_| fs::copy(&self.program, &beside).map(drop))?;
        fs::rename(&beside, &program)
    }

    /// From now on instances trust whoever this authority vouches for.
    pub(super) fn trust(&self, authority_pem: &str) {
        let _ = self.authority.set(authority_pem.to_owned());
    }

    /// What programs that bring certificates of their own read instead of the image's. A plain process has none of this
    /// layer's files.
    pub(super) fn environment(&self, is_laid_over: bool) -> Vec<(String, String)> {
        let names: &[&str] =
            if is_laid_over { &["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"] } else { &[] };
        names.iter().map(|name| ((*name).to_owned(), TRUST_STORES[0].to_owned())).collect()
    }

    /// Whom the host trusts, and our own authority, wherever distributions keep that.
    fn lay_trust(&self) -> io::Result<()> {
        let Some(authority) = self.authority.get() else { return Ok(()) };
        let host = TRUST_STORES.iter().find_map(|store| fs::read_to_string(store).ok()).unwrap_or_default();
        let bundle = format!("{}\n{authority}", host.trim_end());
        for (number, store) in TRUST_STORES.iter().map(Path::new).enumerate() {
            // The first is there always, as variables name it.
            if number > 0 && !store.exists() {
                continue;
            }
            let Some((directory, name)) = store.parent().zip(store.file_name()) else { continue };
            let path = super::resolved(directory).join(name);
            let laid = self.dir.join(path.strip_prefix("/").unwrap_or(&path));
            laid.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(laid, &bundle)?;
        }
        Ok(())
    }

    fn link(&self, path: &Path) -> io::Result<()> {
        let link = self.dir.join(path.strip_prefix("/").unwrap_or(path));
        if let Some(directory) = link.parent() {
            fs::create_dir_all(directory)?;
        }
        let _ = fs::remove_file(&link);
        symlink(Path::new("/").join(PROGRAM), link)
    }
}

/// Whether a file is there, and is a link to the other or a copy of it.
fn is_same(program: &Path, there: &Path) -> io::Result<bool> {
    let (program, there) = (fs::metadata(program)?, fs::metadata(there)?);
    Ok(program.len() == there.len() && program.modified()? <= there.modified()?)
}
