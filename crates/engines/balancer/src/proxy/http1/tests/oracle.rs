//! The classes of http-desync-guardian's requests, and what each mode does with them.

use serde::Deserialize;

use super::*;
use crate::proxy::http1::desync::{Parts, classify};

#[derive(Deserialize)]
pub(in crate::proxy) struct Case {
    file: String,
    pub(in crate::proxy) name: String,
    method: String,
    uri: String,
    version: String,
    headers: Vec<(String, String)>,
    pub(in crate::proxy) tier: String,
    reason: String,
}

pub(in crate::proxy) fn cases() -> Vec<Case> {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../../../../testdata/desync/requests.json")).unwrap();
    assert_eq!(cases.len(), 159);
    cases
}

impl Case {
    fn classify(&self) -> Verdict {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let (method, target) = (self.method.as_bytes(), self.uri.as_bytes());
        let parts = Parts { method, target, version: self.version.as_bytes(), headers: &headers };
        classify(&parts, Verdict::default())
    }

    /// Whether a delimiter within a part makes other parts of it on its way, and so another class.
    pub(in crate::proxy) fn is_other_on_its_way(&self) -> bool {
        self.version.trim().contains(' ')
            || self.uri.is_empty()
            || self.uri.contains('\n')
            || self.headers.iter().any(|(name, value)| name.contains('\n') || value.contains('\n'))
    }

    /// As a client would send it; with a `Host`, which all of them lack.
    pub(in crate::proxy) fn wire(&self) -> Vec<u8> {
        let mut wire = format!("{} {} {}\r\n", self.method, self.uri, self.version).into_bytes();
        let has_host = self.headers.iter().any(|(name, _)| name == "Host");
        for (name, value) in &self.headers {
            headers::push_line(&mut wire, name.as_bytes(), value.as_bytes());
        }
        if !has_host {
            wire.extend_from_slice(b"Host: localhost\r\n");
        }
        wire.extend_from_slice(b"\r\n");
        wire
    }
}

#[test]
fn every_request_has_the_class_and_the_reason_that_aws_gives_it() {
    let mut wrong = Vec::new();
    for case in cases() {
        let verdict = case.classify();
        let (tier, reason) = (format!("{:?}", verdict.tier), format!("{:?}", verdict.reason));
        if (&tier, &reason) != (&case.tier, &case.reason) {
            wrong.push(format!("{}/{}: {tier} {reason}, not {} {}", case.file, case.name, case.tier, case.reason));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Served requests are served as one: read again, what a target gets is Compliant or at worst a GET with a body.
#[test]
fn each_mode_serves_what_it_should_and_only_as_one_unambiguous_message() {
    for case in cases() {
        let wire = case.wire();
        let name = format!("{}/{}", case.file, case.name);
        for mode in MODES {
            let served = match parse(&wire, mode) {
                Ok(served) => served.unwrap_or_else(|| panic!("{name} is not complete")),
                Err(refusal) => {
                    let must_serve = case.tier == "Compliant" && case.uri.starts_with('/');
                    assert!(!must_serve, "{name} is refused in {mode:?}: {refusal:?}");
                    continue;
                }
            };
            let (head, out) = served;
            match mode {
                DesyncMode::Strictest => assert_eq!(case.tier, "Compliant", "{name}"),
                DesyncMode::Defensive => assert!(case.tier != "Severe" || case.is_other_on_its_way(), "{name}"),
                DesyncMode::Monitor => {}
            }
            if case.tier == "Ambiguous" && mode == DesyncMode::Defensive {
                assert!(head.is_last && !head.keep_alive, "{name} leaves connections open");
            }
            let (again, _) = parse(&out, DesyncMode::Monitor).unwrap().unwrap();
            assert_eq!(again.framing, head.framing, "{name}");
            assert!(
                again.desync.tier == Tier::Compliant || (!again.is_last && head.desync != Verdict::default()),
                "{name}"
            );
        }
    }
}

/// So that the test above can't pass by refusing everything.
#[test]
fn what_has_a_safe_reading_is_served_though_it_is_not_compliant() {
    let served = |tier: &str, mode| {
        let of_tier: Vec<_> =
            cases().into_iter().filter(|case| case.tier == tier && !case.is_other_on_its_way()).collect();
        let served = of_tier.iter().filter(|case| parse(&case.wire(), mode).is_ok()).count();
        (served, of_tier.len())
    };
    let (acceptable, all) = served("Acceptable", DesyncMode::Defensive);
    assert_eq!(acceptable, all);
    let (ambiguous, all) = served("Ambiguous", DesyncMode::Defensive);
    assert!(ambiguous * 10 >= all * 7, "{ambiguous} of {all}");
    let (severe, _) = served("Severe", DesyncMode::Monitor);
    assert!(severe >= 10, "{severe}");
    assert_eq!(served("Severe", DesyncMode::Defensive).0, 0);
    assert_eq!(served("Acceptable", DesyncMode::Strictest).0, 0);
}
