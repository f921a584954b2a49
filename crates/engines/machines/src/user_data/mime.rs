//! MIME archives of user data, as `cloud-init devel make-mime` writes them: parts one after the other, nothing nested.
//!
//! Invariant: pure; no input makes it panic or hold more than its parts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub(super) struct Part {
    /// Lowercase, without parameters.
    pub(super) kind: Option<String>,
    pub(super) content: Vec<u8>,
}

pub(super) fn is_archive(content: &[u8]) -> bool {
    let (head, _) = split_head(content);
    header(&head, "content-type").is_some_and(|value| value.to_ascii_lowercase().starts_with("multipart/"))
}

pub(super) fn parts(content: &[u8]) -> Result<Vec<Part>, &'static str> {
    let (head, body) = split_head(content);
    let kind = header(&head, "content-type").ok_or("MIME archive without Content-Type")?;
    let boundary = parameter(&kind, "boundary").ok_or("MIME archive without a boundary")?;
    let (open, close) = (format!("--{boundary}"), format!("--{boundary}--"));
    let mut parts: Vec<Vec<u8>> = Vec::new();
    let mut current: Option<Vec<u8>> = None;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let text = line.trim_ascii_end();
        if text == open.as_bytes() || text == close.as_bytes() {
            parts.extend(current.take());
            current = (text == open.as_bytes()).then(Vec::new);
        } else if let Some(part) = &mut current {
            part.extend_from_slice(line);
        }
    }
    parts.extend(current);
    parts.iter().map(|part| read(part)).collect()
}

fn read(part: &[u8]) -> Result<Part, &'static str> {
    let (head, body) = split_head(part);
    let kind = header(&head, "content-type")
        .map(|value| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    // The line end before a boundary belongs to the boundary.
    let body = body.strip_suffix(b"\n").map_or(body, |body| body.strip_suffix(b"\r").unwrap_or(body));
    let encoding = header(&head, "content-transfer-encoding").unwrap_or_default().to_ascii_lowercase();
    let content = match encoding.trim() {
        "base64" => {
            let packed: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
            STANDARD.decode(packed).map_err(|_| "a MIME part that is no base64")?
        }
        "" | "7bit" | "8bit" | "binary" => body.to_vec(),
        _ => return Err("a MIME part in an encoding other than 7bit, 8bit, binary or base64"),
    };
    // "text/plain" says nothing: cloud-init looks at the first line then.
    Ok(Part { kind: kind.filter(|kind| kind != "text/plain"), content })
}

/// Header lines with their folds undone, and what stands after the empty line.
fn split_head(content: &[u8]) -> (Vec<String>, &[u8]) {
    let mut head: Vec<String> = Vec::new();
    let mut rest = content;
    while !rest.is_empty() {
        let length = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at(length);
        let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
        if text.is_empty() {
            return (head, after);
        }
        match head.last_mut() {
            Some(last) if text.starts_with([' ', '\t']) => last.push_str(&text),
            _ if text.starts_with("From ") => {}
            _ if text.contains(':') => head.push(text),
            _ => return (Vec::new(), content),
        }
        rest = after;
    }
    (head, rest)
}

fn header(head: &[String], name: &str) -> Option<String> {
    head.iter().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

fn parameter(value: &str, name: &str) -> Option<String> {
    value.split(';').skip(1).find_map(|parameter| {
        let (found, value) = parameter.split_once('=')?;
        found.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
    })
}
