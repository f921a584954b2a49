//! What holds for every policy, however it was made.

use policy::{Decision, Document, Policy, Principal, Request};
use proptest::prelude::*;
use proptest::sample::select;

const ACTIONS: [&str; 5] = ["*", "s3:*", "s3:GetObject", "s3:Put*", "sqs:SendMessage"];
const RESOURCES: [&str; 4] = ["*", "arn:aws:s3:::b/*", "arn:aws:s3:::b/?", "arn:aws:s3:::b/${aws:username}"];
const PRINCIPALS: [&str; 4] = [
    r#""*""#,
    r#"{"AWS":"111122223333"}"#,
    r#"{"Service":"sns.amazonaws.com"}"#,
    r#"{"AWS":"arn:aws:iam::111122223333:user/a"}"#,
];
const CONDITIONS: [&str; 5] = [
    "{}",
    r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#,
    r#"{"StringNotLike":{"aws:SourceVpc":"v*"}}"#,
    r#"{"ForAllValues:StringEquals":{"aws:TagKeys":["a"]}}"#,
    r#"{"Null":{"aws:SourceIp":"false"}}"#,
];

prop_compose! {
    fn a_statement(effects: &'static [&'static str])(
        effect in select(effects),
        principal in (select(&["", "Not"][..]), select(&PRINCIPALS[..])),
        action in (select(&["", "Not"][..]), select(&ACTIONS[..])),
        resource in (select(&["", "Not"][..]), select(&RESOURCES[..])),
        condition in select(&CONDITIONS[..]),
    ) -> String {
        format!(
            r#"{{"Effect":"{effect}","{}Principal":{},"{}Action":"{}","{}Resource":"{}","Condition":{condition}}}"#,
            principal.0, principal.1, action.0, action.1, resource.0, resource.1,
        )
    }
}

fn a_request() -> impl Strategy<Value = Request<'static>> {
    let user = Principal::Account {
        account: "111122223333",
        arn: Some("arn:aws:iam::111122223333:user/a"),
        canonical_user: None,
    };
    let principals = vec![
        Principal::Anonymous,
        user,
        Principal::Account { account: "444455556666", arn: None, canonical_user: None },
        Principal::Service { name: "sns.amazonaws.com" },
    ];
    let ips = vec![None, Some("10.1.2.3"), Some("8.8.8.8"), Some("nowhere")];
    (
        select(principals),
        select(vec!["s3:GetObject", "s3:PutObject", "sqs:sendmessage"]),
        select(vec!["arn:aws:s3:::b/a", "arn:aws:s3:::b/long", "arn:aws:sqs:r:1:q"]),
        select(ips),
    )
        .prop_map(|(principal, action, resource, ip)| {
            Request::new(principal, action, resource).with_all("aws:SourceIp", ip)
        })
}

fn policy_of(statements: &[String]) -> Policy {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","));
    Policy::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The decision, whichever statement it was.
fn kind(decision: Decision) -> &'static str {
    match decision {
        Decision::ExplicitDeny { .. } => "deny",
        Decision::Allow { .. } => "allow",
        Decision::NoMatch => "nothing",
    }
}

/// JSON with the language's words in wrong places.
fn nearly_a_policy() -> impl Strategy<Value = String> {
    let words = [
        "Version",
        "2012-10-17",
        "Statement",
        "Effect",
        "Allow",
        "Principal",
        "AWS",
        "*",
        "Action",
        "s3:*",
        "Resource",
        "arn:aws:s3:::${a:b}",
        "Condition",
        "StringLike",
        "ForAllValues:StringLike",
        "IpAddress",
        "10.0.0.0/8",
        "aws:SourceIp",
        "ArnLike",
        "${",
        "",
        "é",
    ];
    let words = words.to_vec();
    let word = select(words.clone()).prop_map(|word| format!("{word:?}"));
    let leaf = prop_oneof![word, Just("null".to_owned()), Just("true".to_owned()), Just("-1.5e300".to_owned())];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        let member = (select(words.clone()), inner.clone()).prop_map(|(name, value)| format!("{name:?}:{value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_makes_the_parsers_panic(text in ".*") {
        let _ = Policy::parse(&text);
        let _ = Document::parse(&text);
    }

    #[test]
    fn no_json_makes_the_parsers_or_the_evaluation_panic(text in nearly_a_policy(), request in a_request()) {
        for text in [text.clone(), format!(r#"{{"Statement":{text}}}"#)] {
            if let Ok(policy) = Policy::parse(&text) {
                let _ = policy.explain_for(&request);
            }
            if let Ok(document) = Document::parse(&text) {
                prop_assert!(Document::parse(&document.to_string()).is_ok());
            }
        }
    }

    #[test]
    fn adding_a_deny_never_opens(
        statements in prop::collection::vec(a_statement(&["Allow", "Deny"]), 1..6),
        deny in a_statement(&["Deny"]),
        at in any::<prop::sample::Index>(),
        request in a_request(),
    ) {
        let before = kind(policy_of(&statements).evaluate(&request));
        let mut statements = statements;
        statements.insert(at.index(statements.len() + 1), deny);
        let after = kind(policy_of(&statements).evaluate(&request));
        prop_assert!(after == "deny" || after == before, "{} became {}", before, after);
    }

    #[test]
    fn the_order_of_statements_does_not_matter(
        statements in prop::collection::vec(a_statement(&["Allow", "Deny"]), 1..6).prop_shuffle(),
        request in a_request(),
    ) {
        let forwards = kind(policy_of(&statements).evaluate(&request));
        let mut statements = statements;
        statements.reverse();
        prop_assert_eq!(forwards, kind(policy_of(&statements).evaluate(&request)));
    }

    #[test]
    fn the_statement_that_decided_decides_alone(
        statements in prop::collection::vec(a_statement(&["Allow", "Deny"]), 1..6),
        request in a_request(),
    ) {
        let decision = policy_of(&statements).evaluate(&request);
        if let Decision::Allow { statement } | Decision::ExplicitDeny { statement } = decision {
            let alone = policy_of(&statements[statement..=statement]).evaluate(&request);
            prop_assert_eq!(kind(alone), kind(decision));
        }
    }
}
