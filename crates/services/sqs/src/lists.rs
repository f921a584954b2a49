//! Pages of lists: MaxResults and NextToken.
//!
//! Invariants:
//! - A token comes out only when MaxResults went in; without it a list ends at 1,000 entries.
//! - A token carries the name to go on after and the list it belongs to: one of another list is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use wire::ApiError;

use crate::errors;
use crate::limits::LIST_RESULTS_MAX;

/// The page that a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// Entries at most.
    pub(crate) limit: usize,
    /// Only entries after this name.
    pub(crate) after: Option<String>,
    /// Whether a token may come out.
    pub(crate) continues: bool,
    list: String,
}

impl Page {
    /// Reads MaxResults and NextToken; `list` names the list and what filters it.
    pub(crate) fn parse(max_results: Option<i32>, next_token: Option<&str>, list: &str) -> Result<Self, ApiError> {
        let limit = max_results.unwrap_or(LIST_RESULTS_MAX);
        let limit = usize::try_from(limit).ok().filter(|_| (1..=LIST_RESULTS_MAX).contains(&limit));
        let limit =
            limit.ok_or_else(|| errors::max_results_out_of_range(max_results.unwrap_or(0), LIST_RESULTS_MAX))?;
        let after = match next_token.filter(|token| !token.is_empty()) {
            None => None,
            Some(_) if max_results.is_none() => return Err(errors::next_token_needs_max_results()),
            Some(token) => Some(decode(token, list).ok_or_else(errors::next_token_invalid)?),
        };
        Ok(Self { limit, after, continues: max_results.is_some(), list: list.to_owned() })
    }

    /// Cuts `names` (sorted, after `self.after`, one more than `limit` if there is one) to the page and makes the
    /// token for the next.
    pub(crate) fn cut(&self, names: &mut Vec<String>) -> Option<String> {
        if names.len() <= self.limit {
            return None;
        }
        names.truncate(self.limit);
        let last = names.last().filter(|_| self.continues)?;
        Some(URL_SAFE_NO_PAD.encode(format!("{}\0{last}", self.list)))
    }
}

fn decode(token: &str, list: &str) -> Option<String> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let (of, after) = text.rsplit_once('\0')?;
    (of == list).then(|| after.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&n| n.to_owned()).collect()
    }

    #[test]
    fn a_token_goes_on_where_the_page_ended() {
        let page = Page::parse(Some(2), None, "queues\0").unwrap();
        let mut found = names(&["a", "b", "c"]);
        let token = page.cut(&mut found).unwrap();
        assert_eq!(found, ["a", "b"]);
        assert_eq!(Page::parse(Some(2), Some(&token), "queues\0").unwrap().after.as_deref(), Some("b"));
    }

    #[test]
    fn without_max_results_there_is_no_token_and_no_more_than_1000() {
        let page = Page::parse(None, None, "queues\0").unwrap();
        assert_eq!(page.limit, 1_000);
        let mut many: Vec<String> = (0..1_001).map(|n| n.to_string()).collect();
        assert_eq!(page.cut(&mut many), None);
        assert_eq!(many.len(), 1_000);
    }

    #[test]
    fn the_last_page_has_no_token() {
        let page = Page::parse(Some(2), None, "queues\0").unwrap();
        assert_eq!(page.cut(&mut names(&["a", "b"])), None);
    }

    #[test]
    fn max_results_is_1_to_1000() {
        assert!(Page::parse(Some(1), None, "").is_ok() && Page::parse(Some(1_000), None, "").is_ok());
        for bad in [0, -1, 1_001] {
            let error = Page::parse(Some(bad), None, "").unwrap_err();
            assert_eq!(error.query_code.as_deref(), Some("InvalidParameterValue"), "{bad}");
        }
    }

    #[test]
    fn a_foreign_token_or_one_without_max_results_is_refused() {
        let page = Page::parse(Some(1), None, "queues\0a").unwrap();
        let token = page.cut(&mut names(&["a1", "a2"])).unwrap();
        assert!(Page::parse(Some(1), Some(&token), "queues\0b").is_err());
        assert!(Page::parse(Some(1), Some("???"), "queues\0a").is_err());
        assert!(Page::parse(None, Some(&token), "queues\0a").is_err());
    }
}
