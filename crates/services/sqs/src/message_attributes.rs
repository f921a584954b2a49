//! Message attributes: what a user may attach to a message, its digest, and which of it a receiver asks for.
//!
//! Invariants:
//! - A list of [`Attribute`]s that passed [`validate`] is sorted by name, has at most ten entries, and every value is
//!   non-empty and stands in the field that its type names.
//! - The digest covers exactly the attributes handed over: on receive, only those that the filter lets through.
//!
//! Knows nothing of queues and of how messages are kept.

use md5::{Digest, Md5};
use wire::ApiError;

use crate::errors::{self, MessageAttributeFault as Fault};
use crate::limits::{MESSAGE_ATTRIBUTE_NAME_MAX, MESSAGE_ATTRIBUTES_MAX};
use crate::message_body;

/// An MD5, raw.
pub(crate) type Md5Digest = [u8; 16];

/// One attribute, borrowed from the request or from a stored message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attribute<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// `String`, `Number` or `Binary`, with a `.label` where it has one.
    pub(crate) data_type: &'a str,
    /// Its value.
    pub(crate) value: Value<'a>,
}

/// A value in the field that the attribute's type names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// StringValue: of String and Number.
    Text(&'a str),
    /// BinaryValue: of Binary.
    Binary(&'a [u8]),
}

impl Value<'_> {
    /// The value's bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

/// One attribute as the client wrote it: any field may be missing or superfluous.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Given<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// DataType.
    pub(crate) data_type: &'a str,
    /// StringValue.
    pub(crate) string_value: Option<&'a str>,
    /// BinaryValue.
    pub(crate) binary_value: Option<&'a [u8]>,
    /// Whether StringListValues or BinaryListValues is there.
    pub(crate) has_list_values: bool,
}

impl Attribute<'_> {
    /// What the attribute counts towards the size of its message.
    pub(crate) fn bytes(&self) -> usize {
        self.name.len() + self.data_type.len() + self.value.bytes().len()
    }
}

/// Checks user attributes and sorts them by name.
pub(crate) fn validate<'a>(given: impl Iterator<Item = Given<'a>>) -> Result<Vec<Attribute<'a>>, ApiError> {
    let mut attributes = Vec::with_capacity(given.size_hint().0.min(MESSAGE_ATTRIBUTES_MAX));
    let mut count = 0;
    for given in given {
        count += 1;
        // Counted to the end for the error's sake, kept only up to the limit.
        if count <= MESSAGE_ATTRIBUTES_MAX {
            attributes.push(validate_one(given)?);
        }
    }
    if count > MESSAGE_ATTRIBUTES_MAX {
        return Err(errors::too_many_message_attributes(count));
    }
    attributes.sort_unstable_by_key(|attribute: &Attribute<'_>| attribute.name);
    Ok(attributes)
}

fn validate_one(given: Given<'_>) -> Result<Attribute<'_>, ApiError> {
    let refuse = |fault: Fault<'_>| errors::message_attribute_invalid(given.name, fault);
    if given.has_list_values {
        return Err(errors::list_values_unsupported());
    }
    if let Some(fault) = name_fault(given.name) {
        return Err(refuse(fault));
    }
    let kind = kind_of(given.data_type).map_err(refuse)?;
    let value = match kind {
        Kind::Binary => given.binary_value.filter(|bytes| !bytes.is_empty()).map(Value::Binary),
        Kind::String | Kind::Number => given.string_value.filter(|text| !text.is_empty()).map(Value::Text),
    };
    let value = value.ok_or_else(|| refuse(Fault::ValueEmpty(given.data_type)))?;
    if let Value::Text(text) = value {
        if !message_body::has_only_valid_characters(text) {
            return Err(refuse(Fault::ValueCharacters));
        }
        if kind == Kind::Number && !is_number(text) {
            return Err(refuse(Fault::NotANumber));
        }
    }
    Ok(Attribute { name: given.name, data_type: given.data_type, value })
}

fn name_fault(name: &str) -> Option<Fault<'static>> {
    if name.is_empty() {
        return Some(Fault::NameEmpty);
    }
    if name.len() > MESSAGE_ATTRIBUTE_NAME_MAX {
        return Some(Fault::NameTooLong);
    }
    if !name.chars().all(is_name_character) {
        return Some(Fault::NameCharacters);
    }
    if starts_with_ignoring_case(name, "aws.") || starts_with_ignoring_case(name, "amazon.") {
        return Some(Fault::NameReserved);
    }
    let dots = name.starts_with('.') || name.ends_with('.') || name.contains("..");
    dots.then_some(Fault::NameDots)
}

/// `[A-Za-z0-9_.-]`, and the Latin letters with diacritics that AWS lets through though it does not say so.
fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '\u{c0}'..='\u{17f}')
}

fn starts_with_ignoring_case(name: &str, prefix: &str) -> bool {
    name.as_bytes().get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    String,
    Number,
    Binary,
}

fn kind_of(data_type: &str) -> Result<Kind, Fault<'static>> {
    if data_type.is_empty() {
        return Err(Fault::TypeEmpty);
    }
    if data_type.len() > MESSAGE_ATTRIBUTE_NAME_MAX {
        return Err(Fault::TypeTooLong);
    }
    match data_type.split_once('.').map_or(data_type, |(kind, _label)| kind) {
        "String" => Ok(Kind::String),
        "Number" => Ok(Kind::Number),
        "Binary" => Ok(Kind::Binary),
        _ => Err(Fault::TypeUnknown),
    }
}

/// A decimal number of at most 38 digits of precision between 10^-128 and 10^126, as AWS holds them.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        None => (unsigned, 0),
        Some((mantissa, exponent)) => match exponent.parse::<i32>() {
            Ok(exponent) => (mantissa, exponent),
            Err(_) => return false,
        },
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if digits().next().is_none() || !digits().all(|b| b.is_ascii_digit()) {
        return false;
    }
    let Some(first) = digits().position(|b| b != b'0') else { return true };
    let last = digits().collect::<Vec<_>>().iter().rposition(|b| *b != b'0').unwrap_or(first);
    // The place of the first digit that counts: 0 for units, 1 for tens, -1 for tenths.
    let (Ok(whole), Ok(first_place)) = (i32::try_from(whole.len()), i32::try_from(first)) else { return false };
    let magnitude = whole.saturating_sub(1).saturating_sub(first_place).saturating_add(exponent);
    last - first < 38 && (-128..=126).contains(&magnitude)
}

/// The MD5 that SDKs compute themselves and compare: for each attribute by name, lengths big-endian.
/// `None` when there is nothing to digest: the member is absent then.
pub(crate) fn digest<'a>(sorted: impl IntoIterator<Item = Attribute<'a>>) -> Option<Md5Digest> {
    let mut sorted = sorted.into_iter().peekable();
    sorted.peek()?;
    let mut md5 = Md5::new();
    for attribute in sorted {
        feed(&mut md5, attribute.name.as_bytes());
        feed(&mut md5, attribute.data_type.as_bytes());
        md5.update([match attribute.value {
            Value::Text(_) => 1,
            Value::Binary(_) => 2,
        }]);
        feed(&mut md5, attribute.value.bytes());
    }
    Some(md5.finalize().into())
}

fn feed(md5: &mut Md5, bytes: &[u8]) {
    // Messages end at 1 MiB: the length always fits.
    md5.update(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    md5.update(bytes);
}

/// Which attributes a receiver asked for.
#[derive(Debug)]
pub(crate) enum Filter<'a> {
    /// No names: no attributes.
    Nothing,
    /// `All`, `.*` or `*`.
    Everything,
    /// Names, and prefixes written `prefix.*`.
    Names(&'a [String]),
}

impl<'a> Filter<'a> {
    /// What MessageAttributeNames asks for. Names that no attribute can have match nothing, without an error.
    pub(crate) fn new(names: &'a [String]) -> Self {
        if names.is_empty() {
            Self::Nothing
        } else if names.iter().any(|name| matches!(name.as_str(), "All" | ".*" | "*")) {
            Self::Everything
        } else {
            Self::Names(names)
        }
    }

    /// Whether an attribute of this name is to be returned.
    pub(crate) fn lets_through(&self, name: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Names(names) => names.iter().any(|wanted| match wanted.strip_suffix(".*") {
                Some(prefix) => name.starts_with(prefix),
                None => wanted == name,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<'a>(name: &'a str, data_type: &'a str, value: &'a str) -> Given<'a> {
        Given { name, data_type, string_value: Some(value), ..Given::default() }
    }

    fn binary<'a>(name: &'a str, value: &'a [u8]) -> Given<'a> {
        Given { name, data_type: "Binary", binary_value: Some(value), ..Given::default() }
    }

    fn hex(digest: Option<Md5Digest>) -> String {
        digest.map(|d| d.iter().map(|b| format!("{b:02x}")).collect()).unwrap_or_default()
    }

    fn refusal(given: Given<'_>) -> String {
        validate([given].into_iter()).unwrap_err().message
    }

    #[test]
    fn digests_equal_those_recorded_on_aws() {
        let kenobi =
            [text("Help.Me", "String", "Me"), text("Hello", "String", "There"), text("General", "String", "Kenobi")];
        let sorted = validate(kenobi.into_iter()).unwrap();
        assert_eq!(hex(digest(sorted.iter().copied())), "4c360f3fdafd970e05fae2f149d997f5");
        assert_eq!(hex(digest(sorted[..2].iter().copied())), "fca026605781cb4126a1e9044df24232");
        assert_eq!(hex(digest(sorted[1..2].iter().copied())), "a311262e065454b75da111d535b8dacd");
        assert_eq!(hex(digest(sorted[1..].iter().copied())), "83fee93c1bcd8b9a5a923ffacdc636c7");
        let trace = b"traceparent\x1e00-774062d6c37081a5a0b9b5b88e30627c-2d2482211f6489da-01";
        let sorted = validate([binary("attr1", trace)].into_iter()).unwrap();
        assert_eq!(hex(digest(sorted)), "8cbe4db156db8a94db8b801b7addb984");
    }

    #[test]
    fn the_digest_of_no_attributes_is_absent() {
        assert_eq!(digest([]), None);
    }

    #[test]
    fn the_digest_covers_the_label_of_a_type() {
        let plain = validate([text("a", "Number", "1")].into_iter()).unwrap();
        let labelled = validate([text("a", "Number.int", "1")].into_iter()).unwrap();
        assert_ne!(digest(plain), digest(labelled));
    }

    #[test]
    fn ten_attributes_pass_and_eleven_do_not() {
        let names: Vec<String> = (0..11).map(|n| format!("a{n}")).collect();
        let given = |n: usize| names[..n].iter().map(|name| text(name, "String", "v"));
        assert_eq!(validate(given(10)).unwrap().len(), 10);
        let message = validate(given(11)).unwrap_err().message;
        assert_eq!(message, "Number of message attributes [11] exceeds the allowed maximum [10].");
    }

    #[test]
    fn names_have_their_alphabet_length_and_dots() {
        let longest = "n".repeat(256);
        for good in ["a", "A-z_0.9", "Grüße", "awsome", "amazonas", longest.as_str()] {
            assert!(validate([text(good, "String", "v")].into_iter()).is_ok(), "{good}");
        }
        let too_long = "n".repeat(257);
        for bad in ["", "a b", "a/b", "日本", "aws.x", "AWS.x", "Amazon.y", ".a", "a.", "a..b", too_long.as_str()] {
            let error = validate([text(bad, "String", "v")].into_iter()).unwrap_err();
            assert_eq!(error.query_code.as_deref(), Some("InvalidParameterValue"), "{bad}");
        }
    }

    #[test]
    fn types_are_string_number_and_binary_with_an_optional_label() {
        let longest = format!("String.{}", "l".repeat(249));
        for good in ["String", "String.url", "Number", "Number.int", longest.as_str()] {
            assert!(validate([text("a", good, "1")].into_iter()).is_ok(), "{good}");
        }
        let too_long = format!("String.{}", "l".repeat(250));
        for bad in ["", "Strings", "string", "Int", ".String", too_long.as_str()] {
            assert!(validate([text("a", bad, "1")].into_iter()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_value_must_be_there_and_in_the_field_of_its_type() {
        assert_eq!(
            refusal(text("ErrorDetails", "String", "")),
            "Message (user) attribute 'ErrorDetails' must contain a non-empty value of type 'String'."
        );
        assert!(refusal(text("a", "Binary", "v")).contains("type 'Binary'"));
        assert!(refusal(binary("a", b"")).contains("type 'Binary'"));
        assert!(refusal(Given { data_type: "String", ..binary("a", b"v") }).contains("type 'String'"));
        assert!(refusal(text("a", "String", "\u{1}")).starts_with("Invalid characters found."));
    }

    #[test]
    fn list_values_are_refused_as_unsupported() {
        let error = validate([Given { has_list_values: true, ..text("a", "String", "v") }].into_iter()).unwrap_err();
        assert_eq!(error.code, "UnsupportedOperation");
    }

    #[test]
    fn numbers_have_38_digits_and_aws_s_range() {
        let digits38 = "1".repeat(38);
        for good in ["0", "-1", "+1.5", "1e126", "1E-128", "0.001", "1.", ".5", "000", &digits38, "1e0"] {
            assert!(is_number(good), "{good}");
        }
        let digits39 = "1".repeat(39);
        for bad in ["", "-", ".", "1e", "e5", "1e127", "1e-129", "0x10", "1 ", "NaN", "1.2.3", &digits39] {
            assert!(!is_number(bad), "{bad}");
        }
    }

    #[test]
    fn a_filter_takes_names_prefixes_and_everything() {
        let filter = |names: &[&str], name: &str| {
            let names: Vec<String> = names.iter().map(|&n| n.to_owned()).collect();
            Filter::new(&names).lets_through(name)
        };
        assert!(!filter(&[], "Hello"));
        for all in ["All", ".*", "*"] {
            assert!(filter(&[all], "Hello"));
        }
        assert!(filter(&["Hel.*"], "Hello") && filter(&["Hel.*"], "Help.Me") && !filter(&["Hel.*"], "General"));
        assert!(filter(&["Foo", "Hello"], "Hello") && !filter(&["Help"], "Help.Me"));
        assert!(!filter(&["hello"], "Hello"));
        assert!(!filter(&["..foo", "AWS."], "foo"));
    }
}
