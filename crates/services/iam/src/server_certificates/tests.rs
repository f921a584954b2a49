//! The operations, by their forms and their XML, and the port to load balancers.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use api::iam::Iam as _;
use api::iam::*;
use api::{AccountId, Call, Principal};
use bytes::Bytes;
use host::Timestamp;
use host::sim::{Seed, SimClock, SimIds};
use store::Store;

use super::*;
use crate::MasterKey;

/// 2026-01-01.
const NOW: Timestamp = Timestamp(1_767_225_600_000);

struct Uploads {
    store: Store,
    iam: super::Iam,
    call: Call,
}

fn iam_in(store: &Store, key: u8) -> Result<super::Iam, KeysError> {
    let (clock, ids) = (Arc::new(SimClock::frozen(NOW)), Arc::new(SimIds::new(Seed(1))));
    super::Iam::open(store.clone(), &MasterKey::from_bytes([key; 32]), clock, ids)
}

fn call(account: &str, principal: Principal) -> Call {
    let mut call = crate::testing::call(principal);
    call.identity.account = AccountId::parse(account).unwrap();
    call
}

fn root(account: &str) -> Call {
    call(account, Principal::Account { access_key_id: "AKIA".into() })
}

fn uploads() -> Uploads {
    let store = Store::in_memory().unwrap();
    let iam = iam_in(&store, 7).unwrap();
    Uploads { store, iam, call: root("123456789012") }
}

/// A certificate and its key that hold in 2026.
fn pair() -> (String, String) {
    let mut params = rcgen::CertificateParams::new(vec!["shop.example.com".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2025, 1, 1);
    params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn input(name: &str) -> UploadServerCertificateInput {
    let (certificate_body, private_key) = pair();
    let server_certificate_name = name.to_owned();
    UploadServerCertificateInput { server_certificate_name, certificate_body, private_key, ..Default::default() }
}

fn code<T: fmt::Debug>(answer: Result<T, ApiError>) -> String {
    let error = answer.unwrap_err();
    format!("{} {}", error.query_code.as_deref().unwrap_or(&error.code), error.status)
}

fn tag(key: &str, value: &str) -> Tag {
    Tag { key: key.to_owned(), value: value.to_owned() }
}

impl Uploads {
    async fn upload(&self, input: UploadServerCertificateInput) -> Result<ServerCertificateMetadata, ApiError> {
        let output = self.iam.upload_server_certificate(&self.call, input).await?;
        Ok(output.server_certificate_metadata.unwrap())
    }

    async fn get(&self, name: &str) -> Result<api::iam::ServerCertificate, ApiError> {
        let input = GetServerCertificateInput { server_certificate_name: name.to_owned() };
        Ok(self.iam.get_server_certificate(&self.call, input).await?.server_certificate)
    }

    async fn list(&self, input: ListServerCertificatesInput) -> (Vec<String>, Option<String>) {
        let output = self.iam.list_server_certificates(&self.call, input).await.unwrap();
        assert_eq!(output.is_truncated, Some(output.marker.is_some()));
        let names = output.server_certificate_metadata_list.into_iter().map(|one| one.server_certificate_name);
        (names.collect(), output.marker)
    }

    async fn delete(&self, name: &str) -> Result<(), ApiError> {
        let input = DeleteServerCertificateInput { server_certificate_name: name.to_owned() };
        self.iam.delete_server_certificate(&self.call, input).await
    }

    async fn rename(&self, name: &str, path: Option<&str>, new: Option<&str>) -> Result<(), ApiError> {
        let input = UpdateServerCertificateInput {
            server_certificate_name: name.to_owned(),
            new_path: path.map(str::to_owned),
            new_server_certificate_name: new.map(str::to_owned),
        };
        self.iam.update_server_certificate(&self.call, input).await
    }

    async fn find(&self, arn: &str) -> Option<Arc<api::ServerCertificate>> {
        ServerCertificates::find(&self.iam, arn).await.unwrap()
    }
}

#[tokio::test]
async fn an_uploaded_certificate_is_given_back_without_its_key() {
    let uploads = uploads();
    let upload = UploadServerCertificateInput {
        path: Some("/cloudfront/test/".into()),
        tags: vec![tag("team", "web")],
        ..input("Shop")
    };
    let output = uploads.iam.upload_server_certificate(&uploads.call, upload.clone()).await.unwrap();
    assert_eq!(output.tags, upload.tags);
    let metadata = output.server_certificate_metadata.unwrap();
    assert_eq!(metadata.arn, "arn:aws:iam::123456789012:server-certificate/cloudfront/test/Shop");
    let id = &metadata.server_certificate_id;
    assert!(id.len() == 21 && id.starts_with("ASCA"), "{id}");
    assert_eq!(metadata.upload_date, Some(wire::value::EpochMs(1_767_225_600_000)));
    assert_eq!(metadata.expiration, Some(wire::value::EpochMs(1_893_456_000_000)));
    let certificate = uploads.get("Shop").await.unwrap();
    assert_eq!(certificate.server_certificate_metadata, metadata);
    assert_eq!(certificate.certificate_body, upload.certificate_body);
    assert_eq!((certificate.certificate_chain, certificate.tags), (None, upload.tags));
}

#[tokio::test]
async fn no_answer_row_or_log_has_the_private_key() {
    let uploads = uploads();
    let upload = input("shop");
    let secret = upload.private_key.lines().nth(1).unwrap().to_owned();
    assert!(!format!("{upload:?}").contains(&secret));
    let arn = uploads.upload(upload).await.unwrap().arn;
    let form = Bytes::from_static(b"ServerCertificateName=shop");
    let answer = uploads.iam.handle(&uploads.call, "GetServerCertificate", form).await;
    assert_eq!(answer.status, 200);
    assert!(!String::from_utf8_lossy(&answer.body).contains(&secret));
    let row = uploads.store.read(|view| view.first(&TABLE, &Scan::all())).unwrap().unwrap();
    assert!(!format!("{row:?}").contains(&secret));
    let found = uploads.find(&arn).await.unwrap();
    assert!(!format!("{found:?} {:?}", uploads.iam).contains("private"), "{found:?}");
}

#[tokio::test]
async fn a_load_balancer_gets_certificate_and_key_by_arn() {
    let uploads = uploads();
    let upload = input("shop");
    let arn = uploads.upload(upload.clone()).await.unwrap().arn;
    let found = uploads.find(&arn).await.unwrap();
    let checked = CheckedCertificate::check(&upload.certificate_body, None, &upload.private_key, NOW).unwrap();
    assert_eq!((&found.chain_der, &found.private_key_der), (&checked.chain_der, &checked.private_key_der));
    assert!(Arc::ptr_eq(&found, &uploads.find(&arn).await.unwrap()), "not opened again until the row changes");
    for arn in [
        "",
        "arn:aws:iam::123456789012:server-certificate/other/shop",
        "arn:aws:iam::123456789013:server-certificate/shop",
    ] {
        assert!(uploads.find(arn).await.is_none(), "{arn}");
    }
}

#[tokio::test]
async fn a_certificate_outlives_a_restart_but_not_another_master_key() {
    let uploads = uploads();
    let arn = uploads.upload(input("shop")).await.unwrap().arn;
    let again = iam_in(&uploads.store, 7).unwrap();
    assert_eq!(ServerCertificates::find(&again, &arn).await.unwrap(), uploads.find(&arn).await);
    let refused = iam_in(&uploads.store, 8).unwrap_err();
    assert!(refused.to_string().contains("start with the master key"), "{refused}");
}

#[tokio::test]
async fn each_change_is_told_to_who_watches() {
    let uploads = uploads();
    let mut changes = uploads.iam.changes();
    uploads.upload(input("shop")).await.unwrap();
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    uploads.delete("shop").await.unwrap();
    assert!(changes.has_changed().unwrap());
}

#[tokio::test]
async fn uploads_that_are_not_fit_get_awss_codes() {
    let uploads = uploads();
    let (body, _) = pair();
    let bad = |change: fn(&mut UploadServerCertificateInput)| {
        let mut input = input("shop");
        change(&mut input);
        input
    };
    let cases = [
        (bad(|input| input.certificate_body = "x".into()), "MalformedCertificate 400"),
        (bad(|input| input.private_key = "x".into()), "MalformedCertificate 400"),
        (UploadServerCertificateInput { certificate_body: body, ..input("shop") }, "KeyPairMismatch 400"),
        (bad(|input| input.path = Some("a".into())), "ValidationError 400"),
        (bad(|input| input.server_certificate_name = "a b".into()), "ValidationError 400"),
        (bad(|input| input.private_key.push('\u{20ac}')), "ValidationError 400"),
        (bad(|input| input.tags = vec![tag("a", ""), tag("A", "")]), "InvalidInput 400"),
        (bad(|input| input.tags = vec![tag("aws:x", "")]), "InvalidInput 400"),
        (bad(|input| input.tags = vec![tag("", "")]), "InvalidInput 400"),
        (bad(|input| input.tags = vec![tag("a", "<")]), "InvalidInput 400"),
    ];
    for (input, expected) in cases {
        assert_eq!(code(uploads.upload(input).await), expected);
    }
    let stranger = UploadServerCertificateInput { certificate_chain: Some(pair().0), ..input("shop") };
    let error = uploads.upload(stranger).await.unwrap_err();
    assert!(error.message.ends_with("The index within the chain of the invalid certificate is: -1"), "{error}");
    assert_eq!(uploads.list(ListServerCertificatesInput::default()).await.0, Vec::<String>::new());
}

#[tokio::test]
async fn the_model_limits_what_comes_over_the_wire_and_repeats_no_key() {
    let uploads = uploads();
    let form =
        format!("ServerCertificateName={}&CertificateBody=x&PrivateKey=hunter2{}", "n".repeat(129), "x".repeat(16_384));
    let answer = uploads.iam.handle(&uploads.call, "UploadServerCertificate", form.into()).await;
    let body = String::from_utf8_lossy(&answer.body);
    assert!(body.contains("2 validation errors detected") && !body.contains("hunter2"), "{body}");
}

#[tokio::test]
async fn names_are_one_name_whatever_their_case_and_accounts_are_apart() {
    let mut uploads = uploads();
    uploads.upload(input("shop")).await.unwrap();
    assert_eq!(code(uploads.upload(input("SHOP")).await), "EntityAlreadyExists 409");
    assert_eq!(code(uploads.get("Shop").await), "NoSuchEntity 404");
    uploads.call = root("123456789013");
    assert_eq!(code(uploads.get("shop").await), "NoSuchEntity 404");
    uploads.upload(input("shop")).await.unwrap();
}

#[tokio::test]
async fn an_account_has_a_quota() {
    let uploads = uploads();
    let input = input("shop");
    for n in 0..CERTIFICATES_MAX {
        let server_certificate_name = format!("shop{n}");
        uploads.upload(UploadServerCertificateInput { server_certificate_name, ..input.clone() }).await.unwrap();
    }
    let error = uploads.upload(input).await.unwrap_err();
    assert_eq!(error.message, "Cannot exceed quota for ServerCertificatesPerAccount: 20");
    assert_eq!(code::<()>(Err(error)), "LimitExceeded 409");
}

#[tokio::test]
async fn listings_are_cut_by_path_and_page() {
    let uploads = uploads();
    let upload = input("x");
    for (name, path) in [("b", "/"), ("A", "/web/"), ("c", "/web/eu/"), ("d", "/mail/")] {
        let path = Some(path.to_owned());
        let server_certificate_name = name.to_owned();
        uploads.upload(UploadServerCertificateInput { server_certificate_name, path, ..upload.clone() }).await.unwrap();
    }
    let with = |max_items, marker, prefix: Option<&str>| ListServerCertificatesInput {
        max_items,
        marker,
        path_prefix: prefix.map(str::to_owned),
    };
    assert_eq!(
        uploads.list(with(None, None, None)).await,
        (vec!["A".into(), "b".into(), "c".into(), "d".into()], None)
    );
    assert_eq!(uploads.list(with(None, None, Some("/web/"))).await.0, ["A", "c"]);
    let (first, marker) = uploads.list(with(Some(3), None, None)).await;
    assert_eq!(first, ["A", "b", "c"]);
    assert_eq!(uploads.list(with(Some(3), marker, None)).await, (vec!["d".into()], None));
    for bad in [with(None, Some("!".into()), None), with(None, None, Some("web"))] {
        assert_eq!(code(uploads.iam.list_server_certificates(&uploads.call, bad).await), "ValidationError 400");
    }
}

#[tokio::test]
async fn a_renamed_certificate_has_another_arn_and_the_same_id() {
    let uploads = uploads();
    let before = uploads.upload(input("shop")).await.unwrap();
    uploads.rename("shop", Some("/web/"), Some("Shop2")).await.unwrap();
    let after = uploads.get("Shop2").await.unwrap().server_certificate_metadata;
    assert_eq!(after.server_certificate_id, before.server_certificate_id);
    assert_eq!(after.arn, "arn:aws:iam::123456789012:server-certificate/web/Shop2");
    assert_eq!(code(uploads.get("shop").await), "NoSuchEntity 404");
    assert!(uploads.find(&before.arn).await.is_none() && uploads.find(&after.arn).await.is_some());
    uploads.rename("Shop2", None, Some("shop2")).await.unwrap();
    uploads.upload(input("other")).await.unwrap();
    assert_eq!(code(uploads.rename("shop2", None, Some("OTHER")).await), "EntityAlreadyExists 409");
    assert_eq!(code(uploads.rename("nobody", None, None).await), "NoSuchEntity 404");
    assert_eq!(code(uploads.rename("shop2", Some("x"), None).await), "ValidationError 400");
    assert_eq!(code(uploads.rename("shop2", None, Some("x y")).await), "ValidationError 400");
    assert_eq!(uploads.list(ListServerCertificatesInput::default()).await.0, ["other", "shop2"]);
}

/// A load balancer that uses one certificate.
struct Balancer(String, AtomicBool);

#[async_trait]
impl CertificateUsers for Balancer {
    async fn use_of(&self, arn: &str) -> Result<Option<String>, ApiError> {
        let uses = self.1.load(Ordering::Relaxed) && arn == self.0;
        Ok(uses.then(|| "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/web".to_owned()))
    }
}

#[tokio::test]
async fn a_certificate_in_use_is_not_deleted_until_nobody_uses_it() {
    let uploads = uploads();
    let metadata = uploads.upload(input("shop")).await.unwrap();
    let balancer = Arc::new(Balancer(metadata.arn, AtomicBool::new(true)));
    let weak = Arc::downgrade(&balancer);
    uploads.iam.ask_before_delete(weak);
    let error = uploads.delete("shop").await.unwrap_err();
    assert_eq!(
        error.message,
        format!(
            "Certificate: {} is currently in use by \
             arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/web. Please remove it first before \
             deleting it from IAM.",
            metadata.server_certificate_id
        )
    );
    assert_eq!(code::<()>(Err(error)), "DeleteConflict 409");
    balancer.1.store(false, Ordering::Relaxed);
    uploads.delete("shop").await.unwrap();
    assert_eq!(code(uploads.delete("shop").await), "NoSuchEntity 404");
}

#[tokio::test]
async fn a_certificate_in_use_answers_to_its_old_arn_after_it_was_renamed() {
    let uploads = uploads();
    let old = uploads.upload(input("shop")).await.unwrap().arn;
    let balancer = Arc::new(Balancer(old.clone(), AtomicBool::new(true)));
    let weak = Arc::downgrade(&balancer);
    uploads.iam.ask_before_delete(weak);
    let before = uploads.find(&old).await.unwrap();
    for (name, new) in [("shop", "shop2"), ("shop2", "shop3")] {
        uploads.rename(name, None, Some(new)).await.unwrap();
    }
    let after = uploads.find(&old).await.unwrap();
    assert_eq!((&after.arn, &after.private_key_der), (&old, &before.private_key_der));
    assert_eq!(after.name, "shop3");
    assert_eq!(code(uploads.delete("shop3").await), "DeleteConflict 409");
    balancer.1.store(false, Ordering::Relaxed);
    uploads.rename("shop3", None, Some("shop4")).await.unwrap();
    assert!(uploads.find(&old).await.is_none());
}

#[tokio::test]
async fn tags_come_and_go_without_regard_to_case() {
    let uploads = uploads();
    uploads.upload(input("shop")).await.unwrap();
    let name = || "shop".to_owned();
    let put = |tags| TagServerCertificateInput { server_certificate_name: name(), tags };
    uploads.iam.tag_server_certificate(&uploads.call, put(vec![tag("Team", "web"), tag("stage", "")])).await.unwrap();
    uploads.iam.tag_server_certificate(&uploads.call, put(vec![tag("team", "mail")])).await.unwrap();
    let list =
        |max_items, marker| ListServerCertificateTagsInput { server_certificate_name: name(), max_items, marker };
    let first = uploads.iam.list_server_certificate_tags(&uploads.call, list(Some(1), None)).await.unwrap();
    assert_eq!((first.tags, first.is_truncated), (vec![tag("Team", "mail")], Some(true)));
    let second = uploads.iam.list_server_certificate_tags(&uploads.call, list(None, first.marker)).await.unwrap();
    assert_eq!((second.tags, second.is_truncated), (vec![tag("stage", "")], Some(false)));
    let untag =
        UntagServerCertificateInput { server_certificate_name: name(), tag_keys: vec!["STAGE".into(), "no".into()] };
    uploads.iam.untag_server_certificate(&uploads.call, untag).await.unwrap();
    assert_eq!(uploads.get("shop").await.unwrap().tags, [tag("Team", "mail")]);
    let many = (0..50).map(|n| tag(&n.to_string(), "")).collect();
    assert_eq!(code(uploads.iam.tag_server_certificate(&uploads.call, put(many)).await), "LimitExceeded 409");
    let nobody = UntagServerCertificateInput { server_certificate_name: "nobody".into(), tag_keys: vec!["a".into()] };
    assert_eq!(code(uploads.iam.untag_server_certificate(&uploads.call, nobody).await), "NoSuchEntity 404");
}

#[tokio::test]
async fn nobody_who_has_not_signed_is_answered() {
    let mut uploads = uploads();
    uploads.upload(input("shop")).await.unwrap();
    uploads.call = call("123456789012", Principal::Anonymous);
    assert_eq!(code(uploads.get("shop").await), "MissingAuthenticationToken 403");
    assert_eq!(code(uploads.delete("shop").await), "MissingAuthenticationToken 403");
}

#[tokio::test]
async fn an_empty_listing_is_written_as_iam_writes_it() {
    let uploads = uploads();
    let answer = uploads.iam.handle(&uploads.call, "ListServerCertificates", Bytes::new()).await;
    let body = String::from_utf8_lossy(&answer.body);
    let expected = "<ListServerCertificatesResult><IsTruncated>false</IsTruncated>\
                    <ServerCertificateMetadataList></ServerCertificateMetadataList></ListServerCertificatesResult>";
    assert!(body.contains(expected), "{body}");
}

#[tokio::test]
async fn a_reset_leaves_no_certificate() {
    let uploads = uploads();
    let arn = uploads.upload(input("shop")).await.unwrap().arn;
    uploads.find(&arn).await.unwrap();
    uploads.iam.reset().await.unwrap();
    assert!(uploads.find(&arn).await.is_none());
    assert_eq!(uploads.list(ListServerCertificatesInput::default()).await.0, Vec::<String>::new());
}
