//! Pages of a listing.
//!
//! Invariant: a token names the last thing of its page, so that what comes and goes between two pages moves nothing
//! else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use wire::ApiError;

use crate::errors;

/// Rows of a page when nobody says how many.
const DEFAULT: usize = 50;
/// Rows of a page at most.
const MAX: i32 = 100;

/// The page of a listing that is in the order of its keys, and the next page's token.
pub(crate) fn page<T>(
    items: Vec<T>,
    max_records: Option<i32>,
    token: Option<&str>,
    key: impl Fn(&T) -> String,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let size = match max_records {
        None => DEFAULT,
        Some(size) if (1..=MAX).contains(&size) => usize::try_from(size).unwrap_or(DEFAULT),
        Some(size) => return Err(errors::max_records_out_of_range(size)),
    };
    let after = token.filter(|token| !token.is_empty()).map(|token| {
        let key = URL_SAFE_NO_PAD.decode(token).ok().and_then(|key| String::from_utf8(key).ok());
        key.ok_or_else(errors::next_token_invalid)
    });
    let after = after.transpose()?;
    let rest = items.into_iter().filter(|item| after.as_ref().is_none_or(|after| key(item) > *after));
    let mut page: Vec<T> = rest.take(size + 1).collect();
    let more = page.len() > size;
    page.truncate(size);
    let token = page.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(key(last)));
    Ok((page, token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_and_end() {
        let all = || (0..120).map(|n| format!("{n:03}")).collect::<Vec<_>>();
        let (first, token) = page(all(), None, None, String::clone).unwrap();
        assert_eq!((first.len(), first[49].as_str()), (50, "049"));
        let (second, token) = page(all(), Some(70), token.as_deref(), String::clone).unwrap();
        assert_eq!((second.len(), second[0].as_str(), token), (70, "050", None));
    }

    #[test]
    fn a_page_that_can_not_be_is_refused() {
        let refused = |max, token| page(vec![1], max, token, i32::to_string).unwrap_err().code;
        assert_eq!(refused(Some(0), None), "ValidationError");
        assert_eq!(refused(Some(101), None), "ValidationError");
        assert_eq!(refused(None, Some("!")), "InvalidNextToken");
    }
}
