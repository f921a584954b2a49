//! Names of parameters: what may be made, and what a request means by a name.
//!
//! Invariant: a path begins with `/`, has no empty level and only letters, digits and `.-_`.

use wire::ApiError;

use crate::errors;
use crate::limits::{LEVELS_MAX, NAME_CHARACTERS_MAX};
use crate::rows::Place;

/// A parameter that a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The whole text, for sentences about it.
    pub(crate) asked: String,
    /// The name as it is answered: as it was asked for; `None` for an ARN, which is answered by the name that was made.
    pub(crate) name: Option<String>,
    /// Its place in the hierarchy.
    pub(crate) path: String,
    /// A version's number or label.
    pub(crate) selector: Option<String>,
}

/// The path of a name.
fn path_of(name: &str) -> String {
    if name.starts_with('/') { name.to_owned() } else { format!("/{name}") }
}

fn is_path(path: &str) -> bool {
    let is_level = |level: &str| {
        !level.is_empty() && level.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    };
    path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_level))
}

fn begins(path: &str, word: &str) -> bool {
    path.get(1..=word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// The path of a parameter that is about to be made or changed.
pub(crate) fn to_put(name: &str) -> Result<String, ApiError> {
    let name = name.trim();
    if name.contains('/') && !name.starts_with('/') {
        return Err(errors::not_fully_qualified());
    }
    let path = path_of(name);
    match (name.contains('/'), begins(&path, "aws"), begins(&path, "ssm")) {
        (true, true, _) => return Err(errors::reserved(name)),
        (false, true, _) | (false, _, true) => return Err(errors::reserved_prefix()),
        (true, _, true) => return Err(errors::name()),
        _ => {}
    }
    if !is_path(&path) {
        return Err(errors::name());
    }
    if path.chars().count() > NAME_CHARACTERS_MAX {
        return Err(errors::name_too_long(NAME_CHARACTERS_MAX));
    }
    if path.split('/').count() - 1 > LEVELS_MAX {
        return Err(errors::too_many_levels(name, LEVELS_MAX));
    }
    Ok(path)
}

/// What a request asks for: a name or an ARN, perhaps with a version or label behind a colon.
pub(crate) fn wanted(place: &Place, asked: &str) -> Result<Wanted, ApiError> {
    let text = asked.trim();
    let (name, is_arn) = match text.strip_prefix("arn:") {
        Some(rest) => (of_arn(place, rest).ok_or_else(|| errors::not_found(asked))?, true),
        None => (text, false),
    };
    let (name, selector) = match name.split_once(':') {
        Some((_, selector)) if selector.contains(':') => return Err(errors::not_found(asked)),
        Some((name, selector)) => (name, Some(selector.to_owned())),
        None => (name, None),
    };
    let path = path_of(name);
    if (name.contains('/') && !name.starts_with('/')) || !is_path(&path) || begins(&path, "ssm") {
        return Err(errors::name());
    }
    Ok(Wanted { asked: text.to_owned(), name: (!is_arn).then(|| name.to_owned()), path, selector })
}

/// `aws:ssm:REGION:ACCOUNT:parameter/NAME`; AWS's own parameters have no account.
fn of_arn<'a>(place: &Place, rest: &'a str) -> Option<&'a str> {
    let mut parts = rest.splitn(5, ':');
    let (_, service, region, account) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let name = parts.next()?.strip_prefix("parameter")?;
    let is_here = service == "ssm" && region == place.region && (account == place.account || account.is_empty());
    (is_here && name.starts_with('/')).then_some(name)
}

/// The path of a hierarchy, without a slash at its end; empty for the root.
pub(crate) fn hierarchy(path: &str) -> Result<&str, ApiError> {
    let bare = path.strip_suffix('/').unwrap_or(path);
    if path == "/" || (is_path(bare) && !begins(bare, "ssm")) { Ok(bare) } else { Err(errors::path()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { account: "123456789012".into(), region: "eu-west-1".into() }
    }

    #[test]
    fn a_name_is_put_under_its_path_or_refused_with_a_reason() {
        assert_eq!(to_put(" a.b-c_D9 ").unwrap(), "/a.b-c_D9");
        assert_eq!(to_put("/a/b").unwrap(), "/a/b");
        let code = |name: &str| to_put(name).unwrap_err().code.into_owned();
        for wrong in ["a/b", "/a//b", "/a/", "/", "a b", "a:1", "é", "aws", "AwsThing", "ssm-x", "/ssm/x", ""] {
            assert_eq!(code(wrong), "ValidationException", "{wrong}");
        }
        assert_eq!(code("/aws/x"), "AccessDeniedException");
        assert_eq!(to_put(&"/a".repeat(15)).unwrap(), "/a".repeat(15));
        assert_eq!(code(&"/a".repeat(16)), "HierarchyLevelLimitExceededException");
        assert_eq!(code(&"a".repeat(1011)), "ValidationException");
    }

    #[test]
    fn a_request_means_a_path_and_perhaps_a_version() {
        let both = |text: &str| wanted(&place(), text).map(|wanted| (wanted.name, wanted.path, wanted.selector));
        assert_eq!(both("x:3").unwrap(), (Some("x".into()), "/x".into(), Some("3".into())));
        assert_eq!(both("/x/y").unwrap(), (Some("/x/y".into()), "/x/y".into(), None));
        let arn = "arn:aws:ssm:eu-west-1:123456789012:parameter/x/y:live";
        assert_eq!(both(arn).unwrap(), (None, "/x/y".into(), Some("live".into())));
        assert_eq!(both("/aws/service/x").unwrap().1, "/aws/service/x");
        for elsewhere in
            ["arn:aws:ssm:us-east-1:123456789012:parameter/x", "arn:aws:ssm:eu-west-1:1:parameter/x", "x:1:2"]
        {
            assert_eq!(both(elsewhere).unwrap_err().code, "ParameterNotFound", "{elsewhere}");
        }
        for wrong in ["x/y", "/x//y", "x y", "/ssm/x"] {
            assert_eq!(both(wrong).unwrap_err().code, "ValidationException", "{wrong}");
        }
    }

    #[test]
    fn a_hierarchy_may_end_with_a_slash() {
        assert_eq!(hierarchy("/").unwrap(), "");
        assert_eq!(hierarchy("/a/b/").unwrap(), "/a/b");
        for wrong in ["a", "//", "/###", "", "/ssm"] {
            assert_eq!(hierarchy(wrong).unwrap_err().code, "ValidationException", "{wrong}");
        }
    }
}
