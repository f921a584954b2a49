//! Pages of a listing.
//!
//! Invariant: a token names the last thing of its page, so that what comes and goes between two pages moves nothing
//! else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::errors::Refusal;

/// The least that a page may be asked to hold.
pub(crate) const RESULTS_MIN: i32 = 5;
/// The most that a page holds, whatever is asked.
const RESULTS_MAX: usize = 1_000;

/// What part of a listing is wanted.
#[derive(Debug, Default)]
pub(crate) struct Page {
    after: Option<String>,
    max: Option<usize>,
}

impl Page {
    pub(crate) fn parse(max_results: Option<i32>, next_token: Option<&str>) -> Result<Self, Refusal> {
        let after = next_token.filter(|token| !token.is_empty()).map(|token| {
            let id = URL_SAFE_NO_PAD.decode(token).ok().and_then(|id| String::from_utf8(id).ok());
            id.ok_or(Refusal::NextToken)
        });
        let max = match max_results {
            Some(results) if results < RESULTS_MIN => return Err(Refusal::MaxResults(results)),
            Some(results) => Some(usize::try_from(results).unwrap_or(RESULTS_MAX).min(RESULTS_MAX)),
            None => None,
        };
        Ok(Self { after: after.transpose()?, max })
    }

    /// Whether only a part is wanted.
    pub(crate) fn is_partial(&self) -> bool {
        self.max.is_some()
    }

    /// The page of an ordered listing, and the next one's token.
    pub(crate) fn of<T>(&self, items: impl Iterator<Item = T>, id: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
        let items = items.filter(|item| self.after.as_ref().is_none_or(|after| id(item) > *after));
        let Some(max) = self.max else { return (items.collect(), None) };
        let mut items: Vec<T> = items.take(max + 1).collect();
        let more = items.len() > max;
        items.truncate(max);
        let token = items.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(id(last)));
        (items, token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_and_end() {
        let all = || (0..12).map(|n| format!("i-{n:02}"));
        let first = Page::parse(Some(5), None).unwrap();
        let (items, token) = first.of(all(), String::clone);
        assert_eq!(items.last().map(String::as_str), Some("i-04"));
        let second = Page::parse(Some(7), token.as_deref()).unwrap();
        let (items, token) = second.of(all(), String::clone);
        assert_eq!((items.len(), items[0].as_str(), token), (7, "i-05", None));
    }

    #[test]
    fn a_page_that_can_not_be_is_refused() {
        assert!(matches!(Page::parse(Some(4), None), Err(Refusal::MaxResults(4))));
        assert!(matches!(Page::parse(None, Some("!")), Err(Refusal::NextToken)));
        assert_eq!(Page::parse(Some(5000), None).unwrap().max, Some(RESULTS_MAX));
    }
}
