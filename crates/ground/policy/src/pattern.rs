//! Patterns: text with `*`, `?` and policy variables, matched without building the substituted text.
//!
//! Invariants:
//! - Matching takes at most (length of the text) x (length of the pattern with its variables replaced) steps and no
//!   memory: only the last `*` is ever tried again, and variables are read in place.
//! - What a variable stands for is literal: a `*` in a key's value matches a `*`, nothing else.
//! - A variable without a value equals and resembles nothing (AWS: "There is no equal or like value").
//!
//! Source: IAM User Guide, "Variables and tags": `${key}`, `${key, 'default'}`, `${*}`, `${?}`, `${$}`.

/// Where variables get their values from.
pub(crate) trait Variables {
    /// The single value of a condition key; `None` where it has none, or several.
    fn single_value(&self, key: &str) -> Option<&str>;
}

/// Whether `${…}` means something: it does from version 2012-10-17 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// 2008-10-17: `${aws:username}` is the text `${aws:username}`.
    Plain,
    /// 2012-10-17.
    WithVariables,
}

/// Whether `*` and `?` mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wildcards {
    Yes,
    No,
}

/// How characters compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    Sensitive,
    Ignored,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    /// `?`: one character.
    One,
    /// `*`: any characters, also none.
    Any,
    Variable {
        key: Box<str>,
        default: Option<Box<str>>,
    },
}

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    pieces: Box<[Piece]>,
}

impl Pattern {
    /// Compiles `source`. `None` if a variable is opened and not closed, or names nothing.
    pub(crate) fn compile(source: &str, dialect: Dialect, wildcards: Wildcards) -> Option<Self> {
        let mut pieces = Pieces::default();
        let mut rest = source;
        while let Some(first) = rest.chars().next() {
            let opened = rest.strip_prefix("${").filter(|_| dialect == Dialect::WithVariables);
            if let Some(opened) = opened {
                let (inside, after) = opened.split_once('}')?;
                match literal_of(inside) {
                    Some(character) => pieces.text.push(character),
                    None => pieces.push(variable(inside)?),
                }
                rest = after;
                continue;
            }
            rest = &rest[first.len_utf8()..];
            match first {
                '*' if wildcards == Wildcards::Yes => pieces.push(Piece::Any),
                '?' if wildcards == Wildcards::Yes => pieces.push(Piece::One),
                _ => pieces.text.push(first),
            }
        }
        Some(Self { pieces: pieces.finish() })
    }

    /// A pattern without variables.
    pub(crate) fn wild(source: &str) -> Self {
        // Only variables can be malformed, and the plain dialect has none.
        Self::compile(source, Dialect::Plain, Wildcards::Yes).unwrap_or(Self { pieces: Box::default() })
    }

    /// Whether all of `text` matches.
    pub(crate) fn matches(&self, text: &str, case: Case, variables: &impl Variables) -> bool {
        if !self.resolves(variables) {
            return false;
        }
        let mut pattern = Cursor { pieces: &self.pieces, text: "", variables };
        let mut rest = text;
        // Where to go on when the characters after the last `*` do not fit: one character further on.
        let mut retry: Option<(Cursor<'_, _>, &str)> = None;
        loop {
            let mut ahead = pattern;
            let matched = match (ahead.next(), rest.chars().next()) {
                (Token::End, None) => return true,
                (Token::Any, _) => {
                    pattern = ahead;
                    retry = Some((ahead, rest));
                    continue;
                }
                (Token::One, Some(actual)) => Some(actual),
                (Token::Character(wanted), Some(actual)) if same(wanted, actual, case) => Some(actual),
                _ => None,
            };
            if let Some(actual) = matched {
                pattern = ahead;
                rest = &rest[actual.len_utf8()..];
                continue;
            }
            let Some((after_any, from)) = retry else { return false };
            let Some(skipped) = from.chars().next() else { return false };
            rest = &from[skipped.len_utf8()..];
            pattern = after_any;
            retry = Some((after_any, rest));
        }
    }

    /// Whether it stands for exactly one text, known without asking a request.
    pub(crate) fn is_fixed(&self) -> bool {
        self.pieces.iter().all(|piece| matches!(piece, Piece::Text(_)))
    }

    fn resolves(&self, variables: &impl Variables) -> bool {
        self.pieces.iter().all(|piece| match piece {
            Piece::Variable { key, default: None } => variables.single_value(key).is_some(),
            _ => true,
        })
    }
}

/// Pieces being collected, and the text since the last one.
#[derive(Default)]
struct Pieces {
    done: Vec<Piece>,
    text: String,
}

impl Pieces {
    fn push(&mut self, piece: Piece) {
        self.flush();
        // `**` says what `*` says, and would only cost time.
        if !(piece == Piece::Any && self.done.last() == Some(&Piece::Any)) {
            self.done.push(piece);
        }
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            self.done.push(Piece::Text(std::mem::take(&mut self.text).into()));
        }
    }

    fn finish(mut self) -> Box<[Piece]> {
        self.flush();
        self.done.into()
    }
}

/// `${*}`, `${?}` and `${$}` are the characters themselves.
fn literal_of(inside: &str) -> Option<char> {
    match inside {
        "*" => Some('*'),
        "?" => Some('?'),
        "$" => Some('$'),
        _ => None,
    }
}

/// `aws:username`, or with a default: `aws:PrincipalTag/team, 'company-wide'`.
fn variable(inside: &str) -> Option<Piece> {
    let (key, default) = match inside.split_once(',') {
        None => (inside.trim(), None),
        Some((key, default)) => {
            let default = default.trim().strip_prefix('\'')?.strip_suffix('\'')?;
            (key.trim(), Some(default.into()))
        }
    };
    let named = key.split_once(':').is_some_and(|(prefix, name)| !prefix.is_empty() && !name.is_empty());
    named.then(|| Piece::Variable { key: key.into(), default })
}

fn same(left: char, right: char, case: Case) -> bool {
    left == right || case == Case::Ignored && left.to_lowercase().eq(right.to_lowercase())
}

enum Token {
    Character(char),
    One,
    Any,
    End,
}

/// A place in a pattern whose variables are replaced while it is read.
struct Cursor<'a, V> {
    pieces: &'a [Piece],
    text: &'a str,
    variables: &'a V,
}

// Derived, these would ask that `V` be copied too.
impl<V> Clone for Cursor<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Cursor<'_, V> {}

impl<V: Variables> Cursor<'_, V> {
    fn next(&mut self) -> Token {
        loop {
            if let Some(character) = self.text.chars().next() {
                self.text = &self.text[character.len_utf8()..];
                return Token::Character(character);
            }
            let Some((piece, rest)) = self.pieces.split_first() else { return Token::End };
            self.pieces = rest;
            match piece {
                Piece::Any => return Token::Any,
                Piece::One => return Token::One,
                Piece::Text(text) => self.text = text,
                Piece::Variable { key, default } => {
                    self.text = self.variables.single_value(key).or(default.as_deref()).unwrap_or_default();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Keys and values of a test.
    struct Values(&'static [(&'static str, &'static str)]);

    impl Variables for Values {
        fn single_value(&self, key: &str) -> Option<&str> {
            self.0.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
        }
    }

    const NONE: Values = Values(&[]);

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::wild(pattern).matches(text, Case::Sensitive, &NONE)
    }

    fn with_variables(pattern: &str, text: &str, values: &'static [(&'static str, &'static str)]) -> bool {
        let compiled = Pattern::compile(pattern, Dialect::WithVariables, Wildcards::Yes).expect("a pattern");
        compiled.matches(text, Case::Sensitive, &Values(values))
    }

    #[test]
    fn stars_and_question_marks_match_as_aws_says() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "arn:aws:s3:::b/a/b"),
            ("arn:aws:s3:::b/*", "arn:aws:s3:::b/"),
            ("arn:aws:s3:::b/*.png", "arn:aws:s3:::b/x.png.png"),
            ("a?c", "aéc"),
            ("a*b*c", "a-b-b-c"),
            ("**a", "a"),
            ("arn:*", "arn:aws:sqs:us-east-1:1:q"),
        ] {
            assert!(matches(pattern, text), "{pattern} should match {text}");
        }
        for (pattern, text) in
            [("", "a"), ("a?", "a"), ("a*b", "abc"), ("arn:aws:s3:::b/*", "arn:aws:s3:::b"), ("A", "a"), ("a*?", "a")]
        {
            assert!(!matches(pattern, text), "{pattern} should not match {text}");
        }
    }

    #[test]
    fn case_counts_unless_it_is_ignored() {
        let pattern = Pattern::wild("SQS:Send*");
        assert!(!pattern.matches("sqs:SendMessage", Case::Sensitive, &NONE));
        assert!(pattern.matches("sqs:sendmessage", Case::Ignored, &NONE));
    }

    #[test]
    fn a_variable_stands_for_its_value_and_its_wildcards_are_literal() {
        let user = "home/${aws:username}/*";
        assert!(with_variables(user, "home/ann/x", &[("aws:username", "ann")]));
        assert!(!with_variables(user, "home/bob/x", &[("aws:username", "ann")]));
        assert!(!with_variables(user, "home/bob/x", &[("aws:username", "*")]));
        assert!(with_variables(user, "home/*/x", &[("aws:username", "*")]));
    }

    #[test]
    fn a_variable_without_a_value_matches_nothing_unless_it_has_a_default() {
        assert!(!with_variables("*${aws:username}*", "anything", &[]));
        assert!(!with_variables("${aws:username}", "", &[]));
        assert!(with_variables("t/${aws:PrincipalTag/team, 'all'}", "t/all", &[]));
        assert!(with_variables("t/${aws:PrincipalTag/team, 'all'}", "t/red", &[("aws:PrincipalTag/team", "red")]));
    }

    #[test]
    fn escaped_wildcards_are_characters() {
        assert!(with_variables("a${*}b${?}${$}", "a*b?$", &[]));
        assert!(!with_variables("a${*}", "ab", &[]));
    }

    #[test]
    fn the_old_version_has_no_variables() {
        let old = Pattern::compile("${aws:username}", Dialect::Plain, Wildcards::Yes).expect("a pattern");
        assert!(old.matches("${aws:username}", Case::Sensitive, &Values(&[("aws:username", "ann")])));
    }

    #[test]
    fn a_variable_left_open_is_no_pattern() {
        for broken in ["${aws:username", "${}", "${nothing}", "${a:b, all}", "${:b}"] {
            assert_eq!(Pattern::compile(broken, Dialect::WithVariables, Wildcards::Yes), None, "{broken}");
        }
    }

    #[test]
    fn an_adversarial_pattern_costs_no_more_than_text_times_pattern() {
        // With naive backtracking these would not end before the sun does.
        let pattern = Pattern::wild(&format!("{}b", "a*".repeat(1000)));
        assert!(!pattern.matches(&"a".repeat(5000), Case::Sensitive, &NONE));
        let pattern = Pattern::wild(&format!("{}b", "*?a".repeat(700)));
        assert!(!pattern.matches(&"a".repeat(2000), Case::Sensitive, &NONE));
    }

    /// The definition, exponential: what the fast matcher must agree with.
    fn by_definition(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|skipped| by_definition(rest, &text[skipped..])),
            Some((wanted, rest)) => match text.split_first() {
                Some((actual, after)) => (*wanted == '?' || wanted == actual) && by_definition(rest, after),
                None => false,
            },
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_its_definition(pattern in "[ab*?é]{0,8}", text in "[abé]{0,10}") {
            let expected = by_definition(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>());
            prop_assert_eq!(matches(&pattern, &text), expected);
        }
    }
}
