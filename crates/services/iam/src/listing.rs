//! [`Page`]: a part of a listing, and the marker of the next.
//!
//! Invariant: a marker says what the page before ended with, so that what is made or deleted between two pages neither
//! repeats nor hides another item.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::refusal::Refusal;

/// How many items a page has unless the client says.
const PAGE: usize = 100;

/// A part of a listing.
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// What the next page begins after, if there is one.
    pub(crate) marker: Option<String>,
}

impl<T> Page<T> {
    /// `max` items of an ordered listing, after the one named `after`.
    pub(crate) fn of(
        items: impl Iterator<Item = T>,
        name: impl Fn(&T) -> String,
        after: Option<String>,
        max: Option<i32>,
    ) -> Self {
        let max = max.and_then(|max| usize::try_from(max).ok()).unwrap_or(PAGE);
        let mut items: Vec<T> =
            items.filter(|item| after.as_ref().is_none_or(|after| name(item) > *after)).take(max + 1).collect();
        let more = items.len() > max;
        items.truncate(max);
        let marker = items.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(name(last)));
        Self { items, marker }
    }
}

/// What a marker says.
pub(crate) fn read_marker(marker: &str) -> Result<String, Refusal> {
    let name = URL_SAFE_NO_PAD.decode(marker).ok().and_then(|name| String::from_utf8(name).ok());
    name.ok_or(Refusal::Marker)
}
