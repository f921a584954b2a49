//! Every Rust file: opens with module docs, has at most 800 lines, its functions at most 80.
//!
//! A longer one says why, in a comment: `// tidy: over 80 lines because …` above or inside the function,
//! `// tidy: over 800 lines because …` anywhere in the file. Generated files have no reader to tire.

use std::path::Path;

use anyhow::Result;

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 80;

/// Files without docs, and files and functions that are too long.
pub(super) fn violations(root: &Path) -> Result<Vec<String>> {
    let mut violations = Vec::new();
    for file in super::files(root, &["rs"])? {
        let found = of_source(&super::read(root, &file)?);
        violations.extend(found.into_iter().map(|wrong| format!("{}:{wrong}", file.display())));
    }
    Ok(violations)
}

/// `LINE: what is wrong`, each.
fn of_source(source: &str) -> Vec<String> {
    let mut violations = Vec::new();
    if !source.starts_with("//!") {
        violations.push("1: open with `//!` and what the module promises".to_owned());
    }
    if source.lines().take(10).any(|line| line.starts_with("//") && line.contains("@generated")) {
        return violations;
    }
    let lines = source.lines().count();
    if lines > FILE_LINES_MAX && !has_reason(source, FILE_LINES_MAX) {
        violations.push(format!("1: {lines} lines; split it, or say `// tidy: over {FILE_LINES_MAX} lines because …`"));
    }
    for function in functions(source) {
        if function.lines() > FUNCTION_LINES_MAX && !has_reason(function.with_comment_above(source), FUNCTION_LINES_MAX)
        {
            violations.push(format!(
                "{}: `{}` has {} lines; split it, or say `// tidy: over {FUNCTION_LINES_MAX} lines because …`",
                function.first_line,
                function.name,
                function.lines()
            ));
        }
    }
    violations
}

fn has_reason(text: &str, limit: usize) -> bool {
    let says = format!("// tidy: over {limit} lines because ");
    text.lines().any(|line| line.trim_start().strip_prefix(&says).is_some_and(|reason| !reason.trim().is_empty()))
}

/// A function with a body; lines count from 1.
#[derive(Debug, PartialEq)]
struct Function {
    name: String,
    first_line: usize,
    last_line: usize,
}

impl Function {
    fn lines(&self) -> usize {
        self.last_line - self.first_line + 1
    }

    /// Its text, and the comments and attributes right above.
    fn with_comment_above<'s>(&self, source: &'s str) -> &'s str {
        let starts: Vec<usize> = std::iter::once(0).chain(source.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let belongs = |line: usize| {
            let text = source[starts[line - 1]..].trim_start();
            text.starts_with("//") || text.starts_with("#[")
        };
        let mut first = self.first_line;
        while first > 1 && belongs(first - 1) {
            first -= 1;
        }
        let end = starts.get(self.last_line).copied().unwrap_or(source.len());
        &source[starts[first - 1]..end]
    }
}

/// The functions of a source text, in order; those inside others too.
fn functions(source: &str) -> Vec<Function> {
    let code = code_only(source);
    let line_of = |at: usize| 1 + code[..at].iter().filter(|&&byte| byte == b'\n').count();
    let mut functions = Vec::new();
    for at in 0..code.len() {
        let Some(rest) = code[at..].strip_prefix(b"fn ") else { continue };
        if at > 0 && is_word(code[at - 1]) {
            continue;
        }
        let name: Vec<u8> = rest.iter().copied().take_while(|&byte| is_word(byte)).collect();
        if let (false, Some(end)) = (name.is_empty(), end_of_body(&code, at)) {
            let name = String::from_utf8_lossy(&name).into_owned();
            functions.push(Function { name, first_line: line_of(at), last_line: line_of(end) });
        }
    }
    functions
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// Where the body of the function at `from` closes; none when it has none.
fn end_of_body(code: &[u8], from: usize) -> Option<usize> {
    let (mut brackets, mut braces) = (0_usize, 0_usize);
    for (at, byte) in code.iter().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets = brackets.saturating_sub(1),
            b';' if brackets == 0 && braces == 0 => return None,
            b'{' => braces += 1,
            b'}' => {
                braces = braces.saturating_sub(1);
                if braces == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// The source with comments, strings and character literals blanked out, byte for byte.
fn code_only(source: &str) -> Vec<u8> {
    let mut code = source.as_bytes().to_vec();
    let mut at = 0;
    while at < code.len() {
        let end = end_of_blank(source.as_bytes(), at);
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    code
}

/// Where the comment or literal that begins at `at` ends; `at` itself when none begins there.
fn end_of_blank(source: &[u8], at: usize) -> usize {
    let rest = &source[at..];
    let length = if rest.starts_with(b"//") {
        rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len())
    } else if rest.starts_with(b"/*") {
        block_comment(rest)
    } else if rest[0] == b'"' {
        quoted(rest, b'"')
    } else if rest[0] == b'\'' {
        character(rest)
    } else if matches!(rest[0], b'r' | b'b' | b'c') && (at == 0 || !is_word(source[at - 1])) {
        raw_string(rest)
    } else {
        0
    };
    at + length
}

/// Block comments nest.
fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at.min(rest.len())
}

/// From a quote to the next one that no backslash hides.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// A character literal; nothing for a lifetime.
fn character(rest: &[u8]) -> usize {
    match rest.get(1) {
        Some(b'\\') => quoted(rest, b'\''),
        Some(_) => {
            // One character, of up to four bytes, and the closing quote.
            let closing = rest.iter().skip(2).take(4).position(|&byte| byte == b'\'').map(|after| after + 2);
            let is_one = |end: usize| std::str::from_utf8(&rest[1..end]).is_ok_and(|text| text.chars().count() == 1);
            closing.filter(|&end| is_one(end)).map_or(0, |end| end + 1)
        }
        None => 0,
    }
}

/// `r"…"`, `r#"…"#`, `br"…"`, `cr"…"`; nothing for anything else that begins with these letters.
fn raw_string(rest: &[u8]) -> usize {
    let letters = rest.iter().take_while(|byte| matches!(byte, b'r' | b'b' | b'c')).count();
    let hashes = rest[letters..].iter().take_while(|&&byte| byte == b'#').count();
    if letters > 2 || rest[letters - 1] != b'r' || rest.get(letters + hashes) != Some(&b'"') {
        return 0;
    }
    let closing = [&b"\""[..], &vec![b'#'; hashes]].concat();
    let body = letters + hashes + 1;
    let found = rest[body..].windows(closing.len()).position(|window| window == closing);
    found.map_or(rest.len(), |at| body + at + closing.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_and_lines(source: &str) -> Vec<(String, usize)> {
        functions(source).into_iter().map(|function| (function.name.clone(), function.lines())).collect()
    }

    #[test]
    fn functions_are_measured_from_their_signature_to_their_closing_brace() {
        let source = "fn a() {}\nimpl X {\n  async fn b<'a>(x: &'a str)\n  where\n    X: Y,\n  {\n    if x { y }\n  }\n}\n\
                      trait T { fn none(&self) -> [u8; 4]; }\ntype F = fn(u8) -> u8;\n";
        assert_eq!(names_and_lines(source), [("a".to_owned(), 1), ("b".to_owned(), 6)]);
    }

    #[test]
    fn braces_in_literals_and_comments_do_not_count() {
        let source = "fn a() {\n // }\n /* } /* } */ } */\n let x = \"}\\\"}\"; let y = r#\"}\"}\"#; let z = br\"}\";\n \
                      let q = '}'; let r = '\\''; let s = 'é'; let t: &'static str = b\"}\"; let bar = crab;\n}\nfn b() {}\n";
        assert_eq!(names_and_lines(source), [("a".to_owned(), 6), ("b".to_owned(), 1)]);
    }

    #[test]
    fn a_long_function_needs_a_written_reason() {
        let body = "    x();\n".repeat(FUNCTION_LINES_MAX - 1);
        let long = format!("//! Docs.\nfn a() {{\n{body}}}\n");
        assert_eq!(of_source(&long).len(), 1);
        assert!(of_source(&long.replace("    x();\n    x();\n", "    x();\n")).is_empty());
        assert!(
            of_source(&long.replace("fn a", "// tidy: over 80 lines because it is a table.\n#[must_use]\nfn a"))
                .is_empty()
        );
        assert_eq!(of_source(&long.replace("fn a", "// tidy: over 80 lines because \nfn a")).len(), 1);
        assert_eq!(of_source(&format!("{long}\n// tidy: over 80 lines because it stands elsewhere.\n")).len(), 1);
    }

    #[test]
    fn a_long_file_needs_a_written_reason_unless_it_is_generated() {
        let long = format!("//! Docs.\n{}", "// x\n".repeat(FILE_LINES_MAX));
        assert_eq!(of_source(&long).len(), 1);
        assert!(of_source(&format!("{long}// tidy: over 800 lines because it is a table.\n")).is_empty());
        assert!(of_source(&long.replacen("//! Docs.", "//! Docs.\n//! @generated", 1)).is_empty());
    }

    #[test]
    fn a_file_without_module_docs_is_found() {
        assert_eq!(of_source("use x;\n"), ["1: open with `//!` and what the module promises"]);
    }
}
