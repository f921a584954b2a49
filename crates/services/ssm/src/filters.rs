//! Filters of listings.
//!
//! Invariant: a filter that could never match, for its key, option or value, is refused.

use ::api::ssm::ParameterStringFilter;
use wire::ApiError;

use crate::rows::{Found, VersionRow};
use crate::{errors, names};

/// Which listing is filtered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// DescribeParameters.
    Describe,
    /// GetParametersByPath.
    ByPath,
}

/// All filters of a request; what passes, passes each.
pub(crate) struct Filters(Vec<Filter>);

struct Filter {
    key: FilterKey,
    option: Match,
    values: Vec<String>,
}

#[derive(PartialEq, Eq)]
enum FilterKey {
    Name,
    Type,
    KeyId,
    Path,
    Label,
    Tier,
    DataType,
    Tag(String),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Match {
    Equals,
    BeginsWith,
    Contains,
    OneLevel,
    Recursive,
}

const TYPES: [&str; 3] = ["String", "StringList", "SecureString"];
const TIERS: [&str; 3] = ["Standard", "Advanced", "Intelligent-Tiering"];

impl Filters {
    pub(crate) fn parse(filters: Vec<ParameterStringFilter>, scope: Scope) -> Result<Self, ApiError> {
        let mut parsed: Vec<Filter> = Vec::with_capacity(filters.len());
        for (index, filter) in filters.into_iter().enumerate() {
            let name = filter.key.clone();
            let key = key(&name).ok_or_else(|| errors::filter_key_unknown(index + 1, &name))?;
            check_scope(&key, &name, scope)?;
            if parsed.iter().any(|earlier| earlier.key == key) {
                return Err(errors::filter_twice(&name));
            }
            parsed.push(read(key, filter)?);
        }
        Ok(Self(parsed))
    }

    pub(crate) fn pass(&self, found: &Found) -> bool {
        self.0.iter().all(|filter| filter.passes(found))
    }

    /// Whether versions are asked for by their labels.
    pub(crate) fn ask_for_labels(&self) -> bool {
        self.0.iter().any(|filter| filter.key == FilterKey::Label)
    }

    /// The label by which a version was found.
    pub(crate) fn label_of<'a>(&self, version: &'a VersionRow) -> Option<&'a String> {
        let filter = self.0.iter().find(|filter| filter.key == FilterKey::Label)?;
        version.labels.iter().find(|label| filter.matches(label))
    }
}

fn key(name: &str) -> Option<FilterKey> {
    Some(match name {
        "Name" => FilterKey::Name,
        "Type" => FilterKey::Type,
        "KeyId" => FilterKey::KeyId,
        "Path" => FilterKey::Path,
        "Label" => FilterKey::Label,
        "Tier" => FilterKey::Tier,
        "DataType" => FilterKey::DataType,
        _ => FilterKey::Tag(name.strip_prefix("tag:").filter(|tag| !tag.is_empty())?.to_owned()),
    })
}

fn check_scope(key: &FilterKey, name: &str, scope: Scope) -> Result<(), ApiError> {
    match scope {
        Scope::Describe if *key == FilterKey::Label => {
            Err(errors::filter_key(name, &["Path", "Name", "Type", "KeyId", "Tier"]))
        }
        Scope::ByPath if !matches!(key, FilterKey::Type | FilterKey::KeyId | FilterKey::Label) => {
            Err(errors::filter_key(name, &["Type", "KeyId"]))
        }
        _ => Ok(()),
    }
}

fn read(key: FilterKey, filter: ParameterStringFilter) -> Result<Filter, ApiError> {
    let ParameterStringFilter { key: name, option, values } = filter;
    // A tag may be asked for whatever its value.
    if values.is_empty() && !matches!(key, FilterKey::Tag(_)) {
        return Err(errors::filter_without_values(&name));
    }
    let valid: &[&str] = match key {
        FilterKey::Path => &["Recursive", "OneLevel"],
        FilterKey::Name => &["BeginsWith", "Equals", "Contains"],
        FilterKey::Tag(_) => &["Equals"],
        _ => &["BeginsWith", "Equals"],
    };
    if let Some(option) = option.as_deref().filter(|option| !valid.contains(option)) {
        return Err(errors::filter_option(option, valid));
    }
    let option = match option.as_deref() {
        Some("BeginsWith") => Match::BeginsWith,
        Some("Contains") => Match::Contains,
        Some("Recursive") => Match::Recursive,
        _ if key == FilterKey::Path => Match::OneLevel,
        _ => Match::Equals,
    };
    let known: &[&str] = match key {
        FilterKey::Type if option == Match::Equals => &TYPES,
        FilterKey::Tier if option == Match::Equals => &TIERS,
        _ => &[],
    };
    for value in &values {
        if !known.is_empty() && !known.contains(&value.as_str()) {
            return Err(errors::filter_value(value, known));
        }
        if key == FilterKey::Path {
            names::hierarchy(value)?;
        }
    }
    Ok(Filter { key, option, values })
}

impl Filter {
    fn passes(&self, found: &Found) -> bool {
        match &self.key {
            FilterKey::Name => self.matches_path(&found.path),
            FilterKey::Path => self.values.iter().any(|value| self.holds(value, &found.path)),
            FilterKey::Type => self.matches(&found.version.kind),
            FilterKey::KeyId => found.version.key_id.as_deref().is_some_and(|key| self.matches(key)),
            FilterKey::Label => found.version.labels.iter().any(|label| self.matches(label)),
            FilterKey::Tier => self.matches(&found.version.tier),
            FilterKey::DataType => self.matches(&found.version.data_type),
            FilterKey::Tag(tag) => match found.parameter.tags.get(tag) {
                Some(value) => self.values.is_empty() || self.matches(value),
                None => false,
            },
        }
    }

    fn matches(&self, text: &str) -> bool {
        self.values.iter().any(|value| match self.option {
            Match::BeginsWith => text.starts_with(value.as_str()),
            Match::Contains => text.contains(value.as_str()),
            _ => text == value,
        })
    }

    /// A name counts with and without its first slash.
    fn matches_path(&self, path: &str) -> bool {
        self.matches(path) || path.strip_prefix('/').is_some_and(|name| self.matches(name))
    }

    /// Whether a parameter is in a hierarchy.
    fn holds(&self, hierarchy: &str, path: &str) -> bool {
        let bare = hierarchy.strip_suffix('/').unwrap_or(hierarchy);
        let rest = path.strip_prefix(bare).and_then(|rest| rest.strip_prefix('/'));
        rest.is_some_and(|rest| self.option == Match::Recursive || !rest.contains('/'))
    }
}
