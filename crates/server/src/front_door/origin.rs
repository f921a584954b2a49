//! Web pages: what the browser of somebody who also runs Millpond may be made to do. Nothing.
//!
//! Invariants:
//! - A request that a web page may have caused changes nothing and reads nothing private, unless a signature that was
//!   verified against a key proves that the page's author holds one.
//! - In local mode a signature proves nothing, so a page's signed request counts as unsigned, and a Host that is not
//!   ours (a name rebound to this machine) is refused whatever it asks.
//!
//! Pure: looks at headers only.

use http::header::{HeaderMap, ORIGIN};
use http::request::Parts;

use super::host::Host;

/// What the signature of a request proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The caller holds a configured key.
    Verified,
    /// Nothing: local mode takes any key.
    Claimed,
    /// There is no signature.
    None,
}

/// What a request would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Reads at most; policies and ACLs decide what.
    Read,
    /// May change something.
    Change,
}

/// Whether requests that prove nothing may come under foreign names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignHosts {
    /// Local mode: a foreign name can only be a rebound one.
    Refused,
    /// Strict mode: the machine's own DNS names are not known to us, and the unsigned reach only what is public.
    ReadOnly,
}

/// Why a request was refused; reads as one sentence to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The Host is not one of ours.
    #[error(
        "Millpond does not serve this Host. Use an address or localhost, or start it with --base-domain for this name."
    )]
    ForeignHost,
    /// A web page asked.
    #[error("Millpond does not take this request from a web page: it is not signed with a configured key.")]
    WebPage,
}

/// Whether a request may go on to its service.
pub fn check(parts: &Parts, host: &Host, proof: Proof, effect: Effect, foreign: ForeignHosts) -> Result<(), Refusal> {
    if proof == Proof::Verified {
        return Ok(());
    }
    if !host.is_ours && (foreign == ForeignHosts::Refused || effect == Effect::Change) {
        return Err(Refusal::ForeignHost);
    }
    let page = page(&parts.headers);
    match (page, effect, proof) {
        (Page::None, _, _) => Ok(()),
        (_, Effect::Change, _) => Err(Refusal::WebPage),
        // A signature that proves nothing would let any page read what is private: `<script src=…>` needs no CORS.
        (Page::Foreign, Effect::Read, Proof::Claimed) => Err(Refusal::WebPage),
        (_, Effect::Read, _) => Ok(()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    /// No browser, or its user's own doing (address bar, bookmark).
    None,
    /// A page of the same site; `localhost` is one site whatever the port.
    Near,
    /// A page from elsewhere.
    Foreign,
}

fn page(headers: &HeaderMap) -> Page {
    match headers.get("sec-fetch-site").map(http::HeaderValue::as_bytes) {
        Some(b"none") if !headers.contains_key(ORIGIN) => Page::None,
        Some(b"same-origin" | b"same-site") => Page::Near,
        Some(_) => Page::Foreign,
        None if headers.contains_key(ORIGIN) => Page::Foreign,
        None => Page::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(headers: &[(&str, &str)], proof: Proof, effect: Effect) -> Result<(), Refusal> {
        verdict_under("localhost:4566", headers, proof, effect, ForeignHosts::Refused)
    }

    fn verdict_under(
        host: &str,
        headers: &[(&str, &str)],
        proof: Proof,
        effect: Effect,
        foreign: ForeignHosts,
    ) -> Result<(), Refusal> {
        let request =
            headers.iter().fold(http::Request::builder(), |request, (name, value)| request.header(*name, *value));
        let (parts, ()) = request.body(()).unwrap().into_parts();
        check(&parts, &Host::parse(host, &[]), proof, effect, foreign)
    }

    #[test]
    fn a_program_without_a_browser_is_never_refused_here() {
        for proof in [Proof::Verified, Proof::Claimed, Proof::None] {
            assert_eq!(verdict(&[], proof, Effect::Change), Ok(()));
        }
    }

    #[test]
    fn a_page_changes_nothing_even_with_a_signature_of_local_mode() {
        for header in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "same-origin"),
        ] {
            for proof in [Proof::Claimed, Proof::None] {
                assert_eq!(verdict(&[header], proof, Effect::Change), Err(Refusal::WebPage), "{header:?} {proof:?}");
            }
            assert_eq!(verdict(&[header], Proof::Verified, Effect::Change), Ok(()), "{header:?}");
        }
    }

    #[test]
    fn a_page_reads_what_is_public_but_not_with_a_made_up_signature() {
        let foreign = [("sec-fetch-site", "cross-site")];
        assert_eq!(verdict(&foreign, Proof::None, Effect::Read), Ok(()));
        assert_eq!(verdict(&foreign, Proof::Claimed, Effect::Read), Err(Refusal::WebPage));
        assert_eq!(verdict(&[("sec-fetch-site", "same-site")], Proof::Claimed, Effect::Read), Ok(()));
        assert_eq!(verdict(&[("sec-fetch-site", "none")], Proof::Claimed, Effect::Read), Ok(()));
    }

    #[test]
    fn a_rebound_name_reaches_nothing_in_local_mode_and_only_public_reads_in_strict() {
        let evil = "evil.example:4566";
        for effect in [Effect::Read, Effect::Change] {
            for proof in [Proof::Claimed, Proof::None] {
                let verdict = verdict_under(evil, &[], proof, effect, ForeignHosts::Refused);
                assert_eq!(verdict, Err(Refusal::ForeignHost));
            }
        }
        assert_eq!(verdict_under(evil, &[], Proof::None, Effect::Read, ForeignHosts::ReadOnly), Ok(()));
        let change = verdict_under(evil, &[], Proof::None, Effect::Change, ForeignHosts::ReadOnly);
        assert_eq!(change, Err(Refusal::ForeignHost));
        assert_eq!(verdict_under(evil, &[], Proof::Verified, Effect::Change, ForeignHosts::ReadOnly), Ok(()));
    }
}
