//! No text may make the policy language panic: not its parser, nor the evaluation of what it accepted, nor the editing
//! of the text; and what has been edited must still be a document.

#![no_main]

use libfuzzer_sys::fuzz_target;
use policy::{Document, NewStatement, Policy, Principal, Request};

fuzz_target!(|text: &str| {
    if let Ok(policy) = Policy::parse(text) {
        let ann = Principal::Account {
            account: "111122223333",
            arn: Some("arn:aws:iam::111122223333:user/ann"),
            canonical_user: None,
        };
        for principal in [Principal::Anonymous, ann, Principal::Service { name: "sns.amazonaws.com" }] {
            let request = Request::new(principal, "s3:GetObject", "arn:aws:s3:::bucket/key")
                .with("aws:SourceIp", "203.0.113.7")
                .with_all("aws:TagKeys", ["a", "b"])
                .at(1_577_836_800_000);
            _ = policy.explain_for(&request);
        }
        _ = policy.is_public();
    }
    if let Ok(mut document) = Document::parse(text) {
        document.add(&NewStatement { sid: "s", accounts: &["111122223333"], actions: &["SQS:*"], resource: "*" });
        let edited = Document::parse(&document.to_string());
        assert!(edited.is_ok_and(|edited| edited.has("s")));
    }
});
