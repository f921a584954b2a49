//! Published signatures: AWS's own test suite and the examples of S3's documentation.

use http::request::Parts;
use proptest::prelude::*;

use super::sigv4::{Signer, SigningKey, Verification, sign};
use super::*;

const S3_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const S3_SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// A request as it stands on the wire, and its body; `None` where `http` cannot hold it.
fn parsed(text: &str) -> Option<(Parts, &str)> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let (method, rest) = lines.next()?.split_once(' ')?;
    let mut request = http::Request::builder().method(method).uri(rest.strip_suffix(" HTTP/1.1")?);
    for line in lines {
        let (name, value) = line.split_once(':')?;
        request = request.header(name, value.trim_start_matches(" "));
    }
    Some((request.body(()).ok()?.into_parts().0, body))
}

fn sigv4(parts: &Parts) -> sigv4::Claim<'_> {
    match Claim::of(parts.into()) {
        Ok(Claim::SigV4(claim)) => claim,
        other => panic!("{other:?}"),
    }
}

fn judged(parts: &Parts, secret: &str, payload_hash: &[u8]) -> Result<(), SignatureError> {
    let claim = sigv4(parts);
    let credential = &claim.credential;
    let key = SigningKey::derive(secret, credential.day(), credential.region(), credential.service());
    Verification::new(parts.into(), &claim)?.check(&key, payload_hash)
}

/// Cases that no request parsed by `http` can be: spaces in the target, folded headers.
const NOT_HTTP: &[&str] = &["get-header-value-multiline", "get-space-normalized", "get-space-unnormalized"];

#[test]
fn every_signature_of_the_published_suite_is_verified() {
    let suite: serde_json::Value = serde_json::from_str(include_str!("../../testdata/sigv4_suite.json")).unwrap();
    let mut verified = 0;
    for case in suite.as_array().unwrap() {
        let text = |field: &str| case[field].as_str().unwrap();
        let name = text("name");
        for signed in ["header_signed_request", "query_signed_request"] {
            // A token added to the query after signing: only IoT did so.
            let added_later = (name, signed) == ("post-sts-header-after", "query_signed_request");
            // No service of ours leaves its path unnormalised and encodes it twice.
            let no_service = case["normalize"] == false;
            if NOT_HTTP.contains(&name) || no_service || added_later {
                continue;
            }
            let (parts, body) = parsed(text(signed)).unwrap_or_else(|| panic!("{name} is not HTTP"));
            let hash = sha256_hex(body.as_bytes());
            assert_eq!(judged(&parts, text("secret_access_key"), &hash), Ok(()), "{name} {signed}");
            let wrong = judged(&parts, "another secret", &hash);
            assert!(matches!(wrong, Err(SignatureError::Mismatch(_))), "{name} {signed}");
            verified += 1;
        }
    }
    assert_eq!(verified, 57, "the suite has lost or gained cases");
}

#[test]
fn a_mismatch_shows_the_published_canonical_request() {
    let suite: serde_json::Value = serde_json::from_str(include_str!("../../testdata/sigv4_suite.json")).unwrap();
    let case =
        suite.as_array().unwrap().iter().find(|case| case["name"] == "get-vanilla-query-order-key-case").unwrap();
    let (parts, _) = parsed(case["header_signed_request"].as_str().unwrap()).unwrap();
    let Err(SignatureError::Mismatch(mismatch)) = judged(&parts, "wrong", EMPTY_SHA256_HEX.as_bytes()) else {
        panic!("a wrong secret was right");
    };
    assert_eq!(mismatch.canonical_request, case["header_canonical_request"].as_str().unwrap());
}

/// S3's documentation, "Examples: signature calculations", all of 24 May 2013 in us-east-1.
#[test]
fn the_header_examples_of_s3_are_verified() {
    let hash_of_welcome = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    let examples = [
        (
            "GET /test.txt HTTP/1.1\nRange: bytes=0-9\n",
            "host;range;x-amz-content-sha256;x-amz-date",
            EMPTY_SHA256_HEX,
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT /test$file.text HTTP/1.1\nDate: Fri, 24 May 2013 00:00:00 GMT\nx-amz-storage-class: REDUCED_REDUNDANCY\n",
            "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            hash_of_welcome,
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET /?lifecycle HTTP/1.1\n",
            "host;x-amz-content-sha256;x-amz-date",
            EMPTY_SHA256_HEX,
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET /?max-keys=2&prefix=J HTTP/1.1\n",
            "host;x-amz-content-sha256;x-amz-date",
            EMPTY_SHA256_HEX,
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ];
    for (head, signed_headers, hash, signature) in examples {
        let text = format!(
            "{head}Host: examplebucket.s3.amazonaws.com\nx-amz-date: 20130524T000000Z\nx-amz-content-sha256: {hash}\n\
             Authorization: AWS4-HMAC-SHA256 Credential={S3_KEY}/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders={signed_headers},Signature={signature}\n"
        );
        let (parts, _) = parsed(&text).unwrap();
        assert_eq!(judged(&parts, S3_SECRET, hash.as_bytes()), Ok(()), "{head}");
    }
}

const PRESIGNED: &str = "GET /test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524\
    %2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
    &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404 HTTP/1.1\n\
    Host: examplebucket.s3.amazonaws.com\n";

#[test]
fn the_presigned_example_of_s3_is_verified_and_expires_after_a_day() {
    let (parts, _) = parsed(PRESIGNED).unwrap();
    assert_eq!(judged(&parts, S3_SECRET, b"UNSIGNED-PAYLOAD"), Ok(()));
    let claim = sigv4(&parts);
    let signed = claim.date.unix_s();
    assert_eq!(claim.check_time(signed), Ok(()));
    assert_eq!(claim.check_time(signed - SKEW_MAX_S), Ok(()), "a client's clock may be ahead");
    assert_eq!(claim.check_time(signed + 86_400), Ok(()));
    assert!(matches!(claim.check_time(signed + 86_401), Err(SignatureError::Expired { expires_s: 86_400, .. })));
    assert!(matches!(claim.check_time(signed - SKEW_MAX_S - 1), Err(SignatureError::NotYetValid { .. })));
}

#[test]
fn presigning_gives_the_published_example() {
    let (parts, ()) =
        http::Request::get("https://examplebucket.s3.amazonaws.com/test.txt").body(()).unwrap().into_parts();
    let signer = Signer { access_key_id: S3_KEY, secret_access_key: S3_SECRET, region: "us-east-1", service: "s3" };
    let date = AmzDate::parse("20130524T000000Z").unwrap();
    let query = presigned::presign(&signer, (&parts).into(), "UNSIGNED-PAYLOAD", 86_400, &date);
    assert!(PRESIGNED.contains(&query), "{query}");
}

#[test]
fn the_life_of_a_presigned_url_has_its_bounds() {
    let of = |expires: &str| {
        let (parts, _) = parsed(&PRESIGNED.replace("=86400", expires)).unwrap();
        Claim::of((&parts).into()).map(|_| ())
    };
    assert_eq!(of("=604800"), Ok(()));
    assert_eq!(of("=604801"), Err(SignatureError::ExpiresTooLong));
    assert_eq!(of("=-1"), Err(SignatureError::ExpiresNegative));
    assert_eq!(of("=soon"), Err(SignatureError::ExpiresNotANumber { got: "soon".into() }));
    assert!(matches!(of("=1&X-Amz-Expires=2"), Err(SignatureError::SeveralMechanisms)));
    let (parts, _) = parsed(&PRESIGNED.replace("&X-Amz-Expires=86400", "")).unwrap();
    let error = Claim::of((&parts).into()).unwrap_err();
    assert!(matches!(error, SignatureError::MissingParameters { missing, .. } if missing == ["X-Amz-Expires"]));
}

#[test]
fn a_header_signed_request_is_good_for_fifteen_minutes_either_way() {
    let (parts, _) = signed_get("sqs", &[]);
    let claim = sigv4(&parts);
    let signed = claim.date.unix_s();
    for (now, good) in [
        (signed, true),
        (signed + SKEW_MAX_S, true),
        (signed - SKEW_MAX_S, true),
        (signed + SKEW_MAX_S + 1, false),
        (signed - SKEW_MAX_S - 1, false),
    ] {
        assert_eq!(claim.check_time(now).is_ok(), good, "{now}");
    }
}

fn signed_get(service: &str, headers: &[(&str, &str)]) -> (Parts, Signer<'static>) {
    let service: &'static str = if service == "s3" { "s3" } else { "sqs" };
    let mut request = http::Request::get("http://localhost:4566/a%20b/../c?x=%20y&z");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    let signer = Signer { access_key_id: "AKID", secret_access_key: "secret", region: "eu-west-1", service };
    sign(&signer, &mut parts, EMPTY_SHA256_HEX, &AmzDate::parse("20260101T000000Z").unwrap()).unwrap();
    (parts, signer)
}

#[test]
fn what_the_signer_signs_is_verified() {
    for service in ["s3", "sqs"] {
        let (mut parts, _) = signed_get(service, &[("x-amz-target", "AmazonSQS.ListQueues"), ("content-type", "a/b")]);
        assert_eq!(judged(&parts, "secret", EMPTY_SHA256_HEX.as_bytes()), Ok(()));
        parts.headers.insert("x-amz-target", "AmazonSQS.PurgeQueue".parse().unwrap());
        assert!(matches!(judged(&parts, "secret", EMPTY_SHA256_HEX.as_bytes()), Err(SignatureError::Mismatch(_))));
    }
}

#[test]
fn an_amz_header_that_is_not_signed_is_refused() {
    let (mut parts, _) = signed_get("sqs", &[]);
    parts.headers.insert("x-amz-target", "AmazonSQS.PurgeQueue".parse().unwrap());
    let names = vec!["x-amz-target".to_owned()];
    assert_eq!(judged(&parts, "secret", EMPTY_SHA256_HEX.as_bytes()), Err(SignatureError::HeadersNotSigned { names }));
}

fn claim_of_header(authorization: &str) -> Result<(), SignatureError> {
    let request =
        http::Request::get("/").header("x-amz-date", "20260101T000000Z").header("authorization", authorization);
    let (parts, ()) = request.body(()).unwrap().into_parts();
    Claim::of((&parts).into()).map(|_| ())
}

#[test]
fn a_malformed_authorization_header_is_named_for_what_is_wrong() {
    use SignatureError as E;
    let signature = "0".repeat(64);
    let with = |credential: &str| {
        claim_of_header(&format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature={signature}"))
    };
    assert_eq!(with("k/20260101/us-east-1/s3/aws4_request"), Ok(()));
    assert!(matches!(with("k/20260101/us-east-1/s3"), Err(E::CredentialMalformed { .. })));
    assert!(matches!(with("k/20260101/us-east-1/s3/aws4_request/"), Err(E::CredentialMalformed { .. })));
    assert!(matches!(with("/20260101/us-east-1/s3/aws4_request"), Err(E::CredentialMalformed { .. })));
    assert!(matches!(with("k/20260101/US_EAST/s3/aws4_request"), Err(E::RegionMalformed { .. })));
    assert!(matches!(with("k/20260101/us-east-1/s3/aws5"), Err(E::TerminatorMalformed { .. })));
    assert!(matches!(with("k/20260102/us-east-1/s3/aws4_request"), Err(E::ScopeDay { .. })));
    assert!(matches!(claim_of_header("Basic dXNlcg=="), Err(E::NotAws { .. })));
    assert!(matches!(claim_of_header("AWS4-HMAC-SHA256 Credential"), Err(E::NotKeyValue { .. })));
    assert!(
        matches!(claim_of_header("AWS4-HMAC-SHA256"), Err(E::MissingParameters { missing, .. }) if missing.len() == 3)
    );
    assert!(matches!(claim_of_header("AWS nocolon"), Err(E::CredentialMalformed { .. })));
    assert_eq!(claim_of_header("AWS k:not-base64"), Err(E::SignatureMalformed));
}

#[test]
fn sigv4a_is_refused_by_name() {
    let in_header = claim_of_header("AWS4-ECDSA-P256-SHA256 Credential=k/20260101/s3/aws4_request, Signature=00");
    let (parts, _) = parsed(&PRESIGNED.replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256")).unwrap();
    let in_query = Claim::of((&parts).into()).map(|_| ());
    for (refused, expected) in [(in_header, Carrier::Header), (in_query, Carrier::Query)] {
        let Err(SignatureError::UnsupportedAlgorithm { algorithm, carrier }) = refused else { panic!("{refused:?}") };
        assert_eq!((algorithm.as_str(), carrier), ("AWS4-ECDSA-P256-SHA256", expected));
    }
}

#[test]
fn a_request_that_is_signed_twice_is_refused() {
    let twice = format!("{PRESIGNED}Authorization: AWS k:AAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
    let (parts, _) = parsed(&twice).unwrap();
    assert!(matches!(Claim::of((&parts).into()), Err(SignatureError::SeveralMechanisms)));
}

#[test]
fn a_request_without_a_signature_claims_nothing() {
    let (parts, _) = parsed("GET /bucket?prefix=Signature&Expires=1 HTTP/1.1\nHost: localhost\n").unwrap();
    assert!(matches!(Claim::of((&parts).into()), Ok(Claim::None)));
}

fn sigv2_judged(text: &str, bucket: Option<&str>) -> Result<(), SignatureError> {
    let (parts, _) = parsed(text).unwrap();
    match Claim::of((&parts).into())? {
        Claim::SigV2(claim) => claim.verify((&parts).into(), bucket, S3_SECRET),
        other => panic!("{other:?}"),
    }
}

/// S3's user guide, "Signing and authenticating REST requests" (API version 2006-03-01).
#[test]
fn the_sigv2_examples_of_s3_are_verified() {
    let examples = [
        (
            "GET /photos/puppy.jpg HTTP/1.1\nDate: Tue, 27 Mar 2007 19:36:42 +0000\n",
            Some("johnsmith"),
            "bWq2s1WEIj+Ydj0vQ697zp+IXMU=",
        ),
        (
            "PUT /photos/puppy.jpg HTTP/1.1\nContent-Type: image/jpeg\nContent-Length: 94328\n\
             Date: Tue, 27 Mar 2007 21:15:45 +0000\n",
            Some("johnsmith"),
            "MyyxeRY7whkBe+bq8fHCL/2kKUg=",
        ),
        (
            "GET /?prefix=photos&max-keys=50&marker=puppy HTTP/1.1\nUser-Agent: Mozilla/5.0\n\
             Date: Tue, 27 Mar 2007 19:42:41 +0000\n",
            Some("johnsmith"),
            "htDYFYduRNen8P9ZfE/s9SuKy0U=",
        ),
        (
            "GET /?acl HTTP/1.1\nDate: Tue, 27 Mar 2007 19:44:46 +0000\n",
            Some("johnsmith"),
            "c2WLPFtWHVgbEmeEG93a4cG37dM=",
        ),
        (
            "PUT /db-backup.dat.gz HTTP/1.1\nUser-Agent: curl/7.15.5\nHost: static.johnsmith.net:8080\n\
             Date: Tue, 27 Mar 2007 21:06:08 +0000\nx-amz-acl: public-read\ncontent-type: application/x-download\n\
             Content-MD5: 4gJE4saaMU4BqNR0kLY+lw==\nX-Amz-Meta-ReviewedBy: joe@johnsmith.net\n\
             X-Amz-Meta-ReviewedBy: jane@johnsmith.net\nX-Amz-Meta-FileChecksum: 0x02661779\n\
             X-Amz-Meta-ChecksumAlgorithm: crc32\nContent-Length: 5913339\n",
            Some("static.johnsmith.net"),
            "ilyl83RwaSoYIEdixDQcA4OnAnc=",
        ),
        (
            "GET / HTTP/1.1\nHost: s3.amazonaws.com\nDate: Wed, 28 Mar 2007 01:29:59 +0000\n",
            None,
            "qGdzdERIC03wnaRNKh6OqZehG9s=",
        ),
        (
            "GET /dictionary/fran%C3%A7ais/pr%c3%a9f%c3%a8re HTTP/1.1\nHost: s3.amazonaws.com\n\
             Date: Wed, 28 Mar 2007 01:49:49 +0000\n",
            None,
            "DNEZGsoieTZ92F3bUfSPQcbGmlM=",
        ),
    ];
    for (head, bucket, signature) in examples {
        let text = format!("{head}Authorization: AWS {S3_KEY}:{signature}\n");
        assert_eq!(sigv2_judged(&text, bucket), Ok(()), "{head}");
        let moved = sigv2_judged(&text, Some("another"));
        assert!(matches!(moved, Err(SignatureError::Mismatch(_))), "the bucket is signed: {head}");
    }
}

#[test]
fn the_sigv2_query_example_of_s3_is_verified_until_it_expires() {
    let text = format!(
        "GET /photos/puppy.jpg?AWSAccessKeyId={S3_KEY}&Expires=1175139620&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D \
         HTTP/1.1\nHost: johnsmith.s3.amazonaws.com\n"
    );
    assert_eq!(sigv2_judged(&text, Some("johnsmith")), Ok(()));
    let (parts, _) = parsed(&text).unwrap();
    let Ok(Claim::SigV2(claim)) = Claim::of((&parts).into()) else { panic!("no SigV2") };
    assert_eq!(claim.check_time(1_175_139_620), Ok(()));
    assert!(matches!(claim.check_time(1_175_139_621), Err(SignatureError::Expired { .. })));
}

#[test]
fn in_sigv2_the_amz_date_takes_the_place_of_the_date() {
    let head = "DELETE /johnsmith/photos/puppy.jpg HTTP/1.1\nHost: s3.amazonaws.com\n\
                Date: Tue, 27 Mar 2007 21:20:27 +0000\nx-amz-date: Tue, 27 Mar 2007 21:20:26 +0000\n";
    let text = format!("{head}Authorization: AWS {S3_KEY}:AAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
    let Err(SignatureError::Mismatch(mismatch)) = sigv2_judged(&text, None) else { panic!("zeros were right") };
    assert_eq!(
        mismatch.string_to_sign,
        "DELETE\n\n\n\nx-amz-date:Tue, 27 Mar 2007 21:20:26 +0000\n/johnsmith/photos/puppy.jpg"
    );
}

/// As botocore signs with `signature_version='s3'`.
#[test]
fn in_sigv2_a_bucket_ends_with_a_slash_and_blanks_in_values_stay() {
    let text = format!(
        "PUT /bucket?delete&uploadId=a%2Bb%2Fc HTTP/1.1\nDate: Tue, 27 Mar 2007 21:20:27 +0000\n\
         x-amz-meta-a: two  blanks \nAuthorization: AWS {S3_KEY}:AAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
    );
    let Err(SignatureError::Mismatch(mismatch)) = sigv2_judged(&text, None) else { panic!("zeros were right") };
    assert_eq!(
        mismatch.string_to_sign,
        "PUT\n\n\nTue, 27 Mar 2007 21:20:27 +0000\nx-amz-meta-a:two  blanks\n/bucket/?delete&uploadId=a+b/c"
    );
}

#[test]
fn in_sigv2_an_escaped_subresource_does_not_escape_the_signature() {
    let text = format!(
        "PUT /johnsmith/puppy.jpg?x=1&%61cl&upload%49d=a HTTP/1.1\nDate: Tue, 27 Mar 2007 21:20:27 +0000\n\
         Authorization: AWS {S3_KEY}:AAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
    );
    let Err(SignatureError::Mismatch(mismatch)) = sigv2_judged(&text, None) else { panic!("zeros were right") };
    assert_eq!(
        mismatch.string_to_sign,
        "PUT\n\n\nTue, 27 Mar 2007 21:20:27 +0000\n/johnsmith/puppy.jpg?acl&uploadId=a"
    );
}

#[test]
fn sigv2_is_for_s3_alone() {
    let text = "GET /?Action=ListQueues&AWSAccessKeyId=k&SignatureVersion=2&SignatureMethod=HmacSHA256&Signature=x \
                HTTP/1.1\nHost: sqs.us-east-1.amazonaws.com\n";
    let (parts, _) = parsed(text).unwrap();
    assert!(matches!(Claim::of((&parts).into()), Err(SignatureError::UnsupportedAlgorithm { .. })));
}

proptest! {
    #[test]
    fn any_authorization_header_is_parsed_without_a_panic(rest in "[ -~]{0,120}", scheme in 0_usize..4) {
        let scheme = ["AWS4-HMAC-SHA256 ", "AWS ", "AWS4-HMAC-SHA256", ""][scheme];
        let _ = claim_of_header(&format!("{scheme}{rest}"));
    }

    #[test]
    fn any_query_is_parsed_and_stripped_without_a_panic(
        pairs in proptest::collection::vec(("(X-Amz-[A-Z][a-z]{0,9}|AWSAccessKeyId|Signature|Expires|X-Amz-Date)", "[!-~&&[^#]]{0,40}"), 0..8),
    ) {
        let query: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if let Ok(request) = http::Request::get(format!("/?{}", query.join("&"))).body(()) {
            let (mut parts, ()) = request.into_parts();
            if let Ok(Claim::SigV4(claim)) = Claim::of((&parts).into()) {
                let _ = Verification::new((&parts).into(), &claim);
            }
            strip(&mut parts);
        }
    }
}
