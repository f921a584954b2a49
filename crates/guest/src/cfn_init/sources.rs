//! Sources: archives that are unpacked into directories.
//!
//! Invariants:
//! - No member of an archive lands outside of its directory: the whole archive is refused when one would.
//! - An archive is told by its bytes, not by its name: zip, or tar that is plain or compressed with gzip or bzip2.

use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use serde_json::{Map, Value};

use super::build::Site;
use crate::error::{BuildError, Result};
use crate::value;

/// How many members an archive may have; each costs memory.
const MEMBERS_MAX: usize = 1_000_000;

/// Unpacks the archives; into which directories.
pub(super) fn apply(site: &Site<'_>, sources: &Map<String, Value>) -> Result<BTreeSet<String>> {
    let mut changed = BTreeSet::new();
    for (directory, archive) in sources {
        let archive = value::text(archive)
            .ok_or_else(|| BuildError::said(format!("sources: the archive for {directory} should be a string")))?;
        let mut file = open(site, &archive)?;
        let kind = kind(&mut file)?
            .ok_or_else(|| BuildError::said(format!("Unsupported source file (not zip or tarball): {archive}")))?;
        site.logs.main.debug(format_args!("Treating {archive} as {kind:?}"));
        let names = names(kind, &mut file).map_err(|error| unreadable(&archive, &error))?;
        for name in &names {
            if landing(name).is_none() {
                return Err(BuildError::said(format!("{} is not a sub-path of {directory}", name.display())));
            }
        }
        let strip = is_from_github(&archive) && has_one_root(&names);
        site.logs.main.debug(format_args!("Expanding {archive} into {directory}"));
        let to = site.system.path(directory);
        std::fs::create_dir_all(&to)?;
        unpack(kind, &mut file, &to, strip).map_err(|error| unreadable(&archive, &error))?;
        changed.insert(directory.clone());
    }
    Ok(changed)
}

fn unreadable(archive: &str, error: &dyn std::fmt::Display) -> BuildError {
    BuildError::said(format!("{archive} cannot be unpacked: {error}"))
}

fn open(site: &Site<'_>, archive: &str) -> Result<File> {
    let lower = archive.to_ascii_lowercase();
    if lower.starts_with("http://") || lower.starts_with("https://") {
        let mut file = tempfile::tempfile()?;
        site.downloads.fetch(&site.logs.main, archive, None, &mut file)?;
        return Ok(file);
    }
    if lower.starts_with("ftp://") {
        return Err(BuildError::said(format!("Failed to retrieve {archive}: FTP is not supported, use HTTP")));
    }
    File::open(site.system.path(archive)).map_err(|_| BuildError::said(format!("{archive} does not exist")))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Zip,
    Tar,
    TarGzip,
    TarBzip2,
}

fn kind(file: &mut File) -> io::Result<Option<Kind>> {
    let mut head = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.by_ref().take(512).read_to_end(&mut head)?;
    file.seek(SeekFrom::Start(0))?;
    let is_tar = head.get(257..262) == Some(b"ustar") || (head.len() == 512 && has_tar_checksum(&head));
    Ok(match head.as_slice() {
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Some(Kind::Zip),
        [0x1f, 0x8b, ..] => Some(Kind::TarGzip),
        [b'B', b'Z', b'h', ..] => Some(Kind::TarBzip2),
        _ if is_tar => Some(Kind::Tar),
        _ => None,
    })
}

/// Whether a block has the checksum of a tar header; archives from before 1988 have nothing else to tell them by.
fn has_tar_checksum(block: &[u8]) -> bool {
    let sum: u32 =
        block.iter().enumerate().map(|(at, byte)| u32::from(if (148..156).contains(&at) { b' ' } else { *byte })).sum();
    let written: String = block[148..156].iter().map(|byte| char::from(*byte)).collect();
    u32::from_str_radix(written.trim_matches([' ', '\0']), 8) == Ok(sum)
}

fn reader(kind: Kind, file: &mut File) -> io::Result<Box<dyn Read + '_>> {
    file.seek(SeekFrom::Start(0))?;
    let buffered = io::BufReader::new(file);
    Ok(match kind {
        Kind::TarGzip => Box::new(MultiGzDecoder::new(buffered)),
        Kind::TarBzip2 => Box::new(MultiBzDecoder::new(buffered)),
        Kind::Tar | Kind::Zip => Box::new(buffered),
    })
}

fn names(kind: Kind, file: &mut File) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    if kind == Kind::Zip {
        let archive = zip::ZipArchive::new(file).map_err(io::Error::other)?;
        for name in archive.file_names() {
            names.push(PathBuf::from(name.map_err(io::Error::other)?.as_ref()));
        }
    } else {
        let mut archive = tar::Archive::new(reader(kind, file)?);
        for entry in archive.entries()? {
            names.push(entry?.path()?.into_owned());
            if names.len() > MEMBERS_MAX {
                break;
            }
        }
    }
    if names.len() > MEMBERS_MAX {
        return Err(io::Error::other(format!("it has more than {MEMBERS_MAX} members")));
    }
    Ok(names)
}

/// Where a member lands inside the directory; `None` when it would land outside.
fn landing(name: &Path) -> Option<PathBuf> {
    let mut landing = PathBuf::new();
    for component in name.components() {
        match component {
            Component::Normal(part) => landing.push(part),
            Component::CurDir => {}
            Component::ParentDir if landing.pop() => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(landing)
}

/// GitHub puts its archives' contents into one directory with a name that nobody can know.
fn is_from_github(archive: &str) -> bool {
    let lower = archive.to_ascii_lowercase();
    let rest = lower.strip_prefix("https://github.com/").or_else(|| lower.strip_prefix("http://github.com/"));
    rest.is_some_and(|rest| rest.contains("/zipball/") || rest.contains("/tarball/"))
}

fn has_one_root(names: &[PathBuf]) -> bool {
    let roots: BTreeSet<_> =
        names.iter().filter_map(|name| landing(name)?.components().next().map(|c| c.as_os_str().to_owned())).collect();
    roots.len() == 1
}

fn unpack(kind: Kind, file: &mut File, to: &Path, strip: bool) -> io::Result<()> {
    let place = |name: &Path| {
        let landing = landing(name)?;
        let landing: PathBuf = if strip { landing.components().skip(1).collect() } else { landing };
        (landing.components().next().is_some()).then(|| to.join(landing))
    };
    if kind == Kind::Zip {
        return unpack_zip(file, place);
    }
    let mut archive = tar::Archive::new(reader(kind, file)?);
    for entry in archive.entries()? {
        let mut entry = entry?;
        entry.set_preserve_permissions(true);
        entry.set_preserve_mtime(true);
        let Some(path) = place(&entry.path()?) else { continue };
        if entry.header().entry_type().is_hard_link() {
            link(&mut entry, &path, place)?;
            continue;
        }
        ensure_parent_inside(to, &path)?;
        if !entry.header().entry_type().is_dir() && std::fs::symlink_metadata(&path).is_ok_and(|found| !found.is_dir())
        {
            // An older link here must not be followed.
            std::fs::remove_file(&path)?;
        }
        entry.unpack(&path)?;
    }
    Ok(())
}

fn link<R: Read>(
    entry: &mut tar::Entry<'_, R>,
    path: &Path,
    place: impl Fn(&Path) -> Option<PathBuf>,
) -> io::Result<()> {
    let target = entry.link_name()?.and_then(|name| place(&name));
    let target = target.ok_or_else(|| io::Error::other(format!("{} links to nowhere", path.display())))?;
    let _ = std::fs::remove_file(path);
    std::fs::hard_link(target, path)
}

/// Makes a member's directory, and refuses it when a link in the archive has led it outside.
fn ensure_parent_inside(to: &Path, path: &Path) -> io::Result<()> {
    let parent = path.parent().unwrap_or(to);
    let mut existing = parent;
    while !existing.exists() {
        existing = existing.parent().unwrap_or(to);
    }
    let is_inside = std::fs::canonicalize(existing)?.starts_with(std::fs::canonicalize(to)?);
    if !is_inside {
        return Err(io::Error::other(format!("{} is not a sub-path of {}", path.display(), to.display())));
    }
    std::fs::create_dir_all(parent)
}

fn unpack_zip(file: &mut File, place: impl Fn(&Path) -> Option<PathBuf>) -> io::Result<()> {
    let mut archive = zip::ZipArchive::new(file).map_err(io::Error::other)?;
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).map_err(io::Error::other)?;
        let Some(path) = place(Path::new(member.name().map_err(io::Error::other)?.as_ref())) else { continue };
        if member.is_dir() {
            std::fs::create_dir_all(&path)?;
            continue;
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let _ = std::fs::remove_file(&path);
        let mut out = File::create(&path)?;
        io::copy(&mut member, &mut out)?;
        if let Some(mode) = member.unix_mode().filter(|mode| mode & 0o777 != 0) {
            std::fs::set_permissions(&path, Permissions::from_mode(mode & 0o777))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn members_land_inside_or_not_at_all() {
        assert_eq!(landing(Path::new("./a/../b/c")), Some(PathBuf::from("b/c")));
        assert_eq!(landing(Path::new("a/../../b")), None);
        assert_eq!(landing(Path::new("/etc/passwd")), None);
    }

    #[test]
    fn archives_from_github_lose_their_only_root() {
        assert!(is_from_github("https://github.com/a/b/tarball/master"));
        assert!(!is_from_github("https://example.org/tarball/master"));
        assert!(has_one_root(&["a/b".into(), "a/c".into(), "./a".into()]));
        assert!(!has_one_root(&["a/b".into(), "c".into()]));
    }

    proptest! {
        #[test]
        fn no_name_lands_outside(name in "[./a]{0,24}") {
            if let Some(landing) = landing(Path::new(&name)) {
                prop_assert!(landing.components().all(|part| matches!(part, Component::Normal(_))));
            }
        }

        #[test]
        fn any_bytes_are_told_apart_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut file = tempfile::tempfile().unwrap();
            io::Write::write_all(&mut file, &bytes).unwrap();
            if let Some(kind) = kind(&mut file).unwrap() {
                let _ = names(kind, &mut file);
            }
        }
    }
}
