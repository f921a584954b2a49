//! Rows as EC2 lists them: named ones or all, filtered, in pages.
//!
//! Invariant: of ids that a client names, all are there or none is listed.

use api::ec2::{Filter, Tag};
use serde::de::DeserializeOwned;
use store::{Scan, Table, View};

use crate::errors::{self, Refusal};
use crate::filters::Filters;
use crate::paging::Page;
use crate::place::is_well_formed;
use crate::request::Request;
use crate::tags::Loaded;

/// What a client wants to see.
pub(crate) struct Wanted {
    pub(crate) ids: Vec<String>,
    pub(crate) filters: Filters,
    pub(crate) page: Page,
}

impl Wanted {
    /// `known` are the names of the filters that EC2 has for this kind.
    pub(crate) fn parse(
        ids: Vec<String>,
        filters: Vec<Filter>,
        known: &[&str],
        max_results: Option<i32>,
        next_token: Option<&str>,
    ) -> Result<Self, Refusal> {
        let (filters, page) = (Filters::parse(filters, known)?, Page::parse(max_results, next_token)?);
        Ok(Self { ids, filters, page })
    }
}

/// A kind of thing: where its rows are, and what its ids begin with.
pub(crate) struct Kind<T: 'static> {
    pub(crate) table: &'static Table<T>,
    pub(crate) id: &'static str,
}

impl<T: DeserializeOwned> Kind<T> {
    /// The row of an id; refused when there is none.
    pub(crate) fn get(&self, view: &View<'_>, request: &Request, id: &str) -> Result<T, Refusal> {
        check_id(self.id, id)?;
        let row = view.get(self.table, &request.key(id))?;
        row.map(|row| row.value).ok_or_else(|| errors::not_found(self.id, id))
    }

    /// All rows of this place, by id.
    pub(crate) fn all(&self, view: &View<'_>, request: &Request) -> Result<Vec<(String, T)>, Refusal> {
        let prefix = request.place.prefix();
        let rows = view.scan(self.table, &Scan::prefix(&prefix))?;
        Ok(rows.into_iter().map(|row| (row.key[prefix.len()..].to_owned(), row.value)).collect())
    }

    /// These rows, or all when none is named.
    pub(crate) fn named(
        &self,
        view: &View<'_>,
        request: &Request,
        ids: &[String],
    ) -> Result<Vec<(String, T)>, Refusal> {
        if ids.is_empty() {
            return self.all(view, request);
        }
        let mut ids = ids.to_vec();
        ids.sort();
        ids.dedup();
        ids.iter().try_for_each(|id| check_id(self.id, id))?;
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for id in ids {
            match view.get(self.table, &request.key(&id))? {
                Some(row) => found.push((id, row.value)),
                None => missing.push(id),
            }
        }
        if missing.is_empty() { Ok(found) } else { Err(Refusal::NotFound { kind: self.id, ids: missing }) }
    }

    /// What a client wants to see, described, and the next page's token. `values` answers what a described thing has
    /// under a filter's name.
    pub(crate) fn list<D>(
        &self,
        view: &View<'_>,
        request: &Request,
        wanted: &Wanted,
        describe: impl Fn(&str, T, Vec<Tag>) -> Result<D, Refusal>,
        values: impl Fn(&D, &str) -> Vec<String>,
    ) -> Result<(Vec<D>, Option<String>), Refusal> {
        let rows = self.named(view, request, &wanted.ids)?;
        let loaded = Loaded::load(view, &request.place, self.id, !wanted.ids.is_empty())?;
        let mut described = Vec::new();
        for (id, row) in rows {
            let tags = loaded.of(view, &request.place, &id)?;
            let thing = describe(&id, row, tags.clone())?;
            if wanted.filters.pass(&tags, |name| values(&thing, name)) {
                described.push((id, thing));
            }
        }
        let (page, next_token) = wanted.page.of(described.into_iter(), |(id, _)| id.clone());
        Ok((page.into_iter().map(|(_, thing)| thing).collect(), next_token))
    }
}

/// Refuses what has not the form of such an id, where EC2 tells that apart.
pub(crate) fn check_id(kind: &'static str, id: &str) -> Result<(), Refusal> {
    let is_told_apart = matches!(kind, "i" | "sg" | "sgr" | "ami");
    if is_told_apart && !is_well_formed(kind, id) {
        return Err(Refusal::Malformed { kind, id: id.to_owned() });
    }
    Ok(())
}

/// A filter's values: of what may be absent, and of what is there.
pub(crate) fn text(value: &Option<String>) -> Vec<String> {
    value.iter().cloned().collect()
}

/// A truth value as filters spell it.
pub(crate) fn truth(value: Option<bool>) -> Vec<String> {
    value.map(|value| value.to_string()).into_iter().collect()
}
