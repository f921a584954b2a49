//! Names and ids that CloudFormation makes up.
//!
//! Invariant: the name of a resource follows from its stack's id, its logical id and its generation alone, so that a step
//! that is done again after a crash asks for the same name.

use host::Ids;
use sha2::{Digest, Sha256};

/// How many characters tell one generated name from another.
const SUFFIX_CHARACTERS: usize = 12;
const LETTERS: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

fn digest(stack_id: &str, logical: &str, generation: u32) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [stack_id.as_bytes(), b"\0", logical.as_bytes(), b"\0", &generation.to_be_bytes()] {
        hash.update(part);
    }
    hash.finalize().into()
}

/// `web-Queue-1A2B3C4D5E6F`, cut so that it has at most so many characters.
pub(crate) fn physical(stack: &str, logical: &str, stack_id: &str, generation: u32, characters_max: usize) -> String {
    let digest = digest(stack_id, logical, generation);
    let suffix: String = digest
        .iter()
        .take(SUFFIX_CHARACTERS)
        .map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]))
        .collect();
    // Names of stacks and logical ids are ASCII.
    let room = characters_max.saturating_sub(SUFFIX_CHARACTERS + 2);
    let logical = &logical[..logical.len().min(room.div_ceil(2)).min(logical.len())];
    let stack = &stack[..stack.len().min(room.saturating_sub(logical.len()))];
    format!("{}-{}-{suffix}", stack.trim_end_matches('-'), logical)
}

/// A token that is the same for the same step.
pub(crate) fn token(stack_id: &str, logical: &str, generation: u32) -> String {
    hex(&digest(stack_id, logical, generation)[..16])
}

/// A random UUID's text.
pub(crate) fn uuid(ids: &dyn Ids) -> String {
    let hex = hex(&ids.uuid());
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_for_the_same_step_and_no_other() {
        let name = |logical, generation| physical("web", logical, "arn:stack/web/1", generation, 80);
        assert_eq!(name("Queue", 1), name("Queue", 1));
        assert_ne!(name("Queue", 1), name("Queue", 2));
        assert_ne!(name("Queue", 1), name("Topic", 1));
        assert!(name("Queue", 1).starts_with("web-Queue-"));
        assert_eq!(name("Queue", 1).len(), "web-Queue-".len() + SUFFIX_CHARACTERS);
    }

    #[test]
    fn a_long_name_is_cut_and_keeps_its_suffix() {
        let long = "x".repeat(128);
        for max in [32, 63, 80] {
            let name = physical(&long, &long, "id", 1, max);
            assert_eq!(name.len(), max, "{name}");
            assert_eq!(name.rsplit('-').next().map(str::len), Some(SUFFIX_CHARACTERS));
        }
        assert!(physical("a-very-long-stack-name-for-elb", "LoadBalancer", "id", 1, 32).len() <= 32);
    }
}
