//! [`strip`]: takes everything about authentication off a request, once it has been judged.
//!
//! Invariant: what is left is the request that the signer meant: headers that a presigned URL carries in its query are
//! headers again, and the length is that of the decoded body.

use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::QueryMechanism;
use super::canonical::{decoded, query_pairs};

/// Of a signature itself, wherever they stand.
const OF_SIGV4: &[&str] = &[
    "x-amz-algorithm",
    "x-amz-content-sha256",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
];
const OF_SIGV2: &[&str] = &["AWSAccessKeyId", "Expires", "Signature", "x-amz-security-token"];
/// Where the length of an `aws-chunked` body's payload stands.
const DECODED_LENGTH: &str = "x-amz-decoded-content-length";

/// Removes the signature from header and query, and the `aws-chunked` encoding (whose decoder the caller puts around
/// the body); `x-amz-*` parameters of a presigned URL become headers, as S3 reads them.
pub fn strip(parts: &mut Parts) {
    strip_query(parts);
    parts.headers.remove(AUTHORIZATION);
    for name in OF_SIGV4 {
        parts.headers.remove(*name);
    }
    if let Some(length) = parts.headers.remove(DECODED_LENGTH) {
        parts.headers.insert(CONTENT_LENGTH, length);
    }
    strip_chunked_encoding(&mut parts.headers);
}

fn strip_chunked_encoding(headers: &mut HeaderMap) {
    let values: Vec<_> = headers.get_all(CONTENT_ENCODING).iter().filter_map(|value| value.to_str().ok()).collect();
    let codings: Vec<_> = values.iter().flat_map(|value| value.split(',')).map(str::trim).collect();
    if !codings.iter().any(|coding| coding.eq_ignore_ascii_case("aws-chunked")) {
        return;
    }
    let kept: Vec<_> =
        codings.into_iter().filter(|c| !c.is_empty() && !c.eq_ignore_ascii_case("aws-chunked")).collect();
    let kept = kept.join(",");
    headers.remove(CONTENT_ENCODING);
    if let (false, Ok(value)) = (kept.is_empty(), HeaderValue::from_str(&kept)) {
        headers.insert(CONTENT_ENCODING, value);
    }
}

fn strip_query(parts: &mut Parts) {
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let kept = match QueryMechanism::of(&query) {
        None | Some(QueryMechanism::SigV2OutsideS3) => return,
        Some(QueryMechanism::SigV2) => keep(&query, |name| !OF_SIGV2.contains(&name)),
        Some(QueryMechanism::SigV4) => {
            hoist(&query, &mut parts.headers);
            keep(&query, |name| !is_amz(name))
        }
    };
    let path = parts.uri.path();
    let target = if kept.is_empty() { path.to_owned() } else { format!("{path}?{kept}") };
    let mut uri = std::mem::take(&mut parts.uri).into_parts();
    // A shorter query of a target that parsed parses as well.
    uri.path_and_query = target.parse().ok();
    parts.uri = Uri::from_parts(uri).unwrap_or_default();
}

fn keep(query: &str, wanted: impl Fn(&str) -> bool) -> String {
    let pieces = query.split('&').filter(|piece| wanted(piece.split_once('=').map_or(*piece, |(name, _)| name)));
    pieces.collect::<Vec<_>>().join("&")
}

fn is_amz(name: &str) -> bool {
    name.get(..6).is_some_and(|prefix| prefix.eq_ignore_ascii_case("x-amz-"))
}

fn hoist(query: &str, headers: &mut HeaderMap) {
    for (name, value) in query_pairs(query).filter(|(name, _)| is_amz(name)) {
        let value = HeaderValue::from_bytes(&decoded(value.as_bytes(), true));
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()), value) else {
            continue;
        };
        if !OF_SIGV4.contains(&name.as_str()) {
            headers.entry(name).or_insert(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(request: http::request::Builder) -> Parts {
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        strip(&mut parts);
        parts
    }

    #[test]
    fn a_presigned_url_is_left_with_its_own_query_and_its_hoisted_headers() {
        let parts = stripped(http::Request::put(
            "/b/k?partNumber=2&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=c&X-Amz-Date=d&X-Amz-Expires=1\
             &X-Amz-SignedHeaders=host&x-amz-meta-color=light%20blue&X-Amz-Signature=s&uploadId=u",
        ));
        assert_eq!(parts.uri, "/b/k?partNumber=2&uploadId=u");
        assert_eq!(parts.headers["x-amz-meta-color"], "light blue");
        assert_eq!(parts.headers.len(), 1);
    }

    #[test]
    fn a_header_that_was_signed_is_not_replaced_by_the_query() {
        let parts =
            stripped(http::Request::put("/b/k?X-Amz-Algorithm=a&x-amz-acl=public-read").header("x-amz-acl", "private"));
        assert_eq!(parts.headers["x-amz-acl"], "private");
    }

    #[test]
    fn a_chunked_upload_is_left_with_its_real_length_and_encoding() {
        let request = http::Request::put("/b/k")
            .header("authorization", "AWS4-HMAC-SHA256 …")
            .header("content-encoding", "aws-chunked, gzip")
            .header("content-length", "66824")
            .header("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
            .header("x-amz-decoded-content-length", "66560")
            .header("x-amz-trailer", "x-amz-checksum-crc32");
        let parts = stripped(request);
        assert_eq!(parts.headers["content-encoding"], "gzip");
        assert_eq!(parts.headers["content-length"], "66560");
        assert_eq!(parts.headers.len(), 3);

        let only_chunked = stripped(http::Request::put("/").header("content-encoding", "aws-chunked"));
        assert!(only_chunked.headers.is_empty());
    }

    #[test]
    fn sigv2_leaves_the_query_and_an_unsigned_expires_stays() {
        let parts = stripped(http::Request::get("/b/k?AWSAccessKeyId=a&Expires=1&Signature=s&versionId=3"));
        assert_eq!(parts.uri, "/b/k?versionId=3");
        assert_eq!(stripped(http::Request::get("/b/k?Expires=1")).uri, "/b/k?Expires=1");
    }
}
