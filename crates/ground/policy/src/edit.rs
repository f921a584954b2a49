//! Editing a policy's text: a statement in, a statement out, as SQS's AddPermission and RemovePermission do.
//!
//! Invariant: every element and statement that is not added or removed stays byte for byte as the user wrote it, in its
//! place; only the white space between them goes.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{PolicyError, Problem};

/// A policy as text to edit. Nothing but its outline is looked at: parse with [`Policy`](crate::Policy) what users send.
///
/// ```
/// use policy::{Document, NewStatement};
/// let mut document = Document::new("2008-10-17", "mine");
/// let actions = ["SQS:SendMessage"];
/// document.add(&NewStatement { sid: "a", accounts: &["111122223333"], actions: &actions, resource: "arn:aws:sqs:::q" });
/// assert!(document.has("a") && document.remove("a") && document.is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct Document {
    /// What stands beside the statements, with the place of these among them.
    members: Vec<(String, Member)>,
}

#[derive(Clone, Debug)]
enum Member {
    Raw(Box<RawValue>),
    Statements(Vec<Entry>),
}

#[derive(Clone, Debug)]
struct Entry {
    sid: Option<String>,
    text: String,
}

/// A statement that allows `actions` on one resource to whole accounts.
#[derive(Clone, Copy, Debug)]
pub struct NewStatement<'a> {
    /// Its `Sid`.
    pub sid: &'a str,
    /// Account ids, twelve digits each; written as the ARNs of their roots, as AWS does.
    pub accounts: &'a [&'a str],
    /// `SQS:SendMessage`.
    pub actions: &'a [&'a str],
    /// An ARN.
    pub resource: &'a str,
}

impl Document {
    /// A policy without statements. `version` is `2008-10-17` or `2012-10-17`.
    pub fn new(version: &str, id: &str) -> Self {
        let raw = |text: &str| serde_json::value::to_raw_value(text).map(Member::Raw);
        let named = [("Version", raw(version)), ("Id", raw(id)), ("Statement", Ok(Member::Statements(Vec::new())))];
        let members = named.into_iter().filter_map(|(name, member)| Some((name.to_owned(), member.ok()?)));
        Self { members: members.collect() }
    }

    /// Reads a policy's outline.
    ///
    /// # Errors
    /// If it is not an object, or its statements are neither one object nor a list.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let not_json = |error: serde_json::Error| {
            PolicyError::new(Problem::NotJson, format!("line {} column {}", error.line(), error.column()))
        };
        let Outline(raw) = serde_json::from_str(text).map_err(not_json)?;
        let mut members = Vec::with_capacity(raw.len());
        for (name, value) in raw {
            let member = if name == "Statement" { Member::Statements(entries(&value)?) } else { Member::Raw(value) };
            members.push((name, member));
        }
        if !members.iter().any(|(name, _)| name == "Statement") {
            members.push(("Statement".to_owned(), Member::Statements(Vec::new())));
        }
        Ok(Self { members })
    }

    /// Whether a statement has this `Sid`.
    pub fn has(&self, sid: &str) -> bool {
        self.statements().any(|entry| entry.sid.as_deref() == Some(sid))
    }

    /// How many statements there are.
    pub fn len(&self) -> usize {
        self.statements().count()
    }

    /// Whether there is no statement.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a statement. Its `Sid` should be new: ask [`Document::has`].
    pub fn add(&mut self, statement: &NewStatement<'_>) {
        let entry = Entry { sid: Some(statement.sid.to_owned()), text: statement.to_json() };
        let mut members = self.members.iter_mut();
        let list = members.find_map(|(_, member)| match member {
            Member::Statements(entries) => Some(entries),
            Member::Raw(_) => None,
        });
        // Both constructors put a list there.
        if let Some(entries) = list {
            entries.push(entry);
        }
    }

    /// Removes the statements with this `Sid`. Whether there was one.
    pub fn remove(&mut self, sid: &str) -> bool {
        let before = self.len();
        for (_, member) in &mut self.members {
            if let Member::Statements(entries) = member {
                entries.retain(|entry| entry.sid.as_deref() != Some(sid));
            }
        }
        self.len() < before
    }

    fn statements(&self) -> impl Iterator<Item = &Entry> {
        self.members.iter().flat_map(|(_, member)| match member {
            Member::Statements(entries) => entries.as_slice(),
            Member::Raw(_) => &[],
        })
    }
}

impl fmt::Display for Document {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("{")?;
        for (index, (name, member)) in self.members.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(formatter, "{comma}{}:", quoted(name))?;
            match member {
                Member::Raw(value) => formatter.write_str(value.get())?,
                Member::Statements(entries) => {
                    let texts: Vec<_> = entries.iter().map(|entry| entry.text.as_str()).collect();
                    write!(formatter, "[{}]", texts.join(","))?;
                }
            }
        }
        formatter.write_str("}")
    }
}

impl NewStatement<'_> {
    fn to_json(self) -> String {
        let roots: Vec<_> = self.accounts.iter().map(|account| format!("arn:aws:iam::{account}:root")).collect();
        let roots: Vec<_> = roots.iter().map(String::as_str).collect();
        format!(
            r#"{{"Sid":{},"Effect":"Allow","Principal":{{"AWS":{}}},"Action":{},"Resource":{}}}"#,
            quoted(self.sid),
            one_or_list(&roots),
            one_or_list(self.actions),
            quoted(self.resource),
        )
    }
}

/// AWS writes a list of one as that one.
fn one_or_list(texts: &[&str]) -> String {
    match texts {
        [one] => quoted(one),
        many => format!("[{}]", many.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(",")),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn entries(value: &RawValue) -> Result<Vec<Entry>, PolicyError> {
    #[derive(Deserialize)]
    struct Labelled {
        #[serde(rename = "Sid")]
        sid: Option<String>,
    }
    let wrong = |_| PolicyError::new(Problem::WrongType, "Statement");
    let raw: Vec<&RawValue> =
        if value.get().starts_with('[') { serde_json::from_str(value.get()).map_err(wrong)? } else { vec![value] };
    raw.into_iter()
        .map(|raw| {
            let Labelled { sid } = serde_json::from_str(raw.get()).map_err(wrong)?;
            Ok(Entry { sid, text: raw.get().to_owned() })
        })
        .collect()
}

/// An object's members in their order, values unread.
struct Outline(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Outline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OutlineVisitor;
        impl<'de> Visitor<'de> for OutlineVisitor {
            type Value = Outline;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Outline, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = access.next_entry()? {
                    members.push(member);
                }
                Ok(Outline(members))
            }
        }
        deserializer.deserialize_map(OutlineVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Policy;

    const MINE: NewStatement<'_> = NewStatement {
        sid: "mine",
        accounts: &["111122223333"],
        actions: &["SQS:SendMessage", "SQS:ReceiveMessage"],
        resource: "arn:aws:sqs:us-east-1:000000000000:q",
    };

    #[test]
    fn a_new_document_reads_as_aws_writes_it() {
        let mut document = Document::new("2008-10-17", "arn:aws:sqs:us-east-1:000000000000:q/SQSDefaultPolicy");
        document.add(&MINE);
        assert_eq!(
            document.to_string(),
            concat!(
                r#"{"Version":"2008-10-17","Id":"arn:aws:sqs:us-east-1:000000000000:q/SQSDefaultPolicy","Statement":[{"#,
                r#""Sid":"mine","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"#,
                r#""Action":["SQS:SendMessage","SQS:ReceiveMessage"],"Resource":"arn:aws:sqs:us-east-1:000000000000:q"}]}"#,
            )
        );
        assert!(Policy::parse(&document.to_string()).is_ok());
    }

    #[test]
    fn what_the_user_wrote_stays_as_it_was() {
        let theirs = r#"{ "Resource":"*", "Effect" : "Deny", "Principal":"*","Action":["sqs:*" ],"Condition":{"NumericEquals":{"a:b":1.50}} }"#;
        let text = format!(r#"{{ "Statement": {theirs}, "Version": "2012-10-17" }}"#);
        let mut document = Document::parse(&text).expect("a document");
        document.add(&MINE);
        let edited = document.to_string();
        assert!(edited.starts_with(&format!(r#"{{"Statement":[{theirs},{{"Sid":"mine""#)), "{edited}");
        assert!(edited.ends_with(r#"],"Version":"2012-10-17"}"#), "{edited}");
        assert!(document.remove("mine"));
        assert_eq!(document.to_string(), format!(r#"{{"Statement":[{theirs}],"Version":"2012-10-17"}}"#));
    }

    #[test]
    fn only_the_statement_with_that_sid_goes() {
        let text = r#"{"Statement":[{"Sid":"a"},{"Sid":"b"},{}]}"#;
        let mut document = Document::parse(text).expect("a document");
        assert!(document.has("a") && !document.has("c"));
        assert!(!document.remove("c"));
        assert!(document.remove("a"));
        assert_eq!(document.to_string(), r#"{"Statement":[{"Sid":"b"},{}]}"#);
        assert_eq!(document.len(), 2);
    }

    #[test]
    fn quotes_in_a_sid_are_escaped() {
        let mut document = Document::new("2008-10-17", "id");
        document.add(&NewStatement { sid: "a\"b\n", ..MINE });
        assert!(Document::parse(&document.to_string()).expect("a document").has("a\"b\n"));
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for text in ["", "[]", "{", r#"{"Statement":7}"#, r#"{"Statement":[1]}"#, r#"{"Statement":[{"Sid":1}]}"#] {
            assert!(Document::parse(text).is_err(), "{text}");
        }
    }
}
