//! What may be called how: names, paths, ARNs and tags of whatever IAM keeps.
//!
//! Invariant: two names that differ only in case are one name.

use std::collections::BTreeMap;

use api::AccountId;
use api::iam::Tag;

use crate::refusal::Refusal;

/// AWS: 50 tags for each resource.
pub(crate) const TAGS_MAX: usize = 50;

/// Whether the name has only `[A-Za-z0-9_+=,.@-]`. Its length the model has checked.
pub(crate) fn check_name(parameter: &'static str, name: &str) -> Result<(), Refusal> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    if name.bytes().all(allowed) { Ok(()) } else { Err(Refusal::Name { parameter }) }
}

/// Whether the path is `/` or begins and ends with one, in visible ASCII.
pub(crate) fn check_path(parameter: &'static str, path: &str) -> Result<(), Refusal> {
    let visible = path.bytes().all(|byte| byte.is_ascii_graphic());
    if visible && path.starts_with('/') && path.ends_with('/') && path != "//" {
        return Ok(());
    }
    Err(Refusal::Path { parameter })
}

/// Whether the prefix begins like a path.
pub(crate) fn check_path_prefix(prefix: &str) -> Result<(), Refusal> {
    if prefix.starts_with('/') && prefix.bytes().all(|byte| byte.is_ascii_graphic() || byte == 0x7f) {
        return Ok(());
    }
    Err(Refusal::Path { parameter: "pathPrefix" })
}

/// The kinds of things that have ARNs.
pub(crate) mod kind {
    pub(crate) const INSTANCE_PROFILE: &str = "instance-profile";
    pub(crate) const POLICY: &str = "policy";
    pub(crate) const ROLE: &str = "role";
    pub(crate) const SERVER_CERTIFICATE: &str = "server-certificate";
}

/// `arn:aws:iam::123456789012:role/path/name`.
pub(crate) fn arn(kind: &str, account: &str, path: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:{kind}{path}{name}")
}

/// The account and the name in an ARN of a kind; its path is the caller's to compare.
pub(crate) fn parse_arn<'a>(kind: &str, arn: &'a str) -> Option<(AccountId, &'a str)> {
    let (account, resource) = arn.strip_prefix("arn:aws:iam::")?.split_once(':')?;
    let name = resource.strip_prefix(kind)?.strip_prefix('/')?.rsplit('/').next()?;
    Some((AccountId::parse(account)?, name))
}

/// Adds tags to those that are there. Keys are compared without case, and keep the spelling that they came with first.
/// Services mark with `aws:` what is their own.
pub(crate) fn add_tags(
    present: &mut BTreeMap<String, String>,
    tags: Vec<Tag>,
    by_service: bool,
) -> Result<(), Refusal> {
    let mut seen = Vec::new();
    for Tag { key, value } in tags {
        check_tag(&key, &value, by_service)?;
        let lower = key.to_lowercase();
        if seen.contains(&lower) {
            return Err(Refusal::DuplicateTag);
        }
        seen.push(lower);
        let spelling = present.keys().find(|known| known.to_lowercase() == seen[seen.len() - 1]).cloned();
        present.insert(spelling.unwrap_or(key), value);
    }
    if present.len() > TAGS_MAX { Err(Refusal::TooManyTags) } else { Ok(()) }
}

/// Removes tags by their keys, without case; one that isn't there is no error.
pub(crate) fn remove_tags(present: &mut BTreeMap<String, String>, keys: &[String]) {
    let keys: Vec<String> = keys.iter().map(|key| key.to_lowercase()).collect();
    present.retain(|key, _| !keys.contains(&key.to_lowercase()));
}

/// The model limits a list's items, which validation does not look into.
pub(crate) fn check_tag_lengths<'a>(mut keys: impl Iterator<Item = &'a String>) -> Result<(), Refusal> {
    if keys.all(|key| (1..=128).contains(&key.chars().count())) { Ok(()) } else { Err(Refusal::TagKeyLength) }
}

/// Tags as AWS tells them.
pub(crate) fn tags_of(tags: BTreeMap<String, String>) -> Vec<Tag> {
    tags.into_iter().map(|(key, value)| Tag { key, value }).collect()
}

/// AWS's pattern for everything in PEM, and for policies: Latin-1 without control characters.
pub(crate) fn check_characters(parameter: &'static str, text: &str) -> Result<(), Refusal> {
    let allowed = |letter: char| matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{ff}');
    if text.chars().all(allowed) { Ok(()) } else { Err(Refusal::Characters { parameter }) }
}

/// The tags that something is made with, checked.
pub(crate) fn first_tags(tags: Vec<Tag>, by_service: bool) -> Result<BTreeMap<String, String>, Refusal> {
    check_tag_lengths(tags.iter().map(|tag| &tag.key))?;
    let mut present = BTreeMap::new();
    add_tags(&mut present, tags, by_service)?;
    Ok(present)
}

fn check_tag(key: &str, value: &str, by_service: bool) -> Result<(), Refusal> {
    let allowed = |letter: char| letter.is_alphanumeric() || letter.is_whitespace() || "_.:/=+-@".contains(letter);
    let fits = key.chars().all(allowed) && value.chars().all(allowed);
    if !fits {
        return Err(Refusal::TagCharacters);
    }
    if !by_service && key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
        return Err(Refusal::ReservedTag);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_begin_and_end_with_a_slash() {
        for path in ["/", "/a/", "/cloudfront/test/", "/~!/"] {
            assert!(check_path("path", path).is_ok(), "{path}");
        }
        for path in ["", "a", "/a", "a/", "//", "/a b/", "/\u{e9}/"] {
            assert!(check_path("path", path).is_err(), "{path}");
        }
    }

    #[test]
    fn an_arn_says_account_and_name() {
        let kind = kind::SERVER_CERTIFICATE;
        let arn = arn(kind, "123456789012", "/cloudfront/test/", "Site");
        let (account, name) = parse_arn(kind, &arn).unwrap();
        assert_eq!((account.as_str(), name), ("123456789012", "Site"));
        assert!(parse_arn(kind::ROLE, &arn).is_none());
        for bad in ["", "arn:aws:acm:us-east-1:123456789012:certificate/x", "arn:aws:iam::12:server-certificate/x"] {
            assert!(parse_arn(kind, bad).is_none(), "{bad}");
        }
    }
}
