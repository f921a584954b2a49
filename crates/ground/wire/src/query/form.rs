//! `application/x-www-form-urlencoded`: names and values, decoded.
//!
//! Invariant: a name or value without escapes is borrowed from the form.

use std::borrow::Cow;

/// How many fields a form may have; AWS's largest requests have some hundreds.
pub const FIELDS_MAX: usize = 16_384;

/// A form's names and values, or what is wrong with it. Stops at the first error.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: Option<&'a [u8]>,
    left: usize,
}

/// Why a form can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// A percent sign without two hexadecimal digits behind it.
    #[error("the form has an invalid percent-encoding")]
    Escape,
    /// What was decoded is not UTF-8.
    #[error("the form is not UTF-8")]
    NotUtf8,
    /// More than [`FIELDS_MAX`] fields.
    #[error("the form has too many fields")]
    TooMany,
}

/// Reads a form (or a URL's query string) field by field.
pub fn fields(form: &[u8]) -> Fields<'_> {
    Fields { rest: Some(form), left: FIELDS_MAX }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(Cow<'a, str>, Cow<'a, str>), FormError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.rest?;
            let field = match memchr::memchr(b'&', rest) {
                Some(at) => {
                    self.rest = Some(&rest[at + 1..]);
                    &rest[..at]
                }
                None => {
                    self.rest = None;
                    rest
                }
            };
            if field.is_empty() {
                continue;
            }
            let pair = self.count().and_then(|()| pair(field));
            if pair.is_err() {
                self.rest = None;
            }
            return Some(pair);
        }
    }
}

impl Fields<'_> {
    fn count(&mut self) -> Result<(), FormError> {
        self.left = self.left.checked_sub(1).ok_or(FormError::TooMany)?;
        Ok(())
    }
}

fn pair(field: &[u8]) -> Result<(Cow<'_, str>, Cow<'_, str>), FormError> {
    match memchr::memchr(b'=', field) {
        Some(at) => Ok((decoded(&field[..at])?, decoded(&field[at + 1..])?)),
        None => Ok((decoded(field)?, Cow::Borrowed(""))),
    }
}

fn decoded(text: &[u8]) -> Result<Cow<'_, str>, FormError> {
    let Some(first) = memchr::memchr2(b'%', b'+', text) else {
        return std::str::from_utf8(text).map(Cow::Borrowed).map_err(|_| FormError::NotUtf8);
    };
    let mut bytes = Vec::with_capacity(text.len());
    bytes.extend_from_slice(&text[..first]);
    let mut rest = text[first..].iter();
    while let Some(&byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = hex(rest.next())?;
                high << 4 | hex(rest.next())?
            }
            _ => byte,
        });
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| FormError::NotUtf8)
}

fn hex(digit: Option<&u8>) -> Result<u8, FormError> {
    match digit {
        Some(digit @ b'0'..=b'9') => Ok(digit - b'0'),
        Some(digit @ b'a'..=b'f') => Ok(digit - b'a' + 10),
        Some(digit @ b'A'..=b'F') => Ok(digit - b'A' + 10),
        _ => Err(FormError::Escape),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: &str) -> Result<Vec<(String, String)>, FormError> {
        fields(form.as_bytes()).map(|pair| pair.map(|(name, value)| (name.into_owned(), value.into_owned()))).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Result<Vec<(String, String)>, FormError> {
        Ok(expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn plus_and_percent_are_decoded_and_nothing_else() {
        assert_eq!(read("a+b=c%20d%2Be&f=%C3%BC"), pairs(&[("a b", "c d+e"), ("f", "ü")]));
    }

    #[test]
    fn a_field_without_a_value_is_empty_and_an_empty_field_is_none() {
        assert_eq!(read("&a&&b=&c==d&"), pairs(&[("a", ""), ("b", ""), ("c", "=d")]));
    }

    #[test]
    fn a_broken_escape_is_refused() {
        for form in ["a=%", "a=%4", "a=%zz", "%=a", "a=%+1"] {
            assert_eq!(read(form), Err(FormError::Escape), "{form}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused() {
        assert_eq!(read("a=%FF"), Err(FormError::NotUtf8));
        assert!(fields(b"a=\xff").next().unwrap().is_err());
    }

    #[test]
    fn a_form_of_too_many_fields_is_refused() {
        assert_eq!(read(&"a&".repeat(FIELDS_MAX)).map(|all| all.len()), Ok(FIELDS_MAX));
        assert_eq!(read(&"a&".repeat(FIELDS_MAX + 1)), Err(FormError::TooMany));
    }
}
