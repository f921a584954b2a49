//! Pages of a listing.
//!
//! Invariant: a token names the last thing of its page, so that what comes and goes between two pages moves nothing
//! else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use wire::ApiError;

use crate::errors;

/// Which page is asked for.
pub(crate) struct Page {
    size: usize,
    after: Option<String>,
}

impl Page {
    /// A page of at most so many; how many at all, the model has checked.
    pub(crate) fn parse(max_results: Option<i32>, default: usize, token: Option<&str>) -> Result<Self, ApiError> {
        let size = max_results.and_then(|size| usize::try_from(size).ok()).unwrap_or(default).max(1);
        let after = token.filter(|token| !token.is_empty()).map(|token| {
            let key = URL_SAFE_NO_PAD.decode(token).ok().and_then(|key| String::from_utf8(key).ok());
            key.ok_or_else(errors::next_token)
        });
        Ok(Self { size, after: after.transpose()? })
    }

    /// The page of a listing that is in the order of its keys, and the next page's token.
    pub(crate) fn of<T>(&self, items: Vec<T>, key: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
        let rest = items.into_iter().filter(|item| self.after.as_ref().is_none_or(|after| key(item) > *after));
        let mut page: Vec<T> = rest.take(self.size + 1).collect();
        let more = page.len() > self.size;
        page.truncate(self.size);
        let token = page.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(key(last)));
        (page, token)
    }
}
