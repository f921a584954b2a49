//! Policies as AWS's documentation and its users write them, and what AWS makes of them.

use policy::{Decision, Effect, Limits, Policy, Principal, Problem, Request};

fn policy(text: &str) -> Policy {
    Policy::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn account(account: &str) -> Principal<'_> {
    Principal::Account { account, arn: None, canonical_user: None }
}

fn statement(rest: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{{"Sid":"S",{rest}}}]}}"#)
}

const ALLOW_0: Decision = Decision::Allow { statement: 0 };

/// From a book of 2015: load balancers write their logs as AWS's own accounts.
#[test]
fn the_elb_accounts_of_2015_may_write_logs_and_nobody_else() {
    let policy = policy(include_str!("fixtures/elb-logs-2015.json"));
    assert_eq!(policy.id(), Some("Policy1429136655940"));
    let log = "arn:aws:s3:::elb-logging-bucket-$YourName/AWSLogs/1.log";
    let ask = |principal, action, resource| policy.evaluate(&Request::new(principal, action, resource));
    assert_eq!(ask(account("127311923021"), "s3:PutObject", log), ALLOW_0);
    let elb = Principal::Account {
        account: "127311923021",
        arn: Some("arn:aws:sts::127311923021:assumed-role/elb/1"),
        canonical_user: None,
    };
    assert_eq!(ask(elb, "s3:PutObject", log), ALLOW_0);
    assert_eq!(ask(account("127311923021"), "s3:GetObject", log), Decision::NoMatch);
    assert_eq!(ask(account("111122223333"), "s3:PutObject", log), Decision::NoMatch);
    assert_eq!(ask(account("127311923021"), "s3:PutObject", "arn:aws:s3:::other/x"), Decision::NoMatch);
    assert_eq!(ask(Principal::Anonymous, "s3:PutObject", log), Decision::NoMatch);
}

#[test]
fn a_website_bucket_is_open_to_everyone() {
    let policy = policy(&statement(
        r#""Effect":"Allow","Principal":"*","Action":["s3:GetObject"],"Resource":["arn:aws:s3:::site/*"]"#,
    ));
    let page = "arn:aws:s3:::site/index.html";
    assert_eq!(policy.evaluate(&Request::new(Principal::Anonymous, "s3:GetObject", page)), ALLOW_0);
    assert_eq!(policy.evaluate(&Request::new(Principal::Anonymous, "s3:PutObject", page)), Decision::NoMatch);
    assert!(policy.is_public());
}

#[test]
fn a_service_may_send_for_one_bucket_of_one_account() {
    let policy = policy(&statement(
        r#""Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},"Action":"SQS:SendMessage",
        "Resource":"arn:aws:sqs:us-east-1:111122223333:q",
        "Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:s3:*:*:photos"},"StringEquals":{"aws:SourceAccount":"111122223333"}}"#,
    ));
    let send = |bucket, owner| {
        let service = Principal::Service { name: "s3.amazonaws.com" };
        let request = Request::new(service, "sqs:SendMessage", "arn:aws:sqs:us-east-1:111122223333:q");
        policy.evaluate(&request.with("aws:SourceArn", bucket).with("aws:SourceAccount", owner))
    };
    assert_eq!(send("arn:aws:s3:::photos", "111122223333"), ALLOW_0);
    assert_eq!(send("arn:aws:s3:::videos", "111122223333"), Decision::NoMatch);
    // The confused deputy: somebody else's bucket of the same name.
    assert_eq!(send("arn:aws:s3:::photos", "444455556666"), Decision::NoMatch);
}

#[test]
fn an_explicit_deny_wins_wherever_it_stands() {
    let allow = r#"{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"}"#;
    let deny = r#"{"Sid":"Tls","Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}"#;
    for (statements, index) in [(format!("{allow},{deny}"), 1), (format!("{deny},{allow}"), 0)] {
        let policy = policy(&format!(r#"{{"Statement":[{statements}]}}"#));
        let request = Request::new(Principal::Anonymous, "s3:GetObject", "arn:aws:s3:::b/k");
        let plain = request.clone().with("aws:SecureTransport", "false");
        assert_eq!(policy.evaluate(&plain), Decision::ExplicitDeny { statement: index });
        assert_eq!(
            policy.evaluate(&request.with("aws:SecureTransport", "true")),
            Decision::Allow { statement: 1 - index }
        );
    }
}

#[test]
fn the_not_elements_are_about_everything_else() {
    let policy = policy(&statement(
        r#""Effect":"Deny","NotPrincipal":{"AWS":"111122223333"},"NotAction":"s3:Get*","NotResource":"arn:aws:s3:::b/open/*""#,
    ));
    let ask = |who, action, resource| policy.evaluate(&Request::new(account(who), action, resource));
    let denied = Decision::ExplicitDeny { statement: 0 };
    assert_eq!(ask("444455556666", "s3:PutObject", "arn:aws:s3:::b/k"), denied);
    assert_eq!(ask("111122223333", "s3:PutObject", "arn:aws:s3:::b/k"), Decision::NoMatch);
    assert_eq!(ask("444455556666", "s3:GetObject", "arn:aws:s3:::b/k"), Decision::NoMatch);
    assert_eq!(ask("444455556666", "s3:PutObject", "arn:aws:s3:::b/open/k"), Decision::NoMatch);
}

#[test]
fn a_home_directory_is_its_users_own() {
    let policy = policy(&statement(
        r#""Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"s3:*","Resource":"arn:aws:s3:::b/home/${aws:username}/*""#,
    ));
    let ask = |name: &str, key: &str| {
        let arn = format!("arn:aws:iam::111122223333:user/staff/{name}");
        let user = Principal::Account { account: "111122223333", arn: Some(&arn), canonical_user: None };
        policy.evaluate(&Request::new(user, "s3:GetObject", &format!("arn:aws:s3:::b/home/{key}")))
    };
    assert_eq!(ask("ann", "ann/diary"), ALLOW_0);
    assert_eq!(ask("bob", "ann/diary"), Decision::NoMatch);
    assert_eq!(ask("*", "ann/diary"), Decision::NoMatch);
}

#[test]
fn the_time_of_the_request_can_be_asked() {
    let policy = policy(&statement(
        r#""Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"},"NumericGreaterThan":{"aws:EpochTime":1577836700}}"#,
    ));
    let at = |ms| policy.evaluate(&Request::new(Principal::Anonymous, "s3:GetObject", "arn:aws:s3:::b/k").at(ms));
    assert_eq!(at(1_577_836_799_000), ALLOW_0);
    assert_eq!(at(1_577_836_800_000), Decision::NoMatch);
}

#[test]
fn an_explanation_names_the_statement_and_stays_on_one_line() {
    let policy = policy(
        r#"{"Statement":[
            {"Sid":"No\nlogs","Effect":"Deny","Principal":"*","Action":"s3:Delete*","Resource":"*"},
            {"Effect":"Allow","Principal":"*","Action":"s3:Get*","Resource":"*","Condition":{"StringEquals":{"aws:SourceVpc":"v"}}}]}"#,
    );
    let delete = Request::new(Principal::Anonymous, "s3:DeleteObject", "arn:aws:s3:::b/k");
    assert_eq!(policy.explain(&policy.evaluate(&delete)), r#"statement "No\nlogs" (Statement[0]) denies it"#);
    let read = Request::new(account("111122223333"), "s3:GetObject", "arn:aws:s3:::b/a\nb");
    assert_eq!(
        policy.explain_for(&read),
        concat!(
            r#"account "111122223333" asks for "s3:GetObject" on "arn:aws:s3:::b/a\nb": none of the policy's 2 statements "#,
            r#"is about it; Statement[1] came closest, but its Condition on "aws:SourceVpc" does not match"#
        )
    );
    assert_eq!(policy.explain(&ALLOW_0), r#"statement "No\nlogs" (Statement[0]) allows it"#);
}

#[test]
fn what_is_no_policy_is_refused_with_its_place() {
    let whole = r#""Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"*""#;
    let without = |element: &str| {
        statement(&whole.split(',').filter(|part| !part.contains(element)).collect::<Vec<_>>().join(","))
    };
    let with = |from: &str, to: &str| statement(&whole.replace(from, to));
    for (text, sentence) in [
        (String::new(), "Policies must be valid JSON and the first byte must be '{', at line 1 column 0"),
        ("[]".into(), "Policies must be valid JSON and the first byte must be '{'"),
        (r#"{"Statement":[]}"#.into(), "Could not parse the policy: Statement is empty!, at Statement"),
        (r#"{"Version":"2012-10-17"}"#.into(), "Missing required field Statement"),
        (
            r#"{"Version":"2012-10-18","Statement":[]}"#.into(),
            "The policy must contain a valid version string, at Version",
        ),
        (r#"{"Statements":[]}"#.into(), "Unknown field Statements"),
        (r#"{"Id":"a","Id":"b"}"#.into(), "Duplicate field Id"),
        (without("Principal"), "Missing required field Principal, at Statement[0]"),
        (without("Effect"), "Missing required field Effect, at Statement[0]"),
        (without("Action"), "Missing required field Action, at Statement[0]"),
        (without("Resource"), "Missing required field Resource, at Statement[0]"),
        (with("Allow", "allow"), "Invalid effect: allow, at Statement[0].Effect"),
        (with(r#""s3:GetObject""#, r#""GetObject""#), "Policy has invalid action, at Statement[0].Action"),
        (with(r#""s3:GetObject""#, "[]"), "Policy has invalid action, at Statement[0].Action"),
        (
            with(r#""Resource":"*""#, r#""Resource":"bucket/*""#),
            "Policy has invalid resource, at Statement[0].Resource",
        ),
        (
            with(r#""Resource":"*""#, r#""Resource":"arn:aws:s3:::${""#),
            "Policy has invalid resource, at Statement[0].Resource",
        ),
        (with(r#""Principal":"*""#, r#""Principal":"ann""#), "Invalid principal in policy, at Statement[0].Principal"),
        (
            with(r#""Principal":"*""#, r#""Principal":{"AWS":["*",7]}"#),
            "Invalid principal in policy, at Statement[0].Principal.AWS",
        ),
        (with(r#""Principal":"*""#, r#""Principal":{}"#), "Invalid principal in policy, at Statement[0].Principal"),
        (
            with(r#""Effect""#, r#""NotAction":"s3:*","Effect""#),
            "Statement must not contain both Action and NotAction, at Statement[0]",
        ),
        (with(r#""Effect""#, r#""Comment":"x","Effect""#), "Unknown field Comment, at Statement[0]"),
        (with(r#""Effect""#, r#""Sid":"T","Effect""#), "Duplicate field Sid, at Statement[0]"),
        (
            format!(r#"{{"Statement":{{{}}}}}"#, whole.replace("Allow", "Maybe")),
            "Invalid effect: Maybe, at Statement.Effect",
        ),
    ] {
        let error = Policy::parse(&text).map(|_| ()).expect_err(&text);
        assert_eq!(error.to_string(), sentence, "{text}");
    }
}

#[test]
fn json_that_nests_without_end_is_refused() {
    let text = format!(r#"{{"Statement":{}"#, "[".repeat(100_000));
    assert_eq!(Policy::parse(&text).map(|_| ()).expect_err("no policy").problem(), &Problem::NotJson);
}

#[test]
fn limits_are_the_services() {
    let one = r#"{"Sid":"a","Effect":"Allow","Principal":{"AWS":["111122223333","444455556666"]},"Action":"*","Resource":"*","Condition":{"Bool":{"a:b":"true","a:c":"true"}}}"#;
    let text = format!(r#"{{"Statement":[{one},{one}]}}"#);
    let refused =
        |limits: Limits| Policy::parse_within(&text, &limits).map(|_| ()).expect_err("too much").problem().clone();
    assert!(Policy::parse_within(&text, &Limits::NONE).is_ok());
    let all =
        Limits { bytes_max: text.len(), statements_max: 2, principals_max: 4, conditions_max: 4, distinct_sids: false };
    assert!(Policy::parse_within(&text, &all).is_ok());
    assert_eq!(
        refused(Limits { bytes_max: text.len() - 1, ..all }),
        Problem::TooMany { what: "bytes", max: text.len() - 1 }
    );
    assert_eq!(refused(Limits { statements_max: 1, ..all }), Problem::TooMany { what: "statements", max: 1 });
    assert_eq!(refused(Limits { principals_max: 3, ..all }), Problem::TooMany { what: "principals", max: 3 });
    assert_eq!(refused(Limits { conditions_max: 3, ..all }), Problem::TooMany { what: "conditions", max: 3 });
    assert_eq!(refused(Limits { distinct_sids: true, ..all }), Problem::DuplicateSid("a".into()));
}

#[test]
fn statements_can_be_looked_at() {
    let policy = policy(&statement(
        r#""Effect":"Deny","Principal":"*","NotAction":["s3:Get*","s3:Put*"],"Resource":"arn:aws:s3:::b""#,
    ));
    let statement = &policy.statements()[0];
    assert_eq!((statement.sid(), statement.effect()), (Some("S"), Effect::Deny));
    assert_eq!(statement.actions().collect::<Vec<_>>(), ["s3:Get*", "s3:Put*"]);
    assert_eq!(statement.resources().collect::<Vec<_>>(), ["arn:aws:s3:::b"]);
}
