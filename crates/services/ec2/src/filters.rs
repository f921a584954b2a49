//! Filters: which of the things that are there a client wants to see.
//!
//! Invariants:
//! - A filter that EC2 doesn't have for a resource is refused; one that it has and Millpond's things lack matches none.
//! - A thing passes if for each filter one of its values matches one of the filter's.

use api::ec2::{Filter, Tag};

use crate::errors::Refusal;

/// AWS's bound on the values of all filters of a call.
const VALUES_MAX: usize = 200;

/// The filters of a call, known to be EC2's.
#[derive(Debug, Default)]
pub(crate) struct Filters(Vec<(String, Vec<String>)>);

impl Filters {
    /// Reads filters. `known` are the names that EC2 has for this resource; all resources can be filtered by tags.
    pub(crate) fn parse(filters: Vec<Filter>, known: &[&str]) -> Result<Self, Refusal> {
        let mut parsed = Vec::with_capacity(filters.len());
        let mut count = 0;
        for (number, Filter { name, values }) in (1..).zip(filters) {
            let name = name.ok_or_else(|| Refusal::Missing(format!("Filter.{number}.Name").into()))?;
            let is_tag = name == "tag-key" || name == "tag-value" || name.starts_with("tag:");
            if !is_tag && !known.contains(&name.as_str()) {
                return Err(Refusal::UnknownFilter(name));
            }
            if values.is_empty() {
                return Err(Refusal::Missing(format!("Filter.{number}.Value").into()));
            }
            count += values.len();
            parsed.push((name, values));
        }
        if count > VALUES_MAX { Err(Refusal::TooManyFilterValues) } else { Ok(Self(parsed)) }
    }

    /// Whether a thing passes; `values` answers what it has under a filter's name.
    pub(crate) fn pass(&self, tags: &[Tag], values: impl Fn(&str) -> Vec<String>) -> bool {
        self.0.iter().all(|(name, patterns)| {
            let has = match name.split_once(':') {
                Some(("tag", key)) => tags_where(tags, |tag_key| tag_key == key, |tag| tag.value.as_deref()),
                _ if name == "tag-key" => tags_where(tags, |_| true, |tag| tag.key.as_deref()),
                _ if name == "tag-value" => tags_where(tags, |_| true, |tag| tag.value.as_deref()),
                _ => values(name),
            };
            has.iter().any(|value| patterns.iter().any(|pattern| matches(pattern, value)))
        })
    }
}

fn tags_where(tags: &[Tag], wanted: impl Fn(&str) -> bool, part: impl Fn(&Tag) -> Option<&str>) -> Vec<String> {
    let wanted = tags.iter().filter(|tag| tag.key.as_deref().is_some_and(&wanted));
    wanted.map(|tag| part(tag).unwrap_or_default().to_owned()).collect()
}

/// Whether a text fits a pattern with `*` for any characters, `?` for one, and `\` before one that stands for itself.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<Step> = steps(pattern);
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut next) = (0, 0);
    // Where the last star stood, and up to where it has eaten: going back to it alone is enough.
    let mut star = None;
    while at < text.len() {
        match pattern.get(next) {
            Some(Step::Any) => {
                star = Some((next, at));
                next += 1;
            }
            Some(step) if step.fits(text[at]) => {
                at += 1;
                next += 1;
            }
            _ => {
                let Some((star_at, eaten)) = star else { return false };
                star = Some((star_at, eaten + 1));
                (next, at) = (star_at + 1, eaten + 1);
            }
        }
    }
    pattern[next..].iter().all(|step| matches!(step, Step::Any))
}

enum Step {
    Any,
    One,
    Letter(char),
}

impl Step {
    fn fits(&self, letter: char) -> bool {
        match self {
            Self::Any => false,
            Self::One => true,
            Self::Letter(wanted) => *wanted == letter,
        }
    }
}

fn steps(pattern: &str) -> Vec<Step> {
    let mut letters = pattern.chars();
    let mut steps = Vec::new();
    while let Some(letter) = letters.next() {
        steps.push(match letter {
            '*' => Step::Any,
            '?' => Step::One,
            '\\' => Step::Letter(letters.next().unwrap_or('\\')),
            letter => Step::Letter(letter),
        });
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_others_unless_escaped() {
        for (pattern, text) in [
            ("", ""),
            ("web", "web"),
            ("w*", "web"),
            ("*", ""),
            ("*b*", "abc"),
            ("w?b", "web"),
            ("a\\*", "a*"),
            ("*aab", "aaaab"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("web", "Web"), ("w?", "w"), ("a\\*", "ab"), ("*b", "abc"), ("?", "")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        assert!(!matches(&"*a".repeat(100), &"a".repeat(99)));
        assert!(!matches(&("*".repeat(1000) + "b"), &"a".repeat(1000)));
    }

    fn filter(name: &str, values: &[&str]) -> Filter {
        Filter { name: Some(name.into()), values: values.iter().map(|value| (*value).to_owned()).collect() }
    }

    #[test]
    fn filters_are_all_required_and_their_values_are_alternatives() {
        let tags = [Tag { key: Some("team".into()), value: Some("web".into()) }];
        let pass = |filters: Vec<Filter>| {
            let filters = Filters::parse(filters, &["state"]).unwrap();
            filters.pass(&tags, |name| if name == "state" { vec!["on".into()] } else { vec![] })
        };
        assert!(pass(vec![]));
        assert!(pass(vec![filter("state", &["off", "on"]), filter("tag:team", &["w*"])]));
        assert!(!pass(vec![filter("state", &["on"]), filter("tag:team", &["mail"])]));
        assert!(pass(vec![filter("tag-key", &["team"])]) && !pass(vec![filter("tag:Team", &["web"])]));
        assert!(pass(vec![filter("tag-value", &["web"])]));
    }

    #[test]
    fn a_filter_must_be_known_and_have_values_and_not_too_many() {
        let parse = |filter: Filter| Filters::parse(vec![filter], &["state"]).unwrap_err().to_string();
        assert_eq!(parse(filter("States", &["on"])), "filter \"States\" is not known");
        assert_eq!(parse(filter("state", &[])), "Filter.1.Value is missing");
        assert_eq!(parse(filter("state", &["a"; 201])), "too many filter values");
    }
}
