//! Mustache templates, as far as `context` of a file uses them: variables, sections, inverted sections, comments,
//! other delimiters and dotted names. No partials: there is nowhere to take them from.
//!
//! Invariants:
//! - Pure and total: what is no template is an error, never a panic.
//! - What comes out has [`RENDERED_BYTES_MAX`] at most, and sections stand in each other [`DEPTH_MAX`] deep at most.

use serde_json::Value;

/// Nested sections over long lists grow without end otherwise.
const RENDERED_BYTES_MAX: usize = 64 << 20;
/// How deep sections may stand in each other.
const DEPTH_MAX: usize = 64;

/// Renders a template with the values of a context.
pub(super) fn render(template: &str, context: &Value) -> Result<String, String> {
    let mut parser = Parser { rest: template, open: "{{".to_owned(), close: "}}".to_owned(), at_line_start: true };
    let nodes = parser.section(None, 0)?;
    let mut rendered = String::new();
    write(&nodes, &mut vec![context], &mut rendered)?;
    Ok(rendered)
}

enum Node<'a> {
    Text(&'a str),
    Variable { name: &'a str, is_escaped: bool },
    Section { name: &'a str, is_inverted: bool, nodes: Vec<Node<'a>> },
}

struct Parser<'a> {
    rest: &'a str,
    open: String,
    close: String,
    /// Whether nothing but blanks stands between here and the line's start.
    at_line_start: bool,
}

/// What stands between delimiters.
struct Tag<'a> {
    sigil: char,
    name: &'a str,
}

impl<'a> Parser<'a> {
    fn section(&mut self, name: Option<&str>, depth: usize) -> Result<Vec<Node<'a>>, String> {
        if depth > DEPTH_MAX {
            return Err(format!("sections stand in each other more than {DEPTH_MAX} deep"));
        }
        let mut nodes = Vec::new();
        loop {
            let Some((text, tag)) = self.next_tag()? else {
                nodes.push(Node::Text(std::mem::take(&mut self.rest)));
                return match name {
                    None => Ok(nodes),
                    Some(name) => Err(format!("the section {name} is not closed")),
                };
            };
            nodes.push(Node::Text(text));
            match tag.sigil {
                '!' | '=' => {}
                '#' | '^' => {
                    let inner = self.section(Some(tag.name), depth + 1)?;
                    nodes.push(Node::Section { name: tag.name, is_inverted: tag.sigil == '^', nodes: inner });
                }
                '/' if name == Some(tag.name) => return Ok(nodes),
                '/' => return Err(format!("{} is closed but not open", tag.name)),
                '>' => return Err(format!("partials such as {} are not supported", tag.name)),
                sigil => nodes.push(Node::Variable { name: tag.name, is_escaped: sigil == ' ' }),
            }
        }
    }

    /// The text up to the next tag, and the tag.
    fn next_tag(&mut self) -> Result<Option<(&'a str, Tag<'a>)>, String> {
        let Some(start) = self.rest.find(self.open.as_str()) else { return Ok(None) };
        let (before, inside) = (&self.rest[..start], &self.rest[start + self.open.len()..]);
        let (sigil, inside) = match inside.chars().next() {
            Some(sigil @ ('!' | '#' | '^' | '/' | '>' | '&' | '=' | '{')) => (sigil, &inside[1..]),
            _ => (' ', inside),
        };
        let close = match sigil {
            '{' => format!("}}{}", self.close),
            '=' => format!("={}", self.close),
            _ => self.close.clone(),
        };
        let end = inside.find(close.as_str()).ok_or_else(|| format!("a tag is not closed with {close}"))?;
        let tag = Tag { sigil, name: inside[..end].trim() };
        if sigil == '=' {
            let mut delimiters = tag.name.split_whitespace();
            let (Some(open), Some(close), None) = (delimiters.next(), delimiters.next(), delimiters.next()) else {
                return Err(format!("{} are no two delimiters", tag.name));
            };
            (self.open, self.close) = (open.to_owned(), close.to_owned());
        }
        let after = &inside[end + close.len()..];
        let (before, after) = self.without_its_line(before, after, sigil);
        self.at_line_start = after.is_empty() || before.len() < start || after.starts_with('\n');
        self.rest = after;
        Ok(Some((before, tag)))
    }

    /// A section's tag that is alone on its line takes the line with it.
    fn without_its_line(&mut self, before: &'a str, after: &'a str, sigil: char) -> (&'a str, &'a str) {
        let line_start = before.rfind('\n').map(|newline| newline + 1);
        let blank_from = line_start.or(self.at_line_start.then_some(0));
        let starts_line = blank_from.filter(|from| before[*from..].chars().all(|blank| blank == ' ' || blank == '\t'));
        let trailing = after.trim_start_matches([' ', '\t']);
        let ends_line = trailing.is_empty() || trailing.starts_with('\n') || trailing.starts_with("\r\n");
        self.at_line_start = false;
        match starts_line {
            Some(from) if ends_line && matches!(sigil, '!' | '#' | '^' | '/' | '=') => {
                self.at_line_start = true;
                let rest = trailing.strip_prefix("\r\n").or_else(|| trailing.strip_prefix('\n')).unwrap_or(trailing);
                (&before[..from], rest)
            }
            _ => (before, after),
        }
    }
}

fn write(nodes: &[Node<'_>], stack: &mut Vec<&Value>, to: &mut String) -> Result<(), String> {
    for node in nodes {
        match node {
            Node::Text(text) => to.push_str(text),
            Node::Variable { name, is_escaped } => {
                let text = find(stack, name).map(text_of).unwrap_or_default();
                if *is_escaped { escape(&text, to) } else { to.push_str(&text) }
            }
            Node::Section { name, is_inverted, nodes } => {
                let value = find(stack, name).filter(|value| !crate::value::is_empty(value));
                match (value, is_inverted) {
                    (None, true) => write(nodes, stack, to)?,
                    (Some(Value::Array(items)), false) => {
                        for item in items {
                            write_with(item, nodes, stack, to)?;
                        }
                    }
                    (Some(value), false) => write_with(value, nodes, stack, to)?,
                    (None, false) | (Some(_), true) => {}
                }
            }
        }
        if to.len() > RENDERED_BYTES_MAX {
            return Err(format!("the result has more than {RENDERED_BYTES_MAX} bytes"));
        }
    }
    Ok(())
}

fn write_with<'a>(
    value: &'a Value,
    nodes: &[Node<'_>],
    stack: &mut Vec<&'a Value>,
    to: &mut String,
) -> Result<(), String> {
    stack.push(value);
    let written = write(nodes, stack, to);
    stack.pop();
    written
}

/// Looks a name up from the innermost context outwards; of a dotted name, only its first part.
fn find<'a>(stack: &[&'a Value], name: &str) -> Option<&'a Value> {
    if name == "." {
        return stack.last().copied();
    }
    let mut parts = name.split('.');
    let first = parts.next()?;
    let found = stack.iter().rev().find_map(|context| context.as_object()?.get(first))?;
    parts.try_fold(found, |value, part| value.as_object()?.get(part))
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        scalar => crate::value::text(scalar).unwrap_or_else(|| scalar.to_string()),
    }
}

fn escape(text: &str, to: &mut String) {
    for character in text.chars() {
        match character {
            '&' => to.push_str("&amp;"),
            '<' => to.push_str("&lt;"),
            '>' => to.push_str("&gt;"),
            '"' => to.push_str("&quot;"),
            '\'' => to.push_str("&#39;"),
            plain => to.push(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn rendered(template: &str) -> String {
        let context = json!({
            "name": "a<b", "port": 80, "on": true, "off": false, "none": null,
            "db": {"host": "h", "user": {"name": "u"}},
            "list": [{"n": 1}, {"n": 2}], "words": ["x", "y"],
        });
        render(template, &context).unwrap()
    }

    #[test]
    fn variables_are_escaped_unless_told_otherwise() {
        assert_eq!(rendered("{{name}} {{{name}}} {{&name}} {{ port }} {{on}}"), "a&lt;b a<b a<b 80 true");
        assert_eq!(rendered("{{db.host}}:{{db.user.name}} [{{missing}}{{none}}{{db.host.x}}]"), "h:u []");
    }

    #[test]
    fn sections_repeat_and_inverted_ones_fill_in() {
        assert_eq!(rendered("{{#list}}{{n}}-{{port}},{{/list}}"), "1-80,2-80,");
        assert_eq!(rendered("{{#words}}{{.}};{{/words}}"), "x;y;");
        assert_eq!(rendered("{{#off}}a{{/off}}{{^off}}b{{/off}}{{^on}}c{{/on}}{{#db}}{{host}}{{/db}}"), "bh");
    }

    #[test]
    fn a_sections_tag_alone_on_its_line_leaves_no_line() {
        assert_eq!(rendered("a\n  {{#list}}\nn={{n}}\n  {{/list}}\nb\n"), "a\nn=1\nn=2\nb\n");
        assert_eq!(rendered("{{! note }}\nx {{! in line }} y"), "x  y");
        assert_eq!(rendered("{{=<% %>=}}\n<% port %> {{port}}"), "80 {{port}}");
    }

    #[test]
    fn what_is_no_template_is_an_error() {
        for wrong in ["{{", "{{#a}}", "{{/a}}", "{{#a}}{{/b}}", "{{> part}}", "{{=a=}}", "{{{a}}"] {
            assert!(render(wrong, &json!({})).is_err(), "{wrong}");
        }
        assert!(render(&"{{#a}}".repeat(100_000), &json!({})).is_err());
    }

    #[test]
    fn growth_ends_at_the_bound() {
        let items: Vec<u32> = (0..4000).collect();
        let template = "{{#l}}{{#l}}{{#l}}0123456789{{/l}}{{/l}}{{/l}}";
        assert!(render(template, &json!({"l": items})).unwrap_err().contains("more than"));
    }

    proptest! {
        #[test]
        fn any_template_is_rendered_or_refused_without_panic(template in r"[{}#^/!=&>. a\n\r<%é]{0,40}") {
            let _ = render(&template, &json!({"a": [{"a": true}], ".": 1}));
        }

        #[test]
        fn text_without_delimiters_stays_as_it_is(text in "[^{]{0,60}") {
            prop_assert_eq!(render(&text, &json!({})).unwrap(), text);
        }
    }
}
