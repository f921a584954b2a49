//! Conditions: an operator, a key of the request, and the values to compare with.
//!
//! Invariants, all AWS's:
//! - All conditions of a statement must hold; of one condition's values, one must match (for a negated operator: none).
//! - A key that the request does not have fails a condition, but holds a negated one and every `…IfExists`;
//!   `ForAllValues` holds over no values, `ForAnyValue` does not.
//! - A value of the request that cannot be read as the operator's type matches nothing; one of the policy is refused
//!   when the policy is read.
//! - Policy variables work in string and ARN operators only.
//!
//! Source: IAM User Guide, "Condition operators" and "Set operators for multivalued context keys".

use crate::date;
use crate::error::{PolicyError, Problem};
use crate::evaluate::Request;
use crate::network::{self, Network};
use crate::node::Node;
use crate::pattern::{Case, Dialect, Pattern, Wildcards};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// One key of one operator, with its values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Condition {
    set: Set,
    negated: bool,
    if_exists: bool,
    key: Box<str>,
    test: Test,
}

/// How a key with several values is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    /// No prefix. AWS leaves open what this means for several values: one that matches is enough.
    Single,
    ForAll,
    ForAny,
}

/// What is compared, and with which values.
#[derive(Clone, Debug, PartialEq)]
enum Test {
    Text {
        case: Case,
        values: Vec<Pattern>,
    },
    Number {
        order: Order,
        values: Vec<f64>,
    },
    /// In milliseconds since 1970.
    Date {
        order: Order,
        values: Vec<i64>,
    },
    Bool(Vec<bool>),
    Binary(Vec<Vec<u8>>),
    Address(Vec<Network>),
    Arn(Vec<ArnPattern>),
    /// Whether the key is absent.
    Null(Vec<bool>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

// IAM does not document a bound; no key of any service comes near it.
const KEY_BYTES_MAX: usize = 512;

impl Condition {
    /// Reads the value of `Condition`.
    pub(crate) fn parse_all(node: &Node, dialect: Dialect, place: &str) -> Result<Vec<Self>, PolicyError> {
        let mut all = Vec::new();
        for (operator, keys) in node.members(place)? {
            let place = format!("{place}.{operator}");
            for (key, values) in keys.members(&place)? {
                all.push(Self::parse(operator, key, values, dialect, &place)?);
            }
        }
        Ok(all)
    }

    fn parse(operator: &str, key: &str, values: &Node, dialect: Dialect, place: &str) -> Result<Self, PolicyError> {
        let unknown = || PolicyError::new(Problem::InvalidOperator(operator.to_owned()), place);
        let named = key.split_once(':').is_some_and(|(prefix, name)| !prefix.is_empty() && !name.is_empty());
        if !named || key.len() > KEY_BYTES_MAX {
            return Err(PolicyError::new(Problem::InvalidConditionKey, place));
        }
        let (set, name) = match operator.split_once(':') {
            None => (Set::Single, operator),
            Some(("ForAllValues", name)) => (Set::ForAll, name),
            Some(("ForAnyValue", name)) => (Set::ForAny, name),
            Some(_) => return Err(unknown()),
        };
        let (name, if_exists) = match name.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let test = Test::parse(name, &texts_of(values, place)?, dialect, place)?;
        let (negated, test) = test.ok_or_else(unknown)?;
        // `Null` asks whether the key is there: the modifiers would make nonsense of it, and AWS has neither.
        if matches!(test, Test::Null(_)) && (if_exists || set != Set::Single) {
            return Err(unknown());
        }
        Ok(Self { set, negated, if_exists, key: key.into(), test })
    }

    /// The key, as it was written.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Whether the request meets it.
    pub(crate) fn holds(&self, request: &Request<'_>) -> bool {
        // AWS: to the set operators an empty text is no value.
        let counts = |value: &&str| self.set == Set::Single || !value.is_empty();
        let mut actual = request.values(&self.key).filter(counts).peekable();
        let missing = actual.peek().is_none();
        if let Test::Null(wanted) = &self.test {
            return wanted.contains(&missing);
        }
        if missing {
            return match self.set {
                _ if self.if_exists => true,
                Set::ForAll => true,
                Set::ForAny => false,
                Set::Single => self.negated,
            };
        }
        let mut matches = |value: &str| self.test.matches(value, request);
        match (self.set, self.negated) {
            (Set::Single | Set::ForAny, false) => actual.any(&mut matches),
            (Set::Single | Set::ForAll, true) => !actual.any(&mut matches),
            (Set::ForAll, false) => actual.all(&mut matches),
            (Set::ForAny, true) => !actual.all(&mut matches),
        }
    }

    /// Whether it ties the key to values without wildcards, which S3 counts as not public.
    pub(crate) fn is_fixed(&self) -> bool {
        if self.negated || self.if_exists || self.set == Set::ForAll {
            return false;
        }
        match &self.test {
            Test::Text { values, .. } => values.iter().all(Pattern::is_fixed),
            Test::Arn(values) => values.iter().all(ArnPattern::is_fixed),
            Test::Address(values) => values.iter().all(Network::is_narrow),
            _ => false,
        }
    }
}

/// Values are texts, numbers or truth values, one or many; all are compared as their text.
fn texts_of(node: &Node, place: &str) -> Result<Vec<String>, PolicyError> {
    let text = |value: &Node| match value {
        Node::Text(text) | Node::Number(text) => Ok(text.clone()),
        Node::Bool(truth) => Ok(truth.to_string()),
        Node::Null | Node::List(_) | Node::Object(_) => Err(PolicyError::new(Problem::WrongType, place)),
    };
    node.one_or_many().iter().map(text).collect()
}

impl Test {
    /// The operator `name` without its modifiers: whether it is negated, and its test. `None`: no such operator.
    fn parse(
        name: &str,
        values: &[String],
        dialect: Dialect,
        place: &str,
    ) -> Result<Option<(bool, Self)>, PolicyError> {
        let text = |wildcards, case| {
            let compile = |value: &str| Pattern::compile(value, dialect, wildcards);
            Ok(Self::Text { case, values: read_all(values, place, compile)? })
        };
        let number = |order| Ok(Self::Number { order, values: read_all(values, place, number_of)? });
        let date = |order| Ok(Self::Date { order, values: read_all(values, place, date::parse)? });
        let arn = || Ok(Self::Arn(read_all(values, place, |value| ArnPattern::compile(value, dialect))?));
        let address = || Ok(Self::Address(read_all(values, place, Network::parse)?));
        let (negated, test) = match name {
            "StringEquals" => (false, text(Wildcards::No, Case::Sensitive)),
            "StringNotEquals" => (true, text(Wildcards::No, Case::Sensitive)),
            "StringEqualsIgnoreCase" => (false, text(Wildcards::No, Case::Ignored)),
            "StringNotEqualsIgnoreCase" => (true, text(Wildcards::No, Case::Ignored)),
            "StringLike" => (false, text(Wildcards::Yes, Case::Sensitive)),
            "StringNotLike" => (true, text(Wildcards::Yes, Case::Sensitive)),
            "NumericEquals" => (false, number(Order::Equal)),
            "NumericNotEquals" => (true, number(Order::Equal)),
            "NumericLessThan" => (false, number(Order::Less)),
            "NumericLessThanEquals" => (false, number(Order::LessOrEqual)),
            "NumericGreaterThan" => (false, number(Order::Greater)),
            "NumericGreaterThanEquals" => (false, number(Order::GreaterOrEqual)),
            "DateEquals" => (false, date(Order::Equal)),
            "DateNotEquals" => (true, date(Order::Equal)),
            "DateLessThan" => (false, date(Order::Less)),
            "DateLessThanEquals" => (false, date(Order::LessOrEqual)),
            "DateGreaterThan" => (false, date(Order::Greater)),
            "DateGreaterThanEquals" => (false, date(Order::GreaterOrEqual)),
            "Bool" => (false, read_all(values, place, truth_of).map(Self::Bool)),
            "BinaryEquals" => (false, read_all(values, place, binary_of).map(Self::Binary)),
            "IpAddress" => (false, address()),
            "NotIpAddress" => (true, address()),
            "ArnEquals" | "ArnLike" => (false, arn()),
            "ArnNotEquals" | "ArnNotLike" => (true, arn()),
            "Null" => (false, read_all(values, place, truth_of).map(Self::Null)),
            _ => return Ok(None),
        };
        test.map(|test| Some((negated, test)))
    }

    /// Whether `actual`, a value of the request, matches one of the values; negation is the caller's.
    fn matches(&self, actual: &str, request: &Request<'_>) -> bool {
        match self {
            Self::Text { case, values } => values.iter().any(|pattern| pattern.matches(actual, *case, request)),
            Self::Number { order, values } => {
                number_of(actual).is_some_and(|actual| values.iter().any(|value| order.holds(&actual, value)))
            }
            Self::Date { order, values } => {
                date::parse(actual).is_some_and(|actual| values.iter().any(|value| order.holds(&actual, value)))
            }
            Self::Bool(values) => truth_of(actual).is_some_and(|actual| values.contains(&actual)),
            Self::Binary(values) => binary_of(actual).is_some_and(|actual| values.contains(&actual)),
            Self::Address(values) => {
                network::address(actual).is_some_and(|actual| values.iter().any(|network| network.holds(actual)))
            }
            Self::Arn(values) => values.iter().any(|pattern| pattern.matches(actual, request)),
            Self::Null(_) => false,
        }
    }
}

impl Order {
    fn holds<T: PartialOrd>(self, actual: &T, value: &T) -> bool {
        match self {
            Self::Equal => actual == value,
            Self::Less => actual < value,
            Self::LessOrEqual => actual <= value,
            Self::Greater => actual > value,
            Self::GreaterOrEqual => actual >= value,
        }
    }
}

fn read_all<T>(values: &[String], place: &str, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, PolicyError> {
    let invalid = |value: &str| PolicyError::new(Problem::InvalidConditionValue(value.to_owned()), place);
    values.iter().map(|value| read(value).ok_or_else(|| invalid(value))).collect()
}

fn number_of(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn truth_of(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn binary_of(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// An ARN whose six parts are matched each for itself: in `arn:aws:s3:*:*:bucket` no wildcard spans a colon, but for
/// those of the last part.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ArnPattern(Vec<Pattern>);

impl ArnPattern {
    fn compile(text: &str, dialect: Dialect) -> Option<Self> {
        let parts = match dialect {
            Dialect::Plain => text.splitn(6, ':').collect(),
            Dialect::WithVariables => split_outside_variables(text),
        };
        let compile = |part: &&str| Pattern::compile(part, dialect, Wildcards::Yes);
        parts.iter().map(compile).collect::<Option<Vec<_>>>().map(Self)
    }

    fn matches(&self, actual: &str, request: &Request<'_>) -> bool {
        // With fewer parts neither is an ARN, and AWS lets it match nothing.
        self.0.len() == 6
            && actual.splitn(6, ':').count() == 6
            && self
                .0
                .iter()
                .zip(actual.splitn(6, ':'))
                .all(|(pattern, part)| pattern.matches(part, Case::Sensitive, request))
    }

    fn is_fixed(&self) -> bool {
        self.0.iter().all(Pattern::is_fixed)
    }
}

/// Splits at the first five colons that stand outside of `${…}`.
fn split_outside_variables(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut inside) = (Vec::new(), 0, false);
    for (at, character) in text.char_indices() {
        match character {
            '{' if text[..at].ends_with('$') => inside = true,
            '}' => inside = false,
            ':' if !inside && parts.len() < 5 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests;
