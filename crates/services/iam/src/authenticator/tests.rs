//! Requests as clients send them, and what becomes of them in either mode.

use std::time::Duration;

use bytes::Bytes;
use host::Timestamp;
use host::sim::{Seed, SimClock, SimIds};
use http_body_util::{BodyExt, Full};
use store::Store;
use wire::presigned::presign;
use wire::signature::{AmzDate, EMPTY_SHA256_HEX, sha256_hex};
use wire::signed_body::BodyError;
use wire::sigv4::{Signer, sign};

use super::*;
use crate::{MasterKey, NewKey};

/// 2026-01-01T00:00:00Z.
const NOW: Timestamp = Timestamp(1_767_225_600_000);
const BODY: &[u8] = br#"{"QueueUrl":"http://localhost:4566/123456789012/orders","MessageBody":"a"}"#;

struct House {
    clock: Arc<SimClock>,
    keys: Arc<Keys>,
    sessions: Arc<Sessions>,
    authenticator: Authenticator,
}

fn account(digits: &str) -> AccountId {
    AccountId::parse(digits).unwrap()
}

fn house(mode: Mode) -> House {
    let clock = Arc::new(SimClock::frozen(NOW));
    let ids = Arc::new(SimIds::new(Seed(1)));
    let store = Store::in_memory().unwrap();
    let (key, timing) = (MasterKey::from_bytes([7; 32]), || Arc::clone(&clock) as Arc<dyn Clock>);
    let keys = Arc::new(Keys::open(store.clone(), &key, timing(), ids.clone()).unwrap());
    let sessions = Arc::new(Sessions::new(store, &key, timing(), ids));
    let default_account = account("000000000000");
    let authenticator = Authenticator::new(mode, Arc::clone(&keys), Arc::clone(&sessions), timing(), default_account);
    House { clock, keys, sessions, authenticator }
}

/// A strict house with one key.
fn strict() -> (House, NewKey) {
    let house = house(Mode::Strict);
    let key = house.keys.create(&account("123456789012"), "test").unwrap();
    (house, key)
}

fn hex_of(body: &[u8]) -> String {
    String::from_utf8(sha256_hex(body).to_vec()).unwrap()
}

fn date() -> AmzDate {
    AmzDate::from_unix(NOW.as_secs()).unwrap()
}

fn signer<'a>(id: &'a str, secret: &'a str, service: &'a str) -> Signer<'a> {
    Signer { access_key_id: id, secret_access_key: secret, region: "eu-west-1", service }
}

fn signer_of<'a>(key: &'a NewKey, service: &'a str) -> Signer<'a> {
    signer(&key.access_key_id, key.secret_access_key.reveal(), service)
}

fn sqs_request(signer: &Signer<'_>, body: &[u8]) -> Parts {
    let request = http::Request::post("http://localhost:4566/").header("x-amz-target", "AmazonSQS.SendMessage");
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    sign(signer, &mut parts, &hex_of(body), &date()).unwrap();
    parts
}

fn s3_put(signer: &Signer<'_>, payload_hash: &str) -> Parts {
    let (mut parts, ()) = http::Request::put("http://localhost:4566/bucket/a%20key").body(()).unwrap().into_parts();
    sign(signer, &mut parts, payload_hash, &date()).unwrap();
    parts
}

fn presigned_get(signer: &Signer<'_>, expires_s: u64) -> Parts {
    let (mut parts, ()) =
        http::Request::get("/bucket/key").header("host", "localhost:4566").body(()).unwrap().into_parts();
    let query = presign(signer, (&parts).into(), "UNSIGNED-PAYLOAD", expires_s, &date());
    parts.uri = format!("/bucket/key?{query}").parse().unwrap();
    parts
}

fn code_of(error: &AuthError) -> (String, String) {
    (error.to_s3().code.into_owned(), error.to_query().code.into_owned())
}

#[test]
fn a_signed_request_is_its_keys_account_in_its_scopes_region() {
    let (house, key) = strict();
    let begun = house.authenticator.begin(&sqs_request(&signer_of(&key, "sqs"), BODY), None).unwrap();
    assert_eq!(begun.service(), Some("sqs"));
    assert_eq!(begun.region(), Region::parse("eu-west-1").as_ref());
    let identity = begun.finish(BODY).unwrap();
    assert_eq!(identity.account, account("123456789012"));
    assert_eq!(identity.arn().unwrap(), "arn:aws:iam::123456789012:root");
}

#[test]
fn another_body_or_secret_than_the_signed_one_does_not_match() {
    let (house, key) = strict();
    let parts = sqs_request(&signer_of(&key, "sqs"), BODY);
    let error = house.authenticator.begin(&parts, None).unwrap().finish(b"{}").unwrap_err();
    assert_eq!(error.to_query().code, "SignatureDoesNotMatch");
    assert_eq!(error.to_query().status, 403);

    let forged = sqs_request(&signer(&key.access_key_id, "guess", "sqs"), BODY);
    assert!(house.authenticator.begin(&forged, None).unwrap().finish(BODY).is_err());
}

#[test]
fn a_wrong_signature_caches_no_signing_key() {
    let (house, key) = strict();
    let forged = sqs_request(&signer(&key.access_key_id, "guess", "sqs"), BODY);
    house.authenticator.begin(&forged, None).unwrap().finish(BODY).unwrap_err();
    let open = house.keys.find(&key.access_key_id).unwrap().unwrap();
    assert!(open.signing_keys.is_empty());
    for _ in 0..2 {
        let parts = sqs_request(&signer_of(&key, "sqs"), BODY);
        house.authenticator.begin(&parts, None).unwrap().finish(BODY).unwrap();
        assert_eq!(open.signing_keys.len(), 1);
    }
}

#[test]
fn an_unknown_key_is_refused_before_the_body_is_read() {
    let (house, _) = strict();
    let parts = sqs_request(&signer("AKIAUNKNOWN", "secret", "sqs"), BODY);
    let error = house.authenticator.begin(&parts, None).unwrap_err();
    assert_eq!(code_of(&error), ("InvalidAccessKeyId".into(), "InvalidClientTokenId".into()));
    assert_eq!(error.s3_details(), [("AWSAccessKeyId", "AKIAUNKNOWN".to_owned())]);
}

#[test]
fn a_deleted_key_is_unknown() {
    let (house, key) = strict();
    let parts = sqs_request(&signer_of(&key, "sqs"), BODY);
    house.authenticator.begin(&parts, None).unwrap().finish(BODY).unwrap();
    house.keys.delete(&key.access_key_id).unwrap();
    assert!(matches!(house.authenticator.begin(&parts, None), Err(AuthError::UnknownKey { .. })));
}

#[test]
fn a_request_older_than_fifteen_minutes_is_told_so_in_the_services_words() {
    let (house, key) = strict();
    house.clock.advance(Duration::from_secs(901));
    let error = house.authenticator.begin(&sqs_request(&signer_of(&key, "sqs"), BODY), None).unwrap_err();
    assert_eq!(
        error.to_query().message,
        "Signature expired: 20260101T000000Z is now earlier than 20260101T000001Z (20260101T001501Z - 15 min.)"
    );
    assert_eq!(code_of(&error), ("RequestTimeTooSkewed".into(), "SignatureDoesNotMatch".into()));
    let details = error.s3_details();
    assert_eq!(details[1], ("ServerTime", "2026-01-01T00:15:01Z".to_owned()));
    assert_eq!(details[2], ("MaxAllowedSkewMilliseconds", "900000".to_owned()));
}

#[tokio::test]
async fn a_signed_upload_streams_through_and_a_changed_one_fails_at_its_end() {
    let (house, key) = strict();
    let parts = s3_put(&signer_of(&key, "s3"), &hex_of(b"picture"));
    for (body, good) in [(&b"picture"[..], true), (b"another", false)] {
        let begun = house.authenticator.begin(&parts, None).unwrap();
        let (identity, body, _) = begun.stream(Full::new(Bytes::copy_from_slice(body))).unwrap();
        assert_eq!(identity.account, account("123456789012"));
        match body.collect().await {
            Ok(collected) => assert!(good && collected.to_bytes() == "picture"),
            Err(error) => assert!(!good && matches!(error, BodyError::ContentSha256Mismatch { .. })),
        }
    }
}

#[test]
fn s3s_mismatch_shows_what_was_signed() {
    let (house, key) = strict();
    let parts = s3_put(&signer(&key.access_key_id, "guess", "s3"), "UNSIGNED-PAYLOAD");
    let error = house.authenticator.begin(&parts, None).unwrap_err();
    assert_eq!(error.to_s3().code, "SignatureDoesNotMatch");
    let details = error.s3_details();
    let names: Vec<_> = details.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        [
            "AWSAccessKeyId",
            "StringToSign",
            "SignatureProvided",
            "StringToSignBytes",
            "CanonicalRequest",
            "CanonicalRequestBytes"
        ]
    );
    assert_eq!(details[0].1, key.access_key_id);
    assert!(details[3].1.starts_with("41 57 53 34 2d 48"));
    assert!(details[4].1.starts_with("PUT\n/bucket/a%20key\n"));
}

#[test]
fn an_s3_request_must_say_what_its_body_hashes_to() {
    let (house, key) = strict();
    let mut parts = s3_put(&signer_of(&key, "s3"), EMPTY_SHA256_HEX);
    parts.headers.insert("x-amz-content-sha256", "yes".parse().unwrap());
    assert_eq!(house.authenticator.begin(&parts, None).unwrap_err().to_s3().code, "InvalidArgument");
    parts.headers.remove("x-amz-content-sha256");
    assert_eq!(house.authenticator.begin(&parts, None).unwrap_err().to_s3().code, "InvalidRequest");
    parts.headers.insert("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER".parse().unwrap());
    let (mut streamed, ()) = http::Request::put("http://localhost/b/k").body(()).unwrap().into_parts();
    sign(&signer_of(&key, "s3"), &mut streamed, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", &date()).unwrap();
    assert_eq!(house.authenticator.begin(&streamed, None).unwrap_err().to_s3().code, "MissingContentLength");
}

#[tokio::test]
async fn a_signed_streamed_upload_is_dechunked_and_each_chunk_verified() {
    let (house, key) = strict();
    let signer = signer_of(&key, "s3");
    let request = http::Request::put("http://localhost:4566/bucket/key")
        .header("content-encoding", "aws-chunked")
        .header("x-amz-decoded-content-length", "5")
        .header("x-amz-trailer", "x-amz-checksum-crc32c");
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    let seed = sign(&signer, &mut parts, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", &date()).unwrap();
    let mut chain = ChunkSigner::new(signer.key(&date()), &date(), &signer.scope(&date()), &seed);
    let hex = |bytes: [u8; 32]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let digest = |body: &[u8]| -> [u8; 32] {
        let text = hex_of(body);
        std::array::from_fn(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap())
    };
    let first = hex(chain.sign_chunk(&digest(b"hello")));
    let last = hex(chain.sign_chunk(&digest(b"")));
    let trailer = hex(chain.sign_trailer(b"x-amz-checksum-crc32c:mnG7TA==\n"));
    let encoded = format!(
        "5;chunk-signature={first}\r\nhello\r\n0;chunk-signature={last}\r\nx-amz-checksum-crc32c:mnG7TA==\r\n\
         x-amz-trailer-signature:{trailer}\r\n\r\n"
    );
    for (body, good) in [(encoded.clone(), true), (encoded.replace("hello", "hullo"), false)] {
        let begun = house.authenticator.begin(&parts, None).unwrap();
        let (_, body, trailers) = begun.stream(Full::new(Bytes::from(body))).unwrap();
        let collected = body.collect().await;
        assert_eq!(collected.is_ok(), good);
        assert_eq!(trailers.get().is_some(), good);
        if let Ok(collected) = collected {
            assert_eq!(collected.to_bytes(), "hello");
            assert_eq!(trailers.get().unwrap()["x-amz-checksum-crc32c"], "mnG7TA==");
        }
    }
}

#[tokio::test]
async fn a_presigned_url_works_until_it_expires_in_both_modes() {
    let (strict_house, key) = strict();
    for (house, signer) in [(strict_house, signer_of(&key, "s3")), (house(Mode::Local), signer("test", "test", "s3"))] {
        let parts = presigned_get(&signer, 60);
        let (_, body, _) =
            house.authenticator.begin(&parts, None).unwrap().stream(Full::new(Bytes::from("anything"))).unwrap();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "anything", "the payload is not signed");
        house.clock.advance(Duration::from_secs(61));
        let error = house.authenticator.begin(&parts, None).unwrap_err();
        let api = error.to_s3();
        assert_eq!((api.code.as_ref(), api.message.as_str(), api.status), ("AccessDenied", "Request has expired", 403));
        assert_eq!(error.s3_details()[0], ("X-Amz-Expires", "60".to_owned()));
    }
}

#[test]
fn a_presigned_url_covers_its_query_and_method() {
    let (house, key) = strict();
    let good = presigned_get(&signer_of(&key, "s3"), 60);
    let mut longer = good.clone();
    longer.uri = good.uri.to_string().replace("X-Amz-Expires=60", "X-Amz-Expires=61").parse().unwrap();
    let mut other_method = good.clone();
    other_method.method = http::Method::DELETE;
    for changed in [longer, other_method] {
        assert_eq!(house.authenticator.begin(&changed, None).unwrap_err().to_s3().code, "SignatureDoesNotMatch");
    }
}

#[test]
fn nobody_is_anonymous_in_both_modes() {
    for mode in [Mode::Strict, Mode::Local] {
        let (parts, ()) = http::Request::get("/bucket/key").body(()).unwrap().into_parts();
        let begun = house(mode).authenticator.begin(&parts, None).unwrap();
        assert!(begun.is_anonymous());
        assert_eq!((begun.service(), begun.region()), (None, None));
        assert_eq!(begun.finish(b"anything").unwrap().account, account("000000000000"));
    }
}

#[test]
fn in_local_mode_any_key_is_good_and_twelve_digits_name_an_account() {
    let house = house(Mode::Local);
    for (id, expected) in [("test", "000000000000"), ("111122223333", "111122223333"), ("1234", "000000000000")] {
        let mut parts = sqs_request(&signer(id, "whatever", "sqs"), BODY);
        parts.headers.insert("x-amz-unsigned", "1".parse().unwrap());
        house.clock.advance(Duration::from_secs(86_400));
        let identity = house.authenticator.begin(&parts, None).unwrap().finish(b"another body").unwrap();
        assert_eq!(identity.account, account(expected), "{id}");
    }
}

#[test]
fn in_local_mode_a_signature_must_be_well_formed() {
    let house = house(Mode::Local);
    for authorization in ["AWS4-HMAC-SHA256 Credential=test", "Bearer token", "AWS4-HMAC-SHA256", "AWS test"] {
        let request =
            http::Request::post("/").header("authorization", authorization).header("date", "20260101T000000Z");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let error = house.authenticator.begin(&parts, None).unwrap_err();
        assert_eq!(error.to_query().code, "IncompleteSignature", "{authorization}");
    }
}

#[test]
fn local_mode_turns_strict_when_a_key_is_made() {
    let house = house(Mode::Local);
    let parts = sqs_request(&signer("test", "test", "sqs"), BODY);
    assert_eq!(house.authenticator.mode().unwrap(), Mode::Local);
    house.authenticator.begin(&parts, None).unwrap();
    house.keys.create(&account("123456789012"), "").unwrap();
    assert_eq!(house.authenticator.mode().unwrap(), Mode::Strict);
    assert!(matches!(house.authenticator.begin(&parts, None), Err(AuthError::UnknownKey { .. })));
}

#[test]
fn a_request_for_one_service_is_no_request_for_another() {
    let (house, key) = strict();
    let sqs = house.authenticator.begin(&sqs_request(&signer_of(&key, "sqs"), BODY), None).unwrap();
    let error = sqs.stream(Full::new(Bytes::from_static(BODY))).unwrap_err();
    assert_eq!(error.to_s3().code, "AuthorizationHeaderMalformed");
    let s3 = house.authenticator.begin(&s3_put(&signer_of(&key, "s3"), &hex_of(BODY)), None).unwrap();
    let error = s3.finish(BODY).unwrap_err();
    assert_eq!(error.to_query().message, "Credential should be scoped to correct service: 'sqs'. ");
}

#[test]
fn an_s3_signature_that_leaves_the_body_open_commands_no_other_service() {
    let (strict_house, key) = strict();
    for (house, signer) in [(strict_house, signer_of(&key, "s3")), (house(Mode::Local), signer("test", "test", "s3"))] {
        for parts in [presigned_get(&signer, 60), s3_put(&signer, "UNSIGNED-PAYLOAD")] {
            let begun = house.authenticator.begin(&parts, None).unwrap();
            assert!(matches!(begun.finish(BODY), Err(AuthError::WrongService { .. })));
        }
    }
    let (house, key) = strict();
    let begun = house.authenticator.begin(&sigv2_get(&key, "/key/?acl"), None).unwrap();
    assert!(matches!(begun.finish(BODY), Err(AuthError::WrongService { .. })));
}

#[test]
fn a_scope_names_the_one_service_that_may_answer() {
    let (house, key) = strict();
    let begun = || house.authenticator.begin(&sqs_request(&signer_of(&key, "sqs"), BODY), None).unwrap();
    assert!(begun().for_service("sqs").is_ok());
    let error = begun().for_service("sts").unwrap_err();
    assert_eq!(error.to_query().message, "Credential should be scoped to correct service: 'sts'. ");
}

/// As boto 2 and its time signed: `hmac-sha1` over a string that a test can write down.
fn sigv2_get(key: &NewKey, resource: &str) -> Parts {
    let date = "Thu, 01 Jan 2026 00:00:00 GMT";
    let signature = hmac_sha1(key.secret_access_key.reveal(), &format!("GET\n\n\n{date}\n{resource}"));
    let request = http::Request::get("/key?acl&prefix=x")
        .header("host", "bucket.s3.localhost")
        .header("date", date)
        .header("authorization", format!("AWS {}:{signature}", key.access_key_id));
    request.body(()).unwrap().into_parts().0
}

fn hmac_sha1(secret: &str, message: &str) -> String {
    use base64::Engine;
    use hmac::{Hmac, KeyInit, Mac};
    let mut state = Hmac::<sha1::Sha1>::new_from_slice(secret.as_bytes()).unwrap();
    state.update(message.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(state.finalize().into_bytes())
}

#[test]
fn sigv2_covers_the_bucket_that_the_host_names() {
    let (house, key) = strict();
    let parts = sigv2_get(&key, "/bucket/key?acl");
    let begun = house.authenticator.begin(&parts, Some("bucket")).unwrap();
    assert_eq!((begun.service(), begun.region()), (Some("s3"), None));
    let error = house.authenticator.begin(&parts, Some("other")).unwrap_err();
    assert_eq!(error.to_s3().code, "SignatureDoesNotMatch");
    house.clock.advance(Duration::from_secs(901));
    assert_eq!(house.authenticator.begin(&parts, Some("bucket")).unwrap_err().to_s3().code, "RequestTimeTooSkewed");
}

/// Credentials of a session that an access key made.
fn session_of(house: &House, access_key_id: &str, lasts_s: u64) -> api::TemporaryCredentials {
    let bearer = crate::sessions::Bearer::Key { access_key_id: access_key_id.into() };
    house.sessions.give_out(&account("123456789012"), bearer, lasts_s).unwrap()
}

/// A request that a session signed, with its token as a header.
fn with_token(made: &api::TemporaryCredentials, secret: &str, token: &str) -> Parts {
    let request = http::Request::post("http://localhost:4566/").header("x-amz-security-token", token);
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    sign(&signer(&made.access_key_id, secret, "sqs"), &mut parts, &hex_of(BODY), &date()).unwrap();
    parts
}

#[test]
fn a_session_signs_with_its_secret_and_sends_its_token() {
    let (house, key) = strict();
    let made = session_of(&house, &key.access_key_id, 900);
    let parts = with_token(&made, &made.secret_access_key, &made.session_token);
    let identity = house.authenticator.begin(&parts, None).unwrap().finish(BODY).unwrap();
    assert_eq!(identity.account, account("123456789012"));
    let parts = with_token(&made, "wrong", &made.session_token);
    let refused = house.authenticator.begin(&parts, None).unwrap().finish(BODY).unwrap_err();
    assert_eq!(refused.to_query().code, "SignatureDoesNotMatch");
    // A token in the place of another, none at all, and one beside a key that needs none.
    let other = session_of(&house, &key.access_key_id, 900);
    for parts in [
        with_token(&made, &made.secret_access_key, &other.session_token),
        with_token(&made, &made.secret_access_key, "garbage"),
        sqs_request(&signer(&made.access_key_id, &made.secret_access_key, "sqs"), BODY),
    ] {
        let refused = house.authenticator.begin(&parts, None).unwrap_err();
        assert_eq!(refused.to_query().code, "InvalidClientTokenId");
        assert_eq!(refused.to_ec2().code, "AuthFailure");
    }
    let request = http::Request::post("http://localhost:4566/").header("x-amz-security-token", "garbage");
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    sign(&signer_of(&key, "s3"), &mut parts, &hex_of(BODY), &date()).unwrap();
    assert_eq!(code_of(&house.authenticator.begin(&parts, None).unwrap_err()).0, "InvalidToken");
}

#[test]
fn a_session_ends_at_its_time_and_with_its_key() {
    let (house, key) = strict();
    let made = session_of(&house, &key.access_key_id, 900);
    house.clock.advance(Duration::from_secs(900));
    let parts = with_token(&made, &made.secret_access_key, &made.session_token);
    let expired = house.authenticator.begin(&parts, None).unwrap_err();
    assert_eq!(code_of(&expired), ("ExpiredToken".into(), "ExpiredToken".into()));
    assert_eq!(expired.to_ec2().code, "RequestExpired");
    let (house, key) = strict();
    let made = session_of(&house, &key.access_key_id, 900);
    house.keys.delete(&key.access_key_id).unwrap();
    house.keys.create(&account("444455556666"), "another").unwrap();
    let parts = with_token(&made, &made.secret_access_key, &made.session_token);
    assert_eq!(house.authenticator.begin(&parts, None).unwrap_err().to_query().code, "InvalidClientTokenId");
}

#[test]
fn a_presigned_url_carries_its_sessions_token() {
    let (house, key) = strict();
    let made = session_of(&house, &key.access_key_id, 900);
    let token: String = made.session_token.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let request = http::Request::get(format!("/bucket/key?X-Amz-Security-Token={token}"));
    let (mut parts, ()) = request.header("host", "localhost:4566").body(()).unwrap().into_parts();
    let signer = signer(&made.access_key_id, &made.secret_access_key, "s3");
    let query = presign(&signer, (&parts).into(), "UNSIGNED-PAYLOAD", 60, &date());
    parts.uri = format!("/bucket/key?{query}").parse().unwrap();
    assert!(parts.uri.query().unwrap().contains("X-Amz-Security-Token"), "{}", parts.uri);
    let identity = house.authenticator.begin(&parts, None).unwrap();
    assert!(!identity.is_anonymous());
}

#[test]
fn local_mode_knows_its_own_sessions_and_no_others() {
    let house = house(Mode::Local);
    let made = session_of(&house, "test", 900);
    let parts = with_token(&made, &made.secret_access_key, &made.session_token);
    let identity = house.authenticator.begin(&parts, None).unwrap().finish(BODY).unwrap();
    assert_eq!(identity.account, account("123456789012"));
    let parts = with_token(&made, "wrong", &made.session_token);
    assert!(house.authenticator.begin(&parts, None).unwrap().finish(BODY).is_err());
    let parts = with_token(&made, "wrong", "of somebody else");
    let identity = house.authenticator.begin(&parts, None).unwrap().finish(BODY).unwrap();
    assert_eq!(identity.account, account("000000000000"));
}
