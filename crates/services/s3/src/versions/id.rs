//! Version ids: opaque to clients, and an address to us.
//!
//! Invariants:
//! - An id carries its version's sequence, so that a version is found by one look at its row.
//! - An id that was never given out is told by its check digits; parsing never fails otherwise.

use base64::Engine as _;
use base64::alphabet::Alphabet;
use base64::engine::{GeneralPurpose, general_purpose};
use host::Ids;

use crate::rows::Version;

/// What AWS calls the version that has no id.
const NULL: &str = "null";
/// Letters, digits, `.` and `_`, as AWS's ids have: a `-` in front would look like an option to command lines.
const ALPHABET: Alphabet = match Alphabet::new("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._") {
    Ok(alphabet) => alphabet,
    // Never so: 64 different characters.
    Err(_) => base64::alphabet::URL_SAFE,
};
const BASE64: GeneralPurpose = GeneralPurpose::new(&ALPHABET, general_purpose::NO_PAD);
/// 12 random bytes, 8 of the sequence, 4 of check: 32 characters, as on AWS.
const ID_BYTES: usize = 24;
const RANDOM_BYTES: usize = 12;
const CHECKED_BYTES: usize = 20;

/// A version as a request names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VersionId {
    /// The one without an id.
    Null,
    /// One that was given out.
    Given {
        /// As the client writes it.
        text: String,
        /// The version's sequence.
        sequence: u64,
    },
}

impl VersionId {
    /// `None`: no id that was ever given out.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == NULL {
            return Some(Self::Null);
        }
        let bytes: [u8; ID_BYTES] = BASE64.decode(text).ok()?.try_into().ok()?;
        let (checked, check) = bytes.split_at(CHECKED_BYTES);
        if check != check_of(checked) {
            return None;
        }
        let sequence = u64::from_be_bytes(checked.get(RANDOM_BYTES..)?.try_into().ok()?);
        Some(Self::Given { text: text.to_owned(), sequence })
    }

    /// That of a version that stands.
    pub(crate) fn of(version: &Version) -> Self {
        match &version.id {
            Some(text) => Self::Given { text: text.clone(), sequence: version.sequence },
            None => Self::Null,
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Null => NULL,
            Self::Given { text, .. } => text,
        }
    }
}

/// A new id for a version of this sequence.
pub(crate) fn fresh(ids: &dyn Ids, sequence: u64) -> String {
    let mut bytes = [0; RANDOM_BYTES];
    ids.fill(&mut bytes);
    let mut id = bytes.to_vec();
    id.extend(sequence.to_be_bytes());
    id.extend(check_of(&id));
    BASE64.encode(id)
}

fn check_of(bytes: &[u8]) -> [u8; 4] {
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes);
    u32::try_from(crc).unwrap_or_default().to_be_bytes()
}

#[cfg(test)]
mod tests {
    use host::sim::{Seed, SimIds};

    use super::*;

    #[test]
    fn an_id_reads_back_with_its_sequence() {
        let ids = SimIds::new(Seed(7));
        for sequence in [0, 1, 77, u64::MAX] {
            let text = fresh(&ids, sequence);
            assert_eq!(text.len(), 32);
            assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._".contains(&b)), "{text}");
            assert_eq!(VersionId::parse(&text), Some(VersionId::Given { text, sequence }));
        }
        assert_eq!(VersionId::parse("null"), Some(VersionId::Null));
        assert_ne!(fresh(&ids, 1), fresh(&ids, 1), "a version that was deleted is never meant again");
    }

    #[test]
    fn an_id_that_nobody_gave_out_is_none() {
        let given = fresh(&SimIds::new(Seed(7)), 3);
        let other = if given.starts_with('A') { 'B' } else { 'A' };
        let altered = format!("{other}{}", &given[1..]);
        for text in ["", "Null", "HPniJFCxqTsMuIH9KX8K8wEjNUgmABCD", &given[1..], &altered, "\u{fffd}"] {
            assert_eq!(VersionId::parse(text), None, "{text}");
        }
    }
}
