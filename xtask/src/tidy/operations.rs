//! Each operation that `models/services.toml` lists is named by a test.
//!
//! A name is any spelling of it: `send_message`, `SendMessage`, `SendMessageCommand`, `send-message`, `sendMessage`.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use toml::Table;

/// Operations that no test names.
pub(super) fn violations(root: &Path) -> Result<Vec<String>> {
    let list = Path::new("models/services.toml");
    let services: Table = super::read(root, list)?.parse().context("models/services.toml")?;
    let mut words = BTreeSet::new();
    for file in super::files(root, &["rs", "py", "js", "mjs", "sh"])? {
        let text = super::read(root, &file)?;
        words.extend(words_of(test_code(&file, &text)));
    }
    let mut violations = Vec::new();
    for (service, entry) in &services {
        let operations = entry.get("operations").and_then(toml::Value::as_array).into_iter().flatten();
        for operation in operations.filter_map(toml::Value::as_str) {
            if !spellings(operation).iter().any(|name| words.contains(name)) {
                violations.push(format!("{}: no test names {service}'s {operation}", list.display()));
            }
        }
    }
    Ok(violations)
}

/// The part of a file that is test code.
fn test_code<'t>(file: &Path, text: &'t str) -> &'t str {
    let in_tests = file.components().any(|part| part.as_os_str() == "tests") || file.ends_with("tests.rs");
    if in_tests {
        return text;
    }
    text.find("#[cfg(test)]").map_or("", |at| &text[at..])
}

fn words_of(text: &str) -> BTreeSet<String> {
    text.split(|character: char| !character.is_ascii_alphanumeric() && !"_-".contains(character))
        .filter(|word| !word.is_empty())
        .map(|word| word.strip_suffix("Command").unwrap_or(word).to_owned())
        .collect()
}

fn spellings(operation: &str) -> [String; 4] {
    let mut snake = String::new();
    for character in operation.chars() {
        if character.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    let kebab = snake.replace('_', "-");
    let camel = operation.chars().take(1).map(|first| first.to_ascii_lowercase()).chain(operation.chars().skip(1));
    [operation.to_owned(), camel.collect(), snake, kebab]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_found_in_every_spelling_but_not_inside_another_name() {
        let named = |text: &str| spellings("SendMessage").iter().any(|name| words_of(text).contains(name));
        for text in ["x.send_message(y)", "Action=SendMessage&", "new SendMessageCommand({", "aws sqs send-message --x"]
        {
            assert!(named(text), "{text}");
        }
        for text in ["send_message_batch", "SendMessageBatch", "resend_message"] {
            assert!(!named(text), "{text}");
        }
    }

    #[test]
    fn only_test_code_counts() {
        let text = "fn send() {}\n#[cfg(test)]\nmod tests {}";
        assert_eq!(test_code(Path::new("crates/a/src/lib.rs"), text), "#[cfg(test)]\nmod tests {}");
        assert_eq!(test_code(Path::new("crates/a/src/lib.rs"), "fn send() {}"), "");
        assert_eq!(test_code(Path::new("crates/a/tests/x.rs"), text), text);
        assert_eq!(test_code(Path::new("crates/a/src/x/tests.rs"), text), text);
    }
}
