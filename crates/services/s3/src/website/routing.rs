//! Which redirect, if any, a request to a website gets. Pure.
//!
//! Invariant: the first rule whose conditions all hold decides.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::configuration::{Redirect, Rule};

/// What a key may not hold in a URL's path.
const PATH: AsciiSet = CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A redirect, ready to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) status: u16,
    pub(crate) location: String,
}

/// How the client reached us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reached<'a> {
    pub(crate) scheme: &'a str,
    /// Host and port as the client wrote them.
    pub(crate) authority: &'a str,
}

/// A key as the path of a URL.
pub(crate) fn path(key: &str) -> String {
    format!("/{}", utf8_percent_encode(key, &PATH))
}

/// The rule for `key`: before it is looked up (`error` is `None`) those without an error condition, after it failed
/// those for that error.
pub(crate) fn route(rules: &[Rule], key: &str, error: Option<u16>, reached: Reached<'_>) -> Option<Target> {
    let fits =
        |rule: &&Rule| rule.error == error && rule.prefix.as_deref().is_none_or(|prefix| key.starts_with(prefix));
    let rule = rules.iter().find(fits)?;
    Some(target(&rule.redirect, rule.prefix.as_deref().unwrap_or_default(), key, reached))
}

fn target(redirect: &Redirect, prefix: &str, key: &str, reached: Reached<'_>) -> Target {
    let key = match (&redirect.replace_key, &redirect.replace_prefix) {
        (Some(whole), _) => whole.clone(),
        (None, Some(start)) => format!("{start}{}", key.strip_prefix(prefix).unwrap_or(key)),
        (None, None) => key.to_owned(),
    };
    let scheme = redirect.protocol.as_deref().unwrap_or(reached.scheme);
    let authority = redirect.host.as_deref().unwrap_or(reached.authority);
    Target { status: redirect.code.unwrap_or(301), location: format!("{scheme}://{authority}{}", path(&key)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Reached<'_> = Reached { scheme: "http", authority: "site.s3-website-us-east-1.localhost:4566" };

    fn rule(prefix: Option<&str>, error: Option<u16>, redirect: Redirect) -> Rule {
        Rule { prefix: prefix.map(str::to_owned), error, redirect }
    }

    #[test]
    fn a_prefix_is_replaced() {
        let to = Redirect { replace_prefix: Some("documents/".to_owned()), ..Redirect::default() };
        let rules = [rule(Some("docs/"), None, to)];
        let target = route(&rules, "docs/a b.html", None, HERE).unwrap();
        assert_eq!(target.location, "http://site.s3-website-us-east-1.localhost:4566/documents/a%20b.html");
        assert_eq!(target.status, 301);
        assert_eq!(route(&rules, "other/a", None, HERE), None);
    }

    #[test]
    fn an_error_condition_waits_for_its_error() {
        let to = Redirect {
            host: Some("app.example.com".to_owned()),
            protocol: Some("https".to_owned()),
            code: Some(302),
            replace_prefix: Some("report-404/".to_owned()),
            ..Redirect::default()
        };
        let rules = [rule(None, Some(404), to)];
        assert_eq!(route(&rules, "missing", None, HERE), None);
        assert_eq!(route(&rules, "missing", Some(403), HERE), None);
        let target = route(&rules, "missing", Some(404), HERE).unwrap();
        assert_eq!(target, Target { status: 302, location: "https://app.example.com/report-404/missing".to_owned() });
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let to = |key: &str| Redirect { replace_key: Some(key.to_owned()), ..Redirect::default() };
        let rules = [rule(Some("a"), None, to("first")), rule(Some("ab"), None, to("second"))];
        assert!(route(&rules, "abc", None, HERE).unwrap().location.ends_with("/first"));
    }
}
